//! How many clients there are at once, from the end of their handshake on. When the house is full, the newcomer takes the slot
//! of the one that has been doing nothing for longest: a client that sends a byte a second cannot lock others out. One that is
//! not authorised takes no other's slot, and gives its own up first.

use std::sync::Arc;
use std::time::Instant;

use kagiban_serving::{Slot, SlotHandle, Slots, TakenSlot};

#[derive(Debug)]
pub(super) struct ClientSlots {
    max: usize,
    slots: Arc<Slots<IsAuthorised>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct IsAuthorised(bool);

/// What the requests of a connection keep of its slot.
pub(super) type ClientSlot = SlotHandle<IsAuthorised>;

impl ClientSlots {
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), slots: Slots::new() }
    }

    /// None when every connection is being answered, or is an authorised client's and the newcomer is not.
    pub(super) fn take(&self, is_authorised: bool) -> Option<Slot<IsAuthorised>> {
        let choose_victim = |taken: &[Arc<TakenSlot<_>>]| {
            if taken.len() < self.max {
                return Ok(None);
            }
            let stranger = taken.iter().find(|one: &&Arc<TakenSlot<IsAuthorised>>| !one.client.0);
            let idle = || taken.iter().find(|one| !one.is_working()).filter(|_| is_authorised);
            stranger.or_else(idle).cloned().map(Some).ok_or(())
        };
        self.slots.take(IsAuthorised(is_authorised), Instant::now(), choose_victim).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_connection_makes_room_and_a_working_one_does_not() {
        let slots = ClientSlots::new(2);
        let first = slots.take(true).expect("room");
        let second = slots.take(true).expect("room");
        let _first_works = first.handle().work();
        let third = slots.take(true).expect("the second is idle");
        assert!(second.evicted().is_cancelled() && !first.evicted().is_cancelled());
        let _third_works = third.handle().work();
        assert!(slots.take(true).is_none());
        drop(first);
        assert!(slots.take(true).is_some());
    }

    /// Holds A3: whoever has a certificate of the clients' authority and no name that is let in cuts nobody off.
    #[test]
    fn a_client_that_is_not_authorised_takes_no_authorised_ones_place_and_gives_up_its_own_first() {
        let slots = ClientSlots::new(2);
        let operator = slots.take(true).expect("room");
        let stranger = slots.take(false).expect("room");
        let other = slots.take(false).expect("another stranger makes room");
        assert!(stranger.evicted().is_cancelled() && !operator.evicted().is_cancelled());
        let second = slots.take(true).expect("the stranger makes room, though it came last");
        assert!(other.evicted().is_cancelled() && !operator.evicted().is_cancelled());
        assert!(slots.take(false).is_none(), "both are authorised, though idle");
        assert!(!operator.evicted().is_cancelled() && !second.evicted().is_cancelled());
    }
}
