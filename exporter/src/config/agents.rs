//! `agents:` — the agents of this host that a rotation may touch, and those that are only looked at. Every path, command and address
//! lies here and nowhere else: a request can only name an agent.

use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use kagiban_agents::{Class, Product, guide};
use kagiban_crds::AgentName;
use kagiban_crds::host_api::StoreFormat;
use serde::{Deserialize, Deserializer};

use super::client_logs::ClientLogsConfig;
use super::clients::ClientsConfig;
use super::observe::ObserveConfig;
use super::values::{Interval, absolute_path};
use crate::probe::Endpoint;

/// One agent of this host, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentConfig {
    pub name: AgentName,
    /// The product's id, such as `powerchute-serial-shutdown`.
    pub product: Product,
    /// Where the product is installed; by default the first of its usual directories that exists.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    #[serde(default)]
    pub keystore: KeystoreConfig,
    /// Holds the store's password in its first line.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// PowerChute: the INI file with `KS_Access_Data`; by default `pcssconfig.ini` in the directory.
    #[serde(default)]
    pub password_ini: Option<PathBuf>,
    /// Where the agent serves its certificate; by default the product's port on the loopback address. See `verify.certificateFile`.
    #[serde(default)]
    pub endpoint: Option<EndpointConfig>,
    #[serde(default)]
    pub service: ServiceConfig,
    /// Only of a product that renews its own certificate.
    #[serde(default)]
    pub renew: Option<RenewConfig>,
    #[serde(default)]
    pub verify: VerifyConfig,
    /// How many rotations' backups are kept.
    #[serde(default = "default_backups")]
    pub backups: usize,
    /// Only of a product that can only be looked at.
    #[serde(default)]
    pub observe: Option<ObserveConfig>,
    /// Only of a product that is rotated, and that knows which hosts take its certificate.
    #[serde(default)]
    pub clients: Option<ClientsConfig>,
    /// Only of a product whose clients log that they could not authenticate its server.
    #[serde(default)]
    pub client_logs: Option<ClientLogsConfig>,
    /// The same: what mends it when a person asks.
    #[serde(default)]
    pub repair: Option<RepairConfig>,
}

impl AgentConfig {
    /// An agent of which no more is known than where it is.
    pub fn found(name: AgentName, product: Product, directory: PathBuf) -> Self {
        Self {
            name,
            product,
            directory: Some(directory),
            keystore: KeystoreConfig::default(),
            password_file: None,
            password_ini: None,
            endpoint: None,
            service: ServiceConfig::default(),
            renew: None,
            verify: VerifyConfig::default(),
            backups: default_backups(),
            observe: None,
            clients: None,
            client_logs: None,
            repair: None,
        }
    }

    /// Whether its product takes rotations, rather than letting only be looked at.
    pub const fn is_rotated(&self) -> bool {
        match self.product.facts().class {
            Class::Push | Class::Trigger(_) => true,
            Class::Observe => false,
        }
    }

    /// Whether the host API takes orders for it: it is rotated, or repaired.
    pub const fn takes_orders(&self) -> bool {
        self.is_rotated() || self.repair.is_some()
    }

    /// What does not belong to the class of its product, with the setting that it is about.
    pub(super) fn problem(&self) -> Option<String> {
        let product = self.product;
        if self.is_rotated() && self.repair.is_some() {
            return Some(format!("repair: {product} is rotated, and not repaired; leave it out"));
        }
        if let Some(logs) = self.client_logs.as_ref().filter(|_| self.is_rotated()) {
            let told =
                || format!("clientLogs: no notice says that clients of {product} log such failures; leave it out");
            let problem = if product.facts().client_log.is_some() { logs.problem() } else { Some(told()) };
            if problem.is_some() {
                return problem;
            }
        }
        match &self.observe {
            None if self.is_rotated() => {
                let repair = self.clients.as_ref().and_then(|clients| clients.repair.as_ref());
                repair.and_then(|repair| repair.problem(product.facts().clients.as_ref()))
            }
            Some(_) if self.is_rotated() => Some(format!(
                "observe: {product} is rotated; leave `observe` out, and name what else is looked at under `certificates` or `tlsEndpoints`"
            )),
            None => {
                let told = "name where its alerts lie (`mails`, `logs`), or `version` with `components`";
                Some(format!("observe: missing; {product} is looked at: {told}"))
            }
            Some(observe) => {
                let settings = [
                    (self.directory.is_some(), "directory"),
                    (self.keystore != KeystoreConfig::default(), "keystore"),
                    (self.password_file.is_some(), "passwordFile"),
                    (self.password_ini.is_some(), "passwordIni"),
                    (self.endpoint.is_some(), "endpoint"),
                    (self.service != ServiceConfig::default(), "service"),
                    (self.renew.is_some(), "renew"),
                    (self.verify != VerifyConfig::default(), "verify"),
                    (self.backups != default_backups(), "backups"),
                    (self.clients.is_some(), "clients"),
                    (self.client_logs.is_some(), "clientLogs"),
                ];
                let of_rotations = settings.into_iter().find_map(|(is_there, setting)| is_there.then_some(setting));
                let refused =
                    |setting| format!("{setting}: {product} can only be looked at, and is not rotated; leave it out");
                of_rotations.map(refused).or_else(|| observe.problem(guide(product.id())))
            }
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeystoreConfig {
    /// One file with key and chain: JKS, JCEKS, PKCS#12 or PEM.
    #[serde(default)]
    pub path: Option<PathBuf>,
    #[serde(default)]
    pub alias: Option<String>,
    /// By default the format that is found.
    #[serde(default)]
    pub format: StoreFormat,
    /// Instead of `path`: the chain as PEM, leaf first.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// Together with `certificateFile`: the key as PEM (PKCS#8).
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointConfig {
    /// `host:port`.
    pub address: String,
    /// Sent as SNI; by default the host part of the address.
    #[serde(default)]
    pub server_name: Option<String>,
    /// The authorities that what is served there is checked against when it is watched, as `caFile` of `tlsEndpoints`. No rotation
    /// goes by them: it looks for the leaf that it has put there.
    #[serde(default, deserialize_with = "absolute_path")]
    pub ca_file: Option<PathBuf>,
    /// The accounts, by name or number, that may listen there besides root and those that have a right of their own to read the
    /// key: for a service that is handed its key, as by systemd's LoadCredential.
    #[serde(default)]
    pub accounts: Vec<Account>,
}

impl From<&EndpointConfig> for Endpoint {
    fn from(config: &EndpointConfig) -> Self {
        Self { address: config.address.clone(), server_name: config.server_name.clone() }
    }
}

/// An account of this host, as it is written: by its name, or by what the system knows it by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "WrittenAccount")]
pub struct Account(pub String);

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenAccount {
    Number(u32),
    Text(String),
}

impl From<WrittenAccount> for Account {
    fn from(written: WrittenAccount) -> Self {
        match written {
            WrittenAccount::Number(number) => Self(number.to_string()),
            WrittenAccount::Text(text) => Self(text),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceConfig {
    /// What the system's service manager calls it, instead of `stop` and `start`: a unit of systemd, the key name of a Windows service.
    #[serde(default)]
    pub name: Option<String>,
    /// A program and its arguments; no shell reads them.
    #[serde(default)]
    pub stop: Option<Vec<String>>,
    /// The same. It may start a daemon and return.
    #[serde(default)]
    pub start: Option<Vec<String>>,
    #[serde(default, deserialize_with = "duration")]
    pub stop_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    pub start_timeout: Option<Duration>,
    /// The least time between two restarts.
    #[serde(default, deserialize_with = "duration")]
    pub min_restart_interval: Option<Duration>,
}

/// How a product is told to renew its own certificate.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenewConfig {
    /// A program and its arguments; no shell reads them. It ends once the certificate is renewed and the service uses it, or soon
    /// does. By default the product's own.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Brings back the certificate from before, when the new one is not seen or a rollback is ordered. Without it nothing is
    /// brought back. An argument `{backup}` stands for the file of `backup`. Where `command` is left out, the product's own by default.
    #[serde(default)]
    pub back: Option<Vec<String>>,
    /// Files that the program writes over and that are to stay as they were, such as a command file that somebody has changed: they are
    /// copied before it is run, and put back after it.
    #[serde(default)]
    pub keep: Vec<PathBuf>,
    /// What writes a backup before the program is run. Without one that is as it should be the program is not run. Where `command` is left
    /// out, the product's own by default.
    #[serde(default)]
    pub backup: Option<BackupConfig>,
    /// Holds a password in its first line. It takes the place of each argument `{password}`, for a product whose programs take it in no
    /// other way: whoever may list the processes of this host may see it while the program runs.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// How long any of the programs may take: 10 minutes by default.
    #[serde(default, deserialize_with = "duration")]
    pub timeout: Option<Duration>,
}

/// What mends a product that can only be looked at: the vendor's module that somebody has put there, or a restart of the system. It is run
/// only when a person asks through the cluster, and under the power rules of a rotation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepairConfig {
    /// A program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// How long it may take: 10 minutes by default.
    #[serde(default, deserialize_with = "duration")]
    pub timeout: Option<Duration>,
    /// What tells that it has done something. Without it, a repair whose command ended with status 0 is told as done and not proven.
    #[serde(default)]
    pub proof: Option<ProofConfig>,
    /// How long the proof may take after the command: 10 minutes by default.
    #[serde(default, deserialize_with = "duration")]
    pub deadline: Option<Duration>,
}

/// One of `restart` and `command`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProofConfig {
    /// The system was started anew.
    #[serde(default)]
    pub restart: bool,
    /// A program and its arguments; no shell reads them. It ends with status 0 once the repair is done, and with another one before.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// How long one run of it may take: 30 seconds by default.
    #[serde(default, deserialize_with = "duration")]
    pub timeout: Option<Duration>,
}

/// A backup that a product's own program writes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupConfig {
    /// A program and its arguments; no shell reads them. `{backup}` stands for the file.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// The file that it writes. By default one in the state directory for each renewal, of which as many are kept as `backups` says;
    /// the command then has an argument `{backup}`.
    #[serde(default)]
    pub file: Option<PathBuf>,
    #[serde(default)]
    pub format: BackupFormat,
}

/// What is expected of a backup's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BackupFormat {
    /// Any contents.
    #[default]
    Any,
    /// A ZIP archive with something in it.
    Zip,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyConfig {
    /// How long the new leaf may take to appear.
    #[serde(default, deserialize_with = "duration")]
    pub deadline: Option<Duration>,
    /// How long it must then stay.
    #[serde(default, deserialize_with = "duration")]
    pub hold_down: Option<Duration>,
    /// Between two looks.
    #[serde(default, deserialize_with = "duration")]
    pub interval: Option<Duration>,
    /// Instead of `endpoint`, of a product that renews its own certificate: the file that it keeps the certificate in, as DER, PEM, JKS or
    /// JCEKS. A renewal is proven by what it holds. By default the product's own, where the product serves nothing.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// Of the agent's entry, where that file is a Java store.
    #[serde(default)]
    pub alias: Option<String>,
    /// How it is asked whether the agent does its work: before it is stopped or renewed, and after that.
    #[serde(default)]
    pub function: Option<FunctionConfig>,
}

/// One of `command`, `http` and `ups`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FunctionConfig {
    /// A program and its arguments; no shell reads them. The agent works if it ends with status 0.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// The agent works if it answers so at its endpoint, over TLS.
    #[serde(default)]
    pub http: Option<HttpFunctionConfig>,
    /// What a PowerChute agent writes of its UPS into its event log. It is asked by default where there is one.
    #[serde(default)]
    pub ups: Option<UpsFunction>,
    /// How long one question may take.
    #[serde(default, deserialize_with = "duration")]
    pub timeout: Option<Duration>,
    /// How often it is asked between rotations. A command is not, unless this is set.
    #[serde(default)]
    pub interval: Option<Interval>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpFunctionConfig {
    /// As `/healthz`.
    pub path: String,
    /// The statuses that say that the agent works: 200 by default. No redirect is followed.
    #[serde(default = "ok")]
    pub status: Vec<u16>,
}

fn ok() -> Vec<u16> {
    vec![200]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UpsFunction {
    /// The agent works if it hears its UPS.
    Hears,
    /// Nothing is asked.
    Unasked,
}

/// Enough to restore what was before a bad certificate that was found late.
const fn default_backups() -> usize {
    3
}

/// `30s`, `2m`, `1m 30s`.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let expected = || serde::de::Error::custom(format!("{text:?} is no duration such as 30s or 2m"));
    let signed: SignedDuration = text.parse().map_err(|_| expected())?;
    Duration::try_from(signed).map(Some).map_err(|_| expected())
}
