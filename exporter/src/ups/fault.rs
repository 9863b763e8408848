//! Why a UPS was not heard, and what that says of it.

use std::fmt;

/// Why there is no reading: a closed set, and what of it matters to those who decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UpsFault {
    /// Credentials were refused, or cannot be told.
    Auth,
    /// A password file is not UTF-8.
    BadEncoding,
    /// It was not asked: somebody else is logged on, a login has to wait, or as many threads hang as may.
    Busy,
    /// Who answered says that it has lost the UPS.
    CommLost,
    Connect,
    /// upsd answered: what its driver knows is old.
    DataStale,
    Dns,
    /// upsd answered: its driver does not run.
    DriverNotConnected,
    /// A login of an earlier process has not told its end.
    LoginCutOff,
    /// The system answered: it sees no battery.
    NoBattery,
    NotFound,
    NotRegular,
    Panic,
    PermissionDenied,
    Protocol,
    ReadFailed,
    StateDirectory,
    SymlinkLoop,
    Timeout,
    Tls,
    TooLarge,
    /// upsd answered: it has no UPS of that name.
    UnknownUps,
}

/// Who has lost a UPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Somebody answered, and said that it has lost the UPS.
    LinkLost,
    /// Nobody answered us.
    Unreachable,
}

impl UpsFault {
    pub const ALL: [Self; 22] = [
        Self::Auth,
        Self::BadEncoding,
        Self::Busy,
        Self::CommLost,
        Self::Connect,
        Self::DataStale,
        Self::Dns,
        Self::DriverNotConnected,
        Self::LoginCutOff,
        Self::NoBattery,
        Self::NotFound,
        Self::NotRegular,
        Self::Panic,
        Self::PermissionDenied,
        Self::Protocol,
        Self::ReadFailed,
        Self::StateDirectory,
        Self::SymlinkLoop,
        Self::Timeout,
        Self::Tls,
        Self::TooLarge,
        Self::UnknownUps,
    ];

    /// Every value that [`UpsFault::as_str`] can have: the closed set of a metric label.
    pub const REASONS: [&'static str; Self::ALL.len()] = {
        let mut reasons = [""; Self::ALL.len()];
        let mut at = 0;
        while at < reasons.len() {
            reasons[at] = Self::ALL[at].as_str();
            at += 1;
        }
        reasons
    };

    /// Stable, for metric labels and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::BadEncoding => "bad_encoding",
            Self::Busy => "busy",
            Self::CommLost => "comm_lost",
            Self::Connect => "connect",
            Self::DataStale => "data_stale",
            Self::Dns => "dns",
            Self::DriverNotConnected => "driver_not_connected",
            Self::LoginCutOff => "login_cut_off",
            Self::NoBattery => "no_battery",
            Self::NotFound => "not_found",
            Self::NotRegular => "not_regular",
            Self::Panic => "panic",
            Self::PermissionDenied => "permission_denied",
            Self::Protocol => "protocol",
            Self::ReadFailed => "read_failed",
            Self::StateDirectory => "state_directory",
            Self::SymlinkLoop => "symlink_loop",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::TooLarge => "too_large",
            Self::UnknownUps => "unknown_ups",
        }
    }

    /// Who has lost the UPS; nobody, where it is said that there is no such UPS.
    pub const fn silence(self) -> Option<Silence> {
        match self {
            Self::UnknownUps => None,
            Self::CommLost | Self::DataStale | Self::DriverNotConnected | Self::NoBattery => Some(Silence::LinkLost),
            Self::Auth
            | Self::BadEncoding
            | Self::Busy
            | Self::Connect
            | Self::Dns
            | Self::LoginCutOff
            | Self::NotFound
            | Self::NotRegular
            | Self::Panic
            | Self::PermissionDenied
            | Self::Protocol
            | Self::ReadFailed
            | Self::StateDirectory
            | Self::SymlinkLoop
            | Self::Timeout
            | Self::Tls
            | Self::TooLarge => Some(Silence::Unreachable),
        }
    }

    /// Whether somebody answered and has lost the UPS.
    pub const fn is_link_lost(self) -> bool {
        matches!(self.silence(), Some(Silence::LinkLost))
    }
}

impl fmt::Display for UpsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
