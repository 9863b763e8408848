//! The latch in the state directory: a small JSON file, written when a shutdown begins, is taken back or cleared, and at no other
//! time.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Announced, BootId, Latch, LatchRecord, Origin};
use crate::label::Label;
use crate::platform::{self, FileError, WriteError};
use crate::ups::{ShutdownTrigger, ShutdownTriggers};

/// The only version written.
const VERSION: u32 = 2;
/// The version before did not say who had announced it.
const WITHOUT_SOURCES: u32 = 1;
/// Some dozen sources, each with every trigger and the longest label, are under two of them.
const MAX_BYTES: u64 = 64 * 1024;
/// More sources than a host has; of more, the first are kept.
const MAX_SOURCES: usize = 64;
const NAME: &str = "shutdown.json";
/// Who announced it in a record of an earlier version: logind where it alone can have done so, otherwise nobody who speaks.
const SYSTEM: &str = "system";
const UNKNOWN: &str = "unknown";

/// What lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadedLatch {
    Nothing,
    /// It was of an earlier boot, and has ended with it.
    EarlierBoot(LatchRecord),
    Kept(LatchRecord),
}

/// Why the file tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum LatchFileError {
    #[error("whether a shutdown had begun cannot be read: {0}")]
    Read(#[from] FileError),
    #[error("{}: this is no record of a shutdown: {why}; remove it", path.display())]
    Foreign { path: PathBuf, why: String },
    #[error("that a shutdown has begun, or is over, cannot be kept: {0}")]
    Write(#[from] WriteError),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Record {
    version: u32,
    boot_id: String,
    announced: Vec<Entry>,
    cleared_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cleared: Vec<Beginning>,
}

/// What a person has cleared of one source.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Beginning {
    source: String,
    /// Absent for a source that tells of the host itself.
    ups: Option<String>,
    begun_at: Timestamp,
}

/// What one source announced.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    source: String,
    /// Absent for a source that tells of the host itself.
    ups: Option<String>,
    since: Timestamp,
    triggers: Vec<String>,
    cause: Option<CauseRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun_at: Option<Timestamp>,
}

/// A record of the version before.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OldRecord {
    #[expect(dead_code, reason = "it was looked at before")]
    version: u32,
    boot_id: String,
    since: Timestamp,
    triggers: Vec<String>,
    cause: Option<CauseRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CauseRecord {
    at: Timestamp,
    text: String,
}

impl LatchFileError {
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Read(_) => "latch_unreadable",
            Self::Foreign { .. } => "latch_foreign",
            Self::Write(_) => "latch_unwritten",
        }
    }
}

/// What an earlier run left.
///
/// # Errors
/// When a file is there that cannot be read, or that is not ours.
pub fn load(state_directory: &Path, boot: &BootId) -> Result<LoadedLatch, LatchFileError> {
    let path = state_directory.join(NAME);
    let file = match platform::read_regular(&path, MAX_BYTES) {
        Ok(file) => file,
        Err(FileError::NotFound { .. }) => return Ok(LoadedLatch::Nothing),
        Err(error) => return Err(error.into()),
    };
    let (of, kept) = decode(&file.bytes).map_err(|why| LatchFileError::Foreign { path, why })?;
    Ok(if of == *boot { LoadedLatch::Kept(kept) } else { LoadedLatch::EarlierBoot(kept) })
}

/// Whether exactly this lies there: a person or another program may have removed or damaged it.
pub fn is_kept(state_directory: &Path, boot: &BootId, kept: &LatchRecord) -> bool {
    match platform::read_regular(&state_directory.join(NAME), MAX_BYTES) {
        Ok(file) => *kept != LatchRecord::default() && encode(boot, kept).is_ok_and(|bytes| bytes == *file.bytes),
        Err(FileError::NotFound { .. }) => *kept == LatchRecord::default(),
        Err(_) => false,
    }
}

/// Durable when it returns. Of nothing there is no file.
///
/// # Errors
/// When the state directory cannot be made or written.
pub fn save(state_directory: &Path, boot: &BootId, kept: &LatchRecord) -> Result<(), LatchFileError> {
    let path = state_directory.join(NAME);
    if *kept == LatchRecord::default() {
        return Ok(platform::remove(&path)?);
    }
    platform::create_private_directory(state_directory)?;
    let bytes = encode(boot, kept).map_err(|e| WriteError::from_io(&path, "encoding it", e.into()))?;
    Ok(platform::replace(&path, &bytes, None)?)
}

fn encode(boot: &BootId, kept: &LatchRecord) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec_pretty(&Record {
        version: VERSION,
        boot_id: boot.as_str().to_owned(),
        announced: kept.latch.iter().flat_map(Latch::by).take(MAX_SOURCES).map(Entry::of).collect(),
        cleared_at: kept.cleared_at,
        cleared: kept.cleared.iter().take(MAX_SOURCES).map(Beginning::of).collect(),
    })
}

fn decode(bytes: &[u8]) -> Result<(BootId, LatchRecord), String> {
    let wrong = |error: serde_json::Error| error.to_string();
    let Versioned { version } = serde_json::from_slice(bytes).map_err(wrong)?;
    let boot = |id: &str| BootId::new(id).ok_or("its boot id is none");
    match version {
        VERSION => {
            let record: Record = serde_json::from_slice(bytes).map_err(wrong)?;
            let announced = record.announced.into_iter().map(Entry::announced).collect::<Result<_, _>>()?;
            let cleared = record.cleared.into_iter().map(Beginning::read).collect();
            let kept = LatchRecord { latch: Latch::announced(announced), cleared_at: record.cleared_at, cleared };
            Ok((boot(&record.boot_id)?, kept))
        }
        WITHOUT_SOURCES => {
            let OldRecord { boot_id, since, triggers, cause, .. } = serde_json::from_slice(bytes).map_err(wrong)?;
            let triggers = read_triggers(&triggers)?;
            let of_system = [ShutdownTrigger::SystemdPreparing, ShutdownTrigger::SystemdSchedule];
            let is_of_system = !triggers.is_empty() && triggers.iter().all(|trigger| of_system.contains(trigger));
            let source = Label::new(if is_of_system { SYSTEM } else { UNKNOWN });
            let announced = Announced { since, triggers, cause: cause.map(CauseRecord::read), begun_at: None };
            let latch = Latch::announced([(Origin::Host { source }, announced)].into());
            Ok((boot(&boot_id)?, LatchRecord { latch, ..LatchRecord::default() }))
        }
        version => Err(format!("version {version}, known is {VERSION}")),
    }
}

fn read_triggers(words: &[String]) -> Result<ShutdownTriggers, String> {
    let known = |word: &String| ShutdownTrigger::ALL.into_iter().find(|trigger| trigger.as_str() == word);
    words.iter().map(|word| known(word).ok_or_else(|| format!("unknown trigger {word:?}"))).collect()
}

impl Entry {
    fn of((origin, announced): (&Origin, &Announced)) -> Self {
        let (source, ups) = written(origin);
        Self {
            source,
            ups,
            since: announced.since,
            triggers: announced.triggers.iter().map(|trigger| trigger.as_str().to_owned()).collect(),
            cause: announced.cause.as_ref().map(|(at, text)| CauseRecord { at: *at, text: text.to_string() }),
            begun_at: announced.begun_at,
        }
    }

    fn announced(self) -> Result<(Origin, Announced), String> {
        let origin = read_origin(&self.source, self.ups.as_deref());
        let triggers = read_triggers(&self.triggers)?;
        let (cause, begun_at) = (self.cause.map(CauseRecord::read), self.begun_at);
        Ok((origin, Announced { since: self.since, triggers, cause, begun_at }))
    }
}

impl Beginning {
    fn of((origin, begun_at): (&Origin, &Timestamp)) -> Self {
        let (source, ups) = written(origin);
        Self { source, ups, begun_at: *begun_at }
    }

    fn read(self) -> (Origin, Timestamp) {
        (read_origin(&self.source, self.ups.as_deref()), self.begun_at)
    }
}

fn written(origin: &Origin) -> (String, Option<String>) {
    match origin {
        Origin::Host { source } => (source.to_string(), None),
        Origin::Ups { source, ups } => (source.to_string(), Some(ups.to_string())),
    }
}

fn read_origin(source: &str, ups: Option<&str>) -> Origin {
    let source = Label::new(source);
    match ups {
        None => Origin::Host { source },
        Some(ups) => Origin::Ups { source, ups: Label::new(ups) },
    }
}

impl CauseRecord {
    fn read(self) -> (Timestamp, Label) {
        (self.at, Label::new(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boot(id: &str) -> BootId {
        BootId::new(id).expect("a boot id")
    }

    fn announced() -> impl Strategy<Value = (Origin, Announced)> {
        let triggers = prop::collection::btree_set(prop::sample::select(&ShutdownTrigger::ALL[..]), 0..4);
        let cause = prop::option::of("\\PC{0,40}");
        let ups = prop::option::of("[a-z]{1,4}");
        (0_i64..4_000_000_000, triggers, cause, "[a-z]{1,4}", ups).prop_map(|(second, triggers, cause, source, ups)| {
            let since = Timestamp::from_second(second).expect("a time");
            let source = Label::new(&source);
            let origin = match ups {
                None => Origin::Host { source },
                Some(ups) => Origin::Ups { source, ups: Label::new(&ups) },
            };
            (origin, Announced { since, triggers, cause: cause.map(|text| (since, Label::new(&text))), begun_at: None })
        })
    }

    fn kept() -> impl Strategy<Value = LatchRecord> {
        let cleared = prop::option::of(0_i64..4_000_000_000);
        (prop::collection::vec(announced(), 0..4), cleared).prop_map(|(by, cleared)| LatchRecord {
            cleared: by.iter().filter(|_| cleared.is_some()).map(|(origin, it)| (origin.clone(), it.since)).collect(),
            latch: Latch::announced(by.into_iter().collect()),
            cleared_at: cleared.map(|second| Timestamp::from_second(second).expect("a time")),
        })
    }

    fn begun(source: &str, trigger: ShutdownTrigger) -> LatchRecord {
        let announced =
            Announced { since: Timestamp::UNIX_EPOCH, triggers: [trigger].into(), cause: None, begun_at: None };
        let by = [(Origin::Host { source: Label::new(source) }, announced)];
        LatchRecord { latch: Latch::announced(by.into()), ..LatchRecord::default() }
    }

    proptest! {
        #[test]
        fn what_is_kept_survives_its_file_within_its_boot(kept in kept()) {
            let directory = tempfile::tempdir().expect("directory");
            let state = directory.path().join("state");
            std::fs::create_dir(&state).expect("a directory");
            save(&state, &boot("aa"), &kept).expect("save");
            let (here, later) = match &kept {
                nothing if *nothing == LatchRecord::default() => (LoadedLatch::Nothing, LoadedLatch::Nothing),
                kept => (LoadedLatch::Kept(kept.clone()), LoadedLatch::EarlierBoot(kept.clone())),
            };
            prop_assert_eq!(load(&state, &boot("aa")).expect("load"), here);
            prop_assert_eq!(load(&state, &boot("bb")).expect("load"), later);
        }

        #[test]
        fn what_is_not_ours_is_refused_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }

    #[test]
    fn another_version_or_another_trigger_is_not_guessed_at() {
        let kept = begun("system", ShutdownTrigger::NutFsd);
        let text = String::from_utf8(encode(&boot("aa"), &kept).expect("json")).expect("text");
        assert!(decode(text.as_bytes()).is_ok());
        for (ours, theirs) in [("\"version\": 2", "\"version\": 3"), ("nut_fsd", "news"), ("\"aa\"", "\"\"")] {
            assert!(text.contains(ours) && decode(text.replace(ours, theirs).as_bytes()).is_err(), "{theirs}");
        }
    }

    /// Holds R6: a record of the version before is of logind where nobody else can have made it, so that logind can take it back.
    #[test]
    fn a_record_of_the_version_before_is_read() {
        let old = |trigger: &str| {
            let text = format!(
                r#"{{"version": 1, "bootId": "aa", "since": "1970-01-01T00:00:00Z", "triggers": ["{trigger}"], "cause": null}}"#
            );
            decode(text.as_bytes()).expect("it is ours").1
        };
        assert_eq!(old("systemd_preparing"), begun("system", ShutdownTrigger::SystemdPreparing));
        assert_eq!(old("nut_fsd"), begun("unknown", ShutdownTrigger::NutFsd));
    }

    #[test]
    fn without_a_file_there_is_nothing_and_a_place_that_cannot_be_written_is_an_error() {
        let directory = tempfile::tempdir().expect("directory");
        assert_eq!(load(directory.path(), &boot("aa")).expect("load"), LoadedLatch::Nothing);
        let file = directory.path().join("file");
        std::fs::write(&file, b"").expect("write");
        let kept = begun("a", ShutdownTrigger::NutFsd);
        assert_eq!(save(&file, &boot("aa"), &kept).map_err(|e| e.reason()), Err("latch_unwritten"));
    }

    #[test]
    fn of_nothing_there_is_no_file() {
        let directory = tempfile::tempdir().expect("directory");
        save(directory.path(), &boot("aa"), &begun("a", ShutdownTrigger::NutFsd)).expect("save");
        assert!(directory.path().join(NAME).exists());
        save(directory.path(), &boot("aa"), &LatchRecord::default()).expect("remove");
        assert!(!directory.path().join(NAME).exists());
        save(&directory.path().join("none"), &boot("aa"), &LatchRecord::default()).expect("there is no directory");
        assert!(!directory.path().join("none").exists());
    }
}
