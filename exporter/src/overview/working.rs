//! What is as it should be. Together with what needs attention it is all that a host has.

use jiff::Timestamp;

use super::shutdown::ShutdownView;
use super::{Item, Severity, Span, Topic, certificates, fix, item, upses};
use crate::health::CheckResult;
use crate::snapshot::{Contents, FileSeen, Pass, ProbeSeen, Snapshot, SourceId, SourceKind, UpsSeen};
use crate::ups::Quantity;

/// Each source that works, with what it saw; of checks of hardening, what did not pass.
pub(crate) fn items(snapshot: &Snapshot, shutdown: Option<&ShutdownView>, now: Timestamp) -> Vec<Item> {
    let mut items: Vec<Item> = snapshot.passes().flat_map(|(id, pass)| of_pass(id, pass, now)).collect();
    items.extend(upses::each(snapshot).filter_map(of_ups));
    items.extend(
        shutdown
            .filter(|shutdown| shutdown.severity == Severity::Fine)
            .map(|shutdown| item(Topic::Shutdown, Severity::Fine, "This host", shutdown.sentence(now))),
    );
    let rotations = snapshot.rotations.iter().filter(|(_, agent)| agent.trouble.is_none() && !agent.is_frozen());
    items.extend(
        rotations
            .map(|(agent, _)| item(Topic::Agent, Severity::Fine, format!("Agent {agent}"), "its rotations are taken")),
    );
    items
}

fn of_pass(id: &SourceId, pass: &Pass, now: Timestamp) -> Vec<Item> {
    let fine =
        |said: String| item(Topic::of(id.kind), Severity::Fine, format!("{} {}", id.kind.as_str(), id.name), said);
    if !pass.is_up() {
        return Vec::new();
    }
    match id.kind {
        SourceKind::Agent => pass.files().iter().filter_map(|file| of_keystore(file, now)).map(fine).collect(),
        SourceKind::File => vec![fine(of_files(pass, now))],
        SourceKind::Tls => pass.probe().map(|probe| fine(of_endpoint(probe, now))).into_iter().collect(),
        SourceKind::Host => vec![fine("answers".to_owned())],
        SourceKind::Health => of_hardening(id, pass),
        SourceKind::Ups => Vec::new(),
    }
}

fn of_keystore(file: &FileSeen, now: Timestamp) -> Option<String> {
    let contents = file.outcome.as_ref().ok().filter(|_| file.is_whole())?;
    let Contents { format, password_verified, password_empty, certificates, .. } = contents;
    let password = match (password_verified, password_empty) {
        (_, true) => ", which the empty password opens",
        (Some(true), false) => ", which its password opens",
        (Some(false), false) => ", whose password is not known here",
        (None, false) => "",
    };
    let first = certificates.iter().map(|it| it.facts.not_after).min();
    let ends = ends(first, now);
    Some(format!("{} is {format}{password}; {} {ends}", file.path, number(certificates.len())))
}

fn of_files(pass: &Pass, now: Timestamp) -> String {
    let seen: Vec<_> = certificates::seen(pass).collect();
    // Authorities expire in trust stores without harm.
    let first =
        seen.iter().filter(|placed| !placed.is_authority()).map(|placed| placed.certificate.facts.not_after).min();
    let whole = pass.files().iter().filter(|file| file.is_whole()).count();
    let ends = if first.is_some() { format!(" {}", ends(first, now)) } else { String::new() };
    let files = if whole == 1 { "1 file was".to_owned() } else { format!("{whole} files were") };
    format!("{files} read; {}{ends}", number(seen.len()))
}

fn of_endpoint(probe: &ProbeSeen, now: Timestamp) -> String {
    let tls =
        probe.outcome.as_ref().ok().and_then(|served| served.tls_version).unwrap_or("a handshake that was broken off");
    let leaf = probe.certificates.first();
    let subject = leaf.map_or_else(|| "a certificate".to_owned(), |leaf| leaf.facts.subject.to_string());
    format!("answers by {tls}; {subject} {}", ends(leaf.map(|leaf| leaf.facts.not_after), now))
}

fn of_ups(seen: &UpsSeen) -> Option<Item> {
    let (severity, state) = upses::state(seen);
    let reading = seen.outcome.as_ref().ok().filter(|_| severity == Severity::Fine)?;
    let charge = reading.values.of(Quantity::BatteryCharge).map(|ratio| format!(", charge {}", upses::percent(ratio)));
    let runtime =
        reading.values.of(Quantity::BatteryRuntime).map(|span| format!(", runtime {}", Span(upses::whole(span))));
    let feeds = if seen.feeds_host { "" } else { "; it does not feed this host" };
    let said = format!("{state}{}{}{feeds}", charge.unwrap_or_default(), runtime.unwrap_or_default());
    Some(item(Topic::Ups, Severity::Fine, format!("UPS {}", seen.ups), said))
}

fn of_hardening(id: &SourceId, pass: &Pass) -> Vec<Item> {
    let Some(health) = pass.health() else { return Vec::new() };
    let passed = health.checks.iter().filter(|check| check.verdict == CheckResult::Passed).count();
    let unknown = health.checks.iter().filter(|check| matches!(check.verdict, CheckResult::Unknown(_))).count();
    let about = format!("Hardening of {}", id.name);
    let of_all = format!("{passed} of {} checks pass, {unknown} could not be made", health.checks.len());
    let failed = health.checks.iter().filter(|check| check.verdict == CheckResult::Failed).map(|check| {
        let said = format!("{}: {}", check.check.id(), check.detail);
        item(Topic::Hardening, Severity::Warning, about.clone(), said).fix_by(Some(fix::HARDEN))
    });
    failed.chain([item(Topic::Hardening, Severity::Fine, about.clone(), of_all)]).collect()
}

fn number(certificates: usize) -> String {
    if certificates == 1 { "1 certificate".to_owned() } else { format!("{certificates} certificates, the first") }
}

fn ends(not_after: Option<i64>, now: Timestamp) -> String {
    not_after.map_or_else(String::new, |not_after| format!("({})", certificates::left(not_after, now).1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::attention;
    use super::super::samples::{NOW, certificate};
    use super::*;
    use crate::snapshot::{Backend, Board, FilesSeen, Label, Observation, Role, Trouble};
    use crate::ups::{Reading, Status, UpsFault};

    fn seen(kind: SourceKind, observation: Observation) -> Snapshot {
        let board = Board::default();
        let id = SourceId { kind, name: Label::new("a") };
        board.expect([(id.clone(), &[][..])]);
        board.publish(&id, Pass { observation, trouble: None, ended: NOW, took: Duration::ZERO });
        board.snapshot()
    }

    fn file(outcome: Result<Contents, Trouble>) -> Observation {
        let file = FileSeen { path: Label::new("/c/keystore"), modified: None, outcome };
        Observation::Files(FilesSeen::from(vec![Arc::new(file)]))
    }

    fn ups(outcome: Result<Reading, Trouble<UpsFault>>) -> Observation {
        Observation::Upses(vec![UpsSeen {
            ups: Label::new("rack"),
            backend: Backend::Nut,
            target: Label::new("127.0.0.1:3493"),
            feeds_host: true,
            contradictions: 0,
            outcome: outcome.map(Box::new),
            refused: std::collections::BTreeMap::new(),
            strong_snmp: None,
        }])
    }

    /// What works is told as that, or needs attention, and never neither and never both.
    #[test]
    fn each_thing_is_told_once_as_working_or_as_needing_a_person() {
        let contents = |days| Contents::whole("jks", Some(true), vec![certificate("ups-01", Role::Leaf, days)]);
        let reading = |status| Reading { statuses: [status].into_iter().collect(), ..Reading::default() };
        for (kind, observation, works) in [
            (SourceKind::Agent, file(Ok(contents(300))), true),
            (SourceKind::Agent, file(Err(Trouble::new("bad_password", "no"))), false),
            (SourceKind::File, file(Ok(contents(300))), true),
            (SourceKind::Ups, ups(Ok(reading(Status::Online))), true),
            (SourceKind::Ups, ups(Ok(reading(Status::OnBattery))), false),
            (SourceKind::Ups, ups(Err(Trouble::new(UpsFault::Connect, "refused"))), false),
            (SourceKind::Host, Observation::Host(Vec::new()), true),
        ] {
            let snapshot = seen(kind, observation);
            let (bad, good) = (attention::items(&snapshot, None, NOW), items(&snapshot, None, NOW));
            let of_kind = |items: &[Item]| items.iter().filter(|item| item.topic == Topic::of(kind)).count();
            let bad_ones = of_kind(&bad);
            assert_eq!(usize::from(!works), bad_ones, "{kind:?}: {bad:?}");
            assert!(good.iter().all(|item| item.severity == Severity::Fine));
            let expected = match kind {
                // That a source was looked at is worth a word beside a file in it that is not.
                SourceKind::Agent | SourceKind::Ups => usize::from(works),
                _ => 1,
            };
            assert_eq!(of_kind(&good), expected, "{kind:?}: {good:?}");
            assert!(
                bad.iter().filter(|item| item.severity == Severity::Critical).all(|item| item.fix.is_some()),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_keystore_is_told_with_its_password_and_its_end() {
        let contents = |verified, days| Contents {
            password_verified: verified,
            ..Contents::whole("jks", None, vec![certificate("ups-01", Role::Leaf, days)])
        };
        for (verified, said) in [
            (Some(true), "/c/keystore is jks, which its password opens; 1 certificate (expires in 300 days)"),
            (Some(false), "/c/keystore is jks, whose password is not known here; 1 certificate (expires in 300 days)"),
            (None, "/c/keystore is jks; 1 certificate (expires in 300 days)"),
        ] {
            let told = items(&seen(SourceKind::Agent, file(Ok(contents(verified, 300)))), None, NOW);
            assert_eq!(told.iter().map(|item| item.said.as_str()).collect::<Vec<_>>(), [said]);
        }
    }
}
