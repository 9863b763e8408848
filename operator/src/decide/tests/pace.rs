//! How soon one rotation follows another.

use super::super::renewal::later;
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

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
    assert_eq!(again.step, Step::Open { generation: Generation(2), trigger: RotationTrigger::FirstIssue });
    assert_eq!(again.status.rotation.map(|rotation| rotation.attempts), Some(2));
}

/// Each rotation restarts the agent twice, so one that cannot end well is not begun often.
#[test]
fn a_host_that_commits_something_else_again_and_again_is_asked_four_times_a_day_at_most() {
    let mut resource = opened();
    let (mut time, mut opens, mut generation) = (now(), 0, 1);
    for _ in 0..2000 {
        let other = leaf(7, time, Duration::from_secs(30));
        let mut report = report(generation, &other);
        report.time = time;
        report.rotation = Some(RotationReport { leaf: Some(other), ..rotation(generation, RotationState::Committed) });
        let decision = decided(&resource, &report, time);
        resource.status = decision.status;
        if let Step::Open { generation: next, .. } = decision.step {
            opens += 1;
            generation = next.0;
        }
        time = later(time, Duration::from_secs(60));
    }
    assert!((10..=15).contains(&opens), "{opens} rotations in 33 hours");
}

/// A resource whose certificate lives for an hour, and was committed now.
fn hourly() -> (Resource, AgentReport) {
    let mut resource = resource();
    push(&mut resource.spec).certificate = certificate("1h", None, None);
    let first = decided(&resource, &report(0, &leaf(9, now(), QUARTER)), now());
    resource.status = first.status;
    let (_, report) = commit(&mut resource, &leaf(1, now(), HOUR), now());
    (resource, report)
}

/// Holds B5: every renewal that succeeded doubled the wait before the next one.
#[test]
fn a_renewal_that_succeeded_makes_the_next_one_wait_for_nothing() {
    let (mut resource, mut report) = hourly();
    for round in 2..20u8 {
        let time = resource.status.renewal_time.expect("a leaf has one");
        report.time = time;
        let step = decided(&resource, &report, time);
        let expected = Step::Open { generation: Generation(round.into()), trigger: RotationTrigger::Renewal };
        assert_eq!(step.step, expected, "at its renewal time");
        assert_eq!(step.status.rotation.as_ref().map(|rotation| rotation.attempts), Some(1));
        resource.status = step.status;
        (_, report) = commit(&mut resource, &leaf(round, time, HOUR), time);
    }
}

/// Holds B5: a wait after a failure ends before the leaf does, however often it failed.
#[test]
fn no_wait_after_a_failure_reaches_the_expiry() {
    let (mut resource, mut report) = hourly();
    let expiry = resource.status.leaf.as_ref().expect("a leaf").not_after;
    let mut time = resource.status.renewal_time.expect("a leaf has one");
    let mut tries = 0;
    while time < expiry {
        report.time = time;
        report.rotation = None;
        let opened = decided(&resource, &report, time);
        let Step::Open { generation, .. } = opened.step else { panic!("{:?} at {time}", opened.step) };
        tries += 1;
        resource.status = opened.status;
        report.generation = generation;
        report.rotation = Some(rotation(generation.0, RotationState::RolledBack));
        let ended = decided(&resource, &report, time);
        let Step::Blocked { by: BlockedBy::BackingOff, retry } = ended.step else { panic!("{:?}", ended.step) };
        assert!(retry < expiry || expiry.duration_since(time).as_secs() < 10, "{retry} is not before {expiry}");
        resource.status = ended.status;
        time = retry;
    }
    assert!((5..=40).contains(&tries), "{tries} tries in the last twenty minutes");
}

/// Holds B5: looks at a host that does not answer come more often near the end, too.
#[test]
fn no_wait_for_a_host_that_is_away_reaches_the_expiry() {
    let (resource, _) = hourly();
    let away = Obstacle::new(BlockedBy::HostUnreachable, "away");
    let setback = Setback { obstacle: away.clone(), count: 20, at: at(3480) };
    let policy = Policy::default();
    let decision = decide(&Inputs {
        resource: &resource,
        host: Observed::Unseen(&away),
        rival: None,
        setback: Some(&setback),
        works_for: None,
        ordered: None,
        references: &References::default(),
        policy: &policy,
        now: at(3480),
    });
    let Step::Blocked { retry, .. } = decision.step else { panic!("{:?}", decision.step) };
    assert!(retry <= at(3510), "{retry}");
}

/// Holds B6: near the end of its CA a leaf was renewed again and again, with the same end each time.
#[test]
fn a_renewal_that_gains_nothing_is_not_begun_and_says_why() {
    let (mut resource, mut report) = settled();
    // The issuer ends with the leaf that it cut short
    let references = issuer("ca", at(QUARTER.as_secs()));
    let mut told = Vec::new();
    for day in 0..90 {
        let time = at(day * 86400);
        report.time = time;
        let decision = decided_with(&resource, &report, &references, time);
        assert!(!matches!(decision.step, Step::Open { .. }), "day {day}");
        told.extend(reasons(&decision));
        resource.status = decision.status;
    }
    assert_eq!(told, ["IssuerEnding", "IssuerEnding", "NearExpiry"], "early, when it is due, and when it is urgent");
    assert_eq!(condition(&resource.status, "IssuerEnding"), ("True", "IssuerEnding"));
    assert_eq!(resource.status.blocked_by, Some(BlockedBy::IssuerEnding));

    let renewed = decided_with(&resource, &report, &issuer("ca", at(100 * QUARTER.as_secs())), report.time);
    assert!(matches!(renewed.step, Step::Open { trigger: RotationTrigger::Renewal, .. }), "{:?}", renewed.step);
    assert!(!has(&renewed.status, "IssuerEnding"));
}

/// A resource said that its leaf was served and valid for up to a resync after the leaf had expired.
#[test]
fn the_next_look_is_no_later_than_the_end_of_the_leaf_whatever_stands_in_the_way() {
    let (resource, mut report) = settled();
    let end = at(QUARTER.as_secs());
    let time = at(QUARTER.as_secs() - 30);
    report.time = time;
    let rival = Rival { namespace: "other".into(), name: "owner".into() };
    let away = Obstacle::new(BlockedBy::HostUnreachable, "silent");
    let no_secret =
        References { issuer: Some(Err(Obstacle::new(BlockedBy::IssuerUnavailable, "no such Secret"))), password: None };
    for decision in [
        decided_with(&resource, &report, &issuer("ca", end), time),
        decided_with(&resource, &report, &no_secret, time),
        decided_beside(Some(&rival), &resource, &report, &References::default(), time),
        decided_unseen(&resource, &away, time),
    ] {
        let Step::Blocked { by, retry } = decision.step else { panic!("{:?}", decision.step) };
        assert!(retry > time && retry <= end, "{by:?}: {retry}");
    }
}

/// Holds B6: the last certificate before the issuer's end is still worth its restart.
#[test]
fn a_renewal_that_the_issuer_cuts_short_is_begun_while_it_gains_a_tenth() {
    let (resource, mut report) = settled();
    let time = resource.status.renewal_time.expect("a leaf has one");
    report.time = time;
    let step = |gained_hours: u64| {
        decided_with(&resource, &report, &issuer("ca", at(QUARTER.as_secs() + gained_hours * 3600)), time).step
    };
    assert!(matches!(step(216), Step::Open { .. }), "{:?}", step(216));
    assert!(matches!(step(215), Step::Blocked { by: BlockedBy::IssuerEnding, .. }), "{:?}", step(215));
}

/// Holds B6: a leaf expired, and stayed expired, while its CA could still sign for nine days.
#[test]
fn the_last_renewal_before_the_issuers_end_is_begun_near_the_expiry_however_little_it_gains_and_once() {
    let (mut resource, mut report) = settled();
    let end = QUARTER.as_secs();
    let mut opened = Vec::new();
    let references = issuer("ca", at(end + 24 * 3600));
    for hour in 0..(end / 3600 + 48) {
        let time = at(hour * 3600);
        report.time = time;
        let decision = decided_with(&resource, &report, &references, time);
        resource.status = decision.status;
        if matches!(decision.step, Step::Open { trigger: RotationTrigger::Renewal, .. }) {
            opened.push(hour * 3600);
            (_, report) =
                commit(&mut resource, &leaf(7, time, Duration::from_secs(end + 24 * 3600 - hour * 3600)), time);
        }
    }
    let [opened] = opened[..] else { panic!("{opened:?}") };
    // A third of the lifetime is renewBefore, and a quarter of that is near
    assert!((end - end / 12..end).contains(&opened), "{opened} of {end}");
}

/// Holds B6: a `renewBefore` of nearly the whole duration would restart the agent without end.
#[test]
fn a_certificate_is_renewed_ten_times_in_its_lifetime_at_most() {
    let (mut resource, mut report) = hourly();
    push(&mut resource.spec).certificate = certificate("1h", Some("59m59s"), None);
    let (mut opens, mut seed) = (0u64, 1);
    for second in (0..10 * 3600).step_by(10) {
        let time = at(second);
        report.time = time;
        let decision = decided_with(&resource, &report, &issuer("ca", at(1_000_000_000)), time);
        resource.status = decision.status;
        if matches!(decision.step, Step::Open { .. }) {
            opens += 1;
            seed += 1;
            (_, report) = commit(&mut resource, &leaf(seed, time, HOUR), time);
        }
    }
    assert!((90..=101).contains(&opens), "{opens} renewals in ten lifetimes");
}

/// Holds B17: an alias that the host does not read made the same drift come back after every rotation, for ever.
#[test]
fn drift_that_no_rotation_cures_is_left_to_a_person() {
    let (mut resource, mut report) = settled();
    let mut opens = 0;
    let old = Sighting::Leaf(leaf(9, now(), QUARTER));
    report.stored = old.clone();
    let mut seed = 1;
    for minute in 0..7 * 24 * 60 {
        let time = at(minute * 60);
        report.time = time;
        let decision = decided(&resource, &report, time);
        resource.status = decision.status;
        if let Step::Open { generation, trigger } = decision.step {
            assert_eq!(trigger, RotationTrigger::StoredDrift);
            opens += 1;
            seed += 1;
            let new = leaf(seed, time, QUARTER);
            sign(&mut resource, &new);
            report = self::report(generation.0, &new);
            report.rotation =
                Some(RotationReport { leaf: Some(new), ..rotation(generation.0, RotationState::Committed) });
            report.stored = old.clone();
        }
    }
    assert_eq!(opens, 2, "two tries in a week");
    assert_eq!(condition(&resource.status, "Stalled"), ("True", "DriftRecurs"));
    assert_eq!(resource.status.blocked_by, Some(BlockedBy::DriftRecurs));
    resource.rotate = Some("mended".into());
    assert!(matches!(
        decided(&resource, &report, report.time).step,
        Step::Open { trigger: RotationTrigger::Requested, .. }
    ));
}

#[test]
fn drift_rotates_but_a_stopped_agent_does_not() {
    let (resource, mut report) = settled();
    let later = at(24 * 3600);
    report.time = later;
    report.served = Sighting::Unseen { reason: "connect".into(), message: "refused".into() };
    let stopped = decided(&resource, &report, later);
    assert!(matches!(stopped.step, Step::Idle { .. }));
    assert_eq!(condition(&stopped.status, "Ready"), ("Unknown", "NotSeen"));

    report.served = Sighting::Leaf(leaf(7, now(), QUARTER));
    let served = decided(&resource, &report, later);
    assert_eq!(served.step, Step::Open { generation: Generation(2), trigger: RotationTrigger::ServedDrift });
    report.stored = report.served.clone();
    let stored = decided(&resource, &report, later);
    assert_eq!(stored.step, Step::Open { generation: Generation(2), trigger: RotationTrigger::StoredDrift });
}
