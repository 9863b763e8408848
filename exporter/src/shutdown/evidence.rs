//! What one source says, at one time, of the host's power and of its going down.

use jiff::Timestamp;

use crate::label::Label;
use crate::platform::Scheduled;
use crate::ups::ShutdownTriggers;

/// What one source says now.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    pub sign: Sign,
    pub about: About,
    pub triggers: ShutdownTriggers,
    /// When the power or the host is expected to go.
    pub deadline: Option<Timestamp>,
    pub scheduled: Option<Scheduled>,
    /// In the words of whoever set it off.
    pub cause: Option<Label>,
    /// When what has begun had begun, where the source knows it: a person may have cleared it since.
    pub begun_at: Option<Timestamp>,
    /// The source knows whether a shutdown has begun, and says that none has.
    pub denies: bool,
    /// It is on line, and nothing stands where a countdown would.
    pub gives_mains: bool,
}

/// What evidence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The host itself: who shuts it down has said so.
    Host,
    /// The power that one UPS gives it.
    Feed,
}

/// The state that one source would have alone, from the mildest to the most severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// On line and nothing planned.
    Normal,
    /// A self-test or a calibration runs on the battery: no outage.
    Testing,
    /// A shutdown that was planned was called off.
    Cancelled,
    /// The agent or driver no longer hears its UPS.
    CommsLost,
    /// The UPS says that it gives no power. The host that hears it has power: this says nothing of the host.
    Off,
    /// The system is to go down at a time that somebody chose.
    Scheduled,
    OnBattery,
    LowBattery,
    /// The UPS, or who minds it, counts down.
    Pending,
    /// It has begun.
    InProgress,
}

impl Evidence {
    /// Of the host, and nothing but the sign.
    pub const fn new(sign: Sign) -> Self {
        Self {
            sign,
            about: About::Host,
            triggers: ShutdownTriggers::new(),
            deadline: None,
            scheduled: None,
            cause: None,
            begun_at: None,
            denies: false,
            gives_mains: false,
        }
    }

    /// Whether it takes part in the state: not a plan that nobody will carry out, nor one that nobody has.
    pub(super) fn counts(&self, now: Timestamp) -> bool {
        match self.scheduled {
            Some(plan) if self.sign == Sign::Scheduled => !plan.dry_run && plan.is_current(now),
            Some(_) | None => true,
        }
    }

    /// When the host or its power goes, by this evidence.
    pub(super) fn end(&self) -> Option<Timestamp> {
        let scheduled = self.scheduled.filter(|plan| !plan.dry_run).map(|plan| plan.at);
        self.deadline.into_iter().chain(scheduled).min()
    }
}
