//! What a CA's certificates say without its key: who it is, until when it can sign, and what it may sign.

use std::sync::Arc;

use jiff::Timestamp;
use kagiban_crds::resource::CertificateSpec;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_SIG_ED25519};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::{IssuerError, MAX_ISSUER_CERTIFICATES, MAX_PEM_BYTES, constraints};

/// A CA as its certificates describe it. It was checked when it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerFacts {
    /// SHA-256 over the subject and the public key, as DER. A CA that was only dated anew keeps it, and its leaves stay good.
    pub sha256: String,
    /// The earliest end in the chain: no leaf outlives it.
    pub not_after: Timestamp,
    /// The CA's certificate first, then what leads to its root.
    chain: Arc<[CertificateDer<'static>]>,
}

impl IssuerFacts {
    /// Reads `tls.crt`.
    ///
    /// # Errors
    /// When it is not a CA that may sign now, with what leads to its root.
    pub fn read(certificates: &[u8], now: Timestamp) -> Result<Self, IssuerError> {
        let unreadable = || IssuerError::Unreadable("tls.crt");
        let chain = chain_in(certificates)?;
        let (_, ca) = X509Certificate::from_der(chain.first().ok_or_else(unreadable)?).map_err(|_| unreadable())?;
        check_chain(&chain)?;
        let mut hash = Sha256::new();
        for part in [ca.subject().as_raw(), ca.public_key().raw] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let not_after = end_of(&chain, now)?;
        Ok(Self { sha256: hex::encode(hash.finalize()), not_after, chain: chain.into() })
    }

    /// Whether every certificate of the chain allows the names.
    ///
    /// # Errors
    /// [`IssuerError::NameConstraint`] with the first name that is not allowed.
    pub fn permits(&self, spec: &CertificateSpec) -> Result<(), IssuerError> {
        self.chain.iter().try_for_each(|certificate| constraints::check(certificate, spec))
    }

    /// Whether every certificate of the chain may have clients below it.
    ///
    /// # Errors
    /// [`IssuerError::NotForClients`].
    pub fn permits_clients(&self) -> Result<(), IssuerError> {
        self.chain.iter().try_for_each(|der| {
            let (_, ca) = X509Certificate::from_der(der).map_err(|_| IssuerError::Unreadable("tls.crt"))?;
            match ca.extended_key_usage() {
                Ok(None) => Ok(()),
                Ok(Some(usage)) if usage.value.client_auth || usage.value.any => Ok(()),
                Ok(Some(_)) | Err(_) => Err(IssuerError::NotForClients),
            }
        })
    }

    /// As it goes into a chain after the leaf.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// A CA of which nothing but its identity and its end is asked.
    #[cfg(test)]
    pub(crate) fn sample(sha256: &str, not_after: Timestamp) -> Self {
        Self { sha256: sha256.to_owned(), not_after, chain: Arc::new([]) }
    }
}

fn chain_in(certificates: &[u8]) -> Result<Vec<CertificateDer<'static>>, IssuerError> {
    if certificates.len() > MAX_PEM_BYTES {
        return Err(IssuerError::TooLarge("tls.crt"));
    }
    let found = CertificateDer::pem_slice_iter(certificates).take(MAX_ISSUER_CERTIFICATES + 1);
    let chain: Vec<_> = found.collect::<Result<_, _>>().map_err(|_| IssuerError::Unreadable("tls.crt"))?;
    if chain.len() > MAX_ISSUER_CERTIFICATES { Err(IssuerError::TooMany("tls.crt")) } else { Ok(chain) }
}

/// The earliest end in a chain, past or not, if it can be read.
pub fn chain_end(certificates: &[u8]) -> Option<Timestamp> {
    let (_, end) = lifetime(&chain_in(certificates).ok().filter(|chain| !chain.is_empty())?).ok()?;
    Some(within_reach(end))
}

/// The end of the first certificate of a PEM file, if it can be read.
pub fn not_after(certificates: &[u8]) -> Option<Timestamp> {
    let der = CertificateDer::from_pem_slice(certificates).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    Some(within_reach(certificate.validity().not_after.timestamp()))
}

/// The same instant, or the nearest whole second that a [`Timestamp`] has: "no well-defined expiration" lies a day beyond it, and a
/// host tells it so, too.
pub(super) fn within_reach(second: i64) -> Timestamp {
    let whole = second.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(whole).expect("it is within the range")
}

/// That clients may accept what the first signs: each one is a CA's that may sign for servers, is signed by the next, and says
/// nothing that they must know and do not.
fn check_chain(chain: &[CertificateDer<'_>]) -> Result<(), IssuerError> {
    let parsed = chain.iter().map(|der| X509Certificate::from_der(der).map(|(_, certificate)| certificate));
    let parsed: Vec<_> = parsed.collect::<Result<_, _>>().map_err(|_| IssuerError::Unreadable("tls.crt"))?;
    // First: with a weak one no signature can be checked
    (1..).zip(&parsed).try_for_each(|(number, certificate)| check_key(certificate, number))?;
    let mut below = 0;
    for (number, certificate) in (1..).zip(&parsed) {
        check_is_ca(certificate, below)?;
        check_purpose(certificate)?;
        check_extensions(certificate)?;
        if parsed.get(number).is_some_and(|above| !is_signed_by(certificate, above)) {
            return Err(IssuerError::NotChain(number));
        }
        if parsed.get(number).is_some_and(|above| !names_key_of(certificate, above)) {
            return Err(IssuerError::KeyIdentifier(number));
        }
        // One that is issued under its own name does not count (RFC 5280, 4.2.1.9)
        below += u32::from(certificate.subject().as_raw() != certificate.issuer().as_raw());
    }
    Ok(())
}

/// That so many other CAs may be between it and a leaf.
fn check_is_ca(ca: &X509Certificate<'_>, below: u32) -> Result<(), IssuerError> {
    let is_ca = match ca.basic_constraints() {
        Ok(Some(constraints)) => {
            constraints.value.ca && constraints.value.path_len_constraint.is_none_or(|longest| below <= longest)
        }
        Ok(None) | Err(_) => false,
    };
    let may_sign = match ca.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    if is_ca && may_sign { Ok(()) } else { Err(IssuerError::NotCa) }
}

/// That its key is one that can be used here and is strong enough. Of those above the first, which have signed already, a kind
/// that cannot be checked here is left to clients.
fn check_key(ca: &X509Certificate<'_>, number: usize) -> Result<(), IssuerError> {
    let spki = ca.public_key();
    let weak = |key: String| Err(IssuerError::WeakIssuer { number, key });
    let key = match spki.parsed() {
        Ok(PublicKey::RSA(rsa)) => match rsa.key_size() {
            size @ ..2048 => return weak(format!("RSA-{size}")),
            2048..=8192 => return Ok(()),
            size => format!("RSA-{size}"),
        },
        Ok(PublicKey::EC(_)) => match spki.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok()) {
            Some(curve) if curve == OID_EC_P256 || curve == OID_NIST_EC_P384 => return Ok(()),
            Some(curve) if curve == OID_NIST_EC_P521 => "P-521".to_owned(),
            Some(curve) => format!("a curve of OID {}", curve.to_id_string()),
            None => "a curve without a name".to_owned(),
        },
        Ok(_) | Err(_) if spki.algorithm.algorithm == OID_SIG_ED25519 => return Ok(()),
        Ok(_) | Err(_) => format!("algorithm {}", spki.algorithm.algorithm.to_id_string()),
    };
    if number == 1 { Err(IssuerError::UnknownKey { number, key }) } else { Ok(()) }
}

/// Whether what it says of the key that has signed it is what that one's certificate says of itself. Clients look for the way up by
/// that.
fn names_key_of(certificate: &X509Certificate<'_>, above: &X509Certificate<'_>) -> bool {
    let authority = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(authority) => Some(authority),
        _ => None,
    });
    let own = above.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id),
        _ => None,
    });
    let named = authority.and_then(|authority| authority.key_identifier.as_ref());
    named.zip(own).is_none_or(|(named, own)| named == own)
        && authority
            .and_then(|authority| authority.authority_cert_serial)
            .is_none_or(|serial| serial == above.raw_serial())
}

/// A CA that says what for is for nothing else.
fn check_purpose(ca: &X509Certificate<'_>) -> Result<(), IssuerError> {
    match ca.extended_key_usage() {
        Ok(None) => Ok(()),
        Ok(Some(usage)) if usage.value.server_auth || usage.value.any => Ok(()),
        Ok(Some(_)) | Err(_) => Err(IssuerError::NotForServers),
    }
}

fn check_extensions(ca: &X509Certificate<'_>) -> Result<(), IssuerError> {
    let is_known = |parsed: &ParsedExtension<'_>| {
        !matches!(parsed, ParsedExtension::UnsupportedExtension { .. } | ParsedExtension::ParseError { .. })
    };
    match ca.extensions().iter().find(|extension| extension.critical && !is_known(extension.parsed_extension())) {
        Some(extension) => Err(IssuerError::CriticalExtension(extension.oid.to_id_string())),
        None => Ok(()),
    }
}

/// A signature of a kind that cannot be checked here is left to clients.
fn is_signed_by(certificate: &X509Certificate<'_>, above: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == above.subject().as_raw()
        && matches!(
            certificate.verify_signature(Some(above.public_key())),
            Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm)
        )
}

/// The earliest end in a chain of which every certificate is valid now.
fn end_of(chain: &[CertificateDer<'_>], now: Timestamp) -> Result<Timestamp, IssuerError> {
    let (start, end) = lifetime(chain)?;
    if !(start..end).contains(&now.as_second()) {
        let text = |second| within_reach(second).to_string();
        return Err(IssuerError::NotValid { not_before: text(start), not_after: text(end) });
    }
    Ok(within_reach(end))
}

/// When all of them are valid, in seconds: the latest start and the earliest end.
fn lifetime(chain: &[CertificateDer<'_>]) -> Result<(i64, i64), IssuerError> {
    let (mut start, mut end) = (i64::MIN, i64::MAX);
    for certificate in chain {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| IssuerError::Unreadable("tls.crt"))?;
        start = start.max(parsed.validity().not_before.timestamp());
        end = end.min(parsed.validity().not_after.timestamp());
    }
    Ok((start, end))
}
