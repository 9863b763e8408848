//! The exposition as a user sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{ExpositionFormat, Program, Rendered};
use crate::config::CompatSet;
use crate::platform::RebootReason;
use crate::probe::Phases;
use crate::snapshot::{
    Backend, Board, CertificateFacts, Contents, FileSeen, FilesSeen, Flaws, Label, Observation, Pass, ProbeSeen, Role,
    SeenCertificate, Served, Snapshot, SourceId, SourceKind, Trouble, UpsSeen,
};
use crate::ups::{Quantity, Reading, Status};

pub(super) fn certificate(alias: &str, chain_index: usize, role: Role, name: &str) -> SeenCertificate {
    let facts = CertificateFacts {
        sha256: [0xab; 32],
        subject: Label::new(&format!("CN={name}")),
        issuer: Label::new("CN=Fleet CA"),
        subject_cn: Some(Label::new(name)),
        issuer_cn: Some(Label::new("Fleet CA")),
        serial: Label::new("1f"),
        not_before: 1_700_000_000,
        not_after: 1_800_000_000,
        san: Label::new("a.example.com,192.0.2.1"),
        key_algorithm: Label::new("RSA"),
        key_bits: Some(Label::new("2048")),
        signature_algorithm: Label::new("SHA256withRSA"),
    };
    SeenCertificate { alias: Label::new(alias), chain_index, role, has_private_key: None, facts: Arc::new(facts) }
}

fn pass(observation: Observation) -> Pass {
    Pass { observation, trouble: None, ended: Timestamp::constant(1_750_000_000, 0), took: Duration::from_millis(250) }
}

fn snapshot() -> Snapshot {
    let board = Board::default();
    let files = SourceId::own(SourceKind::File, Label::new("fleet"));
    let good = SourceId::own(SourceKind::Tls, Label::new("good"));
    let down = SourceId::own(SourceKind::Tls, Label::new("down"));
    let waits = SourceId::own(SourceKind::Agent, Label::new("/opt/agent"));
    board.expect([
        (files.clone(), &["malformed", "timeout"][..]),
        (good.clone(), &["timeout"][..]),
        (down.clone(), &["connect"][..]),
        (waits, &["timeout"][..]),
    ]);
    let certificates = vec![
        certificate("securekey", 0, Role::Leaf, "ups-01"),
        certificate("root \"quoted\"\\", 0, Role::Trusted, "Root"),
    ];
    let store = Contents::whole("jks", Some(false), certificates);
    let file = |path: &str, outcome| Arc::new(FileSeen { path: Label::new(path), modified: Some(1.5), outcome });
    board.publish(
        &files,
        pass(Observation::Files(
            vec![
                file("/srv/junk", Err(Trouble::new("malformed", "/srv/junk: not a store"))),
                file("/srv/store", Ok(store)),
            ]
            .into(),
        )),
    );
    let served = Served {
        broken: None,
        refused: Some("expired"),
        phases: Phases { dns: Duration::ZERO, connect: Duration::from_millis(1), handshake: Duration::from_millis(2) },
        tls_version: Some("TLS 1.3"),
        cipher: Some(Label::new("TLS13_AES_256_GCM_SHA384")),
    };
    let probe = |target: &str, outcome: Result<Served, Trouble>| {
        let certificates = outcome.iter().map(|_| certificate("", 0, Role::Leaf, "ups-01")).collect();
        let (target, server_name) = (Label::new(target), Label::new("ups-01"));
        Observation::Endpoint(ProbeSeen { target, server_name, certificates, flaws: None, outcome })
    };
    board.publish(&good, pass(probe("127.0.0.1:6547", Ok(served))));
    board.publish(&down, pass(probe("127.0.0.1:1", Err(Trouble::new("connect", "refused")))));
    board.note_reload(true, Timestamp::constant(1_740_000_000, 0));
    board.snapshot()
}

/// Without what the program says of itself.
pub(super) fn body(snapshot: &Snapshot, format: ExpositionFormat, compat: &[CompatSet]) -> String {
    let parts: Vec<_> = Rendered::new(snapshot, compat).0.iter().map(|table| table.in_format(format)).collect();
    String::from_utf8(parts.concat()).expect("UTF-8")
}

#[test]
fn a_snapshot_in_open_metrics() {
    insta::assert_snapshot!(body(&snapshot(), ExpositionFormat::OpenMetrics, &[]));
}

#[test]
fn a_snapshot_in_the_older_text_format() {
    insta::assert_snapshot!(body(&snapshot(), ExpositionFormat::Text, &[]));
}

#[test]
fn only_open_metrics_ends_with_its_mark_and_only_once() {
    let rendered = Rendered::new(&snapshot(), &[]);
    let program = Program::now(Timestamp::UNIX_EPOCH);
    let whole = |format| {
        let parts = rendered.answer(format, &program);
        String::from_utf8(parts.concat()).expect("UTF-8")
    };
    assert_eq!(whole(ExpositionFormat::OpenMetrics).matches("# EOF\n").count(), 1);
    assert!(whole(ExpositionFormat::OpenMetrics).ends_with("\n# EOF\n"));
    assert!(!whole(ExpositionFormat::Text).contains("# EOF"));
    assert!(
        whole(ExpositionFormat::Text).contains("\nprocess_cpu_seconds_total "),
        "{}",
        whole(ExpositionFormat::Text)
    );
}

#[test]
fn every_family_has_one_line_of_help_and_a_name_of_its_own() {
    let of_snapshots = [
        super::sources::FAMILIES,
        super::certificates::FAMILIES,
        super::files::FAMILIES,
        super::probes::FAMILIES,
        super::ups::FAMILIES,
        super::ups::QUANTITIES,
        super::shutdown::FAMILIES,
    ];
    let mut names: Vec<_> = of_snapshots.into_iter().flatten().map(|f| (f.name, f.help)).collect();
    names.extend(super::program::FAMILIES.iter().map(|f| (f.name, f.help)));
    for (name, help) in &names {
        assert!(help.ends_with('.') && !help.contains(['\n', '\\']), "{name}: {help}");
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup_by_key(|(name, _)| *name);
    assert_eq!(names.len(), count);
}

/// Holds that what is not known is no sample: on most systems of Linux nothing tells of a pending reboot.
#[test]
fn a_pending_reboot_is_told_by_reason_and_not_at_all_where_nothing_tells() {
    let told = |reboots: &[(RebootReason, bool)]| {
        let (board, id) = (Board::default(), SourceId::own(SourceKind::Host, Label::new("reboot")));
        board.expect([(id.clone(), &[][..])]);
        board.publish(&id, pass(Observation::Reboots(reboots.iter().copied().collect())));
        let text = body(&board.snapshot(), ExpositionFormat::Text, &[]);
        let samples = text.lines().filter(|line| line.starts_with("host_reboot_pending"));
        samples.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        told(&[(RebootReason::WindowsUpdate, true), (RebootReason::FileRename, false)]),
        ["host_reboot_pending{reason=\"file_rename\"} 0", "host_reboot_pending{reason=\"windows_update\"} 1"]
    );
    assert!(told(&[]).is_empty());
}

#[test]
fn a_host_that_goes_down() {
    use crate::shutdown::{Evidence, Scheduled, ShutdownKind, Sign};
    use crate::ups::ShutdownTrigger;

    let (board, system) = (Board::default(), SourceId::own(SourceKind::Host, Label::new("system")));
    board.expect([(system.clone(), &[][..])]);
    let told = |board: &Board| body(&board.snapshot(), ExpositionFormat::Text, &[]);
    assert!(!told(&board).contains("host_shutdown"), "nobody has said anything");

    let at = Timestamp::constant(1_750_000_600, 0);
    let plan = |dry_run| Evidence {
        triggers: [ShutdownTrigger::SystemdSchedule].into(),
        deadline: Some(at),
        scheduled: Some(Scheduled { kind: ShutdownKind::Reboot, at, dry_run }),
        cause: Some(Label::new("new \"kernel\"")),
        ..Evidence::new(Sign::Scheduled)
    };
    let observation = Observation::Host(vec![plan(false), plan(true)]);
    let ended = Timestamp::constant(1_750_000_000, 0);
    board.publish(&system, Pass { observation, trouble: None, ended, took: Duration::ZERO });
    let text = told(&board);
    let ours: Vec<_> = text.lines().filter(|line| line.contains("host_shutdown")).collect();
    insta::assert_snapshot!(ours.join("\n"));
}

/// Holds R7: an endpoint tells what of its chain cannot be read, as a file does, and the rest is published.
#[test]
fn what_can_be_read_of_a_chain_is_published_and_what_cannot_is_told_whether_the_leaf_is_among_it_or_not() {
    let id = SourceId::own(SourceKind::Tls, Label::new("odd"));
    let flaws = Flaws { unread: vec![Trouble::new("malformed", "certificate 1 of the chain")], left_out: None };
    let probe = ProbeSeen {
        target: Label::new("127.0.0.1:1"),
        server_name: Label::new("ups-01"),
        certificates: vec![certificate("", 1, Role::Intermediate, "issuer")],
        flaws: Some(Box::new(flaws)),
        outcome: Err(Trouble::new("malformed", "the leaf")),
    };
    let board = Board::default();
    board.expect([(id.clone(), &[][..])]);
    board.publish(&id, pass(Observation::Endpoint(probe)));
    let text = body(&board.snapshot(), ExpositionFormat::Text, &[]);
    let at = "source=\"odd\",target=\"127.0.0.1:1\",server_name=\"ups-01\"";
    assert!(text.contains(&format!("tls_probe_chain_error{{{at},reason=\"malformed\"}} 1\n")), "{text}");
    assert!(text.contains(&format!("tls_probe_success{{{at}}} 0\n")));
    assert!(text.contains("chain_index=\"1\",role=\"intermediate\"") && !text.contains("role=\"leaf\""));
    assert!(!text.contains("tls_probe_earliest_not_after_timestamp_seconds{"), "the leaf may be the first to expire");
}

/// A source of so many files with one certificate each, and one file that cannot be read.
fn fleet(files: usize) -> Snapshot {
    let id = SourceId::own(SourceKind::File, Label::new("fleet"));
    let readable = (0..files).map(|number| {
        let certificates = vec![certificate("", 0, Role::Leaf, "ups-01")];
        let contents = Contents::whole("pem", Some(true), certificates);
        FileSeen { path: Label::new(&format!("/srv/{number}.pem")), modified: Some(1.0), outcome: Ok(contents) }
    });
    let junk = FileSeen {
        path: Label::new("/srv/junk"),
        modified: Some(1.0),
        outcome: Err(Trouble::new("malformed", "junk")),
    };
    let seen = readable.chain([junk]).map(Arc::new).collect();
    let board = Board::default();
    board.expect([(id.clone(), &[][..])]);
    board.publish(&id, pass(Observation::Files(FilesSeen { files: seen, ..FilesSeen::default() })));
    board.snapshot()
}

#[test]
fn a_source_of_more_than_a_thousand_certificates_tells_what_expires_and_what_fails_and_no_more() {
    let count = |text: &str, family: &str| text.lines().filter(|line| line.starts_with(&format!("{family}{{"))).count();
    let rest = [
        "x509_cert_not_before_timestamp_seconds",
        "x509_cert_info",
        "x509_file_certificates",
        "x509_keystore_password_verified",
    ];
    let whole = body(&fleet(1000), ExpositionFormat::Text, &[]);
    assert!(rest.iter().all(|family| count(&whole, family) == 1000) && count(&whole, "x509_file_up") == 1001);

    let brief = body(&fleet(1001), ExpositionFormat::Text, &[]);
    assert_eq!(count(&brief, "x509_cert_not_after_timestamp_seconds"), 1001);
    assert_eq!(rest.map(|family| count(&brief, family)), [0; 4]);
    assert_eq!(count(&brief, "x509_file_mtime_timestamp_seconds"), 1, "when the junk came may tell who put it there");
    assert!(
        count(&brief, "x509_file_up") == 1 && brief.contains("x509_file_up{source=\"fleet\",path=\"/srv/junk\"} 0")
    );
    assert!(
        count(&brief, "x509_file_error") == 1
            && brief.contains("x509_source_files{source_kind=\"file\",source_name=\"fleet\"} 1002")
    );
}

/// What a host has: a UPS on its battery and an endpoint.
fn host_of_equal_names(host: Option<&str>, not_after: i64) -> [(SourceId, Observation); 2] {
    let host = host.map(Label::new);
    let id = |kind, name: &str| SourceId { host: host.clone(), kind, name: Label::new(name) };
    let mut served = certificate("", 0, Role::Leaf, "console");
    Arc::make_mut(&mut served.facts).not_after = not_after;
    let mut reading = Reading { statuses: [Status::OnBattery].into(), ..Reading::default() };
    reading.values.put(Quantity::BatteryCharge, 0.5);
    reading.raw = [("ups.status".into(), "OB".into()), ("battery.charge".into(), "50".into())].into();
    let ups = UpsSeen {
        ups: Label::new("rack-a"),
        backend: Backend::Nut,
        target: Label::new("127.0.0.1:3493"),
        feeds_host: host.is_none(),
        contradictions: 0,
        outcome: Ok(Box::new(reading)),
        refused: BTreeMap::new(),
        strong_snmp: None,
    };
    let probe = ProbeSeen {
        target: Label::new("127.0.0.1:4343"),
        server_name: Label::new("console"),
        certificates: vec![served],
        flaws: None,
        outcome: Ok(Served {
            broken: None,
            refused: None,
            phases: Phases::default(),
            tls_version: Some("TLS 1.2"),
            cipher: None,
        }),
    };
    [
        (id(SourceKind::Tls, "console"), Observation::Endpoint(probe)),
        (id(SourceKind::Ups, "rack-a"), Observation::Upses(vec![ups])),
    ]
}

fn of_hosts(hosts: &[Option<&str>]) -> Snapshot {
    let board = Board::default();
    let ends = |at: usize| 1_800_000_000 + i64::try_from(at).expect("few");
    let sources: Vec<_> =
        hosts.iter().enumerate().flat_map(|(at, host)| host_of_equal_names(*host, ends(at))).collect();
    board.expect(sources.iter().map(|(id, _)| (id.clone(), &["timeout"][..])));
    sources.into_iter().for_each(|(id, observation)| board.publish(&id, pass(observation)));
    board.snapshot()
}

/// Two hosts that are looked at from here have all names in common with this one.
#[test]
fn hosts_of_equal_names_in_the_older_text_format() {
    let snapshot = of_hosts(&[None, Some("win-01.example.com"), Some("win-02.example.com")]);
    let text = body(&snapshot, ExpositionFormat::Text, &[CompatSet::NutExporter, CompatSet::Hon95]);
    let holds: Vec<_> = text.lines().filter(|line| !line.starts_with('#') && !line.ends_with(" 0")).collect();
    insta::assert_snapshot!(holds.join("\n"));
}

#[test]
fn what_is_seen_of_outside_hosts_is_each_series_once_more_with_the_label_host_and_nothing_else_changes() {
    let all = CompatSet::ALL;
    let own = body(&of_hosts(&[None]), ExpositionFormat::Text, &all);
    let both = body(&of_hosts(&[None, Some("win-01"), Some("win-02")]), ExpositionFormat::Text, &all);
    let (of_outside, of_own): (Vec<_>, Vec<_>) = both.lines().partition(|line| line.contains("host=\"win-0"));
    assert_eq!(of_own.join("\n") + "\n", own, "this host's own series are byte for byte what they were");
    let own: Vec<_> = own.lines().filter(|line| !line.starts_with('#')).collect();
    // How this host stands is told of this host alone.
    let (of_host, shared): (Vec<&str>, Vec<&str>) = own.into_iter().partition(|line| line.starts_with("host_"));
    assert!(!of_host.is_empty() && of_outside.len() == 2 * shared.len(), "{both}");
    let series: Vec<_> = of_outside.iter().filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect();
    let distinct: BTreeSet<_> = series.iter().collect();
    assert_eq!(distinct.len(), series.len(), "Prometheus refuses a page with one series twice");
    for line in &series {
        let labels = line.split_once('{').map_or("", |(_, labels)| labels);
        let names = labels.split("\",").filter(|label| label.starts_with("host="));
        assert_eq!(names.count(), 1, "{line}");
    }
}
