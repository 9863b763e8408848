//! What a log's events, taken together, say of now.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::event::{LogEvent, LogEventKind};
use crate::shutdown::{Evidence, Sign};
use crate::snapshot::Label;
use crate::ups::{ShutdownTrigger, ShutdownTriggers};

/// A clock that is being corrected goes back by less; of a log that is read first, an event of a later time than that is from
/// before a jump, and nobody knows when it was.
pub(super) const SKEW: SignedDuration = SignedDuration::from_mins(1);

/// What one log has told of this boot so far. An event is judged once, when it is first read: neither a clock that is set nor a
/// log that is emptied or begun anew makes it untold. A later event ends what stands, as does the agent that starts or stops.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// All events that the log had when it was last read.
    read: Vec<LogEvent>,
    state: LastKnown,
}

/// What the agent last knew, and whether it took its host down.
#[derive(Debug, Default)]
struct LastKnown {
    /// The agent is at work and has said something.
    speaks: bool,
    standing: BTreeSet<LogEventKind>,
    /// Why the first shutdown was begun, and when the last one.
    begun: Option<(LogEventKind, Timestamp)>,
}

impl Followed {
    /// Takes what is new in the log, in the order of writing, which no clock can disturb.
    pub(super) fn follow(&mut self, events: &[LogEvent], booted_at: Timestamp, now: Timestamp) {
        for event in of_this_boot(&self.read, events, booted_at, now) {
            self.state.take(*event);
        }
        self.read = events.to_vec();
    }

    /// None at all while nothing was told. That a shutdown was begun stands beside what the agent knows now.
    pub(super) fn evidence(&self) -> Vec<Evidence> {
        self.state.evidence()
    }
}

/// Of a log that goes on from what was read before: what it has beyond that. Of any other: all from the first event on whose time
/// is of this boot.
fn of_this_boot<'a>(
    before: &[LogEvent],
    events: &'a [LogEvent],
    booted_at: Timestamp,
    now: Timestamp,
) -> &'a [LogEvent] {
    // It was cut.
    if events.is_empty() || before.windows(events.len()).any(|read| read == events) {
        return &[];
    }
    // Its oldest events may be gone.
    let known = (1..=before.len().min(events.len())).rev().find(|n| before.ends_with(&events[..*n]));
    let latest = now.checked_add(SKEW).unwrap_or(now);
    let first = || events.iter().position(|event| (booted_at..=latest).contains(&event.at));
    &events[known.or_else(first).unwrap_or(events.len())..]
}

impl LastKnown {
    fn take(&mut self, event: LogEvent) {
        self.speaks = true;
        match event.kind {
            LogEventKind::OnBattery
            | LogEventKind::LowBattery
            | LogEventKind::LowRuntime
            | LogEventKind::TimeOnBattery
            | LogEventKind::ShutdownReported
            | LogEventKind::AdministrativeShutdown
            | LogEventKind::CommunicationLost => {
                self.set(event.kind, event.active);
                if event.kind == LogEventKind::OnBattery && !event.active {
                    self.back_on_mains();
                }
            }
            LogEventKind::NoLongerOnBattery if event.active => self.back_on_mains(),
            LogEventKind::CommunicationEstablished if event.active => self.set(LogEventKind::CommunicationLost, false),
            // Nothing calls it off: it goes on when the power is back, and until the next boot.
            LogEventKind::ShutdownStarted if event.active => {
                let why =
                    self.begun.map_or_else(|| self.worst().unwrap_or(LogEventKind::ShutdownStarted), |(why, _)| why);
                self.begun = Some((why, event.at));
            }
            // It tells anew how things stand.
            LogEventKind::MonitoringStarted if event.active => self.standing.clear(),
            LogEventKind::MonitoringStopped if event.active => {
                // It may stop because its host goes down.
                let goes_down = [LogEventKind::ShutdownReported, LogEventKind::AdministrativeShutdown];
                self.standing.retain(|kind| goes_down.contains(kind));
                self.speaks = false;
            }
            // What is over without having been a state says nothing.
            LogEventKind::NoLongerOnBattery
            | LogEventKind::CommunicationEstablished
            | LogEventKind::ShutdownStarted
            | LogEventKind::MonitoringStarted
            | LogEventKind::MonitoringStopped => {}
        }
    }

    fn set(&mut self, kind: LogEventKind, stands: bool) {
        if stands {
            self.standing.insert(kind);
        } else {
            self.standing.remove(&kind);
        }
    }

    /// A battery that is still low is being charged: it threatens nothing.
    fn back_on_mains(&mut self) {
        let is_not_of_power = [LogEventKind::CommunicationLost, LogEventKind::AdministrativeShutdown];
        self.standing.retain(|kind| is_not_of_power.contains(kind));
    }

    /// Of what stands, what is nearest to a shutdown.
    fn worst(&self) -> Option<LogEventKind> {
        let order = [
            LogEventKind::ShutdownReported,
            LogEventKind::AdministrativeShutdown,
            LogEventKind::TimeOnBattery,
            LogEventKind::LowRuntime,
            LogEventKind::LowBattery,
            LogEventKind::OnBattery,
            LogEventKind::CommunicationLost,
        ];
        order.into_iter().find(|kind| self.standing.contains(kind))
    }

    fn evidence(&self) -> Vec<Evidence> {
        let told = |sign, cause: Option<LogEventKind>| Evidence {
            triggers: cause.map(|_| ShutdownTrigger::PowerchuteEvent).into_iter().collect::<ShutdownTriggers>(),
            cause: cause.map(|kind| Label::new(kind.name())),
            ..Evidence::new(sign)
        };
        let begun = self.begun.map(|(why, at)| Evidence { begun_at: Some(at), ..told(Sign::InProgress, Some(why)) });
        let worst = self.worst();
        let stands = match worst {
            Some(
                LogEventKind::ShutdownReported | LogEventKind::AdministrativeShutdown | LogEventKind::TimeOnBattery,
            ) => Some(told(Sign::Pending, worst)),
            Some(LogEventKind::LowRuntime | LogEventKind::LowBattery) => Some(told(Sign::LowBattery, None)),
            Some(LogEventKind::OnBattery) => Some(told(Sign::OnBattery, None)),
            Some(LogEventKind::CommunicationLost) => Some(told(Sign::CommsLost, None)),
            _ if self.speaks => Some(told(Sign::Normal, None)),
            _ => None,
        };
        begun.into_iter().chain(stands).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, proptest};
    use proptest::prop_assert_eq;
    use proptest::sample::select;

    use super::*;

    const BOOT: i64 = 1_800_000_000;
    const NOW: i64 = BOOT + 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn event(second: i64, kind: LogEventKind, active: bool) -> LogEvent {
        LogEvent { at: at(second), kind, active }
    }

    fn fold(events: &[LogEvent], booted_at: Timestamp, now: Timestamp) -> Vec<Evidence> {
        let mut followed = Followed::default();
        followed.follow(events, booted_at, now);
        followed.evidence()
    }

    /// What is nearest to a shutdown.
    fn worst(events: &[LogEvent]) -> Option<Evidence> {
        fold(events, at(BOOT), at(NOW)).into_iter().max_by_key(|evidence| evidence.sign)
    }

    /// The sign after these began (`true`) or were over, one after the other.
    fn sign(kinds: &[(bool, LogEventKind)]) -> Option<Sign> {
        let events: Vec<_> =
            (1..).zip(kinds).map(|(after, (active, kind))| event(BOOT + after, *kind, *active)).collect();
        worst(&events).map(|evidence| evidence.sign)
    }

    #[test]
    fn a_shutdown_that_a_text_reports_is_pending_until_the_power_is_back_or_the_agent_starts() {
        let outage = [(true, LogEventKind::OnBattery), (true, LogEventKind::ShutdownReported)];
        for (after, told) in [
            (LogEventKind::MonitoringStopped, Sign::Pending),
            (LogEventKind::CommunicationEstablished, Sign::Pending),
            (LogEventKind::NoLongerOnBattery, Sign::Normal),
            (LogEventKind::MonitoringStarted, Sign::Normal),
        ] {
            assert_eq!(sign(&outage), Some(Sign::Pending));
            assert_eq!(sign(&[&outage[..], &[(true, after)]].concat()), Some(told), "{after:?}");
        }
    }

    #[test]
    fn a_shutdown_that_a_person_has_ordered_is_pending_until_it_is_called_off_or_the_agent_starts() {
        let ordered = [(true, LogEventKind::OnBattery), (true, LogEventKind::AdministrativeShutdown)];
        for (active, after, told) in [
            (true, LogEventKind::NoLongerOnBattery, Sign::Pending),
            (true, LogEventKind::MonitoringStopped, Sign::Pending),
            (false, LogEventKind::AdministrativeShutdown, Sign::OnBattery),
            (true, LogEventKind::MonitoringStarted, Sign::Normal),
            (true, LogEventKind::ShutdownStarted, Sign::InProgress),
        ] {
            assert_eq!(sign(&[&ordered[..], &[(active, after)]].concat()), Some(told), "{after:?}");
        }
    }

    #[test]
    fn an_outage_is_followed_from_the_first_event_to_the_last() {
        let story = [
            (LogEventKind::MonitoringStarted, Sign::Normal),
            (LogEventKind::CommunicationEstablished, Sign::Normal),
            (LogEventKind::OnBattery, Sign::OnBattery),
            (LogEventKind::LowBattery, Sign::LowBattery),
            (LogEventKind::TimeOnBattery, Sign::Pending),
            (LogEventKind::ShutdownStarted, Sign::InProgress),
            (LogEventKind::NoLongerOnBattery, Sign::InProgress),
            (LogEventKind::MonitoringStopped, Sign::InProgress),
        ];
        for end in 1..=story.len() {
            let kinds: Vec<_> = story[..end].iter().map(|(kind, _)| (true, *kind)).collect();
            assert_eq!(sign(&kinds), Some(story[end - 1].1), "after {:?}", kinds.last());
        }
    }

    #[test]
    fn what_is_over_no_longer_stands() {
        let on_battery = (true, LogEventKind::OnBattery);
        assert_eq!(sign(&[on_battery, (true, LogEventKind::NoLongerOnBattery)]), Some(Sign::Normal));
        assert_eq!(
            sign(&[on_battery, (true, LogEventKind::LowBattery), (false, LogEventKind::OnBattery)]),
            Some(Sign::Normal)
        );
        assert_eq!(
            sign(&[on_battery, (true, LogEventKind::TimeOnBattery), (false, LogEventKind::TimeOnBattery)]),
            Some(Sign::OnBattery)
        );
        assert_eq!(sign(&[on_battery, (false, LogEventKind::NoLongerOnBattery)]), Some(Sign::OnBattery));
        let lost = (true, LogEventKind::CommunicationLost);
        assert_eq!(sign(&[lost]), Some(Sign::CommsLost));
        assert_eq!(sign(&[lost, (true, LogEventKind::CommunicationEstablished)]), Some(Sign::Normal));
        assert_eq!(sign(&[lost, (false, LogEventKind::CommunicationLost)]), Some(Sign::Normal));
        assert_eq!(sign(&[on_battery, lost]), Some(Sign::OnBattery), "the agent counts on from what it knew");
    }

    #[test]
    fn an_agent_that_starts_anew_tells_anew_and_one_that_has_stopped_says_nothing() {
        assert_eq!(
            sign(&[(true, LogEventKind::OnBattery), (true, LogEventKind::MonitoringStarted)]),
            Some(Sign::Normal)
        );
        assert_eq!(sign(&[(true, LogEventKind::OnBattery), (true, LogEventKind::MonitoringStopped)]), None);
        assert_eq!(sign(&[]), None);
    }

    #[test]
    fn the_cause_is_what_stood_when_the_shutdown_was_begun() {
        let events = [
            event(BOOT + 1, LogEventKind::OnBattery, true),
            event(BOOT + 2, LogEventKind::LowRuntime, true),
            event(BOOT + 3, LogEventKind::ShutdownStarted, true),
            event(BOOT + 4, LogEventKind::NoLongerOnBattery, true),
        ];
        let evidence = worst(&events).expect("it is in progress");
        assert_eq!(evidence.cause, Some(Label::new("Low Runtime Remaining")));
        assert_eq!(evidence.triggers, ShutdownTriggers::from([ShutdownTrigger::PowerchuteEvent]));
        let evidence = worst(&events[2..3]).expect("it is in progress");
        assert_eq!(evidence.cause, Some(Label::new("Graceful Shutdown Started")));
        assert!(worst(&events[..2]).is_some_and(|it| it.triggers.is_empty() && it.cause.is_none()));
    }

    /// A host without a clock of its own begins a day behind; another is ahead, and is put right.
    #[test]
    fn an_outage_stands_when_the_clock_is_set() {
        for (second, day) in [(BOOT - 90_000, 90_000), (BOOT + 600, -600)] {
            let (on_battery, low) =
                (event(second, LogEventKind::OnBattery, true), event(second + 1, LogEventKind::LowBattery, true));
            let mut followed = Followed::default();
            followed.follow(&[on_battery], at(second - 60), at(second + 1));
            followed.follow(&[on_battery, low], at(second - 60 + day), at(second + 2 + day));
            assert_eq!(followed.evidence()[0].sign, Sign::LowBattery);
            let over = event(second + 3 + day, LogEventKind::NoLongerOnBattery, true);
            followed.follow(&[on_battery, low, over], at(second - 60 + day), at(second + 4 + day));
            assert_eq!(followed.evidence()[0].sign, Sign::Normal);
        }
    }

    /// A log that is rotated, cleared, or whose oldest events are dropped says nothing of the power.
    #[test]
    fn an_outage_stands_when_its_log_is_emptied_or_begun_anew() {
        let on_battery = event(BOOT + 1, LogEventKind::OnBattery, true);
        let lost = event(BOOT + 9, LogEventKind::CommunicationLost, true);
        for logs in [&[&[][..], &[]][..], &[&[lost]], &[&[], &[lost]], &[&[on_battery, lost], &[lost]]] {
            let mut followed = Followed::default();
            followed.follow(&[on_battery], at(BOOT), at(NOW));
            for log in logs {
                followed.follow(log, at(BOOT), at(NOW));
            }
            let worst = followed.evidence().into_iter().map(|it| it.sign).max();
            assert_eq!(worst, Some(Sign::OnBattery), "{logs:?}");
        }
    }

    #[test]
    fn of_a_log_that_is_read_first_all_counts_from_the_first_event_of_this_boot_on() {
        let (on_battery, other) =
            (event(BOOT + 1, LogEventKind::OnBattery, true), event(BOOT - 90_000, LogEventKind::LowBattery, true));
        assert_eq!(worst(&[on_battery, other]).map(|it| it.sign), Some(Sign::LowBattery));
        assert_eq!(worst(&[other, on_battery]).map(|it| it.sign), Some(Sign::OnBattery));
    }

    #[test]
    fn a_shutdown_of_the_boot_before_or_of_a_time_to_come_is_not_in_progress() {
        for second in [BOOT - 1, BOOT - 86_400, 0, NOW + 61, NOW + 86_400] {
            assert_eq!(worst(&[event(second, LogEventKind::ShutdownStarted, true)]), None, "{second}");
        }
        for second in [BOOT, NOW, NOW + 60] {
            let evidence = worst(&[event(second, LogEventKind::ShutdownStarted, true)]);
            assert_eq!(evidence.map(|it| it.sign), Some(Sign::InProgress), "{second}");
        }
    }

    /// Holds R6: a person may clear what had begun; so it says when that was, and what stands now is told beside it.
    #[test]
    fn what_had_begun_says_when_and_hides_nothing_of_now() {
        let events = [
            event(BOOT + 3, LogEventKind::ShutdownStarted, true),
            event(BOOT + 4, LogEventKind::MonitoringStarted, true),
            event(BOOT + 5, LogEventKind::OnBattery, true),
        ];
        let told: Vec<_> =
            fold(&events, at(BOOT), at(NOW)).into_iter().map(|evidence| (evidence.sign, evidence.begun_at)).collect();
        assert_eq!(told, [(Sign::InProgress, Some(at(BOOT + 3))), (Sign::OnBattery, None)]);
        let again = [&events[..], &[event(BOOT + 9, LogEventKind::ShutdownStarted, true)]].concat();
        assert_eq!(worst(&again).and_then(|evidence| evidence.begun_at), Some(at(BOOT + 9)), "the last of them counts");
    }

    fn any_event(seconds: std::ops::Range<i64>) -> impl Strategy<Value = LogEvent> {
        (seconds, select(&LogEventKind::ALL[..]), any::<bool>())
            .prop_map(|(second, kind, active)| event(second, kind, active))
    }

    proptest! {
        #[test]
        fn once_begun_it_is_in_progress_whatever_follows(
            before in proptest::collection::vec(any_event(BOOT..NOW), 0..20),
            after in proptest::collection::vec(any_event(0..2 * BOOT), 0..20),
        ) {
            let events = [&before[..], &[event(BOOT + 7, LogEventKind::ShutdownStarted, true)], &after[..]].concat();
            prop_assert_eq!(worst(&events).map(|it| it.sign), Some(Sign::InProgress));
        }

        /// However the log is cut or begun anew on the way, and however the clock is set between two looks.
        #[test]
        fn what_was_read_is_told_once_whatever_becomes_of_the_log_and_of_the_clock(
            events in proptest::collection::vec(any_event(BOOT..NOW), 1..20),
            looks in proptest::collection::vec((0_usize..20, 0_usize..20, 0..2 * BOOT, any::<bool>()), 0..6),
        ) {
            let mut followed = Followed::default();
            followed.follow(&events[..1], at(BOOT), at(NOW));
            let mut told = 1;
            for (more, gone, clock, is_emptied) in looks {
                if is_emptied {
                    let before = followed.evidence();
                    followed.follow(&[], at(clock), at(clock));
                    prop_assert_eq!(followed.evidence(), before);
                    followed.follow(&events[..told], at(BOOT), at(NOW));
                }
                told = (told + more).min(events.len());
                followed.follow(&events[..told], at(clock), at(clock));
                // The oldest events may go.
                followed.follow(&events[gone.min(told - 1)..told], at(clock), at(clock));
                followed.follow(&events[..told], at(BOOT), at(NOW));
            }
            followed.follow(&events, at(0), at(0));
            prop_assert_eq!(followed.evidence(), fold(&events, at(BOOT), at(NOW)));
        }

        #[test]
        fn what_was_before_the_boot_changes_nothing(
            now in proptest::collection::vec(any_event(BOOT..NOW), 0..20),
            before in proptest::collection::vec(any_event(0..BOOT), 1..20),
        ) {
            let both = [&before[..], &now[..]].concat();
            prop_assert_eq!(fold(&both, at(BOOT), at(NOW)), fold(&now, at(BOOT), at(NOW)));
        }
    }
}
