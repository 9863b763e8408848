//! How often something may happen: so many times at once, then once per interval.

use std::time::{Duration, Instant};

/// A rate with a burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) burst: u32,
    pub(crate) every: Duration,
}

/// What is left of an allowance. A new one is full.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    count: u32,
    since: Option<Instant>,
}

impl Spent {
    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, allowance: Allowance, now: Instant) -> bool {
        let is_left = self.is_left(allowance, now);
        if is_left {
            self.count += 1;
            self.since.get_or_insert(now);
        }
        is_left
    }

    /// Whether nothing of it is taken, or all of that has come back.
    pub(crate) fn is_whole(&mut self, allowance: Allowance, now: Instant) -> bool {
        let _ = self.is_left(allowance, now);
        self.count == 0
    }

    /// Whether one could be taken. What has come back since is counted first.
    pub(crate) fn is_left(&mut self, allowance: Allowance, now: Instant) -> bool {
        if let Some(since) = self.since {
            let every = allowance.every.as_nanos().max(1);
            let back = u32::try_from(now.saturating_duration_since(since).as_nanos() / every).unwrap_or(u32::MAX);
            self.count = self.count.saturating_sub(back);
            self.since = (self.count > 0).then(|| since + allowance.every.saturating_mul(back));
        }
        self.count < allowance.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_one_per_interval() {
        let allowance = Allowance { burst: 3, every: Duration::from_secs(60) };
        let (mut spent, start) = (Spent::default(), Instant::now());
        let taken = |spent: &mut Spent, seconds| {
            (0..10).filter(|_| spent.take(allowance, start + Duration::from_secs(seconds))).count()
        };
        let counts: Vec<_> = [0, 30, 60, 90, 120, 400, 10_000].map(|at| taken(&mut spent, at)).to_vec();
        assert_eq!(counts, [3, 0, 1, 0, 1, 3, 3]);
    }
}
