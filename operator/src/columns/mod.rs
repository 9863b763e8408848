//! What is told of a resource in one row, by the columns of the CRD, as an API server tells it; and of an event, when it was.

mod age;

pub(crate) use age::since;

use std::sync::LazyLock;

use jiff::Timestamp;
use kagiban_crds::resource::crd;
use serde_json::Value;

/// A column of the CRD, as an API server would print it.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    path: String,
    is_date: bool,
    /// Shown with `-o wide` only.
    pub(crate) is_wide: bool,
}

impl Column {
    /// All of them, in their order.
    pub(crate) fn all() -> &'static [Self] {
        // The schema is large, and is made once
        static ALL: LazyLock<Vec<Column>> = LazyLock::new(Column::read);
        &ALL
    }

    fn read() -> Vec<Self> {
        let crd = serde_json::to_value(crd()).unwrap_or_default();
        let columns = crd.pointer("/spec/versions/0/additionalPrinterColumns").and_then(Value::as_array);
        let word = |column: &Value, key: &str| column[key].as_str().unwrap_or_default().to_owned();
        let column = |column: &Value| Self {
            name: word(column, "name"),
            path: word(column, "jsonPath"),
            is_date: column["type"] == "date",
            is_wide: column["priority"].as_i64().is_some_and(|priority| priority > 0),
        };
        columns.into_iter().flatten().map(column).collect()
    }

    pub(crate) fn cell(&self, object: &Value, now: Timestamp) -> String {
        let found = at(object, &self.path);
        if self.is_date { since(found.as_deref(), now) } else { found.unwrap_or_default() }
    }
}

/// When an event was, and how often within how long.
pub(crate) fn interval(event: &Value, now: Timestamp) -> String {
    let last = since(event["lastSeen"].as_str(), now);
    match event["count"].as_i64() {
        Some(count @ 2..) => format!("{last} (x{count} over {})", since(event["firstSeen"].as_str(), now)),
        _ => last,
    }
}

/// The text at a JSONPath of the kind that the CRD has: `.a.b`, and `[?(@.key=="value")]` for the one of a list.
fn at(object: &Value, path: &str) -> Option<String> {
    let mut found = object;
    let mut left = path;
    while !left.is_empty() {
        if let Some(filter) = left.strip_prefix("[?(@.") {
            let (filter, rest) = filter.split_once(")]")?;
            let (key, value) = filter.split_once("==")?;
            let value = value.trim_matches('"');
            found = found.as_array()?.iter().find(|item| item[key] == value)?;
            left = rest;
        } else {
            left = left.strip_prefix('.')?;
            let end = left.find(['.', '[']).unwrap_or(left.len());
            found = found.get(&left[..end])?;
            left = &left[end..];
        }
    }
    match found {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A path that was not understood would leave its column empty.
    #[test]
    fn every_column_of_the_crd_finds_its_value() {
        let object = json!({
            "metadata": {"namespace": "fleet", "name": "ups-01", "creationTimestamp": "2026-03-01T11:54:57Z"},
            "spec": {"host": "ups-01.example.com", "agent": {"product": "tls-service"}},
            "status": {
                "conditions": [
                    {"type": "Issued", "status": "True", "reason": "Issued"},
                    {"type": "Ready", "status": "False", "reason": "HostUnreachable"},
                ],
                "blockedBy": "HostUnreachable", "renewalTime": "2026-12-01T00:00:00Z",
                "leaf": {"notAfter": "2027-01-01T00:00:00Z", "sha256": "ab"},
            },
        });
        let columns = Column::all();
        assert!(columns.len() > 5);
        for column in columns {
            assert!(at(&object, &column.path).is_some(), "{column:?}");
        }
    }
}
