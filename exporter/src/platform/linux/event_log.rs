//! The log of programs' events: Linux has none with numbers.

use std::iter::Empty;
use std::time::Duration;

use super::super::{Ability, EventLogError, EventRecord, NotOnThisSystem};

/// # Errors
/// Always.
pub fn has_event_provider(_provider: &str) -> Result<bool, EventLogError> {
    Err(NotOnThisSystem(Ability::EventLog).into())
}

/// # Errors
/// Always.
pub fn event_records(
    _question: &str,
    _deadline: Duration,
) -> Result<Empty<Result<EventRecord, EventLogError>>, EventLogError> {
    Err(NotOnThisSystem(Ability::EventLog).into())
}
