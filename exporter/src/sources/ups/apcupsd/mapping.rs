//! From apcupsd's status report to a reading.

use std::sync::Arc;

use super::error::ReportError;
use super::report::StatusReport;
use crate::label::Label;
use crate::sources::ups::dates;
#[cfg(test)]
use crate::sources::ups::documentation::Documented;
use crate::ups::{Quantity, Reading, SelfTest, ShutdownTrigger, Status, TransferDirection, UpsIdentity};

/// The words after a number, with what makes base units of it. A number with another word is no sample. Older versions write some
/// words in lower case, and leave the only word that there can be out.
type Units = &'static [(&'static str, f64)];

const PERCENT: Units = &[("Percent", 0.01)];
const TIME: Units = &[("Minutes", 60.0), ("Seconds", 1.0)];
const VOLTS: Units = &[("Volts", 1.0)];
const AMPERES: Units = &[("Amps", 1.0)];
const HERTZ: Units = &[("Hz", 1.0)];
const WATTS: Units = &[("Watts", 1.0)];
const VOLTAMPERES: Units = &[("VA", 1.0)];
const CELSIUS: Units = &[("C", 1.0)];
const COUNT: Units = &[("", 1.0)];

const NUMBERS: &[(&str, Quantity, Units)] = &[
    ("BCHARGE", Quantity::BatteryCharge, PERCENT),
    // Below these two apcupsd shuts its host down, whatever the UPS itself calls low.
    ("MBATTCHG", Quantity::BatteryChargeLow, PERCENT),
    ("MINTIMEL", Quantity::BatteryRuntimeLow, TIME),
    ("TIMELEFT", Quantity::BatteryRuntime, TIME),
    ("BATTV", Quantity::BatteryVoltage, VOLTS),
    ("NOMBATTV", Quantity::BatteryVoltageNominal, VOLTS),
    ("TONBATT", Quantity::OnBattery, TIME),
    ("CUMONBATT", Quantity::OnBatteryCumulative, TIME),
    ("NUMXFERS", Quantity::BatteryTransfers, COUNT),
    ("EXTBATTS", Quantity::BatteryPacks, COUNT),
    ("ITEMP", Quantity::Temperature, CELSIUS),
    ("AMBTEMP", Quantity::AmbientTemperature, CELSIUS),
    ("HUMIDITY", Quantity::AmbientHumidity, PERCENT),
    ("LOADPCT", Quantity::Load, PERCENT),
    ("NOMPOWER", Quantity::RealPowerNominal, WATTS),
    ("NOMAPNT", Quantity::ApparentPowerNominal, VOLTAMPERES),
    ("LINEV", Quantity::InputVoltage, VOLTS),
    ("NOMINV", Quantity::InputVoltageNominal, VOLTS),
    ("MINLINEV", Quantity::InputVoltageMinimum, VOLTS),
    ("MAXLINEV", Quantity::InputVoltageMaximum, VOLTS),
    ("LINEFREQ", Quantity::InputFrequency, HERTZ),
    ("LOTRANS", Quantity::InputTransferLow, VOLTS),
    ("HITRANS", Quantity::InputTransferHigh, VOLTS),
    ("OUTPUTV", Quantity::OutputVoltage, VOLTS),
    ("NOMOUTV", Quantity::OutputVoltageNominal, VOLTS),
    ("OUTCURNT", Quantity::OutputCurrent, AMPERES),
    ("DSHUTD", Quantity::ShutdownDelay, TIME),
    ("DWAKE", Quantity::StartDelay, TIME),
];

const DATES: &[(&str, Quantity)] = &[("BATTDATE", Quantity::BatteryReplacedAt), ("LASTSTEST", Quantity::SelfTestAt)];

/// The bits of STATFLAG that are states.
const STATUS_BITS: &[(u32, Status)] = &[
    (0x1, Status::Calibrating),
    (0x2, Status::Trim),
    (0x4, Status::Boost),
    (0x8, Status::Online),
    (0x10, Status::OnBattery),
    (0x20, Status::Overload),
    (0x40, Status::LowBattery),
    (0x80, Status::ReplaceBattery),
    (SHUTTING_DOWN, Status::ShuttingDown),
];

/// The bits of STATFLAG that say why apcupsd shuts its host down.
const TRIGGER_BITS: &[(u32, ShutdownTrigger)] = &[
    (SHUTTING_DOWN, ShutdownTrigger::ApcupsdShutdown),
    (0x8_0000, ShutdownTrigger::ApcupsdLoad),
    (0x10_0000, ShutdownTrigger::ApcupsdTimeOnBattery),
    (0x20_0000, ShutdownTrigger::ApcupsdRuntime),
    (0x40_0000, ShutdownTrigger::ApcupsdEmergency),
    (0x80_0000, ShutdownTrigger::ApcupsdRemote),
];

const COMM_LOST: u32 = 0x100;
const SHUTTING_DOWN: u32 = 0x200;

/// The words of STATUS. While COMMLOST or SHUTTING DOWN stands there, the others do not, whatever holds: so this is for
/// where STATFLAG is missing.
const STATUS_WORDS: &[(&str, Word)] = &[
    ("CAL", Word::Flag(0x1)),
    ("TRIM", Word::Flag(0x2)),
    ("BOOST", Word::Flag(0x4)),
    ("ONLINE", Word::Flag(0x8)),
    ("ONBATT", Word::Flag(0x10)),
    ("OVERLOAD", Word::Flag(0x20)),
    ("LOWBATT", Word::Flag(0x40)),
    ("REPLACEBATT", Word::Flag(0x80)),
    ("COMMLOST", Word::Flag(COMM_LOST)),
    ("SHUTTING", Word::Flag(SHUTTING_DOWN)),
    ("DOWN", Word::Flag(SHUTTING_DOWN)),
    // Of the bit for a battery that is there, older versions know nothing; of this word neither.
    ("NOBATT", Word::NoBattery),
    // What this apcupsd is to others is no state of the UPS.
    ("SLAVE", Word::Flag(0)),
    ("SLAVEDOWN", Word::Flag(0)),
];

#[derive(Clone, Copy)]
enum Word {
    Flag(u32),
    NoBattery,
}

/// What a status report says. While apcupsd does not hear its UPS it goes on showing the numbers of before, or zeros: then
/// there is no reading at all.
pub(super) fn reading(report: &StatusReport) -> Result<Reading, ReportError> {
    let mut reading = Reading { identity: identity(report), ..Reading::default() };
    let flags = take_status(report, &mut reading)?;
    if flags & COMM_LOST != 0 {
        return Err(ReportError::CommLost);
    }
    reading.raw = report.all().take(Reading::MAX_RAW).map(|(key, text)| (Arc::from(key), Arc::from(text))).collect();
    take_numbers(report, &mut reading);
    take_transfers(report, &mut reading);
    reading.self_test = report.text("SELFTEST").and_then(self_test);
    if reading.self_test == Some(SelfTest::InProgress) {
        reading.statuses.insert(Status::Testing);
    }
    Ok(reading)
}

/// The keys that give a quantity.
pub(in crate::sources::ups) fn keys_of(quantity: Quantity) -> impl Iterator<Item = &'static str> {
    NUMBERS.iter().filter(move |(_, of, _)| *of == quantity).map(|(key, ..)| *key)
}

fn identity(report: &StatusReport) -> UpsIdentity {
    let label = |key| report.text(key).map(Label::new);
    UpsIdentity {
        model: label("MODEL").or_else(|| label("APCMODEL")),
        serial: label("SERIALNO"),
        firmware: label("FIRMWARE"),
        driver: label("DRIVER"),
        driver_version: label("VERSION"),
        ..UpsIdentity::default()
    }
}

fn take_status(report: &StatusReport, reading: &mut Reading) -> Result<u32, ReportError> {
    let (flags, text) = (report.text("STATFLAG").and_then(hexadecimal), report.text("STATUS"));
    if flags.is_none() && text.is_none() {
        return Err(ReportError::NoStatus);
    }
    let mut from_words = 0;
    for word in text.unwrap_or_default().split_ascii_whitespace() {
        match STATUS_WORDS.iter().find(|(known, _)| *known == word) {
            Some((_, Word::Flag(bit))) => from_words |= bit,
            Some((_, Word::NoBattery)) => {
                reading.statuses.insert(Status::NoBattery);
            }
            None if reading.unknown.len() < Reading::MAX_UNKNOWN => reading.unknown.push(Label::new(word)),
            None => {}
        }
    }
    let flags = flags.unwrap_or(from_words);
    reading.statuses.extend(STATUS_BITS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, status)| *status));
    reading.triggers.extend(TRIGGER_BITS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, trigger)| *trigger));
    Ok(flags)
}

/// Takes the numbers, and keeps the texts of those that are refused from other exporters' names.
fn take_numbers(report: &StatusReport, reading: &mut Reading) {
    for (key, quantity, units) in NUMBERS {
        let Some(text) = report.text(key) else { continue };
        let taken = match number(text, units) {
            Some(value) => reading.values.takes(*quantity, None, value),
            None => {
                reading.values.refuse(*quantity);
                false
            }
        };
        if !taken {
            reading.raw.remove(*key);
        }
    }
    for (key, quantity) in DATES {
        if let Some(at) = report.text(key).and_then(dates::parse) {
            reading.values.put(*quantity, at.as_duration().as_secs_f64());
        }
    }
}

fn take_transfers(report: &StatusReport, reading: &mut Reading) {
    for (key, direction) in [("XONBATT", TransferDirection::OnBattery), ("XOFFBATT", TransferDirection::OffBattery)] {
        if let Some(at) = report.text(key).and_then(dates::parse) {
            reading.transfers.insert(direction, at);
        }
    }
    let cause = report.text("LASTXFER").filter(|text| !text.starts_with("No transfers"));
    // A test on battery shows nowhere else before its result.
    if reading.statuses.contains(&Status::OnBattery) && cause.is_some_and(|text| text.ends_with("self test")) {
        reading.statuses.insert(Status::Testing);
    }
    reading.transfer_cause = cause.map(Label::new);
}

/// A code, alone or before its explanation.
fn self_test(text: &str) -> Option<SelfTest> {
    match text.split_ascii_whitespace().next()? {
        "OK" => Some(SelfTest::Passed),
        // The battery was too weak, or the load too large.
        "BT" | "NG" => Some(SelfTest::Failed),
        "WN" => Some(SelfTest::Warning),
        "IP" => Some(SelfTest::InProgress),
        "NO" => Some(SelfTest::None),
        _ => None,
    }
}

/// As `40.5 Percent`, in base units; what comes after the unit (`Load Capacity`, `Internal`) explains.
fn number(text: &str, units: Units) -> Option<f64> {
    let mut words = text.split_ascii_whitespace();
    let value: f64 = words.next()?.parse().ok()?;
    let scale = match (words.next(), units) {
        (None, [(_, only)]) => only,
        (unit, _) => &units.iter().find(|(known, _)| known.eq_ignore_ascii_case(unit.unwrap_or_default()))?.1,
    };
    Some(value * scale)
}

/// As `0x05000008`, or `0x07000008 Status Flag`.
fn hexadecimal(text: &str) -> Option<u32> {
    let digits = text.split_ascii_whitespace().next()?.strip_prefix("0x")?;
    u32::from_str_radix(digits, 16).ok()
}

/// The tables above, for the documentation.
#[cfg(test)]
pub(in crate::sources::ups) fn documented() -> Documented {
    let mut all = Documented::default();
    for (key, quantity, units) in NUMBERS {
        let units: Vec<_> = units.iter().map(|(word, _)| *word).filter(|word| !word.is_empty()).collect();
        all.text(quantity.facts().metric, format!("`{key}` {}", units.join(", ")).trim_end().to_owned());
    }
    for (key, quantity) in DATES {
        all.number(*quantity, key, 1.0);
    }
    for (bit, status) in STATUS_BITS {
        all.status(*status, &format!("STATFLAG 0x{bit:x}"));
    }
    for (word, says) in STATUS_WORDS {
        if matches!(says, Word::NoBattery) {
            all.status(Status::NoBattery, word);
        }
    }
    all.status(Status::Testing, "SELFTEST IP");
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn report(records: &[(&str, &str)]) -> StatusReport {
        let mut report = StatusReport::default();
        for (key, text) in records {
            report.take(format!("{key:<9}: {text}\n").as_bytes()).expect("a record");
        }
        report
    }

    fn with_flags(flags: &str, more: &[(&str, &str)]) -> Reading {
        reading(&report(&[&[("STATFLAG", flags)], more].concat())).expect("a UPS that is heard")
    }

    #[test]
    fn numbers_come_in_base_units() {
        let reading = with_flags(
            "0x05000008",
            &[
                ("LINEV", "229.5 Volts"),
                ("LOADPCT", " 40.5 Percent Load Capacity"),
                ("BCHARGE", "100.0 Percent"),
                ("TIMELEFT", "20.5 Minutes"),
                ("MBATTCHG", "10 Percent"),
                ("MINTIMEL", "5 Minutes"),
                ("TONBATT", "0 Seconds"),
                ("CUMONBATT", "13 Seconds"),
                ("NUMXFERS", "2"),
                ("ITEMP", "32.4 C Internal"),
                ("BATTDATE", "2001-09-21"),
                ("NOMPOWER", "865 Watts"),
            ],
        );
        for (quantity, expected) in [
            (Quantity::InputVoltage, 229.5),
            (Quantity::Load, 0.405),
            (Quantity::BatteryCharge, 1.0),
            (Quantity::BatteryRuntime, 1230.0),
            (Quantity::BatteryChargeLow, 0.1),
            (Quantity::BatteryRuntimeLow, 300.0),
            (Quantity::OnBattery, 0.0),
            (Quantity::OnBatteryCumulative, 13.0),
            (Quantity::BatteryTransfers, 2.0),
            (Quantity::Temperature, 32.4),
            (Quantity::BatteryReplacedAt, 1_001_030_400.0),
            (Quantity::RealPowerNominal, 865.0),
        ] {
            let value = reading.values.of(quantity).unwrap_or_else(|| panic!("no {quantity:?}"));
            assert!((value - expected).abs() < 1e-9, "{quantity:?} is {value}, not {expected}");
        }
    }

    #[test]
    fn what_is_not_known_is_no_sample() {
        let reading = with_flags(
            "0x8",
            &[
                ("LINEV", "N/A"),
                ("ITEMP", "90.3 F Internal"),
                ("LOADPCT", "40.5 Watts"),
                ("BCHARGE", "-- Percent"),
                ("NOMINV", "0 Volts"),
                ("NOMPOWER", "0 Watts"),
                ("TIMELEFT", "inf Minutes"),
                ("BATTDATE", "unknown"),
                ("XONBATT", "N/A"),
                ("XOFFBATT", "a while ago"),
                ("LASTXFER", "No transfers since turnon"),
                ("SELFTEST", "??"),
            ],
        );
        for quantity in Quantity::ALL {
            assert_eq!(reading.values.of(quantity), None, "{quantity:?}");
        }
        assert!(reading.transfers.is_empty() && reading.transfer_cause.is_none() && reading.self_test.is_none());
    }

    /// Holds R4: the forms of apcupsd before 3.14.11 (`src/lib/apcstatus.c` of 3.10 to 3.14.10).
    #[test]
    fn the_forms_of_older_versions_are_read() {
        let reading = with_flags(
            "0x07000008 Status Flag",
            &[
                ("TONBATT", "85 seconds"),
                ("CUMONBATT", "120 seconds"),
                ("NOMINV", "120"),
                ("NOMOUTV", "230"),
                ("NOMBATTV", " 12.0"),
                ("NOMPOWER", "350"),
                ("HUMIDITY", "41.0"),
                ("AMBTEMP", "23.5"),
                ("EXTBATTS", "2"),
                ("TIMELEFT", "27.0"),
            ],
        );
        for (quantity, expected) in [
            (Quantity::OnBattery, 85.0),
            (Quantity::OnBatteryCumulative, 120.0),
            (Quantity::InputVoltageNominal, 120.0),
            (Quantity::OutputVoltageNominal, 230.0),
            (Quantity::BatteryVoltageNominal, 12.0),
            (Quantity::RealPowerNominal, 350.0),
            (Quantity::AmbientHumidity, 0.41),
            (Quantity::AmbientTemperature, 23.5),
            (Quantity::BatteryPacks, 2.0),
        ] {
            let value = reading.values.of(quantity).unwrap_or_else(|| panic!("no {quantity:?}"));
            assert!((value - expected).abs() < 1e-9, "{quantity:?} is {value}, not {expected}");
        }
        assert_eq!(reading.values.of(Quantity::BatteryRuntime), None, "it may be minutes or seconds");
    }

    /// Holds R14.
    #[test]
    fn extremes_of_the_line_and_the_delay_before_it_starts_are_read() {
        let reading = with_flags(
            "0x8",
            &[("MINLINEV", "221.4 Volts"), ("MAXLINEV", "240.9 Volts"), ("DWAKE", "060 Seconds"), ("ITEMP", "255 C")],
        );
        assert_eq!(reading.values.of(Quantity::InputVoltageMinimum), Some(221.4));
        assert_eq!(reading.values.of(Quantity::InputVoltageMaximum), Some(240.9));
        assert_eq!(reading.values.of(Quantity::StartDelay), Some(60.0));
        assert_eq!(reading.refused().collect::<Vec<_>>(), [("ups_temperature_celsius", 1)]);
        let unreadable = with_flags("0x8", &[("BCHARGE", "25,5 Percent"), ("LINEV", "230 Watts"), ("BATTV", "N/A")]);
        let refused = [("ups_battery_charge_ratio", 1), ("ups_input_voltage_volts", 1)];
        assert_eq!(unreadable.refused().collect::<Vec<_>>(), refused);
        assert!(unreadable.values.of(Quantity::BatteryCharge).is_none() && !unreadable.raw.contains_key("LINEV"));
        assert!(reading.raw.contains_key("DWAKE") && !reading.raw.contains_key("ITEMP"), "{:?}", reading.raw);
    }

    #[test]
    fn each_bit_is_its_state_or_its_trigger_and_no_other() {
        // Apcupsd's include/defines.h.
        for (bit, status) in [
            (0x1, Status::Calibrating),
            (0x2, Status::Trim),
            (0x4, Status::Boost),
            (0x8, Status::Online),
            (0x10, Status::OnBattery),
            (0x20, Status::Overload),
            (0x40, Status::LowBattery),
            (0x80, Status::ReplaceBattery),
            (0x200, Status::ShuttingDown),
        ] {
            assert_eq!(with_flags(&format!("0x{bit:08x}"), &[]).statuses, [status].into(), "{bit:x}");
        }
        for (bit, trigger) in [
            (0x200, ShutdownTrigger::ApcupsdShutdown),
            (0x8_0000, ShutdownTrigger::ApcupsdLoad),
            (0x10_0000, ShutdownTrigger::ApcupsdTimeOnBattery),
            (0x20_0000, ShutdownTrigger::ApcupsdRuntime),
            (0x40_0000, ShutdownTrigger::ApcupsdEmergency),
            (0x80_0000, ShutdownTrigger::ApcupsdRemote),
        ] {
            assert_eq!(with_flags(&format!("0x{bit:08x}"), &[]).triggers, [trigger].into(), "{bit:x}");
        }
        // SLAVE, SLAVEDOWN, ONBATT_MSG, FASTPOLL, PLUGGED, BATTPRESENT.
        for bit in [0x400, 0x800, 0x2_0000, 0x4_0000, 0x100_0000, 0x400_0000] {
            let reading = with_flags(&format!("0x{bit:08x}"), &[]);
            assert!(reading.statuses.is_empty() && reading.triggers.is_empty(), "{bit:x}");
        }
    }

    #[test]
    fn the_flags_tell_what_the_text_hides() {
        let reading = with_flags("0x06080250 Status Flag", &[("STATUS", "SHUTTING DOWN")]);
        assert_eq!(reading.statuses, [Status::OnBattery, Status::LowBattery, Status::ShuttingDown].into());
        assert_eq!(reading.triggers, [ShutdownTrigger::ApcupsdShutdown, ShutdownTrigger::ApcupsdLoad].into());
    }

    #[test]
    fn a_ups_that_is_not_heard_has_no_reading() {
        let old =
            [("STATFLAG", "0x05000108"), ("STATUS", "COMMLOST"), ("LINEV", "0.0 Volts"), ("BCHARGE", "0.0 Percent")];
        assert_eq!(reading(&report(&old)), Err(ReportError::CommLost));
        assert_eq!(reading(&report(&old[1..])), Err(ReportError::CommLost));
        assert_eq!(reading(&report(&[("STATFLAG", "0x05000108")])), Err(ReportError::CommLost));
        assert_eq!(reading(&report(&[("LINEV", "230.0 Volts")])), Err(ReportError::NoStatus));
        assert_eq!(reading(&StatusReport::default()), Err(ReportError::NoStatus));
    }

    #[test]
    fn without_flags_the_text_counts_and_its_unknown_words_are_kept() {
        let of = |text: &str| reading(&report(&[("STATUS", text)])).expect("a UPS that is heard");
        assert_eq!(
            of("TRIM ONLINE REPLACEBATT").statuses,
            [Status::Trim, Status::Online, Status::ReplaceBattery].into()
        );
        let down = of("SHUTTING DOWN");
        assert_eq!(
            (down.statuses, down.triggers),
            ([Status::ShuttingDown].into(), [ShutdownTrigger::ApcupsdShutdown].into())
        );
        assert_eq!(of("ONLINE SLAVE NOBATT").statuses, [Status::Online, Status::NoBattery].into());
        assert_eq!(of("ONLINE WARP").unknown, [Label::new("WARP")]);
        assert!(of("ONLINE SLAVEDOWN").unknown.is_empty());
    }

    #[test]
    fn a_self_test_has_its_result_and_while_it_runs_its_state() {
        for (text, expected) in [
            ("OK", SelfTest::Passed),
            ("BT", SelfTest::Failed),
            ("NG", SelfTest::Failed),
            ("WN", SelfTest::Warning),
            ("NO", SelfTest::None),
            ("OK - Battery GOOD", SelfTest::Passed),
        ] {
            let reading = with_flags("0x8", &[("SELFTEST", text)]);
            assert_eq!((reading.self_test, reading.statuses), (Some(expected), [Status::Online].into()), "{text}");
        }
        let running = with_flags("0x10", &[("SELFTEST", "IP")]);
        assert_eq!(running.statuses, [Status::OnBattery, Status::Testing].into());
        let by_cause = with_flags("0x10", &[("SELFTEST", "NO"), ("LASTXFER", "Automatic or explicit self test")]);
        assert_eq!(by_cause.statuses, [Status::OnBattery, Status::Testing].into());
        let outage = with_flags("0x10", &[("LASTXFER", "Low line voltage")]);
        assert_eq!(outage.statuses, [Status::OnBattery].into());
        assert_eq!(outage.transfer_cause, Some(Label::new("Low line voltage")));
    }

    #[test]
    fn transfers_are_times_in_the_newer_and_the_older_form() {
        let reading = with_flags(
            "0x8",
            &[("XONBATT", "2014-09-25 18:47:39 +0200  "), ("XOFFBATT", "Thu Sep 25 16:50:00 UTC 2014")],
        );
        let at = |direction| reading.transfers.get(&direction).map(ToString::to_string);
        assert_eq!(at(TransferDirection::OnBattery).as_deref(), Some("2014-09-25T16:47:39Z"));
        assert_eq!(at(TransferDirection::OffBattery).as_deref(), Some("2014-09-25T16:50:00Z"));
    }

    #[test]
    fn the_keys_are_passed_on_as_they_came() {
        let raw = with_flags("0x8", &[("CABLE", "USB Cable"), ("UPSNAME", "rack-b")]).raw;
        let raw: Vec<_> = raw.iter().map(|(key, text)| (&**key, &**text)).collect();
        assert_eq!(raw, [("CABLE", "USB Cable"), ("STATFLAG", "0x8"), ("UPSNAME", "rack-b")]);
    }

    proptest! {
        #[test]
        fn no_report_is_too_much(flags in any::<u32>(), text in "\\PC{0,60}", number in any::<f64>()) {
            let mut records = vec![("STATUS", text.clone()), ("SELFTEST", text.clone()), ("XONBATT", text.clone())];
            records.extend(NUMBERS.iter().map(|(key, _, units)| (*key, format!("{number} {}", units[0].0))));
            let flags = format!("0x{flags:08x}");
            records.push(("STATFLAG", flags.clone()));
            let records: Vec<_> = records.iter().map(|(key, text)| (*key, text.as_str())).collect();
            match reading(&report(&records)) {
                Ok(reading) => prop_assert!(reading.unknown.len() <= Reading::MAX_UNKNOWN),
                Err(problem) => prop_assert_eq!(problem, ReportError::CommLost),
            }
        }
    }
}
