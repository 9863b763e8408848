//! Linux: systemd has units, which the packages bring, so that no program registers itself. It is told where a program is in its life,
//! asks by signals, and writes down what a program says.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kagiban_files::{FileError, FileRead, read_listed};
use kagiban_process::system::Request;
use sd_notify::NotifyState;

use crate::lifecycle::Lifecycle;
use crate::program::ServiceProgram;
use crate::registration::{Registered, RegisteredService, Registration, RegistrationError, Started, Unregistered};
use crate::severity::LogSeverity;

/// Whether a program of ours registers itself as a service here.
pub const REGISTERS_ITSELF: bool = false;

/// Where a program keeps what it must know again: as systemd's `StateDirectory=` makes it.
pub fn state_directory(name: &str) -> PathBuf {
    Path::new("/var/lib").join(name)
}

/// Where what the service needs lies, and its log: nowhere.
///
/// # Errors
/// Always, as all of these.
pub const fn service_directory(program: &'static ServiceProgram) -> Result<PathBuf, RegistrationError> {
    Err(RegistrationError::OfSystemd(program))
}

/// # Errors
/// Always.
pub const fn register_service(
    program: &'static ServiceProgram,
    _: &Registration,
    _deadline: Duration,
) -> Result<(Registered, Vec<&'static str>), RegistrationError> {
    Err(RegistrationError::OfSystemd(program))
}

/// # Errors
/// Always.
pub const fn unregister_service(
    program: &'static ServiceProgram,
    _stops_within: Duration,
) -> Result<Unregistered, RegistrationError> {
    Err(RegistrationError::OfSystemd(program))
}

/// # Errors
/// Always.
pub const fn start_service(
    program: &'static ServiceProgram,
    _deadline: Duration,
) -> Result<Started, RegistrationError> {
    Err(RegistrationError::OfSystemd(program))
}

/// # Errors
/// Always.
pub const fn stop_service(program: &'static ServiceProgram, _stops_within: Duration) -> Result<(), RegistrationError> {
    Err(RegistrationError::OfSystemd(program))
}

/// # Errors
/// Always.
pub const fn reload_service(program: &'static ServiceProgram, _deadline: Duration) -> Result<(), RegistrationError> {
    Err(RegistrationError::OfSystemd(program))
}

/// # Errors
/// Always.
pub const fn registered_service(
    program: &'static ServiceProgram,
    _deadline: Duration,
) -> Result<Option<RegisteredService>, RegistrationError> {
    Err(RegistrationError::OfSystemd(program))
}

/// # Errors
/// Always.
pub fn run_as_service(
    program: &'static ServiceProgram,
    _work: impl FnOnce() -> u8 + Send + 'static,
) -> Result<(), RegistrationError> {
    Err(RegistrationError::OfSystemd(program))
}

/// Whether nobody but administrators may change what lies at a path: units and packages say who runs as what here.
///
/// # Errors
/// None.
pub const fn check_unexposed(_path: &Path) -> Result<(), FileError> {
    Ok(())
}

/// The same of a program.
///
/// # Errors
/// None.
pub const fn check_unexposed_program(_program: &Path) -> Result<(), FileError> {
    Ok(())
}

/// The same of the directories above a path alone.
///
/// # Errors
/// None.
pub const fn check_way(_path: &Path) -> Result<(), FileError> {
    Ok(())
}

/// Reads a file that its directory has just shown to be a regular one.
///
/// # Errors
/// Why it cannot be read.
pub fn read_unexposed(path: &Path, limit: u64) -> Result<FileRead, FileError> {
    read_listed(path, limit)
}

/// Has the account of a service counted among administrators: units say who it is, and nobody has to be told.
pub const fn trust_account_of(_: &'static ServiceProgram) {}

/// Whether the service manager runs this program in a way that others than administrators must not be able to turn: units say as whom
/// it works.
pub const fn is_hosted() -> bool {
    false
}

/// Nothing: systemd asks by signals.
pub async fn asked_by_manager() -> Request {
    std::future::pending().await
}

/// Tells systemd, if it listens.
///
/// # Errors
/// When it was not reached.
pub fn announce(word: &Lifecycle) -> std::io::Result<()> {
    match word {
        Lifecycle::Ready { status } => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)]),
        Lifecycle::Status { status } => sd_notify::notify(&[NotifyState::Status(status)]),
        Lifecycle::Reloading => sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?]),
        Lifecycle::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        Lifecycle::StillStopping { next_word_within, status } => {
            let microseconds = u32::try_from(next_word_within.as_micros()).unwrap_or(u32::MAX);
            sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(microseconds), NotifyState::Status(status)])
        }
    }
}

/// What systemd does not have: it writes down what a program says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemLog(Infallible);

impl SystemLog {
    /// None.
    pub(crate) const fn open(_: &'static ServiceProgram) -> Option<Self> {
        None
    }

    /// # Errors
    /// None: there is none.
    pub(crate) const fn write(&self, _: LogSeverity, _text: &str) -> std::io::Result<()> {
        match self.0 {}
    }
}
