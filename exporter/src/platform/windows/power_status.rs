//! What Windows sees of mains and batteries: those of a notebook, and the UPSes at USB that its own driver knows.

use super::super::{PowerStatus, PowerStatusError};
use super::sys;

/// Blocks for as long as the driver of a battery does.
///
/// # Errors
/// When Windows does not tell.
pub fn power_status() -> Result<PowerStatus, PowerStatusError> {
    let told = sys::power_status().map_err(PowerStatusError::Read)?;
    Ok(PowerStatus {
        line: told.ACLineStatus,
        battery: told.BatteryFlag,
        percent: told.BatteryLifePercent,
        seconds: told.BatteryLifeTime,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever battery the machine has: what is told is of the ranges that are documented.
    #[test]
    fn windows_tells_of_its_power() {
        let told = power_status().expect("Windows tells");
        assert!(matches!(told.line, 0 | 1 | u8::MAX), "{told:?}");
        assert!(told.percent <= 100 || told.percent == u8::MAX, "{told:?}");
    }
}
