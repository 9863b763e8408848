//! The part of `docs/metrics.md` about this program, read from a page on which every family has a sample.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kagiban_crds::resource::Outcome;
use serde_json::json;

use crate::cluster::watch::Event;
use crate::fleet::Fleet;
use crate::fleet_series::FleetSeries;
use crate::manifest_health::ManifestSigns;
use crate::metrics::Metrics;
use crate::schedule::Schedule;

const MARKS: [&str; 2] = ["<!-- kagiban-operator: written by make docs -->\n", "<!-- end of kagiban-operator -->\n"];

/// A leader that everything has happened to.
fn page() -> String {
    let fleet = Arc::new(Fleet::default());
    let time = "2026-03-01T12:00:00Z";
    let object = json!({
        "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate",
        "metadata": {"name": "ups-01", "namespace": "fleet", "uid": "1", "generation": 1},
        "spec": {
            "host": "h", "agent": {"product": "tls-service", "name": "web"},
            "api": {"hostApi": {"url": "https://h", "tlsSecretRef": {"name": "c"}}},
            "certificate": {"dnsNames": ["h"]}, "issuerRef": {"name": "ca"},
        },
        "status": {
            "blockedBy": "OnBattery", "renewalTime": time,
            "leaf": {
                "sha256": "ab".repeat(32), "serial": "1", "notBefore": time, "notAfter": time, "issuer": "CN=CA",
                "requestDigest": "1",
            },
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "X", "message": "", "lastTransitionTime": time,
            }],
        },
    });
    fleet.apply(Event::Apply(serde_json::from_value(object).expect("an object")));
    let schedule = Arc::new(Mutex::new(Schedule::new(1, Duration::from_secs(60), Instant::now())));
    let metrics = Metrics::new(Some(Box::new(FleetSeries { fleet, schedule })));
    let now: Timestamp = time.parse().expect("a time");
    metrics.api_request("get", "secrets", "200");
    metrics.host_request("look", "ok");
    metrics.rotation_ended(Outcome::Committed);
    metrics.reconciled(Duration::from_secs(1));
    metrics.reconcile_failed("conflict");
    metrics.withheld("event");
    metrics.issuer_not_after("fleet", "ca", now);
    metrics.client_certificate_not_after("fleet", "c", now);
    metrics.leading(true);
    metrics.freshness().listed(Instant::now(), now);
    metrics.freshness().watched(Instant::now(), now);
    metrics.manifests().set(ManifestSigns { read: Some(now), ..ManifestSigns::default() });
    metrics.speaks_for(&"fleet".parse().expect("a name"));
    let mut text = String::new();
    metrics.write(&mut text).expect("a string takes everything");
    text
}

fn document(page: &str) -> String {
    let mut out = "\n| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n".to_owned();
    for family in page.split("# HELP ").skip(1) {
        let mut lines = family.lines();
        let (name, help) = lines.next().and_then(|line| line.split_once(' ')).expect("a name and its help");
        let kind = lines.next().and_then(|line| line.rsplit(' ').next()).expect("a type");
        let sample = lines.next().unwrap_or_else(|| panic!("{name} has no sample: `page` shall tell one"));
        // No value on this page has a quote or an equals sign. `le` is the upper end of a histogram's bucket.
        let labels = sample.split_once('{').map_or("", |(_, rest)| rest).split(['{', ',', '}']);
        let labels: Vec<_> = labels.filter_map(|label| Some(format!("`{}`", label.split_once("=\"")?.0))).collect();
        let unit = match name {
            _ if name.ends_with("_timestamp_seconds") => "s since 1970",
            _ if name.ends_with("_seconds") => "s",
            _ => "",
        };
        let labels = labels.join(", ");
        writeln!(out, "| `{name}` | {kind} | {unit} | {labels} | {} |", help.replace('|', "\\|")).expect("a string");
    }
    out
}

#[test]
fn the_documentation_of_every_metric_is_what_the_program_tells() {
    kagiban_docs::check_part("docs/metrics.md", MARKS, &document(&page())).unwrap_or_else(|error| panic!("{error:#}"));
}
