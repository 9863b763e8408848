//! Why a rotation did not go forward, as the journal keeps it. Each reason stands where the cause is made, beside what failed; all are
//! listed in docs/rotation.md, "Why a rotation did not commit".

use kagiban_crds::host_api::Failure;
use serde::{Deserialize, Serialize};

use super::agent::LeafPlace;

/// Of a message, in bytes: what a command writes to its standard error may be far longer.
const MAX_MESSAGE: usize = 1024;

/// Why it did not go forward: [`Failure`] as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotationFailure {
    /// Stable, in `snake_case`.
    pub reason: String,
    /// What happened first and what to do; no secrets.
    pub message: String,
    /// What happened last in a rollback from it. What was between is in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
    /// It counts when the step ends: what is in the journal has been decided.
    #[serde(skip)]
    pub of: FailureOf,
}

/// What a failure tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailureOf {
    /// What was tried does not work.
    #[default]
    Step,
    /// Nothing but that the host goes down: a service manager then stops and starts no service for anybody.
    HostGoingDown,
}

impl RotationFailure {
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: bounded(message.into()), then: None, of: FailureOf::Step }
    }

    /// Of an agent that renews its own certificate: the exporter ended before its program was run.
    pub(super) fn of_restart_before_renewal() -> Self {
        Self::new("restarted_before_renewal", "nothing was renewed; open a new rotation")
    }

    /// Of a service manager that refuses because the host goes down.
    pub fn of_host_going_down(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { of: FailureOf::HostGoingDown, ..Self::new(reason, message) }
    }

    /// A freeze may be tried again for months: the first cause stays, and only the last of those that followed it.
    pub(super) fn followed_by(self, then: Self, reason: &str) -> Self {
        let then = Some(then.then.unwrap_or(then.message));
        Self { reason: reason.to_owned(), message: self.message, then, of: FailureOf::Step }
    }

    /// The same of a leaf, with the place that it was seen at.
    pub(super) fn seen_at(self, place: &LeafPlace) -> Self {
        let message = bounded(format!("{place}: {}", self.message));
        Self { message, ..self }
    }

    /// The same failure, with what was seen at the end of the rollback.
    pub(super) fn and_then_told(self, then: Self) -> Self {
        let reason = self.reason.clone();
        self.followed_by(then, &reason)
    }

    /// The same failure, with what was done about it in the rollback.
    pub(super) fn and_then_said(self, done: String) -> Self {
        Self { then: Some(bounded(done)), ..self }
    }

    /// All that is told of it.
    pub fn text(&self) -> String {
        match &self.then {
            Some(then) => format!("{}; in the rollback: {then}", self.message),
            None => self.message.clone(),
        }
    }
}

impl From<RotationFailure> for Failure {
    fn from(failure: RotationFailure) -> Self {
        Self { message: failure.text(), reason: failure.reason }
    }
}

/// The beginning of a text that is longer than a message may be.
pub(super) fn bounded(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        text.truncate(text.floor_char_boundary(MAX_MESSAGE));
        text.push('…');
    }
    text
}
