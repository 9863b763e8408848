//! The exporter alone, with a configuration of the test's own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::ports::{Port, on_ports};
use crate::process::Program;
use crate::reference::documented;
use crate::{http, tools, wait};

/// It starts in milliseconds; two cores may be busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running exporter.
#[derive(Debug)]
pub struct Exporter {
    pub program: Program,
    port: Port,
}

impl Exporter {
    /// Starts it with `config` as its configuration and waits until every source has been looked at.
    pub fn start(directory: &Path, config: &str, arguments: &[&str]) -> Result<Self> {
        Self::start_with(directory, config, arguments, &[])
    }

    /// The same with variables of its environment.
    pub fn start_with(
        directory: &Path,
        config: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let file = write_config(directory, config)?;
        let ours = tools::ours("kagiban-exporter")?;
        on_ports(|[port]| {
            let mut command = Command::new(&ours);
            command.arg(format!("--config.file={}", file.display()));
            command.arg(format!("--web.listen-address={}", port.address()));
            command.args(arguments).envs(environment.iter().copied());
            let mut program = Program::start("exporter", &command, directory)?;
            let ready = || http::get(port.address(), "/-/ready").is_ok_and(|answer| answer.status == 200);
            program.wait_ready_on(port.number(), DEADLINE, ready)?;
            Ok(Self { program, port })
        })
    }

    /// Has it load `config`, which is `directory`'s from now on.
    pub fn reload(&self, directory: &Path, config: &str) -> Result<()> {
        write_config(directory, config)?;
        self.program.signal(Signal::HUP)
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Every series of it is in docs/metrics.md.
    pub fn metrics(&self) -> Result<String> {
        Ok(documented(http::get(self.port.address(), "/metrics")?.body))
    }

    /// The metrics once they are as `wanted`; when they never are, the error shows them as they are then.
    pub fn metrics_when(&self, what: &str, mut wanted: impl FnMut(&str) -> bool) -> Result<String> {
        let found = wait::for_some(DEADLINE, || self.metrics().ok().filter(|metrics| wanted(metrics)));
        found.with_context(|| format!("not seen: {what}\n{}", self.metrics().unwrap_or_default()))
    }
}

fn write_config(directory: &Path, config: &str) -> Result<PathBuf> {
    let file = directory.join("exporter.yaml");
    // What one test's host has seen must not be known to the next one's.
    let own = format!("stateDirectory: {}\n", directory.join("state").display());
    let state = if config.contains("stateDirectory:") { "" } else { &own };
    fs::write(&file, format!("{state}{config}"))?;
    Ok(file)
}

/// The value of the only sample of this name that has all these labels, each written as `name="value"`.
pub fn sample(metrics: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let mut found = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (set, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        labels.iter().all(|label| set.contains(label)).then(|| value.parse().ok())?
    });
    let value = found.next()?;
    found.next().is_none().then_some(value)
}
