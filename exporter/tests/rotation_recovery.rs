//! The exporter is cut off at every edge of the journal, and the next one finds its way. One thread, as a crash sweep
//! that counts system calls needs it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{RotationReport, RotationState};
use kagiban_exporter::rotation::Rotator;
use support::{World, delivery, open, rollback};

/// As the support's, of this world.
async fn rotate_until(world: &World, edges: usize) -> (LeafSha256, bool) {
    let (rotator, _lock) = world.rotator().await;
    support::rotate_until(rotator, &world.issuer, edges).await
}

async fn check(world: &World, new: LeafSha256, edge: usize) -> RotationState {
    let report = world.rotator().await.0.report().unwrap();
    assert!(report.state.is_decided(), "edge {edge}: {report:#?}");
    let expected = if report.state == RotationState::Committed { new } else { world.first };
    assert_eq!(world.service.served().await, Some(expected), "edge {edge}: {report:#?}");
    // Another start changes nothing more.
    let starts = world.service.starts();
    assert_eq!(world.rotator().await.0.report().unwrap(), report, "edge {edge}");
    assert_eq!(world.service.starts(), starts, "edge {edge}");
    let litter = |name: &std::ffi::OsStr| name.to_string_lossy().contains(".kagiban-");
    assert!(!std::fs::read_dir(world.home()).unwrap().any(|e| litter(&e.unwrap().file_name())), "edge {edge}");
    report.state
}

#[tokio::test]
async fn a_rotation_that_was_cut_off_at_any_edge_is_finished_or_undone() {
    let mut states = Vec::new();
    for edge in 0.. {
        let world = World::powerchute().await;
        std::fs::write(world.home().join("password"), "new-password\n").unwrap();
        let (leaf, ended) = rotate_until(&world, edge).await;
        states.push(check(&world, leaf, edge).await);
        if ended {
            break;
        }
    }
    assert!(states.contains(&RotationState::RolledBack) && states.last() == Some(&RotationState::Committed));
    assert!(states.len() >= 9, "{states:?}");
}

#[tokio::test]
async fn a_rollback_that_was_cut_off_at_any_edge_is_finished() {
    for edge in 6.. {
        let world = World::pem_pair().await;
        world.service.insist_on(&world.first.to_string());
        let (leaf, ended) = rotate_until(&world, edge).await;
        assert_eq!(check(&world, leaf, edge).await, RotationState::RolledBack, "edge {edge}");
        if ended {
            break;
        }
    }
}

/// Holds A7: a rollback whose entries the journal never got is not taken for a commit. What somebody else has put there is.
#[tokio::test]
async fn a_pair_that_has_gone_back_in_part_under_a_committed_journal_goes_back_whole() {
    let world = World::pem_pair().await;
    let certificate = world.home().join("tls.crt");
    let old = std::fs::read(&certificate).unwrap();
    let (_, ended) = rotate_until(&world, usize::MAX).await;
    assert!(ended);
    std::fs::write(&certificate, &old).unwrap();
    let report = world.rotator().await.0.report().unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(report.failure.unwrap().reason, "split_set");
    assert_eq!((world.service.served().await, std::fs::read(&certificate).unwrap()), (Some(world.first), old));

    let world = World::pem_pair().await;
    rotate_until(&world, usize::MAX).await;
    std::fs::write(world.home().join("tls.key"), "theirs").unwrap();
    assert_eq!(world.rotator().await.0.report().unwrap().state, RotationState::Committed);
    assert_eq!(std::fs::read(world.home().join("tls.key")).unwrap(), b"theirs");
}

/// Holds A5, A7: what lies below a mount that is missing, and is served meanwhile, ends no freeze: the files come back with the mount.
#[tokio::test]
async fn a_split_set_whose_mount_is_missing_is_made_whole_when_it_has_come() {
    let world = World::pem_pair().await;
    let [home, below, mounted] =
        [world.home(), world.home().with_extension("below"), world.home().with_extension("mounted")];
    let copied = Command::new("cp").arg("-a").args([&home, &below]).status().unwrap();
    assert!(copied.success());
    let read = |name: &str| std::fs::read(home.join(name)).unwrap();
    let old = ["tls.crt", "tls.key"].map(read);
    world.cut_off_in(RotationState::Swapped).await;
    let beside = std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().path());
    let old_key =
        beside.filter(|path| path != &home.join("tls.key")).find(|path| std::fs::read(path).unwrap() == old[1]);
    std::fs::rename(old_key.unwrap(), home.join("tls.key")).unwrap();

    std::fs::rename(&home, &mounted).and_then(|()| std::fs::rename(&below, &home)).unwrap();
    for start in 0..3 {
        let report = world.rotator().await.0.report().unwrap();
        assert_eq!(report.state, RotationState::Frozen, "start {start}: {report:#?}");
        assert_eq!(world.service.served().await, Some(world.first), "on what lies below");
    }
    std::fs::rename(&home, &below).and_then(|()| std::fs::rename(&mounted, &home)).unwrap();
    let report = world.rotator().await.0.report().unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(["tls.crt", "tls.key"].map(read), old);
    let names: Vec<_> = std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains(".kagiban-")), "nothing lies beside: {names:?}");
    assert_eq!(world.service.served().await, Some(world.first));
}

/// Holds A2, A7: the service was given another account while its rotation was cut off, and so were its files, with what waits beside.
#[tokio::test]
async fn a_split_set_that_was_given_to_another_account_comes_back_as_that_accounts() {
    const ACCOUNT: u32 = 65_534;
    let world = World::pem_pair().await;
    world.cut_off_in(RotationState::Swapped).await;
    let key = world.home().join("tls.key");
    std::fs::write(&key, "cut off").unwrap();
    let given = Command::new("chown").arg("-R").arg(ACCOUNT.to_string()).arg(world.home()).status().unwrap();
    assert!(given.success(), "run this test as root");
    let report = world.rotator().await.0.report().unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    for name in ["tls.crt", "tls.key"] {
        let owner = std::fs::metadata(world.home().join(name)).unwrap().uid();
        assert_eq!(owner, ACCOUNT, "{name}");
    }
    assert_eq!(world.service.served().await, Some(world.first));
}

/// Holds A7: a start that is slow and outlives the exporter is waited for: a second one beside it would find the port taken.
#[tokio::test]
async fn a_start_that_goes_on_after_a_crash_is_not_made_again_beside_it() {
    let mut world = World::pem_pair().await;
    let mut start = world.service.start_argv();
    start[2] = start[2].replacen("touch", "sleep 1.5; touch", 1);
    world.agent.service.start = Some(start);
    let (mut rotator, lock) = world.rotator().await;
    let opened = rotator.open(&open(1, 1), Ok(())).unwrap();
    let (chain, leaf) = world.sign(&opened.csr.unwrap());
    rotator.deliver(&delivery(1, 1, &chain), Ok(())).unwrap();
    let cut_off = async {
        while world.service.starts() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = rotator.advance(|_| {}) => panic!("it is not slow"),
        () = cut_off => {}
    }
    drop((rotator, lock));
    assert_eq!(check(&world, leaf, 0).await, RotationState::Committed);
    assert_eq!(world.service.starts(), 1);
}

/// Cuts a rotation off in its `nth` start of the service, and says which leaf was to come.
async fn cut_off_in_start(world: &World, nth: usize) -> LeafSha256 {
    let (mut rotator, _lock) = world.rotator().await;
    let opened = rotator.open(&open(1, 1), Ok(())).unwrap();
    let (chain, leaf) = world.sign(&opened.csr.unwrap());
    rotator.deliver(&delivery(1, 1, &chain), Ok(())).unwrap();
    let begun = async {
        while world.service.starts() < nth {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = rotator.advance(|_| {}) => panic!("it is not slow"),
        () = begun => {}
    }
    leaf
}

/// Holds A8, A11: the same of a start in a rollback.
#[tokio::test]
async fn a_start_on_the_way_back_that_goes_on_after_a_crash_is_not_made_again_beside_it() {
    let mut world = World::pem_pair().await;
    world.service.insist_on(&world.first.to_string());
    let mut start = world.service.start_argv();
    start[2] = start[2].replacen("touch", "sleep 1.5; touch", 1);
    world.agent.service.start = Some(start);
    let leaf = cut_off_in_start(&world, 2).await;
    assert_eq!(check(&world, leaf, 0).await, RotationState::RolledBack);
    assert_eq!(world.service.starts(), 2);
}

/// Holds A15: nor is a start waited for that nobody runs any more; the service is down meanwhile.
#[tokio::test]
async fn a_start_that_has_ended_with_its_exporter_is_made_again_at_once() {
    let mut world = World::pem_pair().await;
    let (start, process) = (world.service.start_argv(), world.directory.path().join("process"));
    world.agent.service.start_timeout = Some(std::time::Duration::from_secs(60));
    let mut hangs = start.clone();
    hangs[2].insert_str(0, &format!("echo $$ > {}; echo >> \"$0/starts\"; sleep 600; ", process.display()));
    world.agent.service.start = Some(hangs);
    let leaf = cut_off_in_start(&world, 1).await;
    world.agent.service.start = Some(start);
    // As a service manager ends what is left of a unit.
    let killed = Command::new("kill")
        .args(["-9", "--", &format!("-{}", std::fs::read_to_string(&process).unwrap().trim())])
        .status();
    assert!(killed.unwrap().success());
    let began = std::time::Instant::now();
    assert_eq!(check(&world, leaf, 0).await, RotationState::Committed);
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

/// Holds A9: what goes together stays, whoever put it there and whether it is served or not.
#[tokio::test]
async fn without_a_journal_a_store_that_is_whole_stays_and_its_service_is_started() {
    let world = World::pem_pair().await;
    let (leaf, ended) = rotate_until(&world, usize::MAX).await;
    assert!(ended);
    let (journal, starts) = (world.state().join("journal/agent.json"), world.service.starts());
    std::fs::write(&journal, "garbage").unwrap();
    assert_eq!(world.rotator().await.0.report(), None);
    assert_eq!(world.service.served().await, Some(leaf));
    assert_eq!(world.service.starts(), starts, "a service that is up is not restarted");

    // Swapped, not started on it yet, and then the journal is lost.
    for lose in LOSSES {
        let world = World::pem_pair().await;
        let (leaf, _) = rotate_until(&world, 6).await;
        assert_eq!(world.service.served().await, None);
        lose(&world);
        assert_eq!(world.rotator().await.0.report(), None);
        assert_eq!(world.service.served().await, Some(leaf));
    }

    // What an administrator has installed meanwhile, while the service is down.
    let world = World::powerchute().await;
    std::fs::write(world.home().join("password"), "new-password\n").unwrap();
    rotate_until(&world, 6).await;
    let store = std::fs::read(world.home().join("keystore")).unwrap();
    std::fs::write(world.state().join("journal/agent.json"), "{}").unwrap();
    world.rotator().await;
    assert_eq!(std::fs::read(world.home().join("keystore")).unwrap(), store);
    assert!(!world.state().join("kept").exists(), "nothing was overwritten");
}

/// Holds A9: only files that do not go together are replaced by the backup, and they are copied first.
#[tokio::test]
async fn without_a_journal_a_split_pair_is_copied_and_then_replaced_by_the_backup() {
    for lose in LOSSES {
        let world = World::powerchute().await;
        std::fs::write(world.home().join("password"), "new-password\n").unwrap();
        rotate_until(&world, 6).await;
        let store = std::fs::read(world.home().join("keystore")).unwrap();
        // The new store, and the old password: what a crash between the two renames leaves.
        std::fs::write(world.home().join("pcssconfig.ini"), support::service::INI).unwrap();
        lose(&world);
        let report = world.rotator().await.0.report().unwrap();
        assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
        assert_eq!(report.failure.unwrap().reason, "journal_lost");
        assert_eq!(world.service.served().await, Some(world.first));
        assert_eq!(kept(&world, "0-keystore"), [store]);
        assert_eq!(kept(&world, "1-pcssconfig.ini"), [support::service::INI.as_bytes()]);
    }
}

/// How a journal is lost. Holds A14 too: one that somebody has removed is no sign of a new agent. One with a bit flipped in the
/// path of a file names another file, and is still JSON.
const LOSSES: [fn(&World); 3] = [
    |world| std::fs::write(world.state().join("journal/agent.json"), "garbage").unwrap(),
    |world| std::fs::remove_file(world.state().join("journal/agent.json")).unwrap(),
    |world| {
        let path = world.state().join("journal/agent.json");
        let journal = std::fs::read_to_string(&path).unwrap();
        let home = format!("\"path\": \"{}/", world.home().display());
        let (before, after) = journal.split_once(&home).unwrap();
        let mut flipped = [before, &home, after].concat().into_bytes();
        flipped[before.len() + home.len()] ^= 1;
        std::fs::write(path, flipped).unwrap();
    },
];

/// Holds A14: a journal that was never written is not lost, whatever lies in the keystore's place.
#[tokio::test]
async fn an_agent_that_was_never_rotated_is_left_alone() {
    let world = World::pem_pair().await;
    std::fs::write(world.home().join("tls.key"), "no key").unwrap();
    std::fs::remove_file(world.directory.path().join("control/run")).unwrap();
    assert_eq!(world.rotator().await.0.report(), None);
    // Nor where an order was accepted, and nothing was begun for it.
    std::fs::create_dir_all(world.state().join("fences")).unwrap();
    std::fs::write(world.state().join("fences/agent.json"), r#"{"epoch":1,"generation":1}"#).unwrap();
    assert_eq!(world.rotator().await.0.report(), None);
    assert_eq!(world.service.starts(), 0);
}

/// Holds A9: where all that was kept is gone in the middle of a swap, the files beside are the only ones that can make the pair whole.
#[tokio::test]
async fn a_split_pair_without_journal_and_backup_keeps_what_lies_beside_it_and_is_told() {
    let losses: [fn(&World); 2] = [
        |world| std::fs::remove_dir_all(world.state()).unwrap(),
        |world| {
            std::fs::remove_dir_all(world.state().join("backups")).unwrap();
            std::fs::remove_file(world.state().join("journal/agent.json")).unwrap();
        },
    ];
    for lose in losses {
        let world = World::pem_pair().await;
        rotate_until(&world, 6).await;
        let beside = |name: &str| {
            let entries = std::fs::read_dir(world.home()).unwrap().map(|entry| entry.unwrap().path());
            let mut named = entries.filter(|path| path.to_string_lossy().contains(&format!(".{name}.kagiban-")));
            named.next()
        };
        // The new chain and the old key: what a crash between the two exchanges leaves.
        let old_key = beside("tls.key").expect("the old key lies beside the new one");
        let aside = world.home().join("aside");
        std::fs::rename(world.home().join("tls.key"), &aside).unwrap();
        std::fs::rename(&old_key, world.home().join("tls.key")).unwrap();
        std::fs::rename(&aside, &old_key).unwrap();
        lose(&world);
        let report = world.rotator().await.0.report().expect("it is told");
        assert_eq!(report.failure.unwrap().reason, "journal_lost");
        assert!(beside("tls.key").is_some() && beside("tls.crt").is_some(), "the only copies are gone");
    }
}

/// The service goes on serving while it drains, `stop` having begun that, and ends `seconds` later.
fn drains(world: &World, seconds: u32, then: &str) -> Option<Vec<String>> {
    let control = world.directory.path().join("control");
    let drain = format!("setsid sh -c 'sleep {seconds}; rm -f {}/run' & {then}", control.display());
    Some(["sh", "-c", &drain].map(str::to_owned).to_vec())
}

/// Longer than any drain here.
const DRAINED: std::time::Duration = std::time::Duration::from_secs(4);

/// What the next start has made of a rotation whose exporter is gone a second after the stop has begun. `meanwhile` something
/// happens to the host.
async fn after_an_interrupted_stop(world: &World, meanwhile: impl FnOnce(&World)) -> RotationReport {
    let (mut rotator, lock) = world.rotator().await;
    let opened = rotator.open(&open(1, 1), Ok(())).unwrap();
    rotator.deliver(&delivery(1, 1, &world.sign(&opened.csr.unwrap()).0), Ok(())).unwrap();
    let stopping = tokio::time::timeout(std::time::Duration::from_secs(1), rotator.advance(|_| {})).await;
    assert!(stopping.is_err(), "the stop takes longer");
    drop((rotator, lock));
    meanwhile(world);
    let report = world.rotator().await.0.report().unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    report
}

/// Holds A7, A8: the exporter is gone while a stop is under way, and the service ends after the next start has looked.
#[tokio::test]
async fn a_service_that_an_interrupted_stop_still_ends_is_started_again() {
    let mut world = World::pem_pair().await;
    world.agent.service.stop = drains(&world, 2, "sleep 3");
    let report = after_an_interrupted_stop(&world, |_| {}).await;
    tokio::time::sleep(DRAINED).await;
    assert_eq!(world.service.served().await, Some(world.first), "{report:#?}");
}

/// Holds A15: a service that drains for longer than a stop may take is not cut off, and is not left down.
#[tokio::test]
async fn a_service_that_drains_for_longer_than_its_stop_may_take_is_started_again() {
    let mut world = World::pem_pair().await;
    world.agent.service.stop = drains(&world, 3, "sleep 9");
    world.agent.service.stop_timeout = Some(std::time::Duration::from_secs(2));
    let (mut rotator, _lock) = world.rotator().await;
    let opened = rotator.open(&open(1, 1), Ok(())).unwrap();
    rotator.deliver(&delivery(1, 1, &world.sign(&opened.csr.unwrap()).0), Ok(())).unwrap();
    rotator.advance(|_| {}).await;
    let report = rotator.report().unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(report.failure.as_ref().unwrap().reason, "stop_failed");
    tokio::time::sleep(DRAINED).await;
    assert_eq!(world.service.served().await, Some(world.first), "{report:#?}");
}

/// Holds A7, A8: the time that a service may drain is counted from its stop, not from the next start, and that start is no
/// proof that it stays up.
#[tokio::test]
async fn a_service_that_ends_long_after_the_next_start_is_started_again() {
    ends_long_after_the_next_start(|_| {}).await;
}

/// Holds A8: the time that has passed since the stop was begun is not told by a clock that somebody sets.
#[tokio::test]
async fn a_clock_that_is_put_forward_between_two_starts_does_not_end_the_watch() {
    ends_long_after_the_next_start(|world| {
        let path = world.state().join("journal/agent.json");
        let mut journal: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let begun = &mut journal["rotation"]["stopBegun"]["at"];
        let at: jiff::Timestamp = begun.as_str().unwrap().parse().unwrap();
        *begun = (at - jiff::SignedDuration::from_hours(24)).to_string().into();
        journal.as_object_mut().unwrap().remove("sha256");
        std::fs::write(&path, serde_json::to_vec(&journal).unwrap()).unwrap();
    })
    .await;
}

async fn ends_long_after_the_next_start(meanwhile: impl FnOnce(&World)) {
    let mut world = World::pem_pair().await;
    world.agent.service.stop = drains(&world, 7, "sleep 9");
    world.agent.service.stop_timeout = Some(std::time::Duration::from_secs(4));
    let began = std::time::Instant::now();
    let report = after_an_interrupted_stop(&world, meanwhile).await;
    tokio::time::sleep(std::time::Duration::from_secs(9).saturating_sub(began.elapsed())).await;
    assert_eq!(world.service.served().await, Some(world.first), "{report:#?}");
}

/// Holds A15: the stop command says that it has ended the service, which goes on serving, and ends later.
#[tokio::test]
async fn a_service_that_outlives_a_stop_that_is_said_to_have_ended_is_started_again() {
    let mut world = World::pem_pair().await;
    let control = world.directory.path().join("control").display().to_string();
    // One process drains once, however often it is told to.
    let drain = format!(
        "[ -e {control}/drains ] || {{ touch {control}/drains; setsid sh -c 'sleep 9; rm -f {control}/run' & }}"
    );
    world.agent.service.stop = Some(["sh", "-c", &drain].map(str::to_owned).to_vec());
    let began = std::time::Instant::now();
    let (mut rotator, _lock) = world.rotator().await;
    let opened = rotator.open(&open(1, 1), Ok(())).unwrap();
    rotator.deliver(&delivery(1, 1, &world.sign(&opened.csr.unwrap()).0), Ok(())).unwrap();
    rotator.advance(|_| {}).await;
    let report = rotator.report().unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(report.failure.as_ref().unwrap().reason, "other_leaf_served");
    tokio::time::sleep(std::time::Duration::from_secs(11).saturating_sub(began.elapsed())).await;
    assert_eq!(world.service.served().await, Some(world.first), "{report:#?}");
}

/// A stop that leaves a mark, and whose service drains for `seconds` after it.
fn counted_drain(world: &World, seconds: u32, then: &str) -> Option<Vec<String>> {
    let mark = format!("echo >> {}; ", world.directory.path().join("stops").display());
    let mut argv = drains(world, seconds, then)?;
    argv[2].insert_str(0, &mark);
    Some(argv)
}

fn stops(world: &World) -> usize {
    std::fs::read(world.directory.path().join("stops")).map_or(0, |marks| marks.len())
}

/// A committed rotation whose ordered rollback is cut off `after` its stop has begun.
async fn cut_off_in_stop_of_way_back(world: &mut World, stop: Option<Vec<String>>, after: std::time::Duration) {
    let (_, committed) = rotate_until(world, usize::MAX).await;
    assert!(committed);
    world.agent.service.stop = stop;
    let (mut rotator, _lock) = world.rotator().await;
    rotator.roll_back(&rollback(1, 1), || true).await.unwrap();
    assert!(tokio::time::timeout(after, rotator.advance(|_| {})).await.is_err(), "the stop takes longer");
}

/// Holds A8, A11: a stop of the rollback that a crash has cut off is waited for, and no second one cuts off what drains.
#[tokio::test]
async fn a_service_that_an_interrupted_stop_on_the_way_back_still_ends_is_not_stopped_again() {
    // It serves on when the next start looks; or it has ended before that.
    for (seconds, away) in [(3, 0), (1, 2)] {
        let mut world = World::pem_pair().await;
        let stop = counted_drain(&world, seconds, "sleep 9");
        cut_off_in_stop_of_way_back(&mut world, stop, std::time::Duration::from_millis(500)).await;
        tokio::time::sleep(std::time::Duration::from_secs(away)).await;
        let began = std::time::Instant::now();
        let report = world.rotator().await.0.report().unwrap();
        assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
        assert!(began.elapsed() < std::time::Duration::from_secs(8), "it was down for long");
        tokio::time::sleep(DRAINED).await;
        assert_eq!(world.service.served().await, Some(world.first), "{report:#?}");
        assert_eq!((stops(&world), world.service.starts()), (1, 2));
    }
}

/// Holds A11: a stop that the crash has kept from the service is run once it could have ended it no more.
#[tokio::test]
async fn a_service_that_has_not_heard_of_an_interrupted_stop_on_the_way_back_is_stopped_after_it() {
    let mut world = World::pem_pair().await;
    let stop = world.service.stop_argv();
    world.agent.service.stop_timeout = Some(std::time::Duration::from_secs(1));
    let unheard = Some(["sleep", "9"].map(str::to_owned).to_vec());
    cut_off_in_stop_of_way_back(&mut world, unheard, std::time::Duration::from_millis(500)).await;
    world.agent.service.stop = Some(stop);
    let report = world.rotator().await.0.report().unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(world.service.served().await, Some(world.first));
}

/// Holds A7, A11: where the journal cannot be written, each start finds the same entry of it.
#[tokio::test]
async fn a_service_that_lives_on_the_old_files_already_is_neither_stopped_nor_started_again_by_the_next_start() {
    let mut world = World::pem_pair().await;
    world.agent.service.stop_timeout = Some(std::time::Duration::from_secs(1));
    let mut stop = world.service.stop_argv();
    stop[2].insert_str(0, &format!("echo >> {}; ", world.directory.path().join("stops").display()));
    world.agent.service.stop = Some(stop);
    rotate_until(&world, 4).await;
    let (path, key) = (world.state().join("journal/agent.json"), world.home().join("tls.key"));
    let (journal, old) = (std::fs::read(&path).unwrap(), std::fs::read(&key).unwrap());
    // Longer than that stop may still end it.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let mut commands = Vec::new();
    for _ in 0..3 {
        std::fs::write(&path, &journal).unwrap();
        let report = world.rotator().await.0.report().unwrap();
        assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
        assert_eq!(world.service.served().await, Some(world.first), "{report:#?}");
        commands.push((stops(&world), world.service.starts()));
    }
    assert_eq!(std::fs::read(&key).unwrap(), old);
    assert!(commands.iter().all(|then| *then == commands[0]), "{commands:?}");
}

/// Holds A8: nor is the stop before the swap run again, which has returned before the service had ended.
#[tokio::test]
async fn a_service_that_drains_when_its_exporter_crashes_in_the_swap_is_not_stopped_again() {
    let mut world = World::pem_pair().await;
    world.agent.service.stop = counted_drain(&world, 3, "true");
    // Just before the files are swapped.
    rotate_until(&world, 4).await;
    let report = world.rotator().await.0.report().unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(report.failure.as_ref().unwrap().reason, "restarted_in_swap");
    tokio::time::sleep(DRAINED).await;
    assert_eq!(world.service.served().await, Some(world.first), "{report:#?}");
    assert_eq!(stops(&world), 1);
}

/// The copies of a file that were made before it was overwritten, the first one first.
fn kept(world: &World, name: &str) -> Vec<Vec<u8>> {
    let sets = std::fs::read_dir(world.state().join("kept/agent")).unwrap();
    let mut sets: Vec<_> = sets.map(|set| set.unwrap().path()).collect();
    sets.sort();
    sets.iter().map(|set| std::fs::read(set.join(name)).unwrap()).collect()
}

/// A split pair without a journal, whose backup cannot be put back: neither it nor the old store beside is there.
async fn split_without_a_way_back() -> (World, Vec<u8>) {
    let world = World::powerchute().await;
    std::fs::write(world.home().join("password"), "new-password\n").unwrap();
    rotate_until(&world, 6).await;
    let store = std::fs::read(world.home().join("keystore")).unwrap();
    std::fs::write(world.home().join("pcssconfig.ini"), support::service::INI).unwrap();
    std::fs::write(world.state().join("journal/agent.json"), "garbage").unwrap();
    for entry in std::fs::read_dir(world.home()).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_name().to_str().unwrap().starts_with(".keystore.kagiban-") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let (copy, aside) = backup_of_store(&world);
    std::fs::rename(copy, aside).unwrap();
    (world, store)
}

fn backup_of_store(world: &World) -> (std::path::PathBuf, std::path::PathBuf) {
    (world.state().join("backups/agent/1/0-keystore"), world.directory.path().join("aside"))
}

/// Another certificate of the agent's, as an administrator installs it, with the password that the agent is told.
fn install(world: &World) -> (Vec<u8>, LeafSha256) {
    use support::service::Store;
    let (store, ini) = (world.home().join("keystore"), world.home().join("pcssconfig.ini"));
    let leaf = Store::Pkcs12 { store: store.clone(), ini }.write_first(&world.issuer);
    (std::fs::read(store).unwrap(), leaf)
}

/// An attempt to put the backup back, cut off or to its end, which is a freeze.
async fn try_in_vain(world: &World, to_its_end: bool) {
    let (host, _lock) = world.host().await;
    let mut rotator = Rotator::make_whole(host, world.resolved()).unwrap();
    if to_its_end {
        rotator.finish(|_| {}).await;
        let report = rotator.report().unwrap();
        assert_eq!(report.state, RotationState::Frozen, "{report:#?}");
    }
}

/// Holds A9: a first attempt to put the backup back has failed, in whatever way it ended. What an administrator installs
/// after it goes together, and stays.
#[tokio::test]
async fn without_a_journal_what_was_installed_after_a_failed_attempt_stays() {
    for attempt_ends in [false, true] {
        let (world, store) = split_without_a_way_back().await;
        try_in_vain(&world, attempt_ends).await;
        assert_eq!(kept(&world, "0-keystore"), [store]);

        let (copy, aside) = backup_of_store(&world);
        std::fs::rename(aside, copy).unwrap();
        let (installed, leaf) = install(&world);
        let (rotator, _lock) = world.rotator().await;
        assert!(std::fs::read(world.home().join("keystore")).unwrap() == installed, "it was overwritten");
        assert_eq!(world.service.served().await, Some(leaf), "attempt ends: {attempt_ends}");
        assert_eq!(rotator.report(), None, "nothing is frozen");
    }
}

/// Holds A9: a first attempt has failed, and what lies there now does not go together either: it is copied too, and then the
/// backup comes back. A freeze ends so.
#[tokio::test]
async fn without_a_journal_what_was_put_there_after_a_failed_attempt_is_copied_before_the_backup_comes_back() {
    for attempt_ends in [false, true] {
        let (world, store) = split_without_a_way_back().await;
        try_in_vain(&world, attempt_ends).await;

        let (copy, aside) = backup_of_store(&world);
        std::fs::rename(aside, copy).unwrap();
        std::fs::write(world.home().join("keystore"), "half a store").unwrap();
        let (rotator, _lock) = world.rotator().await;
        let report = rotator.report().unwrap();
        assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
        assert_eq!(world.service.served().await, Some(world.first));
        assert_eq!(kept(&world, "0-keystore"), [store, b"half a store".to_vec()]);
    }
}

/// Holds A7: a program that was told to end, as often as may be, has not crashed.
#[tokio::test]
async fn a_rotation_that_was_left_by_orderly_stops_is_not_given_up() {
    let world = World::pem_pair().await;
    // Cut off once, when it verifies.
    let (leaf, _) = rotate_until(&world, 7).await;
    for _ in 0..6 {
        let (host, _lock) = world.host().await;
        let stop = tokio_util::sync::CancellationToken::new();
        stop.cancel();
        let rotator = Rotator::recover(host.until(stop), world.resolved()).await.unwrap();
        let report = rotator.report().unwrap();
        assert_eq!(report.state, RotationState::Verifying, "{report:#?}");
    }
    assert_eq!(check(&world, leaf, 7).await, RotationState::Committed);
}

#[tokio::test]
async fn what_an_interrupted_backup_left_is_swept_at_the_next_start() {
    let world = World::pem_pair().await;
    rotate_until(&world, 2).await;
    let backup = world.state().join("backups/agent/1");
    let (copy, litter) = (backup.join("1-tls.key"), backup.join(".1-tls.key.kagiban-0123456789abcdef"));
    std::fs::copy(&copy, &litter).unwrap();
    world.rotator().await;
    assert!(copy.exists() && !litter.exists());
}

#[tokio::test]
async fn what_was_accepted_before_a_restart_still_outranks_what_is_lower() {
    let world = World::pem_pair().await;
    rotate_until(&world, usize::MAX).await;
    let (mut rotator, _lock) = world.rotator().await;
    assert!(rotator.open(&open(0, 2), Ok(())).is_err());
    assert!(rotator.open(&open(1, 0), Ok(())).is_err());
    assert_eq!(rotator.open(&open(1, 1), Ok(())).unwrap().state, RotationState::Committed);
}

#[tokio::test]
async fn two_exporters_do_not_share_a_state_directory() {
    let world = World::pem_pair().await;
    let (_rotator, _lock) = world.rotator().await;
    assert!(kagiban_exporter::rotation::StateDirectory::open(&world.state()).is_err());
}

/// The files that one rotation would replace, by name, and what going back would put into the INI file.
async fn set_of_files(password: &str, ini: &str, ordered: Option<&str>) -> (Vec<String>, Option<String>) {
    let world = World::powerchute().await;
    std::fs::write(world.home().join("password"), password).unwrap();
    std::fs::write(world.home().join("pcssconfig.ini"), ini).unwrap();
    let (mut rotator, _lock) = world.rotator().await;
    let mut request = open(1, 1);
    request.keystore.store_password = ordered.map(Into::into);
    let opened = rotator.open(&request, Ok(())).unwrap();
    rotator.deliver(&delivery(1, 1, &world.sign(&opened.csr.unwrap()).0), Ok(())).unwrap();
    let files = rotator.snapshot().record.rotation.unwrap().files;
    let names = files.iter().map(|file| file.path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    // The fake cannot start without the section; what counts is what its backup holds.
    rotator.advance(|_| {}).await;
    let backup = world.state().join("backups/agent/1/1-pcssconfig.ini");
    (names, std::fs::read_to_string(backup).ok())
}

#[tokio::test]
async fn the_ini_is_left_alone_when_the_agent_knows_the_password_and_has_removed_it_there() {
    let (names, _) = set_of_files("old-password", "[Other]\n", None).await;
    assert_eq!(names, ["keystore"]);
    let (names, _) = set_of_files("old-password", "[Credentials]\nKS_Access_Data = old-password\n", None).await;
    assert_eq!(names, ["keystore"]);
}

#[tokio::test]
async fn going_back_tells_the_agent_the_old_password_again() {
    let ini = "[Credentials]\nKS_Access_Data = old-password\n";
    let (names, backup) = set_of_files("new-password", ini, None).await;
    assert_eq!((names.len(), backup.as_deref()), (2, Some(ini)));
    // It had read and removed the password, and will have read the new one.
    let (names, backup) = set_of_files("old-password", "[Credentials]\n", Some("new-password")).await;
    assert_eq!((names.len(), backup.as_deref()), (2, Some(ini)));
}
