//! What a service manager does elsewhere. What the service control manager does for this program is in kagiban-service.

use std::path::Path;

use super::super::{Ability, Command, HandoverError, NotOnThisSystem};
use super::sockets::InheritedSocket;

/// The sockets that a service manager has opened for this process.
///
/// # Errors
/// Always.
pub fn inherited_sockets() -> Result<Vec<InheritedSocket>, HandoverError> {
    Err(NotOnThisSystem(Ability::HandedOverSockets).into())
}

/// The same start of a service, queued instead of waited for: absent, since no service is started.
pub const fn queued_start(_start: &Command) -> Option<Command> {
    None
}

/// What another program has the service manager run: none does so here.
pub const fn run_by_manager(_command: &Command) -> Option<Command> {
    None
}

/// Whether the service manager itself carries this stop out.
pub const fn is_managed_stop(_stop: &Command) -> bool {
    false
}

/// What the service of the host API may write to: there is no such service.
#[derive(Clone, Debug)]
pub enum ServiceWrites {}

/// The service of this name: it has no other.
pub fn unit_behind(name: &str) -> String {
    name.to_owned()
}

/// None: there is no such service.
pub const fn host_api_service_writes() -> Option<ServiceWrites> {
    None
}

impl ServiceWrites {
    /// What the service is called.
    pub const fn service(&self) -> &'static str {
        match *self {}
    }

    /// Whether a file in this directory can be replaced.
    pub const fn may_write(&self, _directory: &Path) -> bool {
        match *self {}
    }

    /// What lets it write there.
    pub const fn fix(&self, _directory: &Path) -> String {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_nobody_can_hand_over_are_refused_and_not_taken_for_none() {
        let told = inherited_sockets().expect_err("refused").to_string();
        assert!(told.contains(online!("docs/windows.md")) && told.contains("--web.systemd-socket"), "{told}");
    }
}
