//! Manifests as people write them: several YAML documents in one text.

use anyhow::Result;
use serde::Deserialize as _;
use serde_json::Value;

/// The objects of a text; what is empty between two separators is none.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_str(text).map(Value::deserialize);
    documents.filter(|document| !matches!(document, Ok(Value::Null))).map(|it| Ok(it?)).collect()
}
