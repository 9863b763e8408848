//! What is counted of the agents while they come.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use sha2::{Digest, Sha256};

use crate::snapshot::{
    ClientName, InventorySeen, IsolatedAgent, Label, Named, RepeatedName, ServerAgents, UNKNOWN_ISOLATION,
};

/// The usual state, none, and those that public integrations know of agents that cannot be isolated. Whatever is none of these is told as
/// it is: the vendor's guide shows the usual one alone.
const NOT_ISOLATED: [&str; 4] = ["normal", "", "not_supported", "n/a"];
/// More than there are words for it.
const MAX_STATES: usize = 16;
/// States beyond those.
const OTHER: &str = "other";

/// A server, as the console lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) id: Label,
    pub(super) host: Option<Label>,
    pub(super) product: Label,
}

/// By [`Server::key`].
pub(super) type Servers = BTreeMap<String, Server>;

impl Server {
    /// A GUID is the same in upper and lower case.
    pub(super) fn key(id: &str) -> String {
        id.to_lowercase()
    }
}

#[derive(Debug)]
pub(super) struct Tally {
    /// How many of each kind are named.
    most: usize,
    agents: usize,
    /// By the server's ID and the product.
    by_server: BTreeMap<(Label, Label), usize>,
    by_isolation: BTreeMap<Label, usize>,
    isolated: usize,
    /// The first by name.
    isolated_named: BTreeSet<IsolatedAgent>,
    /// Digests of product and host name: a hundred thousand names would be megabytes.
    seen: HashSet<[u8; 16]>,
    /// By product and host name in lower case; the name as it was written the second time.
    repeated: BTreeMap<(Label, String), (ClientName, usize)>,
}

impl Tally {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            agents: 0,
            by_server: BTreeMap::new(),
            by_isolation: BTreeMap::new(),
            isolated: 0,
            isolated_named: BTreeSet::new(),
            seen: HashSet::new(),
            repeated: BTreeMap::new(),
        }
    }

    /// One agent more.
    pub(super) fn add(&mut self, server_id: &str, product: &str, host_name: &str, isolation: &str) {
        let product = Label::new(product);
        let client = ClientName::parse(host_name);
        self.agents += 1;
        *self.by_server.entry((Label::new(server_id), product.clone())).or_default() += 1;
        self.note_isolation(client.as_ref(), isolation);
        if let Some(client) = client {
            self.note_name(product, client);
        }
    }

    fn note_isolation(&mut self, client: Option<&ClientName>, isolation: &str) {
        let status = Label::new(if isolation.is_empty() { UNKNOWN_ISOLATION } else { isolation });
        let is_told = self.by_isolation.contains_key(&status) || self.by_isolation.len() < MAX_STATES;
        *self.by_isolation.entry(if is_told { status.clone() } else { Label::new(OTHER) }).or_default() += 1;
        if NOT_ISOLATED.into_iter().any(|state| isolation.eq_ignore_ascii_case(state)) {
            return;
        }
        self.isolated += 1;
        if let Some(client) = client {
            self.isolated_named.insert(IsolatedAgent { client: client.clone(), status });
            if self.isolated_named.len() > self.most {
                self.isolated_named.pop_last();
            }
        }
    }

    /// A name of Windows is the same in upper and lower case. A host may have agents of several products.
    fn note_name(&mut self, product: Label, client: ClientName) {
        let name = client.as_str().to_lowercase();
        let digest = Sha256::new().chain_update(product.as_str()).chain_update([0]).chain_update(&name).finalize();
        let mut mark = [0; 16];
        mark.copy_from_slice(&digest[..16]);
        if !self.seen.insert(mark) {
            self.repeated.entry((product, name)).or_insert((client, 1)).1 += 1;
        }
    }

    /// The whole, with what is known of the servers.
    pub(super) fn under(self, servers: &Servers) -> InventorySeen {
        let managing: BTreeSet<String> = self.by_server.keys().map(|(id, _)| Server::key(id.as_str())).collect();
        let idle = servers.iter().filter(|(key, _)| !managing.contains(*key));
        let idle = idle.map(|(_, Server { id, host, product })| ServerAgents {
            server_id: id.clone(),
            server: host.clone(),
            product: product.clone(),
            agents: 0,
        });
        let managing = self.by_server.into_iter().map(|((server_id, product), agents)| {
            let server = servers.get(&Server::key(server_id.as_str())).and_then(|server| server.host.clone());
            ServerAgents { server_id, server, product, agents }
        });
        let mut servers: Vec<_> = managing.chain(idle).collect();
        servers.sort_by_key(|server| Reverse(server.agents));
        servers.truncate(self.most);
        let repeated = self.repeated.into_iter();
        let mut repeated: Vec<_> =
            repeated.map(|((product, _), (client, agents))| RepeatedName { client, product, agents }).collect();
        let count = repeated.len();
        repeated.sort_by_key(|repeated| Reverse(repeated.agents));
        repeated.truncate(self.most);
        InventorySeen {
            agents: self.agents,
            servers,
            by_isolation: self.by_isolation,
            isolated: Named { count: self.isolated, first: self.isolated_named.into_iter().collect() },
            repeated: Named { count, first: repeated },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CE: &str = "SLF_PRODUCT_OFFICESCAN_CE";

    fn servers() -> Servers {
        let server = |id: &str, host: Option<&str>| {
            (Server::key(id), Server { id: Label::new(id), host: host.map(Label::new), product: Label::new(CE) })
        };
        [server("B-1", Some("apex-01")), server("B-2", Some("apex-02")), server("B-3", None)].into()
    }

    #[test]
    fn agents_are_counted_by_their_servers_and_a_server_without_any_is_told() {
        let mut tally = Tally::new(10);
        for server in ["b-1", "b-1", "B-2", "B-9"] {
            tally.add(server, CE, "", "");
        }
        let seen = tally.under(&servers());
        let told = |it: &ServerAgents| {
            format!("{} {} {}", it.server_id, it.server.as_ref().map_or("-", Label::as_str), it.agents)
        };
        let told: Vec<_> = seen.servers.iter().map(told).collect();
        assert_eq!(told, ["b-1 apex-01 2", "B-2 apex-02 1", "B-9 - 1", "B-3 - 0"]);
        assert_eq!((seen.agents, seen.agents_left_out()), (4, 0));
    }

    #[test]
    fn a_host_that_stands_there_twice_is_told_once_whatever_its_case_and_never_of_two_products() {
        let mut tally = Tally::new(10);
        for (product, name) in [
            (CE, "PC-01"),
            (CE, "pc-01"),
            (CE, "PC-01"),
            (CE, "PC-02"),
            ("MAC", "PC-02"),
            (CE, ""),
            (CE, ""),
            (CE, "a b"),
            (CE, "a b"),
        ] {
            tally.add("s", product, name, "normal");
        }
        let seen = tally.under(&Servers::new());
        let told: Vec<_> =
            seen.repeated.first.iter().map(|it| format!("{} {} {}", it.client, it.product, it.agents)).collect();
        assert_eq!((seen.repeated.count, told), (1, vec![format!("pc-01 {CE} 3")]));
    }

    #[test]
    fn whoever_is_not_in_the_usual_state_is_named_with_it_and_one_that_is_not_told_is_neither() {
        let mut tally = Tally::new(2);
        for (name, status) in [
            ("PC-1", "normal"),
            ("PC-2", "Normal"),
            ("PC-3", ""),
            ("PC-9", "isolated"),
            ("PC-5", "isolated"),
            ("PC-4", "a\nb"),
            ("x y", "isolated"),
        ] {
            tally.add("s", CE, name, status);
        }
        let seen = tally.under(&Servers::new());
        let named: Vec<_> = seen.isolated.first.iter().map(|it| it.client.as_str()).collect();
        assert_eq!((named, seen.isolated.count, seen.isolated.left_out()), (vec!["PC-4", "PC-5"], 4, 2));
        assert_eq!(seen.by_isolation.values().sum::<usize>(), 7);
        assert_eq!(seen.by_isolation.get(UNKNOWN_ISOLATION), Some(&1));
        assert!(seen.by_isolation.keys().all(|status| !status.as_str().contains('\n')));
    }

    #[test]
    fn whatever_a_console_makes_up_is_told_of_no_more_than_may_be() {
        let mut tally = Tally::new(3);
        for at in 0..1000 {
            for _ in 0..2 {
                tally.add(&format!("s{at}"), &format!("p{at}"), &format!("pc-{at}"), &format!("i{at}"));
            }
        }
        let seen = tally.under(&Servers::new());
        assert_eq!((seen.agents, seen.servers.len(), seen.agents_left_out()), (2000, 3, 1994));
        assert_eq!((seen.repeated.count, seen.repeated.left_out(), seen.isolated.left_out()), (1000, 997, 1997));
        assert_eq!(
            (seen.by_isolation.len(), seen.by_isolation.get(OTHER)),
            (MAX_STATES + 1, Some(&(2 * (1000 - MAX_STATES))))
        );
    }
}
