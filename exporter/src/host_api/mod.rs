//! The host API: who may have an agent rotated, over mTLS.
//!
//! ```text
//!   TCP ──arrivals───> TLS handshake ──slots, client's names──> HTTP/1.1 ──route, body──> api ──> worker (rotation)
//!        (caps)        (tls, deadline)   (cap)  (client)        (deadlines, caps)          │
//!                                                                                          └──> audit, one line per request
//! ```
//!
//! A request can name an agent of this host's own configuration, and nothing else.

mod api;
mod audit;
mod body;
mod client;
mod connection;
mod questions;
mod reports;
mod revocation;
mod route;
mod server;
mod slots;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use kagiban_crds::HostName;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::blocking::Work;
use crate::config::HostApiConfig;
use crate::from_files::FromFiles;
use crate::platform;
use crate::rotation::Workers;
use crate::snapshot::Board;

use api::Api;
pub use audit::AUDIT_TARGET;
pub use tls::TlsError;

/// A host API that listens.
#[derive(Debug)]
pub struct ListeningApi {
    pub local_addr: SocketAddr,
    /// Ends after the shutdown was asked for, once every request that was taken is answered.
    pub task: JoinHandle<()>,
}

/// Why the host API does not listen.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("hostApi.clientNames is empty: nobody could use the host API; name the operator's certificate")]
    NoClients,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("hostApi: cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
}

/// What the files say that make its TLS.
#[derive(Clone, Debug)]
pub(crate) struct TlsFacts {
    pub(crate) certificate_not_after: Option<Timestamp>,
    /// When the first of the revocation lists that are configured expires.
    pub(crate) crl_next_update: Option<Timestamp>,
    leaf: CertificateDer<'static>,
}

impl TlsFacts {
    /// Whether an operator that looks for this host takes the certificate for its own.
    pub(crate) fn is_for(&self, host: &HostName) -> bool {
        let certificate = ParsedCertificate::try_from(&self.leaf);
        let name = ServerName::try_from(host.as_str());
        matches!((certificate, name), (Ok(certificate), Ok(name)) if verify_server_name(&certificate, &name).is_ok())
    }
}

/// Whether it could be offered. Blocks on the files that it names.
///
/// # Errors
/// Those of [`start`], but for the socket.
pub(crate) fn check(config: &HostApiConfig) -> Result<TlsFacts, StartError> {
    if config.client_names.is_empty() {
        return Err(StartError::NoClients);
    }
    let (served, _) = tls::Files::of(config).load()?;
    let tls::ServedConfig { certificate_not_after, crl_next_update, leaf, .. } = served;
    Ok(TlsFacts { certificate_not_after, crl_next_update, leaf })
}

/// Listens for requests to the workers. The board tells what the UPSes say.
///
/// # Errors
/// See [`StartError`]; the workers go on without it.
pub async fn start(
    config: &HostApiConfig,
    workers: Arc<Workers>,
    board: Arc<Board>,
    shutdown: CancellationToken,
) -> Result<ListeningApi, StartError> {
    if config.client_names.is_empty() {
        return Err(StartError::NoClients);
    }
    let tls = tls::Files::of(config);
    let (served, origin) = tls.load()?;
    let served = FromFiles::starting(Work::HostApiTls, served, origin);
    let address = config.listen_address;
    let failed = |source| StartError::Listen { address, source };
    let listener = platform::bind_to(address).await.map_err(failed)?;
    let local_addr = listener.local_addr().map_err(failed)?;
    let api = Arc::new(Api::new(&workers, Arc::clone(&board), config));
    let server = server::Server { listener, tls, served, api, board, max_connections: config.max_connections };
    Ok(ListeningApi { local_addr, task: tokio::spawn(server.run(shutdown)) })
}
