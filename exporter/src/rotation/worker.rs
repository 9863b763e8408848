//! A thread per agent that owns its rotations. Requests reach it one at a time; while it carries one rotation out,
//! repeats and refusals are answered from its last snapshot, without it.
//!
//! ```text
//!   reads the journal, makes the files whole ──> Known ──`finish`──> finishes what an earlier run left ──> takes requests
//!                    └── Unread, tried again                              `stop` at any time ──> leaves the service up, ends
//!
//!   a panic anywhere ──> Failed ──after a pause──> from the beginning, as after a crash
//! ```

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use kagiban_agents::Product;
use kagiban_crds::AgentName;
use kagiban_crds::host_api::{
    ChainDelivery, HandOver, HandOverReport, PasswordQuestion, PasswordReport, Refusal, RefusalReason, RenewalOrder,
    RollbackOrder, RotationOpen, RotationReport,
};
use kagiban_process::threads::own_thread;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::admission::{refuse, stopping};
use super::agent::{Agent, AgentConfigError};
use super::backoff::Backoff;
use super::host::Host;
use super::rotator::{Rotator, RotatorStatus};
use super::stopping::grace;
use crate::config::AgentConfig;

/// Requests that may wait. One operator speaks at a time; more is a loop.
const QUEUE: usize = 4;
/// Between two attempts at a journal that cannot be read: its disk may come back.
const READ_AGAIN: Duration = Duration::from_secs(1);
const READ_AGAIN_AT_MOST: Duration = Duration::from_secs(60);
/// The system has no thread for it now; it is tried again.
pub const NO_THREAD: &str = "no_thread";
/// How long a missing thread is no more than a delay.
const NO_THREAD_PATIENCE: Duration = Duration::from_secs(5);
/// After a panic the service may be down: the first recovery is soon.
const RECOVER_AGAIN: Duration = Duration::from_secs(1);
const RECOVER_AGAIN_AT_MOST: Duration = Duration::from_secs(300);

/// Why an agent is not rotated: stable, for metric labels.
pub const BAD_CONFIGURATION: &str = "bad_configuration";

/// A worker's address.
#[derive(Clone, Debug)]
pub struct Worker {
    pub name: AgentName,
    pub product: Product,
    /// The longest that it may take to leave its service up once the program is to end.
    pub grace: Duration,
    /// Empty until what lies on the host is known.
    agent: Arc<OnceLock<Arc<Agent>>>,
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
    /// It ended in a bug, perhaps with its service down, and begins again.
    Failed {
        message: String,
    },
    Known(Box<RotatorStatus>),
}

/// Resolves when a worker's thread has ended.
pub type WorkerEnded = oneshot::Receiver<()>;

type ReplyTo<T = RotationReport> = oneshot::Sender<Result<T, Refusal>>;

#[derive(Debug)]
enum Request {
    Open(Box<RotationOpen>, ReplyTo),
    Renew(Box<RenewalOrder>, ReplyTo),
    Deliver(Box<ChainDelivery>, ReplyTo),
    RollBack(Box<RollbackOrder>, ReplyTo),
    Question(Box<PasswordQuestion>, ReplyTo<PasswordReport>),
    HandOver(Box<HandOver>, ReplyTo<HandOverReport>),
}

impl Worker {
    /// Starts the thread. It looks for the agent, reads its journal and makes its files whole at once; it stops, starts and
    /// looks at nothing before `finish` is cancelled. It ends when the host's `stop` is cancelled and the service is up, or
    /// when the agent cannot be rotated as it is configured.
    ///
    /// Its thread begins when the system gives one.
    pub fn spawn(host: Host, config: AgentConfig, finish: CancellationToken) -> (Self, WorkerEnded) {
        let (requests, inbox) = mpsc::channel(QUEUE);
        let (publish, status) = watch::channel(AgentStatus::Reading);
        let (ended, end) = oneshot::channel();
        let (name, product) = (config.name.clone(), config.product);
        let (stop, agent) = (host.stop.clone(), Arc::default());
        let grace = Agent::as_written(&config).map(|agent| grace(&agent)).unwrap_or_default();
        let worker = Self {
            name: name.clone(),
            product,
            grace,
            agent: Arc::clone(&agent),
            requests,
            status,
            stop: stop.clone(),
        };
        let (waiting, thread) = (publish.clone(), format!("agent-{name}"));
        let life = move || {
            // It is made here: to drop one is for no thread that others wait in.
            if let Some(runtime) = runtime(&host.stop, &publish) {
                publish.send_replace(AgentStatus::Reading);
                runtime.block_on(live(&host, &config, &agent, inbox, &publish, &finish));
            }
            let _ = ended.send(());
        };
        match own_thread::begin(&thread, life) {
            Ok(()) => {}
            Err((error, life)) => {
                tracing::error!(agent = %name, %error, "no thread for this agent; it is tried again");
                tokio::spawn(async move {
                    let patient = Instant::now() + NO_THREAD_PATIENCE;
                    let told = |error: &std::io::Error| {
                        if Instant::now() >= patient {
                            waiting.send_replace(AgentStatus::Unread { reason: NO_THREAD, message: short_of(error) });
                        }
                    };
                    stop.run_until_cancelled(own_thread::begin_when_possible(&thread, life, told)).await;
                });
            }
        }
        (worker, end)
    }

    /// The agent, as it is configured and lies on the host.
    ///
    /// # Errors
    /// A refusal while that is not known.
    pub fn agent(&self) -> Result<Arc<Agent>, Refusal> {
        self.agent.get().cloned().ok_or_else(still_reading)
    }

    pub fn status(&self) -> AgentStatus {
        self.status.borrow().clone()
    }

    /// Whether its thread has ended: what it has not decided is left to the next start.
    pub fn has_ended(&self) -> bool {
        self.status.has_changed().is_err()
    }

    /// What is known of the newest rotation.
    ///
    /// # Errors
    /// A refusal while nothing is known.
    pub fn snapshot(&self) -> Result<RotatorStatus, Refusal> {
        match self.status() {
            AgentStatus::Known(snapshot) => Ok(*snapshot),
            AgentStatus::Reading => Err(still_reading()),
            AgentStatus::Unread { message, .. } | AgentStatus::Failed { message } => {
                Err(refuse(RefusalReason::Unavailable, message))
            }
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
    pub async fn renew(&self, order: RenewalOrder) -> Result<RotationReport, Refusal> {
        self.ask(|answer| Request::Renew(Box::new(order), answer)).await
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

    /// Whether the agent works with that password.
    ///
    /// # Errors
    /// A refusal.
    pub async fn password_in_force(&self, question: PasswordQuestion) -> Result<PasswordReport, Refusal> {
        self.ask(|answer| Request::Question(Box::new(question), answer)).await
    }

    /// # Errors
    /// As [`Worker::open`].
    pub async fn hand_over(&self, order: HandOver) -> Result<HandOverReport, Refusal> {
        self.ask(|answer| Request::HandOver(Box::new(order), answer)).await
    }

    async fn ask<T>(&self, request: impl FnOnce(ReplyTo<T>) -> Request) -> Result<T, Refusal> {
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
        refuse(RefusalReason::Internal, "this was not answered because of a bug; see the agent's state and the log")
    }
}

fn short_of(error: &std::io::Error) -> String {
    format!(
        "the system gives no thread or descriptor for it ({error}): raise TasksMax or LimitNOFILE of the unit; it is tried again"
    )
}

/// The thread's own, as soon as the system has what it needs: descriptors may be short. None when the program ends before.
fn runtime(stop: &CancellationToken, publish: &watch::Sender<AgentStatus>) -> Option<tokio::runtime::Runtime> {
    loop {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => return Some(runtime),
            Err(_) if stop.is_cancelled() => return None,
            Err(error) => {
                publish.send_replace(AgentStatus::Unread { reason: NO_THREAD, message: short_of(&error) });
                std::thread::sleep(RECOVER_AGAIN);
            }
        }
    }
}

/// Runs to the end, and again from the beginning after a panic. A bug costs its agent the request that met it, not its
/// service: what it left is recovered like what a crash leaves, and the journal counts these recoveries.
async fn live(
    host: &Host,
    config: &AgentConfig,
    found: &OnceLock<Arc<Agent>>,
    mut inbox: mpsc::Receiver<Request>,
    publish: &watch::Sender<AgentStatus>,
    finish: &CancellationToken,
) {
    let again = |panics: u32| {
        let message = format!(
            "its worker ended in a bug of this program, {panics} times by now, and what it left is recovered; please report \
             it with the log"
        );
        tracing::error!(agent = %config.name, error = message, "an agent's worker ended in a bug");
        publish.send_replace(AgentStatus::Failed { message });
    };
    let backoff = Backoff::at_once(RECOVER_AGAIN, RECOVER_AGAIN_AT_MOST, Instant::now());
    until_it_ends(&host.stop, backoff, again, async || {
        match until_found(|| found_unexposed(host, config), &host.stop, publish).await {
            None => {}
            Some(Ok(agent)) => {
                let agent = Arc::clone(found.get_or_init(|| Arc::new(agent)));
                run(host.clone(), &agent, &mut inbox, publish, finish).await;
            }
            Some(Err(error)) => {
                let message = error.to_string();
                tracing::error!(agent = %config.name, error = message, "this agent is not rotated; the others are");
                publish.send_replace(AgentStatus::Unread { reason: BAD_CONFIGURATION, message });
            }
        }
    })
    .await;
}

fn found_unexposed(host: &Host, config: &AgentConfig) -> Result<Agent, AgentConfigError> {
    let agent = Agent::resolve(config)?;
    host.check_unexposed(&agent).map(|()| agent)
}

/// Whether the agent lies on the host as it is configured, once this host can tell. None when the program is to end before.
async fn until_found(
    mut resolve: impl FnMut() -> Result<Agent, AgentConfigError>,
    stop: &CancellationToken,
    publish: &watch::Sender<AgentStatus>,
) -> Option<Result<Agent, AgentConfigError>> {
    let mut again = Backoff::at_once(READ_AGAIN, READ_AGAIN_AT_MOST, Instant::now());
    let mut told = String::new();
    loop {
        match resolve() {
            Err(AgentConfigError::Accounts { source, .. }) => {
                publish.send_replace(AgentStatus::Unread { reason: NO_THREAD, message: short_of(&source) });
            }
            // Somebody may take the rights from the others, or the file system answer again.
            Err(error @ AgentConfigError::Exposed { .. }) => {
                let message = error.to_string();
                if message != told {
                    tracing::error!(error = message, "this agent is not rotated before that is mended; the others are");
                    told.clone_from(&message);
                }
                publish.send_replace(AgentStatus::Unread { reason: BAD_CONFIGURATION, message });
            }
            found => return Some(found),
        }
        again.failed(Instant::now());
        tokio::select! {
            () = sleep_until(again.due()) => {}
            () = stop.cancelled() => return None,
        }
    }
}

/// Tries until an attempt ends without a panic, with growing pauses. Once the program is to end, one more attempt is made:
/// the service may be down.
async fn until_it_ends(
    stop: &CancellationToken,
    mut backoff: Backoff,
    mut again: impl FnMut(u32),
    mut attempt: impl AsyncFnMut(),
) {
    for panics in 1.. {
        let is_last = stop.is_cancelled();
        if AssertUnwindSafe(attempt()).catch_unwind().await.is_ok() {
            return;
        }
        again(panics);
        if is_last {
            return;
        }
        backoff.failed(Instant::now());
        tokio::select! {
            () = sleep_until(backoff.due()) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn run(
    host: Host,
    agent: &Agent,
    inbox: &mut mpsc::Receiver<Request>,
    publish: &watch::Sender<AgentStatus>,
    finish: &CancellationToken,
) {
    let stop = host.stop.clone();
    let Some(mut rotator) = read(&host, agent, publish).await else { return };
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
            Request::Open(request, answer) => (rotator.open(&request, rotator.power().await), answer),
            Request::Renew(order, answer) => (rotator.renew(&order, rotator.power().await), answer),
            Request::Deliver(delivery, answer) => (rotator.deliver(&delivery, rotator.power().await), answer),
            Request::RollBack(order, answer) => (rotator.roll_back(&order, || !answer.is_closed()).await, answer),
            Request::Question(question, answer) => {
                // To open a store is work that only whoever waits for it has a use for.
                if !answer.is_closed() {
                    let _ = answer.send(rotator.password_in_force(&question));
                }
                continue;
            }
            Request::HandOver(order, answer) => {
                // Whoever has given up on it may have thought better of it, and orders again if not.
                if !answer.is_closed() {
                    let result = rotator.hand_over(&order);
                    show(&rotator);
                    let _ = answer.send(result);
                }
                continue;
            }
        };
        show(&rotator);
        // Whoever asked may be gone; what was accepted is carried out all the same.
        let _ = answer.send(result);
        rotator.advance(show).await;
        show(&rotator);
    }
    // What was asked meanwhile is not begun.
    inbox.close();
    while let Some(request) = inbox.recv().await {
        match request {
            Request::Open(_, answer)
            | Request::Renew(_, answer)
            | Request::Deliver(_, answer)
            | Request::RollBack(_, answer) => {
                let _ = answer.send(Err(stopping()));
            }
            Request::Question(_, answer) => {
                let _ = answer.send(Err(stopping()));
            }
            Request::HandOver(_, answer) => {
                let _ = answer.send(Err(stopping()));
            }
        }
    }
    // A rotation that waits for its chain ends here.
    rotator.advance(show).await;
    show(&rotator);
}

/// None when the program is to end before the journal could be read.
async fn read(host: &Host, agent: &Agent, publish: &watch::Sender<AgentStatus>) -> Option<Rotator> {
    let mut again = Backoff::at_once(READ_AGAIN, READ_AGAIN_AT_MOST, Instant::now());
    loop {
        match Rotator::make_whole(host.clone(), agent.clone()) {
            Ok(rotator) => return Some(rotator),
            Err(error) => {
                let message =
                    format!("{error}; it is tried again, every {} s in the end", READ_AGAIN_AT_MOST.as_secs());
                tracing::error!(agent = %agent.name, error = message, "what an earlier run left is not known");
                // READY waits for what the system gives again in a moment
                let reason = if error.is_shortage() { NO_THREAD } else { error.reason() };
                publish.send_replace(AgentStatus::Unread { reason, message });
            }
        }
        again.failed(Instant::now());
        tokio::select! {
            () = sleep_until(again.due()) => {}
            () = host.stop.cancelled() => return None,
        }
    }
}

fn still_reading() -> Refusal {
    let message = "what an earlier run left of this agent is still being read; see whether a disk hangs";
    refuse(RefusalReason::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::machine::Phase;
    use super::super::scene::{TRUE, put_into, rotator};
    use super::*;
    use crate::platform::testing::exposed_command;

    fn backoff() -> Backoff {
        Backoff::at_once(Duration::from_millis(10), Duration::from_millis(20), Instant::now())
    }

    /// Holds A6: a bug does not leave an agent to itself.
    #[tokio::test]
    async fn after_a_panic_it_begins_again_after_a_pause() {
        let (began, attempts, told) = (Instant::now(), Cell::new(0), Cell::new(0));
        until_it_ends(
            &CancellationToken::new(),
            backoff(),
            |panics| told.set(panics),
            async || {
                attempts.set(attempts.get() + 1);
                assert!(attempts.get() > 3, "a bug");
            },
        )
        .await;
        assert_eq!((attempts.get(), told.get()), (4, 3));
        assert!(began.elapsed() >= Duration::from_millis(10 + 20 + 20), "{:?}", began.elapsed());
    }

    /// Holds A5, A6: for want of one descriptor an agent whose accounts have names was given up until the next start.
    #[tokio::test]
    async fn an_agent_is_looked_for_again_while_the_accounts_of_the_host_cannot_be_read() {
        let root = tempfile::tempdir().expect("directory");
        let (rotator, _lock) = rotator(root.path(), TRUE);
        let (publish, status) = watch::channel(AgentStatus::Reading);
        let mut tries = 0;
        let resolve = || {
            tries += 1;
            let source = std::io::Error::from(std::io::ErrorKind::Other);
            let agent = rotator.agent.name.clone();
            if tries == 1 { Err(AgentConfigError::Accounts { agent, source }) } else { Ok(rotator.agent.clone()) }
        };
        let found = until_found(resolve, &CancellationToken::new(), &publish).await;
        assert!(found.is_some_and(|found| found.is_ok()));
        assert!(matches!(&*status.borrow(), AgentStatus::Unread { reason: NO_THREAD, .. }), "READY waits for it");
    }

    /// Nothing of it is run before: what an earlier run left is not gone on with either.
    #[tokio::test]
    async fn an_agent_with_a_command_that_others_may_exchange_is_taken_up_once_that_is_mended() {
        let (theirs, command) = exposed_command();
        let root = tempfile::tempdir().expect("directory");
        let (Rotator { mut host, .. }, _lock) = rotator(root.path(), TRUE);
        let config = format!(
            "{{name: web, product: self-renewing-service, endpoint: {{address: '127.0.0.1:9'}}, renew: {{command: {command}}}}}"
        );
        let config: AgentConfig = serde_yaml::from_str(&config).expect("yaml");
        let (publish, status) = watch::channel(AgentStatus::Reading);
        let mut tries = 0;
        let resolve = || {
            tries += 1;
            host.refuses_exposed = tries == 1;
            found_unexposed(&host, &config)
        };
        let stop = CancellationToken::new();
        let found = tokio::time::timeout(READ_AGAIN_AT_MOST / 2, until_found(resolve, &stop, &publish)).await;
        assert!(found.expect("soon").is_some_and(|found| found.is_ok()) && tries == 2, "{tries}");
        let status = status.borrow();
        let AgentStatus::Unread { reason: BAD_CONFIGURATION, message } = &*status else { panic!("{status:?}") };
        assert!(
            message.contains("renew.command") && message.contains(&theirs.path().display().to_string()),
            "{message}"
        );
    }

    /// Holds A5: a want of descriptors lasts for a moment.
    #[tokio::test]
    async fn a_journal_that_could_not_be_read_is_read_soon_after() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = rotator(root.path(), TRUE);
        put_into(&mut rotator, Phase::Keyed, None);
        let [journal, aside] = ["state/journal", "aside"].map(|name| root.path().join(name));
        std::fs::rename(&journal, &aside).expect("rename");
        std::fs::write(&journal, "").expect("write");
        let (publish, mut status) = watch::channel(AgentStatus::Reading);
        let (host, agent) = (rotator.host.clone(), rotator.agent.clone());
        let unblocked = async {
            status.wait_for(|status| matches!(status, AgentStatus::Unread { .. })).await.expect("it is told");
            std::fs::remove_file(&journal).expect("remove");
            std::fs::rename(&aside, &journal).expect("rename");
        };
        let reading = read(&host, &agent, &publish);
        let both = async { tokio::join!(reading, unblocked).0 };
        let read = tokio::time::timeout(READ_AGAIN_AT_MOST / 2, both).await;
        assert!(read.expect("soon").is_some());
    }

    /// Holds A8: a service that a bug has left down is brought up before the end, and the end comes.
    #[tokio::test]
    async fn once_the_program_is_to_end_one_more_attempt_is_made() {
        let (stop, attempts) = (CancellationToken::new(), Cell::new(0));
        until_it_ends(
            &stop,
            backoff(),
            |_| stop.cancel(),
            async || {
                attempts.set(attempts.get() + 1);
                panic!("a bug");
            },
        )
        .await;
        assert_eq!(attempts.get(), 2);
    }
}
