//! What is as it should be. Together with what needs attention it is all that a host has.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kagiban_crds::host_api::FunctionState;

use super::shutdown::ShutdownView;
use super::{
    Count, Item, Severity, Span, Topic, alerts, certificates, client_logs, clients, inventory, item, products, upses,
};
use crate::health::CheckResult;
use crate::platform::RebootReason;
use crate::snapshot::{Contents, FileSeen, FunctionSeen, Pass, ProbeSeen, Snapshot, SourceId, SourceKind, UpsSeen};
use crate::ups::Quantity;

/// Each source that works, with what it saw; of this host and then of those that are looked at from here.
pub(crate) fn items(snapshot: &Snapshot, shutdown: Option<&ShutdownView>, now: Timestamp) -> Vec<Item> {
    let outside = snapshot.outside.iter();
    let outside = outside.flat_map(|(host, seen)| of_host(seen, None, now).into_iter().map(|item| item.of_host(host)));
    of_host(snapshot, shutdown, now).into_iter().chain(outside).collect()
}

fn of_host(snapshot: &Snapshot, shutdown: Option<&ShutdownView>, now: Timestamp) -> Vec<Item> {
    let mut items: Vec<Item> = snapshot.passes().flat_map(|(id, pass)| of_pass(id, pass, now)).collect();
    let of_products = products::items(snapshot, now).into_iter().chain(alerts::items(snapshot, now));
    let of_products = of_products.chain(clients::items(snapshot)).chain(client_logs::items(snapshot, now));
    items.extend(of_products.filter(|item| item.severity == Severity::Fine));
    items.extend(upses::each(snapshot).filter_map(of_ups));
    items.extend(
        shutdown
            .filter(|shutdown| shutdown.severity == Severity::Fine)
            .map(|shutdown| item(Topic::Shutdown, Severity::Fine, "This host", shutdown.sentence(now))),
    );
    items
}

fn of_pass(id: &SourceId, pass: &Pass, now: Timestamp) -> Vec<Item> {
    let fine = |said: String| {
        item(Topic::of(id.kind), Severity::Fine, format!("{} {}", id.kind.as_str(), id.name), said).seen_by(id)
    };
    if !pass.is_up() || needs_a_person(pass, now) {
        return Vec::new();
    }
    match id.kind {
        SourceKind::Agent => pass.files().iter().filter_map(|file| of_keystore(file, now)).map(fine).collect(),
        SourceKind::File => vec![fine(of_files(pass, now))],
        SourceKind::Tls => pass.probe().map(|probe| fine(of_endpoint(probe, now))).into_iter().collect(),
        SourceKind::Host => vec![fine(pass.reboots().map_or_else(|| "answers".to_owned(), of_reboots))],
        SourceKind::Health => of_hardening(id, pass),
        // Of one that does not, `attention` tells, also where a rotation has seen it.
        SourceKind::Function => pass.function().and_then(of_function).map(fine).into_iter().collect(),
        // Of what alerts and lists tell, `products`, `alerts` and `clients` speak.
        SourceKind::Inventory => pass.inventory().map(inventory::sentence).map(fine).into_iter().collect(),
        SourceKind::Alerts | SourceKind::Clients | SourceKind::Release | SourceKind::Ups => Vec::new(),
    }
}

fn of_function(seen: &FunctionSeen) -> Option<String> {
    match seen.sighting.state {
        FunctionState::Works => Some("does its work".to_owned()),
        FunctionState::Unknown => {
            let why = seen.sighting.failure.as_ref().map_or_else(String::new, |why| format!(": {}", why.message));
            Some(format!("is not known to do its work{why}"))
        }
        FunctionState::DoesNotWork => None,
    }
}

/// Whether `attention` tells of what lies there: it is not told twice.
fn needs_a_person(pass: &Pass, now: Timestamp) -> bool {
    let ends = certificates::seen(pass).any(|placed| !placed.is_authority() && placed.left(now).0 != Severity::Fine);
    let is_flawed = |probe: &ProbeSeen| {
        let served = probe.outcome.as_ref().ok();
        served.is_some_and(|served| served.refused.is_some() || served.broken.is_some()) || !probe.unread().is_empty()
    };
    ends || pass.probe().is_some_and(is_flawed)
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
    Some(format!("{} is {format}{password}; {}", file.path, counted(certificates.len(), first, now)))
}

fn of_files(pass: &Pass, now: Timestamp) -> String {
    let seen: Vec<_> = certificates::seen(pass).collect();
    // Authorities expire in trust stores without harm.
    let first =
        seen.iter().filter(|placed| !placed.is_authority()).map(|placed| placed.certificate.facts.not_after).min();
    let whole = pass.files().iter().filter(|file| file.is_whole()).count();
    let were = if whole == 1 { "was" } else { "were" };
    format!("{} {were} read; {}", Count(whole, "file"), counted(seen.len(), first, now))
}

fn of_endpoint(probe: &ProbeSeen, now: Timestamp) -> String {
    let tls = probe.outcome.as_ref().ok().and_then(|served| served.tls_version).unwrap_or("TLS");
    match probe.certificates.first() {
        None => format!("answers by {tls}"),
        Some(leaf) => {
            let left = certificates::left(leaf.facts.not_after, now).1;
            format!("answers by {tls} with {}, which {left}", leaf.facts.subject)
        }
    }
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

/// A reboot that is pending is no trouble: somebody decides when it comes.
fn of_reboots(reboots: &BTreeMap<RebootReason, bool>) -> String {
    let pending: Vec<_> = reboots.iter().filter(|(_, holds)| **holds).map(|(reason, _)| reason.as_str()).collect();
    if !pending.is_empty() {
        format!("a reboot is pending ({})", pending.join(", "))
    } else if reboots.is_empty() {
        "nothing on this host tells whether a reboot is pending".to_owned()
    } else {
        "no reboot is pending".to_owned()
    }
}

fn of_hardening(id: &SourceId, pass: &Pass) -> Vec<Item> {
    let Some(health) = pass.health() else { return Vec::new() };
    let passed = health.checks.iter().filter(|check| check.verdict == CheckResult::Passed).count();
    let unknown = health.checks.iter().filter(|check| matches!(check.verdict, CheckResult::Unknown(_))).count();
    let about = format!("Hardening of {}", id.name);
    let of_all = format!("{passed} of {} checks pass, {unknown} could not be made", health.checks.len());
    vec![item(Topic::Hardening, Severity::Fine, about, of_all)]
}

/// So many certificates, and when the first of them ends that is to be replaced then.
fn counted(certificates: usize, first: Option<i64>, now: Timestamp) -> String {
    let left = first.map(|first| certificates::left(first, now).1);
    match (certificates, left) {
        (0, _) => "no certificates".to_owned(),
        (1, Some(left)) => format!("1 certificate ({left})"),
        (number, None) => Count(number, "certificate").to_string(),
        (number, Some(left)) => format!("{}, the first of which {left}", Count(number, "certificate")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::attention;
    use super::super::samples::{NOW, certificate};
    use super::*;
    use crate::health::{Check, CheckSeen};
    use crate::probe::Phases;
    use crate::snapshot::{Backend, Board, FilesSeen, HealthSeen, Label, Observation, Role, Served, Trouble};
    use crate::ups::{Reading, Status, UpsFault};

    fn seen(kind: SourceKind, observation: Observation) -> Snapshot {
        let board = Board::default();
        let id = SourceId::own(kind, Label::new("a"));
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
            refused: BTreeMap::new(),
            strong_snmp: None,
        }])
    }

    fn endpoint(days: i64, refused: Option<&'static str>) -> Observation {
        Observation::Endpoint(ProbeSeen {
            target: Label::new("127.0.0.1:443"),
            server_name: Label::new("ups-01"),
            certificates: vec![certificate("ups-01", Role::Leaf, days)],
            flaws: None,
            outcome: Ok(Served {
                broken: None,
                refused,
                phases: Phases::default(),
                tls_version: Some("TLS 1.3"),
                cipher: None,
            }),
        })
    }

    #[test]
    fn a_pending_reboot_is_told_with_its_reasons_and_its_absence_only_where_it_is_known() {
        use RebootReason::{FileRename, WindowsUpdate};
        for (reboots, said) in [
            (vec![], "nothing on this host tells whether a reboot is pending"),
            (vec![(FileRename, false), (WindowsUpdate, false)], "no reboot is pending"),
            (vec![(FileRename, true), (WindowsUpdate, false)], "a reboot is pending (file_rename)"),
            (vec![(FileRename, true), (WindowsUpdate, true)], "a reboot is pending (file_rename, windows_update)"),
        ] {
            let reboots = Observation::Reboots(reboots.into_iter().collect());
            let items = items(&seen(SourceKind::Host, reboots), None, NOW);
            assert_eq!(items.iter().map(|item| item.said.as_str()).collect::<Vec<_>>(), [said]);
        }
    }

    /// What works is told as that, or needs attention, and never neither and never both.
    #[test]
    fn each_thing_is_told_once_as_working_or_as_needing_a_person() {
        let contents = |days| Contents::whole("jks", Some(true), vec![certificate("ups-01", Role::Leaf, days)]);
        let reading = |status| Reading { statuses: [status].into_iter().collect(), ..Reading::default() };
        for (kind, observation, works) in [
            (SourceKind::Agent, file(Ok(contents(300))), true),
            (SourceKind::Agent, file(Err(Trouble::new("bad_password", "no"))), false),
            (SourceKind::Agent, file(Ok(contents(-3))), false),
            (SourceKind::File, file(Ok(contents(300))), true),
            (SourceKind::File, file(Ok(contents(-3))), false),
            (SourceKind::Tls, endpoint(300, None), true),
            (SourceKind::Tls, endpoint(-3, None), false),
            (SourceKind::Tls, endpoint(300, Some("unknown_issuer")), false),
            (SourceKind::Ups, ups(Ok(reading(Status::Online))), true),
            (SourceKind::Ups, ups(Ok(reading(Status::OnBattery))), false),
            (SourceKind::Ups, ups(Err(Trouble::new(UpsFault::Connect, "refused"))), false),
            (SourceKind::Host, Observation::Host(Vec::new()), true),
            (SourceKind::Host, Observation::Reboots([(RebootReason::Packages, true)].into()), true),
        ] {
            let snapshot = seen(kind, observation);
            let (bad, good) = (attention::items(&snapshot, None, NOW), items(&snapshot, None, NOW));
            assert_eq!(
                (bad.len(), good.len()),
                (usize::from(!works), usize::from(works)),
                "{kind:?}: {bad:?} {good:?}"
            );
            assert!(good.iter().all(|item| item.severity == Severity::Fine));
            assert!(
                bad.iter().filter(|item| item.severity == Severity::Critical).all(|item| item.fix.is_some()),
                "{bad:?}"
            );
        }
    }

    /// The landing page has what needs a person, as the page of a check.
    #[test]
    fn a_check_of_hardening_that_fails_needs_a_person_and_the_sum_is_told_as_working() {
        let check = |verdict| CheckSeen { check: Check::SnmpV3Strong, verdict, detail: Label::new("it is not") };
        let checks = vec![check(CheckResult::Failed), check(CheckResult::Passed)];
        let health = HealthSeen { agent: None, directory: Label::new("/opt/Agent"), checks };
        let snapshot = seen(SourceKind::Health, Observation::Health(health));
        let bad = attention::items(&snapshot, None, NOW);
        assert_eq!(
            bad.iter().map(|item| (item.topic, item.severity)).collect::<Vec<_>>(),
            [(Topic::Hardening, Severity::Warning)]
        );
        assert!(bad[0].fix.as_deref().is_some_and(|fix| fix.starts_with("https://")), "{bad:?}");
        let good = items(&snapshot, None, NOW);
        assert_eq!(
            good.iter().map(|item| item.said.as_str()).collect::<Vec<_>>(),
            ["1 of 2 checks pass, 0 could not be made"]
        );
    }

    #[test]
    fn certificates_are_counted_with_the_first_that_ends() {
        let end = Some(NOW.as_second() + 300 * 86_400);
        assert_eq!(counted(0, None, NOW), "no certificates");
        assert_eq!(counted(1, end, NOW), "1 certificate (expires in 300 days)");
        assert_eq!(counted(144, None, NOW), "144 certificates");
        assert_eq!(counted(2, end, NOW), "2 certificates, the first of which expires in 300 days");
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
