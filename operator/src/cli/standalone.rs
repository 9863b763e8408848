//! Commands to a standalone operator that runs on this machine.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use kagiban_crds::resource::GoDuration;

use super::{default_state, namespace};

/// What is asked of one that runs.
#[derive(Clone, Debug, Subcommand)]
pub enum LocalCommand {
    /// Of a standalone operator on this machine: list resources, or print some.
    Get(GetArgs),
    /// Of a standalone operator: print resources with all that they say, and their events.
    Describe(ManyArgs),
    /// Of a standalone operator: print what happened, the oldest first.
    Events(EventsArgs),
    /// Of a standalone operator: wait until resources are ready, or what else --for says. Ends with 1 when they are not in time.
    Wait(WaitArgs),
    /// Of a standalone operator: have agents rotated once more.
    Rotate(RotateArgs),
    /// Of a standalone operator: begin no rotation of these resources until `resume`. Their manifests stay as they are.
    Pause(NamedArgs),
    /// Of a standalone operator: end what `pause` has begun.
    Resume(NamedArgs),
    /// Of a standalone operator: delete the resources that are gone from its manifests and held now, however many they are.
    ConfirmDeletions(ConfirmDeletionsArgs),
    /// Of a standalone operator: print resources as manifests for another operator, in a cluster or without one, with what it takes to
    /// give it their hosts.
    Export(ManyArgs),
}

#[derive(Clone, Debug, Args)]
pub struct StateArgs {
    /// The --state of the operator that is asked.
    #[arg(long, value_name = "DIR", default_value_os_t = default_state())]
    pub state: PathBuf,
    /// Only this namespace. By default all of them.
    #[arg(short = 'n', long, value_name = "NAME", value_parser = namespace)]
    pub namespace: Option<String>,
    /// All namespaces, as is the default.
    #[arg(short = 'A', long, conflicts_with = "namespace", hide = true)]
    pub all_namespaces: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ManyArgs {
    /// Resources by name. By default all of them.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    #[command(flatten)]
    pub state: StateArgs,
}

#[derive(Clone, Debug, Args)]
pub struct GetArgs {
    #[command(flatten)]
    pub of: ManyArgs,
    /// Another form than a table.
    #[arg(short = 'o', long, value_enum, value_name = "FORM")]
    pub output: Option<Output>,
}

/// How resources are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table with more columns.
    Wide,
    Json,
    Yaml,
    Name,
}

#[derive(Clone, Debug, Args)]
pub struct EventsArgs {
    /// The resource whose events are printed. By default those of all, the last 2000 of them.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    #[command(flatten)]
    pub state: StateArgs,
}

#[derive(Clone, Debug, Args)]
pub struct NamedArgs {
    /// Resources by name.
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    #[command(flatten)]
    pub state: StateArgs,
}

#[derive(Clone, Debug, Args)]
pub struct WaitArgs {
    #[command(flatten)]
    pub named: NamedArgs,
    /// What is waited for: condition=NAME, condition=NAME=STATUS, or delete.
    #[arg(long = "for", value_name = "WHAT", default_value = "condition=Ready")]
    pub wait_for: WaitFor,
    /// For how long, all resources together.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub timeout: GoDuration,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitFor {
    Condition { kind: String, status: String },
    Delete,
}

impl FromStr for WaitFor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "delete" {
            return Ok(Self::Delete);
        }
        let condition = text.strip_prefix("condition=").filter(|condition| !condition.is_empty());
        let condition = condition.ok_or("it must be condition=NAME, condition=NAME=STATUS, or delete")?;
        let (kind, status) = condition.split_once('=').unwrap_or((condition, "True"));
        Ok(Self::Condition { kind: kind.to_owned(), status: status.to_owned() })
    }
}

impl fmt::Display for WaitFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition { kind, status } => write!(f, "condition={kind}={status}"),
            Self::Delete => f.write_str("delete"),
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct RotateArgs {
    #[command(flatten)]
    pub named: NamedArgs,
    /// A word for this rotation, such as a ticket, that is kept in the resource's annotation kagiban.dev/rotate. The same word again
    /// asks for nothing. By default the time.
    #[arg(long = "as", value_name = "WORD")]
    pub value: Option<String>,
    /// End when the new certificates are verified and the repairs have ended, and with 1 where one fails or takes longer than --timeout. A
    /// repair without proof ends with 0, as "not proven".
    #[arg(long)]
    pub wait: bool,
    /// For how long, all resources together.
    #[arg(long, value_name = "DURATION", default_value = "10m", requires = "wait")]
    pub timeout: GoDuration,
}

#[derive(Clone, Debug, Args)]
pub struct ConfirmDeletionsArgs {
    /// The --state of the operator that is asked.
    #[arg(long, value_name = "DIR", default_value_os_t = default_state())]
    pub state: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_written_as_for_kubectl() {
        let ready = |status: &str| WaitFor::Condition { kind: "Ready".to_owned(), status: status.to_owned() };
        assert_eq!("condition=Ready".parse(), Ok(ready("True")));
        assert_eq!("condition=Ready=False".parse(), Ok(ready("False")));
        assert_eq!("delete".parse(), Ok(WaitFor::Delete));
        for text in ["", "Ready", "condition=", "jsonpath={.a}"] {
            assert!(text.parse::<WaitFor>().is_err(), "{text}");
        }
    }
}
