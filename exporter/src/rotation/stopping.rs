//! What becomes of a rotation when the program is to end, and of one whose stop of the service is not seen to end: pure.
//!
//! ```text
//!   waits for its chain, or has changed nothing yet ──> given up, decided in the journal
//!   the service is stopped, the files are not swapped ──> back, and the service is started
//!   the files are swapped ──> forward, and the service is started
//!   a stop may still end the service ──> kept up until that stop can end it no more
//!   what remains is to look at the endpoint ──> left to the next start, with the service up: one that has ended by itself on
//!                                               the new files has the old ones back, another one is started
//! ```

use std::time::Duration;

use super::agent::{Agent, DEFAULT_COMMAND_TIMEOUT, Procedure, Service};
use super::failure::{FailureOf, RotationFailure};
use super::machine::{Effect, Event, Phase, Rollback};
use super::trigger::renewal::Renewal;

/// How many times `stopTimeout` a service may take to end after its stop was begun, however the stop command ended.
const LONGEST_DRAIN: u32 = 2;

/// The longest drain where nobody has configured how long a stop may take.
pub(super) const USUAL_LONGEST_DRAIN: Duration = DEFAULT_COMMAND_TIMEOUT.saturating_mul(LONGEST_DRAIN);

/// Handshakes, file operations and journal entries beside the commands. A look takes 5 s at most, and there are two.
const BESIDE_COMMANDS: Duration = Duration::from_secs(30);

/// What is done in a state, once the program is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AtStop {
    /// The state's effect is carried out: the service is not up yet.
    GoOn,
    /// The effect is not begun: the rotation goes on as if it had ended so.
    Instead(Event),
    /// The service is kept up until the stop that was begun can end it no more.
    KeepUp,
    /// The service is started, and then left as at [`AtStop::Leave`].
    StartAndLeave,
    /// The same, if nobody listens.
    StartIfDownAndLeave,
    /// Left as at [`AtStop::Leave`] once somebody listens; else the effect has failed.
    SeeUpAndLeave,
    /// The next start of the program goes on from here.
    Leave,
}

/// What becomes of the service when the program ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It stays as it is.
    Settled,
    /// The service manager starts it when this program has ended.
    StartQueued,
    /// A stop that was begun may still end it, and nobody but this program would start it then.
    MayEnd,
    /// One more start is enough: the service manager carries it out when the service has ended, or one was broken off.
    NeedsStart,
}

pub fn at_stop(state: &Phase, outlook: Outlook) -> AtStop {
    let stopped = || RotationFailure::new("exporter_stopped", "kagiban-exporter was stopped; open a new rotation");
    match state {
        Phase::Requested
        | Phase::Keyed
        | Phase::Stopping { .. }
        | Phase::Renewal { step: Renewal::Ordered | Renewal::BackingUp { .. } | Renewal::Renewing { .. } } => {
            AtStop::Instead(Event::Ordered(stopped()))
        }
        Phase::RollingBack { step: Rollback::Watch, .. } if outlook == Outlook::MayEnd => AtStop::GoOn,
        Phase::Validated
        | Phase::Staged
        | Phase::BackedUp
        | Phase::Swapping { .. }
        | Phase::RollingBack { step: Rollback::Watch, .. } => AtStop::Instead(Event::Failed(stopped())),
        Phase::Swapped { .. }
        | Phase::Restarting { .. }
        | Phase::Resuming { .. }
        | Phase::Looking { .. }
        | Phase::Discarding { .. }
        | Phase::RollingBack {
            step:
                Rollback::Look
                | Rollback::Stop
                | Rollback::Restore
                | Rollback::Start
                | Rollback::StartAnyway
                | Rollback::LastStart
                | Rollback::LastStartOnNew,
            ..
        } => AtStop::GoOn,
        // The program may have left it down.
        Phase::Renewal { step: Renewal::Reverting { .. } | Renewal::Settling { .. } } => AtStop::StartAndLeave,
        Phase::Verifying { .. }
        | Phase::Renewal { step: Renewal::Proving { .. } }
        | Phase::RollingBack { step: Rollback::Drain | Rollback::Verify, .. }
        | Phase::Frozen { .. } => match (outlook, state) {
            (Outlook::MayEnd, _) => AtStop::KeepUp,
            (Outlook::NeedsStart, _) => AtStop::StartAndLeave,
            (Outlook::StartQueued, _) => AtStop::Leave,
            (Outlook::Settled, Phase::Verifying { .. }) => AtStop::SeeUpAndLeave,
            // What it has lived on is no part of the new files.
            (Outlook::Settled, Phase::Frozen { .. }) => AtStop::Leave,
            (Outlook::Settled, _) => AtStop::StartIfDownAndLeave,
        },
        Phase::Committed { .. } | Phase::RolledBack { .. } => AtStop::Leave,
    }
}

/// Whether a stop was begun that may end the service when `state` has ended with `event`, whatever its command said.
pub const fn was_begun(state: &Phase, event: &Event) -> bool {
    !matches!((state, event), (Phase::Stopping { .. }, Event::Ordered(_)))
}

/// When the stop was begun that may still end the service, once a rotation is in `state`; `before` says the same of the
/// state before.
pub fn stop_begun<T>(before: Option<T>, state: &Phase, now: impl FnOnce() -> T) -> Option<T> {
    let begins = matches!(state, Phase::Stopping { .. } | Phase::RollingBack { step: Rollback::Stop, .. });
    if begins { Some(now()) } else { before.filter(|_| !state.is_settled()) }
}

/// The longest that a service goes on after its stop was begun.
pub(super) fn longest_drain(service: &Service) -> Duration {
    service.stop_timeout.saturating_mul(LONGEST_DRAIN)
}

/// Whether an effect waits and changes nothing that the next start of the program would not do again: it can be broken off at
/// any moment.
pub(super) const fn only_waits(effect: Effect) -> bool {
    matches!(
        effect,
        Effect::Preflight
            | Effect::VerifyNew
            | Effect::VerifyOld
            | Effect::WatchOld
            | Effect::Drain
            | Effect::Prove
            | Effect::Settle
    )
}

/// Whether what came of this effect decides nothing now, and the next start of the program goes on from here. A host that goes down
/// stops and starts no service, whatever its files are. Not every service manager says that this is why: while this program is to end,
/// no last start that fails decides anything.
pub fn decides_nothing(effect: Effect, event: &Event, is_stopping: bool) -> bool {
    let Event::Failed(failure) = event else { return false };
    match failure.of {
        FailureOf::HostGoingDown => true,
        FailureOf::Step => is_stopping && matches!(effect, Effect::EnsureStarted),
    }
}

/// Whether a service that is down at the last look is started. One that nobody has started since it was watched always is,
/// however late that look is: a disk may have held it up. Only a start that repeats another must leave time to end before
/// the program has to.
pub(super) fn is_last_start_due(service: &Service, is_repeated: bool, stopping_for: Option<Duration>) -> bool {
    !is_repeated || stopping_for.is_none_or(|passed| passed + service.start_timeout <= grace_of_service(service))
}

/// Whether a service that nobody sees is waited for, so long after the program was told to end: it may be slow to listen.
pub(super) fn may_still_come_up(service: &Service, stopping_for: Duration) -> bool {
    stopping_for < service.start_timeout
}

/// Whether there is time for the rollback, so long after the program was told to end. Its own stop may be a long one too.
pub(super) fn has_time_to_roll_back(service: &Service, stopping_for: Duration) -> bool {
    stopping_for <= service.start_timeout
}

/// The longest that an agent's rotation may take to leave its service up once the program is to end. An agent that renews its
/// own certificate, or is repaired, is waited for while the program that runs does; what follows it is left to the next start.
pub(super) fn grace(agent: &Agent) -> Duration {
    match &agent.procedure {
        Procedure::Push(_) => grace_of_service(&agent.service),
        Procedure::Trigger(trigger) => trigger.timeout + agent.service.start_timeout + BESIDE_COMMANDS,
        Procedure::Repair(repair) => repair.timeout + BESIDE_COMMANDS,
    }
}

/// It is longest when the new files are being started on: the start fails, the service is stopped, which is not seen to end, and
/// is started again on the old ones when it is down.
fn grace_of_service(service: &Service) -> Duration {
    service.start_timeout + longest_drain(service) + service.start_timeout + BESIDE_COMMANDS
}

#[cfg(test)]
mod tests {
    use kagiban_crds::LeafSha256;

    use super::*;
    use crate::rotation::machine::{Before, FrozenFiles};

    fn before() -> Before {
        Before::NotServed
    }

    fn failure() -> RotationFailure {
        RotationFailure::new("any", "any")
    }

    /// A service that a host which goes down neither stops nor starts says nothing of its files.
    #[test]
    fn what_a_host_refuses_because_it_goes_down_decides_nothing() {
        let refused = Event::Failed(RotationFailure::of_host_going_down("any", "any"));
        for effect in [Effect::Stop, Effect::EnsureStopped, Effect::Start, Effect::EnsureStarted, Effect::Settle] {
            for is_stopping in [true, false] {
                assert!(decides_nothing(effect, &refused, is_stopping), "{effect:?}");
                let is_left = is_stopping && effect == Effect::EnsureStarted;
                assert_eq!(decides_nothing(effect, &Event::Failed(failure()), is_stopping), is_left, "{effect:?}");
                assert!(!decides_nothing(effect, &Event::Done, is_stopping));
            }
        }
    }

    fn rolling_back(step: Rollback) -> Phase {
        Phase::RollingBack {
            step,
            before: Before::Served(LeafSha256::new([7; 32])),
            failure: failure(),
            by_order: false,
        }
    }

    /// What the loop of the shell does from `state` on, every effect ending well or none: the effects begun, and the end.
    fn stopped_in(mut state: Phase, well: bool) -> (Vec<Effect>, Phase) {
        let mut begun = Vec::new();
        loop {
            let event = match at_stop(&state, Outlook::Settled) {
                AtStop::Leave
                | AtStop::KeepUp
                | AtStop::StartAndLeave
                | AtStop::StartIfDownAndLeave
                | AtStop::SeeUpAndLeave => return (begun, state),
                AtStop::Instead(event) => event,
                AtStop::GoOn if well || state.effect() == Effect::Discard => {
                    begun.push(state.effect());
                    Event::Done
                }
                AtStop::GoOn => {
                    let failed = Event::Failed(failure());
                    begun.push(state.effect());
                    if decides_nothing(state.effect(), &failed, true) {
                        return (begun, state);
                    }
                    failed
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
            Phase::Stopping { before: before() },
            Phase::Swapping { before: before() },
            Phase::Swapped { before: before() },
            Phase::Restarting { before: before() },
            Phase::Resuming { before: before() },
            rolling_back(Rollback::Watch),
            rolling_back(Rollback::Stop),
            rolling_back(Rollback::Restore),
            rolling_back(Rollback::Start),
            rolling_back(Rollback::StartAnyway),
            rolling_back(Rollback::LastStart),
        ];
        for state in may_be_down {
            for well in [true, false] {
                let (begun, end) = stopped_in(state.clone(), well);
                let starts = begun.iter().filter(|e| matches!(e, Effect::Start | Effect::EnsureStarted)).count();
                let seen_up = well && begun.last() == Some(&Effect::LookForNew);
                // A start that fails is followed by the rollback.
                assert!(seen_up || (1..=2).contains(&starts), "{state:?}, {well}: {begun:?}, {end:?}");
                assert!(!begun.iter().any(|e| matches!(e, Effect::Stop | Effect::Swap)), "{state:?}: {begun:?}");
                let last = begun.last().copied();
                assert!(seen_up || matches!(last, Some(Effect::Start | Effect::EnsureStarted)), "{begun:?}");
            }
        }
    }

    #[test]
    fn a_rotation_that_has_changed_nothing_ends_undone() {
        let renewal = |step| Phase::Renewal { step };
        let renewals =
            [Renewal::Ordered, Renewal::BackingUp { before: None }, Renewal::Renewing { before: None }].map(renewal);
        let pushes = [Phase::Requested, Phase::Keyed, Phase::Validated, Phase::Staged, Phase::BackedUp];
        for state in pushes.into_iter().chain(renewals) {
            let (begun, end) = stopped_in(state, true);
            assert!(matches!(end, Phase::RolledBack { .. }), "{end:?}");
            assert!(begun.iter().all(|effect| *effect == Effect::Discard), "{begun:?}");
        }
    }

    /// Holds A8.
    #[test]
    fn what_is_only_to_be_looked_at_waits_for_the_next_start_when_the_service_stays_up_until_then() {
        let frozen = Phase::Frozen { failure: failure(), standing: FrozenFiles::Whole };
        let proving = Phase::Renewal { step: Renewal::Proving { before: None } };
        let back = |step| assert_eq!(at_stop(&Phase::Renewal { step }, Outlook::Settled), AtStop::StartAndLeave);
        back(Renewal::Reverting { before: None, failure: failure(), by_order: false });
        back(Renewal::Settling { before: None, failure: failure(), by_order: false });
        for (state, settled) in [
            (Phase::Verifying { before: before() }, AtStop::SeeUpAndLeave),
            (rolling_back(Rollback::Verify), AtStop::StartIfDownAndLeave),
            (rolling_back(Rollback::Drain), AtStop::StartIfDownAndLeave),
            (frozen, AtStop::Leave),
            (proving, AtStop::StartIfDownAndLeave),
        ] {
            assert_eq!(at_stop(&state, Outlook::Settled), settled);
            assert_eq!(at_stop(&state, Outlook::StartQueued), AtStop::Leave);
            assert_eq!(at_stop(&state, Outlook::MayEnd), AtStop::KeepUp);
            assert_eq!(at_stop(&state, Outlook::NeedsStart), AtStop::StartAndLeave);
        }
    }
}
