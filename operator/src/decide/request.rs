//! What of a spec a leaf depends on: when this changes, the leaf must.

use kagiban_crds::host_api::RotationReport;
use kagiban_crds::resource::{
    KeyAlgorithm, ManagedAgentCertificateSpec, ManagedAgentCertificateStatus, Procedure, PushSpec, RepairSpec,
    StoreFormat,
};
use kagiban_crds::{Generation, OrderMark};
use sha2::{Digest, Sha256};

/// What the operator writes on the order of a rotation: [`request_digest`], and a digest of the rotate annotation's value that
/// its commit answers, this one or an earlier one. A host shows it again to an operator that has lost the resource's status.
pub(super) fn order_mark(digest: &str, answered: Option<&str>) -> Option<OrderMark> {
    let mark = answered.map_or_else(|| digest.to_owned(), |value| format!("{digest}.{}", digest_of(value)));
    mark.parse().ok()
}

/// What is written on the order of the rotation that the status says is opened.
pub fn mark_of(status: &ManagedAgentCertificateStatus) -> Option<OrderMark> {
    let rotation = status.rotation.as_ref()?;
    order_mark(&rotation.request_digest, rotation.rotate.as_deref().or(status.handled_rotate.as_deref()))
}

/// Whether what the host shows under the number of our rotation was opened by another order, such as one of an operator that was restored
/// from a backup. The host refuses ours then (`generation_conflict`). One that keeps no marks does not tell.
pub(super) fn is_of_another_order(shown: &RotationReport, status: &ManagedAgentCertificateStatus) -> bool {
    shown.mark.as_ref().zip(mark_of(status)).is_some_and(|(shown, own)| *shown != own)
}

/// What an [`order_mark`] tells of a resource: whether it was carried out as the spec asks, and whether the annotation's
/// present value is answered.
pub(super) fn carried_out(mark: &OrderMark, digest: &str, rotate: Option<&str>) -> CarriedOut {
    let (asked, answered) = mark.as_str().split_once('.').map_or((mark.as_str(), None), |(a, b)| (a, Some(b)));
    CarriedOut {
        spec: asked == digest,
        rotate: rotate.is_some_and(|value| answered == Some(digest_of(value).as_str())),
        of_earlier: None,
    }
}

/// See [`carried_out`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CarriedOut {
    pub spec: bool,
    pub rotate: bool,
    /// The generation, where others have followed it that were undone.
    pub of_earlier: Option<Generation>,
}

fn digest_of(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// A digest of what a spec asks for. An agent that renews its own certificate is asked for nothing but that.
pub fn request_digest(spec: &ManagedAgentCertificateSpec) -> String {
    match &spec.procedure {
        Procedure::Push(push) => push_digest(push),
        Procedure::Trigger { .. } => digest_of("renewal v1"),
        Procedure::Repair(RepairSpec {}) => digest_of("repair v1"),
    }
}

/// A digest over names, subject, key, issuer and keystore.
///
/// Not over duration and renewBefore: they say when, not what, and a leaf that is good until its renewal time is left
/// alone. Not over the password's value either, which a digest in a status would let others guess at.
pub(crate) fn push_digest(push: &PushSpec) -> String {
    let mut hash = Sha256::new();
    // Each part with its length, so that no two requests read the same
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    part("v1");
    // The first name is the common name, the order of the others says nothing
    part(push.certificate.dns_names.first().map_or("", String::as_str));
    for names in [&push.certificate.dns_names, &push.certificate.ip_addresses] {
        let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        sorted.dedup();
        part(&sorted.len().to_string());
        sorted.into_iter().for_each(&mut part);
    }
    // Nothing of one that is not there: a spec from before there was a subject is the same request still
    let subject = &push.certificate.subject;
    if !subject.is_empty() {
        part("subject");
        for (kind, text) in subject.parts() {
            part(&format!("{kind:?}"));
            part(text);
        }
    }
    let key = push.certificate.private_key;
    part(match key.algorithm {
        KeyAlgorithm::Rsa => "RSA",
        KeyAlgorithm::Ecdsa => "ECDSA",
    });
    part(&key.bits().to_string());
    part(push.issuer_ref.kind.as_str());
    part(&push.issuer_ref.name);
    part(match push.keystore.format {
        StoreFormat::Auto => "Auto",
        StoreFormat::Jks => "JKS",
        StoreFormat::Jceks => "JCEKS",
        StoreFormat::Pkcs12 => "PKCS12",
        StoreFormat::Pem => "PEM",
    });
    part(push.keystore.alias.as_deref().unwrap_or(""));
    let password = push.keystore.password_secret_ref.as_ref();
    part(password.map_or("", |p| p.name.as_str()));
    part(password.map_or("", |p| p.key.as_str()));
    hex::encode(hash.finalize())
}
