//! The conditions, by kstatus' rules: Ready is about the spec as it is written now, Reconciling and Stalled about the work.
//!
//! Reconciling, Stalled, Blocked and IssuerEnding say that something is not as it should be; they are left out when it is.

pub(super) mod clients;
mod repair;

use jiff::Timestamp;
use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{FunctionReport, FunctionState, RotationState, Sighting};
use kagiban_crds::resource::{
    BlockedBy, Condition, LeafStatus, ManagedAgentCertificateStatus, NearExpiry, Procedure, Time,
};

use super::case::{Case, Verdict};
use super::clock::is_ahead;
use super::events::{why, why_blocked};
use super::following::is_slow;
use super::reason::{is_told_not_functional, needs_a_person, trigger_words};
use super::renewal::{Gain, near_expiry};
use super::settle::{bounded, whole_seconds};
use super::{ConditionType, Observed, Reason, Step, pace};

/// The longest message of a condition; the API server takes 32768.
const LONGEST_MESSAGE: usize = 1024;

#[derive(Clone)]
struct ConditionClaim {
    kind: ConditionType,
    status: &'static str,
    reason: Reason,
    message: String,
}

const TRUE: &str = "True";
const FALSE: &str = "False";
const UNKNOWN: &str = "Unknown";

pub(super) fn conditions(case: &Case<'_>, verdict: &Verdict, status: &ManagedAgentCertificateStatus) -> Vec<Condition> {
    if let Procedure::Repair(_) = case.inputs.resource.spec.procedure {
        return repair::conditions(case, verdict, status);
    }
    let keep = if stands(case, verdict) { case.settled.conditions.as_slice() } else { &[] };
    let of_push = match case.inputs.resource.spec.procedure {
        Procedure::Push(_) => vec![issued(case).into(), kept(deployed(case, verdict), keep)],
        // Nothing is signed by us, nor put onto the host
        Procedure::Trigger { .. } | Procedure::Repair(_) => Vec::new(),
    };
    let verified = kept(verified(case, verdict), keep);
    let facts: Vec<_> = of_push.iter().skip(1).chain([&verified]).collect();
    let ready = Written::from(ready(case, verdict)).or_by(&facts);
    let serving = Written::from(serving(case)).or_by(&[&verified]);
    let stalled = stalled(case, verdict);
    // Kstatus reads the first of the two that it finds, so only one may be there
    let reconciling = if stalled.is_none() { reconciling(case, verdict, status, &ready) } else { None };
    let mut written = vec![ready];
    written.extend(of_push);
    written.extend([verified, serving]);
    written.extend(functional(case, keep));
    written.extend(clients::clients_match(case));
    written.extend([reconciling, stalled, blocked(case, verdict)].into_iter().flatten().map(Written::from));
    written.extend(issuer_ending(case));
    written.into_iter().map(|written| dated(case, written)).collect()
}

/// As if the leaf in force were stored and served.
fn ready(case: &Case<'_>, verdict: &Verdict) -> ConditionClaim {
    let claim =
        |status, reason, message: String| ConditionClaim { kind: ConditionType::Ready, status, reason, message };
    let obstacle = verdict.obstacle.as_ref();
    let Some(leaf) = case.leaf() else {
        return match obstacle {
            Some(obstacle) => {
                claim(FALSE, Reason::Blocked(obstacle.by), format!("no certificate yet: {}", obstacle.message))
            }
            None => {
                let (reason, why) = without_leaf(case);
                claim(FALSE, reason, why)
            }
        };
    };
    if let Some((reason, why)) = invalid(case, leaf) {
        return claim(FALSE, reason, why);
    }
    if let Some(obstacle) = obstacle.filter(|obstacle| is_of_the_spec(obstacle.by)) {
        return claim(FALSE, Reason::Blocked(obstacle.by), obstacle.message.clone());
    }
    if let Some(trigger) = case.not_in_force() {
        let words = trigger_words(trigger);
        return match obstacle {
            Some(obstacle) => claim(FALSE, Reason::Blocked(obstacle.by), format!("{words}: {}", obstacle.message)),
            None => claim(FALSE, Reason::Rotating(trigger), words.into()),
        };
    }
    claim(TRUE, Reason::Verified, format!("{} and valid until {}", case.in_use(), leaf.not_after))
}

/// Whether what the resource itself says is wrong: then nothing that is served is what it asks for.
const fn is_of_the_spec(by: BlockedBy) -> bool {
    matches!(by, BlockedBy::SpecInvalid | BlockedBy::WrongHost | BlockedBy::Conflict)
}

/// As if the leaf in force were served.
fn serving(case: &Case<'_>) -> ConditionClaim {
    let claim =
        |status, reason, message: String| ConditionClaim { kind: ConditionType::Serving, status, reason, message };
    match case.leaf() {
        None => {
            let (reason, why) = without_leaf(case);
            claim(FALSE, reason, why)
        }
        Some(leaf) => match invalid(case, leaf) {
            Some((reason, why)) => claim(FALSE, reason, why),
            None => {
                let (leaf, until) = (short(leaf.sha256), leaf.not_after);
                let message = format!("{leaf} is {} and valid until {until}", case.in_use());
                claim(TRUE, Reason::Serving, message)
            }
        },
    }
}

/// Why nobody takes the leaf now, if so.
fn invalid(case: &Case<'_>, leaf: &LeafStatus) -> Option<(Reason, String)> {
    if case.now() >= leaf.not_after {
        Some((Reason::Expired, format!("the certificate expired at {}", leaf.not_after)))
    } else if is_ahead(leaf.not_before, case.now()) {
        let why = format!("the certificate is valid from {} only; see the clocks", leaf.not_before);
        Some((Reason::NotYetValid, why))
    } else {
        None
    }
}

fn issued(case: &Case<'_>) -> ConditionClaim {
    let claim = |status, reason, message| ConditionClaim { kind: ConditionType::Issued, status, reason, message };
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

fn deployed(case: &Case<'_>, verdict: &Verdict) -> ConditionClaim {
    let sighting = case.report().map(|report| &report.stored);
    seen(case, verdict, sighting, ConditionType::Deployed, ["the keystore", "holds"], Reason::StoredDrift)
}

fn verified(case: &Case<'_>, verdict: &Verdict) -> ConditionClaim {
    let sighting = case.report().map(|report| &report.served);
    let file = case.kept_in();
    let place = file.as_deref().map_or(["the live endpoint", "serves"], |file| [file, "holds"]);
    seen(case, verdict, sighting, ConditionType::Verified, place, Reason::ServedDrift)
}

/// Whether the agent does its work, as its host tells. The message of one that works does not change from look to look.
fn functional(case: &Case<'_>, keep: &[Condition]) -> Option<Written> {
    let kind = ConditionType::Functional;
    let claim = |status, reason, message| ConditionClaim { kind, status, reason, message };
    let is_ours = |condition: &&Condition| condition.type_ == kind.as_str();
    if let Some(before) = keep.iter().find(is_ours) {
        return Some(before.into());
    }
    let told = case.inputs.resource.status.conditions.iter().find(is_ours);
    // What was told stays told for as long as nothing else is known.
    let unknown = |reason, message: String| match told.filter(|told| is_told_not_functional(told)) {
        Some(_) => {
            let message = format!("{message}; when it was last known, it did not do its work");
            claim(UNKNOWN, Reason::LastSeenNotFunctional, message)
        }
        None => claim(UNKNOWN, reason, message),
    };
    let report = match case.inputs.host {
        Observed::Seen(_) => case.report()?.function.as_ref()?,
        Observed::Unseen(obstacle) => {
            told?;
            return Some(unknown(Reason::Blocked(obstacle.by), obstacle.message.clone()).into());
        }
    };
    let FunctionReport { latest, worked_at } = report;
    let why = latest.failure.as_ref().map_or_else(String::new, |why| format!(": {}: {}", why.reason, why.message));
    let last = worked_at
        .map_or_else(|| "not seen to since its exporter was started".to_owned(), |at| format!("last seen to at {at}"));
    Some(Written::from(match latest.state {
        FunctionState::Works => claim(TRUE, Reason::Functional, "the agent does its work".to_owned()),
        FunctionState::DoesNotWork => {
            claim(FALSE, Reason::NotFunctional, format!("the agent does not do its work, {last}{why}"))
        }
        FunctionState::Unknown => {
            let message = format!("whether the agent does its work is not known, {last}{why}");
            unknown(Reason::FunctionUnknown, message)
        }
    }))
}

/// Whether the leaf in force was seen at one of the two places.
fn seen(
    case: &Case<'_>,
    verdict: &Verdict,
    sighting: Option<&Sighting>,
    kind: ConditionType,
    [place, holds]: [&str; 2],
    drift: Reason,
) -> ConditionClaim {
    let claim = |status, reason, message| ConditionClaim { kind, status, reason, message };
    let Some(leaf) = case.leaf() else {
        let (reason, why) = without_leaf(case);
        return claim(FALSE, if kind == ConditionType::Deployed { Reason::NotDeployed } else { reason }, why);
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

/// Why there is no leaf in force.
fn without_leaf(case: &Case<'_>) -> (Reason, String) {
    match case.inputs.resource.spec.procedure {
        Procedure::Push(_) => (Reason::NotIssued, "no certificate yet".to_owned()),
        Procedure::Trigger { .. } | Procedure::Repair(_) => {
            let why = match case.report().map(|report| &report.served) {
                Some(Sighting::Unseen { reason, message }) => format!(": {reason}: {message}"),
                Some(Sighting::Leaf(_)) => ", and the host does not show the one that it says is there".to_owned(),
                None => String::new(),
            };
            (Reason::NotSeen, format!("no certificate of the agent was seen yet{why}"))
        }
    }
}

/// An agent that is not the one asked for says nothing about drift.
fn verdict_or(verdict: &Verdict, drift: Reason) -> Reason {
    match &verdict.obstacle {
        Some(obstacle) if needs_a_person(obstacle.by) => Reason::Blocked(obstacle.by),
        Some(_) | None => drift,
    }
}

fn reconciling(
    case: &Case<'_>,
    verdict: &Verdict,
    status: &ManagedAgentCertificateStatus,
    ready: &Written,
) -> Option<ConditionClaim> {
    let claim =
        |reason, message| Some(ConditionClaim { kind: ConditionType::Reconciling, status: TRUE, reason, message });
    let obstacle = verdict.obstacle.as_ref();
    if let Some(rotation) = status.rotation.as_ref().filter(|rotation| !rotation.state.is_decided()) {
        let held_up = obstacle.map(|o| format!("; held up: {}", o.message)).unwrap_or_default();
        let message = match undone_because(case, rotation.generation) {
            Some(reason) => format!("rotation {} failed and is being undone: {reason}{held_up}", rotation.generation),
            None => format!("rotation {} is on its way{held_up}", rotation.generation),
        };
        return claim(Reason::Rotating(rotation.trigger), message);
    }
    // What waits for something that passes by itself is on its way too; what a person has paused is not
    let obstacle = obstacle.filter(|obstacle| obstacle.by != BlockedBy::Paused && ready.status != TRUE)?;
    case.due?;
    claim(Reason::Blocked(obstacle.by), obstacle.message.clone())
}

/// What the host says while it rolls a rotation of this generation back, which may take minutes.
fn undone_because(case: &Case<'_>, generation: u64) -> Option<String> {
    let rotation = case.host_rotation().filter(|rotation| rotation.generation.0 == generation)?;
    let failure = rotation.failure.as_ref()?;
    Some(why(case, generation, &failure.reason))
}

fn stalled(case: &Case<'_>, verdict: &Verdict) -> Option<ConditionClaim> {
    let claim = |reason, message| Some(ConditionClaim { kind: ConditionType::Stalled, status: TRUE, reason, message });
    let obstacle = verdict.obstacle.as_ref()?;
    if needs_a_person(obstacle.by) {
        return claim(Reason::Blocked(obstacle.by), obstacle.message.clone());
    }
    let expiry = is_near_expiry(case)?;
    claim(
        Reason::NearExpiry,
        format!(
            "the certificate expires at {expiry} and its rotation is blocked: {}; clear that, or set \
             spec.rotation.nearExpiry to Wait to accept the expiry",
            obstacle.message
        ),
    )
}

fn blocked(case: &Case<'_>, verdict: &Verdict) -> Option<ConditionClaim> {
    let obstacle = verdict.obstacle.as_ref()?;
    let (reason, message) = (Reason::Blocked(obstacle.by), why_blocked(case, obstacle));
    Some(ConditionClaim { kind: ConditionType::Blocked, status: TRUE, reason, message })
}

/// The next renewal will gain nothing, unless the CA is replaced before. While the issuer cannot be read, what was known stands.
fn issuer_ending(case: &Case<'_>) -> Option<Written> {
    let push = case.inputs.resource.spec.procedure.push()?;
    let Some(issuer) = case.inputs.references.issuer() else {
        let known = case.inputs.resource.status.conditions.iter();
        return known.filter(|c| c.type_ == ConditionType::IssuerEnding.as_str()).map(Written::from).next();
    };
    let renewal = case.settled.renewal_time.map_or(case.now(), |renewal| renewal.max(case.now()));
    let gain = pace::gain_at(case, renewal);
    let end = matches!(gain, Some(Gain::IssuerEnds(_))).then_some(issuer.not_after)?;
    let message = format!(
        "the issuer ends at {end}, and no certificate can outlive it: put a CA that lives longer into the Secret {} before {}",
        push.issuer_ref.name,
        case.leaf().map_or(end, |leaf| leaf.not_after)
    );
    let (kind, reason) = (ConditionType::IssuerEnding, Reason::IssuerEnding);
    Some(Written::from(ConditionClaim { kind, status: TRUE, reason, message }))
}

/// When the leaf expires, if that is near and the resource asks for a person then.
fn is_near_expiry(case: &Case<'_>) -> Option<Timestamp> {
    let leaf = case.leaf().filter(|_| case.inputs.resource.spec.rotation.near_expiry == NearExpiry::Ask)?;
    case.due?;
    let near = near_expiry(leaf.not_before, leaf.not_after, case.inputs.resource.spec.procedure.renewal());
    (case.now() >= near).then_some(leaf.not_after)
}

/// Whether what was known before stands: during a rotation of ours the host holds one leaf and serves another for a while. Not
/// once that while is over: an agent that does not come back serves nothing.
fn stands(case: &Case<'_>, verdict: &Verdict) -> bool {
    let is_stuck = verdict.obstacle.as_ref().is_some_and(|obstacle| obstacle.by == BlockedBy::RotationStuck);
    in_rotation(case, verdict) && !is_stuck && (is_served(case) || !is_slow(case))
}

/// Whether the live endpoint serves the leaf in force.
fn is_served(case: &Case<'_>) -> bool {
    case.report()
        .zip(case.leaf())
        .is_some_and(|(report, leaf)| matches!(&report.served, Sighting::Leaf(served) if served.sha256 == leaf.sha256))
}

/// Whether the host is in the middle of a rotation of ours, or is about to be.
fn in_rotation(case: &Case<'_>, verdict: &Verdict) -> bool {
    let on_host = case.host_rotation().is_some_and(|rotation| rotation.state != RotationState::Requested);
    let ours = (on_host && case.open_rotation().is_some()) || matches!(verdict.step, Step::Open { .. });
    // Before the first leaf there is nothing that could stand
    ours && case.leaf().is_some()
}

fn kept(claim: ConditionClaim, keep: &[Condition]) -> Written {
    let before = keep.iter().find(|condition| condition.type_ == claim.kind.as_str());
    before.map_or_else(|| Written::from(claim), Written::from)
}

struct Written {
    kind: String,
    status: String,
    reason: String,
    message: String,
}

impl Written {
    /// Itself where it is not true; else the first of the facts that is not true.
    fn or_by(self, facts: &[&Self]) -> Self {
        let fact = facts.iter().find(|fact| fact.status != TRUE).filter(|_| self.status == TRUE);
        match fact {
            Some(fact) => Self {
                kind: self.kind,
                status: fact.status.clone(),
                reason: fact.reason.clone(),
                message: fact.message.clone(),
            },
            None => self,
        }
    }
}

impl From<ConditionClaim> for Written {
    fn from(claim: ConditionClaim) -> Self {
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
