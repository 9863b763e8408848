//! The numbers that a UPS may give, each with its metric.

use std::collections::BTreeMap;

use crate::label::Label;

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
    BatteryCurrent,
    BatteryTemperature,
    BatteryReplacedAt,
    BatteryManufacturedAt,
    OnBattery,
    /// A counter.
    OnBatteryCumulative,
    /// A counter.
    BatteryTransfers,
    Temperature,
    Load,
    RealPower,
    RealPowerNominal,
    ApparentPower,
    ApparentPowerNominal,
    InputVoltage,
    InputVoltageNominal,
    InputFrequency,
    InputFrequencyNominal,
    InputCurrent,
    InputTransferLow,
    InputTransferHigh,
    /// A counter.
    InputLineBads,
    OutputVoltage,
    OutputVoltageNominal,
    OutputFrequency,
    OutputFrequencyNominal,
    OutputCurrent,
    SelfTestAt,
    Alarms,
    ShutdownTimer,
    StartupTimer,
    ShutdownDelay,
}

/// Which conductor a number belongs to, as `1`, `L1` or `L1-N`; absent where the UPS has one.
pub type Phase = Option<Label>;

/// The numbers that are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values(BTreeMap<(Quantity, Phase), f64>);

/// A three-phase UPS with its line-to-line voltages has nine; more is not a UPS.
const MAX_PHASES: usize = 12;
/// Beyond it a number is a sentinel or nonsense, whatever it measures: the year 9999 in seconds is below it.
const LARGEST: f64 = 1e12;

impl Quantity {
    pub const ALL: [Self; 38] = [
        Self::BatteryCharge,
        Self::BatteryChargeLow,
        Self::BatteryChargeWarning,
        Self::BatteryRuntime,
        Self::BatteryRuntimeLow,
        Self::BatteryVoltage,
        Self::BatteryVoltageNominal,
        Self::BatteryCurrent,
        Self::BatteryTemperature,
        Self::BatteryReplacedAt,
        Self::BatteryManufacturedAt,
        Self::OnBattery,
        Self::OnBatteryCumulative,
        Self::BatteryTransfers,
        Self::Temperature,
        Self::Load,
        Self::RealPower,
        Self::RealPowerNominal,
        Self::ApparentPower,
        Self::ApparentPowerNominal,
        Self::InputVoltage,
        Self::InputVoltageNominal,
        Self::InputFrequency,
        Self::InputFrequencyNominal,
        Self::InputCurrent,
        Self::InputTransferLow,
        Self::InputTransferHigh,
        Self::InputLineBads,
        Self::OutputVoltage,
        Self::OutputVoltageNominal,
        Self::OutputFrequency,
        Self::OutputFrequencyNominal,
        Self::OutputCurrent,
        Self::SelfTestAt,
        Self::Alarms,
        Self::ShutdownTimer,
        Self::StartupTimer,
        Self::ShutdownDelay,
    ];

    /// Whether a number can be one of this quantity: a charge of 500 % or a load of -1 is no sample.
    fn admits(self, value: f64) -> bool {
        let range = match self {
            Self::BatteryCharge | Self::BatteryChargeLow | Self::BatteryChargeWarning => 0.0..=1.0,
            // An overloaded UPS says so with more than 1.
            Self::Load => 0.0..=10.0,
            // Discharging, or feeding back.
            Self::BatteryCurrent | Self::InputCurrent | Self::OutputCurrent => -LARGEST..=LARGEST,
            Self::BatteryTemperature | Self::Temperature => -100.0..=300.0,
            Self::RealPower => -LARGEST..=LARGEST,
            _ => 0.0..=LARGEST,
        };
        range.contains(&value)
    }
}

impl Values {
    /// Takes a number unless it cannot be one of its quantity; what is infinite or no number cannot.
    pub fn put(&mut self, quantity: Quantity, value: f64) {
        self.put_at(quantity, None, value);
    }

    /// The same for one phase.
    pub fn put_at(&mut self, quantity: Quantity, phase: Phase, value: f64) {
        let phases = || self.0.range((quantity, None)..).take_while(|((q, _), _)| *q == quantity).count();
        if quantity.admits(value) && phases() < MAX_PHASES {
            self.0.insert((quantity, phase), value);
        }
    }

    /// The number without a phase.
    pub fn of(&self, quantity: Quantity) -> Option<f64> {
        self.0.get(&(quantity, None)).copied()
    }

    /// The number in every phase.
    pub fn each(&self, quantity: Quantity) -> impl Iterator<Item = (Option<&Label>, f64)> {
        self.0
            .range((quantity, None)..)
            .take_while(move |((q, _), _)| *q == quantity)
            .map(|((_, phase), value)| (phase.as_ref(), *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_cannot_be_is_no_sample() {
        let mut values = Values::default();
        for (quantity, value) in [
            (Quantity::BatteryCharge, 5.0),
            (Quantity::BatteryCharge, -0.01),
            (Quantity::BatteryRuntime, f64::NAN),
            (Quantity::BatteryRuntime, f64::INFINITY),
            (Quantity::ShutdownTimer, -1.0),
        ] {
            values.put(quantity, value);
            assert_eq!(values.of(quantity), None, "{quantity:?} {value}");
        }
        values.put(Quantity::BatteryCurrent, -3.5);
        assert_eq!(values.of(Quantity::BatteryCurrent), Some(-3.5));
    }

    #[test]
    fn phases_are_bounded_and_kept_apart() {
        let mut values = Values::default();
        for phase in 0..1000 {
            values.put_at(Quantity::InputVoltage, Some(Label::new(&phase.to_string())), 230.0);
        }
        values.put(Quantity::InputVoltageNominal, 230.0);
        assert_eq!(values.each(Quantity::InputVoltage).count(), MAX_PHASES);
        assert_eq!(values.each(Quantity::InputVoltageNominal).count(), 1);
    }

    #[test]
    fn every_quantity_is_listed_once_in_its_order() {
        for (index, quantity) in Quantity::ALL.into_iter().enumerate() {
            assert_eq!(quantity as usize, index, "{quantity:?}");
        }
    }
}
