//! What is rendered, against kubeconform, the API server's dry run and its Pod Security admission.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use kagiban_tests::control_plane::OPERATOR_NAMESPACE;
use kagiban_tests::helm::{self, Chart, Helm};
use kagiban_tests::kubectl::Kubectl;
use kagiban_tests::tools;
use serde_json::{Value, json};

use super::{matrix, of_kind, plane, schemas};

/// A rule file and a dashboard, with what a template would evaluate, besides those of the chart.
fn chart_with_samples() -> Result<Chart> {
    let chart = Chart::copied()?;
    chart.write("rules/sample.yaml", RULES)?;
    chart.write("dashboards/sample.json", DASHBOARD)?;
    Ok(chart)
}

const RULES: &str = "\
# What a rule file has.
groups:
  - name: sample
    rules:
      - alert: Sample
        expr: kagiban_certificate_ready{status=\"True\"} == 0
        for: 15m
        labels: {severity: warning}
        annotations:
          summary: '{{ $labels.host }} is not ready for {{ $value | humanizeDuration }}'
";
const DASHBOARD: &str = "{\n  \"title\": \"Sample\",\n  \"legend\": \"{{host}}\",\n  \"text\": \"a\\nb\"\n}\n";

#[test]
fn the_chart_passes_helms_own_lint_with_whatever_is_set() -> Result<()> {
    let (helm, chart) = (Helm::new()?, Chart::ours());
    for (name, values) in matrix() {
        helm.run(&["lint", "--strict", chart.path(), "--values", &helm::values_file(&values)?])
            .with_context(|| name.to_owned())?;
    }
    Ok(())
}

#[test]
fn every_manifest_is_of_its_schema_and_the_api_server_takes_it() -> Result<()> {
    let admin = plane()?.admin()?;
    let schemas = schemas(&admin)?;
    let chart = chart_with_samples()?;
    for (name, values) in matrix() {
        let manifests = chart.template(OPERATOR_NAMESPACE, &values)?;
        schemas.check(&manifests).with_context(|| format!("{name}: {manifests}"))?;
        dry_run(&admin, &manifests).with_context(|| name.to_owned())?;
    }
    // Those who judge can refuse.
    let typo = |manifests: &str| manifests.replace("serviceAccountName:", "serviceAcountName:");
    let manifests = typo(&chart.template(OPERATOR_NAMESPACE, &json!({}))?);
    ensure!(schemas.check(&manifests).is_err(), "kubeconform takes a member that no pod has");
    let said = format!("{:#}", dry_run(&admin, &manifests).err().context("the API server takes it")?);
    ensure!(said.contains("serviceAcountName"), "{said}");
    Ok(())
}

/// A warning is a fault: with one the API server says that the pods of a Deployment would be refused.
fn dry_run(admin: &Kubectl, manifests: &str) -> Result<String> {
    let arguments =
        ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors", "-f", "-"];
    admin.run_with_input(&arguments, manifests)
}

#[test]
fn every_pod_is_admitted_where_restricted_is_enforced() -> Result<()> {
    let admin = plane()?.admin()?.in_namespace(OPERATOR_NAMESPACE);
    let mut admitted = 0;
    for (name, values) in matrix() {
        for pod in pods(&Chart::ours().render(OPERATOR_NAMESPACE, &values)?) {
            admin.run_with_input(&["create", "--dry-run=server", "-f", "-"], &pod).with_context(|| name.to_owned())?;
            admitted += 1;
        }
    }
    ensure!(admitted >= matrix().len(), "only {admitted} pods were shown");
    // What docs/install.md says is refused there.
    let host_path = json!([{"name": "a", "mountPath": "/a", "source": {"hostPath": {"path": "/etc"}}}]);
    for exporter in
        [json!({"enabled": true, "hostNetwork": true}), json!({"enabled": true, "certificateVolumes": host_path})]
    {
        let values = json!({"operator": {"enabled": false}, "exporter": exporter});
        let pod = pods(&Chart::ours().render(OPERATOR_NAMESPACE, &values)?).pop().context("a pod")?;
        let refused = admin.run_with_input(&["create", "--dry-run=server", "-f", "-"], &pod).err();
        let said = format!("{:#}", refused.with_context(|| format!("admitted: {exporter}"))?);
        ensure!(said.contains("violates PodSecurity"), "{said}");
    }
    Ok(())
}

/// The pods that a controller would make, which Pod Security judges; of their templates it only warns.
fn pods(objects: &[Value]) -> Vec<String> {
    let templates = objects.iter().filter(|object| object["kind"] == "Deployment" || object["kind"] == "DaemonSet");
    templates
        .map(|object| {
            let name = &object["metadata"]["name"];
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": object["spec"]["template"]["spec"]})
                .to_string()
        })
        .collect()
}

#[test]
fn rules_and_dashboards_are_taken_as_they_are_written() -> Result<()> {
    let chart = chart_with_samples()?;
    let values = json!({"monitoring": {
        "labels": {"release": "prometheus"},
        "prometheusRule": {"enabled": true, "labels": {"role": "alerts"}},
        "dashboards": {"enabled": true, "labels": {"grafana_dashboard": "1"}, "namespace": "grafana"},
    }});
    let objects = chart.render(OPERATOR_NAMESPACE, &values)?;
    let named = |kind: &str, name: &str| {
        let found = of_kind(&objects, kind).into_iter().find(|object| object["metadata"]["name"] == name).cloned();
        found.with_context(|| format!("no {kind} {name}"))
    };
    let rule = named("PrometheusRule", "kagiban-sample")?;
    ensure!(rule["spec"] == serde_yaml::from_str::<Value>(RULES)?, "{rule}");
    ensure!(rule["metadata"]["labels"]["release"] == "prometheus", "{rule}");
    ensure!(rule["metadata"]["labels"]["role"] == "alerts", "{rule}");
    let dashboard = named("ConfigMap", "kagiban-dashboard-sample")?;
    ensure!(dashboard["data"]["kagiban-sample.json"].as_str().map(str::trim) == Some(DASHBOARD.trim()), "{dashboard}");
    ensure!(dashboard["metadata"]["namespace"] == "grafana", "{dashboard}");
    ensure!(dashboard["metadata"]["labels"]["grafana_dashboard"] == "1", "{dashboard}");
    Ok(())
}

/// Each dashboard of the chart is one ConfigMap, far below the megabyte that one may hold; without Helm all are one, by the commands of the documentation.
#[test]
fn every_dashboard_comes_into_the_cluster_as_it_is() -> Result<()> {
    let directory = tools::workspace().join("charts/kagiban/dashboards");
    let files: BTreeMap<_, _> = fs::read_dir(directory)?
        .map(|file| {
            let file = file?;
            Ok((file.file_name().to_string_lossy().into_owned(), fs::read_to_string(file.path())?))
        })
        .collect::<Result<_>>()?;
    ensure!(files.len() >= 4, "{:?}", files.keys());
    let values = json!({"monitoring": {"dashboards": {"enabled": true, "annotations": {"grafana_folder": "Kagiban"}}}});
    let objects = Chart::ours().render(OPERATOR_NAMESPACE, &values)?;
    let maps =
        of_kind(&objects, "ConfigMap").into_iter().filter(|it| it["metadata"]["labels"]["grafana_dashboard"] == "1");
    let mut rendered = BTreeMap::new();
    for map in maps {
        ensure!(map["metadata"]["annotations"]["grafana_folder"] == "Kagiban", "{}", map["metadata"]);
        for (name, text) in map["data"].as_object().context("no data")? {
            let name = name.strip_prefix("kagiban-").context("a name of ours")?;
            rendered.insert(name.to_owned(), text.as_str().context("a text")?.to_owned());
        }
    }
    ensure!(rendered == files, "{:?} are rendered, of {:?}", rendered.keys(), files.keys());
    ensure!(files.values().all(|text| text.len() < 500_000), "Kubernetes takes no larger ConfigMap");

    let admin = plane()?.admin()?;
    admin.create_namespace("monitoring")?;
    let text = fs::read_to_string(tools::workspace().join("docs/dashboards.md"))?;
    let commands: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("$ kubectl ")).collect();
    ensure!(commands.len() == 2, "{commands:?}");
    for command in commands {
        let files = tools::workspace().join("charts").display().to_string();
        let words: Vec<_> = command.split(' ').map(|word| word.replace("=charts", &format!("={files}"))).collect();
        admin.run(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    let made = admin.json(&["get", "configmap", "-n", "monitoring", "-l", "grafana_dashboard=1"])?;
    ensure!(made["items"][0]["data"] == json!(files), "{}", made["items"][0]["metadata"]);
    Ok(())
}

#[test]
fn a_host_of_the_fleet_becomes_the_resource_that_a_person_would_write() -> Result<()> {
    let values = json!({"fleet": {"hosts": [
        {"host": "ups-01.example.com", "passwordSecret": "powerchute-store"},
    ]}});
    let objects = Chart::ours().render("default", &values)?;
    let resource = of_kind(&objects, "ManagedAgentCertificate").pop().context("no resource")?;
    let by_hand = kagiban_tests::quickstart::resource("https://ups-01.example.com:9995")?;
    ensure!(resource["spec"] == by_hand["spec"], "{resource}");
    ensure!(resource["metadata"]["name"] == by_hand["metadata"]["name"], "{resource}");
    Ok(())
}

#[test]
fn the_operator_reaches_the_port_of_every_host_of_the_fleet() -> Result<()> {
    let values = json!({"fleet": {"hosts": [
        {"host": "ups-01"},
        {"host": "ups-02", "port": 9443},
        {"host": "ups-03", "url": "https://192.0.2.3:10995"},
        {"host": "ups-04", "url": "https://[2001:db8::4]"},
    ]}});
    for (values, ports) in [(json!({}), vec![9995]), (values, vec![9995, 9443, 10995, 443])] {
        let objects = Chart::ours().render("default", &values)?;
        let policies = of_kind(&objects, "NetworkPolicy");
        let egress = policies.iter().find_map(|policy| policy["spec"]["egress"].as_array()).context("no egress")?;
        let reached = egress.last().and_then(|hosts| hosts["ports"].as_array()).context("no hosts")?;
        let reached: Vec<_> = reached.iter().map(|port| port["port"].as_i64()).collect();
        ensure!(reached == ports.into_iter().map(Some).collect::<Vec<_>>(), "{reached:?}");
    }
    Ok(())
}

#[test]
fn prometheus_asks_the_operators_service_for_the_hosts_at_the_port_that_was_set() -> Result<()> {
    let values = json!({"monitoring": {"scrapeConfig": {"enabled": true, "operator": true, "port": 19996}}});
    let objects = Chart::ours().render("kagiban-system", &values)?;
    let service = of_kind(&objects, "Service").pop().context("no Service")?;
    let config = of_kind(&objects, "ScrapeConfig").pop().context("no ScrapeConfig")?;
    let (name, port) = (service["metadata"]["name"].as_str(), &service["spec"]["ports"][0]["port"]);
    let url = format!("http://{}.kagiban-system.svc:{port}/sd", name.context("a name")?);
    ensure!(config["spec"]["httpSDConfigs"] == json!([{"url": url}]), "{}", config["spec"]);
    let arguments = |objects: &[Value]| {
        let operator = of_kind(objects, "Deployment").pop().cloned().unwrap_or_default();
        operator["spec"]["template"]["spec"]["containers"][0]["args"].to_string()
    };
    ensure!(arguments(&objects).contains("\"--discovery-port=19996\""), "{}", arguments(&objects));
    // Who asks for none gets none.
    let objects = Chart::ours().render("kagiban-system", &json!({}))?;
    ensure!(of_kind(&objects, "Service").is_empty() && !arguments(&objects).contains("discovery"), "{objects:?}");
    Ok(())
}

#[test]
fn what_could_only_be_a_mistake_is_refused_with_what_to_do() -> Result<()> {
    let host = json!({"host": "ups-01.example.com"});
    let both = json!({"serviceMonitor": {"enabled": true}, "podMonitor": {"enabled": true}});
    for (values, says) in [
        (json!({"operater": {}}), "'operater' not allowed"),
        (json!({"operator": {"replica": 3}}), "'replica' not allowed"),
        (json!({"operator": {"image": {"sha": "x"}}}), "'sha' not allowed"),
        (json!({"operator": {"secrets": ["fleet"]}}), "got string, want object"),
        (json!({"operator": {"secrets": [{"namespace": "fleet", "names": []}]}}), "minItems"),
        (json!({"operator": {"secrets": [{"namespace": "a"}, {"namespace": "a", "names": ["b"]}]}}), "one entry"),
        (json!({"operator": {"namespace": "Fleet"}}), "/operator/namespace"),
        (json!({"operator": {"namespace": "fleet", "secretsInAllNamespaces": true}}), "operator.secrets"),
        (json!({"operator": {"resync": 5}}), "/operator/resync"),
        (json!({"exporter": {"web": {"port": 0}}}), "/exporter/web/port"),
        (json!({"fleet": {"hosts": [{"hots": "ups-01"}]}}), "'hots' not allowed"),
        (json!({"fleet": {"hosts": [{"host": "ups-01", "product": "powerchute"}]}}), "/product"),
        (json!({"fleet": {"hosts": [host, host]}}), "another `name`"),
        (json!({"monitoring": both}), "enable one of them"),
        (json!({"monitoring": {"scrapeConfig": {"enabled": true}}}), "names no host"),
        (
            json!({"operator": {"enabled": false}, "monitoring": {"scrapeConfig": {"enabled": true, "operator": true}}}),
            "operator.enabled is false",
        ),
        (json!({"monitoring": {"scrapeConfig": {"spec": {"jobname": "x"}}}}), "'jobname' not allowed"),
    ] {
        let refused = Chart::ours().template("default", &values).err();
        let said = format!("{:#}", refused.with_context(|| format!("taken: {values}"))?);
        ensure!(said.contains(says), "{values}: {said}");
    }
    Ok(())
}
