//! Which resource is looked at next, as a pure queue: due times, lanes, and a bound for each host. No clock, no tasks.
//!
//! ```text
//!   watch ──changed──>  waiting ──its time has come──> ready ┌ main:  urgent, then the rest ┐
//!   pass  ──ended────>                                       └ slow:  urgent, then the rest ┘──next(now)──> a pass
//! ```
//!
//! Silent hosts cost time and nothing else, so they get slots of their own: a host that was silent at the last look, or
//! slow, waits in the slow lanes beside the others, and a pass that takes longer than [`PATIENCE`] gives up its slot in the
//! queue back while it goes on. So the time that one half of a fleet wastes is not taken from the other half.
//!
//! In each lane the next pass is of the namespace that has the fewest under way: what one of them makes its hosts look like
//! does not hold up another.

mod entry;
mod words;

pub use words::{HostContact, Next, PassFailure, PassOutcome, Rest, StatusHint};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::fleet::{HostKey, ResourceName};
use entry::{Entry, EntryState, Lane, LanePool, RunningPass, ScheduledHost};

/// A healthy host answers in a fraction of this; a pass that takes longer waits for somebody and needs no slot.
pub const PATIENCE: Duration = Duration::from_millis(250);
/// A pass that takes longer belongs to the slow ones next time, whether its host answered or not. All that are quicker find
/// room in the main lanes, up to some forty thousand resources for each eight slots.
pub const SLOW: Duration = Duration::from_secs(2);
/// Passes that have outlasted [`PATIENCE`], for each slot of `--concurrency`. They hold a socket and no processor.
const WAITING_PER_SLOT: usize = 32;
/// Slots for hosts that were silent or slow, for each slot of `--concurrency`. They hold no more than that either.
const SLOW_PER_SLOT: usize = 8;
/// Of so many slots, one is kept from rotations in flight, so that they never stop the looks at the rest of the fleet.
const ONE_KEPT_OF: usize = 4;
/// Whoever waits for a pass over the same host to end is called when it does, and comes by itself after this time.
const HELD_FOR: Duration = Duration::from_secs(5);
/// Between the starts of two passes over one resource. Whoever changes a resource all the time is not followed faster.
pub const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// Resources that are gone since less than that. More do not start in that time.
const MOST_GONE: usize = 4096;
/// A resource without a finished look for so many resyncs is overdue.
const OVERDUE_AFTER_RESYNCS: u32 = 3;

/// The queue.
#[derive(Debug)]
pub struct Schedule {
    slots: usize,
    resync: Duration,
    resources: HashMap<ResourceName, Entry>,
    /// When the last pass over each started that is gone since a moment: one that is made anew is looked at no sooner.
    gone: HashMap<ResourceName, Instant>,
    hosts: HashMap<HostKey, ScheduledHost>,
    /// Every resource that is neither ready nor looked at, by when it shall be. Nothing is kept without a time.
    waiting: BTreeSet<(Instant, ResourceName)>,
    ready: [Ready; Lane::ALL.len()],
    running: HashMap<ResourceName, RunningPass>,
    /// Passes of each namespace that run, for each pool.
    busy: [BTreeMap<String, usize>; 2],
    /// Since when this process may act; without it nothing is given out, and nothing is lost either.
    leading: Option<Instant>,
    /// When a pass last ended other than by its deadline, or there was nothing to do.
    moved: Instant,
}

/// The resources of a lane that are due, for each namespace, the foremost first.
type Ready = BTreeMap<String, BTreeSet<(Instant, ResourceName)>>;

impl Schedule {
    /// For so many passes at once, and with the longest time between two looks at one resource.
    pub fn new(concurrency: u16, resync: Duration, now: Instant) -> Self {
        Self {
            slots: usize::from(concurrency).max(1),
            resync,
            resources: HashMap::new(),
            gone: HashMap::new(),
            hosts: HashMap::new(),
            waiting: BTreeSet::new(),
            ready: Default::default(),
            running: HashMap::new(),
            busy: Default::default(),
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
    pub fn changed(&mut self, name: &ResourceName, host: HostKey, known: StatusHint, now: Instant) {
        let Some(entry) = self.resources.get_mut(name) else {
            self.hosts.entry(host.clone()).or_default().resources += 1;
            let started = self.gone.remove(name);
            let due = started.map_or(now, |started| (started + LEAST_INTERVAL).max(now));
            let state = EntryState::Waiting { due, until: due };
            let failures = u32::from(known.silent);
            let entry = Entry { host, urgent: known.urgent, failures, state, started, looked: now };
            self.resources.insert(name.clone(), entry);
            self.put(name, due);
            return;
        };
        if let EntryState::Running { gone, .. } = &mut entry.state {
            *gone = false;
        }
        if entry.host != host {
            // Another address: what was learned about the one before says nothing about it
            self.hosts.entry(host.clone()).or_default().resources += 1;
            if let Some(before) = self.change(name, |entry| {
                (entry.urgent, entry.failures) = (known.urgent, u32::from(known.silent));
                std::mem::replace(&mut entry.host, host)
            }) {
                self.leave(&before);
            }
        } else if known.urgent && !entry.urgent {
            self.change(name, |entry| entry.urgent = true);
        }
        self.wake(name, now);
    }

    /// The resource is gone.
    pub fn forget(&mut self, name: &ResourceName) {
        let Some(entry) = self.resources.get_mut(name) else { return };
        if let EntryState::Running { gone, .. } = &mut entry.state {
            *gone = true;
            return;
        }
        self.take_out(name);
        if let Some(entry) = self.resources.remove(name) {
            if let Some(started) = entry.started {
                self.remember_gone(name, started);
            }
            self.leave(&entry.host);
        }
    }

    fn remember_gone(&mut self, name: &ResourceName, started: Instant) {
        if self.gone.len() >= MOST_GONE {
            let is_recent = |before: &Instant| started.saturating_duration_since(*before) < LEAST_INTERVAL;
            self.gone.retain(|_, before| is_recent(before));
        }
        if self.gone.len() < MOST_GONE {
            self.gone.insert(name.clone(), started);
        }
    }

    /// The next pass to start, if there is one to start now.
    pub fn next(&mut self, now: Instant) -> Next {
        if self.leading.is_none() {
            return Next::Wait;
        }
        self.ripen(now);
        let mut place_at: Option<Instant> = None;
        for lane in Lane::ALL {
            match self.capacity(lane, now) {
                LaneCapacity::Free => {}
                LaneCapacity::FreeAt(at) => {
                    if !self.ready[lane.index()].is_empty() {
                        place_at = Some(place_at.map_or(at, |before| before.min(at)));
                    }
                    continue;
                }
                LaneCapacity::Taken => continue,
            }
            while let Some((due, name)) = self.take_foremost(lane) {
                if self.start(&name, due, lane, now) {
                    return Next::Start(name);
                }
            }
        }
        if self.running.is_empty() {
            self.moved = now;
        }
        let waiting_until = self.waiting.first().map(|(at, _)| *at);
        [place_at, waiting_until].into_iter().flatten().min().map_or(Next::Wait, Next::At)
    }

    /// A pass that [`Self::next`] gave out has ended. Whether the resource is still there.
    pub fn ended(&mut self, name: &ResourceName, outcome: PassOutcome, now: Instant) -> bool {
        let slow = self.give_back(name, outcome, now);
        let Some(entry) = self.resources.get_mut(name) else { return false };
        let EntryState::Running { again, gone } = entry.state else { return true };
        let after = match outcome {
            PassOutcome::Looked(rest) => {
                entry.looked = now;
                entry.urgent = rest.urgent;
                entry.failures = match rest.heard {
                    HostContact::Silent => entry.failures.saturating_add(1),
                    HostContact::Answered => u32::from(slow),
                    HostContact::NotAsked => entry.failures.max(u32::from(slow)),
                };
                rest.after
            }
            PassOutcome::Failed { after, .. } => {
                entry.failures = entry.failures.max(u32::from(slow));
                after
            }
        };
        let after = if again { Duration::ZERO } else { after.min(self.resync) };
        let due = (now + after).max(entry.started.map_or(now, |started| started + LEAST_INTERVAL));
        self.put(name, due);
        if gone {
            self.forget(name);
        }
        !gone
    }

    /// Resources that no pass has come to a decision about for three resyncs, while this process might have made one.
    pub fn overdue(&self, now: Instant) -> usize {
        let Some(leading) = self.leading else { return 0 };
        let bound = self.resync.saturating_mul(OVERDUE_AFTER_RESYNCS);
        self.resources.values().filter(|entry| now.saturating_duration_since(entry.looked.max(leading)) > bound).count()
    }

    /// Resources that are due and wait for a slot.
    pub fn due(&self, now: Instant) -> usize {
        self.resources.values().filter(|entry| entry.due().is_some_and(|due| due <= now)).count()
    }

    /// Passes that run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// For how long there was something to do, and no pass ended other than by its deadline.
    pub fn stuck_for(&self, now: Instant) -> Duration {
        let due = || self.resources.values().filter_map(Entry::due).min();
        let since = if self.running.is_empty() { due().map(|due| due.max(self.moved)) } else { Some(self.moved) };
        match (self.leading, since) {
            (Some(leading), Some(since)) => now.saturating_duration_since(since.max(leading)),
            (None, _) | (_, None) => Duration::ZERO,
        }
    }

    /// Whatever's time has come goes into its lane.
    fn ripen(&mut self, now: Instant) {
        while let Some((at, name)) = self.waiting.first().cloned().filter(|(at, _)| *at <= now) {
            self.waiting.remove(&(at, name.clone()));
            let Some(entry) = self.resources.get_mut(&name) else { continue };
            let Some(due) = entry.due() else { continue };
            entry.state = EntryState::Ready { due };
            if let Some(host) = self.hosts.get_mut(&entry.host) {
                host.held.remove(&(due, name.clone()));
            }
            let (lane, rank) = (entry.lane(), entry.rank(due, self.resync));
            let lane = &mut self.ready[lane.index()];
            if let Some(ready) = lane.get_mut(name.namespace()) {
                ready.insert((rank, name));
            } else {
                lane.insert(name.namespace().to_owned(), BTreeSet::from([(rank, name)]));
            }
        }
    }

    /// Takes the one out of its lane that is to be looked at first, with the time at which it was due.
    fn take_foremost(&mut self, lane: Lane) -> Option<(Instant, ResourceName)> {
        let busy = &self.busy[lane.pool.index()];
        let heads = self.ready[lane.index()].iter().filter_map(|(namespace, ready)| {
            let (rank, name) = ready.first()?;
            Some((busy.get(namespace).copied().unwrap_or(0), *rank, name))
        });
        let name = heads.min()?.2.clone();
        let due = self.resources.get(&name).and_then(Entry::due)?;
        self.take_out(&name);
        Some((due, name))
    }

    fn start(&mut self, name: &ResourceName, due: Instant, lane: Lane, now: Instant) -> bool {
        let Some(entry) = self.resources.get_mut(name) else { return false };
        let host = self.hosts.entry(entry.host.clone()).or_default();
        if host.running >= host.most() {
            let until = now + HELD_FOR;
            entry.state = EntryState::Waiting { due, until };
            host.held.insert((due, name.clone()));
            self.waiting.insert((until, name.clone()));
            return false;
        }
        host.running += 1;
        entry.state = EntryState::Running { again: false, gone: false };
        entry.started = Some(now);
        let host = entry.host.clone();
        self.running.insert(name.clone(), RunningPass { host, lane, since: now });
        *self.busy[lane.pool.index()].entry(name.namespace().to_owned()).or_default() += 1;
        true
    }

    /// Frees the slots of a pass that has ended. Whether it was a slow one.
    fn give_back(&mut self, name: &ResourceName, outcome: PassOutcome, now: Instant) -> bool {
        let Some(running) = self.running.remove(name) else { return false };
        let busy = &mut self.busy[running.lane.pool.index()];
        if let Some(passes) = busy.get_mut(name.namespace()) {
            *passes -= 1;
            if *passes == 0 {
                busy.remove(name.namespace());
            }
        }
        let slow = now.saturating_duration_since(running.since) >= SLOW;
        let host_is_slow = match outcome {
            PassOutcome::Looked(Rest { heard: HostContact::Silent, .. }) => Some(true),
            PassOutcome::Looked(Rest { heard: HostContact::Answered, .. }) => Some(slow),
            PassOutcome::Looked(Rest { heard: HostContact::NotAsked, .. }) | PassOutcome::Failed { .. } => None,
        };
        match outcome {
            PassOutcome::Looked(_) | PassOutcome::Failed { failure: PassFailure::Refused, .. } => self.moved = now,
            PassOutcome::Failed { failure: PassFailure::Hung, .. } => {}
        }
        self.release(&running.host, host_is_slow);
        slow
    }

    /// A pass that asked the host has ended: what was held for its sake is ready again.
    fn release(&mut self, key: &HostKey, is_slow: Option<bool>) {
        let Some(host) = self.hosts.get_mut(key) else { return };
        host.running = host.running.saturating_sub(1);
        host.slow = is_slow.unwrap_or(host.slow);
        let free = host.most().saturating_sub(host.running);
        let called: Vec<_> = host.held.iter().take(free).cloned().collect();
        for (due, name) in called {
            self.take_out(&name);
            self.put(&name, due);
        }
        self.tidy(key);
    }

    /// Makes it due, but not sooner than the least interval after its last pass began.
    fn wake(&mut self, name: &ResourceName, now: Instant) {
        let Some(entry) = self.resources.get_mut(name) else { return };
        let soonest = entry.started.map_or(now, |started| (started + LEAST_INTERVAL).max(now));
        match &mut entry.state {
            EntryState::Running { again, .. } => *again = true,
            EntryState::Waiting { due, .. } if *due > soonest => {
                self.take_out(name);
                self.put(name, soonest);
            }
            EntryState::Waiting { .. } | EntryState::Ready { .. } => {}
        }
    }

    /// Changes what its position in the lane follows from.
    fn change<T>(&mut self, name: &ResourceName, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.take_out(name);
        let entry = self.resources.get_mut(name)?;
        let changed = change(entry);
        if let Some(due) = entry.due() {
            self.put(name, due);
        }
        Some(changed)
    }

    /// It waits for its time.
    fn put(&mut self, name: &ResourceName, due: Instant) {
        let Some(entry) = self.resources.get_mut(name) else { return };
        entry.state = EntryState::Waiting { due, until: due };
        self.waiting.insert((due, name.clone()));
    }

    /// Out of whatever it stands in.
    fn take_out(&mut self, name: &ResourceName) {
        let Some(entry) = self.resources.get(name) else { return };
        match entry.state {
            EntryState::Waiting { due, until } => {
                self.waiting.remove(&(until, name.clone()));
                if let Some(host) = self.hosts.get_mut(&entry.host) {
                    host.held.remove(&(due, name.clone()));
                }
            }
            EntryState::Ready { due } => {
                let rank = entry.rank(due, self.resync);
                let lane = &mut self.ready[entry.lane().index()];
                if let Some(ready) = lane.get_mut(name.namespace()) {
                    ready.remove(&(rank, name.clone()));
                    if ready.is_empty() {
                        lane.remove(name.namespace());
                    }
                }
            }
            EntryState::Running { .. } => {}
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

    fn capacity(&self, lane: Lane, now: Instant) -> LaneCapacity {
        let pool = || self.running.values().filter(move |running| running.lane.pool == lane.pool);
        let slots = match lane.pool {
            LanePool::Main => self.slots,
            LanePool::Slow => self.slots * SLOW_PER_SLOT,
        };
        // In the slow lanes everybody is waited for, and nobody gives a slot back
        let holds = |running: &&RunningPass| {
            lane.pool == LanePool::Slow || now.saturating_duration_since(running.since) < PATIENCE
        };
        let outlasted = pool().filter(|running| !holds(running)).count();
        let room = self.slots * WAITING_PER_SLOT;
        // Those that find no room to wait in keep their slot
        let taken = pool().filter(holds).count() + outlasted.saturating_sub(room);
        let urgent = pool().filter(|running| running.lane.urgent && holds(running)).count();
        if taken < slots && (!lane.urgent || urgent < slots - slots / ONE_KEPT_OF) {
            return LaneCapacity::Free;
        }
        let next = pool().filter(holds).map(|running| running.since + PATIENCE).min();
        match next {
            Some(at) if lane.pool == LanePool::Main && outlasted < room => LaneCapacity::FreeAt(at),
            Some(_) | None => LaneCapacity::Taken,
        }
    }
}

enum LaneCapacity {
    Free,
    /// A pass that runs will have outlasted the patience then.
    FreeAt(Instant),
    Taken,
}

#[cfg(test)]
mod tests;
