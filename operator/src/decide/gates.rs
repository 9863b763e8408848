//! What may keep a step from being taken, in order: the first gate that is shut is the one that users see.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::host_api::{PowerState, RotationState};
use kagiban_crds::resource::{BlockedBy, Outcome, Trigger};

use super::case::{Case, Verdict};
use super::inputs::{Obstacle, Setback};
use super::renewal::later;

/// How far the clocks may differ: a certificate is backdated by this much, beyond it the host finds it not yet valid.
pub(crate) const LARGEST_SKEW: Duration = crate::issuer::BACKDATE;
/// Between tries while a gate is shut by something that changes by itself, such as power.
const GATE_RETRY: Duration = Duration::from_secs(30);
/// After the first failed rotation; it doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(60);
/// Each rotation restarts a service twice if it fails: four times a day is the most that a host is asked to bear.
const LONGEST_BACKOFF: Duration = Duration::from_secs(6 * 3600);
/// A leaf that stayed in place for this long has settled: twice the longest backoff, so that the wait is not its own end.
const SETTLED_AFTER: Duration = Duration::from_secs(2 * LONGEST_BACKOFF.as_secs());
/// After the first try that failed without harm; it doubles up to the resync interval.
const FIRST_SETBACK: Duration = Duration::from_secs(5);
/// The longest wait for a Secret: it costs one named read, and whoever creates it is watching what happens next.
const LONGEST_SECRET_WAIT: Duration = Duration::from_secs(30);

type Gate = fn(&Case<'_>) -> Option<(Obstacle, Timestamp)>;

/// Before a rotation is opened.
const OPENING: [Gate; 5] = [paused, frozen, clock, power, setback];
/// Before a chain is pushed to a host that waits for it; a pause does not stop what is on its way.
const DELIVERING: [Gate; 3] = [clock, power, setback];

/// A frozen agent needs a person, whether anything is due or not.
pub(super) fn while_frozen(case: &Case<'_>) -> Option<Verdict> {
    first_shut(case, &[frozen])
}

pub(super) fn before_opening(case: &Case<'_>) -> Option<Verdict> {
    first_shut(case, &OPENING)
}

pub(super) fn before_delivering(case: &Case<'_>) -> Option<Verdict> {
    first_shut(case, &DELIVERING)
}

/// Only the memory of what failed a moment ago.
pub(super) fn before_trying_again(case: &Case<'_>) -> Option<Verdict> {
    first_shut(case, &[setback])
}

/// After a rotation: whatever made it, the next one does not follow at its heels, unless a person asked for something
/// that was not tried yet.
pub(super) fn before_another(case: &Case<'_>, trigger: Trigger) -> Option<Verdict> {
    let last = case.settled.rotation.as_ref()?;
    let untried = match trigger {
        // before the first leaf every trigger is this one, a person's wish too
        Trigger::FirstIssue => last.request_digest != case.digest || case.is_asked_anew(),
        Trigger::Requested => true,
        Trigger::SpecChanged => last.request_digest != case.digest,
        Trigger::StoredDrift | Trigger::ServedDrift | Trigger::Renewal => false,
    };
    let ended = case.settled.history.first()?;
    if untried {
        return None;
    }
    let until = later(ended.finished_at, backoff(attempts(case)));
    let said = match ended.outcome {
        Outcome::Committed => "so that certificates which do not last cannot restart the agent again and again",
        Outcome::RolledBack | Outcome::Frozen | Outcome::Lost => "because the last one did not end well",
    };
    let reason = ended.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let message = format!("the next rotation waits until {until}, {said}{reason}");
    (case.now() < until).then(|| Case::blocked(Obstacle::new(BlockedBy::BackingOff, message), until))
}

/// Rotations since a leaf last settled.
pub(super) fn attempts(case: &Case<'_>) -> u32 {
    let settled_down = case.settled.history.first().is_none_or(|ended| {
        ended.outcome == Outcome::Committed && case.now() >= later(ended.finished_at, SETTLED_AFTER)
    });
    if settled_down { 0 } else { case.settled.rotation.as_ref().map_or(0, |rotation| rotation.attempts) }
}

fn first_shut(case: &Case<'_>, gates: &[Gate]) -> Option<Verdict> {
    let (obstacle, retry) = gates.iter().find_map(|gate| gate(case))?;
    Some(Case::blocked(obstacle, retry))
}

fn paused(case: &Case<'_>) -> Option<(Obstacle, Timestamp)> {
    case.inputs.resource.spec.rotation.paused.then(|| {
        let obstacle = Obstacle::new(BlockedBy::Paused, "spec.rotation.paused is true");
        (obstacle, later(case.now(), case.inputs.policy.resync))
    })
}

fn frozen(case: &Case<'_>) -> Option<(Obstacle, Timestamp)> {
    let rotation = case.report()?.rotation.as_ref()?;
    (rotation.state == RotationState::Frozen).then(|| {
        let message = format!(
            "rotation {} froze on the host: the agent came to life with neither keystore; bring its service to life, and the \
             freeze ends by itself once the service serves what is stored; or end it on the host with `kagiban-exporter \
             rotation thaw`",
            rotation.generation
        );
        (Obstacle::new(BlockedBy::Frozen, message), later(case.now(), case.inputs.policy.resync))
    })
}

fn clock(case: &Case<'_>) -> Option<(Obstacle, Timestamp)> {
    let skew = case.now().duration_since(case.report()?.time).unsigned_abs();
    (skew > LARGEST_SKEW).then(|| {
        let message = "the host's clock and the operator's differ by more than five minutes: set them right";
        (Obstacle::new(BlockedBy::ClockSkew, message), later(case.now(), GATE_RETRY))
    })
}

fn power(case: &Case<'_>) -> Option<(Obstacle, Timestamp)> {
    let (by, message) = match case.report()?.power.state {
        PowerState::Mains => return None,
        PowerState::OnBattery => (BlockedBy::OnBattery, "the host runs on battery"),
        PowerState::LowBattery => (BlockedBy::LowBattery, "the host's battery is low"),
        PowerState::ShutdownPending => (BlockedBy::ShutdownPending, "the host is about to shut down"),
        PowerState::Unknown => {
            (BlockedBy::PowerUnknown, "the host does not know its power state: configure a source under `power` there")
        }
        PowerState::Stale => (BlockedBy::PowerUnknown, "the host has not heard from its UPS for too long"),
    };
    Some((Obstacle::new(by, message), later(case.now(), GATE_RETRY)))
}

fn setback(case: &Case<'_>) -> Option<(Obstacle, Timestamp)> {
    let setback = case.inputs.setback?;
    let until = later(setback.at, wait_after(case, setback));
    (case.now() < until).then(|| (setback.obstacle.clone(), until))
}

fn backoff(attempts: u32) -> Duration {
    doubled(FIRST_BACKOFF, attempts, LONGEST_BACKOFF)
}

/// `first` for a count of one, doubled with each further one, at most `longest`.
fn doubled(first: Duration, count: u32, longest: Duration) -> Duration {
    let factor = 1u32.checked_shl(count.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(longest)
}

/// How long to wait before an unreachable host is tried again.
pub(super) fn retry_of(case: &Case<'_>) -> Timestamp {
    later(case.now(), case.inputs.setback.map_or(FIRST_SETBACK, |setback| wait_after(case, setback)))
}

fn wait_after(case: &Case<'_>, setback: &Setback) -> Duration {
    let resync = case.inputs.policy.resync;
    let longest = match setback.obstacle.by {
        BlockedBy::SecretUnavailable | BlockedBy::IssuerUnavailable | BlockedBy::NotGranted => {
            resync.min(LONGEST_SECRET_WAIT)
        }
        BlockedBy::Paused
        | BlockedBy::HostUnreachable
        | BlockedBy::HostBusy
        | BlockedBy::HostRefused
        | BlockedBy::WrongHost
        | BlockedBy::Frozen
        | BlockedBy::OnBattery
        | BlockedBy::LowBattery
        | BlockedBy::ShutdownPending
        | BlockedBy::PowerUnknown
        | BlockedBy::ClockSkew
        | BlockedBy::Conflict
        | BlockedBy::BackingOff => resync,
    };
    doubled(FIRST_SETBACK, setback.count, longest)
}

#[cfg(test)]
mod tests {
    use super::super::tests as sample;
    use super::super::{Inputs, Observed, Policy};
    use super::*;

    #[test]
    fn a_secret_is_looked_for_again_within_half_a_minute_and_an_absent_host_within_the_resync() {
        let wait = |by, count| {
            let (resource, policy) = (sample::resource(), Policy::default());
            let obstacle = Obstacle::new(by, "not there");
            let setback = Setback { obstacle: obstacle.clone(), count, at: sample::now() };
            let host = Observed::Unseen(&obstacle);
            let inputs = Inputs {
                resource: &resource,
                host,
                rival: None,
                setback: Some(&setback),
                policy: &policy,
                now: sample::now(),
            };
            retry_of(&Case::new(inputs)).duration_since(sample::now()).as_secs()
        };
        assert_eq!([1, 2, 9].map(|count| wait(BlockedBy::SecretUnavailable, count)), [5, 10, 30]);
        assert_eq!([1, 2, 9].map(|count| wait(BlockedBy::IssuerUnavailable, count)), [5, 10, 30]);
        assert_eq!([1, 2, 9].map(|count| wait(BlockedBy::HostUnreachable, count)), [5, 10, 300]);
    }

    #[test]
    fn backoff_doubles_from_a_minute_and_stops_at_six_hours() {
        let minutes: Vec<u64> = [1, 2, 3, 9, 10, 31, 32, 33, u32::MAX].map(|n| backoff(n).as_secs() / 60).to_vec();
        assert_eq!(minutes, [1, 2, 4, 256, 360, 360, 360, 360, 360]);
    }
}
