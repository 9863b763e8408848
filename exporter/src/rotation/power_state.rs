//! What the UPSes that feed this host say of its power: pure, from a snapshot.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kagiban_crds::host_api::{PowerReport, PowerState};

use crate::shutdown::{HostState, HostStateReport, OriginStatus, Sign};
use crate::snapshot::{Snapshot, SourceState, UpsSeen};

/// Two looks may be lost before a UPS is out of sight.
const LOOKS: u32 = 3;
/// A UPS that is asked every second is not out of sight after three.
const SEEN_AT_LEAST: Duration = Duration::from_mins(1);
/// Three looks of the slowest usual source, PowerChute's web UI. What a UPS said before that says nothing of the power now,
/// however seldom it is asked.
const SEEN_AT_MOST: Duration = Duration::from_mins(15);
/// Another thread may have ended a look after `now` was taken; what lies further ahead was seen before the clock was set
/// back, who knows how long.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_secs(5);

/// None when no UPS is configured and nothing is known against the host's power: somebody else has to say.
pub(super) fn judge(snapshot: &Snapshot, now: Timestamp) -> Option<PowerReport> {
    let seen: Vec<(PowerState, Option<Timestamp>)> =
        snapshot.ups_sources.iter().map(|(id, interval)| of_source(snapshot.sources.get(id), *interval, now)).collect();
    let of_host = snapshot.shutdown.as_ref().and_then(|report| Some((of_shutdown(report)?, Some(report.since()))));
    let (state, since) = seen.iter().copied().chain(of_host).max_by_key(|(state, _)| severity(*state))?;
    // As old as the oldest look that it rests on.
    let observed_at = if seen.is_empty() { since } else { seen.iter().map(|(_, at)| *at).min().flatten() };
    Some(PowerReport { state, observed_at })
}

fn of_source(source: Option<&SourceState>, interval: Duration, now: Timestamp) -> (PowerState, Option<Timestamp>) {
    let Some(pass) = source.and_then(|source| source.pass.as_deref()) else { return (PowerState::Unknown, None) };
    let age = now.duration_since(pass.ended);
    let longest = (interval * LOOKS).clamp(SEEN_AT_LEAST, SEEN_AT_MOST);
    let is_fresh = age >= -CLOCK_SLACK && age <= SignedDuration::try_from(longest).unwrap_or(SignedDuration::ZERO);
    let heard_once = source.is_some_and(|source| source.last_success.is_some());
    let of_ups = |seen: &UpsSeen| match seen.origin_status(now) {
        OriginStatus::Said(_) | OriginStatus::Mute if !is_fresh => PowerState::Stale,
        OriginStatus::Silent(_) | OriginStatus::Gone if heard_once => PowerState::Stale,
        word => of_word(&word),
    };
    // A server that lists no UPS is no UPS on line.
    let worst = pass.upses().iter().filter(|seen| seen.feeds_host).map(of_ups).max_by_key(|state| severity(*state));
    (worst.unwrap_or(PowerState::Unknown), Some(pass.ended))
}

/// What a UPS says now.
fn of_word(word: &OriginStatus) -> PowerState {
    match word.worst() {
        Some(Sign::Normal) if word.gives_mains() => PowerState::Mains,
        // One that gives none: the host has power from elsewhere, and nobody knows whence.
        None | Some(Sign::Normal | Sign::CommsLost | Sign::Cancelled | Sign::Off) => PowerState::Unknown,
        Some(sign) => against_power(sign.into()).unwrap_or(PowerState::Unknown),
    }
}

/// What is known against the host's power, from all that was ever said of it.
fn of_shutdown(report: &HostStateReport) -> Option<PowerState> {
    if report.is_pending() { Some(PowerState::ShutdownPending) } else { against_power(report.state()) }
}

const fn against_power(state: HostState) -> Option<PowerState> {
    match state {
        HostState::LowBattery => Some(PowerState::LowBattery),
        HostState::OnBattery | HostState::Testing => Some(PowerState::OnBattery),
        HostState::CommsLost => Some(PowerState::Stale),
        HostState::Scheduled | HostState::Pending | HostState::InProgress => Some(PowerState::ShutdownPending),
        HostState::None | HostState::Cancelled => None,
    }
}

/// What is said first, when several UPSes say different things.
const fn severity(state: PowerState) -> u8 {
    match state {
        PowerState::Mains => 0,
        PowerState::Stale => 1,
        PowerState::Unknown => 2,
        PowerState::OnBattery => 3,
        PowerState::LowBattery => 4,
        PowerState::ShutdownPending => 5,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::shutdown::{Evidence, Load, Member, Scheduled, ShutdownKind};
    use crate::snapshot::{Backend, Board, Label, Observation, Pass, SourceId, SourceKind, Trouble};
    use crate::ups::{Quantity, Reading, Status, UpsFault};

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);
    const INTERVAL: Duration = Duration::from_secs(10);

    fn id(name: &str) -> SourceId {
        SourceId::own(SourceKind::Ups, Label::new(name))
    }

    /// UPSes `a` and `b` feed the host, `other` does not.
    fn board() -> Board {
        let board = Board::default();
        board.expect(["a", "b", "other"].map(|name| (id(name), &[][..])));
        board.note_ups_sources(BTreeMap::from([(id("a"), INTERVAL), (id("b"), INTERVAL)]));
        board
    }

    fn reading(statuses: &[Status]) -> Reading {
        Reading { statuses: statuses.iter().copied().collect(), ..Reading::default() }
    }

    fn hear(board: &Board, name: &str, ago: i64, outcome: Result<Reading, UpsFault>) {
        let seen = UpsSeen {
            ups: Label::new(name),
            backend: Backend::Nut,
            target: Label::new("127.0.0.1:3493"),
            feeds_host: name != "other",
            contradictions: 0,
            outcome: outcome.map(Box::new).map_err(|reason| Trouble::new(reason, "not heard")),
            refused: BTreeMap::new(),
            strong_snmp: None,
        };
        let ended = NOW - SignedDuration::from_secs(ago);
        let observation = Observation::Upses(vec![seen]);
        board.publish(&id(name), Pass { observation, trouble: None, ended, took: Duration::ZERO });
    }

    fn state(board: &Board) -> Option<PowerState> {
        judge(&board.snapshot(), NOW).map(|report| report.state)
    }

    #[test]
    fn only_when_every_ups_that_feeds_the_host_was_heard_on_line_is_there_mains() {
        let board = board();
        hear(&board, "other", 0, Ok(reading(&[Status::OnBattery])));
        assert_eq!(state(&board), Some(PowerState::Unknown), "nobody was asked yet");
        hear(&board, "a", 5, Ok(reading(&[Status::Online])));
        assert_eq!(state(&board), Some(PowerState::Unknown), "one of two");
        hear(&board, "b", 0, Ok(reading(&[Status::Boost])));
        let report = judge(&board.snapshot(), NOW).expect("UPSes are configured");
        assert_eq!(report.state, PowerState::Mains);
        assert_eq!(report.observed_at, Some(NOW - SignedDuration::from_secs(5)), "as old as the older");
    }

    #[test]
    fn every_other_word_of_one_ups_shuts_the_gate() {
        let mut counting = reading(&[Status::Online]);
        counting.values.put(Quantity::ShutdownTimer, 60.0);
        let undecided = Reading { may_count_down: true, ..reading(&[Status::Online]) };
        for (said, expected) in [
            (reading(&[Status::OnBattery]), PowerState::OnBattery),
            (reading(&[Status::Online, Status::Testing]), PowerState::OnBattery),
            (reading(&[Status::Online, Status::Calibrating]), PowerState::OnBattery),
            (reading(&[Status::Online, Status::LowBattery]), PowerState::LowBattery),
            (reading(&[Status::OnBattery, Status::ForcedShutdown]), PowerState::ShutdownPending),
            (counting, PowerState::ShutdownPending),
            (reading(&[Status::Off]), PowerState::Unknown),
            (reading(&[Status::CommLost]), PowerState::Unknown),
            (reading(&[Status::Bypass]), PowerState::Unknown),
            (undecided, PowerState::Unknown),
            (Reading::default(), PowerState::Unknown),
        ] {
            let board = board();
            hear(&board, "a", 0, Ok(reading(&[Status::Online])));
            hear(&board, "b", 0, Ok(said.clone()));
            assert_eq!(state(&board), Some(expected), "{:?}", said.statuses);
        }
    }

    /// Holds R2: a UPS that says that it is on line and off, to a host that hears it, is on line.
    #[test]
    fn a_ups_that_contradicts_itself_about_being_off_is_on_line() {
        let board = board();
        hear(&board, "a", 0, Ok(reading(&[Status::Online])));
        hear(&board, "b", 0, Ok(reading(&[Status::Online, Status::Off])));
        assert_eq!(state(&board), Some(PowerState::Mains));
    }

    /// Holds R5: the host keeps running on one of two UPSes, and nothing is rotated meanwhile.
    #[test]
    fn feeds_that_the_host_can_do_without_shut_the_gate_too() {
        let board = board();
        let member = |name| Member { source: Label::new(name), ups: Some(Label::new(name)) };
        board.set_loads(vec![Load {
            name: Label::new("server"),
            members: vec![member("a"), member("b")],
            min_healthy: 1,
        }]);
        hear(&board, "a", 1, Ok(reading(&[Status::Online])));
        hear(&board, "b", 1, Ok(reading(&[Status::Online])));
        assert_eq!(state(&board), Some(PowerState::Mains));
        for (said, expected) in [
            (Ok(reading(&[Status::OnBattery])), PowerState::OnBattery),
            (Ok(reading(&[Status::OnBattery, Status::ForcedShutdown])), PowerState::ShutdownPending),
            (Ok(reading(&[Status::Off])), PowerState::Unknown),
            (Err(UpsFault::Connect), PowerState::Stale),
        ] {
            hear(&board, "b", 0, said);
            assert_eq!(board.snapshot().shutdown.map(|report| report.state()), Some(HostState::None), "{expected:?}");
            assert_eq!(state(&board), Some(expected));
        }
    }

    #[test]
    fn a_ups_that_fell_silent_or_was_seen_too_long_ago_is_stale_and_on_battery_if_it_last_was() {
        let heard = |ago, then: Option<UpsFault>, first: Status| {
            let board = board();
            hear(&board, "a", 0, Ok(reading(&[Status::Online])));
            hear(&board, "b", ago, Ok(reading(&[first])));
            if let Some(reason) = then {
                hear(&board, "b", 0, Err(reason));
            }
            state(&board)
        };
        assert_eq!(heard(59, None, Status::Online), Some(PowerState::Mains));
        assert_eq!(heard(61, None, Status::Online), Some(PowerState::Stale));
        assert_eq!(heard(-3600, None, Status::Online), Some(PowerState::Stale), "the clock was set back");
        assert_eq!(heard(1, Some(UpsFault::Timeout), Status::Online), Some(PowerState::Stale));
        assert_eq!(heard(1, Some(UpsFault::DataStale), Status::OnBattery), Some(PowerState::OnBattery));
        let board = board();
        hear(&board, "a", 0, Err(UpsFault::Connect));
        assert_eq!(state(&board), Some(PowerState::Unknown), "never heard");
    }

    #[test]
    fn what_has_begun_shuts_the_gate_though_every_ups_is_on_line_again() {
        let board = board();
        hear(&board, "b", 1, Ok(reading(&[Status::Online])));
        hear(&board, "a", 1, Ok(reading(&[Status::OnBattery, Status::ForcedShutdown])));
        hear(&board, "a", 0, Ok(reading(&[Status::Online])));
        assert_eq!(state(&board), Some(PowerState::ShutdownPending));
    }

    #[test]
    fn without_a_ups_only_what_speaks_against_the_power_is_judged() {
        let (board, system) = (Board::default(), SourceId::own(SourceKind::Host, Label::new("system")));
        board.expect([(system.clone(), &[][..])]);
        assert_eq!(state(&board), None);
        for (dry_run, expected) in [(true, None), (false, Some(PowerState::ShutdownPending))] {
            let at = NOW + SignedDuration::from_hours(1);
            let scheduled = Some(Scheduled { kind: ShutdownKind::Reboot, at, dry_run });
            let evidence = Evidence { scheduled, ..Evidence::new(Sign::Scheduled) };
            let observation = Observation::Host(vec![evidence]);
            board.publish(&system, Pass { observation, trouble: None, ended: NOW, took: Duration::ZERO });
            assert_eq!(state(&board), expected, "dry run {dry_run}");
        }
    }
}
