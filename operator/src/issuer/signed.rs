//! Chains that were signed and are not on their hosts yet: a delivery that fails is tried again with the same certificate.
//!
//! Only while it is what would be signed now. It may be forgotten: the CSR is then signed once more, and both serials stand in
//! the status.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::Generation;
use kagiban_crds::resource::PushSpec;
use sha2::{Digest, Sha256};

use crate::certificate::{Issued, IssuerFacts};
use crate::decide::{Resource, push_digest};
use crate::recent::Recent;

/// Bytes of all that wait. A chain has 4 to 6 KiB as a rule: there is room for those of some thousand hosts.
const MAX_CHAIN_BYTES: usize = 16 << 20;
/// What is kept of a chain beside its text, about.
const BESIDE_CHAIN: usize = 512;
/// Longer than deliveries are tried by default.
const KEPT: Duration = Duration::from_secs(2 * 3600);
/// A chain of which more than this part of its life has gone is signed anew: a host that is silent for long is not given less
/// than was asked for.
const SPENT: i64 = 10;

/// By the namespace and the uid of the resource.
#[derive(Debug)]
pub(super) struct SignedChains(Mutex<Recent<SignedCertificate>>);

/// A digest of all that a certificate is made from, but for its serial and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Basis([u8; 32]);

#[derive(Debug)]
struct SignedCertificate {
    basis: Basis,
    signed_at: Timestamp,
    issued: Issued,
}

impl Basis {
    pub(super) fn of(generation: Generation, csr: &str, push: &PushSpec, facts: Option<&IssuerFacts>) -> Self {
        let mut hash = Sha256::new();
        let duration = push.certificate.duration.as_duration().as_secs();
        hash.update(generation.0.to_be_bytes());
        hash.update(duration.to_be_bytes());
        for part in [csr.as_bytes(), push_digest(push).as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        for certificate in facts.into_iter().flat_map(IssuerFacts::chain) {
            hash.update(Sha256::digest(certificate));
        }
        Self(hash.finalize().into())
    }
}

impl Default for SignedChains {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(MAX_CHAIN_BYTES, KEPT)))
    }
}

impl SignedChains {
    /// What was signed on the same basis not long ago.
    pub(super) fn issued_for(&self, resource: &Resource, basis: Basis, now: Timestamp) -> Option<Issued> {
        let mut chains = self.lock();
        let waiting = chains.get(&resource.namespace, &resource.uid)?;
        (waiting.basis == basis && waiting.is_young(now)).then(|| waiting.issued.clone())
    }

    pub(super) fn remember(&self, resource: &Resource, basis: Basis, issued: &Issued, now: Timestamp) {
        let waiting = SignedCertificate { basis, signed_at: now, issued: issued.clone() };
        let size = issued.chain.len() + BESIDE_CHAIN;
        self.lock().put_sized(&resource.namespace, &resource.uid, waiting, size);
    }

    pub(super) fn forget(&self, namespace: &str, uid: &str) {
        self.lock().remove(namespace, uid);
    }

    fn lock(&self) -> MutexGuard<'_, Recent<SignedCertificate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SignedCertificate {
    fn is_young(&self, now: Timestamp) -> bool {
        let life = self.issued.leaf.not_after.as_second().saturating_sub(self.signed_at.as_second());
        let gone = now.as_second().saturating_sub(self.signed_at.as_second());
        (0..=life / SPENT).contains(&gone)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;
    use crate::certificate::{Authority, check};
    use crate::decide::tests as sample;

    fn ca(key: &KeyPair) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(key).expect("a certificate").pem();
        Authority::read(certificate.as_bytes(), key.serialize_pem().as_bytes(), sample::now()).expect("a CA")
    }

    fn key() -> KeyPair {
        KeyPair::generate().expect("a key")
    }

    fn ecdsa() -> PushSpec {
        let mut spec = sample::push(&mut sample::resource().spec).clone();
        spec.certificate.private_key.algorithm = kagiban_crds::resource::KeyAlgorithm::Ecdsa;
        spec.certificate.private_key.size = Some(256);
        spec
    }

    /// What a CA has signed now, and for what.
    fn signed(now: Timestamp) -> (Basis, Issued) {
        let (spec, authority) = (ecdsa(), ca(&key()));
        let csr = CertificateParams::default().serialize_request(&key()).expect("a CSR").pem().expect("PEM");
        let asked = spec.certificate.private_key.request().expect("a key that hosts make");
        let issued = authority
            .sign(&check(&csr, asked, &spec.certificate.subject).expect("a good CSR"), &spec.certificate, now)
            .expect("signed");
        (Basis::of(Generation(1), &csr, &spec, Some(authority.facts())), issued)
    }

    /// Holds B2: a chain is handed out again only for what it was signed for, and by whom it would be signed now.
    #[test]
    fn what_was_signed_for_something_else_is_not_handed_out() {
        let (spec, ca_key) = (ecdsa(), key());
        let authority = ca(&ca_key);
        let first = Basis::of(Generation(1), "CSR", &spec, Some(authority.facts()));
        assert_eq!(first, Basis::of(Generation(1), "CSR", &spec, Some(authority.facts())));
        let mut others = vec![
            ("another rotation", Basis::of(Generation(2), "CSR", &spec, Some(authority.facts()))),
            ("another CSR", Basis::of(Generation(1), "another", &spec, Some(authority.facts()))),
            ("another CA", Basis::of(Generation(1), "CSR", &spec, Some(ca(&key()).facts()))),
            ("the same CA with another certificate", Basis::of(Generation(1), "CSR", &spec, Some(ca(&ca_key).facts()))),
        ];
        let mut names = spec.clone();
        names.certificate.dns_names.push("ups.example.com".into());
        others.push(("another name", Basis::of(Generation(1), "CSR", &names, Some(authority.facts()))));
        let mut life = spec.clone();
        life.certificate.duration = "24h".parse().expect("a duration");
        others.push(("another duration", Basis::of(Generation(1), "CSR", &life, Some(authority.facts()))));
        for (what, other) in others {
            assert_ne!(other, first, "{what}");
        }
    }

    /// Holds B10: a host that is away for long gets the lifetime that was asked for.
    #[test]
    fn what_has_lived_for_a_tenth_of_its_life_is_signed_anew() {
        let (now, chains) = (sample::now(), SignedChains::default());
        let (basis, issued) = signed(now);
        let (resource, other) = (sample::resource(), Resource { uid: "other".into(), ..sample::resource() });
        chains.remember(&resource, basis, &issued, now);
        let after = |hours: u64| now.checked_add(Duration::from_secs(hours * 3600)).expect("a time");
        assert_eq!(chains.issued_for(&resource, basis, after(215)), Some(issued));
        assert_eq!(chains.issued_for(&resource, basis, after(217)), None);
        assert_eq!(chains.issued_for(&other, basis, now), None);
        chains.forget(&resource.namespace, &resource.uid);
        assert_eq!(chains.issued_for(&resource, basis, now), None);
    }

    /// Holds B14: 300 hosts of one namespace that refuse their chains had a neighbour's signed anew until its rotation was called off.
    #[tokio::test]
    async fn the_chains_of_one_namespace_do_not_displace_those_of_another() {
        let (now, chains) = (sample::now(), SignedChains::default());
        let (basis, issued) = signed(now);
        let of = |namespace: &str, uid: usize| Resource {
            namespace: namespace.into(),
            uid: uid.to_string(),
            ..sample::resource()
        };
        chains.remember(&of("fleet", 0), basis, &issued, now);
        // As many as fill the room twice
        let many = 2 * MAX_CHAIN_BYTES / (issued.chain.len() + BESIDE_CHAIN);
        for uid in 0..many {
            chains.remember(&of("noisy", uid), basis, &issued, now);
        }
        assert!(chains.issued_for(&of("noisy", 0), basis, now).is_none(), "there is a bound");
        assert_eq!(chains.issued_for(&of("fleet", 0), basis, now), Some(issued));
    }
}
