//! What the fleet takes in memory: a test of its own process, in which nothing else allocates.

use std::fs;

use kagiban_operator::cluster::watch::Event;
use kagiban_operator::fleet::Fleet;
use serde_json::{Value, json};

const RESOURCES: u32 = 10_000;
/// Half of what a pod with ten thousand resources is to take in all.
const LIMIT: usize = 45 << 20;

/// As big as one that was rotated three times and is applied by `kubectl`.
fn object(number: u32) -> Value {
    let (host, time) = (format!("ups-{number:05}.example.com"), "2026-06-01T12:00:00Z");
    let digest = format!("{number:064x}");
    let said = "serial 1234567890abcdef1234567890abcdef from CN=Fleet CA, 2026-06-01T12:00:00Z to 2026-08-30T12:00:00Z";
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": kind, "message": said, "lastTransitionTime": time,
            "observedGeneration": 1,
        })
    };
    let ended = |generation: u64| {
        json!({
            "generation": generation, "outcome": "Committed", "sha256": digest, "finishedAt": time,
            "serials": ["1234567890abcdef1234567890abcdef"],
        })
    };
    let conditions = ["Ready", "Issued", "Deployed", "Verified", "Serving"].map(condition);
    json!({
        "apiVersion": "kagiban.dev/v1alpha1",
        "kind": "ManagedAgentCertificate",
        "metadata": {
            "name": format!("ups-{number:05}-powerchute"), "namespace": "fleet", "generation": 1,
            "creationTimestamp": time, "resourceVersion": number.to_string(),
            "uid": format!("00000000-0000-4000-8000-{number:012}"),
            "finalizers": ["kagiban.dev/rotation"],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x".repeat(600)},
            "managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:host": {}}}}],
        },
        "spec": {
            "host": host,
            "agent": {"product": "powerchute-serial-shutdown", "name": "powerchute"},
            "api": {"hostApi": {"url": format!("https://{host}:9995"), "tlsSecretRef": {"name": "fleet-client"}}},
            "certificate": {"dnsNames": [host], "duration": "2160h", "renewBefore": "720h"},
            "issuerRef": {"kind": "CASecret", "name": "fleet-ca"},
            "keystore": {"passwordSecretRef": {"name": "powerchute-store"}},
        },
        "status": {
            "observedGeneration": 1,
            "conditions": conditions,
            "leaf": {
                "sha256": digest, "serial": "1234567890abcdef1234567890abcdef", "issuer": "CN=Fleet CA",
                "notBefore": time, "notAfter": "2026-08-30T12:00:00Z", "requestDigest": digest,
            },
            "renewalTime": "2026-07-31T12:00:00Z",
            "history": [ended(3), ended(2), ended(1)],
        },
    })
}

/// In bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it says what is resident");
    let kibibytes: usize = line.trim().strip_suffix(" kB").and_then(|n| n.parse().ok()).expect("a number of kB");
    kibibytes << 10
}

/// Holds B14: 5,000 resources took 157 MB.
#[test]
fn ten_thousand_resources_take_little_memory() {
    let fleet = Fleet::default();
    let put = |number| {
        let event = Event::InitApply(serde_json::from_value(object(number)).expect("an object"));
        fleet.apply(event);
    };
    fleet.apply(Event::Init);
    put(0);
    let before = resident();
    (0..RESOURCES).for_each(put);
    fleet.apply(Event::InitDone);
    // A machine that runs short of memory takes some of what was there before.
    let taken = resident().saturating_sub(before);
    assert_eq!(fleet.summaries().len(), RESOURCES as usize);
    assert!(taken < LIMIT, "{} KiB", taken / 1024);
}
