//! What was written by a clock that was ahead puts nothing off until the clock has caught up.

use super::super::renewal::{earlier, later};
use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A rotation that failed when the clock was a day ahead.
fn failed_ahead() -> (Resource, AgentReport) {
    let mut resource = opened();
    let mut report = report(1, &leaf(9, now(), QUARTER));
    report.rotation = Some(rotation(1, RotationState::RolledBack));
    report.time = later(now(), DAY);
    resource.status = decided(&resource, &report, report.time).status;
    report.time = now();
    (resource, report)
}

/// Holds B5: whoever set his clock right waited for the next try until it had caught up.
#[test]
fn the_next_rotation_after_a_failure_does_not_wait_for_it() {
    let (mut resource, mut report) = failed_ahead();
    let opened = decided(&resource, &report, now());
    assert_eq!(opened.step, Step::Open { generation: Generation(2), trigger: RotationTrigger::FirstIssue });
    // It fails too, and by the clock that is right: from here on the waits are what they are
    resource.status = opened.status;
    report.generation = Generation(2);
    report.rotation = Some(rotation(2, RotationState::RolledBack));
    let Step::Blocked { by: BlockedBy::BackingOff, retry } = decided(&resource, &report, now()).step else {
        panic!("it does not wait");
    };
    assert_eq!(retry, later(now(), Duration::from_secs(120)));
}

#[test]
fn a_leader_whose_clock_is_a_little_behind_waits_all_the_same() {
    let mut resource = opened();
    let mut report = report(1, &leaf(9, now(), QUARTER));
    report.rotation = Some(rotation(1, RotationState::RolledBack));
    resource.status = decided(&resource, &report, now()).status;
    let behind = earlier(now(), Duration::from_secs(5));
    report.time = behind;
    let step = decided(&resource, &report, behind).step;
    assert!(matches!(step, Step::Blocked { by: BlockedBy::BackingOff, .. }), "{step:?}");
}

/// Holds B17: nobody called off what the host waits with, and nobody said that it is stuck.
#[test]
fn a_rotation_that_was_opened_then_has_its_deadline_and_its_end() {
    let mut resource = opened();
    resource.status.rotation.as_mut().expect("it is open").started_at = later(now(), DAY);
    let after = |state, hours: u64| {
        let mut report = report(1, &leaf(9, now(), QUARTER));
        report.rotation = Some(rotation(1, state));
        let decision = decide(&Inputs {
            resource: &resource,
            host: Observed::Seen(&report),
            rival: None,
            setback: None,
            works_for: Some(Duration::from_secs(hours * 3600)),
            ordered: None,
            references: &References::default(),
            policy: &Policy::default(),
            now: now(),
        });
        (decision.step, decision.status.blocked_by)
    };
    assert_eq!(after(RotationState::Keyed, 0).0, Step::Deliver { generation: Generation(1) });
    assert_eq!(after(RotationState::Keyed, 1).0, Step::Rollback { generation: Generation(1) });
    assert_eq!(after(RotationState::Verifying, 1).1, None);
    assert_eq!(after(RotationState::Verifying, 2).1, Some(BlockedBy::RotationStuck));
}

#[test]
fn a_resource_that_was_deleted_then_is_released() {
    let mut resource = opened();
    let away = Obstacle::new(BlockedBy::HostUnreachable, "connection refused");
    resource.deleted_at = Some(later(now(), DAY));
    assert_eq!(decided_unseen(&resource, &away, now()).step, Step::ReleaseFinalizer);
    resource.deleted_at = Some(later(now(), Duration::from_secs(60)));
    let step = decided_unseen(&resource, &away, now()).step;
    assert!(matches!(step, Step::Blocked { .. }), "the API server's clock may be a little ahead: {step:?}");
}

/// Holds B5: drift that came back long after it was cured was left to a person, because the cure seemed to lie ahead.
#[test]
fn drift_is_not_taken_for_that_which_was_cured_then() {
    let (mut resource, mut report) = settled();
    let ahead = later(now(), Duration::from_secs(400 * 24 * 3600));
    for entry in &mut resource.status.history {
        entry.finished_at = ahead;
    }
    let rotated = resource.status.rotation.as_mut().expect("it was rotated");
    (rotated.trigger, rotated.attempts) = (RotationTrigger::StoredDrift, 2);
    report.stored = Sighting::Leaf(leaf(77, now(), QUARTER));
    // Drift is seen, and stands in the conditions
    resource.status.conditions = decided(&resource, &report, now()).status.conditions;
    for condition in resource.status.conditions.iter_mut().filter(|condition| condition.type_ == "Deployed") {
        (condition.status, condition.last_transition_time.0) = ("False".into(), now());
    }
    let step = decided(&resource, &report, now()).step;
    assert!(matches!(step, Step::Open { trigger: RotationTrigger::StoredDrift, .. }), "{step:?}");
}

/// Holds B5: a leaf that was made by a clock that was ahead is of no use until then, and nothing else replaced it.
#[test]
fn a_leaf_of_the_future_is_renewed_although_the_new_one_ends_before_it() {
    let ahead = later(now(), 100 * DAY);
    let mut resource = resource();
    let mut seen = report(0, &leaf(9, ahead, QUARTER));
    seen.time = ahead;
    resource.status = decided(&resource, &seen, ahead).status;
    let (_, mut seen) = commit(&mut resource, &leaf(1, ahead, QUARTER), ahead);
    seen.time = now();
    let decision = decided(&resource, &seen, now());
    assert_eq!(condition(&decision.status, "Ready"), ("False", "NotYetValid"));
    assert_eq!(condition(&decision.status, "Reconciling"), ("True", "Renewal"));
    assert_eq!(decision.step, Step::Open { generation: Generation(2), trigger: RotationTrigger::Renewal });
    resource.status = decision.status;
    let (_, mut seen) = commit(&mut resource, &leaf(2, now(), QUARTER), now());
    seen.time = now();
    let rest = decided(&resource, &seen, now());
    assert_eq!(condition(&rest.status, "Ready"), ("True", "Verified"));
    assert!(matches!(rest.step, Step::Idle { .. }), "{:?}", rest.step);
}
