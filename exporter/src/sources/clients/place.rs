//! Where a program writes its list: a file of one question, in a directory that nobody else may enter.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::AgentName;
use tokio::time::Instant;
use tracing::warn;

use super::{IN_USE, REASONS, STATE_DIRECTORY};
use crate::blocking::{self, Work};
use crate::platform::{self, FileError, FileLock, Links};
use crate::snapshot::Trouble;
use crate::sources::blocking::blocked_by;
use crate::trouble::one_of;

/// Below the state directory.
const LISTS: &str = "client-lists";
const LOCK: &str = "lock";
/// As the vendor's own examples have it.
const EXTENSION: &str = "csv";
/// A list of a hundred thousand clients; more is none.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Small files on a local disk: milliseconds, unless the file system hangs.
const WITHIN: Duration = Duration::from_secs(10);

/// Held for as long as a program may write there.
#[derive(Debug)]
pub(super) struct ListPlace {
    /// It does not exist before its program makes it: what lies there was written for this question.
    file: PathBuf,
    _lock: FileLock,
}

impl ListPlace {
    /// What an earlier question has left there is removed: its program may have been killed.
    pub(super) async fn make(state_directory: &Path, agent: &AgentName) -> Result<Self, Trouble> {
        let directory = state_directory.join(LISTS).join(agent.as_str());
        let made = blocking::run(Work::Files, Instant::now() + WITHIN, move || made_in(&directory)).await;
        made.unwrap_or_else(|blocked| Err(blocked_by(&blocked)))
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// What was written, and nothing of it is left. None where nothing was.
    pub(super) async fn take(self) -> Result<Option<Vec<u8>>, Trouble> {
        let take = move || {
            let read = platform::read_held(&self.file, MAX_BYTES, Links::Refuse);
            if let Err(error) = platform::remove(&self.file) {
                warn!(%error, "a list of clients could not be removed; it is at the next one");
            }
            match read {
                Ok(held) => Ok(Some(held.bytes.to_vec())),
                Err(FileError::NotFound { .. }) => Ok(None),
                Err(error) => Err(Trouble::new(one_of(REASONS, error.reason(), "read_failed"), error)),
            }
        };
        let taken = blocking::run(Work::Files, Instant::now() + WITHIN, take).await;
        taken.unwrap_or_else(|blocked| Err(blocked_by(&blocked)))
    }
}

fn made_in(directory: &Path) -> Result<ListPlace, Trouble> {
    let failed = |error: &dyn std::fmt::Display| {
        Trouble::new(STATE_DIRECTORY, format!("stateDirectory: no list can be written there: {error}"))
    };
    platform::create_private_directory(directory).map_err(|error| failed(&error))?;
    let lock = platform::lock(&directory.join(LOCK)).map_err(|error| failed(&error))?;
    let lock = lock.ok_or_else(|| {
        Trouble::new(IN_USE, format!("{}: another list is being asked for; it is tried again", directory.display()))
    })?;
    for left in fs::read_dir(directory).map_err(|error| failed(&error))?.flatten().map(|entry| entry.path()) {
        if left.extension().is_some_and(|extension| extension == EXTENSION) {
            platform::remove(&left).map_err(|error| failed(&error))?;
        }
    }
    // A program that was killed and has not ended yet may still write to the file of its own question.
    let file = directory.join(format!("{}.{EXTENSION}", Timestamp::now().as_nanosecond()));
    Ok(ListPlace { file, _lock: lock })
}
