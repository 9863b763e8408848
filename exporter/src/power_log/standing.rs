//! How a UPS and a load stand, as far as the log tells it.

use crate::shutdown::{LoadReport, Sign};
use crate::snapshot::UpsSeen;
use crate::ups::UpsFault;

/// What a UPS that answers says of its power, from the mildest to the most severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Power {
    OnLine,
    Testing,
    Off,
    OnBattery,
    LowBattery,
    CountsDown,
    GoesDown,
}

/// What is known of a UPS after one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpsPowerState<'a> {
    Power(Power),
    /// It answers, and says nothing of its power.
    Mute,
    Lost {
        reason: &'static str,
        detail: Option<&'a str>,
    },
}

/// The rank of a UPS that is not heard: worse than one on battery, and not as bad as one whose battery is low.
pub(super) const RANK_LOST: u8 = 4;

impl Power {
    /// The value of the fields `state` and `was`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::OnLine => "on_line",
            Self::Testing => "testing",
            Self::Off => "off",
            Self::OnBattery => "on_battery",
            Self::LowBattery => "low_battery",
            Self::CountsDown => "counts_down",
            Self::GoesDown => "goes_down",
        }
    }

    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::OnLine => "UPS is back on line",
            Self::Testing => "UPS tests its battery",
            Self::Off => "UPS gives no power",
            Self::OnBattery => "UPS is on battery",
            Self::LowBattery => "UPS has a low battery",
            Self::CountsDown => "UPS counts down to a shutdown",
            Self::GoesDown => "UPS announces that a shutdown has begun",
        }
    }

    pub(super) const fn rank(self) -> u8 {
        match self {
            Self::OnLine => 0,
            Self::Testing => 1,
            Self::Off => 2,
            Self::OnBattery => 3,
            Self::LowBattery => 5,
            Self::CountsDown => 6,
            Self::GoesDown => 7,
        }
    }
}

impl<'a> UpsPowerState<'a> {
    /// Judged as the shutdown machine judges it.
    pub(super) fn of(seen: &'a UpsSeen, now: jiff::Timestamp) -> Self {
        if let Err(trouble) = &seen.outcome {
            return Self::Lost { reason: trouble.reason.as_str(), detail: Some(trouble.message.as_str()) };
        }
        match seen.origin_status(now).worst() {
            None => Self::Mute,
            Some(Sign::CommsLost) => Self::Lost { reason: UpsFault::CommLost.as_str(), detail: None },
            Some(Sign::Normal | Sign::Cancelled | Sign::Scheduled) => Self::Power(Power::OnLine),
            Some(Sign::Testing) => Self::Power(Power::Testing),
            Some(Sign::Off) => Self::Power(Power::Off),
            Some(Sign::OnBattery) => Self::Power(Power::OnBattery),
            Some(Sign::LowBattery) => Self::Power(Power::LowBattery),
            Some(Sign::Pending) => Self::Power(Power::CountsDown),
            Some(Sign::InProgress) => Self::Power(Power::GoesDown),
        }
    }
}

/// How many UPSes a load does without, and whether it needs one of those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lack {
    pub(super) is_short: bool,
    pub(super) missing: usize,
}

impl Lack {
    pub(super) const fn of(load: &LoadReport) -> Self {
        Self { is_short: load.healthy < load.min_healthy, missing: load.members.saturating_sub(load.healthy) }
    }

    pub(super) const fn message(self) -> &'static str {
        match (self.is_short, self.missing) {
            (true, _) => "load has fewer healthy UPSes than it needs",
            (false, 0) => "all UPSes of the load are healthy again",
            (false, _) => "load has enough healthy UPSes, but not all of them",
        }
    }

    pub(super) const fn rank(self) -> u8 {
        match (self.is_short, self.missing) {
            (true, _) => 2,
            (false, 0) => 0,
            (false, _) => 1,
        }
    }
}
