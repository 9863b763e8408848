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

/// Which events count, all of them being of this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sources) enum LinkSince {
    Boot,
    /// The agent was restarted then: what it wrote before says nothing of now.
    Restart(Timestamp),
    /// Something was done then that may have left the agent as it is: without a word of a restart, what it wrote before stands.
    Perhaps(Timestamp),
}

/// By the events in the order of writing. An agent that begins to monitor tells the link anew; what it wrote before it did says nothing
/// of now.
pub(super) fn link(events: &[LogEvent], booted_at: Timestamp, since: LinkSince, now: Timestamp) -> UpsLink {
    let latest = now.checked_add(SKEW).unwrap_or(now);
    let from = |from: Timestamp| {
        let from = from.max(booted_at);
        let first = events.iter().position(|event| (from..=latest).contains(&event.at)).unwrap_or(events.len());
        &events[first..]
    };
    let tells_of_restart = |event: &LogEvent| {
        event.active && matches!(event.kind, LogEventKind::MonitoringStarted | LogEventKind::MonitoringStopped)
    };
    told(match since {
        LinkSince::Restart(at) => from(at),
        LinkSince::Perhaps(at) if from(at).iter().any(tells_of_restart) => from(at),
        LinkSince::Boot | LinkSince::Perhaps(_) => from(booted_at),
    })
}

fn told(events: &[LogEvent]) -> UpsLink {
    let (mut link, mut monitors) = (UpsLink::Untold, false);
    for event in events {
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

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(BOOT + second).expect("a time")
    }

    fn told(events: &[(i64, LogEventKind, bool)], since: LinkSince) -> UpsLink {
        let events: Vec<_> =
            events.iter().map(|&(second, kind, active)| LogEvent { at: at(second), kind, active }).collect();
        link(&events, at(0), since, at(1000))
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
            assert_eq!(told(events, LinkSince::Boot), expected, "{events:?}");
        }
    }

    /// What was written before the restart proves nothing of the agent after it.
    #[test]
    fn what_was_written_before_the_restart_does_not_count() {
        use LogEventKind::{CommunicationEstablished, MonitoringStarted};
        let before = [(1, MonitoringStarted, true), (2, CommunicationEstablished, true)];
        let after = [(11, MonitoringStarted, true), (12, CommunicationEstablished, true)];
        let since = LinkSince::Restart(at(10));
        assert_eq!(told(&before, since), UpsLink::Untold);
        assert_eq!(told(&[before, after].concat(), since), UpsLink::Heard { from_its_start: true });
        assert_eq!(told(&[(2000, CommunicationEstablished, true)], since), UpsLink::Untold, "of another time");
    }

    /// A product's installer may renew the server's certificate, and never touch the agent that hears the UPS.
    #[test]
    fn what_was_written_before_a_renewal_stands_unless_the_agent_was_restarted_by_it() {
        use LogEventKind::{
            CommunicationEstablished, CommunicationLost, MonitoringStarted, MonitoringStopped, OnBattery,
        };
        let before = [(1, MonitoringStarted, true), (2, CommunicationEstablished, true)];
        for (after, expected) in [
            (&[][..], UpsLink::Heard { from_its_start: true }),
            (&[(11, OnBattery, true)], UpsLink::Heard { from_its_start: true }),
            (&[(11, CommunicationLost, true)], UpsLink::Lost),
            (&[(11, MonitoringStopped, true)], UpsLink::Untold),
            (&[(11, MonitoringStopped, true), (12, MonitoringStarted, true)], UpsLink::Untold),
            (&[(11, MonitoringStarted, true), (12, CommunicationLost, true)], UpsLink::Lost),
        ] {
            assert_eq!(told(&[&before, after].concat(), LinkSince::Perhaps(at(10))), expected, "{after:?}");
        }
    }
}
