//! The states of a host, as they are published.

use super::Sign;

/// What holds of the host, from the mildest to the most severe: of all that its sources say, the last in this order.
///
/// A test is ordinary. What was called off and what is no longer heard are told before anything is known to go wrong; a
/// planned shutdown is somebody's wish, one from the power's side is not. What has begun is the worst: the host that says more
/// has power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostState {
    None,
    Testing,
    Cancelled,
    CommsLost,
    Scheduled,
    OnBattery,
    LowBattery,
    Pending,
    InProgress,
}

impl HostState {
    pub const ALL: [Self; 9] = [
        Self::None,
        Self::Testing,
        Self::Cancelled,
        Self::CommsLost,
        Self::Scheduled,
        Self::OnBattery,
        Self::LowBattery,
        Self::Pending,
        Self::InProgress,
    ];

    /// The label value `state`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Testing => "testing",
            Self::Cancelled => "cancelled",
            Self::CommsLost => "comms_lost",
            Self::Scheduled => "scheduled",
            Self::OnBattery => "ups_on_battery",
            Self::LowBattery => "ups_low_battery",
            Self::Pending => "ups_pending",
            Self::InProgress => "in_progress",
        }
    }

    /// Whether a shutdown was announced.
    pub const fn is_pending(self) -> bool {
        match self {
            Self::Scheduled | Self::Pending | Self::InProgress => true,
            Self::None | Self::Testing | Self::Cancelled | Self::CommsLost | Self::OnBattery | Self::LowBattery => {
                false
            }
        }
    }
}

impl From<Sign> for HostState {
    fn from(sign: Sign) -> Self {
        match sign {
            // Calling off is an event: who said it may go on saying so for days. The machine times it.
            Sign::Normal | Sign::Cancelled | Sign::Off => Self::None,
            Sign::Testing => Self::Testing,
            Sign::CommsLost => Self::CommsLost,
            Sign::Scheduled => Self::Scheduled,
            Sign::OnBattery => Self::OnBattery,
            Sign::LowBattery => Self::LowBattery,
            Sign::Pending => Self::Pending,
            Sign::InProgress => Self::InProgress,
        }
    }
}
