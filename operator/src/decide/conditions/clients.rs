//! Whether a server's own clients have its certificate, as its host has listed those that do not.
//!
//! A message changes with what is to be done, and not with each list: those that are being repaired are counted, those that stay are named.

use kagiban_agents::guide;
use kagiban_crds::host_api::{ClientsReport, Failure, MAX_TOLD_CLIENTS, UNHEEDED};

use super::{Case, ConditionClaim, ConditionType, FALSE, Observed, Reason, TRUE, UNKNOWN, Written, bounded};

/// Of a client's name that is told. No name of a Windows computer is longer, and hosts may lie.
const LONGEST_NAME: usize = 64;
/// Of a reason, and of the words that go with it.
const LONGEST_REASON: usize = 32;
const LONGEST_MESSAGE: usize = 200;
/// What comes and goes while the same clients stay: no event is told for it.
pub(in crate::decide) const HELD: &str = "; no further client is repaired now: ";

pub(super) fn clients_match(case: &Case<'_>) -> Option<Written> {
    let kind = ConditionType::ClientsMatch;
    let claim = |status, reason, message| Some(ConditionClaim { kind, status, reason, message }.into());
    let before = case.inputs.resource.status.conditions.iter().find(|condition| condition.type_ == kind.as_str());
    let report = match case.inputs.host {
        Observed::Seen(_) => case.report()?.clients.as_ref()?,
        Observed::Unseen(obstacle) => {
            before?;
            return claim(UNKNOWN, Reason::Blocked(obstacle.by), obstacle.message.clone());
        }
    };
    let ClientsReport { listed, not_repaired, failure, .. } = report;
    // Which passes by itself, while repairs go on.
    let held = report.held.as_ref().filter(|why| why.reason != UNHEEDED).map_or_else(String::new, held);
    let is_unknown = not_repaired.is_none() && report.held.is_some();
    let stayed = before.filter(|before| is_unknown && before.reason == Reason::ClientsStay.as_str());
    match (listed, failure) {
        (Some(0), _) => claim(TRUE, Reason::ClientsMatch, "all of its clients have its certificate".to_owned()),
        (Some(_), _) if not_repaired.is_some_and(|count| count > 0) => {
            claim(FALSE, Reason::ClientsStay, stay(report, remedy(case)) + &held)
        }
        // Whoever has the record holds it up: what was known of those that stay stands until it tells.
        (Some(_), _) if let Some(before) = stayed => {
            let stay = before.message.split_once(HELD).map_or(before.message.as_str(), |(stay, _)| stay);
            claim(FALSE, Reason::ClientsStay, stay.to_owned() + &held)
        }
        (Some(listed), _) => {
            let message = format!("{} not have its certificate{held}", counted(*listed, "does", "do"));
            claim(FALSE, Reason::ClientsDiffer, message)
        }
        (None, Some(failure)) => {
            let message = format!(
                "which of its clients do not have its certificate could not be listed: {}: {}",
                failure.reason, failure.message
            );
            claim(UNKNOWN, Reason::ClientsUnknown, message)
        }
        // Its exporter was started: what was known stands until the first list. That all had the certificate does not: it may have been
        // another one.
        (None, None) => match before.filter(|before| before.status != TRUE) {
            Some(before) => Some(before.into()),
            None => claim(UNKNOWN, Reason::ClientsUnknown, "its clients were not listed yet".to_owned()),
        },
    }
}

/// Those that stay, with what the vendor says to do then.
fn stay(report: &ClientsReport, remedy: Option<&str>) -> String {
    let ClientsReport { not_repaired, never_tried, names, .. } = report;
    let not_repaired = not_repaired.unwrap_or_default();
    let named: Vec<_> = names.iter().take(MAX_TOLD_CLIENTS).map(|name| bounded(name, LONGEST_NAME)).collect();
    let left_out = not_repaired.saturating_sub(u64::try_from(named.len()).unwrap_or(u64::MAX));
    let named = match (named.is_empty(), left_out) {
        (true, _) => "the list names none of them".to_owned(),
        (false, 0) => named.join(", "),
        (false, _) => format!("{} and {left_out} more", named.join(", ")),
    };
    let stay = counted(not_repaired, "stays", "stay");
    // Where nothing was tried, the notice's own way comes before its last step.
    let remedy = match (remedy, never_tried) {
        (None, _) => String::new(),
        (Some(_), Some(never)) if *never >= not_repaired => "; give it to them by hand, as `explain` tells".to_owned(),
        (Some(remedy), _) => format!("; the vendor's next step: {remedy}"),
    };
    let why = match never_tried {
        // A host of an earlier version does not tell them apart.
        None => {
            "after every attempt to repair them, or with a name that is none of a host, on which no attempt can be made"
                .to_owned()
        }
        Some(0) => "after every attempt to repair them".to_owned(),
        Some(never) if *never >= not_repaired => {
            "with no name that leads to another host, so that no attempt can be made".to_owned()
        }
        Some(never) => {
            format!(
                "after every attempt to repair them, but for {never} with no name that leads to another host, on which none can be made"
            )
        }
    };
    format!("{stay} without its certificate {why}: {named}{remedy}")
}

fn held(why: &Failure) -> String {
    format!("{HELD}{}: {}", bounded(&why.reason, LONGEST_REASON), bounded(&why.message, LONGEST_MESSAGE))
}

fn counted(count: u64, one: &str, more: &str) -> String {
    if count == 1 { format!("1 client {one}") } else { format!("{count} clients {more}") }
}

/// The last step of the notice, which is for what the others have not helped.
fn remedy(case: &Case<'_>) -> Option<&'static str> {
    guide(case.inputs.resource.spec.agent.product.id())?.notice.remedy.last().copied()
}
