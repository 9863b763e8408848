//! What the alerts of a product tell that is looked at through them.

use jiff::Timestamp;

use super::{Count, Item, Moment, Severity, Span, Topic, fix, item};
use crate::snapshot::{AlertCounts, AlertsSeen, FolderAlerts, SenderSeen, Snapshot};

/// Terminals that a sentence names; the metrics have more.
const MAX_NAMED: usize = 5;
/// The engine is restarted with its host, for which a person needs a day that suits.
const SOON: i64 = 7 * 24 * 60 * 60;

/// What needs a person, and what does not.
pub(crate) fn items(snapshot: &Snapshot, now: Timestamp) -> Vec<Item> {
    let seen = snapshot.passes().filter_map(|(_, pass)| pass.alerts());
    seen.flat_map(|seen| {
        let counted = seen.counts.iter().flat_map(|counts| {
            [failures(seen, counts), ahead(about(seen), counts)].into_iter().chain(folders(seen, counts))
        });
        counted.chain([engine(seen, now)]).flatten()
    })
    .collect()
}

fn about(seen: &AlertsSeen) -> String {
    format!("Alerts of {}", seen.agent)
}

fn failures(seen: &AlertsSeen, counts: &AlertCounts) -> Option<Item> {
    let failures = counts.failures();
    if failures == 0 && counts.is_part {
        return None;
    }
    if failures == 0 {
        return Some(item(Topic::Agent, Severity::Fine, about(seen), "no failed authentication in 24 hours"));
    }
    let said = format!("{} in 24 hours, of {}", least(counts, failures, "failed authentication"), named(counts));
    Some(item(Topic::Agent, Severity::Critical, about(seen), said).fix_by(Some(fix::AUTHENTICATION_FAILS)))
}

/// Who has failed in the last 24 hours; not all where there are many.
pub(super) fn named(counts: &AlertCounts) -> String {
    let failing: Vec<_> = counts.senders.iter().filter(|it| it.failures > 0).collect();
    let named = failing
        .iter()
        .take(MAX_NAMED)
        .map(|SenderSeen { sender, failures, last }| format!("{sender} ({failures}, the last at {})", Moment(*last)));
    let mut named: Vec<_> = named.collect();
    let more = failing.len().saturating_sub(MAX_NAMED);
    named.extend((more > 0).then(|| format!("{more} more")));
    let left_out = counts.left_out;
    named.extend((left_out.failures > 0).then(|| format!("others ({})", left_out.failures)));
    named.join(", ")
}

/// What there is at least, where not all could be read.
pub(super) fn least(counts: &AlertCounts, number: usize, of: &'static str) -> String {
    format!("{}{}", if counts.is_part { "at least " } else { "" }, Count(number, of))
}

/// Told where there are any: of each verdict.
fn folders(seen: &AlertsSeen, counts: &AlertCounts) -> [Option<Item>; 2] {
    let FolderAlerts { false_ones, unexplained } = counts.folder;
    let told = |number: usize| format!("{} about its folder of logs in 24 hours", least(counts, number, "alert"));
    let explained = (false_ones > 0).then(|| {
        let said = format!("{}, false ones: all conditions of the vendor's notice hold", told(false_ones));
        item(Topic::Agent, Severity::Fine, about(seen), said)
    });
    let others = (unexplained > 0).then(|| {
        let said = format!("{}, which the vendor's notice does not explain", told(unexplained));
        item(Topic::Agent, Severity::Warning, about(seen), said).fix_by(Some(fix::FOLDER_TOUCHED))
    });
    [others, explained]
}

/// A clock is wrong, or the zone in which times are read.
pub(super) fn ahead(about: String, counts: &AlertCounts) -> Option<Item> {
    let said = (counts.ahead > 0).then(|| {
        format!("{} dated more than an hour ahead of this host's clock", least(counts, counts.ahead, "alert"))
    })?;
    Some(item(Topic::Agent, Severity::Warning, about, said).fix_by(Some(fix::DATED_AHEAD)))
}

fn engine(seen: &AlertsSeen, now: Timestamp) -> Option<Item> {
    let left = seen.engine_stop?.as_second() - now.as_second();
    let (severity, when) = match left {
        i64::MIN..0 => (Severity::Critical, format!("may have stopped {} ago", Span(-left))),
        0..SOON => (Severity::Warning, format!("may stop in {}", Span(left))),
        _ => (Severity::Fine, format!("may stop in {}", Span(left))),
    };
    let about = format!("Communication engine of {}", seen.agent);
    let said = format!("{when}, by what its vendor has seen at one site");
    let fix = (severity != Severity::Fine).then_some(fix::ENGINE_STOPS);
    Some(item(Topic::Agent, severity, about, said).fix_by(fix))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kagiban_agents::{Concern, Product, Situation, guide};

    use super::super::samples::NOW;
    use super::super::{attention, working};
    use super::*;
    use crate::snapshot::{Board, Label, LeftOutSenders, Observation, Pass, ReleaseSeen, Sender, SourceId, SourceKind};

    const DAY: i64 = 86_400;

    fn seen(counts: AlertCounts) -> AlertsSeen {
        AlertsSeen {
            agent: Label::new("skysea"),
            product: Product::Skysea,
            releases: Vec::new(),
            engine_stop: None,
            counts: Some(counts),
        }
    }

    /// What needs a person, and what does not.
    fn told(seen: AlertsSeen) -> [Vec<Item>; 2] {
        let (board, id) = (Board::default(), SourceId::own(SourceKind::Alerts, Label::new("skysea")));
        board.expect([(id.clone(), &[][..])]);
        board.publish(
            &id,
            Pass { observation: Observation::Alerts(seen), trouble: None, ended: NOW, took: Duration::ZERO },
        );
        let snapshot = board.snapshot();
        [attention::items(&snapshot, None, NOW), working::items(&snapshot, None, NOW)]
    }

    #[test]
    fn failed_authentications_need_a_person_by_terminal_and_none_are_told_as_that() {
        let [bad, good] = told(seen(AlertCounts::default()));
        assert!(bad.is_empty(), "{bad:?}");
        assert_eq!(good[0].said, "no failed authentication in 24 hours");
        let sender =
            |last: u8, failures| SenderSeen { sender: Sender::Address([192, 0, 2, last].into()), failures, last: NOW };
        let senders = (1..=8).map(|last| sender(last, usize::from(last % 8))).collect();
        let counts =
            AlertCounts { senders, left_out: LeftOutSenders { senders: 2, failures: 4 }, ..AlertCounts::default() };
        let [bad, good] = told(seen(counts));
        assert!(good.is_empty() && bad[0].severity == Severity::Critical && bad[0].fix.is_some(), "{bad:?} {good:?}");
        let said = &bad[0].said;
        assert!(
            said.starts_with(
                "32 failed authentications in 24 hours, of 192.0.2.1 (1, the last at 2025-06-15 15:06 UTC), "
            ),
            "{said}"
        );
        assert!(said.ends_with(", 2 more, others (4)"), "{said}");
    }

    #[test]
    fn an_alert_about_the_folder_needs_a_person_unless_it_is_a_false_one() {
        let of = |folder| seen(AlertCounts { folder, ..AlertCounts::default() });
        let [bad, good] = told(of(FolderAlerts { false_ones: 1, unexplained: 0 }));
        assert!(bad.is_empty() && good.iter().any(|item| item.said.contains("false ones")), "{good:?}");
        let [bad, good] = told(of(FolderAlerts { false_ones: 1, unexplained: 2 }));
        assert!(bad[0].severity == Severity::Warning && bad[0].said.starts_with("2 alerts about"), "{bad:?}");
        assert!(good.iter().any(|item| item.said.contains("false ones")), "{good:?}");
    }

    #[test]
    fn what_was_not_read_whole_is_told_as_what_there_is_at_least_and_a_zero_is_not_told() {
        let part = AlertCounts { is_part: true, ..AlertCounts::default() };
        let [bad, good] = told(seen(part.clone()));
        assert!(bad.is_empty() && good.is_empty(), "{bad:?} {good:?}");
        let sender = SenderSeen { sender: Sender::Unreadable, failures: 2, last: NOW };
        let [bad, _] = told(seen(AlertCounts { senders: vec![sender], ..part }));
        assert!(bad[0].said.starts_with("at least 2 failed authentications"), "{bad:?}");
    }

    #[test]
    fn alerts_that_are_dated_ahead_need_a_person_who_names_the_time_zone() {
        let [bad, _] = told(seen(AlertCounts { ahead: 3, ..AlertCounts::default() }));
        assert!(bad[0].said.starts_with("3 alerts dated more than an hour ahead"), "{bad:?}");
        assert!(bad[0].fix.as_ref().is_some_and(|fix| fix.contains("timeZone")), "{bad:?}");
    }

    #[test]
    fn an_engine_that_may_stop_needs_a_person_a_week_before() {
        for (days, severity) in [(8, None), (6, Some(Severity::Warning)), (-1, Some(Severity::Critical))] {
            let at = Timestamp::from_second(NOW.as_second() + days * DAY).expect("a time");
            let [bad, good] = told(AlertsSeen { engine_stop: Some(at), counts: None, ..seen(AlertCounts::default()) });
            assert_eq!(bad.iter().map(|item| item.severity).next(), severity, "{days}: {bad:?}");
            assert_eq!(bad.len() + good.len(), 1, "it is told once: {bad:?} {good:?}");
        }
    }

    #[test]
    fn an_affected_component_needs_a_person_and_one_that_is_mended_does_not() {
        let guide = guide("skysea").expect("a guide");
        let component = guide.component("data-server").expect("a component");
        for (version, mended, said) in [
            ("12.100.07p", false, Some("release 12.100.07p (12.100.07p); it has the problems authentication (")),
            ("12.100.07p", true, None),
            ("12.101.01b", false, None),
            ("14.000", false, None),
        ] {
            let situation = Situation { mended, conditions: Vec::new() };
            let release = ReleaseSeen {
                agent: Some(Label::new("skysea")),
                product: Product::Skysea,
                part: component.id,
                directory: None,
                version: Some(Label::new(version)),
                concern: Concern::of_version(guide, version, component, &situation),
                installed_at: None,
                keystores: Vec::new(),
            };
            let [bad, good] =
                told(AlertsSeen { releases: vec![release], counts: None, ..seen(AlertCounts::default()) });
            let bad: Vec<_> = bad.iter().map(|item| item.said.as_str()).collect();
            assert_eq!(bad.len(), usize::from(said.is_some()), "{version} {mended}: {bad:?}");
            assert!(said.is_none_or(|said| bad[0].starts_with(said)), "{bad:?}");
            assert!(
                bad.len() + good.len() == 1 && good.iter().all(|item| item.about == "data-server of skysea"),
                "{good:?}"
            );
        }
    }
}
