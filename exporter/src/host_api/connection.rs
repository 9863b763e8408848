//! One connection, from the handshake to its end, with a deadline at every step.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kagiban_serving::tls::shake_hands;
use kagiban_serving::{Arrival, Close, ConnectionLimits, serve_connection};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::audit;
use super::client::Client;
use super::slots::ClientSlots;
use super::tls::ServedConfig;

/// A handshake is two round trips.
const HANDSHAKE: Duration = Duration::from_secs(5);
const LIMITS: ConnectionLimits = ConnectionLimits {
    // It is one packet.
    head: Duration::from_secs(5),
    // Real requests carry under ten.
    max_headers: 32,
    // The least that hyper takes, and more than any head of ours.
    max_buffer: 8192,
    keep_alive: true,
    drain: Duration::from_secs(5),
};
/// A client that reads its answers slowly must come back some time.
const LIFETIME: Duration = Duration::from_secs(300);

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// What the handshake is made with. When the TLS files are others, who spoke under these may be revoked.
    pub(super) served: Arc<ServedConfig>,
    pub(super) api: Arc<Api>,
    pub(super) handshaking: Arrival,
    pub(super) slots: Arc<ClientSlots>,
    pub(super) shutdown: CancellationToken,
}

impl Connection {
    pub(super) async fn serve(self) {
        let Self { stream, peer, served, api, handshaking, slots, shutdown } = self;
        let shaken = tokio::select! {
            shaken = shake_hands(Arc::clone(&served.config), stream, HANDSHAKE) => shaken,
            () = handshaking.evicted.cancelled() => {
                return audit::refused_connection(peer, "handshake_crowded_out", "others came before it was over");
            }
            () = shutdown.cancelled() => return,
        };
        let stream = match shaken {
            Ok(stream) => stream,
            Err(error) => return audit::refused_connection(peer, error.reason(), &error.to_string()),
        };
        let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let client = Arc::new(Client::of(leaf, &api.client_names));
        let Some(slot) = slots.take(client.authorised) else {
            return audit::refused_connection(peer, "busy", "every connection is being answered");
        };
        drop(handshaking);
        let slot_handle = slot.handle();
        let answer = |request| Arc::clone(&api).answer(request, peer, Arc::clone(&client), slot_handle.clone());
        let evicted = slot.evicted();
        let close = async {
            tokio::select! {
                () = evicted.cancelled() => {
                    audit::refused_connection(peer, "evicted", "idle");
                    Close::Now
                }
                // A request of which a part was heard is not heard to its end: who speaks may be revoked. One that is answered is.
                () = served.replaced.cancelled() => if slot.is_working() { Close::AfterAnswer } else { Close::Now },
                () = sleep(LIFETIME) => Close::AfterAnswer,
                () = shutdown.cancelled() => Close::AfterAnswer,
            }
        };
        // What went wrong with a request was answered and logged; a connection that breaks off is no news.
        let _ = serve_connection(stream, LIMITS, answer, close).await;
    }
}
