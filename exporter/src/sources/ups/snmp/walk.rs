//! Walks columns of tables side by side, one row of each per request. Pure: it says what to ask next, and takes the answer.

use async_snmp::{Oid, VarBind};

use super::reading::Answers;

/// RFC 1628 knows 24 alarms, a UPS has three lines, and outlet groups are a handful.
const MAX_ROWS: usize = 32;

/// Columns, each at the row that it was seen at last.
#[derive(Debug)]
pub(super) struct Walk(Vec<Cursor>);

#[derive(Debug)]
struct Cursor {
    column: Oid,
    at: Oid,
    rows: usize,
}

impl Walk {
    pub(super) fn new(columns: impl IntoIterator<Item = Oid>) -> Self {
        Self(columns.into_iter().map(|column| Cursor { at: column.clone(), column, rows: 0 }).collect())
    }

    /// What to ask the successors of; empty when the walk is over.
    pub(super) fn ask(&self) -> Vec<Oid> {
        self.0.iter().map(|cursor| cursor.at.clone()).collect()
    }

    /// Takes the answer to what was last asked. A column goes on only while its objects come in strictly increasing order, within
    /// the column and within its rows: an agent that goes in circles ends the walk of that column.
    pub(super) fn take(&mut self, got: Vec<VarBind>, answers: &mut Answers) {
        let mut got = got.into_iter();
        self.0.retain_mut(|cursor| {
            let Some(VarBind { oid, value, .. }) = got.next() else { return false };
            let goes_on = oid.starts_with(&cursor.column) && oid > cursor.at && !value.is_exception();
            if goes_on {
                answers.insert(oid.clone(), value);
                cursor.at = oid;
                cursor.rows += 1;
            }
            goes_on && cursor.rows < MAX_ROWS
        });
    }

    /// SNMP v1 says so of the whole request when one column has no successor at all.
    pub(super) fn end(&mut self, position: Option<usize>) {
        match position {
            Some(position) if position < self.0.len() => _ = self.0.remove(position),
            Some(_) | None => self.0.clear(),
        }
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
        let mut walk = Walk::new([oid!(1, 3, 1), oid!(1, 3, 2)]);
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
            let mut walk = Walk::new([oid!(1, 3, 1)]);
            walk.take(vec![bind(next)], &mut Answers::new());
            assert!(walk.ask().is_empty());
        }
        let (mut walk, mut answers) = (Walk::new([oid!(1, 3, 1)]), Answers::new());
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
        let mut walk = Walk::new([oid!(1, 3, 1), oid!(1, 3, 2)]);
        walk.take(vec![bind(oid!(1, 3, 1, 1))], &mut Answers::new());
        assert_eq!(walk.ask(), [oid!(1, 3, 1, 1)]);
        walk.take(Vec::new(), &mut Answers::new());
        assert!(walk.ask().is_empty());
    }
}
