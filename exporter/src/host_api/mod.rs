//! The host API: who may have an agent rotated, over mTLS.
//!
//! ```text
//!   TCP ──slots──> TLS handshake ──client's names──> HTTP/1.1 ──route, body──> api ──> worker (rotation)
//!        (cap)     (tls, deadline)   (client)        (deadlines, caps)          │
//!                                                                               └──> audit, one line per request
//! ```
//!
//! A request can name an agent of this host's own configuration, and nothing else.

mod api;
mod audit;
mod body;
mod client;
mod connection;
mod reports;
mod route;
mod server;
mod slots;
mod tls;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use futures::future::try_join_all;
use kagiban_crds::HostName;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{AgentConfig, HostApiConfig, PowerConfig};
use crate::rotation::agent::{Agent, AgentConfigError};
use crate::rotation::{Host, PowerGate, SpawnError, Vault, VaultError, Worker};
use crate::snapshot::Board;

use api::Api;
pub use audit::AUDIT_TARGET;
pub use tls::TlsError;

/// A host API that listens.
#[derive(Debug)]
pub struct Running {
    pub local_addr: SocketAddr,
    /// Ends after the shutdown was asked for, once no rotation is between two safe points.
    pub task: JoinHandle<()>,
}

/// Why the host API does not listen.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Agent(#[from] AgentConfigError),
    #[error("two agents are called {0}; give each its own name")]
    Duplicate(kagiban_crds::AgentName),
    #[error("hostApi.clientNames is empty: nobody could use the host API; name the operator's certificate")]
    NoClients,
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("agent {agent}: {source}")]
    Recovery { agent: kagiban_crds::AgentName, source: SpawnError },
    #[error("hostApi: {0}")]
    Tls(#[from] TlsError),
    #[error("hostApi: cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
}

/// Finishes or undoes what an earlier run left, then listens. The board tells what the UPSes say.
///
/// # Errors
/// See [`StartError`].
pub async fn start(
    host: HostName,
    config: &HostApiConfig,
    agents: &[AgentConfig],
    power: &PowerConfig,
    state_directory: &Path,
    board: Arc<Board>,
    shutdown: CancellationToken,
) -> Result<Running, StartError> {
    let agents = resolve(agents)?;
    if config.client_names.is_empty() {
        return Err(StartError::NoClients);
    }
    let tls = tls::Files::of(config);
    let served = tls.load()?;
    let (vault, lock) = Vault::open(state_directory)?;
    let host = Host::new(host, vault, PowerGate::new(power).watching(Arc::clone(&board)));

    let recovering = agents.into_iter().map(|agent| {
        let host = host.clone();
        async move {
            let name = agent.name.clone();
            Worker::spawn(host, agent).await.map_err(|source| StartError::Recovery { agent: name, source })
        }
    });
    let (workers, ended): (Vec<_>, Vec<_>) = try_join_all(recovering).await?.into_iter().unzip();

    let address = config.listen_address;
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local_addr = listener.local_addr().map_err(failed)?;
    let api = Arc::new(Api::new(host, workers, Arc::clone(&board), config));
    let server =
        server::Server { listener, tls, served, api, board, ended, lock, max_connections: config.max_connections };
    Ok(Running { local_addr, task: tokio::spawn(server.run(shutdown)) })
}

fn resolve(configs: &[AgentConfig]) -> Result<Vec<Agent>, StartError> {
    let mut names = HashSet::new();
    let mut agents = Vec::new();
    for config in configs {
        if !names.insert(&config.name) {
            return Err(StartError::Duplicate(config.name.clone()));
        }
        agents.push(Agent::resolve(config)?);
    }
    Ok(agents)
}
