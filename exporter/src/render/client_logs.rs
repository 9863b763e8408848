//! `kagiban_client_server_authentication_*`: what the clients of a product log of their server. Nothing is here of an agent for which no
//! such log is named.

use std::fmt;

use super::alerts::{Agent, put_failures, put_last, put_left_out};
use super::table::{Family, Kind};
use crate::snapshot::{ClientLogsSeen, Snapshot};

/// The label of a client's name.
const CLIENT: &str = "client";

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "kagiban_client_server_authentication_failures",
        help: "How often a client could not authenticate its server, in the last 24 hours, by the time of its own entries, in all exported logs together and each once; by the name of the client, `unreadable` where the entry has none, or it is called `other` or `unreadable`; capital letters make no other client. `other` has the clients beyond 100. Of what was logged after kagiban_client_log_known_until_timestamp_seconds it may lack some. Where a look fails, or nothing is known of these hours, it is what there is at least, and what is 0 is absent.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each(snapshot, |agent, seen| put_failures(out, agent, CLIENT, &seen.counts)),
    },
    Family {
        name: "kagiban_client_last_server_authentication_failure_timestamp_seconds",
        help: "When a client last could not authenticate its server, in seconds since 1970; for 30 days, of at most 100 clients.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each(snapshot, |agent, seen| put_last(out, agent, CLIENT, &seen.counts)),
    },
    Family {
        name: "kagiban_clients_failing_left_out",
        help: "How many clients that could not authenticate their server in 30 days are not told one by one.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each(snapshot, |agent, seen| put_left_out(out, agent, &seen.counts)),
    },
    Family {
        name: "kagiban_client_log_known_until_timestamp_seconds",
        help: "Up to when it is known what clients have logged, in seconds since 1970: a client sends its log to the server every 60 minutes, so this is an hour before the newest exported file was written, where several paths or patterns are named of the one whose newest is the oldest, and never later than an hour ago. Absent where not all could be read, or one of them leads to no file.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |agent, seen| seen.known_until.map_or(Ok(()), |at| out.put(&[agent], at.as_second())))
        },
    },
];

fn each(snapshot: &Snapshot, mut put: impl FnMut(Agent<'_>, &ClientLogsSeen) -> fmt::Result) -> fmt::Result {
    let mut seen = snapshot.passes().filter_map(|(_, pass)| pass.client_logs());
    seen.try_for_each(|seen| put(("agent", seen.agent.as_str()), seen))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use kagiban_agents::Product;

    use super::super::only;
    use super::super::table::encode;
    use super::*;
    use crate::snapshot::{
        AlertCounts, Board, ClientName, Label, LeftOutSenders, Observation, Pass, Sender, SenderSeen, SourceId,
        SourceKind,
    };

    const AT: Timestamp = Timestamp::constant(1_750_000_000, 0);

    pub(in crate::render) fn seen() -> ClientLogsSeen {
        let client = Sender::Client(ClientName::parse("経理-01").expect("a name"));
        let sender = |sender, failures| SenderSeen { sender, failures, last: AT };
        let counts = AlertCounts {
            senders: vec![sender(client, 3), sender(Sender::Unreadable, 0)],
            left_out: LeftOutSenders { senders: 2, failures: 5 },
            ..AlertCounts::default()
        };
        ClientLogsSeen { agent: Label::new("av"), product: Product::VirusBusterCorp, counts, known_until: Some(AT) }
    }

    fn told(seen: ClientLogsSeen) -> Vec<String> {
        let (board, id) = (Board::default(), SourceId::own(SourceKind::Alerts, Label::new("av")));
        board.expect([(id.clone(), &[][..])]);
        let observation = Observation::ClientLogs(seen);
        board.publish(&id, Pass { observation, trouble: None, ended: AT, took: Duration::ZERO });
        let text = encode(FAMILIES, &only(&board.snapshot()));
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| line.replace("kagiban_", "").replace(r#"agent="av""#, "")).collect()
    }

    #[test]
    fn failures_are_told_by_client_and_together_for_the_others_with_the_time_up_to_which_that_is_known() {
        assert_eq!(
            told(seen()),
            [
                r#"client_server_authentication_failures{,client="経理-01"} 3"#,
                r#"client_server_authentication_failures{,client="unreadable"} 0"#,
                r#"client_server_authentication_failures{,client="other"} 5"#,
                r#"client_last_server_authentication_failure_timestamp_seconds{,client="経理-01"} 1750000000"#,
                r#"client_last_server_authentication_failure_timestamp_seconds{,client="unreadable"} 1750000000"#,
                "clients_failing_left_out{} 2",
                "client_log_known_until_timestamp_seconds{} 1750000000",
            ]
        );
    }

    #[test]
    fn no_failures_are_told_where_they_are_known_to_be_none_and_not_where_nothing_is_known() {
        let none = ClientLogsSeen { counts: AlertCounts::default(), ..seen() };
        let zero = [
            r#"client_server_authentication_failures{,client="other"} 0"#,
            "clients_failing_left_out{} 0",
            "client_log_known_until_timestamp_seconds{} 1750000000",
        ];
        assert_eq!(told(none), zero);
        let part = AlertCounts { is_part: true, ..AlertCounts::default() };
        assert!(told(ClientLogsSeen { counts: part, known_until: None, ..seen() }).is_empty());
    }
}
