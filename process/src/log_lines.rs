//! Where log lines go. Who reads stderr may hang: journald that is stopped, a log shipper, a container runtime. That holds up
//! nobody: the lines wait for a thread of their own. What is too many, or cannot be written, is dropped and counted.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that wait, of some hundred bytes each: a burst of a busy minute.
const MAX_WAITING: usize = 4096;
/// How long the end of the process waits for its last words to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Between two attempts at a pipe that is full and does not make its writer wait: whoever shares it may have set that.
const FULL: Duration = Duration::from_millis(20);

/// A process that has no log for longer fails.
const WAITS_FOR_THREAD: usize = 50;
const BETWEEN_THREADS: Duration = Duration::from_millis(200);

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();
static UNWRITTEN: AtomicU64 = AtomicU64::new(0);

/// Writes what is waiting when it is dropped, within a second.
#[derive(Debug)]
pub struct Flush(Option<WorkerGuard>);

/// A writer of log lines to stderr that never waits.
pub fn to_stderr() -> (NonBlocking, Flush) {
    to_writer(io::stderr())
}

/// The same to another place than stderr.
pub fn to_writer(out: impl Write + Send + 'static) -> (NonBlocking, Flush) {
    let (lines, guard) = to(out, &UNWRITTEN);
    // Only of the first, and there is one.
    let _ = DROPPED.set(lines.error_counter());
    (lines, Flush(Some(guard)))
}

fn to(out: impl Write + Send + 'static, unwritten: &'static AtomicU64) -> (NonBlocking, WorkerGuard) {
    await_thread();
    let builder = NonBlockingBuilder::default().buffered_lines_limit(MAX_WAITING).thread_name("log");
    builder.finish(RetryingWriter { out, unwritten })
}

/// The builder panics where the system gives it no thread, which may be so for a moment when a host has many processes.
fn await_thread() {
    for _ in 0..WAITS_FOR_THREAD {
        if let Ok(thread) = thread::Builder::new().name("log".to_owned()).spawn(|| {}) {
            let _ = thread.join();
            return;
        }
        thread::sleep(BETWEEN_THREADS);
    }
}

/// How many lines nobody read in time, or could not be written.
pub fn dropped() -> u64 {
    let waited_too_long = DROPPED.get().map_or(0, |counter| counter.dropped_lines().try_into().unwrap_or(u64::MAX));
    UNWRITTEN.load(Ordering::Relaxed).saturating_add(waited_too_long)
}

/// Says why the process ends, where anybody listens.
pub fn last_words(line: String) {
    // Where stderr is closed there is nobody to tell.
    within_bounds(move || _ = writeln!(RetryingWriter { out: io::stderr(), unwritten: &UNWRITTEN }, "{line}"));
}

/// Writes whole lines to what may not take them at once: it waits, as a pipe that blocks would make it, and the lines that
/// come meanwhile wait as well.
struct RetryingWriter<W> {
    out: W,
    /// Lines that could not be written. The thread that writes forgets errors.
    unwritten: &'static AtomicU64,
}

impl<W: Write> RetryingWriter<W> {
    fn put(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<W: Write> Write for RetryingWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line).inspect_err(|_| _ = self.unwritten.fetch_add(1, Ordering::Relaxed))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Takes a few bytes every other time, or nothing ever.
    #[derive(Clone, Default)]
    struct Pipe {
        taken: Arc<Mutex<Vec<u8>>>,
        is_full: bool,
        refuses: Option<io::ErrorKind>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(kind) = self.refuses {
                return Err(kind.into());
            }
            self.is_full = !self.is_full;
            if self.is_full {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let bytes = &bytes[..bytes.len().min(7)];
            self.taken.lock().expect("whole").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_pipe_that_is_full_for_a_while_loses_no_line_and_no_part_of_one() {
        static UNWRITTEN: AtomicU64 = AtomicU64::new(0);
        let pipe = Pipe::default();
        let (mut lines, guard) = to(pipe.clone(), &UNWRITTEN);
        let expected: String = (0..10).map(|n| format!("line {n} of ten\n")).collect();
        for line in expected.split_inclusive('\n') {
            lines.write_all(line.as_bytes()).expect("never waits");
        }
        drop(guard);
        assert_eq!(String::from_utf8_lossy(&pipe.taken.lock().expect("whole")), expected);
        assert_eq!(UNWRITTEN.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted() {
        static UNWRITTEN: AtomicU64 = AtomicU64::new(0);
        let (mut lines, guard) = to(Pipe { refuses: Some(io::ErrorKind::BrokenPipe), ..Pipe::default() }, &UNWRITTEN);
        for _ in 0..10 {
            lines.write_all(b"nobody hears\n").expect("never waits");
        }
        drop(guard);
        assert_eq!(UNWRITTEN.load(Ordering::Relaxed), 10);
    }
}
