//! Which authorities are trusted, and what they make of a chain.
//!
//! A certificate that lies in the CA file itself is its own authority, whatever it is: agents sign for themselves, often as a
//! CA, which no verifier takes for a server. OpenSSL and curl accept it too, for its name and in its time. The UPS backends
//! ask for less ([`OwnCertificate::Bytes`]).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use kagiban_keystore::Certificate;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use sha2::{Digest, Sha256};

use crate::platform::{FileError, StoreError, store_path};

/// Whom a file vouches for.
#[derive(Clone, Debug)]
pub(crate) struct Anchors {
    /// SHA-256 of the certificates, each of which is trusted by itself.
    own: BTreeSet<[u8; 32]>,
    /// Absent without a single certificate that can be an authority for others.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// One of the certificates says for which names it may vouch.
    is_constrained: bool,
}

/// What is asked of a server's certificate that lies in the CA file itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnCertificate {
    /// That it is for the name, and in its time: as of any other.
    NameAndTime,
    /// Nothing more: its bytes are those that somebody put there. Agents of vendors sign for themselves, for no name that they
    /// are reached by, and what they measure is needed on the day after their certificate has expired too.
    Bytes,
}

impl Anchors {
    /// The certificates, and as authorities those that can be one; none where there is no certificate.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        if certificates.is_empty() {
            return None;
        }
        let is_constrained = certificates.iter().any(constrains_names);
        let own = certificates.iter().map(|der| Sha256::digest(der).into()).collect();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build().ok();
        Some(Self { own, authorities, is_constrained })
    }

    /// Judges a served chain. Pure: the time is given.
    ///
    /// # Errors
    /// When nobody vouches for the leaf, for the name, at the time.
    pub(crate) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
        own: OwnCertificate,
    ) -> Result<(), rustls::Error> {
        if self.own.contains(&<[u8; 32]>::from(Sha256::digest(leaf))) {
            return match own {
                OwnCertificate::Bytes => Ok(()),
                OwnCertificate::NameAndTime => Ok(judge_own(leaf, name, now)?),
            };
        }
        let authorities = self.authorities.as_ref().ok_or(CertificateError::UnknownIssuer)?;
        match authorities.verify_server_cert(leaf, intermediates, name, &[], now) {
            Ok(_) => Ok(()),
            // The name is looked at last: all else is as it should be. That a common name is among the names that an authority
            // may vouch for was not looked at.
            Err(error)
                if is_name_mismatch(&error)
                    && Certificate::from_der(leaf).is_ok_and(|leaf| is_for_common_name(&leaf, name)) =>
            {
                let is_constrained = self.is_constrained || intermediates.iter().any(constrains_names);
                if is_constrained { Err(error) } else { Ok(()) }
            }
            Err(error) => Err(error),
        }
    }
}

/// A set of trusted authorities. Cheap to clone; private to its owner, so that one endpoint's CA never vouches for
/// another's.
#[derive(Clone, Debug)]
pub struct Roots(Arc<Anchors>);

/// What the roots say of a chain, for a name, at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustVerdict {
    Trusted,
    /// `reason` is one of [`TrustVerdict::REASONS`].
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
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}: holds no certificate that servers may be trusted by; name a `caFile`", store_path("Root"))]
    EmptyStore,
}

impl RootsError {
    /// Stable, for metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::Store(error) => error.reason(),
            Self::NoAuthority { .. } | Self::EmptyStore => "no_certificate",
        }
    }
}

impl TrustVerdict {
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
    pub(super) fn of(anchors: Anchors) -> Self {
        Self(Arc::new(anchors))
    }

    /// Judges a served chain, leaf first. Pure: the time is given.
    pub(super) fn judge(&self, chain: &[CertificateDer<'_>], name: &ServerName<'_>, now: UnixTime) -> TrustVerdict {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return TrustVerdict::refused("malformed", "the chain is empty");
        };
        match self.0.judge(leaf, intermediates, name, now, OwnCertificate::NameAndTime) {
            Ok(()) => TrustVerdict::Trusted,
            Err(error) => TrustVerdict::refused(reason(&error, leaf), &error),
        }
    }
}

impl TrustVerdict {
    fn refused(reason: &'static str, detail: &(impl ToString + ?Sized)) -> Self {
        Self::Refused { reason, detail: detail.to_string() }
    }
}

/// What is left to ask of a leaf that is its own authority: its dates, and its name.
fn judge_own(leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let parsed = Certificate::from_der(leaf).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > parsed.not_after().as_second() {
        return Err(CertificateError::Expired);
    }
    if now < parsed.not_before().as_second() {
        return Err(CertificateError::NotValidYet);
    }
    let by_alternative_names =
        ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, name).is_ok());
    match by_alternative_names || is_for_common_name(&parsed, name) {
        true => Ok(()),
        false => Err(CertificateError::NotValidForName),
    }
}

/// Whether the certificate has this common name and no alternative names at all, so that the common name counts, as OpenSSL
/// and curl have it: what agents and their small CAs make often has no other.
fn is_for_common_name(leaf: &Certificate, name: &ServerName<'_>) -> bool {
    let has_none = leaf.dns_names().is_empty() && leaf.ip_addresses().is_empty();
    has_none && leaf.subject_cn().is_some_and(|cn| cn.eq_ignore_ascii_case(&name.to_str()))
}

/// Whether it may have name constraints (RFC 5280, 4.2.1.10): whether their object identifier stands anywhere in it.
fn constrains_names(certificate: &CertificateDer<'_>) -> bool {
    const NAME_CONSTRAINTS: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x1e];
    certificate.windows(NAME_CONSTRAINTS.len()).any(|window| window == NAME_CONSTRAINTS)
}

const fn is_name_mismatch(error: &rustls::Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};

    matches!(error, rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
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
    Certificate::observe(leaf).is_ok_and(|leaf| leaf.is_self_issued())
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

    fn said(verdict: &TrustVerdict) -> &'static str {
        match verdict {
            TrustVerdict::Trusted => "trusted",
            TrustVerdict::Refused { reason, .. } => reason,
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
            // Rcgen's certificates begin in 1975 and end in 4096.
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

    /// Holds R12: openssl takes the common name of both.
    #[test]
    fn a_certificate_without_alternative_names_is_for_its_common_name_whoever_signed_it() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "UPS-01.example.com");
        let key = || KeyPair::generate().expect("a key");
        let own = params.clone().self_signed(&key()).expect("a certificate").der().clone();
        let mut constrained = CertificateParams::default();
        let permitted = vec![rcgen::GeneralSubtree::DnsName("dept.example.com".to_owned())];
        constrained.name_constraints =
            Some(rcgen::NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() });
        constrained.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        constrained.distinguished_name.push(DnType::CommonName, "Department CA");
        let constrained = rcgen::CertifiedIssuer::self_signed(constrained, key()).expect("a CA");
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "Fleet CA");
        let ca = rcgen::CertifiedIssuer::self_signed(ca, key()).expect("a CA");
        let issue = |params: &CertificateParams| params.signed_by(&key(), &ca).expect("a certificate").der().clone();
        let issued = issue(&params);
        params.subject_alt_names = vec![rcgen::SanType::DnsName("other.example.com".try_into().expect("a name"))];
        let named = issue(&params);
        params.subject_alt_names.clear();
        let outside = params.signed_by(&key(), &constrained).expect("a certificate").der().clone();
        let anchors = roots(&[&own, ca.as_ref().der()]);
        let by_constrained = roots(&[constrained.as_ref().der()]);
        let name = ServerName::try_from("ups-01.example.com").expect("a name");
        let verdict = by_constrained.judge(&[outside], &name, UnixTime::now());
        assert_eq!(said(&verdict), "name_mismatch", "its CA may not vouch for that name");
        let judged = |leaf: &CertificateDer<'static>, name: &'static str| {
            let name = ServerName::try_from(name).expect("a name");
            said(&anchors.judge(std::slice::from_ref(leaf), &name, UnixTime::now()))
        };
        for leaf in [&own, &issued] {
            assert_eq!(judged(leaf, "ups-01.example.com"), "trusted");
            assert_eq!(judged(leaf, "other.example.com"), "name_mismatch");
        }
        assert_eq!(judged(&named, "ups-01.example.com"), "name_mismatch", "it says for what it is");
        assert_eq!(judged(&named, "other.example.com"), "trusted");
    }

    /// Holds R12: the two meanings side by side.
    #[test]
    fn what_a_ups_backend_asks_of_a_certificate_in_the_ca_file_is_its_bytes_and_of_any_other_name_and_time() {
        let (own, another) = (self_signed("ups-01", IsCa::NoCa), self_signed("ups-02", IsCa::NoCa));
        let anchors = roots(&[&own]).0;
        let (far, name) = (UnixTime::since_unix_epoch(std::time::Duration::from_secs(80_000_000_000)), "elsewhere");
        let name = ServerName::try_from(name).expect("a name");
        let judged = |leaf, own| anchors.judge(leaf, &[], &name, far, own).is_ok();
        assert!(judged(&own, OwnCertificate::Bytes), "neither its name nor its dates are asked for");
        assert!(!judged(&own, OwnCertificate::NameAndTime));
        assert!(!judged(&another, OwnCertificate::Bytes), "the file does not hold it");
    }
}
