//! The listening side: accepts, reloads its TLS files, and ends in order.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kagiban_serving::{Acceptor, Arrivals, Peer};
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api::Api;
use super::audit;
use super::connection::Connection;
use super::slots::ClientSlots;
use super::tls::{Files, ServedConfig, TlsError};
use crate::from_files::FromFiles;
use crate::snapshot::Board;

/// Handshakes of all peers together. Each is two round trips, or a stranger who waits for its deadline.
const MAX_HALF_OPEN: usize = 64;
/// Of one peer. An operator opens a few at once; behind one address there may be several operators.
const MAX_HALF_OPEN_OF_PEER: usize = 8;
/// A new CA bundle counts within this time.
const RELOAD: Duration = Duration::from_secs(5);

/// What the TLS files make. A file system that hangs must take no thread that answers; the old files serve on.
pub(super) type ServedFiles = FromFiles<ServedConfig, TlsError>;

pub(super) struct Server {
    pub(super) listener: TcpListener,
    pub(super) tls: Files,
    pub(super) served: ServedFiles,
    pub(super) api: Arc<Api>,
    pub(super) board: Arc<Board>,
    pub(super) max_connections: usize,
}

impl Server {
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let Self { listener, tls, served, api, board, max_connections } = self;
        let connections = TaskTracker::new();
        let reloading = tokio::spawn(reload(tls, served.clone(), board, shutdown.clone()));
        let half_open = Arrivals::new(MAX_HALF_OPEN, MAX_HALF_OPEN_OF_PEER);
        let slots = Arc::new(ClientSlots::new(max_connections));
        let mut acceptor = Acceptor::new("host_api");
        while let Some((stream, peer)) = acceptor.next(&shutdown, || listener.accept()).await {
            let handshaking = half_open.admit(Peer::of(peer.ip()));
            let served = in_force(&served);
            let (api, slots, shutdown) = (Arc::clone(&api), Arc::clone(&slots), shutdown.clone());
            connections.spawn(Connection { stream, peer, served, api, handshaking, slots, shutdown }.serve());
        }
        drop(listener);
        connections.close();
        connections.wait().await;
        let _ = reloading.await;
    }
}

fn in_force(files: &ServedFiles) -> Arc<ServedConfig> {
    files.last().expect("it starts with files that make a server, and keeps the last that did")
}

/// Keeps the old configuration when the new one is bad.
async fn reload(files: Files, served: ServedFiles, board: Arc<Board>, shutdown: CancellationToken) {
    let mut ticks = interval(RELOAD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = String::new();
    let mut told_expiry = None;
    let note = |successful, now| {
        let served = in_force(&served);
        board.note_host_api_tls(successful, served.certificate_not_after, served.crl_next_update, now);
    };
    note(true, Timestamp::now());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        audit::tell_untold();
        let (looking, before) = (files.clone(), in_force(&served));
        let look = served.current(Instant::now() + RELOAD, move || looking.load());
        let Some(looked) = shutdown.run_until_cancelled(look).await else { return };
        match looked {
            Ok(now) if Arc::ptr_eq(&now, &before) => {}
            Ok(_) => {
                tracing::info!("the host API's TLS files were read again");
                told.clear();
                before.replaced.cancel();
                note(true, Timestamp::now());
            }
            Err(error) => {
                let error = error.to_string();
                if error != told {
                    tracing::error!(error, "the host API keeps its old TLS files: the new ones are bad");
                    told = error;
                    note(false, Timestamp::now());
                }
            }
        }
        let expired = in_force(&served).crl_next_update.filter(|end| *end <= Timestamp::now());
        if let Some(end) = expired.filter(|_| told_expiry != expired) {
            tracing::error!(%end, "a revocation list has expired: no client of its CA is let in until clientCrlFile holds a new one");
        }
        told_expiry = expired;
    }
}
