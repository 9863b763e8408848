//! One conversation with upsd: connect, STARTTLS, say who asks, list, and each UPS's variables.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use kagiban_serving::{Budgeted, ByteBudget};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::error::NutError;
use super::mapping::{self, Variables};
use super::protocol::{LineError, List, Progress, accepted, argument};
use crate::blocking::Work;
use crate::config::NutConfig;
use crate::from_files::{FromFiles, of_file};
use crate::password_file::{self, PasswordFileError};
use crate::probe::{Authorities, Endpoint, OwnCertificate, RootsError};
use crate::snapshot::{Label, UpsTrouble};
use crate::sources::trust;
use crate::sources::ups::Read;
use crate::sources::ups::wire::{self, Limits, Wire, WireError};
use crate::ups::Reading;

const LIMITS: Limits = Limits {
    // Upsd's own buffer for an answer is 512 bytes, that of later versions twice as much.
    record: 2048,
    // Three hundred variables are some 20 kilobytes, the thousand of a power strip some 100: this is of one answer.
    total: 1024 * 1024,
};
/// Of all answers of one look: 128 kilobytes for each of the most UPSes that are listed.
const TOTAL: usize = 32 * 1024 * 1024;
/// Of all connections of one look as they are sent: a record of TLS for each line is twice the line, and a handshake comes to some
/// kilobytes.
const MAX_TLS_BYTES: u64 = 4 * TOTAL as u64;

#[derive(Debug)]
pub(in crate::sources::ups) struct Client {
    endpoint: Endpoint,
    /// The UPS to ask for and what it is called here; by default all, under their own names.
    ups: Option<(String, Label)>,
    /// User and password; upsd asks nobody who only reads.
    login: Option<Login>,
    tls: Option<Tls>,
    /// Whose threads the name is looked up on.
    names: Work,
    deadline: Duration,
}

/// STARTTLS was asked for: without it nothing is said.
#[derive(Debug)]
struct Tls {
    /// The host part of the address, or what was configured instead.
    endpoint: Endpoint,
    /// Absent when the system has no bundle and none is configured.
    authorities: Option<(Authorities, FromFiles<ClientConfig, RootsError>)>,
}

#[derive(Debug)]
struct Login {
    user: String,
    password_file: PathBuf,
    password: FromFiles<SecretString, PasswordFileError>,
}

impl Client {
    /// A look takes no longer than `deadline`; `names` is whose threads the server's name is looked up on.
    pub(in crate::sources::ups) fn new(
        config: &NutConfig,
        name: Label,
        system: Option<&Authorities>,
        names: Work,
        deadline: Duration,
    ) -> Self {
        let endpoint = |server_name: Option<String>| Endpoint { address: config.address.clone(), server_name };
        let login = config.username.clone().zip(config.password_file.clone());
        let tls = config.start_tls.as_ref().map(|tls| Tls {
            endpoint: endpoint(tls.server_name.clone()),
            authorities: Authorities::of(tls.ca_file.as_deref(), system)
                .map(|authorities| (authorities, FromFiles::new(Work::Credentials))),
        });
        Self {
            endpoint: endpoint(None),
            ups: config.ups.as_ref().map(|ups| (ups.as_str().to_owned(), name)),
            login: login.map(|(user, password_file)| Login {
                user,
                password_file,
                password: FromFiles::new(Work::Credentials),
            }),
            tls,
            names,
            deadline,
        }
    }

    pub(in crate::sources::ups) async fn read(&mut self) -> Read {
        let until = Instant::now() + self.deadline;
        self.converse(until).await.map_err(|error| UpsTrouble::from(&error))
    }

    /// What is wrong with the answer about one UPS is told about that UPS alone. What is wrong with upsd is told about all that are
    /// left: it cannot be reached any more.
    async fn converse(&self, until: Instant) -> Result<Vec<(Label, Result<Reading, UpsTrouble>)>, NutError> {
        let sent = ByteBudget::new(MAX_TLS_BYTES);
        let mut talk = Talk { client: self, upsd: None, left: TOTAL, sent, until };
        let upses = match &self.ups {
            Some((ups, name)) => vec![(ups.clone(), name.clone(), None)],
            None => talk.upsd().await?.upses().await?,
        };
        let (mut seen, mut waiting) = (Vec::with_capacity(upses.len()), upses.len());
        let mut gone: Option<NutError> = None;
        for (ups, name, description) in upses {
            if gone.is_none() {
                gone = talk.upsd().await.err();
            }
            let outcome = match &gone {
                Some(error) => Err(UpsTrouble::from(error)),
                None => match talk.variables(&ups, waiting).await {
                    Ok(variables) => Ok(mapping::reading(&variables, description.as_deref())),
                    Err(error) => Err(UpsTrouble::from(&error)),
                },
            };
            waiting -= 1;
            seen.push((name, outcome));
        }
        Ok(seen)
    }

    /// What it brings with TLS counts to `sent`.
    async fn open(&self, sent: &ByteBudget, until: Instant) -> Result<Upsd, NutError> {
        let stream = wire::connect(&self.endpoint, self.names, until).await?;
        let address = self.endpoint.address.clone();
        let mut upsd = Upsd { wire: Wire::new(stream, &address, LIMITS, until), address, told: false };
        if let Some(tls) = &self.tls {
            upsd = tls.protect(upsd, sent, until).await?;
        }
        if let Some(login) = &self.login {
            let path = login.password_file.clone();
            let password = login.password.current(until, move || of_file(&path, password_file::read)).await?;
            upsd.introduce(&login.user, &password).await?;
        }
        Ok(upsd)
    }
}

impl Tls {
    async fn protect(&self, mut upsd: Upsd, sent: &ByteBudget, until: Instant) -> Result<Upsd, NutError> {
        let address = upsd.address.clone();
        let failed = |detail: String| NutError::Tls { address: address.clone(), detail };
        let (authorities, made) =
            self.authorities.clone().ok_or_else(|| NutError::NoTrust { address: address.clone() })?;
        let config = made
            .current(until, move || authorities.make(|read| trust::client_config(read, OwnCertificate::Bytes)))
            .await?;
        let name: ServerName<'static> = self.endpoint.expected_name().map_err(|error| failed(error.to_string()))?;
        upsd.command("STARTTLS", "STARTTLS\n").await?;
        let stream = upsd.wire.into_stream();
        let stream = stream.ok_or_else(|| failed("something in the clear came after upsd's consent".to_owned()))?;
        let stream = Budgeted::new(stream, sent.clone());
        let stream = timeout_at(until, TlsConnector::from(config).connect(name, stream))
            .await
            .map_err(|_| WireError::Timeout { address: address.clone(), asked: "the TLS handshake" })?
            .map_err(|error| failed(error.to_string()))?;
        Ok(Upsd { wire: Wire::new(stream, &address, LIMITS, until), address, told: false })
    }
}

/// One look's conversation, over as many connections as it takes.
struct Talk<'a> {
    client: &'a Client,
    /// Absent before the first connection, and when nobody knows any more what its next line would answer.
    upsd: Option<Upsd>,
    /// How many bytes upsd may still send, over the connections that come.
    left: usize,
    /// The same of all that comes with TLS, as it is sent.
    sent: ByteBudget,
    until: Instant,
}

impl Talk<'_> {
    /// upsd, connected anew where the last connection can no longer be used.
    async fn upsd(&mut self) -> Result<&mut Upsd, NutError> {
        let upsd = match self.upsd.take() {
            Some(upsd) if upsd.wire.is_at_rest() => upsd,
            stale => {
                self.count(stale);
                self.client.open(&self.sent, self.until).await?
            }
        };
        Ok(self.upsd.insert(upsd))
    }

    /// What one of the `waiting` UPSes says. What comes over a connection that has told of another one may be a remainder of
    /// that: it is asked for again over a connection of its own.
    async fn variables(&mut self, ups: &str, waiting: usize) -> Result<Variables, NutError> {
        let is_used = self.upsd().await?.told;
        match self.ask(ups, waiting).await {
            Err(error) if is_used && error.may_be_of_another() => self.ask(ups, waiting).await,
            said => said,
        }
    }

    async fn ask(&mut self, ups: &str, waiting: usize) -> Result<Variables, NutError> {
        let until = patience(self.until, waiting, Instant::now());
        let left = self.left;
        let upsd = self.upsd().await?;
        upsd.wire.allow(share(left.saturating_sub(upsd.wire.received()), waiting), until);
        let said = upsd.variables(ups).await;
        upsd.told = true;
        if said.as_ref().is_err_and(|error| !error.leaves_in_step()) {
            let broken = self.upsd.take();
            self.count(broken);
        }
        said
    }

    fn count(&mut self, done: Option<Upsd>) {
        self.left = self.left.saturating_sub(done.map_or(0, |upsd| upsd.wire.received()));
    }
}

/// How many bytes the next of `waiting` UPSes may take of those that are left: each of the others keeps its part.
fn share(left: usize, waiting: usize) -> usize {
    (left / waiting.max(1)).min(LIMITS.total)
}

/// Until when the next of `waiting` UPSes has time: one about which upsd is silent leaves half of it to the others.
fn patience(until: Instant, waiting: usize, now: Instant) -> Instant {
    if waiting > 1 { now + until.saturating_duration_since(now) / 2 } else { until }
}

/// upsd, connected.
struct Upsd {
    wire: Wire,
    address: String,
    /// Whether it was asked about a UPS.
    told: bool,
}

impl Upsd {
    /// upsd takes both words as they are and checks them only where more than reading is asked for. LOGIN, which would check
    /// them, makes the primary wait for us when it shuts down.
    async fn introduce(&mut self, user: &str, password: &SecretString) -> Result<(), NutError> {
        let user = argument(user).ok_or(NutError::Unspeakable)?;
        self.command("USERNAME", &format!("USERNAME {user}\n")).await?;
        let password = argument(password.expose_secret()).map(Zeroizing::new).ok_or(NutError::Unspeakable)?;
        self.command("PASSWORD", &Zeroizing::new(format!("PASSWORD {}\n", *password))).await
    }

    async fn command(&mut self, asked: &'static str, request: &str) -> Result<(), NutError> {
        self.wire.ask(asked, request.as_bytes()).await?;
        let line = self.wire.line().await?;
        accepted(&line).map_err(|error| self.line_error(asked, error))
    }

    /// Every UPS once: what upsd calls it, what it is called here, and what its configuration says of it.
    async fn upses(&mut self) -> Result<Vec<(String, Label, Option<String>)>, NutError> {
        let rows = self.list(List::upses(), "LIST UPS").await?;
        let mut taken = BTreeSet::new();
        let named = rows.into_iter().map(|(ups, description)| (Label::new(&ups), ups, description));
        let once = named.filter(|(name, ..)| taken.insert(name.clone()));
        Ok(once.map(|(name, ups, description)| (ups, name, Some(description))).collect())
    }

    /// What a UPS says. Until its driver has heard it there is nothing but a status of one word.
    async fn variables(&mut self, ups: &str) -> Result<Variables, NutError> {
        let variables: Variables = self.list(List::variables(ups), "LIST VAR").await?.into_iter().collect();
        if variables.get("ups.status").is_some_and(|status| status == "WAIT") {
            return Err(NutError::Waiting { address: self.address.clone(), ups: Label::new(ups).to_string() });
        }
        Ok(variables)
    }

    async fn list(&mut self, mut list: List, asked: &'static str) -> Result<Vec<(String, String)>, NutError> {
        self.wire.ask(asked, &list.request()).await?;
        loop {
            let line = self.wire.line().await?;
            match list.take(&line).map_err(|error| self.line_error(asked, error))? {
                Progress::More => {}
                Progress::Complete => return Ok(list.rows()),
            }
        }
    }

    fn line_error(&self, asked: &'static str, error: LineError) -> NutError {
        NutError::Line { address: self.address.clone(), asked, error }
    }
}

#[cfg(test)]
mod tests;
