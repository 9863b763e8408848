//! What the system says of itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kagiban_files::read_regular;

use super::super::BootTime;

/// A UUID with a line end.
const MAX_BOOT_ID_BYTES: u64 = 64;

/// Two numbers of seconds.
const MAX_UPTIME_BYTES: u64 = 128;

/// Changes with every boot; empty where the kernel does not tell.
pub fn boot_id() -> String {
    let path = PathBuf::from("/proc/sys/kernel/random/boot_id");
    let read = read_regular(&path, MAX_BOOT_ID_BYTES).ok();
    read.map(|file| String::from_utf8_lossy(&file.bytes).trim().to_owned()).unwrap_or_default()
}

/// When the system was started, by the clock as it stands; a container may be told its own start. Unknown where the kernel
/// does not tell.
pub fn booted_at() -> Option<Timestamp> {
    Timestamp::now().checked_sub(SignedDuration::try_from(uptime()?).ok()?).ok()
}

/// This moment, by a clock that nobody sets. Unknown where the kernel does not tell.
pub fn boot_time() -> Option<BootTime> {
    let boot_id = Some(boot_id()).filter(|id| !id.is_empty())?;
    Some(BootTime { boot_id, milliseconds: u64::try_from(uptime()?.as_millis()).ok()? })
}

fn uptime() -> Option<Duration> {
    let file = read_regular(Path::new("/proc/uptime"), MAX_UPTIME_BYTES).ok()?;
    let text = std::str::from_utf8(&file.bytes).ok()?;
    Duration::try_from_secs_f64(text.split_whitespace().next()?.parse().ok()?).ok()
}

/// Exists while systemd-logind has a shutdown scheduled.
pub fn scheduled_shutdown_file() -> PathBuf {
    PathBuf::from("/run/systemd/shutdown/scheduled")
}

/// Where journal and backups lie unless the configuration says otherwise.
pub fn default_state_directory() -> PathBuf {
    PathBuf::from("/var/lib/kagiban")
}
