//! What Prometheus reads: `promtool` finds no fault, and the certificate that is served is the one that is shown.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use kagiban_tests::keystore::StoreType;
use kagiban_tests::stage::{Scene, Stage};
use kagiban_tests::{tools, wait};

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
    check("exporter", &stage.host.metrics()?)?;
    check("operator", &stage.operator.metrics()?)
}

fn check(whose: &str, metrics: &str) -> Result<()> {
    let mut promtool = Command::new(tools::promtool()?)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    promtool.stdin.take().context("promtool has no standard input")?.write_all(metrics.as_bytes())?;
    let output = promtool.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{whose}: {}", String::from_utf8_lossy(&said));
    Ok(())
}
