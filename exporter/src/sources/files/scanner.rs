//! One look at the files of a rule, reading only those that are not the ones read before.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use jiff::Timestamp;
use kagiban_keystore::{Format, Limits, PasswordCheck, ReadError, Store};
use secrecy::SecretString;

use super::aside::Aside;
use super::password::{Password, PasswordSource};
use super::walk::{self, CandidateFile, WalkedFiles};
use crate::config::{Exclusion, PathPattern};
use crate::platform::{self, FileError, FileIdentity, FileRead};
use crate::snapshot::{Contents, FileSeen, FilesSeen, Flaws, Label, SeenCertificate, SkippedFiles, Trouble};

/// A file that changed less than this before it was read may change again within one tick of the file system's clock,
/// with the same size and the same time: it is read once more.
const SETTLED_AFTER_NANOSECONDS: i128 = 2_000_000_000;

/// Starting a thread costs what a handful of files do; below this nobody would notice.
const WORTH_A_THREAD: usize = 256;

/// What a scanner looks for.
#[derive(Clone, Debug)]
pub(crate) struct FileRule {
    pub(crate) paths: Paths,
    pub(crate) exclude: Vec<Exclusion>,
    pub(crate) password: PasswordSource,
    pub(crate) max_files: usize,
    /// One file that several paths lead to is taken once.
    pub(crate) distinct: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Paths {
    Patterns(Vec<PathPattern>),
    /// Names that one thing has had over its versions: those that are there, and at least one must be.
    AnyOf(Vec<PathBuf>),
}

/// What a look brought.
#[derive(Debug)]
pub(super) struct Scan {
    /// By path.
    pub(super) seen: FilesSeen,
    pub(super) trouble: Option<Trouble>,
}

#[derive(Debug)]
pub(super) struct Scanner {
    rule: FileRule,
    limits: Limits,
    password: Password,
    /// In the order of [`walk::order`].
    read: Vec<(PathBuf, Read)>,
}

/// What one path led to.
#[derive(Debug)]
enum Look {
    Absent,
    Failed(Arc<FileSeen>),
    Read(PathBuf, Read),
}

/// A file that was read, and which one it was.
#[derive(Debug)]
struct Read {
    identity: FileIdentity,
    settled: bool,
    seen: ScannedFile,
}

#[derive(Debug)]
enum ScannedFile {
    File(Arc<FileSeen>),
    /// A pattern led to it, and it is no certificate.
    Aside(Aside),
}

impl Scanner {
    pub(super) fn new(rule: FileRule) -> Self {
        Self { rule, limits: Limits::default(), password: Password::default(), read: Vec::new() }
    }

    pub(super) fn scan(&mut self) -> Scan {
        let mut found = self.find();
        match self.password.refresh(&self.rule.password) {
            Ok(false) => {}
            Ok(true) => self.read.clear(),
            Err(trouble) => {
                // Whatever the lost password opened must not be shown from memory.
                self.read.clear();
                found.trouble.get_or_insert(trouble);
            }
        }
        if self.rule.distinct {
            let mut taken = HashSet::new();
            let mut is_new = |id: FileIdentity| taken.insert((id.device, id.inode));
            found.places.retain(|place| platform::identify(&place.path).map_or(true, &mut is_new));
        }
        let places = walk::with_known(found.places, std::mem::take(&mut self.read));
        let looks = side_by_side(places, |(place, known)| self.look(place, known));
        let mut files = Vec::with_capacity(looks.len());
        let mut skipped = self.none_skipped();
        // Collected in the place of the looks: what is kept of ten thousand files is not in memory twice.
        self.read = looks
            .into_iter()
            .filter_map(|look| match look {
                Look::Absent => None,
                Look::Failed(seen) => {
                    files.push(seen);
                    None
                }
                Look::Read(path, read) => {
                    match &read.seen {
                        ScannedFile::File(seen) => files.push(Arc::clone(seen)),
                        ScannedFile::Aside(aside) => skipped.entry(aside.as_str()).or_default().take(&path),
                    }
                    Some((path, read))
                }
            })
            .collect();
        Scan { seen: FilesSeen { files, skipped }, trouble: found.trouble }
    }

    fn look(&self, CandidateFile { path, must_exist, is_listed }: CandidateFile, known: Option<Read>) -> Look {
        // A file that is not known is read without being asked first which one it is: reading tells that too.
        let unchanged = known
            .filter(|read| !(must_exist && matches!(read.seen, ScannedFile::Aside(_))))
            .filter(|read| read.settled && platform::identify(&path).is_ok_and(|identity| identity == read.identity));
        if let Some(read) = unchanged {
            return Look::Read(path, read);
        }
        let read = if is_listed { platform::read_listed } else { platform::read_regular };
        match self.read(&path, must_exist, read) {
            Ok(read) => Look::Read(path, read),
            Err(FileError::NotFound { .. }) if !must_exist => Look::Absent,
            // An access that was denied may be granted without the file changing: it is asked again.
            Err(error) => Look::Failed(Arc::new(failed(&path, None, Trouble::new(error.reason(), &error)))),
        }
    }

    fn find(&self) -> WalkedFiles {
        match &self.rule.paths {
            Paths::Patterns(patterns) => walk::find(patterns, &self.rule.exclude, self.rule.max_files),
            Paths::AnyOf(candidates) => {
                let there = candidates.iter().filter(|path| !is_absent(path));
                let mut found = WalkedFiles::default();
                found.take(there.map(|path| CandidateFile::named(path.clone())));
                let first = candidates.first().filter(|_| found.places.is_empty());
                found.trouble = first.map(|path| Trouble::new("not_found", format!("{}: not found", path.display())));
                found
            }
        }
    }

    /// Every kind, where a pattern may lead to one.
    fn none_skipped(&self) -> BTreeMap<&'static str, SkippedFiles> {
        let has_patterns = match &self.rule.paths {
            Paths::Patterns(patterns) => patterns.iter().any(|pattern| matches!(pattern, PathPattern::Glob { .. })),
            Paths::AnyOf(_) => false,
        };
        let kinds = Aside::ALL.into_iter().filter(|_| has_patterns);
        kinds.map(|aside| (aside.as_str(), SkippedFiles::default())).collect()
    }

    fn read(
        &self,
        path: &Path,
        is_named: bool,
        read: fn(&Path, u64) -> Result<FileRead, FileError>,
    ) -> Result<Read, FileError> {
        let file = read(path, u64::try_from(self.limits.max_bytes).unwrap_or(u64::MAX))?;
        let here = |t: Trouble| Trouble::new(t.reason, format!("{}: {}", path.display(), t.message));
        let parsed = parse(&file.bytes, self.password.secret(), &self.limits);
        let age = Timestamp::now().as_nanosecond() - file.identity.changed;
        let read = |seen| Read { identity: file.identity, settled: age > SETTLED_AFTER_NANOSECONDS, seen };
        if let Err(ReadFailure { aside: Some(aside), .. }) = parsed
            && !is_named
        {
            return Ok(read(ScannedFile::Aside(aside)));
        }
        let mut outcome = parsed.map_err(|unread| here(unread.trouble));
        if let Ok(contents) = &mut outcome {
            contents.system_trust = platform::system_trust(path);
            if let Some(flaws) = &mut contents.flaws {
                flaws.unread = std::mem::take(&mut flaws.unread).into_iter().map(here).collect();
            }
        }
        let modified = Some(seconds(file.identity.modified));
        let seen = FileSeen { path: Label::from_path(path), modified, outcome };
        Ok(read(ScannedFile::File(Arc::new(seen))))
    }
}

/// Maps in order, on two threads where that is worth a second one.
fn side_by_side<T: Send, U: Send>(mut items: Vec<T>, map: impl Fn(T) -> U + Sync) -> Vec<U> {
    if items.len() < WORTH_A_THREAD {
        return items.into_iter().map(map).collect();
    }
    let rest = items.split_off(items.len() / 2);
    let run = |items: Vec<T>| items.into_iter().map(&map).collect::<Vec<U>>();
    thread::scope(|scope| {
        let others = scope.spawn(|| run(rest));
        let mut mapped = run(items);
        mapped.extend(others.join().unwrap_or_else(|panic| resume_unwind(panic)));
        mapped
    })
}

fn is_absent(path: &Path) -> bool {
    matches!(platform::identify(path), Err(FileError::NotFound { .. }))
}

fn failed(path: &Path, modified: Option<f64>, trouble: Trouble) -> FileSeen {
    FileSeen { path: Label::from_path(path), modified, outcome: Err(trouble) }
}

/// Why a file gave no certificates.
struct ReadFailure {
    trouble: Trouble,
    /// What it is where it never was meant to give some.
    aside: Option<Aside>,
}

/// One file that trips over a bug of ours must not hide the others.
fn parse(bytes: &[u8], password: Option<&SecretString>, limits: &Limits) -> Result<Contents, ReadFailure> {
    let read = catch_unwind(AssertUnwindSafe(|| kagiban_keystore::read(bytes, password, limits))).map_err(|_| {
        let trouble = Trouble::new("panic", "reading it ended in a bug of this program, please report it");
        ReadFailure { trouble, aside: None }
    })?;
    let certificates = |store: Store| store.check_has_certificate().map(|()| store);
    let trouble = |error: &ReadError| match password {
        Some(_) if *error == ReadError::BadPassword && opens_unlocked(bytes, limits) => {
            let hint = "the empty one does: give it an entry of its own under `certificates`, without a password";
            Trouble::new(error.reason(), format!("the password does not open the store, and {hint}"))
        }
        _ => Trouble::new(error.reason(), error),
    };
    let store = read
        .and_then(certificates)
        .map_err(|error| ReadFailure { trouble: trouble(&error), aside: Aside::of(bytes, &error) })?;
    let flaws = Flaws::of(&store.faults, store.certificates());
    let verified = password_verified(store.format, store.password);
    let whole = Contents::whole(store.format.as_str(), verified, SeenCertificate::stored(&store.entries));
    let password_empty = store.password == PasswordCheck::Empty;
    Ok(Contents { password_empty, flaws, ..whole })
}

/// Whether the empty password opens the store.
fn opens_unlocked(bytes: &[u8], limits: &Limits) -> bool {
    kagiban_keystore::read(bytes, None, limits).is_ok_and(|store| store.password == PasswordCheck::Empty)
}

fn password_verified(format: Format, check: PasswordCheck) -> Option<bool> {
    match (format, check) {
        (Format::Pem | Format::Der | Format::Pkcs7, _) | (_, PasswordCheck::NoneNeeded) => None,
        (_, check) => Some(matches!(check, PasswordCheck::Verified | PasswordCheck::Empty)),
    }
}

/// Prometheus counts in seconds.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a file's time are beyond anyone's interest")]
fn seconds(nanoseconds: i128) -> f64 {
    nanoseconds as f64 / 1e9
}
