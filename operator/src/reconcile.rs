//! One pass over one resource: look, decide, read again before anything is changed, decide again, do it.

mod step;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kagiban_crds::host_api::AgentReport;
use kagiban_crds::resource::{BlockedBy, ManagedAgentCertificate, ManagedAgentCertificateStatus};
use tokio_util::sync::CancellationToken;

use crate::act::AgentClient;
use crate::cluster::written::{self, Difference};
use crate::cluster::{ClusterError, SharedCluster, claim, object};
use crate::decide::{
    Decision, Event, Inputs, Observed, Obstacle, Policy, Reason, References, Resource, Rival, SECRET_WAIT, Step,
    decide, doubled, owner,
};
use crate::fleet::Fleet;
use crate::leader::Leadership;
use crate::ledger::{Ledger, Wait};
use crate::metrics::SharedMetrics;
use crate::schedule::{HostContact, Rest};

/// Looks in one pass. Opening and delivering take three; more than a few mean that host and status disagree.
const MAX_ROUNDS: u32 = 6;
/// A pass that has taken so long begins no further round: a slow host alone never brings it to its deadline, which is for what
/// hangs in this process.
const LONG_PASS: Duration = Duration::from_secs(30);
/// The shortest wait before a resource is looked at again.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// While another resource that names the same agent is in the middle of a step there.
const BETWEEN_TURNS: Duration = Duration::from_secs(5);
/// After a pass that used up its rounds; it doubles with each further one in a row, up to the resync.
const BETWEEN_LONG_PASSES: Duration = Duration::from_secs(5);

/// What a pass works with.
#[derive(Debug)]
pub struct Context {
    pub cluster: SharedCluster,
    pub agents: AgentClient,
    pub fleet: Arc<Fleet>,
    pub ledger: Ledger,
    pub leadership: Leadership,
    pub policy: Policy,
    pub metrics: SharedMetrics,
    /// Cancelled when the process is to end: a pass then stops before its next change.
    pub stopping: CancellationToken,
}

/// Takes the resource as far as it goes without waiting. Gives when to look again: always within a resync, also where only
/// a change can help, because the change may have come already.
///
/// # Errors
/// When the API server does not answer, or somebody else wrote in between: the next pass starts from what it reads.
pub async fn pass(seen: &ManagedAgentCertificate, context: &Context) -> Result<Rest, ClusterError> {
    let mut mac = seen.clone();
    let uid = mac.metadata.uid.clone().unwrap_or_default();
    let mut fresh = false;
    let mut heard = HostContact::NotAsked;
    let started = Instant::now();
    for round in 0..MAX_ROUNDS {
        if started.elapsed() >= LONG_PASS {
            break;
        }
        let mut rival = rival(&mac, &context.fleet);
        asked(context, &mac).await;
        let mut references = context.agents.references(&object(&mac)).await;
        if round == 0 && rival.is_none() && still_waits(context, &object(&mac), &references).await {
            return Ok(Rest { after: SECRET_WAIT.min(context.policy.resync), ..unasked(context) });
        }
        let report = look(context, &object(&mac), rival.as_ref()).await;
        heard = heard_of(&report);
        let mut decision = judge(context, &mac, rival.as_ref(), &references, &report);
        if !changes(context, &decision, &mac) {
            return Ok(rest(context, &mac, &decision, &references, heard));
        }
        if !fresh {
            // The cache may not have our own last write yet
            let Some(read) = context.cluster.fresh(&mac).await? else {
                context.fleet.found_gone(&mac);
                forget(context, &mac);
                return Ok(Rest { heard, ..unasked(context) });
            };
            // An API server that was restored from a backup may give the same generation to another spec
            let is_another = mac.metadata.generation != read.metadata.generation || mac.spec != read.spec;
            mac = read;
            if is_another {
                // The host that was looked at is perhaps not the one that the spec means now
                fresh = true;
                continue;
            }
            asked(context, &mac).await;
            decision = judge(context, &mac, rival.as_ref(), &references, &report);
            if !changes(context, &decision, &mac) {
                return Ok(rest(context, &mac, &decision, &references, heard));
            }
        }
        let reservation = if decision.step.depends_on_secrets() {
            // The host is told what stands in them now, and the status says that of it
            references = context.agents.references_anew(&object(&mac)).await;
            // Others that name the agent have gone on since: none of them changes anything there until this step is done
            let Some(reservation) = context.fleet.reserve(&mac) else {
                return Ok(Rest { after: BETWEEN_TURNS, urgent: false, heard });
            };
            rival = self::rival(&mac, &context.fleet);
            decision = judge(context, &mac, rival.as_ref(), &references, &report);
            if !changes(context, &decision, &mac) {
                return Ok(rest(context, &mac, &decision, &references, heard));
            }
            Some(reservation)
        } else {
            None
        };
        if !may_act(context) {
            // Whoever leads next looks at everything; if that is this process, the sooner the better
            return Ok(Rest { after: SHORTEST_WAIT, urgent: false, heard });
        }
        let permit = if matches!(decision.step, Step::Open { .. } | Step::Rollback { .. } | Step::HandOver { .. }) {
            match step::permit(context, &object(&mac)) {
                Ok(permit) => Some(permit),
                Err(obstacle) => {
                    context.ledger.acted_in_vain(&uid, &obstacle, Timestamp::now());
                    fresh = false;
                    continue;
                }
            }
        } else {
            None
        };
        let difference = written::difference(&decision.status, mac.status.as_ref());
        if !is_allowed(context, &uid, &decision, &mac, difference) {
            context.metrics.withheld("write");
            return Ok(rest(context, &mac, &decision, &references, heard));
        }
        if decision.step == Step::EnsureFinalizer {
            let held = context.cluster.hold(&mac).await;
            if let Err(error @ ClusterError::Unreadable { .. }) = &held {
                // Whoever wrote the object can mend that, and nobody else: he is told where he looks
                let message = format!("the finalizer cannot be put on: {error}");
                let obstacle = Obstacle::new(BlockedBy::SpecInvalid, message);
                context.ledger.acted_in_vain(&uid, &obstacle, Timestamp::now());
                continue;
            }
            mac = written_or_not(context, &mac, &decision.status, held)?;
            fresh = true;
            continue;
        }
        if difference != Difference::None {
            let ended = ended(&mac, &decision);
            mac = write_status(context, &mac, &decision.status).await?;
            if let Some(outcome) = ended {
                context.metrics.rotation_ended(outcome);
            }
        }
        if decision.step == Step::ReleaseFinalizer {
            release(context, &mac, &decision.events).await?;
            return Ok(Rest { heard, ..unasked(context) });
        }
        for event in &decision.events {
            tell(context, &mac, event).await;
        }
        if !decision.step.acts() {
            return Ok(rest(context, &mac, &decision, &references, heard));
        }
        step::act(context, &mac, &uid, decision.step, permit, report.as_ref().ok(), &references).await?;
        drop(reservation);
        fresh = false;
    }
    let count = context.ledger.found_no_rest(&uid);
    Ok(Rest { after: doubled(BETWEEN_LONG_PASSES, count, context.policy.resync), urgent: true, heard })
}

/// What is asked for now. Whoever changes it may have put right what was in the way before.
async fn asked(context: &Context, mac: &ManagedAgentCertificate) {
    let resource = object(mac);
    if context.ledger.asked(&resource) {
        context.agents.asked_for(&resource).await;
    }
}

/// Of a pass that asked no host, and has nothing to come back for but the resync.
pub(crate) fn unasked(context: &Context) -> Rest {
    Rest { after: context.policy.resync, urgent: false, heard: HostContact::NotAsked }
}

/// Whether nothing has changed about the Secret that it waits for. Its host has no say in that, and is left alone.
async fn still_waits(context: &Context, resource: &Resource, references: &References) -> bool {
    let wait = context.ledger.wait(&resource.uid, Instant::now()).filter(|_| resource.deleted_at.is_none());
    let Some(Wait { obstacle, tried, .. }) = wait else { return false };
    let found = match references.obstacle() {
        Some(found) => Some(found.clone()),
        None if tried => context.agents.in_the_way(resource, obstacle.by).await,
        None => None,
    };
    found == Some(obstacle)
}

/// A refusal is an answer, and what keeps us from asking says nothing about the host.
fn heard_of(report: &Result<AgentReport, Obstacle>) -> HostContact {
    let Err(obstacle) = report else { return HostContact::Answered };
    match obstacle.by {
        BlockedBy::HostUnreachable => HostContact::Silent,
        BlockedBy::HostBusy
        | BlockedBy::HostRefused
        | BlockedBy::HostAnswerRefused
        | BlockedBy::WrongHost
        | BlockedBy::Frozen
        | BlockedBy::OnBattery
        | BlockedBy::LowBattery
        | BlockedBy::ShutdownPending
        | BlockedBy::PowerUnknown
        | BlockedBy::ClockSkew => HostContact::Answered,
        BlockedBy::Paused
        | BlockedBy::SpecInvalid
        | BlockedBy::IssuerUnavailable
        | BlockedBy::IssuerRefused
        | BlockedBy::IssuerEnding
        | BlockedBy::SecretUnavailable
        | BlockedBy::Conflict
        | BlockedBy::NotGranted
        | BlockedBy::BackingOff
        | BlockedBy::DriftRecurs
        | BlockedBy::RotationStuck
        | BlockedBy::HandedOver => HostContact::NotAsked,
    }
}

async fn look(context: &Context, resource: &Resource, rival: Option<&Rival>) -> Result<AgentReport, Obstacle> {
    if rival.is_some() || (resource.deleted_at.is_some() && !resource.held) {
        // Nothing that the host could say would matter
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
    let now = Timestamp::now();
    let setback = context.ledger.setback(&resource.uid, report.is_ok());
    let works = report.as_ref().ok().and_then(|report| report.rotation.as_ref());
    let works_for = if works.is_some_and(|rotation| !rotation.state.is_decided()) {
        context.ledger.works(&resource.uid, Instant::now())
    } else {
        if report.is_ok() {
            context.ledger.rests(&resource.uid);
        }
        None
    };
    let decision = decide(&Inputs {
        resource: &resource,
        host: report.as_ref().map_or_else(Observed::Unseen, Observed::Seen),
        rival,
        setback: setback.as_ref(),
        works_for,
        ordered: context.ledger.ordered(&resource.uid),
        references,
        policy: &context.policy,
        now,
    });
    if decision.step != Step::EnsureFinalizer
        && written::difference(&decision.status, mac.status.as_ref()) == Difference::None
    {
        context.fleet.needs_no_write(mac);
    }
    decision
}

/// Whether anything is to be written. Other words for the same state are written now and then only: whoever varies his words
/// causes no writes by it.
fn changes(context: &Context, decision: &Decision, mac: &ManagedAgentCertificate) -> bool {
    decision.step.acts()
        || match written::difference(&decision.status, mac.status.as_ref()) {
            Difference::None => false,
            Difference::Wording => {
                context.ledger.may_reword(&mac.metadata.uid.clone().unwrap_or_default(), Instant::now())
            }
            Difference::Substance => true,
        }
}

/// That it is released is told once it is.
async fn release(context: &Context, mac: &ManagedAgentCertificate, events: &[Event]) -> Result<(), ClusterError> {
    let released = context.cluster.release(mac).await;
    if let Err(error @ (ClusterError::Unreleasable { .. } | ClusterError::Unreadable { .. })) = &released {
        tell(context, mac, &Event::warning(Reason::Blocked(BlockedBy::SpecInvalid), error.to_string())).await;
    }
    released?;
    for event in events {
        tell(context, mac, event).await;
    }
    forget(context, mac);
    Ok(())
}

/// Whoever names the same agent sees what is written at once, however far the watch is behind.
async fn write_status(
    context: &Context,
    mac: &ManagedAgentCertificate,
    status: &ManagedAgentCertificateStatus,
) -> Result<ManagedAgentCertificate, ClusterError> {
    let written = written_or_not(context, mac, status, context.cluster.write_status(mac, status).await)?;
    context.fleet.wrote(&written);
    Ok(written)
}

/// What nobody can write on an object is remembered here: others that name the agent see a status otherwise that is long over.
fn written_or_not(
    context: &Context,
    mac: &ManagedAgentCertificate,
    status: &ManagedAgentCertificateStatus,
    result: Result<ManagedAgentCertificate, ClusterError>,
) -> Result<ManagedAgentCertificate, ClusterError> {
    if result.as_ref().is_err_and(ClusterError::is_unwritable) {
        context.fleet.could_not_write(mac, status);
    }
    result
}

/// A rotation is never held up; whatever else changes all the time is written at a bounded rate.
fn is_allowed(
    context: &Context,
    uid: &str,
    decision: &Decision,
    mac: &ManagedAgentCertificate,
    difference: Difference,
) -> bool {
    let now = Instant::now();
    match decision.step {
        Step::Open { .. } | Step::Deliver { .. } | Step::Rollback { .. } | Step::ReleaseFinalizer => true,
        Step::EnsureFinalizer => context.ledger.may_write(uid, now),
        Step::AskPassword { .. }
        | Step::Follow { .. }
        | Step::HandOver { .. }
        | Step::Blocked { .. }
        | Step::Idle { .. }
        | Step::Gone => match difference {
            Difference::None => true,
            Difference::Wording => context.ledger.reword(uid, now),
            Difference::Substance => ended(mac, decision).is_some() || context.ledger.may_write(uid, now),
        },
    }
}

async fn tell(context: &Context, mac: &ManagedAgentCertificate, event: &Event) {
    if let Some(event) = may_tell(context, &mac.metadata.uid.clone().unwrap_or_default(), event.clone()) {
        context.cluster.tell(mac, &event).await;
    }
}

/// The event, if it may be told now. Those that repeat are counted and told with the next one.
pub(crate) fn may_tell(context: &Context, uid: &str, event: Event) -> Option<Event> {
    match context.ledger.may_tell(uid, event.reason, Instant::now()) {
        None => {
            context.metrics.withheld("event");
            None
        }
        Some(0) => Some(event),
        Some(untold) => {
            let message = format!("{} ({untold} more with this reason were not told)", event.message);
            Some(Event { message, ..event })
        }
    }
}

pub(crate) fn may_act(context: &Context) -> bool {
    !context.stopping.is_cancelled() && context.leadership.epoch().is_some()
}

/// When to look again. Never later than the resync, so that a clock that jumps or a host that sleeps is noticed.
fn rest(
    context: &Context,
    mac: &ManagedAgentCertificate,
    decision: &Decision,
    references: &References,
    heard: HostContact,
) -> Rest {
    let uid = &mac.metadata.uid.clone().unwrap_or_default();
    let resync = context.policy.resync.max(SHORTEST_WAIT);
    let until = |time: Timestamp| {
        let wait = Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default();
        wait.clamp(SHORTEST_WAIT, resync)
    };
    context.ledger.found_rest(uid);
    context.ledger.waits(uid, wait(context, uid, decision, references, heard));
    let rotation = decision.status.rotation.as_ref();
    let in_flight = rotation.is_some_and(|rotation| !rotation.state.is_decided());
    let (after, urgent) = match decision.step {
        Step::Idle { until: time } => {
            context.ledger.acted(uid, Instant::now());
            (until(time), false)
        }
        // A host that fell silent in the middle of a rotation
        Step::Blocked { retry, .. } => (until(retry), in_flight && heard == HostContact::Silent),
        Step::Follow { after, .. } => (after, true),
        Step::Gone => {
            forget(context, mac);
            (resync, false)
        }
        Step::EnsureFinalizer
        | Step::ReleaseFinalizer
        | Step::Open { .. }
        | Step::AskPassword { .. }
        | Step::Deliver { .. }
        | Step::Rollback { .. }
        | Step::HandOver { .. } => (SHORTEST_WAIT, true),
    };
    Rest { after, urgent, heard }
}

/// The resource is gone: nothing that is known of it is needed any more.
fn forget(context: &Context, mac: &ManagedAgentCertificate) {
    forget_gone(
        context,
        mac.metadata.namespace.as_deref().unwrap_or_default(),
        &mac.metadata.uid.clone().unwrap_or_default(),
    );
}

/// The same, of one of which no more than this is known.
pub(crate) fn forget_gone(context: &Context, namespace: &str, uid: &str) {
    context.ledger.forget(uid);
    context.agents.forget(namespace, uid);
}

/// What it waits for now, if the host was looked at and only a Secret stands in the way.
fn wait(
    context: &Context,
    uid: &str,
    decision: &Decision,
    references: &References,
    heard: HostContact,
) -> Option<Wait> {
    let Step::Blocked {
        by: by @ (BlockedBy::SecretUnavailable | BlockedBy::IssuerUnavailable | BlockedBy::NotGranted),
        ..
    } = decision.step
    else {
        return None;
    };
    let before_trying = references.obstacle().filter(|obstacle| obstacle.by == by).cloned();
    let tried = before_trying.is_none();
    let on_trying = || context.ledger.setback(uid, true).map(|setback| setback.obstacle);
    let obstacle =
        before_trying.or_else(on_trying).filter(|obstacle| obstacle.by == by && heard == HostContact::Answered)?;
    let leaf_end = decision.status.leaf.as_ref().map(|leaf| leaf.not_after);
    Some(Wait {
        obstacle,
        tried,
        until: Instant::now() + longest_wait(leaf_end, Timestamp::now(), context.policy.resync),
    })
}

/// For how long a host is left alone: within the resync, and not past the end of its leaf.
fn longest_wait(leaf_end: Option<Timestamp>, now: Timestamp, resync: Duration) -> Duration {
    let left = leaf_end.and_then(|end| Duration::try_from(end.duration_since(now)).ok());
    left.filter(|left| !left.is_zero()).map_or(resync, |left| left.min(resync))
}

fn ended(mac: &ManagedAgentCertificate, decision: &Decision) -> Option<kagiban_crds::resource::Outcome> {
    let before = mac.status.as_ref().and_then(|status| status.history.first());
    decision.status.history.first().filter(|entry| Some(*entry) != before).map(|entry| entry.outcome)
}

/// The resource that owns the agent that this one names, if that is another.
pub(crate) fn rival(mac: &ManagedAgentCertificate, fleet: &Fleet) -> Option<Rival> {
    let claims = fleet.claims(mac);
    owner(&fleet.claim(mac), claims.iter().map(Arc::as_ref))
}

/// See [`rival`]; also used on manifests.
pub(crate) fn owner_among<'a>(
    mac: &ManagedAgentCertificate,
    others: impl Iterator<Item = &'a ManagedAgentCertificate>,
) -> Option<Rival> {
    let same = |other: &&ManagedAgentCertificate| {
        other.spec.host == mac.spec.host && other.spec.agent.name == mac.spec.agent.name
    };
    let claims: Vec<_> = others.filter(same).map(claim).collect();
    owner(&claim(mac), &claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds B11: whoever waits for a Secret says of a leaf that has ended that it has, as soon as everybody else.
    #[test]
    fn a_host_is_left_alone_within_the_resync_and_up_to_the_end_of_its_leaf() {
        let (now, resync) = (Timestamp::UNIX_EPOCH, Duration::from_secs(300));
        let until = |seconds: i64| Timestamp::from_second(seconds).expect("a time");
        for (end, expected) in
            [(None, 300), (Some(10), 10), (Some(299), 299), (Some(301), 300), (Some(0), 300), (Some(-10), 300)]
        {
            assert_eq!(longest_wait(end.map(until), now, resync).as_secs(), expected, "{end:?}");
        }
    }
}
