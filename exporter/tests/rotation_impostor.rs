//! Who answers on the agent's port. Holds A3: a look counts only when the handshake proves the key, and when the port belongs to
//! an account that has business with it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kagiban_crds::host_api::{AgentReport, RotationReport, RotationState, Sighting};
use kagiban_exporter::config::Account;
use rcgen::KeyPair;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use support::wire::Api;
use support::{AGENT, World};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// An account without rights, which owns nothing of ours.
const NOBODY: u32 = 65534;
const OPENSSL: &str = "these tests need the program openssl: install the package openssl";

/// A chain, and a key that is not its.
#[derive(Debug)]
struct WrongKey(Arc<CertifiedKey>);

impl WrongKey {
    fn for_chain(file: &Path) -> Self {
        let chain = CertificateDer::pem_slice_iter(&std::fs::read(file).unwrap()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::try_from(KeyPair::generate().unwrap().serialize_der()).unwrap();
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Self(Arc::new(CertifiedKey::new(chain, key)))
    }
}

impl ResolvesServerCert for WrongKey {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Takes the port as soon as the service has left it, with whatever chain lies in the service's file then.
fn take_the_port(world: &World, version: &'static rustls::SupportedProtocolVersion) -> JoinHandle<()> {
    let (up, file) = (world.directory.path().join("control/up"), world.home().join("tls.crt"));
    let address = world.service.address.clone();
    tokio::spawn(async move {
        while up.exists() {
            sleep(Duration::from_millis(2)).await;
        }
        let listener = loop {
            match TcpListener::bind(&address).await {
                Ok(listener) => break listener,
                Err(_) => sleep(Duration::from_millis(2)).await,
            }
        };
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(WrongKey::for_chain(&file)));
            let _ = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
        }
    })
}

fn argv(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|&word| word.to_owned()).collect())
}

async fn rotate(world: &World, api: &Api) -> RotationReport {
    let opened = api.open(1, 1).await.unwrap();
    let (chain, _) = world.sign(&opened.csr.unwrap());
    api.deliver(1, 1, &chain).await.unwrap();
    api.decided(1).await
}

async fn served(api: &Api) -> Sighting {
    api.ask::<AgentReport>("GET", &format!("agents/{AGENT}"), &()).await.unwrap().served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_impostor_with_the_public_chain_and_another_key_is_no_success_and_is_not_told_as_served() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut world = World::pem_pair().await;
        world.agent.service.start = argv(&["true"]);
        let api = Api::start(&world).await;
        let impostor = take_the_port(&world, version);
        let decided = rotate(&world, &api).await;
        assert_ne!(decided.state, RotationState::Committed, "{decided:#?}");
        assert!(decided.failure.unwrap().message.contains("does not prove"));
        let told = decided.steps.iter().any(|step| step.note.contains("does not prove that it has the key"));
        assert!(told, "{:#?}", decided.steps);
        let Sighting::Unseen { reason, .. } = served(&api).await else { panic!("it is told as served") };
        assert_eq!(reason, "unproven_key");
        api.stop().await;
        impostor.abort();
    }
}

/// `openssl s_server` under another account, ended with it.
struct Server(Child);

impl Server {
    fn start(account: u32, address: &str, certificate: &Path, key: &Path, more: &[&str]) -> Self {
        let child = Command::new("setpriv")
            .args(["--pdeathsig=KILL", &format!("--reuid={account}"), &format!("--regid={account}"), "--clear-groups"])
            .args(["openssl", "s_server", "-quiet", "-accept", address, "-cert"])
            .arg(certificate)
            .arg("-key")
            .arg(key)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("these tests need the program setpriv: install the package util-linux");
        Self(child)
    }

    /// With a certificate of its own, at the address of the service, which is stopped.
    async fn in_place_of_the_service(world: &World, key: &str, more: &[&str]) -> Self {
        let at = |name: &str| world.directory.path().join(name);
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", key, "-nodes", "-days", "9", "-subj", "/CN=ups-01", "-keyout"])
            .arg(at("rsa.key"))
            .arg("-out")
            .arg(at("rsa.crt"))
            .output()
            .expect(OPENSSL);
        assert!(made.status.success());
        let mut stop = world.service.stop_argv();
        assert!(Command::new(stop.remove(0)).args(stop).status().unwrap().success());
        let (account, address) = (rustix::process::geteuid().as_raw(), &world.service.address);
        let mut server = Self::start(account, address, &at("rsa.crt"), &at("rsa.key"), more);
        server.answers(address).await;
        server
    }

    async fn answers(&mut self, address: &str) {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert_eq!(self.0.try_wait().unwrap(), None, "openssl s_server has ended; {OPENSSL}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An agent whose files are root's, and whose port another account holds, with the right key.
struct Held {
    world: World,
    server: Server,
}

impl Held {
    async fn by(account: u32, more: &[&str]) -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test gives a port to another account: run it as root");
        let mut world = World::pem_pair().await;
        let key = world.home().join("tls.key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        (world.agent.service.stop, world.agent.service.start) = (argv(&["true"]), argv(&["true"]));
        world.agent.verify.deadline = Some(Duration::from_secs(1));
        let mut stop = world.service.stop_argv();
        assert!(Command::new(stop.remove(0)).args(stop).status().unwrap().success());
        let (certificate, copy) = (Self::copy(&world, "tls.crt"), Self::copy(&world, "tls.key"));
        let mut server = Server::start(account, &world.service.address, &certificate, &copy, more);
        server.answers(&world.service.address).await;
        Self { world, server }
    }

    /// Of a file of the service, for the account: the impostor has stolen it.
    fn copy(world: &World, name: &str) -> PathBuf {
        std::fs::set_permissions(world.directory.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let copy = world.directory.path().join(format!("stolen-{name}"));
        std::fs::copy(world.home().join(name), &copy).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o644)).unwrap();
        copy
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_an_account_without_business_holds_is_refused_before_anything_is_stopped() {
    let held = Held::by(NOBODY, &[]).await;
    let api = Api::start(&held.world).await;
    let Sighting::Unseen { reason, message } = served(&api).await else { panic!("it is told as served") };
    assert_eq!(reason, "foreign_listener");
    assert!(message.contains("65534") && message.contains("endpoint.accounts"), "{message}");
    let decided = rotate(&held.world, &api).await;
    assert_eq!(decided.state, RotationState::RolledBack, "{decided:#?}");
    assert_eq!(decided.failure.unwrap().reason, "foreign_listener");
    assert!(decided.steps.iter().all(|step| step.state != RotationState::Swapped), "{:#?}", decided.steps);
    api.stop().await;
}

/// It shows no certificate: whose socket it is counts all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_such_an_account_holds_without_shaking_hands_is_refused_before_anything_is_stopped() {
    let mut held = Held::by(NOBODY, &["-nocert"]).await;
    let stopped = held.world.directory.path().join("stopped");
    held.world.agent.service.stop = argv(&["touch", stopped.to_str().unwrap()]);
    let api = Api::start(&held.world).await;
    let Sighting::Unseen { reason, .. } = served(&api).await else { panic!("it is told as served") };
    assert_eq!(reason, "foreign_listener");
    let decided = rotate(&held.world, &api).await;
    assert_eq!(decided.state, RotationState::RolledBack, "{decided:#?}");
    assert_eq!(decided.failure.unwrap().reason, "foreign_listener");
    assert!(!stopped.exists(), "the service was stopped");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_without_business_that_has_stolen_the_new_key_is_no_success() {
    let mut held = Held::by(0, &[]).await;
    let pid = held.server.0.id().to_string();
    held.world.agent.service.stop = argv(&["kill", &pid]);
    let api = Api::start(&held.world).await;
    let opened = api.open(1, 1).await.unwrap();
    let (chain, _) = held.world.sign(&opened.csr.unwrap());
    let old = std::fs::read(held.world.home().join("tls.key")).unwrap();
    api.deliver(1, 1, &chain).await.unwrap();
    while std::fs::read(held.world.home().join("tls.key")).unwrap() == old
        || held.server.0.try_wait().unwrap().is_none()
    {
        sleep(Duration::from_millis(2)).await;
    }
    let (certificate, key) = (Held::copy(&held.world, "tls.crt"), Held::copy(&held.world, "tls.key"));
    let _impostor = Server::start(NOBODY, &held.world.service.address, &certificate, &key, &[]);
    let decided = api.decided(1).await;
    assert_ne!(decided.state, RotationState::Committed, "{decided:#?}");
    let told = decided.steps.iter().any(|step| step.note.contains("the account 65534 listens there"));
    assert!(told, "{:#?}", decided.steps);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_may_read_the_key_or_is_named_holds_the_port_with_right() {
    let held = Held::by(NOBODY, &[]).await;
    let key = held.world.home().join("tls.key");
    chown(&key, None, Some(NOBODY)).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let api = Api::start(&held.world).await;
    assert!(matches!(served(&api).await, Sighting::Leaf(leaf) if leaf.sha256 == held.world.first));
    api.stop().await;

    let mut held = Held::by(NOBODY, &[]).await;
    let endpoint = held.world.agent.endpoint.as_mut().unwrap();
    endpoint.accounts = vec![Account("nobody".to_owned())];
    let api = Api::start(&held.world).await;
    assert!(matches!(served(&api).await, Sighting::Leaf(leaf) if leaf.sha256 == held.world.first));
    api.stop().await;
    drop(held.server);
}

/// Holds A15: any account may listen at `::` beside a service of IPv4, and receives nothing there. No rotation was taken then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_of_another_account_that_takes_no_ipv4_keeps_no_service_of_ipv4_from_rotating() {
    let world = World::pem_pair().await;
    let port = world.service.address.rsplit_once(':').unwrap().1;
    let (certificate, key) = (Held::copy(&world, "tls.crt"), Held::copy(&world, "tls.key"));
    let mut second = Server::start(NOBODY, &format!("[::]:{port}"), &certificate, &key, &["-6"]);
    second.answers(&format!("[::1]:{port}")).await;
    let api = Api::start(&world).await;
    assert!(matches!(served(&api).await, Sighting::Leaf(leaf) if leaf.sha256 == world.first));
    let decided = rotate(&world, &api).await;
    assert_eq!(decided.state, RotationState::Committed, "{decided:#?}");
    assert_eq!(second.0.try_wait().unwrap(), None, "it has ended");
    api.stop().await;
}

/// Where the service is looked at by IPv6, such a socket is the one that answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_of_another_account_at_the_address_that_is_looked_at_counts_against_it() {
    let mut world = World::pem_pair().await;
    let port = world.service.address.rsplit_once(':').unwrap().1.to_owned();
    let (certificate, key) = (Held::copy(&world, "tls.crt"), Held::copy(&world, "tls.key"));
    let mut second = Server::start(NOBODY, &format!("[::]:{port}"), &certificate, &key, &["-6"]);
    second.answers(&format!("[::1]:{port}")).await;
    world.agent.endpoint.as_mut().unwrap().address = format!("[::1]:{port}");
    let api = Api::start(&world).await;
    let Sighting::Unseen { reason, .. } = served(&api).await else { panic!("it is told as served") };
    assert_eq!(reason, "foreign_listener");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_speaks_only_what_cannot_be_verified_is_refused_before_anything_is_stopped() {
    let old: [(&str, &[&str]); 4] = [
        ("RSA key exchange", &["-tls1_2", "-cipher", "AES128-SHA256"]),
        ("CBC", &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"]),
        ("TLS 1.1", &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]),
        ("P-521", &["-tls1_2", "-groups", "P-521", "-cipher", "ECDHE+AESGCM"]),
    ];
    for (spoken, options) in old {
        let world = World::pem_pair().await;
        let _server = Server::in_place_of_the_service(&world, "rsa:2048", options).await;
        let api = Api::start(&world).await;
        let decided = rotate(&world, &api).await;
        assert_eq!(decided.state, RotationState::RolledBack, "{decided:#?}");
        let failure = decided.failure.unwrap();
        assert!(failure.reason == "old_tls_only" && failure.message.contains(spoken), "{failure:?}");
        assert_eq!(world.service.starts(), 0);
        api.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_key_that_nobody_checks_any_more_does_not_keep_the_rotation_from_replacing_it() {
    let world = World::pem_pair().await;
    let old = Server::in_place_of_the_service(&world, "rsa:1024", &["-cipher", "ALL:@SECLEVEL=0"]).await;
    // The rotation's stop ends the old server, and its start brings the service up.
    let mut world = world;
    world.agent.service.stop = argv(&["kill", &old.0.id().to_string()]);
    let api = Api::start(&world).await;
    let Sighting::Unseen { reason, .. } = served(&api).await else { panic!("its key was not proven") };
    assert_eq!(reason, "uncheckable_key");
    let decided = rotate(&world, &api).await;
    assert_eq!(decided.state, RotationState::Committed, "{decided:#?}");
    api.stop().await;
}
