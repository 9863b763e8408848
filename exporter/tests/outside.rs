//! Hosts that are looked at from here, by the built program.

mod scene;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use scene::{Authority, Exporter, Manner, run, tls_server};
use tokio::net::TcpListener;

const WITHOUT_CLIENTS: Manner<'_> = Manner { versions: rustls::ALL_VERSIONS, clients_of: None };
/// Nearly twice as many as may hang at once.
const SILENT: usize = 250;
/// Each look of a host that is silent.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3);
const WATCHED: Duration = Duration::from_secs(10);

fn configure(directory: &Path, yaml: &str) -> PathBuf {
    let path = directory.join("exporter.yaml");
    fs::write(&path, format!("host: ups-01.example.com\nshutdown: {{enabled: false}}\n{yaml}")).expect("written");
    path
}

/// The lines of a family that hold all of these words.
fn lines<'a>(metrics: &'a str, family: &str, words: &[&str]) -> Vec<&'a str> {
    let holds = |line: &&str| line.strip_prefix(family).is_some_and(|rest| rest.starts_with('{'));
    metrics.lines().filter(holds).filter(|line| words.iter().all(|word| line.contains(word))).collect()
}

fn value(metrics: &str, family: &str, words: &[&str]) -> f64 {
    let found = lines(metrics, family, words);
    let [line] = found[..] else { panic!("{family} with {words:?}: {found:?} in\n{metrics}") };
    line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok()).expect("a number")
}

/// What no line of a page may say twice.
fn twice(metrics: &str) -> Vec<&str> {
    let mut seen = std::collections::BTreeSet::new();
    let series =
        metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| Some(line.rsplit_once(' ')?.0));
    series.filter(|series| !seen.insert(*series)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_of_equal_names_are_told_apart_and_a_reload_that_removes_one_removes_its_series() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::new("Fleet CA");
    let of = |name: &str, until: i32| authority.issue_for(name, name, 2020..until);
    let own = tls_server(&of("own.example.com", 2040), &WITHOUT_CLIENTS).await;
    let one = tls_server(&of("win-01.example.com", 2041), &WITHOUT_CLIENTS).await;
    let other = tls_server(&of("win-02.example.com", 2024), &WITHOUT_CLIENTS).await;
    let entry = |host: &str, address: &dyn std::fmt::Display| {
        format!(
            "  - host: {host}\n    tlsEndpoints: [{{name: console, address: '{address}', serverName: {host}, interval: 1s}}]\n    \
             ups: [{{name: rack-a, apcupsd: {{address: '127.0.0.1:1'}}, interval: 1s}}]\n"
        )
    };
    let here = format!(
        "tlsEndpoints: [{{name: console, address: '{own}', serverName: own.example.com, interval: 1s}}]\n\
         ups: [{{name: rack-a, apcupsd: {{address: '127.0.0.1:1'}}, interval: 1s}}]\noutsideHosts:\n"
    );
    let (win_01, win_02) = (entry("win-01.example.com", &one), entry("win-02.example.com", &other));
    let config = configure(directory.path(), &format!("{here}{win_01}{win_02}"));
    let exporter = Exporter::start(&config);
    let seen_of = |metrics: &str, host: &str| lines(metrics, "tls_probe_success", &[host]).len();
    exporter.wait_until("both hosts were looked at", |exporter| {
        let metrics = exporter.metrics();
        seen_of(&metrics, "host=\"win-01") == 1 && seen_of(&metrics, "host=\"win-02") == 1
    });
    let metrics = exporter.metrics();
    assert_eq!(twice(&metrics), [""; 0]);
    let ends = |words: &[&str]| value(&metrics, "x509_cert_not_after_timestamp_seconds", words);
    assert!(ends(&["host=\"win-01.example.com\""]) > ends(&["subject_cn=\"own.example.com\""]));
    assert!(ends(&["host=\"win-02.example.com\""]) < ends(&["subject_cn=\"own.example.com\""]));
    assert!(lines(&metrics, "tls_probe_success", &["own.example.com"]).iter().all(|line| !line.contains("host=")));
    let up = |host: &str, kind: &str| value(&metrics, "kagiban_source_up", &[host, &format!("source_kind=\"{kind}\"")]);
    assert_eq!((up("host=\"win-01", "tls"), up("host=\"win-01", "ups")), (1.0, 0.0));
    assert_eq!(lines(&metrics, "ups_up", &["ups=\"rack-a\""]).len(), 3);

    let page = exporter.request("GET", "/", "");
    assert!(page.contains("Hosts looked at from here (2)"), "{page}");
    let told = "win-02.example.com: Certificate CN=win-02.example.com: expired";
    assert!(page.contains(told), "{page}");
    assert!(exporter.log().contains("host=\"win-01.example.com\" source=rack-a"), "{}", exporter.log());

    configure(directory.path(), &format!("{here}{win_02}"));
    exporter.signal(Signal::HUP);
    exporter.wait_until("the host is gone", |exporter| !exporter.metrics().contains("win-01.example.com"));
    let metrics = exporter.metrics();
    assert_eq!(seen_of(&metrics, "host=\"win-02"), 1, "what was seen of the other one stays:\n{metrics}");
    assert!(!exporter.request("GET", "/", "").contains("win-01"));
}

/// Nobody takes their connections.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_silent_hold_up_neither_this_host_nor_a_host_that_answers() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::new("Fleet CA");
    fs::write(directory.path().join("a.pem"), authority.pem()).expect("written");
    // The kernel takes the first connections for it, and then no more.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent_at = silent.local_addr().expect("an address");
    let good = tls_server(&authority.issue("good", 2020..2040), &WITHOUT_CLIENTS).await;
    let mut yaml = format!(
        "certificates: [{{name: fleet, paths: [{}/a.pem], interval: 1s}}]\n\
         tlsEndpoints: [{{name: own, address: '{good}', interval: 1s}}]\noutsideHosts:\n  \
         - {{host: answers, tlsEndpoints: [{{name: good, address: '{good}', interval: 1s}}]}}\n",
        directory.path().display()
    );
    let timeout = GIVEN_UP_AFTER.as_secs();
    yaml.extend((0..SILENT).map(|number| {
        format!(
            "  - {{host: s{number}, tlsEndpoints: [{{address: '{silent_at}', interval: 1s, timeout: {timeout}s}}]}}\n"
        )
    }));
    let exporter = Exporter::start(&configure(directory.path(), &yaml));
    exporter.wait_until("it says so", |exporter| exporter.log().contains("every source has been looked at"));
    // Until each has been silent once, it may keep others waiting.
    let gave_up = |exporter: &Exporter| lines(&exporter.metrics(), "tls_probe_error", &["host=\"s", "timeout"]).len();
    exporter.wait_until("all are known to be silent", |exporter| gave_up(exporter) == SILENT);

    let looks = |metrics: &str| {
        ["source_name=\"fleet\"", "source_name=\"own\"", "source_name=\"good\""]
            .map(|source| value(metrics, "kagiban_source_last_success_timestamp_seconds", &[source]))
    };
    let (mut seen, started) = ([(); 3].map(|()| Vec::new()), Instant::now());
    while started.elapsed() < WATCHED {
        let now = looks(&exporter.metrics());
        seen.iter_mut().zip(now).for_each(|(seen, now)| seen.push(now));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (seen, of) in seen.iter_mut().zip(["files of this host", "an endpoint of it", "another host"]) {
        seen.dedup();
        assert!(seen.len() > 6, "{of}: one look a second, and in {} s only {seen:?}", WATCHED.as_secs());
    }
    assert!(gave_up(&exporter) == SILENT && exporter.metrics().contains("kagiban_source_up{"));
}

#[test]
fn check_tells_each_host_by_itself_and_the_configuration_is_refused_by_its_setting() {
    let directory = tempfile::tempdir().expect("a directory");
    let yaml = "tlsEndpoints: [{name: near, address: '127.0.0.1:1'}]\noutsideHosts:\n  - {host: win-01, tlsEndpoints: [{name: far, \
                address: '127.0.0.1:1'}]}\n";
    let config = configure(directory.path(), yaml);
    let config = config.to_str().expect("UTF-8");
    let output = run(&["--config.check", "--config.file", config]);
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success() && said.contains("1 source, 0 UPSes, 0 agents, 1 outside host"), "{said}");

    let check = |output: &str| {
        let found = run(&["check", "--config.file", config, "-o", output]);
        String::from_utf8(found.stdout).expect("UTF-8")
    };
    let text = check("text");
    let (own, outside) = text.split_once("\nwin-01, looked at from here\n").unwrap_or_else(|| panic!("{text}"));
    assert!(own.contains("Endpoint 127.0.0.1:1: ") && outside.contains("Endpoint 127.0.0.1:1: "), "{text}");
    let page: serde_json::Value = serde_json::from_str(&check("json")).expect("JSON");
    let hosts: Vec<_> = page["items"].as_array().expect("items").iter().map(|item| item["host"].as_str()).collect();
    assert_eq!(hosts.iter().flatten().collect::<Vec<_>>(), [&"win-01"]);

    configure(
        directory.path(),
        "outsideHosts: [{host: a, ups: [{name: u, feedsHost: true, apcupsd: {address: 'h:1'}}]}]\n",
    );
    let refused = run(&["--config.check", "--config.file", config]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    assert!(!refused.status.success() && said.contains("outsideHosts[0].ups[0].feedsHost: "), "{said}");
}
