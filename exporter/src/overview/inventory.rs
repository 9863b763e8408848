//! What the console above a product's servers lists.

use super::Count;
use crate::snapshot::{InventorySeen, UNKNOWN_ISOLATION};

/// Names that a sentence has; the metrics have more.
const MAX_NAMED: usize = 3;

/// In one sentence. Nothing of it is a fault: somebody has isolated an agent on purpose.
pub(crate) fn sentence(seen: &InventorySeen) -> String {
    let servers = seen.servers.len();
    let more = if seen.agents_left_out() > 0 { " or more" } else { "" };
    let mut said = vec![format!("lists {} of {}{more}", Count(seen.agents, "agent"), Count(servers, "server"))];
    let names = |all: Vec<&str>, count: usize| {
        let mut named: Vec<String> = all.into_iter().take(MAX_NAMED).map(str::to_owned).collect();
        named.extend((count > named.len()).then(|| format!("{} more", count - named.len())));
        named.join(", ")
    };
    if seen.isolated.count > 0 {
        let all = seen.isolated.first.iter().map(|it| it.client.as_str()).collect();
        let names = names(all, seen.isolated.count);
        said.push(format!("{} isolated, or in another state that is not normal: {names}", seen.isolated.count));
    }
    if seen.repeated.count > 0 {
        let all = seen.repeated.first.iter().map(|it| it.client.as_str()).collect();
        let names = names(all, seen.repeated.count);
        said.push(format!("{} more than once: {names}", Count(seen.repeated.count, "host name")));
    }
    if seen.agents == 0 && servers == 0 {
        said.push("it has none at all: see in its console which functions the application may use".to_owned());
    }
    let untold = seen.by_isolation.get(UNKNOWN_ISOLATION).copied().unwrap_or_default();
    if untold > 0 && untold == seen.agents {
        said.push("it tells of none whether it is isolated".to_owned());
    }
    said.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{ClientName, IsolatedAgent, Label, Named, ServerAgents};

    #[test]
    fn an_inventory_is_told_in_one_sentence_with_the_first_names() {
        let server = ServerAgents { server_id: Label::new("B-1"), server: None, product: Label::new("P"), agents: 7 };
        let usual = InventorySeen {
            agents: 7,
            servers: vec![server],
            by_isolation: [(Label::new("normal"), 7)].into(),
            ..InventorySeen::default()
        };
        assert_eq!(sentence(&usual), "lists 7 agents of 1 server");
        assert!(sentence(&InventorySeen::default()).contains("0 servers; it has none at all"));
        let client = |at: usize| ClientName::parse(&format!("PC-{at}")).expect("a name");
        let first = (0..5).map(|at| IsolatedAgent { client: client(at), status: Label::new("isolated") }).collect();
        let isolated = InventorySeen { agents: 9, isolated: Named { count: 6, first }, ..usual.clone() };
        assert_eq!(
            sentence(&isolated),
            "lists 9 agents of 1 server or more; 6 isolated, or in another state that is not normal: PC-0, PC-1, PC-2, 3 more"
        );
        let untold = InventorySeen { by_isolation: [(Label::new(UNKNOWN_ISOLATION), 7)].into(), ..usual };
        assert!(sentence(&untold).ends_with("; it tells of none whether it is isolated"));
    }
}
