//! nut_exporter, by DRuggeri: `network_ups_tools_*`, with the label `ups` that its dashboard filters by.

use std::fmt;

use super::super::table::{Family, Kind, Samples};
use super::Unique;
use super::nut::{each, text, variable, words};
use crate::snapshot::{Label, Snapshot};
use crate::ups::Reading;

const PREFIX: &str = "network_ups_tools_";

/// The status words that are published whether they hold or not; others are there while they hold.
const FLAGS: [&str; 15] =
    ["OL", "OB", "LB", "HB", "RB", "CHRG", "DISCHRG", "BYPASS", "CAL", "OFF", "OVER", "TRIM", "BOOST", "FSD", "SD"];

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "network_ups_tools_ups_status",
        help: "Whether the word is in ups.status.",
        kind: Kind::Gauge,
        samples: status,
    },
    Family {
        name: "network_ups_tools_device_info",
        help: "Who the UPS says that it is, always 1.",
        kind: Kind::Gauge,
        samples: device,
    },
    number("network_ups_tools_ambient_humidity"),
    number("network_ups_tools_ambient_temperature"),
    number("network_ups_tools_battery_capacity"),
    number("network_ups_tools_battery_charge"),
    number("network_ups_tools_battery_charge_low"),
    number("network_ups_tools_battery_charge_restart"),
    number("network_ups_tools_battery_charge_warning"),
    number("network_ups_tools_battery_current"),
    number("network_ups_tools_battery_packs"),
    number("network_ups_tools_battery_runtime"),
    number("network_ups_tools_battery_runtime_low"),
    number("network_ups_tools_battery_temperature"),
    number("network_ups_tools_battery_voltage"),
    number("network_ups_tools_battery_voltage_high"),
    number("network_ups_tools_battery_voltage_low"),
    number("network_ups_tools_battery_voltage_nominal"),
    number("network_ups_tools_input_current"),
    number("network_ups_tools_input_frequency"),
    number("network_ups_tools_input_frequency_nominal"),
    number("network_ups_tools_input_transfer_high"),
    number("network_ups_tools_input_transfer_low"),
    number("network_ups_tools_input_voltage"),
    number("network_ups_tools_input_voltage_maximum"),
    number("network_ups_tools_input_voltage_minimum"),
    number("network_ups_tools_input_voltage_nominal"),
    number("network_ups_tools_output_current"),
    number("network_ups_tools_output_frequency"),
    number("network_ups_tools_output_frequency_nominal"),
    number("network_ups_tools_output_voltage"),
    number("network_ups_tools_output_voltage_nominal"),
    number("network_ups_tools_ups_delay_reboot"),
    number("network_ups_tools_ups_delay_shutdown"),
    number("network_ups_tools_ups_delay_start"),
    number("network_ups_tools_ups_efficiency"),
    number("network_ups_tools_ups_load"),
    number("network_ups_tools_ups_load_high"),
    number("network_ups_tools_ups_power"),
    number("network_ups_tools_ups_power_nominal"),
    number("network_ups_tools_ups_realpower"),
    number("network_ups_tools_ups_realpower_nominal"),
    number("network_ups_tools_ups_temperature"),
    number("network_ups_tools_ups_timer_reboot"),
    number("network_ups_tools_ups_timer_shutdown"),
    number("network_ups_tools_ups_timer_start"),
];

/// A variable in upsd's own unit, as that exporter has it.
const fn number(name: &'static str) -> Family<Snapshot> {
    Family {
        name,
        help: "The variable of this name as upsd gives it, in its unit.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            let name = out.family().strip_prefix(PREFIX).unwrap_or_default().replace('_', ".");
            variable(snapshot, out, &name, 1.0)
        },
    }
}

fn status(snapshot: &Snapshot, out: &mut Samples<'_, '_>) -> fmt::Result {
    let mut unique = Unique::default();
    each(snapshot, |seen, reading| {
        let words = words(reading);
        for flag in FLAGS {
            unique.put(out, &[("flag", flag), ("ups", seen.ups.as_str())], words.contains(&flag))?;
        }
        let others = words.iter().filter(|word| !FLAGS.contains(word)).take(Reading::MAX_UNKNOWN);
        others
            .map(|word| Label::new(word))
            .try_for_each(|word| unique.put(out, &[("flag", word.as_str()), ("ups", seen.ups.as_str())], true))
    })
}

fn device(snapshot: &Snapshot, out: &mut Samples<'_, '_>) -> fmt::Result {
    const PARTS: [&str; 9] =
        ["model", "mfr", "serial", "type", "description", "contact", "location", "part", "macaddr"];
    let mut unique = Unique::default();
    each(snapshot, |seen, reading| {
        let texts = PARTS.map(|part| (part, Label::new(text(reading, &format!("device.{part}")).unwrap_or_default())));
        let mut labels = vec![("ups", seen.ups.as_str())];
        labels.extend(texts.iter().map(|(part, text)| (*part, text.as_str())));
        unique.put(out, &labels, true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_begins_as_that_exporters_do() {
        assert!(FAMILIES.iter().all(|family| family.name.starts_with(PREFIX)));
    }
}
