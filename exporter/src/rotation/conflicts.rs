//! Agents that would get in each other's way: one file that two of them replace, one service that two of them restart. Each
//! would take the other's work for its own, so that they are refused when the configuration is loaded. At the start of the
//! program they finish what an earlier run left, and take nothing new.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kagiban_crds::AgentName;

use super::agent::{Agent, Keystore};
use crate::config::AgentConfig;
use crate::platform::{self, Destination};

/// Why two agents cannot both be rotated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error(
        "agents {first} and {second} would both replace {}, by this path or another; a file belongs to one agent: leave one of \
         them out of agents:",
        path.display()
    )]
    File { first: AgentName, second: AgentName, path: PathBuf },
    #[error("agent {agent}: two of its files are one, {}; a PEM file with key and chain is written as keystore.path", path.display())]
    OwnFile { agent: AgentName, path: PathBuf },
    #[error(
        "agents {first} and {second} share the service {service}, and one restart cannot prove two rotations; give each agent a \
         service of its own, or leave one of them out of agents:"
    )]
    Service { first: AgentName, second: AgentName, service: String },
}

impl Conflict {
    /// Stable, for logs and metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::OwnFile { .. } => "shared_file",
            Self::Service { .. } => "shared_service",
        }
    }

    /// Whom it keeps from being rotated.
    pub fn agents(&self) -> Vec<&AgentName> {
        match self {
            Self::File { first, second, .. } | Self::Service { first, second, .. } => vec![first, second],
            Self::OwnFile { agent, .. } => vec![agent],
        }
    }
}

/// Looks whether agents can all be rotated, as they are configured. One that cannot be rotated at all takes part in no conflict.
///
/// # Errors
/// The first conflict.
pub fn check_configured(configs: &[AgentConfig]) -> Result<(), Conflict> {
    let agents: Vec<_> = configs.iter().filter_map(|config| Agent::resolve(config).ok()).collect();
    all(&agents).into_iter().next().map_or(Ok(()), Err)
}

/// Every conflict, by where the files of each agent really lie, and by the service that each restarts.
pub fn all(agents: &[Agent]) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    let mut files: BTreeMap<Destination, &AgentName> = BTreeMap::new();
    let mut services: BTreeMap<String, &AgentName> = BTreeMap::new();
    for agent in agents {
        let mut own = BTreeSet::new();
        for path in written(agent) {
            let destinations = platform::destinations(path);
            if let Some(first) = destinations.iter().find_map(|at| files.get(at)) {
                let (first, second) = ((*first).clone(), agent.name.clone());
                conflicts.push(Conflict::File { first, second, path: path.to_owned() });
            }
            if !own.is_disjoint(&destinations) {
                conflicts.push(Conflict::OwnFile { agent: agent.name.clone(), path: path.to_owned() });
            }
            own.extend(destinations);
        }
        for at in own {
            files.entry(at).or_insert(&agent.name);
        }
        let restarted: BTreeSet<_> =
            [&agent.service.stop, &agent.service.start].into_iter().flat_map(|argv| named(argv)).collect();
        for service in restarted {
            if let Some(first) = services.get(&service) {
                conflicts.push(Conflict::Service { first: (*first).clone(), second: agent.name.clone(), service });
            } else {
                services.insert(service, &agent.name);
            }
        }
    }
    conflicts
}

/// Every file that a rotation of the agent replaces.
fn written(agent: &Agent) -> Vec<&Path> {
    let mut paths: Vec<&Path> = match &agent.keystore {
        Keystore::OneFile { path, .. } => vec![path],
        Keystore::PemPair { certificate, key } => vec![certificate, key],
    };
    paths.extend(agent.password_ini.as_ref().map(|(path, _)| path.as_path()));
    paths
}

/// The services that a command stops or starts, as far as it tells: by the names that a service manager takes, or else the
/// command itself. One that does nothing names none.
fn named(argv: &[String]) -> Vec<String> {
    let Some((program, arguments)) = argv.split_first() else { return Vec::new() };
    let path = Path::new(program);
    let in_init_d = path.parent().and_then(Path::file_name).is_some_and(|name| name == "init.d" || name == "rc.d");
    let program = path.file_name().unwrap_or_default().to_string_lossy();
    let mut words = arguments.iter().filter(|argument| !argument.starts_with('-')).map(String::as_str);
    match &*program {
        "true" => Vec::new(),
        script if in_init_d => vec![unit(script)],
        // systemctl stop UNIT...
        "systemctl" => words.skip(1).map(unit).collect(),
        // service NAME stop
        "service" | "rc-service" => words.next().map(unit).into_iter().collect(),
        _ => vec![argv.join(" ")],
    }
}

/// As systemd completes a name.
fn unit(name: &str) -> String {
    const KINDS: [&str; 5] = [".service", ".socket", ".target", ".timer", ".path"];
    if KINDS.iter().any(|kind| name.ends_with(kind)) { name.to_owned() } else { format!("{name}.service") }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn agent(name: &str, keystore: &str, service: &str) -> AgentConfig {
        serde_yaml::from_str(&format!(
            "{{name: {name}, product: tls-service, keystore: {keystore}, endpoint: {{address: 'localhost:1'}}, service: {service}}}"
        ))
        .expect("an agent")
    }

    fn own(name: &str) -> String {
        format!("{{stop: [systemctl, stop, {name}], start: [systemctl, start, {name}]}}")
    }

    /// Holds A16: it is the file that counts, not how it is written.
    #[test]
    fn one_file_of_two_agents_is_refused_by_whatever_path_it_is_named() {
        let root = tempfile::tempdir().expect("directory");
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("real")).expect("mkdir");
        std::fs::write(at("real/store"), b"x").expect("write");
        std::fs::write(at("real/other"), b"x").expect("write");
        symlink(at("real"), at("link")).expect("symlink");
        symlink(at("real/store"), at("alias")).expect("symlink");
        std::fs::hard_link(at("real/store"), at("twin")).expect("link");
        let path = |name: &str| format!("{{path: {}}}", at(name).display());
        let pair = |a: &str, b: &str| format!("{{certificateFile: {}, keyFile: {}}}", at(a).display(), at(b).display());
        let check = |second: String| {
            let agents = [agent("a", &path("real/store"), &own("a")), agent("b", &second, &own("b"))];
            check_configured(&agents).map_err(|conflict| conflict.reason())
        };
        for same in ["real/store", "real/../real/store", "link/store", "alias", "twin"] {
            assert_eq!(check(path(same)), Err("shared_file"), "{same}");
        }
        assert_eq!(check(pair("real/other", "link/store")), Err("shared_file"));
        assert_eq!(check(pair("real/other", "link/other")), Err("shared_file"), "two files of one agent");
        assert_eq!(check(path("real/other")), Ok(()));
        // A file that is not there yet is known by its directory and its name.
        let agents = [agent("a", &path("real/new"), &own("a")), agent("b", &path("link/new"), &own("b"))];
        assert!(check_configured(&agents).is_err_and(|conflict| conflict.to_string().contains("link/new")));
    }

    #[test]
    fn the_settings_file_of_another_agent_is_refused_too() {
        let root = tempfile::tempdir().expect("directory");
        let config = |name: &str, directory: &str| -> AgentConfig {
            let directory = root.path().join(directory);
            std::fs::create_dir_all(&directory).expect("mkdir");
            let (shown, ini) = (directory.display(), root.path().join("pcssconfig.ini"));
            let text = format!(
                "{{name: {name}, product: powerchute-serial-shutdown, directory: {shown}, passwordIni: {}, service: {}}}",
                ini.display(),
                own(name)
            );
            serde_yaml::from_str(&text).expect("an agent")
        };
        let agents = [config("a", "one"), config("b", "two")];
        assert_eq!(check_configured(&agents).map_err(|conflict| conflict.reason()), Err("shared_file"));
    }

    /// Holds A16: two products that share a service are one unit with one restart.
    #[test]
    fn one_service_of_two_agents_is_refused_however_it_is_named() {
        let root = tempfile::tempdir().expect("directory");
        let path = |name: &str| format!("{{path: {}}}", root.path().join(name).display());
        let check = |first: &str, second: &str| {
            let agents = [agent("a", &path("a"), first), agent("b", &path("b"), second)];
            check_configured(&agents).map_err(|conflict| conflict.reason())
        };
        for same in [
            "{stop: [systemctl, stop, web], start: [systemctl, start, web]}",
            "{stop: [/usr/bin/systemctl, --no-block, stop, web.service], start: [/bin/x]}",
            "{stop: [/bin/x], start: [/usr/sbin/service, web, start]}",
            "{stop: [/etc/init.d/web, stop], start: [/etc/init.d/web, start]}",
            "{stop: [systemctl, stop, mail, web], start: [systemctl, start, mail, web]}",
        ] {
            assert_eq!(check(&own("web"), same), Err("shared_service"), "{same}");
        }
        let script = "{stop: [/opt/x/ctl, stop], start: [/opt/x/ctl, start]}";
        assert_eq!(check(script, script), Err("shared_service"));
        assert_eq!(check(&own("web"), &own("mail")), Ok(()));
        // A service that reads its files by itself is not restarted.
        let nothing = "{stop: ['true'], start: [/bin/true]}";
        assert_eq!(check(nothing, nothing), Ok(()));
    }
}
