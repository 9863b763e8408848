//! The alerts of a product that is looked at through them: mails in folders and boxes, and logs that were exported.
//!
//! ```text
//!   AlertSource (deadline) ──> Reader ──walk──> files, those that changed ──mailbox──> mail ──text──> entry ──> Ledger ──> AlertCounts
//!                                                                        └──────────> log ────────────┘
//! ```
//!
//! What is told is what lies there, each alert once: a mail that is moved from `new` to `cur`, a box that is written again and a second
//! export of a log change nothing, nor does a start of this program. A file that has changed is read again; of a large one, its end.

mod entry;
mod ledger;
mod log;
mod mail;
mod mailbox;
mod text;

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kagiban_agents::{Component, Concern, Guide, guide};

use self::entry::{Entry, Reading};
use self::ledger::{KEPT, Ledger};
use super::blocking::Blocking;
use super::files::{CandidateFile, find};
use crate::blocking::Work;
use crate::config::{AgentConfig, EngineStart, ObserveConfig, PathPattern};
use crate::platform::{self, FileEnds, FileError, FileIdentity};
use crate::snapshot::{AlertCounts, AlertsSeen, Label, Observation, ReleaseSeen, Trouble};

/// Every reason that a look can fail for.
pub(super) const REASONS: &[&str] = &[
    "busy",
    "not_found",
    "not_regular",
    "panic",
    "permission_denied",
    "read_failed",
    "symlink_loop",
    "timeout",
    "too_many_files",
    "unfinished",
];

/// A first look at thousands of mails takes a second or two.
const DEADLINE: Duration = Duration::from_secs(20);
/// An alert is a page of text. Whatever is larger, or comes with an attachment, is none.
const MAX_MAIL: usize = 256 * 1024;
/// Of a box or a log, its end: more than is written in a day. A host with more of them in a minute has another fault.
const MAX_END: u64 = 16 * 1024 * 1024;
/// The mails of a box: ten thousand alerts are more than a day's.
const MAX_IN_BOX: usize = 10_000;
/// Files that are looked for, in all folders and by all patterns.
const MAX_FILES: usize = 20_000;
/// Files that are read in one look, and their bytes: the rest waits for the next.
const MAX_READ: usize = 4_000;
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// A file that changed less than this before it was read may change again within one tick of the file system's clock,
/// with the same size and the same time: it is read once more.
const SETTLED_AFTER_NANOSECONDS: i128 = 2_000_000_000;
/// Of a maildir: mails that somebody has seen, and those that nobody has.
const FOLDERS: [&str; 2] = ["new", "cur"];

/// Looks at the alerts of one agent.
#[derive(Debug)]
pub(super) struct AlertSource {
    agent: AgentConfig,
    observe: ObserveConfig,
    guide: Option<&'static Guide>,
    reading: Reading,
    reader: Blocking<Reader, Told>,
}

/// What one look brought.
#[derive(Debug)]
struct Told {
    counts: Result<AlertCounts, Trouble>,
    booted_at: Option<Timestamp>,
}

impl AlertSource {
    /// None of a product that has no alerts.
    pub(super) fn new(agent: &AgentConfig) -> Option<Self> {
        let facts = agent.product.facts().alerts?;
        Some(Self {
            agent: agent.clone(),
            observe: agent.observe.clone()?,
            guide: guide(agent.product.id()),
            reading: Reading { facts, zone: TimeZone::system() },
            reader: Blocking::new(Work::Files, DEADLINE),
        })
    }

    pub(super) const fn interval(&self) -> Duration {
        self.observe.interval.as_duration()
    }

    /// What the configuration says of the product is told whatever becomes of the files.
    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let fresh = || Reader::new(&self.observe, self.reading.clone());
        let work =
            |reader: &mut Reader| Told { counts: reader.look(Timestamp::now()), booted_at: platform::booted_at() };
        let told = self.reader.run(fresh, work).await;
        let told = told.unwrap_or_else(|trouble| Told { counts: Err(trouble), booted_at: None });
        let (counts, trouble) = match told.counts {
            Ok(counts) => (self.observe.names_files().then_some(counts), None),
            Err(trouble) => (None, Some(trouble)),
        };
        (Observation::Alerts(self.seen(counts, told.booted_at)), trouble)
    }

    fn seen(&self, counts: Option<AlertCounts>, booted_at: Option<Timestamp>) -> AlertsSeen {
        let releases = self.releases();
        let engine_stop = self.engine_stop(&releases, booted_at);
        let is_false = self.reading.facts.false_by;
        let has = |seen: &ReleaseSeen| seen.problems().iter().any(|problem| problem.reason == is_false);
        let folder_is_false = releases.iter().any(has);
        let (agent, product) = (Label::new(self.agent.name.as_str()), self.agent.product);
        AlertsSeen { agent, product, releases, engine_stop, folder_is_false, counts }
    }

    /// One for each component that is named.
    fn releases(&self) -> Vec<ReleaseSeen> {
        let Some((guide, version)) = self.guide.zip(self.observe.version.as_ref()) else { return Vec::new() };
        let situation = self.observe.situation();
        let components = self.observe.components.iter().filter_map(|id| guide.component(id));
        let seen = |component: &'static Component| ReleaseSeen {
            agent: Some(Label::new(self.agent.name.as_str())),
            product: self.agent.product,
            part: component.id,
            directory: None,
            version: Some(Label::new(version.as_str())),
            concern: Concern::of_version(guide, version.as_str(), component, &situation),
            installed_at: None,
            keystores: Vec::new(),
        };
        components.map(seen).collect()
    }

    /// When the engine may stop: of a component that the notice has seen stop, with as many clients as are named, by the time at which it
    /// was started.
    fn engine_stop(&self, releases: &[ReleaseSeen], booted_at: Option<Timestamp>) -> Option<Timestamp> {
        let seen_after = releases.iter().find_map(|seen| seen.concern.as_ref()?.seen_after())?;
        let started_at = match self.observe.engine_started_at {
            EngineStart::Boot => booted_at?,
            EngineStart::At(at) => at,
        };
        started_at.checked_add(seen_after.forecast(self.observe.clients?)).ok()
    }
}

/// Who reads the files, and what is known of them.
#[derive(Debug)]
struct Reader {
    mails: Vec<PathPattern>,
    logs: Vec<PathPattern>,
    reading: Reading,
    /// The files that were read, and which they were then.
    known: HashMap<PathBuf, FileIdentity>,
    ledger: Ledger,
}

/// What a look may still read.
struct Budget {
    files: usize,
    bytes: u64,
}

/// What lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Mails,
    Log,
}

/// A file that is looked at.
struct Place {
    file: CandidateFile,
    holds: Holds,
}

impl Reader {
    fn new(observe: &ObserveConfig, reading: Reading) -> Self {
        let (mails, logs) = (observe.mails.clone(), observe.logs.clone());
        Self { mails, logs, reading, known: HashMap::new(), ledger: Ledger::default() }
    }

    /// Reads what is new. Where something cannot be looked at nothing is counted: a zero would be a guess.
    fn look(&mut self, now: Timestamp) -> Result<AlertCounts, Trouble> {
        let (places, mut trouble) = self.places();
        let mut known = std::mem::take(&mut self.known);
        let mut left = Budget { files: MAX_READ, bytes: MAX_BYTES };
        for Place { file, holds } in places {
            let before = known.remove(&file.path);
            match self.read(&file, holds, before, &mut left, now) {
                Ok(Some(identity)) => {
                    self.known.insert(file.path, identity);
                }
                Ok(None) => {}
                // It was moved or removed while we looked.
                Err(error) if error.reason == "not_found" && !file.must_exist => {}
                Err(error) => {
                    trouble.get_or_insert(error);
                }
            }
        }
        match trouble {
            Some(trouble) => Err(trouble),
            None => Ok(self.ledger.counts(now)),
        }
    }

    /// The files that are there, and what kept the search from being a whole one.
    fn places(&self) -> (Vec<Place>, Option<Trouble>) {
        let (mut places, mut first, mut patterns) = (Vec::new(), None, Vec::new());
        for pattern in &self.mails {
            match pattern {
                PathPattern::Exact(path) if is_maildir(path) => {
                    let room = MAX_FILES.saturating_sub(places.len());
                    let (files, trouble) = in_maildir(path, room);
                    places.extend(files.into_iter().map(|file| Place { file, holds: Holds::Mails }));
                    first = first.or(trouble);
                }
                other => patterns.push(other.clone()),
            }
        }
        for (patterns, holds) in [(&patterns, Holds::Mails), (&self.logs, Holds::Log)] {
            let found = find(patterns, &[], MAX_FILES.saturating_sub(places.len()));
            places.extend(found.places.into_iter().map(|file| Place { file, holds }));
            first = first.or(found.trouble);
        }
        (places, first)
    }

    /// Reads a file unless it is the one that was read before; which it is, if it need not be read again.
    fn read(
        &mut self,
        file: &CandidateFile,
        holds: Holds,
        before: Option<FileIdentity>,
        left: &mut Budget,
        now: Timestamp,
    ) -> Result<Option<FileIdentity>, Trouble> {
        let path = &file.path;
        let failed = |error: FileError| Trouble::new(known_reason(error.reason()), error);
        let identity = platform::identify(path).map_err(failed)?;
        if before.is_some_and(|before| before == identity) || !file.must_exist && is_old(&identity, now) {
            return Ok(Some(identity));
        }
        if left.files == 0 || left.bytes < identity.size.min(MAX_END) {
            let said = format!("{}: more lies there than is read in one look; the next goes on", path.display());
            return Err(Trouble::new("unfinished", said));
        }
        let ends = platform::read_ends(path, 0, MAX_END).map_err(failed)?;
        left.files -= 1;
        left.bytes = left.bytes.saturating_sub(ends.tail.len() as u64);
        self.take(&ends, holds, now);
        let is_settled = now.as_nanosecond() - ends.identity.changed > SETTLED_AFTER_NANOSECONDS;
        Ok(is_settled.then_some(ends.identity))
    }

    fn take(&mut self, ends: &FileEnds, holds: Holds, now: Timestamp) {
        let arrived = Timestamp::from_nanosecond(ends.identity.modified).unwrap_or(now);
        for (digest, entry) in alerts(&ends.tail, ends.tail_at == 0, holds, &self.reading) {
            self.ledger.note(&entry, digest, arrived, now);
        }
    }
}

/// The alerts of a file's end, each with a number that two texts do not share by chance.
fn alerts(bytes: &[u8], is_whole: bool, holds: Holds, reading: &Reading) -> Vec<(u64, Entry)> {
    let texts = match holds {
        // A row that was cut tells nothing that is not so.
        Holds::Log => return numbered(0, log::entries(bytes, reading)),
        Holds::Mails if !is_whole || mailbox::is_box(bytes) => mailbox::mails(bytes, MAX_IN_BOX),
        Holds::Mails => vec![bytes],
    };
    let mails = texts.into_iter().filter(|mail| mail.len() <= MAX_MAIL);
    mails.flat_map(|mail| numbered(digest(&mail), mail::entries(mail, reading))).collect()
}

fn numbered(of_text: u64, entries: Vec<Entry>) -> Vec<(u64, Entry)> {
    entries.into_iter().enumerate().map(|(at, entry)| (digest(&(of_text, at)), entry)).collect()
}

fn digest(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Whether nothing in it is told any more.
fn is_old(identity: &FileIdentity, now: Timestamp) -> bool {
    now.as_nanosecond() - identity.modified > i128::try_from(KEPT.as_nanos()).unwrap_or(i128::MAX)
}

fn is_maildir(path: &Path) -> bool {
    FOLDERS.iter().any(|folder| path.join(folder).is_dir())
}

/// The mails of a maildir. A mail is whole when it comes there.
fn in_maildir(path: &Path, room: usize) -> (Vec<CandidateFile>, Option<Trouble>) {
    let (mut files, mut trouble) = (Vec::new(), None);
    for folder in FOLDERS.map(|folder| path.join(folder)) {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                let error = FileError::from_io(&folder, error);
                trouble.get_or_insert(Trouble::new(known_reason(error.reason()), error));
                continue;
            }
        };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|it| it.is_file())) {
            if files.len() == room {
                let said = format!("{}: more than {MAX_FILES} mails; move those that are old", path.display());
                trouble.get_or_insert(Trouble::new("too_many_files", said));
                break;
            }
            files.push(CandidateFile { path: entry.path(), must_exist: false, is_listed: true });
        }
    }
    (files, trouble)
}

/// Those of a file that is replaced do not occur.
fn known_reason(reason: &'static str) -> &'static str {
    REASONS.iter().find(|known| **known == reason).copied().unwrap_or("read_failed")
}

/// Any bytes as what a mail file may hold.
#[doc(hidden)]
pub fn fuzz_alert_mail(bytes: &[u8]) {
    fuzz(bytes, Holds::Mails);
}

/// Any bytes as an exported log.
#[doc(hidden)]
pub fn fuzz_alert_log(bytes: &[u8]) {
    fuzz(bytes, Holds::Log);
}

fn fuzz(bytes: &[u8], holds: Holds) {
    let facts = kagiban_agents::Product::ALL.iter().find_map(|product| product.facts().alerts);
    let Some(facts) = facts else { return };
    let reading = Reading { facts, zone: TimeZone::UTC };
    let (mut ledger, now) = (Ledger::default(), Timestamp::constant(1_750_000_000, 0));
    for is_whole in [true, false] {
        for (digest, entry) in alerts(bytes, is_whole, holds, &reading) {
            ledger.note(&entry, digest, now, now);
        }
    }
    let counts = ledger.counts(now);
    assert!(counts.senders.len() <= ledger::MAX_SENDERS);
}

#[cfg(test)]
mod tests;
