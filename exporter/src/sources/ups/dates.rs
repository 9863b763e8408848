//! The dates that UPSes and those who mind them write, in the formats that are seen; any other is no date.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

/// What a format looks like with every digit as 0, so that `1/2/03` is not taken for the year 1.
const DAYS: &[(&str, &str)] = &[
    ("0000-00-00", "%Y-%m-%d"),
    ("0000/00/00", "%Y/%m/%d"),
    // APC's own: the month first.
    ("00/00/0000", "%m/%d/%Y"),
    ("00/00/00", "%m/%d/%y"),
    ("00-00-00", "%m-%d-%y"),
    ("00000000", "%Y%m%d"),
];

/// A clock that was never set says 1970 or so, and no battery of that time is in use.
const EARLIEST: Date = Date::constant(1985, 1, 1);
/// Longer texts are no dates.
const LONGEST: usize = 64;

/// Zones that `strftime` abbreviates, hours east of UTC. What may mean two zones is here as RFC 822 has it, or not at all.
const ZONES: &[(&str, i8)] = &[
    ("UTC", 0),
    ("GMT", 0),
    ("WET", 0),
    ("WEST", 1),
    ("CET", 1),
    ("CEST", 2),
    ("EET", 2),
    ("EEST", 3),
    ("JST", 9),
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
];

/// A day, as midnight in UTC, or a time.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > LONGEST {
        return None;
    }
    let (at, when) = day(text).or_else(|| with_offset(text)).or_else(|| with_zone_name(text))?;
    (at >= EARLIEST).then_some(when)
}

fn day(text: &str) -> Option<(Date, Timestamp)> {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (_, format) = DAYS.iter().find(|(known, _)| *known == shape)?;
    let day = Date::strptime(format, text).ok()?;
    Some((day, day.to_zoned(TimeZone::UTC).ok()?.timestamp()))
}

/// As `2006-01-02 15:04:05 -0700`.
fn with_offset(text: &str) -> Option<(Date, Timestamp)> {
    let time = Zoned::strptime("%Y-%m-%d %H:%M:%S %z", text).ok()?;
    Some((time.date(), time.timestamp()))
}

/// As `Thu Sep 25 18:47:39 CET 2014`, which is how `strftime` writes `%a %b %d %X %Z %Y` in the C locale.
fn with_zone_name(text: &str) -> Option<(Date, Timestamp)> {
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    let [_weekday, month, day, time, zone, year] = words[..] else { return None };
    let local = DateTime::strptime("%b %d %H:%M:%S %Y", format!("{month} {day} {time} {year}")).ok()?;
    let (_, hours) = ZONES.iter().find(|(name, _)| *name == zone)?;
    Some((local.date(), Offset::constant(*hours).to_timestamp(local).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_that_is_seen_is_read() {
        for (text, expected) in [
            ("2001-09-21", "2001-09-21T00:00:00Z"),
            ("2014/09/25", "2014-09-25T00:00:00Z"),
            ("06/22/12", "2012-06-22T00:00:00Z"),
            ("09/25/99", "1999-09-25T00:00:00Z"),
            ("06/22/2012", "2012-06-22T00:00:00Z"),
            ("12-31-98", "1998-12-31T00:00:00Z"),
            ("20190731", "2019-07-31T00:00:00Z"),
            (" 2026-11-23 09:44:40 +0000  ", "2026-11-23T09:44:40Z"),
            ("2006-01-02 15:04:05 -0700", "2006-01-02T22:04:05Z"),
            ("Thu Sep 25 18:47:39 CET 2014", "2014-09-25T17:47:39Z"),
            ("Sat Mar  1 08:00:00 EST 2008", "2008-03-01T13:00:00Z"),
            // A leap second.
            ("2016-12-31 23:59:60 +0000", "2016-12-31T23:59:59Z"),
            ("Sat Dec 31 23:59:60 UTC 2016", "2016-12-31T23:59:59Z"),
        ] {
            assert_eq!(parse(text).map(|at| at.to_string()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_or_may_be_two_is_none() {
        for text in [
            "",
            "N/A",
            "not set",
            "1/2/03",
            "22/06/12",
            "2014-13-01",
            "2014/02/30",
            "0000-00-00",
            "1970-01-01",
            "1970-01-01 00:00:00 +0000",
            "Thu Sep 25 18:47:39 XYZ 2014",
            "Thu Sep 25 18:47:39 2014",
            "2014-09-25T10:00:00",
            "２０１４-09-25",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"2014-09-25".repeat(100_000)), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }
    }
}
