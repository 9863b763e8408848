//! The Lease that leaders hold. Every write carries the resource version it was read with.

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{Api, PostParams};

use super::{ClusterError, Kubernetes, MANAGER};

impl Kubernetes {
    pub(crate) async fn lease(&self, namespace: &str, name: &str) -> Result<Option<Lease>, ClusterError> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        // not tried again here: the election has a rhythm and a deadline of its own
        match self.call("get", "leases", api.get(name)).await {
            Ok(lease) => Ok(Some(lease)),
            Err(ClusterError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates it, or replaces it if it has a resource version.
    pub(crate) async fn put_lease(&self, namespace: &str, lease: &Lease) -> Result<Lease, ClusterError> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        if lease.resource_version().is_some() {
            self.call("update", "leases", api.replace(&lease.name_any(), &params, lease)).await
        } else {
            self.call("create", "leases", api.create(&params, lease)).await
        }
    }
}
