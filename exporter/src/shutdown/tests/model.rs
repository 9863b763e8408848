//! What holds of every history.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{Load, Member};
use super::*;

const SIGNS: [Sign; 10] = [
    Sign::Normal,
    Sign::Testing,
    Sign::Cancelled,
    Sign::CommsLost,
    Sign::Scheduled,
    Sign::OnBattery,
    Sign::LowBattery,
    Sign::Pending,
    Sign::InProgress,
    Sign::Off,
];

fn words() -> impl Strategy<Value = OriginStatus> {
    let flags = any::<(bool, bool, bool)>();
    let said = (prop::sample::select(&SIGNS[..]), prop::option::of(-30_i64..120), flags).prop_map(
        |(sign, deadline, (dry_run, denies, of_host))| {
            let mut said = evidence(sign);
            said.deadline = deadline.map(at);
            said.denies = denies;
            if of_host {
                said.about = About::Host;
                said.triggers.insert(ShutdownTrigger::SystemdPreparing);
            }
            if sign == Sign::Scheduled {
                said.scheduled = deadline.map(|at_| Scheduled { kind: ShutdownKind::Reboot, at: at(at_), dry_run });
            }
            said
        },
    );
    prop_oneof![
        6 => prop::collection::vec(said, 0..3).prop_map(OriginStatus::Said),
        1 => Just(OriginStatus::Mute),
        1 => Just(OriginStatus::Gone),
        2 => silences().prop_map(OriginStatus::Silent),
    ]
}

fn silences() -> impl Strategy<Value = Silence> {
    prop_oneof![Just(Silence::LinkLost), Just(Silence::Unreachable)]
}

fn origins() -> impl Strategy<Value = Origin> {
    prop_oneof![Just(ups("a")), Just(ups("b")), Just(host())]
}

/// UPSes that share a load, or none that do.
fn groups() -> impl Strategy<Value = Vec<Load>> {
    let member = |name: &str| Member { source: Label::new(name), ups: Some(Label::new(name)) };
    let group =
        move |min_healthy| Load { name: Label::new("load"), members: vec![member("a"), member("b")], min_healthy };
    prop_oneof![Just(Vec::new()), (1_usize..=2).prop_map(move |needed| vec![group(needed)])]
}

/// Steps that are some seconds apart.
fn histories() -> impl Strategy<Value = Vec<(i64, Origin, OriginStatus)>> {
    prop::collection::vec((0_i64..200, origins(), words()), 1..30)
}

fn play(
    history: &[(i64, Origin, OriginStatus)],
    after: impl FnMut(&Machine, &Origin, &OriginStatus),
) -> (Machine, i64) {
    play_with(Vec::new(), history, after)
}

fn play_with(
    loads: Vec<Load>,
    history: &[(i64, Origin, OriginStatus)],
    mut after: impl FnMut(&Machine, &Origin, &OriginStatus),
) -> (Machine, i64) {
    let (mut machine, mut now) = (Machine::resume(Some(boot("aa")), LatchRecord::default()), 0);
    machine.set_loads(loads, START);
    for (gap, origin, word) in history {
        now += gap;
        machine.step(Input { origin: origin.clone(), status: word.clone(), now: at(now) });
        after(&machine, origin, word);
    }
    (machine, now)
}

fn state(machine: &Machine) -> HostState {
    machine.report().map_or(HostState::None, |report| report.state())
}

proptest! {
    /// Whoever announced it takes back only its own, and only where it can be taken back.
    #[test]
    fn what_has_begun_stays_until_another_boot_or_until_who_announced_it_takes_it_back(
        mut history in histories(), forget in any::<bool>(),
    ) {
        // Within one instant the last word of an origin counts.
        history.iter_mut().for_each(|(gap, ..)| *gap += 1);
        // Who has announced it, and whether that can be taken back.
        let mut by: BTreeMap<Origin, bool> = BTreeMap::new();
        let (mut machine, now) = play(&history, |machine, origin, word| {
            if let OriginStatus::Said(all) = word {
                let mut begun = all.iter().filter(|it| it.sign == Sign::InProgress).peekable();
                let is_link_lost = all.iter().map(|it| it.sign).max() == Some(Sign::CommsLost);
                if begun.peek().is_some() {
                    *by.entry(origin.clone()).or_default() |= begun.any(|it| !it.triggers.is_empty());
                } else if all.iter().any(|it| it.denies) && !is_link_lost && by.get(origin) == Some(&true) {
                    by.remove(origin);
                }
            }
            assert_eq!(machine.kept().latch.is_some(), !by.is_empty());
            assert_eq!(state(machine) == HostState::InProgress, !by.is_empty());
        });
        if forget {
            machine.forget(|_| true, at(now));
        }
        machine.pass_time(at(now + 100_000));
        prop_assert_eq!(state(&machine) == HostState::InProgress, !by.is_empty());
        machine.note_boot(boot("bb"), at(now));
        prop_assert_eq!(machine.report(), None);
    }

    #[test]
    fn silence_never_makes_it_milder(
        loads in groups(), history in histories(), origin in origins(), silence in silences(),
    ) {
        let (mut machine, now) = play_with(loads, &history, |_, _, _| {});
        let before = state(&machine);
        machine.step(Input { origin, status: OriginStatus::Silent(silence), now: at(now) });
        prop_assert!(state(&machine) >= before, "{:?} after {:?}", state(&machine), before);
    }

    #[test]
    fn at_one_instant_the_order_of_sources_does_not_matter(
        loads in groups(), history in histories(), a in words(), b in words(), c in words(), gap in 1_i64..100,
    ) {
        let (machine, now) = play_with(loads, &history, |_, _, _| {});
        let said = [(ups("a"), a), (ups("b"), b), (host(), c)];
        let told = |order: [usize; 3]| {
            let mut machine = machine.clone();
            for (origin, word) in order.map(|index| said[index].clone()) {
                machine.step(Input { origin, status: word, now: at(now + gap) });
            }
            (machine.report(), machine.kept())
        };
        let first = told([0, 1, 2]);
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            prop_assert_eq!(&told(order), &first);
        }
    }

    #[test]
    fn from_one_instant_to_the_next_counts_only_grow(loads in groups(), mut history in histories()) {
        // Within one instant they follow what is heard last: nothing is published of it.
        history.iter_mut().for_each(|(gap, ..)| *gap += 1);
        let (mut cancellations, mut entered) = (0, 0);
        play_with(loads, &history, |machine, _, _| {
            let Some(report) = machine.report() else { return };
            let all: u64 = report.entered().map(|(_, times)| times).sum();
            assert!(report.cancellations() >= cancellations && all >= entered);
            assert!(report.is_pending() || !report.state().is_pending());
            (cancellations, entered) = (report.cancellations(), all);
        });
    }

    /// Holds R5: more feeds that are known to be worse never make the host better off, and one that is known to be well is enough.
    #[test]
    fn a_host_that_needs_one_of_its_feeds_is_as_well_off_as_the_best_that_is_heard(a in words(), b in words()) {
        let member = |name: &str| Member { source: Label::new(name), ups: Some(Label::new(name)) };
        let load = Load { name: Label::new("load"), members: vec![member("a"), member("b")], min_healthy: 1 };
        let alone = |name: &str, word: &OriginStatus| {
            let mut machine = Machine::default();
            machine.step(Input { origin: ups(name), status: word.clone(), now: START });
            state(&machine)
        };
        let mut together = Machine::default();
        together.set_loads(vec![load], START - SignedDuration::from_secs(1));
        for (name, word) in [("a", &a), ("b", &b)] {
            together.step(Input { origin: ups(name), status: word.clone(), now: START });
        }
        let worst = alone("a", &a).max(alone("b", &b)).max(HostState::CommsLost);
        prop_assert!(state(&together) <= worst);
    }

    #[test]
    fn a_deadline_is_never_before_the_reading(statuses in prop::collection::btree_set(prop::sample::select(&Status::ALL[..]), 0..5),
        runtime in prop::num::f64::ANY, low in prop::num::f64::ANY, timer in prop::num::f64::ANY) {
        let reading = with(Reading { statuses, ..Reading::default() }, |it| {
            it.values.put(Quantity::BatteryRuntime, runtime);
            it.values.put(Quantity::BatteryRuntimeLow, low);
            it.values.put(Quantity::ShutdownTimer, timer);
        });
        prop_assert!(Evidence::of(&reading, START).deadline.is_none_or(|deadline| deadline >= START));
    }
}
