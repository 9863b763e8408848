//! An agent that can be rotated: what its configuration says, with the defaults of its product.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kagiban_agents::{Class, CommandWord, Os, PasswordIni, Product, ProductFacts, Renewal, ServiceFacts};
use kagiban_crds::AgentName;
use kagiban_crds::host_api::StoreFormat;

use super::leaf_file::LeafFile;
use crate::config::{
    Account, AgentConfig, BackupConfig, BackupFormat, KeystoreConfig, ProofConfig, RenewConfig, RepairConfig,
    ServiceConfig, VerifyConfig,
};
use crate::installation::{BACKUP, Installed, PASSWORD, client_repair_command, directory_there, local_endpoint};
use crate::platform::{self, AccountId, Command, FileError, NoProgram, ProgramError, ServiceVerb};
use crate::probe::Endpoint;
use crate::sources::clients::{ClientList, ClientsConfigError, LIST_COMMAND};
use crate::sources::function::{FunctionCheck, FunctionConfigError};

/// An agent that can be rotated: every default filled in, every path absolute.
#[derive(Clone, Debug)]
pub struct Agent {
    pub name: AgentName,
    pub product: Product,
    pub procedure: Procedure,
    pub leaf_place: LeafPlace,
    pub service: Service,
    pub verify: Verify,
    /// How it is asked whether it does its work; none where nothing is asked.
    pub function: Option<FunctionCheck>,
    /// How it is asked which of its clients do not have its certificate; none where nothing is asked.
    pub clients: Option<ClientList>,
    /// What gives a client the certificate; none where none is given it.
    pub client_repair: Option<Command>,
}

/// What a rotation of the agent does, by its product's class. Journal, admission, fencing, power gate, recovery and report
/// are common to all.
#[derive(Clone, Debug)]
pub enum Procedure {
    Push(Push),
    Trigger(Trigger),
    Repair(Repair),
}

/// It takes a key and a chain: its files are replaced while its service is stopped.
#[derive(Clone, Debug)]
pub struct Push {
    pub keystore: Keystore,
    pub alias: Option<String>,
    /// What the certificate of the CA is called that is put beside the key.
    pub ca_alias: Option<&'static str>,
    pub password_file: Option<PathBuf>,
    pub password_ini: Option<(PathBuf, PasswordIni)>,
    /// The copy of it that the agent keeps.
    pub ini_backup: Option<PathBuf>,
    pub backups: usize,
}

/// It renews its own certificate when a program is run.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub renew: Command,
    /// Brings back what was there before.
    pub back: Option<Command>,
    /// Files that `renew` writes over, and that are put back.
    pub keep: Vec<PathBuf>,
    pub backups: usize,
    /// What writes a backup of the product's own before `renew` is run.
    pub backup: Option<ProductBackup>,
    /// Its first line takes the place of [`PASSWORD`] in the commands.
    pub password_file: Option<PathBuf>,
    /// Of any of the programs.
    pub timeout: Duration,
}

/// It can only be looked at, and is repaired by one command when a person asks: by the vendor's module, or by a restart of the system.
#[derive(Clone, Debug)]
pub struct Repair {
    pub command: Command,
    /// Of the command.
    pub timeout: Duration,
    pub proof: Proof,
}

/// What tells that a repair was done.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Another start of the system than the one that it was begun in.
    Restart,
    /// A command that ends with status 0 once it is done, and not before.
    Command(FunctionCheck),
    /// Nothing but that its command ended with status 0.
    Nothing,
}

/// A backup that a product's own program writes.
#[derive(Clone, Debug)]
pub struct ProductBackup {
    pub command: Command,
    /// Where it is written; none for a file of each renewal's own in the state directory.
    pub file: Option<PathBuf>,
    pub format: BackupFormat,
}

/// The setting of the file that an agent's certificate is kept in.
pub const CERTIFICATE_FILE: &str = "verify.certificateFile";

/// The setting of the file that the product's own program writes its backup to.
pub const BACKUP_FILE: &str = "renew.backup.file";

/// The setting of the program that gives a client the certificate.
pub const CLIENT_REPAIR_COMMAND: &str = "clients.repair.command";

/// What a program is told by the name of the file that it writes an archive.
const ARCHIVE: &str = "zip";

/// Where key and chain lie.
#[derive(Clone, Debug)]
pub enum Keystore {
    OneFile { path: PathBuf, format: StoreFormat },
    PemPair { certificate: PathBuf, key: PathBuf },
}

/// Where the agent's own leaf is seen, which proves a rotation.
#[derive(Clone, Debug)]
pub enum LeafPlace {
    /// It is served.
    Endpoint(AgentEndpoint),
    /// It is kept in a file, and nothing tells which one the agent works with. Of a renewal alone: a file that we have put there
    /// ourselves would prove nothing.
    File(LeafFile),
    /// Of an agent that is only looked at: a repair is proven otherwise.
    Nowhere,
}

impl LeafPlace {
    pub const fn endpoint(&self) -> Option<&AgentEndpoint> {
        match self {
            Self::Endpoint(endpoint) => Some(endpoint),
            Self::File(_) | Self::Nowhere => None,
        }
    }

    pub const fn file(&self) -> Option<&LeafFile> {
        match self {
            Self::Endpoint(_) | Self::Nowhere => None,
            Self::File(file) => Some(file),
        }
    }
}

impl fmt::Display for LeafPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(endpoint) => f.write_str(&endpoint.at.address),
            Self::File(file) => file.path.display().fmt(f),
            Self::Nowhere => f.write_str("nowhere"),
        }
    }
}

/// Where the agent serves its certificate, and who may answer there.
#[derive(Clone, Debug)]
pub struct AgentEndpoint {
    pub at: Endpoint,
    /// An account that has a right to read it may listen there, and root. None where the agent keeps its key by itself.
    pub key_file: Option<PathBuf>,
    /// Accounts that may besides.
    pub accounts: Vec<AccountId>,
}

#[derive(Clone, Debug)]
pub struct Service {
    /// None for an agent that is not stopped.
    pub stop: Option<Command>,
    /// None for an agent that is not started.
    pub start: Option<Command>,
    pub stop_timeout: Duration,
    pub start_timeout: Duration,
    pub min_restart_interval: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Verify {
    pub deadline: Duration,
    pub hold_down: Duration,
    pub interval: Duration,
}

/// How many times longer an old store is waited for than a new one. Giving the new one up costs a rotation; giving the old
/// one up freezes an agent that may only be slow: a JVM after a reboot, or beside a virus scan.
const PATIENCE_ON_THE_WAY_BACK: u32 = 4;

impl Verify {
    /// The same, with the patience of the rollback.
    pub(crate) fn for_rollback(self) -> Self {
        Self { deadline: self.deadline.saturating_mul(PATIENCE_ON_THE_WAY_BACK).min(MAX_WAIT), ..self }
    }
}

/// Why an agent cannot be rotated as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum AgentConfigError {
    #[error("agent {agent}: {product} can only be looked at, not rotated, and `repair` names nothing that mends it")]
    Observed { agent: AgentName, product: Product },
    #[error("agent {agent}: {key} must be an absolute path, not {}", path.display())]
    Relative { agent: AgentName, key: &'static str, path: PathBuf },
    #[error("agent {agent}: {key} is missing")]
    Missing { agent: AgentName, key: &'static str },
    #[error("agent {agent}: {key}: {problem}")]
    Invalid { agent: AgentName, key: &'static str, problem: &'static str },
    #[error("agent {agent}: {setting}: {source}; {}", refused_for(setting))]
    Exposed { agent: AgentName, setting: &'static str, source: FileError },
    #[error("agent {agent}: verify.function: {source}")]
    Function { agent: AgentName, source: FunctionConfigError },
    #[error("agent {agent}: clients.{source}")]
    Clients { agent: AgentName, source: ClientsConfigError },
    #[error("agent {agent}: repair.proof: {source}")]
    Proof { agent: AgentName, source: FunctionConfigError },
    /// This may be another thing in a moment.
    #[error("agent {agent}: endpoint.accounts: the accounts of this host cannot be read: {source}")]
    Accounts { agent: AgentName, source: io::Error },
}

/// JVM services take up to a minute to stop and to start on the hosts that PowerChute runs on.
pub(super) const DEFAULT_COMMAND_TIMEOUT: Duration = Duration::from_secs(90);
/// Keeps a caller in a loop from keeping the UPS unwatched; short enough that a person does not notice.
const DEFAULT_MIN_RESTART_INTERVAL: Duration = Duration::from_secs(10);
/// A JVM with a cold cache binds its port within a minute; twice that.
const DEFAULT_VERIFY_DEADLINE: Duration = Duration::from_secs(120);
/// A service that dies of its new keystore does so within seconds.
const DEFAULT_HOLD_DOWN: Duration = Duration::from_secs(10);
const DEFAULT_VERIFY_INTERVAL: Duration = Duration::from_secs(1);
/// A vendor's installer takes minutes on the hosts that it runs on.
const DEFAULT_RENEW_TIMEOUT: Duration = Duration::from_secs(600);
/// A host that is to restart says so for a minute, and may take some more to close what runs on it.
const DEFAULT_REPAIR_DEADLINE: Duration = Duration::from_mins(10);
/// Each look may be a program.
const REPAIR_INTERVAL: Duration = Duration::from_secs(2);
/// No configured wait may hold a host's agent longer than this.
const MAX_WAIT: Duration = Duration::from_secs(3600);
/// Windows has none that is longer, nor has systemd.
const MAX_SERVICE_NAME: usize = 256;
/// More backups than anybody will read, each with an old private key in it.
const MAX_BACKUPS: usize = 20;
/// A product has one or two.
const MAX_KEPT_FILES: usize = 16;

impl Agent {
    /// Fills in what the product knows and what lies on this host. It blocks on the file systems of the product's usual
    /// directories.
    ///
    /// # Errors
    /// See [`AgentConfigError`].
    pub fn resolve(config: &AgentConfig) -> Result<Self, AgentConfigError> {
        Resolver(config, Lookups { is_directory: Path::is_dir, account: platform::account_id }).resolve()
    }

    /// The same without a look at the host: the product's first usual directory, and no account that has a name.
    ///
    /// # Errors
    /// See [`AgentConfigError`].
    pub fn as_written(config: &AgentConfig) -> Result<Self, AgentConfigError> {
        Resolver(config, Lookups { is_directory: |_| false, account: |text| Ok(Some(AccountId::as_written(text))) })
            .resolve()
    }
}

impl Agent {
    /// Whether its commands can be run, as far as can be told without running them.
    ///
    /// # Errors
    /// The setting of the first that cannot, and why.
    pub fn check_commands(&self) -> Result<(), (&'static str, ProgramError)> {
        for (setting, command) in self.commands() {
            platform::check_program(self.name.as_str(), command).map_err(|error| (setting, error))?;
        }
        Ok(())
    }

    /// Whether nobody but administrators may exchange what its commands run. It blocks for some seconds where a file system hangs.
    ///
    /// # Errors
    /// [`AgentConfigError::Exposed`].
    pub(super) fn check_unexposed(&self) -> Result<(), AgentConfigError> {
        self.exposed().next().map_or(Ok(()), |(setting, source)| {
            Err(AgentConfigError::Exposed { agent: self.name.clone(), setting, source })
        })
    }

    /// What of its commands, of the files that they are given, and of the file that its certificate is kept in somebody else than an
    /// administrator may exchange, with the setting that names it.
    pub fn exposed(&self) -> impl Iterator<Item = (&'static str, FileError)> {
        let agent = self.name.as_str();
        let part = |command: &Command| platform::exposed_part(agent, command);
        let commands = self.commands().filter_map(move |(setting, command)| Some((setting, part(command)?)));
        let (password, backup) = match &self.procedure {
            Procedure::Trigger(Trigger { password_file, backup, .. }) => {
                (password_file.as_ref(), backup.as_ref().and_then(|backup| backup.file.as_ref()))
            }
            Procedure::Push(_) | Procedure::Repair(_) => (None, None),
        };
        let kept = self.leaf_place.file().map(|file| &file.path);
        let files = [("renew.passwordFile", password), (BACKUP_FILE, backup), (CERTIFICATE_FILE, kept)];
        let files = files.map(|(setting, path)| Some((setting, path?)));
        let files = files.into_iter().flatten();
        commands.chain(files.filter_map(move |(setting, path)| Some((setting, platform::exposed_file(agent, path)?))))
    }

    /// Every command that may be run of it, with the setting that names it.
    pub fn commands(&self) -> impl Iterator<Item = (&'static str, &Command)> {
        let function = self.function.as_ref().and_then(FunctionCheck::command);
        let proof = match &self.procedure {
            Procedure::Repair(Repair { proof: Proof::Command(check), .. }) => check.command(),
            Procedure::Push(_) | Procedure::Trigger(_) | Procedure::Repair(_) => None,
        };
        let asking = function.map(|command| ("verify.function.command", command));
        let proving = proof.map(|command| ("repair.proof.command", command));
        let listing = self.clients.as_ref().map(|list| (LIST_COMMAND, list.command()));
        let repairing = self.client_repair.as_ref().map(|command| (CLIENT_REPAIR_COMMAND, command));
        self.changing_commands().chain(asking).chain(proving).chain(listing).chain(repairing)
    }

    /// Those that stop, start, renew or repair something.
    pub(super) fn changing_commands(&self) -> impl Iterator<Item = (&'static str, &Command)> {
        let Service { stop, start, .. } = &self.service;
        let (own, repair) = match &self.procedure {
            Procedure::Push(_) => (None, None),
            Procedure::Trigger(trigger) => (Some(trigger.commands()), None),
            Procedure::Repair(repair) => (None, Some(("repair.command", &repair.command))),
        };
        let of_service = [("service.stop", stop), ("service.start", start)].map(|(setting, command)| {
            let command = command.as_ref()?;
            Some((if matches!(command, Command::Service { .. }) { "service.name" } else { setting }, command))
        });
        own.into_iter().flatten().chain(repair).chain(of_service.into_iter().flatten())
    }

    /// The files that a rotation replaces. Of an agent that keeps its own key they are what its own program has written over.
    pub fn replaced(&self) -> Vec<&Path> {
        match &self.procedure {
            Procedure::Push(push) => push.files(),
            Procedure::Trigger(Trigger { keep, .. }) => keep.iter().map(PathBuf::as_path).collect(),
            Procedure::Repair(_) => Vec::new(),
        }
    }

    /// How many rotations' copies of what they have replaced are kept.
    pub(super) const fn backups(&self) -> usize {
        match &self.procedure {
            Procedure::Push(Push { backups, .. }) | Procedure::Trigger(Trigger { backups, .. }) => *backups,
            Procedure::Repair(_) => MAX_BACKUPS,
        }
    }

    /// For what is done with files alone; none of an agent that keeps its own.
    pub const fn push(&self) -> Option<&Push> {
        match &self.procedure {
            Procedure::Push(push) => Some(push),
            Procedure::Trigger(_) | Procedure::Repair(_) => None,
        }
    }
}

impl Trigger {
    /// Every program that a renewal may run, with the setting that names it.
    fn commands(&self) -> impl Iterator<Item = (&'static str, &Command)> {
        let backup = self.backup.as_ref().map(|backup| ("renew.backup.command", &backup.command));
        let back = self.back.as_ref().map(|back| ("renew.back", back));
        [Some(("renew.command", &self.renew)), back, backup].into_iter().flatten()
    }
}

impl Push {
    /// Every file that a rotation of the agent may replace.
    pub fn files(&self) -> Vec<&Path> {
        let mut paths: Vec<&Path> = match &self.keystore {
            Keystore::OneFile { path, .. } => vec![path],
            Keystore::PemPair { certificate, key } => vec![certificate, key],
        };
        paths.extend(self.password_ini.as_ref().map(|(path, _)| path.as_path()));
        paths.extend(self.ini_backup.as_deref());
        paths
    }
}

struct Resolver<'a>(&'a AgentConfig, Lookups);

/// What is asked of the host.
struct Lookups {
    is_directory: fn(&Path) -> bool,
    account: fn(&str) -> io::Result<Option<AccountId>>,
}

impl Resolver<'_> {
    fn resolve(&self) -> Result<Agent, AgentConfigError> {
        let facts = self.0.product.facts();
        if !(1..=MAX_BACKUPS).contains(&self.0.backups) {
            return Err(self.invalid("backups", "must be from 1 to 20"));
        }
        // Looked for once: a directory that comes meanwhile must not have the program of one part proven by the file of another.
        let installed = self.installed()?;
        let installed = installed.as_ref();
        let procedure = match facts.class {
            Class::Push => Procedure::Push(self.resolve_push(facts, installed)?),
            Class::Trigger(renewal) => Procedure::Trigger(self.resolve_trigger(renewal, installed)?),
            Class::Observe => return self.resolve_observed(),
        };
        Ok(Agent {
            name: self.0.name.clone(),
            product: self.0.product,
            leaf_place: self.resolve_leaf_place(&procedure, installed)?,
            service: self.resolve_service(facts, &procedure)?,
            procedure,
            verify: self.resolve_verify()?,
            function: self.resolve_function(installed)?,
            clients: self.resolve_clients(installed)?,
            client_repair: self.resolve_client_repair(installed)?,
        })
    }

    /// Nothing of it but its repair is done, and no certificate of it is looked at.
    fn resolve_observed(&self) -> Result<Agent, AgentConfigError> {
        let Some(repair) = &self.0.repair else {
            return Err(AgentConfigError::Observed { agent: self.0.name.clone(), product: self.0.product });
        };
        let RepairConfig { command, timeout, proof, deadline } = repair;
        let proof = match proof {
            None => Proof::Nothing,
            Some(ProofConfig { restart: true, command: None, timeout: None }) => Proof::Restart,
            Some(ProofConfig { restart: false, command: Some(argv), timeout }) => {
                let refused = |source| AgentConfigError::Proof { agent: self.0.name.clone(), source };
                Proof::Command(FunctionCheck::of_command(argv, *timeout).map_err(refused)?)
            }
            Some(ProofConfig { .. }) => {
                let problem = "give either `restart: true`, or `command` and perhaps its `timeout`; where nothing proves it, leave `proof` out";
                return Err(self.invalid("repair.proof", problem));
            }
        };
        Ok(Agent {
            name: self.0.name.clone(),
            product: self.0.product,
            procedure: Procedure::Repair(Repair {
                command: self.command("repair.command", Some(command.clone()))?,
                timeout: self.timeout("repair.timeout", *timeout, DEFAULT_RENEW_TIMEOUT)?,
                proof,
            }),
            leaf_place: LeafPlace::Nowhere,
            service: Service {
                stop: None,
                start: None,
                stop_timeout: DEFAULT_COMMAND_TIMEOUT,
                start_timeout: DEFAULT_COMMAND_TIMEOUT,
                min_restart_interval: Duration::ZERO,
            },
            verify: Verify {
                deadline: self.timeout("repair.deadline", *deadline, DEFAULT_REPAIR_DEADLINE)?,
                hold_down: Duration::ZERO,
                interval: REPAIR_INTERVAL,
            },
            function: None,
            clients: None,
            client_repair: None,
        })
    }

    fn resolve_push(&self, facts: &ProductFacts, installed: Option<&Installed>) -> Result<Push, AgentConfigError> {
        if self.0.renew.is_some() {
            return Err(self.invalid("renew", "this product takes its certificate from the operator"));
        }
        let password_ini = self.resolve_ini(installed)?;
        let ini_backup = password_ini.as_ref().and_then(|(path, ini)| Some(path.with_file_name(ini.backup?)));
        Ok(Push {
            keystore: self.resolve_keystore(installed)?,
            alias: self.0.keystore.alias.clone().or_else(|| facts.alias.map(str::to_owned)),
            ca_alias: facts.ca_alias,
            password_file: self.optional("passwordFile", self.0.password_file.as_deref())?,
            password_ini,
            ini_backup,
            backups: self.0.backups,
        })
    }

    fn resolve_trigger(&self, renewal: Renewal, installed: Option<&Installed>) -> Result<Trigger, AgentConfigError> {
        if self.0.keystore != KeystoreConfig::default() {
            return Err(self.invalid("keystore", "this product keeps its key and its certificate by itself"));
        }
        if self.0.password_file.is_some() || self.0.password_ini.is_some() {
            return Err(self.invalid("passwordFile", "this product keeps its password by itself"));
        }
        if self.0.service.stop.is_some() {
            return Err(
                self.invalid("service.stop", "this product's service is not stopped; renew.command does all of it")
            );
        }
        let RenewConfig { command, back, keep, backup, password_file, timeout } =
            self.0.renew.clone().unwrap_or_default();
        // Whoever names another program than the product's own says all of it.
        let is_usual = command.is_none();
        let usual = |words: fn(Os) -> Option<&'static [CommandWord]>| {
            let words = words(platform::OS).filter(|_| is_usual)?;
            Some(installed?.command(words))
        };
        let backup = self.resolve_backup(backup.as_ref(), usual(renewal.backup))?;
        let back = back.or_else(|| usual(renewal.back));
        let back = back.map(|back| self.command("renew.back", Some(back))).transpose()?;
        if backup.is_none() && back.as_ref().is_some_and(|back| back.names(BACKUP)) {
            return Err(self.invalid("renew.back", "has the argument {backup}, and renew.backup is missing"));
        }
        let keep = keep.iter().map(|path| self.absolute("renew.keep", path)).collect::<Result<Vec<_>, _>>()?;
        let is_named_twice = keep.iter().collect::<BTreeSet<_>>().len() != keep.len();
        if is_named_twice || keep.len() > MAX_KEPT_FILES {
            return Err(self.invalid("renew.keep", "must name few files (16 at most), and each once"));
        }
        let trigger = Trigger {
            renew: self.command("renew.command", command.or_else(|| usual(renewal.renew)))?,
            back,
            keep,
            backups: self.0.backups,
            backup,
            password_file: self.optional("renew.passwordFile", password_file.as_deref())?,
            timeout: self.timeout("renew.timeout", timeout, DEFAULT_RENEW_TIMEOUT)?,
        };
        let asks = trigger.commands().any(|(_, command)| command.names(PASSWORD));
        match (asks, &trigger.password_file) {
            (true, None) => Err(self.missing("renew.passwordFile")),
            (false, Some(_)) => Err(self
                .invalid("renew.passwordFile", "no command has the argument {password}, which it takes the place of")),
            _ => Ok(trigger),
        }
    }

    fn resolve_backup(
        &self,
        config: Option<&BackupConfig>,
        usual: Option<Vec<String>>,
    ) -> Result<Option<ProductBackup>, AgentConfigError> {
        if config.is_none() && usual.is_none() {
            return Ok(None);
        }
        let BackupConfig { command, file, format } = config.cloned().unwrap_or_default();
        // The product's own program writes an archive, and asks for a name that says so.
        let is_usual = command.is_none() && usual.is_some();
        let format = if is_usual { BackupFormat::Zip } else { format };
        let file = self.optional(BACKUP_FILE, file.as_deref())?;
        if is_usual && file.as_ref().is_some_and(|file| !is_archive(file)) {
            return Err(self.invalid(BACKUP_FILE, "must end in .zip: the product's program takes no other name"));
        }
        let command = self.command("renew.backup.command", command.or(usual))?;
        if file.is_none() && !command.names(BACKUP) {
            return Err(self.missing(BACKUP_FILE));
        }
        Ok(Some(ProductBackup { command, file, format }))
    }

    fn installed(&self) -> Result<Option<Installed>, AgentConfigError> {
        self.optional("directory", self.0.directory.as_deref())?;
        Ok(Installed::of(self.0, |product| directory_there(product, self.1.is_directory)))
    }

    fn resolve_keystore(&self, installed: Option<&Installed>) -> Result<Keystore, AgentConfigError> {
        let config = &self.0.keystore;
        match (&config.path, &config.certificate_file, &config.key_file) {
            (Some(path), None, None) => {
                let path = self.absolute("keystore.path", path)?;
                Ok(Keystore::OneFile { path, format: config.format })
            }
            (None, Some(certificate), Some(key)) => {
                if !matches!(config.format, StoreFormat::Auto | StoreFormat::Pem) {
                    return Err(self.invalid("keystore.format", "certificateFile and keyFile are always PEM"));
                }
                let certificate = self.absolute("keystore.certificateFile", certificate)?;
                let key = self.absolute("keystore.keyFile", key)?;
                if certificate == key {
                    return Err(self.invalid("keystore", "one file for both is written as path"));
                }
                Ok(Keystore::PemPair { certificate, key })
            }
            (None, None, None) => {
                let usual = installed.and_then(|at| at.keystores().next());
                let path = usual.ok_or_else(|| self.missing("keystore.path"))?;
                Ok(Keystore::OneFile { path, format: config.format })
            }
            _ => Err(self.invalid("keystore", "give either path, or both certificateFile and keyFile")),
        }
    }

    fn resolve_ini(&self, installed: Option<&Installed>) -> Result<Option<(PathBuf, PasswordIni)>, AgentConfigError> {
        let Some(ini) = self.0.product.facts().password_ini else {
            return match self.0.password_ini {
                Some(_) => Err(self.invalid("passwordIni", "this product has none")),
                None => Ok(None),
            };
        };
        let configured = self.optional("passwordIni", self.0.password_ini.as_deref())?;
        let usual = || installed.and_then(Installed::password_ini).map(|(path, _)| path);
        let path = configured.or_else(usual).ok_or_else(|| self.missing("directory"))?;
        Ok(Some((path, ini)))
    }

    fn resolve_leaf_place(
        &self,
        procedure: &Procedure,
        installed: Option<&Installed>,
    ) -> Result<LeafPlace, AgentConfigError> {
        let VerifyConfig { certificate_file, alias, .. } = &self.0.verify;
        let is_push = matches!(procedure, Procedure::Push(_));
        if is_push && (certificate_file.is_some() || alias.is_some()) {
            let problem = "only what is served proves a certificate that this product is given; name the endpoint";
            return Err(self.invalid(CERTIFICATE_FILE, problem));
        }
        if self.0.endpoint.is_some() && (certificate_file.is_some() || alias.is_some()) {
            let problem = "the certificate is looked for in a file or at the endpoint; leave endpoint out, or this and verify.alias";
            return Err(self.invalid(CERTIFICATE_FILE, problem));
        }
        let serves = is_push || self.0.endpoint.is_some() || self.0.product.facts().port.is_some();
        if serves && certificate_file.is_none() {
            return self.resolve_endpoint(procedure).map(LeafPlace::Endpoint);
        }
        let configured = self.optional(CERTIFICATE_FILE, certificate_file.as_deref())?;
        let usual = || installed.and_then(|at| at.keystores().next());
        let path = configured.or_else(usual);
        let path = path.ok_or_else(|| self.missing("endpoint, or verify.certificateFile instead of it,"))?;
        if self.0.service.name.is_some() || self.0.service.start.is_some() {
            let problem = "a file does not tell that the service is down, so that nothing would ever start it; leave service.name and \
                           service.start out";
            return Err(self.invalid(CERTIFICATE_FILE, problem));
        }
        let alias = alias.clone().or_else(|| self.0.product.facts().alias.map(str::to_owned));
        Ok(LeafPlace::File(LeafFile { path, alias }))
    }

    fn resolve_endpoint(&self, procedure: &Procedure) -> Result<AgentEndpoint, AgentConfigError> {
        let key_file = match procedure {
            Procedure::Push(Push { keystore: Keystore::OneFile { path, .. }, .. }) => Some(path.clone()),
            Procedure::Push(Push { keystore: Keystore::PemPair { key, .. }, .. }) => Some(key.clone()),
            Procedure::Trigger(_) | Procedure::Repair(_) => None,
        };
        let named = self.0.endpoint.iter().flat_map(|endpoint| &endpoint.accounts);
        let accounts = named.map(|Account(written)| (self.1.account)(written)).collect::<io::Result<Option<Vec<_>>>>();
        let accounts = accounts.map_err(|source| AgentConfigError::Accounts { agent: self.0.name.clone(), source })?;
        let accounts = accounts.ok_or_else(|| {
            self.invalid("endpoint.accounts", "names an account that is not in /etc/passwd; write its number")
        })?;
        Ok(AgentEndpoint { at: self.resolve_address()?, key_file, accounts })
    }

    fn resolve_address(&self) -> Result<Endpoint, AgentConfigError> {
        let Some(configured) = &self.0.endpoint else {
            return local_endpoint(self.0.product, None).ok_or_else(|| self.missing("endpoint"));
        };
        let endpoint = Endpoint::from(configured);
        if endpoint.host_and_port().map_or(0, |(_, port)| port) == 0 {
            return Err(self.invalid("endpoint.address", "must be host:port"));
        }
        Ok(endpoint)
    }

    fn resolve_service(&self, facts: &ProductFacts, procedure: &Procedure) -> Result<Service, AgentConfigError> {
        let (stop, start) = self.resolve_stop_and_start(facts)?;
        let (stop, start) = match procedure {
            Procedure::Push(_) => (
                Some(stop.ok_or_else(|| self.missing("service.stop"))?),
                Some(start.ok_or_else(|| self.missing("service.start"))?),
            ),
            Procedure::Trigger(_) | Procedure::Repair(_) => (None, start),
        };
        Ok(Service {
            stop,
            start,
            stop_timeout: self.timeout("service.stopTimeout", self.0.service.stop_timeout, DEFAULT_COMMAND_TIMEOUT)?,
            start_timeout: self.timeout(
                "service.startTimeout",
                self.0.service.start_timeout,
                DEFAULT_COMMAND_TIMEOUT,
            )?,
            min_restart_interval: self.wait(
                "service.minRestartInterval",
                self.0.service.min_restart_interval,
                DEFAULT_MIN_RESTART_INTERVAL,
            )?,
        })
    }

    /// As configured, or else as the product's service is called.
    fn resolve_stop_and_start(
        &self,
        facts: &ProductFacts,
    ) -> Result<(Option<Command>, Option<Command>), AgentConfigError> {
        let ServiceConfig { name, stop, start, .. } = &self.0.service;
        if let Some(name) = name {
            if stop.is_some() || start.is_some() {
                let problem =
                    "says how the service is stopped and started; leave service.stop and service.start out, or it";
                return Err(self.invalid("service.name", problem));
            }
            let name = self.service_name(name)?;
            return Ok((Some(service(name, ServiceVerb::Stop)), Some(service(name, ServiceVerb::Start))));
        }
        let usual = (facts.service)(platform::OS);
        let resolve = |key, configured: &Option<Vec<String>>, verb| {
            let argv = match (configured, usual) {
                (Some(configured), _) => configured.clone(),
                (None, Some(ServiceFacts::Commands(usual))) => {
                    let argv = if verb == ServiceVerb::Stop { usual.stop } else { usual.start };
                    argv.iter().map(|&argument| argument.to_owned()).collect()
                }
                (None, Some(ServiceFacts::Name(name))) => return Ok(Some(service(name, verb))),
                (None, None) => return Ok(None),
            };
            self.command(key, Some(argv)).map(Some)
        };
        Ok((resolve("service.stop", stop, ServiceVerb::Stop)?, resolve("service.start", start, ServiceVerb::Start)?))
    }

    /// One name of one service: no option, path or pattern, which `systemctl` would take for something else.
    fn service_name<'a>(&self, name: &'a str) -> Result<&'a str, AgentConfigError> {
        let is_one = !name.is_empty() && name.trim() == name && name.len() <= MAX_SERVICE_NAME;
        if !is_one || name.starts_with('-') || name.contains(|c: char| c.is_control() || "/*?[".contains(c)) {
            return Err(self.invalid("service.name", "must be the name of one service, without a path or a pattern"));
        }
        Ok(name)
    }

    fn resolve_verify(&self) -> Result<Verify, AgentConfigError> {
        let interval = self.wait("verify.interval", self.0.verify.interval, DEFAULT_VERIFY_INTERVAL)?;
        if interval.is_zero() {
            return Err(self.invalid("verify.interval", "must be more than zero"));
        }
        Ok(Verify {
            deadline: self.wait("verify.deadline", self.0.verify.deadline, DEFAULT_VERIFY_DEADLINE)?,
            hold_down: self.wait("verify.holdDown", self.0.verify.hold_down, DEFAULT_HOLD_DOWN)?,
            interval,
        })
    }

    fn resolve_function(&self, installed: Option<&Installed>) -> Result<Option<FunctionCheck>, AgentConfigError> {
        let refused = |source| AgentConfigError::Function { agent: self.0.name.clone(), source };
        FunctionCheck::of(self.0, installed).map_err(refused)
    }

    fn resolve_clients(&self, installed: Option<&Installed>) -> Result<Option<ClientList>, AgentConfigError> {
        let refused = |source| AgentConfigError::Clients { agent: self.0.name.clone(), source };
        ClientList::of(self.0, installed).map_err(refused)
    }

    fn resolve_client_repair(&self, installed: Option<&Installed>) -> Result<Option<Command>, AgentConfigError> {
        let Some(repair) = self.0.clients.as_ref().and_then(|clients| clients.repair.as_ref()) else { return Ok(None) };
        self.optional("clients.repair.passwordFile", repair.password_file.as_deref())?;
        let unknown = "names {certificate} or {files}, and the product's directory is not known; name it under `directory`, or \
                       write the paths";
        let command = client_repair_command(repair, installed);
        command.map(Some).ok_or_else(|| self.invalid(CLIENT_REPAIR_COMMAND, unknown))
    }

    fn command(&self, key: &'static str, argv: Option<Vec<String>>) -> Result<Command, AgentConfigError> {
        let argv = argv.ok_or_else(|| self.missing(key))?;
        let program = argv.first().map(PathBuf::from).unwrap_or_default();
        Command::program(argv).map_err(|error| match error {
            NoProgram::Missing => self.missing(key),
            NoProgram::Relative => AgentConfigError::Relative { agent: self.0.name.clone(), key, path: program },
            NoProgram::Nul => self.invalid(key, "holds a NUL character"),
        })
    }

    fn wait(
        &self,
        key: &'static str,
        value: Option<Duration>,
        default: Duration,
    ) -> Result<Duration, AgentConfigError> {
        match value {
            Some(value) if value > MAX_WAIT => Err(self.invalid(key, "must be one hour at most")),
            value => Ok(value.unwrap_or(default)),
        }
    }

    /// Of a command, which would be killed before it did anything.
    fn timeout(
        &self,
        key: &'static str,
        value: Option<Duration>,
        default: Duration,
    ) -> Result<Duration, AgentConfigError> {
        if value.is_some_and(|value| value.is_zero()) {
            return Err(self.invalid(key, "must be more than zero"));
        }
        self.wait(key, value, default)
    }

    fn optional(&self, key: &'static str, path: Option<&Path>) -> Result<Option<PathBuf>, AgentConfigError> {
        path.map(|path| self.absolute(key, path)).transpose()
    }

    fn absolute(&self, key: &'static str, path: &Path) -> Result<PathBuf, AgentConfigError> {
        if path.is_absolute() && path.file_name().is_some() {
            return Ok(path.to_owned());
        }
        Err(AgentConfigError::Relative { agent: self.0.name.clone(), key, path: path.to_owned() })
    }

    fn missing(&self, key: &'static str) -> AgentConfigError {
        AgentConfigError::Missing { agent: self.0.name.clone(), key }
    }

    fn invalid(&self, key: &'static str, problem: &'static str) -> AgentConfigError {
        AgentConfigError::Invalid { agent: self.0.name.clone(), key, problem }
    }
}

/// Why what others may exchange there is refused.
fn refused_for(setting: &str) -> &'static str {
    match setting {
        CERTIFICATE_FILE => "what others may write there proves nothing",
        BACKUP_FILE => "what others may write there is not brought back",
        _ => "the program acts as the system, and does not run what others may exchange",
    }
}

fn is_archive(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ARCHIVE))
}

fn service(name: &str, verb: ServiceVerb) -> Command {
    Command::Service { name: name.to_owned(), verb }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installation::below;
    use crate::platform::testing::native;

    fn resolve(yaml: &str) -> Result<Agent, String> {
        let config: AgentConfig = serde_yaml::from_str(&native(yaml)).map_err(|e| e.to_string())?;
        Agent::resolve(&config).map_err(|e| e.to_string())
    }

    fn repair(section: &str) -> Result<Repair, String> {
        let yaml = format!("{{name: skysea, product: skysea, observe: {{mails: [/m]}}, repair: {{{section}}}}}");
        match resolve(&yaml)?.procedure {
            Procedure::Repair(repair) => Ok(repair),
            Procedure::Push(_) | Procedure::Trigger(_) => Err("it is rotated".to_owned()),
        }
    }

    #[test]
    fn a_repair_is_one_command_with_what_proves_it() {
        let nothing = repair("command: [systemctl, reboot]").expect("a repair");
        assert!(matches!(nothing.proof, Proof::Nothing), "{nothing:?}");
        assert_eq!(nothing.timeout, DEFAULT_RENEW_TIMEOUT);
        let restart = repair("command: [systemctl, reboot], proof: {restart: true}, deadline: 30m").expect("a repair");
        assert!(matches!(restart.proof, Proof::Restart), "{restart:?}");
        let module = "command: [/opt/module], timeout: 1m, proof: {command: [/opt/is-there], timeout: 5s}";
        let module = repair(module).expect("a repair");
        assert!(matches!(&module.proof, Proof::Command(check) if check.command().is_some()), "{module:?}");
        for (section, expected) in [
            ("command: []", "repair.command is missing"),
            ("command: [bin/module]", "repair.command must be an absolute path"),
            ("command: [/m], timeout: 0s", "repair.timeout: must be more than zero"),
            ("command: [/m], deadline: 2h", "repair.deadline: must be one hour at most"),
            ("command: [/m], proof: {restart: true, command: [/p]}", "repair.proof: give either"),
            ("command: [/m], proof: {timeout: 1s}", "repair.proof: give either"),
            // Whoever writes a proof means to have one
            ("command: [/m], proof: {}", "repair.proof: give either"),
            ("command: [/m], proof: {restart: false}", "repair.proof: give either"),
            ("command: [/m], proof: {command: [bin/p]}", "repair.proof: command: the program must be an absolute path"),
            ("command: [/m], proof: {command: [/p], timeout: 0s}", "repair.proof: timeout"),
        ] {
            let refused = repair(section).expect_err(section);
            assert!(refused.contains(expected), "{section}: {refused}");
        }
    }

    /// All of them are looked at before one is run.
    #[test]
    fn the_commands_of_a_repair_are_those_that_it_runs_and_nothing_is_replaced() {
        let yaml =
            "{name: skysea, product: skysea, observe: {mails: [/m]}, repair: {command: [/m], proof: {command: [/p]}}}";
        let agent = resolve(yaml).expect("an agent");
        let settings: Vec<_> = agent.commands().map(|(setting, _)| setting).collect();
        assert_eq!(settings, ["repair.command", "repair.proof.command"]);
        assert_eq!(agent.changing_commands().count(), 1);
        assert!(agent.replaced().is_empty() && matches!(agent.leaf_place, LeafPlace::Nowhere));
    }

    const SERVICE: &str = "service: {stop: [/bin/true], start: [/bin/true]}";

    #[test]
    fn powerchute_needs_only_its_name() {
        let agent = resolve("{name: ups, product: powerchute-serial-shutdown}").expect("defaults");
        let push = agent.push().expect("a push");
        assert_eq!(push.alias.as_deref(), Some("securekey"));
        assert_eq!(agent.leaf_place.to_string(), "127.0.0.1:6547");
        assert!(push.password_ini.as_ref().is_some_and(|(path, _)| path.ends_with("pcssconfig.ini")));
        assert!(matches!(&push.keystore, Keystore::OneFile { path, .. } if path.ends_with("keystore")));
    }

    #[test]
    fn a_service_needs_a_keystore_commands_and_an_endpoint() {
        let head = "name: web\nproduct: tls-service\n";
        assert!(resolve(head).is_err_and(|e| e.contains("keystore.path")));
        let keystore = format!("{head}keystore: {{path: /etc/web/store.p12}}\n");
        assert!(resolve(&keystore).is_err_and(|e| e.contains("endpoint")));
        let endpoint = format!("{keystore}endpoint: {{address: '127.0.0.1:443'}}\n");
        assert!(resolve(&endpoint).is_err_and(|e| e.contains("service.stop")));
        assert!(resolve(&format!("{endpoint}{SERVICE}")).is_ok());
    }

    #[test]
    fn what_is_relative_or_unknown_or_contradicts_itself_is_refused() {
        let head = format!("name: web\nproduct: tls-service\nendpoint: {{address: 'a:1'}}\n{SERVICE}\n");
        for (rest, expected) in [
            ("keystore: {path: etc/store}", "absolute"),
            ("keystore: {path: /a, keyFile: /b}", "either path"),
            ("keystore: {certificateFile: /a, keyFile: /a}", "one file"),
            ("keystore: {path: /a}\npasswordIni: /b", "has none"),
            ("keystore: {path: /a}\nbackups: 0", "1 to 20"),
            ("keystore: {path: /a}\nverify: {deadline: 2h}", "one hour"),
            ("keystore: {path: /a}\nverify: {deadline: soon}", "no duration"),
            ("keystore: {path: /a}\nshell: /bin/sh", "unknown field"),
            ("keystore: {path: /a}\nrenew: {command: [/bin/true]}", "from the operator"),
        ] {
            let refused = resolve(&format!("{head}{rest}")).expect_err(rest);
            assert!(refused.contains(expected), "{rest}: {refused}");
        }
        let relative = "{name: u, product: powerchute-serial-shutdown, service: {stop: [./stop], start: [x]}}";
        assert!(resolve(relative).is_err_and(|e| e.contains("absolute")));
    }

    /// Who may exchange it chooses an argument of a program that runs as the system, and may have a file of the system's shown as one.
    #[test]
    fn a_password_file_that_others_may_exchange_is_told_as_a_command_is() {
        let (_directory, theirs) = platform::testing::exposed_command();
        let path = theirs.trim_matches(['[', ']', '\'']);
        let yaml = format!(
            "{{name: a, product: self-renewing-service, endpoint: {{address: 'a:1'}}, \
             renew: {{command: [no-such-program, '{{password}}'], passwordFile: '{path}'}}}}"
        );
        let agent = Agent::resolve(&serde_yaml::from_str(&yaml).expect("yaml")).expect("an agent");
        let settings: Vec<_> = agent.exposed().map(|(setting, _)| setting).collect();
        assert_eq!(settings, ["renew.passwordFile"]);
    }

    /// What lies there is brought back as the agent's key and certificate.
    #[test]
    fn a_backup_that_others_may_exchange_is_told() {
        let (_directory, theirs) = platform::testing::exposed_command();
        let path = theirs.trim_matches(['[', ']', '\'']);
        let yaml = format!(
            "{{name: a, product: self-renewing-service, endpoint: {{address: 'a:1'}}, renew: {{command: [no-such-program], backup: \
             {{command: [no-such-program], file: '{path}'}}}}}}"
        );
        let agent = Agent::resolve(&serde_yaml::from_str(&yaml).expect("yaml")).expect("an agent");
        let settings: Vec<_> = agent.exposed().map(|(setting, _)| setting).collect();
        assert_eq!(settings, ["renew.backup.file"]);
    }

    fn trigger(yaml: &str) -> Trigger {
        match resolve(yaml).expect("resolved").procedure {
            Procedure::Trigger(trigger) => trigger,
            Procedure::Push(_) | Procedure::Repair(_) => panic!("it renews its own certificate"),
        }
    }

    /// Seed 003: what is run, where the configuration names the directory and the password alone.
    #[test]
    fn the_words_of_the_notice_are_run_where_the_configuration_names_no_program() {
        let program =
            below(Path::new(&native("/opt/vb")), "PCCSRV/Admin/Utility/CertificateManager/CertificateManager.exe");
        let program = program.to_string_lossy();
        let words = |command: &Command| match command {
            Command::Program(argv) if argv.first().is_some_and(|first| *first == program) => argv[1..].join(" "),
            other => panic!("{other}"),
        };
        let head =
            |product| format!("name: v\nproduct: {product}\ndirectory: /opt/vb\nrenew: {{passwordFile: /opt/password");
        let own = trigger(&format!("{}}}", head("virus-buster-corp")));
        let run: Vec<_> = own.commands().map(|(setting, command)| (setting, words(command))).collect();
        let run: Vec<_> = run.iter().map(|(setting, words)| (*setting, words.as_str())).collect();
        let expected = [
            ("renew.command", "-c {password}"),
            ("renew.back", "-r {password} {backup}"),
            ("renew.backup.command", "-b {password} {backup}"),
        ];
        assert_eq!(run, expected);
        let backup = own.backup.expect("it has one");
        assert_eq!((backup.file, backup.format), (None, BackupFormat::Zip));

        let named = trigger(&format!("{}, backup: {{file: /opt/b.ZIP, format: any}}}}", head("virus-buster-corp")));
        let backup = named.backup.expect("it has one");
        let file = backup.file.expect("the configuration names it");
        assert_eq!((file.as_path(), backup.format), (Path::new(&native("/opt/b.ZIP")), BackupFormat::Zip));
        let refused = resolve(&format!("{}, backup: {{file: /opt/b.bak}}}}", head("virus-buster-corp")));
        let refused = refused.expect_err("its program takes no such name");
        assert!(refused.contains("renew.backup.file: must end in .zip"), "{refused}");

        let later = trigger(&format!("{}}}", head("apex-one")));
        assert_eq!(words(&later.renew), "-c {password}");
        assert!(later.backup.is_none() && later.back.is_none());
        let other = "name: v\nproduct: virus-buster-corp\ndirectory: /opt/vb\nrenew: {command: [/opt/own]}";
        let other = trigger(other);
        assert!(other.backup.is_none() && other.back.is_none(), "whoever names another program says all of it");
    }

    #[test]
    fn a_service_is_told_by_its_name_or_by_two_commands_and_not_by_both() {
        let head = "name: web\nproduct: tls-service\nendpoint: {address: 'a:1'}\nkeystore: {path: /a}\n";
        let named = resolve(&format!("{head}service: {{name: 'the web'}}")).expect("a name is enough");
        assert_eq!(named.service.stop, Some(service("the web", ServiceVerb::Stop)));
        assert_eq!(named.service.start, Some(service("the web", ServiceVerb::Start)));
        let settings: Vec<_> = named.commands().map(|(setting, _)| setting).collect();
        assert_eq!(settings, ["service.name"; 2]);
        for (rest, expected) in [
            ("{name: web, stop: [/bin/stop]}", "leave service.stop and service.start out"),
            ("{name: web, start: [/bin/start]}", "leave service.stop and service.start out"),
            ("{name: ''}", "one service"),
            ("{name: ' web'}", "one service"),
            ("{name: --all}", "one service"),
            ("{name: 'we*'}", "one service"),
            ("{name: a/b}", "one service"),
            ("{name: \"a\\0b\"}", "one service"),
        ] {
            let refused = resolve(&format!("{head}service: {rest}")).expect_err(rest);
            assert!(refused.contains("service.name") && refused.contains(expected), "{rest}: {refused}");
        }
        let renews =
            "name: c\nproduct: self-renewing-service\nendpoint: {address: 'a:1'}\nrenew: {command: [/bin/renew]}\n";
        let renews = resolve(&format!("{renews}service: {{name: web}}")).expect("it is started when it is down");
        assert_eq!((renews.service.stop, renews.service.start), (None, Some(service("web", ServiceVerb::Start))));
    }

    #[test]
    fn an_agent_that_renews_its_own_certificate_needs_a_program_and_an_endpoint_and_takes_nothing_of_a_push() {
        for product in ["self-renewing-service", "powerchute-business-edition"] {
            let head = format!("name: console\nproduct: {product}\nendpoint: {{address: 'a:1'}}\n");
            let renew = "renew: {command: [/bin/renew]}\n";
            let agent = resolve(&format!("{head}{renew}")).expect("a program is enough");
            let commands: Vec<_> = agent.commands().map(|(setting, _)| setting).collect();
            assert_eq!((commands, agent.replaced().len()), (vec!["renew.command"], 0));
            let keeps = resolve(&format!("{head}renew: {{command: [/bin/renew], keep: [/opt/default.sh]}}\n"));
            assert_eq!(keeps.expect("a file to keep").replaced().len(), 1, "no other agent may have the same one");
            for (rest, expected) in [
                ("", "renew.command is missing"),
                ("renew: {command: [bin/renew]}", "absolute"),
                ("renew: {command: [/bin/renew], timeout: 2h}", "one hour"),
                ("renew: {command: [/bin/renew], timeout: 0s}", "more than zero"),
                ("renew: {command: [/bin/renew], back: ['']}", "renew.back"),
                ("renew: {command: [/bin/renew], keep: [default.sh]}", "absolute"),
                ("renew: {command: [/bin/renew], keep: [/a, /b, /a]}", "each once"),
                ("renew: {command: [/bin/renew], backup: {command: [/bin/b]}}", "renew.backup.file is missing"),
                ("renew: {command: [/bin/renew], backup: {file: /a}}", "renew.backup.command is missing"),
                ("renew: {command: [/bin/renew], backup: {command: [/bin/b], file: a}}", "absolute"),
                ("renew: {command: [/bin/renew, '{password}']}", "renew.passwordFile is missing"),
                ("renew: {command: [/bin/renew], passwordFile: /a}", "{password}"),
                ("renew: {command: [/bin/renew]}\nkeystore: {path: /a}", "keeps its key"),
                ("renew: {command: [/bin/renew]}\npasswordFile: /a", "keeps its password"),
                ("renew: {command: [/bin/renew]}\nservice: {stop: [/bin/true]}", "not stopped"),
            ] {
                let refused = resolve(&format!("{head}{rest}")).expect_err(rest);
                assert!(refused.contains(expected), "{rest}: {refused}");
            }
        }
        let without = "name: c\nproduct: self-renewing-service\nrenew: {command: [/bin/renew]}\n";
        assert!(resolve(without).is_err_and(|e| e.contains("endpoint, or verify.certificateFile")));
    }

    #[test]
    fn the_leaf_of_an_agent_that_serves_nothing_is_looked_for_in_a_file() {
        let head = "name: c\nproduct: self-renewing-service\nrenew: {command: [/bin/renew]}\n";
        let named =
            resolve(&format!("{head}verify: {{certificateFile: /c/server.dat, alias: a}}")).expect("a file is enough");
        let file = named.leaf_place.file().expect("a file");
        assert_eq!((file.path.as_path(), file.alias.as_deref()), (Path::new(&native("/c/server.dat")), Some("a")));
        for (rest, expected) in [
            ("verify: {certificateFile: server.dat}", "absolute"),
            ("verify: {certificateFile: /c/s}\nendpoint: {address: 'a:1'}", "leave endpoint out"),
            ("verify: {alias: a}\nendpoint: {address: 'a:1'}", "leave endpoint out"),
            ("verify: {certificateFile: /c/s}\nservice: {name: web}", "leave service.name"),
            ("verify: {certificateFile: /c/s}\nservice: {start: [/bin/start]}", "leave service.name"),
        ] {
            let refused = resolve(&format!("{head}{rest}")).expect_err(rest);
            assert!(refused.contains("verify.certificateFile") && refused.contains(expected), "{rest}: {refused}");
        }
        let push = format!(
            "name: web\nproduct: tls-service\nkeystore: {{path: /a}}\nendpoint: {{address: 'a:1'}}\n{SERVICE}\n"
        );
        let refused = resolve(&format!("{push}verify: {{certificateFile: /c/s}}")).expect_err("of a push");
        assert!(refused.contains("only what is served proves"), "{refused}");
    }

    /// Seed 000: the store lies in the directory of each part, and what the server serves is not known.
    #[test]
    fn the_leaf_of_a_product_without_a_port_is_looked_for_in_its_own_store_unless_the_configuration_says_otherwise() {
        let head = "name: pcbe\nproduct: powerchute-business-edition\nrenew: {command: [/bin/renew]}\n";
        let place = |rest: &str| resolve(&format!("{head}{rest}")).expect("resolved").leaf_place;
        let own = place("directory: /opt/pcbe/Server");
        let file = own.file().expect("a file");
        let expected = Path::new(&native("/opt/pcbe/Server")).join("commkey");
        assert_eq!((file.path.as_path(), file.alias.as_deref()), (expected.as_path(), Some("securekey")));
        assert!(place("").to_string().to_lowercase().contains("server"), "the server's comes first");
        assert_eq!(place("endpoint: {address: 'a:1'}").to_string(), "a:1");
    }

    /// Its program would be given the word as it stands.
    #[test]
    fn a_repair_of_clients_whose_places_are_not_known_is_refused() {
        let agent = |rest: &str| {
            resolve(&format!(
                "name: c\nproduct: apex-one\n{rest}verify: {{certificateFile: /c/server.dat}}\nrenew: {{command: [/bin/renew]}}\nclients:\n  \
                 list: {{command: [list, '{{list}}']}}\n  repair: {{command: [deliver, '{{client}}', '{{files}}']}}\n"
            ))
        };
        let known = agent("directory: /srv/apex\n").expect("it is known").client_repair.expect("a repair");
        assert!(!known.to_string().contains("{files}"), "{known}");
        if Installed::usual(Product::ApexOne).next().is_none() {
            let refused = agent("").expect_err("it is not known");
            assert!(refused.contains("clients.repair.command") && refused.contains("`directory`"), "{refused}");
        }
    }

    /// Who may write it says which certificate the agent has.
    #[test]
    fn a_certificate_file_that_others_may_exchange_is_told_and_proves_nothing() {
        let (_directory, theirs) = platform::testing::exposed_command();
        let path = theirs.trim_matches(['[', ']', '\'']);
        let yaml = format!(
            "{{name: a, product: self-renewing-service, renew: {{command: [no-such-program]}}, verify: {{certificateFile: '{path}'}}}}"
        );
        let agent = Agent::resolve(&serde_yaml::from_str(&yaml).expect("yaml")).expect("an agent");
        let refused = agent.check_unexposed().expect_err("others may write it").to_string();
        assert!(refused.contains("verify.certificateFile") && refused.contains("proves nothing"), "{refused}");
    }
}
