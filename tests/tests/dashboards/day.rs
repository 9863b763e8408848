//! A day of a small fleet in two minutes: a rotation that is committed, one that is rolled back, one that waits for a UPS on battery, an outage, a UPS that
//! falls silent, a server that renews its own certificate, and clients that are given theirs, while a real Prometheus scrapes the real exporters and the real operator.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use kagiban_tests::keystore::StoreType;
use kagiban_tests::nut::{Device, Nut};
use kagiban_tests::prometheus::{Prometheus, Series};
use kagiban_tests::quickstart::{HOST, RESOURCE};
use kagiban_tests::snmpd::{COMMUNITY, Snmpd};
use kagiban_tests::stage::{Scene, Stage};
use kagiban_tests::{scratch, wait};
use serde_json::{Value, json};

use super::products::{LEFT, Products, RENEWED};

const DEADLINE: Duration = Duration::from_secs(120);
const UPS: &str = "ups-a";
const SPARE: &str = "ups-b";
const DETAILS: &str = "device.mfr: American Power Conversion\ndevice.model: Smart-UPS 1500\ndevice.serial: AS0123456789\n\
    battery.charge: 100\nbattery.runtime: 2400\nups.load: 23\ninput.voltage: 101\noutput.voltage: 100\nbattery.temperature: 27\n\
    battery.date: 2024/05/01\nups.test.result: Done and passed\n";
const ON_LINE: &str = "ups.status: OL CHRG\n";
const ON_BATTERY: &str = "ups.status: OB DISCHRG\nbattery.charge: 61\nbattery.runtime: 900\n";
/// The card of a UPS that is on line, with a normal battery.
const CARD: &str = ".1.3.6.1.4.1.318.1.1.1.1.1.1.0 string Smart-UPS 3000\n.1.3.6.1.4.1.318.1.1.1.2.1.1.0 integer 2\n\
    .1.3.6.1.4.1.318.1.1.1.2.2.1.0 gauge 100\n.1.3.6.1.4.1.318.1.1.1.4.1.1.0 integer 2\n";
const LOW: &str = "ups.status: OB LB\nbattery.charge: 12\nbattery.runtime: 180\n";

/// What has happened, and who remembers it.
pub(super) struct Day {
    pub(super) prometheus: Prometheus,
    /// Seconds since 1970 of the first scrape and of the last.
    pub(super) began: f64,
    pub(super) ended: f64,
    /// Every page of the operator and of the hosts that was looked at, one after another.
    pub(super) pages: String,
    /// Nothing of it ends before all was asked: what ends is gone from the newest scrape.
    _running: (Stage, Products, Nut, Snmpd),
}

impl Day {
    pub(super) fn lived() -> Result<Self> {
        let mut stage = Stage::set("dashboards", &scene())?;
        let directory = scratch::directory("dashboards-power")?;
        let device = |name| Device { name, description: "", variables: ON_LINE };
        let mut nut = Nut::start(&directory, &[device(UPS), device(SPARE)], None)?;
        nut.set(UPS, &said(ON_LINE))?;
        nut.set(SPARE, &said(ON_LINE))?;
        let card = Snmpd::start(&directory.join("card"), CARD)?;
        fs::write(directory.join("community"), COMMUNITY)?;
        feed_host(&mut stage, &nut, &card, &directory.join("community"))?;
        let products = Products::start(&stage.fleet)?;
        let prometheus = Prometheus::start_with(&directory, &scraping(&stage, &products)?)?;
        let began = now()?;
        let mut pages = String::new();
        let seen = |expression: &str| prometheus.wait_for(expression, 1);

        seen("kagiban_clients_repair_held{reason=\"power_unsafe\"} == 1")?;
        products.let_clients_be_repaired()?;
        stage.apply()?;
        stage.wait_committed(1)?;
        seen("kagiban_rotation_state{state=\"committed\"} == 1")?;
        stage.keeper.apply(products.resource()?)?;
        stage.host.exporter()?.kill()?;
        stage.wait_status(|status| status["blockedBy"] == "HostUnreachable")?;
        seen("up{job=\"kagiban-hosts\"} == 0")?;
        stage.host.start_exporter()?;
        stage.wait_status(|status| status["blockedBy"].is_null())?;

        stage.host.agent.fail_starts(1)?;
        stage.annotate("an-agent-that-does-not-start")?;
        stage.wait_status(|status| status["rotation"]["state"] == "RolledBack")?;
        seen("kagiban_rotation_failure_info")?;
        pages += &page(&stage)?;

        nut.set(UPS, &said(ON_BATTERY))?;
        seen("host_shutdown_state{state=\"ups_on_battery\"} == 1")?;
        // Asked for and due at once, and not to be done.
        stage.annotate("again")?;
        renew_before(&stage, "2159h59m59s")?;
        stage.wait_status(|status| status["blockedBy"] == "OnBattery")?;
        seen("kagiban_certificate_blocked{reason=\"OnBattery\"}")?;
        nut.set(UPS, &said(LOW))?;
        seen("host_shutdown_state{state=\"ups_low_battery\"} == 1")?;
        schedule_shutdown(stage.host.scheduled_shutdown_file().as_path())?;
        seen("host_shutdown_scheduled_timestamp_seconds")?;
        pages += &page(&stage)?;
        fs::remove_file(stage.host.scheduled_shutdown_file())?;
        seen("kagiban_certificate_renewal_timestamp_seconds < time()")?;
        renew_before(&stage, "720h")?;
        nut.set(UPS, &said(ON_LINE))?;
        stage.wait_committed(3)?;

        nut.kill_driver(SPARE)?;
        seen("ups_up == 0")?;
        seen(&format!("kagiban_clients_without_certificate == {LEFT}"))?;
        seen(&format!("kagiban_certificate_ready{{product={:?},status=\"True\"}} == 1", RENEWED.id()))?;
        pages += &page(&stage)?;
        pages += &products.pages()?;
        // The newest scrape lies between two steps.
        let ended = now()? + 1.0;
        Ok(Self { prometheus, began, ended, pages, _running: (stage, products, nut, card) })
    }

    /// The series that have samples at some time of this day.
    pub(super) fn over_the_day(&self, expression: &str) -> Result<Vec<Series>> {
        let found = self.prometheus.query_range(expression, self.began, self.ended)?;
        Ok(found.into_iter().filter(|series| !series.samples.is_empty()).collect())
    }
}

fn scene() -> Scene {
    Scene {
        store_type: StoreType::Jks,
        password: "store-password".to_owned(),
        deletes_credentials: false,
        secret_password: None,
    }
}

/// A reading as a driver gives it: what the line says stands for what it usually says.
fn said(words: &str) -> String {
    let names: Vec<_> = words.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let rest = DETAILS.lines().filter(|line| !names.iter().any(|name| line.starts_with(&format!("{name}:"))));
    rest.map(|line| format!("{line}\n")).chain([words.to_owned()]).collect()
}

/// Two UPSes of upsd that the host needs both, and one that is asked by a version of SNMP that hardening advises against.
fn feed_host(stage: &mut Stage, nut: &Nut, card: &Snmpd, community: &Path) -> Result<()> {
    stage.host.exporter()?.kill()?;
    let scheduled = stage.host.scheduled_shutdown_file();
    stage.host.configure(|config| {
        let ups = |name: &str| json!({"name": name, "interval": "1s", "nut": {"address": nut.address().to_string(), "ups": name}});
        let by_snmp = json!({"address": card.address(), "version": "v2c", "communityFile": community});
        config["ups"] = json!([ups(UPS), ups(SPARE), {"name": "ups-card", "interval": "1s", "snmp": by_snmp}]);
        config["feeds"] = json!([{"name": "server", "ups": [UPS, SPARE], "minHealthy": 2}]);
        // What cannot be looked at is told, too.
        let nowhere = config["tlsEndpoints"].as_array_mut().map(|all| all.push(json!({"address": "127.0.0.1:1"})));
        let missing = config["certificates"].as_array_mut().map(|all| all.push(json!({"name": "missing", "paths": ["/nonexistent.pem"]})));
        debug_assert!(nowhere.and(missing).is_some(), "a host has both lists");
        config["power"] = json!({"scheduledShutdownFile": scheduled});
        config["shutdown"] = json!({"interval": "1s"});
    })?;
    stage.host.start_exporter()
}

fn renew_before(stage: &Stage, time: &str) -> Result<()> {
    let patch = json!({"spec": {"certificate": {"renewBefore": time}}}).to_string();
    stage.kubectl().run(&["patch", "mac", RESOURCE, "--type=merge", "-p", &patch]).map(drop)
}

/// As the chart has it: what the operator says of a resource's namespace stands, and a host is asked by its name.
fn scraping(stage: &Stage, products: &Products) -> Result<String> {
    let job = |name: &str, honor: bool, targets: Vec<Value>| json!({"job_name": name, "honor_labels": honor, "static_configs": targets});
    let address = |address: SocketAddr| vec![address.to_string()];
    let operator = json!({"targets": address(stage.operator.metrics_address())});
    let host = |(name, metrics): (&str, SocketAddr)| json!({"targets": address(metrics), "labels": {"instance": format!("{name}:9996")}});
    let mut hosts = products.exporters()?;
    hosts.push((HOST, stage.host.metrics_address()));
    let hosts = hosts.into_iter().map(host).collect();
    let jobs = [job("kagiban-operator", true, vec![operator]), job("kagiban-hosts", false, hosts)];
    Ok(json!({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}).to_string())
}

pub(super) fn schedule_shutdown(file: &Path) -> Result<()> {
    let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() + 86_400_000_000;
    Ok(fs::write(file, format!("USEC={at}\nWARN_WALL=1\nMODE=reboot\n"))?)
}

fn page(stage: &Stage) -> Result<String> {
    let page = || Some(stage.operator.metrics().ok()? + &stage.host.metrics().ok()?);
    wait::for_some(DEADLINE, page).context("the operator and the host show their metrics")
}

pub(super) fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}
