//! How many clients there are at once, from the end of their handshake on. When the house is full, the newcomer takes the place
//! of the one that has been doing nothing for longest: a client that sends a byte a second cannot lock others out. One that is
//! not authorised takes no other's place, and gives its own up first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

#[derive(Debug)]
pub(super) struct Slots {
    max: usize,
    next: AtomicU64,
    /// Oldest first.
    taken: Mutex<VecDeque<Taken>>,
}

#[derive(Debug)]
struct Taken {
    id: u64,
    is_authorised: bool,
    evicted: CancellationToken,
    working: Arc<AtomicBool>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    /// Fires when somebody else needs the place.
    pub(super) evicted: CancellationToken,
    /// Set while a whole request is being answered: such a connection keeps its place.
    pub(super) working: Arc<AtomicBool>,
    slots: Arc<Slots>,
}

impl Slots {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), next: AtomicU64::new(0), taken: Mutex::default() })
    }

    /// None when every connection is being answered, or is an authorised client's and the newcomer is not.
    pub(super) fn take(self: &Arc<Self>, is_authorised: bool) -> Option<Slot> {
        let mut taken = self.taken();
        if taken.len() >= self.max {
            let stranger = taken.iter().position(|one| !one.is_authorised);
            let idle = || taken.iter().position(|one| !one.working.load(Ordering::Acquire)).filter(|_| is_authorised);
            let leaves = stranger.or_else(idle)?;
            taken.remove(leaves)?.evicted.cancel();
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (evicted, working) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        taken.push_back(Taken { id, is_authorised, evicted: evicted.clone(), working: Arc::clone(&working) });
        Some(Slot { id, evicted, working, slots: Arc::clone(self) })
    }

    /// A panic elsewhere leaves the list as whole as it was.
    fn taken(&self) -> MutexGuard<'_, VecDeque<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken().retain(|taken| taken.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_connection_makes_room_and_a_working_one_does_not() {
        let slots = Slots::new(2);
        let first = slots.take(true).expect("room");
        let second = slots.take(true).expect("room");
        first.working.store(true, Ordering::Release);
        let third = slots.take(true).expect("the second is idle");
        assert!(second.evicted.is_cancelled() && !first.evicted.is_cancelled());
        third.working.store(true, Ordering::Release);
        assert!(slots.take(true).is_none());
        drop(first);
        assert!(slots.take(true).is_some());
    }

    /// Holds A3: whoever has a certificate of the clients' authority and no name that is let in cuts nobody off.
    #[test]
    fn a_client_that_is_not_authorised_takes_no_authorised_ones_place_and_gives_up_its_own_first() {
        let slots = Slots::new(2);
        let operator = slots.take(true).expect("room");
        let stranger = slots.take(false).expect("room");
        let other = slots.take(false).expect("another stranger makes room");
        assert!(stranger.evicted.is_cancelled() && !operator.evicted.is_cancelled());
        let second = slots.take(true).expect("the stranger makes room, though it came last");
        assert!(other.evicted.is_cancelled() && !operator.evicted.is_cancelled());
        assert!(slots.take(false).is_none(), "both are authorised, though idle");
        assert!(!operator.evicted.is_cancelled() && !second.evicted.is_cancelled());
    }
}
