//! One connection, from the handshake to its end, with a deadline at every step.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::audit;
use super::client::Client;
use super::slots::Slots;
use crate::arrivals::Arrival;

/// A handshake is two round trips.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The head of a request is one packet. Without a timer hyper would wait for ever.
const HEAD: Duration = Duration::from_secs(5);
/// Real requests carry under ten.
const MAX_HEADERS: usize = 32;
/// The least that hyper takes, and more than any head of ours.
const BUFFER: usize = 8192;
/// A client that reads its answers slowly must come back some time.
const LIFETIME: Duration = Duration::from_secs(300);

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) acceptor: TlsAcceptor,
    pub(super) api: Arc<Api>,
    pub(super) handshaking: Arrival,
    pub(super) slots: Arc<Slots>,
    pub(super) shutdown: CancellationToken,
    /// The TLS files are others now: who spoke under the old ones may be revoked.
    pub(super) replaced: CancellationToken,
}

impl Connection {
    pub(super) async fn serve(self) {
        let Self { stream, peer, acceptor, api, handshaking, slots, shutdown, replaced } = self;
        let shaken = tokio::select! {
            shaken = timeout(HANDSHAKE, acceptor.accept(stream)) => shaken,
            () = handshaking.evicted.cancelled() => {
                return audit::refused_connection(peer, "handshake_crowded_out", "others came before it was over");
            }
            () = shutdown.cancelled() => return,
        };
        let stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return audit::refused_connection(peer, "handshake_failed", &error.to_string()),
            Err(_) => return audit::refused_connection(peer, "handshake_too_slow", ""),
        };
        let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let client = Arc::new(Client::of(leaf, &api.client_names));
        let Some(slot) = slots.take(client.authorised) else {
            return audit::refused_connection(peer, "busy", "every connection is being answered");
        };
        drop(handshaking);
        let working = Arc::clone(&slot.working);
        let service = service_fn(move |request| {
            Arc::clone(&api).answer(request, peer, Arc::clone(&client), Arc::clone(&working))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_headers(MAX_HEADERS)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            // What went wrong with a request was answered and logged; a connection that breaks off is no news.
            _ = &mut connection => return,
            () = slot.evicted.cancelled() => return audit::refused_connection(peer, "evicted", "idle"),
            () = sleep(LIFETIME) => {}
            // A request of which a part was heard is not heard to its end: who speaks may be revoked. One that is answered is.
            () = replaced.cancelled() => if !slot.working.load(Ordering::Acquire) {
                return;
            },
            () = shutdown.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(HEAD, connection).await;
    }
}
