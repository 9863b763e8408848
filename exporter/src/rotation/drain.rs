//! A stop of the service that was begun: what looks at the endpoint say of it, and for how long it may still end the service.
//! Pure.
//!
//! ```text
//!   begun ──nobody listens──> seen down ──a wanted leaf is served──> over: whoever serves it was started since
//!     └────────────────────────────── twice `stopTimeout` later ──> over: longer than that no service drains
//! ```
//!
//! A stop command that has ended proves nothing by itself: it may return, with success or without, while the service goes on
//! serving, or after the service has closed its listener and before its process ends. A start finds that process running, and
//! changes nothing.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::platform::{self, BootTime};

/// Of the service, while it may still end it. How long the service is watched is counted from here, across starts of the
/// program.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Written", rename_all = "camelCase")]
pub struct BegunStop {
    at: Timestamp,
    /// Absent where the system does not tell, and in what earlier programs wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<BootTime>,
    /// Nobody has listened since, at one look at least.
    was_down: bool,
}

/// What the journal holds.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    /// By earlier programs.
    TimeOfDay(Timestamp),
    #[serde(rename_all = "camelCase")]
    Full { at: Timestamp, boot: Option<BootTime>, was_down: bool },
}

/// What one look at the endpoint says of a stop that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responder {
    /// Nobody listens.
    Nobody,
    /// An account without business listens there. The service itself may listen all the same, so that it says nothing of its end.
    Stranger,
    /// A leaf that the service serves when it is in order.
    Wanted,
    /// Neither.
    Other,
}

impl Responder {
    /// Whether the service itself was not seen.
    pub(super) const fn is_not_the_service(self) -> bool {
        matches!(self, Self::Nobody | Self::Stranger)
    }
}

impl BegunStop {
    pub fn now() -> Self {
        Self { at: Timestamp::now(), boot: platform::boot_time(), was_down: false }
    }

    /// The same after a look; none when it can end the service no more. What serves a wanted leaf after nobody has listened
    /// was started in between, and is not what the stop ends.
    #[must_use]
    pub fn after(self, seen: Responder) -> Option<Self> {
        match seen {
            _ if is_over(self.was_down, seen) => None,
            Responder::Nobody => Some(Self { was_down: true, ..self }),
            Responder::Stranger | Responder::Wanted | Responder::Other => Some(self),
        }
    }

    /// For how much longer it may end the service, which drains for `longest` at most.
    pub(super) fn may_end_for(&self, longest: Duration) -> Duration {
        self.may_end_for_at(longest, Timestamp::now(), platform::boot_time().as_ref())
    }

    /// What was stopped before this boot of the host is gone.
    fn may_end_for_at(&self, longest: Duration, now: Timestamp, boot: Option<&BootTime>) -> Duration {
        let passed = passed_since(self.at, self.boot.as_ref(), now, boot);
        passed.map_or(Duration::ZERO, |passed| longest.saturating_sub(passed))
    }
}

/// The time since a moment; none when it was in another boot of the host. Within one boot the clock may be set, in either
/// direction, so the time since the boot counts; where that is not told, the time of day. A time that lies ahead is not believed.
pub(super) fn passed_since(
    at: Timestamp,
    boot: Option<&BootTime>,
    now: Timestamp,
    boot_now: Option<&BootTime>,
) -> Option<Duration> {
    match (boot, boot_now) {
        (Some(begun), Some(now)) if begun.boot_id != now.boot_id => None,
        (Some(begun), Some(now)) => Some(now.uptime().saturating_sub(begun.uptime())),
        _ => Some(Duration::try_from(now.duration_since(at)).unwrap_or_default()),
    }
}

/// Whether a stop can end the service no more, `was_down` saying whether nobody has listened since it was begun.
pub const fn is_over(was_down: bool, seen: Responder) -> bool {
    was_down && matches!(seen, Responder::Wanted)
}

impl From<Written> for BegunStop {
    fn from(written: Written) -> Self {
        match written {
            Written::TimeOfDay(at) => Self { at, boot: None, was_down: false },
            Written::Full { at, boot, was_down } => Self { at, boot, was_down },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(180);

    fn boot(id: &str, milliseconds: u64) -> Option<BootTime> {
        Some(BootTime { boot_id: id.to_owned(), milliseconds })
    }

    fn begun(at: i64, boot: Option<BootTime>) -> BegunStop {
        BegunStop { at: Timestamp::from_second(at).expect("time"), boot, was_down: false }
    }

    fn left(stop: &BegunStop, at: i64, boot: Option<&BootTime>) -> u64 {
        stop.may_end_for_at(LONGEST, Timestamp::from_second(at).expect("time"), boot).as_secs()
    }

    /// Holds A8: a clock that was put forward or back between two runs neither ends a watch nor makes it longer.
    #[test]
    fn within_one_boot_the_time_since_the_boot_counts_and_after_another_nothing_is_left() {
        let stop = begun(1_000_000, boot("a", 50_000));
        for clock in [0, 1_000_000, 1_000_005, 2_000_000_000] {
            assert_eq!(left(&stop, clock, boot("a", 55_000).as_ref()), 175, "{clock}");
            assert_eq!(left(&stop, clock, boot("a", 500_000).as_ref()), 0, "{clock}");
            assert_eq!(left(&stop, clock, boot("b", 1_000).as_ref()), 0, "{clock}");
        }
        // A container may be told its own start.
        assert_eq!(left(&stop, 1_000_005, boot("a", 1_000).as_ref()), 180);
    }

    /// Holds A9: what an earlier program wrote, and where the system does not tell.
    #[test]
    fn without_the_time_since_the_boot_the_time_of_day_counts() {
        let written = serde_json::from_str::<BegunStop>("\"1970-01-12T13:46:40Z\"").expect("an earlier program's");
        assert_eq!(written, begun(1_000_000, None));
        for stop in [written, begun(1_000_000, boot("a", 5_000))] {
            assert_eq!(left(&stop, 1_000_100, None), 80);
            assert_eq!(left(&stop, 5_000_000, None), 0);
            assert_eq!(left(&stop, 900_000, None), 180, "a time that lies ahead");
        }
        assert_eq!(left(&begun(1_000_000, None), 1_000_100, boot("a", 5_000).as_ref()), 80);
    }

    proptest! {
        #[test]
        fn it_survives_its_journal(at in 0..4_000_000_000_i64, uptime: Option<u64>, was_down: bool) {
            let stop = BegunStop { was_down, ..begun(at, uptime.and_then(|uptime| boot("0a-1", uptime))) };
            let text = serde_json::to_string(&stop).expect("json");
            prop_assert_eq!(serde_json::from_str::<BegunStop>(&text).expect("read"), stop);
        }

        /// Holds A8: only a wanted leaf that is served after nobody has listened says that it is over.
        #[test]
        fn no_look_ends_it_but_a_wanted_leaf_after_nobody(
            looks in proptest::collection::vec(prop_oneof![Just(Responder::Nobody), Just(Responder::Stranger), Just(Responder::Wanted), Just(Responder::Other)], 0..8),
        ) {
            let stop = looks.iter().try_fold(begun(0, None), |stop, seen| stop.after(*seen).ok_or(()));
            let down = looks.iter().position(|seen| *seen == Responder::Nobody);
            let is_over = down.is_some_and(|down| looks[down..].contains(&Responder::Wanted));
            prop_assert_eq!(stop.is_err(), is_over);
        }
    }
}
