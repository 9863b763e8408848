//! Sockets and connections: how many, how long, how slow.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use kagiban_serving::tls::shake_hands;
use kagiban_serving::{Acceptor, Arrivals, Close, ConnectionLimits, Peer, Pieces, serve_connection};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use super::guard::Guard;
use super::probe::MAX_ASKED;
use super::slots::{ClientSlot, ConnectionSlots, MAX_CONNECTIONS};
use super::{Site, routes};
use crate::host_port;
use crate::platform::{self, Connection, InheritedSocket, Listener};

/// Of one peer, so that others find a slot at once. Behind one address there may be many, and a Prometheus that probes as much as
/// it may still scrapes from there.
const MAX_OF_PEER: usize = MAX_ASKED + (MAX_CONNECTIONS - MAX_ASKED) / 2;
/// Accepted connections that wait for a slot, of all peers and of one. In the system's queue nobody would see whose they are, and
/// those of one peer would stand before all others.
const MAX_WAITING: usize = 256;
const MAX_WAITING_OF_PEER: usize = 192;
/// Two round trips.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Ends clients that read slowly or stay for ever; Prometheus opens the next connection by itself.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(120);
const LIMITS: ConnectionLimits = ConnectionLimits {
    // A client that has not sent it by then is not going to.
    head: Duration::from_secs(10),
    // Browsers send under thirty, Prometheus six.
    max_headers: 64,
    // No header of ours is larger.
    max_buffer: 16 * 1024,
    keep_alive: true,
    // A scrape that is under way at shutdown may end.
    drain: Duration::from_secs(5),
};

/// Where to listen: `host:port`, or `:port` for every address of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    host: Option<String>,
    port: u16,
}

/// Why an address is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write host:port, [v6]:port, or :port for every address of this host")]
pub struct ListenAddressError;

/// Why a socket was not opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {address} ({source}); choose a free one with --web.listen-address")]
    Bind { address: ListenAddress, source: io::Error },
    #[error("systemd handed over no socket; start the .socket unit, or leave out --web.systemd-socket")]
    NoneInherited,
    #[error("the sockets that systemd handed over cannot be used: {0}")]
    Inherited(io::Error),
}

/// Open sockets.
#[derive(Debug)]
pub struct Listeners(Vec<Listener>);

impl Listeners {
    /// Opens every socket, or none.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub async fn bind(addresses: &[ListenAddress]) -> Result<Self, ListenError> {
        let mut listeners = Vec::with_capacity(addresses.len());
        for address in addresses {
            let bound = address.bind().await;
            let bound = bound.map_err(|source| ListenError::Bind { address: address.clone(), source })?;
            listeners.push(Listener::from(bound));
        }
        Ok(Self::open(listeners))
    }

    /// Takes sockets that whoever started this program has opened for it.
    ///
    /// # Errors
    /// When there are none, or they cannot be used.
    pub fn inherit(sockets: Vec<InheritedSocket>) -> Result<Self, ListenError> {
        if sockets.is_empty() {
            return Err(ListenError::NoneInherited);
        }
        let listeners: io::Result<Vec<_>> = sockets.into_iter().map(Listener::inherit).collect();
        listeners.map(Self::open).map_err(ListenError::Inherited)
    }

    fn open(listeners: Vec<Listener>) -> Self {
        for address in &listeners {
            info!(%address, "listening");
        }
        Self(listeners)
    }

    /// Answers until told to stop, then lets what is under way end.
    pub async fn serve(self, site: Arc<Site>, guard: Arc<Guard>, stop: CancellationToken) {
        let slots = Arc::new(ConnectionSlots::new(MAX_CONNECTIONS, MAX_OF_PEER));
        let waiting = Arrivals::new(MAX_WAITING, MAX_WAITING_OF_PEER);
        let connections = TaskTracker::new();
        let port = Port { site, guard, slots, waiting, connections: connections.clone(), stop };
        join_all(self.0.into_iter().map(|listener| port.accept(listener))).await;
        connections.close();
        connections.wait().await;
    }
}

/// What all connections share.
struct Port {
    site: Arc<Site>,
    guard: Arc<Guard>,
    slots: Arc<ConnectionSlots>,
    waiting: Arc<Arrivals>,
    connections: TaskTracker,
    stop: CancellationToken,
}

impl Port {
    async fn accept(&self, listener: Listener) {
        let mut acceptor = Acceptor::new("web");
        while let Some((stream, address)) = acceptor.next(&self.stop, || listener.accept()).await {
            let peer = address.map_or(Peer::LOCAL, Peer::of);
            let arrival = self.waiting.admit(peer);
            let (site, guard) = (Arc::clone(&self.site), Arc::clone(&self.guard));
            let (slots, stop) = (Arc::clone(&self.slots), self.stop.clone());
            self.connections.spawn(async move {
                let slot = tokio::select! {
                    () = stop.cancelled() => return,
                    () = arrival.evicted.cancelled() => return debug!("too many connections of one address wait"),
                    slot = slots.take(peer) => slot,
                };
                drop(arrival);
                let connection = OpenConnection { site, guard, slot_handle: slot.handle(), tls: None };
                let evicted = slot.evicted();
                tokio::select! {
                    () = evicted.cancelled() => debug!("a quiet connection made room"),
                    () = sleep(CONNECTION_DEADLINE) => debug!("a connection lasted for too long"),
                    () = connection.connect(stream, stop) => {}
                }
                drop(slot);
            });
        }
    }
}

/// What the requests of one connection share.
struct OpenConnection {
    site: Arc<Site>,
    guard: Arc<Guard>,
    slot_handle: ClientSlot,
    /// What the connection's handshake was made with.
    tls: Option<Arc<ServerConfig>>,
}

impl OpenConnection {
    /// Shakes hands where the settings say so, and then serves it.
    async fn connect(self, stream: Connection, stop: CancellationToken) {
        let Some(tls) = self.guard.settings().await.tls.clone() else { return self.serve(stream, stop).await };
        let shaken = tokio::select! {
            () = stop.cancelled() => return,
            shaken = shake_hands(Arc::clone(&tls), stream, HANDSHAKE_DEADLINE) => shaken,
        };
        match shaken {
            Ok(stream) => Self { tls: Some(tls), ..self }.serve(stream, stop).await,
            Err(error) => debug!(reason = error.reason(), %error, "a TLS handshake did not end well"),
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin, stop: CancellationToken) {
        let connection = Arc::new(self);
        let answer = |request: Request<Incoming>| {
            let connection = Arc::clone(&connection);
            async move { connection.answer(&request.into_parts().0).await }
        };
        let close = async {
            stop.cancelled().await;
            Close::AfterAnswer
        };
        if let Err(error) = serve_connection(stream, LIMITS, answer, close).await {
            debug!(%error, "a connection broke off");
        }
    }

    async fn answer(&self, request: &Parts) -> Response<Pieces> {
        let _working = self.slot_handle.work();
        let settings = self.guard.settings().await;
        let mut response = match settings.admit(request).await {
            Ok(()) => self.site.answer(request).await,
            Err(refusal) => routes::refuse(refusal),
        };
        settings.dress(response.headers_mut());
        // Whom the new certificates and CAs let in, the next handshake decides.
        if self.tls.as_ref().map(Arc::as_ptr) != settings.tls.as_ref().map(Arc::as_ptr) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl ListenAddress {
    /// Whether it can be listened on now; nothing is accepted.
    ///
    /// # Errors
    /// Why not.
    pub async fn try_bind(&self) -> io::Result<()> {
        self.bind().await.map(|_| ())
    }

    /// What is listened on; `::`, which takes both families, where it names no host.
    pub fn host_and_port(&self) -> (&str, u16) {
        (self.host.as_deref().unwrap_or("::"), self.port)
    }

    async fn bind(&self) -> io::Result<TcpListener> {
        match &self.host {
            Some(host) => platform::bind_to((host.as_str(), self.port)).await,
            // Both families where there are two; a host without IPv6 refuses the first.
            None => match platform::bind_both_families(self.port).await {
                // Nor is half of it taken where another program has the other half; Windows calls that a want of rights.
                Err(error) if !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
                    platform::bind_to(("0.0.0.0", self.port)).await
                }
                bound => bound,
            },
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self { host: Some(address.ip().to_string()), port: address.port() }
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        let (host, port) = host_port::split(text).ok_or(ListenAddressError)?;
        let port = port.parse().map_err(|_| ListenAddressError)?;
        Ok(Self { host: (!host.is_empty()).then(|| host.to_owned()), port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_deref().unwrap_or_default() {
            v6 if v6.contains(':') => write!(f, "[{v6}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listen_address_reads_as_it_is_written() {
        for text in [":9994", "127.0.0.1:9994", "[::1]:0", "localhost:80"] {
            assert_eq!(text.parse::<ListenAddress>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
        for wrong in ["9994", "::1:80", "host", "host:http", ""] {
            assert!(wrong.parse::<ListenAddress>().is_err(), "{wrong}");
        }
    }
}
