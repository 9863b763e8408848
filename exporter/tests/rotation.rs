//! Rotations on a host, through the host API: what ends well, what goes back, and what is refused.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use kagiban_crds::host_api::{
    AgentReport, CommittedRotation, HandOver, HandOverReport, HostReport, PowerState, Refusal, RefusalReason,
    RollbackOrder, RotationOpen, RotationReport, RotationState, Sighting, Target,
};
use kagiban_crds::{AgentName, Epoch, Generation};
use kagiban_exporter::config::AgentConfig;
use kagiban_keystore as keystore;
use support::wire::Api;
use support::{AGENT, World, open, rollback, service};

const MULTI: &str = "a service and a host API live in this process";

fn left_in(directory: &Path) -> Vec<OsString> {
    let mut left: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    left
}

async fn rotate(world: &World, api: &Api, generation: u64) -> RotationReport {
    let opened = api.open(1, generation).await.unwrap();
    assert_eq!(opened.state, RotationState::Keyed);
    let (chain, _) = world.sign(&opened.csr.expect(MULTI));
    api.deliver(1, generation, &chain).await.unwrap();
    api.decided(generation).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_ends_with_the_new_leaf_served_one_restart_and_the_old_files_in_the_backup() {
    let world = World::pem_pair().await;
    let key = world.home().join("tls.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let old_key = std::fs::read(&key).unwrap();
    let api = Api::start(&world).await;

    let opened = api.open(1, 1).await.unwrap();
    let (chain, leaf) = world.sign(opened.csr.as_ref().unwrap());
    let accepted = api.deliver(1, 1, &chain).await.unwrap();
    assert!(accepted.state >= RotationState::Validated);
    let decided = api.decided(1).await;
    let decided_at = Instant::now();

    assert_eq!(decided.state, RotationState::Committed, "{decided:#?}");
    assert_eq!(world.service.served().await, Some(leaf));
    assert_eq!(decided.previous, Some(world.first));
    assert_eq!(world.service.starts(), 1);
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(std::fs::read(world.state().join("backups/agent/1/1-tls.key")).unwrap(), old_key);
    // It is tidied up once it is decided.
    while left_in(&world.home()) != ["password", "tls.crt", "tls.key"] {
        assert!(decided_at.elapsed() < Duration::from_secs(30), "{:?}", left_in(&world.home()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let report: AgentReport = api.ask("GET", &format!("agents/{AGENT}"), &()).await.unwrap();
    assert_eq!(report.generation, Generation(1));
    assert!(matches!(report.stored, Sighting::Leaf(stored) if stored.sha256 == leaf));
    assert!(matches!(report.served, Sighting::Leaf(served) if served.sha256 == leaf));

    // A repeat is answered with what became of it, and restarts nothing.
    assert_eq!(api.open(1, 1).await.unwrap(), decided);
    assert_eq!(api.deliver(1, 1, &chain).await.unwrap(), decided);
    assert_eq!(world.service.starts(), 1);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_does_not_start_on_the_new_files_gets_its_old_ones_back() {
    let world = World::pem_pair().await;
    world.service.insist_on(&world.first.to_string());
    let old = std::fs::read(world.home().join("tls.crt")).unwrap();
    let api = Api::start(&world).await;
    let decided = rotate(&world, &api, 1).await;
    assert_eq!(decided.state, RotationState::RolledBack, "{decided:#?}");
    assert_eq!(decided.failure.unwrap().reason, "start_failed");
    assert_eq!(world.service.served().await, Some(world.first));
    assert_eq!(std::fs::read(world.home().join("tls.crt")).unwrap(), old);
    assert_eq!(world.service.starts(), 2);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_comes_back_on_neither_is_frozen_and_takes_nothing_more() {
    let world = World::pem_pair().await;
    world.service.insist_on("neither");
    let api = Api::start(&world).await;
    let decided = rotate(&world, &api, 1).await;
    assert_eq!(decided.state, RotationState::Frozen, "{decided:#?}");
    assert_eq!(api.open(1, 2).await.unwrap_err().reason, RefusalReason::Frozen);
    let old_files = std::fs::read_to_string(world.home().join("tls.crt")).unwrap();
    assert!(old_files.contains("BEGIN CERTIFICATE"));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_committed_rotation_goes_back_by_order() {
    let world = World::pem_pair().await;
    let api = Api::start(&world).await;
    assert_eq!(rotate(&world, &api, 1).await.state, RotationState::Committed);
    let path = format!("agents/{AGENT}/rotations/1/rollback");
    let going: RotationReport = api.ask("POST", &path, &rollback(1, 1)).await.unwrap();
    assert_eq!(going.state, RotationState::RollingBack);
    assert_eq!(api.decided(1).await.state, RotationState::RolledBack);
    assert_eq!(world.service.served().await, Some(world.first));
    api.stop().await;
}

/// The next operator knows by it what it need not ask for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_is_told_with_its_mark_after_later_rotations_were_undone() {
    let world = World::pem_pair().await;
    let api = Api::start(&world).await;
    let path = format!("agents/{AGENT}/rotations");
    let opened = async |generation| {
        let mark = Some(format!("order-{generation}").parse().unwrap());
        let opened: RotationReport =
            api.ask("POST", &path, &RotationOpen { mark, ..open(1, generation) }).await.unwrap();
        opened.csr.unwrap()
    };
    let undone = async |generation| {
        let order = rollback(1, generation);
        api.ask::<RotationReport>("POST", &format!("{path}/{generation}/rollback"), &order).await.unwrap();
        assert_eq!(api.decided(generation).await.state, RotationState::RolledBack);
    };
    let told = async |api: &Api| {
        let report: AgentReport = api.ask("GET", &format!("agents/{AGENT}"), &()).await.unwrap();
        report.committed
    };
    opened(1).await;
    undone(1).await;
    assert_eq!(told(&api).await, None, "nothing was committed");
    let (chain, leaf) = world.sign(&opened(2).await);
    api.deliver(1, 2, &chain).await.unwrap();
    assert_eq!(api.decided(2).await.state, RotationState::Committed);
    let committed = CommittedRotation { generation: Generation(2), leaf, mark: Some("order-2".parse().unwrap()) };
    assert_eq!(told(&api).await, Some(committed.clone()));
    for generation in [3, 4] {
        opened(generation).await;
        assert_eq!(told(&api).await, Some(committed.clone()), "{generation} is on its way");
        undone(generation).await;
    }
    let (chain, leaf) = world.sign(&opened(5).await);
    api.deliver(1, 5, &chain).await.unwrap();
    assert_eq!(api.decided(5).await.state, RotationState::Committed);
    assert_eq!(told(&api).await.map(|it| (it.generation, it.leaf)), Some((Generation(5), leaf)));
    undone(5).await;
    assert_eq!(world.service.served().await, Some(committed.leaf));
    api.stop().await;
    let api = Api::start(&world).await;
    assert_eq!(told(&api).await, Some(committed));
    api.stop().await;
}

/// Holds A14: what is under way is answered without its worker, and the leader before could open the next rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_by_a_new_leader_of_what_is_under_way_lets_the_old_one_speak_no_more() {
    let mut world = World::pem_pair().await;
    let slowly = ["sh", "-c", "sleep 3; exec \"$@\"", "sh"].map(str::to_owned).to_vec();
    world.agent.service.stop = Some([slowly, world.service.stop_argv()].concat());
    let api = Api::start(&world).await;
    let chain = world.sign(&api.open(1, 1).await.unwrap().csr.unwrap()).0;
    api.deliver(1, 1, &chain).await.unwrap();
    let repeated = api.deliver(6, 1, &chain).await.unwrap();
    assert!(!repeated.state.is_decided(), "{repeated:#?}");
    assert_eq!(api.decided(1).await.state, RotationState::Committed);
    let deposed = api.open(5, 2).await.unwrap_err();
    assert_eq!((deposed.reason, deposed.epoch.map(|e| e.0)), (RefusalReason::StaleEpoch, Some(6)));
    api.open(6, 2).await.unwrap();
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_or_meant_for_others_is_refused_and_changes_nothing() {
    let world = World::pem_pair().await;
    let api = Api::start(&world).await;
    let opened = api.open(5, 3).await.unwrap();

    let stale = api.open(5, 2).await.unwrap_err();
    assert_eq!((stale.reason, stale.generation), (RefusalReason::StaleGeneration, Some(Generation(3))));
    let deposed = api.open(4, 4).await.unwrap_err();
    assert_eq!((deposed.reason, deposed.epoch.map(|e| e.0)), (RefusalReason::StaleEpoch, Some(5)));
    assert_eq!(api.open(5, 4).await.unwrap_err().reason, RefusalReason::RotationInProgress);

    let mut other = open(5, 3);
    other.certificate.dns_names.push("other.example.com".to_owned());
    let path = format!("agents/{AGENT}/rotations");
    let conflict = api.ask::<RotationReport>("POST", &path, &other).await.unwrap_err();
    assert_eq!(conflict.reason, RefusalReason::GenerationConflict);
    let mut elsewhere = open(5, 4);
    elsewhere.target.host = "ups-02.example.com".parse().unwrap();
    let refused = api.ask::<RotationReport>("POST", &path, &elsewhere).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::WrongTarget);
    let unknown = api.ask::<RotationReport>("POST", "agents/nobody/rotations", &open(5, 4)).await.unwrap_err();
    assert_eq!(unknown.reason, RefusalReason::NotFound);

    // A chain for another key, then one that does not parse; the rotation waits on for the right one.
    let (foreign, _) = (support::pki::Authority::new("x").server(support::HOST).chain, ());
    for chain in [foreign.as_str(), "no chain"] {
        assert_eq!(api.deliver(5, 3, chain).await.unwrap_err().reason, RefusalReason::ChainRefused);
    }
    // The next leader repeats the question, and the one before it speaks no more.
    assert_eq!(api.open(6, 3).await.unwrap().csr, opened.csr);
    assert_eq!(api.open(5, 3).await.unwrap_err().reason, RefusalReason::StaleEpoch);
    assert_eq!(world.service.starts(), 0);
    assert_eq!(world.service.served().await, Some(world.first));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_opened_while_a_shutdown_is_scheduled() {
    let world = World::pem_pair().await;
    let api = Api::start(&world).await;
    std::fs::write(world.scheduled_shutdown(), "USEC=1\n").unwrap();
    let refusal = api.open(1, 1).await.unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::PowerUnsafe);
    assert_eq!(refusal.power, Some(PowerState::ShutdownPending));
    let report: AgentReport = api.ask("GET", &format!("agents/{AGENT}"), &()).await.unwrap();
    assert_eq!(report.power.state, PowerState::ShutdownPending);
    assert_eq!(report.generation, Generation(0));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn powerchutes_store_and_its_password_change_together_and_the_rest_of_both_files_stays() {
    let world = World::powerchute().await;
    std::fs::write(world.home().join("password"), "new-password\n").unwrap();
    let api = Api::start(&world).await;
    let decided = rotate(&world, &api, 1).await;
    assert_eq!(decided.state, RotationState::Committed, "{decided:#?}");
    assert_eq!(world.service.served().await, decided.leaf.map(|leaf| leaf.sha256));
    let ini = std::fs::read_to_string(world.home().join("pcssconfig.ini")).unwrap();
    assert_eq!(ini, service::INI.replace("old-password", "new-password"));
    let store = std::fs::read(world.home().join("keystore")).unwrap();
    let store = keystore::read(&store, Some(&"new-password".into()), &keystore::Limits::default()).unwrap();
    assert_eq!(store.password, keystore::PasswordCheck::Verified);
    let mut aliases: Vec<_> = store.entries.iter().map(|entry| entry.alias.as_str()).collect();
    aliases.sort_unstable();
    assert_eq!(aliases, ["other", "root", "securekey"], "the entry that is not ours is still there");
    api.stop().await;
}

/// The vendor's handbook imports the CA's certificate as `root` before the new one as `securekey`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn powerchutes_store_trusts_the_root_of_its_chain_once_and_its_administrators_own_root_stays() {
    let world = World::powerchute().await;
    let store = world.home().join("keystore");
    let trusted = || {
        let bytes = std::fs::read(&store).unwrap();
        let read = keystore::read(&bytes, Some(&"old-password".into()), &keystore::Limits::default()).unwrap();
        let trusted = read.entries.into_iter().filter(|entry| entry.kind == keystore::EntryKind::Trusted);
        let mut told: Vec<_> =
            trusted.map(|entry| (entry.alias.clone(), entry.leaf().unwrap().der().to_vec())).collect();
        told.sort();
        told
    };
    let theirs = support::pki::Authority::new("theirs");
    let certificate = world.home().join("theirs.pem");
    std::fs::write(&certificate, &theirs.pem).unwrap();
    let made = std::process::Command::new("keytool")
        .args(["-importcert", "-noprompt", "-storepass", "old-password", "-alias", "root", "-file"])
        .args([certificate.as_path(), Path::new("-keystore"), store.as_path()])
        .output()
        .expect("keytool is needed: install a JDK, for example openjdk-17-jdk-headless");
    assert!(made.status.success(), "{made:?}");

    let api = Api::start(&world).await;
    let first = rotate(&world, &api, 1).await;
    let beside = format!("root-{}", &hex::encode(support::pki::fingerprint(&world.issuer.der).as_bytes())[..8]);
    let both = [("root".to_owned(), theirs.der), (beside.clone(), world.issuer.der.clone())];
    assert_eq!(trusted(), both);
    let told = |decided: &RotationReport| decided.steps.iter().map(|step| step.note.clone()).collect::<String>();
    assert!(told(&first).contains(&format!("goes in beside it as {beside}")), "{first:#?}");
    let second = rotate(&world, &api, 2).await;
    assert_eq!(trusted(), both, "once");
    assert!(told(&second).contains(&format!("there already, as {beside}")), "{second:#?}");
    api.stop().await;
}

/// The agent keeps a copy of its INI file, and starts from it where it loses the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agents_copy_of_its_ini_file_tells_the_stores_password_as_the_file_does_or_none() {
    let world = World::powerchute().await;
    let copy = world.home().join("pcssconfig_backup.ini");
    let api = Api::start(&world).await;
    let stale = "; the agent's copy\r\n[Credentials]\r\nKS_Access_Data = older-password\r\n[Other]\r\n";
    std::fs::write(&copy, stale).unwrap();
    assert_eq!(rotate(&world, &api, 1).await.state, RotationState::Committed);
    let mended = stale.replace("older-password", "old-password");
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), mended, "the file itself says so already");

    std::fs::write(&copy, stale).unwrap();
    std::fs::write(world.home().join("password"), "new-password\n").unwrap();
    assert_eq!(rotate(&world, &api, 2).await.state, RotationState::Committed);
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), stale.replace("older-password", "new-password"));
    let path = format!("agents/{AGENT}/rotations/2/rollback");
    let undone: RotationReport = api.ask("POST", &path, &rollback(1, 2)).await.unwrap();
    assert_eq!(api.decided(2).await.state, RotationState::RolledBack, "{undone:#?}");
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), stale);
    assert_eq!(std::fs::read_to_string(world.home().join("pcssconfig.ini")).unwrap(), service::INI);

    for silent in ["", "[Other]\r\nlanguage = ja\r\n"] {
        std::fs::write(&copy, silent).unwrap();
        std::fs::write(world.home().join("password"), format!("password-{}\n", silent.len())).unwrap();
        let decided = rotate(&world, &api, 3 + u64::try_from(silent.len()).unwrap()).await;
        assert_eq!(decided.state, RotationState::Committed, "{decided:#?}");
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), silent, "no password is put where there was none");
    }
    api.stop().await;
}

/// It is a copy: the store and the INI file are the agent's, and go on without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_ini_file_that_cannot_be_read_is_left_and_told_and_keeps_no_certificate_from_the_agent() {
    let world = World::powerchute().await;
    let copy = world.home().join("pcssconfig_backup.ini");
    let api = Api::start(&world).await;
    let utf16: Vec<u8> = "\u{feff}[Credentials]\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&copy, &utf16).unwrap();
    std::fs::write(world.home().join("password"), "new-password\n").unwrap();
    let decided = rotate(&world, &api, 1).await;
    assert_eq!(decided.state, RotationState::Committed, "{decided:#?}");
    assert_eq!(std::fs::read(&copy).unwrap(), utf16);
    let told: String = decided.steps.iter().map(|step| step.note.clone()).collect();
    let expected = "the agent's copy of its INI file stays as it is: pcssconfig_backup.ini: the INI file is UTF-16";
    assert!(told.contains(expected), "{told}");
    assert!(!told.contains("new-password"), "{told}");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_no_password_opens_is_refused_before_a_key_is_made() {
    let world = World::powerchute().await;
    std::fs::write(world.home().join("password"), "wrong-password\n").unwrap();
    std::fs::write(world.home().join("pcssconfig.ini"), "[Other]\n").unwrap();
    let api = Api::start(&world).await;
    assert_eq!(api.open(1, 1).await.unwrap_err().reason, RefusalReason::KeystoreRefused);
    assert_eq!(api.ask::<AgentReport>("GET", &format!("agents/{AGENT}"), &()).await.unwrap().generation, Generation(0));
    api.stop().await;
}

/// Holds R11: before a certificate is issued that could not be put in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_that_another_entry_would_be_lost_by_is_refused_before_a_key_is_made() {
    let world = World::powerchute().await;
    let (store, certificate) = (world.home().join("keystore"), world.home().join("trusted.pem"));
    std::fs::remove_file(&store).unwrap();
    std::fs::write(&certificate, world.issuer.server("console.example.com").chain).unwrap();
    let made = std::process::Command::new("keytool")
        .args(["-importcert", "-noprompt", "-storetype", "PKCS12", "-storepass", "old-password", "-alias", "SecureKey"])
        .arg("-file")
        .arg(&certificate)
        .arg("-keystore")
        .arg(&store)
        .output()
        .expect("keytool is needed: install a JDK, for example openjdk-17-jdk-headless");
    assert!(made.status.success(), "{made:?}");
    let api = Api::start(&world).await;
    let refused = api.open(1, 1).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::KeystoreRefused);
    assert!(refused.message.contains("\"SecureKey\" would be lost"), "{}", refused.message);
    assert_eq!(api.ask::<AgentReport>("GET", &format!("agents/{AGENT}"), &()).await.unwrap().generation, Generation(0));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_cannot_be_the_stores_is_refused_before_a_key_is_made_and_the_next_one_is_taken() {
    let world = World::powerchute().await;
    let api = Api::start(&world).await;
    for password in ["short", "pässword-日本"] {
        std::fs::write(world.home().join("password"), format!("{password}\n")).unwrap();
        let refused = api.open(1, 1).await.unwrap_err();
        assert_eq!(refused.reason, RefusalReason::KeystoreRefused);
        assert!(refused.message.contains("choose") && !refused.message.contains(password), "{}", refused.message);
    }
    std::fs::write(world.home().join("password"), "new-password\n").unwrap();
    assert_eq!(rotate(&world, &api, 1).await.state, RotationState::Committed);
    api.stop().await;
}

fn argv(script: &str) -> Option<Vec<String>> {
    Some(["sh", "-c", script].map(str::to_owned).to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_process_that_goes_on_with_the_old_leaf_is_no_success() {
    let mut world = World::pem_pair().await;
    (world.agent.service.stop, world.agent.service.start) = (argv("true"), argv("true"));
    let api = Api::start(&world).await;
    let decided = rotate(&world, &api, 1).await;
    assert_eq!(decided.state, RotationState::RolledBack, "{decided:#?}");
    assert_eq!(decided.failure.unwrap().reason, "other_leaf_served");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_hangs_is_killed_and_nothing_is_replaced() {
    let mut world = World::pem_pair().await;
    world.agent.service.stop = argv("sleep 60");
    world.agent.service.stop_timeout = Some(Duration::from_millis(200));
    let old = std::fs::read(world.home().join("tls.crt")).unwrap();
    let api = Api::start(&world).await;
    let decided = rotate(&world, &api, 1).await;
    assert_eq!(decided.state, RotationState::RolledBack, "{decided:#?}");
    assert_eq!(decided.failure.unwrap().reason, "stop_failed");
    assert_eq!(std::fs::read(world.home().join("tls.crt")).unwrap(), old);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_agent_writes_while_it_stops_is_not_lost() {
    let mut world = World::pem_pair().await;
    let file = world.home().join("tls.crt");
    let stop = world.service.stop_argv();
    let script = format!("{}; echo >> {}", stop[2].replace("$0", &stop[3]), file.display());
    world.agent.service.stop = argv(&script);
    let old = std::fs::read(&file).unwrap();
    let api = Api::start(&world).await;
    let decided = rotate(&world, &api, 1).await;
    assert_eq!(decided.state, RotationState::RolledBack, "{decided:#?}");
    assert_eq!(decided.failure.unwrap().reason, "changed_meanwhile");
    assert_eq!(std::fs::read(&file).unwrap(), [old.as_slice(), b"\n"].concat());
    assert_eq!(world.service.served().await, Some(world.first));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_are_bounded_and_private_and_no_secret_stands_outside_them() {
    let mut world = World::powerchute().await;
    world.agent.backups = 2;
    std::fs::write(world.home().join("password"), "new-password\n").unwrap();
    let api = Api::start(&world).await;
    for generation in 1..=4 {
        let decided = rotate(&world, &api, generation).await;
        assert_eq!(decided.state, RotationState::Committed, "{decided:#?}");
        let told = serde_json::to_string(&decided).unwrap();
        assert!(!told.contains("-password") && !told.contains("PRIVATE"), "{told}");
    }
    // Decided comes first, tidied after: the API ends when both are done.
    api.stop().await;
    let journal = std::fs::read_to_string(world.state().join("journal/agent.json")).unwrap();
    assert!(!journal.contains("-password") && !journal.contains("PRIVATE"), "{journal}");
    let backups = world.state().join("backups/agent");
    let mut kept: Vec<_> = std::fs::read_dir(&backups).unwrap().map(|e| e.unwrap().file_name()).collect();
    kept.sort();
    assert_eq!(kept, ["3", "4"]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&backups), 0o700);
    assert_eq!(mode(&backups.join("4/0-keystore")), 0o600);
}

/// A host is given away with all its agents, once nothing of them is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_handed_over_by_whom_it_obeys_and_by_nobody_else() {
    let world = World::pem_pair().await;
    let by = |lineage: &str, epoch, generation| Target {
        lineage: Some(lineage.parse().unwrap()),
        ..open(epoch, generation).target
    };
    let order = |from: &str, epoch, to: &str| HandOver { target: by(from, epoch, 1), to: to.parse().unwrap() };
    let (rotations, handover) = (format!("agents/{AGENT}/rotations"), format!("agents/{AGENT}/handover"));
    let other = World::pem_pair().await;
    let console: AgentName = "console".parse().unwrap();
    let api = Api::start_beside(&world, AgentConfig { name: console.clone(), ..other.agent.clone() }).await;
    let opening = RotationOpen { target: by("tokyo", 5, 1), ..open(5, 1) };
    api.ask::<RotationReport>("POST", &rotations, &opening).await.unwrap();
    let hand_over = async |order: &HandOver| {
        let answer: Result<HandOverReport, Refusal> = api.ask("POST", &handover, order).await;
        answer.map(|report| report.lineage.to_string()).map_err(|refusal| refusal.reason)
    };
    assert_eq!(
        hand_over(&order("tokyo", 5, "osaka")).await,
        Err(RefusalReason::RotationInProgress),
        "it waits for a chain"
    );
    api.ask::<RotationReport>("POST", &format!("{rotations}/1/rollback"), &RollbackOrder { target: by("tokyo", 5, 1) })
        .await
        .unwrap();
    // A chain that another agent waits for would come from nobody any more.
    let of_console = Target { agent: console, ..by("tokyo", 5, 1) };
    let opening = RotationOpen { target: of_console.clone(), ..open(5, 1) };
    api.ask::<RotationReport>("POST", "agents/console/rotations", &opening).await.unwrap();
    assert_eq!(
        hand_over(&order("tokyo", 5, "osaka")).await,
        Err(RefusalReason::RotationInProgress),
        "of another agent"
    );
    let order_back = RollbackOrder { target: of_console };
    api.ask::<RotationReport>("POST", "agents/console/rotations/1/rollback", &order_back).await.unwrap();
    for (from, epoch, refused) in [
        ("osaka", 9, RefusalReason::OtherLineage),
        ("kobe", 9, RefusalReason::OtherLineage),
        ("tokyo", 4, RefusalReason::StaleEpoch),
    ] {
        assert_eq!(hand_over(&order(from, epoch, "kobe-2")).await, Err(refused), "{from}");
    }
    // Whoever has not heard the answer asks once more, and is obeyed no more.
    for _ in 0..2 {
        assert_eq!(hand_over(&order("tokyo", 5, "osaka")).await, Ok("osaka".to_owned()));
    }
    assert_eq!(hand_over(&order("tokyo", 6, "kobe")).await, Err(RefusalReason::OtherLineage));
    api.stop().await;

    let api = Api::start(&world).await;
    let again = RotationOpen { target: by("tokyo", 6, 2), ..open(6, 2) };
    let refusal = api.ask::<RotationReport>("POST", &rotations, &again).await.unwrap_err();
    assert!(refusal.reason == RefusalReason::OtherLineage && refusal.message.contains("osaka"), "{refusal:?}");
    let refusal = api
        .ask::<HandOverReport>("POST", &handover, &HandOver { target: by("kobe", 9, 1), to: "kobe".parse().unwrap() })
        .await
        .unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::OtherLineage);
    // Each counts its own leaders, and the one that is obeyed again goes on from where it stood.
    let epoch = async |api: &Api| api.ask::<HostReport>("GET", "host", &()).await.unwrap().epoch;
    assert_eq!(epoch(&api).await, Epoch(0));
    let next = RotationOpen { target: by("osaka", 2, 2), ..open(2, 2) };
    api.ask::<RotationReport>("POST", &rotations, &next).await.unwrap();
    assert_eq!(epoch(&api).await, Epoch(2));
    api.stop().await;
    let api = Api::start(&world).await;
    assert_eq!(epoch(&api).await, Epoch(2));
    let back = |epoch| HandOver { target: by("osaka", epoch, 1), to: "tokyo".parse().unwrap() };
    let refusal = api.ask::<HandOverReport>("POST", &handover, &back(1)).await.unwrap_err();
    assert_eq!((refusal.reason, refusal.epoch), (RefusalReason::StaleEpoch, Some(Epoch(2))));
    api.ask::<HandOverReport>("POST", &handover, &back(3)).await.unwrap();
    let opening = |epoch| RotationOpen { target: by("tokyo", epoch, 3), ..open(epoch, 3) };
    let refusal = api.ask::<RotationReport>("POST", &rotations, &opening(4)).await.unwrap_err();
    assert_eq!((refusal.reason, refusal.epoch), (RefusalReason::StaleEpoch, Some(Epoch(5))), "a leader of before");
    api.ask::<RotationReport>("POST", &rotations, &opening(5)).await.unwrap();
    let undone = RollbackOrder { target: by("tokyo", 5, 3) };
    api.ask::<RotationReport>("POST", &format!("{rotations}/3/rollback"), &undone).await.unwrap();
    api.ask::<HandOverReport>("POST", &handover, &order("tokyo", 5, "osaka")).await.unwrap();
    assert_eq!(epoch(&api).await, Epoch(3), "who gave it away spoke then");
    let back = HandOver { target: by("osaka", 3, 1), to: "tokyo".parse().unwrap() };
    let refusal = api.ask::<HandOverReport>("POST", &handover, &back).await.unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::HandedBack);
    api.stop().await;
}

/// Two installations that share a host do not outbid each other: it obeys the one that it was given to, also after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_obeys_one_operator_whatever_epoch_another_names() {
    let world = World::pem_pair().await;
    let opening = |lineage: Option<&str>, epoch, generation| {
        let order = open(epoch, generation);
        let lineage = lineage.map(|name| name.parse().unwrap());
        RotationOpen { target: Target { lineage, ..order.target }, ..order }
    };
    let path = format!("agents/{AGENT}/rotations");
    let refused = |answer: Result<RotationReport, Refusal>| answer.unwrap_err();
    let api = Api::start(&world).await;
    let told = async || {
        let report: AgentReport = api.ask("GET", &format!("agents/{AGENT}"), &()).await.unwrap();
        report.lineage.map(|it| it.to_string())
    };
    assert_eq!(told().await, None, "nobody has given an order yet");
    api.ask::<RotationReport>("POST", &path, &opening(Some("tokyo"), 5, 1)).await.unwrap();
    assert_eq!(told().await.as_deref(), Some("tokyo"));
    for (lineage, epoch) in [(Some("osaka"), 4), (Some("osaka"), 9), (None, 9)] {
        let refusal = refused(api.ask("POST", &path, &opening(lineage, epoch, 2)).await);
        assert_eq!((refusal.reason, refusal.epoch), (RefusalReason::OtherLineage, None), "{lineage:?}");
        assert!(refusal.message.contains("tokyo") && refusal.message.contains("hostApi.lineage"), "{refusal:?}");
    }
    let report: HostReport = api.ask("GET", "host", &()).await.unwrap();
    assert_eq!((report.lineage.map(|it| it.to_string()), report.epoch), (Some("tokyo".to_owned()), Epoch(5)));
    api.stop().await;

    let api = Api::start(&world).await;
    let refusal = refused(api.ask("POST", &path, &opening(Some("osaka"), 9, 2)).await);
    assert_eq!(refusal.reason, RefusalReason::OtherLineage);
    api.ask::<RotationReport>("POST", &path, &opening(Some("tokyo"), 5, 2)).await.unwrap();
    api.stop().await;
}
