//! Agents whose directories hang, or whose names are asked of silent name servers, while another one is well. Holds A6, A17: they
//! keep back nobody but themselves.
//!
//! It takes root, and the programs `strace`, `unshare`, `mount` and `ip`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::env;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{chown, fchown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kagiban_crds::host_api::{AgentReport, PowerState, RotationState, Sighting};
use support::pki::Authority;
use support::process::{PATIENCE, Program};
use support::wire::{Api, HostApiFiles};
use support::{AGENT, World};

/// More than any kind of work of one agent may hold.
const HUNG: usize = 5;
/// Two accounts without rights: one has the files, another one listens.
const OWNER: u32 = 65_534;
const LISTENER: u32 = 65_533;
/// An access control list is asked for at no other time, and of the listed files only.
const CALLS: &str = "lgetxattr,flistxattr";

const NAMES: &str = "agents_with_names_that_hang_keep_no_other_from_being_looked_at_and_rotated";
/// Set inside the namespaces.
const INSIDE: &str = "KAGIBAN_TEST_INSIDE_NAMESPACES";
const ENTER: &str = "mount --bind \"$0\" /etc/resolv.conf; ip link set lo up; exec \"$@\"";
/// A lookup hangs for longer than the test lasts.
const RESOLVER: &str = "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n";

fn hung_agent(index: usize, directory: &Path, address: &str) -> String {
    let at = directory.display();
    format!(
        "  - {{name: hung{index}, product: tls-service, keystore: {{certificateFile: {at}/tls.crt, keyFile: {at}/tls.key}}, \
         endpoint: {{address: '{address}'}}, service: {{stop: [/bin/true, hung{index}, stop], start: [/bin/true, hung{index}, start]}}}}\n"
    )
}

/// The files of an agent that is well, for a directory of another account.
fn files(world: &World, index: usize) -> PathBuf {
    let directory = world.directory.path().join(format!("hung{index}"));
    std::fs::create_dir(&directory).unwrap();
    chown(&directory, Some(OWNER), None).unwrap();
    for (name, mode) in [("tls.crt", 0o644), ("tls.key", 0o640)] {
        use std::os::unix::fs::PermissionsExt as _;
        let file = directory.join(name);
        std::fs::copy(world.home().join(name), &file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        chown(&file, Some(OWNER), Some(OWNER)).unwrap();
    }
    directory
}

/// Answers nobody. Its socket is another account's.
fn endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    fchown(&listener, Some(LISTENER), None).expect("these tests need root: they open a socket for another account");
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || while listener.accept().is_ok() {});
    address
}

async fn report(api: &Api, agent: &str) -> Option<AgentReport> {
    // An answer that takes too long is none.
    api.ask::<AgentReport>("GET", &format!("agents/{agent}"), &()).await.ok()
}

async fn ask_all_hung(api: &Api) {
    for index in 0..HUNG {
        report(api, &format!("hung{index}")).await;
    }
}

async fn is_well(world: &World, api: &Api) {
    let seen = report(api, AGENT).await.expect("nothing of it hangs");
    assert!(matches!(seen.served, Sighting::Leaf(_)), "{:?}", seen.served);
    assert!(matches!(seen.stored, Sighting::Leaf(_)), "{:?}", seen.stored);
    assert_eq!(seen.power.state, PowerState::Mains);
    let opened = api.open(1, seen.generation.0 + 1).await.unwrap();
    let (chain, leaf) = world.sign(&opened.csr.unwrap());
    api.deliver(1, opened.generation.0, &chain).await.unwrap();
    let decided = api.decided(opened.generation.0).await;
    assert_eq!(decided.state, RotationState::Committed, "{:?}", decided.failure);
    assert_eq!(world.service.served().await, Some(leaf));
}

fn with_agents(world: &World, agents: &str, hanging: Option<&[&Path]>) -> (Program, Api) {
    let files = HostApiFiles::write(world, Authority::new("clients"));
    let config = world.config_with(&format!("hostApi: {}", files.config("")), agents);
    let mut program = match hanging {
        Some(paths) => Program::with_hung(world, &config, "127.0.0.1:0", CALLS, paths),
        None => Program::configured(world, &config, "127.0.0.1:0"),
    };
    program.wait_until_ready();
    let api = files.client(program.address("host API listening").parse().unwrap());
    for index in 0..HUNG {
        program.wait_for_metric(&format!("kagiban_rotation_agent_up{{agent=\"hung{index}\"}} 1"));
    }
    (program, api)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_with_directories_that_hang_keep_no_other_from_being_looked_at_and_rotated() {
    let world = World::pem_pair().await;
    let directories: Vec<_> = (0..HUNG).map(|index| files(&world, index)).collect();
    let agents: String = directories.iter().enumerate().map(|(i, at)| hung_agent(i, at, &endpoint())).collect();
    let paths: Vec<_> = directories.iter().flat_map(|at| [at.join("tls.crt"), at.join("tls.key")]).collect();
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let (mut program, api) = with_agents(&world, &agents, Some(&paths));
    // However often they are looked at, each holds one thread of a kind.
    for _ in 0..2 {
        ask_all_hung(&api).await;
        is_well(&world, &api).await;
    }
    for work in ["listeners", "reports"] {
        program.wait_for_metric(&format!("kagiban_blocking_stuck{{work=\"{work}\"}} {HUNG}"));
    }
    program.terminate();
    assert!(program.wait().success(), "{}", program.log());
}

#[test]
fn agents_with_names_that_hang_keep_no_other_from_being_looked_at_and_rotated() {
    if env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(inside());
    }
    let directory = tempfile::tempdir().unwrap();
    let resolver = directory.path().join("resolv.conf");
    std::fs::write(&resolver, RESOLVER).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--", "sh", "-ec", ENTER]).arg(&resolver);
    command.arg(env::current_exe().unwrap()).args(["--exact", NAMES, "--nocapture"]).env(INSIDE, "1");
    let output = command.output().expect("this test needs the program unshare: install util-linux");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "it needs root, mount and ip (iproute2):\n{}", said.concat());
}

async fn inside() {
    let _silent = UdpSocket::bind("127.0.0.1:53").expect("a namespace of our own");
    let mut world = World::pem_pair().await;
    // A name too, which no server is asked for.
    world.rewrite_agent("'127.0.0.1:", "'localhost:");
    let directories: Vec<_> = (0..HUNG).map(|index| files(&world, index)).collect();
    let agent = |(index, at): (usize, &PathBuf)| hung_agent(index, at, &format!("ups-{index}.silent.example:6547"));
    let agents: String = directories.iter().enumerate().map(agent).collect();
    let (mut program, api) = with_agents(&world, &agents, None);
    ask_all_hung(&api).await;
    is_well(&world, &api).await;
    program.wait_for_metric(&format!("kagiban_blocking_stuck{{work=\"rotation_names\"}} {HUNG}"));

    // Whose name is not looked up is not stopped.
    let opened: kagiban_crds::host_api::RotationReport = {
        let mut order = support::open(1, 1);
        order.target.agent = "hung0".parse().unwrap();
        api.ask("POST", "agents/hung0/rotations", &order).await.unwrap()
    };
    let mut delivery = support::delivery(1, 1, &world.sign(&opened.csr.unwrap()).0);
    delivery.target.agent = "hung0".parse().unwrap();
    let _: kagiban_crds::host_api::RotationReport =
        api.ask("PUT", "agents/hung0/rotations/1/chain", &delivery).await.unwrap();
    let started = std::time::Instant::now();
    let decided = loop {
        let report: kagiban_crds::host_api::RotationReport =
            api.ask("GET", "agents/hung0/rotations/1", &()).await.unwrap();
        if report.state.is_decided() {
            break report;
        }
        assert!(started.elapsed() < PATIENCE, "{report:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(decided.state, RotationState::RolledBack);
    assert_eq!(decided.failure.unwrap().reason, "timeout");
    let stopped = decided.steps.iter().any(|step| step.state == RotationState::Restarting);
    assert!(!stopped, "{:#?}", decided.steps);
    program.terminate();
    assert!(program.wait().success(), "{}", program.log());
}
