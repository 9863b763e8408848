//! A question over HTTPS of which only the status counts. The certificate is not judged: that is the proof of the leaf.

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::blocking::Work;
use crate::probe::{self, Endpoint, ProbeError};

/// Room for the head of an answer; the body is not read.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
const AGENT: &str = concat!("kagiban-exporter/", env!("CARGO_PKG_VERSION"));

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
    let host = host(endpoint)?;
    let stream = probe::converse(names, endpoint, deadline).await?;
    let exchange = async {
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
        let (mut sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        // What ends it ends the request too, which tells.
        let _task = AbortOnDropHandle::new(tokio::spawn(async { _ = connection.await }));
        let request = Request::get(path)
            .header(HOST, &host)
            .header(USER_AGENT, AGENT)
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| broken(&error))?;
        sender.send_request(request).await.map(|answer| answer.status()).map_err(|error| broken(&error))
    };
    let slow = || HttpError::Slow { address: endpoint.address.clone(), path: path.to_owned() };
    timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(slow()))
}

/// What the service is asked for, as a browser writes it: by the name that its certificate is for, which a virtual host goes by.
fn host(endpoint: &Endpoint) -> Result<String, ProbeError> {
    let (_, port) = endpoint.host_and_port()?;
    let name = endpoint.shown_name();
    let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    Ok(if port == 443 { name } else { format!("{name}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_asked_by_its_name_with_a_port_that_is_not_the_usual_one() {
        for (address, name, expected) in [
            ("127.0.0.1:8443", Some("web.example.com"), "web.example.com:8443"),
            ("127.0.0.1:443", Some("web.example.com"), "web.example.com"),
            ("web.example.com:443", None, "web.example.com"),
            ("[2001:db8::1]:8443", None, "[2001:db8::1]:8443"),
            ("[2001:db8::1]:443", None, "[2001:db8::1]"),
        ] {
            let endpoint = Endpoint { address: address.to_owned(), server_name: name.map(str::to_owned) };
            assert_eq!(host(&endpoint).expect("an address"), expected, "{address}");
        }
    }
}
