//! A pass without Kubernetes: the cluster is a few maps in memory, with versions and conflicts.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use futures::stream::{self, BoxStream, StreamExt as _};
use kagiban_crds::host_api::{RefusalReason, RotationState};
use kagiban_crds::resource::{BlockedBy, FINALIZER, ManagedAgentCertificate, ManagedAgentCertificateStatus};
use kagiban_operator::cluster::watch::{Event, WatchError};
use kagiban_operator::cluster::{
    Cluster, ClusterError, ClusterFuture, Lease, SecretClaims, SecretData, Unreadable, Watched,
};
use kagiban_operator::decide;
use kagiban_operator::freshness::Freshness;
use kagiban_operator::metrics::Metrics;
use kagiban_operator::reconcile::{Context, pass};
use serde_json::Value;
use support::context::context;
use support::host::{Host, Manner};
use support::pki::Authority;
use support::{fleet, lock};

#[derive(Debug, Default)]
struct Memory {
    resources: Mutex<BTreeMap<String, ManagedAgentCertificate>>,
    secrets: BTreeMap<String, SecretData>,
    told: Mutex<Vec<String>>,
    lease: Mutex<Option<Lease>>,
}

const fn not_found<T>() -> Result<T, ClusterError> {
    Err(ClusterError::NotFound { verb: "get", resource: "memory" })
}

impl Memory {
    /// A write on what was read, if nobody has written since.
    fn write(
        &self,
        read: &ManagedAgentCertificate,
        change: impl FnOnce(&mut ManagedAgentCertificate),
    ) -> Result<ManagedAgentCertificate, ClusterError> {
        let name = read.metadata.name.clone().unwrap_or_default();
        let mut resources = lock(&self.resources);
        let Some(kept) = resources.get_mut(&name) else { return not_found() };
        if kept.metadata.resource_version != read.metadata.resource_version {
            return Err(ClusterError::Conflict { verb: "update", resource: "memory" });
        }
        change(kept);
        let version: u64 = kept.metadata.resource_version.as_deref().and_then(|it| it.parse().ok()).unwrap_or_default();
        kept.metadata.resource_version = Some((version + 1).to_string());
        Ok(kept.clone())
    }

    fn put(&self, mac: ManagedAgentCertificate) {
        lock(&self.resources).insert(mac.metadata.name.clone().unwrap_or_default(), mac);
    }

    fn get(&self, name: &str) -> ManagedAgentCertificate {
        lock(&self.resources).get(name).cloned().expect("it is there")
    }
}

impl Cluster for Memory {
    fn identity(&self) -> &'static str {
        "memory"
    }

    fn watch(&self, _: Option<&str>, _: Freshness) -> BoxStream<'static, Result<Event, WatchError>> {
        let all: Vec<_> =
            lock(&self.resources).values().cloned().map(|mac| Event::InitApply(Watched(Ok(mac)))).collect();
        let events = [Event::Init].into_iter().chain(all).chain([Event::InitDone]);
        stream::iter(events.map(Ok).collect::<Vec<_>>()).chain(stream::pending()).boxed()
    }

    fn can_list<'a>(&'a self, _: Option<&'a str>) -> ClusterFuture<'a, ()> {
        ready(Ok(())).boxed()
    }

    fn named<'a>(&'a self, mac: &'a ManagedAgentCertificate) -> ClusterFuture<'a, Option<ManagedAgentCertificate>> {
        let name = mac.metadata.name.as_deref().unwrap_or_default();
        ready(Ok(lock(&self.resources).get(name).cloned())).boxed()
    }

    fn dry_run<'a>(&'a self, mac: &'a ManagedAgentCertificate, _: &'a Value) -> ClusterFuture<'a, Watched> {
        ready(Ok(Watched(Ok(mac.clone())))).boxed()
    }

    fn hold<'a>(&'a self, mac: &'a ManagedAgentCertificate) -> ClusterFuture<'a, ManagedAgentCertificate> {
        let hold = |mac: &mut ManagedAgentCertificate| mac.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        ready(self.write(mac, hold)).boxed()
    }

    fn release<'a>(&'a self, mac: &'a ManagedAgentCertificate) -> ClusterFuture<'a, ()> {
        ready(self.write(mac, |mac| mac.metadata.finalizers = None).map(|_| ())).boxed()
    }

    fn release_unread<'a>(&'a self, _: &'a Unreadable) -> ClusterFuture<'a, ()> {
        ready(not_found()).boxed()
    }

    fn write_status<'a>(
        &'a self,
        mac: &'a ManagedAgentCertificate,
        status: &'a ManagedAgentCertificateStatus,
    ) -> ClusterFuture<'a, ManagedAgentCertificate> {
        ready(self.write(mac, |mac| mac.status = Some(status.clone()))).boxed()
    }

    fn write_conditions<'a>(&'a self, _: &'a Unreadable, _: &'a [Value]) -> ClusterFuture<'a, ()> {
        ready(not_found()).boxed()
    }

    fn tell<'a>(&'a self, _: &'a ManagedAgentCertificate, told: &'a decide::Event) -> BoxFuture<'a, ()> {
        lock(&self.told).push(told.reason.as_str().to_owned());
        ready(()).boxed()
    }

    fn tell_unread<'a>(&'a self, _: &'a Unreadable, told: &'a decide::Event) -> BoxFuture<'a, ()> {
        lock(&self.told).push(told.reason.as_str().to_owned());
        ready(()).boxed()
    }

    fn secret<'a>(&'a self, _: &'a str, name: &'a str) -> ClusterFuture<'a, SecretData> {
        ready(self.secrets.get(name).cloned().map_or_else(not_found, Ok)).boxed()
    }

    fn lease<'a>(&'a self, _: &'a str, _: &'a str) -> ClusterFuture<'a, Option<Lease>> {
        ready(Ok(lock(&self.lease).clone())).boxed()
    }

    fn put_lease<'a>(&'a self, _: &'a str, _: &'a str, lease: &'a Lease) -> ClusterFuture<'a, Lease> {
        *lock(&self.lease) = Some(lease.clone());
        ready(Ok(lease.clone())).boxed()
    }
}

fn secret(name: &str, purpose: &str, values: &[(&str, &str)]) -> (String, SecretData) {
    let claims = SecretClaims {
        name: name.to_owned(),
        kind: "kubernetes.io/tls".to_owned(),
        purpose: Some(purpose.to_owned()),
        allowed_hosts: Some("ups-01.example.com, 127.0.0.1".to_owned()),
        allowed_clients: Some("fleet-client".to_owned()),
    };
    let values = values.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
    (name.to_owned(), SecretData::new(values, claims, "1".to_owned()))
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// An agent that renews its own certificate, each for 90 days, with ten left, and its resource.
async fn renewing() -> (Host, Arc<Memory>) {
    let mutual = Authority::new("mutual");
    let host = Host::start(&mutual, mutual.server()).await;
    host.renews_its_own(90 * DAY, 10 * DAY);
    let memory = Arc::new(Memory { secrets: [client(&mutual)].into(), ..Memory::default() });
    memory.put(fleet::self_renewing(&format!("https://{}", host.address)));
    (host, memory)
}

async fn passes(count: usize, memory: &Memory, context: &Context) {
    for _ in 0..count {
        pass(&memory.get("ups-01"), context).await.expect("memory answers");
    }
}

/// An agent that renews its own certificate takes one order for it, and needs no Secret but the client's.
#[tokio::test]
async fn a_renewal_is_ordered_once_and_followed_to_what_is_served() {
    let (host, memory) = renewing().await;

    let context = context(memory.clone(), Arc::new(Metrics::new(None)));
    passes(20, &memory, &context).await;
    let rested = memory.get("ups-01");
    let status = rested.status.clone().expect("a status");
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").expect("it says so");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "Verified"));
    let leaf = status.leaf.expect("a leaf");
    assert!(leaf.not_after > jiff::Timestamp::now() + 89 * DAY, "{}", leaf.not_after);
    assert_eq!(*lock(&memory.told), ["Adopted", "RotationStarted", "Verified"]);
    assert_eq!(host.changes(), ["POST /v1/agents/powerchute/renewals"]);
    assert_eq!(lock(&host.state).epochs, [5]);
    let order: Value = serde_json::from_str(&lock(&host.state).bodies).expect("one order");
    let keys: Vec<_> = order.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["agent", "epoch", "generation", "host", "mark"]);

    let seen = pass(&rested, &context).await.expect("memory answers");
    assert_eq!(memory.get("ups-01").metadata.resource_version, rested.metadata.resource_version, "{seen:?}");
}

/// A host that says so has not renewed anything by that, and is not asked again without a pause.
#[tokio::test]
async fn a_renewal_that_a_host_only_claims_is_told_and_waits() {
    let (host, memory) = renewing().await;
    lock(&host.state).own.as_mut().expect("it renews").lies = true;
    let context = context(memory.clone(), Arc::new(Metrics::new(None)));
    passes(20, &memory, &context).await;
    let status = memory.get("ups-01").status.expect("a status");
    assert_eq!(*lock(&memory.told), ["Adopted", "RotationStarted", "OtherLeaf", "BackingOff"]);
    assert_eq!(status.history.first().and_then(|entry| entry.reason.as_deref()), Some("not_later"));
    assert!(status.leaf.is_some_and(|leaf| leaf.not_after < jiff::Timestamp::now() + 11 * DAY));
    assert_eq!(host.changes().len(), 1, "ordered once");
}

/// A host of another class says so, and another leader's order is not repeated under an epoch of before.
#[tokio::test]
async fn a_host_that_renews_nothing_or_obeys_another_says_so() {
    for (own, by) in [(None, BlockedBy::HostRefused), (Some(RefusalReason::StaleEpoch), BlockedBy::HostBusy)] {
        let (host, memory) = renewing().await;
        match own {
            None => lock(&host.state).own = None,
            Some(reason) => lock(&host.state).manner = Manner::Refuse(reason),
        }
        let context = context(memory.clone(), Arc::new(Metrics::new(None)));
        passes(3, &memory, &context).await;
        let status = memory.get("ups-01").status.expect("a status");
        assert_eq!(status.blocked_by, Some(by));
        let rotation = status.rotation.expect("it was ordered");
        assert_eq!((rotation.generation, rotation.state), (1, RotationState::Requested), "and is still to be done");
    }
}

fn client(mutual: &Authority) -> (String, SecretData) {
    let (client, ca) = (mutual.client(), mutual.pem());
    let values = [("tls.crt", client.certificate.as_str()), ("tls.key", &client.key), ("ca.crt", &ca)];
    secret("fleet-client", "client-tls", &values)
}

/// A rotation from its beginning to its end, and then rest.
#[tokio::test]
async fn a_rotation_needs_no_kubernetes() {
    let (mutual, issuer) = (Authority::new("mutual"), Authority::new("fleet"));
    let host = Host::start(&mutual, mutual.server()).await;
    let client = client(&mutual);
    let issuer = secret("fleet-ca", "issuer", &[("tls.crt", &issuer.pem()), ("tls.key", &issuer.key_pem)]);
    let memory = Arc::new(Memory { secrets: [client, issuer].into(), ..Memory::default() });
    memory.put(fleet::resource(&format!("https://{}", host.address)));

    let mut context = context(memory.clone(), Arc::new(Metrics::new(None)));
    context.agents = context.agents.speaking_for(Some("tokyo".parse().expect("a lineage")));
    passes(20, &memory, &context).await;
    let rested = memory.get("ups-01");
    let status = rested.status.clone().expect("a status");
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").expect("it says so");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "Verified"));
    assert_eq!(*lock(&memory.told), ["RotationStarted", "Verified"]);
    assert_eq!(host.changes().len(), 2, "opened once, delivered once");
    assert_eq!(lock(&host.state).bodies.matches(r#""lineage":"tokyo""#).count(), 2, "each order says who speaks");

    let seen = pass(&rested, &context).await.expect("memory answers");
    assert_eq!(memory.get("ups-01").metadata.resource_version, rested.metadata.resource_version, "{seen:?}");
}
