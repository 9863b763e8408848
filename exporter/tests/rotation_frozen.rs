//! When going back fails or takes its time: what a freeze is, what ends it, and what nobody takes back with it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kagiban_crds::host_api::{RefusalReason, RotationReport, RotationState};
use kagiban_exporter::rotation::{Rotator, StateDirectoryLock};
use support::wire::Api;
use support::{AGENT, World, delivery, open};
use tokio::time::{sleep, sleep_until, timeout};

/// Four looks at a freeze, on a busy machine.
const THAWED_WITHIN: Duration = Duration::from_secs(180);

async fn rotate(world: &World, rotator: &mut Rotator, generation: u64) -> RotationReport {
    let opened = rotator.open(&open(1, generation), Ok(())).unwrap();
    let (chain, _) = world.sign(&opened.csr.unwrap());
    rotator.deliver(&delivery(1, generation, &chain), Ok(())).unwrap();
    rotator.advance(|_| {}).await;
    rotator.report().unwrap()
}

fn argv(script: &str) -> Option<Vec<String>> {
    Some(["sh", "-c", script].map(str::to_owned).to_vec())
}

/// `kagiban-exporter rotation` on the world's state directory.
fn rotation(world: &World, words: &[&str]) -> Output {
    let config = world.directory.path().join("exporter.yaml");
    std::fs::write(&config, format!("stateDirectory: {}\n", world.state().display())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kagiban-exporter"));
    command.arg("rotation").args(words).arg("--config.file").arg(config).output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Holds A15: the rollback has more patience than the way forward.
#[tokio::test]
async fn an_old_store_that_is_served_later_than_a_new_one_may_be_is_waited_for() {
    let mut world = World::pem_pair().await;
    world.service.insist_on(&world.first.to_string());
    // It returns at once, as a daemon's start does, and serves after the deadline for a new leaf, which is 2 s here.
    let start = world.service.start_argv();
    world.agent.service.start = argv(&format!("(sleep 3.5; touch {}/run) >/dev/null 2>&1 &", start[3]));
    let (mut rotator, _lock) = world.rotator().await;
    let report = rotate(&world, &mut rotator, 1).await;
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(world.service.served().await, Some(world.first));
}

/// Holds A15: a freeze ends by itself, and keeps why it was.
#[tokio::test]
async fn a_freeze_ends_when_the_old_leaf_is_served_again_and_at_a_start_at_once() {
    for restarts in [false, true] {
        let world = World::pem_pair().await;
        world.service.insist_on("neither");
        let (mut rotator, mut lock) = world.rotator().await;
        let report = rotate(&world, &mut rotator, 1).await;
        assert_eq!(report.state, RotationState::Frozen, "{report:#?}");
        let failure = report.failure;

        world.service.insist_on(&world.first.to_string());
        std::fs::write(Path::new(&world.service.start_argv()[3]).join("run"), "").unwrap();
        while world.service.served().await.is_none() {
            sleep(Duration::from_millis(20)).await;
        }
        let starts = world.service.starts();
        if restarts {
            drop((rotator, lock));
            (rotator, lock) = world.rotator().await;
        } else {
            let chores = async {
                while rotator.report().unwrap().state == RotationState::Frozen {
                    sleep_until(rotator.next_chore().unwrap()).await;
                    rotator.do_chores(|_| {}).await;
                }
            };
            timeout(THAWED_WITHIN, chores).await.unwrap();
        }
        let report = rotator.report().unwrap();
        assert_eq!((report.state, &report.failure), (RotationState::RolledBack, &failure), "restarts: {restarts}");
        assert!(report.steps.iter().any(|step| step.state == RotationState::Frozen), "{report:#?}");
        assert_eq!(world.service.starts(), starts, "a service that is up is not restarted");
        let next = rotator.open(&open(1, 2), Ok(())).unwrap();
        assert_eq!(next.state, RotationState::Keyed);
        drop(lock);
    }
}

/// Holds A11, A15: what kept the service from starting is gone, and nobody starts it: a start of the exporter does, and so
/// does one that runs, after a pause.
#[tokio::test]
async fn a_frozen_agent_that_is_down_is_started_again_when_it_can_be() {
    let left_alone = async |restarts: bool| {
        let world = World::pem_pair().await;
        world.service.insist_on("neither");
        let (mut rotator, mut lock) = world.rotator().await;
        assert_eq!(rotate(&world, &mut rotator, 1).await.state, RotationState::Frozen);
        world.service.insist_on(&world.first.to_string());
        if restarts {
            drop((rotator, lock));
            (rotator, lock) = world.rotator().await;
            assert_eq!(world.service.served().await, Some(world.first), "it is started at once");
        }
        let chores = async {
            while rotator.report().unwrap().state == RotationState::Frozen {
                next_chores(&mut rotator).await;
            }
        };
        timeout(THAWED_WITHIN, chores).await.unwrap();
        assert_eq!(rotator.report().unwrap().state, RotationState::RolledBack);
        assert_eq!(world.service.served().await, Some(world.first));
        drop(lock);
    };
    tokio::join!(left_alone(true), left_alone(false));
}

/// Holds A11: what kept the old files from coming back is gone at the next start, and so is the freeze.
#[tokio::test]
async fn a_restore_that_failed_is_tried_again_at_the_next_start() {
    let mut world = World::pem_pair().await;
    let (file, start) = (world.home().join("tls.crt"), world.service.start_argv());
    let spoil =
        format!("[ -e {0}/spoilt ] || {{ touch {0}/spoilt; rm {1}; mkdir {1}; exit 1; }}; ", start[3], file.display());
    world.agent.service.start = argv(&format!("{spoil}{}", start[2].replace("$0", &start[3])));
    let (mut rotator, lock) = world.rotator().await;
    let report = rotate(&world, &mut rotator, 1).await;
    assert_eq!(report.state, RotationState::Frozen, "{report:#?}");
    assert_eq!(report.failure.unwrap().reason, "restore_failed");

    std::fs::remove_dir(&file).unwrap();
    drop((rotator, lock));
    let (rotator, _lock) = world.rotator().await;
    let report = rotator.report().unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(world.service.served().await, Some(world.first));
}

/// Holds A9, A11: one file of the set cannot go back, so none does, and the service is started on the new set.
#[tokio::test]
async fn a_file_that_cannot_go_back_leaves_the_new_set_whole_and_the_service_up() {
    let mut world = World::pem_pair().await;
    let (key, start) = (world.home().join("tls.key"), world.service.start_argv());
    let fix = format!("[ -e {0}/fixed ] || {{ touch {0}/fixed; chattr +i {1}; exit 1; }}; ", start[3], key.display());
    world.agent.service.start = argv(&format!("{fix}{}", start[2].replace("$0", &start[3])));
    let (mut rotator, _lock) = world.rotator().await;
    let report = rotate(&world, &mut rotator, 1).await;
    let served = world.service.served().await;
    assert!(Command::new("chattr").arg("-i").arg(&key).status().unwrap().success());
    assert_eq!(report.state, RotationState::Frozen, "{report:#?}");
    let failure = report.failure.unwrap();
    assert_eq!(failure.reason, "restore_failed");
    assert!(failure.message.contains("the new files stay, all of them"), "{}", failure.message);
    assert_eq!(served, report.leaf.map(|leaf| leaf.sha256), "it serves the new leaf");
}

/// Holds A14: a freeze is ended by a command, while the exporter runs, and nothing of the rotation's history goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_is_shown_and_thawed_by_command_while_the_exporter_runs() {
    let world = World::pem_pair().await;
    let api = Api::start(&world).await;
    world.service.insist_on("neither");
    let opened = api.open(1, 1).await.unwrap();
    assert!(!rotation(&world, &["thaw", AGENT]).status.success(), "it is not frozen");
    api.deliver(1, 1, &world.sign(&opened.csr.unwrap()).0).await.unwrap();
    let frozen = api.decided(1).await;
    assert_eq!(frozen.state, RotationState::Frozen);
    let refused = api.open(1, 2).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::Frozen);
    assert!(refused.message.contains("rotation thaw agent"), "{}", refused.message);
    let shown = printed(&rotation(&world, &["show", AGENT]));
    for part in
        ["generation 1  Frozen", "BackedUp", "old_leaf_not_served_after_rollback", "tls.key", "rotation thaw agent"]
    {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    let configured = world.directory.path().join("exporter.yaml");
    let typed = format!("rotation thaw agent --config.file={}\n", configured.display());
    assert!(shown.contains(&typed), "as it is typed:\n{shown}");

    let thawed = printed(&rotation(&world, &["thaw", AGENT]));
    assert!(thawed.contains("generation 1  RolledBack"), "{thawed}");
    let report = api.decided(1).await;
    assert_eq!((report.state, &report.failure), (RotationState::RolledBack, &frozen.failure));
    assert!(report.steps.starts_with(&frozen.steps), "{report:#?}");
    assert_eq!(api.open(1, 2).await.unwrap().state, RotationState::Keyed);
    api.stop().await;
}

/// Holds A14: the same without an exporter, and the record of the state directory says so.
#[tokio::test]
async fn a_freeze_is_thawed_by_command_while_no_exporter_runs() {
    let world = World::pem_pair().await;
    world.service.insist_on("neither");
    let (mut rotator, lock) = world.rotator().await;
    assert_eq!(rotate(&world, &mut rotator, 1).await.state, RotationState::Frozen);
    drop((rotator, lock));
    assert!(printed(&rotation(&world, &["list"])).contains("agent  generation 1  Frozen"));
    assert!(!rotation(&world, &["show", "nobody"]).status.success());
    printed(&rotation(&world, &["thaw", AGENT]));
    let listed: serde_json::Value = serde_json::from_str(&printed(&rotation(&world, &["list", "-o", "json"]))).unwrap();
    assert_eq!(listed[0]["rotation"]["state"], "RolledBack");
    let (mut rotator, _lock) = world.rotator().await;
    assert_eq!(rotator.open(&open(1, 2), Ok(())).unwrap().state, RotationState::Keyed);
}

/// Holds A14: one journal that cannot be read hides no other, nor that another cannot be read.
#[tokio::test]
async fn a_list_names_each_journal_that_cannot_be_read() {
    let world = World::pem_pair().await;
    let (mut rotator, lock) = world.rotator().await;
    rotator.open(&open(1, 1), Ok(())).unwrap();
    drop((rotator, lock));
    let journals = world.state().join("journal");
    std::fs::write(journals.join("cut.json"), "{").unwrap();
    std::fs::create_dir(journals.join("directory.json")).unwrap();
    std::fs::write(journals.join("other.json"), "{}").unwrap();
    let listed = rotation(&world, &["list"]);
    assert!(!listed.status.success() && String::from_utf8_lossy(&listed.stdout).starts_with("agent  "), "{listed:?}");
    for name in ["cut", "directory", "other"] {
        assert!(String::from_utf8_lossy(&listed.stderr).contains(&format!("journal of {name} ")), "{listed:?}");
    }
}

/// Holds A14: who removes a journal takes back neither an epoch nor a generation, and no backup is written over.
#[tokio::test]
async fn removing_a_journal_lets_nothing_in_that_was_refused_and_overwrites_no_backup() {
    let world = World::pem_pair().await;
    let (mut rotator, lock) = world.rotator().await;
    let opened = rotator.open(&open(7, 3), Ok(())).unwrap();
    rotator.deliver(&delivery(7, 3, &world.sign(&opened.csr.unwrap()).0), Ok(())).unwrap();
    rotator.advance(|_| {}).await;
    let backup = world.state().join("backups/agent/3/1-tls.key");
    let kept = std::fs::read(&backup).unwrap();
    drop((rotator, lock));

    std::fs::remove_file(world.state().join("journal/agent.json")).unwrap();
    let (mut rotator, lock) = world.rotator().await;
    assert_eq!(rotator.open(&open(6, 4), Ok(())).unwrap_err().reason, RefusalReason::StaleEpoch);
    let stale = rotator.open(&open(7, 3), Ok(())).unwrap_err();
    assert_eq!((stale.reason, stale.generation.map(|g| g.0)), (RefusalReason::StaleGeneration, Some(3)));
    drop((rotator, lock));

    // Even when the fences are gone too, and the number comes again.
    for name in ["fences/agent.json", "fence.json"] {
        std::fs::remove_file(world.state().join(name)).unwrap();
    }
    std::fs::remove_dir_all(world.state().join("journal")).unwrap();
    std::fs::rename(world.state().join("backups/agent/3"), world.state().join("backups/agent/4")).unwrap();
    std::fs::create_dir(world.state().join("backups/agent/5")).unwrap();
    let (mut rotator, _lock) = world.rotator().await;
    assert_eq!(rotator.open(&open(7, 5), Ok(())).unwrap_err().reason, RefusalReason::StaleGeneration);
    std::fs::rename(world.state().join("backups/agent/5"), world.state().join("backups/agent/6")).unwrap();
    let report = rotate(&world, &mut rotator, 6).await;
    assert_eq!(report.failure.unwrap().reason, "backup_exists");
    assert_eq!(std::fs::read(world.state().join("backups/agent/4/1-tls.key")).unwrap(), kept);
    assert_eq!(world.service.starts(), 1, "it was refused before the service was stopped");
}

/// A frozen agent, and the mark of its freeze.
async fn frozen(world: &World) -> (Rotator, StateDirectoryLock, serde_json::Value) {
    world.service.insist_on("neither");
    let (mut rotator, lock) = world.rotator().await;
    assert_eq!(rotate(world, &mut rotator, 1).await.state, RotationState::Frozen);
    let journal = std::fs::read(world.state().join("journal/agent.json")).unwrap();
    let journal: serde_json::Value = serde_json::from_slice(&journal).unwrap();
    (rotator, lock, journal["rotation"]["frozenAt"].clone())
}

/// What `rotation thaw` leaves for an exporter that runs.
fn ask_to_thaw(world: &World, frozen_at: &serde_json::Value) -> PathBuf {
    let requests = world.state().join("requests");
    std::fs::create_dir_all(&requests).unwrap();
    let path = requests.join("agent.thaw.json");
    std::fs::write(&path, serde_json::json!({"generation": 1, "frozenAt": frozen_at}).to_string()).unwrap();
    path
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn next_chores(rotator: &mut Rotator) {
    sleep_until(rotator.next_chore().unwrap()).await;
    rotator.do_chores(|_| {}).await;
}

/// Holds A14: a request to thaw is gone only when what it has brought about is durable.
#[tokio::test]
async fn a_request_to_thaw_stays_until_the_end_of_the_freeze_is_written_down() {
    let world = World::pem_pair().await;
    let (mut rotator, _lock, frozen_at) = frozen(&world).await;
    let request = ask_to_thaw(&world, &frozen_at);
    // A directory in the journal's place fails every write, as a full disk does.
    let (journal, aside) = (world.state().join("journal/agent.json"), world.directory.path().join("aside"));
    std::fs::rename(&journal, &aside).unwrap();
    std::fs::create_dir(&journal).unwrap();
    next_chores(&mut rotator).await;
    assert_eq!(rotator.report().unwrap().state, RotationState::Frozen);
    assert!(request.exists(), "a crash now would have lost what a person asked for");

    std::fs::remove_dir(&journal).unwrap();
    std::fs::rename(&aside, &journal).unwrap();
    while rotator.report().unwrap().state == RotationState::Frozen {
        next_chores(&mut rotator).await;
    }
    assert!(!request.exists());
    assert!(std::fs::read_to_string(&journal).unwrap().contains("rolledBack"));
}

/// Holds A14: a request that was left behind ends no other freeze, of the same rotation neither, and does not wait for one. Who
/// asked is told.
#[tokio::test]
async fn a_request_that_means_another_freeze_is_removed_and_ends_none() {
    let world = World::pem_pair().await;
    let (mut rotator, lock, frozen_at) = frozen(&world).await;
    for stale in [serde_json::json!("2026-01-01T00:00:00Z"), serde_json::Value::Null] {
        let request = ask_to_thaw(&world, &stale);
        let log = Log::default();
        let sink = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || sink.clone()).finish();
        let recording = tracing::subscriber::set_default(subscriber);
        next_chores(&mut rotator).await;
        drop(recording);
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("ask again with `rotation thaw agent`"), "{log}");
        assert_eq!(rotator.report().unwrap().state, RotationState::Frozen, "{stale}");
        assert!(!request.exists(), "{stale}");
    }
    drop((rotator, lock));
    printed(&rotation(&world, &["thaw", AGENT]));
    let request = ask_to_thaw(&world, &frozen_at);
    let (rotator, _lock) = world.rotator().await;
    assert_eq!(rotator.report().unwrap().state, RotationState::RolledBack);
    assert!(!request.exists(), "it waits for the next freeze");
}

/// Holds A14: while a fence cannot be read no order is taken, and it is not written over with a lower one.
#[tokio::test]
async fn a_fence_that_cannot_be_read_for_a_while_lets_nothing_in_that_it_kept_out() {
    for name in ["fences/agent.json", "fence.json"] {
        let world = World::pem_pair().await;
        let (mut rotator, lock) = world.rotator().await;
        rotator.open(&open(7, 3), Ok(())).unwrap();
        drop((rotator, lock));
        std::fs::remove_file(world.state().join("journal/agent.json")).unwrap();
        let other = if name == "fence.json" { "fences/agent.json" } else { "fence.json" };
        std::fs::remove_file(world.state().join(other)).unwrap();
        let (fence, aside) = (world.state().join(name), world.directory.path().join("fence"));
        std::fs::rename(&fence, &aside).unwrap();
        std::fs::create_dir(&fence).unwrap();

        let (mut rotator, _lock) = world.rotator().await;
        for (epoch, generation) in [(6, 4), (8, 5)] {
            let refused = rotator.open(&open(epoch, generation), Ok(())).unwrap_err();
            assert_eq!(refused.reason, RefusalReason::Unavailable, "{name}: {}", refused.message);
        }
        std::fs::remove_dir(&fence).unwrap();
        std::fs::rename(&aside, &fence).unwrap();
        let refused = rotator.open(&open(6, 4), Ok(())).unwrap_err();
        assert_eq!(refused.reason, RefusalReason::StaleEpoch, "{name}");
        assert_eq!(rotator.open(&open(7, 4), Ok(())).unwrap().state, RotationState::Keyed, "{name}");
    }
}

/// Holds A9: a freeze whose old files cannot come back ends when the service lives on what somebody has put there since.
#[tokio::test]
async fn a_freeze_ends_when_the_service_lives_on_what_a_person_has_installed() {
    let mut world = World::pem_pair().await;
    let (certificate, key) = (world.home().join("tls.crt"), world.home().join("tls.key"));
    let start = world.service.start_argv();
    let spoil = format!(
        "[ -e {0}/spoilt ] || {{ touch {0}/spoilt; rm {1}; mkdir {1}; exit 1; }}; ",
        start[3],
        certificate.display()
    );
    world.agent.service.start = argv(&format!("{spoil}{}", start[2].replace("$0", &start[3])));
    let (mut rotator, _lock) = world.rotator().await;
    assert_eq!(rotate(&world, &mut rotator, 1).await.state, RotationState::Frozen);

    std::fs::remove_dir(&certificate).unwrap();
    let theirs = world.issuer.server(support::HOST);
    std::fs::write(&certificate, &theirs.chain).unwrap();
    std::fs::write(&key, &theirs.key).unwrap();
    std::fs::write(Path::new(&start[3]).join("run"), "").unwrap();
    while world.service.served().await != Some(support::pki::fingerprint(&theirs.der)) {
        sleep(Duration::from_millis(20)).await;
    }
    let chores = async {
        while rotator.report().unwrap().state == RotationState::Frozen {
            next_chores(&mut rotator).await;
        }
    };
    timeout(THAWED_WITHIN, chores).await.unwrap();
    assert_eq!(rotator.report().unwrap().state, RotationState::RolledBack);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), theirs.key);
}
