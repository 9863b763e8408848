//! Sockets that clients connect to.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

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
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
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
        assert_eq!(port_is_taken.kind(), io::ErrorKind::AddrInUse);
    }
}
