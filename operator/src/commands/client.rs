//! Asks the standalone operator of this machine, over the socket in its state's directory.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use kagiban_process::system::connect_local;
use serde_json::Value;
use tokio::time::timeout;

use crate::cluster::standalone::socket;
use crate::mends::ask_as;

/// All of an operator's resources, of which there are 20,000 at most.
const MAX_ANSWER: usize = 512 << 20;
const DEADLINE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(
        "no kagiban-operator standalone is heard at the state {}: start it, or name its --state; where it runs, its log says why",
        .0.display()
    )]
    NobodyThere(PathBuf),
    #[error("{}: {}", .0.display(), ask_as())]
    Forbidden(PathBuf),
    #[error("{path}: {1}", path = .0.display())]
    Io(PathBuf, #[source] io::Error),
    #[error("the operator broke off: {0}")]
    Broken(String),
    #[error("the operator does not answer within {} s", DEADLINE.as_secs())]
    Silent,
    #[error("not found")]
    NotFound,
    #[error("{0}")]
    Refused(String),
}

/// Where to ask.
#[derive(Debug)]
pub(super) struct Client {
    state: PathBuf,
}

impl Client {
    pub(super) fn new(state: &Path) -> Self {
        Self { state: state.to_owned() }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, AskError> {
        self.ask(Method::GET, path, "").await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Result<Value, AskError> {
        self.ask(Method::POST, path, body).await
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> Result<Value, AskError> {
        timeout(DEADLINE, self.exchange(method, path, body)).await.unwrap_or(Err(AskError::Silent))
    }

    async fn exchange(&self, method: Method, path: &str, body: &str) -> Result<Value, AskError> {
        let broken = |error: hyper::Error| AskError::Broken(error.to_string());
        let socket = socket(&self.state);
        let stream = connect_local(&socket).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NobodyThere(self.state.clone()),
            io::ErrorKind::PermissionDenied => AskError::Forbidden(socket),
            _ => AskError::Io(socket, error),
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "kagiban-operator")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|error| AskError::Broken(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| AskError::Broken(error.to_string()))?.to_bytes();
        connection.abort();
        let words = || String::from_utf8_lossy(&body).into_owned();
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|error| AskError::Broken(error.to_string())),
            StatusCode::NOT_FOUND => Err(AskError::NotFound),
            _ => Err(AskError::Refused(words())),
        }
    }
}
