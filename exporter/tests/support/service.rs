//! A TLS service that loads its files when it starts, as the managed agents do. Its stop and start commands only leave
//! marks in a control directory; the service itself lives in the test process.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use kagiban_crds::LeafSha256;
use kagiban_exporter::platform::run_commands_by;
use kagiban_exporter::probe::{Endpoint, probe};
use kagiban_keystore::{Certificate, Format, KeyMaterial, Limits, Merge, OnUnreadable, merge};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;

use super::pki::{Authority, Identity, fingerprint};
use super::{HOST, PATIENCE};

pub enum Store {
    PemPair { certificate: PathBuf, key: PathBuf },
    Pkcs12 { store: PathBuf, ini: PathBuf },
}

pub struct Service {
    pub address: String,
    control: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

type Loaded = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

pub const INI: &str =
    "; settings\r\n[Other]\r\nKS_Access_Data = not this one\r\n[Credentials]\r\nKS_Access_Data = old-password\r\n";

impl Store {
    pub fn write_first(&self, issuer: &Authority) -> LeafSha256 {
        let identity = issuer.server(HOST);
        match self {
            Self::PemPair { certificate, key } => {
                std::fs::write(certificate, &identity.chain).unwrap();
                std::fs::write(key, &identity.key).unwrap();
            }
            Self::Pkcs12 { store, ini } => {
                let other = put(None, "old-password", "other", &issuer.server("other.example.com"), None);
                std::fs::write(store, put(Some(&other), "old-password", "securekey", &identity, None)).unwrap();
                std::fs::write(ini, INI).unwrap();
            }
        }
        fingerprint(&identity.der)
    }

    fn load(&self) -> Option<Loaded> {
        match self {
            Self::PemPair { certificate, key } => {
                let chain: Result<Vec<_>, _> =
                    CertificateDer::pem_slice_iter(&std::fs::read(certificate).ok()?).collect();
                Some((chain.ok()?, PrivateKeyDer::from_pem_slice(&std::fs::read(key).ok()?).ok()?))
            }
            Self::Pkcs12 { store, ini } => {
                let ini = kagiban_agents::Ini::parse(&std::fs::read(ini).ok()?).ok()?;
                let password = ini.value("Credentials", "KS_Access_Data").ok()??;
                let password = secrecy::ExposeSecret::expose_secret(&password);
                open_pkcs12(store, password)
            }
        }
    }
}

/// A store with that key and what `old` holds besides.
pub fn put(old: Option<&[u8]>, password: &str, alias: &str, identity: &Identity, format: Option<Format>) -> Vec<u8> {
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes());
    let chain = chain.map(|der| Certificate::from_der(&der.unwrap()).unwrap()).collect();
    let key = KeyMaterial { pkcs8: identity.key_der.clone().into(), chain };
    let password = password.into();
    let request = Merge {
        old,
        old_passwords: &[],
        new_password: Some(&password),
        alias,
        key: &key,
        trusted: None,
        format,
        profile: None,
        on_unreadable: OnUnreadable::Refuse,
        now: jiff::Timestamp::now(),
    };
    merge(&request, &Limits::default()).unwrap().bytes.to_vec()
}

/// With a program that knows nothing of ours.
fn open_pkcs12(store: &Path, password: &str) -> Option<Loaded> {
    let password = format!("pass:{password}");
    let output = Command::new("openssl")
        .args(["pkcs12", "-nodes", "-passin", &password, "-in"])
        .arg(store)
        .output()
        .expect("these tests need the program openssl: install the package openssl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ours: String = text.split("Bag Attributes").filter(|bag| bag.contains("friendlyName: securekey")).collect();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(ours.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(ours.as_bytes()).ok()?;
    Some((chain.ok().filter(|chain| !chain.is_empty())?, key))
}

impl Service {
    pub async fn start(store: Store, control: PathBuf) -> Self {
        // Whoever rotates it in the process of a test, which is not the exporter.
        run_commands_by(Path::new(env!("CARGO_BIN_EXE_kagiban-exporter")));
        std::fs::create_dir(&control).unwrap();
        std::fs::write(control.join("run"), "").unwrap();
        let address = free_address().await;
        let task = tokio::spawn(run(store, control.clone(), address.clone()));
        let service = Self { address, control, task };
        while !service.control.join("up").exists() {
            sleep(Duration::from_millis(5)).await;
        }
        service
    }

    /// For a shell, as the start: on a system without one, no rotation comes to its stop.
    pub fn stop_argv(&self) -> Vec<String> {
        self.argv("rm -f \"$0/run\"; while [ -e \"$0/up\" ]; do there || exit 1; sleep 0.01; done")
    }

    pub fn start_argv(&self) -> Vec<String> {
        self.argv(
            "echo >> \"$0/starts\"; rm -f \"$0/failed\"; touch \"$0/run\"; \
             while [ ! -e \"$0/up\" ]; do [ -e \"$0/failed\" ] && exit 1; there || exit 1; sleep 0.01; done",
        )
    }

    fn argv(&self, script: &str) -> Vec<String> {
        // A command outlives a test that fails or is killed, and must not wait for ever for a service that is gone.
        let script = format!("there() {{ [ -d \"$0\" ] && [ -e /proc/{} ]; }}; {script}", std::process::id());
        ["sh", "-c", &script, self.control.to_str().unwrap()].map(str::to_owned).to_vec()
    }

    /// From now on it only starts with this leaf.
    pub fn insist_on(&self, leaf: &str) {
        std::fs::write(self.control.join("only"), leaf).unwrap();
    }

    pub fn starts(&self) -> usize {
        std::fs::read(self.control.join("starts")).map_or(0, |marks| marks.len())
    }

    pub async fn served(&self) -> Option<LeafSha256> {
        served_at(&self.address).await
    }

    pub async fn wait_until_served(&self, leaf: Option<LeafSha256>) {
        let until = Instant::now() + PATIENCE;
        while self.served().await != leaf {
            assert!(Instant::now() < until, "{leaf:?} is not served");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub async fn served_at(address: &str) -> Option<LeafSha256> {
    let endpoint = Endpoint { address: address.to_owned(), server_name: None };
    let seen = probe(&endpoint, Duration::from_secs(2)).await.ok()?;
    Some(LeafSha256::new(seen.leaf().sha256()))
}

/// An address that is bound anew at every start. Its port lies below those that Linux gives to outgoing connections, and below
/// those of the tests of several programs: none of them takes it while the service is down.
pub async fn free_address() -> String {
    const PORTS: std::ops::Range<u64> = 10_000..20_000;
    loop {
        let port = PORTS.start + RandomState::new().hash_one(()) % (PORTS.end - PORTS.start);
        if let Ok(listener) = TcpListener::bind(format!("127.0.0.1:{port}")).await {
            return listener.local_addr().unwrap().to_string();
        }
    }
}

async fn run(store: Store, control: PathBuf, address: String) {
    let mark = |name: &str| control.join(name);
    loop {
        if mark("run").exists() {
            match load(&store, &control) {
                Some(config) => serve(TlsAcceptor::from(Arc::new(config)), &control, &address).await,
                None => {
                    let _ = std::fs::remove_file(mark("run"));
                    let _ = std::fs::write(mark("failed"), "");
                }
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
}

fn load(store: &Store, control: &Path) -> Option<ServerConfig> {
    let (chain, key) = store.load()?;
    let only = std::fs::read_to_string(control.join("only")).ok();
    let leaf = fingerprint(chain.first()?).to_string();
    if only.is_some_and(|only| only != leaf) {
        return None;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    builder.with_no_client_auth().with_single_cert(chain, key).ok()
}

async fn serve(acceptor: TlsAcceptor, control: &Path, address: &str) {
    let Ok(listener) = TcpListener::bind(address).await else { return };
    // Wine tells whose a socket is once its process has asked it for something.
    listener.ttl().unwrap();
    std::fs::write(control.join("up"), "").unwrap();
    while control.join("run").exists() {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let acceptor = acceptor.clone();
                tokio::spawn(async move { acceptor.accept(stream).await.is_ok() });
            },
            () = sleep(Duration::from_millis(5)) => {}
        }
    }
    drop(listener);
    let _ = std::fs::remove_file(control.join("up"));
}
