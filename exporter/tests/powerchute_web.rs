//! The built program reads a PowerChute web UI: what it publishes, and what it never does to the one login there is.

mod scene;
mod web_double;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use rustix::process::Signal;
use scene::{Exporter, run};
use web_double::{Agent, Odd, PASSWORD, USERNAME};

const WHOLE_VISIT: [&str; 4] = ["GET /logon", "POST /j_security_check", "GET /status", "GET /logoff"];

/// An agent with a certificate as they make them, and the files that lead to it.
struct Host {
    directory: tempfile::TempDir,
    agent: Agent,
}

impl Host {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let key = KeyPair::generate().expect("a key");
        // For itself, as a CA, for no name: what no verifier takes.
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "PowerChute");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let agent = Agent::start(certificate.der().clone(), &key).await;
        let host = Self { directory, agent };
        host.write("ca.pem", &certificate.pem());
        host.write("password", PASSWORD);
        host
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).expect("it can be written");
    }

    fn config(&self, keys: &str) -> PathBuf {
        self.config_for(&self.agent.address.to_string(), keys)
    }

    /// The agent by this name.
    fn config_for(&self, address: &str, keys: &str) -> PathBuf {
        let root = self.directory.path().to_str().expect("UTF-8");
        let web = format!(
            "{{address: '{address}', username: {USERNAME}, passwordFile: {root}/password, caFile: {root}/ca.pem}}"
        );
        self.write(
            "exporter.yaml",
            &format!(
                "discovery: {{enabled: false}}\nstateDirectory: {root}/state\n\
                 ups: [{{name: rack-a, powerchuteWeb: {web}, {keys}}}]\n"
            ),
        );
        self.directory.path().join("exporter.yaml")
    }

    /// The metrics of one look.
    fn once(&self, keys: &str) -> String {
        self.once_for(&self.agent.address.to_string(), keys)
    }

    fn once_for(&self, address: &str, keys: &str) -> String {
        let config = self.config_for(address, keys);
        let output = run(&["--once", "--config.file", config.to_str().expect("UTF-8")]);
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    async fn wait_for(&self, what: &str, holds: impl Fn(&Agent) -> bool) {
        let started = Instant::now();
        while !holds(&self.agent) {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "waited in vain until {what}: {:?}",
                self.agent.requests()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The value of the only sample that has all of these words.
fn value(metrics: &str, family: &str, words: &str) -> Option<f64> {
    let mut samples = metrics.lines().filter(|line| {
        line.strip_prefix(family).is_some_and(|rest| rest.starts_with('{'))
            && words.split(' ').all(|word| line.contains(word))
    });
    let sample = samples.next()?;
    assert_eq!(samples.next(), None, "{family} {words}");
    sample.rsplit_once(' ')?.1.parse().ok()
}

fn reason(metrics: &str) -> Option<&str> {
    let line = metrics.lines().find(|line| line.starts_with("ups_poll_error{"))?;
    line.split_once("reason=\"")?.1.split('"').next()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visit_logs_on_reads_the_status_and_logs_off() {
    let host = Host::new().await;
    let metrics = host.once("timeout: 20s");
    assert_eq!(host.agent.requests(), WHOLE_VISIT, "{metrics}");
    assert_eq!(host.agent.memory().holder, None);
    assert_eq!(value(&metrics, "ups_up", "rack-a backend=\"powerchute_web\""), Some(1.0), "{metrics}");
    for (family, expected) in [
        ("ups_load_ratio", 0.125),
        ("ups_battery_runtime_seconds", 7560.0),
        ("ups_battery_charge_ratio", 0.98),
        ("ups_input_voltage_volts", 101.5),
        ("ups_temperature_celsius", 28.3),
    ] {
        assert_eq!(value(&metrics, family, "rack-a"), Some(expected), "{family}");
    }
    assert_eq!(value(&metrics, "ups_status", "status=\"online\""), Some(1.0));
    assert_eq!(value(&metrics, "ups_output_voltage_volts", "rack-a"), None, "what the page does not show is no sample");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_login_is_told_and_left_alone() {
    let host = Host::new().await;
    host.agent.memory().holder = Some("the administrator's".to_owned());
    let metrics = host.once("timeout: 20s");
    assert_eq!(reason(&metrics), Some("busy"), "{metrics}");
    assert_eq!(host.agent.requests(), ["GET /logon", "POST /j_security_check", "GET /logon"]);
    assert_eq!(host.agent.memory().holder.as_deref(), Some("the administrator's"));
    // The page may say so before anybody tries.
    host.agent.memory().odd.insert("/logon", Odd::Says("<p id=alreadyLoggedOn><input name=formtoken value=a>"));
    assert_eq!(reason(&host.once("timeout: 20s")), Some("busy"));
    assert_eq!(host.agent.logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_password_is_tried_once_until_its_file_changes() {
    let host = Host::new().await;
    host.write("password", "wrong\n");
    let exporter = Exporter::start(&host.config("interval: 1s, timeout: 1s"));
    exporter.wait_until("it is refused", |exporter| reason(&exporter.metrics()) == Some("auth"));
    exporter.signal(Signal::HUP);
    // Three more looks would lock the UI.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!((reason(&exporter.metrics()), host.agent.logins()), (Some("auth"), 1));
    assert!(!host.agent.requests().contains(&"GET /logoff".to_owned()), "there is nothing to log off");
    assert!(!exporter.log().contains("wrong\n") && !exporter.log().contains(PASSWORD));
    // As an editor does that empties a file and takes its time to write it: what is not there is no second wrong password.
    host.write("password", "");
    exporter.wait_until("the empty file is seen", |exporter| exporter.log().contains("holds no password yet"));
    assert_eq!(host.agent.logins(), 1);
    host.write("password", PASSWORD);
    exporter
        .wait_until("the right one is taken", |exporter| value(&exporter.metrics(), "ups_up", "rack-a") == Some(1.0));
}

/// Holds A18: the UI is locked by three wrong passwords, whoever tries them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_password_is_tried_once_by_however_many_processes() {
    let host = Host::new().await;
    host.write("password", "wrong\n");
    for process in 1..=4 {
        let metrics = host.once("interval: 1s, timeout: 20s");
        assert_eq!((reason(&metrics), host.agent.logins()), (Some("auth"), 1), "process {process}: {metrics}");
    }
    // One that goes on running is no other.
    let exporter = Exporter::start(&host.config("interval: 1s, timeout: 1s"));
    exporter.wait_until("it is not tried", |exporter| reason(&exporter.metrics()) == Some("auth"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(host.agent.logins(), 1);
    host.write("password", PASSWORD);
    exporter
        .wait_until("the right one is taken", |exporter| value(&exporter.metrics(), "ups_up", "rack-a") == Some(1.0));
    drop(exporter);
    // A right one locks nobody out.
    let metrics = host.once("interval: 5m, timeout: 20s");
    assert_eq!(value(&metrics, "ups_up", "rack-a backend=\"powerchute_web\""), Some(1.0), "{metrics}");
}

/// Holds A18: the host has many names, and its agent one lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_of_this_host_is_one_agent_by_whatever_name_and_address() {
    let host = Host::new().await;
    let port = host.agent.address.port();
    let mut names: Vec<_> = ["127.0.0.1", "localhost", "LOCALHOST", "0.0.0.0", "127.0.0.2"].map(str::to_owned).into();
    names.extend(own_address().map(|address| address.to_string()));
    let by = |name: &str| host.once_for(&format!("{name}:{port}"), "interval: 1s, timeout: 20s");
    for word in ["wrong", "wrong too", "wrong as well"] {
        host.write("password", word);
        for name in &names {
            assert_eq!(reason(&by(name)), Some("auth"), "{word} by {name}");
        }
    }
    assert_eq!(host.agent.logins(), 2, "the third would lock the UI");
}

/// The address of this host from which it would speak to others. Nothing is sent.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    socket.local_addr().ok().map(|own| own.ip())
}

/// Holds A18: a login that no other process would know of is not tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_login_is_tried_that_cannot_be_kept() {
    let host = Host::new().await;
    host.write("state", "no directory");
    for _ in 1..=3 {
        assert_eq!(reason(&host.once("timeout: 20s")), Some("state_directory"));
    }
    assert_eq!(host.agent.requests(), ["GET /logon"; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_of_the_configuration_is_no_way_to_a_second_login() {
    let host = Host::new().await;
    let exporter = Exporter::start(&host.config("interval: 5m, timeout: 20s"));
    exporter.wait_until("it is read", |exporter| value(&exporter.metrics(), "ups_up", "rack-a") == Some(1.0));
    for reload in 1..=3 {
        exporter.signal(Signal::HUP);
        exporter.wait_until("it is loaded", |e| e.log().matches("configuration loaded").count() == reload);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(host.agent.requests(), WHOLE_VISIT);
    let metrics = exporter.metrics();
    assert_eq!(value(&metrics, "ups_battery_charge_ratio", "rack-a"), Some(0.98), "what was read last still holds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_ended_whatever_becomes_of_the_visit() {
    for (odd, expected) in [
        (Odd::Hangs, "timeout"),
        (Odd::Endless, "too_large"),
        (Odd::ManyElements, "too_large"),
        (Odd::Fails, "protocol"),
        (Odd::Leads("/status"), "protocol"),
        (Odd::Leads("https://evil.example.com/status"), "protocol"),
        (Odd::Says("<html>no values</html>"), "protocol"),
    ] {
        let host = Host::new().await;
        host.agent.memory().odd.insert("/status", odd);
        let exporter = Exporter::start(&host.config("interval: 5m, timeout: 3s"));
        exporter.wait_until("it failed", |exporter| reason(&exporter.metrics()).is_some());
        assert_eq!(reason(&exporter.metrics()), Some(expected), "{odd:?}");
        host.wait_for("it is logged off", |agent| agent.requests().last().is_some_and(|last| last == "GET /logoff"))
            .await;
        assert_eq!(host.agent.memory().holder, None, "{odd:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_powerchute_is_not_given_the_password() {
    for (odd, expected) in [
        (Odd::Says("<form id=loginForm><input name=formtokenid value=x></form>"), "protocol"),
        (Odd::Leads("/logon"), "protocol"),
        (Odd::Leads("/status"), "protocol"),
        (Odd::Endless, "too_large"),
    ] {
        let host = Host::new().await;
        host.agent.memory().odd.insert("/logon", odd);
        let metrics = host.once("timeout: 20s");
        assert_eq!(
            (reason(&metrics), host.agent.requests()),
            (Some(expected), vec!["GET /logon".to_owned()]),
            "{odd:?}"
        );
    }
    let host = Host::new().await;
    let other = Host::new().await;
    std::fs::copy(other.directory.path().join("ca.pem"), host.directory.path().join("ca.pem")).expect("a copy");
    assert_eq!(reason(&host.once("timeout: 20s")), Some("tls"));
    assert!(host.agent.requests().is_empty(), "nothing is said to a server that nobody vouches for");
}
