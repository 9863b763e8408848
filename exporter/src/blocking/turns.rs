//! Work of which there is one at a time for each key, and a result for each who asks: one that was found before somebody asked
//! proves nothing to them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Instant, timeout_at};

use super::lanes::{Blocked, Work, run};

/// Whoever asks for a key while its work is under way waits until that has ended, and takes no thread meanwhile. The keys are
/// kept: they are to be of the configuration.
pub(crate) struct Turns<K>(Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>);

impl<K: Eq + Hash> Turns<K> {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Does `job` when no other for `key` is under way. One that outlives its caller keeps its permit until it ends.
    ///
    /// # Errors
    /// See [`Blocked`].
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: Work,
        key: K,
        until: Instant,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Blocked> {
        let turns = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        let turn = timeout_at(until, turns.lock_owned()).await.map_err(|_| Blocked::Timeout)?;
        run(work, until, move || {
            let _held = turn;
            job()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    /// Holds A17: however often the directory of one agent is looked at, it hangs one thread.
    #[tokio::test]
    async fn what_hangs_for_one_key_takes_one_thread_and_holds_up_no_other_key() {
        let turns = Turns::new();
        let (release, hanging) = mpsc::channel::<()>();
        let soon = || Instant::now() + SHORT;
        assert_eq!(turns.run(Work::Trust, "hung", soon(), move || hanging.recv()).await, Err(Blocked::Timeout));
        for _ in 0..10 {
            let again = turns.run(Work::Trust, "hung", soon(), || panic!("the first is not over"));
            assert_eq!(again.await, Err::<(), _>(Blocked::Timeout));
        }
        assert_eq!(turns.run(Work::Trust, "well", Instant::now() + LONG, || 7).await, Ok(7));
        drop(release);
        assert_eq!(
            turns.run(Work::Trust, "hung", Instant::now() + LONG, || 7).await,
            Ok(7),
            "each gets its own result"
        );
    }
}
