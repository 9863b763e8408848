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

/// So many of something: `1 UPS`, `2 UPSes`.
pub(crate) struct Count(pub(crate) usize, pub(crate) &'static str);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, one) = self;
        let ending = match *number {
            1 => "",
            _ if one.ends_with('S') => "es",
            _ => "s",
        };
        write!(f, "{number} {one}{ending}")
    }
}

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
    fn one_thing_is_counted_in_the_singular() {
        let said = |number, one| Count(number, one).to_string();
        assert_eq!([said(0, "agent"), said(1, "agent"), said(2, "agent")], ["0 agents", "1 agent", "2 agents"]);
        assert_eq!([said(1, "UPS"), said(2, "UPS")], ["1 UPS", "2 UPSes"]);
    }

    #[test]
    fn a_span_is_said_as_a_person_would() {
        let said = |seconds| Span(seconds).to_string();
        assert_eq!([said(-5), said(59), said(600), said(3_900)], ["0 s", "59 s", "10 min", "1 h 05 min"]);
        assert_eq!([said(2 * DAY - 1), said(2 * DAY)], ["47 h 59 min", "2 days"]);
    }
}
