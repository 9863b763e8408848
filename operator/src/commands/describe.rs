//! One resource with all that it says, as `kubectl describe` prints it.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::table::in_columns;
use crate::columns::interval;
use crate::foreign::in_one_line;

/// Printed at the head, or of no use to anybody.
const ELSEWHERE: [&str; 5] =
    [".metadata.managedFields", ".metadata.name", ".metadata.namespace", ".metadata.labels", ".metadata.annotations"];
/// Written by a tool for itself.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Bytes of an annotation that stand in one line with its name.
const LONGEST_WORD: usize = 140;
/// Written in capitals within a name.
const ACRONYMS: [&str; 5] = ["API", "URL", "UID", "OSB", "GUID"];
const GAP: usize = 2;
/// As the events of a cluster have it.
const REPORTER: &str = "kagiban.dev/kagiban-operator";

/// A line: what stands before the colon with its indentation, and what after it. Lines that follow each other and have both are aligned.
type Line = (String, Option<Vec<String>>);

/// A resource, and its events as the operator gives them, the oldest first.
pub fn describe(object: &Value, events: &[Value], now: Timestamp) -> String {
    let mut lines = Vec::new();
    for (label, key) in [("Name", "name"), ("Namespace", "namespace")] {
        lines.push(pair(0, label, object["metadata"][key].as_str().unwrap_or_default()));
    }
    words(&mut lines, "Labels", object["metadata"]["labels"].as_object(), "=");
    words(&mut lines, "Annotations", object["metadata"]["annotations"].as_object(), ": ");
    if let Some(fields) = object.as_object() {
        content(&mut lines, 0, fields, "");
    }
    lines.extend(happened(events, now));
    aligned(&lines)
}

fn happened(events: &[Value], now: Timestamp) -> Vec<Line> {
    if events.is_empty() {
        return vec![pair(0, "Events", "<none>")];
    }
    let row = |cells: [String; 5]| {
        let [first, rest @ ..] = cells;
        (format!("  {first}"), Some(rest.to_vec()))
    };
    let fixed = |cells: [&str; 5]| row(cells.map(str::to_owned));
    let mut lines = vec![("Events:".to_owned(), None), fixed(["Type", "Reason", "Age", "From", "Message"])];
    lines.push(fixed(["----", "------", "----", "----", "-------"]));
    lines.extend(events.iter().map(|event| {
        let word = |key: &str| event[key].as_str().unwrap_or_default().trim().to_owned();
        row([word("type"), word("reason"), interval(event, now), REPORTER.to_owned(), word("note")])
    }));
    lines
}

fn words(lines: &mut Vec<Line>, label: &str, words: Option<&Map<String, Value>>, between: &str) {
    let words = words.into_iter().flatten().filter(|(key, _)| *key != LAST_APPLIED);
    let mut told = Vec::new();
    for (key, value) in words {
        let value = value.as_str().unwrap_or_default().trim_end_matches('\n');
        // Those of labels are never so long
        if value.len() + key.len() + 2 <= LONGEST_WORD && !value.contains('\n') {
            told.push(format!("{key}{between}{value}"));
        } else {
            told.push(format!("{key}:"));
            told.extend(value.split('\n').map(|line| format!("  {}", shortened(line))));
        }
    }
    if told.is_empty() {
        return lines.push(pair(0, label, "<none>"));
    }
    let mut label = format!("{label}:");
    for word in told {
        lines.push((std::mem::take(&mut label), Some(vec![word])));
    }
}

/// Of a line of an annotation.
fn shortened(line: &str) -> String {
    const MOST: usize = LONGEST_WORD - 2;
    if line.len() <= MOST { line.to_owned() } else { format!("{}...", &line[..line.floor_char_boundary(MOST)]) }
}

fn content(lines: &mut Vec<Line>, level: usize, fields: &Map<String, Value>, path: &str) {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| *name);
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        if ELSEWHERE.contains(&path.as_str()) {
            continue;
        }
        let label = label(name);
        match value {
            Value::Object(inner) => {
                lines.push((indented(level, &format!("{label}:")), None));
                content(lines, level + 1, inner, &path);
            }
            Value::Array(items) => {
                lines.push((indented(level, &format!("{label}:")), None));
                for item in items {
                    match item {
                        Value::Object(inner) => content(lines, level + 1, inner, &path),
                        other => lines.push((indented(level + 1, &shown(other)), None)),
                    }
                }
            }
            other => lines.push(pair(level, &label, &shown(other))),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

fn pair(level: usize, label: &str, value: &str) -> Line {
    (indented(level, &format!("{label}:")), Some(vec![value.to_owned()]))
}

fn indented(level: usize, text: &str) -> String {
    format!("{}{text}", "  ".repeat(level))
}

/// The words of a name, each with a capital.
fn label(name: &str) -> String {
    if !name.chars().all(|c| c.is_alphabetic() || c == '-') {
        return name.to_owned();
    }
    let capital = |word: String| {
        let upper = word.to_uppercase();
        if ACRONYMS.contains(&upper.as_str()) {
            return upper;
        }
        let mut chars = word.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
    };
    parts(name).into_iter().map(capital).collect::<Vec<_>>().join(" ")
}

/// `dnsNames` is `dns` and `Names`, `hostAPIUrl` is `host`, `API` and `Url`.
fn parts(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut parts: Vec<String> = Vec::new();
    for (index, c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| chars.get(before));
        let begins = match before {
            None => true,
            Some(before) if c.is_uppercase() => {
                before.is_lowercase() || chars.get(index + 1).is_some_and(|next| next.is_lowercase())
            }
            Some(before) => (*before == '-') != (*c == '-'),
        };
        if begins {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push(*c);
        }
    }
    parts
}

fn aligned(lines: &[Line]) -> String {
    let mut told = String::new();
    for block in lines.chunk_by(|one, other| one.1.is_some() && other.1.is_some()) {
        let cells = |(head, rest): &Line| -> Vec<String> {
            [head].into_iter().chain(rest.iter().flatten()).map(|cell| in_one_line(cell)).collect()
        };
        let rows: Vec<_> = block.iter().map(cells).collect();
        told.push_str(&in_columns(&rows, |widest| widest + GAP));
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_resource_is_told_with_its_story() {
        let object = json!({
            "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate",
            "metadata": {
                "namespace": "fleet", "name": "ups-01", "uid": "u", "generation": 1,
                "annotations": {"kagiban.dev/rotate": "now", "a": "b"}, "finalizers": ["kagiban.dev/rotation"],
            },
            "spec": {"api": {"hostApi": {"url": "https://x"}}, "certificate": {"dnsNames": ["a", "b"]}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Issued", "status": "True"}]},
        });
        let event = json!({
            "type": "Normal", "reason": "Issued", "note": "a leaf", "lastSeen": "2026-03-01T11:59:00Z", "count": 1,
        });
        let now = "2026-03-01T12:00:00Z".parse().expect("a time");
        insta::assert_snapshot!(describe(&object, &[event], now));
        assert!(describe(&object, &[], now).ends_with("    Type:    Issued\nEvents:      <none>\n"));
    }

    #[test]
    fn names_are_told_in_words() {
        for (name, told) in [
            ("dnsNames", "Dns Names"),
            ("apiVersion", "API Version"),
            ("uid", "UID"),
            ("tlsSecretRef", "Tls Secret Ref"),
            ("sha256", "sha256"),
            ("notAfter", "Not After"),
        ] {
            assert_eq!(label(name), told);
        }
    }
}
