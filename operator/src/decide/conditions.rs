//! The conditions, by kstatus' rules: Ready is about the certificate in force, Reconciling and Stalled about the work.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{RotationState, Sighting};
use kagiban_crds::resource::{ManagedAgentCertificateStatus, NearExpiry};

use super::case::{Case, Verdict};
use super::reason::needs_a_person;
use super::renewal::near_expiry;
use super::settle::{bounded, whole_seconds};
use super::{ConditionType, Observed, Reason, Step};

/// The longest message of a condition; the API server takes 32768.
const LONGEST_MESSAGE: usize = 1024;

#[derive(Clone)]
struct Claim {
    kind: ConditionType,
    status: &'static str,
    reason: Reason,
    message: String,
}

const TRUE: &str = "True";
const FALSE: &str = "False";
const UNKNOWN: &str = "Unknown";

pub(super) fn conditions(case: &Case<'_>, verdict: &Verdict, status: &ManagedAgentCertificateStatus) -> Vec<Condition> {
    let deployed = deployed(case, verdict);
    let verified = verified(case, verdict);
    let ready = ready(case, verdict, &deployed, &verified);
    let claims = [ready, issued(case), deployed, verified, reconciling(case, verdict, status), stalled(case, verdict)];
    // During a rotation of ours the host holds one leaf and serves another for a while: what was known before stands.
    let keep = if in_rotation(case, verdict) { case.settled.conditions.as_slice() } else { &[] };
    claims.into_iter().map(|claim| dated(case, kept(claim, keep))).collect()
}

fn ready(case: &Case<'_>, verdict: &Verdict, deployed: &Claim, verified: &Claim) -> Claim {
    let claim = |status, reason, message: String| Claim { kind: ConditionType::Ready, status, reason, message };
    let Some(leaf) = case.leaf() else {
        return match &verdict.obstacle {
            Some(obstacle) => {
                claim(FALSE, Reason::Blocked(obstacle.by), format!("no certificate yet: {}", obstacle.message))
            }
            None => claim(FALSE, Reason::NotIssued, "no certificate yet".into()),
        };
    };
    if case.now() >= leaf.not_after {
        return claim(FALSE, Reason::Expired, format!("the certificate expired at {}", leaf.not_after));
    }
    match [deployed, verified].into_iter().find(|fact| fact.status != TRUE) {
        Some(fact) => claim(fact.status, fact.reason, fact.message.clone()),
        None => claim(TRUE, Reason::Verified, format!("served and valid until {}", leaf.not_after)),
    }
}

fn issued(case: &Case<'_>) -> Claim {
    let claim = |status, reason, message| Claim { kind: ConditionType::Issued, status, reason, message };
    match case.leaf() {
        Some(leaf) => claim(
            TRUE,
            Reason::Issued,
            format!(
                "serial {} from {}, valid from {} to {}",
                leaf.serial, leaf.issuer, leaf.not_before, leaf.not_after
            ),
        ),
        None => claim(FALSE, Reason::NotIssued, "no certificate yet".into()),
    }
}

fn deployed(case: &Case<'_>, verdict: &Verdict) -> Claim {
    let sighting = case.report().map(|report| &report.stored);
    seen(case, verdict, sighting, ConditionType::Deployed, ["the keystore", "holds"], Reason::StoredDrift)
}

fn verified(case: &Case<'_>, verdict: &Verdict) -> Claim {
    let sighting = case.report().map(|report| &report.served);
    seen(case, verdict, sighting, ConditionType::Verified, ["the live endpoint", "serves"], Reason::ServedDrift)
}

/// Whether the leaf in force was seen at one of the two places.
fn seen(
    case: &Case<'_>,
    verdict: &Verdict,
    sighting: Option<&Sighting>,
    kind: ConditionType,
    [place, holds]: [&str; 2],
    drift: Reason,
) -> Claim {
    let claim = |status, reason, message| Claim { kind, status, reason, message };
    let Some(leaf) = case.leaf() else {
        let reason = if kind == ConditionType::Deployed { Reason::NotDeployed } else { Reason::NotIssued };
        return claim(FALSE, reason, "no certificate yet".into());
    };
    match (case.inputs.host, sighting) {
        (Observed::Unseen(obstacle), _) => claim(UNKNOWN, Reason::Blocked(obstacle.by), obstacle.message.clone()),
        (Observed::Seen(_), Some(Sighting::Leaf(found))) if found.sha256 == leaf.sha256 => {
            let reason = if kind == ConditionType::Deployed { Reason::Deployed } else { Reason::Verified };
            claim(TRUE, reason, format!("{place} {holds} {}", short(leaf.sha256)))
        }
        (Observed::Seen(_), Some(Sighting::Leaf(found))) => claim(
            FALSE,
            verdict_or(verdict, drift),
            format!("{place} {holds} {}, expected {}", short(found.sha256), short(leaf.sha256)),
        ),
        (Observed::Seen(_), Some(Sighting::Unseen { reason, message })) => {
            claim(UNKNOWN, Reason::NotSeen, format!("{place} could not be looked at: {reason}: {message}"))
        }
        (Observed::Seen(_), None) => claim(UNKNOWN, Reason::NotSeen, format!("{place} was not looked at")),
    }
}

/// An agent that is not the one asked for says nothing about drift.
fn verdict_or(verdict: &Verdict, drift: Reason) -> Reason {
    match &verdict.obstacle {
        Some(obstacle) if needs_a_person(obstacle.by) => Reason::Blocked(obstacle.by),
        Some(_) | None => drift,
    }
}

fn reconciling(case: &Case<'_>, verdict: &Verdict, status: &ManagedAgentCertificateStatus) -> Claim {
    let claim = |status, reason, message| Claim { kind: ConditionType::Reconciling, status, reason, message };
    let rotation = status.rotation.as_ref().filter(|rotation| !rotation.state.is_decided());
    match (rotation, &verdict.obstacle) {
        (Some(rotation), obstacle) => {
            let held_up = obstacle.as_ref().map(|o| format!("; held up: {}", o.message)).unwrap_or_default();
            claim(
                TRUE,
                Reason::Rotating(rotation.trigger),
                format!("rotation {} is on its way{held_up}", rotation.generation),
            )
        }
        (None, Some(obstacle)) => claim(FALSE, Reason::Blocked(obstacle.by), obstacle.message.clone()),
        (None, None) => match case.host_rotation() {
            Some(rotation) => {
                claim(FALSE, Reason::Settled, format!("the host works on rotation {} of another", rotation.generation))
            }
            None => claim(FALSE, Reason::Settled, "nothing is on its way".into()),
        },
    }
}

fn stalled(case: &Case<'_>, verdict: &Verdict) -> Claim {
    let claim = |status, reason, message| Claim { kind: ConditionType::Stalled, status, reason, message };
    let Some(obstacle) = &verdict.obstacle else {
        return claim(FALSE, Reason::NotStalled, "nothing needs a person".into());
    };
    if needs_a_person(obstacle.by) {
        return claim(TRUE, Reason::Blocked(obstacle.by), obstacle.message.clone());
    }
    match is_near_expiry(case) {
        Some(expiry) => claim(
            TRUE,
            Reason::NearExpiry,
            format!(
                "the certificate expires at {expiry} and its rotation is blocked: {}; clear that, or set \
                 spec.rotation.nearExpiry to Wait to accept the expiry",
                obstacle.message
            ),
        ),
        None => claim(FALSE, Reason::NotStalled, "nothing needs a person".into()),
    }
}

/// When the leaf expires, if that is near and the resource asks for a person then.
fn is_near_expiry(case: &Case<'_>) -> Option<Timestamp> {
    let leaf = case.leaf().filter(|_| case.inputs.resource.spec.rotation.near_expiry == NearExpiry::Ask)?;
    case.due?;
    let near = near_expiry(leaf.not_before, leaf.not_after, &case.inputs.resource.spec.certificate);
    (case.now() >= near).then_some(leaf.not_after)
}

/// Whether the host is in the middle of a rotation of ours, or is about to be.
fn in_rotation(case: &Case<'_>, verdict: &Verdict) -> bool {
    let on_host = case.host_rotation().is_some_and(|rotation| rotation.state != RotationState::Requested);
    let ours = (on_host && case.open_rotation().is_some()) || matches!(verdict.step, Step::Open { .. });
    // before the first leaf there is nothing that could stand
    ours && case.leaf().is_some()
}

fn kept(claim: Claim, keep: &[Condition]) -> Written {
    let before = keep.iter().find(|condition| condition.type_ == claim.kind.as_str());
    match (claim.kind, before) {
        (ConditionType::Deployed | ConditionType::Verified, Some(before)) => Written::from(before),
        (ConditionType::Ready, Some(before)) if claim.reason != Reason::Expired => Written::from(before),
        _ => Written::from(claim),
    }
}

struct Written {
    kind: String,
    status: String,
    reason: String,
    message: String,
}

impl From<Claim> for Written {
    fn from(claim: Claim) -> Self {
        Self {
            kind: claim.kind.as_str().into(),
            status: claim.status.into(),
            reason: claim.reason.as_str().into(),
            message: bounded(&claim.message, LONGEST_MESSAGE),
        }
    }
}

impl From<&Condition> for Written {
    fn from(condition: &Condition) -> Self {
        Self {
            kind: condition.type_.clone(),
            status: condition.status.clone(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        }
    }
}

/// The transition time moves only with the status, so that it says since when.
fn dated(case: &Case<'_>, written: Written) -> Condition {
    let before = case.inputs.resource.status.conditions.iter().find(|condition| condition.type_ == written.kind);
    let last_transition_time = before
        .filter(|condition| condition.status == written.status)
        .map_or_else(|| Time(whole_seconds(case.now())), |condition| condition.last_transition_time.clone());
    Condition {
        type_: written.kind,
        status: written.status,
        reason: written.reason,
        message: written.message,
        last_transition_time,
        observed_generation: Some(case.inputs.resource.generation),
    }
}

/// Enough of a fingerprint to tell two apart; the whole one is in the status.
fn short(sha256: LeafSha256) -> String {
    sha256.to_string().chars().take(16).collect()
}
