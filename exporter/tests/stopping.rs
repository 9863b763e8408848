//! The program is told to stop at each phase of a rotation of a slow service: nothing new is begun, the service is up when
//! it has ended, and the next start decides the rest.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{RefusalReason, RotationState};
use support::World;
use support::pki::Authority;
use support::process::{PATIENCE, Program};
use support::wire::{Api, HostApiFiles};

/// What a slow service needs to stop, and to start.
const SLOW: &str = "sleep 0.6; ";
/// Far longer than a stop may take: a verification that is waited for fails the test.
const LONG: &str = "300s";

/// A world whose service takes its time, and whose verification takes longer than any test.
async fn slow_world() -> World {
    let mut world = World::pem_pair().await;
    world.rewrite_agent("holdDown: 100ms", &format!("holdDown: {LONG}"));
    world.rewrite_agent("}; rm -f", &format!("}}; {SLOW}rm -f"));
    world.rewrite_agent("}; echo >>", &format!("}}; {SLOW}echo >>"));
    world
}

fn with_host_api(world: &World) -> (Program, Api) {
    let files = HostApiFiles::write(world, Authority::new("clients"));
    let mut program = Program::start(world, &format!("hostApi: {}", files.config("")));
    let address = program.address("host API listening").parse().unwrap();
    let api = files.client(address);
    (program, api)
}

/// Opens a rotation and delivers its chain.
async fn begin(world: &World, api: &Api, generation: u64) -> LeafSha256 {
    let opened = api.open(1, generation).await.unwrap();
    let (chain, leaf) = world.sign(&opened.csr.unwrap());
    api.deliver(1, generation, &chain).await.unwrap();
    leaf
}

/// Whether the files on disk are a pair, and whose.
fn stored(world: &World) -> LeafSha256 {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let read = |name: &str| std::fs::read(world.home().join(name)).unwrap();
    let certificate = read("tls.crt");
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&certificate).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(&read("tls.key")).unwrap();
    let leaf = support::pki::fingerprint(chain.first().unwrap());
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    rustls::sign::CertifiedKey::from_der(chain, key, &provider).expect("key and certificate belong together");
    leaf
}

/// The program ends, and the service is up then, on a whole pair; the next start decides what is left.
async fn ends_well(world: &mut World, program: &mut Program, phase: &str) -> RotationState {
    let asked = Instant::now();
    program.terminate();
    let status = program.wait();
    assert!(status.success(), "{phase}: {status}\n{}", program.log());
    assert!(asked.elapsed() < PATIENCE / 2, "{phase}: {:?}", asked.elapsed());
    let served = world.service.served().await;
    assert_eq!(served, Some(stored(world)), "{phase}: the service runs on what is stored\n{}", program.log());
    // What is left to verify is verified in little time.
    world.rewrite_agent(LONG, "100ms");
    let state = world.rotator().await.0.report().unwrap().state;
    assert!(matches!(state, RotationState::Committed | RotationState::RolledBack), "{phase}: {state:?}");
    assert_eq!(world.service.served().await, Some(stored(world)), "{phase}");
    state
}

/// Holds A8.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stopped_at_any_phase_the_service_is_up_on_a_whole_pair_when_the_program_has_ended() {
    for phase in ["stopping", "restarting", "verifying", "undoing"] {
        let mut world = slow_world().await;
        let (mut program, api) = with_host_api(&world);
        if phase == "undoing" {
            world.service.insist_on(&world.first.to_string());
        }
        let new = begin(&world, &api, 1).await;
        program.wait_until(phase, |_| world.phase().as_deref() == Some(phase));
        let state = ends_well(&mut world, &mut program, phase).await;
        let expected = match phase {
            "stopping" | "undoing" => (RotationState::RolledBack, world.first),
            _ => (RotationState::Committed, new),
        };
        assert_eq!((state, stored(&world)), expected, "{phase}: {}", program.log());
        // While it worked, the service manager was asked for the time. A verification is left, and takes none.
        let extended = program.told().iter().any(|word| word.contains("EXTEND_TIMEOUT_USEC="));
        assert!(extended || phase == "verifying", "{phase}: {:?}", program.told());
    }
}

/// Holds A8: a service that has ended by itself while it was looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_service_that_has_ended_by_itself_is_up_when_the_program_has_ended() {
    for (phase, comes_back) in [("verifying", false), ("verifying", true), ("undoing", false)] {
        let case = format!("{phase}, {comes_back}");
        let mut world = World::pem_pair().await;
        world.rewrite_agent("holdDown: 100ms", &format!("holdDown: {LONG}"));
        world.rewrite_agent("deadline: 2s", &format!("deadline: {LONG}"));
        let run = world.directory.path().join("control/run");
        let (mut program, api) = with_host_api(&world);
        if phase == "undoing" {
            world.service.insist_on(&world.first.to_string());
        }
        let new = begin(&world, &api, 1).await;
        program.wait_until(phase, |_| world.phase().as_deref() == Some(phase));
        let expected = if phase == "verifying" { new } else { world.first };
        world.service.wait_until_served(Some(expected)).await;
        // The program looks every few milliseconds; until it has seen that leaf, its own stop may be what has ended the service.
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::fs::remove_file(&run).unwrap();
        world.service.wait_until_served(None).await;
        program.terminate();
        if comes_back {
            tokio::time::sleep(Duration::from_secs(1)).await;
            std::fs::write(&run, "").unwrap();
        }
        let status = program.wait();
        assert!(status.success(), "{case}: {status}\n{}", program.log());
        let expected = if comes_back { new } else { world.first };
        assert_eq!(
            (world.service.served().await, stored(&world)),
            (Some(expected), expected),
            "{case}: {}",
            program.log()
        );
        world.rewrite_agent(&format!("holdDown: {LONG}"), "holdDown: 100ms");
        world.rewrite_agent(&format!("deadline: {LONG}"), "deadline: 2s");
        let state = world.rotator().await.0.report().unwrap().state;
        let decided = if comes_back { RotationState::Committed } else { RotationState::RolledBack };
        assert_eq!(state, decided, "{case}");
    }
}

/// Holds A8: a rotation that waits for its chain is decided, and one that waits for its restart is not begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rotation_that_only_waits_ends_undone_at_once() {
    let mut world = slow_world().await;
    world.rewrite_agent(LONG, "100ms");
    world.rewrite_agent("minRestartInterval: 0s", "minRestartInterval: 300s");
    let (mut program, api) = with_host_api(&world);
    begin(&world, &api, 1).await;
    assert_eq!(api.decided(1).await.state, RotationState::Committed);
    let starts = world.service.starts();
    begin(&world, &api, 2).await;
    program.wait_until("it waits", |_| world.phase().as_deref() == Some("backedUp"));
    assert_eq!(ends_well(&mut world, &mut program, "backedUp").await, RotationState::RolledBack);
    assert_eq!(world.service.starts(), starts, "the service was not touched");

    let (mut program, api) = with_host_api(&world);
    api.open(1, 3).await.unwrap();
    program.terminate();
    assert!(program.wait().success());
    assert_eq!(world.phase().as_deref(), Some("rolledBack"), "it is decided in the journal already");
}

/// Holds A8: a service that serves on after its stop has failed, and ends later, is not left to that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_service_that_its_stop_still_ends_is_up_for_good_when_the_program_has_ended() {
    for phase in ["stopping", "undoing"] {
        let mut world = World::pem_pair().await;
        let control = world.directory.path().join("control");
        let drain = format!("touch {0}/drains; setsid sh -c 'sleep 6; rm -f {0}/run' & sleep 60", control.display());
        let command = |argv: &[String]| format!("stop: {}", serde_json::to_string(argv).unwrap());
        let drains = command(&["sh", "-c", &drain].map(str::to_owned));
        world.rewrite_agent(&command(&world.service.stop_argv()), &drains);
        world.rewrite_agent("stopTimeout: 5s", "stopTimeout: 4s");
        let (mut program, api) = with_host_api(&world);
        begin(&world, &api, 1).await;
        program.wait_until("its stop is begun", |_| control.join("drains").exists());
        let stopped = Instant::now();
        program.wait_until(phase, |_| world.phase().as_deref() == Some(phase));
        program.terminate();
        assert!(program.wait().success(), "{phase}: {}", program.log());
        tokio::time::sleep(Duration::from_secs(8).saturating_sub(stopped.elapsed())).await;
        assert_eq!(world.service.served().await, Some(world.first), "{phase}: {}", program.log());
        let state = world.rotator().await.0.report().unwrap().state;
        assert_eq!(state, RotationState::RolledBack, "{phase}");
        assert_eq!(world.service.served().await, Some(world.first), "{phase}");
    }
}

/// How a stop command lies, and what the service does meanwhile.
#[derive(Clone, Copy, Debug)]
enum Drain {
    /// It says that it is done, and the service serves on.
    ServesOn,
    /// The same, and the listener is closed.
    Closed,
    /// It says that it has failed, and the listener is closed.
    ClosedAndFailed,
}

/// From its stop on the service's process goes on for five seconds, and a start finds it running. A start of the form
/// `systemctl start` is in a script of that name.
async fn draining_world(drain: Drain, is_systemctl: bool) -> World {
    let mut world = World::pem_pair().await;
    let control = world.directory.path().join("control");
    let argv = |script: String| serde_json::to_string(&["sh", "-c", &script]).unwrap();
    let (closes, code) = match drain {
        Drain::ServesOn => ("", 0),
        Drain::Closed => ("rm -f run;", 0),
        Drain::ClosedAndFailed => ("rm -f run;", 1),
    };
    let end = "setsid sh -c 'sleep 5; rm -f run drains' & touch stopped;";
    let drains = format!("cd {}; touch drains; {closes} {end} exit {code}", control.display());
    let stop = serde_json::to_string(&world.service.stop_argv()).unwrap();
    world.rewrite_agent(&format!("stop: {stop}"), &format!("stop: {}", argv(drains)));
    let started = world.service.start_argv();
    let quoted: Vec<_> = started.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
    let script = format!("[ -e {}/drains ] && exit 0; {}", control.display(), quoted.join(" "));
    let start = if is_systemctl {
        use std::os::unix::fs::PermissionsExt;
        let path = world.directory.path().join("systemctl");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        serde_json::to_string(&[path.to_str().unwrap(), "start", "agent"]).unwrap()
    } else {
        argv(script)
    };
    world.rewrite_agent(&format!("start: {}", serde_json::to_string(&started).unwrap()), &format!("start: {start}"));
    world.rewrite_agent("stopTimeout: 5s", "stopTimeout: 4s");
    world.rewrite_agent("deadline: 2s", "deadline: 60s");
    world
}

/// Holds A8: neither the end of a stop command, nor a listener that is closed, nor a start that says that it is done says that
/// a stop can end the service no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_service_that_goes_on_after_its_stop_was_said_to_be_done_is_up_for_good_when_the_program_has_ended() {
    let cases = [
        (Drain::ServesOn, false, "verifying", true),
        (Drain::Closed, false, "verifying", true),
        (Drain::Closed, true, "verifying", true),
        (Drain::ClosedAndFailed, false, "undoing", false),
        (Drain::ClosedAndFailed, true, "undoing", false),
    ];
    for case in cases {
        let (drain, is_systemctl, phase, commits) = case;
        let mut world = draining_world(drain, is_systemctl).await;
        let control = world.directory.path().join("control");
        let (mut program, api) = with_host_api(&world);
        let new = begin(&world, &api, 1).await;
        program.wait_until("its stop has ended", |_| control.join("stopped").exists());
        let stopped = Instant::now();
        program.wait_until(phase, |_| world.phase().as_deref() == Some(phase));
        program.terminate();
        assert!(program.wait().success(), "{case:?}: {}", program.log());
        tokio::time::sleep(Duration::from_secs(7).saturating_sub(stopped.elapsed())).await;
        let served = world.service.served().await;
        assert_eq!(served, Some(stored(&world)), "{case:?}: {}", program.log());
        world.rewrite_agent("deadline: 60s", "deadline: 2s");
        let report = world.rotator().await.0.report().unwrap();
        let expected = if commits { (RotationState::Committed, new) } else { (RotationState::RolledBack, world.first) };
        assert_eq!((report.state, stored(&world)), expected, "{case:?}: {report:#?}\n{}", program.log());
        assert_eq!(world.service.served().await, Some(expected.1), "{case:?}");
    }
}

/// Holds A8: after the stop was ordered nothing new is begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_asked_after_the_stop_is_refused_with_its_reason() {
    use kagiban_exporter::rotation::{Host, PowerGate, StateDirectory, Worker};
    use tokio_util::sync::CancellationToken;

    let world = World::pem_pair().await;
    let (state_directory, _lock) = StateDirectory::open(&world.state()).unwrap();
    let (stop, finish) = (CancellationToken::new(), CancellationToken::new());
    let host = Host::new(support::host(), state_directory, PowerGate::new(&world.power())).until(stop.clone());
    let (worker, ended) = Worker::spawn(host, world.agent.clone(), finish.clone());
    finish.cancel();
    let opened = worker.open(support::open(1, 1)).await.unwrap();
    assert_eq!(opened.state, RotationState::Keyed);
    stop.cancel();
    let refused = worker.open(support::open(1, 2)).await.unwrap_err();
    assert_eq!((refused.reason, refused.reason.status()), (RefusalReason::Stopping, 503));
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the worker ends").unwrap();
    assert_eq!(world.phase().as_deref(), Some("rolledBack"));
}

/// Holds A8: a stop that comes while a configuration is loaded from a disk that hangs is heard at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stop_during_a_reload_that_hangs_is_heard_at_once() {
    let world = World::pem_pair().await;
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let config = world.config(&format!("hostApi: {}", files.config("")));
    let (file, hangs) = (world.directory.path().join("exporter.yaml"), world.directory.path().join("hangs.yaml"));
    let mut program = Program::with_hung(&world, &config, "127.0.0.1:0", "statx", &[&hangs]);
    let api = files.client(program.address("host API listening").parse().unwrap());
    program.wait_until_ready();
    let opened = api.open(1, 1).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&hangs, &file).unwrap();
    program.reload(&world, &config);
    program.wait_until("it loads", |program| program.told().iter().any(|word| word.contains("RELOADING=1")));
    let asked = Instant::now();
    program.terminate();
    assert!(program.wait().success(), "{}", program.log());
    // The configuration itself is waited for three times as long.
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}\n{}", asked.elapsed(), program.log());
    assert_eq!(opened.state, RotationState::Keyed);
    assert_eq!(world.phase().as_deref(), Some("rolledBack"), "what only waited is decided: {}", program.log());
}
