//! What is told as events: what changed between the old status and the new, so that nothing is told twice.

use kagiban_crds::resource::{BlockedBy, HistoryEntry, ManagedAgentCertificateStatus, Outcome};

use super::case::{Case, Verdict};
use super::reason::trigger_words;
use super::settle::bounded;
use super::{ConditionType, Reason, Step};

/// The longest explanation of a host that goes into an event.
const LONGEST_WORDS: usize = 160;

/// One event to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    pub tone: Tone,
    pub reason: Reason,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Normal,
    Warning,
}

impl Story {
    pub fn normal(reason: Reason, message: impl Into<String>) -> Self {
        Self { tone: Tone::Normal, reason, message: message.into() }
    }

    pub fn warning(reason: Reason, message: impl Into<String>) -> Self {
        Self { tone: Tone::Warning, reason, message: message.into() }
    }
}

pub(super) fn told(case: &Case<'_>, verdict: &Verdict, new: &ManagedAgentCertificateStatus) -> Vec<Story> {
    let old = &case.inputs.resource.status;
    let ended = ended(case, new);
    // That a rotation froze is told with its reason; what it now blocks is no second story.
    let is_told = |story: &Story| ended.as_ref().is_some_and(|ended| ended.reason == story.reason);
    let blocked = blocked(old, verdict).filter(|story| !is_told(story));
    [ended, started(old, new), blocked, near_expiry(old, new), released(case, verdict)].into_iter().flatten().collect()
}

fn ended(case: &Case<'_>, new: &ManagedAgentCertificateStatus) -> Option<Story> {
    let old = &case.inputs.resource.status;
    let entry = new.history.first().filter(|entry| old.history.first() != Some(entry))?;
    let HistoryEntry { generation, outcome, reason, .. } = entry;
    let why = why(case, *generation, reason.as_deref().unwrap_or("no reason given"));
    Some(match outcome {
        Outcome::Committed => {
            let leaf = new.leaf.as_ref();
            let (sha256, expiry) = leaf.map(|l| (l.sha256.to_string(), l.not_after.to_string())).unwrap_or_default();
            Story::normal(
                Reason::Verified,
                format!("rotation {generation}: leaf {sha256} is served on the live endpoint, valid until {expiry}"),
            )
        }
        Outcome::RolledBack => Story::warning(
            Reason::RolledBack,
            format!("rotation {generation} was rolled back, the previous keystore is in place: {why}"),
        ),
        Outcome::Frozen => Story::warning(
            Reason::Blocked(BlockedBy::Frozen),
            format!("rotation {generation} froze, a person must look at the host: {why}"),
        ),
        Outcome::Lost => Story::warning(
            Reason::RotationLost,
            format!("rotation {generation} is not known to the host or was superseded: {why}"),
        ),
    })
}

/// The reason, with the host's own words for it where there are any.
fn why(case: &Case<'_>, generation: u64, reason: &str) -> String {
    let rotation = case.report().and_then(|report| report.rotation.as_ref());
    let failure = rotation.filter(|rotation| rotation.generation.0 == generation).and_then(|r| r.failure.as_ref());
    let message = failure.map(|failure| bounded(&failure.message, LONGEST_WORDS)).filter(|message| !message.is_empty());
    message.map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}"))
}

fn started(old: &ManagedAgentCertificateStatus, new: &ManagedAgentCertificateStatus) -> Option<Story> {
    let rotation = new.rotation.as_ref()?;
    let before = old.rotation.as_ref().map(|rotation| rotation.generation);
    (before != Some(rotation.generation)).then(|| {
        let message = format!("rotation {} starts: {}", rotation.generation, trigger_words(rotation.trigger));
        Story::normal(Reason::RotationStarted, message)
    })
}

fn blocked(old: &ManagedAgentCertificateStatus, verdict: &Verdict) -> Option<Story> {
    let obstacle = verdict.obstacle.as_ref().filter(|obstacle| old.blocked_by != Some(obstacle.by))?;
    let reason = Reason::Blocked(obstacle.by);
    Some(match obstacle.by {
        BlockedBy::Paused | BlockedBy::BackingOff => Story::normal(reason, obstacle.message.clone()),
        BlockedBy::HostUnreachable
        | BlockedBy::HostBusy
        | BlockedBy::HostRefused
        | BlockedBy::WrongHost
        | BlockedBy::Frozen
        | BlockedBy::OnBattery
        | BlockedBy::LowBattery
        | BlockedBy::ShutdownPending
        | BlockedBy::PowerUnknown
        | BlockedBy::ClockSkew
        | BlockedBy::IssuerUnavailable
        | BlockedBy::SecretUnavailable
        | BlockedBy::Conflict
        | BlockedBy::NotGranted => Story::warning(reason, obstacle.message.clone()),
    })
}

fn near_expiry(old: &ManagedAgentCertificateStatus, new: &ManagedAgentCertificateStatus) -> Option<Story> {
    let is_asking = |status: &ManagedAgentCertificateStatus| {
        let stalled = status.conditions.iter().find(|c| c.type_ == ConditionType::Stalled.as_str());
        stalled.filter(|c| c.reason == Reason::NearExpiry.as_str()).map(|c| c.message.clone())
    };
    let message = is_asking(new).filter(|_| is_asking(old).is_none())?;
    Some(Story::warning(Reason::NearExpiry, message))
}

fn released(case: &Case<'_>, verdict: &Verdict) -> Option<Story> {
    let in_flight = case.open_rotation().is_some() && (case.report().is_none() || case.host_rotation().is_some());
    (verdict.step == Step::ReleaseFinalizer && in_flight).then(|| {
        let message = "deletion goes on without knowing how the rotation on the host ended; the host ends it by itself";
        Story::warning(Reason::Released, message)
    })
}
