//! The election's loop, and what it tells the rest of the process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kagiban_crds::Epoch;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::claim::{
    LEASE_DURATION, LeaseClaim, ObservedLease, RENEW_DEADLINE, RENEW_PERIOD, believable, claim, raised,
};
use crate::cluster::{ClusterError, Lease, SharedCluster};
use crate::fleet::HostKey;
use crate::foreign::told;

/// One write of the Lease; it must be over well before others may take it.
const WRITE_DEADLINE: Duration = Duration::from_secs(4);
/// A host is heard once in this time when it names a higher epoch. One raise suffices; a host that goes on is broken or lies.
const RAISE_INTERVAL: Duration = Duration::from_secs(3600);
/// Hosts that raised the epoch within the interval; when so many did, the others wait for it to pass.
const MAX_RAISERS: usize = 1024;
/// Of them in one namespace, so that whoever writes resources in one does not silence the hosts of others.
const MAX_RAISERS_OF_NAMESPACE: usize = 64;

/// Runs for the Lease until told to stop.
#[derive(Debug)]
pub struct Election {
    cluster: SharedCluster,
    namespace: String,
    name: String,
    tenure: watch::Sender<Option<Tenure>>,
    /// Tenures of this process so far.
    tenures: u64,
    floor: Arc<Floor>,
}

/// Whether this process may act, and as whom.
#[derive(Clone, Debug)]
pub struct Leadership {
    tenure: watch::Receiver<Option<Tenure>>,
    floor: Arc<Floor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tenure {
    /// Grows with each acquisition by this process. The epoch alone does not tell two of them apart: a Lease that ran out
    /// and was renewed before anybody else took it has the epoch that it had.
    number: u64,
    epoch: Epoch,
    until: Option<Instant>,
}

/// The highest epoch that a host has named, and which hosts named one.
#[derive(Debug, Default)]
struct Floor {
    epoch: AtomicU64,
    raised_by: Mutex<HashMap<HostKey, Instant>>,
}

impl Leadership {
    /// For a process that is alone by decree: leads for ever.
    pub fn alone(epoch: Epoch) -> Self {
        let (sender, tenure) = watch::channel(Some(Tenure { number: 1, epoch, until: None }));
        // A receiver keeps the last value when its sender is gone
        drop(sender);
        Self { tenure, floor: Arc::default() }
    }

    /// The epoch to speak with, while this process may act.
    pub fn epoch(&self) -> Option<Epoch> {
        let tenure = self.current()?;
        Some(match tenure.until {
            Some(_) => tenure.epoch,
            // Nobody renews: what hosts have seen is taken up at once
            None => raised(tenure.epoch, self.floor.epoch(), Timestamp::now()),
        })
    }

    /// The number of the tenure that this process has now.
    pub fn tenure(&self) -> Option<u64> {
        self.current().map(|tenure| tenure.number)
    }

    /// Returns when a tenure may have begun or ended. One that runs out by time is only seen by asking.
    pub(crate) async fn changed(&mut self) {
        if self.tenure.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// A host has accepted this epoch; the next renewal goes above it if the Lease is still ours.
    pub(crate) fn outdone_by(&self, host: HostKey, epoch: Epoch) {
        self.floor.raise(host, epoch, Instant::now(), Timestamp::now());
    }

    fn current(&self) -> Option<Tenure> {
        (*self.tenure.borrow()).filter(Tenure::is_in_force)
    }
}

impl Tenure {
    fn is_in_force(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

impl Floor {
    fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Relaxed))
    }

    fn raise(&self, host: HostKey, epoch: Epoch, now: Instant, wall: Timestamp) {
        // One that nobody believes must not hide those that are true.
        if epoch <= self.epoch() || believable(epoch, wall) != epoch {
            return;
        }
        let mut raised_by = self.raised_by.lock().unwrap_or_else(PoisonError::into_inner);
        raised_by.retain(|_, at| now.saturating_duration_since(*at) < RAISE_INTERVAL);
        let of_namespace = raised_by.keys().filter(|other| other.namespace() == host.namespace()).count();
        let is_full = raised_by.len() >= MAX_RAISERS || of_namespace >= MAX_RAISERS_OF_NAMESPACE;
        if is_full || raised_by.contains_key(&host) {
            return;
        }
        tracing::warn!(%host, %epoch, "a host has accepted a higher epoch than this leader's; the next renewal goes above it");
        raised_by.insert(host, now);
        self.epoch.fetch_max(epoch.0, Ordering::Relaxed);
    }
}

impl Election {
    pub fn new(cluster: SharedCluster, namespace: String, name: String) -> (Self, Leadership) {
        let (tenure, receiver) = watch::channel(None);
        let floor = Arc::<Floor>::default();
        let leadership = Leadership { tenure: receiver, floor: floor.clone() };
        (Self { cluster, namespace, name, tenure, tenures: 0, floor }, leadership)
    }

    /// Until `stop`; then the Lease is released, so that the next leader need not wait. `leading` is told after each round.
    pub async fn run(mut self, stop: CancellationToken, leading: impl Fn(bool)) {
        let mut seen: Option<ObservedLease> = None;
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
                    let holder = told(holder);
                    tracing::info!(holder, "another process holds the Lease; this one waits for it");
                }
                waits_for = other;
            }
            let leads = self.tenure.borrow().is_some_and(|tenure| tenure.is_in_force());
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

    async fn round(&mut self, seen: &mut Option<ObservedLease>) -> Result<(), ClusterError> {
        let asked = Instant::now();
        let lease = self.cluster.lease(&self.namespace, &self.name).await?;
        *seen = lease.as_ref().map(|lease| look(lease, seen.take(), asked));
        let floor = self.floor.epoch();
        let me = self.cluster.identity().to_owned();
        let (epoch, taken) = match claim(seen.as_ref(), &me, floor, Instant::now(), Timestamp::now()) {
            LeaseClaim::Wait => {
                self.tenure.send_if_modified(|tenure| tenure.take().is_some());
                return Ok(());
            }
            LeaseClaim::Acquire(epoch) => (epoch, true),
            LeaseClaim::Renew(epoch) => (epoch, false),
        };
        // The deadline counts from before the write: the others count from when it lands
        let started = Instant::now();
        let filled = self.filled(lease, epoch, taken);
        let written = self.cluster.put_lease(&self.namespace, &self.name, &filled);
        match tokio::time::timeout(WRITE_DEADLINE, written).await {
            Ok(Ok(lease)) => *seen = Some(look(&lease, None, started)),
            Ok(Err(ClusterError::Conflict { .. })) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(ClusterError::Timeout { verb: "update", resource: "leases" }),
        }
        let before = (*self.tenure.borrow()).filter(Tenure::is_in_force);
        if before.is_none() {
            self.tenures += 1;
        }
        if taken || before.is_none() {
            tracing::info!(%epoch, tenure = self.tenures, identity = me, "this process leads now");
        }
        let until = Some(started + RENEW_DEADLINE);
        self.tenure.send_replace(Some(Tenure { number: self.tenures, epoch, until }));
        Ok(())
    }

    fn filled(&self, lease: Option<Lease>, epoch: Epoch, taken: bool) -> Lease {
        let now = Timestamp::now();
        let mut lease = lease.unwrap_or_default();
        if taken {
            lease.acquired = Some(now);
            lease.transitions = lease.transitions.saturating_add(1);
        }
        let holder = Some(self.cluster.identity().to_owned());
        Lease { holder, epoch: Some(epoch), duration: LEASE_DURATION, renewed: Some(now), ..lease }
    }

    /// Best effort: without it the next leader waits for the Lease to run out.
    async fn release(&self) {
        let led = self.tenure.send_replace(None);
        if led.is_none() {
            return;
        }
        let released = async {
            let Some(mut lease) = self.cluster.lease(&self.namespace, &self.name).await? else { return Ok(()) };
            if lease.holder.as_deref() != Some(self.cluster.identity()) {
                return Ok(());
            }
            (lease.holder, lease.duration) = (None, Duration::from_secs(1));
            self.cluster.put_lease(&self.namespace, &self.name, &lease).await.map(|_| ())
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
fn look(lease: &Lease, before: Option<ObservedLease>, now: Instant) -> ObservedLease {
    let version = lease.version.clone().unwrap_or_default();
    let since = before.filter(|seen| seen.resource_version == version).map_or(now, |seen| seen.since);
    ObservedLease { holder: lease.holder.clone(), epoch: lease.epoch, resource_version: version, since }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds B8: one host that names higher and higher epochs is heard once an hour, and stops no other from being heard.
    #[test]
    fn a_host_raises_the_epoch_once_an_hour() {
        let floor = Floor::default();
        let now = Instant::now();
        for epoch in 5..100 {
            floor.raise(HostKey::new("fleet", "https://liar"), Epoch(epoch), now, Timestamp::now());
        }
        assert_eq!(floor.epoch(), Epoch(5));
        floor.raise(HostKey::new("fleet", "https://other"), Epoch(7), now, Timestamp::now());
        assert_eq!(floor.epoch(), Epoch(7));
        floor.raise(HostKey::new("fleet", "https://liar"), Epoch(9), now + RAISE_INTERVAL, Timestamp::now());
        assert_eq!(floor.epoch(), Epoch(9));
    }

    /// Holds B8: an epoch that is too high to be believed does not keep a true one from being heard.
    #[test]
    fn a_host_that_lies_of_its_epoch_hides_no_other() {
        let floor = Floor::default();
        let (now, wall) = (Instant::now(), Timestamp::now());
        floor.raise(HostKey::new("fleet", "https://liar"), Epoch(9_000_000_000_000_000_000), now, wall);
        assert_eq!(floor.epoch(), Epoch(0));
        floor.raise(HostKey::new("fleet", "https://honest"), Epoch(7), now, wall);
        assert_eq!(floor.epoch(), Epoch(7));
    }

    /// Holds B8: a namespace with many URLs does not keep another one's hosts from being heard.
    #[test]
    fn no_namespace_takes_all_places_of_those_who_raise_the_epoch() {
        let floor = Floor::default();
        let now = Instant::now();
        for number in 0..2000 {
            floor.raise(HostKey::new("theirs", &format!("https://{number}")), Epoch(number + 1), now, Timestamp::now());
        }
        assert_eq!(floor.epoch(), Epoch(64));
        floor.raise(HostKey::new("fleet", "https://a"), Epoch(5000), now, Timestamp::now());
        assert_eq!(floor.epoch(), Epoch(5000));
    }
}
