//! Agents that renew their own certificate when they are told to.

use std::sync::LazyLock;

use kagiban_crds::resource::RenewalSpec;
use rcgen::{CertificateParams, KeyPair};
use x509_parser::time::ASN1Time;

use super::super::renewal::later;
use super::*;
use crate::decide::request::order_mark;
use crate::decide::{TakenOrder, request_digest};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A resource whose agent renews its own.
pub(super) fn self_renewing() -> Resource {
    let mut resource = resource();
    resource.spec.agent = AgentRef { product: Product::SelfRenewingService, name: "web".into() };
    resource.spec.procedure = Procedure::Trigger { renewal: RenewalSpec::default() };
    resource
}

fn renewing(resource: &mut Resource, before: Option<&str>, percentage: Option<u8>) {
    let renew_before = before.map(|text| text.parse().expect("a duration"));
    resource.spec.procedure =
        Procedure::Trigger { renewal: RenewalSpec { renew_before, renew_before_percentage: percentage } };
}

/// A certificate that nobody but the agent has made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) pem: String,
    pub(super) leaf: Leaf,
}

pub(super) fn made(not_before: Timestamp, lifetime: Duration) -> Made {
    static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().expect("a key"));
    let time = |time: Timestamp| ASN1Time::from_timestamp(time.as_second()).expect("a time").to_datetime();
    let mut params = CertificateParams::new(vec!["ups-01.example.com".to_owned()]).expect("names");
    (params.not_before, params.not_after) = (time(not_before), time(later(not_before, lifetime)));
    let pem = params.self_signed(&*KEY).expect("a certificate").pem();
    let shown = crate::certificate::shown(&pem).expect("it was just made");
    Made { pem, leaf: Leaf { sha256: shown.sha256, ..leaf(1, not_before, lifetime) } }
}

/// A host whose agent serves that.
pub(super) fn serving(made: &Made, at: Timestamp) -> AgentReport {
    AgentReport {
        name: "web".parse().expect("a name"),
        product: "self-renewing-service".into(),
        time: at,
        stored: Sighting::Unseen { reason: "no_keystore".into(), message: "it has none that we know of".into() },
        certificate: Some(made.pem.clone()),
        ..report(0, &made.leaf)
    }
}

#[test]
fn of_an_agent_that_serves_nothing_it_is_told_which_file_keeps_its_certificate() {
    let made = made(now(), 90 * DAY);
    let file = r"C:\PCCSRV\Pccnt\Common\OfcNTCer.dat";
    let report = AgentReport { kept_in: Some(file.to_owned()), ..serving(&made, now()) };
    let decision = decided(&self_renewing(), &report, now());
    for kind in ["Ready", "Serving", "Verified"] {
        let told = decision.status.conditions.iter().find(|condition| condition.type_ == kind).expect("it is told");
        assert_eq!(told.status, "True", "{told:?}");
        assert!(told.message.contains(file) && !told.message.contains("serve"), "{told:?}");
    }
    assert!(decision.events.iter().all(|event| !event.message.contains("serve")), "{:?}", decision.events);
    let hostile = AgentReport { kept_in: Some("x".repeat(100_000)), ..report };
    let told = decided(&self_renewing(), &hostile, now());
    assert!(told.events.iter().all(|event| event.message.len() < 1024), "a host says what it likes");
}

/// A host whose agent does not answer.
pub(super) fn dark(report: &AgentReport) -> AgentReport {
    let served = Sighting::Unseen { reason: "connect".into(), message: "refused".into() };
    AgentReport { served, certificate: None, ..report.clone() }
}

fn with_rotation(report: AgentReport, generation: u64, state: RotationState, leaf: Option<&Made>) -> AgentReport {
    let leaf = leaf.map(|made| made.leaf.clone());
    let rotation = RotationReport { csr: None, leaf, ..rotation(generation, state) };
    AgentReport { generation: Generation(generation), rotation: Some(rotation), ..report }
}

/// A resource whose agent was found with a certificate of 90 days at [`now`].
fn found() -> (Resource, Made) {
    let (mut resource, first) = (self_renewing(), made(now(), QUARTER));
    let decision = decided(&resource, &serving(&first, now()), now());
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    assert_eq!(reasons(&decision), ["Adopted"]);
    resource.status = decision.status;
    (resource, first)
}

/// The same, ordered to renew at its renewal time.
fn ordered() -> (Resource, Made, Timestamp) {
    let (mut resource, first) = found();
    let time = resource.status.renewal_time.expect("a leaf has one");
    let decision = decided(&resource, &serving(&first, time), time);
    assert_eq!(decision.step, Step::Open { generation: Generation(1), trigger: RotationTrigger::Renewal });
    resource.status = decision.status;
    (resource, first, time)
}

#[test]
fn what_an_agent_serves_at_first_sight_is_taken_as_it_is() {
    let (resource, first) = found();
    let status = &resource.status;
    let kinds: Vec<_> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(kinds, ["Ready", "Verified", "Serving"], "nothing is issued or deployed by us");
    for kind in kinds {
        assert_eq!(condition(status, kind).0, "True", "{kind}");
    }
    let taken = status.leaf.as_ref().expect("a leaf");
    assert_eq!((taken.sha256, taken.not_after), (first.leaf.sha256, first.leaf.not_after));
    assert_eq!((&taken.issuer_sha256, &taken.password_version), (&None, &None));
    let renewal = status.renewal_time.expect("a leaf has one");
    assert!(renewal <= at(60 * 24 * 3600) && renewal >= at(57 * 24 * 3600), "a third before its end: {renewal}");
    let rest = decided(&resource, &serving(&first, at(60)), at(60));
    assert_eq!((rest.status, rest.events), (status.clone(), vec![]), "at rest nothing is written or told");
}

#[test]
fn what_is_due_at_first_sight_is_known_and_renewed() {
    for (lifetime, ready) in [(DAY, ("True", "Verified")), (2 * DAY / 3, ("False", "Expired"))] {
        let old = made(super::super::renewal::earlier(now(), 2 * DAY / 3), lifetime);
        let decision = decided(&self_renewing(), &serving(&old, now()), now());
        assert_eq!(decision.step, Step::Open { generation: Generation(1), trigger: RotationTrigger::Renewal });
        assert_eq!(reasons(&decision), ["Adopted", "RotationStarted"]);
        assert_eq!(decision.status.leaf.as_ref().map(|leaf| leaf.not_after), Some(old.leaf.not_after));
        assert_eq!(condition(&decision.status, "Ready"), ready);
        assert_eq!(condition(&decision.status, "Reconciling"), ("True", "Renewal"));
    }
}

/// Clients refuse it; a clock that is a little ahead is no reason to say so.
#[test]
fn a_certificate_that_is_not_valid_yet_is_not_ready_and_no_renewed_one() {
    let minutes = |minutes: u64| later(now(), Duration::from_secs(minutes * 60));
    for (from, ready) in [(minutes(4), ("True", "Verified")), (minutes(600), ("False", "NotYetValid"))] {
        let ahead = made(from, QUARTER);
        let decision = decided(&self_renewing(), &serving(&ahead, now()), now());
        assert_eq!(condition(&decision.status, "Ready"), ready);
        assert_eq!(condition(&decision.status, "Serving").0, ready.0);
    }
    let (resource, _, time) = ordered();
    let ahead = made(later(time, DAY), QUARTER);
    let host = with_rotation(serving(&ahead, time), 1, RotationState::Committed, Some(&ahead));
    let status = decided(&resource, &host, time).status;
    assert_eq!(status.history.first().and_then(|entry| entry.reason.as_deref()), Some("not_yet_valid"));
}

/// The host names the end of the leaf anew at each look: that is no reason to order at each look.
#[test]
fn a_host_that_serves_a_leaf_about_to_end_at_each_look_is_given_an_order_every_six_minutes_at_most() {
    let (mut resource, _) = found();
    let (mut orders, mut generation) = (0, 0);
    for second in (0..3600).step_by(5) {
        let time = later(now(), Duration::from_secs(second));
        let ending = made(super::super::renewal::earlier(time, Duration::from_secs(100)), Duration::from_secs(120));
        let report = serving(&ending, time);
        let report =
            if generation == 0 { report } else { with_rotation(report, generation, RotationState::RolledBack, None) };
        let decision = decided(&resource, &report, time);
        if let Step::Open { generation: Generation(next), .. } = decision.step {
            (orders, generation) = (orders + 1, next);
        }
        resource.status = decision.status;
    }
    assert!((1..=11).contains(&orders), "{orders} orders in an hour");
}

#[test]
fn a_renewal_is_followed_from_the_order_to_what_is_served() {
    let (mut resource, first, time) = ordered();
    assert_eq!(resource.status.rotation.as_ref().map(|rotation| rotation.signed.len()), Some(0));
    for state in [RotationState::Requested, RotationState::BackedUp, RotationState::Renewing, RotationState::Verifying]
    {
        let host = with_rotation(serving(&first, time), 1, state, None);
        let decision = decided(&resource, &host, time);
        assert!(matches!(decision.step, Step::Follow { generation: Generation(1), .. }), "{state:?}: {decision:?}");
        assert_eq!((decision.status, decision.events), (resource.status.clone(), vec![]), "{state:?}");
    }
    let new = made(time, QUARTER);
    let done = with_rotation(serving(&new, time), 1, RotationState::Committed, Some(&new));
    let decision = decided(&resource, &done, time);
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    assert_eq!(reasons(&decision), ["Verified"]);
    assert_eq!(condition(&decision.status, "Ready"), ("True", "Verified"));
    let ended = decision.status.history.first().expect("it ended");
    assert_eq!((ended.outcome, ended.sha256), (Outcome::Committed, Some(new.leaf.sha256)));
    assert!(ended.serials.is_empty());
    assert_eq!(decision.status.leaf.as_ref().map(|leaf| leaf.not_after), Some(new.leaf.not_after));
    resource.status = decision.status;
    assert_eq!(decided(&resource, &done, time).status, resource.status);
}

/// A host that says it is done has not done it by that.
#[test]
fn what_a_host_calls_committed_counts_only_where_it_is_served_and_ends_later() {
    let (resource, first, time) = ordered();
    let new = made(time, QUARTER);
    let shorter = made(time, Duration::from_secs(60));
    let past = made(super::super::renewal::earlier(now(), DAY), QUARTER + 2 * DAY);
    let long_over = later(past.leaf.not_after, DAY);
    let cases = [
        ("no leaf", None, &first, time, (Outcome::Lost, "committed_without_leaf")),
        ("the old leaf", Some(&first), &first, time, (Outcome::OtherLeaf, "not_later")),
        ("a new leaf that is not served", Some(&new), &first, time, (Outcome::OtherLeaf, "not_served")),
        ("another leaf than is served", Some(&first), &new, time, (Outcome::OtherLeaf, "not_served")),
        ("a leaf that ends earlier", Some(&shorter), &shorter, time, (Outcome::OtherLeaf, "not_later")),
        ("a leaf that is over", Some(&past), &past, long_over, (Outcome::OtherLeaf, "expired")),
    ];
    for (what, committed, served, time, (outcome, reason)) in cases {
        let host = with_rotation(serving(served, time), 1, RotationState::Committed, committed);
        let decision = decided(&resource, &host, time);
        let ended = decision.status.history.first().expect("it ended");
        assert_eq!((ended.outcome, ended.reason.as_deref()), (outcome, Some(reason)), "{what}");
        let in_force = decision.status.leaf.as_ref().map(|leaf| leaf.sha256);
        assert_eq!(in_force, Some(served.leaf.sha256), "{what}: what is served is what is in force");
        let is_due = decision.status.renewal_time.is_some_and(|renewal| time >= renewal);
        let waits = matches!(decision.step, Step::Blocked { by: BlockedBy::BackingOff, .. });
        assert!(waits || !is_due, "{what}: {:?}", decision.step);
    }
}

/// A certificate that a host does not show, or shows another of, is not one that was seen.
#[test]
fn what_a_host_does_not_show_is_not_taken() {
    let (made, other) = (made(now(), QUARTER), made(now(), DAY));
    for certificate in
        [None, Some(String::new()), Some("rubbish".to_owned()), Some(other.pem), Some("x".repeat(1 << 20))]
    {
        let host = AgentReport { certificate, ..serving(&made, now()) };
        let decision = decided(&self_renewing(), &host, now());
        assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
        assert_eq!(decision.status.leaf, None);
        assert_eq!(condition(&decision.status, "Ready"), ("False", "NotSeen"));
    }
}

#[test]
fn an_agent_that_was_never_seen_to_serve_is_told_nothing_unless_a_person_asks() {
    let host = dark(&serving(&made(now(), QUARTER), now()));
    let mut resource = self_renewing();
    let decision = decided(&resource, &host, now());
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    for kind in ["Ready", "Verified", "Serving"] {
        assert_eq!(condition(&decision.status, kind), ("False", "NotSeen"), "{kind}");
    }
    resource.rotate = Some("it has none".into());
    let decision = decided(&resource, &host, now());
    assert_eq!(decision.step, Step::Open { generation: Generation(1), trigger: RotationTrigger::FirstIssue });
    resource.status = decision.status;

    let new = made(now(), QUARTER);
    let done = with_rotation(serving(&new, now()), 1, RotationState::Committed, Some(&new));
    let decision = decided(&resource, &done, now());
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    assert_eq!(decision.status.handled_rotate.as_deref(), Some("it has none"));
}

/// The agent may be restarting at the very look that says it is done.
#[test]
fn a_committed_renewal_that_is_not_seen_is_looked_at_again_and_not_for_ever() {
    let (mut resource, _, time) = ordered();
    let new = made(time, QUARTER);
    let done = with_rotation(serving(&new, time), 1, RotationState::Committed, Some(&new));
    let mut waits = Vec::new();
    for seconds in [1, 600, 3599] {
        let time = later(time, Duration::from_secs(seconds));
        let decision = decided(&resource, &AgentReport { time, ..dark(&done) }, time);
        let Step::Follow { generation: Generation(1), after } = decision.step else { panic!("{:?}", decision.step) };
        assert!(decision.status.history.is_empty());
        assert_eq!(condition(&decision.status, "Ready").0, "Unknown");
        waits.push(after.as_secs());
        resource.status = decision.status;
    }
    assert_eq!(waits, [1, 75, 300]);
    let time = later(time, Duration::from_secs(3600));
    let over = decided(&resource, &AgentReport { time, ..dark(&done) }, time);
    let ended = over.status.history.first().expect("it ended");
    assert_eq!((ended.outcome, ended.reason.as_deref()), (Outcome::OtherLeaf, Some("not_seen")));
    let seen = decided(&resource, &AgentReport { time, ..done.clone() }, time);
    assert_eq!(seen.status.history.first().map(|entry| entry.outcome), Some(Outcome::Committed));
    // Even where it was given up
    resource.status = over.status;
    let seen = decided(&resource, &AgentReport { time, ..done }, time);
    assert_eq!(seen.status.leaf.as_ref().map(|leaf| leaf.sha256), Some(new.leaf.sha256));
    assert!(matches!(seen.step, Step::Idle { .. }), "{:?}", seen.step);
}

#[test]
fn an_agent_that_has_renewed_by_itself_is_not_told_to() {
    let (resource, _) = found();
    let time = at(59 * 24 * 3600);
    let own = made(time, QUARTER);
    let decision = decided(&resource, &serving(&own, time), time);
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    assert_eq!(reasons(&decision), ["Adopted"]);
    assert_eq!(condition(&decision.status, "Ready"), ("True", "Verified"));
    // One that goes back to an older certificate has that one in force, and is told when that one is due
    let mut resource = Resource { status: decision.status, ..resource };
    let old = made(super::super::renewal::earlier(time, QUARTER), QUARTER + DAY);
    let decision = decided(&resource, &serving(&old, time), time);
    assert_eq!(decision.step, Step::Open { generation: Generation(1), trigger: RotationTrigger::Renewal });
    // While another resource owns the agent, or it is deleted, nothing of it is taken
    let rival = Rival { namespace: "fleet".into(), name: "the-owner".into() };
    let beside = decided_beside(Some(&rival), &resource, &serving(&old, time), &References::default(), time);
    assert_eq!(beside.status.leaf.map(|leaf| leaf.sha256), Some(own.leaf.sha256));
    resource.deleted_at = Some(time);
    let leaving = decided(&resource, &serving(&old, time), time);
    assert_eq!(leaving.step, Step::ReleaseFinalizer);
}

/// Holds what B5 holds of certificates that are pushed.
#[test]
fn a_renew_before_that_no_certificate_lives_for_is_a_third_and_one_that_is_nearly_all_of_it_does_not_loop() {
    for (before, percentage, earliest, latest) in
        [(Some("8760h"), None, 57, 60), (Some("720h"), None, 57, 60), (None, Some(50), 40, 45), (None, None, 57, 60)]
    {
        let mut resource = self_renewing();
        renewing(&mut resource, before, percentage);
        let decision = decided(&resource, &serving(&made(now(), QUARTER), now()), now());
        let renewal = decision.status.renewal_time.expect("a leaf has one");
        let days = (renewal.as_second() - now().as_second()) / (24 * 3600);
        assert!((earliest..=latest).contains(&days), "{before:?} {percentage:?}: {days}");
    }
    let rotations = |before: &str, lifetime: u64| {
        let mut resource = self_renewing();
        renewing(&mut resource, Some(before), None);
        let (mut time, mut served, mut opens) = (now(), made(now(), Duration::from_secs(lifetime)), 0);
        let end = later(time, 10 * Duration::from_secs(lifetime).max(DAY / 10));
        let mut generation = 0;
        let mut host = serving(&served, time);
        while time < end {
            host.time = time;
            let decision = decided(&resource, &host, time);
            resource.status = decision.status;
            if let Step::Open { generation: next, .. } = decision.step {
                opens += 1;
                generation = next.0;
                served = made(time, Duration::from_secs(lifetime));
                host = with_rotation(serving(&served, time), generation, RotationState::Committed, Some(&served));
            }
            time = later(time, Duration::from_secs((lifetime / 600).max(5)));
        }
        assert_eq!(generation, opens);
        opens
    };
    let often = rotations("89999s", 90_000);
    assert!((90..=101).contains(&often), "ten in one lifetime at most: {often}");
    let short = rotations("5m", 30);
    assert!((200..=240).contains(&short), "six minutes between two: {short} in a day");
}

/// Neither is a renewal put off by a clock that was ahead when the last one was committed, nor waited for with one that was ahead
/// when it was ordered.
#[test]
fn a_clock_that_was_ahead_puts_no_renewal_off() {
    let (mut resource, _, time) = ordered();
    let new = made(super::super::renewal::earlier(time, QUARTER - DAY), QUARTER);
    let done = with_rotation(serving(&new, later(time, DAY)), 1, RotationState::Committed, Some(&new));
    resource.status.leaf.as_mut().expect("a leaf").not_after = time;
    resource.status.rotation.as_mut().expect("it was ordered").started_at = later(time, 2 * DAY);
    let unseen = decided(&resource, &AgentReport { time, ..dark(&done) }, time);
    let ended = unseen.status.history.first().and_then(|entry| entry.reason.as_deref());
    assert_eq!(ended, Some("not_seen"), "nobody knows how long ago it was ordered");
    for (finished, waits) in [(time, true), (later(time, Duration::from_secs(60)), true), (later(time, DAY), false)] {
        let mut committed = resource.clone();
        committed.status = decided(&resource, &AgentReport { time, ..done.clone() }, time).status;
        committed.status.history[0].finished_at = finished;
        let step = decided(&committed, &AgentReport { time, ..done.clone() }, time).step;
        assert_eq!(matches!(step, Step::Idle { .. }), waits, "{finished}: {step:?}");
        assert_eq!(matches!(step, Step::Open { .. }), !waits, "{finished}: {step:?}");
    }
}

#[test]
fn a_renewal_that_gains_nothing_or_fails_is_tried_again_after_a_pause() {
    let (mut resource, first, time) = ordered();
    let (mut time, mut pauses) = (time, Vec::new());
    for generation in 1..=4 {
        let failure = Failure { reason: "not_later".into(), message: "the new certificate ends no later".into() };
        let mut host = with_rotation(serving(&first, time), generation, RotationState::RolledBack, None);
        host.rotation.as_mut().expect("a rotation").failure = Some(failure);
        let decision = decided(&resource, &host, time);
        assert_eq!(reasons(&decision), ["RolledBack", "BackingOff"]);
        assert_eq!(condition(&decision.status, "Ready"), ("True", "Verified"), "what is served is as good as before");
        let ended = decision.status.history.first().expect("it ended");
        assert_eq!(ended.reason.as_deref(), Some("not_later"));
        let Step::Blocked { by: BlockedBy::BackingOff, retry } = decision.step else { panic!("{:?}", decision.step) };
        pauses.push(retry.as_second() - time.as_second());
        (resource.status, host.time, time) = (decision.status, retry, retry);
        let again = decided(&resource, &host, time);
        let expected = Step::Open { generation: Generation(generation + 1), trigger: RotationTrigger::Renewal };
        assert_eq!(again.step, expected);
        resource.status = again.status;
    }
    assert_eq!(pauses, [360, 360, 360, 480]);
}

#[test]
fn every_gate_that_holds_a_rotation_back_holds_a_renewal_back() {
    let (resource, first) = found();
    let time = resource.status.renewal_time.expect("a leaf has one");
    let decide = |change: fn(&mut Resource, &mut AgentReport), time| {
        let (mut resource, mut host) = (resource.clone(), serving(&first, time));
        change(&mut resource, &mut host);
        decided(&resource, &host, time)
    };
    type Change = fn(&mut Resource, &mut AgentReport);
    let gates: [(BlockedBy, Change); 5] = [
        (BlockedBy::Paused, |resource, _| resource.spec.rotation.paused = true),
        (BlockedBy::OnBattery, |_, host| host.power.state = PowerState::OnBattery),
        (BlockedBy::PowerUnknown, |_, host| host.power.state = PowerState::Stale),
        (BlockedBy::ClockSkew, |_, host| host.time = now()),
        (BlockedBy::Frozen, |_, host| host.rotation = Some(rotation(1, RotationState::Frozen))),
    ];
    for (by, change) in gates {
        let decision = decide(change, time);
        assert!(matches!(decision.step, Step::Blocked { by: b, .. } if b == by), "{by:?}: {:?}", decision.step);
        assert_eq!(condition(&decision.status, "Ready").0, "True", "{by:?}");
        let near = decide(change, later(time, 29 * DAY));
        assert_eq!(condition(&near.status, "Stalled").0, "True", "{by:?}: it expires");
    }
    let frozen = decide(gates[4].1, time).status;
    let message = &frozen.conditions.iter().find(|c| c.type_ == "Stalled").expect("it needs a person").message;
    assert!(!message.contains("keystore") && message.contains("rotation thaw"), "{message}");
}

/// Nobody can bring a file to life.
#[test]
fn of_a_frozen_agent_that_serves_nothing_a_person_is_told_which_file_is_to_be_put_right() {
    let (resource, first) = found();
    let file = r"C:\PCCSRV\Pccnt\Common\OfcNTCer.dat";
    let rotation = Some(rotation(1, RotationState::Frozen));
    let host = AgentReport { rotation, kept_in: Some(file.to_owned()), ..serving(&first, now()) };
    let frozen = decided(&resource, &host, now()).status;
    let message = &frozen.conditions.iter().find(|c| c.type_ == "Stalled").expect("it needs a person").message;
    assert!(message.contains(file) && !message.contains("service") && !message.contains("to life"), "{message}");
}

#[test]
fn a_person_may_have_it_renewed_at_any_time_and_once() {
    let (mut resource, first) = found();
    resource.rotate = Some("the key has leaked".into());
    let decision = decided(&resource, &serving(&first, at(60)), at(60));
    assert_eq!(decision.step, Step::Open { generation: Generation(1), trigger: RotationTrigger::Requested });
    resource.status = decision.status;
    let new = made(at(60), QUARTER);
    let done = with_rotation(serving(&new, at(60)), 1, RotationState::Committed, Some(&new));
    let decision = decided(&resource, &done, at(60));
    assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
    assert_eq!(decision.status.handled_rotate.as_deref(), Some("the key has leaked"));

    // A status that was lost knows it by the mark of the order
    resource.status = ManagedAgentCertificateStatus::default();
    let owed = decided(&resource, &done, at(60));
    assert_eq!(owed.step, Step::Open { generation: Generation(2), trigger: RotationTrigger::Requested });
    let mut marked = done;
    let mark = order_mark(&request_digest(&resource.spec), resource.rotate.as_deref());
    marked.rotation.as_mut().expect("a rotation").mark = mark;
    let answered = decided(&resource, &marked, at(60));
    assert!(matches!(answered.step, Step::Idle { .. }), "{:?}", answered.step);
    assert_eq!(answered.status.handled_rotate.as_deref(), Some("the key has leaked"));
}

#[test]
fn an_order_that_the_host_has_not_heard_is_given_again_and_one_of_somebody_else_is_not_ours() {
    let (mut resource, first, time) = ordered();
    let again = decided(&resource, &serving(&first, time), time);
    assert_eq!(again.step, Step::Open { generation: Generation(1), trigger: RotationTrigger::Renewal });
    assert_eq!(again.status, resource.status);
    // A host that asks for a chain, and one that has taken another's order, are told to stop before anything is done
    for (generation, state) in [(1, RotationState::Keyed), (2, RotationState::BackedUp)] {
        let mut host = with_rotation(serving(&first, time), generation, state, None);
        host.rotation.as_mut().expect("a rotation").csr = Some("CSR".into());
        let step = decided(&resource, &host, time).step;
        assert_eq!(step, Step::Rollback { generation: Generation(generation) }, "{state:?}");
    }
    let other = with_rotation(serving(&first, time), 2, RotationState::Renewing, None);
    assert!(matches!(decided(&resource, &other, time).step, Step::Follow { .. }));

    resource.deleted_at = Some(time);
    for (state, expected) in [
        (RotationState::BackedUp, Step::Rollback { generation: Generation(1) }),
        (RotationState::Committed, Step::ReleaseFinalizer),
    ] {
        let host = with_rotation(serving(&first, time), 1, state, Some(&first));
        assert_eq!(decided(&resource, &host, time).step, expected, "{state:?}");
    }
    let host = with_rotation(serving(&first, time), 1, RotationState::Renewing, None);
    assert!(matches!(decided(&resource, &host, time).step, Step::Follow { .. }), "it is waited for");
}

/// The host has refused ours under that number: what the other has come to is not its end.
#[test]
fn a_renewal_whose_number_is_another_orders_is_still_owed_and_ordered_under_the_next() {
    let (mut resource, _) = found();
    resource.rotate = Some("1".into());
    let new = made(at(60), QUARTER);
    resource.status = decided(&resource, &serving(&new, at(60)), at(60)).status;
    assert_eq!(resource.status.rotation.as_ref().map(|own| own.generation), Some(1));
    let mut other = with_rotation(serving(&new, at(60)), 1, RotationState::Committed, Some(&new));
    other.rotation.as_mut().expect("a rotation").mark = order_mark(&request_digest(&resource.spec), Some("2"));
    resource.status = decided(&resource, &other, at(60)).status;
    assert_eq!(resource.status.history[0].reason.as_deref(), Some("another_order"));
    assert_eq!(resource.status.handled_rotate, None);
    let later = AgentReport { time: at(1200), ..other };
    let next = decided(&resource, &later, at(1200)).step;
    assert_eq!(next, Step::Open { generation: Generation(2), trigger: RotationTrigger::Requested });
}

/// A status that every installation has would ask for another certificate otherwise.
#[test]
fn what_a_spec_asks_for_has_the_digest_that_it_always_had() {
    let pushed = "f06b3b67fea61d75c9f36e863061f027c0a1e3c3f574a731b68b5e4b07d4d6df";
    assert_eq!(request_digest(&resource().spec), pushed);
    let mut resource = self_renewing();
    let digest = request_digest(&resource.spec);
    renewing(&mut resource, Some("5m"), None);
    assert_eq!(request_digest(&resource.spec), digest, "when is not what");
    assert_eq!(digest, "5aa15634a2f02246333c7f9063947838881be04e45e6e4047fedc6b1b194f34c");
}

/// Holds B8: an agent was told to renew twelve times in a minute, because its host forgot each order.
#[test]
fn an_order_that_its_host_took_and_forgot_is_given_again_after_six_minutes() {
    let (resource, first, time) = ordered();
    let taken = |generation, at| Some(TakenOrder { generation: Generation(generation), at });
    let decided = |ordered: Option<TakenOrder>, seconds: u64| {
        let now = later(time, Duration::from_secs(seconds));
        let report = serving(&first, now);
        decide(&Inputs {
            resource: &resource,
            host: Observed::Seen(&report),
            rival: None,
            setback: None,
            works_for: None,
            ordered,
            references: &References::default(),
            policy: &Policy::default(),
            now,
        })
    };
    let again = Step::Open { generation: Generation(1), trigger: RotationTrigger::Renewal };
    for seconds in [0, 1, 359] {
        let held = decided(taken(1, time), seconds);
        let retry = later(time, Duration::from_secs(360));
        assert_eq!(held.step, Step::Blocked { by: BlockedBy::HostAnswerRefused, retry }, "after {seconds} s");
        assert_eq!(condition(&held.status, "Blocked"), ("True", "HostAnswerRefused"));
    }
    assert_eq!(decided(taken(1, time), 360).step, again);
    // Of the one before it the host has shown the end, and it was busy when it was told of this one.
    assert_eq!(decided(taken(0, time), 1).step, again, "it took another order");
    assert_eq!(decided(None, 1).step, again, "whether the host has heard of it is not known");
    // By a clock that was ahead, and was set back since
    assert_eq!(decided(taken(1, later(time, DAY)), 1).step, again);
}
