//! The program as a service that registers itself: through its life, with the service manager of the system.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use kagiban_exporter::platform::SERVICE;
use kagiban_service::{REGISTERS_ITSELF, RegisteredService, ServiceState, registered_service};

use super::{PATIENCE, Place, get, program, text};

const CONFIG: &str = "certificates:\n  - {name: one, paths: [ROOT/certs/a.pem]}\n";

fn service(arguments: &[&str]) -> Output {
    program().arg("service").args(arguments).output().expect("the program was built")
}

/// The same of a copy that lies where only administrators may exchange it, as it is not everywhere where it is built.
fn service_of(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).arg("service").args(arguments).output().expect("it was copied")
}

/// Lets everybody write in a directory, where the system below Windows can be told so: Wine runs its programs, some time or other.
fn opening(directory: &Path) -> Option<Child> {
    let chmod = Path::new(r"Z:\bin\chmod");
    chmod.exists().then(|| Command::new(chmod).args(["757", "."]).current_dir(directory).spawn().expect("Wine runs it"))
}

/// What it says, where it does it.
fn done(program: &Path, arguments: &[&str]) -> String {
    let output = service_of(program, arguments);
    let (said, wrong) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}{wrong}");
    said
}

fn refused(arguments: &[&str]) -> String {
    let output = service(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

fn registered() -> Option<RegisteredService> {
    registered_service(&SERVICE, PATIENCE).expect("the manager answers")
}

fn sc(verb: &str) -> String {
    text(&Command::new("sc.exe").args([verb, "kagiban-exporter"]).output().expect("Windows has it").stdout)
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whatever becomes of the test.
struct Removed;

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = service(&["remove", "--timeout", "5"]);
    }
}

fn is(state: ServiceState) -> bool {
    registered().expect("it is registered").state == state
}

#[test]
fn where_the_system_starts_programs_by_units_it_is_said_so() {
    if REGISTERS_ITSELF {
        return;
    }
    for arguments in
        [&["install"][..], &["install", "--keep"], &["remove"], &["start"], &["stop"], &["reload"], &["run"]]
    {
        let said = refused(arguments);
        assert!(said.starts_with("kagiban-exporter: systemd: ") && said.contains("systemctl enable"), "{said}");
    }
}

#[test]
fn a_service_lives_as_its_manager_says() {
    if !REGISTERS_ITSELF {
        return;
    }
    let _removed = Removed;
    let place = Place::new();
    // As paths of Windows are: with a space, which ends a path that is not quoted.
    let file = place.put("Program Data/exporter.yaml", b"nonsense: 1");
    let write = |yaml: &str| std::fs::write(&file, yaml.replace("ROOT", &place.root())).expect("it can be written");
    let config = file.to_str().expect("UTF-8");
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let address = format!("127.0.0.1:{port}");
    let log = place.directory.path().join("Program Data/exporter.log");
    let log_file = log.to_str().expect("UTF-8");
    let install = ["install", "--config.file", config, "--web.listen-address", &address, "--log.file", log_file];

    let program = place.directory.path().join("Program Data/kagiban-exporter.exe");
    std::fs::copy(env!("CARGO_BIN_EXE_kagiban-exporter"), &program).expect("copied");
    let refused_of = |arguments: &[&str]| {
        let output = service_of(&program, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
        text(&output.stderr)
    };

    let said = refused_of(&install);
    assert!(said.contains("nonsense"), "{said}");
    assert_eq!(registered(), None, "a configuration that is refused registers nothing");
    assert!(refused(&["reload"]).contains("not_there"));

    write(CONFIG);
    assert!(done(&program, &install).contains("is registered as a service"));
    let service = registered().expect("registered");
    let command_line = service.command_line.into_string().expect("UTF-8");
    assert!(
        command_line.contains(&format!("service run --config.file \"{}\"", config.replace('/', r"\"))),
        "{command_line}"
    );
    assert!(command_line.contains(&format!("--web.listen-address {address}")), "{command_line}");
    // Wine keeps none: docs/windows.md.
    assert!(service.restarts_after.is_none_or(|after| after == [5, 30, 60].map(Duration::from_secs)));
    assert!(service.starts_by_itself && service.state == ServiceState::Stopped);
    assert!(done(&program, &install).contains("already"));
    assert!(refused(&["reload"]).contains("not_running"));

    sc("start");
    until("it runs", || is(ServiceState::Running));
    until("it is ready", || get("127.0.0.1", port, "/-/ready").is_some_and(|told| told.starts_with("HTTP/1.1 200")));
    let metrics = || get("127.0.0.1", port, "/metrics").expect("it listens");
    assert!(
        metrics().contains("host_shutdown_state{state=\"none\"} 1"),
        "the manager would say that the system goes down"
    );

    write(&format!("{CONFIG}  - {{name: later, paths: [ROOT/certs/Below/store.jks]}}\n"));
    done(&program, &["reload"]);
    until("it has loaded its configuration", || metrics().contains("\"later\""));
    write("nonsense: 1");
    done(&program, &["reload"]);
    until("it has refused one", || metrics().contains("kagiban_config_last_reload_successful 0"));
    assert!(metrics().contains("\"later\"") && is(ServiceState::Running), "the one before stays in force");

    let logged = || std::fs::read_to_string(&log).expect("it has a log");
    assert!(logged().contains(" INFO ") && logged().contains("configuration refused"), "{}", logged());

    let began = Instant::now();
    for _ in 0..2 {
        assert!(done(&program, &["stop"]).contains("is stopped") && is(ServiceState::Stopped));
    }
    assert!(done(&program, &["remove"]).contains("is stopped and no service any more"));
    assert!(began.elapsed() < PATIENCE);
    assert_eq!((registered(), get("127.0.0.1", port, "/")), (None, None));
    for verb in ["remove", "stop"] {
        assert!(done(&program, &[verb]).contains("is no service here"), "there is nothing to be done");
    }

    write(CONFIG);
    done(&program, &install);
    let taken = TcpListener::bind(&address).expect("it is free");
    sc("start");
    until("it ends with a code of its own", || {
        is(ServiceState::Stopped) && sc("query").contains("SERVICE_EXIT_CODE  : 1")
    });
    drop(taken);

    // Wine's drive `Z:` is Linux's root, where everybody may add names to `/tmp`.
    let open = tempfile::tempdir_in("Z:/tmp").expect("this test needs Wine");
    let theirs = open.path().display().to_string().replace('\\', "/");
    write(&format!("{CONFIG}stateDirectory: '{theirs}/state'\n"));
    let said = refused_of(&install);
    assert!(said.contains("stateDirectory: ") && said.contains("may be changed by Everyone"), "{said}");
    std::fs::write(&log, "").expect("emptied");
    sc("start");
    until("it refuses a state directory in the hands of others", || {
        is(ServiceState::Stopped) && logged().contains("who could exchange")
    });
    write(CONFIG);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(["host".to_owned()]).and_then(|it| it.self_signed(&key));
    std::fs::write(open.path().join("tls.crt"), certificate.expect("a certificate").pem()).expect("written");
    std::fs::write(open.path().join("tls.key"), key.serialize_pem()).expect("written");
    let keys = format!("tls_server_config: {{cert_file: '{theirs}/tls.crt', key_file: '{theirs}/tls.key'}}\n");
    let web = place.put("Program Data/web.yaml", keys.as_bytes());
    let said = refused_of(&[&install[..], &["--web.config.file", web.to_str().expect("UTF-8")]].concat());
    assert!(said.contains("tls_server_config.key_file: ") && said.contains("may be changed by Everyone"), "{said}");
    let said = refused_of(&[&install[..5], &["--log.file", config]].concat());
    assert!(said.contains("--log.file: ") && said.contains("name a file of its own"), "{said}");

    // Whoever may add names beside the program, or exchange its configuration, would say what the system does.
    sc("start");
    until("it is ready", || get("127.0.0.1", port, "/-/ready").is_some_and(|told| told.starts_with("HTTP/1.1 200")));
    let directory = file.parent().expect("a directory");
    if let Some(mut chmod) = opening(directory) {
        until("it is open", || !service_of(&program, &install).status.success());
        let said = refused_of(&install);
        assert!(said.contains("may be changed by Everyone") && said.contains("below %ProgramFiles%"), "{said}");
        done(&program, &["reload"]);
        until("it has refused one that others may exchange", || logged().contains("reason=\"exposed\""));
        assert!(is(ServiceState::Running), "the one before stays in force");
        let _ = chmod.wait();
    }
    done(&program, &["remove"]);

    let said = refused(&["run"]);
    assert!(said.contains("not_started_by_manager") && said.contains("service install"), "{said}");
}
