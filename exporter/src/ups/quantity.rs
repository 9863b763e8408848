//! The numbers that a UPS may give. One table says of each its metric, its unit, what it may be, and what it means: the backends,
//! the exposition and `docs/ups-metrics.md` read it.

/// A number of the schema: base units, ratios from 0 to 1, times in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    BatteryCharge,
    BatteryChargeLow,
    BatteryChargeWarning,
    BatteryRuntime,
    BatteryRuntimeLow,
    BatteryVoltage,
    BatteryVoltageNominal,
    BatteryVoltageLow,
    BatteryVoltageHigh,
    BatteryCurrent,
    BatteryTemperature,
    BatteryPacks,
    BatteryReplacedAt,
    BatteryManufacturedAt,
    OnBattery,
    OnBatteryCumulative,
    BatteryTransfers,
    Temperature,
    AmbientTemperature,
    AmbientHumidity,
    Load,
    RealPower,
    RealPowerNominal,
    ApparentPower,
    ApparentPowerNominal,
    InputVoltage,
    InputVoltageNominal,
    InputVoltageMinimum,
    InputVoltageMaximum,
    InputFrequency,
    InputFrequencyNominal,
    InputCurrent,
    InputCurrentNominal,
    InputTransferLow,
    InputTransferHigh,
    InputLineBads,
    OutputVoltage,
    OutputVoltageNominal,
    OutputFrequency,
    OutputFrequencyNominal,
    OutputCurrent,
    SelfTestAt,
    Alarms,
    ShutdownTimer,
    RebootTimer,
    StartupTimer,
    ShutdownDelay,
    StartDelay,
}

/// What is known of a quantity, whoever tells it.
#[derive(Debug)]
pub struct QuantityFacts {
    pub quantity: Quantity,
    /// The metric's name; a counter's stands without `_total`.
    pub metric: &'static str,
    pub unit: Unit,
    /// The least and the most that a UPS can have, both included, in base units. What lies outside is a sentinel of a driver or an
    /// agent, another unit than it claims, or nonsense, and no sample.
    pub range: (f64, f64),
    /// One line, for people who read the exposition.
    pub help: &'static str,
}

/// The unit of a metric, after what is made of what the backends give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Ratio,
    Seconds,
    /// Seconds since 1970.
    Timestamp,
    Volts,
    Amperes,
    Hertz,
    Watts,
    VoltAmperes,
    Celsius,
    Count,
    /// Counts up, in seconds.
    SecondsCounted,
    /// Counts up.
    Counter,
}

impl Quantity {
    pub const ALL: [Self; TABLE.len()] = {
        let mut all = [Self::BatteryCharge; TABLE.len()];
        let mut row = 0;
        while row < TABLE.len() {
            all[row] = TABLE[row].quantity;
            row += 1;
        }
        all
    };

    /// Its row of the table.
    pub const fn facts(self) -> &'static QuantityFacts {
        &TABLE[self as usize]
    }

    /// Whether it is a countdown after which the UPS takes its power away, if only for a while.
    pub const fn ends_power(self) -> bool {
        matches!(self, Self::ShutdownTimer | Self::RebootTimer)
    }

    /// What of a number is published: nothing where no UPS can have it, and the whole where it is slightly more than that.
    pub(super) fn admitted(self, value: f64) -> Option<f64> {
        let (least, most) = self.facts().range;
        if (least..=most).contains(&value) {
            return Some(value);
        }
        let is_share_of_a_whole = self.facts().unit == Unit::Ratio && most <= WHOLE;
        (is_share_of_a_whole && value > WHOLE && value <= SLIGHTLY_OVER).then_some(WHOLE)
    }
}

impl Unit {
    pub const fn is_counter(self) -> bool {
        matches!(self, Self::SecondsCounted | Self::Counter)
    }
}

/// All of it, as a ratio.
const WHOLE: f64 = 1.0;
/// Gauges of batteries are calibrated now and then, and between that they read up to some per cent more than all.
const SLIGHTLY_OVER: f64 = 1.1;

const SHARE: (f64, f64) = (0.0, WHOLE);
/// An overloaded UPS carries twice its load for seconds. 255 % is a byte that is not set.
const LOAD: (f64, f64) = (0.0, 2.5);
const MINUTE: f64 = 60.0;
const DAY: f64 = 86_400.0;
/// What a battery lasts, or has lasted: the sentinels 32767 and 65535 in minutes are 22 and 45 days.
const ON_BATTERY: (f64, f64) = (0.0, 14.0 * DAY);
/// Runtimes at which a battery is low are minutes.
const LOW_RUNTIME: (f64, f64) = (0.0, DAY);
/// Countdowns and delays of drivers end at 9999 minutes, a week.
const DELAY: (f64, f64) = (0.0, 10_080.0 * MINUTE);
/// The line, the output and strings of batteries, of low voltage by IEC 60038: below 1000 V. Without power it is 0.
const VOLTAGE: (f64, f64) = (0.0, 1000.0);
/// Nothing is made for 0 volts: that is how drivers and agents write what they do not know.
const VOLTAGE_OF_A_DESIGN: (f64, f64) = (1.0, 1000.0);
/// Discharging, or feeding back, is negative. A module of 1 MW has 2500 A at its battery; the sentinels in tenths are ±3276.
const CURRENT: (f64, f64) = (-3000.0, 3000.0);
const CURRENT_OF_A_DESIGN: (f64, f64) = (0.1, 3000.0);
/// Up to 400 Hz on board; without power it is 0.
const FREQUENCY: (f64, f64) = (0.0, 500.0);
const FREQUENCY_OF_A_DESIGN: (f64, f64) = (1.0, 500.0);
/// The largest systems have a few MW; feeding back is negative.
const POWER: (f64, f64) = (-10e6, 10e6);
const APPARENT_POWER: (f64, f64) = (0.0, 10e6);
const POWER_OF_A_DESIGN: (f64, f64) = (1.0, 10e6);
/// Sensors end at 125 °C and no UPS works above 100. 127 and 255 are bytes that are not set, 293 is tenths or kelvin.
const TEMPERATURE: (f64, f64) = (-50.0, 120.0);
/// Since 1985, the year of the first UPS that told one, to 2100. A clock that was never set says 1970.
const DATE: (f64, f64) = (473_385_600.0, 4_102_444_800.0);
/// A hundred years: seconds that fit 32 bits and not all ones.
const COUNTED_SECONDS: (f64, f64) = (0.0, 3_155_760_000.0);
/// A Counter32 is a number to its last bit.
const COUNTED: (f64, f64) = (0.0, 4_294_967_295.0);
/// The largest frames take some dozen; 255 is a byte that is not set.
const PACKS: (f64, f64) = (0.0, 200.0);
/// RFC 1628 knows 24, vendors some more.
const STANDING_ALARMS: (f64, f64) = (0.0, 1000.0);

const TABLE: &[QuantityFacts] = &[
    row(
        Quantity::BatteryCharge,
        "ups_battery_charge_ratio",
        Unit::Ratio,
        SHARE,
        "How full the battery is, from 0 to 1.",
    ),
    row(
        Quantity::BatteryChargeLow,
        "ups_battery_charge_low_ratio",
        Unit::Ratio,
        SHARE,
        "The charge below which the UPS calls its battery low, from 0 to 1.",
    ),
    row(
        Quantity::BatteryChargeWarning,
        "ups_battery_charge_warning_ratio",
        Unit::Ratio,
        SHARE,
        "The charge below which the UPS warns, from 0 to 1.",
    ),
    row(
        Quantity::BatteryRuntime,
        "ups_battery_runtime_seconds",
        Unit::Seconds,
        ON_BATTERY,
        "How long the battery would last at the present load.",
    ),
    row(
        Quantity::BatteryRuntimeLow,
        "ups_battery_runtime_low_seconds",
        Unit::Seconds,
        LOW_RUNTIME,
        "The runtime below which the UPS calls its battery low.",
    ),
    row(Quantity::BatteryVoltage, "ups_battery_voltage_volts", Unit::Volts, VOLTAGE, "Voltage of the battery."),
    row(
        Quantity::BatteryVoltageNominal,
        "ups_battery_voltage_nominal_volts",
        Unit::Volts,
        VOLTAGE_OF_A_DESIGN,
        "Voltage that the battery is made for.",
    ),
    row(
        Quantity::BatteryVoltageLow,
        "ups_battery_voltage_low_volts",
        Unit::Volts,
        VOLTAGE_OF_A_DESIGN,
        "Voltage at which the battery counts as empty.",
    ),
    row(
        Quantity::BatteryVoltageHigh,
        "ups_battery_voltage_high_volts",
        Unit::Volts,
        VOLTAGE_OF_A_DESIGN,
        "Voltage at which the battery counts as full.",
    ),
    row(Quantity::BatteryCurrent, "ups_battery_current_amperes", Unit::Amperes, CURRENT, "Current of the battery."),
    row(
        Quantity::BatteryTemperature,
        "ups_battery_temperature_celsius",
        Unit::Celsius,
        TEMPERATURE,
        "Temperature at the battery.",
    ),
    row(
        Quantity::BatteryPacks,
        "ups_battery_packs",
        Unit::Count,
        PACKS,
        "How many battery packs the UPS counts; of some only the external ones.",
    ),
    row(
        Quantity::BatteryReplacedAt,
        "ups_battery_replaced_timestamp_seconds",
        Unit::Timestamp,
        DATE,
        "When the battery was last replaced, in seconds since 1970.",
    ),
    row(
        Quantity::BatteryManufacturedAt,
        "ups_battery_manufactured_timestamp_seconds",
        Unit::Timestamp,
        DATE,
        "When the battery was made, in seconds since 1970.",
    ),
    row(
        Quantity::OnBattery,
        "ups_on_battery_seconds",
        Unit::Seconds,
        ON_BATTERY,
        "For how long the UPS has been on its battery; 0 when on line.",
    ),
    row(
        Quantity::OnBatteryCumulative,
        "ups_on_battery_cumulative_seconds",
        Unit::SecondsCounted,
        COUNTED_SECONDS,
        "For how long the UPS has been on its battery since whoever counts was started.",
    ),
    row(
        Quantity::BatteryTransfers,
        "ups_battery_transfers",
        Unit::Counter,
        COUNTED,
        "How often the UPS went onto its battery since whoever counts was started.",
    ),
    row(Quantity::Temperature, "ups_temperature_celsius", Unit::Celsius, TEMPERATURE, "Temperature inside the UPS."),
    row(
        Quantity::AmbientTemperature,
        "ups_ambient_temperature_celsius",
        Unit::Celsius,
        TEMPERATURE,
        "Temperature of the air around the UPS, by its probe.",
    ),
    row(
        Quantity::AmbientHumidity,
        "ups_ambient_humidity_ratio",
        Unit::Ratio,
        SHARE,
        "Relative humidity of the air around the UPS, by its probe, from 0 to 1.",
    ),
    row(
        Quantity::Load,
        "ups_load_ratio",
        Unit::Ratio,
        LOAD,
        "Load as a part of what the UPS can carry; 1 is all of it.",
    ),
    row(Quantity::RealPower, "ups_real_power_watts", Unit::Watts, POWER, "Real power that is drawn."),
    row(
        Quantity::RealPowerNominal,
        "ups_real_power_nominal_watts",
        Unit::Watts,
        POWER_OF_A_DESIGN,
        "Real power that the UPS is made for.",
    ),
    row(
        Quantity::ApparentPower,
        "ups_apparent_power_voltamperes",
        Unit::VoltAmperes,
        APPARENT_POWER,
        "Apparent power that is drawn.",
    ),
    row(
        Quantity::ApparentPowerNominal,
        "ups_apparent_power_nominal_voltamperes",
        Unit::VoltAmperes,
        POWER_OF_A_DESIGN,
        "Apparent power that the UPS is made for.",
    ),
    row(Quantity::InputVoltage, "ups_input_voltage_volts", Unit::Volts, VOLTAGE, "Voltage at the input."),
    row(
        Quantity::InputVoltageNominal,
        "ups_input_voltage_nominal_volts",
        Unit::Volts,
        VOLTAGE_OF_A_DESIGN,
        "Voltage that the input is made for.",
    ),
    row(
        Quantity::InputVoltageMinimum,
        "ups_input_voltage_minimum_volts",
        Unit::Volts,
        VOLTAGE,
        "The least voltage that the UPS has seen at its input since it began to look, or lately.",
    ),
    row(
        Quantity::InputVoltageMaximum,
        "ups_input_voltage_maximum_volts",
        Unit::Volts,
        VOLTAGE,
        "The most voltage that the UPS has seen at its input since it began to look, or lately.",
    ),
    row(Quantity::InputFrequency, "ups_input_frequency_hertz", Unit::Hertz, FREQUENCY, "Frequency at the input."),
    row(
        Quantity::InputFrequencyNominal,
        "ups_input_frequency_nominal_hertz",
        Unit::Hertz,
        FREQUENCY_OF_A_DESIGN,
        "Frequency that the input is made for.",
    ),
    row(Quantity::InputCurrent, "ups_input_current_amperes", Unit::Amperes, CURRENT, "Current at the input."),
    row(
        Quantity::InputCurrentNominal,
        "ups_input_current_nominal_amperes",
        Unit::Amperes,
        CURRENT_OF_A_DESIGN,
        "Current that the input is made for.",
    ),
    row(
        Quantity::InputTransferLow,
        "ups_input_transfer_low_volts",
        Unit::Volts,
        VOLTAGE_OF_A_DESIGN,
        "Input voltage below which the UPS goes onto its battery.",
    ),
    row(
        Quantity::InputTransferHigh,
        "ups_input_transfer_high_volts",
        Unit::Volts,
        VOLTAGE_OF_A_DESIGN,
        "Input voltage above which the UPS goes onto its battery.",
    ),
    row(
        Quantity::InputLineBads,
        "ups_input_line_bads",
        Unit::Counter,
        COUNTED,
        "How often the input was out of tolerance since whoever counts was started.",
    ),
    row(Quantity::OutputVoltage, "ups_output_voltage_volts", Unit::Volts, VOLTAGE, "Voltage at the output."),
    row(
        Quantity::OutputVoltageNominal,
        "ups_output_voltage_nominal_volts",
        Unit::Volts,
        VOLTAGE_OF_A_DESIGN,
        "Voltage that the output is made for.",
    ),
    row(Quantity::OutputFrequency, "ups_output_frequency_hertz", Unit::Hertz, FREQUENCY, "Frequency at the output."),
    row(
        Quantity::OutputFrequencyNominal,
        "ups_output_frequency_nominal_hertz",
        Unit::Hertz,
        FREQUENCY_OF_A_DESIGN,
        "Frequency that the output is made for.",
    ),
    row(Quantity::OutputCurrent, "ups_output_current_amperes", Unit::Amperes, CURRENT, "Current at the output."),
    row(
        Quantity::SelfTestAt,
        "ups_self_test_timestamp_seconds",
        Unit::Timestamp,
        DATE,
        "When the UPS last tested itself, in seconds since 1970.",
    ),
    row(Quantity::Alarms, "ups_alarms", Unit::Count, STANDING_ALARMS, "How many alarms stand, by the UPS's own count."),
    row(
        Quantity::ShutdownTimer,
        "ups_shutdown_timer_seconds",
        Unit::Seconds,
        DELAY,
        "In how long the UPS takes its power away; absent when no countdown runs.",
    ),
    row(
        Quantity::RebootTimer,
        "ups_reboot_timer_seconds",
        Unit::Seconds,
        DELAY,
        "The countdown of a reboot, in which the UPS takes its power away for a while; absent when none runs.",
    ),
    row(
        Quantity::StartupTimer,
        "ups_startup_timer_seconds",
        Unit::Seconds,
        DELAY,
        "In how long the UPS gives power again; absent when no countdown runs.",
    ),
    row(
        Quantity::ShutdownDelay,
        "ups_shutdown_delay_seconds",
        Unit::Seconds,
        DELAY,
        "How long the UPS waits, by its settings, before it takes its power away.",
    ),
    row(
        Quantity::StartDelay,
        "ups_start_delay_seconds",
        Unit::Seconds,
        DELAY,
        "How long the UPS waits, by its settings, before it gives power again.",
    ),
];

const fn row(
    quantity: Quantity,
    metric: &'static str,
    unit: Unit,
    range: (f64, f64),
    help: &'static str,
) -> QuantityFacts {
    QuantityFacts { quantity, metric, unit, range, help }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quantity_has_its_row_in_its_order_and_a_name_that_tells_its_unit() {
        for (index, facts) in TABLE.iter().enumerate() {
            assert_eq!(facts.quantity as usize, index, "{:?}", facts.quantity);
            let suffix = match facts.unit {
                Unit::Ratio => "_ratio",
                Unit::Seconds | Unit::SecondsCounted => "_seconds",
                Unit::Timestamp => "_timestamp_seconds",
                Unit::Volts => "_volts",
                Unit::Amperes => "_amperes",
                Unit::Hertz => "_hertz",
                Unit::Watts => "_watts",
                Unit::VoltAmperes => "_voltamperes",
                Unit::Celsius => "_celsius",
                Unit::Count | Unit::Counter => "",
            };
            assert!(facts.metric.starts_with("ups_") && facts.metric.ends_with(suffix), "{}", facts.metric);
            assert!(facts.range.0 < facts.range.1, "{}", facts.metric);
        }
    }

    /// Holds R3: the values that drivers and agents are seen to send for what they do not know.
    #[test]
    fn a_reading_that_no_ups_can_have_is_not_admitted() {
        use Quantity as Q;
        for (quantity, value) in [
            (Q::Temperature, 255.0),
            (Q::BatteryTemperature, 127.0),
            (Q::AmbientTemperature, 293.0),
            (Q::BatteryRuntime, 65_535.0 * 60.0),
            (Q::BatteryRuntime, 32_767.0 * 60.0),
            (Q::InputVoltage, 65_535.0),
            (Q::OutputVoltage, 6553.5),
            (Q::BatteryCurrent, -3276.8),
            (Q::RealPowerNominal, 0.0),
            (Q::InputVoltageNominal, 0.0),
            (Q::InputTransferLow, 0.0),
            (Q::InputTransferHigh, 0.0),
            (Q::Load, 2.55),
            (Q::BatteryCharge, 2.55),
            (Q::BatteryCharge, -0.01),
            (Q::AmbientHumidity, 6.5535),
            (Q::BatteryPacks, 255.0),
            (Q::SelfTestAt, 0.0),
            (Q::ShutdownDelay, -1.0),
            (Q::ShutdownTimer, 2_147_483_647.0),
            (Q::RealPower, f64::NAN),
            (Q::RealPower, f64::INFINITY),
        ] {
            assert_eq!(quantity.admitted(value), None, "{quantity:?} {value}");
        }
        for (quantity, value) in [
            (Q::BatteryCurrent, -3.5),
            (Q::Temperature, -10.0),
            (Q::BatteryRuntime, 6000.0 * 60.0),
            (Q::InputVoltage, 0.0),
            (Q::Load, 1.3),
            (Q::RealPower, -200.0),
            (Q::InputLineBads, 4_294_967_295.0),
        ] {
            assert_eq!(quantity.admitted(value), Some(value), "{quantity:?} {value}");
        }
    }

    /// Holds R3.
    #[test]
    fn slightly_more_than_all_is_all() {
        for quantity in [Quantity::BatteryCharge, Quantity::BatteryChargeLow, Quantity::AmbientHumidity] {
            assert_eq!(quantity.admitted(1.01), Some(1.0));
            assert_eq!(quantity.admitted(1.1), Some(1.0));
            assert_eq!(quantity.admitted(1.2), None);
        }
        assert_eq!(Quantity::Load.admitted(1.01), Some(1.01), "an overloaded UPS says so");
    }
}
