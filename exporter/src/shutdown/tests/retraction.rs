//! What has begun ends: who announced it takes it back, or a person says that it is over.

use super::*;

fn preparing() -> Evidence {
    Evidence { triggers: [ShutdownTrigger::SystemdPreparing].into(), ..Evidence::new(Sign::InProgress) }
}

fn not_preparing() -> Evidence {
    Evidence { denies: true, ..Evidence::new(Sign::Normal) }
}

fn forced() -> Evidence {
    Evidence { triggers: [ShutdownTrigger::NutFsd].into(), ..evidence(Sign::InProgress) }
}

/// As an event log tells it, again and again.
fn logged(seconds: i64) -> Evidence {
    let triggers = [ShutdownTrigger::PowerchuteEvent].into();
    Evidence { triggers, begun_at: Some(at(seconds)), ..Evidence::new(Sign::InProgress) }
}

/// Holds R6: `PrepareForShutdown` true, and then false.
#[test]
fn what_logind_takes_back_is_called_off() {
    let mut watch = Watch::new();
    assert_eq!(watch.say(0, host(), not_preparing()), HostState::None);
    assert_eq!(watch.say(10, host(), preparing()), HostState::InProgress);
    assert_eq!(watch.say(20, host(), not_preparing()), HostState::Cancelled);
    let report = watch.report();
    assert!(!report.is_pending() && report.triggers().is_empty() && report.cancellations() == 1);
    assert_eq!(watch.0.kept(), LatchRecord::default());
    watch.0.pass_time(at(321));
    assert_eq!(watch.report().state(), HostState::None);
    assert_eq!(watch.say(330, host(), preparing()), HostState::InProgress, "and it may begin again");
}

/// Holds R6: in a soft reboot the kernel stays, and with it the boot id; the exporter that comes up hears that nothing shuts down.
#[test]
fn after_a_soft_reboot_nothing_is_under_way_and_nothing_was_called_off() {
    let mut watch = Watch::new();
    watch.say(0, host(), preparing());
    let mut again = Watch(Machine::resume(Some(boot("aa")), watch.0.kept()));
    assert_eq!(again.report().state(), HostState::InProgress, "nobody was asked yet");
    assert_eq!(again.say(60, host(), not_preparing()), HostState::None);
    assert_eq!((again.report().cancellations(), again.0.kept()), (0, LatchRecord::default()));
}

/// Holds R6: neither silence nor who does not know takes anything back.
#[test]
fn only_who_knows_that_nothing_has_begun_takes_it_back() {
    for word in [
        OriginStatus::Silent(Silence::Unreachable),
        OriginStatus::Gone,
        OriginStatus::Mute,
        OriginStatus::Said(Vec::new()),
        // The file of a scheduled shutdown, when logind itself is gone.
        OriginStatus::Said(vec![evidence(Sign::Normal)]),
    ] {
        let mut watch = Watch::new();
        watch.say(0, host(), preparing());
        assert_eq!(watch.hear(10, host(), word.clone()), HostState::InProgress, "{word:?}");
        assert_eq!(
            watch.say(20, Origin::Host { source: Label::new("another") }, not_preparing()),
            HostState::InProgress
        );
        assert_eq!(watch.say(30, host(), not_preparing()), HostState::Cancelled, "{word:?}");
    }
}

/// Holds R6: what upsmon and PowerChute have begun goes on, whoever denies it.
#[test]
fn what_upsmon_or_powerchute_has_begun_is_not_taken_back() {
    for begun in [forced(), logged(0)] {
        let mut watch = Watch::new();
        watch.say(0, host(), preparing());
        watch.say(0, ups("a"), begun.clone());
        assert_eq!(watch.say(10, host(), not_preparing()), HostState::InProgress);
        let denied = Evidence { denies: true, ..evidence(Sign::Normal) };
        assert_eq!(watch.say(20, ups("a"), denied), HostState::InProgress);
        let report = watch.report();
        assert_eq!(report.triggers(), &begun.triggers, "logind's own is gone");
        assert_eq!((report.is_pending(), report.cancellations()), (true, 0));
    }
}

/// Holds R6: RFC 1628's alarm 23 that stands no more, and a host that is still there.
#[test]
fn a_ups_takes_back_what_it_alone_announced() {
    let imminent = with(reading(&[Status::OnBattery, Status::ShuttingDown]), |it| {
        it.triggers = [ShutdownTrigger::SnmpAlarm].into();
        it.alarms = [Label::new("shutdown_imminent")].into();
    });
    let mut watch = Watch::new();
    assert_eq!(watch.read(0, "a", &imminent), HostState::InProgress);
    assert_eq!(watch.read(5, "b", &reading(&[Status::Online])), HostState::InProgress, "another UPS");
    assert_eq!(watch.read(10, "a", &Reading::default()), HostState::InProgress, "a driver that has just started");
    assert_eq!(watch.read(20, "a", &reading(&[Status::Online])), HostState::Cancelled);

    let critical = with(imminent, |it| _ = it.triggers.insert(ShutdownTrigger::PowerchuteCritical));
    for (begun, line) in [
        (critical, "PowerChute"),
        (with(reading(&[Status::ForcedShutdown]), |it| it.triggers = [ShutdownTrigger::NutFsd].into()), "upsd"),
    ] {
        let mut watch = Watch::new();
        assert_eq!(watch.read(0, "a", &begun), HostState::InProgress);
        assert_eq!(watch.read(10, "a", &reading(&[Status::Online])), HostState::InProgress, "{line}");
    }
}

/// Holds R6: `kagiban-exporter shutdown clear`.
#[test]
fn a_person_clears_what_is_over_and_what_a_log_tells_of_before_stays_cleared() {
    let mut watch = Watch::new();
    watch.say(0, host(), logged(0));
    assert_eq!(watch.0.clear(at(60)), Ok(()));
    let report = watch.report();
    assert_eq!((report.state(), report.is_pending(), report.cancellations()), (HostState::None, false, 0));
    assert_eq!(watch.say(70, host(), logged(0)), HostState::None, "the log still has it");
    let kept = watch.0.kept();
    assert_eq!((&kept.latch, kept.cleared_at), (&None, Some(at(60))));
    let mut again = Watch(Machine::resume(Some(boot("aa")), kept));
    again.say(80, ups("a"), evidence(Sign::Normal));
    assert_eq!(again.say(80, host(), logged(0)), HostState::None, "after the exporter was started again too");
    assert_eq!(again.say(90, host(), logged(85)), HostState::InProgress, "what begins later counts");
}

/// Holds R6: a clock that was ahead when a person cleared, and one that tells whole seconds, hide nothing that begins later.
#[test]
fn what_begins_after_a_clearing_counts_whatever_the_clock_said_then() {
    for (begun, cleared, next) in [(3600, 3660, 70), (3600, 3660, 3599), (10, 60, 60), (10, 60, 59)] {
        let mut watch = Watch::new();
        watch.say(begun, host(), logged(begun));
        assert_eq!(watch.0.clear(at(cleared)), Ok(()));
        assert_eq!(watch.say(cleared + 1, host(), logged(begun)), HostState::None, "the log still has it");
        let mut again = Watch(Machine::resume(Some(boot("aa")), watch.0.kept()));
        for watch in [&mut watch, &mut again] {
            assert_eq!(
                watch.say(cleared + 2, host(), logged(next)),
                HostState::InProgress,
                "{begun}, {cleared}, {next}"
            );
        }
    }
}

/// Holds R6: to clear what is still said would last for one look.
#[test]
fn nothing_is_cleared_while_a_source_says_that_it_has_begun() {
    for begun in [forced(), preparing()] {
        let mut watch = Watch::new();
        watch.say(0, ups("a"), begun);
        assert_eq!(watch.0.clear(at(5)), Err(vec![ups("a")]));
        assert!(watch.0.kept().latch.is_some() && watch.0.kept().cleared_at.is_none());
        assert_eq!(watch.report().state(), HostState::InProgress);
        watch.say(10, ups("a"), evidence(Sign::Normal));
        assert_eq!((watch.0.clear(at(15)), watch.report().state()), (Ok(()), HostState::None));
    }
}

/// Holds R6: of one that is silent nobody knows whether it would say so still; a person does.
#[test]
fn the_last_word_of_one_that_is_silent_is_cleared_too() {
    let mut watch = Watch::new();
    watch.say(0, ups("a"), forced());
    watch.hear(5, ups("a"), OriginStatus::Silent(Silence::Unreachable));
    assert_eq!((watch.0.clear(at(10)), watch.report().state()), (Ok(()), HostState::CommsLost));
}
