//! Why an agent could not be asked.

use std::io;
use std::time::Duration;

use async_snmp::v3::ReportStatus;
use async_snmp::{Error, ErrorStatus};

use super::oids::TREES;
use crate::blocking::Blocked;
use crate::from_files::Unread;
use crate::password_file::PasswordFileError;
use crate::snapshot::Trouble;

#[derive(Debug, thiserror::Error)]
pub(in crate::sources) enum SnmpError {
    #[error(transparent)]
    Secret(#[from] PasswordFileError),
    #[error(transparent)]
    Unread(#[from] Unread<SnmpError>),
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
         that its agent lets this host ask, and no firewall is in the way"
    )]
    Silence { address: String },
    #[error("{address}: an SNMP agent is there but does not answer to these credentials ({problem}); {advice}")]
    Credential { address: String, problem: String, advice: &'static str },
    #[error("{address}: it speaks SNMP wrongly ({problem})")]
    Protocol { address: String, problem: String },
    #[error("{address}: the agent answers but knows nothing of a UPS; it was asked for {}", trees())]
    NoUps { address: String },
}

pub(super) const CHECK_COMMUNITY: &str = "check the community, and that the agent speaks this version of SNMP";
pub(super) const CHECK_USER: &str = "check user, protocols and password files against the agent's";

impl SnmpError {
    /// One of the reasons of UPS sources.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Unread(unread) => unread.reason(Self::reason),
            Self::NameBlocked { blocked, .. } => blocked.reason(),
            Self::Secret(error) => error.reason(),
            Self::Name { .. } | Self::NameTimeout { .. } => "dns",
            Self::Credentials { .. } | Self::Credential { .. } => "auth",
            Self::NobodyListens { .. } | Self::Network { .. } => "connect",
            Self::Silence { .. } => "timeout",
            Self::Protocol { .. } | Self::NoUps { .. } => "protocol",
        }
    }

    /// What the library says, in our words. Its own texts hold no credentials; they may hold what the agent sent, and stay out.
    pub(super) fn from_library(error: &Error, address: &str) -> Self {
        let address = address.to_owned();
        let protocol = |problem: String| Self::Protocol { address: address.clone(), problem };
        match error.exchange_source() {
            Error::Timeout { .. } | Error::ConstructionTimeout { .. } => Self::Silence { address },
            Error::Network { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                Self::NobodyListens { address }
            }
            Error::Network { source, .. } => Self::Network { address, problem: source.to_string() },
            Error::Closed { .. } => Self::Network { address, problem: "the socket was closed".to_owned() },
            Error::Auth { .. } => {
                Self::Credential { address, problem: "an answer failed its check".to_owned(), advice: CHECK_USER }
            }
            Error::Report { status, .. } => match status.as_ref() {
                ReportStatus::UnknownUserName { .. }
                | ReportStatus::WrongDigest { .. }
                | ReportStatus::DecryptionError { .. }
                | ReportStatus::UnsupportedSecurityLevel { .. } => {
                    Self::Credential { address, problem: status.to_string(), advice: CHECK_USER }
                }
                // Its engine is another one than it was: a new session finds it.
                ReportStatus::NotInTimeWindow { .. } | ReportStatus::UnknownEngineId { .. } => {
                    Self::Silence { address }
                }
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

impl From<SnmpError> for Trouble {
    fn from(error: SnmpError) -> Self {
        Self::new(error.reason(), error)
    }
}

fn trees() -> String {
    let of = |tree: &&super::oids::Tree| {
        let arcs: Vec<_> = tree.root.iter().map(u32::to_string).collect();
        format!("{} ({})", tree.name, arcs.join("."))
    };
    TREES.iter().map(of).collect::<Vec<_>>().join(", ")
}
