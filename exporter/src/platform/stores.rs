//! What the seam says of certificate stores that the system keeps itself, apart from files.

use std::io;

use kagiban_keystore::Limits;

use super::NotOnThisSystem;

/// A certificate in a store of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCertificate {
    pub der: Vec<u8>,
    /// What somebody has called it there.
    pub friendly_name: Option<String>,
    /// SHA-1 in hexadecimal, by which the system knows it.
    pub thumbprint: String,
    /// The store notes a private key for it. Whether that can be used is not tried.
    pub has_private_key: bool,
}

/// How much of a store is read.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    pub certificates: usize,
    /// Of all certificates together.
    pub bytes: usize,
}

/// What lying in a store means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreUse {
    /// What lies there is trusted for that.
    Trusted,
    /// Intermediate CAs, those that the system is shipped with among them.
    Authorities,
    /// Nothing.
    Other,
}

/// Why a store was not read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "{path}: there is no such store; `Get-ChildItem Cert:\\LocalMachine` in PowerShell lists those that there are"
    )]
    NotFound { path: String },
    #[error("{path}: access is denied; run the exporter as an account that may read this store, as LocalSystem may")]
    PermissionDenied { path: String },
    #[error("{path}: more than {limit} {what}; name a store that holds fewer")]
    TooLarge { path: String, limit: usize, what: &'static str },
    #[error("{path}: the store cannot be read: {source}")]
    Read { path: String, source: io::Error },
    #[error(transparent)]
    NotOnThisSystem(#[from] NotOnThisSystem),
}

/// As of a keystore in a file.
impl From<&Limits> for StoreLimits {
    fn from(limits: &Limits) -> Self {
        Self { certificates: limits.max_entries, bytes: limits.max_bytes }
    }
}

impl StoreError {
    /// Stable, for metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::TooLarge { .. } => "too_large",
            Self::Read { .. } => "read_failed",
            Self::NotOnThisSystem(_) => NotOnThisSystem::REASON,
        }
    }
}

impl StoreUse {
    /// By its name, in which case does not count.
    pub fn of(store: &str) -> Self {
        const TRUSTED: [&str; 4] = ["Root", "AuthRoot", "TrustedPeople", "TrustedPublisher"];
        match store {
            _ if TRUSTED.iter().any(|known| known.eq_ignore_ascii_case(store)) => Self::Trusted,
            _ if store.eq_ignore_ascii_case("CA") => Self::Authorities,
            _ => Self::Other,
        }
    }
}

/// The store as PowerShell's provider writes it.
pub fn store_path(store: &str) -> String {
    format!(r"Cert:\LocalMachine\{store}")
}
