//! A resource that this version cannot read: it says so in its conditions, keeps everything else of its status, and is
//! released when it is deleted.

use jiff::Timestamp;
use kagiban_crds::resource::FINALIZER;
use serde_json::{Value, json};

use crate::cluster::{ClusterError, Unreadable};
use crate::decide::{ConditionType, Event, Reason};
use crate::reconcile::Context;

/// The longest explanation in a condition.
const LONGEST_WHY: usize = 1024;

/// One pass over it. A rotation that may be in flight on its host is ended by the host itself.
///
/// # Errors
/// When the API server does not answer, or somebody else wrote in between.
pub(crate) async fn pass(seen: &Unreadable, context: &Context) -> Result<(), ClusterError> {
    let deleted = seen.metadata.deletion_timestamp.is_some();
    if deleted && !seen.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER) {
        return Ok(());
    }
    if context.stopping.is_cancelled() || context.leadership.epoch().is_none() {
        return Ok(());
    }
    if deleted {
        let message = "this version cannot read the resource: it is released without asking the host, which ends by \
                       itself whatever it was doing";
        context.cluster.tell_unread(seen, &Event::warning(Reason::Released, message)).await;
        context.cluster.release_unread(&seen.metadata).await?;
        return Ok(());
    }
    let conditions = conditions(seen, Timestamp::now());
    let observed = seen.observed_generation() == seen.metadata.generation;
    if conditions.as_slice() == seen.conditions() && observed {
        return Ok(());
    }
    context.cluster.write_conditions(&seen.metadata, &conditions).await?;
    let message = format!("{}; nothing is done about it until that is mended", explained(seen));
    context.cluster.tell_unread(seen, &Event::warning(Reason::Unreadable, message)).await;
    Ok(())
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
        let since = if since.is_string() { since } else { json!(whole_seconds(now)) };
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
    let words: String = seen.why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_WHY).collect();
    format!("this version of kagiban-operator cannot read the resource: {words}")
}

fn whole_seconds(now: Timestamp) -> String {
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}
