//! Whether the agent does its work, as conditions and events tell it.

use kagiban_crds::host_api::{FunctionReport, FunctionSighting, FunctionState};

use super::*;
use crate::decide::EventKind;

fn told(state: FunctionState, worked_at: Option<Timestamp>) -> Option<FunctionReport> {
    let failure = || Failure { reason: "status".into(), message: "/healthz was answered with 503".into() };
    let failure = (state != FunctionState::Works).then(failure);
    Some(FunctionReport { latest: FunctionSighting { state, at: now(), failure }, worked_at })
}

fn has(status: &ManagedAgentCertificateStatus) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == "Functional")
}

#[test]
fn an_agent_that_nobody_asks_has_no_such_condition_and_one_that_does_not_work_is_ready_all_the_same() {
    let (mut resource, report) = settled();
    assert!(!has(&decided(&resource, &report, now()).status));
    for (state, expected) in [
        (FunctionState::Works, ("True", "Functional")),
        (FunctionState::DoesNotWork, ("False", "NotFunctional")),
        (FunctionState::Unknown, ("Unknown", "LastSeenNotFunctional")),
    ] {
        let report = AgentReport { function: told(state, None), ..report.clone() };
        let status = decided(&resource, &report, now()).status;
        assert_eq!(condition(&status, "Functional"), expected);
        assert_eq!(condition(&status, "Ready").0, "True");
        resource.status = status;
    }
    assert!(!has(&decided(&resource, &report, now()).status), "the host asks no more");
}

/// What changes at every look would be written at every look.
#[test]
fn an_agent_that_works_is_told_with_the_same_words_however_often_it_is_seen_to() {
    let (resource, report) = settled();
    let message = |worked_at| {
        let report = AgentReport { function: told(FunctionState::Works, Some(worked_at)), ..report.clone() };
        let status = decided(&resource, &report, now()).status;
        status.conditions.into_iter().find(|condition| condition.type_ == "Functional").map(|found| found.message)
    };
    assert_eq!(message(now()), message("2026-03-01T11:00:00Z".parse().expect("a time")));
}

#[test]
fn an_agent_that_stops_working_and_works_again_is_an_event_each_time_and_none_between() {
    let (mut resource, report) = settled();
    let last = "2026-03-01T11:00:00Z".parse().ok();
    for (state, expected) in [
        (FunctionState::Works, None),
        (FunctionState::DoesNotWork, Some((EventKind::Warning, Reason::NotFunctional))),
        (FunctionState::DoesNotWork, None),
        (FunctionState::Works, Some((EventKind::Normal, Reason::Functional))),
        // What nobody could ask changes nothing of what was told.
        (FunctionState::Unknown, None),
        (FunctionState::Works, None),
        (FunctionState::Unknown, None),
        (FunctionState::DoesNotWork, Some((EventKind::Warning, Reason::NotFunctional))),
        (FunctionState::Unknown, None),
        (FunctionState::Unknown, None),
        (FunctionState::DoesNotWork, None),
        (FunctionState::Unknown, None),
        (FunctionState::Works, Some((EventKind::Normal, Reason::Functional))),
    ] {
        let report = AgentReport { function: told(state, last), ..report.clone() };
        let decision = decided(&resource, &report, now());
        let events: Vec<_> = decision.events.iter().map(|event| (event.kind, event.reason)).collect();
        assert_eq!(events, expected.into_iter().collect::<Vec<_>>(), "{state:?}");
        if state == FunctionState::DoesNotWork {
            let functional = decision.status.conditions.iter().find(|it| it.type_ == "Functional").expect("it is told");
            assert!(functional.message.contains("503") && functional.message.contains("2026-03-01T11:00:00Z"));
        }
        resource.status = decision.status;
    }
}

#[test]
fn of_a_host_that_is_not_seen_it_is_not_known_whether_its_agent_works() {
    let (mut resource, report) = settled();
    let gone = Obstacle::new(BlockedBy::HostUnreachable, "it does not answer");
    assert!(!has(&decided_unseen(&resource, &gone, now()).status), "it was never told");
    let report = AgentReport { function: told(FunctionState::Works, None), ..report };
    resource.status = decided(&resource, &report, now()).status;
    let unseen = decided_unseen(&resource, &gone, now()).status;
    assert_eq!(condition(&unseen, "Functional"), ("Unknown", "HostUnreachable"));
}

/// Its host may be unreachable every other minute.
#[test]
fn an_agent_that_does_not_work_is_told_once_however_often_its_host_is_not_seen_meanwhile() {
    let (mut resource, report) = settled();
    let report = AgentReport { function: told(FunctionState::DoesNotWork, None), ..report };
    let gone = Obstacle::new(BlockedBy::HostUnreachable, "it does not answer");
    let mut events = Vec::new();
    for _ in 0..3 {
        let seen = decided(&resource, &report, now());
        events.extend(seen.events.iter().filter(|event| event.reason == Reason::NotFunctional).cloned());
        resource.status = seen.status;
        resource.status = decided_unseen(&resource, &gone, now()).status;
        assert_eq!(condition(&resource.status, "Functional"), ("Unknown", "LastSeenNotFunctional"));
    }
    assert_eq!(events.len(), 1, "{events:?}");
}
