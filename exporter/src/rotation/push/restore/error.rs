//! Why the old files do not come back.

use std::path::PathBuf;

use super::super::backup::BackupError;
use super::super::staging::StagingError;
use crate::platform::{FileError, WriteError};
use crate::rotation::journal::FileSwap;

/// Why the old files do not come back.
#[derive(Debug, thiserror::Error)]
pub(in crate::rotation) enum RestoreError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Read(#[from] FileError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(
        "{}: holds neither what this rotation put there nor what was there before, so it was left as it is; see who wrote it",
        path.display()
    )]
    ChangedSince { path: PathBuf },
    #[error(
        "{}: has another {} than the file that would come back, and neither is the narrower; undo that, or open a new rotation",
        path.display(), differences.join(", ")
    )]
    OtherAccess { path: PathBuf, differences: Vec<String> },
    #[error(
        "the old files would not go together with what was changed since ({0}), and nothing was stopped for them; open a new rotation"
    )]
    Parted(StagingError),
    #[error(
        "{}: was changed since and opens with a password that is known here, and the old store {} with none, so it was left as it \
         is; open a new rotation",
        path.display(), backup.display()
    )]
    Locked { path: PathBuf, backup: PathBuf },
    #[error("{}: this rotation has replaced it, and the configuration has the agent's files elsewhere now, so nothing is put back there", path.display())]
    NotConfigured { path: PathBuf },
    #[error(
        "{}: is not there, and its directory is another one than when the rotation replaced it; mount what belongs there, and the \
         old files are put back; if the directory was made anew, end the freeze with `kagiban-exporter rotation thaw AGENT`",
        path.display()
    )]
    Elsewhere { path: PathBuf },
    #[error(
        "{}: this rotation put the first file there, and its directory is another one now; if a file system was mounted over it, the new \
         key lies below: unmount it, and the key is removed; if the directory was made anew, end the freeze with `kagiban-exporter \
         rotation thaw AGENT`",
        path.display()
    )]
    FirstElsewhere { path: PathBuf },
}

impl RestoreError {
    pub(in crate::rotation) const fn reason(&self) -> &'static str {
        match self {
            Self::Write(error) => error.reason(),
            Self::Read(error) => error.reason(),
            Self::Backup(error) => error.reason(),
            Self::ChangedSince { .. } => "changed_since",
            Self::OtherAccess { .. } => "other_access",
            Self::Parted(_) => "split_set",
            Self::Locked { .. } => "backup_locked",
            Self::NotConfigured { .. } => "not_configured",
            Self::Elsewhere { .. } | Self::FirstElsewhere { .. } => "not_mounted",
        }
    }
}

pub(super) fn changed_since(file: &FileSwap) -> RestoreError {
    RestoreError::ChangedSince { path: file.path.clone() }
}
