//! The Application log of Windows: what a program warns of stands there, under a source of its own.

use std::io;
use std::time::Duration;

use kagiban_process::threads::within;
use winreg::RegKey;
use winreg::enums::{HKEY_LOCAL_MACHINE, REG_EXPAND_SZ};
use winreg::types::ToRegValue as _;

use super::sys::EventSource;
use crate::program::ServiceProgram;
use crate::severity::LogSeverity;

/// Below them stand the sources of the Application log.
pub const EVENT_SOURCES: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Application";
/// A message table that Windows has, in which each number from 1 to 1000 is the text itself. Our own program would be held open by
/// whoever shows an event, so that it could not be upgraded, and old events would lose their text with its removal.
const MESSAGES: &str = r"%SystemRoot%\System32\EventCreate.exe";
/// Errors, warnings and information.
const TYPES: u32 = 7;
/// Of UTF-16, as many as Windows takes.
const MAX_UNITS: usize = 31_839;
/// The service that keeps the log may hang, and whoever starts waits for it.
const OPENS_WITHIN: Duration = Duration::from_secs(5);

/// The log, under a program's source.
#[derive(Debug)]
pub(crate) struct SystemLog(EventSource);

impl SystemLog {
    /// None where the system does not give it, or not in time.
    pub(crate) fn open(program: &'static ServiceProgram) -> Option<Self> {
        within("event log", OPENS_WITHIN, || EventSource::open(program.name)).ok()?.ok().map(Self)
    }

    /// # Errors
    /// When the system does not take it.
    pub(crate) fn write(&self, severity: LogSeverity, text: &str) -> io::Result<()> {
        self.0.report(severity, event_id(severity), taken(text).trim_end())
    }
}

/// As much of a text as the log takes.
fn taken(text: &str) -> String {
    let mut units = 0;
    let fits = |letter: &char| {
        units += letter.len_utf16();
        units <= MAX_UNITS
    };
    text.chars().filter(|letter| *letter != '\0').take_while(fits).collect()
}

/// Who has a task that is attached to an event counts on its number.
pub(super) const fn event_id(severity: LogSeverity) -> u32 {
    match severity {
        LogSeverity::Error => 1,
        LogSeverity::Warning => 2,
    }
}

pub(super) fn register_source(program: &ServiceProgram) -> io::Result<()> {
    let (key, _) = RegKey::predef(HKEY_LOCAL_MACHINE).create_subkey(of(program))?;
    let mut messages = MESSAGES.to_reg_value();
    messages.vtype = REG_EXPAND_SZ;
    key.set_raw_value("EventMessageFile", &messages)?;
    key.set_value("TypesSupported", &TYPES)
}

pub(super) fn unregister_source(program: &ServiceProgram) -> io::Result<()> {
    match RegKey::predef(HKEY_LOCAL_MACHINE).delete_subkey_all(of(program)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn of(program: &ServiceProgram) -> String {
    format!(r"{EVENT_SOURCES}\{}", program.name)
}

#[cfg(test)]
mod tests {
    use winreg::types::FromRegValue as _;

    use super::*;
    use crate::program::TESTED;

    /// The table of `EventCreate.exe` has these, and no other.
    #[test]
    fn every_severity_has_a_number_of_its_own_that_has_a_text() {
        let [error, warning] = [LogSeverity::Error, LogSeverity::Warning].map(event_id);
        assert!(error != warning && [error, warning].iter().all(|id| (1..=1000).contains(id)));
    }

    #[test]
    fn the_source_is_registered_with_its_messages_and_removed_without_a_trace() {
        register_source(&TESTED).expect("registered");
        register_source(&TESTED).expect("a second time");
        let key = RegKey::predef(HKEY_LOCAL_MACHINE).open_subkey(of(&TESTED)).expect("a key");
        let messages = key.get_raw_value("EventMessageFile").expect("a value");
        assert_eq!(messages.vtype, REG_EXPAND_SZ);
        assert_eq!(String::from_reg_value(&messages).expect("a text"), MESSAGES);
        assert_eq!(key.get_value::<u32, _>("TypesSupported").expect("a number"), TYPES);
        drop(key);
        unregister_source(&TESTED).expect("removed");
        unregister_source(&TESTED).expect("it is not there");
        assert!(RegKey::predef(HKEY_LOCAL_MACHINE).open_subkey(of(&TESTED)).is_err());
    }

    /// Wine takes longer ones too.
    #[test]
    fn as_much_of_a_text_is_written_as_windows_takes() {
        for (letter, taken_letters) in [("a", MAX_UNITS), ("\u{9375}", MAX_UNITS), ("\u{1f50b}", MAX_UNITS / 2)] {
            let text = taken(&letter.repeat(40_000));
            assert_eq!(text.chars().count(), taken_letters, "{letter}");
            assert!(text.encode_utf16().count() <= MAX_UNITS);
        }
        assert_eq!(taken("a\0b"), "ab");
    }

    /// Wine keeps none: docs/windows.md.
    #[test]
    fn what_is_written_is_taken_however_long_it_is_and_whatever_is_in_it() {
        let log = SystemLog::open(&TESTED).expect("a log");
        for text in ["", "a configuration was refused\n", "a\0b", &"鍵".repeat(100_000)] {
            log.write(LogSeverity::Warning, text).expect("taken");
        }
    }
}
