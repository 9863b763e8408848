//! The TLS side: this host's certificate, the CAs that clients must chain to, and what those have revoked (`revocation`). Read
//! again when a file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use kagiban_serving::tls::{self, MAX_PEM_BYTES, ServerIdentity};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{DEFAULT_VERSIONS, ServerConfig};
use tokio_util::sync::CancellationToken;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::revocation::{Revocations, Unrevoked};
use crate::config::HostApiConfig;
use crate::from_files::FileOrigin;
use crate::platform::{self, FileError};
use crate::proven::Proven;

/// A list with a hundred thousand entries is under 4 MiB; a client CA that has revoked more serves more than a fleet's operators.
const MAX_CRL_BYTES: u64 = 4 * 1024 * 1024;

/// The settings that name the files.
const CERTIFICATE: &str = "certificateFile";
const KEY: &str = "keyFile";
const CLIENT_CA: &str = "clientCaFile";
const CLIENT_CRL: &str = "clientCrlFile";

/// Where they lie.
#[derive(Clone, Debug)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: PathBuf,
    client_crl: Option<PathBuf>,
}

/// A configuration, and the files it was made of.
#[derive(Clone, Debug)]
pub(super) struct ServedConfig {
    pub(super) config: Arc<ServerConfig>,
    /// The certificate that clients are shown.
    pub(super) leaf: CertificateDer<'static>,
    /// When the certificate ends that clients are shown: from then on none of them takes this host for itself.
    pub(super) certificate_not_after: Option<Timestamp>,
    /// When the first of the revocation lists expires. From then on no client of its CA is let in until there is a new one: an old list
    /// says nothing of what was revoked since.
    pub(super) crl_next_update: Option<Timestamp>,
    /// Cancelled when another configuration has taken its place: who was let in under it is asked again who he is.
    pub(super) replaced: CancellationToken,
}

/// Why the files do not make a TLS server.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("hostApi.{setting}: {source}")]
    File { setting: &'static str, source: FileError },
    #[error("hostApi.{setting}: {}: holds no {what} as PEM", path.display())]
    Pem { setting: &'static str, path: PathBuf, what: &'static str },
    #[error("hostApi.certificateFile and hostApi.keyFile do not make a server: {0}")]
    Server(rustls::Error),
    #[error("hostApi.clientCaFile: {0}")]
    ClientCa(String),
    #[error("hostApi.clientCrlFile: {}: not a revocation list that clients can be checked against: {problem}", path.display())]
    ClientCrl { path: PathBuf, problem: String },
}

impl Files {
    pub(super) fn of(config: &HostApiConfig) -> Self {
        Self {
            certificate: config.certificate_file.clone(),
            key: config.key_file.clone(),
            client_ca: config.client_ca_file.clone(),
            client_crl: config.client_crl_file.clone(),
        }
    }

    /// What they make, and which they were.
    pub(super) fn load(&self) -> Result<(ServedConfig, FileOrigin), TlsError> {
        let mut origin = FileOrigin::new();
        let mut read = |setting, path: &PathBuf, max| {
            // They decide who may order rotations.
            let file = platform::read_trusted(path, max);
            let file = file.map_err(|source| TlsError::File { setting, source })?;
            origin.push((path.clone(), file.identity));
            Ok(file.bytes)
        };
        let certificate = read(CERTIFICATE, &self.certificate, MAX_PEM_BYTES)?;
        let key = read(KEY, &self.key, MAX_PEM_BYTES)?;
        let client_ca = read(CLIENT_CA, &self.client_ca, MAX_PEM_BYTES)?;
        let revoked = self.client_crl.as_ref().map(|path| Ok((path, read(CLIENT_CRL, path, MAX_CRL_BYTES)?)));
        let none = |setting, path: &Path, what| TlsError::Pem { setting, path: path.to_owned(), what };
        let certificates =
            |pem: &[u8], setting, path| tls::certificates(pem).ok_or_else(|| none(setting, path, "certificate"));
        let chain = certificates(&certificate, CERTIFICATE, &self.certificate)?;
        let leaf = chain.first().cloned().ok_or_else(|| none(CERTIFICATE, &self.certificate, "certificate"))?;
        let certificate_not_after = not_after(&leaf);
        let key = tls::private_key(&key).ok_or_else(|| none(KEY, &self.key, "private key"))?;
        let client_ca = certificates(&client_ca, CLIENT_CA, &self.client_ca)?;
        let roots = Arc::new(tls::roots(client_ca).map_err(|error| TlsError::ClientCa(error.to_string()))?);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| TlsError::ClientCa(error.to_string()))?;
        let mut crl_next_update = None;
        if let Some((path, lists)) = revoked.transpose()? {
            let revocations = Revocations::parse(&lists, &roots, &algorithms)
                .map_err(|problem| TlsError::ClientCrl { path: path.clone(), problem })?;
            crl_next_update = Some(revocations.next_update);
            verifier = Arc::new(Proven::new(Unrevoked::new(verifier, roots, algorithms, revocations), algorithms));
        }
        let config = tls::server(provider, DEFAULT_VERSIONS, verifier, ServerIdentity { chain, key })
            .map_err(TlsError::Server)?;
        let served = ServedConfig {
            config: Arc::new(config),
            leaf,
            certificate_not_after,
            crl_next_update,
            replaced: CancellationToken::new(),
        };
        Ok((served, origin))
    }
}

/// None for one without a well-defined end, too.
fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}
