//! What the seam says about files, whatever the system.

use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// Tells whether a path still leads to the same bytes: the file that a path *resolves to*, so that a swapped symlink or
/// a Kubernetes `..data` flip is seen, and its change time, so that an edit in place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i128,
    /// Nanoseconds since 1970; where a system has no change time, the same as `modified`.
    pub changed: i128,
}

/// A regular file's bytes, and which file it was.
#[derive(Debug)]
pub struct FileRead {
    /// May hold a private key.
    pub bytes: Zeroizing<Vec<u8>>,
    pub identity: FileIdentity,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: not found", path.display())]
    NotFound { path: PathBuf },
    #[error("{}: permission denied; run as a user who may read it", path.display())]
    PermissionDenied { path: PathBuf },
    #[error("{}: {kind}, not a regular file; name a regular file", path.display())]
    NotRegular { path: PathBuf, kind: &'static str },
    #[error("{}: {size} bytes, more than the limit of {limit}", path.display())]
    TooLarge { path: PathBuf, size: u64, limit: u64 },
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
}

impl FileError {
    /// Stable, for metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::NotRegular { .. } => "not_regular",
            Self::TooLarge { .. } => "too_large",
            Self::Read { .. } => "read_failed",
        }
    }

    pub(crate) fn from_io(path: &std::path::Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { path },
            _ => Self::Read { path, source },
        }
    }
}
