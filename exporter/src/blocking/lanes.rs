//! How many threads each kind of work may hold.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use kagiban_process::threads::{POOL, Started};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// What a thread is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// Looks at certificate files and keystores.
    Files,
    /// Looks at the files of an agent for its hardening.
    Health,
    /// The event logs, the file of a scheduled shutdown, and pending reboots.
    Host,
    /// Passwords and CA files that a UPS is asked with.
    Credentials,
    /// CA files that served chains are judged against.
    Trust,
    /// Names that the configuration tells.
    SourceNames,
    /// The same of outside hosts: a name server that is silent about them holds up nothing of this host.
    OutsideNames,
    /// Names of outside hosts that were not found quickly when they were looked up last.
    SlowOutsideNames,
    /// Names that `/probe` is asked for.
    ProbeNames,
    /// The name of an agent's endpoint in a rotation.
    RotationNames,
    /// Whose sockets listen where an agent serves, and whether they have business with its key.
    Listeners,
    /// The files that agents keep their certificates in, for a rotation's looks and the host API's reports.
    LeafFiles,
    /// The web configuration file and what it names.
    WebConfig,
    /// Certificate, key and CAs of the host API.
    HostApiTls,
    /// Keystores for the host API's reports.
    Reports,
    /// The file of a scheduled shutdown, for the power gate and the host API's reports.
    Power,
    /// Small records in the state directory: of a shutdown that has begun, and of the logins that were tried.
    State,
    /// Passwords of the web configuration's users.
    PasswordHashes,
    /// Snapshots that become text.
    Render,
    /// The configuration.
    Config,
    /// Whether something is where it usually is: products, JVMs, the system's CA bundle, an earlier run's journals.
    Search,
    /// A long list, while it comes.
    Inventory,
    /// What is told to the service manager.
    Manager,
}

/// More agents than one host has. What hangs of one agent holds one thread of a kind, and takes none from the others.
const AGENTS: usize = 64;
/// The threads that only hung agents can take together: the hardening of each has two kinds of files.
const OF_AGENTS: usize = 6 * AGENTS;

/// The threads that only outside hosts can take together. They are there where there are such hosts.
const OF_OUTSIDE_HOSTS: usize = 16;

/// Every kind, with the most threads that it holds. A kind whose sources are many has more: each source that hangs holds one.
const LIMITS: [(Work, usize); 23] = [
    (Work::Files, 12),
    (Work::Health, 2 * AGENTS),
    (Work::Host, 4),
    (Work::Credentials, 8),
    (Work::Trust, 2),
    (Work::SourceNames, 8),
    (Work::OutsideNames, 12),
    (Work::SlowOutsideNames, OF_OUTSIDE_HOSTS - 12),
    (Work::ProbeNames, 8),
    (Work::RotationNames, AGENTS),
    (Work::Listeners, AGENTS),
    (Work::LeafFiles, AGENTS),
    (Work::WebConfig, 1),
    (Work::HostApiTls, 1),
    (Work::Reports, AGENTS),
    (Work::Power, 2),
    // A second one could write an older record over a newer one.
    (Work::State, 1),
    (Work::PasswordHashes, 2),
    (Work::Render, 1),
    (Work::Config, 2),
    // Each part of the usual places, and the state directory at the start.
    (Work::Search, 5),
    (Work::Inventory, 1),
    (Work::Manager, 1),
];

/// For what the libraries do by themselves: binding to a name at the start, for example.
const OTHERS: usize = 3;

/// At the program's end.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// As many threads as all lanes together: one that is full takes none from another.
pub const MAX_THREADS: usize = {
    let (mut sum, mut index) = (OTHERS, 0);
    while index < LIMITS.len() {
        sum += LIMITS[index].1;
        index += 1;
    }
    sum
};

/// A thread that hangs costs its stack, and a host that hangs altogether must still be looked at cheaply.
const _: () = assert!(MAX_THREADS - OF_AGENTS - OF_OUTSIDE_HOSTS <= 72);

static LANES: LazyLock<Vec<Lane>> =
    LazyLock::new(|| LIMITS.iter().map(|(work, limit)| Lane::new(work.as_str(), *limit)).collect());

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    #[error(
        "all {limit} threads for {work} are taken by work that does not end; look for a file system or a name server that \
         hangs (kagiban_blocking_stuck counts them)"
    )]
    Busy { work: &'static str, limit: usize },
    #[error("no result within the deadline; look for a file system or a name server that hangs")]
    Timeout,
    #[error(
        "it ended in a bug of this program, which is to be reported with the log, or the system gave it no thread; the log says which"
    )]
    Panic,
}

impl Blocked {
    /// Every value that [`Blocked::reason`] can have.
    pub const REASONS: [&'static str; 3] = ["busy", "panic", "timeout"];

    /// Stable, for metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Timeout => "timeout",
            Self::Panic => "panic",
        }
    }
}

impl Work {
    /// Stable, for metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Health => "health",
            Self::Host => "host",
            Self::Credentials => "credentials",
            Self::Trust => "trust",
            Self::SourceNames => "source_names",
            Self::OutsideNames => "outside_names",
            Self::SlowOutsideNames => "slow_outside_names",
            Self::ProbeNames => "probe_names",
            Self::RotationNames => "rotation_names",
            Self::Listeners => "listeners",
            Self::LeafFiles => "leaf_files",
            Self::WebConfig => "web_config",
            Self::HostApiTls => "host_api_tls",
            Self::Reports => "reports",
            Self::Power => "power",
            Self::State => "state",
            Self::PasswordHashes => "password_hashes",
            Self::Render => "render",
            Self::Config => "config",
            Self::Search => "search",
            Self::Inventory => "inventory",
            Self::Manager => "manager",
        }
    }

    fn lane(self) -> &'static Lane {
        let index = LIMITS.iter().position(|(work, _)| *work == self);
        &LANES[index.expect("every kind of work has a limit")]
    }
}

/// Does work on a thread of its kind and waits for its end, until `until`. Work that is still under way then goes on, and
/// keeps its permit until it ends.
///
/// # Errors
/// See [`Blocked`].
pub(crate) async fn run<R: Send + 'static>(
    work: Work,
    until: Instant,
    job: impl FnOnce() -> R + Send + 'static,
) -> Result<R, Blocked> {
    finished(start(work, until, job).await?, until).await
}

/// Starts it and leaves the waiting to the caller; `until` is when it counts as stuck.
///
/// # Errors
/// [`Blocked::Busy`] when no thread of its kind is free until then.
pub(crate) async fn start<R: Send + 'static>(
    work: Work,
    until: Instant,
    job: impl FnOnce() -> R + Send + 'static,
) -> Result<Started<R>, Blocked> {
    Ok(reserve(work, until).await?.start(job))
}

/// A thread for work that is not to be lost when there is none.
///
/// # Errors
/// As [`start`].
pub(crate) async fn reserve(work: Work, until: Instant) -> Result<Reserved, Blocked> {
    work.lane().reserve(until).await
}

async fn finished<R>(mut started: Started<R>, until: Instant) -> Result<R, Blocked> {
    match timeout_at(until, &mut started).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => Err(Blocked::Panic),
        Err(_) => Err(Blocked::Timeout),
    }
}

/// Waits until no work is under way, for so long and no longer: what hangs never ends.
pub fn wait_for_the_end(longest: Duration) {
    let began = std::time::Instant::now();
    let is_under_way = || usage().iter().any(|lane| lane.running > 0);
    while is_under_way() && began.elapsed() < longest {
        thread::sleep(BETWEEN_LOOKS);
    }
}

/// What a lane is doing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneUsage {
    /// The kind of work.
    pub work: &'static str,
    pub limit: usize,
    /// Threads that work now.
    pub running: usize,
    /// Of those, the ones that are past their deadline.
    pub stuck: usize,
    /// How much work found no thread, since the start.
    pub refused: u64,
}

/// What every lane is doing now.
pub fn usage() -> Vec<LaneUsage> {
    let now = Instant::now();
    LANES.iter().map(|lane| lane.usage(now)).collect()
}

#[derive(Debug)]
struct Lane {
    work: &'static str,
    limit: usize,
    permits: Semaphore,
    /// When each that is under way is past its deadline.
    running: Mutex<BTreeMap<u64, Instant>>,
    started: AtomicU64,
    refused: AtomicU64,
}

impl Lane {
    const fn new(work: &'static str, limit: usize) -> Self {
        Self {
            work,
            limit,
            permits: Semaphore::const_new(limit),
            running: Mutex::new(BTreeMap::new()),
            started: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    async fn reserve(&'static self, until: Instant) -> Result<Reserved, Blocked> {
        let Ok(Ok(permit)) = timeout_at(until, self.permits.acquire()).await else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Blocked::Busy { work: self.work, limit: self.limit });
        };
        let id = self.started.fetch_add(1, Ordering::Relaxed);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id, until);
        Ok(Reserved { lane: self, id, _permit: permit })
    }

    fn usage(&self, now: Instant) -> LaneUsage {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        LaneUsage {
            work: self.work,
            limit: self.limit,
            running: running.len(),
            stuck: running.values().filter(|until| **until < now).count(),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

/// A thread's place in its lane.
#[derive(Debug)]
pub(crate) struct Reserved {
    lane: &'static Lane,
    id: u64,
    _permit: SemaphorePermit<'static>,
}

impl Reserved {
    /// Where the system gives no thread, the work is dropped, and with it its place: whoever asked is told, and asks again later.
    pub(crate) fn start<R: Send + 'static>(self, job: impl FnOnce() -> R + Send + 'static) -> Started<R> {
        // Whatever of the runtime the work uses, such as its clock.
        let runtime = Handle::try_current().ok();
        POOL.start(move || {
            let _runtime = runtime.as_ref().map(Handle::enter);
            // Held until the work is done, whoever has stopped waiting for it.
            let held = self;
            let result = job();
            drop(held);
            result
        })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.lane.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    fn soon() -> Instant {
        Instant::now() + SHORT
    }

    fn lane(limit: usize) -> &'static Lane {
        Box::leak(Box::new(Lane::new("test", limit)))
    }

    #[test]
    fn every_kind_of_work_has_one_lane_under_its_own_name() {
        for (work, limit) in LIMITS {
            assert_eq!((work.lane().work, work.lane().limit), (work.as_str(), limit));
        }
    }

    /// Holds A17: an await that times out gives nothing back while the thread hangs, and the next is refused as `busy`.
    #[tokio::test]
    async fn work_that_hangs_keeps_its_permit_although_nobody_waits_for_it_any_more() {
        let lane = lane(1);
        let (release, hanging) = mpsc::channel::<()>();
        let hung = lane.reserve(soon()).await.expect("the lane is empty").start(move || hanging.recv());
        assert_eq!(finished(hung, soon()).await.map(|_| ()), Err(Blocked::Timeout));
        let refused = lane.reserve(soon()).await.map(|_| ());
        assert_eq!(refused, Err(Blocked::Busy { work: "test", limit: 1 }));
        let seen = lane.usage(Instant::now());
        assert_eq!((seen.running, seen.stuck, seen.refused), (1, 1, 1));

        drop(release);
        let next = lane.reserve(Instant::now() + LONG).await.expect("a thread came back").start(|| 7);
        assert_eq!(finished(next, Instant::now() + LONG).await, Ok(7));
        let seen = lane.usage(Instant::now());
        assert_eq!((seen.running, seen.stuck), (0, 0));
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_takes_its_place_in_the_queue_with_it() {
        let lane = lane(1);
        let (release, hanging) = mpsc::channel::<()>();
        let hung = lane.reserve(soon()).await.expect("the lane is empty").start(move || hanging.recv());
        drop(hung);
        let waiting = tokio::time::timeout(SHORT, lane.reserve(Instant::now() + LONG));
        assert!(waiting.await.is_err(), "there is no thread for it");
        drop(release);
        assert!(lane.reserve(Instant::now() + LONG).await.is_ok());
    }

    #[tokio::test]
    async fn after_a_panic_the_thread_is_free_again() {
        let lane = lane(1);
        for _ in 0..2 {
            let started = lane.reserve(Instant::now() + LONG).await.expect("it is free").start(|| panic!("on purpose"));
            assert_eq!(finished::<()>(started, Instant::now() + LONG).await, Err(Blocked::Panic));
        }
        assert_eq!(lane.usage(Instant::now()).running, 0);
    }
}
