//! An X.509 certificate, parsed once.

use crate::{ReadError, distinguished_name};
use aws_lc_rs::digest;
use jiff::Timestamp;
use std::{fmt, net::IpAddr, sync::Arc};
use x509_parser::prelude::{ASN1Time, GeneralName, X509Certificate};

/// Alternative names kept of one certificate. CAs issue at most some hundred; the rest of a hostile list is dropped, which
/// can only make a certificate cover less.
const MAX_NAMES: usize = 1_000;

/// A certificate and what is read out of it. Cheap to clone; equal when the DER is equal.
#[derive(Clone)]
pub struct Certificate(Arc<Parsed>);

struct Parsed {
    der: Vec<u8>,
    sha256: [u8; 32],
    spki_sha256: [u8; 32],
    spki: std::ops::Range<usize>,
    subject_der: std::ops::Range<usize>,
    issuer_der: std::ops::Range<usize>,
    subject: String,
    issuer: String,
    subject_cn: Option<String>,
    issuer_cn: Option<String>,
    serial: String,
    not_before: Timestamp,
    not_after: Timestamp,
    dns_names: Vec<String>,
    ip_addresses: Vec<IpAddr>,
    is_ca: bool,
    key_algorithm: String,
    public_key: Vec<u8>,
    signature_algorithm: String,
}

impl Certificate {
    /// Parses one certificate; bytes after it make it malformed.
    pub fn from_der(der: Vec<u8>) -> Result<Self, ReadError> {
        let (rest, x509) = x509_parser::parse_x509_certificate(&der)
            .map_err(|_| ReadError::Malformed("a certificate is no valid X.509"))?;
        if !rest.is_empty() {
            return Err(ReadError::Malformed("bytes follow a certificate"));
        }
        let (dns_names, ip_addresses) = alternative_names(&x509)?;
        let spki = range_in(&der, x509.public_key().raw);
        let parsed = Parsed {
            sha256: sha256(&der),
            spki_sha256: sha256(x509.public_key().raw),
            spki,
            subject_der: range_in(&der, x509.subject().as_raw()),
            issuer_der: range_in(&der, x509.issuer().as_raw()),
            subject: distinguished_name::render(x509.subject()),
            issuer: distinguished_name::render(x509.issuer()),
            subject_cn: distinguished_name::common_name(x509.subject()),
            issuer_cn: distinguished_name::common_name(x509.issuer()),
            serial: serial(x509.raw_serial()),
            not_before: timestamp(x509.validity().not_before),
            not_after: timestamp(x509.validity().not_after),
            dns_names,
            ip_addresses,
            is_ca: x509.basic_constraints().ok().flatten().is_some_and(|constraints| constraints.value.ca),
            key_algorithm: algorithms::of_key(x509.public_key()),
            public_key: x509.public_key().subject_public_key.data.to_vec(),
            signature_algorithm: algorithms::of_signature(&x509.signature_algorithm.algorithm),
            der: Vec::new(),
        };
        Ok(Self(Arc::new(Parsed { der, ..parsed })))
    }

    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// SHA-256 of the DER: what identifies a leaf.
    pub fn sha256(&self) -> [u8; 32] {
        self.0.sha256
    }

    /// SHA-256 of the `SubjectPublicKeyInfo`: what identifies a key.
    pub fn spki_sha256(&self) -> [u8; 32] {
        self.0.spki_sha256
    }

    /// The `SubjectPublicKeyInfo`, DER.
    pub fn spki_der(&self) -> &[u8] {
        self.slice(&self.0.spki)
    }

    /// RFC 4514, most specific part first; control characters are escaped and an absurd length is cut with `…`.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Like [`subject`](Self::subject).
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The last (most specific) common name of the subject, as it is: unescaped, hostile until shown otherwise.
    pub fn subject_cn(&self) -> Option<&str> {
        self.0.subject_cn.as_deref()
    }

    /// Like [`subject_cn`](Self::subject_cn).
    pub fn issuer_cn(&self) -> Option<&str> {
        self.0.issuer_cn.as_deref()
    }

    /// Lower-case hex without leading zeros; a negative number shows its two's complement.
    pub fn serial(&self) -> &str {
        &self.0.serial
    }

    pub fn not_before(&self) -> Timestamp {
        self.0.not_before
    }

    pub fn not_after(&self) -> Timestamp {
        self.0.not_after
    }

    /// The DNS names of the alternative names, as they are spelled.
    pub fn dns_names(&self) -> &[String] {
        &self.0.dns_names
    }

    pub fn ip_addresses(&self) -> &[IpAddr] {
        &self.0.ip_addresses
    }

    /// Whether the basic constraints say CA.
    pub fn is_ca(&self) -> bool {
        self.0.is_ca
    }

    /// `RSA-2048`, `EC-P256`, `Ed25519`, or the algorithm's dotted OID.
    pub fn key_algorithm(&self) -> &str {
        &self.0.key_algorithm
    }

    /// `SHA256withRSA` as keytool names it, or the algorithm's dotted OID.
    pub fn signature_algorithm(&self) -> &str {
        &self.0.signature_algorithm
    }

    /// Whether issuer and subject are the same name. It says nothing about the signature.
    pub fn is_self_issued(&self) -> bool {
        self.subject_der() == self.issuer_der()
    }

    pub(crate) fn subject_der(&self) -> &[u8] {
        self.slice(&self.0.subject_der)
    }

    pub(crate) fn issuer_der(&self) -> &[u8] {
        self.slice(&self.0.issuer_der)
    }

    /// The content of the public key's BIT STRING.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.0.public_key
    }

    fn slice(&self, range: &std::ops::Range<usize>) -> &[u8] {
        self.0.der.get(range.clone()).unwrap_or_default()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.0.subject)
            .field("serial", &self.0.serial)
            .field("sha256", &hex::encode(self.0.sha256))
            .finish_non_exhaustive()
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

fn serial(raw: &[u8]) -> String {
    let hex = hex::encode(raw);
    match hex.trim_start_matches('0') {
        "" => "0".to_owned(),
        significant => significant.to_owned(),
    }
}

fn timestamp(time: ASN1Time) -> Timestamp {
    let seconds = time.timestamp();
    let clamped = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(clamped)
}

fn alternative_names(x509: &X509Certificate<'_>) -> Result<(Vec<String>, Vec<IpAddr>), ReadError> {
    let (mut dns, mut ips) = (Vec::new(), Vec::new());
    let extension = x509
        .subject_alternative_name()
        .map_err(|_| ReadError::Malformed("a certificate has its alternative names twice, or unreadable"))?;
    for name in extension.iter().flat_map(|extension| &extension.value.general_names).take(MAX_NAMES) {
        match name {
            GeneralName::DNSName(name) => dns.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => ips.extend(ip_address(bytes)),
            _ => {}
        }
    }
    Ok((dns, ips))
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Where `part`, a slice of `whole` found by the parser, lies in it.
fn range_in(whole: &[u8], part: &[u8]) -> std::ops::Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

mod algorithms {
    //! Names of keys and signatures as users know them.

    use x509_parser::{der_parser::oid::Oid, public_key::PublicKey, x509::SubjectPublicKeyInfo};

    pub(super) fn of_key(key: &SubjectPublicKeyInfo<'_>) -> String {
        let algorithm = key.algorithm.algorithm.to_id_string();
        match algorithm.as_str() {
            "1.2.840.10045.2.1" => curve(key),
            "1.3.101.112" => "Ed25519".to_owned(),
            "1.3.101.113" => "Ed448".to_owned(),
            _ => match key.parsed() {
                Ok(PublicKey::RSA(rsa)) => format!("RSA-{}", bits(rsa.modulus)),
                Ok(PublicKey::DSA(y)) => format!("DSA-{}", bits(y)),
                _ => algorithm,
            },
        }
    }

    fn curve(key: &SubjectPublicKeyInfo<'_>) -> String {
        let named = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
        match named.as_deref() {
            Some("1.2.840.10045.3.1.7") => "EC-P256".to_owned(),
            Some("1.3.132.0.34") => "EC-P384".to_owned(),
            Some("1.3.132.0.35") => "EC-P521".to_owned(),
            Some("1.3.132.0.10") => "EC-secp256k1".to_owned(),
            Some(other) => format!("EC-{other}"),
            None => "EC".to_owned(),
        }
    }

    fn bits(number: &[u8]) -> usize {
        let significant = number.iter().skip_while(|byte| **byte == 0);
        let length = significant.clone().count() * 8;
        let leading = significant.clone().next().map_or(0, |first| first.leading_zeros());
        length - usize::try_from(leading).unwrap_or(0)
    }

    pub(super) fn of_signature(oid: &Oid<'_>) -> String {
        let dotted = oid.to_id_string();
        let name = match dotted.as_str() {
            "1.2.840.113549.1.1.4" => "MD5withRSA",
            "1.2.840.113549.1.1.5" => "SHA1withRSA",
            "1.2.840.113549.1.1.10" => "RSASSA-PSS",
            "1.2.840.113549.1.1.11" => "SHA256withRSA",
            "1.2.840.113549.1.1.12" => "SHA384withRSA",
            "1.2.840.113549.1.1.13" => "SHA512withRSA",
            "1.2.840.10040.4.3" => "SHA1withDSA",
            "2.16.840.1.101.3.4.3.2" => "SHA256withDSA",
            "1.2.840.10045.4.1" => "SHA1withECDSA",
            "1.2.840.10045.4.3.2" => "SHA256withECDSA",
            "1.2.840.10045.4.3.3" => "SHA384withECDSA",
            "1.2.840.10045.4.3.4" => "SHA512withECDSA",
            "1.3.101.112" => "Ed25519",
            "1.3.101.113" => "Ed448",
            _ => return dotted,
        };
        name.to_owned()
    }
}
