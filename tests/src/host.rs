//! A fleet host on this machine: a PowerChute double and the exporter that looks after it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::http::{self, HostClient};
use crate::pki::Identity;
use crate::ports::{MAX_STARTS, Port, is_lost_port};
use crate::powerchute::{Installation, PowerChute};
use crate::process::Program;
use crate::quickstart::Fleet;
use crate::reference::documented;
use crate::wine::{self, Wine};
use crate::{sockets, tools};

pub const AGENT: &str = "powerchute";
/// Where the host API is by default, in the examples too.
const HOST_API_PORT: u16 = 9995;
/// The exporter starts in milliseconds; recovery of a rotation may restart a JVM twice before it listens.
const READY_DEADLINE: Duration = Duration::from_secs(90);

/// A host: its directory, its agent, its exporter.
#[derive(Debug)]
pub struct Host {
    pub name: String,
    pub agent: PowerChute,
    directory: PathBuf,
    exporter: Option<Program>,
    was_started: bool,
    host_api: Port,
    metrics: Port,
    server_ca: String,
    log_level: &'static str,
    runs_under: Vec<String>,
    /// Agent and exporter are programs for Windows, and run there.
    windows: Option<Arc<Wine>>,
}

impl Host {
    /// Lays the host out: agent, certificates, configuration. Nothing runs yet.
    pub fn install(directory: &Path, installation: &Installation, fleet: &Fleet) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let name = installation.host_name.clone();
        let agent = PowerChute::install(directory, installation, &fleet.corporate)?;
        fleet.server_identity(&name)?.write(directory, "host-api")?;
        fs::write(directory.join("client-ca.crt"), &fleet.transport.identity.certificate)?;
        let host = Self {
            name,
            agent,
            directory: directory.to_owned(),
            exporter: None,
            was_started: false,
            host_api: Port::prefer(installation.usual_ports.then_some(HOST_API_PORT))?,
            metrics: Port::any()?,
            server_ca: fleet.transport.identity.certificate.clone(),
            log_level: "info",
            runs_under: Vec::new(),
            windows: None,
        };
        host.configure(|_| ())?;
        Ok(host)
    }

    /// From now on the host is one of Windows: its agent is a service there.
    pub fn move_to_windows(&mut self, wine: Wine) -> Result<()> {
        let wine = Arc::new(wine);
        self.agent.move_to_windows(&wine)?;
        self.windows = Some(wine);
        self.configure(|_| ())
    }

    /// Writes the exporter's configuration, changed as the test wants it.
    pub fn configure(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut config = self.configuration();
        change(&mut config);
        if self.windows.is_some() {
            wine::paths_seen_there(&mut config);
        }
        Ok(fs::write(self.config_file(), serde_yaml::to_string(&config)?)?)
    }

    /// From the exporter's next start on.
    pub fn log_everything(&mut self) {
        self.log_level = "debug";
    }

    /// From the exporter's next start on it is started by these words, which must become it: its ports are looked for by its process.
    pub fn run_under(&mut self, words: impl IntoIterator<Item = String>) {
        self.runs_under = words.into_iter().collect();
    }

    /// Starts the exporter and waits until its host API listens. Before its first start nobody knows its ports: those that
    /// were lost to a stranger are replaced.
    pub fn start_exporter(&mut self) -> Result<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_start_exporter() {
                Err(error) if !self.was_started && tries < MAX_STARTS && is_lost_port(&error) => {
                    self.replace_ports()?;
                }
                started => return started,
            }
        }
    }

    fn replace_ports(&mut self) -> Result<()> {
        let lost = self.host_api.address().to_string();
        (self.host_api, self.metrics) = (Port::any()?, Port::any()?);
        let config = fs::read_to_string(self.config_file())?;
        Ok(fs::write(self.config_file(), config.replace(&lost, &self.host_api.address().to_string()))?)
    }

    fn try_start_exporter(&mut self) -> Result<()> {
        let (mut command, config) = match (&self.windows, self.runs_under.as_slice()) {
            (Some(wine), _) => (wine.command("kagiban-exporter.exe"), wine::seen_there(&self.config_file())),
            (None, words) => (under(words, tools::ours("kagiban-exporter")?), self.config_file().display().to_string()),
        };
        command.arg(format!("--config.file={config}"));
        command.arg(format!("--web.listen-address={}", self.metrics.address()));
        command.arg(format!("--log.level={}", self.log_level));
        let mut exporter = Program::start("exporter", &command, &self.directory)?;
        let (metrics, host_api, id) = (&self.metrics, &self.host_api, exporter.id());
        let is_ready = || http::get(metrics.address(), "/-/ready").is_ok_and(|r| r.status == 200);
        if self.windows.is_some() {
            // Its sockets are Wine's.
            exporter.wait_ready(READY_DEADLINE, is_ready)?;
        } else {
            exporter.wait_ready_on(metrics.number(), READY_DEADLINE, || {
                is_ready() && sockets::has_port(id, host_api.number())
            })?;
        }
        self.was_started = true;
        self.exporter = Some(exporter);
        Ok(())
    }

    /// The running exporter.
    pub fn exporter(&mut self) -> Result<&mut Program> {
        self.exporter.as_mut().ok_or_else(|| anyhow::anyhow!("the exporter was not started"))
    }

    pub fn client(&self, identity: Option<Identity>) -> HostClient {
        HostClient {
            address: self.host_api.address(),
            server_name: self.name.clone(),
            server_ca: self.server_ca.clone(),
            identity,
        }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.host_api.address())
    }

    pub fn host_api_address(&self) -> SocketAddr {
        self.host_api.address()
    }

    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics.address()
    }

    /// Every series of it is in docs/metrics.md.
    pub fn metrics(&self) -> Result<String> {
        Ok(documented(http::get(self.metrics.address(), "/metrics")?.body))
    }

    pub fn state_directory(&self) -> PathBuf {
        self.directory.join("state")
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Exists while a shutdown of this host is scheduled.
    pub fn scheduled_shutdown_file(&self) -> PathBuf {
        self.directory.join("scheduled-shutdown")
    }

    pub fn config_file(&self) -> PathBuf {
        self.directory.join("exporter.yaml")
    }

    fn configuration(&self) -> Value {
        let file = |name: &str| self.directory.join(name);
        // Windows tells nobody of a scheduled shutdown, by a file or otherwise.
        let power = match &self.windows {
            Some(_) => json!({"assume": "mains"}),
            None => json!({"assume": "mains", "scheduledShutdownFile": self.scheduled_shutdown_file()}),
        };
        // A service that does not come up again is decided about after twice this.
        let mut service = json!({"stopTimeout": "30s", "minRestartInterval": "0s"});
        // There it is known by the name that the product has.
        if self.windows.is_none() {
            service["stop"] = json!(self.agent.service_argv("stop"));
            service["start"] = json!(self.agent.service_argv("start"));
        }
        json!({
            "host": self.name,
            "stateDirectory": self.state_directory(),
            "certificates": [{"name": AGENT, "paths": [self.agent.keystore()]}],
            "tlsEndpoints": [{"address": self.agent.address().to_string(), "serverName": self.name, "interval": "5s"}],
            "power": power,
            "hostApi": {
                "listenAddress": self.host_api.address().to_string(),
                "certificateFile": file("host-api.crt"),
                "keyFile": file("host-api.key"),
                "clientCaFile": file("client-ca.crt"),
                "clientNames": [crate::quickstart::OPERATOR_NAME],
            },
            "agents": [{
                "name": AGENT,
                "product": "powerchute-serial-shutdown",
                "directory": self.agent.directory(),
                "endpoint": {"address": self.agent.address().to_string(), "serverName": self.name},
                "service": service,
                "verify": {"deadline": "20s", "holdDown": "2s", "interval": "200ms"},
            }],
        })
    }
}

/// What becomes the program by these words.
fn under(words: &[String], program: PathBuf) -> Command {
    let [first, words @ ..] = words else { return Command::new(program) };
    let mut under = Command::new(first);
    under.args(words).arg(program);
    under
}
