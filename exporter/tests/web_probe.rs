//! `/probe`: one endpoint on demand, whatever is wrong with its certificate.

mod scene;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};
use scene::{Authority, Exporter, Manner, NAME, tls_server};

const PLAIN: Manner<'_> = Manner { versions: &[&TLS12, &TLS13], clients_of: None };

fn exporter(authority: &Authority, compat: &str) -> (tempfile::TempDir, Exporter) {
    exporter_with(authority, compat, "5s")
}

fn exporter_with(authority: &Authority, compat: &str, timeout: &str) -> (tempfile::TempDir, Exporter) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    fs::write(path("ca.pem"), authority.pem()).expect("it can be written");
    let probe = format!("{{allow: [\"127.0.0.1:*\"], timeout: {timeout}, caFile: {}}}", path("ca.pem").display());
    let yaml = format!("discovery: {{enabled: false}}\nprobe: {probe}\ncompat: [{compat}]\n");
    fs::write(path("exporter.yaml"), yaml).expect("it can be written");
    let exporter = Exporter::start(&path("exporter.yaml"));
    (directory, exporter)
}

fn ask(exporter: &Exporter, target: SocketAddr, module: &str) -> String {
    let answer = exporter.request("GET", &format!("/probe?target={target}&server_name={NAME}&module={module}"), "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// The only sample of a family, or none.
fn value<'a>(answer: &'a str, family: &str) -> Option<&'a str> {
    let holds = |line: &&str| line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let mut lines = answer.lines().filter(holds).map(|line| line.rsplit_once(' ').expect("a value").1);
    let only = lines.next();
    assert!(lines.next().is_none(), "{family}: {answer}");
    only
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_shown_and_is_no_success() {
    let authority = Authority::new("Fleet CA");
    let (_directory, exporter) = exporter(&authority, "blackbox, ssl_exporter");
    let address = tls_server(&authority.issue("expired", 2019..2020), &PLAIN).await;
    let answer = ask(&exporter, address, "tls");
    let expiry = Some("1577836800");
    assert_eq!(value(&answer, "x509_cert_not_after_timestamp_seconds"), expiry);
    assert_eq!(value(&answer, "probe_ssl_earliest_cert_expiry"), expiry);
    assert_eq!(value(&answer, "ssl_cert_not_after"), expiry);
    assert_eq!(value(&answer, "tls_probe_success"), Some("1"));
    for family in ["tls_probe_verified", "probe_success", "ssl_probe_success"] {
        assert_eq!(value(&answer, family), Some("0"), "{family}");
    }
    for family in ["probe_ssl_last_chain_expiry_timestamp_seconds", "ssl_verified_cert_not_after"] {
        assert_eq!(value(&answer, family), None, "{family}: nothing was verified, and no year before the first");
    }
    assert_eq!(value(&ask(&exporter, address, "tls_insecure"), "probe_success"), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_a_client_certificate_is_shown_in_both_versions() {
    let authority = Authority::new("Fleet CA");
    let (_directory, exporter) = exporter(&authority, "blackbox");
    const OLD: &[&rustls::SupportedProtocolVersion] = &[&TLS12];
    const NEW: &[&rustls::SupportedProtocolVersion] = &[&TLS13];
    for versions in [OLD, NEW] {
        let manner = Manner { versions, clients_of: Some(&authority) };
        let expired = tls_server(&authority.issue("mutual", 2019..2020), &manner).await;
        let answer = ask(&exporter, expired, "tls_insecure");
        assert_eq!(value(&answer, "probe_ssl_earliest_cert_expiry"), Some("1577836800"));
        assert_eq!(value(&answer, "probe_success"), Some("1"), "the server holds the key");
        let good = tls_server(&authority.issue("mutual", 2020..2100), &manner).await;
        assert_eq!(value(&ask(&exporter, good, "tls"), "probe_success"), Some("1"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_chain_is_shown_up_to_its_root_under_the_names_of_both_exporters() {
    let authority = Authority::new("Fleet CA");
    let (_directory, exporter) = exporter(&authority, "blackbox, ssl_exporter");
    let address = tls_server(&authority.issue("good", 2020..2100), &PLAIN).await;
    let answer = ask(&exporter, address, "tls");
    for (family, expected) in [
        ("probe_success", "1"),
        ("ssl_probe_success", "1"),
        ("probe_ssl_last_chain_expiry_timestamp_seconds", "4102444800"),
        ("probe_ssl_last_chain_info", "1"),
        ("tls_version_info", "1"),
    ] {
        assert_eq!(value(&answer, family), Some(expected), "{family}");
    }
    let lines = |start: &str| answer.lines().filter(|line| line.starts_with(start)).collect::<Vec<_>>();
    let verified = lines("ssl_verified_cert_not_after{");
    assert_eq!(verified.len(), 2, "{verified:?}");
    assert!(verified.iter().all(|line| line.contains("chain_no=\"0\"")));
    assert!(verified[0].contains(&format!("cn=\"good\",dnsnames=\",{NAME},\"")), "{verified:?}");
    assert!(verified[1].contains("cn=\"Fleet CA\""), "{verified:?}");
    assert_eq!(lines("ssl_prober{prober=\"tcp\"} 1").len(), 1);
    assert_eq!(lines("probe_tls_version_info{version=\"TLS 1.3\"} 1").len(), 1);
    assert!(lines("kagiban_").is_empty() && lines("process_").is_empty(), "one target and nothing else");
    let accept = "Accept: application/openmetrics-text; version=1.0.0\r\n";
    let open_metrics = exporter.request("GET", &format!("/probe?target={address}"), accept);
    assert!(open_metrics.contains("application/openmetrics-text") && open_metrics.ends_with("\n# EOF\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_aliases_only_our_own_names_are_there_and_a_dead_target_says_why() {
    let authority = Authority::new("Fleet CA");
    let (_directory, exporter) = exporter(&authority, "");
    let answer = ask(&exporter, "127.0.0.1:1".parse().expect("an address"), "tls");
    assert_eq!(value(&answer, "tls_probe_success"), Some("0"));
    assert!(answer.contains("tls_probe_error{") && answer.contains("reason=\"connect\""));
    assert!(!answer.contains("\nprobe_") && !answer.contains("\nssl_"));
}

#[test]
fn what_is_not_allowed_is_refused_and_nothing_of_it_is_repeated() {
    let (_directory, exporter) = exporter(&Authority::new("Fleet CA"), "");
    let canary = "canary%3Cscript%3E";
    for (query, status) in [
        (format!("target=127.0.0.2:443&x={canary}"), "403"),
        (format!("target={canary}.example.com:443"), "400"),
        (format!("target=https://{canary}:443"), "400"),
        (format!("target=/etc/{canary}"), "400"),
        (format!("target=127.0.0.1:1&module={canary}"), "400"),
        (format!("target=127.0.0.1:1&server_name={canary}"), "400"),
        (format!("password={canary}"), "400"),
        (format!("target=127.0.0.1:1&password={canary}"), "200"),
    ] {
        let answer = exporter.request("GET", &format!("/probe?{query}"), "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{query}: {answer}");
        assert!(!answer.contains("canary"), "{query}: {answer}");
    }
    let page = exporter.request("GET", &format!("/?{canary}"), "");
    assert!(page.starts_with("HTTP/1.1 200") && !page.contains("canary"));
    assert!(!exporter.log().contains("canary"), "{}", exporter.log());
}

#[test]
fn a_silent_target_is_left_before_prometheus_leaves_us() {
    let (_directory, exporter) = exporter(&Authority::new("Fleet CA"), "");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address");
    let started = Instant::now();
    let header = "X-Prometheus-Scrape-Timeout-Seconds: 1.5\r\n";
    let answer = exporter.request("GET", &format!("/probe?target={address}"), header);
    assert!(answer.contains("reason=\"timeout\""), "{answer}");
    assert!(started.elapsed() >= Duration::from_millis(900) && started.elapsed() < Duration::from_secs(4));
}

/// Holds A17: probes of silent targets took all connections, and nobody was told of anything else.
#[test]
fn probes_of_a_silent_target_leave_room_for_scrapes() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = silent.local_addr().expect("an address");
    let (_directory, exporter) = exporter_with(&Authority::new("Fleet CA"), "", "60s");
    let probes: Vec<_> = (0..150)
        .map(|_| {
            let mut stream = TcpStream::connect(exporter.address()).expect("it listens");
            stream
                .write_all(format!("GET /probe?target={target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
                .expect("sent");
            stream
        })
        .collect();
    let metrics = exporter.request("GET", "/metrics", "");
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    let is_answered = |mut probe: &TcpStream| {
        probe.set_nonblocking(true).expect("a socket");
        probe.read(&mut [0]).is_ok()
    };
    assert!(!is_answered(&probes[0]), "it was answered while the first probe was under way");
    // It waits behind those of its own address, which take turns.
    let asked = Instant::now();
    while !is_answered(&probes[149]) {
        assert!(asked.elapsed() < Duration::from_secs(45), "the last one is not told that there are too many");
        std::thread::sleep(Duration::from_millis(50));
    }
}
