//! One pass over one resource: look, decide, read again before anything is changed, decide again, do it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::host_api::AgentReport;
use kagiban_crds::resource::ManagedAgentCertificate;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use tokio_util::sync::CancellationToken;

use crate::act::{ActError, Hand};
use crate::cluster::{Cluster, ClusterError, Watched, object};
use crate::decide::{Decision, Inputs, Observed, Obstacle, Policy, Resource, Rival, Step, Story, decide};
use crate::leader::Leadership;
use crate::ledger::Ledger;
use crate::metrics::SharedMetrics;

/// Looks in one pass. Opening and delivering take three; more than a few mean that host and status disagree.
const MAX_ROUNDS: u32 = 6;
/// The shortest wait before a resource is looked at again.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);

/// What a pass works with.
#[derive(Debug)]
pub struct Workshop {
    pub cluster: Cluster,
    pub hand: Hand,
    pub store: Store<Watched>,
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
pub async fn pass(seen: &ManagedAgentCertificate, workshop: &Workshop) -> Result<Action, ClusterError> {
    let mut mac = seen.clone();
    let uid = mac.uid().unwrap_or_default();
    let mut fresh = false;
    for _ in 0..MAX_ROUNDS {
        let rival = rival(&mac, &workshop.store);
        workshop.ledger.asked(&object(&mac));
        let report = look(workshop, &object(&mac), rival.as_ref()).await;
        let mut decision = judge(workshop, &mac, rival.as_ref(), &report);
        if !changes(&decision, &mac) {
            return Ok(rest(workshop, &uid, decision.step));
        }
        if !fresh {
            // the cache may not have our own last write yet
            let Some(read) = workshop.cluster.fresh(&mac).await? else {
                workshop.ledger.forget(&uid);
                return Ok(Action::await_change());
            };
            mac = read;
            workshop.ledger.asked(&object(&mac));
            decision = judge(workshop, &mac, rival.as_ref(), &report);
            if !changes(&decision, &mac) {
                return Ok(rest(workshop, &uid, decision.step));
            }
        }
        if !may_act(workshop) {
            return Ok(Action::await_change());
        }
        if decision.step == Step::EnsureFinalizer {
            mac = workshop.cluster.hold(&mac).await?;
            fresh = true;
            continue;
        }
        if decision.status != mac.status.clone().unwrap_or_default() {
            let ended = ended(&mac, &decision);
            mac = workshop.cluster.write_status(&mac, &decision.status).await?;
            if let Some(outcome) = ended {
                workshop.metrics.rotation_ended(outcome);
            }
        }
        for story in &decision.stories {
            workshop.cluster.tell(&mac, story).await;
        }
        if !decision.step.acts() {
            return Ok(rest(workshop, &uid, decision.step));
        }
        if decision.step == Step::ReleaseFinalizer {
            workshop.cluster.release(&mac).await?;
            workshop.ledger.forget(&uid);
            return Ok(Action::await_change());
        }
        act(workshop, &mac, &uid, decision.step, report.as_ref().ok()).await;
        fresh = false;
    }
    Ok(Action::requeue(workshop.policy.resync.min(Duration::from_secs(5))))
}

async fn look(workshop: &Workshop, resource: &Resource, rival: Option<&Rival>) -> Result<AgentReport, Obstacle> {
    if rival.is_some() || (resource.deleted_at.is_some() && !resource.held) {
        // nothing that the host could say would matter
        return Err(Obstacle::new(kagiban_crds::resource::BlockedBy::Conflict, "not asked"));
    }
    let report = workshop.hand.look(resource).await;
    match &report {
        Ok(_) => workshop.ledger.looked(&resource.uid),
        Err(obstacle) => {
            tracing::debug!(name = resource.name, host = resource.spec.host, "{}", obstacle.message);
            workshop.ledger.looked_in_vain(&resource.uid, obstacle, Timestamp::now());
        }
    }
    report
}

fn judge(
    workshop: &Workshop,
    mac: &ManagedAgentCertificate,
    rival: Option<&Rival>,
    report: &Result<AgentReport, Obstacle>,
) -> Decision {
    let resource = object(mac);
    let setback = workshop.ledger.setback(&resource.uid, report.is_ok());
    decide(&Inputs {
        resource: &resource,
        host: report.as_ref().map_or_else(Observed::Unseen, Observed::Seen),
        rival,
        setback: setback.as_ref(),
        policy: &workshop.policy,
        now: Timestamp::now(),
    })
}

fn changes(decision: &Decision, mac: &ManagedAgentCertificate) -> bool {
    decision.step.acts() || decision.status != mac.status.clone().unwrap_or_default()
}

fn may_act(workshop: &Workshop) -> bool {
    !workshop.stopping.is_cancelled() && workshop.leadership.epoch().is_some()
}

/// A step that fails is remembered; the next round decides what becomes of it.
async fn act(workshop: &Workshop, mac: &ManagedAgentCertificate, uid: &str, step: Step, report: Option<&AgentReport>) {
    let resource = object(mac);
    // asked for at the last moment, for each step anew
    let Some(epoch) = workshop.leadership.epoch().filter(|_| may_act(workshop)) else { return };
    let done: Result<Option<Story>, ActError> = match (step, report) {
        (Step::Open { generation, .. }, _) => workshop.hand.open(&resource, generation, epoch).await.map(|()| None),
        (Step::Deliver { generation }, Some(report)) => {
            workshop.hand.deliver(&resource, generation, epoch, report, Timestamp::now()).await.map(Some)
        }
        (Step::Rollback { generation }, _) => workshop.hand.roll_back(&resource, generation, epoch).await.map(Some),
        (
            Step::Deliver { .. }
            | Step::EnsureFinalizer
            | Step::ReleaseFinalizer
            | Step::Follow { .. }
            | Step::Blocked { .. }
            | Step::Idle { .. }
            | Step::Gone,
            _,
        ) => return,
    };
    match done {
        Ok(story) => {
            workshop.ledger.acted(uid);
            if let Some(story) = story {
                workshop.cluster.tell(mac, &story).await;
            }
        }
        Err(error) => {
            let obstacle = match error {
                ActError::Obstacle(obstacle) => obstacle,
                ActError::Outdone(epoch, obstacle) => {
                    workshop.leadership.outdone_by(epoch);
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
            workshop.ledger.acted_in_vain(uid, &obstacle, Timestamp::now());
        }
    }
}

/// When to look again. Never later than the resync, so that a clock that jumps or a host that sleeps is noticed.
fn rest(workshop: &Workshop, uid: &str, step: Step) -> Action {
    let until = |time: Timestamp| {
        let wait = Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default();
        Action::requeue(wait.clamp(SHORTEST_WAIT, workshop.policy.resync.max(SHORTEST_WAIT)))
    };
    match step {
        Step::Idle { until: time } => {
            workshop.ledger.acted(uid);
            until(time)
        }
        Step::Blocked { retry, .. } => until(retry),
        Step::Follow { after, .. } => Action::requeue(after),
        Step::Gone => {
            workshop.ledger.forget(uid);
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
pub(crate) fn rival(mac: &ManagedAgentCertificate, store: &Store<Watched>) -> Option<Rival> {
    let others = store.state();
    oldest_rival(mac, others.iter().filter_map(|other: &Arc<Watched>| other.readable()))
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
