//! Whose clients are repaired, by the configuration that the program was started with.

use std::sync::Arc;

use crate::config::{AgentConfig, ClientRepairConfig, Config};
use crate::converge::{ClientRepair, Setup};
use crate::installation::Installed;
use crate::rotation::PowerGate;
use crate::rotation::agent::Agent;
use crate::snapshot::Board;

/// `rotates` says whether agents are rotated on this host.
pub(super) fn setups(config: &Config, installed: &[Installed], rotates: bool, board: &Arc<Board>) -> Vec<Setup> {
    // One that is refused is told as such by its rotations.
    let agents = config.rotated_agents().filter(|agent| Agent::as_written(agent).is_ok());
    let repaired = agents.filter_map(|agent| Some((agent, agent.clients.as_ref()?.repair.as_ref()?)));
    let setup = |(agent, repair): (&AgentConfig, &ClientRepairConfig)| {
        let found = |product| installed.iter().find(|at| at.product == product).map(|at| at.directory.clone());
        let repair = ClientRepair::of(repair, Installed::of(agent, found).as_ref())?;
        Some(Setup {
            agent: agent.name.clone(),
            repair,
            state_directory: config.state_directory(),
            power: PowerGate::new(&config.power).watching(Arc::clone(board)),
            board: Arc::clone(board),
            rotates,
        })
    };
    repaired.filter_map(setup).collect()
}
