//! Events from `EventLog.txt`: lines of a date and what happened.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::event::{LogEvent, LogEventKind, MAX_EVENTS};
use super::fold::SKEW;

/// An event's line has a date and a sentence; what is longer is something else.
const MAX_LINE_BYTES: usize = 1024;

/// What times without a zone are read by: the host's.
#[derive(Debug)]
pub(crate) struct Clock {
    pub(super) zone: TimeZone,
    pub(super) booted_at: Option<Timestamp>,
    pub(super) now: Timestamp,
}

/// The newest events that are recognised, in the order of writing. `whole` tells that the bytes begin where the file does:
/// otherwise the first line is half a line.
pub(crate) fn events(bytes: &[u8], whole: bool, clock: &Clock) -> Vec<LogEvent> {
    let text = decode(bytes);
    let lines: Vec<_> = text.split('\n').skip(usize::from(!whole)).filter_map(Line::of).collect();
    let day_first = lines.iter().any(|line| line.date.says_day_first());
    let mut before = None;
    let mut event = |line: &Line| {
        let at = line.date.at(day_first, clock, before)?;
        before = Some(at);
        Some(LogEvent { at, kind: line.kind, active: true })
    };
    let events: Vec<_> = lines.iter().filter_map(&mut event).collect();
    events[events.len().saturating_sub(MAX_EVENTS)..].to_vec()
}

impl Clock {
    /// Of a host that has always been up.
    pub(super) const fn of(zone: TimeZone) -> Self {
        Self { zone, booted_at: None, now: Timestamp::MAX }
    }

    /// In the hour that is told twice, the second time where the first lies before the boot or before the line before: a later
    /// line is never earlier.
    fn at(&self, civil: DateTime, before: Option<Timestamp>) -> Option<Timestamp> {
        let readings = self.zone.to_ambiguous_timestamp(civil);
        let (first, second) = match readings.offset() {
            AmbiguousOffset::Fold { .. } => (readings.earlier().ok()?, readings.later().ok()?),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => return readings.compatible().ok(),
        };
        let is_too_early = before.is_some_and(|before| first < before && before <= second)
            || self.booted_at.is_some_and(|booted_at| first < booted_at && booted_at <= second);
        let is_to_come = second > self.now.checked_add(SKEW).unwrap_or(self.now);
        Some(if is_too_early && !is_to_come { second } else { first })
    }
}

/// A date, and the name of an event.
struct Line {
    date: WrittenDate,
    kind: LogEventKind,
}

impl Line {
    fn of(text: &str) -> Option<Self> {
        if text.len() > MAX_LINE_BYTES {
            return None;
        }
        let begins = |c: char| !c.is_ascii_whitespace() && !matches!(c, '"' | BYTE_ORDER_MARK);
        let (date, rest) = WrittenDate::leading(&text[text.find(begins)?..])?;
        Some(Self { date, kind: LogEventKind::of_name(rest)? })
    }
}

/// A date as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WrittenDate {
    year: i16,
    order: Order,
    time: [i8; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Certain {
        month: i8,
        day: i8,
    },
    /// `03/04/2026`: one is the day and the other the month.
    Either(i8, i8),
}

impl WrittenDate {
    /// The date that a line begins with, and what follows it.
    fn leading(line: &str) -> Option<(Self, &str)> {
        let fields = Fields(line);
        Self::from_java(fields).or_else(|| Self::from_numbers(fields))
    }

    /// `Sat Nov 08 19:48:00 JST 2014`
    fn from_java(mut fields: Fields<'_>) -> Option<(Self, &str)> {
        const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let weekday = fields.word()?;
        DAYS.contains(&weekday).then_some(())?;
        let month = fields.word()?;
        let month = (1..).zip(MONTHS).find(|(_, name)| *name == month)?.0;
        let day = fields.number()?;
        let time = fields.time()?;
        // The zone's letters are ambiguous; the agent's is the host's.
        fields.word()?;
        let year = fields.year()?;
        Some((Self { year, order: Order::Certain { month, day }, time }, fields.0))
    }

    /// `2014-11-08 19:48:00`, `11/08/2014, 19:48:00`, `08.11.2014 19:48:00`
    fn from_numbers(mut fields: Fields<'_>) -> Option<(Self, &str)> {
        let separator = fields.0.trim_start_matches(|c: char| c.is_ascii_digit()).chars().next()?;
        let (year, order) = if fields.0.bytes().take_while(u8::is_ascii_digit).count() == YEAR_DIGITS {
            let (year, month, day) = (fields.year()?, fields.number()?, fields.number()?);
            (year, Order::Certain { month, day })
        } else {
            let (first, second, year) = (fields.number()?, fields.number()?, fields.year()?);
            let order = match separator {
                '/' | '-' => Order::Either(first, second),
                '.' => Order::Certain { month: second, day: first },
                _ => return None,
            };
            (year, order)
        };
        Some((Self { year, order, time: fields.time()? }, fields.0))
    }

    const fn says_day_first(&self) -> bool {
        matches!(self.order, Order::Either(first, second) if first > 12 && second <= 12)
    }

    /// `before` is when the line before was written.
    fn at(&self, day_first: bool, clock: &Clock, before: Option<Timestamp>) -> Option<Timestamp> {
        let (month, day) = match self.order {
            Order::Certain { month, day } => (month, day),
            Order::Either(day, month) if day_first => (month, day),
            Order::Either(month, day) => (month, day),
        };
        let [hour, minute, second] = self.time;
        let civil = DateTime::new(self.year, month, day, hour, minute, second, 0).ok()?;
        clock.at(civil, before)
    }
}

const YEAR_DIGITS: usize = 4;
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The rest of a line, taken field by field.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn word(&mut self) -> Option<&'a str> {
        self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | ':'))
    }

    fn number(&mut self) -> Option<i8> {
        self.take(|c| c.is_ascii_digit())?.parse().ok()
    }

    fn year(&mut self) -> Option<i16> {
        self.take(|c| c.is_ascii_digit()).filter(|digits| digits.len() == YEAR_DIGITS)?.parse().ok()
    }

    /// `19:48:00`, `19:48:00.123`, `7:48:00 PM`
    fn time(&mut self) -> Option<[i8; 3]> {
        self.0 = self.0.strip_prefix('T').unwrap_or(self.0);
        let [mut hour, minute, second] = [self.number()?, self.number()?, self.number()?];
        if let Some(fraction) = self.0.strip_prefix(['.', ',']) {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            self.0 = if digits == 0 { self.0 } else { &fraction[digits..] };
        }
        let mut ahead = Fields(self.0);
        let half = ahead.word().filter(|word| matches!(*word, "AM" | "PM"));
        if let Some(half) = half {
            hour = hour % 12 + if half == "PM" { 12 } else { 0 };
            self.0 = ahead.0;
        }
        Some([hour, minute, second])
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> Option<&'a str> {
        let rest =
            self.0.trim_start_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '-' | '.' | ':' | ','));
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        let (field, rest) = rest.split_at(end);
        self.0 = rest;
        (!field.is_empty()).then_some(field)
    }
}

/// UTF-16 where it is; otherwise lines of UTF-8, with what is none replaced: no byte of Shift JIS is a line's end.
fn decode(bytes: &[u8]) -> String {
    let units = |of: fn([u8; 2]) -> u16| {
        let pairs = bytes.chunks_exact(2).map(|pair| of([pair[0], pair[1]]));
        char::decode_utf16(pairs).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match zeros(bytes) {
        [even, odd] if odd > even && odd * 4 > bytes.len() => units(u16::from_le_bytes),
        [even, odd] if even > odd && even * 4 > bytes.len() => units(u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// How many zero bytes stand at even and at odd places. In UTF-16 the text of a log is half zeros, on one side; a tail of a
/// whole number of pairs has them where the file has them.
fn zeros(bytes: &[u8]) -> [usize; 2] {
    let mut zeros = [0; 2];
    for (place, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == 0) {
        zeros[place % 2] += 1;
    }
    zeros
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKYO: &str = "Asia/Tokyo";

    /// When it was, in UTC, if the line tells of an event.
    fn seen(line: &str) -> Option<String> {
        let zone = TimeZone::get(TOKYO).expect("the zones of the system, or those built in");
        events(line.as_bytes(), true, &Clock::of(zone)).first().map(|event| event.at.to_string())
    }

    #[test]
    fn a_date_is_read_in_every_form_that_java_and_the_agents_other_files_have() {
        let at = Some("2014-11-08T10:48:00Z".to_owned());
        for date in [
            "2014-11-08 19:48:00",
            "2014-11-08T19:48:00.123",
            "2014/11/08\t19:48:00,5\t",
            "11/08/2014 19:48:00",
            "11/08/2014, 7:48:00 PM",
            "08.11.2014 19:48:00",
            "Sat Nov 08 19:48:00 JST 2014",
            "Sat Nov 08 19:48:00 GMT+09:00 2014 -",
            "\u{feff}\"2014-11-08 19:48:00\",\"",
        ] {
            assert_eq!(seen(&format!("{date} On Battery.\r\n")), at, "{date}");
        }
        assert_eq!(seen("11/08/2014 12:00:00 AM On Battery"), Some("2014-11-07T15:00:00Z".to_owned()));
    }

    #[test]
    fn a_line_that_is_not_a_date_and_a_name_is_no_event() {
        for line in [
            "On Battery",
            "2014-11-08 On Battery",
            "19:48:00 On Battery",
            "2014-13-08 19:48:00 On Battery",
            "2014-11-08 25:48:00 On Battery",
            "14-11-08 19:48:00 On Battery",
            "2014-11-08 19:48:00 The shutdown begins after 300 seconds on battery",
            "2014-11-08 19:48:00 Was on battery",
            "2014-11-08 19:48:00",
            "Tag Nov 08 19:48:00 JST 2014 On Battery",
            "20141108194800 On Battery",
            "",
        ] {
            assert_eq!(seen(line), None, "{line}");
        }
        assert_eq!(seen(&format!("2014-11-08 19:48:00 On Battery{}", " ".repeat(MAX_LINE_BYTES))), None);
    }

    #[test]
    fn whether_the_day_or_the_month_comes_first_is_told_by_the_whole_log() {
        let first = |log: &str| events(log.as_bytes(), true, &Clock::of(TimeZone::UTC))[0].at.to_string();
        let line = "03/04/2026 10:00:00 Power Failed\n";
        assert_eq!(first(line), "2026-03-04T10:00:00Z");
        let later = "28/04/2026 10:00:00 Power Restored\n";
        assert_eq!(first(&[line, later].concat()), "2026-04-03T10:00:00Z");
    }

    /// 01:10 of 1 November 2026 in New York comes twice, at 05:10 and at 06:10 UTC.
    #[test]
    fn in_the_hour_that_is_told_twice_a_later_line_is_never_earlier() {
        let zone = TimeZone::get("America/New_York").expect("the zones of the system, or those built in");
        let utc = |time: &str| format!("2026-11-01T{time}Z").parse::<Timestamp>().expect("a time");
        for (lines, booted_at, now, told) in [
            (&["01:10:01"][..], "05:00:00", "05:30:00", &["05:10:01"][..]),
            (&["01:10:01"], "06:00:00", "06:30:00", &["06:10:01"]),
            (&["01:10:01"], "05:20:00", "05:30:00", &["05:10:01"]),
            (&["01:50:00", "01:10:01"], "05:00:00", "06:30:00", &["05:50:00", "06:10:01"]),
            (&["01:50:00", "01:10:01", "02:30:00"], "05:00:00", "08:00:00", &["05:50:00", "06:10:01", "07:30:00"]),
            (&["01:10:01", "01:50:00"], "05:00:00", "08:00:00", &["05:10:01", "05:50:00"]),
        ] {
            let log: String = lines.iter().map(|time| format!("2026-11-01 {time} On Battery\n")).collect();
            let clock = Clock { zone: zone.clone(), booted_at: Some(utc(booted_at)), now: utc(now) };
            let read: Vec<_> = events(log.as_bytes(), true, &clock).iter().map(|event| event.at).collect();
            assert_eq!(read, told.iter().map(|time| utc(time)).collect::<Vec<_>>(), "{lines:?}, {booted_at}");
        }
    }

    #[test]
    fn the_first_line_of_a_tail_is_left_out() {
        let log = b"2026-04-03 10:00:00 Power Failed\n2026-04-03 10:01:00 Power Restored\n";
        assert_eq!(events(log, true, &Clock::of(TimeZone::UTC)).len(), 2);
        let kinds: Vec<_> = events(log, false, &Clock::of(TimeZone::UTC)).iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [LogEventKind::NoLongerOnBattery]);
    }

    #[test]
    fn every_encoding_keeps_the_lines_apart() {
        let log = "03/04/2026 10:00:00 起動しました\r\n03/04/2026 10:00:00 On Battery\r\n";
        let utf_16 = |bytes: fn(u16) -> [u8; 2]| log.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        // 表示, whose first character ends in a backslash, and 起動 in Shift JIS.
        let shift_jis = b"03/04/2026 10:00:00 \x95\x5c\x8e\xa6\x8b\x4e\x93\xae\r\n03/04/2026 10:00:00 On Battery\r\n";
        let with_mark = [&[0xff, 0xfe][..], &utf_16(u16::to_le_bytes)].concat();
        let all = [
            log.as_bytes().to_vec(),
            utf_16(u16::to_le_bytes),
            utf_16(u16::to_be_bytes),
            shift_jis.to_vec(),
            with_mark,
        ];
        for bytes in &all {
            assert_eq!(events(bytes, true, &Clock::of(TimeZone::UTC)).len(), 1, "{bytes:x?}");
            assert!(events(&bytes[..bytes.len() / 2], true, &Clock::of(TimeZone::UTC)).is_empty());
        }
    }
}
