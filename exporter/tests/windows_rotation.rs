//! A keystore of a service of Windows is rotated through the service control manager: whole, undone, and cut off at every edge of the
//! journal. The service is a double (`tests/doubles/windows`), the manager is the system's.

#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{RotationReport, RotationState};
use kagiban_exporter::config::AgentConfig;
use kagiban_exporter::rotation::agent::Agent;
use kagiban_exporter::rotation::{Host, PowerGate, Rotator, StateDirectoryLock};
use support::pki::Authority;
use support::service::{INI, Store, free_address, served_at};
use support::{AGENT, host};

/// A host with a service whose files are PowerChute's.
struct Scene {
    directory: tempfile::TempDir,
    issuer: Authority,
    agent: AgentConfig,
    service: String,
    address: String,
    first: LeafSha256,
}

impl Scene {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("agent");
        std::fs::create_dir(&home).unwrap();
        let issuer = Authority::new("fleet");
        let first =
            Store::Pkcs12 { store: home.join("keystore"), ini: home.join("pcssconfig.ini") }.write_first(&issuer);
        std::fs::write(home.join("password"), "new-password\n").unwrap();
        let address = free_address().await;
        let service = format!("KagibanDouble{}", address.rsplit(':').next().unwrap());
        let shown = home.display();
        let agent = serde_yaml::from_str(&format!(
            "name: {AGENT}\nproduct: powerchute-serial-shutdown\ndirectory: '{shown}'\npasswordFile: '{shown}\\password'\n\
             endpoint: {{address: '{address}'}}\n\
             service: {{name: {service}, startTimeout: 5s, stopTimeout: 2s, minRestartInterval: 0s}}\n\
             verify: {{deadline: 5s, holdDown: 100ms, interval: 50ms}}\n",
        ))
        .unwrap();
        let scene = Self { directory, issuer, agent, service, address, first };
        let home = scene.home();
        scene.double(&["install", &scene.service, "--directory", home.to_str().unwrap(), "--listen", &scene.address]);
        scene.double(&["start", &scene.service]);
        assert_eq!(scene.served().await, Some(scene.first));
        scene
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("agent")
    }

    fn switch(&self, name: &str, text: &str) {
        std::fs::write(self.home().join(name), text).unwrap();
    }

    fn starts(&self) -> usize {
        std::fs::read_to_string(self.home().join("starts")).unwrap().lines().count()
    }

    async fn served(&self) -> Option<LeafSha256> {
        served_at(&self.address).await
    }

    fn double(&self, arguments: &[&str]) {
        let output = Command::new(double()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    async fn rotator(&self) -> (Rotator, StateDirectoryLock) {
        let (state, lock) = support::state_directory(&self.directory.path().join("state")).await;
        let power = PowerGate::new(&serde_yaml::from_str("{assume: mains}").unwrap());
        let agent = Agent::resolve(&self.agent).unwrap();
        (Rotator::recover(Host::new(host(), state, power), agent).await.unwrap(), lock)
    }

    async fn report(&self) -> RotationReport {
        self.rotator().await.0.report().unwrap()
    }

    /// As the support's, of this scene.
    async fn rotate_until(&self, edges: usize) -> (LeafSha256, bool) {
        let (rotator, _lock) = self.rotator().await;
        support::rotate_until(rotator, &self.issuer, edges).await
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // One that hangs in its stop goes on.
        let _ = std::fs::remove_file(self.home().join("hangs-when-stopped"));
        for verb in ["stop", "remove"] {
            let _ = Command::new(double()).args([verb, &self.service]).output();
        }
    }
}

/// Built beside the exporter.
fn double() -> PathBuf {
    let double = Path::new(env!("CARGO_BIN_EXE_kagiban-exporter")).with_file_name("agent-double.exe");
    assert!(double.exists(), "{} is not built: cargo build -p kagiban-windows-double", double.display());
    double
}

#[tokio::test]
async fn a_keystore_of_a_service_is_rotated_with_its_password_and_the_rest_of_its_files_stays() {
    let scene = Scene::new().await;
    let (leaf, ended) = scene.rotate_until(usize::MAX).await;
    let report = scene.report().await;
    assert!(ended && report.state == RotationState::Committed, "{report:#?}");
    assert_eq!((scene.served().await, scene.starts()), (Some(leaf), 2));
    // The line ends stay, and so does what looks like the setting in another section.
    let ini = std::fs::read_to_string(scene.home().join("pcssconfig.ini")).unwrap();
    assert_eq!(
        ini,
        INI.replace("[Credentials]\r\nKS_Access_Data = old-password", "[Credentials]\r\nKS_Access_Data = new-password")
    );
}

#[tokio::test]
async fn a_service_that_does_not_start_with_the_new_keystore_has_the_old_one_back() {
    let scene = Scene::new().await;
    scene.switch("only", &scene.first.to_string());
    let (_, ended) = scene.rotate_until(usize::MAX).await;
    let report = scene.report().await;
    assert!(ended && report.state == RotationState::RolledBack, "{report:#?}");
    // The code with which it ended stands where a person looks.
    assert!(report.failure.as_ref().is_some_and(|failure| failure.message.contains("code 17 ")), "{report:#?}");
    assert_eq!(scene.served().await, Some(scene.first));
    assert_eq!(std::fs::read_to_string(scene.home().join("pcssconfig.ini")).unwrap(), INI);
}

#[tokio::test]
async fn a_service_that_hangs_in_its_stop_is_a_failure_of_its_own_and_is_up_when_it_has_ended() {
    let scene = Scene::new().await;
    scene.switch("hangs-when-stopped", "");
    let (mut rotator, lock) = scene.rotator().await;
    support::order(&mut rotator, &scene.issuer);
    let mut switch = Some(scene.home().join("hangs-when-stopped"));
    rotator
        .advance(|rotator| {
            let has_failed = rotator.report().unwrap().failure.is_some();
            // It ends when the stop has failed, and while it is still waited for.
            if let Some(switch) = switch.take_if(|_| has_failed) {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    std::fs::remove_file(switch).unwrap();
                });
            }
        })
        .await;
    drop((rotator, lock));
    let report = scene.report().await;
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert!(report.failure.as_ref().is_some_and(|failure| failure.reason == "stop_pending"), "{report:#?}");
    assert_eq!(scene.served().await, Some(scene.first));
}

#[tokio::test]
async fn a_rotation_that_was_cut_off_at_any_edge_is_finished_or_undone() {
    let mut states = Vec::new();
    for edge in 0.. {
        let scene = Scene::new().await;
        let (new, ended) = scene.rotate_until(edge).await;
        let report = scene.report().await;
        assert!(report.state.is_decided(), "edge {edge}: {report:#?}");
        let expected = if report.state == RotationState::Committed { new } else { scene.first };
        assert_eq!(scene.served().await, Some(expected), "edge {edge}: {report:#?}");
        let starts = scene.starts();
        assert_eq!(
            (scene.report().await, scene.starts()),
            (report.clone(), starts),
            "edge {edge}: another start changes nothing"
        );
        let names = std::fs::read_dir(scene.home()).unwrap().map(|entry| entry.unwrap().file_name());
        let litter: Vec<_> = names.filter(|name| name.to_string_lossy().contains(".kagiban-")).collect();
        assert!(litter.is_empty(), "edge {edge}: {litter:?}");
        states.push(report.state);
        if ended {
            break;
        }
    }
    assert!(states.contains(&RotationState::RolledBack) && states.last() == Some(&RotationState::Committed));
    assert!(states.len() >= 9, "{states:?}");
}
