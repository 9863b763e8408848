//! The listening side: accepts, reloads its TLS files, and ends in order.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api::Api;
use super::audit;
use super::connection::Connection;
use super::slots::Slots;
use super::tls::{Files, Served, TlsError};
use crate::arrivals::{Arrivals, Peer};
use crate::blocking::{self, Work};
use crate::snapshot::Board;

/// Handshakes of all peers together. Each is two round trips, or a stranger who waits for its deadline.
const MAX_HALF_OPEN: usize = 64;
/// Of one peer. An operator opens a few at once; behind one address there may be several operators.
const MAX_HALF_OPEN_OF_PEER: usize = 8;
/// A new CA bundle counts within this time.
const RELOAD: Duration = Duration::from_secs(5);
/// After accepting failed: out of file descriptors, mostly, and trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The end of this program waits no longer for it.
const LONGEST_ACCEPT_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Server {
    pub(super) listener: TcpListener,
    pub(super) tls: Files,
    pub(super) served: Served,
    pub(super) api: Arc<Api>,
    pub(super) board: Arc<Board>,
    pub(super) max_connections: usize,
}

impl Server {
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let Self { listener, tls, served, api, board, max_connections } = self;
        let served = Arc::new(ArcSwap::from_pointee(served));
        let connections = TaskTracker::new();
        let reloading = tokio::spawn(reload(tls, Arc::clone(&served), board, shutdown.clone()));
        let half_open = Arrivals::new(MAX_HALF_OPEN, MAX_HALF_OPEN_OF_PEER);
        let slots = Slots::new(max_connections);
        let mut pause = ACCEPT_PAUSE;
        loop {
            let (stream, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => {
                        pause = ACCEPT_PAUSE;
                        accepted
                    }
                    Err(error) => {
                        if pause == ACCEPT_PAUSE {
                            tracing::warn!(%error, "the host API cannot accept a connection; it is tried again with growing pauses");
                        }
                        sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_ACCEPT_PAUSE);
                        continue;
                    }
                },
                () = shutdown.cancelled() => break,
            };
            let handshaking = half_open.admit(Peer::of(peer.ip()));
            let present = served.load_full();
            let acceptor = TlsAcceptor::from(Arc::clone(&present.config));
            let (api, slots) = (Arc::clone(&api), Arc::clone(&slots));
            let (shutdown, replaced) = (shutdown.clone(), present.replaced.clone());
            let connection = Connection { stream, peer, acceptor, api, handshaking, slots, shutdown, replaced };
            connections.spawn(connection.serve());
        }
        drop(listener);
        connections.close();
        connections.wait().await;
        let _ = reloading.await;
    }
}

/// Keeps the old configuration when the new one is bad.
async fn reload(files: Files, served: Arc<ArcSwap<Served>>, board: Arc<Board>, shutdown: CancellationToken) {
    let mut ticks = interval(RELOAD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = String::new();
    let mut told_expiry = None;
    let note = |successful, now| board.note_host_api_tls(successful, served.load().crl_next_update, now);
    note(true, Timestamp::now());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        audit::tell_untold();
        let (looking, before) = (files.clone(), served.load_full());
        // A file system that hangs must take no thread that answers; the old files serve on.
        let look = move || looking.reload(&before);
        let looked = blocking::run(Work::HostApiTls, Instant::now() + RELOAD, look);
        let looked = tokio::select! {
            looked = looked => looked,
            () = shutdown.cancelled() => return,
        };
        match looked.map_err(TlsError::from).flatten() {
            Ok(None) => {
                if !told.is_empty() {
                    told.clear();
                    note(true, Timestamp::now());
                }
            }
            Ok(Some(new)) => {
                tracing::info!("the host API's TLS files were read again");
                told.clear();
                served.swap(Arc::new(new)).replaced.cancel();
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
        let expired = served.load().crl_next_update.filter(|end| *end <= Timestamp::now());
        if let Some(end) = expired.filter(|_| told_expiry != expired) {
            tracing::error!(%end, "a revocation list has expired: no client of its CA is let in until clientCrlFile holds a new one");
        }
        told_expiry = expired;
    }
}
