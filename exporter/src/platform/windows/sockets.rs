//! Sockets that clients connect to.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::windows::io::AsSocket;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket, lookup_host};

use super::sys;

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

/// Listens at every address, of IPv4 too, which Windows leaves out unless it is asked.
///
/// # Errors
/// When the system does not let it, as on a host without IPv6.
#[expect(clippy::unused_async, reason = "another system waits for it")]
pub async fn bind_both_families(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_only_v6(false)?;
    listening(socket, (Ipv6Addr::UNSPECIFIED, port).into())
}

/// Listens at the first of these addresses that it can be listened at.
///
/// # Errors
/// Of the last, when the system lets it nowhere; when a name has no address.
pub async fn bind_to(addresses: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "there is no such address");
    for address in lookup_host(addresses).await? {
        match Socket::new(Domain::for_address(address), Type::STREAM, None).and_then(|it| listening(it, address)) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Receives datagrams at an address.
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

fn listening(socket: Socket, address: SocketAddr) -> io::Result<TcpListener> {
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
