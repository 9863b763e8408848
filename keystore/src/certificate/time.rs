//! The times of a certificate, to the second, over all years that X.509 can write.

use crate::der;
use jiff::{SignedDuration, Timestamp, civil};
use std::fmt;

const SECONDS_PER_MINUTE: i64 = 60;
const SECONDS_PER_HOUR: i64 = 60 * SECONDS_PER_MINUTE;
const SECONDS_PER_DAY: i64 = 24 * SECONDS_PER_HOUR;

/// A second of UTC, of the years 0000 to 9999. RFC 5280 writes "no well-defined expiration" as 9999-12-31T23:59:59Z, which lies
/// beyond [`Timestamp::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// Seconds since 1970, before it negative.
    pub const fn as_second(self) -> i64 {
        self.0
    }

    /// The same instant where [`Timestamp`] reaches it, else the nearest whole second that it has: "no well-defined expiration"
    /// becomes 9999-12-30T22:00:00Z. For what is compared and for the wire, whose readers take no later time; what is shown
    /// or published is the time itself.
    pub fn to_timestamp(self) -> Timestamp {
        let whole = self.0.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        Timestamp::from_second(whole).expect("it is within the range")
    }

    /// A `UTCTime` or a `GeneralizedTime`; `None` when it is neither. Seconds may be missing and an offset may stand for the
    /// `Z`, which X.690 allows and RFC 5280 does not: the instant is the same. A leap second is the one before it, so that the
    /// last minute of a year stays within it.
    pub(super) fn parse(element: &der::Element<'_>) -> Option<Self> {
        let text = std::str::from_utf8(element.value).ok()?;
        match element.tag {
            der::UTC_TIME => {
                let year = number(text.get(..2)?)?;
                // RFC 5280, 4.1.2.5.1.
                let century = if year >= 50 { 1900 } else { 2000 };
                Self::of(century + year, text.get(2..)?)
            }
            der::GENERALIZED_TIME => Self::of(number(text.get(..4)?)?, text.get(4..)?),
            _ => None,
        }
    }

    /// `MMDDhhmm`, then perhaps seconds and their fraction, then `Z` or an offset.
    fn of(year: i64, text: &str) -> Option<Self> {
        let two = |at: usize| number(text.get(at..at + 2)?);
        let (month, day, hour, minute) = (two(0)?, two(2)?, two(4)?, two(6)?);
        let mut rest = text.get(8..)?;
        let mut second = 0;
        if let Some(written) = rest.get(..2).and_then(number) {
            second = written;
            rest = rest.get(2..)?;
            if let Some(fraction) = rest.strip_prefix(['.', ',']) {
                rest = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            }
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let small = |number: i64| i8::try_from(number).ok();
        let date = civil::Date::new(i16::try_from(year).ok()?, small(month)?, small(day)?).ok()?;
        let days = date.duration_since(civil::date(1970, 1, 1)).as_secs();
        let second = second.min(SECONDS_PER_MINUTE - 1);
        Some(Self(days + hour * SECONDS_PER_HOUR + minute * SECONDS_PER_MINUTE + second - offset(rest)?))
    }
}

/// Seconds that local time is ahead of UTC.
fn offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, digits) =
        text.strip_prefix('+').map(|rest| (1, rest)).or(text.strip_prefix('-').map(|rest| (-1, rest)))?;
    let (hours, minutes) = (number(digits.get(..2)?)?, number(digits.get(2..)?)?);
    (digits.len() == 4 && hours < 24 && minutes < 60)
        .then_some(sign * (hours * SECONDS_PER_HOUR + minutes * SECONDS_PER_MINUTE))
}

fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// As RFC 3339 writes it.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.0.div_euclid(SECONDS_PER_DAY), self.0.rem_euclid(SECONDS_PER_DAY));
        let date = civil::date(1970, 1, 1).saturating_add(SignedDuration::from_hours(days.saturating_mul(24)));
        let (hour, minute) = (seconds / SECONDS_PER_HOUR, seconds / SECONDS_PER_MINUTE % 60);
        write!(f, "{date}T{hour:02}:{minute:02}:{:02}Z", seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Option<String> {
        let bytes = der::encode(tag, &[text.as_bytes()]);
        let element = der::Reader::new(&bytes).element().expect("own encoding");
        Time::parse(&element).map(|time| time.to_string())
    }

    /// Holds R9: the last second that X.509 can write is itself, and no second of it is beyond the calendar.
    #[test]
    fn every_second_of_four_digit_years_is_itself() {
        for (text, shown) in [
            ("99991231235959Z", "9999-12-31T23:59:59Z"),
            ("99991231235900Z", "9999-12-31T23:59:00Z"),
            ("99991230220001Z", "9999-12-30T22:00:01Z"),
            ("00000101000000Z", "0000-01-01T00:00:00Z"),
            ("20000229120000Z", "2000-02-29T12:00:00Z"),
            ("20161231235960Z", "2016-12-31T23:59:59Z"),
            ("99991231235960Z", "9999-12-31T23:59:59Z"),
            ("20300601120000.25Z", "2030-06-01T12:00:00Z"),
            ("203006011200Z", "2030-06-01T12:00:00Z"),
            ("20300601120000+0130", "2030-06-01T10:30:00Z"),
            ("20300601120000-0130", "2030-06-01T13:30:00Z"),
        ] {
            assert_eq!(read(der::GENERALIZED_TIME, text).as_deref(), Some(shown), "{text}");
        }
        let last = der::encode(der::GENERALIZED_TIME, &[b"99991231235959Z"]);
        let last = Time::parse(&der::Reader::new(&last).element().expect("own encoding")).expect("a time");
        assert_eq!(last.as_second(), 253_402_300_799);
        assert_eq!(last.to_timestamp().to_string(), "9999-12-30T22:00:00Z");
    }

    #[test]
    fn two_digits_of_a_year_are_of_1950_to_2049() {
        for (text, shown) in [
            ("500101000000Z", "1950-01-01T00:00:00Z"),
            ("491231235959Z", "2049-12-31T23:59:59Z"),
            ("7001010000Z", "1970-01-01T00:00:00Z"),
            ("691231235959Z", "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(read(der::UTC_TIME, text).as_deref(), Some(shown), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "Z",
            "20300601",
            "20301301000000Z",
            "20300230000000Z",
            "20300601250000Z",
            "20300601120000",
            "2030060112+100Z",
        ] {
            assert_eq!(read(der::GENERALIZED_TIME, text), None, "{text}");
        }
        assert_eq!(read(der::OCTET_STRING, "99991231235959Z"), None);
    }
}
