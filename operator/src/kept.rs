//! What was made of Secrets, kept for a while: one read for all who ask at once, and what failed them kept for less long.
//!
//! Whoever asks judges what was read by his own resource. What is refused is read again as soon as what is missing: somebody
//! is about to put it right. The more Secrets fail somebody, the longer each of their failures is kept; and the more there is to
//! read of them, until a resource that names one changes.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::decide::{Obstacle, Resource};
use crate::recent::Recent;

/// How long what was read is used. A new CA or password is drift, and what is kept is read anew before drift is acted on.
pub(crate) const KEPT: Duration = Duration::from_secs(30);
/// How long a failure is used: shorter than the wait of those who look for the Secret again.
const FAILURE_KEPT: Duration = Duration::from_secs(2);
/// For each Secret that fails, failures are kept for so much longer: fifty reads a second in all, until each is read once in
/// [`LONGEST_FAILURE`].
const FAILURE_SHARE: Duration = Duration::from_millis(20);
/// However many fail, one that was put right is seen after this time, unless it is large.
const LONGEST_FAILURE: Duration = Duration::from_secs(60);
/// A Secret with more than this is large: all that is taken of one has less, and anybody may write 1 MiB beside it.
const LARGE: usize = 256 << 10;
/// Bytes a second, for all large Secrets that fail, until each is read once in [`LONGEST_LARGE_FAILURE`].
const LARGE_SHARE: usize = 256 << 10;
/// However many large ones fail, one that was put right is seen after this time.
const LONGEST_LARGE_FAILURE: Duration = Duration::from_secs(3600);

/// What nobody has named for so long is forgotten.
const UNUSED: Duration = LONGEST_FAILURE.saturating_mul(2);

/// Namespace and name.
pub(crate) type SecretKey = (String, String);

/// How old what is used of a Secret may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Read a while ago at most.
    Kept,
    /// Read after it was asked for.
    Anew,
}

/// A Secret that a resource names.
pub(crate) fn key(resource: &Resource, secret: &str) -> SecretKey {
    (resource.namespace.clone(), secret.to_owned())
}

#[derive(Debug)]
pub(crate) struct SecretCache<T> {
    slots: Mutex<Recent<SecretKey, Slot<T>>>,
    failing: Arc<Failing>,
}

/// What fails somebody now.
#[derive(Debug, Default)]
struct Failing {
    secrets: AtomicUsize,
    /// Of those that are large.
    bytes: AtomicUsize,
}

/// Counts a Secret among those that fail, for as long as it is held.
#[derive(Debug)]
struct Fails {
    among: Arc<Failing>,
    large: usize,
}

/// What was made of a Secret, and how much had to be read for it.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) result: Result<T, Obstacle>,
    pub(crate) bytes: usize,
}

/// Locked while it is read, so that all who ask for it wait for the same answer.
type Slot<T> = Arc<tokio::sync::Mutex<Option<Read<T>>>>;

#[derive(Debug)]
struct Read<T> {
    began: Instant,
    ended: Instant,
    taken: Taken<T>,
    fails: Option<Fails>,
    /// Whether a resource that names it has changed since.
    is_asked_for: bool,
}

impl<T> SecretCache<T> {
    /// Of at most so many Secrets.
    pub(crate) fn new(most: usize) -> Self {
        Self { slots: Mutex::new(Recent::new(most, UNUSED)), failing: Arc::default() }
    }

    /// What was read, as old as it may be.
    pub(crate) async fn read<U>(
        &self,
        age: Age,
        key: SecretKey,
        read: impl Future<Output = impl Into<Taken<T>>>,
        judge: impl Fn(&T) -> Result<U, Obstacle>,
    ) -> Result<U, Obstacle> {
        match age {
            Age::Kept => self.get(key, read, judge).await,
            Age::Anew => self.anew(key, read, judge).await,
        }
    }

    /// What was read a while ago at most.
    pub(crate) async fn get<U>(
        &self,
        key: SecretKey,
        read: impl Future<Output = impl Into<Taken<T>>>,
        judge: impl Fn(&T) -> Result<U, Obstacle>,
    ) -> Result<U, Obstacle> {
        let asked = Instant::now();
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        if let Some(known) = slot.as_mut() {
            let verdict = self.judged(known, &judge);
            // whoever waited for it takes it, however old it is when his turn comes
            if known.ended >= asked || known.ended.elapsed() < self.kept_for(known, verdict.is_ok()) {
                return verdict;
            }
        }
        self.take(&mut slot, read, &judge).await
    }

    /// What was read after this call: it replaces what was kept.
    async fn anew<U>(
        &self,
        key: SecretKey,
        read: impl Future<Output = impl Into<Taken<T>>>,
        judge: impl Fn(&T) -> Result<U, Obstacle>,
    ) -> Result<U, Obstacle> {
        let asked = Instant::now();
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        match slot.as_mut().filter(|known| known.began >= asked) {
            Some(known) => self.judged(known, &judge),
            None => self.take(&mut slot, read, &judge).await,
        }
    }

    async fn take<U>(
        &self,
        slot: &mut Option<Read<T>>,
        read: impl Future<Output = impl Into<Taken<T>>>,
        judge: &impl Fn(&T) -> Result<U, Obstacle>,
    ) -> Result<U, Obstacle> {
        let began = Instant::now();
        let taken = read.await.into();
        let read = Read { began, ended: Instant::now(), taken, fails: None, is_asked_for: false };
        self.judged(slot.insert(read), judge)
    }

    /// A resource that names it has changed, and whoever changed it may have put the Secret right: a large one that fails is
    /// read again as soon as any other.
    pub(crate) async fn asked_for(&self, key: &SecretKey) {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(key).map(Arc::clone);
        if let Some(slot) = slot
            && let Some(known) = slot.lock().await.as_mut()
        {
            known.is_asked_for = true;
        }
    }

    fn judged<U>(&self, known: &mut Read<T>, judge: &impl Fn(&T) -> Result<U, Obstacle>) -> Result<U, Obstacle> {
        let verdict = known.taken.result.as_ref().map_err(Obstacle::clone).and_then(judge);
        if verdict.is_err() {
            known.fails.get_or_insert_with(|| Fails::among(&self.failing, known.taken.bytes));
        }
        verdict
    }

    fn kept_for(&self, known: &Read<T>, good: bool) -> Duration {
        if good {
            KEPT
        } else if known.taken.bytes > LARGE && !known.is_asked_for {
            self.failing.large_kept_for()
        } else {
            self.failing.kept_for()
        }
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

impl Failing {
    fn kept_for(&self) -> Duration {
        let secrets = u32::try_from(self.secrets.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        FAILURE_SHARE.saturating_mul(secrets).clamp(FAILURE_KEPT, LONGEST_FAILURE)
    }

    fn large_kept_for(&self) -> Duration {
        let seconds = self.bytes.load(Ordering::Relaxed) / LARGE_SHARE;
        Duration::from_secs(seconds as u64).clamp(self.kept_for(), LONGEST_LARGE_FAILURE)
    }
}

impl Fails {
    fn among(failing: &Arc<Failing>, bytes: usize) -> Self {
        let large = if bytes > LARGE { bytes } else { 0 };
        failing.secrets.fetch_add(1, Ordering::Relaxed);
        failing.bytes.fetch_add(large, Ordering::Relaxed);
        Self { among: Arc::clone(failing), large }
    }
}

impl Drop for Fails {
    fn drop(&mut self) {
        self.among.secrets.fetch_sub(1, Ordering::Relaxed);
        self.among.bytes.fetch_sub(self.large, Ordering::Relaxed);
    }
}

/// Where nothing large is read.
impl<T> From<Result<T, Obstacle>> for Taken<T> {
    fn from(result: Result<T, Obstacle>) -> Self {
        Self { result, bytes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

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
        let kept = SecretCache::<u32>::new(10);
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
        let kept = SecretCache::<u32>::new(10);
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
        let kept = SecretCache::<u32>::new(10);
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
        let kept = SecretCache::<u32>::new(10);
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
        let kept = SecretCache::<u32>::new(4000);
        let fail = |range: std::ops::Range<u32>| {
            let kept = &kept;
            async move {
                for number in range {
                    let _ = kept.get(key(&number.to_string()), async { Err(missing()) }, as_read).await;
                }
            }
        };
        fail(0..500).await;
        assert_eq!(kept.failing.kept_for(), Duration::from_secs(10));
        fail(500..9000).await;
        assert_eq!(kept.failing.kept_for(), LONGEST_FAILURE);
        tokio::time::advance(Duration::from_secs(300)).await;
        let _ = kept.get(key("another"), async { Ok(1) }, as_read).await;
        assert_eq!(kept.failing.kept_for(), FAILURE_KEPT, "nobody names them any more");
    }

    /// Holds B14: sixty Secrets of 1 MiB, each too large for what it is, were read twelve times a second, 17 MB of it, for ever.
    #[tokio::test(start_paused = true)]
    async fn large_secrets_that_fail_are_read_at_a_bounded_rate_until_somebody_asks_for_one() {
        let kept = SecretCache::<u32>::new(4000);
        let read = AtomicUsize::new(0);
        let ask = async |number: usize, bytes: usize| {
            let reading = async {
                read.fetch_add(bytes, Ordering::Relaxed);
                Taken { result: Err(missing()), bytes }
            };
            kept.get(key(&number.to_string()), reading, as_read).await
        };
        let many = async |from: usize, secrets: usize, bytes: usize, minutes: usize| {
            read.store(0, Ordering::Relaxed);
            for _ in 0..minutes * 12 {
                for number in from..from + secrets {
                    assert!(ask(number, bytes).await.is_err());
                }
                tokio::time::advance(Duration::from_secs(5)).await;
            }
            read.load(Ordering::Relaxed)
        };
        let large = 1 << 20;
        let taken = many(0, 60, large, 30).await;
        assert!(taken <= 60 * large + 30 * 60 * LARGE_SHARE, "{} MiB", taken >> 20);
        assert_eq!(many(100, 1, 1000, 1).await, 12 * 1000, "others are looked at as before");
        read.store(0, Ordering::Relaxed);
        kept.asked_for(&key("7")).await;
        for number in 0..60 {
            assert!(ask(number, large).await.is_err());
        }
        tokio::time::advance(FAILURE_KEPT).await;
        for number in 0..60 {
            assert!(ask(number, large).await.is_err());
        }
        assert_eq!(read.load(Ordering::Relaxed), large, "the one that was asked for, once");
    }
}
