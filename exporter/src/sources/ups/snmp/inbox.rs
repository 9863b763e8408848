//! What traps have told of one UPS, until its agent has been asked, and a while longer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::label::Label;

/// An agent sends the trap before it answers the new state; for that long a trap outweighs an answer.
const SETTLES: Duration = Duration::from_secs(5);

/// One thing that a trap tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TrapEvent {
    /// PowerChute has begun to shut its host down.
    Critical(Option<Label>),
    CommsLost,
    CommsBack,
    /// One of RFC 1628's alarms.
    AlarmAdded(u32),
    AlarmRemoved(u32),
    /// Something happened; what it is, a look will tell. That a critical event is resolved is one of these: the shutdown goes on.
    Other,
}

impl TrapEvent {
    /// For the log.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Critical(_) => "critical",
            Self::CommsLost => "comms_lost",
            Self::CommsBack => "comms_back",
            Self::AlarmAdded(_) => "alarm_added",
            Self::AlarmRemoved(_) => "alarm_removed",
            Self::Other => "other",
        }
    }
}

/// What holds by the traps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TrapState {
    /// With what PowerChute names as the cause.
    pub(super) critical: Option<Option<Label>>,
    pub(super) comms_lost: bool,
    pub(super) alarms: BTreeSet<u32>,
}

/// Shared between whoever receives traps and whoever asks the agent.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// For how long a trap holds while the agent cannot be asked.
    holds: Duration,
    kept: Mutex<KeptTrap>,
}

#[derive(Debug, Default)]
struct KeptTrap {
    critical: Option<(Instant, Option<Label>)>,
    comms_lost: Option<Instant>,
    alarms: BTreeMap<u32, Instant>,
}

impl Inbox {
    pub(super) fn new(holds: Duration) -> Self {
        Self { holds, kept: Mutex::default() }
    }

    pub(crate) fn note(&self, event: TrapEvent, now: Instant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            TrapEvent::Critical(cause) => kept.critical = Some((now, cause)),
            TrapEvent::CommsLost => kept.comms_lost = Some(now),
            TrapEvent::CommsBack => kept.comms_lost = None,
            TrapEvent::AlarmAdded(number) => _ = kept.alarms.insert(number, now),
            TrapEvent::AlarmRemoved(number) => _ = kept.alarms.remove(&number),
            TrapEvent::Other => {}
        }
    }

    /// What still holds. Once the agent has answered, its answer replaces what traps said before it, except that a shutdown
    /// that has begun goes on.
    pub(super) fn told(&self, answered: bool, now: Instant) -> TrapState {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = if answered { SETTLES.min(self.holds) } else { self.holds };
        let young = |at: &Instant, holds| now.saturating_duration_since(*at) < holds;
        kept.critical = kept.critical.take().filter(|(at, _)| young(at, self.holds));
        kept.comms_lost = kept.comms_lost.filter(|at| young(at, holds));
        kept.alarms.retain(|_, at| young(at, holds));
        TrapState {
            critical: kept.critical.as_ref().map(|(_, cause)| cause.clone()),
            comms_lost: kept.comms_lost.is_some(),
            alarms: kept.alarms.keys().copied().collect(),
        }
    }
}

impl TrapState {
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDS: Duration = Duration::from_secs(30);

    #[test]
    fn a_trap_holds_while_the_agent_is_silent_and_no_longer_than_it_may() {
        let (inbox, now) = (Inbox::new(HOLDS), Instant::now());
        inbox.note(TrapEvent::AlarmAdded(2), now);
        inbox.note(TrapEvent::CommsLost, now);
        let told = inbox.told(false, now + Duration::from_secs(29));
        assert!(told.comms_lost && told.alarms == BTreeSet::from([2]));
        assert!(inbox.told(false, now + HOLDS).is_nothing());
    }

    #[test]
    fn an_answer_replaces_what_a_trap_said_before_but_not_a_shutdown_that_has_begun() {
        let (inbox, now) = (Inbox::new(HOLDS), Instant::now());
        inbox.note(TrapEvent::AlarmAdded(2), now);
        inbox.note(TrapEvent::Critical(Some(Label::new("On battery"))), now);
        assert_eq!(inbox.told(true, now + Duration::from_millis(3)).alarms, BTreeSet::from([2]));
        let told = inbox.told(true, now + SETTLES);
        assert_eq!((told.alarms.len(), told.critical), (0, Some(Some(Label::new("On battery")))));
    }

    #[test]
    fn what_a_trap_ends_is_over_and_resolved_ends_no_shutdown() {
        let (inbox, now) = (Inbox::new(HOLDS), Instant::now());
        for event in [TrapEvent::AlarmAdded(2), TrapEvent::CommsLost, TrapEvent::Critical(None)] {
            inbox.note(event, now);
        }
        for event in [TrapEvent::AlarmRemoved(2), TrapEvent::CommsBack, TrapEvent::Other] {
            inbox.note(event, now);
        }
        assert_eq!(inbox.told(false, now), TrapState { critical: Some(None), ..TrapState::default() });
    }
}
