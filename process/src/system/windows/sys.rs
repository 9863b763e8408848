//! Windows' own calls, as safe functions: the only file of this crate with `unsafe` in it.

#![allow(unsafe_code)] // Windows has no safe way: `windows-sys` declares its functions, and no more.

use windows_sys::Win32::System::Diagnostics::Debug::{
    GetErrorMode, SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX, SetErrorMode,
};

/// No dialogue waits for a person when this program fails, and no report of its memory is written.
pub(super) fn forbid_error_reports() {
    // SAFETY: neither has a pointer. The mode is the process's own.
    unsafe { SetErrorMode(GetErrorMode() | SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX) };
}
