//! Whether a delivered chain fits: the key it was asked for, the names, the clock and the policy. Pure.

use jiff::Timestamp;
use kagiban_crds::host_api::{CertificateRequest, MAX_CHAIN_CERTIFICATES};
use kagiban_keystore::Certificate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::oid_registry::{Oid, asn1_rs::oid};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// Under this an RSA key can be broken by whoever can afford it.
const MIN_RSA_BITS: usize = 2048;
/// One certificate with a hundred names and a large key is under 8 KiB.
const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;
/// A CA whose clock is a little ahead of ours issues from its own now on.
const CLOCK_TOLERANCE: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// MD2, MD5 and SHA-1 under RSA, DSA and ECDSA.
const WEAK_SIGNATURES: [Oid<'static>; 7] = [
    oid!(1.2.840.113549.1.1.2),
    oid!(1.2.840.113549.1.1.3),
    oid!(1.2.840.113549.1.1.4),
    oid!(1.2.840.113549.1.1.5),
    oid!(1.3.14.3.2.29),
    oid!(1.2.840.10040.4.3),
    oid!(1.2.840.10045.4.1),
];

/// Why a chain is refused; every message says what to ask the CA for instead.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::rotation) enum ChainError {
    #[error("the chain is no PEM with certificates")]
    NotPem,
    #[error("the chain has no certificate, or more than {MAX_CHAIN_CERTIFICATES}")]
    Count,
    #[error("certificate {0} of the chain cannot be read, or has more than {MAX_CERTIFICATE_BYTES} bytes")]
    Malformed(usize),
    #[error("the leaf is for another key than the CSR's; have this rotation's CSR signed")]
    OtherKey,
    #[error("the leaf lacks the name {0}; have the CSR's names signed as they are")]
    MissingName(String),
    #[error("certificate {0} of the chain has expired (notAfter {1}), by this host's clock")]
    Expired(usize, Timestamp),
    #[error("certificate {0} of the chain is not valid yet (notBefore {1}), by this host's clock")]
    NotYetValid(usize, Timestamp),
    #[error("the leaf is a CA certificate")]
    LeafIsCa,
    #[error("the leaf's extended key usage does not allow serverAuth")]
    NotForServers,
    #[error("certificate {0} of the chain is not a CA certificate, yet the one before it names it as its issuer")]
    NotCa(usize),
    #[error("certificate {0} of the chain is not signed by the next one; deliver the leaf first, then each issuer")]
    BrokenLink(usize),
    #[error("certificate {0} of the chain is signed with MD5 or SHA-1")]
    WeakSignature(usize),
    #[error("certificate {0} of the chain has an RSA key of less than {MIN_RSA_BITS} bits")]
    WeakKey(usize),
}

/// Reads and checks a chain, leaf first.
///
/// # Errors
/// See [`ChainError`].
pub(in crate::rotation) fn chain(
    pem: &str,
    spki: &[u8],
    request: &CertificateRequest,
    now: Timestamp,
) -> Result<Vec<Certificate>, ChainError> {
    let certificates = parse(pem)?;
    let raw = |n: usize| {
        let (_, parsed) = X509Certificate::from_der(certificates[n].der()).map_err(|_| ChainError::Malformed(n))?;
        Ok(parsed)
    };
    check_leaf(&certificates[0], &raw(0)?, spki, request)?;
    for (n, certificate) in certificates.iter().enumerate() {
        let parsed = raw(n)?;
        let (not_before, not_after) = (certificate.not_before().to_timestamp(), certificate.not_after().to_timestamp());
        if not_after <= now {
            return Err(ChainError::Expired(n, not_after));
        }
        if not_before > now.saturating_add(CLOCK_TOLERANCE).unwrap_or(now) {
            return Err(ChainError::NotYetValid(n, not_before));
        }
        if matches!(parsed.public_key().parsed(), Ok(PublicKey::RSA(key)) if key.key_size() < MIN_RSA_BITS) {
            return Err(ChainError::WeakKey(n));
        }
        // Nobody relies on the signature that a root puts on itself.
        let is_root = n > 0 && certificate.is_self_issued();
        if !is_root && WEAK_SIGNATURES.contains(parsed.signature_algorithm.oid()) {
            return Err(ChainError::WeakSignature(n));
        }
        if n + 1 < certificates.len() {
            check_link(n, &parsed, &raw(n + 1)?)?;
        }
    }
    Ok(certificates)
}

fn parse(pem: &str) -> Result<Vec<Certificate>, ChainError> {
    let mut certificates = Vec::new();
    for (n, der) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
        if n >= MAX_CHAIN_CERTIFICATES {
            return Err(ChainError::Count);
        }
        let der = der.map_err(|_| ChainError::NotPem)?;
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(ChainError::Malformed(n));
        }
        certificates.push(Certificate::from_der(&der).map_err(|_| ChainError::Malformed(n))?);
    }
    if certificates.is_empty() { Err(ChainError::Count) } else { Ok(certificates) }
}

fn check_leaf(
    leaf: &Certificate,
    parsed: &X509Certificate<'_>,
    spki: &[u8],
    request: &CertificateRequest,
) -> Result<(), ChainError> {
    if leaf.spki_der() != spki {
        return Err(ChainError::OtherKey);
    }
    if leaf.is_ca() {
        return Err(ChainError::LeafIsCa);
    }
    let usage = parsed.extended_key_usage().map_err(|_| ChainError::Malformed(0))?;
    if usage.is_some_and(|usage| !usage.value.server_auth && !usage.value.any) {
        return Err(ChainError::NotForServers);
    }
    let lacks_dns = |name: &&String| !leaf.dns_names().iter().any(|have| have.eq_ignore_ascii_case(name));
    if let Some(name) = request.dns_names.iter().find(lacks_dns) {
        return Err(ChainError::MissingName(name.clone()));
    }
    let lacks_ip = |ip: &&std::net::IpAddr| !leaf.ip_addresses().contains(ip);
    match request.ip_addresses.iter().find(lacks_ip) {
        Some(ip) => Err(ChainError::MissingName(ip.to_string())),
        None => Ok(()),
    }
}

fn check_link(n: usize, child: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Result<(), ChainError> {
    if child.issuer().as_raw() != issuer.subject().as_raw() {
        return Err(ChainError::BrokenLink(n));
    }
    if !issuer.is_ca() {
        return Err(ChainError::NotCa(n + 1));
    }
    child.verify_signature(Some(issuer.public_key())).map_err(|_| ChainError::BrokenLink(n))
}

#[cfg(test)]
mod tests {
    use kagiban_crds::host_api::KeyRequest;
    use rcgen::{
        BasicConstraints, Certificate as Signed, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
        KeyPair, PublicKeyData, SanType, date_time_ymd,
    };

    use super::*;

    struct Authority {
        certificate: Signed,
        issuer: Issuer<'static, KeyPair>,
    }

    fn authority(name: &str, is_ca: bool) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        let key = KeyPair::generate().expect("key");
        let certificate = params.self_signed(&key).expect("sign");
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    /// Signs a good leaf after `change`, and checks it with its issuer behind it.
    fn check(change: impl FnOnce(&mut CertificateParams)) -> Result<usize, ChainError> {
        check_under(&authority("ca", true), change)
    }

    fn check_under(ca: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Result<usize, ChainError> {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::DnsName("Ups-01.example.com".try_into().expect("name"))];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let leaf = params.signed_by(&key, &ca.issuer).expect("sign");
        let pem = leaf.pem() + &ca.certificate.pem();
        validate(&pem, &key.subject_public_key_info())
    }

    fn validate(pem: &str, spki: &[u8]) -> Result<usize, ChainError> {
        let dns_names = vec!["ups-01.example.com".to_owned()];
        let request = CertificateRequest {
            dns_names,
            ip_addresses: vec![],
            subject: kagiban_crds::CertificateSubject::default(),
            key: KeyRequest::EcdsaP256,
        };
        let now: Timestamp = "2025-01-01T00:00:00Z".parse().expect("time");
        chain(pem, spki, &request, now).map(|chain| chain.len())
    }

    #[test]
    fn a_chain_that_fits_is_taken_without_usages_too() {
        assert_eq!(check(|_| {}), Ok(2));
        assert_eq!(check(|params| params.extended_key_usages.clear()), Ok(2));
    }

    #[test]
    fn a_leaf_that_does_not_fit_is_refused_with_its_reason() {
        let refused = |change: fn(&mut CertificateParams)| check(change).expect_err("refused");
        let expired = refused(|params| params.not_after = date_time_ymd(2024, 1, 1));
        assert!(matches!(expired, ChainError::Expired(0, _)));
        let early = refused(|params| params.not_before = date_time_ymd(2026, 1, 1));
        assert!(matches!(early, ChainError::NotYetValid(0, _)));
        let nameless = refused(|params| params.subject_alt_names.clear());
        assert_eq!(nameless, ChainError::MissingName("ups-01.example.com".into()));
        assert_eq!(refused(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), ChainError::LeafIsCa);
        let client = refused(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
        assert_eq!(client, ChainError::NotForServers);
    }

    #[test]
    fn a_chain_for_another_key_or_of_strangers_is_refused() {
        let (ca, key) = (authority("ca", true), KeyPair::generate().expect("key"));
        assert_eq!(validate(&ca.certificate.pem(), &key.subject_public_key_info()), Err(ChainError::OtherKey));
        assert_eq!(check_under(&authority("ca", false), |_| {}), Err(ChainError::NotCa(1)));

        let mut params = CertificateParams::new(vec!["ups-01.example.com".to_owned()]).expect("params");
        params.not_after = date_time_ymd(2030, 1, 1);
        let leaf = params.signed_by(&key, &ca.issuer).expect("sign");
        for stranger in [authority("ca", true), authority("other", true)] {
            let pem = leaf.pem() + &stranger.certificate.pem();
            assert_eq!(validate(&pem, &key.subject_public_key_info()), Err(ChainError::BrokenLink(0)));
        }
    }

    #[test]
    fn what_is_no_chain_is_refused_without_much_work() {
        assert_eq!(validate("", b""), Err(ChainError::Count));
        assert_eq!(
            validate("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", b""),
            Err(ChainError::NotPem)
        );
        let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(validate(broken, b""), Err(ChainError::Malformed(0)));
        let many = authority("ca", true).certificate.pem().repeat(MAX_CHAIN_CERTIFICATES + 1);
        assert_eq!(validate(&many, b""), Err(ChainError::Count));
    }
}
