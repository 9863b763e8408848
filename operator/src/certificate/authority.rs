//! A CA with its key: it signs.

use std::iter;
use std::net::IpAddr;

use jiff::Timestamp;
use kagiban_crds::SubjectText;
use kagiban_crds::resource::{CertificateSpec, KeyAlgorithm, SignedLeaf};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;
use zeroize::Zeroizing;

use super::csr::CsrKey;
use super::facts::IssuerFacts;
use super::{BACKDATE, IssuerError, MAX_PEM_BYTES, Usage, adopt, certificate_pem, common_name};

/// A CA that was checked when it was read; it says nothing of its key in `Debug`.
pub struct Authority {
    facts: IssuerFacts,
    key: Zeroizing<KeyPair>,
}

/// What was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// PEM: the leaf, then the CA's certificates, its self-signed root included: a Java key entry shows the chain that
    /// it was given, and an agent that looks for its CA there must find it.
    pub chain: String,
    pub leaf: SignedLeaf,
    /// Whether the CA's own end made it shorter than the spec asks for.
    pub shortened: bool,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("certificates", &self.facts.chain().len()).finish_non_exhaustive()
    }
}

impl Authority {
    /// Reads `tls.crt` and `tls.key`.
    ///
    /// # Errors
    /// When they are not a CA that may sign now.
    pub fn read(certificates: &[u8], key: &[u8], now: Timestamp) -> Result<Self, IssuerError> {
        let facts = IssuerFacts::read(certificates, now)?;
        if key.len() > MAX_PEM_BYTES {
            return Err(IssuerError::TooLarge("tls.key"));
        }
        let private = PrivateKeyDer::from_pem_slice(key).map_err(|_| IssuerError::Unreadable("tls.key"))?;
        let key = Zeroizing::new(KeyPair::try_from(&private).map_err(|_| IssuerError::UnusableKey)?);
        drop(Zeroizing::new(private));
        check_key(facts.chain().first().ok_or(IssuerError::NotCa)?, &key)?;
        Ok(Self { facts, key })
    }

    /// What is known of it without its key.
    pub(crate) fn into_facts(self) -> IssuerFacts {
        self.facts
    }

    #[cfg(test)]
    pub(crate) const fn facts(&self) -> &IssuerFacts {
        &self.facts
    }

    /// The certificate of the key that signs.
    pub fn certificate(&self) -> &[u8] {
        self.facts.chain().first().map_or(&[], |certificate| certificate.as_ref())
    }

    /// Signs a leaf for the host's key, with the names and the duration of the spec.
    ///
    /// # Errors
    /// When the spec holds a name that no certificate can, or that this CA may not sign, or the CA's name does not survive
    /// being copied.
    pub fn sign(&self, key: &CsrKey, spec: &CertificateSpec, now: Timestamp) -> Result<Issued, IssuerError> {
        self.sign_for(Usage::Server, key, spec, now)
    }

    /// The same for either side of a connection.
    ///
    /// # Errors
    /// As [`Self::sign`], and when this CA may not sign for clients.
    pub fn sign_for(
        &self,
        usage: Usage,
        key: &CsrKey,
        spec: &CertificateSpec,
        now: Timestamp,
    ) -> Result<Issued, IssuerError> {
        self.facts.permits(spec)?;
        if usage == Usage::Client {
            self.facts.permits_clients()?;
        }
        let asked =
            now.as_second().saturating_add(i64::try_from(spec.duration.as_duration().as_secs()).unwrap_or(i64::MAX));
        let end = asked.min(self.facts.not_after.as_second());
        let serial = random_serial()?;
        let subject = SubjectPublicKeyInfo::from_der(key.spki()).map_err(|_| IssuerError::BadCsr)?;
        let params = params(&subject, (spec, usage), (now.as_second(), end), &serial)?;
        let ca = self.facts.chain().first().ok_or(IssuerError::NotCa)?;
        let issuer = Issuer::from_ca_cert_der(ca, &*self.key).map_err(|_| IssuerError::IssuerName)?;
        let leaf = params.signed_by(&subject, &issuer).map_err(|_| IssuerError::Signing)?;
        check_link(leaf.der(), ca)?;
        let certificates = iter::once(leaf.der()).chain(self.facts.chain());
        let chain = certificates.map(|certificate| certificate_pem(certificate)).collect();
        let (_, parsed) = X509Certificate::from_der(leaf.der()).map_err(|_| IssuerError::Signing)?;
        let leaf = adopt::described(leaf.der(), &parsed, &self.facts).ok_or(IssuerError::Signing)?;
        Ok(Issued { chain, leaf, shortened: end < asked })
    }
}

/// That the key is the CA's.
fn check_key(der: &CertificateDer<'_>, key: &KeyPair) -> Result<(), IssuerError> {
    let (_, ca) = X509Certificate::from_der(der).map_err(|_| IssuerError::Unreadable("tls.crt"))?;
    if ca.public_key().raw == key.subject_public_key_info() { Ok(()) } else { Err(IssuerError::KeyMismatch) }
}

fn params(
    subject: &SubjectPublicKeyInfo,
    (spec, usage): (&CertificateSpec, Usage),
    (now, end): (i64, i64),
    serial: &[u8],
) -> Result<CertificateParams, IssuerError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(spec)?;
    for name in &spec.dns_names {
        let name = name.as_str().try_into().map_err(|_| IssuerError::BadName(name.clone()))?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    for address in &spec.ip_addresses {
        let address: IpAddr = address.parse().map_err(|_| IssuerError::BadName(address.clone()))?;
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    set_validity(&mut params, now, end)?;
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if spec.private_key.algorithm == KeyAlgorithm::Rsa {
        // Old Java clients agree on keys by RSA encryption
        params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
    }
    params.extended_key_usages = vec![match usage {
        Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    params.use_authority_key_identifier_extension = true;
    params.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(params.key_identifier(subject));
    Ok(params)
}

/// The subject of the spec and of nothing else.
fn distinguished_name(spec: &CertificateSpec) -> Result<DistinguishedName, IssuerError> {
    let mut name = DistinguishedName::new();
    for (part, text) in spec.subject.parts() {
        let value = match part.text() {
            SubjectText::Printable => {
                DnValue::PrintableString(text.try_into().map_err(|_| IssuerError::BadName(text.to_owned()))?)
            }
            SubjectText::Utf8 => DnValue::Utf8String(text.to_owned()),
        };
        name.push(DnType::from_oid(part.oid()), value);
    }
    if let Some(common) = common_name(spec) {
        name.push(DnType::CommonName, common);
    }
    Ok(name)
}

/// From a moment ago, for clocks that are behind, to the end.
pub(super) fn set_validity(params: &mut CertificateParams, now: i64, end: i64) -> Result<(), IssuerError> {
    let backdate = i64::try_from(BACKDATE.as_secs()).unwrap_or(0);
    let time =
        |second: i64| ASN1Time::from_timestamp(second).map(|time| time.to_datetime()).map_err(|_| IssuerError::Signing);
    (params.not_before, params.not_after) = (time(now - backdate)?, time(end)?);
    Ok(())
}

/// Verifiers compare names byte by byte: one that was encoded anew may not match any more.
fn check_link(leaf: &CertificateDer<'_>, ca: &CertificateDer<'_>) -> Result<(), IssuerError> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| IssuerError::Signing)?;
    let (_, ca) = X509Certificate::from_der(ca).map_err(|_| IssuerError::Signing)?;
    if leaf.issuer().as_raw() != ca.subject().as_raw() {
        return Err(IssuerError::IssuerName);
    }
    leaf.verify_signature(Some(ca.public_key())).map_err(|_| IssuerError::Signing)
}

/// 16 bytes, positive and of full length: the two highest bits are fixed.
pub(super) fn random_serial() -> Result<Vec<u8>, IssuerError> {
    let mut serial = vec![0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| IssuerError::Signing)?;
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(serial)
}
