//! The CRD's own rules, in the Common Expression Language (CEL), asked as the API server asks them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cel::objects::{Key, Map, OptionalValue};
use cel::{Context, Env, Program, Value as CelValue};
use serde::Deserialize;
use serde_json::Value;

use super::SchemaError;
use super::functions;
use super::violation::{Violation, quoted};

/// As it stands in the CRD.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WrittenRule {
    rule: String,
    message: String,
    reason: Option<Reason>,
    field_path: Option<String>,
    #[serde(default)]
    optional_old_self: bool,
}

/// What kind of error a rule's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Reason {
    #[serde(rename = "FieldValueRequired")]
    Required,
    #[serde(rename = "FieldValueForbidden")]
    Forbidden,
    #[serde(rename = "FieldValueInvalid")]
    Invalid,
}

/// A rule that can be asked.
pub(super) struct Rule {
    program: Program,
    message: String,
    reason: Reason,
    /// Below the node of the rule, with its dots.
    field: String,
    /// Whether it compares with what was there.
    pub(super) is_transition: bool,
    optional_old_self: bool,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("message", &self.message).finish_non_exhaustive()
    }
}

/// What rules may call.
pub(super) struct RuleEnvironment {
    environment: Arc<Env>,
}

impl RuleEnvironment {
    pub(super) fn new() -> Self {
        Self { environment: Arc::new(functions::environment()) }
    }

    pub(super) fn compile(&self, written: WrittenRule) -> Result<Rule, SchemaError> {
        let program = self.environment.compile(&written.rule);
        let program = program.map_err(|error| SchemaError::Rule(format!("{}: {error}", written.rule)))?;
        let is_transition = program.references().has_variable("oldSelf");
        Ok(Rule {
            program,
            message: written.message,
            reason: written.reason.unwrap_or(Reason::Invalid),
            field: written.field_path.unwrap_or_default(),
            is_transition,
            optional_old_self: written.optional_old_self,
        })
    }

    /// Where rules are asked.
    pub(super) fn context(&self) -> Context<'_, '_> {
        let mut context = Context::with_env(Arc::clone(&self.environment));
        functions::add_to(&mut context);
        context
    }
}

impl Rule {
    pub(super) fn allows(&self, context: &Context<'_, '_>, this: &CelValue, old: Option<&CelValue>) -> bool {
        if self.is_transition && old.is_none() && !self.optional_old_self {
            return true;
        }
        let mut context = context.new_inner_scope();
        context.add_variable_from_value("self", this.clone());
        if self.is_transition {
            let old = if self.optional_old_self {
                let old = old.map_or_else(OptionalValue::none, |old| OptionalValue::of(old.clone()));
                CelValue::Opaque(Arc::new(old))
            } else {
                old.cloned().unwrap_or(CelValue::Null)
            };
            context.add_variable_from_value("oldSelf", old);
        }
        match self.program.execute(&context) {
            Ok(CelValue::Bool(allows)) => allows,
            // A rule that cannot answer lets nothing in, as in the API server
            Ok(_) => false,
            Err(error) => {
                tracing::debug!(%error, rule = self.message, "a rule has no answer");
                false
            }
        }
    }

    pub(super) fn violation(&self, path: &str, value: &Value) -> Violation {
        let path = if path.is_empty() {
            self.field.strip_prefix('.').unwrap_or_default().to_owned()
        } else {
            format!("{path}{}", self.field)
        };
        let message = &self.message;
        let message = match self.reason {
            Reason::Required => format!("Required value: {message}"),
            Reason::Forbidden => format!("Forbidden: {message}"),
            Reason::Invalid => match value {
                Value::Object(_) | Value::Array(_) => format!("Invalid value: {message}"),
                Value::String(text) => format!("Invalid value: {}: {message}", quoted(text)),
                Value::Null | Value::Bool(_) | Value::Number(_) => format!("Invalid value: {value}: {message}"),
            },
        };
        Violation::new(&path, message)
    }
}

/// As rules see it.
pub(super) fn cel_value(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| CelValue::Float(number.as_f64().unwrap_or(f64::NAN)), CelValue::Int)
        }
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(items) => CelValue::List(Arc::new(items.iter().map(cel_value).collect())),
        Value::Object(fields) => {
            // To a rule, what is null is not there
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            let fields = fields.map(|(name, value)| (Key::String(Arc::new(name.clone())), cel_value(value)));
            CelValue::Map(Map { map: Arc::new(fields.collect::<HashMap<_, _>>()) })
        }
    }
}
