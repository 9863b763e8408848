//! Times and spans as people read them.

use std::fmt::{self, Display};

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A time, to the minute.
pub(crate) struct Moment(pub(crate) Timestamp);

/// A span of seconds, in its two largest useful units.
pub(crate) struct Span(pub(crate) i64);

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%d %H:%M UTC"))
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.max(0) {
            seconds @ ..MINUTE => write!(f, "{seconds} s"),
            seconds @ ..HOUR => write!(f, "{} min", seconds / MINUTE),
            seconds if seconds < 2 * DAY => write!(f, "{} h {:02} min", seconds / HOUR, seconds % HOUR / MINUTE),
            seconds => write!(f, "{} days", seconds / DAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_said_as_a_person_would() {
        let said = |seconds| Span(seconds).to_string();
        assert_eq!([said(-5), said(59), said(600), said(3_900)], ["0 s", "59 s", "10 min", "1 h 05 min"]);
        assert_eq!([said(2 * DAY - 1), said(2 * DAY)], ["47 h 59 min", "2 days"]);
    }
}
