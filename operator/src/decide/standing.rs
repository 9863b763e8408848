//! Where a host's report and a status stand to each other.

use kagiban_crds::host_api::{AgentReport, MAX_GENERATION_STEP};
use kagiban_crds::resource::{ManagedAgentCertificateSpec, ManagedAgentCertificateStatus, RotationStatus};

/// The highest that the host knows of.
pub(super) fn highest_generation(report: &AgentReport) -> u64 {
    report.generation.0.max(report.rotation.as_ref().map_or(0, |rotation| rotation.generation.0))
}

/// Whether a host that stands there does not take the generation that stands here, nor any after it.
pub(super) const fn is_out_of_reach(here: u64, there: u64) -> bool {
    here > there.saturating_add(MAX_GENERATION_STEP)
}

pub(super) fn undecided(status: &ManagedAgentCertificateStatus) -> Option<&RotationStatus> {
    status.rotation.as_ref().filter(|rotation| !rotation.state.is_decided())
}

pub(super) fn is_wrong_host(spec: &ManagedAgentCertificateSpec, report: &AgentReport) -> bool {
    report.host.as_str() != spec.host
        || report.name.as_str() != spec.agent.name
        || report.product != spec.agent.product.id()
}
