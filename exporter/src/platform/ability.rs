//! What a system may lack.

/// What this program does where there is a side for it of the system that it was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// Services are stopped and started, commands are run, and who listens at a port is told: agents and the host API.
    Rotations,
    /// The system is asked whether it will go down.
    ShutdownSchedule,
    /// The service manager hands over sockets that listen.
    HandedOverSockets,
}

const PAGE: &str = online!("docs/windows.md");

/// It is lacking here. Windows is the only system that lacks any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} there on Windows yet: see {}", .0.are_not(), PAGE)]
pub struct NotOnThisSystem(pub Ability);

impl NotOnThisSystem {
    /// Stable, for logs and metric labels.
    pub const REASON: &str = "not_on_this_system";
}

impl Ability {
    const fn are_not(self) -> &'static str {
        match self {
            Self::Rotations => "rotations are not",
            Self::ShutdownSchedule => "a look at the system's own schedule of shutdowns is not",
            Self::HandedOverSockets => "sockets that the service manager hands over are not",
        }
    }
}
