//! The conditions of an agent that can only be looked at, and is repaired when a person asks: there is no certificate to tell of.

use kagiban_crds::resource::{Condition, HistoryEntry, ManagedAgentCertificateStatus, Outcome, ROTATE_ANNOTATION};

use super::super::events::{why, why_blocked};
use super::super::settle::ANOTHER_ORDER;
use super::{
    ConditionClaim, ConditionType, FALSE, Observed, Reason, TRUE, UNKNOWN, Verdict, Written, blocked, dated,
    functional, reconciling, stalled, trigger_words,
};
use crate::decide::case::Case;

/// What is to be written down where the vendor's module is applied, by this repair or since before.
const AFTER_MODULE: &str = "where the vendor's module is there now, write `observe.moduleApplied: true`, or the new version, into the \
                            configuration of its host, so that its metrics say so";

pub(super) fn conditions(case: &Case<'_>, verdict: &Verdict, status: &ManagedAgentCertificateStatus) -> Vec<Condition> {
    let repaired = repaired(case, status);
    let ready = Written::from(ready(case, verdict, &repaired));
    let stalled = stalled(case, verdict).or_else(|| failed(verdict, &repaired));
    // Kstatus reads the first of the two that it finds, so only one may be there
    let reconciling = if stalled.is_none() { reconciling(case, verdict, status, &ready) } else { None };
    let mut written = vec![ready, repaired.into()];
    written.extend(functional(case, &[]));
    written.extend([reconciling, stalled, blocked(case, verdict)].into_iter().flatten().map(Written::from));
    written.into_iter().map(|written| dated(case, written)).collect()
}

/// Whether all that was asked for is done. Where nothing is asked, nothing is owed.
fn ready(case: &Case<'_>, verdict: &Verdict, repaired: &ConditionClaim) -> ConditionClaim {
    let claim = |status, reason, message| ConditionClaim { kind: ConditionType::Ready, status, reason, message };
    match (case.inputs.host, &verdict.obstacle) {
        (Observed::Unseen(obstacle), _) => claim(UNKNOWN, Reason::Blocked(obstacle.by), obstacle.message.clone()),
        (Observed::Seen(_), Some(obstacle)) => claim(FALSE, Reason::Blocked(obstacle.by), why_blocked(case, obstacle)),
        (Observed::Seen(_), None) => {
            let status = match repaired.reason {
                Reason::Repaired | Reason::NotProven | Reason::NotAsked => TRUE,
                _ => FALSE,
            };
            claim(status, repaired.reason, repaired.message.clone())
        }
    }
}

/// What became of the newest repair.
fn repaired(case: &Case<'_>, status: &ManagedAgentCertificateStatus) -> ConditionClaim {
    let claim = |status, reason, message| ConditionClaim { kind: ConditionType::Repaired, status, reason, message };
    if let Some(rotation) = status.rotation.as_ref().filter(|rotation| !rotation.state.is_decided()) {
        let message = format!("repair {} is on its way", rotation.generation);
        return claim(UNKNOWN, Reason::Rotating(rotation.trigger), message);
    }
    if let Some(trigger) = case.due {
        return claim(UNKNOWN, Reason::Rotating(trigger), trigger_words(trigger).to_owned());
    }
    let Some(HistoryEntry { generation, outcome, finished_at, reason, .. }) = status.history.first() else {
        let message = if status.handled_rotate.is_some() {
            format!(
                "the annotation {ROTATE_ANNOTATION} was there when this resource was first looked at, which asks for no repair, so that a fleet \
                 may be restored from its manifests; a new value asks for one"
            )
        } else {
            format!("nobody has asked for a repair; a new value of the annotation {ROTATE_ANNOTATION} asks for one")
        };
        return claim(FALSE, Reason::NotAsked, message);
    };
    if reason.as_deref() == Some(ANOTHER_ORDER) {
        let message = format!(
            "repair {generation} was not begun, because its host has taken another order under that number ({ANOTHER_ORDER}), and nobody asks \
             for it any more; a new value of the annotation {ROTATE_ANNOTATION} asks for one"
        );
        return claim(FALSE, Reason::NotAsked, message);
    }
    match outcome {
        Outcome::Committed => {
            let message = format!(
                "repair {generation} ended at {finished_at}, and what its host's configuration names has proven it: {AFTER_MODULE}"
            );
            claim(TRUE, Reason::Repaired, message)
        }
        Outcome::Done => {
            let message = format!(
                "repair {generation} ended at {finished_at}: done, not proven, because its host's configuration names no proof: see what it \
                 has done, and {AFTER_MODULE}"
            );
            claim(UNKNOWN, Reason::NotProven, message)
        }
        Outcome::RolledBack | Outcome::Frozen | Outcome::Lost | Outcome::OtherLeaf => {
            let why = why(case, *generation, reason.as_deref().unwrap_or("no reason given"));
            let message = format!(
                "repair {generation} did not end well ({finished_at}), and is not tried again by itself: {why}; see what it has done on the \
                 host, then set the annotation {ROTATE_ANNOTATION} to a new value"
            );
            claim(FALSE, Reason::RepairFailed, message)
        }
    }
}

/// Nothing goes on by itself after a repair that failed.
fn failed(verdict: &Verdict, repaired: &ConditionClaim) -> Option<ConditionClaim> {
    let is_failed = repaired.reason == Reason::RepairFailed && verdict.obstacle.is_none();
    is_failed.then(|| ConditionClaim { kind: ConditionType::Stalled, status: TRUE, ..repaired.clone() })
}
