//! Agents that would get in each other's way: one file that two of them replace, one service that two of them restart. Each
//! would take the other's work for its own, so that they are refused when the configuration is loaded. At the start of the
//! program they finish what an earlier run left, and take nothing new.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kagiban_crds::AgentName;

use super::agent::Agent;
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

/// What of an agent must be no other's.
#[derive(Clone, Debug)]
pub struct ExclusiveResources {
    agent: AgentName,
    /// Every file that a rotation replaces, as it is configured, and where it is.
    files: Vec<(PathBuf, FileLocation)>,
    services: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum FileLocation {
    Found(Destination),
    /// Not looked for, or not to be found: an agent whose files cannot be reached claims no others by it.
    Written(PathBuf),
}

impl ExclusiveResources {
    /// By where the agent's files lie on this host. It blocks on their file systems.
    ///
    /// Only links count that an administrator put there: no account can make another's agent part of a conflict. A path that
    /// cannot be walked is no conflict; the agent's own rotation is refused for it.
    pub fn found(agent: &Agent) -> Self {
        let at = |path: &Path| {
            platform::destination(path).map_or_else(|_| FileLocation::Written(path.to_owned()), FileLocation::Found)
        };
        Self::of(agent, at, |service| platform::unit_behind(&service))
    }

    /// By the configuration alone.
    pub fn written(agent: &Agent) -> Self {
        Self::of(agent, |path| FileLocation::Written(path.to_owned()), |service| service)
    }

    fn of(agent: &Agent, at: impl Fn(&Path) -> FileLocation, called: impl Fn(String) -> String) -> Self {
        Self {
            agent: agent.name.clone(),
            files: agent.replaced().into_iter().map(|path| (path.to_owned(), at(path))).collect(),
            services: agent
                .changing_commands()
                .flat_map(|(_, command)| platform::services_of(command))
                .map(called)
                .collect(),
        }
    }
}

/// Looks whether agents can all be rotated, by what their configuration says and nothing else: a file system that hangs, or
/// what an account has put on one, is no reason to refuse a configuration. One that cannot be rotated at all takes part in no
/// conflict.
///
/// # Errors
/// The first conflict.
pub fn check_written(configs: &[AgentConfig]) -> Result<(), Conflict> {
    let agents = configs.iter().filter_map(|config| Agent::as_written(config).ok());
    first(&agents.map(|agent| ExclusiveResources::written(&agent)).collect::<Vec<_>>())
}

/// The same, by where their files lie on this host.
///
/// # Errors
/// The first conflict.
pub fn check_on_host(configs: &[AgentConfig]) -> Result<(), Conflict> {
    let agents = configs.iter().filter_map(|config| Agent::resolve(config).ok());
    first(&agents.map(|agent| ExclusiveResources::found(&agent)).collect::<Vec<_>>())
}

fn first(resources: &[ExclusiveResources]) -> Result<(), Conflict> {
    all(resources).into_iter().next().map_or(Ok(()), Err)
}

/// Every conflict.
pub fn all(resources: &[ExclusiveResources]) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    let mut files: BTreeMap<&FileLocation, &AgentName> = BTreeMap::new();
    let mut services: BTreeMap<&str, &AgentName> = BTreeMap::new();
    for ExclusiveResources { agent, files: own, services: restarted } in resources {
        for (path, at) in own {
            match files.get(at) {
                Some(first) if *first == agent => {
                    conflicts.push(Conflict::OwnFile { agent: agent.clone(), path: path.clone() });
                }
                Some(first) => {
                    let (first, second) = ((*first).clone(), agent.clone());
                    conflicts.push(Conflict::File { first, second, path: path.clone() });
                }
                None => _ = files.insert(at, agent),
            }
        }
        for service in restarted {
            if let Some(first) = services.get(service.as_str()) {
                let (first, second) = ((*first).clone(), agent.clone());
                conflicts.push(Conflict::Service { first, second, service: service.clone() });
            } else {
                services.insert(service, agent);
            }
        }
    }
    conflicts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::testing::{give_to_a_stranger, symlink};

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
        let path = |name: &str| format!("{{path: {}}}", at(name).display());
        let pair = |a: &str, b: &str| format!("{{certificateFile: {}, keyFile: {}}}", at(a).display(), at(b).display());
        let check = |second: String| {
            let agents = [agent("a", &path("real/store"), &own("a")), agent("b", &second, &own("b"))];
            check_on_host(&agents).map_err(|conflict| conflict.reason())
        };
        for same in ["real/store", "real/../real/store", "link/store"] {
            assert_eq!(check(path(same)), Err("shared_file"), "{same}");
        }
        assert_eq!(check(pair("real/other", "link/store")), Err("shared_file"));
        assert_eq!(check(pair("real/other", "link/other")), Err("shared_file"), "two files of one agent");
        assert_eq!(check(path("real/other")), Ok(()));
        // A file that is not there yet is known by its directory and its name.
        let agents = [agent("a", &path("real/new"), &own("a")), agent("b", &path("link/new"), &own("b"))];
        assert!(check_on_host(&agents).is_err_and(|conflict| conflict.to_string().contains("link/new")));
    }

    /// Holds A16: an account has no part in whether another's agent can be rotated.
    #[test]
    fn a_link_that_an_account_has_put_there_makes_no_conflict_with_what_it_leads_to() {
        let root = tempfile::tempdir().expect("directory");
        let at = |name: &str| root.path().join(name);
        for directory in ["victim", "theirs"] {
            std::fs::create_dir(at(directory)).expect("mkdir");
            std::fs::write(at(directory).join("store"), b"x").expect("write");
        }
        give_to_a_stranger(&at("theirs"));
        symlink(at("victim"), at("theirs/conf")).expect("symlink");
        symlink(at("victim/store"), at("theirs/link")).expect("symlink");
        std::fs::hard_link(at("victim/store"), at("theirs/twin")).expect("link");
        let path = |name: &str| format!("{{path: {}}}", at(name).display());
        for theirs in ["theirs/conf/store", "theirs/link", "theirs/twin"] {
            let agents = [agent("victim", &path("victim/store"), &own("a")), agent("theirs", &path(theirs), &own("b"))];
            assert_eq!(check_on_host(&agents), Ok(()), "{theirs}");
        }
    }

    /// Holds A6: a configuration is judged by what it says.
    #[test]
    fn what_lies_on_the_host_is_no_reason_to_refuse_a_configuration() {
        let root = tempfile::tempdir().expect("directory");
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir(at("real")).expect("mkdir");
        symlink(at("real"), at("link")).expect("symlink");
        let path = |name: &str| format!("{{path: {}}}", at(name).display());
        let agents = |second: &str| [agent("a", &path("real/store"), &own("a")), agent("b", &path(second), &own("b"))];
        assert!(check_on_host(&agents("link/store")).is_err());
        assert_eq!(check_written(&agents("link/store")), Ok(()));
        assert!(check_written(&agents("real/store")).is_err());
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
        assert_eq!(check_written(&agents).map_err(|conflict| conflict.reason()), Err("shared_file"));
    }

    /// Holds A16: two products that share a service are one unit with one restart.
    #[test]
    fn one_service_of_two_agents_is_refused_however_it_is_named() {
        let root = tempfile::tempdir().expect("directory");
        let path = |name: &str| format!("{{path: {}}}", root.path().join(name).display());
        let check = |first: &str, second: &str| {
            let agents = [agent("a", &path("a"), first), agent("b", &path("b"), second)];
            check_written(&agents).map_err(|conflict| conflict.reason())
        };
        for same in [
            "{stop: [systemctl, stop, web], start: [systemctl, start, web]}",
            "{stop: [/usr/bin/systemctl, --no-block, stop, web.service], start: [/bin/x]}",
            "{stop: [/bin/x], start: [/usr/sbin/service, web, start]}",
            "{stop: [/etc/init.d/web, stop], start: [/etc/init.d/web, start]}",
            "{stop: [systemctl, stop, mail, web], start: [systemctl, start, mail, web]}",
            "{name: web}",
        ] {
            assert_eq!(check(&own("web"), same), Err("shared_service"), "{same}");
        }
        assert_eq!(check("{name: web}", "{name: web.service}"), Err("shared_service"));
        assert_eq!(check("{name: web}", "{name: mail}"), Ok(()));
        let elsewhere = |option: &str| format!("{{stop: [systemctl, {option}, stop, web], start: ['true']}}");
        for (first, second) in [
            ("-M, c1", "-M, c2"),
            ("--machine=c1", "-M, c2"),
            ("-Hc1", "--no-block"),
            ("--host=a", "-q"),
            ("--user", "-q"),
        ] {
            assert_eq!(check(&elsewhere(first), &elsewhere(second)), Ok(()), "{first} {second}");
        }
        for (first, second) in [("-M, c1", "--machine=c1"), ("--job-mode, replace", "-q"), ("-Mc1", "-M, c1")] {
            assert_eq!(check(&elsewhere(first), &elsewhere(second)), Err("shared_service"), "{first} {second}");
        }
        let job_mode =
            |name: &str| format!("{{stop: [systemctl, --job-mode, replace, stop, {name}], start: ['true']}}");
        assert_eq!(check(&job_mode("web"), &job_mode("mail")), Ok(()));
        let script = "{stop: [/opt/x/ctl, stop], start: [/opt/x/ctl, start]}";
        assert_eq!(check(script, script), Err("shared_service"));
        assert_eq!(check(&own("web"), &own("mail")), Ok(()));
        let renewing = |name: &str| -> AgentConfig {
            let text = format!(
                "{{name: {name}, product: self-renewing-service, endpoint: {{address: 'localhost:1'}}, renew: {{command: [/opt/x/renew]}}}}"
            );
            serde_yaml::from_str(&text).expect("an agent")
        };
        let both = check_written(&[renewing("a"), renewing("b")]).map_err(|conflict| conflict.reason());
        assert_eq!(both, Err("shared_service"), "one program renews what both serve");
        // A service that reads its files by itself is not restarted.
        let nothing = "{stop: ['true'], start: [/bin/true]}";
        assert_eq!(check(nothing, nothing), Ok(()));
    }
}
