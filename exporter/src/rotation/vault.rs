//! The state directory: which files of ours lie where.

use std::fs::File;
use std::path::{Path, PathBuf};

use kagiban_crds::{AgentName, Generation};

use crate::platform::{self, WriteError};

/// Below the state directory.
const JOURNALS: &str = "journal";

/// Names of the state directory's contents.
#[derive(Clone, Debug)]
pub struct Vault {
    root: PathBuf,
}

/// Held for as long as this process minds the state directory.
#[derive(Debug)]
pub struct VaultLock {
    _file: File,
}

/// Why the state directory is not ours.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("the state directory: {0}")]
    Write(#[from] WriteError),
    #[error("{}: another kagiban-exporter uses this state directory; stop it first", path.display())]
    InUse { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Lock { path: PathBuf, source: std::io::Error },
}

impl Vault {
    /// Whether an earlier run has kept journals in `root`.
    pub fn exists(root: &Path) -> bool {
        root.join(JOURNALS).is_dir()
    }

    /// Makes the directories, all private, and takes the lock.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub fn open(root: &Path) -> Result<(Self, VaultLock), VaultError> {
        let vault = Self::at(root);
        platform::create_private_directory(&vault.root)?;
        platform::create_private_directory(&vault.root.join(JOURNALS))?;
        platform::create_private_directory(&vault.root.join("backups"))?;
        platform::create_private_directory(&vault.root.join("fences"))?;
        let lock = vault.lock()?;
        // All agents write the host's fence: what an earlier run left of it goes before any of them begins.
        for error in platform::sweep(&vault.host_fence()) {
            tracing::warn!(%error, "left-over files of the host's fence could not be removed");
        }
        Ok((vault, lock))
    }

    /// Names alone: nothing is made, and somebody else may hold the lock.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
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
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
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

    /// Where copies go of what was overwritten without a journal that told what it was.
    pub(super) fn kept(&self, agent: &AgentName) -> PathBuf {
        self.root.join("kept").join(agent.as_str())
    }

    /// The highest epoch and generation accepted for an agent, kept apart from its journal.
    pub(super) fn fence(&self, agent: &AgentName) -> PathBuf {
        self.root.join("fences").join(format!("{agent}.json"))
    }

    /// The highest epoch accepted for any agent.
    pub(super) fn host_fence(&self) -> PathBuf {
        self.root.join("fence.json")
    }

    /// Where a person leaves what a running exporter is asked to do.
    pub(super) fn requests(&self) -> PathBuf {
        self.root.join("requests")
    }

    pub(super) fn thaw_request(&self, agent: &AgentName) -> PathBuf {
        self.requests().join(format!("{agent}.thaw.json"))
    }

    pub(super) fn lock(&self) -> Result<VaultLock, VaultError> {
        let path = self.root.join("lock");
        let failed = |source| VaultError::Lock { path: path.clone(), source };
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(VaultLock { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(VaultError::InUse { path }),
            Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}
