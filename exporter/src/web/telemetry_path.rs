//! Where the metrics are.

use std::fmt;
use std::str::FromStr;

/// Where probes are asked for.
pub(super) const PROBE: &str = "/probe";

/// Where the metrics are: an absolute path without a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryPath(String);

/// Why a path is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an absolute path such as /metrics, without a query, not below /-/, and not /probe")]
pub struct TelemetryPathError;

impl TelemetryPath {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TelemetryPath {
    type Err = TelemetryPathError;

    fn from_str(text: &str) -> Result<Self, TelemetryPathError> {
        let plain = text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '"' | '<' | '>'));
        let ours = text.starts_with("/-/");
        (text.starts_with('/') && plain && !ours && text != PROBE)
            .then(|| Self(text.to_owned()))
            .ok_or(TelemetryPathError)
    }
}

impl fmt::Display for TelemetryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_telemetry_path_cannot_hide_the_health_or_break_the_page() {
        for wrong in ["metrics", "", "/a?b", "/-/ready", "/probe", "/a\"b", "/ä"] {
            assert!(wrong.parse::<TelemetryPath>().is_err(), "{wrong}");
        }
    }
}
