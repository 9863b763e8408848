//! What the system says of itself.

use std::path::PathBuf;

use super::read_regular;

/// A UUID with a line end.
const MAX_BOOT_ID_BYTES: u64 = 64;

/// Changes with every boot; empty where the kernel does not tell.
pub fn boot_id() -> String {
    let path = PathBuf::from("/proc/sys/kernel/random/boot_id");
    let read = read_regular(&path, MAX_BOOT_ID_BYTES).ok();
    read.map(|file| String::from_utf8_lossy(&file.bytes).trim().to_owned()).unwrap_or_default()
}

/// Exists while systemd-logind has a shutdown scheduled.
pub fn scheduled_shutdown_file() -> PathBuf {
    PathBuf::from("/run/systemd/shutdown/scheduled")
}

/// Where journal and backups lie unless the configuration says otherwise.
pub fn default_state_directory() -> PathBuf {
    PathBuf::from("/var/lib/kagiban")
}
