//! What all agents of a host share: who may speak, where the journals lie, the power and the end of the program.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kagiban_crds::host_api::Target;
use kagiban_crds::{AgentName, Epoch, Generation, HostName, Lineage};
use tokio_util::sync::CancellationToken;

use super::agent::{Agent, AgentConfigError};
use super::deliveries::Deliveries;
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
    /// Of the certificates that are replaced here.
    pub(super) deliveries: Deliveries,
    /// A lock that is never held while a file is read or written: whoever answers a request asks for it.
    speaker: Arc<Mutex<Speaker>>,
    /// For the threads of agents, which may wait for a disk.
    files: Arc<Mutex<HostFiles>>,
    /// The rotations that are not decided yet, of all agents whose journals were read. A lock as `speaker`. An order begins one, and
    /// the host is given away, only under that of `files`.
    undecided: Arc<Mutex<BTreeMap<AgentName, Generation>>>,
    /// Cancelled when the program is to end: nothing new is begun then.
    pub stop: CancellationToken,
    /// Whether an agent's commands are refused where others than administrators may exchange what they run.
    pub(super) refuses_exposed: bool,
}

/// Who may give orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// The installation of the operator that the host obeys, as far as it is known; none while it was given to none.
    pub lineage: Option<Lineage>,
    /// The highest epoch that was accepted of it.
    pub epoch: Epoch,
}

/// What is durable of it.
#[derive(Debug)]
struct HostFiles {
    lineage: LineageFile,
    fence: FenceFile,
    /// The highest epoch accepted for any agent, whichever lineage has spoken.
    fenced: Epoch,
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
        let fenced = fence.known().epoch.max(accepted_by_agents(&state_directory));
        let files = HostFiles { lineage: LineageFile::at(state_directory.lineage()), fence, fenced };
        Self {
            name,
            state_directory,
            power,
            deliveries: Deliveries::default(),
            speaker: Arc::new(Mutex::new(files.speaker())),
            files: Arc::new(Mutex::new(files)),
            undecided: Arc::default(),
            stop: CancellationToken::new(),
            refuses_exposed: platform::refuses_exposed(),
        }
    }

    /// The same, beside those who give the agents' certificates to their clients.
    #[must_use]
    pub fn beside(self, deliveries: Deliveries) -> Self {
        Self { deliveries, ..self }
    }

    /// The same, obeying the installation of the operator that the configuration names.
    #[must_use]
    pub fn obeying(self, lineage: Option<Lineage>) -> Self {
        self.with_files(|files| files.lineage.configure(lineage));
        self
    }

    /// Whether what an agent's commands run is what administrators have put there. It blocks for some seconds where a file system hangs.
    ///
    /// # Errors
    /// [`AgentConfigError::Exposed`], where this program works for the system. Elsewhere people are told, and nothing is refused.
    pub(super) fn check_unexposed(&self, agent: &Agent) -> Result<(), AgentConfigError> {
        if self.refuses_exposed { agent.check_unexposed() } else { Ok(()) }
    }

    /// As far as it is known.
    pub fn speaker(&self) -> Speaker {
        self.held_speaker().clone()
    }

    /// Before an order is written down: the host obeys whoever has given it. Durable when it returns. The rotation that is not decided
    /// then, if any, keeps the host from being given away; one that the order decides does until that is written
    /// ([`Self::note_undecided`]).
    ///
    /// # Errors
    /// See [`FenceError`].
    pub(super) fn take_order(&self, by: &Target, undecided: Option<Generation>) -> Result<(), FenceError> {
        self.check_in_place()?;
        self.with_files(|files| {
            files.lineage.read()?;
            if let Some(lineage) = &by.lineage {
                files.lineage.obey(lineage, files.fenced)?;
            }
            files.check_lineage(by.lineage.as_ref())?;
            if undecided.is_some() {
                self.note_undecided(&by.agent, undecided);
            }
            Ok(())
        })
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// See [`FenceError`].
    pub(super) fn hand_over(&self, by: &Target, to: &Lineage) -> Result<(), FenceError> {
        self.check_in_place()?;
        self.with_files(|files| {
            files.lineage.read()?;
            files.check_lineage(by.lineage.as_ref())?;
            // Another agent may have heard its successor, who is to keep the host, since this order was admitted.
            let Speaker { epoch: accepted, .. } = files.speaker();
            if by.epoch < accepted {
                return Err(FenceError::Deposed { epoch: by.epoch, accepted });
            }
            // A chain that an agent waits for would come from nobody any more.
            if let Some((agent, generation)) = self.held_undecided().first_key_value() {
                return Err(FenceError::InProgress { agent: agent.clone(), generation: *generation });
            }
            files.lineage.hand_over(to, files.fenced)
        })
    }

    /// Which rotation of an agent is not decided yet.
    pub(super) fn note_undecided(&self, agent: &AgentName, generation: Option<Generation>) {
        self.deliveries.note_rotation(agent, generation.is_some());
        let mut undecided = self.held_undecided();
        match generation {
            Some(generation) => undecided.insert(agent.clone(), generation),
            None => undecided.remove(agent),
        };
    }

    /// The same, ending when `stop` is cancelled.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Reads the host's fence, and whom it obeys, if they could not be read before.
    pub(super) fn read_epoch(&self) -> Result<(), FenceError> {
        self.with_files(|files| {
            files.lineage.read()?;
            files.fenced = files.fenced.max(files.fence.read()?.epoch);
            Ok(())
        })
    }

    /// Of an order. Durable when it returns.
    ///
    /// # Errors
    /// See [`FenceError`].
    pub(super) fn raise_epoch(&self, lineage: Option<&Lineage>, to: Epoch) -> Result<(), FenceError> {
        self.check_in_place()?;
        self.with_files(|files| {
            files.lineage.read()?;
            files.check_lineage(lineage)?;
            if files.lineage.raise(to, files.fenced)? { Ok(()) } else { files.raise_fence(to) }
        })
    }

    /// Of what an agent has accepted, whichever lineage has spoken then. Durable when it returns.
    ///
    /// # Errors
    /// See [`FenceError`].
    pub(super) fn raise_fence(&self, to: Epoch) -> Result<(), FenceError> {
        self.check_in_place()?;
        self.with_files(|files| files.raise_fence(to))
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
    fn with_files<T>(&self, work: impl FnOnce(&mut HostFiles) -> T) -> T {
        // A panic elsewhere leaves them as whole as they were, and so with the other locks.
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let worked = work(&mut files);
        *self.held_speaker() = files.speaker();
        worked
    }

    fn held_speaker(&self) -> MutexGuard<'_, Speaker> {
        self.speaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_undecided(&self) -> MutexGuard<'_, BTreeMap<AgentName, Generation>> {
        self.undecided.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostFiles {
    fn speaker(&self) -> Speaker {
        Speaker { lineage: self.lineage.obeyed().cloned(), epoch: self.lineage.epoch().unwrap_or(self.fenced) }
    }

    /// Whoever was admitted may have been followed by another meanwhile.
    fn check_lineage(&self, lineage: Option<&Lineage>) -> Result<(), FenceError> {
        match self.lineage.obeyed() {
            Some(obeyed) if lineage != Some(obeyed) => Err(FenceError::OtherLineage(obeyed.clone())),
            Some(_) | None => Ok(()),
        }
    }

    fn raise_fence(&mut self, to: Epoch) -> Result<(), FenceError> {
        self.fence.raise(Fence { epoch: to, generation: Generation(0) })?;
        self.fenced = self.fenced.max(to);
        Ok(())
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
        let again = || {
            Host::new(name.clone(), state_directory.clone(), PowerGate::new(&PowerConfig::default())).speaker().epoch
        };
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
