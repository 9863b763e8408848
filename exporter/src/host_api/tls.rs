//! The TLS side: this host's certificate, and the CAs that clients must chain to. Read again when a file changes.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use crate::blocking::Blocked;
use crate::config::HostApiConfig;
use crate::platform::{self, FileError, FileIdentity};

/// A CA bundle with a hundred certificates is under 300 KiB.
const MAX_BYTES: u64 = 1024 * 1024;

/// Where they lie.
#[derive(Clone, Debug)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: PathBuf,
}

/// A configuration, and the files it was made of.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) config: Arc<ServerConfig>,
    identity: [FileIdentity; 3],
}

/// Why the files do not make a TLS server.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("certificate, key and client CA were not read: {0}")]
    Blocked(#[from] Blocked),
    #[error("{}: holds no {what} as PEM", path.display())]
    Pem { path: PathBuf, what: &'static str },
    #[error("certificate and key do not make a server: {0}")]
    Server(rustls::Error),
    #[error("the client CA bundle: {0}")]
    ClientCa(String),
}

impl Files {
    pub(super) fn of(config: &HostApiConfig) -> Self {
        Self {
            certificate: config.certificate_file.clone(),
            key: config.key_file.clone(),
            client_ca: config.client_ca_file.clone(),
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
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|e| TlsError::ClientCa(e.to_string()))?;
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
        let identity = [certificate.identity, key.identity, client_ca.identity];
        Ok(Served { config: Arc::new(config), identity })
    }

    /// The new configuration, if a file is another than the ones behind `served`.
    pub(super) fn reload(&self, served: &Served) -> Result<Option<Served>, TlsError> {
        let now = [&self.certificate, &self.key, &self.client_ca].map(|path| platform::identify(path));
        let [certificate, key, client_ca] = now;
        if [certificate?, key?, client_ca?] == served.identity { Ok(None) } else { self.load().map(Some) }
    }
}

fn certificates(pem: &[u8], path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| TlsError::Pem { path: path.to_owned(), what: "certificate" })
}
