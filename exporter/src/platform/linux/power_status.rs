//! Batteries that the system itself knows: on Linux, NUT and apcupsd tell of them.

use super::super::{Ability, NotOnThisSystem, PowerStatus, PowerStatusError};

/// # Errors
/// Always.
pub fn power_status() -> Result<PowerStatus, PowerStatusError> {
    Err(NotOnThisSystem(Ability::PowerStatus).into())
}
