//! The Application log, to read.

use std::io;
use std::time::{Duration, Instant};

use kagiban_service::EVENT_SOURCES;
use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_TIMEOUT};
use winreg::RegKey;
use winreg::enums::{HKEY_LOCAL_MACHINE, KEY_QUERY_VALUE};

use super::super::{EventLogError, EventRecord};
use super::sys::{self, EventQuery};

const LOG: &str = "Application";

/// Whether the log knows a source of this name.
///
/// # Errors
/// When the registry does not tell.
pub fn has_event_provider(provider: &str) -> Result<bool, EventLogError> {
    let key = format!(r"{EVENT_SOURCES}\{provider}");
    match RegKey::predef(HKEY_LOCAL_MACHINE).open_subkey_with_flags(key, KEY_QUERY_VALUE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        opened => opened.map(|_| true).map_err(unread),
    }
}

/// What the log answers to a question in Windows' XPath, the newest record first. All of it comes within the deadline, or an error does;
/// to ask may take longer, where the service of the log hangs.
///
/// # Errors
/// When the log is not there or may not be read.
pub fn event_records(question: &str, deadline: Duration) -> Result<EventRecords, EventLogError> {
    let until = Instant::now() + deadline;
    let query = EventQuery::open(LOG, question).map_err(unread)?;
    Ok(EventRecords { query: Some(query), until, deadline })
}

/// Ends with the first error.
#[derive(Debug)]
pub struct EventRecords {
    /// None once it has come to its end.
    query: Option<EventQuery>,
    until: Instant,
    deadline: Duration,
}

impl Iterator for EventRecords {
    type Item = Result<EventRecord, EventLogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let query = self.query.take()?;
        let left = self.until.saturating_duration_since(Instant::now());
        let record = match query.next(left) {
            _ if left.is_zero() => Err(self.timed_out()),
            Ok(record) => Ok(record?),
            Err(error) if sys::is(&error, ERROR_TIMEOUT) => Err(self.timed_out()),
            Err(error) => Err(unread(error)),
        };
        self.query = Some(query).filter(|_| record.is_ok());
        Some(record.map(|it| EventRecord::of(it.record_id, it.event_id, it.created)))
    }
}

impl EventRecords {
    const fn timed_out(&self) -> EventLogError {
        EventLogError::TimedOut { log: LOG, deadline: self.deadline }
    }
}

fn unread(source: io::Error) -> EventLogError {
    if sys::is(&source, ERROR_ACCESS_DENIED) {
        EventLogError::PermissionDenied { log: LOG }
    } else {
        EventLogError::Read { log: LOG, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wine's log keeps no events and its calls are empty: on Windows itself there are records, and none fails.
    #[test]
    fn a_question_is_answered_or_it_is_said_at_once_why_not() {
        let begun = Instant::now();
        let asked = event_records("*", Duration::from_secs(5)).and_then(|mut records| records.next().transpose());
        assert!(begun.elapsed() < Duration::from_secs(5), "{asked:?}");
        match asked {
            Ok(record) => assert!(record.is_none_or(|it| it.record_id > 0), "{record:?}"),
            Err(error) => {
                assert_eq!(error.reason(), "read_failed", "{error}");
                let said = error.to_string();
                assert!(
                    said.starts_with("Application: the log cannot be read: ") && said.contains("sc query"),
                    "{said}"
                );
                assert!(!said.contains("os error 0"), "{said}");
            }
        }
    }

    #[test]
    fn a_source_is_there_once_it_is_registered() {
        const PROVIDER: &str = "kagiban-test-provider";
        let is_there = || has_event_provider(PROVIDER).expect("the registry tells");
        assert!(!is_there());
        let (machine, key) = (RegKey::predef(HKEY_LOCAL_MACHINE), format!(r"{EVENT_SOURCES}\{PROVIDER}"));
        machine.create_subkey(&key).expect("it can be registered");
        assert!(is_there());
        machine.delete_subkey_all(&key).expect("it can be removed");
        assert!(!is_there());
    }
}
