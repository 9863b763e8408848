//! What the service manager is told, whatever the system.

use std::time::Duration;

/// Where in its life the program is. Without a manager nobody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// It answers; after a reload, again.
    Ready {
        status: String,
    },
    Status {
        status: String,
    },
    /// It loads its configuration.
    Reloading,
    Stopping,
    /// It stops, and needs longer than the manager may allow: the next word comes within this time.
    StillStopping {
        next_word_within: Duration,
        status: String,
    },
}
