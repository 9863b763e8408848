//! The CRD in a real API server: what it takes, what it refuses and with which words, and what `kubectl` makes of it.

mod classes;
mod edges;
mod standalone;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use kagiban_crds::resource::ManagedAgentCertificateSpec;
use kagiban_exporter::discovery::proposal;
use kagiban_exporter::installation::Installed;
use kagiban_operator::cli::Output;
use kagiban_operator::commands::{describe, listed};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::kubectl::Kubectl;
use kagiban_tests::{tools, wait};
use serde_json::{Value, json};

fn accepted() -> Value {
    json!({
        "apiVersion": "kagiban.dev/v1alpha1",
        "kind": "ManagedAgentCertificate",
        "metadata": {"name": "ups-01-powerchute"},
        "spec": {
            "host": "ups-01.example.com",
            "agent": {"product": "powerchute-serial-shutdown", "name": "powerchute"},
            "api": {"hostApi": {"url": "https://ups-01.example.com:9995", "tlsSecretRef": {"name": "fleet-client"}}},
            "certificate": {"dnsNames": ["ups-01.example.com"], "duration": "2160h", "renewBefore": "720h"},
            "issuerRef": {"kind": "CASecret", "name": "fleet-ca"}
        }
    })
}

/// One whose agent renews its own certificate.
fn accepted_renewal() -> Value {
    let mut object = accepted();
    let spec = object["spec"].as_object_mut().expect("an object");
    spec.remove("certificate");
    spec.remove("issuerRef");
    spec.insert("agent".to_owned(), json!({"product": "self-renewing-service", "name": "web"}));
    spec.insert("renewal".to_owned(), json!({"renewBefore": "720h"}));
    object
}

/// One whose agent is repaired when a person asks.
fn accepted_repair() -> Value {
    let mut object = accepted_renewal();
    let spec = object["spec"].as_object_mut().expect("an object");
    spec.remove("renewal");
    spec.insert("agent".to_owned(), json!({"product": "skysea", "name": "skysea"}));
    spec.insert("repair".to_owned(), json!({}));
    object
}

/// The accepted resource with one value set, or taken away where it is null.
fn with(pointer: &str, value: Value) -> Value {
    changed(accepted(), pointer, value)
}

fn changed(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer with a parent");
    let parent = object.pointer_mut(parent).expect("a parent that is there").as_object_mut().expect("an object");
    if value.is_null() {
        parent.remove(key);
    } else {
        parent.insert(key.to_owned(), value);
    }
    object
}

fn in_new_namespace(name: &str) -> Result<Kubectl> {
    ControlPlane::shared()?.admin()?.create_namespace(name)
}

/// What the API server makes of it. A standalone operator makes the same of it, in the same words.
fn try_create(kubectl: &Kubectl, object: &Value) -> Result<String> {
    let answer = kubectl.run_with_input(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &object.to_string());
    standalone::expect_the_same(object, None, &answer);
    answer
}

#[test]
fn every_rule_refuses_its_example_with_words_that_help() -> Result<()> {
    let kubectl = in_new_namespace("crd-refused")?;
    let certificate = "/spec/certificate";
    let refused = [
        ("/metadata/name", json!("a".repeat(64)), "at most 63 characters"),
        ("/spec/host", json!("UPS-01"), "spec.host"),
        ("/spec/host", json!("../etc"), "spec.host"),
        ("/spec/agent/product", json!("notepad"), "Unsupported value"),
        ("/spec/agent/name", json!("a/b"), "spec.agent.name"),
        ("/spec/api/hostApi", Value::Null, "exactly one API must be set"),
        ("/spec/api/hostApi/url", json!("http://ups-01.example.com"), "spec.api.hostApi.url"),
        ("/spec/api/hostApi/url", json!("https://ups-01.example.com/x?y"), "spec.api.hostApi.url"),
        ("/spec/api/hostApi/url", json!("https://user@ups-01.example.com"), "spec.api.hostApi.url"),
        (certificate, json!({"dnsNames": []}), "dnsNames"),
        (certificate, json!({"dnsNames": ["a b"]}), "dnsNames"),
        (certificate, json!({"dnsNames": ["a"], "duration": "90d"}), "duration"),
        (certificate, json!({"dnsNames": ["a"], "duration": "30m"}), "duration must be at least 1h"),
        (
            certificate,
            json!({"dnsNames": ["a"], "duration": "720h", "renewBefore": "720h"}),
            "must be less than duration",
        ),
        (certificate, json!({"dnsNames": ["a"], "renewBefore": "1m"}), "at least 5m"),
        (
            certificate,
            json!({"dnsNames": ["a"], "renewBefore": "720h", "renewBeforePercentage": 10}),
            "exclude each other",
        ),
        (certificate, json!({"dnsNames": ["a"], "renewBeforePercentage": 100}), "renewBeforePercentage"),
        (certificate, json!({"dnsNames": ["a"], "subject": {"countries": ["jp"]}}), "subject.countries[0]"),
        (certificate, json!({"dnsNames": ["a"], "subject": {"organizations": ["a", "b"]}}), "at most 1 item"),
        (certificate, json!({"dnsNames": ["a"], "subject": {"organizations": [" a"]}}), "subject.organizations[0]"),
        (certificate, json!({"dnsNames": ["a"], "subject": {"postalCodes": ["1"]}}), "unknown field"),
        (certificate, json!({"dnsNames": ["a"], "privateKey": {"size": 1024}}), "2048, 3072 or 4096"),
        (
            certificate,
            json!({"dnsNames": ["a"], "privateKey": {"algorithm": "ECDSA", "size": 2048}}),
            "256 or 384 for ECDSA",
        ),
        (certificate, json!({"dnsNames": ["a"], "privateKey": {"custody": "Operator"}}), "Unsupported value"),
        ("/spec/issuerRef", json!({"kind": "StateDirectory", "name": "x"}), "Unsupported value"),
        ("/spec/keystore", json!({"password": "hunter22"}), "unknown field"),
        ("/spec/keystore", json!({"format": "BKS"}), "Unsupported value"),
    ];
    try_create(&kubectl, &accepted()).context("the example that the refused ones differ from")?;
    for (pointer, value, words) in refused {
        let shown = format!("{pointer} = {value}");
        let error =
            try_create(&kubectl, &with(pointer, value)).err().with_context(|| format!("{shown} was accepted"))?;
        ensure!(format!("{error:#}").contains(words), "{shown}: {error:#}");
    }
    Ok(())
}

#[test]
fn what_may_be_written_is_accepted_and_gets_its_defaults() -> Result<()> {
    let kubectl = in_new_namespace("crd-accepted")?;
    let objects = [
        with("/spec/certificate", json!({"dnsNames": ["ups-01.example.com"]})),
        with("/spec/certificate", json!({"dnsNames": ["*.example.com"], "renewBeforePercentage": 33})),
        with("/spec/certificate", json!({"dnsNames": ["a"], "privateKey": {"algorithm": "ECDSA", "size": 256}})),
        with(
            "/spec/certificate",
            json!({"dnsNames": ["a"], "subject": {"countries": ["JP"], "provinces": ["東京都"], "organizations": ["Example, Inc."]}}),
        ),
        with("/spec/api/hostApi/url", json!("https://[2001:db8::1]:9995")),
        with(
            "/spec/keystore",
            json!({"passwordSecretRef": {"name": "store"}, "onUnreadable": "Replace", "format": "JKS"}),
        ),
    ];
    for object in objects {
        let created: Value = serde_json::from_str(&try_create(&kubectl, &object)?)?;
        ensure!(created["spec"]["certificate"]["duration"].is_string(), "no default duration: {created}");
        let keystore = &created["spec"]["keystore"];
        ensure!(keystore.is_null() || keystore["onUnreadable"].is_string(), "no default for onUnreadable: {created}");
        // What is left out is what the API server writes where a part of it is given
        let written = changed(created.clone(), "/spec/keystore", keystore_of(keystore));
        let read = |object: &Value| ManagedAgentCertificateSpec::read(object["spec"].clone());
        ensure!(read(&created)? == read(&written)?, "{created}");
    }
    for product in ["self-renewing-service", "powerchute-business-edition", "virus-buster-corp", "apex-one"] {
        for renewal in [Value::Null, json!({}), json!({"renewBefore": "876000h"}), json!({"renewBeforePercentage": 90})]
        {
            let object = changed(accepted_renewal(), "/spec/agent/product", json!(product));
            let object = changed(object, "/spec/renewal", renewal.clone());
            let created: Value = serde_json::from_str(&try_create(&kubectl, &object)?)?;
            let spec = created["spec"].as_object().context("an object")?;
            let belongs = |key: &String| ["agent", "api", "host", "renewal", "rotation"].contains(&key.as_str());
            ensure!(spec.keys().all(belongs), "what does not belong to it has a default: {created}");
            ensure!(created["spec"]["renewal"] == renewal, "{created}");
        }
    }
    Ok(())
}

/// As it is with the defaults of its parts.
fn keystore_of(keystore: &Value) -> Value {
    let mut whole = json!({"format": "Auto", "onUnreadable": "Refuse"});
    for (key, value) in keystore.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    whole
}

/// Every resource among the examples, and no other kind of document beside one.
#[test]
fn the_examples_are_taken_as_they_stand() -> Result<()> {
    let kubectl = in_new_namespace("crd-examples")?;
    let examples = tools::workspace().join("examples");
    let mut products = Vec::new();
    for directory in [examples.clone(), examples.join("quickstart"), examples.join("standalone/manifests")] {
        for file in std::fs::read_dir(directory)? {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            if !text.contains("kind: ManagedAgentCertificate") {
                continue;
            }
            let mut object: Value = serde_yaml::from_str(&text)?;
            ensure!(object["metadata"]["namespace"].take() == "fleet", "{}", path.display());
            let created = try_create(&kubectl, &object).with_context(|| path.display().to_string())?;
            let created: Value = serde_json::from_str(&created)?;
            ManagedAgentCertificateSpec::read(object["spec"].clone())?;
            ManagedAgentCertificateSpec::read(created["spec"].clone())?;
            products.push(object["spec"]["agent"]["product"].as_str().unwrap_or_default().to_owned());
        }
    }
    products.sort();
    let expected = ["powerchute-serial-shutdown", "powerchute-serial-shutdown", "self-renewing-service"];
    ensure!(products == expected, "{products:?}");
    Ok(())
}

/// What `kagiban-exporter discover -o manifests` prints for hosts with agents: by name and by a long name.
#[test]
fn the_manifests_that_are_proposed_for_a_host_are_taken() -> Result<()> {
    let kubectl = in_new_namespace("crd-proposed")?;
    let long = format!("{}.example.com", "rack-7-position-12".repeat(3));
    let at = |directory: &str| Installed {
        product: kagiban_agents::Product::PowerchuteSerialShutdown,
        directory: directory.into(),
    };
    let found = [at("/opt/APC/PowerChuteSerialShutdown/Agent"), at("/opt/APC/second")];
    let agents = proposal::rotatable(&found, |_, at| at.directory.ends_with("second"));
    let hosts = ["ups-01.example.com", &long].map(str::parse);
    let mut text = String::new();
    for host in hosts {
        text += &proposal::manifests(&host?, "crd-proposed", &agents, &[]);
    }
    let mut taken = 0;
    for document in text.split("---\n").skip(1) {
        let document = document.split("\n#").next().unwrap_or_default();
        let object: Value = serde_yaml::from_str(document)?;
        let created: Value =
            serde_json::from_str(&try_create(&kubectl, &object).with_context(|| document.to_owned())?)?;
        ManagedAgentCertificateSpec::read(created["spec"].clone())?;
        taken += 1;
    }
    ensure!(taken == 4, "{text}");
    Ok(())
}

/// Where it is changed, what is refused with which words, and the neighbour that is taken.
type Pair = (&'static str, Value, &'static str, Value);

fn pairs() -> Vec<Pair> {
    let url = "/spec/api/hostApi/url";
    let names = "/spec/certificate/dnsNames";
    let addresses = "/spec/certificate/ipAddresses";
    let key = "/spec/certificate/privateKey";
    let keystore = "/spec/keystore";
    let long = |length: usize| "a".repeat(length);
    vec![
        (addresses, json!(["not-an-ip"]), "each must be an IP address", json!(["192.0.2.1"])),
        (addresses, json!(["::ffff:192.0.2.1"]), "each must be an IP address", json!(["2001:db8::1"])),
        (addresses, json!(["192.0.2.1", "192.0.2.1"]), "stands there twice", json!(["192.0.2.1", "192.0.2.2"])),
        (addresses, json!(["2001:db8::1", "2001:DB8:0::1"]), "stands there twice", json!(["2001:DB8:0::1"])),
        (url, json!("https://ups-01.example.com:0"), "1 to 65535", json!("https://ups-01.example.com:1")),
        (url, json!("https://ups-01.example.com:99999"), "1 to 65535", json!("https://ups-01.example.com:65535")),
        (url, json!("https://[::::]:9995"), "must be an IPv6 address", json!("https://[::1]:9995")),
        (url, json!("https://192.0.2.256"), "must be an IP address", json!("https://192.0.2.255")),
        (url, json!("https://ups-01.12:9995"), "must be an IP address", json!("https://12.ups-01:9995")),
        (url, json!(format!("https://{}", long(64))), "should match", json!(format!("https://{}", long(63)))),
        (names, json!([long(100)]), "should match", json!([long(63)])),
        (names, json!(["192.0.2.1"]), "it belongs in ipAddresses", json!(["192.0.2.1.example.com"])),
        (names, json!(["a.example.com", "a.example.com"]), "stands there twice", json!(["a.example.com"])),
        (names, json!(["*.com"]), "at least two labels", json!(["*.example.com"])),
        (keystore, json!({"alias": "a\nb"}), "no line ends", json!({"alias": "securekey"})),
        (keystore, json!({"alias": "a\0b"}), "no control characters", json!({"alias": "securekey"})),
        (keystore, json!({"alias": "other"}), "securekey only", json!({"alias": "securekey"})),
        (keystore, json!({"format": "PEM"}), "PowerChute reads no PEM", json!({"format": "PKCS12"})),
        (
            keystore,
            json!({"passwordSecretRef": {"name": "../kube-system/x"}}),
            "should match",
            json!({"passwordSecretRef": {"name": "kube-system.x"}}),
        ),
        (
            keystore,
            json!({"passwordSecretRef": {"name": "x", "key": "a/b"}}),
            "should match",
            json!({"passwordSecretRef": {"name": "x", "key": "a_b.C-1"}}),
        ),
        ("/spec/issuerRef/name", json!("../kube-system/x"), "should match", json!("fleet.ca-1")),
        ("/spec/api/hostApi/tlsSecretRef/name", json!("a?b"), "should match", json!("a.b")),
        (key, json!({"algorithm": "ECDSA", "size": 521}), "256 or 384 for ECDSA", json!({"algorithm": "ECDSA"})),
    ]
}

/// Holds B15, and of B17 that `algorithm: ECDSA` needs no size.
#[test]
fn what_no_host_can_be_asked_is_refused_with_its_reason_and_its_neighbour_is_taken() -> Result<()> {
    let kubectl = in_new_namespace("crd-pairs")?;
    for (pointer, refused, words, taken) in pairs() {
        let shown = format!("{pointer} = {refused}");
        let error =
            try_create(&kubectl, &with(pointer, refused)).err().with_context(|| format!("{shown} was accepted"))?;
        ensure!(format!("{error:#}").contains(words), "{shown}: {error:#}");
        let shown = format!("{pointer} = {taken}");
        try_create(&kubectl, &with(pointer, taken)).with_context(|| shown)?;
    }
    Ok(())
}

#[test]
fn what_identifies_the_agent_cannot_be_changed() -> Result<()> {
    let kubectl = in_new_namespace("crd-immutable")?;
    kubectl.apply(&accepted().to_string())?;
    for (pointer, value) in [("host", json!("ups-02.example.com")), ("agent", json!({"name": "other"}))] {
        let patch = json!({"spec": {pointer: value}}).to_string();
        let answer = kubectl.run(&["patch", "mac", "ups-01-powerchute", "--type=merge", "-p", &patch, "-o", "json"]);
        standalone::expect_the_same(&standalone::merged(accepted(), pointer, &value), Some(&accepted()), &answer);
        let error = answer.err().with_context(|| format!("{pointer} could be changed"))?;
        ensure!(format!("{error:#}").contains("immutable"), "{error:#}");
    }
    kubectl.run(&[
        "patch",
        "mac",
        "ups-01-powerchute",
        "--type=merge",
        "-p",
        r#"{"spec":{"rotation":{"paused":true}}}"#,
    ])?;
    Ok(())
}

/// Of the same resources: tables, whole ones, and one that is described.
fn a_command_without_a_cluster_prints_what_kubectl_does(kubectl: &Kubectl) -> Result<()> {
    let status = json!({"status": {
        "observedGeneration": 1, "blockedBy": "Paused", "renewalTime": "2026-05-01T00:00:00Z",
        "leaf": {"notAfter": "2026-06-01T00:00:00Z", "notBefore": "2026-03-01T00:00:00Z", "sha256": "a".repeat(64), "serial": "01", "issuer": "CN=ca", "requestDigest": "x"},
        "conditions": [{
            "type": "Ready", "status": "False", "reason": "Paused", "message": "it is paused", "observedGeneration": 1,
            "lastTransitionTime": "2026-03-01T00:00:00Z",
        }],
    }});
    kubectl.run(&[
        "patch",
        "mac",
        "ups-01-powerchute",
        "--subresource",
        "status",
        "--type",
        "merge",
        "-p",
        &status.to_string(),
    ])?;
    let note = format!("kagiban.dev/note={}", "long ".repeat(40));
    kubectl.run(&["annotate", "mac", "ups-01-powerchute", "kagiban.dev/rotate=spring", &note])?;
    let list = kubectl.json(&["get", "mac"])?;
    let all: Vec<Value> = list["items"].as_array().cloned().unwrap_or_default();
    let shown = |wide: bool, with_namespace: bool| {
        let output = wide.then_some(Output::Wide);
        listed(all.clone(), output, false, with_namespace, Timestamp::now()).unwrap_or_default()
    };
    for (wide, with_namespace, words) in [
        (false, false, &["get", "mac"][..]),
        (true, false, &["get", "mac", "-o", "wide"]),
        (false, true, &["get", "mac", "-A"]),
    ] {
        // An age may be another one a moment later
        let same = || -> Result<bool> {
            let theirs = kubectl.run(words)?;
            let theirs: Vec<_> = theirs.lines().collect();
            let ours = shown(wide, with_namespace);
            // Other namespaces are of other tests, and make columns wider
            let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            Ok(ours.lines().all(|line| {
                theirs.contains(&line)
                    || with_namespace && theirs.iter().any(|theirs| squeezed(theirs) == squeezed(line))
            }))
        };
        wait::until(Duration::from_secs(10), || same().unwrap_or(false))
            .with_context(|| format!("{words:?}: {}", shown(wide, with_namespace)))?;
    }
    let one = all.iter().find(|object| object["metadata"]["name"] == "ups-01-powerchute").cloned().unwrap_or_default();
    for (words, objects, is_one) in
        [(&["get", "mac"][..], all.clone(), false), (&["get", "mac", "ups-01-powerchute"], vec![one], true)]
    {
        let theirs = kubectl.run(&[words, &["-o", "json"]].concat())?;
        let ours = listed(objects.clone(), Some(Output::Json), is_one, false, Timestamp::now())?;
        ensure!(ours == theirs, "{ours}\n{theirs}");
        // Writers of YAML put other words in quotes
        let ours: Value = serde_yaml::from_str(&listed(objects, Some(Output::Yaml), is_one, false, Timestamp::now())?)?;
        let theirs: Value = serde_yaml::from_str(&kubectl.run(&[words, &["-o", "yaml"]].concat())?)?;
        ensure!(ours == theirs, "{ours}\n{theirs}");
    }
    for object in &all {
        let theirs = kubectl.run(&["describe", "mac", object["metadata"]["name"].as_str().unwrap_or_default()])?;
        let ours = describe(object, &[], Timestamp::now());
        ensure!(ours == theirs, "{ours}\n{theirs}");
    }
    Ok(())
}

#[test]
fn the_short_name_the_columns_and_the_field_selectors_work() -> Result<()> {
    let kubectl = in_new_namespace("crd-kubectl")?;
    kubectl.apply(&accepted().to_string())?;
    let table = kubectl.run(&["get", "mac"])?;
    let header: Vec<_> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(header == ["NAME", "HOST", "PRODUCT", "READY", "EXPIRES", "NEXT-ROTATION", "BLOCKED-BY", "AGE"], "{table}");
    kubectl.apply(&changed(accepted_renewal(), "/metadata/name", json!("ups-01-web")).to_string())?;
    for (selector, lines) in [
        ("spec.host=ups-01.example.com", 2),
        ("spec.host=ups-02.example.com", 0),
        ("spec.agent.product=self-renewing-service", 1),
        ("spec.issuerRef.name=fleet-ca", 1),
    ] {
        let found = kubectl.run(&["get", "mac", "--field-selector", selector, "-o", "name"])?;
        ensure!(found.lines().count() == lines, "{selector}: {found:?}");
    }
    a_command_without_a_cluster_prints_what_kubectl_does(&kubectl)?;
    kubectl.run(&["explain", "mac.spec.certificate.renewBefore"])?;
    kubectl.run(&["explain", "mac.spec.renewal.renewBefore"])?;
    Ok(())
}
