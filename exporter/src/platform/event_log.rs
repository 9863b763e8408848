//! What the seam says of the log that the system keeps of its programs' events.

use std::io;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::NotOnThisSystem;

/// A record, as far as it tells which event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Grows with each record of the log, whoever writes it, until the log is cleared.
    pub record_id: u64,
    /// The provider's number for what happened.
    pub event_id: u16,
    pub at: Timestamp,
}

/// Why the log was not read.
#[derive(Debug, thiserror::Error)]
pub enum EventLogError {
    #[error(
        "{log}: there is no source {provider}; it comes with its product, and `Get-WinEvent -ListProvider {provider}` in PowerShell shows it; install it, or take \
         shutdown.windowsEventLog out of the configuration"
    )]
    NoProvider { log: &'static str, provider: String },
    #[error(
        "{log}: access is denied; run the exporter as LocalSystem, or have its account in the group Event Log Readers"
    )]
    PermissionDenied { log: &'static str },
    #[error("{log}: not read within {deadline:?}; make the log smaller (`wevtutil set-log {log} /maxsize:20971520`)")]
    TimedOut { log: &'static str, deadline: Duration },
    #[error("{log}: the log cannot be read: {source}; see the service Windows Event Log (`sc query EventLog`)")]
    Read { log: &'static str, source: io::Error },
    #[error(transparent)]
    NotOnThisSystem(#[from] NotOnThisSystem),
}

impl EventLogError {
    /// Stable, for metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoProvider { .. } => "not_found",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::TimedOut { .. } => "timeout",
            Self::Read { .. } => "read_failed",
            Self::NotOnThisSystem(_) => NotOnThisSystem::REASON,
        }
    }
}

impl EventRecord {
    /// With its time in tenths of a microsecond since 1601, as Windows counts.
    pub fn of(record_id: u64, event_id: u16, units: u64) -> Self {
        Self { record_id, event_id, at: timestamp(units) }
    }
}

/// What lies beyond all dates is at their end.
fn timestamp(units: u64) -> Timestamp {
    /// Between 1601 and 1970.
    const SECONDS: i64 = 11_644_473_600;
    const UNITS: u64 = 10_000_000;
    let nanoseconds = i32::try_from(units % UNITS * 100).unwrap_or_default();
    let seconds = i64::try_from(units / UNITS).unwrap_or(i64::MAX);
    let since_1601 = SignedDuration::new(seconds, nanoseconds);
    Timestamp::UNIX_EPOCH.saturating_add(since_1601 - SignedDuration::from_secs(SECONDS)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_windows_are_read_from_1601_on() {
        for (units, told) in [
            (0, "1601-01-01T00:00:00Z"),
            (116_444_736_000_000_000, "1970-01-01T00:00:00Z"),
            (134_000_000_001_234_567, "2025-08-18T14:13:20.1234567Z"),
        ] {
            assert_eq!(timestamp(units).to_string(), told);
        }
        assert_eq!(timestamp(u64::MAX), Timestamp::MAX);
    }
}
