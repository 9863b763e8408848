//! Takes a step, and remembers how it went.

use std::time::Instant;

use jiff::Timestamp;
use kagiban_crds::host_api::AgentReport;
use kagiban_crds::resource::{BlockedBy, ManagedAgentCertificate};
use kagiban_crds::{Epoch, Generation};

use super::{Context, may_act, tell, write_status};
use crate::act::ActError;
use crate::cluster::{ClusterError, object};
use crate::decide::{Event, Obstacle, References, Resource, Step, TakenOrder, with_signed};
use crate::fleet::HostKey;
use crate::ledger::OrderPermit;

/// Of a host that was told too often to begin something.
const TOLD_TOO_OFTEN: &str = "the host was told a dozen times in a short while to begin a rotation, to roll one back or to obey another installation, and is told once a \
                              minute now; somebody asks for one after the other, or the host shows no rotation afterwards, or another \
                              one each time: see what its exporter logs, and whether a second one answers there";

/// To tell the host to begin a rotation or to roll one back. Where it was told too often, whoever asked for it is told why nothing comes
/// of it: the next round finds this in the way.
pub(super) fn permit(context: &Context, resource: &Resource) -> Result<OrderPermit, Obstacle> {
    context.ledger.order(resource, Instant::now()).ok_or_else(|| {
        context.metrics.withheld("order");
        Obstacle::new(BlockedBy::HostAnswerRefused, TOLD_TOO_OFTEN)
    })
}

/// What a step has come to.
enum Done {
    Acted,
    /// The host says that it called the rotation off.
    CalledOff(Generation, Event),
}

/// A step that fails is remembered; the next round decides what becomes of it.
///
/// # Errors
/// When the API server does not take what must be written before the step.
pub(super) async fn act(
    context: &Context,
    mac: &ManagedAgentCertificate,
    uid: &str,
    step: Step,
    permit: Option<OrderPermit>,
    report: Option<&AgentReport>,
    references: &References,
) -> Result<(), ClusterError> {
    let resource = object(mac);
    let done: Result<Done, ActError> = match (step, report) {
        (Step::Open { generation, .. }, _) => {
            let (Some(epoch), Some(permit)) = (epoch(context), permit) else { return Ok(()) };
            let opened = context.agents.open(permit, &resource, generation, epoch).await;
            if opened.is_ok() {
                context.ledger.took_order(uid, TakenOrder { generation, at: Timestamp::now() });
            }
            opened.map(|()| Done::Acted)
        }
        (Step::AskPassword { generation }, _) => {
            let Some(epoch) = epoch(context) else { return Ok(()) };
            context.agents.ask_password(&resource, generation, epoch).await.map(|()| Done::Acted)
        }
        (Step::Deliver { generation }, Some(report)) => {
            deliver(context, mac, &resource, generation, report, references).await?
        }
        (Step::Rollback { generation }, _) => {
            let (Some(epoch), Some(permit)) = (epoch(context), permit) else { return Ok(()) };
            let why = "it is not what is asked for any more";
            context
                .agents
                .roll_back(permit, &resource, generation, epoch, why)
                .await
                .map(|event| Done::CalledOff(generation, event))
        }
        (Step::HandOver { generation }, _) => {
            let (Some(epoch), Some(permit)) = (epoch(context), permit) else { return Ok(()) };
            let Some(to) = &context.policy.hand_over_to else { return Ok(()) };
            context.agents.hand_over(permit, &resource, generation, epoch, to).await.map(|()| Done::Acted)
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
        Ok(Done::Acted) => context.ledger.acted(uid, Instant::now()),
        Ok(Done::CalledOff(generation, event)) => {
            called_off(context, uid, generation);
            tell(context, mac, &event).await;
        }
        Err(error) => {
            let obstacle = match error {
                ActError::Obstacle(obstacle) => obstacle,
                ActError::Outdone(epoch, obstacle) => {
                    let url = resource.spec.api.host_api.as_ref().map(|api| api.url.as_str()).unwrap_or_default();
                    context.leadership.outdone_by(HostKey::new(&resource.namespace, url), epoch);
                    obstacle
                }
            };
            // Told as an event, and so logged, when it is news; a try that fails as the one before is none
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

/// A host that goes on with what it said it called off is not asked again without a pause, and cannot be worked with for ever.
fn called_off(context: &Context, uid: &str, generation: Generation) {
    if let Some(count) = context.ledger.called_off(uid, generation) {
        let message =
            format!("the host said {count} times that it called generation {generation} off, and goes on with it");
        let obstacle = Obstacle::new(BlockedBy::HostAnswerRefused, message);
        context.ledger.acted_in_vain(uid, &obstacle, Timestamp::now());
    }
}

/// Signs, writes down what was signed, and pushes it: a host that has the chain can never hold a leaf that is not on record.
/// A rotation with no place left on its record is called off.
async fn deliver(
    context: &Context,
    mac: &ManagedAgentCertificate,
    resource: &Resource,
    generation: Generation,
    report: &AgentReport,
    references: &References,
) -> Result<Result<Done, ActError>, ClusterError> {
    let issued = match context.agents.sign(resource, report, references.issuer(), Timestamp::now()).await {
        Ok(issued) => issued,
        Err(obstacle) => return Ok(Err(obstacle.into())),
    };
    let on_record = resource.status.rotation.iter().flat_map(|rotation| &rotation.signed);
    if !on_record.into_iter().any(|signed| signed.sha256 == issued.leaf.sha256) {
        let Some(status) = with_signed(&resource.status, issued.leaf.clone()) else {
            let why = "too many certificates were signed for it, and none of them has arrived";
            let Some(epoch) = epoch(context) else { return Ok(Ok(Done::Acted)) };
            let permit = match permit(context, resource) {
                Ok(permit) => permit,
                Err(obstacle) => return Ok(Err(obstacle.into())),
            };
            let called_off = context.agents.roll_back(permit, resource, generation, epoch, why).await;
            return Ok(called_off.map(|event| Done::CalledOff(generation, event)));
        };
        write_status(context, mac, &status).await?;
    }
    match epoch(context) {
        Some(epoch) => Ok(context.agents.deliver(resource, generation, epoch, issued).await.map(|()| Done::Acted)),
        None => Ok(Ok(Done::Acted)),
    }
}

/// Asked for at the last moment, for each step anew.
fn epoch(context: &Context) -> Option<Epoch> {
    context.leadership.epoch().filter(|_| may_act(context))
}
