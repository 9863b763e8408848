//! PowerChute Network Shutdown: known only by its event log. Its certificate is not looked after.

use crate::os::Os;

/// Where it writes its event log, as text.
pub const fn event_logs(os: Os) -> &'static [&'static str] {
    match os {
        Os::Linux => &["/opt/APC/PowerChute/group1/EventLog.txt"],
        Os::Windows => &[r"C:\Program Files\APC\PowerChute\group1\EventLog.txt"],
    }
}
