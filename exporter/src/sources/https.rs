//! HTTP/1.1 as a client speaks it, capped: one request at a time over a connection that somebody else has judged, or over TLS to a server
//! that is judged here.

use std::io;
use std::sync::Arc;

use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use kagiban_serving::{Budgeted, ByteBudget};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

/// Room for the head of an answer; those of the products are below 2 KiB.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// What a server is told of who asks.
pub(super) const AGENT: &str = concat!("kagiban-exporter/", env!("CARGO_PKG_VERSION"));

/// Where requests are sent; the connection ends with it.
pub(super) struct Http<B> {
    pub(super) sender: SendRequest<B>,
    _task: AbortOnDropHandle<()>,
}

/// The same over TLS.
pub(super) struct Https<B> {
    pub(super) http: Http<B>,
    /// What the server may still send, whatever it is.
    pub(super) received: ByteBudget,
}

/// Why there is no connection that requests can be sent over.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHttps {
    #[error(transparent)]
    Tls(io::Error),
    #[error(transparent)]
    Http(hyper::Error),
}

impl<B> Http<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// # Errors
    /// Of the library, before anything is sent.
    pub(super) async fn over<S>(stream: S) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
        let (sender, connection) = http.handshake(TokioIo::new(stream)).await?;
        // What ends it ends the request too, which tells.
        let task = tokio::spawn(async { _ = connection.await });
        Ok(Self { sender, _task: AbortOnDropHandle::new(task) })
    }
}

impl<B> Https<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Shakes hands with a server that has to be `name`; it may send `max_received` bytes.
    ///
    /// # Errors
    /// See [`NoHttps`].
    pub(super) async fn over(
        stream: TcpStream,
        name: ServerName<'static>,
        tls: &Arc<ClientConfig>,
        max_received: u64,
    ) -> Result<Self, NoHttps> {
        let received = ByteBudget::new(max_received);
        let connector = TlsConnector::from(Arc::clone(tls));
        let stream = connector.connect(name, Budgeted::new(stream, received.clone())).await.map_err(NoHttps::Tls)?;
        Ok(Self { http: Http::over(stream).await.map_err(NoHttps::Http)?, received })
    }
}
