//! Running a program of an agent. Only rotations do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::super::{Ability, NotOnThisSystem, ProgramError, StartedProcess};

/// A program that runs, or is about to: there is none.
#[derive(Debug)]
pub enum RunningProgram {}

impl RunningProgram {
    /// The process that ends with it.
    pub const fn process(&self) -> Option<StartedProcess> {
        match *self {}
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// As [`run`].
    #[expect(clippy::unused_async, reason = "another system waits for it")]
    pub async fn wait(self) -> Result<(), ProgramError> {
        match self {}
    }
}

/// Runs a program of an agent until it ends.
///
/// # Errors
/// Always.
pub async fn run(agent: &str, argv: &[String], deadline: Duration) -> Result<(), ProgramError> {
    spawn(agent, argv, deadline)?.wait().await
}

/// Begins what [`run`] does.
///
/// # Errors
/// Always.
pub fn spawn(_agent: &str, argv: &[String], _deadline: Duration) -> Result<RunningProgram, ProgramError> {
    Err(refused(argv))
}

/// Whether [`run`] could begin this command.
///
/// # Errors
/// Always.
pub fn check_program(_agent: &str, argv: &[String]) -> Result<(), ProgramError> {
    Err(refused(argv))
}

fn refused(argv: &[String]) -> ProgramError {
    let program = argv.first().cloned().unwrap_or_default();
    ProgramError::NotOnThisSystem { program, source: NotOnThisSystem(Ability::Rotations) }
}

/// What of a command somebody else may exchange: none, since it is not run.
pub const fn exposed_part(_agent: &str, _argv: &[String]) -> Option<PathBuf> {
    None
}

/// None: this program starts no process of its own.
pub fn command_process(_: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    None
}

/// No command is run by any program.
pub const fn run_commands_by(_exporter: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_is_refused_and_says_where_to_read_why() {
        let argv = ["net".to_owned(), "stop".to_owned(), "secret".to_owned()];
        let refused = run("web", &argv, Duration::from_secs(1)).await.expect_err("refused");
        assert_eq!(refused.reason(), "not_on_this_system");
        let told = refused.to_string();
        assert!(told.contains("net is not run") && told.contains(online!("docs/windows.md")), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
}
