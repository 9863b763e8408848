//! What the seam says of the sockets that listen, whatever the system.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// Why it is not known whose sockets listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenersError {
    /// Nobody can hide behind that: the system tells nobody.
    #[error("the system does not tell whose sockets listen: {0}")]
    Untold(io::Error),
    /// Somebody may: the system tells, and not everything was heard.
    #[error("{table}: {why}")]
    Unread { table: &'static str, why: String },
}

/// Whether a socket that listens at `at` may take a connection to `peer`, an address of this host. No system tells whether a socket at
/// `::` takes IPv4 too; one that may counts.
pub(super) fn receives(at: SocketAddr, peer: SocketAddr) -> bool {
    let (ip, peer_ip) = (at.ip().to_canonical(), peer.ip().to_canonical());
    let everywhere = match at.ip() {
        IpAddr::V4(own) => own.is_unspecified() && peer_ip.is_ipv4(),
        IpAddr::V6(own) => own.is_unspecified() || (ip.is_unspecified() && peer_ip.is_ipv4()),
    };
    at.port() == peer.port() && (ip == peer_ip || everywhere)
}

/// Whether a socket that listens at `at` may keep another from listening at `address`. A socket at `::` may take IPv4 too, so that one
/// at an IPv4 address is in its way.
pub(super) fn occupies(at: SocketAddr, address: SocketAddr) -> bool {
    let is_at_any = match address.ip() {
        IpAddr::V4(ip) => ip.is_unspecified() && at.ip().to_canonical().is_ipv4(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    at.port() == address.port() && (is_at_any || receives(at, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_socket_at_the_address_or_at_every_address_receives_and_no_other() {
        for (at, peer, is_received) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:2", "127.0.0.1:1", false),
            ("127.0.0.2:1", "127.0.0.1:1", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::]:1", "127.0.0.1:1", true),
            ("[::]:1", "[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
            ("[::ffff:0.0.0.0]:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "[::ffff:127.0.0.1]:1", true),
            ("[::1]:1", "127.0.0.1:1", false),
        ] {
            assert_eq!(receives(address(at), address(peer)), is_received, "{at} {peer}");
        }
    }

    #[test]
    fn a_socket_is_in_the_way_of_another_at_its_address_and_of_one_at_every_address() {
        for (at, other, is_occupied) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.2:1", "127.0.0.1:1", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("127.0.0.1:2", "0.0.0.0:1", false),
            ("[::1]:1", "0.0.0.0:1", false),
            ("[::]:1", "0.0.0.0:1", true),
            ("127.0.0.1:1", "[::]:1", true),
            ("0.0.0.0:1", "[::]:1", true),
            ("[::1]:1", "[::]:1", true),
            ("[::1]:2", "[::]:1", false),
        ] {
            assert_eq!(occupies(address(at), address(other)), is_occupied, "{at} {other}");
        }
    }
}
