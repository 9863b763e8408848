//! `kagiban-operator run`: puts the parts together and ends them in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use kagiban_crds::Epoch;
use kube::Client;
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::act::AgentClient;
use crate::cli::{ClusterArgs, RunArgs};
use crate::cluster::{Cluster, harden};
use crate::controller::{controller, run as work};
use crate::decide::Policy;
use crate::leader::{Election, Leadership};
use crate::ledger::Ledger;
use crate::metrics::{Guarded, Metrics};
use crate::reconcile::Context;
use crate::web;

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
    let client = Client::try_from(config).context("the cluster's address or credentials cannot be used")?;
    let api: Api<Guarded> = match &args.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let controller = controller(api, args.concurrency);
    let store = controller.store();
    let metrics = Arc::new(Metrics::new(Some(store.clone())));
    let cluster = Cluster::new(client, metrics.clone(), identity());
    let ready = readiness(cluster.clone(), args.namespace.clone());

    let stopping = CancellationToken::new();
    let closing = CancellationToken::new();
    let (leadership, election) = lead(&args, &cluster, lease_namespace, &metrics, &closing);

    let address = web::serve(args.metrics_address, metrics.clone(), ready, closing.clone())
        .await
        .with_context(|| format!("cannot listen on {} (--metrics-address)", args.metrics_address))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), %address, identity = cluster.identity(),
        namespace = args.namespace.as_deref().unwrap_or("(all)"), "kagiban-operator runs"
    );

    tokio::spawn(stop_on_signal(stopping.clone()));
    let context = Context {
        agents: AgentClient::new(cluster.clone(), metrics.clone()),
        cluster,
        store,
        ledger: Ledger::default(),
        leadership,
        policy: Policy { resync: args.resync, ..Policy::default() },
        metrics,
        stopping,
    };
    work(controller, Arc::new(context)).await;
    // only now: the Lease is held until the last pass has ended
    closing.cancel();
    if let Some(election) = election {
        let _ = election.await;
    }
    tracing::info!("kagiban-operator ends");
    Ok(())
}

/// A configuration for the cluster, hardened.
///
/// # Errors
/// When there is none, or it cannot be read.
pub async fn connect(args: &ClusterArgs) -> anyhow::Result<kube::Config> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match &args.kubeconfig {
        Some(file) => {
            let kubeconfig = Kubeconfig::read_from(file).with_context(|| format!("cannot read {}", file.display()))?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.context("the kubeconfig cannot be used")?
        }
        None if args.context.is_some() => {
            kube::Config::from_kubeconfig(&options).await.context("the kubeconfig cannot be used")?
        }
        None => {
            kube::Config::infer().await.context("no cluster: give --kubeconfig, set KUBECONFIG, or run in a pod")?
        }
    };
    harden(&mut config);
    Ok(config)
}

fn lead(
    args: &RunArgs,
    cluster: &Cluster,
    namespace: String,
    metrics: &Arc<Metrics>,
    closing: &CancellationToken,
) -> (Leadership, Option<tokio::task::JoinHandle<()>>) {
    if !args.leader_elect {
        metrics.leading(true);
        // the clock is the only thing that grows without a Lease
        let epoch = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
        return (Leadership::alone(Epoch(epoch)), None);
    }
    let (election, leadership) = Election::new(cluster.clone(), namespace, LEASE.to_owned());
    let metrics = metrics.clone();
    let task = tokio::spawn(election.run(closing.clone(), move |leading| metrics.leading(leading)));
    (leadership, Some(task))
}

/// Ready once the resources could be listed: the API server is there and the operator's role suffices.
///
/// It asks by itself: `Store::wait_until_ready` wakes one waiter only, and that one must be the controller.
fn readiness(cluster: Cluster, namespace: Option<String>) -> web::Readiness {
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
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::error!("signals cannot be received; only SIGKILL will end this process");
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
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
