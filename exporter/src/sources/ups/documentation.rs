//! `docs/ups-metrics.md` is what the tables say: this writes it, and holds it equal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::Timestamp;

use super::{apcupsd, nut, snmp, web, windows_power};
use crate::render::ups_families;
use crate::ups::{ABSENT_IN_SNMP, ALARM_METRIC, IDLE, Protocol, Quantity, QuantityFacts, Status, Unit};

/// The sources of one backend, by metric and by status.
#[derive(Default)]
pub(super) struct Documented {
    metrics: BTreeMap<&'static str, BTreeSet<String>>,
    statuses: BTreeMap<Status, BTreeSet<String>>,
}

impl Documented {
    pub(super) fn number(&mut self, quantity: Quantity, name: &str, scale: f64) {
        let scale = if scale == 1.0 { String::new() } else { format!(" × {scale}") };
        self.text(quantity.facts().metric, format!("`{name}`{scale}"));
    }

    pub(super) fn text(&mut self, metric: &'static str, source: String) {
        self.metrics.entry(metric).or_default().insert(source);
    }

    pub(super) fn status(&mut self, status: Status, source: &str) {
        self.statuses.entry(status).or_default().insert(format!("`{source}`"));
    }

    fn of(&self, metric: &str) -> String {
        self.metrics.get(metric).map(joined).unwrap_or_default()
    }
}

fn joined(all: &BTreeSet<String>) -> String {
    all.iter().map(String::as_str).collect::<Vec<_>>().join("<br>")
}

const HEAD: &str = "\
# Where each `ups_*` metric comes from

Written by a test from the tables that the exporter itself reads: `make docs` writes it anew.

A reading outside its range is no sample: it is a sentinel of a driver or an agent, another unit than it claims, or nonsense.
`ups_readings_refused_total{metric}` counts such readings, one for each look; when it grows, look at the raw value with `upsc`, `apcaccess` or `snmpget`, and
update the driver or the card. Two rules go beyond the ranges. A charge or a humidity of up to 110 % is 100 %. On line, with a full battery that nothing
is wrong with, a runtime of 0 is not known. A value that stands for none is no sample and is not counted.

Countdowns count once they move, or while the UPS says in other words that it shuts down. Where a UPS has several lines, numbers have the label `phase`: the
line's number by SNMP (of those that the agent counts), NUT's name of the conductors (`PHASE`: `L1`, `L1-N`, `L1-L2`). Where two sources of one backend
give one metric, the more precise or the more special one counts.

";

/// Families that are no numbers of the table, with what the backends' tables do not tell: NUT, apcupsd, SNMP, the web UI, Windows.
const OTHERS: &[(&str, [&str; 5])] = &[
    (
        "ups_up",
        [
            "whether the driver is heard",
            "`STATFLAG` 0x100 is not set",
            "the agent answers and has its UPS",
            "the page is shown",
            "there is a battery",
        ],
    ),
    ("ups_poll_error", [""; 5]),
    ("ups_last_success_timestamp_seconds", [""; 5]),
    ("ups_poll_duration_seconds", [""; 5]),
    (
        "ups_info",
        [
            "`device.mfr`, `device.model`, `device.serial` (or `ups.*`), `ups.firmware`, `driver.name`, `driver.version`, \
             `device.description`, `device.location`",
            "`MODEL` (or `APCMODEL`), `SERIALNO`, `FIRMWARE`, `DRIVER`, `VERSION`",
            "",
            "",
            "",
        ],
    ),
    ("ups_status", ["see below"; 5]),
    ("ups_status_contradictions", ["states that exclude each other"; 5]),
    (
        "ups_status_unknown",
        [
            "other words of `ups.status`",
            "other words of `STATUS`",
            "other numbers of enums",
            "other words of `DeviceStatus`",
            "",
        ],
    ),
    ("ups_battery_info", ["`battery.type`", "", "", "", ""]),
    ("ups_outlet_on", ["`outlet.N.status`, `outlet.group.N.status`", "", "", "", ""]),
    ("ups_beeper_status", ["`ups.beeper.status`", "", "", "", ""]),
    ("ups_readings_refused", [""; 5]),
    ("ups_last_transfer_timestamp_seconds", ["", "`XONBATT`, `XOFFBATT`", "", "", ""]),
    ("ups_last_transfer_cause", ["`input.transfer.reason`", "`LASTXFER`", "", "", ""]),
    ("ups_self_test_result", ["`ups.test.result`", "`SELFTEST`", "", "", ""]),
    (ALARM_METRIC, ["`ups.alarm`", "", "", "", ""]),
];

fn document() -> String {
    let backends =
        [nut::documented(), apcupsd::documented(), snmp::documented(), web::documented(), windows_power::documented()];
    let mut out = HEAD.to_owned();
    out += "## Numbers\n\n| metric | unit | range | NUT | apcupsd | SNMP | PowerChute's web UI | Windows | stands for none |\n";
    out += "|---|---|---|---|---|---|---|---|---|\n";
    for quantity in Quantity::ALL {
        let facts = quantity.facts();
        let [nut, apcupsd, snmp, web, windows] = backends.each_ref().map(|backend| backend.of(facts.metric));
        let (name, unit, range, idle) = (published(facts), unit(facts.unit), range(facts), idle(quantity));
        writeln!(out, "| `{name}` | {unit} | {range} | {nut} | {apcupsd} | {snmp} | {web} | {windows} | {idle} |")
            .expect("a string");
    }
    let absent: Vec<_> = ABSENT_IN_SNMP.iter().map(f64::to_string).collect();
    writeln!(out, "\nBy SNMP {} stand for none in every object.\n", absent.join(" and ")).expect("a string");
    out += "## Words\n\n| metric | NUT | apcupsd | SNMP | PowerChute's web UI | Windows |\n|---|---|---|---|---|---|\n";
    for (family, sources) in OTHERS {
        let cells: Vec<_> = backends
            .iter()
            .zip(sources)
            .map(
                |(backend, said)| {
                    if said.is_empty() { backend.of(family) } else { format_both(said, &backend.of(family)) }
                },
            )
            .collect();
        let total = if ups_families().any(|(name, counts)| name == *family && counts) { "_total" } else { "" };
        writeln!(out, "| `{family}{total}` | {} |", cells.join(" | ")).expect("a string");
    }
    out += "\n## States\n\nThe label `status` of `ups_status`.\n\n";
    out += "| status | NUT | apcupsd | SNMP | PowerChute's web UI | Windows |\n|---|---|---|---|---|---|\n";
    for status in Status::ALL {
        let cells = backends.each_ref().map(|backend| backend.statuses.get(&status).map(joined).unwrap_or_default());
        writeln!(out, "| `{}` | {} |", status.as_str(), cells.join(" | ")).expect("a string");
    }
    out
}

fn format_both(said: &str, told: &str) -> String {
    if told.is_empty() { said.to_owned() } else { format!("{said}<br>{told}") }
}

fn published(facts: &QuantityFacts) -> String {
    if facts.unit.is_counter() { format!("{}_total", facts.metric) } else { facts.metric.to_owned() }
}

const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Ratio => "ratio",
        Unit::Seconds | Unit::SecondsCounted => "s",
        Unit::Timestamp => "s since 1970",
        Unit::Volts => "V",
        Unit::Amperes => "A",
        Unit::Hertz => "Hz",
        Unit::Watts => "W",
        Unit::VoltAmperes => "VA",
        Unit::Celsius => "°C",
        Unit::Count | Unit::Counter => "",
    }
}

fn range(facts: &QuantityFacts) -> String {
    let (least, most) = facts.range;
    if facts.unit == Unit::Timestamp {
        let day = |at: f64| {
            #[expect(clippy::cast_possible_truncation, reason = "seconds of a four-digit year")]
            let at = Timestamp::from_second(at as i64).expect("a time within the calendar");
            at.strftime("%Y-%m-%d").to_string()
        };
        return format!("{} to {}", day(least), day(most));
    }
    format!("{least} to {most}")
}

/// As it is written, by protocol.
fn idle(quantity: Quantity) -> String {
    let rows = IDLE.iter().filter(|row| row.quantities.contains(&quantity));
    let rows = rows.map(|row| {
        let protocol = match row.protocol {
            Protocol::Nut => "NUT",
            Protocol::Snmp => "SNMP",
        };
        let values: Vec<_> = row.values.iter().map(f64::to_string).collect();
        format!("{protocol}: {} ({})", values.join(", "), row.origin)
    });
    rows.collect::<Vec<_>>().join("<br>")
}

#[test]
fn the_documentation_of_every_metric_is_what_the_tables_say() {
    kagiban_docs::check_file("docs/ups-metrics.md", &document()).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn every_family_of_a_ups_is_documented_and_nothing_else() {
    let numbers = Quantity::ALL.into_iter().map(|quantity| quantity.facts().metric);
    let documented: BTreeSet<&str> = numbers.chain(OTHERS.iter().map(|(family, _)| *family)).collect();
    let published: BTreeSet<&str> =
        ups_families().map(|(name, _)| name).filter(|name| name.starts_with("ups_")).collect();
    assert_eq!(documented, published);
}

/// A metric that no backend gives would never have a sample.
#[test]
fn every_number_has_a_source() {
    let backends =
        [nut::documented(), apcupsd::documented(), snmp::documented(), web::documented(), windows_power::documented()];
    for quantity in Quantity::ALL {
        let metric = quantity.facts().metric;
        assert!(backends.iter().any(|backend| backend.metrics.contains_key(metric)), "{metric}");
    }
}
