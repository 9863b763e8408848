//! What the system tells of this process.

use std::io;

use windows_sys::Win32::Foundation::{
    ERROR_INVALID_PARAMETER, ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY,
    ERROR_TOO_MANY_OPEN_FILES,
};
use windows_sys::Win32::Networking::WinSock::{WSAEMFILE, WSAENOBUFS};

use super::super::{StartedProcess, Usage};
use super::host::boot_id;
use super::sys::{self, Process};

/// Whether the system has refused something that it may give in a moment: a handle, memory.
pub fn is_shortage(error: &io::Error) -> bool {
    const FILES: [u32; 4] =
        [ERROR_TOO_MANY_OPEN_FILES, ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY, ERROR_NO_SYSTEM_RESOURCES];
    const SOCKETS: [i32; 2] = [WSAEMFILE, WSAENOBUFS];
    let code = error.raw_os_error();
    code.is_some_and(|code| SOCKETS.contains(&code) || u32::try_from(code).is_ok_and(|code| FILES.contains(&code)))
}

/// The process that has this number now; none where Windows does not tell. A boot that has no number is no obstacle: the moment in
/// which a process was created tells it from those of other boots too.
pub fn started_process(number: u32) -> Option<StartedProcess> {
    let ticks = Process::open(number).and_then(|process| process.created()).ok()?;
    Some(StartedProcess { boot_id: boot_id(), number, ticks })
}

/// Whether that very process runs, its number not another's by now; none where Windows does not tell.
pub fn is_running(process: &StartedProcess) -> Option<bool> {
    if boot_id() != process.boot_id {
        return Some(false);
    }
    match Process::open(process.number) {
        Ok(there) => Some(there.created().ok()? == process.ticks && !there.has_ended().ok()?),
        // What Windows says of a number that no process has.
        Err(error) => sys::is(&error, ERROR_INVALID_PARAMETER).then_some(false),
    }
}

/// What this process uses now. Of handles there may be millions: no limit is told.
pub fn usage() -> Usage {
    Usage {
        cpu_seconds: sys::processor_time().ok().map(|time| time.as_secs_f64()),
        resident_bytes: sys::working_set().ok(),
        // Wine counts none.
        open_files: sys::open_handles().ok().filter(|count| *count > 0),
        max_open_files: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_uses_is_told_and_never_as_nothing() {
        let usage = usage();
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 1024 * 1024), "{usage:?}");
        assert!(usage.cpu_seconds.is_some_and(|seconds| seconds >= 0.0), "{usage:?}");
        assert!(usage.open_files != Some(0) && usage.max_open_files.is_none(), "{usage:?}");
    }

    #[test]
    fn a_shortage_is_told_from_a_refusal() {
        for (code, is_short) in [(4, true), (1450, true), (10024, true), (5, false), (2, false)] {
            assert_eq!(is_shortage(&io::Error::from_raw_os_error(code)), is_short, "{code}");
        }
    }
}
