//! What is said of a program as a service of the system, where it registers itself as one.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::program::ServiceProgram;

/// How the service is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// None is this one.
    pub program: Option<PathBuf>,
    /// What the program is given: paths are absolute, since a service's current directory is the system's.
    pub arguments: Vec<OsString>,
    /// Whether how a service that is there starts stays as somebody has set it.
    pub keeps_start: bool,
    pub account: ServiceAccount,
}

/// As whom the service works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceAccount {
    /// As it is there; as the system where it is not.
    AsItIs,
    System,
    /// As an account that no other program has: [`ServiceProgram::account`].
    OfItsOwn,
}

/// What had to be done for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    Created,
    /// It was there, for another program or with other arguments.
    Changed,
    /// It was there already, and its settings were written once more.
    AsBefore,
}

/// What became of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It was asked to start, or runs already.
    Asked,
    /// Somebody has disabled it, and it is left so.
    IsDisabled,
}

/// What was there to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unregistered {
    Removed,
    WasNotThere,
}

/// What the service manager tells of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredService {
    /// As the manager starts it: the program and its arguments, quoted.
    pub command_line: OsString,
    /// The same without the program, parted as it parts them when it is started.
    pub arguments: Vec<OsString>,
    pub starts_by_itself: bool,
    /// As whom it works.
    pub account: Option<OsString>,
    pub state: ServiceState,
    /// Before each of its starts after a failure; the last one holds for every later failure. None where the system does not tell.
    pub restarts_after: Option<Vec<Duration>>,
}

/// As far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    Stopped,
    Running,
    /// On its way to one of them.
    Pending,
    /// This program accepts no pause, so that a service in this state is another program's.
    Paused,
}

/// Why the service is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error("here systemd runs this program: {}", .0.of_systemd)]
    OfSystemd(&'static ServiceProgram),
    #[error(
        "cannot {tried}: access is denied; run this as an administrator, in a console that was started with `Run as administrator`"
    )]
    Denied { tried: &'static str },
    #[error(
        "cannot {tried}: the service is marked for deletion; close the Services console and whatever else has it open, and try again"
    )]
    MarkedForDeletion { tried: &'static str },
    #[error("cannot {tried}: {source}")]
    Failed { tried: &'static str, source: io::Error },
    #[error("cannot {tried}: the service control manager did not answer within {} s; try again once the host has settled", deadline.as_secs())]
    NoAnswer { tried: &'static str, deadline: Duration },
    #[error("the service is not there; `{name} service install` registers it", name = .0.name)]
    NotThere(&'static ServiceProgram),
    #[error("the service does not run; start it with `sc start {}`", .0.name)]
    NotRunning(&'static ServiceProgram),
    #[error(
        "the service has not stopped within {} s and was left as it is; its log says what it waits for, which may be {}; try again",
        deadline.as_secs(), program.stop_waits_for
    )]
    DoesNotStop { program: &'static ServiceProgram, deadline: Duration },
    #[error(
        "the service has failed, and Windows starts it again within {} s of that: it is down for now only; try again with a --timeout that \
         is longer, or disable it first (`sc config {} start= disabled`)", restarted_within.as_secs(), program.name
    )]
    MayStartAgain { program: &'static ServiceProgram, restarted_within: Duration },
    #[error(
        "only the service control manager starts the program so: register it with `{name} service install` and start it with \
         `sc start {name}`, or leave out `service run` to run it in this console", name = .0.name
    )]
    NotStartedByManager(&'static ServiceProgram),
}

impl RegistrationError {
    /// Stable, for scripts.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::OfSystemd(_) => "systemd",
            Self::Denied { .. } => "denied",
            Self::MarkedForDeletion { .. } => "marked_for_deletion",
            Self::Failed { .. } => "service_manager",
            Self::NoAnswer { .. } => "timeout",
            Self::NotThere(_) => "not_there",
            Self::NotRunning(_) => "not_running",
            Self::DoesNotStop { .. } => "does_not_stop",
            Self::MayStartAgain { .. } => "may_start_again",
            Self::NotStartedByManager(_) => "not_started_by_manager",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::TESTED;

    #[test]
    fn what_is_told_of_a_program_has_its_name_and_not_another_ones() {
        let deadline = Duration::from_secs(7);
        for (error, reason, told) in [
            (RegistrationError::OfSystemd(&TESTED), "systemd", "systemctl enable --now kagiban-tested"),
            (RegistrationError::NotThere(&TESTED), "not_there", "`kagiban-tested service install`"),
            (RegistrationError::NotRunning(&TESTED), "not_running", "`sc start kagiban-tested`"),
            (
                RegistrationError::NotStartedByManager(&TESTED),
                "not_started_by_manager",
                "`kagiban-tested service install`",
            ),
            (RegistrationError::DoesNotStop { program: &TESTED, deadline }, "does_not_stop", "within 7 s"),
            (
                RegistrationError::MayStartAgain { program: &TESTED, restarted_within: deadline },
                "may_start_again",
                "sc config kagiban-tested start= disabled",
            ),
        ] {
            let text = error.to_string();
            assert!(error.reason() == reason && text.contains(told) && !text.contains("exporter"), "{text}");
        }
    }
}
