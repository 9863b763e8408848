//! One conversation with Apex Central: the list of servers, and that of agents, each over a connection of its own.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use hyper::header::{DATE, HeaderMap};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::error::CentralError;
use super::question::Question;
use super::reply::{self, NoList};
use crate::blocking::{self, Blocked, Work};
use crate::config::ApexCentralConfig;
use crate::from_files::{FromFiles, of_file};
use crate::password_file::{self, PasswordFileError};
use crate::probe::{Authorities, Endpoint, OwnCertificate, RootsError, dial};
use crate::snapshot::InventorySeen;
use crate::sources::https::{Https, NoHttps};
use crate::sources::trust;

/// An agent is some 450 bytes: this is of 140,000.
const MAX_REPLY_BYTES: usize = 64 << 20;
/// The same as it is sent, with its head and all that TLS adds.
const MAX_RECEIVED_BYTES: u64 = 80 << 20;
/// Pieces of a reply that wait to be read, of some kilobytes each.
const PIECES: usize = 8;

#[derive(Debug)]
pub(super) struct Central {
    endpoint: Endpoint,
    application_id: String,
    key_file: PathBuf,
    key: FromFiles<SecretString, PasswordFileError>,
    /// Absent when the system has none and none are configured.
    authorities: Option<Authorities>,
    tls: FromFiles<ClientConfig, RootsError>,
    most: usize,
}

impl Central {
    pub(super) fn new(config: &ApexCentralConfig, system: Option<&Authorities>) -> Self {
        Self {
            endpoint: config.endpoint(),
            application_id: config.application_id.clone(),
            key_file: config.api_key_file.clone(),
            key: FromFiles::new(Work::Credentials),
            authorities: Authorities::of(config.ca_file.as_deref(), system),
            tls: FromFiles::new(Work::Credentials),
            most: config.most,
        }
    }

    /// # Errors
    /// When either list has not come whole until then.
    pub(super) async fn read(&self, until: Instant) -> Result<InventorySeen, CentralError> {
        let key = self.key(until).await?;
        let tls = self.tls(until).await?;
        let most = self.most;
        let servers = self.list(Question::Servers, &key, &tls, until, reply::servers).await?;
        let agents = self.list(Question::Agents, &key, &tls, until, move |pieces| reply::agents(pieces, most)).await?;
        Ok(agents.under(&servers))
    }

    async fn key(&self, until: Instant) -> Result<Arc<SecretString>, CentralError> {
        let path = self.key_file.clone();
        let read = self.key.current(until, move || of_file(&path, password_file::read)).await;
        let key = read.map_err(CentralError::Key)?;
        // An editor empties a file before it writes it.
        if key.expose_secret().is_empty() {
            return Err(CentralError::NoKey { path: self.key_file.clone() });
        }
        Ok(key)
    }

    async fn tls(&self, until: Instant) -> Result<Arc<ClientConfig>, CentralError> {
        let authorities = self.authorities.clone().ok_or_else(|| CentralError::NoTrust { address: self.address() })?;
        let make = move || authorities.make(|read| trust::client_config(read, OwnCertificate::NameAndTime));
        self.tls.current(until, make).await.map_err(CentralError::Trust)
    }

    async fn list<T: Send + 'static>(
        &self,
        question: Question,
        key: &SecretString,
        tls: &Arc<ClientConfig>,
        until: Instant,
        read: impl FnOnce(Pieces) -> Result<T, NoList> + Send + 'static,
    ) -> Result<T, CentralError> {
        let asked = async {
            let (body, _connection) = self.ask(question, key, tls, until).await?;
            self.take(question, body, until, read).await
        };
        let late = || CentralError::Timeout { address: self.address(), question };
        timeout_at(until, asked).await.unwrap_or_else(|_| Err(late()))
    }

    /// What the answer to a question that was taken has after its head, and the connection that it comes over.
    async fn ask(
        &self,
        question: Question,
        key: &SecretString,
        tls: &Arc<ClientConfig>,
        until: Instant,
    ) -> Result<(Incoming, Https<Empty<Bytes>>), CentralError> {
        let broken = |error: &dyn std::fmt::Display| CentralError::Broken {
            address: self.address(),
            question,
            detail: error.to_string(),
        };
        let name = self.endpoint.expected_name()?;
        let host = self.endpoint.http_host()?;
        let stream = dial(&self.endpoint, Work::SourceNames, until).await?.stream;
        let connected = Https::over(stream, name, tls, MAX_RECEIVED_BYTES).await;
        let mut https = connected.map_err(|error| match error {
            NoHttps::Tls(error) => CentralError::Tls { address: self.address(), detail: error.to_string() },
            NoHttps::Http(error) => broken(&error),
        })?;
        // After the handshake, which may take a while: the token's time runs.
        let now = Timestamp::now();
        let request =
            question.request(&host, &self.application_id, key, now.as_second()).map_err(|error| broken(&error))?;
        let answer = https.http.sender.send_request(request).await.map_err(|error| broken(&error))?;
        let (address, status) = (self.address(), answer.status());
        match status {
            StatusCode::OK => Ok((answer.into_body(), https)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let skew = skew(answer.headers(), now);
                Err(CentralError::Unauthorized { address, question, status, skew })
            }
            status if status.is_redirection() => Err(CentralError::Redirect { address, question, status }),
            status => Err(CentralError::Status { address, question, status }),
        }
    }

    /// Has a thread read the reply while it comes.
    async fn take<T: Send + 'static>(
        &self,
        question: Question,
        body: Incoming,
        until: Instant,
        read: impl FnOnce(Pieces) -> Result<T, NoList> + Send + 'static,
    ) -> Result<T, CentralError> {
        let (pieces, coming) = mpsc::channel(PIECES);
        let reading =
            blocking::start(Work::Inventory, until, move || read(Pieces { coming, piece: Bytes::new() })).await?;
        // What is wrong on the way counts more than that the reader has seen an end there.
        self.pass_on(question, body, pieces).await?;
        let read = reading.await.map_err(|_| Blocked::Panic)?;
        read.map_err(|error| CentralError::NoList { address: self.address(), question, error })
    }

    /// To the reader, which may have seen enough before the end.
    async fn pass_on(
        &self,
        question: Question,
        mut body: Incoming,
        pieces: mpsc::Sender<Bytes>,
    ) -> Result<(), CentralError> {
        let mut left = MAX_REPLY_BYTES;
        while let Some(frame) = body.frame().await {
            let cut_off = |error: hyper::Error| CentralError::CutOff {
                address: self.address(),
                question,
                detail: error.to_string(),
            };
            let Ok(piece) = frame.map_err(cut_off)?.into_data() else { continue };
            let too_large = || CentralError::TooLarge { address: self.address(), question, limit: MAX_REPLY_BYTES };
            left = left.checked_sub(piece.len()).ok_or_else(too_large)?;
            if pieces.send(piece).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    fn address(&self) -> String {
        self.endpoint.address.clone()
    }
}

/// How many seconds this host's clock is ahead of the server's, by the head of its answer.
fn skew(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let theirs = DateTimeParser::new().parse_timestamp(headers.get(DATE)?.as_bytes()).ok()?;
    Some(now.as_second().saturating_sub(theirs.as_second()))
}

/// A reply as its pieces come, for who reads it on a thread.
struct Pieces {
    coming: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    /// Ends where no more pieces come, also because nobody waits for what is read any more.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let Some(piece) = self.coming.blocking_recv() else { return Ok(0) };
            self.piece = piece;
        }
        let taken = self.piece.split_to(self.piece.len().min(buffer.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
