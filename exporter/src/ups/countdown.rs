//! Whether a countdown runs: pure, from one look at a UPS to the next.
//!
//! UPSes at rest write numbers that look like one: the delay that they would wait, a timer that is not set. So a number counts
//! only once it has moved as time does, or while the UPS says in another way that it is about to take its power away. From one
//! round number to another people move settings too: of those it takes two moves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Alarms, Quantity, Reading, ShutdownTrigger, Status, Timer};

/// RFC 1628's alarms 22 and 23. No status of the schema says them.
const PENDING_ALARM: &str = "shutdown_pending";
const IMMINENT_ALARM: &str = "shutdown_imminent";

/// The countdowns of one UPS, remembered between looks.
#[derive(Debug, Default)]
pub struct Countdowns(BTreeMap<Quantity, Last>);

/// What a UPS wrote last.
#[derive(Clone, Copy, Debug)]
enum Last {
    Idle,
    /// None is told any more of a countdown that has come to its end; the power may last until then.
    Over {
        until: Instant,
    },
    Left(Number),
}

/// A number that stands where a countdown would.
#[derive(Clone, Copy, Debug)]
struct Number {
    seconds: f64,
    /// When this number was first seen, and last.
    since: Instant,
    seen: Instant,
    /// How much says that it came out of larger numbers as time does; see [`PROVEN`].
    proof: u8,
    /// Whether it was whole minutes since it was first seen: a UPS that counts in them may write 0 through the last one.
    in_minutes: bool,
}

/// What a number is taken for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Taken {
    Runs(f64),
    /// It was seen too short a time ago to know.
    Unproven,
    Stands,
}

/// The coarsest unit that UPSes and their drivers count in.
const UNIT: Duration = Duration::from_mins(1);
/// Drivers read such values again every 30 s at the slowest (`pollfreq` of the Network UPS Tools).
const LAG: Duration = Duration::from_secs(30);
/// A number that has not moved for longer does not run.
const STANDS_STILL_AFTER: Duration = UNIT.saturating_mul(2);
/// A countdown that is seen so near its end and then no more has come to its end: whole seconds, and a driver's lag.
const END_WITHIN: f64 = 5.0;
/// Countdowns are in whole seconds.
const MOVED_BY: f64 = 0.5;
/// With so much proof a number runs: one fall to or from a number that nobody sets is all of it, one among round ones a half.
const PROVEN: u8 = 2;
/// Delays are set in tens of seconds, or in minutes.
const ROUND: f64 = 10.0;

impl Countdowns {
    /// Makes values and triggers of what stands in the reading's `timers`. `trigger` is what the backend calls a shutdown that
    /// counts down.
    pub fn follow(&mut self, reading: &mut Reading, trigger: Option<ShutdownTrigger>, now: Instant) {
        let is_announced = is_announced(reading);
        for (quantity, timer) in std::mem::take(&mut reading.timers) {
            let taken = match (self.take(quantity, timer, now), timer) {
                (Taken::Unproven | Taken::Stands, Timer::Left(seconds)) if is_announced => Taken::Runs(seconds),
                (taken, _) => taken,
            };
            let is_shutdown = quantity.ends_power();
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
        let last = match timer {
            Timer::Idle => Last::after_none(before, now),
            Timer::Left(seconds) => Last::Left(Number::after(before, seconds, now)),
        };
        self.0.insert(quantity, last);
        match last {
            Last::Idle => Taken::Stands,
            Last::Over { .. } => Taken::Runs(0.0),
            Last::Left(number) => number.taken(now),
        }
    }
}

impl Last {
    /// What follows when the UPS writes that there is none. One that counts in minutes may do so through its last one.
    fn after_none(before: Option<Self>, now: Instant) -> Self {
        match before {
            Some(Self::Left(number)) if number.is_at_its_end(now) => Self::Over { until: number.end() },
            Some(Self::Over { until }) if now < until => Self::Over { until },
            Some(Self::Left(_) | Self::Over { .. } | Self::Idle) | None => Self::Idle,
        }
    }
}

impl Number {
    /// What follows when the UPS writes this number. A countdown that runs may be set anew; a number that stood, or was never seen
    /// before, has to fall, and by no more than time has passed: a setting that is changed moves too.
    fn after(before: Option<Last>, seconds: f64, now: Instant) -> Self {
        let in_minutes = seconds % UNIT.as_secs_f64() < MOVED_BY;
        let new = Self { seconds, since: now, seen: now, proof: 0, in_minutes };
        match before {
            // A delay that is set where none was looks the same.
            None | Some(Last::Idle | Last::Over { .. }) => new,
            Some(Last::Left(last)) if (last.seconds - seconds).abs() < MOVED_BY => Self { seen: now, ..last },
            Some(Last::Left(last)) => {
                let time = now.saturating_duration_since(last.seen) + UNIT + LAG;
                let falls = last.seconds > seconds && last.seconds - seconds <= time.as_secs_f64();
                // A slow driver tells the next minute that much later.
                let is_fresh = now.saturating_duration_since(last.since) < STANDS_STILL_AFTER + LAG;
                let proof = match (last.taken(now), falls) {
                    (Taken::Runs(_), _) => PROVEN,
                    (_, true) if is_fresh => last.proof.saturating_add(last.proves(seconds)),
                    (_, true) => last.proves(seconds),
                    (_, false) => 0,
                };
                Self { proof, in_minutes: in_minutes && last.in_minutes, ..new }
            }
        }
    }

    /// What a fall from this number to that one says.
    fn proves(self, seconds: f64) -> u8 {
        let is_round = |seconds: f64| seconds % ROUND < MOVED_BY;
        if is_round(self.seconds) && is_round(seconds) { PROVEN / 2 } else { PROVEN }
    }

    fn taken(self, now: Instant) -> Taken {
        match (self.proof >= PROVEN, now.saturating_duration_since(self.since) < STANDS_STILL_AFTER) {
            (true, true) => Taken::Runs(self.seconds),
            (false, true) => Taken::Unproven,
            (_, false) => Taken::Stands,
        }
    }

    fn is_at_its_end(self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.since).as_secs_f64();
        let within = if self.in_minutes { UNIT.as_secs_f64() } else { END_WITHIN };
        // That it goes to none when it is time is a move as well.
        self.proof > 0 && self.taken(self.seen) != Taken::Stands && age + within >= self.seconds
    }

    /// No later than this the power is gone, if the countdown was not called off.
    fn end(self) -> Instant {
        let left = Duration::try_from_secs_f64(self.seconds).unwrap_or(Duration::ZERO);
        let last_minute = if self.in_minutes { UNIT } else { Duration::ZERO };
        self.since.checked_add(left + last_minute).unwrap_or(self.since)
    }
}

/// Whether the UPS, or who minds it, says by other words that a shutdown is to come or has begun.
fn is_announced(reading: &Reading) -> bool {
    let going = [Status::ForcedShutdown, Status::ShuttingDown];
    going.iter().any(|status| reading.statuses.contains(status))
        || announces_shutdown(&reading.alarms)
        || reading.triggers.contains(&ShutdownTrigger::SnmpAlarm)
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
            self.countdowns.follow(
                &mut reading,
                Some(ShutdownTrigger::NutTimer),
                self.start + Duration::from_secs(second),
            );
            reading
        }

        /// The seconds that are published; none while no countdown runs.
        fn look(&mut self, second: u64, timer: Timer) -> Option<f64> {
            let reading = self.read(second, Some(timer), &[Status::Online]);
            let left = reading.values.of(Quantity::ShutdownTimer);
            assert_eq!(reading.triggers.contains(&ShutdownTrigger::NutTimer), left.is_some());
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
    fn a_countdown_counts_from_its_second_number_on() {
        let mut watch = Watch::new();
        assert_eq!(watch.look(0, Timer::Left(118.0)), None);
        assert_eq!(watch.look(10, Timer::Left(108.0)), Some(108.0));
        let mut watch = Watch::new();
        assert_eq!(watch.look(0, Timer::Idle), None);
        assert_eq!(watch.look(10, Timer::Left(118.0)), None);
        assert_eq!(watch.look(20, Timer::Left(108.0)), Some(108.0));
        assert_eq!(watch.look(30, Timer::Idle), None, "it was called off");
        assert_eq!(watch.look(40, Timer::Left(58.0)), None, "and set again");
        assert_eq!(watch.look(50, Timer::Left(48.0)), Some(48.0));
    }

    /// From one round number to another people set a delay; a countdown goes on from there.
    #[test]
    fn among_round_numbers_a_countdown_counts_from_its_third_on_and_a_setting_never() {
        for (first, then) in [(120.0, 60.0), (60.0, 30.0), (30.0, 20.0)] {
            let mut watch = Watch::new();
            (0..60).for_each(|look| assert_eq!(watch.look(look * 10, Timer::Left(first)), None));
            for second in (600..1200).step_by(10) {
                assert_eq!(watch.look(second, Timer::Left(then)), None, "{first} to {then}, at {second}");
                let may = watch.read(second, Some(Timer::Left(then)), &[]).may_count_down;
                assert_eq!(may, second < 720, "no rotation until it is known, at {second}");
            }
        }
        let mut watch = Watch::new();
        for (second, left, counts) in [(0, 120.0, false), (10, 110.0, false), (20, 100.0, true), (30, 90.0, true)] {
            assert_eq!(watch.look(second, Timer::Left(left)), counts.then_some(left));
        }
        let mut minutes = Watch::new();
        for (second, left, counts) in [(0, 240.0, false), (30, 180.0, false), (90, 120.0, true), (150, 60.0, true)] {
            assert_eq!(minutes.look(second, Timer::Left(left)), counts.then_some(left));
        }
        let mut short = Watch::new();
        assert_eq!(short.look(0, Timer::Left(120.0)), None);
        assert_eq!(short.look(30, Timer::Left(60.0)), None);
        assert_eq!(short.look(80, Timer::Idle), Some(0.0), "to none, when it is time, is a move as well");
    }

    #[test]
    fn a_slow_driver_may_repeat_a_number_and_one_that_stopped_is_no_countdown_any_more() {
        let mut watch = Watch::new();
        watch.look(0, Timer::Left(128.0));
        for (second, left) in [(10, 118.0), (20, 118.0), (30, 118.0), (40, 88.0), (159, 88.0)] {
            assert_eq!(watch.look(second, Timer::Left(left)), Some(left), "{second}");
        }
        assert_eq!(watch.look(160, Timer::Left(88.0)), None);
    }

    /// Holds R1: somebody sets the delay that a UPS at rest writes where a countdown would stand.
    #[test]
    fn a_number_that_is_set_out_of_none_or_higher_or_far_lower_is_no_countdown() {
        let left = Timer::Left;
        for (before, after) in
            [(Timer::Idle, 60.0), (left(60.0), 120.0), (left(20.0), 30.0), (left(600.0), 180.0), (left(120.0), 15.0)]
        {
            for stood in [10, 3600] {
                let mut watch = Watch::new();
                for second in 0..=stood / 10 {
                    assert_eq!(watch.look(second * 10, before), None);
                }
                for second in (stood + 10..stood + 300).step_by(10) {
                    assert_eq!(watch.look(second, Timer::Left(after)), None, "{before:?} to {after}, at {second}");
                }
                assert_eq!(watch.look(stood + 300, Timer::Left(after - 5.0)), Some(after - 5.0), "and now it falls");
            }
        }
    }

    #[test]
    fn a_countdown_that_is_set_anew_goes_on() {
        let mut watch = Watch::new();
        watch.look(0, Timer::Left(98.0));
        assert_eq!(watch.look(10, Timer::Left(88.0)), Some(88.0));
        assert_eq!(watch.look(20, Timer::Left(300.0)), Some(300.0));
        assert_eq!(watch.look(30, Timer::Left(10.0)), Some(10.0));
        assert_eq!(watch.look(150, Timer::Left(10.0)), None, "it was called off, and this is its delay");
    }

    /// Holds R1: `upsRebootWithDuration`, `ups.timer.reboot`.
    #[test]
    fn a_reboot_takes_the_power_away_as_a_shutdown_does_and_a_start_does_not() {
        for (quantity, ends_power) in
            [(Quantity::ShutdownTimer, true), (Quantity::RebootTimer, true), (Quantity::StartupTimer, false)]
        {
            let (mut countdowns, now) = (Countdowns::default(), Instant::now());
            let mut read = |left, second| {
                let mut reading = Reading { timers: [(quantity, Timer::Left(left))].into(), ..Reading::default() };
                countdowns.follow(&mut reading, Some(ShutdownTrigger::NutTimer), now + Duration::from_secs(second));
                reading
            };
            assert_eq!(read(58.0, 0).may_count_down, ends_power);
            let running = read(48.0, 10);
            assert_eq!(running.values.of(quantity), Some(48.0));
            assert_eq!(running.triggers.contains(&ShutdownTrigger::NutTimer), ends_power, "{quantity:?}");
            assert_eq!(running.power_ends_in(), ends_power.then_some(48.0));
        }
    }

    #[test]
    fn a_look_without_an_answer_takes_nothing_from_what_was_known() {
        let mut watch = Watch::new();
        watch.look(0, Timer::Left(118.0));
        assert_eq!(watch.read(10, None, &[]).values.of(Quantity::ShutdownTimer), None);
        assert_eq!(watch.look(20, Timer::Left(98.0)), Some(98.0));
    }

    #[test]
    fn one_that_ends_in_none_at_its_time_was_not_called_off() {
        let mut watch = Watch::new();
        watch.look(0, Timer::Left(22.0));
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
            Countdowns::default().follow(&mut reading, Some(ShutdownTrigger::SnmpShutdownDelay), Instant::now());
            assert!(reading.triggers.contains(&ShutdownTrigger::SnmpShutdownDelay), "{alarm}");
        }
        let on_battery = Watch::new().read(0, Some(Timer::Left(60.0)), &[Status::OnBattery]);
        assert_eq!(on_battery.values.of(Quantity::ShutdownTimer), None, "a battery is no shutdown");
    }

    #[test]
    fn what_is_not_known_to_stand_still_may_count_down() {
        let mut watch = Watch::new();
        for (second, may) in [(0, true), (119, true), (120, false), (1000, false)] {
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
            let mut is_all_round = (whole - first).is_multiple_of(10);
            for look in 1.. {
                if second >= whole {
                    break;
                }
                is_all_round &= (whole - second).is_multiple_of(10);
                let counts = watch.look(second, left(second)).is_some();
                prop_assert!(counts || (is_all_round && look == 1), "{} of {}", second, whole);
                second += every;
            }
        }

        /// Holds R1: in minutes, rounded up or down, and told by a driver that looks every 30 s.
        #[test]
        fn a_countdown_in_minutes_is_followed_to_its_end(
            whole in 3_u64..60, up in any::<bool>(), lag in 1_u64..30, first in 0_u64..60, every in 1_u64..40,
        ) {
            let whole = whole * 60;
            let written = |second: u64| {
                let left = whole - (second - second % lag);
                let minutes = if up { left.div_ceil(60) } else { left / 60 };
                #[expect(clippy::cast_precision_loss, reason = "an hour of seconds")]
                let seconds = (minutes * 60) as f64;
                if seconds > 0.0 { Timer::Left(seconds) } else { Timer::Idle }
            };
            let (mut watch, mut second) = (Watch::new(), first);
            let mut numbers = vec![written(second)];
            while second < whole {
                if numbers.last() != Some(&written(second)) {
                    numbers.push(written(second));
                }
                let reading = watch.read(second, Some(written(second)), &[]);
                let runs = reading.values.of(Quantity::ShutdownTimer).is_some();
                prop_assert!(runs || reading.may_count_down, "{} of {}: the gate is open", second, whole);
                prop_assert!(runs || numbers.len() <= 2, "{} of {}", second, whole);
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
