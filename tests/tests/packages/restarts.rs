//! Our units are started again for as long as it takes: a unit that systemd has given up would leave an agent's service down.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, ensure};
use kagiban_tests::booted::Booted;
use kagiban_tests::http;
use kagiban_tests::quickstart::Fleet;
use kagiban_tests::wait;

use super::booted::{
    DEADLINE, HOLD, HOST_API, METRICS, UNIT, decided, installed, lay_out, metrics, order_and_hold, served,
    wait_for_state,
};

/// One more than systemd takes within ten seconds unless it is told otherwise.
const TIMES: u32 = 6;

/// Holds A8: a crash at the start, or a host without memory, ends it time after time.
#[test]
fn a_service_comes_up_however_often_the_exporter_is_killed_while_it_rotates() -> Result<()> {
    let root = installed("killed")?;
    let fleet = Fleet::new()?;
    lay_out(&root, &fleet)?;
    let host = Booted::boot(&root)?;
    served(&host)?;
    order_and_hold(&host, &fleet, 1)?;
    let mut last = "0".to_owned();
    for time in 1..=TIMES {
        let another = || host.property(HOST_API, "MainPID").ok().filter(|id| *id != "0" && *id != last);
        let process = wait::for_some(DEADLINE, another)
            .with_context(|| format!("it is not started again, killed {} times: {}", time - 1, host.journal()))?;
        host.run("kill", &["-KILL", &process])?;
        last = process;
    }
    fs::remove_file(root.at(HOLD))?;
    for unit in [HOST_API, UNIT] {
        wait_for_state(&host, unit, "active")?;
    }
    // Killed often enough in the rotation itself, and not before it was looked at, it gives up with the files whole and the service up
    let end = decided(&host, &fleet, 1)?;
    ensure!(end["state"] != "Frozen" || end["failure"]["reason"] == "recovery_failed", "{end:#}");
    served(&host)?;
    Ok(())
}

/// Any account may take a port that the exporter does not have yet.
#[test]
fn the_metrics_come_back_when_another_program_lets_go_of_their_port() -> Result<()> {
    let root = installed("port")?;
    let host = Booted::boot(&root)?;
    host.run("systemctl", &["stop", METRICS])?;
    let other = host.within(|| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, metrics().port()))?))?;
    host.run("systemctl", &["start", "--no-block", METRICS])?;
    let is_tried = || host.property(METRICS, "NRestarts").is_ok_and(|it| it.parse().is_ok_and(|it: u32| it >= TIMES));
    wait::until(DEADLINE, is_tried).with_context(|| format!("it is given up: {}", host.journal()))?;
    drop(other);
    wait::until(DEADLINE, || host.within(|| http::get(metrics(), "/metrics")).is_ok_and(|it| it.status == 200))
        .with_context(|| format!("it stays down: {}", host.journal()))
}
