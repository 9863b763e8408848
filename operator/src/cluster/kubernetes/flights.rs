//! One request at a time for the same object, whose result all take who asked before it began. Nothing is remembered: what may
//! be older than the question is kept elsewhere ([`crate::kept`]).

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::ClusterError;

/// So many requests are under way before those that were given up are looked for.
const PRUNED_AT: usize = 256;

/// By namespace and name.
type Key = (String, String);

/// Requests under way.
#[derive(Debug)]
pub(super) struct Flights<T>(Mutex<HashMap<Key, Slot<T>>>);

type Slot<T> = Arc<tokio::sync::Mutex<Option<Landed<T>>>>;

#[derive(Debug)]
struct Landed<T> {
    began: Instant,
    result: Result<T, ClusterError>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Flights<T> {
    /// Gives what a request gave that began after this call; else makes the request.
    pub(super) async fn get(
        &self,
        key: Key,
        request: impl Future<Output = Result<T, ClusterError>>,
    ) -> Result<T, ClusterError> {
        let asked = Instant::now();
        let slot = self.slot(&key);
        let mut landed = slot.lock().await;
        if let Some(landed) = landed.as_ref().filter(|landed| landed.began >= asked) {
            return landed.result.clone();
        }
        // Dropped here, as by a pass that ran out of time, it leaves the slot as it was, and the next one asks
        let began = Instant::now();
        let result = request.await;
        *landed = Some(Landed { began, result: result.clone() });
        drop(landed);
        // Those who wait have the slot; nothing is kept for anybody else
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        result
    }

    fn slot(&self, key: &Key) -> Slot<T> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= PRUNED_AT && !slots.contains_key(key) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        slots.entry(key.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

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

    /// Holds B13: 300 resources that name one Secret, missing or not, cause no more than one request for each moment in which
    /// somebody asked.
    #[tokio::test]
    async fn many_who_ask_at_once_cause_one_request() {
        let missing = ClusterError::NotFound { verb: "get", resource: "secrets" };
        assert!(asked_by(300, Err(missing)).await <= 2);
        assert!(asked_by(300, Ok(1)).await <= 2);
    }

    /// Holds B11, B13: what is read anew is not what failed a moment ago.
    #[tokio::test]
    async fn neither_a_value_nor_a_failure_is_kept() {
        let flights = Flights::default();
        for value in 0..3 {
            assert_eq!(flights.get(key("a"), async move { Ok(value) }).await.ok(), Some(value));
        }
        assert!(flights.0.lock().expect("nobody panicked").is_empty());
        let missing = ClusterError::NotFound { verb: "get", resource: "secrets" };
        assert!(flights.get(key("a"), async { Err(missing) }).await.is_err());
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
