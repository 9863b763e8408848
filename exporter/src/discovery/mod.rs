//! What is worth looking at on a host that has no configuration.

pub mod proposal;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use futures::future::join_all;
use kagiban_agents::{Product, powerchute_network_shutdown};
use tokio::time::Instant;

use crate::blocking::{Flights, Work};
use crate::installation::{Installed, local_endpoint};
use crate::platform;
use crate::probe::{Authorities, Endpoint};

/// Since Java 9, and before.
const TRUST_STORES: &[&str] = &["lib/security/cacerts", "jre/lib/security/cacerts"];
/// More directories than this beside each other are no JVMs.
const MAX_JVMS: usize = 64;

/// Where to search.
#[derive(Clone, Debug, Default)]
pub struct SearchPaths {
    pub agents: Vec<Installed>,
    pub jvm_parents: Vec<PathBuf>,
    pub java_home: Option<PathBuf>,
    pub bundles: Vec<PathBuf>,
    pub network_shutdown_logs: Vec<PathBuf>,
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    /// Agents, such as PowerChute.
    pub agents: Vec<Installed>,
    /// Trust stores of JVMs.
    pub trust_stores: Vec<PathBuf>,
    /// The system's CA bundle; endpoints are checked against it.
    pub system_bundle: Option<PathBuf>,
    /// The event logs of PowerChute Network Shutdown; the other agents keep theirs in their directories.
    pub network_shutdown_logs: Vec<PathBuf>,
}

/// What is searched by itself: a file system that hangs under one keeps nothing of another from being found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Agents,
    TrustStores,
    SystemBundle,
    NetworkShutdownLogs,
}

impl Part {
    const ALL: [Self; 4] = [Self::Agents, Self::TrustStores, Self::SystemBundle, Self::NetworkShutdownLogs];
}

/// A part that hangs holds one thread, however often it is searched.
static SEARCHES: LazyLock<Flights<Part, Discovered>> = LazyLock::new(Flights::new);

/// What is in the usual places, as far as it is known at `until`. Of a part that hangs nothing is found, and the log says so.
pub(crate) async fn search_usual(until: Instant) -> Discovered {
    let places = Arc::new(SearchPaths::usual());
    let searched = join_all(Part::ALL.map(|part| {
        let places = Arc::clone(&places);
        let search = async move { SEARCHES.join(Work::Search, part, until, move || places.search_part(part)).await };
        async move {
            search.await.unwrap_or_else(|blocked| {
                tracing::warn!(
                    ?part, reason = blocked.reason(), error = %blocked,
                    "the usual places were not searched to the end, and nothing that is there is looked at; reload the \
                     configuration when the file system answers again"
                );
                Discovered::default()
            })
        }
    }));
    searched.await.into_iter().fold(Discovered::default(), Discovered::with)
}

impl SearchPaths {
    /// The places that are usual for this kind of host.
    pub fn usual() -> Self {
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).filter(|path| path.is_absolute()).collect();
        Self {
            agents: Product::ALL.iter().copied().flat_map(Installed::usual).collect(),
            jvm_parents: paths(platform::JVM_PARENTS),
            java_home: env::var_os("JAVA_HOME").map(PathBuf::from).filter(|path| path.is_absolute()),
            bundles: paths(platform::CA_BUNDLES),
            network_shutdown_logs: paths(powerchute_network_shutdown::event_logs(platform::OS)),
        }
    }

    /// Blocks on the file system.
    fn search_part(&self, part: Part) -> Discovered {
        let nothing = Discovered::default();
        match part {
            Part::Agents => Discovered { agents: self.installed(), ..nothing },
            Part::TrustStores => Discovered { trust_stores: self.trust_stores(), ..nothing },
            Part::SystemBundle => {
                Discovered { system_bundle: self.bundles.iter().find(|path| path.is_file()).cloned(), ..nothing }
            }
            Part::NetworkShutdownLogs => {
                let logs = self.network_shutdown_logs.iter().filter(|path| path.is_file()).cloned();
                Discovered { network_shutdown_logs: logs.collect(), ..nothing }
            }
        }
    }

    fn installed(&self) -> Vec<Installed> {
        let there = first_of_each(self.agents.iter().map(|at| &at.directory).filter(|path| path.is_dir()));
        self.agents.iter().filter(|at| there.contains(&at.directory)).cloned().collect()
    }

    fn trust_stores(&self) -> Vec<PathBuf> {
        let below = self.jvm_parents.iter().flat_map(|parent| subdirectories(parent));
        let homes = self.java_home.iter().cloned().chain(below);
        let stores = homes.flat_map(|home| TRUST_STORES.iter().map(move |store| home.join(store)));
        let there: Vec<_> = stores.filter(|store| store.is_file()).collect();
        first_of_each(there.iter())
    }
}

impl Discovered {
    fn with(mut self, other: Self) -> Self {
        let Self { agents, trust_stores, system_bundle, network_shutdown_logs } = other;
        self.agents.extend(agents);
        self.trust_stores.extend(trust_stores);
        self.system_bundle = self.system_bundle.or(system_bundle);
        self.network_shutdown_logs.extend(network_shutdown_logs);
        self
    }

    /// Whom the system trusts.
    pub fn authorities(&self) -> Option<Authorities> {
        let in_store = || {
            let keeps_a_store = !platform::LACKS.contains(&platform::Ability::CertificateStores);
            keeps_a_store.then_some(Authorities::SystemStore)
        };
        self.system_bundle.clone().map(Authorities::File).or_else(in_store)
    }

    /// Where a product is installed: the first of its usual directories that is there.
    pub fn directory_of(&self, product: Product) -> Option<PathBuf> {
        self.agents.iter().find(|at| at.product == product).map(|at| at.directory.clone())
    }

    /// Where the agents that are installed write their events, from the first one on.
    pub fn event_logs(&self) -> Vec<PathBuf> {
        let of_agents = self.agents.iter().filter_map(Installed::event_log);
        of_agents.chain(self.network_shutdown_logs.iter().cloned()).collect()
    }

    /// Where the agents that are installed answer on this host.
    pub fn local_endpoints(&self, host: &str) -> Vec<Endpoint> {
        let endpoints = self.agents.iter().filter_map(|at| local_endpoint(at.product, Some(host)));
        let endpoints: BTreeMap<String, Endpoint> = endpoints.map(|it| (it.address.clone(), it)).collect();
        endpoints.into_values().collect()
    }
}

fn subdirectories(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
    let mut directories: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).take(MAX_JVMS).collect();
    directories.sort();
    directories
}

/// Several paths may lead to one thing; the first is kept, as it was found.
fn first_of_each<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let mut seen = std::collections::BTreeSet::new();
    paths.filter(|path| seen.insert(fs::canonicalize(path).unwrap_or_else(|_| (*path).clone()))).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::testing::symlink;

    fn search(places: &SearchPaths) -> Discovered {
        Part::ALL.map(|part| places.search_part(part)).into_iter().fold(Discovered::default(), Discovered::with)
    }

    #[test]
    fn one_store_behind_two_links_is_found_once_and_a_powerchute_directory_brings_its_endpoint() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let store = root.path().join("jvm/java-17/lib/security/cacerts");
        fs::create_dir_all(store.parent().expect("has a parent")).expect("directories");
        fs::write(&store, "").expect("a store");
        symlink("java-17", root.path().join("jvm/default")).expect("a link");
        fs::create_dir(root.path().join("Agent")).expect("a directory");
        symlink("Agent", root.path().join("agent")).expect("a link");
        let product = Product::PowerchuteSerialShutdown;
        let at = |name: &str| Installed { product, directory: root.path().join(name) };
        let places = SearchPaths {
            agents: vec![at("none"), at("Agent"), at("agent")],
            jvm_parents: vec![root.path().join("jvm"), root.path().join("none")],
            java_home: None,
            bundles: vec![root.path().join("none")],
            network_shutdown_logs: vec![root.path().join("none")],
        };
        let found = search(&places);
        assert_eq!(found.agents, [at("Agent")]);
        assert_eq!(found.trust_stores, [root.path().join("jvm/default/lib/security/cacerts")]);
        let local = Endpoint { address: "127.0.0.1:6547".to_owned(), server_name: Some("ups-01".to_owned()) };
        assert_eq!(found.local_endpoints("ups-01"), [local]);
        assert_eq!(found.event_logs(), [root.path().join("Agent/EventLog")]);
    }

    #[test]
    fn a_bare_host_has_nothing() {
        assert_eq!(search(&SearchPaths::default()), Discovered::default());
        assert_eq!(Discovered::default().local_endpoints("ups-01"), []);
    }
}
