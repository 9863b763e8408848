//! The command line of `enroll`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgGroup, Args};
use kagiban_crds::resource::GoDuration;
use kagiban_crds::{HostName, SecretName, host_setup};

use super::ClusterArgs;
use super::namespace;
use crate::host_pattern::HostPattern;

/// What `--help` prints below the options.
const EXAMPLES: &str = "\
Examples:
  The first host, with a new CA for the host API and one for the agents. It makes host-api-ca/, ups-01.example.com/,
  fleet-client.yaml and fleet-ca.yaml:
    kagiban-operator enroll ups-01.example.com --new-ca host-api-ca \\
        --new-issuer fleet-ca --allowed-hosts '*.example.com'
  Each further host:
    kagiban-operator enroll ups-02.example.com \\
        --ca-cert host-api-ca/ca.crt --ca-key host-api-ca/ca.key
  The same with a CA that lies in the cluster:
    kagiban-operator enroll ups-02.example.com --ca-secret kagiban-system/host-api-ca
  New certificates before the old ones end, of a host and of the operator:
    kagiban-operator enroll ups-01.example.com --renew \\
        --ca-cert host-api-ca/ca.crt --ca-key host-api-ca/ca.key
    kagiban-operator enroll --client --renew --allowed-hosts '*.example.com' \\
        --ca-cert host-api-ca/ca.crt --ca-key host-api-ca/ca.key
  The operator's Secret straight into the cluster, with no key on this disk:
    kagiban-operator enroll --client --client-output - --allowed-hosts '*.example.com' \\
        --ca-cert host-api-ca/ca.crt --ca-key host-api-ca/ca.key |
        kubectl create -f -";
#[derive(Clone, Debug, Args)]
#[command(after_long_help = EXAMPLES)]
#[command(group = ArgGroup::new("a_client").multiple(true).args(["client", "new_ca"]))]
#[command(group = ArgGroup::new("authority").required(true).args(["ca_cert", "ca_secret", "new_ca"]))]
pub struct EnrollArgs {
    /// The host, as `host` in its configuration and `spec.host` in resources call it. Its certificate is for this name.
    #[arg(value_name = "HOST", required_unless_present = "client")]
    pub host: Option<HostName>,

    /// The CA that signs, PEM: its certificate, and then those above it, if it is not a root.
    #[arg(long, value_name = "FILE", requires = "ca_key", help_heading = "Which CA signs")]
    pub ca_cert: Option<PathBuf>,
    /// Its private key, PEM, unencrypted: RSA, or ECDSA on P-256 or P-384.
    #[arg(long, value_name = "FILE", requires = "ca_cert", help_heading = "Which CA signs")]
    pub ca_key: Option<PathBuf>,
    /// A Secret of type kubernetes.io/tls with the CA. Where the operator may sign with it, for the names that it says
    /// (kagiban.dev/allowed-hosts), no others are signed here.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = located, help_heading = "Which CA signs")]
    pub ca_secret: Option<SecretAddress>,
    /// Make a CA (ECDSA P-256, ten years) and this directory, with ca.crt and ca.key in it. The operator's client certificate
    /// is made too, as with --client.
    #[arg(long, value_name = "DIRECTORY", help_heading = "Which CA signs")]
    pub new_ca: Option<PathBuf>,
    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Where the directory HOST is made, for this user alone, with host-api.crt, host-api.key, client-ca.crt, and
    /// host-api.yaml for the exporter's configuration.
    #[arg(short, long, value_name = "DIRECTORY", default_value = ".")]
    pub output: PathBuf,
    /// Put new keys and certificates in the place of those that are there. Without it nothing that exists is touched.
    #[arg(long)]
    pub renew: bool,
    /// How long the certificates are valid, from 1h on; the CA's end makes them shorter.
    #[arg(long, value_name = "DURATION", default_value = "8760h", value_parser = lifetime)]
    pub duration: GoDuration,
    /// Another name or address that the host's certificate is for. May be repeated. The operator needs none; whoever asks by an
    /// address with curl does.
    #[arg(long, value_name = "NAME")]
    pub extra_name: Vec<SubjectName>,
    /// Where the files will lie on the host, for host-api.yaml. On Windows, C:\ProgramData\kagiban has the configuration too.
    #[arg(long, value_name = "DIRECTORY", default_value = host_setup::DIRECTORY, value_parser = absolute)]
    pub on_host: String,
    /// Where the host API will listen, for host-api.yaml.
    #[arg(long, value_name = "ADDRESS", default_value_t = host_setup::LISTEN_ADDRESS)]
    pub listen_address: SocketAddr,

    /// Make the operator's client certificate too, as a Secret for the cluster; without a HOST, make nothing else.
    #[arg(long, help_heading = "The operator's client certificate")]
    pub client: bool,
    /// The name in it, which hosts let in: `clientNames` in host-api.yaml. Give the same for every host.
    #[arg(
        long,
        value_name = "NAME",
        default_value = host_setup::CLIENT_NAME,
        help_heading = "The operator's client certificate"
    )]
    pub client_name: HostName,
    /// The Secret that is made, which resources name in `tlsSecretRef`.
    #[arg(
        long,
        value_name = "[NAMESPACE/]NAME",
        default_value_t = SecretAddress::usual_client(),
        help_heading = "The operator's client certificate"
    )]
    pub client_secret: SecretAddress,
    /// The hosts that may be contacted with it (kagiban.dev/allowed-hosts): names, suffixes such as *.example.com, addresses,
    /// ranges. By default HOST alone.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        required_unless_present = "host",
        help_heading = "The operator's client certificate"
    )]
    pub allowed_hosts: Vec<HostPattern>,
    /// Make a CA for the agents' certificates too (ECDSA P-256, ten years), as a Secret of this name in the same namespace, which
    /// resources name in `issuerRef`. It may sign for --allowed-hosts. Its manifest is NAME.yaml beside HOST, a file that is never
    /// replaced. An agent that has to chain to a CA of yours needs that one instead.
    #[arg(
        long,
        value_name = "NAME",
        requires = "a_client",
        conflicts_with = "renew",
        help_heading = "The operator's client certificate"
    )]
    pub new_issuer: Option<SecretName>,
    /// The file for the Secret's manifest, readable by this user alone; by default NAME.yaml beside HOST. `-` is the standard
    /// output, for that of --new-issuer too.
    #[arg(long, value_name = "FILE", help_heading = "The operator's client certificate")]
    pub client_output: Option<PathBuf>,
}

/// A Secret, and its namespace where it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretAddress {
    pub namespace: Option<String>,
    pub name: SecretName,
}

/// A name or an address that a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectName {
    Dns(String),
    Address(IpAddr),
}

impl SecretAddress {
    /// The one that `discover` and the documentation name.
    fn usual_client() -> Self {
        let name = host_setup::CLIENT_SECRET.parse().expect("a Secret's name");
        Self { namespace: Some(host_setup::NAMESPACE.to_owned()), name }
    }
}

impl FromStr for SecretAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (space, name) = text.split_once('/').map_or((None, text), |(space, name)| (Some(space), name));
        let name = name.parse().map_err(|error: kagiban_crds::WordError| error.to_string())?;
        Ok(Self { namespace: space.map(namespace).transpose()?, name })
    }
}

impl fmt::Display for SecretAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.namespace.iter().try_for_each(|namespace| write!(f, "{namespace}/"))?;
        self.name.fmt(f)
    }
}

impl FromStr for SubjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let name: HostName = text.parse().map_err(|error: kagiban_crds::WordError| error.to_string())?;
        Ok(Self::Dns(name.to_string()))
    }
}

/// The namespace is not taken from the kubeconfig: another context would mean another CA.
fn located(text: &str) -> Result<SecretAddress, String> {
    let address: SecretAddress = text.parse()?;
    if address.namespace.is_some() { Ok(address) } else { Err("it is written as NAMESPACE/NAME".to_owned()) }
}

fn lifetime(text: &str) -> Result<GoDuration, String> {
    const SHORTEST: Duration = Duration::from_secs(3600);
    let duration: GoDuration =
        text.parse().map_err(|error: kagiban_crds::resource::DurationError| error.to_string())?;
    if duration.as_duration() >= SHORTEST { Ok(duration) } else { Err("it must be at least 1h".to_owned()) }
}

fn absolute(text: &str) -> Result<String, String> {
    let plain = (text.starts_with('/') || host_setup::is_of_windows(text)) && !text.chars().any(char::is_control);
    if plain { Ok(text.to_owned()) } else { Err("it must be an absolute path".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    fn parsed(words: &[&str]) -> Result<EnrollArgs, String> {
        let all = ["kagiban-operator", "enroll"].iter().chain(words);
        match Cli::try_parse_from(all).map_err(|error| error.to_string())?.command {
            Some(Command::Enroll(args)) => Ok(*args),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn one_ca_signs_and_only_what_can_be_meant_is_taken() {
        assert!(parsed(&["ups-01", "--new-ca", "ca"]).is_ok());
        assert!(parsed(&["ups-01", "--ca-cert", "a", "--ca-key", "b"]).is_ok());
        assert!(parsed(&["ups-01", "--ca-secret", "ns/name"]).is_ok());
        assert!(parsed(&["ups-01", "--new-ca", "ca", "--on-host", host_setup::WINDOWS_DIRECTORY]).is_ok());
        assert!(parsed(&["--client", "--new-ca", "ca", "--allowed-hosts", "*.example.com"]).is_ok());
        for (words, told) in [
            (&["ups-01"][..], "--new-ca"),
            (&["ups-01", "--ca-cert", "a"], "--ca-key"),
            (&["ups-01", "--ca-secret", "name"], "NAMESPACE/NAME"),
            (&["ups-01", "--new-ca", "a", "--ca-secret", "n/s"], "cannot be used with"),
            (&["--new-ca", "a"], "HOST"),
            (&["--new-ca", "a", "--client"], "--allowed-hosts"),
            (&["UPS_01", "--new-ca", "a"], "UPS_01"),
            (&["../x", "--new-ca", "a"], "../x"),
            (&["ups-01", "--ca-cert", "a", "--ca-key", "b", "--new-issuer", "fleet-ca"], "--client"),
            (&["ups-01", "--new-ca", "a", "--duration", "30m"], "at least 1h"),
            (&["ups-01", "--new-ca", "a", "--on-host", "etc"], "absolute"),
            (&["ups-01", "--new-ca", "a", "--on-host", "C:etc"], "absolute"),
            (&["ups-01", "--new-ca", "a", "--client-secret", "a/b/c"], "--client-secret"),
        ] {
            let error = parsed(words).expect_err(told);
            assert!(error.contains(told), "{words:?}: {error}");
        }
    }

    /// What the examples of `--help` say can be typed.
    #[test]
    fn the_examples_of_the_help_are_command_lines() {
        let joined = EXAMPLES.replace("\\\n", " ");
        let commands: Vec<_> =
            joined.lines().filter_map(|line| line.trim().strip_prefix("kagiban-operator enroll ")).collect();
        assert_eq!(commands.len(), 6);
        for command in commands {
            let command = command.split(" |").next().unwrap_or_default().replace('\'', "");
            let words: Vec<_> = command.split_whitespace().collect();
            parsed(&words).unwrap_or_else(|error| panic!("{command}: {error}"));
        }
    }
}
