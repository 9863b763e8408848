//! The page of the fleet: what needs a person comes first.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use kagiban_html::{Cell, END, Emphasis, Escaped, Table};
use serde_json::Value;

use super::query::{Query, reason};
use super::urgency::Urgency;
use super::{LONGEST_TEXT, Seen};
use crate::columns::Column;
use crate::fleet::{ResourceName, ResourceSummary};
use crate::foreign::shortened;

/// Of one page; each of them is unpacked for it.
pub(super) const MOST_ROWS: usize = 1000;
/// In bytes. A row of ordinary names has 800.
pub(super) const MOST_BYTES: usize = 2 << 20;
/// Of a leaf's digest, from its beginning, so that the other columns have room.
const LEAF: usize = 12;
/// The column that says in words what needs somebody, and why.
const STATE: &str = "State";
/// Our own reasons are fewer.
const MOST_REASONS: usize = 64;

pub(super) struct FleetPage<'a> {
    pub(super) resources: &'a [(ResourceName, Arc<ResourceSummary>)],
    /// For want of room.
    pub(super) left_out: usize,
    /// What is to be seen to in the manifests of a standalone operator.
    pub(super) notes: &'a [String],
    pub(super) query: &'a Query,
    /// All of one resource, unless it is gone by now.
    pub(super) read: &'a dyn Fn(&ResourceName) -> Option<Value>,
    pub(super) seen: &'a Seen,
}

type Known<'a> = (&'a ResourceName, &'a ResourceSummary);

impl FleetPage<'_> {
    pub(super) fn html(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("writing to a String does not fail");
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        self.seen.begin(out, "Fleet", "./")?;
        self.noted(out)?;
        let known = self.resources.iter().map(|(name, of)| (name, &**of));
        let mut in_scope: Vec<Known<'_>> = known.filter(|(name, of)| self.query.is_in_scope(name, of)).collect();
        self.counts(out, &in_scope)?;
        in_scope.retain(|(_, of)| self.query.is_of_reason(of));
        in_scope.sort_by_cached_key(|(name, of)| {
            // What ends first, and what never had a certificate before that
            (Urgency::of(of), of.not_after, (*name).clone())
        });
        self.rows(out, &in_scope)?;
        out.write_str(END)
    }

    fn noted(&self, out: &mut String) -> fmt::Result {
        if self.notes.is_empty() {
            return Ok(());
        }
        let class = Emphasis::Bad.class();
        writeln!(
            out,
            "<section class=\"alert {class}\" aria-labelledby=\"manifests\"><h2 id=\"manifests\">To see to in the manifests</h2>\n<ul>"
        )?;
        for note in self.notes {
            writeln!(out, "<li>{}</li>", Escaped(note))?;
        }
        writeln!(out, "</ul></section>")
    }

    /// How many there are, and for which reasons.
    fn counts(&self, out: &mut String, in_scope: &[Known<'_>]) -> fmt::Result {
        let count = |urgency| in_scope.iter().filter(|(_, of)| Urgency::of(of) == urgency).count();
        let worst = in_scope.iter().map(|(_, of)| Urgency::of(of)).min().unwrap_or(Urgency::Fine);
        let class = Emphasis::from(worst).class();
        write!(out, "<section class=\"alert {class}\" aria-labelledby=\"reasons\"><h2 id=\"reasons\">")?;
        let of = [("namespace", &self.query.namespace), ("host", &self.query.host)];
        for (what, asked) in of.into_iter().filter_map(|(what, asked)| Some((what, asked.as_deref()?))) {
            write!(out, "{what} {}: ", Escaped(asked))?;
        }
        let words = [Urgency::Person, Urgency::NotReady, Urgency::Waits, Urgency::Fine]
            .map(|urgency| format!("{}: {}", urgency.words().to_lowercase(), count(urgency)));
        writeln!(out, "{}; {}</h2>\n<ul>", many(in_scope.len()), words.join(", "))?;
        let mut reasons: BTreeMap<&str, (Urgency, usize)> = BTreeMap::new();
        for (_, of) in in_scope {
            let (worst, count) = reasons.entry(reason(of)).or_insert((Urgency::of(of), 0));
            (*worst, *count) = ((*worst).min(Urgency::of(of)), *count + 1);
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(reason, (worst, count))| (*worst, Reverse(*count), *reason));
        for (reason, (worst, count)) in reasons.iter().take(MOST_REASONS) {
            let cell = Cell::of(reason).linked(self.query.with_reason(Some(reason)).to_string());
            let (class, words) = (Emphasis::from(*worst).class(), worst.words());
            writeln!(out, "<li>{cell}: {count} <strong class=\"{class}\">{words}</strong></li>")?;
        }
        if reasons.len() > MOST_REASONS {
            writeln!(out, "<li>{} other reasons</li>", reasons.len() - MOST_REASONS)?;
        }
        if self.left_out > 0 {
            writeln!(out, "<li>{} left out for want of room: nothing is done about them</li>", many(self.left_out))?;
        }
        writeln!(out, "</ul></section>")?;
        if *self.query == (Query { from: self.query.from, ..Query::default() }) {
            return Ok(());
        }
        if let Some(reason) = &self.query.reason {
            write!(out, "<p>Those with the reason {}. ", Escaped(reason))?;
        } else {
            out.write_str("<p>")?;
        }
        writeln!(out, "<a href=\"{}\">All of the fleet</a></p>", Query::default())
    }

    fn rows(&self, out: &mut String, known: &[Known<'_>]) -> fmt::Result {
        let from = self.query.from.min(known.len());
        if known.is_empty() {
            return writeln!(out, "<p>There is no such resource.</p>");
        }
        let columns = Column::all();
        let heads: Vec<_> =
            ["Name", "Namespace", STATE].into_iter().chain(columns.iter().map(|c| c.name.as_str())).collect();
        let page = &known[from..];
        let table = Table::begin(out, &format!("Resources, from {} of {}", from + 1, known.len()), &heads)?;
        let mut shown = 0;
        for (name, of) in page.iter().take(MOST_ROWS) {
            if out.len() > MOST_BYTES {
                break;
            }
            shown += 1;
            let object = (self.read)(name).unwrap_or_default();
            table.row(out, &self.cells(columns, name, of, &object))?;
        }
        table.end(out)?;
        let link = |from: usize| Query { from, ..self.query.clone() }.to_string();
        if from > 0 {
            writeln!(out, "<p><a href=\"{}\">The first</a></p>", Escaped(&link(0)))?;
        }
        match page.len() - shown {
            0 => Ok(()),
            more => writeln!(out, "<p><a href=\"{}\">The next, of {more} more</a></p>", Escaped(&link(from + shown))),
        }
    }

    fn cells(&self, columns: &[Column], name: &ResourceName, of: &ResourceSummary, object: &Value) -> Vec<Cell> {
        let (namespace, own) = name.parts();
        let only = |namespace: Option<&str>, host: Option<&str>| {
            Query { namespace: namespace.map(str::to_owned), host: host.map(str::to_owned), ..Query::default() }
                .to_string()
        };
        let fixed = [
            Cell::of(own).linked(format!("resources/{namespace}/{own}")),
            Cell::of(namespace).linked(only(Some(namespace), None)),
            Cell::marked(Urgency::of(of), format_args!("{}: {}", Urgency::of(of).words(), reason(of))),
        ];
        let cells = columns.iter().map(|column| {
            let text = column.cell(object, self.seen.now);
            let text = shortened(&text, LONGEST_TEXT);
            match column.name.as_str() {
                // All of it is on the resource's own page
                "Leaf" if text.len() > LEAF => Cell::of(format_args!("{}…", &text[..text.floor_char_boundary(LEAF)])),
                "Host" if *text == *of.host => Cell::of(&text).linked(only(None, Some(&text))),
                _ => Cell::of(text),
            }
        });
        fixed.into_iter().chain(cells).collect()
    }
}

fn many(count: usize) -> String {
    format!("{count} resource{}", if count == 1 { "" } else { "s" })
}
