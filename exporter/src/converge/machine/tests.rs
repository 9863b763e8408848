//! The rules by example, and the whole against clients of every kind.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { attempts: 3 };
const HOUR: i64 = 3600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn client(name: &str) -> ClientHost {
    name.parse().expect("a host name")
}

fn list(begun: i64, names: &[&str]) -> Listing {
    Listing { begun: at(begun), names: names.iter().map(|name| client(name)).collect(), is_complete: true }
}

/// An attempt of a second.
fn attempt(repairs: &mut Repairs, name: &str, second: i64, how: AttemptEnd) {
    repairs.begin(&client(name), at(second));
    repairs.end(&client(name), how, at(second + 1));
}

fn heed(repairs: &mut Repairs, second: i64, names: &[&str]) -> BTreeMap<RepairResult, u64> {
    repairs.heed(&list(second, names), true, at(second))
}

fn due(repairs: &Repairs, list: &Listing, second: i64) -> Vec<String> {
    repairs.due(list, LIMITS, at(second)).iter().map(ToString::to_string).collect()
}

fn staying(repairs: &Repairs) -> Vec<&str> {
    repairs.staying(LIMITS).map(ClientHost::as_str).collect()
}

#[test]
fn only_a_list_that_was_made_after_it_says_what_came_of_an_attempt() {
    let mut repairs = Repairs::default();
    assert_eq!(due(&repairs, &list(0, &["a", "b"]), 0), ["a", "b"]);
    attempt(&mut repairs, "a", 10, AttemptEnd::Done);
    attempt(&mut repairs, "b", 10, AttemptEnd::Done);
    for (begun, now, wanted) in [
        (0, 11, Some(WantedFor::Attempt)),
        (11, 11, Some(WantedFor::Attempt)),
        (12, 12, None),
        (12, 9 + HOUR, None),
        (12, 10 + HOUR, Some(WantedFor::Pause)),
        (10 + HOUR, 10 + HOUR, None),
    ] {
        assert_eq!(repairs.wants_list(at(begun), at(now)), wanted, "{begun} {now}");
    }
    // Begun while they were repaired: it may have looked at them before that.
    assert_eq!(repairs.heed(&list(11, &[]), true, at(20)), BTreeMap::new());
    // Both have done their work, say their programs.
    assert_eq!(repairs.heed(&list(12, &["b"]), true, at(20)), BTreeMap::new(), "it is thought repaired");
    assert_eq!(due(&repairs, &list(12, &["a", "b"]), 20), [""; 0], "neither is begun before its pause is over");
    let results = repairs.heed(&list(10 + HOUR, &["b"]), true, at(10 + HOUR));
    assert_eq!(results, BTreeMap::from([(RepairResult::Repaired, 1), (RepairResult::StillListed, 1)]));
    assert_eq!(due(&repairs, &list(10 + HOUR, &["b"]), 10 + HOUR), ["b"]);
    assert_eq!(repairs.heed(&list(11 + HOUR, &["b"]), true, at(11 + HOUR)), BTreeMap::new(), "each is counted once");
}

/// It is off for the night, as most are.
#[test]
fn a_client_that_is_off_uses_up_its_attempts_in_hours_then_stays_and_is_tried_once_a_day() {
    let mut repairs = Repairs::default();
    let (mut begun, mut stays_since) = (Vec::new(), None);
    for minute in 0..(4 * 24 * 60) {
        let second = minute * 60;
        let off = list(second, &["off"]);
        repairs.heed(&off, true, at(second));
        if due(&repairs, &off, second) == ["off"] {
            begun.push(minute);
            attempt(&mut repairs, "off", second, AttemptEnd::Failed);
        }
        if staying(&repairs) == ["off"] {
            stays_since.get_or_insert(minute);
        } else {
            assert_eq!(stays_since, None, "it stays as long as it is listed");
        }
    }
    let day = 24 * 60;
    assert_eq!(begun, [0, 60, 180, 180 + day, 180 + 2 * day, 180 + 3 * day]);
    assert_eq!(stays_since, Some(180 + 240), "not before the pause after the last attempt");
    let absent = 5 * 24 * HOUR;
    assert_eq!(heed(&mut repairs, absent, &[]), BTreeMap::new());
    assert_eq!(staying(&repairs), ["off"], "the list may be wrong for once");
    // It is off, says its program: nobody has repaired it.
    assert_eq!(heed(&mut repairs, absent + HOUR, &[]), BTreeMap::new());
    assert!(staying(&repairs).is_empty(), "two have left it out");
    assert_eq!(heed(&mut repairs, absent + 12 * HOUR, &["off"]), BTreeMap::from([(RepairResult::Failed, 1)]));
    assert_eq!(staying(&repairs), ["off"], "its attempts are remembered");
    let (absent, long) = (absent + 13 * HOUR, REMEMBERED_ABSENT.as_secs());
    for second in [absent, absent + HOUR, absent + long, absent + long + 1] {
        assert_eq!(heed(&mut repairs, second, &[]), BTreeMap::new(), "{second}");
    }
    assert_eq!(repairs, Repairs::default(), "it is not remembered for ever");
}

/// Each hourly list leaves it out at night.
#[test]
fn a_client_whose_program_did_not_end_well_is_repaired_by_no_list() {
    for how in [Some(AttemptEnd::Failed), Some(AttemptEnd::TimedOut), None] {
        let mut repairs = Repairs::default();
        repairs.begin(&client("a"), at(0));
        if let Some(how) = how {
            repairs.end(&client("a"), how, at(1));
        }
        for hour in 1..12 {
            assert_eq!(repairs.heed(&list(hour * HOUR, &[]), true, at(hour * HOUR)), BTreeMap::new(), "{how:?} {hour}");
        }
        assert_eq!(repairs.tried[&client("a")].attempts, 1);
    }
}

/// A program that does nothing and says that it has done its work, on a client that is off each night.
#[test]
fn a_client_that_is_listed_again_has_its_attempts_still_however_their_programs_ended() {
    let mut repairs = Repairs::default();
    for hour in [0, 1, 3] {
        heed(&mut repairs, hour * HOUR, &["a"]);
        assert_eq!(due(&repairs, &list(hour * HOUR, &["a"]), hour * HOUR), ["a"], "{hour}");
        attempt(&mut repairs, "a", hour * HOUR, AttemptEnd::Done);
    }
    heed(&mut repairs, 7 * HOUR, &["a"]);
    assert_eq!(staying(&repairs), ["a"]);
    for hour in [8, 9] {
        assert_eq!(heed(&mut repairs, hour * HOUR, &[]), BTreeMap::new(), "what came of them was told");
    }
    assert!(staying(&repairs).is_empty());
    heed(&mut repairs, 17 * HOUR, &["a"]);
    assert_eq!(staying(&repairs), ["a"], "at once");
    // Nor is one begun anew that was taken for repaired.
    attempt(&mut repairs, "b", 18 * HOUR, AttemptEnd::Done);
    heed(&mut repairs, 18 * HOUR + 60, &["a"]);
    assert_eq!(heed(&mut repairs, 19 * HOUR, &["a"]), BTreeMap::from([(RepairResult::Repaired, 1)]));
    for hour in 20..40 {
        assert_eq!(heed(&mut repairs, hour * HOUR, &["a"]), BTreeMap::new(), "once");
    }
    assert_eq!(heed(&mut repairs, 41 * HOUR, &["a", "b"]), BTreeMap::new());
    assert_eq!(due(&repairs, &list(41 * HOUR, &["b"]), 41 * HOUR), ["b"]);
    assert_eq!(repairs.begin(&client("b"), at(41 * HOUR)).map(|before| before.attempts), Some(1));
}

/// The list may be of the certificate before, or of the one after.
#[test]
fn nobody_is_repaired_by_a_list_with_which_the_certificate_of_the_server_was_not_seen() {
    let mut repairs = Repairs::default();
    attempt(&mut repairs, "a", 0, AttemptEnd::Done);
    for hour in 1..4 {
        assert_eq!(repairs.heed(&list(hour * HOUR, &[]), false, at(hour * HOUR)), BTreeMap::new(), "{hour}");
    }
    assert_eq!(heed(&mut repairs, 4 * HOUR, &[]), BTreeMap::from([(RepairResult::Repaired, 1)]));
}

#[test]
fn one_list_that_does_not_name_everybody_forgets_nobody_whom_others_have_left_out() {
    let mut repairs = Repairs::default();
    for second in [0, 3 * HOUR] {
        attempt(&mut repairs, "a", second, AttemptEnd::Failed);
    }
    for hour in [4, 5] {
        heed(&mut repairs, hour * HOUR, &[]);
    }
    let day = 24 * HOUR;
    repairs.heed(&Listing { is_complete: false, ..list(4 * day, &["x"]) }, true, at(4 * day));
    assert_eq!(repairs.tried[&client("a")].attempts, 2);
}

/// The server was renewed between the two lists that leave a client out, or after the last attempt on one that stays.
#[test]
fn what_was_tried_under_another_certificate_says_nothing_of_the_one_that_the_server_has() {
    let [old, new] = [1, 2].map(|byte| Some(LeafSha256::new([byte; 32])));
    let mut repairs = Repairs::default();
    repairs.note_leaf(old);
    attempt(&mut repairs, "given", 0, AttemptEnd::Done);
    for attempted in 0..3 {
        attempt(&mut repairs, "stays", attempted * HOUR, AttemptEnd::Failed);
    }
    repairs.heed(&list(8 * HOUR, &["stays"]), true, at(8 * HOUR));
    assert_eq!(staying(&repairs), ["stays"]);
    let known = repairs.clone();
    for same in [None, old] {
        repairs.note_leaf(same);
        assert_eq!(repairs, known, "{same:?}");
    }
    repairs.note_leaf(new);
    assert_eq!(repairs.heed(&list(9 * HOUR, &["stays"]), true, at(9 * HOUR)), BTreeMap::new(), "it has the old one");
    assert_eq!(staying(&repairs), [""; 0]);
    assert_eq!(due(&repairs, &list(9 * HOUR, &["stays", "given"]), 9 * HOUR), ["given", "stays"]);
    // Of which certificate it was is not known.
    let mut repairs = Repairs::default();
    attempt(&mut repairs, "a", 0, AttemptEnd::Done);
    repairs.note_leaf(new);
    assert!(repairs.tried.is_empty());
}

/// A site may have more that are off than are remembered.
#[test]
fn those_that_no_list_has_any_more_make_room_for_those_that_one_has() {
    let mut repairs = Repairs::default();
    for number in 0..MOST_REMEMBERED {
        attempt(&mut repairs, &format!("pc-{number}"), 0, AttemptEnd::Failed);
    }
    assert_eq!(due(&repairs, &list(HOUR, &["new"]), HOUR), [""; 0]);
    for hour in [1, 2] {
        repairs.heed(&list(hour * HOUR, &["new"]), true, at(hour * HOUR));
    }
    assert_eq!(due(&repairs, &list(2 * HOUR, &["new"]), 2 * HOUR), ["new"]);
    repairs.begin(&client("new"), at(2 * HOUR));
    assert_eq!(repairs.tried.len(), MOST_REMEMBERED);
}

#[test]
fn an_attempt_that_this_host_was_kept_from_is_none() {
    let mut repairs = Repairs::default();
    let before = repairs.begin(&client("a"), at(0));
    repairs.take_back(&client("a"), before);
    assert_eq!(repairs, Repairs::default());
    attempt(&mut repairs, "a", 0, AttemptEnd::Failed);
    let known = repairs.clone();
    let before = repairs.begin(&client("a"), at(HOUR));
    repairs.take_back(&client("a"), before);
    assert_eq!(repairs, known);
}

/// It was off, and fell out of the list for a while.
#[test]
fn a_client_that_one_list_leaves_out_and_the_next_one_names_was_not_repaired() {
    let mut repairs = Repairs::default();
    for attempted in [0, HOUR] {
        attempt(&mut repairs, "a", attempted, AttemptEnd::Failed);
    }
    let known = repairs.clone();
    // As often as a list is made within that while.
    for second in [HOUR + 60, HOUR + 120, HOUR + 19 * 60] {
        assert_eq!(repairs.heed(&list(second, &["b"]), true, at(second)), BTreeMap::new(), "{second}");
        assert_eq!(due(&repairs, &list(second, &[]), second), [""; 0]);
    }
    let incomplete = Listing { is_complete: false, ..list(3 * HOUR, &["b"]) };
    assert_eq!(repairs.heed(&incomplete, true, at(3 * HOUR)), BTreeMap::new(), "it does not name everybody");
    let back = list(3 * HOUR + 60, &["a"]);
    assert_eq!(repairs.heed(&back, true, at(3 * HOUR + 60)), BTreeMap::from([(RepairResult::Failed, 1)]));
    assert_eq!(repairs.tried[&client("a")].attempts, known.tried[&client("a")].attempts);
    assert_eq!(due(&repairs, &back, 3 * HOUR + 60), ["a"]);
    // And the same from the beginning: it takes two again.
    attempt(&mut repairs, "a", 4 * HOUR, AttemptEnd::Done);
    assert_eq!(repairs.heed(&list(5 * HOUR, &[]), true, at(5 * HOUR)), BTreeMap::new());
    assert_eq!(repairs.heed(&list(6 * HOUR, &[]), true, at(6 * HOUR)), BTreeMap::from([(RepairResult::Repaired, 1)]));
    assert!(repairs.tried[&client("a")].counted);
}

/// The server's program writes what a computer calls itself.
#[test]
fn a_client_that_is_written_in_capital_letters_once_is_the_same_and_is_told_as_it_was_begun() {
    let mut repairs = Repairs::default();
    attempt(&mut repairs, "PC-01", 0, AttemptEnd::Failed);
    repairs.heed(&list(HOUR, &["pc-01"]), true, at(HOUR));
    assert_eq!(due(&repairs, &list(HOUR, &["pc-01"]), HOUR), ["pc-01"]);
    attempt(&mut repairs, "pc-01", HOUR, AttemptEnd::Failed);
    let tried: Vec<_> = repairs.tried.iter().map(|(client, tried)| (client.as_str(), tried.attempts)).collect();
    assert_eq!(tried, [("pc-01", 2)]);
}

/// A cap on the names of a list leaves out others each time.
#[test]
fn a_client_that_a_shortened_list_does_not_name_is_not_taken_for_repaired() {
    let mut repairs = Repairs::default();
    attempt(&mut repairs, "a", 0, AttemptEnd::Done);
    let shortened = |begun| Listing { is_complete: false, ..list(begun, &["b"]) };
    assert_eq!(repairs.heed(&shortened(10), true, at(10)), BTreeMap::new());
    assert!(!repairs.tried.is_empty());
    repairs.heed(&shortened(49 * HOUR), true, at(49 * HOUR));
    assert!(repairs.tried.is_empty(), "it is not remembered for ever");
}

#[test]
fn a_clock_that_was_set_back_holds_up_a_client_for_no_longer_than_a_pause() {
    let mut repairs = Repairs::default();
    attempt(&mut repairs, "a", 100 * 24 * HOUR, AttemptEnd::Failed);
    let now = HOUR;
    repairs.heed(&list(now, &["a"]), true, at(now));
    let later = list(now + HOUR, &["a"]);
    assert_eq!(repairs.heed(&later, true, at(now + HOUR)), BTreeMap::from([(RepairResult::Failed, 1)]));
    assert_eq!(due(&repairs, &later, now + HOUR), ["a"]);
}

#[test]
fn a_list_of_any_length_is_begun_with_few_and_remembered_in_bounded_room() {
    let names: Vec<_> = (0..MOST_REMEMBERED + 500).map(|number| format!("pc-{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let (mut repairs, all) = (Repairs::default(), list(0, &names));
    loop {
        let due = repairs.due(&all, LIMITS, at(1));
        assert!(due.len() <= MOST_OF_ONE_LIST);
        if due.is_empty() {
            break;
        }
        for client in due {
            repairs.begin(&client, at(1));
        }
    }
    assert_eq!(repairs.tried.len(), MOST_REMEMBERED);
    let read: Repairs = serde_json::from_slice(&serde_json::to_vec(&repairs).expect("json")).expect("read");
    assert_eq!(read, repairs);
}

/// How a client takes to being repaired.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// At the attempt of that number; the server notices so many minutes later.
    Repairable { attempt: u32, late: i64 },
    /// Never, however its program ends.
    Hopeless(AttemptEnd),
    /// Its attempt is never seen to end: this program is killed each time.
    CutOff,
}

fn kind() -> impl Strategy<Value = Kind> {
    let ends = prop_oneof![Just(AttemptEnd::Done), Just(AttemptEnd::Failed), Just(AttemptEnd::TimedOut)];
    prop_oneof![
        (1_u32..=3, 0_i64..50).prop_map(|(attempt, late)| Kind::Repairable { attempt, late }),
        ends.prop_map(Kind::Hopeless),
        Just(Kind::CutOff),
    ]
}

/// Of a step: each pause is a multiple of it.
const STEP: usize = 5;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// It ends: no client is tried more often than it may be, none in vain where it can be repaired, and each attempt is counted once.
    #[test]
    fn whatever_clients_there_are_those_that_can_be_repaired_are_and_the_others_stay(
        kinds in prop::collection::vec(kind(), 1..40),
        attempts in 3_u32..6,
        restarts in 0_i64..200,
    ) {
        let limits = Limits { attempts };
        let name = |index: usize| client(&format!("pc-{index:02}"));
        let mut repairs = Repairs::default();
        let mut begun: Vec<Vec<i64>> = vec![Vec::new(); kinds.len()];
        let mut gone_at: Vec<Option<i64>> = vec![None; kinds.len()];
        let (mut listed, mut results) = (None::<Listing>, BTreeMap::<RepairResult, u64>::new());
        for minute in (0..(8 * 24 * 60)).step_by(STEP) {
            let now = at(minute * 60);
            if restarts > 0 && minute % (restarts * 5) == 0 {
                // What is durable is all that is left, and the list is made anew.
                repairs = serde_json::from_slice(&serde_json::to_vec(&repairs).expect("json")).expect("read");
                listed = None;
            }
            let is_wanted = |listed: &Listing| minute % 60 == 0 || repairs.wants_list(listed.begun, now).is_some();
            if listed.as_ref().is_none_or(is_wanted) {
                let names = (0..kinds.len()).filter(|index| gone_at[*index].is_none_or(|gone| gone > minute)).map(name);
                let made = Listing { begun: now, names: names.collect(), is_complete: true };
                for (result, count) in repairs.heed(&made, true, now) {
                    *results.entry(result).or_default() += count;
                }
                listed = Some(made);
            }
            let listed = listed.as_ref().expect("it was made");
            let due = repairs.due(listed, limits, now);
            prop_assert!(due.len() <= MOST_OF_ONE_LIST);
            for client in due {
                let index = (0..kinds.len()).find(|index| name(*index) == client).expect("one of them");
                repairs.begin(&client, now);
                begun[index].push(minute);
                let nth = u32::try_from(begun[index].len()).expect("few");
                match kinds[index] {
                    Kind::Repairable { attempt, late } => {
                        repairs.end(&client, AttemptEnd::Done, now);
                        if nth >= attempt {
                            gone_at[index].get_or_insert(minute + late);
                        }
                    }
                    Kind::Hopeless(how) => repairs.end(&client, how, now),
                    Kind::CutOff => {}
                }
            }
        }
        let stay: BTreeSet<_> = repairs.staying(limits).cloned().collect();
        for (index, kind) in kinds.iter().enumerate() {
            let begun = &begun[index];
            prop_assert!(begun.windows(2).all(|two| two[1] - two[0] >= 60), "{:?} {:?}", kind, begun);
            let days = usize::try_from(begun.last().copied().unwrap_or_default() / (24 * 60)).expect("few");
            prop_assert!(begun.len() <= usize::try_from(attempts).expect("few") + days, "{:?} {:?}", kind, begun);
            match kind {
                Kind::Repairable { attempt, .. } => {
                    prop_assert_eq!(begun.len(), usize::try_from(*attempt).expect("few"));
                    prop_assert!(!stay.contains(&name(index)));
                }
                Kind::Hopeless(_) | Kind::CutOff => prop_assert!(stay.contains(&name(index)), "{:?} {:?}", kind, begun),
            }
        }
        let all: u64 = results.values().sum();
        let made: usize = begun.iter().map(Vec::len).sum();
        // The last one of each that stays may not be over yet.
        let open = u64::try_from(stay.len()).expect("few");
        let made = u64::try_from(made).expect("few");
        prop_assert!(all <= made && made <= all + open, "{} {} {}", all, made, open);
    }
}
