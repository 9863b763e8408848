//! The rules by example, and the whole against models of hosts.
//!
//! What stands here is shared: a resource, a leaf, what a host reports of it.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::host_api::{
    AgentReport, Failure, Leaf, PowerReport, PowerState, RotationReport, RotationState, Sighting,
};
use kagiban_crds::resource::{
    AgentApi, AgentRef, BlockedBy, CertificateSpec, HostApiRef, IssuerRef, KeystoreSpec, ManagedAgentCertificateSpec,
    ManagedAgentCertificateStatus, NearExpiry, Outcome, Procedure, Product, PushSpec, RotationSpec, RotationTrigger,
    SecretRef, SignedLeaf,
};
use kagiban_crds::{CertificateSubject, Epoch, Generation, LeafSha256};

use super::{
    Decision, Inputs, Observed, Obstacle, PasswordVersion, Policy, Reason, References, Resource, Rival, Setback, Step,
    decide, with_signed,
};
use crate::certificate::IssuerFacts;

mod adopt;
mod changed;
mod clients;
mod clock_set_back;
mod functional;
mod in_flight;
mod model;
mod opening;
mod owed;
mod pace;
mod ready;
mod repair;
mod simulation;
mod trigger;
mod trigger_model;

pub(super) fn certificate(duration: &str, renew_before: Option<&str>, percentage: Option<u8>) -> CertificateSpec {
    CertificateSpec {
        dns_names: vec!["ups-01.example.com".into()],
        ip_addresses: Vec::new(),
        subject: CertificateSubject::default(),
        duration: duration.parse().expect("a duration"),
        renew_before: renew_before.map(|text| text.parse().expect("a duration")),
        renew_before_percentage: percentage,
        private_key: kagiban_crds::resource::PrivateKeySpec::default(),
    }
}

pub(crate) fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("a time")
}

pub(crate) fn resource() -> Resource {
    Resource {
        namespace: "fleet".into(),
        name: "ups-01".into(),
        uid: "0c0a9d0e-0001".into(),
        generation: 1,
        deleted_at: None,
        held: true,
        rotate: None,
        paused_by_hand: false,
        spec: ManagedAgentCertificateSpec {
            host: "ups-01.example.com".into(),
            agent: AgentRef { product: Product::PowerchuteSerialShutdown, name: "powerchute".into() },
            api: AgentApi {
                host_api: Some(HostApiRef {
                    url: "https://ups-01.example.com:9995".into(),
                    tls_secret_ref: SecretRef { name: "fleet-client".into() },
                }),
            },
            procedure: Procedure::Push(PushSpec {
                certificate: certificate("2160h", Some("720h"), None),
                issuer_ref: IssuerRef { kind: kagiban_crds::resource::IssuerKind::default(), name: "fleet-ca".into() },
                keystore: KeystoreSpec::default(),
            }),
            rotation: RotationSpec::default(),
        },
        status: ManagedAgentCertificateStatus::default(),
    }
}

/// What is pushed, of a spec of that class.
pub(crate) fn push(spec: &mut ManagedAgentCertificateSpec) -> &mut PushSpec {
    match &mut spec.procedure {
        Procedure::Push(push) => push,
        Procedure::Trigger { .. } | Procedure::Repair(_) => panic!("nothing is pushed"),
    }
}

pub(crate) fn leaf(seed: u8, not_before: Timestamp, lifetime: Duration) -> Leaf {
    Leaf {
        sha256: LeafSha256::new([seed; 32]),
        serial: format!("{seed:x}"),
        subject: "CN=ups-01.example.com".into(),
        issuer: "CN=fleet".into(),
        not_before,
        not_after: super::renewal::later(not_before, lifetime),
        dns_names: vec!["ups-01.example.com".into()],
    }
}

pub(crate) fn report(generation: u64, seen: &Leaf) -> AgentReport {
    AgentReport {
        host: "ups-01.example.com".parse().expect("a name"),
        name: "powerchute".parse().expect("a name"),
        product: "powerchute-serial-shutdown".into(),
        time: now(),
        epoch: Epoch(1),
        lineage: None,
        generation: Generation(generation),
        power: PowerReport { state: PowerState::Mains, observed_at: None },
        stored: Sighting::Leaf(seen.clone()),
        served: Sighting::Leaf(seen.clone()),
        kept_in: None,
        certificate: None,
        rotation: None,
        committed: None,
        function: None,
        clients: None,
    }
}

fn rotation(generation: u64, state: RotationState) -> RotationReport {
    RotationReport {
        epoch: Epoch(1),
        generation: Generation(generation),
        state,
        csr: Some("CSR".into()),
        leaf: None,
        previous: None,
        mark: None,
        failure: None,
        function: None,
        proof: None,
        steps: Vec::new(),
    }
}

const QUARTER: Duration = Duration::from_secs(2160 * 3600);

pub(crate) fn decided(resource: &Resource, report: &AgentReport, at: Timestamp) -> Decision {
    decided_with(resource, report, &References::default(), at)
}

pub(crate) fn decided_with(
    resource: &Resource,
    report: &AgentReport,
    references: &References,
    at: Timestamp,
) -> Decision {
    decided_beside(None, resource, report, references, at)
}

/// While another resource owns the agent.
fn decided_beside(
    rival: Option<&Rival>,
    resource: &Resource,
    report: &AgentReport,
    references: &References,
    at: Timestamp,
) -> Decision {
    let (host, policy) = (Observed::Seen(report), Policy::default());
    decide(&Inputs {
        resource,
        host,
        rival,
        setback: None,
        works_for: None,
        ordered: None,
        references,
        policy: &policy,
        now: at,
    })
}

/// By an operator that speaks for that installation.
fn decided_for(lineage: Option<&str>, resource: &Resource, report: &AgentReport, at: Timestamp) -> Decision {
    let lineage = lineage.map(|name| name.parse().expect("a lineage"));
    decided_of(resource, Observed::Seen(report), &Policy { lineage, ..Policy::default() }, at)
}

/// While the host cannot be looked at, for that reason.
pub(crate) fn decided_unseen(resource: &Resource, obstacle: &Obstacle, at: Timestamp) -> Decision {
    decided_of(resource, Observed::Unseen(obstacle), &Policy::default(), at)
}

/// From nothing but what was seen of the host.
fn decided_of(resource: &Resource, host: Observed<'_>, policy: &Policy, at: Timestamp) -> Decision {
    let references = References::default();
    decide(&Inputs {
        resource,
        host,
        rival: None,
        setback: None,
        works_for: None,
        ordered: None,
        references: &references,
        policy,
        now: at,
    })
}

/// An issuer with that identity that ends then.
fn issuer(sha256: &str, not_after: Timestamp) -> References {
    References { issuer: Some(Ok(IssuerFacts::sample(sha256, not_after))), password: None }
}

fn signed(leaf: &Leaf) -> SignedLeaf {
    SignedLeaf {
        sha256: leaf.sha256,
        serial: leaf.serial.clone(),
        issuer: leaf.issuer.clone(),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        issuer_sha256: "ca".into(),
    }
}

/// What was signed for the rotation in flight, as it is written before it is pushed.
fn sign(resource: &mut Resource, leaf: &Leaf) {
    resource.status = with_signed(&resource.status, signed(leaf)).expect("a rotation that may sign more");
}

/// The rotation in flight, signed and committed with that leaf.
fn commit(resource: &mut Resource, leaf: &Leaf, at: Timestamp) -> (Decision, AgentReport) {
    sign(resource, leaf);
    let generation = resource.status.rotation.as_ref().expect("a rotation in flight").generation;
    let mut report = report(generation, leaf);
    report.time = at;
    report.rotation =
        Some(RotationReport { leaf: Some(leaf.clone()), ..rotation(generation, RotationState::Committed) });
    let decision = decided(resource, &report, at);
    resource.status = decision.status.clone();
    (decision, report)
}

fn at(seconds: u64) -> Timestamp {
    super::renewal::later(now(), Duration::from_secs(seconds))
}

/// A resource whose first rotation has just been opened.
fn opened() -> Resource {
    let mut resource = resource();
    let first = decided(&resource, &report(0, &leaf(9, now(), QUARTER)), now());
    assert_eq!(first.step, Step::Open { generation: Generation(1), trigger: RotationTrigger::FirstIssue });
    resource.status = first.status;
    resource
}

/// A resource whose leaf 1 was committed, stored and served at [`now`].
fn settled() -> (Resource, AgentReport) {
    let mut resource = opened();
    let (decision, report) = commit(&mut resource, &leaf(1, now(), QUARTER), now());
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    (resource, report)
}

/// Whether a condition is there at all.
fn has(status: &ManagedAgentCertificateStatus, kind: &str) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == kind)
}

fn condition<'a>(status: &'a ManagedAgentCertificateStatus, kind: &str) -> (&'a str, &'a str) {
    let condition = status.conditions.iter().find(|c| c.type_ == kind).expect("the condition is written");
    (&condition.status, &condition.reason)
}

fn reasons(decision: &Decision) -> Vec<&'static str> {
    decision.events.iter().map(|event| event.reason.as_str()).collect()
}

/// What a decision is made from is this crate's own: neither where resources are kept nor who signs.
#[test]
fn decisions_know_no_cluster_and_no_issuer() {
    let room = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/decide");
    let files = std::fs::read_dir(room).expect("the room").map(|entry| entry.expect("a file").path());
    for file in files.filter(|file| file.extension().is_some_and(|end| end == "rs") && !file.ends_with("tests.rs")) {
        let text = std::fs::read_to_string(&file).expect("text");
        for foreign in ["kube::", "k8s_openapi", "crate::issuer", "crate::cluster", "crate::act"] {
            assert!(!text.contains(foreign), "{}: {foreign}", file.display());
        }
    }
}
