//! Standalone as a [`Cluster`].

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use kagiban_crds::resource::{FINALIZER, ManagedAgentCertificate, ManagedAgentCertificateStatus, Metadata};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::store::{Session, StoreError, WrittenEvent};
use super::{RESOURCE, STATUS, Standalone, watch};
use crate::cluster::error::CALL_DEADLINE;
use crate::cluster::watch::{Event, WatchError};
use crate::cluster::{Cluster, ClusterError, ClusterFuture, Lease, SecretData, Unreadable, Watched, note};
use crate::decide::{self, ConditionType, EventKind};
use crate::freshness::Freshness;

impl Cluster for Standalone {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn watch(&self, namespace: Option<&str>, freshness: Freshness) -> BoxStream<'static, Result<Event, WatchError>> {
        watch::watch(self.store.clone(), namespace.map(str::to_owned), self.looked.clone(), freshness).boxed()
    }

    fn can_list<'a>(&'a self, _namespace: Option<&'a str>) -> ClusterFuture<'a, ()> {
        let listed = async {
            // Until then, what is stored may be old
            let mut looked = self.looked.clone();
            let looked = timeout(CALL_DEADLINE, async { looked.wait_for(|looked| *looked).await.is_ok() }).await;
            if looked != Ok(true) {
                let message = "the manifests were not looked at yet".to_owned();
                return Err(ClusterError::Transport { verb: "list", resource: RESOURCE, message });
            }
            self.call("list", RESOURCE, |state| state.version()).await.map(|_| ())
        };
        listed.boxed()
    }

    fn named<'a>(&'a self, mac: &'a ManagedAgentCertificate) -> ClusterFuture<'a, Option<ManagedAgentCertificate>> {
        let found = async {
            let (namespace, name) = key(&mac.metadata);
            let found = self.call("get", RESOURCE, move |state| state.get(&namespace, &name)).await?;
            found.map(|stored| whole("get", RESOURCE, &stored.object)).transpose()
        };
        found.boxed()
    }

    fn dry_run<'a>(&'a self, mac: &'a ManagedAgentCertificate, object: &'a Value) -> ClusterFuture<'a, Watched> {
        let admitted = async {
            let (namespace, name) = key(&mac.metadata);
            let stored = self.call("get", RESOURCE, move |state| state.get(&namespace, &name)).await?;
            let old = stored.map(|stored| stored.object);
            let mut admitted = self.admission.admit(object, old.as_ref()).map_err(|errors| {
                let message: Vec<_> = errors.iter().map(ToString::to_string).collect();
                ClusterError::Status { verb: "patch", resource: RESOURCE, code: 422, message: message.join(", ") }
            })?;
            if let Some(old) = old {
                for kept in
                    ["uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "finalizers"]
                {
                    if let Some(value) = old["metadata"].get(kept) {
                        admitted["metadata"][kept] = value.clone();
                    }
                }
                admitted["status"] = old["status"].clone();
            }
            read("patch", RESOURCE, &admitted)
        };
        admitted.boxed()
    }

    fn hold<'a>(&'a self, mac: &'a ManagedAgentCertificate) -> ClusterFuture<'a, ManagedAgentCertificate> {
        let hold = |object: &mut Value| {
            if object.pointer("/metadata/deletionTimestamp").is_some() {
                return Err(StoreError::Refused("metadata.finalizers: Forbidden: it is being deleted".to_owned()));
            }
            let mut finalizers = finalizers(object);
            if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
                finalizers.push(FINALIZER.to_owned());
            }
            object["metadata"]["finalizers"] = json!(finalizers);
            Ok(())
        };
        let held = async move {
            let version = mac.metadata.resource_version.clone();
            let held = self.change("patch", RESOURCE, &mac.metadata, version, hold).await?;
            whole("patch", RESOURCE, &held)
        };
        held.boxed()
    }

    fn release<'a>(&'a self, mac: &'a ManagedAgentCertificate) -> ClusterFuture<'a, ()> {
        self.let_go(&mac.metadata, mac.metadata.resource_version.clone()).boxed()
    }

    fn release_unread<'a>(&'a self, seen: &'a Unreadable) -> ClusterFuture<'a, ()> {
        self.let_go(&seen.metadata, None).boxed()
    }

    fn write_status<'a>(
        &'a self,
        mac: &'a ManagedAgentCertificate,
        status: &'a ManagedAgentCertificateStatus,
    ) -> ClusterFuture<'a, ManagedAgentCertificate> {
        let written = async move {
            let mut status = serde_json::to_value(status).map_err(|error| ClusterError::Unreadable {
                verb: "patch",
                resource: STATUS,
                message: error.to_string(),
            })?;
            let write = move |object: &mut Value| {
                keep_conditions_of_others(&mut status, &object["status"]);
                object["status"] = status;
                Ok(())
            };
            let version = mac.metadata.resource_version.clone();
            let written = self.change("patch", STATUS, &mac.metadata, version, write).await?;
            whole("patch", STATUS, &written)
        };
        written.boxed()
    }

    fn write_conditions<'a>(&'a self, seen: &'a Unreadable, conditions: &'a [Value]) -> ClusterFuture<'a, ()> {
        let (conditions, generation) = (json!(conditions), seen.metadata.generation);
        let write = move |object: &mut Value| {
            // It may be anything: a part that is no object is what could not be read
            if !object["status"].is_object() {
                object["status"] = json!({});
            }
            object["status"]["conditions"] = conditions;
            object["status"]["observedGeneration"] = json!(generation);
            Ok(())
        };
        let version = seen.metadata.resource_version.clone();
        async move { self.change("patch", STATUS, &seen.metadata, version, write).await.map(|_| ()) }.boxed()
    }

    fn tell<'a>(&'a self, mac: &'a ManagedAgentCertificate, told: &'a decide::Event) -> BoxFuture<'a, ()> {
        self.tell_of(&mac.metadata, &mac.spec.host, told).boxed()
    }

    fn tell_unread<'a>(&'a self, seen: &'a Unreadable, told: &'a decide::Event) -> BoxFuture<'a, ()> {
        async move { self.tell_of(&seen.metadata, &seen.host(), told).await }.boxed()
    }

    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> ClusterFuture<'a, SecretData> {
        let read = async {
            let result = self.secrets.read(namespace, name).await;
            self.metrics.api_request("get", "secrets", result.as_ref().map_or_else(ClusterError::reason, |_| "2xx"));
            result
        };
        read.boxed()
    }

    fn lease<'a>(&'a self, namespace: &'a str, name: &'a str) -> ClusterFuture<'a, Option<Lease>> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.call("get", "leases", move |state| state.lease(&namespace, &name)).boxed()
    }

    fn put_lease<'a>(&'a self, namespace: &'a str, name: &'a str, lease: &'a Lease) -> ClusterFuture<'a, Lease> {
        let verb = if lease.version.is_some() { "update" } else { "create" };
        let (namespace, name, lease) = (namespace.to_owned(), name.to_owned(), lease.clone());
        self.call(verb, "leases", move |state| state.put_lease(&namespace, &name, &lease)).boxed()
    }
}

impl Standalone {
    async fn change(
        &self,
        verb: &'static str,
        resource: &'static str,
        seen: &Metadata,
        version: Option<String>,
        change: impl FnOnce(&mut Value) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Value, ClusterError> {
        let (namespace, name) = key(seen);
        let uid = seen.uid.clone();
        let work = move |state: &mut Session<'_>| {
            state.change((&namespace, &name), uid.as_deref(), version.as_deref(), change)
        };
        self.call(verb, resource, work).await
    }

    /// Of one that is gone, that is done.
    async fn let_go(&self, seen: &Metadata, version: Option<String>) -> Result<(), ClusterError> {
        let let_go = |object: &mut Value| {
            let mut finalizers = finalizers(object);
            finalizers.retain(|finalizer| finalizer != FINALIZER);
            object["metadata"]["finalizers"] = json!(finalizers);
            Ok(())
        };
        match self.change("patch", RESOURCE, seen, version, let_go).await {
            Ok(_) | Err(ClusterError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn tell_of(&self, metadata: &Metadata, host: &str, told: &decide::Event) {
        let note = note::logged(metadata, host, told);
        let (namespace, name) = key(metadata);
        let event = WrittenEvent {
            namespace,
            name,
            uid: metadata.uid.clone().unwrap_or_default(),
            kind: match told.kind {
                EventKind::Normal => "Normal",
                EventKind::Warning => "Warning",
            },
            reason: told.reason.as_str().to_owned(),
            note,
            at: Timestamp::now().as_second(),
        };
        if let Err(error) = self.call("create", "events", move |state| state.tell(&event)).await {
            tracing::warn!(%error, reason = told.reason.as_str(), "an event could not be written");
        }
    }
}

/// Conditions are a list with owners of its own, here too: a status that came from a cluster may have some.
fn keep_conditions_of_others(status: &mut Value, is: &Value) {
    let is_of_others =
        |condition: &&Value| condition["type"].as_str().is_some_and(|kind| !ConditionType::is_ours(kind));
    let of_others: Vec<_> = is["conditions"].as_array().into_iter().flatten().filter(is_of_others).cloned().collect();
    if of_others.is_empty() {
        return;
    }
    match status["conditions"].as_array_mut() {
        Some(conditions) => conditions.extend(of_others),
        None => status["conditions"] = json!(of_others),
    }
}

fn key(metadata: &Metadata) -> (String, String) {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn finalizers(object: &Value) -> Vec<String> {
    let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    finalizers.filter_map(|finalizer| finalizer.as_str().map(str::to_owned)).collect()
}

fn read(verb: &'static str, resource: &'static str, object: &Value) -> Result<Watched, ClusterError> {
    let unreadable = |error: serde_json::Error| error.to_string();
    Watched::deserialize(object).map_err(|error| ClusterError::Unreadable {
        verb,
        resource,
        message: unreadable(error),
    })
}

/// An object that can be read: orders follow from it.
fn whole(verb: &'static str, resource: &'static str, object: &Value) -> Result<ManagedAgentCertificate, ClusterError> {
    let wrong = |message: String| ClusterError::Unreadable { verb, resource, message };
    read(verb, resource, object)?.0.map_err(|unreadable| wrong(unreadable.why))
}
