//! What Prometheus reads: `promtool` finds no fault, and the certificate that is served is the one that is shown.

use anyhow::{Context, Result};
use kagiban_tests::keystore::StoreType;
use kagiban_tests::stage::{Scene, Stage};
use kagiban_tests::{promtool, wait};

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
    promtool::check("operator", &stage.operator.metrics()?)
}
