//! Whether a rotation of an agent could be begun, as far as that can be told beforehand: by the looks that a request for one is
//! admitted by. Nothing is changed.

use kagiban_crds::host_api::{KeystoreOrder, Leaf};
use kagiban_keystore::{MergeError, ReadError};

use super::agent::Agent;
use super::failure::RotationFailure;
use super::live;
use super::push::staging::StagingError;
use super::push::survey::survey;

/// Why a rotation would not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// One that brings the store's password would: this host knows none that opens it.
    WantsPassword,
    Refused(RotationFailure),
}

/// # Errors
/// Why the agent's files could not be replaced, or its commands not be run.
pub fn files_and_commands(agent: &Agent) -> Result<(), Unready> {
    let runnable = agent.check_commands();
    runnable.map_err(|(setting, error)| {
        Unready::Refused(RotationFailure::new(error.reason(), format!("{setting}: {error}")))
    })?;
    files(agent)
}

/// # Errors
/// Why the agent's files could not be replaced.
pub fn files(agent: &Agent) -> Result<(), Unready> {
    let Some(push) = agent.push() else { return Ok(()) };
    match survey(push, &KeystoreOrder::default()) {
        Ok(_) => Ok(()),
        Err(StagingError::Merge(MergeError::StoreUnreadable(ReadError::BadPassword | ReadError::PasswordNeeded))) => {
            Err(Unready::WantsPassword)
        }
        Err(error) => Err(Unready::Refused(RotationFailure::new(error.reason(), error.to_string()))),
    }
}

/// Which leaf the agent has; none where nothing answers, which is no reason not to rotate it.
///
/// # Errors
/// Why its service would not be stopped, or its program not be run.
pub async fn leaf(agent: &Agent) -> Result<Option<Leaf>, RotationFailure> {
    live::before(&agent.leaf_place, agent.verify.interval).await
}
