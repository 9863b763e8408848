//! At what pace Secrets are read that fail somebody (those that are missing, refused or not what they should be), and large ones,
//! good or not.
//!
//! Each namespace has a pace of its own, and all of them share one: whatever somebody writes in his namespace, however many
//! Secrets his resources name and under how many keys, the API server is asked no more often for it, and other namespaces wait no
//! longer. A read of a small one that turns out good costs nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between reads of one namespace: fifty a second.
const EVERY: Duration = Duration::from_millis(20);
/// Between reads of all namespaces, of which each has an equal part: two hundred a second.
const EVERY_IN_ALL: Duration = Duration::from_millis(5);
/// What has gathered while nothing failed: 250 reads at once, as many as passes may run.
const BURST: Duration = Duration::from_secs(5);
/// A Secret with more than this is large: what is taken of one hardly ever has as much, and anybody may write 1 MiB beside it.
const LARGE: usize = 32 << 10;
/// Bytes of large ones a second in one namespace.
const LARGE_RATE: u64 = 512 << 10;
/// Bytes of large ones a second in all namespaces, of which each has an equal part.
const LARGE_RATE_IN_ALL: u64 = 2 << 20;
/// The same as [`BURST`], of bytes: 4 MiB.
const LARGE_BURST: Duration = Duration::from_secs(8);
/// Whoever would have to wait longer for a read is told so. He is in the middle of a pass.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long a failure is used: shorter than the wait of those who look for the Secret again.
pub(super) const FAILURE_KEPT: Duration = Duration::from_secs(2);
/// However many fail, one that was put right is seen after this time, as far as the pace allows, and unless it is large.
pub(super) const LONGEST_FAILURE: Duration = Duration::from_secs(60);
/// The same for large ones, good or not.
pub(super) const LONGEST_LARGE: Duration = Duration::from_secs(900);
/// Of the pace for large ones, that those are read at which are remembered. The rest is for the others.
const PART_FOR_REMEMBERED: usize = 2;

/// The failing Secrets of all namespaces, whatever they are for.
#[derive(Debug, Default)]
pub(crate) struct FailingReads(Mutex<HashMap<String, Namespace>>);

#[derive(Debug, Default)]
struct Namespace {
    /// Secrets that are known to fail somebody.
    secrets: usize,
    /// Bytes of the large ones that are known, good or not.
    large_bytes: usize,
    reads: Debt,
    /// The same of the bytes of large ones.
    bytes: Debt,
}

/// What was read and is not made up for by time yet.
#[derive(Debug, Default)]
struct Debt {
    /// When time will have made up for all of it.
    paid: Option<Instant>,
    /// How much of it can still turn out to be no debt. What time has made up for is not given back: it would be taken from what
    /// others have read since.
    open: Duration,
}

/// One read. It counts as one that fails unless it is told to be good.
#[derive(Debug)]
pub(super) struct Ticket {
    among: Arc<FailingReads>,
    namespace: String,
    /// How long to wait before the read.
    pub(super) wait: Duration,
    cost: Duration,
}

/// Counts a Secret among those that fail or are large, for as long as it is held.
#[derive(Debug)]
pub(super) struct Counted {
    among: Arc<FailingReads>,
    namespace: String,
    fails: bool,
    large: usize,
}

impl FailingReads {
    /// The right to read one that may fail; nothing if the wait for it is too long. `is_small` if it was when it was read last.
    pub(super) fn ticket(self: &Arc<Self>, namespace: &str, is_small: bool, now: Instant) -> Option<Ticket> {
        let mut all = self.lock();
        let cost = every(active(&mut all, namespace, now));
        let of_namespace = all.entry(namespace.to_owned()).or_default();
        let of_bytes = if is_small { Duration::ZERO } else { of_namespace.bytes.left(now) };
        let of_reads = of_namespace.reads.left(now);
        let wait = of_reads.saturating_sub(BURST).max(of_bytes.saturating_sub(LARGE_BURST));
        if wait > LONGEST_WAIT {
            return None;
        }
        of_namespace.reads.add(cost, now);
        of_namespace.reads.open += cost;
        drop(all);
        Some(Ticket { among: Arc::clone(self), namespace: namespace.to_owned(), wait, cost })
    }

    /// One was read that fails, without a ticket, since it had not failed before.
    pub(super) fn failed(&self, namespace: &str, now: Instant) {
        let mut all = self.lock();
        let cost = every(active(&mut all, namespace, now));
        all.entry(namespace.to_owned()).or_default().reads.add(cost, now);
    }

    /// So many bytes were read, for whatever they were good.
    pub(super) fn was_read(&self, namespace: &str, bytes: usize, now: Instant) {
        if is_large(bytes) {
            let mut all = self.lock();
            let cost = time_for(bytes, active(&mut all, namespace, now));
            all.entry(namespace.to_owned()).or_default().bytes.add(cost, now);
        }
    }

    /// How long the failure of one is used, which is so large: longer, the more there are.
    pub(super) fn kept_for(&self, namespace: &str, is_large: bool) -> Duration {
        let mut all = self.lock();
        let active = active(&mut all, namespace, Instant::now());
        let Some(of_namespace) = all.get(namespace) else { return FAILURE_KEPT };
        let secrets = u32::try_from(of_namespace.secrets).unwrap_or(u32::MAX);
        let kept = every(active).saturating_mul(secrets).clamp(FAILURE_KEPT, LONGEST_FAILURE);
        if is_large {
            let bytes = of_namespace.large_bytes.saturating_mul(PART_FOR_REMEMBERED);
            time_for(bytes, active).clamp(kept, LONGEST_LARGE)
        } else {
            kept
        }
    }

    /// Counts one of so many bytes among those that fail, if it does, and among the large ones, if it is.
    pub(super) fn count(self: &Arc<Self>, namespace: &str, fails: bool, bytes: usize) -> Counted {
        let large = if is_large(bytes) { bytes } else { 0 };
        let mut all = self.lock();
        let of_namespace = all.entry(namespace.to_owned()).or_default();
        of_namespace.secrets += usize::from(fails);
        of_namespace.large_bytes += large;
        Counted { among: Arc::clone(self), namespace: namespace.to_owned(), fails, large }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Namespace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) const fn is_large(bytes: usize) -> bool {
    bytes > LARGE
}

impl Debt {
    fn left(&self, now: Instant) -> Duration {
        self.paid.map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now))
    }

    fn add(&mut self, cost: Duration, now: Instant) {
        self.settle(now);
        self.paid = Some(now + self.left(now) + cost);
    }

    /// Takes so much of it, as far as time has not made up for it, out of what is open: it is a debt for good, or none at all.
    fn close(&mut self, cost: Duration, is_owed: bool, now: Instant) {
        self.settle(now);
        let open = cost.min(self.open);
        self.open -= open;
        if !is_owed {
            self.paid = self.paid.and_then(|paid| paid.checked_sub(open));
        }
    }

    fn settle(&mut self, now: Instant) {
        self.open = self.open.min(self.left(now));
    }
}

impl Ticket {
    /// It was not one that fails.
    pub(super) fn give_back(mut self, now: Instant) {
        self.close(false, now);
    }

    fn close(&mut self, is_owed: bool, now: Instant) {
        if let Some(of_namespace) = self.among.lock().get_mut(&self.namespace) {
            of_namespace.reads.close(self.cost, is_owed, now);
        }
        self.cost = Duration::ZERO;
    }
}

/// What was not given back has failed, or nobody has waited for it.
impl Drop for Ticket {
    fn drop(&mut self) {
        self.close(true, Instant::now());
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(of_namespace) = self.among.lock().get_mut(&self.namespace) {
            of_namespace.secrets -= usize::from(self.fails);
            of_namespace.large_bytes -= self.large;
        }
    }
}

impl Namespace {
    fn is_active(&self, now: Instant) -> bool {
        let owes = |debt: &Debt| !debt.left(now).is_zero();
        self.secrets > 0 || self.large_bytes > 0 || owes(&self.reads) || owes(&self.bytes)
    }
}

/// How many namespaces share the pace, this one among them. The others are forgotten.
fn active(all: &mut HashMap<String, Namespace>, namespace: &str, now: Instant) -> u32 {
    all.retain(|_, other| other.is_active(now));
    let others = all.len() - usize::from(all.contains_key(namespace));
    u32::try_from(others + 1).unwrap_or(u32::MAX)
}

fn every(active: u32) -> Duration {
    EVERY.max(EVERY_IN_ALL.saturating_mul(active))
}

fn time_for(bytes: usize, active: u32) -> Duration {
    let rate = LARGE_RATE.min((LARGE_RATE_IN_ALL / u64::from(active.max(1))).max(1));
    Duration::from_millis(u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1000) / rate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Asks for reads of Secrets that fail, by so many at once, as often as it can.
    fn reads_in(namespaces: &[(&str, usize)], seconds: u64, bytes: usize) -> HashMap<String, usize> {
        let (reads, start) = (Arc::new(FailingReads::default()), Instant::now());
        let mut begun: HashMap<String, usize> = HashMap::new();
        // Who waits asks no second time meanwhile
        let mut waiting: Vec<_> = namespaces.iter().flat_map(|(name, many)| vec![(start, *name); *many]).collect();
        let end = start + Duration::from_secs(seconds);
        loop {
            waiting.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
            let Some((at, name)) = waiting.pop() else { return begun };
            if at >= end || begun.values().sum::<usize>() > 100_000 {
                return begun;
            }
            let ticket = reads.ticket(name, false, at);
            let next = match &ticket {
                Some(ticket) => {
                    let read = at + ticket.wait;
                    if read < end {
                        *begun.entry(name.to_owned()).or_default() += 1;
                    }
                    reads.was_read(name, bytes, read);
                    read
                }
                None => at + Duration::from_millis(500),
            };
            waiting.push((next + Duration::from_millis(1), name));
        }
    }

    /// Holds B13: 700 resources that each named a missing Secret caused 140 reads a second, where fifty were promised.
    #[test]
    fn no_number_of_failing_secrets_is_read_faster_than_the_pace_of_its_namespace() {
        for many in [1, 20, 200] {
            let begun = reads_in(&[("fleet", many)], 60, 0)["fleet"];
            assert!(begun <= 250 + 50 * 60 + 1, "{many}: {begun}");
            assert!(begun >= 50 * 60 || many == 1, "{many}: {begun}");
        }
    }

    /// Holds B14: Secrets of 1 MiB under ever different keys passed the bound on what is read of large ones.
    #[test]
    fn no_number_of_large_secrets_is_read_faster_than_their_pace() {
        let begun = reads_in(&[("fleet", 8)], 120, 1 << 20)["fleet"];
        let most = (4 << 20) + 120 * 512 * 1024;
        // Those that were let in together are not known to be large yet
        assert!((begun - 8) << 20 <= most, "{begun} MiB");
    }

    #[test]
    fn namespaces_share_the_pace_of_all_equally_and_none_waits_for_the_others() {
        let many: Vec<_> = (0..10).map(|number| format!("noisy-{number}")).collect();
        let mut namespaces: Vec<_> = many.iter().map(|name| (name.as_str(), 50)).collect();
        namespaces.push(("fleet", 2));
        let begun = reads_in(&namespaces, 60, 0);
        let all: usize = begun.values().sum();
        assert!(all <= 11 * 250 + 200 * 60 + 11, "{all}");
        for (name, reads) in &begun {
            let part = 200 * 60 / 11;
            assert!(*reads >= part - 50, "{name}: {reads} of {part}");
        }
    }

    #[test]
    fn who_would_wait_for_long_is_told_so_and_what_was_good_is_given_back() {
        let (reads, now) = (Arc::new(FailingReads::default()), Instant::now());
        let taken: Vec<_> = std::iter::from_fn(|| reads.ticket("fleet", false, now)).take(2000).collect();
        assert_eq!(taken.len(), 250 + 250 + 1, "at once, and within the longest wait");
        assert!(taken.iter().all(|ticket| ticket.wait <= LONGEST_WAIT));
        assert!(reads.ticket("other", false, now).is_some_and(|ticket| ticket.wait.is_zero()), "nobody else waits");
        for ticket in taken {
            ticket.give_back(now);
        }
        assert!(reads.ticket("fleet", false, now).is_some_and(|ticket| ticket.wait.is_zero()));
    }

    #[test]
    fn a_secret_that_was_small_does_not_wait_for_the_large_ones() {
        let (reads, now) = (Arc::new(FailingReads::default()), Instant::now());
        for _ in 0..20 {
            reads.was_read("fleet", 1 << 20, now);
        }
        assert!(reads.ticket("fleet", false, now).is_none());
        assert!(reads.ticket("fleet", true, now).is_some_and(|ticket| ticket.wait.is_zero()));
        let counted = reads.count("fleet", true, 60 << 20);
        assert_eq!(reads.kept_for("fleet", true), Duration::from_secs(240), "half of the pace");
        assert_eq!(reads.kept_for("fleet", false), FAILURE_KEPT);
        drop(counted);
        assert_eq!(reads.kept_for("fleet", true), FAILURE_KEPT);
    }

    #[test]
    fn nothing_is_remembered_of_a_namespace_in_which_nothing_fails() {
        let (reads, now) = (Arc::new(FailingReads::default()), Instant::now());
        drop(reads.count("a", true, 10));
        reads.was_read("b", 1 << 20, now);
        assert!(reads.ticket("c", true, now + Duration::from_secs(60)).is_some());
        assert_eq!(reads.lock().keys().collect::<Vec<_>>(), ["c"]);
    }

    /// Holds B13: reads of good Secrets that took long were given back when time had made up for them, so that as many others were
    /// read for nothing.
    #[test]
    fn what_time_has_made_up_for_is_not_given_back() {
        let (reads, start) = (Arc::new(FailingReads::default()), Instant::now());
        let slow: Vec<_> = (0..250).filter_map(|_| reads.ticket("fleet", true, start)).collect();
        let later = start + BURST;
        let fail = || std::iter::from_fn(|| reads.ticket("fleet", true, later).filter(|ticket| ticket.wait.is_zero()));
        let most = fail().take(1000).count();
        assert_eq!((slow.len(), most), (250, 251));
        for ticket in slow {
            ticket.give_back(later);
        }
        assert_eq!(fail().take(1000).count(), 0);
    }

    proptest! {
        /// Whatever is asked for, and whenever it turns out to be good or is given up: what fails is read no faster than the pace.
        #[test]
        fn the_pace_holds_in_every_window(
            asked in proptest::collection::vec((0..2usize, 0..30u64, 0..4u8, 0..3000u64), 1..1000),
        ) {
            let (reads, start) = (Arc::new(FailingReads::default()), Instant::now());
            let (mut now, mut failed, mut under_way) = (start, vec![Vec::new(); 2], Vec::new());
            for (number, pause, outcome, takes) in asked {
                now += Duration::from_millis(pause);
                for (_, ticket) in under_way.extract_if(.., |(end, _): &mut (Instant, Ticket)| *end <= now) {
                    ticket.give_back(now);
                }
                let Some(mut ticket) = reads.ticket(&number.to_string(), true, now) else { continue };
                let begins = now + ticket.wait;
                if outcome == 0 {
                    under_way.push((begins + Duration::from_millis(takes), ticket));
                } else {
                    failed[number].push(begins);
                    ticket.close(true, now);
                }
            }
            for times in &mut failed {
                times.sort();
                for (at, first) in times.iter().enumerate() {
                    for (count, last) in (1..).zip(&times[at..]) {
                        let most = (*last - *first + BURST).as_millis() / EVERY.as_millis() + 1;
                        prop_assert!(count <= most, "{} reads in {:?}", count, *last - *first);
                    }
                }
            }
        }
    }
}
