//! The passwords that resources name: which one each is, for decisions, and what it is, for its host.

mod versions;

use std::sync::Arc;

use kagiban_crds::MAX_PASSWORD_BYTES;
use kagiban_crds::resource::{BlockedBy, Procedure, SecretKeyRef};
use secrecy::SecretString;

use crate::cluster::{SecretData, SharedCluster};
use crate::decide::{Obstacle, PasswordVersion, Resource};
use crate::grant::{Grant, Purpose, granted};
use crate::kept::{Age, FailingReads, SecretCache, SecretKey, Taken};
use versions::{PasswordVersions, ReadPassword};

/// Passwords remembered at once: a fleet may have one for each host.
const MAX_PASSWORDS: usize = 4 * 1024;

/// Reads the passwords that resources name.
#[derive(Debug)]
pub(crate) struct PasswordReader {
    cluster: SharedCluster,
    passwords: SecretCache<Password>,
    versions: PasswordVersions,
}

#[derive(Debug)]
struct Password {
    grant: Grant,
    read: Result<ReadPassword, Obstacle>,
}

impl PasswordReader {
    pub(crate) fn new(cluster: SharedCluster, failing: Arc<FailingReads>) -> Self {
        let passwords = SecretCache::new(MAX_PASSWORDS, BlockedBy::SecretUnavailable, failing);
        Self { cluster, passwords, versions: PasswordVersions::new(MAX_PASSWORDS) }
    }

    /// Which password the keystore is to have, if the resource names one.
    pub(crate) async fn password(&self, resource: &Resource, age: Age) -> Option<Result<PasswordVersion, Obstacle>> {
        let reference = named(resource)?;
        let read = self.read_password(&resource.namespace, reference);
        let judge = |password: &Password| {
            password.grant.may_be_sent(resource)?;
            Ok(self.as_heard(resource, password.read.as_ref().map_err(Obstacle::clone)?))
        };
        let key = password_key(&resource.namespace, reference);
        Some(self.passwords.read(age, key, read, judge).await)
    }

    /// The password that a resource names, if it may be sent to its host, and which one it is.
    pub(crate) async fn password_to_send(
        &self,
        resource: &Resource,
        reference: &SecretKeyRef,
    ) -> Result<(SecretString, ReadPassword), Obstacle> {
        let namespace = &resource.namespace;
        let read = granted(&*self.cluster, namespace, &reference.name, Purpose::KeystorePassword, |secret, grant| {
            grant.may_be_sent(resource)?;
            self.password_in(&secret, namespace, reference)
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
            self.passwords.asked_for(&password_key(&resource.namespace, reference)).await;
        }
    }

    /// Nothing of what its host has said is needed any more.
    pub(crate) fn forget(&self, namespace: &str, uid: &str) {
        self.versions.forget((namespace, uid));
    }

    /// Judges all of it, so that nothing is begun with a host that cannot be sent a password. What is kept is not secret.
    async fn read_password(&self, namespace: &str, reference: &SecretKeyRef) -> Taken<Password> {
        let read = granted(&*self.cluster, namespace, &reference.name, Purpose::KeystorePassword, |secret, grant| {
            let read = self.password_in(&secret, namespace, reference).map(|(_, read)| read);
            Ok(Password { grant, read })
        });
        read.await
    }

    fn password_in(
        &self,
        secret: &SecretData,
        namespace: &str,
        reference: &SecretKeyRef,
    ) -> Result<(SecretString, ReadPassword), Obstacle> {
        let missing = || {
            let message = format!(
                "Secret {}: it has no password under {}, a line of text in at most {MAX_PASSWORD_BYTES} bytes",
                reference.name, reference.key
            );
            Obstacle::new(BlockedBy::SecretUnavailable, message)
        };
        let password = secret.password(&reference.key).ok_or_else(missing)?;
        let read = self.versions.of(&password_key(namespace, reference), &password, secret.written());
        Ok((password, read))
    }
}

/// The password that a resource names. Only where a keystore is written is there one.
fn named(resource: &Resource) -> Option<&SecretKeyRef> {
    match &resource.spec.procedure {
        Procedure::Push(push) => push.keystore.password_secret_ref.as_ref(),
        Procedure::Trigger { .. } => None,
    }
}

/// One Secret may hold several passwords.
fn password_key(namespace: &str, reference: &SecretKeyRef) -> SecretKey {
    (namespace.to_owned(), format!("{}/{}", reference.name, reference.key))
}
