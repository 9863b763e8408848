//! How many connections there are at once. When all slots are taken, a newcomer waits a moment; then the connection that
//! has been doing nothing for longest makes room, so that clients that send a byte a second lock nobody out. A peer that has
//! more slots than the newcomer's gives one back at once, so that a flood takes none but its own.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kagiban_serving::{Peer, Slot, SlotHandle, Slots, TakenSlot};
use tokio::time::sleep;

/// Prometheus needs one, a pair of them two; the rest is for people and for those who forget to hang up.
pub(super) const MAX_CONNECTIONS: usize = 64;

/// Longer than an honest client needs for its next step, a handshake, a request, reading an answer; shorter than a
/// scrape's patience.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct ConnectionSlots {
    max: usize,
    max_of_peer: usize,
    slots: Arc<Slots<Peer>>,
}

/// A connection's slot; given back when dropped.
pub(super) type ConnectionSlot = Slot<Peer>;
/// What a connection's requests keep of its slot.
pub(super) type ClientSlot = SlotHandle<Peer>;

impl ConnectionSlots {
    pub(super) fn new(max: usize, max_of_peer: usize) -> Self {
        Self { max, max_of_peer, slots: Slots::new() }
    }

    /// A slot, as soon as there is one.
    pub(super) async fn take(&self, peer: Peer) -> ConnectionSlot {
        loop {
            let freed = self.slots.freed();
            match self.try_take(peer, Instant::now()) {
                Ok(slot) => return slot,
                Err(wait) => tokio::select! {
                    () = freed => {}
                    () = sleep(wait) => {}
                },
            }
        }
    }

    /// Or after how long to try again.
    fn try_take(&self, peer: Peer, now: Instant) -> Result<ConnectionSlot, Duration> {
        self.slots.take(peer, now, |taken| {
            let own = held_by(taken, peer);
            if own < self.max_of_peer && taken.len() < self.max {
                return Ok(None);
            }
            let only_own = own >= self.max_of_peer;
            let (one, patience) = one_too_many(taken, peer, own, only_own).ok_or(QUIET)?;
            let quiet = now.saturating_duration_since(one.last_step());
            if quiet < patience { Err(patience.saturating_sub(quiet)) } else { Ok(Some(one)) }
        })
    }
}

fn held_by(taken: &[Arc<TakenSlot<Peer>>], peer: Peer) -> usize {
    taken.iter().filter(|one| one.client == peer).count()
}

/// Which connection makes room for one of a peer that has `own`, and how long it must have been quiet for that.
fn one_too_many(
    taken: &[Arc<TakenSlot<Peer>>],
    newcomer: Peer,
    own: usize,
    only_own: bool,
) -> Option<(Arc<TakenSlot<Peer>>, Duration)> {
    let idle = || taken.iter().filter(|one| !one.is_working());
    if only_own {
        let quietest = idle().filter(|one| one.client == newcomer).min_by_key(|one| one.last_step());
        return quietest.map(|one| (Arc::clone(one), QUIET));
    }
    // Afterwards it still has as many.
    let greedy = idle().map(|one| (held_by(taken, one.client), one)).filter(|(held, _)| *held > own + 1);
    if let Some((_, one)) = greedy.max_by_key(|(held, one)| (*held, Reverse(one.last_step()))) {
        return Some((Arc::clone(one), Duration::ZERO));
    }
    let no_less = idle().filter(|one| held_by(taken, one.client) >= own);
    no_less.min_by_key(|one| one.last_step()).map(|one| (Arc::clone(one), QUIET))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::of([192, 0, 2, last].into())
    }

    /// A peer that hangs up and connects again held all slots, and whoever came next waited behind its newcomers.
    #[test]
    fn a_flood_takes_no_slot_but_its_own() {
        let slots = ConnectionSlots::new(8, 6);
        let now = Instant::now();
        let mut flood: Vec<_> = (0..6).map(|_| slots.try_take(peer(1), now).expect("room")).collect();
        assert!(slots.try_take(peer(1), now).is_err(), "it has its share, and there is room for others");
        flood.push(slots.try_take(peer(1), now + QUIET).expect("its own quietest makes room"));
        assert!(flood[0].evicted().is_cancelled());
        let mut others: Vec<_> = (2..=3).map(|last| slots.try_take(peer(last), now).expect("room")).collect();
        // All slots are taken: the flood gives one back at once, and takes none of the others
        let working = others[0].handle().work();
        for last in 4..=6 {
            others.push(slots.try_take(peer(last), now).expect("the flood makes room"));
        }
        assert!(slots.try_take(peer(1), now + QUIET / 2).is_err());
        assert!(others.iter().all(|one| !one.evicted().is_cancelled()));
        assert_eq!(flood.iter().filter(|one| !one.evicted().is_cancelled()).count(), 3);
        drop(working);
    }

    #[test]
    fn the_quietest_connection_makes_room_after_a_moment_and_a_working_one_never() {
        let slots = ConnectionSlots::new(2, 2);
        let (now, later) = (Instant::now(), Instant::now() + 2 * QUIET);
        let first = slots.try_take(peer(1), now).expect("room");
        let second = slots.try_take(peer(1), now).expect("room");
        assert!(slots.try_take(peer(1), now).is_err(), "both may still take their first step");
        let working = first.handle().work();
        let third = slots.try_take(peer(1), later).expect("the second has been quiet for long");
        assert!(second.evicted().is_cancelled() && !first.evicted().is_cancelled());
        let _third_works = third.handle().work();
        assert!(slots.try_take(peer(1), later + QUIET).is_err());
        drop((working, first));
        assert!(slots.try_take(peer(1), later).is_ok());
    }

    #[tokio::test]
    async fn a_slot_that_is_given_back_is_taken_at_once() {
        let slots = Arc::new(ConnectionSlots::new(1, 1));
        let only = slots.take(peer(1)).await;
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.take(peer(1)).await }
        });
        tokio::task::yield_now().await;
        drop(only);
        tokio::time::timeout(QUIET / 2, waiting).await.expect("in time").expect("no panic");
    }
}
