//! Which authorities are trusted, and what they make of a chain.
//!
//! A certificate that lies in the CA file itself is its own authority, whatever it is: agents sign for themselves, often as a
//! CA, which no verifier takes for a server. OpenSSL and curl accept it too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use sha2::{Digest, Sha256};

use crate::platform::{self, FileError};

/// The largest bundles that systems ship are a quarter of a megabyte.
const MAX_BUNDLE_BYTES: u64 = 4 * 1024 * 1024;

/// Whom a file vouches for.
#[derive(Clone, Debug)]
pub(crate) struct Anchors {
    /// SHA-256 of the certificates, each of which is trusted by itself.
    own: BTreeSet<[u8; 32]>,
    /// Absent without a single certificate that can be an authority for others.
    authorities: Option<Arc<WebPkiServerVerifier>>,
}

impl Anchors {
    /// Every certificate of a PEM text, and as authorities those that can be one; none where there is no certificate.
    pub(crate) fn in_pem(text: &[u8]) -> Option<Self> {
        Self::new(CertificateDer::pem_slice_iter(text).filter_map(Result::ok).collect())
    }

    fn new(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        if certificates.is_empty() {
            return None;
        }
        let own = certificates.iter().map(|der| Sha256::digest(der).into()).collect();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build().ok();
        Some(Self { own, authorities })
    }

    /// Whether the leaf lies in the file itself.
    pub(crate) fn is_own(&self, leaf: &CertificateDer<'_>) -> bool {
        self.own.contains(&<[u8; 32]>::from(Sha256::digest(leaf)))
    }

    /// Whether an authority of the file vouches for the leaf.
    ///
    /// # Errors
    /// When none does.
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authorities = self.authorities.as_ref().ok_or(CertificateError::UnknownIssuer)?;
        authorities.verify_server_cert(leaf, intermediates, name, ocsp_response, now)
    }
}

/// A set of trusted authorities. Cheap to clone; private to its owner, so that one endpoint's CA never vouches for
/// another's.
#[derive(Clone, Debug)]
pub struct Roots(Arc<Anchors>);

/// What the roots say of a chain, for a name, at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Trusted,
    /// `reason` is one of [`Verdict::REASONS`].
    Refused {
        reason: &'static str,
        detail: String,
    },
}

/// Why a file gave no roots.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: holds no certificate in PEM", path.display())]
    NoAuthority { path: PathBuf },
}

impl RootsError {
    /// Stable, for metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::NoAuthority { .. } => "no_certificate",
        }
    }
}

impl Verdict {
    /// Every reason for which a chain is refused: the closed set of a metric label.
    pub const REASONS: [&'static str; 11] = [
        "bad_signature",
        "expired",
        "malformed",
        "name_mismatch",
        "not_yet_valid",
        "other",
        "revoked",
        "self_signed",
        "unknown_issuer",
        "unsupported_algorithm",
        "wrong_purpose",
    ];

    pub const fn is_trusted(&self) -> bool {
        matches!(self, Self::Trusted)
    }
}

impl Roots {
    /// Reads every certificate of a PEM file as a trust anchor.
    ///
    /// # Errors
    /// When the file cannot be read, or holds none at all.
    pub fn from_file(path: &Path) -> Result<Self, RootsError> {
        let file = platform::read_regular(path, MAX_BUNDLE_BYTES)?;
        let anchors = Anchors::in_pem(&file.bytes).ok_or_else(|| RootsError::NoAuthority { path: path.to_owned() })?;
        Ok(Self(Arc::new(anchors)))
    }

    /// Judges a served chain, leaf first. Pure: the time is given.
    pub(super) fn judge(&self, chain: &[CertificateDer<'_>], name: &ServerName<'_>, now: UnixTime) -> Verdict {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Verdict::refused("malformed", "the chain is empty");
        };
        if self.0.is_own(leaf) {
            return judge_own(leaf, name, now);
        }
        match self.0.verify(leaf, intermediates, name, &[], now) {
            Ok(_) => Verdict::Trusted,
            Err(error) => Verdict::refused(reason(&error, leaf), &error),
        }
    }
}

impl Verdict {
    fn refused(reason: &'static str, detail: &(impl ToString + ?Sized)) -> Self {
        Self::Refused { reason, detail: detail.to_string() }
    }
}

/// What is left to ask of a leaf that is its own authority: its dates, and its name.
fn judge_own(leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Verdict {
    let Ok(parsed) = kagiban_keystore::Certificate::from_der(leaf) else {
        return Verdict::refused("malformed", "the certificate cannot be parsed");
    };
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > parsed.not_after().as_second() {
        return Verdict::refused("expired", "it lies in the CA file, and has expired");
    }
    if now < parsed.not_before().as_second() {
        return Verdict::refused("not_yet_valid", "it lies in the CA file, and is not valid yet");
    }
    if is_for(leaf, &parsed, name) {
        Verdict::Trusted
    } else {
        Verdict::refused("name_mismatch", "it lies in the CA file, and is for another name")
    }
}

/// Whether the certificate is for this name. Where it has no alternative names at all its common name counts, as OpenSSL and
/// curl have it: what agents make for themselves often has no other.
fn is_for(leaf: &CertificateDer<'_>, parsed: &kagiban_keystore::Certificate, name: &ServerName<'_>) -> bool {
    let by_alternative_names =
        ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, name).is_ok());
    let has_none = parsed.dns_names().is_empty() && parsed.ip_addresses().is_empty();
    let is_common_name = || parsed.subject_cn().is_some_and(|cn| cn.eq_ignore_ascii_case(&name.to_str()));
    by_alternative_names || has_none && is_common_name()
}

fn reason(error: &rustls::Error, leaf: &CertificateDer<'_>) -> &'static str {
    let rustls::Error::InvalidCertificate(error) = error else { return "other" };
    match error {
        CertificateError::BadEncoding => "malformed",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not_yet_valid",
        CertificateError::Revoked => "revoked",
        CertificateError::UnknownIssuer if is_self_issued(leaf) => "self_signed",
        CertificateError::UnknownIssuer => "unknown_issuer",
        CertificateError::BadSignature => "bad_signature",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "name_mismatch",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "wrong_purpose",
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => "unsupported_algorithm",
        // Most agents sign for themselves, as a CA at that, which the verifier minds first.
        _ if is_self_issued(leaf) => "self_signed",
        _ => "other",
    }
}

fn is_self_issued(leaf: &CertificateDer<'_>) -> bool {
    kagiban_keystore::Certificate::observe(leaf).is_ok_and(|leaf| leaf.is_self_issued())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    use super::*;

    fn self_signed(name: &str, is_ca: IsCa) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["ups-01.example.com".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = is_ca;
        params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().clone()
    }

    fn roots(of: &[&CertificateDer<'static>]) -> Roots {
        Roots(Arc::new(Anchors::new(of.iter().map(|one| (*one).clone()).collect()).expect("certificates")))
    }

    fn said(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Trusted => "trusted",
            Verdict::Refused { reason, .. } => reason,
        }
    }

    #[test]
    fn a_self_signed_certificate_is_told_as_such_whether_it_calls_itself_a_ca_or_not() {
        let ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let roots = roots(&[&self_signed("Fleet CA", ca)]);
        let name = ServerName::try_from("ups-01.example.com").expect("a name");
        for is_ca in [IsCa::NoCa, ca] {
            let verdict = roots.judge(&[self_signed("ups-01", is_ca)], &name, UnixTime::now());
            assert_eq!(said(&verdict), "self_signed");
        }
    }

    /// Holds R12: `openssl s_client -CAfile` and `curl --cacert` accept it for its name and in its time.
    #[test]
    fn a_certificate_in_the_ca_file_is_its_own_authority_for_its_name_and_in_its_time() {
        const YEAR: u64 = 365 * 86_400;
        let name = |name: &'static str| ServerName::try_from(name).expect("a name");
        for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
            let own = self_signed("ups-01", is_ca);
            let roots = roots(&[&own]);
            let judged = |name: &ServerName<'_>, years: u64| {
                let at = std::time::Duration::from_secs(years * YEAR);
                said(&roots.judge(std::slice::from_ref(&own), name, UnixTime::since_unix_epoch(at)))
            };
            // rcgen's certificates begin in 1975 and end in 4096.
            assert_eq!(judged(&name("ups-01.example.com"), 50), "trusted");
            assert_eq!(judged(&name("UPS-01.example.com"), 50), "trusted");
            assert_eq!(judged(&name("other.example.com"), 50), "name_mismatch");
            assert_eq!(judged(&name("ups-01"), 50), "name_mismatch", "with alternative names the common name is none");
            assert_eq!(judged(&name("ups-01.example.com"), 1), "not_yet_valid");
            assert_eq!(judged(&name("ups-01.example.com"), 2_200), "expired");
            let another = self_signed("ups-02", is_ca);
            let verdict = roots.judge(&[another], &name("ups-01.example.com"), UnixTime::now());
            assert_eq!(said(&verdict), "self_signed");
        }
    }

    /// Holds R12.
    #[test]
    fn a_certificate_in_the_ca_file_without_alternative_names_is_for_its_common_name() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "ups-01.example.com");
        let own = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().clone();
        let roots = roots(&[&own]);
        let judged = |name: &'static str| {
            let name = ServerName::try_from(name).expect("a name");
            said(&roots.judge(std::slice::from_ref(&own), &name, UnixTime::now()))
        };
        assert_eq!((judged("ups-01.example.com"), judged("other.example.com")), ("trusted", "name_mismatch"));
    }
}
