//! Manifests: YAML with several documents, of which the ManagedAgentCertificates are taken. The only place that knows
//! the YAML reader.

use kagiban_crds::resource::{GROUP, ManagedAgentCertificate};
use serde::Deserialize;
use serde_yaml::Value;

/// A file with ten thousand resources is under this.
pub const MAX_MANIFEST_BYTES: usize = 32 * 1024 * 1024;

/// One document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("document {number}{}: {message}", name.as_deref().map(|n| format!(" ({n})")).unwrap_or_default())]
pub struct ManifestError {
    /// Counted from 1.
    pub number: usize,
    pub name: Option<String>,
    pub message: String,
}

/// Each document that is one of ours, or says why it cannot be read; others are passed over.
pub fn read(text: &str) -> Vec<Result<ManagedAgentCertificate, ManifestError>> {
    serde_yaml::Deserializer::from_str(text)
        .enumerate()
        .filter_map(|(index, document)| {
            let number = index + 1;
            match Value::deserialize(document) {
                Err(error) => Some(Err(ManifestError { number, name: None, message: error.to_string() })),
                Ok(value) => is_ours(&value).then(|| parse(value, number)),
            }
        })
        .collect()
}

fn is_ours(value: &Value) -> bool {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    text("kind") == "ManagedAgentCertificate" && text("apiVersion").starts_with(GROUP)
}

fn parse(value: Value, number: usize) -> Result<ManagedAgentCertificate, ManifestError> {
    let name = value.get("metadata").and_then(|m| m.get("name")).and_then(Value::as_str).map(str::to_owned);
    serde_yaml::from_value(value).map_err(|error| ManifestError { number, name, message: error.to_string() })
}
