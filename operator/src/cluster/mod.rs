//! The Kubernetes API, call by call: each under a deadline, counted, and retried only where that is harmless.
//!
//! ```text
//!   reconcile ──> resources (read, hold, release, write status)
//!             ──> secrets   (one named read)
//!             ──> events    (create)
//!   leader    ──> leases    (read, create, replace)
//! ```
//!
//! The client's own retries are off: it would wait for as long as any Retry-After says.

mod answers;
mod events;
mod flights;
mod leases;
mod resources;
mod secrets;
mod verdict;
mod watched;
pub(crate) mod written;

pub use answers::client;
pub(crate) use resources::rotate_word;
pub use resources::{claim, object};
pub use secrets::SecretData;
pub(crate) use verdict::{Verdict, verdict};
pub use watched::{Unreadable, Watched};

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use answers::TooLong;
use kube::Client;

use crate::foreign::told;
use crate::metrics::SharedMetrics;

/// Field manager and reporting controller.
pub const MANAGER: &str = "kagiban-operator";
/// One call. A healthy API server answers in milliseconds; one that hangs must not hold a worker.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// Tries of a read, the first included.
const READ_TRIES: u32 = 3;
/// Between tries of a read.
const READ_PAUSE: Duration = Duration::from_millis(250);
/// Connecting, with its TLS handshake.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Longer than the watch's own timeout, so that it only ever ends a connection on which nothing moves.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 15);
/// Load balancers drop a watch after 240 s without a word; it is renewed before.
pub const WATCH_SECONDS: u32 = 200;
/// How the API server words that etcd does not take so large an object.
const TOO_LARGE: [&str; 2] = ["request is too large", "trying to send message larger than max"];

/// The API server, as far as we use it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    metrics: SharedMetrics,
    /// Who writes events and leases: one per process.
    identity: String,
    secrets: Arc<flights::Flights<SecretData>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// How a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("{verb} {resource}: no answer within {} s", CALL_DEADLINE.as_secs())]
    Timeout { verb: &'static str, resource: &'static str },
    #[error("{verb} {resource}: somebody else wrote in between")]
    Conflict { verb: &'static str, resource: &'static str },
    #[error("{verb} {resource}: not found")]
    NotFound { verb: &'static str, resource: &'static str },
    #[error("{verb} {resource}: not allowed; the operator's role lacks this verb: {message}")]
    Forbidden { verb: &'static str, resource: &'static str, message: String },
    #[error("{verb} {resource}: the API server answered {code}: {message}")]
    Status { verb: &'static str, resource: &'static str, code: u16, message: String },
    #[error("{verb} {resource}: {message}")]
    Transport { verb: &'static str, resource: &'static str, message: String },
    #[error("{verb} {resource}: the answer cannot be read: {message}")]
    Unreadable { verb: &'static str, resource: &'static str, message: String },
}

impl ClusterError {
    /// Stable, for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Conflict { .. } => "conflict",
            Self::NotFound { .. } => "not_found",
            Self::Forbidden { .. } => "forbidden",
            Self::Status { .. } => "status",
            Self::Transport { .. } => "transport",
            Self::Unreadable { .. } => "unreadable",
        }
    }

    /// Whether the object itself is why nothing is written to it: it is too large, or not valid.
    pub(crate) fn is_unwritable(&self) -> bool {
        match self {
            Self::Status { code, message, .. } => {
                // etcd's refusals come as failures of the server
                matches!(code, 413 | 422) || TOO_LARGE.iter().any(|words| message.contains(words))
            }
            Self::Timeout { .. }
            | Self::Conflict { .. }
            | Self::NotFound { .. }
            | Self::Forbidden { .. }
            | Self::Transport { .. }
            | Self::Unreadable { .. } => false,
        }
    }

    /// Whether the same call may go well a little later.
    const fn is_transient(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Transport { .. } => true,
            Self::Status { code, .. } => is_transient_code(*code),
            Self::Conflict { .. } | Self::NotFound { .. } | Self::Forbidden { .. } | Self::Unreadable { .. } => false,
        }
    }
}

/// Whether a webhook or a policy has said no. A webhook chooses the code: what it says is about the object, and not about whoever
/// asks or what is there.
fn is_denied(message: &str) -> bool {
    let says = |who: &str, no: &str| message.find(who).is_some_and(|at| message[at..].contains(no));
    says("admission webhook \"", " denied the request") || says("ValidatingAdmissionPolicy '", " denied request")
}

/// Sets what a configuration must have before a client is made of it.
fn harden(config: &mut kube::Config) {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_DEADLINE);
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
}

impl Cluster {
    pub fn new(client: Client, metrics: SharedMetrics, identity: String) -> Self {
        Self { client, metrics, identity, secrets: Arc::default() }
    }

    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// The one way to the API server.
    async fn call<T>(
        &self,
        verb: &'static str,
        resource: &'static str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ClusterError> {
        let result = match tokio::time::timeout(CALL_DEADLINE, request).await {
            Ok(result) => result.map_err(|error| classed(verb, resource, error)),
            Err(_) => Err(ClusterError::Timeout { verb, resource }),
        };
        let code = match &result {
            Ok(_) => "2xx".to_owned(),
            Err(ClusterError::Status { code, .. }) => code.to_string(),
            Err(error) => error.reason().to_owned(),
        };
        self.metrics.api_request(verb, resource, &code);
        result
    }

    /// A read may be tried again at once; a write is tried again by the next reconcile, on what it then reads.
    async fn read<T, F>(&self, resource: &'static str, request: impl Fn() -> F) -> Result<T, ClusterError>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let mut tries = 1;
        loop {
            match self.call("get", resource, request()).await {
                // of what hangs, one wait is enough: a pass reads several things one after another
                Err(error @ ClusterError::Timeout { .. }) => return Err(error),
                Err(error) if error.is_transient() && tries < READ_TRIES => {
                    tries += 1;
                    tokio::time::sleep(READ_PAUSE).await;
                }
                result => return result,
            }
        }
    }
}

fn classed(verb: &'static str, resource: &'static str, error: kube::Error) -> ClusterError {
    match error {
        kube::Error::Api(status) if is_denied(&status.message) => {
            ClusterError::Status { verb, resource, code: status.code, message: told(&status.message) }
        }
        kube::Error::Api(status) => match status.code {
            404 => ClusterError::NotFound { verb, resource },
            409 => ClusterError::Conflict { verb, resource },
            401 | 403 => ClusterError::Forbidden { verb, resource, message: told(&status.message) },
            code => ClusterError::Status { verb, resource, code, message: told(&status.message) },
        },
        // what does not fit is quoted by the error, and what does not fit of a Secret is one
        kube::Error::SerdeError(error) if resource == "secrets" => {
            let (line, column) = (error.line(), error.column());
            ClusterError::Unreadable {
                verb,
                resource,
                message: format!("it is no Secret from line {line}, column {column} on"),
            }
        }
        // asked again at once, it would be as long
        error if is_unreadable(&error) => ClusterError::Unreadable { verb, resource, message: words(&error) },
        error => ClusterError::Transport { verb, resource, message: words(&error) },
    }
}

fn is_unreadable(error: &kube::Error) -> bool {
    matches!(error, kube::Error::SerdeError(_)) || TooLong::of(error).is_some()
}

/// Whether the same request may go well a little later.
pub(crate) fn is_transient(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => is_transient_code(status.code),
        error => !is_unreadable(error),
    }
}

const fn is_transient_code(code: u16) -> bool {
    matches!(code, 408 | 429 | 500..)
}

/// What is told of an error. It may quote all of an answer.
pub(crate) fn words(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) => format!("the API server answered {}: {}", status.code, status.message),
        kube::Error::SerdeError(error) => error.to_string(),
        error => TooLong::of(error).map_or_else(|| error.to_string(), |error| error.to_string()),
    };
    told(&text)
}
