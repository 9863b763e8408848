//! What the queue is told, and what it says.

use std::time::{Duration, Instant};

use crate::fleet::ResourceName;

/// What is known of a resource before its first look, from what stands in its status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusHint {
    /// A rotation is in flight, or a deletion.
    pub urgent: bool,
    /// Its host could not be reached.
    pub silent: bool,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start a pass over it.
    Start(ResourceName),
    /// Nothing before that time.
    At(Instant),
    /// Nothing until a pass ends, a resource changes, or this process leads.
    Wait,
}

/// How a pass ended, as far as the queue must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassOutcome {
    /// It came to a decision.
    Looked(Rest),
    /// It came to none, and is made again then. What was known of the resource still is.
    Failed { after: Duration, failure: PassFailure },
}

/// Why a pass came to no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassFailure {
    /// The API server refused or was not there. This process works.
    Refused,
    /// It ran out of its time, or panicked.
    Hung,
}

/// When a resource is looked at again, and what the pass has learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Until the next look; never longer than the resync, whatever stands here.
    pub after: Duration,
    /// Whether a rotation is in flight, or a deletion.
    pub urgent: bool,
    pub heard: HostContact,
}

/// What a pass learned about its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostContact {
    Answered,
    /// It could not be connected to, or did not answer.
    Silent,
    NotAsked,
}
