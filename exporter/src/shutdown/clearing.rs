//! Clearing by hand: a person says that a shutdown that had begun is over.
//!
//! An exporter that runs is asked by a file in the state directory, as for the end of a freeze: only who may write there
//! (root) can ask, and the record of the shutdown keeps one writer, who holds the lock beside it.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::latch::Beginnings;
use super::latch_file::{self, LatchFileError, LoadedLatch};
use super::{BootId, Latch, LatchRecord};
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
    /// Absent where the record did not tell: then what the exporter knows is meant, and only the one that runs now.
    since: Option<Timestamp>,
    /// Noted by the exporter: it is cleared, and that cannot be kept yet.
    #[serde(default)]
    cleared: bool,
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
    /// What is meant was cleared already, and is to be kept.
    ToKeep,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearingProgress {
    Answered,
    Unanswered,
    /// It is done, and not durable yet.
    ClearedNotKept,
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
pub fn kept(state_directory: &Path, boot: &BootId) -> Result<LatchRecord, LatchFileError> {
    match latch_file::load(state_directory, boot)? {
        LoadedLatch::Kept(kept) => Ok(kept),
        LoadedLatch::Nothing | LoadedLatch::EarlierBoot(_) => Ok(LatchRecord::default()),
    }
}

/// Clears the shutdown that has begun in this boot, or asks the exporter that runs to do it.
///
/// # Errors
/// See [`ClearError`]; nothing has changed then.
pub fn clear(state_directory: &Path, boot: &BootId, now: Timestamp) -> Result<Cleared, ClearError> {
    let held = hold(state_directory);
    let held = held.map_err(|source| ClearError::Lock { path: state_directory.join(LOCK), source })?;
    if held.is_some() {
        let (latch, mut cleared) = begun(state_directory, boot)?;
        cleared.extend(latch.beginnings());
        latch_file::save(state_directory, boot, &LatchRecord { latch: None, cleared_at: Some(now), cleared })?;
        // One that an exporter that has ended was asked with; the next one would remove it too.
        let _ = drop_request(state_directory);
        return Ok(Cleared::Done);
    }
    // Whoever minds the record knows better than the record, which may be gone, damaged or never written.
    let since = kept(state_directory, boot).ok().and_then(|kept| kept.latch).map(|latch| latch.since());
    write(state_directory, &Request { boot_id: boot.as_str().to_owned(), since, cleared: false })?;
    Ok(Cleared::Asked)
}

fn write(state_directory: &Path, request: &Request) -> Result<(), WriteError> {
    let path = request_path(state_directory);
    let bytes = serde_json::to_vec(request).map_err(|e| WriteError::from_io(&path, "encoding it", e.into()))?;
    platform::create_private_directory(&state_directory.join(REQUESTS))?;
    platform::replace(&path, &bytes, None)
}

/// Tells the person who asked that it is cleared, and not durable yet.
///
/// # Errors
/// When the request cannot be written either.
pub fn note_cleared(state_directory: &Path) -> Result<(), WriteError> {
    match read(state_directory) {
        Some(Ok(request)) if !request.cleared => write(state_directory, &Request { cleared: true, ..request }),
        Some(_) | None => Ok(()),
    }
}

/// Whether an exporter minds the record now.
pub fn is_minded(state_directory: &Path) -> bool {
    // Who only looks makes no file, which would be another account's.
    state_directory.join(LOCK).exists() && hold(state_directory).is_ok_and(|held| held.is_none())
}

/// The exporter that minds the record of another directory of this name: a file system was mounted over it since.
pub fn minded_elsewhere(state_directory: &Path) -> Option<u32> {
    platform::open_elsewhere(&state_directory.join(LOCK))
}

fn begun(state_directory: &Path, boot: &BootId) -> Result<(Latch, Beginnings), ClearError> {
    let LatchRecord { latch, cleared, .. } = kept(state_directory, boot)?;
    Ok((latch.ok_or(ClearError::NotBegun)?, cleared))
}

/// Held by who minds the record; none while another process holds it.
///
/// # Errors
/// When the lock's file cannot be made or opened.
pub fn hold(state_directory: &Path) -> io::Result<Option<FileLock>> {
    platform::lock(&state_directory.join(LOCK))
}

/// What somebody asks who has left a request, where this has begun.
pub fn asked(state_directory: &Path, boot: &BootId, latch: Option<&Latch>) -> Asked {
    match (read(state_directory), latch) {
        (None, _) => Asked::Nothing,
        (Some(Ok(request)), Some(latch)) if request.means(boot, latch) => Asked::ToClear,
        (Some(_), None) => Asked::ToKeep,
        (Some(_), Some(_)) => Asked::ToClearAnother,
    }
}

impl Request {
    fn means(&self, boot: &BootId, latch: &Latch) -> bool {
        self.boot_id == boot.as_str() && self.since.is_none_or(|since| since == latch.since())
    }
}

/// Drops a request that names no shutdown: an exporter that has ended was asked, and one that comes later may be meant by none.
///
/// # Errors
/// When it cannot be removed.
pub fn drop_nameless_request(state_directory: &Path) -> Result<(), WriteError> {
    match read(state_directory) {
        Some(Ok(Request { since: None, .. })) => drop_request(state_directory),
        Some(_) | None => Ok(()),
    }
}

/// None where there is no request; an error where it is none of ours.
fn read(state_directory: &Path) -> Option<Result<Request, serde_json::Error>> {
    let file = platform::read_held(&request_path(state_directory), MAX_REQUEST_BYTES, Links::OfAdministrators).ok()?;
    Some(serde_json::from_slice(&file.bytes))
}

/// How far the request has come, as whoever asked sees it.
pub fn waiting(state_directory: &Path) -> ClearingProgress {
    match read(state_directory) {
        None if request_path(state_directory).try_exists().unwrap_or(true) => ClearingProgress::Unanswered,
        None => ClearingProgress::Answered,
        Some(Ok(request)) if request.cleared => ClearingProgress::ClearedNotKept,
        Some(_) => ClearingProgress::Unanswered,
    }
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
    use crate::ups::ShutdownTrigger;

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

    fn boot(id: &str) -> BootId {
        BootId::new(id).expect("a boot id")
    }

    fn latch(since: Timestamp) -> Latch {
        let origin = Origin::Host { source: Label::new("/opt/EventLog") };
        let announced = Announced {
            since,
            triggers: [ShutdownTrigger::PowerchuteEvent].into(),
            cause: None,
            begun_at: Some(since),
        };
        Latch::announced([(origin, announced)].into()).expect("somebody announced it")
    }

    fn begun_in(directory: &Path) -> Latch {
        let latch = latch(NOW);
        let kept = LatchRecord { latch: Some(latch.clone()), ..LatchRecord::default() };
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
        assert_eq!(kept, LatchRecord { latch: None, cleared_at: Some(NOW), cleared: [(begun, NOW)].into() });
        assert_eq!(clear(state, &boot("aa"), NOW).map_err(|e| e.reason()), Err("not_begun"));
        assert_eq!(waiting(state), ClearingProgress::Answered);
    }

    /// Holds R6: the record has one writer; who runs is asked, and only for the shutdown that is meant.
    #[test]
    fn who_minds_the_record_is_asked_and_a_request_that_was_left_behind_clears_no_later_shutdown() {
        let directory = tempfile::tempdir().expect("directory");
        let (state, boot) = (directory.path(), boot("aa"));
        let latch_now = begun_in(state);
        let held = hold(state).expect("lock").expect("nobody else holds it");
        assert_eq!(asked(state, &boot, Some(&latch_now)), Asked::Nothing);
        assert_eq!(clear(state, &boot, NOW).expect("ask"), Cleared::Asked);
        assert_eq!(kept(state, &boot).expect("read").latch.as_ref(), Some(&latch_now), "nothing is changed behind it");
        assert_eq!(asked(state, &boot, Some(&latch_now)), Asked::ToClear);
        let later = latch(NOW + jiff::SignedDuration::from_secs(1));
        assert_eq!(asked(state, &boot, Some(&later)), Asked::ToClearAnother);
        std::fs::write(request_path(state), "{").expect("write");
        assert_eq!(asked(state, &boot, Some(&latch_now)), Asked::ToClearAnother);
        drop_request(state).expect("remove");
        assert_eq!(
            (asked(state, &boot, Some(&latch_now)), waiting(state)),
            (Asked::Nothing, ClearingProgress::Answered)
        );
        // Whoever minds it is asked whatever the record says.
        std::fs::remove_file(state.join("shutdown.json")).expect("remove");
        assert_eq!(clear(state, &boot, NOW).expect("ask"), Cleared::Asked);
        assert!(is_minded(state));
        assert_eq!((asked(state, &boot, Some(&later)), waiting(state)), (Asked::ToClear, ClearingProgress::Unanswered));
        assert_eq!(asked(state, &boot, None), Asked::ToKeep);
        note_cleared(state).expect("noted");
        assert_eq!(waiting(state), ClearingProgress::ClearedNotKept);
        drop_request(state).expect("remove");
        assert_eq!(clear(state, &boot, NOW).expect("ask"), Cleared::Asked);
        drop_nameless_request(state).expect("remove");
        assert_eq!(waiting(state), ClearingProgress::Answered, "the next exporter is not meant");
        begun_in(state);
        drop(held);
        assert_eq!(clear(state, &boot, NOW).expect("clear"), Cleared::Done);
    }
}
