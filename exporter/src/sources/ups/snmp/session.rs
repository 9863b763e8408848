//! One agent, with the credentials as they are now.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use async_snmp::{
    Auth, AuthProtocol, Client, CryptoError, Error, ErrorStatus, MasterKeys, Oid, PrivProtocol, Retry, UsmConfig,
};
use hyper::body::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use super::error::SnmpError;
use super::known::{Known, OBJECTS_PER_REQUEST};
use super::oids::TREES;
use super::reading::{Answers, is_of_a_ups};
use super::walk::Walk;
use crate::blocking::{self, Blocked, ResolveError, Work};
use crate::config::{SnmpAuthProtocol, SnmpConfig, SnmpPrivacyProtocol, SnmpVersion};
use crate::from_files::{FromFiles, Origin, of_file};
use crate::password_file::{self, PasswordFileError};
use crate::probe::Endpoint;
use crate::sources::des_salts::des_salts;

/// A datagram may be lost; an agent that does not answer twice is not there.
const RETRIES: u32 = 1;

pub(super) struct Session {
    client: Client,
    /// As configured, for messages.
    name: String,
    address: SocketAddr,
    /// Whether it has answered with these credentials.
    worked: bool,
    fresh: bool,
}

impl Session {
    /// Resolves the address and reads the credentials. Nothing is sent yet.
    pub(super) async fn open(config: &SnmpConfig, files: &CredentialFiles, wait: Duration) -> Result<Self, SnmpError> {
        let name = config.address.clone();
        let address = resolve(&name, wait).await?;
        let auth = credentials(config, files, wait).await?;
        let retry = Retry::fixed(RETRIES, Duration::ZERO).expect("one retry is within the library's limit");
        let client = Client::builder(address, auth)
            .request_timeout(wait)
            .construction_timeout(wait)
            .retry(retry)
            .strict_source(true)
            .des_salt_state(des_salts())
            .max_oids_per_request(OBJECTS_PER_REQUEST)
            .connect()
            .await
            .map_err(|error| SnmpError::from_library(&error, &name))?;
        Ok(Self { client, name, address, worked: false, fresh: true })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) const fn worked(&self) -> bool {
        self.worked
    }

    /// Everything that the agent has of what we know.
    pub(super) async fn ask(&mut self, known: &mut Known) -> Result<Answers, SnmpError> {
        known.begin(std::mem::take(&mut self.fresh), Instant::now());
        let mut answers = Answers::new();
        // A v1 agent refuses a whole request for one object that it lacks: whole trees are looked for first.
        if self.client.version() == async_snmp::Version::V1 && !known.is_whole() {
            self.look_for_trees(known).await?;
        }
        self.get(known.scalars(), known, &mut answers).await?;
        self.walk(known, &mut answers).await?;
        known.end(Instant::now());
        if is_of_a_ups(&answers) { Ok(answers) } else { Err(SnmpError::NoUps { address: self.name.clone() }) }
    }

    async fn look_for_trees(&mut self, known: &mut Known) -> Result<(), SnmpError> {
        for tree in TREES {
            let root = tree.oid(&[]);
            match self.client.get_next(&root).await {
                Ok(response) => {
                    self.worked = true;
                    if !response.varbinds.iter().any(|bind| bind.oid.starts_with(&root)) {
                        known.lacks_tree(tree.root);
                    }
                }
                Err(error) if is_no_such_name(&error) => {
                    self.worked = true;
                    known.lacks_tree(tree.root);
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(())
    }

    /// Asks for objects, and for fewer when the agent refuses the request for one of them: each refusal costs an object or
    /// halves the request, so that there are no more than twice as many requests as objects. Some agents drop what they find too
    /// large without a word: they are asked for one object at a time.
    async fn get(&mut self, oids: Vec<Oid>, known: &mut Known, answers: &mut Answers) -> Result<(), SnmpError> {
        let mut waiting = vec![oids];
        while let Some(mut wanted) = waiting.pop() {
            if wanted.is_empty() {
                continue;
            }
            if wanted.len() > known.at_once() {
                waiting.push(wanted.split_off(known.at_once()));
            }
            match self.client.get_many(&wanted).await {
                Ok(response) => {
                    self.worked = true;
                    for bind in response.varbinds.into_iter().filter(|bind| wanted.contains(&bind.oid)) {
                        if bind.value.is_exception() {
                            known.lacks(bind.oid);
                        } else {
                            answers.insert(bind.oid, bind.value);
                        }
                    }
                }
                Err(error) if self.drops(&error, &wanted, known).await => waiting.push(wanted),
                Err(error) => {
                    let Some(culprit) = culprit(&error, &wanted) else { return Err(self.failed(&error)) };
                    self.worked = true;
                    match culprit {
                        Some(position) => {
                            known.lacks(wanted.remove(position));
                            waiting.push(wanted);
                        }
                        None if wanted.len() == 1 => wanted.into_iter().for_each(|oid| known.lacks(oid)),
                        None => {
                            let half = wanted.split_off(wanted.len() / 2);
                            waiting.extend([wanted, half]);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn walk(&mut self, known: &mut Known, answers: &mut Answers) -> Result<(), SnmpError> {
        let mut walk = Walk::new(known.columns(answers), known.at_once());
        loop {
            let from = walk.ask();
            if from.is_empty() {
                known.without_rows(walk.into_barren());
                return Ok(());
            }
            match self.client.get_next_many(&from).await {
                Ok(response) => walk.take(response.varbinds, answers),
                Err(error) if self.drops(&error, &from, known).await => walk.go_by(1),
                Err(error) => match culprit(&error, &from) {
                    // The agent refuses a request of several without saying for which: of fewer it may say more.
                    Some(None) if from.len() > 1 => walk.go_by(from.len() / 2),
                    Some(position) => walk.end(position, is_no_such_name(&error)),
                    None => {
                        known.tables_failed();
                        return Err(self.failed(&error));
                    }
                },
            }
        }
    }

    /// Whether the agent has dropped a request because it was for several objects: it answers the next one, for one of them.
    async fn drops(&mut self, error: &Error, asked: &[Oid], known: &mut Known) -> bool {
        if asked.len() == 1 || !matches!(error.exchange_source(), Error::Timeout { .. }) {
            return false;
        }
        let answered = match self.client.get(&asked[0]).await {
            Ok(_) => true,
            Err(error) => culprit(&error, &asked[..1]).is_some(),
        };
        if answered {
            self.worked = true;
            known.drops_larger_requests(Instant::now());
        }
        answered
    }

    /// After everything was read: whether an agent that is asked for one object at a time takes larger requests after all. It has
    /// until then, and its silence costs nothing.
    pub(super) async fn try_larger_request(&mut self, known: &mut Known, wait: Duration) {
        let Some(many) = known.trial(Instant::now()) else { return };
        if matches!(timeout(wait, self.client.get_many(&many)).await, Ok(Ok(_))) {
            known.takes_larger_requests();
        }
    }

    fn failed(&self, error: &Error) -> SnmpError {
        SnmpError::from_library(error, &self.name)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("address", &self.address).field("worked", &self.worked).finish_non_exhaustive()
    }
}

/// Whether the agent refuses the request for one of its objects, and which, if it says so.
fn culprit(error: &Error, asked: &[Oid]) -> Option<Option<usize>> {
    let Error::Snmp { status, index, oid, .. } = error.exchange_source() else { return None };
    let of_an_object = matches!(
        status,
        ErrorStatus::NoSuchName | ErrorStatus::GenErr | ErrorStatus::NoAccess | ErrorStatus::ResourceUnavailable
    );
    let named = || asked.iter().position(|asked| oid.as_deref() == Some(asked));
    let counted = || usize::try_from(*index).ok()?.checked_sub(1).filter(|position| *position < asked.len());
    of_an_object.then(|| named().or_else(counted))
}

fn is_no_such_name(error: &Error) -> bool {
    matches!(error.exchange_source(), Error::Snmp { status: ErrorStatus::NoSuchName, .. })
}

/// The first address that the name has.
pub(in crate::sources) async fn resolve(name: &str, wait: Duration) -> Result<SocketAddr, SnmpError> {
    let failed = |detail: String| SnmpError::Name { address: name.to_owned(), detail };
    let endpoint = Endpoint { address: name.to_owned(), server_name: None };
    let (host, port) = endpoint.host_and_port().map_err(|error| failed(error.to_string()))?;
    let until = tokio::time::Instant::now() + wait;
    match blocking::resolve(Work::SourceNames, host, port, until).await {
        Ok(found) => found.first().copied().ok_or_else(|| failed("the answer was empty".to_owned())),
        Err(ResolveError::Blocked(Blocked::Timeout)) => {
            Err(SnmpError::NameTimeout { address: name.to_owned(), waited: wait })
        }
        Err(ResolveError::Blocked(blocked)) => Err(SnmpError::NameBlocked { address: name.to_owned(), blocked }),
        Err(ResolveError::Failed(detail)) => Err(failed(detail.to_string())),
    }
}

/// The password files of one agent, and the credentials that they make.
pub(in crate::sources) type CredentialFiles = FromFiles<Auth, SnmpError>;

/// What the configuration names, as the files say it now.
///
/// # Errors
/// When a file cannot be read, or holds no usable password.
pub(in crate::sources) async fn credentials(
    config: &SnmpConfig,
    files: &CredentialFiles,
    wait: Duration,
) -> Result<Auth, SnmpError> {
    let config = config.clone();
    // Files may lie on a slow disk, and a key is derived from a megabyte of its password.
    let read = files.current(tokio::time::Instant::now() + wait, move || read_credentials(&config)).await;
    Ok(Auth::clone(&*read?))
}

fn read_credentials(config: &SnmpConfig) -> Result<(Auth, Origin), SnmpError> {
    let mut read = Secrets::default();
    let auth = match config.version {
        SnmpVersion::V1 => Auth::v1(community(config, &mut read)?),
        SnmpVersion::V2c => Auth::v2c(community(config, &mut read)?),
        SnmpVersion::V3 => user(config, &mut read)?.into(),
    };
    Ok((auth, read.0))
}

/// The password files that were read.
#[derive(Default)]
struct Secrets(Origin);

impl Secrets {
    fn read(&mut self, path: &Path) -> Result<SecretString, PasswordFileError> {
        let (secret, origin) = of_file(path, password_file::read)?;
        self.0.extend(origin);
        Ok(secret)
    }
}

fn community(config: &SnmpConfig, secrets: &mut Secrets) -> Result<Bytes, PasswordFileError> {
    let secret = config.community_file.as_deref().map(|path| secrets.read(path)).transpose()?;
    let text = secret.as_ref().map(SecretString::expose_secret).unwrap_or_default();
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}

fn user(config: &SnmpConfig, secrets: &mut Secrets) -> Result<UsmConfig, SnmpError> {
    let name = config.user.clone().unwrap_or_default();
    let user = UsmConfig::new(name.into_bytes()).context_name(config.context.clone().unwrap_or_default().into_bytes());
    let Some(auth) = &config.auth else { return Ok(user) };
    let unusable =
        |error: CryptoError| SnmpError::Credentials { address: config.address.clone(), problem: error.to_string() };
    // The costly half of a key is made here, once; for each engine the rest is cheap.
    let password = secrets.read(&auth.password_file)?;
    let keys = MasterKeys::new(auth.protocol.into(), password.expose_secret().as_bytes());
    let mut keys = keys.map_err(unusable)?;
    if let Some(privacy) = &config.privacy {
        let password = secrets.read(&privacy.password_file)?;
        keys = keys.with_privacy(privacy.protocol.into(), password.expose_secret().as_bytes()).map_err(unusable)?;
    }
    user.with_master_keys(keys).map_err(unusable)
}

impl From<SnmpAuthProtocol> for AuthProtocol {
    fn from(protocol: SnmpAuthProtocol) -> Self {
        match protocol {
            SnmpAuthProtocol::Md5 => Self::Md5,
            SnmpAuthProtocol::Sha1 => Self::Sha1,
            SnmpAuthProtocol::Sha224 => Self::Sha224,
            SnmpAuthProtocol::Sha256 => Self::Sha256,
            SnmpAuthProtocol::Sha384 => Self::Sha384,
            SnmpAuthProtocol::Sha512 => Self::Sha512,
        }
    }
}

impl From<SnmpPrivacyProtocol> for PrivProtocol {
    /// The longer keys are those of the draft that most agents follow.
    fn from(protocol: SnmpPrivacyProtocol) -> Self {
        match protocol {
            SnmpPrivacyProtocol::Des => Self::Des,
            SnmpPrivacyProtocol::Aes128 => Self::Aes128,
            SnmpPrivacyProtocol::Aes192 => Self::Aes192Blumenthal,
            SnmpPrivacyProtocol::Aes256 => Self::Aes256Blumenthal,
        }
    }
}
