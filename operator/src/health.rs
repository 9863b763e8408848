//! Whether this process still does its work: what the liveness probe asks, so that one that is stuck is started anew.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The loop wakes every second, whatever happens.
const LOOP_SILENCE: Duration = Duration::from_secs(60);
/// A round of the election takes 14 s when every call runs into its deadline, and the next begins 5 s later.
const ELECTION_SILENCE: Duration = Duration::from_secs(90);
/// Twice the longest that a pass may take. One that ends by its deadline or by a panic is no sign of life; a host alone cannot
/// bring it there.
const PASS_SILENCE: Duration = Duration::from_secs(240);
/// A list is begun at least every ten minutes, and a page or a watch that is not answered is an error sooner than that.
const LIST_SILENCE: Duration = Duration::from_secs(900);

/// When each part of the process last showed that it lives.
#[derive(Debug)]
pub struct Health {
    since: Instant,
    /// In milliseconds after `since`.
    looped: AtomicU64,
    /// The same; nobody is elected where there is no election.
    elected: Option<AtomicU64>,
}

impl Health {
    /// `elects`: whether there is an election that must go on.
    pub fn new(elects: bool, now: Instant) -> Self {
        Self { since: now, looped: AtomicU64::new(0), elected: elects.then(AtomicU64::default) }
    }

    /// The loop that starts passes has come round.
    pub fn looped(&self, now: Instant) {
        self.looped.store(self.at(now), Ordering::Relaxed);
    }

    /// A round of the election has ended, well or badly.
    pub fn elected(&self, now: Instant) {
        if let Some(elected) = &self.elected {
            elected.store(self.at(now), Ordering::Relaxed);
        }
    }

    /// What is dead, if anything is. `stuck_for`: how long there has been something to do and no pass ended other than by its
    /// deadline. `unheard_for`: how long neither list nor watch of the resources gave anything, not even an error.
    pub fn fault(&self, stuck_for: Duration, unheard_for: Duration, now: Instant) -> Option<&'static str> {
        let silent = |at: &AtomicU64| Duration::from_millis(self.at(now).saturating_sub(at.load(Ordering::Relaxed)));
        if silent(&self.looped) > LOOP_SILENCE {
            Some("the loop that starts passes has stopped")
        } else if self.elected.as_ref().is_some_and(|elected| silent(elected) > ELECTION_SILENCE) {
            Some("the election has stopped")
        } else if stuck_for > PASS_SILENCE {
            Some("resources are due and no pass comes to an end")
        } else if unheard_for > LIST_SILENCE {
            Some("neither list nor watch of the resources goes on")
        } else {
            None
        }
    }

    fn at(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds B1: a dead loop, a dead election and passes that never end fail the liveness probe; a quiet fleet does not.
    #[test]
    fn whatever_is_dead_fails_the_probe_and_rest_does_not() {
        let start = Instant::now();
        let health = Health::new(true, start);
        let later = start + Duration::from_secs(3600);
        assert_eq!(
            health.fault(Duration::ZERO, Duration::ZERO, later),
            Some("the loop that starts passes has stopped")
        );
        health.looped(later);
        assert_eq!(health.fault(Duration::ZERO, Duration::ZERO, later), Some("the election has stopped"));
        health.elected(later);
        assert_eq!(health.fault(Duration::ZERO, Duration::ZERO, later), None);
        assert!(health.fault(PASS_SILENCE + Duration::from_secs(1), Duration::ZERO, later).is_some());
        assert!(health.fault(Duration::ZERO, LIST_SILENCE + Duration::from_secs(1), later).is_some());
        assert_eq!(health.fault(Duration::ZERO, Duration::ZERO, later + Duration::from_secs(59)), None);
    }

    #[test]
    fn without_an_election_none_is_missed() {
        let start = Instant::now();
        let health = Health::new(false, start);
        let later = start + Duration::from_secs(3600);
        health.looped(later);
        assert_eq!(health.fault(Duration::ZERO, Duration::ZERO, later), None);
    }
}
