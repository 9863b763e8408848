//! When a rotation is opened, and what keeps it from being opened.

use super::*;
use crate::decide::request_digest;

/// Holds B2, B9: whoever may name a host learns nothing of other namespaces by it.
#[test]
fn a_conflict_names_the_owner_within_its_own_namespace_only() {
    let (resource, report) = settled();
    let message = |namespace: &str| {
        let rival = Rival { namespace: namespace.into(), name: "the-owner".into() };
        let decision = decided_beside(Some(&rival), &resource, &report, &References::default(), now());
        let blocked = decision.status.conditions.into_iter().find(|condition| condition.type_ == "Blocked");
        blocked.expect("a conflict blocks").message
    };
    assert!(message("fleet").contains("fleet/the-owner"), "{}", message("fleet"));
    assert!(!message("secret-place").contains("the-owner") && !message("secret-place").contains("secret-place"));
}

#[test]
fn the_finalizer_stands_before_the_first_rotation() {
    let mut resource = resource();
    resource.held = false;
    let decision = decided(&resource, &report(0, &leaf(9, now(), QUARTER)), now());
    assert_eq!((decision.step, decision.status, decision.events), (Step::EnsureFinalizer, resource.status, vec![]));
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
    assert_eq!((second.status, second.events), (resource.status.clone(), vec![]), "no write while the host works");

    let (third, done) = commit(&mut resource, &leaf(1, now(), QUARTER), now());
    assert_eq!(reasons(&third), ["Verified"]);
    for kind in ["Ready", "Issued", "Deployed", "Verified", "Serving"] {
        assert_eq!(condition(&third.status, kind).0, "True", "{kind}");
    }
    assert!(!has(&third.status, "Reconciling"));

    let later = super::super::renewal::later(now(), Duration::from_secs(600));
    let fourth = decided(&resource, &AgentReport { time: later, ..done }, later);
    assert!(matches!(fourth.step, Step::Idle { .. }));
    assert_eq!((fourth.status, fourth.events), (resource.status, vec![]), "at rest nothing is written or told");
}

/// Holds B16: a host that another installation was given was found out with the first order, months after the resource was made.
#[test]
fn a_host_of_another_installation_is_told_before_anything_is_due() {
    let (settled, quiet) = settled();
    let (new, first) = (resource(), report(0, &leaf(9, now(), QUARTER)));
    let obeying = |report: &AgentReport, name: &str| AgentReport {
        lineage: Some(name.parse().expect("a lineage")),
        ..report.clone()
    };
    for ours in [None, Some("tokyo")] {
        for (resource, report) in [(&settled, &quiet), (&new, &first)] {
            let decision = decided_for(ours, resource, &obeying(report, "osaka"), now());
            assert!(matches!(decision.step, Step::Blocked { by: BlockedBy::HostRefused, .. }), "{:?}", decision.step);
            let blocked = decision.status.conditions.into_iter().find(|condition| condition.type_ == "Blocked");
            let message = blocked.expect("it blocks").message;
            assert!(message.contains("osaka") && ours.is_none_or(|ours| message.contains(ours)), "{message}");
        }
    }
    let served = decided_for(Some("tokyo"), &settled, &obeying(&quiet, "osaka"), now());
    assert_eq!(condition(&served.status, "Ready").0, "True", "what the spec asks for is served all the same");
    // One that obeys us, and one that was given to nobody yet or does not tell
    for report in [obeying(&first, "tokyo"), first.clone()] {
        assert!(matches!(decided_for(Some("tokyo"), &new, &report, now()).step, Step::Open { .. }));
    }
    // A chain is not signed for one that would refuse it
    let mut keyed = obeying(&first, "osaka");
    keyed.generation = Generation(1);
    keyed.rotation = Some(rotation(1, RotationState::Keyed));
    let decision = decided_for(Some("tokyo"), &opened(), &keyed, now());
    assert!(matches!(decision.step, Step::Blocked { by: BlockedBy::HostRefused, .. }), "{:?}", decision.step);
}

/// To give a host away is begun when nothing is on its way there, and nothing is begun beside it.
#[test]
fn a_host_is_given_to_another_installation_before_anything_that_is_due() {
    let lineage = |name: &str| Some(name.parse().expect("a lineage"));
    let policy = Policy { lineage: lineage("tokyo"), hand_over_to: lineage("osaka"), ..Policy::default() };
    let decided =
        |resource: &Resource, report: &AgentReport| decided_of(resource, Observed::Seen(report), &policy, now());
    let obeying =
        |report: &AgentReport, name: Option<&str>| AgentReport { lineage: name.and_then(lineage), ..report.clone() };
    let (settled, quiet) = settled();
    let (new, first) = (resource(), report(0, &leaf(9, now(), QUARTER)));
    for (resource, report) in [(&settled, &quiet), (&new, &first)] {
        for ours in [Some("tokyo"), None] {
            let decision = decided(resource, &obeying(report, ours));
            assert!(matches!(decision.step, Step::HandOver { .. }), "{:?}", decision.step);
        }
        let done = decided(resource, &obeying(report, Some("osaka")));
        assert!(matches!(done.step, Step::Blocked { by: BlockedBy::HandedOver, .. }), "{:?}", done.step);
        assert_eq!(reasons(&done).last(), Some(&"HandedOver"));
        // Of a third one it is not ours to give
        let other = decided(resource, &obeying(report, Some("kobe")));
        assert!(matches!(other.step, Step::Blocked { by: BlockedBy::HostRefused, .. }), "{:?}", other.step);
    }
    // What is on its way is brought to its end first
    let mut keyed = obeying(&first, Some("tokyo"));
    keyed.generation = Generation(1);
    keyed.rotation = Some(rotation(1, RotationState::Keyed));
    assert!(matches!(decided(&opened(), &keyed).step, Step::Deliver { .. }));
    // What the next installation has on its way is not ours to call off, and holds no deletion up
    let mut theirs = obeying(&first, Some("osaka"));
    theirs.generation = Generation(7);
    for state in [RotationState::Keyed, RotationState::Restarting] {
        theirs.rotation = Some(rotation(7, state));
        let step = decided(&settled, &theirs).step;
        assert!(matches!(step, Step::Blocked { by: BlockedBy::HandedOver, .. }), "{step:?}");
        let deleted = Resource { deleted_at: Some(now()), ..settled.clone() };
        assert_eq!(decided(&deleted, &theirs).step, Step::ReleaseFinalizer);
    }
    // A generation that the host has not heard of is not begun any more
    assert!(matches!(decided(&opened(), &obeying(&first, Some("tokyo"))).step, Step::HandOver { .. }));
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
fn another_name_in_the_spec_rotates_and_another_duration_does_not() {
    let (mut resource, report) = settled();
    push(&mut resource.spec).certificate.duration = "4320h".parse().expect("a duration");
    assert!(matches!(decided(&resource, &report, now()).step, Step::Idle { .. }));
    push(&mut resource.spec).certificate.dns_names.push("ups.example.com".into());
    let step = decided(&resource, &report, now()).step;
    assert_eq!(step, Step::Open { generation: Generation(2), trigger: RotationTrigger::SpecChanged });
}

#[test]
fn another_subject_in_the_spec_rotates_and_the_same_does_not() {
    let subject = |organization: &str| CertificateSubject {
        organizations: vec![organization.to_owned()],
        ..CertificateSubject::default()
    };
    let (mut resource, report) = settled();
    let without = request_digest(&resource.spec);
    push(&mut resource.spec).certificate.subject = subject("Example");
    let step = decided(&resource, &report, now()).step;
    assert_eq!(step, Step::Open { generation: Generation(2), trigger: RotationTrigger::SpecChanged });

    let asked = request_digest(&resource.spec);
    push(&mut resource.spec).certificate.subject = subject("Other");
    assert_ne!(request_digest(&resource.spec), asked);
    let unit = CertificateSubject { organizational_units: vec!["Example".to_owned()], ..CertificateSubject::default() };
    push(&mut resource.spec).certificate.subject = unit;
    assert_ne!(request_digest(&resource.spec), asked, "the same word, as something else");
    push(&mut resource.spec).certificate.subject = CertificateSubject::default();
    assert_eq!(request_digest(&resource.spec), without);
}

#[test]
fn a_host_that_counts_further_than_we_do_is_followed() {
    let (resource, mut report) = settled();
    let later = super::super::renewal::later(now(), Duration::from_secs(24 * 3600));
    report.time = later;
    report.generation = Generation(41);
    report.stored = Sighting::Leaf(leaf(7, now(), QUARTER));
    let step = decided(&resource, &report, later).step;
    assert_eq!(step, Step::Open { generation: Generation(42), trigger: RotationTrigger::StoredDrift });
}

#[test]
fn a_host_at_the_last_generation_blocks_and_does_not_overflow() {
    for generation in [i64::MAX.unsigned_abs(), u64::MAX] {
        let decision = decided(&resource(), &report(generation, &leaf(9, now(), QUARTER)), now());
        assert!(matches!(decision.step, Step::Blocked { by: BlockedBy::HostAnswerRefused, .. }), "{:?}", decision.step);
    }
}

#[test]
fn clocks_that_disagree_keep_a_fleet_from_rotating() {
    let mut report = report(0, &leaf(9, now(), QUARTER));
    report.time = super::super::renewal::later(now(), Duration::from_secs(400 * 86400));
    assert!(matches!(decided(&resource(), &report, now()).step, Step::Blocked { by: BlockedBy::ClockSkew, .. }));
}

#[test]
fn the_younger_of_two_resources_for_one_agent_stands_back() {
    let (resource, report) = (resource(), report(0, &leaf(9, now(), QUARTER)));
    let rival = Rival { namespace: "fleet".into(), name: "older".into() };
    let decision = decided_beside(Some(&rival), &resource, &report, &References::default(), now());
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
fn an_agent_that_is_another_product_on_its_host_is_told_as_such() {
    let mut report = report(0, &leaf(9, now(), QUARTER));
    report.product = "tls-service".to_owned();
    let decision = decided(&resource(), &report, now());
    assert!(matches!(decision.step, Step::Blocked { by: BlockedBy::WrongHost, .. }));
    let stalled =
        decision.status.conditions.iter().find(|condition| condition.type_ == "Stalled").expect("a condition");
    for product in ["is tls-service in the configuration of host", "and powerchute-serial-shutdown in this resource"] {
        assert!(stalled.message.contains(product), "{}", stalled.message);
    }
}

#[test]
fn every_obstacle_has_the_word_that_the_status_shows() {
    use BlockedBy::{
        BackingOff, ClockSkew, Conflict, DriftRecurs, Frozen, HandedOver, HostAnswerRefused, HostBusy, HostRefused,
        HostUnreachable, IssuerEnding, IssuerRefused, IssuerUnavailable, LowBattery, OnBattery, Paused, PowerUnknown,
        RotationStuck, SecretUnavailable, ShutdownPending, SpecInvalid, WrongHost,
    };
    for by in [
        BackingOff,
        ClockSkew,
        Conflict,
        DriftRecurs,
        Frozen,
        HandedOver,
        HostAnswerRefused,
        HostBusy,
        HostRefused,
        HostUnreachable,
        IssuerEnding,
        IssuerRefused,
        IssuerUnavailable,
        LowBattery,
        OnBattery,
        Paused,
        PowerUnknown,
        RotationStuck,
        SecretUnavailable,
        ShutdownPending,
        SpecInvalid,
        WrongHost,
    ] {
        assert_eq!(serde_json::json!(by), Reason::Blocked(by).as_str());
    }
}

/// Holds A18, B8: what a host says once and takes back strands nothing.
#[test]
fn a_generation_that_a_host_has_made_up_is_forgotten_when_the_host_forgets_it() {
    let mut resource = resource();
    let lied = report(1_000_000_000_000, &leaf(9, now(), QUARTER));
    let opened = decided(&resource, &lied, now());
    assert!(matches!(opened.step, Step::Open { generation: Generation(1_000_000_000_001), .. }), "{:?}", opened.step);
    resource.status = opened.status;
    let honest = report(3, &leaf(9, now(), QUARTER));
    let later = super::super::renewal::later(now(), QUARTER / 4);
    resource.status = decided(&resource, &AgentReport { time: now(), ..honest.clone() }, now()).status;
    assert_eq!(resource.status.history[0].outcome, Outcome::Lost);
    let again = decided(&resource, &AgentReport { time: later, ..honest }, later);
    assert!(matches!(again.step, Step::Open { generation: Generation(4), .. }), "{:?}", again.step);
}

/// Holds B9: an owner that was refused by its host, and then waited for another, came back as the verified one.
#[test]
fn what_was_verified_counts_no_more_once_its_host_may_not_be_looked_at() {
    let (mut resource, report) = settled();
    resource.status = decided(&resource, &report, now()).status;
    let look = |resource: &Resource, obstacle: &Obstacle| {
        let decision = decided_unseen(resource, obstacle, now());
        decision.status.leaf.expect("a leaf").verified_url
    };
    // A host that has not read its configuration again, or has no room, refuses what is asked and not who asks
    for by in [BlockedBy::HostUnreachable, BlockedBy::SecretUnavailable, BlockedBy::Conflict, BlockedBy::HostRefused] {
        assert!(look(&resource, &Obstacle::new(by, "no")).is_some(), "{by:?}");
    }
    for by in [BlockedBy::NotGranted, BlockedBy::WrongHost] {
        assert_eq!(look(&resource, &Obstacle::new(by, "no")), None, "{by:?}");
    }
    assert_eq!(look(&resource, &refused_client()), None);
}

fn refused_client() -> Obstacle {
    Obstacle::new(BlockedBy::HostRefused, "no").refusing_client(true)
}

/// Holds B9: an owner with a mistyped URL was not known as one any more when it was put right; and where another host answers,
/// its claim on the first ends.
#[test]
fn an_address_at_which_no_other_host_has_answered_leaves_what_was_verified_at_the_first() {
    let (mut resource, report) = settled();
    resource.status = decided(&resource, &report, now()).status;
    let place = |decision: &Decision| {
        let leaf = decision.status.leaf.clone().expect("a leaf");
        (leaf.verified_url.is_some(), leaf.verified_client.is_some())
    };
    let mut mistyped = resource.clone();
    mistyped.generation += 1;
    mistyped.spec.api.host_api.as_mut().expect("it has one").url = "https://ups-10.example.com:9995".into();
    for by in [BlockedBy::HostUnreachable, BlockedBy::SecretUnavailable, BlockedBy::Conflict, BlockedBy::NotGranted] {
        let mut mistyped = mistyped.clone();
        for _ in 0..2 {
            let decision = decided_unseen(&mistyped, &Obstacle::new(by, "no"), now());
            assert_eq!(place(&decision), (true, false), "{by:?}");
            mistyped.status = decision.status;
        }
        // It is put right, and the host down just then
        let mut back = Resource { spec: resource.spec.clone(), ..mistyped };
        back.status = decided_unseen(&back, &Obstacle::new(BlockedBy::HostUnreachable, "no"), now()).status;
        assert_eq!(place(&decided(&back, &report, now())), (true, true), "{by:?}");
    }
    for obstacle in [refused_client(), Obstacle::new(BlockedBy::WrongHost, "no")] {
        let decision = decided_unseen(&mistyped, &obstacle, now());
        assert_eq!(place(&decision), (false, false), "{obstacle:?}");
    }
    let mut another = report.clone();
    another.stored = Sighting::Leaf(leaf(77, now(), QUARTER));
    assert_eq!(place(&decided(&mistyped, &another, now())), (false, false), "another host answers");
    another.stored = Sighting::Unseen { reason: "stopped".into(), message: String::new() };
    another.served = another.stored.clone();
    assert_eq!(place(&decided(&mistyped, &another, now())), (true, false), "perhaps the same, whose agent is down");
    assert_eq!(place(&decided(&resource, &another, now())), (true, true));
    // The same address in other words is the same address
    resource.spec.api.host_api.as_mut().expect("it has one").url = "https://ups-01.example.com".into();
    let down = Obstacle::new(BlockedBy::HostUnreachable, "no");
    assert_eq!(place(&decided_unseen(&resource, &down, now())), (true, true));
}

/// Holds B9: after five rotations that failed, nothing told a leaf of its own from one that was found on the host.
#[test]
fn the_rotation_that_has_put_the_leaf_there_stays_in_the_history() {
    let (mut resource, mut report) = settled();
    let issued = resource.status.leaf.as_ref().expect("a leaf").sha256;
    for generation in 2..9 {
        let rotation_in_status = resource.status.rotation.as_mut().expect("it was rotated");
        (rotation_in_status.generation, rotation_in_status.state) = (generation, RotationState::Requested);
        report.generation = Generation(generation);
        report.rotation = Some(rotation(generation, RotationState::RolledBack));
        resource.status = decided(&resource, &report, now()).status;
    }
    let history: Vec<_> = resource.status.history.iter().map(|entry| (entry.generation, entry.sha256)).collect();
    assert_eq!(history, [(8, None), (7, None), (6, None), (5, None), (1, Some(issued))]);
}
