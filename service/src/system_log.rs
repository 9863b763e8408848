//! Warnings and errors on their way to the system's log, where it has one that programs write to. Who keeps it may hang: that holds up
//! nobody, the lines wait for a thread of their own, and what is too many is left out.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::program::ServiceProgram;
use crate::severity::LogSeverity;
use crate::system::SystemLog;

/// Lines that wait: more come only where something is badly wrong, and the log file has them all.
const MAX_WAITING: usize = 256;
/// How long the end of the process waits for its last words to be taken.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where a subscriber writes to.
#[derive(Debug)]
pub(crate) struct ToSystemLog(SyncSender<(LogSeverity, String)>);

/// Waits for what has been written, within a second, when it is dropped. That is after the subscriber's last line.
#[derive(Debug)]
pub struct Taken(Receiver<()>, SyncSender<(LogSeverity, String)>);

/// None where the system has no such log.
pub(crate) fn system_log(program: &'static ServiceProgram) -> Option<(ToSystemLog, Taken)> {
    SystemLog::open(program).and_then(|log| carried_to(move |severity, text| log.write(severity, text)))
}

fn carried_to(
    mut log: impl FnMut(LogSeverity, &str) -> io::Result<()> + Send + 'static,
) -> Option<(ToSystemLog, Taken)> {
    let (lines, waiting) = mpsc::sync_channel::<(LogSeverity, String)>(MAX_WAITING);
    let (taken, is_taken) = mpsc::sync_channel(1);
    let carry = move || {
        for (severity, text) in waiting {
            // The mark of the end; no line is empty.
            if text.is_empty() {
                break;
            }
            // Whom else to tell? The file has it.
            let _ = log(severity, &text);
        }
        let _ = taken.send(());
    };
    thread::Builder::new().name("system log".to_owned()).spawn(carry).ok()?;
    Some((ToSystemLog(lines.clone()), Taken(is_taken, lines)))
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.1.try_send((LogSeverity::Warning, String::new())).is_ok() {
            let _ = self.0.recv_timeout(LAST_WORDS);
        }
    }
}

impl<'a> MakeWriter<'a> for ToSystemLog {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { severity: LogSeverity::Warning, text: Vec::new(), lines: self.0.clone() }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Line {
        let severity = if *of.level() == Level::ERROR { LogSeverity::Error } else { LogSeverity::Warning };
        Line { severity, text: Vec::new(), lines: self.0.clone() }
    }
}

/// One event, however many times it is written to.
#[derive(Debug)]
pub(crate) struct Line {
    severity: LogSeverity,
    text: Vec<u8>,
    lines: SyncSender<(LogSeverity, String)>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text).trim_end().to_owned();
        if !text.is_empty() {
            let _ = self.lines.try_send((self.severity, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing::{error, info, warn};
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

    use super::*;

    #[test]
    fn warnings_and_errors_are_each_one_line_of_their_severity_and_nothing_else_is() {
        let told = Arc::<Mutex<Vec<(LogSeverity, String)>>>::default();
        let log = Arc::clone(&told);
        let (lines, taken) = carried_to(move |severity, text| {
            log.lock().expect("whole").push((severity, text.to_owned()));
            Ok(())
        })
        .expect("a thread");
        let layer = tracing_subscriber::fmt::layer().with_writer(lines).with_ansi(false).without_time();
        with_default(tracing_subscriber::registry().with(layer.with_filter(LevelFilter::WARN)), || {
            info!("nobody hears");
            warn!(ups = "rack", "is on battery");
            error!("is off");
        });
        drop(taken);
        let told = told.lock().expect("whole");
        assert_eq!(
            told.iter().map(|(severity, _)| *severity).collect::<Vec<_>>(),
            [LogSeverity::Warning, LogSeverity::Error]
        );
        assert!(told[0].1.contains("is on battery ups=\"rack\"") && told[1].1.ends_with("is off"), "{told:?}");
    }

    #[test]
    fn a_log_that_hangs_holds_up_nobody() {
        let (release, hang) = mpsc::channel::<()>();
        let (lines, taken) = carried_to(move |_, _| {
            let _ = hang.recv();
            Ok(())
        })
        .expect("a thread");
        for _ in 0..10 * MAX_WAITING {
            lines.make_writer().write_all(b"line\n").expect("never waits");
        }
        drop(taken);
        drop(release);
    }
}
