//! What PowerChute writes down, as far as it tells of power and shutdown.

use jiff::Timestamp;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogEvent {
    pub(crate) at: Timestamp,
    pub(super) kind: LogEventKind,
    /// Whether it began or is over.
    pub(super) active: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LogEventKind {
    OnBattery,
    NoLongerOnBattery,
    LowBattery,
    LowRuntime,
    TimeOnBattery,
    ShutdownStarted,
    /// A text says so. No text of a real agent was ever met: it is told, and nothing is held for begun by it.
    ShutdownReported,
    /// A person has told the agent to take its host down. That the power is back calls nothing of it off.
    AdministrativeShutdown,
    CommunicationEstablished,
    CommunicationLost,
    MonitoringStopped,
    MonitoringStarted,
}

/// The newest ones are kept: a boot with more of them has long been decided.
pub(super) const MAX_EVENTS: usize = 1024;

/// Before the numbers that tell one event from another.
const PREFIX: [i32; 4] = [3, 5, 1, 5];

impl LogEventKind {
    #[cfg(test)]
    pub(super) const ALL: [Self; 12] = [
        Self::OnBattery,
        Self::NoLongerOnBattery,
        Self::LowBattery,
        Self::LowRuntime,
        Self::TimeOnBattery,
        Self::ShutdownStarted,
        Self::ShutdownReported,
        Self::AdministrativeShutdown,
        Self::CommunicationEstablished,
        Self::CommunicationLost,
        Self::MonitoringStopped,
        Self::MonitoringStarted,
    ];

    /// Of the numbers of an object id.
    pub(super) fn of_id(id: &[i32]) -> Option<Self> {
        Some(match id.strip_prefix(&PREFIX)? {
            [4, 1] => Self::OnBattery,
            [4, 2] => Self::NoLongerOnBattery,
            [3, 3] => Self::LowBattery,
            [3, 15] => Self::LowRuntime,
            [3, 18] => Self::TimeOnBattery,
            [3, 19] => Self::ShutdownStarted,
            [6, 1] => Self::CommunicationEstablished,
            [6, 2] => Self::CommunicationLost,
            [6, 9] => Self::MonitoringStopped,
            [6, 10] => Self::MonitoringStarted,
            _ => return None,
        })
    }

    /// Every number that [`LogEventKind::of_number`] knows, in their order.
    pub(super) const NUMBERS: [u16; 17] =
        [1000, 1001, 1002, 1003, 1006, 1016, 1025, 1026, 1027, 1053, 2000, 2003, 2060, 3000, 3004, 3005, 3030];

    /// Of the number that the agent gives an event in the log of Windows, and whether it began. What is planned for a time to come (1005)
    /// is not pending yet, and of a battery that is charged again (1010) or empty (3003) nobody says when that is over.
    pub(super) const fn of_number(number: u16) -> Option<(Self, bool)> {
        Some(match number {
            1000 => (Self::MonitoringStopped, true),
            1001 => (Self::MonitoringStarted, true),
            1002 => (Self::CommunicationEstablished, true),
            1003 => (Self::NoLongerOnBattery, true),
            1006 | 1027 => (Self::AdministrativeShutdown, false),
            1016 | 1025 => (Self::ShutdownStarted, true),
            1026 => (Self::AdministrativeShutdown, true),
            1053 => (Self::LowRuntime, false),
            2000 => (Self::OnBattery, true),
            2003 => (Self::LowBattery, true),
            2060 => (Self::TimeOnBattery, true),
            3000 | 3004 | 3005 => (Self::CommunicationLost, true),
            3030 => (Self::LowRuntime, true),
            _ => return None,
        })
    }

    /// Of a name, whatever its case, spaces and full stop: those of the stream's events in English, and those that
    /// PowerNet-MIB gives the events of PowerChute Network Shutdown.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let letters = name.chars().filter(|c| c.is_alphanumeric());
        let name: String = letters.take(LONGEST_NAME + 1).map(|c| c.to_ascii_lowercase()).collect();
        Some(match name.as_str() {
            "onbattery" | "powerfailed" => Self::OnBattery,
            "nolongeronbattery" | "powerrestored" => Self::NoLongerOnBattery,
            "lowbattery" => Self::LowBattery,
            "lowruntimeremaining" => Self::LowRuntime,
            "timeonbatterythresholdexceeded" => Self::TimeOnBattery,
            "gracefulshutdownstarted" => Self::ShutdownReported,
            "communicationestablished" => Self::CommunicationEstablished,
            "communicationlost" | "communicationlostonbattery" | "netcommunicationlost" => Self::CommunicationLost,
            "monitoringstopped" => Self::MonitoringStopped,
            "monitoringstarted" => Self::MonitoringStarted,
            _ => return None,
        })
    }

    /// The name that the agent's users know, as the cause of a shutdown.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OnBattery => "On Battery",
            Self::NoLongerOnBattery => "No Longer On Battery",
            Self::LowBattery => "Low Battery",
            Self::LowRuntime => "Low Runtime Remaining",
            Self::TimeOnBattery => "Time On Battery Threshold Exceeded",
            Self::ShutdownStarted | Self::ShutdownReported => "Graceful Shutdown Started",
            Self::AdministrativeShutdown => "Administrative Shutdown Pending",
            Self::CommunicationEstablished => "Communication Established",
            Self::CommunicationLost => "Communication Lost",
            Self::MonitoringStopped => "Monitoring Stopped",
            Self::MonitoringStarted => "Monitoring Started",
        }
    }
}

/// `timeonbatterythresholdexceeded`; what is longer is none of them.
const LONGEST_NAME: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_found_by_the_name_that_it_is_shown_with() {
        let is_elsewhere = [LogEventKind::ShutdownStarted, LogEventKind::AdministrativeShutdown];
        for kind in LogEventKind::ALL.into_iter().filter(|kind| !is_elsewhere.contains(kind)) {
            assert_eq!(LogEventKind::of_name(kind.name()), Some(kind));
            assert_eq!(LogEventKind::of_name(&format!(" {}. ", kind.name().to_uppercase())), Some(kind));
            assert_eq!(LogEventKind::of_name(&format!("{} for 5 seconds", kind.name())), None);
        }
    }

    #[test]
    fn numbers_beside_the_table_are_no_event() {
        assert_eq!(LogEventKind::of_id(&[3, 5, 1, 5, 3, 19]), Some(LogEventKind::ShutdownStarted));
        for other in [&[3, 5, 1, 5, 4, 5][..], &[3, 5, 1, 5, 4, 1, 0], &[3, 5, 1, 6, 4, 1], &[4, 1], &[]] {
            assert_eq!(LogEventKind::of_id(other), None, "{other:?}");
        }
    }
}
