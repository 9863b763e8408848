//! Whom a backend that speaks TLS is trusted by: authorities, or its own certificate.
//!
//! Agents sign for themselves, often for no name and as a CA, which no verifier takes. A leaf that lies in the CA file
//! itself is therefore trusted as that one certificate: its name and dates say no more than its bytes do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use crate::platform::{self, FileError};
use crate::probe::Anchors;
use crate::proven::{JudgeServer, Proven};

/// The largest bundles that systems ship are a quarter of a megabyte.
const MAX_BUNDLE_BYTES: u64 = 4 * 1024 * 1024;

/// Why a CA file gave nobody to trust.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrustError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: holds no certificate in PEM", path.display())]
    Empty { path: PathBuf },
}

impl TrustError {
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::Empty { .. } => "tls",
        }
    }
}

/// How to speak TLS with a server that this file vouches for. Blocks on the file.
///
/// # Errors
/// When the file cannot be read, or holds no certificate.
pub(super) fn client_config(ca_file: &Path) -> Result<ClientConfig, TrustError> {
    let file = platform::read_regular(ca_file, MAX_BUNDLE_BYTES)?;
    let anchors = Anchors::in_pem(&file.bytes).ok_or_else(|| TrustError::Empty { path: ca_file.to_owned() })?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let trust = Proven::new(Trust { anchors }, provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("the provider's suites serve the versions that rustls itself lists")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

#[derive(Debug)]
struct Trust {
    anchors: Anchors,
}

impl JudgeServer for Trust {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if self.anchors.is_own(leaf) {
            return Ok(());
        }
        self.anchors.verify(leaf, intermediates, name, ocsp_response, now).map(drop)
    }
}
