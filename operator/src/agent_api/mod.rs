//! How agents are reached. Today by the host API of kagiban-exporter; another way is a sibling of `host_api`.

mod connect;
mod endpoints;
mod host_api;
mod reach;
mod tls;

pub use endpoints::{Endpoint, Endpoints};
pub use host_api::HostApi;
pub use reach::Reach;
pub use tls::{ClientIdentity, IdentityError};

use std::net::IpAddr;

use hyper::StatusCode;
use kagiban_crds::host_api::{Refusal, RefusalReason};
use kagiban_crds::resource::BlockedBy;

use crate::decide::{Obstacle, by_power};

/// Why a call to an agent's API did not give what was asked for. The messages do not change from try to try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    #[error("the address {0} is not https://host:port")]
    Address(String),
    #[error(
        "{host} is at {address}, to which this operator does not connect; if that is right, have the operator started with \
         --allow-hosts {address}"
    )]
    NotAllowed { host: String, address: IpAddr },
    #[error("the host cannot be connected to: {0}")]
    Connect(String),
    #[error("TLS with the host failed: {0}")]
    Tls(String),
    /// Who answers is not the host, by its certificate.
    #[error("TLS with the host failed: {0}")]
    NotTheHost(String),
    /// It answered with an alert.
    #[error("TLS with the host failed: {0}")]
    Alert(String),
    #[error("the host did not answer in time")]
    Timeout,
    #[error("the host refused: {}: {}", reason_word(.0.reason), .0.message)]
    Refused(Refusal),
    #[error("the host's answer is not one of its API's: {0}")]
    Malformed(&'static str),
    /// An error without a refusal in words.
    #[error("the host's answer is not one of its API's: HTTP {0} without a refusal; see what answers at its address")]
    Unexplained(StatusCode),
    #[error("the host's answer is larger than any should be")]
    TooLarge,
    /// It was silent in this way just now, and was not asked again. It reads the same: nothing has changed.
    #[error(transparent)]
    Silent(Box<Self>),
}

impl AgentError {
    /// Stable, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::NotAllowed { .. } => "not_allowed",
            Self::Connect(_) => "connect",
            Self::Tls(_) | Self::NotTheHost(_) | Self::Alert(_) => "tls",
            Self::Timeout => "timeout",
            Self::Refused(refusal) => reason_word(refusal.reason),
            Self::Malformed(_) | Self::Unexplained(_) => "malformed",
            Self::TooLarge => "too_large",
            Self::Silent(_) => "not_asked",
        }
    }

    /// What stands in the way, as users see it.
    pub fn obstacle(&self) -> Obstacle {
        let by = match self {
            Self::Silent(error) => return error.obstacle(),
            Self::Connect(_)
            | Self::Tls(_)
            | Self::Timeout
            | Self::Malformed(_)
            | Self::Unexplained(_)
            | Self::TooLarge => BlockedBy::HostUnreachable,
            Self::NotTheHost(_) => BlockedBy::WrongHost,
            Self::Alert(_) => BlockedBy::HostRefused,
            Self::Address(_) => BlockedBy::SpecInvalid,
            Self::NotAllowed { .. } => BlockedBy::NotGranted,
            Self::Refused(refusal) => blocked_by(refusal),
        };
        Obstacle::new(by, self.to_string()).refusing_client(self.refuses_client())
    }

    const fn refuses_client(&self) -> bool {
        matches!(self, Self::Alert(_) | Self::Refused(Refusal { reason: RefusalReason::ClientNotAuthorised, .. }))
    }

    /// Whether nothing was heard of the host at all, whoever asked and for what.
    pub(crate) const fn is_silence(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Timeout)
    }

    /// Whether another operator speaks with a higher epoch: then this one has nothing more to say.
    pub const fn is_deposed(&self) -> bool {
        matches!(self, Self::Refused(Refusal { reason: RefusalReason::StaleEpoch, .. }))
    }
}

fn blocked_by(refusal: &Refusal) -> BlockedBy {
    match refusal.reason {
        RefusalReason::TooSlow
        | RefusalReason::StaleEpoch
        | RefusalReason::StaleGeneration
        | RefusalReason::GenerationConflict
        | RefusalReason::RotationInProgress
        | RefusalReason::WrongState
        | RefusalReason::Busy
        | RefusalReason::Stopping
        | RefusalReason::Unavailable
        | RefusalReason::Internal => BlockedBy::HostBusy,
        RefusalReason::Malformed
        | RefusalReason::ClientNotAuthorised
        | RefusalReason::NotFound
        | RefusalReason::MethodNotAllowed
        | RefusalReason::BodyTooLarge
        | RefusalReason::UnsupportedEncoding
        | RefusalReason::ChainRefused
        | RefusalReason::KeystoreRefused
        | RefusalReason::EpochTooFar
        | RefusalReason::WrongClass
        | RefusalReason::OtherLineage
        | RefusalReason::LineageConfigured
        | RefusalReason::HandedBack
        | RefusalReason::InsufficientStorage => BlockedBy::HostRefused,
        RefusalReason::WrongTarget => BlockedBy::WrongHost,
        RefusalReason::Frozen => BlockedBy::Frozen,
        // A host of an earlier version does not say which.
        RefusalReason::PowerUnsafe => refusal.power.and_then(by_power).unwrap_or(BlockedBy::PowerUnknown),
    }
}

const fn reason_word(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::Malformed => "malformed_request",
        RefusalReason::ClientNotAuthorised => "client_not_authorised",
        RefusalReason::NotFound => "not_found",
        RefusalReason::MethodNotAllowed => "method_not_allowed",
        RefusalReason::TooSlow => "too_slow",
        RefusalReason::OtherLineage => "other_lineage",
        RefusalReason::LineageConfigured => "lineage_configured",
        RefusalReason::HandedBack => "handed_back",
        RefusalReason::StaleEpoch => "stale_epoch",
        RefusalReason::EpochTooFar => "epoch_too_far",
        RefusalReason::StaleGeneration => "stale_generation",
        RefusalReason::GenerationConflict => "generation_conflict",
        RefusalReason::RotationInProgress => "rotation_in_progress",
        RefusalReason::WrongState => "wrong_state",
        RefusalReason::WrongClass => "wrong_class",
        RefusalReason::Frozen => "frozen",
        RefusalReason::BodyTooLarge => "body_too_large",
        RefusalReason::UnsupportedEncoding => "unsupported_encoding",
        RefusalReason::WrongTarget => "wrong_target",
        RefusalReason::ChainRefused => "chain_refused",
        RefusalReason::KeystoreRefused => "keystore_refused",
        RefusalReason::PowerUnsafe => "power_unsafe",
        RefusalReason::Busy => "busy",
        RefusalReason::Stopping => "stopping",
        RefusalReason::Unavailable => "unavailable",
        RefusalReason::Internal => "internal",
        RefusalReason::InsufficientStorage => "insufficient_storage",
    }
}

#[cfg(test)]
mod tests {
    use kagiban_crds::host_api::PowerState;

    use super::*;

    #[test]
    fn a_host_that_refuses_for_its_power_says_which_state_it_is_in() {
        for (power, by) in [
            (Some(PowerState::OnBattery), BlockedBy::OnBattery),
            (Some(PowerState::LowBattery), BlockedBy::LowBattery),
            (Some(PowerState::ShutdownPending), BlockedBy::ShutdownPending),
            (Some(PowerState::Stale), BlockedBy::PowerUnknown),
            (Some(PowerState::Mains), BlockedBy::PowerUnknown),
            (None, BlockedBy::PowerUnknown),
        ] {
            let message = "not now".to_owned();
            let refusal = Refusal { reason: RefusalReason::PowerUnsafe, message, epoch: None, generation: None, power };
            assert_eq!(AgentError::Refused(refusal).obstacle().by, by, "{power:?}");
        }
    }
}
