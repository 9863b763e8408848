//! A thread per agent that owns its rotations. Requests reach it one at a time; while it carries one rotation out,
//! repeats and refusals are answered from its last snapshot, without it.
//!
//! ```text
//!   reads the journal, makes the files whole ──> Known ──`finish`──> finishes what an earlier run left ──> takes requests
//!                    └── Unread, tried again                              `stop` at any time ──> leaves the service up, ends
//! ```

use std::sync::Arc;
use std::time::Duration;

use kagiban_crds::host_api::{ChainDelivery, Refusal, RefusalReason, RollbackOrder, RotationOpen, RotationReport};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::admission::refuse;
use super::agent::Agent;
use super::rotator::{Host, Rotator, Snapshot};

/// Requests that may wait. One operator speaks at a time; more is a loop.
const QUEUE: usize = 4;
/// Between two attempts at a journal that cannot be read: its disk may come back.
const READ_AGAIN: Duration = Duration::from_secs(60);

/// A worker's address.
#[derive(Clone, Debug)]
pub struct Worker {
    pub agent: Arc<Agent>,
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<AgentStatus>,
    stop: CancellationToken,
}

/// What is known of an agent's rotations.
#[derive(Clone, Debug)]
pub enum AgentStatus {
    /// Its journal is being read, and its files are being made whole.
    Reading,
    /// Its journal can be neither read nor set aside: nothing is known, and nothing is touched.
    Unread {
        reason: &'static str,
        message: String,
    },
    Known(Box<Snapshot>),
}

/// Resolves when a worker's thread has ended.
pub type Ended = oneshot::Receiver<()>;

type Answer = oneshot::Sender<Result<RotationReport, Refusal>>;

#[derive(Debug)]
enum Request {
    Open(Box<RotationOpen>, Answer),
    Deliver(Box<ChainDelivery>, Answer),
    RollBack(Box<RollbackOrder>, Answer),
}

impl Worker {
    /// Starts the thread. It reads the journal and makes the agent's files whole at once; it stops, starts and looks at
    /// nothing before `finish` is cancelled. It ends when the host's `stop` is cancelled and the service is up.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(host: Host, agent: Agent, finish: CancellationToken) -> std::io::Result<(Self, Ended)> {
        let (requests, inbox) = mpsc::channel(QUEUE);
        let (publish, status) = watch::channel(AgentStatus::Reading);
        let (ended, end) = oneshot::channel();
        let (shared, stop) = (Arc::new(agent.clone()), host.stop.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(format!("agent-{}", agent.name)).spawn(move || {
            runtime.block_on(run(host, agent, inbox, &publish, finish));
            let _ = ended.send(());
        })?;
        Ok((Self { agent: shared, requests, status, stop }, end))
    }

    pub fn status(&self) -> AgentStatus {
        self.status.borrow().clone()
    }

    /// What is known of the newest rotation.
    ///
    /// # Errors
    /// A refusal while nothing is known.
    pub fn snapshot(&self) -> Result<Snapshot, Refusal> {
        match self.status() {
            AgentStatus::Known(snapshot) => Ok(*snapshot),
            AgentStatus::Reading => {
                let message = "what an earlier run left of this agent is still being read; see whether a disk hangs";
                Err(refuse(RefusalReason::Unavailable, message))
            }
            AgentStatus::Unread { message, .. } => Err(refuse(RefusalReason::Unavailable, message)),
        }
    }

    /// Every change from now on.
    pub fn watch(&self) -> watch::Receiver<AgentStatus> {
        self.status.clone()
    }

    /// # Errors
    /// A refusal; nothing has changed then.
    pub async fn open(&self, request: RotationOpen) -> Result<RotationReport, Refusal> {
        self.ask(|answer| Request::Open(Box::new(request), answer)).await
    }

    /// # Errors
    /// As [`Worker::open`].
    pub async fn deliver(&self, delivery: ChainDelivery) -> Result<RotationReport, Refusal> {
        self.ask(|answer| Request::Deliver(Box::new(delivery), answer)).await
    }

    /// # Errors
    /// As [`Worker::open`].
    pub async fn roll_back(&self, order: RollbackOrder) -> Result<RotationReport, Refusal> {
        self.ask(|answer| Request::RollBack(Box::new(order), answer)).await
    }

    async fn ask(&self, request: impl FnOnce(Answer) -> Request) -> Result<RotationReport, Refusal> {
        if self.stop.is_cancelled() {
            return Err(stopping());
        }
        let (answer, answered) = oneshot::channel();
        if self.requests.send(request(answer)).await.is_err() {
            return Err(self.gone());
        }
        answered.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// The thread has ended.
    fn gone(&self) -> Refusal {
        if self.stop.is_cancelled() {
            return stopping();
        }
        refuse(RefusalReason::Internal, "the agent's worker has ended, which is a bug; restart kagiban-exporter")
    }
}

async fn run(
    host: Host,
    agent: Agent,
    mut inbox: mpsc::Receiver<Request>,
    publish: &watch::Sender<AgentStatus>,
    finish: CancellationToken,
) {
    let stop = host.stop.clone();
    let Some(mut rotator) = read(&host, &agent, publish).await else { return };
    let show = |rotator: &Rotator| _ = publish.send_replace(AgentStatus::Known(Box::new(rotator.snapshot())));
    show(&rotator);
    tokio::select! {
        () = finish.cancelled() => {}
        () = stop.cancelled() => {}
    }
    rotator.finish(show).await;
    show(&rotator);
    loop {
        let due = rotator.next_chore();
        let chore = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let request = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            request = inbox.recv() => request,
            () = chore => {
                rotator.do_chores(show).await;
                show(&rotator);
                continue;
            }
        };
        let Some(request) = request else { break };
        let (result, answer) = match request {
            Request::Open(request, answer) => (rotator.open(&request), answer),
            Request::Deliver(delivery, answer) => (rotator.deliver(&delivery), answer),
            Request::RollBack(order, answer) => (rotator.roll_back(&order), answer),
        };
        show(&rotator);
        // Whoever asked may be gone; what was accepted is carried out all the same.
        let _ = answer.send(result);
        rotator.advance(show).await;
        show(&rotator);
    }
    // What was asked meanwhile is not begun.
    inbox.close();
    while let Some(Request::Open(_, answer) | Request::Deliver(_, answer) | Request::RollBack(_, answer)) =
        inbox.recv().await
    {
        let _ = answer.send(Err(stopping()));
    }
    // A rotation that waits for its chain ends here.
    rotator.advance(show).await;
    show(&rotator);
}

/// None when the program is to end before the journal could be read.
async fn read(host: &Host, agent: &Agent, publish: &watch::Sender<AgentStatus>) -> Option<Rotator> {
    loop {
        match Rotator::make_whole(host.clone(), agent.clone()) {
            Ok(rotator) => return Some(rotator),
            Err(error) => {
                let message = format!("{error}; it is tried again every {} s", READ_AGAIN.as_secs());
                tracing::error!(agent = %agent.name, error = message, "what an earlier run left is not known");
                publish.send_replace(AgentStatus::Unread { reason: error.reason(), message });
            }
        }
        tokio::select! {
            () = sleep(READ_AGAIN) => {}
            () = host.stop.cancelled() => return None,
        }
    }
}

/// What is said to whoever asks for something new after the stop was ordered.
fn stopping() -> Refusal {
    let message = "kagiban-exporter is being stopped on this host; ask again when it has been started";
    refuse(RefusalReason::Stopping, message)
}
