//! The Lease that leaders hold. Every write carries the resource version it was read with.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease as StoredLease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kagiban_crds::Epoch;
use kube::api::{Api, GetParams, PostParams};
use kube::core::Request;
use serde::de::value::StringDeserializer;
use serde::de::{DeserializeSeed, IgnoredAny, IntoDeserializer as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{ClusterError, Kubernetes, MANAGER};
use crate::cluster::Lease;

/// Where the epoch is kept.
pub const EPOCH_ANNOTATION: &str = "kagiban.dev/epoch";

/// A Lease without the record of who wrote which field, which may be large and nested deeply. A write that leaves it out leaves
/// it as it is.
#[derive(Deserialize)]
struct Read {
    #[serde(default, deserialize_with = "without_managed_fields")]
    metadata: ObjectMeta,
    spec: Option<LeaseSpec>,
}

impl From<Read> for Lease {
    fn from(Read { metadata, spec }: Read) -> Self {
        let stored = StoredLease { metadata, spec };
        let spec = stored.spec.clone().unwrap_or_default();
        let annotations = stored.metadata.annotations.as_ref();
        Self {
            holder: spec.holder_identity,
            epoch: annotations.and_then(|a| a.get(EPOCH_ANNOTATION)).and_then(|text| text.parse().ok()).map(Epoch),
            duration: Duration::from_secs(spec.lease_duration_seconds.and_then(|it| it.try_into().ok()).unwrap_or(0)),
            acquired: spec.acquire_time.map(|time| time.0),
            renewed: spec.renew_time.map(|time| time.0),
            transitions: spec.lease_transitions.unwrap_or(0),
            version: stored.metadata.resource_version.clone(),
            stored: serde_json::to_value(stored).unwrap_or_default(),
        }
    }
}

/// What was stored, with what the operator writes.
fn filled(lease: &Lease, namespace: &str, name: &str) -> StoredLease {
    let mut filled: StoredLease = serde_json::from_value(lease.stored.clone()).unwrap_or_default();
    (filled.metadata.namespace, filled.metadata.name) = (Some(namespace.to_owned()), Some(name.to_owned()));
    filled.metadata.resource_version.clone_from(&lease.version);
    if let Some(epoch) = lease.epoch {
        let annotations = filled.metadata.annotations.get_or_insert_default();
        annotations.insert(EPOCH_ANNOTATION.to_owned(), epoch.to_string());
    }
    let spec = filled.spec.get_or_insert_default();
    spec.holder_identity.clone_from(&lease.holder);
    spec.lease_duration_seconds = i32::try_from(lease.duration.as_secs()).ok();
    spec.acquire_time = lease.acquired.map(MicroTime);
    spec.renew_time = lease.renewed.map(MicroTime);
    spec.lease_transitions = Some(lease.transitions);
    filled
}

impl Kubernetes {
    pub(crate) async fn lease(&self, namespace: &str, name: &str) -> Result<Option<Lease>, ClusterError> {
        let request = self.leases(namespace).get(name, &GetParams::default());
        // Not tried again here: the election has a rhythm and a deadline of its own
        match self.call("get", "leases", self.read_lease(request)).await {
            Ok(lease) => Ok(Some(lease)),
            Err(ClusterError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates it, or replaces it if it has a version.
    pub(crate) async fn put_lease(&self, namespace: &str, name: &str, lease: &Lease) -> Result<Lease, ClusterError> {
        let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        let leases = self.leases(namespace);
        let text = serde_json::to_vec(&filled(lease, namespace, name)).map_err(kube::Error::SerdeError);
        let (verb, request) = if lease.version.is_some() {
            ("update", text.map(|text| leases.replace(name, &params, text)))
        } else {
            ("create", text.map(|text| leases.create(&params, text)))
        };
        self.call(verb, "leases", async { self.read_lease(request?).await }).await
    }

    fn leases(&self, namespace: &str) -> Request {
        Request::new(Api::<StoredLease>::namespaced(self.client.clone(), namespace).resource_url())
    }

    async fn read_lease(
        &self,
        request: Result<hyper::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Lease, kube::Error> {
        self.client.request::<Read>(request.map_err(kube::Error::BuildRequest)?).await.map(Lease::from)
    }
}

fn without_managed_fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    struct Metadata;

    impl<'de> Visitor<'de> for Metadata {
        type Value = ObjectMeta;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("metadata")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ObjectMeta, A::Error> {
            ObjectMeta::deserialize(serde::de::value::MapAccessDeserializer::new(Others(map)))
        }
    }

    deserializer.deserialize_map(Metadata)
}

/// All fields but that record.
struct Others<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Others<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.0.next_key::<String>()? {
            if name != "managedFields" {
                let name: StringDeserializer<A::Error> = name.into_deserializer();
                return seed.deserialize(name).map(Some);
            }
            self.0.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}
