//! The rotation machine against a model of the host: every order of success, failure, crash, reboot, full disk, and of stops of
//! the program.
//!
//! The search keeps what a host would keep (the journal, the files, the service) and forgets the rest at a crash.

#![allow(clippy::expect_used, reason = "tests")]

use std::collections::{HashMap, VecDeque};

use kagiban_crds::LeafSha256;
use kagiban_exporter::rotation::machine::{Before, Cause, Effect, Event, Finding, Standing, State, Undo};
use kagiban_exporter::rotation::resume::{MAX_RECOVERIES, Mend, Mended};
use kagiban_exporter::rotation::stopping::{self, AtStop, at_stop, may_end_after};

/// One more than the recoveries that are tried, so that giving up is seen too.
const MAX_CRASHES: u32 = 5;
const MAX_JOURNAL_FAILURES: u32 = 2;
/// The longest way, to the last step of a rollback, has fewer states.
const MAX_STEPS: u32 = 20;
/// More than are ever right; counting further would make every freeze that ends and comes back a new world.
const MAX_STARTS: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Files {
    Old,
    New,
    /// Some replaced, some not.
    Mixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Service {
    Running(Files),
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    /// The last start of it failed, so that it may be down although everything was done.
    start_failed: bool,
    /// A stop was begun and not seen to end: the service may go down at any moment, and takes a start for done until then.
    is_draining: bool,
    /// What is known of that, and what a restart would find of it.
    stop_begun: Option<()>,
    journalled_stop: Option<()>,
    /// The program was told to end.
    is_stopping: bool,
    /// It has ended so.
    has_left: bool,
    /// A freeze has ended by itself, or the program was stopped: what was done before it and after it does not add up to one
    /// rotation.
    was_parted: bool,
    /// The exporter has read its journal, and has not made the files whole yet.
    is_starting: bool,
    /// What a restart would find.
    journal: State,
    state: State,
    files: Files,
    backup: bool,
    service: Service,
    starts: u32,
    crashes: u32,
    journal_failures: u32,
    recoveries: u32,
    steps: u32,
}

/// How an effect ended, and how it left the host.
struct Outcome {
    event: Event,
    files: Files,
    backup: bool,
    service: Service,
    is_draining: bool,
    started: bool,
    start_failed: bool,
}

impl Outcome {
    /// The same while a stop may still end the service.
    fn not_yet(&self) -> Self {
        Self { event: Event::Unsettled, ..*self }
    }
}

/// An end that leaves the host as it is.
fn same(world: &World, event: Event) -> Outcome {
    Outcome {
        event,
        files: world.files,
        backup: world.backup,
        service: world.service,
        is_draining: world.is_draining,
        started: false,
        start_failed: world.start_failed,
    }
}

fn failed() -> Cause {
    Cause::new("failed", "it failed")
}

fn served() -> Before {
    Before::Served(LeafSha256::new([7; 32]))
}

/// Everything that may come of a state's effect. Success is only possible where the host allows it; failure always is,
/// and leaves the host in any state between before and after.
fn outcomes(world: &World) -> Vec<Outcome> {
    let unsettled = |outcome: &Outcome| {
        let proves_nothing = matches!(world.state.effect(), Effect::EnsureStarted | Effect::VerifyOld);
        proves_nothing && world.stop_begun.is_some() && outcome.event == Event::Done
    };
    let mut outcomes = settled_outcomes(world);
    let not_yet: Vec<_> = outcomes.iter().filter(|outcome| unsettled(outcome)).map(Outcome::not_yet).collect();
    if world.is_draining {
        outcomes.retain(|outcome| !unsettled(outcome));
    }
    outcomes.extend(not_yet);
    outcomes
}

/// The same, whatever a stop that was begun may still do.
fn settled_outcomes(world: &World) -> Vec<Outcome> {
    let outcome = |event| same(world, event);
    let done = || outcome(Event::Done);
    let fails = || outcome(Event::Failed(failed()));
    let any_service = [world.service, Service::Stopped, Service::Running(world.files)];
    match world.state.effect() {
        Effect::MakeKey | Effect::Stage | Effect::Inspect | Effect::Discard => vec![done(), fails()],
        Effect::BackUp => vec![Outcome { backup: true, ..done() }, Outcome { backup: true, ..fails() }, fails()],
        Effect::Preflight => {
            vec![outcome(Event::Cleared(served())), outcome(Event::Cleared(Before::NotServed)), fails()]
        }
        Effect::Stop | Effect::EnsureStopped => {
            let stopped = Outcome { service: Service::Stopped, is_draining: false, ..done() };
            let failing = |service| Outcome { service, is_draining: service != Service::Stopped, ..fails() };
            any_service.map(failing).into_iter().chain([stopped]).collect()
        }
        Effect::Swap => {
            let halfway = [Files::Old, Files::Mixed, Files::New].map(|files| Outcome { files, ..fails() });
            halfway.into_iter().chain([Outcome { files: Files::New, ..done() }]).collect()
        }
        Effect::Restore => {
            let halfway = [world.files, Files::Mixed, Files::Old].map(|files| Outcome { files, ..fails() });
            let restored = world.backup.then(|| Outcome { files: Files::Old, ..done() });
            halfway.into_iter().chain(restored).collect()
        }
        Effect::Start | Effect::EnsureStarted => {
            let up = Outcome { service: Service::Running(world.files), started: true, start_failed: false, ..done() };
            let failing = any_service.map(|service| Outcome { service, started: true, start_failed: true, ..fails() });
            failing.into_iter().chain((world.files != Files::Mixed).then_some(up)).collect()
        }
        Effect::CheckFiles => vec![if world.files == Files::New { done() } else { fails() }],
        Effect::VerifyNew | Effect::LookForNew => {
            let seen = world.service == Service::Running(Files::New);
            [fails()].into_iter().chain(seen.then(done)).collect()
        }
        // It is down, or the time is over: longer than that no service drains. What was seen then may be anything.
        Effect::WatchOld => {
            let over = Outcome { is_draining: false, ..fails() };
            let seen = world.service == Service::Running(Files::Old);
            [over].into_iter().chain(seen.then(|| Outcome { is_draining: false, ..done() })).collect()
        }
        Effect::VerifyOld | Effect::LookForOld => {
            let seen = world.service == Service::Running(Files::Old);
            [fails()].into_iter().chain(seen.then(done)).collect()
        }
        // A freeze takes longer than any drain.
        Effect::Nothing => findings(world)
            .into_iter()
            .map(|(finding, files)| Outcome { files, is_draining: false, ..outcome(Event::Frozen(finding)) })
            .collect(),
        Effect::AwaitChain => Vec::new(),
    }
}

/// What may be found out about a frozen agent, and how it leaves the files.
fn findings(world: &World) -> Vec<(Finding, Files)> {
    let State::Frozen { standing, .. } = &world.state else { return Vec::new() };
    let restored = matches!(standing, Standing::NotRestored { .. }) && world.backup;
    let old_served = world.files == Files::Old && world.service == Service::Running(Files::Old);
    let new_served = world.files == Files::New && world.service == Service::Running(Files::New);
    let found = [
        old_served.then_some((Finding::OldServed, world.files)),
        new_served.then_some((Finding::NewServed, world.files)),
        restored.then_some((Finding::Restored, Files::Old)),
    ];
    found.into_iter().flatten().collect()
}

/// The worlds that may follow.
fn successors(world: &World) -> Vec<World> {
    if world.is_starting {
        return resumed(world);
    }
    let mut next = Vec::new();
    // One such end in each way is enough, and any state is met without more crashes than this before it.
    if !world.is_stopping && !world.was_parted && world.crashes <= 1 {
        next.push(World { is_stopping: true, ..world.clone() });
    }
    let mut outcomes = outcomes(world);
    if world.is_stopping {
        // Nobody knows when the time is over before it is.
        let may_still_end = world.stop_begun.is_some();
        let decisions = [may_still_end, may_still_end && world.is_draining].map(|may| at_stop(&world.state, may));
        if decisions.contains(&AtStop::Leave) {
            next.push(left(world));
        }
        let instead = decisions.iter().filter_map(|decision| match decision {
            AtStop::Instead(event) => Some(same(world, event.clone())),
            AtStop::GoOn | AtStop::Leave => None,
        });
        let instead: Vec<_> = instead.collect();
        if !decisions.contains(&AtStop::GoOn) {
            outcomes.clear();
        }
        outcomes.extend(instead);
    }
    for outcome in outcomes {
        let after = World {
            files: outcome.files,
            backup: outcome.backup,
            service: outcome.service,
            is_draining: outcome.is_draining,
            start_failed: outcome.start_failed,
            starts: (world.starts + u32::from(outcome.started)).min(MAX_STARTS),
            steps: if world.state.is_decided() { 0 } else { world.steps + 1 },
            was_parted: world.was_parted || world.state.is_decided(),
            ..world.clone()
        };
        let stop_begun = world.stop_begun.filter(|()| may_end_after(&world.state, &outcome.event));
        let begun = |state: &State| stopping::stop_begun(stop_begun, state, ());
        let leaves = world.is_stopping
            && stopping::leaves_after_failure(world.state.effect())
            && matches!(outcome.event, Event::Failed(_));
        if leaves {
            next.push(left(&after));
            next.extend(crashed(&after));
            continue;
        }
        let state = world.state.clone().after(outcome.event);
        let (journal, journalled_stop) = (state.clone(), begun(&state));
        next.push(World {
            journal,
            state: state.clone(),
            stop_begun: journalled_stop,
            journalled_stop,
            ..after.clone()
        });
        if world.journal_failures < MAX_JOURNAL_FAILURES {
            let instead = world.state.clone().unsaved(state, failed());
            let stop_begun = begun(&instead);
            let worse = World { journal_failures: world.journal_failures + 1, stop_begun, ..after.clone() };
            next.push(World { state: instead.clone(), ..worse.clone() });
            next.push(World { journal: instead.clone(), state: instead, journalled_stop: stop_begun, ..worse });
        }
        // Cut off after the effect, in whatever state it left the host, and before its end was written down.
        next.extend(crashed(&after));
    }
    next.extend(crashed(world));
    if world.is_draining {
        next.push(World { service: Service::Stopped, is_draining: false, start_failed: true, ..world.clone() });
    }
    next
}

/// The program has ended as it was told to, and is started again.
fn left(world: &World) -> World {
    let found = World { state: world.journal.clone(), stop_begun: world.journalled_stop, ..world.clone() };
    let found = World { crashes: MAX_CRASHES, ..found };
    // What a crash makes of the state that is found is followed without it. A freeze is told, and takes longer than any drain.
    let is_draining = world.is_draining && !matches!(world.state, State::Frozen { .. });
    World { is_draining, is_starting: true, is_stopping: false, steps: 0, has_left: true, was_parted: true, ..found }
}

/// The exporter alone is gone, or the host with it: then the service comes back by itself on whatever it finds.
fn crashed(world: &World) -> Vec<World> {
    if world.crashes == MAX_CRASHES {
        return Vec::new();
    }
    let decided = world.journal.is_decided();
    let recoveries = if decided { world.recoveries } else { world.recoveries + 1 };
    let down = World { crashes: world.crashes + 1, recoveries, steps: 0, ..world.clone() };
    let rebooted = match world.files {
        Files::Mixed => Service::Stopped,
        files => Service::Running(files),
    };
    let found = World { state: world.journal.clone(), stop_begun: world.journalled_stop, ..down };
    let down = World { is_starting: true, is_stopping: false, has_left: false, ..found };
    let rebooted =
        World { service: rebooted, is_draining: false, start_failed: world.files == Files::Mixed, ..down.clone() };
    // The stop that it had begun goes on without it.
    let is_stopped = matches!(world.state.effect(), Effect::Stop | Effect::EnsureStopped);
    let drains = is_stopped && !world.is_starting && world.service != Service::Stopped;
    // Of a stop on the way back that no journal tells of, because it could not be written, nobody knows after a crash.
    let is_draining = (world.is_draining || drains) && world.journalled_stop.is_some();
    vec![World { is_draining, ..down }, rebooted]
}

/// What a start makes of a host: the files become one set first, and every way in which that may go is followed. A crash in
/// the midst of it leaves the journal as it was found.
fn resumed(world: &World) -> Vec<World> {
    let resumption = world.journal.clone().resumed(world.recoveries);
    let entered = |files, mended| {
        let state = resumption.clone().mended(mended);
        let stop_begun = stopping::stop_begun(world.stop_begun, &state, ());
        let entered =
            World { files, journal: state.clone(), state, stop_begun, journalled_stop: stop_begun, ..world.clone() };
        World { is_starting: false, has_left: false, ..entered }
    };
    let cut_off = |files| crashed(&World { files, ..world.clone() });
    let going_back = |mended: Mended| {
        let halfway = [world.files, Files::Mixed];
        let failing = halfway.map(|files| entered(files, Err(failed())));
        let back = world.backup.then(|| entered(Files::Old, Ok(mended)));
        let cut_off = halfway.into_iter().chain(world.backup.then_some(Files::Old)).flat_map(cut_off);
        failing.into_iter().chain(back).chain(cut_off).collect()
    };
    match resumption.mend {
        Mend::Keep => vec![entered(world.files, Ok(Mended::AsTold))],
        Mend::Judge if world.files == Files::New => vec![entered(world.files, Ok(Mended::AsTold))],
        Mend::Judge => going_back(Mended::WentBack(failed())),
        Mend::GoBack => going_back(Mended::AsTold),
    }
}

fn check(world: &World) -> Result<(), &'static str> {
    let quiet = world.crashes == 0 && world.journal_failures == 0 && !world.was_parted;
    let rule = |holds: bool, broken| if holds { Ok(()) } else { Err(broken) };
    rule(world.files == Files::Old || world.backup, "files are replaced without a durable backup")?;
    rule(
        world.files == Files::Old || journal_knows_of_swap(&world.journal),
        "files are replaced and the journal does not say so",
    )?;
    // Holds A8: whoever told the program to end may not start it again.
    if world.has_left {
        rule(world.service != Service::Stopped || world.start_failed, "left with a stopped service")?;
        rule(!world.is_draining || world.start_failed, "left with a service that a stop is still ending")?;
    }
    if world.is_starting {
        return Ok(());
    }
    rule(world.steps <= MAX_STEPS, "a rotation does not end")?;
    rule(world.state.is_decided() || world.state.effect() != Effect::Nothing, "a state leads nowhere")?;
    match &world.state {
        State::Committed { .. } => {
            rule(world.files == Files::New, "committed with old files")?;
            rule(world.service == Service::Running(Files::New), "committed without being served")?;
            rule(!quiet || world.starts == 1, "more than one restart for a success")
        }
        State::RolledBack { .. } => {
            rule(world.files == Files::Old, "rolled back with new files")?;
            rule(world.service != Service::Stopped, "rolled back with a stopped service")?;
            rule(!world.is_draining, "rolled back with a service that a stop is still ending")?;
            // The third is of a service that a stop has ended that was not seen to end it.
            rule(!quiet || world.starts <= 3, "more than three restarts for a rollback")
        }
        // Holds A7: whatever has been given up, the files are one set unless they could not be put back, and the service
        // is up unless its start failed.
        State::Frozen { standing, .. } => {
            let could_not = matches!(standing, Standing::NotRestored { .. });
            rule(world.files != Files::Mixed || could_not, "frozen on a split set that nothing will mend")?;
            rule(world.service != Service::Stopped || world.start_failed, "frozen with a stopped service")
        }
        _ => Ok(()),
    }
}

fn journal_knows_of_swap(journal: &State) -> bool {
    matches!(
        journal,
        State::Swapping { .. }
            | State::Swapped { .. }
            | State::Restarting { .. }
            | State::Verifying { .. }
            | State::Resuming { .. }
            | State::Looking { .. }
            | State::Committed { .. }
            | State::Undoing { .. }
            | State::Frozen { .. }
    )
}

fn begin() -> World {
    World {
        journal: State::Validated,
        state: State::Validated,
        files: Files::Old,
        backup: false,
        service: Service::Running(Files::Old),
        start_failed: false,
        is_draining: false,
        stop_begun: None,
        journalled_stop: None,
        is_stopping: false,
        has_left: false,
        was_parted: false,
        is_starting: false,
        starts: 0,
        crashes: 0,
        journal_failures: 0,
        recoveries: 0,
        steps: 0,
    }
}

/// Messages grow with every failure and would make every world a new one.
fn without_messages(mut world: World) -> World {
    for state in [&mut world.journal, &mut world.state] {
        if let State::Discarding { failure }
        | State::Undoing { failure, .. }
        | State::RolledBack { failure }
        | State::Frozen { failure, .. } = state
        {
            *failure = failed();
        }
    }
    world
}

#[test]
fn no_order_of_failures_crashes_and_reboots_breaks_a_promise() {
    let mut seen: HashMap<World, Option<World>> = HashMap::new();
    let mut queue = VecDeque::from([begin()]);
    seen.insert(begin(), None);
    let (mut committed, mut rolled_back, mut frozen) = (0, 0, 0);
    while let Some(world) = queue.pop_front() {
        if let Err(broken) = check(&world) {
            let mut way = vec![world.clone()];
            while let Some(Some(before)) = way.last().and_then(|last| seen.get(last)) {
                way.push(before.clone());
            }
            way.reverse();
            panic!("{broken}:\n{way:#?}");
        }
        match world.state {
            State::Committed { .. } => committed += 1,
            State::RolledBack { .. } => rolled_back += 1,
            State::Frozen { .. } => frozen += 1,
            _ => {}
        }
        for next in successors(&world).into_iter().map(without_messages) {
            if !seen.contains_key(&next) {
                seen.insert(next.clone(), Some(world.clone()));
                queue.push_back(next);
            }
        }
    }
    assert!(committed > 0 && rolled_back > 0 && frozen > 0, "the search saw too little");
}

#[test]
fn recovery_of_a_recovery_is_the_same_recovery() {
    let before = served();
    let failure = failed();
    let undo = |step| State::Undoing { step, before, failure: failure.clone(), by_order: false };
    for state in [
        State::Keyed,
        State::Validated,
        State::BackedUp,
        State::Stopping { before },
        State::Swapping { before },
        State::Swapped { before },
        State::Verifying { before },
        State::Committed { before },
        undo(Undo::Look),
        undo(Undo::Watch),
        undo(Undo::Restore),
        undo(Undo::Verify),
        undo(Undo::StartAnyway),
        undo(Undo::LastStart),
        State::Frozen { failure: failure.clone(), standing: Standing::Whole },
    ] {
        let once = state.clone().resumed(1).mended(Ok(Mended::AsTold));
        assert_eq!(once.clone().resumed(2).mended(Ok(Mended::AsTold)), once, "{state:?}");
    }
}

/// Holds A7: the recovery that gives up puts the files back and starts the service before it freezes.
#[test]
fn a_rotation_that_crashes_again_and_again_is_frozen_with_whole_files_and_a_started_service() {
    let mut state = State::Swapped { before: served() };
    for recoveries in 1..=MAX_RECOVERIES {
        state = state.resumed(recoveries).mended(Ok(Mended::AsTold));
        assert!(!state.is_decided());
    }
    let last = state.resumed(MAX_RECOVERIES + 1);
    assert_eq!(last.mend, Mend::GoBack);
    let state = last.mended(Ok(Mended::AsTold));
    assert_eq!(state.effect(), Effect::EnsureStarted);
    let frozen = state.after(Event::Done);
    assert!(matches!(frozen, State::Frozen { failure, .. } if failure.reason == "recovery_failed"));
}

/// A rollback that somebody has ordered does not end as the commit that it was to undo.
#[test]
fn a_freeze_ends_with_its_cause_and_an_ordered_rollback_never_as_a_commit() {
    let frozen =
        |by_order| State::Frozen { failure: failed(), standing: Standing::NotRestored { before: served(), by_order } };
    let after = |by_order, finding| frozen(by_order).after(Event::Frozen(finding));
    assert_eq!(after(false, Finding::NewServed), State::Committed { before: served() });
    assert_eq!(after(true, Finding::NewServed), frozen(true));
    assert_eq!(after(true, Finding::Thawed), State::RolledBack { failure: failed() });
    assert_eq!(after(false, Finding::Restored).effect(), Effect::EnsureStopped);
    let whole = State::Frozen { failure: failed(), standing: Standing::Whole };
    assert_eq!(whole.clone().after(Event::Frozen(Finding::Restored)), whole);
}
