//! A rotation that was interrupted, and a program that is started again amid other people's mistakes: the agent comes back
//! whatever they are.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{PowerState, RefusalReason, RotationState};
use support::namespace::in_a_namespace;
use support::pki::Authority;
use support::process::{HANG, PATIENCE, Program};
use support::wire::HostApiFiles;
use support::{World, open};

/// A rotation that was cut off when its journal said that the service is started: it is down, on the new files.
async fn interrupted(world: &World) -> LeafSha256 {
    let leaf = world.cut_off_in(RotationState::Restarting).await;
    assert_eq!(world.service.served().await, None, "the service is down");
    leaf
}

async fn serves(world: &World, leaf: LeafSha256, program: &Program) {
    let started = std::time::Instant::now();
    while world.service.served().await != Some(leaf) {
        assert!(started.elapsed() < PATIENCE, "the service stays down; the log says:\n{}", program.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A host API that cannot start: its files are missing.
const BROKEN_API: &str = "hostApi: {listenAddress: '127.0.0.1:0', certificateFile: /nonexistent/host.crt, \
     keyFile: /nonexistent/host.key, clientCaFile: /nonexistent/ca.crt, clientNames: [operator.example.com]}";

/// Holds A6: a missing `host.key`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_api_without_its_key_leaves_no_rotation_unrecovered() {
    let world = World::pem_pair().await;
    let leaf = interrupted(&world).await;
    let mut program = Program::start(&world, BROKEN_API);
    program.wait_until_ready();
    serves(&world, leaf, &program).await;
    program.wait_for_metric("kagiban_rotation_state{agent=\"agent\",state=\"committed\"} 1");
    program.wait_for_metric("kagiban_rotation_frozen{agent=\"agent\"} 0");
    program.wait_for_metric("kagiban_rotation_generation{agent=\"agent\"} 1");
    program.wait_for_metric("kagiban_rotations_decided_total{agent=\"agent\",outcome=\"committed\"} 1");
    program.terminate();
    assert!(program.wait().success());
}

/// Holds A6: any account that held the port for a moment, and a key that came a moment too late, kept a host out of rotations until
/// somebody started the exporter again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_api_that_cannot_listen_at_the_start_does_so_once_it_can() {
    let world = World::pem_pair().await;
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let squatter = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = squatter.local_addr().unwrap();
    let config = files.config("").replace("127.0.0.1:0", &address.to_string());
    let (key, away) = (world.directory.path().join("api.key"), world.directory.path().join("away"));
    std::fs::rename(&key, &away).unwrap();
    let mut program = Program::start(&world, &format!("hostApi: {config}"));
    program.wait_until_ready();
    program.wait_until("a missing key", |program| program.log().contains("api.key"));
    program.wait_for_metric("kagiban_host_api_up 0");
    std::fs::rename(&away, &key).unwrap();
    program.wait_until("a port that is taken", |program| program.log().contains("in use"));
    drop(squatter);
    program.wait_for_metric("kagiban_host_api_up 1");
    assert!(std::net::TcpStream::connect(address).is_ok());
    program.terminate();
    assert!(program.wait().success());
}

/// Holds A8: who reads the log may hang, as a service manager's journal does, from the first line on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_keeps_no_service_down_and_no_program_up() {
    let world = World::pem_pair().await;
    let leaf = interrupted(&world).await;
    let (mut program, reader) = Program::unread(&world, BROKEN_API);
    program.wait_until_ready();
    serves(&world, leaf, &program).await;
    program.terminate();
    assert!(program.wait().success());
    drop(reader);
}

/// Holds A6: the host API was taken out of the configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_without_a_host_api_still_finishes_a_rotation() {
    let world = World::pem_pair().await;
    let leaf = interrupted(&world).await;
    let program = Program::start(&world, "");
    serves(&world, leaf, &program).await;
}

/// Holds A6: another agent's bad configuration, by its values and by its form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_agent_is_named_and_keeps_no_other_from_being_recovered() {
    let world = World::pem_pair().await;
    let leaf = interrupted(&world).await;
    let others = "  - {name: relative, product: tls-service, keystore: {path: etc/x}}\n  \
                  - {name: unread, product: tls-service, keystoer: {}}\n";
    let config = world.config_with(BROKEN_API, others);
    let mut program = Program::configured(&world, &config, "127.0.0.1:0");
    serves(&world, leaf, &program).await;
    for name in ["relative", "unread"] {
        program.wait_for_metric(&format!("kagiban_rotation_agent_up{{agent=\"{name}\"}} 0"));
        let why = format!("kagiban_rotation_agent_error_info{{agent=\"{name}\",reason=\"bad_configuration\"}} 1");
        program.wait_for_metric(&why);
    }
    program.wait_for_metric("kagiban_rotation_agent_up{agent=\"agent\"} 1");
    for told in ["keystoer", "must be an absolute path"] {
        program.wait_until(told, |program| program.log().contains(told));
    }
}

/// Another agent with the files and the service of the world's, an item of `agents`.
fn twin(world: &World) -> String {
    let yaml = world.agent_yaml.replace("name: agent\n", "name: twin\n");
    let indented: Vec<_> = yaml.lines().map(|line| format!("    {line}\n")).collect();
    format!("  -\n{}", indented.concat())
}

/// Holds A16: what an earlier run left is finished all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_that_share_a_file_are_recovered_and_take_nothing_new() {
    let world = World::pem_pair().await;
    let leaf = interrupted(&world).await;
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let config = world.config_with(&format!("hostApi: {}", files.config("")), &twin(&world));
    let mut program = Program::configured(&world, &config, "127.0.0.1:0");
    let api = files.client(program.address("host API listening").parse().unwrap());
    serves(&world, leaf, &program).await;
    program.wait_for_metric("kagiban_rotation_state{agent=\"agent\",state=\"committed\"} 1");
    program.wait_for_metric("kagiban_config_last_reload_successful 0");
    for name in ["agent", "twin"] {
        program.wait_for_metric(&format!("kagiban_rotation_agent_up{{agent=\"{name}\"}} 0"));
        let why = format!("kagiban_rotation_agent_error_info{{agent=\"{name}\",reason=\"shared_file\"}} 1");
        program.wait_for_metric(&why);
    }
    let refused = api.open(1, 2).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::Unavailable);
    assert!(refused.message.contains("would both replace"), "{}", refused.message);
    assert_eq!(api.decided(1).await.state, RotationState::Committed, "what is known can be read");
}

/// Another agent beside the world's, whose files lie in `directory`.
fn neighbour(directory: &std::path::Path) -> String {
    let at = directory.display();
    format!(
        "  - {{name: neighbour, product: tls-service, keystore: {{certificateFile: {at}/tls.crt, keyFile: {at}/tls.key}}, \
         endpoint: {{address: '127.0.0.1:9'}}, service: {{stop: [/bin/neighbour, stop], start: [/bin/neighbour, start]}}}}\n"
    )
}

/// Holds A16, A6: what an account does in its own directory keeps no other's agent from being rotated, and no configuration
/// from being loaded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_of_an_account_to_anothers_files_keeps_neither_from_anything() {
    let world = World::pem_pair().await;
    let theirs = world.directory.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    std::os::unix::fs::chown(&theirs, Some(65_534), None).unwrap();
    std::os::unix::fs::symlink(world.home(), theirs.join("conf")).unwrap();
    let config = world.config_with(BROKEN_API, &neighbour(&theirs.join("conf")));
    let mut program = Program::configured(&world, &config, "127.0.0.1:0");
    program.wait_until_ready();
    program.wait_for_metric("kagiban_rotation_agent_up{agent=\"agent\"} 1");
    program.wait_for_metric("kagiban_config_last_reload_successful 1");
    program.reload(&world, &config);
    program.wait_until("it is loaded", |program| program.log().contains("configuration loaded"));
    program.wait_for_metric("kagiban_config_last_reload_successful 1");
}

/// Holds A6: the directory of one agent hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_directory_hangs_keeps_no_other_from_being_recovered_and_rotated() {
    let world = World::pem_pair().await;
    let leaf = interrupted(&world).await;
    let hangs = world.directory.path().join("hangs");
    std::fs::create_dir(&hangs).unwrap();
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let config = world.config_with(&format!("hostApi: {}", files.config("")), &neighbour(&hangs));
    let mut program = Program::with_hanging(&world, &config, &[&hangs]);
    serves(&world, leaf, &program).await;
    let api = files.client(program.address("host API listening").parse().unwrap());
    program.wait_for_metric("kagiban_rotation_agent_up{agent=\"agent\"} 1");
    program.wait_for_metric("kagiban_rotation_agent_error_info{agent=\"neighbour\",reason=\"file_system_hangs\"} 1");
    assert_eq!(api.decided(1).await.state, RotationState::Committed);
    api.open(1, 2).await.unwrap();
}

/// Holds A16, A6: the API knows it too, and nobody starts the program again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_directory_hung_is_taken_when_it_answers() {
    let world = World::pem_pair().await;
    let hangs = world.directory.path().join("hangs");
    std::fs::create_dir(&hangs).unwrap();
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let config = world.config_with(&format!("hostApi: {}", files.config("")), &neighbour(&hangs));
    let mut program = Program::with_hanging(&world, &config, &[&hangs]);
    program.wait_for_metric("kagiban_rotation_agent_error_info{agent=\"neighbour\",reason=\"file_system_hangs\"} 1");
    let api = files.client(program.address("host API listening").parse().unwrap());
    let open = async || api.ask::<serde_json::Value>("POST", "agents/neighbour/rotations", &open(1, 1)).await;
    let refused = open().await.unwrap_err();
    assert!(refused.message.contains("is not known yet"), "{}", refused.message);
    program.wait_for_metric("kagiban_rotation_agent_up{agent=\"neighbour\"} 1");
    // It has no keystore, which is another matter.
    if let Err(refused) = open().await {
        assert!(!refused.message.contains("is not known yet"), "{}", refused.message);
    }
}

/// Holds A8: nothing was done to its service, and nothing can be. A start that fails waits no longer than a stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_directory_or_journal_hangs_for_good_holds_up_no_end() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).unwrap();
    for (listen, is_journal) in [("127.0.0.1:0", false), (taken.1.as_str(), false), ("127.0.0.1:0", true)] {
        let world = World::pem_pair().await;
        let directory = world.directory.path().join("hangs");
        std::fs::create_dir(&directory).unwrap();
        let journal = world.state().join("journal/neighbour.json");
        let config = world.config_with(BROKEN_API, &neighbour(&directory));
        let hangs = if is_journal { &journal } else { &directory };
        let mut program = Program::with_hung(&world, &config, listen, "openat", &[hangs]);
        let works = listen != taken.1;
        if works {
            program.wait_until_ready();
            program.terminate();
        }
        assert_eq!(program.wait().success(), works, "{}", program.log());
    }
}

/// Holds A17, A6: a network file system under a usual directory is somebody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_usual_directory_that_hangs_keeps_nothing_else_from_working() {
    let world = World::pem_pair().await;
    let leaf = interrupted(&world).await;
    let usual = kagiban_agents::Product::PowerchuteSerialShutdown.facts().directories;
    let usual = usual(kagiban_exporter::platform::OS).iter().map(std::path::Path::new).collect::<Vec<_>>();
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let config = world.config(&format!("hostApi: {}", files.config("")));
    let mut program = Program::with_hung(&world, &config, "127.0.0.1:0", "statx", &usual);
    serves(&world, leaf, &program).await;
    program.wait_for_metric("kagiban_blocking_stuck{work=\"search\"} 1");
    let api = files.client(program.address("host API listening").parse().unwrap());
    assert_eq!(api.decided(1).await.state, RotationState::Committed);
    // However often it is searched, one thread hangs.
    for reload in 1..=2 {
        program.reload(&world, &config);
        program.wait_until("it is loaded", |p| p.log().matches("configuration loaded").count() == reload);
    }
    program.wait_for_metric("kagiban_blocking_stuck{work=\"search\"} 1");
    program.terminate();
    assert!(program.wait().success(), "{}", program.log());
}

/// Holds A17, A8: the file of a scheduled shutdown lies where an administrator has said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_shutdown_that_cannot_be_looked_for_refuses_orders_and_holds_up_no_agent() {
    let world = World::pem_pair().await;
    let files = HostApiFiles::write(&world, Authority::new("clients"));
    let config = world.config(&format!("hostApi: {}", files.config("")));
    let mut program =
        Program::with_hung(&world, &config, "127.0.0.1:0", "statx", &[world.scheduled_shutdown().as_path()]);
    let api = files.client(program.address("host API listening").parse().unwrap());
    // More than the threads that look for it.
    for generation in 1..=4 {
        let refused = api.open(1, generation).await.unwrap_err();
        let told = (refused.reason, refused.power);
        assert_eq!(told, (RefusalReason::PowerUnsafe, Some(PowerState::ShutdownPending)), "{refused:?}");
        assert!(refused.message.contains("cannot be seen"), "{}", refused.message);
    }
    program.wait_for_metric("kagiban_blocking_stuck{work=\"power\"} 2");
    assert_eq!(world.service.starts(), 0);
    program.terminate();
    assert!(program.wait().success(), "{}", program.log());
}

/// Holds A17, A6: nor does the state directory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_that_hangs_keeps_no_metrics_away() {
    let world = World::pem_pair().await;
    interrupted(&world).await;
    let journals = world.state().join("journal");
    let mut program = Program::with_hung(&world, &world.config(""), "127.0.0.1:0", "statx,openat", &[&journals]);
    program.wait_for_metric("kagiban_blocking_stuck{work=\"search\"} 1");
    program.wait_for_metric("kagiban_rotation_agent_up{agent=\"agent\"} 0");
    program.terminate();
    assert!(program.wait().success(), "{}", program.log());
}

/// Holds A5, A17: what reads the state directory waits for it together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_waits_once_for_a_state_directory_that_hangs() {
    let world = World::pem_pair().await;
    interrupted(&world).await;
    // Both what rotations have left and what was kept of a shutdown.
    let hung = [world.state(), world.state().join("journal"), world.state().join("shutdown.json")];
    let hung: Vec<_> = hung.iter().map(std::path::PathBuf::as_path).collect();
    let config = world.config(BROKEN_API);
    let mut program = Program::with_hung(&world, &config, "127.0.0.1:0", "openat,newfstatat,statx", &hung);
    program.wait_until_ready();
    let both = ["are not known to be whole yet", "whether a shutdown has begun is known in memory only"];
    program.wait_until("both are told", |program| both.iter().all(|told| program.log().contains(told)));
    let log = program.log();
    let told_at = |line: &str| -> jiff::Timestamp {
        let line = log.lines().find(|there| there.contains(line)).unwrap_or_else(|| panic!("no {line}:\n{log}"));
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let [files, latch] = both.map(told_at);
    let between = latch.duration_since(files).abs();
    assert!(between < jiff::SignedDuration::from_secs(10), "one after the other:\n{log}");
    program.terminate();
    assert!(program.wait().success(), "{}", program.log());
}

/// Holds A17: a program that fails ends, whatever hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_file_that_hangs_is_a_failure_with_an_end() {
    let world = World::pem_pair().await;
    let file = world.directory.path().join("exporter.yaml");
    let mut program = Program::with_hung(&world, &world.config(""), "127.0.0.1:0", "openat", &[&file]);
    assert!(!program.wait().success());
    assert!(program.log().contains("no result within the deadline"), "{}", program.log());
}

/// Holds A6, A11: somebody else has the state directory for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_that_is_in_use_is_told_and_taken_as_soon_as_it_is_free() {
    let world = World::pem_pair().await;
    let leaf = interrupted(&world).await;
    let held = world.lock().await;
    let mut program = Program::start(&world, BROKEN_API);
    program.wait_until_ready();
    program.wait_for_metric("kagiban_rotation_agent_error_info{agent=\"agent\",reason=\"state_directory_in_use\"} 1");
    assert_eq!(world.service.served().await, None, "it is not ours to recover");
    drop(held);
    serves(&world, leaf, &program).await;
    program.wait_for_metric("kagiban_rotation_agent_up{agent=\"agent\"} 1");
    program.wait_for_metric("kagiban_rotation_state{agent=\"agent\",state=\"committed\"} 1");
}

/// Holds A14: the file system of the state directory is mounted after the start. That is told before anybody asks for anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_state_directory_in_the_place_of_the_one_that_was_opened_is_told() {
    let world = World::pem_pair().await;
    let mut program = Program::start(&world, BROKEN_API);
    program.wait_until_ready();
    program.wait_for_metric("kagiban_rotation_agent_up{agent=\"agent\"} 1");
    let aside = world.directory.path().join("aside");
    std::fs::rename(world.state(), &aside).unwrap();
    std::fs::create_dir(world.state()).unwrap();
    program.wait_for_metric("kagiban_rotation_agent_error_info{agent=\"agent\",reason=\"state_directory_replaced\"} 1");
    std::fs::remove_dir_all(world.state()).unwrap();
    std::fs::rename(&aside, world.state()).unwrap();
    program.wait_for_metric("kagiban_rotation_agent_up{agent=\"agent\"} 1");
}

/// Holds A14: a command must not read, or thaw, what the exporter that runs does not use.
#[test]
fn a_command_refuses_a_state_directory_that_was_mounted_over_the_one_of_the_exporter_that_runs() {
    in_a_namespace(
        "a_command_refuses_a_state_directory_that_was_mounted_over_the_one_of_the_exporter_that_runs",
        async {
            let world = World::pem_pair().await;
            let mut program = Program::start(&world, BROKEN_API);
            program.wait_until_ready();
            program.wait_for_metric("kagiban_rotation_agent_up{agent=\"agent\"} 1");
            let config = format!("--config.file={}", world.directory.path().join("exporter.yaml").display());
            let asked = |words: &str| {
                let mut command = Command::new(env!("CARGO_BIN_EXE_kagiban-exporter"));
                let output = command.args(words.split(' ')).arg(&config).output().unwrap();
                (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
            };
            let run = |words: &[&str]| assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success());
            let state = world.state();
            assert!(asked("rotation list").0);
            run(&["mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", state.to_str().unwrap()]);
            let other = format!("process {}", program.number());
            for words in ["rotation list", "rotation show agent", "rotation thaw agent", "shutdown show"] {
                let (_, said) = asked(words);
                assert!(said.contains("state_directory_replaced") && said.contains(&other), "{words}: {said}");
            }
            run(&["umount", state.to_str().unwrap()]);
            assert!(asked("rotation list").0);
        },
    );
}

/// Holds A8: the stop is ordered while the state directory was slow and it is not known yet whether agents share files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_comes_before_everything_is_known_waits_for_the_workers_that_there_are() {
    let mut world = World::pem_pair().await;
    world.rewrite_agent("}; echo >>", "}; sleep 0.6; echo >>");
    let leaf = interrupted(&world).await;
    let hangs = world.directory.path().join("hangs");
    std::fs::create_dir(&hangs).unwrap();
    let config = world.config_with(BROKEN_API, &neighbour(&hangs));
    let mut program = Program::with_hanging(&world, &config, &[&hangs, &world.state().join("lock")]);
    // The program has its signal handlers by then, and waits for the state directory.
    std::thread::sleep(HANG / 2);
    assert!(program.told().is_empty(), "{}", program.log());
    program.terminate();
    let status = program.wait();
    assert!(status.success(), "{}", program.log());
    // Under a tracer on a busy machine the start may take longer than it may: then it is up on the old files.
    let served = world.service.served().await;
    assert!(served == Some(leaf) || served == Some(world.first), "{served:?}: {}", program.log());
}

/// Holds A16: a running program keeps the configuration that it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_whose_agents_share_a_file_is_refused_when_it_is_loaded() {
    let world = World::pem_pair().await;
    let mut program = Program::start(&world, BROKEN_API);
    program.wait_until_ready();
    program.wait_for_metric("kagiban_config_last_reload_successful 1");
    program.reload(&world, &world.config_with(BROKEN_API, &twin(&world)));
    program.wait_for_metric("kagiban_config_last_reload_successful 0");
    program.wait_for_metric("kagiban_rotation_agent_up{agent=\"agent\"} 1");
    assert!(program.log().contains("would both replace"), "{}", program.log());
}

/// Holds A6: the port of the metrics is taken, and a mistake elsewhere in the configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_cannot_work_finishes_the_rotation_and_fails_then() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).unwrap();
    for (extra, listen) in [("", taken.1.as_str()), ("ups: [bad]", "127.0.0.1:0")] {
        let world = World::pem_pair().await;
        let leaf = interrupted(&world).await;
        let mut program = Program::configured(&world, &world.config(extra), listen);
        let status = program.wait();
        assert!(!status.success(), "{extra}{listen}: {}", program.log());
        assert_eq!(world.service.served().await, Some(leaf), "{extra}{listen}: {}", program.log());
        assert_eq!(world.phase().as_deref(), Some("committed"), "{}", program.log());
        // Whoever is ordered after this program may start: the service manager was told.
        assert!(program.told().iter().any(|word| word.contains("READY=1")));
    }
}

/// Holds A6: the agent was taken out of the configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_of_an_agent_that_is_not_configured_any_more_is_told() {
    let world = World::pem_pair().await;
    interrupted(&world).await;
    let config = world.config("");
    let config = &config[..config.find("agents:").unwrap()];
    let mut program = Program::configured(&world, config, "127.0.0.1:0");
    program.wait_for_metric("kagiban_rotation_agent_error_info{agent=\"agent\",reason=\"not_configured\"} 1");
    program.wait_for_metric("kagiban_rotation_state{agent=\"agent\",state=\"restarting\"} 1");
    assert!(program.log().contains("is not decided"), "{}", program.log());
}

/// A frozen agent is what a person must see first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_agent_is_a_metric_and_the_first_thing_on_the_page() {
    let mut world = World::pem_pair().await;
    world.rewrite_agent("startTimeout: 5s", "startTimeout: 2s");
    interrupted(&world).await;
    world.service.insist_on("neither");
    let mut program = Program::start(&world, BROKEN_API);
    program.wait_for_metric("kagiban_rotation_frozen{agent=\"agent\"} 1");
    program.wait_for_metric("kagiban_rotation_state{agent=\"agent\",state=\"frozen\"} 1");
    let metrics = program.get("/metrics");
    for family in [
        "kagiban_rotation_failure_info{agent=\"agent\",reason=",
        "kagiban_rotation_last_decided_timestamp_seconds{agent=\"agent\"} ",
    ] {
        assert!(metrics.contains(family), "{family}");
    }
    let page = program.get("/");
    let first = page.lines().find(|line| line.starts_with("<li>")).unwrap_or_default();
    assert!(first.contains("Critical") && first.contains("Agent agent") && first.contains("frozen"), "{first}");
}
