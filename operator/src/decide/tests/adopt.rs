//! Leaves that a host has already: a resource created anew, or restored, does not restart its agent.

use kagiban_crds::OrderMark;
use kagiban_crds::host_api::CommittedRotation;
use kagiban_crds::resource::{KeyAlgorithm, PrivateKeySpec, SecretKeyRef, StoreFormat};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

use super::*;
use crate::certificate::{self, Issued, check};
use crate::decide::request::order_mark;
use crate::decide::{PasswordOfGeneration, request_digest};

struct Authority {
    ca: certificate::Authority,
    references: References,
}

fn authority() -> Authority {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Fleet CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let (certificate, key) = (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem());
    let ca = certificate::Authority::read(certificate.as_bytes(), key.as_bytes(), now()).expect("a CA");
    let facts = IssuerFacts::read(certificate.as_bytes(), now()).expect("a CA");
    Authority { ca, references: References { issuer: Some(Ok(facts)), password: None } }
}

fn wanted() -> Resource {
    let mut resource = resource();
    push(&mut resource.spec).certificate.private_key =
        PrivateKeySpec { algorithm: KeyAlgorithm::Ecdsa, size: Some(256), ..PrivateKeySpec::default() };
    resource
}

fn issued(authority: &Authority, resource: &Resource, at: Timestamp) -> Issued {
    let key = KeyPair::generate().expect("a key");
    let csr = CertificateParams::default().serialize_request(&key).expect("a CSR").pem().expect("PEM");
    let spec = &resource.spec.procedure.push().expect("what is pushed").certificate;
    let key =
        check(&csr, spec.private_key.request().expect("a key that hosts make"), &spec.subject).expect("a good CSR");
    authority.ca.sign(&key, spec, at).expect("signed")
}

/// A host that stores and serves what was issued, and tells it.
fn holding(issued: &Issued) -> AgentReport {
    let shown = Leaf { sha256: issued.leaf.sha256, ..leaf(1, issued.leaf.not_before, QUARTER) };
    AgentReport { certificate: Some(issued.chain.clone()), ..report(7, &shown) }
}

/// Holds B17: deleting and creating a resource anew, or restoring it without its status, rotated again.
#[test]
fn a_resource_without_a_status_takes_a_fitting_leaf_as_it_is() {
    let (authority, mut resource) = (authority(), wanted());
    let issued = issued(&authority, &resource, now());
    let decision = decided_with(&resource, &holding(&issued), &authority.references, now());
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    assert_eq!(reasons(&decision), ["Adopted"]);
    assert_eq!(condition(&decision.status, "Ready"), ("True", "Verified"));
    let leaf = decision.status.leaf.as_ref().expect("a leaf");
    assert_eq!((leaf.serial.clone(), leaf.not_after), (issued.leaf.serial.clone(), issued.leaf.not_after));
    resource.status = decision.status.clone();
    let rest = decided_with(&resource, &holding(&issued), &authority.references, now());
    assert_eq!((rest.status, rest.events), (decision.status, vec![]), "once");
}

/// Holds B17: a cluster that was restored from an older backup does not restart every agent.
#[test]
fn a_status_from_before_the_last_rotation_takes_the_newer_leaf_and_never_an_older_one() {
    let (authority, mut resource) = (authority(), wanted());
    let (old, new) = (issued(&authority, &resource, now()), issued(&authority, &resource, at(86400)));
    resource.status = decided_with(&resource, &holding(&old), &authority.references, now()).status;
    let backup = resource.clone();
    let mut host = holding(&new);
    host.time = at(2 * 86400);
    let restored = decided_with(&resource, &host, &authority.references, host.time);
    assert!(matches!(restored.step, Step::Idle { .. }), "{:?}", restored.step);
    assert_eq!(restored.status.leaf.as_ref().map(|leaf| leaf.sha256), Some(new.leaf.sha256));
    resource.status = restored.status;

    let back = AgentReport { time: host.time, ..holding(&old) };
    let step = decided_with(&resource, &back, &authority.references, host.time).step;
    assert!(
        matches!(step, Step::Open { trigger: RotationTrigger::StoredDrift, .. }),
        "an older leaf is drift: {step:?}"
    );
    assert_ne!(backup.status, resource.status);
}

/// Holds B8, B17: a leaf that was made while the clock was ahead, and that somebody puts back after every rotation, was adopted and
/// renewed each time, which counts as no drift.
#[test]
fn a_leaf_of_the_future_is_not_adopted_and_is_drift() {
    let (authority, mut resource) = (authority(), wanted());
    let ours = issued(&authority, &resource, now());
    let ahead = holding(&issued(&authority, &resource, at(60 * 86400)));
    resource.status = decided_with(&resource, &holding(&ours), &authority.references, now()).status;
    let decision = decided_with(&resource, &ahead, &authority.references, now());
    let drift = |step: &Step| matches!(step, Step::Open { trigger: RotationTrigger::StoredDrift, .. });
    assert!(drift(&decision.step), "{:?}", decision.step);
    assert_eq!(resource.status.leaf.map(|leaf| leaf.sha256), Some(ours.leaf.sha256));

    resource.status = ManagedAgentCertificateStatus::default();
    let first = decided_with(&resource, &ahead, &authority.references, now());
    assert!(matches!(first.step, Step::Open { trigger: RotationTrigger::FirstIssue, .. }), "{:?}", first.step);
}

/// Holds B10: a rotation that was asked for of a resource that has lost its status is done, and the leaf known meanwhile.
#[test]
fn a_rotation_that_is_asked_for_is_owed_after_a_leaf_was_adopted() {
    let (authority, mut resource) = (authority(), wanted());
    let issued = issued(&authority, &resource, now());
    resource.rotate = Some("the key has leaked".into());
    let decision = decided_with(&resource, &holding(&issued), &authority.references, now());
    assert_eq!(decision.step, Step::Open { generation: Generation(8), trigger: RotationTrigger::Requested });
    assert_eq!(reasons(&decision), ["Adopted", "RotationStarted"]);
    assert_eq!(condition(&decision.status, "Serving"), ("True", "Serving"));
}

/// Holds B17: a cluster that was restored restarts no agent, whatever its specs ask of the keystores, and answers no annotation
/// a second time.
#[test]
fn what_the_host_says_was_carried_out_is_adopted_with_all_that_was_asked_for() {
    let authority = authority();
    let mut resource = wanted();
    push(&mut resource.spec).keystore.format = StoreFormat::Pkcs12;
    push(&mut resource.spec).keystore.password_secret_ref =
        Some(SecretKeyRef { name: "store".into(), key: "password".into() });
    resource.rotate = Some("2026-03-01".into());
    let issued = issued(&authority, &resource, now());
    let digest = request_digest(&resource.spec);
    let references = References { password: Some(Ok("2".into())), ..authority.references };
    let host = |mark: Option<OrderMark>, state| {
        let mut report = holding(&issued);
        let Sighting::Leaf(leaf) = report.stored.clone() else { unreachable!() };
        report.rotation = Some(RotationReport { mark, leaf: Some(leaf), csr: None, ..rotation(7, state) });
        report
    };
    let adopted = |resource: &Resource, report: &AgentReport| decided_with(resource, report, &references, now());

    let known = host(order_mark(&digest, Some("2026-03-01")), RotationState::Committed);
    let decision = adopted(&resource, &known);
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    assert_eq!(decision.status.handled_rotate.as_deref(), Some("2026-03-01"));
    let taken = decision.status.leaf.as_ref().expect("a leaf");
    assert_eq!((&taken.request_digest, taken.password_version.as_deref()), (&digest, Some("2")));

    let opens = |report: &AgentReport| match adopted(&resource, report).step {
        Step::Open { trigger, .. } => Some(trigger),
        _ => None,
    };
    let earlier = host(order_mark(&digest, Some("2026-02-01")), RotationState::Committed);
    assert_eq!(opens(&earlier), Some(RotationTrigger::Requested), "another value is owed");
    let never = host(order_mark(&digest, None), RotationState::Committed);
    assert_eq!(opens(&never), Some(RotationTrigger::Requested), "so is the first one");
    let other = host(order_mark(&request_digest(&wanted().spec), Some("2026-03-01")), RotationState::Committed);
    assert_eq!(opens(&other), Some(RotationTrigger::FirstIssue), "it was asked for otherwise");
    let undone = host(order_mark(&digest, Some("2026-03-01")), RotationState::RolledBack);
    assert_eq!(opens(&undone), Some(RotationTrigger::FirstIssue), "it did not commit");
    // What stands again is what was committed before it
    let before = |stands: LeafSha256, mark| {
        let committed = CommittedRotation { generation: Generation(6), leaf: stands, mark };
        let mut report = host(order_mark(&digest, Some("2026-03-02")), RotationState::RolledBack);
        report.rotation.as_mut().expect("a rotation").leaf = Some(leaf(9, now(), QUARTER));
        AgentReport { committed: Some(committed), ..report }
    };
    let stands = before(issued.leaf.sha256, order_mark(&digest, Some("2026-03-01")));
    let decision = adopted(&resource, &stands);
    // The one that was undone may have been for the password
    assert_eq!(decision.step, Step::AskPassword { generation: Generation(7) });
    assert_eq!(decision.status.handled_rotate.as_deref(), Some("2026-03-01"));
    // Statuses have this word already
    let word = decision.status.leaf.as_ref().and_then(|leaf| leaf.password_version.as_deref());
    assert_eq!(word, Some("generation-6"));
    let mut answered = Resource { status: decision.status, ..resource.clone() };
    let same =
        PasswordVersion { before: vec![PasswordOfGeneration(Generation(6)).to_string()], ..PasswordVersion::from("2") };
    let answer = |password: PasswordVersion, resource: &Resource| {
        let references = References { password: Some(Ok(password)), ..references.clone() };
        decided_with(resource, &stands, &references, now()).step
    };
    assert!(matches!(answer(same, &answered), Step::Idle { .. }));
    let another =
        PasswordVersion { others: vec![PasswordOfGeneration(Generation(6)).to_string()], ..PasswordVersion::from("2") };
    let owed = Step::Open { generation: Generation(8), trigger: RotationTrigger::PasswordChanged };
    assert_eq!(answer(another, &answered), owed);
    answered.rotate = Some("2026-03-02".into());
    assert!(matches!(answer("2".into(), &answered), Step::Open { trigger: RotationTrigger::Requested, .. }));
    let otherwise = before(issued.leaf.sha256, order_mark(&request_digest(&wanted().spec), Some("2026-03-01")));
    assert_eq!(opens(&otherwise), Some(RotationTrigger::FirstIssue), "what stands was asked for otherwise");
    let gone = before(leaf(8, now(), QUARTER).sha256, order_mark(&digest, Some("2026-03-01")));
    assert_eq!(opens(&gone), Some(RotationTrigger::FirstIssue), "another leaf stands");
    let mut replaced = known.clone();
    replaced.rotation.as_mut().expect("a rotation").leaf = Some(leaf(9, now(), QUARTER));
    assert_eq!(opens(&replaced), Some(RotationTrigger::FirstIssue), "another leaf is in the store");
    assert_eq!(
        opens(&host(None, RotationState::Committed)),
        Some(RotationTrigger::FirstIssue),
        "a host that keeps no marks"
    );
    let mut plain = resource.clone();
    plain.rotate = None;
    assert!(matches!(adopted(&plain, &known).step, Step::Idle { .. }), "nothing is asked for any more");
}

/// Holds B10: what a spec asks of the keystore is not taken for done because of the leaf in it.
#[test]
fn a_leaf_is_not_adopted_where_the_keystore_may_not_be_as_the_spec_wants_it() {
    type Change = fn(&mut KeystoreSpec);
    let changes: [Change; 3] = [
        |keystore| keystore.format = StoreFormat::Pkcs12,
        |keystore| keystore.alias = Some("securekey".into()),
        |keystore| keystore.password_secret_ref = Some(SecretKeyRef { name: "store".into(), key: "password".into() }),
    ];
    let authority = authority();
    let (old, new) = (issued(&authority, &wanted(), now()), issued(&authority, &wanted(), at(86400)));
    let mut host = holding(&new);
    host.time = at(2 * 86400);
    for change in changes {
        let mut resource = wanted();
        change(&mut push(&mut resource.spec).keystore);
        let step = |resource: &Resource| decided_with(resource, &host, &authority.references, host.time).step;
        assert!(
            matches!(step(&resource), Step::Open { trigger: RotationTrigger::FirstIssue, .. }),
            "{:?}",
            step(&resource)
        );
        resource.status = decided_with(&wanted(), &holding(&old), &authority.references, now()).status;
        assert!(
            matches!(step(&resource), Step::Open { trigger: RotationTrigger::SpecChanged, .. }),
            "{:?}",
            step(&resource)
        );
    }
}

/// Holds B11: the password in force is the one of the last rotation, whatever leaf is found.
#[test]
fn another_password_is_a_change_after_a_leaf_was_adopted() {
    let (authority, mut resource) = (authority(), wanted());
    let (old, new) = (issued(&authority, &resource, now()), issued(&authority, &resource, at(86400)));
    resource.status = decided_with(&resource, &holding(&old), &authority.references, now()).status;
    resource.status.leaf.as_mut().expect("a leaf").password_version = Some("1".into());
    let password = PasswordVersion { others: vec!["1".into()], ..PasswordVersion::from("2") };
    let references = References { password: Some(Ok(password)), ..authority.references };
    let mut host = holding(&new);
    host.time = at(2 * 86400);
    let decision = decided_with(&resource, &host, &references, host.time);
    assert_eq!(decision.step, Step::Open { generation: Generation(8), trigger: RotationTrigger::PasswordChanged });
}

#[test]
fn a_leaf_that_does_not_fit_in_every_way_is_not_adopted() {
    let (authority, resource) = (authority(), wanted());
    let good = issued(&authority, &resource, now());
    let stranger = self::authority();
    let step = |resource: &Resource, report: &AgentReport, authority: &Authority, at: Timestamp| {
        decided_with(resource, &AgentReport { time: at, ..report.clone() }, &authority.references, at).step
    };
    let rotates = |step: Step| matches!(step, Step::Open { trigger: RotationTrigger::FirstIssue, .. });

    assert!(rotates(step(&resource, &holding(&good), &stranger, now())), "another CA signed it");
    let mut other_names = wanted();
    push(&mut other_names.spec).certificate.dns_names.push("ups.example.com".into());
    assert!(rotates(step(&other_names, &holding(&good), &authority, now())), "other names");
    let mut other_key = wanted();
    push(&mut other_key.spec).certificate.private_key.size = Some(384);
    assert!(rotates(step(&other_key, &holding(&good), &authority, now())), "another kind of key");
    assert!(rotates(step(&resource, &holding(&good), &authority, at(70 * 86400))), "its renewal is due");
    let mut split = holding(&good);
    split.served = Sighting::Leaf(leaf(9, now(), QUARTER));
    assert!(rotates(step(&resource, &split, &authority, now())), "stored, and not served");
    let untold = AgentReport { certificate: None, ..holding(&good) };
    assert!(rotates(step(&resource, &untold, &authority, now())), "the host does not show it");
    let mut lying = holding(&good);
    (lying.stored, lying.served) = (split.served.clone(), split.served);
    assert!(rotates(step(&resource, &lying, &authority, now())), "it shows another than it serves");
    let mut elsewhere = holding(&good);
    elsewhere.host = "ups-02.example.com".parse().expect("a name");
    let step = step(&resource, &elsewhere, &authority, now());
    assert!(matches!(step, Step::Blocked { by: BlockedBy::WrongHost, .. }), "another host: {step:?}");
}
