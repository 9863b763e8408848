//! How long a plan waits for an API server that cannot tell just now: a few tries of each question, within a bound for all.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cluster::ClusterError;
use crate::cluster::kubernetes::{DryRunVerdict, verdict};
use crate::decide::doubled;

/// Tries of one question, the first included.
const TRIES: u32 = 5;
/// After the first try; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// In all tries that failed, and in the pauses after them, of the whole plan: a file may have thousands of resources.
const BUDGET: Duration = Duration::from_secs(60);

/// What is left of it.
#[derive(Debug)]
pub(super) struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(BUDGET)
    }
}

impl Patience {
    /// Whether the API server has used all of it up: what is left in the file is not asked about any more.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_zero()
    }

    #[cfg(test)]
    pub(super) const fn used_up() -> Self {
        Self(Duration::ZERO)
    }

    /// The answer, or the last error. What changes nothing may be asked again, whatever became of it.
    pub(super) async fn ask<T, F>(&mut self, question: impl Fn() -> F) -> Result<T, ClusterError>
    where
        F: Future<Output = Result<T, ClusterError>>,
    {
        let mut tries = 1;
        loop {
            let began = Instant::now();
            let answer = question().await;
            let Some(error) = answer.as_ref().err().filter(|error| verdict(error, false) == DryRunVerdict::Untold)
            else {
                return answer;
            };
            tracing::debug!(%error, tries, "the API server could not tell");
            if tries < TRIES && !self.is_over() {
                sleep(doubled(FIRST_PAUSE, tries, LONGEST_PAUSE).min(self.0)).await;
            }
            self.0 = self.0.saturating_sub(began.elapsed());
            if tries == TRIES || self.is_over() {
                return answer;
            }
            tries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn away() -> ClusterError {
        ClusterError::Timeout { verb: "patch", resource: "x" }
    }

    /// Holds B12: a leader of etcd that changes just now made a plan fail.
    #[tokio::test(start_paused = true)]
    async fn what_passes_is_asked_again_and_what_does_not_is_not() {
        for (fails, expected) in [(2, true), (TRIES, false)] {
            let asked = AtomicU32::new(0);
            let answer = Patience::default()
                .ask(async || if asked.fetch_add(1, Ordering::Relaxed) < fails { Err(away()) } else { Ok(()) })
                .await;
            assert_eq!((answer.is_ok(), asked.into_inner()), (expected, (fails + 1).min(TRIES)));
        }
        let asked = AtomicU32::new(0);
        let refused = || ClusterError::NotFound { verb: "patch", resource: "x" };
        let mut patience = Patience::default();
        let answer = patience.ask(async || {
            asked.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(refused())
        });
        assert!(answer.await.is_err());
        assert_eq!(asked.into_inner(), 1);
    }

    /// Holds B12: thousands of resources do not wait one after the other for an API server that hangs.
    #[tokio::test(start_paused = true)]
    async fn a_whole_file_waits_no_longer_than_the_budget_and_one_call() {
        let (mut patience, began) = (Patience::default(), Instant::now());
        while !patience.is_over() {
            let answer = patience.ask(async || {
                sleep(Duration::from_secs(10)).await;
                Err::<(), _>(away())
            });
            assert!(answer.await.is_err());
        }
        assert!(began.elapsed() <= BUDGET + Duration::from_secs(10), "{:?}", began.elapsed());
    }
}
