//! The UPSes: what each says of itself, or why it says nothing.

use std::collections::BTreeSet;

use super::Severity;
use crate::snapshot::{Snapshot, UpsSeen};
use crate::ups::{Reading, SelfTest, Status};

/// Each UPS once: two sources may reach the same.
pub(crate) fn each(snapshot: &Snapshot) -> impl Iterator<Item = &UpsSeen> {
    let mut known = BTreeSet::new();
    let all = snapshot.passes().flat_map(|(_, pass)| pass.upses());
    all.filter(move |seen| known.insert((&seen.ups, seen.backend, &seen.target)))
}

/// What holds, the worst first, in words.
pub(crate) fn state(seen: &UpsSeen) -> (Severity, String) {
    let reading = match &seen.outcome {
        Ok(reading) => reading,
        Err(trouble) => return (Severity::Critical, format!("down ({}): {}", trouble.reason, trouble.message)),
    };
    let mut said: Vec<(Severity, String)> =
        reading.statuses.iter().map(|status| (beside(*status, reading), words(*status).to_owned())).collect();
    said.extend(self_test(reading));
    said.extend(reading.alarms.iter().map(|alarm| (Severity::Warning, format!("alarm {alarm}"))));
    said.extend(reading.unknown.iter().map(|word| (Severity::Warning, format!("unknown state {word}"))));
    said.sort_by_key(|(severity, _)| *severity);
    let worst = said.first().map_or(Severity::Warning, |(severity, _)| *severity);
    let texts: Vec<String> = said.into_iter().map(|(_, text)| text).collect();
    (worst, if texts.is_empty() { "says no state".to_owned() } else { texts.join(", ") })
}

fn self_test(reading: &Reading) -> Option<(Severity, String)> {
    match reading.self_test? {
        SelfTest::Failed => Some((Severity::Warning, "self-test failed".to_owned())),
        SelfTest::Warning => Some((Severity::Warning, "self-test with a warning".to_owned())),
        SelfTest::Passed | SelfTest::Aborted | SelfTest::InProgress | SelfTest::None => None,
    }
}

/// A UPS that says that it is on line and off contradicts itself, and the host that hears it has power.
fn beside(status: Status, reading: &Reading) -> Severity {
    match status {
        Status::Off if reading.statuses.contains(&Status::Online) => Severity::Warning,
        status => severity(status),
    }
}

const fn severity(status: Status) -> Severity {
    match status {
        Status::LowBattery
        | Status::BatteryDepleted
        | Status::Overload
        | Status::ForcedShutdown
        | Status::ShuttingDown
        | Status::CommLost
        | Status::Off => Severity::Critical,
        Status::OnBattery
        | Status::HighBattery
        | Status::ReplaceBattery
        | Status::NoBattery
        | Status::Bypass
        | Status::Alarm
        | Status::Sleeping => Severity::Warning,
        Status::Online
        | Status::Charging
        | Status::Discharging
        | Status::Calibrating
        | Status::Testing
        | Status::Trim
        | Status::Boost
        | Status::Eco => Severity::Fine,
    }
}

const fn words(status: Status) -> &'static str {
    match status {
        Status::Online => "on line",
        Status::OnBattery => "on battery",
        Status::LowBattery => "battery low",
        Status::HighBattery => "battery voltage high",
        Status::BatteryDepleted => "battery depleted",
        Status::ReplaceBattery => "replace the battery",
        Status::NoBattery => "no battery",
        Status::Charging => "charging",
        Status::Discharging => "discharging",
        Status::Bypass => "on bypass",
        Status::Calibrating => "calibrating",
        Status::Testing => "testing itself",
        Status::Off => "output off",
        Status::Overload => "overloaded",
        Status::Trim => "trimming the voltage",
        Status::Boost => "boosting the voltage",
        Status::Eco => "eco mode",
        Status::Alarm => "an alarm stands",
        Status::ForcedShutdown => "forced shutdown",
        Status::ShuttingDown => "shutting down",
        Status::CommLost => "communication lost",
        Status::Sleeping => "asleep",
    }
}

/// A ratio from 0 to 1.
pub(crate) fn percent(ratio: f64) -> String {
    format!("{:.0} %", ratio * 100.0)
}

#[expect(clippy::cast_possible_truncation, reason = "a float that is cast stops at the ends of the integer")]
pub(crate) fn whole(seconds: f64) -> i64 {
    seconds as i64
}
