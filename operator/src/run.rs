//! `kagiban-operator run`: puts the parts together and ends them in order.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use kagiban_crds::Epoch;
use kagiban_process::system::{Request, Requests};
use tokio_util::sync::CancellationToken;

use crate::act::AgentClient;
use crate::agent_api::Reach;
use crate::cli::{ReachArgs, RunArgs};
use crate::cluster::SharedCluster;
use crate::cluster::kubernetes::{Kubernetes, client, connect};
use crate::controller::{SharedSchedule, run as work};
use crate::decide::Policy;
use crate::discovery::Discovery;
use crate::fleet::Fleet;
use crate::fleet_series::FleetSeries;
use crate::freshness::Freshness;
use crate::health::Health;
use crate::leader::{Election, Leadership};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::reconcile::Context;
use crate::schedule::Schedule;
use crate::web::{self, Probes};

/// The Lease of an operator for all namespaces.
const LEASE: &str = "kagiban-operator";
/// Between looks whether the resources can be listed; a kubelet asks about as often.
const READINESS_RETRY: Duration = Duration::from_secs(5);

/// Until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start: no cluster, no address to listen on.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let config = connect(&args.cluster).await?;
    let lease_namespace = args.leader_election_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let reach = reach(&args.reach, config.cluster_url.host());
    let client = client(config).context("the cluster's address or credentials cannot be used")?;
    let fleet = Arc::new(Fleet::default());
    let schedule: SharedSchedule = Arc::new(Mutex::new(Schedule::new(args.concurrency, args.resync, Instant::now())));
    let health = Arc::new(Health::new(args.leader_elect, Instant::now()));
    let metrics =
        Arc::new(Metrics::new(Some(Box::new(FleetSeries { fleet: fleet.clone(), schedule: schedule.clone() }))));
    let cluster: SharedCluster = Arc::new(Kubernetes::new(client, metrics.clone(), identity()));
    let events = cluster.watch(args.namespace.as_deref(), metrics.freshness().clone());
    let probes = Probes {
        ready: readiness(cluster.clone(), args.namespace.clone()),
        fault: liveness(health.clone(), schedule.clone(), metrics.freshness().clone()),
    };

    let stopping = CancellationToken::new();
    let closing = CancellationToken::new();
    let (leadership, election) = lead(&args, &cluster, lease_namespace, &metrics, &health, &closing);

    let discovery = Discovery::new(fleet.clone(), args.discovery_port);
    let address = web::serve(args.metrics_address, metrics.clone(), discovery, probes, closing.clone())
        .await
        .with_context(|| format!("cannot listen on {} (--metrics-address)", args.metrics_address))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), %address, identity = cluster.identity(),
        namespace = args.namespace.as_deref().unwrap_or("(all)"), "kagiban-operator runs"
    );

    tokio::spawn(stop_on_signal(stopping.clone()));
    // Orders are given in the name by which it is decided whether a host would take them
    let policy = Policy { resync: args.resync, lineage: args.lineage.clone(), ..Policy::default() };
    let context = Context {
        agents: AgentClient::new(cluster.clone(), metrics.clone(), reach).speaking_for(policy.lineage.clone()),
        cluster,
        fleet,
        ledger: Ledger::default(),
        leadership,
        policy,
        metrics: metrics.clone(),
        stopping: stopping.clone(),
    };
    let work = work(events, schedule, health, Arc::new(context));
    let Some(mut election) = election else {
        work.await;
        closing.cancel();
        return ended(&stopping);
    };
    tokio::select! {
        () = work => {}
        // Without it nothing would ever be done again, and nobody would notice
        ended = &mut election => anyhow::bail!("the election ended by itself: {ended:?}"),
    }
    // Only now: the Lease is held until the last pass has ended
    closing.cancel();
    let _ = election.await;
    ended(&stopping)
}

fn ended(stopping: &CancellationToken) -> anyhow::Result<()> {
    anyhow::ensure!(stopping.is_cancelled(), "the watch ended by itself");
    tracing::info!("kagiban-operator ends");
    Ok(())
}

/// Two operators for different namespaces do not compete; two for the same one do. A Lease's name may be longer than any
/// namespace's with this before it.
fn lease_name(namespace: Option<&str>) -> String {
    namespace.map_or_else(|| LEASE.to_owned(), |namespace| format!("{LEASE}-{namespace}"))
}

fn liveness(health: Arc<Health>, schedule: SharedSchedule, freshness: Freshness) -> web::Liveness {
    Arc::new(move || {
        let now = Instant::now();
        // A schedule that somebody holds is being worked on: the probe does not wait for it
        let stuck_for = schedule.try_lock().map_or(Duration::ZERO, |schedule| schedule.stuck_for(now));
        health.fault(stuck_for, freshness.silent_for(now), now)
    })
}

/// The addresses of the operator's own pod, as the manifest passes them on.
const POD_IPS: &str = "POD_IPS";

/// Whom the operator contacts as a host: never the API server or itself, unless a listed range says so.
pub(crate) fn reach(args: &ReachArgs, api_server: Option<&str>) -> Reach {
    let in_pod = std::env::var("KUBERNETES_SERVICE_HOST").ok();
    let host = api_server.map(|host| host.trim_matches(['[', ']']).to_owned());
    let pod = std::env::var(POD_IPS).unwrap_or_default();
    let never = never(&pod, [in_pod, host]);
    Reach::new(args.allow_hosts.clone(), never)
}

fn never(pod: &str, api_server: [Option<String>; 2]) -> Vec<IpAddr> {
    let pod = pod.split(',').map(|address| address.trim().to_owned());
    pod.chain(api_server.into_iter().flatten()).filter_map(|host| host.parse().ok()).collect()
}

fn lead(
    args: &RunArgs,
    cluster: &SharedCluster,
    namespace: String,
    metrics: &Arc<Metrics>,
    health: &Arc<Health>,
    closing: &CancellationToken,
) -> (Leadership, Option<tokio::task::JoinHandle<()>>) {
    if !args.leader_elect {
        metrics.leading(true);
        // The clock is the only thing that grows without a Lease
        let epoch = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
        return (Leadership::alone(Epoch(epoch)), None);
    }
    let name = lease_name(args.namespace.as_deref());
    let (election, leadership) = Election::new(cluster.clone(), namespace, name);
    let (metrics, health) = (metrics.clone(), health.clone());
    let task = tokio::spawn(election.run(closing.clone(), move |leading| {
        metrics.leading(leading);
        health.elected(Instant::now());
    }));
    (leadership, Some(task))
}

/// Ready once the resources could be listed: the API server is there and the operator's role suffices.
fn readiness(cluster: SharedCluster, namespace: Option<String>) -> web::Readiness {
    let listed = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = listed.clone();
    tokio::spawn(async move {
        while let Err(error) = cluster.can_list(namespace.as_deref()).await {
            tracing::warn!(%error, "the resources cannot be listed yet");
            tokio::time::sleep(READINESS_RETRY).await;
        }
        flag.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    Arc::new(move || listed.load(std::sync::atomic::Ordering::Relaxed))
}

async fn stop_on_signal(stopping: CancellationToken) {
    let mut requests = match Requests::listen() {
        Ok(requests) => requests,
        Err(error) => {
            tracing::error!(%error, "requests to stop cannot be received; only a kill ends this process");
            return;
        }
    };
    while requests.next().await != Request::Stop {
        tracing::warn!(
            "nothing is loaded anew: the operator has its settings from its arguments, and reads the rest for each pass"
        );
    }
    tracing::info!("stopping: passes end before their next change");
    stopping.cancel();
}

/// One per process: the pod's name and something random, so that a restarted pod is another candidate.
fn identity() -> String {
    let mut random = [0; 4];
    let suffix = match aws_lc_rs::rand::fill(&mut random) {
        Ok(()) => hex::encode(random),
        Err(_) => std::process::id().to_string(),
    };
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "kagiban-operator".to_owned());
    format!("{host}_{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds B16: operators for two namespaces do not share a Lease, and the longest namespace still makes a name.
    #[test]
    fn the_leases_name_follows_the_scope() {
        assert_eq!(lease_name(None), "kagiban-operator");
        assert_eq!(lease_name(Some("a")), "kagiban-operator-a");
        assert_ne!(lease_name(Some("a")), lease_name(Some("b")));
        assert!(lease_name(Some(&"a".repeat(63))).len() <= 253);
    }

    /// Holds B2: security.md said that nobody has the operator connect to itself, and its pod's addresses were nowhere asked for.
    #[test]
    fn the_addresses_of_its_own_pod_and_of_the_api_server_are_nobodys_host() {
        let of = |text: &str| -> IpAddr { text.parse().expect("an address") };
        let api_server = [Some("10.96.0.1".to_owned()), Some("kubernetes.example.com".to_owned())];
        let found = never("10.1.2.3, fd00::7", api_server);
        assert_eq!(found, [of("10.1.2.3"), of("fd00::7"), of("10.96.0.1")]);
        assert_eq!(never("", [None, None]), Vec::<IpAddr>::new());
        let manifest = include_str!("../../examples/operator/10-deployment.yaml");
        assert!(manifest.contains(POD_IPS) && manifest.contains("status.podIPs"));
    }
}
