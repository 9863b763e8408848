//! A moment within one boot of the system.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Told by a clock that nobody sets, and that begins anew with every boot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BootTime {
    pub boot_id: String,
    /// Since the system was started.
    pub milliseconds: u64,
}

impl BootTime {
    pub const fn uptime(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }
}
