//! Whether this host is going down, why, and when.
//!
//! ```text
//!   a UPS's Reading ──from_reading──┐
//!                                   ├─ Word ──> Machine ──> Report    host_shutdown_*, host API, power gate
//!   the host's own Evidence ────────┘              │
//!                                                Latch <──> latch_file    durable, for as long as the host is up
//! ```
//!
//! Pure, but for the latch's file: no clock, no network, and no source is named here.

mod evidence;
mod from_reading;
mod known;
mod latch;
mod latch_file;
mod machine;
mod plans;
mod report;
mod state;

pub use evidence::{Evidence, Scheduled, ShutdownKind, Sign};
pub use from_reading::is_on_line;
pub use known::{Silence, Word};
pub use latch::{BootId, Latch};
pub use latch_file::{Found, LatchFileError, load, save};
pub use machine::{Input, Machine, Origin};
pub use report::Report;
pub use state::State;

#[cfg(test)]
mod tests;
