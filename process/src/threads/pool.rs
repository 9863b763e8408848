//! Threads that do one piece of work after another.

use std::io;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::own_thread::{self, Job};

/// Of a thread without work. Most sources are looked at more seldom; a scrape has a few pieces of work, one after the other.
const IDLE_FOR: Duration = Duration::from_secs(5);

/// The one of this process.
static POOL: Pool = Pool::new(|live| own_thread::spawn("blocking", live));

/// Has a thread do it.
///
/// # Errors
/// Where there is none to be had: the work is dropped, with what it holds.
pub fn work(job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    POOL.work(Box::new(job))
}

struct Pool {
    /// The last that became idle is the first to work.
    idle: Mutex<Vec<Idle>>,
    spawn: fn(Job) -> io::Result<()>,
}

/// A thread without work, and how it is told of some.
struct Idle {
    tell: SyncSender<Job>,
    /// No identity is used twice in a process.
    thread: ThreadId,
}

impl Pool {
    const fn new(spawn: fn(Job) -> io::Result<()>) -> Self {
        Self { idle: Mutex::new(Vec::new()), spawn }
    }

    fn work(&'static self, mut job: Job) -> io::Result<()> {
        let idle = self.idle().pop();
        if let Some(idle) = idle {
            match idle.tell.send(job) {
                Ok(()) => return Ok(()),
                Err(back) => job = back.0,
            }
        }
        (self.spawn)(Box::new(move || self.live(job)))
    }

    /// A panic ends the thread: whoever waits is told by the end of what the work has held.
    fn live(&self, first: Job) {
        let (tell, jobs) = mpsc::sync_channel(1);
        let thread = thread::current().id();
        let mut job = first;
        loop {
            job();
            self.idle().push(Idle { tell: tell.clone(), thread });
            let next = jobs.recv_timeout(IDLE_FOR).or_else(|_| {
                let mut idle = self.idle();
                let index = idle.iter().position(|it| it.thread == thread);
                let is_idle = index.map(|index| idle.remove(index)).is_some();
                drop(idle);
                // Whoever has taken this thread from the list a moment ago sends what is to be done.
                if is_idle { Err(mpsc::RecvError) } else { jobs.recv() }
            });
            let Ok(next) = next else { return };
            job = next;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Only whole entries are put in and taken out
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Holds A5, A17: work that got no thread stayed in a queue that nobody served, with the place of its kind and the turn of its
    /// key: an agent whose port was looked at in that moment was never looked at again.
    #[test]
    fn work_that_gets_no_thread_is_dropped_with_what_it_holds() {
        static NONE: Pool = Pool::new(|_| Err(io::Error::from(io::ErrorKind::WouldBlock)));
        let place = Arc::new(());
        let held = Arc::clone(&place);
        assert!(NONE.work(Box::new(move || drop(held))).is_err());
        assert_eq!(Arc::strong_count(&place), 1);
    }

    #[test]
    fn a_thread_does_one_piece_of_work_after_another_and_none_is_lost_to_a_panic() {
        static ALONE: Pool = Pool::new(|live| own_thread::spawn("alone", live));
        let (tell, told) = mpsc::channel();
        let ask = |fails: bool| {
            let tell = tell.clone();
            let work = move || {
                tell.send(thread::current().id()).expect("the test waits");
                assert!(!fails, "on purpose");
            };
            ALONE.work(Box::new(work)).expect("a thread");
            told.recv_timeout(Duration::from_secs(60)).expect("it is done")
        };
        let first = ask(false);
        while ALONE.idle().is_empty() {
            thread::yield_now();
        }
        assert_eq!(ask(true), first, "it was idle");
        assert_ne!(ask(false), first, "it has ended by a panic");
    }
}
