//! What the clients of a product log of their server.

use std::time::Duration;

use jiff::Timestamp;

use super::alerts::{ahead, least, named};
use super::{Item, Moment, Severity, Topic, fix, item};
use crate::snapshot::{ClientLogsSeen, Snapshot};

/// A log that is exported once a day is an hour and a day old at most, and an hour more is patience: as the alert has it.
const OLD: Duration = Duration::from_hours(26);

/// What needs a person, and what does not.
pub(crate) fn items(snapshot: &Snapshot, now: Timestamp) -> Vec<Item> {
    let seen = snapshot.passes().filter_map(|(_, pass)| pass.client_logs());
    seen.flat_map(|seen| [failures(seen), old(seen, now), ahead(about(seen), &seen.counts)]).flatten().collect()
}

fn about(seen: &ClientLogsSeen) -> String {
    format!("Clients of {}", seen.agent)
}

fn failures(seen: &ClientLogsSeen) -> Option<Item> {
    let ClientLogsSeen { counts, known_until, .. } = seen;
    match (counts.failures(), known_until) {
        (0, Some(until)) if !counts.is_part => {
            let said = format!("no failure to authenticate the server in 24 hours, known until {}", Moment(*until));
            Some(item(Topic::Agent, Severity::Fine, about(seen), said))
        }
        (0, _) => None,
        (failures, _) => {
            let number = least(counts, failures, "failure");
            let said = format!("{number} to authenticate the server in 24 hours, of {}", named(counts));
            Some(item(Topic::Agent, Severity::Critical, about(seen), said).fix_by(Some(fix::CLIENTS_REFUSE)))
        }
    }
}

/// Whether failures are still heard of.
fn old(seen: &ClientLogsSeen, now: Timestamp) -> Option<Item> {
    let until = seen.known_until.filter(|until| *until < now - OLD)?;
    let said = format!("what they have logged is known until {} only", Moment(until));
    Some(item(Topic::Agent, Severity::Warning, about(seen), said).fix_by(Some(fix::LOG_OF_CLIENTS_OLD)))
}

#[cfg(test)]
mod tests {
    use kagiban_agents::Product;

    use super::super::samples::NOW;
    use super::super::{attention, working};
    use super::*;
    use crate::snapshot::{
        AlertCounts, Board, ClientName, Label, Observation, Pass, Sender, SenderSeen, SourceId, SourceKind,
    };

    /// What needs a person, and what does not.
    fn told(counts: AlertCounts, known_until: Option<Timestamp>) -> [Vec<Item>; 2] {
        let (board, id) = (Board::default(), SourceId::own(SourceKind::Alerts, Label::new("av")));
        board.expect([(id.clone(), &[][..])]);
        let seen = ClientLogsSeen { agent: Label::new("av"), product: Product::ApexOne, counts, known_until };
        let observation = Observation::ClientLogs(seen);
        board.publish(&id, Pass { observation, trouble: None, ended: NOW, took: Duration::ZERO });
        let snapshot = board.snapshot();
        [attention::items(&snapshot, None, NOW), working::items(&snapshot, None, NOW)]
    }

    fn hours_ago(hours: u64) -> Option<Timestamp> {
        Some(NOW - Duration::from_hours(hours))
    }

    #[test]
    fn a_client_that_refuses_its_server_needs_a_person_who_is_told_its_name() {
        let client = Sender::Client(ClientName::parse("PC-01").expect("a name"));
        let counts = AlertCounts {
            senders: vec![SenderSeen { sender: client, failures: 2, last: NOW }],
            ..AlertCounts::default()
        };
        let [bad, good] = told(counts, hours_ago(1));
        assert!(good.is_empty() && bad[0].severity == Severity::Critical && bad[0].fix.is_some(), "{bad:?} {good:?}");
        assert_eq!((bad[0].about.as_str(), bad.len()), ("Clients of av", 1));
        assert_eq!(
            bad[0].said,
            "2 failures to authenticate the server in 24 hours, of PC-01 (2, the last at 2025-06-15 15:06 UTC)"
        );
    }

    #[test]
    fn no_failure_is_told_with_the_time_up_to_which_it_is_known_and_an_old_log_needs_a_person() {
        let none = AlertCounts::default;
        let [bad, good] = told(none(), hours_ago(1));
        assert!(bad.is_empty() && good[0].said.ends_with("known until 2025-06-15 14:06 UTC"), "{bad:?} {good:?}");
        let unknown = AlertCounts { is_part: true, ..none() };
        let [bad, good] = told(unknown.clone(), None);
        assert!(bad.is_empty() && good.is_empty(), "{bad:?} {good:?}");
        let [bad, good] = told(unknown, hours_ago(27));
        assert!(good.is_empty() && bad[0].severity == Severity::Warning && bad.len() == 1, "{bad:?} {good:?}");
        assert!(bad[0].said.contains("is known until 2025-06-14 12:06 UTC only"), "{bad:?}");
    }
}
