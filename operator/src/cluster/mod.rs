//! Where resources and Secrets are kept, behind one trait: what the operator asks of it and no more.
//!
//! ```text
//!   reconcile ──> resources (watch, read, hold, release, write status), events
//!   issuer, passwords, act ──> Secrets (one named read)
//!   leader ──> the Lease
//!   plan ──> a dry run
//! ```
//!
//! [`kubernetes`] is one; [`standalone`] another, for sites without a cluster. Every call has a deadline of its own.

mod elements;
mod error;
pub mod kubernetes;
mod lease;
pub mod manifest;
mod note;
mod object;
mod rotate_word;
mod secret;
pub mod standalone;
mod tree;
pub mod watch;
mod watched;
pub(crate) mod written;

pub use error::ClusterError;
pub use lease::Lease;
pub use object::{claim, object};
pub(crate) use object::{is_name, key_of};
pub(crate) use rotate_word::rotate_word;
pub use secret::{SecretClaims, SecretData};
pub use watched::{Unreadable, Watched};

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use kagiban_crds::resource::{ManagedAgentCertificate, ManagedAgentCertificateStatus};
use serde_json::Value;

use crate::decide;
use crate::freshness::Freshness;
use watch::{Event, WatchError};

/// What comes back from it, in time.
pub type ClusterFuture<'a, T> = BoxFuture<'a, Result<T, ClusterError>>;

/// As it is handed around.
pub type SharedCluster = Arc<dyn Cluster>;

/// A place where resources are kept. A write carries the version that was read, and is a conflict if that is not the last one.
pub trait Cluster: fmt::Debug + Send + Sync {
    /// Who writes events and leases: one per process.
    fn identity(&self) -> &str;

    /// All resources, or those of one namespace: as they are, and then as they change.
    fn watch(&self, namespace: Option<&str>, freshness: Freshness) -> BoxStream<'static, Result<Event, WatchError>>;

    /// Whether the resources can be listed at all.
    fn can_list<'a>(&'a self, namespace: Option<&'a str>) -> ClusterFuture<'a, ()>;

    /// The resource of this name as it is, whatever its uid; never from a cache.
    fn named<'a>(&'a self, mac: &'a ManagedAgentCertificate) -> ClusterFuture<'a, Option<ManagedAgentCertificate>>;

    /// What would become of a manifest, if it would be taken. Nothing is written.
    fn dry_run<'a>(&'a self, mac: &'a ManagedAgentCertificate, object: &'a Value) -> ClusterFuture<'a, Watched>;

    /// Puts the finalizer on.
    fn hold<'a>(&'a self, mac: &'a ManagedAgentCertificate) -> ClusterFuture<'a, ManagedAgentCertificate>;

    /// Takes the finalizer off; of one that is gone, that is done.
    fn release<'a>(&'a self, mac: &'a ManagedAgentCertificate) -> ClusterFuture<'a, ()>;

    /// The same, of an object of which only this could be read.
    fn release_unread<'a>(&'a self, seen: &'a Unreadable) -> ClusterFuture<'a, ()>;

    /// What is left out of the status is removed, and what others have written into it stays.
    fn write_status<'a>(
        &'a self,
        mac: &'a ManagedAgentCertificate,
        status: &'a ManagedAgentCertificateStatus,
    ) -> ClusterFuture<'a, ManagedAgentCertificate>;

    /// Writes the conditions of an object that could not be read, and leaves the rest of its status as it is.
    fn write_conditions<'a>(&'a self, seen: &'a Unreadable, conditions: &'a [Value]) -> ClusterFuture<'a, ()>;

    /// Writes an event. One that cannot be written is logged and given up: no rotation waits for it.
    fn tell<'a>(&'a self, mac: &'a ManagedAgentCertificate, told: &'a decide::Event) -> BoxFuture<'a, ()>;

    /// The same, of an object that cannot be read.
    fn tell_unread<'a>(&'a self, seen: &'a Unreadable, told: &'a decide::Event) -> BoxFuture<'a, ()>;

    /// A Secret by its name; there is no list of them.
    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> ClusterFuture<'a, SecretData>;

    /// The Lease that leaders hold.
    fn lease<'a>(&'a self, namespace: &'a str, name: &'a str) -> ClusterFuture<'a, Option<Lease>>;

    /// Creates it, or replaces it if it has a version.
    fn put_lease<'a>(&'a self, namespace: &'a str, name: &'a str, lease: &'a Lease) -> ClusterFuture<'a, Lease>;
}

impl dyn Cluster {
    /// The very object as it is, and `None` when it is gone or another object has its name.
    pub(crate) async fn fresh(
        &self,
        seen: &ManagedAgentCertificate,
    ) -> Result<Option<ManagedAgentCertificate>, ClusterError> {
        Ok(self.named(seen).await?.filter(|mac| mac.metadata.uid == seen.metadata.uid))
    }
}
