//! What the operator tells Prometheus: counters of its own, and, from the leader alone, the fleet as it is at the scrape.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kagiban_crds::resource::Outcome;
use kagiban_process::log_lines;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::controller::{SharedSchedule, lock};
use crate::decide::Reason;
use crate::expiries::{SecretExpiries, SecretUse};
use crate::fleet::{Fleet, ResourceName, Summary};
use crate::freshness::Freshness;
use crate::text_format::TextFormat;

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
    freshness: Freshness,
    withheld: Family<Labels, Counter>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// With what the fleet's series are read from at each scrape.
    pub fn new(sources: Option<Sources>) -> Self {
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
            "Requests to the Kubernetes API, by how they ended",
            api_requests.clone(),
        );
        registry.register("kagiban_host_requests", "Requests to host APIs, by how they ended", host_requests.clone());
        registry.register(
            "kagiban_withheld",
            "Status writes and events of resources that change too often, and expiries of more Secrets than have series",
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
        let expiries = SecretExpiries::default();
        registry.register_collector(Box::new(expiries.clone()));
        let freshness = Freshness::new(Instant::now());
        registry.register_collector(Box::new(freshness.clone()));
        registry.register("kagiban_build_info", "Always 1; the version is a label", build);
        registry.register_collector(Box::new(DroppedLines));
        if let Some(sources) = sources {
            registry.register_collector(Box::new(FleetSeries { sources, leader: leader.clone() }));
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
        }
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
}

/// What the series of the fleet are made from.
#[derive(Clone, Debug)]
pub struct Sources {
    pub fleet: Arc<Fleet>,
    pub schedule: SharedSchedule,
}

/// Series of the fleet, from the leader alone: with two replicas each would count twice, and the one of a follower is old.
/// A time that is not known is no sample; a resource that is gone leaves no series behind.
#[derive(Debug)]
struct FleetSeries {
    sources: Sources,
    leader: Gauge,
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

impl Collector for FleetSeries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if self.leader.get() == 0 {
            return Ok(());
        }
        self.queue(&mut encoder)?;
        let fleet = self.sources.fleet.summaries();
        gauge(
            &mut encoder,
            "kagiban_certificate_not_after_timestamp_seconds",
            "notAfter of the leaf that was verified on the live endpoint",
            fleet.iter().filter_map(|(name, of)| Some((labels(name, of), seconds(of.not_after?)))),
        )?;
        gauge(
            &mut encoder,
            "kagiban_certificate_renewal_timestamp_seconds",
            "When the next rotation is due",
            fleet.iter().filter_map(|(name, of)| Some((labels(name, of), seconds(of.renewal_time?)))),
        )?;
        gauge(
            &mut encoder,
            "kagiban_certificate_ready",
            "The Ready condition: 1 for the status it has, 0 for the two others; without a condition it is Unknown",
            fleet.iter().flat_map(|(name, of)| states(&labels(name, of), &of.ready)),
        )?;
        gauge(
            &mut encoder,
            "kagiban_certificate_blocked",
            "1 with the reason why a rotation may not go on",
            fleet.iter().filter_map(|(name, of)| {
                let mut labels = labels(name, of);
                labels.push(("reason", Reason::Blocked(of.blocked_by?).as_str().to_owned()));
                Some((labels, 1.0))
            }),
        )?;
        gauge(
            &mut encoder,
            "kagiban_resources_unreadable",
            "Resources that this version cannot read",
            std::iter::once((Labels::new(), count(fleet.iter().filter(|(_, of)| !of.readable).count()))),
        )?;
        gauge(
            &mut encoder,
            "kagiban_operator_resources_left_out",
            "Resources that there was no room for at the last list, or since: nothing is done about them",
            std::iter::once((Labels::new(), count(self.sources.fleet.left_out()))),
        )
    }
}

impl FleetSeries {
    fn queue(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = Instant::now();
        let (overdue, due, running) = {
            let schedule = lock(&self.sources.schedule);
            (schedule.overdue(now), schedule.due(now), schedule.running())
        };
        for (name, help, value) in [
            (
                "kagiban_operator_resources_overdue",
                "Resources that no look came to an end about for three resyncs; anything but 0 needs a person",
                overdue,
            ),
            ("kagiban_operator_resources_due", "Resources that wait for their turn to be looked at", due),
            ("kagiban_operator_passes_running", "Resources that are being looked at", running),
        ] {
            gauge(encoder, name, help, std::iter::once((Labels::new(), count(value))))?;
        }
        Ok(())
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
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

fn labels(name: &ResourceName, of: &Summary) -> Labels {
    let (namespace, name) = name.parts();
    vec![
        ("namespace", namespace.to_owned()),
        ("name", name.to_owned()),
        ("host", of.host.to_string()),
        ("product", of.product.to_string()),
    ]
}

/// One sample for each status, as kube-state-metrics does: an alert on `{status="True"} == 0` sees what is False and what
/// is Unknown.
fn states(labels: &Labels, is: &str) -> [(Labels, f64); 3] {
    ["True", "False", "Unknown"].map(|status| {
        let mut labels = labels.clone();
        labels.push(("status", status.to_owned()));
        (labels, if status == is { 1.0 } else { 0.0 })
    })
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in an f64 for 280 million years")]
pub(crate) fn seconds(time: Timestamp) -> f64 {
    time.as_second() as f64
}

/// Shared by everything that counts.
pub type SharedMetrics = Arc<Metrics>;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use crate::watch::Event;
    use serde_json::json;

    use super::*;
    use crate::schedule::Schedule;

    fn text_of(metrics: &Metrics) -> String {
        let mut text = String::new();
        metrics.write(&mut text).expect("a string takes everything");
        text
    }

    fn fleet_of(statuses: &[(&str, Option<&str>)]) -> Metrics {
        let fleet = Arc::new(Fleet::default());
        for (name, ready) in statuses {
            let conditions: Vec<_> = ready
                .iter()
                .map(|status| {
                    json!({
                        "type": "Ready", "status": status, "reason": "X", "message": "",
                        "lastTransitionTime": "2026-01-01T00:00:00Z",
                    })
                })
                .collect();
            let object = json!({
                "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate",
                "metadata": {"name": name, "namespace": "fleet", "uid": name, "generation": 1},
                "spec": {
                    "host": "h", "agent": {"product": "tls-service", "name": "web"},
                    "api": {"hostApi": {"url": "https://h", "tlsSecretRef": {"name": "c"}}},
                    "certificate": {"dnsNames": ["h"]}, "issuerRef": {"name": "ca"},
                },
                "status": {"conditions": conditions},
            });
            fleet.apply(Event::Apply(serde_json::from_value(object).expect("an object")));
        }
        let schedule = Arc::new(Mutex::new(Schedule::new(1, Duration::from_secs(60), Instant::now())));
        Metrics::new(Some(Sources { fleet, schedule }))
    }

    /// Holds B17: a dead host's condition is Unknown, and an alert on `== 0` sees it.
    #[test]
    fn every_status_of_ready_is_a_sample_and_exactly_one_holds() {
        let metrics = fleet_of(&[("up", Some("True")), ("down", Some("Unknown")), ("new", None)]);
        metrics.leading(true);
        let text = text_of(&metrics);
        let value = |name: &str, status: &str| {
            let labels = format!("name=\"{name}\",host=\"h\",product=\"tls-service\",status=\"{status}\"}} ");
            let line =
                text.lines().find(|line| line.starts_with("kagiban_certificate_ready{") && line.contains(&labels));
            line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
        };
        for (name, is) in [("up", "True"), ("down", "Unknown"), ("new", "Unknown")] {
            for status in ["True", "False", "Unknown"] {
                let expected = if status == is { "1.0" } else { "0.0" };
                assert_eq!(value(name, status).as_deref(), Some(expected), "{name} {status}\n{text}");
            }
        }
    }

    /// Holds B17: a follower exports itself and not the fleet.
    #[test]
    fn only_the_leader_exports_the_fleet() {
        let metrics = fleet_of(&[("up", Some("True"))]);
        let follower = text_of(&metrics);
        assert!(follower.contains("kagiban_operator_leader 0") && !follower.contains("name=\"up\""), "{follower}");
        metrics.leading(true);
        let leader = text_of(&metrics);
        assert!(leader.contains("kagiban_certificate_ready{") && leader.contains("resources_overdue 0"), "{leader}");
    }
}
