//! What of a configuration that is refused can still be used: an interrupted rotation is finished whatever is wrong
//! elsewhere.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml::Value;

use super::file::{asks_for_what_is_here, parse, read};
use super::{AgentConfig, Config, ConfigError};
use crate::label::Label;
use crate::platform;

/// A configuration as it is taken at the start of the program.
#[derive(Debug)]
pub struct Salvaged {
    /// Without the refused agents. Where `error` is there, only what rotations need: host, power, agents, state directory.
    pub config: Config,
    pub refused: Vec<RefusedAgent>,
    /// What is wrong elsewhere; nothing but recovery can be done then.
    pub error: Option<ConfigError>,
}

/// An entry of `agents` that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedAgent {
    /// Its name, or its place where it has none.
    pub name: Label,
    pub message: String,
}

/// Reads a configuration file for the start of the program. A bad entry of `agents` takes nothing from the others.
///
/// # Errors
/// When the file cannot be read, or is no YAML. When others could put a state directory of theirs in the place of the one that it names.
pub fn load_at_start(path: &Path) -> Result<Salvaged, ConfigError> {
    let salvaged = read_at_start(path)?;
    platform::check_trusted_way(&salvaged.config.state_directory())?;
    Ok(salvaged)
}

fn read_at_start(path: &Path) -> Result<Salvaged, ConfigError> {
    let text = read(path)?;
    match parse(&text, path) {
        Ok(config) => {
            asks_for_what_is_here(&config, &path.display())?;
            Ok(Salvaged { config, refused: Vec::new(), error: None })
        }
        Err(error) => salvage(&text, path, error),
    }
}

fn salvage(text: &str, path: &Path, error: ConfigError) -> Result<Salvaged, ConfigError> {
    let Ok(Value::Mapping(mut whole)) = serde_yaml::from_str(text) else { return Err(error) };
    // Without a list of agents nothing tells what an earlier run may have stopped.
    let Some(Value::Sequence(entries)) = whole.remove("agents") else { return Err(error) };
    let (agents, refused) = each_agent(entries);
    let rest = serde_yaml::to_string(&whole).ok().and_then(|rest| parse(&rest, path).ok());
    match rest {
        Some(rest) if !refused.is_empty() => Ok(Salvaged { config: Config { agents, ..rest }, refused, error: None }),
        _ => {
            let host = field(&whole, "host").unwrap_or_default();
            let power = field(&whole, "power").unwrap_or_default();
            let state_directory = field(&whole, "stateDirectory").unwrap_or_default();
            let config = Config { host, power, state_directory, agents, ..Config::default() };
            Ok(Salvaged { config, refused, error: Some(error) })
        }
    }
}

fn each_agent(entries: Vec<Value>) -> (Vec<AgentConfig>, Vec<RefusedAgent>) {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let name = |entry: &Value| entry.get("name").and_then(Value::as_str).map(str::to_owned);
    for name in entries.iter().filter_map(name) {
        *times.entry(name).or_default() += 1;
    }
    let (mut agents, mut refused) = (Vec::new(), Vec::new());
    for (index, entry) in entries.into_iter().enumerate() {
        let name = name(&entry);
        let is_twin = name.as_ref().is_some_and(|name| times.get(name).is_some_and(|times| *times > 1));
        let parsed = AgentConfig::deserialize(entry).map_err(|error| error.to_string());
        let parsed = parsed.and_then(|agent| agent.problem().map_or(Ok(agent), Err));
        let parsed = if is_twin { Err("two agents have this name; give each its own".to_owned()) } else { parsed };
        match parsed {
            Ok(agent) => agents.push(agent),
            Err(message) => {
                let name = Label::new(&name.unwrap_or_else(|| format!("agents[{index}]")));
                refused.push(RefusedAgent { name, message });
            }
        }
    }
    refused.dedup_by(|a, b| a.name == b.name);
    (agents, refused)
}

fn field<T: DeserializeOwned>(whole: &serde_yaml::Mapping, key: &str) -> Option<T> {
    whole.get(key).and_then(|value| T::deserialize(value.clone()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "agents:\n  - {name: good, product: powerchute-serial-shutdown}\n";

    fn salvaged(text: &str) -> Salvaged {
        let path = Path::new("exporter.yaml");
        let error = parse(text, path).expect_err("it is refused");
        salvage(text, path, error).expect("something can be used")
    }

    /// Holds A6: another agent's bad configuration.
    #[test]
    fn a_bad_agent_is_refused_by_name_and_the_others_and_the_rest_stay() {
        let text = format!(
            "host: ups-01.example.com\nups: []\n{GOOD}  - {{name: typo, product: tls-service, endpiont: x}}\n  \
             - {{product: tls-service}}\n  - {{name: twin, product: tls-service}}\n  - {{name: twin, product: tls-service}}\n  - {{name: other, product: skysea}}\n"
        );
        let Salvaged { config, refused, error } = salvaged(&text);
        assert!(error.is_none());
        assert_eq!(config.agents.iter().map(|agent| agent.name.as_str()).collect::<Vec<_>>(), ["good"]);
        let names: Vec<_> = refused.iter().map(|refused| refused.name.as_str()).collect();
        assert_eq!(names, ["typo", "agents[2]", "twin", "other"]);
        assert!(refused[0].message.contains("endpiont"), "{refused:?}");
        assert!(config.host.is_some());
    }

    /// Holds A6: what is wrong elsewhere in the configuration.
    #[test]
    fn a_mistake_elsewhere_leaves_the_agents_and_where_their_journals_lie() {
        let text = format!("stateDirectory: /srv/state\nhost: [bad]\nhostApi: {{}}\n{GOOD}");
        let Salvaged { config, refused, error } = salvaged(&text);
        assert!(error.is_some() && refused.is_empty());
        assert_eq!(config.agents.len(), 1);
        assert_eq!(config.state_directory.as_deref(), Some(Path::new("/srv/state")));
        assert!(config.host.is_none() && config.host_api.is_none());
    }

    #[test]
    fn what_is_no_configuration_is_refused_whole() {
        for text in ["{", "[a]", "agents: x\nhost: [bad]\n", "nowhere: 1\n"] {
            let error = parse(text, Path::new("c")).expect_err("it is refused");
            assert!(salvage(text, Path::new("c"), error).is_err(), "{text}");
        }
    }
}
