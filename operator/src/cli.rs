//! The command line.

mod enroll;
mod service;
mod standalone;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};
use kagiban_agents::Product;
use kagiban_crds::Lineage;
use kagiban_crds::resource::GoDuration;
use kagiban_process::completion::CompletionArgs;
use kagiban_service::LogFormat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

pub use enroll::{EnrollArgs, SecretAddress, SubjectName};
pub use service::{Account, InstallArgs, OfCluster, ServiceCommand, StopArgs};
pub use standalone::{
    ConfirmDeletionsArgs, EventsArgs, GetArgs, LocalCommand, ManyArgs, NamedArgs, Output, RotateArgs, WaitArgs, WaitFor,
};

use crate::host_pattern::HostPattern;

/// Issues certificates for vendor agents on fleet hosts and has them rotated there, as `ManagedAgentCertificate`s say.
#[derive(Debug, Parser)]
#[command(name = "kagiban-operator", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: RunArgs,
}

/// Without the spans of the controller's library: they say at length what our own fields say.
const DEFAULT_LOG: &str = "info";

/// The client's library logs an answer that it cannot read as it is, a Secret among them; the error is told by us.
const NEVER: &str = "kube_client::client=off";

impl WorkArgs {
    /// What is logged, whatever was chosen: no answer of the API server as a whole.
    ///
    /// # Errors
    /// When what was chosen is no filter.
    pub fn log_filter(&self) -> Result<EnvFilter, ParseError> {
        Ok(EnvFilter::try_new(&self.log_level)?.add_directive(NEVER.parse()?))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch and act (the default).
    Run(RunArgs),
    /// Watch and act without a cluster: resources from a directory of manifests, the same that a cluster would take.
    Standalone(Box<StandaloneArgs>),
    #[command(flatten)]
    Local(LocalCommand),
    /// Register `standalone` as a Windows service, start or stop it, or remove it.
    ///
    /// The service is called `kagiban-operator`. It starts with Windows, after the services that start at once, and again 5, 30 and 60
    /// seconds after a failure. On Linux systemd does all of that, with the unit of the package.
    #[command(subcommand, hide = !kagiban_service::REGISTERS_ITSELF)]
    Service(ServiceCommand),
    /// Print what would be done about the resources in a file, and what blocks it. Changes nothing anywhere.
    ///
    /// The API server is asked for a dry run, the Secrets that the resources name are read with what they say of themselves,
    /// other resources for the same agent are looked for, and the hosts are looked at.
    #[command(after_help = PlanExit::table())]
    Plan(PlanArgs),
    /// Make the certificates of a host's API, and the operator's own for all of them: the first ones, and new ones before those end.
    ///
    /// The host's API and the operator know each other by certificates of one CA. This signs them, writes them for nobody but this user to
    /// read, and says what to put where. The keys are made here and go to the host or into the cluster by your hand; delete them
    /// here afterwards. The cluster is not needed, but for --ca-secret.
    Enroll(Box<EnrollArgs>),
    /// Print what is read, changed and stopped for an agent of a product, how that is undone, and what its vendor says about its certificate.
    Explain(ExplainArgs),
    /// Print what makes a shell complete this command line: `source <(kagiban-operator completion bash)`.
    Completion(CompletionArgs),
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The product's id, as resources and configurations have it.
    #[arg(value_parser = PossibleValuesParser::new(Product::ALL.iter().map(|product| product.id())).try_map(|id| id.parse::<Product>()))]
    pub product: Product,
}

/// How `plan` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanExit {
    Clear,
    Wrong,
    NoPlan,
    Untold,
}

impl PlanExit {
    pub const ALL: [Self; 4] = [Self::Clear, Self::Wrong, Self::NoPlan, Self::Untold];

    /// A wrong command line ends with 2, whatever is chosen here.
    pub const fn code(self) -> u8 {
        match self {
            Self::Clear => 0,
            Self::Wrong => 1,
            Self::NoPlan => 2,
            Self::Untold => 3,
        }
    }

    const fn means(self) -> &'static str {
        match self {
            Self::Clear => "nothing is wrong, though a host may be busy, on battery or out of reach now",
            Self::Wrong => "something would be refused, or blocked until the configuration changes",
            Self::NoPlan => {
                "no plan could be made: the command line, a file that is no YAML, that readers of YAML take differently or that holds no resource, the cluster, the output"
            }
            Self::Untold => {
                "nothing was found wrong, but the API server could not tell of all of it, asked several times: it or a webhook did not answer, or a quota is used up"
            }
        }
    }

    /// What `--help` prints.
    fn table() -> String {
        let rows = Self::ALL.map(|exit| format!("\n  {}  {}", exit.code(), exit.means()));
        format!("Exit codes:{}", rows.concat())
    }
}

#[derive(Clone, Debug, Args)]
pub struct ClusterArgs {
    /// The kubeconfig file. By default $KUBECONFIG, ~/.kube/config, or the service account of the pod.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig. By default its current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct ReachArgs {
    /// Hosts that may be contacted: names, suffixes such as *.example.com, addresses, ranges such as 192.0.2.0/24.
    ///
    /// By default every host but this machine itself, link-local and multicast addresses, a cloud's metadata and the API
    /// server, which only a listed range allows. What a name resolves to is judged, not the name alone.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub allow_hosts: Vec<HostPattern>,
}

#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    #[command(flatten)]
    pub work: WorkArgs,
    /// Only this namespace. By default all of them, for which a ClusterRole is needed. The Lease is then named
    /// kagiban-operator-NAME, so that operators for different namespaces do not wait for each other.
    #[arg(long, value_name = "NAME", value_parser = namespace)]
    pub namespace: Option<String>,
    /// Act only while holding a Lease. Turn it off only where a second operator cannot exist.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,
    /// The namespace of the Lease. By default the pod's own, else the kubeconfig's.
    #[arg(long, value_name = "NAME")]
    pub leader_election_namespace: Option<String>,
    /// The name of this installation, such as the cluster's. A host obeys the first name that it hears, and refuses the orders
    /// of other installations and of those without one, whatever their epoch, until it is handed over. Exporters from before there
    /// was this option refuse them.
    #[arg(long, value_name = "NAME")]
    pub lineage: Option<Lineage>,
}

#[derive(Clone, Debug, Args)]
pub struct StandaloneArgs {
    /// The directory of the manifests: every *.yaml and *.yml below it is read, and what it says is followed.
    #[arg(long, value_name = "DIR")]
    pub manifests: PathBuf,
    /// Secrets as files: DIR/NAMESPACE/NAME/KEY, which nobody but this program's account may read, and .secret.yaml beside
    /// them, which says what the Secret may be used for. By default only Secrets among the manifests are used.
    #[arg(long, value_name = "DIR")]
    pub secrets: Option<PathBuf>,
    /// Where this program keeps what it knows: which certificate is in force, and what it has asked of hosts. It is of one process.
    #[arg(long, value_name = "DIR", default_value_os_t = default_state())]
    pub state: PathBuf,
    /// The longest time until a change of the manifests is seen.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = resync)]
    pub read_every: Duration,
    /// Delete what is gone from the manifests when they are first read, however much it is. Without it, more than three resources
    /// and a fifth of all that go at once are kept, and so are all where none is left.
    #[arg(long)]
    pub confirm_deletions: bool,
    /// Log to this file instead of stderr. A Windows service logs to a file by default, which this replaces.
    ///
    /// A file of 10 MiB is renamed to FILE.1, and so on up to FILE.4. It is private to this program's account and to administrators.
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    #[command(flatten)]
    pub work: WorkArgs,
    /// The name of this installation. It is kept with the state, and made there where none is given first. A host obeys the first
    /// name that it hears, and refuses the orders of other installations until it is handed over.
    #[arg(long, value_name = "NAME")]
    pub lineage: Option<Lineage>,
}

impl StandaloneArgs {
    /// What is wrong with where the log is to be written, if it is where something is read.
    pub fn logged_over(&self) -> Option<String> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let log = absolute(self.log_file.as_deref()?);
        let is_below = |directory: &PathBuf| log.starts_with(absolute(directory));
        let option = if is_below(&self.manifests) {
            "--manifests"
        } else if self.secrets.as_ref().is_some_and(is_below) {
            "--secrets"
        } else if log.parent() == Some(&absolute(&self.state)) {
            "--state"
        } else {
            return None;
        };
        Some(format!("--log-file lies in the directory of {option}, from which this program reads: name another place"))
    }
}

/// What the program and its service are called.
pub const NAME: &str = "kagiban-operator";

fn default_state() -> PathBuf {
    kagiban_service::state_directory(NAME)
}

/// How it works, whoever keeps the resources.
#[derive(Clone, Debug, Args)]
pub struct WorkArgs {
    #[command(flatten)]
    pub reach: ReachArgs,
    /// The longest time between two looks at a host.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = resync)]
    pub resync: Duration,
    /// Resources that are worked on at once. Those that wait for a slow host are counted apart, up to 32 times as many; hosts that
    /// were silent or slow a moment ago too, up to eight times as many.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: u16,
    /// Give every host to the installation of this name, once nothing is on its way there, and begin no rotation on any: for
    /// moving a fleet to another operator. A host obeys that one from then on, and refuses this one. Only an operator with that
    /// --lineage can give it back, so look twice at the name.
    #[arg(long, value_name = "LINEAGE")]
    pub hand_over_to: Option<Lineage>,
    /// Where /metrics, /healthz, /readyz, the page of the fleet and /sd, the hosts for Prometheus's HTTP service discovery, are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9994")]
    pub metrics_address: SocketAddr,
    /// The port of the exporters' metrics on the hosts, for /sd.
    #[arg(long, value_name = "PORT", default_value_t = 9996, value_parser = clap::value_parser!(u16).range(1..))]
    pub discovery_port: u16,
    /// Who sees the pages at / on the same port: the fleet, and what each resource says, without a login.
    #[arg(long, value_name = "WHO", value_enum, default_value_t = PageFor::Local)]
    pub page: PageFor,
    /// How logs are written to stderr.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: a level, or tracing's directives such as `kagiban_operator=debug,warn`.
    #[arg(long, value_name = "FILTER", default_value = DEFAULT_LOG)]
    pub log_level: String,
}

#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    #[command(flatten)]
    pub reach: ReachArgs,
    /// A YAML file with one or more ManagedAgentCertificates; `-` is stdin. Other kinds in it are passed over. With --offline it may be a
    /// directory, which is read as `standalone` reads its --manifests.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub file: PathBuf,
    /// Look neither at the cluster nor at the hosts; check the manifests only, by the schema and the rules of this version's CRD, as
    /// `standalone` does.
    #[arg(long)]
    pub offline: bool,
    /// The operator's own --lineage: a host that obeys another installation is told then.
    #[arg(long, value_name = "NAME")]
    pub lineage: Option<Lineage>,
}

/// Who sees the pages of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PageFor {
    /// Whoever is let onto this machine, by `kubectl port-forward` or `ssh -L` too.
    Local,
    /// Whoever reaches the port.
    All,
    /// Nobody.
    None,
}

/// A namespace's name is a DNS label; it becomes a part of the Lease's.
pub(crate) fn namespace(text: &str) -> Result<String, String> {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let sound =
        (1..=63).contains(&text.len()) && text.chars().all(is_inner) && !text.starts_with('-') && !text.ends_with('-');
    if sound { Ok(text.to_owned()) } else { Err("it must be the name of a namespace".to_owned()) }
}

/// Shorter than a second would be a busy loop, longer than a day would not notice that a host is gone.
fn resync(text: &str) -> Result<Duration, String> {
    let duration = text.parse::<GoDuration>().map_err(|error| error.to_string())?.as_duration();
    let sane = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    if sane.contains(&duration) { Ok(duration) } else { Err("it must be between 1s and 24h".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Holds B12: what `--help` says and what is done are one table.
    #[test]
    fn the_help_of_plan_lists_every_exit_code() {
        for help in ["-h", "--help"] {
            let error = Cli::try_parse_from(["kagiban-operator", "plan", help]).expect_err("help is printed");
            let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            for exit in PlanExit::ALL {
                let row = format!("{} {}", exit.code(), exit.means());
                assert!(text.contains(&row), "{row}: {text}");
            }
        }
        let usage = Cli::try_parse_from(["kagiban-operator", "plan"]).expect_err("no file");
        assert_eq!(usage.exit_code(), i32::from(PlanExit::NoPlan.code()));
    }

    #[test]
    fn flags_without_a_command_run() {
        let cli = Cli::try_parse_from(["kagiban-operator", "--resync", "10s", "--leader-elect=false"]).expect("parses");
        assert!(cli.command.is_none());
        assert_eq!((cli.run.work.resync, cli.run.leader_elect), (Duration::from_secs(10), false));
    }

    #[test]
    fn a_namespace_that_cannot_be_one_is_refused() {
        for text in ["", "Fleet", "a/b", "-a", "a.b", &"a".repeat(64)] {
            assert!(Cli::try_parse_from(["kagiban-operator", "--namespace", text]).is_err(), "{text}");
        }
        assert!(Cli::try_parse_from(["kagiban-operator", "--namespace", "fleet-1"]).is_ok());
    }

    #[test]
    fn a_resync_that_makes_no_sense_is_refused() {
        for text in ["0s", "500ms", "25h", "x"] {
            assert!(Cli::try_parse_from(["kagiban-operator", "--resync", text]).is_err(), "{text}");
        }
    }
}
