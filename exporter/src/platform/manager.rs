//! What the service manager hands over.

use super::NotOnThisSystem;

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
