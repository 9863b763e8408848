//! Sockets that clients connect to.
//!
//! A port that is taken alone (`SO_EXCLUSIVEADDRUSE`) is not to be had for moments after a restart, while connections of the process before
//! come to their end: a socket that nobody listens at is tried again for a while.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::windows::io::AsSocket;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket, lookup_host};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::{listeners, sys};

/// A socket that whoever started this program has opened for it: there is none.
#[derive(Debug)]
pub enum InheritedSocket {}

/// An open socket.
#[derive(Debug)]
pub struct Listener(TcpListener);

/// A client's connection.
pub type Connection = TcpStream;

/// As many as the standard library lets wait.
const BACKLOG: i32 = 128;

/// How long a port is tried that no program listens at: connections whose other end is gone may hold it for longer, and then whoever
/// starts the program tries again.
const TRIED_FOR: Duration = Duration::from_secs(30);
/// Before the second try; each further pause is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// For the system's table of sockets.
const LOOKED_WITHIN: Duration = Duration::from_secs(5);

/// Listens at every address, of IPv4 too, which Windows leaves out unless it is asked.
///
/// # Errors
/// When the system does not let it, as on a host without IPv6.
pub async fn bind_both_families(port: u16) -> io::Result<TcpListener> {
    let both = || {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
        socket.set_only_v6(false)?;
        Ok(socket)
    };
    listening(both, (Ipv6Addr::UNSPECIFIED, port).into(), Instant::now()).await
}

/// Listens at the first of these addresses that it can be listened at.
///
/// # Errors
/// Of the last, when the system lets it nowhere; when a name has no address.
pub async fn bind_to(addresses: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "there is no such address");
    let began = Instant::now();
    for address in lookup_host(addresses).await? {
        match listening(|| Socket::new(Domain::for_address(address), Type::STREAM, None), address, began).await {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Receives datagrams at an address. No connection holds one that is free.
///
/// # Errors
/// When the system does not let it.
#[expect(clippy::unused_async, reason = "another system waits for it")]
pub async fn receive_at(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    sys::take_alone(socket.as_socket())?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// Tries again what nobody listens at, until long enough after it `began`.
async fn listening(
    socket: impl Fn() -> io::Result<Socket>,
    address: SocketAddr,
    began: Instant,
) -> io::Result<TcpListener> {
    let mut tries = 0;
    loop {
        let error = match socket().and_then(|socket| listening_now(socket, address)) {
            Err(error) if is_held(&error) => error,
            bound => return bound,
        };
        let Some(pause) = pause(tries, began.elapsed()) else { return Err(error) };
        if is_listened_at(address).await {
            return Err(error);
        }
        if tries == 0 {
            let seconds = TRIED_FOR.as_secs();
            tracing::warn!(%address, %error, "the port is not free yet, and no program listens at it: connections from before may end; tried for {seconds} s");
        }
        tries += 1;
        sleep(pause).await;
    }
}

/// Windows calls a port that is taken alone a want of rights, too.
fn is_held(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

/// Before the next try, so many tries and so long after the first; none once it was tried for long enough. The last try is at the end.
fn pause(tries: u32, since_first: Duration) -> Option<Duration> {
    let left = TRIED_FOR.saturating_sub(since_first);
    let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(tries)).min(LONGEST_PAUSE).min(left);
    (!left.is_zero()).then_some(pause)
}

/// Whether a program has it. One whose account is not told is one.
async fn is_listened_at(address: SocketAddr) -> bool {
    let look = timeout(LOOKED_WITHIN, spawn_blocking(move || listeners::occupants(address)));
    !matches!(look.await, Ok(Ok(Ok(accounts))) if accounts.is_empty())
}

fn listening_now(socket: Socket, address: SocketAddr) -> io::Result<TcpListener> {
    sys::take_alone(socket.as_socket())?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

impl Listener {
    /// # Errors
    /// None: there is no such socket.
    pub const fn inherit(socket: InheritedSocket) -> io::Result<Self> {
        match socket {}
    }

    /// A connection, and from which address it comes.
    ///
    /// # Errors
    /// When the system gives no connection; another may come.
    pub async fn accept(&self) -> io::Result<(Connection, Option<IpAddr>)> {
        self.0.accept().await.map(|(stream, peer)| (stream, Some(peer.ip())))
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self(listener)
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.local_addr() {
            Ok(address) => write!(f, "{address}"),
            Err(_) => f.write_str("a TCP socket"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Another account would get the passwords of those who ask, and answer them, or keep their traps to itself.
    #[tokio::test]
    async fn nobody_else_listens_where_this_program_does_though_they_ask_to_share() {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let both = bind_both_families(0).await.expect("a port");
        let one = bind_to(at).await.expect("a port");
        let datagrams = receive_at(at).await.expect("a port");
        for (socket, kind, address) in [
            (both.as_socket(), Type::STREAM, both.local_addr()),
            (one.as_socket(), Type::STREAM, one.local_addr()),
            (datagrams.as_socket(), Type::DGRAM, datagrams.local_addr()),
        ] {
            let address = address.expect("an address");
            assert!(sys::is_taken_alone(socket), "{address}");
            let second = Socket::new(Domain::for_address(address), kind, None).expect("a socket");
            second.set_reuse_address(true).expect("it asks to share");
            second.bind(&address.into()).expect_err("it is taken");
        }
        let nowhere = bind_to("kagiban-no-such-host.invalid:0").await.expect_err("it has no address");
        assert_ne!(nowhere.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_port_that_is_held_is_tried_later_and_later_and_not_for_ever() {
        let (mut waited, mut pauses) = (Duration::ZERO, Vec::new());
        while let Some(next) = pause(u32::try_from(pauses.len()).expect("few"), waited) {
            waited += next;
            pauses.push(next.as_millis());
        }
        assert_eq!(waited, TRIED_FOR, "the last try is at the end");
        assert_eq!(pauses[..6], [100, 200, 400, 800, 1_600, 2_000]);
        assert!(pauses.len() < 25, "{pauses:?}");
        assert_eq!([pause(0, TRIED_FOR), pause(u32::MAX, Duration::MAX)], [None, None]);
        assert_eq!(pause(u32::MAX, Duration::ZERO), Some(LONGEST_PAUSE));
    }

    /// What is left of connections cannot be made here: a socket that is bound, and listens nowhere, holds the port as they do.
    #[tokio::test]
    async fn a_port_that_nobody_listens_at_is_waited_for_and_one_of_another_program_is_not() {
        let held = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        sys::take_alone(held.as_socket()).expect("alone");
        held.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bound");
        let address = held.local_addr().expect("an address").as_socket().expect("of IP");
        let began = Instant::now();
        let freed = async {
            sleep(Duration::from_millis(250)).await;
            drop(held);
        };
        let (bound, ()) = tokio::join!(bind_to(address), freed);
        let first = bound.expect("it is free in the end");
        assert!(began.elapsed() >= Duration::from_millis(250));
        let began = Instant::now();
        bind_to(address).await.expect_err("a program listens there");
        assert!(began.elapsed() < LOOKED_WITHIN);
        drop(first);
    }

    #[tokio::test]
    async fn what_listens_at_every_address_is_reached_over_both_families() {
        let listener = bind_both_families(0).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let listener = Listener::from(listener);
        for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), (Ipv6Addr::LOCALHOST, port).into()] {
            let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
            assert_eq!(accepted.expect("accepted").1.map(|ip| ip.to_canonical()), Some(address.ip()));
            drop(connected.expect("connected"));
        }
        let port_is_taken = bind_both_families(port).await.expect_err("taken");
        // Wine says that it is denied.
        assert!([io::ErrorKind::AddrInUse, io::ErrorKind::PermissionDenied].contains(&port_is_taken.kind()));
    }
}
