//! Resources as manifests for another operator.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use kagiban_crds::resource::PAUSED_BY_HAND_ANNOTATION;
use serde_json::{Map, Value, json};

use crate::cluster::key_of;
use crate::foreign::in_one_line;

/// What of an object's metadata is said by whoever keeps it, and not by who has written it.
const OF_A_MANIFEST: [&str; 4] = ["name", "namespace", "labels", "annotations"];
/// What `kubectl apply` keeps for itself.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// What whoever keeps a resource notes on it. A pause by hand is one of the manifest from then on.
const NOTES: [&str; 2] = [LAST_APPLIED, PAUSED_BY_HAND_ANNOTATION];

/// A stream of documents, with what a person does next as comments.
///
/// # Errors
/// When one cannot be written as YAML.
pub(super) fn exported(
    found: &[Value],
    lineage: &str,
    in_yaml: impl Fn(&Value) -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    let mut text = format!(
        "# {} resource{} of the installation {lineage}. To give their hosts, as far as they obey it, to another operator:\n\
         #  1. Create what they name there first: the namespaces, and the Secrets\n",
        found.len(),
        if found.len() == 1 { "" } else { "s" },
    );
    let secrets: BTreeSet<_> = found.iter().flat_map(secrets).collect();
    for (namespace, name) in secrets {
        writeln!(text, "#       {namespace}/{name}")?;
    }
    text.push_str(
        "#  2. Start it with a --lineage of its own, and give it this file: kubectl apply -f FILE, or a file below its --manifests.\n\
         #     It says HostRefused of each, and changes nothing on any host.\n\
         #  3. Start this operator with --hand-over-to and that name. It says HandedOver of each, and the other one Ready.\n\
         #     No certificate in force is rotated for that.\n\
         #  4. When that one shows nothing under BLOCKED-BY, take the manifests away here, but not the Secrets; confirm that; and end this\n\
         #     operator when the resources are gone.\n",
    );
    for object in found {
        text.push_str("---\n");
        text.push_str(&in_yaml(&manifest(object))?);
    }
    Ok(text)
}

/// As somebody would write it; the status is for who reads it, and no operator takes it.
fn manifest(object: &Value) -> Value {
    let metadata: Map<String, Value> = OF_A_MANIFEST
        .into_iter()
        .filter_map(|key| {
            let mut value = object["metadata"].get(key)?.clone();
            if let Some(words) = value.as_object_mut() {
                NOTES.iter().for_each(|note| drop(words.remove(*note)));
                if words.is_empty() {
                    return None;
                }
            }
            Some((key.to_owned(), value))
        })
        .collect();
    let mut manifest = json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": metadata, "spec": object["spec"],
    });
    if let Some(status) = object.get("status") {
        manifest["status"] = status.clone();
    }
    manifest
}

/// The Secrets that a resource names, with its namespace.
fn secrets(object: &Value) -> Vec<(String, String)> {
    let namespace = key_of(object).0;
    let spec = &object["spec"];
    let issuer = &spec["issuerRef"];
    let names = [
        spec["api"]["hostApi"]["tlsSecretRef"]["name"].as_str(),
        issuer["name"].as_str().filter(|_| issuer["kind"] == "CASecret"),
        spec["keystore"]["passwordSecretRef"]["name"].as_str(),
    ];
    names.into_iter().flatten().map(|name| (in_one_line(&namespace), in_one_line(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_has_what_somebody_wrote_and_names_the_secrets_without_their_values() {
        let object = json!({
            "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate",
            "metadata": {
                "name": "ups-01", "namespace": "fleet", "uid": "1-2", "resourceVersion": "7", "generation": 3,
                "finalizers": ["kagiban.dev/rotation"], "creationTimestamp": "2026-11-29T05:00:00Z",
                "annotations": {"kagiban.dev/rotate": "now", LAST_APPLIED: "{}", PAUSED_BY_HAND_ANNOTATION: "true"},
            },
            "spec": {
                "api": {"hostApi": {"tlsSecretRef": {"name": "fleet-client"}}},
                "issuerRef": {"kind": "CASecret", "name": "fleet-ca"},
                "keystore": {"passwordSecretRef": {"name": "stores", "key": "ups-01"}},
            },
            "status": {"handledRotate": "now"},
        });
        let text = exported(&[object.clone(), object], "tokyo", |value| Ok(format!("{value}\n"))).expect("an export");
        let mut documents = text.split("---\n");
        let told = documents.next().expect("comments");
        assert!(told.lines().all(|line| line.starts_with('#')), "{told}");
        for word in ["tokyo", "fleet/fleet-client\n", "fleet/fleet-ca\n", "fleet/stores\n", "--hand-over-to"] {
            assert_eq!(told.matches(word).count(), 1, "{word}: {told}");
        }
        let documents: Vec<Value> = documents.map(|text| serde_json::from_str(text).expect("JSON")).collect();
        assert_eq!(documents.len(), 2);
        assert_eq!(
            documents[0]["metadata"],
            json!({"name": "ups-01", "namespace": "fleet", "annotations": {"kagiban.dev/rotate": "now"}}),
        );
        assert_eq!(documents[0]["status"]["handledRotate"], "now");
    }
}
