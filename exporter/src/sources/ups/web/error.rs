//! Why a web UI was not read.

use std::path::PathBuf;
use std::time::Duration;

use super::book::LoginOutcome;
use crate::from_files::FilesUnavailable;
use crate::password_file::PasswordFileError;
use crate::probe::{ProbeError, RootsError};
use crate::ups::UpsFault;

#[derive(Debug, thiserror::Error)]
pub(super) enum WebError {
    #[error("cannot read the password file: {0}")]
    Password(#[from] FilesUnavailable<PasswordFileError>),
    #[error("{}: holds no password yet, and none is tried; write the password into its first line", path.display())]
    NoPassword { path: PathBuf },
    #[error("cannot read the authorities to trust: {0}")]
    Trust(#[from] FilesUnavailable<RootsError>),
    #[error(
        "{address}: no authorities to check it against; set caFile to its CA, or to the agent's own certificate in PEM"
    )]
    NoTrust { address: String },
    #[error("{0}")]
    Dial(#[from] ProbeError),
    #[error("{address}: no TLS connection ({detail}); check caFile and serverName")]
    Tls { address: String, detail: String },
    #[error("{address}: {step} brought no whole answer ({detail})")]
    Broken { address: String, step: &'static str, detail: String },
    #[error("{address}: the answer to {step} is larger than {limit} bytes; is this a PowerChute agent?")]
    TooLarge { address: String, step: &'static str, limit: usize },
    #[error("{address}: {step} {what}; is this a PowerChute agent?")]
    Unexpected { address: String, step: &'static str, what: String },
    #[error(
        "{address}: the login was refused; put the right password into the password file. It is not tried again until \
         another stands there or an hour has passed, and two are refused in an hour at most, because three wrong ones lock the UI"
    )]
    Refused { address: String },
    #[error(
        "{address}: an earlier login of this host {}; the next is tried in {} s, to keep the UI from being locked",
        match last { LoginOutcome::Refused => "was refused", LoginOutcome::Tried => "has not told its end", _ => "failed" },
        wait.as_secs()
    )]
    Forbidden { address: String, last: LoginOutcome, wait: Duration },
    #[error(
        "{address}: no login is tried, because no other process would know of it ({why}); see stateDirectory and whether this \
         account may write there"
    )]
    Unwritten { address: String, why: String },
    #[error("{address}: somebody else is logged on, and the UI takes one at a time; theirs is left alone")]
    Busy { address: String },
    #[error("{address}: no end within the deadline; the login, if there was one, is being ended")]
    Timeout { address: String },
}

impl WebError {
    pub(super) fn fault(&self) -> UpsFault {
        match self {
            Self::Password(unread) => unread.into(),
            Self::Trust(unread) => unread.into(),
            Self::NoTrust { .. } | Self::Tls { .. } => UpsFault::Tls,
            Self::Dial(error) => error.into(),
            Self::Broken { .. } | Self::NoPassword { .. } => UpsFault::ReadFailed,
            Self::TooLarge { .. } => UpsFault::TooLarge,
            Self::Unexpected { .. } => UpsFault::Protocol,
            Self::Refused { .. } => UpsFault::Auth,
            Self::Forbidden { last: LoginOutcome::Refused, .. } => UpsFault::Auth,
            Self::Forbidden { last: LoginOutcome::Tried, .. } => UpsFault::LoginCutOff,
            Self::Busy { .. } | Self::Forbidden { .. } => UpsFault::Busy,
            Self::Unwritten { .. } => UpsFault::StateDirectory,
            Self::Timeout { .. } => UpsFault::Timeout,
        }
    }
}
