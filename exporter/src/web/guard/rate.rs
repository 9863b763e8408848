//! How often may be asked, by all clients together.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A bucket that gains one token per interval and holds `burst`.
#[derive(Debug)]
pub(super) struct Limiter {
    interval: Duration,
    burst: f64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Limiter {
    pub(super) fn new(interval: Duration, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { interval, burst, bucket: Mutex::new(Bucket { tokens: burst, at: now }) }
    }

    /// Takes a token, if there is one.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = now.saturating_duration_since(bucket.at).as_secs_f64() / self.interval.as_secs_f64();
        bucket.tokens = (bucket.tokens + gained).min(self.burst);
        bucket.at = now.max(bucket.at);
        let there = bucket.tokens >= 1.0;
        if there {
            bucket.tokens -= 1.0;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_one_per_interval() {
        let start = Instant::now();
        let limiter = Limiter::new(Duration::from_secs(2), 3, start);
        let at = |seconds: u64| limiter.admits(start + Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(0), at(0), at(0), at(1), at(2), at(2), at(4)],
            [true, true, true, false, false, true, false, true]
        );
        // However long nobody asks, no more than the burst gathers.
        assert_eq!([at(100), at(100), at(100), at(100)], [true, true, true, false]);
    }
}
