//! The tables of lines, told apart by what they hold: what is empty, or not counted by the agent itself, is no line.

use std::collections::{BTreeMap, BTreeSet};

use super::answers::{Answers, rows};
use super::oids::{Cell, Side, Tree};
use super::value;
use crate::label::Label;
use crate::sources::ups::lines::{self, LineScope};
use crate::ups::{Quantity, Values};

/// `upsPhaseInputType`: another way around the UPS, not its input.
const BYPASS: i64 = 3;

/// Takes what a tree's tables say of the lines of one side: into `phases` where there are several, and into `whole` where there is
/// one, unless something more precise is there.
pub(super) fn take(
    tree: &Tree,
    side: Side,
    counted: Option<u32>,
    answers: &Answers,
    whole: &mut Values,
    phases: &mut Values,
) {
    let table = Table::read(tree, side, answers);
    for (quantity, number) in &table.feed {
        whole.put_unless_known(*quantity, *number);
    }
    let lines: BTreeSet<u32> = table.cells.keys().map(|(line, _)| *line).collect();
    let kept = counted.or(table.counted).and_then(lines::counted).unwrap_or(usize::MAX).min(lines.len());
    let rank: BTreeMap<u32, usize> = lines.into_iter().zip(1..).collect();
    let known: BTreeSet<Quantity> = Quantity::ALL.into_iter().filter(|it| phases.each(*it).next().is_some()).collect();
    for ((line, quantity), number) in table.cells {
        match LineScope::of(rank[&line], kept) {
            LineScope::Nowhere => whole.refuse(quantity),
            LineScope::Whole => whole.put_unless_known(quantity, number),
            LineScope::Line if known.contains(&quantity) => {}
            LineScope::Line => phases.put_at(quantity, Some(Label::new(&line.to_string())), number),
        }
    }
}

/// The numbers of one side in base units.
#[derive(Default)]
struct Table {
    /// Those of a line. A cell that holds no number is not here.
    cells: BTreeMap<(u32, Quantity), f64>,
    /// Those of all lines together.
    feed: Vec<(Quantity, f64)>,
    /// How many lines there are, where the tree's tables say so.
    counted: Option<u32>,
}

impl Table {
    fn read(tree: &Tree, side: Side, answers: &Answers) -> Self {
        let mut table = Self::default();
        let feed = feed(tree, side, answers);
        for column in tree.columns {
            let found = rows(tree, column, answers);
            match column.cell {
                Cell::Line(of, quantity, scale) if of == side => table.take(&found, quantity, scale, line),
                Cell::Phase(of, quantity, scale) if of == side => {
                    table.take(&found, quantity, scale, |index| phase_of(index, feed?));
                }
                Cell::Feed(of, quantity, scale) if of == side => {
                    let number = of_feed(&found, feed).and_then(value::number);
                    table.feed.extend(number.map(|number| (quantity, number * scale)));
                }
                Cell::FeedPhases(of) if of == side => {
                    table.counted =
                        of_feed(&found, feed).and_then(value::whole).and_then(|count| count.try_into().ok());
                }
                Cell::Line(..)
                | Cell::Phase(..)
                | Cell::Feed(..)
                | Cell::FeedPhases(_)
                | Cell::FeedKind(_)
                | Cell::AlarmDescription
                | Cell::GroupState
                | Cell::GroupPending => {}
            }
        }
        table
    }

    fn take(
        &mut self,
        found: &[(&[u32], &async_snmp::Value)],
        quantity: Quantity,
        scale: f64,
        line: impl Fn(&[u32]) -> Option<u32>,
    ) {
        for (index, value) in found {
            if let (Some(line), Some(number)) = (line(index), value::number(value)) {
                self.cells.insert((line, quantity), number * scale);
            }
        }
    }
}

/// UPS-MIB's index is the line. Some agents add the zero of a scalar to it, or have nothing but that.
fn line(index: &[u32]) -> Option<u32> {
    match index {
        [line] | [line, 0] => Some(*line),
        _ => None,
    }
}

/// PowerNet's index is the feed and the phase, with a 1 between them on most cards.
fn phase_of(index: &[u32], feed: u32) -> Option<u32> {
    match index {
        [of, phase] | [of, 1, phase] if *of == feed => Some(*phase),
        _ => None,
    }
}

/// PowerNet numbers inputs and outputs; the first that is no bypass counts. Where no table of them is answered it is the first.
fn feed(tree: &Tree, side: Side, answers: &Answers) -> Option<u32> {
    let kinds = tree.columns.iter().find(|column| matches!(column.cell, Cell::FeedKind(of) if of == side));
    let kinds = kinds.map(|column| rows(tree, column, answers)).unwrap_or_default();
    let mut known = kinds.iter().filter_map(|(index, kind)| Some((*index.first()?, value::whole(kind)?)));
    if kinds.is_empty() {
        return Some(1);
    }
    known.find(|(_, kind)| *kind != BYPASS).map(|(feed, _)| feed)
}

fn of_feed<'a>(found: &[(&[u32], &'a async_snmp::Value)], feed: Option<u32>) -> Option<&'a async_snmp::Value> {
    found.iter().find(|(index, _)| index.first().copied() == feed).map(|(_, value)| *value)
}
