//! The loop around [`pass`]: what the watch shows goes into the schedule, and what the schedule gives out is done, each
//! pass in a task of its own, isolated from the others and under a deadline.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{FutureExt, Stream, StreamExt};
use kagiban_crds::resource::BlockedBy;
use tokio::task::JoinSet;

use crate::cluster::watch::{Event, WatchError};
use crate::cluster::{ClusterError, Watched};
use crate::decide::doubled;
use crate::fleet::{FleetChange, HostKey, ResourceName};
use crate::freshness::Stale;
use crate::health::Health;
use crate::reconcile::{Context, forget_gone, pass, unasked};
use crate::schedule::{Next, PassFailure, PassOutcome, Schedule, StatusHint};
use crate::unreadable;

/// A pass asks one host and the API server a few times; one that takes longer gives its slot to others.
pub(crate) const PASS_DEADLINE: Duration = Duration::from_secs(120);
/// After the first pass that failed; it doubles up to the resync interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The loop comes round at least so often, so that a Lease that ran out is noticed, and that it lives is known.
const TICK: Duration = Duration::from_secs(1);

/// The schedule, which metrics and the liveness probe read.
pub type SharedSchedule = Arc<Mutex<Schedule>>;

type Passes = JoinSet<Finished>;

struct Finished {
    name: ResourceName,
    /// Of the object that the pass was over.
    uid: String,
    outcome: PassOutcome,
}

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the pass took longer than {} s", PASS_DEADLINE.as_secs())]
    Deadline,
    #[error("the pass panicked; this is a defect of kagiban-operator")]
    Panic,
}

impl PassError {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Cluster(error) => error.reason(),
            Self::Deadline => "deadline",
            Self::Panic => "panic",
        }
    }

    const fn failure(&self) -> PassFailure {
        match self {
            Self::Cluster(_) => PassFailure::Refused,
            Self::Deadline | Self::Panic => PassFailure::Hung,
        }
    }
}

/// Runs until the context is told to stop, and lets what is in flight end.
pub async fn run(
    events: impl Stream<Item = Result<Event, WatchError>> + Send,
    schedule: SharedSchedule,
    health: Arc<Health>,
    context: Arc<Context>,
) {
    let mut leadership = context.leadership.clone();
    let mut tenure = None;
    let mut listed = false;
    let mut passes = Passes::new();
    tokio::pin!(events);
    while !context.stopping.is_cancelled() {
        health.looped(Instant::now());
        // Whose an agent is follows from all that name it: before they are known, nothing is begun. The list is not slowed
        // down by passes then, either: one that takes minutes is begun anew by the API server.
        let now = leadership.tenure().filter(|_| listed);
        if tenure != now {
            tenure = now;
            let mut schedule = lock(&schedule);
            if tenure.is_some() { schedule.lead(Instant::now()) } else { schedule.stop_leading() }
        }
        if let Some(Stale { what, age, reason }) = context.metrics.freshness().stale(Instant::now()) {
            let (known, seconds) = (context.fleet.summaries().len(), age.as_secs());
            tracing::warn!(known, seconds, reason, "{what}");
        }
        let wait = start(&schedule, &context, &mut passes);
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => {
                    listed |= matches!(event, Event::InitDone);
                    apply(event, &schedule, &context);
                }
                Some(Err(error)) => tracing::warn!(%error, "the watch broke and is taken up again"),
                // The stream never ends by itself; without it nothing would be noticed any more
                None => return tracing::error!("the watch has ended"),
            },
            Some(ended) = passes.join_next() => end(ended, &schedule, &context),
            () = leadership.changed() => {}
            () = context.stopping.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    while !passes.is_empty() {
        health.looped(Instant::now());
        tokio::select! {
            Some(ended) = passes.join_next() => end(ended, &schedule, &context),
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// Starts what there is to start now. How long to wait, if nothing else happens.
fn start(schedule: &SharedSchedule, context: &Arc<Context>, passes: &mut Passes) -> Duration {
    loop {
        let now = Instant::now();
        let next = lock(schedule).next(now);
        match next {
            Next::Start(name) => {
                let context = context.clone();
                passes.spawn(async move {
                    let (uid, outcome) = reconcile(&name, &context).await;
                    Finished { name, uid, outcome }
                });
            }
            Next::At(at) => return at.saturating_duration_since(now).min(TICK),
            Next::Wait => return TICK,
        }
    }
}

fn apply(event: Event, schedule: &SharedSchedule, context: &Context) {
    let is_listed = matches!(event, Event::InitDone);
    let before = context.fleet.left_out();
    for change in context.fleet.apply(event) {
        follow(change, schedule, context);
    }
    let left_out = context.fleet.left_out();
    if left_out > 0 && (is_listed || before == 0) {
        tracing::warn!(
            left_out,
            "there are more resources than there is room for; nothing is done about those left out"
        );
    }
}

fn follow(change: FleetChange, schedule: &SharedSchedule, context: &Context) {
    let mut schedule = lock(schedule);
    match change {
        FleetChange::Wakes(name) => {
            if let Some(object) = context.fleet.get(&name) {
                schedule.changed(&name, HostKey::of(&object), known(&object), Instant::now());
            }
        }
        FleetChange::Gone(name, uid) => {
            schedule.forget(&name);
            forget_gone(context, name.namespace(), &uid);
        }
    }
}

/// What the process before this one knew of a resource stands in its status.
fn known(object: &Watched) -> StatusHint {
    let Ok(mac) = &object.0 else { return StatusHint::default() };
    let status = mac.status.as_ref();
    let rotates =
        status.and_then(|status| status.rotation.as_ref()).is_some_and(|rotation| !rotation.state.is_decided());
    StatusHint {
        urgent: rotates || mac.metadata.deletion_timestamp.is_some(),
        silent: status.is_some_and(|status| status.blocked_by == Some(BlockedBy::HostUnreachable)),
    }
}

fn end(ended: Result<Finished, tokio::task::JoinError>, shared: &SharedSchedule, context: &Context) {
    match ended {
        Ok(Finished { name, uid, outcome }) => {
            let mut schedule = lock(shared);
            schedule.ended(&name, outcome, Instant::now());
            tracing::debug!(%name, ?outcome, "a pass ended");
            if !context.fleet.holds(&name) {
                // The pass itself may have found it gone
                schedule.forget(&name);
            }
            drop(schedule);
            for change in context.fleet.found() {
                follow(change, shared, context);
            }
            if !context.fleet.has(&name, &uid) {
                // The pass may have remembered something after the watch had shown the deletion
                forget_gone(context, name.namespace(), &uid);
            }
        }
        // A pass catches its own panics, and nobody aborts it
        Err(error) => tracing::error!(%error, "a pass was lost"),
    }
}

async fn reconcile(name: &ResourceName, context: &Context) -> (String, PassOutcome) {
    let Some(object) = context.fleet.get(name) else { return (String::new(), PassOutcome::Looked(unasked(context))) };
    let uid = object.metadata().uid.clone().unwrap_or_default();
    let started = Instant::now();
    let pass = async {
        match &object.0 {
            Ok(mac) => pass(mac, context).await,
            Err(seen) => unreadable::pass(seen, context).await,
        }
    };
    let pass = AssertUnwindSafe(pass).catch_unwind();
    let result = match tokio::time::timeout(PASS_DEADLINE, pass).await {
        Ok(Ok(result)) => result.map_err(PassError::from),
        Ok(Err(_)) => Err(PassError::Panic),
        Err(_) => Err(PassError::Deadline),
    };
    context.metrics.reconciled(started.elapsed());
    let outcome = match result {
        Ok(rest) => {
            context.ledger.passed(&uid);
            PassOutcome::Looked(rest)
        }
        Err(error) => PassOutcome::Failed { after: retry(name, &uid, &error, context), failure: error.failure() },
    };
    (uid, outcome)
}

fn retry(name: &ResourceName, uid: &str, error: &PassError, context: &Context) -> Duration {
    let failures = context.ledger.failed(uid);
    context.metrics.reconcile_failed(error.reason());
    match error {
        // Somebody wrote in between: nothing is wrong
        PassError::Cluster(ClusterError::Conflict { .. }) => {
            tracing::debug!(%error, %name, "the pass starts anew");
        }
        PassError::Cluster(_) | PassError::Deadline | PassError::Panic => {
            tracing::warn!(%error, %name, failures, "a pass ended early");
        }
    }
    doubled(FIRST_RETRY, failures, context.policy.resync.max(FIRST_RETRY))
}

pub(crate) fn lock(schedule: &SharedSchedule) -> MutexGuard<'_, Schedule> {
    // A panic in the schedule is a defect, and its data is still the best there is
    schedule.lock().unwrap_or_else(PoisonError::into_inner)
}
