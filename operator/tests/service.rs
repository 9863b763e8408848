//! The standalone operator as a service that registers itself: through its life, with the service manager of the system.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use kagiban_files::create_private_directory;
use kagiban_operator::service::SERVICE;
use kagiban_service::{REGISTERS_ITSELF, RegisteredService, ServiceState, registered_service, service_directory};

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
const GOOD: &str = include_str!("support/good.yaml");
const POLL: Duration = Duration::from_millis(50);

fn service_of(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).arg("service").args(arguments).output().expect("the program was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// What it says, where it does it.
fn done(program: &Path, arguments: &[&str]) -> String {
    let output = service_of(program, arguments);
    let (said, wrong) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}{wrong}");
    said
}

fn refused(program: &Path, arguments: &[&str]) -> String {
    let output = service_of(program, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

fn registered() -> Option<RegisteredService> {
    registered_service(&SERVICE, PATIENCE).expect("the manager answers")
}

fn is(state: ServiceState) -> bool {
    registered().expect("it is registered").state == state
}

fn sc(verb: &str) -> String {
    text(&Command::new("sc.exe").args([verb, SERVICE.name]).output().expect("Windows has it").stdout)
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        sleep(POLL);
    }
}

/// The first line of the answer to a GET; none where nobody listens. This side closes first, so that no connection of the past holds the
/// port.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    Some(line)
}

/// Whatever becomes of the test.
struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        let _ = service_of(self.0, &["remove", "--timeout", "5"]);
    }
}

#[test]
fn where_the_system_starts_programs_by_units_it_is_said_so() {
    if REGISTERS_ITSELF {
        return;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_kagiban-operator"));
    for arguments in [
        &["install", "--manifests", "m"][..],
        &["install", "--kubeconfig", "k"],
        &["start"],
        &["stop"],
        &["remove"],
        &["run", "--manifests", "m"],
    ] {
        let said = refused(program, arguments);
        assert!(said.starts_with("kagiban-operator: systemd: ") && said.contains("systemctl enable"), "{said}");
    }
}

#[test]
fn a_service_lives_as_its_manager_says() {
    if !REGISTERS_ITSELF {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    // As paths of Windows are: with a space, which ends a path that is not quoted.
    let within = directory.path().join("Program Data");
    let at = |name: &str| within.join(name).display().to_string();
    fs::create_dir_all(at("manifests")).expect("a directory");
    let program = PathBuf::from(at("kagiban-operator.exe"));
    fs::copy(env!("CARGO_BIN_EXE_kagiban-operator"), &program).expect("copied");
    let _removed = Removed(&program);
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let (address, manifests, log) = (format!("127.0.0.1:{port}"), at("manifests"), at("log"));
    // What lies above it is missing.
    let state = at(r"made\state");
    let options = ["--manifests", &manifests, "--state", &state, "--metrics-address", &address];
    let install = [&["install"], &options[..], &["--log-file", &log]].concat();

    for (words, reason) in [
        (&["install", "--manifests", &manifests, "--kubeconfig", "k"][..], "of_cluster: "),
        (&["install", "--state", &state], "no_manifests: "),
        (&["install", "--manifests", &at("none")], "no_directory: "),
        (&["install", "--manifests", &manifests, "--log-level", "=="], "options: "),
        (&["install", "--manifests", &manifests, "--confirm-deletions"], "options: "),
        (&["install", "--manifests", &manifests, "--log-file", &at(r"manifests\op.yaml")], "options: "),
        // Wine's drive `Z:` is Linux's root, where everybody may add names to `/tmp`.
        (&["install", "--manifests", r"Z:\tmp"], "exposed: "),
        (&["install", "--manifests", &manifests, "--secrets", r"Z:\tmp"], "exposed: "),
        (&["install", "--manifests", &manifests, "--state", r"Z:\tmp\kagiban-none\state"], "exposed: "),
    ] {
        let said = refused(&program, words);
        assert!(said.contains(&format!("kagiban-operator: {reason}")), "{words:?}: {said}");
        assert_eq!(registered(), None, "what is refused registers nothing");
    }
    assert!(!Path::new(r"Z:\tmp\kagiban-none").exists(), "what is refused makes nothing either");
    let said = refused(&program, &[&["run"], &options[..]].concat());
    assert!(said.contains("not_started_by_manager") && said.contains("kagiban-operator service install"), "{said}");

    assert!(done(&program, &install).contains("is registered as a service"));
    let service = registered().expect("registered");
    let command_line = service.command_line.into_string().expect("UTF-8");
    assert!(command_line.contains(&format!("service run --manifests \"{manifests}\"")), "{command_line}");
    assert!(service.starts_by_itself && service.state == ServiceState::Stopped);
    assert!(done(&program, &["install", "--keep"]).contains("already"));

    create_private_directory(Path::new(&at("made"))).expect("it is made, and nobody else's");
    let lock = || fs::File::options().write(true).open(at(r"made\state\lock")).expect("it is there");

    let logged = || fs::read_to_string(&log).unwrap_or_default();
    for _ in 0..2 {
        sc("start");
        until("it runs", || is(ServiceState::Running));
        until("it answers", || get(port, "/metrics").is_some_and(|told| told.starts_with("HTTP/1.1 200")));
        until("it is ready", || get(port, "/readyz").is_some_and(|told| told.starts_with("HTTP/1.1 200")));
        // The state is its own.
        let other = ["standalone", "--manifests", &manifests, "--state", &state, "--metrics-address", "127.0.0.1:0"];
        let second = Command::new(&program).args(other).output().expect("it was copied");
        let said = text(&second.stderr);
        assert!(second.status.code() == Some(1) && said.contains("another kagiban-operator works"), "{said}");
        lock().try_lock().expect_err("it runs");
        let began = Instant::now();
        sc("stop");
        until("it is stopped", || is(ServiceState::Stopped));
        lock().try_lock().expect("it is told to be stopped once nothing of it is left");
        for _ in 0..2 {
            assert!(done(&program, &["stop"]).contains("is stopped") && is(ServiceState::Stopped));
        }
        assert!(began.elapsed() < PATIENCE && get(port, "/metrics").is_none());
        let ended = sc("query");
        assert!(ended.contains("SERVICE_EXIT_CODE  : 0") && ended.contains("WIN32_EXIT_CODE    : 0"), "{ended}");
    }
    assert!(logged().contains(" INFO ") && logged().contains("kagiban-operator ends"), "{}", logged());

    // The state is free again for one in a console.
    let mut free =
        Command::new(&program).arg("standalone").args(options).stderr(Stdio::null()).spawn().expect("it was copied");
    until("the state is free", || get(port, "/metrics").is_some());
    free.kill().expect("it runs");
    let _ = free.wait();

    // As an account of its own, as far as Wine has accounts.
    let account = || registered().expect("it is registered").account.and_then(|it| it.into_string().ok());
    let own_account = [&install[..], &["--account", "own"]].concat();
    let said = done(&program, &own_account);
    assert!(said.contains("new settings") && said.contains(&format!("icacls \"{state}\" /grant")), "{said}");
    assert_eq!(account(), Some(SERVICE.account()));
    assert!(done(&program, &install).contains("already"));
    assert_eq!(account(), Some(SERVICE.account()), "it stays as it is where none is named");
    sc("start");
    until("it answers", || get(port, "/metrics").is_some());
    assert!(done(&program, &["stop"]).contains("is stopped"));
    assert!(done(&program, &[&install[..], &["--account", "system"]].concat()).contains("new settings"));
    assert_eq!(account().as_deref(), Some("LocalSystem"));

    let taken = TcpListener::bind(&address).expect("it is free");
    sc("start");
    until("it ends with a code of its own", || {
        is(ServiceState::Stopped) && sc("query").contains("SERVICE_EXIT_CODE  : 1")
    });
    assert!(logged().contains("--metrics-address"), "{}", logged());
    drop(taken);

    // Whoever may write a manifest, or add one, would have certificates issued. Wine runs a program of Linux, which makes it so, some time
    // or other.
    let chmod = Path::new(r"Z:\bin\chmod");
    if chmod.exists() {
        let change = |mode: &str, of: &str| {
            Command::new(chmod).args([mode, of]).current_dir(&manifests).spawn().expect("Wine runs it")
        };
        let manifest = Path::new(&manifests).join("a.yaml");
        fs::write(&manifest, GOOD).expect("a file");
        sc("start");
        let told = || {
            let output = Command::new(&program).args(["get", "--state", &state]).output().expect("it was copied");
            (text(&output.stdout), text(&output.stderr))
        };
        until("it is followed", || told().0.contains("ups-01"));
        let mut opening = change("666", "a.yaml");
        until("it is named", || {
            let (resources, warnings) = told();
            assert!(resources.contains("ups-01"), "it keeps what it said: {resources}{warnings}");
            warnings.contains("Warning: a.yaml: ") && warnings.contains("a.yaml: may be changed by Everyone")
        });
        let _ = opening.wait();
        let mut closing = change("600", "a.yaml");
        until("it is taken again", || told().1.is_empty());
        let _ = closing.wait();
        assert!(done(&program, &["stop"]).contains("is stopped"));
        let mut opening = change("757", ".");
        until("it is open", || !service_of(&program, &install).status.success());
        assert!(refused(&program, &install).contains("kagiban-operator: exposed: "));
        let before = logged().len();
        sc("start");
        until("it refuses manifests in the hands of others", || {
            is(ServiceState::Stopped) && logged()[before..].contains("others could have the service")
        });
        assert!(get(port, "/metrics").is_none());
        let _ = opening.wait();
    }

    // What lies in its own directory is made, and nobody else may add to it.
    let own = service_directory(&SERVICE).expect("it has one");
    let (manifests, secrets) = (own.join("manifests"), own.join("secrets"));
    let words =
        ["install", "--manifests", &manifests.display().to_string(), "--secrets", &secrets.display().to_string()];
    assert!(done(&program, &words).contains("new settings"));
    for directory in [&own, &manifests, &secrets] {
        create_private_directory(directory).expect("it is there, and nobody else's");
    }

    assert!(done(&program, &["remove"]).contains("is stopped and no service any more"));
    assert_eq!(registered(), None);
    for verb in ["remove", "stop"] {
        assert!(done(&program, &[verb]).contains("is no service here"), "there is nothing to be done");
    }
}
