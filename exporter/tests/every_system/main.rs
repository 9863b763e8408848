//! The built program where only what every system has is used: this file is built for each, and on each the program prints the same.
//! `make test-windows` runs it under Wine.

#[cfg(windows)]
mod event_log;
#[path = "../scene/launched.rs"]
mod launched;
mod peers;
#[cfg(windows)]
mod power;
mod service;
#[cfg(windows)]
mod stores;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::Duration;

use kagiban_agents::Os;
use kagiban_exporter::platform::{Ability, LACKS, OS};
use launched::Launched;
use peers::{apcupsd, snmp_agent, tls_server, upsd};

/// Made by the script beside the seeds.
const FILES: [(&str, &[u8]); 4] = [
    ("a.pem", include_bytes!("../../../tests/fuzz/seeds/keystore/a.pem")),
    ("modern.p12", include_bytes!("../../../tests/fuzz/seeds/keystore/modern.p12")),
    ("Below/store.jks", include_bytes!("../../../tests/fuzz/seeds/keystore/store.jks")),
    ("junk", b"\x07\x07\x07\x07"),
];
/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory of its own, and what it is called in a configuration.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { directory: tempfile::tempdir().expect("a directory") };
        for (name, bytes) in FILES {
            place.put(&format!("certs/{name}"), bytes);
        }
        // As editors of Windows end a line.
        place.put("password", b"changeit\r\n");
        place.put("community", b"public\r\n");
        place
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().expect("below the directory")).expect("a directory");
        fs::write(&path, bytes).expect("it can be written");
        path
    }

    fn configure(&self, yaml: &str) -> PathBuf {
        self.put("exporter.yaml", yaml.replace("ROOT", &self.root()).as_bytes())
    }

    fn root(&self) -> String {
        self.directory.path().to_str().expect("UTF-8").replace('\\', "/")
    }

    /// Without what the system or the moment decides.
    fn same_everywhere(&self, metrics: &str) -> String {
        let native = self.directory.path().to_str().expect("UTF-8").replace('\\', r"\\");
        let lines = metrics.replace(&native, "ROOT").replace(&self.root(), "ROOT").replace(r"\\", "/");
        let volatile = ["_duration_seconds", "_success_timestamp_seconds", "_mtime_timestamp_seconds", "_errors_total"];
        let is_same = |line: &&str| {
            let family = line.split(['{', ' ']).next().unwrap_or_default();
            let is_told =
                ["kagiban_source_", "x509_", "tls_probe_", "tls_cert_", "ups_"].iter().any(|it| family.starts_with(it));
            is_told && !volatile.iter().any(|it| family.ends_with(it)) && !line.contains("source_kind=\"host\"")
        };
        let mut lines: Vec<_> = lines.lines().filter(is_same).collect();
        lines.sort_unstable();
        lines.join("\n")
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kagiban-exporter"));
    command.env_remove("JAVA_HOME");
    command
}

fn once(config: &Path) -> Output {
    program().args(["--once", "--config.file"]).arg(config).output().expect("the program was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

const CONFIG: &str = "
host: ups-01.example.com
certificates:
  - {name: fleet, paths: ['ROOT/certs/**/*'], passwordFile: ROOT/password}
  - {name: one, paths: [ROOT/certs/a.pem, ROOT/missing.pem]}
";

/// What Linux prints is in the snapshot, and every other system prints that.
#[test]
fn files_endpoints_and_upses_are_told_in_the_same_words() {
    let console = tls_server();
    let (upsd, apcupsd, snmp) = (upsd(), apcupsd(), snmp_agent());
    let place = Place::new();
    place.put("console.pem", console.pem.as_bytes());
    let tls = console.address;
    let config = place.configure(&format!(
        "{CONFIG}tlsEndpoints: [{{name: console, address: '{tls}', serverName: ups-01.example.com, caFile: ROOT/console.pem}}]\n\
         ups:\n  - {{name: rack, nut: {{address: '{upsd}'}}}}\n  - {{name: desk, apcupsd: {{address: '{apcupsd}'}}}}\n  \
         - {{name: hall, snmp: {{address: '{snmp}', version: v2c, communityFile: ROOT/community}}}}\n"
    ));
    let output = once(&config);
    let (metrics, log) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{log}");
    let mut told = place.same_everywhere(&metrics).replace(&console.sha256, "LEAF");
    for (address, name) in [(tls, "TLS"), (upsd, "UPSD"), (apcupsd, "APCUPSD"), (snmp, "SNMP")] {
        told = told.replace(&address, name);
    }
    insta::assert_snapshot!(told);
}

/// A value that is not known is no sample: nobody is told that no shutdown is planned who cannot be told that one is.
#[test]
fn what_nobody_was_asked_is_not_told() {
    let place = Place::new();
    let output = once(&place.configure(CONFIG));
    let metrics = text(&output.stdout);
    let is_there = !LACKS.contains(&Ability::ShutdownSchedule);
    let source = "kagiban_source_up{source_kind=\"host\",source_name=\"system\"}";
    assert_eq!(metrics.contains(source), is_there, "{metrics}");
    assert_eq!(metrics.contains("\nhost_shutdown_state{"), is_there, "{metrics}");
    assert!(metrics.contains("kagiban_source_up{source_kind=\"host\",source_name=\"reboot\"} 1\n"), "{metrics}");
    let reboots = metrics.lines().filter(|line| line.starts_with("host_reboot_pending{")).count();
    match OS {
        Os::Windows => assert_eq!(reboots, 3, "{metrics}"),
        // Not every Linux says so.
        Os::Linux => assert!(reboots <= 1, "{metrics}"),
    }
    assert!(metrics.contains(&format!("os=\"{}\"", std::env::consts::OS)), "{metrics}");
    assert!(metrics.contains("\nprocess_resident_memory_bytes "), "{metrics}");
}

/// It serves in the foreground, at every address of the host.
#[test]
fn pages_are_answered_over_both_families() {
    let place = Place::new();
    let exporter = Exporter::start(&place.configure(CONFIG));
    for host in ["127.0.0.1", "::1"] {
        let answer = exporter.get(host, "/-/healthy");
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
        let metrics = exporter.get(host, "/metrics");
        assert!(metrics.contains("\nx509_file_up{"), "{host}: {metrics}");
    }
}

/// Nothing that is usual is there, and a trust store of Java is told where a person says that it is.
#[test]
fn the_usual_places_are_searched_without_a_configuration_of_what_to_look_at() {
    let place = Place::new();
    place.put("java/lib/security/cacerts", FILES[2].1);
    let mut searching = program();
    let java = place.directory.path().join("java");
    searching.env("JAVA_HOME", &java).args(["discover", "--host", "ups-01.example.com"]);
    let output = searching.output().expect("the program was built");
    let found = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(found.starts_with("host          ups-01.example.com"), "{found}");
    assert!(found.lines().any(|line| line.starts_with("trust store") && line.ends_with("cacerts")), "{found}");

    let config = place.configure("host: ups-01.example.com\npower: {assume: mains}\n");
    let mut looking = program();
    let output = looking.env("JAVA_HOME", &java).args(["--once", "--config.file"]).arg(config).output();
    let metrics = text(&output.expect("the program was built").stdout);
    let is_told = |line: &str| line.starts_with("x509_cert_not_after_timestamp_seconds{") && line.contains("cacerts");
    assert!(metrics.lines().any(is_told), "{metrics}");
}

/// What a system lacks is refused by name, when it is asked for and not when it is needed.
#[test]
fn what_is_not_there_on_this_system_is_refused_and_says_where_to_read_on() {
    let good = Place::new();
    let good = good.configure(CONFIG);
    let output = program().args(["--web.systemd-socket", "--once", "--config.file"]).arg(good).output();
    let output = output.expect("the program was built");
    let said = text(&output.stderr);
    let is_refused = said.contains("on Windows yet") && said.contains("docs/windows.md");
    assert_eq!(is_refused, LACKS.contains(&Ability::HandedOverSockets), "{said}");
    assert!(!is_refused || said.contains("sockets") && output.status.code() == Some(1), "{said}");
    assert!(!is_refused || output.stdout.is_empty(), "{}", text(&output.stdout));

    let asking = Place::new();
    let output = once(&asking.configure(&format!("{CONFIG}shutdown: {{windowsEventLog: true}}\n")));
    let said = text(&output.stderr);
    let is_refused = said.contains("shutdown.windowsEventLog: ") && said.contains("docs/windows.md");
    assert_eq!(is_refused, LACKS.contains(&Ability::EventLog), "{said}");
    assert!(!is_refused || output.status.code() == Some(1) && output.stdout.is_empty(), "{said}");
}

/// The program, until the test ends.
struct Exporter {
    child: Child,
    port: u16,
}

impl Exporter {
    fn start(config: &Path) -> Self {
        let mut command = program();
        command.args(["--web.listen-address=:0", "--config.file"]).arg(config);
        let Launched { child, mut stderr, log, address } = Launched::by(&mut command);
        let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        let exporter = Self { child, port };
        let started = std::time::Instant::now();
        while !exporter.get("127.0.0.1", "/-/ready").starts_with("HTTP/1.1 200") {
            assert!(started.elapsed() < PATIENCE, "it is never ready:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        exporter
    }

    fn get(&self, host: &str, path: &str) -> String {
        get(host, self.port, path).expect("it listens")
    }
}

/// None where nobody listens.
fn get(host: &str, port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect((host, port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers in UTF-8");
    Some(answer)
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
