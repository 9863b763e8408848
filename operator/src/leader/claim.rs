//! What to do about the Lease, as a pure function of what was read and when.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kagiban_crds::Epoch;

/// Written into the Lease; others wait for this long after they last saw it change.
pub(super) const LEASE_DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for this long stops acting. Less than the Lease's duration by more than one call takes.
pub(super) const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Between renewals, and between looks of those who wait.
pub(super) const RENEW_PERIOD: Duration = Duration::from_secs(5);
/// A host that names an epoch further ahead than the clock of any leader could have been is not believed. Hosts refuse an
/// epoch that is more than about a year ahead of their clocks: half of that, so that one host that lies cannot push this
/// operator to where the others would refuse it.
const FURTHEST_AHEAD: u64 = 182 * 24 * 3600;

/// A Lease as it was read, and when this process first saw it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedLease {
    pub holder: Option<String>,
    pub epoch: Option<Epoch>,
    pub resource_version: String,
    /// By this process's own monotonic clock: clocks of others do not matter.
    pub since: Instant,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseClaim {
    /// It is free, or its holder was silent for too long: write ourselves in, with this epoch.
    Acquire(Epoch),
    /// It is ours: write the time.
    Renew(Epoch),
    /// It is somebody else's.
    Wait,
}

/// Decides on what was read, if anything was. `floor` is the highest epoch that a host has named.
pub fn claim(seen: Option<&ObservedLease>, me: &str, floor: Epoch, now: Instant, wall: Timestamp) -> LeaseClaim {
    let Some(seen) = seen else { return LeaseClaim::Acquire(next_epoch(None, floor, wall)) };
    let holder = seen.holder.as_deref().filter(|holder| !holder.is_empty());
    match (holder, seen.epoch) {
        (Some(holder), Some(epoch)) if holder == me && epoch > believable(floor, wall) => LeaseClaim::Renew(epoch),
        // Ours, but a host has seen a higher epoch: the Lease was lost once, and so was its annotation
        (Some(holder), epoch) if holder == me => LeaseClaim::Acquire(next_epoch(epoch, floor, wall)),
        (Some(_), _) if now.saturating_duration_since(seen.since) < LEASE_DURATION => LeaseClaim::Wait,
        (_, epoch) => LeaseClaim::Acquire(next_epoch(epoch, floor, wall)),
    }
}

/// Higher than the one before and than what hosts have seen; the clock only helps after the annotation was lost.
fn next_epoch(before: Option<Epoch>, floor: Epoch, wall: Timestamp) -> Epoch {
    let after = before.map_or(0, |epoch| epoch.0.saturating_add(1));
    let clock = u64::try_from(wall.as_second()).unwrap_or(0);
    Epoch(after.max(clock).max(believable(floor, wall).0.saturating_add(1)))
}

/// For a process without a Lease: its epoch, or the next one above what a host has named.
pub(super) fn raised(epoch: Epoch, floor: Epoch, wall: Timestamp) -> Epoch {
    match believable(floor, wall) {
        floor if floor >= epoch => Epoch(floor.0.saturating_add(1)),
        _ => epoch,
    }
}

pub(super) fn believable(floor: Epoch, wall: Timestamp) -> Epoch {
    let furthest = u64::try_from(wall.as_second()).unwrap_or(0).saturating_add(FURTHEST_AHEAD);
    if floor.0 <= furthest { floor } else { Epoch(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Epoch = Epoch(0);

    fn wall() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    fn seen(holder: &str, epoch: u64, since: Instant) -> ObservedLease {
        ObservedLease { holder: Some(holder.into()), epoch: Some(Epoch(epoch)), resource_version: "1".into(), since }
    }

    #[test]
    fn a_lease_that_nobody_holds_is_taken_with_the_clock_as_first_epoch() {
        assert_eq!(claim(None, "me", NONE, Instant::now(), wall()), LeaseClaim::Acquire(Epoch(1_800_000_000)));
        let released = ObservedLease { holder: Some(String::new()), ..seen("", 5, Instant::now()) };
        assert_eq!(
            claim(Some(&released), "me", NONE, Instant::now(), wall()),
            LeaseClaim::Acquire(Epoch(1_800_000_000))
        );
    }

    #[test]
    fn another_holder_is_waited_for_until_it_was_silent_for_the_lease_duration() {
        let start = Instant::now();
        let other = seen("other", 7, start);
        assert_eq!(claim(Some(&other), "me", NONE, start + Duration::from_secs(14), wall()), LeaseClaim::Wait);
        let late = claim(Some(&other), "me", NONE, start + LEASE_DURATION, wall());
        assert_eq!(late, LeaseClaim::Acquire(Epoch(1_800_000_000)));
    }

    #[test]
    fn the_epoch_grows_even_when_the_clock_went_back() {
        let start = Instant::now();
        let other = seen("other", 9_000_000_000, start);
        let taken = claim(Some(&other), "me", NONE, start + LEASE_DURATION, wall());
        assert_eq!(taken, LeaseClaim::Acquire(Epoch(9_000_000_001)));
    }

    #[test]
    fn the_holder_renews_and_keeps_its_epoch() {
        assert_eq!(
            claim(Some(&seen("me", 7, Instant::now())), "me", NONE, Instant::now(), wall()),
            LeaseClaim::Renew(Epoch(7))
        );
    }

    #[test]
    fn a_host_that_has_seen_a_higher_epoch_raises_ours_but_not_without_bound() {
        let mine = seen("me", 7, Instant::now());
        let higher = claim(Some(&mine), "me", Epoch(1_810_000_000), Instant::now(), wall());
        assert_eq!(higher, LeaseClaim::Acquire(Epoch(1_810_000_001)));
        let liar = claim(Some(&mine), "me", Epoch(u64::MAX), Instant::now(), wall());
        assert_eq!(liar, LeaseClaim::Renew(Epoch(7)));
    }

    /// Holds B16: without a Lease the epoch rises above a host's too, and not without bound.
    #[test]
    fn without_a_lease_a_host_raises_the_epoch_too_but_not_without_bound() {
        let mine = Epoch(1_800_000_000);
        assert_eq!(raised(mine, NONE, wall()), mine);
        assert_eq!(raised(mine, Epoch(1_800_000_500), wall()), Epoch(1_800_000_501));
        assert_eq!(raised(mine, mine, wall()), Epoch(1_800_000_001));
        assert_eq!(raised(mine, Epoch(u64::MAX), wall()), mine);
        let a_year_ahead = Epoch(1_800_000_000 + 365 * 24 * 3600);
        assert_eq!(raised(mine, a_year_ahead, wall()), mine, "hosts would refuse it");
    }
}
