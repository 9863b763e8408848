//! The operator as a process of its own, against a control plane.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::http;
use crate::ports::{Port, on_ports};
use crate::process::Program;
use crate::reference::documented;
use crate::standalone::Standalone;
use crate::tools;

/// It is ready once it has listed its resources.
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// Hosts of the tests are on this machine, which an operator contacts only when it is told to.
pub const THIS_MACHINE: &str = "127.0.0.0/8";

/// A running operator.
#[derive(Debug)]
pub struct Operator {
    pub program: Program,
    metrics: Port,
}

impl Operator {
    /// Starts it for one namespace; `resync` is how often it looks at a resource that nobody changes.
    pub fn start(directory: &Path, kubeconfig: &Path, namespace: &str, resync: Duration) -> Result<Self> {
        Self::start_with_log(directory, kubeconfig, namespace, resync, "info")
    }

    /// The same; the last is a level or a filter for its log.
    pub fn start_with_log(
        directory: &Path,
        kubeconfig: &Path,
        namespace: &str,
        resync: Duration,
        log: &str,
    ) -> Result<Self> {
        Self::start_with(directory, kubeconfig, namespace, resync, &["--log-level", log])
    }

    /// The same with words of the test's own on its command line.
    pub fn start_with(
        directory: &Path,
        kubeconfig: &Path,
        namespace: &str,
        resync: Duration,
        words: &[&str],
    ) -> Result<Self> {
        let mut command = Command::new(tools::ours("kagiban-operator")?);
        command
            .arg("run")
            .args(["--namespace", namespace, "--leader-election-namespace", namespace])
            .env("KUBECONFIG", kubeconfig);
        Self::start_on_ports(&command, directory, resync, words)
    }

    /// The same without a cluster.
    pub fn start_standalone(
        directory: &Path,
        standalone: &Standalone,
        resync: Duration,
        words: &[&str],
    ) -> Result<Self> {
        Self::start_standalone_by(Command::new(tools::ours("kagiban-operator")?), directory, standalone, resync, words)
    }

    /// The same by a program that runs it as itself, such as `strace -D`.
    pub fn start_standalone_by(
        mut command: Command,
        directory: &Path,
        standalone: &Standalone,
        resync: Duration,
        words: &[&str],
    ) -> Result<Self> {
        command.arg("standalone").args(["--read-every", "1s"]);
        command.arg("--manifests").arg(&standalone.manifests);
        command.arg("--secrets").arg(&standalone.secrets);
        command.arg("--state").arg(&standalone.state);
        // No cluster of whoever runs the tests is reached by chance
        command.env("KUBECONFIG", "/nonexistent");
        Self::start_on_ports(&command, directory, resync, words)
    }

    fn start_on_ports(begun: &Command, directory: &Path, resync: Duration, words: &[&str]) -> Result<Self> {
        on_ports(|[metrics]| {
            let mut command = Command::new(begun.get_program());
            command
                .args(begun.get_args())
                .args(["--metrics-address", &metrics.address().to_string()])
                .args(["--allow-hosts", THIS_MACHINE])
                .args(["--resync", &format!("{}s", resync.as_secs())])
                .args(words)
                .envs(begun.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let mut program = Program::start("operator", &command, directory)?;
            let ready = || http::get(metrics.address(), "/readyz").is_ok_and(|answer| answer.status == 200);
            program.wait_ready_on(metrics.number(), READY_DEADLINE, ready)?;
            Ok(Self { program, metrics })
        })
    }

    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics.address()
    }

    /// Every series of it is in docs/metrics.md.
    pub fn metrics(&self) -> Result<String> {
        Ok(documented(http::get(self.metrics.address(), "/metrics")?.body))
    }
}
