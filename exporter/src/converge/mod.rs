//! The clients of a server that lack its certificate are given it, until the list of them is empty.
//!
//! ```text
//!   sources/clients ──list──> snapshot ──> Repairer ──Repairs──> machine   whom next, and who stays (pure)
//!         ^                                  │ │ └──> record   what was tried, durable before an attempt
//!         └────────────wake──────────────────┘ └──client──> repair   the configuration's own program
//! ```
//!
//! Only a list says that a client is repaired. What is done is the configuration's; under which power, when, how often and how many at once
//! is decided here.

mod client;
pub mod machine;
mod record;
mod repair;
mod repairer;

pub use client::{ClientHost, NoHostName};
pub use repair::ClientRepair;
pub use repairer::{Repairer, Setup};
