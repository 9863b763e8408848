//! How a call to the cluster failed.

use std::time::Duration;

use kagiban_crds::resource::{FINALIZER, Metadata};

use crate::foreign::within;

/// One call. A healthy API server answers in milliseconds; one that hangs must not hold a worker.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of a refusal that leave what to do about it in an event.
const LONGEST_REFUSAL: usize = 400;
/// How the API server words that etcd does not take so large an object.
pub(super) const TOO_LARGE: [&str; 2] = ["request is too large", "trying to send message larger than max"];

/// How a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("{verb} {resource}: no answer within {} s", CALL_DEADLINE.as_secs())]
    Timeout { verb: &'static str, resource: &'static str },
    #[error("{verb} {resource}: somebody else wrote in between")]
    Conflict { verb: &'static str, resource: &'static str },
    #[error("{verb} {resource}: not found")]
    NotFound { verb: &'static str, resource: &'static str },
    #[error(
        "{verb} {resource}: not allowed: {message}; where the role lacks this verb, apply the one of the chart again"
    )]
    Forbidden { verb: &'static str, resource: &'static str, message: String },
    #[error("{verb} {resource}: the API server answered {code}: {message}")]
    Status { verb: &'static str, resource: &'static str, code: u16, message: String },
    #[error(
        "{verb} {resource}: the API server refuses the object as it is stored, and so does not let it be released: {message}: \
         mend that with `kubectl -n {namespace} edit mac {name}` and take the finalizer {FINALIZER} out in the same edit; where \
         that is refused too, apply the CRD of the version that took the object, and this one again when it is gone"
    )]
    Unreleasable { verb: &'static str, resource: &'static str, namespace: String, name: String, message: String },
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
            Self::Status { .. } | Self::Unreleasable { .. } => "status",
            Self::Transport { .. } => "transport",
            Self::Unreadable { .. } => "unreadable",
        }
    }

    /// Whether the object itself is why nothing is written to it: it is too large, or not valid.
    pub(crate) fn is_unwritable(&self) -> bool {
        match self {
            Self::Status { code, message, .. } => {
                // Etcd's refusals come as failures of the server
                matches!(code, 413 | 422) || TOO_LARGE.iter().any(|words| message.contains(words))
            }
            Self::Timeout { .. }
            | Self::Conflict { .. }
            | Self::NotFound { .. }
            | Self::Forbidden { .. }
            | Self::Transport { .. }
            | Self::Unreadable { .. } => false,
            Self::Unreleasable { .. } => true,
        }
    }

    /// The same, of a finalizer that could not be taken off: a schema that refuses the object has words of its own.
    pub(super) fn on_release(self, metadata: &Metadata) -> Self {
        match self {
            Self::Status { verb, resource, code: 422, message } if !is_denied(&message) => Self::Unreleasable {
                verb,
                resource,
                namespace: metadata.namespace.clone().unwrap_or_default(),
                name: metadata.name.clone().unwrap_or_default(),
                message: within(&message, LONGEST_REFUSAL),
            },
            error => error,
        }
    }

    /// Whether the same call may go well a little later.
    pub(crate) const fn is_transient(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Transport { .. } => true,
            Self::Status { code, .. } => is_transient_code(*code),
            Self::Conflict { .. }
            | Self::NotFound { .. }
            | Self::Forbidden { .. }
            | Self::Unreleasable { .. }
            | Self::Unreadable { .. } => false,
        }
    }
}

/// Whether a webhook or a policy has said no. A webhook chooses the code: what it says is about the object, and not about whoever
/// asks or what is there.
pub(super) fn is_denied(message: &str) -> bool {
    let says = |who: &str, no: &str| message.find(who).is_some_and(|at| message[at..].contains(no));
    says("admission webhook \"", " denied the request") || says("ValidatingAdmissionPolicy '", " denied request")
}

pub(super) const fn is_transient_code(code: u16) -> bool {
    matches!(code, 408 | 429 | 500..)
}
