//! The closed sets: states of a UPS, alarms, and what set a shutdown off.

use std::collections::BTreeSet;

use crate::label::Label;

/// What holds of a UPS. Several hold at once: on battery, discharging, low.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Online,
    OnBattery,
    LowBattery,
    HighBattery,
    BatteryDepleted,
    ReplaceBattery,
    NoBattery,
    Charging,
    Discharging,
    Bypass,
    Calibrating,
    Testing,
    Off,
    Overload,
    Trim,
    Boost,
    Eco,
    Alarm,
    ForcedShutdown,
    ShuttingDown,
    CommLost,
    Sleeping,
}

/// What set a shutdown off, or counts towards one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShutdownTrigger {
    SystemdSchedule,
    /// The system is stopping, whoever asked for it.
    SystemdPreparing,
    /// The same, as Windows says it to services before it stops any.
    WindowsPreshutdown,
    NutFsd,
    NutTimer,
    ApcupsdShutdown,
    ApcupsdLoad,
    ApcupsdTimeOnBattery,
    ApcupsdRuntime,
    ApcupsdEmergency,
    ApcupsdRemote,
    SnmpShutdownDelay,
    SnmpAlarm,
    /// `pcbeCriticalFlag`, `pcnsCriticalFlag`, and the traps that announce them.
    PowerchuteCritical,
    /// The agent's own event log.
    PowerchuteEvent,
}

/// Those that hold.
pub type Statuses = BTreeSet<Status>;
/// Those that are there.
pub type ShutdownTriggers = BTreeSet<ShutdownTrigger>;
/// Alarms that stand, by name: bounded in number by whoever reads them.
pub type Alarms = BTreeSet<Label>;

/// Whether a UPS says that its load is fed from the line, corrected or not.
pub fn is_on_line(statuses: &Statuses) -> bool {
    [Status::Online, Status::Trim, Status::Boost, Status::Eco].iter().any(|status| statuses.contains(status))
}

impl Status {
    pub const ALL: [Self; 22] = [
        Self::Online,
        Self::OnBattery,
        Self::LowBattery,
        Self::HighBattery,
        Self::BatteryDepleted,
        Self::ReplaceBattery,
        Self::NoBattery,
        Self::Charging,
        Self::Discharging,
        Self::Bypass,
        Self::Calibrating,
        Self::Testing,
        Self::Off,
        Self::Overload,
        Self::Trim,
        Self::Boost,
        Self::Eco,
        Self::Alarm,
        Self::ForcedShutdown,
        Self::ShuttingDown,
        Self::CommLost,
        Self::Sleeping,
    ];

    /// The label value `status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::OnBattery => "on_battery",
            Self::LowBattery => "low_battery",
            Self::HighBattery => "high_battery",
            Self::BatteryDepleted => "battery_depleted",
            Self::ReplaceBattery => "replace_battery",
            Self::NoBattery => "no_battery",
            Self::Charging => "charging",
            Self::Discharging => "discharging",
            Self::Bypass => "bypass",
            Self::Calibrating => "calibrating",
            Self::Testing => "testing",
            Self::Off => "off",
            Self::Overload => "overload",
            Self::Trim => "trim",
            Self::Boost => "boost",
            Self::Eco => "eco",
            Self::Alarm => "alarm",
            Self::ForcedShutdown => "forced_shutdown",
            Self::ShuttingDown => "shutting_down",
            Self::CommLost => "comm_lost",
            Self::Sleeping => "sleeping",
        }
    }
}

impl ShutdownTrigger {
    pub const ALL: [Self; 15] = [
        Self::SystemdSchedule,
        Self::SystemdPreparing,
        Self::WindowsPreshutdown,
        Self::NutFsd,
        Self::NutTimer,
        Self::ApcupsdShutdown,
        Self::ApcupsdLoad,
        Self::ApcupsdTimeOnBattery,
        Self::ApcupsdRuntime,
        Self::ApcupsdEmergency,
        Self::ApcupsdRemote,
        Self::SnmpShutdownDelay,
        Self::SnmpAlarm,
        Self::PowerchuteCritical,
        Self::PowerchuteEvent,
    ];

    /// The label value `trigger`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SystemdSchedule => "systemd_schedule",
            Self::SystemdPreparing => "systemd_preparing",
            Self::WindowsPreshutdown => "windows_preshutdown",
            Self::NutFsd => "nut_fsd",
            Self::NutTimer => "nut_timer",
            Self::ApcupsdShutdown => "apcupsd_shutdown",
            Self::ApcupsdLoad => "apcupsd_load",
            Self::ApcupsdTimeOnBattery => "apcupsd_time_on_battery",
            Self::ApcupsdRuntime => "apcupsd_runtime",
            Self::ApcupsdEmergency => "apcupsd_emergency",
            Self::ApcupsdRemote => "apcupsd_remote",
            Self::SnmpShutdownDelay => "snmp_shutdown_delay",
            Self::SnmpAlarm => "snmp_alarm",
            Self::PowerchuteCritical => "powerchute_critical",
            Self::PowerchuteEvent => "powerchute_event",
        }
    }
}
