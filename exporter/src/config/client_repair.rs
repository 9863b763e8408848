//! `clients.repair` of an agent: how a client that lacks the server's certificate is given it.

use std::path::PathBuf;
use std::time::Duration;

use kagiban_agents::ClientFacts;
use serde::Deserialize;

use super::values::Interval;
use crate::platform::Command;

/// Arguments that stand for something: the client's name, the certificate on the server, the directory of the programs that go with it, and
/// the path of `passwordFile`.
pub(crate) const CLIENT: &str = "{client}";
pub(crate) const CERTIFICATE: &str = "{certificate}";
pub(crate) const FILES: &str = "{files}";
pub(crate) const PASSWORD_FILE: &str = "{passwordFile}";
const PLACEHOLDERS: [&str; 4] = [CLIENT, CERTIFICATE, FILES, PASSWORD_FILE];

/// Half of the shortest pause between two attempts, so that none meets the one before.
const LONGEST_DEADLINE: Duration = Duration::from_mins(30);
/// With the pauses between them, more than a week.
const MOST_ATTEMPTS: u32 = 10;
/// Each is a program that copies files over the network.
const MOST_AT_ONCE: usize = 8;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientRepairConfig {
    /// A program and its arguments, one of which is `{client}`; no shell reads them. It reaches the client by whatever way the site has, and
    /// gives it the certificate. `{certificate}` and `{files}` stand for what it delivers, of a product that is known.
    pub command: Vec<String>,
    /// How long it may take for one client: 10 minutes by default.
    #[serde(default = "default_deadline")]
    pub deadline: Interval,
    /// How often it is run for one client, until that is told as one that stays: 3 by default, with hours between them.
    #[serde(default = "default_attempts")]
    pub attempts: u32,
    /// For how many clients at once: one by default.
    #[serde(default = "default_concurrent")]
    pub concurrent: usize,
    /// A file with a password, such as the one that clients are unloaded with. The command is given its path, as `{passwordFile}`.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

impl ClientRepairConfig {
    /// What is wrong with it for a product of which that is known, with the setting that it is about.
    pub(super) fn problem(&self, facts: Option<&ClientFacts>) -> Option<String> {
        let Self { command, deadline, attempts, concurrent, password_file } = self;
        let wrong = |setting: &str, why: &str| Some(format!("clients.repair.{setting}: {why}"));
        let program = match Command::program(command.clone()) {
            Ok(program) => program,
            Err(error) => return wrong("command", &error.to_string()),
        };
        if !program.names(CLIENT) {
            return wrong(
                "command",
                "has no argument that is {client} and nothing else, so that it would not know whom to repair",
            );
        }
        if let Some(unknown) =
            command.iter().find(|word| is_placeholder(word) && !PLACEHOLDERS.contains(&word.as_str()))
        {
            return wrong(
                "command",
                &format!("the argument {unknown} stands for nothing; known are {}", PLACEHOLDERS.join(", ")),
            );
        }
        if facts.is_none() && (program.names(CERTIFICATE) || program.names(FILES)) {
            return wrong("command", "{certificate} and {files} are not known of this product; write the paths");
        }
        match (program.names(PASSWORD_FILE), password_file) {
            (true, None) => return wrong("passwordFile", "missing: the command has the argument {passwordFile}"),
            (false, Some(_)) => {
                return wrong("passwordFile", "the command has no argument {passwordFile}, which stands for its path");
            }
            _ => {}
        }
        if deadline.as_duration() > LONGEST_DEADLINE {
            return wrong("deadline", "must be 30 minutes at most");
        }
        if !(1..=MOST_ATTEMPTS).contains(attempts) {
            return wrong("attempts", "must be from 1 to 10");
        }
        if !(1..=MOST_AT_ONCE).contains(concurrent) {
            return wrong("concurrent", "must be from 1 to 8");
        }
        None
    }
}

/// What looks like a word that stands for something: a misspelt one would be handed over as it is.
fn is_placeholder(word: &str) -> bool {
    let name = word.strip_prefix('{').and_then(|word| word.strip_suffix('}'));
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// Files are copied to a client that may be at the end of a slow line.
const fn default_deadline() -> Interval {
    Interval::new(Duration::from_mins(10))
}

/// With the pauses between them they are seven hours: a client that was off at the first is mostly on at one of them.
const fn default_attempts() -> u32 {
    3
}

/// A site's network carries the programs of an agent to one client at a time without anybody noticing.
const fn default_concurrent() -> usize {
    1
}

#[cfg(test)]
mod tests {
    use kagiban_agents::Product;

    use super::*;
    use crate::platform::testing::native;

    fn problem(product: &str, section: &str) -> Option<String> {
        let config: ClientRepairConfig = serde_yaml::from_str(&native(section)).expect("a section");
        let product: Product = product.parse().expect("a product");
        config.problem(product.facts().clients.as_ref())
    }

    #[test]
    fn a_repair_is_a_program_that_is_told_the_client_and_all_else_has_bounds() {
        for section in [
            "{command: [deliver, '{client}']}",
            "{command: [/bin/deliver, '{client}', '{certificate}', '{files}'], deadline: 30m, attempts: 10, concurrent: 8}",
            "{command: [/bin/deliver, '{client}', '{passwordFile}'], passwordFile: /run/unload}",
        ] {
            assert_eq!(problem("apex-one", section), None, "{section}");
        }
        for (section, setting, why) in [
            ("{command: []}", "command", ""),
            ("{command: ['{client}']}", "command", "no argument that is {client}"),
            ("{command: [bin/deliver, '{client}']}", "command", "absolute"),
            ("{command: [deliver]}", "command", "no argument that is {client}"),
            ("{command: [deliver, '//{client}']}", "command", "no argument that is {client}"),
            ("{command: [deliver, '{client}', '{passwordFile}']}", "passwordFile", "missing"),
            ("{command: [deliver, '{client}', '{password}']}", "command", "{password} stands for nothing"),
            ("{command: [deliver, '{client}', '{certifcate}']}", "command", "{certificate}"),
            (
                "{command: [deliver, '{client}'], passwordFile: /run/unload}",
                "passwordFile",
                "no argument {passwordFile}",
            ),
            ("{command: [deliver, '{client}'], deadline: 31m}", "deadline", "30 minutes"),
            ("{command: [deliver, '{client}'], attempts: 0}", "attempts", "from 1 to 10"),
            ("{command: [deliver, '{client}'], attempts: 11}", "attempts", "from 1 to 10"),
            ("{command: [deliver, '{client}'], concurrent: 0}", "concurrent", "from 1 to 8"),
            ("{command: [deliver, '{client}'], concurrent: 9}", "concurrent", "from 1 to 8"),
        ] {
            let said = problem("apex-one", section).unwrap_or_else(|| panic!("{section} is refused"));
            assert!(
                said.starts_with(&format!("clients.repair.{setting}: ")) && said.contains(why),
                "{section}: {said}"
            );
        }
        let said = problem("self-renewing-service", "{command: [deliver, '{client}', '{certificate}']}");
        assert!(said.is_some_and(|said| said.contains("not known of this product")));
        assert_eq!(problem("self-renewing-service", "{command: [deliver, '{client}']}"), None);
    }
}
