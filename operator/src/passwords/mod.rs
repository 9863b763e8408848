//! The passwords that resources name: which one each is, for decisions, and what it is, for its host.

mod digests;
mod versions;

use std::sync::Arc;

use kagiban_crds::MAX_PASSWORD_BYTES;
use kagiban_crds::resource::{BlockedBy, Procedure, SecretKeyRef};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::cluster::SharedCluster;
use crate::decide::{Obstacle, PasswordVersion, Resource};
use crate::grant::{Grant, Purpose, granted};
use crate::secret_cache::{Age, CachedRead, FailingReads, Keep, SecretCache, SecretKey, key};
use digests::Digests;
use versions::{PasswordVersions, ReadPassword};

/// Secrets, and passwords, remembered at once: a fleet may have one for each host.
const MAX_PASSWORDS: usize = 4 * 1024;
/// What is kept of a Secret that takes a place of its own there: of all of them together, a mebibyte.
const PLACE_BYTES: usize = 256;

/// Reads the passwords that resources name.
#[derive(Debug)]
pub(crate) struct PasswordReader {
    cluster: SharedCluster,
    secrets: SecretCache<Passwords>,
    versions: PasswordVersions,
}

/// What is kept of a Secret, of which one read answers for all its keys: nothing that is secret.
#[derive(Debug)]
struct Passwords {
    grant: Grant,
    digests: Digests,
    /// By the API server's record.
    written: String,
    /// When the read began.
    began: Instant,
}

impl Keep for Passwords {
    fn places(&self) -> usize {
        self.digests.size() / PLACE_BYTES
    }
}

impl PasswordReader {
    pub(crate) fn new(cluster: SharedCluster, failing: Arc<FailingReads>) -> Self {
        let secrets = SecretCache::new(MAX_PASSWORDS, BlockedBy::SecretUnavailable, failing);
        Self { cluster, secrets, versions: PasswordVersions::new(MAX_PASSWORDS) }
    }

    /// Which password the keystore is to have, if the resource names one.
    pub(crate) async fn password(&self, resource: &Resource, age: Age) -> Option<Result<PasswordVersion, Obstacle>> {
        let reference = named(resource)?;
        let read = self.read_passwords(&resource.namespace, &reference.name);
        let judge = |found: &Passwords| {
            found.grant.may_be_sent(resource)?;
            let digest = found.digests.of(&reference.key).ok_or_else(|| missing(reference))?;
            let key = password_key(&resource.namespace, reference);
            Ok(self.as_heard(resource, &self.versions.of(&key, digest, &found.written, found.began)))
        };
        Some(self.secrets.read(age, key(resource, &reference.name), read, judge).await)
    }

    /// The password that a resource names, if it may be sent to its host, and which one it is.
    pub(crate) async fn password_to_send(
        &self,
        resource: &Resource,
        reference: &SecretKeyRef,
    ) -> Result<(SecretString, ReadPassword), Obstacle> {
        let (namespace, began) = (&resource.namespace, Instant::now());
        let read = granted(&*self.cluster, namespace, &reference.name, Purpose::KeystorePassword, |secret, grant| {
            grant.may_be_sent(resource)?;
            let password = secret.password(&reference.key).ok_or_else(|| missing(reference))?;
            let digest = self.versions.digest(&password);
            let read = self.versions.of(&password_key(namespace, reference), digest, secret.written(), began);
            // Another read that began later may have found another one already
            let is_same = read.digest() == digest;
            is_same.then_some((password, read)).ok_or_else(|| changed_meanwhile(reference))
        });
        read.await.result
    }

    /// The resource's host has said whether the password that went by `then` is the one that was read.
    pub(crate) fn heard(&self, resource: &Resource, then: &str, read: &ReadPassword, is_same: bool) {
        self.versions.heard((&resource.namespace, &resource.uid), then, read, is_same);
    }

    fn as_heard(&self, resource: &Resource, read: &ReadPassword) -> PasswordVersion {
        let leaf = resource.status.leaf.as_ref().and_then(|leaf| leaf.password_version.as_deref());
        let rotation = resource.status.rotation.as_ref().and_then(|rotation| rotation.password_version.as_deref());
        let in_status: Vec<_> = leaf.into_iter().chain(rotation.filter(|word| Some(*word) != leaf)).collect();
        self.versions.as_heard((&resource.namespace, &resource.uid), &in_status, read)
    }

    /// The resource has changed: see [`SecretCache::asked_for`].
    pub(crate) async fn asked_for(&self, resource: &Resource) {
        if let Some(reference) = named(resource) {
            self.secrets.asked_for(&key(resource, &reference.name)).await;
        }
    }

    /// Nothing of what its host has said is needed any more.
    pub(crate) fn forget(&self, namespace: &str, uid: &str) {
        self.versions.forget((namespace, uid));
    }

    /// Reads all of it, so that nothing is begun with a host that cannot be sent a password, and for all who name one of it.
    async fn read_passwords(&self, namespace: &str, name: &str) -> CachedRead<Passwords> {
        let began = Instant::now();
        let read = granted(&*self.cluster, namespace, name, Purpose::KeystorePassword, |secret, grant| {
            let digests = Digests::of_all(&secret, |password| self.versions.digest(password));
            Ok(Passwords { grant, digests, written: secret.written().to_owned(), began })
        });
        read.await
    }
}

fn missing(reference: &SecretKeyRef) -> Obstacle {
    let message = format!(
        "Secret {}: it has no password under {}, a line of text in at most {MAX_PASSWORD_BYTES} bytes",
        reference.name, reference.key
    );
    Obstacle::new(BlockedBy::SecretUnavailable, message)
}

fn changed_meanwhile(reference: &SecretKeyRef) -> Obstacle {
    let message = format!("Secret {}: it was changed while it was read", reference.name);
    Obstacle::new(BlockedBy::SecretUnavailable, message)
}

/// The password that a resource names. Only where a keystore is written is there one.
fn named(resource: &Resource) -> Option<&SecretKeyRef> {
    match &resource.spec.procedure {
        Procedure::Push(push) => push.keystore.password_secret_ref.as_ref(),
        Procedure::Trigger { .. } | Procedure::Repair(_) => None,
    }
}

/// One Secret may hold several passwords.
fn password_key(namespace: &str, reference: &SecretKeyRef) -> SecretKey {
    (namespace.to_owned(), format!("{}/{}", reference.name, reference.key))
}
