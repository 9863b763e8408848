//! What is known of the rotations of one agent of this host.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kagiban_agents::Product;
use kagiban_crds::host_api::{FunctionSighting, RotationState};

use super::{Label, Trouble};

/// One agent, for as long as this program knows of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentRotations {
    /// Why no request for this agent is taken; absent when they are.
    pub trouble: Option<Trouble>,
    /// Absent while its journal is not known.
    pub known: Option<RotationSeen>,
    /// How many rotations came to which end since this program was started.
    pub decided: BTreeMap<RotationState, u64>,
    /// How often a rotation was seen to begin, to go on or to end since this program was started: of what was seen at another count than
    /// this one, the agent may have had another certificate.
    pub changes: u64,
    /// How the newest stood when it was last known.
    standing: Option<(u64, Option<RotationState>, Option<Timestamp>)>,
}

/// The reason of the trouble that is there until an agent's journal was read.
pub const READING: &str = "reading";

/// How an agent's newest rotation stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RotationSeen {
    /// Absent of an agent that is not configured any more.
    pub product: Option<Product>,
    /// The highest that was accepted; zero before the first.
    pub generation: u64,
    /// Absent when none was ever opened.
    pub state: Option<RotationState>,
    /// Why it did not commit, or will not.
    pub failure: Option<FailureSeen>,
    /// Absent while it is not decided.
    pub decided_at: Option<Timestamp>,
    /// What came of the last question of it whether the agent does its work; absent where nothing is asked.
    pub function: Option<FunctionSighting>,
    /// When a rotation last saw the agent work.
    pub function_worked_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureSeen {
    pub reason: Label,
    pub message: Label,
}

impl AgentRotations {
    /// A decision that was there already when this program began to look is none of its own.
    pub(super) fn note(&mut self, trouble: Option<Trouble>, known: Option<RotationSeen>) {
        let standing = |seen: &RotationSeen| (seen.generation, seen.state);
        if let (Some(before), Some(now)) = (&self.known, &known)
            && let Some(state) = now.state.filter(|state| state.is_decided())
            && standing(before) != standing(now)
        {
            *self.decided.entry(state).or_default() += 1;
        }
        if let Some(now) = &known {
            let now = (now.generation, now.state, now.decided_at);
            // At the first sight an earlier run's may just have been finished, and one that there never was has changed nothing.
            let is_new = self.standing.map_or(now.1.is_some(), |before| before != now);
            self.changes += u64::from(is_new);
            self.standing = Some(now);
        }
        (self.trouble, self.known) = (trouble, known);
    }

    pub fn is_on_its_way(&self) -> bool {
        self.known.as_ref().and_then(|seen| seen.state).is_some_and(|state| !state.is_decided())
    }

    pub fn is_frozen(&self) -> bool {
        self.known.as_ref().is_some_and(|seen| seen.state == Some(RotationState::Frozen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(generation: u64, state: RotationState) -> Option<RotationSeen> {
        Some(RotationSeen { generation, state: Some(state), ..RotationSeen::default() })
    }

    #[test]
    fn a_rotation_is_counted_once_when_it_is_decided_and_not_when_it_was_decided_before() {
        let mut agent = AgentRotations::default();
        agent.note(None, seen(1, RotationState::Frozen));
        assert!(agent.decided.is_empty() && agent.is_frozen());
        agent.note(None, seen(2, RotationState::Keyed));
        agent.note(None, seen(2, RotationState::Committed));
        agent.note(None, seen(2, RotationState::Committed));
        agent.note(None, seen(3, RotationState::Committed));
        assert_eq!(agent.decided, BTreeMap::from([(RotationState::Committed, 2)]));
    }
}
