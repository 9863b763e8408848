//! Whether this host is going down, why, and when.
//!
//! ```text
//!   a UPS's Reading ──from_reading──┐
//!                                   ├─ Word ──> Machine ──> Report    host_shutdown_*, host API, power gate
//!   the host's own Evidence ────────┘              │
//!                                                LatchRecord <──> latch_file     durable, for as long as the host is up
//!                                                 └── clearing           a person says that it is over
//! ```
//!
//! Pure, but for the latch's file and the request of a person: no clock, no network, and no source is named here.

mod clearing;
mod evidence;
mod from_reading;
mod latch;
mod latch_file;
mod load;
mod machine;
mod origin;
mod origin_record;
mod plans;
mod report;
mod state;

pub use crate::platform::{Scheduled, ShutdownKind};
pub use clearing::{
    Asked, CLEAR_COMMAND, ClearError, Cleared, ClearingProgress, asked, clear, drop_nameless_request, drop_request,
    hold, is_minded, kept, minded_elsewhere, note_cleared, waiting,
};
pub use evidence::{About, Evidence, Sign};
pub use latch::{Announced, Beginnings, BootId, Latch, LatchRecord};
pub use latch_file::{LatchFileError, LoadedLatch, is_kept, load, save};
pub use load::{Load, LoadReport, Member};
pub use machine::{Input, Machine};
pub use origin::Origin;
pub use origin_record::OriginStatus;
pub use report::HostStateReport;
pub use state::HostState;

#[cfg(test)]
mod tests;
