//! What a system may lack.

/// What this program does where there is a side for it of the system that it was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// The system is asked whether it will go down.
    ShutdownSchedule,
    /// The service manager hands over sockets that listen.
    HandedOverSockets,
    /// The system keeps certificates in stores that are no files.
    CertificateStores,
    /// The system sees batteries and UPSes by itself.
    PowerStatus,
    /// The system keeps a log of numbered events of its programs.
    EventLog,
    /// A program of a JDK is asked about the signatures of JARs.
    JarSignatures,
}

const PAGE: &str = online!("docs/windows.md");

/// It is lacking here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: see {}", .0.is_lacking(), PAGE)]
pub struct NotOnThisSystem(pub Ability);

impl NotOnThisSystem {
    /// Stable, for logs and metric labels.
    pub const REASON: &str = "not_on_this_system";
}

impl Ability {
    /// Of the two systems, one lacks each.
    const fn is_lacking(self) -> &'static str {
        match self {
            Self::ShutdownSchedule => "a look at the system's own schedule of shutdowns is not there on Windows yet",
            Self::HandedOverSockets => "sockets that the service manager hands over are not there on Windows yet",
            Self::JarSignatures => "a look at the signatures of JARs is not there on Windows yet",
            Self::EventLog => "the system's log of programs' events is there on Windows alone",
            Self::CertificateStores => "certificate stores of the system are there on Windows alone",
            Self::PowerStatus => {
                "a UPS that the system itself sees is there on Windows alone; here NUT or apcupsd tell of it"
            }
        }
    }
}
