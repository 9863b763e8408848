//! The built program judges how an agent is hardened: a directory as the installer leaves it and as the handbook wants it,
//! with stores of keytool's making and a TLS server that speaks old versions or does not.

mod scene;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use scene::{Exporter, run};

struct Installation {
    directory: tempfile::TempDir,
}

/// A server that ends with the test.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Installation {
    /// As the installer leaves it, with careless modes.
    fn careless() -> Self {
        let installation = Self { directory: tempfile::tempdir().expect("a directory") };
        for directory in ["Agent/cmdfiles", "jre/lib/security"] {
            fs::create_dir_all(installation.path(directory)).expect("directories");
        }
        installation.keystore("changeit", "SHA512withRSA");
        installation.trust_store("changeit");
        installation.write("jre/release", "JAVA_VERSION=\"11.0.21\"\n");
        installation.write("Agent/pcssconfig.ini", "[Other]\r\nlanguage = ja\r\n");
        installation.write("silentInstall.ini", "password = x\n");
        installation.chmod("Agent/cmdfiles", 0o777);
        installation.chmod("jre/lib", 0o775);
        installation
    }

    /// As the handbook wants it.
    fn hardened(issuer: &scene::Authority) -> Self {
        let installation = Self::careless();
        installation.keystore("own-password", "SHA256withRSA");
        installation.trust_store("another-password");
        installation.write("jre/release", "JAVA_VERSION=\"17.0.10\"\n");
        installation.write("Agent/pcssconfig.ini", "[Credentials]\r\nKS_Access_Data = own-password\r\n");
        for name in ["pcssconfig_backup.ini", "m11.cfg", "m11.bak"] {
            installation.write(&format!("Agent/{name}"), "");
        }
        fs::remove_file(installation.path("silentInstall.ini")).expect("it was there");
        for directory in [".", "Agent", "Agent/cmdfiles", "jre", "jre/lib", "jre/lib/security"] {
            installation.chmod(directory, 0o755);
        }
        let leaf = issuer.issue("ups-01", 2020..2090);
        fs::write(installation.path("served.pem"), leaf.pem).expect("it can be written");
        installation
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("it can be written");
        self.chmod(name, 0o644);
    }

    fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    fn keystore(&self, password: &str, signature: &str) {
        let store = self.path("Agent/keystore");
        let _ = fs::remove_file(&store);
        keytool(
            &["-genkeypair", "-alias", "securekey", "-keyalg", "RSA", "-keysize", "2048", "-sigalg", signature],
            &store,
            password,
        );
        self.chmod("Agent/keystore", 0o600);
    }

    fn trust_store(&self, password: &str) {
        let store = self.path("jre/lib/security/cacerts");
        let _ = fs::remove_file(&store);
        keytool(&["-genkeypair", "-alias", "ca", "-keyalg", "EC"], &store, password);
        self.chmod("jre/lib/security/cacerts", 0o644);
    }

    fn config(&self, address: &str, health: &str) -> PathBuf {
        let agent = format!(
            "{{name: powerchute, product: powerchute-serial-shutdown, directory: {}, endpoint: {{address: '{address}'}}}}",
            self.path("Agent").display()
        );
        let text = format!("discovery: {{enabled: false}}\nagents: [{agent}]\npowerchuteHealth: {{{health}}}\n");
        fs::write(self.path("exporter.yaml"), text).expect("it can be written");
        self.path("exporter.yaml")
    }

    /// What each check came to: `1`, `0`, or the reason why it is unknown.
    fn checks(&self, address: &str, health: &str) -> BTreeMap<String, String> {
        let config = self.config(address, health);
        let output = run(&["--once", "--config.file", config.to_str().expect("UTF-8")]);
        verdicts(&String::from_utf8(output.stdout).expect("UTF-8"), &self.path("Agent"))
    }
}

fn verdicts(metrics: &str, directory: &Path) -> BTreeMap<String, String> {
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let ours = metrics.lines().filter(|line| line.starts_with("kagiban_powerchute_check"));
    let verdict = |line: &str| {
        assert_eq!(label(line, "agent").as_deref(), Some("powerchute"), "{line}");
        assert_eq!(label(line, "directory").as_deref(), directory.to_str(), "{line}");
        let verdict = label(line, "reason").or_else(|| Some(line.rsplit_once(' ')?.1.to_owned()));
        (label(line, "check").expect("a check"), verdict.expect("a value"))
    };
    let checks: BTreeMap<_, _> = ours.map(verdict).collect();
    assert_eq!(checks.len(), 13, "every check is told, once: {metrics}");
    checks
}

fn keytool(command: &[&str], store: &Path, password: &str) {
    let made = Command::new("keytool")
        .args(command)
        .args(["-dname", "CN=ups-01", "-storetype", "JKS", "-keypass", password, "-storepass", password, "-keystore"])
        .arg(store)
        .output()
        .expect("keytool is needed: install a JDK, for example openjdk-17-jdk-headless");
    assert!(made.status.success(), "{made:?}");
}

/// openssl's server with these options and the certificate of this signature.
fn server(directory: &Path, signature: &str, options: &[&str]) -> Server {
    let needed = "these tests need the program openssl: install the package openssl";
    let (key, certificate) = (directory.join("server.key"), directory.join("server.crt"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ups-01", signature, "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect(needed);
    assert!(made.status.success(), "{made:?}");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
    let address = format!("127.0.0.1:{port}");
    let child = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &address, "-key"])
        .arg(&key)
        .arg("-cert")
        .arg(&certificate)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect(needed);
    let server = Server { child, address };
    let started = Instant::now();
    while std::net::TcpStream::connect(&server.address).is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "openssl s_server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

fn expect(found: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    for (check, verdict) in expected {
        assert_eq!(found.get(*check).map(String::as_str), Some(*verdict), "{check} of {found:?}");
    }
}

/// Everything that OpenSSL can still be talked into.
const OLD: &[&str] = &["-cipher", "ALL:@SECLEVEL=0", "-no_tls1_3"];

#[test]
fn a_careless_installation_fails_every_check_that_needs_no_telling() {
    let installation = Installation::careless();
    let server = server(installation.directory.path(), "-sha512", OLD);
    let found = installation.checks(&server.address, "minimumJavaVersion: 17");
    expect(
        &found,
        &[
            ("keystore_password_changed", "0"),
            ("factory_certificate_replaced", "0"),
            ("cacerts_password_changed", "0"),
            ("jre_directory_protected", "0"),
            ("jre_recent", "0"),
            ("command_files_protected", "0"),
            ("install_directory_protected", "0"),
            ("protected_files_present", "0"),
            ("silent_install_removed", "0"),
            ("old_tls_refused", "0"),
            ("snmp_v1_disabled", "not_configured"),
            ("snmp_v3_strong", "not_configured"),
            ("jars_signed", "not_configured"),
        ],
    );
}

#[test]
fn a_hardened_installation_passes_and_what_was_not_told_is_unknown() {
    let installation = Installation::hardened(&scene::Authority::new("Fleet CA"));
    let server = server(installation.directory.path(), "-sha256", &["-tls1_2"]);
    let found = installation.checks(&server.address, "");
    let passed = found.iter().filter(|(_, verdict)| *verdict == "1").count();
    assert_eq!(passed, 9, "{found:?}");
    expect(
        &found,
        &[("jre_recent", "not_configured"), ("snmp_v1_disabled", "not_configured"), ("old_tls_refused", "1")],
    );
    expect(&installation.checks(&server.address, "minimumJavaVersion: \"17.0.10\""), &[("jre_recent", "1")]);
    // One file of a thousand that others may write, and links, which are nobody's to write.
    std::os::unix::fs::symlink("/", installation.path("Agent/root")).expect("a link");
    expect(&installation.checks(&server.address, ""), &[("install_directory_protected", "1")]);
    installation.write("Agent/lib.jar", "");
    installation.chmod("Agent/lib.jar", 0o646);
    expect(&installation.checks(&server.address, ""), &[("install_directory_protected", "0")]);
}

#[test]
fn tls_1_1_alone_is_seen_and_a_dead_port_is_unknown() {
    let installation = Installation::hardened(&scene::Authority::new("Fleet CA"));
    let options = [OLD, &["-no_tls1"]].concat();
    let old = server(installation.directory.path(), "-sha256", &options);
    expect(&installation.checks(&old.address, ""), &[("old_tls_refused", "0")]);
    drop(old);
    expect(
        &installation.checks("127.0.0.1:1", ""),
        &[
            ("old_tls_refused", "connect"),
            ("factory_certificate_replaced", "connect"),
            ("jre_directory_protected", "1"),
        ],
    );
}

#[test]
fn a_directory_that_is_not_there_is_unknown_and_nothing_passes() {
    let installation = Installation::careless();
    fs::remove_dir_all(installation.path("Agent")).expect("it was there");
    fs::remove_dir_all(installation.path("jre")).expect("it was there");
    let found = installation.checks("127.0.0.1:1", "minimumJavaVersion: 17");
    assert!(found.values().all(|verdict| !["0", "1"].contains(&verdict.as_str())), "{found:?}");
    expect(&found, &[("protected_files_present", "not_found"), ("silent_install_removed", "not_found")]);
}

#[test]
fn a_check_that_begins_to_fail_is_told_once_with_what_was_found() {
    let installation = Installation::hardened(&scene::Authority::new("Fleet CA"));
    let exporter = Exporter::start(&installation.config("127.0.0.1:1", "interval: 1s"));
    let log = exporter.log();
    assert!(!log.contains("hardening check"), "{log}");
    installation.chmod("jre/lib", 0o777);
    exporter.wait_until("it is told", |exporter| exporter.log().contains("hardening check fails"));
    std::thread::sleep(Duration::from_secs(3));
    let log = exporter.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("hardening check fails")).collect();
    assert!(told.len() == 1 && told[0].contains("jre/lib") && told[0].contains("jre_directory_protected"), "{log}");
    assert!(!log.contains("own-password"));
    installation.chmod("jre/lib", 0o755);
    exporter.wait_until("it is well", |exporter| exporter.log().contains("hardening check passes again"));
}
