//! Asks on a schedule, between rotations.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use kagiban_agents::Product;
use kagiban_crds::AgentName;

use super::ClientList;
use crate::snapshot::{ClientsSeen, Label, Observation, Trouble};
use crate::sources::schedule::panicked;

#[derive(Debug)]
pub(in crate::sources) struct ClientSource {
    agent: AgentName,
    product: Product,
    list: ClientList,
    state_directory: PathBuf,
}

impl ClientSource {
    pub(in crate::sources) const fn new(
        agent: AgentName,
        product: Product,
        list: ClientList,
        state_directory: PathBuf,
    ) -> Self {
        Self { agent, product, list, state_directory }
    }

    pub(in crate::sources) const fn interval(&self) -> Duration {
        self.list.interval
    }

    /// A look that fails tells of no client, and when the last one did.
    pub(in crate::sources) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let asked = self.list.ask(&self.agent, &self.state_directory);
        let listed = AssertUnwindSafe(asked).catch_unwind().await.unwrap_or_else(|_| Err(panicked("panic")));
        let (lacking, trouble) = match listed {
            Ok(lacking) => (Some(lacking), None),
            Err(trouble) => (None, Some(trouble)),
        };
        let listed_at = lacking.as_ref().map(|_| Timestamp::now());
        let seen = ClientsSeen {
            agent: Label::new(self.agent.as_str()),
            product: self.product,
            lacking,
            listed_at,
            changes: 0,
            is_for_repair: self.list.is_for_repair,
        };
        (Observation::Clients(seen), trouble)
    }
}
