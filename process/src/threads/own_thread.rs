//! A thread of its own, for work that lives as long as the program or may hang for good. Where the system gives none, it may give one
//! later: a limit of processes is reached for a moment by whoever else counts to it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::time::sleep;

/// A limit of processes is usually reached for a moment only.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Whoever needs the thread waits no longer than this once there is one.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a thread does.
pub type Job = Box<dyn FnOnce() + Send>;

/// Begins the work.
///
/// # Errors
/// Where there is no thread: gives the work back.
pub fn begin<F: FnOnce() + Send + 'static>(name: &str, work: F) -> Result<(), (io::Error, F)> {
    begin_by(&mut spawner(name), work)
}

/// Tries until there is a thread. `tell` is told of each failure.
pub async fn begin_when_possible<F: FnOnce() + Send + 'static>(name: &str, work: F, tell: impl FnMut(&io::Error)) {
    begin_when_possible_by(spawner(name), work, tell).await;
}

fn spawner(name: &str) -> impl FnMut(Job) -> io::Result<()> {
    move |job| spawn(name, job)
}

/// Where the system gives no thread, the work is dropped.
pub(super) fn spawn(name: &str, job: Job) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(job).map(|_| ())
}

fn begin_by<F: FnOnce() + Send + 'static>(
    spawn: &mut impl FnMut(Job) -> io::Result<()>,
    work: F,
) -> Result<(), (io::Error, F)> {
    let kept = Arc::new(Mutex::new(Some(work)));
    let taken = Arc::clone(&kept);
    let begun = spawn(Box::new(move || {
        let work = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            work();
        }
    }));
    let Err(error) = begun else { return Ok(()) };
    let work = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
    // A thread that was not made has taken nothing.
    work.map_or(Ok(()), |work| Err((error, work)))
}

async fn begin_when_possible_by<F: FnOnce() + Send + 'static>(
    mut spawn: impl FnMut(Job) -> io::Result<()>,
    mut work: F,
    mut tell: impl FnMut(&io::Error),
) {
    let mut pause = FIRST_PAUSE;
    while let Err((error, again)) = begin_by(&mut spawn, work) {
        tell(&error);
        work = again;
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds A6: an agent whose thread could not be made at the start was recovered by nobody, also when threads were to be had again.
    #[tokio::test(start_paused = true)]
    async fn work_that_gets_no_thread_is_begun_when_there_is_one_and_once() {
        let (mut refusals, mut told) = (3, 0);
        let done = Arc::new(Mutex::new(0));
        let (counted, work) = (Arc::clone(&done), Arc::new(()));
        let held = Arc::clone(&work);
        let spawn = |job: Job| {
            if refusals > 0 {
                refusals -= 1;
                return Err(io::Error::from(io::ErrorKind::WouldBlock));
            }
            thread::spawn(job).join().expect("it ends");
            Ok(())
        };
        let work_of_it = move || {
            *counted.lock().expect("unpoisoned") += 1;
            drop(held);
        };
        begin_when_possible_by(spawn, work_of_it, |_| told += 1).await;
        assert_eq!((*done.lock().expect("unpoisoned"), told, refusals), (1, 3, 0));
        assert_eq!(Arc::strong_count(&work), 1, "what it held is let go");
    }
}
