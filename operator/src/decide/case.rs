//! The inputs with what follows from them, worked out once before the rules speak.

use jiff::Timestamp;
use kagiban_crds::Generation;
use kagiban_crds::host_api::{AgentReport, RotationReport, RotationState};
use kagiban_crds::resource::{LeafStatus, ManagedAgentCertificateStatus, RotationStatus, RotationTrigger};

use super::inputs::{Inputs, Obstacle};
use super::standing::{highest_generation, is_out_of_reach, undecided};
use super::{Step, due, request_digest, settle};

/// Generations are stored by the API server as signed numbers.
const LAST_GENERATION: u64 = i64::MAX.unsigned_abs();
/// Of a path that a host tells, in characters: longer than any that Windows opens by its usual name.
const LONGEST_PATH: usize = 300;

pub(super) struct Case<'a> {
    pub(super) inputs: Inputs<'a>,
    /// The status with every ended rotation written down.
    pub(super) settled: ManagedAgentCertificateStatus,
    /// What the spec asks for now.
    pub(super) digest: String,
    /// Why a new rotation is due, if it is.
    pub(super) due: Option<RotationTrigger>,
}

/// What a rule says: a step, and what stands in the way if the step is to wait.
pub(super) struct Verdict {
    pub(super) step: Step,
    pub(super) obstacle: Option<Obstacle>,
}

impl<'a> Case<'a> {
    pub(super) fn new(inputs: Inputs<'a>) -> Self {
        let digest = request_digest(&inputs.resource.spec);
        let settled = settle::settle(&inputs, &digest);
        let due = due::due(&inputs, &settled, &digest);
        Self { inputs, settled, digest, due }
    }

    pub(super) fn report(&self) -> Option<&'a AgentReport> {
        match self.inputs.host {
            super::Observed::Seen(report) => Some(report),
            super::Observed::Unseen(_) => None,
        }
    }

    /// The file that the agent keeps its certificate in, where it serves none.
    pub(super) fn kept_in(&self) -> Option<String> {
        Some(settle::bounded(self.report()?.kept_in.as_deref()?, LONGEST_PATH))
    }

    /// What is told of a leaf that was seen at its place.
    pub(super) fn in_use(&self) -> String {
        self.kept_in().map_or_else(|| "served".to_owned(), |file| format!("kept in {file}"))
    }

    pub(super) fn leaf(&self) -> Option<&LeafStatus> {
        self.settled.leaf.as_ref()
    }

    /// Our rotation, while we do not know how it ended.
    pub(super) fn open_rotation(&self) -> Option<&RotationStatus> {
        undecided(&self.settled)
    }

    /// The rotation that the host works on, whoever opened it.
    pub(super) fn host_rotation(&self) -> Option<&'a RotationReport> {
        self.report()?.rotation.as_ref().filter(|rotation| !rotation.state.is_decided())
    }

    /// The generation after every one that was ever used, here or on the host, as far as the host follows: one that it named
    /// once and knows nothing of now is forgotten.
    pub(super) fn next_generation(&self) -> Option<Generation> {
        let here = self.settled.rotation.as_ref().map_or(0, |rotation| rotation.generation);
        let there = self.report().map_or(0, highest_generation);
        let highest = if is_out_of_reach(here, there) { there } else { here.max(there) };
        (highest < LAST_GENERATION).then(|| Generation(highest).next())
    }

    /// Whether the rotate annotation has a value that no rotation was opened for yet.
    pub(super) fn is_asked_anew(&self) -> bool {
        let answered = self.settled.rotation.as_ref().and_then(|rotation| rotation.rotate.as_deref());
        self.owed_rotate().is_some_and(|owed| Some(owed) != answered)
    }

    /// The value of the rotate annotation that no verified leaf has answered yet.
    pub(super) fn owed_rotate(&self) -> Option<&'a str> {
        due::owed_rotate(&self.inputs, &self.settled)
    }

    /// How the leaf in force differs from what the spec asks for as it is written now.
    pub(super) fn not_in_force(&self) -> Option<RotationTrigger> {
        self.leaf().and_then(|leaf| due::not_in_force(&self.inputs, leaf, &self.digest))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.inputs.now
    }

    pub(super) fn blocked(obstacle: Obstacle, retry: Timestamp) -> Verdict {
        Verdict { step: Step::Blocked { by: obstacle.by, retry }, obstacle: Some(obstacle) }
    }
}

impl Verdict {
    pub(super) const fn clear(step: Step) -> Self {
        Self { step, obstacle: None }
    }
}

/// Whether the keystore may have been touched already.
pub(super) const fn is_deployed(state: RotationState) -> bool {
    match state {
        RotationState::Requested
        | RotationState::Keyed
        | RotationState::Validated
        | RotationState::Staged
        | RotationState::BackedUp => false,
        RotationState::Renewing
        | RotationState::Swapped
        | RotationState::Restarting
        | RotationState::Verifying
        | RotationState::Committed
        | RotationState::RollingBack
        | RotationState::RolledBack
        | RotationState::Frozen => true,
    }
}
