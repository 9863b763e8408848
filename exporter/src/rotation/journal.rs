//! What of a rotation survives a crash: one JSON file per agent, without a secret in it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kagiban_crds::host_api::{Leaf, RotationReport, Step};
use kagiban_crds::{AgentName, Epoch, Generation, HostName, LeafSha256};
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::machine::State;
use crate::platform::{self, Attributes, FileError, FileIdentity, Links, WriteError};

/// The only version written. A newer one is not understood, and is set aside rather than guessed at.
pub(super) const VERSION: u32 = 1;
/// The step log's length: three recoveries of the longest way are under fifty.
pub(super) const MAX_STEPS: usize = 64;
/// A record with a full step log is under 40 KiB.
const MAX_BYTES: u64 = 256 * 1024;

/// All that is kept for one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    pub version: u32,
    pub host: HostName,
    pub agent: AgentName,
    /// The highest epoch accepted for this agent.
    pub epoch: Epoch,
    /// The highest generation accepted for this agent.
    pub generation: Generation,
    pub last_restart: Option<Timestamp>,
    /// The newest rotation.
    pub rotation: Option<Rotation>,
}

/// One rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rotation {
    pub epoch: Epoch,
    pub generation: Generation,
    pub opened_at: Timestamp,
    /// Of the request that opened it, its password left out.
    pub open_digest: Digest,
    /// Of the chain that was accepted.
    pub chain_digest: Option<Digest>,
    pub csr: Option<String>,
    pub leaf: Option<Leaf>,
    pub previous: Option<LeafSha256>,
    /// The set of files that is replaced together.
    pub files: Vec<FileSwap>,
    pub recoveries: u32,
    pub state: State,
    pub steps: Vec<Step>,
}

/// One file that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileSwap {
    pub path: PathBuf,
    /// Where its next contents wait, in the same directory. Where names were exchanged it is the old file.
    pub staged: PathBuf,
    pub new: Digest,
    pub holds: Holds,
    /// Of the old file when it was surveyed, and of the new one: never those of what lies there at another time.
    pub attributes: Attributes,
    /// None when there was no file.
    pub old: Option<OldFile>,
}

/// What of a file is ours: when the rest was changed since, only that comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Holds {
    Store { alias: String },
    Chain,
    Key,
    PasswordIni,
}

/// The file that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OldFile {
    pub digest: Digest,
    pub identity: FileIdentity,
    /// Where it stays in the same directory when names cannot be exchanged, and where what goes back waits when that is
    /// not the old file.
    pub beside: PathBuf,
    /// Where its copy lies.
    pub backup: PathBuf,
    /// Of the copy. It differs from the file's where going back needs more than the file said: see `survey`.
    pub backup_digest: Digest,
}

/// What was found where a journal should be.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Record(Box<Record>),
    /// Not ours to read; it was set aside under this name.
    Unreadable {
        aside: PathBuf,
        why: String,
    },
}

/// Why neither a journal nor its absence could be established.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal cannot be read: {0}")]
    Read(FileError),
    #[error("the journal that cannot be understood cannot be set aside: {0}")]
    SetAside(std::io::Error),
    #[error("the journal cannot be written: {0}")]
    Write(#[from] WriteError),
}

impl Record {
    pub fn new(host: HostName, agent: AgentName) -> Self {
        let (epoch, generation) = (Epoch(0), Generation(0));
        Self { version: VERSION, host, agent, epoch, generation, last_restart: None, rotation: None }
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// See [`WriteError`]; the old record is then still whole.
    pub fn save(&self, path: &Path) -> Result<(), WriteError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| WriteError::from_io(path, "encoding it", e.into()))?;
        platform::replace(path, &bytes, None)
    }
}

impl Rotation {
    pub fn report(&self) -> RotationReport {
        RotationReport {
            epoch: self.epoch,
            generation: self.generation,
            state: self.state.reported(),
            csr: self.csr.clone().filter(|_| matches!(self.state, State::Keyed)),
            leaf: self.leaf.clone(),
            previous: self.previous,
            failure: self.state.failure(),
            steps: self.steps.clone(),
        }
    }

    /// The first steps tell how it began and the last how it stands; what has no room is between.
    pub fn log(&mut self, at: Timestamp, note: String) {
        if self.steps.len() >= MAX_STEPS {
            self.steps.remove(MAX_STEPS / 2);
        }
        self.steps.push(Step { at, state: self.state.reported(), note });
    }
}

/// Reads the journal of `agent`, and sets aside what is not one.
///
/// # Errors
/// When the file can be neither read nor set aside.
pub(super) fn load(path: &Path, host: &HostName, agent: &AgentName) -> Result<Found, JournalError> {
    let file = match platform::read_held(path, MAX_BYTES, Links::OfAdministrators) {
        Ok(file) => file,
        Err(FileError::NotFound { .. }) => return Ok(Found::Nothing),
        Err(error @ (FileError::NotRegular { .. } | FileError::TooLarge { .. })) => {
            return set_aside(path, error.to_string());
        }
        Err(error) => return Err(JournalError::Read(error)),
    };
    match decode(&file.bytes, host, agent) {
        Ok(record) => Ok(Found::Record(Box::new(record))),
        Err(why) => set_aside(path, why),
    }
}

fn decode(bytes: &[u8], host: &HostName, agent: &AgentName) -> Result<Record, String> {
    let record: Record = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if record.version != VERSION {
        return Err(format!("version {}, known is {VERSION}", record.version));
    }
    if (&record.host, &record.agent) != (host, agent) {
        return Err(format!("written for {} on {}", record.agent, record.host));
    }
    Ok(record)
}

fn set_aside(path: &Path, why: String) -> Result<Found, JournalError> {
    let aside = path.with_extension(format!("unreadable-{}", Timestamp::now().as_second()));
    std::fs::rename(path, &aside).map_err(JournalError::SetAside)?;
    Ok(Found::Unreadable { aside, why })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rotation::machine::{Before, Cause, Undo};

    fn host() -> HostName {
        "ups-01.example.com".parse().expect("host")
    }

    fn agent() -> AgentName {
        "powerchute".parse().expect("agent")
    }

    fn attributes() -> Attributes {
        let directory = tempfile::tempdir().expect("directory");
        platform::survey(&directory.path().join("keystore"), 1).expect("survey").attributes
    }

    fn states() -> impl Strategy<Value = State> {
        let before = prop_oneof![
            Just(Before::NotServed),
            any::<[u8; 32]>().prop_map(|leaf| Before::Served(LeafSha256::new(leaf)))
        ];
        let failure = ("[a-z_]{1,20}", "\\PC{0,40}").prop_map(|(reason, message)| Cause { reason, message });
        let undo = prop_oneof![
            Just(Undo::Stop),
            Just(Undo::Restore),
            Just(Undo::Start),
            Just(Undo::Verify),
            Just(Undo::StartAnyway)
        ];
        (0..8, before, failure, undo).prop_map(|(n, before, failure, step)| match n {
            0 => State::Keyed,
            1 => State::BackedUp,
            2 => State::Swapping { before },
            3 => State::Verifying { before },
            4 => State::Committed { before },
            5 => State::Undoing { step, before, failure },
            6 => State::Frozen { failure },
            _ => State::Discarding { failure },
        })
    }

    fn record(state: State, generation: u64, digest: &[u8]) -> Record {
        let old = OldFile {
            digest: Digest::of(b"old"),
            identity: FileIdentity { device: 1, inode: u64::MAX, size: 3, modified: 1 << 62, changed: 1 << 62 },
            beside: "/opt/agent/.keystore.old".into(),
            backup: "/var/lib/kagiban/backups/agent/1/0-keystore".into(),
            backup_digest: Digest::of(b"old"),
        };
        let file = FileSwap {
            path: "/opt/agent/keystore".into(),
            staged: "/opt/agent/.keystore.new".into(),
            new: Digest::of(digest),
            holds: Holds::Store { alias: "securekey".into() },
            attributes: attributes(),
            old: Some(old),
        };
        let rotation = Rotation {
            epoch: Epoch(1),
            generation: Generation(generation),
            opened_at: Timestamp::UNIX_EPOCH,
            open_digest: Digest::of(digest),
            chain_digest: Some(Digest::of(digest)),
            csr: Some("csr".into()),
            leaf: None,
            previous: None,
            files: vec![file],
            recoveries: 1,
            state,
            steps: Vec::new(),
        };
        Record { rotation: Some(rotation), generation: Generation(generation), ..Record::new(host(), agent()) }
    }

    proptest! {
        #[test]
        fn a_record_survives_its_file(state in states(), generation: u64, digest: [u8; 4]) {
            let directory = tempfile::tempdir().expect("directory");
            let path = directory.path().join("powerchute.json");
            let record = record(state, generation, &digest);
            record.save(&path).expect("save");
            match load(&path, &host(), &agent()).expect("load") {
                Found::Record(read) => prop_assert_eq!(*read, record),
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn garbage_is_set_aside_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let directory = tempfile::tempdir().expect("directory");
            let path = directory.path().join("powerchute.json");
            std::fs::write(&path, &bytes).expect("write");
            match load(&path, &host(), &agent()).expect("load") {
                Found::Unreadable { aside, .. } => prop_assert_eq!(std::fs::read(aside).expect("kept"), bytes),
                other => prop_assert!(false, "{other:?}"),
            }
            prop_assert!(!path.exists());
        }

        #[test]
        fn a_record_cut_short_or_of_another_version_or_host_is_set_aside(cut in 0.0..1.0) {
            let bytes = serde_json::to_vec(&record(State::Keyed, 1, b"")).expect("json");
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a fraction of a small length")]
            let cut = (bytes.len() as f64 * cut) as usize;
            prop_assert!(decode(&bytes[..cut], &host(), &agent()).is_err());
            let newer = String::from_utf8(bytes.clone()).expect("text").replace("\"version\":1", "\"version\":2");
            prop_assert!(decode(newer.as_bytes(), &host(), &agent()).is_err());
            prop_assert!(decode(&bytes, &"other.example.com".parse().expect("host"), &agent()).is_err());
        }
    }

    #[test]
    fn the_step_log_is_bounded_and_keeps_both_ends() {
        let mut record = record(State::Keyed, 1, b"");
        let rotation = record.rotation.as_mut().expect("rotation");
        for n in 0..3 * MAX_STEPS {
            rotation.log(Timestamp::UNIX_EPOCH, n.to_string());
        }
        assert_eq!(rotation.steps.len(), MAX_STEPS);
        assert_eq!(rotation.steps[0].note, "0");
        assert_eq!(rotation.steps[MAX_STEPS - 1].note, (3 * MAX_STEPS - 1).to_string());
    }
}
