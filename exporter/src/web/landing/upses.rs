//! The UPSes, the worst first.

use std::fmt;

use super::html::{Cell, table};
use crate::overview::upses::{each, percent, state, whole};
use crate::overview::{Severity, Span};
use crate::snapshot::{Snapshot, UpsSeen};
use crate::ups::Quantity;

pub(super) fn section(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let mut rows: Vec<(Severity, &UpsSeen, String)> = each(snapshot)
        .map(|seen| {
            let (severity, state) = state(seen);
            (severity, seen, state)
        })
        .collect();
    rows.sort_by_key(|(severity, seen, _)| (*severity, &seen.ups));
    let heads = ["UPS", "State", "Charge", "Runtime", "Load", "Model", "Feeds this host", "Asked"];
    let cells = rows.into_iter().map(|(severity, seen, state)| {
        let reading = seen.outcome.as_ref().ok();
        let value = |quantity| reading.and_then(|reading| reading.values.of(quantity));
        let model = reading.and_then(|reading| reading.identity.model.as_ref());
        [
            Cell::of(&seen.ups),
            Cell::marked(severity, state),
            Cell::of(value(Quantity::BatteryCharge).map(percent).unwrap_or_default()),
            Cell::of(value(Quantity::BatteryRuntime).map(|span| Span(whole(span)).to_string()).unwrap_or_default()),
            Cell::of(value(Quantity::Load).map(percent).unwrap_or_default()),
            Cell::of(model.map_or("", |model| model.as_str())),
            Cell::of(if seen.feeds_host { "yes" } else { "no" }),
            Cell::of(format!("{} {}", seen.backend.as_str(), seen.target)),
        ]
    });
    table(out, "UPSes", heads, cells)
}
