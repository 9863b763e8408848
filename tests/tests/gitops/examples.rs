//! The examples of GitOps, and what an apply of them leaves.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_crds::resource::{FINALIZER, PURPOSE_LABEL};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::kubectl::Kubectl;
use kagiban_tests::operator::Operator;
use kagiban_tests::{process, quickstart, scratch, tools, wait, yaml};
use serde_json::{Value, json};

use super::{Health, read};

const DEADLINE: Duration = Duration::from_secs(120);
const SITES: [&str; 2] = ["tokyo", "osaka"];

fn example(path: &str) -> PathBuf {
    tools::workspace().join("examples/gitops").join(path)
}

fn site(kubectl: &Kubectl, name: &str) -> Result<String> {
    kubectl.run(&["kustomize", &example("sites").join(name).to_string_lossy()])
}

/// What an apply would change, or nothing; kubectl's exit code tells the two from an error.
fn difference(kubectl: &Kubectl, how: &[&str], manifest: &str) -> Result<String> {
    let output = process::output_with_input(kubectl.command().arg("diff").args(how).args(["-f", "-"]), manifest)?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    match output.status.code() {
        Some(0 | 1) => Ok(said),
        code => anyhow::bail!("kubectl diff: {code:?}: {said}"),
    }
}

#[test]
fn the_api_server_takes_every_example_with_the_crds_of_the_tools_that_they_are_for() -> Result<()> {
    let plane = ControlPlane::shared()?;
    let admin = plane.admin()?;
    for directory in tools::gitops_crds()? {
        // Larger than what a client-side apply keeps of an object
        admin.run(&["apply", "--server-side", "-f", &directory.to_string_lossy()])?;
    }
    for namespace in ["argocd", "flux-system", "fleet-tokyo"] {
        admin.create_namespace(namespace)?;
    }
    for file in [
        "argocd/root.yaml",
        "argocd/apps/operator.yaml",
        "argocd/apps/sites.yaml",
        "argocd/argocd-cm.yaml",
        "flux/fleet.yaml",
        "secrets/external-secret.yaml",
    ] {
        let path = example(file);
        let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", &path.to_string_lossy()];
        let taken = wait::for_some(DEADLINE, || admin.run(&apply).ok());
        ensure!(taken.is_ok(), "{file}: {:?}", admin.run(&apply));
    }
    for secret in yaml::documents(&std::fs::read_to_string(example("secrets/external-secret.yaml"))?)? {
        let template = &secret["spec"]["target"]["template"];
        let purpose = template["metadata"]["labels"][PURPOSE_LABEL].as_str().context("a purpose")?;
        let keys: Vec<_> =
            secret["spec"]["data"].as_array().into_iter().flatten().map(|it| it["secretKey"].clone()).collect();
        let expected = match purpose {
            "issuer" => ("kubernetes.io/tls", json!(["tls.crt", "tls.key"])),
            "client-tls" => ("kubernetes.io/tls", json!(["tls.crt", "tls.key", "ca.crt"])),
            "keystore-password" => ("Opaque", json!(["password"])),
            other => anyhow::bail!("no purpose: {other}"),
        };
        ensure!((template["type"].as_str(), json!(keys)) == (Some(expected.0), expected.1), "{secret}");
    }
    Ok(())
}

/// What others have in Argo CD's ConfigMap stays.
#[test]
fn the_health_script_is_merged_into_the_config_map_that_is_there() -> Result<()> {
    let kubectl = ControlPlane::shared()?.admin()?.create_namespace("argocd-cm")?;
    kubectl.run(&["create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example.com"])?;
    let mut patch: Value = serde_yaml::from_str(&std::fs::read_to_string(example("argocd/argocd-cm.yaml"))?)?;
    patch["metadata"]["namespace"] = json!("argocd-cm");
    let file = scratch::directory("argocd-cm")?.join("patch.yaml");
    std::fs::write(&file, patch.to_string())?;
    kubectl.run(&["patch", "configmap", "argocd-cm", "--patch-file", &file.to_string_lossy()])?;
    let data = kubectl.json(&["get", "configmap", "argocd-cm"])?["data"].take();
    ensure!(
        data["url"] == "https://argocd.example.com" && data.as_object().is_some_and(|data| data.len() == 2),
        "{data}"
    );
    Ok(())
}

/// Neither the API server's defaults nor what the operator writes stand in the way of what Git says, whichever way it is applied.
#[test]
fn after_an_apply_there_is_no_difference_before_and_after_the_operator_has_looked() -> Result<()> {
    let plane = ControlPlane::start()?;
    let admin = plane.admin()?;
    quickstart::install_crd(&admin)?;
    let mut applied = Vec::new();
    for name in SITES {
        let namespace = format!("fleet-{name}");
        let kubectl = admin.create_namespace(&namespace)?;
        quickstart::install_rbac(&admin, &namespace)?;
        let manifest = site(&kubectl, name)?;
        let mut plan = Command::new(tools::ours("kagiban-operator")?);
        let planned = process::output_with_input(plan.args(["plan", "--offline", "-f", "-"]), &manifest)?;
        ensure!(planned.status.success(), "{}", String::from_utf8_lossy(&planned.stdout));
        let how: &[&str] = if name == "tokyo" { &["--server-side"] } else { &[] };
        let apply = [&["apply"], how, &["-f", "-"]].concat();
        wait::for_some(DEADLINE, || kubectl.run_with_input(&apply, &manifest).ok()).context("the CRD is served")?;
        applied.push((kubectl, how, manifest));
    }
    let undisturbed = |when: &str| -> Result<()> {
        for (kubectl, how, manifest) in &applied {
            let difference = difference(kubectl, how, manifest)?;
            ensure!(difference.is_empty(), "{when}: {difference}");
        }
        Ok(())
    };
    undisturbed("before the operator has looked")?;
    let (tokyo, _, manifest) = &applied[0];
    let new = tokyo.json(&["get", "mac", "ups-01"])?;
    ensure!(new["status"] == json!({"observedGeneration": -1}), "{new}");
    ensure!(read(&[new])? == [Health::InProgress], "an object that nobody has looked at is as it should be");

    let directory = scratch::directory("gitops")?;
    let operator = Operator::start(&directory, plane.operator_kubeconfig(), "fleet-tokyo", Duration::from_secs(2))?;
    let held = wait::for_some(DEADLINE, || {
        let seen = tokyo.json(&["get", "mac", "ups-01"]).ok()?;
        (seen["status"]["observedGeneration"] == 1).then_some(())
    });
    held.with_context(|| operator.program.log_text())?;
    undisturbed("after the operator has looked")?;
    // As it is from the first rotation on
    let finalizer = json!({"metadata": {"finalizers": [FINALIZER]}}).to_string();
    tokyo.run(&["patch", "mac", "ups-01", "--type=merge", "-p", &finalizer])?;
    undisturbed("while the operator holds it")?;
    tokyo.run_with_input(&["apply", "--server-side", "-f", "-"], manifest)?;
    let again = tokyo.json(&["get", "mac", "ups-01"])?;
    ensure!(again["metadata"]["finalizers"].is_array() && again["metadata"]["generation"] == 1, "{again}");
    Ok(())
}
