//! A bug in the middle of a rotation: a panic on the worker's thread, with the service down.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kagiban_crds::host_api::RotationState;
use kagiban_exporter::rotation::{AgentStatus, Host, PowerGate, StateDirectory, Worker};
use support::{World, delivery, open};
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, Registry};

/// Panics where the first word is told that the service is being started on the new files.
struct Bug(AtomicUsize);

struct Restarting(bool);

impl Visit for Restarting {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 |= field.name() == "state" && format!("{value:?}") == "Restarting";
    }
}

impl Layer<Registry> for Bug {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, Registry>) {
        let mut restarting = Restarting(false);
        event.record(&mut restarting);
        assert!(!restarting.0 || self.0.fetch_add(1, Ordering::Relaxed) > 0, "a bug");
    }
}

/// Holds A6, A8: the agent is recovered, its state is told meanwhile, and its worker takes requests again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_mid_rotation_leaves_no_service_down_and_no_agent_without_its_worker() {
    tracing::subscriber::set_global_default(Registry::default().with(Bug(AtomicUsize::new(0)))).unwrap();
    let world = World::pem_pair().await;
    let (state_directory, _lock) = StateDirectory::open(&world.state()).unwrap();
    let (stop, finish) = (CancellationToken::new(), CancellationToken::new());
    let host = Host::new(support::host(), state_directory, PowerGate::new(&world.power())).until(stop.clone());
    let (worker, ended) = Worker::spawn(host, world.agent.clone(), finish.clone());
    let mut status = worker.watch();
    finish.cancel();

    let opened = worker.open(open(1, 1)).await.unwrap();
    let (chain, leaf) = world.sign(&opened.csr.unwrap());
    worker.deliver(delivery(1, 1, &chain)).await.unwrap();
    let failed = status.wait_for(|status| matches!(status, AgentStatus::Failed { .. }));
    tokio::time::timeout(Duration::from_secs(20), failed).await.expect("it fails").unwrap();
    assert!(worker.snapshot().unwrap_err().message.contains("a bug of this program"));
    assert_eq!(world.service.served().await, None, "the service is down");

    let decided = status.wait_for(|status| match status {
        AgentStatus::Known(known) => known.record.rotation.as_ref().is_some_and(|rotation| rotation.state.is_decided()),
        _ => false,
    });
    tokio::time::timeout(Duration::from_secs(20), decided).await.expect("it is recovered").unwrap();
    assert_eq!(world.service.served().await, Some(leaf));
    assert_eq!(worker.open(open(1, 2)).await.unwrap().state, RotationState::Keyed);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the worker ends").unwrap();
}

/// Holds A6: where the system gave the runtime no thread, the program waited for ever, and nothing started it again.
#[test]
fn a_program_that_gets_no_threads_ends() {
    for fails_from in [1, 2, 3] {
        let inject = format!("inject=clone3:error=EAGAIN:when={fails_from}+");
        let mut program = std::process::Command::new("strace")
            .args(["-f", "-qqq", "-o", "/dev/null", "-e", "trace=clone3", "-e", &inject])
            .args([env!("CARGO_BIN_EXE_kagiban-exporter"), "--once"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("install strace");
        let started = std::time::Instant::now();
        let ended = loop {
            match program.try_wait().unwrap() {
                Some(ended) => break Some(ended.code()),
                None if started.elapsed() > support::process::PATIENCE => break None,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let _ = program.kill();
        assert_eq!(ended, Some(Some(101)), "the {fails_from}. thread and all after it");
    }
}
