//! The event log of a PowerChute agent.
//!
//! ```text
//!   EventLogSource (deadline) ──> Log ──identity changed?──> java │ text ──> Event, in the order of writing
//!                                  └──────────────────── fold (events, boot, now) ──> Evidence
//! ```
//!
//! `EventLog` of PowerChute Serial Shutdown and Business Edition is a Java serialization stream, `EventLog.txt` of PowerChute
//! Network Shutdown is text. They are told apart by content.
//!
//! The vendor documents neither. The classes, fields and numbers of the stream are those that a public reader of such
//! files uses; no log of a real agent was at hand, and the writer in `exporter/tests/event_log` is a double. Of the text
//! not even one line is published: a line counts only when it is a date and then, whole, the name of an event. Where the
//! agent speaks SNMP, its critical flag is the better witness.

mod event;
mod fold;
mod java;
mod text;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::event::Event;
use self::fold::fold;
use crate::blocking::Work;
use crate::platform::{self, FileError, FileIdentity};
use crate::shutdown::Evidence;
use crate::snapshot::{Observation, Trouble};
use crate::sources::blocking::Blocking;

/// The reason of a log that cannot be followed to its end.
pub(super) const MALFORMED: &str = "malformed";

/// Tens of thousands of events. A stream can only be read from its beginning, so a larger one is not read at all.
const MAX_STREAM_BYTES: u64 = 4 * 1024 * 1024;
/// Thousands of lines.
const MAX_TEXT_BYTES: u64 = 256 * 1024;
/// A file that changed less than this before it was read may change again within one tick of the file system's clock,
/// with the same size and the same time: it is read once more.
const SETTLED_AFTER_NANOSECONDS: i128 = 2_000_000_000;

#[derive(Debug)]
pub(in crate::sources) struct EventLogSource {
    path: PathBuf,
    must_exist: bool,
    log: Blocking<Log, Result<Vec<Evidence>, Trouble>>,
}

impl EventLogSource {
    pub(super) const fn new(path: PathBuf, must_exist: bool, deadline: Duration) -> Self {
        Self { path, must_exist, log: Blocking::new(Work::Host, deadline) }
    }

    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let fresh = || Log { path: self.path.clone(), must_exist: self.must_exist, read: None };
        let work = |log: &mut Log| log.look(platform::booted_at(), Timestamp::now());
        match self.log.run(fresh, work).await.flatten() {
            Ok(evidence) => (Observation::Host(evidence), None),
            Err(trouble) => (Observation::Nothing, Some(trouble)),
        }
    }
}

/// A log, and what was in it when it last changed.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    must_exist: bool,
    read: Option<Read>,
}

#[derive(Debug)]
struct Read {
    identity: FileIdentity,
    settled: bool,
    events: Vec<Event>,
}

impl Log {
    /// What the log says of now; nothing where it says nothing of this boot.
    fn look(&mut self, booted_at: Option<Timestamp>, now: Timestamp) -> Result<Vec<Evidence>, Trouble> {
        let identity = match platform::identify(&self.path) {
            Err(FileError::NotFound { .. }) if !self.must_exist => {
                self.read = None;
                return Ok(Vec::new());
            }
            identity => identity.map_err(|error| Trouble::new(error.reason(), error))?,
        };
        let known = self.read.take().filter(|read| read.settled && read.identity == identity);
        let read = match known {
            Some(read) => read,
            None => read(&self.path, now)?,
        };
        let read = self.read.insert(read);
        Ok(booted_at.map_or_else(Vec::new, |booted_at| fold(&read.events, booted_at, now)))
    }
}

fn read(path: &Path, now: Timestamp) -> Result<Read, Trouble> {
    let failed = |error: FileError| Trouble::new(error.reason(), error);
    let ends = platform::read_ends(path, java::MAGIC.len() as u64, MAX_TEXT_BYTES).map_err(failed)?;
    let (identity, events) = if ends.head == java::MAGIC {
        let file = platform::read_regular(path, MAX_STREAM_BYTES).map_err(failed)?;
        let events = java::events(&file.bytes).map_err(|error| {
            Trouble::new(MALFORMED, format!("{}: no event log that this program can follow: {error}", path.display()))
        })?;
        (file.identity, events)
    } else {
        (ends.identity, text::events(&ends.tail, ends.tail_at == 0, &TimeZone::system()))
    };
    let settled = now.as_nanosecond() - identity.changed > SETTLED_AFTER_NANOSECONDS;
    Ok(Read { identity, settled, events })
}

/// For the fuzzer: any bytes as a stream, and what they say folded.
pub fn fuzz_event_log(bytes: &[u8]) {
    if let Ok(events) = java::events(bytes) {
        let _ = fold(&events, Timestamp::UNIX_EPOCH, Timestamp::MAX);
    }
}

/// For the fuzzer: any bytes as text, and what they say folded.
pub fn fuzz_event_log_text(bytes: &[u8]) {
    for whole in [true, false] {
        let _ = fold(&text::events(bytes, whole, &TimeZone::UTC), Timestamp::MIN, Timestamp::MAX);
    }
}

#[cfg(test)]
mod tests;
