//! Walks columns of tables side by side, one row of each per request. Pure: it says what to ask next, and takes the answer.

use async_snmp::{Oid, VarBind};

use super::answers::Answers;

/// RFC 1628 knows 24 alarms, a UPS has three lines, and outlet groups are a handful.
const MAX_ROWS: usize = 32;

/// Columns, each at the row that it was seen at last. The first ones go on together, the others when those have ended.
#[derive(Debug)]
pub(super) struct Walk {
    cursors: Vec<Cursor>,
    /// How many go on together.
    abreast: usize,
    /// Columns that have ended before their first row.
    barren: Vec<Oid>,
}

#[derive(Debug)]
struct Cursor {
    column: Oid,
    at: Oid,
    rows: usize,
}

impl Walk {
    pub(super) fn new(columns: impl IntoIterator<Item = Oid>, abreast: usize) -> Self {
        let cursors = columns.into_iter().map(|column| Cursor { at: column.clone(), column, rows: 0 }).collect();
        Self { cursors, abreast, barren: Vec::new() }
    }

    /// What to ask the successors of; empty when the walk is over.
    pub(super) fn ask(&self) -> Vec<Oid> {
        self.cursors.iter().take(self.abreast).map(|cursor| cursor.at.clone()).collect()
    }

    /// From now on so many columns at once.
    pub(super) const fn go_by(&mut self, abreast: usize) {
        self.abreast = abreast;
    }

    /// Takes the answer to what was last asked. A column goes on only while its objects come in strictly increasing order, within
    /// the column and within its rows: an agent that goes in circles ends the walk of that column.
    pub(super) fn take(&mut self, got: Vec<VarBind>, answers: &mut Answers) {
        let (mut got, mut asked) = (got.into_iter(), self.abreast);
        let barren = &mut self.barren;
        self.cursors.retain_mut(|cursor| {
            if asked == 0 {
                return true;
            }
            asked -= 1;
            let Some(VarBind { oid, value, .. }) = got.next() else { return false };
            let goes_on = oid.starts_with(&cursor.column) && oid > cursor.at && !value.is_exception();
            if goes_on {
                answers.insert(oid.clone(), value);
                cursor.at = oid;
                cursor.rows += 1;
            } else if cursor.rows == 0 {
                barren.push(cursor.column.clone());
            }
            goes_on && cursor.rows < MAX_ROWS
        });
    }

    /// The agent refuses the whole request for one column. SNMP v1 does so where there is no successor at all.
    pub(super) fn end(&mut self, position: Option<usize>, has_no_successor: bool) {
        match position {
            Some(position) if position < self.cursors.len() => {
                let Cursor { column, rows, .. } = self.cursors.remove(position);
                if has_no_successor && rows == 0 {
                    self.barren.push(column);
                }
            }
            Some(_) | None => _ = self.cursors.drain(..self.abreast.min(self.cursors.len())),
        }
    }

    /// The columns that were told to have no rows.
    pub(super) fn into_barren(self) -> Vec<Oid> {
        self.barren
    }
}

#[cfg(test)]
mod tests {
    use async_snmp::{Value, oid};

    use super::*;

    fn bind(oid: Oid) -> VarBind {
        VarBind::new(oid, Value::Integer(1))
    }

    #[test]
    fn columns_of_different_lengths_end_each_for_itself() {
        let mut walk = Walk::new([oid!(1, 3, 1), oid!(1, 3, 2)], 20);
        let mut answers = Answers::new();
        walk.take(vec![bind(oid!(1, 3, 1, 1)), bind(oid!(1, 3, 2, 1))], &mut answers);
        assert_eq!(walk.ask(), [oid!(1, 3, 1, 1), oid!(1, 3, 2, 1)]);
        walk.take(vec![bind(oid!(1, 3, 2, 1)), bind(oid!(1, 3, 2, 2))], &mut answers);
        assert_eq!(walk.ask(), [oid!(1, 3, 2, 2)]);
        walk.take(vec![VarBind::new(oid!(1, 3, 2, 2), Value::EndOfMibView)], &mut answers);
        assert!(walk.ask().is_empty());
        assert_eq!(answers.len(), 3);
    }

    #[test]
    fn an_agent_that_goes_in_circles_or_never_ends_is_left() {
        for next in [oid!(1, 3, 1), oid!(1, 2, 9), oid!(1, 4)] {
            let mut walk = Walk::new([oid!(1, 3, 1)], 20);
            walk.take(vec![bind(next)], &mut Answers::new());
            assert!(walk.ask().is_empty());
        }
        let (mut walk, mut answers) = (Walk::new([oid!(1, 3, 1)], 20), Answers::new());
        for row in 1..1000 {
            if walk.ask().is_empty() {
                break;
            }
            walk.take(vec![bind(oid!(1, 3, 1, row))], &mut answers);
        }
        assert_eq!(answers.len(), MAX_ROWS);
    }

    #[test]
    fn an_answer_that_is_too_short_ends_what_it_leaves_out() {
        let mut walk = Walk::new([oid!(1, 3, 1), oid!(1, 3, 2)], 20);
        walk.take(vec![bind(oid!(1, 3, 1, 1))], &mut Answers::new());
        assert_eq!(walk.ask(), [oid!(1, 3, 1, 1)]);
        walk.take(Vec::new(), &mut Answers::new());
        assert!(walk.ask().is_empty());
    }

    #[test]
    fn columns_beyond_those_that_go_abreast_follow_when_those_have_ended() {
        let mut walk = Walk::new([oid!(1, 3, 1), oid!(1, 3, 2), oid!(1, 3, 3)], 2);
        let mut answers = Answers::new();
        assert_eq!(walk.ask(), [oid!(1, 3, 1), oid!(1, 3, 2)]);
        walk.take(vec![bind(oid!(1, 3, 2, 7)), bind(oid!(1, 3, 2, 7))], &mut answers);
        assert_eq!(walk.ask(), [oid!(1, 3, 2, 7), oid!(1, 3, 3)]);
        walk.go_by(1);
        assert_eq!(walk.ask(), [oid!(1, 3, 2, 7)]);
        walk.take(vec![bind(oid!(1, 3, 3, 1))], &mut answers);
        walk.take(vec![bind(oid!(1, 3, 3, 1))], &mut answers);
        walk.take(vec![bind(oid!(1, 4))], &mut answers);
        assert!(walk.ask().is_empty());
        assert_eq!(answers.into_keys().collect::<Vec<_>>(), [oid!(1, 3, 2, 7), oid!(1, 3, 3, 1)]);
        assert_eq!(walk.into_barren(), [oid!(1, 3, 1)]);
    }
}
