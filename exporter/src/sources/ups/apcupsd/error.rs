//! Why apcupsd told us nothing of its UPS.

use super::report::RecordError;
use crate::snapshot::Trouble;
use crate::sources::ups::wire::WireError;

/// Every `reason()` is one of the UPS source's.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApcupsdError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("{address}: {error}; check that this is apcupsd's NISPORT")]
    Record { address: String, error: RecordError },
    #[error("{address}: {problem}")]
    Report { address: String, problem: ReportError },
}

/// What a report as a whole can lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReportError {
    #[error("apcupsd no longer hears its UPS; what it still shows is old")]
    CommLost,
    #[error("what was sent has neither STATFLAG nor STATUS, so that it is no status report")]
    NoStatus,
}

impl ApcupsdError {
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Wire(error) => error.reason(),
            Self::Record { error: RecordError::Unexpected, .. } => "protocol",
            Self::Record { error: RecordError::TooMany, .. } => "too_large",
            Self::Report { problem: ReportError::CommLost, .. } => "comm_lost",
            Self::Report { problem: ReportError::NoStatus, .. } => "protocol",
        }
    }
}

impl From<&ApcupsdError> for Trouble {
    fn from(error: &ApcupsdError) -> Self {
        Self::new(error.reason(), error)
    }
}
