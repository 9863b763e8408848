//! What the operator tells Prometheus: counters of its own, and the fleet as the watch cache has it at the scrape.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::resource::{ManagedAgentCertificate, Outcome};
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::decide::{ConditionType, Reason};
use crate::expiries::{SecretExpiries, SecretUse};

/// An object of the watch; one that cannot be read is still an object.
pub type Guarded = DeserializeGuard<ManagedAgentCertificate>;

pub(crate) type Labels = Vec<(&'static str, String)>;

/// From a cached look to a rotation's push.
const RECONCILE_BUCKETS: [f64; 9] = [0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 120.0];

/// Counters and the registry that renders them.
pub struct Metrics {
    registry: Registry,
    api_requests: Family<Labels, Counter>,
    host_requests: Family<Labels, Counter>,
    rotations: Family<Labels, Counter>,
    leader: Gauge,
    reconciles: Histogram,
    failures: Family<Labels, Counter>,
    expiries: SecretExpiries,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// With the store that the fleet's series are read from at each scrape.
    pub fn new(store: Option<Store<Guarded>>) -> Self {
        let mut registry = Registry::default();
        let api_requests = Family::<Labels, Counter>::default();
        let host_requests = Family::<Labels, Counter>::default();
        let rotations = Family::<Labels, Counter>::default();
        let failures = Family::<Labels, Counter>::default();
        let leader = Gauge::default();
        let reconciles = Histogram::new(RECONCILE_BUCKETS);
        registry.register(
            "kagiban_api_requests",
            "Requests to the Kubernetes API, by how they ended",
            api_requests.clone(),
        );
        registry.register("kagiban_host_requests", "Requests to host APIs, by how they ended", host_requests.clone());
        registry.register("kagiban_rotations", "Rotations that ended, by outcome", rotations.clone());
        registry.register("kagiban_reconcile_failures", "Reconciles that ended early, by reason", failures.clone());
        registry.register("kagiban_operator_leader", "1 while this process may act", leader.clone());
        registry.register(
            "kagiban_reconcile_duration_seconds",
            "How long one look at one resource took",
            reconciles.clone(),
        );
        let build: Family<Labels, Gauge> = Family::default();
        build.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        let expiries = SecretExpiries::default();
        registry.register_collector(Box::new(expiries.clone()));
        registry.register("kagiban_build_info", "Always 1; the version is a label", build);
        if let Some(store) = store {
            registry.register_collector(Box::new(Fleet(store)));
        }
        Self { registry, api_requests, host_requests, rotations, leader, reconciles, failures, expiries }
    }

    /// Prometheus's text format, version 0.0.4: every scraper reads it, and `promtool check metrics` nothing else.
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut open_metrics = String::new();
        prometheus_client::encoding::text::encode(&mut open_metrics, &self.registry)?;
        Ok(text_format(&open_metrics))
    }

    pub(crate) fn api_request(&self, verb: &'static str, resource: &'static str, code: &str) {
        let labels = vec![("verb", verb.to_owned()), ("resource", resource.to_owned()), ("code", code.to_owned())];
        self.api_requests.get_or_create(&labels).inc();
    }

    pub(crate) fn host_request(&self, call: &'static str, outcome: &'static str) {
        self.host_requests.get_or_create(&vec![("call", call.to_owned()), ("outcome", outcome.to_owned())]).inc();
    }

    pub(crate) fn rotation_ended(&self, outcome: Outcome) {
        let word = match outcome {
            Outcome::Committed => "committed",
            Outcome::RolledBack => "rolled_back",
            Outcome::Frozen => "frozen",
            Outcome::Lost => "lost",
            Outcome::OtherLeaf => "other_leaf",
        };
        self.rotations.get_or_create(&vec![("outcome", word.to_owned())]).inc();
    }

    pub(crate) fn reconciled(&self, took: Duration) {
        self.reconciles.observe(took.as_secs_f64());
    }

    pub(crate) fn reconcile_failed(&self, reason: &'static str) {
        self.failures.get_or_create(&vec![("reason", reason.to_owned())]).inc();
    }

    pub(crate) fn issuer_not_after(&self, namespace: &str, secret: &str, not_after: Timestamp) {
        self.expiries.seen(SecretUse::Issuer, namespace, secret, not_after);
    }

    pub(crate) fn client_certificate_not_after(&self, namespace: &str, secret: &str, not_after: Timestamp) {
        self.expiries.seen(SecretUse::ClientCertificate, namespace, secret, not_after);
    }

    pub(crate) fn leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }
}

/// For the types that are registered here, the formats differ in two things: OpenMetrics names a counter's family without
/// the `_total` of its samples, and ends with a mark.
fn text_format(open_metrics: &str) -> String {
    let is_counter = |line: &&str| line.starts_with("# TYPE ") && line.ends_with(" counter");
    let counters: HashSet<_> = open_metrics.lines().filter(is_counter).filter_map(family).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines().filter(|line| *line != "# EOF") {
        match family(line).filter(|name| counters.contains(name)) {
            Some(name) => text.push_str(&line.replacen(name, &format!("{name}_total"), 1)),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// The name in a line of metadata.
fn family(line: &str) -> Option<&str> {
    line.strip_prefix("# ")?.split(' ').nth(1)
}

/// Series of the fleet. A time that is not known is no sample; a resource that is gone leaves no series behind.
struct Fleet(Store<Guarded>);

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fleet").field(&self.0.len()).finish()
    }
}

impl Collector for Fleet {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let state = self.0.state();
        let readable: Vec<&ManagedAgentCertificate> =
            state.iter().filter_map(|object| object.0.as_ref().ok()).collect();
        let unreadable = state.len() - readable.len();

        gauge(
            &mut encoder,
            "kagiban_certificate_not_after_timestamp_seconds",
            "notAfter of the leaf that was verified on the live endpoint",
            readable
                .iter()
                .filter_map(|mac| Some((labels(mac), seconds(mac.status.as_ref()?.leaf.as_ref()?.not_after)))),
        )?;
        gauge(
            &mut encoder,
            "kagiban_certificate_renewal_timestamp_seconds",
            "When the next rotation is due",
            readable.iter().filter_map(|mac| Some((labels(mac), seconds(mac.status.as_ref()?.renewal_time?)))),
        )?;
        gauge(
            &mut encoder,
            "kagiban_certificate_ready",
            "Whether the Ready condition is True (1), False (0), or neither (no sample)",
            readable.iter().filter_map(|mac| Some((labels(mac), ready(mac)?))),
        )?;
        gauge(
            &mut encoder,
            "kagiban_certificate_blocked",
            "1 with the reason why a rotation may not go on",
            readable.iter().filter_map(|mac| {
                let reason = Reason::Blocked(mac.status.as_ref()?.blocked_by?).as_str();
                let mut labels = labels(mac);
                labels.push(("reason", reason.to_owned()));
                Some((labels, 1.0))
            }),
        )?;
        gauge(
            &mut encoder,
            "kagiban_resources_unreadable",
            "Resources that this version cannot read",
            std::iter::once((Labels::new(), f64::from(u32::try_from(unreadable).unwrap_or(u32::MAX)))),
        )
    }
}

pub(crate) fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl Iterator<Item = (Labels, f64)>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, prometheus_client::metrics::MetricType::Gauge)?;
    for (labels, value) in samples {
        if labels.is_empty() {
            return ConstGauge::new(value).encode(family);
        }
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn labels(mac: &ManagedAgentCertificate) -> Labels {
    vec![
        ("namespace", mac.namespace().unwrap_or_default()),
        ("name", mac.name_any()),
        ("host", mac.spec.host.clone()),
        ("product", mac.spec.agent.product.id().to_owned()),
    ]
}

fn ready(mac: &ManagedAgentCertificate) -> Option<f64> {
    let conditions = &mac.status.as_ref()?.conditions;
    match conditions.iter().find(|c| c.type_ == ConditionType::Ready.as_str())?.status.as_str() {
        "True" => Some(1.0),
        "False" => Some(0.0),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in an f64 for 280 million years")]
pub(crate) fn seconds(time: Timestamp) -> f64 {
    time.as_second() as f64
}

/// Shared by everything that counts.
pub type SharedMetrics = Arc<Metrics>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_announced_by_the_name_of_its_samples() {
        let metrics = Metrics::new(None);
        metrics.rotation_ended(Outcome::Committed);
        let text = metrics.render().expect("a string takes everything");
        let counter = "# HELP kagiban_rotations_total Rotations that ended, by outcome.\n\
            # TYPE kagiban_rotations_total counter\nkagiban_rotations_total{outcome=\"committed\"} 1\n";
        assert!(text.contains(counter), "{text}");
        assert!(text.contains("# TYPE kagiban_operator_leader gauge\n") && !text.contains("EOF"), "{text}");
    }
}
