//! What a user gives the operator to read: resources that it cannot read, and files that `plan` is to judge.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::kubectl::Kubectl;
use kagiban_tests::operator::{Operator, THIS_MACHINE};
use kagiban_tests::quickstart::{self, Fleet, ISSUER_SECRET, PASSWORD_SECRET, RESOURCE};
use kagiban_tests::stage::condition;
use kagiban_tests::{process, scratch, tools, wait};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);

/// The CRD as an older version might have had it: everything goes into a spec.
fn lenient_crd() -> Result<Value> {
    let text = std::fs::read_to_string(tools::workspace().join("crds/managedagentcertificates.kagiban.dev.yaml"))?;
    let mut crd: Value = serde_yaml::from_str(&text)?;
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "properties": {"spec": anything, "status": anything}});
    crd["spec"]["versions"][0].as_object_mut().context("a version")?.remove("selectableFields");
    Ok(crd)
}

/// Holds B3: a resource that an older schema let in says what is wrong with it, keeps its metrics, and can be deleted.
#[test]
fn a_resource_that_cannot_be_read_says_so_and_is_released() -> Result<()> {
    let plane = ControlPlane::start()?;
    let admin = plane.admin()?;
    admin.apply(&lenient_crd()?.to_string())?;
    let kubectl = admin.create_namespace("unreadable")?;
    quickstart::install_rbac(&admin, "unreadable")?;
    let mut resource = quickstart::resource("https://127.0.0.1:1")?;
    resource["spec"]["certificate"]["duration"] = json!("1.5h");
    resource["metadata"]["finalizers"] = json!(["kagiban.dev/rotation"]);
    let created = wait::for_some(DEADLINE, || kubectl.apply(&resource.to_string()).ok());
    created.context("the lenient CRD takes it")?;
    let status = json!({"status": {
        "leaf": {"sha256": "ab".repeat(32), "serial": "1", "issuer": "CN=x", "requestDigest": "d",
                 "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2033-05-18T03:33:20Z"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Verified", "message": "served",
                        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}],
    }});
    kubectl.run(&["patch", "mac", RESOURCE, "--subresource=status", "--type=merge", "-p", &status.to_string()])?;
    quickstart::install_crd(&admin)?;

    let directory = scratch::directory("unreadable")?;
    let operator = Operator::start(&directory, plane.operator_kubeconfig(), "unreadable", Duration::from_secs(2))?;
    let seen = wait::for_some(DEADLINE, || {
        let status = kubectl.json(&["get", "mac", RESOURCE]).ok()?["status"].take();
        (condition(&status, "Ready")["status"] == "False").then_some(status)
    });
    let status = seen.context("it still says that it is ready")?;
    let ready = condition(&status, "Ready");
    ensure!(ready["reason"] == "Unreadable", "{ready}");
    ensure!(ready["message"].as_str().is_some_and(|message| message.contains("duration")), "{ready}");
    ensure!(condition(&status, "Stalled")["status"] == "True", "{status}");
    ensure!(status["leaf"]["serial"] == "1", "the rest of the status is gone: {status}");
    let metrics = operator.metrics()?;
    for (family, value) in [
        ("kagiban_certificate_ready{", " 0"),
        ("kagiban_certificate_not_after_timestamp_seconds{", " 2000000000"),
        ("kagiban_resources_unreadable", " 1"),
    ] {
        let line = metrics.lines().find(|line| line.starts_with(family)).with_context(|| family.to_owned())?;
        ensure!(line.trim_end_matches(".0").ends_with(value), "{line}");
    }

    // What was written of it then goes when it can be read, and so does what somebody else writes in the operator's name.
    let mended = json!({"spec": {"certificate": {"duration": "2160h"}}});
    kubectl.run(&["patch", "mac", RESOURCE, "--type=merge", "-p", &mended.to_string()])?;
    let mut status = Value::Null;
    let mut holds = |what: &dyn Fn(&Value) -> bool| {
        let seen = wait::for_some(DEADLINE, || {
            status = kubectl.json(&["get", "mac", RESOURCE]).ok()?["status"].take();
            what(&status).then_some(())
        });
        seen.with_context(|| format!("{status:#}\n{}", operator.program.log_text()))
    };
    let is_of = |status: &Value, kind: &str, reason: &str| condition(status, kind)["reason"] == reason;
    holds(&|status| !condition(status, "Ready").is_null() && !is_of(status, "Ready", "Unreadable"))?;
    holds(&|status| !is_of(status, "Stalled", "Unreadable"))?;
    for kind in ["Reconciling", "Stalled"] {
        let foreign = json!({
            "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate", "metadata": {"name": RESOURCE},
            "status": {"conditions": [
                {"type": kind, "status": "True", "reason": "Restored", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                {"type": "example.com/Seen", "status": "True", "reason": "Seen", "message": "",
                 "lastTransitionTime": "2026-01-01T00:00:00Z"},
            ]},
        });
        let file = directory.join("foreign.json");
        std::fs::write(&file, foreign.to_string())?;
        let file = file.to_string_lossy();
        let apply =
            ["apply", "--server-side", "--force-conflicts", "--subresource=status", "--field-manager=restore", "-f"];
        kubectl.run(&[&apply[..], &[&*file]].concat())?;
        holds(&|status| !is_of(status, kind, "Restored"))?;
        holds(&|status| is_of(status, "example.com/Seen", "Seen"))?;
    }
    kubectl.run(&["delete", "mac", RESOURCE, "--timeout=60s"])?;
    Ok(())
}

/// Holds B3: what an older schema let in and this one refuses is released when it is deleted, and says so then, whatever it is
/// that is refused.
#[test]
fn a_resource_that_the_present_schema_refuses_is_released() -> Result<()> {
    let plane = ControlPlane::start()?;
    let admin = plane.admin()?;
    admin.apply(&lenient_crd()?.to_string())?;
    let kubectl = admin.create_namespace("refused")?;
    quickstart::install_rbac(&admin, "refused")?;
    let url = "/spec/api/hostApi/url";
    let certificate = "/spec/certificate";
    let refused = [
        ("days", "/spec/certificate/duration", json!("90d")),
        ("no-duration", "/spec/certificate/duration", json!("")),
        ("number", "/spec/certificate/duration", json!(5)),
        ("renewal", "/spec/certificate/renewBefore", json!("30d")),
        ("no-names", certificate, json!({"duration": "2160h"})),
        ("no-address", certificate, json!({"dnsNames": ["ups-01.example.com"], "ipAddresses": ["x"]})),
        ("bracket", url, json!("https://[")),
        ("port", url, json!("https://ups-01.example.com:99999999999999999999")),
        ("no-url", "/spec/api/hostApi", json!({"tlsSecretRef": {"name": "fleet-client"}})),
        ("no-agent", "/spec/agent", json!({})),
        ("no-product", "/spec/agent", json!({"name": "powerchute"})),
        ("no-members", "/spec", json!({"host": "h", "agent": {"product": "tls-service", "name": "a"}})),
        ("others-renewal", "/spec/renewal", json!({"renewBefore": "30d"})),
        ("others-members", "/spec/agent/product", json!("self-renewing-service")),
        ("other-product", "/spec/agent/product", json!("of-the-next-version")),
        ("no-spec", "/spec", json!({})),
    ];
    let long = "x".repeat(70);
    let mut names = vec![long.as_str()];
    let mut resource = quickstart::resource("https://127.0.0.1:1")?;
    resource["metadata"]["finalizers"] = json!(["kagiban.dev/rotation"]);
    resource["metadata"]["name"] = json!(long);
    let created = wait::for_some(DEADLINE, || kubectl.apply(&resource.to_string()).ok());
    created.context("the lenient CRD takes it")?;
    for (name, pointer, value) in &refused {
        let mut other = resource.clone();
        other["metadata"]["name"] = json!(name);
        let (parent, key) = pointer.rsplit_once('/').context("a pointer")?;
        other.pointer_mut(parent).context("a place")?[key] = value.clone();
        kubectl.apply(&other.to_string()).with_context(|| format!("the lenient CRD takes {name}"))?;
        names.push(name);
    }
    quickstart::install_crd(&admin)?;
    let directory = scratch::directory("refused")?;
    let operator = Operator::start(&directory, plane.operator_kubeconfig(), "refused", Duration::from_secs(2))?;
    kubectl.run(&[&["delete", "mac", "--wait=false"], names.as_slice()].concat())?;
    let mut left = String::new();
    let gone = wait::for_some(DEADLINE, || {
        left = kubectl.run(&["get", "mac", "-o", "name"]).ok()?;
        (left.lines().count() == 1).then_some(())
    });
    gone.with_context(|| format!("these are not released: {left}\n{}", operator.program.log_text()))?;
    // The API server works no rule out on a value of another type, and says so of every write
    ensure!(left.trim().ends_with("/number"), "{left}");
    let events = || kubectl.run(&["get", "events", "--field-selector=involvedObject.name=number", "-o", "json"]);
    let told = wait::for_some(DEADLINE, || {
        events().ok().filter(|text| text.contains("`kubectl -n refused edit mac number` and take the finalizer"))
    });
    let told = told.with_context(|| operator.program.log_text())?;
    ensure!(!told.contains("\"Released\""), "it is told as released: {told}");
    let edit = json!({"metadata": {"finalizers": null}, "spec": {"certificate": {"duration": "2160h"}}});
    kubectl.run(&["patch", "mac", "number", "--type=merge", "-p", &edit.to_string()])?;
    ensure!(kubectl.run(&["get", "mac", "-o", "name"])?.trim().is_empty(), "what is told does not help");
    Ok(())
}

/// Holds B12: `plan --offline` says of metadata what the API server says.
#[test]
fn a_plan_without_a_cluster_refuses_the_metadata_that_the_api_server_refuses() -> Result<()> {
    let plane = ControlPlane::shared()?;
    let kubectl = plane.admin()?.create_namespace("metadata")?;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b"});
    let owner = |field: &str, value: &str| {
        let mut owner = owner.clone();
        owner[field] = json!(value);
        json!([owner])
    };
    let (word, longer) = ("a".repeat(63), "a".repeat(64));
    let cases = [
        ("labels", json!({"a b": "c"}), false),
        ("labels", json!({"Example.com/a": "c"}), false),
        ("labels", json!({"a": "b c"}), false),
        ("labels", json!({"a": longer}), false),
        ("labels", json!({longer.as_str(): "a"}), false),
        ("labels", json!({"a": "", "example.com/A_b.c": "X_1.y-Z", word.as_str(): word}), true),
        ("labels", json!({format!("{}/a", "a".repeat(253)): "c"}), true),
        ("annotations", json!({"a b": "c"}), false),
        ("annotations", json!({"a": "x".repeat(256 << 10)}), false),
        ("annotations", json!({"a": "x".repeat((256 << 10) - 1)}), true),
        ("annotations", json!({"Example.COM/a": "any text\n"}), true),
        ("finalizers", json!(["no finalizer"]), false),
        ("finalizers", json!(["orphan", "foregroundDeletion"]), false),
        ("finalizers", json!(["example.com/mine", "orphan"]), true),
        ("ownerReferences", owner("name", ""), false),
        ("ownerReferences", owner("apiVersion", "a/"), false),
        ("ownerReferences", owner("kind", "Event"), false),
        ("ownerReferences", owner("namespace", "x"), false),
        ("ownerReferences", owner("kind", "Secret"), true),
        ("managedFields", json!([{"manager": "x", "operation": "Apply"}]), false),
        ("managedFields", json!([]), false),
    ];
    for (field, value, is_taken) in cases {
        let mut resource = quickstart::resource("https://ups-01.example.com:9995")?;
        resource["metadata"][field] = value;
        let manifest = resource.to_string();
        let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
        let applied = kubectl.run_with_input(&apply, &manifest);
        ensure!(applied.is_ok() == is_taken, "{field} {:.99}: {applied:?}", resource["metadata"][field].to_string());
        let planned = run_plan(&["--offline"], &manifest)?;
        let expected = if is_taken { 0 } else { 1 };
        ensure!(planned.code == Some(expected), "{field}: {}", planned.text);
        ensure!(is_taken || planned.text.contains(&format!("metadata.{field}")), "{field}: {}", planned.text);
    }
    Ok(())
}

/// Holds B12: `plan --offline` says of a member that is null what the API server says.
#[test]
fn a_plan_without_a_cluster_takes_the_nulls_that_the_api_server_takes() -> Result<()> {
    let plane = ControlPlane::shared()?;
    let kubectl = plane.admin()?.create_namespace("nulls")?;
    let good = quickstart::resource("https://ups-01.example.com:9995")?;
    let mut renewed = good.clone();
    renewed["spec"] = json!({
        "host": good["spec"]["host"], "api": good["spec"]["api"],
        "agent": {"product": "self-renewing-service", "name": "web"},
    });
    let of_good = [
        "/spec/certificate/duration",
        "/spec/certificate/renewBefore",
        "/spec/certificate/dnsNames",
        "/spec/certificate/ipAddresses",
        "/spec/certificate/privateKey",
        "/spec/certificate/privateKey/algorithm",
        "/spec/certificate/privateKey/size",
        "/spec/certificate",
        "/spec/keystore",
        "/spec/keystore/format",
        "/spec/keystore/passwordSecretRef",
        "/spec/keystore/passwordSecretRef/key",
        "/spec/keystore/passwordSecretRef/name",
        "/spec/issuerRef/kind",
        "/spec/rotation",
        "/spec/rotation/paused",
        "/spec/host",
        "/spec/agent/product",
        "/spec/api/hostApi",
        "/spec/renewal",
        "/spec/nonesuch",
        "/spec",
        "/status",
        "/metadata/labels",
        "/metadata/name",
        "/metadata/managedFields",
        "/metadata/creationTimestamp",
        "/metadata/nonesuch",
        "/nonesuch",
    ];
    let of_renewed =
        ["/spec/certificate", "/spec/keystore", "/spec/issuerRef", "/spec/renewal", "/spec/renewal/renewBefore"];
    let cases =
        of_good.map(|pointer| (&good, pointer)).into_iter().chain(of_renewed.map(|pointer| (&renewed, pointer)));
    let mut taken = 0;
    for (base, pointer) in cases {
        let mut resource = base.clone();
        let (parent, key) = pointer.rsplit_once('/').context("a pointer")?;
        if resource.pointer(parent).is_none() {
            let (above, name) = parent.rsplit_once('/').context("a pointer")?;
            resource.pointer_mut(above).with_context(|| pointer.to_owned())?[name] = json!({});
        }
        resource.pointer_mut(parent).with_context(|| pointer.to_owned())?[key] = Value::Null;
        let manifest = resource.to_string();
        let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
        let applied = kubectl.run_with_input(&apply, &manifest);
        let planned = run_plan(&["--offline"], &manifest)?;
        ensure!(planned.code == Some(i32::from(applied.is_err())), "{pointer}: {}\n{applied:?}", planned.text);
        taken += usize::from(applied.is_ok());
    }
    ensure!(taken == 16, "the API server takes {taken} of them");
    Ok(())
}

struct Planned {
    code: Option<i32>,
    text: String,
}

fn plan(kubeconfig: &Path, manifest: &str) -> Result<Planned> {
    run_plan(&["--allow-hosts", THIS_MACHINE, "--kubeconfig", &kubeconfig.to_string_lossy()], manifest)
}

fn run_plan(arguments: &[&str], manifest: &str) -> Result<Planned> {
    let mut command = Command::new(tools::ours("kagiban-operator")?);
    let output = process::output_with_input(command.args(["plan", "--filename", "-"]).args(arguments), manifest)?;
    let text = [output.stdout, output.stderr].concat();
    Ok(Planned { code: output.status.code(), text: String::from_utf8_lossy(&text).into_owned() })
}

/// Holds B12: it sees what the operator would see, and its exit code can stop a pull request.
#[test]
fn a_plan_finds_what_would_be_refused_or_blocked_by_configuration() -> Result<()> {
    let plane = ControlPlane::shared()?;
    let admin = plane.admin()?;
    let kubectl = admin.create_namespace("plan")?;
    let mut resource = quickstart::resource("https://127.0.0.1:1")?;
    resource["metadata"]["namespace"] = json!("plan");
    let planned = |resource: &Value| plan(plane.admin_kubeconfig(), &resource.to_string());
    let expect = |what: &str, planned: Planned, code: i32, words: &[&str]| -> Result<()> {
        ensure!(planned.code == Some(code), "{what}: exit code {:?}\n{}", planned.code, planned.text);
        let missing = words.iter().find(|words| !planned.text.contains(**words));
        ensure!(missing.is_none(), "{what}: {missing:?} is not in\n{}", planned.text);
        Ok(())
    };

    let none = ["no Secret fleet-ca", "no Secret fleet-client", "no Secret powerchute-store"];
    expect("without the Secrets", planned(&resource)?, 1, &none)?;
    let mut renewed = resource.clone();
    renewed["metadata"]["name"] = json!("renewed");
    renewed["spec"] = json!({
        "host": resource["spec"]["host"], "api": resource["spec"]["api"],
        "agent": {"product": "self-renewing-service", "name": "web"},
    });
    let of_renewed = planned(&renewed)?;
    ensure!(!of_renewed.text.contains("fleet-ca"), "it needs no issuer: {}", of_renewed.text);
    expect("without the client Secret", of_renewed, 1, &["no Secret fleet-client"])?;
    let first = "\n  would do nothing: blocked by SecretUnavailable until that is put right\n  wrong: ";
    expect("what would be done stands first", planned(&resource)?, 1, &[first])?;
    Fleet::new()?.apply_secrets(&kubectl, "a-password")?;
    expect("an agent that renews its own", planned(&renewed)?, 0, &["HostUnreachable", "not in the cluster yet"])?;
    let mut both = renewed.clone();
    both["spec"]["certificate"] = resource["spec"]["certificate"].clone();
    let own = ["refused", "spec.certificate", "renews its own certificate"];
    expect("what is of another class", planned(&both)?, 1, &own)?;
    let offline = run_plan(&["--offline"], &both.to_string())?;
    expect("the same without a cluster", offline, 1, &own)?;
    expect("a host that is away", planned(&resource)?, 0, &["HostUnreachable", "not in the cluster yet"])?;

    let mut typo = resource.clone();
    typo["spec"]["rotatoin"] = json!({"paused": true});
    expect("a field that does not exist", planned(&typo)?, 1, &["refused", "rotatoin"])?;
    let mut long = resource.clone();
    long["metadata"]["name"] = json!("a".repeat(64));
    expect("a rule of the schema", planned(&long)?, 1, &["refused", "at most 63 characters"])?;
    let mut wrong = resource.clone();
    wrong["spec"]["certificate"]["dnsNames"] = json!(["*.com"]);
    expect("a name that no host has", planned(&wrong)?, 1, &["refused", "dnsNames"])?;
    let mut elsewhere = resource.clone();
    elsewhere["metadata"]["namespace"] = json!("no-such-namespace");
    expect("a namespace that is not there", planned(&elsewhere)?, 1, &["refused", "no such namespace"])?;

    unlabelled(&kubectl, ISSUER_SECRET, "issuer", || {
        expect(
            "an issuer without a label",
            planned(&resource)?,
            1,
            &["IssuerUnavailable", "kagiban.dev/purpose=issuer"],
        )
    })?;
    unlabelled(&kubectl, PASSWORD_SECRET, "keystore-password", || {
        expect("a password without a label", planned(&resource)?, 1, &["purpose=keystore-password"])
    })?;
    let mut other_name = resource.clone();
    other_name["spec"]["certificate"]["dnsNames"] = json!(["ups-01.example.org"]);
    expect("a name that the issuer is not for", planned(&other_name)?, 1, &["NotGranted", "ups-01.example.org"])?;

    let mut owner = resource.clone();
    owner["metadata"]["name"] = json!("the-owner");
    kubectl.apply(&owner.to_string())?;
    expect("an owner in the cluster", planned(&resource)?, 1, &["Conflict", "plan/the-owner"])?;
    kubectl.run(&["delete", "mac", "the-owner"])?;

    expect("no resource", plan(plane.admin_kubeconfig(), "kind: Secret\n")?, 2, &["no ManagedAgentCertificate"])?;
    let nowhere = plan(Path::new("/no/such/kubeconfig"), &resource.to_string())?;
    expect("no cluster", nowhere, 2, &["cannot read"])?;
    ensure!(kubectl.run(&["get", "mac", "-o", "name"])?.is_empty(), "a plan wrote something");
    Ok(())
}

/// Holds B12: a pull request's job with the rights of examples/ci learns what it may, and is told what it has not learnt.
#[test]
fn a_plan_with_the_rights_of_the_example_judges_the_manifest_and_says_what_it_has_not_checked() -> Result<()> {
    let plane = ControlPlane::shared()?;
    let admin = plane.admin()?;
    let kubectl = admin.create_namespace("plan-ci")?;
    let rights = std::fs::read_to_string(tools::workspace().join("examples/ci/rbac.yaml"))?;
    admin.apply(&rights.replace("namespace: fleet", "namespace: plan-ci"))?;
    Fleet::new()?.apply_secrets(&kubectl, "a-password")?;
    let mut kubeconfig: Value = serde_yaml::from_str(&std::fs::read_to_string(plane.admin_kubeconfig())?)?;
    let user = &mut kubeconfig["users"][0]["user"];
    (user["as"], user["as-groups"]) =
        (json!("system:serviceaccount:plan-ci:kagiban-plan"), json!(["system:authenticated"]));
    let file = scratch::directory("plan-ci")?.join("kubeconfig");
    std::fs::write(&file, kubeconfig.to_string())?;

    let mut resource = quickstart::resource("https://127.0.0.1:1")?;
    resource["metadata"]["namespace"] = json!("plan-ci");
    let good = plan(&file, &resource.to_string())?;
    let (first, rest) = good.text.split_once('\n').context("lines")?;
    ensure!(good.code == Some(0) && first.contains("not in the cluster yet"), "{:?} {}", good.code, good.text);
    ensure!(rest.starts_with("  not known: the host was not asked\n"), "{}", good.text);
    for what in ["resources of other namespaces", "client Secret", "issuer", "password Secret"] {
        ensure!(good.text.contains(&format!("  not checked: {what}")), "{what}: {}", good.text);
    }
    let mut typo = resource.clone();
    typo["spec"]["rotatoin"] = json!({"paused": true});
    let wrong = plan(&file, &typo.to_string())?;
    ensure!(wrong.code == Some(1) && wrong.text.contains("rotatoin"), "{:?} {}", wrong.code, wrong.text);
    resource["metadata"]["namespace"] = json!("default");
    let elsewhere = plan(&file, &resource.to_string())?;
    let needs = "needs the verbs get, list, create and patch on managedagentcertificates";
    ensure!(elsewhere.code == Some(2) && elsewhere.text.contains(needs), "{:?} {}", elsewhere.code, elsewhere.text);
    Ok(())
}

fn unlabelled(kubectl: &Kubectl, secret: &str, purpose: &str, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
    kubectl.run(&["label", "secret", secret, "kagiban.dev/purpose-"])?;
    meanwhile()?;
    kubectl.run(&["label", "secret", secret, &format!("kagiban.dev/purpose={purpose}")])?;
    Ok(())
}
