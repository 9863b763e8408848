//! The machine by example; `cells` has the vendors' tables, `model` what holds of every history.

mod cells;
mod model;
mod retraction;
mod shared;

use jiff::{SignedDuration, Timestamp};

use super::{
    About, BootId, Evidence, HostState, HostStateReport, Input, LatchRecord, Machine, Origin, OriginStatus, Scheduled,
    ShutdownKind, Sign,
};
use crate::label::Label;
use crate::ups::{Quantity, Reading, ShutdownTrigger, Silence, Status};

const START: Timestamp = Timestamp::constant(1_750_000_000, 0);

fn at(seconds: i64) -> Timestamp {
    START + SignedDuration::from_secs(seconds)
}

fn ups(name: &str) -> Origin {
    Origin::Ups { source: Label::new(name), ups: Label::new(name) }
}

fn host() -> Origin {
    Origin::Host { source: Label::new("system") }
}

fn boot(id: &str) -> BootId {
    BootId::new(id).expect("a boot id")
}

fn evidence(sign: Sign) -> Evidence {
    Evidence { about: About::Feed, ..Evidence::new(sign) }
}

fn reading(statuses: &[Status]) -> Reading {
    Reading { statuses: statuses.iter().copied().collect(), ..Reading::default() }
}

fn scheduled(seconds: i64, dry_run: bool) -> Evidence {
    let plan = Scheduled { kind: ShutdownKind::Poweroff, at: at(seconds), dry_run };
    Evidence { triggers: [ShutdownTrigger::SystemdSchedule].into(), scheduled: Some(plan), ..evidence(Sign::Scheduled) }
}

fn pending(seconds: i64) -> Evidence {
    Evidence { deadline: Some(at(seconds)), ..evidence(Sign::Pending) }
}

/// A host under one machine, told what is said second by second.
struct Watch(Machine);

impl Watch {
    fn new() -> Self {
        Self(Machine::resume(Some(boot("aa")), LatchRecord::default()))
    }

    fn hear(&mut self, seconds: i64, origin: Origin, word: OriginStatus) -> HostState {
        self.0.step(Input { origin, status: word, now: at(seconds) });
        self.report().state()
    }

    fn say(&mut self, seconds: i64, origin: Origin, evidence: Evidence) -> HostState {
        self.hear(seconds, origin, OriginStatus::Said(vec![evidence]))
    }

    fn read(&mut self, seconds: i64, name: &str, reading: &Reading) -> HostState {
        self.hear(seconds, ups(name), OriginStatus::of(reading, at(seconds)))
    }

    fn report(&self) -> HostStateReport {
        self.0.report().expect("somebody has said something")
    }
}

/// The stages of an outage, as each kind of source reads them.
struct Outage {
    name: &'static str,
    stages: [Reading; 6],
}

fn with(mut reading: Reading, change: impl FnOnce(&mut Reading)) -> Reading {
    change(&mut reading);
    reading
}

/// On line, on battery, low, pending, in progress, power back.
fn outages() -> [Outage; 3] {
    use Status::{Boost, Discharging, ForcedShutdown, LowBattery, OnBattery, Online, ShuttingDown};
    let timer = |reading: &mut Reading| {
        reading.triggers.insert(ShutdownTrigger::NutTimer);
        reading.values.put(Quantity::ShutdownTimer, 120.0);
    };
    let nut = [
        reading(&[Online]),
        reading(&[OnBattery, Discharging]),
        reading(&[OnBattery, LowBattery]),
        with(reading(&[OnBattery, LowBattery]), timer),
        with(reading(&[OnBattery, LowBattery, ForcedShutdown]), |it| it.triggers = [ShutdownTrigger::NutFsd].into()),
        reading(&[Online]),
    ];
    let apcupsd = [
        reading(&[Online]),
        reading(&[OnBattery]),
        reading(&[OnBattery, LowBattery]),
        with(reading(&[OnBattery, LowBattery]), |it| it.triggers = [ShutdownTrigger::ApcupsdRuntime].into()),
        with(reading(&[OnBattery, ShuttingDown]), |it| it.triggers = [ShutdownTrigger::ApcupsdShutdown].into()),
        reading(&[Online]),
    ];
    let delay = |it: &mut Reading| {
        it.triggers = [ShutdownTrigger::SnmpShutdownDelay].into();
        it.values.put(Quantity::ShutdownTimer, 60.0);
    };
    let snmp = [
        reading(&[Online, Boost]),
        reading(&[OnBattery]),
        reading(&[OnBattery, LowBattery]),
        with(reading(&[OnBattery, LowBattery]), delay),
        with(reading(&[OnBattery]), |it| it.triggers = [ShutdownTrigger::PowerchuteCritical].into()),
        reading(&[Online]),
    ];
    [("nut", nut), ("apcupsd", apcupsd), ("snmp", snmp)].map(|(name, stages)| Outage { name, stages })
}

const STAGES: [HostState; 6] = [
    HostState::None,
    HostState::OnBattery,
    HostState::LowBattery,
    HostState::Pending,
    HostState::InProgress,
    HostState::InProgress,
];

#[test]
fn an_outage_is_followed_to_the_next_boot_by_each_kind_of_source_and_by_any_mix_of_them() {
    for mix in 1_u8..8 {
        let outages = outages();
        let taking_part: Vec<_> = outages.iter().enumerate().filter(|(n, _)| mix & (1 << n) != 0).collect();
        let mut watch = Watch::new();
        for (stage, expected) in (0..).zip(STAGES) {
            for (_, outage) in &taking_part {
                watch.read(stage * 10, outage.name, &outage.stages[usize::try_from(stage).expect("a stage")]);
            }
            assert_eq!(watch.report().state(), expected, "mix {mix:03b}, stage {stage}");
        }
        assert!(watch.report().is_pending());
        watch.0.note_boot(boot("bb"), at(100));
        assert_eq!(watch.0.report(), None, "nobody has spoken in the new boot");
        for (_, outage) in &taking_part {
            assert_eq!(watch.read(110, outage.name, &outage.stages[0]), HostState::None);
        }
    }
}

#[test]
fn in_a_mix_who_is_ahead_is_believed() {
    let [nut, apcupsd, _] = outages();
    let mut watch = Watch::new();
    assert_eq!(watch.read(0, "nut", &nut.stages[0]), HostState::None);
    assert_eq!(watch.read(1, "apcupsd", &apcupsd.stages[2]), HostState::LowBattery);
    assert_eq!(watch.read(2, "nut", &nut.stages[1]), HostState::LowBattery);
    assert_eq!(watch.say(3, host(), evidence(Sign::InProgress)), HostState::InProgress);
    assert_eq!(watch.read(4, "apcupsd", &apcupsd.stages[0]), HostState::InProgress);
    watch.0.forget(|_| true, at(5));
    assert_eq!(watch.report().state(), HostState::InProgress, "whoever said it is no longer configured");
}

#[test]
fn power_that_returns_is_not_a_shutdown_called_off() {
    let mut watch = Watch::new();
    watch.say(0, ups("a"), evidence(Sign::LowBattery));
    assert_eq!(watch.say(10, ups("a"), evidence(Sign::Normal)), HostState::None);
    assert_eq!(watch.report().cancellations(), 0);
}

#[test]
fn a_plan_withdrawn_before_its_time_is_told_for_five_minutes_and_counted_whether_power_is_back_or_not() {
    for (power, shown) in [(Sign::Normal, HostState::Cancelled), (Sign::OnBattery, HostState::OnBattery)] {
        let mut watch = Watch::new();
        watch.say(0, ups("a"), pending(120));
        assert_eq!(watch.say(10, ups("a"), evidence(power)), shown);
        assert_eq!(watch.report().cancellations(), 1);
        assert_eq!(watch.say(309, ups("a"), evidence(Sign::Normal)), HostState::Cancelled);
        watch.0.pass_time(at(311));
        assert_eq!((watch.report().state(), watch.report().cancellations()), (HostState::None, 1));
    }
}

#[test]
fn a_plan_whose_time_has_come_was_not_called_off() {
    let mut watch = Watch::new();
    watch.say(0, ups("a"), pending(20));
    assert_eq!(watch.say(30, ups("a"), evidence(Sign::Normal)), HostState::None);
    watch.say(40, ups("a"), pending(60));
    watch.say(50, ups("a"), evidence(Sign::Off));
    assert_eq!(watch.say(55, ups("a"), evidence(Sign::Normal)), HostState::None);
    assert_eq!(watch.report().cancellations(), 0);
}

#[test]
fn one_cancellation_that_two_sources_tell_of_is_one() {
    let mut watch = Watch::new();
    watch.say(0, host(), scheduled(600, false));
    watch.say(1, ups("a"), evidence(Sign::Normal));
    let log = Origin::Host { source: Label::new("log") };
    watch.say(2, log.clone(), evidence(Sign::Normal));
    assert_eq!(watch.say(10, host(), evidence(Sign::Cancelled)), HostState::Cancelled);
    watch.say(13, log, evidence(Sign::Cancelled));
    assert_eq!(watch.report().cancellations(), 1);
}

#[test]
fn a_schedule_that_nobody_carried_out_lapses_and_a_dry_run_is_shown_but_pends_nothing() {
    let mut watch = Watch::new();
    assert_eq!(watch.say(0, host(), scheduled(60, false)), HostState::Scheduled);
    assert!(watch.report().is_pending() && watch.report().expected() == Some(at(60)));
    assert_eq!(watch.say(359, host(), scheduled(60, false)), HostState::Scheduled);
    assert_eq!(watch.say(360, host(), scheduled(60, false)), HostState::None);
    let report = watch.report();
    assert!(!report.is_pending() && report.cancellations() == 0 && report.scheduled().count() == 0);

    assert_eq!(watch.say(400, host(), scheduled(900, true)), HostState::None);
    let report = watch.report();
    assert!(!report.is_pending() && report.triggers().is_empty() && report.expected().is_none());
    assert_eq!(report.scheduled().map(|plan| plan.dry_run).collect::<Vec<_>>(), [true]);
}

#[test]
fn a_schedule_pends_behind_a_worse_state_too() {
    let mut watch = Watch::new();
    watch.say(0, host(), scheduled(600, false));
    assert_eq!(watch.say(1, ups("a"), evidence(Sign::OnBattery)), HostState::OnBattery);
    assert!(watch.report().is_pending());
}

#[test]
fn what_silence_means_depends_on_what_was_said_before() {
    for (before, silent) in [
        (evidence(Sign::Normal), HostState::CommsLost),
        (evidence(Sign::Testing), HostState::CommsLost),
        (evidence(Sign::OnBattery), HostState::OnBattery),
        (evidence(Sign::LowBattery), HostState::LowBattery),
        (evidence(Sign::Pending), HostState::Pending),
        (pending(60), HostState::Pending),
        (evidence(Sign::InProgress), HostState::InProgress),
        (evidence(Sign::Off), HostState::CommsLost),
    ] {
        for word in [
            OriginStatus::Silent(Silence::LinkLost),
            OriginStatus::Silent(Silence::Unreachable),
            OriginStatus::Said(vec![evidence(Sign::CommsLost)]),
        ] {
            for silent_at in [10, 100] {
                let mut watch = Watch::new();
                watch.say(0, ups("a"), before.clone());
                assert_eq!(watch.hear(silent_at, ups("a"), word.clone()), silent, "{before:?}, {word:?}");
            }
        }
    }
}

/// Holds R2: whatever a UPS says of being off, the host that hears it has power.
#[test]
fn a_ups_that_says_that_it_is_off_takes_nothing_from_the_host_that_hears_it() {
    let mut watch = Watch::new();
    assert_eq!(watch.read(0, "a", &reading(&[Status::Off])), HostState::None);
    assert_eq!(watch.read(1, "a", &reading(&[Status::Online, Status::Off])), HostState::None);
    assert_eq!(watch.read(2, "a", &reading(&[Status::OnBattery, Status::Off])), HostState::OnBattery);
    assert!(!watch.report().is_pending());
    watch.say(3, ups("a"), evidence(Sign::InProgress));
    assert_eq!(watch.read(4, "a", &reading(&[Status::Off])), HostState::InProgress);
    assert_eq!(watch.hear(5, ups("a"), OriginStatus::Silent(Silence::Unreachable)), HostState::InProgress);
}

#[test]
fn a_driver_that_has_just_started_does_not_say_that_power_is_back() {
    let mut watch = Watch::new();
    assert_eq!(watch.read(0, "a", &reading(&[Status::OnBattery])), HostState::OnBattery);
    assert_eq!(watch.read(1, "a", &Reading::default()), HostState::OnBattery);
    assert_eq!(watch.read(2, "a", &reading(&[Status::Online])), HostState::None);
    assert_eq!(watch.read(3, "a", &Reading::default()), HostState::None);
}

#[test]
fn who_was_never_heard_says_nothing() {
    let mut machine = Machine::default();
    machine.step(Input { origin: ups("a"), status: OriginStatus::Silent(Silence::Unreachable), now: START });
    machine.step(Input { origin: host(), status: OriginStatus::Silent(Silence::Unreachable), now: START });
    assert_eq!(machine.report(), None);
}

#[test]
fn what_comes_and_goes_every_second_is_counted_every_time() {
    let mut watch = Watch::new();
    for second in 0..60 {
        let sign = if second % 2 == 0 { Sign::OnBattery } else { Sign::Normal };
        watch.say(second, ups("a"), evidence(sign));
    }
    let entered: Vec<_> = watch.report().entered().filter(|(_, times)| *times > 0).collect();
    assert_eq!(entered, [(HostState::None, 30), (HostState::OnBattery, 30)]);
    assert_eq!(watch.report().since(), at(59));
}

#[test]
fn what_was_kept_of_this_boot_goes_on_and_names_its_cause() {
    let mut watch = Watch::new();
    let begun = Evidence {
        triggers: [ShutdownTrigger::NutFsd].into(),
        cause: Some(Label::new("low battery")),
        ..evidence(Sign::InProgress)
    };
    watch.say(0, ups("a"), begun);
    let kept = watch.0.kept();
    let mut again = Watch(Machine::resume(Some(boot("aa")), kept));
    assert_eq!((again.report().state(), again.report().since()), (HostState::InProgress, at(0)));
    assert_eq!(again.say(60, ups("a"), evidence(Sign::Normal)), HostState::InProgress);
    let report = again.report();
    assert_eq!(report.cause().map(Label::as_str), Some("low battery"));
    assert!(report.triggers().contains(&ShutdownTrigger::NutFsd));
}

#[test]
fn an_unknown_boot_releases_nothing() {
    let mut machine = Machine::default();
    machine.step(Input { origin: ups("a"), status: OriginStatus::Said(vec![evidence(Sign::InProgress)]), now: START });
    machine.note_boot(boot("aa"), at(1));
    assert_eq!(machine.report().map(|report| report.state()), Some(HostState::InProgress));
    machine.note_boot(boot("aa"), at(2));
    assert!(machine.kept().latch.is_some());
    machine.note_boot(boot("bb"), at(3));
    assert_eq!(machine.kept(), LatchRecord::default());
}
