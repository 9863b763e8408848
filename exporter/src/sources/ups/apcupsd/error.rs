//! Why apcupsd told us nothing of its UPS.

use super::report::RecordError;
use crate::snapshot::UpsTrouble;
use crate::sources::ups::wire::WireError;
use crate::ups::UpsFault;

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
    pub(super) fn fault(&self) -> UpsFault {
        match self {
            Self::Wire(error) => error.fault(),
            Self::Record { error: RecordError::Unexpected, .. } => UpsFault::Protocol,
            Self::Record { error: RecordError::TooMany, .. } => UpsFault::TooLarge,
            Self::Report { problem: ReportError::CommLost, .. } => UpsFault::CommLost,
            Self::Report { problem: ReportError::NoStatus, .. } => UpsFault::Protocol,
        }
    }
}

impl From<&ApcupsdError> for UpsTrouble {
    fn from(error: &ApcupsdError) -> Self {
        Self::new(error.fault(), error)
    }
}
