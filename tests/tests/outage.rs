//! An outage from its beginning to the next boot, told by a real upsd and by the file of a scheduled shutdown.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kagiban_tests::exporter::{Exporter, sample};
use kagiban_tests::nut::{Device, Nut};
use kagiban_tests::{promtool, scratch};

const ON_LINE: &str = "ups.status: OL\nbattery.runtime: 1200\nups.timer.shutdown: -1\n";
const FEEDING: Device<'_> = Device { name: "feeding", description: "rack A", variables: ON_LINE };
/// It feeds another host, and is in the worst of states all the while.
const OTHER: Device<'_> = Device { name: "other", description: "rack B", variables: "ups.status: FSD OB LB\n" };

const STATES: [&str; 10] = [
    "none",
    "testing",
    "cancelled",
    "comms_lost",
    "scheduled",
    "ups_on_battery",
    "ups_low_battery",
    "ups_pending",
    "in_progress",
    "powered_off",
];

#[test]
fn an_outage_is_followed_to_the_next_boot_though_power_returns_and_the_exporter_is_started_again() -> Result<()> {
    let directory = scratch::directory("outage")?;
    let nut = Nut::start(&directory, &[FEEDING, OTHER], None)?;
    let exporter = Exporter::start(&directory, &config(&nut, &directory), &[])?;
    ensure_state(&exporter, "none", 0.0)?;
    for (variables, state, pending) in [
        ("ups.status: OB DISCHRG CAL\n", "testing", 0.0),
        ("ups.status: OB DISCHRG\nbattery.runtime: 600\n", "ups_on_battery", 0.0),
        ("ups.status: OB LB DISCHRG\nbattery.runtime: 90\n", "ups_low_battery", 0.0),
        ("ups.status: OB LB DISCHRG\nups.timer.shutdown: 90\n", "ups_pending", 1.0),
        ("ups.status: FSD OB LB\n", "in_progress", 1.0),
    ] {
        nut.set("feeding", variables)?;
        ensure_state(&exporter, state, pending)?;
    }
    let metrics = exporter.metrics()?;
    ensure!(sample(&metrics, "host_shutdown_trigger", &["trigger=\"nut_fsd\""]) == Some(1.0), "{metrics}");
    nut.set("feeding", ON_LINE)?;
    let on_line = &["ups=\"feeding\"", "status=\"online\""];
    exporter.metrics_when("power is back", |metrics| sample(metrics, "ups_status", on_line) == Some(1.0))?;
    ensure_state(&exporter, "in_progress", 1.0)?;
    drop(exporter);

    let exporter = Exporter::start(&directory, &config(&nut, &directory), &[])?;
    ensure_state(&exporter, "in_progress", 1.0)?;
    drop(exporter);

    let kept = directory.join("state/shutdown.json");
    let record: serde_json::Value = serde_json::from_str(&fs::read_to_string(&kept)?)?;
    let boot = record["bootId"].as_str().context("a boot id is kept")?;
    fs::write(&kept, record.to_string().replace(boot, "00000000-0000-4000-8000-000000000000"))?;
    let exporter = Exporter::start(&directory, &config(&nut, &directory), &[])?;
    ensure_state(&exporter, "none", 0.0)
}

#[test]
fn a_ups_whose_driver_dies_while_it_counts_down_has_gone_off() -> Result<()> {
    let directory = scratch::directory("outage-silence")?;
    let mut nut = Nut::start(&directory, &[FEEDING], None)?;
    let exporter = Exporter::start(&directory, &config(&nut, &directory), &[])?;
    nut.set("feeding", "ups.status: OB LB\nups.timer.shutdown: 90\n")?;
    ensure_state(&exporter, "ups_pending", 1.0)?;
    nut.kill_driver("feeding")?;
    ensure_state(&exporter, "powered_off", 1.0)
}

#[test]
fn a_link_that_is_lost_on_line_is_a_state_of_its_own() -> Result<()> {
    let directory = scratch::directory("outage-link")?;
    let mut nut = Nut::start(&directory, &[FEEDING], None)?;
    let exporter = Exporter::start(&directory, &config(&nut, &directory), &[])?;
    ensure_state(&exporter, "none", 0.0)?;
    nut.kill_driver("feeding")?;
    ensure_state(&exporter, "comms_lost", 0.0)
}

#[test]
fn a_schedule_counts_behind_an_outage_and_calling_it_off_is_told_once_power_is_back() -> Result<()> {
    let directory = scratch::directory("outage-schedule")?;
    let nut = Nut::start(&directory, &[FEEDING], None)?;
    let exporter = Exporter::start(&directory, &config(&nut, &directory), &[])?;
    let file = directory.join("scheduled");
    fs::write(&file, "USEC=4000000000000000\nMODE=reboot\n")?;
    ensure_state(&exporter, "scheduled", 1.0)?;
    let at = sample(&exporter.metrics()?, "host_shutdown_scheduled_timestamp_seconds", &["type=\"reboot\""]);
    ensure!(at == Some(4e9), "{at:?}");
    nut.set("feeding", "ups.status: OB\n")?;
    ensure_state(&exporter, "ups_on_battery", 1.0)?;
    fs::remove_file(&file)?;
    ensure_state(&exporter, "ups_on_battery", 0.0)?;
    nut.set("feeding", ON_LINE)?;
    ensure_state(&exporter, "cancelled", 0.0)?;
    ensure!(sample(&exporter.metrics()?, "host_shutdown_cancelled_total", &[]) == Some(1.0));
    Ok(())
}

/// `other` is asked too, and feeds another host.
fn config(nut: &Nut, directory: &Path) -> String {
    let (address, file) = (nut.address(), directory.join("scheduled"));
    format!(
        "discovery: {{enabled: false}}\nshutdown: {{interval: 1s}}\n\
         power: {{scheduledShutdownFile: {}}}\nups:\n  \
         - {{name: feeding, interval: 1s, nut: {{address: \"{address}\", ups: feeding}}}}\n  \
         - {{name: other, interval: 1s, feedsHost: false, nut: {{address: \"{address}\", ups: other}}}}\n",
        file.display()
    )
}

/// Exactly one state holds, once it is this one.
fn ensure_state(exporter: &Exporter, state: &str, pending: f64) -> Result<()> {
    let is = |metrics: &str, state: &str| sample(metrics, "host_shutdown_state", &[&format!("state=\"{state}\"")]);
    let metrics = exporter.metrics_when(state, |metrics| {
        is(metrics, state) == Some(1.0) && sample(metrics, "host_shutdown_pending", &[]) == Some(pending)
    })?;
    let holding: Vec<_> = STATES.into_iter().filter(|each| is(&metrics, each) == Some(1.0)).collect();
    ensure!(holding == [state], "{holding:?} hold at once");
    promtool::check(state, &metrics)
}
