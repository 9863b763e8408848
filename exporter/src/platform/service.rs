//! What the seam says about services that the service control manager of Windows stops and starts by their names. On Linux a command does
//! that, whose own errors tell, and none of these comes up.

use std::io;
use std::time::Duration;

use super::ServiceVerb;

/// Why the service manager did not stop or start a service.
#[derive(Debug, thiserror::Error)]
pub enum ServiceControlError {
    #[error(
        "there is no service {name}; `sc.exe getkeyname \"WHAT THE CONSOLE OF SERVICES SHOWS\"` tells the name that it wants"
    )]
    NotFound { name: String },
    #[error(
        "service {name} is disabled and would not start again; `sc.exe config {name} start= demand` lets it be started"
    )]
    Disabled { name: String },
    #[error("kagiban-exporter may not {} service {name}; run it as LocalSystem, or give its account that right of the service (`sc.exe sdset`)", verb.as_str())]
    Denied { name: String, verb: ServiceVerb },
    #[error(
        "service {name} is not stopped while services that depend on it run: {}; stop them, and start them afterwards, or stop and start \
         all of them by a program each, as service.stop and service.start", dependents.join(", ")
    )]
    DependentsRunning { name: String, dependents: Vec<String> },
    #[error(
        "service {name} is kagiban-exporter itself, which would wait for its own end; name the service that reads the keystore"
    )]
    IsOwn { name: String },
    #[error("service {name} accepts no stop while it runs; its vendor says how it is stopped")]
    AcceptsNoStop { name: String },
    #[error(
        "service {name} hangs in {state}, {} s after its {} was asked for; its own log says why; end its process, or raise its timeout if it \
         needs longer", deadline.as_secs(), verb.as_str()
    )]
    Pending { name: String, verb: ServiceVerb, state: &'static str, deadline: Duration },
    #[error(
        "service {name} ended as soon as it was started, with {code}; its own log and the event log System say why"
    )]
    Ended { name: String, code: String },
    #[error("service {name} was not asked to {}: its timeout had passed before, or nobody waits for it any more", verb.as_str())]
    NotAsked { name: String, verb: ServiceVerb },
    #[error("service {name} was not asked to {}: this host goes down, and starts its services after the boot", verb.as_str())]
    HostGoesDown { name: String, verb: ServiceVerb },
    #[error("the service manager did not answer for service {name} within {} s", deadline.as_secs())]
    Silent { name: String, deadline: Duration },
    #[error("service {name} could not be asked to {}: {source}", verb.as_str())]
    Refused { name: String, verb: ServiceVerb, source: io::Error },
}

impl ServiceControlError {
    /// Stable, for logs and metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. }
            | Self::Disabled { .. }
            | Self::Denied { .. }
            | Self::IsOwn { .. }
            | Self::AcceptsNoStop { .. } => "not_runnable",
            Self::DependentsRunning { .. } => "dependents_running",
            Self::Pending { verb: ServiceVerb::Stop, .. } => "stop_pending",
            Self::Pending { verb: ServiceVerb::Start, .. } => "start_pending",
            Self::Ended { .. } => "failed",
            Self::Silent { .. } => "timed_out",
            Self::HostGoesDown { .. } => "host_goes_down",
            Self::NotAsked { .. } | Self::Refused { .. } => "not_started",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_others_need_is_told_with_them_and_what_to_do() {
        let dependents = vec!["Web".to_owned(), "Mail".to_owned()];
        let error = ServiceControlError::DependentsRunning { name: "Db".to_owned(), dependents };
        assert_eq!(error.reason(), "dependents_running");
        let told = error.to_string();
        assert!(told.contains("service Db") && told.contains("Web, Mail; stop them"), "{told}");
    }
}
