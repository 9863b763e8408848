//! A real Prometheus finds the exporters of the fleet by the operator's list of hosts, scrapes them, and keeps what it has while there is
//! no list.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::exporter::{Exporter, sample};
use kagiban_tests::kubectl::Kubectl;
use kagiban_tests::operator::Operator;
use kagiban_tests::process::Program;
use kagiban_tests::prometheus::Prometheus;
use kagiban_tests::{http, quickstart, scratch, tools, wait};
use serde_json::{Value, json};

const NAMESPACE: &str = "discovery";
const RESYNC: Duration = Duration::from_secs(2);
/// Prometheus asks every second here; two cores may be busy.
const DEADLINE: Duration = Duration::from_secs(120);

/// Puts a resource into the cluster for a host that no operator reaches.
fn apply(kubectl: &Kubectl, name: &str, host: &str) -> Result<()> {
    let mut resource = quickstart::resource("https://127.0.0.1:9")?;
    resource["metadata"]["name"] = json!(name);
    resource["spec"]["host"] = json!(host);
    kubectl.apply(&resource.to_string())?;
    Ok(())
}

/// The targets of a list, in its order; none where there is no list.
fn listed(operator: SocketAddr) -> Option<Vec<String>> {
    let answer = http::get(operator, "/sd").ok().filter(|answer| answer.status == 200)?;
    let groups = answer.json().ok()?;
    groups.as_array()?.iter().map(|group| Some(group["targets"][0].as_str()?.to_owned())).collect()
}

fn wait_listed(operator: &Operator, hosts: &[&str]) -> Result<()> {
    wait::until(DEADLINE, || listed(operator.metrics_address()).is_some_and(|found| found == hosts))
        .with_context(|| format!("{:?} and not {hosts:?}", http::get(operator.metrics_address(), "/sd")))
}

fn leads(operator: &Operator) -> bool {
    operator.metrics().is_ok_and(|metrics| sample(&metrics, "kagiban_operator_leader", &[]) == Some(1.0))
}

/// The addresses that are scraped with success.
fn scraped(prometheus: &Prometheus) -> Vec<String> {
    let targets = prometheus.targets().unwrap_or_default();
    let well = targets.iter().filter(|target| target["health"] == "up");
    well.filter_map(|target| Some(target["discoveredLabels"]["__address__"].as_str()?.to_owned())).collect()
}

#[test]
fn prometheus_scrapes_the_hosts_of_the_resources_and_keeps_them_while_no_operator_knows_them() -> Result<()> {
    let plane = ControlPlane::shared()?;
    let kubectl = plane.admin()?.create_namespace(NAMESPACE)?;
    quickstart::install_rbac(&plane.admin()?, NAMESPACE)?;
    let directory = scratch::directory(NAMESPACE)?;
    let exporter = Exporter::start(&directory, "discovery: {enabled: false}\n", &[])?;
    let port = exporter.address().port().to_string();
    let start = |name: &str| {
        let own = directory.join(name);
        fs::create_dir(&own)?;
        let words = ["--discovery-port", port.as_str()];
        Operator::start_with(&own, plane.operator_kubeconfig(), NAMESPACE, RESYNC, &words)
    };
    let mut leader = start("leader")?;
    wait::until(DEADLINE, || leads(&leader)).context("nobody leads")?;
    let follower = start("follower")?;
    wait_listed(&leader, &[])?;

    // Two resources for the host of this test, one for another.
    let (here, gone) = (format!("localhost:{port}"), format!("gone.example.com:{port}"));
    for (name, host) in [("one", "localhost"), ("two", "localhost"), ("three", "gone.example.com")] {
        apply(&kubectl, name, host)?;
    }
    wait_listed(&leader, &[&gone, &here])?;
    // Who does not lead gives the same answer: Prometheus may ask either.
    wait_listed(&follower, &[&gone, &here])?;
    ensure!(!leads(&follower), "both lead");

    let at = leader.metrics_address();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: hosts\n    http_sd_configs: [{{url: \"http://{at}/sd\", \
         refresh_interval: 1s}}]\n    relabel_configs: [{{source_labels: [__meta_kagiban_host], target_label: host}}]\n"
    );
    let prometheus = Prometheus::start_with(&directory, &config)?;
    prometheus.wait_for("up{job=\"hosts\",host=\"localhost\"} == 1", 1)?;
    prometheus.wait_for("kagiban_build_info{host=\"localhost\"}", 1)?;
    let found = prometheus.targets()?;
    ensure!(found.len() == 2, "{found:#?}");
    let of_host = found.iter().find(|target| target["discoveredLabels"]["__address__"] == here.as_str());
    let labels: &Value = &of_host.context("it is scraped")?["discoveredLabels"];
    ensure!(labels["__meta_kagiban_namespaces"] == format!(",{NAMESPACE},"), "{labels}");
    ensure!(labels["__meta_kagiban_products"] == ",powerchute-serial-shutdown,", "{labels}");

    // A host leaves with its last resource.
    kubectl.run(&["delete", "mac", "three", "--wait=false"])?;
    kubectl.run(&["delete", "mac", "one", "--wait=false"])?;
    wait_listed(&leader, &[&here])?;
    wait::until(DEADLINE, || prometheus.targets().is_ok_and(|targets| targets.len() == 1))
        .context("it is scraped on")?;

    // An operator that knows nothing yet has no answer, which is not an empty one.
    leader.program.kill()?;
    let _unsynced = without_cluster(&directory, at)?;
    let refused = http::get(at, "/sd")?;
    ensure!(refused.status == 503 && refused.body.contains("not all listed"), "{refused:?}");
    let failures = || {
        let metrics = prometheus.own_metrics().ok()?;
        let lines = metrics.lines().filter(|line| line.starts_with("prometheus_sd_http_failures_total"));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).reduce(f64::max)
    };
    let before = failures().context("Prometheus counts them")?;
    wait::until(DEADLINE, || failures().is_some_and(|now| now >= before + 3.0)).context("Prometheus does not ask")?;
    ensure!(scraped(&prometheus) == [here.clone()], "{:#?}", prometheus.targets()?);
    // The other replica has it all the while.
    wait_listed(&follower, &[&here])
}

/// An operator at this address whose API server does not answer.
fn without_cluster(directory: &Path, address: SocketAddr) -> Result<Program> {
    let kubeconfig = directory.join("no-cluster.yaml");
    let nowhere = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "none",
        "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "none", "user": {}}],
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    });
    fs::write(&kubeconfig, nowhere.to_string())?;
    let mut command = Command::new(tools::ours("kagiban-operator")?);
    command.args(["run", "--metrics-address", &address.to_string()]).env("KUBECONFIG", &kubeconfig);
    let mut program = Program::start("unsynced", &command, directory)?;
    program.wait_ready_on(address.port(), DEADLINE, || http::get(address, "/sd").is_ok())?;
    Ok(program)
}
