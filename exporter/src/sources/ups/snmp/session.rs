//! One agent, with the credentials as they are now.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use async_snmp::{
    Auth, AuthProtocol, Client, CryptoError, Error, ErrorStatus, MasterKeys, Oid, PrivProtocol, Retry, UdpClient,
    UsmConfig, VarBind,
};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hyper::body::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{sleep, timeout};

use super::agent_objects::{AgentObjects, OBJECTS_PER_REQUEST};
use super::answers::Answers;
use super::error::SnmpError;
use super::exchange::{Pace, Strays, Unanswered, answered};
use super::oids::TREES;
use super::reading::is_of_a_ups;
use super::walk::Walk;
use crate::blocking::{self, Blocked, ResolveError, Work};
use crate::config::{SnmpAuthProtocol, SnmpConfig, SnmpPrivacyProtocol, SnmpVersion};
use crate::from_files::{FileOrigin, FromFiles, of_file};
use crate::password_file::{self, PasswordFileError};
use crate::probe::Endpoint;
use crate::sources::des_salts::des_salts;

/// A datagram may be lost; an agent that does not answer twice is not there.
const RETRIES: u32 = 1;
const LATE_LOOKS_EVERY: Duration = Duration::from_millis(20);
/// `sysUpTime.0`.
const SYS_UP_TIME: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 3, 0];

pub(super) struct Session {
    client: UdpClient,
    auth: Auth,
    /// As configured, for messages.
    name: String,
    address: SocketAddr,
    /// Whether it has answered with these credentials.
    worked: bool,
    fresh: bool,
    /// How fast it answers in this look.
    pace: Pace,
    /// Whether it has dropped a request in this look: the next ones are not waited for longer than its pace says.
    drops: bool,
    /// Whether something came from it that could not be read, and no answer since.
    unreadable: bool,
}

impl Session {
    /// Resolves the address and reads the credentials. Nothing is sent yet.
    pub(super) async fn open(
        config: &SnmpConfig,
        files: &CredentialFiles,
        names: Work,
        wait: Duration,
    ) -> Result<Self, SnmpError> {
        let name = config.address.clone();
        let address = resolve(&name, names, wait).await?;
        let auth = credentials(config, files, wait).await?;
        let client = connect(address, auth.clone(), wait, false).await;
        let client = client.map_err(|error| SnmpError::from_library(&error, &name))?;
        let (pace, worked, fresh) = (Pace::default(), false, true);
        Ok(Self { client, auth, name, address, worked, fresh, pace, drops: false, unreadable: false })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) const fn worked(&self) -> bool {
        self.worked
    }

    /// Everything that the agent has of what we know.
    pub(super) async fn ask(&mut self, known: &mut AgentObjects) -> Result<Answers, SnmpError> {
        known.begin(std::mem::take(&mut self.fresh), Instant::now());
        (self.pace, self.drops, self.unreadable) = (Pace::default(), false, false);
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

    async fn look_for_trees(&mut self, known: &mut AgentObjects) -> Result<(), SnmpError> {
        for tree in TREES {
            let root = tree.oid(&[]);
            let client = self.client.clone();
            match self.exchange(1, client.get_next(&root)).await {
                Ok(response) => {
                    if !response.varbinds.iter().any(|bind| bind.oid.starts_with(&root)) {
                        known.lacks_tree(tree.root);
                    }
                }
                Err(Unanswered::Failed(error)) if is_no_such_name(&error) => {
                    self.worked = true;
                    known.lacks_tree(tree.root);
                }
                Err(unanswered) => return Err(self.failed(unanswered)),
            }
        }
        Ok(())
    }

    /// Asks for objects, and for fewer when the agent refuses the request for one of them: each refusal costs an object or
    /// halves the request, so that there are no more than twice as many requests as objects. Some agents drop what they find too
    /// large, or what holds an object that they stumble over, without a word or with an answer that cannot be read: they are asked
    /// for half as many, and for what they do not answer alone no more.
    async fn get(&mut self, oids: Vec<Oid>, known: &mut AgentObjects, answers: &mut Answers) -> Result<(), SnmpError> {
        let (mut waiting, at_first) = (vec![oids], known.at_once());
        while let Some(mut wanted) = waiting.pop() {
            wanted.retain(|oid| !answers.contains_key(oid));
            if wanted.is_empty() {
                continue;
            }
            if wanted.len() > known.at_once() {
                waiting.push(wanted.split_off(known.at_once()));
            }
            let client = self.client.clone();
            match self.exchange(wanted.len(), client.get_many(&wanted)).await {
                Ok(response) => take(response.varbinds, &wanted, known, answers),
                Err(Unanswered::Failed(error)) => {
                    let Some(culprit) = culprit(&error, &wanted) else {
                        return Err(SnmpError::from_library(&error, &self.name));
                    };
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
                Err(unanswered) if wanted.len() > 1 => {
                    if !self.is_there(&unanswered, &wanted, known, answers).await {
                        return Err(self.failed(unanswered));
                    }
                    known.drops(wanted.len(), Instant::now());
                    waiting.push(wanted);
                }
                Err(unanswered) => {
                    let is_there = self.worked || matches!(unanswered, Unanswered::Unreadable);
                    if !is_there || !known.leaves_out(&wanted[0]) {
                        return Err(self.failed(unanswered));
                    }
                    known.takes_again(at_first, Instant::now());
                }
            }
        }
        Ok(())
    }

    async fn walk(&mut self, known: &mut AgentObjects, answers: &mut Answers) -> Result<(), SnmpError> {
        let mut walk = Walk::new(known.columns(answers), known.at_once());
        loop {
            let from = walk.ask();
            if from.is_empty() {
                known.without_rows(walk.into_barren());
                return Ok(());
            }
            let client = self.client.clone();
            match self.exchange(from.len(), client.get_next_many(&from)).await {
                Ok(response) => walk.take(response.varbinds, answers),
                Err(Unanswered::Failed(error)) => match culprit(&error, &from) {
                    // The agent refuses a request of several without saying for which: of fewer it may say more.
                    Some(None) if from.len() > 1 => walk.go_by(from.len() / 2),
                    Some(position) => walk.end(position, is_no_such_name(&error)),
                    None => {
                        known.tables_failed();
                        return Err(SnmpError::from_library(&error, &self.name));
                    }
                },
                // It has answered scalars: it drops this one for its size.
                Err(_) if from.len() > 1 => {
                    self.drops = true;
                    known.drops(from.len(), Instant::now());
                    walk.go_by(known.at_once());
                }
                Err(unanswered) => {
                    known.tables_failed();
                    return Err(self.failed(unanswered));
                }
            }
        }
    }

    /// One request, for so many objects.
    async fn exchange<T>(
        &mut self,
        objects: usize,
        request: impl Future<Output = async_snmp::Result<T>>,
    ) -> Result<T, Unanswered> {
        let started = Instant::now();
        let wait = (self.drops && self.pace.is_known()).then(|| self.pace.wait(objects));
        let said = answered(&self.client, wait, request).await;
        match &said {
            Ok(_) => {
                self.worked = true;
                self.pace.note(started.elapsed(), objects);
                // What came before was of a request that was too large: the library splits one that is refused so by itself.
                self.unreadable = false;
            }
            Err(Unanswered::Unreadable) => self.unreadable = true,
            Err(Unanswered::Failed(_) | Unanswered::Silent) => {}
        }
        said
    }

    /// Whether an agent that has not answered for these objects answers at all: for one of them alone. The first, the middle and the
    /// last one are of different groups, and it may stumble over one of those. What it answers is kept.
    async fn is_there(
        &mut self,
        unanswered: &Unanswered,
        wanted: &[Oid],
        known: &mut AgentObjects,
        answers: &mut Answers,
    ) -> bool {
        if matches!(unanswered, Unanswered::Unreadable) || std::mem::replace(&mut self.drops, true) {
            return true;
        }
        let some = [&wanted[0], &wanted[wanted.len() / 2], &wanted[wanted.len() - 1]];
        let (client, started) = (self.client.clone(), Instant::now());
        let mut alone: FuturesUnordered<_> = some.into_iter().map(|oid| client.get(oid)).collect();
        while let Some(said) = alone.next().await {
            match said {
                Ok(response) => take(response.varbinds, wanted, known, answers),
                Err(error) if culprit(&error, &wanted[..1]).is_some() => {}
                Err(_) => continue,
            }
            self.worked = true;
            self.pace.note(started.elapsed(), 1);
            return true;
        }
        false
    }

    /// After everything was read: whether an agent that is asked for fewer objects at a time takes larger requests after all. It has
    /// until then, and its silence costs nothing.
    pub(super) async fn try_larger_request(&mut self, known: &mut AgentObjects, wait: Duration) {
        let Some(many) = known.trial(Instant::now()) else { return };
        if matches!(timeout(wait, self.client.get_many(&many)).await, Ok(Ok(_))) {
            known.takes_again(many.len(), Instant::now());
        }
    }

    /// Why an agent that answers discoveries has answered nothing to this user, in its own words. They come unauthenticated, as
    /// RFC 3414 has it, so they are believed for this alone.
    pub(super) async fn report(&self, wait: Duration) -> Option<SnmpError> {
        let client = connect(self.address, self.auth.clone(), wait, true).await.ok()?;
        let said = timeout(wait, client.get(&Oid::new(SYS_UP_TIME))).await.ok()?;
        let error = said.err()?;
        matches!(error.exchange_source(), Error::Report { .. }).then(|| SnmpError::from_library(&error, &self.name))
    }

    /// Whether an answer arrives after it was waited for, until then.
    pub(super) async fn answers_late(&self, wait: Duration) -> bool {
        let late = async {
            while !Strays::of(&self.client).are_late() {
                sleep(LATE_LOOKS_EVERY).await;
            }
        };
        timeout(wait, late).await.is_ok()
    }

    /// What is known of an agent of which nothing was heard in time.
    pub(super) fn silence(&self) -> SnmpError {
        let address = self.name.clone();
        if self.unreadable { SnmpError::Unreadable { address } } else { SnmpError::Silence { address } }
    }

    fn failed(&self, unanswered: Unanswered) -> SnmpError {
        match unanswered {
            Unanswered::Failed(error) => SnmpError::from_library(&error, &self.name),
            Unanswered::Silent | Unanswered::Unreadable => self.silence(),
        }
    }
}

/// What was asked for of what was answered.
fn take(binds: Vec<VarBind>, wanted: &[Oid], known: &mut AgentObjects, answers: &mut Answers) {
    for VarBind { oid, value, .. } in binds.into_iter().filter(|bind| wanted.contains(&bind.oid)) {
        if value.is_exception() {
            known.lacks(oid);
        } else {
            known.gives(&oid);
            answers.insert(oid, value);
        }
    }
}

/// A client. Where it takes reports, an agent may refuse it without authentication, and nothing else that it says counts.
async fn connect(
    address: SocketAddr,
    auth: Auth,
    wait: Duration,
    takes_reports: bool,
) -> async_snmp::Result<UdpClient> {
    let retry = Retry::fixed(RETRIES, Duration::ZERO).expect("one retry is within the library's limit");
    Client::builder(address, auth)
        .request_timeout(wait)
        .construction_timeout(wait)
        .retry(retry)
        .strict_source(true)
        .des_salt_state(des_salts())
        .max_oids_per_request(OBJECTS_PER_REQUEST)
        .allow_unauthenticated_v3_time_correction(takes_reports)
        .connect()
        .await
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

/// The first address that the name has, looked up on a thread of `names`.
pub(in crate::sources) async fn resolve(name: &str, names: Work, wait: Duration) -> Result<SocketAddr, SnmpError> {
    let failed = |detail: String| SnmpError::Name { address: name.to_owned(), detail };
    let endpoint = Endpoint { address: name.to_owned(), server_name: None };
    let (host, port) = endpoint.host_and_port().map_err(|error| failed(error.to_string()))?;
    let until = tokio::time::Instant::now() + wait;
    match blocking::resolve(names, host, port, until).await {
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

fn read_credentials(config: &SnmpConfig) -> Result<(Auth, FileOrigin), SnmpError> {
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
struct Secrets(FileOrigin);

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
