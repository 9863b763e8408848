//! The highest epoch and generation ever accepted, kept apart from the journals: whoever removes a journal takes nothing
//! back.

use std::path::Path;

use kagiban_crds::{Epoch, Generation};
use serde::{Deserialize, Serialize};

use crate::platform::{self, FileError, Links, WriteError};

/// Two numbers.
const MAX_BYTES: u64 = 4 * 1024;

/// What must not be gone below. It only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Fence {
    pub epoch: Epoch,
    /// Of one agent; zero in the fence of the whole host.
    #[serde(default)]
    pub generation: Generation,
}

impl Fence {
    /// The fence in a file, or none when there is no file.
    ///
    /// A file that cannot be read is said in the log and counts as none: the journals, the backups and the other fences
    /// still hold.
    pub(super) fn read(path: &Path) -> Self {
        let why = match platform::read_held(path, MAX_BYTES, Links::OfAdministrators) {
            Ok(file) => match serde_json::from_slice(&file.bytes) {
                Ok(fence) => return fence,
                Err(error) => error.to_string(),
            },
            Err(FileError::NotFound { .. }) => return Self::default(),
            Err(error) => error.to_string(),
        };
        tracing::error!(file = %path.display(), error = why, "a fence cannot be read; only what journals and backups tell of is fenced off");
        Self::default()
    }

    /// The higher of both.
    pub(super) fn union(self, other: Self) -> Self {
        Self { epoch: self.epoch.max(other.epoch), generation: self.generation.max(other.generation) }
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// See [`WriteError`]; the old fence still stands then.
    pub(super) fn save(&self, path: &Path) -> Result<(), WriteError> {
        if let Some(directory) = path.parent() {
            platform::create_private_directory(directory)?;
        }
        let bytes = serde_json::to_vec(self).map_err(|e| WriteError::from_io(path, "encoding it", e.into()))?;
        platform::replace(path, &bytes, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_survives_its_file_and_garbage_is_none() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("fences/agent.json");
        assert_eq!(Fence::read(&path), Fence::default());
        let fence = Fence { epoch: Epoch(7), generation: Generation(3) };
        fence.save(&path).expect("save");
        assert_eq!(Fence::read(&path), fence);
        std::fs::write(&path, b"{").expect("write");
        assert_eq!(Fence::read(&path), Fence::default());
        assert_eq!(fence.union(Fence { epoch: Epoch(9), generation: Generation(1) }).generation, Generation(3));
    }
}
