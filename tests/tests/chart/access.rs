//! What the chart grants: every rule, and what the API server makes of them for Secrets.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use kagiban_tests::control_plane::{ControlPlane, OPERATOR_ACCOUNT, OPERATOR_NAMESPACE};
use kagiban_tests::helm::Chart;
use kagiban_tests::kubectl::Kubectl;
use kagiban_tests::quickstart::{self, RESOURCE};
use kagiban_tests::{tools, wait, yaml};
use serde_json::{Value, json};

use super::{PUBLISHED, of_kind, plane};

/// Each rule as one line: where it counts, of what, what.
fn rules(objects: &[Value]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for role in objects.iter().filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole") {
        let scope = role["metadata"]["namespace"].as_str().unwrap_or("everywhere");
        for rule in role["rules"].as_array().into_iter().flatten() {
            let list = |member: &str| {
                let items = rule[member].as_array().into_iter().flatten();
                items.map(|item| item.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>().join(",")
            };
            let group = list("apiGroups");
            let of = if group.is_empty() { list("resources") } else { format!("{}.{group}", list("resources")) };
            let names =
                if rule["resourceNames"].is_null() { String::new() } else { format!(" {}", list("resourceNames")) };
            found.insert(format!("{scope}: {} {of}{names}", list("verbs")));
        }
    }
    found
}

/// Whoever adds a verb changes this list, and sees what it means.
#[test]
fn the_roles_grant_what_is_listed_here_and_nothing_else() -> Result<()> {
    let resources = |scope: &str| {
        [
            format!("{scope}: get,list,watch,patch managedagentcertificates.kagiban.dev"),
            format!("{scope}: patch managedagentcertificates/status.kagiban.dev"),
            format!("{scope}: create events.events.k8s.io"),
        ]
    };
    let lease = |name: &str| {
        [
            "kagiban-system: create leases.coordination.k8s.io".to_owned(),
            format!("kagiban-system: get,update leases.coordination.k8s.io {name}"),
        ]
    };
    let hosts = json!([{"host": "a", "passwordSecret": "pw"}, {"host": "b", "product": "self-renewing-service"}]);
    for (values, secrets) in [
        (json!({}), vec![]),
        (json!({"exporter": {"enabled": true}, "monitoring": {"podMonitor": {"enabled": true}}}), vec![]),
        (
            json!({"operator": {"secrets": [{"namespace": "fleet"}, {"namespace": "other", "names": ["ca", "client"]}]}}),
            vec!["fleet: get secrets", "other: get secrets ca,client"],
        ),
        (json!({"fleet": {"namespace": "fleet", "hosts": hosts}}), vec!["fleet: get secrets fleet-ca,fleet-client,pw"]),
        (json!({"operator": {"secretsInAllNamespaces": true}}), vec!["everywhere: get secrets"]),
        (json!({"operator": {"rbac": false}}), vec!["-"]),
    ] {
        let mut expected: BTreeSet<String> =
            resources("everywhere").into_iter().chain(lease("kagiban-operator")).collect();
        expected.extend(secrets.iter().map(|rule| (*rule).to_owned()));
        if secrets == ["-"] {
            expected.clear();
        }
        assert_eq!(rules(&Chart::ours().render(OPERATOR_NAMESPACE, &values)?), expected, "{values}");
    }
    let values =
        json!({"operator": {"namespace": "fleet"}, "fleet": {"hosts": [{"host": "a"}]}, "crds": {"enabled": false}});
    let objects = Chart::ours().render(OPERATOR_NAMESPACE, &values)?;
    let mut expected: BTreeSet<String> =
        resources("fleet").into_iter().chain(lease("kagiban-operator-fleet")).collect();
    expected.insert("fleet: get secrets fleet-ca,fleet-client".to_owned());
    assert_eq!(rules(&objects), expected);
    let cluster_wide: Vec<_> = objects.iter().filter(|object| object["metadata"]["namespace"].is_null()).collect();
    assert_eq!(cluster_wide, Vec::<&Value>::new(), "with one namespace nothing is cluster-wide");
    Ok(())
}

#[test]
fn the_account_may_get_the_secrets_that_are_named_and_do_nothing_else_with_any() -> Result<()> {
    let admin = plane()?.admin()?;
    let values = json!({"operator": {"secrets": [
        {"namespace": "chart-fleet"}, {"namespace": "chart-other", "names": ["named"]},
    ]}});
    let manifests = Chart::ours().template(OPERATOR_NAMESPACE, &values)?;
    admin.run_with_input(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &manifests)?;
    let account = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}");
    let verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "*"];
    let mut allowed = BTreeSet::new();
    for namespace in ["chart-fleet", "chart-other", OPERATOR_NAMESPACE, "default", ""] {
        for name in ["", "named", "another"] {
            for verb in verbs {
                if may(&admin, &account, namespace, verb, name)? {
                    allowed.insert(format!("{verb} {namespace}/{name}"));
                }
            }
        }
    }
    let expected = ["get chart-fleet/", "get chart-fleet/another", "get chart-fleet/named", "get chart-other/named"];
    assert_eq!(allowed, expected.map(str::to_owned).into());
    // The resources themselves, and nothing that would make them.
    let can = |verb: &str, resource: &str| {
        admin.run(&["auth", "can-i", "--quiet", "--all-namespaces", verb, resource, "--as", &account]).is_ok()
    };
    ensure!(can("list", "managedagentcertificates.kagiban.dev"), "it cannot list its resources");
    for (verb, resource) in [
        ("create", "managedagentcertificates.kagiban.dev"),
        ("delete", "managedagentcertificates.kagiban.dev"),
        ("create", "pods"),
        ("create", "serviceaccounts/token"),
        ("impersonate", "serviceaccounts"),
        ("escalate", "roles.rbac.authorization.k8s.io"),
        ("bind", "clusterroles.rbac.authorization.k8s.io"),
    ] {
        ensure!(!can(verb, resource), "it can {verb} {resource}");
    }
    Ok(())
}

const POLICY: [&str; 2] = ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];

/// Holds B9: who may patch a status, and nothing else, took the agents of another namespace with one written by hand.
#[test]
fn nobody_but_the_operator_and_who_is_named_writes_a_status() -> Result<()> {
    // Of its own: whoever else installs the chart in the shared one brings the policy too
    let plane = ControlPlane::start()?;
    let admin = plane.admin()?;
    quickstart::install_crd(&admin)?;
    let kubectl = admin.create_namespace("chart-status")?;
    let resource = quickstart::resource("https://192.0.2.1:9995")?.to_string();
    wait::for_some(PUBLISHED, || kubectl.apply(&resource).ok()).context("the CRD is served")?;
    let values = json!({"operator": {"statusPolicy": {"alsoAllow": ["restorer"]}}, "crds": {"enabled": false}});
    let objects = Chart::ours().render(OPERATOR_NAMESPACE, &values)?;
    let policy: Vec<_> = POLICY.iter().flat_map(|kind| of_kind(&objects, kind)).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": policy}).to_string();
    let write = |by: &[&str]| {
        let patch = r#"{"status": {"blockedBy": "Paused"}}"#;
        let patch = ["patch", "mac", RESOURCE, "--subresource=status", "--type=merge", "-p", patch, "--dry-run=server"];
        kubectl.run(&[&patch, by].concat())
    };
    write(&[]).context("before there is a policy")?;
    admin.run_with_input(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &list)?;
    let refused = wait::for_some(PUBLISHED, || write(&[]).err()).context("the policy is not in force")?;
    ensure!(refused.to_string().contains("only the operator writes the status"), "{refused:#}");
    let operator = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}");
    write(&["--as", &operator, "--as-group", "system:masters"]).context("the operator")?;
    write(&["--as", "restorer", "--as-group", "system:masters"]).context("who is named")?;
    let annotate = ["annotate", "mac", RESOURCE, "kagiban.dev/rotate=now"];
    kubectl.run(&annotate).context("the rest of a resource is for who may write it")?;
    Ok(())
}

/// A SubjectAccessReview; an empty namespace is all of them, an empty name any.
fn may(admin: &Kubectl, account: &str, namespace: &str, verb: &str, name: &str) -> Result<bool> {
    let attributes = json!({"namespace": namespace, "verb": verb, "resource": "secrets", "name": name});
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": account, "resourceAttributes": attributes},
    });
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let answer: Value =
        serde_json::from_str(&admin.run_with_input(&["create", "--raw", path, "-f", "-"], &review.to_string())?)?;
    answer["status"]["allowed"].as_bool().context("a review says whether it is allowed")
}

/// One truth: who has no Helm applies examples/operator, and gets the same rights and the same pod.
#[test]
fn the_manifests_without_helm_are_those_of_the_chart() -> Result<()> {
    let examples = ["00-rbac.yaml", "10-deployment.yaml", "20-status-policy.yaml"].map(|file| {
        std::fs::read_to_string(tools::workspace().join("examples/operator").join(file)).map_err(anyhow::Error::from)
    });
    let [rbac, deployment, policy] = examples;
    let by_hand = yaml::documents(&[rbac?, deployment?, policy?].join("\n---\n"))?;
    let values = json!({"operator": {"secrets": [{"namespace": "fleet"}]}});
    let chart = Chart::ours().render(OPERATOR_NAMESPACE, &values)?;
    assert_eq!(rules(&by_hand), rules(&chart));
    for kind in POLICY {
        let of = |objects: &[Value]| -> Vec<_> {
            of_kind(objects, kind).iter().map(|it| (it["metadata"]["name"].clone(), it["spec"].clone())).collect()
        };
        assert_eq!(of(&by_hand), of(&chart), "{kind}");
        assert_eq!(of(&chart).len(), 1, "{kind}");
    }
    let pod = |objects: &[Value]| {
        let mut deployment = of_kind(objects, "Deployment").pop().cloned().context("a Deployment")?;
        let spec = &mut deployment["spec"]["template"]["spec"];
        // By default, or for Helm's users only.
        for member in ["automountServiceAccountToken", "topologySpreadConstraints"] {
            spec.as_object_mut().context("a pod")?.remove(member);
        }
        let container = spec["containers"][0].as_object_mut().context("a container")?;
        container.remove("imagePullPolicy");
        let arguments = container.remove("args").context("arguments")?;
        Ok::<_, anyhow::Error>((
            deployment["spec"]["template"]["spec"].clone(),
            deployment["spec"]["replicas"].clone(),
            arguments,
        ))
    };
    let ((pod_by_hand, replicas_by_hand, arguments_by_hand), (pod, replicas, arguments)) =
        (pod(&by_hand)?, pod(&chart)?);
    assert_eq!(pod_by_hand, pod);
    assert_eq!(replicas_by_hand, replicas);
    // What the chart says besides is what the program does by default.
    let words = |arguments: &Value| -> BTreeSet<String> {
        arguments.as_array().into_iter().flatten().filter_map(|word| Some(word.as_str()?.to_owned())).collect()
    };
    let by_default =
        ["--log-level=info", "--resync=5m", "--concurrency=8", "--metrics-address=0.0.0.0:9994", "--page=local"];
    let by_default = by_default.into_iter().chain(["--leader-election-namespace=kagiban-system"]).map(str::to_owned);
    assert_eq!(words(&arguments_by_hand).into_iter().chain(by_default).collect::<BTreeSet<_>>(), words(&arguments));
    Ok(())
}
