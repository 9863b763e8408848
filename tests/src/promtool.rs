//! What Prometheus's own tool says of what we publish.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::{process, tools};

/// Fails with promtool's words when it finds a fault in a scrape.
pub fn check(whose: &str, metrics: &str) -> Result<()> {
    let mut promtool = Command::new(tools::promtool()?);
    let output = process::output_with_input(promtool.args(["check", "metrics"]), metrics)?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{whose}: {}", String::from_utf8_lossy(&said));
    Ok(())
}
