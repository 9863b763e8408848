//! Sockets that clients connect to: TCP ones, and Unix ones that systemd has opened.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::unix;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

/// A socket that whoever started this program has opened for it.
#[derive(Debug)]
pub enum InheritedSocket {
    Tcp(std::net::TcpListener),
    Unix(unix::net::UnixListener),
}

/// An open socket.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A client's connection.
pub type Connection = Either<TcpStream, UnixStream>;

impl Listener {
    /// # Errors
    /// When the system does not let it be waited on.
    pub fn inherit(socket: InheritedSocket) -> io::Result<Self> {
        match socket {
            InheritedSocket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                TcpListener::from_std(socket).map(Self::Tcp)
            }
            InheritedSocket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                UnixListener::from_std(socket).map(Self::Unix)
            }
        }
    }

    /// A connection, and from which address it comes; over a Unix socket from none.
    ///
    /// # Errors
    /// When the system gives no connection; another may come.
    pub async fn accept(&self) -> io::Result<(Connection, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                listener.accept().await.map(|(stream, peer)| (Either::Left(stream), Some(peer.ip())))
            }
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| (Either::Right(stream), None)),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "{address}"),
                Err(_) => f.write_str("a TCP socket"),
            },
            Self::Unix(listener) => {
                let address = listener.local_addr();
                match address.as_ref().ok().and_then(|address| address.as_pathname()) {
                    Some(path) => write!(f, "unix:{}", path.display()),
                    None => f.write_str("a Unix socket"),
                }
            }
        }
    }
}
