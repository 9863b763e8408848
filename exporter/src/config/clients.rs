//! `clients` of an agent whose product knows the hosts that take its certificate: how it is asked which of them do not have it.

use std::time::Duration;

use serde::Deserialize;

use super::client_repair::ClientRepairConfig;
use super::values::Interval;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientsConfig {
    #[serde(default)]
    pub list: ClientListConfig,
    /// How many clients are told by name; the others are counted.
    #[serde(default = "default_most")]
    pub most: usize,
    /// How a client that is listed is given the certificate; by default none is.
    #[serde(default)]
    pub repair: Option<ClientRepairConfig>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientListConfig {
    /// A program and its arguments; no shell reads them. It writes the clients whose certificate is not the server's to the file that the
    /// argument `{list}` stands for. By default the product's own.
    pub command: Option<Vec<String>>,
    pub interval: Interval,
    /// How long the program may take.
    pub deadline: Interval,
    /// An empty file says that every client has the certificate; by default it says that the program has failed.
    pub empty_is_none: bool,
    /// Which column has the names of the clients; by default the heading tells it.
    pub column: Option<ListColumn>,
}

/// A column of a table that another program has written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ListColumn {
    /// From 1.
    Number(usize),
    /// What its heading says.
    Heading(String),
}

impl Default for ClientListConfig {
    fn default() -> Self {
        Self {
            command: None,
            interval: DEFAULT_INTERVAL,
            deadline: DEFAULT_DEADLINE,
            empty_is_none: false,
            column: None,
        }
    }
}

/// Clients come over within hours, and the server may have thousands of them to go through.
const DEFAULT_INTERVAL: Interval = Interval::new(Duration::from_hours(1));
const DEFAULT_DEADLINE: Interval = Interval::new(Duration::from_mins(10));

/// More than a person repairs by hand, and few enough for a metric with a label.
const fn default_most() -> usize {
    100
}
