//! Where log lines go. Who reads stderr may hang: journald that is stopped, a log shipper, a container runtime. That holds up
//! nobody: the lines wait for a thread of their own, and what is too many is dropped and counted.

use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that wait, of some hundred bytes each: a burst of a busy minute.
const MAX_WAITING: usize = 4096;
/// How long the end of the process waits for its last words to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Writes what is waiting when it is dropped, within a second.
#[derive(Debug)]
pub struct Flush(Option<WorkerGuard>);

/// A writer of log lines to stderr that never waits.
pub fn to_stderr() -> (NonBlocking, Flush) {
    let builder = NonBlockingBuilder::default().buffered_lines_limit(MAX_WAITING).thread_name("log");
    let (lines, guard) = builder.finish(io::stderr());
    // Only of the first, and there is one.
    let _ = DROPPED.set(lines.error_counter());
    (lines, Flush(Some(guard)))
}

/// How many lines nobody read in time.
pub fn dropped() -> u64 {
    DROPPED.get().map_or(0, |counter| counter.dropped_lines().try_into().unwrap_or(u64::MAX))
}

/// Says why the process ends, where anybody listens.
pub fn last_words(line: String) {
    // Where stderr is closed there is nobody to tell.
    within_bounds(move || _ = writeln!(io::stderr(), "{line}"));
}

impl Drop for Flush {
    fn drop(&mut self) {
        let guard = self.0.take();
        // A guard whose thread hangs prints that, to a stdout that may hang as well.
        within_bounds(move || drop(guard));
    }
}

fn within_bounds(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel::<()>();
    let working = move || {
        work();
        drop(done);
    };
    if thread::Builder::new().spawn(working).is_ok() {
        let _ = ended.recv_timeout(LAST_WORDS);
    }
}
