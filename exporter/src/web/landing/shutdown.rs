//! Whether this host is going down.

use std::fmt::{self, Write};

use jiff::Timestamp;

use super::Severity;
use super::html::{Escaped, Moment, Span};
use crate::shutdown::{CLEAR_COMMAND, Report, State};

/// What the page says of it.
#[derive(Clone, Debug)]
pub(super) struct ShutdownView {
    pub(super) severity: Severity,
    /// In words, such as `shutdown in progress`.
    pub(super) state: &'static str,
    pub(super) since: Timestamp,
    /// What has set it off.
    pub(super) trigger: Option<String>,
    pub(super) deadline: Option<Timestamp>,
    /// It has begun, so that a person may have to say that it is over.
    pub(super) has_begun: bool,
}

impl From<&Report> for ShutdownView {
    fn from(report: &Report) -> Self {
        let (severity, state) = words(report.state());
        let triggers: Vec<&str> = report.triggers().iter().map(|trigger| trigger.as_str()).collect();
        let named = report.cause().map(|cause| cause.as_str().to_owned());
        Self {
            severity,
            state,
            since: report.since(),
            trigger: named.or_else(|| (!triggers.is_empty()).then(|| triggers.join(", "))),
            deadline: report.expected(),
            has_begun: report.latch().is_some(),
        }
    }
}

const fn words(state: State) -> (Severity, &'static str) {
    match state {
        State::None => (Severity::Fine, "no shutdown in sight"),
        State::Testing => (Severity::Fine, "a UPS tests itself"),
        State::Cancelled => (Severity::Fine, "shutdown called off"),
        State::CommsLost => (Severity::Warning, "a UPS that feeds it is not heard"),
        State::Scheduled => (Severity::Warning, "shutdown scheduled"),
        State::OnBattery => (Severity::Warning, "on battery"),
        State::LowBattery => (Severity::Critical, "on a low battery"),
        State::Pending => (Severity::Critical, "shutdown pending"),
        State::InProgress => (Severity::Critical, "shutdown in progress"),
    }
}

impl ShutdownView {
    pub(super) fn sentence(&self, now: Timestamp) -> String {
        let because = |trigger: &String| format!(", because of {trigger}");
        let trigger = self.trigger.as_ref().map(because).unwrap_or_default();
        let left = self.deadline.map(|deadline| deadline.as_second() - now.as_second());
        let when = match left {
            None => String::new(),
            Some(left @ 0..) => format!(", in {}", Span(left)),
            Some(past) => format!(", due {} ago", Span(-past)),
        };
        format!("{}{trigger}{when}", self.state)
    }

    /// What to do once it is over, where the host stays up.
    pub(super) fn remedy(&self) -> Option<String> {
        self.has_begun.then(|| {
            format!("if it is over and this host stays up, run `{CLEAR_COMMAND}` with the exporter's --config.file")
        })
    }
}

/// Nothing while nobody knows.
pub(super) fn section(out: &mut String, view: Option<&ShutdownView>, now: Timestamp) -> fmt::Result {
    let Some(view) = view else { return Ok(()) };
    let (class, sentence) = (view.severity.class(), view.sentence(now));
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
