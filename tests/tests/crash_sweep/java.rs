//! The same with the double of the PowerChute agent: a JVM reads the store, and `keytool` judges it. At the points where
//! the files are replaced, since each takes seconds.

use std::fs;

use anyhow::{Context, Result, ensure};
use kagiban_tests::keystore::{self, StoreType};
use kagiban_tests::pki::Authority;
use kagiban_tests::powerchute::{ALIAS, EXTRA_ALIAS, Installation, PowerChute};
use kagiban_tests::scratch;
use kagiban_tests::strace::{self, Call, Fault, Injection, Run};
use serde_json::{Value, json};

use crate::scene;

const HOST: &str = "ups-01.example.com";
const OLD_PASSWORD: &str = "old-password";
const NEW_PASSWORD: &str = "new-password";

/// The one that the agent reads, and its copy.
const INI_FILES: [&str; 2] = ["pcssconfig.ini", "pcssconfig_backup.ini"];

struct Stage {
    root: std::path::PathBuf,
    agent: PowerChute,
}

#[test]
fn killed_around_the_swap_java_opens_and_serves_what_is_there() -> Result<()> {
    let first = Stage::set()?;
    let run = first.rotate(None)?;
    let ended: Value = serde_json::from_str(&run.stdout)?;
    ensure!(ended["report"]["state"] == "Committed", "{ended:#}");
    first.is_settled(&ended["report"])?;

    let renames = |name: &'static str| {
        let is_it = move |call: &&Call| call.name.starts_with("renameat") && call.names().last() == Some(name);
        run.calls.iter().filter(is_it).collect::<Vec<_>>()
    };
    let (store, journal) = (renames("keystore"), renames("agent.json"));
    let [ini, copy] = INI_FILES.map(renames);
    let (store, ini) = (store.first().context("no store")?, ini.first().context("no INI file")?);
    let (copy, committed) = (copy.first().context("no copy of it")?, journal.last().context("no journal")?);
    for call in [store, ini, copy, committed] {
        let stage = Stage::set()?;
        let kill = Injection { call: call.name.clone(), nth: call.nth, fault: Fault::Kill };
        ensure!(stage.rotate(Some(&kill))?.was_killed(), "{kill:?}: not killed");
        let report = scene::recover(&stage.root)?;
        stage.is_settled(&report).with_context(|| format!("{kill:?}"))?;
    }
    Ok(())
}

impl Stage {
    fn set() -> Result<Self> {
        let root = scratch::directory("sweep-java")?;
        let authority = Authority::new("Sweep CA")?;
        authority.identity.write(&root, "ca")?;
        let installation = Installation {
            store_type: StoreType::Pkcs12,
            password: OLD_PASSWORD.to_owned(),
            host_name: HOST.to_owned(),
            deletes_credentials: false,
            usual_ports: false,
        };
        let agent = PowerChute::install(&root, &installation, &authority)?;
        agent.start()?;
        fs::write(root.join("password"), format!("{NEW_PASSWORD}\n"))?;
        let config = json!({
            "host": HOST,
            "stateDirectory": root.join("state"),
            "power": {"assume": "mains", "scheduledShutdownFile": root.join("shutdown-scheduled")},
            "agents": [{
                "name": "agent",
                "product": "powerchute-serial-shutdown",
                "directory": agent.directory(),
                "passwordFile": root.join("password"),
                "endpoint": {"address": agent.address().to_string(), "serverName": HOST},
                "service": {
                    "stop": agent.service_argv("stop"),
                    "start": agent.service_argv("start"),
                    "minRestartInterval": "0s",
                },
                "verify": {"deadline": "30s", "holdDown": "1s", "interval": "100ms"},
            }],
        });
        fs::write(root.join("exporter.yaml"), serde_yaml::to_string(&config)?)?;
        Ok(Self { root, agent })
    }

    fn rotate(&self, injection: Option<&Injection>) -> Result<Run> {
        let mut command = scene::rotate_once(&self.root);
        command.arg("rotate").arg(self.root.join("ca.crt")).arg(self.root.join("ca.key"));
        strace::run(&command, &self.root.join("rotate.trace"), injection)
    }

    fn is_settled(&self, report: &Value) -> Result<()> {
        let committed = report["state"] == "Committed";
        ensure!(committed || report["state"] == "RolledBack", "{report:#}");
        let password = if committed { NEW_PASSWORD } else { OLD_PASSWORD };
        keystore::open_key(&self.agent.keystore(), password, ALIAS, &self.root)?;
        let listing = self.agent.listing(password)?;
        ensure!(listing.entries.contains_key(EXTRA_ALIAS), "the entry that is not ours is gone: {listing:?}");
        let stored = listing.entries[ALIAS].chain.first().context("no chain")?;
        ensure!(*stored == self.agent.served()?.leaf_sha256(), "another leaf is served than is stored");
        let is_new = report["leaf"]["sha256"] == stored.as_str();
        ensure!(is_new == committed, "{stored} is stored: {report:#}");
        for name in INI_FILES {
            let told = fs::read_to_string(self.agent.directory().join(name))?;
            ensure!(told.contains(&format!("KS_Access_Data = {password}\r\n")), "{name}: {told}");
        }
        Ok(())
    }
}
