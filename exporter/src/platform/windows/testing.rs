//! What tests need of the system. Tests of what Windows has otherwise, or under Wine not at all, are not run there (docs/windows.md).

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;
use windows_sys::Win32::Foundation::{ERROR_CRC, ERROR_TOO_MANY_OPEN_FILES};
use windows_sys::Win32::Networking::WinSock::{
    WSAEADDRNOTAVAIL, WSAECONNREFUSED, WSAECONNRESET, WSAEMFILE, WSAENETUNREACH, WSAENOBUFS,
};

/// A command that does nothing, as YAML.
pub(crate) const TRUE: &str = "[C:/windows/system32/hostname.exe]";

/// A text with absolute paths of Linux, as this system writes them: with a drive before each.
pub(crate) fn native(text: &str) -> String {
    let (mut native, mut before) = (String::new(), ' ');
    for letter in text.chars() {
        if letter == '/' && " \n'\"[".contains(before) {
            native.push_str("C:");
        }
        native.push(letter);
        before = letter;
    }
    native
}

/// A symbolic link at `link` that leads to `target`.
pub(crate) fn symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

/// Lets a group read a file: under Wine, what its directory hands down stays.
pub(crate) const fn open_to_a_group(_: &Path) {}

/// A command as YAML that does nothing, and whose program others may exchange: Wine's drive `Z:` is Linux's root, where everybody may add
/// names to `/tmp`. It is gone with the directory.
pub(crate) fn exposed_command() -> (TempDir, String) {
    let directory = tempfile::tempdir_in(r"Z:\tmp").expect("this test needs Wine");
    let program = directory.path().join("theirs.cmd");
    fs::write(&program, "").expect("written");
    (directory, format!("['{}']", program.display()))
}

/// Windows has no permission bits.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    panic!("{}: Windows has no mode {mode:o}", path.display());
}

pub(crate) fn mode(path: &Path) -> u32 {
    panic!("{}: Windows has no modes", path.display());
}

pub(crate) fn give_to_a_stranger(path: &Path) {
    panic!("{}: no test for Windows gives files away", path.display());
}

/// What a system says that has no handle left, for a file or a socket.
pub(crate) fn shortages() -> Vec<io::Error> {
    vec![code(ERROR_TOO_MANY_OPEN_FILES), io::Error::from_raw_os_error(WSAEMFILE)]
}

/// What a system says whose disk fails.
pub(crate) fn disk_fault() -> io::Error {
    code(ERROR_CRC)
}

/// What keeps this host from connecting to another: handles, buffers, an address, a way.
pub(crate) fn kept_from_connecting() -> Vec<io::Error> {
    [WSAEMFILE, WSAENOBUFS, WSAEADDRNOTAVAIL, WSAENETUNREACH].map(io::Error::from_raw_os_error).into()
}

/// What another host says that refuses a connection, or ends it.
pub(crate) fn refused_by_the_other() -> Vec<io::Error> {
    [WSAECONNREFUSED, WSAECONNRESET].map(io::Error::from_raw_os_error).into()
}

/// For the tests that ask the service control manager: of calls from several threads at once, Wine 8 refuses some with "Invalid handle".
pub(crate) fn alone_with_the_manager() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct FaultyThread;

impl FaultyThread {
    pub(crate) fn begin(call: &str, _fault: &str, _only: &[&str]) -> Self {
        panic!("no test for Windows has {call} fail");
    }
}

/// Windows does not sync a directory.
pub(crate) fn without_syncs<T>(_directory: &Path, work: impl FnOnce() -> T) -> T {
    work()
}

pub(crate) fn with_fixed<T>(path: &Path, _work: impl FnOnce() -> T) -> T {
    panic!("{}: no test for Windows fixes files", path.display());
}

pub(crate) fn with_read_only<T>(directory: &Path, _work: impl FnOnce() -> T) -> T {
    panic!("{}: no test for Windows mounts", directory.display());
}

fn code(code: u32) -> io::Error {
    io::Error::from_raw_os_error(code.cast_signed())
}
