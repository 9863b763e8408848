//! The CRD's schema, read into what is judged by: patterns and rules are compiled once.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;
use serde_json::{Number, Value};

use super::SchemaError;
use super::functions;
use super::rules::{Rule, RuleEnvironment, WrittenRule};

/// As it stands in the CRD. What is not known here is an error: it would not be judged.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(rename = "type")]
    kind: Kind,
    // For people
    #[serde(rename = "title")]
    _title: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    nullable: bool,
    default: Option<Value>,
    #[serde(default)]
    properties: BTreeMap<String, Self>,
    #[serde(default)]
    required: Vec<String>,
    items: Option<Box<Self>>,
    #[serde(rename = "enum")]
    words: Option<Vec<Value>>,
    pattern: Option<String>,
    format: Option<Format>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    min_items: Option<usize>,
    max_items: Option<usize>,
    minimum: Option<Number>,
    maximum: Option<Number>,
    #[serde(rename = "x-kubernetes-validations", default)]
    rules: Vec<WrittenRule>,
    // Of the status alone, which only the operator writes
    #[serde(rename = "x-kubernetes-list-type")]
    _list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    _list_map_keys: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Integer,
    Boolean,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Format {
    #[serde(rename = "int32")]
    Int32,
    #[serde(rename = "int64")]
    Int64,
    #[serde(rename = "date-time")]
    DateTime,
}

/// One node of it.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) kind: Kind,
    pub(super) nullable: bool,
    pub(super) default: Option<Value>,
    pub(super) properties: BTreeMap<String, Self>,
    pub(super) required: Vec<String>,
    pub(super) items: Option<Box<Self>>,
    pub(super) words: Option<Vec<Value>>,
    /// As it is written, and ready to match.
    pub(super) pattern: Option<(String, Regex)>,
    pub(super) format: Option<Format>,
    pub(super) min_length: Option<usize>,
    pub(super) max_length: Option<usize>,
    pub(super) min_items: Option<usize>,
    pub(super) max_items: Option<usize>,
    pub(super) minimum: Option<Number>,
    pub(super) maximum: Option<Number>,
    pub(super) rules: Vec<Rule>,
}

impl Schema {
    pub(super) fn compile(schema: &Value, environment: &RuleEnvironment) -> Result<Self, SchemaError> {
        let written = Written::deserialize(schema).map_err(|error| SchemaError::Unknown(error.to_string()))?;
        Self::of(written, environment)
    }

    fn of(written: Written, environment: &RuleEnvironment) -> Result<Self, SchemaError> {
        let pattern =
            written.pattern.map(|pattern| functions::regex(&pattern).map(|regex| (pattern, regex))).transpose();
        let properties = written.properties.into_iter().map(|(name, of)| Ok((name, Self::of(of, environment)?)));
        let items = written.items.map(|items| Self::of(*items, environment).map(Box::new)).transpose()?;
        let rules = written.rules.into_iter().map(|rule| environment.compile(rule));
        Ok(Self {
            kind: written.kind,
            nullable: written.nullable,
            default: written.default,
            properties: properties.collect::<Result<_, _>>()?,
            required: written.required,
            items,
            words: written.words,
            pattern: pattern.map_err(|error| SchemaError::Unknown(error.to_string()))?,
            format: written.format,
            min_length: written.min_length,
            max_length: written.max_length,
            min_items: written.min_items,
            max_items: written.max_items,
            minimum: written.minimum,
            maximum: written.maximum,
            rules: rules.collect::<Result<_, _>>()?,
        })
    }

    /// Sets what is left out and has a default. What is null is left out, unless it may be null.
    pub(super) fn give_defaults(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let may_be_null = |name: &String| self.properties.get(name).is_none_or(|of| of.nullable);
                fields.retain(|name, value| !value.is_null() || may_be_null(name));
                for (name, of) in &self.properties {
                    if let Some(default) = &of.default
                        && !fields.contains_key(name)
                    {
                        fields.insert(name.clone(), default.clone());
                    }
                    if let Some(value) = fields.get_mut(name) {
                        of.give_defaults(value);
                    }
                }
            }
            Value::Array(items) => {
                let of = self.items.as_deref();
                items.iter_mut().for_each(|item| of.into_iter().for_each(|of| of.give_defaults(item)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
