//! Windows' own calls, as safe functions: the only file of this crate with `unsafe` in it.

#![allow(unsafe_code)] // Windows has no safe way: `windows-sys` declares its functions, and no more.

use std::io;
use std::mem::size_of;
use std::os::windows::io::{AsRawSocket, BorrowedSocket};

use kagiban_files::ObjectSecurity;
use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};
use windows_sys::Win32::Networking::WinSock::{SO_EXCLUSIVEADDRUSE, SOL_SOCKET, setsockopt};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::System::Diagnostics::Debug::{
    GetErrorMode, SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX, SetErrorMode,
};

/// No dialogue waits for a person when this program fails, and no report of its memory is written.
pub(super) fn forbid_error_reports() {
    // SAFETY: neither has a pointer. The mode is the process's own.
    unsafe { SetErrorMode(GetErrorMode() | SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX) };
}

/// An instance of the pipe of this name, which has this owner and access list before anybody can open it.
pub(super) fn create_pipe(
    options: &ServerOptions,
    name: &str,
    security: &ObjectSecurity,
) -> io::Result<NamedPipeServer> {
    let mut attributes = SECURITY_ATTRIBUTES {
        nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or(u32::MAX),
        lpSecurityDescriptor: security.as_ptr(),
        bInheritHandle: 0,
    };
    // SAFETY: the structure is whole and leads to a descriptor; both live until the call is over, and Windows keeps neither.
    unsafe { options.create_with_security_attributes_raw(name, (&raw mut attributes).cast()) }
}

/// Lets nobody else listen at a socket's address, once it has one. Else a program of any account that asks for the address to be shared
/// (`SO_REUSEADDR`) gets some of the connections.
pub(super) fn take_alone(socket: BorrowedSocket<'_>) -> io::Result<()> {
    let is_alone = 1_u32;
    let length = i32::try_from(size_of::<u32>()).unwrap_or_default();
    let at = usize::try_from(socket.as_raw_socket()).map_err(io::Error::other)?;
    // SAFETY: the socket is open, and the option is a number of this length, which lives until the call is over.
    let set = unsafe { setsockopt(at, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (&raw const is_alone).cast(), length) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether a socket was told so.
#[cfg(test)]
pub(super) fn is_taken_alone(socket: BorrowedSocket<'_>) -> bool {
    use windows_sys::Win32::Networking::WinSock::getsockopt;
    let mut is_alone = 0_u32;
    let mut length = i32::try_from(size_of::<u32>()).expect("4");
    let at = usize::try_from(socket.as_raw_socket()).expect("a socket");
    // SAFETY: the socket is open, and it is given as many bytes as it may write.
    let told = unsafe { getsockopt(at, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (&raw mut is_alone).cast(), &raw mut length) };
    assert_eq!(told, 0, "{}", io::Error::last_os_error());
    is_alone != 0
}
