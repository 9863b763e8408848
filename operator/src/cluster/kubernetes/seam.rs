//! Kubernetes as a [`Cluster`]: each call is the one of its name.

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use kagiban_crds::resource::{ManagedAgentCertificate, ManagedAgentCertificateStatus};
use serde_json::Value;

use super::Kubernetes;
use super::watch;
use crate::cluster::watch::{Event, WatchError};
use crate::cluster::{Cluster, ClusterFuture, Lease, SecretData, Unreadable, Watched};
use crate::decide;
use crate::freshness::Freshness;

impl Cluster for Kubernetes {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn watch(&self, namespace: Option<&str>, freshness: Freshness) -> BoxStream<'static, Result<Event, WatchError>> {
        watch::watch(self.watched(namespace), freshness).boxed()
    }

    fn can_list<'a>(&'a self, namespace: Option<&'a str>) -> ClusterFuture<'a, ()> {
        self.can_list(namespace).boxed()
    }

    fn named<'a>(&'a self, mac: &'a ManagedAgentCertificate) -> ClusterFuture<'a, Option<ManagedAgentCertificate>> {
        self.named(mac).boxed()
    }

    fn dry_run<'a>(&'a self, mac: &'a ManagedAgentCertificate, object: &'a Value) -> ClusterFuture<'a, Watched> {
        self.dry_run(mac, object).boxed()
    }

    fn hold<'a>(&'a self, mac: &'a ManagedAgentCertificate) -> ClusterFuture<'a, ManagedAgentCertificate> {
        self.hold(mac).boxed()
    }

    fn release<'a>(&'a self, mac: &'a ManagedAgentCertificate) -> ClusterFuture<'a, ()> {
        self.release(mac).boxed()
    }

    fn release_unread<'a>(&'a self, seen: &'a Unreadable) -> ClusterFuture<'a, ()> {
        self.release_unread(seen).boxed()
    }

    fn write_status<'a>(
        &'a self,
        mac: &'a ManagedAgentCertificate,
        status: &'a ManagedAgentCertificateStatus,
    ) -> ClusterFuture<'a, ManagedAgentCertificate> {
        self.write_status(mac, status).boxed()
    }

    fn write_conditions<'a>(&'a self, seen: &'a Unreadable, conditions: &'a [Value]) -> ClusterFuture<'a, ()> {
        self.write_conditions(seen, conditions).boxed()
    }

    fn tell<'a>(&'a self, mac: &'a ManagedAgentCertificate, told: &'a decide::Event) -> BoxFuture<'a, ()> {
        self.tell(mac, told).boxed()
    }

    fn tell_unread<'a>(&'a self, seen: &'a Unreadable, told: &'a decide::Event) -> BoxFuture<'a, ()> {
        self.tell_unread(seen, told).boxed()
    }

    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> ClusterFuture<'a, SecretData> {
        self.secret(namespace, name).boxed()
    }

    fn lease<'a>(&'a self, namespace: &'a str, name: &'a str) -> ClusterFuture<'a, Option<Lease>> {
        self.lease(namespace, name).boxed()
    }

    fn put_lease<'a>(&'a self, namespace: &'a str, name: &'a str, lease: &'a Lease) -> ClusterFuture<'a, Lease> {
        self.put_lease(namespace, name, lease).boxed()
    }
}
