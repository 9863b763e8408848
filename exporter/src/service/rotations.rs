//! The agents' rotations in the life of the program: files whole before it is ready, finished after that, services up before
//! it ends. Each agent by itself: what is wrong with one, or with the host API, keeps no other from being recovered.
//!
//! ```text
//!   start ──> state directory, tried until it opens ──> a worker per agent: found, files made whole ──> `files_are_whole`
//!                                                        │  └── do agents share a file or a service?       READY is told
//!                                                        ├── `finish` ──> stop, start, verify <──────────────┘
//!                                                        └── `end` ──> nothing new; services up; the thread ends
//! ```

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kagiban_crds::{AgentName, HostName, Lineage};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::sharing::Sharing;
use super::shown::{self, Orphan, Shown};
use super::tell;
use crate::blocking::{self, Work};
use crate::config::{AgentConfig, PowerConfig, RefusedAgent};
use crate::platform::Lifecycle;
use crate::rotation::backoff::Backoff;
use crate::rotation::{
    AgentRefusal, AgentStatus, BAD_CONFIGURATION, Deliveries, Host, NO_THREAD, PowerGate, RefusedAgents,
    StateDirectory, StateDirectoryError, StateDirectoryLock, UNKNOWN_WITHIN, Worker, WorkerEnded, Workers, is_read,
    is_unfinished, is_unknown,
};
use crate::snapshot::{Board, Label};

/// How long READY waits for the agents' files. Renames and syncs of some small files take milliseconds; a service manager
/// waits 90 s by default, and a disk that hangs must not keep the metrics away.
pub const FILES_DEADLINE: Duration = Duration::from_secs(20);
/// Within which it is known whether agents share a file; less than READY waits, so that no service is touched before.
const SHARING_WITHIN: Duration = Duration::from_secs(10);
/// How long READY waits for a state directory that does not open; in that time a person's `rotation thaw` has ended.
const OPENING_PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts to open it.
const OPEN_AGAIN: Duration = Duration::from_millis(100);
const OPEN_AGAIN_AT_MOST: Duration = Duration::from_secs(60);
/// How long a stop waits for workers to end once no service is down because of a rotation.
const SERVICES_UP: Duration = Duration::from_secs(5);
/// How often the service manager hears that the program still stops.
const STILL_STOPPING: Duration = Duration::from_secs(5);
/// A file system that is mounted late comes within seconds of the boot.
const LOOK_AT_STATE_DIRECTORY: Duration = Duration::from_secs(5);
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
    /// The installation of the operator that the host obeys, where the configuration names one.
    pub lineage: Option<Lineage>,
}

/// The workers of a host, from their start to their end.
#[derive(Debug)]
pub struct Rotations {
    finish: CancellationToken,
    stop: CancellationToken,
    phase: watch::Receiver<Readiness>,
    deliveries: Deliveries,
    /// Ends when every worker has ended.
    task: JoinHandle<()>,
}

#[derive(Clone, Debug)]
enum Readiness {
    /// The state directory is not open yet.
    Opening,
    /// The same, and READY waits for it no longer; it is still tried.
    Failing,
    /// The workers are at work.
    Working(Arc<Workers>),
    /// The same, and it is known which agents take nothing new.
    Open(Arc<Workers>),
    /// The same, and no agent's files are still being made whole.
    Whole(Arc<Workers>),
}

impl Readiness {
    const fn workers(&self) -> Option<&Arc<Workers>> {
        match self {
            Self::Opening | Self::Failing => None,
            Self::Working(workers) | Self::Open(workers) | Self::Whole(workers) => Some(workers),
        }
    }
}

impl Rotations {
    /// Begins to make the files of every agent whole. Nothing is stopped, started or looked at before
    /// [`Rotations::finish`]; everything ends once `stop` is cancelled and the services are up.
    pub fn start(setup: Setup, board: Arc<Board>, stop: CancellationToken) -> Self {
        let finish = CancellationToken::new();
        let (publish, phase) = watch::channel(Readiness::Opening);
        let deliveries = Deliveries::in_state(&setup.state_directory);
        let task = tokio::spawn(run(setup, board, deliveries.clone(), finish.clone(), stop.clone(), publish));
        Self { finish, stop, phase, deliveries, task }
    }

    /// Returns once the files of every agent are whole, or known to be beyond help, or after [`FILES_DEADLINE`].
    pub async fn files_are_whole(&mut self) {
        self.files_are_whole_by(Instant::now() + FILES_DEADLINE).await;
    }

    /// The same, and at `until` at the latest.
    pub(super) async fn files_are_whole_by(&mut self, until: Instant) {
        let whole = self.phase.wait_for(|phase| matches!(phase, Readiness::Whole(_) | Readiness::Failing));
        if timeout_at(until, whole).await.is_err() {
            error!(
                seconds = FILES_DEADLINE.as_secs(),
                "the files of an agent are not known to be whole yet, and the program becomes ready without; see \
                 kagiban_rotation_state and whether a disk hangs"
            );
        }
    }

    /// From now on services are stopped, started and looked at.
    pub fn finish(&self) {
        self.finish.cancel();
    }

    /// Beside whom agents' certificates are replaced.
    pub const fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    /// The workers once requests may be taken; none when the program is to end before.
    pub fn workers(&self) -> impl Future<Output = Option<Arc<Workers>>> + use<> {
        let mut phase = self.phase.clone();
        async move {
            let open = phase.wait_for(|phase| matches!(phase, Readiness::Open(_) | Readiness::Whole(_))).await.ok()?;
            open.workers().cloned()
        }
    }

    /// Whether an agent's rotation is neither decided nor waiting for its chain.
    pub fn is_unfinished(&self) -> bool {
        self.phase.borrow().workers().is_some_and(|workers| !workers.unfinished(Duration::ZERO).is_empty())
    }

    /// Whether agents with a worker take nothing new, as they are configured.
    pub fn refuses_any(&self) -> bool {
        self.phase.borrow().workers().is_some_and(|workers| workers.refuses_any())
    }

    /// Returns once what an earlier run left is decided, or not known after [`UNKNOWN_WITHIN`].
    pub async fn settled(&self) {
        let Some(workers) = self.workers().await else { return };
        let known_by = Instant::now() + UNKNOWN_WITHIN;
        join_all(workers.workers.iter().map(|worker| settled(worker.watch(), known_by))).await;
    }

    /// Waits until no service is down because of a rotation and every worker has ended, and tells the service manager
    /// so. What takes longer than the agents' own timeouts allow goes on at the next start.
    pub async fn end(self) {
        self.stop.cancel();
        let Self { phase, mut task, .. } = self;
        let workers = || phase.borrow().workers().cloned();
        // Where every service is up, a worker may still hang in a file system, and one that is to begin does not any more.
        let began = Instant::now();
        let patience = || match workers().filter(|workers| !workers.unfinished(began.elapsed()).is_empty()) {
            Some(workers) => workers.stop_timeout(),
            None => SERVICES_UP,
        };
        let unfinished =
            || workers().map_or_else(|| "none".to_owned(), |workers| names(&workers.unfinished(began.elapsed())));
        let mut ticks = interval(STILL_STOPPING);
        // Asked anew each time: the workers may have begun only just now, and what is not known counts for a while only.
        while began.elapsed() < patience() {
            tokio::select! {
                _ = &mut task => return,
                () = sleep_until(began + patience()) => {}
                _ = ticks.tick() => {
                    let status = format!("Stopping; not before these agents run again: {}", unfinished());
                    tell(Lifecycle::StillStopping { next_word_within: NEXT_WORD, status }).await;
                }
            }
        }
        warn!(
            agents = unfinished(),
            "what is left goes on at the next start: a file system hangs, or commands took longer than their timeouts"
        );
        task.abort();
    }
}

/// Of one worker.
async fn settled(mut status: watch::Receiver<AgentStatus>, known_by: Instant) {
    let mut guessed = status.clone();
    let unknown = async {
        sleep_until(known_by).await;
        guessed.wait_for(is_unknown).await.map(|_| ())
    };
    // An error: the worker has ended.
    tokio::select! {
        _ = status.wait_for(|status| !is_unfinished(status)) => {}
        _ = unknown => {}
    }
}

fn names(agents: &[&AgentName]) -> String {
    let names: Vec<_> = agents.iter().map(|name| name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

async fn run(
    setup: Setup,
    board: Arc<Board>,
    deliveries: Deliveries,
    finish: CancellationToken,
    stop: CancellationToken,
    publish: watch::Sender<Readiness>,
) {
    let shown = Shown::new(Arc::clone(&board));
    for refused in &setup.refused {
        error!(agent = %refused.name, error = refused.message, "this agent's configuration is refused; the others go on");
        shown.refused(&refused.name, BAD_CONFIGURATION, &refused.message);
    }
    for agent in &setup.agents {
        shown.reading(&agent.name);
    }
    let Setup { host, agents, refused, power, state_directory, lineage } = setup;
    let well = agents.iter().map(|agent| agent.name.to_string());
    let opening = Opening {
        state_directory,
        host,
        gate: PowerGate::new(&power).watching(Arc::clone(&board)),
        lineage,
        deliveries,
        stop: stop.clone(),
        configured: well.chain(refused.iter().map(|refused| refused.name.as_str().to_owned())).collect(),
    };
    let tell_failure = |reason: &'static str, message: &str| {
        for agent in &agents {
            shown.refused(&Label::new(agent.name.as_str()), reason, message);
        }
    };
    let Some(Opened { host, lock, orphans }) = opening.opened(tell_failure, &publish).await else { return };
    for agent in &agents {
        shown.reading(&agent.name);
    }
    for orphan in orphans {
        shown.left(orphan);
    }

    // Up to where the workers are published nothing is waited for: whoever orders the stop finds all or none.
    let (mut workers, mut ended): (Vec<Worker>, Vec<WorkerEnded>) = (Vec::new(), Vec::new());
    let by_name = |RefusedAgent { name, message }| {
        Some((name.as_str().parse().ok()?, AgentRefusal { reason: BAD_CONFIGURATION, message, is_configuration: true }))
    };
    let refused: RefusedAgents = refused.into_iter().filter_map(by_name).collect();
    for config in &agents {
        let (worker, end) = Worker::spawn(host.clone(), config.clone(), finish.clone());
        workers.push(worker);
        ended.push(end);
    }
    let (publish_refused, refusals) = watch::channel(refused.clone());
    let workers = Arc::new(Workers { host, workers, refused: refusals.clone() });
    let stop_timeout = workers.stop_timeout();
    board.note_stop_timeout(stop_timeout);
    info!(seconds = stop_timeout.as_secs(), "a stop may take this long; give the unit no shorter TimeoutStopSec");
    let following: Vec<_> = workers.workers.iter().map(|worker| shown.follow(worker, refusals.clone())).collect();
    publish.send_replace(Readiness::Working(Arc::clone(&workers)));

    let mut sharing = Sharing::ask(&agents);
    let misplaced = || workers.workers.iter().map(|worker| (worker.name.clone(), misplaced()));
    let judge = |sharing: &Sharing, is_in_place: bool| {
        let judged = refused.clone().into_iter().chain(sharing.judged());
        let judged: RefusedAgents = judged.chain((!is_in_place).then(misplaced).into_iter().flatten()).collect();
        publish_refused.send_if_modified(|now| {
            tell_changes(now, &judged);
            std::mem::replace(now, judged.clone()) != judged
        });
    };
    let whole = async {
        sharing.answered_by(Instant::now() + SHARING_WITHIN).await;
        judge(&sharing, true);
        publish.send_replace(Readiness::Open(Arc::clone(&workers)));
        let read = workers.workers.iter().map(|worker| async {
            // An error: the worker has ended, and reads no more.
            let _ = worker.watch().wait_for(is_read).await;
        });
        let whole = async {
            join_all(read).await;
            publish.send_replace(Readiness::Whole(Arc::clone(&workers)));
        };
        // A disk that hung may answer at any time, and a file system may be mounted over the state directory.
        let late = async {
            let (mut ticks, mut is_in_place, mut may_answer) = (interval(LOOK_AT_STATE_DIRECTORY), true, true);
            loop {
                tokio::select! {
                    answered = sharing.next(), if may_answer => may_answer = answered,
                    _ = ticks.tick() => is_in_place = look_at_state_directory(&workers.host.state_directory, is_in_place).await,
                }
                judge(&sharing, is_in_place);
            }
        };
        let late = async {
            tokio::select! {
                () = late => {}
                () = stop.cancelled() => {}
            }
        };
        futures::join!(whole, late);
    };
    futures::join!(whole, join_all(following), join_all(ended));
    drop(lock);
}

/// What was known before, where a file system hangs.
async fn look_at_state_directory(state_directory: &StateDirectory, was_in_place: bool) -> bool {
    let state_directory = state_directory.clone();
    let until = Instant::now() + LOOK_AT_STATE_DIRECTORY;
    blocking::run(Work::State, until, move || state_directory.is_in_place()).await.unwrap_or(was_in_place)
}

fn misplaced() -> AgentRefusal {
    let message = "another directory or file system is in the place of the state directory, with other journals and fences: \
                   restart the exporter, which finishes what those tell of, and let it start only once its state directory is \
                   mounted";
    AgentRefusal { reason: "state_directory_replaced", message: message.to_owned(), is_configuration: false }
}

fn tell_changes(before: &RefusedAgents, now: &RefusedAgents) {
    for (agent, AgentRefusal { message, .. }) in now.iter().filter(|(agent, why)| before.get(agent) != Some(why)) {
        error!(%agent, error = message, "this agent finishes what an earlier run left, and takes nothing new");
    }
    for agent in before.keys().filter(|agent| !now.contains_key(agent)) {
        info!(%agent, "this agent is rotated again: nothing keeps it from that any more");
    }
}

/// What the state directory is opened with.
struct Opening {
    state_directory: PathBuf,
    host: HostName,
    gate: PowerGate,
    lineage: Option<Lineage>,
    deliveries: Deliveries,
    stop: CancellationToken,
    /// The names of all agents that are configured, well or badly.
    configured: BTreeSet<String>,
}

struct Opened {
    host: Host,
    lock: StateDirectoryLock,
    orphans: Vec<Orphan>,
}

impl Opening {
    /// Tries until the state directory is open: a disk gets room again, and a person's command or an exporter that is being
    /// replaced gives the lock back. None when the program is to end before.
    async fn opened(
        self,
        tell_failure: impl Fn(&'static str, &str),
        publish: &watch::Sender<Readiness>,
    ) -> Option<Opened> {
        let opening = Arc::new(self);
        let began = Instant::now();
        let mut backoff = Backoff::at_once(OPEN_AGAIN, OPEN_AGAIN_AT_MOST, began);
        let mut told = None;
        loop {
            let (reason, message) = tokio::select! {
                biased;
                () = opening.stop.cancelled() => return None,
                attempt = Self::attempt(&opening) => match attempt {
                    Ok(opened) => return Some(opened),
                    Err(failure) => failure,
                },
            };
            if told.as_ref() != Some(&message) {
                error!(
                    reason,
                    error = message,
                    "no agent is rotated, and nothing that an earlier run left is finished; it is tried again"
                );
                tell_failure(reason, &message);
                told = Some(message);
            }
            if began.elapsed() >= OPENING_PATIENCE {
                publish.send_replace(Readiness::Failing);
            }
            backoff.failed(Instant::now());
            tokio::select! {
                () = opening.stop.cancelled() => return None,
                () = sleep_until(backoff.due()) => {}
            }
        }
    }

    /// On a thread of its own: a file system that hangs holds it for as long as it likes, and no second one beside it.
    async fn attempt(opening: &Arc<Self>) -> Result<Opened, (&'static str, String)> {
        let opening = Arc::clone(opening);
        let (tell, told) = oneshot::channel();
        let thread = std::thread::Builder::new().name("rotations".to_owned());
        let thread = thread.spawn(move || {
            let opened = opening.open().map_err(|error| (reason(&error), error.to_string()));
            // Whoever asked may be gone: the program ends.
            let _ = tell.send(opened);
        });
        thread.map_err(|error| (NO_THREAD, error.to_string()))?;
        told.await.unwrap_or_else(|_| {
            Err(("panic", "this is a bug of this program; please report it with the log".to_owned()))
        })
    }

    fn open(&self) -> Result<Opened, StateDirectoryError> {
        let (state_directory, lock) = StateDirectory::open(&self.state_directory)?;
        let orphans = shown::left_by_others(&state_directory, &self.configured);
        let host = Host::new(self.host.clone(), state_directory, self.gate.clone());
        let host = host.beside(self.deliveries.clone()).obeying(self.lineage.clone()).until(self.stop.clone());
        Ok(Opened { host, lock, orphans })
    }
}

const fn reason(error: &StateDirectoryError) -> &'static str {
    match error {
        StateDirectoryError::InUse { .. } => "state_directory_in_use",
        StateDirectoryError::Write(_) | StateDirectoryError::Lock { .. } => "state_directory",
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    /// Holds A8: what nobody knows is waited for a while, whenever it was that it became unknown.
    #[tokio::test]
    async fn what_is_not_known_holds_up_an_end_for_a_bounded_time() {
        let failed = || AgentStatus::Failed { message: "a bug".to_owned() };
        for status in [AgentStatus::Reading, failed()] {
            let (publish, status) = watch::channel(status);
            let (began, known_by) = (Instant::now(), Instant::now() + SHORT);
            settled(status, known_by).await;
            assert!(began.elapsed() >= SHORT);
            drop(publish);
        }
        let (publish, status) = watch::channel(AgentStatus::Unread { reason: "io", message: String::new() });
        timeout(SHORT, settled(status, Instant::now() + 1000 * SHORT)).await.expect("it is not to be waited for");
        drop(publish);
    }
}
