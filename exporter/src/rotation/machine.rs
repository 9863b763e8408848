//! What comes next in a rotation: pure, and every phase of it is what a journal may hold.
//!
//! ```text
//!   Requested ─> Keyed ─> Validated ─> Staged ─> BackedUp ─> Stopping ─> Swapping ─> Swapped ─> Restarting ─> Verifying ─> Committed
//!       │          │          └───────────┴─────────┘            │           │          └─────────────┴────────────┘           │
//!       │          │                      v                      v           v                        v                        │ by order
//!       └──────────┴─────────────────> Discarding           Watch         Restore                    Stop  <───────────────────┘
//!                                         │         kept up: RolledBack, lost: Start
//!                                         │           ┌──────── a stop may still end it ─┐
//!                                         │           v                                  │
//!                                         │         Watch    Stop ─> Restore ─> Start ───┴─> Verify
//!                                         │         Drain ────┘ else, once the stop of a run that crashed is over
//!                                         └────────────────────────> RolledBack <──────────┴─────────────> Frozen
//!                                                                        └────── seen, or thawed ────────────────┘
//! ```
//!
//! What stands below `Discarding`, but the ends, are the steps of `RollingBack`.
//!
//! An agent that renews its own certificate has another way between the same ends: see `trigger::renewal`.
//!
//! What a phase becomes when it is found after a restart stands in `resume`.

use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{Failure, RotationState};
use serde::{Deserialize, Serialize};

use super::failure::RotationFailure;
use super::trigger::renewal::{NextStep, Renewal, ServedLeaf};

/// Where a rotation stands. It is durable before [`Phase::effect`] begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "phase", deny_unknown_fields)]
pub enum Phase {
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
    /// Restarted somewhere behind the swap. The files may be partly restored: a rollback goes on when its journal
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
    /// Of an agent that renews its own certificate: see [`Renewal`].
    Renewal {
        step: Renewal,
    },
    /// Nothing was stopped or replaced; only the staged files go.
    Discarding {
        failure: RotationFailure,
    },
    /// The journal's word is older.
    #[serde(rename = "undoing")]
    RollingBack {
        step: Rollback,
        before: Before,
        failure: RotationFailure,
        /// Somebody asked for the old files: the new ones are no way out then, whatever is served.
        #[serde(default)]
        by_order: bool,
    },
    RolledBack {
        failure: RotationFailure,
    },
    Frozen {
        failure: RotationFailure,
        #[serde(default)]
        standing: FrozenFiles,
    },
}

/// How a freeze left the files, and so what may end it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FrozenFiles {
    /// They are one set. Whether the service lives on it is looked at; nothing more is changed.
    #[default]
    Whole,
    /// The old ones could not be put back: that is tried again.
    NotRestored { before: Before, by_order: bool },
    /// No file is ours, and somebody has asked for another leaf than the renewed one.
    NewMustGo,
    /// The new ones are in place, all of them, and recovery has given up: nothing more is changed.
    NewStands { before: Before },
}

/// What the endpoint served before the service was stopped. A service that was broken before cannot be asked to serve
/// after a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Before {
    Served(LeafSha256),
    NotServed,
}

/// The steps of a rollback, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rollback {
    /// Whether the service is up on what is stored: then nothing is restarted.
    Look,
    /// A stop was begun and not seen to end, and the old files are there: whether the service stays up for as long as that
    /// stop may take. A second stop would cut off a service that drains; a start would find it running.
    Watch,
    /// A stop was begun by a run that has crashed, and the old files are back, maybe under a service that lives on the new ones:
    /// it is kept up until that stop can end it no more, and stopped again when it does not live on the old ones then.
    Drain,
    Stop,
    Restore,
    Start,
    Verify,
    /// The old files could not be put back: a service on whatever lies there is better than none.
    StartAnyway,
    /// Recovery has given up with the files whole: the service is started, and then no more is tried.
    LastStart,
    /// The same, and the files are the new ones: a service that lives on them stays.
    LastStartOnNew,
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
    /// Whether a file was restored to what it was.
    CheckFiles,
    /// One look at the endpoint.
    LookForNew,
    /// The same, for what a service that was never replaced would serve.
    LookForOld,
    /// Whether the old leaf is served until the stop that was begun must have ended the service.
    WatchOld,
    /// Keeps the service up until the stop that was begun can end it no more, and sees whether the old leaf is served then.
    Drain,
    /// Runs the agent's own backup, sees what it has written, and asks anew what was asked before it: it may have taken an hour.
    HaveBackedUp,
    /// Runs the agent's own renewal.
    Renew,
    /// Whether the renewed leaf is served.
    Prove,
    /// Runs what brings back what was there before.
    Revert,
    /// Whether the service serves a leaf that will do, which a renewal may have kept it from.
    Settle,
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
    /// [`Event::Done`], and a stop that was begun may still end the service: a start may have found it running.
    Unsettled,
    /// [`Event::Done`] of a rollback, and the agent, which did its work before, does not do it: that is told, and changes nothing.
    DoneWithoutFunction(RotationFailure),
    /// [`Effect::Preflight`] found everything fit.
    Cleared(Before),
    /// The same, of an agent that renews its own certificate.
    ClearedToRenew(Option<ServedLeaf>),
    /// The same, of one that writes a backup of its own first.
    ClearedToBackUp(Option<ServedLeaf>),
    Failed(RotationFailure),
    /// A rollback was ordered from outside.
    Ordered(RotationFailure),
    /// The same, of an agent that renews its own certificate.
    OrderedToRevert(RotationFailure),
    /// Something was found out about a frozen agent.
    Frozen(Finding),
}

/// What may end a freeze.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The service serves the leaf that is stored, and it is not this rotation's.
    OldServed,
    /// The service serves the leaf that is stored, and it is this rotation's.
    NewServed,
    /// The old files could be put back now.
    Restored,
    /// A person says that the agent is in order.
    Thawed,
}

impl Phase {
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
            Self::Renewal { step } => match step {
                Renewal::Ordered => Effect::Preflight,
                Renewal::BackingUp { .. } => Effect::HaveBackedUp,
                Renewal::Renewing { .. } => Effect::Renew,
                Renewal::Proving { .. } => Effect::Prove,
                Renewal::Reverting { .. } => Effect::Revert,
                Renewal::Settling { .. } => Effect::Settle,
            },
            Self::Discarding { .. } => Effect::Discard,
            Self::RollingBack { step: Rollback::Look, .. } => Effect::LookForOld,
            Self::RollingBack { step: Rollback::Watch, .. } => Effect::WatchOld,
            Self::RollingBack { step: Rollback::Drain, .. } => Effect::Drain,
            Self::RollingBack { step: Rollback::Stop, .. } => Effect::EnsureStopped,
            Self::RollingBack { step: Rollback::Restore, .. } => Effect::Restore,
            Self::RollingBack {
                step: Rollback::Start | Rollback::StartAnyway | Rollback::LastStart | Rollback::LastStartOnNew,
                ..
            } => Effect::EnsureStarted,
            Self::RollingBack { step: Rollback::Verify, .. } => Effect::VerifyOld,
            Self::Committed { .. } | Self::RolledBack { .. } | Self::Frozen { .. } => Effect::Nothing,
        }
    }

    /// The state after this state's effect ended so. An event that does not belong here changes nothing.
    #[must_use]
    pub fn after(self, event: Event) -> Self {
        use Event::{
            Cleared, ClearedToBackUp, ClearedToRenew, Done, DoneWithoutFunction, Failed, Ordered, OrderedToRevert,
            Unsettled,
        };
        let roll_back = |step, before, failure| Self::RollingBack { step, before, failure, by_order: false };
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

            (Self::Stopping { before }, Failed(failure)) => roll_back(Rollback::after_stop(before), before, failure),
            // Before the stop was begun.
            (Self::Stopping { before }, Ordered(failure)) => roll_back(Rollback::Start, before, failure),
            (Self::Swapping { before } | Self::Swapped { before }, Failed(failure)) => {
                roll_back(Rollback::Restore, before, failure)
            }
            (Self::Resuming { before } | Self::Restarting { before } | Self::Verifying { before }, Failed(failure)) => {
                roll_back(Rollback::Stop, before, failure)
            }
            (Self::Committed { before }, Ordered(failure)) => {
                Self::RollingBack { step: Rollback::Stop, before, failure, by_order: true }
            }

            (Self::Renewal { step }, Done | Unsettled) => step.done().into(),
            (Self::Renewal { step }, DoneWithoutFunction(then)) => step.done_without_function(then).into(),
            (Self::Renewal { step }, Failed(failure)) => step.failed(failure).into(),
            (Self::Renewal { step }, Ordered(failure)) => step.called_off(failure).into(),
            (Self::Renewal { step: Renewal::Ordered | Renewal::BackingUp { .. } }, ClearedToRenew(before)) => {
                Self::Renewal { step: Renewal::Renewing { before } }
            }
            (Self::Renewal { step: Renewal::Ordered }, ClearedToBackUp(before)) => {
                Self::Renewal { step: Renewal::BackingUp { before } }
            }
            (Self::Committed { before }, OrderedToRevert(failure)) => {
                let before = before.served();
                Self::Renewal { step: Renewal::Reverting { before, failure, by_order: true } }
            }

            (Self::RollingBack { step, before, failure, by_order }, Done) => {
                after_rollback_step(step, RollbackStart { before, by_order }, failure, None)
            }
            (Self::RollingBack { step, before, failure, by_order }, Unsettled) => match (step, before) {
                (Rollback::Start, Before::NotServed) => {
                    Self::RollingBack { step: Rollback::Watch, before, failure, by_order }
                }
                _ => after_rollback_step(step, RollbackStart { before, by_order }, failure, None),
            },
            (Self::RollingBack { step, before, failure, by_order }, DoneWithoutFunction(then)) => {
                after_rollback_step(step, RollbackStart { before, by_order }, failure.and_then_told(then), None)
            }
            (Self::RollingBack { step, before, failure, by_order }, Failed(then)) => {
                after_rollback_step(step, RollbackStart { before, by_order }, failure, Some(then))
            }
            (Self::Frozen { failure, standing }, Event::Frozen(finding)) => after_freeze(failure, standing, finding),
            (
                state,
                Done
                | DoneWithoutFunction(_)
                | Unsettled
                | Cleared(_)
                | ClearedToRenew(_)
                | ClearedToBackUp(_)
                | Failed(_)
                | Ordered(_)
                | OrderedToRevert(_)
                | Event::Frozen(_),
            ) => state,
        }
    }

    /// The state to go on with, in memory, when `next` could not be made durable. Going forward ends there: nothing is
    /// done that no journal tells of. The rollback goes on: the old files are better than new ones that failed. What was
    /// verified is not undone because of that: the entry may be on the disk already, and is written again.
    #[must_use]
    pub fn unsaved(self, next: Self, failure: RotationFailure) -> Self {
        // A freeze can wait: a way out of it that no journal tells of would be forgotten with the service stopped.
        if matches!(self, Self::Frozen { .. }) || self.is_verifying() && matches!(next, Self::Committed { .. }) {
            return self;
        }
        // It is only looked at, and every start looks at it again.
        let is_looked_at = matches!(next, Self::Renewal { step: Renewal::Proving { .. } });
        if is_looked_at || next.why_failed().is_some() { next } else { self.after(Event::Failed(failure)) }
    }

    /// Whether it is the new leaf that is looked for: seen for long enough, the rotation is committed.
    pub const fn is_verifying(&self) -> bool {
        matches!(self, Self::Verifying { .. } | Self::Renewal { step: Renewal::Proving { .. } })
    }

    /// Whether nothing more happens by itself.
    pub const fn is_decided(&self) -> bool {
        matches!(self, Self::Committed { .. } | Self::RolledBack { .. } | Self::Frozen { .. })
    }

    /// Whether it is known how it ended, and what was begun of the service counts no more. A freeze may still be undone.
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Committed { .. } | Self::RolledBack { .. })
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
            Self::Renewal { step } => match step {
                Renewal::Ordered | Renewal::BackingUp { .. } => RotationState::Requested,
                Renewal::Renewing { .. } => RotationState::Renewing,
                Renewal::Proving { .. } => RotationState::Verifying,
                Renewal::Reverting { .. } | Renewal::Settling { .. } => RotationState::RollingBack,
            },
            Self::Discarding { .. } | Self::RollingBack { .. } => RotationState::RollingBack,
            Self::RolledBack { .. } => RotationState::RolledBack,
            Self::Frozen { .. } => RotationState::Frozen,
        }
    }

    pub fn failure(&self) -> Option<Failure> {
        self.why_failed().cloned().map(Into::into)
    }

    /// Why the rotation does not go forward any more; nothing while it does.
    const fn why_failed(&self) -> Option<&RotationFailure> {
        match self {
            Self::Discarding { failure }
            | Self::RollingBack { failure, .. }
            | Self::RolledBack { failure }
            | Self::Renewal { step: Renewal::Reverting { failure, .. } | Renewal::Settling { failure, .. } }
            | Self::Frozen { failure, .. } => Some(failure),
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
            | Self::Renewal {
                step: Renewal::Ordered | Renewal::BackingUp { .. } | Renewal::Renewing { .. } | Renewal::Proving { .. },
            }
            | Self::Committed { .. } => None,
        }
    }
}

impl Before {
    /// The leaf that was served, if one was.
    pub(super) const fn served(self) -> Option<LeafSha256> {
        match self {
            Self::Served(leaf) => Some(leaf),
            Self::NotServed => None,
        }
    }

    pub(super) fn of(served: Option<LeafSha256>) -> Self {
        served.map_or(Self::NotServed, Self::Served)
    }
}

impl From<NextStep> for Phase {
    fn from(next: NextStep) -> Self {
        match next {
            NextStep::Step(step) => Self::Renewal { step },
            NextStep::Committed { before } => Self::Committed { before: Before::of(before) },
            NextStep::RolledBack { failure } => Self::RolledBack { failure },
            NextStep::Frozen { failure, by_order } => {
                let standing = if by_order { FrozenFiles::NewMustGo } else { FrozenFiles::Whole };
                Self::Frozen { failure, standing }
            }
        }
    }
}

impl Rollback {
    /// What follows a stop that was not seen to end. Whether a service stays up that did not serve before is not seen: it is
    /// started at once.
    pub(super) const fn after_stop(before: Before) -> Self {
        match before {
            Before::Served(_) => Self::Watch,
            Before::NotServed => Self::Start,
        }
    }
}

/// What a rollback began with.
#[derive(Clone, Copy)]
struct RollbackStart {
    before: Before,
    by_order: bool,
}

fn after_rollback_step(
    step: Rollback,
    start: RollbackStart,
    failure: RotationFailure,
    then: Option<RotationFailure>,
) -> Phase {
    let RollbackStart { before, by_order } = start;
    let roll_back = |step, failure| Phase::RollingBack { step, before, failure, by_order };
    let frozen = |failure| Phase::Frozen { failure, standing: FrozenFiles::Whole };
    match (step, then) {
        (Rollback::Look | Rollback::Watch | Rollback::Drain, None) => Phase::RolledBack { failure },
        (Rollback::Look | Rollback::Watch, Some(_)) => roll_back(Rollback::Start, failure),
        // Nothing ends it any more, and it does not live on what is stored.
        (Rollback::Drain, Some(_)) => roll_back(Rollback::Stop, failure),
        // A service that cannot be stopped may be down already; what counts is what serves in the end.
        (Rollback::Stop, _) => roll_back(Rollback::Restore, failure),
        (Rollback::Restore, None) => roll_back(Rollback::Start, failure),
        (Rollback::Restore, Some(then)) => {
            roll_back(Rollback::StartAnyway, failure.followed_by(then, "restore_failed"))
        }
        (Rollback::Start, then) => match (before, then) {
            // The start of a service that runs already may fail; the endpoint says the truth.
            (Before::Served(_), _) => roll_back(Rollback::Verify, failure),
            (Before::NotServed, None) => Phase::RolledBack { failure },
            (Before::NotServed, Some(then)) => frozen(failure.followed_by(then, "start_failed_after_rollback")),
        },
        (Rollback::Verify, None) => Phase::RolledBack { failure },
        (Rollback::Verify, Some(then)) => frozen(failure.followed_by(then, "old_leaf_not_served_after_rollback")),
        (Rollback::StartAnyway, _) => {
            Phase::Frozen { failure, standing: FrozenFiles::NotRestored { before, by_order } }
        }
        (Rollback::LastStart, _) => frozen(failure),
        (Rollback::LastStartOnNew, _) => Phase::Frozen { failure, standing: FrozenFiles::NewStands { before } },
    }
}

/// A freeze ends with its cause. The rotation keeps its failure: that it was frozen is not forgotten.
fn after_freeze(failure: RotationFailure, standing: FrozenFiles, finding: Finding) -> Phase {
    match (finding, standing) {
        (Finding::OldServed | Finding::Thawed, _) => Phase::RolledBack { failure },
        // Stored, served and proven: that is a commit, unless somebody has asked for the old one.
        (
            Finding::NewServed,
            FrozenFiles::NotRestored { before, by_order: false } | FrozenFiles::NewStands { before },
        ) => Phase::Committed { before },
        (Finding::Restored, FrozenFiles::NotRestored { before, by_order }) => {
            Phase::RollingBack { step: Rollback::Stop, before, failure, by_order }
        }
        (Finding::NewServed | Finding::Restored, _) => Phase::Frozen { failure, standing },
    }
}

impl Finding {
    /// For the step log.
    pub const fn note(self) -> &'static str {
        match self {
            Self::OldServed => "the service serves what is stored",
            Self::NewServed => "the service serves the new leaf, which is stored",
            Self::Restored => "the old files could be put back now",
            Self::Thawed => "thawed by hand",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that does not do its work after a rollback is told, and freezes nothing: its old leaf is served.
    #[test]
    fn a_rollback_ends_as_it_does_with_an_agent_that_does_not_do_its_work_and_says_so() {
        let failure = || RotationFailure::new("not_served", "the first cause");
        let lost = || RotationFailure::new("function_lost", "the agent hears no UPS");
        let before = Before::Served(LeafSha256::new([7; 32]));
        let rolling_back = |step| Phase::RollingBack { step, before, failure: failure(), by_order: false };
        let settling = Renewal::Settling { before: before.served(), failure: failure(), by_order: false };
        let ends = [Rollback::Watch, Rollback::Drain, Rollback::Verify].map(rolling_back);
        for state in ends.into_iter().chain([Phase::Renewal { step: settling }]) {
            assert!(matches!(state.clone().after(Event::Done), Phase::RolledBack { .. }), "{state:?}");
            let told = state.clone().after(Event::DoneWithoutFunction(lost()));
            let Phase::RolledBack { failure } = told else { panic!("{state:?}: {told:?}") };
            assert_eq!(failure.reason, "not_served");
            assert_eq!(failure.text(), "the first cause; in the rollback: the agent hears no UPS");
        }
    }

    /// What was proven of the leaf is undone where the agent's work is not.
    #[test]
    fn an_agent_that_has_lost_its_work_is_rolled_back_as_one_whose_leaf_is_not_served() {
        let lost = || Event::Failed(RotationFailure::new("function_lost", ""));
        let verifying = Phase::Verifying { before: Before::NotServed };
        assert_eq!(verifying.after(lost()).effect(), Effect::EnsureStopped);
        let proving = Phase::Renewal { step: Renewal::Proving { before: None } };
        assert_eq!(proving.after(lost()).effect(), Effect::Revert);
    }
}
