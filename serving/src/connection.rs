//! One connection, from its first request to its end.

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

/// What one connection may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// For the head of a request.
    pub head: Duration,
    pub max_headers: usize,
    /// In bytes; hyper's own default is 400 kilobytes a connection.
    pub max_buffer: usize,
    /// Whether more than one request may come.
    pub keep_alive: bool,
    /// For what is being answered when the connection is to end.
    pub drain: Duration,
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    Now,
    /// Once the request that is being answered is.
    AfterAnswer,
}

/// Answers requests until the client leaves, or `close` says that the connection is to end.
///
/// # Errors
/// When the connection broke off, or what was heard is no HTTP.
pub async fn serve_connection<A, B>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    limits: ConnectionLimits,
    answer: impl Fn(Request<Incoming>) -> A,
    close: impl Future<Output = Close>,
) -> hyper::Result<()>
where
    A: Future<Output = Response<B>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let service = service_fn(|request| {
        let answering = answer(request);
        async { Ok::<_, Infallible>(answering.await) }
    });
    // Without a timer the deadline for the head is silently off.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(limits.max_headers)
        .max_buf_size(limits.max_buffer)
        .keep_alive(limits.keep_alive)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let close = tokio::select! {
        ended = connection.as_mut() => return ended,
        close = close => close,
    };
    if close == Close::Now {
        return Ok(());
    }
    connection.as_mut().graceful_shutdown();
    timeout(limits.drain, connection).await.unwrap_or(Ok(()))
}
