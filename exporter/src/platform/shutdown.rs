//! What the seam says about the system's own going down, whatever the system.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{FileError, NotOnThisSystem};
use crate::blocking::Blocked;
use crate::label::Label;

/// What the system says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SystemShutdown {
    pub scheduled: Option<Scheduled>,
    /// Whether it has begun; none where nobody was asked who knows.
    pub under_way: Option<bool>,
    /// What users are told of it.
    pub message: Option<Label>,
}

/// A shutdown at a chosen time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduled {
    pub kind: ShutdownKind,
    pub at: Timestamp,
    /// Announced, but nothing will happen.
    pub dry_run: bool,
}

/// What the system will do: the label `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShutdownKind {
    Poweroff,
    Reboot,
    Halt,
    Kexec,
    SoftReboot,
    /// A word that no table of ours knows.
    Other,
}

/// The system goes down within seconds of the time; who delays it has five of them by default. What still stands minutes
/// later was not carried out.
const CARRIED_OUT_WITHIN: SignedDuration = SignedDuration::from_mins(5);

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
    #[error(transparent)]
    NotOnThisSystem(#[from] NotOnThisSystem),
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
            Self::NotOnThisSystem(_) => NotOnThisSystem::REASON,
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

impl Scheduled {
    /// Whether its time is ahead, or so near that it is being carried out.
    pub(crate) fn is_current(&self, now: Timestamp) -> bool {
        now.duration_since(self.at) < CARRIED_OUT_WITHIN
    }
}

impl ShutdownKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poweroff => "poweroff",
            Self::Reboot => "reboot",
            Self::Halt => "halt",
            Self::Kexec => "kexec",
            Self::SoftReboot => "soft-reboot",
            Self::Other => "other",
        }
    }
}
