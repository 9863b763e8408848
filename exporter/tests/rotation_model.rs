//! The rotation machine against a model of the host: every order of success, failure, crash, reboot, full disk, and of stops of
//! the program.
//!
//! The search keeps what a host would keep (the journal, the files, the service) and forgets the rest at a crash.

#![allow(clippy::expect_used, reason = "tests")]

use std::collections::{HashMap, VecDeque};

use kagiban_crds::LeafSha256;
use kagiban_exporter::rotation::drain::{Responder, is_over};
use kagiban_exporter::rotation::failure::RotationFailure;
use kagiban_exporter::rotation::machine::{Before, Effect, Event, Finding, FrozenFiles, Phase, Rollback};
use kagiban_exporter::rotation::resume::{MAX_RECOVERIES, Mend, Mended};
use kagiban_exporter::rotation::stopping::{self, AtStop, Outlook, at_stop, was_begun};

/// One more than the recoveries that are tried, so that giving up is seen too.
const MAX_CRASHES: u32 = 5;
const MAX_JOURNAL_FAILURES: u32 = 2;
/// The same where stops may end early: the world is larger then.
const MAX_CRASHES_AND_EARLY_STOPS: u32 = 2;
const MAX_JOURNAL_FAILURES_AND_EARLY_STOPS: u32 = 1;
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
    /// On what it has read.
    Running(Files),
    /// Its process goes on after it has closed its listener: a start may find it running, and change nothing.
    Closed,
    Stopped,
}

/// How the service is stopped and started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Host {
    /// A stop that has ended well has ended the service.
    Honest,
    /// A stop may say that it is done while the service goes on, with its listener or without.
    Early,
    /// The same, and the service manager that has begun it knows when it has ended.
    Managed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    /// The last start of it failed, so that it may be down although everything was done.
    start_failed: bool,
    /// A stop was begun, whatever its command said: the service may close its listener and go down at any moment, and takes a
    /// start for done until then.
    is_draining: bool,
    /// What is known of that, with whether nobody has listened since, and what a restart would find of it.
    stop_begun: Option<bool>,
    journalled_stop: Option<bool>,
    /// The stop that the journal tells of is an earlier one.
    is_other_stop: bool,
    host: Host,
    /// The program was told to end.
    is_stopping: bool,
    /// It has ended so.
    has_left: bool,
    /// A freeze has ended by itself, or the program was stopped: what was done before it and after it does not add up to one
    /// rotation.
    was_parted: bool,
    /// A stop was said to be done before the service had ended: a start may have found it running then.
    was_early: bool,
    /// The service has ended by itself: it is started once more than one that has not.
    has_ended: bool,
    /// The new leaf was, and only the journal's entry is missing.
    is_verified: bool,
    /// The exporter has read its journal, and has not made the files whole yet.
    is_starting: bool,
    /// What a restart would find.
    journal: Phase,
    state: Phase,
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
#[derive(Clone, PartialEq)]
struct Outcome {
    event: Event,
    files: Files,
    backup: bool,
    service: Service,
    is_draining: bool,
    stop_begun: Option<bool>,
    started: bool,
    start_failed: bool,
}

impl Outcome {
    /// The same, the time being over for which a stop may end a service.
    fn in_the_end(self) -> Self {
        let service = if self.service == Service::Closed { Service::Stopped } else { self.service };
        Self { service, is_draining: false, stop_begun: None, ..self }
    }

    /// The same after a service that is down was started, on whatever lies there, or could not be.
    fn kept_up(self) -> Vec<Self> {
        if matches!(self.service, Service::Running(_)) {
            return vec![self];
        }
        let up = Self { service: Service::Running(self.files), started: true, is_draining: false, ..self.clone() };
        let is_whole = self.files != Files::Mixed;
        let fails = Self { started: true, start_failed: true, ..self };
        is_whole.then_some(up).into_iter().chain([fails]).collect()
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
        stop_begun: world.stop_begun,
        started: false,
        start_failed: world.start_failed,
    }
}

/// What a look says where a service on `wanted` is in order; on whatever files where there is none.
fn look(service: Service, wanted: Option<Files>) -> Responder {
    match service {
        Service::Closed | Service::Stopped => Responder::Nobody,
        Service::Running(files) if wanted.is_none_or(|wanted| wanted == files) => Responder::Wanted,
        Service::Running(_) => Responder::Other,
    }
}

/// What is known of a stop after a look.
fn noted(stop: Option<bool>, seen: Responder) -> Option<bool> {
    stop.filter(|was_down| !is_over(*was_down, seen)).map(|was_down| was_down || seen == Responder::Nobody)
}

/// What a service in order serves in a state.
fn wanted(state: &Phase) -> Option<Files> {
    match state {
        Phase::RollingBack { before: Before::NotServed, .. } | Phase::Frozen { .. } => None,
        Phase::RollingBack { .. } => Some(Files::Old),
        _ => Some(Files::New),
    }
}

fn failed() -> RotationFailure {
    RotationFailure::new("failed", "it failed")
}

fn served() -> Before {
    Before::Served(LeafSha256::new([7; 32]))
}

/// Everything that may come of a state's effect. Success is only possible where the host allows it; failure always is,
/// and leaves the host in any state between before and after.
fn outcomes(world: &World) -> Vec<Outcome> {
    let outcome = |event| same(world, event);
    let done = || outcome(Event::Done);
    let fails = || outcome(Event::Failed(failed()));
    let any_service = [world.service, Service::Stopped, Service::Running(world.files)];
    let seen = look(world.service, wanted(&world.state));
    let seen_after = |outcome: Outcome| {
        let stop_begun = noted(outcome.stop_begun, look(outcome.service, wanted(&world.state)));
        Outcome { stop_begun, ..outcome }
    };
    match world.state.effect() {
        Effect::MakeKey | Effect::Stage | Effect::Discard => vec![done(), fails()],
        // Its last look may fail, and then says nothing.
        Effect::Inspect => vec![done(), seen_after(done()), fails()],
        Effect::BackUp => vec![Outcome { backup: true, ..done() }, Outcome { backup: true, ..fails() }, fails()],
        Effect::Preflight => {
            vec![outcome(Event::Cleared(served())), outcome(Event::Cleared(Before::NotServed)), fails()]
        }
        Effect::Stop | Effect::EnsureStopped => {
            let is_honest = world.host == Host::Honest;
            let closed = (world.service != Service::Stopped && !is_honest).then_some(Service::Closed);
            let ends = any_service.into_iter().chain(closed);
            let is_draining = |service| matches!(service, Service::Running(_));
            let said = |service, said: Outcome| Outcome { service, is_draining: is_draining(service), ..said };
            let goes_on = (!is_honest).then_some(world.service);
            let early = closed.into_iter().chain(goes_on).chain([Service::Stopped]);
            ends.map(|service| said(service, fails())).chain(early.map(|service| said(service, done()))).collect()
        }
        Effect::Swap => {
            let halfway = [Files::Old, Files::Mixed, Files::New].map(|files| Outcome { files, ..fails() });
            halfway.into_iter().chain([Outcome { files: Files::New, ..done() }]).collect()
        }
        Effect::Restore => {
            let halfway = [world.files, Files::Mixed, Files::Old].map(|files| Outcome { files, ..fails() });
            let restored = Outcome { files: Files::Old, ..done() };
            let restored = world.backup.then(|| [restored.clone(), seen_after(restored)]);
            halfway.into_iter().chain(restored.into_iter().flatten()).collect()
        }
        Effect::Start | Effect::EnsureStarted => starts(world),
        Effect::CheckFiles => vec![if world.files == Files::New { done() } else { fails() }],
        Effect::LookForNew | Effect::LookForOld => {
            let found = (seen == Responder::Wanted).then(|| seen_after(done()));
            [fails(), seen_after(fails())].into_iter().chain(found).collect()
        }
        // It is down, or the time is over: longer than that no service drains. What was seen then may be anything.
        Effect::WatchOld => {
            let is_seen = seen == Responder::Nobody && wanted(&world.state).is_some();
            let down = is_seen.then(|| seen_after(fails()));
            let up = (seen_after(done()).stop_begun.is_none() && seen == Responder::Wanted).then(|| seen_after(done()));
            let over = (seen == Responder::Wanted && wanted(&world.state).is_some()).then(|| done().in_the_end());
            [fails().in_the_end()].into_iter().chain(down).chain(up).chain(over).collect()
        }
        Effect::Drain => drains(world),
        // What a stop may still end is kept up first.
        Effect::VerifyNew if world.is_verified => vec![done()],
        Effect::VerifyOld | Effect::VerifyNew => {
            let is_old = world.state.effect() == Effect::VerifyOld;
            let after_that = kept_up(world).into_iter().flat_map(|kept| {
                let is_served = look(kept.service, wanted(&world.state)) == Responder::Wanted;
                let done = is_served.then(|| Outcome { event: Event::Done, ..kept.clone() });
                let fails = Outcome { event: Event::Failed(failed()), ..kept };
                // One that is down in the end is started once more in a rollback.
                let fails = if is_old { fails.kept_up() } else { vec![fails] };
                done.into_iter().chain(fails).collect::<Vec<_>>()
            });
            after_that.chain((!is_old).then(fails)).collect()
        }
        // A freeze takes longer than any drain.
        Effect::Nothing => findings(world)
            .into_iter()
            .flat_map(|(finding, files)| {
                let found = outcome(Event::Frozen(finding));
                let over = Outcome { stop_begun: world.stop_begun, ..found.clone().in_the_end() };
                // Or a look before it has said that the stop is over.
                let seen = Some(seen_after(found)).filter(|found| found.stop_begun.is_none());
                [over].into_iter().chain(seen).map(move |found| Outcome { files, ..found })
            })
            .collect(),
        // The last four belong to agents that renew their own certificate.
        Effect::AwaitChain | Effect::HaveBackedUp | Effect::Renew | Effect::Prove | Effect::Revert | Effect::Settle => {
            Vec::new()
        }
    }
}

/// What may come of keeping a service up until a stop that an earlier run has begun is over. Which it is, is seen only where it
/// was down before.
fn drains(world: &World) -> Vec<Outcome> {
    let in_the_end = same(world, Event::Done).in_the_end();
    kept_up(world)
        .into_iter()
        .flat_map(|kept| {
            let is_unknown = wanted(&world.state).is_none() && kept == in_the_end;
            let is_served = look(kept.service, wanted(&world.state)) == Responder::Wanted && !is_unknown;
            let done = is_served.then(|| Outcome { event: Event::Done, ..kept.clone() });
            done.into_iter().chain([Outcome { event: Event::Failed(failed()), ..kept }])
        })
        .collect()
}

/// What may come of a start. A service whose process goes on takes it for done; one that has closed its listener may not.
fn starts(world: &World) -> Vec<Outcome> {
    let done = || same(world, Event::Done);
    let any_service = [world.service, Service::Stopped, Service::Running(world.files)];
    let failing = any_service.map(|service| {
        let is_draining = world.is_draining && matches!(service, Service::Running(_));
        let fails = same(world, Event::Failed(failed()));
        Outcome { service, is_draining, started: true, start_failed: true, ..fails }
    });
    let up = Outcome { service: Service::Running(world.files), started: true, start_failed: false, ..done() };
    // The manager starts it when it has ended.
    let is_queued = world.host == Host::Managed && world.is_stopping;
    let up = Outcome { is_draining: world.is_draining && !is_queued, ..up };
    let found_running = (world.service == Service::Closed || world.is_draining) && !is_queued;
    let found_running = found_running.then(|| Outcome { start_failed: false, ..done() });
    let may_end = world.state.effect() == Effect::EnsureStarted && world.stop_begun.is_some() && !is_queued;
    let event = if may_end { Event::Unsettled } else { Event::Done };
    let well = (world.files != Files::Mixed).then_some(up).into_iter().chain(found_running);
    let ended = failing.into_iter().chain(well.map(|outcome| Outcome { event: event.clone(), ..outcome }));
    // Whether anybody listens is looked at before that.
    let seen = noted(world.stop_begun, look(world.service, wanted(&world.state)));
    let has_looked = world.state.effect() == Effect::EnsureStarted && seen != world.stop_begun;
    ended
        .flat_map(|ended| [has_looked.then(|| Outcome { stop_begun: seen, ..ended.clone() }), Some(ended)])
        .flatten()
        .collect()
}

/// How a service that a stop may still end is kept up until it can end it no more.
fn kept_up(world: &World) -> Vec<Outcome> {
    let now = same(world, Event::Done);
    if world.stop_begun.is_none() {
        return vec![now];
    }
    let seen = |outcome: &Outcome| noted(outcome.stop_begun, look(outcome.service, wanted(&world.state)));
    let over = now.clone().in_the_end().kept_up();
    // A start of one that was seen down.
    let was_down = Outcome { stop_begun: Some(true), ..now.clone() };
    let restarted = if matches!(now.service, Service::Running(_)) { Vec::new() } else { was_down.kept_up() };
    let settled = [now].into_iter().chain(restarted).filter(|outcome| seen(outcome).is_none());
    let settled = settled.map(|outcome| Outcome { stop_begun: None, ..outcome });
    settled.chain(over).collect()
}

/// What may be found out about a frozen agent, and how it leaves the files.
fn findings(world: &World) -> Vec<(Finding, Files)> {
    let Phase::Frozen { standing, .. } = &world.state else { return Vec::new() };
    let restored = matches!(standing, FrozenFiles::NotRestored { .. }) && world.backup;
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
        let outlook = match world.stop_begun {
            None => Outlook::Settled,
            Some(_) if world.host == Host::Managed => Outlook::NeedsStart,
            Some(_) => Outlook::MayEnd,
        };
        match at_stop(&world.state, outlook) {
            AtStop::GoOn => {}
            AtStop::Instead(event) => outcomes = vec![same(world, event)],
            AtStop::Leave => {
                outcomes.clear();
                next.push(left(world));
            }
            AtStop::SeeUpAndLeave if world.is_up() => {
                outcomes.clear();
                next.push(left(world));
            }
            AtStop::SeeUpAndLeave => outcomes = vec![same(world, Event::Failed(failed()))],
            AtStop::StartIfDownAndLeave if world.is_up() => {
                outcomes.clear();
                next.push(left(world));
            }
            AtStop::StartAndLeave | AtStop::StartIfDownAndLeave => {
                outcomes.clear();
                for outcome in starts(world) {
                    let after = world.with(&outcome);
                    let fails = matches!(outcome.event, Event::Failed(_));
                    let kept = if fails { kept_up(&after) } else { vec![outcome] };
                    next.extend(kept.iter().map(|outcome| left(&after.with(outcome))));
                }
            }
            AtStop::KeepUp => {
                let kept = kept_up(world).into_iter();
                next.extend(kept.clone().map(|outcome| world.with(&outcome)));
                let goes_back = matches!(world.state, Phase::Verifying { .. });
                let fails = kept.filter(|outcome| goes_back && outcome.started && outcome.start_failed);
                outcomes = fails.map(|outcome| Outcome { event: Event::Failed(failed()), ..outcome }).collect();
            }
        }
    }
    for outcome in outcomes {
        let is_stop = matches!(world.state.effect(), Effect::Stop | Effect::EnsureStopped);
        let is_early = is_stop && outcome.event == Event::Done && outcome.service != Service::Stopped;
        let after = World {
            was_early: world.was_early || is_early,
            is_verified: false,
            steps: if world.state.is_decided() { 0 } else { world.steps + 1 },
            was_parted: world.was_parted || world.state.is_decided(),
            ..world.with(&outcome)
        };
        let stop_begun = outcome.stop_begun.filter(|_| was_begun(&world.state, &outcome.event));
        let begun = |state: &Phase| stopping::stop_begun(stop_begun, state, || false);
        if stopping::decides_nothing(world.state.effect(), &outcome.event, world.is_stopping) {
            // Not before a stop can end it no more.
            next.extend(kept_up(&after).iter().map(|outcome| left(&after.with(outcome))));
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
            is_other_stop: false,
            ..after.clone()
        });
        if world.journal_failures < world.limits().1 {
            let instead = world.state.clone().unsaved(state.clone(), failed());
            let stop_begun = begun(&instead);
            let is_verified = matches!((&state, &instead), (Phase::Committed { .. }, Phase::Verifying { .. }));
            let failures = world.journal_failures + 1;
            let worse = World { journal_failures: failures, stop_begun, is_verified, ..after.clone() };
            if is_verified {
                // It may be on the disk all the same: only its sync has failed.
                next.push(World { journal: state.clone(), state: instead.clone(), ..worse.clone() });
            }
            let is_other_stop = world.is_other_stop || instead.effect() == Effect::EnsureStopped;
            next.push(World { state: instead.clone(), is_other_stop, ..worse.clone() });
            let worse = World { journalled_stop: stop_begun, is_other_stop: false, ..worse };
            next.push(World { journal: instead.clone(), state: instead, ..worse });
        }
        // Cut off after the effect, in whatever state it left the host, and before its end was written down.
        next.extend(crashed(&after));
    }
    next.extend(crashed(world));
    next.extend(drained(world));
    // A service may end by itself where its files do not suit it.
    let is_looked_for =
        matches!(world.state, Phase::Verifying { .. } | Phase::RollingBack { step: Rollback::Verify, .. });
    let is_early = world.crashes == 0 && world.journal_failures == 0;
    if is_looked_for && is_early && world.is_up() && !world.has_ended && !world.is_draining && !world.is_verified {
        next.push(World { service: Service::Stopped, has_ended: true, ..world.clone() });
    }
    next
}

/// What a stop does to the service in its own time. One that reads its files again by itself may do so until then.
fn drained(world: &World) -> Vec<World> {
    // A frozen agent that goes down is started again in time.
    let is_frozen = matches!(world.state, Phase::Frozen { .. }) && !world.is_stopping;
    let down = World {
        service: Service::Stopped,
        is_draining: false,
        start_failed: world.start_failed || is_frozen,
        ..world.clone()
    };
    match world.service {
        Service::Stopped => Vec::new(),
        Service::Closed => vec![down],
        Service::Running(_) if !world.is_draining => Vec::new(),
        Service::Running(_) => {
            let reloaded = (world.files != Files::Mixed)
                .then(|| World { service: Service::Running(world.files), ..world.clone() });
            let closed = World { service: Service::Closed, ..down.clone() };
            let others = [closed].into_iter().chain(reloaded).filter(|_| world.host != Host::Honest);
            [down.clone()].into_iter().chain(others).collect()
        }
    }
}

impl World {
    /// Of crashes, and of journals that cannot be written.
    const fn limits(&self) -> (u32, u32) {
        match self.host {
            Host::Honest => (MAX_CRASHES, MAX_JOURNAL_FAILURES),
            Host::Early => (MAX_CRASHES_AND_EARLY_STOPS, MAX_JOURNAL_FAILURES_AND_EARLY_STOPS),
            // What a manager is left to do is asked for once the program is to end.
            Host::Managed => (1, 0),
        }
    }

    fn is_up(&self) -> bool {
        matches!(self.service, Service::Running(_))
    }

    /// The host after an effect has ended so, in the same state.
    fn with(&self, outcome: &Outcome) -> Self {
        Self {
            files: outcome.files,
            backup: outcome.backup,
            service: outcome.service,
            is_draining: outcome.is_draining,
            stop_begun: outcome.stop_begun,
            start_failed: outcome.start_failed,
            starts: (self.starts + u32::from(outcome.started)).min(MAX_STARTS),
            ..self.clone()
        }
    }
}

/// The program has ended as it was told to, and is started again.
fn left(world: &World) -> World {
    let found = World { state: world.journal.clone(), stop_begun: world.journalled_stop, ..world.clone() };
    let found = World { crashes: MAX_CRASHES, is_verified: false, ..found };
    // What a crash makes of the state that is found is followed without it.
    World { is_starting: true, is_stopping: false, steps: 0, has_left: true, was_parted: true, ..found }
}

/// The exporter alone is gone, or the host with it: then the service comes back by itself on whatever it finds.
fn crashed(world: &World) -> Vec<World> {
    if world.crashes >= world.limits().0 {
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
    let down = World { is_starting: true, is_stopping: false, has_left: false, is_other_stop: false, ..found };
    let down = World { is_verified: false, ..down };
    let rebooted =
        World { service: rebooted, is_draining: false, start_failed: world.files == Files::Mixed, ..down.clone() };
    // The stop that it had begun goes on without it.
    let is_stopped = matches!(world.state.effect(), Effect::Stop | Effect::EnsureStopped);
    let drains = is_stopped && !world.is_starting && world.service != Service::Stopped;
    // Of a stop in a rollback that no journal tells of, because it could not be written, nobody knows after a crash.
    let is_known = world.journalled_stop.is_some() && !world.is_other_stop;
    let is_draining = (world.is_draining || drains) && is_known && world.is_up();
    let service = if world.service == Service::Closed && !is_known { Service::Stopped } else { world.service };
    vec![World { is_draining, service, ..down }, rebooted]
}

/// What a start makes of a host: the files become one set first, and every way in which that may go is followed. A crash in
/// the midst of it leaves the journal as it was found.
fn resumed(world: &World) -> Vec<World> {
    let resumption = world.journal.clone().resumed(world.recoveries);
    let entered = |files, mended| {
        let state = resumption.clone().mended(mended, world.stop_begun.is_some());
        let stop_begun = stopping::stop_begun(world.stop_begun, &state, || false);
        let entered =
            World { files, journal: state.clone(), state, stop_begun, journalled_stop: stop_begun, ..world.clone() };
        World { is_starting: false, has_left: false, ..entered }
    };
    // A service that is seen to live on the old files is not stopped for them.
    let left_alone = |entered: World| {
        let is_on_old = entered.files == Files::Old && entered.service == Service::Running(Files::Old);
        let undone = entered.state.clone().without_stop().filter(|_| is_on_old && world.stop_begun.is_none());
        let undone = undone.map(|state| World {
            journal: state.clone(),
            state,
            stop_begun: None,
            journalled_stop: None,
            ..entered.clone()
        });
        [entered].into_iter().chain(undone)
    };
    let cut_off = |files| crashed(&World { files, ..world.clone() });
    let going_back = |mended: Mended| {
        let halfway = [world.files, Files::Mixed];
        let failing = halfway.map(|files| entered(files, Err(failed())));
        let back = world.backup.then(|| entered(Files::Old, Ok(mended))).into_iter().flat_map(left_alone);
        let cut_off = halfway.into_iter().chain(world.backup.then_some(Files::Old)).flat_map(cut_off);
        failing.into_iter().chain(back).chain(cut_off).collect()
    };
    match resumption.mend {
        Mend::Keep => vec![entered(world.files, Ok(Mended::AsTold))],
        Mend::Judge if world.files == Files::New => vec![entered(world.files, Ok(Mended::AsTold))],
        Mend::Judge => going_back(Mended::Restored(failed())),
        Mend::Restore => going_back(Mended::AsTold),
    }
}

fn check(world: &World) -> Result<(), &'static str> {
    let quiet =
        world.crashes == 0 && world.journal_failures == 0 && !world.was_parted && !world.was_early && !world.has_ended;
    let rule = |holds: bool, broken| if holds { Ok(()) } else { Err(broken) };
    rule(world.files == Files::Old || world.backup, "files are replaced without a durable backup")?;
    rule(
        world.files == Files::Old || journal_knows_of_swap(&world.journal),
        "files are replaced and the journal does not say so",
    )?;
    // Holds A8: whoever told the program to end may not start it again.
    if world.has_left {
        rule(world.is_up() || world.start_failed, "left with a stopped service")?;
        rule(!world.is_draining, "left with a service that a stop is still ending")?;
    }
    if world.is_starting {
        return Ok(());
    }
    rule(world.steps <= MAX_STEPS, "a rotation does not end")?;
    rule(world.state.is_decided() || world.state.effect() != Effect::Nothing, "a state leads nowhere")?;
    match &world.state {
        Phase::Committed { .. } => {
            rule(world.files == Files::New, "committed with old files")?;
            rule(world.service == Service::Running(Files::New), "committed without being served")?;
            rule(!world.is_draining, "committed with a service that a stop is still ending")?;
            rule(!quiet || world.starts == 1, "more than one restart for a success")
        }
        Phase::RolledBack { .. } => {
            rule(world.files == Files::Old, "rolled back with new files")?;
            rule(world.is_up(), "rolled back with a stopped service")?;
            rule(!world.is_draining, "rolled back with a service that a stop is still ending")?;
            // The third is of a service that a stop has ended that was not seen to end it.
            rule(!quiet || world.starts <= 3, "more than three restarts for a rollback")
        }
        // Holds A7: whatever has been given up, the files are one set unless they could not be put back, and the service
        // is up unless its start failed.
        Phase::Frozen { standing, .. } => {
            let could_not = matches!(standing, FrozenFiles::NotRestored { .. });
            rule(world.files != Files::Mixed || could_not, "frozen on a split set that nothing will mend")?;
            let is_watched = world.stop_begun.is_some();
            rule(world.is_up() || world.start_failed || is_watched, "frozen with a stopped service")
        }
        _ => Ok(()),
    }
}

fn journal_knows_of_swap(journal: &Phase) -> bool {
    matches!(
        journal,
        Phase::Swapping { .. }
            | Phase::Swapped { .. }
            | Phase::Restarting { .. }
            | Phase::Verifying { .. }
            | Phase::Resuming { .. }
            | Phase::Looking { .. }
            | Phase::Committed { .. }
            | Phase::RollingBack { .. }
            | Phase::Frozen { .. }
    )
}

fn begin(host: Host) -> World {
    World {
        journal: Phase::Validated,
        state: Phase::Validated,
        files: Files::Old,
        backup: false,
        service: Service::Running(Files::Old),
        start_failed: false,
        is_draining: false,
        stop_begun: None,
        journalled_stop: None,
        is_other_stop: false,
        host,
        is_stopping: false,
        has_left: false,
        was_parted: false,
        was_early: false,
        has_ended: false,
        is_verified: false,
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
        if let Phase::Discarding { failure }
        | Phase::RollingBack { failure, .. }
        | Phase::RolledBack { failure }
        | Phase::Frozen { failure, .. } = state
        {
            *failure = failed();
        }
    }
    world
}

#[test]
fn no_order_of_failures_crashes_and_reboots_breaks_a_promise() {
    search(Host::Honest);
}

/// Holds A8: a stop that says too early that it is done, with the service's listener open or closed.
#[test]
fn no_stop_that_ends_before_the_service_breaks_a_promise() {
    search(Host::Early);
}

/// Holds A8: the same where the service manager is left to start a service when its stop is over.
#[test]
fn no_stop_of_a_service_manager_that_ends_before_the_service_breaks_a_promise() {
    search(Host::Managed);
}

/// Goes through every world that may come of the first.
fn search(host: Host) {
    let mut seen: HashMap<World, Option<World>> = HashMap::new();
    let mut queue = VecDeque::from([begin(host)]);
    seen.insert(begin(host), None);
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
            Phase::Committed { .. } => committed += 1,
            Phase::RolledBack { .. } => rolled_back += 1,
            Phase::Frozen { .. } => frozen += 1,
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
    let roll_back = |step| Phase::RollingBack { step, before, failure: failure.clone(), by_order: false };
    for state in [
        Phase::Keyed,
        Phase::Validated,
        Phase::BackedUp,
        Phase::Stopping { before },
        Phase::Swapping { before },
        Phase::Swapped { before },
        Phase::Verifying { before },
        Phase::Committed { before },
        roll_back(Rollback::Look),
        roll_back(Rollback::Watch),
        roll_back(Rollback::Drain),
        roll_back(Rollback::Stop),
        roll_back(Rollback::Restore),
        roll_back(Rollback::Verify),
        roll_back(Rollback::StartAnyway),
        roll_back(Rollback::LastStart),
        roll_back(Rollback::LastStartOnNew),
        Phase::Frozen { failure: failure.clone(), standing: FrozenFiles::Whole },
        Phase::Frozen { failure: failure.clone(), standing: FrozenFiles::NewStands { before } },
    ] {
        for may_end in [true, false] {
            let once = state.clone().resumed(1).mended(Ok(Mended::AsTold), may_end);
            assert_eq!(once.clone().resumed(2).mended(Ok(Mended::AsTold), may_end), once, "{state:?}, {may_end}");
        }
    }
}

/// Holds A7: the recovery that gives up makes the files whole and starts the service before it freezes. A service that lives on
/// the new files is not parted from them, and ends the freeze.
#[test]
fn a_rotation_that_crashes_again_and_again_is_frozen_with_whole_files_and_a_started_service() {
    let given_up = |mended: Mended| {
        let mut state = Phase::Swapped { before: served() };
        for recoveries in 1..=MAX_RECOVERIES {
            state = state.resumed(recoveries).mended(Ok(Mended::AsTold), false);
            assert!(!state.is_decided());
        }
        let last = state.resumed(MAX_RECOVERIES + 1);
        assert_eq!(last.mend, Mend::Judge);
        let state = last.mended(Ok(mended), false);
        assert_eq!(state.effect(), Effect::EnsureStarted);
        assert_eq!(
            state.clone().resumed(MAX_RECOVERIES + 2).mended(Ok(Mended::AsTold), false).effect(),
            state.effect()
        );
        let frozen = state.after(Event::Done);
        assert!(matches!(&frozen, Phase::Frozen { failure, .. } if failure.reason == "recovery_failed"), "{frozen:?}");
        frozen
    };
    let new = given_up(Mended::AsTold);
    assert_eq!(new.after(Event::Frozen(Finding::NewServed)), Phase::Committed { before: served() });
    let old = given_up(Mended::Restored(failed()));
    assert!(matches!(old, Phase::Frozen { standing: FrozenFiles::Whole, .. }), "{old:?}");
    assert_eq!(Phase::Swapping { before: served() }.resumed(MAX_RECOVERIES + 1).mend, Mend::Restore);
}

/// Holds A5, A9: where the files are not at their places, nothing would come back after a stop. What is down is started.
#[test]
fn no_service_is_stopped_for_files_that_are_elsewhere_now() {
    let before = served();
    let roll_back = |step| Phase::RollingBack { step, before, failure: failed(), by_order: true };
    let going_back = [Rollback::Drain, Rollback::Stop, Rollback::Restore, Rollback::StartAnyway].map(roll_back);
    let forward = [Phase::Swapping { before }, Phase::Verifying { before }, Phase::Looking { before }];
    for state in forward.into_iter().chain(going_back) {
        for (recoveries, may_end) in [(1, true), (1, false), (MAX_RECOVERIES + 1, false)] {
            let mended = Ok(Mended::Elsewhere(failed()));
            let found = state.clone().resumed(recoveries).mended(mended, may_end);
            assert_eq!(found.effect(), Effect::EnsureStarted, "{state:?}");
            let frozen = found.after(Event::Done);
            assert!(
                matches!(frozen, Phase::Frozen { standing: FrozenFiles::NotRestored { .. }, .. }),
                "{state:?}: it is tried again: {frozen:?}"
            );
            let again = frozen.clone().resumed(recoveries).mended(Ok(Mended::Elsewhere(failed())), may_end);
            assert_eq!(again, frozen);
        }
    }
}

/// A rollback that somebody has ordered does not end as the commit that it was to undo.
#[test]
fn a_freeze_ends_with_its_cause_and_an_ordered_rollback_never_as_a_commit() {
    let frozen = |by_order| Phase::Frozen {
        failure: failed(),
        standing: FrozenFiles::NotRestored { before: served(), by_order },
    };
    let after = |by_order, finding| frozen(by_order).after(Event::Frozen(finding));
    assert_eq!(after(false, Finding::NewServed), Phase::Committed { before: served() });
    assert_eq!(after(true, Finding::NewServed), frozen(true));
    assert_eq!(after(true, Finding::Thawed), Phase::RolledBack { failure: failed() });
    assert_eq!(after(false, Finding::Restored).effect(), Effect::EnsureStopped);
    let whole = Phase::Frozen { failure: failed(), standing: FrozenFiles::Whole };
    assert_eq!(whole.clone().after(Event::Frozen(Finding::Restored)), whole);
}
