//! Durations as Kubernetes users write them: Go's `2160h`, `1h30m`, `45s`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Hours, minutes and seconds, each a whole number, in that order. At most a hundred years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(Duration);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a duration is written as hours, minutes and seconds, such as 2160h or 1h30m, and is at most 876000h")]
pub struct DurationError;

/// No sum of them overflows the nanoseconds in which the API server counts.
const PATTERN: &str = "^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$";
const LONGEST_TEXT: usize = 20;
const LONGEST: Duration = Duration::from_secs(876_000 * 3600);

/// What guards `duration(…)` in a rule of the API server, which knows no `90d` and no empty duration.
pub(super) fn is_in_cel(field: &str) -> String {
    format!("({field} != '' && {field}.matches('{PATTERN}'))")
}

impl GoDuration {
    pub const fn from_hours(hours: u64) -> Self {
        Self(Duration::from_secs(hours * 3600))
    }

    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let mut rest = text;
        let mut seconds = 0u64;
        for (unit, factor, most_digits) in [('h', 3600, 6), ('m', 60, 7), ('s', 1, 9)] {
            if let Some((digits, after)) = rest.split_once(unit) {
                let all_digits =
                    (1..=most_digits).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
                let count: u64 = all_digits.then(|| digits.parse().ok()).flatten().ok_or(DurationError)?;
                seconds = count.checked_mul(factor).and_then(|s| s.checked_add(seconds)).ok_or(DurationError)?;
                rest = after;
            }
        }
        let duration = Duration::from_secs(seconds);
        let fits = (2..=LONGEST_TEXT).contains(&text.len()) && rest.is_empty() && duration <= LONGEST;
        if fits { Ok(Self(duration)) } else { Err(DurationError) }
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let parts = [(seconds / 3600, 'h'), (seconds % 3600 / 60, 'm'), (seconds % 60, 's')];
        for (count, unit) in parts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{count}{unit}")?;
        }
        if seconds == 0 { f.write_str("0s") } else { Ok(()) }
    }
}

impl fmt::Debug for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 2, "maxLength": LONGEST_TEXT, "pattern": PATTERN,
            "x-kubernetes-validations": [{
                "rule": format!("!{} || duration(self) <= duration('876000h')", is_in_cel("self")),
                "message": "a duration is at most 876000h",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_write_is_read() {
        for (text, seconds) in [("2160h", 7_776_000), ("1h30m", 5400), ("90m", 5400), ("45s", 45), ("0s", 0)] {
            assert_eq!(text.parse::<GoDuration>().map(|d| d.as_duration().as_secs()), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "h",
            "90",
            "90d",
            "-1h",
            "1.5h",
            "30m1h",
            "1h 30m",
            "999999999999h",
            "876001h",
            "1hh",
            "876000h1s",
            "1us",
            "1e3h",
        ] {
            assert_eq!(text.parse::<GoDuration>(), Err(DurationError), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_duration_survives_its_text(seconds in 0u64..876_000 * 3600) {
            let duration = GoDuration(Duration::from_secs(seconds));
            proptest::prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }
}
