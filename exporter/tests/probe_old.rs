//! Servers that finish no handshake with a client of today: their certificates are seen all the same.

mod scene;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kagiban_exporter::probe::{Endpoint, Handshake, ProbeError, Roots, TrustVerdict, probe_against};
use scene::{Exporter, NAME};

const DEADLINE: Duration = Duration::from_secs(10);
const OPENSSL: &str = "these tests need openssl 3 on PATH: install openssl";

/// `openssl s_server`, ended with it.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(identity: &Identity, options: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-cert"])
            .arg(&identity.certificate)
            .arg("-key")
            .arg(&identity.key)
            .args(options)
            // It ends when there is no more to send.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect(OPENSSL);
        let said = BufReader::new(child.stdout.take().expect("it was piped"));
        let accepts =
            said.lines().map_while(Result::ok).find_map(|line| Some(line.strip_prefix("ACCEPT ")?.to_owned()));
        let address = accepts.unwrap_or_else(|| panic!("s_server does not start with {options:?}"));
        Self { child, address }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { address: self.address.clone(), server_name: Some(NAME.to_owned()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A self-signed certificate that ends in 2040 and its key, made by openssl.
struct Identity {
    directory: tempfile::TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

impl Identity {
    fn new(key: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let [certificate, key_file] = ["own.crt", "own.key"].map(|name| directory.path().join(name));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-subj", &format!("/CN={NAME}"), "-days", "900"])
            .args(["-addext", &format!("subjectAltName=DNS:{NAME}"), "-newkey"])
            .args(key)
            .arg("-keyout")
            .arg(&key_file)
            .arg("-out")
            .arg(&certificate)
            .output()
            .expect(OPENSSL);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { directory, certificate, key: key_file }
    }

    fn der(&self) -> Vec<u8> {
        let arguments = ["x509", "-outform", "DER", "-in"];
        Command::new("openssl").args(arguments).arg(&self.certificate).output().expect(OPENSSL).stdout
    }
}

async fn seen(server: &Server, ca_file: &Path) -> Result<Handshake, ProbeError> {
    probe_against(&server.endpoint(), &Roots::from_file(ca_file).expect("roots"), DEADLINE).await
}

/// Holds R12: what openssl is told to speak, and what is told of it.
#[tokio::test]
async fn the_certificate_of_a_server_that_speaks_nothing_of_today_is_seen_and_its_key_is_not_proven() {
    let rsa = Identity::new(&["rsa:2048"]);
    let p521 = Identity::new(&["ec", "-pkeyopt", "ec_paramgen_curve:P-521"]);
    let cases: [(&Identity, &[&str], &str, &str, &str); 8] = [
        (&rsa, &["-tls1", "-cipher", "ALL:@SECLEVEL=0"], "old_version", "TLS 1.0", "TLS_"),
        (&rsa, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "old_version", "TLS 1.1", "TLS_"),
        (
            &rsa,
            &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"],
            "old_cipher_suite",
            "TLS 1.2",
            "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        ),
        (
            &rsa,
            &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
            "old_cipher_suite",
            "TLS 1.2",
            "TLS_RSA_WITH_AES_128_GCM_SHA256",
        ),
        (
            &rsa,
            &["-tls1_2", "-cipher", "AES256-SHA256"],
            "old_cipher_suite",
            "TLS 1.2",
            "TLS_RSA_WITH_AES_256_CBC_SHA256",
        ),
        (
            &rsa,
            &["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"],
            "old_cipher_suite",
            "TLS 1.2",
            "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
        ),
        (&rsa, &["-tls1_2", "-groups", "P-521"], "group_not_spoken", "TLS 1.2", "TLS_ECDHE_RSA_"),
        (&p521, &["-tls1_2", "-groups", "P-521"], "group_not_spoken", "TLS 1.2", "TLS_ECDHE_ECDSA_"),
    ];
    for (identity, options, reason, version, cipher) in cases {
        let server = Server::start(identity, options);
        let handshake = seen(&server, &identity.certificate).await.unwrap_or_else(|e| panic!("{options:?}: {e}"));
        assert_eq!(handshake.leaf().der(), identity.der(), "{options:?}");
        let broken = handshake.failure.as_ref().unwrap_or_else(|| panic!("{options:?} was finished"));
        assert_eq!((broken.reason, handshake.tls_version), (reason, Some(version)), "{options:?}");
        let chosen = handshake.cipher.as_deref().unwrap_or_default();
        assert!(chosen.starts_with(cipher) && broken.message.contains(version), "{options:?}: {chosen}");
        assert_eq!((handshake.key_proven, handshake.verdict), (false, Some(TrustVerdict::Trusted)), "{options:?}");
    }
}

/// Holds R12: TLS 1.3 shows no certificate before the keys are agreed on.
#[tokio::test]
async fn a_server_that_shows_nothing_in_the_clear_is_told_with_the_reason_of_the_handshake() {
    let identity = Identity::new(&["rsa:2048"]);
    let server = Server::start(&identity, &["-tls1_3", "-groups", "P-521"]);
    let error = seen(&server, &identity.certificate).await.expect_err("nothing is shown");
    assert!(["tls_alert", "protocol"].contains(&error.reason()), "{error}");
}

/// Holds R12: openssl and curl take such a file, and the product's other `caFile`s do.
#[tokio::test]
async fn a_self_signed_server_is_trusted_by_a_ca_file_that_holds_its_certificate() {
    let identity = Identity::new(&["rsa:2048"]);
    let server = Server::start(&identity, &[]);
    let handshake = seen(&server, &identity.certificate).await.expect("a certificate");
    assert!(handshake.is_complete() && handshake.key_proven);
    assert_eq!(handshake.verdict, Some(TrustVerdict::Trusted));
    let checked = Command::new("openssl")
        .args(["s_client", "-connect", &server.address, "-verify_hostname", NAME, "-verify_return_error", "-CAfile"])
        .arg(&identity.certificate)
        .stdin(Stdio::null())
        .output()
        .expect(OPENSSL);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("Verify return code: 0 (ok)"), "{checked:?}");
}

/// Holds R12: for sources and for `/probe`, and success is more than a certificate that was seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_server_is_shown_by_a_source_and_by_probe() {
    let identity = Identity::new(&["rsa:2048"]);
    let server = Server::start(&identity, &["-tls1", "-cipher", "ALL:@SECLEVEL=0"]);
    let ca = identity.certificate.display();
    let config = identity.directory.path().join("exporter.yaml");
    let yaml = format!(
        "discovery: {{enabled: false}}\nprobe: {{allow: [\"127.0.0.1:*\"], timeout: 10s, caFile: {ca}}}\ncompat: [blackbox]\n\
         tlsEndpoints: [{{address: \"{}\", serverName: {NAME}, caFile: {ca}}}]\n",
        server.address
    );
    std::fs::write(&config, yaml).expect("it can be written");
    let exporter = Exporter::start(&config);
    let probed = exporter.request(
        "GET",
        &format!("/probe?target={}&server_name={NAME}&module=tls_insecure", server.address),
        "",
    );
    exporter.wait_until("the source has looked", |exporter| exporter.metrics().contains("\ntls_probe_success{"));
    let scraped = exporter.metrics();
    for (place, answer) in [("/probe", &probed), ("/metrics", &scraped)] {
        let value = |family: &str, and: &str| {
            let line = answer.lines().find(|line| line.starts_with(&format!("{family}{{")) && line.contains(and));
            line.and_then(|line| line.rsplit_once(' ')).map(|(_, value)| value.to_owned())
        };
        let one = Some("1".to_owned());
        assert_eq!(value("tls_probe_success", ""), one, "{place}: {answer}");
        assert_eq!(value("tls_probe_handshake_error", "reason=\"old_version\""), one, "{place}: {answer}");
        assert_eq!(value("tls_version_info", "version=\"TLS 1.0\""), one, "{place}: {answer}");
        assert_eq!(value("tls_probe_handshake_complete", ""), Some("0".to_owned()), "{place}");
        assert_eq!(value("tls_probe_verified", ""), Some("0".to_owned()), "{place}: {answer}");
        assert_eq!(value("tls_probe_verify_error", "reason=\"key_not_proven\""), one, "{place}: {answer}");
        assert!(value("x509_cert_not_after_timestamp_seconds", "").is_some(), "{place}: {answer}");
    }
    assert!(probed.contains("\nprobe_success 0\n"), "nothing proved that it holds the key: {probed}");
}
