//! What the seam says about programs, whatever the system.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ServiceControlError;

/// A process that is told from any other that had its number before, or will have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartedProcess {
    pub(crate) boot_id: String,
    pub(crate) number: u32,
    /// When it was started, by the system's own count since the boot.
    pub(crate) ticks: u64,
}

/// What a program printed, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub is_success: bool,
    /// For people.
    pub status: String,
    pub text: String,
}

/// Why a program did not do its work. The message names the program, not its arguments.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("{}: {why}, so {program} cannot be run; mend it, or the command in the configuration", path.display())]
    NotRunnable { program: String, path: PathBuf, why: &'static str },
    #[error("{program} could not be started: {source}; check the command in the configuration")]
    NotStarted { program: String, source: io::Error },
    #[error(
        "{program} could not be started, because kagiban-exporter starts commands by its own file, and {} cannot be run: {source}; see \
         its mount options, its mode and the limits of processes", own.display()
    )]
    NotLaunched { program: String, own: PathBuf, source: io::Error },
    #[error("{program} ended with {status}; its own log says why")]
    Failed { program: String, status: String },
    #[error("{program} did not end within {} s and was killed; raise its timeout if it needs longer", deadline.as_secs())]
    TimedOut { program: String, deadline: Duration },
    #[error("{program} printed more than {limit} bytes and was killed; run it by hand to see what")]
    TooMuch { program: String, limit: usize },
    #[error("{program} could not be waited for: {source}")]
    Lost { program: String, source: io::Error },
    #[error(transparent)]
    Service(#[from] ServiceControlError),
}

impl ProgramError {
    /// Known before anything was run.
    pub const NOT_RUNNABLE: &str = "not_runnable";

    /// Whether there is no such program.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotStarted { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotRunnable { .. } => Self::NOT_RUNNABLE,
            Self::NotStarted { .. } | Self::NotLaunched { .. } => "not_started",
            Self::Failed { .. } => "failed",
            Self::TimedOut { .. } => "timed_out",
            Self::TooMuch { .. } => "too_much_output",
            Self::Lost { .. } => "lost",
            Self::Service(error) => error.reason(),
        }
    }
}
