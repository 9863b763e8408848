//! What the seam says of the sockets that listen, whatever the system.

use std::io;

use super::NotOnThisSystem;

/// Why it is not known whose sockets listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenersError {
    /// Nobody can hide behind that: the system tells nobody.
    #[error("the system does not tell whose sockets listen: {0}")]
    Untold(io::Error),
    /// Somebody may: the system tells, and not everything was heard.
    #[error("{table}: {why}")]
    Unread { table: &'static str, why: String },
    /// Somebody may: nobody asked.
    #[error("whose sockets listen is not asked: {0}")]
    NotAsked(#[from] NotOnThisSystem),
}
