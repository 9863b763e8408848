//! Whose clients are repaired, by the configuration that the program was started with.

use std::sync::Arc;

use kagiban_crds::HostName;
use tracing::error;

use crate::config::{AgentConfig, ClientRepairConfig, Config};
use crate::converge::{ClientRepair, Setup};
use crate::installation::Installed;
use crate::rotation::agent::Agent;
use crate::rotation::{Deliveries, PowerGate};
use crate::snapshot::Board;

/// Beside the orders to rotate agents, where they are rotated on this host.
pub(super) fn setups(
    config: &Config,
    installed: &[Installed],
    host: &HostName,
    orders: Option<&Deliveries>,
    board: &Arc<Board>,
) -> Vec<Setup> {
    let repaired = config.rotated_agents().filter_map(|agent| Some((agent, agent.clients.as_ref()?.repair.as_ref()?)));
    let repaired = repaired.filter(|(agent, _)| match Agent::as_written(agent) {
        Ok(_) => true,
        Err(error) => {
            error!(agent = %agent.name, %error, "no client of this agent is repaired");
            false
        }
    });
    let setup = |(agent, repair): (&AgentConfig, &ClientRepairConfig)| {
        let found = |product| installed.iter().find(|at| at.product == product).map(|at| at.directory.clone());
        let repair = ClientRepair::of(repair, Installed::of(agent, found).as_ref())?;
        Some(Setup {
            config: agent.clone(),
            repair,
            state_directory: config.state_directory(),
            power: PowerGate::new(&config.power).watching(Arc::clone(board)),
            deliveries: orders.cloned().unwrap_or_else(|| Deliveries::in_state(&config.state_directory())),
            host: host.clone(),
            board: Arc::clone(board),
            rotates: orders.is_some(),
        })
    };
    repaired.filter_map(setup).collect()
}
