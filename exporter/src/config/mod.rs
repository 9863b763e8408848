//! The host's own configuration: YAML, every key known, parsed into values that cannot be wrong.
//!
//! ```text
//!   file.rs  ──YAML──>  Config ─┬─ certificates.rs, tls.rs, probe.rs, ups.rs, feeds.rs, health.rs, shutdown.rs, outside.rs, apex_central.rs   what to look at
//!   (size, line, column)        └─ agents.rs, host_api.rs            what may be rotated, by whom, and when
//!                                  observe.rs                        what of an agent is only looked at
//!                                  clients.rs                        which of an agent's clients lack its certificate
//!                                  client_repair.rs                  how those are given it
//!                                  client_logs.rs                    which of them could not authenticate its server
//!                                  named_files.rs                    which files all of that names, and under which setting
//!                                  values.rs                         durations, patterns, names
//!                                  compat.rs                         under whose names too
//!   the web configuration file ──> web.rs                            over what, and to whom, pages are shown
//! ```
//!
//! `examples/exporter.yaml` documents every key.

mod agents;
mod apex_central;
mod certificates;
mod client_logs;
mod client_repair;
mod clients;
mod compat;
mod feeds;
mod file;
mod go_tls;
mod health;
mod host_api;
mod named_files;
mod observe;
mod outside;
mod probe;
mod salvage;
mod shutdown;
mod tls;
mod ups;
mod values;
mod web;

use std::path::PathBuf;

use kagiban_crds::HostName;
use serde::Deserialize;

pub use agents::{
    Account, AgentConfig, BackupConfig, BackupFormat, FunctionConfig, HttpFunctionConfig, KeystoreConfig, ProofConfig,
    RenewConfig, RepairConfig, ServiceConfig, UpsFunction, VerifyConfig,
};
pub use apex_central::{ApexCentralConfig, CentralUrl};
pub use certificates::CertificateRule;
pub use client_logs::{ClientLogsConfig, LogColumns, MOST_COLUMNS as MOST_LOG_COLUMNS};
pub use client_repair::ClientRepairConfig;
pub(crate) use client_repair::{CERTIFICATE, CLIENT, FILES, PASSWORD_FILE};
pub use clients::{ClientListConfig, ClientsConfig, ListColumn};
pub use compat::CompatSet;
pub use feeds::LoadConfig;
pub use file::{ConfigError, WebFile, load, load_default, load_web, parse};
pub use go_tls::{CipherSuite, Curve, TlsVersion};
pub use health::{HealthConfig, HealthSnmpConfig};
pub use host_api::{ClientName, HostApiConfig, PowerConfig};
pub use named_files::{NamedFile, NamedFileKind};
pub use observe::{EngineStart, FalseAlertConfig, ObserveConfig};
pub use outside::OutsideHost;
pub use probe::{AllowedTarget, ProbeConfig};
pub use salvage::{RefusedAgent, Salvaged, load_at_start};
pub use shutdown::ShutdownConfig;
pub use tls::TlsEndpoint;
pub use ups::{
    ApcupsdConfig, NutConfig, PowerchuteWebConfig, SnmpAuthConfig, SnmpAuthProtocol, SnmpConfig, SnmpPrivacyConfig,
    SnmpPrivacyProtocol, SnmpTrapsConfig, SnmpVersion, StartTlsConfig, UpsBackend, UpsConfig, is_weak,
};
pub use values::{Exclusion, Interval, PathPattern, SourceName, StoreName};
pub use web::{
    ClientAuthType, ExtraHeader, HeaderText, HttpServerConfig, PasswordHash, RateLimitConfig, TlsServerConfig,
    WebConfig,
};

use crate::platform::{self, Ability};
use crate::shutdown::Load;

/// All of it. The default is what an empty file says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// By default what the system calls itself.
    pub host: Option<HostName>,
    pub certificates: Vec<CertificateRule>,
    pub tls_endpoints: Vec<TlsEndpoint>,
    pub probe: Option<ProbeConfig>,
    pub ups: Vec<UpsConfig>,
    /// UPSes that share a load; each other one that feeds this host is needed by itself.
    pub feeds: Vec<LoadConfig>,
    pub snmp_traps: Option<SnmpTrapsConfig>,
    pub powerchute_health: HealthConfig,
    pub shutdown: ShutdownConfig,
    /// Hosts where nothing may be installed.
    pub outside_hosts: Vec<OutsideHost>,
    /// Its inventory of agents; by default none is read.
    pub apex_central: Option<ApexCentralConfig>,
    pub agents: Vec<AgentConfig>,
    pub host_api: Option<HostApiConfig>,
    pub power: PowerConfig,
    /// By default the platform's.
    pub state_directory: Option<PathBuf>,
    pub discovery: DiscoveryConfig,
    /// Whose names are published beside ours; by default nobody's.
    pub compat: Vec<CompatSet>,
}

/// Whether the usual places are searched.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct DiscoveryConfig {
    /// By default only when the configuration names nothing to look at.
    pub enabled: Option<bool>,
}

impl Config {
    pub fn discovers(&self) -> bool {
        let names_nothing = self.certificates.is_empty() && self.tls_endpoints.is_empty();
        self.discovery.enabled.unwrap_or(names_nothing)
    }

    /// The agents that a rotation or a repair may touch.
    pub fn rotated_agents(&self) -> impl Iterator<Item = &AgentConfig> {
        self.agents.iter().filter(|agent| agent.takes_orders())
    }

    /// The first setting that asks for one of these, where a system lacks them.
    pub(crate) fn first_of(&self, lacking: &[Ability]) -> Option<(&'static str, Ability)> {
        let names_stores = self.certificates.iter().any(|rule| !rule.windows_stores.is_empty());
        let asks_system = self.ups.iter().any(UpsConfig::is_seen_by_this_host);
        let asked = [
            (names_stores, "certificates.windowsStores", Ability::CertificateStores),
            (asks_system, "ups.windowsPower", Ability::PowerStatus),
            (self.shutdown.windows_event_log == Some(true), "shutdown.windowsEventLog", Ability::EventLog),
            (self.powerchute_health.jarsigner.is_some(), "powerchuteHealth.jarsigner", Ability::JarSignatures),
            (self.power.scheduled_shutdown_file.is_some(), "power.scheduledShutdownFile", Ability::ShutdownSchedule),
        ];
        asked.into_iter().find_map(|(is_asked, setting, ability)| {
            (is_asked && lacking.contains(&ability)).then_some((setting, ability))
        })
    }

    /// Which UPSes share a load of this host.
    pub fn loads(&self) -> Vec<Load> {
        self.feeds.iter().map(|feeds| feeds.resolve(&self.ups)).collect()
    }

    /// As a person's command sees it that is run beside the exporter: where no state directory is named, that of the unit that
    /// runs.
    #[must_use]
    pub fn beside_running_unit(mut self) -> Self {
        let rotates = self.host_api.is_some();
        self.state_directory.get_or_insert_with(|| platform::state_directory_of_running_unit(rotates));
        self
    }

    /// Where this program keeps what it must know again.
    pub fn state_directory(&self) -> PathBuf {
        self.state_directory.clone().unwrap_or_else(platform::default_state_directory)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::platform::testing::native;

    /// What a system lacks is a value: this is decided for every system on each.
    #[test]
    fn what_a_system_lacks_is_asked_for_by_the_setting_that_is_named() {
        const LOOKS: &str = "tlsEndpoints: [{address: \"ups-01:443\"}]\n";
        const STORE: &str = "certificates: [{name: a, windowsStores: [MY]}]\n";
        const POWER: &str = "ups: [{name: a, windowsPower: {}}]\n";
        for (text, lacking, setting) in [
            (POWER.to_owned(), Ability::PowerStatus, Some("ups.windowsPower")),
            (LOOKS.to_owned(), Ability::PowerStatus, None),
            (format!("{LOOKS}power: {{assume: mains}}\n"), Ability::ShutdownSchedule, None),
            (
                format!("{LOOKS}power: {{scheduledShutdownFile: /run/scheduled}}\n"),
                Ability::ShutdownSchedule,
                Some("power.scheduledShutdownFile"),
            ),
            (LOOKS.to_owned(), Ability::ShutdownSchedule, None),
            (STORE.to_owned(), Ability::CertificateStores, Some("certificates.windowsStores")),
            (LOOKS.to_owned(), Ability::CertificateStores, None),
            ("shutdown: {windowsEventLog: true}".to_owned(), Ability::EventLog, Some("shutdown.windowsEventLog")),
            ("shutdown: {windowsEventLog: false}".to_owned(), Ability::EventLog, None),
            (
                native("powerchuteHealth: {jarsigner: /usr/bin/jarsigner}"),
                Ability::JarSignatures,
                Some("powerchuteHealth.jarsigner"),
            ),
            (LOOKS.to_owned(), Ability::JarSignatures, None),
        ] {
            let config = parse(&text, Path::new("c")).unwrap_or_else(|error| panic!("{text}{error}"));
            assert_eq!(config.first_of(&[lacking]), setting.map(|setting| (setting, lacking)), "{text}");
            assert_eq!(config.first_of(&[]), None, "{text}");
        }
        assert_eq!(Config::default().first_of(platform::LACKS), None, "without a configuration");
    }
}
