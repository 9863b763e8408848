//! One answer of one UPS.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Alarms, Quantity, Statuses, Timer, Triggers, Values};
use crate::label::Label;

/// Everything a UPS said at one time. What it did not say is empty or absent, never zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    pub identity: Identity,
    pub statuses: Statuses,
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
    /// What has set a shutdown off, or is about to.
    pub triggers: Triggers,
    /// What the agent names as the cause, such as `pcbeCriticalCause`.
    pub cause: Option<Label>,
    /// The backend's own names and texts, for the metrics of other exporters.
    pub raw: Raw,
}

/// Names of the backend (`ups.status`, `BCHARGE`) with their texts; at most [`Reading::MAX_RAW`].
pub type Raw = BTreeMap<Arc<str>, Arc<str>>;

/// Who the UPS is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub manufacturer: Option<Label>,
    pub model: Option<Label>,
    pub serial: Option<Label>,
    pub firmware: Option<Label>,
    pub driver: Option<Label>,
    pub driver_version: Option<Label>,
    pub description: Option<Label>,
    pub location: Option<Label>,
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
}

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

impl TransferDirection {
    /// The label value `direction`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnBattery => "on_battery",
            Self::OffBattery => "off_battery",
        }
    }
}
