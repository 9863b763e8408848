//! The page of one resource: how it is, why, what to do, and what has happened.

use std::fmt::{self, Write};

use kagiban_crds::resource::BlockedBy;
use kagiban_html::{Cell, END, Emphasis, Escaped, Table};
use serde_json::Value;

use super::query::Query;
use super::rich::rich;
use super::urgency::Urgency;
use super::{LONGEST_TEXT, Seen};
use crate::advice::advice;
use crate::columns::{Column, interval, since};
use crate::decide::ConditionType;
use crate::fleet::{ResourceName, ResourceSummary};
use crate::foreign::shortened;

/// Conditions that are shown; ours are nine. Of past rotations a status has five.
const MOST_ROWS: usize = 64;

pub(super) struct ResourcePage<'a> {
    pub(super) name: &'a ResourceName,
    pub(super) object: &'a Value,
    pub(super) summary: &'a ResourceSummary,
    /// The oldest first, or why they are not told. Absent where an API server has them.
    pub(super) events: Option<Result<Vec<Value>, String>>,
    pub(super) seen: &'a Seen,
}

impl ResourcePage<'_> {
    pub(super) fn html(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("writing to a String does not fail");
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        self.seen.begin(out, &self.name.to_string(), "../../")?;
        self.state(out)?;
        self.conditions(out)?;
        self.facts(out)?;
        self.rotations(out)?;
        self.happened(out)?;
        out.write_str(END)
    }

    /// How it is, and what to do about it.
    fn state(&self, out: &mut String) -> fmt::Result {
        let urgency = Urgency::of(self.summary);
        let class = Emphasis::from(urgency).class();
        write!(out, "<section class=\"alert {class}\" aria-labelledby=\"state\"><h2 id=\"state\">{}", urgency.words())?;
        match &*self.summary.reason {
            "" => writeln!(out, ": it was not looked at yet</h2>")?,
            reason => writeln!(out, ": {}</h2>", Escaped(reason))?,
        }
        // What names the reason says more of it
        let conditions = self.told_conditions().filter(|condition| condition["reason"] == *self.summary.reason);
        let rank = |condition: &&Value| {
            let order =
                [ConditionType::Stalled, ConditionType::Blocked, ConditionType::Ready].map(ConditionType::as_str);
            order.iter().position(|kind| condition["type"] == **kind).unwrap_or(order.len())
        };
        if let Some(condition) = conditions.min_by_key(rank) {
            writeln!(out, "<p>{}</p>", Escaped(&text(condition, "/message")))?;
        }
        let by = if self.summary.readable { self.summary.blocked_by } else { Some(BlockedBy::SpecInvalid) };
        if let Some(by) = by {
            out.write_str("<p>What to do: ")?;
            rich(out, advice(by))?;
            out.write_str("</p>\n")?;
        }
        writeln!(out, "</section>")
    }

    fn conditions(&self, out: &mut String) -> fmt::Result {
        let table = Table::begin(out, "Conditions", &["Condition", "Status", "Reason", "Since", "Message"])?;
        for condition in self.told_conditions() {
            let (kind, status) = (text(condition, "/type"), text(condition, "/status"));
            let mark = match (kind.as_str(), status.as_str()) {
                ("Stalled", "True") | ("Ready", "False") => Emphasis::Bad,
                ("Blocked" | "IssuerEnding", "True")
                | ("Ready", "Unknown")
                | ("Functional" | "ClientsMatch", "False") => Emphasis::Soon,
                _ => Emphasis::Plain,
            };
            let cells = [
                Cell::of(kind),
                Cell::marked(mark, status),
                Cell::of(text(condition, "/reason")),
                Cell::of(self.when(condition, "/lastTransitionTime")),
                Cell::of(text(condition, "/message")),
            ];
            table.row(out, &cells)?;
        }
        table.end(out)
    }

    fn told_conditions(&self) -> impl Iterator<Item = &Value> {
        let conditions = self.object.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().take(MOST_ROWS)
    }

    /// What `get -o wide` has, and whose certificate it is.
    fn facts(&self, out: &mut String) -> fmt::Result {
        let table = Table::begin(out, "Resource", &["What", "Value"])?;
        let only = |namespace: Option<&str>, host: Option<&str>| {
            let [namespace, host] = [namespace, host].map(|word| word.map(str::to_owned));
            format!("../../{}", Query { namespace, host, ..Query::default() })
        };
        let (namespace, host) = (self.name.namespace(), &*self.summary.host);
        table.row(out, &[Cell::of("Namespace"), Cell::of(namespace).linked(only(Some(namespace), None))])?;
        let columns = Column::all().iter().map(|column| {
            let value = column.cell(self.object, self.seen.now);
            (column.name.clone(), shortened(&value, LONGEST_TEXT).into_owned())
        });
        let more = [
            ("Agent", "/spec/agent/name"),
            ("Valid from", "/status/leaf/notBefore"),
            ("Serial", "/status/leaf/serial"),
            ("Issuer", "/status/leaf/issuer"),
        ];
        let more = more.map(|(what, path)| (what.to_owned(), text(self.object, path)));
        for (what, value) in columns.chain(more).filter(|(_, value)| !value.is_empty()) {
            let cell = Cell::of(&value);
            let cell = if what == "Host" && value == host { cell.linked(only(None, Some(host))) } else { cell };
            table.row(out, &[Cell::of(what), cell])?;
        }
        table.end(out)
    }

    /// The newest, and those before it.
    fn rotations(&self, out: &mut String) -> fmt::Result {
        if let Some(rotation) = self.object.pointer("/status/rotation").filter(|rotation| rotation.is_object()) {
            let word = |path| text(rotation, path);
            let said = format!(
                "Rotation {} ({}): {}, begun {}, attempt {}",
                word("/generation"),
                word("/trigger"),
                word("/state"),
                self.when(rotation, "/startedAt"),
                word("/attempts"),
            );
            writeln!(out, "<p>{}</p>", Escaped(&said))?;
        }
        let history = self.object.pointer("/status/history").and_then(Value::as_array);
        let history: Vec<_> = history.into_iter().flatten().take(MOST_ROWS).collect();
        if history.is_empty() {
            return Ok(());
        }
        let heads = ["Rotation", "Outcome", "Ended", "Reason", "Leaf", "Serials"];
        let table = Table::begin(out, "Past rotations, the newest first", &heads)?;
        for entry in history {
            let serials = entry["serials"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let serials = serials.take(MOST_ROWS).collect::<Vec<_>>().join(", ");
            let outcome = text(entry, "/outcome");
            let mark = if outcome == "Committed" { Emphasis::Plain } else { Emphasis::Soon };
            let cells = [
                Cell::of(text(entry, "/generation")),
                Cell::marked(mark, outcome),
                Cell::of(self.when(entry, "/finishedAt")),
                Cell::of(text(entry, "/reason")),
                Cell::of(text(entry, "/sha256")),
                Cell::of(shortened(&serials, LONGEST_TEXT)),
            ];
            table.row(out, &cells)?;
        }
        table.end(out)
    }

    fn happened(&self, out: &mut String) -> fmt::Result {
        let (namespace, name) = self.name.parts();
        let events = match &self.events {
            None => {
                return writeln!(
                    out,
                    "<p>Its events are in the cluster: <code>kubectl -n {namespace} describe mac {name}</code></p>"
                );
            }
            Some(Err(error)) => {
                return writeln!(
                    out,
                    "<p>Its events cannot be read now: {}</p>",
                    Escaped(&shortened(error, LONGEST_TEXT))
                );
            }
            Some(Ok(events)) if events.is_empty() => return writeln!(out, "<p>There are no events of it.</p>"),
            Some(Ok(events)) => events,
        };
        let table = Table::begin(out, "Events, the newest first", &["Last seen", "Type", "Reason", "Message"])?;
        for event in events.iter().rev().take(MOST_ROWS) {
            let kind = text(event, "/type");
            let mark = if kind == "Warning" { Emphasis::Soon } else { Emphasis::Plain };
            let cells = [
                Cell::of(interval(event, self.seen.now)),
                Cell::marked(mark, kind),
                Cell::of(text(event, "/reason")),
                Cell::of(text(event, "/note")),
            ];
            table.row(out, &cells)?;
        }
        table.end(out)
    }

    /// A time, and how long ago it was.
    fn when(&self, of: &Value, path: &str) -> String {
        let time = text(of, path);
        if time.is_empty() { time } else { format!("{time} ({} ago)", since(Some(&time), self.seen.now)) }
    }
}

/// What stands there, in its length: a text, or a number.
fn text(value: &Value, path: &str) -> String {
    match value.pointer(path) {
        Some(Value::String(text)) => shortened(text, LONGEST_TEXT).into_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}
