//! `hostApi:` and `power:` — who may rotate this host's agents, and when.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::agents::duration;

/// The host API; it does not listen without this section.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostApiConfig {
    /// Such as `0.0.0.0:9995`.
    pub listen_address: SocketAddr,
    /// This host's certificate and its chain, PEM. Read again when it changes, as the two files below.
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
    /// The CAs that client certificates must chain to, PEM. Put old and new together while a CA is replaced.
    pub client_ca_file: PathBuf,
    /// Which clients may speak: DNS or URI names of their certificates, compared exactly. Trust alone authorises nobody.
    pub client_names: Vec<String>,
    /// More than these and the longest idle one is dropped for the new one.
    #[serde(default = "default_max_connections")]
    pub max_connections: usize,
    /// From a request's head to its answer.
    #[serde(default, deserialize_with = "duration")]
    pub request_timeout: Option<Duration>,
}

/// What is known of the host's power. Nothing is rotated unless it is `mains`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PowerConfig {
    /// What holds when no UPS is asked: `mains` says that somebody has thought about it; `unknown` blocks rotations.
    #[serde(default)]
    pub assume: AssumedPower,
    /// Exists while a shutdown is scheduled; by default the system's own.
    #[serde(default)]
    pub scheduled_shutdown_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssumedPower {
    Mains,
    #[default]
    Unknown,
}

impl PowerConfig {
    pub fn assumes_mains(&self) -> bool {
        self.assume == AssumedPower::Mains
    }
}

/// An operator holds one connection; the rest is room for people and for overlap.
const fn default_max_connections() -> usize {
    32
}
