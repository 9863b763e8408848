//! What each vendor says, and what it says of the host.

use super::*;
use crate::ups::{SelfTest, is_on_line};

fn sign(statuses: &[Status], change: impl FnOnce(&mut Reading)) -> Sign {
    Evidence::of(&with(reading(statuses), change), START).sign
}

#[test]
fn every_cell_of_the_vendors_tables_has_its_sign() {
    use Status::{
        BatteryDepleted, Boost, Bypass, Calibrating, Charging, CommLost, Discharging, Eco, ForcedShutdown, LowBattery,
        Off, OnBattery, Online, ShuttingDown, Sleeping, Testing, Trim,
    };
    let trigger = |it: ShutdownTrigger| move |reading: &mut Reading| _ = reading.triggers.insert(it);
    let alarm = |it: &'static str| move |reading: &mut Reading| _ = reading.alarms.insert(Label::new(it));
    let timer = |left: f64| move |reading: &mut Reading| reading.values.put(Quantity::ShutdownTimer, left);
    let plain = |_: &mut Reading| {};
    let cells: [(&str, Sign, Sign); 40] = [
        ("PowerChute: critical flag clear", sign(&[], plain), Sign::Normal),
        (
            "PowerChute: critical flag active",
            sign(&[Online], trigger(ShutdownTrigger::PowerchuteCritical)),
            Sign::InProgress,
        ),
        ("PowerChute: communication lost", sign(&[CommLost], plain), Sign::CommsLost),
        ("PowerNet: on line", sign(&[Online], plain), Sign::Normal),
        ("PowerNet: smart boost", sign(&[Boost], plain), Sign::Normal),
        ("PowerNet: smart trim", sign(&[Trim], plain), Sign::Normal),
        ("PowerNet: eco mode", sign(&[Eco], plain), Sign::Normal),
        ("PowerNet: on battery", sign(&[OnBattery], plain), Sign::OnBattery),
        ("PowerNet: low battery", sign(&[LowBattery], plain), Sign::LowBattery),
        ("PowerNet: outlet command", sign(&[Online], trigger(ShutdownTrigger::SnmpShutdownDelay)), Sign::Pending),
        ("PowerNet: graceful shutdown", sign(&[OnBattery, ShuttingDown], plain), Sign::InProgress),
        ("PowerNet: sleeping", sign(&[Sleeping], plain), Sign::Off),
        ("PowerNet: off", sign(&[Off], plain), Sign::Off),
        ("PowerNet: battery test", sign(&[OnBattery, Testing], plain), Sign::Testing),
        ("PowerNet: calibration, run low", sign(&[OnBattery, LowBattery, Calibrating], plain), Sign::Testing),
        ("UPS-MIB: battery depleted", sign(&[OnBattery, BatteryDepleted], plain), Sign::LowBattery),
        ("UPS-MIB: shutdown after delay", sign(&[Online], timer(90.0)), Sign::Pending),
        ("UPS-MIB: the delay has run out", sign(&[Online], timer(0.0)), Sign::Pending),
        ("UPS-MIB: no countdown", sign(&[Online], plain), Sign::Normal),
        ("UPS-MIB: source none", sign(&[Off], plain), Sign::Off),
        ("UPS-MIB: source none, PowerNet: on line", sign(&[Off, Online], plain), Sign::Normal),
        ("UPS-MIB: output off, shutdown pending", sign(&[Off], alarm("shutdown_pending")), Sign::Pending),
        ("UPS-MIB: alarm 22", sign(&[OnBattery], alarm("shutdown_pending")), Sign::Pending),
        ("UPS-MIB: alarm 23", sign(&[OnBattery], alarm("shutdown_imminent")), Sign::InProgress),
        (
            "UPS-MIB: test in progress",
            sign(&[OnBattery], |it| it.self_test = Some(SelfTest::InProgress)),
            Sign::Testing,
        ),
        ("UPS-MIB: seconds on battery alone", sign(&[], |it| it.values.put(Quantity::OnBattery, 3.0)), Sign::OnBattery),
        ("NUT: OL CHRG", sign(&[Online, Charging], plain), Sign::Normal),
        ("NUT: OB DISCHRG", sign(&[OnBattery, Discharging], plain), Sign::OnBattery),
        ("NUT: OB LB", sign(&[OnBattery, LowBattery], plain), Sign::LowBattery),
        ("NUT: timer", sign(&[OnBattery], timer(60.0)), Sign::Pending),
        ("NUT: OB LB FSD", sign(&[OnBattery, LowBattery, ForcedShutdown], plain), Sign::InProgress),
        ("NUT: FSD OFF", sign(&[ForcedShutdown, Off], plain), Sign::InProgress),
        ("NUT: OL OFF", sign(&[Online, Off], plain), Sign::Normal),
        ("NUT: OB OFF", sign(&[OnBattery, Off], plain), Sign::OnBattery),
        ("NUT: OB CAL", sign(&[OnBattery, Calibrating], plain), Sign::Testing),
        ("NUT: BYPASS", sign(&[Bypass], plain), Sign::Normal),
        ("apcupsd: SHUT_LOAD", sign(&[OnBattery], trigger(ShutdownTrigger::ApcupsdLoad)), Sign::Pending),
        ("apcupsd: SHUT_BTIME", sign(&[OnBattery], trigger(ShutdownTrigger::ApcupsdTimeOnBattery)), Sign::Pending),
        ("apcupsd: SHUT_LTIME", sign(&[OnBattery], trigger(ShutdownTrigger::ApcupsdRuntime)), Sign::Pending),
        ("apcupsd: SHUTDOWN, mains back", sign(&[Online], trigger(ShutdownTrigger::ApcupsdShutdown)), Sign::InProgress),
    ];
    for (cell, found, expected) in cells {
        assert_eq!(found, expected, "{cell}");
    }
}

#[test]
fn a_test_that_meets_a_shutdown_is_no_test() {
    assert_eq!(sign(&[Status::Testing, Status::ForcedShutdown], |_| {}), Sign::InProgress);
}

#[test]
fn the_deadline_is_what_comes_first_and_only_of_a_battery_that_drains() {
    let deadline = |statuses: &[Status], runtime: f64, low: f64, timer: Option<f64>| {
        let reading = with(reading(statuses), |it| {
            it.values.put(Quantity::BatteryRuntime, runtime);
            it.values.put(Quantity::BatteryRuntimeLow, low);
            timer.into_iter().for_each(|left| it.values.put(Quantity::ShutdownTimer, left));
        });
        Evidence::of(&reading, START).deadline
    };
    assert_eq!(deadline(&[Status::OnBattery], 600.0, 120.0, None), Some(at(480)));
    assert_eq!(deadline(&[Status::OnBattery], 60.0, 120.0, None), Some(at(0)), "never in the past");
    assert_eq!(deadline(&[Status::OnBattery], 600.0, 0.0, Some(30.0)), Some(at(30)));
    assert_eq!(deadline(&[Status::OnBattery], 20.0, 0.0, Some(30.0)), Some(at(20)));
    assert_eq!(deadline(&[Status::Online], 600.0, 120.0, None), None);
    assert_eq!(deadline(&[Status::OnBattery, Status::Testing], 600.0, 120.0, None), None);
    assert_eq!(deadline(&[Status::OnBattery], 9e11, 0.0, None), None, "beyond the calendar");
}

#[test]
fn bypass_is_not_on_line() {
    assert!(is_on_line(&[Status::Online].into()) && !is_on_line(&[Status::Bypass].into()));
}
