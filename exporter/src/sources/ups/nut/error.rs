//! Why upsd, or one of its UPSes, told us nothing.

use super::protocol::{LineError, UpsdRefusal};
use crate::from_files::FilesUnavailable;
use crate::password_file::PasswordFileError;
use crate::probe::RootsError;
use crate::snapshot::UpsTrouble;
use crate::sources::ups::wire::WireError;
use crate::ups::UpsFault;

#[derive(Debug, thiserror::Error)]
pub(super) enum NutError {
    #[error("cannot read the password file: {0}")]
    Password(#[from] FilesUnavailable<PasswordFileError>),
    #[error("the user name or the password has a line end in it, which upsd cannot be told; take it out")]
    Unspeakable,
    #[error("cannot read the authorities to trust: {0}")]
    Trust(#[from] FilesUnavailable<RootsError>),
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
    pub(super) fn fault(&self) -> UpsFault {
        match self {
            Self::Password(unread) => unread.into(),
            Self::Unspeakable => UpsFault::Auth,
            Self::Trust(unread) => unread.into(),
            Self::NoTrust { .. } | Self::Tls { .. } => UpsFault::Tls,
            Self::Wire(error) => error.fault(),
            Self::Line { error, .. } => match error {
                LineError::Refused(refusal) => match refusal {
                    UpsdRefusal::DataStale => UpsFault::DataStale,
                    UpsdRefusal::DriverNotConnected => UpsFault::DriverNotConnected,
                    UpsdRefusal::UnknownUps => UpsFault::UnknownUps,
                    UpsdRefusal::Denied | UpsdRefusal::Access(_) => UpsFault::Auth,
                    UpsdRefusal::Feature(_) => UpsFault::Tls,
                    UpsdRefusal::Other(_) => UpsFault::Protocol,
                },
                LineError::Unexpected(_) => UpsFault::Protocol,
                LineError::TooManyRows(_) => UpsFault::TooLarge,
            },
            Self::Waiting { .. } => UpsFault::DataStale,
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

impl From<&NutError> for UpsTrouble {
    fn from(error: &NutError) -> Self {
        Self::new(error.fault(), error)
    }
}
