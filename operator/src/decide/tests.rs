//! The rules by example, and the whole against a model of a host.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::host_api::{
    AgentReport, Failure, Leaf, PowerReport, PowerState, RotationReport, RotationState, Sighting,
};
use kagiban_crds::resource::{
    AgentApi, AgentRef, BlockedBy, CertificateSpec, HostApiRef, IssuerRef, KeystoreSpec, ManagedAgentCertificateSpec,
    ManagedAgentCertificateStatus, NearExpiry, Outcome, Product, RotationSpec, SecretRef, Trigger,
};
use kagiban_crds::{Epoch, Generation, LeafSha256};

use super::{Decision, Inputs, Observed, Obstacle, Policy, Reason, Resource, Rival, Setback, Step, decide};

mod model;

pub(super) fn certificate(duration: &str, renew_before: Option<&str>, percentage: Option<u8>) -> CertificateSpec {
    CertificateSpec {
        dns_names: vec!["ups-01.example.com".into()],
        ip_addresses: Vec::new(),
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
        spec: ManagedAgentCertificateSpec {
            host: "ups-01.example.com".into(),
            agent: AgentRef { product: Product::PowerchuteSerialShutdown, name: "powerchute".into() },
            api: AgentApi {
                host_api: Some(HostApiRef {
                    url: "https://ups-01.example.com:9995".into(),
                    tls_secret_ref: SecretRef { name: "fleet-client".into() },
                }),
            },
            certificate: certificate("2160h", Some("720h"), None),
            issuer_ref: IssuerRef { kind: kagiban_crds::resource::IssuerKind::default(), name: "fleet-ca".into() },
            keystore: KeystoreSpec::default(),
            rotation: RotationSpec::default(),
        },
        status: ManagedAgentCertificateStatus::default(),
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
        generation: Generation(generation),
        power: PowerReport { state: PowerState::Mains, observed_at: None },
        stored: Sighting::Leaf(seen.clone()),
        served: Sighting::Leaf(seen.clone()),
        rotation: None,
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
        failure: None,
        steps: Vec::new(),
    }
}

const QUARTER: Duration = Duration::from_secs(2160 * 3600);

fn decided(resource: &Resource, report: &AgentReport, at: Timestamp) -> Decision {
    let policy = Policy::default();
    decide(&Inputs { resource, host: Observed::Seen(report), rival: None, setback: None, policy: &policy, now: at })
}

/// A resource whose first rotation has just been opened.
fn opened() -> Resource {
    let mut resource = resource();
    let first = decided(&resource, &report(0, &leaf(9, now(), QUARTER)), now());
    assert_eq!(first.step, Step::Open { generation: Generation(1), trigger: Trigger::FirstIssue });
    resource.status = first.status;
    resource
}

/// A resource whose leaf 1 was committed, stored and served at [`now`].
fn settled() -> (Resource, AgentReport) {
    let mut resource = opened();
    let leaf = leaf(1, now(), QUARTER);
    let mut report = report(1, &leaf);
    report.rotation = Some(RotationReport { leaf: Some(leaf), ..rotation(1, RotationState::Committed) });
    let decision = decided(&resource, &report, now());
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    resource.status = decision.status;
    (resource, report)
}

fn condition<'a>(status: &'a ManagedAgentCertificateStatus, kind: &str) -> (&'a str, &'a str) {
    let condition = status.conditions.iter().find(|c| c.type_ == kind).expect("the condition is written");
    (&condition.status, &condition.reason)
}

fn reasons(decision: &Decision) -> Vec<&'static str> {
    decision.stories.iter().map(|story| story.reason.as_str()).collect()
}

#[test]
fn the_finalizer_stands_before_the_first_rotation() {
    let mut resource = resource();
    resource.held = false;
    let decision = decided(&resource, &report(0, &leaf(9, now(), QUARTER)), now());
    assert_eq!((decision.step, decision.status, decision.stories), (Step::EnsureFinalizer, resource.status, vec![]));
}

#[test]
fn a_rotation_is_told_when_it_starts_and_when_it_is_verified_and_then_all_is_quiet() {
    let mut resource = resource();
    let before = report(0, &leaf(9, now(), QUARTER));
    let first = decided(&resource, &before, now());
    assert_eq!(reasons(&first), ["RotationStarted"]);
    assert_eq!(condition(&first.status, "Reconciling"), ("True", "FirstIssue"));
    resource.status = first.status;

    let mut keyed = before.clone();
    keyed.generation = Generation(1);
    keyed.rotation = Some(rotation(1, RotationState::Keyed));
    let second = decided(&resource, &keyed, now());
    assert_eq!(second.step, Step::Deliver { generation: Generation(1) });
    assert_eq!((second.status, second.stories), (resource.status.clone(), vec![]), "no write while the host works");

    let leaf = leaf(1, now(), QUARTER);
    let mut done = report(1, &leaf);
    done.rotation = Some(RotationReport { leaf: Some(leaf), ..rotation(1, RotationState::Committed) });
    let third = decided(&resource, &done, now());
    assert_eq!(reasons(&third), ["Verified"]);
    for kind in ["Ready", "Issued", "Deployed", "Verified"] {
        assert_eq!(condition(&third.status, kind).0, "True", "{kind}");
    }
    assert_eq!(condition(&third.status, "Reconciling").0, "False");
    resource.status = third.status;

    let later = super::renewal::later(now(), Duration::from_secs(600));
    let fourth = decided(&resource, &AgentReport { time: later, ..done }, later);
    assert!(matches!(fourth.step, Step::Idle { .. }));
    assert_eq!((fourth.status, fourth.stories), (resource.status, vec![]), "at rest nothing is written or told");
}

#[test]
fn every_power_state_but_mains_keeps_a_rotation_from_starting() {
    let states = [
        (PowerState::OnBattery, BlockedBy::OnBattery),
        (PowerState::LowBattery, BlockedBy::LowBattery),
        (PowerState::ShutdownPending, BlockedBy::ShutdownPending),
        (PowerState::Unknown, BlockedBy::PowerUnknown),
        (PowerState::Stale, BlockedBy::PowerUnknown),
    ];
    for (state, by) in states {
        let mut report = report(0, &leaf(9, now(), QUARTER));
        report.power.state = state;
        let decision = decided(&resource(), &report, now());
        assert!(matches!(decision.step, Step::Blocked { by: b, .. } if b == by), "{state:?}: {:?}", decision.step);
        assert_eq!(decision.status.blocked_by, Some(by));
        assert_eq!(decision.status.rotation, None, "no generation is used up");
    }
}

#[test]
fn a_chain_is_not_pushed_on_battery_either() {
    let resource = opened();
    let mut report = report(1, &leaf(9, now(), QUARTER));
    report.rotation = Some(rotation(1, RotationState::Keyed));
    report.power.state = PowerState::OnBattery;
    assert!(matches!(decided(&resource, &report, now()).step, Step::Blocked { by: BlockedBy::OnBattery, .. }));
}

#[test]
fn a_pause_stops_the_next_rotation_but_not_the_one_in_flight() {
    let mut waiting = resource();
    waiting.spec.rotation.paused = true;
    let before = report(0, &leaf(9, now(), QUARTER));
    assert!(matches!(decided(&waiting, &before, now()).step, Step::Blocked { by: BlockedBy::Paused, .. }));

    let mut running = opened();
    running.spec.rotation.paused = true;
    let mut keyed = report(1, &leaf(9, now(), QUARTER));
    keyed.rotation = Some(rotation(1, RotationState::Keyed));
    assert_eq!(decided(&running, &keyed, now()).step, Step::Deliver { generation: Generation(1) });
}

#[test]
fn the_rotate_annotation_rotates_once_for_each_value() {
    let (mut resource, mut report) = settled();
    resource.rotate = Some("please".into());
    let decision = decided(&resource, &report, now());
    assert_eq!(decision.step, Step::Open { generation: Generation(2), trigger: Trigger::Requested });
    assert_eq!(decision.status.handled_rotate.as_deref(), Some("please"));
    resource.status = decision.status;
    let leaf = leaf(2, now(), QUARTER);
    report = self::report(2, &leaf);
    report.rotation = Some(RotationReport { leaf: Some(leaf), ..rotation(2, RotationState::Committed) });
    assert!(matches!(decided(&resource, &report, now()).step, Step::Idle { .. }));
}

#[test]
fn another_name_in_the_spec_rotates_and_another_duration_does_not() {
    let (mut resource, report) = settled();
    resource.spec.certificate.duration = "4320h".parse().expect("a duration");
    assert!(matches!(decided(&resource, &report, now()).step, Step::Idle { .. }));
    resource.spec.certificate.dns_names.push("ups.example.com".into());
    let step = decided(&resource, &report, now()).step;
    assert_eq!(step, Step::Open { generation: Generation(2), trigger: Trigger::SpecChanged });
}

#[test]
fn a_spec_that_changes_while_the_host_waits_for_a_chain_calls_that_rotation_off() {
    let mut resource = opened();
    resource.spec.certificate.dns_names.push("ups.example.com".into());
    let mut report = report(1, &leaf(9, now(), QUARTER));
    report.rotation = Some(rotation(1, RotationState::Keyed));
    assert_eq!(decided(&resource, &report, now()).step, Step::Rollback { generation: Generation(1) });
    report.rotation = Some(rotation(1, RotationState::Swapped));
    assert!(matches!(decided(&resource, &report, now()).step, Step::Follow { .. }), "too late to call it off");
}

#[test]
fn a_person_who_asks_anew_gets_a_new_rotation_for_one_that_waits_and_needs_not_wait_for_a_backoff() {
    let mut resource = opened();
    resource.rotate = Some("now".into());
    let mut report = report(1, &leaf(9, now(), QUARTER));
    report.rotation = Some(rotation(1, RotationState::Keyed));
    assert_eq!(decided(&resource, &report, now()).step, Step::Rollback { generation: Generation(1) });
    report.rotation = Some(rotation(1, RotationState::RolledBack));
    let anew = decided(&resource, &report, now());
    assert_eq!(anew.step, Step::Open { generation: Generation(2), trigger: Trigger::FirstIssue });
    resource.status = anew.status;
    report.generation = Generation(2);
    report.rotation = Some(rotation(2, RotationState::RolledBack));
    let waits = decided(&resource, &report, now()).step;
    assert!(matches!(waits, Step::Blocked { by: BlockedBy::BackingOff, .. }), "asked once, tried once: {waits:?}");
}

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
        policy: &policy,
        now: now(),
    });
    assert_eq!(condition(&decision.status, "Ready"), ("False", "IssuerUnavailable"));
}

#[test]
fn drift_rotates_but_a_stopped_agent_does_not() {
    let (resource, mut report) = settled();
    let later = super::renewal::later(now(), Duration::from_secs(24 * 3600));
    report.time = later;
    report.served = Sighting::Unseen { reason: "connect".into(), message: "refused".into() };
    let stopped = decided(&resource, &report, later);
    assert!(matches!(stopped.step, Step::Idle { .. }));
    assert_eq!(condition(&stopped.status, "Ready"), ("Unknown", "NotSeen"));

    report.served = Sighting::Leaf(leaf(7, now(), QUARTER));
    let served = decided(&resource, &report, later);
    assert_eq!(served.step, Step::Open { generation: Generation(2), trigger: Trigger::ServedDrift });
    report.stored = report.served.clone();
    let stored = decided(&resource, &report, later);
    assert_eq!(stored.step, Step::Open { generation: Generation(2), trigger: Trigger::StoredDrift });
}

#[test]
fn a_host_that_counts_further_than_we_do_is_followed() {
    let (resource, mut report) = settled();
    let later = super::renewal::later(now(), Duration::from_secs(24 * 3600));
    report.time = later;
    report.generation = Generation(41);
    report.stored = Sighting::Leaf(leaf(7, now(), QUARTER));
    let step = decided(&resource, &report, later).step;
    assert_eq!(step, Step::Open { generation: Generation(42), trigger: Trigger::StoredDrift });
}

#[test]
fn a_host_at_the_last_generation_blocks_and_does_not_overflow() {
    for generation in [i64::MAX.unsigned_abs(), u64::MAX] {
        let decision = decided(&resource(), &report(generation, &leaf(9, now(), QUARTER)), now());
        assert!(matches!(decision.step, Step::Blocked { by: BlockedBy::HostRefused, .. }), "{:?}", decision.step);
    }
}

#[test]
fn a_rotation_of_somebody_else_is_called_off_or_waited_for_and_then_outnumbered() {
    let resource = resource();
    let mut report = report(5, &leaf(9, now(), QUARTER));
    report.rotation = Some(rotation(5, RotationState::Keyed));
    assert_eq!(decided(&resource, &report, now()).step, Step::Rollback { generation: Generation(5) });
    report.rotation = Some(rotation(5, RotationState::Restarting));
    assert!(matches!(decided(&resource, &report, now()).step, Step::Follow { .. }));
    report.rotation = Some(rotation(5, RotationState::RolledBack));
    let step = decided(&resource, &report, now()).step;
    assert_eq!(step, Step::Open { generation: Generation(6), trigger: Trigger::FirstIssue });
}

#[test]
fn a_generation_that_the_host_never_heard_of_is_opened_again_under_its_number() {
    let resource = opened();
    let decision = decided(&resource, &report(0, &leaf(9, now(), QUARTER)), now());
    assert_eq!(decision.step, Step::Open { generation: Generation(1), trigger: Trigger::FirstIssue });
    assert_eq!((decision.status, decision.stories), (resource.status, vec![]));
}

#[test]
fn a_generation_that_the_host_knows_nothing_more_of_is_given_up() {
    let decision = decided(&opened(), &report(1, &leaf(9, now(), QUARTER)), now());
    assert_eq!(decision.status.history.first().map(|entry| entry.outcome), Some(Outcome::Lost));
    assert!(matches!(decision.step, Step::Blocked { by: BlockedBy::BackingOff, .. }), "{:?}", decision.step);
}

#[test]
fn a_failed_rotation_is_told_and_tried_again_after_a_backoff() {
    let resource = opened();
    let mut report = report(1, &leaf(9, now(), QUARTER));
    let failure = Failure { reason: "not_served".into(), message: "the agent did not come up".into() };
    report.rotation = Some(RotationReport { failure: Some(failure), ..rotation(1, RotationState::RolledBack) });
    let decision = decided(&resource, &report, now());
    assert_eq!(reasons(&decision), ["RolledBack", "BackingOff"]);
    let Step::Blocked { by: BlockedBy::BackingOff, retry } = decision.step else { panic!("{:?}", decision.step) };
    let mut resource = resource;
    resource.status = decision.status;
    report.time = retry;
    let again = decided(&resource, &report, retry);
    assert_eq!(again.step, Step::Open { generation: Generation(2), trigger: Trigger::FirstIssue });
    assert_eq!(again.status.rotation.map(|rotation| rotation.attempts), Some(2));
}

#[test]
fn certificates_that_expire_on_arrival_do_not_loop() {
    let mut resource = opened();
    let mut at = now();
    let mut opens = 0;
    let mut generation = 1;
    for _ in 0..2000 {
        let expired = leaf(
            u8::try_from(generation % 250).expect("small"),
            super::renewal::earlier(at, Duration::from_secs(60)),
            Duration::from_secs(30),
        );
        let mut report = report(generation, &expired);
        report.time = at;
        report.rotation =
            Some(RotationReport { leaf: Some(expired), ..rotation(generation, RotationState::Committed) });
        let decision = decided(&resource, &report, at);
        resource.status = decision.status;
        if let Step::Open { generation: next, .. } = decision.step {
            opens += 1;
            generation = next.0;
        }
        at = super::renewal::later(at, Duration::from_secs(60));
    }
    assert!((10..=15).contains(&opens), "{opens} rotations in 33 hours");
}

#[test]
fn a_frozen_host_waits_for_a_person() {
    let mut report = report(1, &leaf(9, now(), QUARTER));
    report.rotation = Some(rotation(1, RotationState::Frozen));
    let decision = decided(&opened(), &report, now());
    assert!(matches!(decision.step, Step::Blocked { by: BlockedBy::Frozen, .. }));
    assert_eq!(condition(&decision.status, "Stalled"), ("True", "Frozen"));
}

#[test]
fn a_frozen_host_needs_a_person_though_nothing_is_due() {
    let (mut resource, mut report) = settled();
    let rotation_in_status = resource.status.rotation.as_mut().expect("it was rotated");
    rotation_in_status.generation = 2;
    rotation_in_status.state = RotationState::Verifying;
    report.rotation = Some(rotation(2, RotationState::Frozen));
    let decision = decided(&resource, &report, now());
    assert!(matches!(decision.step, Step::Blocked { by: BlockedBy::Frozen, .. }));
    assert_eq!(decision.status.blocked_by, Some(BlockedBy::Frozen));
    assert_eq!(condition(&decision.status, "Stalled"), ("True", "Frozen"));
    assert_eq!(reasons(&decision), ["Frozen"], "told once");
    resource.status = decision.status;
    assert_eq!(reasons(&decided(&resource, &report, now())), Vec::<&str>::new(), "and not again");
}

#[test]
fn near_expiry_asks_a_person_unless_told_to_wait() {
    let (mut resource, mut report) = settled();
    let at = super::renewal::later(now(), Duration::from_secs((2160 - 24) * 3600));
    report.time = at;
    report.power.state = PowerState::OnBattery;
    let asks = decided(&resource, &report, at);
    assert_eq!(condition(&asks.status, "Stalled"), ("True", "NearExpiry"));
    assert_eq!(condition(&asks.status, "Ready").0, "True", "it is still valid");
    assert!(reasons(&asks).contains(&"NearExpiry"));
    resource.status = asks.status;
    assert_eq!(reasons(&decided(&resource, &report, at)), Vec::<&str>::new(), "asked once");
    resource.spec.rotation.near_expiry = NearExpiry::Wait;
    assert_eq!(condition(&decided(&resource, &report, at).status, "Stalled").0, "False");
}

#[test]
fn clocks_that_disagree_keep_a_fleet_from_rotating() {
    let mut report = report(0, &leaf(9, now(), QUARTER));
    report.time = super::renewal::later(now(), Duration::from_secs(400 * 86400));
    assert!(matches!(decided(&resource(), &report, now()).step, Step::Blocked { by: BlockedBy::ClockSkew, .. }));
}

#[test]
fn the_younger_of_two_resources_for_one_agent_stands_back() {
    let (resource, report) = (resource(), report(0, &leaf(9, now(), QUARTER)));
    let rival = Rival { namespace: "fleet".into(), name: "older".into() };
    let policy = Policy::default();
    let decision = decide(&Inputs {
        resource: &resource,
        host: Observed::Seen(&report),
        rival: Some(&rival),
        setback: None,
        policy: &policy,
        now: now(),
    });
    assert!(matches!(decision.step, Step::Blocked { by: BlockedBy::Conflict, .. }));
    assert_eq!(condition(&decision.status, "Stalled"), ("True", "Conflict"));
}

#[test]
fn another_host_behind_the_address_is_left_alone() {
    let mut report = report(0, &leaf(9, now(), QUARTER));
    report.host = "ups-02.example.com".parse().expect("a name");
    assert!(matches!(decided(&resource(), &report, now()).step, Step::Blocked { by: BlockedBy::WrongHost, .. }));
}

#[test]
fn deletion_calls_off_what_is_undeployed_and_waits_for_what_is_not() {
    let mut resource = opened();
    resource.deleted_at = Some(now());
    let mut report = report(1, &leaf(9, now(), QUARTER));
    report.rotation = Some(rotation(1, RotationState::Keyed));
    assert_eq!(decided(&resource, &report, now()).step, Step::Rollback { generation: Generation(1) });
    report.rotation = Some(rotation(1, RotationState::Verifying));
    assert!(matches!(decided(&resource, &report, now()).step, Step::Follow { .. }));
    report.rotation = Some(rotation(1, RotationState::Committed));
    assert_eq!(decided(&resource, &report, now()).step, Step::ReleaseFinalizer);
}

#[test]
fn deletion_does_not_wait_for_an_unreachable_host_for_ever() {
    let mut resource = opened();
    resource.deleted_at = Some(now());
    let policy = Policy::default();
    let away = Obstacle::new(BlockedBy::HostUnreachable, "connection refused");
    let at = |at| {
        decide(&Inputs {
            resource: &resource,
            host: Observed::Unseen(&away),
            rival: None,
            setback: None,
            policy: &policy,
            now: at,
        })
    };
    assert!(matches!(at(now()).step, Step::Blocked { .. }));
    let late = at(super::renewal::later(now(), policy.release_after));
    assert_eq!(late.step, Step::ReleaseFinalizer);
    assert_eq!(reasons(&late), ["Released"]);
}

#[test]
fn a_step_that_keeps_failing_is_written_once() {
    let mut resource = opened();
    let mut keyed = report(1, &leaf(9, now(), QUARTER));
    keyed.rotation = Some(rotation(1, RotationState::Keyed));
    let policy = Policy::default();
    let (mut writes, mut tries, mut at) = (0, 0, now());
    let mut setback: Option<Setback> = None;
    loop {
        keyed.time = at;
        let decision = decide(&Inputs {
            resource: &resource,
            host: Observed::Seen(&keyed),
            rival: None,
            setback: setback.as_ref(),
            policy: &policy,
            now: at,
        });
        writes += u32::from(decision.status != resource.status);
        resource.status = decision.status;
        match decision.step {
            Step::Deliver { .. } => {
                tries += 1;
                let obstacle = Obstacle::new(BlockedBy::IssuerUnavailable, "no such Secret");
                setback = Some(Setback { obstacle, count: tries, at });
            }
            Step::Blocked { retry, .. } => at = retry,
            Step::Rollback { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert!((100..=125).contains(&tries), "{tries} tries in the hour before it is called off");
    assert_eq!(writes, 1, "blocked by the issuer, once");
}

#[test]
fn what_a_host_says_is_bounded_before_it_is_kept() {
    let mut report = report(1, &leaf(9, now(), QUARTER));
    let failure = Failure { reason: "x\u{1b}[31m\n".repeat(10_000), message: String::new() };
    report.rotation = Some(RotationReport { failure: Some(failure), ..rotation(1, RotationState::RolledBack) });
    report.stored = Sighting::Unseen { reason: "y".repeat(100_000), message: "z\r\n".repeat(100_000) };
    let status = decided(&opened(), &report, now()).status;
    let text = serde_json::to_string(&status).expect("a status is plain data");
    assert!(text.len() < 16 * 1024, "{}", text.len());
    assert!(!text.contains("\\u001b") && !text.contains("\\r"));
}

#[test]
fn conditions_read_well() {
    let (resource, report) = settled();
    let mut text = lines(&resource.status);
    let mut report = report;
    let at = super::renewal::later(now(), Duration::from_secs((2160 - 24) * 3600));
    (report.time, report.power.state) = (at, PowerState::Unknown);
    text.push('\n');
    text.push_str(&lines(&decided(&resource, &report, at).status));
    insta::assert_snapshot!(text, @"
    Ready=True Verified: served and valid until 2026-05-30T12:00:00Z
    Issued=True Issued: serial 1 from CN=fleet, valid from 2026-03-01T12:00:00Z to 2026-05-30T12:00:00Z
    Deployed=True Deployed: the keystore holds 0101010101010101
    Verified=True Verified: the live endpoint serves 0101010101010101
    Reconciling=False Settled: nothing is on its way
    Stalled=False NotStalled: nothing needs a person

    Ready=True Verified: served and valid until 2026-05-30T12:00:00Z
    Issued=True Issued: serial 1 from CN=fleet, valid from 2026-03-01T12:00:00Z to 2026-05-30T12:00:00Z
    Deployed=True Deployed: the keystore holds 0101010101010101
    Verified=True Verified: the live endpoint serves 0101010101010101
    Reconciling=False PowerUnknown: the host does not know its power state: configure a source under `power` there
    Stalled=True NearExpiry: the certificate expires at 2026-05-30T12:00:00Z and its rotation is blocked: the host does not know its power state: configure a source under `power` there; clear that, or set spec.rotation.nearExpiry to Wait to accept the expiry
    ");
}

fn lines(status: &ManagedAgentCertificateStatus) -> String {
    let line = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        format!("{}={} {}: {}\n", c.type_, c.status, c.reason, c.message)
    };
    status.conditions.iter().map(line).collect()
}

#[test]
fn every_obstacle_has_the_word_that_the_status_shows() {
    use BlockedBy::{
        BackingOff, ClockSkew, Conflict, Frozen, HostBusy, HostRefused, HostUnreachable, IssuerUnavailable, LowBattery,
        OnBattery, Paused, PowerUnknown, SecretUnavailable, ShutdownPending, WrongHost,
    };
    for by in [
        BackingOff,
        ClockSkew,
        Conflict,
        Frozen,
        HostBusy,
        HostRefused,
        HostUnreachable,
        IssuerUnavailable,
        LowBattery,
        OnBattery,
        Paused,
        PowerUnknown,
        SecretUnavailable,
        ShutdownPending,
        WrongHost,
    ] {
        assert_eq!(serde_json::json!(by), Reason::Blocked(by).as_str());
    }
}
