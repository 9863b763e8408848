//! Renewals on a host, through the host API: an agent is told to renew its own certificate, and what it serves is the proof.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kagiban_crds::host_api::{AgentReport, PowerState, RefusalReason, RotationReport, RotationState, Sighting};
use kagiban_exporter::config::{BackupConfig, BackupFormat};
use kagiban_exporter::rotation::Rotator;
use support::pki::NO_END;
use support::wire::Api;
use support::{AGENT, World, renewal, rollback};
use tokio_util::sync::CancellationToken;

const MULTI: &str = "a service and a host API live in this process";

async fn renew(api: &Api, generation: u64) -> RotationReport {
    let opened = api.renew(1, generation).await.expect(MULTI);
    assert_eq!((opened.state, &opened.csr), (RotationState::Requested, &None));
    api.decided(generation).await
}

/// The same without the API, and what became of it.
async fn renewed(world: &World) -> RotationReport {
    let (mut rotator, _lock) = world.rotator().await;
    rotator.renew(&renewal(1, 1), Ok(())).unwrap();
    rotator.advance(|_| {}).await;
    rotator.report().unwrap()
}

/// A freeze ends by itself once its cause is gone.
async fn ends_as_rolled_back(api: &Api) {
    let began = Instant::now();
    while api.decided(1).await.state != RotationState::RolledBack {
        assert!(began.elapsed() < Duration::from_secs(60), "the freeze does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn reason(report: &RotationReport) -> &str {
    report.failure.as_ref().map_or("", |failure| failure.reason.as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_ends_with_a_later_leaf_served_after_one_run_of_the_program() {
    let world = World::self_renewing(2049).await;
    let api = Api::start(&world).await;
    let decided = renew(&api, 1).await;
    assert_eq!(decided.state, RotationState::Committed, "{decided:#?}");
    let served = world.service.served().await;
    assert_eq!(decided.leaf.as_ref().map(|leaf| leaf.sha256), served);
    assert!(served != Some(world.first) && decided.previous == Some(world.first));
    let states: Vec<_> = decided.steps.iter().map(|step| step.state.as_str()).collect();
    assert_eq!(states, ["requested", "renewing", "verifying", "committed"]);

    let report: AgentReport = api.ask("GET", &format!("agents/{AGENT}"), &()).await.unwrap();
    assert!(matches!(&report.served, Sighting::Leaf(leaf) if Some(leaf.sha256) == served));
    assert!(matches!(&report.stored, Sighting::Unseen { reason, .. } if reason == "kept_by_agent"), "{report:#?}");

    // A repeat is answered with what became of it, and runs nothing.
    assert_eq!(api.renew(1, 1).await.unwrap(), decided);
    assert_eq!((world.ran("renew"), world.ran("back"), world.service.starts()), (1, 0, 1));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_gains_nothing_is_taken_back() {
    for (before, ends, why) in [("exit 0", 2049, "not_renewed"), ("", 2040, "not_later"), ("", 2030, "not_later")] {
        let world = World::self_renewing(ends).await;
        world.before("renew", before);
        let api = Api::start(&world).await;
        let decided = renew(&api, 1).await;
        assert_eq!((decided.state, reason(&decided)), (RotationState::RolledBack, why), "{decided:#?}");
        assert_eq!(world.service.served().await, Some(world.first));
        // Where nothing was changed, what brings back might bring something older.
        assert_eq!((world.ran("renew"), world.ran("back")), (1, usize::from(why != "not_renewed")), "{why}");
        // The next is taken.
        assert_eq!(api.renew(1, 2).await.unwrap().state, RotationState::Requested);
        api.decided(2).await;
        api.stop().await;
    }
}

/// The program would be run at every order for a leaf that cannot be taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaf_without_a_well_defined_end_is_not_renewed() {
    let world = World::self_renewing(NO_END).await;
    let api = Api::start(&world).await;
    assert_eq!(renew(&api, 1).await.state, RotationState::Committed);
    let decided = renew(&api, 2).await;
    assert_eq!((decided.state, reason(&decided)), (RotationState::RolledBack, "no_end"), "{decided:#?}");
    assert_eq!((world.ran("renew"), world.ran("back")), (1, 0));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_fails_is_told_with_its_status_and_what_was_there_is_brought_back() {
    let world = World::self_renewing(2049).await;
    world.before("renew", "rm -f ${0%/*}/tls.key; exit 3");
    let api = Api::start(&world).await;
    let decided = renew(&api, 1).await;
    assert_eq!((decided.state, reason(&decided)), (RotationState::RolledBack, "renew_failed"), "{decided:#?}");
    assert!(decided.failure.unwrap().message.contains("exit status: 3"));
    assert_eq!(world.service.served().await, Some(world.first));
    assert_eq!(world.ran("back"), 0, "it serves what it served before");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_fails_with_the_service_down_has_what_was_there_brought_back() {
    let world = World::self_renewing(2049).await;
    let stop = world.service.stop_argv();
    let stop: Vec<_> = stop.iter().map(|argument| format!("'{argument}'")).collect();
    world.before("renew", &format!("{}; exit 3", stop.join(" ")));
    let api = Api::start(&world).await;
    let decided = renew(&api, 1).await;
    assert_eq!((decided.state, reason(&decided)), (RotationState::RolledBack, "renew_failed"), "{decided:#?}");
    assert_eq!((world.service.served().await, world.ran("back")), (Some(world.first), 1));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_serves_nothing_any_more_is_frozen_until_it_does() {
    let world = World::self_renewing(2049).await;
    world.service.insist_on("neither");
    let api = Api::start(&world).await;
    let decided = renew(&api, 1).await;
    assert_eq!((decided.state, reason(&decided)), (RotationState::Frozen, "not_served_after_rollback"), "{decided:#?}");
    assert_eq!(api.renew(1, 2).await.unwrap_err().reason, RefusalReason::Frozen);
    // A person brings it to life.
    world.service.insist_on(&world.first.to_string());
    let argv = world.service.start_argv();
    assert!(tokio::process::Command::new(&argv[0]).args(&argv[1..]).status().await.unwrap().success());
    ends_as_rolled_back(&api).await;
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_brings_the_leaf_from_before_back_where_the_product_can() {
    let world = World::self_renewing(2049).await;
    let api = Api::start(&world).await;
    assert_eq!(renew(&api, 1).await.state, RotationState::Committed);
    let path = format!("agents/{AGENT}/rotations/1/rollback");
    api.ask::<RotationReport>("POST", &path, &rollback(1, 1)).await.unwrap();
    let decided = api.decided(1).await;
    assert_eq!((decided.state, reason(&decided)), (RotationState::RolledBack, "rolled_back_by_order"), "{decided:#?}");
    assert_eq!(world.service.served().await, Some(world.first));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_to_go_back_is_refused_where_nothing_could_bring_the_leaf_back() {
    let mut world = World::self_renewing(2049).await;
    world.agent.renew.as_mut().unwrap().back = None;
    world.agent_yaml = world.agent_yaml.lines().map(without_back).collect::<Vec<_>>().join("\n") + "\n";
    let api = Api::start(&world).await;
    let committed = renew(&api, 1).await;
    let path = format!("agents/{AGENT}/rotations/1/rollback");
    let refusal = api.ask::<RotationReport>("POST", &path, &rollback(1, 1)).await.unwrap_err();
    assert!(refusal.message.contains("renew.back"), "{refusal:?}");
    assert_eq!(api.decided(1).await, committed);
    api.stop().await;
}

fn without_back(line: &str) -> String {
    match (line.find(", back: "), line.find(", timeout: ")) {
        (Some(from), Some(to)) => line[..from].to_owned() + &line[to..],
        _ => line.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_the_other_class_is_refused_and_changes_nothing() {
    let world = World::self_renewing(2049).await;
    let api = Api::start(&world).await;
    assert_eq!(api.open(1, 1).await.unwrap_err().reason, RefusalReason::WrongClass);
    // The number is not used up.
    assert_eq!(renew(&api, 1).await.state, RotationState::Committed);
    api.stop().await;

    let world = World::pem_pair().await;
    let api = Api::start(&world).await;
    assert_eq!(api.renew(1, 1).await.unwrap_err().reason, RefusalReason::WrongClass);
    assert_eq!(api.open(1, 1).await.unwrap().state, RotationState::Keyed);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_renewed_while_the_power_is_not_safe() {
    let world = World::self_renewing(2049).await;
    std::fs::write(world.scheduled_shutdown(), "USEC=1\nMODE=poweroff\n").unwrap();
    let api = Api::start(&world).await;
    let refusal = api.renew(1, 1).await.unwrap_err();
    assert_eq!((refusal.reason, refusal.power), (RefusalReason::PowerUnsafe, Some(PowerState::ShutdownPending)));
    assert_eq!(world.ran("renew"), 0);
    api.stop().await;
}

/// A crash in the middle of the program: it is neither run again nor cut off, and its leaf is what is looked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_a_crash_has_left_behind_is_waited_for_and_not_begun_again() {
    let world = World::self_renewing(2049).await;
    world.before("renew", "sleep 1");
    world.crash_in("renew", Duration::from_millis(300)).await;
    let (rotator, _lock) = world.rotator().await;
    let report = rotator.report().unwrap();
    assert_eq!(report.state, RotationState::Committed, "{report:#?}");
    assert_eq!(world.ran("renew"), 1);
    assert_eq!(report.leaf.map(|leaf| leaf.sha256), world.service.served().await);
}

/// However often the exporter is started meanwhile, in whatever way it ended: nothing is run beside a program that goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_goes_on_is_waited_for_by_every_later_start() {
    for is_orderly in [false, true] {
        let mut world = World::self_renewing(2049).await;
        // What it is waited for is its own time, and not that of a start.
        world.agent.service.start_timeout = Some(Duration::from_millis(1));
        world.before("renew", "sleep 4");
        let short = Duration::from_millis(500);
        {
            let (mut rotator, _lock) = world.rotator().await;
            rotator.renew(&renewal(1, 1), Ok(())).unwrap();
            assert!(tokio::time::timeout(short, rotator.advance(|_| {})).await.is_err());
        }
        {
            let (host, _lock) = world.host().await;
            let stop = CancellationToken::new();
            let recovering = Rotator::recover(host.until(stop.clone()), world.resolved());
            if is_orderly {
                let ending = async {
                    tokio::time::sleep(short).await;
                    stop.cancel();
                };
                let (left, ()) = tokio::join!(recovering, ending);
                assert_eq!(left.unwrap().report().unwrap().state, RotationState::Verifying);
            } else {
                assert!(tokio::time::timeout(short, recovering).await.is_err());
            }
        }
        let (rotator, _lock) = world.rotator().await;
        let report = rotator.report().unwrap();
        assert_eq!(report.state, RotationState::Committed, "orderly: {is_orderly}, {report:#?}");
        assert_eq!((world.ran("renew"), world.ran("back")), (1, 0));
    }
}

/// What brings back may be no more than an exchange of two files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_brings_back_is_not_run_again_after_a_crash_in_its_middle() {
    let world = World::self_renewing(2049).await;
    world.before("back", "sleep 3");
    {
        let (mut rotator, _lock) = world.rotator().await;
        rotator.renew(&renewal(1, 1), Ok(())).unwrap();
        rotator.advance(|_| {}).await;
        rotator.roll_back(&rollback(1, 1), || true).await.unwrap();
        let until_back_runs = async {
            while world.ran("back") == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // Its process is in the journal by then.
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        tokio::select! {
            () = rotator.advance(|_| {}) => panic!("the crash is not in the middle"),
            () = until_back_runs => {}
        }
    }
    let (rotator, _lock) = world.rotator().await;
    let report = rotator.report().unwrap();
    assert_eq!((report.state, reason(&report)), (RotationState::RolledBack, "rolled_back_by_order"), "{report:#?}");
    assert_eq!((world.service.served().await, world.ran("back")), (Some(world.first), 1));
}

/// A world whose program writes over a command file that somebody has changed, as an installer does.
async fn with_command_file(next_ends: i32) -> (World, PathBuf) {
    let mut world = World::self_renewing(next_ends).await;
    let file = world.home().join("default.sh");
    std::fs::write(&file, "ours").unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o750)).unwrap();
    world.agent.renew.as_mut().unwrap().keep = vec![file.clone()];
    let keep = format!(", keep: ['{}'], timeout: ", file.display());
    world.agent_yaml = world.agent_yaml.replacen(", timeout: ", &keep, 1);
    let overwrite = "rm -f ${0%/*}/default.sh; echo default > ${0%/*}/default.sh";
    world.before("renew", overwrite);
    world.before("back", overwrite);
    (world, file)
}

fn assert_is_ours(file: &Path, contents: &str) {
    let mode = std::fs::metadata(file).unwrap().permissions().mode() & 0o7777;
    assert_eq!((std::fs::read_to_string(file).unwrap().as_str(), mode), (contents, 0o750));
}

/// Seed 000: the installer writes the default command file over the one that is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_the_program_writes_over_is_what_it_was_after_every_end_of_a_renewal() {
    for (ends, state) in [(2049, RotationState::Committed), (2030, RotationState::RolledBack)] {
        let (world, file) = with_command_file(ends).await;
        let api = Api::start(&world).await;
        let decided = renew(&api, 1).await;
        assert_eq!(decided.state, state, "{decided:#?}");
        assert_is_ours(&file, "ours");
        if state == RotationState::Committed {
            // It is its owner's again, and the program that brings back overwrites it too.
            std::fs::write(&file, "changed since").unwrap();
            let path = format!("agents/{AGENT}/rotations/1/rollback");
            api.ask::<RotationReport>("POST", &path, &rollback(1, 1)).await.unwrap();
            assert_eq!(api.decided(1).await.state, RotationState::RolledBack);
            assert_eq!(world.ran("back"), 1);
            assert_is_ours(&file, "changed since");
        }
        api.stop().await;
    }
}

/// A crash in the middle of the program, before it has written over the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_the_program_writes_over_after_a_crash_is_put_back_too() {
    let (world, file) = with_command_file(2049).await;
    world.before("renew", "sleep 1; rm -f ${0%/*}/default.sh; echo default > ${0%/*}/default.sh");
    world.crash_in("renew", Duration::from_millis(300)).await;
    let (rotator, _lock) = world.rotator().await;
    let report = rotator.report().unwrap();
    assert_eq!(report.state, RotationState::Committed, "{report:#?}");
    assert_is_ours(&file, "ours");
}

/// What cannot be put back is said, and where its copy is; it is put back as soon as it can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_file_cannot_be_put_back_is_frozen_until_it_can() {
    let (world, file) = with_command_file(2049).await;
    world.before("renew", "rm -f ${0%/*}/default.sh; mkdir ${0%/*}/default.sh");
    let api = Api::start(&world).await;
    let decided = renew(&api, 1).await;
    assert_eq!((decided.state, reason(&decided)), (RotationState::Frozen, "not_put_back"), "{decided:#?}");
    let said = decided.failure.unwrap().message;
    assert!(said.contains("/backups/") && said.contains("0-default.sh"), "{said}");
    assert_eq!(world.ran("back"), 0, "a renewed certificate is not given up for a file");
    assert!(world.service.served().await.is_some_and(|leaf| leaf != world.first));
    std::fs::remove_dir(&file).unwrap();
    ends_as_rolled_back(&api).await;
    assert_is_ours(&file, "ours");
    api.stop().await;
}

/// Nothing is begun whose file could not be put back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_whose_file_cannot_be_copied_is_not_begun() {
    let (world, file) = with_command_file(2049).await;
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
    let api = Api::start(&world).await;
    let decided = renew(&api, 1).await;
    assert_eq!(decided.state, RotationState::RolledBack, "{decided:#?}");
    assert!(decided.failure.unwrap().message.contains("renew.keep"));
    assert_eq!(world.ran("renew"), 0);
    api.stop().await;
}

/// The product's program writes a backup, and both programs are given the password as an argument, as seed 003 has it.
async fn with_backup(script: &str) -> (World, PathBuf) {
    let mut world = World::self_renewing(2049).await;
    let [file, program, password] = ["backup.zip", "save", "password"].map(|name| world.home().join(name));
    std::fs::write(
        &program,
        format!("#!/bin/sh\ncd ${{0%/*}}\necho >> ran-save\n[ ! -e ran-renew ] || exit 9\n{script}\n"),
    )
    .unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    std::fs::write(&password, "of the backup\n").unwrap();
    let save = vec![program.display().to_string(), "{password}".to_owned(), file.display().to_string()];
    let renew = world.agent.renew.as_mut().unwrap();
    renew.backup = Some(BackupConfig { command: Some(save), file: Some(file.clone()), format: BackupFormat::Zip });
    renew.password_file = Some(password);
    renew.command.as_mut().unwrap().push("{password}".to_owned());
    world.before("renew", "echo \"$1\" > ${0%/*}/given-renew");
    (world, file)
}

/// The shortest archive with one entry, whose name and contents are empty.
const ARCHIVE: &str = r"PK\003\004\012\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0PK\001\002\036\003\012\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0PK\005\006\0\0\0\0\001\0\001\0\056\0\0\0\036\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_the_products_own_is_written_before_anything_is_renewed() {
    let (world, file) = with_backup(&format!("echo \"$1\" > given-save; printf '{ARCHIVE}' > \"$2\"")).await;
    let report = renewed(&world).await;
    assert_eq!(report.state, RotationState::Committed, "{report:#?}");
    assert!(std::fs::metadata(file).unwrap().len() > 0);
    for program in ["save", "renew"] {
        let given = std::fs::read_to_string(world.home().join(format!("given-{program}"))).unwrap();
        assert_eq!((given.as_str(), world.ran(program)), ("of the backup\n", 1), "{program}");
    }
    let journal = std::fs::read_to_string(world.directory.path().join(format!("state/journal/{AGENT}.json"))).unwrap();
    assert!(!journal.contains("of the backup") && !format!("{report:?}").contains("of the backup"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_backup_that_is_one_nothing_is_renewed() {
    for (script, said) in [
        ("exit 0", "has not written it"),
        ("echo text > \"$2\"", "no ZIP archive"),
        (": > \"$2\"", "is empty"),
        ("exit 4", "exit status: 4"),
        ("mkdir \"$2\"", "not a regular file"),
    ] {
        let (world, _) = with_backup(script).await;
        let report = renewed(&world).await;
        assert_eq!(
            (report.state, reason(&report)),
            (RotationState::RolledBack, "not_backed_up"),
            "{script}: {report:#?}"
        );
        assert!(report.failure.unwrap().message.contains(said), "{script}");
        assert_eq!((world.ran("save"), world.ran("renew"), world.ran("back")), (1, 0, 0), "{script}");
    }
}

/// A product may take none for one that is empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_program_is_run_without_the_password_that_it_takes() {
    let (world, _) = with_backup("exit 0").await;
    std::fs::write(world.home().join("password"), "\n").unwrap();
    let report = renewed(&world).await;
    assert!(report.failure.as_ref().unwrap().message.contains("first line is empty"), "{report:#?}");
    assert_eq!((world.ran("save"), world.ran("renew")), (0, 0));
}

/// One of an earlier renewal is none of this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_was_there_before_is_none() {
    let (world, file) = with_backup("exit 0").await;
    std::fs::write(file, "of last year").unwrap();
    let report = renewed(&world).await;
    assert!(report.failure.as_ref().unwrap().message.contains("what it was before"), "{report:#?}");
    assert_eq!(world.ran("renew"), 0);
}

/// It may have taken an hour: what was asked before it is asked again, and nothing is run on a host whose power ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_about_to_go_down_when_the_backup_is_written_renews_nothing() {
    let (world, _) = with_backup(&format!("printf '{ARCHIVE}' > \"$2\"; . ./shutdown")).await;
    let shutdown = world.scheduled_shutdown();
    let announced = format!("printf 'USEC=1\\nMODE=poweroff\\n' > '{}'", shutdown.display());
    std::fs::write(world.home().join("shutdown"), announced).unwrap();
    let api = Api::start(&world).await;
    let decided = renew(&api, 1).await;
    assert_eq!(
        (decided.state, world.ran("save"), world.ran("renew")),
        (RotationState::RolledBack, 1, 0),
        "{decided:#?}"
    );
    assert!(decided.failure.unwrap().message.contains("shutdown"), "it says why");
    api.stop().await;
}

/// What is kept is what lies there when the program is run, not what lay there before a backup of an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_somebody_changes_during_the_backup_stays_as_they_have_changed_it() {
    let (mut world, _) = with_backup(&format!("printf '{ARCHIVE}' > \"$2\"; echo changed > default.sh")).await;
    let file = world.home().join("default.sh");
    std::fs::write(&file, "before").unwrap();
    world.agent.renew.as_mut().unwrap().keep = vec![file.clone()];
    world.before("renew", "echo default > ${0%/*}/default.sh");
    assert_eq!(renewed(&world).await.state, RotationState::Committed);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "changed\n");
}

/// Its program goes on for a while, and is waited for: a second one would write the same file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_a_crash_has_cut_off_in_its_backup_is_given_up_when_that_has_ended() {
    let (world, _) = with_backup("sleep 2; echo > ended").await;
    world.crash_in("save", Duration::from_millis(500)).await;
    let (rotator, _lock) = world.rotator().await;
    let report = rotator.report().unwrap();
    assert_eq!((report.state, reason(&report)), (RotationState::RolledBack, "restarted_before_renewal"));
    assert!(world.home().join("ended").exists(), "it goes on beside whatever follows");
    assert_eq!((world.ran("renew"), world.service.served().await), (0, Some(world.first)));
}

/// Somebody does not want the renewed leaf: that it is valid ends no freeze.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_brings_nothing_back_freezes_the_agent_for_as_long_as_the_renewed_leaf_is_served() {
    let world = World::self_renewing(2049).await;
    let api = Api::start(&world).await;
    assert_eq!(renew(&api, 1).await.state, RotationState::Committed);
    world.before("back", "exit 0");
    let path = format!("agents/{AGENT}/rotations/1/rollback");
    api.ask::<RotationReport>("POST", &path, &rollback(1, 1)).await.unwrap();
    assert_eq!(api.decided(1).await.state, RotationState::Frozen);
    // A freeze is looked at after ten seconds.
    tokio::time::sleep(Duration::from_secs(13)).await;
    assert_eq!(api.decided(1).await.state, RotationState::Frozen);
    let refusal = api.ask::<RotationReport>("POST", &path, &rollback(1, 1)).await.unwrap_err();
    assert!(refusal.message.contains("the renewed one is there still"), "{refusal:?}");
    api.stop().await;
}

/// What was accepted and not begun is given up at the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_was_not_begun_before_a_crash_is_given_up() {
    let world = World::self_renewing(2049).await;
    {
        let (mut rotator, _lock) = world.rotator().await;
        rotator.renew(&renewal(1, 1), Ok(())).unwrap();
    }
    let (rotator, _lock) = world.rotator().await;
    let report = rotator.report().unwrap();
    assert_eq!((report.state, reason(&report)), (RotationState::RolledBack, "restarted_before_renewal"));
    assert_eq!(world.ran("renew"), 0);
}
