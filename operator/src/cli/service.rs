//! The standalone operator as a service that registers itself, and its options as they are registered.

use std::ffi::OsString;

use clap::{Args, Subcommand, ValueEnum};
use kagiban_service::Given;

use super::StandaloneArgs;

#[derive(Clone, Debug, Subcommand)]
pub enum ServiceCommand {
    /// Register the service, or give the one that is there these settings.
    ///
    /// Run it as an administrator. The service is a standalone operator: it takes the options of `standalone`, --manifests among them.
    /// What is given is kept for the service; an option that is not given again goes back to its default, unless --keep says
    /// otherwise. The service is not started: `service start` does that, and what runs already has the new settings from its next
    /// start on.
    Install(Box<InstallArgs>),
    /// Have the service started. One that is disabled is left so.
    ///
    /// Exits with 0 when it runs already, or is disabled. The start is not waited for.
    Start,
    /// Stop the service, and wait until it is stopped. A rotation that is under way goes on at its host.
    ///
    /// Exits with 0 when it does not run, or is not there. A service that does not stop in time is left as it is.
    Stop(StopArgs),
    /// Stop the service and remove it; its manifests, Secrets, state and logs stay.
    ///
    /// Exits with 0 when it is not there, too. A service that does not stop in time is left as it is.
    Remove(StopArgs),
    /// What Windows starts: works until it is told to stop. Nobody else starts it so.
    ///
    /// It logs to `%ProgramData%\kagiban-operator\logs\kagiban-operator.log` unless --log-file says otherwise, and its warnings and
    /// errors to the Application log, under the source kagiban-operator.
    Run(Box<StandaloneArgs>),
}

#[derive(Clone, Debug, Args)]
pub struct InstallArgs {
    /// Leave every option that is not given here as it is registered, and how the service starts as somebody has set it.
    ///
    /// Nothing is changed where an option is registered that this version does not know.
    #[arg(long)]
    pub keep: bool,
    /// As whom the service works. A service that is new works as the system; one that is there as it did.
    ///
    /// `own` is an account that only this service has, `NT SERVICE\kagiban-operator`, with no right but what it is given. What is made for
    /// the service in its directory is given to it; what is there already, or lies elsewhere, you give it: the command says how.
    #[arg(long, value_enum, value_name = "ACCOUNT")]
    pub account: Option<Account>,
    #[command(flatten)]
    pub of_cluster: OfCluster,
    #[command(flatten)]
    pub given: Given<StandaloneArgs>,
}

/// As whom a service works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Account {
    /// LocalSystem.
    System,
    /// An account of this service alone.
    Own,
}

#[derive(Clone, Debug, Args)]
pub struct StopArgs {
    /// How long the service may take to stop; by default longer than a round over a resource may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 150, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

/// Options of an operator in a cluster, which a service is told apart by.
#[derive(Clone, Debug, Args)]
pub struct OfCluster {
    #[arg(long, hide = true)]
    kubeconfig: Option<OsString>,
    #[arg(long, hide = true)]
    context: Option<OsString>,
    #[arg(long, hide = true)]
    namespace: Option<OsString>,
    #[arg(long, hide = true)]
    leader_elect: Option<OsString>,
    #[arg(long, hide = true)]
    leader_election_namespace: Option<OsString>,
}

impl OfCluster {
    /// The first of them that was given.
    pub fn option(&self) -> Option<&'static str> {
        let Self { kubeconfig, context, namespace, leader_elect, leader_election_namespace } = self;
        let options = [
            ("--kubeconfig", kubeconfig),
            ("--context", context),
            ("--namespace", namespace),
            ("--leader-elect", leader_elect),
            ("--leader-election-namespace", leader_election_namespace),
        ];
        options.into_iter().find_map(|(option, given)| given.as_ref().map(|_| option))
    }
}
