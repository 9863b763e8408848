//! Whose sockets listen where a connection arrives.
//!
//! Windows tells the process that opened a socket, and the process tells its account. Where both sockets allow it (`SO_REUSEADDR`), several
//! accounts listen at one port, and nobody says which of them a connection reaches: all that may receive it count.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, ERROR_NO_DATA, ERROR_NOT_SUPPORTED};
use windows_sys::Win32::NetworkManagement::IpHelper::{MIB_TCP6ROW_OWNER_MODULE, MIB_TCPROW_OWNER_MODULE};

use super::super::listeners::{ListenersError, occupies, receives};
use super::accounts::AccountId;
use super::sys::{self, Process};

/// Bytes of one table; a row has under 200. An account that opens more sockets than that does so to hide one.
const MAX_TABLE_BYTES: u32 = 64 * 1024 * 1024;
const TABLE: &str = "the sockets that listen, as Windows tells them";
/// Of the kernel itself, which listens for others with its driver of HTTP.
const SYSTEM_PROCESS: u32 = 4;

/// A socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    at: SocketAddr,
    process: u32,
    /// As [`Process::created`]; 0 where it is not told.
    opened: u64,
}

/// Whose a process is.
#[derive(Debug)]
enum Owner {
    Account {
        account: AccountId,
        created: u64,
    },
    /// No process has the number.
    Nobody,
    Untold(io::Error),
}

/// Why it is not known whose a socket is.
#[derive(Debug, PartialEq, Eq)]
enum Unknown {
    /// Its process has ended: the socket is another's by now, or closed.
    Ended(String),
    Other(String),
}

/// The accounts whose sockets listen where a connection to `peer`, an address of this host, may arrive: at the address itself, or at
/// every address.
///
/// # Errors
/// See [`ListenersError`].
pub fn listeners(peer: SocketAddr) -> Result<BTreeSet<AccountId>, ListenersError> {
    accounts(|at| receives(at, peer))
}

/// The accounts whose sockets keep another from listening at `address`: those at the address itself and at every address, and, where
/// `address` is every address, those at any.
///
/// # Errors
/// See [`ListenersError`].
pub fn occupants(address: SocketAddr) -> Result<BTreeSet<AccountId>, ListenersError> {
    accounts(|at| occupies(at, address))
}

fn accounts(is_meant: impl Fn(SocketAddr) -> bool) -> Result<BTreeSet<AccountId>, ListenersError> {
    let unread = |why| ListenersError::Unread { table: TABLE, why };
    let look = || owners(&rows()?.into_iter().filter(|row| is_meant(row.at)).collect::<Vec<_>>(), owner);
    match look() {
        // In the moment in which it ends, the table still tells it. Then it has no socket any more.
        Err(Unknown::Ended(_)) => look().map_err(|(Unknown::Ended(why) | Unknown::Other(why))| unread(why)),
        looked => looked.map_err(|(Unknown::Ended(why) | Unknown::Other(why))| unread(why)),
    }
}

fn rows() -> Result<Vec<Row>, Unknown> {
    let [v4, v6] = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()].map(|ip| SocketAddr::new(ip, 0));
    let mut rows = table(v4, V4).map_err(|error| Unknown::Other(error.to_string()))?;
    match table(v6, V6) {
        // A host without IPv6.
        Err(error) if [ERROR_NOT_SUPPORTED, ERROR_NO_DATA].iter().any(|code| sys::is(&error, *code)) => {}
        found => rows.extend(found.map_err(|error| Unknown::Other(error.to_string()))?),
    }
    Ok(rows)
}

fn table(family: SocketAddr, layout: Layout) -> io::Result<Vec<Row>> {
    let table = sys::listening(&family, MAX_TABLE_BYTES)?.ok_or_else(|| {
        let many =
            "more than {MAX_TABLE_BYTES} bytes of listening sockets; see which account has so many (`netstat -abno`)";
        io::Error::other(many.replace("{MAX_TABLE_BYTES}", &MAX_TABLE_BYTES.to_string()))
    })?;
    let bytes: Vec<u8> = table.iter().flat_map(|it| it.to_ne_bytes()).collect();
    layout.rows(&bytes).ok_or_else(|| io::Error::other("a row is not understood"))
}

/// Where in a row of a table something stands.
#[derive(Clone, Copy, Debug)]
struct Layout {
    size: usize,
    ip: usize,
    is_ipv6: bool,
    port: usize,
    process: usize,
    opened: usize,
}

const V4: Layout = Layout {
    size: size_of::<MIB_TCPROW_OWNER_MODULE>(),
    ip: offset_of!(MIB_TCPROW_OWNER_MODULE, dwLocalAddr),
    is_ipv6: false,
    port: offset_of!(MIB_TCPROW_OWNER_MODULE, dwLocalPort),
    process: offset_of!(MIB_TCPROW_OWNER_MODULE, dwOwningPid),
    opened: offset_of!(MIB_TCPROW_OWNER_MODULE, liCreateTimestamp),
};
const V6: Layout = Layout {
    size: size_of::<MIB_TCP6ROW_OWNER_MODULE>(),
    ip: offset_of!(MIB_TCP6ROW_OWNER_MODULE, ucLocalAddr),
    is_ipv6: true,
    port: offset_of!(MIB_TCP6ROW_OWNER_MODULE, dwLocalPort),
    process: offset_of!(MIB_TCP6ROW_OWNER_MODULE, dwOwningPid),
    opened: offset_of!(MIB_TCP6ROW_OWNER_MODULE, liCreateTimestamp),
};
/// Behind the number of rows, and what aligns them.
const FIRST_ROW: usize = size_of::<u64>();

impl Layout {
    /// None where the table is not whole.
    fn rows(&self, table: &[u8]) -> Option<Vec<Row>> {
        let count = usize::try_from(u32::from_ne_bytes(at(table, 0)?)).ok()?;
        let rows = table.get(FIRST_ROW..FIRST_ROW.checked_add(count.checked_mul(self.size)?)?)?;
        rows.chunks_exact(self.size).map(|row| self.row(row)).collect()
    }

    /// Address and port are in the network's order, the port in the first two of four bytes.
    fn row(&self, row: &[u8]) -> Option<Row> {
        let ip =
            if self.is_ipv6 { IpAddr::from(at::<16>(row, self.ip)?) } else { IpAddr::from(at::<4>(row, self.ip)?) };
        Some(Row {
            at: SocketAddr::new(ip, u16::from_be_bytes(at(row, self.port)?)),
            process: u32::from_ne_bytes(at(row, self.process)?),
            opened: u64::from_ne_bytes(at(row, self.opened)?),
        })
    }
}

fn at<const N: usize>(bytes: &[u8], start: usize) -> Option<[u8; N]> {
    bytes.get(start..start.checked_add(N)?)?.try_into().ok()
}

/// The accounts of the processes that opened the sockets. One whose process cannot be asked may be a stranger's.
fn owners(rows: &[Row], owner: impl Fn(u32) -> Owner) -> Result<BTreeSet<AccountId>, Unknown> {
    let mut asked = BTreeMap::new();
    let mut accounts = BTreeSet::new();
    for row in rows {
        let ended = || {
            Unknown::Ended(format!(
                "the process {} that opened the socket at {} has ended, and another one has the socket; start the service anew",
                row.process, row.at
            ))
        };
        match asked.entry(row.process).or_insert_with(|| owner(row.process)) {
            // A socket that outlives its process, in one to which it was given, would pass for that of whoever has the number next.
            Owner::Account { created, .. } if row.opened != 0 && *created > row.opened => return Err(ended()),
            Owner::Account { account, .. } => _ = accounts.insert(account.clone()),
            Owner::Nobody => return Err(ended()),
            Owner::Untold(error) => {
                return Err(Unknown::Other(format!(
                    "the process {} that listens at {} does not tell its account: {error}; run this program as SYSTEM, or as an                      administrator",
                    row.process, row.at
                )));
            }
        }
    }
    Ok(accounts)
}

fn owner(process: u32) -> Owner {
    if process == SYSTEM_PROCESS {
        return Owner::Account { account: AccountId::system(), created: 0 };
    }
    let told = || {
        let process = Process::open(process)?;
        // A handle keeps the number: the times and the account are of one process.
        Ok::<_, io::Error>((AccountId::of(process.token()?), process.created()?))
    };
    match told() {
        Ok((account, created)) => Owner::Account { account, created },
        // What Windows says of a number that no process has.
        Err(error) if sys::is(&error, ERROR_INVALID_PARAMETER) => Owner::Nobody,
        Err(error) => Owner::Untold(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn row(at: &str, process: u32, opened: u64) -> Row {
        Row { at: at.parse().expect("an address"), process, opened }
    }

    #[test]
    fn a_table_is_read_to_its_end_and_never_beyond() {
        let mut bytes = vec![0; V4.size];
        bytes[V4.ip..V4.ip + 4].copy_from_slice(&[127, 0, 0, 1]);
        bytes[V4.port..V4.port + 4].copy_from_slice(&[0x19, 0x93, 0xff, 0xff]);
        bytes[V4.process..V4.process + 4].copy_from_slice(&812u32.to_ne_bytes());
        bytes[V4.opened..V4.opened + 8].copy_from_slice(&7u64.to_ne_bytes());
        let table = |count: u32| [&count.to_ne_bytes()[..], &[0; 4], &bytes, &bytes].concat();
        let one = row("127.0.0.1:6547", 812, 7);
        for (count, read) in [(0, Some(vec![])), (1, Some(vec![one])), (2, Some(vec![one, one])), (3, None)] {
            assert_eq!(V4.rows(&table(count)), read, "{count}");
        }
        assert_eq!(V4.rows(&table(u32::MAX)), None);
        assert_eq!(V4.rows(&[1, 0]), None);

        let mut bytes = vec![0; V6.size];
        bytes[V6.ip + 15] = 1;
        bytes[V6.port + 1] = 22;
        bytes[V6.process..V6.process + 4].copy_from_slice(&4u32.to_ne_bytes());
        assert_eq!(V6.rows(&[&[1, 0, 0, 0, 0, 0, 0, 0], &bytes[..]].concat()), Some(vec![row("[::1]:22", 4, 0)]));
    }

    /// Holds A3: a socket whose process cannot be asked is not taken for nobody's.
    #[test]
    fn a_socket_of_whom_nobody_tells_the_account_is_never_one_without() {
        let account = |sid: &str, created| Owner::Account { account: AccountId::as_written(sid), created };
        let found = |process: u32| match process {
            1 => account("S-1-5-20", 100),
            2 => account("S-1-5-18", 0),
            3 => Owner::Nobody,
            _ => Owner::Untold(io::ErrorKind::PermissionDenied.into()),
        };
        let told = |processes: &[(u32, u64)]| {
            let rows: Vec<_> = processes.iter().map(|(process, opened)| row("0.0.0.0:1", *process, *opened)).collect();
            owners(&rows, found)
        };
        let accounts = |sids: &[&str]| Ok(sids.iter().map(|sid| AccountId::as_written(sid)).collect());
        assert_eq!(told(&[]), accounts(&[]));
        assert_eq!(told(&[(1, 100), (2, 5), (1, 0)]), accounts(&["S-1-5-18", "S-1-5-20"]));
        assert!(matches!(told(&[(2, 5), (3, 5)]), Err(Unknown::Ended(_))));
        assert!(matches!(told(&[(2, 5), (9, 5)]), Err(Unknown::Other(_))));
        // Another process has the number by now than the one that opened the socket.
        assert!(matches!(told(&[(1, 99)]), Err(Unknown::Ended(_))));
    }

    /// Not at `::`: of a socket of IPv6, Wine tells no process.
    #[test]
    fn a_socket_of_this_process_is_found_with_its_account() {
        let own = AccountId::own().expect("an account");
        for at in ["127.0.0.1:0", "0.0.0.0:0"] {
            let socket = TcpListener::bind(at).expect("a port");
            // Wine tells a socket's process once that has asked the socket for something.
            socket.ttl().expect("a number");
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
