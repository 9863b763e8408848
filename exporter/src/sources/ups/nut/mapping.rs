//! From the variables of the Network UPS Tools to a reading.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::label::Label;
use crate::sources::ups::dates;
#[cfg(test)]
use crate::sources::ups::documentation::Documented;
use crate::sources::ups::lines::{self, LineScope};
use crate::sources::ups::numbers::{Written, written};
use crate::ups::{
    Beeper, Protocol, Quantity, Raw, Reading, SelfTest, ShutdownTrigger, Status, Timer, UpsIdentity, Values, is_idle,
    is_printed_null, meaning,
};

/// Names with their texts, as upsd gives them.
pub(super) type Variables = BTreeMap<String, String>;

const PERCENT: f64 = 0.01;

/// Numbers of the whole UPS. Where two variables give one quantity the later counts.
const NUMBERS: &[(&str, Quantity, f64)] = &[
    ("battery.charge", Quantity::BatteryCharge, PERCENT),
    ("battery.charge.low", Quantity::BatteryChargeLow, PERCENT),
    ("battery.charge.warning", Quantity::BatteryChargeWarning, PERCENT),
    ("battery.runtime", Quantity::BatteryRuntime, 1.0),
    ("battery.runtime.low", Quantity::BatteryRuntimeLow, 1.0),
    ("battery.voltage", Quantity::BatteryVoltage, 1.0),
    ("battery.voltage.nominal", Quantity::BatteryVoltageNominal, 1.0),
    ("battery.voltage.low", Quantity::BatteryVoltageLow, 1.0),
    ("battery.voltage.high", Quantity::BatteryVoltageHigh, 1.0),
    ("battery.current", Quantity::BatteryCurrent, 1.0),
    ("battery.temperature", Quantity::BatteryTemperature, 1.0),
    ("battery.packs", Quantity::BatteryPacks, 1.0),
    ("ups.temperature", Quantity::Temperature, 1.0),
    ("ambient.temperature", Quantity::AmbientTemperature, 1.0),
    ("ambient.humidity", Quantity::AmbientHumidity, PERCENT),
    ("ups.load", Quantity::Load, PERCENT),
    ("output.realpower", Quantity::RealPower, 1.0),
    ("ups.realpower", Quantity::RealPower, 1.0),
    ("ups.realpower.nominal", Quantity::RealPowerNominal, 1.0),
    // Apparent power: the unit is VA, whatever the name suggests.
    ("output.power", Quantity::ApparentPower, 1.0),
    ("ups.power", Quantity::ApparentPower, 1.0),
    ("ups.power.nominal", Quantity::ApparentPowerNominal, 1.0),
    ("input.voltage", Quantity::InputVoltage, 1.0),
    ("input.voltage.nominal", Quantity::InputVoltageNominal, 1.0),
    ("input.voltage.minimum", Quantity::InputVoltageMinimum, 1.0),
    ("input.voltage.maximum", Quantity::InputVoltageMaximum, 1.0),
    ("input.frequency", Quantity::InputFrequency, 1.0),
    ("input.frequency.nominal", Quantity::InputFrequencyNominal, 1.0),
    ("input.current", Quantity::InputCurrent, 1.0),
    ("input.current.nominal", Quantity::InputCurrentNominal, 1.0),
    ("input.transfer.low", Quantity::InputTransferLow, 1.0),
    ("input.transfer.high", Quantity::InputTransferHigh, 1.0),
    ("output.voltage", Quantity::OutputVoltage, 1.0),
    ("output.voltage.nominal", Quantity::OutputVoltageNominal, 1.0),
    ("output.frequency", Quantity::OutputFrequency, 1.0),
    ("output.frequency.nominal", Quantity::OutputFrequencyNominal, 1.0),
    ("output.current", Quantity::OutputCurrent, 1.0),
    ("ups.delay.shutdown", Quantity::ShutdownDelay, 1.0),
    ("ups.delay.start", Quantity::StartDelay, 1.0),
];

/// What a probe in the air around the UPS tells. Drivers for cards write its numbers where none is plugged in too.
const AMBIENT: &str = "ambient.";

/// In seconds.
const TIMERS: &[(&str, Quantity)] = &[
    ("ups.timer.shutdown", Quantity::ShutdownTimer),
    ("ups.timer.reboot", Quantity::RebootTimer),
    ("ups.timer.start", Quantity::StartupTimer),
];

/// How many lines there are at that side of the UPS.
const LINES: &[(&str, &str)] = &[("input", "input.phases"), ("output", "output.phases"), ("ups", "output.phases")];

/// What has no metric of ours and is passed on under its name in upsd: what it may be, as it is written.
const PASSED_ON: &[(&str, std::ops::RangeInclusive<f64>)] =
    &[("ups.efficiency", 0.0..=110.0), ("ups.load.high", 0.0..=250.0), ("ups.delay.reboot", 0.0..=604_800.0)];

/// Numbers of one conductor: the variable without its second part, which is the phase.
const PHASE_NUMBERS: &[(&str, Quantity, f64)] = &[
    ("input.voltage", Quantity::InputVoltage, 1.0),
    ("input.voltage.minimum", Quantity::InputVoltageMinimum, 1.0),
    ("input.voltage.maximum", Quantity::InputVoltageMaximum, 1.0),
    ("input.current", Quantity::InputCurrent, 1.0),
    ("input.frequency", Quantity::InputFrequency, 1.0),
    ("output.voltage", Quantity::OutputVoltage, 1.0),
    ("output.current", Quantity::OutputCurrent, 1.0),
    ("output.frequency", Quantity::OutputFrequency, 1.0),
    ("output.power.percent", Quantity::Load, PERCENT),
    ("ups.load", Quantity::Load, PERCENT),
    ("output.realpower", Quantity::RealPower, 1.0),
    ("ups.realpower", Quantity::RealPower, 1.0),
    ("output.power", Quantity::ApparentPower, 1.0),
    ("ups.power", Quantity::ApparentPower, 1.0),
];

const DATES: &[(&str, Quantity)] = &[
    ("battery.date", Quantity::BatteryReplacedAt),
    ("battery.mfr.date", Quantity::BatteryManufacturedAt),
    ("ups.test.date", Quantity::SelfTestAt),
];

/// The words of `ups.status`.
const STATUSES: &[(&str, Status)] = &[
    ("OL", Status::Online),
    ("OB", Status::OnBattery),
    ("LB", Status::LowBattery),
    ("HB", Status::HighBattery),
    ("RB", Status::ReplaceBattery),
    ("CHRG", Status::Charging),
    ("DISCHRG", Status::Discharging),
    ("BYPASS", Status::Bypass),
    ("CAL", Status::Calibrating),
    ("TEST", Status::Testing),
    ("OFF", Status::Off),
    ("OVER", Status::Overload),
    ("TRIM", Status::Trim),
    ("BOOST", Status::Boost),
    ("ECO", Status::Eco),
    ("ALARM", Status::Alarm),
    ("FSD", Status::ForcedShutdown),
];

/// What `ups.test.result` holds in the drivers' own words, in lower case; the first that is found counts.
const TEST_WORDS: &[(&str, SelfTest)] = &[
    ("progress", SelfTest::InProgress),
    ("running", SelfTest::InProgress),
    ("abort", SelfTest::Aborted),
    ("no test", SelfTest::None),
    ("not tested", SelfTest::None),
    ("none", SelfTest::None),
    ("warning", SelfTest::Warning),
    ("fail", SelfTest::Failed),
    ("error", SelfTest::Failed),
    ("bad", SelfTest::Failed),
    ("passed", SelfTest::Passed),
    ("success", SelfTest::Passed),
];

/// The same where it is all of the text: too short to be looked for within others.
const TEST_CODES: &[(&str, SelfTest)] = &[
    ("ok", SelfTest::Passed),
    ("ng", SelfTest::Failed),
    ("bt", SelfTest::Failed),
    ("no", SelfTest::None),
    ("ip", SelfTest::InProgress),
    ("wn", SelfTest::Warning),
];

/// The driver's settings: upsd shows them to everybody, SNMP communities and passwords among them.
const DRIVER_SETTINGS: &str = "driver.parameter.";
/// upsd itself keeps no longer texts, and names are a few words.
const MAX_RAW_TEXT: usize = 256;
const MAX_RAW_NAME: usize = 64;

/// What the variables of one UPS say; `described` is what upsd's configuration says of it.
pub(super) fn reading(variables: &Variables, described: Option<&str>) -> Reading {
    let mut reading = Reading { identity: identity(variables, described), raw: raw(variables), ..Reading::default() };
    take_status(variables, &mut reading);
    take_numbers(variables, &mut reading);
    reading.transfer_cause = label(variables, "input.transfer.reason");
    reading.self_test = variables.get("ups.test.result").and_then(|text| self_test(text));
    reading.beeper = text(variables, "ups.beeper.status")
        .and_then(|text| Beeper::ALL.into_iter().find(|beeper| text.eq_ignore_ascii_case(beeper.as_str())));
    take_outlets(variables, &mut reading);
    // Drivers put their alarms one after the other, most with an exclamation mark at the end.
    let alarms = variables.get("ups.alarm").filter(|text| meaning(text).is_some() || is_printed_null(text));
    let alarms = alarms.into_iter().flat_map(|text| text.split_inclusive('!'));
    for alarm in alarms.map(str::trim).filter(|alarm| alarm.chars().any(char::is_alphanumeric)) {
        reading.raise(alarm);
    }
    reading
}

/// The variables that give a quantity of the whole UPS.
pub(in crate::sources::ups) fn names_of(quantity: Quantity) -> impl Iterator<Item = &'static str> {
    NUMBERS.iter().filter(move |(_, of, _)| *of == quantity).map(|(name, ..)| *name)
}

fn identity(variables: &Variables, described: Option<&str>) -> UpsIdentity {
    let either = |name: &str, older: &str| label(variables, name).or_else(|| label(variables, older));
    UpsIdentity {
        manufacturer: either("device.mfr", "ups.mfr"),
        model: either("device.model", "ups.model"),
        serial: either("device.serial", "ups.serial"),
        firmware: label(variables, "ups.firmware"),
        driver: label(variables, "driver.name"),
        driver_version: label(variables, "driver.version"),
        description: label(variables, "device.description").or_else(|| Some(Label::new(meaning(described?)?))),
        location: label(variables, "device.location"),
        battery_type: label(variables, "battery.type"),
    }
}

fn take_status(variables: &Variables, reading: &mut Reading) {
    let words = variables.get("ups.status").map(String::as_str).unwrap_or_default().split_ascii_whitespace();
    for word in words {
        match STATUSES.iter().find(|(known, _)| *known == word) {
            Some((_, status)) => {
                reading.statuses.insert(*status);
            }
            None if reading.unknown.len() < Reading::MAX_UNKNOWN => reading.unknown.push(Label::new(word)),
            None => {}
        }
    }
    if reading.statuses.contains(&Status::ForcedShutdown) {
        reading.triggers.insert(ShutdownTrigger::NutFsd);
    }
}

/// Takes the numbers, and keeps the texts of those that are refused from other exporters' names.
fn take_numbers(variables: &Variables, reading: &mut Reading) {
    let Reading { values, timers, raw, .. } = reading;
    let is_without_probe = variables.get("ambient.present").is_some_and(|present| present.trim() == "no");
    for (name, quantity, scale) in NUMBERS {
        if name.starts_with(AMBIENT) && is_without_probe {
            raw.remove(*name);
            continue;
        }
        let Some(value) = number(variables.get(*name), *quantity, values) else { continue };
        if !is_idle(Protocol::Nut, *quantity, value) && !values.takes(*quantity, None, value * scale) {
            raw.remove(*name);
        }
    }
    for (name, quantity) in TIMERS {
        let Some(written) = number(variables.get(*name), *quantity, values) else { continue };
        let timer = Timer::read(Protocol::Nut, *quantity, written);
        // Who asks those names for a timer that is set asks for a number above zero.
        if timer == Timer::Idle && written > 0.0 {
            raw.remove(*name);
        }
        timers.insert(*quantity, timer);
    }
    for (full_name, text) in variables {
        let Some((name, phase)) = without_phase(full_name) else { continue };
        let known = PHASE_NUMBERS.iter().find(|(known, ..)| *known == name);
        let Some((_, quantity, scale)) = known else { continue };
        let Some(value) = number(Some(text), *quantity, values) else { continue };
        let value = value * scale;
        let taken = match line_count(variables, &name).map(|lines| LineScope::of(last_line(phase), lines)) {
            Some(LineScope::Nowhere) => {
                values.refuse(*quantity);
                false
            }
            Some(LineScope::Whole) => values.of(*quantity).is_some() || values.takes(*quantity, None, value),
            Some(LineScope::Line) | None => values.takes(*quantity, Some(Label::new(phase)), value),
        };
        if !taken {
            raw.remove(full_name.as_str());
        }
    }
    for (name, quantity) in DATES {
        if let Some(at) = variables.get(*name).and_then(|text| dates::parse(text)) {
            values.put(*quantity, at.as_duration().as_secs_f64());
        }
    }
    for (name, range) in PASSED_ON {
        let value: Option<f64> = variables.get(*name).and_then(|text| text.trim().parse().ok());
        if value.is_some_and(|value| value > 0.0 && !range.contains(&value)) {
            raw.remove(*name);
        }
    }
}

/// How many lines the side of a variable has, where the driver says so.
fn line_count(variables: &Variables, name: &str) -> Option<usize> {
    let (_, count) = LINES.iter().find(|(side, _)| name.split('.').next() == Some(side))?;
    lines::counted(variables.get(*count)?.trim().parse::<usize>().ok()?)
}

/// Which line a number cannot be without: of `L1-L2` the second. The neutral is with the first.
fn last_line(phase: &str) -> usize {
    let of = |conductor: &str| conductor.strip_prefix('L').and_then(|line| line.parse().ok()).unwrap_or(1);
    phase.split('-').map(of).max().unwrap_or(1)
}

/// `outlet.1.status`, `outlet.group.1.status`: on or off.
fn take_outlets(variables: &Variables, reading: &mut Reading) {
    for (name, text) in variables {
        let outlet = name.strip_prefix("outlet.").and_then(|rest| rest.strip_suffix(".status"));
        let on = match text.trim().to_ascii_lowercase().as_str() {
            "on" => true,
            "off" => false,
            _ => continue,
        };
        if let Some(outlet) = outlet {
            reading.switch(outlet, on);
        }
    }
}

/// `input.L1-N.voltage` is `input.voltage` of `L1-N`.
fn without_phase(name: &str) -> Option<(String, &str)> {
    let (domain, rest) = name.split_once('.')?;
    let (phase, rest) = rest.split_once('.')?;
    let is_conductor = |text: &str| matches!(text, "L1" | "L2" | "L3" | "N");
    let is_phase = match phase.split_once('-') {
        Some((one, other)) => is_conductor(one) && is_conductor(other),
        None => is_conductor(phase),
    };
    is_phase.then(|| (format!("{domain}.{rest}"), phase))
}

fn self_test(text: &str) -> Option<SelfTest> {
    let text = text.trim().to_ascii_lowercase();
    let code = TEST_CODES.iter().find(|(code, _)| *code == text);
    code.or_else(|| TEST_WORDS.iter().find(|(word, _)| text.contains(word))).map(|(_, result)| *result)
}

/// For the metrics of other exporters. Outlets, of which there may be a thousand, go last, so that what the cap leaves out is
/// of them.
fn raw(variables: &Variables) -> Raw {
    let fits = |name: &str, text: &str| name.len() <= MAX_RAW_NAME && text.len() <= MAX_RAW_TEXT;
    let shown = variables.iter().filter(|(name, text)| !name.starts_with(DRIVER_SETTINGS) && fits(name, text));
    let (outlets, others): (Vec<_>, Vec<_>) = shown.partition(|(name, _)| name.starts_with("outlet"));
    let first = others.into_iter().chain(outlets).take(Reading::MAX_RAW);
    first.map(|(name, text)| (Arc::from(name.as_str()), Arc::from(text.as_str()))).collect()
}

/// A number as it is written; what is none is counted.
fn number(text: Option<&String>, quantity: Quantity, values: &mut Values) -> Option<f64> {
    match written(text?, quantity.facts().unit) {
        Written::Number(value) => Some(value),
        Written::Nothing => None,
        Written::Unreadable => {
            values.refuse(quantity);
            None
        }
    }
}

fn label(variables: &Variables, name: &str) -> Option<Label> {
    text(variables, name).map(Label::new)
}

fn text<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    meaning(variables.get(name)?)
}

/// The tables above, for the documentation.
#[cfg(test)]
pub(in crate::sources::ups) fn documented() -> Documented {
    let mut all = Documented::default();
    for (name, quantity, scale) in NUMBERS {
        all.number(*quantity, name, *scale);
    }
    for (name, quantity, scale) in PHASE_NUMBERS {
        let (domain, rest) = name.split_once('.').expect("every variable has two parts");
        all.number(*quantity, &format!("{domain}.PHASE.{rest}"), *scale);
    }
    for (name, quantity) in TIMERS.iter().chain(DATES) {
        all.number(*quantity, name, 1.0);
    }
    for (word, status) in STATUSES {
        all.status(*status, word);
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{prop, prop_assert, proptest};

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    fn read(pairs: &[(&str, &str)]) -> Reading {
        reading(&variables(pairs), None)
    }

    fn close(reading: &Reading, quantity: Quantity, expected: f64) {
        let value = reading.values.of(quantity).unwrap_or_else(|| panic!("no {quantity:?}"));
        assert!((value - expected).abs() < 1e-9, "{quantity:?} is {value}, not {expected}");
    }

    #[test]
    fn numbers_come_in_base_units() {
        let reading = read(&[
            ("battery.charge", "87.5"),
            ("battery.charge.low", "20"),
            ("battery.runtime", "1200"),
            ("battery.current", "-3.25"),
            ("ups.load", "41"),
            ("ups.realpower", "410"),
            ("output.realpower", "1"),
            ("ups.power", "500"),
            ("input.voltage", "230.5"),
            ("battery.date", "2024/09/25"),
            ("battery.mfr.date", "09/25/23"),
            ("ups.delay.shutdown", "20"),
        ]);
        for (quantity, expected) in [
            (Quantity::BatteryCharge, 0.875),
            (Quantity::BatteryChargeLow, 0.2),
            (Quantity::BatteryRuntime, 1200.0),
            (Quantity::BatteryCurrent, -3.25),
            (Quantity::Load, 0.41),
            (Quantity::RealPower, 410.0),
            (Quantity::ApparentPower, 500.0),
            (Quantity::InputVoltage, 230.5),
            (Quantity::BatteryReplacedAt, 1_727_222_400.0),
            (Quantity::BatteryManufacturedAt, 1_695_600_000.0),
            (Quantity::ShutdownDelay, 20.0),
        ] {
            close(&reading, quantity, expected);
        }
    }

    #[test]
    fn what_is_not_known_is_no_sample() {
        let reading = read(&[
            ("battery.charge", "N/A"),
            ("battery.runtime", ""),
            ("battery.voltage", "nan"),
            ("ups.load", "inf"),
            ("battery.charge.low", "250"),
            ("battery.date", "not set"),
            ("ups.test.date", "1970-01-01"),
            ("input.voltage.nominal", "0"),
            ("ups.realpower.nominal", "0.0"),
            ("input.transfer.reason", "N/A"),
            ("ups.test.result", "hm"),
        ]);
        for quantity in Quantity::ALL {
            assert_eq!(reading.values.each(quantity).count(), 0, "{quantity:?}");
        }
        assert_eq!((reading.transfer_cause, reading.self_test), (None, None));
        assert!(reading.triggers.is_empty() && reading.statuses.is_empty());
    }

    /// Holds R3: what real drivers give for what they do not know.
    #[test]
    fn what_no_ups_can_have_is_no_sample_and_counted() {
        let reading = read(&[
            ("ups.temperature", "255.0"),
            ("battery.runtime", "3932100"),
            ("input.voltage", "65535.0"),
            ("input.transfer.low", "0"),
            ("input.transfer.high", "0"),
            ("ups.realpower.nominal", "0"),
            ("ups.load", "255"),
            ("ups.delay.shutdown", "-1"),
            ("ups.delay.start", "-2"),
            ("ups.alarm", "(null)"),
            ("battery.charge", "101"),
        ]);
        let refused: Vec<_> = reading.refused().collect();
        let expected = [
            "ups_battery_runtime_seconds",
            "ups_temperature_celsius",
            "ups_load_ratio",
            "ups_real_power_nominal_watts",
            "ups_input_voltage_volts",
            "ups_input_transfer_low_volts",
            "ups_input_transfer_high_volts",
            "ups_start_delay_seconds",
            "ups_alarm",
        ];
        assert_eq!(refused, expected.map(|metric| (metric, 1)));
        close(&reading, Quantity::BatteryCharge, 1.0);
        assert!(reading.alarms.is_empty());
    }

    /// Holds R3: NUT writes decimals with a point.
    #[test]
    fn what_cannot_be_read_is_no_sample_and_counted() {
        let reading = read(&[
            ("battery.charge", "25,5"),
            ("ups.load", "17 %"),
            ("input.voltage", "230 Watts"),
            ("output.voltage", "(null)"),
            ("ups.timer.shutdown", "soon"),
            ("input.L2-N.voltage", "2,3"),
        ]);
        close(&reading, Quantity::Load, 0.17);
        let refused =
            [("ups_battery_charge_ratio", 1), ("ups_input_voltage_volts", 2), ("ups_shutdown_timer_seconds", 1)];
        assert_eq!(reading.refused().collect::<Vec<_>>(), refused);
        let who = read(&[("ups.model", "(null)"), ("device.serial", "Unknown"), ("input.transfer.reason", "null")]);
        assert_eq!((who.identity, who.transfer_cause), (UpsIdentity::default(), None));
    }

    /// Holds R3: under the names of other exporters too, whatever else gives the same quantity.
    #[test]
    fn what_no_ups_can_have_is_passed_on_under_no_name() {
        let bad = [
            ("input.voltage", "65535"),
            ("ups.realpower", "-1e9"),
            ("ups.timer.shutdown", "65535"),
            ("ups.efficiency", "6553.5"),
            ("ups.load.high", "255"),
            ("input.L2-N.voltage", "6553.5"),
        ];
        let good = [
            ("input.L1-N.voltage", "230"),
            ("output.realpower", "410"),
            ("ups.timer.start", "-1"),
            ("battery.charge", "101"),
            ("ups.load", "40"),
        ];
        let raw = read(&[&bad[..], &good].concat()).raw;
        assert_eq!(raw.keys().map(|name| &**name).collect::<BTreeSet<_>>(), good.map(|(name, _)| name).into());
        let fine = [("ups.efficiency", "96.5"), ("ups.load.high", "110"), ("ups.timer.shutdown", "0")];
        assert_eq!(read(&fine).raw.len(), 3);
    }

    /// Holds R4: a driver for three-phase UPSes beside a UPS of one.
    #[test]
    fn lines_that_the_driver_does_not_count_are_none() {
        let written = [
            ("input.L1-N.voltage", "230"),
            ("input.L2-N.voltage", "0"),
            ("input.L1-L2.voltage", "0"),
            ("output.L1.current", "2.5"),
            ("output.L3.current", "0"),
            ("ups.L1.realpower", "300"),
        ];
        let one = read(&[&[("input.phases", "1"), ("output.phases", "1")], &written[..]].concat());
        let label = |text| Some(Label::new(text));
        for (quantity, value) in
            [(Quantity::InputVoltage, 230.0), (Quantity::OutputCurrent, 2.5), (Quantity::RealPower, 300.0)]
        {
            assert_eq!(one.values.each(quantity).collect::<Vec<_>>(), [(None, value)]);
        }
        let refused = [("ups_input_voltage_volts", 2), ("ups_output_current_amperes", 1)];
        assert_eq!(one.refused().collect::<Vec<_>>(), refused);
        let both = read(&[&[("input.phases", "1"), ("input.voltage", "231")], &written[..]].concat());
        assert_eq!(both.values.each(Quantity::InputVoltage).collect::<Vec<_>>(), [(None, 231.0)]);
        for (phases, voltages) in [("2", 3), ("3", 3), ("0", 3), ("many", 3)] {
            let reading = read(&[&[("input.phases", phases)], &written[..]].concat());
            assert_eq!(reading.values.each(Quantity::InputVoltage).count(), voltages, "{phases}");
            assert!(reading.values.each(Quantity::InputVoltage).any(|(phase, _)| phase == label("L1-N").as_ref()));
        }
    }

    /// Holds R14.
    #[test]
    fn what_dashboards_want_besides_is_there() {
        let reading = read(&[
            ("input.voltage.minimum", "221.4"),
            ("input.voltage.maximum", "240.9"),
            ("input.L2-N.voltage.maximum", "241.0"),
            ("battery.voltage.low", "20.8"),
            ("battery.voltage.high", "27.4"),
            ("ambient.temperature", "23.5"),
            ("ambient.humidity", "41"),
            ("battery.packs", "2"),
            ("input.current.nominal", "10"),
            ("ups.delay.start", "30"),
            ("ups.beeper.status", "enabled"),
            ("battery.type", "PbAc"),
            ("outlet.1.status", "on"),
            ("outlet.2.status", "off"),
            ("outlet.group.1.status", "On"),
            ("outlet.3.status", "undefined"),
            ("outlet.1.switchable", "yes"),
        ]);
        for (quantity, expected) in [
            (Quantity::InputVoltageMinimum, 221.4),
            (Quantity::InputVoltageMaximum, 240.9),
            (Quantity::BatteryVoltageLow, 20.8),
            (Quantity::BatteryVoltageHigh, 27.4),
            (Quantity::AmbientTemperature, 23.5),
            (Quantity::AmbientHumidity, 0.41),
            (Quantity::BatteryPacks, 2.0),
            (Quantity::InputCurrentNominal, 10.0),
            (Quantity::StartDelay, 30.0),
        ] {
            close(&reading, quantity, expected);
        }
        assert_eq!(reading.values.each(Quantity::InputVoltageMaximum).count(), 2);
        assert_eq!((reading.beeper, reading.identity.battery_type), (Some(Beeper::Enabled), Some(Label::new("PbAc"))));
        let outlets = [("1", true), ("2", false), ("group.1", true)].map(|(outlet, on)| (Label::new(outlet), on));
        assert_eq!(reading.outlets, outlets.into());
    }

    #[test]
    fn a_probe_that_is_not_plugged_in_tells_nothing() {
        for (present, expected) in [("no", None), ("yes", Some(0.0))] {
            let said = [("ambient.present", present), ("ambient.temperature", "0.0"), ("ambient.humidity", "0.0")];
            let reading = read(&said);
            for quantity in [Quantity::AmbientTemperature, Quantity::AmbientHumidity] {
                assert_eq!(reading.values.of(quantity), expected, "{present}");
            }
            assert_eq!(reading.raw.contains_key("ambient.temperature"), expected.is_some());
        }
    }

    #[test]
    fn every_status_word_has_its_state_and_the_others_are_kept() {
        for (word, status) in [
            ("OL", Status::Online),
            ("OB", Status::OnBattery),
            ("LB", Status::LowBattery),
            ("HB", Status::HighBattery),
            ("RB", Status::ReplaceBattery),
            ("CHRG", Status::Charging),
            ("DISCHRG", Status::Discharging),
            ("BYPASS", Status::Bypass),
            ("CAL", Status::Calibrating),
            ("TEST", Status::Testing),
            ("OFF", Status::Off),
            ("OVER", Status::Overload),
            ("TRIM", Status::Trim),
            ("BOOST", Status::Boost),
            ("ECO", Status::Eco),
            ("ALARM", Status::Alarm),
            ("FSD", Status::ForcedShutdown),
        ] {
            assert_eq!(read(&[("ups.status", word)]).statuses, [status].into(), "{word}");
        }
        let reading = read(&[("ups.status", "ALARM FSD OB LB DISCHRG SD OL2")]);
        let expected =
            [Status::Alarm, Status::ForcedShutdown, Status::OnBattery, Status::LowBattery, Status::Discharging];
        assert_eq!(reading.statuses, expected.into());
        assert_eq!(reading.unknown, [Label::new("SD"), Label::new("OL2")]);
        assert_eq!(reading.triggers, [ShutdownTrigger::NutFsd].into());
    }

    /// Holds R1: what drivers write while no countdown runs is none; a number is one only once it moves.
    #[test]
    fn a_timer_is_idle_or_a_number_that_does_not_count_by_itself() {
        for (text, expected) in [
            ("0", Some(Timer::Idle)),
            ("-1", Some(Timer::Idle)),
            ("-60", Some(Timer::Idle)),
            ("65535", Some(Timer::Idle)),
            ("15300", Some(Timer::Idle)),
            ("3932100", Some(Timer::Idle)),
            ("60", Some(Timer::Left(60.0))),
            ("soon", None),
        ] {
            let reading = read(&[("ups.timer.shutdown", text), ("ups.timer.start", text)]);
            for quantity in [Quantity::ShutdownTimer, Quantity::StartupTimer] {
                assert_eq!(reading.timers.get(&quantity).copied(), expected, "{text}");
                assert_eq!(reading.values.of(quantity), None, "{text}");
            }
            assert!(reading.triggers.is_empty(), "{text}");
        }
    }

    #[test]
    fn conductors_are_told_apart() {
        let reading = read(&[
            ("input.L1-N.voltage", "229"),
            ("input.L2-N.voltage", "231"),
            ("input.L1-L2.voltage", "400"),
            ("output.L1.power.percent", "30"),
            ("output.L3.current", "2.5"),
            ("input.bypass.voltage", "5"),
            ("input.L4.voltage", "5"),
        ]);
        let phases: Vec<_> = reading.values.each(Quantity::InputVoltage).collect();
        let label = Label::new;
        assert_eq!(
            phases,
            [(Some(&label("L1-L2")), 400.0), (Some(&label("L1-N")), 229.0), (Some(&label("L2-N")), 231.0)]
        );
        assert_eq!(reading.values.each(Quantity::Load).collect::<Vec<_>>(), [(Some(&label("L1")), 0.3)]);
        assert_eq!(reading.values.each(Quantity::OutputCurrent).collect::<Vec<_>>(), [(Some(&label("L3")), 2.5)]);
    }

    #[test]
    fn a_self_test_is_known_in_the_words_of_many_drivers() {
        for (text, expected) in [
            ("Done and passed", SelfTest::Passed),
            ("Done and warning", SelfTest::Warning),
            ("Done and error", SelfTest::Failed),
            ("Aborted", SelfTest::Aborted),
            ("In progress", SelfTest::InProgress),
            ("No test initiated", SelfTest::None),
            ("OK", SelfTest::Passed),
            ("NG", SelfTest::Failed),
            ("NO", SelfTest::None),
            ("Battery test failed", SelfTest::Failed),
        ] {
            assert_eq!(read(&[("ups.test.result", text)]).self_test, Some(expected), "{text}");
        }
    }

    #[test]
    fn alarms_stand_one_by_one() {
        let alarms = |text| read(&[("ups.alarm", text)]).alarms;
        let expected = [Label::new("No battery installed!"), Label::new("Replace battery!")];
        assert_eq!(alarms("Replace battery! No battery installed!"), expected.into());
        assert_eq!(alarms("Fan failure"), [Label::new("Fan failure")].into());
        assert!(alarms("").is_empty() && alarms("! !").is_empty());
        assert_eq!(alarms(&(0..1000).map(|n| format!("{n}!")).collect::<String>()).len(), Reading::MAX_ALARMS);
    }

    #[test]
    fn the_newer_names_go_before_the_older_and_before_the_configuration() {
        let old =
            [("ups.mfr", "APC"), ("ups.model", "Smart 1500"), ("ups.serial", "S1"), ("driver.name", "usbhid-ups")];
        let who = reading(&variables(&old), Some("in rack A")).identity;
        assert_eq!((who.manufacturer, who.description), (Some(Label::new("APC")), Some(Label::new("in rack A"))));
        assert_eq!((who.serial, who.driver), (Some(Label::new("S1")), Some(Label::new("usbhid-ups"))));
        let who = read(&[("ups.mfr", "old"), ("device.mfr", "new"), ("device.model", " ")]).identity;
        assert_eq!((who.manufacturer, who.model), (Some(Label::new("new")), None));
        assert_eq!(reading(&Variables::new(), Some("Description unavailable")).identity, UpsIdentity::default());
    }

    #[test]
    fn the_drivers_settings_are_not_passed_on() {
        let raw = read(&[("driver.parameter.community", "secret"), ("driver.name", "snmp-ups"), ("ups.id", "x")]).raw;
        assert_eq!(raw.keys().map(|name| &**name).collect::<Vec<_>>(), ["driver.name", "ups.id"]);
    }

    #[test]
    fn the_cap_on_what_is_passed_on_leaves_out_outlets_first() {
        let mut many: Variables = (0..2000).map(|n| (format!("outlet.{n}.id"), n.to_string())).collect();
        many.insert("ups.status".to_owned(), "OL".to_owned());
        many.insert("ups.id".to_owned(), "x".repeat(MAX_RAW_TEXT + 1));
        let raw = reading(&many, None).raw;
        assert_eq!((raw.len(), raw.get("ups.status").map(|text| &**text)), (Reading::MAX_RAW, Some("OL")));
        assert!(!raw.contains_key("ups.id"));
    }

    proptest! {
        #[test]
        fn no_variables_are_too_much(texts in prop::collection::btree_map("[a-zL0-9.-]{0,20}", "\\PC{0,40}", 0..40)) {
            let known = NUMBERS.iter().map(|(name, ..)| *name).chain(["ups.status", "ups.alarm", "battery.date"]);
            let mut all = texts.clone();
            all.extend(known.map(str::to_owned).zip(texts.into_values()));
            let reading = reading(&all, None);
            prop_assert!(reading.unknown.len() <= Reading::MAX_UNKNOWN && reading.alarms.len() <= Reading::MAX_ALARMS);
            prop_assert!(reading.raw.len() <= Reading::MAX_RAW);
        }
    }
}
