//! The CSR of a host: it proves possession of a key, and that is all that is taken from it. A subject beside the name that is not the
//! spec's is refused all the same: it is what an exporter asks for that does not know one.

use kagiban_crds::CertificateSubject;
use kagiban_crds::host_api::KeyRequest;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_NIST_EC_P384, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512, OID_X509_COMMON_NAME, Oid,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use super::IssuerError;

/// A CSR with an RSA-4096 key and all the names that a spec may hold is under 8 KiB.
const MAX_CSR_BYTES: usize = 32 * 1024;

/// A public key whose private half the host has shown to hold.
#[derive(Clone, PartialEq, Eq)]
pub struct CsrKey {
    spki: Vec<u8>,
}

impl std::fmt::Debug for CsrKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CsrKey").finish_non_exhaustive()
    }
}

impl CsrKey {
    /// The SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }
}

/// Takes the key out of a CSR, if it is the kind of key that was asked for, signs the CSR without SHA-1 or MD5, and has the subject
/// beside it that was asked for.
///
/// # Errors
/// [`IssuerError::BadCsr`], [`IssuerError::CsrSignature`], [`IssuerError::CsrKey`] or [`IssuerError::CsrSubject`].
pub fn check(pem: &str, expected: KeyRequest, asked: &CertificateSubject) -> Result<CsrKey, IssuerError> {
    if pem.len() > MAX_CSR_BYTES {
        return Err(IssuerError::BadCsr);
    }
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| IssuerError::BadCsr)?;
    let (rest, csr) = X509CertificationRequest::from_der(&der).map_err(|_| IssuerError::BadCsr)?;
    if !rest.is_empty() {
        return Err(IssuerError::BadCsr);
    }
    let spki = &csr.certification_request_info.subject_pki;
    check_key(spki, expected)?;
    // The key first: an odd key is refused before anything is computed with it
    let signed_with = &csr.signature_algorithm.algorithm;
    if !SIGNATURES.contains(signed_with) || csr.verify_signature().is_err() {
        return Err(IssuerError::CsrSignature);
    }
    if !has_subject(&csr.certification_request_info.subject, asked) {
        return Err(IssuerError::CsrSubject);
    }
    Ok(CsrKey { spki: spki.raw.to_vec() })
}

/// Whether a subject has these parts in their order and no others beside the common name, which is not looked at.
pub(super) fn has_subject(found: &X509Name<'_>, asked: &CertificateSubject) -> bool {
    let parts = found.iter_attributes().filter(|part| *part.attr_type() != OID_X509_COMMON_NAME);
    let found: Option<Vec<_>> = parts.map(|part| Some((part.attr_type().clone(), part.as_str().ok()?))).collect();
    let asked: Option<Vec<_>> = asked.parts().map(|(part, text)| Some((Oid::from(part.oid()).ok()?, text))).collect();
    found.is_some() && found == asked
}

const SIGNATURES: [Oid<'static>; 6] = [
    OID_PKCS1_SHA256WITHRSA,
    OID_PKCS1_SHA384WITHRSA,
    OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384,
    OID_SIG_ECDSA_WITH_SHA512,
];

pub(super) fn check_key(spki: &SubjectPublicKeyInfo<'_>, expected: KeyRequest) -> Result<(), IssuerError> {
    let fits = match (spki.parsed(), expected) {
        (Ok(PublicKey::RSA(rsa)), KeyRequest::Rsa2048) => is_rsa(&rsa, 2048),
        (Ok(PublicKey::RSA(rsa)), KeyRequest::Rsa3072) => is_rsa(&rsa, 3072),
        (Ok(PublicKey::RSA(rsa)), KeyRequest::Rsa4096) => is_rsa(&rsa, 4096),
        (Ok(PublicKey::EC(_)), KeyRequest::EcdsaP256) => is_curve(spki, &OID_EC_P256),
        (Ok(PublicKey::EC(_)), KeyRequest::EcdsaP384) => is_curve(spki, &OID_NIST_EC_P384),
        _ => false,
    };
    if fits { Ok(()) } else { Err(IssuerError::CsrKey(word(expected))) }
}

/// Exactly that many bits, and the exponent that every Java since 1.4 takes.
fn is_rsa(rsa: &x509_parser::public_key::RSAPublicKey<'_>, bits: usize) -> bool {
    let modulus = rsa.modulus.strip_prefix(&[0]).unwrap_or(rsa.modulus);
    let exact = modulus.len() * 8 == bits && modulus.first().is_some_and(|byte| byte & 0x80 != 0);
    exact && rsa.try_exponent() == Ok(65537)
}

fn is_curve(spki: &SubjectPublicKeyInfo<'_>, curve: &Oid<'_>) -> bool {
    spki.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok()).is_some_and(|oid| &oid == curve)
}

const fn word(key: KeyRequest) -> &'static str {
    match key {
        KeyRequest::Rsa2048 => "RSA-2048",
        KeyRequest::Rsa3072 => "RSA-3072",
        KeyRequest::Rsa4096 => "RSA-4096",
        KeyRequest::EcdsaP256 => "ECDSA-P256",
        KeyRequest::EcdsaP384 => "ECDSA-P384",
    }
}
