//! `kagiban_skysea_*`: what the alerts of SKYSEA Client View tell.

use std::fmt;

use super::table::{Family, Kind, Samples};
use crate::snapshot::{AlertCounts, AlertsSeen, FolderAlerts, Sender, Snapshot};

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "kagiban_skysea_authentication_failures",
        help: "Failed authentications in the last 24 hours, by the time of the entry, in all mails and logs together and each once; by the terminal that failed. `other` is there from the first look that succeeded on, has the terminals beyond 100, and is 0 where there are no more. Where a look fails it is what there is at least, and what is 0 is absent.",
        kind: Kind::Gauge,
        samples: |snapshot, out| counted(snapshot, |agent, counts| put_failures(out, agent, "sender", counts)),
    },
    Family {
        name: "kagiban_skysea_last_authentication_failure_timestamp_seconds",
        help: "When a terminal last failed to authenticate itself, in seconds since 1970; for 30 days, of at most 100 terminals.",
        kind: Kind::Gauge,
        samples: |snapshot, out| counted(snapshot, |agent, counts| put_last(out, agent, "sender", counts)),
    },
    Family {
        name: "kagiban_skysea_senders_left_out",
        help: "How many terminals that failed to authenticate themselves in 30 days are not told one by one.",
        kind: Kind::Gauge,
        samples: |snapshot, out| counted(snapshot, |agent, counts| put_left_out(out, agent, counts)),
    },
    Family {
        name: "kagiban_skysea_folder_alerts",
        help: "Alerts of the last 24 hours that the folder of logs was touched without right: `false` of the data server that is named as `computer`, with somebody logged on, where all conditions hold under which the vendor has seen the alert be false; `unexplained` of all others. Where a look fails it is what there is at least, and what is 0 is absent.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            counted(snapshot, |agent, counts| {
                let FolderAlerts { false_ones, unexplained } = counts.folder;
                let told = [("false", false_ones), ("unexplained", unexplained)];
                let mut told = told.into_iter().filter(|(_, alerts)| counts.tells(*alerts));
                told.try_for_each(|(verdict, alerts)| out.put(&[agent, ("verdict", verdict)], alerts))
            })
        },
    },
    Family {
        name: "kagiban_skysea_engine_stop_forecast_timestamp_seconds",
        help: "When the communication engine may stop, in seconds since 1970: the 60 days with 1500 clients that the vendor has seen at one site, with the clients of this one. A guide and no bound; absent where no component is affected, or the clients are not known.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |agent, seen| seen.engine_stop.map_or(Ok(()), |at| out.put(&[agent], at.as_second())))
        },
    },
];

pub(super) type Agent<'a> = (&'static str, &'a str);

/// How often each has failed, under the label of this name, and all others together.
pub(super) fn put_failures(
    out: &mut Samples<'_, '_>,
    agent: Agent<'_>,
    label: &'static str,
    counts: &AlertCounts,
) -> fmt::Result {
    for it in counts.senders.iter().filter(|it| counts.tells(it.failures)) {
        out.put(&[agent, (label, &it.sender.to_string())], it.failures)?;
    }
    let left_out = Some(counts.left_out.failures).filter(|failures| counts.tells(*failures));
    left_out.map_or(Ok(()), |failures| out.put(&[agent, (label, Sender::OTHER)], failures))
}

pub(super) fn put_last(
    out: &mut Samples<'_, '_>,
    agent: Agent<'_>,
    label: &'static str,
    counts: &AlertCounts,
) -> fmt::Result {
    let mut senders = counts.senders.iter();
    senders.try_for_each(|it| out.put(&[agent, (label, &it.sender.to_string())], it.last.as_second()))
}

pub(super) fn put_left_out(out: &mut Samples<'_, '_>, agent: Agent<'_>, counts: &AlertCounts) -> fmt::Result {
    let left_out = Some(counts.left_out.senders).filter(|senders| counts.tells(*senders));
    left_out.map_or(Ok(()), |senders| out.put(&[agent], senders))
}

fn each(snapshot: &Snapshot, mut put: impl FnMut(Agent<'_>, &AlertsSeen) -> fmt::Result) -> fmt::Result {
    let mut seen = snapshot.passes().filter_map(|(_, pass)| pass.alerts());
    seen.try_for_each(|seen| put(("agent", seen.agent.as_str()), seen))
}

fn counted(snapshot: &Snapshot, mut put: impl FnMut(Agent<'_>, &AlertCounts) -> fmt::Result) -> fmt::Result {
    each(snapshot, |agent, seen| seen.counts.as_ref().map_or(Ok(()), |counts| put(agent, counts)))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use kagiban_agents::Product;

    use super::super::only;
    use super::super::table::encode;
    use super::*;
    use crate::snapshot::{Board, Label, LeftOutSenders, Observation, Pass, SenderSeen, SourceId, SourceKind, Trouble};

    const AT: Timestamp = Timestamp::constant(1_750_000_000, 0);

    pub(in crate::render) fn seen() -> AlertsSeen {
        let sender = |sender, failures| SenderSeen { sender, failures, last: AT };
        let counts = AlertCounts {
            senders: vec![sender(Sender::Address([192, 0, 2, 1].into()), 3), sender(Sender::Unreadable, 0)],
            left_out: LeftOutSenders::default(),
            folder: FolderAlerts { false_ones: 1, unexplained: 2 },
            ahead: 0,
            is_part: false,
        };
        AlertsSeen {
            agent: Label::new("skysea"),
            product: Product::Skysea,
            releases: Vec::new(),
            engine_stop: Some(AT),
            counts: Some(counts),
        }
    }

    fn told(seen: AlertsSeen, trouble: Option<Trouble>) -> Vec<String> {
        let (board, id) = (Board::default(), SourceId::own(SourceKind::Alerts, Label::new("skysea")));
        board.expect([(id.clone(), &[][..])]);
        let observation = Observation::Alerts(seen);
        board.publish(&id, Pass { observation, trouble, ended: AT, took: Duration::ZERO });
        let text = encode(FAMILIES, &only(&board.snapshot()));
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| line.replace("kagiban_skysea_", "").replace(r#"agent="skysea""#, "")).collect()
    }

    #[test]
    fn failures_are_told_by_terminal_and_together_for_the_others() {
        assert_eq!(
            told(seen(), None),
            [
                r#"authentication_failures{,sender="192.0.2.1"} 3"#,
                r#"authentication_failures{,sender="unreadable"} 0"#,
                r#"authentication_failures{,sender="other"} 0"#,
                r#"last_authentication_failure_timestamp_seconds{,sender="192.0.2.1"} 1750000000"#,
                r#"last_authentication_failure_timestamp_seconds{,sender="unreadable"} 1750000000"#,
                "senders_left_out{} 0",
                r#"folder_alerts{,verdict="false"} 1"#,
                r#"folder_alerts{,verdict="unexplained"} 2"#,
                "engine_stop_forecast_timestamp_seconds{} 1750000000",
            ]
        );
    }

    #[test]
    fn a_look_that_found_nothing_tells_zero_and_one_that_failed_tells_nothing() {
        let nothing = AlertsSeen { counts: Some(AlertCounts::default()), engine_stop: None, ..seen() };
        assert_eq!(
            told(nothing, None),
            [
                r#"authentication_failures{,sender="other"} 0"#,
                "senders_left_out{} 0",
                r#"folder_alerts{,verdict="false"} 0"#,
                r#"folder_alerts{,verdict="unexplained"} 0"#
            ]
        );
        let failed = AlertsSeen { counts: None, ..seen() };
        let trouble = Some(Trouble::new("not_found", "gone"));
        assert_eq!(told(failed, trouble), ["engine_stop_forecast_timestamp_seconds{} 1750000000"]);
    }
}
