//! Secrets, by name and one at a time: the operator cannot list or watch them.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kagiban_crds::resource::{ALLOWED_CLIENTS_ANNOTATION, ALLOWED_HOSTS_ANNOTATION, PURPOSE_LABEL};
use kagiban_crds::{SecretName, WordError};
use kube::api::{Api, GetParams};
use kube::core::Request;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{ClusterError, Kubernetes};
use crate::cluster::elements::each;
use crate::cluster::secret::{SecretClaims, SecretData};

/// Secrets that are read at once. An answer may have two mebibytes, which are taken several times over while it is read.
pub(super) const MAX_READS: usize = 8;

/// What the API server's record calls a Secret's values.
const VALUES: [&str; 2] = ["f:data", "f:stringData"];

/// A Secret as far as it is needed. Who manages which field may be most of it, and is not built: a tree of that takes twelve
/// times its text, and one that is nested deeply cannot be read.
#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    metadata: Metadata,
    #[serde(rename = "type")]
    kind: Option<String>,
    data: Option<BTreeMap<String, ByteString>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    uid: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    managed_fields: Option<ValuesWritten>,
}

/// When a writer of values has last changed any of his fields, by the API server's own record of who wrote which.
struct ValuesWritten(Option<Timestamp>);

/// Of one writer.
#[derive(Deserialize)]
struct Writer {
    time: Option<String>,
    #[serde(rename = "fieldsV1")]
    fields: Option<Fields>,
}

/// Whether there are values among them.
struct Fields(bool);

impl Kubernetes {
    pub(crate) async fn secret(&self, namespace: &str, name: &str) -> Result<SecretData, ClusterError> {
        let name = named(name)?;
        let read = async {
            let secrets = Request::new(Api::<Secret>::namespaced(self.client.clone(), namespace).resource_url());
            let get = || async {
                let request = secrets.get(name.as_str(), &GetParams::default()).map_err(kube::Error::BuildRequest)?;
                self.client.request::<Read>(request).await
            };
            let place = self.secret_reads.acquire().await;
            let secret = self.read("secrets", get).await?;
            drop(place);
            let kind = secret.kind.unwrap_or_else(|| "Opaque".to_owned());
            let claims = claims(&name, &secret.metadata, kind);
            let values = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
            Ok(SecretData::new(values, claims, written(&secret.metadata)))
        };
        self.secrets.get((namespace.to_owned(), name.to_string()), read).await
    }
}

/// A name goes into the path of a request: one that is none could lead to another namespace.
fn named(name: &str) -> Result<SecretName, ClusterError> {
    let message = |error: WordError| error.to_string();
    name.parse().map_err(|error| ClusterError::Unreadable { verb: "get", resource: "secrets", message: message(error) })
}

fn claims(name: &SecretName, metadata: &Metadata, kind: String) -> SecretClaims {
    let annotation = |key: &str| metadata.annotations.as_ref()?.get(key).cloned();
    SecretClaims {
        name: name.to_string(),
        kind,
        purpose: metadata.labels.as_ref().and_then(|labels| labels.get(PURPOSE_LABEL).cloned()),
        allowed_hosts: annotation(ALLOWED_HOSTS_ANNOTATION),
        allowed_clients: annotation(ALLOWED_CLIENTS_ANNOTATION),
    }
}

/// The record has one time for all fields of a writer: a label by `kubectl label` does not move it, an annotation by whoever
/// applied the values does. Without that record, the resource version.
///
/// Values that a server-side apply gives as `stringData` are recorded as that, also when others have them as `data`; every
/// other way of writing them (`apply`, `edit`, `patch`, `replace`, either field) is recorded as `data`.
fn written(metadata: &Metadata) -> String {
    metadata.managed_fields.as_ref().and_then(|values| values.0).map_or_else(
        || {
            let (uid, version) = (metadata.uid.as_deref(), metadata.resource_version.as_deref());
            format!("{}/{}", uid.unwrap_or_default(), version.unwrap_or_default())
        },
        |time| time.to_string(),
    )
}

impl<'de> Deserialize<'de> for ValuesWritten {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut last = None;
        each(deserializer, |Writer { time, fields }| {
            if fields.is_some_and(|fields| fields.0) {
                // One that cannot be counted here, which anybody may write, is none
                last = last.max(time.and_then(|time| time.parse().ok()));
            }
        })?;
        Ok(Self(last))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Fields, A::Error> {
                let mut values = false;
                while let Some((name, IgnoredAny)) = fields.next_entry::<String, _>()? {
                    values |= VALUES.contains(&name.as_str());
                }
                Ok(Fields(values))
            }
        }

        deserializer.deserialize_map(Reading)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(value: serde_json::Value) -> Metadata {
        serde_json::from_value(value).expect("metadata")
    }

    #[test]
    fn another_writers_label_moves_nothing_and_other_values_do() {
        let at = |values_at: &str, label_at: &str| {
            written(&metadata(json!({
                "uid": "u", "resourceVersion": label_at,
                "managedFields": [
                    {"manager": "eso", "operation": "Apply", "time": values_at, "fieldsV1": {"f:data": {"f:password": {}}}},
                    {"manager": "kubectl-label", "operation": "Update", "time": label_at, "fieldsV1": {"f:metadata": {}}},
                ],
            })))
        };
        let first = at("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z");
        assert_eq!(at("2026-03-01T12:00:00Z", "2026-04-01T12:00:00Z"), first);
        assert_ne!(at("2026-04-01T12:00:00Z", "2026-04-01T12:00:00Z"), first);
    }

    /// Holds B11: as kube-apiserver records a password that was created as `data` and applied as `stringData` since. With another
    /// operator in between, the new one passed for the old one.
    #[test]
    fn values_that_are_applied_as_text_are_values() {
        let written = written(&metadata(json!({
            "uid": "u", "resourceVersion": "219",
            "managedFields": [
                {"manager": "kubectl", "operation": "Apply", "time": "2026-03-01T12:00:19Z",
                 "fieldsV1": {"f:metadata": {"f:annotations": {}}, "f:stringData": {"f:password": {}}, "f:type": {}}},
                {"manager": "kubectl-create", "operation": "Update", "time": "2026-03-01T12:00:18Z",
                 "fieldsV1": {"f:data": {".": {}, "f:password": {}}, "f:type": {}}},
            ],
        })));
        assert_eq!(written, "2026-03-01T12:00:19Z");
    }

    #[test]
    fn a_time_beyond_all_that_can_be_counted_is_passed_over() {
        let entry = |time: &str| json!({"manager": "x", "time": time, "fieldsV1": {"f:data": {}}});
        let entries = json!([entry("2026-03-01T12:00:00Z"), entry("9999-12-31T23:59:59Z")]);
        assert_eq!(written(&metadata(json!({"managedFields": entries}))), "2026-03-01T12:00:00Z");
    }

    #[test]
    fn without_a_record_of_its_fields_the_object_itself_is_the_version() {
        assert_eq!(written(&metadata(json!({"uid": "u", "resourceVersion": "7"}))), "u/7");
    }
}
