//! Secrets, by name and one at a time: the operator cannot list or watch them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{Cluster, ClusterError};

/// A Secret's values, wiped when dropped. What the HTTP stack held of them on the way is out of our hands.
#[derive(Default)]
pub struct SecretData(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl std::fmt::Debug for SecretData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl SecretData {
    /// The bytes under a key.
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(|value| value.as_slice())
    }

    /// A password: UTF-8, without the line end that a text editor leaves.
    pub fn text(&self, key: &str) -> Option<SecretString> {
        let text = std::str::from_utf8(self.bytes(key)?).ok()?;
        Some(SecretString::from(text.strip_suffix('\n').map_or(text, |t| t.strip_suffix('\r').unwrap_or(t))))
    }
}

impl<const N: usize> From<[(&str, &[u8]); N]> for SecretData {
    fn from(values: [(&str, &[u8]); N]) -> Self {
        Self(values.into_iter().map(|(key, value)| (key.to_owned(), Zeroizing::new(value.to_vec()))).collect())
    }
}

impl Cluster {
    pub(crate) async fn secret(&self, namespace: &str, name: &str) -> Result<SecretData, ClusterError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = self.read("secrets", || api.get(name)).await?;
        let values = secret.data.unwrap_or_default();
        Ok(SecretData(values.into_iter().map(|(key, value)| (key, Zeroizing::new(value.0))).collect()))
    }

    /// A word that changes when the Secret's values do. Only its metadata is read.
    pub(crate) async fn secret_version(&self, namespace: &str, name: &str) -> Result<String, ClusterError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = self.read("secrets", || api.get_metadata(name)).await?;
        Ok(version(&secret.metadata))
    }
}

/// When the values were last written, by the API server's own record of who wrote which field: another label is no other
/// password. Without that record, the resource version of this object.
fn version(metadata: &ObjectMeta) -> String {
    let written_values = |entry: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry| {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:data").is_some())
    };
    let entries = metadata.managed_fields.iter().flatten();
    entries.filter(written_values).filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max().map_or_else(
        || {
            let (uid, version) = (metadata.uid.as_deref(), metadata.resource_version.as_deref());
            format!("{}/{}", uid.unwrap_or_default(), version.unwrap_or_default())
        },
        |written| written.to_string(),
    )
}

/// Why a Secret could not be read, and what to do.
pub(crate) fn unread_secret(secret: &str, namespace: &str, error: &ClusterError) -> String {
    match error {
        ClusterError::NotFound { .. } => format!("there is no Secret {secret} in namespace {namespace}: create it"),
        ClusterError::Forbidden { .. } => format!(
            "Secret {secret} may not be read: bind the ClusterRole kagiban-operator-secrets in namespace {namespace}"
        ),
        ClusterError::Timeout { .. }
        | ClusterError::Conflict { .. }
        | ClusterError::Status { .. }
        | ClusterError::Transport { .. }
        | ClusterError::Unreadable { .. } => format!("Secret {secret} cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(value: serde_json::Value) -> ObjectMeta {
        serde_json::from_value(value).expect("metadata")
    }

    #[test]
    fn another_label_is_no_other_version_and_other_values_are() {
        let written = |values_at: &str, label_at: &str| {
            version(&metadata(json!({
                "uid": "u", "resourceVersion": label_at,
                "managedFields": [
                    {"manager": "eso", "operation": "Apply", "time": values_at, "fieldsV1": {"f:data": {"f:password": {}}}},
                    {"manager": "kubectl-label", "operation": "Update", "time": label_at, "fieldsV1": {"f:metadata": {}}},
                ],
            })))
        };
        let first = written("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z");
        assert_eq!(written("2026-03-01T12:00:00Z", "2026-04-01T12:00:00Z"), first);
        assert_ne!(written("2026-04-01T12:00:00Z", "2026-04-01T12:00:00Z"), first);
    }

    #[test]
    fn without_a_record_of_its_fields_the_object_itself_is_the_version() {
        assert_eq!(version(&metadata(json!({"uid": "u", "resourceVersion": "7"}))), "u/7");
    }
}
