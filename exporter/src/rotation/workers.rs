//! The workers of a host, and which agents take no request.

use std::collections::BTreeMap;
use std::time::Duration;

use kagiban_crds::AgentName;
use tokio::sync::watch;

use super::host::Host;
use super::machine::Phase;
use super::worker::{AgentStatus, BAD_CONFIGURATION, NO_THREAD, Worker};

/// How long an agent of which nothing is known counts as one whose service may be down. A journal is read, and files are made
/// whole, in milliseconds; what takes longer hangs, or ends in one bug again and again, and may never end.
pub const UNKNOWN_WITHIN: Duration = Duration::from_secs(20);

/// Agents that take nothing new.
pub type RefusedAgents = BTreeMap<AgentName, AgentRefusal>;

/// Why an agent takes nothing new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRefusal {
    /// Stable, for metric labels.
    pub reason: &'static str,
    pub message: String,
    /// The configuration is to be mended; or else the host.
    pub is_configuration: bool,
}

#[derive(Clone, Debug)]
pub struct Workers {
    pub host: Host,
    pub workers: Vec<Worker>,
    /// The agents that cannot be rotated as they are configured or lie on the host. One that has a worker all the same
    /// finishes what an earlier run left.
    pub refused: watch::Receiver<RefusedAgents>,
}

impl Workers {
    /// The agents whose rotation is neither decided nor waiting for its chain, and those of which that is not known and was
    /// waited for no longer than [`UNKNOWN_WITHIN`]: their services may be down.
    pub fn unfinished(&self, waited: Duration) -> Vec<&AgentName> {
        let counts = |worker: &&Worker| {
            let status = worker.status();
            !worker.has_ended() && is_unfinished(&status) && !(is_unknown(&status) && waited >= UNKNOWN_WITHIN)
        };
        self.workers.iter().filter(counts).map(|worker| &worker.name).collect()
    }

    /// Whether an agent with a worker takes nothing, as it is configured.
    pub fn refuses_any(&self) -> bool {
        let refused = self.refused.borrow();
        self.workers.iter().any(|worker| {
            let bad = |status| matches!(status, AgentStatus::Unread { reason: BAD_CONFIGURATION, .. });
            refused.get(&worker.name).is_some_and(|why| why.is_configuration) || bad(worker.status())
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
            rotation.is_some_and(|rotation| !rotation.state.is_decided() && rotation.state != Phase::Keyed)
        }
    }
}

/// Whether its files are whole, or nothing that this program waits for makes them so. The system gives a thread again.
pub fn is_read(status: &AgentStatus) -> bool {
    !matches!(status, AgentStatus::Reading | AgentStatus::Unread { reason: NO_THREAD, .. })
}

/// Whether that is a guess: nothing of its journal is known now.
pub fn is_unknown(status: &AgentStatus) -> bool {
    match status {
        AgentStatus::Reading | AgentStatus::Failed { .. } => true,
        AgentStatus::Unread { .. } | AgentStatus::Known(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds A5: the service manager started the agent on a split pair.
    #[test]
    fn an_agent_without_a_thread_is_waited_for_as_one_that_is_read() {
        let unread = |reason| AgentStatus::Unread { reason, message: String::new() };
        assert!(!is_read(&AgentStatus::Reading) && !is_read(&unread(NO_THREAD)));
        assert!(is_read(&unread(BAD_CONFIGURATION)) && is_read(&AgentStatus::Failed { message: String::new() }));
    }
}
