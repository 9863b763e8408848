//! The page as people get it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kagiban_html::STYLE;

use super::*;
use crate::overview::Severity;
use crate::overview::samples::{NOW, certificate};
use crate::probe::Phases;
use crate::snapshot::{
    Backend, Board, Contents, FileSeen, Label, Observation, Pass, ProbeSeen, Role, Served, SourceId, SourceKind,
    Trouble, UpsSeen, UpsTrouble,
};
use crate::ups::{Quantity, Reading, Status, UpsFault};

fn ups(name: &str, outcome: Result<Reading, UpsTrouble>) -> UpsSeen {
    let (ups, target) = (Label::new(name), Label::new("127.0.0.1:3493"));
    let (feeds_host, outcome) = (name == "rack-a", outcome.map(Box::new));
    let refused = BTreeMap::new();
    UpsSeen { ups, backend: Backend::Nut, target, feeds_host, outcome, contradictions: 0, refused, strong_snmp: None }
}

fn reading(statuses: &[Status], values: &[(Quantity, f64)]) -> Reading {
    let mut reading = Reading { statuses: statuses.iter().copied().collect(), ..Reading::default() };
    reading.identity.model = Some(Label::new("Smart-UPS 1500"));
    for (quantity, value) in values {
        reading.values.put(*quantity, *value);
    }
    reading
}

/// A host on which nearly everything is wrong, with `name` wherever a name comes from outside.
fn snapshot(name: &str) -> Snapshot {
    let board = Board::default();
    let id = |kind, name: &str| SourceId::own(kind, Label::new(name));
    let sources = [
        (
            id(SourceKind::File, "fleet"),
            Observation::Files(
                vec![
                    Arc::new(FileSeen {
                        path: Label::new(&format!("/srv/certs/{name}")),
                        modified: None,
                        outcome: Ok(Contents::whole(
                            "jks",
                            None,
                            vec![
                                certificate(name, Role::Leaf, 300),
                                certificate("old", Role::Leaf, -3),
                                certificate("old root", Role::Trusted, -900),
                                certificate("soon", Role::Leaf, 12),
                            ],
                        )),
                    }),
                    Arc::new(FileSeen {
                        path: Label::new("/srv/certs/junk"),
                        modified: None,
                        outcome: Err(Trouble::new("malformed", format!("/srv/certs/junk: {name} is no store"))),
                    }),
                ]
                .into(),
            ),
        ),
        (
            id(SourceKind::Tls, "powerchute"),
            Observation::Endpoint(ProbeSeen {
                target: Label::new("127.0.0.1:6547"),
                server_name: Label::new(name),
                certificates: vec![certificate("served", Role::Leaf, 90)],
                flaws: None,
                outcome: Ok(Served {
                    broken: None,
                    refused: Some("self_signed"),
                    phases: Phases::default(),
                    tls_version: Some("TLS 1.3"),
                    cipher: None,
                }),
            }),
        ),
        (
            id(SourceKind::Ups, "racks"),
            Observation::Upses(vec![
                ups(
                    "rack-a",
                    Ok(reading(
                        &[Status::OnBattery, Status::Discharging, Status::LowBattery],
                        &[(Quantity::BatteryCharge, 0.134), (Quantity::BatteryRuntime, 250.0), (Quantity::Load, 0.42)],
                    )),
                ),
                ups(
                    "rack-b",
                    Ok(reading(
                        &[Status::Online],
                        &[(Quantity::BatteryCharge, 1.0), (Quantity::BatteryRuntime, 4000.0)],
                    )),
                ),
                ups(name, Err(Trouble::new(UpsFault::DriverNotConnected, "upsd has lost its driver"))),
            ]),
        ),
        (id(SourceKind::Agent, "/opt/agent"), Observation::Nothing),
    ];
    board.expect(sources.iter().map(|(id, _)| (id.clone(), &[][..])).chain([(id(SourceKind::Tls, "waits"), &[][..])]));
    for (id, observation) in sources {
        let failed = matches!(observation, Observation::Nothing);
        let trouble = failed.then(|| Trouble::new("not_found", format!("{name}: not found")));
        board.publish(&id, Pass { observation, trouble, ended: NOW, took: Duration::ZERO });
    }
    board.note_reload(false, NOW);
    board.snapshot()
}

fn page(host: &str, snapshot: &Snapshot) -> String {
    let metrics = "/metrics".parse().expect("a path");
    LandingPage { host, metrics: &metrics, snapshot, now: NOW, shutdown: None, probes: true }.html()
}

#[test]
fn the_page_of_a_host_with_trouble() {
    let page = page("ups-01.example.com", &snapshot("ups-01"));
    let page = page.replace(STYLE, "STYLE").replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!(page);
}

#[test]
fn a_page_without_trouble_says_so_and_has_no_empty_tables() {
    let page = page("ups-01", &Board::default().snapshot());
    assert!(page.contains("<p>Nothing.</p>") && !page.contains("<table>"));
}

#[test]
fn what_comes_from_outside_cannot_become_markup() {
    let hostile = "<script>alert('1')</script>\"&";
    let page = page(hostile, &snapshot(hostile));
    assert!(!page.contains("<script") && !page.contains("\"&<") && page.contains("&lt;script&gt;alert(&#39;1&#39;)"));
}

#[test]
fn every_table_can_be_read_aloud_and_every_colour_repeats_a_word() {
    let page = page("ups-01", &snapshot("ups-01"));
    let count = |what: &str| page.matches(what).count();
    assert_eq!((count("<table>"), count("<caption>")), (5, 5));
    assert_eq!(count("<tr>"), count("scope=\"row\"") + count("<thead>"));
    for coloured in page.split("class=\"bad\">").skip(1).chain(page.split("class=\"soon\">").skip(1)) {
        assert!(coloured.starts_with(char::is_alphabetic), "{coloured:.40}");
    }
    assert!(!page.contains("src=") && !page.contains("url(") && !page.contains("http"), "nothing from elsewhere");
}

#[test]
fn a_shutdown_is_the_first_thing_to_be_said() {
    let view = ShutdownView {
        severity: Severity::Critical,
        state: "shutdown in progress",
        since: NOW,
        trigger: Some("<nut_fsd>".to_owned()),
        deadline: Some(NOW + jiff::SignedDuration::from_secs(90)),
        has_begun: true,
    };
    let mut out = String::new();
    attention::section(&mut out, &snapshot("x"), Some(&view), NOW).expect("it is written");
    shutdown::section(&mut out, Some(&view), NOW).expect("it is written");
    let first = out.lines().find(|line| line.starts_with("<li>")).expect("there are some");
    assert!(first.contains("This host: shutdown in progress, because of &lt;nut_fsd&gt;, in 1 min"), "{first}");
    assert!(out.contains("since 2025-06-15"));
    assert_eq!(out.matches("run `kagiban-exporter shutdown clear`").count(), 2, "the remedy is named: {out}");
}

/// Holds R5: one of two feeds is left: nothing goes down, and somebody should know.
#[test]
fn a_load_that_has_lost_a_feed_needs_attention() {
    use crate::shutdown::{Load, Member};

    let id = SourceId::own(SourceKind::Ups, Label::new("racks"));
    for (min_healthy, word) in [(1, "Warning:"), (2, "Critical:")] {
        let board = Board::default();
        let member = |ups| Member { source: Label::new("racks"), ups: Some(Label::new(ups)) };
        let members = vec![member("rack-a"), member("rack-x")];
        board.expect([(id.clone(), &[][..])]);
        board.set_loads(vec![Load { name: Label::new("server"), members, min_healthy }]);
        let observation = Observation::Upses(vec![ups("rack-a", Ok(reading(&[Status::Online], &[])))]);
        board.publish(&id, Pass { observation, trouble: None, ended: NOW, took: Duration::ZERO });
        let page = page("ups-01", &board.snapshot());
        let said = page.lines().find(|line| line.contains("Load server")).expect("it is told");
        let needed = format!("1 of 2 UPSes healthy, {min_healthy} needed");
        assert!(said.contains(word) && said.contains(&needed), "{said}");
    }
}

/// However many of them are in trouble, what this host needs is at the top, and the worst of them at the top of their table.
#[test]
fn outside_hosts_come_after_this_host_and_have_a_row_each() {
    let board = Board::default();
    let own = SourceId::own(SourceKind::Tls, Label::new("own"));
    let hosts: Vec<_> =
        (0..40).map(|at| SourceId { host: Some(Label::new(&format!("win-{at}"))), ..own.clone() }).collect();
    board.expect([&own].into_iter().chain(&hosts).map(|id| (id.clone(), &[][..])));
    let endpoint = |outcome: Result<(), Trouble>, days| {
        let served = |()| Served {
            broken: None,
            refused: None,
            phases: Phases::default(),
            tls_version: Some("TLS 1.3"),
            cipher: None,
        };
        let certificates = outcome.iter().map(|()| certificate("console", Role::Leaf, days)).collect();
        let (target, server_name) = (Label::new("h:4343"), Label::new("console"));
        let outcome = outcome.map(served);
        let seen = ProbeSeen { target, server_name, certificates, flaws: None, outcome };
        Pass { observation: Observation::Endpoint(seen), trouble: None, ended: NOW, took: Duration::ZERO }
    };
    board.publish(&own, endpoint(Ok(()), 3));
    for (at, id) in hosts.iter().enumerate().take(39) {
        let down = Err(Trouble::new("connect", "refused"));
        board.publish(id, if at < 5 { endpoint(Ok(()), 300) } else { endpoint(down, 0) });
    }
    let html = page("ups-01", &board.snapshot());
    let place = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} is not in\n{html}"));
    assert!(place("Needs attention (35)") < place("Certificate CN=console: expires in 3 days"));
    assert!(place("expires in 3 days") < place("win-10: Endpoint h:4343: refused (connect)"));
    assert!(place("Hosts looked at from here (40)") < place("<th scope=\"row\">win-10</th>"));
    assert!(place("<th scope=\"row\">win-10</th>") < place("<th scope=\"row\">win-0</th>"));
    assert!(html.contains("well</td>") && html.contains("not looked at yet</td>"));
    assert!(html.contains("<caption>Endpoints (1)"), "those of this host are told by themselves");
}
