//! The life of a release as docs/install.md tells it: install, upgrade, rollback, uninstall, and who owns the CRD.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_tests::control_plane::{ControlPlane, OPERATOR_NAMESPACE};
use kagiban_tests::helm::{self, Chart, Helm, RELEASE};
use kagiban_tests::kubectl::Kubectl;
use kagiban_tests::{quickstart, wait};
use serde_json::{Value, json};

const CRD: &str = "crd/managedagentcertificates.kagiban.dev";
/// The words of the CRD that the chart before this one had otherwise.
const PRESENT: &str = "Which agent of that host.";
const BEFORE: &str = "Which agent of that host, as it was.";
const SOON: Duration = Duration::from_secs(30);

/// What a release consists of, by kind.
const KINDS: &str = "deployments,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,networkpolicies,poddisruptionbudgets,daemonsets,configmaps";

struct Cluster {
    _plane: ControlPlane,
    helm: Helm,
    admin: Kubectl,
}

impl Cluster {
    fn start() -> Result<Self> {
        let plane = ControlPlane::start()?;
        let (helm, admin) = (Helm::against(plane.admin_kubeconfig())?, plane.admin()?);
        Ok(Self { _plane: plane, helm, admin })
    }

    fn helm(&self, verb: &str, release: &str, rest: &[&str]) -> Result<String> {
        self.helm.run(&[&[verb, release], rest, &["--namespace", OPERATOR_NAMESPACE]].concat())
    }

    fn install(&self, release: &str, chart: &str, rest: &[&str]) -> Result<String> {
        self.helm("install", release, &[&[chart, "--create-namespace"], rest].concat())
    }

    fn crd_says(&self, words: &str) -> Result<bool> {
        Ok(self.admin.json(&["get", CRD])?.to_string().contains(words))
    }

    fn established(&self) -> Result<String> {
        self.admin.run(&["wait", "--for=condition=Established", "--timeout=30s", CRD])
    }

    /// What there is of releases besides the CRD.
    fn objects(&self) -> Result<Vec<String>> {
        let labelled = ["get", KINDS, "--all-namespaces", "-l", "app.kubernetes.io/part-of=kagiban", "-o", "name"];
        Ok(self.admin.run(&labelled)?.lines().map(str::to_owned).collect())
    }

    fn resources(&self) -> Result<Vec<String>> {
        let names = self.admin.run(&["get", "mac", "--all-namespaces", "-o", "name"])?;
        Ok(names.lines().filter_map(|line| Some(line.split_once('/')?.1.to_owned())).collect())
    }
}

fn fleet(hosts: &[&str]) -> Result<String> {
    let hosts: Vec<Value> = hosts.iter().map(|host| json!({"host": host})).collect();
    helm::values_file(&json!({"fleet": {"hosts": hosts}}))
}

#[test]
fn a_release_comes_changes_goes_back_and_goes_as_documented() -> Result<()> {
    let cluster = Cluster::start()?;
    let chart = Chart::ours().packaged()?;
    let chart = chart.to_str().context("UTF-8")?;

    // The kind of the fleet's resources must be there before them.
    let refused = cluster.install(RELEASE, chart, &["--values", &fleet(&["ups-01"])?]);
    let said = format!("{:#}", refused.err().context("a fleet before its CRD")?);
    ensure!(said.contains("ensure CRDs are installed first"), "{said}");
    ensure!(cluster.objects()?.is_empty(), "a refused install leaves nothing");

    let previous = Chart::copied()?;
    previous.replace("Chart.yaml", "\nversion: 0.1.0\n", "\nversion: 0.0.9\n")?;
    previous.replace("files/crds/managedagentcertificates.kagiban.dev.yaml", PRESENT, BEFORE)?;
    let before = previous.packaged()?;
    cluster.install(RELEASE, before.to_str().context("UTF-8")?, &[])?;
    cluster.established()?;
    ensure!(cluster.crd_says(BEFORE)?, "the CRD is the chart's");
    let installed = cluster.objects()?;
    for kind in ["deployment", "serviceaccount", "clusterrole", "networkpolicy", "poddisruptionbudget"] {
        ensure!(installed.iter().any(|it| it.starts_with(kind)), "no {kind}: {installed:?}");
    }
    let own = quickstart::resource("https://ups-09.example.com:9995")?.to_string();
    cluster.admin.in_namespace("default").apply(&own)?;

    // An upgrade of the release is one of the CRD, and loses no resource.
    cluster.helm("upgrade", RELEASE, &[chart, "--values", &fleet(&["ups-01", "ups-02"])?])?;
    ensure!(cluster.crd_says(PRESENT)?, "the CRD was upgraded");
    assert_eq!(cluster.resources()?, [quickstart::RESOURCE, "ups-01-powerchute", "ups-02-powerchute"]);
    cluster.helm("upgrade", RELEASE, &[chart, "--values", &fleet(&["ups-01"])?])?;
    assert_eq!(cluster.resources()?, [quickstart::RESOURCE, "ups-01-powerchute"], "a host that is taken out goes");

    // Going back takes the CRD and the fleet back too, and nothing of others.
    cluster.helm("rollback", RELEASE, &["1"])?;
    ensure!(cluster.crd_says(BEFORE)?, "the CRD went back");
    assert_eq!(cluster.resources()?, [quickstart::RESOURCE]);
    assert_eq!(cluster.objects()?, installed);

    // The finalizer of a resource that was not deleted while the operator ran holds it; the CRD stays.
    cluster.helm("upgrade", RELEASE, &[chart, "--values", &fleet(&["ups-01"])?])?;
    let fleet_namespace = cluster.admin.in_namespace(OPERATOR_NAMESPACE);
    let finalizers = |text: &str| {
        let patch = format!("{{\"metadata\":{{\"finalizers\":{text}}}}}");
        fleet_namespace.run(&["patch", "mac", "ups-01-powerchute", "--type=merge", "-p", &patch])
    };
    finalizers("[\"kagiban.dev/rotation\"]")?;
    let said = cluster.helm("uninstall", RELEASE, &[])?;
    ensure!(said.contains("kept due to the resource policy"), "{said}");
    assert_eq!(cluster.objects()?, Vec::<String>::new());
    let held = fleet_namespace.json(&["get", "mac", "ups-01-powerchute"])?;
    ensure!(held["metadata"]["deletionTimestamp"].is_string(), "{held}");
    finalizers("null")?;
    wait::until(SOON, || cluster.resources().is_ok_and(|names| names == [quickstart::RESOURCE]))
}

#[test]
fn a_crd_that_is_there_is_taken_over_only_when_that_is_said() -> Result<()> {
    let cluster = Cluster::start()?;
    let chart = Chart::ours();
    quickstart::install_crd(&cluster.admin)?;
    cluster.admin.create_namespace(OPERATOR_NAMESPACE)?;
    cluster
        .admin
        .in_namespace("default")
        .apply(&quickstart::resource("https://ups-09.example.com:9995")?.to_string())?;

    let refused = cluster.install(RELEASE, chart.path(), &[]).err().context("somebody else's CRD")?;
    let said = format!("{refused:#}");
    ensure!(said.contains("cannot be imported into the current release"), "{said}");
    // Without the chart's CRD, that of another stays as it is.
    cluster.install(RELEASE, chart.path(), &["--set", "crds.enabled=false"])?;
    ensure!(cluster.admin.json(&["get", CRD])?["metadata"]["labels"].is_null(), "it was touched");
    // Taken over, and kept when it is given up again and when the release goes.
    cluster.helm("upgrade", RELEASE, &[chart.path(), "--set", "crds.enabled=true", "--take-ownership"])?;
    let owned = cluster.admin.json(&["get", CRD])?;
    ensure!(owned["metadata"]["annotations"]["meta.helm.sh/release-name"] == RELEASE, "{owned}");
    cluster.helm("upgrade", RELEASE, &[chart.path(), "--set", "crds.enabled=false"])?;
    cluster.helm("upgrade", RELEASE, &[chart.path()])?;
    cluster.helm("uninstall", RELEASE, &[])?;
    assert_eq!(cluster.resources()?, [quickstart::RESOURCE]);
    // The same release comes back as it is; another one says that it takes over.
    cluster.install(RELEASE, chart.path(), &[])?;
    cluster.helm("uninstall", RELEASE, &[])?;
    ensure!(cluster.install("other", chart.path(), &[]).is_err(), "another release's CRD");
    cluster.install("other", chart.path(), &["--take-ownership"])?;
    assert_eq!(cluster.resources()?, [quickstart::RESOURCE]);
    Ok(())
}
