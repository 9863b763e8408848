//! What the operator tells Prometheus: counters of its own, and, from the leader alone, the fleet as it is at the scrape
//! (`fleet_series`).

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kagiban_crds::Lineage;
use kagiban_crds::resource::Outcome;
use kagiban_process::log_lines;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::expiries::{SecretExpiries, SecretUse};
use crate::freshness::Freshness;
use crate::manifest_health::ManifestHealth;
use crate::samples::Labels;
use crate::text_format::TextFormat;

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
    freshness: Freshness,
    manifests: ManifestHealth,
    withheld: Family<Labels, Counter>,
    lineages: Family<Labels, Gauge>,
    lineage: OnceLock<Lineage>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// With the series of the fleet, which the leader alone tells: with two replicas each would count twice, and what a follower
    /// knows is old.
    pub fn new(fleet: Option<Box<dyn Collector>>) -> Self {
        let mut registry = Registry::default();
        let api_requests = Family::<Labels, Counter>::default();
        let host_requests = Family::<Labels, Counter>::default();
        let rotations = Family::<Labels, Counter>::default();
        let failures = Family::<Labels, Counter>::default();
        let withheld = Family::<Labels, Counter>::default();
        let leader = Gauge::default();
        let reconciles = Histogram::new(RECONCILE_BUCKETS);
        registry.register(
            "kagiban_api_requests",
            "Requests to the Kubernetes API, or to the state of a standalone operator, by how they ended",
            api_requests.clone(),
        );
        registry.register(
            "kagiban_host_requests",
            "Requests to host APIs (look, open, renew, password, deliver, roll_back, hand_over), by how they ended",
            host_requests.clone(),
        );
        registry.register(
            "kagiban_withheld",
            "Status writes, events and orders of resources that change too often, and expiries of more Secrets than have series",
            withheld.clone(),
        );
        registry.register("kagiban_rotations", "Rotations that ended, by outcome", rotations.clone());
        registry.register("kagiban_reconcile_failures", "Reconciles that ended early, by reason", failures.clone());
        registry.register(
            "kagiban_operator_leader",
            "1 while this process may act; only then does it export series of the fleet",
            leader.clone(),
        );
        registry.register(
            "kagiban_reconcile_duration_seconds",
            "How long one look at one resource took",
            reconciles.clone(),
        );
        let build: Family<Labels, Gauge> = Family::default();
        build.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        let lineages: Family<Labels, Gauge> = Family::default();
        registry.register(
            "kagiban_operator_lineage_info",
            "Always 1; the label is the name of the installation that hosts obey, where it has one",
            lineages.clone(),
        );
        let expiries = SecretExpiries::default();
        registry.register_collector(Box::new(expiries.clone()));
        let freshness = Freshness::new(Instant::now());
        registry.register_collector(Box::new(freshness.clone()));
        let manifests = ManifestHealth::default();
        registry.register_collector(Box::new(manifests.clone()));
        registry.register("kagiban_build_info", "Always 1; the version is a label", build);
        registry.register_collector(Box::new(DroppedLines));
        if let Some(series) = fleet {
            registry.register_collector(Box::new(OfLeader { series, leader: leader.clone() }));
        }
        Self {
            registry,
            api_requests,
            host_requests,
            rotations,
            leader,
            reconciles,
            failures,
            withheld,
            expiries,
            freshness,
            manifests,
            lineages,
            lineage: OnceLock::new(),
        }
    }

    /// In whose name hosts are given orders, which does not change while the process lives.
    pub(crate) fn speaks_for(&self, lineage: &Lineage) {
        let lineage = self.lineage.get_or_init(|| lineage.clone());
        self.lineages.get_or_create(&vec![("lineage", lineage.to_string())]).set(1);
    }

    pub(crate) fn lineage(&self) -> Option<&Lineage> {
        self.lineage.get()
    }

    /// Writes Prometheus's text format, version 0.0.4: every scraper reads it, and `promtool check metrics` nothing else.
    ///
    /// # Errors
    /// When `out` takes no more.
    pub fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        prometheus_client::encoding::text::encode(&mut TextFormat::to(out), &self.registry)
    }

    /// How old what is known of the resources is.
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// What a standalone operator's manifests are like.
    pub(crate) fn manifests(&self) -> &ManifestHealth {
        &self.manifests
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
            Outcome::Done => "done",
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
        self.expiry(SecretUse::Issuer, namespace, secret, not_after);
    }

    pub(crate) fn client_certificate_not_after(&self, namespace: &str, secret: &str, not_after: Timestamp) {
        self.expiry(SecretUse::ClientCertificate, namespace, secret, not_after);
    }

    fn expiry(&self, what_for: SecretUse, namespace: &str, secret: &str, not_after: Timestamp) {
        if !self.expiries.seen(what_for, namespace, secret, not_after) {
            self.withheld("expiry");
        }
    }

    pub(crate) fn withheld(&self, what: &'static str) {
        self.withheld.get_or_create(&vec![("what", what.to_owned())]).inc();
    }

    pub(crate) fn leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }

    /// Whether this process may act, and tells of the fleet.
    pub(crate) fn is_leading(&self) -> bool {
        self.leader.get() != 0
    }
}

/// Told while this process leads.
#[derive(Debug)]
struct OfLeader {
    series: Box<dyn Collector>,
    leader: Gauge,
}

impl Collector for OfLeader {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if self.leader.get() == 0 { Ok(()) } else { self.series.encode(encoder) }
    }
}

/// Counted where the lines are written.
#[derive(Debug)]
struct DroppedLines;

impl Collector for DroppedLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help =
            "Log lines that were dropped because whoever reads the log does not read on, or that could not be written";
        let dropped = ConstCounter::new(log_lines::dropped());
        let metric = encoder.encode_descriptor("kagiban_log_lines_dropped", help, None, dropped.metric_type())?;
        dropped.encode(metric)
    }
}

/// Shared by everything that counts.
pub type SharedMetrics = Arc<Metrics>;
