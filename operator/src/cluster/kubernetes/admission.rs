//! What all objects have, judged as the API server judges it: by the rules of names, labels and annotations that Kubernetes
//! documents.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kagiban_crds::SecretName;
use kagiban_crds::resource::{ManagedAgentCertificate, crd};
use kube::Resource as _;
use serde_json::Value;

use crate::cli::namespace;

/// Of a resource's name, as the schema has it.
const LONGEST_NAME: usize = 63;
/// Of the name in a key, after its prefix, and of a label's value.
const LONGEST_WORD: usize = 63;
/// Of all annotations, keys and values, in bytes.
const ANNOTATIONS: usize = 256 << 10;

/// What an object's metadata has.
pub(crate) const OF_METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What an owner reference has.
pub(crate) const OF_OWNERS: [&str; 6] = ["apiVersion", "blockOwnerDeletion", "controller", "kind", "name", "uid"];

/// What a key must be; a prefix makes it a qualified name.
const KEY: &str = "at most 63 letters, digits, '-', '_' and '.', a letter or digit first and last, perhaps after a DNS name and a slash";

/// As the resources' group and version stand in a manifest.
pub(crate) fn api_version() -> String {
    ManagedAgentCertificate::api_version(&()).into_owned()
}

/// The resources' schema, as the API server has it.
pub(crate) fn schema() -> Option<&'static Value> {
    static CRD: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(crd()).unwrap_or_default());
    CRD.pointer("/spec/versions/0/schema/openAPIV3Schema")
}

/// The first thing that the API server would not take.
pub(crate) fn check(metadata: &ObjectMeta) -> Result<(), String> {
    check_name(metadata)?;
    for (key, value) in metadata.labels.iter().flatten() {
        if !is_qualified(key) {
            return Err(format!("metadata.labels: {key:?} is no key: {KEY}"));
        }
        if !value.is_empty() && !is_word(value) {
            return Err(format!(
                "metadata.labels[{key}]: {value:?} is no value: at most {LONGEST_WORD} letters, digits, '-', '_' and '.', a letter \
                 or digit first and last"
            ));
        }
    }
    let annotations = || metadata.annotations.iter().flatten();
    // Of an annotation's prefix, upper case is taken
    if let Some((key, _)) = annotations().find(|(key, _)| !is_qualified(&key.to_lowercase())) {
        return Err(format!("metadata.annotations: {key:?} is no key: {KEY}"));
    }
    let size: usize = annotations().map(|(key, value)| key.len() + value.len()).sum();
    if size > ANNOTATIONS {
        return Err(format!(
            "metadata.annotations: all of them are at most {} KiB, not {size} bytes",
            ANNOTATIONS >> 10
        ));
    }
    check_finalizers(metadata.finalizers.as_deref().unwrap_or_default())?;
    check_owners(metadata.owner_references.as_deref().unwrap_or_default())?;
    if metadata.managed_fields.is_some() {
        return Err("metadata.managedFields: an apply has none; remove it".to_owned());
    }
    Ok(())
}

fn check_name(metadata: &ObjectMeta) -> Result<(), String> {
    let form = "it is no name: lower-case letters, digits, hyphens and dots between them";
    let name = metadata.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err("metadata.name is missing".to_owned());
    }
    if name.len() > LONGEST_NAME {
        return Err(format!("metadata.name: at most {LONGEST_NAME} characters, so that it can be a label value"));
    }
    if !is_subdomain(name) {
        return Err(format!("metadata.name: {form}"));
    }
    // What is appended to it ends it
    let stem = metadata.generate_name.as_deref().unwrap_or_default();
    if !stem.is_empty() && !is_subdomain(&format!("{stem}x")) {
        return Err(format!("metadata.generateName: {form}"));
    }
    metadata
        .namespace
        .as_deref()
        .map_or(Ok(()), |text| namespace(text).map(|_| ()).map_err(|error| format!("metadata.namespace: {error}")))
}

fn check_finalizers(finalizers: &[String]) -> Result<(), String> {
    if let Some(finalizer) = finalizers.iter().find(|finalizer| !is_qualified(finalizer)) {
        return Err(format!("metadata.finalizers: {finalizer:?} is none: {KEY}"));
    }
    let has = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    if has("orphan") && has("foregroundDeletion") {
        return Err("metadata.finalizers: orphan and foregroundDeletion exclude each other".to_owned());
    }
    Ok(())
}

fn check_owners(owners: &[OwnerReference]) -> Result<(), String> {
    for (at, owner) in owners.iter().enumerate() {
        let missing = [("kind", &owner.kind), ("name", &owner.name), ("uid", &owner.uid)];
        if let Some((field, _)) = missing.into_iter().find(|(_, text)| text.is_empty()) {
            return Err(format!("metadata.ownerReferences[{at}].{field} is missing"));
        }
        let version: Vec<_> = owner.api_version.split('/').collect();
        if version.len() > 2 || version.last().is_none_or(|version| version.is_empty()) {
            return Err(format!("metadata.ownerReferences[{at}].apiVersion: {:?} is none", owner.api_version));
        }
        if owner.api_version == "v1" && owner.kind == "Event" {
            return Err(format!("metadata.ownerReferences[{at}]: an Event owns nothing"));
        }
    }
    if owners.iter().filter(|owner| owner.controller == Some(true)).count() > 1 {
        return Err("metadata.ownerReferences: more than one says that it is the controller".to_owned());
    }
    Ok(())
}

/// A word, or one after a DNS name and a slash.
fn is_qualified(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_word(name),
        None => is_word(key),
    }
}

fn is_word(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let is_end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= LONGEST_WORD && is_end(bytes.first()) && is_end(bytes.last()) && bytes.iter().all(|b| is_inner(*b))
}

/// Every object's name has the form of a Secret's, and so has a prefix.
fn is_subdomain(text: &str) -> bool {
    text.parse::<SecretName>().is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// With a name and a namespace.
    fn checked(more: &Value) -> Result<(), String> {
        let mut whole = json!({"name": "ups-01", "namespace": "fleet"});
        for (key, value) in more.as_object().expect("fields") {
            whole[key] = value.clone();
        }
        check(&serde_json::from_value(whole).expect("metadata"))
    }

    /// Holds B12: `plan --offline` looked at the name and the namespace alone. `tests/tests/operator_input.rs` asks an API server
    /// of the same kinds.
    #[test]
    fn metadata_that_the_api_server_would_not_take_is_refused() {
        let long = "a".repeat(64);
        let owner = |change: Value| {
            let mut owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b"});
            owner.as_object_mut().expect("fields").extend(change.as_object().expect("fields").clone());
            owner
        };
        let controller = owner(json!({"controller": true}));
        for (metadata, words) in [
            (json!({"labels": {"a b": "c"}}), "metadata.labels: \"a b\" is no key"),
            (json!({"labels": {"": "c"}}), "metadata.labels"),
            (json!({"labels": {"/a": "c"}}), "metadata.labels"),
            (json!({"labels": {"a/": "c"}}), "metadata.labels"),
            (json!({"labels": {"a/b/c": "d"}}), "metadata.labels"),
            (json!({"labels": {"Example.com/a": "c"}}), "metadata.labels"),
            (json!({"labels": {format!("{}/a", "a".repeat(254)): "c"}}), "metadata.labels"),
            (json!({"labels": {long.as_str(): "c"}}), "metadata.labels"),
            (json!({"labels": {"a": "b c"}}), "metadata.labels[a]: \"b c\" is no value"),
            (json!({"labels": {"a": "-b"}}), "metadata.labels[a]"),
            (json!({"labels": {"a": long}}), "metadata.labels[a]"),
            (json!({"annotations": {"a b": "c"}}), "metadata.annotations: \"a b\" is no key"),
            (json!({"annotations": {"a_.com/b": "c"}}), "metadata.annotations"),
            (json!({"annotations": {"a": "x".repeat(ANNOTATIONS)}}), "at most 256 KiB, not 262145 bytes"),
            (json!({"finalizers": ["no finalizer"]}), "metadata.finalizers"),
            (json!({"finalizers": ["orphan", "foregroundDeletion"]}), "exclude each other"),
            (json!({"ownerReferences": [owner(json!({"uid": ""}))]}), "ownerReferences[0].uid is missing"),
            (json!({"ownerReferences": [owner(json!({"apiVersion": "a/"}))]}), "ownerReferences[0].apiVersion"),
            (json!({"ownerReferences": [owner(json!({"kind": "Event"}))]}), "an Event owns nothing"),
            (json!({"ownerReferences": [controller, controller]}), "more than one"),
            (json!({"managedFields": [{"manager": "x"}]}), "metadata.managedFields"),
            (json!({"managedFields": []}), "metadata.managedFields"),
            (json!({"generateName": "UPS-"}), "metadata.generateName"),
        ] {
            let error = checked(&metadata).expect_err(words);
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn metadata_that_the_api_server_takes_is_taken() {
        let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "a", "uid": "b", "controller": true});
        for metadata in [
            json!({"labels": {"a": "", "example.com/A_b.c": "X_1.y-Z", &"a".repeat(63): "b".repeat(63)}}),
            json!({"labels": {format!("{}/a", "a".repeat(253)): "c"}}),
            json!({"annotations": {"Example.COM/a": "any text\n あ", "a": "x".repeat(ANNOTATIONS - 40)}}),
            json!({"finalizers": ["kagiban.dev/rotation", "orphan"], "ownerReferences": [owner]}),
            json!({"generateName": "ups-"}),
        ] {
            assert_eq!(checked(&metadata), Ok(()), "{metadata:.200}");
        }
    }
}
