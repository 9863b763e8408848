//! Which shutdowns are planned, and whether one was called off or its time came.

use jiff::Timestamp;

use super::{Evidence, Sign};

/// What is planned now. Several sources tell of one plan, so that plans are told apart by their kind alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Plans {
    /// By a person or a program.
    schedule: Option<Plan>,
    /// By a UPS, or who minds it.
    countdown: Option<Plan>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    /// The last time at which it may be carried out; none when nobody said it.
    until: Option<Timestamp>,
}

/// Of a plan whose end was seen.
const CARRIED_OUT: Option<Timestamp> = Some(Timestamp::MIN);

impl Plans {
    pub(super) fn of<'a>(evidence: impl Iterator<Item = &'a Evidence>) -> Self {
        let mut plans = Self::default();
        for item in evidence {
            match item.sign {
                Sign::Scheduled => Plan { until: item.end() }.add_to(&mut plans.schedule),
                Sign::Pending => Plan { until: item.deadline }.add_to(&mut plans.countdown),
                // The UPS has carried it out: when it gives power again, nobody has called anything off.
                Sign::Off => Plan { until: CARRIED_OUT }.add_to(&mut plans.countdown),
                Sign::Normal
                | Sign::Testing
                | Sign::Cancelled
                | Sign::CommsLost
                | Sign::OnBattery
                | Sign::LowBattery
                | Sign::InProgress => {}
            }
        }
        plans
    }

    pub(super) const fn is_scheduled(&self) -> bool {
        self.schedule.is_some()
    }

    /// Whether nothing is ahead: what a UPS has carried out is no plan any more.
    pub(super) fn is_empty(&self) -> bool {
        let is_ahead = |plan: Option<Plan>| plan.is_some_and(|plan| plan.until != CARRIED_OUT);
        !is_ahead(self.schedule) && !is_ahead(self.countdown)
    }

    /// Whether a plan is gone before its time. One whose time has come was carried out, or nobody will.
    pub(super) fn were_withdrawn(&self, after: &Self, now: Timestamp) -> bool {
        let gone = |before: Option<Plan>, after: Option<Plan>| {
            after.is_none() && before.is_some_and(|plan| plan.until.is_none_or(|until| until > now))
        };
        gone(self.schedule, after.schedule) || gone(self.countdown, after.countdown)
    }
}

impl Plan {
    fn add_to(self, place: &mut Option<Self>) {
        *place = match *place {
            None => Some(self),
            Some(other) => Some(Self { until: self.until.zip(other.until).map(|(a, b)| a.max(b)) }),
        };
    }
}
