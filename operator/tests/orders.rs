//! How often a host is told the same that does not keep to what it was told.

mod support;

use std::sync::Arc;
use std::time::Duration;

use kagiban_crds::resource::ManagedAgentCertificate;
use kagiban_operator::cluster::kubernetes::Kubernetes;
use kagiban_operator::metrics::Metrics;
use kagiban_operator::reconcile::{Context, pass};
use support::cluster::FakeCluster;
use support::host::Host;
use support::pki::Authority;
use support::{fleet, lock};

const DAY: Duration = Duration::from_secs(24 * 3600);

struct Stage {
    cluster: FakeCluster,
    host: Host,
    context: Context,
}

impl Stage {
    async fn set(resource: fn(&str) -> ManagedAgentCertificate) -> Self {
        let cluster = FakeCluster::start().await;
        let mutual = Authority::new("mutual");
        let host = Host::start(&mutual, mutual.server()).await;
        fleet::secrets(&cluster, &mutual, &Authority::new("fleet"));
        cluster.put(&resource(&format!("https://{}", host.address)));
        let metrics = Arc::new(Metrics::new(None));
        let kubernetes = Kubernetes::new(cluster.client.clone(), metrics.clone(), "operator-0".to_owned());
        Self { cluster, host, context: support::context::context(Arc::new(kubernetes), metrics) }
    }

    async fn pass(&self, times: u32) {
        for _ in 0..times {
            pass(&self.cluster.mac(), &self.context).await.expect("the API server answers");
        }
    }

    /// How many requests that change something end so.
    fn told(&self, end: &str) -> usize {
        self.host.changes().iter().filter(|line| line.ends_with(end)).count()
    }

    fn blocked(&self) -> (String, String) {
        let status = self.cluster.mac().status.unwrap_or_default();
        let found = status.conditions.into_iter().find(|condition| condition.type_ == "Blocked");
        found.map(|condition| (condition.reason, condition.message)).unwrap_or_default()
    }
}

/// Holds B8: an agent was told to renew twelve times in a minute by a host that forgot each order.
#[tokio::test]
async fn an_agent_is_not_told_to_renew_again_because_its_host_has_forgotten_that_it_was() {
    let stage = Stage::set(fleet::self_renewing).await;
    stage.host.renews_its_own(90 * DAY, 10 * DAY);
    lock(&stage.host.state).report.name = "powerchute".parse().expect("a name");
    lock(&stage.host.state).forgets = true;
    stage.pass(8).await;
    assert_eq!(stage.told("/renewals"), 1, "{:?}", stage.host.changes());
    let (reason, message) = stage.blocked();
    assert_eq!(reason, "HostAnswerRefused");
    assert!(message.contains("told again after 6 minutes"), "{message}");
    // A host that could not be told is told again as before
    lock(&stage.host.state).forgets = false;
    let metrics = stage.context.metrics.clone();
    let kubernetes = Kubernetes::new(stage.cluster.client.clone(), metrics.clone(), "operator-1".to_owned());
    let another = support::context::context(Arc::new(kubernetes), metrics);
    pass(&stage.cluster.mac(), &another).await.expect("the API server answers");
    assert_eq!(stage.told("/renewals"), 2, "another process knows of no order");
}

/// Holds B8: where too many certificates were signed, each further look had another rollback ordered, which nobody counted.
#[tokio::test]
async fn a_host_that_makes_one_key_after_the_other_is_told_to_go_back_twice_and_then_with_pauses() {
    let stage = Stage::set(fleet::resource).await;
    lock(&stage.host.state).keys_anew = true;
    stage.pass(8).await;
    let told = ["/rotations", "/chain", "/rollback"].map(|end| stage.told(end));
    assert_eq!(told, [1, kagiban_crds::resource::SIGNED_LIMIT, 2], "{:?}", stage.host.changes());
    let (reason, message) = stage.blocked();
    assert_eq!(reason, "HostAnswerRefused");
    assert!(message.contains("goes on with it"), "{message}");
}
