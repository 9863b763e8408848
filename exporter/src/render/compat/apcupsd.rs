//! apcupsd_exporter, by mdlayher: `apcupsd_*`. What apcupsd does not say is left out there with a zero, here without.

use std::fmt;

use super::super::table::{Family, Kind, Samples};
use super::Unique;
use crate::snapshot::{Backend, Label, Snapshot, UpsSeen};
use crate::ups::{Quantity, Reading, TransferDirection};

const MINUTE: f64 = 60.0;

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "apcupsd_info",
        help: "Who the UPS says that it is, and its state in words, always 1.",
        kind: Kind::Gauge,
        samples: info,
    },
    Family {
        name: "apcupsd_battery_charge_percent",
        help: "How full the battery is, from 0 to 100.",
        kind: Kind::Gauge,
        samples: |snapshot, out| number(snapshot, out, "BCHARGE", 1.0),
    },
    Family {
        name: "apcupsd_battery_cumulative_time_on_seconds",
        help: "For how long the UPS has been on its battery since apcupsd was started.",
        kind: Kind::Counter,
        samples: |snapshot, out| number(snapshot, out, "CUMONBATT", 1.0),
    },
    Family {
        name: "apcupsd_battery_nominal_volts",
        help: "Voltage that the battery is made for.",
        kind: Kind::Gauge,
        samples: |snapshot, out| number(snapshot, out, "NOMBATTV", 1.0),
    },
    Family {
        name: "apcupsd_battery_number_transfers",
        help: "How often the UPS went onto its battery since apcupsd was started.",
        kind: Kind::Counter,
        samples: |snapshot, out| number(snapshot, out, "NUMXFERS", 1.0),
    },
    Family {
        name: "apcupsd_battery_time_left_seconds",
        help: "How long the battery would last.",
        kind: Kind::Gauge,
        samples: |snapshot, out| number(snapshot, out, "TIMELEFT", MINUTE),
    },
    Family {
        name: "apcupsd_battery_time_on_seconds",
        help: "For how long the UPS has been on its battery; 0 when on line.",
        kind: Kind::Gauge,
        samples: |snapshot, out| number(snapshot, out, "TONBATT", 1.0),
    },
    Family {
        name: "apcupsd_battery_volts",
        help: "Voltage of the battery.",
        kind: Kind::Gauge,
        samples: |snapshot, out| number(snapshot, out, "BATTV", 1.0),
    },
    Family {
        name: "apcupsd_internal_temperature_celsius",
        help: "Temperature inside the UPS.",
        kind: Kind::Gauge,
        samples: |snapshot, out| number(snapshot, out, "ITEMP", 1.0),
    },
    Family {
        name: "apcupsd_last_selftest_time_seconds",
        help: "When the UPS last tested itself, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each(snapshot, out, |reading| reading.values.of(Quantity::SelfTestAt)),
    },
    Family {
        name: "apcupsd_last_transfer_off_battery_time_seconds",
        help: "When the UPS last went off its battery, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each(snapshot, out, |reading| transfer(reading, TransferDirection::OffBattery)),
    },
    Family {
        name: "apcupsd_last_transfer_on_battery_time_seconds",
        help: "When the UPS last went onto its battery, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each(snapshot, out, |reading| transfer(reading, TransferDirection::OnBattery)),
    },
    Family {
        name: "apcupsd_line_nominal_volts",
        help: "Voltage that the input is made for.",
        kind: Kind::Gauge,
        samples: |snapshot, out| number(snapshot, out, "NOMINV", 1.0),
    },
    Family {
        name: "apcupsd_line_volts",
        help: "Voltage at the input.",
        kind: Kind::Gauge,
        samples: |snapshot, out| number(snapshot, out, "LINEV", 1.0),
    },
    Family {
        name: "apcupsd_nominal_power_watts",
        help: "Real power that the UPS is made for.",
        kind: Kind::Gauge,
        samples: |snapshot, out| number(snapshot, out, "NOMPOWER", 1.0),
    },
    Family {
        name: "apcupsd_output_volts",
        help: "Voltage at the output.",
        kind: Kind::Gauge,
        samples: |snapshot, out| number(snapshot, out, "OUTPUTV", 1.0),
    },
    Family {
        name: "apcupsd_ups_load_percent",
        help: "Load as a part of what the UPS can carry, from 0 to 100.",
        kind: Kind::Gauge,
        samples: |snapshot, out| number(snapshot, out, "LOADPCT", 1.0),
    },
];

/// The number that a text such as `13.5 Volts` begins with.
fn number(snapshot: &Snapshot, out: &mut Samples<'_, '_>, key: &str, scale: f64) -> fmt::Result {
    each(snapshot, out, |reading| {
        let number: f64 = reading.raw.get(key)?.split_whitespace().next()?.parse().ok()?;
        number.is_finite().then_some(number * scale)
    })
}

fn transfer(reading: &Reading, direction: TransferDirection) -> Option<f64> {
    reading.transfers.get(&direction).map(|at| at.as_duration().as_secs_f64())
}

fn each(snapshot: &Snapshot, out: &mut Samples<'_, '_>, value: impl Fn(&Reading) -> Option<f64>) -> fmt::Result {
    let mut unique = Unique::default();
    upses(snapshot).try_for_each(|(seen, reading)| match value(reading) {
        None => Ok(()),
        Some(value) => unique.put(out, &[("ups", name(seen, reading).as_str())], value),
    })
}

fn info(snapshot: &Snapshot, out: &mut Samples<'_, '_>) -> fmt::Result {
    const PARTS: [(&str, &str); 3] = [("hostname", "HOSTNAME"), ("model", "MODEL"), ("status", "STATUS")];
    let mut unique = Unique::default();
    upses(snapshot).try_for_each(|(seen, reading)| {
        let ups = name(seen, reading);
        let texts = PARTS.map(|(label, key)| (label, Label::new(reading.raw.get(key).map_or("", |text| text.trim()))));
        let mut labels = vec![("ups", ups.as_str())];
        labels.extend(texts.iter().map(|(label, text)| (*label, text.as_str())));
        unique.put(out, &labels, true)
    })
}

fn upses(snapshot: &Snapshot) -> impl Iterator<Item = (&UpsSeen, &Reading)> {
    let seen = snapshot.passes().flat_map(|(_, pass)| pass.upses()).filter(|seen| seen.backend == Backend::Apcupsd);
    seen.filter_map(|seen| Some((seen, seen.outcome.as_deref().ok()?)))
}

/// The name that apcupsd gives its UPS: what that exporter's series are called by.
fn name(seen: &UpsSeen, reading: &Reading) -> Label {
    match reading.raw.get("UPSNAME").map(|name| name.trim()) {
        Some(name) if !name.is_empty() => Label::new(name),
        _ => seen.ups.clone(),
    }
}
