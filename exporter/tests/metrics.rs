//! The built program, watched as Prometheus watches it.

mod scene;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use scene::{Authority, Exporter, Manner, run, tls_server};

struct Host {
    directory: tempfile::TempDir,
    authority: Authority,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("certs")).expect("a directory");
        Self { directory, authority: Authority::new("Fleet CA") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, subject: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the directory")).expect("a directory");
        fs::write(path, self.authority.issue(subject, 2020..2040).pem).expect("it can be written");
    }

    fn configure(&self, yaml: &str) -> PathBuf {
        let path = self.path("exporter.yaml");
        let root = self.directory.path().to_str().expect("UTF-8");
        fs::write(&path, yaml.replace("ROOT", root)).expect("it can be written");
        path
    }
}

const FILES: &str = "certificates: [{name: fleet, paths: [ROOT/certs/**/*, ROOT/must.pem], interval: 1s}]\n";

fn once(config: &Path) -> (Option<i32>, String) {
    let output = run(&["--once", "--config.file", config.to_str().expect("UTF-8")]);
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

/// The lines of a family that hold all of these words.
fn lines<'a>(metrics: &'a str, family: &str, words: &[&str]) -> Vec<&'a str> {
    let holds = |line: &&str| line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' ']));
    metrics.lines().filter(holds).filter(|line| words.iter().all(|word| line.contains(word))).collect()
}

#[test]
fn every_file_is_reported_readable_or_not_and_a_missing_one_too() {
    let host = Host::new();
    host.put("certs/a/good.pem", "good");
    fs::write(host.path("certs/junk"), [7; 900]).expect("it can be written");
    let (code, metrics) = once(&host.configure(FILES));
    assert_eq!(code, Some(0), "files that cannot be read do not make the source fail");
    assert!(
        lines(&metrics, "x509_cert_not_after_timestamp_seconds", &["subject_cn=\"good\""])[0].ends_with(" 2208988800")
    );
    assert!(lines(&metrics, "x509_file_up", &["good.pem"])[0].ends_with(" 1"));
    assert!(lines(&metrics, "x509_file_up", &["junk"])[0].ends_with(" 0"));
    assert_eq!(lines(&metrics, "x509_file_error", &["junk", "unsupported_format"]).len(), 1);
    assert_eq!(lines(&metrics, "x509_file_error", &["must.pem", "not_found"]).len(), 1);
    assert!(lines(&metrics, "x509_source_errors_total", &["not_found"])[0].ends_with(" 1"));
}

#[test]
fn a_source_that_fails_as_a_whole_makes_one_shot_exit_with_one_and_still_prints() {
    let host = Host::new();
    let (code, metrics) = once(&host.configure("certificates: [{name: a, paths: [ROOT/none/*]}]\n"));
    assert_eq!(code, Some(1));
    assert!(lines(&metrics, "x509_source_up", &["\"a\""])[0].ends_with(" 0"));
}

#[test]
fn swapped_links_edits_in_place_and_vanished_files_are_all_seen() {
    let host = Host::new();
    host.put("certs/..1/tls.crt", "first");
    host.put("next/tls.crt", "second");
    symlink("..1", host.path("certs/..data")).expect("a link");
    symlink("..data/tls.crt", host.path("certs/tls.crt")).expect("a link");
    host.put("certs/edited.pem", "before");
    host.put("certs/gone.pem", "gone");
    let exporter = Exporter::start(&host.configure(FILES));
    for name in ["first", "before", "gone"] {
        assert_eq!(lines(&exporter.metrics(), "x509_cert_info", &[&format!("subject_cn=\"{name}\"")]).len(), 1);
    }
    // As Kubernetes does it: the outer link stays, what it leads through is exchanged in one step.
    symlink(host.path("next"), host.path("certs/..new")).expect("a link");
    fs::rename(host.path("certs/..new"), host.path("certs/..data")).expect("one step");
    host.put("certs/edited.pem", "behind");
    fs::remove_file(host.path("certs/gone.pem")).expect("it was there");
    exporter.wait_until("all three changes are seen", |exporter| {
        let metrics = exporter.metrics();
        let there = |name: &str| !lines(&metrics, "x509_cert_info", &[&format!("subject_cn=\"{name}\"")]).is_empty();
        there("second") && there("behind") && !there("first") && !there("before") && !there("gone")
    });
    assert!(lines(&exporter.metrics(), "x509_file_up", &["gone.pem"]).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_are_reported_whatever_is_wrong_with_them() {
    let host = Host::new();
    const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
    let expired = host.authority.issue("expired", 2019..2020);
    let expired = tls_server(&expired, &Manner { versions: VERSIONS, clients_of: Some(&host.authority) }).await;
    fs::write(host.path("ca.pem"), host.authority.pem()).expect("it can be written");
    let config = host.configure(&format!(
        "tlsEndpoints:\n  - {{address: \"{expired}\", serverName: ups-01.example.com, caFile: ROOT/ca.pem}}\n  \
         - {{address: \"127.0.0.1:1\"}}\n"
    ));
    #[expect(clippy::disallowed_methods, reason = "the runtime is the test's own")]
    let (code, metrics) = tokio::task::spawn_blocking(move || once(&config)).await.expect("it ran");
    let at = format!("target=\"{expired}\"");
    assert_eq!(code, Some(1), "an endpoint that does not answer is a source that failed");
    let not_after = lines(&metrics, "x509_cert_not_after_timestamp_seconds", &[&at, "format=\"tls\"", "role=\"leaf\""]);
    assert!(not_after[0].ends_with(" 1577836800"), "{not_after:?}");
    for (family, value) in [("tls_probe_success", 1), ("tls_probe_handshake_complete", 0), ("tls_probe_verified", 0)] {
        assert!(lines(&metrics, family, &[&at])[0].ends_with(&format!(" {value}")), "{family}");
    }
    assert_eq!(lines(&metrics, "tls_probe_verify_error", &[&at, "expired"]).len(), 1);
    assert!(lines(&metrics, "tls_probe_success", &["127.0.0.1:1\""])[0].ends_with(" 0"));
    assert_eq!(lines(&metrics, "tls_probe_error", &["127.0.0.1:1\"", "connect"]).len(), 1);
}

#[test]
fn a_bad_configuration_is_refused_at_a_reload_and_the_one_before_stays() {
    let host = Host::new();
    host.put("certs/a.pem", "stays");
    let config = host.configure(FILES);
    let mut exporter = Exporter::start(&config);
    let reloaded = |exporter: &Exporter, value: &str| {
        let metrics = exporter.metrics();
        lines(&metrics, "kagiban_config_last_reload_successful", &[])
            == [format!("kagiban_config_last_reload_successful {value}")]
    };
    host.configure("certificates: [{name: fleet, pahts: []}]\n");
    exporter.signal(Signal::HUP);
    exporter.wait_until("the bad configuration is refused", |exporter| reloaded(exporter, "0"));
    assert!(exporter.log().contains("pahts"), "{}", exporter.log());
    assert_eq!(lines(&exporter.metrics(), "x509_file_up", &["a.pem"]).len(), 1);

    host.configure("certificates: [{name: other, paths: [ROOT/certs/a.pem]}]\n");
    exporter.signal(Signal::HUP);
    exporter.wait_until("the good configuration is in force", |exporter| {
        let metrics = exporter.metrics();
        reloaded(exporter, "1")
            && lines(&metrics, "x509_file_up", &["source=\"fleet\""]).is_empty()
            && lines(&metrics, "x509_file_up", &["source=\"other\""]).len() == 1
    });
    exporter.signal(Signal::TERM);
    assert_eq!(exporter.wait().code(), Some(0));
}

/// Holds R5.
#[test]
fn which_upses_share_a_load_is_in_force_after_a_reload() {
    const UPSES: &str = "discovery: {enabled: false}\nups:\n  - {name: a, apcupsd: {address: \"127.0.0.1:9\"}, interval: 1s}\n  \
                         - {name: b, apcupsd: {address: \"127.0.0.1:9\"}, interval: 1s}\n";
    let host = Host::new();
    let of = |load: &str, upses: &str| format!("{UPSES}feeds: [{{name: {load}, ups: [{upses}], minHealthy: 1}}]\n");
    let mut exporter = Exporter::start(&host.configure(&of("before", "a")));
    let members = |exporter: &Exporter, load: &str| {
        lines(&exporter.metrics(), "host_feeds", &[load])
            .first()
            .and_then(|line| Some(line.rsplit_once(' ')?.1.to_owned()))
    };
    exporter.wait_until("the load is told", |exporter| members(exporter, "before").as_deref() == Some("1"));
    host.configure(&of("after", "a, b"));
    exporter.signal(Signal::HUP);
    exporter.wait_until("the new one is in force", |exporter| {
        members(exporter, "before").is_none() && members(exporter, "after").as_deref() == Some("2")
    });
    exporter.signal(Signal::TERM);
    assert_eq!(exporter.wait().code(), Some(0));
    let log = exporter.log();
    assert!(log.contains("load has fewer healthy UPSes than it needs") && log.contains("UPS is not heard"), "{log}");
}

#[test]
fn a_bad_configuration_at_the_start_ends_the_program_with_one_line() {
    let host = Host::new();
    let config = host.configure("certificates:\n  - {name: a, path: /a}\n");
    for check in [&["--config.check"][..], &[], &["--once"]] {
        let args = [&["--config.file", config.to_str().expect("UTF-8")], check].concat();
        let output = run(&args);
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.contains("exporter.yaml:2:") && said.contains("`path`") && said.contains("`paths`"), "{said}");
    }
}

/// The check says what the start would say.
#[test]
fn an_agent_that_could_not_be_rotated_is_told_by_the_check() {
    let host = Host::new();
    let config = host.configure("agents:\n  - {name: web, product: tls-service, keystore: {path: ROOT/web.p12}}\n");
    let output = run(&["--config.check", "--config.file", config.to_str().expect("UTF-8")]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 2), "{said}");
    assert!(said.contains("agents[0]: agent web: ") && said.contains("is missing"), "{said}");
    assert!(said.contains("agents[0].keystore.path: ") && said.contains("web.p12: not found"), "{said}");
}

/// Holds A13: nor is it found out only when a rotation is ordered.
#[test]
fn a_command_that_cannot_be_run_is_told_by_the_check() {
    let host = Host::new();
    host.put("web.crt", "web.crt");
    host.put("web.key", "web.key");
    let config = host.configure(
        "agents:\n  - name: web\n    product: tls-service\n    keystore: {certificateFile: ROOT/web.crt, keyFile: ROOT/web.key}\n    \
         endpoint: {address: '127.0.0.1:9'}\n    service: {stop: [/bin/true], start: [ROOT/start]}\n",
    );
    let check = || {
        let output = run(&["--config.check", "--config.file", config.to_str().expect("UTF-8")]);
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert!(check().contains("agents[0].service.start: "), "{}", check());
    fs::write(host.path("start"), "#!/bin/sh\n").expect("it can be written");
    fs::set_permissions(host.path("start"), fs::Permissions::from_mode(0o755)).expect("it is there");
    assert!(!check().contains("agents[0].service"), "{}", check());
}

/// Holds A18: what works and is not as safe as it looks is told, and fails no check.
#[test]
fn the_check_warns_of_a_secret_that_others_may_read_and_of_a_command_that_others_may_write() {
    let host = Host::new();
    let config = host.configure(
        "agents: [{name: web, product: self-renewing-service, endpoint: {address: '192.0.2.7:9'}, renew: {command: [ROOT/start]}}]\n\
         ups: [{name: a, nut: {address: '127.0.0.1:9', username: m, passwordFile: ROOT/password}}]\n",
    );
    for (name, text, mode) in [("start", "#!/bin/sh\n", 0o777), ("password", "hunter-two\n", 0o644)] {
        fs::write(host.path(name), text).expect("it can be written");
        fs::set_permissions(host.path(name), fs::Permissions::from_mode(mode)).expect("it is there");
    }
    let output = run(&["--config.check", "--config.file", config.to_str().expect("UTF-8")]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let settings: Vec<_> =
        said.lines().filter_map(|line| line.split(": warning: ").nth(1)?.split(": ").next()).collect();
    assert_eq!(
        settings,
        ["ups[0].nut.passwordFile", "agents[0].renew.command", "agents[0].endpoint.address"],
        "{said}"
    );
    assert_eq!((output.status.code(), said.lines().count()), (Some(0), 3), "{said}");
    assert!(output.stdout.starts_with(b"configuration OK") && !said.contains("hunter"), "{said}");
}

/// What the configuration names is opened, and each file that is not there or not what it should be is named by its setting.
#[test]
fn the_check_names_the_setting_of_every_file_that_is_missing_and_says_when_all_is_well() {
    const CONFIG: &str = r#"
certificates: [{name: fleet, paths: [ROOT/certs/a.pem, "ROOT/none/*"], passwordFile: ROOT/1}]
tlsEndpoints: [{address: "127.0.0.1:9", caFile: ROOT/ca}]
probe: {allow: ["h:1"], caFile: ROOT/empty}
ups:
  - {name: a, nut: {address: "127.0.0.1:9", username: m, passwordFile: ROOT/2, startTls: {caFile: ROOT/3}}}
  - {name: b, snmp: {address: "127.0.0.1:9", version: v2c, communityFile: ROOT/4}}
hostApi: {listenAddress: "127.0.0.1:0", certificateFile: ROOT/5, keyFile: ROOT/6, clientCaFile: ROOT/7, clientNames: [a]}
"#;
    let host = Host::new();
    host.put("ca", "ca");
    fs::write(host.path("empty"), "no certificate\n").expect("it can be written");
    let check = |yaml: &str| {
        let config = host.configure(yaml);
        let output = run(&["--config.check", "--config.file", config.to_str().expect("UTF-8")]);
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, said) = check(CONFIG);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{said}");
    let settings: Vec<_> = said.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    let expected = [
        "certificates[0].paths[0]",
        "certificates[0].paths[1]",
        "certificates[0].passwordFile",
        "probe.caFile",
        "ups[0].nut.passwordFile",
        "ups[0].nut.startTls.caFile",
        "ups[1].snmp.communityFile",
        "hostApi.certificateFile",
        "hostApi.keyFile",
        "hostApi.clientCaFile",
    ];
    assert_eq!(settings, expected, "{said}");
    host.put("certs/a.pem", "a");
    let good = "certificates: [{name: a, paths: [ROOT/certs/a.pem]}]\nups: [{name: a, apcupsd: {address: \"h:1\"}}]\n";
    let said = "configuration OK: 1 source, 1 UPS, 0 agents\n".to_owned();
    assert_eq!(check(good), (Some(0), said, String::new()));
}

/// A directory of a CA holds more than certificates: what is none is passed over and counted, what is damaged is an error.
#[test]
fn what_lies_beside_certificates_is_passed_over_unless_it_is_named_or_damaged() {
    let host = Host::new();
    host.put("certs/good.pem", "good");
    fs::write(host.path("certs/README"), "# Ask the CA.\n").expect("it can be written");
    fs::write(host.path("certs/serial"), "").expect("it can be written");
    fs::write(host.path("must.pem"), "# named\n").expect("it can be written");
    let whole = fs::read(host.path("certs/good.pem")).expect("it was written");
    fs::write(host.path("certs/cut.pem"), &whole[..200]).expect("it can be written");
    let (code, metrics) = once(&host.configure(FILES));
    assert_eq!(code, Some(0));
    for path in ["README", "serial"] {
        assert!(lines(&metrics, "x509_file_up", &[path]).is_empty() && !metrics.contains(&format!("{path}\",reason")));
    }
    let skipped = |kind: &str| lines(&metrics, "x509_files_skipped", &["\"fleet\"", kind])[0].rsplit(' ').next();
    assert_eq!(["text", "empty", "revocation_list"].map(skipped), [Some("1"), Some("1"), Some("0")]);
    assert!(lines(&metrics, "x509_file_up", &["must.pem"])[0].ends_with(" 0"), "it was named");
    assert!(lines(&metrics, "x509_file_up", &["cut.pem"])[0].ends_with(" 0"), "it is damaged");
}

/// Who reads an error wrote the setting, and not the path that a template made of it.
#[test]
fn an_error_about_a_file_names_the_setting_that_it_comes_from() {
    let host = Host::new();
    let ups = "{name: a, snmp: {address: '127.0.0.1:9', version: v2c, communityFile: ROOT/none}}";
    let config = host.configure(&format!("ups: [{ups}]\ndiscovery: {{enabled: false}}\n"));
    let output = run(&["--once", "--config.file", config.to_str().expect("UTF-8")]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.contains("ups[0].snmp.communityFile: ") && said.contains("/none: "), "{said}");
}

#[test]
fn an_agent_that_was_never_rotated_has_its_line_in_the_list() {
    let host = Host::new();
    let config = host.configure("stateDirectory: ROOT/state\nagents: [{name: web, product: tls-service}]\n");
    let config = config.to_str().expect("UTF-8");
    let listed = run(&["rotation", "list", "--config.file", config]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "web  never\n", "{listed:?}");
    let listed = run(&["rotation", "list", "--config.file", config, "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!((&listed[0]["agent"], &listed[0]["state"]), (&"web".into(), &"never".into()));
    // Before the first rotation there is no state directory either.
    let shown = run(&["rotation", "show", "web", "--config.file", config]);
    let said = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success() && said.starts_with("web  never\nno rotation was ever asked for"), "{shown:?}");
    let shown = run(&["rotation", "show", "web", "--config.file", config, "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!((&shown["agent"], &shown["state"]), (&"web".into(), &"never".into()));
    let other = run(&["rotation", "show", "other", "--config.file", config]);
    assert!(!other.status.success() && other.stdout.is_empty(), "{other:?}");
}

/// Another place than the exporter's does not pass for one where nothing was ever rotated.
#[test]
fn rotations_are_not_looked_for_where_no_state_directory_is() {
    let host = Host::new();
    let config = host.configure("stateDirectory: ROOT/state\n");
    let config = config.to_str().expect("UTF-8");
    for words in [&["list"][..], &["show", "web"], &["thaw", "web"]] {
        let output = run(&[&["rotation"], words, &["--config.file", config]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("/state cannot be read"), "{words:?}: {output:?}");
    }
    fs::create_dir_all(host.path("state")).expect("mkdir");
    let listed = run(&["rotation", "list", "--config.file", config]);
    let said = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.status.success() && said.contains("/state)"), "{listed:?}");
    for command in ["show", "thaw"] {
        let output = run(&["rotation", command, "web", "--config.file", config]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("no journal in ") && said.contains("/state:"), "{output:?}");
    }
}

#[test]
fn both_languages_health_and_the_page_are_served_and_nothing_else() {
    let host = Host::new();
    host.put("certs/a.pem", "</td><script>");
    let exporter = Exporter::start(&host.configure(FILES));
    let text = exporter.request("GET", "/metrics", "");
    assert!(text.contains("text/plain; version=0.0.4") && !text.contains("# EOF"));
    let open_metrics = exporter.request("GET", "/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert!(open_metrics.contains("application/openmetrics-text; version=1.0.0") && open_metrics.ends_with("# EOF\n"));
    let page = exporter.request("GET", "/", "");
    assert!(page.contains("&lt;script") && !page.contains("<script>"), "{page}");
    assert!(exporter.request("HEAD", "/metrics", "").ends_with("\r\n\r\n"));
    assert!(exporter.request("GET", "/-/healthy", "").starts_with("HTTP/1.1 200"));
    assert!(exporter.request("POST", "/metrics", "Content-Length: 0\r\n").starts_with("HTTP/1.1 405"));
    assert!(exporter.request("GET", "/etc/passwd", "").starts_with("HTTP/1.1 404"));
}

#[test]
fn clients_that_say_nothing_are_hung_up_on() {
    let host = Host::new();
    let exporter = Exporter::start(&host.configure(FILES));
    let mut silent = TcpStream::connect(exporter.address()).expect("it listens");
    silent.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ").expect("it reads");
    silent.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).expect("the connection was not closed within 30 s");
}

#[test]
fn a_password_appears_neither_in_the_log_nor_in_the_metrics_nor_on_the_page() {
    let host = Host::new();
    host.put("certs/a.pem", "a");
    fs::write(host.path("password"), "canary-7f3a91\n").expect("it can be written");
    let config = "certificates: [{name: fleet, paths: [ROOT/certs/*], passwordFile: ROOT/password}]\n";
    let exporter = Exporter::start(&host.configure(config));
    for said in [exporter.log(), exporter.metrics(), exporter.request("GET", "/", "")] {
        assert!(!said.contains("canary"), "{said}");
    }
}
