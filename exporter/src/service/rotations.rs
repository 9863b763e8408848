//! The agents' rotations in the life of the program: files whole before it is ready, finished after that, services up before
//! it ends. Each agent by itself: what is wrong with one, or with the host API, keeps no other from being recovered.
//!
//! ```text
//!   start ──> state directory, configurations ──> a worker per agent: files made whole ──> `files_are_whole`
//!                                                        │                                     READY is told
//!                                                        ├── `finish` ──> stop, start, verify <────┘
//!                                                        └── `end` ──> nothing new; services up; the thread ends
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kagiban_crds::{AgentName, HostName};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::shown::{self, Shown};
use super::tell;
use crate::config::{AgentConfig, PowerConfig, RefusedAgent};
use crate::platform::Lifecycle;
use crate::rotation::agent::Agent;
use crate::rotation::conflicts::{self, Conflict};
use crate::rotation::{
    AgentStatus, Ended, Host, PowerGate, Vault, VaultError, VaultLock, Worker, Workers, is_unfinished,
};
use crate::snapshot::{Board, Label, Trouble};

/// How long READY waits for the agents' files. Renames and syncs of some small files take milliseconds; a service manager
/// waits 90 s by default, and a disk that hangs must not keep the metrics away.
pub const FILES_DEADLINE: Duration = Duration::from_secs(20);
/// Within which it is known whether agents share a file; less than READY waits, so that no service is touched before.
const CONFLICTS_DEADLINE: Duration = Duration::from_secs(10);
/// How often the service manager hears that the program still stops.
const STILL_STOPPING: Duration = Duration::from_secs(5);
/// Within which it hears the next such word; several may be late on a busy host.
const NEXT_WORD: Duration = Duration::from_secs(30);

/// What the rotations of a host need, from its configuration.
#[derive(Debug)]
pub struct Setup {
    pub host: HostName,
    pub agents: Vec<AgentConfig>,
    pub refused: Vec<RefusedAgent>,
    pub power: PowerConfig,
    pub state_directory: PathBuf,
}

/// The workers of a host, from their start to their end.
#[derive(Debug)]
pub struct Rotations {
    finish: CancellationToken,
    stop: CancellationToken,
    phase: watch::Receiver<Phase>,
    /// Ends when every worker has ended.
    task: JoinHandle<()>,
}

#[derive(Clone, Debug)]
enum Phase {
    Opening,
    /// Nothing can be rotated here.
    Failed,
    Opened(Arc<Workers>),
    /// The same, and no agent's files are still being made whole.
    Whole(Arc<Workers>),
}

impl Rotations {
    /// Begins to make the files of every agent whole. Nothing is stopped, started or looked at before
    /// [`Rotations::finish`]; everything ends once `stop` is cancelled and the services are up.
    pub fn start(setup: Setup, board: Arc<Board>, stop: CancellationToken) -> Self {
        let finish = CancellationToken::new();
        let (publish, phase) = watch::channel(Phase::Opening);
        let task = tokio::spawn(run(setup, board, finish.clone(), stop.clone(), publish));
        Self { finish, stop, phase, task }
    }

    /// Returns once the files of every agent are whole, or known to be beyond help, or after [`FILES_DEADLINE`].
    pub async fn files_are_whole(&mut self) -> bool {
        let whole = self.phase.wait_for(|phase| matches!(phase, Phase::Whole(_) | Phase::Failed));
        let in_time = timeout(FILES_DEADLINE, whole).await.is_ok();
        if !in_time {
            error!(
                seconds = FILES_DEADLINE.as_secs(),
                "the files of an agent are not known to be whole yet, and the program becomes ready without; see \
                 kagiban_rotation_state and whether a disk hangs"
            );
        }
        in_time
    }

    /// From now on services are stopped, started and looked at.
    pub fn finish(&self) {
        self.finish.cancel();
    }

    /// The workers once the state directory is open; none when nothing can be rotated.
    pub fn workers(&self) -> impl Future<Output = Option<Arc<Workers>>> + use<> {
        let mut phase = self.phase.clone();
        async move {
            let opened = phase.wait_for(|phase| !matches!(phase, Phase::Opening)).await.ok()?.clone();
            match opened {
                Phase::Opened(workers) | Phase::Whole(workers) => Some(workers),
                Phase::Opening | Phase::Failed => None,
            }
        }
    }

    /// Whether an agent's rotation is neither decided nor waiting for its chain.
    pub fn is_unfinished(&self) -> bool {
        match &*self.phase.borrow() {
            Phase::Opening | Phase::Failed => false,
            Phase::Opened(workers) | Phase::Whole(workers) => !workers.unfinished().is_empty(),
        }
    }

    /// Whether agents with a worker take nothing new, as they are configured.
    pub fn refuses_any(&self) -> bool {
        match &*self.phase.borrow() {
            Phase::Opening | Phase::Failed => false,
            Phase::Opened(workers) | Phase::Whole(workers) => {
                workers.workers.iter().any(|worker| workers.refused.contains_key(&worker.agent.name))
            }
        }
    }

    /// Returns once what an earlier run left is decided.
    pub async fn settled(&self) {
        let Some(workers) = self.workers().await else { return };
        let settled = workers.workers.iter().map(|worker| async {
            let mut status = worker.watch();
            // An error: the worker has ended.
            let _ = status.wait_for(|status| !is_unfinished(status)).await;
        });
        join_all(settled).await;
    }

    /// Waits until no service is down because of a rotation and every worker has ended, and tells the service manager
    /// so. What takes longer than the agents' own timeouts allow goes on at the next start.
    pub async fn end(self) {
        self.stop.cancel();
        let Self { phase, mut task, .. } = self;
        let opened = match &*phase.borrow() {
            Phase::Opened(workers) | Phase::Whole(workers) => Some(Arc::clone(workers)),
            // A state directory that hangs has no worker that could have stopped a service.
            Phase::Opening | Phase::Failed => None,
        };
        let Some(workers) = opened else { return task.abort() };
        drop(phase);
        let mut late = std::pin::pin!(sleep(workers.stop_timeout()));
        let mut ticks = interval(STILL_STOPPING);
        loop {
            tokio::select! {
                _ = &mut task => return,
                () = &mut late => break,
                _ = ticks.tick() => {
                    let status = format!("Stopping; not before these agents run again: {}", names(&workers.unfinished()));
                    tell(Lifecycle::StillStopping { next_word_within: NEXT_WORD, status }).await;
                }
            }
        }
        let agents = names(&workers.unfinished());
        warn!(agents, "rotations go on at the next start: their commands took longer than their timeouts");
        task.abort();
    }
}

fn names(agents: &[&AgentName]) -> String {
    let names: Vec<_> = agents.iter().map(|name| name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

async fn run(
    setup: Setup,
    board: Arc<Board>,
    finish: CancellationToken,
    stop: CancellationToken,
    publish: watch::Sender<Phase>,
) {
    let shown = Shown::new(Arc::clone(&board));
    for refused in &setup.refused {
        error!(agent = %refused.name, error = refused.message, "this agent's configuration is refused; the others go on");
        shown.refused(&refused.name, "bad_configuration", &refused.message);
    }
    let Setup { host, agents, refused, power, state_directory } = setup;
    let well = agents.iter().map(|agent| agent.name.to_string());
    let configured: BTreeSet<_> = well.chain(refused.iter().map(|refused| refused.name.as_str().to_owned())).collect();
    for agent in &agents {
        shown.reading(&agent.name);
    }
    let names: Vec<_> = agents.iter().map(|agent| agent.name.clone()).collect();

    let (opened, opening) = oneshot::channel();
    let (compared, comparing) = oneshot::channel();
    // Both look at file systems, which may hang. The thread is its own: it must go on, however late, when they do not any more.
    let thread = std::thread::Builder::new().name("rotations".to_owned()).spawn(move || {
        let resolved: Vec<_> = agents.iter().map(|agent| (agent.name.clone(), Agent::resolve(agent))).collect();
        let vault = Vault::open(&state_directory);
        let orphans = vault.as_ref().map(|(vault, _)| shown::left_by_others(vault, &configured)).unwrap_or_default();
        let well: Vec<_> = resolved.iter().filter_map(|(_, agent)| agent.as_ref().ok().cloned()).collect();
        let _ = opened.send((resolved, vault, orphans));
        // Last: where the files of one agent hang, the others are recovered meanwhile.
        let _ = compared.send(conflicts::all(&well));
    });
    if let Err(error) = thread {
        error!(%error, "no thread for the agents' rotations");
        names.iter().for_each(|name| shown.refused(&Label::new(name.as_str()), "no_thread", &error.to_string()));
        publish.send_replace(Phase::Failed);
        return;
    }
    let (resolved, opened, orphans) = opening.await.expect("the thread does not panic");
    for orphan in orphans {
        shown.left(orphan);
    }
    let (vault, lock): (Vault, VaultLock) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            error!(%error, "no agent is rotated, and nothing that an earlier run left is finished");
            let reason = match &error {
                VaultError::InUse { .. } => "state_directory_in_use",
                VaultError::Write(_) | VaultError::Lock { .. } => "state_directory",
            };
            names.iter().for_each(|name| shown.refused(&Label::new(name.as_str()), reason, &error.to_string()));
            publish.send_replace(Phase::Failed);
            return;
        }
    };

    let host = Host::new(host, vault, PowerGate::new(&power).watching(board.clone())).until(stop);
    let mut workers = Vec::new();
    let mut ended: Vec<Ended> = Vec::new();
    let by_name = |refused: RefusedAgent| Some((refused.name.as_str().parse().ok()?, refused.message));
    let mut refused: BTreeMap<AgentName, String> = refused.into_iter().filter_map(by_name).collect();
    for (name, agent) in resolved {
        let spawned = agent.map_err(|error| ("bad_configuration", error.to_string())).and_then(|agent| {
            Worker::spawn(host.clone(), agent, finish.clone()).map_err(|error| ("no_thread", error.to_string()))
        });
        match spawned {
            Ok((worker, end)) => {
                workers.push(worker);
                ended.push(end);
            }
            Err((reason, message)) => {
                error!(agent = %name, error = message, "this agent is not rotated; the others are");
                shown.refused(&Label::new(name.as_str()), reason, &message);
                refused.insert(name, message);
            }
        }
    }
    let mut clashing = clashing(comparing, &workers).await;
    for (name, (_, message)) in &clashing {
        error!(agent = %name, error = message, "this agent finishes what an earlier run left, and takes nothing new");
        refused.insert(name.clone(), message.clone());
    }
    let workers = Arc::new(Workers { host, workers, refused });
    let follow = |worker: &Worker| {
        let clash = clashing.remove(&worker.agent.name);
        shown.follow(worker, clash.map(|(reason, message)| Trouble::new(reason, &message)))
    };
    let following = workers.workers.iter().map(follow).collect::<Vec<_>>();
    let stop_timeout = workers.stop_timeout();
    board.note_stop_timeout(stop_timeout);
    info!(seconds = stop_timeout.as_secs(), "a stop may take this long; give the unit no shorter TimeoutStopSec");
    publish.send_replace(Phase::Opened(Arc::clone(&workers)));

    let read = workers.workers.iter().map(|worker| async {
        // An error: the worker has ended, and reads no more.
        let _ = worker.watch().wait_for(|status| !matches!(status, AgentStatus::Reading)).await;
    });
    let whole = async {
        join_all(read).await;
        publish.send_replace(Phase::Whole(Arc::clone(&workers)));
    };
    futures::join!(whole, join_all(following), join_all(ended));
    drop(lock);
}

/// The agents that would get in each other's way, and all where that cannot be known: each with a reason and a message.
async fn clashing(
    comparing: oneshot::Receiver<Vec<Conflict>>,
    workers: &[Worker],
) -> BTreeMap<AgentName, (&'static str, String)> {
    let Ok(conflicts) = timeout(CONFLICTS_DEADLINE, comparing).await else {
        let message = "whether it shares a file with another agent is not known, because a file system hangs; mend it and \
                       start the exporter again";
        let unknown = |worker: &Worker| (worker.agent.name.clone(), ("file_system_hangs", message.to_owned()));
        return workers.iter().map(unknown).collect();
    };
    let mut clashing = BTreeMap::new();
    for conflict in conflicts.expect("the thread does not panic") {
        for agent in conflict.agents() {
            clashing.entry(agent.clone()).or_insert_with(|| (conflict.reason(), conflict.to_string()));
        }
    }
    clashing
}
