//! Net-SNMP's agent with the trees of a UPS in a file, and the traps that its tools send.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::ports::{Port, on_ports};
use crate::process::{Program, run};
use crate::tools;

pub const COMMUNITY: &str = "a-community-of-ours";
pub const USER: &str = "monitor";
/// Users of older cards: MD5 and DES, SHA-1 and AES. They have the passwords of the other.
pub const MD5_USER: &str = "monitor-md5-des";
pub const SHA1_USER: &str = "monitor-sha1-aes";
pub const AUTH_PASSWORD: &str = "an-auth-password";
pub const PRIVACY_PASSWORD: &str = "a-privacy-password";

/// The roots of what the file may hold.
const UPS_MIB: &str = ".1.3.6.1.2.1.33";
const APC: &str = ".1.3.6.1.4.1.318";
const START_DEADLINE: Duration = Duration::from_secs(30);

/// An agent on a port of its own, which outlives a stop of the agent.
#[derive(Debug)]
pub struct Snmpd {
    directory: PathBuf,
    port: Port,
    program: Option<Program>,
}

/// How a trap shows that it may.
#[derive(Clone, Copy, Debug)]
pub enum From<'a> {
    V1(&'a str),
    V2c(&'a str),
    /// The password for authentication; the user and the other one are the agent's.
    V3(&'a str),
}

impl Snmpd {
    /// Starts an agent that holds `tree`: lines of instance, type and value.
    pub fn start(directory: &Path, tree: &str) -> Result<Self> {
        fs::create_dir_all(directory)?;
        on_ports(|[port]| {
            let mut agent = Self { directory: directory.to_owned(), port, program: None };
            agent.hold(tree)?;
            agent.configure()?;
            agent.run()?;
            Ok(agent)
        })
    }

    pub fn address(&self) -> String {
        self.port.address().to_string()
    }

    /// Has the agent answer with `tree` from now on.
    pub fn hold(&self, tree: &str) -> Result<()> {
        let (new, tree_file) = (self.directory.join("tree.new"), self.directory.join("tree"));
        fs::write(&new, tree)?;
        Ok(fs::rename(new, tree_file)?)
    }

    /// Ends it as a power cut would.
    pub fn stop(&mut self) -> Result<()> {
        self.program.take().map_or(Ok(()), |mut program| program.kill())
    }

    /// Starts it again as another engine, as when the card was exchanged.
    pub fn start_as_another(&mut self) -> Result<()> {
        self.stop()?;
        fs::remove_dir_all(self.directory.join("state"))?;
        self.run()
    }

    fn configure(&self) -> Result<()> {
        let double = tools::workspace().join("tests/doubles/snmp-tree.py");
        let (python, tree) = (tools::python()?, self.directory.join("tree"));
        let mut text = format!(
            "agentAddress udp:{}\nrocommunity {COMMUNITY} 127.0.0.1\nrouser {USER} authpriv\n\
             createUser {USER} SHA-256 \"{AUTH_PASSWORD}\" AES \"{PRIVACY_PASSWORD}\"\n",
            self.address()
        );
        for (user, auth, privacy) in [(MD5_USER, "MD5", "DES"), (SHA1_USER, "SHA", "AES")] {
            writeln!(text, "rouser {user} authpriv")?;
            writeln!(text, "createUser {user} {auth} \"{AUTH_PASSWORD}\" {privacy} \"{PRIVACY_PASSWORD}\"")?;
        }
        for root in [UPS_MIB, APC] {
            writeln!(text, "pass_persist {root} {} {} {}", python.display(), double.display(), tree.display())?;
        }
        Ok(fs::write(self.directory.join("snmpd.conf"), text)?)
    }

    fn run(&mut self) -> Result<()> {
        let state = self.directory.join("state");
        fs::create_dir_all(&state)?;
        let mut command = tools::snmp("usr/sbin/snmpd")?;
        command.env("SNMP_PERSISTENT_DIR", &state).env("SNMPCONFPATH", &state).env("MIBS", "");
        command.args(["-f", "-Lo", "-C", "-c"]).arg(self.directory.join("snmpd.conf"));
        let mut program = Program::start("snmpd", &command, &self.directory)?;
        program.wait_ready_on(self.port.number(), START_DEADLINE, || true)?;
        self.program = Some(program);
        Ok(())
    }
}

/// Sends a trap to a port of this machine, with `bindings` as snmptrap takes them.
pub fn trap(directory: &Path, port: u16, from: From<'_>, trap: &str, bindings: &[&str]) -> Result<()> {
    let mut command: Command = tools::snmp("usr/bin/snmptrap")?;
    command.env("SNMP_PERSISTENT_DIR", directory).env("SNMPCONFPATH", directory).env("MIBS", "");
    let to = format!("127.0.0.1:{port}");
    match from {
        From::V1(community) => {
            let numbers: Vec<_> = trap.rsplitn(3, '.').collect();
            ensure!(numbers.len() == 3, "a v1 trap is enterprise.0.specific");
            command.args(["-v1", "-c", community, &to, numbers[2], "", "6", numbers[0], ""]);
        }
        From::V2c(community) => _ = command.args(["-v2c", "-c", community, &to, "", trap]),
        From::V3(password) => {
            command.args(["-v3", "-l", "authPriv", "-u", USER, "-a", "SHA-256", "-A", password]);
            command.args(["-x", "AES", "-X", PRIVACY_PASSWORD, &to, "", trap]);
        }
    }
    run(command.args(bindings)).map(drop)
}
