//! What the API server would take, and with which defaults: by the schema and the rules of the CRD itself, in its words.
//!
//! ```text
//!   object ──> unknown fields ──> metadata ──> nulls, defaults ──> structure ──> rules ──> as it is kept
//!              (manifest)         (as of      └──── schema ─────────────────┘   (CEL)
//!                                  kubernetes)
//! ```

mod functions;
mod questions;
mod rules;
mod schema;
mod structure;
mod violation;

use std::fmt;

use kagiban_crds::resource::Metadata;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use crate::cluster::kubernetes::admission as metadata;
use crate::cluster::manifest::unknown_fields;
use rules::RuleEnvironment;
use schema::Schema;
use violation::Violation;

/// As long as what is told of one object may be: of a list with a wrong item each, every item is told.
const MOST_ERRORS: usize = 32;
/// For who writes there what is run: an API server says only that it is unknown.
const OF_REPAIR: &str = ": write `repair: {}`; what is run is named by the host's configuration";

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// As the API server writes it: `spec.certificate.dnsNames[0]`. Empty where it is about the whole.
    pub path: String,
    pub message: String,
    /// Whether the message names the fields itself, which may be several.
    names_fields: bool,
}

impl FieldError {
    fn new(path: &str, message: String) -> Self {
        Self { path: path.to_owned(), message, names_fields: false }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() || self.names_fields {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// The schema, ready to judge by.
pub struct Admission {
    root: Schema,
    rules: RuleEnvironment,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}

/// Why there is no judging: the CRD of this version has what this file does not know.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the CRD's schema has something that is judged only by an API server: {0}")]
    Unknown(String),
    #[error("a rule of the CRD cannot be read: {0}")]
    Rule(String),
}

impl Admission {
    /// # Errors
    /// When the CRD's schema has something in it that only an API server knows. A test holds that it has not.
    pub fn new() -> Result<Self, SchemaError> {
        let schema = metadata::schema().ok_or_else(|| SchemaError::Unknown("it is not there".to_owned()))?;
        let rules = RuleEnvironment::new();
        let root = Schema::compile(schema, &rules)?;
        Ok(Self { root, rules })
    }

    /// The object as it would be kept: with its defaults, its metadata and its spec, and the status that one has of which nothing
    /// is known. `old` is the object that it would replace.
    ///
    /// # Errors
    /// With all that is wrong with it, as far as one thing does not hide another.
    pub fn admit(&self, object: &Value, old: Option<&Value>) -> Result<Value, Vec<FieldError>> {
        let whole = |message: String| vec![FieldError::new("", message)];
        let version = metadata::api_version();
        if object.get("apiVersion").and_then(Value::as_str) != Some(version.as_str()) {
            let said = object.get("apiVersion").cloned().unwrap_or_default();
            let message = format!("{said}: this version knows {version} only");
            return Err(vec![FieldError::new("apiVersion", message)]);
        }
        let unknown = unknown_fields(object);
        if !unknown.is_empty() {
            let fields = unknown.iter().take(MOST_ERRORS);
            let fields: Vec<_> = fields.map(|field| format!("unknown field \"{field}\"")).collect();
            let is_of_repair = unknown.iter().any(|field| field.starts_with("spec.repair."));
            let hint = if is_of_repair { OF_REPAIR } else { "" };
            let message = format!("strict decoding error: {}{hint}", fields.join(", "));
            return Err(vec![FieldError { names_fields: true, ..FieldError::new(&unknown[0], message) }]);
        }
        let said = object.get("metadata").cloned().unwrap_or_else(|| json!({}));
        let read = Metadata::deserialize(&said).map_err(|error| whole(format!("metadata: {error}")))?;
        metadata::check(&read).map_err(|message| {
            let path = message.split_once(": ").map_or("metadata", |(path, _)| path);
            let path = path.split('[').next().unwrap_or("metadata").to_owned();
            let message = message.strip_prefix(&format!("{path}: ")).map_or_else(|| message.clone(), str::to_owned);
            vec![FieldError::new(&path, message)]
        })?;
        let mut kept = Map::new();
        kept.insert("apiVersion".to_owned(), json!(version));
        kept.insert("kind".to_owned(), json!("ManagedAgentCertificate"));
        kept.insert("metadata".to_owned(), what_users_write(&said));
        kept.extend(object.get("spec").map(|spec| ("spec".to_owned(), spec.clone())));
        let mut kept = Value::Object(kept);
        self.root.give_defaults(&mut kept);
        let old = old.map(|old| json!({"metadata": old["metadata"], "spec": old["spec"]}));
        let mut errors = Vec::new();
        self.root.validate(&kept, old.as_ref(), "", &mut errors);
        if !errors.iter().any(Violation::hides_rules) {
            self.root.ask_rules(&self.rules, &kept, old.as_ref(), &mut errors);
        }
        if errors.is_empty() {
            return Ok(kept);
        }
        errors.truncate(MOST_ERRORS);
        Err(errors.into_iter().map(|violation| violation.error).collect())
    }
}

/// All else in the metadata is for whoever keeps the object to write: what a copy of it says is passed over, as in a `kubectl apply`
/// of what `kubectl get -o yaml` has printed.
fn what_users_write(said: &Value) -> Value {
    let mut kept = Map::new();
    for key in ["name", "namespace", "labels", "annotations"] {
        kept.extend(said.get(key).filter(|value| !value.is_null()).map(|value| (key.to_owned(), value.clone())));
    }
    Value::Object(kept)
}

#[cfg(test)]
mod tests;
