//! Whose sockets listen where a connection arrives.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The kernel tells listening sockets first. A host with thousands of them is within a megabyte.
const MAX_TABLE_BYTES: u64 = 4 * 1024 * 1024;
/// `TCP_LISTEN`, as the tables write it.
const LISTEN: &str = "0A";

/// A socket that listens, and the account that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listener {
    at: SocketAddr,
    account: u32,
}

/// The accounts whose sockets listen where a connection to `peer`, an address of this host, arrives: at the address itself, or
/// at every address. None where nobody listens in this network namespace, as when a container's port is forwarded.
///
/// # Errors
/// When the kernel's tables cannot be read.
pub fn listeners(peer: SocketAddr) -> io::Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let rows = match File::open(table) {
            Ok(file) => BufReader::new(file.take(MAX_TABLE_BYTES)).lines(),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table.ends_with('6') => continue,
            Err(error) => return Err(error),
        };
        for row in rows.skip(1) {
            let Some(listener) = parse(&row?) else { break };
            if listener.receives(peer) {
                found.insert(listener.account);
            }
        }
    }
    Ok(found)
}

impl Listener {
    /// The table does not tell whether a socket at `::` takes IPv4 too; one that may take the connection counts.
    fn receives(&self, peer: SocketAddr) -> bool {
        let (at, peer_ip) = (self.at.ip().to_canonical(), peer.ip().to_canonical());
        let everywhere = match self.at.ip() {
            IpAddr::V4(own) => own.is_unspecified() && peer_ip.is_ipv4(),
            IpAddr::V6(own) => own.is_unspecified() || (at.is_unspecified() && peer_ip.is_ipv4()),
        };
        self.at.port() == peer.port() && (at == peer_ip || everywhere)
    }
}

/// A row of a socket that listens; none when it is another's, and all rows after it are.
fn parse(row: &str) -> Option<Listener> {
    let mut fields = row.split_whitespace().skip(1);
    let local = fields.next()?;
    let state = fields.nth(1)?;
    let account = fields.nth(3)?;
    if state != LISTEN {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Listener { at: SocketAddr::new(address(ip)?, port), account: account.parse().ok()? })
}

/// The kernel writes each word of an address as a number of the machine's own byte order.
fn address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for (at, part) in octets.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn listener(at: &str) -> Listener {
        Listener { at: at.parse().expect("an address"), account: 7 }
    }

    #[test]
    fn a_socket_at_the_address_or_at_every_address_receives_and_no_other() {
        for (at, peer, receives) in [
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
            assert_eq!(listener(at).receives(peer.parse().expect("an address")), receives, "{at} {peer}");
        }
    }

    #[test]
    fn rows_that_are_no_listeners_end_the_search_and_are_never_a_panic() {
        for row in [
            "",
            "0:",
            "0: 0100007F:0016 00000000:0000 01 0:0 0:0 0 7 0 1",
            "0: 0100:0016 0:0 0A 0 0 0 7",
            "0: é:x y 0A",
        ] {
            assert_eq!(parse(row), None, "{row}");
        }
    }

    #[test]
    fn a_socket_of_this_process_is_found_with_its_account() {
        let own = rustix::process::geteuid().as_raw();
        for at in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let socket = TcpListener::bind(at).expect("a port");
            let port = socket.local_addr().expect("an address").port();
            let peer = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
            assert_eq!(listeners(peer).expect("the tables"), BTreeSet::from([own]), "{at}");
        }
        let nobody = SocketAddr::new(Ipv4Addr::new(127, 9, 9, 9).into(), 1);
        assert!(listeners(nobody).expect("the tables").is_empty());
    }
}
