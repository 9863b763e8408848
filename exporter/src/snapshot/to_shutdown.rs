//! What the shutdown machine hears of a pass.

use jiff::Timestamp;
use tracing::warn;

use super::{Observation, Pass, SourceId, SourceKind, UpsSeen};
use crate::shutdown::{Input, Machine, Origin, OriginStatus};
use crate::ups::Silence;

/// Tells the machine what a pass of this host's own source brought. A UPS that does not feed this host has no say.
pub(super) fn feed(machine: &mut Machine, id: &SourceId, pass: &Pass) {
    let now = pass.ended;
    let said = words(id, pass, now);
    let ours = |origin: &&Origin| speaks_for(id, origin);
    let unmentioned: Vec<Origin> =
        machine.origins().filter(ours).filter(|origin| said.iter().all(|(o, _)| o != *origin)).cloned().collect();
    let feeds_others = |origin: &Origin| {
        pass.upses().iter().any(|seen| !seen.feeds_host && *origin == of_ups(id, seen)) && unmentioned.contains(origin)
    };
    if unmentioned.iter().any(feeds_others) {
        machine.forget(feeds_others, now);
    }
    let left = unmentioned.iter().filter(|origin| !feeds_others(origin)).cloned();
    let left = left.map(|origin| {
        let status = match &pass.observation {
            Observation::Nothing => OriginStatus::Silent(Silence::Unreachable),
            Observation::Files(_)
            | Observation::Endpoint(_)
            | Observation::Health(_)
            | Observation::Function(_)
            | Observation::Upses(_)
            | Observation::Host(_)
            | Observation::Reboots(_)
            | Observation::Release(_)
            | Observation::Alerts(_)
            | Observation::Clients(_)
            | Observation::ClientLogs(_)
            | Observation::Inventory(_) => OriginStatus::Gone,
        };
        (origin, status)
    });
    for (origin, status) in left.collect::<Vec<_>>().into_iter().chain(said) {
        let is_news = status == OriginStatus::Gone && !machine.is_gone(&origin);
        machine.step(Input { origin: origin.clone(), status, now });
        if is_news && machine.is_gone(&origin) {
            warn!(
                ups = %origin,
                "a UPS is gone that was last heard in an outage, or that a load needs: what it said counts until it is heard again or \
                 the configuration is loaded again"
            );
        }
    }
    machine.pass_time(now);
}

/// Whether what this origin says came through this source.
pub(super) fn speaks_for(id: &SourceId, origin: &Origin) -> bool {
    match origin {
        Origin::Host { source } => id.kind == SourceKind::Host && *source == id.name,
        Origin::Ups { source, .. } => id.kind == SourceKind::Ups && *source == id.name,
    }
}

fn words(id: &SourceId, pass: &Pass, now: Timestamp) -> Vec<(Origin, OriginStatus)> {
    match &pass.observation {
        Observation::Host(evidence) => {
            // Evidence beside a trouble is what a second witness says.
            let heard = pass.trouble.is_none() || !evidence.is_empty();
            let status =
                if heard { OriginStatus::Said(evidence.clone()) } else { OriginStatus::Silent(Silence::Unreachable) };
            vec![(Origin::Host { source: id.name.clone() }, status)]
        }
        Observation::Upses(upses) => {
            let feeding = upses.iter().filter(|seen| seen.feeds_host);
            feeding.map(|seen| (of_ups(id, seen), seen.origin_status(now))).collect()
        }
        // That a reboot is pending says nothing of when it comes.
        Observation::Nothing
        | Observation::Files(_)
        | Observation::Endpoint(_)
        | Observation::Health(_)
        | Observation::Function(_)
        | Observation::Reboots(_)
        | Observation::Release(_)
        | Observation::Alerts(_)
        | Observation::Clients(_)
        | Observation::ClientLogs(_)
        | Observation::Inventory(_) => Vec::new(),
    }
}

fn of_ups(id: &SourceId, seen: &UpsSeen) -> Origin {
    Origin::Ups { source: id.name.clone(), ups: seen.ups.clone() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::super::{Backend, Board, Label, Snapshot, Trouble};
    use super::*;
    use crate::shutdown::{Evidence, HostState, Sign};
    use crate::ups::{Reading, Status, UpsFault};

    fn id(kind: SourceKind, name: &str) -> SourceId {
        SourceId::own(kind, Label::new(name))
    }

    fn pass(observation: Observation) -> Pass {
        let ended = Timestamp::constant(1_750_000_000, 0);
        Pass { observation, trouble: None, ended, took: Duration::ZERO }
    }

    fn ups(feeds_host: bool, outcome: Result<&[Status], UpsFault>) -> UpsSeen {
        let reading = |statuses: &[Status]| {
            Box::new(Reading { statuses: statuses.iter().copied().collect(), ..Reading::default() })
        };
        UpsSeen {
            ups: Label::new("smart1500"),
            backend: Backend::Nut,
            target: Label::new("127.0.0.1:3493"),
            feeds_host,
            contradictions: 0,
            outcome: outcome.map(reading).map_err(|reason| Trouble::new(reason, "not heard")),
            refused: BTreeMap::new(),
            strong_snmp: None,
        }
    }

    fn state(snapshot: &Snapshot) -> Option<HostState> {
        snapshot.shutdown.as_ref().map(crate::shutdown::HostStateReport::state)
    }

    const BEGUN: &[Status] = &[Status::OnBattery, Status::ForcedShutdown];

    #[test]
    fn a_ups_that_feeds_another_host_says_nothing_of_this_one_from_the_moment_that_is_known() {
        let (board, rack) = (Board::default(), id(SourceKind::Ups, "rack-a"));
        board.expect([(rack.clone(), &[][..])]);
        board.publish(&rack, pass(Observation::Upses(vec![ups(false, Ok(BEGUN))])));
        assert_eq!(state(&board.snapshot()), None);
        board.publish(&rack, pass(Observation::Upses(vec![ups(true, Ok(&[Status::OnBattery]))])));
        assert_eq!(state(&board.snapshot()), Some(HostState::OnBattery));
        board.publish(&rack, pass(Observation::Upses(vec![ups(false, Ok(&[Status::OnBattery]))])));
        assert_eq!(state(&board.snapshot()), None);
    }

    /// A UPS of another host has the name of one of ours, and whatever it says or falls silent of is not about us.
    #[test]
    fn a_ups_of_an_outside_host_says_nothing_of_this_one_whatever_it_is_called() {
        let (board, rack) = (Board::default(), id(SourceKind::Ups, "rack-a"));
        let other = SourceId { host: Some(Label::new("win-01")), ..rack.clone() };
        board.expect([(rack.clone(), &[][..]), (other.clone(), &[][..])]);
        let kept = board.kept();
        let said = [
            Observation::Upses(vec![ups(false, Ok(BEGUN))]),
            // As no plan makes it.
            Observation::Upses(vec![ups(true, Ok(BEGUN))]),
            Observation::Upses(vec![ups(true, Err(UpsFault::DataStale))]),
            Observation::Upses(Vec::new()),
            Observation::Nothing,
        ];
        for observation in said.clone() {
            board.publish(&other, pass(observation));
            assert_eq!(state(&board.snapshot()), None);
        }
        board.publish(&rack, pass(Observation::Upses(vec![ups(true, Ok(&[Status::Online]))])));
        for observation in said {
            board.publish(&other, pass(observation));
            assert_eq!(state(&board.snapshot()), Some(HostState::None));
        }
        assert!(kept.borrow().latch.is_none());
        board.publish(&rack, pass(Observation::Upses(vec![ups(true, Ok(BEGUN))])));
        board.publish(&other, pass(Observation::Upses(vec![ups(true, Ok(&[Status::Online]))])));
        assert_eq!(state(&board.snapshot()), Some(HostState::InProgress), "nor does it call off what was begun");
        board.expect([(other, &[][..])]);
        board.forget_gone();
        assert_eq!(state(&board.snapshot()), Some(HostState::InProgress));
    }

    #[test]
    fn who_answered_and_lost_the_ups_is_told_from_who_did_not_answer() {
        for (fault, told) in [(UpsFault::DataStale, Some(HostState::CommsLost)), (UpsFault::Connect, None)] {
            let (board, rack) = (Board::default(), id(SourceKind::Ups, "rack-a"));
            board.expect([(rack.clone(), &[][..])]);
            board.publish(&rack, pass(Observation::Upses(vec![ups(true, Err(fault))])));
            assert_eq!(state(&board.snapshot()), told, "{fault:?}");
            board.publish(&rack, pass(Observation::Upses(vec![ups(true, Ok(&[Status::Online]))])));
            assert_eq!(state(&board.snapshot()), Some(HostState::None));
            board.publish(&rack, pass(Observation::Upses(vec![ups(true, Err(fault))])));
            assert_eq!(state(&board.snapshot()), Some(HostState::CommsLost), "{fault:?}");
        }
    }

    #[test]
    fn a_ups_that_its_server_no_longer_lists_is_forgotten_unless_it_was_last_seen_in_an_outage() {
        for (last, after) in [(Status::Online, None), (Status::OnBattery, Some(HostState::OnBattery))] {
            let (board, rack) = (Board::default(), id(SourceKind::Ups, "rack-a"));
            board.expect([(rack.clone(), &[][..])]);
            board.publish(&rack, pass(Observation::Upses(vec![ups(true, Ok(&[last]))])));
            board.publish(&rack, pass(Observation::Upses(Vec::new())));
            let snapshot = board.snapshot();
            assert_eq!(state(&snapshot), after);
            let cause = snapshot.shutdown.as_ref().and_then(|report| report.cause().map(ToString::to_string));
            assert_eq!(cause.as_deref(), after.map(|_| "rack-a/smart1500 is gone, and said so last"));
            board.publish(&rack, pass(Observation::Nothing));
            board.forget_gone();
            assert_eq!(state(&board.snapshot()), None, "the configuration was loaded again");
        }
    }

    #[test]
    fn what_has_begun_outlives_the_configuration_of_who_said_it() {
        let (board, rack, system) = (Board::default(), id(SourceKind::Ups, "rack-a"), id(SourceKind::Host, "system"));
        board.expect([(rack.clone(), &[][..]), (system.clone(), &[][..])]);
        board.publish(&system, pass(Observation::Host(vec![Evidence::new(Sign::OnBattery)])));
        assert_eq!(state(&board.snapshot()), Some(HostState::OnBattery));
        board.expect([(rack.clone(), &[][..])]);
        assert_eq!(state(&board.snapshot()), None, "what a source said goes with it");
        let kept = board.kept();
        board.publish(&rack, pass(Observation::Upses(vec![ups(true, Ok(BEGUN))])));
        assert!(kept.borrow().latch.is_some());
        board.expect([]);
        assert_eq!(state(&board.snapshot()), Some(HostState::InProgress));
        board.note_ups_sources(BTreeMap::new());
    }
}
