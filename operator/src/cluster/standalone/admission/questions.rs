//! Which rules are asked about an object: those of every node of the schema that speaks of something that is there.

use cel::Context;
use serde_json::Value;

use super::rules::{RuleEnvironment, cel_value};
use super::schema::Schema;
use super::violation::{Violation, below};

impl Schema {
    /// Asks them all.
    pub(super) fn ask_rules(
        &self,
        rules: &RuleEnvironment,
        value: &Value,
        old: Option<&Value>,
        found: &mut Vec<Violation>,
    ) {
        ask(&rules.context(), self, value, old, "", found);
    }
}

fn ask(
    context: &Context<'_, '_>,
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    path: &str,
    found: &mut Vec<Violation>,
) {
    // Of what is null, only what is around it speaks
    if value.is_null() {
        return;
    }
    let old = old.filter(|old| !old.is_null());
    if !schema.rules.is_empty() {
        let (this, that) = (cel_value(value), old.map(cel_value));
        for rule in &schema.rules {
            // What is as it was has been taken once, and stays
            let is_as_it_was = !rule.is_transition && old == Some(value);
            if !is_as_it_was && !rule.allows(context, &this, that.as_ref()) {
                found.push(rule.violation(path, value));
            }
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(of) = schema.properties.get(name) {
                    let old = old.and_then(|old| old.get(name));
                    ask(context, of, value, old, &below(path, name), found);
                }
            }
        }
        // Of an item nobody can tell which one it was before
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if let Some(of) = &schema.items {
                    ask(context, of, item, None, &format!("{path}[{at}]"), found);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
