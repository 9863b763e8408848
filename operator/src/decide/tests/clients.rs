//! Whether a server's clients have its certificate, as conditions and events tell it.

use kagiban_crds::host_api::{ClientsReport, RENEWED, UNHEEDED};

use super::trigger::{made, self_renewing, serving};
use super::*;
use crate::decide::EventKind;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A server whose agent is as it should be, and its resource as the operator has left it.
fn server() -> (Resource, AgentReport) {
    let mut resource = self_renewing();
    resource.spec.agent.product = Product::ApexOne;
    let report = AgentReport { product: "apex-one".into(), ..serving(&made(now(), 90 * DAY), now()) };
    resource.status = decided(&resource, &report, now()).status;
    assert!(told(&resource.status).is_none(), "nobody lists its clients");
    (resource, report)
}

fn listed(listed: u64, names: &[&str]) -> ClientsReport {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let not_repaired = Some(names.len().try_into().expect("few"));
    ClientsReport { listed: Some(listed), listed_at: Some(now()), not_repaired, names, ..ClientsReport::default() }
}

fn with(report: &AgentReport, clients: ClientsReport) -> AgentReport {
    AgentReport { clients: Some(clients), ..report.clone() }
}

/// The status, the reason and the message.
fn told(status: &ManagedAgentCertificateStatus) -> Option<(&str, &str, &str)> {
    let mut conditions = status.conditions.iter();
    let told = conditions.find(|condition| condition.type_ == "ClientsMatch")?;
    Some((&told.status, &told.reason, &told.message))
}

fn held() -> Option<Failure> {
    Some(Failure { reason: "in_use".into(), message: "another exporter repairs them".into() })
}

fn failed() -> ClientsReport {
    let failure = Failure { reason: "timed_out".into(), message: "it did not end".into() };
    ClientsReport { failure: Some(failure), ..ClientsReport::default() }
}

#[test]
fn a_server_tells_whether_its_clients_match_and_is_ready_all_the_same() {
    let (resource, report) = server();
    for (clients, expected) in [
        (listed(0, &[]), ("True", "ClientsMatch", "all of its clients have its certificate")),
        (listed(1, &[]), ("False", "ClientsDiffer", "1 client does not have its certificate")),
        (listed(1500, &[]), ("False", "ClientsDiffer", "1500 clients do not have its certificate")),
        (
            listed(7, &["PC-01"]),
            (
                "False",
                "ClientsStay",
                "1 client stays without its certificate after every attempt to repair them, or with a name that is none of a host, on \
                 which no attempt can be made: PC-01; the vendor's next step: where that does not help: install the agent again",
            ),
        ),
        (
            failed(),
            (
                "Unknown",
                "ClientsUnknown",
                "which of its clients do not have its certificate could not be listed: timed_out: it did not end",
            ),
        ),
        (
            ClientsReport { not_repaired: Some(3), ..listed(3, &[]) },
            (
                "False",
                "ClientsStay",
                "3 clients stay without its certificate after every attempt to repair them, or with a name that is none of a host, on \
                 which no attempt can be made: the list names none of them; the vendor's next step: where that does not help: install \
                 the agent again",
            ),
        ),
        (
            ClientsReport { not_repaired: Some(3), never_tried: Some(1), ..listed(3, &["PC-01"]) },
            (
                "False",
                "ClientsStay",
                "3 clients stay without its certificate after every attempt to repair them, but for 1 with no name that leads to \
                 another host, on which none can be made: PC-01 and 2 more; the vendor's next step: where that does not help: install the agent again",
            ),
        ),
        (
            ClientsReport { held: held(), ..listed(2, &[]) },
            (
                "False",
                "ClientsDiffer",
                "2 clients do not have its certificate; no further client is repaired now: in_use: another exporter repairs them",
            ),
        ),
        (ClientsReport::default(), ("Unknown", "ClientsUnknown", "its clients were not listed yet")),
    ] {
        let status = decided(&resource, &with(&report, clients), now()).status;
        assert_eq!(told(&status), Some(expected));
        assert_eq!(condition(&status, "Ready").0, "True");
    }
}

#[test]
fn clients_that_stay_are_an_event_that_names_them_and_it_is_told_again_only_when_they_are_others() {
    let (mut resource, report) = server();
    let stay = Some((EventKind::Warning, Reason::ClientsStay));
    for (clients, expected) in [
        (listed(5, &[]), None),
        (listed(5, &["PC-01", "PC-02"]), stay),
        (ClientsReport { held: held(), ..listed(5, &["PC-01", "PC-02"]) }, None),
        // Others are repaired meanwhile.
        (listed(3, &["PC-01", "PC-02"]), None),
        (ClientsReport::default(), None),
        (listed(3, &["PC-01", "PC-02"]), None),
        (listed(3, &["PC-01", "PC-02", "PC-03"]), stay),
        (listed(0, &[]), None),
    ] {
        let decision = decided(&resource, &with(&report, clients), now());
        let events: Vec<_> = decision.events.iter().map(|event| (event.kind, event.reason)).collect();
        assert_eq!(events, expected.into_iter().collect::<Vec<_>>(), "{:?}", decision.events);
        for event in &decision.events {
            assert!(event.message.contains("PC-01, PC-02") && event.message.contains("install the agent again"));
        }
        resource.status = decision.status;
    }
}

/// What changes at every look would be written at every look.
#[test]
fn a_list_that_is_made_anew_and_says_the_same_changes_no_word() {
    let (resource, report) = server();
    for clients in [listed(3, &[]), listed(3, &["PC-01"]), listed(0, &[])] {
        let later = ClientsReport { listed_at: "2026-03-01T13:00:00Z".parse().ok(), ..clients.clone() };
        let status = |clients| decided(&resource, &with(&report, clients), now()).status;
        assert_eq!(told(&status(clients)), told(&status(later)));
    }
}

#[test]
fn while_nothing_was_listed_since_a_start_what_was_known_stands_and_of_a_host_that_is_not_seen_nothing_is_known() {
    let (mut resource, report) = server();
    let gone = Obstacle::new(BlockedBy::HostUnreachable, "it does not answer");
    assert!(told(&decided_unseen(&resource, &gone, now()).status).is_none(), "it was never told");
    resource.status = decided(&resource, &with(&report, listed(2, &["PC-01"])), now()).status;
    let started = decided(&resource, &with(&report, ClientsReport::default()), now()).status;
    assert_eq!(told(&started), told(&resource.status));
    let unseen = decided_unseen(&resource, &gone, now()).status;
    assert_eq!(condition(&unseen, "ClientsMatch"), ("Unknown", "HostUnreachable"));
    resource.status = decided(&resource, &report, now()).status;
    assert!(told(&resource.status).is_none(), "its host lists them no more");
}

/// Between its last list and its exporter's start it may have got another certificate.
#[test]
fn that_all_clients_have_the_certificate_is_not_known_before_a_list_says_so() {
    let (mut resource, report) = server();
    resource.status = decided(&resource, &with(&report, listed(0, &[])), now()).status;
    let started = decided(&resource, &with(&report, ClientsReport::default()), now()).status;
    assert_eq!(condition(&started, "ClientsMatch"), ("Unknown", "ClientsUnknown"));
}

/// A host that lies fills no status.
#[test]
fn ten_clients_are_named_and_the_rest_is_counted_whatever_the_host_tells() {
    let (resource, report) = server();
    let names: Vec<_> = (0..10).map(|number| format!("PC-{number:02}")).collect();
    let clients = ClientsReport { not_repaired: Some(1234), names, ..listed(5000, &[]) };
    let status = decided(&resource, &with(&report, clients.clone()), now()).status;
    let message = told(&status).expect("it is told").2;
    assert!(message.starts_with("1234 clients stay ") && message.contains("PC-09 and 1224 more"), "{message}");
    let held = held().map(|held| Failure { message: "x\u{202e}".repeat(100_000), ..held });
    let hostile = ClientsReport { names: vec!["x\\n\u{202e}".repeat(100_000); 10], held, ..clients };
    let decision = decided(&resource, &with(&report, hostile), now());
    assert!(told(&decision.status).expect("it is told").2.len() <= 1024);
    assert!(decision.events.iter().all(|event| event.message.len() <= 1024 && !event.message.contains('\u{202e}')));
}

/// Its exporter was started beside another one, or cannot read its record for now.
#[test]
fn clients_that_stay_are_told_until_it_is_known_that_they_do_not() {
    let (mut resource, report) = server();
    let staying = ClientsReport { never_tried: Some(0), ..listed(2, &["PC-01"]) };
    resource.status = decided(&resource, &with(&report, staying), now()).status;
    let unknown = ClientsReport { not_repaired: None, held: held(), ..listed(2, &[]) };
    for _ in 0..2 {
        let verdict = decided(&resource, &with(&report, unknown.clone()), now());
        let (status, reason, message) = told(&verdict.status).expect("it is told");
        assert_eq!((status, reason), ("False", "ClientsStay"));
        assert!(message.contains(": PC-01; the vendor") && message.matches("in_use").count() == 1, "{message}");
        resource.status = verdict.status;
    }
    let status = decided(&resource, &with(&report, listed(2, &[])), now()).status;
    assert_eq!(told(&status).map(|(_, reason, _)| reason), Some("ClientsDiffer"), "none stays");
}

/// Until the next resync the page would say of a renewal that nobody knows whom it has reached.
#[test]
fn after_a_renewal_the_list_that_its_host_makes_then_is_waited_for_by_the_minute() {
    let (resource, report) = server();
    let renewed = Failure { reason: RENEWED.into(), message: "listed anew after it".into() };
    let renewed = ClientsReport { failure: Some(renewed), ..ClientsReport::default() };
    for (clients, minutes) in [(renewed, 1), (failed(), 5), (listed(1, &[]), 5)] {
        let step = decided(&resource, &with(&report, clients.clone()), now()).step;
        assert_eq!(
            step,
            Step::Idle { until: crate::decide::renewal::later(now(), Duration::from_mins(minutes)) },
            "{clients:?}"
        );
    }
}

/// Those that run may take minutes, and are those that stay.
#[test]
fn while_repairs_do_not_go_by_the_newest_list_yet_those_that_stayed_stand_and_nothing_is_told_anew() {
    let (mut resource, report) = server();
    resource.status = decided(&resource, &with(&report, listed(2, &["PC-01"])), now()).status;
    let before = told(&resource.status)
        .map(|(status, reason, message)| (status.to_owned(), reason.to_owned(), message.to_owned()));
    let why = Failure { reason: UNHEEDED.into(), message: "what runs is to end first".into() };
    let unheeded = ClientsReport { not_repaired: None, held: Some(why), ..listed(3, &[]) };
    let decision = decided(&resource, &with(&report, unheeded.clone()), now());
    let after = told(&decision.status)
        .map(|(status, reason, message)| (status.to_owned(), reason.to_owned(), message.to_owned()));
    assert_eq!(after, before);
    assert!(decision.events.is_empty(), "{:?}", decision.events);
    // After a renewal nobody is said to stay before the repairs know.
    resource.status.conditions.retain(|condition| condition.type_ != "ClientsMatch");
    let status = decided(&resource, &with(&report, unheeded), now()).status;
    assert_eq!(told(&status), Some(("False", "ClientsDiffer", "3 clients do not have its certificate")));
}
