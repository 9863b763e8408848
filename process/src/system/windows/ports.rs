//! Ports that this program listens at, which no other program gets a part of.
//!
//! A port that is taken alone (`SO_EXCLUSIVEADDRUSE`) is not to be had for moments after a restart, while connections of the process before
//! come to their end: a socket that nobody listens at is tried again for a while.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::windows::io::AsSocket;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, ToSocketAddrs, UdpSocket, lookup_host};
use tokio::time::{Instant, sleep};

use super::sys;

/// As many as the standard library lets wait.
const BACKLOG: i32 = 128;

/// How long a port is tried that no program listens at: connections whose other end is gone may hold it for longer, and then whoever
/// starts the program tries again.
const TRIED_FOR: Duration = Duration::from_secs(30);
/// Before the second try; each further pause is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Listens at every address, of IPv4 too, which Windows leaves out unless it is asked. `is_listened_at` says whether a program listens
/// where this one could not: then it is not tried again.
///
/// # Errors
/// When the system does not let it, as on a host without IPv6.
pub async fn bind_both_families<F: Future<Output = bool>>(
    port: u16,
    is_listened_at: impl Fn(SocketAddr) -> F,
) -> io::Result<TcpListener> {
    let both = || {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
        socket.set_only_v6(false)?;
        Ok(socket)
    };
    listening(both, (Ipv6Addr::UNSPECIFIED, port).into(), Instant::now(), is_listened_at).await
}

/// Listens at the first of these addresses that it can be listened at. `is_listened_at` is as with [`bind_both_families`].
///
/// # Errors
/// Of the last, when the system lets it nowhere; when a name has no address.
pub async fn bind_to<F: Future<Output = bool>>(
    addresses: impl ToSocketAddrs,
    is_listened_at: impl Fn(SocketAddr) -> F,
) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "there is no such address");
    let began = Instant::now();
    for address in lookup_host(addresses).await? {
        let socket = || Socket::new(Domain::for_address(address), Type::STREAM, None);
        match listening(socket, address, began, &is_listened_at).await {
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
async fn listening<F: Future<Output = bool>>(
    socket: impl Fn() -> io::Result<Socket>,
    address: SocketAddr,
    began: Instant,
    is_listened_at: impl Fn(SocketAddr) -> F,
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

fn listening_now(socket: Socket, address: SocketAddr) -> io::Result<TcpListener> {
    sys::take_alone(socket.as_socket())?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpStream;

    use super::*;
    use crate::system::answers_at;

    async fn nobody(_: SocketAddr) -> bool {
        false
    }

    /// Another account would get the passwords of those who ask, and answer them, or keep their traps to itself.
    #[tokio::test]
    async fn nobody_else_listens_where_this_program_does_though_they_ask_to_share() {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let both = bind_both_families(0, nobody).await.expect("a port");
        let one = bind_to(at, nobody).await.expect("a port");
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
        let nowhere = bind_to("kagiban-no-such-host.invalid:0", nobody).await.expect_err("it has no address");
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
        let (bound, ()) = tokio::join!(bind_to(address, answers_at), freed);
        let first = bound.expect("it is free in the end");
        assert!(began.elapsed() >= Duration::from_millis(250));
        let began = Instant::now();
        bind_to(address, answers_at).await.expect_err("a program listens there");
        assert!(began.elapsed() < TRIED_FOR);
        drop(first);
    }

    #[tokio::test]
    async fn what_listens_at_every_address_is_reached_over_both_families() {
        let listener = bind_both_families(0, nobody).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), (Ipv6Addr::LOCALHOST, port).into()] {
            let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
            assert_eq!(accepted.expect("accepted").1.ip().to_canonical(), address.ip());
            drop(connected.expect("connected"));
        }
        let port_is_taken = bind_both_families(port, answers_at).await.expect_err("taken");
        // Wine says that it is denied.
        assert!([io::ErrorKind::AddrInUse, io::ErrorKind::PermissionDenied].contains(&port_is_taken.kind()));
    }
}
