//! The steps of a renewal against a model of the host: every order of success, failure, crash, full disk and stop of the program.

#![allow(clippy::expect_used, reason = "tests")]

use std::collections::{HashSet, VecDeque};

use jiff::Timestamp;
use kagiban_crds::LeafSha256;
use kagiban_exporter::rotation::failure::RotationFailure;
use kagiban_exporter::rotation::machine::{Effect, Event, Phase};
use kagiban_exporter::rotation::resume::{MAX_RECOVERIES, Mend, Mended};
use kagiban_exporter::rotation::stopping::{AtStop, Outlook, at_stop};
use kagiban_exporter::rotation::trigger::renewal::{Renewal, ServedLeaf};

const MAX_CRASHES: u32 = MAX_RECOVERIES + 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    state: Phase,
    /// What a restart would find.
    journal: Phase,
    /// How often the program that renews was begun, and the one that brings back since it was last asked for.
    renewed: u32,
    reverted: u32,
    crashes: u32,
    is_stopping: bool,
    has_left: bool,
}

fn failed() -> RotationFailure {
    RotationFailure::new("failed", "it failed")
}

fn before() -> Option<ServedLeaf> {
    let not_after = Timestamp::from_second(1_800_000_000).expect("time");
    Some(ServedLeaf { sha256: LeafSha256::new([7; 32]), not_after })
}

/// How the effect may end.
fn events(effect: Effect) -> Vec<Event> {
    match effect {
        Effect::Preflight => {
            vec![
                Event::ClearedToRenew(before()),
                Event::ClearedToRenew(None),
                Event::ClearedToBackUp(before()),
                Event::Failed(failed()),
            ]
        }
        Effect::HaveBackedUp => vec![Event::ClearedToRenew(before()), Event::Failed(failed())],
        Effect::Nothing => vec![Event::OrderedToRevert(failed())],
        Effect::Settle => vec![Event::Done, Event::DoneWithoutFunction(failed()), Event::Failed(failed())],
        _ => vec![Event::Done, Event::Failed(failed())],
    }
}

/// The worlds after `event`, its entry in the journal written or not.
fn entered(world: &World, event: Event) -> [World; 2] {
    let next = world.state.clone().after(event);
    let written = World { state: next.clone(), journal: next.clone(), ..world.clone() };
    let unwritten = World { state: world.state.clone().unsaved(next, failed()), ..world.clone() };
    [written, unwritten]
}

fn successors(world: &World) -> Vec<World> {
    let mut next = Vec::new();
    if world.crashes < MAX_CRASHES {
        let crashes = world.crashes + 1;
        let resumption = world.journal.clone().resumed(crashes);
        assert_eq!(resumption.mend, Mend::Keep, "no file is replaced: {world:?}");
        let state = resumption.mended(Ok(Mended::AsTold), false);
        let begun = World { state: state.clone(), crashes, is_stopping: false, has_left: false, ..world.clone() };
        next.extend([World { journal: state, ..begun.clone() }, begun]);
    }
    if world.has_left {
        return next;
    }
    next.push(World { is_stopping: true, ..world.clone() });
    if world.is_stopping {
        match at_stop(&world.state, Outlook::Settled) {
            AtStop::Leave | AtStop::StartAndLeave | AtStop::StartIfDownAndLeave => {
                next.push(World { has_left: true, ..world.clone() });
            }
            AtStop::Instead(event) => next.extend(entered(world, event)),
            AtStop::GoOn => next.extend(performed(world)),
            AtStop::KeepUp => panic!("no stop of a service was begun: {:?}", world.state),
            AtStop::SeeUpAndLeave => panic!("no files were swapped: {:?}", world.state),
        }
        return next;
    }
    next.extend(performed(world));
    next
}

fn performed(world: &World) -> Vec<World> {
    let effect = world.state.effect();
    let mut begun = world.clone();
    match effect {
        Effect::Renew => begun.renewed += 1,
        Effect::Revert => begun.reverted += 1,
        _ => {}
    }
    // Once is enough to see what an order to go back leads to.
    if effect == Effect::Nothing && world.reverted > 0 {
        return Vec::new();
    }
    // What a crash in the middle of the effect leaves is the same journal.
    let cut_off = World { state: world.state.clone(), ..begun.clone() };
    let crashed = (effect == Effect::Renew || effect == Effect::Revert).then_some(cut_off);
    let crashed = crashed.filter(|world| world.crashes < MAX_CRASHES).into_iter().flat_map(|world| {
        let crashes = world.crashes + 1;
        let state = world.journal.clone().resumed(crashes).mended(Ok(Mended::AsTold), false);
        [World { state: state.clone(), journal: state, crashes, ..world }]
    });
    events(effect).into_iter().flat_map(|event| entered(&begun, event)).chain(crashed).collect()
}

#[test]
fn a_renewal_runs_its_program_once_at_most_and_ends_decided() {
    let state = Phase::Renewal { step: Renewal::Ordered };
    let first = World {
        journal: state.clone(),
        state,
        renewed: 0,
        reverted: 0,
        crashes: 0,
        is_stopping: false,
        has_left: false,
    };
    let (mut seen, mut queue) = (HashSet::from([first.clone()]), VecDeque::from([first]));
    let mut ends = HashSet::new();
    while let Some(world) = queue.pop_front() {
        assert!(world.renewed <= 1, "a second restart of the agent: {world:?}");
        assert!(world.reverted <= 2 + MAX_CRASHES, "it does not end: {world:?}");
        let next = successors(&world);
        let goes_on = !world.state.is_decided() && !world.has_left;
        assert!(!goes_on || next.iter().any(|next| next.state != world.state || next.has_left), "stuck: {world:?}");
        if world.state.is_decided() {
            ends.insert(world.state.reported().as_str());
            // The program may have changed what is served: only who never ran it may say that nothing was changed.
            let is_rolled_back = matches!(world.state, Phase::RolledBack { .. }) && world.renewed > 0;
            let was_called_off = world.journal.effect() == Effect::Renew;
            assert!(!is_rolled_back || world.reverted > 0 || was_called_off, "not taken back: {world:?}");
        }
        for world in next {
            if seen.insert(world.clone()) {
                queue.push_back(world);
            }
        }
    }
    assert_eq!(ends.len(), 3, "{ends:?}");
    assert!(seen.len() > 200, "{} worlds", seen.len());
}
