//! `kagiban_certificate_*` and what else Prometheus is told of the fleet.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::controller::{SharedSchedule, lock};
use crate::decide::Reason;
use crate::fleet::{Fleet, ResourceName, ResourceSummary};
use crate::samples::{Labels, gauge, seconds};

/// What Prometheus is told of the fleet, as it is at the scrape. A time that is not known is no sample; a resource that is gone
/// leaves no series behind.
#[derive(Clone, Debug)]
pub(crate) struct FleetSeries {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) schedule: SharedSchedule,
}

impl Collector for FleetSeries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.queue(&mut encoder)?;
        let fleet = self.fleet.summaries();
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
            std::iter::once((Labels::new(), count(self.fleet.left_out()))),
        )
    }
}

impl FleetSeries {
    fn queue(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = Instant::now();
        let (overdue, due, running) = {
            let schedule = lock(&self.schedule);
            (schedule.overdue(now), schedule.due(now), schedule.running())
        };
        for (name, help, value) in [
            (
                "kagiban_operator_resources_overdue",
                "Resources that were not looked at to an end for three resync intervals; anything but 0 needs a person",
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

fn labels(name: &ResourceName, of: &ResourceSummary) -> Labels {
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::cluster::watch::Event;
    use crate::metrics::Metrics;
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
        Metrics::new(Some(Box::new(FleetSeries { fleet, schedule })))
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
