//! Whether this host is going down.

use std::fmt::{self, Write};

use jiff::Timestamp;

use super::Severity;
use super::html::{Escaped, Moment, Span};

/// What the page says of it.
#[derive(Clone, Debug)]
pub(super) struct ShutdownView<'a> {
    pub(super) severity: Severity,
    /// In words, such as `in progress`.
    pub(super) state: &'a str,
    pub(super) since: Option<Timestamp>,
    /// What has set it off.
    pub(super) trigger: Option<&'a str>,
    pub(super) deadline: Option<Timestamp>,
}

impl ShutdownView<'_> {
    pub(super) fn sentence(&self, now: Timestamp) -> String {
        let mut said = format!("shutdown {}", self.state);
        if let Some(trigger) = self.trigger {
            said += &format!(", because of {trigger}");
        }
        if let Some(deadline) = self.deadline {
            said += &match deadline.as_second() - now.as_second() {
                left @ 0.. => format!(", in {}", Span(left)),
                past => format!(", due {} ago", Span(-past)),
            };
        }
        said
    }
}

/// Nothing while nobody knows.
pub(super) fn section(out: &mut String, view: Option<&ShutdownView<'_>>, now: Timestamp) -> fmt::Result {
    let Some(view) = view else { return Ok(()) };
    let (class, sentence) = (view.severity.class(), view.sentence(now));
    write!(
        out,
        "<section aria-labelledby=\"shutdown\"><h2 id=\"shutdown\">Shutdown</h2>\n<p><strong class=\"{class}\">{}</strong>",
        Escaped(&sentence)
    )?;
    if let Some(since) = view.since {
        write!(out, ", since {}", Moment(since))?;
    }
    writeln!(out, ".</p></section>")
}
