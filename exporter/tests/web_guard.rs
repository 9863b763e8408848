//! The web configuration file at work: TLS, client certificates, users, limits, and what happens when it changes.

mod scene;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kagiban_exporter::probe::{Endpoint, probe};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use scene::{ANY_PORT, Authority, Exporter, Identity, NAME, PATIENCE, program, run};

struct Site {
    directory: tempfile::TempDir,
    authority: Authority,
}

impl Site {
    fn new() -> Self {
        let site = Self { directory: tempfile::tempdir().expect("a directory"), authority: Authority::new("Fleet CA") };
        site.put("exporter.yaml", "discovery: {enabled: false}\n");
        site.put("ca.pem", &site.authority.pem());
        site.serve(&site.authority.issue("first", 2020..2100));
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// In one step, as tools that renew certificates do it.
    fn put(&self, name: &str, text: &str) {
        fs::write(self.path("next"), text).expect("it can be written");
        fs::rename(self.path("next"), self.path(name)).expect("one step");
    }

    fn serve(&self, identity: &Identity) {
        self.put("tls.key", &identity.key_pem());
        self.put("tls.crt", &identity.pem);
    }

    fn start(&self, web: &str) -> Exporter {
        self.put("web.yaml", web);
        let mut command = program(&self.path("exporter.yaml"));
        Exporter::launch(command.arg(ANY_PORT).arg("--web.config.file").arg(self.path("web.yaml")))
    }

    fn client(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der()).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("the provider has them").with_root_certificates(roots);
        Arc::new(match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(vec![identity.der.clone()], identity.key_der())
                .expect("a certificate and its key"),
        })
    }

    fn fetch(&self, address: SocketAddr, identity: Option<&Identity>, path: &str) -> io::Result<String> {
        let name = ServerName::try_from(NAME).expect("a name");
        let connection = ClientConnection::new(self.client(identity), name).expect("a client");
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(connection, stream);
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn subject_served(&self, address: SocketAddr) -> Option<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let endpoint = Endpoint { address: address.to_string(), server_name: Some(NAME.to_owned()) };
        let seen = runtime.block_on(probe(&endpoint, PATIENCE)).ok()?;
        seen.leaf().subject_cn().map(str::to_owned)
    }
}

const TLS: &str = "tls_server_config: {cert_file: tls.crt, key_file: tls.key}\n";

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

fn basic(words: &str) -> String {
    use base64::Engine as _;
    format!("Authorization: Basic {}\r\n", base64::engine::general_purpose::STANDARD.encode(words))
}

fn users(pairs: &[(&str, &str)]) -> String {
    let line = |(user, password): &(&str, &str)| format!("  {user}: {}\n", bcrypt::hash(password, 4).expect("a hash"));
    format!("basic_auth_users:\n{}", pairs.iter().map(line).collect::<String>())
}

#[test]
fn only_clients_with_a_verified_certificate_and_an_allowed_name_are_answered() {
    let site = Site::new();
    let exporter = site.start(&format!(
        "tls_server_config:\n  cert_file: tls.crt\n  key_file: {}\n  client_ca_file: ca.pem\n  \
         client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [prometheus.example.com]\n  min_version: TLS13\n",
        site.path("tls.key").display()
    ));
    let name = "prometheus.example.com";
    let good = site.authority.issue_for(name, "good", 2020..2100);
    let answer = site.fetch(exporter.address(), Some(&good), "/metrics").expect("it is let in");
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(answer.contains("kagiban_web_config_last_reload_successful 1"));
    let stranger = Authority::new("Other CA").issue_for(name, "stranger", 2020..2100);
    let expired = site.authority.issue_for(name, "expired", 2019..2020);
    let elsewhere = site.authority.issue_for("grafana.example.com", "elsewhere", 2020..2100);
    for refused in [None, Some(&stranger), Some(&expired), Some(&elsewhere)] {
        let answer = site.fetch(exporter.address(), refused, "/-/healthy");
        assert!(answer.as_deref().map_or(true, |answer| status(answer).is_empty()), "{answer:?}");
    }
    let mut plain = TcpStream::connect(exporter.address()).expect("it listens");
    plain.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    plain.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "plain HTTP on a TLS port");
}

#[test]
fn a_renewed_certificate_is_served_without_a_restart_and_a_bad_one_leaves_the_old() {
    let site = Site::new();
    let exporter = site.start(TLS);
    let metrics =
        |site: &Site, exporter: &Exporter| site.fetch(exporter.address(), None, "/metrics").expect("an answer");
    assert_eq!(site.subject_served(exporter.address()).as_deref(), Some("first"));
    site.serve(&site.authority.issue("second", 2020..2100));
    exporter.wait_until("the second is served", |exporter| {
        site.subject_served(exporter.address()).as_deref() == Some("second")
    });
    site.put("tls.crt", &site.authority.issue("third, whose key is not here", 2020..2100).pem);
    exporter.wait_until("it says that the new one is bad", |exporter| {
        metrics(&site, exporter).contains("kagiban_web_config_last_reload_successful 0")
    });
    assert_eq!(site.subject_served(exporter.address()).as_deref(), Some("second"));
    std::thread::sleep(Duration::from_secs(1));
    assert!(metrics(&site, &exporter).contains("kagiban_web_config_last_reload_successful 0"));
    assert_eq!(exporter.log().matches("the new web configuration is bad").count(), 1, "{}", exporter.log());
    site.serve(&site.authority.issue("fourth", 2020..2100));
    exporter.wait_until("the fourth is served, and all is well", |exporter| {
        site.subject_served(exporter.address()).as_deref() == Some("fourth")
            && metrics(&site, exporter).contains("kagiban_web_config_last_reload_successful 1")
    });
}

#[test]
fn every_page_asks_for_a_user_and_a_removed_one_is_out() {
    let site = Site::new();
    let headers = "http_server_config: {headers: {Strict-Transport-Security: max-age=1}}\n";
    let exporter = site.start(&(users(&[("alice", "in:one"), ("bob", "two")]) + headers));
    for path in ["/", "/metrics", "/-/healthy", "/-/ready", "/probe?target=x:1", "/nothing"] {
        let answer = exporter.request("GET", path, "");
        assert_eq!(status(&answer), "401", "{path}");
        assert!(answer.contains("www-authenticate: Basic") && answer.contains("strict-transport-security: max-age=1"));
        assert_eq!(status(&exporter.request("GET", path, &basic("alice:two"))), "401");
    }
    assert_eq!(status(&exporter.request("POST", "/", "")), "401");
    for right in ["alice:in:one", "bob:two"] {
        assert_eq!(status(&exporter.request("GET", "/-/healthy", &basic(right))), "200");
    }
    site.put("web.yaml", &users(&[("alice", "in:one")]));
    exporter.wait_until("bob is out", |exporter| status(&exporter.request("GET", "/", &basic("bob:two"))) == "401");
    assert_eq!(status(&exporter.request("GET", "/", &basic("alice:in:one"))), "200");
    site.put("web.yaml", &format!("{TLS}{}", users(&[("alice", "in:one")])));
    exporter.wait_until("the port speaks TLS", |exporter| {
        site.fetch(exporter.address(), None, "/").is_ok_and(|answer| status(&answer) == "401")
    });
    assert!(!exporter.log().contains("$2b$") && !exporter.log().contains("in:one"));
}

#[test]
fn a_limited_rate_is_kept() {
    let site = Site::new();
    let exporter = site.start("rate_limit: {interval: 1h, burst: 2}\n");
    let answers = [(); 3].map(|()| status(&exporter.request("GET", "/-/healthy", "")).to_owned());
    assert_eq!(answers, ["200", "200", "429"]);
}

#[test]
fn a_bad_file_ends_the_start_and_the_check_with_its_line_and_without_its_secrets() {
    let site = Site::new();
    let config = site.path("exporter.yaml");
    let web = site.path("web.yaml");
    for (text, said) in [
        ("basic_auth_users:\n  alice: canary-canary\n", "web.yaml:2:"),
        ("tls_server_config:\n  cert_file: tls.crt\n  key_file: none.key\n", "none.key: not found"),
        ("tls_server_config: {cert_file: tls.crt, key_file: ca.pem}\n", "private key"),
        ("tls_server_config: {cert_file: tls.crt, key: canary-canary}\n", "private key"),
        ("no_such_key: 1\n", "no_such_key"),
    ] {
        site.put("web.yaml", text);
        for check in [&["--config.check"][..], &[ANY_PORT]] {
            let arguments = ["--config.file", utf8(&config), "--web.config.file", utf8(&web)];
            let output = run(&[&arguments[..], check].concat());
            let log = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{text}{log}");
            assert!(log.contains(said) && !log.contains("canary"), "{text}{log}");
        }
    }
}

/// Holds R13: what works with exporter-toolkit works here, and what cannot be spoken of it is named in the log.
#[test]
fn a_file_that_names_what_is_not_spoken_besides_what_is_works_with_what_is() {
    let site = Site::new();
    site.put(
        "web.yaml",
        "tls_server_config:\n  cert_file: tls.crt\n  key_file: tls.key\n  min_version: TLS10\n  curve_preferences: [X25519, CurveP521]\n  \
         cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]\n",
    );
    let (config, web) = (site.path("exporter.yaml"), site.path("web.yaml"));
    let output = run(&["--config.check", "--config.file", utf8(&config), "--web.config.file", utf8(&web)]);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    for name in ["TLS10", "CurveP521", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"] {
        assert!(log.contains(name), "{name}: {log}");
    }
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The example of the repository, with files where it says.
#[test]
fn the_example_of_a_web_configuration_works_as_it_is_and_with_every_key_in_force() {
    const EXAMPLE: &str = include_str!("../../examples/web-config.yaml");
    let in_force = |line: &str| {
        let (indent, words) = line.split_at(line.len() - line.trim_start().len());
        let key = words.strip_prefix('#').filter(|key| key.starts_with("  ") || !key.starts_with(' '));
        format!("{indent}{}\n", key.unwrap_or(words))
    };
    let everything: String = EXAMPLE.lines().map(in_force).collect();
    let site = Site::new();
    fs::rename(site.path("ca.pem"), site.path("client-ca.crt")).expect("it is there");
    for text in [EXAMPLE, &everything] {
        site.put("web.yaml", text);
        let (config, web) = (site.path("exporter.yaml"), site.path("web.yaml"));
        let output = run(&["--config.check", "--config.file", utf8(&config), "--web.config.file", utf8(&web)]);
        assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    }
    let keys = [
        "cert_file",
        "key_file",
        "client_ca_file",
        "client_auth_type",
        "client_allowed_sans",
        "min_version",
        "max_version",
        "cipher_suites",
        "prefer_server_cipher_suites",
        "curve_preferences",
        "http2",
        "headers",
        "interval",
        "burst",
        "cert",
        "key",
        "client_ca",
        "tls_server_config",
        "http_server_config",
        "basic_auth_users",
        "rate_limit",
    ];
    for key in keys {
        assert!(EXAMPLE.contains(&format!("{key}:")), "{key} is not in the example");
    }
}
