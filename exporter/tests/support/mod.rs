//! A host to rotate on: a small TLS service with files, commands and a port of its own, and the CAs around it.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a fixture that cannot be made ends the test")]
#![allow(unreachable_pub, reason = "shared by several test programs")]

#[cfg(unix)]
pub mod linux;
pub mod namespace;
pub mod pki;
#[cfg(unix)]
pub mod process;
pub mod service;
pub mod wire;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::FutureExt;
use kagiban_crds::host_api::{
    CertificateRequest, ChainDelivery, KeyRequest, KeystoreOrder, RenewalOrder, RollbackOrder, RotationOpen,
    RotationState, Target,
};
use kagiban_crds::{CertificateSubject, Epoch, Generation, HostName, LeafSha256};
use kagiban_exporter::config::{AgentConfig, PowerConfig};
use kagiban_exporter::rotation::agent::Agent;
use kagiban_exporter::rotation::{Host, PowerGate, Rotator, StateDirectory, StateDirectoryError, StateDirectoryLock};

use pki::Authority;
use service::{Service, Store};

pub const HOST: &str = "ups-01.example.com";
pub const AGENT: &str = "agent";

/// Far beyond what anything here takes on a busy machine; reached only by a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A host with one agent.
pub struct World {
    pub directory: tempfile::TempDir,
    pub service: Service,
    pub issuer: Authority,
    pub agent: AgentConfig,
    /// The same, as written.
    pub agent_yaml: String,
    /// What is served before the first rotation.
    pub first: LeafSha256,
}

impl World {
    /// A service with certificate and key as two PEM files.
    pub async fn pem_pair() -> Self {
        Self::with(|directory| {
            let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
            let keystore = format!("{{certificateFile: {}, keyFile: {}}}", certificate.display(), key.display());
            (Store::PemPair { certificate, key }, format!("product: tls-service\nkeystore: {keystore}\n"))
        })
        .await
    }

    /// PowerChute's files: a PKCS#12 store whose password stands in its INI file.
    pub async fn powerchute() -> Self {
        Self::with(|directory| {
            let (store, ini) = (directory.join("keystore"), directory.join("pcssconfig.ini"));
            let config = format!(
                "product: powerchute-serial-shutdown\ndirectory: {0}\npasswordFile: {0}/password\n",
                directory.display()
            );
            (Store::Pkcs12 { store, ini }, config)
        })
        .await
    }

    async fn with(build: impl FnOnce(&Path) -> (Store, String)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("agent");
        std::fs::create_dir(&home).unwrap();
        let issuer = Authority::new("fleet");
        let (store, config) = build(&home);
        let first = store.write_first(&issuer);
        std::fs::write(home.join("password"), "old-password\n").unwrap();
        let service = Service::start(store, directory.path().join("control")).await;
        let agent_yaml = format!(
            "name: {AGENT}\n{config}endpoint: {{address: '{}'}}\nservice:\n  stop: {}\n  start: {}\n  startTimeout: 5s\n  stopTimeout: 5s\n  \
             minRestartInterval: 0s\nverify: {{deadline: 2s, holdDown: 100ms, interval: 20ms}}\n",
            service.address,
            serde_json::to_string(&service.stop_argv()).unwrap(),
            serde_json::to_string(&service.start_argv()).unwrap(),
        );
        let agent = serde_yaml::from_str(&agent_yaml).unwrap();
        Self { directory, service, issuer, agent, agent_yaml, first }
    }

    pub fn home(&self) -> PathBuf {
        self.directory.path().join("agent")
    }

    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub fn scheduled_shutdown(&self) -> PathBuf {
        self.directory.path().join("scheduled")
    }

    pub fn power(&self) -> PowerConfig {
        serde_yaml::from_str(&format!(
            "{{assume: mains, scheduledShutdownFile: {}}}",
            self.scheduled_shutdown().display()
        ))
        .unwrap()
    }

    pub async fn rotator(&self) -> (Rotator, StateDirectoryLock) {
        let (host, lock) = self.host().await;
        (Rotator::recover(host, self.resolved()).await.unwrap(), lock)
    }

    /// Generation 1, cut off when its journal has just told of `state`. The leaf that it was for.
    pub async fn cut_off_in(&self, state: RotationState) -> LeafSha256 {
        let (mut rotator, _lock) = self.rotator().await;
        let opened = rotator.open(&open(1, 1), Ok(())).unwrap();
        let (chain, leaf) = self.sign(&opened.csr.unwrap());
        rotator.deliver(&delivery(1, 1, &chain), Ok(())).unwrap();
        let cut_off = AssertUnwindSafe(rotator.advance(|rotator| {
            assert_ne!(rotator.report().unwrap().state, state, "cut off");
        }));
        assert!(cut_off.catch_unwind().await.is_err());
        leaf
    }

    pub async fn host(&self) -> (Host, StateDirectoryLock) {
        let (state_directory, lock) = self.state_directory().await;
        (Host::new(host(), state_directory, PowerGate::new(&self.power())), lock)
    }

    pub fn resolved(&self) -> Agent {
        Agent::resolve(&self.agent).unwrap()
    }

    /// Of the state directory, as another exporter has it.
    pub async fn lock(&self) -> StateDirectoryLock {
        self.state_directory().await.1
    }

    async fn state_directory(&self) -> (StateDirectory, StateDirectoryLock) {
        state_directory(&self.state()).await
    }

    /// Where the agent's journal says that its rotation stands.
    pub fn phase(&self) -> Option<String> {
        let path = self.state().join(Path::new("journal").join(format!("{AGENT}.json")));
        let journal: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        Some(journal["rotation"]["state"]["phase"].as_str()?.to_owned())
    }

    /// Changes the agent's configuration, as written.
    pub fn rewrite_agent(&mut self, from: &str, to: &str) {
        assert!(self.agent_yaml.contains(from), "{from} is not in\n{}", self.agent_yaml);
        self.agent_yaml = self.agent_yaml.replace(from, to);
        self.agent = serde_yaml::from_str(&self.agent_yaml).unwrap();
    }

    /// A chain for a CSR, and its leaf.
    pub fn sign(&self, csr: &str) -> (String, LeafSha256) {
        self.issuer.sign(csr)
    }
}

/// The lock of a rotator that was dropped lives on in a child that another test forked and that has not yet become
/// its program.
pub async fn state_directory(path: &Path) -> (StateDirectory, StateDirectoryLock) {
    for _ in 0..100 {
        match StateDirectory::open(path) {
            Err(StateDirectoryError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            opened => return opened.unwrap(),
        }
    }
    panic!("the state directory stays locked")
}

/// Generation 1, until its journal has been written `edges` times since the chain was accepted; then its program is gone. The new leaf,
/// and whether it came to its end.
pub async fn rotate_until(mut rotator: Rotator, issuer: &Authority, edges: usize) -> (LeafSha256, bool) {
    let leaf = order(&mut rotator, issuer);
    let mut seen = 0;
    let cut_off = AssertUnwindSafe(rotator.advance(move |_| {
        seen += 1;
        assert!(seen < edges, "cut off");
    }));
    let ended = if edges == 0 { false } else { cut_off.catch_unwind().await.is_ok() };
    (leaf, ended)
}

/// Generation 1, with its chain, and nothing done yet. The new leaf.
pub fn order(rotator: &mut Rotator, issuer: &Authority) -> LeafSha256 {
    let opened = rotator.open(&open(1, 1), Ok(())).unwrap();
    let (chain, leaf) = issuer.sign(&opened.csr.unwrap());
    rotator.deliver(&delivery(1, 1, &chain), Ok(())).unwrap();
    leaf
}

pub fn host() -> HostName {
    HOST.parse().unwrap()
}

pub fn target(epoch: u64, generation: u64) -> Target {
    Target {
        lineage: None,
        epoch: Epoch(epoch),
        generation: Generation(generation),
        host: host(),
        agent: AGENT.parse().unwrap(),
    }
}

pub fn open(epoch: u64, generation: u64) -> RotationOpen {
    RotationOpen {
        target: target(epoch, generation),
        certificate: CertificateRequest {
            dns_names: vec![HOST.to_owned()],
            ip_addresses: vec![],
            subject: CertificateSubject::default(),
            key: KeyRequest::EcdsaP256,
        },
        keystore: KeystoreOrder::default(),
        mark: None,
    }
}

pub fn delivery(epoch: u64, generation: u64, chain: &str) -> ChainDelivery {
    ChainDelivery { target: target(epoch, generation), chain: chain.to_owned() }
}

pub fn renewal(epoch: u64, generation: u64) -> RenewalOrder {
    RenewalOrder { target: target(epoch, generation), mark: None }
}

pub fn rollback(epoch: u64, generation: u64) -> RollbackOrder {
    RollbackOrder { target: target(epoch, generation) }
}
