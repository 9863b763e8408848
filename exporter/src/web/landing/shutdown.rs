//! Whether this host is going down.

use std::fmt::{self, Write};

use jiff::Timestamp;

use super::html::{Emphasis, Escaped};
use crate::overview::Moment;
use crate::overview::shutdown::ShutdownView;

/// Nothing while nobody knows.
pub(super) fn section(out: &mut String, view: Option<&ShutdownView>, now: Timestamp) -> fmt::Result {
    let Some(view) = view else { return Ok(()) };
    let (class, sentence) = (Emphasis::from(view.severity).class(), view.sentence(now));
    write!(
        out,
        "<section aria-labelledby=\"shutdown\"><h2 id=\"shutdown\">Shutdown</h2>\n<p><strong class=\"{class}\">{}</strong>",
        Escaped(&sentence)
    )?;
    write!(out, ", since {}.", Moment(view.since))?;
    if let Some(remedy) = view.remedy() {
        write!(out, " To do: {}.", Escaped(&remedy))?;
    }
    writeln!(out, "</p></section>")
}
