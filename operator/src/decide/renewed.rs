//! What an agent that renews its own certificate shows: nothing of it is signed by us, so what it serves is what counts.

use kagiban_crds::host_api::{AgentReport, RotationReport, Sighting};
use kagiban_crds::resource::{LeafStatus, Outcome, RotationStatus};

use super::clock::is_ahead;
use super::renewal::later;
use super::{Inputs, clock};
use crate::certificate::{self, ShownLeaf};

/// What a rotation that the host calls committed has come to.
pub(super) enum Proof {
    Renewed(ShownLeaf),
    /// The agent serves nothing just now, or nothing that can be read: it is looked at again.
    NotYet,
    /// With a stable reason.
    None(Outcome, &'static str),
}

/// Whether the agent serves the leaf that the host calls committed, and whether that ends later than the one before.
pub(super) fn proof(
    inputs: &Inputs<'_>,
    report: &AgentReport,
    rotation: &RotationReport,
    own: &RotationStatus,
    before: Option<&LeafStatus>,
) -> Proof {
    let Some(committed) = rotation.leaf.as_ref().map(|leaf| leaf.sha256) else {
        return Proof::None(Outcome::Lost, "committed_without_leaf");
    };
    let Some(leaf) = served(report) else {
        let until = later(own.started_at, inputs.policy.delivery_deadline);
        let may_come = clock::lasts(inputs.now, own.started_at, until);
        return if may_come { Proof::NotYet } else { Proof::None(Outcome::OtherLeaf, "not_seen") };
    };
    if leaf.sha256 != committed {
        Proof::None(Outcome::OtherLeaf, "not_served")
    } else if before.is_some_and(|before| leaf.not_after <= before.not_after) {
        Proof::None(Outcome::OtherLeaf, "not_later")
    } else if leaf.not_after <= inputs.now {
        Proof::None(Outcome::OtherLeaf, "expired")
    } else if is_ahead(leaf.not_before, inputs.now) {
        Proof::None(Outcome::OtherLeaf, "not_yet_valid")
    } else {
        Proof::Renewed(leaf)
    }
}

/// The leaf on the live endpoint, where the host shows the certificate itself.
pub(super) fn served(report: &AgentReport) -> Option<ShownLeaf> {
    let Sighting::Leaf(seen) = &report.served else { return None };
    certificate::shown(report.certificate.as_deref()?).filter(|shown| shown.sha256 == seen.sha256)
}

/// What is in force as an agent serves it.
pub(super) fn in_force(leaf: ShownLeaf, digest: &str) -> LeafStatus {
    LeafStatus {
        sha256: leaf.sha256,
        serial: leaf.serial,
        issuer: leaf.issuer,
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        request_digest: digest.to_owned(),
        issuer_sha256: None,
        password_version: None,
        // Written by `verified`, where it is seen to be served
        verified_url: None,
        verified_client: None,
    }
}
