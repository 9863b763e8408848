//! Writes down how a rotation ended, as soon as the host says so.

use kagiban_crds::host_api::{Leaf, RotationReport, RotationState};
use kagiban_crds::resource::{
    HISTORY_LIMIT, HistoryEntry, LeafStatus, ManagedAgentCertificateStatus, Outcome, RotationStatus,
};

use super::case::undecided;
use super::{Inputs, renewal_time};

/// The longest serial and reason that go into a status; what comes from a host is bounded before it is kept.
const LONGEST_WORD: usize = 64;
/// The longest issuer name that goes into a status.
const LONGEST_NAME: usize = 512;

/// The status with an ended rotation recorded, and the renewal time of the leaf that is in force.
pub(super) fn settle(inputs: &Inputs<'_>, digest: &str) -> ManagedAgentCertificateStatus {
    let mut status = inputs.resource.status.clone();
    if let Some(own) = undecided(&status).cloned()
        && let Some(ending) = ending(inputs, &own, digest)
    {
        record(&mut status, inputs, own, &ending);
    }
    status.renewal_time = status.leaf.as_ref().map(|leaf| {
        renewal_time(leaf.not_before, leaf.not_after, &inputs.resource.spec.certificate, &inputs.resource.uid)
    });
    status
}

/// How our rotation ended.
enum Ending<'a> {
    Committed(&'a Leaf),
    Failed { outcome: Outcome, reason: String },
}

fn ending<'a>(inputs: &Inputs<'a>, own: &RotationStatus, digest: &str) -> Option<Ending<'a>> {
    let super::Observed::Seen(report) = inputs.host else { return None };
    if let Some(rotation) = report.rotation.as_ref().filter(|rotation| rotation.generation.0 == own.generation) {
        return decided(rotation);
    }
    if report.generation.0 >= own.generation {
        // the host has accepted this number or a higher one and shows another rotation, or none
        return Some(lost("unknown_to_host"));
    }
    // The host has not heard of it. It can still be opened under its number, unless it would not be the same request.
    (own.request_digest != digest).then(|| lost("superseded"))
}

fn decided(rotation: &RotationReport) -> Option<Ending<'_>> {
    let failed = |outcome, default: &str| {
        let reason = rotation.failure.as_ref().map_or(default, |failure| failure.reason.as_str());
        Some(Ending::Failed { outcome, reason: bounded(reason, LONGEST_WORD) })
    };
    match rotation.state {
        RotationState::Committed => {
            Some(rotation.leaf.as_ref().map_or_else(|| lost("committed_without_leaf"), Ending::Committed))
        }
        RotationState::RolledBack => failed(Outcome::RolledBack, "rolled_back"),
        RotationState::Frozen => failed(Outcome::Frozen, "frozen"),
        RotationState::Requested
        | RotationState::Keyed
        | RotationState::Validated
        | RotationState::Staged
        | RotationState::BackedUp
        | RotationState::Swapped
        | RotationState::Restarting
        | RotationState::Verifying
        | RotationState::RollingBack => None,
    }
}

fn lost(reason: &str) -> Ending<'static> {
    Ending::Failed { outcome: Outcome::Lost, reason: reason.to_owned() }
}

fn record(status: &mut ManagedAgentCertificateStatus, inputs: &Inputs<'_>, own: RotationStatus, ending: &Ending<'_>) {
    let (outcome, sha256, reason) = match ending {
        Ending::Committed(leaf) => (Outcome::Committed, Some(leaf.sha256), None),
        Ending::Failed { outcome, reason } => (*outcome, None, Some(reason.clone())),
    };
    if let Ending::Committed(leaf) = ending {
        status.leaf = Some(LeafStatus {
            sha256: leaf.sha256,
            serial: bounded(&leaf.serial, LONGEST_WORD),
            issuer: bounded(&leaf.issuer, LONGEST_NAME),
            not_before: whole_seconds(leaf.not_before),
            not_after: whole_seconds(leaf.not_after),
            request_digest: own.request_digest.clone(),
        });
    }
    let finished_at = whole_seconds(inputs.now);
    status.history.insert(0, HistoryEntry { generation: own.generation, outcome, sha256, finished_at, reason });
    status.history.truncate(HISTORY_LIMIT);
    let state = match outcome {
        Outcome::Committed => RotationState::Committed,
        Outcome::RolledBack | Outcome::Lost => RotationState::RolledBack,
        Outcome::Frozen => RotationState::Frozen,
    };
    status.rotation = Some(RotationStatus { state, ..own });
}

/// Text from a host, without control characters and not longer than `most` characters.
pub(super) fn bounded(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}

/// Kubernetes shows and stores times in seconds.
pub(super) fn whole_seconds(time: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(time.as_second()).unwrap_or(time)
}
