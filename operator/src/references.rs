//! What decisions need to know of Secrets, read at a bounded rate: one read for all who ask at once, kept for a while, and a
//! failure for a shorter while.
//!
//! Only names that a resource gives are read, one at a time: the operator can neither list nor watch Secrets.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::resource::BlockedBy;
use tokio::time::Instant;

use crate::act::may_issue;
use crate::cluster::{Cluster, unread_secret};
use crate::decide::{Obstacle, References, Resource};
use crate::grant::{Grant, Purpose};
use crate::issuer::{IssuerError, IssuerFacts};
use crate::metrics::SharedMetrics;

/// How long what was read is used. A new CA or password is drift, and drift is acted on at the next look at the host anyway.
const KEPT: Duration = Duration::from_secs(30);
/// How long a failure is used: shorter than the wait of those who look for the Secret again.
const FAILURE_KEPT: Duration = Duration::from_secs(2);
/// For each Secret that cannot be read, failures are kept for so much longer: fifty reads a second in all are the most.
const FAILURE_SHARE: Duration = Duration::from_millis(20);
/// Secrets remembered at once; beyond this the memory starts anew.
const MAX_KEPT: usize = 16 * 1024;

/// Namespace and name.
type SecretName = (String, String);

/// Reads what decisions need of the Secrets that resources name.
#[derive(Debug)]
pub(crate) struct ReferenceReader {
    cluster: Cluster,
    metrics: SharedMetrics,
    issuers: Kept<(IssuerFacts, Grant)>,
    versions: Kept<Option<String>>,
}

impl ReferenceReader {
    pub(crate) fn new(cluster: Cluster, metrics: SharedMetrics) -> Self {
        Self { cluster, metrics, issuers: Kept::default(), versions: Kept::default() }
    }

    pub(crate) async fn read(&self, resource: &Resource) -> References {
        let name = |name: &str| (resource.namespace.clone(), name.to_owned());
        let issuer = &resource.spec.issuer_ref.name;
        let issuer = self.issuers.get(name(issuer), self.issuer(&resource.namespace, issuer)).await;
        // what a Secret that was not granted says is told to nobody
        let issuer = issuer.and_then(|(facts, grant)| may_issue(&grant, resource).map(|()| facts));
        let password = match &resource.spec.keystore.password_secret_ref {
            None => None,
            Some(secret) => {
                let version = self.version(&resource.namespace, &secret.name);
                self.versions.get(name(&secret.name), version).await.transpose()
            }
        };
        References { issuer: Some(issuer), password }
    }

    async fn issuer(&self, namespace: &str, name: &str) -> Result<(IssuerFacts, Grant), Obstacle> {
        let secret = self.cluster.secret(namespace, name).await;
        let secret = secret
            .map_err(|error| Obstacle::new(BlockedBy::IssuerUnavailable, unread_secret(name, namespace, &error)))?;
        let grant = Grant::read(secret.claims(), Purpose::Issuer)?;
        let facts = secret
            .bytes("tls.crt")
            .ok_or(IssuerError::MissingKey("tls.crt"))
            .and_then(|certificates| IssuerFacts::read(certificates, Timestamp::now()))
            .map_err(|error| error.obstacle(name))?;
        self.metrics.issuer_not_after(namespace, name, facts.not_after);
        Ok((facts, grant))
    }

    async fn version(&self, namespace: &str, name: &str) -> Result<Option<String>, Obstacle> {
        self.cluster
            .password_version(namespace, name)
            .await
            .map_err(|error| Obstacle::new(BlockedBy::SecretUnavailable, unread_secret(name, namespace, &error)))
    }
}

/// What was read last, by the Secret's name.
#[derive(Debug)]
struct Kept<T> {
    slots: Mutex<HashMap<SecretName, Slot<T>>>,
    /// Slots that hold a failure.
    failing: AtomicU32,
}

/// Locked while it is read, so that all who ask for it wait for the same answer.
type Slot<T> = Arc<tokio::sync::Mutex<Option<Read<T>>>>;

#[derive(Debug)]
struct Read<T> {
    at: Instant,
    result: Result<T, Obstacle>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { slots: Mutex::default(), failing: AtomicU32::new(0) }
    }
}

impl<T: Clone> Kept<T> {
    async fn get(&self, name: SecretName, read: impl Future<Output = Result<T, Obstacle>>) -> Result<T, Obstacle> {
        let slot = self.slot(name);
        let mut slot = slot.lock().await;
        if let Some(known) = slot.as_ref().filter(|known| known.at.elapsed() < self.kept_for(known.result.is_ok())) {
            return known.result.clone();
        }
        let result = read.await;
        match (slot.as_ref().is_some_and(|known| known.result.is_err()), result.is_err()) {
            (false, true) => {
                self.failing.fetch_add(1, Ordering::Relaxed);
            }
            (true, false) => {
                self.failing.fetch_sub(1, Ordering::Relaxed);
            }
            (false, false) | (true, true) => {}
        }
        *slot = Some(Read { at: Instant::now(), result: result.clone() });
        result
    }

    fn kept_for(&self, good: bool) -> Duration {
        let failing = self.failing.load(Ordering::Relaxed);
        if good { KEPT } else { FAILURE_KEPT.max(FAILURE_SHARE.saturating_mul(failing)) }
    }

    fn slot(&self, name: SecretName) -> Slot<T> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_KEPT && !slots.contains_key(&name) {
            slots.clear();
            self.failing.store(0, Ordering::Relaxed);
        }
        Arc::clone(slots.entry(name).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SecretName {
        ("fleet".to_owned(), text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_at_once_share_one_read_and_its_failure_is_kept_for_a_moment() {
        let kept = Kept::<u32>::default();
        let reads = AtomicU32::new(0);
        let ask = || {
            kept.get(name("ca"), async {
                reads.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err(Obstacle::new(BlockedBy::IssuerUnavailable, "no such Secret"))
            })
        };
        let answers = futures::future::join_all((0..300).map(|_| ask())).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        tokio::time::advance(FAILURE_KEPT).await;
        let found = kept.get(name("ca"), async { Ok(7) }).await;
        assert_eq!(found, Ok(7), "a corrected Secret is seen");
        assert_eq!(kept.failing.load(Ordering::Relaxed), 0);
        assert_eq!(ask().await, Ok(7), "and kept");
    }

    #[tokio::test(start_paused = true)]
    async fn the_more_secrets_are_missing_the_less_often_each_is_asked_for() {
        let kept = Kept::<u32>::default();
        for number in 0..500 {
            let missing = async { Err(Obstacle::new(BlockedBy::SecretUnavailable, "no such Secret")) };
            let _ = kept.get(name(&number.to_string()), missing).await;
        }
        assert_eq!(kept.kept_for(false), Duration::from_secs(10));
        assert_eq!(kept.kept_for(true), KEPT);
    }
}
