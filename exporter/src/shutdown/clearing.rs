//! Clearing by hand: a person says that a shutdown that had begun is over.
//!
//! An exporter that runs is asked by a file in the state directory, as for the end of a freeze: only who may write there
//! (root) can ask, and the record of the shutdown keeps one writer, who holds the lock beside it.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::latch_file::{self, Found, LatchFileError};
use super::latch::Beginnings;
use super::{BootId, Kept, Latch};
use crate::platform::{self, FileLock, Links, WriteError};

const REQUESTS: &str = "requests";
const REQUEST: &str = "shutdown-clear.json";
/// What a person runs who knows that a shutdown that has begun is over.
pub const CLEAR_COMMAND: &str = "kagiban-exporter shutdown clear";
const LOCK: &str = "shutdown.lock";
const MAX_REQUEST_BYTES: u64 = 1024;

/// Names the shutdown that is meant: a request that was left behind clears no later one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    boot_id: String,
    since: Timestamp,
}

/// What became of a person's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleared {
    /// No exporter minds the record; it is done.
    Done,
    /// The exporter that runs was asked.
    Asked,
}

/// What a running exporter is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Nothing,
    ToClear,
    /// To clear another shutdown than the one that has begun.
    ToClearAnother,
}

/// Why nothing was cleared or asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClearError {
    #[error(
        "no shutdown that has begun is kept for this boot: a schedule is called off with `shutdown -c`, and a countdown at its \
         UPS"
    )]
    NotBegun,
    #[error(transparent)]
    Record(#[from] LatchFileError),
    #[error("{}: {source}; run as the user that the exporter runs as", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("the request cannot be written: {0}")]
    Request(#[from] WriteError),
}

impl ClearError {
    /// Stable, for scripts.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotBegun => "not_begun",
            Self::Record(error) => error.reason(),
            Self::Lock { .. } => "state_directory",
            Self::Request(error) => error.reason(),
        }
    }
}

/// What is kept of this boot.
///
/// # Errors
/// When the record cannot be read, or is not ours.
pub fn kept(state_directory: &Path, boot: &BootId) -> Result<Kept, LatchFileError> {
    match latch_file::load(state_directory, boot)? {
        Found::Kept(kept) => Ok(kept),
        Found::Nothing | Found::EarlierBoot(_) => Ok(Kept::default()),
    }
}

/// Clears the shutdown that has begun in this boot, or asks the exporter that runs to do it.
///
/// # Errors
/// See [`ClearError`]; nothing has changed then.
pub fn clear(state_directory: &Path, boot: &BootId, now: Timestamp) -> Result<Cleared, ClearError> {
    let (latch, _) = begun(state_directory, boot)?;
    let held = hold(state_directory);
    let held = held.map_err(|source| ClearError::Lock { path: state_directory.join(LOCK), source })?;
    if held.is_some() {
        // Read again: an exporter may have ended just now.
        let (latch, mut cleared) = begun(state_directory, boot)?;
        cleared.extend(latch.beginnings());
        latch_file::save(state_directory, boot, &Kept { latch: None, cleared_at: Some(now), cleared })?;
        // One that an exporter that has ended was asked with; the next one would remove it too.
        let _ = drop_request(state_directory);
        return Ok(Cleared::Done);
    }
    let path = request_path(state_directory);
    let request = Request { boot_id: boot.as_str().to_owned(), since: latch.since() };
    let bytes = serde_json::to_vec(&request).map_err(|e| WriteError::from_io(&path, "encoding it", e.into()))?;
    platform::create_private_directory(&state_directory.join(REQUESTS))?;
    platform::replace(&path, &bytes, None)?;
    Ok(Cleared::Asked)
}

fn begun(state_directory: &Path, boot: &BootId) -> Result<(Latch, Beginnings), ClearError> {
    let Kept { latch, cleared, .. } = kept(state_directory, boot)?;
    Ok((latch.ok_or(ClearError::NotBegun)?, cleared))
}

/// Held by who minds the record; none while another process holds it.
///
/// # Errors
/// When the lock's file cannot be made or opened.
pub fn hold(state_directory: &Path) -> io::Result<Option<FileLock>> {
    platform::lock(&state_directory.join(LOCK))
}

/// What somebody asks who has left a request.
pub fn asked(state_directory: &Path, boot: &BootId, latch: &Latch) -> Asked {
    let path = request_path(state_directory);
    let Ok(file) = platform::read_held(&path, MAX_REQUEST_BYTES, Links::OfAdministrators) else {
        return Asked::Nothing;
    };
    let meant = Request { boot_id: boot.as_str().to_owned(), since: latch.since() };
    if serde_json::from_slice(&file.bytes).is_ok_and(|request: Request| request == meant) {
        Asked::ToClear
    } else {
        Asked::ToClearAnother
    }
}

/// Whether a request waits.
pub fn is_asked(state_directory: &Path) -> bool {
    request_path(state_directory).try_exists().unwrap_or(true)
}

/// The request is answered.
///
/// # Errors
/// When it cannot be removed.
pub fn drop_request(state_directory: &Path) -> Result<(), WriteError> {
    platform::remove(&request_path(state_directory))
}

fn request_path(state_directory: &Path) -> PathBuf {
    state_directory.join(REQUESTS).join(REQUEST)
}

#[cfg(test)]
mod tests {
    use super::super::{Announced, Origin};
    use super::*;
    use crate::label::Label;
    use crate::ups::Trigger;

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

    fn boot(id: &str) -> BootId {
        BootId::new(id).expect("a boot id")
    }

    fn latch(since: Timestamp) -> Latch {
        let origin = Origin::Host { source: Label::new("/opt/EventLog") };
        let announced = Announced { since, triggers: [Trigger::PowerchuteEvent].into(), cause: None, begun_at: Some(since) };
        Latch::announced([(origin, announced)].into()).expect("somebody announced it")
    }

    fn begun_in(directory: &Path) -> Latch {
        let latch = latch(NOW);
        let kept = Kept { latch: Some(latch.clone()), ..Kept::default() };
        latch_file::save(directory, &boot("aa"), &kept).expect("save");
        latch
    }

    /// Holds R6: where no exporter runs, a person's word is kept at once, and for this boot.
    #[test]
    fn without_an_exporter_it_is_cleared_at_once_and_stays_so() {
        let directory = tempfile::tempdir().expect("directory");
        let state = directory.path();
        assert_eq!(clear(state, &boot("aa"), NOW).map_err(|e| e.reason()), Err("not_begun"));
        begun_in(state);
        assert_eq!(clear(state, &boot("bb"), NOW).map_err(|e| e.reason()), Err("not_begun"), "of another boot");
        assert_eq!(clear(state, &boot("aa"), NOW).expect("clear"), Cleared::Done);
        let kept = kept(state, &boot("aa")).expect("read");
        let begun = Origin::Host { source: Label::new("/opt/EventLog") };
        assert_eq!(kept, Kept { latch: None, cleared_at: Some(NOW), cleared: [(begun, NOW)].into() });
        assert_eq!(clear(state, &boot("aa"), NOW).map_err(|e| e.reason()), Err("not_begun"));
        assert!(!is_asked(state));
    }

    /// Holds R6: the record has one writer; who runs is asked, and only for the shutdown that is meant.
    #[test]
    fn who_minds_the_record_is_asked_and_a_request_that_was_left_behind_clears_no_later_shutdown() {
        let directory = tempfile::tempdir().expect("directory");
        let (state, boot) = (directory.path(), boot("aa"));
        let latch_now = begun_in(state);
        let held = hold(state).expect("lock").expect("nobody else holds it");
        assert_eq!(asked(state, &boot, &latch_now), Asked::Nothing);
        assert_eq!(clear(state, &boot, NOW).expect("ask"), Cleared::Asked);
        assert_eq!(kept(state, &boot).expect("read").latch.as_ref(), Some(&latch_now), "nothing is changed behind it");
        assert_eq!(asked(state, &boot, &latch_now), Asked::ToClear);
        let later = latch(NOW + jiff::SignedDuration::from_secs(1));
        assert_eq!(asked(state, &boot, &later), Asked::ToClearAnother);
        std::fs::write(request_path(state), "{").expect("write");
        assert_eq!(asked(state, &boot, &latch_now), Asked::ToClearAnother);
        drop_request(state).expect("remove");
        assert_eq!((asked(state, &boot, &latch_now), is_asked(state)), (Asked::Nothing, false));
        drop(held);
        assert_eq!(clear(state, &boot, NOW).expect("clear"), Cleared::Done);
    }
}
