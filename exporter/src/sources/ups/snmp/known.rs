//! Which objects an agent has: learned by asking, remembered, and asked again now and then. Pure.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_snmp::Oid;

use super::oids::TREES;
use super::reading::Answers;

/// A card that is upgraded, or a UPS that is exchanged behind it, has other objects.
const ASKS_AGAIN_AFTER: Duration = Duration::from_mins(10);
/// Tables that twice were not answered, when the scalars were, are left alone until everything is asked again.
const TABLE_ATTEMPTS: u8 = 2;

/// Twenty answers fit into one datagram of the smallest size that every network carries whole.
pub(super) const OBJECTS_PER_REQUEST: usize = 20;

/// What is known of one agent.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Scalars and columns.
    absent: BTreeSet<Oid>,
    /// When every object had last been asked for.
    whole_since: Option<Instant>,
    table_failures: u8,
    /// Since when it is asked for one object at a time: it has answered such a request right after it had dropped a larger one.
    /// A session more does not change that.
    singly_since: Option<Instant>,
}

impl Known {
    /// Forgets what it is time to ask again. What was learned of an agent whose answers came too slowly to be whole is kept,
    /// or it would never be.
    pub(super) fn begin(&mut self, new_session: bool, now: Instant) {
        let old = |at: &Instant| new_session || now.saturating_duration_since(*at) >= ASKS_AGAIN_AFTER;
        if self.whole_since.as_ref().is_some_and(old) {
            *self = Self { singly_since: self.singly_since, ..Self::default() };
        }
    }

    /// How many objects may be asked for at once.
    pub(super) const fn at_once(&self) -> usize {
        if self.singly_since.is_some() { 1 } else { OBJECTS_PER_REQUEST }
    }

    pub(super) const fn drops_larger_requests(&mut self, now: Instant) {
        self.singly_since = Some(now);
    }

    /// What to ask for at once, to see whether it was lost datagrams that made it look as if the agent took no such request: now
    /// and then.
    pub(super) fn trial(&mut self, now: Instant) -> Option<Vec<Oid>> {
        self.singly_since.filter(|since| now.saturating_duration_since(*since) >= ASKS_AGAIN_AFTER)?;
        self.singly_since = Some(now);
        let many: Vec<_> = self.scalars().into_iter().take(OBJECTS_PER_REQUEST).collect();
        (many.len() > 1).then_some(many)
    }

    pub(super) const fn takes_larger_requests(&mut self) {
        self.singly_since = None;
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
        let (mut known, now) = (Known::default(), Instant::now());
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
        let mut known = Known::default();
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
        let mut known = Known::default();
        let answers = Answers::from([(UPS_MIB.instance(&[2, 1]), Value::Integer(2))]);
        let all = known.columns(&answers);
        known.without_rows(all.clone());
        assert_eq!(known.columns(&answers), [UPS_MIB.oid(&ALARM_DESCRIPTION)]);
        assert_eq!(known.scalars().len(), Known::default().scalars().len());
    }

    #[test]
    fn an_agent_that_drops_larger_requests_is_asked_singly_and_tried_again_now_and_then() {
        let (mut known, now) = (Known::default(), Instant::now());
        assert_eq!((known.at_once(), known.trial(now)), (OBJECTS_PER_REQUEST, None));
        known.drops_larger_requests(now);
        known.end(now);
        known.begin(true, now);
        assert_eq!((known.at_once(), known.trial(now)), (1, None), "a new session does not change that");
        let later = now + ASKS_AGAIN_AFTER;
        assert_eq!(known.trial(later).map(|many| many.len()), Some(OBJECTS_PER_REQUEST));
        assert_eq!(known.trial(later), None, "it was tried just now");
        known.takes_larger_requests();
        assert_eq!(known.at_once(), OBJECTS_PER_REQUEST);
    }
}
