//! What other exporters were seen to get wrong about certificates, done right; the names of the tests say what.
//!
//! | defect | what was seen elsewhere | held by |
//! |---|---|---|
//! | D1 | a wrong password: most files missing, every error counter 0, the source up | `a_wrong_password_…` |
//! | D2 | the right password: half of the files still missing in silence | `the_right_password_…` |
//! | D3 | a PKCS#12 with two keys is refused | `a_pkcs12_with_two_keys_…` |
//! | D4 | a password that is not ASCII is taken for a wrong one | `a_password_that_is_not_ascii_…` |
//! | D5 | one secret key hides the whole JCEKS store | `a_secret_key_…` |
//! | D6 | a key password of its own, no key at all, no MAC: each hides readable certificates | `certificates_that_can_be_read_…` |
//! | D7 | a file edited behind a symlink is not read again | `a_file_edited_behind_a_symlink_…` |
//! | D8 | Kubernetes' swap of `..data` is not seen | `exporter/tests/metrics.rs`: `swapped_links_edits_in_place_and_vanished_files_are_all_seen` |
//! | D9 | a deleted file is forgotten without a word | `a_deleted_file_…` |
//! | D10 | SIGHUP ends the process | `exporter/tests/metrics.rs`: `a_bad_configuration_is_refused_at_a_reload_and_the_one_before_stays` |
//! | D15 | an expired self-signed server has no expiry | `an_expired_self_signed_server_…` |
//! | D16 | nor has an expired one that wants a client certificate | `an_expired_server_that_wants_…` |
//! | D17 | a chain that was not verified expires in the year 1 | `no_time_is_invented_…` |
//! | D18 | files that cannot be read count as success | `every_file_that_cannot_be_read_…` |
//! | D19 | errors are counted, but nobody knows of which files | the same |
//!
//! D11 to D14, about UPSes, are held beside the UPS sources. The stores are made by keytool, the servers are OpenSSL's.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_tests::ports::{Port, on_ports};
use kagiban_tests::process::{Program, run};
use kagiban_tests::reference::documented;
use kagiban_tests::{http, scratch, tools, wait};
use rcgen::{CertificateParams, DnType, KeyPair};

const PASSWORD: &str = "changeit";
const UMLAUTS: &str = "pässwörd";
/// Far beyond what anything here takes; reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(60);
/// Those of the set that open without a password, or hold what needs none.
const READABLE_WITHOUT: [&str; 11] = [
    "a.der",
    "a.p7b",
    "a.pem",
    "bom.pem",
    "keypass.jks",
    "plain.p12",
    "secret.jceks",
    "two.jceks",
    "two.jks",
    "umlaut.jks",
    "utf16.dat",
];
const NEED_THE_PASSWORD: [&str; 2] = ["trust.p12", "two.p12"];
const JUNK: &str = "junk";
/// A pattern finds it, and it is no certificate.
const TEXT: &str = "agent.log";

#[test]
fn a_wrong_password_shows_in_every_file_that_it_does_not_open_with_the_reason() -> Result<()> {
    let metrics = look(&set()?.rule("wrong-password"))?;
    for file in NEED_THE_PASSWORD {
        metrics.says("x509_file_up", &[file], "0")?;
        metrics.says("x509_file_error", &[file, "reason=\"bad_password\""], "1")?;
    }
    metrics.says("x509_source_errors_total", &["reason=\"bad_password\""], "2")?;
    for file in ["two.jks", "two.jceks", "keypass.jks"] {
        metrics.says("x509_keystore_password_verified", &[file], "0")?;
        metrics.holds_aliases(file, if file == "keypass.jks" { &["first"] } else { &["first", "second"] })?;
    }
    Ok(())
}

#[test]
fn the_right_password_leaves_nothing_out_in_silence() -> Result<()> {
    let metrics = look(&set()?.rule("password"))?;
    for file in READABLE_WITHOUT.iter().chain(&NEED_THE_PASSWORD) {
        metrics.says("x509_file_up", &[file], "1")?;
        ensure!(!metrics.find("x509_cert_not_after_timestamp_seconds", &[file]).is_empty(), "nothing of {file}");
    }
    metrics.says("x509_file_error", &[JUNK, "reason=\"unsupported_format\""], "1")?;
    ensure!(metrics.find("x509_file_up", &[TEXT]).is_empty(), "{}", metrics.0);
    metrics.says("x509_files_skipped", &["kind=\"text\""], "1")?;
    metrics.says("x509_source_files", &[], &(READABLE_WITHOUT.len() + NEED_THE_PASSWORD.len() + 1).to_string())
}

#[test]
fn a_pkcs12_with_two_keys_shows_both() -> Result<()> {
    let metrics = look(&set()?.rule("password"))?;
    metrics.says("x509_keystore_password_verified", &["two.p12"], "1")?;
    metrics.holds_aliases("two.p12", &["first", "second"])
}

#[test]
fn a_password_that_is_not_ascii_is_the_right_one() -> Result<()> {
    let metrics = look(&set()?.rule("umlauts"))?;
    metrics.says("x509_keystore_password_verified", &["umlaut.jks"], "1")?;
    metrics.says("x509_keystore_password_verified", &["two.jks"], "0")
}

#[test]
fn a_secret_key_hides_no_certificate_beside_it() -> Result<()> {
    let metrics = look(&set()?.rule("password"))?;
    metrics.says("x509_keystore_password_verified", &["secret.jceks"], "1")?;
    metrics.holds_aliases("secret.jceks", &["first"])
}

#[test]
fn certificates_that_can_be_read_are_read_whatever_is_odd_about_their_store() -> Result<()> {
    let metrics = look(&set()?.rule("password"))?;
    metrics.holds_aliases("keypass.jks", &["first"])?;
    metrics.holds_aliases("trust.p12", &["trusted"])?;
    metrics.holds_aliases("plain.p12", &["first"])
}

#[test]
fn a_file_edited_behind_a_symlink_is_read_again() -> Result<()> {
    let host = Host::new("behind-a-symlink")?;
    host.put("real/a.pem", "before")?;
    symlink("../real/a.pem", host.path("certs/a.pem"))?;
    let exporter = host.watch()?;
    exporter.wait("the first one is seen", |metrics| metrics.shows("before"))?;
    host.put("real/a.pem", "behind")?;
    exporter.wait("the edit is seen", |metrics| metrics.shows("behind") && !metrics.shows("before"))
}

#[test]
fn a_deleted_file_leaves_no_expiry_behind_and_is_missed_where_it_was_named() -> Result<()> {
    let host = Host::new("deleted")?;
    for name in ["certs/stays.pem", "certs/goes.pem", "named.pem"] {
        host.put(name, name)?;
    }
    let exporter = host.watch()?;
    exporter.wait("all three are seen", |metrics| metrics.says("x509_source_files", &[], "3").is_ok())?;
    fs::remove_file(host.path("certs/goes.pem"))?;
    fs::remove_file(host.path("named.pem"))?;
    exporter.wait("they are gone", |metrics| !metrics.shows("certs/goes.pem") && !metrics.shows("named.pem"))?;
    let metrics = exporter.metrics()?;
    // Of what a pattern finds, nobody can know that it should be there: the count tells. What is named must be there.
    ensure!(metrics.find("x509_file_up", &["goes.pem"]).is_empty(), "a ghost: {}", metrics.0);
    metrics.says("x509_source_files", &[], "2")?;
    metrics.says("x509_file_up", &["named.pem"], "0")?;
    metrics.says("x509_file_error", &["named.pem", "reason=\"not_found\""], "1")?;
    metrics.says("x509_file_up", &["stays.pem"], "1")
}

#[test]
fn an_expired_self_signed_server_is_told_with_its_expiry() -> Result<()> {
    let server = Server::start("self-signed", &[])?;
    let metrics = server.look()?;
    metrics.says("x509_cert_not_after_timestamp_seconds", &[&server.target()], EXPIRED_AT)?;
    metrics.says("tls_probe_success", &[&server.target()], "1")?;
    metrics.says("tls_probe_verified", &[&server.target()], "0")
}

#[test]
fn an_expired_server_that_wants_a_client_certificate_is_told_with_its_expiry() -> Result<()> {
    for version in ["-tls1_2", "-tls1_3"] {
        let server = Server::start("wants-a-client", &[version, "-Verify", "1", "-verify_return_error"])?;
        let metrics = server.look()?;
        metrics.says("x509_cert_not_after_timestamp_seconds", &[&server.target()], EXPIRED_AT)?;
        metrics.says("tls_probe_success", &[&server.target()], "1")?;
    }
    Ok(())
}

#[test]
fn no_time_is_invented_for_a_chain_that_is_not_verified() -> Result<()> {
    let server = Server::start("no-time", &[])?;
    let metrics = server.look()?;
    let times = metrics.0.lines().filter(|line| !line.starts_with('#') && line.contains("_timestamp_seconds"));
    let mut seen = 0;
    for line in times {
        let value: f64 = line.rsplit_once(' ').context("no value")?.1.parse()?;
        ensure!(value > 0.0 && value.is_finite(), "{line}");
        seen += 1;
    }
    ensure!(seen > 0, "no times at all");
    metrics.says("tls_probe_verify_error", &[&server.target()], "1")
}

#[test]
fn every_file_that_cannot_be_read_is_named_with_its_reason_and_the_counters_agree() -> Result<()> {
    let metrics = look(&set()?.rule_without_password())?;
    let failing = [(JUNK, "unsupported_format")];
    let locked = NEED_THE_PASSWORD.map(|file| (file, "password_needed"));
    for (file, reason) in failing.iter().chain(&locked) {
        metrics.says("x509_file_up", &[file], "0")?;
        metrics.says("x509_file_error", &[file, &format!("reason=\"{reason}\"")], "1")?;
    }
    ensure!(metrics.find("x509_file_error", &[]).len() == failing.len() + locked.len(), "{}", metrics.0);
    metrics.says("x509_source_errors_total", &["unsupported_format"], "1")?;
    metrics.says("x509_source_errors_total", &["password_needed"], "2")
}

/// 2020-01-01.
const EXPIRED_AT: &str = "1577836800";

/// What a scrape brought.
struct Metrics(String);

impl Metrics {
    fn find(&self, family: &str, words: &[&str]) -> Vec<&str> {
        let of_family = |line: &&str| line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' ']));
        self.0.lines().filter(of_family).filter(|line| words.iter().all(|word| line.contains(word))).collect()
    }

    /// Exactly one sample, with this value.
    fn says(&self, family: &str, words: &[&str], value: &str) -> Result<()> {
        let found = self.find(family, words);
        let [line] = found[..] else { anyhow::bail!("{family} with {words:?}: {found:?}\n{}", self.0) };
        ensure!(line.ends_with(&format!(" {value}")), "{line} should be {value}");
        Ok(())
    }

    fn shows(&self, subject: &str) -> bool {
        !self.find("x509_cert_not_after_timestamp_seconds", &[&format!("subject_cn=\"{subject}\"")]).is_empty()
    }

    fn holds_aliases(&self, file: &str, aliases: &[&str]) -> Result<()> {
        let found = self.find("x509_cert_not_after_timestamp_seconds", &[file]);
        ensure!(found.len() == aliases.len(), "{file}: {found:?}");
        for alias in aliases {
            ensure!(found.iter().any(|line| line.contains(&format!("alias=\"{alias}\""))), "{file}: {found:?}");
        }
        Ok(())
    }
}

/// One look of the real program.
fn look(configuration: &Path) -> Result<Metrics> {
    let output = Command::new(tools::ours("kagiban-exporter")?)
        .args(["--once", "--config.file"])
        .arg(configuration)
        .output()
        .context("the exporter cannot be run")?;
    Ok(Metrics(String::from_utf8(output.stdout)?))
}

/// The stores and files of the defects' reports.
struct Set(PathBuf);

fn set() -> Result<&'static Set> {
    static SET: OnceLock<std::result::Result<Set, String>> = OnceLock::new();
    SET.get_or_init(|| Set::make().map_err(|error| format!("{error:#}"))).as_ref().map_err(|e| anyhow::anyhow!("{e}"))
}

impl Set {
    fn make() -> Result<Self> {
        let root = scratch::directory("conformance")?;
        let set = Self(root.clone());
        let files = root.join("set");
        fs::create_dir(&files)?;
        for (name, password) in [("password", PASSWORD), ("wrong-password", "not-this-one"), ("umlauts", UMLAUTS)] {
            fs::write(root.join(name), password)?;
        }
        for (store, kind) in [("two.jks", "JKS"), ("two.jceks", "JCEKS"), ("two.p12", "PKCS12")] {
            for alias in ["first", "second"] {
                key(&files.join(store), kind, alias, PASSWORD, &[])?;
            }
        }
        key(&files.join("keypass.jks"), "JKS", "first", PASSWORD, &["-keypass", "another-one"])?;
        key(&files.join("secret.jceks"), "JCEKS", "first", PASSWORD, &[])?;
        keytool(
            &files.join("secret.jceks"),
            PASSWORD,
            &["-genseckey", "-alias", "secret", "-keyalg", "AES", "-keysize", "128"],
        )?;
        let bare = ["-J-Dkeystore.pkcs12.macAlgorithm=NONE", "-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE"];
        key(&files.join("plain.p12"), "PKCS12", "first", PASSWORD, &bare)?;
        key(&files.join("umlaut.jks"), "JKS", "first", UMLAUTS, &[])?;

        let der = files.join("a.der");
        let export = ["-exportcert", "-alias", "first", "-file"].map(OsStr::new);
        keytool(&files.join("two.jks"), PASSWORD, &[&export[..], &[der.as_os_str()]].concat())?;
        let import = ["-importcert", "-noprompt", "-storetype", "PKCS12", "-alias", "trusted", "-file"].map(OsStr::new);
        keytool(&files.join("trust.p12"), PASSWORD, &[&import[..], &[der.as_os_str()]].concat())?;
        let openssl = |words: &[&str]| run(Command::new(tools::openssl()?).args(words).current_dir(&files));
        openssl(&["x509", "-inform", "DER", "-in", "a.der", "-out", "a.pem"])?;
        openssl(&["crl2pkcs7", "-nocrl", "-certfile", "a.pem", "-out", "a.p7b"])?;
        let windows = fs::read_to_string(files.join("a.pem"))?.replace('\n', "\r\n");
        fs::write(files.join("bom.pem"), format!("\u{feff}{windows}"))?;
        let utf16: Vec<u8> = format!("\u{feff}{windows}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        fs::write(files.join("utf16.dat"), utf16)?;
        // 900 bytes that follow no format, the same ones in each run.
        let junk: Vec<u8> = (0_u32..900).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        fs::write(files.join("junk"), junk)?;
        fs::write(files.join("agent.log"), "2026-01-01 00:00:00 INFO started\n".repeat(20))?;
        Ok(set)
    }

    fn rule(&self, password_file: &str) -> PathBuf {
        self.configured(password_file, &format!(", passwordFile: {}/{password_file}", self.0.display()))
    }

    fn rule_without_password(&self) -> PathBuf {
        self.configured("none", "")
    }

    fn configured(&self, name: &str, password: &str) -> PathBuf {
        let path = self.0.join(format!("{name}.yaml"));
        let rule = format!("certificates: [{{name: set, paths: [\"{}/set/*\"]{password}}}]\n", self.0.display());
        fs::write(&path, rule).expect("the directory is ours");
        path
    }
}

fn key(store: &Path, kind: &str, alias: &str, password: &str, more: &[&str]) -> Result<()> {
    let name = format!("CN={alias}");
    let words = [
        "-genkeypair",
        "-alias",
        alias,
        "-keyalg",
        "EC",
        "-groupname",
        "secp256r1",
        "-dname",
        &name,
        "-storetype",
        kind,
    ];
    keytool(store, password, &[&words[..], more].concat())
}

fn keytool<Word: AsRef<OsStr>>(store: &Path, password: &str, words: &[Word]) -> Result<()> {
    run(Command::new(tools::keytool()?)
        .arg("-J-XX:TieredStopAtLevel=1")
        // How Java reads its arguments depends on it.
        .env("LC_ALL", "C.UTF-8")
        .args(words)
        .args(["-storepass", password, "-keystore"])
        .arg(store))?;
    Ok(())
}

/// A directory of certificates that changes while it is watched.
struct Host(PathBuf);

impl Host {
    fn new(name: &str) -> Result<Self> {
        let root = scratch::directory(name)?;
        for directory in ["certs", "real"] {
            fs::create_dir(root.join(directory))?;
        }
        Ok(Self(root))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn put(&self, name: &str, subject: &str) -> Result<()> {
        let (certificate, _) = self_signed(subject, 2040)?;
        Ok(fs::write(self.path(name), certificate)?)
    }

    fn watch(&self) -> Result<Watching> {
        let root = self.0.display();
        let rule =
            format!("certificates: [{{name: a, paths: [\"{root}/certs/*\", \"{root}/named.pem\"], interval: 1s}}]\n");
        // Only one of the tests names a file.
        let rule =
            if self.path("named.pem").exists() { rule } else { rule.replace(&format!(", \"{root}/named.pem\""), "") };
        let configuration = self.path("exporter.yaml");
        fs::write(&configuration, rule)?;
        let ours = tools::ours("kagiban-exporter")?;
        on_ports(|[port]| {
            let mut command = Command::new(&ours);
            command.arg(format!("--web.listen-address={}", port.address())).arg("--config.file").arg(&configuration);
            let mut program = Program::start("exporter", &command, &self.0)?;
            let ready = || http::get(port.address(), "/-/ready").is_ok_and(|answer| answer.status == 200);
            program.wait_ready_on(port.number(), PATIENCE, ready)?;
            Ok(Watching { port, _program: program })
        })
    }
}

struct Watching {
    port: Port,
    _program: Program,
}

impl Watching {
    fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics(documented(http::get(self.port.address(), "/metrics")?.body)))
    }

    fn wait(&self, what: &str, holds: impl Fn(&Metrics) -> bool) -> Result<()> {
        let done = wait::until(PATIENCE, || self.metrics().is_ok_and(|metrics| holds(&metrics)));
        done.with_context(|| format!("{what}: {}", self.metrics().map(|m| m.0).unwrap_or_default()))
    }
}

/// OpenSSL's server with an expired, self-signed certificate.
struct Server {
    port: Port,
    directory: PathBuf,
    _program: Program,
}

impl Server {
    fn start(name: &str, more: &[&str]) -> Result<Self> {
        let directory = scratch::directory(name)?;
        let (certificate, key) = self_signed("ups-01.example.com", 2020)?;
        fs::write(directory.join("tls.crt"), certificate)?;
        fs::write(directory.join("tls.key"), key)?;
        let openssl = tools::openssl()?;
        on_ports(|[port]| {
            let mut command = Command::new(&openssl);
            command
                .args(["s_server", "-quiet", "-cert", "tls.crt", "-key", "tls.key", "-accept"])
                .arg(port.address().to_string())
                .args(more)
                .current_dir(&directory);
            let mut program = Program::start("s_server", &command, &directory)?;
            program.wait_ready_on(port.number(), PATIENCE, || true)?;
            Ok(Self { port, directory: directory.clone(), _program: program })
        })
    }

    fn target(&self) -> String {
        format!("target=\"{}\"", self.port.address())
    }

    fn look(&self) -> Result<Metrics> {
        let path = self.directory.join("exporter.yaml");
        fs::write(&path, format!("tlsEndpoints: [{{address: \"{}\"}}]\n", self.port.address()))?;
        look(&path)
    }
}

/// A certificate that ends with that year's first second, and its key, PEM.
fn self_signed(subject: &str, until: i32) -> Result<(String, String)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["ups-01.example.com".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, subject);
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}
