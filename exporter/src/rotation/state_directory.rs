//! The state directory: which files of ours lie where.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kagiban_crds::{AgentName, Generation};

use crate::platform::{self, DirectoryIdentity, FileError, FileLock, WriteError};

/// Below the state directory.
const JOURNALS: &str = "journal";
const FENCES: &str = "fences";

/// Names of the state directory's contents.
#[derive(Clone, Debug)]
pub struct StateDirectory {
    root: PathBuf,
    /// Which directory was locked; none where none was.
    opened: Option<DirectoryIdentity>,
}

/// Held for as long as this process minds the state directory.
#[derive(Debug)]
pub struct StateDirectoryLock {
    _lock: FileLock,
}

/// Why the state directory is not ours.
#[derive(Debug, thiserror::Error)]
pub enum StateDirectoryError {
    #[error("the state directory: {0}")]
    Write(#[from] WriteError),
    #[error("{}: another kagiban-exporter uses this state directory; stop it first", path.display())]
    InUse { path: PathBuf },
    #[error("the state directory: {}: {source}", path.display())]
    Lock { path: PathBuf, source: std::io::Error },
}

impl StateDirectory {
    /// Whether an earlier run has kept journals in `root`.
    pub fn exists(root: &Path) -> bool {
        root.join(JOURNALS).is_dir()
    }

    /// Makes what a journal needs, private, and takes the lock. Where an earlier run has done so, nothing is written: neither
    /// a full disk nor a read-only one keeps files from being made whole. All else is made when something is first written
    /// there.
    ///
    /// # Errors
    /// See [`StateDirectoryError`].
    pub fn open(root: &Path) -> Result<(Self, StateDirectoryLock), StateDirectoryError> {
        let mut state_directory = Self::at(root);
        platform::create_private_directory(&state_directory.root)?;
        platform::create_private_directory(&state_directory.root.join(JOURNALS))?;
        let lock = state_directory.lock()?;
        state_directory.opened = platform::directory_identity(root).ok();
        // All agents write these: what an earlier run left of them goes before any of them begins.
        for path in [state_directory.host_fence(), state_directory.lineage()] {
            for error in platform::sweep(&path) {
                tracing::warn!(%error, "left-over files of the host's fence could not be removed");
            }
        }
        Ok((state_directory, lock))
    }

    /// Names alone: nothing is made, and somebody else may hold the lock.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), opened: None }
    }

    /// The agents that a journal is kept of; none where the directory cannot be listed.
    pub fn agents_with_journals(&self) -> Vec<AgentName> {
        self.agents().unwrap_or_default()
    }

    /// The agents that a journal is kept of, in order.
    ///
    /// # Errors
    /// When the directory cannot be listed; that there is none is no error.
    pub fn agents(&self) -> std::io::Result<Vec<AgentName>> {
        let entries = match std::fs::read_dir(self.root.join(JOURNALS)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let name = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok();
        let mut agents: Vec<_> = entries.filter_map(Result::ok).filter_map(name).collect();
        agents.sort_unstable();
        Ok(agents)
    }

    pub fn journal(&self, agent: &AgentName) -> PathBuf {
        self.root.join(JOURNALS).join(format!("{agent}.json"))
    }

    pub fn backups(&self, agent: &AgentName) -> PathBuf {
        self.root.join("backups").join(agent.as_str())
    }

    pub fn backup(&self, agent: &AgentName, generation: Generation) -> PathBuf {
        self.backups(agent).join(generation.to_string())
    }

    /// Where a product's own program writes its backups: a private key is in each.
    pub(super) fn product_backups(&self, agent: &AgentName) -> PathBuf {
        self.root.join("product-backups").join(agent.as_str())
    }

    /// Where copies go of what was overwritten without a journal that told what it was.
    pub(super) fn kept(&self, agent: &AgentName) -> PathBuf {
        self.root.join("kept").join(agent.as_str())
    }

    /// The highest epoch and generation accepted for an agent, kept apart from its journal.
    pub(super) fn fence(&self, agent: &AgentName) -> PathBuf {
        self.root.join(FENCES).join(format!("{agent}.json"))
    }

    /// Those of all agents, also of those that are not configured.
    pub(super) fn fences(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.root.join(FENCES)).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "json")).collect()
    }

    /// The highest epoch accepted for any agent.
    pub(super) fn host_fence(&self) -> PathBuf {
        self.root.join("fence.json")
    }

    /// Which installation of the operator the host obeys.
    pub(super) fn lineage(&self) -> PathBuf {
        self.root.join("lineage.json")
    }

    /// Where a person leaves what a running exporter is asked to do.
    pub(super) fn requests(&self) -> PathBuf {
        self.root.join("requests")
    }

    pub(super) fn thaw_request(&self, agent: &AgentName) -> PathBuf {
        self.requests().join(format!("{agent}.thaw.json"))
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Whether the directory is the one that was opened: a file system that is mounted over it, or another directory in its place,
    /// has other journals and other fences. One that cannot be asked is not another one: what is done there says what is wrong.
    pub fn is_in_place(&self) -> bool {
        match (self.opened, platform::directory_identity(&self.root)) {
            (Some(opened), Ok(now)) => now.device == opened.device && !now.is_another_than(&opened),
            (Some(_), Err(FileError::NotFound { .. })) => false,
            (_, _) => true,
        }
    }

    /// The exporter that runs with another directory of this name: a file system was mounted over it since. Seen by root and by the
    /// exporter's own account.
    pub fn used_elsewhere(&self) -> Option<u32> {
        platform::open_elsewhere(&self.lock_file())
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn lock(&self) -> Result<StateDirectoryLock, StateDirectoryError> {
        let path = self.lock_file();
        match platform::lock(&path) {
            Ok(Some(lock)) => Ok(StateDirectoryLock { _lock: lock }),
            Ok(None) => Err(StateDirectoryError::InUse { path }),
            Err(source) => Err(StateDirectoryError::Lock { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::testing::with_read_only;

    /// Holds A11: an earlier run has made what is needed; a disk that takes nothing more is no reason to leave files apart.
    #[test]
    fn a_state_directory_that_an_earlier_run_has_made_is_opened_where_nothing_can_be_written() {
        let directory = tempfile::tempdir().expect("directory");
        let root = directory.path().join("state");
        drop(StateDirectory::open(&root).expect("the first time"));
        let (is_opened, second) = with_read_only(&root, || {
            let opened = StateDirectory::open(&root);
            (opened.is_ok(), StateDirectory::open(&root))
        });
        assert!(is_opened && second.is_err_and(|error| matches!(error, StateDirectoryError::InUse { .. })));
    }

    /// Holds A14: a file system that is mounted over it later, or another directory in its place, has no fences of ours.
    #[test]
    fn another_directory_in_the_place_of_the_one_that_was_locked_is_not_written_to() {
        let directory = tempfile::tempdir().expect("directory");
        let (root, aside) = (directory.path().join("state"), directory.path().join("aside"));
        let (state_directory, _lock) = StateDirectory::open(&root).expect("opened");
        assert!(state_directory.is_in_place());
        std::fs::rename(&root, &aside).expect("renamed");
        assert!(!state_directory.is_in_place());
        let other = StateDirectory::open(&root).expect("another one");
        assert!(!state_directory.is_in_place() && other.0.is_in_place());
        drop(other);
        std::fs::remove_dir_all(&root).expect("removed");
        std::fs::rename(&aside, &root).expect("renamed");
        assert!(state_directory.is_in_place());
    }

    /// Holds A11: what is not needed yet is not made: there may be no room for it.
    #[test]
    fn nothing_but_the_journals_directory_is_made_before_it_is_needed() {
        let directory = tempfile::tempdir().expect("directory");
        let (_vault, _lock) = StateDirectory::open(directory.path()).expect("opened");
        let mut names: Vec<_> =
            std::fs::read_dir(directory.path()).expect("list").map(|entry| entry.expect("entry").file_name()).collect();
        names.sort();
        assert_eq!(names, [JOURNALS, "lock"]);
    }
}
