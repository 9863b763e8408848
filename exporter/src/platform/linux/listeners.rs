//! Whose sockets listen where a connection arrives.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::listeners::{ListenersError, occupies, receives};
use super::accounts::AccountId;

/// Bytes of one table; a row has 150. An account that opens more sockets than that does so to hide one.
const MAX_TABLE_BYTES: u64 = 64 * 1024 * 1024;
/// `TCP_LISTEN`, as the tables write it.
const LISTEN: &str = "0A";

/// A socket that listens, and the account that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Listener {
    at: SocketAddr,
    account: u32,
}

/// What a row of a table says.
#[derive(Debug, PartialEq, Eq)]
enum Row {
    Listens(Listener),
    /// It is connected: the kernel tells listening sockets first, so that none follows.
    Other,
}

/// The accounts whose sockets listen where a connection to `peer`, an address of this host, arrives: at the address itself, or
/// at every address. None where nobody listens in this network namespace, as when a container's port is forwarded.
///
/// Where a socket at an address of IPv4 receives it, none at `::` of another account does: the kernel lets no two accounts listen
/// where both would receive, and any account may have one at `::` that takes no IPv4.
///
/// # Errors
/// See [`ListenersError`].
pub fn listeners(peer: SocketAddr) -> Result<BTreeSet<AccountId>, ListenersError> {
    let mut found = listening(|listener| receives(listener.at, peer))?;
    let is_at_ipv4 = |listener: &Listener| listener.at.ip().to_canonical().is_ipv4();
    if found.iter().any(is_at_ipv4) {
        found.retain(is_at_ipv4);
    }
    Ok(accounts(found))
}

/// The accounts whose sockets keep another from listening at `address`: those at the address itself and at every address, and, where
/// `address` is every address, those at any.
///
/// # Errors
/// See [`ListenersError`].
pub fn occupants(address: SocketAddr) -> Result<BTreeSet<AccountId>, ListenersError> {
    listening(|listener| occupies(listener.at, address)).map(accounts)
}

fn accounts(listening: BTreeSet<Listener>) -> BTreeSet<AccountId> {
    listening.into_iter().map(|listener| AccountId::of(listener.account)).collect()
}

fn listening(is_meant: impl Fn(&Listener) -> bool) -> Result<BTreeSet<Listener>, ListenersError> {
    let mut found = BTreeSet::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let rows = match File::open(table) {
            Ok(file) => BufReader::new(file),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table.ends_with('6') => continue,
            Err(error) => return Err(unopened(table, error)),
        };
        let told = listed(rows, MAX_TABLE_BYTES, &is_meant).map_err(|why| ListenersError::Unread { table, why })?;
        found.extend(told);
    }
    Ok(found)
}

/// A system that tells nobody has no such table, or opens it for nobody. Where this process has no descriptor or the system no
/// memory for it, it tells others, and an account may have seen to that.
fn unopened(table: &'static str, error: io::Error) -> ListenersError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => ListenersError::Untold(error),
        _ => ListenersError::Unread { table, why: error.to_string() },
    }
}

/// The sockets that a table tells, which has at most `limit` bytes of listening sockets; or why it does not.
fn listed(table: impl BufRead, limit: u64, is_meant: impl Fn(&Listener) -> bool) -> Result<BTreeSet<Listener>, String> {
    let mut found = BTreeSet::new();
    let mut read = 0;
    for (number, row) in table.take(limit.saturating_add(1)).lines().enumerate() {
        let row = row.map_err(|error| error.to_string())?;
        read += row.len() as u64 + 1;
        if read >= limit {
            return Err(format!(
                "more than {limit} bytes of listening sockets; see which account has so many (`ss -ltnp`)"
            ));
        }
        if number == 0 {
            continue;
        }
        match parse(&row).ok_or_else(|| format!("a row is not understood: {row:.200}"))? {
            Row::Listens(listener) if is_meant(&listener) => _ = found.insert(listener),
            Row::Listens(_) => {}
            Row::Other => break,
        }
    }
    Ok(found)
}

/// None where it is no row of such a table.
fn parse(row: &str) -> Option<Row> {
    let mut fields = row.split_whitespace().skip(1);
    let local = fields.next()?;
    let state = fields.nth(1)?;
    let account = fields.nth(3)?;
    if state != LISTEN {
        return Some(Row::Other);
    }
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Row::Listens(Listener { at: SocketAddr::new(address(ip)?, port), account: account.parse().ok()? }))
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
    use std::slice;

    use super::*;

    #[test]
    fn rows_that_are_none_are_told_from_others_and_are_never_a_panic() {
        for row in ["", "0:", "0: 0100:0016 0:0 0A 0 0 0 7", "0: é:x y 0A", "0: 0100007F:0016 0:0 0A 0 0 0 x"] {
            assert_eq!(parse(row), None, "{row}");
        }
        assert_eq!(parse("0: 0100007F:0016 00000000:0000 01 0:0 0:0 0 7 0 1"), Some(Row::Other));
    }

    /// Holds A3: an account that opens so many sockets that one is not seen is not taken for nobody.
    #[test]
    fn a_table_that_is_not_read_to_the_end_of_its_listeners_tells_nothing() {
        let peer: SocketAddr = "127.0.0.1:22".parse().expect("an address");
        let row = |port: &str, state: &str, account: u32| {
            format!(
                "   0: 0100007F:{port} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {account} 0 1\n"
            )
        };
        let told = |rows: &[String], limit: u64| {
            listed(format!("  sl  local_address\n{}", rows.concat()).as_bytes(), limit, |it| receives(it.at, peer))
                .map(accounts)
        };
        let one = row("0016", "0A", 7);
        let crowd = vec![row("1F90", "0A", 9); 50];
        let hidden = [crowd.as_slice(), slice::from_ref(&one)].concat();
        assert_eq!(told(&hidden, 1 << 20), Ok(BTreeSet::from([AccountId::of(7)])));
        for limit in [100, 1000, 4000] {
            assert!(told(&hidden, limit).is_err(), "{limit}");
        }
        // What follows the listening sockets is of no account, whatever its length.
        let connected = [slice::from_ref(&one), vec![row("0016", "01", 8); 50].as_slice()].concat();
        assert_eq!(told(&connected, 1000), Ok(BTreeSet::from([AccountId::of(7)])));
        assert!(told(&[one, "garbage\n".to_owned()], 1000).is_err());
    }

    /// Holds A3: an account that takes every descriptor or all memory is not taken for nobody.
    #[test]
    fn only_a_table_that_is_kept_from_everybody_is_one_that_tells_nothing() {
        use rustix::io::Errno;
        for (errno, is_untold) in [
            (Errno::NOENT, true),
            (Errno::ACCESS, true),
            (Errno::PERM, true),
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOMEM, false),
            (Errno::IO, false),
        ] {
            let error = unopened("/proc/self/net/tcp", errno.into());
            assert_eq!(matches!(error, ListenersError::Untold(_)), is_untold, "{error}");
        }
    }

    #[test]
    fn a_socket_of_this_process_is_found_with_its_account() {
        let own = AccountId::of(rustix::process::geteuid().as_raw());
        for at in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let socket = TcpListener::bind(at).expect("a port");
            let port = socket.local_addr().expect("an address").port();
            let peer = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
            assert_eq!(listeners(peer).expect("the tables"), BTreeSet::from([own.clone()]), "{at}");
            let everywhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
            assert_eq!(occupants(everywhere).expect("the tables"), BTreeSet::from([own.clone()]), "{at}");
        }
        let nobody = SocketAddr::new(Ipv4Addr::new(127, 9, 9, 9).into(), 1);
        assert!(listeners(nobody).expect("the tables").is_empty());
    }
}
