//! Why upsd, or one of its UPSes, told us nothing.

use super::protocol::{LineError, Refusal};
use crate::from_files::Unread;
use crate::password_file::PasswordFileError;
use crate::probe::RootsError;
use crate::snapshot::Trouble;
use crate::sources::ups::trust;
use crate::sources::ups::wire::WireError;

/// Every `reason()` is one of the UPS source's.
#[derive(Debug, thiserror::Error)]
pub(super) enum NutError {
    #[error("cannot read the password file: {0}")]
    Password(#[from] Unread<PasswordFileError>),
    #[error("the user name or the password has a line end in it, which upsd cannot be told; take it out")]
    Unspeakable,
    #[error("cannot read the CA file: {0}")]
    Trust(#[from] Unread<RootsError>),
    #[error("{address}: no authorities to check upsd's certificate against; set `startTls.caFile`")]
    NoTrust { address: String },
    #[error("{address}: no TLS after STARTTLS ({detail}); check `startTls.caFile` and `startTls.serverName`")]
    Tls { address: String, detail: String },
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("{address}: {error}, when asked for {asked}")]
    Line { address: String, asked: &'static str, error: LineError },
    #[error("{address}: the driver of {ups} has started and not heard its UPS yet")]
    Waiting { address: String, ups: String },
}

impl NutError {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Password(unread) => unread.reason(PasswordFileError::reason),
            Self::Unspeakable => "auth",
            Self::Trust(unread) => unread.reason(trust::reason),
            Self::NoTrust { .. } | Self::Tls { .. } => "tls",
            Self::Wire(error) => error.reason(),
            Self::Line { error, .. } => match error {
                LineError::Refused(refusal) => match refusal {
                    Refusal::DataStale => "data_stale",
                    Refusal::DriverNotConnected => "driver_not_connected",
                    Refusal::UnknownUps => "unknown_ups",
                    Refusal::Denied | Refusal::Access(_) => "auth",
                    Refusal::Feature(_) => "tls",
                    Refusal::Other(_) => "protocol",
                },
                LineError::Unexpected(_) => "protocol",
                LineError::TooManyRows(_) => "too_large",
            },
            Self::Waiting { .. } => "data_stale",
        }
    }

    /// Whether upsd answered in order, so that it can be asked for the next UPS over the same connection.
    pub(super) const fn leaves_in_step(&self) -> bool {
        matches!(self, Self::Line { error: LineError::Refused(_), .. } | Self::Waiting { .. })
    }

    /// Whether it may come of what upsd had said about another UPS over the same connection.
    pub(super) const fn may_be_of_another(&self) -> bool {
        matches!(
            self,
            Self::Line { error: LineError::Unexpected(_), .. }
                | Self::Wire(WireError::Closed { .. } | WireError::CutShort { .. } | WireError::Broken { .. })
        )
    }
}

impl From<&NutError> for Trouble {
    fn from(error: &NutError) -> Self {
        Self::new(error.reason(), error)
    }
}
