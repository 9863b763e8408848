//! What decisions need to know of Secrets, read at a bounded rate.
//!
//! Only names that a resource gives are read, one at a time: the operator can neither list nor watch Secrets. Whether a Secret
//! is for a resource is judged before anything that stands in it is told, to the resource or to a metric.

use jiff::Timestamp;
use kagiban_crds::MAX_PASSWORD_BYTES;
use kagiban_crds::resource::{BlockedBy, SecretKeyRef};
use secrecy::SecretString;

use crate::certificate::{self, Authority, IssuerError, IssuerFacts};
use crate::cluster::{Cluster, SecretData};
use crate::decide::{Obstacle, PasswordVersion, References, Resource};
use crate::grant::{Grant, Purpose, unread};
use crate::kept::{Kept, SecretKey, Taken};
use crate::metrics::SharedMetrics;
use crate::passwords::PasswordVersions;

/// Issuers remembered at once: a namespace has a few.
const MAX_ISSUERS: usize = 1024;
/// Passwords remembered at once: a fleet may have one for each host.
const MAX_PASSWORDS: usize = 4 * 1024;

/// Reads what decisions need of the Secrets that resources name.
#[derive(Debug)]
pub(crate) struct ReferenceReader {
    cluster: Cluster,
    metrics: SharedMetrics,
    issuers: Kept<Issuer>,
    passwords: Kept<Password>,
    versions: PasswordVersions,
}

#[derive(Debug)]
struct Issuer {
    grant: Grant,
    facts: Result<IssuerFacts, Obstacle>,
    /// The earliest end in its chain, past or not.
    end: Option<Timestamp>,
}

#[derive(Debug)]
struct Password {
    grant: Grant,
    version: Result<PasswordVersion, Obstacle>,
}

/// How old what is used of a Secret may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// Read a while ago at most.
    Kept,
    /// Read after it was asked for.
    Anew,
}

impl ReferenceReader {
    pub(crate) fn new(cluster: Cluster, metrics: SharedMetrics) -> Self {
        Self {
            cluster,
            metrics,
            issuers: Kept::new(MAX_ISSUERS),
            passwords: Kept::new(MAX_PASSWORDS),
            versions: PasswordVersions::new(MAX_PASSWORDS),
        }
    }

    pub(crate) async fn read(&self, resource: &Resource, age: Age) -> References {
        References { issuer: Some(self.issuer(resource, age).await), password: self.password(resource, age).await }
    }

    async fn issuer(&self, resource: &Resource, age: Age) -> Result<IssuerFacts, Obstacle> {
        let key = key(resource, &resource.spec.issuer_ref.name);
        let read = self.read_issuer(&key.0, &key.1);
        let judge = |issuer: &Issuer| {
            issuer.grant.may_issue(resource)?;
            if let Some(end) = issuer.end {
                // of one that has ended too: that is what it is watched for
                self.metrics.issuer_not_after(&key.0, &key.1, end);
            }
            issuer.facts.clone()
        };
        match age {
            Age::Kept => self.issuers.get(key.clone(), read, judge).await,
            Age::Anew => self.issuers.anew(key.clone(), read, judge).await,
        }
    }

    async fn password(&self, resource: &Resource, age: Age) -> Option<Result<PasswordVersion, Obstacle>> {
        let reference = resource.spec.keystore.password_secret_ref.as_ref()?;
        let read = self.read_password(&resource.namespace, reference);
        let judge = |password: &Password| {
            password.grant.may_be_sent(resource)?;
            Ok(self.versions.as_heard(&resource.uid, password.version.clone()?))
        };
        let key = password_key(&resource.namespace, reference);
        Some(match age {
            Age::Kept => self.passwords.get(key, read, judge).await,
            Age::Anew => self.passwords.anew(key, read, judge).await,
        })
    }

    /// The password that a resource names, if it may be sent to its host, and which one it is.
    pub(crate) async fn password_to_send(
        &self,
        resource: &Resource,
        reference: &SecretKeyRef,
    ) -> Result<(SecretString, PasswordVersion), Obstacle> {
        let namespace = &resource.namespace;
        let read = granted(&self.cluster, namespace, &reference.name, Purpose::KeystorePassword, |secret, grant| {
            grant.may_be_sent(resource)?;
            self.password_in(&secret, namespace, reference)
        });
        read.await.result
    }

    /// The resource's host has said whether the password that went by `then` is the one that was read as `now`.
    pub(crate) fn heard(&self, resource: &Resource, then: &str, now: &PasswordVersion, is_same: bool) {
        self.versions.heard(&resource.uid, then, &now.word, is_same);
    }

    /// The resource has changed: see [`Kept::asked_for`].
    pub(crate) async fn asked_for(&self, resource: &Resource) {
        self.issuers.asked_for(&key(resource, &resource.spec.issuer_ref.name)).await;
        if let Some(reference) = &resource.spec.keystore.password_secret_ref {
            self.passwords.asked_for(&password_key(&resource.namespace, reference)).await;
        }
    }

    /// Nothing of what its host has said is needed any more.
    pub(crate) fn forget(&self, uid: &str) {
        self.versions.forget(uid);
    }

    async fn read_issuer(&self, namespace: &str, name: &str) -> Taken<Issuer> {
        let read = granted(&self.cluster, namespace, name, Purpose::Issuer, |secret, grant| {
            let facts = signer(&secret, name, Timestamp::now()).map(Authority::into_facts);
            let end = secret.bytes("tls.crt").and_then(certificate::chain_end);
            Ok(Issuer { grant, facts, end })
        });
        read.await
    }

    /// Judges all of it, so that nothing is begun with a host that cannot be sent a password. What is kept is not secret.
    async fn read_password(&self, namespace: &str, reference: &SecretKeyRef) -> Taken<Password> {
        let read = granted(&self.cluster, namespace, &reference.name, Purpose::KeystorePassword, |secret, grant| {
            let version = self.password_in(&secret, namespace, reference).map(|(_, version)| version);
            Ok(Password { grant, version })
        });
        read.await
    }

    fn password_in(
        &self,
        secret: &SecretData,
        namespace: &str,
        reference: &SecretKeyRef,
    ) -> Result<(SecretString, PasswordVersion), Obstacle> {
        let missing = || {
            let message = format!(
                "Secret {}: it has no password under {}, a line of text in at most {MAX_PASSWORD_BYTES} bytes",
                reference.name, reference.key
            );
            Obstacle::new(BlockedBy::SecretUnavailable, message)
        };
        let password = secret.password(&reference.key).ok_or_else(missing)?;
        let version = self.versions.of(&password_key(namespace, reference), &password, secret.written());
        Ok((password, version))
    }
}

/// What is made of a Secret and of whom it is for, if it says that it is for this use.
pub(crate) async fn granted<T>(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    purpose: Purpose,
    make: impl FnOnce(SecretData, Grant) -> Result<T, Obstacle>,
) -> Taken<T> {
    match cluster.secret(namespace, name).await {
        Ok(secret) => {
            let bytes = secret.size();
            let grant = Grant::read(secret.claims(), purpose).map_err(Obstacle::from);
            Taken { result: grant.and_then(|grant| make(secret, grant)), bytes }
        }
        Err(error) => Err(unread(name, namespace, purpose, &error)).into(),
    }
}

/// The CA in an issuer's Secret, if it can sign.
pub(crate) fn signer(secret: &SecretData, name: &str, now: Timestamp) -> Result<Authority, Obstacle> {
    let value = |key| secret.bytes(key).ok_or(IssuerError::MissingKey(key));
    value("tls.crt")
        .and_then(|certificate| Authority::read(certificate, value("tls.key")?, now))
        .map_err(|error| Obstacle::of_issuer(name, &error))
}

/// One Secret may hold several passwords.
fn password_key(namespace: &str, reference: &SecretKeyRef) -> SecretKey {
    (namespace.to_owned(), format!("{}/{}", reference.name, reference.key))
}

pub(crate) fn key(resource: &Resource, secret: &str) -> SecretKey {
    (resource.namespace.clone(), secret.to_owned())
}
