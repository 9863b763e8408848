//! `hostApi:` and `power:` — who may rotate this host's agents, and when.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kagiban_crds::Lineage;
use serde::{Deserialize, Deserializer, de};

use super::agents::duration;

/// The host API; it does not listen without this section.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostApiConfig {
    /// Such as `0.0.0.0:9995`.
    pub listen_address: SocketAddr,
    /// This host's certificate and its chain, PEM. Read again when it changes, as the files below.
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
    /// The CAs that client certificates must chain to, PEM. Put old and new together while a CA is replaced.
    pub client_ca_file: PathBuf,
    /// The revocation lists of those CAs, PEM. With it, a client is refused when its certificate or one above it is revoked, or
    /// when no list that has not expired says anything of it.
    #[serde(default)]
    pub client_crl_file: Option<PathBuf>,
    /// Which clients may speak. Trust alone authorises nobody.
    pub client_names: Vec<ClientName>,
    /// The installation of the operator that this host obeys; by default the first that gives an order with a name, and
    /// whom that one gives the host to. A host that is told here is given to nobody else.
    #[serde(default)]
    pub lineage: Option<Lineage>,
    /// Of clients whose handshake is over: more than these and the longest idle one is dropped for the new one.
    #[serde(default = "default_max_connections")]
    pub max_connections: usize,
    /// From a request's head to its answer.
    #[serde(default, deserialize_with = "duration")]
    pub request_timeout: Option<Duration>,
}

impl HostApiConfig {
    /// The files that decide who may order rotations, each with its setting.
    pub fn deciding_files(&self) -> Vec<(&'static str, &Path)> {
        let named = [
            ("hostApi.certificateFile", Some(&self.certificate_file)),
            ("hostApi.keyFile", Some(&self.key_file)),
            ("hostApi.clientCaFile", Some(&self.client_ca_file)),
            ("hostApi.clientCrlFile", self.client_crl_file.as_ref()),
        ];
        named.into_iter().filter_map(|(setting, path)| Some((setting, path?.as_path()))).collect()
    }
}

/// A client that may speak, by a subject alternative name of its certificate: of the same kind, and the same byte for byte.
/// A CA that may sign any URI must not thereby be able to sign for the operator's DNS name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientName {
    /// Written as it is.
    Dns(String),
    /// Written with `uri:` before it, as `uri:spiffe://example.com/kagiban-operator`.
    Uri(String),
}

/// Why a client's name is none.
#[derive(Debug, thiserror::Error)]
enum ClientNameError {
    #[error("{0:?} is no DNS name; a URI is written with `uri:` before it")]
    Dns(String),
    #[error("{0:?} is no URI; write one such as uri:spiffe://example.com/kagiban-operator")]
    Uri(String),
}

impl ClientName {
    const URI: &str = "uri:";

    fn parse(text: &str) -> Result<Self, ClientNameError> {
        if let Some(uri) = text.strip_prefix(Self::URI) {
            let is_uri = uri.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
            let is_printable = uri.bytes().all(|byte| byte.is_ascii_graphic());
            let found = (is_uri && is_printable).then(|| Self::Uri(uri.to_owned()));
            return found.ok_or_else(|| ClientNameError::Uri(text.to_owned()));
        }
        let is_dns = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*'));
        is_dns.then(|| Self::Dns(text.to_owned())).ok_or_else(|| ClientNameError::Dns(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for ClientName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// What is known of the host's power. Nothing is rotated unless it is `mains`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PowerConfig {
    /// What holds when no UPS is asked: `mains` says that somebody has thought about it; `unknown` blocks rotations.
    #[serde(default)]
    pub assume: AssumedPower,
    /// Exists while a shutdown is scheduled; by default the system's own.
    #[serde(default)]
    pub scheduled_shutdown_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssumedPower {
    Mains,
    #[default]
    Unknown,
}

impl PowerConfig {
    pub fn assumes_mains(&self) -> bool {
        self.assume == AssumedPower::Mains
    }
}

/// An operator holds one connection; the rest is room for people and for overlap.
const fn default_max_connections() -> usize {
    32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_name_is_a_dns_name_unless_it_says_that_it_is_a_uri() {
        let parse = |text: &str| ClientName::parse(text).map_err(|error| error.to_string());
        let dns = "kagiban-operator.kagiban-system.svc";
        assert_eq!(parse(dns), Ok(ClientName::Dns(dns.to_owned())));
        assert_eq!(parse("uri:spiffe://a/b"), Ok(ClientName::Uri("spiffe://a/b".to_owned())));
        for (wrong, says) in [
            ("spiffe://a/b", "`uri:` before it"),
            ("", "no DNS name"),
            ("a b", "no DNS name"),
            ("uri:", "no URI"),
            ("uri:operator", "no URI"),
        ] {
            assert!(parse(wrong).is_err_and(|said| said.contains(says)), "{wrong}");
        }
    }
}
