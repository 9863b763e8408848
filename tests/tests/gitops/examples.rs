//! The examples of GitOps, and what an apply of them leaves.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_crds::resource::{FINALIZER, PURPOSE_LABEL};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::helm::Chart;
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

/// Each file of examples/gitops but those of Kustomize, which are applied in another test.
fn files() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for directory in ["argocd", "argocd/apps", "flux", "flux/operator", "secrets"] {
        for entry in std::fs::read_dir(example(directory))? {
            files.extend(Some(entry?.path()).filter(|path| path.is_file()));
        }
    }
    Ok(files)
}

fn documents(path: &str) -> Result<Vec<Value>> {
    yaml::documents(&std::fs::read_to_string(example(path))?)
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
    let files = files()?;
    ensure!(files.len() >= 10, "{files:?}");
    for path in files {
        let (releases, others): (Vec<_>, Vec<_>) =
            yaml::documents(&std::fs::read_to_string(&path)?)?.into_iter().partition(|it| it["kind"] == "HelmRelease");
        let manifest = json!({"apiVersion": "v1", "kind": "List", "items": others}).to_string();
        let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
        let taken = wait::for_some(DEADLINE, || admin.run_with_input(&apply, &manifest).ok());
        ensure!(taken.is_ok(), "{}: {:?}", path.display(), admin.run_with_input(&apply, &manifest));
        // Its CRD cannot be had: by its types
        for release in releases {
            let read = process::output_with_input(&mut Command::new(tools::helm_release()?), &format!("{release}\n"))?;
            ensure!(read.status.success(), "{}: {read:?}", path.display());
        }
    }
    Ok(())
}

/// What the Secrets need that others make, as the operator wants them.
#[test]
fn the_secrets_of_the_examples_say_what_they_are_for() -> Result<()> {
    for secret in [documents("secrets/external-secret.yaml")?, documents("secrets/sealed-secret.yaml")?].concat() {
        let (template, keys): (_, Vec<&str>) = match secret["kind"].as_str() {
            Some("ExternalSecret") => {
                let data = secret["spec"]["data"].as_array().context("its data")?;
                (&secret["spec"]["target"]["template"], data.iter().filter_map(|it| it["secretKey"].as_str()).collect())
            }
            Some("SealedSecret") => {
                let data = secret["spec"]["encryptedData"].as_object().context("its data")?;
                (&secret["spec"]["template"], data.keys().map(String::as_str).collect())
            }
            other => anyhow::bail!("{other:?}"),
        };
        let purpose = template["metadata"]["labels"][PURPOSE_LABEL].as_str().context("a purpose")?;
        let expected = match purpose {
            "issuer" => ("kubernetes.io/tls", BTreeSet::from(["tls.crt", "tls.key"])),
            "client-tls" => ("kubernetes.io/tls", BTreeSet::from(["tls.crt", "tls.key", "ca.crt"])),
            "keystore-password" => ("Opaque", BTreeSet::from(["password"])),
            other => anyhow::bail!("no purpose: {other}"),
        };
        let keys = BTreeSet::from_iter(keys);
        ensure!((template["type"].as_str(), keys) == (Some(expected.0), expected.1), "{secret}");
    }
    Ok(())
}

/// By both tools the operator is installed alike, with the Secrets of each site.
#[test]
fn the_values_of_both_tools_give_the_operator_the_secrets_of_every_site() -> Result<()> {
    let argo = documents("argocd/apps/operator.yaml")?;
    let flux = documents("flux/operator/release.yaml")?;
    let release = flux.iter().find(|it| it["kind"] == "HelmRelease").context("a HelmRelease")?;
    ensure!(release["spec"]["values"] == argo[0]["spec"]["source"]["helm"]["valuesObject"], "{release}\n{argo:?}");
    let objects = Chart::ours().render("kagiban-system", &release["spec"]["values"])?;
    for name in SITES {
        let namespace = format!("fleet-{name}");
        let granted =
            objects.iter().any(|it| it["kind"] == "Role" && it["metadata"]["namespace"] == namespace.as_str());
        ensure!(granted, "no Role in {namespace}");
        for file in ["argocd/apps/namespaces.yaml", "flux/operator/namespaces.yaml"] {
            ensure!(
                documents(file)?.iter().any(|it| it["metadata"]["name"] == namespace.as_str()),
                "{file}: {namespace}"
            );
        }
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
