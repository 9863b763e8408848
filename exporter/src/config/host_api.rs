//! `hostApi:` and `power:` — who may rotate this host's agents, and when.

use serde::Deserialize;

/// The host API; it does not listen without this section.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostApiConfig {}

/// What is known of the host's power.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PowerConfig {}
