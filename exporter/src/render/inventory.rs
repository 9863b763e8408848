//! `kagiban_apex_central_*`: the inventory of Apex Central. Nothing is here where none is read, and after a look that failed.

use std::fmt;

use super::table::{Family, Kind};
use crate::snapshot::{InventorySeen, Label, Snapshot};

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "kagiban_apex_central_agents",
        help: "How many agents a server manages, by product, in the inventory of Apex Central; 0 for a server that manages none. Of 100 servers and products at most, those with the most agents, or as many as the configuration says.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |seen| {
                seen.servers.iter().try_for_each(|it| {
                    let server = it.server.as_ref().map_or("", Label::as_str);
                    let id = ("server_id", it.server_id.as_str());
                    out.put(&[("product", it.product.as_str()), ("server", server), id], it.agents)
                })
            })
        },
    },
    Family {
        name: "kagiban_apex_central_agents_by_isolation",
        help: "How many agents of the inventory are in each state of isolation, as Apex Central calls it: `normal`, or another. `unknown` where it tells none.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |seen| {
                seen.by_isolation
                    .iter()
                    .try_for_each(|(status, agents)| out.put(&[("status", status.as_str())], *agents))
            })
        },
    },
    Family {
        name: "kagiban_apex_central_agent_isolated",
        help: "1 for each agent of the inventory that is isolated, or in another state than `normal` that does not say that it cannot be (`not_supported`, `N/A`), by its host name; 100 at most, or as many as the configuration says.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |seen| {
                let mut named = seen.isolated.first.iter();
                named
                    .try_for_each(|it| out.put(&[("client", it.client.as_str()), ("status", it.status.as_str())], true))
            })
        },
    },
    Family {
        name: "kagiban_apex_central_host_name_agents",
        help: "How many agents of one product have the host name, of each name that more than one has; 100 names at most, or as many as the configuration says.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |seen| {
                let mut named = seen.repeated.first.iter();
                named.try_for_each(|it| {
                    out.put(&[("client", it.client.as_str()), ("product", it.product.as_str())], it.agents)
                })
            })
        },
    },
    Family {
        name: "kagiban_apex_central_left_out",
        help: "What is counted and not told one by one: `agents` of servers beyond those that may be told, `isolated` agents and repeated `host_names` beyond those, or of a name that no host can have.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |seen| {
                out.put(&[("of", "agents")], seen.agents_left_out())?;
                out.put(&[("of", "isolated")], seen.isolated.left_out())?;
                out.put(&[("of", "host_names")], seen.repeated.left_out())
            })
        },
    },
];

fn each(snapshot: &Snapshot, put: impl FnMut(&InventorySeen) -> fmt::Result) -> fmt::Result {
    snapshot.passes().filter_map(|(_, pass)| pass.inventory()).try_for_each(put)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::super::only;
    use super::super::table::encode;
    use super::*;
    use crate::snapshot::{
        Board, ClientName, IsolatedAgent, Named, Observation, Pass, RepeatedName, ServerAgents, SourceId, SourceKind,
        Trouble,
    };

    pub(in crate::render) fn seen() -> InventorySeen {
        let client = |name: &str| ClientName::parse(name).expect("a name");
        let product = Label::new("SLF_PRODUCT_OFFICESCAN_CE");
        let server = |id: &str, host: Option<&str>, agents| ServerAgents {
            server_id: Label::new(id),
            server: host.map(Label::new),
            product: product.clone(),
            agents,
        };
        InventorySeen {
            agents: 9,
            servers: vec![server("B-1", Some("apex-01"), 5), server("B-2", None, 0)],
            by_isolation: [(Label::new("isolated"), 2), (Label::new("normal"), 7)].into(),
            isolated: Named {
                count: 2,
                first: vec![IsolatedAgent { client: client("経理-01"), status: Label::new("isolated") }],
            },
            repeated: Named {
                count: 3,
                first: vec![RepeatedName { client: client("PC-01"), product: product.clone(), agents: 2 }],
            },
        }
    }

    #[test]
    fn an_inventory_is_told_in_counts_and_a_look_that_fails_tells_nothing_of_an_older_one() {
        let (board, id) = (Board::default(), SourceId::own(SourceKind::Inventory, Label::new("central.example.com")));
        board.expect([(id.clone(), &["timeout"][..])]);
        let told = |observation, trouble| {
            board.publish(&id, Pass { observation, trouble, ended: Timestamp::UNIX_EPOCH, took: Duration::ZERO });
            let text = encode(FAMILIES, &only(&board.snapshot()));
            let samples = text.lines().filter(|line| !line.starts_with('#'));
            samples.map(|line| line.replace("kagiban_apex_central_", "")).collect::<Vec<_>>()
        };
        assert_eq!(
            told(Observation::Inventory(seen()), None),
            [
                r#"agents{product="SLF_PRODUCT_OFFICESCAN_CE",server="apex-01",server_id="B-1"} 5"#,
                r#"agents{product="SLF_PRODUCT_OFFICESCAN_CE",server_id="B-2"} 0"#,
                r#"agents_by_isolation{status="isolated"} 2"#,
                r#"agents_by_isolation{status="normal"} 7"#,
                r#"agent_isolated{client="経理-01",status="isolated"} 1"#,
                r#"host_name_agents{client="PC-01",product="SLF_PRODUCT_OFFICESCAN_CE"} 2"#,
                r#"left_out{of="agents"} 4"#,
                r#"left_out{of="isolated"} 1"#,
                r#"left_out{of="host_names"} 2"#,
            ]
        );
        assert_eq!(told(Observation::Nothing, Some(Trouble::new("timeout", "it hangs"))), [""; 0]);
    }
}
