//! Sockets and connections: how many, how long, how slow.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::body::Pieces;
use super::guard::Guard;
use super::places::{ConnectionSlots, MAX_CONNECTIONS, Seat};
use super::probe::MAX_ASKED;
use super::{Site, routes};
use crate::arrivals::{Arrivals, Peer};
use crate::host_port;
use crate::platform::{Connection, InheritedSocket, Listener};

/// Of one peer, so that others find a place at once. Behind one address there may be many, and a Prometheus that probes as much as
/// it may still scrapes from there.
const MAX_OF_PEER: usize = MAX_ASKED + (MAX_CONNECTIONS - MAX_ASKED) / 2;
/// Accepted connections that wait for a place, of all peers and of one. In the system's queue nobody would see whose they are, and
/// those of one peer would stand before all others.
const MAX_WAITING: usize = 256;
const MAX_WAITING_OF_PEER: usize = 192;
/// Two round trips.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// A client that has not sent its request's head by then is not going to.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Ends clients that read slowly or stay for ever; Prometheus opens the next connection by itself.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(120);
/// A scrape that is under way at shutdown may end.
const FAREWELL: Duration = Duration::from_secs(5);
/// After an error such as too many open files, accepting at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A client that is turned away for so long comes again.
const LONGEST_ACCEPT_PAUSE: Duration = Duration::from_secs(2);
/// No header of ours is larger; hyper's own default is 400 kilobytes a connection.
const MAX_BUFFER: usize = 16 * 1024;
/// Browsers send under thirty, Prometheus six.
const MAX_HEADERS: usize = 64;

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
        let places = ConnectionSlots::new(MAX_CONNECTIONS, MAX_OF_PEER);
        let waiting = Arrivals::new(MAX_WAITING, MAX_WAITING_OF_PEER);
        join_all(self.0.into_iter().map(|listener| accept(listener, &site, &guard, &places, &waiting, &stop))).await;
    }
}

async fn accept(
    listener: Listener,
    site: &Arc<Site>,
    guard: &Arc<Guard>,
    places: &Arc<ConnectionSlots>,
    waiting: &Arc<Arrivals>,
    stop: &CancellationToken,
) {
    let mut connections = JoinSet::new();
    let mut pause = ACCEPT_PAUSE;
    loop {
        let accepted = tokio::select! {
            // An accept that fails is ready each time: it must not win against the stop.
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok((stream, address)) => {
                pause = ACCEPT_PAUSE;
                (stream, address.map_or(Peer::LOCAL, Peer::of))
            }
            Err(error) => {
                if pause == ACCEPT_PAUSE {
                    warn!(%error, "cannot accept a connection; it is tried again with growing pauses");
                }
                if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                    break;
                }
                pause = (pause * 2).min(LONGEST_ACCEPT_PAUSE);
                continue;
            }
        };
        let arrival = waiting.admit(peer);
        let (site, guard, places, stop) = (Arc::clone(site), Arc::clone(guard), Arc::clone(places), stop.clone());
        connections.spawn(async move {
            let place = tokio::select! {
                () = stop.cancelled() => return,
                () = arrival.evicted.cancelled() => return debug!("too many connections of one address wait"),
                place = places.take(peer) => place,
            };
            drop(arrival);
            let evicted = place.evicted();
            let conversation = timeout(CONNECTION_DEADLINE, connect(stream, site, guard, place.seat(), stop));
            tokio::select! {
                () = evicted.cancelled() => debug!("a quiet connection made room"),
                ended = conversation => if ended.is_err() { debug!("a connection lasted for too long"); },
            }
            drop(place);
        });
    }
    let _ = timeout(FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
}

/// Shakes hands where the settings say so, and then converses.
async fn connect(stream: Connection, site: Arc<Site>, guard: Arc<Guard>, seat: Seat, stop: CancellationToken) {
    let Some(tls) = guard.settings().await.tls.clone() else {
        return converse(stream, Visit { site, guard, seat, tls: None }, stop).await;
    };
    let shaken = tokio::select! {
        () = stop.cancelled() => return,
        shaken = timeout(HANDSHAKE_DEADLINE, TlsAcceptor::from(Arc::clone(&tls)).accept(stream)) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => converse(stream, Visit { site, guard, seat, tls: Some(tls) }, stop).await,
        Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
        Err(_) => debug!("a TLS handshake took too long"),
    }
}

/// What the requests of one connection share.
struct Visit {
    site: Arc<Site>,
    guard: Arc<Guard>,
    seat: Seat,
    /// What the connection's handshake was made with.
    tls: Option<Arc<ServerConfig>>,
}

impl Visit {
    async fn answer(&self, request: &Parts) -> Response<Pieces> {
        let _working = self.seat.work();
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

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, visit: Visit, stop: CancellationToken) {
    let visit = Arc::new(visit);
    let service = service_fn(move |request: Request<Incoming>| {
        let visit = Arc::clone(&visit);
        async move { Ok::<_, Infallible>(visit.answer(&request.into_parts().0).await) }
    });
    // Without a timer the deadline for the head is silently off.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection broke off");
    }
}

impl ListenAddress {
    async fn bind(&self) -> io::Result<TcpListener> {
        match &self.host {
            Some(host) => TcpListener::bind((host.as_str(), self.port)).await,
            // Both families where there are two; a host without IPv6 refuses the first.
            None => match TcpListener::bind(("::", self.port)).await {
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    TcpListener::bind(("0.0.0.0", self.port)).await
                }
                bound => bound,
            },
        }
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

    /// What listens is a connection, whose every accept fails.
    #[tokio::test]
    async fn a_stop_is_heard_at_once_while_no_connection_can_be_accepted() {
        use std::os::fd::OwnedFd;
        let behind = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let connected = std::net::TcpStream::connect(behind.local_addr().expect("an address")).expect("connected");
        let listener = Listener::inherit(InheritedSocket::Tcp(OwnedFd::from(connected).into())).expect("a socket");
        let stop = CancellationToken::new();
        let stopper = stop.clone();
        let stopped = tokio::spawn(async move {
            // In the third pause, of 400 ms.
            sleep(ACCEPT_PAUSE * 4).await;
            stopper.cancel();
            tokio::time::Instant::now()
        });
        let board = Arc::new(crate::snapshot::Board::default());
        let guard = Arc::new(Guard::open(None, &board).expect("nothing is configured"));
        let site = Arc::new(Site {
            host: String::new(),
            telemetry_path: "/metrics".parse().expect("a path"),
            started: jiff::Timestamp::UNIX_EPOCH,
            board,
            rendered: arc_swap::ArcSwap::default(),
            prober: arc_swap::ArcSwapOption::default(),
            ready: std::sync::atomic::AtomicBool::new(false),
        });
        Listeners(vec![listener]).serve(site, guard, stop).await;
        let waited = tokio::time::Instant::now() - stopped.await.expect("no panic");
        assert!(waited < ACCEPT_PAUSE, "{waited:?}");
    }

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
