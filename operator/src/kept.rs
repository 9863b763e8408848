//! What was made of Secrets, kept for a while: one read for all who ask at once, and what failed them kept for less long.
//!
//! Whoever asks judges what was read by his own resource. What is refused is read again as soon as what is missing: somebody
//! is about to put it right. The more Secrets fail somebody, the longer each of their failures is kept.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::decide::Obstacle;
use crate::recent::Recent;

/// How long what was read is used. A new CA or password is drift, and what is kept is read anew before drift is acted on.
pub(crate) const KEPT: Duration = Duration::from_secs(30);
/// How long a failure is used: shorter than the wait of those who look for the Secret again.
const FAILURE_KEPT: Duration = Duration::from_secs(2);
/// For each Secret that fails, failures are kept for so much longer: fifty reads a second in all, until each is read once in
/// [`LONGEST_FAILURE`].
const FAILURE_SHARE: Duration = Duration::from_millis(20);
/// However many fail, one that was put right is seen after this time.
const LONGEST_FAILURE: Duration = Duration::from_secs(60);

/// Namespace and name.
pub(crate) type SecretKey = (String, String);

#[derive(Debug)]
pub(crate) struct Kept<T> {
    slots: Mutex<Recent<SecretKey, Slot<T>>>,
    /// Held once by each slot that fails somebody.
    failing: Arc<()>,
}

/// Locked while it is read, so that all who ask for it wait for the same answer.
type Slot<T> = Arc<tokio::sync::Mutex<Option<Read<T>>>>;

#[derive(Debug)]
struct Read<T> {
    began: Instant,
    ended: Instant,
    result: Result<T, Obstacle>,
    failing: Option<Arc<()>>,
}

impl<T> Kept<T> {
    /// Of at most so many Secrets.
    pub(crate) fn new(most: usize) -> Self {
        Self { slots: Mutex::new(Recent::new(most, LONGEST_FAILURE.saturating_mul(2))), failing: Arc::default() }
    }

    /// What was read a while ago at most.
    pub(crate) async fn get<U>(
        &self,
        key: SecretKey,
        read: impl Future<Output = Result<T, Obstacle>>,
        judge: impl Fn(&T) -> Result<U, Obstacle>,
    ) -> Result<U, Obstacle> {
        let asked = Instant::now();
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        if let Some(known) = slot.as_mut() {
            let verdict = self.judged(known, &judge);
            // whoever waited for it takes it, however old it is when his turn comes
            if known.ended >= asked || known.ended.elapsed() < self.kept_for(verdict.is_ok()) {
                return verdict;
            }
        }
        self.read(&mut slot, read, &judge).await
    }

    /// What was read after this call: it replaces what was kept.
    pub(crate) async fn anew<U>(
        &self,
        key: SecretKey,
        read: impl Future<Output = Result<T, Obstacle>>,
        judge: impl Fn(&T) -> Result<U, Obstacle>,
    ) -> Result<U, Obstacle> {
        let asked = Instant::now();
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        match slot.as_mut().filter(|known| known.began >= asked) {
            Some(known) => self.judged(known, &judge),
            None => self.read(&mut slot, read, &judge).await,
        }
    }

    async fn read<U>(
        &self,
        slot: &mut Option<Read<T>>,
        read: impl Future<Output = Result<T, Obstacle>>,
        judge: &impl Fn(&T) -> Result<U, Obstacle>,
    ) -> Result<U, Obstacle> {
        let began = Instant::now();
        let result = read.await;
        self.judged(slot.insert(Read { began, ended: Instant::now(), result, failing: None }), judge)
    }

    fn judged<U>(&self, known: &mut Read<T>, judge: &impl Fn(&T) -> Result<U, Obstacle>) -> Result<U, Obstacle> {
        let verdict = known.result.as_ref().map_err(Obstacle::clone).and_then(judge);
        if verdict.is_err() {
            known.failing.get_or_insert_with(|| Arc::clone(&self.failing));
        }
        verdict
    }

    fn kept_for(&self, good: bool) -> Duration {
        let failing = u32::try_from(Arc::strong_count(&self.failing) - 1).unwrap_or(u32::MAX);
        if good { KEPT } else { FAILURE_SHARE.saturating_mul(failing).clamp(FAILURE_KEPT, LONGEST_FAILURE) }
    }

    fn slot(&self, key: SecretKey) -> Slot<T> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&key) {
            return Arc::clone(slot);
        }
        let slot = Slot::default();
        slots.put(key, Arc::clone(&slot));
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use kagiban_crds::resource::BlockedBy;

    use super::*;

    fn key(text: &str) -> SecretKey {
        ("fleet".to_owned(), text.to_owned())
    }

    fn missing() -> Obstacle {
        Obstacle::new(BlockedBy::IssuerUnavailable, "no such Secret")
    }

    fn as_read(value: &u32) -> Result<u32, Obstacle> {
        Ok(*value)
    }

    /// A read that is counted, takes so long, and fails.
    async fn fails_after(takes: Duration, reads: &AtomicU32) -> Result<u32, Obstacle> {
        reads.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(takes).await;
        Err(missing())
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_at_once_share_one_read_and_its_failure_is_kept_for_a_moment() {
        let kept = Kept::<u32>::new(10);
        let reads = AtomicU32::new(0);
        let ask = || kept.get(key("ca"), fails_after(Duration::from_millis(100), &reads), as_read);
        let answers = futures::future::join_all((0..300).map(|_| ask())).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        tokio::time::advance(FAILURE_KEPT).await;
        let found = kept.get(key("ca"), async { Ok(7) }, as_read).await;
        assert_eq!(found, Ok(7), "a corrected Secret is seen");
        assert_eq!(ask().await, Ok(7), "and kept");
    }

    /// Holds B13: an API server that takes its time is not asked by each of those who wait for it, one after the other.
    #[tokio::test(start_paused = true)]
    async fn a_read_that_takes_longer_than_its_failure_is_kept_is_shared_all_the_same() {
        let kept = Kept::<u32>::new(10);
        let reads = AtomicU32::new(0);
        let ask = || kept.get(key("ca"), fails_after(Duration::from_secs(30), &reads), as_read);
        for _ in 0..2 {
            let answers = futures::future::join_all((0..300).map(|_| ask())).await;
            assert!(answers.iter().all(Result::is_err));
            assert_eq!(reads.load(Ordering::Relaxed), 1, "and its age counts from its end");
        }
    }

    /// Holds B13: a Secret that is there and refuses is not read by each of those that it refuses.
    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_read_as_seldom_as_what_is_missing_and_soon_again() {
        let kept = Kept::<u32>::new(10);
        let reads = AtomicU32::new(0);
        let ask = |allowed: u32| {
            let read = async {
                reads.fetch_add(1, Ordering::Relaxed);
                Ok(7)
            };
            kept.get(key("ca"), read, move |value| if *value == allowed { Ok(()) } else { Err(missing()) })
        };
        for _ in 0..300 {
            assert!(ask(8).await.is_err());
        }
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        assert_eq!(ask(7).await, Ok(()), "it refuses nobody else");
        tokio::time::advance(FAILURE_KEPT).await;
        assert_eq!((ask(7).await, reads.load(Ordering::Relaxed)), (Ok(()), 1), "what is good is kept for longer");
        assert!(ask(8).await.is_err());
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }

    /// Holds B11: what is about to be acted on was read after the decision, and everybody goes on with that.
    #[tokio::test(start_paused = true)]
    async fn what_is_read_anew_replaces_what_was_kept_and_is_shared_by_those_who_asked_before() {
        let kept = Kept::<u32>::new(10);
        let reads = AtomicU32::new(0);
        let value = |value: u32| {
            let reads = &reads;
            async move {
                reads.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok(value)
            }
        };
        assert_eq!(kept.get(key("ca"), value(1), as_read).await, Ok(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        let anew = futures::future::join_all((0..300).map(|_| kept.anew(key("ca"), value(2), as_read))).await;
        assert!(anew.iter().all(|answer| *answer == Ok(2)));
        assert_eq!(kept.get(key("ca"), value(3), as_read).await, Ok(2));
        assert!(reads.load(Ordering::Relaxed) <= 3, "{reads:?}");
    }

    /// Holds B13: the wait grows with the Secrets that fail, has an end, and falls with them.
    #[tokio::test(start_paused = true)]
    async fn the_more_secrets_are_missing_the_less_often_each_is_asked_for_up_to_a_minute() {
        let kept = Kept::<u32>::new(4000);
        let fail = |range: std::ops::Range<u32>| {
            let kept = &kept;
            async move {
                for number in range {
                    let _ = kept.get(key(&number.to_string()), async { Err(missing()) }, as_read).await;
                }
            }
        };
        fail(0..500).await;
        assert_eq!((kept.kept_for(false), kept.kept_for(true)), (Duration::from_secs(10), KEPT));
        fail(500..9000).await;
        assert_eq!(kept.kept_for(false), LONGEST_FAILURE);
        tokio::time::advance(Duration::from_secs(300)).await;
        let _ = kept.get(key("another"), async { Ok(1) }, as_read).await;
        assert_eq!(kept.kept_for(false), FAILURE_KEPT, "nobody names them any more");
    }
}
