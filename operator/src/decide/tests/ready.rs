//! What the conditions say.

use super::*;
use crate::decide::renewal::later;

#[test]
fn before_the_first_leaf_ready_says_what_holds_it_up() {
    let mut report = report(1, &leaf(9, now(), QUARTER));
    report.rotation = Some(rotation(1, RotationState::Keyed));
    let setback =
        Setback { obstacle: Obstacle::new(BlockedBy::IssuerUnavailable, "no such Secret"), count: 1, at: now() };
    let (resource, policy) = (opened(), Policy::default());
    let host = Observed::Seen(&report);
    let decision = decide(&Inputs {
        resource: &resource,
        host,
        rival: None,
        setback: Some(&setback),
        works_for: None,
        ordered: None,
        references: &References::default(),
        policy: &policy,
        now: now(),
    });
    assert_eq!(condition(&decision.status, "Ready"), ("False", "IssuerUnavailable"));
}

/// Holds B7: `kubectl wait --for=condition=Ready` was met by a spec that nothing served yet.
#[test]
fn ready_is_not_said_of_a_spec_that_is_not_in_force() {
    let (mut resource, report) = settled();
    push(&mut resource.spec).certificate.dns_names.push("ups.example.com".into());
    resource.generation = 2;

    let opens = decided(&resource, &report, now());
    assert!(matches!(opens.step, Step::Open { trigger: RotationTrigger::SpecChanged, .. }));
    assert_eq!(condition(&opens.status, "Ready"), ("False", "SpecChanged"));
    assert_eq!(condition(&opens.status, "Serving"), ("True", "Serving"), "the old one is still valid");

    let mut paused = resource.clone();
    paused.spec.rotation.paused = true;
    let waits = decided(&paused, &report, now());
    assert_eq!(condition(&waits.status, "Ready"), ("False", "Paused"));
    assert_eq!(condition(&waits.status, "Serving").0, "True");

    let missing = Obstacle::new(BlockedBy::IssuerUnavailable, "there is no Secret another-ca");
    push(&mut resource.spec).issuer_ref.name = "another-ca".into();
    let references = References { issuer: Some(Err(missing)), password: None };
    let waits = decided_with(&resource, &report, &references, now());
    assert_eq!(condition(&waits.status, "Ready"), ("False", "IssuerUnavailable"));
    assert!(waits.status.conditions.iter().all(|condition| condition.observed_generation == Some(2)));
}

/// Holds B7: an address that is none was Ready too.
#[test]
fn ready_is_not_said_of_a_spec_that_cannot_be() {
    let (resource, _) = settled();
    let garbage = Obstacle::new(BlockedBy::SpecInvalid, "the address https://[::::] is not https://host:port");
    let decision = decided_unseen(&resource, &garbage, now());
    assert_eq!(condition(&decision.status, "Ready"), ("False", "SpecInvalid"));
    assert_eq!(condition(&decision.status, "Stalled"), ("True", "SpecInvalid"));
}

#[test]
fn ready_stays_true_while_a_renewal_is_on_its_way() {
    let (mut resource, report) = settled();
    let time = resource.status.renewal_time.expect("a leaf has one");
    let report = AgentReport { time, ..report };
    let opens = decided(&resource, &report, time);
    assert_eq!(condition(&opens.status, "Ready").0, "True");
    resource.status = opens.status;
    let mut halfway = AgentReport { time, generation: Generation(2), ..report };
    halfway.rotation = Some(rotation(2, RotationState::Restarting));
    halfway.stored = Sighting::Leaf(leaf(2, time, QUARTER));
    halfway.served = Sighting::Unseen { reason: "connect".into(), message: "refused".into() };
    let follows = decided(&resource, &halfway, time);
    assert!(matches!(follows.step, Step::Follow { .. }));
    assert_eq!((follows.status, follows.events), (resource.status, vec![]), "nothing is written meanwhile");
}

/// Holds B7: an agent that did not come back with its new leaf was Ready and Serving for as long as its host worked.
#[test]
fn what_is_not_served_is_ready_for_no_longer_than_a_usual_rotation() {
    let (mut resource, report) = settled();
    let time = resource.status.renewal_time.expect("a leaf has one");
    let report = AgentReport { time, ..report };
    resource.status = decided(&resource, &report, time).status;
    let halfway = |served: Sighting, state| {
        let rotation = Some(rotation(2, state));
        AgentReport { generation: Generation(2), served, rotation, ..report.clone() }
    };
    let after = |report: &AgentReport, seconds: u64| {
        let now = later(time, Duration::from_secs(seconds));
        let report = AgentReport { time: now, ..report.clone() };
        let decision = decide(&Inputs {
            resource: &resource,
            host: Observed::Seen(&report),
            rival: None,
            setback: None,
            works_for: Some(Duration::from_secs(seconds)),
            ordered: None,
            references: &References::default(),
            policy: &Policy::default(),
            now,
        });
        let said = ["Ready", "Verified", "Serving"].map(|kind| condition(&decision.status, kind).0.to_owned());
        (said, decision.status.blocked_by)
    };
    let [yes, no, unknown] = ["True", "False", "Unknown"].map(|status| [status; 3].map(str::to_owned));
    let gone = Sighting::Unseen { reason: "connect".into(), message: "refused".into() };
    let restarts = halfway(gone, RotationState::Restarting);
    assert_eq!(after(&restarts, 119), (yes.clone(), None));
    assert_eq!(after(&restarts, 121), (unknown.clone(), None));
    let other = halfway(Sighting::Leaf(leaf(2, time, QUARTER)), RotationState::Verifying);
    assert_eq!(after(&other, 119), (yes.clone(), None));
    assert_eq!(after(&other, 121), (no, None));
    assert_eq!(after(&restarts, 3600 + 1800), (unknown, Some(BlockedBy::RotationStuck)));
    let waits = halfway(report.served.clone(), RotationState::Validated);
    assert_eq!(after(&waits, 1000), (yes, None), "the old one is served all the while");
}

/// Holds B7: a host that is stuck by its own step log is stuck, however young the rotation is by our clock.
#[test]
fn a_rotation_that_is_stuck_keeps_nothing_ready() {
    let (mut resource, report) = settled();
    let time = resource.status.renewal_time.expect("a leaf has one");
    resource.status = decided(&resource, &AgentReport { time, ..report.clone() }, time).status;
    let gone = Sighting::Unseen { reason: "connect".into(), message: "refused".into() };
    let mut stuck = rotation(2, RotationState::Restarting);
    stuck.steps =
        vec![kagiban_crds::host_api::Step { state: RotationState::Restarting, at: time, note: String::new() }];
    let now = later(time, Duration::from_secs(1801));
    let report = AgentReport { time: now, generation: Generation(2), served: gone, rotation: Some(stuck), ..report };
    let decision = decided(&resource, &report, now);
    assert_eq!(decision.status.blocked_by, Some(BlockedBy::RotationStuck));
    assert_eq!(condition(&decision.status, "Ready").0, "Unknown");
}

#[test]
fn near_expiry_asks_a_person_unless_told_to_wait() {
    let (mut resource, mut report) = settled();
    let late = at((2160 - 24) * 3600);
    report.time = late;
    report.power.state = PowerState::OnBattery;
    let asks = decided(&resource, &report, late);
    assert_eq!(condition(&asks.status, "Stalled"), ("True", "NearExpiry"));
    assert_eq!(condition(&asks.status, "Ready").0, "True", "it is still valid");
    assert!(reasons(&asks).contains(&"NearExpiry"));
    resource.status = asks.status;
    assert_eq!(reasons(&decided(&resource, &report, late)), Vec::<&str>::new(), "asked once");
    resource.spec.rotation.near_expiry = NearExpiry::Wait;
    assert!(!has(&decided(&resource, &report, late).status, "Stalled"));
}

#[test]
fn conditions_read_well() {
    let (resource, report) = settled();
    let mut text = lines(&resource.status);
    let mut report = report;
    let late = at((2160 - 24) * 3600);
    (report.time, report.power.state) = (late, PowerState::Unknown);
    text.push('\n');
    text.push_str(&lines(&decided(&resource, &report, late).status));
    insta::assert_snapshot!(text, @"
    Ready=True Verified: served and valid until 2026-05-30T12:00:00Z
    Issued=True Issued: serial 1 from CN=fleet, valid from 2026-03-01T12:00:00Z to 2026-05-30T12:00:00Z
    Deployed=True Deployed: the keystore holds 0101010101010101
    Verified=True Verified: the live endpoint serves 0101010101010101
    Serving=True Serving: 0101010101010101 is served and valid until 2026-05-30T12:00:00Z

    Ready=True Verified: served and valid until 2026-05-30T12:00:00Z
    Issued=True Issued: serial 1 from CN=fleet, valid from 2026-03-01T12:00:00Z to 2026-05-30T12:00:00Z
    Deployed=True Deployed: the keystore holds 0101010101010101
    Verified=True Verified: the live endpoint serves 0101010101010101
    Serving=True Serving: 0101010101010101 is served and valid until 2026-05-30T12:00:00Z
    Stalled=True NearExpiry: the certificate expires at 2026-05-30T12:00:00Z and its rotation is blocked: the host does not know its power state: configure its UPS under `ups` there, or `power: {assume: mains}`; clear that, or set spec.rotation.nearExpiry to Wait to accept the expiry
    Blocked=True PowerUnknown: the host does not know its power state: configure its UPS under `ups` there, or `power: {assume: mains}`
    ");
}

fn lines(status: &ManagedAgentCertificateStatus) -> String {
    let line =
        |c: &kagiban_crds::resource::Condition| format!("{}={} {}: {}\n", c.type_, c.status, c.reason, c.message);
    status.conditions.iter().map(line).collect()
}
