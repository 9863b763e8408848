//! Whether a new rotation is due, and why.

use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{AgentReport, Sighting};
use kagiban_crds::resource::{LeafStatus, ManagedAgentCertificateStatus, Procedure, RotationTrigger};

use super::Inputs;
use super::clock::is_ahead;

/// The first trigger that applies. A person's wish stands before what was found.
///
/// An agent that renews its own certificate and serves another one than before has renewed it, and that is no drift. One that was
/// never seen to serve any may be starting just now: it is told to renew only where a person asks for that. Nothing but that ever repairs
/// an agent.
pub(super) fn due(
    inputs: &Inputs<'_>,
    settled: &ManagedAgentCertificateStatus,
    digest: &str,
) -> Option<RotationTrigger> {
    let owed = owed_rotate(inputs, settled);
    // The clock was ahead when it was made, and is right again
    let is_of_the_future = settled.leaf.as_ref().is_some_and(|leaf| is_ahead(leaf.not_before, inputs.now));
    let is_old = settled.renewal_time.is_some_and(|renewal| inputs.now >= renewal);
    let by_age = (is_old || is_of_the_future).then_some(RotationTrigger::Renewal);
    match (&inputs.resource.spec.procedure, settled.leaf.as_ref()) {
        (Procedure::Push(_), None) => Some(RotationTrigger::FirstIssue),
        (Procedure::Trigger { .. }, None) => owed.map(|_| RotationTrigger::FirstIssue),
        (Procedure::Push(_), Some(leaf)) => owed
            .map(|_| RotationTrigger::Requested)
            .or_else(|| not_in_force(inputs, leaf, digest))
            .or_else(|| inputs.host.report().and_then(|report| drift(leaf, report)))
            .or(by_age),
        (Procedure::Trigger { .. }, Some(_)) => owed.map(|_| RotationTrigger::Requested).or(by_age),
        (Procedure::Repair(_), _) => owed.map(|_| RotationTrigger::Requested),
    }
}

/// The value of the rotate annotation that no verified leaf, nor any repair, has answered yet.
pub(super) fn owed_rotate<'a>(inputs: &Inputs<'a>, settled: &ManagedAgentCertificateStatus) -> Option<&'a str> {
    inputs.resource.rotate.as_deref().filter(|rotate| Some(*rotate) != settled.handled_rotate.as_deref())
}

/// How the leaf differs from what the spec asks for. What is not known, of the leaf or now, is no difference. An agent that renews
/// its own certificate is asked for nothing that one could differ in.
pub(super) fn not_in_force(inputs: &Inputs<'_>, leaf: &LeafStatus, digest: &str) -> Option<RotationTrigger> {
    match inputs.resource.spec.procedure {
        Procedure::Push(_) => {}
        Procedure::Trigger { .. } | Procedure::Repair(_) => return None,
    }
    if leaf.request_digest != digest {
        return Some(RotationTrigger::SpecChanged);
    }
    let issuer = inputs.references.issuer().map(|issuer| issuer.sha256.as_str());
    if differ(leaf.issuer_sha256.as_deref(), issuer) {
        return Some(RotationTrigger::IssuerChanged);
    }
    let (word, password) = leaf.password_version.as_deref().zip(inputs.references.password())?;
    password.is_another(word).then_some(RotationTrigger::PasswordChanged)
}

/// Whether nobody knows if the password is another than the one that was in force: its word is, and that moves with whatever is
/// written to its Secret.
pub(super) fn is_password_unheard(inputs: &Inputs<'_>, leaf: &LeafStatus) -> bool {
    let words = leaf.password_version.as_deref().zip(inputs.references.password());
    words.is_some_and(|(word, password)| !password.was(word) && !password.is_another(word))
}

/// What is not known is no difference.
pub(super) fn differ(then: Option<&str>, now: Option<&str>) -> bool {
    then.zip(now).is_some_and(|(then, now)| then != now)
}

/// A leaf that could not be seen is not drift: a stopped agent is not cured by another certificate.
pub(super) fn drift(leaf: &LeafStatus, report: &AgentReport) -> Option<RotationTrigger> {
    if is_another(&report.stored, leaf.sha256) {
        Some(RotationTrigger::StoredDrift)
    } else if is_another(&report.served, leaf.sha256) {
        Some(RotationTrigger::ServedDrift)
    } else {
        None
    }
}

fn is_another(sighting: &Sighting, expected: LeafSha256) -> bool {
    match sighting {
        Sighting::Leaf(leaf) => leaf.sha256 != expected,
        Sighting::Unseen { .. } => false,
    }
}
