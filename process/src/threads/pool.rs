//! Threads that do one piece of work after another.

use std::io;
use std::pin::Pin;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tokio::sync::oneshot;

use super::own_thread::{self, Job};

/// Of a thread without work. Most sources are looked at more seldom; a scrape has a few pieces of work, one after the other.
const IDLE_FOR: Duration = Duration::from_secs(5);

/// The one of this process.
pub static POOL: Pool = Pool::new(|live| own_thread::spawn("blocking", live));

/// Threads without work, and how there come to be more.
#[derive(Debug)]
pub struct Pool {
    /// The last that became idle is the first to work.
    idle: Mutex<Vec<Idle>>,
    spawn: fn(Job) -> io::Result<()>,
}

/// A thread without work, and how it is told of some.
#[derive(Debug)]
struct Idle {
    tell: SyncSender<Job>,
    /// No identity is used twice in a process.
    thread: ThreadId,
}

/// Why work has no result.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("the system gives no thread for it ({0})")]
    NoThread(io::Error),
    #[error("it ended in a bug of this program, which is to be reported with the log")]
    Panic,
}

/// Work that was given to a thread: its result, once it has one.
#[derive(Debug)]
pub struct Started<R> {
    result: oneshot::Receiver<R>,
    refused: Option<io::Error>,
}

impl<R> Future for Started<R> {
    type Output = Result<R, Lost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(error) = self.refused.take() {
            return Poll::Ready(Err(Lost::NoThread(error)));
        }
        Pin::new(&mut self.result).poll(context).map_err(|_| Lost::Panic)
    }
}

impl Pool {
    /// One whose threads `spawn` makes.
    pub const fn new(spawn: fn(Job) -> io::Result<()>) -> Self {
        Self { idle: Mutex::new(Vec::new()), spawn }
    }

    /// Has a thread do it. Whatever happens to whoever waits, it is done to its end; where there is no thread to be had, it is dropped,
    /// with what it holds.
    pub fn start<R: Send + 'static>(&'static self, job: impl FnOnce() -> R + Send + 'static) -> Started<R> {
        let (done, result) = oneshot::channel();
        let work = move || {
            // Nobody may wait any more
            let _ = done.send(job());
        };
        let refused = self.work(Box::new(work)).err();
        if let Some(error) = &refused {
            tracing::debug!(%error, "the system gives no thread");
        }
        Started { result, refused }
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

    /// Holds A5, A17: work that got no thread stayed in a queue that nobody served, with the permit of its kind and that of its
    /// key: an agent whose port was looked at in that moment was never looked at again.
    #[tokio::test]
    async fn work_that_gets_no_thread_is_dropped_with_what_it_holds() {
        static NONE: Pool = Pool::new(|_| Err(io::Error::from(io::ErrorKind::WouldBlock)));
        let permit = Arc::new(());
        let held = Arc::clone(&permit);
        let started = NONE.start(move || drop(held));
        assert_eq!(Arc::strong_count(&permit), 1, "whether or not anybody looks at what became of it");
        let lost = started.await.expect_err("there is no thread");
        assert!(matches!(&lost, Lost::NoThread(_)), "{lost}");
    }

    #[tokio::test]
    async fn a_thread_does_one_piece_of_work_after_another_and_none_is_lost_to_a_panic() {
        static ALONE: Pool = Pool::new(|live| own_thread::spawn("alone", live));
        let ask = async |fails: bool| {
            let work = move || {
                assert!(!fails, "on purpose");
                thread::current().id()
            };
            tokio::time::timeout(Duration::from_secs(60), ALONE.start(work)).await.expect("it ends")
        };
        let idle = || {
            while ALONE.idle().is_empty() {
                thread::yield_now();
            }
        };
        let first = ask(false).await.expect("it is done");
        idle();
        assert_eq!(ask(false).await.expect("it is done"), first, "it was idle");
        idle();
        assert!(matches!(ask(true).await, Err(Lost::Panic)));
        assert_ne!(ask(false).await.expect("it is done"), first, "it has ended by a panic");
    }
}
