//! Where an agent lies on this host and where it answers: as its configuration says, else as its product is known to. Observation,
//! checks of hardening and rotations ask here.

use std::path::{Path, PathBuf};

use kagiban_agents::{Part, PasswordIni, Product};

use crate::config::AgentConfig;
use crate::platform;
use crate::probe::Endpoint;

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

    /// Where it reads its store's password from.
    pub(crate) fn password_ini(&self) -> Option<(PathBuf, PasswordIni)> {
        self.product.facts().password_ini.map(|ini| (self.directory.join(ini.file), ini))
    }

    pub(crate) fn event_log(&self) -> Option<PathBuf> {
        self.product.facts().event_log.map(|name| self.directory.join(name))
    }
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
