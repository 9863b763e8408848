//! What a person on this machine asks of the running process, over a socket that nobody else reaches: HTTP/1.1, answers in JSON.
//!
//! ```text
//!   GET  /resources[/NAMESPACE[/NAME]]                  GET  /events[/NAMESPACE[/NAME]]
//!   POST /resources/NAMESPACE/NAME/rotate               with the value of the annotation
//!   POST /resources/NAMESPACE/NAME/pause, .../resume    POST /confirm-deletions
//!   GET  /installation                                  whom hosts obey
//!   GET  /notes                                         what is to be seen to in the manifests, a line each
//! ```

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use kagiban_crds::{Epoch, Lineage};
use kagiban_process::system::LocalListener;
use kagiban_serving::{Close, ConnectionLimits, Pieces, serve_connection};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::RESOURCE;
use super::manifests::HeldDeletions;
use super::store::{Pausing, Store, StoreError, StoredEvent};
use crate::cluster::ClusterError;
use crate::cluster::rotate_word::LONGEST_ROTATE;
use crate::decide::whole_seconds;
use crate::manifest_health::ManifestHealth;

/// In the directory of the state.
const SOCKET: &str = "control.sock";
/// Commands that are answered at once.
const MAX_CONNECTIONS: usize = 16;
/// A command asks once, and reads what it is told without delay.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(30);
const LIMITS: ConnectionLimits = ConnectionLimits {
    head: Duration::from_secs(2),
    max_headers: 16,
    max_buffer: 16 * 1024,
    keep_alive: false,
    drain: Duration::from_secs(2),
};
/// After a connection that the system did not give, or that was another account's.
const PAUSE: Duration = Duration::from_millis(100);

/// The socket of a state.
pub(crate) fn socket(state: &Path) -> PathBuf {
    state.join(SOCKET)
}

/// What commands work on.
#[derive(Clone)]
pub(super) struct Control {
    pub(super) store: Store,
    /// What is gone from the manifests, and waits for somebody to say that it is meant to be.
    pub(super) held: HeldDeletions,
    /// Who speaks to the hosts.
    pub(super) lineage: Lineage,
    pub(super) epoch: Epoch,
    pub(super) manifests: ManifestHealth,
}

/// An answer that is no success, in words for a person.
struct Refusal(StatusCode, String);

impl From<ClusterError> for Refusal {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::NotFound { .. } => Self(StatusCode::NOT_FOUND, "not found".to_owned()),
            ClusterError::Status { message, .. } => Self(StatusCode::UNPROCESSABLE_ENTITY, message),
            other => Self(StatusCode::SERVICE_UNAVAILABLE, other.to_string()),
        }
    }
}

impl Control {
    /// For as long as it is polled. The state is this process's own by now, and so is the place of its socket.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] where another program answers at that place; any other, where nobody does.
    pub(super) fn serve(self, state: &Path) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let listener = LocalListener::bind(&socket(state))?;
        Ok(async move {
            let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
            loop {
                let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
                let stream = match listener.accept().await {
                    Ok(stream) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "a command was not heard");
                        sleep(PAUSE).await;
                        continue;
                    }
                };
                let control = self.clone();
                tokio::spawn(async move {
                    let answer = |request| {
                        let control = control.clone();
                        async move { control.answer(request).await }
                    };
                    let close = async {
                        sleep(CONNECTION_DEADLINE).await;
                        Close::Now
                    };
                    if let Err(error) = serve_connection(stream, LIMITS, answer, close).await {
                        tracing::debug!(%error, "a command left early");
                    }
                    drop(permit);
                });
            }
        })
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Pieces> {
        let (status, pieces) = match self.answered(request).await {
            Ok(pieces) => (StatusCode::OK, pieces),
            Err(Refusal(status, words)) => (status, vec![Bytes::from(words)]),
        };
        let mut response = Response::new(Pieces::from(pieces));
        *response.status_mut() = status;
        response
    }

    async fn answered(&self, request: Request<Incoming>) -> Result<Vec<Bytes>, Refusal> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let words: Vec<_> = path.split('/').skip(1).collect();
        match (head.method, words.as_slice()) {
            (Method::GET, ["resources", rest @ ..]) if rest.len() < 2 => self.list(rest.first().copied()).await,
            (Method::GET, ["resources", namespace, name]) => Ok(vec![text(&self.get(namespace, name).await?)]),
            (Method::GET, ["events", rest @ ..]) if rest.len() < 3 => self.events(rest).await,
            (Method::POST, ["resources", namespace, name, "rotate"]) => {
                let value = timeout(LIMITS.head, Limited::new(body, LONGEST_ROTATE).collect()).await;
                let unusable =
                    || Refusal(StatusCode::BAD_REQUEST, format!("a value has 1 to {LONGEST_ROTATE} bytes of text"));
                let value = value.map_err(|_| unusable())?.map_err(|_| unusable())?.to_bytes();
                let value = std::str::from_utf8(&value).ok().filter(|value| !value.is_empty()).ok_or_else(unusable)?;
                self.rotate(namespace, name, value).await
            }
            (Method::POST, ["resources", namespace, name, "pause"]) => self.pause(namespace, name, true).await,
            (Method::POST, ["resources", namespace, name, "resume"]) => self.pause(namespace, name, false).await,
            (Method::POST, ["confirm-deletions"]) => self.confirm(),
            (Method::GET, ["installation"]) => Ok(vec![text(&json!({"lineage": self.lineage, "epoch": self.epoch}))]),
            (Method::GET, ["notes"]) => Ok(vec![text(&json!({"notes": self.manifests.notes()}))]),
            _ => Err(Refusal(
                StatusCode::NOT_IMPLEMENTED,
                "this version of kagiban-operator does not know this command".to_owned(),
            )),
        }
    }

    /// As an API server lists them.
    async fn list(&self, namespace: Option<&str>) -> Result<Vec<Bytes>, Refusal> {
        let namespace = namespace.map(str::to_owned);
        let found = self.store.call("list", RESOURCE, move |state| state.list(namespace.as_deref())).await?;
        let mut pieces = vec![Bytes::from_static(b"[")];
        for (index, stored) in found.iter().enumerate() {
            if index > 0 {
                pieces.push(Bytes::from_static(b","));
            }
            pieces.push(text(&stored.object));
        }
        pieces.push(Bytes::from_static(b"]"));
        Ok(pieces)
    }

    async fn get(&self, namespace: &str, name: &str) -> Result<Value, Refusal> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let found =
            self.store.call("get", RESOURCE, move |state| state.get(&namespace, &name)?.ok_or(StoreError::NotFound));
        Ok(found.await?.object)
    }

    async fn events(&self, of: &[&str]) -> Result<Vec<Bytes>, Refusal> {
        let (namespace, name) = (of.first().map(|word| (*word).to_owned()), of.get(1).map(|word| (*word).to_owned()));
        let found = self.store.call("list", "events", move |state| state.events(namespace.as_deref(), name.as_deref()));
        Ok(vec![text(&found.await?.iter().map(event).collect())])
    }

    async fn rotate(&self, namespace: &str, name: &str, value: &str) -> Result<Vec<Bytes>, Refusal> {
        let (of, key, word) = (namespace.to_owned(), name.to_owned(), value.to_owned());
        let is_new = self.store.call("patch", RESOURCE, move |state| state.rotate_by_hand(&of, &key, &word)).await?;
        tracing::info!(namespace, name, value, is_new, "a rotation is asked for by hand");
        Ok(vec![text(
            &json!({"outcome": if is_new { "rotation requested" } else { "asked for by this word already" }}),
        )])
    }

    async fn pause(&self, namespace: &str, name: &str, pause: bool) -> Result<Vec<Bytes>, Refusal> {
        let (of, key) = (namespace.to_owned(), name.to_owned());
        let outcome = self.store.call("patch", RESOURCE, move |state| {
            let source = state.get(&of, &key)?.map(|stored| stored.source).unwrap_or_default();
            Ok((state.pause_by_hand(&of, &key, pause)?, source))
        });
        let (outcome, source) = outcome.await?;
        tracing::info!(namespace, name, pause, ?outcome, "a pause is begun or ended by hand");
        let outcome = match (outcome, pause) {
            (Pausing::Done, true) => "paused".to_owned(),
            (Pausing::Done, false) => "resumed".to_owned(),
            (Pausing::Already, true) => "paused already".to_owned(),
            (Pausing::Already, false) => "not paused".to_owned(),
            (Pausing::ByManifest, true) => format!("paused, as {source} says too"),
            (Pausing::ByManifest, false) => {
                let words = format!("no pause by hand is left, and {source} pauses it still (spec.rotation.paused)");
                return Err(Refusal(StatusCode::CONFLICT, words));
            }
        };
        Ok(vec![text(&json!({"outcome": outcome}))])
    }

    fn confirm(&self) -> Result<Vec<Bytes>, Refusal> {
        let held = self.held.confirm();
        if held == 0 {
            return Err(Refusal(
                StatusCode::CONFLICT,
                "no deletion waits for a confirmation; what is gone from the manifests is held after ten seconds"
                    .to_owned(),
            ));
        }
        tracing::info!(
            resources = held,
            "what is held is deleted, as it is gone from the manifests: confirmed by hand"
        );
        let many = if held == 1 { "" } else { "s" };
        Ok(vec![text(&json!({"outcome": format!("{held} deletion{many} confirmed")}))])
    }
}

fn text(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

/// As far as `events.k8s.io` has it.
pub(super) fn event(event: &StoredEvent) -> Value {
    let StoredEvent { namespace, name, kind, reason, note, first, last, count } = event;
    let time = |seconds: i64| Timestamp::from_second(seconds).map(whole_seconds).unwrap_or_default();
    json!({
        "regarding": {"namespace": namespace, "name": name}, "type": kind, "reason": reason, "note": note,
        "firstSeen": time(*first), "lastSeen": time(*last), "count": count,
    })
}
