//! Copies of what a rotation replaces, kept until later rotations push them out.

use std::path::Path;

use kagiban_crds::{AgentName, Generation, LeafSha256};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::digest::Digest;
use super::journal::{FileSwap, OldFile};
use super::staging::StagedFile;
use super::survey::MAX_STORE_BYTES;
use super::vault::Vault;
use crate::platform::{self, FileError, Links, WriteError};

/// Names a backup's files, for when the journal is lost.
const MANIFEST: &str = "manifest.json";
/// A set of three files is under 4 KiB.
const MAX_MANIFEST_BYTES: u64 = 64 * 1024;

/// Of copies of what was overwritten on the way back.
const CHANGED_PREFIX: &str = "changed-";

/// What a backup says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Manifest {
    pub previous: Option<LeafSha256>,
    pub files: Vec<FileSwap>,
}

/// Why the old files could not be kept or read again.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackupError {
    #[error("the backup: {0}")]
    Write(#[from] WriteError),
    #[error("the backup: {0}")]
    Read(#[from] FileError),
    #[error("{}: there is a backup of this generation already, and no backup is written over; open a new rotation", path.display())]
    Exists { path: std::path::PathBuf },
    #[error("{}: the backup was changed since it was made", path.display())]
    Altered { path: std::path::PathBuf },
}

impl BackupError {
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Write(error) => error.reason(),
            Self::Read(error) => error.reason(),
            Self::Exists { .. } => "backup_exists",
            Self::Altered { .. } => "backup_altered",
        }
    }
}

/// Copies every old file, durably and private, and then says so in a manifest.
///
/// # Errors
/// See [`BackupError`].
pub(super) fn make(directory: &Path, previous: Option<LeafSha256>, files: &[StagedFile]) -> Result<(), BackupError> {
    if let Some(parent) = directory.parent() {
        platform::create_private_directory(parent)?;
    }
    if directory.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { path: directory.to_owned() });
    }
    platform::create_private_directory(directory)?;
    for file in files {
        if let (Some(bytes), Some(old)) = (&file.backup, &file.swap.old) {
            platform::replace(&old.backup, bytes, None)?;
        }
    }
    let manifest = Manifest { previous, files: files.iter().map(|file| file.swap.clone()).collect() };
    let path = directory.join(MANIFEST);
    let bytes =
        serde_json::to_vec_pretty(&manifest).map_err(|e| WriteError::from_io(&path, "encoding it", e.into()))?;
    Ok(platform::replace(&path, &bytes, None)?)
}

/// The copy of an old file, as it was made.
///
/// # Errors
/// See [`BackupError`].
pub(super) fn read(old: &OldFile) -> Result<Zeroizing<Vec<u8>>, BackupError> {
    let bytes = platform::read_held(&old.backup, MAX_STORE_BYTES, Links::Refuse)?.bytes;
    if Digest::of(&bytes) != old.backup_digest {
        return Err(BackupError::Altered { path: old.backup.clone() });
    }
    Ok(bytes)
}

/// Copies a file that going back will overwrite, and that is not what the rotation put there, beside the backup.
///
/// # Errors
/// See [`BackupError`].
pub(super) fn keep_changed(old: &OldFile, bytes: &[u8]) -> Result<(), BackupError> {
    let name = old.backup.file_name().unwrap_or_default().to_string_lossy();
    let path = old.backup.with_file_name(format!("{CHANGED_PREFIX}{name}"));
    Ok(platform::replace(&path, bytes, None)?)
}

/// Removes what an interrupted backup left beside its files: copies of an old key, too.
///
/// # Errors
/// See [`WriteError`].
pub(super) fn sweep(directory: &Path, files: &[FileSwap]) -> Result<(), WriteError> {
    let copies = files.iter().filter_map(|file| file.old.as_ref()).map(|old| old.backup.as_path());
    copies.chain([directory.join(MANIFEST).as_path()]).try_for_each(platform::sweep)
}

/// The newest backup's generation, if there is any, and its manifest, if it was finished.
pub(super) fn newest(vault: &Vault, agent: &AgentName) -> Option<(Generation, Option<Manifest>)> {
    let newest = generations(vault, agent).into_iter().max()?;
    let path = vault.backup(agent, newest).join(MANIFEST);
    let manifest = platform::read_held(&path, MAX_MANIFEST_BYTES, Links::Refuse).ok();
    Some((newest, manifest.and_then(|file| serde_json::from_slice(&file.bytes).ok())))
}

/// Removes all backups but the newest `keep`: each holds an old private key.
///
/// # Errors
/// The first failure; the rest is tried all the same.
pub(super) fn prune(vault: &Vault, agent: &AgentName, keep: usize) -> std::io::Result<()> {
    let mut generations = generations(vault, agent);
    generations.sort_unstable_by(|a, b| b.cmp(a));
    let mut result = Ok(());
    for old in generations.into_iter().skip(keep) {
        let removed = std::fs::remove_dir_all(vault.backup(agent, old));
        result = result.and(removed);
    }
    result
}

fn generations(vault: &Vault, agent: &AgentName) -> Vec<Generation> {
    let entries = std::fs::read_dir(vault.backups(agent)).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| Some(Generation(entry.file_name().to_str()?.parse().ok()?))).collect()
}
