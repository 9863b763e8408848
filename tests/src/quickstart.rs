//! What a user prepares and applies: the CRD, the Secrets, and `examples/quickstart`.

use std::fs;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::pki::{Authority, Identity, Purpose, Validity};
use crate::{tools, yaml};

/// The name in the operator's client certificate that hosts authorise.
pub const OPERATOR_NAME: &str = "kagiban-operator";
/// The resource in `examples/quickstart`, its host, and the Secrets that it names.
pub const RESOURCE: &str = "ups-01.example.com-powerchute";
pub const HOST: &str = "ups-01.example.com";
pub const ISSUER_SECRET: &str = "fleet-ca";
pub const CLIENT_SECRET: &str = "fleet-client";
/// Whom they are for: the fleet's hosts, and this machine, on which the tests have them.
pub const ALLOWED_HOSTS: &str = "*.example.com,127.0.0.1";
pub const PASSWORD_SECRET: &str = "powerchute-store";

/// The authorities of a fleet.
#[derive(Debug)]
pub struct Fleet {
    /// Signs the agents' certificates.
    pub issuer: Authority,
    /// Signs both ends of the host API.
    pub transport: Authority,
    /// What an administrator once had the agents trust.
    pub corporate: Authority,
}

impl Fleet {
    pub fn new() -> Result<Self> {
        Ok(Self {
            issuer: Authority::new("Fleet CA")?,
            transport: Authority::new("Host API CA")?,
            corporate: Authority::new("Corporate Root")?,
        })
    }

    /// The certificate that a host's API serves.
    pub fn server_identity(&self, host: &str) -> Result<Identity> {
        self.transport.issue(&[host, "localhost", "127.0.0.1"], Purpose::Server, Validity::Now)
    }

    /// The operator's client certificate.
    pub fn client_identity(&self) -> Result<Identity> {
        self.transport.issue(&[OPERATOR_NAME], Purpose::Client, Validity::Now)
    }

    /// The three Secrets that the example names, each with what it may be used for and for whom.
    pub fn secrets(&self, store_password: &str) -> Result<Vec<Secret>> {
        let mut client = tls(&self.client_identity()?);
        client.push(("ca.crt", self.transport.identity.certificate.clone()));
        let client = Secret { name: CLIENT_SECRET, purpose: "client-tls", kind: "kubernetes.io/tls", values: client };
        Ok([vec![client], self.own_secrets(store_password)].concat())
    }

    /// Those of them that `kagiban-operator enroll` does not make.
    pub fn own_secrets(&self, store_password: &str) -> Vec<Secret> {
        let password = vec![("password", store_password.to_owned())];
        let issuer = tls(&self.issuer.identity);
        vec![
            Secret { name: ISSUER_SECRET, purpose: "issuer", kind: "kubernetes.io/tls", values: issuer },
            Secret { name: PASSWORD_SECRET, purpose: "keystore-password", kind: "Opaque", values: password },
        ]
    }

    /// All three, in the cluster.
    pub fn apply_secrets(&self, kubectl: &Kubectl, store_password: &str) -> Result<()> {
        self.secrets(store_password)?.iter().try_for_each(|secret| secret.create(kubectl))
    }
}

/// A Secret as a user makes it.
#[derive(Clone, Debug)]
pub struct Secret {
    pub name: &'static str,
    pub purpose: &'static str,
    pub kind: &'static str,
    pub values: Vec<(&'static str, String)>,
}

impl Secret {
    /// Without its values.
    pub fn manifest(&self) -> Value {
        let metadata = json!({
            "name": self.name,
            "labels": {"kagiban.dev/purpose": self.purpose},
            "annotations": {"kagiban.dev/allowed-hosts": ALLOWED_HOSTS, "kagiban.dev/allowed-clients": CLIENT_SECRET},
        });
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": self.kind})
    }

    pub fn create(&self, kubectl: &Kubectl) -> Result<()> {
        let mut secret = self.manifest();
        for (key, value) in &self.values {
            secret["stringData"][*key] = json!(value);
        }
        // Not `apply`: it would keep a copy of the data in an annotation.
        kubectl.run_with_input(&["create", "-f", "-"], &secret.to_string())?;
        Ok(())
    }
}

fn tls(identity: &Identity) -> Vec<(&'static str, String)> {
    vec![("tls.crt", identity.certificate.clone()), ("tls.key", identity.key.clone())]
}

/// The CRD from `crds/`, and the wait until the API server serves it.
pub fn install_crd(kubectl: &Kubectl) -> Result<()> {
    kubectl.apply_file(&tools::workspace().join("crds/managedagentcertificates.kagiban.dev.yaml"))?;
    kubectl.run(&[
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd/managedagentcertificates.kagiban.dev",
    ])?;
    Ok(())
}

/// The example's resource, for a host API at this URL.
pub fn resource(url: &str) -> Result<Value> {
    let text = fs::read_to_string(tools::workspace().join("examples/quickstart/managedagentcertificate.yaml"))?;
    let mut resource: Value = serde_yaml::from_str(&text)?;
    resource["spec"]["api"]["hostApi"]["url"] = json!(url);
    // Each test has a namespace of its own.
    resource["metadata"].as_object_mut().context("no metadata")?.remove("namespace");
    Ok(resource)
}

/// What `examples/operator` grants the operator, with the resources and the election in one namespace that exists.
pub fn install_rbac(kubectl: &Kubectl, namespace: &str) -> Result<()> {
    /// Tests share a control plane: of two `kubectl apply` at once, one would find that a role "already exists".
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _turn = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let text = fs::read_to_string(tools::workspace().join("examples/operator/00-rbac.yaml"))?;
    let mut items = yaml::documents(&text)?;
    for item in &mut items {
        let namespaced = item["kind"] == "Role" || item["kind"] == "RoleBinding";
        if namespaced {
            item["metadata"]["namespace"] = json!(namespace);
        }
        for rule in item["rules"].as_array_mut().into_iter().flatten() {
            if rule["resourceNames"] == json!(["kagiban-operator"]) {
                // The Lease of an operator for this namespace alone
                rule["resourceNames"] = json!(["kagiban-operator", format!("kagiban-operator-{namespace}")]);
            }
        }
    }
    kubectl.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())?;
    Ok(())
}
