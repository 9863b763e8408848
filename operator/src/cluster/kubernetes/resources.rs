//! `ManagedAgentCertificate`: read it from the quorum, hold it, let it go, write its status.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kagiban_crds::resource::{FINALIZER, ManagedAgentCertificate, ManagedAgentCertificateStatus};
use kube::api::{Api, GetParams, ListParams, Patch, PatchParams, ValidationDirective};
use kube::core::Request;
use kube::{Resource, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};

use super::finalizers::{FinalizerList, TOO_MANY};
use super::{ClusterError, Kubernetes, ListPage, MANAGER, Unreadable, Watched};
use crate::cluster::written;

pub(super) const RESOURCE: &str = "managedagentcertificates";
/// The field manager of a dry run.
const PLANNER: &str = "kagiban-operator-plan";
const STATUS: &str = "managedagentcertificates/status";

/// Of an object, whose finalizers are to be written: whoever writes one of them writes the whole list.
#[derive(Deserialize)]
struct Held {
    metadata: HeldMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeldMetadata {
    uid: Option<String>,
    resource_version: Option<String>,
    #[serde(default)]
    finalizers: Option<FinalizerList>,
}

impl Kubernetes {
    /// All resources, or those of one namespace.
    pub(crate) fn watched(&self, namespace: Option<&str>) -> Api<Watched> {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// Whether the resources can be listed at all; one is asked for.
    pub(crate) async fn can_list(&self, namespace: Option<&str>) -> Result<(), ClusterError> {
        let one = ListParams::default().limit(1);
        self.call("list", RESOURCE, ListPage::read(&self.watched(namespace), &one)).await.map(|_| ())
    }

    /// What the API server would make of a manifest, if it would take it. Nothing is written.
    pub(crate) async fn dry_run(&self, mac: &ManagedAgentCertificate, object: &Value) -> Result<Watched, ClusterError> {
        let (api, name) = self.at(&mac.metadata);
        let params = PatchParams::apply(PLANNER).force().dry_run().validation(ValidationDirective::Strict);
        self.call("patch", RESOURCE, api.patch(&name, &params, &Patch::Apply(object))).await
    }

    /// By name alone, for a manifest that has no uid yet.
    pub(crate) async fn named(
        &self,
        mac: &ManagedAgentCertificate,
    ) -> Result<Option<ManagedAgentCertificate>, ClusterError> {
        let (api, name) = self.at(&mac.metadata);
        match self.read(RESOURCE, || api.get(&name)).await {
            Ok(read) => whole("get", RESOURCE, &mac.metadata, read).map(Some),
            Err(ClusterError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn hold(&self, mac: &ManagedAgentCertificate) -> Result<ManagedAgentCertificate, ClusterError> {
        let with_ours = |finalizers: &mut Vec<String>| finalizers.push(FINALIZER.to_owned());
        let version = mac.resource_version();
        let held = self.change_finalizers(&mac.metadata, version, with_ours).await?;
        whole("patch", RESOURCE, &mac.metadata, held.ok_or(ClusterError::NotFound { verb: "get", resource: RESOURCE })?)
    }

    pub(crate) async fn release(&self, mac: &ManagedAgentCertificate) -> Result<(), ClusterError> {
        self.let_go(&mac.metadata, mac.resource_version()).await
    }

    /// Server-side apply: what we leave out is removed, what others own stays, and the resource version makes it fail
    /// when somebody wrote since we read.
    ///
    /// Of what others wrote where we write nothing, an apply leaves at least their part, and a condition that is left in part is
    /// not valid. It is taken away once, before it stands beside what is written where that is known, and else after.
    pub(crate) async fn write_status(
        &self,
        mac: &ManagedAgentCertificate,
        status: &ManagedAgentCertificateStatus,
    ) -> Result<ManagedAgentCertificate, ClusterError> {
        let mut mac = Cow::Borrowed(mac);
        if let Some(patch) = written::unapplied_conditions(status, mac.status.as_ref()) {
            mac = Cow::Owned(self.take_away(&mac, &patch).await?);
        }
        let applied = match self.apply_status(&mac, status).await {
            Err(error @ ClusterError::Status { code: 422, .. }) => {
                let patch = written::left_conditions(status, mac.status.as_ref()).ok_or(error)?;
                mac = Cow::Owned(self.take_away(&mac, &patch).await?);
                self.apply_status(&mac, status).await?
            }
            applied => applied?,
        };
        match written::leftovers(status, applied.status.as_ref()) {
            Some(patch) => self.take_away(&applied, &patch).await,
            None => Ok(applied),
        }
    }

    async fn apply_status(
        &self,
        mac: &ManagedAgentCertificate,
        status: &ManagedAgentCertificateStatus,
    ) -> Result<ManagedAgentCertificate, ClusterError> {
        let patch = json!({
            "apiVersion": ManagedAgentCertificate::api_version(&()),
            "kind": ManagedAgentCertificate::kind(&()),
            "metadata": {"name": mac.name_any(), "namespace": mac.namespace(), "resourceVersion": mac.resource_version()},
            "status": status,
        });
        let (api, name) = self.at(&mac.metadata);
        let params = PatchParams::apply(MANAGER).force();
        let applied = self.call("patch", STATUS, api.patch_status(&name, &params, &Patch::Apply(&patch))).await?;
        whole("patch", STATUS, &mac.metadata, applied)
    }

    /// A merge patch of the status, whoever owns what it takes away.
    async fn take_away(
        &self,
        mac: &ManagedAgentCertificate,
        status: &Value,
    ) -> Result<ManagedAgentCertificate, ClusterError> {
        let patch = json!({"metadata": {"resourceVersion": mac.resource_version()}, "status": status});
        let (api, name) = self.at(&mac.metadata);
        let written = self.call("patch", STATUS, api.patch_status(&name, &merging(), &Patch::Merge(&patch))).await?;
        whole("patch", STATUS, &mac.metadata, written)
    }

    /// Releases an object of which only the metadata could be read.
    pub(crate) async fn release_unread(&self, seen: &Unreadable) -> Result<(), ClusterError> {
        self.let_go(&seen.metadata, None).await
    }

    async fn let_go(&self, seen: &ObjectMeta, version: Option<String>) -> Result<(), ClusterError> {
        let released = self.change_finalizers(seen, version, without_ours).await;
        released.map(|_| ()).map_err(|error| error.on_release(seen))
    }

    /// The whole list is read first, because no more than our own finalizer is kept of one. `version` is the one that the change
    /// was decided on; without it, any will do. Nothing where the object is gone, or where another has its name by now.
    async fn change_finalizers(
        &self,
        seen: &ObjectMeta,
        version: Option<String>,
        change: impl FnOnce(&mut Vec<String>),
    ) -> Result<Option<Watched>, ClusterError> {
        let (api, name) = self.at(seen);
        let get = || async {
            let request = Request::new(api.resource_url()).get(&name, &GetParams::default());
            self.client.request::<Held>(request.map_err(kube::Error::BuildRequest)?).await
        };
        let Held { metadata: HeldMetadata { uid, resource_version, finalizers } } = match self.read(RESOURCE, get).await
        {
            Err(ClusterError::NotFound { .. }) => return Ok(None),
            read => read?,
        };
        if uid != seen.uid {
            return Ok(None);
        }
        let Some(mut finalizers) = finalizers.map_or_else(|| Some(Vec::new()), |list| list.0) else {
            let message = TOO_MANY.to_owned();
            return Err(ClusterError::Unreadable { verb: "get", resource: RESOURCE, message });
        };
        change(&mut finalizers);
        let version = version.or(resource_version);
        let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": version}});
        match self.call("patch", RESOURCE, api.patch(&name, &merging(), &Patch::Merge(&patch))).await {
            Ok(written) => Ok(Some(written)),
            Err(ClusterError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the conditions of an object that could not be read, and leaves the rest of its status as it is.
    pub(crate) async fn write_conditions(
        &self,
        Unreadable { metadata, .. }: &Unreadable,
        conditions: &[Value],
    ) -> Result<(), ClusterError> {
        let patch = json!({
            "metadata": {"resourceVersion": metadata.resource_version},
            "status": {"conditions": conditions, "observedGeneration": metadata.generation},
        });
        let (api, name) = self.at(metadata);
        self.call("patch", STATUS, api.patch_status(&name, &merging(), &Patch::Merge(&patch))).await.map(|_| ())
    }

    /// Whatever the API server answers of an object, no more of it is kept than of one of the watch.
    fn at(&self, metadata: &ObjectMeta) -> (Api<Watched>, String) {
        let namespace = metadata.namespace.clone().unwrap_or_default();
        (Api::namespaced(self.client.clone(), &namespace), metadata.name.clone().unwrap_or_default())
    }
}

/// An object that can be read, and is the one that was asked for: orders follow from it.
fn whole(
    verb: &'static str,
    resource: &'static str,
    asked: &ObjectMeta,
    read: Watched,
) -> Result<ManagedAgentCertificate, ClusterError> {
    let wrong = |message: String| ClusterError::Unreadable { verb, resource, message };
    let mac = read.0.map_err(|unreadable| wrong(unreadable.why))?;
    let is_asked = mac.metadata.name == asked.name && mac.metadata.namespace == asked.namespace;
    if is_asked { Ok(mac) } else { Err(wrong("it is another object than the one that was asked for".to_owned())) }
}

fn without_ours(finalizers: &mut Vec<String>) {
    finalizers.retain(|finalizer| finalizer != FINALIZER);
}

fn merging() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() }
}

impl Resource for Watched {
    type DynamicType = ();
    type Scope = <ManagedAgentCertificate as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        ManagedAgentCertificate::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        ManagedAgentCertificate::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        ManagedAgentCertificate::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        ManagedAgentCertificate::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(mac) => &mut mac.metadata,
            Err(unreadable) => &mut unreadable.metadata,
        }
    }
}
