//! A rotator for tests of one part of it: of an agent with a key pair that is not there, and an endpoint that refuses.

use std::path::Path;
use std::time::Duration;

use kagiban_crds::host_api::{CertificateRequest, KeyRequest, KeystoreOrder, RotationOpen, Target};
use kagiban_crds::{CertificateSubject, Epoch, Generation};

use super::agent::Agent;
use super::drain::BegunStop;
use super::host::Host;
use super::machine::Phase;
use super::power::PowerGate;
use super::rotator::Rotator;
use super::state_directory::{StateDirectory, StateDirectoryLock};

pub(super) use crate::platform::testing::TRUE;

pub(super) fn rotator(root: &Path, start: &str) -> (Rotator, StateDirectoryLock) {
    let directory = root.display();
    let agent = format!(
        "{{name: web, product: tls-service, keystore: {{certificateFile: {directory}/tls.crt, keyFile: {directory}/tls.key}}, \
         endpoint: {{address: '127.0.0.1:9'}}, service: {{stop: {TRUE}, start: {start}}}, \
         verify: {{deadline: 1s, holdDown: 0s, interval: 50ms}}}}"
    );
    rotator_of(root, &agent)
}

/// Of an agent that renews its own certificate by a script of a shell, and reverts by another; `root` is where they run.
pub(super) fn renewing(root: &Path, renew: &str, back: &str) -> (Rotator, StateDirectoryLock) {
    let script = |script: &str| format!("[/bin/sh, -c, 'cd {} && {script}']", root.display());
    let (renew, back) = (script(renew), script(back));
    let agent = format!(
        "{{name: web, product: self-renewing-service, endpoint: {{address: '127.0.0.1:9'}}, \
         renew: {{command: {renew}, back: {back}, timeout: 20s}}, service: {{minRestartInterval: 0s}}, \
         verify: {{deadline: 1s, holdDown: 0s, interval: 50ms}}}}"
    );
    rotator_of(root, &agent)
}

/// Of an agent that renews its own certificate by a command, as YAML.
pub(super) fn renewing_by(root: &Path, command: &str) -> (Rotator, StateDirectoryLock) {
    let agent = format!(
        "{{name: web, product: self-renewing-service, endpoint: {{address: '127.0.0.1:9'}}, renew: {{command: {command}}}, \
         service: {{minRestartInterval: 0s}}}}"
    );
    rotator_of(root, &agent)
}

/// Of an agent that is repaired by a script of a shell, and proven by another, by a `restart`, or by nothing.
pub(super) fn repaired(root: &Path, command: &str, proof: &str) -> (Rotator, StateDirectoryLock) {
    let (state_directory, lock) = StateDirectory::open(&root.join("state")).expect("state_directory");
    (rotator_in(root, state_directory, repairable(root, command, proof)), lock)
}

/// The same after another start of the program, the lock being held still.
pub(super) fn repaired_anew(root: &Path, command: &str, proof: &str, _lock: &StateDirectoryLock) -> Rotator {
    rotator_in(root, StateDirectory::at(&root.join("state")), repairable(root, command, proof))
}

fn repairable(root: &Path, command: &str, proof: &str) -> Agent {
    let script = |script: &str| format!("[/bin/sh, -c, 'cd {} && {script}']", root.display());
    let proof = match proof {
        "" => String::new(),
        "restart" => "proof: {restart: true}, ".to_owned(),
        asked => format!("proof: {{command: {}}}, ", script(asked)),
    };
    let command = script(command);
    let yaml = format!(
        "{{name: skysea, product: skysea, observe: {{mails: [{}]}}, repair: {{command: {command}, timeout: 1s, {proof}deadline: 1s}}}}",
        root.display()
    );
    let mut agent = Agent::resolve(&serde_yaml::from_str(&yaml).expect("yaml")).expect("agent");
    agent.verify.interval = Duration::from_millis(50);
    agent
}

fn rotator_of(root: &Path, agent: &str) -> (Rotator, StateDirectoryLock) {
    let agent = Agent::resolve(&serde_yaml::from_str(agent).expect("yaml")).expect("agent");
    let (state_directory, lock) = StateDirectory::open(&root.join("state")).expect("state_directory");
    (rotator_in(root, state_directory, agent), lock)
}

fn rotator_in(root: &Path, state_directory: StateDirectory, agent: Agent) -> Rotator {
    let power = format!("{{assume: mains, scheduledShutdownFile: {}/none}}", root.display());
    let power = PowerGate::new(&serde_yaml::from_str(&power).expect("yaml"));
    let host = Host::new("ups-01.example.com".parse().expect("host"), state_directory, power);
    Rotator::make_whole(host, agent).expect("journal")
}

pub(super) fn open() -> RotationOpen {
    let host = "ups-01.example.com".parse().expect("host");
    let agent = "web".parse().expect("agent");
    RotationOpen {
        target: Target { lineage: None, epoch: Epoch(1), generation: Generation(1), host, agent },
        certificate: CertificateRequest {
            dns_names: vec!["web.example.com".to_owned()],
            ip_addresses: Vec::new(),
            subject: CertificateSubject::default(),
            key: KeyRequest::EcdsaP256,
        },
        keystore: KeystoreOrder::default(),
        mark: None,
    }
}

/// A rotation in `state`, with a stop of the service that was begun just now or none.
pub(super) fn put_into(rotator: &mut Rotator, state: Phase, stop_begun: Option<BegunStop>) {
    rotator.open(&open(), Ok(())).expect("opened");
    let rotation = rotator.record.rotation.as_mut().expect("a rotation");
    (rotation.state, rotation.stop_begun) = (state, stop_begun);
    rotator.save_record();
}

/// A directory in the journal's place fails every write, as a full disk does.
pub(super) fn block_journal(root: &Path) {
    let journal = root.join("state/journal/web.json");
    std::fs::rename(&journal, root.join("aside")).expect("rename");
    std::fs::create_dir(&journal).expect("mkdir");
}

pub(super) fn unblock_journal(root: &Path) {
    std::fs::remove_dir(root.join("state/journal/web.json")).expect("rmdir");
}
