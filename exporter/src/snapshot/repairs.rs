//! What is known of the repairs of an agent's clients.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kagiban_crds::host_api::{ClientsReport, Failure, RENEWED, UNHEEDED};

use super::{Label, Pass, Snapshot, SourceId, SourceKind, Trouble};

/// Why a list that came does not count.
const RENEWED_SINCE: &str = "a rotation of the server is on its way or has ended since; they are listed anew after it";

const UNHEEDED_YET: &str = "the newest list has come, and what runs of repairs by the one before is to end first";

/// Every reason that further clients may be kept from being repaired for.
pub const HELD_FOR: [&str; 17] = [
    "busy",
    "exposed",
    "frozen",
    "in_use",
    "names_unknown",
    "not_ended",
    "not_runnable",
    "not_started",
    "on_battery",
    "panic",
    "power_unsafe",
    "record",
    "rotation_in_progress",
    "rotation_ordered",
    "rotation_unknown",
    "rotation_unread",
    "timeout",
];

/// Of one agent, since this program was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairsSeen {
    /// How many attempts came to what, from a closed set that is there from the start.
    pub results: BTreeMap<&'static str, u64>,
    /// Clients that stay without the certificate: every attempt was made on them, or none can be.
    /// Absent while nobody has read which attempts were made.
    pub not_repaired: Option<usize>,
    /// Those of them that none can be made on, and none ever was.
    pub never_tried: Option<usize>,
    /// When the list was begun that those go by.
    pub list: Option<Timestamp>,
    /// The first of them, in order.
    pub names: Vec<Label>,
    /// What keeps further clients from being repaired now, by a reason of [`HELD_FOR`].
    pub trouble: Option<Trouble>,
}

impl Snapshot {
    /// What the host API tells of an agent's clients; none where nobody lists them.
    pub fn clients_report(&self, agent: &Label) -> Option<ClientsReport> {
        let listing = self.sources.get(&SourceId::own(SourceKind::Clients, agent.clone()))?;
        let repairs = self.repairs.get(agent);
        let pass = listing.pass.as_deref();
        let seen = pass.and_then(Pass::clients);
        let lacking = seen.and_then(|seen| self.lacking(seen));
        // Of a list that the repairs have not heeded yet, those that stayed by the one before say nothing.
        let is_heeded = |seen: &&RepairsSeen| lacking.is_none() || seen.list == pass.map(Pass::begun);
        let staying = repairs.filter(is_heeded);
        let is_unheeded = staying.is_none() && repairs.is_some_and(|seen| seen.not_repaired.is_some());
        let unheeded = || Failure { reason: UNHEEDED.to_owned(), message: UNHEEDED_YET.to_owned() };
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let names = staying.map(|seen| seen.names.iter().map(ToString::to_string).collect());
        let failure = pass.and_then(|pass| pass.trouble.as_ref());
        let told = |why: &Trouble| Failure { reason: why.reason.to_owned(), message: why.message.to_string() };
        let failure = failure.map(told);
        let is_old = lacking.is_none() && seen.is_some_and(|seen| seen.lacking.is_some());
        let renewed = || Failure { reason: RENEWED.to_owned(), message: RENEWED_SINCE.to_owned() };
        Some(ClientsReport {
            listed: lacking.map(|lacking| count(lacking.count)),
            listed_at: seen.and_then(|seen| seen.listed_at),
            not_repaired: staying.and_then(|seen| seen.not_repaired).map(count),
            names: names.unwrap_or_default(),
            never_tried: staying.and_then(|seen| seen.never_tried).map(count),
            held: repairs.and_then(|seen| seen.trouble.as_ref()).map(told).or_else(|| is_unheeded.then(unheeded)),
            failure: failure.or_else(|| is_old.then(renewed)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kagiban_agents::Product;
    use kagiban_crds::host_api::RotationState;

    use super::*;
    use crate::snapshot::{Board, ClientsSeen, LackingClients, Observation, RotationSeen};

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
            let changes = board.certificate_changes(&agent);
            let agent = agent.clone();
            let seen =
                ClientsSeen { agent, product: Product::ApexOne, lacking, listed_at, changes, is_for_repair: true };
            let observation = Observation::Clients(seen);
            board.publish(&id, Pass { observation, trouble, ended: AT, took: Duration::ZERO });
        };
        publish(Some(LackingClients { count: 7, ..LackingClients::default() }), None);
        assert_eq!((report().listed, report().listed_at, report().not_repaired), (Some(7), Some(AT), None));
        assert_eq!((report().never_tried, report().held), (None, None), "nobody repairs them");
        let names = vec![Label::new("PC-01")];
        let seen = RepairsSeen { not_repaired: Some(2), never_tried: Some(1), names, ..RepairsSeen::default() };
        // By the list before, which the new one has taken the place of.
        for list in [None, Some(AT - Duration::from_secs(1))] {
            board.note_repairs(&agent, RepairsSeen { list, ..seen.clone() });
            assert_eq!((report().listed, report().not_repaired, report().never_tried), (Some(7), None, None));
            assert_eq!(
                (report().names, report().held.map(|why| why.reason)),
                (Vec::new(), Some("unheeded".to_owned()))
            );
        }
        board.note_repairs(&agent, RepairsSeen { list: Some(AT), ..seen });
        assert_eq!((report().not_repaired, report().names), (Some(2), vec!["PC-01".to_owned()]));
        assert_eq!((report().never_tried, report().held), (Some(1), None));
        let trouble = Some(Trouble::new("in_use", "another one has them"));
        board.note_repairs(&agent, RepairsSeen { trouble, ..RepairsSeen::default() });
        let held = Failure { reason: "in_use".to_owned(), message: "another one has them".to_owned() };
        assert_eq!((report().not_repaired, report().never_tried, report().held), (None, None, Some(held)));
        publish(None, Some(Trouble::new("timed_out", "it did not end")));
        let failed = report();
        assert_eq!((failed.listed, failed.listed_at), (None, Some(AT)));
        assert_eq!(failed.failure.map(|why| why.reason).as_deref(), Some("timed_out"));
    }

    /// It would be told that all clients have a certificate that none of them was given yet.
    #[test]
    fn a_list_of_before_a_rotation_counts_no_more_and_neither_does_one_that_was_begun_in_it() {
        let (board, agent) = (Board::default(), Label::new("av"));
        let id = SourceId::own(SourceKind::Clients, agent.clone());
        board.expect([(id.clone(), &[][..])]);
        let note = |generation, state| {
            let decided_at = Some(AT).filter(|_| state != RotationState::Renewing);
            let seen = RotationSeen { generation, state: Some(state), decided_at, ..RotationSeen::default() };
            board.note_rotation(&agent, None, Some(seen));
        };
        let publish = |changes| {
            let lacking = Some(LackingClients { is_complete: true, ..LackingClients::default() });
            let agent = agent.clone();
            let seen = ClientsSeen {
                agent,
                product: Product::ApexOne,
                lacking,
                listed_at: Some(AT),
                changes,
                is_for_repair: true,
            };
            board.publish(
                &id,
                Pass { observation: Observation::Clients(seen), trouble: None, ended: AT, took: Duration::ZERO },
            );
        };
        let told = || {
            let report = board.snapshot().clients_report(&agent).expect("they are listed");
            (report.listed, report.failure.map(|why| why.reason))
        };
        let renewed = (None, Some("renewed".to_owned()));
        note(1, RotationState::Committed);
        let before = board.certificate_changes(&agent);
        publish(before);
        assert_eq!(told(), (Some(0), None));
        board.note_rotation(&agent, Some(Trouble::new("reading", "")), None);
        note(1, RotationState::Committed);
        assert_eq!(told(), (Some(0), None), "nothing has changed");
        note(2, RotationState::Renewing);
        assert_eq!(told(), renewed);
        let meanwhile = board.certificate_changes(&agent);
        publish(meanwhile);
        assert_eq!(told(), renewed);
        note(2, RotationState::Committed);
        assert_eq!(told(), renewed);
        publish(before);
        assert_eq!(told(), renewed, "it was begun before, and came late");
        publish(board.certificate_changes(&agent));
        assert_eq!(told(), (Some(0), None));
        // Of which nobody has seen the middle.
        note(3, RotationState::Committed);
        assert_eq!(told(), renewed);
    }
}
