//! What the client CAs have revoked: the lists of a file, and which of them speaks of which certificate.
//!
//! A CA that takes a new key keeps its name, and each of its keys signs lists of its own. webpki takes the first list of a
//! name, so it is given those alone that the keys of the chain at hand have signed. A chain in which two keys of one name
//! follow each other, as through a certificate by which an old key vouches for the new one, is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertRevocationListError, CertificateError, DistinguishedName, OtherError, RootCertStore};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder,
    VerifiedPath, spki_for_anchor,
};
use x509_parser::asn1_rs::{Any, BitString, FromDer as _};
use x509_parser::num_bigint::BigUint;
use x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
use x509_parser::prelude::{CertificateRevocationList, ParsedExtension};

use crate::proven::JudgeClient;

/// Lists of one CA that do not say which key has signed them: each may be the newest of a key of its own. More than any CA has
/// keys in use; a file to which each new list is appended holds more, and the oldest of them have expired.
const MAX_OF_UNKNOWN_KEYS: usize = 16;

/// Lets in whom a client CA has signed, and none of the lists in force has revoked.
#[derive(Debug)]
pub(super) struct Unrevoked {
    /// Who is signed at all.
    signed: Arc<dyn ClientCertVerifier>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    revocations: Revocations,
}

/// The newest revocation list of each kind, the newest of all first, and when the first of them expires.
#[derive(Debug)]
pub(super) struct Revocations {
    lists: Vec<List>,
    pub(super) next_update: Timestamp,
}

impl Unrevoked {
    pub(super) fn new(
        signed: Arc<dyn ClientCertVerifier>,
        roots: Arc<RootCertStore>,
        algorithms: WebPkiSupportedAlgorithms,
        revocations: Revocations,
    ) -> Self {
        Self { signed, roots, algorithms, revocations }
    }

    /// What no list speaks of is refused, and so is what only lists that have expired speak of, as OpenSSL and nginx do.
    fn has_nothing_revoked(&self, path: &VerifiedPath<'_>, now: UnixTime) -> Result<(), webpki::Error> {
        let (anchor, intermediates) = (path.anchor(), path.intermediate_certificates());
        let mut issuers: Vec<_> =
            intermediates.map(|issuer| (issuer.subject().to_vec(), issuer.subject_public_key_info())).collect();
        issuers.push((anchor.subject.to_vec(), spki_for_anchor(anchor)));
        let speaks = |list: &&List| issuers.iter().any(|(name, key)| list.is_signed_by(name, key, &self.algorithms));
        let lists: Vec<_> = self.revocations.lists.iter().filter(speaks).map(|list| &list.parsed).collect();
        let revocation = RevocationOptionsBuilder::new(&lists).map_err(|_| webpki::Error::UnknownRevocationStatus)?;
        let revocation = revocation.with_expiration_policy(ExpirationPolicy::Enforce).build();
        let intermediates: Vec<_> = path.intermediate_certificates().map(webpki::Cert::der).collect();
        let (leaf, anchors) = (path.end_entity(), [anchor.clone()]);
        let usage = KeyUsage::client_auth();
        leaf.verify_for_usage(self.algorithms.all, &anchors, &intermediates, now, usage, Some(revocation), None)
            .map(drop)
    }
}

impl JudgeClient for Unrevoked {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed.root_hint_subjects()
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        // First, so that only the certificates of a whole chain are asked whether they have signed a list.
        self.signed.verify_client_cert(leaf, intermediates, now)?;
        let check = |path: &VerifiedPath<'_>| self.has_nothing_revoked(path, now);
        let (roots, usage) = (&self.roots.roots, KeyUsage::client_auth());
        let leaf = EndEntityCert::try_from(leaf).map_err(refusal)?;
        leaf.verify_for_usage(self.algorithms.all, roots, intermediates, now, usage, None, Some(&check))
            .map(drop)
            .map_err(refusal)
    }
}

/// As rustls says it; a chain that leads nowhere was refused before.
fn refusal(error: webpki::Error) -> rustls::Error {
    match error {
        webpki::Error::CertRevoked => CertificateError::Revoked.into(),
        webpki::Error::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus.into(),
        webpki::Error::CrlExpired { time, next_update } => {
            CertificateError::ExpiredRevocationListContext { time, next_update }.into()
        }
        webpki::Error::IssuerNotCrlSigner => CertRevocationListError::IssuerInvalidForCrl.into(),
        other => CertificateError::Other(OtherError(Arc::new(other))).into(),
    }
}

impl Revocations {
    /// # Errors
    /// With what is wrong with the file.
    pub(super) fn parse(
        pem: &[u8],
        roots: &RootCertStore,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<Self, String> {
        let der: Vec<_> = CertificateRevocationListDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| "it is no PEM; convert it with `openssl crl -inform DER -outform PEM`".to_owned())?;
        let read = |(at, der)| List::read(der, at, roots, algorithms);
        let mut lists = der.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        // A file to which each new list is appended: only the newest of its kind speaks.
        lists.sort_by(|a, b| b.rank().cmp(&a.rank()));
        let (mut newer, mut next_update): (BTreeMap<_, usize>, Option<Timestamp>) = Default::default();
        lists.retain(|list| {
            let newer = newer.entry(list.speaks_for.clone()).or_default();
            *newer += 1;
            if *newer == 1 {
                next_update = Some(next_update.map_or(list.next_update, |first| first.min(list.next_update)));
            }
            *newer <= if list.speaks_for.key == Key::Unknown { MAX_OF_UNKNOWN_KEYS } else { 1 }
        });
        // Lists of different scopes have numbers of their own. The first that fits is taken, and one for everything fits always.
        lists.sort_by(|a, b| b.age().cmp(&a.age()));
        let next_update = next_update.ok_or_else(|| "it holds no X509 CRL as PEM".to_owned())?;
        Ok(Self { lists, next_update })
    }
}

#[derive(Debug)]
struct List {
    parsed: CertRevocationList<'static>,
    der: CertificateRevocationListDer<'static>,
    speaks_for: SpeaksFor,
    /// Its length and its bytes, the highest first: they are in order like the number itself.
    number: (usize, Vec<u8>),
    this_update: i64,
    next_update: Timestamp,
    /// In the file.
    at: usize,
}

/// What decides which of several lists speaks (RFC 5280, section 5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SpeaksFor {
    issuer: Vec<u8>,
    key: Key,
    /// The part of the issuer's certificates that the list is for, where it is not for all.
    part: Option<Vec<u8>>,
}

/// Which key has signed a list, as far as can be known without the chain of a client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// This one of a trusted CA.
    Root(Vec<u8>),
    /// The one with this identifier, as the list says.
    Named(Vec<u8>),
    /// Which one, the list does not say.
    Unknown,
}

impl List {
    fn read(
        der: CertificateRevocationListDer<'static>,
        at: usize,
        roots: &RootCertStore,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<Self, String> {
        let parsed = OwnedCertRevocationList::from_der(&der).map_err(|error| error.to_string())?;
        let (_, list) = CertificateRevocationList::from_der(&der).map_err(|error| error.to_string())?;
        let end = list.next_update().and_then(|end| Timestamp::from_second(end.timestamp()).ok());
        let next_update = end.ok_or_else(|| "it does not say when the next one is due (nextUpdate)".to_owned())?;
        let number = list.crl_number().map(BigUint::to_bytes_be).unwrap_or_default();
        let part = list.extensions().iter().find(|extension| extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT);
        let named = list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => Some(authority.key_identifier.as_ref()?.0.to_vec()),
            _ => None,
        });
        let speaks_for = SpeaksFor {
            issuer: list.issuer().as_raw().to_vec(),
            key: named.map_or(Key::Unknown, Key::Named),
            part: part.map(|extension| extension.value.to_vec()),
        };
        let (this_update, number) = (list.last_update().timestamp(), (number.len(), number));
        drop(list);
        let mut list = Self { parsed: parsed.into(), der, speaks_for, number, this_update, next_update, at };
        let signed = roots.roots.iter().map(|root| (root, spki_for_anchor(root)));
        let signer = signed.into_iter().find(|(root, key)| list.is_signed_by(&root.subject, key, algorithms));
        if let Some((_, key)) = signer {
            list.speaks_for.key = Key::Root(key.to_vec());
        }
        Ok(list)
    }

    /// By the CA of this name with this key, as webpki will judge it.
    fn is_signed_by(&self, name: &[u8], key: &[u8], algorithms: &WebPkiSupportedAlgorithms) -> bool {
        self.parsed.issuer() == name && is_signature(&self.der, key, algorithms).unwrap_or_default()
    }

    /// Among its kind.
    const fn rank(&self) -> (&(usize, Vec<u8>), i64, usize) {
        (&self.number, self.this_update, self.at)
    }

    /// Among all.
    const fn age(&self) -> (i64, &(usize, Vec<u8>), usize) {
        (self.this_update, &self.number, self.at)
    }
}

/// Whether the key, a `SubjectPublicKeyInfo`, has signed the list, by an algorithm that webpki is told to take.
fn is_signature(list: &[u8], key: &[u8], algorithms: &WebPkiSupportedAlgorithms) -> Option<bool> {
    let list = Any::from_der(list).ok()?.1.data;
    let (rest, _) = Any::from_der(list).ok()?;
    let signed = list.strip_suffix(rest)?;
    let (rest, signed_with) = Any::from_der(rest).ok()?;
    let (_, signature) = BitString::from_der(rest).ok()?;
    let (rest, key_of) = Any::from_der(Any::from_der(key).ok()?.1.data).ok()?;
    let (_, key) = BitString::from_der(rest).ok()?;
    let fits = |it: &&dyn SignatureVerificationAlgorithm| {
        *it.signature_alg_id() == *signed_with.data && *it.public_key_alg_id() == *key_of.data
    };
    let is_valid =
        |it: &dyn SignatureVerificationAlgorithm| it.verify_signature(&key.data, signed, &signature.data).is_ok();
    Some(algorithms.all.iter().copied().filter(fits).any(is_valid))
}

#[cfg(test)]
mod tests;
