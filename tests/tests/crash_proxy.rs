//! The proxy that kills the operator does so where it says: else the crash tests show nothing.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::crash_proxy::{CrashProxy, Moment};
use kagiban_tests::kubectl::Kubectl;
use kagiban_tests::process::Program;
use kagiban_tests::{scratch, wait};

#[test]
fn the_victim_dies_on_the_side_of_the_write_that_was_asked_for() -> Result<()> {
    let plane = ControlPlane::shared()?;
    let directory = scratch::directory("crash-proxy")?;
    let proxy = CrashProxy::start(plane.admin_kubeconfig(), &directory)?;
    let through = Kubectl::new(proxy.kubeconfig())?;
    for (moment, name, arrives) in
        [(Moment::BeforeTheServerSeesIt, "unseen", false), (Moment::BeforeTheAnswerIsHeard, "unheard", true)]
    {
        let mut victim = Program::start("victim", Command::new("sleep").arg("600"), &directory)?;
        proxy.kill_at(victim.id(), 2, moment);
        through.run(&["get", "namespaces"])?;
        through.run(&["create", "namespace", &format!("first-{name}")])?;
        ensure!(victim.is_running(), "{moment:?}: killed at the first write");
        let _ = through.run(&["create", "namespace", name]);
        wait::until(Duration::from_secs(5), || !victim.is_running())?;
        ensure!(plane.admin()?.run(&["get", "namespace", name]).is_ok() == arrives, "{moment:?}");
    }
    Ok(())
}
