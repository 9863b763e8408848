//! The double of the PowerChute agent: its directory as the vendor's notice describes it, its service, its endpoint.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::handshake::{self, Served};
use crate::keystore::{self, Listing, StoreType};
use crate::pki::Authority;
use crate::ports::Port;
use crate::process::run;
use crate::wine::{Wine, seen_there};
use crate::{sockets, tools, wait};

pub const ALIAS: &str = "securekey";
/// A trusted entry that an administrator once added, which no rotation may lose.
pub const EXTRA_ALIAS: &str = "corporate-root";

/// What the product's service is called on Windows, by the notice, and the program that is a double of it.
const SERVICE_THERE: &str = "APCPBEAgent";
const DOUBLE_THERE: &str = "agent-double.exe";
/// Where the product's web interface is, by the notice.
const PORT: u16 = 6547;
const SOURCE: &str = include_str!("../doubles/PowerChuteDouble.java");
/// A JVM and an RSA handshake on a busy machine; idle it is under two seconds.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// How the agent is found installed.
#[derive(Clone, Debug)]
pub struct Installation {
    pub store_type: StoreType,
    pub password: String,
    pub host_name: String,
    /// The agent removes `[Credentials]` once it has read it.
    pub deletes_credentials: bool,
    /// The agent on 6547 and the host API on 9995, if they are free.
    pub usual_ports: bool,
}

/// An installed agent.
#[derive(Debug)]
pub struct PowerChute {
    directory: PathBuf,
    control: PathBuf,
    port: Port,
    /// It is a service of Windows: another double, of the same files.
    windows: Option<Arc<Wine>>,
}

impl PowerChute {
    /// Lays out the agent's directory under `root`, and starts nothing.
    pub fn install(root: &Path, installation: &Installation, trusted: &Authority) -> Result<Self> {
        let directory = root.join("Agent");
        let control = root.join("service");
        fs::create_dir_all(&directory)?;
        fs::create_dir_all(&control)?;
        let password = &installation.password;

        let store = directory.join("keystore");
        keystore::generate(&store, installation.store_type, password, ALIAS, &installation.host_name)?;
        let (certificate, _) = trusted.identity.write(&control, EXTRA_ALIAS)?;
        keystore::trust(&store, password, EXTRA_ALIAS, &certificate)?;

        let ini = format!(
            "; kept by the agent\r\n[Double]\r\nlanguage = ja\r\n[Credentials]\r\nKS_Access_Data = {password}\r\n"
        );
        for file in ["pcssconfig.ini", "pcssconfig_backup.ini"] {
            fs::write(directory.join(file), &ini)?;
        }
        for file in ["m11.cfg", "m11.bak"] {
            fs::write(directory.join(file), "")?;
        }
        let port = Port::prefer(installation.usual_ports.then_some(PORT))?;
        let options = if installation.deletes_credentials { "--delete-credentials " } else { "" };
        write_settings(&control, &directory, port.number(), options)?;
        Ok(Self { directory, control, port, windows: None })
    }

    pub(crate) fn move_to_windows(&mut self, wine: &Arc<Wine>) -> Result<()> {
        let (directory, address) = (seen_there(&self.directory), self.address().to_string());
        wine.run(DOUBLE_THERE, &["install", SERVICE_THERE, "--directory", &directory, "--listen", &address])?;
        self.windows = Some(Arc::clone(wine));
        Ok(())
    }

    /// The argv that stops or starts the service, for the host's configuration.
    pub fn service_argv(&self, verb: &str) -> Vec<String> {
        let program = tools::workspace().join("tests/doubles/powerchutectl");
        [program.as_path(), Path::new(verb), &self.control].map(|part| part.to_string_lossy().into_owned()).to_vec()
    }

    pub fn start(&self) -> Result<()> {
        self.control("start")?;
        let has_port = || self.id().is_ok_and(|id| sockets::has_port(id, self.port.number()));
        let serves = || (self.windows.is_some() || has_port()) && self.served().is_ok();
        wait::until(START_DEADLINE, serves)
            .with_context(|| format!("the PowerChute double does not serve:\n{}", self.log_text()))
    }

    /// Starts a service that is expected to give up, and returns its log.
    pub fn start_and_wait_for_the_end(&self) -> Result<String> {
        self.control("start")?;
        wait::until(START_DEADLINE, || self.control("status").is_err()).context("the PowerChute double still runs")?;
        Ok(self.log_text())
    }

    pub fn stop(&self) -> Result<()> {
        self.control("stop")
    }

    /// What a fresh handshake shows.
    pub fn served(&self) -> Result<Served> {
        handshake::served(self.address(), "localhost")
    }

    pub fn listing(&self, password: &str) -> Result<Listing> {
        keystore::list(&self.keystore(), password)
    }

    /// Has the next starts of the service fail.
    pub fn fail_starts(&self, count: usize) -> Result<()> {
        Ok(fs::write(self.control.join("failures"), "fail\n".repeat(count))?)
    }

    /// The process that serves.
    pub fn id(&self) -> Result<u32> {
        Ok(fs::read_to_string(self.control.join("pid"))?.trim().parse()?)
    }

    /// How often the service was started.
    pub fn starts(&self) -> usize {
        fs::read_to_string(self.control.join("starts")).map_or(0, |text| text.lines().count())
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn keystore(&self) -> PathBuf {
        self.directory.join("keystore")
    }

    pub fn ini(&self) -> PathBuf {
        self.directory.join("pcssconfig.ini")
    }

    pub fn log_text(&self) -> String {
        fs::read_to_string(self.control.join("log")).unwrap_or_default()
    }

    fn control(&self, verb: &str) -> Result<()> {
        if let Some(wine) = &self.windows {
            return wine.run(DOUBLE_THERE, &[verb, SERVICE_THERE]);
        }
        let argv = self.service_argv(verb);
        // The output is not captured: the service would inherit the pipe and hold it open.
        let status = Command::new(&argv[0]).args(&argv[1..]).status()?;
        anyhow::ensure!(status.success(), "{argv:?}: {status}");
        Ok(())
    }
}

impl Drop for PowerChute {
    fn drop(&mut self) {
        // The double watches this process too, and ends with it.
        let _ = self.stop();
    }
}

fn write_settings(control: &Path, directory: &Path, port: u16, options: &str) -> Result<()> {
    let java = tools::java()?;
    let classes = compiled()?;
    let settings = format!(
        "JAVA='{}'\nCLASSES='{}'\nAGENT='{}'\nPORT={port}\nOPTIONS='{options}--while-pid {}'\n",
        java.display(),
        classes.display(),
        directory.display(),
        std::process::id(),
    );
    fs::write(control.join("settings"), settings)?;
    Ok(())
}

/// The directory with the double's class; compiled once per version of its source, since `javac` takes a second.
fn compiled() -> Result<PathBuf> {
    let home = tools::cache().join(format!("powerchute-double-{}", &handshake::sha256(SOURCE.as_bytes())[..16]));
    if home.is_dir() {
        return Ok(home);
    }
    fs::create_dir_all(tools::cache())?;
    let work = home.with_extension(std::process::id().to_string());
    let source = tools::workspace().join("tests/doubles/PowerChuteDouble.java");
    run(Command::new(tools::javac()?).arg("-d").arg(&work).arg(source))?;
    if let Err(error) = fs::rename(&work, &home) {
        // Another test may have been faster, with the same source.
        anyhow::ensure!(home.is_dir(), "rename {} to {}: {error}", work.display(), home.display());
        fs::remove_dir_all(&work)?;
    }
    Ok(home)
}
