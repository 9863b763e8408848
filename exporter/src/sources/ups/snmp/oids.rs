//! What is asked for, by MIB: every object with its name, its scale and what its numbers say.
//!
//! The rows read as the MIBs do: objects relative to the tree's root, enums one to one. Later rows overwrite earlier ones, so that the
//! more precise object stands below the plainer one.

use crate::ups::{Beeper, Quantity, SelfTest, Status};

use Meaning::{Cause, Date, Enum, Flags, Lines, Number, Tenths, Text, Timer};
use Says::{Alarm, Beeps, CommLost, Critical, Ended, Holds, TransferCause};
use Side::{Input, Output};

/// A MIB, or a part of one.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) name: &'static str,
    pub(super) root: &'static [u32],
    pub(super) scalars: &'static [Object],
    pub(super) columns: &'static [Column],
}

/// A scalar; asked for with `.0`.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) at: &'static [u32],
    pub(super) name: &'static str,
    pub(super) meaning: Meaning,
}

/// A column of a table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) at: &'static [u32],
    pub(super) name: &'static str,
    pub(super) cell: Cell,
}

#[derive(Debug)]
pub(super) enum Meaning {
    /// Times this it is in base units.
    Number(Quantity, f64),
    /// The same in tenths of the unit of a plainer object above it.
    Tenths(Quantity, f64),
    /// A countdown in seconds, or what stands for none.
    Timer(Quantity),
    Text(Who),
    /// `mm/dd/yyyy`, `mm/dd/yy` or `yyyy-mm-dd`.
    Date(Quantity),
    Enum(&'static [(i64, &'static str, &'static [Says])]),
    /// A text of zeros and ones, counted from 1.
    Flags(&'static [(usize, &'static [Says])]),
    /// The words for what the critical flag says.
    Cause,
    /// How many lines the table of that side has.
    Lines(Side),
}

/// Which side of the UPS a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Input,
    Output,
}

#[derive(Debug)]
pub(super) enum Cell {
    /// The row's index is the line.
    Line(Side, Quantity, f64),
    /// PowerNet's: the row's index is the input or output, and the phase.
    Phase(Side, Quantity, f64),
    /// The row's index is the input or output: a number of all its phases,
    Feed(Side, Quantity, f64),
    /// how many they are,
    FeedPhases(Side),
    /// and whether it is the bypass.
    FeedKind(Side),
    /// An alarm that stands, as the object that names it.
    AlarmDescription,
    /// Of an outlet group: 1 on, 2 off.
    GroupState,
    /// Of an outlet group: 1 when a command waits.
    GroupPending,
}

/// Where a text goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who {
    Manufacturer,
    Model,
    Serial,
    Firmware,
    AgentVersion,
    Description,
}

/// What a number of an enum says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Says {
    Holds(Status),
    Ended(SelfTest),
    Alarm(&'static str),
    TransferCause(&'static str),
    Beeps(Beeper),
    /// The agent has lost the UPS.
    CommLost,
    /// The agent has begun to shut its host down.
    Critical,
    /// The UPS takes its power away, or has the host shut down.
    ShutdownCommanded,
}

/// One tenth: the unit of most objects that are more precise than a whole number.
const TENTH: f64 = 0.1;
/// `TimeTicks`.
const TICKS: f64 = 0.01;
const PERCENT: f64 = 0.01;
/// A tenth of a per cent.
const PERMILLE: f64 = 0.001;
const MINUTES: f64 = 60.0;

pub(super) const TREES: [&Tree; 4] = [&UPS_MIB, &POWERNET, &POWERCHUTE, &POWERCHUTE_NETWORK_SHUTDOWN];

/// RFC 1628.
pub(super) const UPS_MIB: Tree = Tree {
    name: "UPS-MIB",
    root: &[1, 3, 6, 1, 2, 1, 33, 1],
    scalars: &[
        scalar(&[1, 1], "upsIdentManufacturer", Text(Who::Manufacturer)),
        scalar(&[1, 2], "upsIdentModel", Text(Who::Model)),
        scalar(&[1, 3], "upsIdentUPSSoftwareVersion", Text(Who::Firmware)),
        scalar(&[1, 4], "upsIdentAgentSoftwareVersion", Text(Who::AgentVersion)),
        scalar(&[1, 5], "upsIdentName", Text(Who::Description)),
        scalar(
            &[2, 1],
            "upsBatteryStatus",
            Enum(&[
                (1, "unknown", &[]),
                (2, "batteryNormal", &[]),
                (3, "batteryLow", &[Holds(Status::LowBattery)]),
                (4, "batteryDepleted", &[Holds(Status::LowBattery), Holds(Status::BatteryDepleted)]),
            ]),
        ),
        scalar(&SECONDS_ON_BATTERY, "upsSecondsOnBattery", Number(Quantity::OnBattery, 1.0)),
        scalar(&[2, 3], "upsEstimatedMinutesRemaining", Number(Quantity::BatteryRuntime, MINUTES)),
        scalar(&CHARGE_REMAINING, "upsEstimatedChargeRemaining", Number(Quantity::BatteryCharge, PERCENT)),
        scalar(&[2, 5], "upsBatteryVoltage", Number(Quantity::BatteryVoltage, TENTH)),
        scalar(&[2, 6], "upsBatteryCurrent", Number(Quantity::BatteryCurrent, TENTH)),
        scalar(&[2, 7], "upsBatteryTemperature", Number(Quantity::BatteryTemperature, 1.0)),
        scalar(&[3, 1], "upsInputLineBads", Number(Quantity::InputLineBads, 1.0)),
        scalar(&[3, 2], "upsInputNumLines", Lines(Input)),
        scalar(
            &OUTPUT_SOURCE,
            "upsOutputSource",
            Enum(&[
                (1, "other", &[]),
                (2, "none", &[Holds(Status::Off)]),
                (3, "normal", &[Holds(Status::Online)]),
                (4, "bypass", &[Holds(Status::Bypass)]),
                // Agents say so on mains too: several signals decide.
                (5, "battery", &[]),
                (6, "booster", &[Holds(Status::Online), Holds(Status::Boost)]),
                (7, "reducer", &[Holds(Status::Online), Holds(Status::Trim)]),
            ]),
        ),
        scalar(&[4, 2], "upsOutputFrequency", Number(Quantity::OutputFrequency, TENTH)),
        scalar(&[4, 3], "upsOutputNumLines", Lines(Output)),
        scalar(&ALARMS_PRESENT, "upsAlarmsPresent", Number(Quantity::Alarms, 1.0)),
        scalar(
            &[7, 3],
            "upsTestResultsSummary",
            Enum(&[
                (1, "donePass", &[Ended(SelfTest::Passed)]),
                (2, "doneWarning", &[Ended(SelfTest::Warning)]),
                (3, "doneError", &[Ended(SelfTest::Failed)]),
                (4, "aborted", &[Ended(SelfTest::Aborted)]),
                (5, "inProgress", &[Ended(SelfTest::InProgress), Holds(Status::Testing)]),
                (6, "noTestsInitiated", &[Ended(SelfTest::None)]),
            ]),
        ),
        scalar(&[8, 2], "upsShutdownAfterDelay", Timer(Quantity::ShutdownTimer)),
        scalar(&[8, 3], "upsStartupAfterDelay", Timer(Quantity::StartupTimer)),
        scalar(&[8, 4], "upsRebootWithDuration", Timer(Quantity::RebootTimer)),
        scalar(&[9, 1], "upsConfigInputVoltage", Number(Quantity::InputVoltageNominal, 1.0)),
        scalar(&[9, 2], "upsConfigInputFreq", Number(Quantity::InputFrequencyNominal, TENTH)),
        scalar(&[9, 3], "upsConfigOutputVoltage", Number(Quantity::OutputVoltageNominal, 1.0)),
        scalar(&[9, 4], "upsConfigOutputFreq", Number(Quantity::OutputFrequencyNominal, TENTH)),
        scalar(&[9, 5], "upsConfigOutputVA", Number(Quantity::ApparentPowerNominal, 1.0)),
        scalar(&[9, 6], "upsConfigOutputPower", Number(Quantity::RealPowerNominal, 1.0)),
        scalar(&[9, 7], "upsConfigLowBattTime", Number(Quantity::BatteryRuntimeLow, MINUTES)),
        scalar(
            &[9, 8],
            "upsConfigAudibleStatus",
            Enum(&[
                (1, "disabled", &[Beeps(Beeper::Disabled)]),
                (2, "enabled", &[Beeps(Beeper::Enabled)]),
                (3, "muted", &[Beeps(Beeper::Muted)]),
            ]),
        ),
        scalar(&[9, 9], "upsConfigLowVoltageTransferPoint", Number(Quantity::InputTransferLow, 1.0)),
        scalar(&[9, 10], "upsConfigHighVoltageTransferPoint", Number(Quantity::InputTransferHigh, 1.0)),
    ],
    columns: &[
        column(&[3, 3, 1, 2], "upsInputFrequency", Cell::Line(Input, Quantity::InputFrequency, TENTH)),
        column(&[3, 3, 1, 3], "upsInputVoltage", Cell::Line(Input, Quantity::InputVoltage, 1.0)),
        column(&[3, 3, 1, 4], "upsInputCurrent", Cell::Line(Input, Quantity::InputCurrent, TENTH)),
        column(&[4, 4, 1, 2], "upsOutputVoltage", Cell::Line(Output, Quantity::OutputVoltage, 1.0)),
        column(&[4, 4, 1, 3], "upsOutputCurrent", Cell::Line(Output, Quantity::OutputCurrent, TENTH)),
        column(&[4, 4, 1, 4], "upsOutputPower", Cell::Line(Output, Quantity::RealPower, 1.0)),
        column(&[4, 4, 1, 5], "upsOutputPercentLoad", Cell::Line(Output, Quantity::Load, PERCENT)),
        column(&ALARM_DESCRIPTION, "upsAlarmDescr", Cell::AlarmDescription),
    ],
};

pub(super) const OUTPUT_SOURCE: [u32; 2] = [4, 1];
pub(super) const ON_BATTERY_SOURCE: i64 = 5;
pub(super) const SECONDS_ON_BATTERY: [u32; 2] = [2, 2];
pub(super) const CHARGE_REMAINING: [u32; 2] = [2, 4];
pub(super) const ALARMS_PRESENT: [u32; 2] = [6, 1];
pub(super) const ALARM_DESCRIPTION: [u32; 4] = [6, 2, 1, 2];
/// Names, not objects that can be read: they stand as values in the alarm table.
pub(super) const WELL_KNOWN_ALARMS: [u32; 2] = [6, 3];

pub(super) const ALARM_ON_BATTERY: u32 = 2;
pub(super) const ALARMS: &[(u32, &str, &[Says])] = &[
    (1, "battery_bad", &[Holds(Status::ReplaceBattery)]),
    // One of the signals that decide.
    (ALARM_ON_BATTERY, "on_battery", &[]),
    (3, "low_battery", &[Holds(Status::LowBattery)]),
    (4, "depleted_battery", &[Holds(Status::LowBattery), Holds(Status::BatteryDepleted)]),
    (5, "temp_bad", &[]),
    (6, "input_bad", &[]),
    (7, "output_bad", &[]),
    (8, "output_overload", &[Holds(Status::Overload)]),
    (9, "on_bypass", &[Holds(Status::Bypass)]),
    (10, "bypass_bad", &[]),
    (11, "output_off_as_requested", &[Holds(Status::Off)]),
    (12, "ups_off_as_requested", &[Holds(Status::Off)]),
    (13, "charger_failed", &[]),
    (14, "ups_output_off", &[Holds(Status::Off)]),
    (15, "ups_system_off", &[Holds(Status::Off)]),
    (16, "fan_failure", &[]),
    (17, "fuse_failure", &[]),
    (18, "general_fault", &[]),
    (19, "diagnostic_test_failed", &[]),
    (20, "communications_lost", &[CommLost]),
    (21, "awaiting_power", &[Holds(Status::Sleeping)]),
    (22, "shutdown_pending", &[Says::ShutdownCommanded]),
    (23, "shutdown_imminent", &[Says::ShutdownCommanded, Holds(Status::ShuttingDown)]),
    (24, "test_in_progress", &[Holds(Status::Testing)]),
];

/// APC's, of network management cards and, in part, of PowerChute agents.
pub(super) const POWERNET: Tree = Tree {
    name: "PowerNet-MIB",
    root: &[1, 3, 6, 1, 4, 1, 318, 1, 1, 1],
    scalars: &[
        scalar(&[1, 1, 1], "upsBasicIdentModel", Text(Who::Model)),
        scalar(&[1, 1, 2], "upsBasicIdentName", Text(Who::Description)),
        scalar(&[1, 2, 1], "upsAdvIdentFirmwareRevision", Text(Who::Firmware)),
        scalar(&[1, 2, 3], "upsAdvIdentSerialNumber", Text(Who::Serial)),
        scalar(
            &[2, 1, 1],
            "upsBasicBatteryStatus",
            Enum(&[
                (1, "unknown", &[]),
                (2, "batteryNormal", &[]),
                (3, "batteryLow", &[Holds(Status::LowBattery)]),
                (4, "batteryInFaultCondition", &[Alarm("battery_in_fault_condition")]),
                (5, "noBatteryPresent", &[Holds(Status::NoBattery)]),
            ]),
        ),
        scalar(&[2, 1, 2], "upsBasicBatteryTimeOnBattery", Number(Quantity::OnBattery, TICKS)),
        scalar(&[2, 1, 3], "upsBasicBatteryLastReplaceDate", Date(Quantity::BatteryReplacedAt)),
        scalar(&[2, 2, 1], "upsAdvBatteryCapacity", Number(Quantity::BatteryCharge, PERCENT)),
        scalar(&[2, 2, 2], "upsAdvBatteryTemperature", Number(Quantity::BatteryTemperature, 1.0)),
        scalar(&[2, 2, 3], "upsAdvBatteryRunTimeRemaining", Number(Quantity::BatteryRuntime, TICKS)),
        scalar(
            &[2, 2, 4],
            "upsAdvBatteryReplaceIndicator",
            Enum(&[
                (1, "noBatteryNeedsReplacing", &[]),
                (2, "batteryNeedsReplacing", &[Holds(Status::ReplaceBattery)]),
            ]),
        ),
        scalar(&[2, 2, 5], "upsAdvBatteryNumOfBattPacks", Number(Quantity::BatteryPacks, 1.0)),
        scalar(&[2, 2, 7], "upsAdvBatteryNominalVoltage", Number(Quantity::BatteryVoltageNominal, 1.0)),
        scalar(&[2, 2, 8], "upsAdvBatteryActualVoltage", Number(Quantity::BatteryVoltage, 1.0)),
        scalar(&[2, 2, 9], "upsAdvBatteryCurrent", Number(Quantity::BatteryCurrent, 1.0)),
        scalar(
            &[2, 2, 17],
            "upsAdvBatteryChargerStatus",
            Enum(&[
                (1, "unknown", &[]),
                (2, "ok", &[]),
                (3, "inFaultCondition", &[Alarm("charger_in_fault_condition")]),
                (4, "floatCharging", &[Holds(Status::Charging)]),
                (5, "boostCharging", &[Holds(Status::Charging)]),
                (6, "resting", &[]),
                (7, "notCharging", &[]),
                (8, "equalizationCharging", &[Holds(Status::Charging)]),
                (9, "testInProgress", &[]),
                (10, "cyclicFloatCharging", &[Holds(Status::Charging)]),
            ]),
        ),
        scalar(&[2, 3, 1], "upsHighPrecBatteryCapacity", Tenths(Quantity::BatteryCharge, PERMILLE)),
        scalar(&[2, 3, 2], "upsHighPrecBatteryTemperature", Tenths(Quantity::BatteryTemperature, TENTH)),
        scalar(&[2, 3, 3], "upsHighPrecBatteryNominalVoltage", Tenths(Quantity::BatteryVoltageNominal, TENTH)),
        scalar(&[2, 3, 4], "upsHighPrecBatteryActualVoltage", Tenths(Quantity::BatteryVoltage, TENTH)),
        scalar(&[2, 3, 5], "upsHighPrecBatteryCurrent", Tenths(Quantity::BatteryCurrent, TENTH)),
        scalar(&[3, 2, 1], "upsAdvInputLineVoltage", Number(Quantity::InputVoltage, 1.0)),
        scalar(&[3, 2, 2], "upsAdvInputMaxLineVoltage", Number(Quantity::InputVoltageMaximum, 1.0)),
        scalar(&[3, 2, 3], "upsAdvInputMinLineVoltage", Number(Quantity::InputVoltageMinimum, 1.0)),
        scalar(&[3, 2, 4], "upsAdvInputFrequency", Number(Quantity::InputFrequency, 1.0)),
        scalar(
            &[3, 2, 5],
            "upsAdvInputLineFailCause",
            Enum(&[
                (1, "noTransfer", &[]),
                (2, "highLineVoltage", &[TransferCause("highLineVoltage")]),
                (3, "brownout", &[TransferCause("brownout")]),
                (4, "blackout", &[TransferCause("blackout")]),
                (5, "smallMomentarySag", &[TransferCause("smallMomentarySag")]),
                (6, "deepMomentarySag", &[TransferCause("deepMomentarySag")]),
                (7, "smallMomentarySpike", &[TransferCause("smallMomentarySpike")]),
                (8, "largeMomentarySpike", &[TransferCause("largeMomentarySpike")]),
                (9, "selfTest", &[TransferCause("selfTest")]),
                (10, "rateOfVoltageChange", &[TransferCause("rateOfVoltageChange")]),
            ]),
        ),
        scalar(&[3, 2, 6], "upsAdvInputNominalFrequency", Number(Quantity::InputFrequencyNominal, 1.0)),
        scalar(&[3, 2, 7], "upsAdvInputNominalVoltage", Number(Quantity::InputVoltageNominal, 1.0)),
        scalar(&[3, 3, 1], "upsHighPrecInputLineVoltage", Tenths(Quantity::InputVoltage, TENTH)),
        scalar(&[3, 3, 2], "upsHighPrecInputMaxLineVoltage", Tenths(Quantity::InputVoltageMaximum, TENTH)),
        scalar(&[3, 3, 3], "upsHighPrecInputMinLineVoltage", Tenths(Quantity::InputVoltageMinimum, TENTH)),
        scalar(&[3, 3, 4], "upsHighPrecInputFrequency", Tenths(Quantity::InputFrequency, TENTH)),
        scalar(
            &OUTPUT_STATUS,
            "upsBasicOutputStatus",
            Enum(&[
                (1, "unknown", &[]),
                (2, "onLine", &[Holds(Status::Online)]),
                (3, "onBattery", &[Holds(Status::OnBattery)]),
                (4, "onSmartBoost", &[Holds(Status::Online), Holds(Status::Boost)]),
                (5, "timedSleeping", &[Holds(Status::Sleeping)]),
                (6, "softwareBypass", &[Holds(Status::Bypass)]),
                (7, "off", &[Holds(Status::Off)]),
                // It gives no power now and will again, as in both kinds of sleep.
                (8, "rebooting", &[Holds(Status::Sleeping)]),
                (9, "switchedBypass", &[Holds(Status::Bypass)]),
                (10, "hardwareFailureBypass", &[Holds(Status::Bypass), Alarm("hardware_failure_bypass")]),
                (11, "sleepingUntilPowerReturn", &[Holds(Status::Sleeping)]),
                (12, "onSmartTrim", &[Holds(Status::Online), Holds(Status::Trim)]),
                (13, "ecoMode", &[Holds(Status::Online), Holds(Status::Eco)]),
                (14, "hotStandby", &[Holds(Status::Online)]),
                (15, "onBatteryTest", &[Holds(Status::Testing)]),
                (16, "emergencyStaticBypass", &[Holds(Status::Bypass), Alarm("emergency_static_bypass")]),
                (17, "staticBypassStandby", &[Holds(Status::Bypass)]),
                (18, "powerSavingMode", &[Holds(Status::Online), Holds(Status::Eco)]),
                // Modes of service people, of which the MIB does not say whether the load is on mains.
                (19, "spotMode", &[Alarm("spot_mode")]),
                (20, "eConversion", &[Holds(Status::Online), Holds(Status::Eco)]),
                (21, "chargerSpotmode", &[Alarm("charger_spot_mode")]),
                (22, "inverterSpotmode", &[Alarm("inverter_spot_mode")]),
                (23, "activeLoad", &[Alarm("active_load")]),
                (24, "batteryDischargeSpotmode", &[Alarm("battery_discharge_spot_mode")]),
                (25, "inverterStandby", &[Alarm("inverter_standby")]),
                (26, "chargerOnly", &[Alarm("charger_only")]),
                (27, "distributedEnergyReserve", &[Alarm("distributed_energy_reserve")]),
                (28, "selfTest", &[Holds(Status::Testing)]),
            ]),
        ),
        scalar(&[4, 2, 1], "upsAdvOutputVoltage", Number(Quantity::OutputVoltage, 1.0)),
        scalar(&[4, 2, 2], "upsAdvOutputFrequency", Number(Quantity::OutputFrequency, 1.0)),
        scalar(&[4, 2, 3], "upsAdvOutputLoad", Number(Quantity::Load, PERCENT)),
        scalar(&[4, 2, 4], "upsAdvOutputCurrent", Number(Quantity::OutputCurrent, 1.0)),
        scalar(&[4, 2, 7], "upsAdvOutputNominalFrequency", Number(Quantity::OutputFrequencyNominal, 1.0)),
        scalar(&[4, 2, 8], "upsAdvOutputActivePower", Number(Quantity::RealPower, 1.0)),
        scalar(&[4, 2, 9], "upsAdvOutputApparentPower", Number(Quantity::ApparentPower, 1.0)),
        scalar(&[4, 3, 1], "upsHighPrecOutputVoltage", Tenths(Quantity::OutputVoltage, TENTH)),
        scalar(&[4, 3, 2], "upsHighPrecOutputFrequency", Tenths(Quantity::OutputFrequency, TENTH)),
        scalar(&[4, 3, 3], "upsHighPrecOutputLoad", Tenths(Quantity::Load, PERMILLE)),
        scalar(&[4, 3, 4], "upsHighPrecOutputCurrent", Tenths(Quantity::OutputCurrent, TENTH)),
        scalar(&[5, 2, 2], "upsAdvConfigHighTransferVolt", Number(Quantity::InputTransferHigh, 1.0)),
        scalar(&[5, 2, 3], "upsAdvConfigLowTransferVolt", Number(Quantity::InputTransferLow, 1.0)),
        scalar(&[5, 2, 8], "upsAdvConfigLowBatteryRunTime", Number(Quantity::BatteryRuntimeLow, TICKS)),
        scalar(&[5, 2, 9], "upsAdvConfigReturnDelay", Number(Quantity::StartDelay, TICKS)),
        scalar(&[5, 2, 10], "upsAdvConfigShutoffDelay", Number(Quantity::ShutdownDelay, TICKS)),
        scalar(
            &[7, 2, 3],
            "upsAdvTestDiagnosticsResults",
            Enum(&[
                (1, "ok", &[Ended(SelfTest::Passed)]),
                (2, "failed", &[Ended(SelfTest::Failed)]),
                (3, "invalidTest", &[Ended(SelfTest::Aborted)]),
                (4, "testInProgress", &[Ended(SelfTest::InProgress), Holds(Status::Testing)]),
            ]),
        ),
        scalar(&[7, 2, 4], "upsAdvTestLastDiagnosticsDate", Date(Quantity::SelfTestAt)),
        scalar(
            &[7, 2, 6],
            "upsAdvTestCalibrationResults",
            Enum(&[
                (1, "ok", &[]),
                (2, "invalidCalibration", &[]),
                (3, "calibrationInProgress", &[Holds(Status::Calibrating)]),
                (4, "refused", &[]),
                (5, "aborted", &[]),
                (6, "pending", &[]),
                (7, "unknown", &[]),
            ]),
        ),
        scalar(&[8, 1], "upsCommStatus", Enum(&[(1, "ok", &[]), (2, "noComm", &[CommLost])])),
        scalar(
            &[11, 1, 1],
            "upsBasicStateOutputState",
            Flags(&[
                (2, &[Holds(Status::OnBattery)]),
                (3, &[Holds(Status::LowBattery)]),
                (4, &[Holds(Status::Online)]),
                (5, &[Holds(Status::ReplaceBattery)]),
                (9, &[Holds(Status::Overload)]),
                (17, &[Holds(Status::Sleeping)]),
                (18, &[Holds(Status::Sleeping)]),
                (20, &[Holds(Status::Sleeping)]),
                (22, &[Says::ShutdownCommanded, Holds(Status::ShuttingDown)]),
                (30, &[Holds(Status::LowBattery), Holds(Status::OnBattery)]),
                (31, &[Says::ShutdownCommanded, Holds(Status::ShuttingDown)]),
                (32, &[Says::ShutdownCommanded, Holds(Status::ShuttingDown)]),
                (39, &[Alarm("shutdown_or_unable_to_transfer")]),
                (40, &[Holds(Status::Off), Alarm("low_battery_shutdown")]),
                (53, &[Holds(Status::Off), Alarm("emergency_power_off")]),
                (58, &[Holds(Status::Off)]),
            ]),
        ),
    ],
    columns: &[
        column(&[9, 2, 2, 1, 2], "upsPhaseNumInputPhases", Cell::FeedPhases(Input)),
        column(&[9, 2, 2, 1, 4], "upsPhaseInputFrequency", Cell::Feed(Input, Quantity::InputFrequency, TENTH)),
        column(&[9, 2, 2, 1, 5], "upsPhaseInputType", Cell::FeedKind(Input)),
        column(&[9, 2, 3, 1, 3], "upsPhaseInputVoltage", Cell::Phase(Input, Quantity::InputVoltage, 1.0)),
        column(&[9, 2, 3, 1, 4], "upsPhaseInputMaxVoltage", Cell::Phase(Input, Quantity::InputVoltageMaximum, 1.0)),
        column(&[9, 2, 3, 1, 5], "upsPhaseInputMinVoltage", Cell::Phase(Input, Quantity::InputVoltageMinimum, 1.0)),
        column(&[9, 2, 3, 1, 6], "upsPhaseInputCurrent", Cell::Phase(Input, Quantity::InputCurrent, TENTH)),
        column(&[9, 3, 2, 1, 2], "upsPhaseNumOutputPhases", Cell::FeedPhases(Output)),
        column(&[9, 3, 2, 1, 4], "upsPhaseOutputFrequency", Cell::Feed(Output, Quantity::OutputFrequency, TENTH)),
        column(&[9, 3, 3, 1, 3], "upsPhaseOutputVoltage", Cell::Phase(Output, Quantity::OutputVoltage, 1.0)),
        column(&[9, 3, 3, 1, 4], "upsPhaseOutputCurrent", Cell::Phase(Output, Quantity::OutputCurrent, TENTH)),
        column(&[9, 3, 3, 1, 7], "upsPhaseOutputLoad", Cell::Phase(Output, Quantity::ApparentPower, 1.0)),
        column(&[9, 3, 3, 1, 10], "upsPhaseOutputPercentLoad", Cell::Phase(Output, Quantity::Load, PERCENT)),
        column(&[9, 3, 3, 1, 13], "upsPhaseOutputPower", Cell::Phase(Output, Quantity::RealPower, 1.0)),
        column(&[12, 1, 2, 1, 3], "upsOutletGroupStatusGroupState", Cell::GroupState),
        column(&[12, 1, 2, 1, 4], "upsOutletGroupStatusCommandPending", Cell::GroupPending),
    ],
};

pub(super) const OUTPUT_STATUS: [u32; 3] = [4, 1, 1];

/// PowerChute Business Edition's agent, and what shares its code.
pub(super) const POWERCHUTE: Tree = Tree {
    name: "PowerChute agent",
    root: &[1, 3, 6, 1, 4, 1, 318, 1, 2, 4],
    scalars: &[
        scalar(&[1, 2], "pcbeVersion", Text(Who::AgentVersion)),
        scalar(&[6, 1], "pcbeCriticalFlag", Enum(&[(1, "active", &[Critical]), (2, "clear", &[])])),
        scalar(&[6, 2], "pcbeCriticalCause", Cause),
        scalar(&[6, 3], "pcbeComsLostFlag", Enum(&[(1, "active", &[CommLost]), (2, "clear", &[])])),
    ],
    columns: &[],
};

/// PowerChute Network Shutdown.
pub(super) const POWERCHUTE_NETWORK_SHUTDOWN: Tree = Tree {
    name: "PowerChute Network Shutdown",
    root: &[1, 3, 6, 1, 4, 1, 318, 1, 2, 3],
    scalars: &[
        scalar(&[1, 2], "pcnsVersion", Text(Who::AgentVersion)),
        scalar(&[6, 1], "pcnsCriticalFlag", Enum(&[(1, "active", &[Critical]), (2, "clear", &[])])),
        scalar(&[6, 2], "pcnsCriticalCause", Cause),
        scalar(&[6, 3], "pcnsNetComsLostFlag", Enum(&[(1, "active", &[CommLost]), (2, "clear", &[])])),
        scalar(&[6, 4], "pcnsNMCComsLostFlag", Enum(&[(1, "active", &[CommLost]), (2, "clear", &[])])),
    ],
    columns: &[],
};

const fn scalar(at: &'static [u32], name: &'static str, meaning: Meaning) -> Object {
    Object { at, name, meaning }
}

const fn column(at: &'static [u32], name: &'static str, cell: Cell) -> Column {
    Column { at, name, cell }
}

impl Cell {
    /// Whether the UPS has such rows for as long as it is the same: alarms come and go.
    pub(super) const fn stays(&self) -> bool {
        !matches!(self, Self::AlarmDescription)
    }
}

impl Tree {
    /// The object itself, without an instance.
    pub(super) fn oid(&self, at: &[u32]) -> async_snmp::Oid {
        async_snmp::Oid::new(self.root.iter().chain(at).copied())
    }

    /// A scalar's only instance.
    pub(super) fn instance(&self, at: &[u32]) -> async_snmp::Oid {
        self.oid(at).child(0)
    }
}
