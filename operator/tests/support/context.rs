//! What a pass needs besides its resource, for a leader that stays one.

use std::sync::Arc;

use kagiban_crds::Epoch;
use kagiban_operator::act::AgentClient;
use kagiban_operator::agent_api::Reach;
use kagiban_operator::cluster::SharedCluster;
use kagiban_operator::decide::Policy;
use kagiban_operator::fleet::Fleet;
use kagiban_operator::leader::Leadership;
use kagiban_operator::ledger::Ledger;
use kagiban_operator::metrics::SharedMetrics;
use kagiban_operator::reconcile::Context;
use tokio_util::sync::CancellationToken;

pub fn context(cluster: SharedCluster, metrics: SharedMetrics) -> Context {
    let reach = Reach::new(vec!["127.0.0.0/8".parse().expect("a range")], Vec::new());
    Context {
        agents: AgentClient::new(cluster.clone(), metrics.clone(), reach),
        cluster,
        fleet: Arc::new(Fleet::default()),
        ledger: Ledger::default(),
        leadership: Leadership::alone(Epoch(5)),
        policy: Policy::default(),
        metrics,
        stopping: CancellationToken::new(),
    }
}
