//! Whether a new rotation is due, and why.

use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{AgentReport, Sighting};
use kagiban_crds::resource::{LeafStatus, ManagedAgentCertificateStatus, Trigger};

use super::Inputs;

/// The first trigger that applies. A person's wish stands before what was found.
pub(super) fn due(inputs: &Inputs<'_>, settled: &ManagedAgentCertificateStatus, digest: &str) -> Option<Trigger> {
    let Some(leaf) = settled.leaf.as_ref() else { return Some(Trigger::FirstIssue) };
    let rotate = inputs.resource.rotate.as_deref();
    if rotate.is_some() && rotate != settled.handled_rotate.as_deref() {
        Some(Trigger::Requested)
    } else if leaf.request_digest != digest {
        Some(Trigger::SpecChanged)
    } else if let Some(drift) = inputs.host.report().and_then(|report| drift(leaf, report)) {
        Some(drift)
    } else if settled.renewal_time.is_some_and(|renewal| inputs.now >= renewal) {
        Some(Trigger::Renewal)
    } else {
        None
    }
}

/// A leaf that could not be seen is not drift: a stopped agent is not cured by another certificate.
fn drift(leaf: &LeafStatus, report: &AgentReport) -> Option<Trigger> {
    if is_another(&report.stored, leaf.sha256) {
        Some(Trigger::StoredDrift)
    } else if is_another(&report.served, leaf.sha256) {
        Some(Trigger::ServedDrift)
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
