//! A resource as decisions see it, and what it is called.

use kagiban_crds::resource::{FINALIZER, ManagedAgentCertificate, PAUSED_BY_HAND_ANNOTATION, ROTATE_ANNOTATION};
use serde_json::Value;

use super::rotate_word::rotate_word;
use crate::decide::{Contender, OwnershipClaim, Resource};

/// The namespace and the name of an object that nobody has read yet.
pub(crate) fn key_of(object: &Value) -> (String, String) {
    let word = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    (word("namespace"), word("name"))
}

/// The object as decisions see it.
pub fn object(mac: &ManagedAgentCertificate) -> Resource {
    let meta = &mac.metadata;
    let mut status = mac.status.clone().unwrap_or_default();
    let answered = status.rotation.as_mut().and_then(|rotation| rotation.rotate.as_mut());
    for word in answered.into_iter().chain(status.handled_rotate.as_mut()) {
        *word = rotate_word(word);
    }
    Resource {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        deleted_at: meta.deletion_timestamp.as_ref().map(|time| time.0),
        held: is_held(mac),
        rotate: meta.annotations.as_ref().and_then(|all| all.get(ROTATE_ANNOTATION)).map(|value| rotate_word(value)),
        paused_by_hand: meta.annotations.as_ref().is_some_and(|all| all.contains_key(PAUSED_BY_HAND_ANNOTATION)),
        spec: mac.spec.clone(),
        status,
    }
}

/// What it has to show for naming its agent.
pub fn claim(mac: &ManagedAgentCertificate) -> OwnershipClaim {
    let meta = &mac.metadata;
    let contender = Contender {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        created: meta.creation_timestamp.as_ref().map(|time| time.0),
        deleted: meta.deletion_timestamp.is_some(),
        held: is_held(mac),
        url: mac.spec.api.host_api.as_ref().and_then(|api| api.url.parse().ok()),
        client: mac.spec.api.host_api.as_ref().map(|api| api.tls_secret_ref.name.clone()),
        status: mac.status.clone().unwrap_or_default(),
    };
    contender.claim()
}

fn is_held(mac: &ManagedAgentCertificate) -> bool {
    mac.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// Whether it has no other letters than a name of an object or of a namespace has: what asks for one by its path needs no more.
pub(crate) fn is_name(word: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    !word.is_empty() && word.chars().all(is_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::rotate_word::LONGEST_ROTATE;

    /// Holds B14: whatever is in the annotation, its copies in the status and in memory are short; and a status of a version
    /// that copied all of it owes no rotation.
    #[test]
    fn a_long_value_of_the_rotate_annotation_is_known_by_its_digest() {
        let (long, other) = ("x".repeat(200 << 10), "y".repeat(LONGEST_ROTATE + 1));
        for value in ["now", &long, &other] {
            let word = rotate_word(value);
            assert!(word.len() <= LONGEST_ROTATE);
            assert_eq!(rotate_word(&word), word);
        }
        assert_eq!(rotate_word("now"), "now");
        assert_ne!(rotate_word(&long), rotate_word(&other));
        let mac: ManagedAgentCertificate = serde_json::from_value(json!({
            "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate",
            "metadata": {"name": "a", "annotations": {ROTATE_ANNOTATION: long}},
            "spec": {
                "host": "h", "agent": {"product": "tls-service", "name": "web"},
                "api": {"hostApi": {"url": "https://h", "tlsSecretRef": {"name": "client"}}},
                "certificate": {"dnsNames": ["h"]}, "issuerRef": {"name": "ca"},
            },
            "status": {"handledRotate": long},
        }))
        .expect("a resource");
        let seen = object(&mac);
        assert_eq!(
            (seen.rotate.as_ref(), seen.rotate.as_ref()),
            (Some(&rotate_word(&long)), seen.status.handled_rotate.as_ref())
        );
    }
}
