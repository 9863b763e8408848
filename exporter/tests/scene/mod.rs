//! What the tests of the built program share: a certificate authority, TLS servers, the program itself.
#![allow(dead_code, unreachable_pub, reason = "each test binary is a crate, and uses its part of this")]

mod launched;

use std::io::{BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use launched::Launched;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub const NAME: &str = "ups-01.example.com";
/// Far beyond what anything here takes; reached only by a failure.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Of whatever port is free.
pub const ANY_PORT: &str = "--web.listen-address=127.0.0.1:0";

/// An authority that signs the tests' certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate, its key, and what it is called.
pub struct Identity {
    pub der: CertificateDer<'static>,
    pub pem: String,
    key: KeyPair,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a self-signed authority"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A leaf for [`NAME`] that is valid in these years.
    pub fn issue(&self, common_name: &str, years: std::ops::Range<i32>) -> Identity {
        self.issue_for(NAME, common_name, years)
    }

    pub fn issue_for(&self, name: &str, common_name: &str, years: std::ops::Range<i32>) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a DNS name");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a signed certificate");
        Identity { der: certificate.der().clone(), pem: certificate.pem(), key }
    }
}

impl Identity {
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }
}

/// How a test server behaves.
pub struct Manner<'a> {
    pub versions: &'static [&'static rustls::SupportedProtocolVersion],
    /// Wants a client certificate of this authority.
    pub clients_of: Option<&'a Authority>,
}

/// Serves until the runtime ends.
pub async fn tls_server(identity: &Identity, manner: &Manner<'_>) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(manner.versions)
        .expect("the provider has these versions");
    let builder = match manner.clients_of {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(authority.der()).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let config =
        builder.with_single_cert(vec![identity.der.clone()], identity.key_der()).expect("a certificate and its key");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                }
            });
        }
    });
    address
}

/// The built program with a configuration. The kernel ends it when the thread of its test ends, however that is.
pub fn program(config: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_kagiban-exporter")]);
    command.arg("--config.file").arg(config).env_remove("JAVA_HOME");
    command
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kagiban-exporter"))
        .args(args)
        .env_remove("JAVA_HOME")
        .output()
        .expect("the program was built")
}

/// The program, serving on a port of its own until the test ends.
pub struct Exporter {
    child: Child,
    address: SocketAddr,
    log: Arc<std::sync::Mutex<String>>,
}

impl Exporter {
    pub fn start(config: &Path) -> Self {
        let exporter = Self::launch(program(config).arg(ANY_PORT));
        exporter
            .wait_until("it is ready", |exporter| exporter.request("GET", "/-/ready", "").starts_with("HTTP/1.1 200"));
        exporter
    }

    /// Runs until it listens, and no longer waited for.
    pub fn launch(command: &mut Command) -> Self {
        let Launched { child, stderr, log, address } = Launched::by(command);
        let address = address.parse().expect("an address");
        let log = Arc::new(std::sync::Mutex::new(log));
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                sink.lock().expect("no writer panics").extend([line.as_str(), "\n"]);
            }
        });
        Self { child, address, log }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn log(&self) -> String {
        self.log.lock().expect("no writer panics").clone()
    }

    /// Every family of it is in docs/metrics.md.
    pub fn metrics(&self) -> String {
        let answer = self.request("GET", "/metrics", "");
        let page = include_str!("../../../docs/metrics.md");
        for line in answer.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().unwrap_or_default();
            assert!(page.contains(&format!("\n| `{name}` |")), "{name} is not in docs/metrics.md: run `make docs`");
        }
        answer
    }

    /// The whole answer, head and body.
    pub fn request(&self, method: &str, path: &str, headers: &str) -> String {
        self.request_at(self.address, method, path, headers)
    }

    pub fn request_at(&self, address: SocketAddr, method: &str, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers in UTF-8");
        answer
    }

    pub fn wait_until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < PATIENCE, "waited in vain until {what}; the log says:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// How it ended.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "it does not end; the log says:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
