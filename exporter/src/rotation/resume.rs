//! What a journal found at start asks for: pure. First the files become one set, then the rotation goes on to its end.

use super::failure::RotationFailure;
use super::machine::{Before, Event, Finding, FrozenFiles, Phase, Rollback};
use super::trigger::renewal::Renewal;

/// Recoveries of one rotation. After as many crashes the crash is likely ours, and a loop would keep the host unwatched.
pub const MAX_RECOVERIES: u32 = 3;

/// What is done with a state that was found after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// Done at once, with files alone: see [`Mend`].
    pub mend: Mend,
    /// The state to go on with when the files are whole.
    pub state: Phase,
}

/// What the files need before any service may start on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Nothing: they are one set. Nothing was replaced yet, or everything is done with them.
    Keep,
    /// They are the new set, or some are restored: then all are.
    Judge,
    /// Some may be new and some old: all are restored.
    Restore,
}

impl Phase {
    /// What to do when a journal was found in this state after a restart, for the `recoveries`th time.
    ///
    /// However often it was: the files are made whole and a service that may be down is started. Past
    /// [`MAX_RECOVERIES`] that is all that is done, and the rotation freezes.
    #[must_use]
    pub fn resumed(self, recoveries: u32) -> Resumption {
        if !self.is_decided() && recoveries > MAX_RECOVERIES {
            return self.given_up();
        }
        let unstaged = || restarted("restarted_before_staged", "the key was in memory only; open a new rotation");
        let unswapped = || restarted("restarted_before_swap", "nothing was replaced; open a new rotation");
        let resumption = |mend, state| Resumption { mend, state };
        let roll_back = |step, before, failure| Self::RollingBack { step, before, failure, by_order: false };
        match self {
            Self::Requested | Self::Keyed => resumption(Mend::Keep, Self::RolledBack { failure: unstaged() }),
            Self::Validated => resumption(Mend::Keep, Self::Discarding { failure: unstaged() }),
            Self::Staged | Self::BackedUp => resumption(Mend::Keep, Self::Discarding { failure: unswapped() }),
            Self::Renewal { step } => match step.resumed() {
                Some(step) => resumption(Mend::Keep, Self::Renewal { step }),
                None => {
                    let failure = RotationFailure::of_restart_before_renewal();
                    resumption(Mend::Keep, Self::RolledBack { failure })
                }
            },
            Self::Stopping { before } => {
                resumption(Mend::Keep, roll_back(Rollback::after_stop(before), before, unswapped()))
            }
            Self::Swapping { before } => {
                let message = "the exporter ended while it replaced the files: the old ones are being restored; open a new rotation";
                let failure = restarted("restarted_in_swap", message);
                resumption(Mend::Restore, roll_back(Rollback::Drain, before, failure))
            }
            Self::Swapped { before }
            | Self::Restarting { before }
            | Self::Verifying { before }
            | Self::Resuming { before }
            | Self::Looking { before } => resumption(Mend::Judge, Self::Resuming { before }),
            Self::RollingBack { step, before, failure, by_order } => {
                let (mend, step) = match step {
                    // What follows a drain may have begun too, and the journal not told of it.
                    Rollback::Drain | Rollback::Stop | Rollback::Restore | Rollback::StartAnyway => {
                        (Mend::Restore, Rollback::Drain)
                    }
                    // From here on the files are the agent's again: it may have changed them since.
                    Rollback::Start | Rollback::Verify => (Mend::Keep, Rollback::Start),
                    Rollback::Watch => (Mend::Keep, Rollback::after_stop(before)),
                    Rollback::Look | Rollback::LastStart | Rollback::LastStartOnNew => (Mend::Keep, step),
                };
                resumption(mend, Self::RollingBack { step, before, failure, by_order })
            }
            frozen @ Self::Frozen { standing: FrozenFiles::NotRestored { .. }, .. } => {
                resumption(Mend::Restore, frozen)
            }
            decided @ (Self::Discarding { .. }
            | Self::Committed { .. }
            | Self::RolledBack { .. }
            | Self::Frozen { .. }) => resumption(Mend::Keep, decided),
        }
    }

    /// The end of a rollback whose stop is not needed, where the files are the old ones and the service lives on them; none in other
    /// states.
    #[must_use]
    pub fn without_stop(self) -> Option<Self> {
        match self {
            Self::RollingBack { step: Rollback::Stop, before: Before::Served(_), failure, .. } => {
                Some(Self::RolledBack { failure })
            }
            _ => None,
        }
    }

    fn given_up(self) -> Resumption {
        let message = "the exporter stopped again and again in the same rotation: the files are made whole, the service is \
                       started, and nothing more is tried; see in the log why it stops";
        let failure = restarted("recovery_failed", message);
        let last = |mend, before: Before, by_order| Resumption {
            mend,
            state: Self::RollingBack { step: Rollback::LastStart, before, failure: failure.clone(), by_order },
        };
        match self {
            // The service was not touched.
            Self::Requested
            | Self::Keyed
            | Self::Validated
            | Self::Staged
            | Self::BackedUp
            | Self::Discarding { .. }
            | Self::Committed { .. }
            | Self::RolledBack { .. }
            | Self::Frozen { .. } => {
                Resumption { mend: Mend::Keep, state: Self::Frozen { failure, standing: FrozenFiles::Whole } }
            }
            Self::Renewal { step: Renewal::Ordered } => {
                Resumption { mend: Mend::Keep, state: Self::Frozen { failure, standing: FrozenFiles::Whole } }
            }
            Self::Renewal { step } => last(Mend::Keep, Before::of(step.before()), false),
            Self::Stopping { before } => last(Mend::Keep, before, false),
            Self::Swapping { before } => last(Mend::Restore, before, false),
            // A service that lives on the new files is not to be parted from them.
            Self::Swapped { before }
            | Self::Restarting { before }
            | Self::Verifying { before }
            | Self::Resuming { before }
            | Self::Looking { before } => last(Mend::Judge, before, false),
            Self::RollingBack { step: step @ Rollback::LastStartOnNew, before, by_order, .. } => {
                Resumption { mend: Mend::Keep, state: Self::RollingBack { step, before, failure, by_order } }
            }
            Self::RollingBack { step, before, by_order, .. } => {
                let mend = match step {
                    Rollback::Drain | Rollback::Stop | Rollback::Restore | Rollback::StartAnyway => Mend::Restore,
                    Rollback::Look
                    | Rollback::Watch
                    | Rollback::Start
                    | Rollback::Verify
                    | Rollback::LastStart
                    | Rollback::LastStartOnNew => Mend::Keep,
                };
                last(mend, before, by_order)
            }
        }
    }
}

impl Resumption {
    /// For a rotation that the journal calls committed while some of its files were restored.
    pub fn of_mixture(before: Before) -> Self {
        let message = "some files are the old ones again, and the journal does not say so: the others are being restored too; open a \
                       new rotation";
        let failure = restarted("split_set", message);
        let state = Phase::RollingBack { step: Rollback::Stop, before, failure, by_order: false };
        Self { mend: Mend::Restore, state }
    }

    /// The state after the files were made whole as [`Resumption::mend`] asks, or could not be. `may_end` says whether a stop
    /// of the service that an earlier run has begun may still end it.
    #[must_use]
    pub fn mended(self, result: Result<Mended, RotationFailure>, may_end: bool) -> Phase {
        let Self { mend, state } = self;
        match (state, result) {
            // Whatever a stop would be for, it would be followed by no other files.
            (Phase::Resuming { before }, Ok(Mended::Elsewhere(failure))) => {
                Phase::RollingBack { step: Rollback::StartAnyway, before, failure, by_order: false }
            }
            (Phase::RollingBack { before, failure, by_order, .. }, Ok(Mended::Elsewhere(why))) => Phase::RollingBack {
                step: Rollback::StartAnyway,
                before,
                failure: failure.followed_by(why, "restore_failed"),
                by_order,
            },
            (state @ Phase::Frozen { .. }, Ok(Mended::Elsewhere(_))) => state,
            (Phase::RollingBack { step: Rollback::LastStart, before, failure, by_order }, Ok(Mended::AsTold))
                if mend == Mend::Judge =>
            {
                Phase::RollingBack { step: Rollback::LastStartOnNew, before, failure, by_order }
            }
            // Nothing but whole files is started on, and what no stop ends any more is stopped.
            (Phase::RollingBack { step: Rollback::Drain, before, failure, by_order }, result)
                if result.is_err() || !may_end =>
            {
                Phase::RollingBack { step: Rollback::Stop, before, failure, by_order }
            }
            (state @ Phase::Resuming { .. }, Ok(Mended::Restored(why)) | Err(why)) => state.after(Event::Failed(why)),
            (state @ Phase::Frozen { .. }, Ok(_)) => state.after(Event::Frozen(Finding::Restored)),
            // Giving up must not end in a split pair that nobody mends.
            (Phase::RollingBack { step: Rollback::LastStart, before, failure, by_order }, Err(why)) => {
                Phase::RollingBack {
                    step: Rollback::StartAnyway,
                    before,
                    failure: failure.followed_by(why, "restore_failed"),
                    by_order,
                }
            }
            (state, _) => state,
        }
    }
}

/// How files were made whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mended {
    /// They are the set that the state tells of.
    AsTold,
    /// They were not all new, for this reason; the old ones are in place.
    Restored(RotationFailure),
    /// The places that the journal tells of are not the agent's now, for this reason: nothing was put there.
    Elsewhere(RotationFailure),
}

fn restarted(reason: &str, message: &str) -> RotationFailure {
    RotationFailure::new(reason, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds A8: it is told before it is done, and may fail.
    #[test]
    fn what_is_told_of_a_crash_is_true_before_the_files_are_restored() {
        let before = Before::NotServed;
        let swapping = |recoveries| Phase::Swapping { before }.resumed(recoveries);
        for resumption in [swapping(1), swapping(MAX_RECOVERIES + 1), Resumption::of_mixture(before)] {
            assert_eq!(resumption.mend, Mend::Restore);
            let failure = resumption.state.failure().expect("a failure");
            assert!(!failure.message.contains("were "), "{}", failure.message);
        }
    }
}
