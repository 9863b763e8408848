//! What needs a person, the worst first.

use std::fmt::{self, Write};

use jiff::Timestamp;

use super::html::{Emphasis, Escaped};
use crate::overview::shutdown::ShutdownView;
use crate::overview::{Severity, attention};
use crate::snapshot::Snapshot;

/// More are below, in their tables.
const MAX_ITEMS: usize = 20;

pub(super) fn section(
    out: &mut String,
    snapshot: &Snapshot,
    shutdown: Option<&ShutdownView>,
    now: Timestamp,
) -> fmt::Result {
    let mut items = attention::items(snapshot, shutdown, now);
    // The sort keeps their order: a frozen agent comes before whatever else is critical. This host comes before the others, however
    // many of those are in trouble.
    items.sort_by_key(|item| (item.host.is_some(), item.severity));
    let worst = items.iter().map(|item| item.severity).min().map_or("", |worst| Emphasis::from(worst).class());
    write!(out, "<section class=\"alert {worst}\" aria-labelledby=\"attention\"><h2 id=\"attention\">Needs attention")?;
    if items.is_empty() {
        let mut hosts = std::iter::once(snapshot).chain(snapshot.outside.values().map(AsRef::as_ref));
        let looked = if hosts.all(Snapshot::is_complete) {
            "Nothing."
        } else {
            "Nothing so far; not every source has been looked at."
        };
        return writeln!(out, "</h2>\n<p>{looked}</p></section>");
    }
    writeln!(out, " ({})</h2>\n<ul>", items.len())?;
    for item in items.iter().take(MAX_ITEMS) {
        let (word, class) = (word(item.severity), Emphasis::from(item.severity).class());
        let about = item.subject();
        let (about, said) = (Escaped(&about), Escaped(&item.said));
        writeln!(out, "<li><strong class=\"{class}\">{word}:</strong> {about}: {said}</li>")?;
    }
    if items.len() > MAX_ITEMS {
        writeln!(out, "<li>{} more, see below</li>", items.len() - MAX_ITEMS)?;
    }
    writeln!(out, "</ul></section>")
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical",
        Severity::Warning => "Warning",
        Severity::Fine => "Note",
    }
}
