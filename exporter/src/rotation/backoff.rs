//! A pause that grows with every failure in a row.

use std::time::Duration;

use tokio::time::Instant;

/// When something that failed is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// After the next failure.
    pause: Duration,
    longest: Duration,
    due: Instant,
}

impl Backoff {
    /// Due at once; the first failure is followed by a pause of `first`, each further one by twice the pause before, up to
    /// `longest`.
    pub(crate) const fn at_once(first: Duration, longest: Duration, now: Instant) -> Self {
        Self { pause: first, longest, due: now }
    }

    /// The same, after a first failure.
    pub(crate) fn after_failure(first: Duration, longest: Duration, now: Instant) -> Self {
        let mut backoff = Self::at_once(first, longest, now);
        backoff.failed(now);
        backoff
    }

    pub(crate) const fn due(&self) -> Instant {
        self.due
    }

    /// It was tried, and failed.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.due = now + self.pause;
        self.pause = self.pause.saturating_mul(2).min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_the_longest() {
        let mut now = Instant::now();
        let mut backoff = Backoff::after_failure(Duration::from_secs(10), Duration::from_secs(60), now);
        let mut pauses = Vec::new();
        for _ in 0..5 {
            pauses.push((backoff.due() - now).as_secs());
            now = backoff.due();
            backoff.failed(now);
        }
        assert_eq!(pauses, [10, 20, 40, 60, 60]);
    }
}
