//! What a UPS's reading says of the host that it feeds.

use jiff::{SignedDuration, Timestamp};

use super::{About, Evidence, OriginStatus, Sign};
use crate::ups::{
    Quantity, Reading, SelfTest, ShutdownTrigger, ShutdownTriggers, Status, announces_end, announces_shutdown,
    is_on_line,
};

impl OriginStatus {
    /// What a UPS that answered at `now` said.
    pub fn of(reading: &Reading, now: Timestamp) -> Self {
        let whole = Evidence::of(reading, now);
        if whole.sign == Sign::Normal && !speaks_of_power(reading) {
            return Self::Mute;
        }
        let (of_host, of_feed): (ShutdownTriggers, ShutdownTriggers) =
            reading.triggers.iter().copied().partition(|trigger| is_of_host(*trigger));
        if of_host.is_empty() {
            return Self::Said(vec![whole]);
        }
        let sign = of_host.iter().map(|trigger| announced_by(*trigger)).max().unwrap_or(Sign::Normal);
        let host = Evidence { triggers: of_host, cause: reading.cause.clone(), ..Evidence::new(sign) };
        let sign = sign_with(reading, &of_feed);
        let denies = sign != Sign::InProgress && speaks_of_power(reading);
        let feed = Evidence { sign, triggers: of_feed, cause: None, denies, ..whole };
        Self::Said(vec![feed, host])
    }
}

impl Evidence {
    /// A deadline of it is never before `now`.
    pub fn of(reading: &Reading, now: Timestamp) -> Self {
        let sign = sign_with(reading, &reading.triggers);
        Self {
            about: About::Feed,
            triggers: reading.triggers.clone(),
            deadline: seconds_left(reading, sign).and_then(|left| after(now, left)),
            cause: reading.cause.clone(),
            denies: sign != Sign::InProgress && speaks_of_power(reading),
            gives_mains: is_on_line(&reading.statuses) && !reading.may_count_down,
            ..Self::new(sign)
        }
    }
}

fn sign_with(reading: &Reading, triggers: &ShutdownTriggers) -> Sign {
    let any = |statuses: &[Status]| statuses.iter().any(|status| reading.statuses.contains(status));
    let triggered = triggers.iter().map(|trigger| announced_by(*trigger)).max().unwrap_or(Sign::Normal);

    if triggered == Sign::InProgress
        || any(&[Status::ForcedShutdown, Status::ShuttingDown])
        || announces_end(&reading.alarms)
    {
        return Sign::InProgress;
    }
    if triggered == Sign::Pending || reading.power_ends_in().is_some() || announces_shutdown(&reading.alarms) {
        return Sign::Pending;
    }
    let link = if any(&[Status::CommLost]) { Sign::CommsLost } else { Sign::Normal };
    // Both of `OL OFF` cannot hold, and the host that hears it has power.
    let off =
        if any(&[Status::Off, Status::Sleeping]) && !is_on_line(&reading.statuses) { Sign::Off } else { Sign::Normal };
    link.max(off).max(battery(reading)).max(triggered)
}

/// A battery that is run down on purpose is no outage. A low one is a danger on line too: it would not carry the host
/// through the next outage.
fn battery(reading: &Reading) -> Sign {
    let any = |statuses: &[Status]| statuses.iter().any(|status| reading.statuses.contains(status));
    if any(&[Status::Testing, Status::Calibrating]) || reading.self_test == Some(SelfTest::InProgress) {
        Sign::Testing
    } else if any(&[Status::LowBattery, Status::BatteryDepleted]) {
        Sign::LowBattery
    } else if any(&[Status::OnBattery]) || counts_time_on_battery(reading) {
        Sign::OnBattery
    } else {
        Sign::Normal
    }
}

/// An agent that tells no state may still tell how long it has been on battery.
fn counts_time_on_battery(reading: &Reading) -> bool {
    !is_on_line(&reading.statuses) && reading.values.of(Quantity::OnBattery).is_some_and(|seconds| seconds > 0.0)
}

/// Whether it is told by who shuts the host down, and not by the UPS: it holds whatever other UPSes feed the host.
const fn is_of_host(trigger: ShutdownTrigger) -> bool {
    match trigger {
        ShutdownTrigger::SystemdSchedule
        | ShutdownTrigger::SystemdPreparing
        | ShutdownTrigger::WindowsPreshutdown
        | ShutdownTrigger::ApcupsdShutdown
        | ShutdownTrigger::ApcupsdLoad
        | ShutdownTrigger::ApcupsdTimeOnBattery
        | ShutdownTrigger::ApcupsdRuntime
        | ShutdownTrigger::ApcupsdEmergency
        | ShutdownTrigger::ApcupsdRemote
        | ShutdownTrigger::PowerchuteCritical
        | ShutdownTrigger::PowerchuteEvent => true,
        ShutdownTrigger::NutFsd
        | ShutdownTrigger::NutTimer
        | ShutdownTrigger::SnmpShutdownDelay
        | ShutdownTrigger::SnmpAlarm => false,
    }
}

/// How far a shutdown is, at least, once this trigger is there.
const fn announced_by(trigger: ShutdownTrigger) -> Sign {
    match trigger {
        ShutdownTrigger::SystemdSchedule => Sign::Scheduled,
        ShutdownTrigger::NutTimer
        | ShutdownTrigger::ApcupsdLoad
        | ShutdownTrigger::ApcupsdTimeOnBattery
        | ShutdownTrigger::ApcupsdRuntime
        | ShutdownTrigger::ApcupsdEmergency
        | ShutdownTrigger::ApcupsdRemote
        | ShutdownTrigger::SnmpShutdownDelay
        | ShutdownTrigger::SnmpAlarm
        | ShutdownTrigger::PowerchuteEvent => Sign::Pending,
        ShutdownTrigger::SystemdPreparing
        | ShutdownTrigger::WindowsPreshutdown
        | ShutdownTrigger::NutFsd
        | ShutdownTrigger::ApcupsdShutdown
        | ShutdownTrigger::PowerchuteCritical => Sign::InProgress,
    }
}

fn speaks_of_power(reading: &Reading) -> bool {
    let of_power = |status: &Status| match status {
        Status::Online
        | Status::OnBattery
        | Status::Bypass
        | Status::Off
        | Status::Trim
        | Status::Boost
        | Status::Eco
        | Status::Sleeping => true,
        Status::LowBattery
        | Status::HighBattery
        | Status::BatteryDepleted
        | Status::ReplaceBattery
        | Status::NoBattery
        | Status::Charging
        | Status::Discharging
        | Status::Calibrating
        | Status::Testing
        | Status::Overload
        | Status::Alarm
        | Status::ForcedShutdown
        | Status::ShuttingDown
        | Status::CommLost => false,
    };
    reading.statuses.iter().any(of_power)
}

/// What comes first: the end of a countdown, or the time when the battery is as low as the UPS lets it be.
fn seconds_left(reading: &Reading, sign: Sign) -> Option<f64> {
    let value = |quantity| reading.values.of(quantity);
    let drains = match sign {
        Sign::OnBattery | Sign::LowBattery => true,
        Sign::Pending | Sign::InProgress => matches!(battery(reading), Sign::OnBattery | Sign::LowBattery),
        Sign::Normal | Sign::Testing | Sign::Cancelled | Sign::CommsLost | Sign::Off | Sign::Scheduled => false,
    };
    let lasts = value(Quantity::BatteryRuntime)
        .filter(|_| drains && !is_on_line(&reading.statuses))
        .map(|runtime| (runtime - value(Quantity::BatteryRuntimeLow).unwrap_or(0.0)).max(0.0));
    reading.power_ends_in().into_iter().chain(lasts).min_by(f64::total_cmp)
}

/// None beyond what a calendar holds.
fn after(now: Timestamp, seconds: f64) -> Option<Timestamp> {
    now.checked_add(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
}
