//! What a log says of the agent's link to its UPS: pure.

use jiff::Timestamp;

use super::event::{LogEvent, LogEventKind};
use super::fold::SKEW;

/// Whether the agent hears its UPS, as it has written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sources) enum UpsLink {
    /// `from_its_start` says that it wrote so right after it began to monitor, with no loss between: then it will again when it is
    /// started again.
    Heard {
        from_its_start: bool,
    },
    Lost,
    /// The log does not tell: it has nothing of the link since the agent began to monitor, or not even that.
    Untold,
}

/// By the events from `from` on, in the order of writing. An agent that begins to monitor tells the link anew; what it wrote before it
/// did says nothing of now.
pub(super) fn link(events: &[LogEvent], from: Timestamp, now: Timestamp) -> UpsLink {
    let latest = now.checked_add(SKEW).unwrap_or(now);
    let first = events.iter().position(|event| (from..=latest).contains(&event.at)).unwrap_or(events.len());
    let (mut link, mut monitors) = (UpsLink::Untold, false);
    for event in &events[first..] {
        match (event.kind, event.active) {
            (LogEventKind::MonitoringStarted, true) => (link, monitors) = (UpsLink::Untold, true),
            (LogEventKind::MonitoringStopped, true) => (link, monitors) = (UpsLink::Untold, false),
            (LogEventKind::CommunicationEstablished, true) | (LogEventKind::CommunicationLost, false) => {
                let from_its_start = match link {
                    UpsLink::Heard { from_its_start } => from_its_start,
                    UpsLink::Untold => monitors,
                    UpsLink::Lost => false,
                };
                link = UpsLink::Heard { from_its_start };
            }
            (LogEventKind::CommunicationLost, true) => link = UpsLink::Lost,
            (
                LogEventKind::OnBattery
                | LogEventKind::NoLongerOnBattery
                | LogEventKind::LowBattery
                | LogEventKind::LowRuntime
                | LogEventKind::TimeOnBattery
                | LogEventKind::ShutdownStarted
                | LogEventKind::ShutdownReported
                | LogEventKind::AdministrativeShutdown
                | LogEventKind::CommunicationEstablished
                | LogEventKind::MonitoringStopped
                | LogEventKind::MonitoringStarted,
                _,
            ) => {}
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: i64 = 1_800_000_000;

    fn told(events: &[(i64, LogEventKind, bool)], from: i64) -> UpsLink {
        let at = |second| Timestamp::from_second(BOOT + second).expect("a time");
        let events: Vec<_> =
            events.iter().map(|&(second, kind, active)| LogEvent { at: at(second), kind, active }).collect();
        link(&events, at(from), at(1000))
    }

    #[test]
    fn an_agent_hears_its_ups_when_it_has_written_so_since_it_began_to_monitor() {
        use LogEventKind::{
            CommunicationEstablished, CommunicationLost, MonitoringStarted, MonitoringStopped, OnBattery,
        };
        let started = (1, MonitoringStarted, true);
        let heard = (2, CommunicationEstablished, true);
        let lost = (3, CommunicationLost, true);
        let [from_start, again] = [true, false].map(|from_its_start| UpsLink::Heard { from_its_start });
        for (events, expected) in [
            (&[][..], UpsLink::Untold),
            (&[started], UpsLink::Untold),
            (&[started, heard], from_start),
            (&[started, heard, (5, OnBattery, true)], from_start),
            (&[heard], again),
            (&[started, heard, lost], UpsLink::Lost),
            (&[started, lost, (4, CommunicationEstablished, true)], again),
            (&[started, lost, (4, CommunicationLost, false)], again),
            (&[started, heard, (4, MonitoringStopped, true)], UpsLink::Untold),
            (&[started, heard, (4, MonitoringStarted, true)], UpsLink::Untold),
        ] {
            assert_eq!(told(events, 0), expected, "{events:?}");
        }
    }

    /// What was written before the restart proves nothing of the agent after it.
    #[test]
    fn what_was_written_before_the_restart_does_not_count() {
        use LogEventKind::{CommunicationEstablished, MonitoringStarted};
        let before = [(1, MonitoringStarted, true), (2, CommunicationEstablished, true)];
        let after = [(11, MonitoringStarted, true), (12, CommunicationEstablished, true)];
        assert_eq!(told(&before, 10), UpsLink::Untold);
        assert_eq!(told(&[before, after].concat(), 10), UpsLink::Heard { from_its_start: true });
        assert_eq!(told(&[(2000, CommunicationEstablished, true)], 10), UpsLink::Untold, "of another time");
    }
}
