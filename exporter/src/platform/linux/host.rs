//! What the system says of itself.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kagiban_files::read_regular;

use super::super::BootTime;
use super::unit::{HOST_API_UNIT, METRICS_UNIT};

/// Where distributions put their JVMs, one directory each.
pub const JVM_PARENTS: &[&str] = &["/usr/lib/jvm", "/usr/java", "/opt/java"];
/// The bundles of Debian, Red Hat, SUSE and Alpine.
pub const CA_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub(super) const SCHEDULED_SHUTDOWN: &str = "/run/systemd/shutdown/scheduled";

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
pub fn scheduled_shutdown_file() -> Option<PathBuf> {
    Some(PathBuf::from(SCHEDULED_SHUTDOWN))
}

/// Of the unit that rotates.
const STATE: &str = "/var/lib/kagiban";
/// Of the unit for metrics alone, which has an account of its own: root obeys nothing that this account has written.
const STATE_OF_METRICS: &str = "/var/lib/kagiban-metrics";
/// systemd has a link there for each unit that runs.
const RUNNING_UNITS: &str = "/run/systemd/units";

/// Where journal and backups lie unless the configuration says otherwise: the service manager's word, else the usual place.
pub fn default_state_directory() -> PathBuf {
    told_state_directory(std::env::var_os("STATE_DIRECTORY").as_deref()).unwrap_or_else(|| PathBuf::from(STATE))
}

/// Where a person's command finds what the exporter keeps that runs on this host, and that no configuration tells. Where none runs,
/// `rotates` says that it would be the one that does.
pub fn state_directory_of_running_unit(rotates: bool) -> PathBuf {
    if let Some(told) = told_state_directory(std::env::var_os("STATE_DIRECTORY").as_deref()) {
        return told;
    }
    let runs = |unit: &str| Path::new(RUNNING_UNITS).join(format!("invocation:{unit}")).symlink_metadata().is_ok();
    let [host_api, metrics] = [(HOST_API_UNIT, STATE), (METRICS_UNIT, STATE_OF_METRICS)]
        .map(|(unit, state)| UnitStateDirectory { runs: runs(unit), is_there: Path::new(state).is_dir() });
    PathBuf::from(if is_of_metrics(host_api, metrics, rotates) { STATE_OF_METRICS } else { STATE })
}

/// What is known of a unit's state directory.
#[derive(Clone, Copy, Debug)]
struct UnitStateDirectory {
    runs: bool,
    is_there: bool,
}

/// Of two units that both run or both do not, the one that rotates keeps what matters more.
const fn is_of_metrics(host_api: UnitStateDirectory, metrics: UnitStateDirectory, rotates: bool) -> bool {
    match (host_api.runs, metrics.runs) {
        (true, false) => false,
        (false, true) => true,
        (true, true) | (false, false) => !rotates && !host_api.is_there && metrics.is_there,
    }
}

/// systemd names several with colons between them; the first is the unit's own.
fn told_state_directory(told: Option<&OsStr>) -> Option<PathBuf> {
    let first = told?.as_bytes().split(|byte| *byte == b':').next()?;
    Some(PathBuf::from(OsStr::from_bytes(first))).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_is_the_service_managers_word() {
        for (told, found) in [
            (None, None),
            (Some(""), None),
            (Some("kagiban"), None),
            (Some("/var/lib/kagiban-metrics"), Some("/var/lib/kagiban-metrics")),
            (Some("/var/lib/a:/var/lib/b"), Some("/var/lib/a")),
        ] {
            assert_eq!(told_state_directory(told.map(OsStr::new)), found.map(PathBuf::from), "{told:?}");
        }
    }

    /// Both directories are there on a host that went from metrics to rotations, or back.
    #[test]
    fn a_persons_command_looks_where_the_exporter_that_runs_keeps_its_state() {
        let place = |runs, is_there| UnitStateDirectory { runs, is_there };
        for (host_api, metrics, expected) in [
            (place(false, false), place(false, false), false),
            (place(false, false), place(false, true), true),
            (place(false, false), place(true, true), true),
            (place(false, true), place(true, true), true),
            (place(true, true), place(false, true), false),
            (place(true, false), place(false, true), false),
            (place(false, true), place(false, true), false),
            (place(true, true), place(true, true), false),
        ] {
            // Before the unit that rotates is started for the first time, its configuration is there.
            let expected_of_one_that_rotates = metrics.runs && !host_api.runs;
            assert_eq!(
                is_of_metrics(host_api, metrics, true),
                expected_of_one_that_rotates,
                "{host_api:?} {metrics:?}"
            );
            assert_eq!(is_of_metrics(host_api, metrics, false), expected, "{host_api:?} {metrics:?}");
        }
    }
}
