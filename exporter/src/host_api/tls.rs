//! The TLS side: this host's certificate, the CAs that clients must chain to, and what those have revoked (`revocation`). Read
//! again when a file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;

use super::revocation::{Revocations, Unrevoked};
use crate::blocking::Blocked;
use crate::config::HostApiConfig;
use crate::platform::{self, FileError, FileIdentity};
use crate::proven::Proven;

/// A CA bundle with a hundred certificates is under 300 KiB.
const MAX_BYTES: u64 = 1024 * 1024;
/// A list with a hundred thousand entries is under 4 MiB; a client CA that has revoked more serves more than a fleet's operators.
const MAX_CRL_BYTES: u64 = 4 * 1024 * 1024;

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
pub(super) struct Served {
    pub(super) config: Arc<ServerConfig>,
    /// When the first of the revocation lists expires. From then on no client of its CA is let in until there is a new one: an old list
    /// says nothing of what was revoked since.
    pub(super) crl_next_update: Option<Timestamp>,
    /// Cancelled when another configuration has taken its place: who was let in under it is asked again who he is.
    pub(super) replaced: CancellationToken,
    identity: Vec<FileIdentity>,
}

/// Why the files do not make a TLS server.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("certificate, key, client CA and revocation list were not read: {0}")]
    Blocked(#[from] Blocked),
    #[error("{}: holds no {what} as PEM", path.display())]
    Pem { path: PathBuf, what: &'static str },
    #[error("certificate and key do not make a server: {0}")]
    Server(rustls::Error),
    #[error("the client CA bundle: {0}")]
    ClientCa(String),
    #[error("{}: not a revocation list that clients can be checked against: {problem}", path.display())]
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

    pub(super) fn load(&self) -> Result<Served, TlsError> {
        let certificate = platform::read_regular(&self.certificate, MAX_BYTES)?;
        let key = platform::read_regular(&self.key, MAX_BYTES)?;
        let client_ca = platform::read_regular(&self.client_ca, MAX_BYTES)?;
        let chain = certificates(&certificate.bytes, &self.certificate)?;
        let private = PrivateKeyDer::from_pem_slice(&key.bytes)
            .map_err(|_| TlsError::Pem { path: self.key.clone(), what: "private key" })?;
        let mut roots = RootCertStore::empty();
        for root in certificates(&client_ca.bytes, &self.client_ca)? {
            roots.add(root).map_err(|e| TlsError::ClientCa(e.to_string()))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let mut identity = vec![certificate.identity, key.identity, client_ca.identity];
        let roots = Arc::new(roots);
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| TlsError::ClientCa(error.to_string()))?;
        let mut crl_next_update = None;
        if let Some(path) = &self.client_crl {
            let file = platform::read_regular(path, MAX_CRL_BYTES)?;
            identity.push(file.identity);
            let revocations = Revocations::parse(&file.bytes, &roots, &algorithms)
                .map_err(|problem| TlsError::ClientCrl { path: path.clone(), problem })?;
            crl_next_update = Some(revocations.next_update);
            verifier = Arc::new(Proven::new(Unrevoked::new(verifier, roots, algorithms, revocations), algorithms));
        }
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Server)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, private)
            .map_err(TlsError::Server)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would outlive its client's certificate, and the CA that was taken out of the bundle.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Served { config: Arc::new(config), crl_next_update, replaced: CancellationToken::new(), identity })
    }

    /// The new configuration, if a file is another than the ones behind `served`.
    pub(super) fn reload(&self, served: &Served) -> Result<Option<Served>, TlsError> {
        let paths = [&self.certificate, &self.key, &self.client_ca].into_iter().chain(&self.client_crl);
        let now: Vec<_> = paths.map(|path| platform::identify(path)).collect::<Result<_, _>>()?;
        if now == served.identity { Ok(None) } else { self.load().map(Some) }
    }
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| TlsError::Pem { path: path.to_owned(), what: "certificate" })
}
