//! How many lines one thing may write: a UPS whose plug is loose must not push everything else out of the log.

use std::time::{Duration, Instant};

/// Lines about one thing within one span. What comes beyond is counted, and told in one line when the span ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineAllowance {
    most: u32,
    began: Option<Instant>,
    written: u32,
    /// The worst that was written in this span.
    worst: u8,
    held_back: u32,
}

/// Long enough that a flapping thing writes some hundred lines a day, short enough that the sum is news.
pub(super) const SPAN: Duration = Duration::from_secs(600);

impl LineAllowance {
    pub(super) const fn new(most: u32) -> Self {
        Self { most, began: None, written: 0, worst: 0, held_back: 0 }
    }

    /// Whether a line may be written now. Something worse than all that was written in the span always may: there are few ranks.
    pub(super) fn admits(&mut self, rank: u8, now: Instant) -> bool {
        if self.held_back == 0 && self.is_over(now) {
            *self = Self { began: Some(now), ..Self::new(self.most) };
        }
        let admitted = self.written < self.most || rank > self.worst;
        if admitted {
            self.written = self.written.saturating_add(1);
            self.worst = self.worst.max(rank);
        } else {
            self.held_back = self.held_back.saturating_add(1);
        }
        admitted
    }

    /// How many changes were not told, once the span is over.
    pub(super) fn settle(&mut self, now: Instant) -> Option<u32> {
        if self.held_back == 0 || !self.is_over(now) {
            return None;
        }
        let held_back = self.held_back;
        *self = Self { began: Some(now), ..Self::new(self.most) };
        Some(held_back)
    }

    fn is_over(&self, now: Instant) -> bool {
        self.began.is_none_or(|began| now.saturating_duration_since(began) >= SPAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_beyond_the_measure_is_counted_and_what_is_worse_is_told_all_the_same() {
        let (mut allowance, start) = (LineAllowance::new(2), Instant::now());
        assert_eq!([1, 0, 1, 0].map(|rank| allowance.admits(rank, start)), [true, true, false, false]);
        assert_eq!([3, 3].map(|rank| allowance.admits(rank, start)), [true, false]);
        assert_eq!(allowance.settle(start), None, "the span is not over");
        assert!(!allowance.admits(1, start + SPAN), "what is held back is told first");
        assert_eq!(allowance.settle(start + SPAN), Some(4));
        assert_eq!(allowance.settle(start + SPAN * 3), None);
        assert!(allowance.admits(0, start + SPAN));
    }
}
