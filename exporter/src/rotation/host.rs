//! What all agents of a host share: who may speak, where the journals lie, the power and the end of the program.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kagiban_crds::{Epoch, Generation, HostName, Lineage};
use tokio_util::sync::CancellationToken;

use super::agent::{Agent, AgentConfigError};
use super::fences::{Fence, FenceError, FenceFile};
use super::journal::Record;
use super::lineage::LineageFile;
use super::power::PowerGate;
use super::state_directory::StateDirectory;
use crate::platform::{self, WriteError};

/// What all agents of a host share.
#[derive(Clone, Debug)]
pub struct Host {
    pub name: HostName,
    pub state_directory: StateDirectory,
    pub power: PowerGate,
    /// The highest epoch accepted for any agent.
    epoch: Arc<AtomicU64>,
    /// Of the whole host.
    fence: Arc<Mutex<FenceFile>>,
    /// Whom the host obeys. A lock that is never held while a file is read or written: whoever answers a request asks for it.
    obeyed: Arc<Mutex<Option<Lineage>>>,
    lineage: Arc<Mutex<LineageFile>>,
    /// Cancelled when the program is to end: nothing new is begun then.
    pub stop: CancellationToken,
    /// Whether an agent's commands are refused where others than administrators may exchange what they run.
    pub(super) refuses_exposed: bool,
}

/// The highest epoch that any agent's fence or journal tells of, also those of agents that are not configured any more: the
/// host's own fence may have been lost.
fn accepted_by_agents(state_directory: &StateDirectory) -> Epoch {
    let of_journals = state_directory.agents_with_journals().into_iter().filter_map(|agent| {
        let record = Record::peek(&state_directory.journal(&agent), &agent)?;
        Some(record.epoch)
    });
    // One that cannot be read is told by the agent that it belongs to.
    let of_fences = state_directory.fences().into_iter().filter_map(|path| Some(Fence::peek(&path)?.epoch));
    of_journals.chain(of_fences).max().unwrap_or(Epoch(0))
}

impl Host {
    pub fn new(name: HostName, state_directory: StateDirectory, power: PowerGate) -> Self {
        let fence = FenceFile::at(state_directory.host_fence());
        let epoch = Arc::new(AtomicU64::new(fence.known().epoch.max(accepted_by_agents(&state_directory)).0));
        let lineage = LineageFile::at(state_directory.lineage());
        Self {
            name,
            state_directory,
            power,
            epoch,
            fence: Arc::new(Mutex::new(fence)),
            obeyed: Arc::new(Mutex::new(lineage.obeyed())),
            lineage: Arc::new(Mutex::new(lineage)),
            stop: CancellationToken::new(),
            refuses_exposed: platform::refuses_exposed(),
        }
    }

    /// The same, obeying the installation of the operator that the configuration names.
    #[must_use]
    pub fn obeying(self, lineage: Option<Lineage>) -> Self {
        self.with_lineage(|file| file.configure(lineage));
        self
    }

    /// Whether what an agent's commands run is what administrators have put there. It blocks for some seconds where a file system hangs.
    ///
    /// # Errors
    /// [`AgentConfigError::Exposed`], where this program works for the system. Elsewhere people are told, and nothing is refused.
    pub(super) fn check_unexposed(&self, agent: &Agent) -> Result<(), AgentConfigError> {
        if self.refuses_exposed { agent.check_unexposed() } else { Ok(()) }
    }

    /// Whom this host obeys, as far as it is known.
    pub fn lineage(&self) -> Option<Lineage> {
        self.held_obeyed().clone()
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// See [`FenceError`].
    pub(super) fn obey(&self, lineage: &Lineage) -> Result<(), FenceError> {
        self.check_in_place()?;
        self.with_lineage(|file| file.obey(lineage))
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// See [`FenceError`].
    pub(super) fn hand_over(&self, to: &Lineage) -> Result<(), FenceError> {
        self.check_in_place()?;
        self.with_lineage(|file| file.hand_over(to))
    }

    /// The same, ending when `stop` is cancelled.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Reads the host's fence, and whom it obeys, if they could not be read before.
    pub(super) fn read_epoch(&self) -> Result<(), FenceError> {
        self.with_lineage(LineageFile::read)?;
        let fence = self.held_fence().read()?;
        self.epoch.fetch_max(fence.epoch.0, Ordering::AcqRel);
        Ok(())
    }

    /// Durable when it returns.
    pub(super) fn raise_epoch(&self, to: Epoch) -> Result<(), FenceError> {
        self.check_in_place()?;
        self.held_fence().raise(Fence { epoch: to, generation: Generation(0) })?;
        self.epoch.fetch_max(to.0, Ordering::AcqRel);
        Ok(())
    }

    /// Durable when it returns. Nothing is written over the journals of another state directory in the place of the one that
    /// was opened.
    ///
    /// # Errors
    /// See [`WriteError`]; the old record is then still whole.
    pub(super) fn save(&self, record: &Record) -> Result<(), WriteError> {
        let path = self.state_directory.journal(&record.agent);
        let elsewhere = |error| WriteError::from_io(&path, "finding its directory", std::io::Error::other(error));
        self.check_in_place().map_err(elsewhere)?;
        record.save(&path)
    }

    /// # Errors
    /// [`FenceError::Elsewhere`].
    pub(super) fn check_in_place(&self) -> Result<(), FenceError> {
        if self.state_directory.is_in_place() {
            Ok(())
        } else {
            Err(FenceError::Elsewhere { path: self.state_directory.root().to_owned() })
        }
    }

    /// For the threads of agents, which may wait for a disk: what came of it is told to all others at the end.
    fn with_lineage<T>(&self, work: impl FnOnce(&mut LineageFile) -> T) -> T {
        // As [`Host::held_fence`].
        let mut file = self.lineage.lock().unwrap_or_else(PoisonError::into_inner);
        let worked = work(&mut file);
        self.held_obeyed().clone_from(&file.obeyed());
        worked
    }

    fn held_obeyed(&self) -> MutexGuard<'_, Option<Lineage>> {
        self.obeyed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic elsewhere leaves the numbers as whole as they were.
    fn held_fence(&self) -> MutexGuard<'_, FenceFile> {
        self.fence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{TRUE, rotator};
    use super::*;
    use crate::config::PowerConfig;

    /// Holds A14: a damaged `fence.json` may be removed, and no deposed leader speaks again: not even when the agent that heard
    /// the last one is called something else now.
    #[test]
    fn the_host_knows_its_epoch_from_agents_that_are_not_configured_any_more() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, lock) = rotator(root.path(), TRUE);
        let removed = |path: &std::path::Path| std::fs::remove_file(path).expect("removed");
        let (state_directory, name) = (rotator.host.state_directory.clone(), rotator.host.name.clone());
        rotator.raise_fences(Epoch(54), Generation(3)).expect("raised");
        drop((rotator, lock));
        removed(&state_directory.host_fence());
        let again =
            || Host::new(name.clone(), state_directory.clone(), PowerGate::new(&PowerConfig::default())).epoch();
        assert_eq!(again(), Epoch(54), "its fence");
        let agent = "web".parse().expect("agent");
        let record = Record { epoch: Epoch(53), ..Record::new(name.clone(), agent) };
        record.save(&state_directory.journal(&record.agent)).expect("saved");
        removed(&state_directory.fence(&record.agent));
        assert_eq!(again(), Epoch(53), "its journal");
    }

    /// Holds A14: a file system that was mounted over the state directory has journals of its own.
    #[test]
    fn no_journal_is_written_into_another_state_directory() {
        let root = tempfile::tempdir().expect("directory");
        let (rotator, _lock) = rotator(root.path(), TRUE);
        let (state, journal) = (root.path().join("state"), rotator.host.state_directory.journal(&rotator.agent.name));
        std::fs::rename(&state, root.path().join("hidden")).expect("moved");
        std::fs::create_dir_all(journal.parent().expect("a directory")).expect("another");
        std::fs::write(&journal, "another rotation").expect("written");
        let error = rotator.host.save(&rotator.record).expect_err("elsewhere");
        assert!(error.to_string().contains("Restart the exporter"), "{error}");
        assert_eq!(std::fs::read_to_string(&journal).expect("there"), "another rotation");
    }
}
