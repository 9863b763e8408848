//! The queue under a virtual clock, with whole fleets of hosts that answer, stay silent, take their time, or come back.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const RESYNC: Duration = Duration::from_secs(300);
/// A host that accepts and says nothing costs this much: the deadline for connecting.
const SILENCE: Duration = Duration::from_secs(3);
const HEALTHY_LOOK: Duration = Duration::from_millis(50);
/// A host that answers just before the deadline of a look costs this much.
const LAST_MOMENT: Duration = Duration::from_millis(14_900);

/// A fleet under a clock that only moves when nothing is to be started.
struct Simulation {
    schedule: Schedule,
    start: Instant,
    now: Instant,
    /// Hosts that say nothing.
    silent: BTreeSet<String>,
    /// Hosts that answer at the last moment.
    late: BTreeSet<String>,
    /// Passes that run, by when they end.
    ends: BTreeSet<(Instant, ResourceName)>,
    /// Looks in vain in a row, by resource.
    in_vain: BTreeMap<ResourceName, u32>,
    hosts: BTreeMap<ResourceName, String>,
    added: BTreeMap<ResourceName, Duration>,
    looks: BTreeMap<ResourceName, Vec<Duration>>,
    running_by_host: BTreeMap<String, usize>,
    most_by_host: BTreeMap<String, usize>,
    /// In the middle of a rotation, followed every second.
    rotating: BTreeSet<ResourceName>,
}

impl Simulation {
    fn new(concurrency: u16) -> Self {
        let start = Instant::now();
        let mut schedule = Schedule::new(concurrency, RESYNC, start);
        schedule.lead(start);
        Self {
            schedule,
            start,
            now: start,
            silent: BTreeSet::new(),
            late: BTreeSet::new(),
            ends: BTreeSet::new(),
            in_vain: BTreeMap::new(),
            hosts: BTreeMap::new(),
            added: BTreeMap::new(),
            looks: BTreeMap::new(),
            running_by_host: BTreeMap::new(),
            most_by_host: BTreeMap::new(),
            rotating: BTreeSet::new(),
        }
    }

    fn add(&mut self, name: &str, host: &str) -> ResourceName {
        self.add_to("fleet", name, host)
    }

    fn add_to(&mut self, namespace: &str, name: &str, host: &str) -> ResourceName {
        let resource = ResourceName::new(namespace, name);
        self.hosts.insert(resource.clone(), host.to_owned());
        self.added.insert(resource.clone(), self.now - self.start);
        self.schedule.changed(&resource, HostKey::new(namespace, host), StatusHint::default(), self.now);
        resource
    }

    /// `silent` and `healthy` hosts with one agent each, mixed as a watch would list them.
    fn add_fleet(&mut self, silent: usize, healthy: usize) {
        for number in 0..silent.max(healthy) {
            if number < silent {
                self.silent.insert(format!("silent-{number}"));
                self.add(&format!("silent-{number}"), &format!("silent-{number}"));
            }
            if number < healthy {
                self.add(&format!("healthy-{number}"), &format!("healthy-{number}"));
            }
        }
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            let wake = match self.schedule.next(self.now) {
                Next::Start(name) => {
                    self.begin(name);
                    continue;
                }
                Next::At(at) => Some(at),
                Next::Wait => None,
            };
            let end = self.ends.first().map(|(at, _)| *at);
            let at = [wake, end, Some(until)].into_iter().flatten().min().unwrap_or(until);
            assert!(at > self.now || end == Some(at), "the queue spins");
            self.now = at;
            while let Some((at, name)) = self.ends.first().cloned().filter(|(at, _)| *at <= self.now) {
                self.ends.remove(&(at, name.clone()));
                self.end(&name);
            }
        }
    }

    fn begin(&mut self, name: ResourceName) {
        let host = self.hosts[&name].clone();
        let took = if self.late.contains(&host) {
            LAST_MOMENT
        } else if self.silent.contains(&host) {
            SILENCE
        } else {
            HEALTHY_LOOK
        };
        self.ends.insert((self.now + took, name));
        let running = self.running_by_host.entry(host.clone()).or_default();
        *running += 1;
        let most = self.most_by_host.entry(host).or_default();
        *most = (*most).max(*running);
    }

    fn end(&mut self, name: &ResourceName) {
        let host = self.hosts[name].clone();
        *self.running_by_host.entry(host.clone()).or_default() -= 1;
        self.looks.entry(name.clone()).or_default().push(self.now - self.start);
        let rest = if self.silent.contains(&host) {
            let in_vain = self.in_vain.entry(name.clone()).or_default();
            *in_vain += 1;
            let after = Duration::from_secs(5).saturating_mul(1 << (*in_vain - 1).min(10)).min(RESYNC);
            Rest { after, urgent: self.rotating.contains(name), heard: HostContact::Silent }
        } else if self.rotating.contains(name) {
            Rest { after: Duration::from_secs(1), urgent: true, heard: HostContact::Answered }
        } else {
            Rest { after: RESYNC, urgent: false, heard: HostContact::Answered }
        };
        self.schedule.ended(name, PassOutcome::Looked(rest), self.now);
    }

    /// The longest that any resource with such a name went without a finished look.
    fn longest_gap(&self, prefix: &str) -> Duration {
        let end = self.now - self.start;
        let gap = |name: &ResourceName| {
            let looks = self.looks.get(name).cloned().unwrap_or_default();
            let times = std::iter::once(self.added[name]).chain(looks).chain(std::iter::once(end));
            let times: Vec<_> = times.collect();
            times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(end)
        };
        let named = |name: &&ResourceName| name.to_string().split('/').any(|part| part.starts_with(prefix));
        self.hosts.keys().filter(named).map(gap).max().expect("there are some")
    }

    fn looks_at(&self, name: &ResourceName) -> usize {
        self.looks.get(name).map_or(0, Vec::len)
    }
}

/// Within its resync, and the time that its own look takes; a tenth more for those that were due before it.
fn within_resync() -> Duration {
    RESYNC + RESYNC / 10
}

/// Holds B4: with 200 silent hosts and 8 slots, each of 300 healthy resources is looked at within its resync.
#[test]
fn silent_hosts_do_not_starve_healthy_ones() {
    let mut simulation = Simulation::new(8);
    simulation.add_fleet(200, 300);
    simulation.run_for(Duration::from_secs(3600));
    assert!(simulation.longest_gap("healthy") <= within_resync(), "{:?}", simulation.longest_gap("healthy"));
    // And whoever comes back is noticed
    assert!(simulation.longest_gap("silent") <= RESYNC * 2, "{:?}", simulation.longest_gap("silent"));
    assert_eq!(simulation.schedule.overdue(simulation.now), 0);
}

/// Holds B4: half of a large fleet falls silent at once, and the other half is still looked at within its resync.
#[test]
fn half_of_a_large_fleet_that_falls_silent_does_not_starve_the_other_half() {
    let mut simulation = Simulation::new(8);
    simulation.add_fleet(0, 5000);
    for number in 0..5000 {
        simulation.add(&format!("silent-{number}"), &format!("silent-{number}"));
    }
    simulation.run_for(Duration::from_secs(900));
    simulation.silent = (0..5000).map(|number| format!("silent-{number}")).collect();
    simulation.run_for(Duration::from_secs(2700));
    assert!(simulation.longest_gap("healthy") <= within_resync(), "{:?}", simulation.longest_gap("healthy"));
}

/// Holds B4: hosts that answer, but only at the last moment, take no more from the others than silent ones do.
#[test]
fn hosts_that_answer_at_the_last_moment_do_not_starve_quick_ones() {
    let mut simulation = Simulation::new(2);
    simulation.add_fleet(0, 2000);
    for number in 0..2000 {
        // Not more at once than there is room for at their first look
        if number % 50 == 0 {
            simulation.run_for(Duration::from_secs(30));
        }
        simulation.late.insert(format!("late-{number}"));
        simulation.add(&format!("late-{number}"), &format!("late-{number}"));
    }
    simulation.run_for(Duration::from_secs(2 * 3600));
    assert!(simulation.longest_gap("healthy") <= within_resync(), "{:?}", simulation.longest_gap("healthy"));
    // Sixteen slots for a quarter of a minute each
    assert!(simulation.longest_gap("late") <= Duration::from_secs(2400), "{:?}", simulation.longest_gap("late"));
}

/// Holds B4: an agent whose host falls silent in the middle of its rotation is looked at before all that have been dead
/// for long, and so is one whose host fails for the first time.
#[test]
fn among_silent_hosts_rotations_in_flight_come_first_and_those_that_are_long_dead_last() {
    let mut simulation = Simulation::new(1);
    for number in 0..2000 {
        simulation.silent.insert(format!("dead-{number}"));
        simulation.add(&format!("dead-{number}"), &format!("dead-{number}"));
    }
    simulation.run_for(Duration::from_secs(4 * 3600));
    let rotating = simulation.add("rotating", "rotating");
    simulation.rotating.insert(rotating.clone());
    let new = simulation.add("new", "new");
    simulation.run_for(Duration::from_secs(5));
    simulation.silent.extend(["rotating".to_owned(), "new".to_owned()]);
    // It is told so by its watch
    simulation.schedule.changed(&new, HostKey::new("fleet", "new"), StatusHint::default(), simulation.now);
    simulation.run_for(Duration::from_secs(5));
    let before = (simulation.looks_at(&rotating), simulation.looks_at(&new));
    simulation.run_for(Duration::from_secs(60));
    // After 5, 10, 20 and 40 seconds, each with the time that it takes
    assert!(simulation.looks_at(&rotating) >= before.0 + 3, "{}", simulation.looks_at(&rotating) - before.0);
    assert!(simulation.looks_at(&new) > before.1);
    simulation.run_for(Duration::from_secs(2 * 3600));
    assert!(simulation.longest_gap("rotating") <= within_resync(), "{:?}", simulation.longest_gap("rotating"));
    // And the dead are not forgotten over it: eight slots for three seconds each
    assert!(simulation.longest_gap("dead") <= Duration::from_secs(1800), "{:?}", simulation.longest_gap("dead"));
}

/// Holds B4: what one namespace makes its hosts look like holds up no other, whether they are silent, late, or just many.
#[test]
fn a_namespace_with_thousands_of_dead_hosts_does_not_hold_up_another_with_one() {
    let mut simulation = Simulation::new(1);
    for number in 0..2000 {
        simulation.silent.insert(format!("crowd-{number}"));
        simulation.add_to("crowd", &format!("crowd-{number}"), &format!("crowd-{number}"));
    }
    simulation.late = (0..1000).map(|number| format!("crowd-{number}")).collect();
    simulation.silent.insert("lonely".into());
    simulation.add_to("other", "lonely", "lonely");
    simulation.add_to("other", "well", "well");
    simulation.run_for(Duration::from_secs(2 * 3600));
    assert!(simulation.longest_gap("lonely") <= within_resync(), "{:?}", simulation.longest_gap("lonely"));
    assert!(simulation.longest_gap("well") <= within_resync(), "{:?}", simulation.longest_gap("well"));
}

/// Holds B4: one silent host with many agents takes one slot, and is asked for each of them in the end.
#[test]
fn a_silent_host_with_many_agents_does_not_multiply() {
    let mut simulation = Simulation::new(8);
    simulation.silent.insert("rack".into());
    for number in 0..100 {
        simulation.add(&format!("agent-{number}"), "rack");
    }
    simulation.add_fleet(0, 50);
    simulation.run_for(Duration::from_secs(5));
    assert!(simulation.most_by_host["rack"] <= 2, "{}", simulation.most_by_host["rack"]);
    simulation.most_by_host.clear();
    simulation.run_for(Duration::from_secs(1800));
    assert_eq!(simulation.most_by_host["rack"], 1);
    assert!(simulation.longest_gap("healthy") <= within_resync());
    assert!((0..100).all(|number| simulation.looks_at(&ResourceName::new("fleet", &format!("agent-{number}"))) > 0));
}

/// Holds B4: rotations in flight come first, also while everything else is due.
#[test]
fn rotations_in_flight_come_first_and_leave_room_for_the_others() {
    let mut simulation = Simulation::new(2);
    let rotating = simulation.add("rotating", "rotating");
    simulation.rotating.insert(rotating.clone());
    simulation.run_for(Duration::from_secs(1));
    simulation.add_fleet(300, 3000);
    let before = simulation.looks_at(&rotating);
    simulation.run_for(Duration::from_secs(60));
    let looks = simulation.looks_at(&rotating) - before;
    assert!(looks >= 50, "{looks} looks in a minute");
}

#[test]
fn so_many_rotations_that_they_fill_every_place_do_not_stop_the_fleet() {
    let mut simulation = Simulation::new(8);
    for number in 0..400 {
        let name = simulation.add(&format!("rotating-{number}"), &format!("rotating-{number}"));
        simulation.rotating.insert(name);
    }
    simulation.add_fleet(0, 1000);
    simulation.run_for(Duration::from_secs(900));
    assert!(simulation.longest_gap("healthy") <= within_resync(), "{:?}", simulation.longest_gap("healthy"));
}

/// Holds B1: what was due while this process did not lead is looked at as soon as it leads again.
#[test]
fn nothing_is_lost_while_this_process_does_not_lead() {
    let mut simulation = Simulation::new(8);
    simulation.add_fleet(0, 60);
    simulation.run_for(Duration::from_secs(30));
    simulation.schedule.stop_leading();
    simulation.run_for(Duration::from_secs(3600));
    assert_eq!(simulation.schedule.overdue(simulation.now), 0, "a follower owes nothing");
    let before: Vec<_> = simulation.hosts.keys().map(|name| simulation.looks_at(name)).collect();
    simulation.schedule.lead(simulation.now);
    simulation.run_for(Duration::from_secs(10));
    let after: Vec<_> = simulation.hosts.keys().map(|name| simulation.looks_at(name)).collect();
    assert!(before.iter().zip(&after).all(|(before, after)| after > before));
}

/// Holds B1: a pass that asks for a longer rest than the resync does not get it.
#[test]
fn no_rest_is_longer_than_the_resync() {
    let mut simulation = Simulation::new(1);
    let name = simulation.add("a", "a");
    assert_eq!(simulation.schedule.next(simulation.now), Next::Start(name.clone()));
    let rest = Rest { after: Duration::MAX, urgent: false, heard: HostContact::NotAsked };
    simulation.schedule.ended(&name, PassOutcome::Looked(rest), simulation.now);
    assert_eq!(simulation.schedule.next(simulation.now), Next::At(simulation.now + RESYNC));
}

/// Holds B1: a pass that fails has looked at nothing, whatever came of it; one that hangs is no sign of life either.
#[test]
fn passes_that_fail_are_no_looks() {
    for (failure, is_life) in [(PassFailure::Refused, true), (PassFailure::Hung, false)] {
        let mut simulation = Simulation::new(8);
        let names: Vec<_> = (0..20).map(|number| simulation.add(&number.to_string(), &number.to_string())).collect();
        let mut running = Vec::new();
        for _ in 0..1000 {
            while let Next::Start(name) = simulation.schedule.next(simulation.now) {
                running.push(name);
            }
            simulation.now += Duration::from_secs(1);
            let outcome = PassOutcome::Failed { after: Duration::ZERO, failure };
            for name in running.drain(..running.len() / 2) {
                simulation.schedule.ended(&name, outcome, simulation.now);
            }
        }
        assert_eq!(simulation.schedule.overdue(simulation.now), names.len());
        assert_eq!(simulation.schedule.stuck_for(simulation.now) < Duration::from_secs(10), is_life, "{failure:?}");
    }
}

/// Holds B4: a pass that fails does not take its priority from a rotation in flight.
#[test]
fn a_pass_that_fails_leaves_what_was_known() {
    let mut simulation = Simulation::new(8);
    let name = simulation.add("a", "a");
    assert_eq!(simulation.schedule.next(simulation.now), Next::Start(name.clone()));
    let rest = Rest { after: RESYNC, urgent: true, heard: HostContact::Silent };
    simulation.schedule.ended(&name, PassOutcome::Looked(rest), simulation.now);
    simulation.now += RESYNC;
    assert_eq!(simulation.schedule.next(simulation.now), Next::Start(name.clone()));
    let outcome = PassOutcome::Failed { after: RESYNC, failure: PassFailure::Refused };
    simulation.schedule.ended(&name, outcome, simulation.now);
    assert_eq!(simulation.schedule.resources[&name].lane(), Lane { pool: LanePool::Slow, urgent: true });
}

/// Holds B1: a loop that starts nothing is seen, by the metric and by the probe.
#[test]
fn resources_that_nobody_looks_at_are_overdue_and_the_loop_is_stuck() {
    let mut simulation = Simulation::new(8);
    simulation.add_fleet(0, 5);
    let later = simulation.now + RESYNC * 3 + Duration::from_secs(1);
    assert_eq!(simulation.schedule.overdue(later), 5);
    assert!(simulation.schedule.stuck_for(later) > RESYNC);
    simulation.run_for(Duration::from_secs(10));
    assert_eq!(simulation.schedule.stuck_for(simulation.now + Duration::from_secs(60)), Duration::ZERO, "at rest");
}

/// Holds B8: a resource that changes all the time is looked at once a second.
#[test]
fn a_resource_that_changes_all_the_time_is_not_followed_faster_than_the_least_interval() {
    let mut simulation = Simulation::new(8);
    let name = simulation.add("a", "a");
    for _ in 0..200 {
        simulation.run_for(Duration::from_millis(50));
        simulation.schedule.changed(&name, HostKey::new("fleet", "a"), StatusHint::default(), simulation.now);
    }
    let looks = simulation.looks_at(&name);
    assert!((9..=11).contains(&looks), "{looks} looks in ten seconds");
}

#[test]
fn a_change_during_a_pass_is_looked_at_after_it() {
    let mut simulation = Simulation::new(8);
    let name = simulation.add("a", "a");
    assert_eq!(simulation.schedule.next(simulation.now), Next::Start(name.clone()));
    simulation.schedule.changed(&name, HostKey::new("fleet", "a"), StatusHint::default(), simulation.now);
    assert_eq!(simulation.schedule.next(simulation.now), Next::Wait, "one pass at a time over one resource");
    let rest = Rest { after: RESYNC, urgent: false, heard: HostContact::Answered };
    simulation.schedule.ended(&name, PassOutcome::Looked(rest), simulation.now);
    assert_eq!(simulation.schedule.next(simulation.now), Next::At(simulation.now + LEAST_INTERVAL));
}

#[test]
fn a_deleted_resource_leaves_nothing_behind() {
    let mut simulation = Simulation::new(8);
    let name = simulation.add("a", "a");
    assert_eq!(simulation.schedule.next(simulation.now), Next::Start(name.clone()));
    simulation.schedule.forget(&name);
    let rest = Rest { after: RESYNC, urgent: false, heard: HostContact::Silent };
    assert!(!simulation.schedule.ended(&name, PassOutcome::Looked(rest), simulation.now));
    let schedule = &simulation.schedule;
    assert!(schedule.resources.is_empty() && schedule.hosts.is_empty() && schedule.running.is_empty());
    assert!(schedule.waiting.is_empty() && schedule.ready.iter().all(BTreeMap::is_empty));
    assert!(schedule.busy.iter().all(BTreeMap::is_empty));
}

/// Holds B8: whoever deletes a resource and makes it anew all the time is followed no faster than who changes one.
#[test]
fn a_resource_that_is_made_anew_is_looked_at_no_sooner() {
    let mut simulation = Simulation::new(8);
    let rest = Rest { after: RESYNC, urgent: false, heard: HostContact::Answered };
    for _ in 0..3 {
        let name = simulation.add("a", "a");
        let started = simulation.now;
        assert_eq!(simulation.schedule.next(simulation.now), Next::Start(name.clone()));
        simulation.schedule.ended(&name, PassOutcome::Looked(rest), simulation.now);
        simulation.schedule.forget(&name);
        simulation.add("a", "a");
        assert_eq!(simulation.schedule.next(simulation.now), Next::At(started + LEAST_INTERVAL));
        simulation.schedule.forget(&name);
        simulation.now += LEAST_INTERVAL;
    }
    // What is gone is not remembered for ever.
    for number in 0..3 * MOST_GONE {
        let name = simulation.add(&format!("b{number}"), "b");
        simulation.now += Duration::from_millis(1);
        assert!(matches!(simulation.schedule.next(simulation.now), Next::Start(_)));
        simulation.schedule.ended(&name, PassOutcome::Looked(rest), simulation.now);
        simulation.schedule.forget(&name);
    }
    assert!((1000..=MOST_GONE).contains(&simulation.schedule.gone.len()), "{}", simulation.schedule.gone.len());
}

#[test]
fn another_address_is_another_host() {
    let mut simulation = Simulation::new(8);
    simulation.silent.insert("old".into());
    let name = simulation.add("a", "old");
    simulation.run_for(Duration::from_secs(4));
    simulation.hosts.insert(name.clone(), "new".into());
    simulation.schedule.changed(&name, HostKey::new("fleet", "new"), StatusHint::default(), simulation.now);
    simulation.run_for(Duration::from_secs(1));
    assert_eq!(simulation.looks_at(&name), 2);
    assert_eq!(simulation.schedule.hosts.len(), 1);
    assert!(simulation.schedule.hosts.contains_key(&HostKey::new("fleet", "new")));
}

/// What can happen to a queue.
#[derive(Clone, Debug)]
enum Happening {
    Changed { name: usize, host: usize, known: StatusHint },
    Gone { name: usize },
    Next,
    Ended { which: usize, outcome: PassOutcome },
    Time(u64),
    Lead(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    let heard = prop_oneof![Just(HostContact::Answered), Just(HostContact::Silent), Just(HostContact::NotAsked)];
    let looked = (0u64..400, any::<bool>(), heard).prop_map(|(after, urgent, heard)| {
        PassOutcome::Looked(Rest { after: Duration::from_secs(after), urgent, heard })
    });
    let failed = (0u64..400, any::<bool>()).prop_map(|(after, hung)| {
        let failure = if hung { PassFailure::Hung } else { PassFailure::Refused };
        PassOutcome::Failed { after: Duration::from_secs(after), failure }
    });
    let known = (any::<bool>(), any::<bool>()).prop_map(|(urgent, silent)| StatusHint { urgent, silent });
    prop_oneof![
        4 => (0usize..12, 0usize..3, known).prop_map(|(name, host, known)| Happening::Changed { name, host, known }),
        1 => (0usize..12).prop_map(|name| Happening::Gone { name }),
        8 => Just(Happening::Next),
        4 => (any::<usize>(), prop_oneof![4 => looked, 1 => failed])
            .prop_map(|(which, outcome)| Happening::Ended { which, outcome }),
        2 => (0u64..20_000).prop_map(Happening::Time),
        1 => any::<bool>().prop_map(Happening::Lead),
    ]
}

fn named(name: usize) -> ResourceName {
    ResourceName::new(["a", "b"][name % 2], &name.to_string())
}

impl Schedule {
    /// Each resource stands in exactly one place, and the counts are what they count.
    fn is_whole(&self) -> Result<(), TestCaseError> {
        let (mut waiting, mut ready, mut running) = (0, 0, 0);
        for (name, entry) in &self.resources {
            match entry.state {
                EntryState::Waiting { due, until } => {
                    waiting += 1;
                    prop_assert!(due <= until && self.waiting.contains(&(until, name.clone())), "{name} has no time");
                }
                EntryState::Ready { due } => {
                    ready += 1;
                    let lane = &self.ready[entry.lane().index()];
                    let stands = lane
                        .get(name.namespace())
                        .map(|lane| lane.contains(&(entry.rank(due, self.resync), name.clone())));
                    prop_assert_eq!(stands, Some(true), "{} stands in no lane", name);
                }
                EntryState::Running { .. } => {
                    running += 1;
                    prop_assert!(self.running.contains_key(name));
                }
            }
        }
        prop_assert_eq!((waiting, running), (self.waiting.len(), self.running.len()));
        prop_assert_eq!(ready, self.ready.iter().flat_map(BTreeMap::values).map(BTreeSet::len).sum::<usize>());
        prop_assert_eq!(running, self.busy.iter().flat_map(BTreeMap::values).sum::<usize>());
        for (key, host) in &self.hosts {
            let at = |running: &&RunningPass| running.host == *key;
            prop_assert_eq!(host.running, self.running.values().filter(at).count());
            prop_assert!(host.held.iter().all(|(_, name)| self.resources[name].host == *key));
        }
        Ok(())
    }
}

proptest! {
    /// Holds B1: whatever happens in whatever order, nothing is stranded: all that is there is looked at in the end.
    #[test]
    fn whatever_happens_every_resource_is_looked_at_again(happenings in proptest::collection::vec(happening(), 0..150)) {
        let mut now = Instant::now();
        let mut schedule = Schedule::new(1, RESYNC, now);
        schedule.lead(now);
        let mut running = Vec::new();
        for happening in happenings {
            match happening {
                Happening::Changed { name, host, known } => {
                    schedule.changed(&named(name), HostKey::new("fleet", &host.to_string()), known, now);
                }
                Happening::Gone { name } => schedule.forget(&named(name)),
                Happening::Next => {
                    if let Next::Start(name) = schedule.next(now) {
                        running.push(name);
                    }
                }
                Happening::Ended { which, outcome } if !running.is_empty() => {
                    let name = running.swap_remove(which % running.len());
                    schedule.ended(&name, outcome, now);
                }
                Happening::Ended { .. } => {}
                Happening::Time(milliseconds) => now += Duration::from_millis(milliseconds),
                Happening::Lead(true) => schedule.lead(now),
                Happening::Lead(false) => schedule.stop_leading(),
            }
            schedule.is_whole()?;
        }
        let mut owed: BTreeSet<_> = schedule.resources.keys().cloned().collect();
        schedule.lead(now);
        let end = now + RESYNC * 2;
        while now < end && !owed.is_empty() {
            for name in running.drain(..) {
                owed.remove(&name);
                let rest = Rest { after: RESYNC, urgent: false, heard: HostContact::Silent };
                schedule.ended(&name, PassOutcome::Looked(rest), now);
            }
            while let Next::Start(name) = schedule.next(now) {
                running.push(name);
            }
            now += Duration::from_secs(1);
        }
        prop_assert!(owed.is_empty(), "{:?} are stranded", owed);
    }
}
