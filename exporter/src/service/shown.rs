//! What the metrics are told of rotations.

use std::collections::BTreeSet;
use std::sync::Arc;

use kagiban_crds::AgentName;
use kagiban_crds::host_api::RotationState;
use tokio::sync::watch;
use tracing::{error, warn};

use crate::rotation::{AgentStatus, Record, RefusedAgents, StateDirectory, Worker};
use crate::snapshot::{Board, FailureSeen, Label, READING, RotationSeen, Trouble};

/// The board, as the rotations write on it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    board: Arc<Board>,
}

/// What an earlier run left of an agent that is not configured any more.
#[derive(Debug)]
pub(super) struct Orphan {
    agent: String,
    seen: Option<RotationSeen>,
}

impl Shown {
    pub(super) fn new(board: Arc<Board>) -> Self {
        Self { board }
    }

    pub(super) fn reading(&self, agent: &AgentName) {
        let trouble = Trouble::new(READING, "its journal is being read");
        self.board.note_rotation(&Label::new(agent.as_str()), Some(trouble), None);
    }

    pub(super) fn refused(&self, agent: &Label, reason: &'static str, message: &str) {
        self.board.note_rotation(agent, Some(Trouble::new(reason, message)), None);
    }

    /// Says what was left undone, and that nobody will do it.
    pub(super) fn left(&self, orphan: Orphan) {
        let Orphan { agent, seen } = orphan;
        let state = seen.as_ref().and_then(|seen| seen.state);
        if state.is_some_and(|state| matches!(state, RotationState::Committed | RotationState::RolledBack)) {
            return;
        }
        let message = "an earlier run left a rotation of this agent that is not decided, and the configuration does not name \
                       the agent any more: put it back under `agents` and restart the exporter, or look after its keystore and service and remove \
                       its journal";
        let shown = state.map_or("unknown", RotationState::as_str);
        warn!(agent, state = shown, "{message}");
        self.board.note_rotation(&Label::new(&agent), Some(Trouble::new("not_configured", message)), seen);
    }

    /// Tells every change of a worker's until it ends. `refused` says which agents take nothing new, and why.
    pub(super) fn follow(
        &self,
        worker: &Worker,
        mut refused: watch::Receiver<RefusedAgents>,
    ) -> impl Future<Output = ()> + use<> {
        let (board, mut status, agent) = (Arc::clone(&self.board), worker.watch(), worker.name.clone());
        let (label, product) = (Label::new(agent.as_str()), worker.product);
        async move {
            let mut was_frozen = false;
            loop {
                let now = status.borrow_and_update().clone();
                let (trouble, seen) = told(&now);
                let seen = seen.map(|seen| RotationSeen { product: Some(product), ..seen });
                let frozen = seen.as_ref().filter(|seen| seen.state == Some(RotationState::Frozen));
                if let Some(failure) = frozen.and_then(|seen| seen.failure.as_ref()).filter(|_| !was_frozen) {
                    let FailureSeen { reason, message } = failure;
                    error!(%agent, %reason, error = %message, "the agent is frozen: a person must look");
                }
                was_frozen = frozen.is_some();
                let because = || {
                    let refused = refused.borrow_and_update();
                    refused.get(&agent).map(|why| Trouble::new(why.reason, &why.message))
                };
                board.note_rotation(&label, trouble.or_else(because), seen);
                tokio::select! {
                    changed = status.changed() => if changed.is_err() {
                        return;
                    },
                    Ok(()) = refused.changed() => {}
                }
            }
        }
    }
}

fn told(status: &AgentStatus) -> (Option<Trouble>, Option<RotationSeen>) {
    match status {
        AgentStatus::Reading => (Some(Trouble::new(READING, "its journal is being read")), None),
        AgentStatus::Unread { reason, message } => (Some(Trouble::new(reason, message)), None),
        AgentStatus::Failed { message } => (Some(Trouble::new("panic", message)), None),
        AgentStatus::Known(snapshot) => (None, Some(seen(&snapshot.record))),
    }
}

fn seen(record: &Record) -> RotationSeen {
    let rotation = record.rotation.as_ref();
    let state = rotation.map(|rotation| rotation.state.reported());
    let failure = rotation.and_then(|rotation| rotation.state.failure());
    let decided = rotation.filter(|rotation| rotation.state.is_decided());
    RotationSeen {
        product: None,
        generation: record.generation.0,
        state,
        failure: failure
            .map(|failure| FailureSeen { reason: Label::new(&failure.reason), message: Label::new(&failure.message) }),
        function: rotation.and_then(|rotation| rotation.function.clone()).map(|seen| seen.after.unwrap_or(seen.before)),
        function_worked_at: record.function_worked_at,
        decided_at: decided.and_then(|rotation| rotation.steps.last()).map(|step| step.at),
    }
}

/// What earlier runs left of agents that are not `configured`.
pub(super) fn left_by_others(state_directory: &StateDirectory, configured: &BTreeSet<String>) -> Vec<Orphan> {
    let agents =
        state_directory.agents_with_journals().into_iter().filter(|agent| !configured.contains(agent.as_str()));
    let orphan = |agent: AgentName| {
        let record = Record::peek(&state_directory.journal(&agent), &agent);
        Orphan { agent: agent.to_string(), seen: record.as_ref().map(seen) }
    };
    agents.map(orphan).collect()
}
