//! What is to become of resources that no file names any more. A directory may be half checked out, or not mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::contents::Key;

/// For so long a resource must be gone before it is deleted: longer than a tool takes to put one file in another's place.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// So many at once are deleted without a question, or a fifth of all if that is more.
const FEW: usize = 3;
const PART: usize = 5;

/// Since when each is missed.
#[derive(Debug, Default)]
pub(super) struct Missing {
    since: BTreeMap<Key, Instant>,
    /// Whether so many have gone at once that a person must say something.
    holds: bool,
}

/// What is to be done now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) delete: Vec<Key>,
    /// Too many at once: a person is to say that they are meant to go.
    pub(super) held: usize,
    /// Some are gone for too short a time.
    pub(super) waits: bool,
}

/// What is held, and what of it a person has confirmed since: the follower tells the one and asks for the other.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster::standalone) struct HeldDeletions(Arc<Mutex<Asked>>);

#[derive(Debug, Default)]
struct Asked {
    held: BTreeSet<Key>,
    confirmed: BTreeSet<Key>,
}

impl HeldDeletions {
    /// What is held now is meant to go, and nothing that goes later. How much it is.
    pub(in crate::cluster::standalone) fn confirm(&self) -> usize {
        let mut asked = self.asked();
        let held = std::mem::take(&mut asked.held);
        let count = held.len();
        asked.confirmed.extend(held);
        count
    }

    pub(super) fn hold(&self, held: BTreeSet<Key>) {
        self.asked().held = held;
    }

    pub(super) fn is_confirmed(&self) -> bool {
        !self.asked().confirmed.is_empty()
    }

    pub(super) fn take_confirmed(&self) -> BTreeSet<Key> {
        std::mem::take(&mut self.asked().confirmed)
    }

    /// A panic elsewhere leaves the names as they were.
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Missing {
    /// `kept` is what is stored and not yet being deleted, `declared` how many resources the files name, and `gone` those of `kept`
    /// that none does. `confirmed` are those of which a person has said that they are meant to be.
    pub(super) fn judge(
        &mut self,
        kept: usize,
        declared: usize,
        gone: &BTreeSet<Key>,
        confirmed: &BTreeSet<Key>,
        now: Instant,
    ) -> Verdict {
        self.since.retain(|key, _| gone.contains(key));
        for key in gone {
            self.since.entry(key.clone()).or_insert(now);
        }
        if gone.is_empty() {
            self.holds = false;
            return Verdict::default();
        }
        let meant: Vec<_> = gone.intersection(confirmed).cloned().collect();
        if !meant.is_empty() {
            // What has gone since is judged by itself
            (self.since, self.holds) = (BTreeMap::new(), false);
            return Verdict { waits: meant.len() < gone.len(), delete: meant, held: 0 };
        }
        // Somebody puts them back, one after another, or says that they are meant to go: that few are left says neither
        if self.holds || declared == 0 || gone.len() > FEW.max(kept / PART) {
            self.holds = true;
            return Verdict { held: gone.len(), ..Verdict::default() };
        }
        let is_due = |since: &Instant| now.saturating_duration_since(*since) >= GRACE;
        let delete: Vec<_> = self.since.iter().filter(|(_, since)| is_due(since)).map(|(key, _)| key.clone()).collect();
        let waits = delete.len() < gone.len();
        self.since.retain(|_, since| !is_due(since));
        Verdict { delete, held: 0, waits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: usize) -> BTreeSet<Key> {
        (0..count).map(|index| ("fleet".to_owned(), format!("a{index}"))).collect()
    }

    #[test]
    fn few_are_deleted_after_a_while_and_one_that_comes_back_is_not() {
        let (mut missing, start) = (Missing::default(), Instant::now());
        let first = missing.judge(10, 8, &keys(2), &BTreeSet::new(), start);
        assert_eq!(first, Verdict { waits: true, ..Verdict::default() });
        assert_eq!(missing.judge(10, 9, &keys(1), &BTreeSet::new(), start + GRACE / 2).delete, []);
        let again = missing.judge(10, 8, &keys(2), &BTreeSet::new(), start + GRACE);
        assert_eq!((again.delete.len(), again.waits), (1, true), "the other was there in between");
    }

    /// As a slow mount or checkout brings them.
    #[test]
    fn what_is_held_stays_so_while_it_comes_back_one_after_another() {
        let (mut missing, start) = (Missing::default(), Instant::now());
        let none = BTreeSet::new();
        for (gone, after) in [(40, 0), (39, 14), (20, 15), (3, 16), (1, 60)] {
            let verdict = missing.judge(40, 40 - gone, &keys(gone), &none, start + Duration::from_secs(after));
            assert_eq!(verdict, Verdict { held: gone, ..Verdict::default() });
        }
        assert_eq!(missing.judge(40, 40, &none, &none, start + GRACE * 7), Verdict::default());
        let later = missing.judge(40, 39, &keys(1), &none, start + GRACE * 8);
        assert_eq!(later, Verdict { waits: true, ..Verdict::default() }, "that one was meant");
    }

    #[test]
    fn many_at_once_and_all_of_them_are_held_until_a_person_confirms() {
        let late = Instant::now() + GRACE;
        for (kept, declared, gone, held) in [
            (10, 6, 4, 4),
            (10, 7, 3, 0),
            (100, 80, 20, 0),
            (100, 79, 21, 21),
            (1, 0, 1, 1),
            (3, 0, 3, 3),
            (0, 0, 0, 0),
        ] {
            let mut missing = Missing::default();
            missing.judge(kept, declared, &keys(gone), &BTreeSet::new(), late - GRACE);
            let verdict = missing.judge(kept, declared, &keys(gone), &BTreeSet::new(), late);
            let deleted = if held == 0 { gone } else { 0 };
            assert_eq!((verdict.held, verdict.delete.len()), (held, deleted), "{gone} of {kept}");
            let confirmed = missing.judge(kept, declared, &keys(gone), &keys(gone), late);
            assert_eq!((confirmed.held, confirmed.delete.len()), (0, gone));
        }
    }

    #[test]
    fn what_is_confirmed_is_what_was_held_then_and_no_more() {
        let (mut missing, held, now) = (Missing::default(), HeldDeletions::default(), Instant::now());
        assert_eq!(held.confirm(), 0);
        assert!(!held.is_confirmed());
        assert_eq!(missing.judge(10, 6, &keys(4), &BTreeSet::new(), now).held, 4);
        held.hold(keys(4));
        assert_eq!((held.confirm(), held.confirm()), (4, 0));
        assert!(held.is_confirmed());
        // Meanwhile the directory is not mounted any more
        let verdict = missing.judge(10, 0, &keys(10), &held.take_confirmed(), now);
        assert_eq!((verdict.delete, verdict.waits), (keys(4).into_iter().collect(), true));
        assert!(!held.is_confirmed());
        let rest: BTreeSet<_> = keys(10).difference(&keys(4)).cloned().collect();
        assert_eq!(missing.judge(6, 0, &rest, &held.take_confirmed(), now).held, 6);
    }
}
