//! The host API: who may have an agent rotated, over mTLS.

use std::net::SocketAddr;
use std::path::Path;

use kagiban_crds::HostName;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{AgentConfig, HostApiConfig, PowerConfig};

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
    #[error("not written yet")]
    Stub,
}

/// Finishes or undoes what an earlier run left, then listens.
///
/// # Errors
/// See [`StartError`].
#[allow(clippy::unused_async, reason = "recovery comes here")]
pub async fn start(
    _host: HostName,
    _config: &HostApiConfig,
    _agents: &[AgentConfig],
    _power: &PowerConfig,
    _state_directory: &Path,
    _shutdown: CancellationToken,
) -> Result<Running, StartError> {
    Err(StartError::Stub)
}
