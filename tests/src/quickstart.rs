//! What a user applies to a cluster, as files of this repository.

use anyhow::Result;
use kagiban_crds::resource::ManagedAgentCertificate;
use kube::CustomResourceExt as _;

use crate::kubectl::Kubectl;

/// The CRD, and the wait until the API server serves it.
pub fn install_crd(kubectl: &Kubectl) -> Result<()> {
    kubectl.apply(&serde_json::to_string(&ManagedAgentCertificate::crd())?)?;
    kubectl.run(&[
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd/managedagentcertificates.kagiban.dev",
    ])?;
    Ok(())
}
