//! The latch in the state directory: a small JSON file, written when a shutdown begins and at no other time.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BootId, Latch};
use crate::label::Label;
use crate::platform::{self, FileError, WriteError};
use crate::ups::Trigger;

/// The only version written.
const VERSION: u32 = 1;
/// Every trigger and the longest label are under two of them.
const MAX_BYTES: u64 = 16 * 1024;
const NAME: &str = "shutdown.json";

/// What lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// It began in an earlier boot, and has ended with it.
    EarlierBoot(Latch),
    Latch(Latch),
}

/// Why the file tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum LatchFileError {
    #[error("whether a shutdown had begun cannot be read: {0}")]
    Read(#[from] FileError),
    #[error("{}: this is no record of a shutdown: {why}; remove it", path.display())]
    Foreign { path: PathBuf, why: String },
    #[error("that a shutdown has begun cannot be kept: {0}")]
    Write(#[from] WriteError),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Record {
    version: u32,
    boot_id: String,
    since: Timestamp,
    triggers: Vec<String>,
    cause: Option<Cause>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cause {
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
pub fn load(state_directory: &Path, boot: &BootId) -> Result<Found, LatchFileError> {
    let path = state_directory.join(NAME);
    let file = match platform::read_regular(&path, MAX_BYTES) {
        Ok(file) => file,
        Err(FileError::NotFound { .. }) => return Ok(Found::Nothing),
        Err(error) => return Err(error.into()),
    };
    let (of, latch) = decode(&file.bytes).map_err(|why| LatchFileError::Foreign { path, why })?;
    Ok(if of == *boot { Found::Latch(latch) } else { Found::EarlierBoot(latch) })
}

/// Durable when it returns.
///
/// # Errors
/// When the state directory cannot be made or written.
pub fn save(state_directory: &Path, boot: &BootId, latch: &Latch) -> Result<(), LatchFileError> {
    platform::create_private_directory(state_directory)?;
    let path = state_directory.join(NAME);
    let bytes = encode(boot, latch).map_err(|e| WriteError::from_io(&path, "encoding it", e.into()))?;
    Ok(platform::replace(&path, &bytes, None)?)
}

fn encode(boot: &BootId, latch: &Latch) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec_pretty(&Record {
        version: VERSION,
        boot_id: boot.as_str().to_owned(),
        since: latch.since,
        triggers: latch.triggers.iter().map(|trigger| trigger.as_str().to_owned()).collect(),
        cause: latch.cause.as_ref().map(|(at, text)| Cause { at: *at, text: text.to_string() }),
    })
}

fn decode(bytes: &[u8]) -> Result<(BootId, Latch), String> {
    let record: Record = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if record.version != VERSION {
        return Err(format!("version {}, known is {VERSION}", record.version));
    }
    let boot = BootId::new(&record.boot_id).ok_or("its boot id is none")?;
    let known = |word: &String| Trigger::ALL.into_iter().find(|trigger| trigger.as_str() == word);
    let latch = Latch {
        since: record.since,
        triggers: record
            .triggers
            .iter()
            .map(|word| known(word).ok_or_else(|| format!("unknown trigger {word:?}")))
            .collect::<Result<_, _>>()?,
        cause: record.cause.map(|cause| (cause.at, Label::new(&cause.text))),
    };
    Ok((boot, latch))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boot(id: &str) -> BootId {
        BootId::new(id).expect("a boot id")
    }

    fn latches() -> impl Strategy<Value = Latch> {
        let triggers = prop::collection::btree_set(prop::sample::select(&Trigger::ALL[..]), 0..4);
        let cause = prop::option::of("\\PC{0,40}");
        (0_i64..4_000_000_000, triggers, cause).prop_map(|(second, triggers, cause)| {
            let since = Timestamp::from_second(second).expect("a time");
            Latch { since, triggers, cause: cause.map(|text| (since, Label::new(&text))) }
        })
    }

    proptest! {
        #[test]
        fn a_latch_survives_its_file_within_its_boot(latch in latches()) {
            let directory = tempfile::tempdir().expect("directory");
            let state = directory.path().join("state");
            save(&state, &boot("aa"), &latch).expect("save");
            prop_assert_eq!(load(&state, &boot("aa")).expect("load"), Found::Latch(latch.clone()));
            prop_assert_eq!(load(&state, &boot("bb")).expect("load"), Found::EarlierBoot(latch));
        }

        #[test]
        fn what_is_not_ours_is_refused_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }

    #[test]
    fn another_version_or_another_trigger_is_not_guessed_at() {
        let latch = Latch { since: Timestamp::UNIX_EPOCH, triggers: [Trigger::NutFsd].into(), cause: None };
        let text = String::from_utf8(encode(&boot("aa"), &latch).expect("json")).expect("text");
        assert!(decode(text.as_bytes()).is_ok());
        for (ours, theirs) in [("\"version\": 1", "\"version\": 2"), ("nut_fsd", "news"), ("\"aa\"", "\"\"")] {
            assert!(text.contains(ours) && decode(text.replace(ours, theirs).as_bytes()).is_err(), "{theirs}");
        }
    }

    #[test]
    fn without_a_file_there_is_nothing_and_a_place_that_cannot_be_written_is_an_error() {
        let directory = tempfile::tempdir().expect("directory");
        assert_eq!(load(directory.path(), &boot("aa")).expect("load"), Found::Nothing);
        let file = directory.path().join("file");
        std::fs::write(&file, b"").expect("write");
        let latch = Latch { since: Timestamp::UNIX_EPOCH, triggers: [].into(), cause: None };
        assert_eq!(save(&file, &boot("aa"), &latch).map_err(|e| e.reason()), Err("latch_unwritten"));
    }
}
