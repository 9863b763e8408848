//! Sockets and connections: how many, how long, how slow.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Site;

/// Prometheus needs one, a pair of them two; the rest is for people and for those who forget to hang up.
const MAX_CONNECTIONS: usize = 64;
/// A client that has not sent its request's head by then is not going to.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Ends clients that read slowly or stay for ever; Prometheus opens the next connection by itself.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(120);
/// A scrape that is under way at shutdown may end.
const FAREWELL: Duration = Duration::from_secs(5);
/// After an error such as too many open files, accepting at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// No header of ours is larger; hyper's own default is 400 kilobytes a connection.
const MAX_BUFFER: usize = 16 * 1024;

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
#[error("cannot listen on {address} ({source}); choose a free one with --web.listen-address")]
pub struct ListenError {
    address: ListenAddress,
    source: io::Error,
}

/// Open sockets.
#[derive(Debug)]
pub struct Listeners(Vec<TcpListener>);

impl Listeners {
    /// Opens every socket, or none.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub async fn bind(addresses: &[ListenAddress]) -> Result<Self, ListenError> {
        let mut listeners = Vec::with_capacity(addresses.len());
        for address in addresses {
            let listener = address.bind().await.map_err(|source| ListenError { address: address.clone(), source })?;
            if let Ok(local) = listener.local_addr() {
                info!(address = %local, "listening");
            }
            listeners.push(listener);
        }
        Ok(Self(listeners))
    }

    /// The addresses in use, with the ports that the system chose.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Answers until told to stop, then lets what is under way end.
    pub async fn serve(self, site: Arc<Site>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        join_all(self.0.into_iter().map(|listener| accept(listener, &site, &places, &stop))).await;
    }
}

async fn accept(listener: TcpListener, site: &Arc<Site>, places: &Arc<Semaphore>, stop: &CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Beyond the limit a client is sent away at once: it would otherwise wait without knowing.
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            warn!(limit = MAX_CONNECTIONS, "too many connections, one more was closed");
            continue;
        };
        let (site, stop) = (Arc::clone(site), stop.clone());
        connections.spawn(async move {
            converse(stream, site, stop).await;
            drop(place);
        });
    }
    let _ = timeout(FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
}

async fn converse(stream: TcpStream, site: Arc<Site>, stop: CancellationToken) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let response = site.answer(&request.into_parts().0);
        async move { Ok::<_, Infallible>(response) }
    });
    // Without a timer the deadline for the head is silently off.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = timeout(CONNECTION_DEADLINE, async {
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        }
    });
    if let Ok(Err(error)) = ended.await {
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
        let (host, port) = text.rsplit_once(':').ok_or(ListenAddressError)?;
        let port = port.parse().map_err(|_| ListenAddressError)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(ListenAddressError)?,
            None if host.contains(':') => return Err(ListenAddressError),
            None => host,
        };
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
