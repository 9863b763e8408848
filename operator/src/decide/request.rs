//! What of a spec a leaf depends on: when this changes, the leaf must.

use kagiban_crds::resource::{IssuerKind, KeyAlgorithm, ManagedAgentCertificateSpec, StoreFormat};
use sha2::{Digest, Sha256};

/// A digest over names, key, issuer and keystore.
///
/// Not over duration and renewBefore: they say when, not what, and a leaf that is good until its renewal time is left
/// alone. Not over the password's value either, which a digest in a status would let others guess at.
pub fn request_digest(spec: &ManagedAgentCertificateSpec) -> String {
    let mut hash = Sha256::new();
    // each part with its length, so that no two requests read the same
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    part("v1");
    // the first name is the common name, the order of the others says nothing
    part(spec.certificate.dns_names.first().map_or("", String::as_str));
    for names in [&spec.certificate.dns_names, &spec.certificate.ip_addresses] {
        let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        sorted.dedup();
        part(&sorted.len().to_string());
        sorted.into_iter().for_each(&mut part);
    }
    let key = spec.certificate.private_key;
    part(match key.algorithm {
        KeyAlgorithm::Rsa => "RSA",
        KeyAlgorithm::Ecdsa => "ECDSA",
    });
    part(&key.bits().to_string());
    part(match spec.issuer_ref.kind {
        IssuerKind::CaSecret => "CASecret",
    });
    part(&spec.issuer_ref.name);
    part(match spec.keystore.format {
        StoreFormat::Auto => "Auto",
        StoreFormat::Jks => "JKS",
        StoreFormat::Jceks => "JCEKS",
        StoreFormat::Pkcs12 => "PKCS12",
        StoreFormat::Pem => "PEM",
    });
    part(spec.keystore.alias.as_deref().unwrap_or(""));
    let password = spec.keystore.password_secret_ref.as_ref();
    part(password.map_or("", |p| p.name.as_str()));
    part(password.map_or("", |p| p.key.as_str()));
    hex::encode(hash.finalize())
}
