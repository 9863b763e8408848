//! Which sources a configuration and a discovery make.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kagiban_crds::HostName;

use super::files::{self, FileRule, FileSource, PasswordSource, Paths};
use super::health::{self, AgentPaths, HealthSource, HealthTarget};
use super::tls::{self, TlsSource, TrustCache};
use super::ups::UpsSource;
use super::{Look, Source, agent, host as host_source};
use crate::config::{AgentConfig, CertificateRule, Config, PathPattern, SourceName, TlsEndpoint, UpsConfig};
use crate::discovery::Discovered;
use crate::installation::{Installed, local_endpoint};
use crate::probe::Endpoint;
use crate::snapshot::{Label, SourceId, SourceKind};
use crate::ups::UpsFault;

/// Every source, in the order of their identities. It looks at no file: what is there was `found`. What was configured goes before what was discovered under one name.
pub fn plan(config: &Config, found: &Discovered, host: &HostName) -> Vec<Source> {
    let trust = TrustCache::default();
    let bundle = found.system_bundle.as_deref();
    let tls = |endpoint: &TlsEndpoint| tls_source(endpoint, TlsSource::new(endpoint, bundle, trust.clone()));
    let mut sources: Vec<Source> = Vec::new();
    sources.extend(config.certificates.iter().map(configured_files));
    sources.extend(config.tls_endpoints.iter().map(&tls));
    sources.extend(config.ups.iter().map(|ups| ups_source(ups, bundle, &config.state_directory())));
    sources.extend(host_source::plan(config, found));
    if config.discovers() {
        sources.extend(found.agents.iter().map(|at| {
            let id = SourceId { kind: SourceKind::Agent, name: Label::from_path(&at.directory) };
            file_source(id, agent::rule(at))
        }));
        sources.extend(discovered_files("jvm", &found.trust_stores));
        sources.extend(discovered_files("system", found.system_bundle.as_slice()));
        sources.extend(found.local_endpoints(host.as_str()).into_iter().filter_map(tls_endpoint).map(|it| tls(&it)));
    }
    if config.powerchute_health.enabled {
        sources.extend(health_sources(config, found, host));
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
pub(crate) fn reasons() -> [(SourceKind, &'static [&'static str]); 5] {
    [
        (SourceKind::Agent, files::REASONS),
        (SourceKind::File, files::REASONS),
        (SourceKind::Health, health::REASONS),
        (SourceKind::Host, host_source::REASONS),
        (SourceKind::Tls, tls::REASONS),
    ]
}

fn configured_files(rule: &CertificateRule) -> Source {
    let password = rule.password_file.clone().map_or(PasswordSource::None, PasswordSource::File);
    let files = FileRule {
        paths: Paths::Patterns(rule.paths.clone()),
        exclude: rule.exclude.clone(),
        password,
        max_files: rule.max_files,
        distinct: false,
    };
    Source {
        id: SourceId { kind: SourceKind::File, name: Label::new(rule.name.as_str()) },
        reasons: files::REASONS,
        interval: rule.interval.as_duration(),
        look: Look::Files(Box::new(FileSource::new(files, rule.timeout.as_duration()))),
        wake: Arc::default(),
        files: Vec::new(),
    }
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
    Some(file_source(SourceId { kind: SourceKind::File, name: Label::new(name) }, rule))
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

fn tls_endpoint(endpoint: Endpoint) -> Option<TlsEndpoint> {
    Some(TlsEndpoint::new(SourceName::parse(&endpoint.address).ok()?, endpoint))
}

fn tls_source(endpoint: &TlsEndpoint, look: TlsSource) -> Source {
    Source {
        id: SourceId { kind: SourceKind::Tls, name: Label::new(endpoint.name()) },
        reasons: tls::REASONS,
        interval: endpoint.interval.as_duration(),
        look: Look::Tls(look),
        wake: Arc::default(),
        files: Vec::new(),
    }
}

fn ups_source(config: &UpsConfig, bundle: Option<&Path>, state_directory: &Path) -> Source {
    Source {
        id: SourceId { kind: SourceKind::Ups, name: Label::new(config.name.as_str()) },
        reasons: &UpsFault::REASONS,
        interval: config.interval.as_duration(),
        look: Look::Ups(Box::new(UpsSource::new(config, bundle, state_directory))),
        wake: Arc::default(),
        files: Vec::new(),
    }
}

/// Of the agents whose vendor has a hardening list: those that are configured, and those that were found elsewhere.
fn health_sources(config: &Config, found: &Discovered, host: &HostName) -> Vec<Source> {
    let configured: Vec<_> = config.agents.iter().filter_map(|agent| configured_target(agent, found, host)).collect();
    let is_new = |at: &&Installed| configured.iter().all(|target| target.paths.directory != at.directory);
    let discovered = found.agents.iter().filter(|_| config.discovers()).filter(is_new);
    let discovered: Vec<_> = discovered.filter_map(|at| discovered_target(at, host)).collect();
    let source = |target: HealthTarget| Source {
        id: SourceId {
            kind: SourceKind::Health,
            name: target.name.clone().unwrap_or_else(|| Label::from_path(&target.paths.directory)),
        },
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
