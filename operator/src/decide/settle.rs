//! Writes down what is over: how a rotation ended, and that a leaf on the host is as good as a new one.

use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{AgentReport, RepairProof, RotationReport, RotationState, Sighting};
use kagiban_crds::resource::{
    BlockedBy, HISTORY_LIMIT, HistoryEntry, HostUrl, KeystoreSpec, LeafStatus, ManagedAgentCertificateStatus, Outcome,
    Procedure, PushSpec, RotationStatus, SIGNED_LIMIT, SignedLeaf, StoreFormat,
};

use super::clock::is_ahead;
use super::renewed::{self, Proof};
use super::request::{self, CarriedOut};
use super::standing::{highest_generation, is_out_of_reach, is_wrong_host, undecided};
use super::{Inputs, Observed, PasswordOfGeneration, due, renewal_time};
use crate::certificate;
use crate::foreign::is_seen;

/// The longest reason that goes into a status; what comes from a host is bounded before it is kept.
const LONGEST_WORD: usize = 64;

/// The number of a rotation is another order's on the host, which has not taken ours.
pub(super) const ANOTHER_ORDER: &str = "another_order";

/// The status with an ended rotation recorded, and the renewal time of the leaf that is in force.
pub(super) fn settle(inputs: &Inputs<'_>, digest: &str) -> ManagedAgentCertificateStatus {
    let mut status = inputs.resource.status.clone();
    reword(&mut status, inputs);
    take_for_answered(&mut status, inputs);
    note_taken(&mut status, inputs);
    if let Some(own) = undecided(&status).cloned()
        && let Some(ending) = ending(inputs, &own, &status, digest)
    {
        record(&mut status, inputs, &own, ending);
    }
    let done = carried_out(inputs, digest);
    if let Some(leaf) = adoptable(inputs, &status, digest, done) {
        status.leaf = Some(leaf);
        // A rotation that a person asked for is owed unless the host says otherwise
        if done.rotate {
            status.handled_rotate.clone_from(&inputs.resource.rotate);
        }
    }
    complete(&mut status, inputs, digest);
    verified(&mut status, inputs);
    status.renewal_time = status.leaf.as_ref().map(|leaf| {
        renewal_time(leaf.not_before, leaf.not_after, inputs.resource.spec.procedure.renewal(), &inputs.resource.uid)
    });
    status
}

/// The status that is written before a chain is sent; nothing when too much was signed for this rotation already.
pub fn with_signed(
    status: &ManagedAgentCertificateStatus,
    signed: SignedLeaf,
) -> Option<ManagedAgentCertificateStatus> {
    let mut status = status.clone();
    let rotation = status.rotation.as_mut().filter(|rotation| rotation.signed.len() < SIGNED_LIMIT)?;
    rotation.signed.insert(0, signed);
    Some(status)
}

/// Whatever the annotation says of a repair that this resource is made with, nobody has asked this operator for it: a fleet that is restored
/// from its manifests must not be started anew.
fn take_for_answered(status: &mut ManagedAgentCertificateStatus, inputs: &Inputs<'_>) {
    match inputs.resource.spec.procedure {
        Procedure::Repair(_) if status.observed_generation.is_none() && status.rotation.is_none() => {
            status.handled_rotate.clone_from(&inputs.resource.rotate);
        }
        Procedure::Push(_) | Procedure::Trigger { .. } | Procedure::Repair(_) => {}
    }
}

/// A repair is done once, whatever comes of it: that its host has taken it is durable, so that no process orders it again of a host that
/// has lost its state since, perhaps by the very restart that the repair is.
fn note_taken(status: &mut ManagedAgentCertificateStatus, inputs: &Inputs<'_>) {
    match inputs.resource.spec.procedure {
        Procedure::Push(_) | Procedure::Trigger { .. } => return,
        Procedure::Repair(_) => {}
    }
    let shown = inputs.host.report().and_then(|report| report.rotation.as_ref());
    let shown = shown.filter(|shown| !request::is_of_another_order(shown, status));
    let Some(own) = status.rotation.as_mut().filter(|own| own.state == RotationState::Requested) else { return };
    if inputs.ordered.is_some_and(|order| order.generation.0 == own.generation)
        || shown.is_some_and(|shown| shown.generation.0 == own.generation)
    {
        own.state = RotationState::Renewing;
    }
}

/// How our rotation ended.
enum Ending {
    /// A repair, with what proves it.
    Repaired(RepairProof),
    /// With the leaf that is in force from then on.
    Committed(Box<LeafStatus>),
    /// It never began: see [`ANOTHER_ORDER`].
    NotTaken,
    Failed {
        outcome: Outcome,
        reason: String,
    },
}

fn ending(
    inputs: &Inputs<'_>,
    own: &RotationStatus,
    status: &ManagedAgentCertificateStatus,
    digest: &str,
) -> Option<Ending> {
    let Observed::Seen(report) = inputs.host else { return None };
    if let Some(rotation) = report.rotation.as_ref().filter(|rotation| rotation.generation.0 == own.generation) {
        if request::is_of_another_order(rotation, status) {
            // A repair that the host has taken may have been done before the host has lost what it knew
            let is_taken = own.state != RotationState::Requested;
            return Some(if is_taken { lost("unknown_to_host") } else { Ending::NotTaken });
        }
        return decided(inputs, report, rotation, own, status.leaf.as_ref());
    }
    if report.generation.0 >= own.generation {
        // The host has accepted this number or a higher one and shows another rotation, or none
        return Some(lost("unknown_to_host"));
    }
    if own.state != RotationState::Requested {
        // The host has taken this repair, and has lost what it knew
        return Some(lost("unknown_to_host"));
    }
    if is_out_of_reach(own.generation, highest_generation(report)) {
        // The host named a far higher one before, and does not know of it now
        return Some(lost("out_of_reach"));
    }
    // The host has not heard of it. It can still be opened under its number, unless it would not be the same request.
    (own.request_digest != digest).then(|| lost("superseded"))
}

fn decided(
    inputs: &Inputs<'_>,
    report: &AgentReport,
    rotation: &RotationReport,
    own: &RotationStatus,
    before: Option<&LeafStatus>,
) -> Option<Ending> {
    let failed = |outcome, default: &str| {
        let reason = rotation.failure.as_ref().map_or(default, |failure| failure.reason.as_str());
        Some(Ending::Failed { outcome, reason: bounded(reason, LONGEST_WORD) })
    };
    match rotation.state {
        RotationState::Committed => match &inputs.resource.spec.procedure {
            Procedure::Push(_) => Some(committed(rotation, own)),
            Procedure::Repair(_) => Some(Ending::Repaired(rotation.proof.unwrap_or(RepairProof::Nothing))),
            Procedure::Trigger { .. } => match renewed::proof(inputs, report, rotation, own, before) {
                Proof::Renewed(leaf) => Some(Ending::Committed(Box::new(renewed::in_force(leaf, &own.request_digest)))),
                Proof::NotYet => None,
                Proof::None(outcome, reason) => Some(Ending::Failed { outcome, reason: reason.to_owned() }),
            },
        },
        RotationState::RolledBack => failed(Outcome::RolledBack, "rolled_back"),
        RotationState::Frozen => failed(Outcome::Frozen, "frozen"),
        RotationState::Requested
        | RotationState::Keyed
        | RotationState::Validated
        | RotationState::Staged
        | RotationState::BackedUp
        | RotationState::Renewing
        | RotationState::Swapped
        | RotationState::Restarting
        | RotationState::Verifying
        | RotationState::RollingBack => None,
    }
}

/// What a host calls committed counts only if it was signed for this rotation.
fn committed(rotation: &RotationReport, own: &RotationStatus) -> Ending {
    let Some(leaf) = rotation.leaf.as_ref() else { return lost("committed_without_leaf") };
    own.signed.iter().find(|signed| signed.sha256 == leaf.sha256).map_or_else(
        || Ending::Failed { outcome: Outcome::OtherLeaf, reason: "not_what_was_signed".to_owned() },
        |signed| Ending::Committed(Box::new(in_force(signed, &own.request_digest, own.password_version.clone()))),
    )
}

fn lost(reason: &str) -> Ending {
    Ending::Failed { outcome: Outcome::Lost, reason: reason.to_owned() }
}

fn record(status: &mut ManagedAgentCertificateStatus, inputs: &Inputs<'_>, own: &RotationStatus, ending: Ending) {
    let never_began = matches!(ending, Ending::NotTaken);
    let (outcome, sha256, reason) = match ending {
        Ending::Repaired(RepairProof::Restart | RepairProof::Command) => (Outcome::Committed, None, None),
        Ending::Repaired(RepairProof::Nothing) => (Outcome::Done, None, None),
        Ending::Committed(leaf) => {
            let sha256 = leaf.sha256;
            status.leaf = Some(*leaf);
            (Outcome::Committed, Some(sha256), None)
        }
        Ending::NotTaken => (Outcome::Lost, None, Some(ANOTHER_ORDER.to_owned())),
        Ending::Failed { outcome, reason } => (outcome, None, Some(reason)),
    };
    // A repair that failed may have done a part of it, or have restarted the system: nobody but a person asks for another.
    let is_answered = match inputs.resource.spec.procedure {
        Procedure::Push(_) | Procedure::Trigger { .. } => outcome == Outcome::Committed,
        Procedure::Repair(_) => !never_began,
    };
    if own.rotate.is_some() && is_answered {
        status.handled_rotate.clone_from(&own.rotate);
    }
    let finished_at = whole_seconds(inputs.now);
    let serials = own.signed.iter().map(|signed| signed.serial.clone()).collect();
    let entry = HistoryEntry { generation: own.generation, outcome, sha256, finished_at, reason, serials };
    status.history.insert(0, entry);
    shorten(status);
    let state = match outcome {
        Outcome::Committed | Outcome::Done => RotationState::Committed,
        Outcome::RolledBack | Outcome::Lost | Outcome::OtherLeaf => RotationState::RolledBack,
        Outcome::Frozen => RotationState::Frozen,
    };
    status.rotation = Some(RotationStatus { state, ..own.clone() });
}

/// The rotation that has put the leaf in force there stays, however many have failed since: it tells that the leaf was not found
/// there.
fn shorten(status: &mut ManagedAgentCertificateStatus) {
    let leaf = status.leaf.as_ref().map(|leaf| leaf.sha256);
    let history = &mut status.history;
    while history.len() > HISTORY_LIMIT {
        let is_in_force = |entry: &HistoryEntry| {
            entry.outcome == Outcome::Committed && entry.sha256.is_some() && entry.sha256 == leaf
        };
        let kept = history.iter().position(is_in_force);
        let oldest = (1..history.len()).rev().find(|at| Some(*at) != kept);
        history.remove(oldest.unwrap_or(history.len() - 1));
    }
}

/// A leaf that was found on the host instead of the one in the status, if it is taken as it is, without a rotation.
///
/// Of an agent that renews its own certificate, whatever it serves is in force: there is nothing else to be had from it, and when
/// it is due is told by what is served.
fn adoptable(
    inputs: &Inputs<'_>,
    status: &ManagedAgentCertificateStatus,
    digest: &str,
    done: CarriedOut,
) -> Option<LeafStatus> {
    let report = inputs.host.report()?;
    let spec = &inputs.resource.spec;
    let at_rest = undecided(status).is_none() && report.rotation.as_ref().is_none_or(|r| r.state.is_decided());
    if !at_rest || inputs.rival.is_some() || inputs.resource.deleted_at.is_some() || is_wrong_host(spec, report) {
        return None;
    }
    let found = in_use(inputs, report)?;
    let known = status.leaf.as_ref();
    if known.is_some_and(|leaf| leaf.sha256 == found) {
        return None;
    }
    match &spec.procedure {
        Procedure::Push(push) => {
            let leaf = as_good_as_new(inputs, report, push, known, digest, done)?;
            // Another password is owed
            let password_version = known.and_then(|known| known.password_version.clone());
            // What was undone may have been for another password than the one in force, which the host is asked about
            let of_earlier = done.of_earlier.filter(|_| push.keystore.password_secret_ref.is_some());
            let password_version =
                password_version.or_else(|| of_earlier.map(|it| PasswordOfGeneration(it).to_string()));
            (leaf.sha256 == found).then(|| in_force(&leaf, digest, password_version))
        }
        Procedure::Trigger { .. } => renewed::served(report).map(|leaf| renewed::in_force(leaf, digest)),
        Procedure::Repair(_) => None,
    }
}

/// The leaf that the host shows, if it is as good as one that would be signed now: the resource was created anew or restored,
/// and rotating would restart the agent for nothing.
///
/// It never goes back to an older leaf than the one in the status. What the spec asks of the keystore is not seen from outside:
/// there is nothing to adopt where neither the host nor the status says that it was done.
fn as_good_as_new(
    inputs: &Inputs<'_>,
    report: &AgentReport,
    push: &PushSpec,
    known: Option<&LeafStatus>,
    digest: &str,
    done: CarriedOut,
) -> Option<SignedLeaf> {
    let leaf = certificate::fitting(report.certificate.as_deref()?, &push.certificate, inputs.references.issuer()?)?;
    let renewal = renewal_time(leaf.not_before, leaf.not_after, push.certificate.renewal(), &inputs.resource.uid);
    let is_known = match known {
        Some(known) => known.request_digest == digest,
        None => asks_nothing_of_the_store(&push.keystore),
    };
    let is_done = done.spec || is_known;
    let is_newer = known.is_none_or(|known| leaf.not_before > known.not_before);
    // One that was made while the clock was ahead would be renewed at once
    let is_of_the_future = is_ahead(leaf.not_before, inputs.now);
    (inputs.now < renewal && is_newer && is_done && !is_of_the_future).then_some(leaf)
}

/// What the host says of the rotation that has made what the agent works with: the newest, or where that was undone, the one that
/// was committed before it.
fn carried_out(inputs: &Inputs<'_>, digest: &str) -> CarriedOut {
    let said = |mark| request::carried_out(mark, digest, inputs.resource.rotate.as_deref());
    let committed = || {
        let report = inputs.host.report()?;
        let in_use = in_use(inputs, report)?;
        let newest = report.rotation.as_ref();
        if let Some(newest) = newest.filter(|newest| newest.state == RotationState::Committed) {
            let is_in_use = newest.leaf.as_ref().is_some_and(|leaf| leaf.sha256 == in_use);
            return is_in_use.then(|| newest.mark.as_ref().map(said)).flatten();
        }
        let earlier = report.committed.as_ref().filter(|earlier| earlier.leaf == in_use)?;
        Some(CarriedOut { of_earlier: Some(earlier.generation), ..said(earlier.mark.as_ref()?) })
    };
    committed().unwrap_or_default()
}

/// What the agent works with: what it serves, and where its keystore is ours to write, what that holds, too.
fn in_use(inputs: &Inputs<'_>, report: &AgentReport) -> Option<LeafSha256> {
    match (&inputs.resource.spec.procedure, &report.stored, &report.served) {
        (Procedure::Trigger { .. }, _, Sighting::Leaf(served)) => Some(served.sha256),
        (Procedure::Push(_), Sighting::Leaf(stored), Sighting::Leaf(served)) => {
            (stored.sha256 == served.sha256).then_some(stored.sha256)
        }
        (
            Procedure::Push(_) | Procedure::Trigger { .. } | Procedure::Repair(_),
            Sighting::Leaf(_) | Sighting::Unseen { .. },
            Sighting::Leaf(_) | Sighting::Unseen { .. },
        ) => None,
    }
}

/// Whether any store with the leaf in it is as the spec wants it.
fn asks_nothing_of_the_store(keystore: &KeystoreSpec) -> bool {
    keystore.format == StoreFormat::Auto && keystore.alias.is_none() && keystore.password_secret_ref.is_none()
}

fn in_force(leaf: &SignedLeaf, digest: &str, password_version: Option<String>) -> LeafStatus {
    LeafStatus {
        sha256: leaf.sha256,
        serial: leaf.serial.clone(),
        issuer: leaf.issuer.clone(),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        request_digest: digest.to_owned(),
        issuer_sha256: Some(leaf.issuer_sha256.clone()),
        password_version,
        // Written by `verified`, where it is seen to be served
        verified_url: None,
        verified_client: None,
    }
}

/// Through what the leaf in force was seen to be served: who verified it elsewhere has shown nothing of this host. Whoever may
/// not look at the host any more, or finds another there, has shown nothing either, until it is seen again: what stands in its
/// way by then, such as a conflict, does not tell that any more.
///
/// Where the spec names another address or Secret now, perhaps by mistake, the address stays until another host has answered;
/// the Secret goes, so that whoever comes back to the address is not taken for verified before it is seen again.
fn verified(status: &mut ManagedAgentCertificateStatus, inputs: &Inputs<'_>) {
    let Some(leaf) = status.leaf.as_mut() else { return };
    let spec = &inputs.resource.spec;
    let Some(api) = spec.api.host_api.as_ref() else { return };
    let place = |url: &str| url.parse::<HostUrl>().ok();
    let has_moved = leaf.verified_url.as_deref().and_then(place) != place(&api.url)
        || leaf.verified_client.as_deref() != Some(api.tls_secret_ref.name.as_str());
    let is_refused = match inputs.host {
        Observed::Unseen(obstacle) => {
            obstacle.refuses_client
                || obstacle.by == BlockedBy::WrongHost
                // Nobody is asked then: at another address no other host has answered
                || (obstacle.by == BlockedBy::NotGranted && !has_moved)
        }
        Observed::Seen(report) => is_wrong_host(spec, report) || (has_moved && due::drift(leaf, report).is_some()),
    };
    if is_refused {
        (leaf.verified_url, leaf.verified_client) = (None, None);
        return;
    }
    let served = inputs.host.report().map(|report| &report.served);
    if matches!(served, Some(Sighting::Leaf(served)) if served.sha256 == leaf.sha256) {
        leaf.verified_url = Some(api.url.clone());
        leaf.verified_client = Some(api.tls_secret_ref.name.clone());
    } else if has_moved {
        leaf.verified_client = None;
    }
}

/// A password that goes by another word now is the same one: nothing is rotated for it, and the status has the word by which
/// it is known after a restart of this process.
fn reword(status: &mut ManagedAgentCertificateStatus, inputs: &Inputs<'_>) {
    let Some(password) = inputs.references.password() else { return };
    let of_leaf = status.leaf.as_mut().and_then(|leaf| leaf.password_version.as_mut());
    let of_rotation = status.rotation.as_mut().and_then(|rotation| rotation.password_version.as_mut());
    for word in of_leaf.into_iter().chain(of_rotation).filter(|word| password.was(word)) {
        word.clone_from(&password.word);
    }
}

/// A status of a version that did not record these takes what is found now: an upgrade rotates nothing.
fn complete(status: &mut ManagedAgentCertificateStatus, inputs: &Inputs<'_>, digest: &str) {
    let Some(leaf) = status.leaf.as_mut().filter(|leaf| leaf.request_digest == digest) else { return };
    if leaf.issuer_sha256.is_none() {
        leaf.issuer_sha256 = inputs.references.issuer().map(|issuer| issuer.sha256.clone());
    }
    if leaf.password_version.is_none() {
        leaf.password_version = inputs.references.password_version().map(str::to_owned);
    }
}

/// Text from a host, without control characters and not longer than `most` characters.
pub(super) fn bounded(text: &str, most: usize) -> String {
    text.chars().filter(|c| is_seen(*c)).take(most).collect()
}

/// Kubernetes shows and stores times in seconds.
pub(crate) fn whole_seconds(time: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(time.as_second()).unwrap_or(time)
}
