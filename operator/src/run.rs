//! `kagiban-operator run` and `standalone`: puts the parts together and ends them in order.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use kagiban_crds::{Epoch, Lineage};
use kagiban_process::system::{Request, Requests};
use kagiban_service::{Lifecycle, announce, asked_by_manager, is_hosted};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::act::AgentClient;
use crate::agent_api::Reach;
use crate::cli::{ReachArgs, RunArgs, StandaloneArgs, WorkArgs};
use crate::cluster::SharedCluster;
use crate::cluster::kubernetes::{Kubernetes, client, connect};
use crate::cluster::standalone::{ManifestTrust, Places, Standalone, StateClosed};
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
use crate::page::{KeptEvents, Page};
use crate::reconcile::Context;
use crate::schedule::Schedule;
use crate::web::{self, Probes};

/// The Lease of an operator for all namespaces.
const LEASE: &str = "kagiban-operator";
/// Between looks whether the resources can be listed; a kubelet asks about as often.
const READINESS_RETRY: Duration = Duration::from_secs(5);
/// Between words to a service manager that waits for the end of passes: far less than it waits for the next.
const STOP_WORD_EVERY: Duration = Duration::from_secs(10);
/// Work that hangs in the system must not keep the process from ending.
const LAST_WAIT: Duration = Duration::from_millis(500);
/// For what SQLite has yet to write into its file. The manager was promised a word within three times this.
const CLOSES_WITHIN: Duration = STOP_WORD_EVERY;

/// What every operator has, whoever keeps its resources.
struct Parts {
    fleet: Arc<Fleet>,
    schedule: SharedSchedule,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
    closing: CancellationToken,
}

impl Parts {
    /// `elects`: whether an election must go on.
    fn new(args: &WorkArgs, elects: bool) -> Self {
        let fleet = Arc::new(Fleet::default());
        let schedule = Arc::new(Mutex::new(Schedule::new(args.concurrency, args.resync, Instant::now())));
        let series = FleetSeries { fleet: fleet.clone(), schedule: schedule.clone() };
        Self {
            fleet,
            schedule,
            health: Arc::new(Health::new(elects, Instant::now())),
            metrics: Arc::new(Metrics::new(Some(Box::new(series)))),
            stopping: CancellationToken::new(),
            closing: CancellationToken::new(),
        }
    }
}

/// In whose name hosts are given orders, and which of them may be contacted.
struct OrderingParty {
    leadership: Leadership,
    lineage: Option<Lineage>,
    reach: Reach,
}

/// In a cluster, until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start: no cluster, no address to listen on.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let config = connect(&args.cluster).await?;
    let lease_namespace = args.leader_election_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let reach = reach(&args.work.reach, config.cluster_url.host());
    let client = client(config).context("the cluster's address or credentials cannot be used")?;
    let parts = Parts::new(&args.work, args.leader_elect);
    let cluster: SharedCluster = Arc::new(Kubernetes::new(client, parts.metrics.clone(), identity()));
    let (leadership, election) = lead(&args, &cluster, lease_namespace, &parts);
    let party = OrderingParty { leadership, lineage: args.lineage.clone(), reach };
    let operating = operate(&args.work, args.namespace.as_deref(), cluster, None, party, parts);
    let Some(mut election) = election else { return operating.await };
    tokio::select! {
        ended = operating => ended?,
        // Without it nothing would ever be done again, and nobody would notice
        ended = &mut election => anyhow::bail!("the election ended by itself: {ended:?}"),
    }
    // The Lease is held until the last pass has ended, which it has
    let _ = election.await;
    Ok(())
}

/// Without a cluster, until SIGTERM or SIGINT, or until the service manager says so. When it returns the state is closed, so that the
/// next process has it at once: the manager may start one as soon as it is told that this one has stopped.
///
/// # Errors
/// When it cannot start: no state, one that another process has, no address to listen on.
pub fn run_standalone(args: StandaloneArgs, runtime: Runtime) -> anyhow::Result<()> {
    let mut closed = None;
    let worked = runtime.block_on(work_standalone(args, &mut closed));
    // Each task may have the state still.
    runtime.shutdown_timeout(LAST_WAIT);
    if closed.is_some_and(|closed| !closed.within(CLOSES_WITHIN)) {
        tracing::warn!("the state is not closed yet: the next process waits for it");
    }
    worked
}

async fn work_standalone(args: StandaloneArgs, closed: &mut Option<StateClosed>) -> anyhow::Result<()> {
    let parts = Parts::new(&args.work, false);
    let places = Places {
        // As a service it acts as the system, or as an account that has the keys of a fleet.
        trust: if is_hosted() { ManifestTrust::Administrators } else { ManifestTrust::Anybody },
        manifests: args.manifests,
        secrets: args.secrets,
        state: args.state,
        every: args.read_every,
        confirm_deletions: args.confirm_deletions,
    };
    let (standalone, tenure, following) =
        Standalone::open(places, args.lineage.as_ref(), identity(), parts.metrics.clone()).await?;
    *closed = Some(standalone.state_closed());
    tracing::info!(epoch = %tenure.epoch, lineage = %tenure.lineage, "this process leads: the state is its own");
    parts.metrics.leading(true);
    let party = OrderingParty {
        leadership: Leadership::alone(tenure.epoch),
        lineage: Some(tenure.lineage),
        reach: reach(&args.work.reach, None),
    };
    let following = tokio::spawn(following);
    let events: KeptEvents = Arc::new(standalone.events());
    let operating = operate(&args.work, None, Arc::new(standalone), Some(events), party, parts);
    tokio::select! {
        ended = operating => ended,
        ended = following => anyhow::bail!("the manifests are followed no more: {ended:?}"),
    }
}

/// Until it is told to stop, and the last pass has ended. With the events, where they are kept beside the resources.
async fn operate(
    args: &WorkArgs,
    namespace: Option<&str>,
    cluster: SharedCluster,
    events_kept: Option<KeptEvents>,
    party: OrderingParty,
    parts: Parts,
) -> anyhow::Result<()> {
    let Parts { fleet, schedule, health, metrics, stopping, closing } = parts;
    let OrderingParty { leadership, lineage, reach } = party;
    // Orders are given in the name by which it is decided whether a host would take them
    let hand_over_to = args.hand_over_to.clone();
    anyhow::ensure!(
        hand_over_to.is_none() || hand_over_to != lineage,
        "--hand-over-to names this installation itself: give it the --lineage of the other one"
    );
    let requests = Requests::listen().context("requests to stop cannot be received")?;
    if let Some(lineage) = &lineage {
        metrics.speaks_for(lineage);
    }
    let events = cluster.watch(namespace, metrics.freshness().clone());
    let probes = Probes {
        ready: readiness(cluster.clone(), namespace.map(str::to_owned)),
        fault: liveness(health.clone(), schedule.clone(), metrics.freshness().clone()),
    };
    let discovery = Discovery::new(fleet.clone(), args.discovery_port);
    let page = Page::new(args.page, fleet.clone(), metrics.clone(), events_kept);
    let address = web::serve(args.metrics_address, metrics.clone(), discovery, page, probes, closing.clone())
        .await
        .with_context(|| format!("cannot listen on {} (--metrics-address)", args.metrics_address))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), %address, identity = cluster.identity(),
        namespace = namespace.unwrap_or("(all)"), "kagiban-operator runs"
    );
    tell_manager(&Lifecycle::Ready { status: format!("answers on {address}") });

    tokio::spawn(stop_on_request(requests, stopping.clone()));
    if let Some(to) = &hand_over_to {
        tracing::warn!(%to, "hosts are given to another installation, and none is rotated by this one (--hand-over-to)");
    }
    let policy = Policy { resync: args.resync, lineage, hand_over_to, ..Policy::default() };
    let context = Context {
        agents: AgentClient::new(cluster.clone(), metrics.clone(), reach).speaking_for(policy.lineage.clone()),
        cluster,
        fleet,
        ledger: Ledger::default(),
        leadership,
        policy,
        metrics,
        stopping: stopping.clone(),
    };
    work(events, schedule, health, Arc::new(context)).await;
    // Only now: an election holds its Lease until then
    closing.cancel();
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
    parts: &Parts,
) -> (Leadership, Option<tokio::task::JoinHandle<()>>) {
    if !args.leader_elect {
        parts.metrics.leading(true);
        // The clock is the only thing that grows without a Lease
        let epoch = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
        return (Leadership::alone(Epoch(epoch)), None);
    }
    let name = lease_name(args.namespace.as_deref());
    let (election, leadership) = Election::new(cluster.clone(), namespace, name);
    let (metrics, health) = (parts.metrics.clone(), parts.health.clone());
    let task = tokio::spawn(election.run(parts.closing.clone(), move |leading| {
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

async fn stop_on_request(mut requests: Requests, stopping: CancellationToken) {
    loop {
        let request = tokio::select! {
            request = requests.next() => request,
            request = asked_by_manager() => request,
        };
        match request {
            Request::Stop => break,
            Request::Reload => tracing::warn!(
                "nothing is loaded anew: the operator has its settings from its arguments, and reads the rest for each pass"
            ),
        }
    }
    tracing::info!("stopping: passes end before their next change");
    tell_manager(&Lifecycle::Stopping);
    stopping.cancel();
    // Until the process ends: each pass does so within its deadline.
    loop {
        tokio::time::sleep(STOP_WORD_EVERY).await;
        let status = "a pass ends before its next change".to_owned();
        tell_manager(&Lifecycle::StillStopping { next_word_within: 3 * STOP_WORD_EVERY, status });
    }
}

/// Where no manager has started this process, nobody is told.
fn tell_manager(word: &Lifecycle) {
    if let Err(error) = announce(word) {
        tracing::warn!(%error, "the service manager was not told how it stands");
    }
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
    use crate::controller::PASS_DEADLINE;

    /// Holds B16: operators for two namespaces do not share a Lease, and the longest namespace still makes a name.
    #[test]
    fn the_leases_name_follows_the_scope() {
        assert_eq!(lease_name(None), "kagiban-operator");
        assert_eq!(lease_name(Some("a")), "kagiban-operator-a");
        assert_ne!(lease_name(Some("a")), lease_name(Some("b")));
        assert!(lease_name(Some(&"a".repeat(63))).len() <= 253);
    }

    /// A stop was cut off after 90 seconds, and a pass may take longer.
    #[test]
    fn the_unit_waits_for_a_word_and_gives_a_stop_the_time_of_a_pass() {
        let unit = include_str!("../../examples/systemd/kagiban-operator.service");
        let set = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        assert_eq!((set("Type"), set("NotifyAccess")), (Some("notify"), Some("main")));
        let stop = set("TimeoutStopSec").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        assert!(stop.is_some_and(|stop| stop >= PASS_DEADLINE + 3 * STOP_WORD_EVERY), "{stop:?}");
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
