//! Who reads the mails and logs, and what is known of the files.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::client_log::{ClientLog, ClientLogReading, LogFault};
use super::entry::{AlertReading, Entry};
use super::ledger::{KEPT, Ledger, locked};
use super::mailbox::Boxed;
use super::{REASONS, log, mail, mailbox};
use crate::config::PathPattern;
use crate::platform::{self, FileEnds, FileError, FileIdentity};
use crate::snapshot::Trouble;
use crate::sources::files::{CandidateFile, find};
use crate::sources::text::digest;
use crate::trouble::one_of;

/// An alert is a page of text. Whatever is larger, or comes with an attachment, is none.
pub(super) const MAX_MAIL: usize = 256 * 1024;
/// Of a box or a log, its end: more than is written in a day. A host with more of them in a minute has another fault.
const MAX_END: u64 = 16 * 1024 * 1024;
/// The mails of a box: ten thousand alerts are more than a day's.
const MAX_IN_BOX: usize = 10_000;
/// Files that are looked for, in all folders and by all patterns.
const MAX_FILES: usize = 20_000;
/// Files of a maildir, those that are too old or too large among them.
const MAX_LISTED: usize = 10 * MAX_FILES;
/// Files that are read in one look, and their bytes: the rest waits for the next.
const MAX_READ: usize = 4_000;
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// A file that changed less than this before it was read may change again within one tick of the file system's clock,
/// with the same size and the same time: it is read once more.
const SETTLED_AFTER_NANOSECONDS: u128 = 2_000_000_000;
/// Of a maildir: mails that somebody has seen, and those that nobody has.
const FOLDERS: [&str; 2] = ["new", "cur"];

/// Who reads the files, and what is known of them.
#[derive(Debug)]
pub(super) struct Reader {
    mails: Vec<PathPattern>,
    logs: Vec<PathPattern>,
    reading: Reading,
    /// The files that were read, and which they were then.
    known: HashMap<(PathBuf, Holds), Known>,
    /// Where the last look had read enough: the next begins there, so that no file waits for ever.
    stopped_at: Option<PathBuf>,
    ledger: Arc<Mutex<Ledger>>,
}

/// How what lies in a file is read.
#[derive(Clone, Debug)]
pub(super) enum Reading {
    /// As alerts, by the words of a vendor's notice.
    Alerts(AlertReading),
    /// As the log of a product's clients, by the words of the configuration. No mails are named with it.
    ClientLog(ClientLogReading),
}

/// What is known of a file that was read.
#[derive(Clone, Debug)]
struct Known {
    identity: FileIdentity,
    /// Why not all of it could be read: that stays so until it changes.
    fault: Option<Trouble>,
}

/// What a look came to.
#[derive(Debug)]
pub(super) struct Looked {
    /// What kept it from being a whole one.
    pub(super) trouble: Option<Trouble>,
    /// Of each pattern of logs, in their order, when the newest of its files changed.
    pub(super) newest: Vec<Option<Timestamp>>,
}

/// What a look may still read.
struct Budget {
    files: usize,
    bytes: u64,
}

/// What lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holds {
    Mails,
    Log,
}

/// A file that is looked at.
struct Place {
    file: CandidateFile,
    holds: Holds,
}

impl Reader {
    pub(super) fn new(
        mails: Vec<PathPattern>,
        logs: Vec<PathPattern>,
        reading: Reading,
        ledger: Arc<Mutex<Ledger>>,
    ) -> Self {
        Self { mails, logs, reading, known: HashMap::new(), stopped_at: None, ledger }
    }

    /// Reads what is new.
    pub(super) fn look(&mut self, now: Timestamp) -> Looked {
        let (mut places, mut trouble) = self.places(now);
        let stopped = self.stopped_at.take();
        let begins_at = places.iter().position(|place| Some(&place.file.path) == stopped.as_ref());
        places.rotate_left(begins_at.unwrap_or_default());
        let (mut known, mut newest) = (std::mem::take(&mut self.known), vec![None; self.logs.len()]);
        let mut left = Budget { files: MAX_READ, bytes: MAX_BYTES };
        for Place { file, holds } in places {
            let key = (file.path.clone(), holds);
            match self.read(&file, holds, known.remove(&key), &mut left, now) {
                Ok((read, is_settled)) => {
                    if holds == Holds::Log {
                        let of_file =
                            self.logs.iter().zip(&mut newest).filter(|(pattern, _)| pattern.is_of(&file.path));
                        of_file.for_each(|(_, newest)| *newest = (*newest).max(Some(read.identity.modified)));
                    }
                    trouble = trouble.or_else(|| read.fault.clone());
                    if is_settled {
                        self.known.insert(key, read);
                    }
                }
                // It was moved or removed while we looked.
                Err(error) if error.reason == "not_found" && !file.must_exist => {}
                Err(error) => {
                    trouble.get_or_insert(error);
                }
            }
        }
        let newest = newest.into_iter().map(|at| Timestamp::from_nanosecond(at?).ok()).collect();
        Looked { trouble, newest }
    }

    /// The files that are there, each once, and what kept the search from being a whole one.
    fn places(&self, now: Timestamp) -> (Vec<Place>, Option<Trouble>) {
        let (mut places, mut first, mut patterns) = (Vec::new(), None, Vec::new());
        for pattern in &self.mails {
            match pattern {
                PathPattern::Exact(path) if is_maildir(path) => {
                    let room = MAX_FILES.saturating_sub(places.len());
                    let (files, trouble) = in_maildir(path, room, now);
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
        let mut taken = HashSet::new();
        places.retain(|place| taken.insert((place.file.path.clone(), place.holds)));
        (places, first)
    }

    /// Reads a file unless it is the one that was read before; what is known of it then, and whether it need not be read again.
    fn read(
        &mut self,
        file: &CandidateFile,
        holds: Holds,
        before: Option<Known>,
        left: &mut Budget,
        now: Timestamp,
    ) -> Result<(Known, bool), Trouble> {
        let path = &file.path;
        let failed = |error: FileError| Trouble::new(known_reason(error.reason()), error);
        let identity = platform::identify(path).map_err(failed)?;
        if let Some(before) = before.filter(|before| before.identity == identity) {
            return Ok((before, true));
        }
        if !file.must_exist && is_old(identity.modified, now) {
            return Ok((Known { identity, fault: None }, true));
        }
        if left.files == 0 || left.bytes < identity.size.min(MAX_END) {
            self.stopped_at.get_or_insert_with(|| path.clone());
            let said = format!("{}: more lies there than is read in one look; the next goes on", path.display());
            return Err(Trouble::new("unfinished", said));
        }
        let ends = platform::read_ends(path, 0, MAX_END).map_err(failed)?;
        left.files -= 1;
        left.bytes = left.bytes.saturating_sub(ends.tail.len() as u64);
        let fault = self.take(&ends, holds, now);
        let fault = fault.map(|fault| Trouble::new(fault.reason(), format!("{}: {fault}", path.display())));
        let is_settled = is_settled(&ends.identity, now);
        Ok((Known { identity: ends.identity, fault }, is_settled))
    }

    fn take(&self, ends: &FileEnds, holds: Holds, now: Timestamp) -> Option<LogFault> {
        let arrived = Timestamp::from_nanosecond(ends.identity.modified).unwrap_or(now);
        let Taken { entries, fault } = taken(&ends.tail, ends.tail_at == 0, holds, &self.reading);
        let mut ledger = locked(&self.ledger);
        for (digest, entry) in entries {
            ledger.note(&entry, digest, arrived, now);
        }
        fault
    }
}

/// What is taken from a file.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Each with a number that two texts do not share by chance.
    pub(super) entries: Vec<(u64, Entry)>,
    pub(super) fault: Option<LogFault>,
}

/// What a file's end tells.
pub(super) fn taken(bytes: &[u8], is_whole: bool, holds: Holds, reading: &Reading) -> Taken {
    match (reading, holds) {
        // A row that was cut tells nothing that is not so.
        (Reading::Alerts(reading), Holds::Log) => {
            let (entries, fault) = log::read(bytes, is_whole, reading);
            Taken { entries, fault }
        }
        (Reading::Alerts(reading), Holds::Mails) => Taken { entries: of_mails(bytes, is_whole, reading), fault: None },
        // Without its beginning it has no heading, and where the newest entries stand is not known.
        (Reading::ClientLog(_), Holds::Log) if !is_whole => {
            Taken { fault: Some(LogFault::TooLarge), ..Taken::default() }
        }
        (Reading::ClientLog(reading), Holds::Log) => {
            let ClientLog { failures, fault } = reading.read(bytes);
            Taken { entries: failures, fault }
        }
        (Reading::ClientLog(_), Holds::Mails) => Taken::default(),
    }
}

fn of_mails(bytes: &[u8], is_whole: bool, reading: &AlertReading) -> Vec<(u64, Entry)> {
    let mails = if !is_whole || mailbox::is_box(bytes) {
        mailbox::mails(bytes, MAX_IN_BOX)
    } else {
        vec![Boxed::single(bytes)]
    };
    mails.into_iter().filter(|it| it.mail.len() <= MAX_MAIL).flat_map(|it| of_mail(it, reading)).collect()
}

/// An alert that does not tell when it was is as old as its mail.
fn of_mail(boxed: Boxed<'_>, reading: &AlertReading) -> Vec<(u64, Entry)> {
    let sent_at = || mail::sent_at(boxed.mail).or_else(|| boxed.came_at());
    // The last mail of a box has an empty line after it once there is another.
    let of_text = digest(boxed.mail.trim_ascii_end());
    let entries = mail::entries(boxed.mail, reading).into_iter().enumerate();
    entries.map(|(at, entry)| (digest(&(of_text, at)), Entry { at: entry.at.or_else(sent_at), ..entry })).collect()
}

/// Whether nothing in a file of this time is told any more.
fn is_old(modified: i128, now: Timestamp) -> bool {
    now.as_nanosecond() - modified > i128::try_from(KEPT.as_nanos()).unwrap_or(i128::MAX)
}

/// A time ahead of ours is that of another clock: it says as little of the next tick as one long ago.
fn is_settled(identity: &FileIdentity, now: Timestamp) -> bool {
    (now.as_nanosecond() - identity.changed).unsigned_abs() > SETTLED_AFTER_NANOSECONDS
}

fn is_maildir(path: &Path) -> bool {
    FOLDERS.iter().any(|folder| path.join(folder).is_dir())
}

/// The mails of a maildir that can be alerts: who sends old ones or large ones takes no room from others. A mail is whole when it comes
/// there.
fn in_maildir(path: &Path, room: usize, now: Timestamp) -> (Vec<CandidateFile>, Option<Trouble>) {
    let (mut files, mut trouble, mut listed) = (Vec::new(), None, 0);
    for folder in FOLDERS.map(|folder| path.join(folder)) {
        let failed = |error| {
            let error = FileError::from_io(&folder, error);
            Trouble::new(known_reason(error.reason()), error)
        };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                trouble.get_or_insert(failed(error));
                continue;
            }
        };
        for entry in entries {
            listed += 1;
            if files.len() == room || listed > MAX_LISTED {
                let said = format!("{}: more than {MAX_FILES} mails; move those that are old", path.display());
                trouble.get_or_insert(Trouble::new("too_many_files", said));
                break;
            }
            match entry.and_then(|entry| Ok((entry.path(), entry.metadata()?))) {
                Ok((path, metadata)) => {
                    if metadata.is_file() && metadata.len() <= MAX_MAIL as u64 && !is_old(modified(&metadata, now), now)
                    {
                        files.push(CandidateFile { path, must_exist: false, is_listed: true });
                    }
                }
                // It was moved or removed while we looked.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    trouble.get_or_insert(failed(error));
                }
            }
        }
    }
    (files, trouble)
}

fn modified(metadata: &fs::Metadata, now: Timestamp) -> i128 {
    let told = metadata.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
    told.unwrap_or(now).as_nanosecond()
}

/// Those of a file that is replaced do not occur.
fn known_reason(reason: &'static str) -> &'static str {
    one_of(REASONS, reason, "read_failed")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::config::LogColumns;

    #[test]
    fn a_file_is_read_once_more_where_it_changed_just_now_and_not_where_its_clock_is_ahead() {
        let now = Timestamp::constant(1_750_000_000, 0);
        for (seconds, settled) in [(-3600, true), (-3, true), (-1, false), (0, false), (1, false), (3600, true)] {
            let changed = now.as_nanosecond() + seconds * 1_000_000_000;
            let identity = FileIdentity { device: 0, inode: 0, size: 0, modified: changed, changed };
            assert_eq!(is_settled(&identity, now), settled, "{seconds}");
        }
    }
    #[test]
    fn why_a_log_of_clients_cannot_be_counted_is_told_until_it_changes() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log.csv");
        fs::write(&path, "When,Who\n").expect("a file");
        let pattern = PathPattern::parse(&path.display().to_string()).expect("a path");
        let reading = ClientLogReading::of(&["failed".to_owned()], LogColumns::default(), TimeZone::UTC);
        let mut reader = Reader::new(Vec::new(), vec![pattern], Reading::ClientLog(reading), Arc::default());
        // Late enough for the file to be settled, so that it is read once.
        let later = Timestamp::now() + Duration::from_mins(1);
        for _ in 0..2 {
            let Looked { trouble, newest } = reader.look(later);
            assert_eq!(trouble.map(|it| it.reason), Some("unknown_format"));
            assert!(matches!(newest[..], [Some(_)]), "{newest:?}");
        }
        assert_eq!(reader.known.len(), 1);
        fs::write(&path, "Time,Computer\n").expect("a file");
        assert!(reader.look(later).trouble.is_none());
    }
}
