//! The watch, the queue and the workers around [`pass`]: bounded, isolated from each other, and under deadlines.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use kagiban_crds::resource::ManagedAgentCertificate;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::watcher;

use crate::cluster::{ClusterError, WATCH_SECONDS};
use crate::metrics::Guarded;
use crate::reconcile::{Context, pass};

/// A pass asks one host and the API server a few times; one that takes longer gives its place to others.
const PASS_DEADLINE: Duration = Duration::from_secs(120);
/// After the first pass that failed; it doubles up to the resync interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the pass took longer than {} s", PASS_DEADLINE.as_secs())]
    Deadline,
    #[error("the pass panicked; this is a defect of kagiban-operator")]
    Panic,
}

impl PassError {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Cluster(error) => error.reason(),
            Self::Deadline => "deadline",
            Self::Panic => "panic",
        }
    }
}

/// A controller over all resources of the given scope; its store is read by metrics and by the search for rivals.
pub fn controller(api: Api<Guarded>, concurrency: u16) -> Controller<Guarded> {
    // the default list is a quorum read; one from the API server's cache would bring back the past
    let watch = watcher::Config::default().timeout(WATCH_SECONDS);
    Controller::new(api, watch).with_config(Config::default().concurrency(concurrency))
}

/// Runs until the context is told to stop, and lets what is in flight end.
pub async fn run(controller: Controller<Guarded>, context: Arc<Context>) {
    let stopping = context.stopping.clone();
    let acquired = futures::stream::unfold(context.leadership.clone(), |mut leadership| async move {
        leadership.acquired().await;
        Some(((), leadership))
    });
    controller
        .reconcile_all_on(acquired)
        .graceful_shutdown_on(async move { stopping.cancelled().await })
        .run(reconcile, retry, context)
        .for_each(|result| async move {
            match result {
                Ok((object, action)) => tracing::debug!(%object, ?action, "looked at"),
                Err(error @ kube::runtime::controller::Error::QueueError(_)) => {
                    tracing::warn!(%error, "the watch broke and is taken up again");
                }
                Err(error) => tracing::debug!(%error, "a pass ended early"),
            }
        })
        .await;
}

async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, PassError> {
    if context.leadership.epoch().is_none() {
        return Ok(Action::await_change());
    }
    let mac: &ManagedAgentCertificate = match &object.0 {
        Ok(mac) => mac,
        Err(invalid) => {
            let (namespace, name) = (&invalid.metadata.namespace, &invalid.metadata.name);
            tracing::error!(?namespace, ?name, error = invalid.error, "this version cannot read the resource");
            return Ok(Action::await_change());
        }
    };
    let started = Instant::now();
    let pass = AssertUnwindSafe(pass(mac, &context)).catch_unwind();
    let result = match tokio::time::timeout(PASS_DEADLINE, pass).await {
        Ok(Ok(result)) => result.map_err(PassError::from),
        Ok(Err(_)) => Err(PassError::Panic),
        Err(_) => Err(PassError::Deadline),
    };
    context.metrics.reconciled(started.elapsed());
    if result.is_ok() {
        context.ledger.passed(&mac.uid().unwrap_or_default());
    }
    result
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that the controller calls")]
fn retry(object: Arc<Guarded>, error: &PassError, context: Arc<Context>) -> Action {
    let uid = object.uid().unwrap_or_default();
    let failures = context.ledger.failed(&uid);
    context.metrics.reconcile_failed(error.reason());
    match error {
        // somebody wrote in between: nothing is wrong
        PassError::Cluster(ClusterError::Conflict { .. }) => {
            tracing::debug!(%error, name = object.name_any(), "the pass starts anew");
        }
        PassError::Cluster(_) | PassError::Deadline | PassError::Panic => {
            tracing::warn!(%error, namespace = object.namespace(), name = object.name_any(), failures, "a pass ended early");
        }
    }
    let factor = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    Action::requeue(FIRST_RETRY.saturating_mul(factor).min(context.policy.resync.max(FIRST_RETRY)))
}
