//! `tlsEndpoints:` — servers to shake hands with.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::values::{Interval, SourceName, absolute_path, address, in_place};
use crate::probe::Endpoint;

/// One endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsEndpoint {
    /// The label `source`; by default the address.
    name: Option<SourceName>,
    /// `host:port`; an IPv6 address stands in brackets.
    #[serde(deserialize_with = "address")]
    pub address: String,
    /// Sent as SNI and used for the name check; by default the host part of the address.
    #[serde(default, deserialize_with = "server_name")]
    pub server_name: Option<String>,
    /// The authorities that this endpoint is checked against, in PEM, or its own certificate, which has to be for the name and
    /// in its time; by default the system's bundle.
    #[serde(default, deserialize_with = "absolute_path")]
    pub ca_file: Option<PathBuf>,
    #[serde(default = "TlsEndpoint::default_interval")]
    pub interval: Interval,
    /// For name resolution, connection and handshake together.
    #[serde(default = "TlsEndpoint::default_timeout")]
    pub timeout: Interval,
}

impl TlsEndpoint {
    /// An endpoint with every default.
    pub fn new(name: SourceName, endpoint: Endpoint) -> Self {
        Self {
            name: Some(name),
            address: endpoint.address,
            server_name: endpoint.server_name,
            ca_file: None,
            interval: Self::default_interval(),
            timeout: Self::default_timeout(),
        }
    }

    pub fn name(&self) -> &str {
        self.name.as_ref().map_or(&self.address, SourceName::as_str)
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint { address: self.address.clone(), server_name: self.server_name.clone() }
    }

    const fn default_interval() -> Interval {
        Interval::new(Duration::from_secs(60))
    }

    /// A healthy handshake takes milliseconds; ten seconds also cover a slow resolver.
    const fn default_timeout() -> Interval {
        Interval::new(Duration::from_secs(10))
    }
}

fn server_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    in_place(deserializer, "a DNS name or an IP address", |text| {
        // The address is only a stand-in: what is checked here is the name.
        let endpoint = Endpoint { address: "localhost:443".to_owned(), server_name: Some(text.to_owned()) };
        endpoint.expected_name().map(|_| endpoint.server_name)
    })
}
