//! UPSes that share a load of the host.

use super::super::{Load, LoadReport, Member};
use super::*;

fn member(name: &str) -> Member {
    Member { source: Label::new(name), ups: Some(Label::new(name)) }
}

fn load(names: &[&str], min_healthy: usize) -> Load {
    Load { name: Label::new("server"), members: names.iter().map(|name| member(name)).collect(), min_healthy }
}

/// A host that needs so many of UPS `a` and `b`.
fn watch(needed: usize) -> Watch {
    let mut watch = Watch::new();
    watch.0.set_loads(vec![load(&["a", "b"], needed)], START);
    watch
}

fn healthy(watch: &Watch) -> usize {
    let report = watch.report();
    let [LoadReport { healthy, members: 2, .. }] = report.loads() else { panic!("{report:?}") };
    *healthy
}

/// Holds R5: what the two say, what the host is when it needs one of them, and when it needs both.
#[test]
fn a_host_is_as_well_off_as_the_feeds_that_it_needs() {
    use Sign::{InProgress, LowBattery, Normal, Off, OnBattery, Pending, Testing};
    for (a, b, one, both, well) in [
        (Normal, Normal, HostState::None, HostState::None, 2),
        (Normal, OnBattery, HostState::None, HostState::OnBattery, 1),
        (Normal, LowBattery, HostState::None, HostState::LowBattery, 1),
        (Normal, Pending, HostState::None, HostState::Pending, 1),
        (Normal, InProgress, HostState::None, HostState::InProgress, 1),
        (Normal, Off, HostState::None, HostState::None, 1),
        (Testing, OnBattery, HostState::Testing, HostState::OnBattery, 1),
        (OnBattery, LowBattery, HostState::OnBattery, HostState::LowBattery, 0),
        (OnBattery, Off, HostState::OnBattery, HostState::OnBattery, 0),
        (LowBattery, Pending, HostState::LowBattery, HostState::Pending, 0),
        (Pending, InProgress, HostState::Pending, HostState::InProgress, 0),
        (InProgress, InProgress, HostState::InProgress, HostState::InProgress, 0),
    ] {
        for (first, second) in [(a, b), (b, a)] {
            for (needed, expected) in [(1, one), (2, both)] {
                let mut watch = watch(needed);
                watch.0.step(Input { origin: ups("a"), status: OriginStatus::Said(vec![evidence(first)]), now: at(1) });
                watch.say(1, ups("b"), evidence(second));
                assert_eq!(watch.report().state(), expected, "{first:?} and {second:?}, {needed} needed");
                assert_eq!(watch.report().is_pending(), expected.is_pending());
                assert_eq!(watch.0.kept().latch.is_some(), expected == HostState::InProgress);
                assert_eq!(healthy(&watch), well);
            }
        }
    }
}

/// Holds R5: unknown is not healthy.
#[test]
fn a_feed_that_is_not_heard_carries_nothing() {
    let silent = || OriginStatus::Silent(Silence::Unreachable);
    let mut watch = watch(1);
    watch.say(0, ups("a"), evidence(Sign::Normal));
    watch.say(0, ups("b"), evidence(Sign::OnBattery));
    assert_eq!(watch.report().state(), HostState::None);
    assert_eq!(watch.hear(10, ups("a"), silent()), HostState::OnBattery, "the host hangs on the other");
    assert_eq!(watch.hear(20, ups("b"), silent()), HostState::OnBattery);
    assert_eq!(watch.say(30, ups("b"), evidence(Sign::Normal)), HostState::None);
    assert_eq!(watch.hear(40, ups("b"), silent()), HostState::CommsLost);
    assert_eq!(healthy(&watch), 0);
}

/// Holds R5: one that never answered is missed where it is needed, and so is one that its server has no more.
#[test]
fn a_feed_that_was_never_heard_is_missed_where_it_is_needed() {
    for word in [OriginStatus::Silent(Silence::Unreachable), OriginStatus::Gone] {
        for (needed, expected) in [(1, HostState::None), (2, HostState::CommsLost)] {
            let mut watch = watch(needed);
            watch.say(0, ups("a"), evidence(Sign::Normal));
            assert_eq!(watch.report().state(), HostState::None, "the other was not asked yet");
            assert_eq!(watch.hear(1, ups("b"), word.clone()), expected, "{word:?}, {needed} needed");
        }
    }
}

/// Holds R5: a UPS that is in no group is needed by itself, and what is said of the host counts whatever its feeds say.
#[test]
fn what_is_said_of_the_host_counts_whatever_feeds_it() {
    let mut one = watch(1);
    one.say(0, ups("a"), evidence(Sign::Normal));
    assert_eq!(one.say(1, ups("c"), evidence(Sign::OnBattery)), HostState::OnBattery);
    assert_eq!(one.say(2, host(), evidence(Sign::InProgress)), HostState::InProgress);

    let mut two = watch(1);
    two.say(0, ups("a"), evidence(Sign::Normal));
    let load = with(reading(&[Status::OnBattery]), |it| it.triggers = [ShutdownTrigger::ApcupsdLoad].into());
    assert_eq!(two.read(1, "b", &load), HostState::Pending, "apcupsd shuts its host down, whatever else feeds it");
    assert_eq!(two.read(2, "b", &reading(&[Status::OnBattery])), HostState::Cancelled);
    let shutdown = with(reading(&[Status::OnBattery, Status::ShuttingDown]), |it| {
        it.triggers = [ShutdownTrigger::ApcupsdShutdown].into();
    });
    assert_eq!(two.read(3, "b", &shutdown), HostState::InProgress);
    assert_eq!(two.report().triggers(), &[ShutdownTrigger::ApcupsdShutdown].into());
}

/// Holds R5: the load lasts as long as the last battery that it can hang on.
#[test]
fn the_host_is_expected_to_go_with_the_last_feed_that_it_can_do_with() {
    let on_battery = |seconds| Evidence { deadline: Some(at(seconds)), ..evidence(Sign::OnBattery) };
    for (needed, expected) in [(1, 600), (2, 60)] {
        let mut watch = watch(needed);
        watch.say(0, ups("a"), on_battery(600));
        watch.say(0, ups("b"), on_battery(60));
        assert_eq!(watch.report().expected(), Some(at(expected)), "{needed} needed");
    }
}

/// Holds R5: a forced shutdown of one feed begins none of the host, until the other is needed.
#[test]
fn a_forced_shutdown_of_a_feed_that_is_not_needed_becomes_the_hosts_when_it_is() {
    let mut watch = watch(1);
    watch.say(0, ups("a"), evidence(Sign::Normal));
    let forced = Evidence { triggers: [ShutdownTrigger::NutFsd].into(), ..evidence(Sign::InProgress) };
    assert_eq!(watch.say(1, ups("b"), forced.clone()), HostState::None);
    assert!(watch.report().triggers().is_empty());
    assert_eq!(watch.say(2, ups("a"), evidence(Sign::OnBattery)), HostState::OnBattery);
    assert_eq!(watch.say(3, ups("a"), forced), HostState::InProgress);
    assert_eq!(watch.say(4, ups("a"), evidence(Sign::Normal)), HostState::InProgress, "and stays begun");
}

/// Holds R5: all UPSes of one server, as one member, are as good as the worst of them.
#[test]
fn a_server_that_is_a_member_is_as_good_as_its_worst_ups() {
    let of = |name: &str| Origin::Ups { source: Label::new("upsd"), ups: Label::new(name) };
    let mut watch = Watch::new();
    let members = vec![member("a"), Member { source: Label::new("upsd"), ups: None }];
    watch.0.set_loads(vec![Load { name: Label::new("server"), members, min_healthy: 1 }], START);
    watch.say(0, of("one"), evidence(Sign::Normal));
    watch.say(0, of("two"), evidence(Sign::OnBattery));
    assert_eq!((watch.report().state(), healthy(&watch)), (HostState::OnBattery, 0));
    assert_eq!(watch.say(1, ups("a"), evidence(Sign::Normal)), HostState::None);
}

#[test]
fn another_configuration_calls_nothing_off() {
    let mut watch = watch(2);
    watch.say(0, ups("a"), evidence(Sign::Normal));
    assert_eq!(watch.say(0, ups("b"), pending(600)), HostState::Pending);
    watch.0.set_loads(vec![load(&["a", "b"], 1)], at(10));
    assert_eq!((watch.report().state(), watch.report().cancellations()), (HostState::None, 0));
    watch.0.set_loads(Vec::new(), at(20));
    assert_eq!(watch.report().state(), HostState::Pending);
}

/// Holds R5: an upsd that lists other UPSes at every look, all of them on battery, is remembered within bounds, and one that is
/// really there is still heard.
#[test]
fn upses_that_come_and_go_on_battery_without_end_are_not_all_remembered() {
    let mut watch = Watch::new();
    let on_battery = reading(&[Status::OnBattery]);
    for number in 0..600 {
        watch.read(number, &format!("made-up-{number:03}"), &on_battery);
        watch.hear(number, ups(&format!("made-up-{number:03}")), OriginStatus::Gone);
    }
    assert_eq!(watch.0.origins().count(), 512);
    let low = reading(&[Status::OnBattery, Status::LowBattery]);
    assert_eq!(watch.read(600, "rack-a", &low), HostState::LowBattery);
    assert_eq!(watch.0.origins().count(), 512);
}
