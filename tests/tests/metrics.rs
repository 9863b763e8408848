//! What Prometheus reads: `promtool` finds no fault, and the certificate that is served is the one that is shown, and the rules
//! ask for nothing else than what is there.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use kagiban_tests::exporter::Exporter;
use kagiban_tests::exposition::samples;
use kagiban_tests::keystore::StoreType;
use kagiban_tests::nut::{Device, Nut};
use kagiban_tests::operator::Operator;
use kagiban_tests::stage::{RESYNC, Scene, Stage};
use kagiban_tests::standalone::Standalone;
use kagiban_tests::{promql, promtool, rules, scratch, wait};

#[test]
fn promtool_finds_no_fault_and_the_new_certificate_shows() -> Result<()> {
    let scene = Scene {
        store_type: StoreType::Jks,
        password: "store-password".to_owned(),
        deletes_credentials: false,
        secret_password: None,
    };
    let stage = Stage::set("metrics", &scene)?;
    stage.apply()?;
    let status = stage.wait_committed(1)?;
    let serial = status["leaf"]["serial"].as_str().context("no serial in the status")?;
    let shown = || {
        let metrics = stage.host.metrics().unwrap_or_default();
        metrics.lines().filter(|line| line.starts_with("x509_cert_not_after") && line.contains(serial)).count() > 0
    };
    wait::until(std::time::Duration::from_secs(90), shown).with_context(|| {
        format!("serial {serial} is not in the exporter's metrics:\n{}", stage.host.metrics().unwrap_or_default())
    })?;
    promtool::check("exporter", &stage.host.metrics()?)?;
    promtool::check("operator", &stage.operator.metrics()?)?;
    every_name_in_a_rule_is_published(&stage)
}

/// Series that are there only while something is wrong, or where a part is configured that this host has not.
const ABSENT_HERE: [(&str, &str); 13] = [
    ("kagiban_agent_function_up", "of an agent that is asked whether it does its work"),
    ("kagiban_certificate_blocked", "while a rotation is blocked"),
    ("kagiban_client_log_known_until_timestamp_seconds", "where the log of clients is exported"),
    ("kagiban_client_last_server_authentication_failure_timestamp_seconds", "where the log of clients is exported"),
    ("kagiban_clients_not_repaired", "where the clients of a server are repaired"),
    ("kagiban_clients_without_certificate", "where a product lists its clients"),
    ("kagiban_product_affected", "where a product is one that its vendor's notice speaks of"),
    ("kagiban_product_certificate_not_after_timestamp_seconds", "where PowerChute Business Edition is installed"),
    ("kagiban_rotation_failure_info", "after a rotation that failed"),
    ("kagiban_skysea_authentication_failures", "where SKYSEA Client View is looked at"),
    ("kagiban_skysea_engine_stop_forecast_timestamp_seconds", "where SKYSEA Client View is looked at"),
    ("kagiban_ups_check", "for a UPS that is asked by SNMP v3"),
    ("kagiban_web_config_last_reload_successful", "with --web.config.file"),
];

fn every_name_in_a_rule_is_published(stage: &Stage) -> Result<()> {
    let directory = scratch::directory("metrics-ups")?;
    let variables = "ups.status: OL\nups.test.result: Done and passed\n";
    let nut = Nut::start(&directory, &[Device { name: "a", description: "", variables }], None)?;
    let config = format!(
        "discovery: {{enabled: false}}\nups:\n  - {{name: a, nut: {{address: {:?}}}}}\ntlsEndpoints:\n  - {{name: closed, address: \"127.0.0.1:1\"}}\n",
        nut.address().to_string()
    );
    let with_ups = Exporter::start(&directory, &config, &[])?;
    let standalone = Standalone::new(&directory)?;
    let without_cluster = Operator::start_standalone(&directory, &standalone, RESYNC, &[])?;
    let pages =
        [stage.host.metrics()?, stage.operator.metrics()?, with_ups.metrics()?, without_cluster.metrics()?].concat();
    // Prometheus itself makes `up`.
    let mut published: BTreeSet<_> = samples(&pages).into_iter().map(|sample| sample.name).collect();
    published.insert("up".to_owned());
    for rule in rules::all()? {
        let named = promql::metrics_of(rule["expr"].as_str().context("no expr")?);
        ensure!(!named.is_empty(), "no metric in {rule}");
        for name in named {
            let absent = ABSENT_HERE.iter().any(|(absent, _)| *absent == name);
            ensure!(published.contains(&name) != absent, "{}: {name} (listed as absent: {absent})", rule["alert"]);
        }
    }
    Ok(())
}
