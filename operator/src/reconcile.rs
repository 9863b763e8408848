//! One pass over one resource: look, decide, read again before anything is changed, decide again, do it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::host_api::AgentReport;
use kagiban_crds::resource::{BlockedBy, ManagedAgentCertificate};
use kagiban_crds::{Epoch, Generation};
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use tokio_util::sync::CancellationToken;

use crate::act::{ActError, AgentClient};
use crate::cluster::{Cluster, ClusterError, object};
use crate::decide::{
    Decision, Event, Inputs, Observed, Obstacle, Policy, References, Resource, Rival, Step, decide, with_signed,
};
use crate::leader::Leadership;
use crate::ledger::Ledger;
use crate::metrics::{Guarded, SharedMetrics};

/// Looks in one pass. Opening and delivering take three; more than a few mean that host and status disagree.
const MAX_ROUNDS: u32 = 6;
/// The shortest wait before a resource is looked at again.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);

/// What a pass works with.
#[derive(Debug)]
pub struct Context {
    pub cluster: Cluster,
    pub agents: AgentClient,
    pub store: Store<Guarded>,
    pub ledger: Ledger,
    pub leadership: Leadership,
    pub policy: Policy,
    pub metrics: SharedMetrics,
    /// Cancelled when the process is to end: a pass then stops before its next change.
    pub stopping: CancellationToken,
}

/// Takes the resource as far as it goes without waiting.
///
/// # Errors
/// When the API server does not answer, or somebody else wrote in between: the next pass starts from what it reads.
pub async fn pass(seen: &ManagedAgentCertificate, context: &Context) -> Result<Action, ClusterError> {
    let mut mac = seen.clone();
    let uid = mac.uid().unwrap_or_default();
    let mut fresh = false;
    for _ in 0..MAX_ROUNDS {
        let rival = rival(&mac, &context.store);
        context.ledger.asked(&object(&mac));
        let references = context.agents.references(&object(&mac)).await;
        let report = look(context, &object(&mac), rival.as_ref()).await;
        let mut decision = judge(context, &mac, rival.as_ref(), &references, &report);
        if !changes(&decision, &mac) {
            return Ok(rest(context, &uid, decision.step));
        }
        if !fresh {
            // the cache may not have our own last write yet
            let Some(read) = context.cluster.fresh(&mac).await? else {
                context.ledger.forget(&uid);
                return Ok(Action::await_change());
            };
            mac = read;
            context.ledger.asked(&object(&mac));
            decision = judge(context, &mac, rival.as_ref(), &references, &report);
            if !changes(&decision, &mac) {
                return Ok(rest(context, &uid, decision.step));
            }
        }
        if !may_act(context) {
            return Ok(Action::await_change());
        }
        if decision.step == Step::EnsureFinalizer {
            mac = context.cluster.hold(&mac).await?;
            fresh = true;
            continue;
        }
        if decision.status != mac.status.clone().unwrap_or_default() {
            let ended = ended(&mac, &decision);
            mac = context.cluster.write_status(&mac, &decision.status).await?;
            if let Some(outcome) = ended {
                context.metrics.rotation_ended(outcome);
            }
        }
        for event in &decision.events {
            context.cluster.tell(&mac, event).await;
        }
        if !decision.step.acts() {
            return Ok(rest(context, &uid, decision.step));
        }
        if decision.step == Step::ReleaseFinalizer {
            context.cluster.release(&mac).await?;
            context.ledger.forget(&uid);
            return Ok(Action::await_change());
        }
        act(context, &mac, &uid, decision.step, report.as_ref().ok()).await?;
        fresh = false;
    }
    Ok(Action::requeue(context.policy.resync.min(Duration::from_secs(5))))
}

async fn look(context: &Context, resource: &Resource, rival: Option<&Rival>) -> Result<AgentReport, Obstacle> {
    if rival.is_some() || (resource.deleted_at.is_some() && !resource.held) {
        // nothing that the host could say would matter
        return Err(Obstacle::new(BlockedBy::Conflict, "not asked"));
    }
    let report = context.agents.look(resource).await;
    match &report {
        Ok(_) => context.ledger.looked(&resource.uid),
        Err(obstacle) => {
            tracing::debug!(name = resource.name, host = resource.spec.host, "{}", obstacle.message);
            context.ledger.looked_in_vain(&resource.uid, obstacle, Timestamp::now());
        }
    }
    report
}

fn judge(
    context: &Context,
    mac: &ManagedAgentCertificate,
    rival: Option<&Rival>,
    references: &References,
    report: &Result<AgentReport, Obstacle>,
) -> Decision {
    let resource = object(mac);
    let setback = context.ledger.setback(&resource.uid, report.is_ok());
    decide(&Inputs {
        resource: &resource,
        host: report.as_ref().map_or_else(Observed::Unseen, Observed::Seen),
        rival,
        setback: setback.as_ref(),
        references,
        policy: &context.policy,
        now: Timestamp::now(),
    })
}

fn changes(decision: &Decision, mac: &ManagedAgentCertificate) -> bool {
    decision.step.acts() || decision.status != mac.status.clone().unwrap_or_default()
}

fn may_act(context: &Context) -> bool {
    !context.stopping.is_cancelled() && context.leadership.epoch().is_some()
}

/// A step that fails is remembered; the next round decides what becomes of it.
///
/// # Errors
/// When the API server does not take what must be written before the step.
async fn act(
    context: &Context,
    mac: &ManagedAgentCertificate,
    uid: &str,
    step: Step,
    report: Option<&AgentReport>,
) -> Result<(), ClusterError> {
    let resource = object(mac);
    let done: Result<Option<Event>, ActError> = match (step, report) {
        (Step::Open { generation, .. }, _) => {
            let Some(epoch) = epoch(context) else { return Ok(()) };
            context.agents.open(&resource, generation, epoch).await.map(|()| None)
        }
        (Step::Deliver { generation }, Some(report)) => {
            deliver(context, mac, &resource, generation, report).await?.map(|()| None)
        }
        (Step::Rollback { generation }, _) => {
            let Some(epoch) = epoch(context) else { return Ok(()) };
            context.agents.roll_back(&resource, generation, epoch).await.map(Some)
        }
        (
            Step::Deliver { .. }
            | Step::EnsureFinalizer
            | Step::ReleaseFinalizer
            | Step::Follow { .. }
            | Step::Blocked { .. }
            | Step::Idle { .. }
            | Step::Gone,
            _,
        ) => return Ok(()),
    };
    match done {
        Ok(event) => {
            context.ledger.acted(uid);
            if let Some(event) = event {
                context.cluster.tell(mac, &event).await;
            }
        }
        Err(error) => {
            let obstacle = match error {
                ActError::Obstacle(obstacle) => obstacle,
                ActError::Outdone(epoch, obstacle) => {
                    context.leadership.outdone_by(epoch);
                    obstacle
                }
            };
            // told as an event, and so logged, when it is news; a try that fails as the one before is none
            tracing::debug!(
                namespace = resource.namespace,
                name = resource.name,
                host = resource.spec.host,
                ?step,
                "{}",
                obstacle.message
            );
            context.ledger.acted_in_vain(uid, &obstacle, Timestamp::now());
        }
    }
    Ok(())
}

/// Signs, writes down what was signed, and pushes it: a host that has the chain can never hold a leaf that is not on record.
async fn deliver(
    context: &Context,
    mac: &ManagedAgentCertificate,
    resource: &Resource,
    generation: Generation,
    report: &AgentReport,
) -> Result<Result<(), ActError>, ClusterError> {
    let issued = match context.agents.sign(resource, report, Timestamp::now()).await {
        Ok(issued) => issued,
        Err(obstacle) => return Ok(Err(obstacle.into())),
    };
    let on_record = resource.status.rotation.iter().flat_map(|rotation| &rotation.signed);
    if !on_record.into_iter().any(|signed| signed.sha256 == issued.leaf.sha256) {
        let Some(status) = with_signed(&resource.status, issued.leaf.clone()) else {
            let message =
                "too many certificates were signed for this rotation already; it is called off and begun anew";
            return Ok(Err(Obstacle::new(BlockedBy::HostBusy, message).into()));
        };
        context.cluster.write_status(mac, &status).await?;
    }
    match epoch(context) {
        Some(epoch) => Ok(context.agents.deliver(resource, generation, epoch, issued).await),
        None => Ok(Ok(())),
    }
}

/// Asked for at the last moment, for each step anew.
fn epoch(context: &Context) -> Option<Epoch> {
    context.leadership.epoch().filter(|_| may_act(context))
}

/// When to look again. Never later than the resync, so that a clock that jumps or a host that sleeps is noticed.
fn rest(context: &Context, uid: &str, step: Step) -> Action {
    let until = |time: Timestamp| {
        let wait = Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default();
        Action::requeue(wait.clamp(SHORTEST_WAIT, context.policy.resync.max(SHORTEST_WAIT)))
    };
    match step {
        Step::Idle { until: time } => {
            context.ledger.acted(uid);
            until(time)
        }
        Step::Blocked { retry, .. } => until(retry),
        Step::Follow { after, .. } => Action::requeue(after),
        Step::Gone => {
            context.ledger.forget(uid);
            Action::await_change()
        }
        Step::EnsureFinalizer
        | Step::ReleaseFinalizer
        | Step::Open { .. }
        | Step::Deliver { .. }
        | Step::Rollback { .. } => Action::requeue(SHORTEST_WAIT),
    }
}

fn ended(mac: &ManagedAgentCertificate, decision: &Decision) -> Option<kagiban_crds::resource::Outcome> {
    let before = mac.status.as_ref().and_then(|status| status.history.first());
    decision.status.history.first().filter(|entry| Some(*entry) != before).map(|entry| entry.outcome)
}

/// The oldest other resource that names the same agent of the same host, if it is older than this one.
pub(crate) fn rival(mac: &ManagedAgentCertificate, store: &Store<Guarded>) -> Option<Rival> {
    let others = store.state();
    oldest_rival(mac, others.iter().filter_map(|other: &Arc<Guarded>| other.0.as_ref().ok()))
}

/// See [`rival`]; also used on manifests.
pub(crate) fn oldest_rival<'a>(
    mac: &ManagedAgentCertificate,
    others: impl Iterator<Item = &'a ManagedAgentCertificate>,
) -> Option<Rival> {
    let age = |mac: &ManagedAgentCertificate| {
        let created = mac.creation_timestamp().map(|time| time.0);
        // what only stands in a file is younger than anything in the cluster
        (created.is_none(), created, mac.uid())
    };
    others
        .filter(|other| (other.namespace(), other.name_any()) != (mac.namespace(), mac.name_any()))
        .filter(|other| other.spec.host == mac.spec.host && other.spec.agent.name == mac.spec.agent.name)
        .filter(|other| age(other) < age(mac))
        .min_by_key(|other| age(other))
        .map(|other| Rival { namespace: other.namespace().unwrap_or_default(), name: other.name_any() })
}
