//! Which sources a configuration and a discovery make.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kagiban_crds::HostName;

use super::alerts::{self, AlertSource, ClientLogSource};
use super::clients::{self, ClientList, ClientSource};
use super::files::{self, FileRule, FileSource, PasswordSource, Paths};
use super::function::{self, FunctionCheck, FunctionSource};
use super::health::{self, AgentPaths, HealthSource, HealthTarget};
use super::inventory::{self, InventorySource};
use super::release::{self, ReleaseSource};
use super::stores::StoreSource;
use super::tls::{self, TlsSource, TrustCache};
use super::ups::UpsSource;
use super::{Look, Source, agent, host as host_source, names_of};
use crate::config::{
    AgentConfig, ApexCentralConfig, CertificateRule, Config, PathPattern, SourceName, TlsEndpoint, UpsConfig,
};
use crate::discovery::Discovered;
use crate::installation::{Installed, local_endpoint};
use crate::probe::{Authorities, Endpoint};
use crate::snapshot::{Label, SourceId, SourceKind};
use crate::ups::UpsFault;

/// Every source, in the order of their identities. It looks at no file: what is there was `found`. What was configured goes before what was discovered under one name.
pub fn plan(config: &Config, found: &Discovered, host: &HostName) -> Vec<Source> {
    let trust = TrustCache::default();
    let authorities = found.authorities();
    let system = authorities.as_ref();
    let tls = |endpoint: &TlsEndpoint| {
        let id = SourceId::own(SourceKind::Tls, Label::new(endpoint.name()));
        tls_source(endpoint, id, system, &trust)
    };
    let mut sources: Vec<Source> = Vec::new();
    sources.extend(config.certificates.iter().map(configured_certificates));
    sources.extend(config.tls_endpoints.iter().map(&tls));
    let state_directory = config.state_directory();
    sources.extend(config.ups.iter().map(|ups| {
        let id = SourceId::own(SourceKind::Ups, Label::new(ups.name.as_str()));
        ups_source(ups, id, system, &state_directory)
    }));
    sources.extend(host_source::plan(config, found));
    sources.extend(host_source::reboot(config));
    if config.discovers() {
        sources.extend(found.agents.iter().map(|at| {
            let id = SourceId::own(SourceKind::Agent, Label::from_path(&at.directory));
            file_source(id, agent::rule(at))
        }));
        sources.extend(config.agents.iter().filter_map(|agent| configured_agent(agent, config, found)));
        sources.extend(discovered_files("jvm", &found.trust_stores));
        sources.extend(discovered_files("system", found.system_bundle.as_slice()));
        sources.extend(endpoints_of_agents(config, found, host).iter().map(&tls));
    }
    sources.extend(config.agents.iter().filter_map(alert_source));
    sources.extend(config.agents.iter().filter_map(client_log_source));
    sources.extend(config.agents.iter().filter_map(|agent| client_source(agent, found, &state_directory)));
    sources.extend(config.agents.iter().filter_map(|agent| function_source(agent, found)));
    sources.extend(release_sources(config, found));
    sources.extend(config.apex_central.iter().map(|central| inventory_source(central, system)));
    if config.powerchute_health.enabled {
        sources.extend(health_sources(config, found, host));
    }
    for outside in &config.outside_hosts {
        let host = Label::new(outside.host.as_str());
        let id = |kind, name: &str| SourceId { host: Some(host.clone()), kind, name: Label::new(name) };
        let endpoints = outside.tls_endpoints.iter();
        sources.extend(
            endpoints.map(|endpoint| tls_source(endpoint, id(SourceKind::Tls, endpoint.name()), system, &trust)),
        );
        let upses = outside.ups.iter();
        sources
            .extend(upses.map(|ups| ups_source(ups, id(SourceKind::Ups, ups.name.as_str()), system, &state_directory)));
    }
    let mut taken = std::collections::BTreeSet::new();
    sources.retain(|source| taken.insert(source.id.clone()));
    let files = config.named_files();
    for source in &mut sources {
        source.files = files.iter().filter(|file| file.is_read_by(&source.id)).cloned().collect();
    }
    sources
}

/// Every reason that a source of each kind can fail for, but of UPSes, which have a type of their own.
#[cfg(test)]
pub(crate) fn reasons() -> [(SourceKind, &'static [&'static str]); 10] {
    [
        (SourceKind::Agent, files::REASONS),
        (SourceKind::Alerts, alerts::REASONS),
        (SourceKind::Clients, clients::REASONS),
        (SourceKind::File, files::REASONS),
        (SourceKind::Function, function::REASONS),
        (SourceKind::Health, health::REASONS),
        (SourceKind::Host, host_source::REASONS),
        (SourceKind::Inventory, inventory::REASONS),
        (SourceKind::Release, release::REASONS),
        (SourceKind::Tls, tls::REASONS),
    ]
}

fn configured_certificates(rule: &CertificateRule) -> Source {
    let look = if rule.windows_stores.is_empty() { configured_files(rule) } else { configured_stores(rule) };
    Source {
        id: SourceId::own(SourceKind::File, Label::new(rule.name.as_str())),
        reasons: files::REASONS,
        interval: rule.interval.as_duration(),
        look,
        wake: Arc::default(),
        files: Vec::new(),
    }
}

fn configured_stores(rule: &CertificateRule) -> Look {
    let stores = rule.windows_stores.iter().map(|store| store.as_str().to_owned()).collect();
    Look::Stores(StoreSource::new(stores, rule.timeout.as_duration()))
}

fn configured_files(rule: &CertificateRule) -> Look {
    let password = rule.password_file.clone().map_or(PasswordSource::None, PasswordSource::File);
    let files = FileRule {
        paths: Paths::Patterns(rule.paths.clone()),
        exclude: rule.exclude.clone(),
        password,
        max_files: rule.max_files,
        distinct: false,
    };
    Look::Files(Box::new(FileSource::new(files, rule.timeout.as_duration())))
}

/// The keystore of an agent of the configuration, unless it is looked at already: as one that was found, or by a rule of this name.
fn configured_agent(agent: &AgentConfig, config: &Config, found: &Discovered) -> Option<Source> {
    let at = Installed::of(agent, |product| found.directory_of(product));
    let (name, rule) = match agent::own_keystore(agent) {
        Some(path) if found.agents.iter().any(|at| at.keystores().any(|keystore| keystore == *path)) => return None,
        Some(path) => (Label::new(agent.name.as_str()), agent::configured(agent, at.as_ref(), path)),
        None => (Label::from_path(&at.as_ref()?.directory), agent::rule(at.as_ref()?)),
    };
    let is_taken = config.certificates.iter().any(|rule| rule.name.as_str() == name.as_str());
    let holds_a_store = !matches!(&rule.paths, Paths::AnyOf(paths) if paths.is_empty());
    (!is_taken && holds_a_store).then(|| file_source(SourceId::own(SourceKind::Agent, name), rule))
}

/// The alerts of an agent that is looked at through them.
fn alert_source(agent: &AgentConfig) -> Option<Source> {
    let source = AlertSource::new(agent)?;
    Some(Source {
        id: SourceId::own(SourceKind::Alerts, Label::new(agent.name.as_str())),
        reasons: alerts::REASONS,
        interval: source.interval(),
        look: Look::Alerts(Box::new(source)),
        wake: Arc::default(),
        files: Vec::new(),
    })
}

/// What the clients of an agent have logged: such an agent is not looked at through alerts.
fn client_log_source(agent: &AgentConfig) -> Option<Source> {
    let source = ClientLogSource::new(agent)?;
    Some(Source {
        id: SourceId::own(SourceKind::Alerts, Label::new(agent.name.as_str())),
        reasons: alerts::REASONS,
        interval: source.interval(),
        look: Look::ClientLogs(Box::new(source)),
        wake: Arc::default(),
        files: Vec::new(),
    })
}

/// Of an agent whose clients are listed. A configuration that is refused is told by the agent's rotations.
fn client_source(agent: &AgentConfig, found: &Discovered, state_directory: &Path) -> Option<Source> {
    let at = Installed::of(agent, |product| found.directory_of(product));
    let list = ClientList::of(agent, at.as_ref()).ok()??;
    let source = ClientSource::new(agent.name.clone(), agent.product, list, state_directory.to_owned());
    Some(Source {
        id: SourceId::own(SourceKind::Clients, Label::new(agent.name.as_str())),
        reasons: clients::REASONS,
        interval: source.interval(),
        look: Look::Clients(Box::new(source)),
        wake: Arc::default(),
        files: Vec::new(),
    })
}

fn inventory_source(config: &ApexCentralConfig, system: Option<&Authorities>) -> Source {
    Source {
        id: SourceId::own(SourceKind::Inventory, Label::new(&config.name())),
        reasons: inventory::REASONS,
        interval: config.interval.as_duration(),
        look: Look::Inventory(Box::new(InventorySource::new(config, system))),
        wake: Arc::default(),
        files: Vec::new(),
    }
}

/// Of the parts of products whose vendor's notice tells releases apart: of those that were found, and those that are configured.
fn release_sources(config: &Config, found: &Discovered) -> Vec<Source> {
    let configured = config.agents.iter().filter_map(|agent| Installed::of(agent, |it| found.directory_of(it)));
    let source = |at: Installed| {
        let is_its = |agent: &&AgentConfig| {
            let directory = agent.directory.as_ref();
            agent.product == at.product && directory.is_none_or(|directory| *directory == at.directory)
        };
        let agent = config.agents.iter().find(is_its).map(|agent| Label::new(agent.name.as_str()));
        Some(Source {
            id: SourceId::own(SourceKind::Release, Label::from_path(&at.directory)),
            reasons: release::REASONS,
            interval: release::INTERVAL,
            look: Look::Release(Box::new(ReleaseSource::new(agent, at)?)),
            wake: Arc::default(),
            files: Vec::new(),
        })
    };
    let found = found.agents.iter().filter(|_| config.discovers()).cloned();
    found.chain(configured).filter_map(source).collect()
}

/// Of an agent that is asked between rotations. A configuration that is refused is told by the agent's rotations.
fn function_source(agent: &AgentConfig, found: &Discovered) -> Option<Source> {
    let at = Installed::of(agent, |product| found.directory_of(product));
    let check = FunctionCheck::of(agent, at.as_ref()).ok()??;
    Some(Source {
        id: SourceId::own(SourceKind::Function, Label::new(agent.name.as_str())),
        reasons: function::REASONS,
        interval: check.interval?,
        look: Look::Function(Box::new(FunctionSource::new(agent.name.clone(), agent.product, check))),
        wake: Arc::default(),
        files: Vec::new(),
    })
}

/// Several paths may lead to one store, as the links that distributions make for every version of a JVM.
fn discovered_files(name: &str, paths: &[PathBuf]) -> Option<Source> {
    if paths.is_empty() {
        return None;
    }
    let rule = FileRule {
        paths: Paths::Patterns(paths.iter().cloned().map(PathPattern::Exact).collect()),
        exclude: Vec::new(),
        password: PasswordSource::None,
        max_files: CertificateRule::default_max_files(),
        distinct: true,
    };
    Some(file_source(SourceId::own(SourceKind::File, Label::new(name)), rule))
}

fn file_source(id: SourceId, rule: FileRule) -> Source {
    let timeout: Duration = CertificateRule::default_timeout().as_duration();
    Source {
        id,
        reasons: files::REASONS,
        interval: CertificateRule::default_interval().as_duration(),
        look: Look::Files(Box::new(FileSource::new(rule, timeout))),
        wake: Arc::default(),
        files: Vec::new(),
    }
}

/// Where agents answer, those that are configured first, unless the address stands under `tlsEndpoints`.
fn endpoints_of_agents(config: &Config, found: &Discovered, host: &HostName) -> Vec<TlsEndpoint> {
    let watched = |endpoint: Endpoint, ca_file: Option<PathBuf>| {
        let name = SourceName::parse(&endpoint.address).ok()?;
        let mut watched = TlsEndpoint::new(name, endpoint);
        watched.ca_file = ca_file;
        Some(watched)
    };
    let configured = config.agents.iter().filter_map(|agent| match &agent.endpoint {
        Some(endpoint) => watched(endpoint.into(), endpoint.ca_file.clone()),
        None => watched(local_endpoint(agent.product, Some(host.as_str()))?, None),
    });
    let discovered = found.local_endpoints(host.as_str()).into_iter().filter_map(|endpoint| watched(endpoint, None));
    let is_named = |it: &TlsEndpoint| config.tls_endpoints.iter().any(|named| named.address == it.address);
    configured.chain(discovered).filter(|it| !is_named(it)).collect()
}

fn tls_source(endpoint: &TlsEndpoint, id: SourceId, system: Option<&Authorities>, trust: &TrustCache) -> Source {
    Source {
        look: Look::Tls(TlsSource::new(endpoint, system, trust.clone(), names_of(&id))),
        reasons: reasons_of(&id, tls::REASONS),
        id,
        interval: endpoint.interval.as_duration(),
        wake: Arc::default(),
        files: Vec::new(),
    }
}

fn ups_source(config: &UpsConfig, id: SourceId, system: Option<&Authorities>, state_directory: &Path) -> Source {
    Source {
        look: Look::Ups(Box::new(UpsSource::new(config, system, state_directory, names_of(&id)))),
        reasons: reasons_of(&id, &UpsFault::REASONS),
        id,
        interval: config.interval.as_duration(),
        wake: Arc::default(),
        files: Vec::new(),
    }
}

/// Those whose counters are there from the start. A line of zeros for each reason of each of a thousand outside hosts would be megabytes
/// in every scrape: of them, what has occurred is there.
const fn reasons_of(id: &SourceId, all: &'static [&'static str]) -> &'static [&'static str] {
    if id.host.is_none() { all } else { &[] }
}

/// Of the agents whose vendor has a hardening list: those that are configured, and those that were found elsewhere.
fn health_sources(config: &Config, found: &Discovered, host: &HostName) -> Vec<Source> {
    let configured: Vec<_> = config.agents.iter().filter_map(|agent| configured_target(agent, found, host)).collect();
    let is_new = |at: &&Installed| configured.iter().all(|target| target.paths.directory != at.directory);
    let discovered = found.agents.iter().filter(|_| config.discovers()).filter(is_new);
    let discovered: Vec<_> = discovered.filter_map(|at| discovered_target(at, host)).collect();
    let source = |target: HealthTarget| Source {
        id: SourceId::own(
            SourceKind::Health,
            target.name.clone().unwrap_or_else(|| Label::from_path(&target.paths.directory)),
        ),
        reasons: health::REASONS,
        interval: config.powerchute_health.interval.as_duration(),
        look: Look::Health(Box::new(HealthSource::new(target, &config.powerchute_health))),
        wake: Arc::default(),
        files: Vec::new(),
    };
    configured.into_iter().chain(discovered).map(source).collect()
}

fn configured_target(agent: &AgentConfig, found: &Discovered, host: &HostName) -> Option<HealthTarget> {
    let at = Installed::of(agent, |product| found.directory_of(product))?;
    let mut target = discovered_target(&at, host)?;
    target.name = Some(Label::new(agent.name.as_str()));
    if let Some(endpoint) = &agent.endpoint {
        target.endpoint = endpoint.into();
    }
    let paths = &mut target.paths;
    if let Some(keystore) = agent.keystore.path.as_ref().or(agent.keystore.certificate_file.as_ref()) {
        paths.keystore.clone_from(keystore);
    }
    if let Some(alias) = &agent.keystore.alias {
        paths.alias = Some(alias.clone());
    }
    paths.password_file.clone_from(&agent.password_file);
    if let (Some(path), Some((known, _))) = (&agent.password_ini, &mut paths.password_ini) {
        known.clone_from(path);
    }
    Some(target)
}

/// An agent as its product knows it.
fn discovered_target(at: &Installed, host: &HostName) -> Option<HealthTarget> {
    let facts = at.product.facts();
    let product = facts.hardening.as_ref()?;
    let paths = AgentPaths {
        product,
        directory: at.directory.clone(),
        keystore: at.keystores().next()?,
        alias: facts.alias.map(str::to_owned),
        password_file: None,
        password_ini: at.password_ini(),
        protected: facts.protected,
        command_directories: Vec::new(),
    };
    let endpoint = local_endpoint(at.product, Some(host.as_str()))?;
    Some(HealthTarget { name: None, product, paths, endpoint })
}

#[cfg(test)]
mod tests {
    use kagiban_agents::Product;

    use super::*;
    use crate::config;
    use crate::platform::{self, testing::native};

    const WEB: &str = "agents:\n- name: web\n  product: tls-service\n  keystore: {certificateFile: /etc/web/tls.crt, keyFile: /etc/web/tls.key}\n  \
                       endpoint: {address: \"127.0.0.1:8443\", serverName: web.example.com}\n  service: {stop: [a], start: [a]}\n";

    /// Of agents and endpoints, by kind and name.
    fn planned(text: &str, found: &Discovered) -> Vec<String> {
        let config = config::parse(text, Path::new("c")).unwrap_or_else(|error| panic!("{error}"));
        let host = "ups-01.example.com".parse().expect("a name");
        let of_agents = |id: &SourceId| matches!(id.kind, SourceKind::Agent | SourceKind::Tls);
        let sources = plan(&config, found, &host).into_iter().filter(|source| of_agents(&source.id));
        sources.map(|source| format!("{} {}", source.id.kind.as_str(), source.id.name)).collect()
    }

    fn with(directory: &str) -> Discovered {
        let at = Installed { product: Product::PowerchuteSerialShutdown, directory: directory.into() };
        Discovered { agents: vec![at], ..Discovered::default() }
    }

    /// What is rotated is watched.
    #[test]
    fn an_agent_of_the_configuration_is_looked_at_though_nothing_else_names_its_files() {
        let nothing = Discovered::default();
        assert_eq!(planned(WEB, &nothing), ["agent web", "tls 127.0.0.1:8443"]);
        let elsewhere = "agents: [{name: powerchute, product: powerchute-serial-shutdown, directory: /srv/Agent}]\n";
        assert_eq!(planned(elsewhere, &nothing), ["agent /srv/Agent", "tls 127.0.0.1:6547"]);
        assert!(planned(&format!("{WEB}discovery: {{enabled: false}}\n"), &nothing).is_empty());
    }

    #[test]
    fn the_release_of_a_part_is_looked_at_once_wherever_it_is_named() {
        let product = Product::PowerchuteBusinessEdition;
        let agents = ["/opt/pcbe/Server", "/opt/pcbe/Agent", "/opt/pcbe/other"];
        let agents = agents.map(|directory| Installed { product, directory: native(directory).into() });
        let found = Discovered { agents: agents.to_vec(), ..Discovered::default() };
        let named = "agents: [{name: pcbe, product: powerchute-business-edition, directory: /opt/pcbe/Agent}, {name: b, product: \
                     powerchute-business-edition, directory: /srv/agent}]\n";
        for (text, elsewhere) in [("", &[][..]), (named, &["/srv/agent"])] {
            let config = config::parse(&native(text), Path::new("c")).unwrap_or_else(|error| panic!("{error}"));
            let host = "ups-01.example.com".parse().expect("a name");
            let planned = plan(&config, &found, &host).into_iter().filter(|it| it.id.kind == SourceKind::Release);
            let planned: Vec<_> = planned.map(|source| source.id.name.to_string()).collect();
            // Of the server a package says nothing.
            let of_parts =
                agents.iter().filter(|at| at.part().is_some_and(|part| part.release_mark(platform::OS).is_some()));
            let expected = of_parts.map(|at| at.directory.display().to_string());
            let expected: Vec<_> = expected.chain(elsewhere.iter().map(|directory| native(directory))).collect();
            assert_eq!(planned, expected, "{text}");
            assert!(planned.iter().any(|name| name.ends_with("Agent")), "{planned:?}");
        }
    }

    /// `check` advises a `caFile`, and only `tlsEndpoints` took one.
    #[test]
    fn an_agents_endpoint_is_checked_against_the_authorities_that_it_names() {
        let found = Discovered { system_bundle: Some("/etc/bundle.pem".into()), ..Discovered::default() };
        let with_ca = WEB.replace("serverName: web.example.com", "caFile: /etc/web/ca.pem");
        for (text, ca_file) in [(with_ca.as_str(), Some(PathBuf::from(native("/etc/web/ca.pem")))), (WEB, None)] {
            let config = config::parse(&native(text), Path::new("c")).unwrap_or_else(|error| panic!("{error}"));
            let host = "ups-01.example.com".parse().expect("a name");
            let endpoints = endpoints_of_agents(&config, &found, &host);
            let [endpoint] = endpoints.as_slice() else { panic!("{endpoints:?}") };
            assert_eq!(endpoint.ca_file, ca_file);
            let planned = plan(&config, &found, &host);
            let source = planned.iter().find(|source| source.id.kind == SourceKind::Tls).expect("it is watched");
            let files: Vec<_> = source.files.iter().map(|file| file.setting.as_str()).collect();
            assert_eq!(files, ca_file.map(|_| "agents[0].endpoint.caFile").as_slice());
        }
        let relative = WEB.replace("serverName: web.example.com", "caFile: ca.pem");
        assert!(config::parse(&native(&relative), Path::new("c")).is_err());
    }

    #[test]
    fn an_outside_host_has_sources_of_its_own_beside_those_of_equal_names() {
        let both = "ups: [{name: rack-a, apcupsd: {address: 'h:1'}}]\ntlsEndpoints: [{name: web, address: 'h:2'}]\n";
        let one = "ups: [{name: rack-a, apcupsd: {address: 'h:1'}}], tlsEndpoints: [{name: web, address: 'h:2', interval: 5m}]";
        let text = format!("{both}outsideHosts: [{{host: win-01, {one}}}, {{host: win-02, {one}}}]\n");
        let config = config::parse(&text, Path::new("c")).expect("a configuration");
        let host = "ups-01.example.com".parse().expect("a name");
        let sources = plan(&config, &Discovered::default(), &host);
        let told = |source: &Source| {
            let SourceId { host, kind, name } = &source.id;
            let host = host.as_ref().map_or("here", Label::as_str);
            format!("{host} {} {name} {} s, {} reasons", kind.as_str(), source.interval.as_secs(), source.reasons.len())
        };
        let mut told: Vec<_> =
            sources.iter().map(told).filter(|it| it.contains(" web ") || it.contains(" rack-a ")).collect();
        told.sort();
        let (of_tls, of_ups) = (tls::REASONS.len(), UpsFault::REASONS.len());
        assert_eq!(
            told,
            [
                format!("here tls web 60 s, {of_tls} reasons"),
                format!("here ups rack-a 10 s, {of_ups} reasons"),
                "win-01 tls web 300 s, 0 reasons".to_owned(),
                "win-01 ups rack-a 10 s, 0 reasons".to_owned(),
                "win-02 tls web 300 s, 0 reasons".to_owned(),
                "win-02 ups rack-a 10 s, 0 reasons".to_owned(),
            ]
        );
    }

    #[test]
    fn an_agent_that_is_looked_at_already_is_not_looked_at_twice() {
        let usual = "agents: [{name: powerchute, product: powerchute-serial-shutdown}]\n";
        let once = ["agent /opt/Agent", "tls 127.0.0.1:6547"];
        assert_eq!(planned(usual, &with("/opt/Agent")), once);
        let path = "agents: [{name: powerchute, product: powerchute-serial-shutdown, keystore: {path: /opt/Agent/keystore}}]\n";
        assert_eq!(planned(path, &with("/opt/Agent")), once);
        let named = "certificates: [{name: web, paths: [/etc/web/tls.crt]}]\ntlsEndpoints: [{name: web, address: \"127.0.0.1:8443\"}]\n\
                     discovery: {enabled: true}\n";
        assert_eq!(planned(&format!("{WEB}{named}"), &Discovered::default()), ["tls web"]);
    }
}
