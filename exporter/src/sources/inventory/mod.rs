//! The inventory of Apex Central: which agents each of its servers manages. It is only read.
//!
//! ```text
//!   InventorySource (schedule) ──> Central ─┬─ question   what may be asked: two lists, by GET alone, with a token for each
//!                                           ├─ https      to the one server of the configuration; no redirect is followed
//!                                           ├─ reply      the lists as they come, a piece at a time ──> tally ──> InventorySeen
//!                                           └─ error      why there is none, and what to do
//! ```
//!
//! The interface also isolates, moves and removes agents. Nothing here can ask for that: a question is one of two, and has no body.

mod central;
mod error;
mod question;
mod reply;
mod tally;
#[cfg(test)]
mod tests;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use self::central::Central;
pub(super) use self::error::REASONS;
use super::schedule::panicked;
use crate::config::ApexCentralConfig;
use crate::probe::Authorities;
use crate::snapshot::{Observation, Trouble};

#[derive(Debug)]
pub(super) struct InventorySource {
    central: Central,
    timeout: Duration,
}

impl InventorySource {
    pub(super) fn new(config: &ApexCentralConfig, system: Option<&Authorities>) -> Self {
        Self { central: Central::new(config, system), timeout: config.timeout.as_duration() }
    }

    /// A look that fails tells of no agent: an older inventory is none.
    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let read = self.central.read(Instant::now() + self.timeout);
        match AssertUnwindSafe(read).catch_unwind().await {
            Ok(Ok(seen)) => (Observation::Inventory(seen), None),
            Ok(Err(error)) => (Observation::Nothing, Some(Trouble::new(error.reason(), error))),
            Err(_) => (Observation::Nothing, Some(panicked("panic"))),
        }
    }
}

/// Any bytes as a reply.
#[doc(hidden)]
pub fn fuzz_inventory(bytes: &[u8]) {
    let servers = reply::servers(bytes).unwrap_or_default();
    for most in [0, 2, 1000] {
        let Ok(agents) = reply::agents(bytes, most) else { continue };
        let seen = agents.under(&servers);
        assert!(
            [seen.servers.len(), seen.isolated.first.len(), seen.repeated.first.len()].iter().all(|told| *told <= most)
        );
        assert!(seen.servers.iter().map(|server| server.agents).sum::<usize>() + seen.agents_left_out() == seen.agents);
        assert!(seen.by_isolation.values().sum::<usize>() == seen.agents);
    }
}
