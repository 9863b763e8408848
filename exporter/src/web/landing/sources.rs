//! Endpoints and sources: what is looked at, and how that goes.

use std::fmt;

use super::html::{Cell, table};
use crate::overview::{Severity, certificates};
use crate::snapshot::{Pass, Snapshot};

pub(super) fn endpoints(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let probes: Vec<_> = snapshot.passes().filter_map(|(_, pass)| pass.probe()).collect();
    let rows = probes.into_iter().map(|probe| {
        let (answer, trust) = match &probe.outcome {
            Err(trouble) => (Cell::marked(Severity::Critical, trouble.reason), Cell::of("")),
            Ok(served) => (
                Cell::of(served.tls_version.unwrap_or("broken off")),
                served.refused.map_or_else(|| Cell::of("trusted"), |reason| Cell::marked(Severity::Warning, reason)),
            ),
        };
        [Cell::of(&probe.target), Cell::of(&probe.server_name), answer, trust]
    });
    table(out, "Endpoints", ["Address", "Server name", "Answer", "Trust"], rows)
}

pub(super) fn section(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let rows = snapshot.sources.iter().map(|(id, state)| {
        let pass = state.pass.as_deref();
        let up = match pass.map(Pass::is_up) {
            None => Cell::of("not looked at yet"),
            Some(true) => Cell::of("up"),
            Some(false) => Cell::marked(Severity::Critical, "down"),
        };
        let count = |count: usize| if count == 0 { String::new() } else { count.to_string() };
        let success = state.last_success.map_or_else(|| "never".to_owned(), |at| at.strftime("%F %T UTC").to_string());
        [
            Cell::of(&id.name),
            Cell::of(id.kind.as_str()),
            up,
            Cell::of(count(pass.map_or(0, |pass| pass.files().len()))),
            Cell::of(count(pass.map_or(0, |pass| certificates::seen(pass).count()))),
            Cell::of(success),
        ]
    });
    table(out, "Sources", ["Source", "Kind", "State", "Files", "Certificates", "Last success"], rows)
}
