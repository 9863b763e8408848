//! What an agent has answered.

use std::collections::BTreeMap;

use async_snmp::{Oid, Value};

use super::oids::{Column, Tree};

/// What was answered, by instance.
pub(super) type Answers = BTreeMap<Oid, Value>;

/// The rows of a column: what of each instance follows the column's own name, and its value.
pub(super) fn rows<'a>(tree: &Tree, column: &Column, answers: &'a Answers) -> Vec<(&'a [u32], &'a Value)> {
    let oid = tree.oid(column.at);
    let below = answers.range(oid.clone()..).take_while(|(instance, _)| instance.starts_with(&oid));
    below
        .map(|(instance, value)| (&instance.arcs()[oid.len()..], value))
        .filter(|(index, _)| !index.is_empty())
        .collect()
}
