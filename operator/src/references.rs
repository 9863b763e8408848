//! What decisions need to know of Secrets, read at a bounded rate.
//!
//! Only names that a resource gives are read, one at a time: the operator can neither list nor watch Secrets. Whether a Secret
//! is for a resource is judged before anything that stands in it is told, to the resource or to a metric.

use jiff::Timestamp;

use crate::cluster::{Cluster, SecretData};
use crate::decide::{Obstacle, References, Resource};
use crate::grant::{Grant, Purpose, unread};
use crate::issuer::{CaSecret, IssuerError, IssuerFacts};
use crate::kept::{Kept, SecretKey};
use crate::metrics::SharedMetrics;

/// Issuers remembered at once: a namespace has a few.
const MAX_ISSUERS: usize = 1024;
/// Password Secrets remembered at once: a fleet may have one for each host.
const MAX_PASSWORDS: usize = 4 * 1024;

/// Reads what decisions need of the Secrets that resources name.
#[derive(Debug)]
pub(crate) struct ReferenceReader {
    cluster: Cluster,
    metrics: SharedMetrics,
    issuers: Kept<Issuer>,
    passwords: Kept<Password>,
}

#[derive(Debug)]
struct Issuer {
    grant: Grant,
    facts: Result<IssuerFacts, Obstacle>,
}

#[derive(Debug)]
struct Password {
    grant: Grant,
    version: String,
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
        Self { cluster, metrics, issuers: Kept::new(MAX_ISSUERS), passwords: Kept::new(MAX_PASSWORDS) }
    }

    pub(crate) async fn read(&self, resource: &Resource, age: Age) -> References {
        References { issuer: Some(self.issuer(resource, age).await), password: self.password(resource, age).await }
    }

    async fn issuer(&self, resource: &Resource, age: Age) -> Result<IssuerFacts, Obstacle> {
        let key = key(resource, &resource.spec.issuer_ref.name);
        let read = self.read_issuer(&key.0, &key.1);
        let judge = |issuer: &Issuer| {
            issuer.grant.may_issue(resource)?;
            issuer.facts.clone()
        };
        let facts = match age {
            Age::Kept => self.issuers.get(key.clone(), read, judge).await,
            Age::Anew => self.issuers.anew(key.clone(), read, judge).await,
        }?;
        self.metrics.issuer_not_after(&key.0, &key.1, facts.not_after);
        Ok(facts)
    }

    async fn password(&self, resource: &Resource, age: Age) -> Option<Result<String, Obstacle>> {
        let key = key(resource, &resource.spec.keystore.password_secret_ref.as_ref()?.name);
        let read = self.read_password(&key.0, &key.1);
        let judge = |password: &Password| {
            password.grant.may_be_sent(resource)?;
            Ok(password.version.clone())
        };
        Some(match age {
            Age::Kept => self.passwords.get(key.clone(), read, judge).await,
            Age::Anew => self.passwords.anew(key.clone(), read, judge).await,
        })
    }

    async fn read_issuer(&self, namespace: &str, name: &str) -> Result<Issuer, Obstacle> {
        let (secret, grant) = granted(&self.cluster, namespace, name, Purpose::Issuer).await?;
        let facts = signer(&secret, name, Timestamp::now()).map(CaSecret::into_facts);
        Ok(Issuer { grant, facts })
    }

    /// Of its metadata alone: what is secret in it is read when it is sent.
    async fn read_password(&self, namespace: &str, name: &str) -> Result<Password, Obstacle> {
        let purpose = Purpose::KeystorePassword;
        let read = self.cluster.secret_metadata(namespace, name).await;
        let (claims, version) = read.map_err(|error| unread(name, namespace, purpose, &error))?;
        Ok(Password { grant: Grant::read(&claims, purpose)?, version })
    }
}

/// A Secret and whom it is for, if it says that it is for this use.
pub(crate) async fn granted(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    purpose: Purpose,
) -> Result<(SecretData, Grant), Obstacle> {
    let read = cluster.secret(namespace, name).await;
    let secret = read.map_err(|error| unread(name, namespace, purpose, &error))?;
    let grant = Grant::read(secret.claims(), purpose)?;
    Ok((secret, grant))
}

/// The CA in an issuer's Secret, if it can sign.
pub(crate) fn signer(secret: &SecretData, name: &str, now: Timestamp) -> Result<CaSecret, Obstacle> {
    let value = |key| secret.bytes(key).ok_or(IssuerError::MissingKey(key));
    value("tls.crt")
        .and_then(|certificate| CaSecret::read(certificate, value("tls.key")?, now))
        .map_err(|error| error.obstacle(name))
}

pub(crate) fn key(resource: &Resource, secret: &str) -> SecretKey {
    (resource.namespace.clone(), secret.to_owned())
}
