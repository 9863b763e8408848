//! Rotations: one leaf replaced by the next, from key to verified, which can be rolled back at every step.
//!
//! ```text
//!   host_api ──> worker (a thread per agent) ──> Rotator ──Phase──> machine   what comes next (pure)
//!                                                  │ ├──Record──> journal    durable before each side effect
//!                                                  │ ├──chain───> validate   does it fit (pure)
//!                         recovery, coherence ─────┘ └──found───> resume     how an earlier run's rotation ends (pure)
//!                                                  │
//!                   survey, staging (merge, pair), backup, restore, service, live (or leaf_file) ──> platform, probe
//! ```
//!
//! One rule carries the rest: a state is durable in the journal before its effect begins. So whatever was cut off, the
//! journal names an effect that may have happened or not, and recovery knows both.

pub mod admission;
pub mod agent;
pub(crate) mod backoff;
mod chores;
pub mod conflicts;
mod deliveries;
mod digest;
pub mod drain;
mod executor;
pub mod failure;
mod fences;
mod frozen;
mod function;
mod hold;
mod host;
mod journal;
mod leaf_file;
mod lineage;
mod live;
pub mod machine;
mod power;
mod power_state;
mod push;
pub mod readiness;
mod recovery;
mod repair;
pub mod resume;
mod rotator;
#[cfg(test)]
mod scene;
mod starting;
mod state_directory;
pub mod stopping;
mod thaw;
pub mod trigger;
mod upkeep;
mod worker;
mod workers;

pub use deliveries::{CLIENT_REPAIRS, Deliveries, Delivery, Hindrance};
pub use host::{Host, Speaker};
pub use journal::{JournalError, Record, Rotation};
pub use leaf_file::{LeafFile, LeafFileError};
pub use live::{LookError, leaf, look, sighting};
pub use power::PowerGate;
pub use push::staging::StagingError;
pub use push::survey::stored_leaf;
pub use rotator::{Rotator, RotatorStatus, hear};
pub use state_directory::{StateDirectory, StateDirectoryError, StateDirectoryLock};
pub use thaw::{Thaw, ThawError, longest_drain, peek, stop_goes_on_until, thaw};
pub use worker::{AgentStatus, BAD_CONFIGURATION, NO_THREAD, Worker, WorkerEnded};
pub use workers::{AgentRefusal, RefusedAgents, UNKNOWN_WITHIN, Workers, is_read, is_unfinished, is_unknown};
