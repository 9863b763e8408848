//! A resource that this version cannot read: it says so in its conditions, keeps everything else of its status, and is
//! released when it is deleted.

use std::time::Instant;

use jiff::Timestamp;
use kagiban_crds::resource::FINALIZER;
use serde_json::{Value, json};

use crate::cluster::{ClusterError, Unreadable};
use crate::decide::{ConditionType, Event, Reason, whole_seconds};
use crate::reconcile::{Context, may_act, may_tell, unasked};
use crate::schedule::Rest;

/// One pass over it. A rotation that may be in flight on its host is ended by the host itself.
///
/// # Errors
/// When the API server does not answer, or somebody else wrote in between.
pub async fn pass(seen: &Unreadable, context: &Context) -> Result<Rest, ClusterError> {
    let uid = seen.metadata.uid.as_deref().unwrap_or_default();
    context.ledger.asked_unread(uid, seen.metadata.generation.unwrap_or_default());
    let deleted = seen.metadata.deletion_timestamp.is_some();
    let held = seen.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
    if (deleted && !held) || !may_act(context) {
        return Ok(unasked(context));
    }
    if deleted {
        let released = context.cluster.release_unread(seen).await;
        if let Err(error @ (ClusterError::Unreleasable { .. } | ClusterError::Unreadable { .. })) = &released {
            tell(seen, context, Event::warning(Reason::Unreadable, error.to_string())).await;
        }
        released?;
        let message = "this version cannot read the resource: it was released without asking the host, which ends by \
                       itself whatever it was doing";
        tell(seen, context, Event::warning(Reason::Released, message)).await;
        return Ok(unasked(context));
    }
    let conditions = conditions(seen, Timestamp::now());
    let observed = seen.observed_generation() == seen.metadata.generation;
    if seen.has_oversized_status() {
        // What is written there replaces what others have written, and nobody knows what that is
        let message = format!("{}; nothing is done about it, and its conditions are left as they are", explained(seen));
        tell(seen, context, Event::warning(Reason::Unreadable, message)).await;
        return Ok(unasked(context));
    }
    if conditions.as_slice() == seen.conditions() && observed {
        return Ok(unasked(context));
    }
    if !context.ledger.may_write(uid, Instant::now()) {
        context.metrics.withheld("write");
        return Ok(unasked(context));
    }
    context.cluster.write_conditions(seen, &conditions).await?;
    let message = format!("{}; nothing is done about it until that is mended", explained(seen));
    tell(seen, context, Event::warning(Reason::Unreadable, message)).await;
    Ok(unasked(context))
}

async fn tell(seen: &Unreadable, context: &Context, event: Event) {
    let uid = seen.metadata.uid.as_deref().unwrap_or_default();
    if let Some(event) = may_tell(context, uid, event) {
        context.cluster.tell_unread(seen, &event).await;
    }
}

/// Those that are there, with ours on top; the time moves only with the status.
fn conditions(seen: &Unreadable, now: Timestamp) -> Vec<Value> {
    let mut conditions = seen.conditions().to_vec();
    for (kind, status) in
        [(ConditionType::Ready, "False"), (ConditionType::Reconciling, "False"), (ConditionType::Stalled, "True")]
    {
        let at = conditions.iter().position(|condition| condition["type"] == kind.as_str());
        let before = at.map(|at| conditions[at].clone()).unwrap_or_default();
        let since = if before["status"] == status { before["lastTransitionTime"].clone() } else { Value::Null };
        let since = if since.is_string() { since } else { json!(whole_seconds(now).to_string()) };
        let written = json!({
            "type": kind.as_str(), "status": status, "reason": Reason::Unreadable.as_str(), "message": explained(seen),
            "lastTransitionTime": since, "observedGeneration": seen.metadata.generation,
        });
        match at {
            Some(at) => conditions[at] = written,
            None => conditions.push(written),
        }
    }
    conditions
}

fn explained(seen: &Unreadable) -> String {
    format!("this version of kagiban-operator cannot read the resource: {}", seen.why)
}
