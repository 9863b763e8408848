//! What is told as events: what changed between the old status and the new, so that nothing is told twice.

use kagiban_crds::host_api::RotationReport;
use kagiban_crds::resource::{BlockedBy, HistoryEntry, ManagedAgentCertificateStatus, Outcome, Procedure};

use super::case::{Case, Verdict};
use super::conditions::clients::HELD;
use super::inputs::Obstacle;
use super::reason::{is_told_not_functional, trigger_words};
use super::settle::{ANOTHER_ORDER, bounded};
use super::{ConditionType, Reason, Step};

/// The longest explanation of a host that goes into an event.
const LONGEST_WORDS: usize = 160;

/// One event to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    pub reason: Reason,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Normal,
    Warning,
}

impl Event {
    pub fn normal(reason: Reason, message: impl Into<String>) -> Self {
        Self { kind: EventKind::Normal, reason, message: message.into() }
    }

    pub fn warning(reason: Reason, message: impl Into<String>) -> Self {
        Self { kind: EventKind::Warning, reason, message: message.into() }
    }
}

pub(super) fn events(case: &Case<'_>, verdict: &Verdict, new: &ManagedAgentCertificateStatus) -> Vec<Event> {
    let old = &case.inputs.resource.status;
    let ended = ended(case, new);
    // That a rotation froze is told with its reason; what it now blocks is no second event.
    let is_told = |event: &Event| ended.as_ref().is_some_and(|ended| ended.reason == event.reason);
    let blocked = blocked(case, old, verdict).filter(|event| !is_told(event));
    let told = [
        ended,
        adopted(case, old, new),
        started(old, new),
        blocked,
        newly(old, new, ConditionType::Stalled, Reason::NearExpiry),
        newly(old, new, ConditionType::IssuerEnding, Reason::IssuerEnding),
        functional(old, new),
        clients_stay(old, new),
        released(case, verdict),
    ];
    told.into_iter().flatten().collect()
}

fn new_entry<'n>(
    old: &ManagedAgentCertificateStatus,
    new: &'n ManagedAgentCertificateStatus,
) -> Option<&'n HistoryEntry> {
    new.history.first().filter(|entry| old.history.first() != Some(entry))
}

fn ended(case: &Case<'_>, new: &ManagedAgentCertificateStatus) -> Option<Event> {
    let HistoryEntry { generation, outcome, reason, serials, .. } = new_entry(&case.inputs.resource.status, new)?;
    if reason.as_deref() == Some(ANOTHER_ORDER) {
        return Some(not_taken(&case.inputs.resource.spec.procedure, *generation, serials));
    }
    let mut why = why(case, *generation, reason.as_deref().unwrap_or("no reason given"));
    if let Procedure::Repair(_) = case.inputs.resource.spec.procedure {
        return Some(repair_ended(*generation, *outcome, &why));
    }
    why.push_str(&signed(serials));
    if case.owed_rotate().is_some() {
        why.push_str("; the rotation that was asked for is still owed and is tried again");
    }
    let (put_back, other) = match case.inputs.resource.spec.procedure {
        Procedure::Push(_) => {
            ("the previous keystore is in place", "the host calls a leaf committed that was not signed for it")
        }
        Procedure::Trigger { .. } | Procedure::Repair(_) => (
            "what was there before is in place",
            "the host calls a leaf committed that the agent does not serve, or that gains nothing",
        ),
    };
    Some(match outcome {
        Outcome::Committed | Outcome::Done => {
            let place = case.kept_in().map_or("served on the live endpoint".to_owned(), |_| case.in_use());
            let leaf = new.leaf.as_ref();
            let leaf =
                leaf.map(|l| format!("leaf {} with serial {}, valid until {},", l.sha256, l.serial, l.not_after));
            Event::normal(Reason::Verified, format!("rotation {generation}: {} is {place}", leaf.unwrap_or_default()))
        }
        Outcome::RolledBack => {
            Event::warning(Reason::RolledBack, format!("rotation {generation} was rolled back, {put_back}: {why}"))
        }
        Outcome::Frozen => Event::warning(
            Reason::Blocked(BlockedBy::Frozen),
            format!("rotation {generation} froze, a person must look at the host: {why}"),
        ),
        Outcome::Lost => Event::warning(
            Reason::RotationLost,
            format!("rotation {generation} is not known to the host or was superseded: {why}"),
        ),
        Outcome::OtherLeaf => Event::warning(Reason::OtherLeaf, format!("rotation {generation}: {other}: {why}")),
    })
}

/// What was signed for a rotation that did not come to its end.
fn signed(serials: &[String]) -> String {
    if serials.is_empty() { String::new() } else { format!("; signed for it: serial {}", serials.join(", ")) }
}

/// It is still owed.
fn not_taken(procedure: &Procedure, generation: u64, serials: &[String]) -> Event {
    let what = if matches!(procedure, Procedure::Repair(_)) { "repair" } else { "rotation" };
    let message = format!(
        "{what} {generation} was not begun: its host has taken another order under that number ({ANOTHER_ORDER}); what it was for is still \
         owed, and is ordered under the next number{}",
        signed(serials)
    );
    Event::warning(Reason::RotationLost, message)
}

fn repair_ended(generation: u64, outcome: Outcome, why: &str) -> Event {
    match outcome {
        Outcome::Committed => {
            let message = format!(
                "repair {generation}: what the configuration of its host names has proven it; see the condition Repaired"
            );
            Event::normal(Reason::Repaired, message)
        }
        Outcome::Done => {
            let message = format!("repair {generation}: done, not proven; see the condition Repaired");
            Event::normal(Reason::NotProven, message)
        }
        Outcome::RolledBack | Outcome::Frozen | Outcome::Lost | Outcome::OtherLeaf => Event::warning(
            Reason::RepairFailed,
            format!("repair {generation} did not end well and is not tried again by itself, a person must look: {why}"),
        ),
    }
}

/// A leaf that no rotation of ours has just put there.
fn adopted(case: &Case<'_>, old: &ManagedAgentCertificateStatus, new: &ManagedAgentCertificateStatus) -> Option<Event> {
    let leaf = new.leaf.as_ref().filter(|leaf| old.leaf.as_ref().map(|old| old.sha256) != Some(leaf.sha256))?;
    let rotated = new_entry(old, new).is_some_and(|entry| entry.outcome == Outcome::Committed);
    (!rotated).then(|| {
        let message = match case.inputs.resource.spec.procedure {
            Procedure::Push(_) => format!(
                "the host stores and serves leaf {} of the present issuer, valid until {}, which is what the spec asks for: it is \
                 taken as it is, without a rotation",
                leaf.sha256, leaf.not_after
            ),
            Procedure::Trigger { .. } | Procedure::Repair(_) => format!(
                "leaf {} of the agent is {} and valid until {}: it is taken as it is, without a rotation",
                leaf.sha256,
                case.in_use(),
                leaf.not_after
            ),
        };
        Event::normal(Reason::Adopted, message)
    })
}

/// The reason, with the host's own words for it where there are any.
pub(super) fn why(case: &Case<'_>, generation: u64, reason: &str) -> String {
    let rotation = case.report().and_then(|report| report.rotation.as_ref());
    let is_ours = |shown: &&RotationReport| shown.generation.0 == generation && reason != ANOTHER_ORDER;
    let failure = rotation.filter(is_ours).and_then(|r| r.failure.as_ref());
    let message = failure.map(|failure| bounded(&failure.message, LONGEST_WORDS)).filter(|message| !message.is_empty());
    message.map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}"))
}

fn started(old: &ManagedAgentCertificateStatus, new: &ManagedAgentCertificateStatus) -> Option<Event> {
    let rotation = new.rotation.as_ref()?;
    let before = old.rotation.as_ref().map(|rotation| rotation.generation);
    (before != Some(rotation.generation)).then(|| {
        let message = format!("rotation {} starts: {}", rotation.generation, trigger_words(rotation.trigger));
        Event::normal(Reason::RotationStarted, message)
    })
}

fn blocked(case: &Case<'_>, old: &ManagedAgentCertificateStatus, verdict: &Verdict) -> Option<Event> {
    let obstacle = verdict.obstacle.as_ref().filter(|obstacle| old.blocked_by != Some(obstacle.by))?;
    let message = why_blocked(case, obstacle);
    let reason = Reason::Blocked(obstacle.by);
    Some(match obstacle.by {
        BlockedBy::Paused | BlockedBy::BackingOff | BlockedBy::HandedOver => Event::normal(reason, message),
        BlockedBy::HostUnreachable
        | BlockedBy::HostBusy
        | BlockedBy::HostRefused
        | BlockedBy::HostAnswerRefused
        | BlockedBy::SpecInvalid
        | BlockedBy::WrongHost
        | BlockedBy::Frozen
        | BlockedBy::OnBattery
        | BlockedBy::LowBattery
        | BlockedBy::ShutdownPending
        | BlockedBy::PowerUnknown
        | BlockedBy::ClockSkew
        | BlockedBy::IssuerUnavailable
        | BlockedBy::IssuerRefused
        | BlockedBy::IssuerEnding
        | BlockedBy::SecretUnavailable
        | BlockedBy::Conflict
        | BlockedBy::NotGranted
        | BlockedBy::DriftRecurs
        | BlockedBy::RotationStuck => Event::warning(reason, message),
    })
}

/// What stands in the way; a rotation that a person asked for is said to be owed.
pub(super) fn why_blocked(case: &Case<'_>, obstacle: &Obstacle) -> String {
    let owed = if case.owed_rotate().is_some() { "the rotation that was asked for is owed: " } else { "" };
    format!("{owed}{}", obstacle.message)
}

/// A condition that has become true for that reason, in its own words.
fn newly(
    old: &ManagedAgentCertificateStatus,
    new: &ManagedAgentCertificateStatus,
    kind: ConditionType,
    reason: Reason,
) -> Option<Event> {
    let found = |status: &ManagedAgentCertificateStatus| {
        let condition = status.conditions.iter().find(|c| c.type_ == kind.as_str() && c.status == "True");
        condition.filter(|c| c.reason == reason.as_str()).map(|c| c.message.clone())
    };
    found(new).filter(|_| found(old).is_none()).map(|message| Event::warning(reason, message))
}

/// That the agent does not do its work any more, or does it again: each change is told, and a look that could not be taken in between
/// is none.
fn functional(old: &ManagedAgentCertificateStatus, new: &ManagedAgentCertificateStatus) -> Option<Event> {
    let told = |status: &'_ ManagedAgentCertificateStatus| {
        status.conditions.iter().find(|condition| condition.type_ == ConditionType::Functional.as_str()).cloned()
    };
    let now = told(new)?;
    match (told(old).as_ref().is_some_and(is_told_not_functional), now.status.as_str()) {
        (false, "False") => Some(Event::warning(Reason::NotFunctional, now.message)),
        (true, "True") => Some(Event::normal(Reason::Functional, "the agent does its work again")),
        _ => None,
    }
}

/// That clients stay without the certificate, told again when they are others or more.
fn clients_stay(old: &ManagedAgentCertificateStatus, new: &ManagedAgentCertificateStatus) -> Option<Event> {
    let found = |status: &ManagedAgentCertificateStatus| {
        let mut conditions = status.conditions.iter();
        let condition = conditions.find(|condition| condition.type_ == ConditionType::ClientsMatch.as_str())?;
        let message = (condition.reason == Reason::ClientsStay.as_str()).then(|| condition.message.clone())?;
        Some(message.split_once(HELD).map_or_else(|| message.clone(), |(clients, _)| clients.to_owned()))
    };
    let message = found(new).filter(|now| found(old).as_ref() != Some(now))?;
    Some(Event::warning(Reason::ClientsStay, message))
}

fn released(case: &Case<'_>, verdict: &Verdict) -> Option<Event> {
    let in_flight = case.open_rotation().is_some() && (case.report().is_none() || case.host_rotation().is_some());
    (verdict.step == Step::ReleaseFinalizer && in_flight).then(|| {
        let message = "deletion goes on without knowing how the rotation on the host ended; the host ends it by itself";
        Event::warning(Reason::Released, message)
    })
}
