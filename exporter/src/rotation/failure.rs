//! Why a rotation did not go forward, as the journal keeps it. Each reason stands where the cause is made, beside what failed; all are
//! listed in docs/rotation.md, "Why a rotation did not commit".

use kagiban_crds::host_api::Failure;
use serde::{Deserialize, Serialize};

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
}

impl RotationFailure {
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: bounded(message.into()), then: None }
    }

    /// A freeze may be tried again for months: the first cause stays, and only the last of those that followed it.
    pub(super) fn followed_by(self, then: Self, reason: &str) -> Self {
        Self { reason: reason.to_owned(), message: self.message, then: Some(then.then.unwrap_or(then.message)) }
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
