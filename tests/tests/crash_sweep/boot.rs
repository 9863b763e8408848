//! The next boot after a kill between two renames: a double of the service manager starts the agent when it hears READY.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use kagiban_tests::ports::Port;
use kagiban_tests::process::Program;
use kagiban_tests::tools;

use super::scene::{Layout, Rooted as _, Scene};
use super::{swapped_store, untouched, was_killed};

/// Far longer than READY takes, and shorter than the timeout of a start command that waits for READY in vain.
const DEADLINE: Duration = Duration::from_secs(60);

/// Holds A5.
#[test]
fn the_agent_that_starts_at_ready_finds_a_whole_pair_and_nothing_waits_for_its_start_before() -> Result<()> {
    let between_two_renames = swapped_store(&untouched(Layout::StoreAndIni)?)?;
    let scene = Scene::set(Layout::StoreAndIni)?;
    was_killed(&scene.rotate(Some(&between_two_renames))?)?;
    ensure!(scene.is_apart()?, "the kill did not come between the two renames");
    // As systemd does for a unit that is ordered after the exporter: its start waits until READY is told.
    scene.service().order_after_ready()?;

    let socket = scene.root().join("notify");
    let manager = UnixDatagram::bind(&socket)?;
    manager.set_read_timeout(Some(Duration::from_millis(100)))?;
    let port = Port::any()?;
    let mut command = Command::new(tools::ours("kagiban-exporter")?);
    command.arg(format!("--config.file={}", scene.root().join("exporter.yaml").display()));
    command.arg(format!("--web.listen-address={}", port.address()));
    command.env("NOTIFY_SOCKET", &socket);
    let mut exporter = Program::start("exporter", &command, scene.root())?;
    wait_for_ready(&manager, &exporter)?;
    ensure!(!scene.is_apart()?, "READY was told while store and password were apart:\n{}", exporter.log_text());
    scene.service().ready()?;
    scene.service().start_by_manager()?;

    let decided = Instant::now();
    while !fs::read_to_string(scene.journal())?.contains("\"rolledBack\"") {
        ensure!(decided.elapsed() < DEADLINE, "not decided:\n{}", exporter.log_text());
        std::thread::sleep(Duration::from_millis(50));
    }
    ensure!(exporter.terminate(DEADLINE)?.success(), "{}", exporter.log_text());
    let report = scene.recover()?;
    ensure!(report["state"] == "RolledBack", "{report:#}");
    scene.is_settled(&report)
}

fn wait_for_ready(manager: &UnixDatagram, exporter: &Program) -> Result<()> {
    let asked = Instant::now();
    let mut word = [0; 4096];
    while asked.elapsed() < DEADLINE {
        if let Ok(length) = manager.recv(&mut word)
            && String::from_utf8_lossy(&word[..length]).contains("READY=1")
        {
            return Ok(());
        }
    }
    bail!("READY was not told in {} s:\n{}", DEADLINE.as_secs(), exporter.log_text())
}
