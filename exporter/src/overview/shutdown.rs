//! Whether this host is going down.

use jiff::Timestamp;

use super::{Severity, Span};
use crate::shutdown::{CLEAR_COMMAND, HostState, HostStateReport};

/// What people are told of it.
#[derive(Clone, Debug)]
pub(crate) struct ShutdownView {
    pub(crate) severity: Severity,
    /// In words, such as `shutdown in progress`.
    pub(crate) state: &'static str,
    pub(crate) since: Timestamp,
    /// What has set it off.
    pub(crate) trigger: Option<String>,
    pub(crate) deadline: Option<Timestamp>,
    /// It has begun, so that a person may have to say that it is over.
    pub(crate) has_begun: bool,
}

impl From<&HostStateReport> for ShutdownView {
    fn from(report: &HostStateReport) -> Self {
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

const fn words(state: HostState) -> (Severity, &'static str) {
    match state {
        HostState::None => (Severity::Fine, "no shutdown in sight"),
        HostState::Testing => (Severity::Fine, "a UPS tests itself"),
        HostState::Cancelled => (Severity::Fine, "shutdown called off"),
        HostState::CommsLost => (Severity::Warning, "a UPS that feeds it is not heard"),
        HostState::Scheduled => (Severity::Warning, "shutdown scheduled"),
        HostState::OnBattery => (Severity::Warning, "on battery"),
        HostState::LowBattery => (Severity::Critical, "on a low battery"),
        HostState::Pending => (Severity::Critical, "shutdown pending"),
        HostState::InProgress => (Severity::Critical, "shutdown in progress"),
    }
}

impl ShutdownView {
    pub(crate) fn sentence(&self, now: Timestamp) -> String {
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
    pub(crate) fn remedy(&self) -> Option<String> {
        self.has_begun.then(|| {
            format!("if it is over and this host stays up, run `{CLEAR_COMMAND}` with the exporter's --config.file")
        })
    }
}
