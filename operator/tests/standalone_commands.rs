//! What somebody sees who starts a standalone operator and asks it at once.
#![cfg(unix)]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kagiban-operator");
const GOOD: &str = include_str!("support/good.yaml");

/// One that is ended with the test.
struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Operator {
    fn start(directory: &Path) -> Self {
        Self::spawn(Command::new(PROGRAM).env_remove("NOTIFY_SOCKET"), directory)
    }

    fn spawn(command: &mut Command, directory: &Path) -> Self {
        let child = command
            .args(["standalone", "--metrics-address", "127.0.0.1:0", "--manifests"])
            .arg(directory.join("manifests"))
            .arg("--state")
            .arg(directory.join("state"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("it starts"))
    }
}

fn ask(directory: &Path, words: &[&str]) -> Output {
    let output = Command::new(PROGRAM).args(words).arg("--state").arg(directory.join("state")).output();
    output.expect("it is run")
}

/// It failed where the operator was started in the line before, and what was wrong with a manifest stood in the log alone.
#[test]
fn an_operator_is_asked_right_after_its_start_and_tells_what_is_wrong_with_its_manifests() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    std::fs::create_dir(directory.join("manifests")).expect("a directory");
    std::fs::write(directory.join("manifests/good.yaml"), GOOD).expect("a file");
    let typo = GOOD.replace("  host:", "  hots: x\n  host:").replace("name: ups-01}", "name: ups-02}");
    std::fs::write(directory.join("manifests/typo.yaml"), typo).expect("a file");
    let _operator = Operator::start(directory);
    // No pass ends well without the Secrets
    let waited = ask(directory, &["wait", "ups-01", "--for", "condition=Ready=False", "--timeout", "60s"]);
    let (out, error) = (String::from_utf8_lossy(&waited.stdout), String::from_utf8_lossy(&waited.stderr));
    assert!(waited.status.success() && out.ends_with("/ups-01 condition met\n"), "{out}{error}");
    let named = "Warning: typo.yaml:5: default/ups-02: strict decoding error: unknown field \"spec.hots\": ";
    for form in [&["get"][..], &["get", "-o", "json"], &["get", "-o", "name"]] {
        let told = ask(directory, form);
        let (out, error) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        assert!(told.status.success() && out.contains("ups-01") && !out.contains("hots"), "{out}");
        assert!(error.starts_with(named) && error.lines().count() == 1, "{error}");
    }
    let missed = ask(directory, &["wait", "ups-02", "--timeout", "0s"]);
    let error = String::from_utf8_lossy(&missed.stderr);
    assert!(missed.status.code() == Some(1) && error.contains(named) && error.contains("ups-02: not found"), "{error}");
}

/// A word that systemd is told.
fn heard(manager: &UnixDatagram) -> String {
    let mut datagram = [0; 4096];
    let length = manager.recv(&mut datagram).expect("systemd is told something within its time");
    String::from_utf8_lossy(&datagram[..length]).into_owned()
}

/// `systemctl start` returned before anybody could ask, and a stop was cut off where a host takes its time.
#[test]
fn systemd_hears_when_the_operator_may_be_asked_and_that_it_stops() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    std::fs::create_dir(directory.join("manifests")).expect("a directory");
    std::fs::write(directory.join("manifests/good.yaml"), GOOD).expect("a file");
    let socket = directory.join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(60))).expect("a deadline");
    let mut operator = Operator::spawn(Command::new(PROGRAM).env("NOTIFY_SOCKET", &socket), directory);
    let ready = heard(&manager);
    assert!(ready.starts_with("READY=1\n") && ready.contains("STATUS=answers on 127.0.0.1:"), "{ready}");
    // At the first try
    let told = ask(directory, &["get"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let described = ask(directory, &["wait", "ups-01", "--for", "condition=Ready=False", "--timeout", "60s"]);
    assert!(described.status.success(), "{}", String::from_utf8_lossy(&described.stderr));
    let described = String::from_utf8(ask(directory, &["describe", "ups-01"]).stdout).expect("text");
    assert!(described.contains("\n\n\nkagiban-operator speaks to these hosts for the installation "), "{described}");
    assert!(described.contains(", in epoch "), "{described}");

    let asked = Command::new("kill").args(["-TERM", &operator.0.id().to_string()]).status().expect("kill is there");
    assert!(asked.success(), "it runs");
    let stopping = heard(&manager);
    assert!(stopping.starts_with("STOPPING=1"), "{stopping}");
    let started = Instant::now();
    let ended = loop {
        match operator.0.try_wait().expect("it is ours") {
            Some(status) => break status,
            None if started.elapsed() > Duration::from_secs(60) => panic!("it does not end"),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert!(ended.success(), "{ended}");
}
