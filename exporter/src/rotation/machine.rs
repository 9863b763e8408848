//! What comes next in a rotation: pure, and every state of it is what a journal may hold.
//!
//! ```text
//!   Requested ─> Keyed ─> Validated ─> Staged ─> BackedUp ─> Stopping ─> Swapping ─> Swapped ─> Restarting ─> Verifying ─> Committed
//!       │          │          └───────────┴─────────┘            │           │          └─────────────┴────────────┘           │
//!       │          │                      v                      v           v                        v                        │ by order
//!       └──────────┴─────────────────> Discarding        Undo::Start   Undo::Restore              Undo::Stop  <────────────────┘
//!                                         │                      └── Stop ─> Restore ─> Start ─> Verify ──┐
//!                                         └────────────────────────> RolledBack <────────────────────────┴──> Frozen
//! ```

use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{Failure, RotationState};
use serde::{Deserialize, Serialize};

/// Recoveries of one rotation. After as many crashes the crash is likely ours, and a loop would keep the host unwatched.
pub const MAX_RECOVERIES: u32 = 3;

/// Where a rotation stands. It is durable before [`State::effect`] begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "phase", deny_unknown_fields)]
pub enum State {
    Requested,
    /// The key is in memory only; the CSR is out.
    Keyed,
    Validated,
    Staged,
    BackedUp,
    Stopping {
        before: Before,
    },
    Swapping {
        before: Before,
    },
    Swapped {
        before: Before,
    },
    Restarting {
        before: Before,
    },
    Verifying {
        before: Before,
    },
    /// Restarted somewhere behind the swap. The files may be on their way back: a rollback goes on when its journal
    /// cannot be written.
    Resuming {
        before: Before,
    },
    /// Restarted behind the swap, the new files in place: the new leaf may be served already.
    Looking {
        before: Before,
    },
    Committed {
        before: Before,
    },
    /// Nothing was stopped or replaced; only the staged files go.
    Discarding {
        failure: Cause,
    },
    Undoing {
        step: Undo,
        before: Before,
        failure: Cause,
    },
    RolledBack {
        failure: Cause,
    },
    Frozen {
        failure: Cause,
    },
}

/// What the endpoint served before the service was stopped. A service that was broken before cannot be asked to serve
/// after a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Before {
    Served(LeafSha256),
    NotServed,
}

/// The way back, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Undo {
    Stop,
    Restore,
    Start,
    Verify,
    /// The old files could not be put back: a service on whatever lies there is better than none.
    StartAnyway,
}

/// Why it did not go forward: [`Failure`], as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cause {
    /// Stable, in `snake_case`.
    pub reason: String,
    /// What happened and what to do; no secrets.
    pub message: String,
}

/// The one thing to do in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    MakeKey,
    /// Nothing by itself: the chain comes from outside.
    AwaitChain,
    Stage,
    BackUp,
    /// Waits for the least time between restarts, sees what is served, and asks for the power state, last.
    Preflight,
    Stop,
    Swap,
    /// Reads the swapped files back from their own paths.
    Inspect,
    Start,
    VerifyNew,
    /// Whether a file has gone back to what it was.
    CheckFiles,
    /// One look at the endpoint.
    LookForNew,
    Discard,
    /// Stops what may be stopped already.
    EnsureStopped,
    Restore,
    /// Starts what may be running already.
    EnsureStarted,
    VerifyOld,
    /// Decided.
    Nothing,
}

/// How an effect ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Done,
    /// [`Effect::Preflight`] found everything fit.
    Cleared(Before),
    Failed(Cause),
    /// A rollback was ordered from outside.
    Ordered(Cause),
}

impl State {
    pub const fn effect(&self) -> Effect {
        match self {
            Self::Requested => Effect::MakeKey,
            Self::Keyed => Effect::AwaitChain,
            Self::Validated => Effect::Stage,
            Self::Staged => Effect::BackUp,
            Self::BackedUp => Effect::Preflight,
            Self::Stopping { .. } => Effect::Stop,
            Self::Swapping { .. } => Effect::Swap,
            Self::Swapped { .. } => Effect::Inspect,
            Self::Restarting { .. } => Effect::Start,
            Self::Verifying { .. } => Effect::VerifyNew,
            Self::Resuming { .. } => Effect::CheckFiles,
            Self::Looking { .. } => Effect::LookForNew,
            Self::Discarding { .. } => Effect::Discard,
            Self::Undoing { step: Undo::Stop, .. } => Effect::EnsureStopped,
            Self::Undoing { step: Undo::Restore, .. } => Effect::Restore,
            Self::Undoing { step: Undo::Start | Undo::StartAnyway, .. } => Effect::EnsureStarted,
            Self::Undoing { step: Undo::Verify, .. } => Effect::VerifyOld,
            Self::Committed { .. } | Self::RolledBack { .. } | Self::Frozen { .. } => Effect::Nothing,
        }
    }

    /// The state after this state's effect ended so. An event that does not belong here changes nothing.
    #[must_use]
    pub fn after(self, event: Event) -> Self {
        use Event::{Cleared, Done, Failed, Ordered};
        let undo = |step, before, failure| Self::Undoing { step, before, failure };
        match (self, event) {
            (Self::Requested, Done) => Self::Keyed,
            (Self::Keyed, Done) => Self::Validated,
            (Self::Validated, Done) => Self::Staged,
            (Self::Staged, Done) => Self::BackedUp,
            (Self::BackedUp, Cleared(before)) => Self::Stopping { before },
            (Self::Stopping { before }, Done) => Self::Swapping { before },
            (Self::Swapping { before }, Done) => Self::Swapped { before },
            (Self::Swapped { before }, Done) => Self::Restarting { before },
            (Self::Restarting { before } | Self::Looking { before }, Done) => Self::Verifying { before },
            (Self::Resuming { before }, Done) => Self::Looking { before },
            (Self::Verifying { before }, Done) => Self::Committed { before },
            (Self::Looking { before }, Failed(_)) => Self::Restarting { before },

            (Self::Requested | Self::Keyed, Failed(failure) | Ordered(failure)) => Self::RolledBack { failure },
            (Self::Validated | Self::Staged | Self::BackedUp, Failed(failure)) => Self::Discarding { failure },
            (Self::Discarding { failure }, Done | Failed(_)) => Self::RolledBack { failure },

            (Self::Stopping { before }, Failed(failure)) => undo(Undo::Start, before, failure),
            (Self::Swapping { before } | Self::Swapped { before }, Failed(failure)) => {
                undo(Undo::Restore, before, failure)
            }
            (Self::Resuming { before } | Self::Restarting { before } | Self::Verifying { before }, Failed(failure))
            | (Self::Committed { before }, Ordered(failure)) => undo(Undo::Stop, before, failure),

            (Self::Undoing { step, before, failure }, event @ (Done | Failed(_))) => {
                let then = match event {
                    Failed(then) => Some(then),
                    Done | Cleared(_) | Ordered(_) => None,
                };
                after_undo(step, before, failure, then)
            }
            (state, Done | Cleared(_) | Failed(_) | Ordered(_)) => state,
        }
    }

    /// The state to go on with when a journal was found in this one after a restart, for the `recoveries`th time.
    #[must_use]
    pub fn recovered(self, recoveries: u32) -> Self {
        let restarted = |reason: &str, message: &str| Cause { reason: reason.into(), message: message.into() };
        if !self.is_decided() && recoveries > MAX_RECOVERIES {
            let message = "the exporter stopped again and again in the same rotation; see why it does, look at the \
                           service and its keystore, then remove the agent's journal file and restart";
            return Self::Frozen { failure: restarted("recovery_failed", message) };
        }
        let unstaged = || restarted("restarted_before_staged", "the key was in memory only; open a new rotation");
        let unswapped = || restarted("restarted_before_swap", "nothing was replaced; open a new rotation");
        match self {
            Self::Requested | Self::Keyed => Self::RolledBack { failure: unstaged() },
            Self::Validated => Self::Discarding { failure: unstaged() },
            Self::Staged | Self::BackedUp => Self::Discarding { failure: unswapped() },
            Self::Stopping { before } => Self::Undoing { step: Undo::Start, before, failure: unswapped() },
            // Some files may be new and some old, and after a reboot the service may run on the mixture.
            Self::Swapping { before } => Self::Undoing {
                step: Undo::Stop,
                before,
                failure: restarted("restarted_in_swap", "the old files were put back; open a new rotation"),
            },
            Self::Swapped { before }
            | Self::Restarting { before }
            | Self::Verifying { before }
            | Self::Resuming { before }
            | Self::Looking { before } => Self::Resuming { before },
            Self::Undoing { step, before, failure } => {
                let step = match step {
                    Undo::Stop | Undo::Restore => Undo::Stop,
                    Undo::Start | Undo::Verify => Undo::Start,
                    Undo::StartAnyway => Undo::StartAnyway,
                };
                Self::Undoing { step, before, failure }
            }
            decided @ (Self::Discarding { .. }
            | Self::Committed { .. }
            | Self::RolledBack { .. }
            | Self::Frozen { .. }) => decided,
        }
    }

    /// The state to go on with, in memory, when `next` could not be made durable. Going forward ends there: nothing is
    /// done that no journal tells of. The way back goes on: the old files are better than new ones that failed.
    #[must_use]
    pub fn unsaved(self, next: Self, cause: Cause) -> Self {
        match next {
            back @ (Self::Discarding { .. } | Self::Undoing { .. } | Self::RolledBack { .. } | Self::Frozen { .. }) => {
                back
            }
            Self::Requested
            | Self::Keyed
            | Self::Validated
            | Self::Staged
            | Self::BackedUp
            | Self::Stopping { .. }
            | Self::Swapping { .. }
            | Self::Swapped { .. }
            | Self::Restarting { .. }
            | Self::Verifying { .. }
            | Self::Resuming { .. }
            | Self::Looking { .. }
            | Self::Committed { .. } => self.after(Event::Failed(cause)),
        }
    }

    /// Whether nothing more happens by itself.
    pub const fn is_decided(&self) -> bool {
        matches!(self, Self::Committed { .. } | Self::RolledBack { .. } | Self::Frozen { .. })
    }

    /// What callers are told.
    pub const fn reported(&self) -> RotationState {
        match self {
            Self::Requested => RotationState::Requested,
            Self::Keyed => RotationState::Keyed,
            Self::Validated => RotationState::Validated,
            Self::Staged => RotationState::Staged,
            Self::BackedUp | Self::Stopping { .. } | Self::Swapping { .. } => RotationState::BackedUp,
            Self::Swapped { .. } => RotationState::Swapped,
            Self::Restarting { .. } | Self::Resuming { .. } | Self::Looking { .. } => RotationState::Restarting,
            Self::Verifying { .. } => RotationState::Verifying,
            Self::Committed { .. } => RotationState::Committed,
            Self::Discarding { .. } | Self::Undoing { .. } => RotationState::RollingBack,
            Self::RolledBack { .. } => RotationState::RolledBack,
            Self::Frozen { .. } => RotationState::Frozen,
        }
    }

    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Discarding { failure }
            | Self::Undoing { failure, .. }
            | Self::RolledBack { failure }
            | Self::Frozen { failure } => Some(failure.clone().into()),
            Self::Requested
            | Self::Keyed
            | Self::Validated
            | Self::Staged
            | Self::BackedUp
            | Self::Stopping { .. }
            | Self::Swapping { .. }
            | Self::Swapped { .. }
            | Self::Restarting { .. }
            | Self::Verifying { .. }
            | Self::Resuming { .. }
            | Self::Looking { .. }
            | Self::Committed { .. } => None,
        }
    }
}

fn after_undo(step: Undo, before: Before, failure: Cause, then: Option<Cause>) -> State {
    let undo = |step, failure| State::Undoing { step, before, failure };
    match (step, then) {
        // A service that cannot be stopped may be down already; what counts is what serves in the end.
        (Undo::Stop, _) => undo(Undo::Restore, failure),
        (Undo::Restore, None) => undo(Undo::Start, failure),
        (Undo::Restore, Some(then)) => undo(Undo::StartAnyway, failure.followed_by(&then, "restore_failed")),
        (Undo::Start, then) => match (before, then) {
            // The start of a service that runs already may fail; the endpoint says the truth.
            (Before::Served(_), _) => undo(Undo::Verify, failure),
            (Before::NotServed, None) => State::RolledBack { failure },
            (Before::NotServed, Some(then)) => {
                State::Frozen { failure: failure.followed_by(&then, "start_failed_after_rollback") }
            }
        },
        (Undo::Verify, None) => State::RolledBack { failure },
        (Undo::Verify, Some(then)) => {
            State::Frozen { failure: failure.followed_by(&then, "old_leaf_not_served_after_rollback") }
        }
        (Undo::StartAnyway, _) => State::Frozen { failure },
    }
}

impl Cause {
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }

    fn followed_by(self, then: &Self, reason: &str) -> Self {
        Self { reason: reason.to_owned(), message: format!("{}; going back from that: {}", self.message, then.message) }
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self { reason: cause.reason, message: cause.message }
    }
}
