//! Where it listens, and what systemd hears of it.

mod scene;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use scene::{ANY_PORT, Exporter, PATIENCE, program, run};

fn configuration(directory: &Path) -> PathBuf {
    let path = directory.join("exporter.yaml");
    fs::write(&path, "discovery: {enabled: false}\n").expect("it can be written");
    path
}

#[test]
fn every_address_that_is_given_is_answered_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let second = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let flag = format!("--web.listen-address={second}");
    let exporter = Exporter::launch(program(&configuration(directory.path())).args([ANY_PORT, &flag]));
    assert!(exporter.request("GET", "/-/healthy", "").starts_with("HTTP/1.1 200"));
    assert!(exporter.request_at(second, "GET", "/-/healthy", "").starts_with("HTTP/1.1 200"));
}

/// As systemd starts a program: a socket as descriptor 3, and who it is for in the environment.
fn activated(config: &Path, socket: impl Into<OwnedFd>, pid: &str) -> Command {
    let script = format!("exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID={pid} exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_kagiban-exporter"), "--web.systemd-socket", "--config.file"]);
    command.arg(config).stdin(Stdio::from(socket.into()));
    command
}

#[test]
fn a_socket_that_systemd_has_opened_is_answered_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("an address");
    let exporter = Exporter::launch(&mut activated(&configuration(directory.path()), socket, "$$"));
    assert_eq!(exporter.address(), address);
    assert!(exporter.request("GET", "/-/healthy", "").starts_with("HTTP/1.1 200"));
}

/// Holds R13: as exporter-toolkit does.
#[test]
fn a_unix_socket_that_systemd_has_opened_is_answered_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("socket");
    let socket = UnixListener::bind(&place).expect("a socket");
    let mut child = Ended(activated(&configuration(directory.path()), socket, "$$").spawn().expect("it starts"));
    // The socket is there before the program is: the connection waits for it.
    let mut client = UnixStream::connect(&place).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it can be asked");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(child.0.try_wait().expect("its state"), None);
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_socket_for_somebody_else_and_no_socket_at_all_end_the_start_with_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = configuration(directory.path());
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let for_another = activated(&config, socket, "1").output().expect("it ends");
    let none = run(&["--web.systemd-socket", "--config.file", config.to_str().expect("UTF-8")]);
    for output in [for_another, none] {
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && log.contains(".socket unit"), "{log}");
    }
}

#[test]
fn systemd_hears_of_the_start_a_reload_and_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = configuration(directory.path());
    let place = directory.path().join("notify");
    let systemd = UnixDatagram::bind(&place).expect("a socket");
    systemd.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let heard = |wanted: &str| {
        let mut all = String::new();
        loop {
            let mut buffer = [0; 1024];
            let length = systemd.recv(&mut buffer).unwrap_or_else(|error| panic!("{wanted}: {error}; heard {all}"));
            let word = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if word.contains(wanted) {
                return word;
            }
            all.push_str(&word);
        }
    };
    let mut exporter = Exporter::launch(program(&config).arg(ANY_PORT).env("NOTIFY_SOCKET", &place));
    assert!(heard("READY=1").contains("\nSTATUS="));
    heard("STATUS=Answers; every source has been looked at");
    exporter.signal(Signal::HUP);
    assert!(heard("RELOADING=1").contains("\nMONOTONIC_USEC="));
    heard("READY=1");
    fs::write(&config, "no-such-key: 1\n").expect("it can be written");
    exporter.signal(Signal::HUP);
    heard("RELOADING=1");
    heard("READY=1");
    exporter.signal(Signal::TERM);
    heard("STOPPING=1");
    assert!(exporter.wait().success());
}
