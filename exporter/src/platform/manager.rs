//! What the service manager is told, whatever the system.

use std::time::Duration;

use super::NotOnThisSystem;

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

/// Why no socket was taken over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error("LISTEN_FDS is no number from 1 to {most}", most = Self::MOST)]
    Count,
    #[error(
        "a handed over socket is no TCP or Unix stream socket that listens ({0}); look at the .socket unit's ListenStream, and leave out Accept=yes"
    )]
    Socket(std::io::Error),
    #[error("{0}; leave out --web.systemd-socket")]
    NotOnThisSystem(#[from] NotOnThisSystem),
}

impl HandoverError {
    /// A unit with more sockets than this is a mistake, and the number comes from the environment.
    pub const MOST: usize = 32;
}
