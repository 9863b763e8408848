//! Commands whose program lies on a disk that hangs in `exec`, while the exporter ends. Holds A8, A13, A17: the exporter can be
//! started again at once, and what begins too late does nothing.
//!
//! It takes root, `/dev/fuse`, and the programs `unshare`, `mount` and `umount`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod fuse;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use fuse::HangingDisk;
use kagiban_crds::host_api::RotationState;
use kagiban_exporter::platform::{Command, check_program, run, run_commands_by};
use support::World;
use support::namespace::in_a_namespace;
use support::pki::Authority;
use support::process::{PATIENCE, Program};
use support::wire::{Api, HostApiFiles};

fn is_there(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

#[test]
fn an_exporter_that_ends_while_a_stop_hangs_in_exec_is_started_again_and_the_late_stop_stops_nothing() {
    in_a_namespace(
        "an_exporter_that_ends_while_a_stop_hangs_in_exec_is_started_again_and_the_late_stop_stops_nothing",
        async {
            for is_crash in [true, false] {
                ends_while_a_stop_hangs(is_crash).await;
            }
        },
    );
}

async fn ends_while_a_stop_hangs(is_crash: bool) {
    let mut world = World::pem_pair().await;
    let mark = world.directory.path().join("stopped");
    let stop = world.service.stop_argv();
    let script = format!("#!/bin/sh\ntouch {}\nexec \"$@\"\n", mark.display());
    let disk = HangingDisk::mount(&world.directory.path().join("disk"), &script);
    let argv = |argv: &[String]| format!("stop: {}", serde_json::to_string(argv).unwrap());
    world.rewrite_agent(&argv(&stop), &argv(&[&[disk.program()][..], &stop].concat()));
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let config = world.config(&format!("hostApi: {}", files.config("")));
    let mut program = Program::configured(&world, &config, "127.0.0.1:0");
    // Its looks are answered; whoever runs the stop hangs.
    disk.answer_process(program.number());
    program.wait_until_ready();
    let metrics = program.address("listening");
    let host_api = program.address("host API listening");
    let api = files.client(host_api.parse().unwrap());
    begin(&world, &api).await;
    program.wait_until("the stop hangs", |_| !disk.hung().is_empty());
    let hung = disk.hung()[0];

    if is_crash {
        program.kill();
    } else {
        program.terminate();
        assert!(program.wait().success(), "{}", program.log());
    }
    assert!(is_there(hung), "it hangs still");
    let config = config.replacen("127.0.0.1:0", &host_api, 1);
    let mut next = Program::configured(&world, &config, &metrics);
    disk.answer_process(next.number());
    next.wait_until_ready();
    let up = format!("kagiban_rotation_agent_up{{agent=\"{}\"}} 1", support::AGENT);
    next.wait_for_metric(&up);
    assert_eq!(next.address("host API listening"), host_api);
    assert!(!disk.hung().is_empty() && is_there(hung), "it hangs still");
    disk.answer_all();
    next.wait_until("it is gone", |_| !is_there(hung));
    let decided = api.decided(1).await;
    assert_eq!(decided.state, RotationState::RolledBack, "{decided:?}");
    assert!(!mark.exists(), "crash: {is_crash}; {decided:?}");
    assert_eq!(world.service.served().await, Some(world.first));
}

async fn begin(world: &World, api: &Api) {
    let opened = api.open(1, 1).await.unwrap();
    let (chain, _) = world.sign(&opened.csr.unwrap());
    api.deliver(1, 1, &chain).await.unwrap();
}

#[test]
fn a_command_that_hangs_in_exec_is_killed_at_its_timeout_and_counted_until_it_has_ended() {
    in_a_namespace("a_command_that_hangs_in_exec_is_killed_at_its_timeout_and_counted_until_it_has_ended", async {
        run_commands_by(Path::new(env!("CARGO_BIN_EXE_kagiban-exporter")));
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join("mark");
        let script = format!("#!/bin/sh\ntouch {}\n", mark.display());
        let disk = HangingDisk::mount(&directory.path().join("disk"), &script);
        let command = Command::Program(vec![disk.program()]);
        let nothing = Command::Program(vec!["true".to_owned()]);
        let hung = || async {
            let started = Instant::now();
            let error = run("hung", &command, Duration::from_millis(200)).await.unwrap_err();
            assert!(started.elapsed() < PATIENCE / 4, "{:?}", started.elapsed());
            error.to_string()
        };
        // Its process stands before the look, whose thread counts.
        for _ in 0..8 {
            let told = hung().await;
            assert!(told.contains("file system hangs") && told.contains("did not begin"), "{told}");
        }
        assert!(hung().await.contains("do not end"));
        assert!(check_program("hung", &nothing).unwrap_err().to_string().contains("do not end"));
        check_program("another", &nothing).unwrap();
        disk.answer_all();
        let started = Instant::now();
        while run("hung", &nothing, PATIENCE).await.is_err() || disk.hung().iter().any(|hung| is_there(*hung)) {
            assert!(started.elapsed() < PATIENCE, "they have ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(disk.hung().len(), 8);
        assert!(!mark.exists());
        run("hung", &command, PATIENCE).await.unwrap();
        assert!(mark.exists(), "now it is run");
    });
}

/// A thread that no signal ends keeps its process, and all that the process has not closed.
#[test]
fn an_exporter_that_is_told_to_end_while_a_file_hangs_leaves_its_lock_and_ports_to_the_next() {
    in_a_namespace("an_exporter_that_is_told_to_end_while_a_file_hangs_leaves_its_lock_and_ports_to_the_next", async {
        let world = World::pem_pair().await;
        let disk = HangingDisk::mount(&world.directory.path().join("disk"), "");
        let files = HostApiFiles::write(&world, Authority::new("clients"));
        let hung = format!("certificates: [{{name: hung, paths: ['{}']}}]", disk.program());
        let config = world.config(&format!("{hung}\nhostApi: {}", files.config("")));
        let mut program = Program::configured(&world, &config, "127.0.0.1:0");
        program.wait_until_ready();
        program.wait_until("a file hangs", |program| disk.hung().contains(&program.number()));
        let metrics = program.address("listening");
        let host_api = program.address("host API listening");
        program.terminate();
        let config = config.replacen("127.0.0.1:0", &host_api, 1);
        let mut next = None;
        for _ in 0..10 {
            let started = next.insert(Program::configured(&world, &config, &metrics));
            started.wait_until("it listens or has ended", |next| {
                next.has_ended() || next.log().contains("host API listening")
            });
            if !started.has_ended() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let mut next = next.unwrap();
        next.wait_until_ready();
        next.wait_for_metric(&format!("kagiban_rotation_agent_up{{agent=\"{}\"}} 1", support::AGENT));
        assert!(is_there(program.number()), "a thread of it hangs still");
        disk.answer_all();
        assert!(program.wait().success(), "{}", program.log());
    });
}
