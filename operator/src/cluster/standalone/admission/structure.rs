//! What the schema says of types, lengths, patterns and ranges, in the API server's words.

use serde_json::{Number, Value};

use super::schema::{Format, Kind, Schema};
use super::violation::{Violation, below, quoted};

impl Schema {
    /// What is as it was in `old` was taken once, and stays.
    pub(super) fn validate(&self, value: &Value, old: Option<&Value>, path: &str, found: &mut Vec<Violation>) {
        if old == Some(value) || value.is_null() && self.nullable {
            return;
        }
        if !self.is_of_kind(value) {
            let (is, kind) = match (value, self.format) {
                (Value::Number(_), Some(Format::Int32)) => ("float64", "int32"),
                (Value::Number(_), Some(Format::Int64)) => ("float64", "int64"),
                (value, _) => (kind_of(value), self.kind.as_str()),
            };
            return found.push(Violation::hiding(
                path,
                format!("Invalid value: \"{is}\": {path} in body must be of type {kind}: \"{is}\""),
            ));
        }
        self.validate_word(value, path, found);
        match value {
            Value::Object(fields) => {
                for name in self.required.iter().filter(|name| !fields.contains_key(*name)) {
                    found.push(Violation::hiding(&below(path, name), "Required value".to_owned()));
                }
                for (name, value) in fields {
                    if let Some(of) = self.properties.get(name) {
                        let old = old.and_then(|old| old.get(name));
                        of.validate(value, old, &below(path, name), found);
                    }
                }
            }
            Value::Array(items) => {
                self.validate_length_of_list(items.len(), path, found);
                for (at, item) in items.iter().enumerate() {
                    if let Some(of) = &self.items {
                        of.validate(item, None, &format!("{path}[{at}]"), found);
                    }
                }
            }
            Value::String(text) => self.validate_text(text, path, found),
            Value::Number(number) => self.validate_number(number, path, found),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn is_of_kind(&self, value: &Value) -> bool {
        match self.kind {
            Kind::Object => value.is_object(),
            Kind::Array => value.is_array(),
            Kind::String => value.is_string(),
            Kind::Integer => value.is_i64() || value.is_u64(),
            Kind::Boolean => value.is_boolean(),
        }
    }

    fn validate_word(&self, value: &Value, path: &str, found: &mut Vec<Violation>) {
        let Some(words) = self.words.as_ref().filter(|words| !words.contains(value)) else { return };
        let words: Vec<_> = words.iter().map(Value::to_string).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", words.join(", "));
        found.push(Violation::new(path, message));
    }

    fn validate_length_of_list(&self, length: usize, path: &str, found: &mut Vec<Violation>) {
        if let Some(least) = self.min_items.filter(|least| length < *least) {
            found.push(Violation::new(
                path,
                format!("Invalid value: {length}: {path} in body should have at least {least} items"),
            ));
        }
        if let Some(most) = self.max_items.filter(|most| length > *most) {
            let items = if most == 1 { "item" } else { "items" };
            found.push(Violation::hiding(path, format!("Too many: {length}: must have at most {most} {items}")));
        }
    }

    /// The first thing that is wrong.
    fn validate_text(&self, text: &str, path: &str, found: &mut Vec<Violation>) {
        let length = text.chars().count();
        if let Some(most) = self.max_length.filter(|most| length > *most) {
            return found.push(Violation::hiding(path, format!("Too long: may not be more than {most} bytes")));
        }
        let mut invalid = |why: String| {
            found.push(Violation::new(path, format!("Invalid value: {}: {path} in body {why}", quoted(text))));
        };
        if let Some(least) = self.min_length.filter(|least| length < *least) {
            return invalid(format!("should be at least {least} chars long"));
        }
        if let Some((written, _)) = self.pattern.as_ref().filter(|(_, pattern)| !pattern.is_match(text)) {
            invalid(format!("should match '{written}'"));
        }
    }

    fn validate_number(&self, number: &Number, path: &str, found: &mut Vec<Violation>) {
        let invalid = |why: String| Violation::new(path, format!("Invalid value: {number}: {path} in body {why}"));
        let exceeds = |limit: &Number| number.as_f64() > limit.as_f64();
        if let Some(most) = self.maximum.as_ref().filter(|most| exceeds(most)) {
            found.push(invalid(format!("should be less than or equal to {}", whole(most))));
        }
        if let Some(least) = self.minimum.as_ref().filter(|least| number.as_f64() < least.as_f64()) {
            found.push(invalid(format!("should be greater than or equal to {}", whole(least))));
        }
        let fits = match self.format {
            Some(Format::Int32) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            Some(Format::Int64 | Format::DateTime) | None => number.is_i64(),
        };
        if !fits {
            found.push(invalid("does not fit".to_owned()));
        }
    }
}

/// Limits stand in the schema as floating-point numbers.
fn whole(number: &Number) -> String {
    number.as_f64().map_or_else(|| number.to_string(), |number| format!("{number}"))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
