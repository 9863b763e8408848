//! Windows' own calls, as safe functions: the only file of this crate with `unsafe` in it.

#![allow(unsafe_code)] // Windows has no safe way: what it tells of a process it writes to where a pointer leads.

use std::io;
use std::mem::size_of;
use std::time::Duration;

use windows_sys::Win32::Foundation::{FILETIME, GetLastError};
use windows_sys::Win32::System::Diagnostics::Debug::{
    GetErrorMode, SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX, SetErrorMode,
};
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::SystemInformation::GetTickCount64;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessHandleCount, GetProcessTimes};
use windows_sys::Win32::System::WindowsProgramming::GetUserNameW;

/// By a clock that nobody sets.
pub(super) fn milliseconds_since_boot() -> u64 {
    // SAFETY: it has no arguments.
    unsafe { GetTickCount64() }
}

/// No dialogue waits for a person when this program fails, and no report of its memory is written.
pub(super) fn forbid_error_reports() {
    // SAFETY: neither has a pointer. The mode is the process's own.
    unsafe { SetErrorMode(GetErrorMode() | SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX) };
}

/// What this process's threads have used, in the kernel too.
pub(super) fn processor_time() -> io::Result<Duration> {
    let [mut created, mut ended, mut kernel, mut user] = [FILETIME::default(); 4];
    // SAFETY: each is a structure that it fills; the process is this one.
    done(unsafe {
        GetProcessTimes(GetCurrentProcess(), &raw mut created, &raw mut ended, &raw mut kernel, &raw mut user)
    })?;
    // In units of 100 nanoseconds.
    let units = |time: FILETIME| (u64::from(time.dwHighDateTime) << 32) | u64::from(time.dwLowDateTime);
    Ok(Duration::from_nanos(units(kernel).saturating_add(units(user)).saturating_mul(100)))
}

/// The bytes of memory that this process holds.
pub(super) fn working_set() -> io::Result<u64> {
    let length = u32::try_from(size_of::<PROCESS_MEMORY_COUNTERS>()).unwrap_or(u32::MAX);
    let mut counters = PROCESS_MEMORY_COUNTERS { cb: length, ..Default::default() };
    // SAFETY: it is given as many bytes as it may write; the process is this one.
    done(unsafe { K32GetProcessMemoryInfo(GetCurrentProcess(), &raw mut counters, length) })?;
    u64::try_from(counters.WorkingSetSize).map_err(io::Error::other)
}

/// The handles that this process has open, of files and everything else.
pub(super) fn open_handles() -> io::Result<u64> {
    let mut count = 0;
    // SAFETY: it is given the number that it fills; the process is this one.
    done(unsafe { GetProcessHandleCount(GetCurrentProcess(), &raw mut count) })?;
    Ok(count.into())
}

/// The account that this thread acts as.
pub(super) fn user_name() -> io::Result<String> {
    // The longest name has 256 units, and a zero behind it.
    let mut name = [0u16; 257];
    let mut length = u32::try_from(name.len()).unwrap_or_default();
    // SAFETY: it is given as many units as it may write.
    done(unsafe { GetUserNameW(name.as_mut_ptr(), &raw mut length) })?;
    let length = usize::try_from(length).unwrap_or_default().saturating_sub(1);
    Ok(String::from_utf16_lossy(name.get(..length).unwrap_or_default()))
}

fn done(result: i32) -> io::Result<()> {
    // SAFETY: it has no arguments.
    if result == 0 { Err(io::Error::from_raw_os_error(unsafe { GetLastError() }.cast_signed())) } else { Ok(()) }
}
