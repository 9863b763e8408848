//! An operator without a cluster: resources from a directory of manifests, their state in a file, Secrets from either.
//!
//! ```text
//!   --manifests DIR ──manifests──> resources ──admission──> store ──watch──> controller
//!                        └───────> Secrets ──┐                ^
//!   --secrets DIR ──────────────────────── secrets <──────────┴── seam <── passes: status, finalizers, events
//! ```
//!
//! What the API server does for the other sibling, is done here the same way: uid, generation, resource version, finalizers,
//! conflicts. It knows no network.

pub mod admission;
mod control;
mod manifests;
mod seam;
mod secrets;
mod store;
mod watch;

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kagiban_crds::{Epoch, Lineage};
use serde_json::Value;
use tokio::sync::watch as signal;

use crate::cluster::ClusterError;
use crate::metrics::SharedMetrics;
use admission::{Admission, SchemaError};
pub(crate) use control::socket;
use control::{Control, event};
use manifests::{Follower, HeldDeletions};
pub(crate) use manifests::{Judged, ManifestTrust, judge};
use secrets::Secrets;
pub(crate) use store::StateClosed;
use store::{OpenError, Session, Store, StoreError};

const RESOURCE: &str = "managedagentcertificates";
const STATUS: &str = "managedagentcertificates/status";
/// Of a manifest that names none, as `kubectl` has it.
const DEFAULT_NAMESPACE: &str = "default";

/// Where everything lies.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) manifests: PathBuf,
    pub(crate) trust: ManifestTrust,
    pub(crate) secrets: Option<PathBuf>,
    pub(crate) state: PathBuf,
    /// Between two looks at the manifests.
    pub(crate) every: Duration,
    /// What is gone from the manifests when this process first reads them is deleted, however much it is.
    pub(crate) confirm_deletions: bool,
}

/// Who this process is to hosts.
#[derive(Clone, Debug)]
pub(crate) struct Tenure {
    pub(crate) epoch: Epoch,
    pub(crate) lineage: Lineage,
}

/// Why there is nothing to work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StandaloneError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    State(#[from] ClusterError),
    #[error("the system gives no random numbers")]
    Random,
    #[error(
        "commands such as `kagiban-operator get` would be answered by another program, so that this one does not start: {0}; see which program it is, and end it"
    )]
    Control(io::Error),
}

/// The place where resources are kept, as the operator asks it.
pub(crate) struct Standalone {
    store: Store,
    admission: Arc<Admission>,
    secrets: Arc<Secrets>,
    metrics: SharedMetrics,
    identity: String,
    /// Whether the manifests were looked at: what the state says may be old until then.
    looked: signal::Receiver<bool>,
}

impl fmt::Debug for Standalone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standalone").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Standalone {
    /// Opens the state, which begins a tenure: its epoch is higher than that of each process before. The last is what has the
    /// manifests followed and commands answered, for as long as it is polled.
    ///
    /// # Errors
    /// When the state cannot be used, or is another installation's than is said.
    pub(crate) async fn open(
        places: Places,
        lineage: Option<&Lineage>,
        identity: String,
        metrics: SharedMetrics,
    ) -> Result<(Self, Tenure, impl Future<Output = ()> + Send + use<>), StandaloneError> {
        let admission = Arc::new(Admission::new()?);
        let store = Store::open(&places.state)?;
        let (said, made) = (lineage.cloned(), new_lineage()?);
        // Both in one transaction: a process that may not speak for this installation takes no epoch either
        let take = move |state: &mut Session<'_>| {
            let lineage = state.take_lineage(said.as_ref(), &made)?;
            Ok(Tenure { lineage, epoch: state.take_epoch(Timestamp::now())? })
        };
        let tenure = store.call("update", "leases", take).await?;
        let secrets = Arc::new(Secrets::new(places.secrets.clone()));
        let (tell, looked) = signal::channel(false);
        let held = HeldDeletions::default();
        let control = Control {
            store: store.clone(),
            held: held.clone(),
            lineage: tenure.lineage.clone(),
            epoch: tenure.epoch,
            manifests: metrics.manifests().clone(),
        };
        let control = match control.serve(&places.state) {
            // Whoever has the name is asked, and told, what is meant for this process
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(StandaloneError::Control(error)),
            control => control,
        };
        let follower = Follower::new(&places, store.clone(), admission.clone(), secrets.clone(), metrics.clone(), held);
        let standalone = Self { store, admission, secrets, metrics, identity, looked };
        let following = async move {
            let follow = follower.run(places.every, tell);
            match control {
                Ok(control) => drop(tokio::join!(follow, control)),
                Err(error) => {
                    let path = socket(&places.state).display().to_string();
                    tracing::error!(
                        %error, path,
                        "commands such as `kagiban-operator get` are not answered: have the state where this path is shorter than 108 bytes \
                         and nothing else lies"
                    );
                    follow.await;
                }
            }
        };
        Ok((standalone, tenure, following))
    }

    /// What tells when the state is let go of, once this and all that came of it is gone.
    pub(crate) fn state_closed(&self) -> StateClosed {
        self.store.closed()
    }

    /// What tells the events of a resource of this namespace and name, the oldest first.
    pub(crate) fn events(
        &self,
    ) -> impl Fn(&str, &str) -> BoxFuture<'static, Result<Vec<Value>, ClusterError>> + Send + Sync + use<> {
        let store = self.store.clone();
        move |namespace, name| {
            let (store, namespace, name) = (store.clone(), namespace.to_owned(), name.to_owned());
            let found = async move {
                let found = store.call("list", "events", move |state| state.events(Some(&namespace), Some(&name)));
                Ok(found.await?.iter().map(event).collect())
            };
            found.boxed()
        }
    }

    /// One call of the state, counted as one of an API server's would be.
    async fn call<T: Send + 'static>(
        &self,
        verb: &'static str,
        resource: &'static str,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ClusterError> {
        let result = self.store.call(verb, resource, work).await;
        self.metrics.api_request(verb, resource, result.as_ref().map_or_else(ClusterError::reason, |_| "2xx"));
        result
    }
}

/// For an installation that nobody has named.
fn new_lineage() -> Result<Lineage, StandaloneError> {
    let mut random = [0; 6];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| StandaloneError::Random)?;
    format!("standalone-{}", hex::encode(random)).parse().map_err(|_| StandaloneError::Random)
}

#[cfg(test)]
mod tests;
