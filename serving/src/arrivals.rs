//! Connections that were accepted and are not let in yet: their handshake is not over, or they wait until another one ends.
//! Anybody who reaches the port can open them.
//!
//! They have slots of their own, so that they take none from clients. A peer that opens more than its share closes its own
//! oldest, and where all slots are taken the peer with the most of them gives one back: a flood hits whoever makes it.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

#[derive(Debug)]
pub struct Arrivals {
    /// Of all peers together.
    max: usize,
    max_of_peer: usize,
    next: AtomicU64,
    /// Oldest first.
    slots: Mutex<VecDeque<PendingArrival>>,
}

#[derive(Debug)]
struct PendingArrival {
    id: u64,
    peer: Peer,
    evicted: CancellationToken,
}

/// Who shares a bound: an address, or the /64 of an IPv6 address, which is the least that one host is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(IpAddr);

/// A slot until the connection is let in; given back when dropped.
#[derive(Debug)]
pub struct Arrival {
    id: u64,
    /// Fires when somebody else needs the slot.
    pub evicted: CancellationToken,
    arrivals: Arc<Arrivals>,
}

impl Arrivals {
    pub fn new(max: usize, max_of_peer: usize) -> Arc<Self> {
        Arc::new(Self { max, max_of_peer, next: AtomicU64::new(0), slots: Mutex::default() })
    }

    pub fn admit(self: &Arc<Self>, peer: Peer) -> Arrival {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let evicted = CancellationToken::new();
        let mut slots = self.slots();
        if let Some(slot) = self.one_too_many(&slots, peer).and_then(|at| slots.remove(at)) {
            slot.evicted.cancel();
        }
        slots.push_back(PendingArrival { id, peer, evicted: evicted.clone() });
        Arrival { id, evicted, arrivals: Arc::clone(self) }
    }

    /// A panic elsewhere leaves the list as whole as it was.
    fn slots(&self) -> MutexGuard<'_, VecDeque<PendingArrival>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which slot must be given back before this peer takes one.
    fn one_too_many(&self, slots: &VecDeque<PendingArrival>, newcomer: Peer) -> Option<usize> {
        let of = |peer: Peer| slots.iter().filter(|slot| slot.peer == peer).count();
        let oldest_of = |peer: Peer| slots.iter().position(|slot| slot.peer == peer);
        if of(newcomer) >= self.max_of_peer {
            return oldest_of(newcomer);
        }
        if slots.len() < self.max {
            return None;
        }
        // Of several with as many, the one that came first; `max_by_key` takes the last.
        slots.iter().rev().map(|slot| slot.peer).max_by_key(|peer| of(*peer)).and_then(oldest_of)
    }
}

impl Peer {
    /// All who come over a Unix socket: one program stands before it.
    pub const LOCAL: Self = Self(IpAddr::V6(Ipv6Addr::LOCALHOST));

    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => Self(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.arrivals.slots().retain(|slot| slot.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 64;
    const MAX_OF_PEER: usize = 8;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn v4(last: usize) -> IpAddr {
        IpAddr::from([192, 0, 2, u8::try_from(last).expect("a byte")])
    }

    fn standing(held: &[Arrival]) -> usize {
        held.iter().filter(|one| !one.evicted.is_cancelled()).count()
    }

    #[test]
    fn a_peer_that_opens_more_than_its_share_closes_its_own_oldest() {
        let arrivals = Arrivals::new(MAX, MAX_OF_PEER);
        let other = arrivals.admit(Peer::of(address("192.0.2.1")));
        let flood: Vec<_> = (0..1000).map(|_| arrivals.admit(Peer::of(address("192.0.2.2")))).collect();
        assert!(!other.evicted.is_cancelled());
        assert_eq!(standing(&flood), MAX_OF_PEER);
        assert_eq!(standing(&flood[1000 - MAX_OF_PEER..]), MAX_OF_PEER, "the youngest stay");
        drop(flood);
        assert_eq!(arrivals.slots().len(), 1);
    }

    #[test]
    fn a_peer_is_an_ipv4_address_however_written_or_half_of_an_ipv6_address() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(Peer::of(address(one)) == Peer::of(address(other)), same, "{one}, {other}");
        }
    }

    #[test]
    fn where_all_places_are_taken_the_peer_with_the_most_gives_one_back() {
        let arrivals = Arrivals::new(MAX, MAX_OF_PEER);
        let single = arrivals.admit(Peer::of(v4(250)));
        let mut flood = Vec::new();
        for round in 0..1000 {
            flood.push(arrivals.admit(Peer::of(v4(round % 20))));
        }
        assert!(!single.evicted.is_cancelled(), "20 peers that flood take nothing from one that does not");
        assert_eq!((standing(&flood), arrivals.slots().len()), (MAX - 1, MAX));
        let newcomer = arrivals.admit(Peer::of(v4(251)));
        flood.extend((0..20).map(|peer| arrivals.admit(Peer::of(v4(peer)))));
        assert!(!newcomer.evicted.is_cancelled() && !single.evicted.is_cancelled());
    }

    #[test]
    fn where_each_peer_has_one_place_the_oldest_is_given_back() {
        let arrivals = Arrivals::new(MAX, MAX_OF_PEER);
        let held: Vec<_> = (0..=MAX).map(|peer| arrivals.admit(Peer::of(v4(peer)))).collect();
        assert!(held[0].evicted.is_cancelled());
        assert_eq!(standing(&held), MAX);
    }
}
