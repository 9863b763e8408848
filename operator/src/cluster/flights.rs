//! One request at a time for the same object, and a failure remembered for a moment: three hundred resources that name one
//! missing Secret ask for it once.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ClusterError;

/// How long a failure answers for others. Shorter than the first pause of whoever waits for the object, so that one that
/// was put right is seen at the next try.
const FAILURE_AGE: Duration = Duration::from_secs(4);
/// So many objects are kept before those that are of no use any more are looked for.
const PRUNED_AT: usize = 256;

/// By namespace and name.
type Key = (String, String);

/// Requests under way, and those that just failed.
#[derive(Debug)]
pub(super) struct Flights<T>(Mutex<HashMap<Key, Slot<T>>>);

type Slot<T> = Arc<tokio::sync::Mutex<Option<Landed<T>>>>;

#[derive(Debug)]
struct Landed<T> {
    began: Instant,
    ended: Instant,
    result: Result<T, ClusterError>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Flights<T> {
    /// Gives what a request gave that began after this call, or failed just before it; else makes the request.
    pub(super) async fn get(
        &self,
        key: Key,
        request: impl Future<Output = Result<T, ClusterError>>,
    ) -> Result<T, ClusterError> {
        let asked = Instant::now();
        let slot = self.slot(&key);
        let mut landed = slot.lock().await;
        if let Some(landed) = landed.as_ref().filter(|landed| landed.answers(asked)) {
            return landed.result.clone();
        }
        // dropped here, as by a pass that ran out of time, it leaves the slot as it was, and the next one asks
        let began = Instant::now();
        let result = request.await;
        *landed = Some(Landed { began, ended: Instant::now(), result: result.clone() });
        drop(landed);
        if result.is_ok() {
            // those who wait have the slot; a value is not kept for anybody else
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
        result
    }

    fn slot(&self, key: &Key) -> Slot<T> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= PRUNED_AT && !slots.contains_key(key) {
            slots
                .retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|landed| is_fresh(&landed)));
        }
        slots.entry(key.clone()).or_default().clone()
    }
}

fn is_fresh<T>(landed: &Option<Landed<T>>) -> bool {
    landed.as_ref().is_some_and(|landed| landed.ended.elapsed() < FAILURE_AGE)
}

impl<T> Landed<T> {
    fn answers(&self, asked: Instant) -> bool {
        self.began >= asked || (self.result.is_err() && self.ended.elapsed() < FAILURE_AGE)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn key(name: &str) -> Key {
        ("fleet".into(), name.into())
    }

    async fn asked_by(many: usize, result: Result<u32, ClusterError>) -> usize {
        let (flights, requests) = (Flights::default(), AtomicUsize::new(0));
        let request = || async {
            requests.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            result.clone()
        };
        let all = (0..many).map(|_| flights.get(key("missing"), request()));
        for got in futures::future::join_all(all).await {
            assert_eq!(got.is_ok(), result.is_ok());
        }
        requests.load(Ordering::SeqCst)
    }

    /// Holds B13: 300 resources that name one missing Secret cause one request, and those that name one that is there cause
    /// no more than one for each moment in which somebody asked.
    #[tokio::test]
    async fn many_who_ask_at_once_cause_one_request() {
        let missing = ClusterError::NotFound { verb: "get", resource: "secrets" };
        assert_eq!(asked_by(300, Err(missing)).await, 1);
        assert!(asked_by(300, Ok(1)).await <= 2);
    }

    #[tokio::test]
    async fn a_value_is_not_kept_and_a_failure_is_not_kept_for_long() {
        let flights = Flights::default();
        for value in 0..3 {
            assert_eq!(flights.get(key("a"), async move { Ok(value) }).await.ok(), Some(value));
        }
        assert!(flights.0.lock().expect("nobody panicked").is_empty());
        let missing = ClusterError::NotFound { verb: "get", resource: "secrets" };
        assert!(flights.get(key("a"), async { Err(missing) }).await.is_err());
        assert!(flights.get(key("a"), async { Ok(1) }).await.is_err(), "for a moment");
        tokio::time::sleep(FAILURE_AGE + Duration::from_millis(100)).await;
        assert_eq!(flights.get(key("a"), async { Ok(1) }).await.ok(), Some(1));
    }

    #[tokio::test]
    async fn whoever_gives_up_leaves_the_request_to_the_next() {
        let flights = Flights::default();
        let hangs = flights.get(key("a"), std::future::pending::<Result<u32, ClusterError>>());
        assert!(tokio::time::timeout(Duration::from_millis(20), hangs).await.is_err());
        assert_eq!(flights.get(key("a"), async { Ok(1) }).await.ok(), Some(1));
    }
}
