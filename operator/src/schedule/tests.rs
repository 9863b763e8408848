//! The queue under a virtual clock, with whole fleets of hosts that answer, stay silent, or come back.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const RESYNC: Duration = Duration::from_secs(300);
/// A host that accepts and says nothing costs this much: the deadline for connecting.
const SILENCE: Duration = Duration::from_secs(3);
const HEALTHY_LOOK: Duration = Duration::from_millis(50);

/// A fleet under a clock that only moves when nothing is to be started.
struct Simulation {
    schedule: Schedule,
    start: Instant,
    now: Instant,
    /// Hosts that say nothing.
    silent: BTreeSet<String>,
    /// Passes that run, by when they end.
    ends: BTreeSet<(Instant, ResourceName)>,
    /// Looks in vain in a row, by resource.
    in_vain: BTreeMap<ResourceName, u32>,
    hosts: BTreeMap<ResourceName, String>,
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
            ends: BTreeSet::new(),
            in_vain: BTreeMap::new(),
            hosts: BTreeMap::new(),
            looks: BTreeMap::new(),
            running_by_host: BTreeMap::new(),
            most_by_host: BTreeMap::new(),
            rotating: BTreeSet::new(),
        }
    }

    fn add(&mut self, name: &str, host: &str) -> ResourceName {
        let resource = ResourceName::new("fleet", name);
        self.hosts.insert(resource.clone(), host.to_owned());
        self.schedule.changed(&resource, HostKey::new("fleet", host), Lane::Normal, self.now);
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
        let took = if self.silent.contains(&host) { SILENCE } else { HEALTHY_LOOK };
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
            Rest { after, urgent: false, heard: Heard::Silent }
        } else if self.rotating.contains(name) {
            Rest { after: Duration::from_secs(1), urgent: true, heard: Heard::Answered }
        } else {
            Rest { after: RESYNC, urgent: false, heard: Heard::Answered }
        };
        self.schedule.ended(name, rest, self.now);
    }

    /// The longest that any resource with such a name went without a finished look.
    fn longest_gap(&self, prefix: &str) -> Duration {
        let end = self.now - self.start;
        let gap = |name: &ResourceName| {
            let looks = self.looks.get(name).cloned().unwrap_or_default();
            let times = std::iter::once(Duration::ZERO).chain(looks).chain(std::iter::once(end));
            let times: Vec<_> = times.collect();
            times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(end)
        };
        let named = |name: &&ResourceName| name.to_string().starts_with(&format!("fleet/{prefix}"));
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

/// Holds B4: with 200 silent hosts and 8 places, each of 300 healthy resources is looked at within its resync.
#[test]
fn silent_hosts_do_not_starve_healthy_ones() {
    let mut simulation = Simulation::new(8);
    simulation.add_fleet(200, 300);
    simulation.run_for(Duration::from_secs(3600));
    assert!(simulation.longest_gap("healthy") <= within_resync(), "{:?}", simulation.longest_gap("healthy"));
    // and whoever comes back is noticed
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

/// Holds B4: one silent host with many agents takes one place, and is asked for each of them in the end.
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
    let rest = Rest { after: Duration::MAX, urgent: false, heard: Heard::NotAsked };
    simulation.schedule.ended(&name, rest, simulation.now);
    assert_eq!(simulation.schedule.next(simulation.now), Next::At(simulation.now + RESYNC));
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
        simulation.schedule.changed(&name, HostKey::new("fleet", "a"), Lane::Normal, simulation.now);
    }
    let looks = simulation.looks_at(&name);
    assert!((9..=11).contains(&looks), "{looks} looks in ten seconds");
}

#[test]
fn a_change_during_a_pass_is_looked_at_after_it() {
    let mut simulation = Simulation::new(8);
    let name = simulation.add("a", "a");
    assert_eq!(simulation.schedule.next(simulation.now), Next::Start(name.clone()));
    simulation.schedule.changed(&name, HostKey::new("fleet", "a"), Lane::Normal, simulation.now);
    assert_eq!(simulation.schedule.next(simulation.now), Next::Wait, "one pass at a time over one resource");
    let rest = Rest { after: RESYNC, urgent: false, heard: Heard::Answered };
    simulation.schedule.ended(&name, rest, simulation.now);
    assert_eq!(simulation.schedule.next(simulation.now), Next::At(simulation.now + LEAST_INTERVAL));
}

#[test]
fn a_deleted_resource_leaves_nothing_behind() {
    let mut simulation = Simulation::new(8);
    let name = simulation.add("a", "a");
    assert_eq!(simulation.schedule.next(simulation.now), Next::Start(name.clone()));
    simulation.schedule.forget(&name);
    let rest = Rest { after: RESYNC, urgent: false, heard: Heard::Silent };
    assert!(!simulation.schedule.ended(&name, rest, simulation.now));
    let schedule = &simulation.schedule;
    assert!(schedule.resources.is_empty() && schedule.hosts.is_empty() && schedule.running.is_empty());
    assert!(schedule.waiting.iter().all(BTreeSet::is_empty));
}

#[test]
fn another_address_is_another_host() {
    let mut simulation = Simulation::new(8);
    simulation.silent.insert("old".into());
    let name = simulation.add("a", "old");
    simulation.run_for(Duration::from_secs(4));
    simulation.hosts.insert(name.clone(), "new".into());
    simulation.schedule.changed(&name, HostKey::new("fleet", "new"), Lane::Normal, simulation.now);
    simulation.run_for(Duration::from_secs(1));
    assert_eq!(simulation.looks_at(&name), 2);
    assert_eq!(simulation.schedule.hosts.len(), 1);
    assert!(simulation.schedule.hosts.contains_key(&HostKey::new("fleet", "new")));
}
