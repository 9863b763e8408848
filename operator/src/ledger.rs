//! What this process remembers of tries that failed. It may be forgotten: a restart only tries again sooner.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kagiban_crds::Generation;

use crate::allowance::{Allowance, Spent};
use crate::decide::{Obstacle, Reason, Resource, Setback, TakenOrder};

/// By uid; what an agent was told to begin, by agent: a resource that is made anew does not begin to count anew.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<HashMap<String, Entry>>,
    orders: Mutex<HashMap<OrderedAgent, Spent>>,
}

/// An agent, as a namespace orders it: none uses up what another may.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct OrderedAgent {
    namespace: String,
    host: String,
    agent: String,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    looking: Option<Setback>,
    acting: Option<Setback>,
    /// The rotation that the host last said it called off, and how often it said so.
    called_off: Option<(Generation, u32)>,
    /// What those tries were made for.
    wish: Option<Wish>,
    /// Reconciles in a row that ended in an error of ours or of the API server.
    errors: u32,
    /// Passes in a row that used up their rounds.
    restless: u32,
    /// Since when, without a break, the host works on a rotation; a step of ours makes it begin anew, as far as it may.
    works_since: Option<Instant>,
    anew: Spent,
    waits: Option<Wait>,
    /// Status writes outside rotations, of which there may be so many.
    writes: Spent,
    /// The order to begin a rotation that the host last took.
    ordered: Option<TakenOrder>,
    /// Status writes that change messages only, likewise.
    rewordings: Spent,
    told: HashMap<Reason, EventTally>,
}

/// Agents that were told something lately, before those are dropped that may be told as often as ever again. Each was told something.
const FEW_AGENTS: usize = 256;

/// For one order to a host that it begins a rotation or rolls one back. Whoever gives the order gives this up for it, so that none is
/// given uncounted.
#[derive(Debug)]
#[must_use]
pub(crate) struct OrderPermit(());

/// Events with one reason.
#[derive(Clone, Copy, Debug, Default)]
struct EventTally {
    spent: Spent,
    /// Since the last one that was told.
    untold: u32,
}

/// A resource that flips between two states, as a loose power cable makes it, is written so often.
const WRITES: Allowance = Allowance { burst: 10, every: Duration::from_secs(60) };
/// A host that forgets what it was told, or always has another rotation to call off, would be told for ever. A person who asks for one
/// rotation after the other gets as many.
const ORDERS: Allowance = Allowance { burst: 12, every: Duration::from_secs(60) };
/// What a host works on after a step of ours is followed as closely as at its beginning: two minutes at a look a second. A host that
/// goes back to where it takes the same step again gets no more of them than an eighth of the time.
const ANEW: Allowance = Allowance { burst: 4, every: Duration::from_secs(960) };
/// Words are written with every change of state; a change of words alone is written later.
const REWORDINGS: Allowance = Allowance { burst: 3, every: Duration::from_secs(300) };
/// Events of one resource with one reason; six are two rotations that fail three times.
const EVENTS: Allowance = Allowance { burst: 6, every: Duration::from_secs(300) };

/// What a person can change so that something is worth trying at once: the spec, and the rotate annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    generation: i64,
    rotate: Option<String>,
}

/// A Secret that is not what it must be keeps a resource from its next step, and its host has no say in that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) obstacle: Obstacle,
    /// Whether a step has found it out, and not the look at the Secrets before all steps.
    pub(crate) tried: bool,
    /// When the host is looked at again all the same.
    pub(crate) until: Instant,
}

impl Ledger {
    /// What is asked for now. What failed for another wish says nothing about this one. Whether something else was asked for
    /// before.
    pub(crate) fn asked(&self, resource: &Resource) -> bool {
        self.wished(&resource.uid, Wish { generation: resource.generation, rotate: resource.rotate.clone() })
    }

    /// The same, of a resource that cannot be read.
    pub(crate) fn asked_unread(&self, uid: &str, generation: i64) {
        self.wished(uid, Wish { generation, rotate: None });
    }

    fn wished(&self, uid: &str, wish: Wish) -> bool {
        let mut entries = self.entries();
        let entry = entries.entry(uid.to_owned()).or_default();
        if entry.wish.as_ref() == Some(&wish) {
            return false;
        }
        let is_changed = entry.wish.is_some();
        (entry.looking, entry.acting, entry.waits, entry.wish) = (None, None, None, Some(wish));
        is_changed
    }

    /// The host could not be looked at.
    pub(crate) fn looked_in_vain(&self, uid: &str, obstacle: &Obstacle, now: Timestamp) {
        self.with(uid, |entry| entry.looking = Some(after(entry.looking.take(), obstacle, now)));
    }

    pub(crate) fn looked(&self, uid: &str) {
        self.with(uid, |entry| entry.looking = None);
    }

    /// A step failed without harm.
    pub(crate) fn acted_in_vain(&self, uid: &str, obstacle: &Obstacle, now: Timestamp) {
        self.with(uid, |entry| entry.acting = Some(after(entry.acting.take(), obstacle, now)));
    }

    /// A step succeeded, or nothing is to be done any more.
    pub(crate) fn acted(&self, uid: &str, now: Instant) {
        self.with(uid, |entry| {
            entry.acting = None;
            if entry.works_since.is_some() && entry.anew.take(ANEW, now) {
                entry.works_since = None;
            }
        });
    }

    /// The host says that it called a rotation off; it is believed once. None if it was believed, else the count of its words.
    /// It is not taken for at rest before it is seen so.
    pub(crate) fn called_off(&self, uid: &str, generation: Generation) -> Option<u32> {
        self.with(uid, |entry| {
            let before = entry.called_off.filter(|(last, _)| *last == generation).map_or(0, |(_, count)| count);
            entry.called_off = Some((generation, before.saturating_add(1)));
            if before == 0 {
                entry.acting = None;
                return None;
            }
            Some(before.saturating_add(1))
        })
        .flatten()
    }

    /// The host was seen to work on a rotation just now. For how long it has been.
    pub(crate) fn works(&self, uid: &str, now: Instant) -> Option<Duration> {
        self.with(uid, |entry| now.saturating_duration_since(*entry.works_since.get_or_insert(now)))
    }

    /// The host was seen at rest.
    pub(crate) fn rests(&self, uid: &str) {
        self.with(uid, |entry| entry.works_since = None);
    }

    /// What the resource waits for, if that is no business of its host's, and it is too soon to look there again.
    pub(crate) fn wait(&self, uid: &str, now: Instant) -> Option<Wait> {
        self.with(uid, |entry| entry.waits.clone()).flatten().filter(|wait| now < wait.until)
    }

    pub(crate) fn waits(&self, uid: &str, wait: Option<Wait>) {
        self.with(uid, |entry| entry.waits = wait);
    }

    /// What a decision needs to know: of looking while the host cannot be seen, of acting otherwise.
    pub(crate) fn setback(&self, uid: &str, seen: bool) -> Option<Setback> {
        self.with(uid, |entry| if seen { entry.acting.clone() } else { entry.looking.clone() }).flatten()
    }

    /// Whether the resource may be written once more now, for a change that is no rotation's.
    pub(crate) fn may_write(&self, uid: &str, now: Instant) -> bool {
        self.with(uid, |entry| entry.writes.take(WRITES, now)).unwrap_or(true)
    }

    /// To tell the resource's agent now to begin a rotation or to roll one back, if it may be told.
    pub(crate) fn order(&self, resource: &Resource, now: Instant) -> Option<OrderPermit> {
        let agent = OrderedAgent {
            namespace: resource.namespace.clone(),
            host: resource.spec.host.clone(),
            agent: resource.spec.agent.name.clone(),
        };
        // Plain data, as the entries are
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.len() >= FEW_AGENTS && !orders.contains_key(&agent) {
            orders.retain(|_, spent| !spent.is_whole(ORDERS, now));
        }
        orders.entry(agent).or_default().take(ORDERS, now).then_some(OrderPermit(()))
    }

    /// The host took an order to begin a rotation.
    pub(crate) fn took_order(&self, uid: &str, order: TakenOrder) {
        self.with(uid, |entry| entry.ordered = Some(order));
    }

    /// The last one that it took.
    pub(crate) fn ordered(&self, uid: &str) -> Option<TakenOrder> {
        self.with(uid, |entry| entry.ordered).flatten()
    }

    /// Whether other words for the same state may be written now.
    pub(crate) fn may_reword(&self, uid: &str, now: Instant) -> bool {
        self.with(uid, |entry| entry.rewordings.is_left(REWORDINGS, now)).unwrap_or(true)
    }

    /// They are written now, if they may be.
    pub(crate) fn reword(&self, uid: &str, now: Instant) -> bool {
        self.with(uid, |entry| entry.rewordings.take(REWORDINGS, now)).unwrap_or(true)
    }

    /// Whether an event may be told now; if so, how many with that reason were not told since the last one.
    pub(crate) fn may_tell(&self, uid: &str, reason: Reason, now: Instant) -> Option<u32> {
        let told = self.with(uid, |entry| {
            let told = entry.told.entry(reason).or_default();
            if told.spent.take(EVENTS, now) {
                Some(std::mem::take(&mut told.untold))
            } else {
                told.untold = told.untold.saturating_add(1);
                None
            }
        });
        told.unwrap_or(Some(0))
    }

    /// How many reconciles in a row failed, this one included.
    pub(crate) fn failed(&self, uid: &str) -> u32 {
        self.with(uid, |entry| {
            entry.errors = entry.errors.saturating_add(1);
            entry.errors
        })
        .unwrap_or(1)
    }

    pub(crate) fn passed(&self, uid: &str) {
        self.with(uid, |entry| entry.errors = 0);
    }

    /// How many passes in a row used up their rounds, this one included.
    pub(crate) fn found_no_rest(&self, uid: &str) -> u32 {
        self.with(uid, |entry| {
            entry.restless = entry.restless.saturating_add(1);
            entry.restless
        })
        .unwrap_or(1)
    }

    pub(crate) fn found_rest(&self, uid: &str) {
        self.with(uid, |entry| entry.restless = 0);
    }

    pub(crate) fn forget(&self, uid: &str) {
        self.entries().remove(uid);
    }

    /// Resources that something is remembered of.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of a resource that was forgotten nothing is remembered any more: only [`Self::asked`] begins an entry.
    fn with<T>(&self, uid: &str, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.entries().get_mut(uid).map(change)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // An entry is plain data: one that a panic left half-changed is as good as any
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn after(before: Option<Setback>, obstacle: &Obstacle, now: Timestamp) -> Setback {
    let count = before.map_or(0, |setback| setback.count).saturating_add(1);
    Setback { obstacle: obstacle.clone(), count, at: now }
}

#[cfg(test)]
mod tests {
    use kagiban_crds::resource::BlockedBy;

    use super::*;

    /// Holds B8: events with one reason are told a few times and then counted.
    #[test]
    fn events_that_repeat_are_counted_and_told_with_the_next_one() {
        let ledger = Ledger::default();
        let resource = crate::decide::tests::resource();
        ledger.asked(&resource);
        let (reason, start) = (Reason::Blocked(BlockedBy::OnBattery), Instant::now());
        let told: Vec<_> = (0..20).map(|_| ledger.may_tell(&resource.uid, reason, start)).collect();
        assert_eq!(told.iter().flatten().count(), 6);
        assert_eq!(ledger.may_tell(&resource.uid, Reason::Verified, start), Some(0), "another reason");
        assert_eq!(ledger.may_tell(&resource.uid, reason, start + Duration::from_secs(300)), Some(14));
    }

    /// Holds B17: the end of a pass over a resource that is gone brings nothing back.
    #[test]
    fn what_was_forgotten_stays_forgotten() {
        let ledger = Ledger::default();
        let resource = crate::decide::tests::resource();
        ledger.asked(&resource);
        assert_eq!(ledger.len(), 1);
        ledger.forget(&resource.uid);
        ledger.passed(&resource.uid);
        ledger.acted(&resource.uid, Instant::now());
        ledger.looked_in_vain(&resource.uid, &Obstacle::new(BlockedBy::HostUnreachable, "down"), Timestamp::UNIX_EPOCH);
        assert_eq!(ledger.failed(&resource.uid), 1);
        assert!(ledger.is_empty());
    }

    /// Holds B17: a host that says that it called a rotation off, and goes on with it.
    #[test]
    fn a_host_is_believed_once_that_it_called_a_rotation_off_and_works_on_it_until_it_rests() {
        let ledger = Ledger::default();
        let resource = crate::decide::tests::resource();
        ledger.asked(&resource);
        let uid = resource.uid.as_str();
        let (start, hour) = (Instant::now(), Duration::from_secs(3600));
        assert_eq!(ledger.works(uid, start), Some(Duration::ZERO));
        let said: Vec<_> = [7, 7, 7, 8, 8].into_iter().map(|it| ledger.called_off(uid, Generation(it))).collect();
        assert_eq!(said, [None, Some(2), Some(3), None, Some(2)]);
        assert_eq!(ledger.works(uid, start + hour), Some(hour), "it was not seen at rest");
    }

    /// Holds B8: a host that goes back to where it was given a chain was looked at each second for as long as it did so.
    #[test]
    fn a_host_that_has_the_same_step_taken_again_and_again_is_not_followed_anew_each_time() {
        let ledger = Ledger::default();
        let resource = crate::decide::tests::resource();
        ledger.asked(&resource);
        let (uid, start) = (resource.uid.as_str(), Instant::now());
        let worked = |seconds| {
            let now = start + Duration::from_secs(seconds);
            let taken = ledger.works(uid, now).expect("it is known");
            ledger.acted(uid, now);
            taken.as_secs()
        };
        let taken: Vec<_> = (0..8).map(|step| worked(step * 100)).collect();
        // The time begins with the first look after a step
        assert_eq!(taken, [0, 0, 0, 0, 0, 100, 200, 300]);
        assert_eq!(worked(960), 560, "one has come back, and it begins anew");
        assert_eq!([worked(1000), worked(1800)], [0, 800]);
        ledger.rests(uid);
        assert_eq!(worked(1801), 0, "another rotation");
    }

    #[test]
    fn tries_are_counted_apart_for_looking_and_acting_until_one_succeeds() {
        let ledger = Ledger::default();
        let obstacle = Obstacle::new(BlockedBy::HostUnreachable, "down");
        ledger.asked(&Resource { uid: "a".into(), ..crate::decide::tests::resource() });
        ledger.looked_in_vain("a", &obstacle, Timestamp::UNIX_EPOCH);
        ledger.looked_in_vain("a", &obstacle, Timestamp::UNIX_EPOCH);
        assert_eq!(ledger.setback("a", false).map(|setback| setback.count), Some(2));
        assert_eq!(ledger.setback("a", true), None);
        assert_eq!(ledger.setback("b", false), None);
        ledger.looked("a");
        assert_eq!(ledger.setback("a", false), None);
    }

    /// Holds B3: the pause after a failed pass grows for a resource that cannot be read, too.
    #[test]
    fn failures_of_a_resource_that_cannot_be_read_are_counted() {
        let ledger = Ledger::default();
        let failed = |generation| {
            ledger.asked_unread("u", generation);
            ledger.failed("u")
        };
        assert_eq!([failed(1), failed(1), failed(2)], [1, 2, 3]);
    }

    #[test]
    fn another_spec_or_another_annotation_is_tried_at_once() {
        let ledger = Ledger::default();
        let mut resource = crate::decide::tests::resource();
        let uid = resource.uid.clone();
        let obstacle = Obstacle::new(BlockedBy::HostRefused, "no");
        let tries = |resource: &Resource| {
            ledger.asked(resource);
            ledger.acted_in_vain(&uid, &obstacle, Timestamp::UNIX_EPOCH);
            ledger.setback(&uid, true).map(|setback| setback.count)
        };
        assert_eq!((tries(&resource), tries(&resource)), (Some(1), Some(2)));
        resource.generation += 1;
        assert_eq!(tries(&resource), Some(1));
        resource.rotate = Some("now".into());
        assert_eq!((tries(&resource), tries(&resource)), (Some(1), Some(2)));
    }

    /// Holds B8: a host that forgot each order, or hid one rotation after the other to be called off, was told one a second.
    #[test]
    fn a_host_is_told_to_begin_something_a_dozen_times_and_then_once_a_minute() {
        let ledger = Ledger::default();
        let resource = crate::decide::tests::resource();
        ledger.asked(&resource);
        let start = Instant::now();
        let told = |seconds| {
            let now = start + Duration::from_secs(seconds);
            (0..60).filter(|_| ledger.order(&resource, now).is_some()).count()
        };
        assert_eq!([0, 30, 60, 120].map(told), [12, 0, 1, 1]);
    }

    /// Holds B8, B17: whoever deletes a resource and makes it anew had the agent told as often again.
    #[test]
    fn a_resource_that_is_made_anew_has_its_agent_told_no_more_often_and_another_agent_is() {
        let ledger = Ledger::default();
        let start = Instant::now();
        let mut resource = crate::decide::tests::resource();
        let told = (0..40).filter(|n| {
            resource.uid = n.to_string();
            ledger.asked(&resource);
            let told = ledger.order(&resource, start).is_some();
            ledger.forget(&resource.uid);
            told
        });
        assert_eq!(told.count(), 12);
        let others: [fn(&mut Resource); 3] = [
            |it| it.namespace = "another".into(),
            |it| it.spec.host = "ups-99.example.com".parse().expect("a name"),
            |it| it.spec.agent.name = "another".parse().expect("a name"),
        ];
        for other in others {
            let mut resource = crate::decide::tests::resource();
            other(&mut resource);
            assert!(ledger.order(&resource, start).is_some(), "{:?}", resource.spec);
        }
    }

    #[test]
    fn what_was_told_long_ago_is_not_remembered_for_ever() {
        let ledger = Ledger::default();
        let (mut resource, start) = (crate::decide::tests::resource(), Instant::now());
        for n in 0..4 * FEW_AGENTS {
            resource.namespace = n.to_string();
            let now = start + Duration::from_secs(n as u64);
            assert!(ledger.order(&resource, now).is_some());
        }
        let kept = ledger.orders.lock().expect("unpoisoned").len();
        assert!((60..=2 * FEW_AGENTS).contains(&kept), "{kept}");
    }
}
