//! What is published for other exporters, as it is written, on what we publish: rules fire, and dashboards find what docs/compat.md says.

use std::collections::BTreeSet;
use std::fmt::Write as _;
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
use serde::Deserialize;
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
TIMELEFT : 61.5 Minutes\nTONBATT  : 0 Seconds\nITEMP    : 21.0 C\nBATTV    : 27.4 Volts\nNOMBATTV : 24.0 Volts\nNOMINV   : 230 Volts\nSTATFLAG : 0x05000008\n";
const APCUPSD_DYING: &str = "UPSNAME  : dying\nSTATUS   : ONBATT LOWBATT\nLOADPCT  : 95.0 Percent\nBCHARGE  : 7.0 Percent\n\
TIMELEFT : 4.0 Minutes\nTONBATT  : 610 Seconds\nITEMP    : 43.5 C\nSTATFLAG : 0x05000050\n";
const NUT_WELL: &str = "ups.status: OL\nbattery.charge: 100\nbattery.runtime: 1800\nbattery.voltage: 27.1\nbattery.voltage.nominal: 24\n\
battery.packs: 1\ndevice.mfr: APC\ndevice.model: Smart-UPS 1500\ninput.voltage: 101\ninput.voltage.nominal: 100\noutput.voltage: 100\n\
output.voltage.nominal: 100\nups.load: 23\nups.power.nominal: 1500\nups.temperature: 31\n";
const NUT_DYING: &str = "ups.status: OB LB DISCHRG\nbattery.charge: 12\n";

/// An exporter with every set of names, and what it looks at.
struct Scene {
    directory: PathBuf,
    exporter: Exporter,
    _well: Replay,
    _dying: Replay,
    _nut: Nut,
}

impl Scene {
    fn set(name: &str) -> Result<Self> {
        let directory = scratch::directory(name)?;
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
        Ok(Self { directory, exporter, _well: well, _dying: dying, _nut: nut })
    }
}

#[test]
fn published_rules_fire_for_what_they_are_about_and_for_nothing_else() -> Result<()> {
    let Scene { directory, exporter, .. } = &Scene::set("compat")?;
    let metrics = exporter.metrics()?;
    promtool::check("the exporter with every alias set", &metrics)?;
    unit_test_rules(directory, &samples(&metrics))?;
    let prometheus = Prometheus::start(directory, &[exporter.address()], &rules())?;
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

/// A dashboard, or some, with what they ask.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    ids: Vec<u32>,
    made_for: String,
    compat: Option<String>,
    known: String,
    #[serde(default)]
    variables: Vec<String>,
    expressions: Vec<Asked>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    expr: String,
    verdict: Verdict,
    ask: Option<String>,
    why: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Works,
    Renamed,
    Nothing,
    /// The name is there, and says something else.
    Other,
}

fn dashboards() -> Result<Vec<Published>> {
    let file = tools::workspace().join("tests/fixtures/published-dashboards.yaml");
    Ok(serde_yaml::from_str(&fs::read_to_string(file)?)?)
}

#[test]
fn published_dashboards_find_what_the_documentation_says() -> Result<()> {
    let Scene { directory, exporter, .. } = &Scene::set("compat-dashboards")?;
    let prometheus = Prometheus::start(directory, &[exporter.address()], &rules())?;
    // A rate needs two scrapes.
    prometheus.wait_for("rate(process_cpu_seconds_total[1m])", 1)?;
    let found = |expression: &str| {
        let chosen =
            [("$ups", "well"), ("$critical_threshold", "7"), ("$warning_threshold", "28"), ("$list_threshold", "180")];
        let expression = chosen.iter().fold(expression.to_owned(), |text, (name, value)| text.replace(name, value));
        Ok::<_, anyhow::Error>(!prometheus.query(&expression)?.is_empty())
    };
    for dashboard in dashboards()? {
        for variable in &dashboard.variables {
            let asked = variable.strip_prefix("label_values(").and_then(|it| it.strip_suffix(')')?.split_once(", "));
            let (selector, label) = asked.with_context(|| variable.clone())?;
            ensure!(!prometheus.label_values(label, selector)?.is_empty(), "{variable} has no value");
        }
        for Asked { expr, verdict, ask, why } in &dashboard.expressions {
            let is_there = matches!(verdict, Verdict::Works | Verdict::Other);
            ensure!(found(expr)? == is_there, "{expr}: the documentation says otherwise");
            let asks = matches!(verdict, Verdict::Renamed | Verdict::Other);
            ensure!(ask.is_some() == asks, "{expr}: what to ask instead");
            ensure!(why.is_some() == matches!(verdict, Verdict::Nothing | Verdict::Other), "{expr}: why");
            // What holds for no UPS of this scene is a question all the same.
            let ask = ask.as_deref().map(|ask| ask.strip_suffix(" == 1").unwrap_or(ask));
            ensure!(ask.is_none_or(|ask| found(ask).unwrap_or(false)), "{ask:?}, for {expr}, finds nothing");
        }
    }
    Ok(())
}

const DASHBOARDS: [&str; 2] =
    ["<!-- published dashboards: written by make docs -->\n", "<!-- end of published dashboards -->\n"];

#[test]
fn the_documentation_has_every_published_dashboard() -> Result<()> {
    let mut out = String::new();
    for dashboard in dashboards()? {
        let ids: Vec<_> = dashboard.ids.iter().map(ToString::to_string).collect();
        let set = dashboard.compat.map_or_else(|| "no set of `compat`".to_owned(), |set| format!("`compat: [{set}]`"));
        write!(out, "\n### {}\n\nMade for {}; {set}. {}\n\n", ids.join(", "), dashboard.made_for, dashboard.known)?;
        if !dashboard.variables.is_empty() {
            writeln!(out, "Its variables work: `{}`.\n", dashboard.variables.join("`, `"))?;
        }
        writeln!(out, "| it asks | verdict |\n|---|---|")?;
        for Asked { expr, verdict, ask, why } in dashboard.expressions {
            let (ask, why) = (ask.unwrap_or_default(), why.unwrap_or_default());
            let verdict = match verdict {
                Verdict::Works => "works".to_owned(),
                Verdict::Renamed => format!("not there; ask `{ask}`"),
                Verdict::Nothing => format!("finds nothing: {why}"),
                Verdict::Other => format!("is something else: {why}; ask `{ask}`"),
            };
            writeln!(out, "| `{expr}` | {verdict} |")?;
        }
    }
    out.push('\n');
    kagiban_docs::check_part("docs/compat.md", DASHBOARDS, &out)
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
