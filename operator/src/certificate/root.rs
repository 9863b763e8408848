//! A CA that is made here.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose, SerialNumber,
};
use zeroize::Zeroizing;

use super::authority::{random_serial, set_validity};
use super::facts::within_reach;
use super::{IssuerError, certificate_pem, private_key_pem};

/// Ten years: longer than the hosts that it is for, and none of them is enrolled anew for its sake.
const LIFE: Duration = Duration::from_secs(3652 * 24 * 3600);
/// What a CA is known by beside its key: two of the same name would be confused by verifiers.
const NAME_BYTES: usize = 4;

/// A self-signed CA with a key of its own (ECDSA P-256) that may sign leaves and no other CA.
pub struct MadeAuthority {
    /// PEM.
    pub certificate: String,
    /// PEM, PKCS#8.
    pub key: Zeroizing<String>,
    pub not_after: Timestamp,
}

impl MadeAuthority {
    /// `name` is followed by what tells it from others of that name.
    ///
    /// # Errors
    /// Only without randomness.
    pub fn new(name: &str, now: Timestamp) -> Result<Self, IssuerError> {
        let signing = |_| IssuerError::Signing;
        let key = Zeroizing::new(KeyPair::generate().map_err(signing)?);
        let serial = random_serial()?;
        let end = now.as_second().saturating_add(i64::try_from(LIFE.as_secs()).unwrap_or(i64::MAX));
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name = format!("{name} {}", hex::encode(&serial[..NAME_BYTES]));
        params.distinguished_name.push(DnType::CommonName, name);
        set_validity(&mut params, now.as_second(), end)?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = certificate_pem(params.self_signed(&*key).map_err(signing)?.der());
        Ok(Self { certificate, key: private_key_pem(&key), not_after: within_reach(end) })
    }
}

impl std::fmt::Debug for MadeAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeAuthority").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use x509_parser::certificate::X509Certificate;
    use x509_parser::prelude::FromDer;

    use super::*;
    use crate::certificate::{Authority, BACKDATE};

    #[test]
    fn a_ca_that_is_made_here_may_sign_at_once_and_is_no_others_namesake() {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().expect("a time");
        let [made, other] = [(); 2].map(|()| MadeAuthority::new("Kagiban host API CA", now).expect("a CA"));
        Authority::read(made.certificate.as_bytes(), made.key.as_bytes(), now).expect("the issuer takes it");
        let [made_der, other_der] =
            [&made, &other].map(|it| CertificateDer::from_pem_slice(it.certificate.as_bytes()).expect("PEM"));
        let [ca, other] = [&made_der, &other_der].map(|der| X509Certificate::from_der(der).expect("a certificate").1);
        assert_ne!(ca.subject().to_string(), other.subject().to_string());
        let basic = ca.basic_constraints().expect("readable").expect("there");
        assert!(basic.critical && basic.value.ca && basic.value.path_len_constraint == Some(0));
        assert_eq!(
            ca.validity().not_before.timestamp(),
            now.as_second() - i64::try_from(BACKDATE.as_secs()).expect("minutes")
        );
        assert_eq!(ca.validity().not_after.timestamp(), made.not_after.as_second());
        assert!(made.not_after > "2036-11-01T00:00:00Z".parse().expect("a time"));
    }
}
