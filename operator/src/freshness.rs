//! How old what is known of the resources is: when a list was last whole, and when a watch last showed that it lives.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::samples::{Labels, gauge, seconds};

/// Load balancers drop a watch after 240 s without a word; it is renewed before.
pub const WATCH_SECONDS: u32 = 200;
/// In which the first list, before which nothing is done, is whole; then it is told of.
const FIRST_LIST: Duration = Duration::from_secs(30);
/// The same of a later one, while which no watch shows what changes. With 10,000 resources it takes half a minute.
const LATER_LIST: Duration = Duration::from_secs(120);
/// A watch that lives is opened anew within this time; a minute for that.
const WATCH: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 60);
/// Between two warnings.
const TELL: Duration = Duration::from_secs(30);

/// What the list and the watch write, and warnings, metrics and the liveness probe read.
#[derive(Clone)]
pub struct Freshness(Arc<Mutex<Signs>>);

struct Signs {
    /// Of any kind, an error among them.
    last: Instant,
    /// When the list under way was begun.
    listing: Option<Instant>,
    listed: Option<(Instant, Timestamp)>,
    watched: Option<(Instant, Timestamp)>,
    /// The last error since anything went well.
    trouble: Option<String>,
    told: Instant,
}

/// What has stood still for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    pub what: What,
    pub age: Duration,
    /// What was seen to go wrong.
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    FirstList,
    List,
    Watch,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstList => "the first list of resources is not whole yet; nothing is done before",
            Self::List => "the list of resources is not whole yet; what changed since the last one is not seen",
            Self::Watch => "no watch of the resources lives; what changes is not seen before the next list",
        })
    }
}

impl Freshness {
    pub fn new(now: Instant) -> Self {
        let signs = Signs { last: now, listing: None, listed: None, watched: None, trouble: None, told: now };
        Self(Arc::new(Mutex::new(signs)))
    }

    pub(crate) fn list_begins(&self, now: Instant) {
        let mut signs = self.signs();
        (signs.last, signs.listing) = (now, Some(signs.listing.unwrap_or(now)));
    }

    /// A page of a list was read.
    pub(crate) fn page(&self, now: Instant) {
        self.signs().last = now;
    }

    pub(crate) fn listed(&self, now: Instant, time: Timestamp) {
        let mut signs = self.signs();
        (signs.last, signs.listing, signs.listed, signs.trouble) = (now, None, Some((now, time)), None);
    }

    /// A watch was opened, or has shown something.
    pub(crate) fn watched(&self, now: Instant, time: Timestamp) {
        let mut signs = self.signs();
        (signs.last, signs.watched, signs.trouble) = (now, Some((now, time)), None);
    }

    pub(crate) fn failed(&self, now: Instant, error: &impl ToString) {
        let mut signs = self.signs();
        (signs.last, signs.trouble) = (now, Some(error.to_string()));
    }

    /// For how long neither list nor watch gave any sign. An API server that is away gives errors: a process that has not even
    /// those has a defect.
    pub(crate) fn silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.signs().last)
    }

    /// What is to be warned of now; the same again only after a while.
    pub(crate) fn stale(&self, now: Instant) -> Option<Stale> {
        let mut signs = self.signs();
        let stale = signs.stale(now)?;
        if now.saturating_duration_since(signs.told) < TELL {
            return None;
        }
        signs.told = now;
        Some(stale)
    }

    /// When all resources were last listed to the end, and when a watch last gave a sign.
    pub(crate) fn times(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let signs = self.signs();
        (signs.listed.map(|(_, time)| time), signs.watched.map(|(_, time)| time))
    }

    /// What stands still for too long now, whether or not it was warned of.
    pub(crate) fn standing_still(&self, now: Instant) -> Option<What> {
        self.signs().stale(now).map(|stale| stale.what)
    }

    /// A panic elsewhere leaves times that are as good as before.
    fn signs(&self) -> MutexGuard<'_, Signs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signs {
    fn stale(&self, now: Instant) -> Option<Stale> {
        let (what, since, patience) = match (self.listed, self.listing) {
            (None, Some(begun)) => (What::FirstList, begun, FIRST_LIST),
            (Some(_), Some(begun)) => (What::List, begun, LATER_LIST),
            // From a list on a watch is owed
            (Some((listed, _)), None) => {
                (What::Watch, self.watched.map_or(listed, |(seen, _)| seen.max(listed)), WATCH)
            }
            (None, None) => return None,
        };
        let age = now.saturating_duration_since(since);
        (age >= patience).then(|| Stale { what, age, reason: self.trouble.clone() })
    }
}

impl fmt::Debug for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Freshness").finish_non_exhaustive()
    }
}

/// What has not happened yet is no sample.
impl Collector for Freshness {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (listed, watched) = self.times();
        for (name, help, time) in [
            ("kagiban_operator_last_list_timestamp_seconds", "When all resources were last listed to the end", listed),
            (
                "kagiban_operator_last_watch_timestamp_seconds",
                "When a watch of the resources was last opened, or has shown something",
                watched,
            ),
        ] {
            if let Some(time) = time {
                gauge(&mut encoder, name, help, std::iter::once((Labels::new(), seconds(time))))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    const SECOND: Duration = Duration::from_secs(1);

    fn time() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().expect("a time")
    }

    /// Holds B14: only the first list was ever told of. A later one that fails for hours hid every change, and nothing said so.
    #[test]
    fn a_list_that_does_not_become_whole_is_told_of_again_and_again_with_the_reason() {
        for later in [false, true] {
            let start = Instant::now();
            let freshness = Freshness::new(start);
            if later {
                freshness.list_begins(start);
                freshness.listed(start, time());
            }
            freshness.list_begins(start);
            let (what, patience) = if later { (What::List, LATER_LIST) } else { (What::FirstList, FIRST_LIST) };
            assert_eq!(freshness.stale(start + patience - SECOND), None);
            freshness.failed(start + SECOND, &"no route to host");
            // It is begun anew, and is still the same list to whoever waits
            freshness.list_begins(start + patience / 2);
            let stale = |age| Some(Stale { what, age, reason: Some("no route to host".to_owned()) });
            assert_eq!(freshness.stale(start + patience), stale(patience));
            assert_eq!(freshness.stale(start + patience + TELL - SECOND), None);
            assert_eq!(freshness.stale(start + patience + TELL), stale(patience + TELL));
            freshness.listed(start + 2 * patience, time());
            assert_eq!(freshness.stale(start + 2 * patience + TELL), None);
        }
    }

    /// Holds B14: the same of a watch, whether one was ever opened or not.
    #[test]
    fn a_watch_that_lives_no_more_is_told_of_and_a_quiet_one_is_not() {
        let start = Instant::now();
        let freshness = Freshness::new(start);
        freshness.list_begins(start);
        freshness.listed(start, time());
        let mut now = start;
        let what = |stale: Option<Stale>| stale.map(|stale| (stale.what, stale.reason));
        assert_eq!(what(freshness.stale(now + WATCH)), Some((What::Watch, None)), "none was opened");
        for _ in 0..10 {
            now += Duration::from_secs(WATCH_SECONDS.into()) + SECOND;
            freshness.watched(now, time());
            assert_eq!(freshness.stale(now + Duration::from_secs(WATCH_SECONDS.into())), None);
        }
        freshness.failed(now + SECOND, &"forbidden");
        assert_eq!(what(freshness.stale(now + WATCH)), Some((What::Watch, Some("forbidden".to_owned()))));
        freshness.watched(now + WATCH, time());
        assert_eq!(freshness.stale(now + WATCH + TELL), None);
    }

    /// An API server that is away restarts nothing; a process that does not even notice that is started anew.
    #[test]
    fn an_error_is_a_sign_of_life_and_nothing_at_all_is_none() {
        let start = Instant::now();
        let freshness = Freshness::new(start);
        let later = start + Duration::from_secs(3600);
        assert_eq!(freshness.silent_for(later), Duration::from_secs(3600));
        freshness.failed(later, &"no route to host");
        assert_eq!(freshness.silent_for(later), Duration::ZERO);
    }

    #[test]
    fn what_has_not_happened_yet_is_no_sample_and_what_has_is_its_time() {
        let metrics = Metrics::new(None);
        let text = || {
            let mut text = String::new();
            metrics.write(&mut text).expect("a string takes everything");
            text
        };
        assert!(!text().contains("kagiban_operator_last_"), "{}", text());
        metrics.freshness().listed(Instant::now(), time());
        let sample = format!("\nkagiban_operator_last_list_timestamp_seconds {}", time().as_second());
        assert!(text().contains(&sample) && !text().contains("last_watch"), "{}", text());
        metrics.freshness().watched(Instant::now(), time());
        assert!(text().contains("\nkagiban_operator_last_watch_timestamp_seconds "), "{}", text());
    }
}
