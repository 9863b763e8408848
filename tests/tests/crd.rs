//! The CRD in a real API server: what it takes, what it refuses and with which words, and what `kubectl` makes of it.

use anyhow::{Context, Result, ensure};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::kubectl::Kubectl;
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

/// The accepted resource with one value set, or taken away where it is null.
fn with(pointer: &str, value: Value) -> Value {
    let mut object = accepted();
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

fn try_create(kubectl: &Kubectl, object: &Value) -> Result<String> {
    kubectl.run_with_input(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &object.to_string())
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
        (certificate, json!({"dnsNames": ["a"], "privateKey": {"size": 1024}}), "2048, 3072 or 4096"),
        (
            certificate,
            json!({"dnsNames": ["a"], "privateKey": {"algorithm": "ECDSA", "size": 2048}}),
            "256 or 384 for ECDSA",
        ),
        (certificate, json!({"dnsNames": ["a"], "privateKey": {"custody": "Operator"}}), "Unsupported value"),
        ("/spec/issuerRef", json!({"kind": "Vault", "name": "x"}), "Unsupported value"),
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
        with("/spec/api/hostApi/url", json!("https://[2001:db8::1]:9995")),
        with(
            "/spec/keystore",
            json!({"passwordSecretRef": {"name": "store"}, "onUnreadable": "Replace", "format": "JKS"}),
        ),
    ];
    for object in objects {
        let created: Value = serde_json::from_str(&try_create(&kubectl, &object)?)?;
        ensure!(created["spec"]["certificate"]["duration"].is_string(), "no default duration: {created}");
        ensure!(created["spec"]["keystore"]["onUnreadable"].is_string(), "no default for onUnreadable: {created}");
    }
    Ok(())
}

#[test]
fn what_identifies_the_agent_cannot_be_changed() -> Result<()> {
    let kubectl = in_new_namespace("crd-immutable")?;
    kubectl.apply(&accepted().to_string())?;
    for (pointer, value) in [("host", json!("ups-02.example.com")), ("agent", json!({"name": "other"}))] {
        let patch = json!({"spec": {pointer: value}}).to_string();
        let error = kubectl.run(&["patch", "mac", "ups-01-powerchute", "--type=merge", "-p", &patch]);
        let error = error.err().with_context(|| format!("{pointer} could be changed"))?;
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

#[test]
fn the_short_name_the_columns_and_the_field_selectors_work() -> Result<()> {
    let kubectl = in_new_namespace("crd-kubectl")?;
    kubectl.apply(&accepted().to_string())?;
    let table = kubectl.run(&["get", "mac"])?;
    let header: Vec<_> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(header == ["NAME", "HOST", "PRODUCT", "READY", "EXPIRES", "NEXT-ROTATION", "BLOCKED-BY", "AGE"], "{table}");
    for (selector, lines) in [("spec.host=ups-01.example.com", 1), ("spec.host=ups-02.example.com", 0)] {
        let found = kubectl.run(&["get", "mac", "--field-selector", selector, "-o", "name"])?;
        ensure!(found.lines().count() == lines, "{selector}: {found:?}");
    }
    kubectl.run(&["explain", "mac.spec.certificate.renewBefore"])?;
    Ok(())
}
