//! The host's own configuration: YAML, every key known, parsed into values that cannot be wrong.

mod agents;
mod host_api;

pub use agents::AgentConfig;
pub use host_api::{HostApiConfig, PowerConfig};
