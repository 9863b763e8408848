//! What to do about one resource, as a pure and total function.
//!
//! ```text
//!   resource, what the host says and since when it works, rival, setback, what its Secrets say, policy, now
//!        │
//!        v
//!     settle     an ended rotation is written down, a fitting leaf adopted
//!        │
//!        v
//!     rules      in order; the first that speaks gives the step
//!        │
//!        v
//!     events     conditions from the verdict, events from what changed
//!        │
//!        v
//!     Decision { step, status, events }
//! ```
//!
//! No clock, no network, no Kubernetes client. Everything that waits does so by returning.

mod case;
mod clock;
mod conditions;
mod deletion;
mod due;
mod events;
mod following;
mod gates;
mod inputs;
mod ownership;
mod pace;
mod reason;
mod renewal;
mod renewed;
mod request;
mod rules;
mod settle;
mod standing;
#[cfg(test)]
pub(crate) mod tests;

pub use events::{Event, EventKind};
pub(crate) use gates::{SECRET_WAIT, by_power};
pub use inputs::{
    Inputs, Observed, Obstacle, PasswordOfGeneration, PasswordVersion, Policy, References, Resource, Rival, Setback,
    TakenOrder,
};
pub use ownership::{Contender, OwnershipClaim, owner};
pub(crate) use pace::doubled;
pub(crate) use reason::trigger_words;
pub use reason::{ConditionType, Reason};
pub use renewal::renewal_time;
pub(crate) use request::push_digest;
pub use request::{mark_of, request_digest};
pub use rules::decide;
pub(crate) use settle::whole_seconds;
pub use settle::with_signed;

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::Generation;
use kagiban_crds::resource::{BlockedBy, ManagedAgentCertificateStatus, RotationTrigger};

/// One step, the status as it shall read before the step is taken, and what to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub step: Step,
    pub status: ManagedAgentCertificateStatus,
    /// Told once, because they follow from the difference between the old status and the new.
    pub events: Vec<Event>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Put the finalizer on, before the host is asked for anything.
    EnsureFinalizer,
    /// Take the finalizer off: nothing on the host depends on this resource any more.
    ReleaseFinalizer,
    /// Open a rotation. The status with its generation is written first.
    Open { generation: Generation, trigger: RotationTrigger },
    /// Ask the host whether the password that the Secret holds is in force there. The generation is the highest it knows of.
    AskPassword { generation: Generation },
    /// Have the host's CSR signed and push the chain.
    Deliver { generation: Generation },
    /// The host works; look again.
    Follow { generation: Generation, after: Duration },
    /// Undo a rotation that has not touched the keystore yet.
    Rollback { generation: Generation },
    /// Give the host to the installation that the policy names. The generation is the highest that the host knows of.
    HandOver { generation: Generation },
    /// A rotation is due and may not go on; look again then.
    Blocked { by: BlockedBy, retry: Timestamp },
    /// Nothing to do until then.
    Idle { until: Timestamp },
    /// The resource is being deleted and is not ours to hold.
    Gone,
}

impl Step {
    /// Whether it asks the host for something that depends on what stands in the resource's Secrets: such a step is only taken
    /// on a fresh read of them.
    pub const fn depends_on_secrets(self) -> bool {
        match self {
            Self::Open { .. } | Self::AskPassword { .. } | Self::Deliver { .. } | Self::Rollback { .. } => true,
            Self::EnsureFinalizer
            | Self::ReleaseFinalizer
            | Self::Follow { .. }
            | Self::HandOver { .. }
            | Self::Blocked { .. }
            | Self::Idle { .. }
            | Self::Gone => false,
        }
    }

    /// Whether it changes anything outside the status, or sends what is secret: such a step is only taken on a fresh read of the
    /// resource.
    pub const fn acts(self) -> bool {
        match self {
            Self::EnsureFinalizer
            | Self::ReleaseFinalizer
            | Self::Open { .. }
            | Self::AskPassword { .. }
            | Self::Deliver { .. }
            | Self::Rollback { .. }
            | Self::HandOver { .. } => true,
            Self::Follow { .. } | Self::Blocked { .. } | Self::Idle { .. } | Self::Gone => false,
        }
    }
}
