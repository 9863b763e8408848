//! Whether this system has what is asked for.

use super::{Ability, LACKS, NotOnThisSystem};

/// # Errors
/// When this system lacks it.
pub fn require(ability: Ability) -> Result<(), NotOnThisSystem> {
    if LACKS.contains(&ability) { Err(NotOnThisSystem(ability)) } else { Ok(()) }
}
