//! Which authorities are trusted, and what they make of a chain.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};

use crate::platform::{self, FileError};

/// The largest bundles that systems ship are a quarter of a megabyte.
const MAX_BUNDLE_BYTES: u64 = 4 * 1024 * 1024;

/// A set of trusted authorities. Cheap to clone; private to its owner, so that one endpoint's CA never vouches for
/// another's.
#[derive(Clone, Debug)]
pub struct Roots(Arc<WebPkiServerVerifier>);

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
    #[error("{}: holds no CA certificate in PEM that can be a trust anchor", path.display())]
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
    /// Reads every certificate of a PEM file as a trust anchor; those that cannot be one are passed over.
    ///
    /// # Errors
    /// When the file cannot be read, or holds none at all.
    pub fn from_file(path: &Path) -> Result<Self, RootsError> {
        let file = platform::read_regular(path, MAX_BUNDLE_BYTES)?;
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(CertificateDer::pem_slice_iter(&file.bytes).filter_map(Result::ok));
        Self::new(store).ok_or_else(|| RootsError::NoAuthority { path: path.to_owned() })
    }

    fn new(store: RootCertStore) -> Option<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build().ok().map(Self)
    }

    /// Judges a served chain, leaf first. Pure: the time is given.
    pub(super) fn judge(&self, chain: &[CertificateDer<'_>], name: &ServerName<'_>, now: UnixTime) -> Verdict {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Verdict::Refused { reason: "malformed", detail: "the chain is empty".to_owned() };
        };
        match self.0.verify_server_cert(leaf, intermediates, name, &[], now) {
            Ok(_) => Verdict::Trusted,
            Err(error) => Verdict::Refused { reason: reason(&error, leaf), detail: error.to_string() },
        }
    }
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

    #[test]
    fn a_self_signed_certificate_is_told_as_such_whether_it_calls_itself_a_ca_or_not() {
        let ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut store = RootCertStore::empty();
        store.add(self_signed("Fleet CA", ca)).expect("an authority");
        let roots = Roots::new(store).expect("roots");
        let name = ServerName::try_from("ups-01.example.com").expect("a name");
        for is_ca in [IsCa::NoCa, ca] {
            match roots.judge(&[self_signed("ups-01", is_ca)], &name, UnixTime::now()) {
                Verdict::Refused { reason, .. } => assert_eq!(reason, "self_signed"),
                Verdict::Trusted => panic!("nobody vouches for it"),
            }
        }
    }
}
