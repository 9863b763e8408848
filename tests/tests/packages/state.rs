//! The state directories of our units on a host that is booted: whose they are, and what a purge takes away.

use std::fs;

use anyhow::{Context, Result, ensure};
use kagiban_tests::booted::Booted;
use kagiban_tests::quickstart::Fleet;
use kagiban_tests::wait;

use super::booted::{
    CONFIG, DEADLINE, HOLD, HOST_API, METRICS, decided, installed, lay_out, order, order_and_hold, served,
};

const STATE: &str = "/var/lib/kagiban";
const STATE_OF_METRICS: &str = "/var/lib/kagiban-metrics";

#[test]
fn each_unit_has_a_state_directory_of_its_own_and_root_obeys_none_of_another_accounts() -> Result<()> {
    let root = installed("state")?;
    let fleet = Fleet::new()?;
    lay_out(&root, &fleet)?;
    root.run("systemctl", &["disable", HOST_API])?;
    root.run("systemctl", &["enable", METRICS])?;
    let host = Booted::boot(&root)?;
    let owner = |directory: &str| host.run("stat", &["--format=%U %a", directory]);
    ensure!(owner(STATE_OF_METRICS)? == "kagiban 700\n", "{}", host.journal());
    ensure!(!root.at(STATE).exists(), "it is root's unit's");
    // It finds that of the unit that runs.
    let shown = || host.run("kagiban-exporter", &["shutdown", "show"]);
    ensure!(shown()?.contains("(state directory /var/lib/kagiban-metrics"), "{}", shown()?);

    // As a unit before this one has left it, with a journal that the account has written.
    host.run("systemctl", &["stop", METRICS])?;
    host.run("install", &["-d", "-o", "kagiban", "-g", "kagiban", "-m", "700", STATE, "/var/lib/kagiban/journal"])?;
    let planted = root.at("/var/lib/kagiban/journal/web.json");
    fs::write(&planted, "{}")?;
    host.run("chown", &["kagiban:kagiban", "/var/lib/kagiban/journal/web.json"])?;
    host.run("systemctl", &["start", HOST_API])?;
    let is_refused = || host.journal().contains("others own it or may write in it");
    wait::until(DEADLINE, is_refused).with_context(|| host.journal())?;
    ensure!(owner(STATE)? == "kagiban 700\n", "root has taken over what another account has written");
    ensure!(fs::read_to_string(&planted)? == "{}" && order(&host, &fleet, 1).is_err(), "root obeys it");

    host.run("rm", &["-rf", STATE])?;
    host.run("systemctl", &["restart", HOST_API])?;
    ensure!(owner(STATE)? == "root 700\n", "{}", host.journal());
    ensure!(shown()?.contains("(state directory /var/lib/kagiban)"), "{}", shown()?);
    order(&host, &fleet, 1)?;
    let end = decided(&host, &fleet, 1)?;
    ensure!(end["state"] == "Committed", "{end:#}\n{}", host.journal());
    Ok(())
}

#[test]
fn a_purge_leaves_no_old_key_behind_unsaid_and_does_not_fail_at_a_mount_point() -> Result<()> {
    let root = installed("purged")?;
    let fleet = Fleet::new()?;
    lay_out(&root, &fleet)?;
    let host = Booted::boot(&root)?;
    served(&host)?;
    order_and_hold(&host, &fleet, 1)?;
    host.run("systemctl", &["kill", "--kill-who=main", "--signal=KILL", HOST_API])?;
    host.run("systemctl", &["stop", HOST_API])?;
    fs::remove_file(root.at(HOLD))?;

    // Its private key lies beside the new one, and nobody can tell which of them is served.
    let said = host.run("bash", &["-c", "dpkg --purge kagiban-exporter 2>&1"])?;
    let beside: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("beside: ")).collect();
    ensure!(beside.iter().any(|path| path.starts_with("/etc/web/.tls.key.")), "{said}");
    ensure!(beside.iter().all(|path| root.at(path).exists()), "{said}");
    ensure!(root.at("/var/lib/kagiban/journal/web.json").exists() && !root.at(STATE_OF_METRICS).exists(), "{said}");

    // As it says.
    host.run("bash", &["-c", "dpkg --install /root/1.deb 2>&1"])?;
    fs::write(root.at("/etc/kagiban/exporter.yaml"), CONFIG)?;
    host.run("systemctl", &["disable", "--now", METRICS])?;
    host.run("systemctl", &["start", HOST_API])?;
    host.run("kagiban-exporter", &["rotation", "wait", "--timeout=120"]).with_context(|| host.journal())?;
    ensure!(beside.iter().all(|path| !root.at(path).exists()), "{beside:?} are left");

    host.run("mkdir", &["-p", "/var/lib/kagiban/mounted"])?;
    host.run("mount", &["-t", "tmpfs", "none", "/var/lib/kagiban/mounted"])?;
    let said = host.run("bash", &["-c", "dpkg --purge kagiban-exporter 2>&1"])?;
    ensure!(said.contains("/var/lib/kagiban is not removed whole"), "{said}");
    ensure!(
        !root.at("/var/lib/kagiban/journal").exists() && !root.at("/var/lib/kagiban.unfinished").exists(),
        "{said}"
    );
    Ok(())
}
