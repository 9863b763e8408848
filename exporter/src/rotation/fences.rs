//! The highest epoch and generation ever accepted, kept apart from the journals: whoever removes a journal takes nothing
//! back.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kagiban_crds::{AgentName, Epoch, Generation, Lineage};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checksum;
use crate::platform::{self, FileError, Links, WriteError};

/// Two numbers, or the names of some lineages.
const MAX_BYTES: u64 = 4 * 1024;

/// What must not be gone below, whichever lineage has spoken. It only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Fence {
    pub epoch: Epoch,
    /// Of one agent; zero in the fence of the whole host.
    #[serde(default)]
    pub generation: Generation,
}

/// A fence in its file. What could not be read is not known to be none: nothing is written there until it was read.
#[derive(Debug)]
pub(super) struct FenceFile {
    path: PathBuf,
    known: Option<Fence>,
}

/// Why a fence is not known, or not raised.
#[derive(Debug, thiserror::Error)]
pub(super) enum FenceError {
    #[error(
        "the fence {} cannot be read ({why}), so what was accepted before is not known, and no order is taken until it can be \
         read; if it is damaged, remove it: the journals, the backups and the other fences still hold",
        path.display()
    )]
    Unread { path: PathBuf, why: String },
    #[error(
        "whom this host obeys is not known, because {} cannot be read ({why}), and no order is taken; set hostApi.lineage to the \
         operator's --lineage and restart kagiban-exporter, which writes the file anew with the next order",
        path.display()
    )]
    LineageUnread { path: PathBuf, why: String },
    #[error(
        "{0} is written in hostApi.lineage of this host's configuration, which decides whom it obeys: change it there"
    )]
    Configured(Lineage),
    #[error("this host obeys the operator of lineage {0} by now")]
    OtherLineage(Lineage),
    #[error("epoch {epoch} is below {accepted}, at which another leader has spoken by now")]
    Deposed { epoch: Epoch, accepted: Epoch },
    #[error(
        "generation {generation} of {agent} is not decided yet, and the host is not given away in the middle of it"
    )]
    InProgress { agent: AgentName, generation: Generation },
    #[error(
        "{to} has given this host away twice within a day, and it is not given back to it before {again_at}: are {from} and {to} each \
         started with --hand-over-to and the name of the other? Start the one that is to keep the host without it, or set hostApi.lineage \
         in the host's configuration and restart kagiban-exporter"
    )]
    HandedBack { from: Lineage, to: Lineage, again_at: Timestamp },
    #[error("the fence cannot be written: {0}")]
    Write(#[from] WriteError),
    #[error(
        "{}: another directory is there than when this exporter was started, and nothing is written there; was a file system \
         mounted over it? Restart the exporter",
        path.display()
    )]
    Elsewhere { path: PathBuf },
}

impl FenceFile {
    /// Reads the file; one that cannot be read is said in the log, and read again when it is asked for.
    pub(super) fn at(path: PathBuf) -> Self {
        let mut file = Self { path, known: None };
        if let Err(error) = file.read() {
            tracing::error!(%error, "a fence is not known");
        }
        file
    }

    /// The fence, or none when there is no file.
    ///
    /// # Errors
    /// When there is a file that cannot be read or understood.
    pub(super) fn read(&mut self) -> Result<Fence, FenceError> {
        let fence = match self.known {
            Some(fence) => fence,
            None => read(&self.path).map_err(|why| FenceError::Unread { path: self.path.clone(), why })?,
        };
        self.known = Some(fence);
        Ok(fence)
    }

    /// Whether it is known that nothing was ever accepted.
    pub(super) fn is_none(&self) -> bool {
        self.known == Some(Fence::default())
    }

    /// As far as it is known.
    pub(super) fn known(&self) -> Fence {
        self.known.unwrap_or_default()
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// See [`FenceError`]; the old fence still stands then.
    pub(super) fn raise(&mut self, to: Fence) -> Result<(), FenceError> {
        let Some(known) = self.known else {
            return Err(FenceError::Unread { path: self.path.clone(), why: "it was not read yet".to_owned() });
        };
        let raised = known.union(to);
        if raised != known {
            raised.save(&self.path)?;
            self.known = Some(raised);
        }
        Ok(())
    }
}

impl Fence {
    /// The higher of both.
    fn union(self, other: Self) -> Self {
        Self { epoch: self.epoch.max(other.epoch), generation: self.generation.max(other.generation) }
    }

    /// As it stands in its file; none when that cannot be read.
    pub(super) fn peek(path: &Path) -> Option<Self> {
        read(path).ok()
    }

    fn save(&self, path: &Path) -> Result<(), WriteError> {
        if let Some(directory) = path.parent() {
            platform::create_private_directory(directory)?;
        }
        platform::replace(path, &checksum::encode_for(path, self)?, None)
    }
}

fn read(path: &Path) -> Result<Fence, String> {
    read_small(path).map(Option::unwrap_or_default)
}

/// What a small file with a checksum holds; none where there is no file.
///
/// # Errors
/// Why it cannot be read or understood.
pub(super) fn read_small<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    match platform::read_held(path, MAX_BYTES, Links::OfAdministrators) {
        Ok(file) => {
            let bytes = checksum::verified(&file.bytes).map_err(|error| error.to_string())?;
            serde_json::from_slice(&bytes).map(Some).map_err(|error| error.to_string())
        }
        Err(FileError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FENCE: Fence = Fence { epoch: Epoch(7), generation: Generation(3) };

    #[test]
    fn a_fence_survives_its_file_and_only_rises() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("fences/agent.json");
        let mut file = FenceFile::at(path.clone());
        assert_eq!(file.read().expect("no file is no fence"), Fence::default());
        file.raise(FENCE).expect("raised");
        file.raise(Fence { epoch: Epoch(6), generation: Generation(4) }).expect("raised");
        let read = FenceFile::at(path).known();
        assert_eq!(read, Fence { epoch: Epoch(7), generation: Generation(4) });
    }

    /// Holds A14: a fence that cannot be read now, or has a bit flipped, is not taken for another, and nothing is written over it.
    #[test]
    fn a_fence_that_cannot_be_read_is_not_raised_before_it_was_read() {
        let directory = tempfile::tempdir().expect("directory");
        let (path, aside) = (directory.path().join("agent.json"), directory.path().join("aside"));
        FenceFile::at(path.clone()).raise(FENCE).expect("raised");
        let spoils: [fn(&Path); 3] = [
            |path| std::fs::create_dir(path).expect("mkdir"),
            |path| std::fs::write(path, b"{").expect("write"),
            |path| {
                FenceFile::at(path.to_owned()).raise(FENCE).expect("raised");
                let flipped = std::fs::read_to_string(path).expect("read").replace("\"epoch\": 7", "\"epoch\": 6");
                std::fs::write(path, flipped).expect("write");
            },
        ];
        for spoil in spoils {
            std::fs::rename(&path, &aside).expect("rename");
            spoil(&path);
            let mut file = FenceFile::at(path.clone());
            assert!(matches!(file.read(), Err(FenceError::Unread { .. })));
            let lower = Fence { epoch: Epoch(1), generation: Generation(1) };
            assert!(matches!(file.raise(lower), Err(FenceError::Unread { .. })));
            let _ = std::fs::remove_dir(&path);
            std::fs::rename(&aside, &path).expect("rename");
            assert_eq!(file.read().expect("it can be read again"), FENCE);
            file.raise(lower).expect("nothing to raise");
            assert_eq!(FenceFile::at(path.clone()).known(), FENCE);
        }
    }
}
