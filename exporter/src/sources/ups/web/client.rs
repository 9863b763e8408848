//! One agent's web UI as a source of readings.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use super::book::{Book, LoginOutcome};
use super::error::WebError;
use super::ledger::{AgentId, Credentials, LEDGER, Leave};
use super::reading::heard;
use super::transport::Transport;
use super::visit::{Visit, visit};
use crate::blocking::{self, Flights, Work};
use crate::config::PowerchuteWebConfig;
use crate::from_files::{FilesUnavailable, FromFiles};
use crate::password_file::{self, PasswordFileError};
use crate::platform;
use crate::probe::{Authorities, Endpoint, OwnCertificate, RootsError, dial};
use crate::snapshot::{Trouble, UpsTrouble};
use crate::sources::schedule::panicked;
use crate::sources::trust;
use crate::ups::{Reading, UpsFault};

/// One small file, synced.
const NOTE_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(in crate::sources::ups) struct Client {
    endpoint: Endpoint,
    username: String,
    password_file: PathBuf,
    /// Read for each look; the password lives no longer than that.
    passwords: Flights<(), Result<(Credentials, SecretString), Arc<PasswordFileError>>>,
    /// Absent when the system has no bundle and none is configured.
    authorities: Option<Authorities>,
    book: Book,
    /// Whose threads the agent's name is looked up on.
    names: Work,
    interval: Duration,
    deadline: Duration,
    tls: FromFiles<ClientConfig, RootsError>,
}

impl Client {
    pub(in crate::sources::ups) fn new(
        config: &PowerchuteWebConfig,
        system: Option<&Authorities>,
        state_directory: &Path,
        names: Work,
        interval: Duration,
        deadline: Duration,
    ) -> Self {
        Self {
            names,
            endpoint: Endpoint { address: config.address.clone(), server_name: config.server_name.clone() },
            username: config.username.clone(),
            password_file: config.password_file.clone(),
            passwords: Flights::new(),
            authorities: Authorities::of(config.ca_file.as_deref(), system),
            book: Book::in_directory(state_directory),
            interval,
            deadline,
            tls: FromFiles::new(Work::Credentials),
        }
    }

    /// The login is judged by the visit, the UPS by what the page says of it.
    pub(in crate::sources::ups) async fn read(&mut self) -> Result<Reading, UpsTrouble> {
        self.visited().await.and_then(heard)
    }

    async fn visited(&self) -> Result<Reading, UpsTrouble> {
        let (credentials, password) = self.password().await.map_err(|error| trouble(&error))?;
        let transport = self.transport().await.map_err(|error| trouble(&error))?;
        // A look that comes a little early, because the one before was late, waits; half of its time it needs itself.
        let patience = self.deadline / 2;
        let (agent, address) = (transport.agent(), &self.endpoint.address);
        let asked = LEDGER.ask(&agent, address, &credentials, self.interval, patience, Instant::now());
        let (claim, not_before) = match asked {
            Leave::Visit { claim, not_before } => (claim, not_before),
            Leave::Repeat(outcome) => return *outcome,
        };
        // A task of its own: whatever becomes of this look, a login that it began is ended.
        let given_up = CancellationToken::new();
        let _guard = given_up.clone().drop_guard();
        let (book, interval, deadline) = (self.book.clone(), self.interval, self.deadline);
        let visiting = Visit { claim, book, interval, credentials, password, not_before, deadline, given_up };
        let task = tokio::spawn(async move {
            let (visiting, mut transport) = (visiting, transport);
            let outcome = visit(&visiting, &mut transport).await.map_err(|error| trouble(&error));
            visiting.claim.note_outcome(&outcome);
            if visiting.claim.is_tried() {
                let is_answered = visiting.claim.is_answered();
                note(visiting.book, visiting.claim.agent.clone(), &outcome, is_answered).await;
            }
            outcome
        });
        task.await.unwrap_or_else(|_| Err(panicked(UpsFault::Panic)))
    }

    async fn password(&self) -> Result<(Credentials, SecretString), WebError> {
        let (path, username) = (self.password_file.clone(), self.username.clone());
        let read = move || {
            // Identity first: a file that changes between the two is seen as changed the next time.
            let password_file = platform::identify(&path).map_err(PasswordFileError::from).map_err(Arc::new)?;
            let password = password_file::read(&path).map_err(Arc::new)?;
            Ok((Credentials { username, password_file }, password))
        };
        let read = self.passwords.join(Work::Credentials, (), self.files_until(), read).await;
        let read = read.map_err(FilesUnavailable::Blocked).and_then(|read| read.map_err(FilesUnavailable::Failed));
        let (credentials, password) = read.map_err(WebError::Password)?;
        // An editor empties a file before it writes it: that would be one of the logins that may be refused.
        if password.expose_secret().is_empty() {
            return Err(WebError::NoPassword { path: self.password_file.clone() });
        }
        Ok((credentials, password))
    }

    /// Half of the time is for the agent itself.
    fn files_until(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.deadline / 4
    }

    /// Connected, and nothing said: only who answers tells which agent it is.
    async fn transport(&self) -> Result<Transport, WebError> {
        let name: ServerName<'static> = self.endpoint.expected_name()?;
        let tls = self.tls().await?;
        let until = tokio::time::Instant::now() + self.deadline / 2;
        let dialled = dial(&self.endpoint, self.names, until).await?;
        Ok(Transport::new(self.endpoint.clone(), name, tls, dialled))
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, WebError> {
        let no_trust = || WebError::NoTrust { address: self.endpoint.address.clone() };
        let authorities = self.authorities.clone().ok_or_else(no_trust)?;
        Ok(self
            .tls
            .current(self.files_until(), move || {
                authorities.make(|read| trust::client_config(read, OwnCertificate::Bytes))
            })
            .await?)
    }
}

/// Tells other processes what a login came to. Where that fails they wait as if it had been refused.
async fn note(book: Book, agent: AgentId, outcome: &Result<Reading, UpsTrouble>, is_answered: bool) {
    let outcome = match outcome {
        Ok(_) => LoginOutcome::Succeeded,
        Err(trouble) if trouble.reason == UpsFault::Auth => LoginOutcome::Refused,
        Err(trouble) if is_answered || trouble.reason == UpsFault::Busy => LoginOutcome::Failed,
        // A UI that takes longer to refuse than it is waited for counts all the same.
        Err(_) => LoginOutcome::Tried,
    };
    let noting = move || book.note(&agent, outcome);
    let noted = blocking::run(Work::State, tokio::time::Instant::now() + NOTE_WITHIN, noting).await;
    if let Err(why) = noted.map_err(|blocked| blocked.to_string()).and_then(|noted| noted) {
        tracing::warn!(error = why, "what a login came to is not kept; other processes of this host wait for an hour");
    }
}

fn trouble(error: &WebError) -> UpsTrouble {
    Trouble::new(error.fault(), error)
}
