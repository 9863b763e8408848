//! A CA whose certificate and key lie in a Secret of the resource's namespace: it signs at once.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kagiban_crds::resource::{BlockedBy, IssuerKind, IssuerRef, PushSpec};

use super::{Issuer, IssuerReply, Order};
use crate::certificate::{self, Authority, IssuerError, IssuerFacts};
use crate::cluster::{SecretData, SharedCluster};
use crate::decide::{Obstacle, Resource};
use crate::grant::{Grant, Purpose, granted};
use crate::metrics::SharedMetrics;
use crate::secret_cache::{Age, CachedRead, FailingReads, Keep, SecretCache, key};

/// Issuers remembered at once: a namespace has a few.
const MAX_ISSUERS: usize = 1024;

#[derive(Debug)]
pub(super) struct CaSecret {
    cluster: SharedCluster,
    metrics: SharedMetrics,
    known: SecretCache<CachedIssuer>,
}

/// What is kept of it: nothing that is secret.
#[derive(Debug)]
struct CachedIssuer {
    grant: Grant,
    facts: Result<IssuerFacts, Obstacle>,
    /// The earliest end in its chain, past or not.
    end: Option<Timestamp>,
}

impl Keep for CachedIssuer {}

impl CaSecret {
    pub(super) fn new(cluster: SharedCluster, metrics: SharedMetrics, failing: Arc<FailingReads>) -> Self {
        Self { cluster, metrics, known: SecretCache::new(MAX_ISSUERS, BlockedBy::IssuerUnavailable, failing) }
    }

    async fn read(&self, namespace: &str, named: &IssuerRef) -> CachedRead<CachedIssuer> {
        let read = granted(&*self.cluster, namespace, &named.name, Purpose::Issuer, |secret, grant| {
            let facts = authority(&secret, named, Timestamp::now()).map(Authority::into_facts);
            let end = secret.bytes("tls.crt").and_then(certificate::chain_end);
            Ok(CachedIssuer { grant, facts, end })
        });
        read.await
    }
}

impl Issuer for CaSecret {
    fn kind(&self) -> IssuerKind {
        IssuerKind::CaSecret
    }

    fn secret<'a>(&self, named: &'a IssuerRef) -> Option<&'a str> {
        Some(&named.name)
    }

    fn facts<'a>(
        &'a self,
        resource: &'a Resource,
        push: &'a PushSpec,
        age: Age,
    ) -> BoxFuture<'a, Result<Option<IssuerFacts>, Obstacle>> {
        async move {
            let key = key(resource, &push.issuer_ref.name);
            let read = self.read(&key.0, &push.issuer_ref);
            let judge = |known: &CachedIssuer| {
                known.grant.may_issue(resource, &push.certificate)?;
                if let Some(end) = known.end {
                    // Of one that has ended too: that is what it is watched for
                    self.metrics.issuer_not_after(&key.0, &key.1, end);
                }
                known.facts.clone().map(Some)
            };
            self.known.read(age, key.clone(), read, judge).await
        }
        .boxed()
    }

    fn ask<'a>(&'a self, order: &'a Order<'a>) -> BoxFuture<'a, Result<IssuerReply, Obstacle>> {
        async move {
            let Order { resource, push: PushSpec { certificate, issuer_ref: named, .. }, key, now, .. } = order;
            let read = granted(&*self.cluster, &resource.namespace, &named.name, Purpose::Issuer, |secret, grant| {
                grant.may_issue(resource, certificate)?;
                authority(&secret, named, *now)
            });
            let signed = read.await.result?.sign(key, certificate, *now);
            signed.map(IssuerReply::Issued).map_err(|error| Obstacle::of_issuer(named, &error))
        }
        .boxed()
    }

    fn changed<'a>(&'a self, resource: &'a Resource, push: &'a PushSpec) -> BoxFuture<'a, ()> {
        async move { self.known.asked_for(&key(resource, &push.issuer_ref.name)).await }.boxed()
    }
}

/// The CA in the Secret, if it can sign.
fn authority(secret: &SecretData, named: &IssuerRef, now: Timestamp) -> Result<Authority, Obstacle> {
    let value = |key| secret.bytes(key).ok_or(IssuerError::MissingKey(key));
    value("tls.crt")
        .and_then(|certificate| Authority::read(certificate, value("tls.key")?, now))
        .map_err(|error| Obstacle::of_issuer(named, &error))
}
