//! `certificates:` — files and keystores to read, and stores of the system.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::values::{Exclusion, Interval, PathPattern, SourceName, StoreName, absolute_path};

/// One rule: some paths, perhaps a password for them, or stores of Windows; how often to look.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRule {
    /// The label `source`.
    pub name: SourceName,
    /// Files, or patterns with `*`, `?`, `[a-z]`, `{a,b}` and `**`.
    #[serde(default)]
    pub paths: Vec<PathPattern>,
    /// Certificate stores of the machine, as `MY`. A rule has either these or paths.
    #[serde(default)]
    pub windows_stores: Vec<StoreName>,
    /// Of what the patterns find, what to leave out. Files that are named without a pattern are always read.
    #[serde(default = "Exclusion::defaults")]
    pub exclude: Vec<Exclusion>,
    /// Holds the password of the stores in its first line.
    #[serde(default, deserialize_with = "absolute_path")]
    pub password_file: Option<PathBuf>,
    #[serde(default = "CertificateRule::default_interval")]
    pub interval: Interval,
    /// A pass that takes longer counts as failed: a hanging network file system must not look like health.
    #[serde(default = "CertificateRule::default_timeout")]
    pub timeout: Interval,
    /// More files than this are not read, and the source says so.
    #[serde(default = "CertificateRule::default_max_files")]
    pub max_files: usize,
}

impl CertificateRule {
    /// Why the rule names nothing that can be looked at.
    pub(super) fn problem(&self) -> Option<String> {
        let name = &self.name;
        match (self.paths.is_empty(), self.windows_stores.is_empty()) {
            (true, true) => Some(format!("certificates {name}: name `paths`, or `windowsStores`")),
            (false, false) => Some(format!(
                "certificates {name}: `paths` and `windowsStores` need an entry each, with a name of its own"
            )),
            (true, false) if self.password_file.is_some() => {
                Some(format!("certificates {name}: `windowsStores` have no password; leave `passwordFile` out"))
            }
            _ => None,
        }
    }

    /// A pass over unchanged files only asks the file system for their identity, so it can be frequent.
    pub const fn default_interval() -> Interval {
        Interval::new(Duration::from_secs(30))
    }

    pub const fn default_timeout() -> Interval {
        Interval::new(Duration::from_secs(60))
    }

    /// Each certificate becomes one time series or more; ten thousand files are already a large Prometheus target.
    pub const fn default_max_files() -> usize {
        10_000
    }
}
