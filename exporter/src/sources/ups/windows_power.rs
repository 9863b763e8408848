//! What Windows itself sees of its power: the battery of a notebook, or a UPS at USB that no vendor's program drives.
//!
//! Source: the Windows API, `SYSTEM_POWER_STATUS`. All its batteries count as one.

use std::time::Duration;

use tokio::time::Instant;

use crate::blocking::{Flights, Work};
use crate::platform::{self, PowerStatus};
use crate::snapshot::{Trouble, UpsTrouble};
#[cfg(test)]
use crate::sources::ups::documentation::Documented;
use crate::ups::{Quantity, Reading, Status, UpsFault};

/// Stands for a number that Windows does not know.
const UNKNOWN: u8 = u8::MAX;
const UNKNOWN_TIME: u32 = u32::MAX;
/// A bit of the battery's flags.
const NO_BATTERY: u8 = 128;

/// The values of `ACLineStatus`.
const LINE: [(u8, Status); 2] = [(0, Status::OnBattery), (1, Status::Online)];

/// The bits of `BatteryFlag` that are states. "Low" is below a third to Windows, which is nothing to act on; the battery that it calls critical
/// is the one that others call low.
const FLAGS: [(u8, Status); 2] = [(4, Status::LowBattery), (8, Status::Charging)];

#[derive(Debug)]
pub(super) struct Client {
    deadline: Duration,
    flights: Flights<(), Result<PowerStatus, UpsTrouble>>,
}

impl Client {
    /// A look takes no longer than `deadline`. A driver that hangs holds one thread.
    pub(super) fn new(deadline: Duration) -> Self {
        Self { deadline, flights: Flights::new() }
    }

    pub(super) async fn read(&mut self) -> Result<Reading, UpsTrouble> {
        let look = || {
            platform::power_status()
                .map_err(|error| Trouble::new(UpsFault::ReadFailed, format!("{error}; see the driver of the battery")))
        };
        let until = Instant::now() + self.deadline;
        match self.flights.join(Work::Host, (), until, look).await {
            Ok(told) => reading(told?),
            Err(blocked) => Err(Trouble::new((&blocked).into(), blocked)),
        }
    }
}

/// # Errors
/// When there is no battery.
fn reading(told: PowerStatus) -> Result<Reading, UpsTrouble> {
    let flags = if told.battery == UNKNOWN { 0 } else { told.battery };
    if flags & NO_BATTERY != 0 {
        return Err(Trouble::new(
            UpsFault::NoBattery,
            "Windows sees no battery and no UPS; connect the UPS by USB, or see under Batteries in the Device Manager whether another \
             program drives it",
        ));
    }
    let mut reading = Reading::default();
    reading.statuses.extend(LINE.iter().filter(|(value, _)| *value == told.line).map(|(_, status)| *status));
    reading.statuses.extend(FLAGS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, status)| *status));
    if told.percent != UNKNOWN {
        reading.values.put(Quantity::BatteryCharge, f64::from(told.percent) / 100.0);
    }
    if told.seconds != UNKNOWN_TIME {
        reading.values.put(Quantity::BatteryRuntime, f64::from(told.seconds));
    }
    Ok(reading)
}

#[cfg(test)]
pub(super) fn documented() -> Documented {
    let mut all = Documented::default();
    all.number(Quantity::BatteryCharge, "BatteryLifePercent", 0.01);
    all.number(Quantity::BatteryRuntime, "BatteryLifeTime", 1.0);
    for (value, status) in LINE {
        all.status(status, &format!("ACLineStatus {value}"));
    }
    for (bit, status) in FLAGS {
        all.status(status, &format!("BatteryFlag {bit}"));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FULL: PowerStatus = PowerStatus { line: 1, battery: 1, percent: 100, seconds: UNKNOWN_TIME };

    #[test]
    fn each_flag_is_its_state_and_no_other() {
        for (told, statuses) in [
            (FULL, &[Status::Online][..]),
            (PowerStatus { line: 0, ..FULL }, &[Status::OnBattery]),
            // Windows calls this low already.
            (PowerStatus { line: 0, battery: 2, percent: 30, ..FULL }, &[Status::OnBattery]),
            (PowerStatus { line: 0, battery: 2 | 4, percent: 4, ..FULL }, &[Status::OnBattery, Status::LowBattery]),
            (PowerStatus { battery: 8 | 2, percent: 20, ..FULL }, &[Status::Online, Status::Charging]),
            (PowerStatus { battery: 0, percent: 50, ..FULL }, &[Status::Online]),
            (PowerStatus { battery: UNKNOWN, ..FULL }, &[Status::Online]),
            // It does not know: neither on line nor on battery, and no state at all.
            (PowerStatus { line: UNKNOWN, battery: UNKNOWN, ..FULL }, &[]),
            (PowerStatus { line: 7, battery: 16 | 32 | 64, ..FULL }, &[]),
        ] {
            let expected: BTreeSet<_> = statuses.iter().copied().collect();
            assert_eq!(reading(told).expect("a battery").statuses, expected, "{told:?}");
        }
    }

    #[test]
    fn what_windows_does_not_know_is_no_sample() {
        let of = |told: PowerStatus| {
            let reading = reading(told).expect("a battery");
            [Quantity::BatteryCharge, Quantity::BatteryRuntime].map(|quantity| reading.values.of(quantity))
        };
        assert_eq!(of(FULL), [Some(1.0), None]);
        assert_eq!(of(PowerStatus { line: 0, battery: 0, percent: 50, seconds: 1500 }), [Some(0.5), Some(1500.0)]);
        assert_eq!(of(PowerStatus { percent: UNKNOWN, ..FULL }), [None, None]);
        assert_eq!(of(PowerStatus { percent: 0, seconds: 0, line: 0, battery: 4 }), [Some(0.0), Some(0.0)]);
        let refused = reading(PowerStatus { percent: 111, ..FULL }).expect("a battery");
        assert_eq!(refused.values.of(Quantity::BatteryCharge), None, "more than there can be");
        assert_eq!(refused.refused().collect::<Vec<_>>(), [("ups_battery_charge_ratio", 1)]);
    }

    #[test]
    fn where_there_is_no_battery_nothing_is_known_of_the_power() {
        let told = reading(PowerStatus { battery: NO_BATTERY, percent: UNKNOWN, ..FULL }).expect_err("no battery");
        assert_eq!(told.reason, UpsFault::NoBattery);
        assert!(told.reason.is_link_lost(), "what was said before its cable was pulled still stands");
    }
}
