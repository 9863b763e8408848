//! One SNMP agent: a network management card, or a PowerChute agent.
//!
//! ```text
//!   Client ─┬─ session ── GET, GETNEXT ──> the agent        known: which objects it has; walk: its tables
//!           ├─ knock ─── discovery ─────> the agent         whether it is there, when it does not answer to us
//!           └─ inbox <── trap <── sources::traps            what it told by itself
//!                │
//!   answers + told ── reading (oids, value) ──> Reading
//! ```

mod agent_objects;
mod answers;
#[cfg(test)]
mod documented;
mod error;
mod exchange;
mod inbox;
mod knock;
mod lines;
mod oids;
mod reading;
mod session;
mod trap;
mod value;
mod walk;

#[cfg(test)]
pub(super) use documented::documented;
pub(in crate::sources) use inbox::Inbox;
pub(in crate::sources) use session::{CredentialFiles, credentials, resolve};
pub(in crate::sources) use trap::{Credential, Dropped, open};

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_snmp::message::Message;
use async_snmp::{Auth, DecodeConfig};
use hyper::body::Bytes;
use tokio::time::timeout;

use self::agent_objects::AgentObjects;
use self::answers::Answers;
use self::error::{CHECK_COMMUNITY, CHECK_USER, SnmpError};
use self::inbox::TrapState;
use self::knock::{PortState, knock};
use self::session::Session;
use crate::blocking::Work;
use crate::config::{SnmpConfig, SnmpVersion};
use crate::snapshot::UpsTrouble;
use crate::ups::Reading;

/// Takes bytes for a datagram of an agent, a reply and a trap, through decoder and mapping: for the fuzzer.
pub(in crate::sources) fn read_bytes(bytes: &[u8]) {
    let datagram = Bytes::copy_from_slice(bytes);
    let decoded = Message::decode(datagram.clone(), DecodeConfig::DEFAULT).map(|decoded| decoded.value);
    if let Ok(Message::Community(message)) = decoded
        && let Some(pdu) = message.pdu().standard()
    {
        let answers = pdu.varbinds().iter().map(|bind| (bind.oid.clone(), bind.value.clone())).collect();
        let _ = reading::read(&answers, &TrapState::default());
    }
    for auth in [Auth::v2c("public"), Auth::usm("monitor")] {
        let _ = open(&datagram, &mut Credential::new(auth), Instant::now());
    }
}

/// A trap holds for three looks that do not succeed; a UPS that has not been heard of for longer is not known.
const LOOKS_THAT_A_TRAP_HOLDS: u32 = 3;

#[derive(Debug)]
pub(in crate::sources) struct Client {
    config: SnmpConfig,
    credentials: CredentialFiles,
    /// Whose threads the agent's name is looked up on.
    names: Work,
    deadline: Duration,
    /// Dropped when it fails: the agent may have another engine, another address, and the files other passwords.
    session: Option<Session>,
    known: AgentObjects,
    inbox: Arc<Inbox>,
}

impl Client {
    /// The deadline is for one look, with its knock: ahead of the source's own, which could not say why.
    pub(super) fn new(config: &SnmpConfig, names: Work, deadline: Duration, interval: Duration) -> Self {
        let holds = (interval + deadline) * LOOKS_THAT_A_TRAP_HOLDS;
        Self {
            config: config.clone(),
            credentials: CredentialFiles::new(Work::Credentials),
            names,
            deadline,
            session: None,
            known: AgentObjects::default(),
            inbox: Arc::new(Inbox::new(holds)),
        }
    }

    /// What a receiver of traps needs to know of it.
    pub(in crate::sources) fn trapped(&self) -> (&SnmpConfig, CredentialFiles, Arc<Inbox>) {
        (&self.config, self.credentials.clone(), Arc::clone(&self.inbox))
    }

    pub(super) async fn read(&mut self) -> Result<Reading, UpsTrouble> {
        let answers = self.answers().await;
        let told = self.inbox.told(answers.is_ok(), Instant::now());
        match answers {
            Ok(answers) => reading::read(&answers, &told),
            Err(error) if told.is_nothing() => Err(error.into()),
            Err(_) => reading::read(&Answers::new(), &told),
        }
    }

    /// Asks, and once more with a new session when a v3 agent that knew us is silent and yet there: it may have been started
    /// anew, or exchanged.
    async fn answers(&mut self) -> Result<Answers, SnmpError> {
        let until = Instant::now() + self.deadline;
        loop {
            let mut session = match self.session.take() {
                Some(session) => session,
                None => Session::open(&self.config, &self.credentials, self.names, self.patience()).await?,
            };
            // The knock, too, has its place before the deadline.
            let left = until.saturating_duration_since(Instant::now() + self.patience());
            let error = match timeout(left, session.ask(&mut self.known)).await {
                Ok(Ok(answers)) => {
                    let left = until.saturating_duration_since(Instant::now()).min(self.patience());
                    session.try_larger_request(&mut self.known, left).await;
                    self.session = Some(session);
                    return Ok(answers);
                }
                Ok(Err(error)) => error,
                Err(_) => session.silence(),
            };
            if !error.may_pass_with_a_new_session() {
                return Err(error);
            }
            let is_v3 = self.config.version == SnmpVersion::V3;
            match knock(session.address(), self.patience()).await {
                PortState::Closed => return Err(SnmpError::NobodyListens { address: self.config.address.clone() }),
                PortState::Answers if session.worked() && is_v3 && until > Instant::now() + self.patience() => {}
                PortState::Answers if !session.worked() => {
                    return Err(self.unheard(&session, error, until).await);
                }
                PortState::Answers | PortState::Silent => return Err(error),
            }
        }
    }

    /// Why an agent that is there has not answered to us.
    async fn unheard(&self, session: &Session, error: SnmpError, until: Instant) -> SnmpError {
        let left = || until.saturating_duration_since(Instant::now());
        if self.config.version == SnmpVersion::V3
            && let Some(report) = session.report(left().min(self.patience())).await
        {
            return report;
        }
        match error {
            SnmpError::Silence { address } if session.answers_late(left()).await => SnmpError::Late { address },
            SnmpError::Silence { .. } => self.not_to_us(),
            error => error,
        }
    }

    /// How long one datagram is waited for: a slow agent has two such waits for its first answer, and a knock has one.
    fn patience(&self) -> Duration {
        self.deadline / 4
    }

    fn not_to_us(&self) -> SnmpError {
        SnmpError::Credential {
            address: self.config.address.clone(),
            problem: "it answers a discovery and nothing else in time".to_owned(),
            advice: match self.config.version {
                SnmpVersion::V1 | SnmpVersion::V2c => CHECK_COMMUNITY,
                SnmpVersion::V3 => CHECK_USER,
            },
        }
    }
}

#[cfg(test)]
mod tests;
