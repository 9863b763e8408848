//! `agents:` — the agents of this host that a rotation may touch. Every path, command and address lies here and nowhere else.

use serde::Deserialize;

/// One agent of this host.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentConfig {
    pub name: kagiban_crds::AgentName,
}
