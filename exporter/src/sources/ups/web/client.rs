//! One agent's web UI as a source of readings.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::SecretString;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::error::WebError;
use super::ledger::{Credentials, LEDGER, Leave};
use super::transport::Transport;
use super::visit::{Visit, visit};
use crate::config::PowerchuteWebConfig;
use crate::password_file;
use crate::platform::{self, FileIdentity};
use crate::probe::Endpoint;
use crate::snapshot::Trouble;
use crate::sources::schedule::panicked;
use crate::sources::ups::trust;
use crate::ups::Reading;

#[derive(Debug)]
pub(in crate::sources::ups) struct Client {
    endpoint: Endpoint,
    username: String,
    password_file: PathBuf,
    /// Absent when the system has no bundle and none is configured.
    ca_file: Option<PathBuf>,
    interval: Duration,
    deadline: Duration,
    /// Made again when the CA file changes.
    tls: Option<(FileIdentity, Arc<ClientConfig>)>,
}

impl Client {
    pub(in crate::sources::ups) fn new(
        config: &PowerchuteWebConfig,
        system_bundle: Option<&Path>,
        interval: Duration,
        deadline: Duration,
    ) -> Self {
        Self {
            endpoint: Endpoint { address: config.address.clone(), server_name: config.server_name.clone() },
            username: config.username.clone(),
            password_file: config.password_file.clone(),
            ca_file: config.ca_file.as_deref().or(system_bundle).map(Path::to_owned),
            interval,
            deadline,
            tls: None,
        }
    }

    pub(in crate::sources::ups) async fn read(&mut self) -> Result<Reading, Trouble> {
        let (credentials, password) = self.password().await.map_err(|error| trouble(&error))?;
        // A look that comes a little early, because the one before was late, waits; half of its time it needs itself.
        let patience = self.deadline / 2;
        let asked = LEDGER.ask(&self.endpoint.address, &credentials, self.interval, patience, Instant::now());
        let (claim, not_before) = match asked {
            Leave::Visit { claim, not_before } => (claim, not_before),
            Leave::Repeat(outcome) => return *outcome,
        };
        let transport = self.transport().await.map_err(|error| trouble(&error))?;
        // A task of its own: whatever becomes of this look, a login that it began is ended.
        let given_up = CancellationToken::new();
        let _guard = given_up.clone().drop_guard();
        let visiting = Visit { claim, credentials, password, not_before, deadline: self.deadline, given_up };
        let task = tokio::spawn(async move {
            let (visiting, mut transport) = (visiting, transport);
            let outcome = visit(&visiting, &mut transport).await.map_err(|error| trouble(&error));
            visiting.claim.note_outcome(&outcome);
            outcome
        });
        task.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// The file is read for each look, and the password lives no longer than that.
    async fn password(&self) -> Result<(Credentials, SecretString), WebError> {
        let (path, username) = (self.password_file.clone(), self.username.clone());
        let read = spawn_blocking(move || {
            // Identity first: a file that changes between the two is seen as changed the next time.
            let password_file = platform::identify(&path).map_err(password_file::PasswordFileError::from)?;
            let password = password_file::read(&path)?;
            Ok((Credentials { username, password_file }, password))
        });
        read.await.expect("reading a file neither panics nor is it cancelled")
    }

    async fn transport(&mut self) -> Result<Transport, WebError> {
        let name: ServerName<'static> = self.endpoint.expected_name()?;
        let tls = self.tls().await?;
        Ok(Transport::new(self.endpoint.clone(), name, tls))
    }

    async fn tls(&mut self) -> Result<Arc<ClientConfig>, WebError> {
        let no_trust = || WebError::NoTrust { address: self.endpoint.address.clone() };
        let path = self.ca_file.clone().ok_or_else(no_trust)?;
        let known = self.tls.clone();
        let made = spawn_blocking(move || {
            let identity = platform::identify(&path).map_err(trust::TrustError::from)?;
            match known {
                Some((known, tls)) if known == identity => Ok((known, tls)),
                _ => Ok((identity, Arc::new(trust::client_config(&path)?))),
            }
        });
        let made: Result<_, trust::TrustError> = made.await.expect("reading a file neither panics nor is it cancelled");
        let (_, tls) = self.tls.insert(made?);
        Ok(Arc::clone(tls))
    }
}

fn trouble(error: &WebError) -> Trouble {
    Trouble::new(error.reason(), error)
}
