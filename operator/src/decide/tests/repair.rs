//! Agents that can only be looked at, and are repaired when a person asks.

use kagiban_crds::host_api::RepairProof;
use kagiban_crds::resource::RepairSpec;

use super::*;
use crate::decide::request::order_mark;
use crate::decide::{TakenOrder, mark_of};

/// A resource of a repair that the operator has looked at once.
fn observed() -> Resource {
    let mut resource = resource();
    resource.spec.agent = AgentRef { product: Product::Skysea, name: "skysea".into() };
    resource.spec.procedure = Procedure::Repair(RepairSpec::default());
    resource
}

fn seen() -> Resource {
    let mut resource = observed();
    resource.status = decided(&resource, &host(0), now()).status;
    resource
}

/// A host that has done nothing for it yet.
fn host(generation: u64) -> AgentReport {
    let nothing = || Sighting::Unseen { reason: "not_looked_at".into(), message: "no certificate is looked at".into() };
    AgentReport {
        name: "skysea".parse().expect("a name"),
        product: "skysea".into(),
        stored: nothing(),
        served: nothing(),
        ..report(generation, &leaf(1, now(), QUARTER))
    }
}

fn repairing(generation: u64, state: RotationState, proof: Option<RepairProof>, reason: &str) -> AgentReport {
    let failure = (!reason.is_empty()).then(|| Failure { reason: reason.into(), message: "the module said no".into() });
    let rotation = RotationReport { csr: None, proof, failure, ..rotation(generation, state) };
    AgentReport { rotation: Some(rotation), ..host(generation) }
}

/// Asked for with that value, and opened.
fn ordered(resource: &mut Resource, value: &str) -> Generation {
    resource.rotate = Some(value.into());
    let generation = resource.status.rotation.as_ref().map_or(0, |rotation| rotation.generation);
    let decision = decided(resource, &host(generation), now());
    let next = Generation(generation + 1);
    assert_eq!(decision.step, Step::Open { generation: next, trigger: RotationTrigger::Requested });
    assert_eq!(condition(&decision.status, "Ready"), ("False", "Requested"));
    assert_eq!(condition(&decision.status, "Repaired"), ("Unknown", "Requested"));
    resource.status = decision.status;
    next
}

fn ended(resource: &mut Resource, report: &AgentReport) -> Decision {
    let decision = decided(resource, report, at(60));
    resource.status = decision.status.clone();
    decision
}

#[test]
fn nothing_is_repaired_before_a_person_asks_whatever_the_resource_was_made_with() {
    for rotate in [None, Some("2026-03-01".to_owned())] {
        let resource = Resource { rotate: rotate.clone(), ..observed() };
        let decision = decided(&resource, &host(0), now());
        assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
        assert_eq!((condition(&decision.status, "Ready"), decision.status.leaf.as_ref()), (("True", "NotAsked"), None));
        assert_eq!(decision.status.handled_rotate, rotate);
        let was_there =
            decision.status.conditions[1].message.contains("was there when this resource was first looked at");
        assert_eq!(was_there, rotate.is_some(), "{:?}", decision.status.conditions[1]);
        let kinds: Vec<_> = decision.status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(kinds, ["Ready", "Repaired"], "there is no certificate to tell of");
        // Years later, too.
        let mut later = Resource { status: decision.status.clone(), ..resource };
        let rest = decided(&later, &AgentReport { time: at(1 << 26), ..host(0) }, at(1 << 26));
        assert!(matches!(rest.step, Step::Idle { .. }), "{:?}", rest.step);
        assert_eq!((rest.status, rest.events), (later.status.clone(), vec![]), "at rest nothing is written or told");
        ordered(&mut later, "another");
    }
    // Its first look failed: what the annotation says then was there before anybody looked, too.
    let mut resource = Resource { rotate: Some("1".into()), ..observed() };
    let unreachable = Obstacle::new(BlockedBy::HostUnreachable, "refused");
    resource.status = decided_unseen(&resource, &unreachable, now()).status;
    assert_eq!(condition(&resource.status, "Ready"), ("Unknown", "HostUnreachable"));
    assert!(matches!(decided(&resource, &host(0), now()).step, Step::Idle { .. }));
}

#[test]
fn a_repair_is_told_as_proven_or_as_done_and_not_proven_with_what_a_person_does_next() {
    for (proof, outcome, ready, repaired) in [
        (Some(RepairProof::Command), Outcome::Committed, "Repaired", "True"),
        (Some(RepairProof::Restart), Outcome::Committed, "Repaired", "True"),
        (Some(RepairProof::Nothing), Outcome::Done, "NotProven", "Unknown"),
        // Of a host that does not tell.
        (None, Outcome::Done, "NotProven", "Unknown"),
    ] {
        let mut resource = seen();
        let generation = ordered(&mut resource, "1");
        let on_its_way = decided(&resource, &repairing(generation.0, RotationState::Renewing, None, ""), now());
        assert!(matches!(on_its_way.step, Step::Follow { .. }), "{:?}", on_its_way.step);
        let decision = ended(&mut resource, &repairing(generation.0, RotationState::Committed, proof, ""));
        assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
        assert_eq!(reasons(&decision), [ready], "{:?}", decision.events);
        assert_eq!(resource.status.history[0].outcome, outcome);
        assert_eq!(condition(&resource.status, "Ready"), ("True", ready));
        assert_eq!(condition(&resource.status, "Repaired"), (repaired, ready));
        let message = &resource.status.conditions[1].message;
        assert!(message.contains("observe.moduleApplied: true"), "{message}");
        assert_eq!(message.contains("done, not proven"), outcome == Outcome::Done, "{message}");
        let rest = decided(&resource, &repairing(generation.0, RotationState::Committed, proof, ""), at(120));
        assert_eq!((rest.status, rest.events), (resource.status.clone(), vec![]), "at rest nothing is written or told");
        ordered(&mut resource, "2");
    }
}

/// Another restart, or a module that is applied twice, is worse than a person who asks once more.
#[test]
fn a_repair_that_did_not_end_well_stops_until_a_person_asks_anew() {
    let failed = |generation| repairing(generation, RotationState::RolledBack, None, "repair_failed");
    // The host has lost its journal.
    for report in [failed as fn(u64) -> AgentReport, host] {
        let mut resource = seen();
        let generation = ordered(&mut resource, "1");
        let decision = ended(&mut resource, &report(generation.0));
        assert_eq!(reasons(&decision), ["RepairFailed"]);
        assert_eq!(condition(&resource.status, "Ready"), ("False", "RepairFailed"));
        assert_eq!(condition(&resource.status, "Stalled"), ("True", "RepairFailed"));
        assert_eq!(resource.status.handled_rotate.as_deref(), Some("1"));
        for later in [at(3600), at(1 << 25)] {
            let decision = decided(&resource, &AgentReport { time: later, ..report(generation.0) }, later);
            assert!(matches!(decision.step, Step::Idle { .. }), "{:?}", decision.step);
            assert!(decision.events.is_empty(), "{:?}", decision.events);
        }
        // At once, whatever failed before.
        ordered(&mut resource, "2");
    }
}

#[test]
fn a_repair_that_is_asked_for_waits_for_safe_power_and_is_told_as_owed() {
    let mut resource = seen();
    resource.rotate = Some("1".into());
    for (state, by) in [
        (PowerState::OnBattery, BlockedBy::OnBattery),
        (PowerState::ShutdownPending, BlockedBy::ShutdownPending),
        (PowerState::Unknown, BlockedBy::PowerUnknown),
    ] {
        let report = AgentReport { power: PowerReport { state, observed_at: None }, ..host(0) };
        let decision = decided(&resource, &report, now());
        assert!(matches!(decision.step, Step::Blocked { by: told, .. } if told == by), "{:?}", decision.step);
        assert_eq!(decision.status.blocked_by, Some(by));
        assert_eq!(condition(&decision.status, "Ready").0, "False");
        let blocked = decision.status.conditions.iter().find(|condition| condition.type_ == "Blocked").expect("told");
        assert!(blocked.message.contains("is owed"), "{blocked:?}");
    }
    ordered(&mut resource, "1");
}

/// The host's state was on a disk that the restart has emptied, or a snapshot was put back: whoever asked again would restart it for ever.
#[test]
fn a_repair_that_its_host_took_is_never_ordered_again_of_a_host_that_has_forgotten_it() {
    // The process that gave the order, whether or not it has seen the host since; and another one after it.
    for (is_shown, is_told_by_order) in [(true, false), (false, true), (true, true)] {
        let mut resource = seen();
        let generation = ordered(&mut resource, "1");
        let order = is_told_by_order.then_some(TakenOrder { generation, at: now() });
        let look = |resource: &Resource, host: Observed<'_>, ordered| {
            decide(&Inputs {
                resource,
                host,
                rival: None,
                setback: None,
                works_for: None,
                ordered,
                references: &References::default(),
                policy: &Policy::default(),
                now: now(),
            })
        };
        let away = Obstacle::new(BlockedBy::HostUnreachable, "refused");
        let working = repairing(generation.0, RotationState::Requested, None, "");
        let next = look(&resource, if is_shown { Observed::Seen(&working) } else { Observed::Unseen(&away) }, order);
        resource.status = next.status;
        assert_eq!(resource.status.rotation.as_ref().expect("a repair").state, RotationState::Renewing, "durable");
        let forgotten = look(&resource, Observed::Seen(&host(0)), None);
        assert!(matches!(forgotten.step, Step::Idle { .. }), "{:?}", forgotten.step);
        assert_eq!(forgotten.status.history[0].reason.as_deref(), Some("unknown_to_host"));
        assert_eq!(reasons(&forgotten), ["RepairFailed"]);
        resource.status = forgotten.status;
        // The order of an earlier repair says nothing of the next, which the host may not have heard of.
        resource.rotate = Some("2".into());
        resource.status = look(&resource, Observed::Seen(&host(0)), order).status;
        let again = look(&resource, Observed::Seen(&host(0)), order).step;
        assert!(matches!(again, Step::Open { .. }), "{again:?}");
    }
    // Within the same process, at the first look after the order.
    let mut resource = seen();
    let generation = ordered(&mut resource, "1");
    let report = host(0);
    let inputs = Inputs {
        resource: &resource,
        host: Observed::Seen(&report),
        rival: None,
        setback: None,
        works_for: None,
        ordered: Some(TakenOrder { generation, at: now() }),
        references: &References::default(),
        policy: &Policy::default(),
        now: now(),
    };
    let decision = decide(&inputs);
    assert_eq!(decision.status.history[0].reason.as_deref(), Some("unknown_to_host"), "{:?}", decision.step);
    // One that the host may not have heard of is told to it.
    assert!(matches!(decide(&Inputs { ordered: None, ..inputs }).step, Step::Open { .. }));
}

/// The host has refused ours under that number: what became of the other is no answer to it.
#[test]
fn a_repair_whose_number_is_another_orders_is_still_owed_and_ordered_under_the_next() {
    let of_another = |generation: u64, state, mark| {
        let mut report = repairing(generation, state, Some(RepairProof::Command), "repair_failed");
        report.rotation.as_mut().expect("a repair").mark = mark;
        report
    };
    for state in [RotationState::Renewing, RotationState::Committed, RotationState::RolledBack] {
        let mut resource = seen();
        let generation = ordered(&mut resource, "1");
        let mark = order_mark(&resource.status.rotation.as_ref().expect("a repair").request_digest, Some("2"));
        let report = of_another(generation.0, state, mark);
        let decision = ended(&mut resource, &report);
        let entry = &resource.status.history[0];
        assert_eq!((entry.outcome, entry.reason.as_deref()), (Outcome::Lost, Some("another_order")), "{state:?}");
        assert_ne!(resource.status.handled_rotate.as_deref(), Some("1"), "{state:?}");
        assert_ne!(condition(&resource.status, "Ready").0, "True", "{state:?}");
        assert!(!has(&resource.status, "Stalled"), "nobody has to look");
        let event = decision.events.iter().find(|event| event.reason.as_str() == "RotationLost").expect("told");
        assert!(event.message.contains("still owed") && !event.message.contains("the module"), "{event:?}");
        // Once the other is at its end.
        let done = AgentReport {
            time: at(1200),
            ..of_another(generation.0, RotationState::Committed, report.rotation.and_then(|it| it.mark))
        };
        let unasked = Resource { rotate: None, ..resource.clone() };
        let told = decided(&unasked, &done, at(1200)).status;
        assert_eq!((condition(&told, "Repaired"), has(&told, "Stalled")), (("False", "NotAsked"), false), "{state:?}");
        let next = decided(&resource, &done, at(1200)).step;
        assert_eq!(
            next,
            Step::Open { generation: generation.next(), trigger: RotationTrigger::Requested },
            "{state:?}"
        );
    }
    // Ours, and one of a host that keeps no marks.
    for is_marked in [true, false] {
        let mut resource = seen();
        let generation = ordered(&mut resource, "1");
        let mark = mark_of(&resource.status).filter(|_| is_marked);
        ended(&mut resource, &of_another(generation.0, RotationState::Committed, mark));
        assert_eq!(resource.status.history[0].outcome, Outcome::Committed);
        assert_eq!(resource.status.handled_rotate.as_deref(), Some("1"));
    }
    // The host took ours, and has lost what it knew before it took the other.
    let mut resource = seen();
    let generation = ordered(&mut resource, "1");
    resource.status = decided(&resource, &repairing(generation.0, RotationState::Requested, None, ""), now()).status;
    ended(&mut resource, &of_another(generation.0, RotationState::Committed, "another".parse().ok()));
    assert_eq!(resource.status.history[0].reason.as_deref(), Some("unknown_to_host"));
    assert_eq!(resource.status.handled_rotate.as_deref(), Some("1"), "it is never ordered a second time");
}

/// The host restarts: it is not asked again, and nothing else is begun meanwhile.
#[test]
fn a_host_that_is_away_while_it_restarts_is_waited_for() {
    let mut resource = seen();
    let generation = ordered(&mut resource, "1");
    let away = Obstacle::new(BlockedBy::HostUnreachable, "refused");
    let decision = decided_unseen(&resource, &away, at(30));
    assert!(matches!(decision.step, Step::Blocked { by: BlockedBy::HostUnreachable, .. }), "{:?}", decision.step);
    resource.status = decision.status;
    assert_eq!(condition(&resource.status, "Repaired"), ("Unknown", "Requested"));
    let report = repairing(generation.0, RotationState::Committed, Some(RepairProof::Restart), "");
    assert_eq!(reasons(&ended(&mut resource, &report)), ["Repaired"]);
    assert_eq!(condition(&resource.status, "Ready"), ("True", "Repaired"));
}
