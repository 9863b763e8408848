//! What is to become of resources that no file names any more. A directory may be half checked out, or not mounted.

use std::collections::{BTreeMap, BTreeSet};
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

impl Missing {
    /// `kept` is what is stored and not yet being deleted, `declared` how many resources the files name, and `gone` those of `kept`
    /// that none does. `confirmed`: a person has said that whatever is gone now is meant to be.
    pub(super) fn judge(
        &mut self,
        kept: usize,
        declared: usize,
        gone: &BTreeSet<Key>,
        confirmed: bool,
        now: Instant,
    ) -> Verdict {
        self.since.retain(|key, _| gone.contains(key));
        for key in gone {
            self.since.entry(key.clone()).or_insert(now);
        }
        if gone.is_empty() {
            return Verdict::default();
        }
        if confirmed {
            self.since.clear();
            return Verdict { delete: gone.iter().cloned().collect(), ..Verdict::default() };
        }
        if declared == 0 || gone.len() > FEW.max(kept / PART) {
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
        let first = missing.judge(10, 8, &keys(2), false, start);
        assert_eq!(first, Verdict { waits: true, ..Verdict::default() });
        assert_eq!(missing.judge(10, 9, &keys(1), false, start + GRACE / 2).delete, []);
        let again = missing.judge(10, 8, &keys(2), false, start + GRACE);
        assert_eq!((again.delete.len(), again.waits), (1, true), "the other was there in between");
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
            missing.judge(kept, declared, &keys(gone), false, late - GRACE);
            let verdict = missing.judge(kept, declared, &keys(gone), false, late);
            let deleted = if held == 0 { gone } else { 0 };
            assert_eq!((verdict.held, verdict.delete.len()), (held, deleted), "{gone} of {kept}");
            let confirmed = missing.judge(kept, declared, &keys(gone), true, late);
            assert_eq!((confirmed.held, confirmed.delete.len()), (0, gone));
        }
    }
}
