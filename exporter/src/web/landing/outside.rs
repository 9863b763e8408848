//! The hosts that are looked at from here, one row each.

use std::fmt;

use jiff::Timestamp;

use super::html::{Cell, table};
use crate::overview::{Count, Severity, attention, certificates, upses};
use crate::snapshot::{Pass, Snapshot};

/// UPSes that a row names; a server can list thousands.
const MAX_NAMED: usize = 3;

/// What needs a person is told above, source by source; here is how each host is as a whole, the worst first.
pub(super) fn section(out: &mut String, snapshot: &Snapshot, now: Timestamp) -> fmt::Result {
    let mut rows: Vec<_> = snapshot
        .outside
        .iter()
        .map(|(host, seen)| {
            let (severity, state) = state(seen, now);
            let up = seen.sources.values().filter(|state| state.pass.as_deref().is_some_and(Pass::is_up)).count();
            let sources = format!("{up} of {} up", Count(seen.sources.len(), "source"));
            let cells = [
                Cell::of(host),
                Cell::marked(severity, state),
                Cell::of(sources),
                first_to_end(seen, now),
                Cell::of(named_upses(seen)),
            ];
            (severity, cells)
        })
        .collect();
    rows.sort_by_key(|(severity, _)| *severity);
    let heads = ["Host", "State", "Sources", "First certificate to end", "UPSes"];
    table(out, "Hosts looked at from here", heads, rows.into_iter().map(|(_, cells)| cells))
}

fn state(seen: &Snapshot, now: Timestamp) -> (Severity, String) {
    let items = attention::of_host(seen, None, now);
    match items.iter().map(|item| item.severity).min() {
        Some(worst) => (worst, format!("{} to look at", Count(items.len(), "thing"))),
        None if seen.is_complete() => (Severity::Fine, "well".to_owned()),
        None => (Severity::Fine, "not looked at yet".to_owned()),
    }
}

fn first_to_end(seen: &Snapshot, now: Timestamp) -> Cell {
    let placed = certificates::by_expiry(seen);
    let Some(first) = placed.iter().find(|placed| !placed.is_authority()) else { return Cell::of("") };
    let (severity, left) = first.left(now);
    let said = format!("{}: {left}", first.certificate.facts.subject);
    if severity == Severity::Fine { Cell::of(said) } else { Cell::marked(severity, said) }
}

fn named_upses(seen: &Snapshot) -> String {
    let upses: Vec<_> = upses::each(seen).collect();
    let said: Vec<_> =
        upses.iter().take(MAX_NAMED).map(|ups| format!("{}: {}", ups.ups, upses::state(ups).1)).collect();
    match upses.len().saturating_sub(MAX_NAMED) {
        0 => said.join("; "),
        more => format!("{}; and {more} more", said.join("; ")),
    }
}
