//! A real Alertmanager.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::ports::{Port, on_ports};
use crate::process::Program;
use crate::{http, tools};

const DEADLINE: Duration = Duration::from_secs(90);

#[derive(Debug)]
pub struct Alertmanager {
    pub program: Program,
    port: Port,
}

impl Alertmanager {
    /// Starts one that knows no other.
    pub fn start(directory: &Path, config: &str) -> Result<Self> {
        let file = directory.join("alertmanager.yaml");
        fs::write(&file, config)?;
        on_ports(|[port]| {
            let mut command = tools::alertmanager()?;
            command.arg(format!("--config.file={}", file.display()));
            command.arg(format!("--storage.path={}", directory.join("alertmanager").display()));
            command.arg(format!("--web.listen-address={}", port.address()));
            command.arg("--cluster.listen-address=");
            let mut program = Program::start("alertmanager", &command, directory)?;
            let ready = || http::get(port.address(), "/-/ready").is_ok_and(|answer| answer.status == 200);
            program.wait_ready_on(port.number(), DEADLINE, ready)?;
            Ok(Self { program, port })
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }
}
