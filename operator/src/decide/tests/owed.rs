//! Rotations that a person asks for.

use super::*;

#[test]
fn the_rotate_annotation_rotates_once_for_each_value() {
    let (mut resource, report) = settled();
    resource.rotate = Some("please".into());
    let decision = decided(&resource, &report, now());
    assert_eq!(decision.step, Step::Open { generation: Generation(2), trigger: RotationTrigger::Requested });
    resource.status = decision.status;
    let (decision, _) = commit(&mut resource, &leaf(2, now(), QUARTER), now());
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    assert_eq!(decision.status.handled_rotate.as_deref(), Some("please"));
}

/// Holds B10: it was taken for done when it was begun, and a failure dropped it.
#[test]
fn a_rotation_that_was_asked_for_is_owed_until_it_commits() {
    let (mut resource, report) = settled();
    resource.rotate = Some("please".into());
    let mut at = now();
    for generation in 2..=4 {
        let opened =
            decided(&resource, &AgentReport { time: at, generation: Generation(generation - 1), ..report.clone() }, at);
        let expected = Step::Open { generation: Generation(generation), trigger: RotationTrigger::Requested };
        assert_eq!(opened.step, expected, "it is tried again");
        assert_eq!(opened.status.handled_rotate, None);
        resource.status = opened.status;

        let mut failed = AgentReport { time: at, generation: Generation(generation), ..report.clone() };
        failed.rotation = Some(rotation(generation, RotationState::RolledBack));
        let ended = decided(&resource, &failed, at);
        let Step::Blocked { by: BlockedBy::BackingOff, retry } = ended.step else { panic!("{:?}", ended.step) };
        let told: Vec<_> = ended.events.iter().map(|event| event.message.as_str()).collect();
        assert!(told.iter().all(|message| message.contains("owed")), "{told:?}");
        assert_eq!(condition(&ended.status, "Blocked"), ("True", "BackingOff"));
        assert_eq!(condition(&ended.status, "Ready").0, "True", "the leaf in force is what the spec asks for");
        resource.status = ended.status;
        at = retry;
    }
    let opened = decided(&resource, &AgentReport { time: at, generation: Generation(4), ..report }, at);
    resource.status = opened.status;
    let (decision, _) = commit(&mut resource, &leaf(2, at, QUARTER), at);
    assert_eq!(decision.status.handled_rotate.as_deref(), Some("please"));
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
}

#[test]
fn a_value_that_comes_while_a_rotation_is_deployed_is_answered_by_another() {
    let (mut resource, report) = settled();
    resource.rotate = Some("one".into());
    resource.status = decided(&resource, &report, now()).status;
    resource.rotate = Some("two".into());
    let (decision, _) = commit(&mut resource, &leaf(2, now(), QUARTER), now());
    assert_eq!(decision.step, Step::Open { generation: Generation(3), trigger: RotationTrigger::Requested });
    assert_eq!(decision.status.handled_rotate.as_deref(), Some("one"));
    assert_eq!(decision.status.rotation.and_then(|rotation| rotation.rotate).as_deref(), Some("two"));
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
    assert_eq!(anew.step, Step::Open { generation: Generation(2), trigger: RotationTrigger::FirstIssue });
    resource.status = anew.status;
    report.generation = Generation(2);
    report.rotation = Some(rotation(2, RotationState::RolledBack));
    let waits = decided(&resource, &report, now()).step;
    assert!(matches!(waits, Step::Blocked { by: BlockedBy::BackingOff, .. }), "asked once, tried once: {waits:?}");
}
