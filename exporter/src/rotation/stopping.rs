//! What becomes of a rotation when the program is to end, and of one whose stop of the service is not seen to end: pure.
//!
//! ```text
//!   waits for its chain, or has changed nothing yet ──> given up, decided in the journal
//!   the service is stopped, the files are not swapped ──> back, and the service is started
//!   the files are swapped ──> forward, and the service is started
//!   a stop may still end the service ──> watched until it is down and started, or can be ended by that stop no more
//!   what remains is to look at the endpoint ──> left to the next start
//! ```

use std::time::Duration;

use super::agent::Service;
use super::machine::{Cause, Effect, Event, OTHER_LEAF_SERVED, State, Undo};

/// How many times `stopTimeout` a service may take to end after its stop was begun, however the stop command ended.
const LONGEST_DRAIN: u32 = 2;

/// Handshakes, file operations and journal entries beside the commands. A look takes 5 s at most, and there are two.
const BESIDE_COMMANDS: Duration = Duration::from_secs(30);

/// What is done in a state, once the program is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AtStop {
    /// The state's effect is carried out: the service is not up yet.
    GoOn,
    /// The effect is not begun: the rotation goes on as if it had ended so.
    Instead(Event),
    /// The next start of the program goes on from here.
    Leave,
}

/// `may_still_end`: a stop of the service was begun, is not seen to end and may end it yet, and nobody but this program would
/// start it then.
pub fn at_stop(state: &State, may_still_end: bool) -> AtStop {
    let stopped = || Cause::new("exporter_stopped", "kagiban-exporter was stopped; open a new rotation");
    match state {
        State::Requested | State::Keyed | State::Stopping { .. } => AtStop::Instead(Event::Ordered(stopped())),
        State::Undoing { step: Undo::Watch, .. } if may_still_end => AtStop::GoOn,
        State::Undoing { step: Undo::Verify, .. } if may_still_end => AtStop::Instead(Event::Unsettled),
        State::Validated
        | State::Staged
        | State::BackedUp
        | State::Swapping { .. }
        | State::Undoing { step: Undo::Watch, .. } => AtStop::Instead(Event::Failed(stopped())),
        State::Swapped { .. }
        | State::Restarting { .. }
        | State::Resuming { .. }
        | State::Looking { .. }
        | State::Discarding { .. }
        | State::Undoing {
            step: Undo::Look | Undo::Stop | Undo::Restore | Undo::Start | Undo::StartAnyway | Undo::LastStart,
            ..
        } => AtStop::GoOn,
        State::Verifying { .. }
        | State::Undoing { step: Undo::Verify, .. }
        | State::Committed { .. }
        | State::RolledBack { .. }
        | State::Frozen { .. } => AtStop::Leave,
    }
}

/// Whether a stop that was begun may still end the service when `state` has ended with `event`.
pub fn may_end_after(state: &State, event: &Event) -> bool {
    match state {
        // A stop that was ordered off was not begun.
        State::Stopping { .. } => matches!(event, Event::Failed(_)),
        // A service that went on with the old leaf after its stop and its start was not ended by that stop, which said so. The
        // next may say so too.
        State::Undoing { step: Undo::Stop, failure, .. } => {
            matches!(event, Event::Failed(_)) || failure.reason == OTHER_LEAF_SERVED
        }
        // It is down, or the time is over.
        State::Undoing { step: Undo::Watch, .. } => false,
        State::Requested
        | State::Keyed
        | State::Validated
        | State::Staged
        | State::BackedUp
        | State::Swapping { .. }
        | State::Swapped { .. }
        | State::Restarting { .. }
        | State::Verifying { .. }
        | State::Resuming { .. }
        | State::Looking { .. }
        | State::Discarding { .. }
        | State::Undoing { .. }
        | State::Committed { .. }
        | State::RolledBack { .. }
        | State::Frozen { .. } => true,
    }
}

/// When the stop was begun that may still end the service, once a rotation is in `state`; `before` says the same of the
/// state before.
pub fn stop_begun<T>(before: Option<T>, state: &State, now: T) -> Option<T> {
    match state {
        State::Stopping { .. } | State::Undoing { step: Undo::Stop, .. } => Some(now),
        State::Committed { .. } | State::RolledBack { .. } => None,
        State::Requested
        | State::Keyed
        | State::Validated
        | State::Staged
        | State::BackedUp
        | State::Swapping { .. }
        | State::Swapped { .. }
        | State::Restarting { .. }
        | State::Verifying { .. }
        | State::Resuming { .. }
        | State::Looking { .. }
        | State::Discarding { .. }
        | State::Undoing { .. }
        | State::Frozen { .. } => before,
    }
}

/// The longest that a service goes on after its stop was begun.
pub(super) fn longest_drain(service: &Service) -> Duration {
    service.stop_timeout.saturating_mul(LONGEST_DRAIN)
}

/// Whether an effect waits and changes nothing that the next start of the program would not do again: it can be broken off at
/// any moment.
pub(super) const fn only_waits(effect: Effect) -> bool {
    matches!(effect, Effect::Preflight | Effect::VerifyNew | Effect::VerifyOld | Effect::WatchOld)
}

/// Whether a failure of this effect decides nothing now: the service manager may refuse to start anything while the system
/// goes down, and the next start of the program tries again.
pub const fn leaves_after_failure(effect: Effect) -> bool {
    matches!(effect, Effect::EnsureStarted)
}

/// The longest that an agent's rotation may take to leave its service up once the program is to end. It is longest when
/// the new files are being started on: the start fails, the service is stopped, which is not seen to end, and is started again
/// on the old ones when it is down.
pub(super) fn grace(service: &Service) -> Duration {
    service.start_timeout + longest_drain(service) + service.start_timeout + BESIDE_COMMANDS
}

#[cfg(test)]
mod tests {
    use kagiban_crds::LeafSha256;

    use super::*;
    use crate::rotation::machine::Before;

    fn before() -> Before {
        Before::NotServed
    }

    fn failure() -> Cause {
        Cause::new("any", "any")
    }

    fn undoing(step: Undo) -> State {
        State::Undoing { step, before: Before::Served(LeafSha256::new([7; 32])), failure: failure(), by_order: false }
    }

    /// What the loop of the shell does from `state` on, every effect ending well or none: the effects begun, and the end.
    fn stopped_in(mut state: State, well: bool) -> (Vec<Effect>, State) {
        let mut begun = Vec::new();
        loop {
            let event = match at_stop(&state, false) {
                AtStop::Leave => return (begun, state),
                AtStop::Instead(event) => event,
                AtStop::GoOn if well || state.effect() == Effect::Discard => {
                    begun.push(state.effect());
                    Event::Done
                }
                AtStop::GoOn => {
                    begun.push(state.effect());
                    if leaves_after_failure(state.effect()) {
                        return (begun, state);
                    }
                    Event::Failed(failure())
                }
            };
            state = state.after(event);
            assert!(begun.len() < 20, "it does not end: {begun:?}");
        }
    }

    /// Holds A8.
    #[test]
    fn nothing_is_stopped_or_swapped_any_more_and_a_service_that_is_down_is_started_before_the_end() {
        let may_be_down = [
            State::Stopping { before: before() },
            State::Swapping { before: before() },
            State::Swapped { before: before() },
            State::Restarting { before: before() },
            State::Resuming { before: before() },
            undoing(Undo::Watch),
            undoing(Undo::Stop),
            undoing(Undo::Restore),
            undoing(Undo::Start),
            undoing(Undo::StartAnyway),
            undoing(Undo::LastStart),
        ];
        for state in may_be_down {
            for well in [true, false] {
                let (begun, end) = stopped_in(state.clone(), well);
                let starts = begun.iter().filter(|e| matches!(e, Effect::Start | Effect::EnsureStarted)).count();
                let seen_up = well && begun.last() == Some(&Effect::LookForNew);
                // A start that fails is followed by the way back.
                assert!(seen_up || (1..=2).contains(&starts), "{state:?}, {well}: {begun:?}, {end:?}");
                assert!(!begun.iter().any(|e| matches!(e, Effect::Stop | Effect::Swap)), "{state:?}: {begun:?}");
                let last = begun.last().copied();
                assert!(seen_up || matches!(last, Some(Effect::Start | Effect::EnsureStarted)), "{begun:?}");
            }
        }
    }

    #[test]
    fn a_rotation_that_has_changed_nothing_ends_undone() {
        for state in [State::Requested, State::Keyed, State::Validated, State::Staged, State::BackedUp] {
            let (begun, end) = stopped_in(state, true);
            assert!(matches!(end, State::RolledBack { .. }), "{end:?}");
            assert!(begun.iter().all(|effect| *effect == Effect::Discard), "{begun:?}");
        }
    }

    #[test]
    fn what_is_only_to_be_looked_at_waits_for_the_next_start() {
        for state in [State::Verifying { before: before() }, undoing(Undo::Verify)] {
            assert_eq!(at_stop(&state, false), AtStop::Leave);
        }
    }
}
