//! The whole loop, with its election, while the API server stalls for longer than a Lease lives.

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kagiban_crds::Epoch;
use kagiban_operator::act::AgentClient;
use kagiban_operator::agent_api::Reach;
use kagiban_operator::cluster::SharedCluster;
use kagiban_operator::cluster::kubernetes::{Kubernetes, watch};
use kagiban_operator::cluster::watch::Event;
use kagiban_operator::controller;
use kagiban_operator::decide::Policy;
use kagiban_operator::fleet::{Fleet, FleetChange};
use kagiban_operator::freshness::Freshness;
use kagiban_operator::health::Health;
use kagiban_operator::leader::{Election, Leadership};
use kagiban_operator::ledger::Ledger;
use kagiban_operator::metrics::Metrics;
use kagiban_operator::reconcile::Context;
use kagiban_operator::schedule::Schedule;
use support::cluster::FakeCluster;
use support::host::Host;
use support::pki::Authority;
use support::{fleet, lock};
use tokio_util::sync::CancellationToken;

const RESYNC: Duration = Duration::from_secs(2);
/// Longer than a leader may act without a renewal.
const STALL: Duration = Duration::from_secs(14);
/// Rounds of the election and looks on a machine that does something else too.
const PATIENCE: Duration = Duration::from_secs(60);

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn context(
    cluster: SharedCluster,
    leadership: Leadership,
    resync: Duration,
    stopping: CancellationToken,
) -> Arc<Context> {
    let metrics = Arc::new(Metrics::new(None));
    let reach = Reach::new(vec!["127.0.0.0/8".parse().expect("a range")], Vec::new());
    Arc::new(Context {
        agents: AgentClient::new(cluster.clone(), metrics.clone(), reach),
        cluster,
        fleet: Arc::new(Fleet::default()),
        ledger: Ledger::default(),
        leadership,
        policy: Policy { resync, ..Policy::default() },
        metrics,
        stopping,
    })
}

/// Holds B9: whoever waits for a resource whose deletion the watch has not shown is looked at as soon as a pass has found it gone,
/// and not only after its resync.
#[tokio::test]
async fn whoever_was_in_conflict_with_one_that_is_found_gone_is_looked_at_within_seconds() {
    let cluster = FakeCluster::start().await;
    let mutual = Authority::new("mutual");
    let host = Host::start(&mutual, mutual.server()).await;
    // The one that waits is told of its rival before that one has been looked at
    lock(&host.state).delay = Duration::from_secs(1);
    fleet::secrets(&cluster, &mutual, &Authority::new("fleet"));
    let gone = fleet::resource(&format!("https://{}", host.address));
    let mut gone = serde_json::to_value(gone).expect("plain data");
    gone["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    gone["status"] = serde_json::json!({"observedGeneration": 1});
    let mut waits = gone.clone();
    (waits["metadata"]["name"], waits["metadata"]["uid"]) = ("ups-02".into(), "u-2".into());
    waits["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z".into();
    cluster.put(&serde_json::from_value(waits).expect("a resource"));

    let metrics = Arc::new(Metrics::new(None));
    let connection: SharedCluster = Arc::new(Kubernetes::new(cluster.client.clone(), metrics, "test".into()));
    let stopping = CancellationToken::new();
    let resync = Duration::from_secs(3600);
    let context = context(connection, Leadership::alone(Epoch(1)), resync, stopping.clone());
    let (events, shown) = futures::channel::mpsc::unbounded();
    let schedule = Arc::new(Mutex::new(Schedule::new(8, resync, Instant::now())));
    let health = Arc::new(Health::new(false, Instant::now()));
    let run = tokio::spawn(controller::run(shown.map(Ok), schedule, health, context));
    let waits = serde_json::from_value(lock(&cluster.state).mac.clone()).expect("an object");
    let gone = serde_json::from_value(gone).expect("an object");
    for event in [Event::Init, Event::InitApply(gone), Event::InitApply(waits), Event::InitDone] {
        events.unbounded_send(event).expect("the loop runs");
    }
    let blocked_by = || lock(&cluster.state).mac["status"]["blockedBy"].clone();
    eventually("it waits", || blocked_by() == "Conflict").await;
    eventually("it is looked at", || blocked_by() != "Conflict").await;
    stopping.cancel();
    run.await.expect("it ends");
}

/// Holds B1: after a stall in which the Lease ran out and was renewed with the same epoch, everything is looked at again.
/// Holds B9: nothing is begun before all are known who may own an agent.
#[tokio::test]
async fn a_stall_of_the_api_server_orphans_nothing() {
    let cluster = FakeCluster::start().await;
    let mutual = Authority::new("mutual");
    let host = Host::start(&mutual, mutual.server()).await;
    fleet::secrets(&cluster, &mutual, &Authority::new("fleet"));
    cluster.put(&fleet::resource(&format!("https://{}", host.address)));

    let metrics = Arc::new(Metrics::new(None));
    let connection: SharedCluster = Arc::new(Kubernetes::new(cluster.client.clone(), metrics, "test".into()));
    let (election, leadership) = Election::new(connection.clone(), "fleet".into(), "lease".into());
    let closing = CancellationToken::new();
    let stopping = CancellationToken::new();
    let election = tokio::spawn(election.run(closing.clone(), |_| {}));
    let context = context(connection, leadership.clone(), RESYNC, stopping.clone());
    let (events, shown) = futures::channel::mpsc::unbounded();
    let schedule = Arc::new(Mutex::new(Schedule::new(8, RESYNC, Instant::now())));
    let health = Arc::new(Health::new(true, Instant::now()));
    let run = tokio::spawn(controller::run(shown.map(Ok), schedule.clone(), health, context));
    // The watch shows the resource once and then nothing, as one does when nobody changes anything
    let seen = serde_json::from_value(lock(&cluster.state).mac.clone()).expect("an object");
    for event in [Event::Init, Event::InitApply(seen)] {
        events.unbounded_send(event).expect("the loop runs");
    }
    eventually("it leads", || leadership.epoch().is_some()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(lock(&host.state).asked.is_empty(), "the list is not whole: the agent may be another's");
    events.unbounded_send(Event::InitDone).expect("the loop runs");

    eventually("it is rotated", || lock(&host.state).asked.iter().any(|line| line.starts_with("PUT"))).await;
    let epoch = leadership.epoch().expect("it leads");
    let tenure = leadership.tenure().expect("it leads");
    lock(&cluster.state).hang = true;
    tokio::time::sleep(STALL).await;
    assert_eq!(leadership.epoch(), None, "the Lease ran out");
    lock(&cluster.state).hang = false;

    eventually("it leads again", || leadership.epoch().is_some()).await;
    assert_eq!(leadership.epoch(), Some(epoch), "nobody else had the Lease");
    assert!(leadership.tenure() > Some(tenure));
    let before = lock(&host.state).asked.len();
    eventually("the host is looked at again and again", || lock(&host.state).asked.len() >= before + 3).await;
    assert_eq!(lock(&schedule).overdue(Instant::now()), 0);

    stopping.cancel();
    run.await.expect("it ends");
    closing.cancel();
    election.await.expect("it ends");
}

/// Holds B1: after an API server was restored from a backup, a watch that goes on from where it was is answered and shows
/// nothing.
#[tokio::test]
async fn what_a_watch_does_not_show_is_found_by_the_next_list() {
    let cluster = FakeCluster::start().await;
    cluster.put(&fleet::resource("https://127.0.0.1:1"));
    let fleet = Fleet::default();
    let events = watch::watch_listing(
        kube::Api::all(cluster.client.clone()),
        Duration::from_millis(200),
        Freshness::new(Instant::now()),
    );
    tokio::pin!(events);
    let mut list = async || loop {
        let event = events.next().await.expect("a watch does not end").expect("the fake answers");
        let is_whole = matches!(event, Event::InitDone);
        let changes = fleet.apply(event);
        if is_whole || !changes.is_empty() {
            return changes;
        }
    };
    let found = |changes: &[FleetChange]| matches!(changes, [FleetChange::Wakes(_)]);
    assert!(found(&list().await));
    assert!(list().await.is_empty(), "that was all");
    cluster.change(|mac| mac["metadata"]["generation"] = 7.into());
    let again = tokio::time::timeout(PATIENCE, list()).await.expect("there is another list");
    assert!(found(&again), "{again:?}");
}
