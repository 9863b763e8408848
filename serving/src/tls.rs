//! From PEM files to a TLS server, and from a connection to a handshake that was made in time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A CA bundle with a hundred certificates is under 300 KiB.
pub const MAX_PEM_BYTES: u64 = 1024 * 1024;

/// Who serves: a chain, leaf first, and the leaf's key.
#[derive(Debug)]
pub struct ServerIdentity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// Why a handshake did not end well.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("{0}")]
    Failed(io::Error),
    #[error("it took too long")]
    TooSlow,
}

impl HandshakeError {
    /// Stable, for the log.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Failed(_) => "handshake_failed",
            Self::TooSlow => "handshake_too_slow",
        }
    }
}

/// The certificates of a PEM text; nothing where one of them is none, or there is none.
pub fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok().filter(|certificates| !certificates.is_empty())
}

/// The first private key of a PEM text.
pub fn private_key(pem: &[u8]) -> Option<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).ok()
}

/// # Errors
/// When one of them cannot vouch for anybody.
pub fn roots(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    certificates.into_iter().try_for_each(|root| roots.add(root))?;
    Ok(roots)
}

/// A server that speaks HTTP/1.1 and resumes no session.
///
/// # Errors
/// When chain and key do not fit, or the provider speaks none of the versions.
pub fn server(
    provider: Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
    clients: Arc<dyn ClientCertVerifier>,
    ServerIdentity { chain, key }: ServerIdentity,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would outlive its client's certificate, and the CA that was taken out of the bundle.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// # Errors
/// See [`HandshakeError`].
pub async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    config: Arc<ServerConfig>,
    stream: S,
    within: Duration,
) -> Result<TlsStream<S>, HandshakeError> {
    let shaken = timeout(within, TlsAcceptor::from(config).accept(stream)).await;
    shaken.map_err(|_| HandshakeError::TooSlow)?.map_err(HandshakeError::Failed)
}
