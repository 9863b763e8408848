//! Classes of product: what an agent takes from us, and so what a spec asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CertificateSpec, IssuerRef, KeystoreSpec, RenewalSpec};

/// How a product gets its next certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It takes a key and a chain from us.
    Push,
    /// It renews its own when told.
    Trigger,
    /// It only lets us look, and is repaired when a person asks.
    Observe,
}

/// What a spec asks for, by its product's class.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "most resources are of the larger one")]
pub enum Procedure {
    /// A certificate is issued and put into the agent's keystore.
    Push(PushSpec),
    /// The agent is told to renew its own.
    Trigger { renewal: RenewalSpec },
    /// The host repairs the agent when a person asks, and at no other time.
    Repair(RepairSpec),
}

/// That the agent may be repaired. What is run is named by its host's own configuration, and when by a new value of the annotation
/// `kagiban.dev/rotate`; nothing is done before there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepairSpec {}

/// What is issued, by whom, and how it is put onto the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushSpec {
    pub certificate: CertificateSpec,
    pub issuer_ref: IssuerRef,
    pub keystore: KeystoreSpec,
}

impl Procedure {
    /// When the next certificate is wanted.
    pub const fn renewal(&self) -> RenewalSpec {
        match self {
            Self::Push(push) => push.certificate.renewal(),
            Self::Trigger { renewal } => *renewal,
            Self::Repair(RepairSpec {}) => RenewalSpec { renew_before: None, renew_before_percentage: None },
        }
    }

    /// What is pushed, if anything is.
    pub const fn push(&self) -> Option<&PushSpec> {
        match self {
            Self::Push(push) => Some(push),
            Self::Trigger { .. } | Self::Repair(_) => None,
        }
    }
}

impl CertificateSpec {
    /// When it is to be renewed.
    pub const fn renewal(&self) -> RenewalSpec {
        RenewalSpec { renew_before: self.renew_before, renew_before_percentage: self.renew_before_percentage }
    }
}
