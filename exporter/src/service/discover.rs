//! `discover`: what is on this host, without a configuration.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::join_all;
use kagiban_crds::{AgentName, HostName};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{CONFIG_WITHIN, SEARCH_WITHIN, ServiceError, own_host_name};
use crate::blocking::{self, Work};
use crate::config::{AgentConfig, ConfigError};
use crate::discovery::proposal::{LocalDaemon, Rotatable, rotatable};
use crate::discovery::{self, Discovered};
use crate::installation::Installed;
use crate::rotation::agent::Agent;
use crate::rotation::readiness::{self, Unready};
use crate::snapshot::ReleaseSeen;
use crate::sources::release_of;

/// A connection within this host.
const CONNECT: Duration = Duration::from_secs(1);

/// What was found.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// As it was asked for, or as the system names itself; what it says instead, where that is no host name.
    pub host: Result<HostName, String>,
    pub installed: Vec<Installed>,
    /// Of those whose vendor's notice tells releases apart.
    pub releases: Vec<ReleaseSeen>,
    pub agents: Vec<Rotatable>,
    pub daemons: Vec<LocalDaemon>,
    pub trust_stores: Vec<PathBuf>,
    pub bundles: Vec<PathBuf>,
    pub event_logs: Vec<PathBuf>,
}

/// Searches the usual places, and asks whether a UPS daemon listens on this host.
///
/// # Errors
/// When a file system that an agent lies on hangs.
pub async fn discover(host: Option<HostName>) -> Result<Inventory, ServiceError> {
    let found = discovery::search_usual(Instant::now() + SEARCH_WITHIN).await;
    let event_logs = found.event_logs();
    let Discovered { agents: installed, trust_stores, system_bundle, .. } = found;
    let look_at = installed.clone();
    let look = move || (host.map_or_else(own_host_name, Ok), rotatable(&look_at, wants_password));
    let looked = blocking::run(Work::Reports, Instant::now() + CONFIG_WITHIN, look).await;
    let (host, agents) = looked.map_err(ConfigError::from)?;
    let daemons = join_all(LocalDaemon::ALL.map(answers)).await.into_iter().flatten().collect();
    let releases = join_all(installed.iter().cloned().map(release_of)).await.into_iter().flatten().collect();
    Ok(Inventory {
        host,
        installed,
        releases,
        agents,
        daemons,
        trust_stores,
        bundles: system_bundle.into_iter().collect(),
        event_logs,
    })
}

async fn answers(daemon: LocalDaemon) -> Option<LocalDaemon> {
    timeout(CONNECT, TcpStream::connect(daemon.address()))
        .await
        .is_ok_and(|connected| connected.is_ok())
        .then_some(daemon)
}

/// Whether the host knows no password of the store of an agent that is installed there.
fn wants_password(name: &AgentName, at: &Installed) -> bool {
    let config = AgentConfig::found(name.clone(), at.product, at.directory.clone());
    let ready = Agent::resolve(&config).map(|agent| readiness::files(&agent));
    ready.is_ok_and(|ready| ready == Err(Unready::WantsPassword))
}
