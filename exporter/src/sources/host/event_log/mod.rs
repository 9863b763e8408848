//! The event log of a PowerChute agent.
//!
//! ```text
//!   EventLogSource (deadline) ──> Log ──identity changed?──> java │ text ──> Event, in the order of writing
//!                                  └──────────────────── Followed (what is new, boot, now) ──> Evidence
//!   ApplicationLogSource (deadline) ──newest record changed?──> numbered ──┘
//! ```
//!
//! `EventLog` of PowerChute Serial Shutdown and Business Edition is a Java serialization stream, `EventLog.txt` of PowerChute
//! Network Shutdown is text. They are told apart by content.
//!
//! The vendor documents neither. The classes, fields and numbers of the stream are those that a public reader of such
//! files uses; no log of a real agent was at hand, and the writer in `exporter/tests/event_log` is a double. Of the text
//! not even one line is published: a line counts only when it is a date and then, whole, the name of an event, and no text makes
//! the host one whose shutdown has begun. Where the agent speaks SNMP, its critical flag is the better witness.
//!
//! On Windows the agent also writes to the Application log. What its numbers mean is known from public lists of them alone.

mod event;
mod fold;
mod java;
mod link;
mod numbered;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(in crate::sources) use self::link::{LinkSince, UpsLink};

use self::event::LogEvent;
use self::fold::Followed;
use self::numbered::{Course, Reading};
use crate::blocking::Work;
use crate::platform::{self, EventLogError, FileError, FileIdentity};
use crate::shutdown::Evidence;
use crate::snapshot::{Observation, Trouble};
use crate::sources::blocking::Blocking;

/// The reason of a log in which more was written than is read.
pub(super) const PASSED_OVER: &str = "events_passed_over";
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

/// What a log has told of this boot, and what is wrong with it.
type Seen = (Vec<Evidence>, Option<Trouble>);

/// The Application log of Windows, for what an agent of PowerChute writes there.
#[derive(Debug)]
pub(in crate::sources) struct ApplicationLogSource {
    must_exist: bool,
    deadline: Duration,
    reading: Blocking<Reading, Result<Seen, Trouble>>,
}

impl ApplicationLogSource {
    /// Its source's name, and what it is followed by beside the paths of other logs.
    pub(super) const NAME: &'static str = "Application/APCPBEAgent";

    pub(super) const fn new(must_exist: bool, deadline: Duration) -> Self {
        Self { must_exist, deadline, reading: Blocking::new(Work::Host, deadline) }
    }

    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        // The log is given up before the look is.
        let (must_exist, deadline) = (self.must_exist, self.deadline * 3 / 4);
        let work = move |reading: &mut Reading| {
            let seen = look_at_application_log(reading, must_exist, deadline);
            seen.map_err(|error| Trouble::new(error.reason(), error))
        };
        match self.reading.run(Reading::default, work).await.flatten() {
            Ok((evidence, trouble)) => (Observation::Host(evidence), trouble),
            Err(trouble) => (Observation::Nothing, Some(trouble)),
        }
    }
}

/// What the agent has written of this boot, and whether some of it was not seen. As of other logs, what was told stands when the log is
/// cleared or the agent removed.
fn look_at_application_log(reading: &mut Reading, must_exist: bool, deadline: Duration) -> Result<Seen, EventLogError> {
    let (name, until) = (Path::new(ApplicationLogSource::NAME), Instant::now() + deadline);
    match check_application_log() {
        Err(EventLogError::NoProvider { .. }) if !must_exist => {
            return Ok((with_followed(name, |followed| followed.evidence()), None));
        }
        checked => checked?,
    }
    let ask = |question: &str| platform::event_records(question, until.saturating_duration_since(Instant::now()));
    let newest = ask(numbered::NEWEST)?.next().transpose()?;
    let course = reading.go_on(newest, |since| ask(&numbered::question(since)))?;
    let trouble = passed_over(course);
    if course == Course::BegunAnew {
        tracing::info!(
            log = ApplicationLogSource::NAME,
            "event log no longer has the record that was read last: read anew"
        );
    }
    let Some(booted_at) = platform::booted_at() else { return Ok((Vec::new(), trouble)) };
    let evidence = with_followed(name, |followed| {
        followed.follow(&reading.events, booted_at, Timestamp::now());
        followed.evidence()
    });
    Ok((evidence, trouble))
}

/// What was seen counts, and what was not seen is told.
fn passed_over(course: Course) -> Option<Trouble> {
    match course {
        Course::Continued | Course::BegunAnew => None,
        Course::PassedOver => Some(Trouble::new(
            PASSED_OVER,
            format!(
                "{}: more than {} events were written between two looks, and those before the newest were passed over; no agent writes as \
                 many, so find out which program does, and ask the UPS itself too",
                ApplicationLogSource::NAME,
                numbered::MAX_RECORDS,
            ),
        )),
    }
}

/// Whether the agent is known to the log.
pub(crate) fn check_application_log() -> Result<(), EventLogError> {
    if platform::has_event_provider(numbered::PROVIDER)? {
        Ok(())
    } else {
        Err(EventLogError::NoProvider { log: "Application", provider: numbered::PROVIDER.to_owned() })
    }
}

/// What every log has told since this program was started: a reload of the configuration, or a look that hung, forgets nothing.
/// A process does not outlive the boot that its events are of.
static FOLLOWED: Mutex<BTreeMap<PathBuf, Followed>> = Mutex::new(BTreeMap::new());

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
    events: Vec<LogEvent>,
}

impl Log {
    /// What the log has told of this boot. What was told stands when the log is emptied, begun anew or not there.
    fn look(&mut self, booted_at: Option<Timestamp>, now: Timestamp) -> Result<Vec<Evidence>, Trouble> {
        let identity = match platform::identify(&self.path) {
            Err(FileError::NotFound { .. }) if !self.must_exist => {
                self.read = None;
                return Ok(with_followed(&self.path, |followed| followed.evidence()));
            }
            identity => identity.map_err(|error| Trouble::new(error.reason(), error))?,
        };
        let known = self.read.take().filter(|read| read.settled && read.identity == identity);
        let read = match known {
            Some(read) => read,
            None => read(&self.path, booted_at, now)?,
        };
        let read = self.read.insert(read);
        let Some(booted_at) = booted_at else { return Ok(Vec::new()) };
        Ok(with_followed(&self.path, |followed| {
            followed.follow(&read.events, booted_at, now);
            followed.evidence()
        }))
    }
}

/// What a log says of the agent's link to its UPS in this boot. It is a log of the past: an agent that has crashed has written nothing of
/// that. Blocks on the file system.
///
/// # Errors
/// When the log cannot be read; one that is not there tells nothing.
pub(in crate::sources) fn ups_link(path: &Path, since: LinkSince) -> Result<UpsLink, Trouble> {
    let now = Timestamp::now();
    let Some(booted_at) = platform::booted_at() else { return Ok(UpsLink::Untold) };
    match platform::identify(path) {
        Err(FileError::NotFound { .. }) => Ok(UpsLink::Untold),
        Err(error) => Err(Trouble::new(error.reason(), error)),
        Ok(_) => Ok(link::link(&read(path, Some(booted_at), now)?.events, booted_at, since, now)),
    }
}

/// Not while a file is read: that may hang.
fn with_followed<T>(path: &Path, work: impl FnOnce(&mut Followed) -> T) -> T {
    let mut all = FOLLOWED.lock().unwrap_or_else(PoisonError::into_inner);
    work(all.entry(path.to_owned()).or_default())
}

fn read(path: &Path, booted_at: Option<Timestamp>, now: Timestamp) -> Result<Read, Trouble> {
    let failed = |error: FileError| Trouble::new(error.reason(), error);
    let ends = platform::read_ends(path, java::MAGIC.len() as u64, MAX_TEXT_BYTES).map_err(failed)?;
    let (identity, events) = if ends.head == java::MAGIC {
        let file = platform::read_regular(path, MAX_STREAM_BYTES).map_err(failed)?;
        let events = java::events(&file.bytes).map_err(|error| {
            Trouble::new(MALFORMED, format!("{}: no event log that this program can follow: {error}", path.display()))
        })?;
        (file.identity, events)
    } else {
        (
            ends.identity,
            text::events(&ends.tail, ends.tail_at == 0, &text::Clock { zone: TimeZone::system(), booted_at, now }),
        )
    };
    let settled = now.as_nanosecond() - identity.changed > SETTLED_AFTER_NANOSECONDS;
    Ok(Read { identity, settled, events })
}

/// For the fuzzer: any bytes as a stream, and what they say folded.
pub fn fuzz_event_log(bytes: &[u8]) {
    if let Ok(events) = java::events(bytes) {
        let mut followed = Followed::default();
        followed.follow(&events, Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let _ = followed.evidence();
    }
}

/// For the fuzzer: any bytes as text, and what they say folded.
pub fn fuzz_event_log_text(bytes: &[u8]) {
    for whole in [true, false] {
        let mut followed = Followed::default();
        followed.follow(&text::events(bytes, whole, &text::Clock::of(TimeZone::UTC)), Timestamp::MIN, Timestamp::MAX);
        let _ = followed.evidence();
    }
}

#[cfg(test)]
mod tests;
