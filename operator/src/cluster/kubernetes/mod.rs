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

pub(crate) mod admission;
mod answers;
mod connect;
mod events;
mod finalizers;
mod flights;
mod leases;
mod object;
mod page;
mod proxy;
mod resources;
mod seam;
mod secrets;
mod verdict;
pub mod watch;

pub use answers::client;
pub(crate) use connect::connect;
pub use leases::EPOCH_ANNOTATION;
pub use page::ListPage;
pub(crate) use verdict::{DryRunVerdict, verdict};

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use answers::TooLong;
use kube::Client;
use tokio::sync::Semaphore;

use super::error::{CALL_DEADLINE, is_denied, is_transient_code};
use super::{ClusterError, SecretData, Unreadable, Watched};
use crate::foreign::told;
use crate::freshness::WATCH_SECONDS;
use crate::metrics::SharedMetrics;
use resources::RESOURCE;

/// Field manager and reporting controller.
pub const MANAGER: &str = "kagiban-operator";
/// Tries of a read, the first included.
const READ_TRIES: u32 = 3;
/// Between tries of a read.
const READ_PAUSE: Duration = Duration::from_millis(250);
/// Connecting, with its TLS handshake.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Longer than the watch's own timeout, so that it only ever ends a connection on which nothing moves.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 15);
/// Of an error, that are told: a connection's has four or five.
const MOST_CAUSES: usize = 8;

/// The API server, as far as we use it.
pub struct Kubernetes {
    client: Client,
    metrics: SharedMetrics,
    /// Who writes events and leases: one per process.
    identity: String,
    secrets: Arc<flights::Flights<SecretData>>,
    /// Places for reads of Secrets.
    secret_reads: Arc<Semaphore>,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Sets what a configuration must have before a client is made of it.
fn harden(config: &mut kube::Config) {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_DEADLINE);
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
}

impl Kubernetes {
    pub fn new(client: Client, metrics: SharedMetrics, identity: String) -> Self {
        Self {
            client,
            metrics,
            identity,
            secrets: Arc::default(),
            secret_reads: Arc::new(Semaphore::new(secrets::MAX_READS)),
        }
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
                // Of what hangs, one wait is enough: a pass reads several things one after another
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
        // What does not fit is quoted by the error, and what does not fit of a Secret is one
        kube::Error::SerdeError(error) if resource == "secrets" => {
            let (line, column) = (error.line(), error.column());
            ClusterError::Unreadable {
                verb,
                resource,
                message: format!("it is no Secret from line {line}, column {column} on"),
            }
        }
        // Asked again at once, it would be as long
        error if is_unreadable(&error) => ClusterError::Unreadable { verb, resource, message: words(&error) },
        error => ClusterError::Transport { verb, resource, message: words(&error) },
    }
}

fn is_unreadable(error: &kube::Error) -> bool {
    matches!(error, kube::Error::SerdeError(_)) || TooLong::of(error).is_some()
}

/// What is told of an error. It may quote all of an answer.
fn words(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) => format!("the API server answered {}: {}", status.code, status.message),
        kube::Error::SerdeError(error) => error.to_string(),
        error => TooLong::of(error).map_or_else(|| with_causes(error), |error| error.to_string()),
    };
    told(&text)
}

/// The outermost error says only that there was no connection: why, the innermost does. What one of them has quoted of its cause
/// is not said twice.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()).take(MOST_CAUSES) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_fails_says_why() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let refused = std::net::TcpStream::connect("127.0.0.1:1").expect_err("nobody listens").to_string();
        for (url, why) in [("https://127.0.0.1:1", &*refused), ("https://no-such-name.invalid", "dns error: ")] {
            let client = client(kube::Config::new(url.parse().expect("a URL"))).expect("a client");
            let words = words(&client.apiserver_version().await.expect_err("nobody answers"));
            assert!(words.contains(why), "{url}: {words}");
        }
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_taken_says_why() {
        let (expired, other_ca) = ("expired", "UnknownIssuer");
        for (year, trusted, why) in [(2001, true, expired), (4000, false, other_ca)] {
            let (address, certificate) = server_until(year).await;
            let mut config = kube::Config::new(format!("https://{address}").parse().expect("a URL"));
            let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
            config.root_cert = Some(vec![if trusted { certificate } else { other.cert.der().to_vec() }]);
            let client = client(config).expect("a client");
            let words = words(&client.apiserver_version().await.expect_err("it is not taken"));
            assert!(words.contains(why), "{words}");
        }
    }

    /// A server whose certificate, its own root, ends on the first day of that year.
    async fn server_until(year: i32) -> (std::net::SocketAddr, Vec<u8>) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "API server");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        let der = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], der)
            .expect("a server");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = acceptor.accept(stream).await;
            }
        });
        (address, certificate.to_vec())
    }

    #[test]
    fn causes_are_told_once_and_not_without_end() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Link(String, #[source] Option<Box<Link>>);
        let chain = |names: &[&str]| {
            let link = |cause, name: &&str| Some(Box::new(Link((*name).to_owned(), cause)));
            names.iter().rev().fold(None, link).expect("a link")
        };
        assert_eq!(
            with_causes(&*chain(&["no answer: refused", "refused", "os error"])),
            "no answer: refused: os error"
        );
        assert_eq!(
            with_causes(&*chain(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"])),
            "a: b: c: d: e: f: g: h: i"
        );
    }
}
