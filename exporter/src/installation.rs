//! Where an agent lies on this host and where it answers: as its configuration says, else as its product is known to. Observation,
//! checks of hardening and rotations ask here.

use std::path::{Path, PathBuf};

use kagiban_agents::{CommandWord, Part, PasswordIni, Product};

use crate::config::{AgentConfig, CERTIFICATE, ClientRepairConfig, FILES, PASSWORD_FILE};
use crate::platform::{self, Command};
use crate::probe::Endpoint;

/// The part that watches the UPS, of a product in parts.
const AGENT: &str = "agent";

/// An argument of a command that stands for the password of `renew.passwordFile`.
pub(crate) const PASSWORD: &str = "{password}";
/// One that stands for the file of the backup.
pub(crate) const BACKUP: &str = "{backup}";
/// One that stands for the file that a list of clients is written to.
pub(crate) const CLIENT_LIST: &str = "{list}";

/// A product and its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub product: Product,
    pub directory: PathBuf,
}

impl Installed {
    /// Where the product installs itself, the likeliest first.
    pub(crate) fn usual(product: Product) -> impl Iterator<Item = Self> + Clone {
        let directories = (product.facts().directories)(platform::OS);
        directories.iter().map(move |directory| Self { product, directory: PathBuf::from(directory) })
    }

    /// The directory that was configured, else the one that is `found`, else the likeliest; none of a product that has no usual one.
    pub(crate) fn of(config: &AgentConfig, found: impl FnOnce(Product) -> Option<PathBuf>) -> Option<Self> {
        let product = config.product;
        let directory = config.directory.clone().or_else(|| found(product));
        directory.map(|directory| Self { product, directory }).or_else(|| Self::usual(product).next())
    }

    /// Where its keystore may lie, the likeliest first.
    pub(crate) fn keystores(&self) -> impl Iterator<Item = PathBuf> {
        self.product.facts().keystores.iter().map(|name| below(&self.directory, name))
    }

    /// The part of the product that lies there, by the name of the directory.
    pub(crate) fn part(&self) -> Option<&'static Part> {
        let name = self.directory.file_name()?;
        self.product.facts().parts.iter().find(|part| name.eq_ignore_ascii_case(part.name))
    }

    /// One of the product's own commands, with the words that stand for something in place of it.
    pub(crate) fn command(&self, words: &[CommandWord]) -> Vec<String> {
        let word = |word: &CommandWord| match word {
            CommandWord::Fixed(word) => (*word).to_owned(),
            CommandWord::Below(path) => below(&self.directory, path).to_string_lossy().into_owned(),
            CommandWord::Password => PASSWORD.to_owned(),
            CommandWord::Backup => BACKUP.to_owned(),
            CommandWord::ClientList => CLIENT_LIST.to_owned(),
        };
        words.iter().map(word).collect()
    }

    /// Where it reads its store's password from.
    pub(crate) fn password_ini(&self) -> Option<(PathBuf, PasswordIni)> {
        self.product.facts().password_ini.map(|ini| (self.directory.join(ini.file), ini))
    }

    /// Of a product in parts, the part that is the agent writes it, beside the other parts.
    pub(crate) fn event_log(&self) -> Option<PathBuf> {
        let name = self.product.facts().event_log?;
        let of_agent = self.part().filter(|part| part.name != AGENT).and_then(|_| {
            let capital = self.directory.file_name()?.to_str()?.starts_with(char::is_uppercase);
            Some(self.directory.with_file_name(if capital { "Agent" } else { AGENT }))
        });
        Some(of_agent.as_ref().unwrap_or(&self.directory).join(name))
    }
}

/// The program that gives a client the certificate, with the places of what it delivers; the client's name is not in it yet. The
/// configuration was checked when it was read. None where it is to be given a place in a directory that is not known.
pub(crate) fn client_repair_command(config: &ClientRepairConfig, at: Option<&Installed>) -> Option<Command> {
    let filled = |command: Command, placeholder, path: &Path| command.with(placeholder, &path.to_string_lossy());
    let mut command = Command::Program(config.command.clone());
    if let Some((at, clients)) = at.and_then(|at| Some((at, at.product.facts().clients?))) {
        command = filled(command, CERTIFICATE, &below(&at.directory, clients.certificate));
        command = filled(command, FILES, &below(&at.directory, clients.files));
    }
    if command.names(CERTIFICATE) || command.names(FILES) {
        return None;
    }
    Some(match &config.password_file {
        Some(file) => filled(command, PASSWORD_FILE, file),
        None => command,
    })
}

/// A file that a product's facts name, its parts divided by slashes.
pub(crate) fn below(directory: &Path, name: &str) -> PathBuf {
    name.split('/').fold(directory.to_owned(), |path, part| path.join(part))
}

/// Where an agent of the product answers, unless its configuration says otherwise.
pub(crate) fn local_endpoint(product: Product, server_name: Option<&str>) -> Option<Endpoint> {
    let address = format!("127.0.0.1:{}", product.facts().port?);
    Some(Endpoint { address, server_name: server_name.map(str::to_owned) })
}

/// The first usual directory of the product that is there. Blocks on the file system.
pub(crate) fn directory_there(product: Product, is_directory: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    Installed::usual(product).map(|at| at.directory).find(|path| is_directory(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_log_of_a_product_in_parts_is_that_of_its_agent() {
        let log = |directory: &str| {
            let product = Product::PowerchuteBusinessEdition;
            Installed { product, directory: directory.into() }.event_log().expect("it writes one")
        };
        for (directory, expected) in [
            ("/opt/APC/pbe/Server", "/opt/APC/pbe/Agent/EventLog"),
            ("/opt/APC/pbe/server", "/opt/APC/pbe/agent/EventLog"),
            ("/opt/APC/pbe/Agent", "/opt/APC/pbe/Agent/EventLog"),
            ("/opt/APC/pbe/other", "/opt/APC/pbe/other/EventLog"),
        ] {
            assert_eq!(log(directory), Path::new(expected), "{directory}");
        }
    }
}
