//! Which objects an agent has: learned by asking, remembered, and asked again now and then. Pure.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_snmp::Oid;

use super::answers::Answers;
use super::oids::TREES;

/// A card that is upgraded, or a UPS that is exchanged behind it, has other objects.
const ASKS_AGAIN_AFTER: Duration = Duration::from_mins(10);
/// Tables that twice were not answered, when the scalars were, are left alone until everything is asked again.
const TABLE_ATTEMPTS: u8 = 2;

/// Twenty answers fit into one datagram of the smallest size that every network carries whole.
pub(super) const OBJECTS_PER_REQUEST: usize = 20;

/// What is known of one agent.
#[derive(Debug, Default)]
pub(super) struct AgentObjects {
    /// Scalars and columns.
    absent: BTreeSet<Oid>,
    /// When every object had last been asked for.
    whole_since: Option<Instant>,
    table_failures: u8,
    /// Those that it has answered.
    answered: BTreeSet<Oid>,
    /// Those that it has not answered alone, and never before.
    doubtful: BTreeSet<Oid>,
    /// How many objects it is asked for at once, and since when: it has dropped requests for more. A session more does not
    /// change that.
    fewer: Option<(usize, Instant)>,
}

impl AgentObjects {
    /// Forgets what it is time to ask again. What was learned of an agent whose answers came too slowly to be whole is kept,
    /// or it would never be.
    pub(super) fn begin(&mut self, new_session: bool, now: Instant) {
        let old = |at: &Instant| new_session || now.saturating_duration_since(*at) >= ASKS_AGAIN_AFTER;
        if self.whole_since.as_ref().is_some_and(old) {
            *self = Self { fewer: self.fewer, ..Self::default() };
        }
    }

    /// How many objects may be asked for at once.
    pub(super) const fn at_once(&self) -> usize {
        match self.fewer {
            Some((objects, _)) => objects,
            None => OBJECTS_PER_REQUEST,
        }
    }

    /// The agent has dropped a request for so many objects, or its answer could not be read: it is asked for half as many.
    pub(super) const fn drops(&mut self, objects: usize, now: Instant) {
        self.fewer = Some(if objects > 2 { (objects / 2, now) } else { (1, now) });
    }

    /// It was not the number of objects but one of them.
    pub(super) const fn takes_again(&mut self, objects: usize, now: Instant) {
        self.fewer = if objects < OBJECTS_PER_REQUEST { Some((objects, now)) } else { None };
    }

    /// What to ask for at once, to see whether it was lost datagrams that made it look as if the agent took no such request: now
    /// and then, twice as many as before.
    pub(super) fn trial(&mut self, now: Instant) -> Option<Vec<Oid>> {
        let (objects, _) = self.fewer.filter(|(_, since)| now.saturating_duration_since(*since) >= ASKS_AGAIN_AFTER)?;
        self.fewer = Some((objects, now));
        let many: Vec<_> = self.scalars().into_iter().take((objects * 2).min(OBJECTS_PER_REQUEST)).collect();
        (many.len() > 1).then_some(many)
    }

    /// An object was answered.
    pub(super) fn gives(&mut self, oid: &Oid) {
        self.doubtful.remove(oid);
        if !self.answered.contains(oid) {
            self.answered.insert(oid.clone());
        }
    }

    /// An object was not answered, though it was asked for alone and others were. It is left out of this look, and lacking after the
    /// second one. False of one that was answered before: the agent has it.
    #[must_use]
    pub(super) fn leaves_out(&mut self, oid: &Oid) -> bool {
        if self.answered.contains(oid) {
            return false;
        }
        if !self.doubtful.insert(oid.clone()) {
            self.lacks(oid.clone());
        }
        true
    }

    /// Whether everything has been asked once.
    pub(super) const fn is_whole(&self) -> bool {
        self.whole_since.is_some()
    }

    pub(super) fn scalars(&self) -> Vec<Oid> {
        let every = TREES.iter().flat_map(|tree| tree.scalars.iter().map(|object| tree.instance(object.at)));
        every.filter(|oid| !self.absent.contains(oid)).collect()
    }

    pub(super) fn lacks(&mut self, oid: Oid) {
        self.absent.insert(oid);
    }

    pub(super) fn lacks_tree(&mut self, root: &[u32]) {
        let below = self.scalars().into_iter().filter(|oid| oid.arcs().starts_with(root));
        self.absent.extend(below);
    }

    /// The columns of the trees of which a scalar was answered.
    pub(super) fn columns(&self, answers: &Answers) -> Vec<Oid> {
        if self.table_failures >= TABLE_ATTEMPTS {
            return Vec::new();
        }
        let answered = TREES.iter().filter(|tree| answers.keys().any(|oid| oid.arcs().starts_with(tree.root)));
        let columns = answered.flat_map(|tree| tree.columns.iter().map(|column| tree.oid(column.at)));
        columns.filter(|column| !self.absent.contains(column)).collect()
    }

    /// Those of these columns that stay without rows for as long as the UPS is the same.
    pub(super) fn without_rows(&mut self, columns: Vec<Oid>) {
        let every = TREES.iter().flat_map(|tree| tree.columns.iter().map(move |column| (tree, column)));
        let stay: BTreeSet<Oid> =
            every.filter(|(_, column)| column.cell.stays()).map(|(tree, column)| tree.oid(column.at)).collect();
        self.absent.extend(columns.into_iter().filter(|column| stay.contains(column)));
    }

    pub(super) fn tables_failed(&mut self) {
        self.table_failures = self.table_failures.saturating_add(1);
    }

    pub(super) fn end(&mut self, now: Instant) {
        self.whole_since.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use async_snmp::Value;

    use super::super::oids::{ALARM_DESCRIPTION, POWERCHUTE, UPS_MIB};
    use super::*;

    #[test]
    fn what_an_agent_lacks_is_not_asked_for_until_it_is_time_or_it_was_away() {
        let (mut known, now) = (AgentObjects::default(), Instant::now());
        let all = known.scalars().len();
        known.begin(true, now);
        known.lacks_tree(UPS_MIB.root);
        known.lacks(POWERCHUTE.instance(&[1, 2]));
        known.begin(true, now);
        let learned = known.scalars().len();
        assert_eq!(learned, all - UPS_MIB.scalars.len() - 1, "kept until it is whole");
        known.end(now);
        known.begin(false, now + ASKS_AGAIN_AFTER / 2);
        assert_eq!(known.scalars().len(), learned);
        known.begin(false, now + ASKS_AGAIN_AFTER);
        assert_eq!(known.scalars().len(), all);
        known.lacks_tree(UPS_MIB.root);
        known.end(now);
        known.begin(true, now);
        assert_eq!(known.scalars().len(), all);
    }

    #[test]
    fn tables_are_asked_of_trees_that_are_there_and_left_when_they_fail_again_and_again() {
        let mut known = AgentObjects::default();
        let answers = Answers::from([(UPS_MIB.instance(&[2, 1]), Value::Integer(2))]);
        assert_eq!(known.columns(&answers).len(), UPS_MIB.columns.len());
        assert!(known.columns(&Answers::new()).is_empty());
        known.tables_failed();
        assert!(!known.columns(&answers).is_empty());
        known.tables_failed();
        assert!(known.columns(&answers).is_empty());
    }

    #[test]
    fn columns_without_rows_are_left_but_for_the_alarms_which_come_and_go() {
        let mut known = AgentObjects::default();
        let answers = Answers::from([(UPS_MIB.instance(&[2, 1]), Value::Integer(2))]);
        let all = known.columns(&answers);
        known.without_rows(all.clone());
        assert_eq!(known.columns(&answers), [UPS_MIB.oid(&ALARM_DESCRIPTION)]);
        assert_eq!(known.scalars().len(), AgentObjects::default().scalars().len());
    }

    #[test]
    fn an_agent_that_drops_larger_requests_is_asked_for_fewer_and_tried_again_now_and_then() {
        let (mut known, now) = (AgentObjects::default(), Instant::now());
        assert_eq!((known.at_once(), known.trial(now)), (OBJECTS_PER_REQUEST, None));
        known.drops(OBJECTS_PER_REQUEST, now);
        known.drops(known.at_once(), now);
        known.end(now);
        known.begin(true, now);
        assert_eq!((known.at_once(), known.trial(now)), (5, None), "a new session does not change that");
        let later = now + ASKS_AGAIN_AFTER;
        assert_eq!(known.trial(later).map(|many| many.len()), Some(10));
        assert_eq!(known.trial(later), None, "it was tried just now");
        known.takes_again(10, later);
        assert_eq!(known.trial(later + ASKS_AGAIN_AFTER).map(|many| many.len()), Some(OBJECTS_PER_REQUEST));
        known.takes_again(OBJECTS_PER_REQUEST, later);
        assert_eq!((known.at_once(), known.trial(later + ASKS_AGAIN_AFTER * 2)), (OBJECTS_PER_REQUEST, None));
        for objects in [3, 2, 1] {
            known.drops(objects, now);
            assert_eq!(known.at_once(), 1);
        }
    }

    #[test]
    fn an_object_that_is_never_answered_is_lacking_after_two_looks_and_one_that_was_is_not() {
        let mut known = AgentObjects::default();
        let (never, once) = (UPS_MIB.instance(&[1, 1]), UPS_MIB.instance(&[2, 1]));
        known.gives(&once);
        for look in 1..=2 {
            assert!(known.leaves_out(&never) && !known.leaves_out(&once));
            assert_eq!(known.scalars().contains(&never), look == 1);
            assert!(known.scalars().contains(&once));
        }
    }
}
