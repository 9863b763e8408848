//! Copies of what is overwritten without a journal that tells what it was.

use std::path::{Path, PathBuf};

use kagiban_crds::AgentName;

use super::backup::write_once;
use super::survey::MAX_STORE_BYTES;
use crate::platform::{self, FileError, Links, WriteError};
use crate::rotation::digest::Digest;
use crate::rotation::journal::FileSwap;
use crate::rotation::state_directory::StateDirectory;

/// More sets than anybody will look through; each may hold a private key.
const MAX_KEPT: usize = 5;

/// Copies that were made.
#[derive(Debug)]
pub(in crate::rotation) struct KeptCopies {
    pub directory: PathBuf,
    /// Of what was copied.
    pub digests: Vec<Digest>,
}

/// Why nothing may be overwritten.
#[derive(Debug, thiserror::Error)]
pub(in crate::rotation) enum KeepError {
    #[error("what is there cannot be read: {0}")]
    Read(#[from] FileError),
    #[error("what is there cannot be copied: {0}")]
    Write(#[from] WriteError),
    #[error(
        "what is there was changed {MAX_KEPT} times while the backup could not come back, and a copy is kept of each; see who writes it"
    )]
    ChangedAgain,
}

impl KeepError {
    pub(in crate::rotation) const fn reason(&self) -> &'static str {
        match self {
            Self::Read(error) => error.reason(),
            Self::Write(error) => error.reason(),
            Self::ChangedAgain => "changed_again",
        }
    }
}

/// Copies the files that `files` would overwrite into the state_directory, durably and private, once for the same contents. `before`
/// tells what was copied since the journal was lost: none of that goes, because the first copy is what everything began
/// with. The oldest copies of the agent go when the journal is lost anew.
///
/// # Errors
/// See [`KeepError`].
pub(in crate::rotation) fn keep(
    state_directory: &StateDirectory,
    agent: &AgentName,
    files: &[FileSwap],
    before: &[Digest],
) -> Result<KeptCopies, KeepError> {
    if before.len() >= MAX_KEPT * files.len().max(1) {
        return Err(KeepError::ChangedAgain);
    }
    let mut copies = Vec::new();
    for (n, file) in files.iter().enumerate() {
        match platform::read_held(&file.path, MAX_STORE_BYTES, Links::Refuse) {
            Ok(present) => {
                let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                copies.push((format!("{n}-{name}"), present.bytes));
            }
            Err(FileError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let digests: Vec<_> = copies.iter().map(|(_, bytes)| Digest::of(bytes)).collect();
    let set = Digest::of(&digests.iter().flat_map(Digest::as_bytes).copied().collect::<Vec<_>>()).short();
    let sets = sets(state_directory, agent);
    let known = sets.iter().find(|(_, name)| name.ends_with(&format!("-{set}"))).map(|(_, name)| name.clone());
    let number = sets.iter().map(|(number, _)| *number).max().map_or(1, |newest| newest + 1);
    let parent = state_directory.kept(agent);
    let directory = parent.join(known.unwrap_or_else(|| format!("{number}-{set}")));
    platform::create_private_directory(&parent)?;
    platform::create_private_directory(&directory)?;
    for (name, bytes) in &copies {
        write_once(&directory.join(name), bytes)?;
    }
    if before.is_empty() {
        prune(state_directory, agent, &directory);
    }
    Ok(KeptCopies { directory, digests })
}

/// Removes the oldest sets. `needed` was known before, and may be one of them.
fn prune(state_directory: &StateDirectory, agent: &AgentName, needed: &Path) {
    let mut sets = sets(state_directory, agent);
    sets.sort_unstable_by(|a, b| b.cmp(a));
    let over = sets.into_iter().skip(MAX_KEPT).map(|(_, old)| state_directory.kept(agent).join(old));
    for old in over.filter(|old| old != needed) {
        if let Err(error) = std::fs::remove_dir_all(old) {
            tracing::warn!(%agent, %error, "an old copy of overwritten files could not be removed");
        }
    }
}

/// The directories of copies, by number.
fn sets(state_directory: &StateDirectory, agent: &AgentName) -> Vec<(u64, String)> {
    let entries = std::fs::read_dir(state_directory.kept(agent)).into_iter().flatten().filter_map(Result::ok);
    let numbered = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let number = name.split('-').next()?.parse().ok()?;
        Some((number, name))
    };
    entries.filter_map(numbered).collect()
}
