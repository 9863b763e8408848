//! A fleet of one host: the Secrets that its resource names, and the resource.

use kagiban_crds::resource::ManagedAgentCertificate;
use serde_json::json;

use super::cluster::FakeCluster;
use super::pki::Authority;

/// The client Secret of the host API's authority, and the CA that signs the agents' leaves.
pub fn secrets(cluster: &FakeCluster, mutual: &Authority, issuer: &Authority) {
    let (client, ca) = (mutual.client(), mutual.pem());
    let values = [("tls.crt", client.certificate.as_str()), ("tls.key", &client.key), ("ca.crt", &ca)];
    cluster.secret("fleet-client", "client-tls", &values);
    self::issuer(cluster, issuer);
}

pub fn issuer(cluster: &FakeCluster, issuer: &Authority) {
    cluster.secret("fleet-ca", "issuer", &[("tls.crt", &issuer.pem()), ("tls.key", &issuer.key_pem)]);
}

/// For a host at this URL whose agent renews its own certificate.
pub fn self_renewing(url: &str) -> ManagedAgentCertificate {
    let mut resource = serde_json::to_value(resource(url)).expect("plain data");
    let spec = resource["spec"].as_object_mut().expect("an object");
    for of_push in ["certificate", "issuerRef", "keystore"] {
        spec.remove(of_push);
    }
    spec["agent"]["product"] = json!("self-renewing-service");
    serde_json::from_value(resource).expect("a resource")
}

/// For a host at this URL.
pub fn resource(url: &str) -> ManagedAgentCertificate {
    serde_json::from_value(json!({
        "apiVersion": "kagiban.dev/v1alpha1",
        "kind": "ManagedAgentCertificate",
        "metadata": {"name": "ups-01", "namespace": "fleet", "uid": "u-1", "generation": 1},
        "spec": {
            "host": "ups-01.example.com",
            "agent": {"product": "powerchute-serial-shutdown", "name": "powerchute"},
            "api": {"hostApi": {"url": url, "tlsSecretRef": {"name": "fleet-client"}}},
            "certificate": {"dnsNames": ["ups-01.example.com"], "privateKey": {"algorithm": "ECDSA", "size": 256}},
            "issuerRef": {"name": "fleet-ca"},
        },
    }))
    .expect("a resource")
}
