//! The workers of a host, and which agents take no request.

use std::collections::BTreeMap;
use std::time::Duration;

use kagiban_crds::AgentName;

use super::machine::State;
use super::rotator::Host;
use super::worker::{AgentStatus, BAD_CONFIGURATION, Worker};

#[derive(Clone, Debug)]
pub struct Workers {
    pub host: Host,
    pub workers: Vec<Worker>,
    /// The agents that cannot be rotated as they are configured, and why. One that has a worker all the same finishes what
    /// an earlier run left.
    pub refused: BTreeMap<AgentName, String>,
}

impl Workers {
    /// The agents whose rotation is neither decided nor waiting for its chain: their services may be down.
    pub fn unfinished(&self) -> Vec<&AgentName> {
        let unfinished = self.workers.iter().filter(|worker| !worker.has_ended() && is_unfinished(&worker.status()));
        unfinished.map(|worker| &worker.name).collect()
    }

    /// Whether an agent takes nothing, as it is configured.
    pub fn refuses_any(&self) -> bool {
        self.workers.iter().any(|worker| {
            let bad = |status| matches!(status, AgentStatus::Unread { reason: BAD_CONFIGURATION, .. });
            self.refused.contains_key(&worker.name) || bad(worker.status())
        })
    }

    /// The longest that all may take to leave every service up once the program is to end. Each has a thread of its own.
    pub fn stop_timeout(&self) -> Duration {
        self.workers.iter().map(|worker| worker.grace).max().unwrap_or_default()
    }
}

/// Whether something is still to be done for an agent, as far as is known.
pub fn is_unfinished(status: &AgentStatus) -> bool {
    match status {
        AgentStatus::Reading | AgentStatus::Failed { .. } => true,
        AgentStatus::Unread { .. } => false,
        AgentStatus::Known(snapshot) => {
            let rotation = snapshot.record.rotation.as_ref();
            rotation.is_some_and(|rotation| !rotation.state.is_decided() && rotation.state != State::Keyed)
        }
    }
}
