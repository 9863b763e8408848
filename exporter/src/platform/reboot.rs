//! What the seam says of reboots that are pending.

use std::io;

/// Who has asked for a reboot that has not come: the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RebootReason {
    /// Windows has changed its own components.
    ComponentServicing,
    /// Files that are in use are to be renamed or removed when Windows starts.
    FileRename,
    /// A package of Debian or Ubuntu, such as a kernel.
    Packages,
    WindowsUpdate,
}

/// Whether a reboot is pending for a reason, or why nobody can say. A reason that nothing on this host tells of is not there.
pub type PendingReboots = Vec<(RebootReason, Result<bool, RebootError>)>;

/// Why it is not known whether a reboot is pending.
#[derive(Debug, thiserror::Error)]
#[error("{place}: it cannot be looked at: {source}; let the account that kagiban-exporter runs as read it")]
pub struct RebootError {
    pub place: String,
    pub source: io::Error,
}

impl RebootReason {
    pub const ALL: [Self; 4] = [Self::ComponentServicing, Self::FileRename, Self::Packages, Self::WindowsUpdate];

    /// Stable, for metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ComponentServicing => "component_servicing",
            Self::FileRename => "file_rename",
            Self::Packages => "packages",
            Self::WindowsUpdate => "windows_update",
        }
    }
}

impl RebootError {
    /// Stable, for logs and metric labels.
    pub fn reason(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::PermissionDenied => "permission_denied",
            _ => "read_failed",
        }
    }
}
