//! What is known of the repairs of an agent's clients.

use std::collections::BTreeMap;

use kagiban_crds::host_api::{ClientsReport, Failure};

use super::{Label, Snapshot, SourceId, SourceKind, Trouble};

/// Of one agent, since this program was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairsSeen {
    /// How many attempts came to what, from a closed set that is there from the start.
    pub results: BTreeMap<&'static str, u64>,
    /// Clients that stay without the certificate: every attempt was made on them, or none can be.
    pub not_repaired: usize,
    /// The first of them, in order.
    pub names: Vec<Label>,
    /// What keeps further clients from being repaired now.
    pub trouble: Option<Trouble>,
}

impl Snapshot {
    /// What the host API tells of an agent's clients; none where nobody lists them.
    pub fn clients_report(&self, agent: &Label) -> Option<ClientsReport> {
        let listing = self.sources.get(&SourceId::own(SourceKind::Clients, agent.clone()))?;
        let repairs = self.repairs.get(agent);
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let names = repairs.map(|seen| seen.names.iter().map(ToString::to_string).collect());
        let pass = listing.pass.as_deref();
        let seen = pass.and_then(|pass| pass.clients());
        let failure = pass.and_then(|pass| pass.trouble.as_ref());
        Some(ClientsReport {
            listed: seen.and_then(|seen| seen.lacking.as_ref()).map(|lacking| count(lacking.count)),
            listed_at: seen.and_then(|seen| seen.listed_at),
            not_repaired: repairs.map_or(0, |seen| count(seen.not_repaired)),
            names: names.unwrap_or_default(),
            failure: failure.map(|why| Failure { reason: why.reason.to_owned(), message: why.message.to_string() }),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use kagiban_agents::Product;

    use super::*;
    use crate::snapshot::{Board, ClientsSeen, LackingClients, Observation, Pass};

    const AT: Timestamp = Timestamp::constant(1_750_000_000, 0);

    #[test]
    fn an_agents_clients_are_reported_by_the_newest_list_and_a_list_that_did_not_come_counts_nobody() {
        let (board, agent) = (Board::default(), Label::new("av"));
        let id = SourceId::own(SourceKind::Clients, agent.clone());
        assert_eq!(board.snapshot().clients_report(&agent), None, "nobody lists them");
        board.expect([(id.clone(), &[][..])]);
        let report = || board.snapshot().clients_report(&agent).expect("they are listed");
        assert_eq!(report(), ClientsReport::default());
        let publish = |lacking: Option<LackingClients>, trouble| {
            let listed_at = lacking.is_some().then_some(AT);
            let seen = ClientsSeen { agent: agent.clone(), product: Product::ApexOne, lacking, listed_at };
            let observation = Observation::Clients(seen);
            board.publish(&id, Pass { observation, trouble, ended: AT, took: Duration::ZERO });
        };
        publish(Some(LackingClients { count: 7, ..LackingClients::default() }), None);
        assert_eq!((report().listed, report().listed_at, report().not_repaired), (Some(7), Some(AT), 0));
        let seen = RepairsSeen { not_repaired: 2, names: vec![Label::new("PC-01")], ..RepairsSeen::default() };
        board.note_repairs(&agent, seen);
        assert_eq!((report().not_repaired, report().names), (2, vec!["PC-01".to_owned()]));
        publish(None, Some(Trouble::new("timed_out", "it did not end")));
        let failed = report();
        assert_eq!((failed.listed, failed.listed_at), (None, Some(AT)));
        assert_eq!(failed.failure.map(|why| why.reason).as_deref(), Some("timed_out"));
    }
}
