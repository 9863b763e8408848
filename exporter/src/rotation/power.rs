//! The power gate: whether the service may be stopped now. Stopping a UPS agent leaves its host unguarded.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::host_api::{PlannedShutdown, PowerReport, PowerState, ShutdownReport};

use crate::config::PowerConfig;
use crate::platform;
use crate::shutdown::{Report, State, is_on_line};
use crate::snapshot::{Backend, Board, Snapshot, SourceKind, SourceState, UpsSeen};

use super::machine::Cause;

/// An outage is told within seconds; a UPS that was heard longer ago than this may have gone onto its battery since.
const FRESH: Duration = Duration::from_mins(2);
/// The web UI of PowerChute is looked at every five minutes, because it takes the agent's only login.
const FRESH_ON_THE_WEB: Duration = Duration::from_mins(10);

/// What is known of the host's power.
#[derive(Clone, Debug)]
pub struct PowerGate {
    assumes_mains: bool,
    scheduled_shutdown_file: PathBuf,
    /// What the UPSes say, and what follows for the host; where it is absent nobody is asked.
    board: Option<Arc<Board>>,
}

impl PowerGate {
    /// Without anybody to ask: what is assumed holds, and the scheduled file.
    pub fn new(config: &PowerConfig) -> Self {
        let file = config.scheduled_shutdown_file.clone();
        Self {
            assumes_mains: config.assumes_mains(),
            scheduled_shutdown_file: file.unwrap_or_else(platform::scheduled_shutdown_file),
            board: None,
        }
    }

    /// Asks what was last seen.
    #[must_use]
    pub fn watching(self, board: Arc<Board>) -> Self {
        Self { board: Some(board), ..self }
    }

    pub fn report(&self) -> PowerReport {
        let now = Timestamp::now();
        // A file that cannot be looked for is treated as one that is there.
        if self.scheduled_shutdown_file.try_exists().unwrap_or(true) {
            return seen(PowerState::ShutdownPending, now);
        }
        let snapshot = self.board.as_ref().map(|board| board.snapshot()).unwrap_or_default();
        judge(&snapshot, self.assumes_mains, now)
    }

    /// Whether the host goes down; absent while nobody has said anything.
    pub fn shutdown(&self) -> Option<ShutdownReport> {
        let snapshot = self.board.as_ref()?.snapshot();
        snapshot.shutdown.as_deref().map(told)
    }

    /// # Errors
    /// Every state but mains.
    pub fn check(&self) -> Result<(), Cause> {
        let message = match self.report().state {
            PowerState::Mains => return Ok(()),
            PowerState::OnBattery => "the host is on battery, or its UPS tests one; wait for mains",
            PowerState::LowBattery => "the battery is low; wait until it is charged",
            PowerState::ShutdownPending => {
                "a shutdown is scheduled or has begun; cancel it, or wait until it is over and the host has booted"
            }
            PowerState::Unknown => {
                "the power state is unknown; see that every UPS under `ups` answers, or, if none can be asked and somebody \
                 vouches for the power, set `power: {assume: mains}` in this host's configuration"
            }
            PowerState::Stale => "a UPS has not been heard of for too long; restore its connection",
        };
        Err(Cause::new("power_unsafe", message))
    }
}

/// The power state by all that was seen. Whatever is said of a shutdown or a battery counts, whoever says it; that the power
/// is there is believed of the UPSes that feed the host alone, all of them heard just now, or of the one who vouches for it.
fn judge(snapshot: &Snapshot, assumes_mains: bool, now: Timestamp) -> PowerReport {
    if let Some(state) = snapshot.shutdown.as_deref().and_then(unsafe_by) {
        return seen(state, now);
    }
    let feeding: Vec<_> = snapshot.sources.iter().filter(|(id, _)| id.kind == SourceKind::Ups).collect();
    let feeding: Vec<PowerReport> = feeding.into_iter().flat_map(|(_, source)| of_source(source, now)).collect();
    if feeding.is_empty() {
        return if assumes_mains {
            seen(PowerState::Mains, now)
        } else {
            PowerReport { state: PowerState::Unknown, observed_at: None }
        };
    }
    // One that is not well decides; of those that are, the one that was heard longest ago says how old this is.
    let unwell = feeding.iter().find(|report| report.state != PowerState::Mains);
    let oldest = feeding.iter().min_by_key(|report| report.observed_at);
    unwell.or(oldest).cloned().unwrap_or(PowerReport { state: PowerState::Unknown, observed_at: None })
}

/// What the host's state forbids.
fn unsafe_by(report: &Report) -> Option<PowerState> {
    match report.state() {
        State::PoweredOff | State::InProgress | State::Pending | State::Scheduled => Some(PowerState::ShutdownPending),
        _ if report.is_pending() => Some(PowerState::ShutdownPending),
        State::LowBattery => Some(PowerState::LowBattery),
        // A test may find that the battery does not hold.
        State::OnBattery | State::Testing => Some(PowerState::OnBattery),
        State::CommsLost => Some(PowerState::Stale),
        State::Cancelled | State::None => None,
    }
}

/// Of every UPS of a source that feeds the host. One that was not looked at yet is not known.
fn of_source(source: &SourceState, now: Timestamp) -> Vec<PowerReport> {
    let Some(pass) = source.pass.as_deref() else {
        return vec![PowerReport { state: PowerState::Unknown, observed_at: None }];
    };
    let heard = pass.upses().iter().filter(|seen| seen.feeds_host);
    let reports: Vec<_> = heard.map(|ups| of_ups(ups, source.last_success, pass.ended, now)).collect();
    // A look that broke off as a whole says nothing of the UPSes it was for.
    if pass.trouble.is_some() && reports.is_empty() {
        return vec![stale_or_unknown(source.last_success)];
    }
    reports
}

fn of_ups(ups: &UpsSeen, last_success: Option<Timestamp>, heard: Timestamp, now: Timestamp) -> PowerReport {
    let longest = match ups.backend {
        Backend::Nut | Backend::Apcupsd | Backend::Snmp => FRESH,
        Backend::PowerchuteWeb => FRESH_ON_THE_WEB,
    };
    // A clock that was set back makes everything old; it is looked at again soon.
    let is_fresh = Duration::try_from(now.duration_since(heard)).is_ok_and(|age| age <= longest);
    match &ups.outcome {
        Ok(_) if !is_fresh => seen(PowerState::Stale, heard),
        Ok(reading) if is_on_line(reading) => seen(PowerState::Mains, heard),
        Ok(_) => PowerReport { state: PowerState::Unknown, observed_at: None },
        Err(_) => stale_or_unknown(last_success),
    }
}

fn stale_or_unknown(last_success: Option<Timestamp>) -> PowerReport {
    let state = if last_success.is_some() { PowerState::Stale } else { PowerState::Unknown };
    PowerReport { state, observed_at: last_success }
}

const fn seen(state: PowerState, at: Timestamp) -> PowerReport {
    PowerReport { state, observed_at: Some(at) }
}

/// On the wire.
fn told(report: &Report) -> ShutdownReport {
    let planned = |plan: crate::shutdown::Scheduled| PlannedShutdown {
        kind: plan.kind.as_str().to_owned(),
        at: plan.at,
        dry_run: plan.dry_run,
    };
    ShutdownReport {
        state: report.state().as_str().to_owned(),
        since: report.since(),
        pending: report.is_pending(),
        triggers: report.triggers().iter().map(|trigger| trigger.as_str().to_owned()).collect(),
        expected_at: report.expected(),
        scheduled: report.scheduled().map(planned).collect(),
        cause: report.cause().map(ToString::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Label, Observation, Pass, SourceId, Trouble};
    use crate::ups::{Reading, Status};

    #[test]
    fn only_mains_that_somebody_vouches_for_and_no_scheduled_shutdown_pass() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("scheduled");
        let gate = |assumes_mains| PowerGate { assumes_mains, scheduled_shutdown_file: file.clone(), board: None };
        assert!(gate(true).check().is_ok());
        assert!(gate(false).check().is_err_and(|cause| cause.message.contains("assume: mains")));
        std::fs::write(&file, b"USEC=1\n").expect("write");
        assert_eq!(gate(true).report().state, PowerState::ShutdownPending);
        assert!(gate(true).check().is_err());
    }

    const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

    fn source(name: &str) -> SourceId {
        SourceId { kind: SourceKind::Ups, name: Label::new(name) }
    }

    fn heard(statuses: &[Status]) -> Result<Box<Reading>, Trouble> {
        Ok(Box::new(Reading { statuses: statuses.iter().copied().collect(), ..Reading::default() }))
    }

    /// A host whose UPSes, each of a source of its own, were looked at this long ago.
    fn host(age: i64, upses: Vec<(bool, Result<Box<Reading>, Trouble>)>) -> Snapshot {
        let board = Board::default();
        let names: Vec<_> = (0..upses.len()).map(|number| source(&number.to_string())).collect();
        board.expect(names.iter().map(|id| (id.clone(), &[][..])));
        for (id, (feeds_host, outcome)) in names.iter().zip(upses) {
            let (ups, target) = (id.name.clone(), Label::new("127.0.0.1:1"));
            let seen = UpsSeen { ups, backend: Backend::Nut, target, feeds_host, outcome };
            let ended = NOW - jiff::SignedDuration::from_secs(age);
            let observation = Observation::Upses(vec![seen]);
            board.publish(id, Pass { observation, trouble: None, ended, took: Duration::ZERO });
        }
        board.snapshot()
    }

    #[test]
    fn mains_is_what_every_ups_that_feeds_the_host_says_now() {
        let on_line = || (true, heard(&[Status::Online, Status::Charging]));
        let lost = || Err(Trouble::new("timeout", "no answer"));
        let table = [
            (0, vec![on_line(), on_line()], PowerState::Mains),
            (0, vec![on_line(), (true, heard(&[Status::OnBattery]))], PowerState::OnBattery),
            (0, vec![on_line(), (true, heard(&[Status::OnBattery, Status::LowBattery]))], PowerState::LowBattery),
            (
                0,
                vec![on_line(), (true, heard(&[Status::ForcedShutdown, Status::OnBattery]))],
                PowerState::ShutdownPending,
            ),
            (0, vec![(true, heard(&[Status::Online, Status::Testing]))], PowerState::OnBattery),
            (0, vec![(true, heard(&[Status::Bypass]))], PowerState::Unknown),
            (0, vec![(true, heard(&[]))], PowerState::Unknown),
            (0, vec![(true, lost())], PowerState::Unknown),
            (600, vec![on_line()], PowerState::Stale),
            // One that feeds another host says nothing of this one.
            (0, vec![on_line(), (false, heard(&[Status::OnBattery]))], PowerState::Mains),
        ];
        for (age, upses, state) in table {
            let shown = format!("{upses:?}, {age} s ago");
            assert_eq!(judge(&host(age, upses), false, NOW).state, state, "{shown}");
        }
    }

    #[test]
    fn what_is_assumed_holds_only_where_no_ups_is_asked() {
        let state = |snapshot: &Snapshot, assumes_mains| judge(snapshot, assumes_mains, NOW).state;
        assert_eq!(state(&Snapshot::default(), true), PowerState::Mains);
        assert_eq!(state(&Snapshot::default(), false), PowerState::Unknown);
        let silent = host(0, vec![(true, Err(Trouble::new("connect", "refused")))]);
        assert_eq!(state(&silent, true), PowerState::Unknown);
        let board = Board::default();
        board.expect([(source("rack-a"), &[][..])]);
        assert_eq!(state(&board.snapshot(), true), PowerState::Unknown, "one that was not looked at yet");
    }

    #[test]
    fn a_ups_that_was_heard_and_is_silent_now_is_stale() {
        let board = Board::default();
        board.expect([(source("0"), &[][..])]);
        for outcome in [heard(&[Status::Online]), Err(Trouble::new("timeout", "no answer"))] {
            let (ups, target) = (Label::new("0"), Label::new("127.0.0.1:1"));
            let seen = UpsSeen { ups, backend: Backend::Snmp, target, feeds_host: true, outcome };
            let observation = Observation::Upses(vec![seen]);
            board.publish(&source("0"), Pass { observation, trouble: None, ended: NOW, took: Duration::ZERO });
        }
        assert_eq!(judge(&board.snapshot(), true, NOW).state, PowerState::Stale);
    }
}
