//! `--config.check`: whether a configuration, and every file that it names, is such that the program could work with it. It reads
//! files and asks no network.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use kagiban_keystore::Limits;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::ExposeSecret;

use super::{ServiceError, load, warnings};
use crate::config::{self, Config, HostApiConfig, NamedFile, NamedFileKind, StoreName, TlsServerConfig};
use crate::host_api;
use crate::overview::Count;
use crate::password_file;
use crate::platform::{self, certificate_store};
use crate::probe::Roots;
use crate::rotation::agent::Agent;
use crate::rotation::conflicts;
use crate::sources::check_application_log;
use crate::web::Guard;

/// Far more than a key, and no more than a store may have.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What a configuration that could be read is made of, and what is wrong with it.
#[derive(Debug)]
pub struct Checked {
    sources: usize,
    upses: usize,
    agents: usize,
    outside_hosts: usize,
    /// In the order of the settings; each names its own.
    pub problems: Vec<String>,
    /// What it allows and is not as safe as it may look; each names its setting.
    pub warnings: Vec<String>,
    /// Of those, what lets others than administrators have the program do what they like.
    pub exposed: Vec<String>,
}

/// Loads a configuration, and that of the pages where there is one, opens what it names, and looks whether its agents can be rotated on this host, with commands that can be
/// run, and do not get in each other's way.
///
/// # Errors
/// When it cannot be read, or its words are wrong.
pub fn check(path: &Path, web_config: Option<&Path>) -> Result<Checked, ServiceError> {
    let config = load(path)?;
    let mut problems = agents(&config);
    let of_agents = problems.len();
    problems.extend(config.named_files().iter().filter_map(problem));
    problems.extend(stores(&config));
    problems.extend(event_log(&config));
    // Together they make a server, or do not: that is asked once each is there.
    if let Some(api) = config.host_api.as_ref().filter(|_| problems.len() == of_agents) {
        problems.extend(host_api::check(api).err().map(|error| error.to_string()));
    }
    let web = web_config.and_then(|path| Guard::open(Some(path), &Arc::default()).err());
    problems.extend(web.map(|error| error.to_string()));
    let sources = config.certificates.len() + config.tls_endpoints.len();
    let api = config.host_api.as_ref().map(HostApiConfig::deciding_files).unwrap_or_default();
    let named = [("--config.file", Some(path)), ("--web.config.file", web_config)];
    let written = web_config.and_then(|path| config::load_web(path).ok()).and_then(|web| web.config.tls_server_config);
    let of_web = written.iter().flat_map(TlsServerConfig::deciding_files);
    let deciding = named.into_iter().filter_map(|(setting, path)| Some((setting, path?))).chain(api).chain(of_web);
    let of_state = warnings::of_state(&config.state_directory());
    let warnings: Vec<_> = warnings::of_deciding(deciding)
        .chain(of_state)
        .chain(warnings::of_secrets(&config))
        .chain(warnings::of(&config))
        .collect();
    let exposed = warnings.iter().filter(|it| it.lets_others_act).map(ToString::to_string).collect();
    let warnings = warnings.iter().map(ToString::to_string).collect();
    let (upses, agents, outside_hosts) = (config.ups.len(), config.agents.len(), config.outside_hosts.len());
    Ok(Checked { warnings, exposed, sources, upses, agents, outside_hosts, problems })
}

fn agents(config: &Config) -> Vec<String> {
    let (mut agents, mut problems) = (Vec::new(), Vec::new());
    for (index, agent) in config.agents.iter().enumerate().filter(|(_, agent)| agent.takes_orders()) {
        match Agent::resolve(agent) {
            Ok(agent) => agents.push(agent),
            Err(error) => problems.push(format!("agents[{index}]: {error}")),
        }
    }
    if !problems.is_empty() {
        return problems;
    }
    problems.extend(conflicts::check_on_host(&config.agents).err().map(|error| error.to_string()));
    problems.extend(agents.iter().enumerate().filter_map(|(index, agent)| {
        let (setting, error) = agent.check_commands().err()?;
        Some(format!("agents[{index}].{setting}: {error}"))
    }));
    problems
}

/// What is wrong with certificate stores of the system, each with the setting that names it.
fn stores(config: &Config) -> Vec<String> {
    let named = config.certificates.iter().enumerate().flat_map(|(index, rule)| {
        let stores = rule.windows_stores.iter().enumerate();
        stores.map(move |(at, store)| (format!("certificates[{index}].windowsStores[{at}]"), store))
    });
    let wrong = |(setting, store): (String, &StoreName)| {
        let read = certificate_store(store.as_str(), (&Limits::default()).into());
        Some(format!("{setting}: {}", read.err()?))
    };
    named.filter_map(wrong).collect()
}

/// Whether the log of Windows that is to be read knows who writes there.
fn event_log(config: &Config) -> Option<String> {
    let asked = config.shutdown.windows_event_log.filter(|_| config.shutdown.enabled)?;
    let wrong = asked.then(check_application_log)?.err()?;
    Some(format!("shutdown.windowsEventLog: {wrong}"))
}

/// What is wrong with a file, with the setting that names it.
fn problem(file: &NamedFile) -> Option<String> {
    let NamedFile { setting, path, holds, .. } = file;
    let shown = path.display();
    let wrong = match holds {
        NamedFileKind::Secret => password_file::read(path).err()?.to_string(),
        NamedFileKind::AgentSecret => match password_file::read_held(path) {
            Ok(secret) if secret.expose_secret().is_empty() => format!("{shown}: its first line is empty"),
            read => read.err()?.to_string(),
        },
        NamedFileKind::Key => match platform::read_regular(path, MAX_BYTES) {
            Ok(file) if PrivateKeyDer::from_pem_slice(&file.bytes).is_err() => {
                format!("{shown}: holds no private key as PEM")
            }
            read => read.err()?.to_string(),
        },
        NamedFileKind::Authorities => Roots::from_file(path).err()?.to_string(),
        NamedFileKind::Anything => platform::read_regular(path, MAX_BYTES).err()?.to_string(),
        NamedFileKind::Directory | NamedFileKind::Folder if path.is_dir() => return None,
        NamedFileKind::Folder => platform::read_ends(path, 0, 1).err()?.to_string(),
        NamedFileKind::Directory => format!("{shown}: no directory that can be searched"),
    };
    Some(format!("{setting}: {wrong}"))
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sources, upses) = (Count(self.sources, "source"), Count(self.upses, "UPS"));
        write!(f, "configuration OK: {sources}, {upses}, {}", Count(self.agents, "agent"))?;
        match self.outside_hosts {
            0 => Ok(()),
            hosts => write!(f, ", {}", Count(hosts, "outside host")),
        }
    }
}
