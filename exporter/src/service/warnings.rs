//! What a configuration allows and is not as safe as it may look: told by `--config.check`, and in the log when it is loaded.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use tokio::time::{Duration, Instant};
use tracing::warn;

use crate::blocking::{self, Work};
use crate::config::{AgentConfig, Config};
use crate::platform::{self, FileError, HINTS};
use crate::rotation::agent::{Agent, BACKUP_FILE, CERTIFICATE_FILE, CLIENT_REPAIR_COMMAND, Procedure};
use crate::sources::clients::LIST_COMMAND;

/// Each look at a command has a deadline of its own.
const DEADLINE: Duration = Duration::from_secs(30);

/// It begins with the setting that it is about, as a problem does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Warning {
    setting: String,
    message: String,
    /// Others than administrators could have the program run what they like: no service is registered with that.
    pub(super) lets_others_act: bool,
}

/// Files are looked at, and no network is asked. An agent that is refused is told as such, and not here.
pub(super) fn of(config: &Config) -> Vec<Warning> {
    let of_agents = config.agents.iter().enumerate().flat_map(|(index, agent)| of_agent(index, agent));
    let of_versions = config.agents.iter().enumerate().filter_map(|(index, agent)| of_version(index, agent));
    let unasked = of_unasked(config);
    of_agents.chain(of_versions).chain(unasked).chain(of_jarsigner(config)).chain(of_power(config)).collect()
}

/// The files that decide what a service of this system does, which it refuses where others may exchange them.
pub(super) fn of_deciding<'a>(files: impl Iterator<Item = (&'static str, &'a Path)>) -> impl Iterator<Item = Warning> {
    files
        .filter(|_| platform::REGISTERS_ITSELF)
        .filter_map(|(setting, path)| Some(refused_by_service(setting, &platform::check_unexposed(path).err()?)))
}

/// Where what was begun, and how it is undone, is kept: it is refused like those.
pub(super) fn of_state(directory: &Path) -> Option<Warning> {
    let checked = if platform::REGISTERS_ITSELF { platform::check_way(directory) } else { Ok(()) };
    Some(refused_by_service("stateDirectory", &checked.err()?))
}

fn refused_by_service(setting: &str, error: &FileError) -> Warning {
    Warning { setting: setting.to_owned(), message: format!("{error}; the service refuses it"), lets_others_act: true }
}

/// The secrets that others may read, which the log tells of while the program runs, too.
pub(super) fn of_secrets(config: &Config) -> Vec<Warning> {
    let exposed = config.secret_files().into_iter().filter(|file| platform::is_readable_by_others(&file.path));
    let told = |path: &Path| {
        format!("{}: others may read this secret; {} and change the secret", path.display(), HINTS.make_private)
    };
    exposed.map(|file| Warning { message: told(&file.path), setting: file.setting, lets_others_act: false }).collect()
}

/// One line of the log each. A command whose file system hangs is waited for by nobody: what starts or loads goes on.
pub(super) fn tell(config: &Config) {
    let config = config.clone();
    tokio::spawn(async move {
        let found = blocking::run(Work::Config, Instant::now() + DEADLINE, move || of(&config)).await;
        for Warning { setting, message, .. } in found.unwrap_or_default() {
            warn!(setting, "{message}");
        }
    });
}

fn of_agent(index: usize, config: &AgentConfig) -> Vec<Warning> {
    let Ok(agent) = Agent::resolve(config) else { return Vec::new() };
    let warning = |setting: &str, message, lets_others_act| Warning {
        setting: format!("agents[{index}].{setting}"),
        message,
        lets_others_act,
    };
    let exposed = agent.exposed().map(|(setting, exposed)| {
        let (follows, lets_others_act) = match setting {
            CERTIFICATE_FILE => {
                ("whatever lies there is taken for the agent's certificate at the next rotation", false)
            }
            BACKUP_FILE => ("whatever lies there is brought back as the agent's key and certificate", false),
            LIST_COMMAND => {
                ("whatever lies there is run as the account of kagiban-exporter when it next asks for the list", true)
            }
            CLIENT_REPAIR_COMMAND => {
                ("whatever lies there is run as the account of kagiban-exporter for each client that is listed", true)
            }
            _ => ("whatever lies there is run as the account of kagiban-exporter at the next rotation", true),
        };
        warning(setting, format!("{exposed}; {follows}"), lets_others_act)
    });
    let endpoint = agent.leaf_place.endpoint().and_then(|endpoint| endpoint.at.host_and_port().ok()?.0.parse().ok());
    let elsewhere = endpoint.filter(|address| !is_own(*address)).map(|address: IpAddr| {
        let message = format!(
            "{address} is no address of this host: a rotation sees there that what answers has the key, and not that it is the service \
             of this host; name the address that the service listens on here, 127.0.0.1 for example"
        );
        warning("endpoint.address", message, false)
    });
    let unbacked = renews_without_backup(config, &agent).then(|| {
        let message = "a renewal of this product backs nothing up and has nothing that brings the old certificate back; where your \
                       release can, name renew.command, renew.back and renew.backup";
        warning("renew.backup", message.to_owned(), false)
    });
    let behind = behind_manager(&agent).map(|(setting, message, lets_others_act)| {
        warning(setting, format!("behind systemd-run: {message}"), lets_others_act)
    });
    exposed.chain(behind).chain(elsewhere).chain(unbacked).collect()
}

/// What the service manager is told to run, which nobody looks at before a rotation: it may be able to run what this program is kept from
/// seeing.
fn behind_manager(agent: &Agent) -> impl Iterator<Item = (&'static str, String, bool)> {
    let name = agent.name.as_str();
    let behind = agent.commands().filter_map(|(setting, command)| Some((setting, platform::run_by_manager(command)?)));
    behind.filter_map(move |(setting, command)| {
        let exposed = platform::exposed_part(name, &command).map(|exposed| {
            (setting, format!("{exposed}; whatever lies there is run as root at the next rotation"), true)
        });
        exposed.or_else(|| Some((setting, platform::check_program(name, &command).err()?.to_string(), false)))
    })
}

/// The vendor's notice has a list of versions, and nothing is known of another.
fn of_version(index: usize, config: &AgentConfig) -> Option<Warning> {
    let version = config.observe.as_ref()?.version.as_ref()?.to_string();
    let listed: Vec<_> = config.product.guide()?.notice.releases.iter().map(|release| release.name).collect();
    (!listed.is_empty() && !listed.contains(&version.as_str())).then(|| Warning {
        setting: format!("agents[{index}].observe.version"),
        message: format!(
            "{version:?} is none of those that the vendor's notice lists ({}), so nothing is told of whether it is affected; write it as the \
             product says it, without \"Ver.\"",
            listed.join(", ")
        ),
        lets_others_act: false,
    })
}

/// A repair is begun by an order of the operator alone, and nothing takes orders here.
fn of_unasked(config: &Config) -> impl Iterator<Item = Warning> {
    let takes_no_orders = config.host_api.is_none();
    let repaired = config.agents.iter().enumerate().filter(|(_, agent)| agent.repair.is_some());
    repaired.filter(move |_| takes_no_orders).map(|(index, _)| Warning {
        setting: format!("agents[{index}].repair"),
        message: "nobody can ask for it, so it is never run: this host has no `hostApi`, by which the operator orders a repair".to_owned(),
        lets_others_act: false,
    })
}

/// Whoever names the program knows what it does; of the product's own nobody has been told.
fn renews_without_backup(config: &AgentConfig, agent: &Agent) -> bool {
    let names_program = config.renew.as_ref().is_some_and(|renew| renew.command.is_some());
    match &agent.procedure {
        Procedure::Trigger(trigger) => !names_program && trigger.backup.is_none() && trigger.back.is_none(),
        Procedure::Push(_) | Procedure::Repair(_) => false,
    }
}

fn of_jarsigner(config: &Config) -> Option<Warning> {
    let health = &config.powerchute_health;
    let jarsigner = health.jarsigner.as_deref().filter(|_| health.enabled)?;
    let exposed = platform::check_unexposed(jarsigner).err()?;
    Some(Warning {
        setting: "powerchuteHealth.jarsigner".to_owned(),
        message: format!("{exposed}; whatever lies there is run as the account of kagiban-exporter once a day"),
        lets_others_act: true,
    })
}

fn of_power(config: &Config) -> Option<Warning> {
    let is_rotated = config.host_api.is_some() && config.rotated_agents().next().is_some();
    let is_asked = config.ups.iter().any(|ups| ups.feeds_host);
    let message = "no UPS under `ups` feeds this host and nobody vouches for its power, so its power state is unknown and every rotation is \
                   refused (power_unsafe); name the UPS, or set `power: {assume: mains}`";
    (is_rotated && !is_asked && !config.power.assumes_mains()).then(|| Warning {
        setting: "power".to_owned(),
        message: message.to_owned(),
        lets_others_act: false,
    })
}

/// Whether a socket of this host could have the address. Nothing is sent.
fn is_own(address: IpAddr) -> bool {
    !matches!(UdpSocket::bind((address, 0)), Err(error) if error.kind() == ErrorKind::AddrNotAvailable)
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::platform::testing::{native, set_mode, symlink};

    fn told(yaml: &str) -> Vec<String> {
        let config = crate::config::parse(&native(yaml), Path::new("c")).expect("a configuration");
        of(&config).iter().map(ToString::to_string).collect()
    }

    fn agent(endpoint: &str, start: &str) -> String {
        format!(
            "agents: [{{name: web, product: tls-service, keystore: {{certificateFile: /c/tls.crt, keyFile: /c/tls.key}}, endpoint: \
             {{address: '{endpoint}'}}, service: {{stop: [/bin/true], start: {start}}}}}]\n"
        )
    }

    /// Holds A18: who may write a command, or exchange it, does what they like as root at the next rotation.
    #[test]
    fn a_command_that_others_may_exchange_is_told_with_the_part_that_they_may_write() {
        let root = tempfile::tempdir().expect("directory");
        let (open, script) = (root.path().join("open"), root.path().join("open/start"));
        fs::create_dir(&open).expect("mkdir");
        fs::write(&script, "#!/bin/sh\n").expect("written");
        symlink(&script, root.path().join("link")).expect("linked");
        let commands = [
            format!("['{}']", script.display()),
            format!("['{}/link']", root.path().display()),
            format!("[/bin/sh, '{}', now]", script.display()),
        ];
        for (directory, file, exposed) in [
            (0o755, 0o755, None),
            (0o755, 0o775, Some(&script)),
            (0o775, 0o755, Some(&open)),
            (0o757, 0o755, Some(&open)),
            (0o1777, 0o755, None),
        ] {
            set_mode(&open, directory);
            set_mode(&script, file);
            for command in &commands {
                let told = told(&agent("127.0.0.1:9", command));
                let expected = exposed
                    .map(|path| format!("agents[0].service.start: {}: may be written by others than", path.display()));
                assert_eq!(told.len(), expected.iter().len(), "{command} {directory:o} {file:o}: {told:?}");
                assert!(expected.is_none_or(|expected| told[0].starts_with(&expected)), "{told:?}");
            }
        }
    }

    /// The service manager runs it as root, and nobody looks at it before.
    #[test]
    fn a_script_behind_systemd_run_that_is_not_there_or_that_others_may_exchange_is_told() {
        let root = tempfile::tempdir().expect("directory");
        let script = root.path().join("renew");
        let run = root.path().join("systemd-run");
        for program in [&script, &run] {
            fs::write(program, "#!/bin/sh\n").expect("written");
            set_mode(program, 0o755);
        }
        let told = || {
            let command = format!("['{}', --wait, -p, RuntimeMaxSec=9min, '{}']", run.display(), script.display());
            told(&agent("127.0.0.1:9", &command))
        };
        assert_eq!(told(), [""; 0]);
        set_mode(&script, 0o775);
        let exposed = told();
        assert!(
            exposed.len() == 1 && exposed[0].contains("behind systemd-run") && exposed[0].contains("may be written"),
            "{exposed:?}"
        );
        fs::remove_file(&script).expect("removed");
        let missing = told();
        assert!(
            missing.len() == 1 && missing[0].starts_with("agents[0].service.start: behind systemd-run: "),
            "{missing:?}"
        );
    }

    #[test]
    fn a_version_that_the_vendors_notice_does_not_list_is_told() {
        for (version, is_told) in [
            ("12.100.07p", false),
            ("12.101.01b", false),
            ("12.100.07P", true),
            ("13.0", true),
            ("Ver.12.100.07p", true),
        ] {
            let observe = format!("observe: {{version: {version:?}, components: [client]}}");
            let told = told(&format!("agents: [{{name: skysea, product: skysea, {observe}}}]\n"));
            assert_eq!(told.len(), usize::from(is_told), "{version}: {told:?}");
            assert!(
                told.iter().all(|told| told.starts_with("agents[0].observe.version: ") && told.contains("12.100.07p"))
            );
            // Who copies it from the notice has it with that
            assert!(told.iter().all(|told| told.ends_with("without \"Ver.\"")), "{told:?}");
        }
    }

    #[test]
    fn a_repair_that_nobody_can_ask_for_is_told() {
        let observe = "observe: {version: 12.100.07p, components: [client]}";
        let agent = |rest: &str| format!("agents: [{{name: skysea, product: skysea, {observe}{rest}}}]\n");
        let api = "hostApi: {listenAddress: '127.0.0.1:0', certificateFile: /a, keyFile: /b, clientCaFile: /c, clientNames: [a]}\n";
        let repair = ", repair: {command: [/bin/true]}";
        for (yaml, is_told) in [
            (agent(repair), true),
            (format!("{api}power: {{assume: mains}}\n{}", agent(repair)), false),
            (agent(""), false),
        ] {
            let told = told(&yaml);
            let notes: Vec<_> = told.iter().filter(|told| told.starts_with("agents[0].repair: ")).collect();
            assert_eq!(notes.len(), usize::from(is_told), "{yaml}: {told:?}");
        }
    }

    /// It is run as root once a day, and no rotation has to be ordered for that.
    #[test]
    fn a_jarsigner_that_others_may_exchange_is_told_where_it_is_run() {
        let root = tempfile::tempdir().expect("directory");
        let program = root.path().join("jarsigner");
        fs::write(&program, "#!/bin/sh\n").expect("written");
        for (mode, enabled, is_told) in [(0o755, true, false), (0o775, true, true), (0o775, false, false)] {
            set_mode(&program, mode);
            let told = told(&format!("powerchuteHealth: {{enabled: {enabled}, jarsigner: '{}'}}\n", program.display()));
            assert_eq!(told.len(), usize::from(is_told), "{mode:o} {enabled}: {told:?}");
            assert!(told.iter().all(|told| told.starts_with("powerchuteHealth.jarsigner: ")), "{told:?}");
        }
    }

    #[test]
    fn a_program_that_lists_clients_is_told_where_others_may_exchange_it() {
        let root = tempfile::tempdir().expect("directory");
        let program = root.path().join("list");
        fs::write(&program, "#!/bin/sh\n").expect("written");
        let clients = format!("clients: {{list: {{command: ['{}', '{{list}}']}}}}", program.display());
        let agent = agent("127.0.0.1:9", "[/bin/true]").replace("service: ", &format!("{clients}, service: "));
        for (mode, is_told) in [(0o755, false), (0o775, true)] {
            set_mode(&program, mode);
            let told = told(&agent);
            assert_eq!(told.len(), usize::from(is_told), "{mode:o}: {told:?}");
            let is_its = |told: &String| {
                told.starts_with("agents[0].clients.list.command: ") && told.ends_with("when it next asks for the list")
            };
            assert!(told.iter().all(is_its), "{told:?}");
        }
    }

    /// Holds A3: that the port belongs to the service is told by this host's system, and of this host's addresses alone.
    #[test]
    fn an_endpoint_at_another_host_is_told() {
        for own in ["127.0.0.1:9", "[::1]:9", "127.7.7.7:9", "0.0.0.0:9", "web.example.com:9"] {
            assert_eq!(told(&agent(own, "[/bin/true]")), [""; 0], "{own}");
        }
        for other in ["192.0.2.7:9", "[2001:db8::7]:9"] {
            let told = told(&agent(other, "[/bin/true]"));
            assert!(told.len() == 1 && told[0].starts_with("agents[0].endpoint.address: "), "{other}: {told:?}");
        }
    }

    #[test]
    fn a_product_that_renews_without_a_backup_by_default_is_told() {
        let own = "['no-such-program', '{password}']";
        for (product, rest, is_told) in [
            ("apex-one", "", true),
            ("apex-one", &*format!(", command: {own}"), false),
            ("apex-one", &*format!(", command: {own}, back: {own}"), false),
            ("apex-one", ", back: ['no-such-program']", false),
            ("virus-buster-corp", "", false),
        ] {
            let renew = format!("renew: {{passwordFile: /c/none{rest}}}");
            let told = told(&format!("agents: [{{name: v, product: {product}, directory: /c/none, {renew}}}]\n"));
            let notes: Vec<_> = told.iter().filter(|told| told.starts_with("agents[0].renew.backup: ")).collect();
            assert_eq!(notes.len(), usize::from(is_told), "{product} {rest}: {told:?}");
        }
    }

    /// Holds A18.
    #[test]
    fn agents_whose_rotations_would_all_be_refused_for_their_power_are_told() {
        const API: &str = "hostApi: {listenAddress: '127.0.0.1:0', certificateFile: /a, keyFile: /b, clientCaFile: /c, clientNames: [a]}\n";
        let agent = agent("127.0.0.1:9", "[/bin/true]");
        let ups = |feeds| format!("ups: [{{name: a, feedsHost: {feeds}, apcupsd: {{address: 'h:3551'}}}}]\n");
        for (rest, is_told) in [
            (API.to_owned(), true),
            (format!("{API}{}", ups(false)), true),
            (format!("{API}{}", ups(true)), false),
            (format!("{API}power: {{assume: mains}}\n"), false),
            (String::new(), false),
        ] {
            let told = told(&format!("{agent}{rest}"));
            assert_eq!(told.iter().filter(|told| told.starts_with("power: ")).count(), usize::from(is_told), "{rest}");
        }
    }
}
