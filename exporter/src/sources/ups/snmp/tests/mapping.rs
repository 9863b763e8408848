use std::collections::BTreeSet;

use async_snmp::{Oid, Value};
use proptest::prelude::*;

use super::super::answers::Answers;
use super::super::inbox::TrapState;
use super::super::oids::{POWERCHUTE, POWERCHUTE_NETWORK_SHUTDOWN, POWERNET, TREES, Tree, UPS_MIB};
use super::super::reading::read;
use crate::label::Label;
use crate::snapshot::UpsTrouble;
use crate::ups::{Beeper, Quantity, Reading, SelfTest, ShutdownTrigger, Status, Timer};

/// Objects by name, as an agent answers them; of a column, `name.index`.
fn answers(said: &[(&str, Value)]) -> Answers {
    let find = |name: &str| {
        let (name, index) = name.split_once('.').unwrap_or((name, "0"));
        let index = index.split('.').map(|arc| arc.parse::<u32>().unwrap());
        let scalar = |tree: &Tree| Some(tree.oid(tree.scalars.iter().find(|object| object.name == name)?.at));
        let column = |tree: &Tree| Some(tree.oid(tree.columns.iter().find(|column| column.name == name)?.at));
        let oid = TREES.iter().find_map(|tree| scalar(tree).or_else(|| column(tree)));
        let oid = oid.unwrap_or_else(|| panic!("{name} is not asked for"));
        Oid::new(oid.arcs().iter().copied().chain(index))
    };
    said.iter().map(|(name, value)| (find(name), value.clone())).collect()
}

fn reading(said: &[(&str, Value)]) -> Reading {
    read(&answers(said), &TrapState::default()).unwrap()
}

fn failure(said: &[(&str, Value)]) -> UpsTrouble {
    read(&answers(said), &TrapState::default()).unwrap_err()
}

fn int(number: i32) -> Value {
    Value::Integer(number)
}

fn text(text: &'static str) -> Value {
    Value::OctetString(text.as_bytes().into())
}

fn alarm(number: u32) -> Value {
    Value::ObjectIdentifier(UPS_MIB.oid(&[6, 3, number]))
}

fn statuses(all: &[Status]) -> BTreeSet<Status> {
    all.iter().copied().collect()
}

#[track_caller]
fn assert_close(reading: &Reading, quantity: Quantity, expected: f64) {
    let value = reading.values.of(quantity);
    assert!(value.is_some_and(|value| (value - expected).abs() < 1e-9), "{quantity:?}: {value:?}, not {expected}");
}

#[test]
fn a_ups_mib_agent_is_read_in_base_units() {
    let reading = reading(&[
        ("upsIdentManufacturer", text("Eaton")),
        ("upsIdentAgentSoftwareVersion", text("2.1")),
        ("upsBatteryStatus", int(2)),
        ("upsSecondsOnBattery", int(0)),
        ("upsEstimatedMinutesRemaining", int(42)),
        ("upsEstimatedChargeRemaining", int(97)),
        ("upsBatteryVoltage", int(273)),
        ("upsBatteryCurrent", int(-25)),
        ("upsBatteryTemperature", int(24)),
        ("upsInputLineBads", Value::Counter32(17)),
        ("upsOutputSource", int(3)),
        ("upsOutputFrequency", int(500)),
        ("upsInputVoltage.1", int(231)),
        ("upsInputFrequency.1", int(499)),
        ("upsInputCurrent.1", int(15)),
        ("upsOutputPower.1", int(340)),
        ("upsOutputPercentLoad.1", int(23)),
        ("upsAlarmsPresent", Value::Gauge32(0)),
        ("upsTestResultsSummary", int(1)),
        ("upsShutdownAfterDelay", int(-1)),
        ("upsConfigInputFreq", int(500)),
        ("upsConfigLowBattTime", int(2)),
        ("upsConfigLowVoltageTransferPoint", int(180)),
    ]);
    for (quantity, expected) in [
        (Quantity::OnBattery, 0.0),
        (Quantity::BatteryRuntime, 2520.0),
        (Quantity::BatteryCharge, 0.97),
        (Quantity::BatteryVoltage, 27.3),
        (Quantity::BatteryCurrent, -2.5),
        (Quantity::BatteryTemperature, 24.0),
        (Quantity::InputLineBads, 17.0),
        (Quantity::InputVoltage, 231.0),
        (Quantity::InputFrequency, 49.9),
        (Quantity::InputCurrent, 1.5),
        (Quantity::OutputFrequency, 50.0),
        (Quantity::RealPower, 340.0),
        (Quantity::Load, 0.23),
        (Quantity::Alarms, 0.0),
        (Quantity::InputFrequencyNominal, 50.0),
        (Quantity::BatteryRuntimeLow, 120.0),
        (Quantity::InputTransferLow, 180.0),
    ] {
        assert_close(&reading, quantity, expected);
    }
    assert_eq!(reading.statuses, statuses(&[Status::Online]));
    assert_eq!(reading.self_test, Some(SelfTest::Passed));
    assert_eq!(reading.values.of(Quantity::ShutdownTimer), None);
    assert!(reading.triggers.is_empty() && reading.unknown.is_empty() && reading.alarms.is_empty());
    assert_eq!(reading.identity.manufacturer, Some(Label::new("Eaton")));
    assert_eq!(reading.identity.driver_version, Some(Label::new("2.1")));
}

#[test]
fn a_powerchute_agent_with_fourteen_scalars_is_enough() {
    let reading = reading(&[
        ("upsBasicIdentModel", text("Smart-UPS 1500")),
        ("upsAdvIdentFirmwareRevision", text("601.3.D")),
        ("upsAdvIdentSerialNumber", text("AS0123456789")),
        ("upsAdvBatteryCapacity", Value::Gauge32(100)),
        ("upsAdvBatteryTemperature", Value::Gauge32(31)),
        ("upsAdvBatteryRunTimeRemaining", Value::TimeTicks(756_000)),
        ("upsAdvBatteryReplaceIndicator", int(1)),
        ("upsAdvBatteryActualVoltage", int(27)),
        ("upsAdvInputLineVoltage", Value::Gauge32(102)),
        ("upsAdvInputFrequency", Value::Gauge32(50)),
        ("upsBasicOutputStatus", int(2)),
        ("upsAdvOutputVoltage", Value::Gauge32(102)),
        ("upsAdvOutputFrequency", Value::Gauge32(50)),
        ("upsAdvOutputLoad", Value::Gauge32(12)),
    ]);
    assert_close(&reading, Quantity::BatteryRuntime, 7560.0);
    assert_close(&reading, Quantity::Load, 0.12);
    assert_close(&reading, Quantity::BatteryCharge, 1.0);
    assert_eq!(reading.statuses, statuses(&[Status::Online]));
    assert_eq!(reading.values.of(Quantity::OnBattery), None, "it was not said");
    assert_eq!(reading.self_test, None);
    assert_eq!(reading.identity.serial, Some(Label::new("AS0123456789")));
}

#[test]
fn the_more_precise_value_wins_and_a_sentinel_leaves_the_plain_one() {
    let both = reading(&[
        ("upsAdvInputLineVoltage", int(230)),
        ("upsHighPrecInputLineVoltage", int(2304)),
        ("upsAdvOutputLoad", int(12)),
        ("upsHighPrecOutputLoad", int(-1)),
        ("upsEstimatedChargeRemaining", int(99)),
        ("upsHighPrecBatteryCapacity", Value::Gauge32(987)),
        ("upsInputVoltage.1", int(229)),
    ]);
    assert_close(&both, Quantity::InputVoltage, 230.4);
    assert_close(&both, Quantity::Load, 0.12);
    assert_close(&both, Quantity::BatteryCharge, 0.987);
    assert_eq!(both.values.each(Quantity::InputVoltage).count(), 1, "one line has no phase");
}

#[test]
fn a_more_precise_object_that_is_not_filled_does_not_stand_for_the_plain_one() {
    let reading = reading(&[
        ("upsAdvBatteryCapacity", Value::Gauge32(100)),
        ("upsHighPrecBatteryCapacity", Value::Gauge32(0)),
        ("upsAdvBatteryTemperature", Value::Gauge32(0)),
        ("upsHighPrecBatteryTemperature", Value::Gauge32(265)),
        ("upsAdvOutputLoad", Value::Gauge32(0)),
        ("upsHighPrecOutputLoad", Value::Gauge32(4)),
        ("upsAdvOutputVoltage", Value::Gauge32(230)),
        ("upsHighPrecOutputVoltage", Value::Gauge32(230)),
        ("upsAdvInputFrequency", text("50")),
    ]);
    for (quantity, expected) in [
        (Quantity::BatteryCharge, 1.0),
        (Quantity::BatteryTemperature, 26.5),
        (Quantity::Load, 0.004),
        (Quantity::OutputVoltage, 230.0),
    ] {
        assert_close(&reading, quantity, expected);
    }
    let refused = [("ups_input_frequency_hertz", 1), ("ups_output_voltage_volts", 1)];
    assert_eq!(reading.refused().collect::<Vec<_>>(), refused, "a text, and whole volts where tenths belong");
}

#[test]
fn three_lines_are_three_phases_and_stand_for_the_one_number() {
    let reading = reading(&[
        ("upsOutputPercentLoad.1", int(10)),
        ("upsOutputPercentLoad.2", int(20)),
        ("upsOutputPercentLoad.3", int(30)),
        ("upsHighPrecOutputLoad", Value::Gauge32(150)),
    ]);
    let load: Vec<_> = reading.values.each(Quantity::Load).map(|(phase, value)| (phase.cloned(), value)).collect();
    let line = |name, value| (Some(Label::new(name)), value);
    assert_eq!(load, [line("1", 0.1), line("2", 0.2), line("3", 0.3)]);
}

#[test]
fn what_is_not_present_is_no_sample() {
    let reading = reading(&[
        ("upsEstimatedMinutesRemaining", Value::Gauge32(u32::MAX)),
        ("upsAdvBatteryRunTimeRemaining", Value::TimeTicks(u32::MAX)),
        ("upsBatteryCurrent", int(-1)),
        ("upsEstimatedChargeRemaining", int(-1)),
        ("upsBatteryVoltage", Value::Null),
        ("upsBatteryTemperature", text("")),
        ("upsIdentModel", text("")),
        ("upsOutputVoltage.1", Value::Null),
    ]);
    assert_eq!(reading, Reading::default());
}

/// Holds R3: 255 °C, 65535 minutes, 65535 V, tenths of what is claimed, and an alarm that is none.
#[test]
fn what_no_ups_can_have_is_no_sample_and_counted() {
    let reading = reading(&[
        ("upsBatteryTemperature", int(255)),
        ("upsAdvBatteryTemperature", int(293)),
        ("upsEstimatedMinutesRemaining", int(65_535)),
        ("upsInputVoltage.1", int(65_535)),
        ("upsConfigOutputPower", int(0)),
        ("upsConfigLowVoltageTransferPoint", int(0)),
        ("upsAlarmDescr.1", Value::ObjectIdentifier(Oid::new([0, 0]))),
        ("upsBasicBatteryLastReplaceDate", text("01/02/1970")),
        ("upsEstimatedChargeRemaining", int(101)),
    ]);
    let refused: Vec<_> = reading.refused().collect();
    assert_eq!(
        refused,
        [
            ("ups_battery_runtime_seconds", 1),
            ("ups_battery_temperature_celsius", 2),
            ("ups_battery_replaced_timestamp_seconds", 1),
            ("ups_real_power_nominal_watts", 1),
            ("ups_input_voltage_volts", 1),
            ("ups_input_transfer_low_volts", 1),
            ("ups_alarm", 1),
        ]
    );
    assert_close(&reading, Quantity::BatteryCharge, 1.0);
    assert!(reading.statuses.is_empty() && reading.alarms.is_empty() && reading.triggers.is_empty());
    let known: Vec<_> = Quantity::ALL.into_iter().filter(|it| reading.values.each(*it).next().is_some()).collect();
    assert_eq!(known, [Quantity::BatteryCharge]);
}

fn phases(reading: &Reading, quantity: Quantity) -> Vec<(String, f64)> {
    let name = |phase: Option<&Label>| phase.map(Label::to_string).unwrap_or_default();
    reading.values.each(quantity).map(|(phase, value)| (name(phase), value)).collect()
}

fn named(all: &[(&str, f64)]) -> Vec<(String, f64)> {
    all.iter().map(|(phase, value)| ((*phase).to_owned(), *value)).collect()
}

/// Holds R4: agents that add the zero of a scalar to the index of a line, or give nothing but that.
#[test]
fn a_line_whose_index_ends_in_zero_is_that_line() {
    let three = reading(&[
        ("upsInputVoltage.1.0", int(229)),
        ("upsInputVoltage.2.0", int(230)),
        ("upsInputVoltage.3.0", int(231)),
        ("upsOutputVoltage.0", int(228)),
    ]);
    assert_eq!(phases(&three, Quantity::InputVoltage), named(&[("1", 229.0), ("2", 230.0), ("3", 231.0)]));
    assert_eq!(phases(&three, Quantity::OutputVoltage), named(&[("", 228.0)]));
    let one = reading(&[("upsInputVoltage.1.0", int(229)), ("upsInputFrequency.1.0", int(499))]);
    assert_eq!(phases(&one, Quantity::InputVoltage), named(&[("", 229.0)]));
}

/// Holds R4: rows that are there and hold nothing.
#[test]
fn an_empty_row_makes_no_phases_of_a_single_one() {
    let reading = reading(&[
        ("upsInputVoltage.1", int(229)),
        ("upsInputVoltage.2", Value::Null),
        ("upsInputVoltage.3", int(-1)),
        ("upsInputFrequency.1", int(500)),
        ("upsInputFrequency.2", text("")),
    ]);
    assert_eq!(phases(&reading, Quantity::InputVoltage), named(&[("", 229.0)]));
    assert_eq!(phases(&reading, Quantity::InputFrequency), named(&[("", 50.0)]));
}

/// Holds R3 and R4: the agent counts one line and has three rows.
#[test]
fn rows_beyond_the_lines_that_the_agent_counts_are_none_and_counted() {
    let said = |lines| {
        vec![
            ("upsInputNumLines", int(lines)),
            ("upsInputVoltage.1", int(229)),
            ("upsInputVoltage.2", int(0)),
            ("upsInputVoltage.3", int(0)),
            ("upsInputCurrent.1", int(15)),
        ]
    };
    let one = reading(&said(1));
    assert_eq!(phases(&one, Quantity::InputVoltage), named(&[("", 229.0)]));
    assert_eq!(phases(&one, Quantity::InputCurrent), named(&[("", 1.5)]));
    assert_eq!(one.refused().collect::<Vec<_>>(), [("ups_input_voltage_volts", 2)]);
    let three = reading(&said(3));
    let dead = named(&[("1", 229.0), ("2", 0.0), ("3", 0.0)]);
    assert_eq!(phases(&three, Quantity::InputVoltage), dead, "a line without power is a line");
    assert_eq!(phases(&three, Quantity::InputCurrent), named(&[("1", 1.5)]));
    assert_eq!(phases(&reading(&said(0)), Quantity::InputVoltage), dead, "an agent that counts none has not counted");
}

/// Holds R4: a Galaxy with a bypass, as PowerNet's phase tables tell it; with the 1 within the index, and without.
#[test]
fn three_phases_of_an_apc_ups_are_read_from_its_own_tables_and_its_bypass_is_not_its_input() {
    for form in ["1.", ""] {
        let cell = |name: &str, feed: u32, phase: u32| format!("{name}.{feed}.{form}{phase}");
        let mut said: Vec<(String, Value)> = vec![
            ("upsPhaseNumInputPhases.1".to_owned(), int(3)),
            ("upsPhaseInputType.1".to_owned(), int(2)),
            ("upsPhaseInputType.2".to_owned(), int(3)),
            ("upsPhaseInputFrequency.1".to_owned(), int(499)),
            ("upsPhaseInputFrequency.2".to_owned(), int(-1)),
            ("upsPhaseNumOutputPhases.1".to_owned(), int(3)),
            ("upsHighPrecOutputLoad".to_owned(), int(215)),
        ];
        for phase in 1..=3 {
            let number = i32::try_from(phase).unwrap();
            said.push((cell("upsPhaseInputVoltage", 1, phase), int(398 + number)));
            said.push((cell("upsPhaseInputVoltage", 2, phase), int(390)));
            said.push((cell("upsPhaseInputMinVoltage", 1, phase), int(380)));
            said.push((cell("upsPhaseInputCurrent", 1, phase), int(-1)));
            said.push((cell("upsPhaseOutputVoltage", 1, phase), int(230)));
            said.push((cell("upsPhaseOutputCurrent", 1, phase), int(440)));
            said.push((cell("upsPhaseOutputLoad", 1, phase), int(10_120)));
            said.push((cell("upsPhaseOutputPercentLoad", 1, phase), int(20 + number)));
            said.push((cell("upsPhaseOutputPower", 1, phase), int(9000)));
        }
        let said: Vec<(&str, Value)> = said.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let reading = reading(&said);
        let each = |one: f64, two: f64, three: f64| named(&[("1", one), ("2", two), ("3", three)]);
        for (quantity, expected) in [
            (Quantity::InputVoltage, each(399.0, 400.0, 401.0)),
            (Quantity::InputVoltageMinimum, each(380.0, 380.0, 380.0)),
            (Quantity::InputCurrent, Vec::new()),
            (Quantity::InputFrequency, named(&[("", 49.9)])),
            (Quantity::OutputVoltage, each(230.0, 230.0, 230.0)),
            (Quantity::OutputCurrent, each(44.0, 44.0, 44.0)),
            (Quantity::ApparentPower, each(10_120.0, 10_120.0, 10_120.0)),
            (Quantity::Load, each(0.21, 0.22, 0.23)),
            (Quantity::RealPower, each(9000.0, 9000.0, 9000.0)),
        ] {
            let found = phases(&reading, quantity);
            let close = |(a, b): (&(String, f64), &(String, f64))| a.0 == b.0 && (a.1 - b.1).abs() < 1e-9;
            assert!(found.len() == expected.len() && found.iter().zip(&expected).all(close), "{quantity:?}: {found:?}");
        }
    }
}

#[test]
fn a_single_phase_in_the_phase_tables_does_not_stand_before_the_more_precise_object() {
    let reading = reading(&[
        ("upsHighPrecOutputVoltage", int(2304)),
        ("upsPhaseOutputVoltage.1.1.1", int(230)),
        ("upsPhaseOutputPower.1.1.1", int(300)),
    ]);
    assert_eq!(phases(&reading, Quantity::OutputVoltage), named(&[("", 230.4)]));
    assert_eq!(phases(&reading, Quantity::RealPower), named(&[("", 300.0)]));
}

/// Holds R14.
#[test]
fn extremes_packs_delays_the_beeper_and_outlet_groups_are_read() {
    let reading = reading(&[
        ("upsAdvInputMaxLineVoltage", int(240)),
        ("upsHighPrecInputMaxLineVoltage", int(2409)),
        ("upsAdvInputMinLineVoltage", int(221)),
        ("upsAdvBatteryNumOfBattPacks", int(2)),
        ("upsAdvConfigReturnDelay", Value::TimeTicks(6000)),
        ("upsAdvConfigHighTransferVolt", int(253)),
        ("upsAdvConfigLowTransferVolt", int(207)),
        ("upsConfigAudibleStatus", int(3)),
        ("upsOutletGroupStatusGroupState.1", int(1)),
        ("upsOutletGroupStatusGroupState.2", int(2)),
        ("upsOutletGroupStatusGroupState.3", int(3)),
    ]);
    for (quantity, expected) in [
        (Quantity::InputVoltageMaximum, 240.9),
        (Quantity::InputVoltageMinimum, 221.0),
        (Quantity::BatteryPacks, 2.0),
        (Quantity::StartDelay, 60.0),
        (Quantity::InputTransferHigh, 253.0),
        (Quantity::InputTransferLow, 207.0),
    ] {
        assert_close(&reading, quantity, expected);
    }
    assert_eq!(reading.beeper, Some(Beeper::Muted));
    assert_eq!(reading.outlets, [(Label::new("group.1"), true), (Label::new("group.2"), false)].into());
}

#[test]
fn every_number_of_the_output_status_says_what_the_mib_says() {
    use Status::{Alarm, Boost, Bypass, Eco, Off, OnBattery, Online, Sleeping, Testing, Trim};
    let expected: [&[Status]; 28] = [
        &[],
        &[Online],
        &[OnBattery],
        &[Online, Boost],
        &[Sleeping],
        &[Bypass],
        &[Off],
        &[Sleeping],
        &[Bypass],
        &[Bypass, Alarm],
        &[Sleeping],
        &[Online, Trim],
        &[Online, Eco],
        &[Online],
        &[Testing],
        &[Bypass, Alarm],
        &[Bypass],
        &[Online, Eco],
        &[Alarm],
        &[Online, Eco],
        &[Alarm],
        &[Alarm],
        &[Alarm],
        &[Alarm],
        &[Alarm],
        &[Alarm],
        &[Alarm],
        &[Testing],
    ];
    for (number, expected) in (1..).zip(expected) {
        let reading = reading(&[("upsBasicOutputStatus", int(number))]);
        assert_eq!(reading.statuses, statuses(expected), "{number}");
        assert!(reading.unknown.is_empty(), "{number}");
    }
}

#[test]
fn a_number_that_no_mib_has_is_shown_as_it_came() {
    let reading = reading(&[
        ("upsBasicOutputStatus", int(99)),
        ("upsBatteryStatus", int(-7)),
        ("upsAlarmDescr.1", Value::ObjectIdentifier(UPS_MIB.oid(&[6, 3, 77]))),
        ("upsAlarmDescr.2", Value::ObjectIdentifier(Oid::new([1, 3, 6, 1, 4, 1, 534, 9]))),
    ]);
    let unknown: Vec<_> = reading.unknown.iter().map(Label::as_str).collect();
    assert_eq!(unknown, ["upsBatteryStatus=-7", "upsAlarmDescr=1.3.6.1.2.1.33.1.6.3.77", "upsBasicOutputStatus=99"]);
    assert_eq!(reading.alarms.iter().map(Label::as_str).collect::<Vec<_>>(), ["1.3.6.1.4.1.534.9"]);
}

#[test]
fn several_signals_decide_whether_the_battery_carries_the_load() {
    let (source, seconds, charge) = ("upsOutputSource", "upsSecondsOnBattery", "upsEstimatedChargeRemaining");
    let (row, count) = ("upsAlarmDescr.1", "upsAlarmsPresent");
    type Said = Vec<(&'static str, Value)>;
    let cases: [(&str, Said, bool); 9] = [
        ("all agree", vec![(source, int(5)), (seconds, int(9)), (charge, int(80)), (row, alarm(2))], true),
        ("the first second", vec![(source, int(5)), (seconds, int(0)), (charge, int(100)), (row, alarm(2))], true),
        ("a source alone", vec![(source, int(5))], true),
        ("a source against nothing much", vec![(source, int(5)), (seconds, int(0)), (charge, int(93))], true),
        ("a source that lies", vec![(source, int(5)), (seconds, int(0)), (charge, int(100))], false),
        (
            "a source that lies, no alarm",
            vec![(source, int(5)), (seconds, int(0)), (charge, int(99)), (count, int(0))],
            false,
        ),
        ("only the seconds", vec![(seconds, int(3))], true),
        ("seconds that stand still", vec![(source, int(3)), (seconds, int(3)), (count, int(0))], false),
        ("on line", vec![(source, int(3)), (seconds, int(0)), (charge, int(100))], false),
    ];
    for (case, said, expected) in cases {
        let reading = reading(&said);
        assert_eq!(reading.statuses.contains(&Status::OnBattery), expected, "{case}");
        assert!(!(expected && reading.statuses.contains(&Status::Online)), "{case}");
        let lies = case.contains("lies");
        assert_eq!(reading.unknown.contains(&Label::new("upsOutputSource=5")), lies, "{case}");
        assert!(!lies || !reading.statuses.contains(&Status::Online), "what is contradicted is not on line either");
    }
    let outright = reading(&[(source, int(5)), ("upsBasicOutputStatus", int(2))]);
    assert_eq!(outright.statuses, statuses(&[Status::Online]));
}

/// Holds R2: what contradicts itself is told as it is said.
#[test]
fn an_output_without_a_source_beside_one_on_line_is_told_as_both() {
    for said in [
        vec![("upsOutputSource", int(2)), ("upsBasicOutputStatus", int(2))],
        vec![("upsOutputSource", int(3)), ("upsBasicOutputStatus", int(7))],
        vec![("upsOutputSource", int(3)), ("upsAlarmDescr.1", alarm(14))],
    ] {
        let reading = reading(&said);
        assert!(reading.statuses.is_superset(&statuses(&[Status::Online, Status::Off])), "{said:?}");
    }
    assert_eq!(reading(&[("upsOutputSource", int(2))]).statuses, statuses(&[Status::Off]));
}

#[test]
fn a_test_on_the_battery_is_no_outage_unless_it_drains_it() {
    for said in [
        vec![("upsBasicOutputStatus", int(15))],
        vec![("upsBasicOutputStatus", int(28)), ("upsOutputSource", int(5))],
        vec![("upsOutputSource", int(5)), ("upsSecondsOnBattery", int(4)), ("upsAlarmDescr.7", alarm(24))],
        vec![("upsOutputSource", int(5)), ("upsTestResultsSummary", int(5))],
    ] {
        let reading = reading(&said);
        assert!(reading.statuses.contains(&Status::Testing), "{said:?}");
        assert!(!reading.statuses.contains(&Status::OnBattery), "{said:?}");
    }
    let calibrating = reading(&[("upsBasicOutputStatus", int(3)), ("upsAdvTestCalibrationResults", int(3))]);
    assert_eq!(calibrating.statuses, statuses(&[Status::Calibrating]));
    let drained = reading(&[
        ("upsBasicOutputStatus", int(3)),
        ("upsAdvTestDiagnosticsResults", int(4)),
        ("upsBasicBatteryStatus", int(3)),
    ]);
    assert!(drained.statuses.contains(&Status::OnBattery) && drained.statuses.contains(&Status::LowBattery));
}

#[test]
fn every_alarm_of_rfc_1628_has_its_name_and_what_it_means() {
    use Status::{BatteryDepleted, Bypass, LowBattery, Off, Overload, ReplaceBattery, ShuttingDown, Sleeping, Testing};
    // In the order of the RFC's numbers, from 1.
    let alarms: [(&str, &[Status]); 24] = [
        ("battery_bad", &[ReplaceBattery]),
        ("on_battery", &[Status::OnBattery]),
        ("low_battery", &[LowBattery]),
        ("depleted_battery", &[LowBattery, BatteryDepleted]),
        ("temp_bad", &[]),
        ("input_bad", &[]),
        ("output_bad", &[]),
        ("output_overload", &[Overload]),
        ("on_bypass", &[Bypass]),
        ("bypass_bad", &[]),
        ("output_off_as_requested", &[Off]),
        ("ups_off_as_requested", &[Off]),
        ("charger_failed", &[]),
        ("ups_output_off", &[Off]),
        ("ups_system_off", &[Off]),
        ("fan_failure", &[]),
        ("fuse_failure", &[]),
        ("general_fault", &[]),
        ("diagnostic_test_failed", &[]),
        ("communications_lost", &[]),
        ("awaiting_power", &[Sleeping]),
        ("shutdown_pending", &[]),
        ("shutdown_imminent", &[ShuttingDown]),
        ("test_in_progress", &[Testing]),
    ];
    for (number, (name, means)) in (1..).zip(alarms) {
        let outcome = read(&answers(&[("upsAlarmDescr.3", alarm(number))]), &TrapState::default());
        if number == 20 {
            assert_eq!(outcome.unwrap_err().reason.as_str(), "comm_lost");
            continue;
        }
        let reading = outcome.unwrap();
        assert_eq!(reading.alarms.iter().map(Label::as_str).collect::<Vec<_>>(), [name]);
        assert_eq!(reading.statuses, statuses(&[&[Status::Alarm], means].concat()), "{name}");
        assert_eq!(reading.triggers.contains(&ShutdownTrigger::SnmpAlarm), [22, 23].contains(&number), "{name}");
    }
}

/// Holds R2: several signals leave one of them, and the contradiction is counted.
#[test]
fn an_agent_that_says_on_line_and_on_battery_contradicts_itself() {
    let flags = |set: &[usize]| {
        let bytes: Vec<u8> = (1..=64).map(|flag| if set.contains(&flag) { b'1' } else { b'0' }).collect();
        Value::OctetString(bytes.into())
    };
    for (output_status, set, statuses_left, contradicts) in [
        (2, &[2, 4][..], &[Status::OnBattery][..], true),
        (12, &[2], &[Status::OnBattery, Status::Trim], true),
        (28, &[2, 4], &[Status::Online, Status::Testing], true),
        (28, &[2], &[Status::Testing], false),
        (3, &[2], &[Status::OnBattery], false),
        (2, &[4], &[Status::Online], false),
    ] {
        let reading =
            reading(&[("upsBasicOutputStatus", int(output_status)), ("upsBasicStateOutputState", flags(set))]);
        assert_eq!(reading.statuses, statuses(statuses_left), "{output_status} {set:?}");
        assert_eq!(reading.contradicts_itself(), contradicts, "{output_status} {set:?}");
    }
}

/// Holds R1: what agents answer while no countdown runs is none; a number is one only once it moves.
#[test]
fn a_timer_is_idle_or_a_number_that_does_not_count_by_itself() {
    for (value, expected) in [
        (int(-1), Some(Timer::Idle)),
        (int(0), Some(Timer::Idle)),
        (int(65_535), Some(Timer::Idle)),
        (int(i32::MAX), Some(Timer::Idle)),
        (Value::Gauge32(u32::MAX), Some(Timer::Idle)),
        (int(90), Some(Timer::Left(90.0))),
        (text("90"), None),
    ] {
        let reading = reading(&[("upsShutdownAfterDelay", value.clone()), ("upsStartupAfterDelay", value.clone())]);
        for quantity in [Quantity::ShutdownTimer, Quantity::StartupTimer] {
            assert_eq!(reading.timers.get(&quantity).copied(), expected, "{value:?}");
            assert_eq!(reading.values.of(quantity), None, "{value:?}");
        }
        assert!(reading.triggers.is_empty(), "{value:?}");
    }
}

#[test]
fn a_command_that_waits_for_a_group_that_is_on_is_a_trigger() {
    let pending = |state| {
        reading(&[
            ("upsOutletGroupStatusGroupState.1", int(state)),
            ("upsOutletGroupStatusCommandPending.1", int(1)),
            ("upsOutletGroupStatusGroupState.2", int(1)),
            ("upsOutletGroupStatusCommandPending.2", int(2)),
        ])
        .triggers
    };
    assert_eq!(pending(1), [ShutdownTrigger::SnmpShutdownDelay].into());
    assert!(pending(2).is_empty(), "it is to be turned on");
}

#[test]
fn the_state_flags_say_more_than_the_output_status() {
    let flags = |set: &[usize]| {
        let bytes: Vec<u8> = (1..=64).map(|flag| if set.contains(&flag) { b'1' } else { b'0' }).collect();
        reading(&[("upsBasicStateOutputState", Value::OctetString(bytes.into()))])
    };
    assert_eq!(flags(&[4, 6, 19]).statuses, statuses(&[Status::Online]));
    assert_eq!(flags(&[2]).statuses, statuses(&[Status::OnBattery]));
    for shutdown in [22, 31, 32] {
        let reading = flags(&[4, shutdown]);
        assert!(reading.statuses.contains(&Status::ShuttingDown), "{shutdown}");
        assert_eq!(reading.triggers, [ShutdownTrigger::SnmpAlarm].into());
    }
    assert_eq!(reading(&[("upsBasicStateOutputState", text("UNKNOWN"))]), Reading::default());
    assert_eq!(reading(&[("upsBasicStateOutputState", text("0101"))]).statuses, statuses(&[Status::OnBattery]));
}

#[test]
fn powerchute_says_that_it_shuts_down_and_why() {
    for (flag, cause) in [("pcbeCriticalFlag", "pcbeCriticalCause"), ("pcnsCriticalFlag", "pcnsCriticalCause")] {
        let critical =
            reading(&[(flag, int(1)), (cause, text("UPS on battery too long")), ("upsBasicOutputStatus", int(2))]);
        assert_eq!(critical.statuses, statuses(&[Status::Online, Status::ShuttingDown]));
        assert_eq!(critical.triggers, [ShutdownTrigger::PowerchuteCritical].into());
        assert_eq!(critical.cause, Some(Label::new("UPS on battery too long")));
        let clear = reading(&[(flag, int(2)), (cause, text("UPS on battery too long"))]);
        assert!(clear.triggers.is_empty() && clear.cause.is_none());
    }
}

#[test]
fn an_agent_that_has_lost_its_ups_is_no_source_of_numbers() {
    for lost in [
        ("upsCommStatus", int(2)),
        ("pcbeComsLostFlag", int(1)),
        ("pcnsNetComsLostFlag", int(1)),
        ("pcnsNMCComsLostFlag", int(1)),
        ("upsAlarmDescr.1", alarm(20)),
    ] {
        let numbers = [("upsAdvBatteryCapacity", int(0)), ("upsBasicOutputStatus", int(2)), lost.clone()];
        assert_eq!(failure(&numbers).reason.as_str(), "comm_lost", "{lost:?}");
        let mut critical = numbers.to_vec();
        critical.push(("pcbeCriticalFlag", int(1)));
        let reading = reading(&critical);
        assert_eq!(reading.statuses, statuses(&[Status::CommLost, Status::ShuttingDown]));
        assert_eq!(reading.values.of(Quantity::BatteryCharge), None);
        assert_eq!(reading.triggers, [ShutdownTrigger::PowerchuteCritical].into());
    }
}

#[test]
fn what_traps_told_counts_as_if_it_had_been_answered() {
    let told = TrapState { critical: Some(Some(Label::new("On battery"))), comms_lost: false, alarms: [2].into() };
    let reading = read(&Answers::new(), &told).unwrap();
    assert_eq!(reading.statuses, statuses(&[Status::OnBattery, Status::ShuttingDown, Status::Alarm]));
    assert_eq!(
        (reading.cause, reading.triggers),
        (Some(Label::new("On battery")), [ShutdownTrigger::PowerchuteCritical].into())
    );
    let lost = TrapState { comms_lost: true, ..TrapState::default() };
    assert_eq!(read(&Answers::new(), &lost).unwrap_err().reason.as_str(), "comm_lost");
    let online = answers(&[("upsOutputSource", int(3))]);
    let told = TrapState { alarms: [23].into(), ..TrapState::default() };
    assert!(read(&online, &told).unwrap().statuses.contains(&Status::ShuttingDown));
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i32>().prop_map(Value::Integer),
        (-2..110).prop_map(Value::Integer),
        any::<u32>().prop_map(Value::Gauge32),
        any::<u32>().prop_map(Value::Counter32),
        any::<u32>().prop_map(Value::TimeTicks),
        any::<u64>().prop_map(Value::Counter64),
        proptest::collection::vec(any::<u8>(), 0..80).prop_map(|bytes| Value::OctetString(bytes.into())),
        "[01]{0,64}|[0-9/]{0,10}".prop_map(|text| Value::OctetString(text.into_bytes().into())),
        (0..40_u32).prop_map(|number| Value::ObjectIdentifier(UPS_MIB.oid(&[6, 3, number]))),
        proptest::collection::vec(any::<u32>(), 0..20).prop_map(|arcs| Value::ObjectIdentifier(Oid::new(arcs))),
        Just(Value::Null),
        Just(Value::NoSuchInstance),
        any::<u8>().prop_map(|tag| Value::Unknown { tag, data: vec![tag].into() }),
    ]
}

fn any_instance() -> impl Strategy<Value = Oid> {
    let scalars = TREES.iter().flat_map(|tree| tree.scalars.iter().map(|object| tree.instance(object.at)));
    let columns: Vec<Oid> =
        TREES.iter().flat_map(|tree| tree.columns.iter().map(|column| tree.oid(column.at))).collect();
    let row = (proptest::sample::select(columns), proptest::collection::vec(0..40_u32, 0..3))
        .prop_map(|(column, index)| Oid::new(column.arcs().iter().copied().chain(index)));
    prop_oneof![4 => proptest::sample::select(scalars.collect::<Vec<_>>()), 2 => row]
}

proptest! {
    #[test]
    fn whatever_is_answered_no_sample_is_out_of_range(
        answers in proptest::collection::btree_map(any_instance(), any_value(), 0..120),
        comms_lost in any::<bool>(),
        alarms in proptest::collection::btree_set(0..40_u32, 0..4),
    ) {
        let told = TrapState { critical: None, comms_lost, alarms };
        let Ok(reading) = read(&answers, &told) else { return Ok(()) };
        prop_assert!(reading.unknown.len() <= Reading::MAX_UNKNOWN);
        prop_assert!(reading.alarms.len() <= Reading::MAX_ALARMS);
        prop_assert!(!(reading.statuses.contains(&Status::Online) && reading.statuses.contains(&Status::OnBattery)));
        prop_assert!(reading.outlets.len() <= Reading::MAX_OUTLETS);
        for quantity in Quantity::ALL {
            let (least, most) = quantity.facts().range;
            prop_assert!(reading.values.each(quantity).all(|(_, value)| (least..=most).contains(&value)));
        }
    }
}

#[test]
fn the_trees_do_not_overlap() {
    for (index, tree) in TREES.iter().enumerate() {
        assert!(TREES[index + 1..].iter().all(|other| !other.root.starts_with(tree.root)), "{}", tree.name);
    }
    assert!([POWERNET.root, POWERCHUTE.root, POWERCHUTE_NETWORK_SHUTDOWN.root].iter().all(|root| root[6] == 318));
}
