//! What a leaf that a host already has is, and whether it is as good as one that would be signed for it now.

use std::net::IpAddr;

use jiff::Timestamp;
use kagiban_crds::LeafSha256;
use kagiban_crds::resource::{CertificateSpec, SignedLeaf};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::csr::{check_key, has_subject};
use super::facts::{IssuerFacts, within_reach};
use super::{common_name, serial_text};
use crate::foreign::is_seen;

/// An RSA-4096 leaf with all the names that a spec may hold is under 12 KiB of PEM.
const MAX_LEAF_BYTES: usize = 32 * 1024;
/// The longest issuer name that goes into a status.
const LONGEST_ISSUER: usize = 512;

/// A leaf as it shows itself, whoever signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownLeaf {
    pub sha256: LeafSha256,
    pub serial: String,
    pub issuer: String,
    pub not_before: Timestamp,
    /// At most the last second that a [`Timestamp`] reaches.
    pub not_after: Timestamp,
}

/// The leaf in a PEM file, if it can be read.
pub fn shown(pem: &str) -> Option<ShownLeaf> {
    let der = der(pem)?;
    let (_, leaf) = X509Certificate::from_der(&der).ok().filter(|(rest, _)| rest.is_empty())?;
    Some(ShownLeaf {
        sha256: LeafSha256::new(Sha256::digest(&der).into()),
        serial: serial_text(leaf.raw_serial()),
        issuer: issuer_text(&leaf),
        not_before: within_reach(leaf.validity().not_before.timestamp()),
        not_after: within_reach(leaf.validity().not_after.timestamp()),
    })
}

fn der(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok().filter(|_| pem.len() <= MAX_LEAF_BYTES)
}

/// The leaf, if this issuer signed it for exactly the names and the kind of key that the spec asks for.
pub fn fitting(pem: &str, spec: &CertificateSpec, issuer: &IssuerFacts) -> Option<SignedLeaf> {
    let der = der(pem)?;
    let (rest, leaf) = X509Certificate::from_der(&der).ok()?;
    let fits = rest.is_empty() && is_server(&leaf) && has_names(&leaf, spec) && has_key(&leaf, spec);
    (fits && is_signed_by(&leaf, issuer)).then(|| described(&der, &leaf, issuer)).flatten()
}

/// What a status keeps of a leaf.
pub(super) fn described(der: &[u8], leaf: &X509Certificate<'_>, issuer: &IssuerFacts) -> Option<SignedLeaf> {
    let time = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
    Some(SignedLeaf {
        sha256: LeafSha256::new(Sha256::digest(der).into()),
        serial: serial_text(leaf.raw_serial()),
        issuer: issuer_text(leaf),
        not_before: time(leaf.validity().not_before)?,
        not_after: time(leaf.validity().not_after)?,
        issuer_sha256: issuer.sha256.clone(),
    })
}

fn issuer_text(leaf: &X509Certificate<'_>) -> String {
    leaf.issuer().to_string().chars().filter(|c| is_seen(*c)).take(LONGEST_ISSUER).collect()
}

fn is_server(leaf: &X509Certificate<'_>) -> bool {
    let is_leaf = leaf.basic_constraints().is_ok_and(|constraints| constraints.is_none_or(|c| !c.value.ca));
    let usage = leaf.extended_key_usage();
    is_leaf && matches!(usage, Ok(Some(usage)) if usage.value.server_auth)
}

fn has_names(leaf: &X509Certificate<'_>, spec: &CertificateSpec) -> bool {
    let Ok(Some(names)) = leaf.subject_alternative_name() else { return false };
    let mut found = Vec::new();
    for name in &names.value.general_names {
        found.push(match name {
            GeneralName::DNSName(name) => (*name).to_owned(),
            GeneralName::IPAddress(bytes) => match address(bytes) {
                Some(address) => address.to_string(),
                None => return false,
            },
            // A kind of name that no spec asks for
            _ => return false,
        });
    }
    let addresses: Result<Vec<IpAddr>, _> = spec.ip_addresses.iter().map(|text| text.parse()).collect();
    let Ok(addresses) = addresses else { return false };
    let mut asked: Vec<String> =
        spec.dns_names.iter().cloned().chain(addresses.iter().map(ToString::to_string)).collect();
    for names in [&mut found, &mut asked] {
        names.sort_unstable();
        names.dedup();
    }
    let common = leaf.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    found == asked && common == common_name(spec) && has_subject(leaf.subject(), &spec.subject)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn has_key(leaf: &X509Certificate<'_>, spec: &CertificateSpec) -> bool {
    spec.private_key.request().is_some_and(|asked| check_key(leaf.public_key(), asked).is_ok())
}

fn is_signed_by(leaf: &X509Certificate<'_>, issuer: &IssuerFacts) -> bool {
    let Some(ca) = issuer.chain().first() else { return false };
    let Ok((_, ca)) = X509Certificate::from_der(ca) else { return false };
    leaf.issuer().as_raw() == ca.subject().as_raw() && leaf.verify_signature(Some(ca.public_key())).is_ok()
}
