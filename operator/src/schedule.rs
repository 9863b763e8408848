//! Which resource is looked at next, as a pure queue: due times, lanes, and a bound for each host. No clock, no tasks.
//!
//! ```text
//!   watch ──changed──> ┌ urgent   a rotation is in flight ┐
//!   pass  ──ended────> │ normal                           ├──next(now)──> a pass
//!                      └ failing  its host was silent     ┘
//! ```
//!
//! Silent hosts cost time and nothing else, so they get places of their own: a host that was silent at the last look waits in
//! a lane beside the others, and a pass that takes longer than [`PATIENCE`] gives its place in the queue back while it
//! goes on. So the time that one half of a fleet wastes is not taken from the other half.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::fleet::{HostKey, ResourceName};

/// A healthy host answers in a fraction of this; a pass that takes longer waits for somebody and needs no place.
pub const PATIENCE: Duration = Duration::from_millis(250);
/// Passes that have outlasted [`PATIENCE`], for each place of `--concurrency`. They hold a socket and no processor.
const WAITING_PER_PLACE: usize = 8;
/// Places for hosts that failed, for each place of `--concurrency`.
const FAILING_PER_PLACE: usize = 2;
/// Of so many places, one is kept from rotations in flight, so that they never stop the looks at the rest of the fleet.
const ONE_KEPT_OF: usize = 4;
/// Passes at once that ask the same host, whatever the number of its agents.
const PER_HOST: usize = 2;
/// The same for a host that was silent: one is enough to see whether it still is.
const PER_SILENT_HOST: usize = 1;
/// Between the starts of two passes over one resource. Whoever changes a resource all the time is not followed faster.
pub const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// A resource without a finished pass for so many resyncs is overdue.
const OVERDUE_AFTER_RESYNCS: u32 = 3;

/// In which order, and among how many, a resource is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// A rotation is in flight, or the resource waits for its deletion.
    Urgent,
    Normal,
    /// Its host could not be reached at the last look.
    Failing,
}

/// The queue.
#[derive(Debug)]
pub struct Schedule {
    places: usize,
    resync: Duration,
    resources: HashMap<ResourceName, Entry>,
    hosts: HashMap<HostKey, Host>,
    /// Waiting resources by due time, a set for each lane.
    waiting: [BTreeSet<(Instant, ResourceName)>; 3],
    running: HashMap<ResourceName, Running>,
    /// Since when this process may act; without it nothing is given out, and nothing is lost either.
    leading: Option<Instant>,
    /// When a pass last started or ended.
    moved: Instant,
}

#[derive(Debug)]
struct Entry {
    host: HostKey,
    lane: Lane,
    state: State,
    /// When the last pass started.
    started: Option<Instant>,
    /// When the last pass ended; before the first one, when the resource was first seen.
    looked: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In its lane.
    Waiting(Instant),
    /// Due, and its host has as many passes as it may have.
    Held(Instant),
    /// `again`: something changed meanwhile. `gone`: the resource was deleted meanwhile.
    Running { again: bool, gone: bool },
}

#[derive(Debug, Default)]
struct Host {
    running: usize,
    silent: bool,
    held: BTreeSet<(Instant, ResourceName)>,
    resources: usize,
}

#[derive(Clone, Debug)]
struct Running {
    host: HostKey,
    lane: Lane,
    since: Instant,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start a pass over it.
    Start(ResourceName),
    /// Nothing before that time.
    At(Instant),
    /// Nothing until a pass ends, a resource changes, or this process leads.
    Wait,
}

/// How a pass ended, as far as the queue must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Until the next look; never longer than the resync, whatever stands here.
    pub after: Duration,
    /// Whether a rotation is in flight, or a deletion.
    pub urgent: bool,
    pub heard: Heard,
}

/// What a pass learned about its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Answered,
    /// It could not be connected to, or did not answer.
    Silent,
    NotAsked,
}

impl Rest {
    const fn lane(self) -> Lane {
        match (self.heard, self.urgent) {
            (Heard::Silent, _) => Lane::Failing,
            (Heard::Answered | Heard::NotAsked, true) => Lane::Urgent,
            (Heard::Answered | Heard::NotAsked, false) => Lane::Normal,
        }
    }
}

impl Entry {
    const fn due(&self) -> Option<Instant> {
        match self.state {
            State::Waiting(due) | State::Held(due) => Some(due),
            State::Running { .. } => None,
        }
    }
}

impl Host {
    const fn most(&self) -> usize {
        if self.silent { PER_SILENT_HOST } else { PER_HOST }
    }
}

impl Schedule {
    /// For so many passes at once, and with the longest time between two looks at one resource.
    pub fn new(concurrency: u16, resync: Duration, now: Instant) -> Self {
        Self {
            places: usize::from(concurrency).max(1),
            resync,
            resources: HashMap::new(),
            hosts: HashMap::new(),
            waiting: Default::default(),
            running: HashMap::new(),
            leading: None,
            moved: now,
        }
    }

    /// This process leads from now on. Every resource is due: nobody knows what happened to it before.
    pub fn lead(&mut self, now: Instant) {
        self.leading = Some(now);
        self.moved = now;
        let names: Vec<_> = self.resources.keys().cloned().collect();
        for name in names {
            self.wake(&name, now);
        }
    }

    /// This process does not lead any more. Passes in flight end by themselves; the others stay due.
    pub fn stop_leading(&mut self) {
        self.leading = None;
    }

    pub fn leads(&self) -> bool {
        self.leading.is_some()
    }

    /// The resource is there, new or changed in something that a decision depends on: it is due.
    pub fn changed(&mut self, name: &ResourceName, host: HostKey, lane: Lane, now: Instant) {
        let Some(entry) = self.resources.get_mut(name) else {
            self.hosts.entry(host.clone()).or_default().resources += 1;
            let state = State::Waiting(now);
            self.resources.insert(name.clone(), Entry { host, lane, state, started: None, looked: now });
            self.put(name, now);
            return;
        };
        if let State::Running { gone, .. } = &mut entry.state {
            *gone = false;
        }
        if entry.host != host {
            // another address: what was learned about the one before says nothing about it
            self.take_out(name);
            self.hosts.entry(host.clone()).or_default().resources += 1;
            if let Some(entry) = self.resources.get_mut(name) {
                let before = std::mem::replace(&mut entry.host, host);
                entry.lane = lane;
                let due = entry.due();
                self.leave(&before);
                if let Some(due) = due {
                    self.put(name, due);
                }
            }
        }
        self.wake(name, now);
    }

    /// The resource is gone.
    pub fn forget(&mut self, name: &ResourceName) {
        let Some(entry) = self.resources.get_mut(name) else { return };
        if let State::Running { gone, .. } = &mut entry.state {
            *gone = true;
            return;
        }
        self.take_out(name);
        if let Some(entry) = self.resources.remove(name) {
            self.leave(&entry.host);
        }
    }

    /// The next pass to start, if there is one to start now.
    pub fn next(&mut self, now: Instant) -> Next {
        if self.leading.is_none() {
            return Next::Wait;
        }
        let mut soonest: Option<Instant> = None;
        let mut sooner = |at: Instant| soonest = Some(soonest.map_or(at, |before| before.min(at)));
        for lane in [Lane::Urgent, Lane::Normal, Lane::Failing] {
            match self.place(lane, now) {
                Place::Free => {}
                Place::FreeAt(at) => {
                    if self.lane(lane).first().is_some() {
                        sooner(at);
                    }
                    continue;
                }
                Place::Taken => continue,
            }
            while let Some((due, name)) = self.lane(lane).first().cloned() {
                if due > now {
                    sooner(due);
                    break;
                }
                self.lane(lane).remove(&(due, name.clone()));
                if self.start(&name, due, lane, now) {
                    return Next::Start(name);
                }
            }
        }
        soonest.map_or(Next::Wait, Next::At)
    }

    /// A pass that [`Self::next`] gave out has ended. Whether the resource is still there.
    pub fn ended(&mut self, name: &ResourceName, rest: Rest, now: Instant) -> bool {
        self.moved = now;
        if let Some(running) = self.running.remove(name) {
            self.release(&running.host, rest.heard);
        }
        let Some(entry) = self.resources.get_mut(name) else { return false };
        let State::Running { again, gone } = entry.state else { return true };
        entry.looked = now;
        entry.lane = rest.lane();
        let after = if again { Duration::ZERO } else { rest.after.min(self.resync) };
        let due = (now + after).max(entry.started.map_or(now, |started| started + LEAST_INTERVAL));
        self.put(name, due);
        if gone {
            self.forget(name);
        }
        !gone
    }

    /// Resources of which no pass has ended for three resyncs, while this process might have made one.
    pub fn overdue(&self, now: Instant) -> usize {
        let Some(leading) = self.leading else { return 0 };
        let bound = self.resync.saturating_mul(OVERDUE_AFTER_RESYNCS);
        self.resources.values().filter(|entry| now.saturating_duration_since(entry.looked.max(leading)) > bound).count()
    }

    /// Resources that are due and wait for a place.
    pub fn due(&self, now: Instant) -> usize {
        self.resources.values().filter(|entry| entry.due().is_some_and(|due| due <= now)).count()
    }

    /// Passes that run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// For how long there was something to do, and no pass started or ended.
    pub fn stuck_for(&self, now: Instant) -> Duration {
        let first = |lane: &BTreeSet<(Instant, ResourceName)>| lane.first().map(|(due, _)| *due);
        let due = self.waiting.iter().filter_map(first).min();
        let running = self.running.values().map(|running| running.since).min();
        match (self.leading, [due, running].into_iter().flatten().min()) {
            (Some(leading), Some(since)) => now.saturating_duration_since(since.max(self.moved).max(leading)),
            (None, _) | (_, None) => Duration::ZERO,
        }
    }

    fn start(&mut self, name: &ResourceName, due: Instant, lane: Lane, now: Instant) -> bool {
        let Some(entry) = self.resources.get_mut(name) else { return false };
        let host = self.hosts.entry(entry.host.clone()).or_default();
        if host.running >= host.most() {
            host.held.insert((due, name.clone()));
            entry.state = State::Held(due);
            return false;
        }
        host.running += 1;
        entry.state = State::Running { again: false, gone: false };
        entry.started = Some(now);
        let host = entry.host.clone();
        self.running.insert(name.clone(), Running { host, lane, since: now });
        self.moved = now;
        true
    }

    /// A pass that asked the host has ended: what was held for its sake goes back to its lane.
    fn release(&mut self, key: &HostKey, heard: Heard) {
        let Some(host) = self.hosts.get_mut(key) else { return };
        host.running = host.running.saturating_sub(1);
        match heard {
            Heard::Answered => host.silent = false,
            Heard::Silent => host.silent = true,
            Heard::NotAsked => {}
        }
        let free = host.most().saturating_sub(host.running);
        let held: Vec<_> = (0..free).map_while(|_| host.held.pop_first()).collect();
        for (due, name) in held {
            self.put(&name, due);
        }
        self.tidy(key);
    }

    /// Makes it due, but not sooner than the least interval after its last pass began.
    fn wake(&mut self, name: &ResourceName, now: Instant) {
        let Some(entry) = self.resources.get_mut(name) else { return };
        let soonest = entry.started.map_or(now, |started| (started + LEAST_INTERVAL).max(now));
        match &mut entry.state {
            State::Running { again, .. } => *again = true,
            State::Waiting(due) if *due > soonest => {
                self.take_out(name);
                self.put(name, soonest);
            }
            State::Waiting(_) | State::Held(_) => {}
        }
    }

    /// Into its lane.
    fn put(&mut self, name: &ResourceName, due: Instant) {
        let Some(entry) = self.resources.get_mut(name) else { return };
        entry.state = State::Waiting(due);
        let lane = entry.lane;
        self.lane(lane).insert((due, name.clone()));
    }

    /// Out of whatever it waits in.
    fn take_out(&mut self, name: &ResourceName) {
        let Some(entry) = self.resources.get(name) else { return };
        let (lane, host) = (entry.lane, entry.host.clone());
        match entry.state {
            State::Waiting(due) => {
                self.lane(lane).remove(&(due, name.clone()));
            }
            State::Held(due) => {
                if let Some(host) = self.hosts.get_mut(&host) {
                    host.held.remove(&(due, name.clone()));
                }
            }
            State::Running { .. } => {}
        }
    }

    fn leave(&mut self, key: &HostKey) {
        if let Some(host) = self.hosts.get_mut(key) {
            host.resources = host.resources.saturating_sub(1);
        }
        self.tidy(key);
    }

    fn tidy(&mut self, key: &HostKey) {
        if self.hosts.get(key).is_some_and(|host| host.resources == 0 && host.running == 0) {
            self.hosts.remove(key);
        }
    }

    fn place(&self, lane: Lane, now: Instant) -> Place {
        let of = |lanes: &'static [Lane]| self.running.values().filter(move |running| lanes.contains(&running.lane));
        if lane == Lane::Failing {
            let free = of(&[Lane::Failing]).count() < self.places * FAILING_PER_PLACE;
            return if free { Place::Free } else { Place::Taken };
        }
        let main: &[Lane] = &[Lane::Urgent, Lane::Normal];
        let is_patient = |running: &&Running| now.saturating_duration_since(running.since) < PATIENCE;
        let outlasted = of(main).filter(|running| !is_patient(running)).count();
        let room = self.places * WAITING_PER_PLACE;
        // those that find no room to wait in keep their place
        let taken = of(main).filter(is_patient).count() + outlasted.saturating_sub(room);
        let kept = if lane == Lane::Urgent { self.places / ONE_KEPT_OF } else { 0 };
        let urgent = of(&[Lane::Urgent]).filter(is_patient).count();
        if taken < self.places && (lane == Lane::Normal || urgent < self.places - kept) {
            return Place::Free;
        }
        let next = of(main).filter(is_patient).map(|running| running.since + PATIENCE).min();
        match next {
            Some(at) if outlasted < room => Place::FreeAt(at),
            Some(_) | None => Place::Taken,
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut BTreeSet<(Instant, ResourceName)> {
        &mut self.waiting[match lane {
            Lane::Urgent => 0,
            Lane::Normal => 1,
            Lane::Failing => 2,
        }]
    }
}

enum Place {
    Free,
    /// A pass that runs will have outlasted the patience then.
    FreeAt(Instant),
    Taken,
}

#[cfg(test)]
mod tests;
