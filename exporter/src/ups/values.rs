//! The numbers that one answer gives, and how many it gives that cannot be.

use std::collections::BTreeMap;

use super::Quantity;
use crate::label::Label;

/// Which conductor a number belongs to, as `1`, `L1` or `L1-N`; absent where the UPS has one.
pub type PhaseLabel = Option<Label>;

/// The numbers that are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    numbers: BTreeMap<(Quantity, PhaseLabel), f64>,
    refused: BTreeMap<Quantity, u32>,
}

/// A three-phase UPS with its line-to-line voltages has nine; more is not a UPS.
const MAX_PHASES: usize = 12;

impl Values {
    /// Takes a number; what cannot be one of its quantity is counted instead, the infinite and what is no number too.
    pub fn put(&mut self, quantity: Quantity, value: f64) {
        self.put_at(quantity, None, value);
    }

    /// The same where nothing more precise is there.
    pub fn put_unless_known(&mut self, quantity: Quantity, value: f64) {
        if self.of(quantity).is_none() {
            self.put(quantity, value);
        }
    }

    /// The same for one phase.
    pub fn put_at(&mut self, quantity: Quantity, phase: PhaseLabel, value: f64) {
        self.takes(quantity, phase, value);
    }

    /// The same, with whether it was taken.
    pub fn takes(&mut self, quantity: Quantity, phase: PhaseLabel, value: f64) -> bool {
        let Some(value) = quantity.admitted(value) else {
            self.refuse(quantity);
            return false;
        };
        if self.each(quantity).count() < MAX_PHASES {
            self.numbers.insert((quantity, phase), value);
        }
        true
    }

    /// Counts a number that was given and is not taken: no UPS can have it, as things stand with this one.
    pub fn refuse(&mut self, quantity: Quantity) {
        let count = self.refused.entry(quantity).or_default();
        *count = count.saturating_add(1);
    }

    /// Takes the number without a phase back.
    pub fn withdraw(&mut self, quantity: Quantity) {
        if self.numbers.remove(&(quantity, None)).is_some() {
            self.refuse(quantity);
        }
    }

    /// The number without a phase.
    pub fn of(&self, quantity: Quantity) -> Option<f64> {
        self.numbers.get(&(quantity, None)).copied()
    }

    /// The number in every phase.
    pub fn each(&self, quantity: Quantity) -> impl Iterator<Item = (Option<&Label>, f64)> {
        self.numbers
            .range((quantity, None)..)
            .take_while(move |((q, _), _)| *q == quantity)
            .map(|((_, phase), value)| (phase.as_ref(), *value))
    }

    /// How many numbers of each quantity were not taken.
    pub fn refused(&self) -> impl Iterator<Item = (Quantity, u32)> {
        self.refused.iter().map(|(quantity, count)| (*quantity, *count))
    }

    /// What stands in `phases`, where anything does, in the place of what is here for all of them.
    pub fn replace_by_phase(&mut self, phases: Self) {
        let by_phase: std::collections::BTreeSet<Quantity> =
            phases.numbers.keys().map(|(quantity, _)| *quantity).collect();
        self.numbers.retain(|(quantity, _), _| !by_phase.contains(quantity));
        self.numbers.extend(phases.numbers);
        for (quantity, count) in phases.refused {
            let here = self.refused.entry(quantity).or_default();
            *here = here.saturating_add(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds R3.
    #[test]
    fn a_number_that_cannot_be_is_no_sample_and_is_counted() {
        let mut values = Values::default();
        for value in [65_535.0 * 60.0, -1.0, f64::NAN] {
            values.put(Quantity::BatteryRuntime, value);
            assert_eq!(values.of(Quantity::BatteryRuntime), None, "{value}");
        }
        values.put(Quantity::BatteryCurrent, -3.5);
        assert_eq!(values.of(Quantity::BatteryCurrent), Some(-3.5));
        assert_eq!(values.refused().collect::<Vec<_>>(), [(Quantity::BatteryRuntime, 3)]);
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
    fn what_is_known_by_phase_stands_for_the_one_number_and_both_are_counted() {
        let (mut whole, mut phases) = (Values::default(), Values::default());
        whole.put(Quantity::Load, 0.15);
        whole.put(Quantity::Temperature, 20.0);
        whole.put(Quantity::InputVoltage, 65_535.0);
        phases.put_at(Quantity::Load, Some(Label::new("1")), 0.1);
        phases.put_at(Quantity::InputVoltage, Some(Label::new("2")), -1.0);
        whole.replace_by_phase(phases);
        assert_eq!(whole.each(Quantity::Load).collect::<Vec<_>>(), [(Some(&Label::new("1")), 0.1)]);
        assert_eq!(whole.of(Quantity::Temperature), Some(20.0));
        assert_eq!(whole.refused().collect::<Vec<_>>(), [(Quantity::InputVoltage, 2)]);
    }
}
