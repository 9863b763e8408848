//! What was made of Secrets, kept for a while: one read for all who ask at once, and what failed them kept for less long.
//!
//! Whoever asks judges what was read by his own resource. What is refused is read again as soon as what is missing: somebody
//! is about to put it right. The more Secrets fail somebody, the longer each of their failures is kept; and the more there is to
//! read of large ones, good or not, the longer each of them is, until a resource that names one changes. What is not remembered is
//! read at a pace, and so is what is large ([`failing`]).

mod failing;

pub(crate) use failing::FailingReads;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kagiban_crds::resource::BlockedBy;
use tokio::time::Instant;

use crate::decide::{Obstacle, Resource};
use crate::recent::Recent;
use failing::{Counted, LONGEST_LARGE, Ticket, is_large};

/// For how long a Secret that cannot be read, because the API server could not tell or because it is not its turn, is taken to be as it
/// was. After that its resources say so: an API server that cannot decrypt it gives everything but that.
const UNREAD_TOLD_AFTER: Duration = Duration::from_secs(300);
/// How long what was read is used. A new CA or password is drift, and what is kept is read anew before drift is acted on.
pub(crate) const KEPT: Duration = Duration::from_secs(30);
/// What nobody has named for so long is forgotten; not before a failure may be forgotten, or it would be read anew for that.
const UNUSED: Duration = LONGEST_LARGE;

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
    slots: Mutex<Recent<Slot<T>>>,
    failing: Arc<FailingReads>,
    /// What one that cannot be read keeps from being done.
    blocks: BlockedBy,
}

/// What was made of a Secret, and how much had to be read for it.
#[derive(Debug)]
pub(crate) struct CachedRead<T> {
    pub(crate) result: Result<T, Obstacle>,
    pub(crate) bytes: usize,
}

/// What is kept of Secrets.
pub(crate) trait Keep {
    /// How much of a cache it takes beside its place there, in places.
    fn places(&self) -> usize {
        0
    }
}

/// Locked while it is read, so that all who ask for it wait for the same answer.
type Slot<T> = Arc<tokio::sync::Mutex<Option<Read<T>>>>;

#[derive(Debug)]
struct Read<T> {
    began: Instant,
    ended: Instant,
    taken: CachedRead<T>,
    fails: bool,
    /// Nothing where it neither fails anybody nor is large.
    counted: Option<Counted>,
    /// Whether a resource that names it has changed since.
    is_asked_for: bool,
    /// Since when it could not be read, at each try.
    unread_since: Option<Instant>,
}

impl<T: Keep> SecretCache<T> {
    /// With so many places: at most so many Secrets. Those that fail count among all that do.
    pub(crate) fn new(most: usize, blocks: BlockedBy, failing: Arc<FailingReads>) -> Self {
        Self { slots: Mutex::new(Recent::new(most, UNUSED)), failing, blocks }
    }

    /// What was read, as old as it may be.
    pub(crate) async fn read<U>(
        &self,
        age: Age,
        key: SecretKey,
        read: impl Future<Output = impl Into<CachedRead<T>>>,
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
        read: impl Future<Output = impl Into<CachedRead<T>>>,
        judge: impl Fn(&T) -> Result<U, Obstacle>,
    ) -> Result<U, Obstacle> {
        let asked = Instant::now();
        let slot = self.slot(&key);
        let mut slot = slot.lock().await;
        if let Some(known) = slot.as_mut() {
            let verdict = self.judged(&key, known, &judge);
            // Whoever waited for it takes it, however old it is when he has the lock
            if known.ended >= asked || known.ended.elapsed() < self.kept_for(&key, known, verdict.is_ok()) {
                return verdict;
            }
        }
        self.take(&key, &mut slot, read, &judge).await
    }

    /// What was read after this call: it replaces what was kept.
    async fn anew<U>(
        &self,
        key: SecretKey,
        read: impl Future<Output = impl Into<CachedRead<T>>>,
        judge: impl Fn(&T) -> Result<U, Obstacle>,
    ) -> Result<U, Obstacle> {
        let asked = Instant::now();
        let slot = self.slot(&key);
        let mut slot = slot.lock().await;
        match slot.as_mut().filter(|known| known.began >= asked) {
            Some(known) => self.judged(&key, known, &judge),
            None => self.take(&key, &mut slot, read, &judge).await,
        }
    }

    /// What was good for all so far, and small, is read at once; what failed somebody, is large or is not known, when the pace allows it.
    async fn take<U>(
        &self,
        key: &SecretKey,
        slot: &mut Option<Read<T>>,
        read: impl Future<Output = impl Into<CachedRead<T>>>,
        judge: &impl Fn(&T) -> Result<U, Obstacle>,
    ) -> Result<U, Obstacle> {
        let namespace = key.0.as_str();
        let ticket = match slot {
            Some(known) if !known.fails && !is_large(known.taken.bytes) => None,
            Some(known) => match self.ticket(key, !is_large(known.taken.bytes)).await {
                Ok(ticket) => Some(ticket),
                // What is told of it does not change while it waits for the pace
                Err(not_yet) => {
                    let not_yet = not_yet.unread(!is_told(&mut known.unread_since, Instant::now()));
                    return self.judged(key, known, judge).and(Err(not_yet));
                }
            },
            None => Some(self.ticket(key, false).await?),
        };
        let began = Instant::now();
        let mut taken: CachedRead<T> = read.await.into();
        let now = Instant::now();
        let mut unread_since = slot.as_ref().and_then(|known| known.unread_since);
        match &mut taken.result {
            Err(obstacle) if obstacle.is_unread => {
                if unread_since.is_none() {
                    tracing::warn!(namespace, "{}; until then nothing follows from it", obstacle.message);
                }
                obstacle.is_unread = !is_told(&mut unread_since, now);
            }
            Ok(_) | Err(_) => unread_since = None,
        }
        let places = taken.result.as_ref().map_or(0, Keep::places);
        self.failing.was_read(namespace, taken.bytes, now);
        let counted = is_large(taken.bytes).then(|| self.failing.count(namespace, false, taken.bytes));
        let read = Read { began, ended: now, taken, fails: false, counted, is_asked_for: false, unread_since };
        let verdict = self.judged(key, slot.insert(read), judge);
        match (&verdict, ticket) {
            (Ok(_), Some(ticket)) => ticket.give_back(now),
            (Err(_), None) => self.failing.failed(namespace, now),
            (Ok(_), None) | (Err(_), Some(_)) => {}
        }
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).resize(&key.0, &key.1, 1 + places);
        verdict
    }

    async fn ticket(&self, (namespace, name): &SecretKey, is_small: bool) -> Result<Ticket, Obstacle> {
        let Some(ticket) = self.failing.ticket(namespace, is_small, Instant::now()) else {
            let message = format!(
                "Secret {name} was not read yet: so many Secrets of this namespace are missing, large, or not what they should be, \
                 that each waits for its turn"
            );
            return Err(Obstacle::new(self.blocks, message));
        };
        tokio::time::sleep(ticket.wait).await;
        Ok(ticket)
    }

    /// A resource that names it has changed, and whoever changed it may have put the Secret right: a large one that fails is
    /// read again as soon as any other.
    pub(crate) async fn asked_for(&self, key: &SecretKey) {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(&key.0, &key.1).map(Arc::clone);
        if let Some(slot) = slot
            && let Some(known) = slot.lock().await.as_mut()
        {
            known.is_asked_for = true;
        }
    }

    fn judged<U>(
        &self,
        key: &SecretKey,
        known: &mut Read<T>,
        judge: &impl Fn(&T) -> Result<U, Obstacle>,
    ) -> Result<U, Obstacle> {
        let verdict = known.taken.result.as_ref().map_err(Obstacle::clone).and_then(judge);
        if verdict.is_err() && !known.fails {
            known.fails = true;
            // Not counted twice while the new one takes the place of the old one
            drop(known.counted.take());
            known.counted = Some(self.failing.count(&key.0, true, known.taken.bytes));
        }
        verdict
    }

    fn kept_for(&self, (namespace, _): &SecretKey, known: &Read<T>, good: bool) -> Duration {
        let is_large = is_large(known.taken.bytes) && !known.is_asked_for;
        match (good, is_large) {
            (false, _) => self.failing.kept_for(namespace, is_large),
            (true, true) => self.failing.kept_for(namespace, true).max(KEPT),
            (true, false) => KEPT,
        }
    }

    fn slot(&self, (namespace, name): &SecretKey) -> Slot<T> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(namespace, name) {
            return Arc::clone(slot);
        }
        let slot = Slot::default();
        slots.put(namespace, name, Arc::clone(&slot));
        slot
    }
}

/// Whether it has gone on for so long that it is told. It begins now, unless it has begun before.
fn is_told(since: &mut Option<Instant>, now: Instant) -> bool {
    now.duration_since(*since.get_or_insert(now)) >= UNREAD_TOLD_AFTER
}

/// Where nothing large is read.
impl<T> From<Result<T, Obstacle>> for CachedRead<T> {
    fn from(result: Result<T, Obstacle>) -> Self {
        Self { result, bytes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    use futures::FutureExt as _;

    use super::failing::{FAILURE_KEPT, LONGEST_FAILURE};
    use super::*;

    impl Keep for u32 {}

    fn cache(most: usize) -> SecretCache<u32> {
        SecretCache::new(most, BlockedBy::SecretUnavailable, Arc::default())
    }

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
        let kept = cache(10);
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
        let kept = cache(10);
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
        let kept = cache(10);
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
        let kept = cache(10);
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
        let kept = cache(4000);
        let fail = |range: std::ops::Range<u32>| {
            let kept = &kept;
            async move {
                for number in range {
                    let _ = kept.get(key(&number.to_string()), async { Err(missing()) }, as_read).await;
                }
            }
        };
        fail(0..500).await;
        assert_eq!(kept.failing.kept_for("fleet", false), Duration::from_secs(10));
        assert_eq!(kept.failing.kept_for("other", false), FAILURE_KEPT, "who has none of them does not wait for them");
        fail(500..9000).await;
        assert_eq!(kept.failing.kept_for("fleet", false), LONGEST_FAILURE);
        tokio::time::advance(UNUSED * 2).await;
        let _ = kept.get(key("another"), async { Ok(1) }, as_read).await;
        assert_eq!(kept.failing.kept_for("fleet", false), FAILURE_KEPT, "nobody names them any more");
    }

    /// Holds B13: 700 resources that each named a missing Secret, in a cache of 512, had each read at every look: 140 a second.
    #[tokio::test(start_paused = true)]
    async fn more_failing_secrets_than_are_remembered_are_read_no_faster_than_fewer() {
        let kept = cache(512);
        let (reads, began) = (AtomicU32::new(0), Instant::now());
        let looks = (0..700).map(|number: u32| {
            let (kept, reads) = (&kept, &reads);
            async move {
                while began.elapsed() < Duration::from_secs(300) {
                    let read = fails_after(Duration::from_millis(3), reads);
                    assert!(kept.get(key(&number.to_string()), read, as_read).await.is_err());
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            }
        });
        futures::future::join_all(looks).await;
        let reads = reads.into_inner();
        assert!(reads <= 250 + 50 * 310, "{reads}");
        assert!(reads >= 700 * 10, "and none of them is left out: {reads}");
    }

    /// Holds B13: a neighbour's missing Secrets keep nobody's from being read, and what was good is not held up by what fails.
    #[tokio::test(start_paused = true)]
    async fn who_waits_for_his_turn_holds_up_no_other_namespace_and_nothing_that_is_good() {
        let kept = cache(4000);
        let reads = AtomicU32::new(0);
        assert_eq!(kept.get(key("good"), async { Ok(1) }, as_read).await, Ok(1));
        let fail =
            |number: u32| kept.get(key(&number.to_string()), fails_after(Duration::from_millis(3), &reads), as_read);
        let failed = futures::future::join_all((0..2000).map(fail)).await;
        let not_yet =
            failed.iter().filter(|answer| answer.as_ref().is_err_and(|why| why.message.contains("not read yet")));
        assert_eq!(u32::try_from(not_yet.count()), Ok(2000 - reads.load(Ordering::Relaxed)));
        assert!(reads.load(Ordering::Relaxed) <= 502, "{reads:?}");
        let asked = Instant::now();
        let _ = futures::future::join_all((0..2000).map(fail)).now_or_never();
        assert_eq!(kept.anew(key("good"), async { Ok(2) }, as_read).await, Ok(2));
        let other = ("other".to_owned(), "new".to_owned());
        assert_eq!(kept.get(other, async { Ok(3) }, as_read).await, Ok(3));
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }

    /// Holds B1: a resource says of a Secret that the API server does not give for minutes, and of no shorter time.
    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_is_told_after_a_while_and_counts_anew_once_it_was_read() {
        let kept = cache(10);
        let unread = async || {
            let read = async { Err(missing().unread(true)) };
            kept.anew(key("ca"), read, as_read).await.expect_err("it is not given").is_unread
        };
        for _ in 0..2 {
            let began = Instant::now();
            while began.elapsed() < UNREAD_TOLD_AFTER {
                assert!(unread().await, "{:?}", began.elapsed());
                tokio::time::advance(Duration::from_secs(10)).await;
            }
            assert!(!unread().await);
            tokio::time::advance(Duration::from_secs(10)).await;
            let missing = kept.anew(key("ca"), async { Err(missing()) }, as_read).await;
            assert!(!missing.expect_err("it is not there").is_unread, "the API server has said so");
            tokio::time::advance(Duration::from_secs(10)).await;
        }
    }

    /// Holds B14: sixty Secrets of 1 MiB, each too large for what it is, were read twelve times a second, 17 MB of it, for ever.
    #[tokio::test(start_paused = true)]
    async fn large_secrets_that_fail_are_read_at_a_bounded_rate_until_somebody_asks_for_one() {
        let kept = cache(4000);
        let read = AtomicUsize::new(0);
        let ask = async |number: usize, bytes: usize| {
            let reading = async {
                read.fetch_add(bytes, Ordering::Relaxed);
                CachedRead { result: Err(missing()), bytes }
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
        let began = Instant::now();
        let taken = many(0, 60, large, 30).await;
        let most = 60 * large as u64 + began.elapsed().as_secs() * (256 << 10);
        assert!(taken as u64 <= most, "{} MiB in {:?}", taken >> 20, began.elapsed());
        assert_eq!(many(100, 1, 1000, 1).await, 12 * 1000, "others are looked at as before");
        tokio::time::advance(Duration::from_secs(300)).await;
        many(0, 60, large, 1).await;
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
