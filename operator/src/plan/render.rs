//! What was found for each document, in words, and how the plan ends for it.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::resource::BlockedBy;

use super::Plan;
use crate::cli::PlanExit;
use crate::decide::{ConditionType, Decision, Obstacle, Reason, Step, trigger_words};
use crate::foreign::told;

/// What was found for one document.
#[derive(Debug)]
pub(super) enum Planned {
    /// It cannot be read, or the API server would not take it.
    Refused {
        what: String,
    },
    /// Nothing is known of it: the API server could not tell now.
    Untold {
        what: String,
    },
    /// Its form alone was checked: nobody was to be asked.
    Checked {
        name: String,
        host: String,
    },
    Decided(Box<Decided>),
}

#[derive(Debug)]
pub(super) struct Decided {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) exists: bool,
    /// Secrets that are not what they should be, whether the next step needs them or not.
    pub(super) wrong: Vec<Obstacle>,
    /// What whoever makes the plan may not read.
    pub(super) unchecked: Vec<String>,
    /// Whether the host was asked: without the client Secret it is not.
    pub(super) is_asked: bool,
    /// What was assumed where the cluster alone will decide.
    pub(super) assumed: Option<String>,
    /// What the operator would decide.
    pub(super) decision: Decision,
    /// What it would decide without what is wrong.
    pub(super) afterwards: Decision,
}

/// What a plan that asks nobody leaves open.
const OFFLINE: &str = "not checked, as no cluster and no host was asked: whether the hosts can be reached, what their agents, power and \
                       clocks are like, whether the Secrets that are named are there and for this use, and whether another resource is for \
                       the same agent";

pub(super) fn render(planned: &[Planned], now: Timestamp) -> Plan {
    let mut text = String::new();
    let (mut wrong, mut untold) = (false, false);
    for planned in planned {
        let lines = match planned {
            Planned::Refused { what } => {
                wrong = true;
                vec![format!("refused     {what}")]
            }
            Planned::Untold { what } => {
                untold = true;
                vec![format!("not known   {what}"), "  the API server could not tell; ask again later".to_owned()]
            }
            Planned::Checked { name, host } => {
                vec![format!("{name}  (host {host})"), "  well-formed".to_owned()]
            }
            Planned::Decided(decided) => {
                wrong |= !decided.wrong.is_empty() || is_misconfigured(&decided.decision);
                described(decided, now)
            }
        };
        for line in lines {
            // A manifest's words are anybody's: none of them begins a line of its own in a terminal or a CI's log
            let _ = writeln!(text, "{}", told(&line));
        }
    }
    if planned.iter().any(|planned| matches!(planned, Planned::Checked { .. })) {
        let _ = writeln!(text, "{OFFLINE}");
    }
    let exit = match (wrong, untold) {
        (true, _) => PlanExit::Wrong,
        (false, true) => PlanExit::Untold,
        (false, false) => PlanExit::Clear,
    };
    Plan { text, exit }
}

/// What would be done, then what is wrong and what would be done without that, then how the resource would stand.
fn described(decided: &Decided, now: Timestamp) -> Vec<String> {
    let Decided { name, host, exists, wrong, unchecked, is_asked, assumed, decision, afterwards } = decided;
    let new = if *exists { "" } else { ", not in the cluster yet" };
    let is_known = *is_asked || !matches!(decision.step, Step::Blocked { by: BlockedBy::HostUnreachable, .. });
    let what = if is_known { step(decision, now) } else { "not known: the host was not asked".to_owned() };
    let mut lines = vec![format!("{name}  (host {host}{new})"), format!("  {what}")];
    let told = wrong.iter().map(|it| format!("  wrong: {}: {}", Reason::Blocked(it.by).as_str(), it.message));
    lines.extend(told);
    if !wrong.is_empty() && afterwards.step != decision.step {
        lines.push(format!("  once that is put right: {}", step(afterwards, now)));
    }
    lines.extend(unchecked.iter().map(|what| format!("  not checked: {what}")));
    lines.extend(assumed.iter().map(|what| format!("  assumed: {what}")));
    if is_known {
        lines.extend(standing(decision, wrong));
    }
    lines
}

/// Whether only another configuration clears what blocks it; a host that is busy, on battery or out of reach clears by itself.
const fn is_misconfigured(decision: &Decision) -> bool {
    let Step::Blocked { by, .. } = decision.step else { return false };
    match by {
        BlockedBy::HostRefused
        | BlockedBy::HostAnswerRefused
        | BlockedBy::SpecInvalid
        | BlockedBy::WrongHost
        | BlockedBy::IssuerUnavailable
        | BlockedBy::IssuerRefused
        | BlockedBy::IssuerEnding
        | BlockedBy::DriftRecurs
        | BlockedBy::RotationStuck
        | BlockedBy::SecretUnavailable
        | BlockedBy::Conflict
        | BlockedBy::NotGranted => true,
        BlockedBy::Paused
        | BlockedBy::HostUnreachable
        | BlockedBy::HostBusy
        | BlockedBy::Frozen
        | BlockedBy::OnBattery
        | BlockedBy::LowBattery
        | BlockedBy::ShutdownPending
        | BlockedBy::PowerUnknown
        | BlockedBy::ClockSkew
        | BlockedBy::BackingOff
        | BlockedBy::HandedOver => false,
    }
}

fn step(decision: &Decision, now: Timestamp) -> String {
    match decision.step {
        Step::Open { generation, trigger } => {
            let kind = ConditionType::Repaired.as_str();
            let is_repair = decision.status.conditions.iter().any(|condition| condition.type_ == kind);
            let what = if is_repair { "repair" } else { "rotate" };
            format!("would {what}: generation {generation}, because {}", trigger_words(trigger))
        }
        Step::AskPassword { .. } => {
            "would ask the host whether the password that the Secret holds is in force, and rotate if it is not"
                .to_owned()
        }
        Step::Deliver { generation } => {
            format!("would sign the host's CSR and push the chain: generation {generation}")
        }
        Step::Follow { generation, .. } => format!("would wait for the host: generation {generation} is on its way"),
        Step::Rollback { generation } => {
            format!("would call off generation {generation}, which has not touched the keystore")
        }
        Step::HandOver { .. } => "would give the host to another installation".to_owned(),
        Step::Blocked { by, .. } if is_misconfigured(decision) => {
            format!("would do nothing: blocked by {} until that is put right", Reason::Blocked(by).as_str())
        }
        Step::Blocked { by, retry } => {
            let wait = Duration::try_from(retry.duration_since(now)).unwrap_or_default().as_secs();
            format!("would wait: blocked by {}; would look again in {wait} s", Reason::Blocked(by).as_str())
        }
        Step::Idle { .. } => "nothing to do".to_owned(),
        Step::EnsureFinalizer => "would add the finalizer".to_owned(),
        Step::ReleaseFinalizer => "is being deleted; would release it".to_owned(),
        Step::Gone => "is being deleted".to_owned(),
    }
}

/// What is said already is not said again.
fn standing(decision: &Decision, wrong: &[Obstacle]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(leaf) = &decision.status.leaf {
        lines.push(format!("  leaf {} expires {}", leaf.sha256, leaf.not_after));
    }
    if let Some(renewal) = decision.status.renewal_time {
        lines.push(format!("  next rotation {renewal}"));
    }
    // What is on its way was said first
    let shown = |kind: &str, status: &str| kind == "Ready" || (status == "True" && kind != "Reconciling");
    for condition in decision.status.conditions.iter().filter(|c| shown(&c.type_, &c.status)) {
        let message = condition.message.as_str();
        let is_said =
            lines.iter().any(|line| line.ends_with(message)) || wrong.iter().any(|it| message.ends_with(&it.message));
        if !is_said {
            lines.push(format!("  {}={} {}: {message}", condition.type_, condition.status, condition.reason));
        }
    }
    lines
}
