//! When a service is stopped for good. One that has failed is down only until its manager starts it again, and no manager tells when
//! that is, or takes it back.

use std::time::Duration;

/// How a service is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Up,
    /// It starts or stops, and takes no order.
    Between,
    Down {
        /// Whether it has ended otherwise than it was told to.
        failed: bool,
    },
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Ask,
    Look,
    Stopped,
    /// It has not stopped in time.
    Late,
    /// It is down, and its manager may start it still.
    MayStartAgain,
}

/// A stop, from the first look on.
#[derive(Debug)]
pub(crate) struct Stopping {
    /// For all of it.
    within: Duration,
    /// How long after a failure its manager starts it at the latest; none where it does not, or where that is no matter.
    restarted_within: Option<Duration>,
    /// Since when it was seen down without a break.
    down_since: Option<Duration>,
}

impl Stopping {
    pub(crate) const fn new(within: Duration, restarted_within: Option<Duration>) -> Self {
        Self { within, restarted_within, down_since: None }
    }

    /// `now` is the time since the first look.
    pub(crate) fn next(&mut self, seen: Seen, now: Duration) -> Next {
        let Seen::Down { failed } = seen else {
            self.down_since = None;
            let next = if seen == Seen::Up { Next::Ask } else { Next::Look };
            return if now < self.within { next } else { Next::Late };
        };
        let Some(restarted_within) = self.restarted_within.filter(|_| failed) else { return Next::Stopped };
        let since = *self.down_since.get_or_insert(now);
        if now.saturating_sub(since) >= restarted_within {
            return Next::Stopped;
        }
        if now < self.within { Next::Look } else { Next::MayStartAgain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Seen = Seen::Down { failed: true };
    const ENDED: Seen = Seen::Down { failed: false };

    fn told(restarted_within: Option<u64>, seen: &[(u64, Seen)]) -> Vec<Next> {
        let mut stopping = Stopping::new(Duration::from_secs(100), restarted_within.map(Duration::from_secs));
        seen.iter().map(|(now, seen)| stopping.next(*seen, Duration::from_secs(*now))).collect()
    }

    #[test]
    fn a_service_that_runs_is_asked_until_it_is_down_or_the_time_is_over() {
        use Next::{Ask, Late, Look, Stopped};
        assert_eq!(told(Some(60), &[(0, Seen::Up), (1, Seen::Between), (2, ENDED)]), [Ask, Look, Stopped]);
        assert_eq!(told(Some(60), &[(0, Seen::Between), (99, Seen::Up), (100, Seen::Up)]), [Look, Ask, Late]);
        assert_eq!(told(None, &[(0, Seen::Up), (100, Seen::Between)]), [Ask, Late]);
    }

    /// It was told as stopped, and ran again seconds later: over files that were being exchanged.
    #[test]
    fn a_service_that_has_failed_is_not_stopped_before_it_is_started_no_more() {
        use Next::{Ask, Look, MayStartAgain, Stopped};
        assert_eq!(told(Some(60), &[(0, FAILED), (59, FAILED), (60, FAILED)]), [Look, Look, Stopped]);
        // It is up again, and is stopped in order.
        let again = [(0, FAILED), (4, FAILED), (5, Seen::Between), (6, Seen::Up), (7, ENDED)];
        assert_eq!(told(Some(60), &again), [Look, Look, Look, Ask, Stopped]);
        // It fails again: the time counts from then.
        let twice = [(0, FAILED), (30, Seen::Between), (31, FAILED), (89, FAILED), (91, FAILED)];
        assert_eq!(told(Some(60), &twice), [Look, Look, Look, Look, Stopped]);
        assert_eq!(told(Some(200), &[(0, FAILED), (100, FAILED)]), [Look, MayStartAgain]);
        assert_eq!(told(None, &[(0, FAILED)]), [Stopped], "nobody starts it");
    }
}
