//! Sockets that clients connect to.

use std::fmt;
use std::io;
use std::net::IpAddr;

use tokio::net::{TcpListener, TcpStream};

/// A socket that whoever started this program has opened for it: there is none.
#[derive(Debug)]
pub enum InheritedSocket {}

/// An open socket.
#[derive(Debug)]
pub struct Listener(TcpListener);

/// A client's connection.
pub type Connection = TcpStream;

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
