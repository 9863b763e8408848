//! One answer of one UPS.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Alarms, Quantity, ShutdownTriggers, Status, Statuses, Timer, Values, contradicts_itself, is_on_line, meaning,
};
use crate::label::Label;

/// Everything a UPS said at one time. What it did not say is empty or absent, never zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    pub identity: UpsIdentity,
    pub statuses: Statuses,
    /// It said states that exclude each other, of which several signals have left one.
    pub is_decided: bool,
    /// Status words and enum numbers that no table of ours knows, as they came; at most [`Reading::MAX_UNKNOWN`].
    pub unknown: Vec<Label>,
    pub values: Values,
    /// What stands where countdowns would, as it came. [`super::Countdowns`] makes values of those that run, and leaves none.
    pub timers: BTreeMap<Quantity, Timer>,
    /// A number stands where the countdown to a shutdown would, and it is not known yet whether it moves.
    pub may_count_down: bool,
    /// When the UPS last went onto its battery, and off it.
    pub transfers: BTreeMap<TransferDirection, Timestamp>,
    /// Why it last went onto its battery, in the backend's own words.
    pub transfer_cause: Option<Label>,
    pub self_test: Option<SelfTest>,
    /// Alarms that stand, in `snake_case` where the backend has a table; at most [`Reading::MAX_ALARMS`].
    pub alarms: Alarms,
    /// Names of alarms that name none, such as `(null)`.
    pub nameless_alarms: u32,
    /// Outlets and groups of them that the UPS switches, as `1` or `group.1`, and whether they are on; at most
    /// [`Reading::MAX_OUTLETS`].
    pub outlets: BTreeMap<Label, bool>,
    pub beeper: Option<Beeper>,
    /// What has set a shutdown off, or is about to.
    pub triggers: ShutdownTriggers,
    /// What the agent names as the cause, such as `pcbeCriticalCause`.
    pub cause: Option<Label>,
    /// The backend's own names and texts, for the metrics of other exporters.
    pub raw: Raw,
}

/// Names of the backend (`ups.status`, `BCHARGE`) with their texts; at most [`Reading::MAX_RAW`].
pub type Raw = BTreeMap<Arc<str>, Arc<str>>;

/// Who the UPS is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpsIdentity {
    pub manufacturer: Option<Label>,
    pub model: Option<Label>,
    pub serial: Option<Label>,
    pub firmware: Option<Label>,
    pub driver: Option<Label>,
    pub driver_version: Option<Label>,
    pub description: Option<Label>,
    pub location: Option<Label>,
    /// The chemistry of its battery, as `PbAc`.
    pub battery_type: Option<Label>,
}

/// How the last self-test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SelfTest {
    Passed,
    Warning,
    Failed,
    Aborted,
    InProgress,
    None,
}

/// Whether the UPS makes itself heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Beeper {
    Enabled,
    Disabled,
    /// Until the next event.
    Muted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransferDirection {
    OnBattery,
    OffBattery,
}

impl Reading {
    /// A UPS has a handful of states; what sends more is not one.
    pub const MAX_UNKNOWN: usize = 16;
    /// RFC 1628 knows 24, vendors some more.
    pub const MAX_ALARMS: usize = 64;
    /// The largest dumps of real devices have some 300 variables.
    pub const MAX_RAW: usize = 512;
    /// A UPS switches a handful; a power strip that NUT minds has up to 48.
    pub const MAX_OUTLETS: usize = 64;

    /// Takes an outlet, or a group of them.
    pub fn switch(&mut self, outlet: &str, on: bool) {
        if self.outlets.len() < Self::MAX_OUTLETS {
            self.outlets.insert(Label::new(outlet), on);
        }
    }

    /// Takes an alarm that stands. False where its name says that there is none: it is counted instead.
    pub fn raise(&mut self, name: &str) -> bool {
        let Some(name) = meaning(name).filter(|name| !NO_ALARM.contains(name)) else {
            self.nameless_alarms = self.nameless_alarms.saturating_add(1);
            return false;
        };
        if self.alarms.len() < Self::MAX_ALARMS {
            self.alarms.insert(Label::new(name));
        }
        true
    }

    /// Whether it said states that exclude each other.
    pub fn contradicts_itself(&self) -> bool {
        self.is_decided || contradicts_itself(&self.statuses)
    }

    /// Takes back what the rest of the answer contradicts, and tells it: on line, with a full battery that nothing is wrong with, a runtime of 0
    /// is how drivers write that they do not know it.
    pub fn withdraw_contradicted(&mut self) -> Option<Quantity> {
        let holds = |statuses: &[Status]| statuses.iter().any(|status| self.statuses.contains(status));
        let spent =
            [Status::OnBattery, Status::LowBattery, Status::BatteryDepleted, Status::ReplaceBattery, Status::NoBattery];
        let full = self.values.of(Quantity::BatteryCharge).is_some_and(|charge| charge >= FULL);
        if is_on_line(&self.statuses) && !holds(&spent) && full && self.values.of(Quantity::BatteryRuntime) == Some(0.0)
        {
            self.values.withdraw(Quantity::BatteryRuntime);
            return Some(Quantity::BatteryRuntime);
        }
        None
    }

    /// In how many seconds the UPS takes its power away, where a countdown runs.
    pub fn power_ends_in(&self) -> Option<f64> {
        let running = Quantity::ALL.into_iter().filter(|quantity| quantity.ends_power());
        running.filter_map(|quantity| self.values.of(quantity)).min_by(f64::total_cmp)
    }

    /// How many readings of each metric were given and are no samples, because no UPS can have them.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let numbers = self.values.refused().map(|(quantity, count)| (quantity.facts().metric, count));
        let alarms = (self.nameless_alarms > 0).then_some((ALARM_METRIC, self.nameless_alarms));
        numbers.chain(alarms)
    }
}

/// How many readings of each metric were refused since the source began.
pub type RefusedReadings = BTreeMap<&'static str, u64>;

/// The metric of the alarms that stand.
pub const ALARM_METRIC: &str = "ups_alarm";
/// What drivers and agents write where no alarm stands, beside the texts that say nothing: zero, and the object that is none.
const NO_ALARM: &[&str] = &["0", "0.0"];
/// Gauges read the last per cent or not.
const FULL: f64 = 0.99;

impl SelfTest {
    pub const ALL: [Self; 6] = [Self::Passed, Self::Warning, Self::Failed, Self::Aborted, Self::InProgress, Self::None];

    /// The label value `result`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::InProgress => "in_progress",
            Self::None => "none",
        }
    }
}

impl Beeper {
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Disabled, Self::Muted];

    /// The label value `status`, and NUT's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Muted => "muted",
        }
    }
}

impl TransferDirection {
    /// The label value `direction`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnBattery => "on_battery",
            Self::OffBattery => "off_battery",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_on_line(statuses: &[Status]) -> Reading {
        let mut reading = Reading { statuses: statuses.iter().copied().collect(), ..Reading::default() };
        reading.values.put(Quantity::BatteryCharge, 1.0);
        reading.values.put(Quantity::BatteryRuntime, 0.0);
        reading.withdraw_contradicted();
        reading
    }

    /// Holds R3.
    #[test]
    fn no_runtime_at_all_on_line_with_a_full_battery_is_no_sample_and_counted() {
        for status in [Status::Online, Status::Trim, Status::Eco] {
            let reading = full_on_line(&[status, Status::Charging]);
            assert_eq!(reading.values.of(Quantity::BatteryRuntime), None);
            assert_eq!(reading.refused().collect::<Vec<_>>(), [("ups_battery_runtime_seconds", 1)]);
        }
    }

    #[test]
    fn a_runtime_of_zero_stands_where_the_battery_may_be_spent() {
        for statuses in [
            &[Status::OnBattery][..],
            &[Status::Online, Status::LowBattery],
            &[Status::Online, Status::ReplaceBattery],
            &[Status::Online, Status::NoBattery],
            &[],
        ] {
            assert_eq!(full_on_line(statuses).values.of(Quantity::BatteryRuntime), Some(0.0), "{statuses:?}");
        }
        let mut half = Reading { statuses: [Status::Online].into(), ..Reading::default() };
        half.values.put(Quantity::BatteryCharge, 0.5);
        half.values.put(Quantity::BatteryRuntime, 0.0);
        half.withdraw_contradicted();
        assert_eq!(half.values.of(Quantity::BatteryRuntime), Some(0.0));
    }

    /// Holds R3.
    #[test]
    fn a_name_of_no_alarm_is_none_and_counted() {
        let mut reading = Reading::default();
        for name in ["(null)", "0", "0.0", " ", "NONE"] {
            assert!(!reading.raise(name), "{name:?}");
        }
        assert!(reading.raise("Fan failure"));
        assert_eq!(reading.alarms, [Label::new("Fan failure")].into());
        assert_eq!(reading.refused().collect::<Vec<_>>(), [("ups_alarm", 5)]);
    }
}
