//! Copies of what is overwritten without a journal that tells what it was.

use std::path::PathBuf;

use kagiban_crds::AgentName;

use super::journal::FileSwap;
use super::survey::MAX_STORE_BYTES;
use super::vault::Vault;
use crate::platform::{self, FileError, Links, WriteError};

/// More than anybody will look through; each may hold a private key.
const MAX_KEPT: usize = 5;

/// Why nothing may be overwritten.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    #[error("what is there cannot be read: {0}")]
    Read(#[from] FileError),
    #[error("what is there cannot be copied: {0}")]
    Write(#[from] WriteError),
}

/// Copies the files that `files` would overwrite into the vault, durably and private. The oldest copies of the agent go
/// when there are too many.
///
/// # Errors
/// See [`KeepError`].
pub(super) fn keep(vault: &Vault, agent: &AgentName, files: &[FileSwap]) -> Result<PathBuf, KeepError> {
    let number = numbers(vault, agent).into_iter().max().map_or(1, |newest| newest + 1);
    let parent = vault.kept(agent);
    let directory = parent.join(number.to_string());
    platform::create_private_directory(&parent)?;
    platform::create_private_directory(&directory)?;
    for (n, file) in files.iter().enumerate() {
        let bytes = match platform::read_held(&file.path, MAX_STORE_BYTES, Links::Refuse) {
            Ok(present) => present.bytes,
            Err(FileError::NotFound { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        platform::replace(&directory.join(format!("{n}-{name}")), &bytes, None)?;
    }
    prune(vault, agent);
    Ok(directory)
}

fn prune(vault: &Vault, agent: &AgentName) {
    let mut numbers = numbers(vault, agent);
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    for old in numbers.into_iter().skip(MAX_KEPT) {
        if let Err(error) = std::fs::remove_dir_all(vault.kept(agent).join(old.to_string())) {
            tracing::warn!(%agent, %error, "an old copy of overwritten files could not be removed");
        }
    }
}

fn numbers(vault: &Vault, agent: &AgentName) -> Vec<u64> {
    let entries = std::fs::read_dir(vault.kept(agent)).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
