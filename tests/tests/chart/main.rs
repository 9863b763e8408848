//! The Helm chart: what it renders is what Kubernetes takes, grants no more than is needed, and comes, changes and goes as docs/install.md says.

mod access;
mod manifests;
mod programs;
mod releases;
mod values;
mod written;

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Result;
use kagiban_tests::control_plane::{ControlPlane, OPERATOR_NAMESPACE};
use kagiban_tests::kubeconform::Schemas;
use kagiban_tests::kubectl::Kubectl;
use kagiban_tests::{tools, wait};
use serde_json::{Value, json};

/// The API server publishes the schema of a new CRD within seconds; two cores may be busy.
const PUBLISHED: Duration = Duration::from_secs(120);

/// What users set, by name. Each is rendered, linted, and taken by the API server.
fn matrix() -> Vec<(&'static str, Value)> {
    let fleet = json!({
        "defaults": {"passwordSecret": "stores", "labels": {"site": "tokyo"}},
        "hosts": [
            {"host": "ups-01.example.com"},
            {"host": "ups-02.example.com", "port": 9443, "issuer": "other-ca", "dnsNames": ["ups-02", "ups-02.example.com"]},
            {"host": "ups-02.example.com", "product": "self-renewing-service", "agent": "console", "renewBefore": "48h"},
            {"host": "ups-03", "name": "third", "url": "https://192.0.2.3:9995", "rotation": {"paused": true, "nearExpiry": "Wait"}},
        ],
    });
    let exporter = json!({
        "enabled": true,
        "config": {"tlsEndpoints": [{"address": "ups-01.example.com:6547"}]},
        "secrets": ["ups-passwords"],
        "certificateVolumes": [{"name": "certs", "mountPath": "/srv/certs", "source": {"configMap": {"name": "certs"}}}],
        "tolerations": [{"operator": "Exists"}],
    });
    let scrape = json!({
        "enabled": true,
        "operator": true,
        "fleet": true,
        "static": [{"targets": ["192.0.2.9:9996"], "labels": {"site": "osaka"}}],
        "files": ["/etc/prometheus/kagiban/*.json"],
        "http": ["https://inventory.example.com/targets"],
        "scheme": "https",
        "spec": {"tlsConfig": {"insecureSkipVerify": true}, "scrapeTimeout": "10s"},
    });
    let everything = json!({
        "imageRegistry": "registry.example.com/kagiban/",
        "imagePullSecrets": [{"name": "pull"}],
        "commonLabels": {"team": "facilities"},
        "crds": {"annotations": {"example.com/owner": "facilities"}},
        "operator": {
            "image": {"digest": format!("sha256:{}", "0".repeat(64))},
            "secrets": [{"namespace": "chart-fleet"}, {"namespace": "chart-other", "names": ["ca"]}],
            "allowHosts": ["*.example.com", "192.0.2.0/24"],
            "lineage": "tokyo",
            "networkPolicy": {
                "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
                "apiServerCIDRs": ["10.96.0.1/32"],
                "hostCIDRs": ["192.0.2.0/24"],
            },
            "priorityClassName": "system-cluster-critical",
            "podAnnotations": {"example.com/a": "b"},
        },
        "exporter": exporter,
        "monitoring": {
            "labels": {"release": "prometheus"},
            "interval": "30s",
            "serviceMonitor": {"enabled": true},
            "scrapeConfig": scrape,
            "prometheusRule": {"enabled": true},
            "dashboards": {"enabled": true, "annotations": {"grafana_folder": "Kagiban"}},
        },
        "fleet": fleet,
    });
    vec![
        ("defaults", json!({})),
        ("everything", everything),
        ("one namespace", json!({"operator": {"namespace": "chart-fleet", "secrets": [{"namespace": "chart-fleet"}]}})),
        ("no CRDs", json!({"crds": {"enabled": false}})),
        ("a fleet in one namespace", json!({"operator": {"namespace": "chart-fleet"}, "fleet": fleet})),
        ("Secrets everywhere", json!({"operator": {"secretsInAllNamespaces": true}})),
        ("ServiceMonitor", json!({"exporter": {"enabled": true}, "monitoring": {"serviceMonitor": {"enabled": true}}})),
        ("PodMonitor", json!({"exporter": exporter, "monitoring": {"podMonitor": {"enabled": true}}})),
        (
            "exporter with TLS",
            json!({
                "operator": {"enabled": false},
                "exporter": {"enabled": true, "web": {"configSecret": "web", "scheme": "https"}},
                "monitoring": {
                    "podMonitor": {"enabled": true},
                    "exporterEndpoint": {"tlsConfig": {"insecureSkipVerify": true}},
                },
            }),
        ),
        (
            "ScrapeConfig",
            json!({"monitoring": {"scrapeConfig": {"enabled": true, "http": ["http://sd.example.com/"]}}}),
        ),
        (
            "the operator's list of hosts",
            json!({"monitoring": {"scrapeConfig": {"enabled": true, "operator": true, "port": 19996}}}),
        ),
        (
            "rules and dashboards",
            json!({"monitoring": {"prometheusRule": {"enabled": true}, "dashboards": {"enabled": true}}}),
        ),
    ]
}

/// The control plane of all tests here: the CRDs of the Prometheus Operator, and the namespaces that the matrix names, which enforce
/// the Pod Security Standard `restricted`.
fn plane() -> Result<&'static ControlPlane> {
    static PREPARED: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    let plane = ControlPlane::shared()?;
    PREPARED
        .get_or_init(|| prepare(&plane.admin().map_err(|e| format!("{e:#}"))?).map_err(|e| format!("{e:#}")))
        .clone()
        .map_err(anyhow::Error::msg)?;
    Ok(plane)
}

fn prepare(admin: &Kubectl) -> Result<()> {
    // Not `apply`: its annotation would be too long.
    admin.run(&["create", "-f", &tools::monitoring_crds()?.to_string_lossy()])?;
    for name in [OPERATOR_NAMESPACE, "chart-fleet", "chart-other"] {
        admin.create_namespace(name)?;
        admin.run(&["label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted"])?;
    }
    Ok(())
}

/// The schemas of Kubernetes, of our CRD and of the Prometheus Operator's, as this API server publishes them.
fn schemas(admin: &Kubectl) -> Result<Schemas> {
    let ours = ["ServiceMonitor", "PodMonitor", "PrometheusRule"].map(|kind| (kind, "monitoring.coreos.com/v1"));
    let others =
        [("ScrapeConfig", "monitoring.coreos.com/v1alpha1"), ("ManagedAgentCertificate", "kagiban.dev/v1alpha1")];
    wait::for_some(PUBLISHED, || {
        let schemas = Schemas::published(admin).ok()?;
        ours.iter().chain(&others).all(|(kind, version)| schemas.knows(kind, version)).then_some(schemas)
    })
}

/// Those of a kind.
fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}
