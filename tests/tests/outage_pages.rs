//! One power cut of a rack is one page: a real Prometheus evaluates the shipped rules over twenty hosts, a real Alertmanager has the
//! example's configuration. What is shortened, by the test alone: each `for:` and wait is a sixtieth or less.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_tests::alertmanager::Alertmanager;
use kagiban_tests::exporter::{Exporter, sample};
use kagiban_tests::nut::{Device, Nut};
use kagiban_tests::prometheus::Prometheus;
use kagiban_tests::{answering, rules, scratch, tools, wait};
use serde_json::{Value, json};

const HOSTS: usize = 20;
const DEADLINE: Duration = Duration::from_secs(120);
const ON_LINE: &str = "ups.status: OL\nups.timer.shutdown: -1\n";
const ON_BATTERY: &str = "ups.status: OB DISCHRG\n";
const LOW: &str = "ups.status: OB LB\n";
const PENDING: [&str; 2] =
    ["ups.status: OB LB\nups.timer.shutdown: 297\n", "ups.status: OB LB\nups.timer.shutdown: 287\n"];
const BEGUN: &str = "ups.status: FSD OB LB\n";

/// What each host of a rack answers; no page is a host that is off.
type Racks = Arc<Mutex<BTreeMap<&'static str, Option<String>>>>;
/// Receiver, state, alert, rack: one for each alert of each message.
type Told = Arc<Mutex<Vec<[String; 4]>>>;

#[test]
fn one_power_cut_of_a_rack_is_one_message_one_page_and_one_all_clear() -> Result<()> {
    let directory = scratch::directory("outage-pages")?;
    let nut = Nut::start(&directory, &[Device { name: "a", description: "", variables: ON_LINE }], None)?;
    let exporter = start_exporter(&directory, nut.address(), "boot-1")?;
    let on_line = exporter.metrics_when("on line", |page| in_state(page, "none"))?;
    let racks: Racks =
        Arc::new(Mutex::new(["a", "b", "c"].into_iter().map(|rack| (rack, Some(on_line.clone()))).collect()));
    let told = Told::default();
    let (asked, heard) = (Arc::clone(&racks), Arc::clone(&told));
    let server = answering::start(move |path, body| {
        if let Some(receiver) = path.strip_prefix("/to/") {
            record(&heard, receiver, body);
            return Some(String::new());
        }
        locked(&asked).get(path.get(1..2)?)?.clone()
    })?;
    let alertmanager = Alertmanager::start(&directory, &alertmanager_config(server)?)?;
    let prometheus =
        Prometheus::start_with(&directory, &prometheus_config(&directory, server, alertmanager.address())?)?;
    prometheus.wait_for("up == 1", HOSTS + 2)?;
    prometheus.wait_for("count_over_time(host_shutdown_state{state=\"none\"}[1d])", HOSTS + 2)?;

    // The mains go.
    nut.set("a", ON_BATTERY)?;
    show(&racks, &exporter, "ups_on_battery")?;
    prometheus.wait_for(&firing("KagibanUpsOnBattery"), HOSTS)?;
    wait_told(&told, ["chat", "firing", "KagibanRackOnBattery", "a"])?;
    // Another rack is not hidden meanwhile.
    let silent = without_ups(&on_line);
    locked(&racks).insert("b", Some(silent.clone()));
    wait_told(&told, ["chat", "firing", "KagibanUpsSilent", "b"])?;
    nut.set("a", LOW)?;
    show(&racks, &exporter, "ups_low_battery")?;
    prometheus.wait_for(&firing("KagibanUpsLowBattery"), HOSTS)?;
    wait_told(&told, ["page", "firing", "KagibanRackShutdown", "a"])?;
    // A countdown is one once its number has fallen.
    nut.set("a", PENDING[0])?;
    looks_later(&exporter)?;
    nut.set("a", PENDING[1])?;
    show(&racks, &exporter, "ups_pending")?;
    prometheus.wait_for(&firing("KagibanShutdownPending"), HOSTS)?;
    nut.set("a", BEGUN)?;
    show(&racks, &exporter, "in_progress")?;
    prometheus.wait_for(&firing("KagibanShutdownInProgress"), HOSTS)?;
    // They are off.
    locked(&racks).insert("a", None);
    prometheus.wait_for(&firing("KagibanHostSilentAfterShutdown"), HOSTS)?;
    prometheus.wait_for(&firing("KagibanExporterGone"), 0)?;
    // The power is back, and they boot.
    drop((exporter, nut));
    let booted = directory.join("boot-2");
    fs::create_dir(&booted)?;
    let nut = Nut::start(&booted, &[Device { name: "a", description: "", variables: ON_LINE }], None)?;
    let exporter = start_exporter(&booted, nut.address(), "state")?;
    show(&racks, &exporter, "none")?;
    prometheus.wait_for("ALERTS{alertstate=\"firing\",rack=\"a\"}", 0)?;
    wait_told(&told, ["page", "resolved", "KagibanRackShutdown", "a"])?;
    // What came before this would have been told before it: all groups wait as long.
    locked(&racks).insert("c", Some(silent));
    wait_told(&told, ["chat", "firing", "KagibanUpsSilent", "c"])?;

    let expected = [
        ["chat", "firing", "KagibanRackOnBattery", "a"],
        ["chat", "firing", "KagibanUpsSilent", "b"],
        ["page", "firing", "KagibanRackShutdown", "a"],
        ["page", "resolved", "KagibanRackShutdown", "a"],
        ["chat", "firing", "KagibanUpsSilent", "c"],
    ];
    let told = locked(&told).clone();
    ensure!(told == expected.map(|words| words.map(str::to_owned)), "told: {told:#?}");
    Ok(())
}

fn start_exporter(directory: &Path, upsd: SocketAddr, boot: &str) -> Result<Exporter> {
    let here = directory.display();
    let config = format!(
        "discovery: {{enabled: false}}\nstateDirectory: {here}/{boot}\npower: {{scheduledShutdownFile: {here}/scheduled}}\n\
         shutdown: {{interval: 1s}}\nups:\n  - {{name: a, interval: 1s, nut: {{address: {:?}, ups: a}}}}\n",
        upsd.to_string()
    );
    // No bus of this machine has a say.
    Exporter::start_with(directory, &config, &[], &[("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")])
}

fn in_state(page: &str, state: &str) -> bool {
    sample(page, "host_shutdown_state", &[&format!("state=\"{state}\"")]) == Some(1.0)
}

/// The driver and the exporter look once a second each.
fn looks_later(exporter: &Exporter) -> Result<()> {
    let looked = |page: &str| sample(page, "ups_last_success_timestamp_seconds", &[]);
    let before = looked(&exporter.metrics()?).context("upsd answers")?;
    exporter.metrics_when("some looks later", |page| looked(page) > Some(before + 5.0)).map(drop)
}

/// Lets every host of the rack say what the one real exporter says, once that is in this state.
fn show(racks: &Racks, exporter: &Exporter, state: &str) -> Result<()> {
    let page = exporter.metrics_when(state, |page| in_state(page, state))?;
    locked(racks).insert("a", Some(page));
    Ok(())
}

/// The page of a host that does not hear its UPS.
fn without_ups(page: &str) -> String {
    let line = |line: &str| match line.split_once('{') {
        Some(("ups_up", _)) => Some(line.replace("} 1", "} 0")),
        Some((name, _)) if name.starts_with("ups_") => None,
        _ => Some(line.to_owned()),
    };
    page.lines().filter_map(line).map(|line| line + "\n").collect()
}

fn firing(alert: &str) -> String {
    format!("ALERTS{{alertname={alert:?},alertstate=\"firing\",rack=\"a\"}}")
}

fn prometheus_config(directory: &Path, server: SocketAddr, alertmanager: SocketAddr) -> Result<String> {
    let hurried = directory.join("rules");
    fs::create_dir(&hurried)?;
    let host = |rack: &str, number: usize| {
        let name = format!("host-{rack}-{number:02}:9996");
        json!({"targets": [server.to_string()],
               "labels": {"rack": rack, "instance": name, "__metrics_path__": format!("/{rack}/{number}")}})
    };
    let hosts: Vec<_> = (0..HOSTS).map(|n| host("a", n)).chain([host("b", 0), host("c", 0)]).collect();
    Ok(json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": rules::hurried(&hurried)?,
        "scrape_configs": [{"job_name": "fleet", "static_configs": hosts}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.to_string()]}]}]},
    })
    .to_string())
}

/// The example, with its waits shortened and the test as the one who is called.
fn alertmanager_config(server: SocketAddr) -> Result<String> {
    let text = fs::read_to_string(tools::workspace().join("examples/alertmanager/alertmanager.yml"))?;
    let mut config: Value = serde_yaml::from_str(&text)?;
    config["route"]["group_wait"] = json!("3s");
    config["route"]["group_interval"] = json!("3s");
    for receiver in config["receivers"].as_array_mut().context("no receivers")? {
        let url = format!("http://{server}/to/{}", receiver["name"].as_str().context("no name")?);
        receiver["webhook_configs"][0]["url"] = json!(url);
    }
    Ok(config.to_string())
}

fn record(told: &Told, receiver: &str, body: &str) {
    let message: Value = serde_json::from_str(body).unwrap_or_default();
    let alerts = message["alerts"].as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let of = |alert: &Value| {
        [
            receiver.to_owned(),
            word(&alert["status"]),
            word(&alert["labels"]["alertname"]),
            word(&alert["labels"]["rack"]),
        ]
    };
    locked(told).extend(alerts.iter().map(of));
}

fn wait_told(told: &Told, wanted: [&str; 4]) -> Result<()> {
    wait::until(DEADLINE, || locked(told).iter().any(|words| *words == wanted))
        .with_context(|| format!("not told: {wanted:?}; told: {:?}", locked(told)))
}

fn locked<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
