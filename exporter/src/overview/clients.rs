//! Which clients of a product do not have its certificate.

use super::{Count, Item, Severity, Topic, fix, item};
use crate::snapshot::{ClientsSeen, Label, LackingClients, RepairsSeen, Snapshot, Trouble};

/// Clients that a sentence names; the metrics have more.
const MAX_NAMED: usize = 5;
/// Why none is repaired for as long as something lasts that nobody has to mend.
const PASSES: [&str; 4] = ["on_battery", "rotation_in_progress", "rotation_ordered", "rotation_unknown"];

/// What needs a person, and what does not. Of a list that did not come, the source's trouble tells.
pub(crate) fn items(snapshot: &Snapshot) -> impl Iterator<Item = Item> {
    let seen = snapshot.passes().filter_map(|(_, pass)| pass.clients());
    let listed = seen.filter_map(|seen| Some(listed(seen, snapshot.lacking(seen)?)));
    let repairs = snapshot.repairs.iter();
    listed.chain(repairs.flat_map(|(agent, seen)| stay(agent, seen).into_iter().chain(held(agent, seen))))
}

/// What keeps further ones from being repaired. What passes by itself needs nobody.
fn held(agent: &Label, seen: &RepairsSeen) -> Option<Item> {
    let Trouble { reason, message } = seen.trouble.as_ref()?;
    let severity = if PASSES.contains(reason) { Severity::Fine } else { Severity::Warning };
    let said = format!("no further client is repaired now: {message} ({reason}); it is tried again");
    Some(item(Topic::Agent, severity, format!("Repairs of the clients of {agent}"), said))
}

/// Those that every attempt was made on, or that none can be made on.
fn stay(agent: &Label, seen: &RepairsSeen) -> Option<Item> {
    let RepairsSeen { not_repaired, never_tried, names, .. } = seen;
    let (not_repaired, never_tried) = ((*not_repaired)?, never_tried.unwrap_or_default());
    let mut named: Vec<_> = names.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    let more = not_repaired.saturating_sub(named.len());
    named.extend((more > 0).then(|| format!("{more} more")));
    let clients = Count(not_repaired, "client");
    let tried = not_repaired.saturating_sub(never_tried);
    let said = format!(
        "{clients} without it, {tried} after every attempt of clients.repair and {never_tried} on which none can be made, since \
         they have no name that leads to another host: {}",
        named.join(", ")
    );
    let item = || item(Topic::Agent, Severity::Warning, format!("Repairs of the clients of {agent}"), said);
    (not_repaired > 0).then(|| item().fix_by(Some(fix::NOT_REPAIRED)))
}

fn listed(seen: &ClientsSeen, lacking: &LackingClients) -> Item {
    let about = format!("Clients of {}", seen.agent);
    if lacking.count == 0 {
        return item(Topic::Agent, Severity::Fine, about, "none is without the server's certificate, by its own list");
    }
    let mut named: Vec<_> = lacking.named.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    let more = lacking.count - named.len();
    named.extend((more > 0).then(|| if named.is_empty() { more.to_string() } else { format!("{more} more") }));
    let clients = Count(lacking.count, "client");
    let said = format!("{clients} without the server's certificate, by its own list: {}", named.join(", "));
    let unknown = "; it does not tell which column has their names: set clients.list.column";
    let said = if lacking.is_column_unknown { format!("{said}{unknown}") } else { said };
    let fix = match (seen.is_for_repair, lacking.is_column_unknown) {
        (true, true) => fix::COLUMN_UNKNOWN.to_owned(),
        (true, false) => fix::REPAIRED_BY_ITSELF.to_owned(),
        (false, _) => fix::clients(seen.product),
    };
    item(Topic::Agent, Severity::Warning, about, said).fix_by(Some(fix))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kagiban_agents::Product;

    use super::super::samples::NOW;
    use super::super::{attention, working};
    use super::*;
    use crate::snapshot::{Board, ClientName, Observation, Pass, SourceId, SourceKind};

    /// What needs a person, and what does not.
    fn told(lacking: Option<LackingClients>) -> [Vec<Item>; 2] {
        told_of(lacking, false)
    }

    fn told_of(lacking: Option<LackingClients>, is_for_repair: bool) -> [Vec<Item>; 2] {
        let (board, id) = (Board::default(), SourceId::own(SourceKind::Clients, Label::new("av")));
        board.expect([(id.clone(), &["failed"][..])]);
        let trouble = lacking.is_none().then(|| Trouble::new("failed", "it ended with 1"));
        let (agent, product) = (Label::new("av"), Product::ApexOne);
        let seen = ClientsSeen { agent, product, lacking, listed_at: None, changes: 0, is_for_repair };
        board.publish(&id, Pass { observation: Observation::Clients(seen), trouble, ended: NOW, took: Duration::ZERO });
        let snapshot = board.snapshot();
        [attention::items(&snapshot, None, NOW), working::items(&snapshot, None, NOW)]
    }

    fn lacking(count: usize, named: usize) -> Option<LackingClients> {
        let named = (0..named).map(|at| ClientName::parse(&format!("PC-{at}")).expect("a name")).collect();
        Some(LackingClients { count, named, ..LackingClients::default() })
    }

    #[test]
    fn clients_without_the_certificate_need_a_person_and_none_are_told_as_that() {
        let [bad, good] = told(lacking(0, 0));
        assert!(
            bad.is_empty() && good[0].said == "none is without the server's certificate, by its own list",
            "{bad:?} {good:?}"
        );
        for (count, named, said) in [
            (1, 1, "1 client without the server's certificate, by its own list: PC-0"),
            (7, 6, "PC-3, PC-4, 2 more"),
            (7, 0, "own list: 7"),
        ] {
            let [bad, good] = told(lacking(count, named));
            assert!(good.is_empty() && bad.len() == 1 && bad[0].severity == Severity::Warning, "{bad:?} {good:?}");
            assert!(bad[0].said.ends_with(said), "{bad:?}");
            assert!(bad[0].fix.as_ref().is_some_and(|fix| fix.contains("explain apex-one")), "{bad:?}");
        }
    }

    #[test]
    fn a_list_that_does_not_tell_who_its_clients_are_is_told_with_what_to_do() {
        let [bad, _] = told(Some(LackingClients { is_column_unknown: true, ..lacking(3, 0).expect("a list") }));
        assert!(
            bad[0]
                .said
                .ends_with("own list: 3; it does not tell which column has their names: set clients.list.column"),
            "{bad:?}"
        );
    }

    #[test]
    fn clients_that_stay_need_a_person_and_not_each_of_them_is_said_to_have_been_tried() {
        let board = Board::default();
        let names = ["PC-01", "PC-02"].map(Label::new).to_vec();
        for (not_repaired, said) in [(0, None), (2, Some("2 clients without it")), (9, Some("PC-01, PC-02, 7 more"))] {
            let seen = RepairsSeen {
                not_repaired: Some(not_repaired),
                never_tried: Some(1),
                names: names.clone(),
                ..RepairsSeen::default()
            };
            board.note_repairs(&Label::new("av"), seen);
            let bad = attention::items(&board.snapshot(), None, NOW);
            assert_eq!(bad.len(), usize::from(said.is_some()), "{bad:?}");
            assert!(said.is_none_or(|said| bad[0].said.contains(said)), "{bad:?}");
            assert!(bad.iter().all(|bad| bad.said.contains("and 1 on which none can be made")), "{bad:?}");
        }
    }

    #[test]
    fn where_clients_are_repaired_nobody_is_told_to_do_it_by_hand() {
        let [bad, _] = told_of(lacking(2, 2), true);
        let fix = bad[0].fix.as_ref().expect("what happens next");
        assert!(fix.contains("by itself") && fix.contains("an hour"), "{fix}");
        let unknown = LackingClients { is_column_unknown: true, ..lacking(2, 0).expect("a list") };
        let [bad, _] = told_of(Some(unknown), true);
        assert!(!bad[0].fix.as_ref().expect("what to do").contains("by itself"), "nobody is repaired then: {bad:?}");
    }

    #[test]
    fn what_keeps_clients_from_being_repaired_is_told_and_needs_a_person_unless_it_passes() {
        let board = Board::default();
        for (reason, needs_a_person) in [
            ("in_use", true),
            ("record", true),
            ("power_unsafe", true),
            ("rotation_unread", true),
            ("on_battery", false),
            ("rotation_unknown", false),
        ] {
            let trouble = Some(Trouble::new(reason, "that is why"));
            board.note_repairs(&Label::new("av"), RepairsSeen { trouble, ..RepairsSeen::default() });
            let snapshot = board.snapshot();
            let [bad, good] = [attention::items(&snapshot, None, NOW), working::items(&snapshot, None, NOW)];
            let (told, other) = if needs_a_person { (bad, good) } else { (good, bad) };
            assert!(other.is_empty() && told.len() == 1, "{reason}: {told:?} {other:?}");
            assert!(told[0].said.contains("that is why") && told[0].said.contains(reason), "{told:?}");
        }
    }

    #[test]
    fn a_list_that_did_not_come_is_a_trouble_and_tells_of_no_client() {
        let [bad, good] = told(None);
        assert!(good.is_empty() && bad.len() == 1 && bad[0].said.contains("it ended with 1"), "{bad:?} {good:?}");
    }
}
