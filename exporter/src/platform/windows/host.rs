//! What the system says of itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use winapi_util::sysinfo::{ComputerNameKind, get_computer_name};

use super::super::{BootTime, SystemTrust};
use super::sys;

/// Where JVMs are installed, one directory each.
pub const JVM_PARENTS: &[&str] = &[
    r"C:\Program Files\Java",
    r"C:\Program Files (x86)\Java",
    r"C:\Program Files\Amazon Corretto",
    r"C:\Program Files\Eclipse Adoptium",
    r"C:\Program Files\Microsoft",
    r"C:\Program Files\Zulu",
];
/// The system's authorities are in a store.
pub const CA_BUNDLES: &[&str] = &[];

/// Below the directory of what programs keep for all accounts.
const STATE: &str = "kagiban";

/// The number that Windows' loader gives to each boot, which stays what it is until the next, whoever sets the clock; empty where there is
/// none. A shutdown with Fast Startup keeps the kernel for the next start: to it and to its services that is one boot.
pub fn boot_id() -> String {
    Some(sys::boot_number()).filter(|number| *number != 0).map(|number| number.to_string()).unwrap_or_default()
}

/// When the system was started, by the clock as it stands.
pub fn booted_at() -> Option<Timestamp> {
    let uptime = Duration::from_millis(sys::milliseconds_since_boot());
    Timestamp::now().checked_sub(SignedDuration::try_from(uptime).ok()?).ok()
}

/// This moment, by a clock that nobody sets. Unknown where the boot has no number.
pub fn boot_time() -> Option<BootTime> {
    let boot_id = Some(boot_id()).filter(|id| !id.is_empty())?;
    Some(BootTime { boot_id, milliseconds: sys::milliseconds_since_boot() })
}

/// Windows has no file that is there while a shutdown is scheduled.
pub const fn scheduled_shutdown_file() -> Option<PathBuf> {
    None
}

/// Where this program keeps what it must know again unless the configuration says otherwise.
pub fn default_state_directory() -> PathBuf {
    kagiban_service::state_directory(STATE)
}

/// The same: there is one service.
pub fn state_directory_of_running_unit(_rotates: bool) -> PathBuf {
    default_state_directory()
}

/// What the system calls itself.
pub fn host_name() -> Option<String> {
    let name = get_computer_name(ComputerNameKind::PhysicalDnsHostname).ok()?;
    name.into_string().ok().filter(|name| !name.is_empty())
}

/// Whether the clock is synchronized: nobody is asked.
#[expect(clippy::unused_async, reason = "another system waits for an answer")]
pub async fn is_clock_synchronized(_deadline: Duration) -> Option<bool> {
    None
}

/// What the operating system makes of a certificate that lies there: nothing, its authorities being in no file.
pub const fn system_trust(_: &Path) -> SystemTrust {
    SystemTrust::None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_a_name_and_was_started_before_now() {
        assert!(host_name().is_some_and(|name| !name.contains('\0')));
        let booted_at = booted_at().expect("a moment");
        assert!(booted_at < Timestamp::now() && booted_at > Timestamp::UNIX_EPOCH);
    }
}
