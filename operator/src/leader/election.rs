//! The election's loop, and what it tells the rest of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kagiban_crds::Epoch;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::claim::{Claim, EPOCH_ANNOTATION, LEASE_DURATION, RENEW_DEADLINE, RENEW_PERIOD, Seen, claim};
use crate::cluster::{Cluster, ClusterError};

/// One write of the Lease; it must be over well before others may take it.
const WRITE_DEADLINE: Duration = Duration::from_secs(4);

/// Runs for the Lease until told to stop.
#[derive(Debug)]
pub struct Election {
    cluster: Cluster,
    namespace: String,
    name: String,
    tenure: watch::Sender<Option<Tenure>>,
    floor: Arc<AtomicU64>,
}

/// Whether this process may act, and as whom.
#[derive(Clone, Debug)]
pub struct Leadership {
    tenure: watch::Receiver<Option<Tenure>>,
    floor: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tenure {
    epoch: Epoch,
    until: Option<Instant>,
}

impl Leadership {
    /// For a process that is alone by decree: leads for ever.
    pub fn alone(epoch: Epoch) -> Self {
        let (sender, tenure) = watch::channel(Some(Tenure { epoch, until: None }));
        // a receiver keeps the last value when its sender is gone
        drop(sender);
        Self { tenure, floor: Arc::default() }
    }

    /// The epoch to speak with, while this process may act.
    pub fn epoch(&self) -> Option<Epoch> {
        let tenure = (*self.tenure.borrow())?;
        tenure.until.is_none_or(|until| Instant::now() < until).then_some(tenure.epoch)
    }

    /// A host has accepted this epoch; the next renewal goes above it if the Lease is still ours.
    pub(crate) fn outdone_by(&self, epoch: Epoch) {
        self.floor.fetch_max(epoch.0, Ordering::Relaxed);
    }

    /// Returns each time when this process has become the leader.
    pub(crate) async fn acquired(&mut self) {
        loop {
            let before = self.tenure.borrow_and_update().map(|tenure| tenure.epoch);
            if self.tenure.changed().await.is_err() {
                return std::future::pending().await;
            }
            let after = self.tenure.borrow().map(|tenure| tenure.epoch);
            if after.is_some() && after != before {
                return;
            }
        }
    }
}

impl Election {
    pub fn new(cluster: Cluster, namespace: String, name: String) -> (Self, Leadership) {
        let (tenure, receiver) = watch::channel(None);
        let floor = Arc::<AtomicU64>::default();
        let leadership = Leadership { tenure: receiver, floor: floor.clone() };
        (Self { cluster, namespace, name, tenure, floor }, leadership)
    }

    /// Until `stop`; then the Lease is released, so that the next leader need not wait.
    pub async fn run(self, stop: CancellationToken, leading: impl Fn(bool)) {
        let mut seen: Option<Seen> = None;
        let mut waits_for: Option<String> = None;
        loop {
            match self.round(&mut seen).await {
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, "the election's Lease cannot be read or written"),
            }
            let other =
                seen.as_ref().and_then(|seen| seen.holder.clone()).filter(|holder| holder != self.cluster.identity());
            if other != waits_for {
                if let Some(holder) = &other {
                    tracing::info!(holder, "another process holds the Lease; this one waits for it");
                }
                waits_for = other;
            }
            let leads = self.tenure.borrow().is_some_and(|t| t.until.is_none_or(|until| Instant::now() < until));
            leading(leads);
            if !leads {
                self.tenure.send_if_modified(|tenure| tenure.take().is_some());
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(RENEW_PERIOD) => {}
            }
        }
        self.release().await;
        leading(false);
    }

    async fn round(&self, seen: &mut Option<Seen>) -> Result<(), ClusterError> {
        let asked = Instant::now();
        let lease = self.cluster.lease(&self.namespace, &self.name).await?;
        *seen = lease.as_ref().map(|lease| look(lease, seen.take(), asked));
        let floor = Epoch(self.floor.load(Ordering::Relaxed));
        let me = self.cluster.identity();
        let (epoch, taken) = match claim(seen.as_ref(), me, floor, Instant::now(), Timestamp::now()) {
            Claim::Wait => {
                self.tenure.send_if_modified(|tenure| tenure.take().is_some());
                return Ok(());
            }
            Claim::Acquire(epoch) => (epoch, true),
            Claim::Renew(epoch) => (epoch, false),
        };
        // the deadline counts from before the write: the others count from when it lands
        let started = Instant::now();
        let filled = self.filled(lease, epoch, taken);
        let written = self.cluster.put_lease(&self.namespace, &filled);
        match tokio::time::timeout(WRITE_DEADLINE, written).await {
            Ok(Ok(lease)) => *seen = Some(look(&lease, None, started)),
            Ok(Err(ClusterError::Conflict { .. })) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(ClusterError::Timeout { verb: "update", resource: "leases" }),
        }
        if taken {
            tracing::info!(%epoch, identity = me, "this process leads now");
        }
        self.tenure.send_replace(Some(Tenure { epoch, until: Some(started + RENEW_DEADLINE) }));
        Ok(())
    }

    fn filled(&self, lease: Option<Lease>, epoch: Epoch, taken: bool) -> Lease {
        let now = Timestamp::now();
        let mut lease = lease.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            ..Lease::default()
        });
        let annotations = lease.metadata.annotations.get_or_insert_default();
        annotations.insert(EPOCH_ANNOTATION.to_owned(), epoch.to_string());
        let spec = lease.spec.get_or_insert_default();
        if taken {
            spec.acquire_time = Some(MicroTime(now));
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        spec.holder_identity = Some(self.cluster.identity().to_owned());
        spec.lease_duration_seconds = i32::try_from(LEASE_DURATION.as_secs()).ok();
        spec.renew_time = Some(MicroTime(now));
        lease
    }

    /// Best effort: without it the next leader waits for the Lease to run out.
    async fn release(&self) {
        let led = self.tenure.send_replace(None);
        if led.is_none() {
            return;
        }
        let released = async {
            let Some(mut lease) = self.cluster.lease(&self.namespace, &self.name).await? else { return Ok(()) };
            let spec: &mut LeaseSpec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(self.cluster.identity()) {
                return Ok(());
            }
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            self.cluster.put_lease(&self.namespace, &lease).await.map(|_| ())
        };
        match tokio::time::timeout(WRITE_DEADLINE, released).await {
            Ok(Ok(())) => tracing::info!("the Lease was released"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the Lease was not released; the next leader waits for it to run out");
            }
            Err(_) => tracing::warn!("the Lease was not released in time; the next leader waits for it to run out"),
        }
    }
}

/// What was read; unchanged since last time, it is as old as then.
fn look(lease: &Lease, before: Option<Seen>, now: Instant) -> Seen {
    let resource_version = lease.metadata.resource_version.clone().unwrap_or_default();
    let since = before.filter(|seen| seen.resource_version == resource_version).map_or(now, |seen| seen.since);
    let annotations = lease.metadata.annotations.as_ref();
    Seen {
        holder: lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()),
        epoch: annotations.and_then(|a| a.get(EPOCH_ANNOTATION)).and_then(|text| text.parse().ok()).map(Epoch),
        resource_version,
        since,
    }
}
