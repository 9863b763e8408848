//! `keystore list`: its JSON, its exit codes, and what it refuses to open.

mod scene;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use scene::{Authority, run};

fn list(file: &Path, more: &[&str]) -> (i32, String, String) {
    let file = file.to_str().expect("UTF-8");
    let output = run(&[&["keystore", "list", file], more].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("it was not killed"), text(output.stdout), text(output.stderr))
}

#[test]
fn a_java_keystore_is_listed_in_the_json_that_scripts_count_on_without_its_password() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = directory.path().join("keystore");
    let made = Command::new("keytool")
        .args(["-genkeypair", "-alias", "securekey", "-keyalg", "EC", "-storetype", "JKS", "-storepass", "secret1"])
        .args(["-dname", "CN=ups-01,O=Example", "-keystore"])
        .arg(&store)
        .output()
        .expect("keytool is needed: install a JDK, for example openjdk-17-jdk-headless");
    assert!(made.status.success(), "{made:?}");
    let passwords = [("right", "secret1\n"), ("wrong", "secret2\n")];
    let [right, wrong] = passwords.map(|(name, password)| {
        let path = directory.path().join(name);
        std::fs::write(&path, password).expect("it can be written");
        path.to_str().expect("UTF-8").to_owned()
    });
    for (more, check) in [
        (&["-o", "json"][..], "not-given"),
        (&["-o", "json", "--password-file", &right], "verified"),
        (&["-o", "json", "--password-file", &wrong], "wrong"),
    ] {
        let (code, stdout, stderr) = list(&store, more);
        assert_eq!((code, stderr.as_str()), (0, ""));
        let listed: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
        assert_eq!((&listed["format"], &listed["password"]), (&"jks".into(), &check.into()));
        let entry = &listed["entries"][0];
        assert_eq!((&entry["alias"], &entry["kind"]), (&"securekey".into(), &"key".into()));
        assert_eq!((&entry["privateKey"], entry.get("friendlyName")), (&true.into(), None));
        let leaf = &entry["chain"][0];
        assert!(leaf["keyAlgorithm"].as_str().is_some_and(|name| name.starts_with("EC-")), "{leaf}");
        assert_eq!(leaf["subject"], "CN=ups-01,O=Example");
        assert_eq!(leaf["sha256"].as_str().map(str::len), Some(64));
        for time in ["notBefore", "notAfter"] {
            let text = leaf[time].as_str().expect("a text");
            text.parse::<jiff::Timestamp>().expect("RFC 3339");
        }
    }
    let (code, stdout, _) = list(&store, &[]);
    assert!(code == 0 && stdout.contains("Alias: securekey") && stdout.contains("not checked"), "{stdout}");
}

#[test]
fn a_pkcs12_is_listed_with_its_friendly_names_and_the_size_of_its_keys() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = directory.path().join("store.p12");
    let made = Command::new("keytool")
        .args(["-genkeypair", "-alias", "securekey", "-keyalg", "RSA", "-keysize", "2048", "-storetype", "PKCS12"])
        .args(["-storepass", "secret1", "-dname", "CN=ups-01", "-keystore"])
        .arg(&store)
        .output()
        .expect("keytool is needed: install a JDK, for example openjdk-17-jdk-headless");
    assert!(made.status.success(), "{made:?}");
    let password = directory.path().join("password");
    std::fs::write(&password, "secret1\n").expect("it can be written");
    let (code, stdout, stderr) = list(&store, &["-o", "json", "--password-file", password.to_str().expect("UTF-8")]);
    assert_eq!(code, 0, "{stderr}");
    let listed: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let entry = &listed["entries"][0];
    assert_eq!((&entry["friendlyName"], &entry["privateKey"]), (&"securekey".into(), &true.into()));
    let leaf = &entry["chain"][0];
    assert_eq!((&leaf["keyAlgorithm"], &leaf["keySize"]), (&"RSA".into(), &2048.into()));
}

#[test]
fn a_pem_file_has_no_alias_and_needs_no_password() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("chain.pem");
    let authority = Authority::new("Fleet CA");
    std::fs::write(&path, authority.issue("leaf", 2020..2040).pem + &authority.pem()).expect("it can be written");
    let (code, stdout, _) = list(&path, &["-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((code, &listed["format"], &listed["password"]), (0, &"pem".into(), &"none-needed".into()));
    assert_eq!(listed["entries"][0]["alias"], "");
    assert_eq!(listed["entries"][0]["chain"][0]["notAfter"], "2040-01-01T00:00:00Z");
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let directory = tempfile::tempdir().expect("a directory");
    let fifo = directory.path().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).expect("a FIFO");
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    for odd in [fifo.as_path(), &socket, directory.path(), Path::new("/dev/zero"), Path::new("/dev/tty")] {
        let started = Instant::now();
        let (code, stdout, stderr) = list(odd, &["-o", "json"]);
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (1, "", 1), "{stderr}");
        assert!(stderr.contains("not_regular"), "{stderr}");
        assert!(started.elapsed() < Duration::from_secs(5), "it waited");
    }
}

#[test]
fn a_fifo_is_not_opened_so_that_its_writer_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let fifo = directory.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600)).expect("a FIFO");
    let trace = directory.path().join("trace");
    let traced = Command::new("strace")
        .args(["-f", "-e", "trace=open,openat,openat2", "-o"])
        .arg(&trace)
        .args([env!("CARGO_BIN_EXE_kagiban-exporter"), "keystore", "list"])
        .arg(&fifo)
        .output()
        .expect("strace is needed: install the package strace");
    assert_eq!(traced.status.code(), Some(1));
    let trace = std::fs::read_to_string(&trace).expect("a trace");
    // A descriptor of that kind says what lies there, and does nothing to it
    let mut held = trace.lines().filter(|line| line.contains("fifo\"") && line.contains("O_PATH"));
    assert!(held.next().is_some(), "the trace does not show it: {trace}");
    let is_opened =
        |line: &str| (line.contains("fifo\"") && !line.contains("O_PATH")) || line.contains("/proc/self/fd");
    assert!(!trace.lines().any(is_opened), "{trace}");
}

#[test]
fn a_name_cannot_reorder_what_a_terminal_shows() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("leaf.pem");
    let subject = "moc.elpmaxe\u{202e}";
    std::fs::write(&path, Authority::new("Fleet CA").issue(subject, 2020..2040).pem).expect("it can be written");
    let (code, stdout, _) = list(&path, &[]);
    assert!(code == 0 && stdout.contains(r"moc.elpmaxe\u{202e}") && !stdout.contains('\u{202e}'), "{stdout}");
}

#[test]
fn a_failure_is_one_line_that_names_its_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let junk = directory.path().join("junk\nwith a second line");
    std::fs::write(&junk, [7_u8; 900]).expect("it can be written");
    for (file, reason) in [(junk.as_path(), "unsupported_format"), (&directory.path().join("none"), "not_found")] {
        let (code, stdout, stderr) = list(file, &[]);
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (1, "", 1), "{stderr}");
        assert!(stderr.contains(reason), "{stderr}");
        assert!(reason == "not_found" || stderr.contains("PEM or PKCS#12"), "it says what to do: {stderr}");
    }
}

#[test]
fn wrong_usage_exits_with_two() {
    for words in [&["keystore", "list"][..], &["keystore", "list", "a", "-o", "xml"], &["--no-such-flag"]] {
        assert_eq!(run(words).status.code(), Some(2), "{words:?}");
    }
}
