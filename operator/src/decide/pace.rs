//! How soon one rotation may follow another.
//!
//! Three rules bound how often an agent is restarted: a failed rotation is followed by a pause that doubles, a renewal must
//! gain lifetime, and drift that comes back after it was cured is left to a person. None of them may let a leaf expire.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::resource::{
    BlockedBy, HistoryEntry, LeafStatus, Outcome, Procedure, RotationStatus, RotationTrigger,
};

use super::case::{Case, Verdict};
use super::inputs::Obstacle;
use super::renewal::{Gain, SHORTEST_GAIN, gain, later, near_expiry};
use super::{ConditionType, Step, clock};

/// Between two looks, of the time that it has taken so far: whoever comes to no end is asked less and less.
pub(super) const PART_OF_TIME_TAKEN: u32 = 8;
/// After the first failed rotation; it doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(60);
/// Each rotation restarts a service twice if it fails: four times a day is the most that a host is asked to bear.
const LONGEST_BACKOFF: Duration = Duration::from_secs(6 * 3600);
/// Of a leaf's lifetime, or of what is left of it: a wait that is longer could not be followed by several more tries.
const PART_OF_LIFETIME: u32 = 4;
/// The shortest wait, however near the expiry is.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);
/// Nobody bounds how short a certificate lives that an agent renews itself: it is told to no more often than one whose certificate
/// lives for an hour, by the least gain.
const BETWEEN_RENEWALS: Duration = Duration::from_secs(360);
/// Drift within this time after a rotation that was started because of drift is the same drift.
const SAME_DRIFT: Duration = Duration::from_secs(12 * 3600);
/// So many rotations in a row are tried against drift; what comes back after them is not cured by another.
const DRIFT_LIMIT: u32 = 2;

/// Whether something about the last rotations, or about the gain of this one, keeps it from being opened.
pub(super) fn before_another(case: &Case<'_>, trigger: RotationTrigger) -> Option<Verdict> {
    match trigger {
        RotationTrigger::Renewal => {
            too_soon(case).or_else(|| gains_too_little(case)).or_else(|| after_failure(case, trigger))
        }
        RotationTrigger::StoredDrift | RotationTrigger::ServedDrift => {
            recurs(case, trigger).or_else(|| after_failure(case, trigger))
        }
        RotationTrigger::FirstIssue
        | RotationTrigger::Requested
        | RotationTrigger::SpecChanged
        | RotationTrigger::IssuerChanged
        | RotationTrigger::PasswordChanged => after_failure(case, trigger),
    }
}

/// Whether an agent that renews its own certificate was told to only just now, by an order that its host took and shows nothing of.
/// A repeat may be another renewal to it. Where we push, a repeat costs the host a key, and its agent nothing.
pub(super) fn before_the_same(case: &Case<'_>) -> Option<Verdict> {
    match case.inputs.resource.spec.procedure {
        // A repair that its host took is never told again
        Procedure::Push(_) | Procedure::Repair(_) => None,
        Procedure::Trigger { .. } => {
            // Of the rotation before it the host has shown the end.
            let own = case.open_rotation()?;
            let ordered = case.inputs.ordered.filter(|order| order.generation.0 == own.generation)?.at;
            let until = later(ordered, BETWEEN_RENEWALS);
            let message = format!(
                "the host took an order to renew and shows nothing of it: it is told again after {} minutes; see what its exporter logs, and \
                 whether a second one answers there",
                BETWEEN_RENEWALS.as_secs() / 60
            );
            let lasts = clock::lasts(case.now(), ordered, until);
            lasts.then(|| Case::blocked(Obstacle::new(BlockedBy::HostAnswerRefused, message), until))
        }
    }
}

/// Rotations in a row that failed, or that did not cure the drift that they were started for.
pub(super) fn attempts(case: &Case<'_>) -> u32 {
    let Some((rotation, ended)) = last(case) else { return 0 };
    let recurs = case.due.is_some_and(|due| is_drift(rotation.trigger) && is_same_drift(case, due, ended.finished_at));
    match ended.outcome {
        Outcome::Committed | Outcome::Done if !recurs => 0,
        Outcome::Committed
        | Outcome::Done
        | Outcome::RolledBack
        | Outcome::Frozen
        | Outcome::Lost
        | Outcome::OtherLeaf => rotation.attempts,
    }
}

/// No wait of ours reaches the expiry of the leaf in force: at most a part of what is left of it, so that several tries fit in.
pub(super) fn before_expiry(case: &Case<'_>, from: Timestamp, until: Timestamp) -> Timestamp {
    let left = case.leaf().and_then(|leaf| Duration::try_from(leaf.not_after.duration_since(from)).ok());
    // Of a leaf that has expired nothing is left to keep
    left.filter(|left| !left.is_zero())
        .map_or(until, |left| until.min(later(from, (left / PART_OF_LIFETIME).max(SHORTEST_WAIT))))
}

/// `first` for a count of one, doubled with each further one, at most `longest`.
pub(crate) fn doubled(first: Duration, count: u32, longest: Duration) -> Duration {
    let factor = 1u32.checked_shl(count.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(longest)
}

fn last<'c>(case: &'c Case<'_>) -> Option<(&'c RotationStatus, &'c HistoryEntry)> {
    case.settled.rotation.as_ref().zip(case.settled.history.first())
}

/// The next try waits, unless a person asked for something that was not tried yet.
fn after_failure(case: &Case<'_>, trigger: RotationTrigger) -> Option<Verdict> {
    let (rotation, ended) = last(case)?;
    let attempts = attempts(case);
    if attempts == 0 || is_untried(case, rotation, trigger) {
        return None;
    }
    let until = later(ended.finished_at, doubled(FIRST_BACKOFF, attempts, longest(case)));
    let until = before_expiry(case, ended.finished_at, until);
    // The end of an agent's own leaf is what its host says it is.
    let until = match case.inputs.resource.spec.procedure {
        Procedure::Push(_) => until,
        Procedure::Trigger { .. } | Procedure::Repair(_) => until.max(later(ended.finished_at, BETWEEN_RENEWALS)),
    };
    let said = match ended.outcome {
        Outcome::Committed | Outcome::Done => "because what it was started for is there again",
        Outcome::RolledBack | Outcome::Frozen | Outcome::Lost | Outcome::OtherLeaf => {
            "because the last one did not end well"
        }
    };
    let reason = ended.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let message = format!("the next rotation waits until {until}, {said}{reason}");
    let lasts = clock::lasts(case.now(), ended.finished_at, until);
    lasts.then(|| Case::blocked(Obstacle::new(BlockedBy::BackingOff, message), until))
}

fn is_untried(case: &Case<'_>, last: &RotationStatus, trigger: RotationTrigger) -> bool {
    match trigger {
        // Before the first leaf every trigger is this one, a person's wish too
        RotationTrigger::FirstIssue => last.request_digest != case.digest || case.is_asked_anew(),
        RotationTrigger::Requested => case.is_asked_anew(),
        RotationTrigger::SpecChanged => last.request_digest != case.digest,
        RotationTrigger::PasswordChanged => {
            last.password_version.as_deref() != case.inputs.references.password_version()
        }
        // Which issuer it was tried with is only known of what was signed
        RotationTrigger::IssuerChanged => {
            let issuer = case.inputs.references.issuer().map(|issuer| issuer.sha256.as_str());
            last.signed.first().is_some_and(|signed| Some(signed.issuer_sha256.as_str()) != issuer)
        }
        RotationTrigger::StoredDrift | RotationTrigger::ServedDrift | RotationTrigger::Renewal => false,
    }
}

/// The longest pause: shorter for a certificate that lives for an hour than for one that lives for a year.
fn longest(case: &Case<'_>) -> Duration {
    let asked = match &case.inputs.resource.spec.procedure {
        Procedure::Push(push) => Some(push.certificate.duration.as_duration()),
        Procedure::Trigger { .. } | Procedure::Repair(_) => None,
    };
    let lifetime = case.leaf().and_then(lifetime).into_iter().chain(asked).min();
    lifetime.map_or(LONGEST_BACKOFF, |lifetime| LONGEST_BACKOFF.min((lifetime / PART_OF_LIFETIME).max(FIRST_BACKOFF)))
}

fn lifetime(leaf: &LeafStatus) -> Option<Duration> {
    Duration::try_from(leaf.not_after.duration_since(leaf.not_before)).ok()
}

/// Whether the last renewal was only just now.
fn too_soon(case: &Case<'_>) -> Option<Verdict> {
    match case.inputs.resource.spec.procedure {
        Procedure::Push(_) | Procedure::Repair(_) => None,
        Procedure::Trigger { .. } => {
            let (_, ended) = last(case).filter(|(_, ended)| ended.outcome == Outcome::Committed)?;
            let until = later(ended.finished_at, BETWEEN_RENEWALS);
            let resync = later(case.now(), case.inputs.policy.resync);
            let lasts = clock::lasts(case.now(), ended.finished_at, until);
            lasts.then(|| Verdict::clear(Step::Idle { until: until.min(resync) }))
        }
    }
}

/// Whether a renewal is not worth the restart of the agent. The last one before the issuer's end is, however little it gains,
/// once the leaf in force is near its own: it is the only one, since the new leaf ends with the issuer.
fn gains_too_little(case: &Case<'_>) -> Option<Verdict> {
    let resync = later(case.now(), case.inputs.policy.resync);
    // Of no use before it is valid, however late it ends
    if case.leaf().is_some_and(|leaf| clock::is_ahead(leaf.not_before, case.now())) {
        return None;
    }
    match gain_at(case, case.now())? {
        Gain::Enough => None,
        Gain::TooEarly(until) => Some(Verdict::clear(Step::Idle { until: until.min(resync) })),
        Gain::IssuerEnds(end) => {
            let (leaf, push) = case.leaf().zip(case.inputs.resource.spec.procedure.push())?;
            let last = (end >= later(leaf.not_after, SHORTEST_GAIN))
                .then(|| near_expiry(leaf.not_before, leaf.not_after, push.certificate.renewal()));
            if last.is_some_and(|last| last <= case.now()) {
                return None;
            }
            let ca = &push.issuer_ref.name;
            let at_last =
                last.map(|last| format!("; without one it is renewed at {last} until then")).unwrap_or_default();
            let message = format!(
                "a renewal now would gain too little, because the issuer ends at {end}: put a CA that lives longer into the Secret \
                 {ca}{at_last}"
            );
            let retry = last.map_or(resync, |last| resync.min(last));
            Some(Case::blocked(Obstacle::new(BlockedBy::IssuerEnding, message), retry))
        }
    }
}

/// What a renewal at that time would gain over the leaf in force. An agent that renews its own is taken to give the next one the
/// lifetime of the last.
pub(super) fn gain_at(case: &Case<'_>, at: Timestamp) -> Option<Gain> {
    let leaf = case.leaf()?;
    let (duration, issuer_end) = match &case.inputs.resource.spec.procedure {
        Procedure::Push(push) => {
            let issuer_end = case.inputs.references.issuer().map(|issuer| issuer.not_after);
            (push.certificate.duration.as_duration(), issuer_end)
        }
        Procedure::Trigger { .. } | Procedure::Repair(_) => (lifetime(leaf).unwrap_or_default(), None),
    };
    Some(gain(at, leaf.not_after, duration, issuer_end))
}

/// The keystore that the host reads is not the one that it writes, or something puts another leaf there again and again.
fn recurs(case: &Case<'_>, trigger: RotationTrigger) -> Option<Verdict> {
    let (rotation, ended) = last(case)?;
    let cured_nothing = ended.outcome == Outcome::Committed && attempts(case) >= DRIFT_LIMIT;
    if !cured_nothing {
        return None;
    }
    let place = if trigger == RotationTrigger::ServedDrift { "served" } else { "in the keystore" };
    let message = format!(
        "another leaf is {place} again after {} rotations against it: see whether something on the host replaces it, and \
         whether spec.keystore.alias is the alias in the host's configuration; then set {} to a new value",
        rotation.attempts,
        kagiban_crds::resource::ROTATE_ANNOTATION
    );
    let retry = later(case.now(), case.inputs.policy.resync);
    Some(Case::blocked(Obstacle::new(BlockedBy::DriftRecurs, message), retry))
}

/// Whether the drift was never gone since the last rotation, or came back soon after it.
fn is_same_drift(case: &Case<'_>, trigger: RotationTrigger, rotated: Timestamp) -> bool {
    let fact = match trigger {
        RotationTrigger::StoredDrift => ConditionType::Deployed,
        RotationTrigger::ServedDrift => ConditionType::Verified,
        RotationTrigger::FirstIssue
        | RotationTrigger::Requested
        | RotationTrigger::SpecChanged
        | RotationTrigger::IssuerChanged
        | RotationTrigger::PasswordChanged
        | RotationTrigger::Renewal => return false,
    };
    let before = case.inputs.resource.status.conditions.iter().find(|condition| condition.type_ == fact.as_str());
    let was_never_cured = before.is_some_and(|fact| fact.status == "False" && fact.last_transition_time.0 <= rotated);
    // Of a rotation that seems to end later than now, no time on record tells what came before it
    (was_never_cured && rotated <= case.now()) || clock::lasts(case.now(), rotated, later(rotated, SAME_DRIFT))
}

const fn is_drift(trigger: RotationTrigger) -> bool {
    matches!(trigger, RotationTrigger::StoredDrift | RotationTrigger::ServedDrift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_from_a_minute_and_stops_at_six_hours() {
        let pause = |n| doubled(FIRST_BACKOFF, n, LONGEST_BACKOFF).as_secs() / 60;
        assert_eq!([1, 2, 3, 9, 10, 31, 32, 33, u32::MAX].map(pause), [1, 2, 4, 256, 360, 360, 360, 360, 360]);
    }
}
