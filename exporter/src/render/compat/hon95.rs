//! prometheus-nut-exporter, by HON95: `nut_*`, in the units that its names promise. Its status words are a fixed list of
//! eleven there; here every word that holds is published.

use std::fmt;

use super::super::table::{Family, Kind, Samples};
use super::Unique;
use super::nut::{each, text, variable, words};
use crate::snapshot::{Label, Snapshot};
use crate::ups::Reading;

const PERCENT: f64 = 0.01;

/// Published whether they hold or not.
const STATUSES: [&str; 15] =
    ["OL", "OB", "LB", "CHRG", "RB", "FSD", "BYPASS", "SD", "CP", "BOOST", "OFF", "DISCHRG", "OVER", "TRIM", "CAL"];

/// Name of the metric, variable of upsd, factor.
const NUMBERS: [(&str, &str, f64); 37] = [
    ("nut_battery_charge", "battery.charge", PERCENT),
    ("nut_battery_charge_low", "battery.charge.low", PERCENT),
    ("nut_battery_charge_restart", "battery.charge.restart", PERCENT),
    ("nut_battery_charge_warning", "battery.charge.warning", PERCENT),
    ("nut_battery_runtime_low_seconds", "battery.runtime.low", 1.0),
    ("nut_battery_runtime_restart_seconds", "battery.runtime.restart", 1.0),
    ("nut_battery_runtime_seconds", "battery.runtime", 1.0),
    ("nut_battery_temperature_celsius", "battery.temperature", 1.0),
    ("nut_battery_voltage_high_volts", "battery.voltage.high", 1.0),
    ("nut_battery_voltage_low_volts", "battery.voltage.low", 1.0),
    ("nut_battery_voltage_nominal_volts", "battery.voltage.nominal", 1.0),
    ("nut_battery_voltage_volts", "battery.voltage", 1.0),
    ("nut_delay_reboot_seconds", "ups.delay.reboot", 1.0),
    ("nut_delay_shutdown_seconds", "ups.delay.shutdown", 1.0),
    ("nut_delay_start_seconds", "ups.delay.start", 1.0),
    ("nut_input_current_amperes", "input.current", 1.0),
    ("nut_input_frequency_hertz", "input.frequency", 1.0),
    ("nut_input_frequency_nominal_hertz", "input.frequency.nominal", 1.0),
    ("nut_input_transfer_high_volts", "input.transfer.high", 1.0),
    ("nut_input_transfer_low_volts", "input.transfer.low", 1.0),
    ("nut_input_voltage_maximum_volts", "input.voltage.maximum", 1.0),
    ("nut_input_voltage_minimum_volts", "input.voltage.minimum", 1.0),
    ("nut_input_voltage_nominal_volts", "input.voltage.nominal", 1.0),
    ("nut_input_voltage_volts", "input.voltage", 1.0),
    ("nut_load", "ups.load", PERCENT),
    ("nut_output_current_amperes", "output.current", 1.0),
    ("nut_output_frequency_hertz", "output.frequency", 1.0),
    ("nut_output_frequency_nominal_hertz", "output.frequency.nominal", 1.0),
    ("nut_output_voltage_nominal_volts", "output.voltage.nominal", 1.0),
    ("nut_output_voltage_volts", "output.voltage", 1.0),
    // Apparent power, whatever the name says: that exporter's dashboards know it so.
    ("nut_power_nominal_watts", "ups.power.nominal", 1.0),
    ("nut_power_watts", "ups.power", 1.0),
    ("nut_real_power_nominal_watts", "ups.realpower.nominal", 1.0),
    ("nut_real_power_watts", "ups.realpower", 1.0),
    ("nut_temperature_celsius", "ups.temperature", 1.0),
    ("nut_timer_shutdown_seconds", "ups.timer.shutdown", 1.0),
    ("nut_timer_start_seconds", "ups.timer.start", 1.0),
];

pub(super) const FAMILIES: &[Family<Snapshot>] = &families();

const fn families() -> [Family<Snapshot>; NUMBERS.len() + 2] {
    const NUMBER: Family<Snapshot> = Family {
        name: "",
        help: "The variable of upsd that the name says, in the unit that it says.",
        kind: Kind::Gauge,
        samples: number,
    };
    let mut all = [NUMBER; NUMBERS.len() + 2];
    let mut at = 0;
    while at < NUMBERS.len() {
        all[at] = Family { name: NUMBERS[at].0, ..NUMBER };
        at += 1;
    }
    all[at] = Family { name: "nut_ups_status", help: "Whether the word is in ups.status.", samples: status, ..NUMBER };
    all[at + 1] =
        Family { name: "nut_ups_info", help: "Who the UPS says that it is, always 1.", samples: info, ..NUMBER };
    all
}

fn number(snapshot: &Snapshot, out: &mut Samples<'_, '_>) -> fmt::Result {
    let family = out.family();
    NUMBERS
        .iter()
        .filter(|(name, ..)| *name == family)
        .try_for_each(|(_, from, scale)| variable(snapshot, out, from, *scale))
}

fn status(snapshot: &Snapshot, out: &mut Samples<'_, '_>) -> fmt::Result {
    let mut unique = Unique::default();
    each(snapshot, |seen, reading| {
        let words = words(reading);
        for status in STATUSES {
            unique.put(out, &[("status", status), ("ups", seen.ups.as_str())], words.contains(&status))?;
        }
        let others = words.iter().filter(|word| !STATUSES.contains(word)).take(Reading::MAX_UNKNOWN);
        others
            .map(|word| Label::new(word))
            .try_for_each(|word| unique.put(out, &[("status", word.as_str()), ("ups", seen.ups.as_str())], true))
    })
}

fn info(snapshot: &Snapshot, out: &mut Samples<'_, '_>) -> fmt::Result {
    const PARTS: [(&str, &str); 7] = [
        ("manufacturer", "device.mfr"),
        ("model", "device.model"),
        ("type", "device.type"),
        ("driver", "driver.name"),
        ("driver_version", "driver.version"),
        ("ups_firmware", "ups.firmware"),
        ("ups_serial", "ups.serial"),
    ];
    let mut unique = Unique::default();
    each(snapshot, |seen, reading| {
        let texts = PARTS.map(|(label, from)| (label, Label::new(text(reading, from).unwrap_or_default())));
        let mut labels = vec![("ups", seen.ups.as_str())];
        labels.extend(texts.iter().map(|(label, text)| (*label, text.as_str())));
        unique.put(out, &labels, true)
    })
}
