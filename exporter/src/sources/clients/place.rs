//! Where a program writes its list: a file of one question, in a directory that nobody else may enter.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::AgentName;
use tokio::time::Instant;
use tracing::warn;

use super::{IN_USE, REASONS, STATE_DIRECTORY};
use crate::blocking::{self, Work};
use crate::platform::{self, FileError, FileLock, Links, WriteError};
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
/// That are to be free afterwards: what is written to a full disk is cut.
const SPARE_BYTES: u64 = 1024 * 1024;
/// Of what earlier programs have left, and nobody can remove.
const MOST_LEFT: usize = 16;
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
            // Its program may not have told that the disk was full.
            let room = platform::check_room(&self.file, SPARE_BYTES);
            if let Err(error) = removed(&self.file) {
                warn!(file = %self.file.display(), %error, "a list of clients could not be removed; it is at the next one");
            }
            room.map_err(|error| no_room(&error))?;
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
    let mut stay = 0;
    for left in fs::read_dir(directory).map_err(|error| failed(&error))?.flatten().map(|entry| entry.path()) {
        if left.extension().is_some_and(|extension| extension == EXTENSION)
            && let Err(error) = removed(&left)
        {
            warn!(file = %left.display(), %error, "what a program has left in the place of its list could not be removed");
            stay += 1;
        }
    }
    if stay > MOST_LEFT {
        return Err(failed(&format_args!(
            "{}: more than {MOST_LEFT} files of earlier lists cannot be removed",
            directory.display()
        )));
    }
    platform::check_room(&directory.join(LOCK), MAX_BYTES + SPARE_BYTES).map_err(|error| no_room(&error))?;
    // A program that was killed and has not ended yet may still write to the file of its own question.
    let file = directory.join(format!("{}.{EXTENSION}", Timestamp::now().as_nanosecond()));
    Ok(ListPlace { file, _lock: lock })
}

/// A program may make a directory there; nothing in it is followed.
fn removed(left: &Path) -> io::Result<()> {
    match platform::remove(left) {
        Ok(()) => Ok(()),
        Err(_) if left.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) => fs::remove_dir_all(left),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// A list that was cut would take clients for repaired.
fn no_room(error: &WriteError) -> Trouble {
    Trouble::new(one_of(REASONS, error.reason(), STATE_DIRECTORY), format!("stateDirectory: {error}"))
}
