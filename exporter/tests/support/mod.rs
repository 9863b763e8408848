//! A host to rotate on: a small TLS service with files, commands and a port of its own, and the CAs around it.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a fixture that cannot be made ends the test")]
#![allow(unreachable_pub, reason = "shared by several test programs")]

pub mod namespace;
pub mod pki;
pub mod process;
pub mod service;
pub mod wire;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::FutureExt;
use kagiban_crds::host_api::{
    CertificateRequest, ChainDelivery, KeyRequest, KeystoreOrder, RenewalOrder, RollbackOrder, RotationOpen,
    RotationState, Target,
};
use kagiban_crds::{Epoch, Generation, HostName, LeafSha256};
use kagiban_exporter::config::{AgentConfig, PowerConfig};
use kagiban_exporter::rotation::agent::Agent;
use kagiban_exporter::rotation::{Host, PowerGate, Rotator, StateDirectory, StateDirectoryError, StateDirectoryLock};

use pki::{Authority, fingerprint};
use rcgen::ExtendedKeyUsagePurpose;
use service::{Service, Store};

pub const HOST: &str = "ups-01.example.com";
pub const AGENT: &str = "agent";

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

    /// A service whose program `renew` gives it the certificate that waits in `next.crt` and `next.key`, and whose program
    /// `back` the one before. The first ends in 2040, the next in `next_ends`.
    pub async fn self_renewing(next_ends: i32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("agent");
        std::fs::create_dir(&home).unwrap();
        let issuer = Authority::new("fleet");
        let [first, next] = [2040, next_ends].map(|ends| issuer.issue(HOST, ExtendedKeyUsagePurpose::ServerAuth, ends));
        for (name, identity) in [("tls", &first), ("old", &first), ("next", &next)] {
            std::fs::write(home.join(format!("{name}.crt")), &identity.chain).unwrap();
            std::fs::write(home.join(format!("{name}.key")), &identity.key).unwrap();
        }
        let store = Store::PemPair { certificate: home.join("tls.crt"), key: home.join("tls.key") };
        let service = Service::start(store, directory.path().join("control")).await;
        let [stop, start] = [service.stop_argv(), service.start_argv()].map(|argv| {
            let quoted: Vec<_> = argv.iter().map(|argument| format!("'{argument}'")).collect();
            quoted.join(" ")
        });
        for (name, take) in [("renew", "next"), ("back", "old")] {
            let (home, hook) = (home.display(), home.join(format!("before-{name}")));
            let script = format!(
                "#!/bin/sh\necho >> {home}/ran-{name}\n[ ! -e {hook} ] || . {hook}\n{stop} && cp {home}/{take}.crt {home}/tls.crt && \
                 cp {home}/{take}.key {home}/tls.key && {start}\n",
                hook = hook.display()
            );
            std::fs::write(directory.path().join("agent").join(name), script).unwrap();
            std::fs::set_permissions(directory.path().join("agent").join(name), Permissions::from_mode(0o755)).unwrap();
        }
        let agent_yaml = format!(
            "name: {AGENT}\nproduct: self-renewing-service\nendpoint: {{address: '{}'}}\n\
             renew: {{command: ['{home}/renew'], back: ['{home}/back'], timeout: 20s}}\n\
             service: {{minRestartInterval: 0s}}\nverify: {{deadline: 1s, holdDown: 100ms, interval: 20ms}}\n",
            service.address,
            home = home.display()
        );
        let agent = serde_yaml::from_str(&agent_yaml).unwrap();
        let first = fingerprint(&first.der);
        Self { directory, service, issuer, agent, agent_yaml, first }
    }

    /// What is to run before the program `name`, in its shell.
    pub fn before(&self, name: &str, script: &str) {
        std::fs::write(self.home().join(format!("before-{name}")), script).unwrap();
    }

    /// How often the program was run.
    pub fn ran(&self, name: &str) -> usize {
        std::fs::read(self.home().join(format!("ran-{name}"))).map_or(0, |marks| marks.len())
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

    /// The lock of a rotator that was dropped lives on in a child that another test forked and that has not yet become
    /// its program.
    async fn state_directory(&self) -> (StateDirectory, StateDirectoryLock) {
        for _ in 0..100 {
            match StateDirectory::open(&self.state()) {
                Err(StateDirectoryError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
                opened => return opened.unwrap(),
            }
        }
        panic!("the state directory stays locked")
    }

    /// A chain for a CSR, and its leaf.
    pub fn sign(&self, csr: &str) -> (String, LeafSha256) {
        self.issuer.sign(csr)
    }
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
