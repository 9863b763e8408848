//! The agents of every server of a product, as the console above them lists them.

use std::collections::BTreeMap;

use super::{ClientName, Label};

/// What the console has told. An agent here is a part of the product on a host, which other metrics call a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InventorySeen {
    /// All of them.
    pub agents: usize,
    /// Those of each server and product, the most first. No more than may be told; servers without agents are among them.
    pub servers: Vec<ServerAgents>,
    /// How many are in each state of isolation, as the console calls it. Of one without a word of it there is [`UNKNOWN_ISOLATION`].
    pub by_isolation: BTreeMap<Label, usize>,
    /// Those in another state than the usual one.
    pub isolated: Named<IsolatedAgent>,
    /// Host names that more than one agent of a product has.
    pub repeated: Named<RepeatedName>,
}

/// What no state of isolation was told for.
pub const UNKNOWN_ISOLATION: &str = "unknown";

/// The agents of one product that one server manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAgents {
    pub server_id: Label,
    /// The server's host, where the console lists the server.
    pub server: Option<Label>,
    pub product: Label,
    pub agents: usize,
}

/// Things of which some are told one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T> {
    pub count: usize,
    pub first: Vec<T>,
}

/// An agent that is cut off the network, or is about to be or to come back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IsolatedAgent {
    pub client: ClientName,
    pub status: Label,
}

/// A host name, and how many agents of a product have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatedName {
    pub client: ClientName,
    pub product: Label,
    pub agents: usize,
}

impl InventorySeen {
    /// How many agents are of no server that is told.
    pub fn agents_left_out(&self) -> usize {
        self.agents.saturating_sub(self.servers.iter().map(|server| server.agents).sum())
    }
}

impl<T> Named<T> {
    pub const fn left_out(&self) -> usize {
        self.count.saturating_sub(self.first.len())
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}
