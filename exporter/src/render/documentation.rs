//! The part of `docs/metrics.md` about this program: names, types and meanings are read from the tables, labels from a page on which every family has
//! a sample.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kagiban_agents::Product;
use kagiban_crds::host_api::{FunctionSighting, FunctionState, RotationState};

use super::table::{Family, Kind, encode};
use super::tests::certificate;
use super::{
    Program, Snapshot, alerts, by_host, certificates, client_logs, clients, compat, files, functions, health,
    inventory, only, probed, probes, products, program, repairs, rotations, shutdown,
};
use super::{sources, ups};
use crate::config::CompatSet;
use crate::health::{Check, CheckResult, CheckSeen};
use crate::platform::RebootReason;
use crate::probe::Phases;
use crate::shutdown::{Evidence, Load, Member, Scheduled, ShutdownKind, Sign};
use crate::snapshot::{
    Backend, Board, Contents, FailureSeen, FileSeen, FilesSeen, Flaws, FunctionSeen, HealthSeen, Label, Observation,
    Pass, ProbeSeen, RepairsSeen, Role, RotationSeen, SecretFileSeen, SeenCertificate, Served, SkippedFiles, SourceId,
    SourceKind, Trouble, UpsSeen,
};
use crate::ups::{Beeper, Quantity, Reading, SelfTest, ShutdownTrigger, TransferDirection, UpsFault, UpsIdentity};

const MARKS: [&str; 2] = ["<!-- kagiban-exporter: written by make docs -->\n", "<!-- end of kagiban-exporter -->\n"];

/// The tables in the order of the page.
const TABLES: [(&str, &str, &[Family<Snapshot>]); 16] = [
    ("Sources and configuration", "", sources::FAMILIES),
    (
        "Certificates",
        "The label `source` is the name of the source; `/probe` answers with `probe`.",
        certificates::FAMILIES,
    ),
    ("Files and keystores", "", files::FAMILIES),
    ("TLS endpoints", "`/probe` answers with these without the label `source`.", probes::FAMILIES),
    (
        "UPSes",
        "Which variable, field or object each is read from, and its states: [ups-metrics.md](ups-metrics.md).",
        ups::FAMILIES,
    ),
    ("Numbers of UPSes", "The label `phase` is there where a UPS has several lines.", ups::QUANTITIES),
    ("Shutdown of the host", "What the states mean: [shutdown.md](shutdown.md).", shutdown::FAMILIES),
    ("Rotations", "What the reasons mean: [rotation.md](rotation.md).", rotations::FAMILIES),
    ("Work of agents", "How an agent is asked: [rotation.md](rotation.md#proof-of-function).", functions::FAMILIES),
    ("Hardening of PowerChute", "What each check asks: [hardening.md](hardening.md).", health::FAMILIES),
    (
        "Releases of products",
        "Whom a vendor's notice concerns: [powerchute-business-edition.md](products/powerchute-business-edition.md#which-release), [skysea.md](products/skysea.md#which-problems-it-has).",
        products::FAMILIES,
    ),
    (
        "Alerts of SKYSEA Client View",
        "What is counted, and how: [skysea.md](products/skysea.md#what-is-counted).",
        alerts::FAMILIES,
    ),
    (
        "Clients without the certificate",
        "The security agents of an anti-virus server are called clients here. How they are listed: [apex-one.md](products/apex-one.md#which-agents-do-not-have-the-certificate).",
        clients::FAMILIES,
    ),
    (
        "Clients that refuse their server",
        "What is counted, and what is not known: [virus-buster-corp.md](products/virus-buster-corp.md#clients-that-refuse-the-server).",
        client_logs::FAMILIES,
    ),
    (
        "Inventory of Apex Central",
        "How it is read, and what it is good for: [apex-one.md](products/apex-one.md#apex-central).",
        inventory::FAMILIES,
    ),
    (
        "Repairs of clients",
        "How clients are repaired, and when: [apex-one.md](products/apex-one.md#the-clients).",
        repairs::FAMILIES,
    ),
];

const ENDED: Timestamp = Timestamp::constant(1_750_000_000, 0);

fn id(kind: SourceKind, name: &str) -> SourceId {
    SourceId::own(kind, Label::new(name))
}

/// A host of which everything can be told, and everything is wrong with something.
fn host() -> Snapshot {
    let board = Board::default();
    board.set_loads(vec![Load {
        name: Label::new("host"),
        members: vec![Member { source: Label::new("rack"), ups: Some(Label::new("nobody")) }],
        min_healthy: 1,
    }]);
    let passes = [
        (id(SourceKind::File, "files"), files_seen()),
        (id(SourceKind::Tls, "served"), endpoint(Ok(served(Some("expired"), None)))),
        (id(SourceKind::Tls, "broken"), endpoint(Ok(served(None, Some(Trouble::new("alert", "broken off")))))),
        (id(SourceKind::Tls, "down"), endpoint(Err(Trouble::new("connect", "refused")))),
        (id(SourceKind::Ups, "rack"), Observation::Upses(vec![heard()])),
        (id(SourceKind::Ups, "other"), Observation::Upses(vec![silent()])),
        (id(SourceKind::Host, "system"), Observation::Host(vec![going_down()])),
        (id(SourceKind::Host, "reboot"), Observation::Reboots([(RebootReason::WindowsUpdate, true)].into())),
        (id(SourceKind::Health, "powerchute"), Observation::Health(hardening())),
        (id(SourceKind::Function, "agent"), Observation::Function(not_working())),
        (
            id(SourceKind::Release, "/opt/pcbe/Agent"),
            Observation::Release(products::tests::release(Some("pbeagent-7.0.0-419"))),
        ),
        (id(SourceKind::Alerts, "skysea"), Observation::Alerts(alerts::tests::seen())),
        (id(SourceKind::Alerts, "virus-buster"), Observation::ClientLogs(client_logs::tests::seen())),
        (id(SourceKind::Clients, "apex-one"), Observation::Clients(clients::tests::seen())),
        (id(SourceKind::Inventory, "central.example.com"), Observation::Inventory(inventory::tests::seen())),
    ];
    // What can be seen of a host from outside: those families have the label `host`.
    let is_seen = |id: &SourceId| matches!(id.kind, SourceKind::Tls | SourceKind::Ups);
    let outside = passes
        .iter()
        .filter(|(id, _)| is_seen(id))
        .map(|(id, observation)| (SourceId { host: Some(Label::new("win-01")), ..id.clone() }, observation.clone()));
    let passes: Vec<_> = outside.collect::<Vec<_>>().into_iter().chain(passes).collect();
    board.expect(passes.iter().map(|(id, _)| (id.clone(), &["timeout"][..])));
    for (id, observation) in passes {
        board.publish(&id, Pass { observation, trouble: None, ended: ENDED, took: Duration::from_secs(1) });
    }
    board.note_reload(true, ENDED);
    board.note_web_config(true, ENDED);
    board.note_host_api(true);
    board.note_host_api_tls(true, Some(ENDED), Some(ENDED), ENDED);
    board.note_stop_timeout(Duration::from_secs(60));
    board.note_traps(true, &[("taken", 1)].into());
    board.note_secret_files(vec![SecretFileSeen { setting: "s".into(), path: "/p".into(), exposed: true }]);
    let failure = FailureSeen { reason: Label::new("timeout"), message: Label::new("") };
    let (state, decided_at) = (Some(RotationState::RolledBack), Some(ENDED));
    let seen = RotationSeen { generation: 1, state, failure: Some(failure), decided_at, ..RotationSeen::default() };
    board.note_repairs(
        &Label::new("agent"),
        RepairsSeen {
            results: [("repaired", 1)].into(),
            not_repaired: Some(0),
            never_tried: Some(0),
            ..RepairsSeen::default()
        },
    );
    board.note_rotation(&Label::new("agent"), Some(Trouble::new("journal", "bad")), Some(seen));
    board.snapshot()
}

fn not_working() -> FunctionSeen {
    let sighting = FunctionSighting { state: FunctionState::DoesNotWork, at: ENDED, failure: None };
    FunctionSeen { agent: Label::new("agent"), product: Product::TlsService, sighting, worked_at: Some(ENDED) }
}

fn files_seen() -> Observation {
    let flaws = Flaws { unread: vec![Trouble::new("malformed", "the second")], left_out: None };
    let noted = SeenCertificate { has_private_key: Some(true), ..certificate("alias", 0, Role::Leaf, "ups-01") };
    let certificates = vec![noted];
    let contents = Contents {
        password_empty: true,
        flaws: Some(Box::new(flaws)),
        ..Contents::whole("pkcs12", Some(true), certificates)
    };
    let file = FileSeen { path: Label::new("/srv/store"), modified: Some(1.5), outcome: Ok(contents) };
    let skipped = [("text", SkippedFiles { count: 1, first: Vec::new() })].into();
    Observation::Files(FilesSeen { files: vec![Arc::new(file)], skipped })
}

fn served(refused: Option<&'static str>, broken: Option<Trouble>) -> Served {
    let second = Duration::from_secs(1);
    let phases = Phases { dns: second, connect: second, handshake: second };
    Served {
        broken,
        refused,
        phases,
        tls_version: Some("TLS 1.3"),
        cipher: Some(Label::new("TLS13_AES_256_GCM_SHA384")),
    }
}

fn endpoint(outcome: Result<Served, Trouble>) -> Observation {
    let flaws = Flaws { unread: vec![Trouble::new("malformed", "the second")], left_out: None };
    Observation::Endpoint(ProbeSeen {
        target: Label::new("127.0.0.1:6547"),
        server_name: Label::new("ups-01"),
        certificates: vec![certificate("", 0, Role::Leaf, "ups-01")],
        flaws: Some(Box::new(flaws)),
        outcome,
    })
}

fn heard() -> UpsSeen {
    let word = |text: &str| Some(Label::new(text));
    let mut reading = Reading {
        identity: UpsIdentity {
            manufacturer: word("APC"),
            model: word("Smart-UPS 1500"),
            serial: word("AS1"),
            firmware: word("1"),
            driver: word("usbhid-ups"),
            driver_version: word("2.8.0"),
            description: word("rack"),
            location: word("Osaka"),
            battery_type: word("PbAc"),
        },
        unknown: vec![Label::new("NEW")],
        transfers: [(TransferDirection::OnBattery, ENDED)].into(),
        transfer_cause: word("blackout"),
        self_test: Some(SelfTest::Passed),
        beeper: Some(Beeper::Enabled),
        ..Reading::default()
    };
    reading.raise("overload");
    reading.switch("1", true);
    for quantity in Quantity::ALL {
        reading.values.put_at(quantity, Some(Label::new("L1")), quantity.facts().range.0);
    }
    UpsSeen { strong_snmp: Some(true), refused: [("ups_load_ratio", 1)].into(), ..ups("rack", Ok(Box::new(reading))) }
}

fn silent() -> UpsSeen {
    ups("other", Err(Trouble::new(UpsFault::Connect, "refused")))
}

fn ups(name: &str, outcome: Result<Box<Reading>, Trouble<UpsFault>>) -> UpsSeen {
    let (ups, target) = (Label::new(name), Label::new("127.0.0.1:161"));
    let (feeds_host, contradictions) = (true, 0);
    UpsSeen {
        ups,
        backend: Backend::Snmp,
        target,
        feeds_host,
        contradictions,
        outcome,
        refused: [].into(),
        strong_snmp: None,
    }
}

fn going_down() -> Evidence {
    let at = Timestamp::constant(1_750_000_600, 0);
    Evidence {
        triggers: [ShutdownTrigger::SystemdSchedule].into(),
        deadline: Some(at),
        scheduled: Some(Scheduled { kind: ShutdownKind::Reboot, at, dry_run: false }),
        cause: Some(Label::new("kernel")),
        ..Evidence::new(Sign::Scheduled)
    }
}

fn hardening() -> HealthSeen {
    let check = |check, verdict| CheckSeen { check, verdict, detail: Label::new("") };
    let checks = vec![
        check(Check::ALL[0], CheckResult::Passed),
        check(Check::ALL[1], CheckResult::Unknown("permission_denied")),
    ];
    HealthSeen { agent: Some(Label::new("powerchute")), directory: Label::new("/opt/agent"), checks }
}

/// The names of labels, by the name of the family without `_total`.
type LabelNames = BTreeMap<String, Vec<String>>;

fn label_names(open_metrics: &str) -> LabelNames {
    let mut found = LabelNames::new();
    let mut family = String::new();
    for line in open_metrics.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            family = typed.split(' ').next().unwrap_or_default().to_owned();
        } else if !line.starts_with('#') {
            let known = found.entry(family.clone()).or_default();
            let labels = line.split_once('{').map_or("", |(_, rest)| rest);
            // No value on this page has a quote or an equals sign.
            let names = labels.split(['{', ',', '}']).filter_map(|label| Some(label.split_once("=\"")?.0.to_owned()));
            for name in names.filter(|name| !known.contains(name)).collect::<Vec<_>>() {
                known.push(name);
            }
        }
    }
    found
}

fn row<T>(family: &Family<T>, labels: &LabelNames) -> String {
    let (name, kind) = name_and_type(family);
    let labels = labels.get(family.name).unwrap_or_else(|| panic!("{name} has no sample: `host` shall tell one"));
    let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{name}` | {kind} | {} | {} | {} |\n", unit(&name), labels.join(", "), cell(family.help))
}

fn name_and_type<T>(family: &Family<T>) -> (String, &'static str) {
    match family.kind {
        Kind::Counter => (format!("{}_total", family.name), "counter"),
        Kind::Gauge => (family.name.to_owned(), "gauge"),
    }
}

/// As the naming rules of Prometheus have it: the name says the unit.
fn unit(name: &str) -> &'static str {
    let stem = name.trim_end_matches("_total");
    let units = [
        ("_timestamp_seconds", "s since 1970"),
        ("_start_time_seconds", "s since 1970"),
        ("_seconds", "s"),
        ("_ratio", "ratio"),
        ("_bytes", "bytes"),
        ("_volts", "V"),
        ("_amperes", "A"),
        ("_hertz", "Hz"),
        ("_watts", "W"),
        ("_voltamperes", "VA"),
        ("_celsius", "°C"),
    ];
    units.into_iter().find(|(suffix, _)| stem.ends_with(suffix)).map_or("", |(_, unit)| unit)
}

fn cell(help: &str) -> String {
    help.replace('|', "\\|")
}

fn document() -> String {
    let host = host();
    let mut out = String::new();
    for (title, said, families) in TABLES {
        section(&mut out, title, said);
        let labels = label_names(&encode(families, &by_host(&host)));
        out.extend(families.iter().map(|family| row(family, &labels)));
    }
    section(&mut out, "The program itself", "");
    let labels = label_names(&encode(program::FAMILIES, &only(&Program::sample())));
    out.extend(program::FAMILIES.iter().map(|family| row(family, &labels)));
    out += "\n### Names of other exporters\n\nWith `compat` in the configuration, with the labels that those exporters give them: [compat.md](compat.md).\n\n";
    out += "| metric | type | set | where | meaning |\n|---|---|---|---|---|\n";
    for set in CompatSet::ALL {
        for family in compat::families(set) {
            alias(&mut out, family, set, "/metrics");
        }
        for family in probed::families(set) {
            alias(&mut out, family, set, "/probe");
        }
    }
    out
}

fn section(out: &mut String, title: &str, said: &str) {
    let separator = if said.is_empty() { "" } else { "\n\n" };
    write!(out, "\n### {title}\n\n{said}{separator}").expect("a string");
    *out += "| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n";
}

fn alias<T>(out: &mut String, family: &Family<T>, set: CompatSet, path: &str) {
    let (name, kind) = name_and_type(family);
    writeln!(out, "| `{name}` | {kind} | `{}` | `{path}` | {} |", set.as_str(), cell(family.help)).expect("a string");
}

#[test]
fn the_documentation_of_every_metric_is_what_the_program_tells() {
    kagiban_docs::check_part("docs/metrics.md", MARKS, &document()).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn no_metric_is_told_by_two_tables() {
    let own = TABLES.into_iter().flat_map(|(.., families)| families).map(|family| family.name);
    let mut seen = BTreeSet::new();
    let twice: Vec<_> =
        own.chain(program::FAMILIES.iter().map(|family| family.name)).filter(|name| !seen.insert(*name)).collect();
    assert!(twice.is_empty(), "{twice:?}");
}
