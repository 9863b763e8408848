//! The rules that are published for other exporters fire on what we publish, as they are written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kagiban_tests::apcupsd::Replay;
use kagiban_tests::exporter::Exporter;
use kagiban_tests::exposition::{Sample, samples};
use kagiban_tests::nut::{Device, Nut};
use kagiban_tests::prometheus::Prometheus;
use kagiban_tests::{process, promtool, scratch, tools};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};

/// A rule, the metric that it looks at, and which of its samples it is about.
type Expectation = (&'static str, &'static str, fn(&Sample) -> bool);

const EXPECTED: [Expectation; 12] = [
    ("EnixCertificateRenewal", "x509_cert_not_after", |sample| sample.label("subject_CN") == "expired"),
    ("EnixCertificateExpiration", "x509_cert_not_after", |sample| sample.label("subject_CN") == "expired"),
    ("SslFileExpiry", "ssl_file_cert_not_after", |sample| sample.label("cn") == "expired"),
    ("ApcupsdChargeLow", "apcupsd_battery_charge_percent", |sample| sample.label("ups") == "dying"),
    ("ApcupsdTimeLeft", "apcupsd_battery_time_left_seconds", |sample| sample.label("ups") == "dying"),
    ("ApcupsdOnBattery", "apcupsd_battery_time_on_seconds", |sample| sample.label("ups") == "dying"),
    ("ApcupsdHot", "apcupsd_internal_temperature_celsius", |sample| sample.label("ups") == "dying"),
    ("ApcupsdLoad", "apcupsd_ups_load_percent", |sample| sample.label("ups") == "dying"),
    ("NutOnBattery", "network_ups_tools_ups_status", |sample| {
        sample.label("ups") == "dying" && sample.label("flag") == "OB"
    }),
    ("NutChargeLow", "network_ups_tools_battery_charge", |sample| sample.label("ups") == "dying"),
    ("Hon95LowBattery", "nut_ups_status", |sample| sample.label("ups") == "dying" && sample.label("status") == "LB"),
    ("Hon95ChargeLow", "nut_battery_charge", |sample| sample.label("ups") == "dying"),
];

/// Of every exporter one UPS that is well, and one that is not.
const APCUPSD_WELL: &str = "UPSNAME  : well\nSTATUS   : ONLINE\nLINEV    : 230.0 Volts\nLOADPCT  : 12.5 Percent\nBCHARGE  : 100.0 Percent\n\
TIMELEFT : 61.5 Minutes\nTONBATT  : 0 Seconds\nITEMP    : 21.0 C\nBATTV    : 27.4 Volts\nNOMBATTV : 24.0 Volts\nSTATFLAG : 0x05000008\n";
const APCUPSD_DYING: &str = "UPSNAME  : dying\nSTATUS   : ONBATT LOWBATT\nLOADPCT  : 95.0 Percent\nBCHARGE  : 7.0 Percent\n\
TIMELEFT : 4.0 Minutes\nTONBATT  : 610 Seconds\nITEMP    : 43.5 C\nSTATFLAG : 0x05000050\n";
const NUT_WELL: &str = "ups.status: OL\nbattery.charge: 100\n";
const NUT_DYING: &str = "ups.status: OB LB DISCHRG\nbattery.charge: 12\n";

#[test]
fn published_rules_fire_for_what_they_are_about_and_for_nothing_else() -> Result<()> {
    let directory = scratch::directory("compat")?;
    certificate(&directory, "expired", (1970, 1, 6))?;
    certificate(&directory, "good", (2100, 1, 1))?;
    let (well, dying) = (Replay::start(APCUPSD_WELL)?, Replay::start(APCUPSD_DYING)?);
    let device = |name, variables| Device { name, description: "", variables };
    let nut = Nut::start(&directory, &[device("well", NUT_WELL), device("dying", NUT_DYING)], None)?;
    let config = format!(
        "compat: [enix, ssl_exporter, apcupsd_exporter, nut_exporter, hon95]\ncertificates:\n  \
         - {{name: fleet, paths: [\"{}/*.pem\"]}}\nups:\n  - {{name: a, apcupsd: {{address: {:?}}}}}\n  \
         - {{name: b, apcupsd: {{address: {:?}}}}}\n  - {{name: nut, nut: {{address: {:?}}}}}\n",
        directory.display(),
        well.address().to_string(),
        dying.address().to_string(),
        nut.address().to_string(),
    );
    let exporter = Exporter::start(&directory, &config, &[])?;
    let metrics = exporter.metrics()?;
    promtool::check("the exporter with every alias set", &metrics)?;
    unit_test_rules(&directory, &samples(&metrics))?;
    let prometheus = Prometheus::start(&directory, &[exporter.address()], &rules())?;
    for (rule, _, _) in EXPECTED {
        prometheus.wait_for(&format!("ALERTS{{alertname={rule:?},alertstate=\"firing\"}}"), 1)?;
    }
    let expected: BTreeSet<_> = EXPECTED.iter().map(|(rule, _, _)| (*rule).to_owned()).collect();
    let firing = prometheus.query("ALERTS{alertstate=\"firing\"}")?;
    let firing: BTreeSet<_> =
        firing.iter().filter_map(|(labels, _)| Some(labels["alertname"].as_str()?.to_owned())).collect();
    ensure!(firing == expected, "firing: {firing:?}");
    Ok(())
}

fn rules() -> PathBuf {
    tools::workspace().join("tests/fixtures/published-alerts.yaml")
}

fn certificate(directory: &Path, name: &str, (year, month, day): (i32, u8, u8)) -> Result<()> {
    let mut params = CertificateParams::new(vec![format!("{name}.example.com")])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(1969, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, month, day);
    let pem = params.self_signed(&KeyPair::generate()?)?.pem();
    Ok(fs::write(directory.join(format!("{name}.pem")), pem)?)
}

/// `promtool test rules` on the samples of a real scrape. Its clock begins with 1970, when the expired certificate had five
/// days left; the real Prometheus sees it long after.
fn unit_test_rules(directory: &Path, scraped: &[Sample]) -> Result<()> {
    let series: Vec<Value> = scraped
        .iter()
        .map(|sample| json!({"series": sample.series(), "values": format!("{}x20", sample.value)}))
        .collect();
    let alert = |(rule, metric, wanted): &Expectation| -> Result<Value> {
        let found: Vec<Value> = scraped
            .iter()
            .filter(|sample| sample.name == *metric && wanted(sample))
            .map(|sample| json!({"exp_labels": sample.labels}))
            .collect();
        ensure!(!found.is_empty(), "{rule}: nothing of {metric} is about it");
        Ok(json!({"eval_time": "15m", "alertname": rule, "exp_alerts": found}))
    };
    let mut alerts = EXPECTED.iter().map(alert).collect::<Result<Vec<_>>>()?;
    let silent = names_of_rules()?.into_iter().filter(|name| EXPECTED.iter().all(|(rule, ..)| rule != name));
    alerts.extend(silent.map(|name| json!({"eval_time": "15m", "alertname": name, "exp_alerts": []})));
    let file = directory.join("rules.test.yaml");
    let test = json!({
        "rule_files": [rules()],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": alerts}],
    });
    fs::write(&file, serde_yaml::to_string(&test)?)?;
    process::run(Command::new(tools::promtool()?).args(["test", "rules"]).arg(file)).map(drop)
}

fn names_of_rules() -> Result<Vec<String>> {
    let text = fs::read_to_string(rules())?;
    let file: Value = serde_yaml::from_str(&text)?;
    let rules = file["groups"][0]["rules"].as_array().context("no rules")?;
    Ok(rules.iter().filter_map(|rule| Some(rule["alert"].as_str()?.to_owned())).collect())
}
