//! An X.509 certificate, parsed once.
//!
//! ```text
//! bytes --(BER rewritten, padding cut off)--> DER --fields--> dates, names, key | defects
//! ```
//! A reader that only looks takes a certificate with defects: its dates matter more than its form. Whoever writes takes
//! [`Certificate::from_der`], which refuses every defect.

mod algorithms;
mod fields;
mod time;

pub use time::Time;

use self::{algorithms::PublicKey, fields::Fields};
use crate::{ReadError, ber, der, distinguished_name};
use aws_lc_rs::digest;
use std::{fmt, net::IpAddr, sync::Arc};
use x509_parser::prelude::{FromDer as _, X509Name};

/// A certificate and what is read out of it. Cheap to clone; equal when the DER is equal.
#[derive(Clone)]
pub struct Certificate(Arc<Parsed>);

/// What of a certificate could not be read, or is not as RFC 5280 wants it. Its dates could be read all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defect {
    NotDer,
    TrailingBytes,
    Serial,
    Subject,
    Issuer,
    PublicKey,
    Extensions,
    DuplicateExtension,
    AlternativeNames,
    BasicConstraints,
}

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
    not_before: Time,
    not_after: Time,
    dns_names: Vec<String>,
    ip_addresses: Vec<IpAddr>,
    is_ca: bool,
    key_algorithm: String,
    public_key: Vec<u8>,
    signature_algorithm: String,
    defects: Vec<Defect>,
}

impl Defect {
    /// A clause about the certificate.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotDer => "a certificate is encoded in BER and not in DER",
            Self::TrailingBytes => "bytes follow a certificate",
            Self::Serial => "the serial number of a certificate cannot be read",
            Self::Subject => "the subject of a certificate cannot be read",
            Self::Issuer => "the issuer of a certificate cannot be read",
            Self::PublicKey => "the public key of a certificate cannot be read",
            Self::Extensions => "the extensions of a certificate cannot be read",
            Self::DuplicateExtension => "a certificate has an extension twice",
            Self::AlternativeNames => "the alternative names of a certificate cannot be read",
            Self::BasicConstraints => "the basic constraints of a certificate cannot be read",
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Parsed {
    fn of(der: &[u8]) -> Result<Self, ReadError> {
        let fields = Fields::parse(der)?;
        let mut defects = fields.extensions.defects;
        let mut name = |raw, defect| match X509Name::from_der(raw) {
            Ok((_, name)) => (distinguished_name::render(&name), distinguished_name::common_name(&name)),
            Err(_) => {
                defects.push(defect);
                (String::new(), None)
            }
        };
        let (subject, subject_cn) = name(fields.subject, Defect::Subject);
        let (issuer, issuer_cn) = match fields.issuer == fields.subject {
            true => (subject.clone(), subject_cn.clone()),
            false => name(fields.issuer, Defect::Issuer),
        };
        let key = PublicKey::parse(fields.spki);
        if key.is_none() {
            defects.push(Defect::PublicKey);
        }
        let serial = serial(fields.serial);
        if serial.is_empty() {
            defects.push(Defect::Serial);
        }
        Ok(Self {
            sha256: sha256(der),
            spki_sha256: sha256(fields.spki),
            spki: range_in(der, fields.spki),
            subject_der: range_in(der, fields.subject),
            issuer_der: range_in(der, fields.issuer),
            subject,
            issuer,
            subject_cn,
            issuer_cn,
            serial,
            not_before: fields.not_before,
            not_after: fields.not_after,
            dns_names: fields.extensions.dns_names,
            ip_addresses: fields.extensions.ip_addresses,
            is_ca: fields.extensions.is_ca,
            key_algorithm: key.as_ref().map(PublicKey::name).unwrap_or_default(),
            public_key: key.map(|key| key.key.to_vec()).unwrap_or_default(),
            signature_algorithm: algorithms::signature(fields.signature_algorithm),
            defects,
            der: Vec::new(),
        })
    }
}

impl Certificate {
    /// Parses one certificate in DER that has no defect; bytes after it are one.
    ///
    /// # Errors
    /// [`ReadError::Malformed`].
    pub fn from_der(der: &[u8]) -> Result<Self, ReadError> {
        let certificate = Self::observe(der)?;
        certificate.check_whole()?;
        Ok(certificate)
    }

    /// Reads what can be read of one certificate in DER or BER, padding behind it or not. What is missing is in
    /// [`defects`](Self::defects).
    ///
    /// # Errors
    /// [`ReadError::Malformed`] when it is cut short, is no certificate, or its dates cannot be read.
    pub fn observe(bytes: &[u8]) -> Result<Self, ReadError> {
        let (mut der, rest) = ber::first(bytes).map_err(|error| match error {
            der::CUT_SHORT => ReadError::Malformed("a certificate is cut short or no valid X.509"),
            error => error,
        })?;
        let mut is_ber = matches!(der, std::borrow::Cow::Owned(_));
        let mut parsed = Parsed::of(&der);
        if parsed.as_ref().is_err_and(|error| *error == der::INDEFINITE) {
            // openssl and keytool rewrite the outermost level alone, and print the digest of that.
            let sha256 = sha256(&der);
            (der, is_ber) = (ber::rewrite(&der)?.into(), true);
            parsed = Parsed::of(&der).map(|parsed| Parsed { sha256, ..parsed });
        }
        let mut parsed = parsed?;
        parsed.der = der.into_owned();
        parsed.defects.extend(is_ber.then_some(Defect::NotDer));
        parsed.defects.extend((!rest.is_empty()).then_some(Defect::TrailingBytes));
        parsed.defects.sort_unstable();
        Ok(Self(Arc::new(parsed)))
    }

    /// Fails for the first defect, and for whatever a stricter parser than ours finds.
    ///
    /// # Errors
    /// [`ReadError::Malformed`].
    pub fn check_whole(&self) -> Result<(), ReadError> {
        if let Some(defect) = self.0.defects.first() {
            return Err(ReadError::Malformed(defect.as_str()));
        }
        let (_, strict) = x509_parser::parse_x509_certificate(&self.0.der)
            .map_err(|_| ReadError::Malformed("a certificate is no valid X.509"))?;
        strict.subject_alternative_name().map_err(|_| ReadError::Malformed(Defect::AlternativeNames.as_str()))?;
        Ok(())
    }

    /// What could not be read, or is not as it should be. Empty for a sound certificate.
    pub fn defects(&self) -> &[Defect] {
        &self.0.defects
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

    /// Lower-case hex without leading zeros; a negative number has a minus sign, as openssl and keytool show it.
    pub fn serial(&self) -> &str {
        &self.0.serial
    }

    pub fn not_before(&self) -> Time {
        self.0.not_before
    }

    pub fn not_after(&self) -> Time {
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

/// The number that the content of an INTEGER stands for; empty when there is none.
fn serial(content: &[u8]) -> String {
    let is_negative = content.first().is_some_and(|first| *first >= 0x80);
    let mut magnitude = content.to_vec();
    if is_negative {
        // Two's complement: inverted, and one more.
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let hex = hex::encode(&magnitude);
    match (hex.trim_start_matches('0'), is_negative) {
        ("", _) if hex.is_empty() => String::new(),
        ("", _) => "0".to_owned(),
        (significant, false) => significant.to_owned(),
        (significant, true) => format!("-{significant}"),
    }
}

/// Where `part`, a slice of `whole` found by the parser, lies in it.
fn range_in(whole: &[u8], part: &[u8]) -> std::ops::Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds R9: what `openssl x509 -serial` and `keytool -printcert` print of the same INTEGER.
    #[test]
    fn a_serial_number_is_the_number_that_the_certificate_has() {
        for (content, shown) in [
            (&[0x4D][..], "4d"),
            (&[0x00, 0x80], "80"),
            (&[0x80], "-80"),
            (&[0xFF], "-1"),
            (&[0xFF, 0x00], "-100"),
            (&[0xB3], "-4d"),
            (&[0x00], "0"),
            (&[0x80, 0, 0], "-800000"),
            (&[], ""),
        ] {
            assert_eq!(serial(content), shown, "{content:x?}");
        }
    }
}
