//! What a log's events, taken together, say of now.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::event::{Event, Kind};
use crate::shutdown::{Evidence, Sign};
use crate::snapshot::Label;
use crate::ups::{Trigger, Triggers};

/// A clock that is being corrected goes back by less; an event of a later time than that is from before a jump, and nobody
/// knows when it was.
const SKEW: SignedDuration = SignedDuration::from_mins(1);

/// What the agent last knew, and whether it took its host down.
#[derive(Debug, Default)]
struct State {
    /// The agent is at work and has said something.
    speaks: bool,
    standing: BTreeSet<Kind>,
    /// Why the first shutdown was begun, and when the last one.
    begun: Option<(Kind, Timestamp)>,
}

/// Folds events in the order in which they were written, which no clock can disturb. Those of another boot say nothing of
/// this one; none at all when nothing is left. That a shutdown was begun stands beside what the agent knows now.
pub(super) fn fold(events: &[Event], booted_at: Timestamp, now: Timestamp) -> Vec<Evidence> {
    let latest = now.checked_add(SKEW).unwrap_or(now);
    let mut state = State::default();
    for event in events.iter().filter(|event| (booted_at..=latest).contains(&event.at)) {
        state.take(*event);
    }
    state.evidence()
}

impl State {
    fn take(&mut self, event: Event) {
        self.speaks = true;
        match event.kind {
            Kind::OnBattery | Kind::LowBattery | Kind::LowRuntime | Kind::TimeOnBattery | Kind::CommunicationLost => {
                self.set(event.kind, event.active);
                if event.kind == Kind::OnBattery && !event.active {
                    self.back_on_mains();
                }
            }
            Kind::NoLongerOnBattery if event.active => self.back_on_mains(),
            Kind::CommunicationEstablished if event.active => self.set(Kind::CommunicationLost, false),
            // Nothing calls it off: it goes on when the power is back, and until the next boot.
            Kind::ShutdownStarted if event.active => {
                let why = self.begun.map_or_else(|| self.worst().unwrap_or(Kind::ShutdownStarted), |(why, _)| why);
                self.begun = Some((why, event.at));
            }
            // It tells anew how things stand.
            Kind::MonitoringStarted if event.active => self.standing.clear(),
            Kind::MonitoringStopped if event.active => {
                self.standing.clear();
                self.speaks = false;
            }
            // What is over without having been a state says nothing.
            Kind::NoLongerOnBattery
            | Kind::CommunicationEstablished
            | Kind::ShutdownStarted
            | Kind::MonitoringStarted
            | Kind::MonitoringStopped => {}
        }
    }

    fn set(&mut self, kind: Kind, stands: bool) {
        if stands {
            self.standing.insert(kind);
        } else {
            self.standing.remove(&kind);
        }
    }

    /// A battery that is still low is being charged: it threatens nothing.
    fn back_on_mains(&mut self) {
        for kind in [Kind::OnBattery, Kind::LowBattery, Kind::LowRuntime, Kind::TimeOnBattery] {
            self.standing.remove(&kind);
        }
    }

    /// Of what stands, what is nearest to a shutdown.
    fn worst(&self) -> Option<Kind> {
        let order = [Kind::TimeOnBattery, Kind::LowRuntime, Kind::LowBattery, Kind::OnBattery, Kind::CommunicationLost];
        order.into_iter().find(|kind| self.standing.contains(kind))
    }

    fn evidence(&self) -> Vec<Evidence> {
        let told = |sign, cause: Option<Kind>| Evidence {
            triggers: cause.map(|_| Trigger::PowerchuteEvent).into_iter().collect::<Triggers>(),
            cause: cause.map(|kind| Label::new(kind.name())),
            ..Evidence::new(sign)
        };
        let begun = self.begun.map(|(why, at)| Evidence { begun_at: Some(at), ..told(Sign::InProgress, Some(why)) });
        let worst = self.worst();
        let stands = match worst {
            Some(Kind::TimeOnBattery) => Some(told(Sign::Pending, worst)),
            Some(Kind::LowRuntime | Kind::LowBattery) => Some(told(Sign::LowBattery, None)),
            Some(Kind::OnBattery) => Some(told(Sign::OnBattery, None)),
            Some(Kind::CommunicationLost) => Some(told(Sign::CommsLost, None)),
            _ if self.speaks => Some(told(Sign::Normal, None)),
            _ => None,
        };
        begun.into_iter().chain(stands).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, proptest};
    use proptest::sample::select;
    use proptest::{prop_assert_eq, prop_assume};

    use super::*;

    const BOOT: i64 = 1_800_000_000;
    const NOW: i64 = BOOT + 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn event(second: i64, kind: Kind, active: bool) -> Event {
        Event { at: at(second), kind, active }
    }

    /// What is nearest to a shutdown.
    fn worst(events: &[Event]) -> Option<Evidence> {
        fold(events, at(BOOT), at(NOW)).into_iter().max_by_key(|evidence| evidence.sign)
    }

    /// The sign after these began (`true`) or were over, one after the other.
    fn sign(kinds: &[(bool, Kind)]) -> Option<Sign> {
        let events: Vec<_> =
            (1..).zip(kinds).map(|(after, (active, kind))| event(BOOT + after, *kind, *active)).collect();
        worst(&events).map(|evidence| evidence.sign)
    }

    #[test]
    fn an_outage_is_followed_from_the_first_event_to_the_last() {
        let story = [
            (Kind::MonitoringStarted, Sign::Normal),
            (Kind::CommunicationEstablished, Sign::Normal),
            (Kind::OnBattery, Sign::OnBattery),
            (Kind::LowBattery, Sign::LowBattery),
            (Kind::TimeOnBattery, Sign::Pending),
            (Kind::ShutdownStarted, Sign::InProgress),
            (Kind::NoLongerOnBattery, Sign::InProgress),
            (Kind::MonitoringStopped, Sign::InProgress),
        ];
        for end in 1..=story.len() {
            let kinds: Vec<_> = story[..end].iter().map(|(kind, _)| (true, *kind)).collect();
            assert_eq!(sign(&kinds), Some(story[end - 1].1), "after {:?}", kinds.last());
        }
    }

    #[test]
    fn what_is_over_no_longer_stands() {
        let on_battery = (true, Kind::OnBattery);
        assert_eq!(sign(&[on_battery, (true, Kind::NoLongerOnBattery)]), Some(Sign::Normal));
        assert_eq!(sign(&[on_battery, (true, Kind::LowBattery), (false, Kind::OnBattery)]), Some(Sign::Normal));
        assert_eq!(
            sign(&[on_battery, (true, Kind::TimeOnBattery), (false, Kind::TimeOnBattery)]),
            Some(Sign::OnBattery)
        );
        assert_eq!(sign(&[on_battery, (false, Kind::NoLongerOnBattery)]), Some(Sign::OnBattery));
        let lost = (true, Kind::CommunicationLost);
        assert_eq!(sign(&[lost]), Some(Sign::CommsLost));
        assert_eq!(sign(&[lost, (true, Kind::CommunicationEstablished)]), Some(Sign::Normal));
        assert_eq!(sign(&[lost, (false, Kind::CommunicationLost)]), Some(Sign::Normal));
        assert_eq!(sign(&[on_battery, lost]), Some(Sign::OnBattery), "the agent counts on from what it knew");
    }

    #[test]
    fn an_agent_that_starts_anew_tells_anew_and_one_that_has_stopped_says_nothing() {
        assert_eq!(sign(&[(true, Kind::OnBattery), (true, Kind::MonitoringStarted)]), Some(Sign::Normal));
        assert_eq!(sign(&[(true, Kind::OnBattery), (true, Kind::MonitoringStopped)]), None);
        assert_eq!(sign(&[]), None);
    }

    #[test]
    fn the_cause_is_what_stood_when_the_shutdown_was_begun() {
        let events = [
            event(BOOT + 1, Kind::OnBattery, true),
            event(BOOT + 2, Kind::LowRuntime, true),
            event(BOOT + 3, Kind::ShutdownStarted, true),
            event(BOOT + 4, Kind::NoLongerOnBattery, true),
        ];
        let evidence = worst(&events).expect("it is in progress");
        assert_eq!(evidence.cause, Some(Label::new("Low Runtime Remaining")));
        assert_eq!(evidence.triggers, Triggers::from([Trigger::PowerchuteEvent]));
        let evidence = worst(&events[2..3]).expect("it is in progress");
        assert_eq!(evidence.cause, Some(Label::new("Graceful Shutdown Started")));
        assert!(worst(&events[..2]).is_some_and(|it| it.triggers.is_empty() && it.cause.is_none()));
    }

    #[test]
    fn a_shutdown_of_the_boot_before_or_of_a_time_to_come_is_not_in_progress() {
        for second in [BOOT - 1, BOOT - 86_400, 0, NOW + 61, NOW + 86_400] {
            assert_eq!(worst(&[event(second, Kind::ShutdownStarted, true)]), None, "{second}");
        }
        for second in [BOOT, NOW, NOW + 60] {
            let evidence = worst(&[event(second, Kind::ShutdownStarted, true)]);
            assert_eq!(evidence.map(|it| it.sign), Some(Sign::InProgress), "{second}");
        }
    }

    /// Holds R6: a person may clear what had begun; so it says when that was, and what stands now is told beside it.
    #[test]
    fn what_had_begun_says_when_and_hides_nothing_of_now() {
        let events = [
            event(BOOT + 3, Kind::ShutdownStarted, true),
            event(BOOT + 4, Kind::MonitoringStarted, true),
            event(BOOT + 5, Kind::OnBattery, true),
        ];
        let told: Vec<_> =
            fold(&events, at(BOOT), at(NOW)).into_iter().map(|evidence| (evidence.sign, evidence.begun_at)).collect();
        assert_eq!(told, [(Sign::InProgress, Some(at(BOOT + 3))), (Sign::OnBattery, None)]);
        let again = [&events[..], &[event(BOOT + 9, Kind::ShutdownStarted, true)]].concat();
        assert_eq!(worst(&again).and_then(|evidence| evidence.begun_at), Some(at(BOOT + 9)), "the last of them counts");
    }

    fn any_event(seconds: std::ops::Range<i64>) -> impl Strategy<Value = Event> {
        (seconds, select(&Kind::ALL[..]), any::<bool>()).prop_map(|(second, kind, active)| event(second, kind, active))
    }

    proptest! {
        #[test]
        fn once_begun_it_is_in_progress_whatever_follows(
            before in proptest::collection::vec(any_event(BOOT..NOW), 0..20),
            after in proptest::collection::vec(any_event(0..2 * BOOT), 0..20),
        ) {
            let events = [&before[..], &[event(BOOT + 7, Kind::ShutdownStarted, true)], &after[..]].concat();
            prop_assert_eq!(worst(&events).map(|it| it.sign), Some(Sign::InProgress));
        }

        #[test]
        fn what_was_before_the_boot_changes_nothing(
            now in proptest::collection::vec(any_event(BOOT..NOW), 0..20),
            before in proptest::collection::vec(any_event(0..BOOT), 1..20),
            place in 0_usize..20,
        ) {
            prop_assume!(place <= now.len());
            let mixed = [&now[..place], &before[..], &now[place..]].concat();
            prop_assert_eq!(fold(&mixed, at(BOOT), at(NOW)), fold(&now, at(BOOT), at(NOW)));
        }
    }
}
