//! Whether a countdown runs: pure, from one look at a UPS to the next.
//!
//! UPSes at rest write numbers that look like one: the delay that they would wait, a timer that is not set. So a number counts
//! only once it has moved, or while the UPS says in another way that it is about to take its power away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Alarms, Protocol, Quantity, Reading, Status, Trigger, is_idle};

/// RFC 1628's alarms 22 and 23. No status of the schema says them.
const PENDING_ALARM: &str = "shutdown_pending";
const IMMINENT_ALARM: &str = "shutdown_imminent";

/// What a UPS wrote where a countdown would stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Timer {
    /// One of the values that stand for none.
    Idle,
    /// Seconds, whether they run or not.
    Left(f64),
}

/// The countdowns of one UPS, remembered between looks.
#[derive(Debug, Default)]
pub struct Countdowns(BTreeMap<Quantity, Last>);

/// What a UPS wrote last.
#[derive(Clone, Copy, Debug)]
enum Last {
    Idle,
    Left {
        seconds: f64,
        /// When this number was first seen.
        since: Instant,
        /// Whether another number or none had stood there before.
        moved: bool,
    },
}

/// What a number is taken for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Taken {
    Runs(f64),
    /// It was seen too short a time ago to know.
    Unproven,
    Stands,
}

/// Drivers read such values again every 30 s at the slowest (`pollfreq` of the Network UPS Tools). What has not moved for
/// longer does not run.
const STANDS_STILL_AFTER: Duration = Duration::from_secs(45);
/// A countdown that is seen so near its end and then no more has come to its end: whole seconds, and a driver's lag.
const END_WITHIN: f64 = 5.0;
/// Countdowns are in whole seconds.
const MOVED_BY: f64 = 0.5;

impl Timer {
    /// A number as it is written, in seconds.
    pub fn read(protocol: Protocol, quantity: Quantity, written: f64) -> Self {
        if is_idle(protocol, quantity, written) { Self::Idle } else { Self::Left(written) }
    }
}

impl Countdowns {
    /// Makes values and triggers of what stands in the reading's `timers`. `trigger` is what the backend calls a shutdown that
    /// counts down.
    pub fn follow(&mut self, reading: &mut Reading, trigger: Option<Trigger>, now: Instant) {
        let is_announced = is_announced(reading);
        for (quantity, timer) in std::mem::take(&mut reading.timers) {
            let taken = match (self.take(quantity, timer, now), timer) {
                (Taken::Unproven | Taken::Stands, Timer::Left(seconds)) if is_announced => Taken::Runs(seconds),
                (taken, _) => taken,
            };
            let is_shutdown = quantity == Quantity::ShutdownTimer;
            match taken {
                Taken::Runs(seconds) => {
                    reading.values.put(quantity, seconds);
                    // What cannot be a time is no countdown either.
                    if is_shutdown && reading.values.of(quantity).is_some() {
                        reading.triggers.extend(trigger);
                    }
                }
                Taken::Unproven => reading.may_count_down |= is_shutdown,
                Taken::Stands => {}
            }
        }
    }

    fn take(&mut self, quantity: Quantity, timer: Timer, now: Instant) -> Taken {
        let before = self.0.get(&quantity).copied();
        let Timer::Left(seconds) = timer else {
            self.0.insert(quantity, Last::Idle);
            return match before {
                Some(last @ Last::Left { moved: true, .. }) if last.is_at_its_end(now) => Taken::Runs(0.0),
                Some(Last::Left { .. } | Last::Idle) | None => Taken::Stands,
            };
        };
        let (since, moved) = match before {
            None => (now, false),
            Some(Last::Idle) => (now, true),
            Some(Last::Left { seconds: last, since, moved }) if (last - seconds).abs() < MOVED_BY => (since, moved),
            Some(Last::Left { .. }) => (now, true),
        };
        self.0.insert(quantity, Last::Left { seconds, since, moved });
        match (moved, now.saturating_duration_since(since) < STANDS_STILL_AFTER) {
            (true, true) => Taken::Runs(seconds),
            (false, true) => Taken::Unproven,
            (_, false) => Taken::Stands,
        }
    }
}

impl Last {
    fn is_at_its_end(self, now: Instant) -> bool {
        match self {
            Self::Idle => false,
            Self::Left { seconds, since, .. } => {
                now.saturating_duration_since(since).as_secs_f64() + END_WITHIN >= seconds
            }
        }
    }
}

/// Whether the UPS, or who minds it, says by other words that a shutdown is to come or has begun.
fn is_announced(reading: &Reading) -> bool {
    let going = [Status::ForcedShutdown, Status::ShuttingDown];
    going.iter().any(|status| reading.statuses.contains(status))
        || announces_shutdown(&reading.alarms)
        || reading.triggers.contains(&Trigger::SnmpAlarm)
}

/// Whether an alarm says that a shutdown is to come.
pub fn announces_shutdown(alarms: &Alarms) -> bool {
    alarms.iter().any(|alarm| matches!(alarm.as_str(), PENDING_ALARM | IMMINENT_ALARM))
}

/// Whether an alarm says that a shutdown has begun.
pub fn announces_end(alarms: &Alarms) -> bool {
    alarms.iter().any(|alarm| alarm.as_str() == IMMINENT_ALARM)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::label::Label;

    /// One UPS, looked at now and then.
    struct Watch {
        countdowns: Countdowns,
        start: Instant,
    }

    impl Watch {
        fn new() -> Self {
            Self { countdowns: Countdowns::default(), start: Instant::now() }
        }

        fn read(&mut self, second: u64, timer: Option<Timer>, statuses: &[Status]) -> Reading {
            let mut reading = Reading { statuses: statuses.iter().copied().collect(), ..Reading::default() };
            reading.timers = timer.map(|timer| (Quantity::ShutdownTimer, timer)).into_iter().collect();
            self.countdowns.follow(&mut reading, Some(Trigger::NutTimer), self.start + Duration::from_secs(second));
            reading
        }

        /// The seconds that are published; none while no countdown runs.
        fn look(&mut self, second: u64, timer: Timer) -> Option<f64> {
            let reading = self.read(second, Some(timer), &[Status::Online]);
            let left = reading.values.of(Quantity::ShutdownTimer);
            assert_eq!(reading.triggers.contains(&Trigger::NutTimer), left.is_some());
            left
        }
    }

    /// Holds R1: a delay that a UPS at rest writes as its timer is no countdown, however often it is read.
    #[test]
    fn a_number_that_never_moves_is_no_countdown() {
        let mut watch = Watch::new();
        for second in [0, 10, 20, 60, 3600, 86_400] {
            assert_eq!(watch.look(second, Timer::Left(60.0)), None, "{second}");
        }
    }

    #[test]
    fn a_countdown_counts_from_the_second_look_or_at_once_where_none_had_been_told_before() {
        let mut watch = Watch::new();
        assert_eq!(watch.look(0, Timer::Left(120.0)), None);
        assert_eq!(watch.look(10, Timer::Left(110.0)), Some(110.0));
        let mut watch = Watch::new();
        assert_eq!(watch.look(0, Timer::Idle), None);
        assert_eq!(watch.look(10, Timer::Left(110.0)), Some(110.0));
        assert_eq!(watch.look(20, Timer::Idle), None, "it was called off");
        assert_eq!(watch.look(30, Timer::Left(60.0)), Some(60.0), "and set again");
    }

    #[test]
    fn a_slow_driver_may_repeat_a_number_and_one_that_stopped_is_no_countdown_any_more() {
        let mut watch = Watch::new();
        watch.look(0, Timer::Idle);
        for (second, left) in [(10, 120.0), (20, 120.0), (30, 120.0), (40, 90.0), (84, 90.0)] {
            assert_eq!(watch.look(second, Timer::Left(left)), Some(left), "{second}");
        }
        assert_eq!(watch.look(85, Timer::Left(90.0)), None);
    }

    #[test]
    fn a_look_without_an_answer_takes_nothing_from_what_was_known() {
        let mut watch = Watch::new();
        watch.look(0, Timer::Left(120.0));
        assert_eq!(watch.read(10, None, &[]).values.of(Quantity::ShutdownTimer), None);
        assert_eq!(watch.look(20, Timer::Left(100.0)), Some(100.0));
    }

    #[test]
    fn one_that_ends_in_none_at_its_time_was_not_called_off() {
        let mut watch = Watch::new();
        watch.look(0, Timer::Idle);
        watch.look(10, Timer::Left(12.0));
        assert_eq!(watch.look(20, Timer::Idle), Some(0.0));
        assert_eq!(watch.look(30, Timer::Idle), None);
    }

    #[test]
    fn where_the_ups_says_that_it_shuts_down_the_first_number_counts_and_none_stays_none() {
        for status in [Status::ForcedShutdown, Status::ShuttingDown] {
            let reading = Watch::new().read(0, Some(Timer::Left(60.0)), &[Status::Online, status]);
            assert_eq!(reading.values.of(Quantity::ShutdownTimer), Some(60.0), "{status:?}");
            let idle = Watch::new().read(0, Some(Timer::Idle), &[status]);
            assert_eq!(idle.values.of(Quantity::ShutdownTimer), None, "{status:?}");
        }
        for alarm in [PENDING_ALARM, IMMINENT_ALARM] {
            let mut reading = Reading { alarms: [Label::new(alarm)].into(), ..Reading::default() };
            reading.timers.insert(Quantity::ShutdownTimer, Timer::Left(60.0));
            Countdowns::default().follow(&mut reading, Some(Trigger::SnmpShutdownDelay), Instant::now());
            assert!(reading.triggers.contains(&Trigger::SnmpShutdownDelay), "{alarm}");
        }
        let on_battery = Watch::new().read(0, Some(Timer::Left(60.0)), &[Status::OnBattery]);
        assert_eq!(on_battery.values.of(Quantity::ShutdownTimer), None, "a battery is no shutdown");
    }

    #[test]
    fn what_is_not_known_to_stand_still_may_count_down() {
        let mut watch = Watch::new();
        for (second, may) in [(0, true), (44, true), (45, false), (100, false)] {
            assert_eq!(watch.read(second, Some(Timer::Left(60.0)), &[]).may_count_down, may, "{second}");
        }
        assert!(!Watch::new().read(0, Some(Timer::Idle), &[]).may_count_down);
    }

    proptest! {
        #[test]
        fn a_countdown_is_followed_to_its_end_however_often_it_is_looked_at(
            whole in 30_u64..3600, first in 0_u64..20, every in 1_u64..40,
        ) {
            let mut watch = Watch::new();
            #[expect(clippy::cast_precision_loss, reason = "an hour of seconds")]
            let left = |second: u64| Timer::Left((whole - second) as f64);
            let mut second = first;
            watch.look(second, left(second));
            second += every;
            while second < whole {
                prop_assert!(watch.look(second, left(second)).is_some(), "{} of {}", second, whole);
                second += every;
            }
        }

        #[test]
        fn one_number_again_and_again_is_never_a_countdown(
            seconds in 1.0_f64..1e6, looks in prop::collection::vec(0_u64..1000, 1..30),
        ) {
            let (mut watch, mut now) = (Watch::new(), 0);
            for gap in looks {
                now += gap;
                prop_assert_eq!(watch.look(now, Timer::Left(seconds)), None);
            }
        }
    }
}
