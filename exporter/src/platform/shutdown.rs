//! What the seam says about the system's own going down, whatever the system.

use std::time::Duration;

use super::FileError;
use crate::blocking::Blocked;
use crate::label::Label;
use crate::shutdown::Scheduled;

/// What the system says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SystemShutdown {
    pub scheduled: Option<Scheduled>,
    /// Whether it has begun; none where nobody was asked who knows.
    pub under_way: Option<bool>,
    /// What users are told of it.
    pub message: Option<Label>,
}

/// Why the system could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ShutdownError {
    #[error("cannot read the scheduled shutdown: {0}")]
    File(#[from] FileError),
    #[error("{0} holds no shutdown that this program understands; please report it with the file")]
    Malformed(Label),
    #[error("systemd-logind did not answer within {} s; see its log", deadline.as_secs_f64())]
    NoAnswer { deadline: Duration },
    #[error("{path}: not read: {blocked}")]
    FileBlocked { path: Label, blocked: Blocked },
    #[error("systemd-logind cannot be asked over the system bus: {detail}")]
    Bus { detail: Label },
}

impl ShutdownError {
    /// Stable, for metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::Malformed(_) => "malformed",
            Self::NoAnswer { .. } => "timeout",
            Self::FileBlocked { blocked, .. } => blocked.reason(),
            Self::Bus { .. } => "bus",
        }
    }
}

impl SystemShutdown {
    /// What two who may know of it say together.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            scheduled: self.scheduled.or(other.scheduled),
            under_way: self.under_way.or(other.under_way),
            message: self.message.or(other.message),
        }
    }
}
