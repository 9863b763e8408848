//! `shutdown:` — who is asked whether this host is going down. The UPSes of `ups:` are asked besides.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::values::{Interval, absolute_path};

/// The host's own signs of a shutdown: the system's schedule, and the event logs of PowerChute.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ShutdownConfig {
    pub enabled: bool,
    pub interval: Interval,
    /// Beside those of configured agents and of PowerChute directories that are found.
    #[serde(deserialize_with = "absolute_paths")]
    pub event_logs: Vec<PathBuf>,
    /// Whether the Application log of Windows is read for what PowerChute writes there; by default beside its agents.
    pub windows_event_log: Option<bool>,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { enabled: true, interval: Self::DEFAULT_INTERVAL, event_logs: Vec::new(), windows_event_log: None }
    }
}

impl ShutdownConfig {
    /// A shutdown takes a minute or more from its first sign; to ask costs a message or a look at a file's identity.
    const DEFAULT_INTERVAL: Interval = Interval::new(Duration::from_secs(5));
}

#[derive(Deserialize)]
struct AbsolutePath(#[serde(deserialize_with = "absolute_path")] Option<PathBuf>);

fn absolute_paths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    let paths = Vec::<AbsolutePath>::deserialize(deserializer)?;
    Ok(paths.into_iter().filter_map(|AbsolutePath(path)| path).collect())
}
