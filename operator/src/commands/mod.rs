//! `kagiban-operator get`, `describe`, `events`, `wait`, `rotate`, `pause`, `resume`, `confirm-deletions`: what `kubectl` is to a cluster,
//! to a standalone operator on this machine.
//!
//! ```text
//!   words of the command line ──> client ──socket──> cluster::standalone::control
//!                                    └──> table, describe, JSON, YAML ──> the terminal
//! ```

mod client;
mod describe;
mod explain;
mod manifests;
mod run;
mod table;

pub use describe::describe;
pub use explain::explain;
pub use run::{listed, run};
