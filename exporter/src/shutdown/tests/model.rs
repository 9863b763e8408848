//! What holds of every history.

use proptest::prelude::*;

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

fn words() -> impl Strategy<Value = Word> {
    let said = (prop::sample::select(&SIGNS[..]), prop::option::of(-30_i64..120), any::<bool>()).prop_map(
        |(sign, deadline, dry_run)| {
            let mut said = evidence(sign);
            said.deadline = deadline.map(at);
            if sign == Sign::Scheduled {
                said.scheduled = deadline.map(|at_| Scheduled { kind: ShutdownKind::Reboot, at: at(at_), dry_run });
            }
            said
        },
    );
    prop_oneof![
        6 => prop::collection::vec(said, 0..3).prop_map(Word::Said),
        1 => Just(Word::Mute),
        1 => Just(Word::Gone),
        2 => silences().prop_map(Word::Silent),
    ]
}

fn silences() -> impl Strategy<Value = Silence> {
    prop_oneof![Just(Silence::LinkLost), Just(Silence::Unreachable)]
}

fn origins() -> impl Strategy<Value = Origin> {
    prop_oneof![Just(ups("a")), Just(ups("b")), Just(host())]
}

/// Steps that are some seconds apart.
fn histories() -> impl Strategy<Value = Vec<(i64, Origin, Word)>> {
    prop::collection::vec((0_i64..200, origins(), words()), 1..30)
}

fn play(history: &[(i64, Origin, Word)], mut after: impl FnMut(&Machine, &Origin, &Word)) -> (Machine, i64) {
    let (mut machine, mut now) = (Machine::resume(Some(boot("aa")), None), 0);
    for (gap, origin, word) in history {
        now += gap;
        machine.step(Input { origin: origin.clone(), word: word.clone(), now: at(now) });
        after(&machine, origin, word);
    }
    (machine, now)
}

fn state(machine: &Machine) -> State {
    machine.report().map_or(State::None, |report| report.state())
}

proptest! {
    #[test]
    fn what_has_begun_stays_until_another_boot(history in histories(), forget in any::<bool>()) {
        let mut begun = false;
        let (mut machine, now) = play(&history, |machine, _, word| {
            begun |= matches!(word, Word::Said(all) if all.iter().any(|it| it.sign == Sign::InProgress));
            assert!(!begun || (state(machine) >= State::InProgress && machine.latch().is_some()));
        });
        if forget {
            machine.forget(|_| true, at(now));
        }
        machine.pass_time(at(now + 100_000));
        prop_assert!(!begun || state(&machine) >= State::InProgress);
        machine.note_boot(boot("bb"), at(now));
        prop_assert_eq!(machine.report(), None);
    }

    #[test]
    fn silence_never_makes_it_milder(history in histories(), origin in origins(), silence in silences()) {
        let (mut machine, now) = play(&history, |_, _, _| {});
        let before = state(&machine);
        machine.step(Input { origin, word: Word::Silent(silence), now: at(now) });
        prop_assert!(state(&machine) >= before, "{:?} after {:?}", state(&machine), before);
    }

    #[test]
    fn at_one_instant_the_order_of_sources_does_not_matter(
        history in histories(), a in words(), b in words(), c in words(), gap in 1_i64..100,
    ) {
        let (machine, now) = play(&history, |_, _, _| {});
        let said = [(ups("a"), a), (ups("b"), b), (host(), c)];
        let told = |order: [usize; 3]| {
            let mut machine = machine.clone();
            for (origin, word) in order.map(|index| said[index].clone()) {
                machine.step(Input { origin, word, now: at(now + gap) });
            }
            (machine.report(), machine.latch().cloned())
        };
        let first = told([0, 1, 2]);
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            prop_assert_eq!(&told(order), &first);
        }
    }

    #[test]
    fn from_one_instant_to_the_next_counts_only_grow(mut history in histories()) {
        // Within one instant they follow what is heard last: nothing is published of it.
        history.iter_mut().for_each(|(gap, ..)| *gap += 1);
        let (mut cancellations, mut entered) = (0, 0);
        play(&history, |machine, _, _| {
            let Some(report) = machine.report() else { return };
            let all: u64 = report.entered().map(|(_, times)| times).sum();
            assert!(report.cancellations() >= cancellations && all >= entered);
            assert!(report.is_pending() || !report.state().is_pending());
            (cancellations, entered) = (report.cancellations(), all);
        });
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
