//! What a person asks of a service, and is told of it: the same words for each program of ours.

use std::io::{self, Write};
use std::time::Duration;

use crate::program::ServiceProgram;
use crate::registration::{Registered, Registration, RegistrationError, Started, Unregistered};
use crate::system::{register_service, start_service, stop_service, unregister_service};

/// How long the service manager may take to answer: that of a host that starts has much to do.
pub const MANAGER_DEADLINE: Duration = Duration::from_secs(60);

/// Registers the service, and says what was done.
///
/// # Errors
/// When it is not registered, or nothing can be printed.
pub fn register<E>(program: &'static ServiceProgram, registration: &Registration, out: &mut dyn Write) -> Result<(), E>
where
    E: From<RegistrationError> + From<io::Error>,
{
    let (registered, unknown) = register_service(program, registration, MANAGER_DEADLINE)?;
    if !unknown.is_empty() {
        writeln!(out, "warning: the service manager of this system does not know {}", unknown.join(", "))?;
    }
    let done = match registered {
        Registered::Created => "is registered as a service",
        Registered::Changed => "has new settings, which count from its next start on",
        Registered::AsBefore => "is registered already, with these settings",
    };
    let name = program.name;
    Ok(writeln!(out, "{name} {done}; start it with `sc start {name}`")?)
}

/// Has the service started, and says so. The start is not waited for.
///
/// # Errors
/// When it is not asked to start, or nothing can be printed.
pub fn start<E>(program: &'static ServiceProgram, out: &mut dyn Write) -> Result<(), E>
where
    E: From<RegistrationError> + From<io::Error>,
{
    let name = program.name;
    match start_service(program, MANAGER_DEADLINE)? {
        Started::Asked => writeln!(out, "{name} was asked to start")?,
        Started::IsDisabled => writeln!(out, "{name} is disabled, and left so")?,
    }
    Ok(())
}

/// Stops the service, and says so. One that is not there is stopped.
///
/// # Errors
/// When it does not stop in time, or nothing can be printed.
pub fn stop<E>(program: &'static ServiceProgram, within: Duration, out: &mut dyn Write) -> Result<(), E>
where
    E: From<RegistrationError> + From<io::Error>,
{
    let name = program.name;
    match stop_service(program, within) {
        Ok(()) => writeln!(out, "{name} is stopped")?,
        Err(RegistrationError::NotThere(_)) => writeln!(out, "{name} is no service here")?,
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Stops the service and removes it, and says so. One that is not there is removed.
///
/// # Errors
/// When it is still there, or nothing can be printed.
pub fn remove<E>(program: &'static ServiceProgram, within: Duration, out: &mut dyn Write) -> Result<(), E>
where
    E: From<RegistrationError> + From<io::Error>,
{
    let name = program.name;
    match unregister_service(program, within)? {
        Unregistered::Removed => writeln!(out, "{name} is stopped and no service any more")?,
        Unregistered::WasNotThere => writeln!(out, "{name} is no service here")?,
    }
    Ok(())
}
