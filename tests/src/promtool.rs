//! What Prometheus's own tool says of what we publish.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::tools;

/// Fails with promtool's words when it finds a fault in a scrape.
pub fn check(whose: &str, metrics: &str) -> Result<()> {
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
