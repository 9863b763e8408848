//! `kagiban_client*`: which clients of a product do not have its certificate. Nothing is here of an agent whose clients nobody lists.

use std::fmt;

use jiff::Timestamp;

use super::table::{Family, Kind};
use crate::snapshot::{ClientsSeen, LackingClients, Snapshot};

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "kagiban_clients_without_certificate",
        help: "How many clients of the product do not have the certificate of their server, by the list of the last look; absent where that did not bring one, while a rotation of the server is on its way, and after it until the next list.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            listed(snapshot, |seen, lacking| {
                out.put(&[("agent", seen.agent.as_str()), ("product", seen.product.id())], lacking.count)
            })
        },
    },
    Family {
        name: "kagiban_client_without_certificate",
        help: "1 for each client that does not have the certificate of its server, by its name; 100 at most, or as many as the configuration says.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            listed(snapshot, |seen, lacking| {
                let mut named = lacking.named.iter();
                named.try_for_each(|name| out.put(&[("agent", seen.agent.as_str()), ("client", name.as_str())], true))
            })
        },
    },
    Family {
        name: "kagiban_clients_left_out",
        help: "How many of the clients that do not have the certificate are not told one by one: beyond those that may be, of a name that another one has, or of none that a host can have.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            listed(snapshot, |seen, lacking| out.put(&[("agent", seen.agent.as_str())], lacking.left_out()))
        },
    },
    Family {
        name: "kagiban_clients_listed_timestamp_seconds",
        help: "When the clients without the certificate were last listed, in seconds since 1970; absent while they were not since the exporter was started.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |seen| {
                let at = seen.listed_at.map(Timestamp::as_second);
                at.map_or(Ok(()), |at| out.put(&[("agent", seen.agent.as_str())], at))
            })
        },
    },
];

fn each(snapshot: &Snapshot, put: impl FnMut(&ClientsSeen) -> fmt::Result) -> fmt::Result {
    snapshot.passes().filter_map(|(_, pass)| pass.clients()).try_for_each(put)
}

fn listed(snapshot: &Snapshot, mut put: impl FnMut(&ClientsSeen, &LackingClients) -> fmt::Result) -> fmt::Result {
    each(snapshot, |seen| snapshot.lacking(seen).map_or(Ok(()), |lacking| put(seen, lacking)))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use kagiban_agents::Product;
    use kagiban_crds::host_api::RotationState;

    use super::super::only;
    use super::super::table::encode;
    use super::*;
    use crate::snapshot::{Board, ClientName, Label, Observation, Pass, RotationSeen, SourceId, SourceKind, Trouble};

    const AT: Timestamp = Timestamp::constant(1_750_000_000, 0);

    pub(in crate::render) fn seen() -> ClientsSeen {
        let named = ["PC-01", "経理-02"].map(|name| ClientName::parse(name).expect("a name")).to_vec();
        ClientsSeen {
            agent: Label::new("av"),
            product: Product::ApexOne,
            lacking: Some(LackingClients { count: 5, named, ..LackingClients::default() }),
            listed_at: Some(AT),
            changes: 0,
            is_for_repair: false,
        }
    }

    fn told(board: &Board, id: &SourceId, seen: ClientsSeen) -> Vec<String> {
        let trouble = seen.lacking.is_none().then(|| Trouble::new("failed", "it ended with 1"));
        let observation = Observation::Clients(seen);
        board.publish(id, Pass { observation, trouble, ended: AT, took: Duration::ZERO });
        let text = encode(FAMILIES, &only(&board.snapshot()));
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.replace("kagiban_", "")).collect()
    }

    /// A count that stays where no look succeeds would be taken for a new one.
    #[test]
    fn clients_are_counted_and_named_and_a_look_that_fails_tells_when_the_last_one_did_not() {
        let (board, id) = (Board::default(), SourceId::own(SourceKind::Clients, Label::new("av")));
        board.expect([(id.clone(), &["failed"][..])]);
        let failed = || ClientsSeen { lacking: None, listed_at: None, ..seen() };
        assert_eq!(told(&board, &id, failed()), [""; 0], "none was listed yet");
        assert_eq!(
            told(&board, &id, seen()),
            [
                r#"clients_without_certificate{agent="av",product="apex-one"} 5"#,
                r#"client_without_certificate{agent="av",client="PC-01"} 1"#,
                r#"client_without_certificate{agent="av",client="経理-02"} 1"#,
                r#"clients_left_out{agent="av"} 3"#,
                r#"clients_listed_timestamp_seconds{agent="av"} 1750000000"#,
            ]
        );
        assert_eq!(told(&board, &id, failed()), [r#"clients_listed_timestamp_seconds{agent="av"} 1750000000"#]);
        let none = ClientsSeen { lacking: Some(LackingClients::default()), ..seen() };
        assert_eq!(
            told(&board, &id, none),
            [
                r#"clients_without_certificate{agent="av",product="apex-one"} 0"#,
                r#"clients_left_out{agent="av"} 0"#,
                r#"clients_listed_timestamp_seconds{agent="av"} 1750000000"#,
            ]
        );
        let renewed = RotationSeen { generation: 1, state: Some(RotationState::Committed), ..RotationSeen::default() };
        board.note_rotation(&Label::new("av"), None, Some(renewed));
        assert_eq!(told(&board, &id, seen()), [r#"clients_listed_timestamp_seconds{agent="av"} 1750000000"#]);
    }
}
