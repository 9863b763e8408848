//! A question over HTTPS of which only the status counts. The certificate is not judged: that is the proof of the leaf.

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::blocking::Work;
use crate::probe::{self, Endpoint, ProbeError};
use crate::sources::https::{AGENT, Http};

/// Why there was no status.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error("{address}: {path} was not answered in HTTP: {detail}; see the service's log")]
    Broken { address: String, path: String, detail: String },
    #[error("{address}: {path} was not answered in time; see the service's log, or raise verify.function.timeout")]
    Slow { address: String, path: String },
}

impl HttpError {
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Probe(error) => error.reason(),
            Self::Broken { .. } => "not_http",
            Self::Slow { .. } => "timeout",
        }
    }

    /// Whether the endpoint itself has answered so, or has not answered.
    pub(super) fn is_the_endpoints(&self) -> bool {
        match self {
            Self::Probe(error) => error.is_the_endpoints(),
            Self::Broken { .. } | Self::Slow { .. } => true,
        }
    }
}

/// # Errors
/// When no status came until `deadline`.
pub(super) async fn status(
    endpoint: &Endpoint,
    path: &str,
    names: Work,
    deadline: Instant,
) -> Result<StatusCode, HttpError> {
    let broken = |error: &dyn std::fmt::Display| HttpError::Broken {
        address: endpoint.address.clone(),
        path: path.to_owned(),
        detail: error.to_string(),
    };
    let host = endpoint.http_host()?;
    let stream = probe::converse(names, endpoint, deadline).await?;
    let exchange = async {
        let mut http = Http::over(stream).await.map_err(|error| broken(&error))?;
        let request = Request::get(path)
            .header(HOST, &host)
            .header(USER_AGENT, AGENT)
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| broken(&error))?;
        http.sender.send_request(request).await.map(|answer| answer.status()).map_err(|error| broken(&error))
    };
    let slow = || HttpError::Slow { address: endpoint.address.clone(), path: path.to_owned() };
    timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(slow()))
}
