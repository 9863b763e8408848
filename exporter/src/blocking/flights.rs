//! Work of which there is one at a time for each key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::lanes::{Blocked, Work, start};

type Waiting<V> = watch::Receiver<Option<V>>;

/// Whoever asks for a key while its work is under way waits for that, and takes no thread.
pub(crate) struct Flights<K, V>(Arc<Mutex<HashMap<K, Waiting<V>>>>);

/// The one who does the work, or waits for a thread to do it on.
struct Leader<K: Eq + Hash, V> {
    under_way: Arc<Mutex<HashMap<K, Waiting<V>>>>,
    key: K,
    landed: watch::Sender<Option<V>>,
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// The result of the work under way for `key`, or else of `job`.
    ///
    /// # Errors
    /// See [`Blocked`].
    pub(crate) async fn join(
        &self,
        work: Work,
        key: K,
        until: Instant,
        job: impl FnOnce() -> V + Send + 'static,
    ) -> Result<V, Blocked> {
        let mut job = Some(job);
        loop {
            let (mut result, leader) = self.board(key.clone());
            if let Some(leader) = leader
                && let Some(job) = job.take()
            {
                // Until a thread is free, whoever leads may give up: then one of the others does.
                start(work, until, move || leader.land(job())).await?;
            }
            match timeout_at(until, result.wait_for(Option::is_some)).await {
                Err(_) => return Err(Blocked::Timeout),
                Ok(Ok(landed)) => return landed.clone().ok_or(Blocked::Panic),
                Ok(Err(_)) if job.is_none() => return Err(Blocked::Panic),
                Ok(Err(_)) => {}
            }
        }
    }

    /// Whether work for `key` is under way.
    pub(crate) fn is_under_way(&self, key: &K) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    fn board(&self, key: K) -> (Waiting<V>, Option<Leader<K, V>>) {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key) {
            Entry::Occupied(known) => (known.get().clone(), None),
            Entry::Vacant(place) => {
                let key = place.key().clone();
                let (landed, result) = watch::channel(None);
                place.insert(result.clone());
                (result, Some(Leader { under_way: Arc::clone(&self.0), key, landed }))
            }
        }
    }
}

impl<K: Eq + Hash, V> Leader<K, V> {
    fn land(self, value: V) {
        self.landed.send_replace(Some(value));
    }
}

impl<K: Eq + Hash, V> Drop for Leader<K, V> {
    /// Before the sender goes: who finds no result then finds no flight either, and leads the next.
    fn drop(&mut self) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl<K, V> Clone for Flights<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use futures::future::join_all;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    /// Holds A17: however many ask for one name, one thread looks it up.
    #[tokio::test]
    async fn many_that_ask_for_one_key_take_one_thread_and_get_one_result() {
        let flights = Flights::<&str, usize>::new();
        let (release, hanging) = mpsc::channel::<()>();
        let times = Arc::new(AtomicUsize::new(0));
        let first = {
            let (flights, times) = (flights.clone(), Arc::clone(&times));
            tokio::spawn(async move {
                let job = move || {
                    let _ = hanging.recv();
                    times.fetch_add(1, Ordering::Relaxed)
                };
                flights.join(Work::Files, "name", Instant::now() + LONG, job).await
            })
        };
        while !flights.is_under_way(&"name") {
            tokio::task::yield_now().await;
        }
        let impatient = flights.join(Work::Files, "name", Instant::now() + SHORT, || 7).await;
        assert_eq!(impatient, Err(Blocked::Timeout), "it waits for the first, and no longer than its own deadline");
        let boarded = Arc::new(AtomicUsize::new(0));
        let others = (0..200).map(|_| {
            let (flights, boarded) = (flights.clone(), Arc::clone(&boarded));
            tokio::spawn(async move {
                boarded.fetch_add(1, Ordering::Relaxed);
                flights.join(Work::Files, "name", Instant::now() + LONG, || 7).await
            })
        });
        let others: Vec<_> = others.collect();
        while boarded.load(Ordering::Relaxed) < others.len() {
            tokio::task::yield_now().await;
        }
        drop(release);
        let others = join_all(others).await;
        assert!(others.iter().all(|other| matches!(other, Ok(Ok(0)))), "{others:?}");
        assert_eq!(first.await.expect("it does not panic"), Ok(0));
        assert_eq!(times.load(Ordering::Relaxed), 1);
        assert!(!flights.is_under_way(&"name"));
        assert_eq!(flights.join(Work::Files, "name", Instant::now() + LONG, || 7).await, Ok(7), "then anew");
    }

    #[tokio::test]
    async fn a_panic_is_told_and_does_not_stay() {
        let flights = Flights::<(), u8>::new();
        let until = Instant::now() + LONG;
        let panicked = flights.join(Work::Files, (), until, || panic!("on purpose")).await;
        assert_eq!(panicked, Err(Blocked::Panic));
        assert_eq!(flights.join(Work::Files, (), until, || 7).await, Ok(7));
    }
}
