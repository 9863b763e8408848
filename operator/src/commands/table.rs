//! Resources and events in columns, as `kubectl get` and `kubectl events` print them.

use jiff::Timestamp;
use serde_json::Value;

use crate::columns::{Column, interval};
use crate::foreign::in_one_line;

/// Of a column, with what is between it and the next.
const NARROWEST: usize = 6;
const GAP: usize = 3;

/// The resources; each in its namespace where `with_namespace`.
pub(super) fn resources(objects: &[Value], wide: bool, with_namespace: bool, now: Timestamp) -> String {
    let columns: Vec<_> = Column::all().iter().filter(|column| wide || !column.is_wide).collect();
    let namespace = with_namespace.then(|| "NAMESPACE".to_owned());
    let head = namespace.into_iter().chain(["NAME".to_owned()]).chain(columns.iter().map(|c| c.name.to_uppercase()));
    let mut rows = vec![head.collect::<Vec<_>>()];
    rows.extend(objects.iter().map(|object| {
        let word = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        let namespace = with_namespace.then(|| word("namespace"));
        let cells = columns.iter().map(|column| column.cell(object, now));
        namespace.into_iter().chain([word("name")]).chain(cells).collect()
    }));
    text(&rows)
}

/// The events, the oldest first.
pub(super) fn events(events: &[Value], with_namespace: bool, now: Timestamp) -> String {
    let head = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"].map(str::to_owned);
    let mut rows = vec![with_namespace.then(|| "NAMESPACE".to_owned()).into_iter().chain(head).collect::<Vec<_>>()];
    rows.extend(events.iter().map(|event| {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = format!("ManagedAgentCertificate/{}", word(&event["regarding"]["name"]));
        let cells = [interval(event, now), word(&event["type"]), word(&event["reason"]), object, word(&event["note"])];
        with_namespace.then(|| word(&event["regarding"]["namespace"])).into_iter().chain(cells).collect()
    }));
    text(&rows)
}

fn text(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| in_one_line(cell)).collect()).collect();
    in_columns(&rows, |widest| (widest + GAP).max(NARROWEST))
}

/// Each column as wide as its widest cell has it; nothing follows the last cell of a row.
pub(super) fn in_columns(rows: &[Vec<String>], width: impl Fn(usize) -> usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..count).map(|column| width(widest(column).unwrap_or_default())).collect();
    let line = |row: &Vec<String>| {
        let last = row.len().saturating_sub(1);
        let cell = |(index, cell): (usize, &String)| {
            if index == last { cell.clone() } else { format!("{cell:0$}", widths[index]) }
        };
        row.iter().enumerate().map(cell).collect::<String>() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().expect("a time")
    }

    fn object() -> Value {
        json!({
            "metadata": {"namespace": "fleet", "name": "ups-01", "creationTimestamp": "2026-03-01T11:54:57Z"},
            "spec": {"host": "ups-01.example.com", "agent": {"product": "tls-service"}},
            "status": {"conditions": [
                {"type": "Issued", "status": "True", "reason": "Issued"},
                {"type": "Ready", "status": "False", "reason": "HostUnreachable"},
            ], "blockedBy": "HostUnreachable"},
        })
    }

    #[test]
    fn resources_are_shown_in_the_columns_of_the_crd() {
        insta::assert_snapshot!(resources(&[object()], false, true, now()));
        insta::assert_snapshot!(resources(&[object()], true, false, now()));
    }

    #[test]
    fn events_say_how_often_and_no_line_is_broken_by_what_a_host_has_said() {
        let event = |note: &str, count: i64| {
            json!({
                "regarding": {"namespace": "fleet", "name": "ups-01"}, "type": "Warning", "reason": "HostRefused",
                "note": note, "firstSeen": "2026-03-01T11:00:00Z", "lastSeen": "2026-03-01T11:59:00Z", "count": count,
            })
        };
        insta::assert_snapshot!(events(&[event("a\u{1b}[2Jb\nc", 1), event("again", 3)], false, now()));
    }
}
