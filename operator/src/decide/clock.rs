//! Waits that began at a time that is on record, by a clock that may have been set since.

use std::time::Duration;

use jiff::Timestamp;

use super::renewal::later;
use crate::certificate::BACKDATE;

/// How far the clocks may differ: a certificate is backdated by this much, beyond it the host finds it not yet valid.
pub(super) const LARGEST_SKEW: Duration = BACKDATE;

/// Whether what began at `from` and lasts until `until` lasts still. What seems to begin later than now was written by a clock
/// that was ahead: by a little, as the clocks of two machines differ, it ends so much later; by more than that, or than its own
/// length, nobody knows how long ago it began, and it is over. It never lasts twice its length.
pub(super) fn lasts(now: Timestamp, from: Timestamp, until: Timestamp) -> bool {
    let length = Duration::try_from(until.duration_since(from)).unwrap_or_default();
    now < until && from <= later(now, length.min(LARGEST_SKEW))
}

/// Whether a time lies further ahead than the clocks of two machines differ.
pub(super) fn is_ahead(time: Timestamp, now: Timestamp) -> bool {
    time > later(now, LARGEST_SKEW)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn a_wait_lasts_for_its_length_and_one_of_a_clock_that_was_ahead_is_over() {
        let lasts = |now, from, until| lasts(at(now), at(from), at(until));
        assert_eq!([99, 100, 159, 160].map(|now| lasts(now, 100, 160)), [true, true, true, false]);
        assert!(lasts(40, 100, 160), "as far ahead as it is long");
        assert!(!lasts(39, 100, 160) && !lasts(0, 1_000_000, 1_000_060));
        let day = 24 * 3600;
        assert!(lasts(0, 300, 300 + day) && !lasts(0, 301, 301 + day), "no clocks differ by so much");
    }

    proptest! {
        /// Whatever stands on record, and wherever the clock is: no wait goes on for more than twice its length from now on.
        #[test]
        fn no_wait_outlasts_twice_its_length(now in 0..10_000_000i64, from in 0..10_000_000i64, length in 0..1_000_000i64) {
            let wait = |now: i64| lasts(at(now), at(from), at(from + length));
            prop_assert!(!wait(now) || !wait(now + 2 * length + 1));
            prop_assert!(!wait(now) || !wait(now + length + 301));
        }
    }
}
