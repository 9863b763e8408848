//! Services that a program registers by itself: systemd has units instead, which the packages bring.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use super::super::{Registered, RegisteredService, Registration, RegistrationError, Started, Unregistered};

/// Whether this program registers itself as a service here.
pub const REGISTERS_ITSELF: bool = false;

/// Where the configuration of the service is, and its log: nowhere.
///
/// # Errors
/// Always, as all of these.
pub const fn service_directory() -> Result<PathBuf, RegistrationError> {
    Err(RegistrationError::OfSystemd)
}

/// # Errors
/// Always.
pub const fn register_service(
    _: &Registration,
    _deadline: Duration,
) -> Result<(Registered, Vec<&'static str>), RegistrationError> {
    Err(RegistrationError::OfSystemd)
}

/// # Errors
/// Always.
pub const fn unregister_service(_stops_within: Duration) -> Result<Unregistered, RegistrationError> {
    Err(RegistrationError::OfSystemd)
}

/// # Errors
/// Always.
pub const fn start_service(_deadline: Duration) -> Result<Started, RegistrationError> {
    Err(RegistrationError::OfSystemd)
}

/// # Errors
/// Always.
pub const fn stop_service(_stops_within: Duration) -> Result<(), RegistrationError> {
    Err(RegistrationError::OfSystemd)
}

/// # Errors
/// Always.
pub const fn reload_service(_deadline: Duration) -> Result<(), RegistrationError> {
    Err(RegistrationError::OfSystemd)
}

/// # Errors
/// Always.
pub const fn registered_service(_deadline: Duration) -> Result<Option<RegisteredService>, RegistrationError> {
    Err(RegistrationError::OfSystemd)
}

/// # Errors
/// Always.
pub fn run_as_service(_work: impl FnOnce() -> u8 + Send + 'static) -> Result<(), RegistrationError> {
    Err(RegistrationError::OfSystemd)
}

/// Nothing: systemd asks by signals.
pub async fn asked_by_manager() -> super::super::Request {
    std::future::pending().await
}

/// What systemd does not have: it writes down what a program says.
#[derive(Clone, Copy, Debug)]
pub struct SystemLog(Infallible);

impl SystemLog {
    /// None.
    pub const fn open() -> Option<Self> {
        None
    }

    /// # Errors
    /// None: there is none.
    pub const fn write(&self, _: super::super::LogSeverity, _text: &str) -> std::io::Result<()> {
        match self.0 {}
    }
}
