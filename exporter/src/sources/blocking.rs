//! Work that blocks, done apart from the async threads and under a deadline.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::schedule::{panicked, timed_out};
use crate::blocking::{Blocked, Started, Work, reserve};
use crate::snapshot::Trouble;

/// For work that outlived its deadline: longer would hold one of the places in which other sources are looked at.
const STUCK_GRACE: Duration = Duration::from_millis(500);

/// Somebody who works where blocking does no harm, and keeps what they know from one time to the next. A read that hangs
/// in the kernel cannot be ended, so it is waited for again instead of being started a second time.
#[derive(Debug)]
pub(super) struct Blocking<W, R> {
    work: Work,
    deadline: Duration,
    state: WorkerState<W, R>,
}

#[derive(Debug)]
enum WorkerState<W, R> {
    /// Nothing is known: at the start, and after a panic.
    New,
    Idle(Box<W>),
    /// Work that outlived its deadline.
    Stuck(Started<(Box<W>, R)>),
}

impl<W: Send + 'static, R: Send + 'static> Blocking<W, R> {
    pub(super) const fn new(work: Work, deadline: Duration) -> Self {
        Self { work, deadline, state: WorkerState::New }
    }

    /// Has the worker do it, a fresh one if need be.
    ///
    /// # Errors
    /// `busy`, `timeout` and `panic`.
    pub(super) async fn run(
        &mut self,
        fresh: impl Fn() -> W,
        work: impl FnOnce(&mut W) -> R + Send + 'static,
    ) -> Result<R, Trouble> {
        let deadline = Instant::now() + self.deadline;
        let mut worker = self.worker(fresh, deadline).await.ok_or_else(|| timed_out("timeout", self.deadline))?;
        let reserved = match reserve(self.work, deadline).await {
            Ok(reserved) => reserved,
            Err(blocked) => {
                self.state = WorkerState::Idle(worker);
                return Err(blocked_by(&blocked));
            }
        };
        let mut running = reserved.start(move || {
            let result = work(&mut worker);
            (worker, result)
        });
        match timeout_at(deadline, &mut running).await {
            Ok(Ok((worker, result))) => {
                self.state = WorkerState::Idle(worker);
                Ok(result)
            }
            Ok(Err(_)) => Err(panicked("panic")),
            Err(_) => {
                self.state = WorkerState::Stuck(running);
                Err(timed_out("timeout", self.deadline))
            }
        }
    }

    /// The worker, when it is free in time. What stuck work brings at last is old: only the worker is of use.
    async fn worker(&mut self, fresh: impl Fn() -> W, deadline: Instant) -> Option<Box<W>> {
        match std::mem::replace(&mut self.state, WorkerState::New) {
            WorkerState::New => Some(Box::new(fresh())),
            WorkerState::Idle(worker) => Some(worker),
            WorkerState::Stuck(mut running) => {
                match timeout_at(deadline.min(Instant::now() + STUCK_GRACE), &mut running).await {
                    Ok(Ok((worker, _))) => Some(worker),
                    Ok(Err(_)) => Some(Box::new(fresh())),
                    Err(_) => {
                        self.state = WorkerState::Stuck(running);
                        None
                    }
                }
            }
        }
    }
}

/// As a trouble of a source.
pub(super) fn blocked_by(blocked: &Blocked) -> Trouble {
    Trouble::new(blocked.reason(), blocked)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn what_hangs_is_waited_for_and_not_started_twice() {
        let (release, hanging) = mpsc::channel::<()>();
        let mut blocking = Blocking::new(Work::Health, SHORT);
        let hang = move |times: &mut u32| {
            *times += 1;
            let _ = hanging.recv();
            *times
        };
        let reason = |result: Result<u32, Trouble>| result.map_err(|trouble| trouble.reason);
        assert_eq!(reason(blocking.run(|| 0, hang).await), Err("timeout"));
        assert_eq!(reason(blocking.run(|| 0, |_| panic!("the first is not over")).await), Err("timeout"));
        drop(release);
        blocking.deadline = Duration::from_secs(60);
        assert_eq!(reason(blocking.run(|| 0, |times| *times).await), Ok(1));
    }

    #[tokio::test]
    async fn after_a_panic_somebody_new_begins() {
        let mut blocking = Blocking::new(Work::Health, Duration::from_secs(60));
        let panicked = blocking.run(|| 0, |_: &mut u32| -> u32 { panic!("on purpose") }).await;
        assert_eq!(panicked.map_err(|trouble| trouble.reason), Err("panic"));
        assert_eq!(blocking.run(|| 7, |seven| *seven).await, Ok(7));
    }
}
