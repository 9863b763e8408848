//! What one SNMP value says, if anything.

use async_snmp::Value;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::label::Label;
use crate::ups::{is_absent_in_snmp, meaning};

/// The longest text that a MIB of ours allows has 255 characters.
const LONGEST_TEXT: usize = 512;

/// A number, unless it is a sentinel or the value is none.
pub(super) fn number(value: &Value) -> Option<f64> {
    written(value).filter(|number| !is_absent_in_snmp(*number))
}

/// The number as it came.
pub(super) fn written(value: &Value) -> Option<f64> {
    // A Counter64 beyond 2^53 loses its last digits; no UPS counts so far.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    whole(value).map(|number| number as f64)
}

/// The number as it came, of an enum.
pub(super) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(i64::from(*number)),
        Value::Gauge32(number) | Value::Counter32(number) | Value::TimeTicks(number) | Value::UInteger32(number) => {
            Some(i64::from(*number))
        }
        Value::Counter64(number) => i64::try_from(*number).ok(),
        _ => None,
    }
}

/// A text that says something: bounded, without the blanks and zero bytes that agents pad with.
pub(super) fn text(value: &Value) -> Option<Label> {
    let Value::OctetString(bytes) = value else { return None };
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST_TEXT)]);
    meaning(text.trim_matches(|c: char| c.is_whitespace() || c == '\0')).map(Label::new)
}

/// Whether a text stands where a number belongs: whatever it says, it is not read.
pub(super) fn is_misplaced_text(value: &Value) -> bool {
    matches!(value, Value::OctetString(_)) && text(value).is_some()
}

/// The bytes of a text of flags.
pub(super) fn flags(value: &Value) -> Option<&[u8]> {
    let Value::OctetString(bytes) = value else { return None };
    let known = !bytes.is_empty() && bytes.iter().all(|byte| matches!(byte, b'0' | b'1'));
    known.then_some(bytes.as_ref())
}

/// A day, as its first second in UTC since 1970.
pub(super) fn date(value: &Value) -> Option<f64> {
    let text = text(value)?;
    let mut parts = text.as_str().split(['/', '-']).map(str::trim);
    let (a, b, c) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (year, month, day) = if a.len() == 4 { (a, b, c) } else { (c, a, b) };
    let year: i16 = match (year.len(), year.parse().ok()?) {
        (4, year) => year,
        // No UPS is older than its MIB, of 1992.
        (2, year @ 90..=99) => 1900 + year,
        (2, year @ 0..=89) => 2000 + year,
        _ => return None,
    };
    let day = Date::new(year, month.parse().ok()?, day.parse().ok()?).ok()?;
    let at = day.to_zoned(TimeZone::UTC).ok()?.timestamp();
    #[expect(clippy::cast_precision_loss, reason = "seconds of a four-digit year are far below 2^53")]
    Some(at.as_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(bytes: &'static [u8]) -> Value {
        Value::OctetString(bytes.into())
    }

    #[test]
    fn sentinels_and_other_types_are_no_number() {
        for value in [
            Value::Integer(-1),
            Value::Gauge32(u32::MAX),
            Value::TimeTicks(u32::MAX),
            Value::Null,
            Value::NoSuchObject,
            Value::NoSuchInstance,
            Value::EndOfMibView,
            octets(b"230"),
            Value::Counter64(u64::MAX),
            Value::Unknown { tag: 0x4f, data: vec![1].into() },
        ] {
            assert_eq!(number(&value), None, "{value:?}");
        }
        assert_eq!(number(&Value::Integer(-32)), Some(-32.0));
        assert_eq!(number(&Value::Counter64(7)), Some(7.0));
    }

    #[test]
    fn a_text_is_trimmed_bounded_and_need_not_be_utf_8() {
        let said = |bytes| text(&octets(bytes)).map(|label| label.to_string());
        assert_eq!(said(b"  Smart-UPS 1500\0\0").as_deref(), Some("Smart-UPS 1500"));
        assert_eq!(said(b"USV \xdc"), Some("USV \u{fffd}".to_owned()));
        assert_eq!(said(b""), None);
        assert_eq!(said(b" \0"), None);
        assert_eq!((said(b"(null)"), said(b"Unknown"), said(b"N/A\0")), (None, None, None));
        let long = Value::OctetString(vec![b'x'; 60_000].into());
        assert!(text(&long).is_some_and(|label| label.as_str().len() <= LONGEST_TEXT));
        assert_eq!(text(&Value::Integer(1)), None);
    }

    #[test]
    fn dates_are_read_as_agents_write_them() {
        let at = |bytes| date(&octets(bytes));
        assert_eq!(at(b"01/02/1970"), Some(86_400.0));
        assert_eq!(at(b"03/15/24"), at(b"03/15/2024"));
        assert_eq!(at(b"2024-03-15"), at(b"03/15/2024"));
        assert_eq!(at(b"12/31/99"), at(b"12/31/1999"));
        for bad in [&b"31/12/2020"[..], b"unknown", b"", b"1/2", b"1/2/3/4", b"00/00/00", b"02/30/2024", b"1/2/123"] {
            assert_eq!(date(&Value::OctetString(bad.into())), None, "{bad:?}");
        }
    }

    #[test]
    fn only_zeros_and_ones_are_flags() {
        assert_eq!(flags(&octets(b"0110")), Some(&b"0110"[..]));
        assert_eq!(flags(&octets(b"UNKNOWN")), None);
        assert_eq!(flags(&octets(b"")), None);
    }
}
