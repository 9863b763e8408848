//! A rotation that has been opened, until it has ended or the resource is gone.

use super::*;
use crate::decide::mark_of;

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
fn a_spec_that_changes_while_the_host_waits_for_a_chain_calls_that_rotation_off() {
    let mut resource = opened();
    push(&mut resource.spec).certificate.dns_names.push("ups.example.com".into());
    let mut report = report(1, &leaf(9, now(), QUARTER));
    report.rotation = Some(rotation(1, RotationState::Keyed));
    assert_eq!(decided(&resource, &report, now()).step, Step::Rollback { generation: Generation(1) });
    report.rotation = Some(rotation(1, RotationState::Swapped));
    assert!(matches!(decided(&resource, &report, now()).step, Step::Follow { .. }), "too late to call it off");
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
    assert_eq!(step, Step::Open { generation: Generation(6), trigger: RotationTrigger::FirstIssue });
}

#[test]
fn a_generation_that_the_host_never_heard_of_is_opened_again_under_its_number() {
    let resource = opened();
    let decision = decided(&resource, &report(0, &leaf(9, now(), QUARTER)), now());
    assert_eq!(decision.step, Step::Open { generation: Generation(1), trigger: RotationTrigger::FirstIssue });
    assert_eq!((decision.status, decision.events), (resource.status, vec![]));
}

#[test]
fn a_generation_that_the_host_knows_nothing_more_of_is_given_up() {
    let decision = decided(&opened(), &report(1, &leaf(9, now(), QUARTER)), now());
    assert_eq!(decision.status.history.first().map(|entry| entry.outcome), Some(Outcome::Lost));
    assert!(matches!(decision.step, Step::Blocked { by: BlockedBy::BackingOff, .. }), "{:?}", decision.step);
}

/// It was told when the rollback was over, minutes later.
#[test]
fn a_rotation_that_is_being_undone_says_why_in_the_hosts_words() {
    let resource = opened();
    let mut report = report(1, &leaf(9, now(), QUARTER));
    let mut rotation = rotation(1, RotationState::RollingBack);
    rotation.failure = Some(Failure { reason: "not_served".into(), message: "nobody listens on the port".into() });
    report.rotation = Some(rotation.clone());
    let told = |report: &AgentReport| {
        let status = decided(&resource, report, now()).status;
        status.conditions.into_iter().find(|c| c.type_ == "Reconciling").map(|condition| condition.message)
    };
    let why = "rotation 1 failed and is being undone: not_served: nobody listens on the port";
    assert_eq!(told(&report).as_deref(), Some(why));
    rotation.failure = None;
    report.rotation = Some(rotation);
    assert_eq!(told(&report).as_deref(), Some("rotation 1 is on its way"));
}

#[test]
fn a_frozen_host_waits_for_a_person() {
    let mut report = report(1, &leaf(9, now(), QUARTER));
    report.rotation = Some(rotation(1, RotationState::Frozen));
    let decision = decided(&opened(), &report, now());
    assert!(matches!(decision.step, Step::Blocked { by: BlockedBy::Frozen, .. }));
    assert_eq!(condition(&decision.status, "Stalled"), ("True", "Frozen"));
}

/// Holds B13: a thaw was seen after minutes; a fleet that stays frozen takes no more looks than any.
#[test]
fn a_host_that_froze_just_now_is_looked_at_again_within_seconds_and_later_less_and_less() {
    let mut report = report(1, &leaf(9, now(), QUARTER));
    report.rotation = Some(rotation(1, RotationState::Frozen));
    let mut resource = opened();
    resource.status = decided(&resource, &report, now()).status;
    for (since, wait) in [(0, 15), (120, 15), (600, 75), (36_000, 300)] {
        report.time = at(since);
        let decision = decided(&resource, &report, at(since));
        assert_eq!(decision.step, Step::Blocked { by: BlockedBy::Frozen, retry: at(since + wait) }, "{since}");
        assert!(since == 0 || decision.status == resource.status, "nothing is written");
        resource.status = decision.status;
    }
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
    let away = Obstacle::new(BlockedBy::HostUnreachable, "connection refused");
    let at = |at| decided_unseen(&resource, &away, at);
    assert!(matches!(at(now()).step, Step::Blocked { .. }));
    let late = at(super::super::renewal::later(now(), Policy::default().release_after));
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
            works_for: None,
            ordered: None,
            references: &References::default(),
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
    assert!((600..=740).contains(&tries), "{tries} tries in the hour before it is called off");
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

/// Holds B8: a host that works on somebody else's rotation and comes to no end was asked every second for ever.
#[test]
fn a_rotation_that_comes_to_no_end_is_followed_less_and_less_whoever_opened_it() {
    let policy = Policy::default();
    let followed = |resource: &Resource, generation: u64, seconds: u64| {
        let mut report = report(generation, &leaf(9, now(), QUARTER));
        // It takes a step at every look, if its word counts
        let step =
            kagiban_crds::host_api::Step { at: at(seconds), state: RotationState::Verifying, note: String::new() };
        report.rotation = Some(RotationReport { steps: vec![step], ..rotation(generation, RotationState::Verifying) });
        report.time = at(seconds);
        decide(&Inputs {
            resource,
            host: Observed::Seen(&report),
            rival: None,
            setback: None,
            works_for: Some(Duration::from_secs(seconds)),
            ordered: None,
            references: &References::default(),
            policy: &policy,
            now: at(seconds),
        })
    };
    for (resource, generation) in [(resource(), 5), (opened(), 1)] {
        let waits = [0, 119, 120, 960, 3600, 5399].map(|seconds| match followed(&resource, generation, seconds).step {
            Step::Follow { after, .. } => after.as_secs(),
            other => panic!("{other:?}"),
        });
        assert_eq!(waits, [1, 1, 15, 120, 300, 300]);
        let stuck = followed(&resource, generation, 5400);
        assert_eq!(condition(&stuck.status, "Stalled"), ("True", "RotationStuck"));
    }
}

/// Holds B17: a rotation that the host never ends needs a person, by the host's step log or by our own clock.
#[test]
fn a_rotation_that_a_host_never_ends_is_said_to_be_stuck() {
    let resource = opened();
    let hung = |at: Timestamp, last_step: Timestamp| {
        let mut report = report(1, &leaf(9, now(), QUARTER));
        let step = kagiban_crds::host_api::Step { at: last_step, state: RotationState::Verifying, note: String::new() };
        report.rotation = Some(RotationReport { steps: vec![step], ..rotation(1, RotationState::Verifying) });
        report.time = at;
        decided(&resource, &report, at)
    };
    let usual = hung(at(1700), now());
    assert!(matches!(usual.step, Step::Follow { .. }) && !has(&usual.status, "Stalled"));
    let stuck = hung(at(1800), now());
    assert!(matches!(stuck.step, Step::Follow { after, .. } if after == Policy::default().resync), "{:?}", stuck.step);
    assert_eq!(condition(&stuck.status, "Stalled"), ("True", "RotationStuck"));
    assert!(!has(&stuck.status, "Reconciling"), "one of the two only");
    assert_eq!(reasons(&stuck), ["RotationStuck"]);
    let lying = hung(at(2 * 3600), at(2 * 3600));
    assert_eq!(condition(&lying.status, "Stalled"), ("True", "RotationStuck"), "whatever its log says");
}

/// Holds B17: what a host calls committed is compared with what was signed.
#[test]
fn a_leaf_that_was_not_signed_for_the_rotation_is_not_called_verified() {
    let mut resource = opened();
    sign(&mut resource, &leaf(1, now(), QUARTER));
    let other = leaf(7, now(), QUARTER);
    let mut report = report(1, &other);
    report.rotation = Some(RotationReport { leaf: Some(other), ..rotation(1, RotationState::Committed) });
    let decision = decided(&resource, &report, now());
    assert_eq!(decision.status.leaf, None);
    assert_eq!(reasons(&decision), ["OtherLeaf", "BackingOff"]);
    assert_eq!(condition(&decision.status, "Ready").0, "False");
    assert_eq!(decision.status.history.first().map(|entry| entry.outcome), Some(Outcome::OtherLeaf));
}

/// Holds B17: a host's words about a leaf are not what the status says of it.
#[test]
fn the_status_says_of_a_leaf_what_was_signed_and_not_what_the_host_says() {
    let mut resource = opened();
    sign(&mut resource, &leaf(1, now(), QUARTER));
    let lie = Leaf { serial: "ffff".into(), not_after: at(1_000_000_000), ..leaf(1, now(), QUARTER) };
    let mut report = report(1, &lie);
    report.rotation = Some(RotationReport { leaf: Some(lie), ..rotation(1, RotationState::Committed) });
    let leaf = decided(&resource, &report, now()).status.leaf.expect("a leaf");
    assert_eq!((leaf.serial.as_str(), leaf.not_after), ("1", at(QUARTER.as_secs())));
}

/// Holds B17: whatever became of it, what was signed can be revoked.
#[test]
fn the_serials_of_a_rotation_that_failed_are_kept() {
    let mut resource = opened();
    sign(&mut resource, &leaf(1, now(), QUARTER));
    sign(&mut resource, &leaf(2, now(), QUARTER));
    let mut report = report(1, &leaf(9, now(), QUARTER));
    report.rotation = Some(rotation(1, RotationState::RolledBack));
    let decision = decided(&resource, &report, now());
    assert_eq!(decision.status.history.first().map(|entry| entry.serials.clone()), Some(vec!["2".into(), "1".into()]));
    let told = &decision.events.first().expect("it is told").message;
    assert!(told.contains("serial 2, 1"), "{told}");
}

#[test]
fn no_more_is_signed_for_one_rotation_than_the_status_can_name() {
    let mut resource = opened();
    for seed in 1..=4 {
        sign(&mut resource, &leaf(seed, now(), QUARTER));
    }
    assert_eq!(with_signed(&resource.status, signed(&leaf(5, now(), QUARTER))), None);
}

/// A chain for that key would go into a keystore that somebody else has described.
#[test]
fn a_key_that_was_made_for_another_order_of_the_same_number_is_given_no_chain() {
    let resource = opened();
    let keyed = |mark| {
        let rotation = RotationReport { csr: Some("CSR".into()), mark, ..rotation(1, RotationState::Keyed) };
        AgentReport { rotation: Some(rotation), ..report(1, &leaf(9, now(), QUARTER)) }
    };
    for ours in [mark_of(&resource.status), None] {
        assert_eq!(decided(&resource, &keyed(ours), now()).step, Step::Deliver { generation: Generation(1) });
    }
    let decision = decided(&resource, &keyed("another".parse().ok()), now());
    assert_eq!(decision.step, Step::Rollback { generation: Generation(1) });
    assert_eq!(decision.status.history[0].reason.as_deref(), Some("another_order"));
}
