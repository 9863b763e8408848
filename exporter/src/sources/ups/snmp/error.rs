//! Why an agent could not be asked.

use std::io;
use std::time::Duration;

use async_snmp::v3::ReportStatus;
use async_snmp::{Error, ErrorStatus};

use super::oids::TREES;
use crate::blocking::Blocked;
use crate::from_files::FilesUnavailable;
use crate::password_file::PasswordFileError;
use crate::snapshot::UpsTrouble;
use crate::ups::UpsFault;

#[derive(Debug, thiserror::Error)]
pub(in crate::sources) enum SnmpError {
    #[error(transparent)]
    Secret(#[from] PasswordFileError),
    #[error(transparent)]
    Unread(#[from] FilesUnavailable<SnmpError>),
    #[error("{address}: the name cannot be resolved ({detail}); check the address")]
    Name { address: String, detail: String },
    #[error("{address}: the name was not looked up: {blocked}")]
    NameBlocked { address: String, blocked: Blocked },
    #[error("{address}: no name server answered within {} s; check the resolver, or write an IP address", waited.as_secs_f64())]
    NameTimeout { address: String, waited: Duration },
    #[error("{address}: the credentials cannot be used ({problem}); correct the password files")]
    Credentials { address: String, problem: String },
    #[error("{address}: no SNMP agent listens there; start it, or correct the port")]
    NobodyListens { address: String },
    #[error("{address}: cannot send or receive ({problem})")]
    Network { address: String, problem: String },
    #[error(
        "{address}: no answer, or not all of it in time; raise `timeout` if the agent is only slow, and check that the host is up, \
         that its agent lets this host ask, no firewall is in the way, and an answer by version 3 can be read and passes its check"
    )]
    Silence { address: String },
    #[error("{address}: answers arrive after they were waited for, or from another address; raise `timeout`")]
    Late { address: String },
    #[error(
        "{address}: an answer is older than the agent's own clock allows; it was late, or that clock went back: the next look begins \
         anew"
    )]
    OutOfTime { address: String },
    #[error(
        "{address}: datagrams come that are no readable answer, such as a number of no bytes; update the agent, and check that \
         nothing else answers at that port"
    )]
    Unreadable { address: String },
    #[error("{address}: the agent and this host do not agree on its engine ({problem}); {advice}")]
    Engine { address: String, problem: &'static str, advice: &'static str },
    #[error("{address}: an SNMP agent is there but does not answer to these credentials ({problem}); {advice}")]
    Credential { address: String, problem: String, advice: &'static str },
    #[error("{address}: it speaks SNMP wrongly ({problem})")]
    Protocol { address: String, problem: String },
    #[error("{address}: the agent answers but knows nothing of a UPS; it was asked for {}", trees())]
    NoUps { address: String },
}

pub(super) const CHECK_COMMUNITY: &str = "check the community, and that the agent speaks this version of SNMP";
pub(super) const CHECK_USER: &str = "check user, protocols and password files against the agent's";
const CHECK_NAME: &str = "check `user`, and that the agent has that user for SNMP v3";
const CHECK_AUTH: &str = "check the protocol and the password file of `auth` against the agent's";
const CHECK_PRIVACY: &str = "check the protocol and the password file of `privacy` against the agent's";
const CHECK_LEVEL: &str = "the agent's user has no authentication or no privacy: give it both there, or set `allowNoPrivacy` or `allowNoAuth` here";
const CHECK_CLOCK: &str = "restart the agent, and check that no other one has the same engine ID: a cloned system has";
const CHECK_ENGINE: &str = "it changes its engine ID, or several agents answer at that address";

impl SnmpError {
    pub(super) fn fault(&self) -> UpsFault {
        match self {
            Self::Unread(unread) => unread.into(),
            Self::NameBlocked { blocked, .. } => blocked.into(),
            Self::Secret(error) => error.into(),
            Self::Name { .. } | Self::NameTimeout { .. } => UpsFault::Dns,
            Self::Credentials { .. } | Self::Credential { .. } => UpsFault::Auth,
            Self::NobodyListens { .. } | Self::Network { .. } => UpsFault::Connect,
            Self::Silence { .. } | Self::Late { .. } | Self::OutOfTime { .. } => UpsFault::Timeout,
            Self::Unreadable { .. } | Self::Engine { .. } | Self::Protocol { .. } | Self::NoUps { .. } => {
                UpsFault::Protocol
            }
        }
    }

    /// Whether the agent may only have been started anew, or be another one: that says nothing of what else it would say.
    pub(super) const fn may_pass_with_a_new_session(&self) -> bool {
        matches!(self, Self::Silence { .. } | Self::OutOfTime { .. } | Self::Unreadable { .. } | Self::Engine { .. })
    }

    /// What the library says, in our words. Its own texts hold no credentials; they may hold what the agent sent, and stay out.
    pub(super) fn from_library(error: &Error, address: &str) -> Self {
        let address = address.to_owned();
        let protocol = |problem: String| Self::Protocol { address: address.clone(), problem };
        let refused =
            |problem: &str, advice| Self::Credential { address: address.clone(), problem: problem.to_owned(), advice };
        let engine = |problem, advice| Self::Engine { address: address.clone(), problem, advice };
        match error.exchange_source() {
            Error::Timeout { .. } | Error::ConstructionTimeout { .. } => Self::Silence { address },
            Error::Network { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                Self::NobodyListens { address }
            }
            Error::Network { source, .. } => Self::Network { address, problem: source.to_string() },
            Error::Closed { .. } => Self::Network { address, problem: "the socket was closed".to_owned() },
            // Its check was passed: what fails it is no answer to the library.
            Error::Auth { .. } => Self::OutOfTime { address },
            Error::Report { status, .. } => match status.as_ref() {
                ReportStatus::UnknownUserName { .. } => refused("unknown user name", CHECK_NAME),
                ReportStatus::WrongDigest { .. } => refused("wrong digest", CHECK_AUTH),
                ReportStatus::DecryptionError { .. } => refused("decryption error", CHECK_PRIVACY),
                ReportStatus::UnsupportedSecurityLevel { .. } => refused("unsupported security level", CHECK_LEVEL),
                ReportStatus::NotInTimeWindow { .. } => engine("not in time window", CHECK_CLOCK),
                ReportStatus::UnknownEngineId { .. } => engine("unknown engine ID", CHECK_ENGINE),
                _ => protocol("an unknown report".to_owned()),
            },
            Error::Snmp { status, .. } if *status == ErrorStatus::AuthorizationError => {
                Self::Credential { address, problem: status.to_string(), advice: CHECK_USER }
            }
            Error::Snmp { status, .. } => protocol(status.to_string()),
            Error::Config(problem) => Self::Credentials { address, problem: problem.to_string() },
            other => protocol(other.kind().to_string()),
        }
    }
}

impl From<&SnmpError> for UpsFault {
    fn from(error: &SnmpError) -> Self {
        error.fault()
    }
}

impl From<SnmpError> for UpsTrouble {
    fn from(error: SnmpError) -> Self {
        Self::new(error.fault(), error)
    }
}

fn trees() -> String {
    let of = |tree: &&super::oids::Tree| {
        let arcs: Vec<_> = tree.root.iter().map(u32::to_string).collect();
        format!("{} ({})", tree.name, arcs.join("."))
    };
    TREES.iter().map(of).collect::<Vec<_>>().join(", ")
}
