use serde_json::{Value, json};

use super::*;

fn accepted() -> Value {
    json!({
        "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate",
        "metadata": {"name": "ups-01", "namespace": "fleet"},
        "spec": {
            "host": "ups-01.example.com",
            "agent": {"product": "powerchute-serial-shutdown", "name": "powerchute"},
            "api": {"hostApi": {"url": "https://ups-01.example.com:9995", "tlsSecretRef": {"name": "fleet-client"}}},
            "certificate": {"dnsNames": ["ups-01.example.com"], "renewBefore": "720h"},
            "issuerRef": {"name": "fleet-ca"},
        },
    })
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut object = accepted();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    object.pointer_mut(parent).expect("a parent")[key] = value;
    object
}

fn refusal(object: &Value, old: Option<&Value>) -> Vec<String> {
    let admission = Admission::new().expect("the CRD is known");
    let errors = admission.admit(object, old).expect_err("it is refused");
    errors.iter().map(ToString::to_string).collect()
}

fn admitted(object: &Value) -> Value {
    Admission::new().expect("the CRD is known").admit(object, None).expect("it is taken")
}

#[test]
fn what_is_left_out_has_its_default_and_what_others_write_is_passed_over() {
    let mut object = accepted();
    object["metadata"]["uid"] = json!("x");
    object["metadata"]["finalizers"] = json!(["example.com/a"]);
    object["metadata"]["labels"] = json!({"a": "b"});
    object["spec"]["rotation"] = json!({"paused": null});
    object["status"] = json!({"blockedBy": "Paused"});
    let kept = admitted(&object);
    assert_eq!(kept["metadata"], json!({"name": "ups-01", "namespace": "fleet", "labels": {"a": "b"}}));
    assert_eq!(kept["status"], json!({"observedGeneration": -1}));
    assert_eq!(kept["spec"]["certificate"]["duration"], "2160h");
    assert_eq!(kept["spec"]["certificate"]["privateKey"], json!({"algorithm": "RSA", "custody": "Host"}));
    assert_eq!(kept["spec"]["rotation"], json!({"paused": false, "nearExpiry": "Ask"}));
    assert_eq!(kept["spec"]["issuerRef"], json!({"kind": "CASecret", "name": "fleet-ca"}));
    assert_eq!(kept["spec"].get("keystore"), None);
}

/// The words are an API server's: `tests/tests/crd` asks one the same.
#[test]
fn what_is_refused_is_told_by_its_field_in_the_words_of_an_api_server() {
    let names = "/spec/certificate/dnsNames";
    for (pointer, value, expected) in [
        ("/spec/hots", json!("x"), "strict decoding error: unknown field \"spec.hots\""),
        (
            "/spec/repair",
            json!({"command": ["x"]}),
            "strict decoding error: unknown field \"spec.repair.command\": write `repair: {}`",
        ),
        (
            "/spec/agent/product",
            json!("notepad"),
            "spec.agent.product: Unsupported value: \"notepad\": supported values: ",
        ),
        ("/spec/agent", json!({"name": "a"}), "spec.agent.product: Required value"),
        (
            names,
            json!([]),
            "spec.certificate.dnsNames: Invalid value: 0: spec.certificate.dnsNames in body should have",
        ),
        (
            names,
            json!(["a b"]),
            "spec.certificate.dnsNames[0]: Invalid value: \"a b\": spec.certificate.dnsNames[0] in",
        ),
        (names, json!(["192.0.2.1"]), "spec.certificate.dnsNames: Invalid value: dnsNames: an address is no name"),
        (names, json!(["a", "a"]), "spec.certificate.dnsNames: Invalid value: dnsNames: a name stands there twice"),
        ("/spec/certificate/ipAddresses", json!(["::1", "0:0::1"]), "an address stands there twice"),
        (
            "/spec/certificate/renewBefore",
            json!("1m"),
            "spec.certificate.renewBefore: Invalid value: renewBefore must be",
        ),
        ("/spec/certificate/duration", json!(7), "must be of type string: \"integer\""),
        ("/spec/api/hostApi/url", json!("https://[::::]"), "what stands in brackets must be an IPv6 address"),
        ("/spec/renewal", json!({}), "spec.renewal: Forbidden: this product is given its certificate"),
        ("/metadata/name", json!("a".repeat(64)), "at most 63 characters"),
    ] {
        let told = refusal(&changed(pointer, value.clone()), None);
        assert!(told.iter().any(|told| told.contains(expected)), "{pointer} = {value}: {told:?}");
    }
}

#[test]
fn what_identifies_the_agent_stays_and_what_was_taken_once_is_not_asked_about_again() {
    let old = admitted(&accepted());
    assert_eq!(Admission::new().expect("known").admit(&accepted(), Some(&old)).expect("as it was"), old);
    let told = refusal(&changed("/spec/host", json!("ups-02.example.com")), Some(&old));
    assert_eq!(
        told,
        ["spec.host: Invalid value: host is immutable: delete this resource and create one for the other host"]
    );
    // As of a version whose schema took it
    let mut lenient = old;
    lenient["spec"]["keystore"] = json!({"format": "Auto", "onUnreadable": "Refuse", "alias": "other\n"});
    let mut object = changed("/spec/keystore", json!({"alias": "other\n"}));
    assert!(Admission::new().expect("known").admit(&object, Some(&lenient)).is_ok());
    object["spec"]["rotation"] = json!({"paused": true});
    let told = refusal(&object, Some(&lenient));
    assert_eq!(
        told,
        ["spec.keystore.alias: Invalid value: keystore.alias: PowerChute loads its key from securekey only"]
    );
}

/// A rule that calls what is not known here has no answer, and would refuse everything that it speaks of.
#[test]
fn every_rule_of_the_crd_has_an_answer() {
    let full = json!({
        "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate",
        "metadata": {"name": "ups-01", "namespace": "fleet"},
        "spec": {
            "host": "ups-01.example.com",
            "agent": {"product": "tls-service", "name": "web"},
            "api": {"hostApi": {"url": "https://[2001:db8::1]:9995", "tlsSecretRef": {"name": "fleet-client"}}},
            "certificate": {
                "dnsNames": ["ups-01.example.com", "*.example.com"], "ipAddresses": ["192.0.2.1", "2001:db8::1"],
                "duration": "1h", "renewBefore": "5m", "privateKey": {"algorithm": "ECDSA", "size": 384},
            },
            "issuerRef": {"name": "fleet-ca"},
            "keystore": {"alias": "a", "format": "JKS", "passwordSecretRef": {"name": "p"}},
        },
    });
    let kept = admitted(&full);
    let admission = Admission::new().expect("known");
    assert_eq!(admission.admit(&full, Some(&kept)).expect("as it was"), kept);
    let renewing = json!({
        "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate", "metadata": {"name": "a"},
        "spec": {
            "host": "192.0.2.1", "agent": {"product": "self-renewing-service", "name": "web"},
            "api": {"hostApi": {"url": "https://192.0.2.1", "tlsSecretRef": {"name": "c"}}},
            "renewal": {"renewBefore": "876000h"},
        },
    });
    admitted(&renewing);
}
