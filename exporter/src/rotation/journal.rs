//! What of a rotation survives a crash: one JSON file per agent, without a secret in it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kagiban_crds::host_api::{CommittedRotation, Leaf, RotationFunction, RotationReport, Step};
use kagiban_crds::{AgentName, Epoch, Generation, HostName, LeafSha256, OrderMark};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::digest::Digest;
use super::drain::BegunStop;
use super::failure::bounded;
use super::machine::{Before, FrozenFiles, Phase};
use super::repair::RepairRecord;
use super::starting::{self, BegunStart};
use super::stopping;
use crate::checksum;
use crate::platform::{
    self, Attributes, DirectoryIdentity, DirectoryOwner, FileError, FileIdentity, Links, WriteError,
};

/// The only version written. A newer one is not understood, and is set aside rather than guessed at. Fields that are left out
/// where they say nothing do not raise it: programs from before them read most journals, and take the others for lost.
pub(super) const VERSION: u32 = 2;
/// Written before a frozen rotation said how it left the files.
const WITHOUT_STANDING: u32 = 1;
/// The step log's length: three recoveries of the longest way are under fifty.
pub(super) const MAX_STEPS: usize = 64;
/// Files of earlier rotations, of which something is still to be removed.
const MAX_LEFT_BEHIND: usize = 32;
/// A record with a full step log is under 40 KiB. More is never written, so that a later start reads what was written.
pub(super) const MAX_BYTES: usize = 256 * 1024;
/// What the entries after the stop of a service may add to the one before it.
const MAX_GROWTH: usize = 64 * 1024;
/// For the entries of the longest rollback, each a file of under 40 KiB beside the one before it.
const JOURNAL_ROOM: u64 = 512 * 1024;
/// What is read may be larger: earlier versions had no limit when they wrote.
const MAX_READ_BYTES: u64 = 4 * 1024 * 1024;

/// All that is kept for one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    pub version: u32,
    pub host: HostName,
    pub agent: AgentName,
    /// The highest epoch accepted for this agent, whichever lineage has spoken.
    pub epoch: Epoch,
    /// The highest generation accepted for this agent.
    pub generation: Generation,
    pub last_restart: Option<Timestamp>,
    /// When a rotation last saw the agent do its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_worked_at: Option<Timestamp>,
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
    /// Of the request that opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<OrderMark>,
    /// What stands again where this one is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_before: Option<CommittedRotation>,
    /// The set of files that is replaced together.
    pub files: Vec<FileSwap>,
    /// Of an agent that renews its own certificate: what its program writes over, and is put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptFile>,
    /// Of an agent whose program writes a backup of its own: what it wrote for this renewal. Absent in journals from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_backup: Option<Digest>,
    /// Only where the journal was lost and `files` are the newest backup's: what lay in their places and was copied. Nothing
    /// else may be overwritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Vec<Digest>>,
    /// Starts of the program that found it undecided after an end that was not ordered.
    pub recoveries: u32,
    /// The program was told to end and has left it as it stands. The next start is no recovery from a crash.
    #[serde(default, skip_serializing_if = "is_false")]
    pub left_in_order: bool,
    /// Of the service, while it may still end it or has just been begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_begun: Option<BegunStop>,
    /// Of the service, while its command may run: also when the program that has begun it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_begun: Option<BegunStart>,
    pub state: Phase,
    /// It is decided, and something of it may be left: what is beside its files has not been removed yet, or could not be, in a
    /// directory that another is mounted over. A staged key perhaps.
    #[serde(rename = "leftBehind", default, skip_serializing_if = "is_false")]
    pub discard_due: bool,
    /// The same of rotations before this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_by_earlier: Vec<FileSwap>,
    /// When it froze, while it is frozen: which freeze somebody means who asks for its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_at: Option<Timestamp>,
    /// Whether the agent did its work before anything was stopped or run, and after that; absent where nothing is asked, and before it
    /// was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<RotationFunction>,
    /// Of an agent that is only looked at, from just before its repair is begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairRecord>,
    pub steps: Vec<Step>,
}

/// One file that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileSwap {
    pub path: PathBuf,
    /// The directory that it was surveyed in. Absent in journals from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectoryIdentity>,
    /// Where its next contents wait, in the same directory. Where names were exchanged it is the old file.
    pub staged: PathBuf,
    pub new: Digest,
    pub holds: FileRole,
    /// Of the old file when it was surveyed, and of the new one: never those of what lies there at another time. An order to
    /// go back narrows them to what the file has at that moment.
    pub attributes: Attributes,
    /// None when there was no file.
    pub old: Option<OldFile>,
    /// What waits at `staged` to take the place of what was there when somebody ordered the rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
}

/// The contents of a file that was written before it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ready {
    pub instead_of: Option<Digest>,
    pub contents: Digest,
}

/// What of a file is ours: when the rest was changed since, only that comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum FileRole {
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
    /// Where it stays in the same directory when names cannot be exchanged, and where what is restored waits when that is
    /// not the old file.
    pub beside: PathBuf,
    /// Where its copy lies.
    pub backup: PathBuf,
    /// Of the copy. It differs from the file's where a rollback needs more than the file said: see `survey`.
    pub backup_digest: Digest,
}

/// A file that was copied before a program was run that may write over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeptFile {
    pub path: PathBuf,
    /// Where its copy lies.
    pub copy: PathBuf,
    pub digest: Digest,
    /// Those that it had, and has again when it is put back.
    pub attributes: Attributes,
    /// That of its directory, and again when it is put back. Absent in journals from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory_owner: Option<DirectoryOwner>,
    #[serde(default, skip_serializing_if = "Returns::is_always")]
    pub returns: Returns,
}

/// When a file that was copied comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Returns {
    /// After every renewal: what the program has written in its place is not wanted.
    #[default]
    Always,
    /// A store that the program renews: where it has left none that can be read.
    WhereDamaged,
}

impl Returns {
    const fn is_always(&self) -> bool {
        matches!(self, Self::Always)
    }
}

/// What was found where a journal should be.
#[derive(Debug)]
pub(super) enum LoadedJournal {
    Nothing,
    Record(Box<Record>),
    /// Not ours to read; a copy is under this name.
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
    SetAside(WriteError),
}

impl JournalError {
    /// Stable, for metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Read(error) => error.reason(),
            Self::SetAside(error) => error.reason(),
        }
    }

    /// Whether it says nothing of the journal: the system was short of something.
    pub fn is_shortage(&self) -> bool {
        matches!(self, Self::Read(FileError::Read { source, .. }) if platform::is_shortage(source))
    }
}

impl Record {
    pub fn new(host: HostName, agent: AgentName) -> Self {
        let (epoch, generation) = (Epoch(0), Generation(0));
        Self {
            version: VERSION,
            host,
            agent,
            epoch,
            generation,
            last_restart: None,
            function_worked_at: None,
            rotation: None,
        }
    }

    /// Reads the journal of `agent` and changes nothing; none when it is not there or not understood.
    pub fn peek(path: &Path, agent: &AgentName) -> Option<Self> {
        read(path, agent).ok().flatten()
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// See [`WriteError`]; the old record is then still whole. A record that no start would read again is not written.
    pub fn save(&self, path: &Path) -> Result<(), WriteError> {
        platform::replace(path, &self.encoded(path, MAX_BYTES)?, None)
    }

    /// Whether every entry that may follow can be written beside and in the place of this one.
    ///
    /// # Errors
    /// `TooLittleRoom`, or that the record would outgrow what a start reads.
    pub(super) fn check_room(&self, path: &Path) -> Result<(), WriteError> {
        self.encoded(path, MAX_BYTES - MAX_GROWTH)?;
        platform::check_room(path, JOURNAL_ROOM)
    }

    fn encoded(&self, path: &Path, limit: usize) -> Result<Vec<u8>, WriteError> {
        let mut bytes = checksum::encode_for(path, self)?;
        if bytes.len() > limit {
            bytes = checksum::encode_for(path, &self.without_notes_between())?;
        }
        if bytes.len() > limit {
            let [size, limit] = [bytes.len(), limit].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
            return Err(FileError::TooLarge { path: path.to_owned(), size, limit }.into());
        }
        Ok(bytes)
    }

    /// Only the first and the last step keep their notes.
    fn without_notes_between(&self) -> Self {
        let mut brief = self.clone();
        if let Some([_, between @ .., _]) = brief.rotation.as_mut().map(|rotation| rotation.steps.as_mut_slice()) {
            between.iter_mut().for_each(|step| step.note.clear());
        }
        brief
    }
}

impl Record {
    /// Fills in what the first version did not write: the two reasons with which it froze on files that may be no set.
    fn tell_standing(&mut self) {
        self.version = VERSION;
        let Some(rotation) = &mut self.rotation else { return };
        let before = rotation.previous.map_or(Before::NotServed, Before::Served);
        if let Phase::Frozen { failure, standing } = &mut rotation.state
            && matches!(failure.reason.as_str(), "restore_failed" | "recovery_failed")
        {
            *standing = FrozenFiles::NotRestored { before, by_order: false };
        }
    }
}

impl Record {
    /// Fills in what earlier programs did not write where the journal was lost. They copied too; what they copied is not
    /// known, and is copied again.
    fn tell_copied(&mut self) {
        if let Some(rotation) = &mut self.rotation
            && rotation.open_digest == Rotation::without_open()
            && !rotation.files.is_empty()
        {
            rotation.copied.get_or_insert_default();
        }
    }
}

impl FileSwap {
    /// Whether these contents are the old file's, the new one's, or what was made of them for an ordered rollback.
    pub(super) fn is_known(&self, contents: Digest) -> bool {
        let old = self.old.iter().flat_map(|old| [old.digest, old.backup_digest]);
        let ready = self.ready.iter().flat_map(|ready| [Some(ready.contents), ready.instead_of]).flatten();
        old.chain(ready).chain([self.new]).any(|known| known == contents)
    }
}

impl Rotation {
    /// One that begins now, and of which nothing more is known than who asked for what.
    pub(super) fn new(epoch: Epoch, generation: Generation, open_digest: Digest, state: Phase) -> Self {
        Self {
            epoch,
            generation,
            opened_at: Timestamp::now(),
            open_digest,
            chain_digest: None,
            csr: None,
            leaf: None,
            previous: None,
            mark: None,
            committed_before: None,
            files: Vec::new(),
            kept: Vec::new(),
            product_backup: None,
            copied: None,
            recoveries: 0,
            left_in_order: false,
            discard_due: false,
            left_by_earlier: Vec::new(),
            stop_begun: None,
            start_begun: None,
            state,
            frozen_at: None,
            function: None,
            repair: None,
            steps: Vec::new(),
        }
    }

    /// This one, or the newest before it that was committed and not undone.
    pub fn last_committed(&self) -> Option<CommittedRotation> {
        match (&self.state, &self.leaf) {
            (Phase::Committed { .. }, Some(leaf)) => {
                Some(CommittedRotation { generation: self.generation, leaf: leaf.sha256, mark: self.mark.clone() })
            }
            _ => self.committed_before.clone(),
        }
    }

    /// Whether an exporter that runs goes on with it by itself: what lies beside its files is removed after it has ended, and a freeze is
    /// ended by a person.
    pub fn is_in_flight(&self) -> bool {
        !self.state.is_decided() || (self.state.is_settled() && self.discard_due)
    }

    /// What is still to be removed of it and of those before it, when another takes its place.
    pub(super) fn left_behind(&self) -> Vec<FileSwap> {
        let own = self.files.iter().filter(|_| self.discard_due);
        let mut left: Vec<_> = self.left_by_earlier.iter().chain(own).cloned().collect();
        // Directories that do not come back must not let the journal grow.
        for file in left.drain(..left.len().saturating_sub(MAX_LEFT_BEHIND)) {
            tracing::warn!(staged = %file.staged.display(), "its directory was away for long: it is looked for no longer, remove it by hand");
        }
        left
    }

    /// The `open_digest` of a rotation of which nobody knows how it was opened.
    pub(super) fn without_open() -> Digest {
        Digest::of(b"")
    }

    pub fn report(&self) -> RotationReport {
        RotationReport {
            epoch: self.epoch,
            generation: self.generation,
            state: self.state.reported(),
            csr: self.csr.clone().filter(|_| matches!(self.state, Phase::Keyed)),
            leaf: self.leaf.clone(),
            previous: self.previous,
            mark: self.mark.clone(),
            failure: self.state.failure(),
            function: self.function.clone(),
            proof: self
                .repair
                .as_ref()
                .filter(|_| matches!(self.state, Phase::Committed { .. }))
                .and_then(|it| it.proof),
            steps: self.steps.clone(),
        }
    }

    /// The first steps tell how it began and the last how it stands; what has no room is between.
    pub fn log(&mut self, at: Timestamp, note: String) {
        self.stop_begun = stopping::stop_begun(self.stop_begun.take(), &self.state, BegunStop::now);
        self.start_begun = starting::start_begun(self.start_begun.take(), &self.state, BegunStart::now);
        self.tell(at, note);
    }

    /// The same of a state that was entered before: whatever was begun in it is not begun again.
    pub fn tell(&mut self, at: Timestamp, note: String) {
        if self.steps.len() >= MAX_STEPS {
            self.steps.remove(MAX_STEPS / 2);
        }
        let is_frozen = matches!(self.state, Phase::Frozen { .. });
        self.frozen_at = is_frozen.then(|| self.frozen_at.unwrap_or(at));
        self.steps.push(Step { at, state: self.state.reported(), note: bounded(note) });
    }
}

/// Reads the journal of `agent`, and keeps a copy of what is not one: whatever is written there next replaces it.
///
/// # Errors
/// When the file can be neither read nor set aside.
pub(super) fn load(path: &Path, host: &HostName, agent: &AgentName) -> Result<LoadedJournal, JournalError> {
    match read(path, agent) {
        Ok(Some(mut record)) => {
            if record.host != *host {
                // Hosts are given new names; the files that the journal tells of are the same.
                tracing::warn!(%agent, was = %record.host, now = %host, "the host has another name now; its journal is adopted");
                record.host = host.clone();
            }
            Ok(LoadedJournal::Record(Box::new(record)))
        }
        Ok(None) => Ok(LoadedJournal::Nothing),
        Err(UnreadableJournal::Failed(error)) => Err(JournalError::Read(error)),
        Err(UnreadableJournal::NotAJournal { why, bytes }) => set_aside(path, why, bytes),
    }
}

/// Why a journal was not read.
pub(super) enum UnreadableJournal {
    Failed(FileError),
    /// What is there, unless it is no file or too large to be ours.
    NotAJournal {
        why: String,
        bytes: Option<Zeroizing<Vec<u8>>>,
    },
}

/// Reads the journal of `agent` and changes nothing; none when there is no file.
///
/// # Errors
/// See [`UnreadableJournal`].
pub(super) fn read(path: &Path, agent: &AgentName) -> Result<Option<Record>, UnreadableJournal> {
    let file = match platform::read_held(path, MAX_READ_BYTES, Links::OfAdministrators) {
        Ok(file) => file,
        Err(FileError::NotFound { .. }) => return Ok(None),
        Err(error @ (FileError::NotRegular { .. } | FileError::TooLarge { .. })) => {
            return Err(UnreadableJournal::NotAJournal { why: error.to_string(), bytes: None });
        }
        Err(error) => return Err(UnreadableJournal::Failed(error)),
    };
    decode(&file.bytes, agent).map(Some).map_err(|why| UnreadableJournal::NotAJournal { why, bytes: Some(file.bytes) })
}

fn decode(bytes: &[u8], agent: &AgentName) -> Result<Record, String> {
    let bytes = checksum::verified(bytes).map_err(|e| e.to_string())?;
    let mut record: Record = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
    match record.version {
        VERSION => {}
        WITHOUT_STANDING => record.tell_standing(),
        other => return Err(format!("version {other}, known is {VERSION}")),
    }
    if record.agent != *agent {
        return Err(format!("written for {}", record.agent));
    }
    record.tell_copied();
    Ok(record)
}

/// For serde.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

fn set_aside(path: &Path, why: String, bytes: Option<Zeroizing<Vec<u8>>>) -> Result<LoadedJournal, JournalError> {
    let Some(bytes) = bytes else {
        let aside = path.with_extension(format!("unreadable-{}", Timestamp::now().as_second()));
        let moved = std::fs::rename(path, &aside).map_err(|e| WriteError::from_io(path, "setting it aside", e));
        return moved.map(|()| LoadedJournal::Unreadable { aside, why }).map_err(JournalError::SetAside);
    };
    // A copy, so that a crash before the next record is written does not turn a lost journal into none; named by its
    // contents, so that it is made once.
    let aside = path.with_extension(format!("unreadable-{}", Digest::of(&bytes).short()));
    match platform::replace(&aside, &bytes, None) {
        Ok(()) => Ok(LoadedJournal::Unreadable { aside, why }),
        Err(error) => Err(JournalError::SetAside(error)),
    }
}

#[cfg(test)]
mod tests {
    use kagiban_crds::host_api::{Failure, FunctionSighting, FunctionState, RepairProof};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::platform::testing;

    /// Holds A5: READY waits for it, and not for a journal that is broken.
    #[test]
    fn a_want_of_descriptors_is_no_broken_journal() {
        let failed = |source| JournalError::Read(FileError::Read { path: PathBuf::new(), source });
        assert!(testing::shortages().into_iter().all(|error| failed(error).is_shortage()));
        assert!(!failed(testing::disk_fault()).is_shortage());
        assert!(!JournalError::Read(FileError::NotFound { path: PathBuf::new() }).is_shortage());
    }
    use crate::rotation::failure::RotationFailure;
    use crate::rotation::machine::Rollback;

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

    fn states() -> impl Strategy<Value = Phase> {
        let before = prop_oneof![
            Just(Before::NotServed),
            any::<[u8; 32]>().prop_map(|leaf| Before::Served(LeafSha256::new(leaf)))
        ];
        let failure =
            ("[a-z_]{1,20}", "\\PC{0,40}").prop_map(|(reason, message)| RotationFailure::new(reason, message));
        let step = prop_oneof![
            Just(Rollback::Stop),
            Just(Rollback::Restore),
            Just(Rollback::Start),
            Just(Rollback::Verify),
            Just(Rollback::StartAnyway),
            Just(Rollback::Look),
            Just(Rollback::Watch),
            Just(Rollback::Drain),
            Just(Rollback::LastStart),
            Just(Rollback::LastStartOnNew)
        ];
        (0..10, before, failure, step, any::<bool>()).prop_map(|(n, before, failure, step, by_order)| match n {
            0 => Phase::Keyed,
            1 => Phase::BackedUp,
            2 => Phase::Swapping { before },
            3 => Phase::Verifying { before },
            4 => Phase::Committed { before },
            5 => Phase::RollingBack { step, before, failure, by_order },
            6 => Phase::Frozen { failure, standing: FrozenFiles::Whole },
            7 => Phase::Frozen { failure, standing: FrozenFiles::NotRestored { before, by_order } },
            8 => Phase::Frozen { failure, standing: FrozenFiles::NewStands { before } },
            _ => Phase::Discarding { failure },
        })
    }

    fn record(state: Phase, generation: u64, digest: &[u8]) -> Record {
        let old = OldFile {
            digest: Digest::of(b"old"),
            identity: FileIdentity { device: 1, inode: u64::MAX, size: 3, modified: 1 << 62, changed: 1 << 62 },
            beside: "/opt/agent/.keystore.old".into(),
            backup: "/var/lib/kagiban/backups/agent/1/0-keystore".into(),
            backup_digest: Digest::of(b"old"),
        };
        let file = FileSwap {
            path: "/opt/agent/keystore".into(),
            directory: Some(DirectoryIdentity {
                device: 1,
                inode: u64::MAX,
                born: Some(i64::MIN),
                filesystem: Some(u64::MAX),
            }),
            staged: "/opt/agent/.keystore.new".into(),
            new: Digest::of(digest),
            holds: FileRole::Store { alias: "securekey".into() },
            attributes: attributes(),
            old: Some(old),
            ready: Some(Ready { instead_of: Some(Digest::of(b"now")), contents: Digest::of(b"back") }),
        };
        let rotation = Rotation {
            kept: vec![KeptFile {
                path: "/opt/agent/default.sh".into(),
                copy: "/var/lib/kagiban-exporter/backups/web/7/0-default.sh".into(),
                digest: Digest::of(digest),
                attributes: attributes(),
                directory_owner: None,
                returns: Returns::WhereDamaged,
            }],
            product_backup: Some(Digest::of(digest)),
            epoch: Epoch(1),
            generation: Generation(generation),
            opened_at: Timestamp::UNIX_EPOCH,
            open_digest: Digest::of(digest),
            chain_digest: Some(Digest::of(digest)),
            csr: Some("csr".into()),
            leaf: None,
            previous: None,
            mark: "0a.b-1".parse().ok(),
            committed_before: Some(CommittedRotation {
                generation: Generation(6),
                leaf: LeafSha256::new([3; 32]),
                mark: None,
            }),
            files: vec![file.clone()],
            copied: Some(vec![Digest::of(digest)]),
            recoveries: 1,
            left_in_order: true,
            discard_due: true,
            left_by_earlier: vec![file],
            stop_begun: Some(BegunStop::now()),
            start_begun: Some(BegunStart::now().run_by(platform::started_process(std::process::id()))),
            state,
            frozen_at: Some(Timestamp::now()),
            function: None,
            repair: Some(RepairRecord {
                boot: "boot".into(),
                ended_at: Some(Timestamp::UNIX_EPOCH),
                proof: Some(RepairProof::Restart),
            }),
            steps: Vec::new(),
        };
        Record { rotation: Some(rotation), generation: Generation(generation), ..Record::new(host(), agent()) }
    }

    /// `rotation wait`, and with it the removal of the package, would end between the last phase and the removal of the old key.
    #[test]
    fn a_rotation_is_in_flight_until_nothing_of_it_lies_beside_its_files() {
        let committed = Phase::Committed { before: Before::NotServed };
        let failure = RotationFailure::new("start_failed", "it does not start");
        let frozen = Phase::Frozen { failure, standing: FrozenFiles::Whole };
        for (state, is_due, is_in_flight) in [
            (Phase::Requested, false, true),
            (committed.clone(), true, true),
            (committed, false, false),
            (frozen, true, false),
        ] {
            let told = format!("{state:?}");
            let rotation = record(state, 1, &[0; 4]).rotation.expect("a rotation");
            assert_eq!(Rotation { discard_due: is_due, ..rotation }.is_in_flight(), is_in_flight, "{told}");
        }
    }

    proptest! {
        #[test]
        fn a_record_survives_its_file(state in states(), generation: u64, digest: [u8; 4]) {
            let directory = tempfile::tempdir().expect("directory");
            let path = directory.path().join("powerchute.json");
            let record = record(state, generation, &digest);
            record.save(&path).expect("save");
            match load(&path, &host(), &agent()).expect("load") {
                LoadedJournal::Record(read) => prop_assert_eq!(*read, record),
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn garbage_is_copied_aside_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let directory = tempfile::tempdir().expect("directory");
            let path = directory.path().join("powerchute.json");
            std::fs::write(&path, &bytes).expect("write");
            match load(&path, &host(), &agent()).expect("load") {
                LoadedJournal::Unreadable { aside, .. } => prop_assert_eq!(&std::fs::read(aside).expect("kept"), &bytes),
                other => prop_assert!(false, "{other:?}"),
            }
            // Until a record takes its place: a crash now must find the same again.
            prop_assert_eq!(std::fs::read(&path).expect("there"), bytes);
        }

        #[test]
        fn a_record_cut_short_or_of_another_version_or_agent_is_no_journal(cut in 0.0..1.0) {
            let bytes = serde_json::to_vec(&record(Phase::Keyed, 1, b"")).expect("json");
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a fraction of a small length")]
            let cut = (bytes.len() as f64 * cut) as usize;
            prop_assert!(decode(&bytes[..cut], &agent()).is_err());
            let newer = String::from_utf8(bytes.clone()).expect("text").replace("\"version\":2", "\"version\":3");
            prop_assert!(decode(newer.as_bytes(), &agent()).is_err());
            prop_assert!(decode(&bytes, &"other".parse().expect("agent")).is_err());
        }
    }

    /// Holds A9: a host that was given another name keeps its journal.
    #[test]
    fn the_journal_of_a_renamed_host_is_adopted() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("powerchute.json");
        record(Phase::Keyed, 4, b"").save(&path).expect("save");
        let renamed: HostName = "renamed.example.com".parse().expect("host");
        match load(&path, &renamed, &agent()).expect("load") {
            LoadedJournal::Record(read) => assert_eq!((read.host, read.generation), (renamed, Generation(4))),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_journal_of_the_version_before_is_read_and_a_freeze_in_it_told_how_it_left_the_files() {
        let before = Before::NotServed;
        for (reason, standing) in [
            ("restore_failed", FrozenFiles::NotRestored { before, by_order: false }),
            ("recovery_failed", FrozenFiles::NotRestored { before, by_order: false }),
            ("old_leaf_not_served_after_rollback", FrozenFiles::Whole),
        ] {
            let failure = RotationFailure::new(reason, "");
            let state = Phase::Frozen { failure: failure.clone(), standing: FrozenFiles::Whole };
            let text = serde_json::to_string(&record(state, 1, b"")).expect("json");
            let text = text.replace("\"version\":2", "\"version\":1").replace(",\"standing\":\"whole\"", "");
            assert!(!text.contains("standing"), "{text}");
            let read = decode(text.as_bytes(), &agent()).expect("the version before");
            assert_eq!(read.rotation.expect("rotation").state, Phase::Frozen { failure, standing });
        }
    }

    /// One that was written amid a rotation is gone on with, and nothing is asked that was not asked before.
    #[test]
    fn a_journal_from_before_agents_were_asked_whether_they_work_is_read() {
        let verifying = Phase::Verifying { before: Before::NotServed };
        let mut record = record(verifying, 1, b"");
        let text = serde_json::to_string(&record).expect("json");
        assert!(!text.contains("function"), "{text}");
        let read = decode(text.as_bytes(), &agent()).expect("a journal");
        assert_eq!(read.rotation.expect("a rotation").function, None);
        let at = Timestamp::UNIX_EPOCH;
        let failure = Some(Failure { reason: "status".into(), message: "503".into() });
        let before = FunctionSighting { state: FunctionState::DoesNotWork, at, failure };
        record.rotation.as_mut().expect("a rotation").function = Some(RotationFunction { before, after: None });
        record.function_worked_at = Some(at);
        let text = serde_json::to_string(&record).expect("json");
        assert_eq!(decode(text.as_bytes(), &agent()).expect("a journal"), record);
    }

    /// Holds A9: a journal that was lost under an earlier program, and then written by it, still lets what lies there be copied.
    #[test]
    fn a_lost_journal_of_a_program_that_did_not_tell_of_its_copies_has_copied_nothing() {
        let read = |digest: &[u8], copied: Option<Vec<Digest>>, has_files: bool| {
            let mut record = record(Phase::Keyed, 1, digest);
            let rotation = record.rotation.as_mut().expect("rotation");
            rotation.copied = copied;
            if !has_files {
                rotation.files.clear();
            }
            let text = serde_json::to_vec(&record).expect("json");
            decode(&text, &agent()).expect("read").rotation.expect("rotation").copied
        };
        let some = Some(vec![Digest::of(b"copy")]);
        assert_eq!(read(b"", None, true), Some(Vec::new()));
        assert_eq!(read(b"", some.clone(), true), some);
        assert_eq!(read(b"", None, false), None);
        assert_eq!(read(b"opened", None, true), None);
    }

    /// Journals on hosts outlive the names of types.
    #[test]
    fn a_rollback_is_written_and_read_by_the_word_that_journals_have() {
        let failure = RotationFailure::new("any", "any");
        let before = Before::NotServed;
        let phase = Phase::RollingBack { step: Rollback::Drain, before, failure, by_order: true };
        let failure = json!({"reason": "any", "message": "any"});
        let written =
            json!({"phase": "undoing", "step": "drain", "before": "notServed", "failure": failure, "byOrder": true});
        assert_eq!(serde_json::to_value(&phase).expect("written"), written);
        assert_eq!(serde_json::from_value::<Phase>(written).expect("read"), phase);
    }

    /// Holds A7: a freeze that is tried again for months is still read at the next start, with its first and its last cause.
    #[test]
    fn a_journal_never_outgrows_what_the_next_start_reads() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("powerchute.json");
        let long = |what: &str| format!("{what}{}", "\u{1}".repeat(100_000));
        let mut failure = RotationFailure::new("first", long("the first cause"));
        let mut kept = record(Phase::Keyed, 1, b"");
        for n in 0..1000 {
            failure =
                failure.followed_by(RotationFailure::new("again", long(&format!("attempt {n}"))), "restore_failed");
            let rotation = kept.rotation.as_mut().expect("rotation");
            rotation.state = Phase::Frozen { failure: failure.clone(), standing: FrozenFiles::Whole };
            rotation.log(Timestamp::UNIX_EPOCH, failure.text());
            if n % 50 == 49 {
                kept.save(&path).expect("save");
                let size = std::fs::metadata(&path).expect("there").len();
                assert!(size <= u64::try_from(MAX_BYTES).expect("small"), "{n}: {size} bytes");
            }
        }
        let LoadedJournal::Record(read) = load(&path, &host(), &agent()).expect("load") else {
            panic!("not read again")
        };
        let told = read.rotation.expect("rotation").report().failure.expect("failure");
        assert!(
            told.message.starts_with("the first cause") && told.message.contains("attempt 999"),
            "{}",
            told.message
        );
        assert!(!told.message.contains("attempt 998"));

        // Holds A13: what leaves too little for the entries after a stop is told before it.
        let fits = |kept: &Record| kept.check_room(&path).map_err(|error| error.reason());
        assert_eq!(fits(&kept), Ok(()));
        kept.rotation.as_mut().expect("rotation").csr = Some("x".repeat(MAX_BYTES - MAX_GROWTH));
        assert_eq!(fits(&kept), Err("too_large"));
        kept.save(&path).expect("it can still be written, and would be before the stop");
        // What no note makes so large is not written, and what was written stays.
        kept.rotation.as_mut().expect("rotation").csr = Some("x".repeat(MAX_BYTES));
        assert_eq!(kept.save(&path).expect_err("too large").reason(), "too_large");
        assert!(matches!(load(&path, &host(), &agent()), Ok(LoadedJournal::Record(_))));
    }

    #[test]
    fn a_freeze_has_a_mark_of_its_own() {
        let mut record = record(Phase::Keyed, 1, b"");
        let rotation = record.rotation.as_mut().expect("rotation");
        let frozen = Phase::Frozen { failure: RotationFailure::new("any", ""), standing: FrozenFiles::Whole };
        let mut mark = |state: &Phase, second| {
            rotation.state = state.clone();
            rotation.log(Timestamp::from_second(second).expect("time"), String::new());
            rotation.frozen_at.map(Timestamp::as_second)
        };
        let marks = [(&frozen, 1), (&frozen, 2), (&Phase::Keyed, 3), (&frozen, 4)].map(|(state, at)| mark(state, at));
        // The fixture was marked before; what goes on is the same freeze.
        assert_eq!(marks[0], marks[1]);
        assert_eq!(marks[2..], [None, Some(4)]);
    }

    #[test]
    fn the_step_log_is_bounded_and_keeps_both_ends() {
        let mut record = record(Phase::Keyed, 1, b"");
        let rotation = record.rotation.as_mut().expect("rotation");
        for n in 0..3 * MAX_STEPS {
            rotation.log(Timestamp::UNIX_EPOCH, n.to_string());
        }
        assert_eq!(rotation.steps.len(), MAX_STEPS);
        assert_eq!(rotation.steps[0].note, "0");
        assert_eq!(rotation.steps[MAX_STEPS - 1].note, (3 * MAX_STEPS - 1).to_string());
    }
}
