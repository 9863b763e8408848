//! The command line.

mod check;
mod discover;
mod keystore;
mod listing;
mod rotation;
mod service;
mod shutdown;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use kagiban_crds::{AgentName, HostName, host_setup};
use kagiban_process::completion::CompletionArgs;
use kagiban_service::{Given, LogFormat};

pub use check::print as print_check;
pub use discover::print as print_discovered;
pub use keystore::list as list_keystore;
pub use rotation::{RotationError, run as run_rotation};
pub use service::{NO_LOG, ServiceCommandError, run as run_service};
pub use shutdown::{ShutdownCommandError, run as run_shutdown};

use crate::config::{self, Config, ConfigError};
use crate::platform;
use crate::web::{ListenAddress, TelemetryPath};

/// Beside the host API (9995) and the operator (9994), so that all three run on one machine.
const DEFAULT_LISTEN_ADDRESS: &str = ":9996";
const DEFAULT_TELEMETRY_PATH: &str = "/metrics";

/// Publishes certificate expiry and host state to Prometheus, and rotates keystores through the host API.
///
/// With no configuration it looks for PowerChute directories (their keystore, and the agent's HTTPS port on this host),
/// the trust stores of JVMs and the system's CA bundle, and says in its log what it found. A configuration that names
/// certificates or endpoints to look at replaces that search.
#[derive(Debug, Parser)]
#[command(name = "kagiban-exporter", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<CliCommand>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Tell on one page what works on this host and what is missing, with what to do about each.
    ///
    /// It looks once at everything that the exporter would look at with this configuration: keystores and their passwords,
    /// endpoints, UPSes, the power, the shutdown state, the clock, the state directory and the ports. Of each agent it
    /// tells whether a rotation would be taken. Nothing is rotated or configured; a UPS that is asked through PowerChute's
    /// web interface is logged on to, and the login counted in the state directory, as the exporter does. Run it as the user that the exporter runs as: another may be let in
    /// elsewhere.
    ///
    /// A line begins with `ok`, `warning` or `critical`. Exits with 0 when nothing is critical, with 1 otherwise, with 2 for wrong
    /// usage.
    Check(CheckArgs),
    /// Find the agents, trust stores and UPS daemons of this host, and propose how they are configured.
    ///
    /// Nothing is changed. What it proposes is meant to be read before it is used: it knows neither your UPSes elsewhere nor the
    /// names of your Secrets.
    Discover(DiscoverArgs),
    /// Look into keystores.
    #[command(subcommand)]
    Keystore(KeystoreCommand),
    /// Look at the rotations of this host's agents, and end a freeze.
    ///
    /// An agent is frozen when it came to life with neither keystore: no further rotation is taken for it. A freeze ends by
    /// itself once the service serves what is stored, which is looked at every few minutes, and `thaw` ends it by hand.
    /// Nothing here deletes a journal, a backup or what fences off old requests, and no file in the state directory needs
    /// to be removed for anything.
    #[command(subcommand)]
    Rotation(RotationCommand),
    /// Register this program as a Windows service, remove it, or have it load its configuration.
    ///
    /// The service is called `kagiban-exporter`. It starts with Windows, after the services that start at once, and again 5, 30 and 60
    /// seconds after a failure. On Linux systemd does all of that, with the units of the packages.
    #[command(subcommand, hide = !platform::REGISTERS_ITSELF)]
    Service(ServiceCommand),
    /// Look at a shutdown that has begun, and clear one that is over.
    ///
    /// A shutdown that has begun stays so until the next boot: it goes on when power returns. logind's ends by itself when
    /// logind takes it back (a cancelled job, a soft reboot); what PowerChute, apcupsd or upsmon has begun does not.
    #[command(subcommand)]
    Shutdown(ShutdownCommand),
    /// Print what makes a shell complete this command line.
    ///
    /// The packages install it. Without them: `source <(kagiban-exporter completion bash)` in ~/.bashrc.
    Completion(CompletionArgs),
}

#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Register the service, or give the one that is there these settings.
    ///
    /// Run it as an administrator. The configuration is checked first, as --config.check does, and nothing is registered when it is
    /// refused. Without --config.file it is `%ProgramData%\kagiban\exporter.yaml`, which is written where it is not there and is never
    /// written over. Every other option is kept for the service as it is given here; one that is not given again goes back to its default,
    /// unless --keep says otherwise. The service is not started: `sc start kagiban-exporter` does that, and what runs already has the
    /// new settings from its next start on.
    Install(InstallArgs),
    /// Register the service for the program and with the options of this command line, as the registry has it: what undoes an
    /// installation of the package. Nothing of it is looked at.
    #[command(hide = true)]
    Restore(RestoreArgs),
    /// Have the service started. One that is disabled is left so.
    ///
    /// Exits with 0 when it runs already, or is disabled. The start is not waited for.
    Start,
    /// Stop the service and remove it; its configuration, state and logs stay.
    ///
    /// Exits with 0 when it is not there, too. A rotation that is being finished is waited for; a service that does not stop in time is
    /// left as it is.
    Remove(StopArgs),
    /// Stop the service, and wait until it is stopped: a rotation that is being finished is waited for.
    ///
    /// Exits with 0 when it does not run, or is not there. A service that does not stop in time is left as it is.
    Stop(StopArgs),
    /// Have the service that runs load its configuration anew, as `sc control kagiban-exporter paramchange` does.
    ///
    /// Its log says what came of it: a configuration that is refused leaves the one before in force.
    Reload,
    /// What Windows starts: works until it is told to stop. Nobody else starts it so.
    ///
    /// It logs to `%ProgramData%\kagiban\logs\kagiban-exporter.log` unless --log.file says otherwise, and its warnings and errors to the
    /// Application log, under the source kagiban-exporter.
    Run(WorkArgs),
}

#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Leave every option that is not given here as it is registered, and how the service starts as somebody has set it: what an
    /// upgrade does.
    ///
    /// Nothing is changed where an option is registered that this version does not know.
    #[arg(long)]
    pub keep: bool,
    #[command(flatten)]
    pub given: Given<WorkArgs>,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The command line.
    #[arg(last = true, required = true)]
    pub command_line: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct StopArgs {
    /// How long the service may take to stop; by default what the longest rotation may need.
    #[arg(long, value_name = "SECONDS", default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

#[derive(Debug, Subcommand)]
pub enum ShutdownCommand {
    /// Print who has announced that a shutdown has begun in this boot, and when. Reads only.
    Show(StateArgs),
    /// Say that the shutdown that had begun is over and the host stays up.
    ///
    /// First see who announced it (`show`), and that nothing shuts the host down any more: nothing of that is stopped here.
    /// From then on `host_shutdown_pending` is 0 and rotations are taken again. It is refused (`still_announced`) while a source
    /// says now that the shutdown has begun: end it there first. What begins later counts again. This works while the
    /// exporter runs (it is asked through the state directory, and answers within seconds) and while it does not. It must be
    /// run by the user that the exporter runs as.
    Clear(StateArgs),
}

#[derive(Debug, Subcommand)]
pub enum RotationCommand {
    /// Print each agent with its newest rotation, one a line. Reads only.
    List(StateArgs),
    /// Print an agent's newest rotation with its steps, its files and its backups. Reads only.
    Show(AgentArgs),
    /// End the freeze of an agent that is in order again, so that its next rotation is taken.
    ///
    /// First see why it froze (`show`), put its keystore right if need be, and see that its service is up: nothing of that is
    /// done or checked here. The rotation is then rolled back by name, and keeps its failure and its steps. This works
    /// while the exporter runs (it is asked through the state directory, and answers within seconds) and while it does
    /// not. It must be run by the user that the exporter runs as.
    Thaw(AgentArgs),
    /// Wait until no rotation is in flight. Reads only.
    ///
    /// Exits with 0 when every rotation is committed or rolled back and no file of one lies beside an agent's own. Otherwise each that
    /// is not is printed, with those files, and it exits with 1: then an exporter is needed to finish it.
    Wait(WaitArgs),
}

#[derive(Debug, Args)]
pub struct StateArgs {
    /// The exporter's configuration, which may say where its state directory is. Where it does not, $STATE_DIRECTORY is looked at, or
    /// that of the package's unit that runs.
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

impl StateArgs {
    fn configuration(&self) -> Result<Config, ConfigError> {
        let config = self.config_file.as_deref().map_or_else(|| Ok(Config::default()), config::load);
        config.map(Config::beside_running_unit)
    }
}

/// Why a command says nothing of the exporter's state directory.
#[derive(Debug, thiserror::Error)]
pub enum StateDirectoryArgumentError {
    #[error(
        "the state directory {} cannot be read: {source}; name the exporter's configuration with --config.file, and run as the user \
         that the exporter runs as", path.display()
    )]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "the exporter that runs (process {process}) uses another directory than the one that is at {} now: a file system was mounted \
         over it; put the right one in its place, or restart the exporter where this one is meant", path.display()
    )]
    Replaced { path: PathBuf, process: u32 },
}

impl StateDirectoryArgumentError {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "state_directory",
            Self::Replaced { .. } => "state_directory_replaced",
        }
    }
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The exporter's configuration; without it, what is found in the usual places is looked at.
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Where the exporter listens, as it is told.
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = DEFAULT_LISTEN_ADDRESS)]
    pub listen_addresses: Vec<ListenAddress>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct DiscoverArgs {
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = Proposed::Text)]
    pub output: Proposed,
    /// The name of this host in the cluster, by default what the system calls itself.
    #[arg(long, value_name = "NAME")]
    pub host: Option<HostName>,
    /// The namespace of the resources and of the Secrets that they name.
    #[arg(long, value_name = "NAMESPACE", default_value = host_setup::NAMESPACE, value_parser = namespace)]
    pub namespace: String,
}

/// A namespace's name is a DNS label, as an agent's is.
fn namespace(text: &str) -> Result<String, String> {
    let sound = text.parse::<AgentName>().is_ok();
    if sound { Ok(text.to_owned()) } else { Err("it must be the name of a namespace".to_owned()) }
}

/// A form of what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Proposed {
    /// A line for each thing.
    Text,
    /// A configuration of kagiban-exporter, in YAML.
    Config,
    /// The ManagedAgentCertificates for the cluster, in YAML, with the configuration of the host as comments before them.
    Manifests,
}

#[derive(Debug, Args)]
pub struct AgentArgs {
    /// The agent, as it is called in the configuration.
    pub agent: AgentName,
    #[command(flatten)]
    pub state: StateArgs,
}

#[derive(Debug, Args)]
pub struct WaitArgs {
    /// For how long at most; by default it only looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub timeout: u64,
    #[command(flatten)]
    pub state: StateArgs,
}

#[derive(Debug, Subcommand)]
pub enum KeystoreCommand {
    /// Print what a keystore or certificate file holds: JKS, JCEKS, PKCS#12, PEM, DER or PKCS#7.
    ///
    /// The certificates of a JKS or JCEKS are read without its password. Exits with 0 when the certificates could be
    /// read, with 1 and one line that names the reason when not, with 2 for wrong usage.
    List(ListArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// The store; a regular file.
    pub file: PathBuf,
    /// A file that holds the store's password in its first line.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

/// How the program works until it is told to stop.
#[derive(Clone, Debug, Args)]
pub struct WorkArgs {
    /// The configuration, in YAML.
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Where to listen, as host:port or :port; may be given several times.
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = DEFAULT_LISTEN_ADDRESS)]
    pub listen_addresses: Vec<ListenAddress>,
    /// TLS, users, headers and a rate limit, as Prometheus's exporter-toolkit has them; read again when it changes.
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,
    /// Where the metrics are.
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = DEFAULT_TELEMETRY_PATH)]
    pub telemetry_path: TelemetryPath,
    /// What is logged, as error, warn, info, debug or trace.
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info")]
    pub log_level: tracing::Level,
    /// Log to this file instead of stderr. A Windows service logs to a file by default, which this replaces.
    ///
    /// A file of 10 MiB is renamed to FILE.1, and so on up to FILE.4. It is private to this program's account and to administrators.
    #[arg(long = "log.file", value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// How it is logged.
    #[arg(long = "log.format", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl WorkArgs {
    /// The file that says what this program does, and that it would write its log into.
    pub fn logged_over(&self) -> Option<&Path> {
        let log = platform::destination(self.log_file.as_deref()?).ok()?;
        let deciding = [&self.config_file, &self.web_config_file].into_iter().flatten();
        deciding.map(PathBuf::as_path).find(|path| platform::destination(path).is_ok_and(|it| it == log))
    }
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub work: WorkArgs,
    /// Check the configuration and exit: 0 when it is good, 1 when not.
    ///
    /// Every file that it names is opened: passwords, communities, CA files, the host API's certificate and key, the agents' own.
    /// Run it as the user that the exporter runs as. Files are read and nothing else is: no network is asked. Each problem is a
    /// line that begins with its setting, as `ups[2].nut.passwordFile`; without one, `configuration OK` and how much it names. A line
    /// with `warning:` before the setting tells of what works and is not as safe as it may look; it changes no exit code.
    #[arg(long = "config.check")]
    pub config_check: bool,
    /// Answer on the sockets that systemd has opened, instead of --web.listen-address.
    #[arg(long = "web.systemd-socket", conflicts_with = "listen_addresses")]
    pub systemd_socket: bool,
    /// Look at everything once, print the metrics, exit: 0 when every source could be looked at, 1 when not.
    #[arg(long)]
    pub once: bool,
}

/// A message on one line and without control characters, whatever names it quotes.
pub fn one_line(message: &str) -> String {
    listing::Printable(message).to_string()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_spelled_as_prometheus_users_expect() {
        let words = ["x", "--config.file=/c", "--web.listen-address=:1", "--web.listen-address=[::1]:2", "--once"];
        let cli = Cli::try_parse_from(words).expect("these flags exist");
        assert_eq!(cli.serve.work.listen_addresses.len(), 2);
        assert!(cli.serve.once && cli.serve.work.config_file.is_some());
        assert!(Cli::try_parse_from(["x", "--web.systemd-socket", "--web.config.file=/w"]).is_ok());
        assert!(Cli::try_parse_from(["x", "--web.systemd-socket", "--web.listen-address=:1"]).is_err());
        assert!(Cli::try_parse_from(["x", "--once", "keystore", "list", "f"]).is_err());
    }
}
