//! A thread per agent that owns its rotations. Requests reach it one at a time; while it carries one rotation out,
//! repeats and refusals are answered from its last snapshot, without it.

use std::sync::Arc;

use kagiban_crds::host_api::{ChainDelivery, Refusal, RollbackOrder, RotationOpen, RotationReport};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use super::agent::Agent;
use super::journal::JournalError;
use super::rotator::{Host, Rotator, Snapshot};

/// Requests that may wait. One operator speaks at a time; more is a loop.
const QUEUE: usize = 4;

/// A worker's address.
#[derive(Clone, Debug)]
pub struct Worker {
    pub agent: Arc<Agent>,
    requests: mpsc::Sender<Request>,
    snapshot: watch::Receiver<Snapshot>,
}

/// The thread has ended: the exporter is shutting down, or it has panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent's worker has ended; restart kagiban-exporter")]
pub struct Gone;

/// Resolves when a worker's thread has ended.
pub type Ended = oneshot::Receiver<()>;

type Answer = oneshot::Sender<Result<RotationReport, Refusal>>;

#[derive(Debug)]
enum Request {
    Open(Box<RotationOpen>, Answer),
    Deliver(Box<ChainDelivery>, Answer),
    RollBack(Box<RollbackOrder>, Answer),
}

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("no thread for the agent's worker: {0}")]
    Thread(#[from] std::io::Error),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Gone(#[from] Gone),
}

impl Worker {
    /// Starts the thread, which first recovers what an earlier run left. It ends when every [`Worker`] is dropped and
    /// its rotation is decided.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub async fn spawn(host: Host, agent: Agent) -> Result<(Self, Ended), SpawnError> {
        let (requests, inbox) = mpsc::channel(QUEUE);
        let (started, recovered) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let shared = Arc::new(agent.clone());
        std::thread::Builder::new().name(format!("agent-{}", agent.name)).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(run(host, agent, inbox, started)),
                Err(error) => {
                    let _ = started.send(Err(SpawnError::Thread(error)));
                }
            }
            let _ = ended.send(());
        })?;
        let snapshot = recovered.await.map_err(|_| Gone)??;
        Ok((Self { agent: shared, requests, snapshot }, end))
    }

    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// # Errors
    /// When the thread has ended; the inner result is the answer.
    pub async fn open(&self, request: RotationOpen) -> Result<Result<RotationReport, Refusal>, Gone> {
        self.ask(|answer| Request::Open(Box::new(request), answer)).await
    }

    /// # Errors
    /// As [`Worker::open`].
    pub async fn deliver(&self, delivery: ChainDelivery) -> Result<Result<RotationReport, Refusal>, Gone> {
        self.ask(|answer| Request::Deliver(Box::new(delivery), answer)).await
    }

    /// # Errors
    /// As [`Worker::open`].
    pub async fn roll_back(&self, order: RollbackOrder) -> Result<Result<RotationReport, Refusal>, Gone> {
        self.ask(|answer| Request::RollBack(Box::new(order), answer)).await
    }

    async fn ask(&self, request: impl FnOnce(Answer) -> Request) -> Result<Result<RotationReport, Refusal>, Gone> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }
}

async fn run(
    host: Host,
    agent: Agent,
    mut inbox: mpsc::Receiver<Request>,
    started: oneshot::Sender<Result<watch::Receiver<Snapshot>, SpawnError>>,
) {
    let mut rotator = match Rotator::recover(host, agent).await {
        Ok(rotator) => rotator,
        Err(error) => {
            let _ = started.send(Err(error.into()));
            return;
        }
    };
    let (publish, snapshot) = watch::channel(rotator.snapshot());
    if started.send(Ok(snapshot)).is_err() {
        return;
    }
    loop {
        let request = match rotator.next_chore() {
            None => inbox.recv().await,
            Some(due) => tokio::select! {
                request = inbox.recv() => request,
                () = sleep_until(due) => {
                    rotator
                        .do_chores(|rotator| {
                            publish.send_replace(rotator.snapshot());
                        })
                        .await;
                    publish.send_replace(rotator.snapshot());
                    continue;
                }
            },
        };
        let Some(request) = request else { return };
        let (result, answer) = match request {
            Request::Open(request, answer) => (rotator.open(&request), answer),
            Request::Deliver(delivery, answer) => (rotator.deliver(&delivery), answer),
            Request::RollBack(order, answer) => (rotator.roll_back(&order), answer),
        };
        publish.send_replace(rotator.snapshot());
        // Whoever asked may be gone; what was accepted is carried out all the same.
        let _ = answer.send(result);
        rotator
            .advance(|rotator| {
                publish.send_replace(rotator.snapshot());
            })
            .await;
        publish.send_replace(rotator.snapshot());
    }
}
