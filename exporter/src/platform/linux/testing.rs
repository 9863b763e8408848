//! What tests need of the system.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command};

use rustix::fs::{IFlags, ioctl_setflags};
use rustix::io::Errno;
use tempfile::TempDir;

/// A command that does nothing, as YAML.
pub(crate) const TRUE: &str = "[/bin/true]";

/// A text with absolute paths of Linux, as this system writes them.
pub(crate) fn native(text: &str) -> String {
    text.to_owned()
}

/// A symbolic link at `link` that leads to `target`.
pub(crate) fn symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Lets a group read a file, as vendors do.
pub(crate) fn open_to_a_group(path: &Path) {
    set_mode(path, 0o640);
}

/// A command as YAML that does nothing, and whose program others may exchange. It is gone with the directory.
pub(crate) fn exposed_command() -> (TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("theirs");
    fs::write(&program, "#!/bin/sh\n").expect("written");
    set_mode(&program, 0o777);
    (directory, format!("['{}']", program.display()))
}

/// Gives a file or a directory the permission bits of Unix.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

/// The permission bits.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

/// Gives what lies there to an account that has no business with it.
pub(crate) fn give_to_a_stranger(path: &Path) {
    assert!(rustix::process::geteuid().is_root(), "this test gives files to another account: run it as root");
    std::os::unix::fs::chown(path, Some(65_534), None).expect("chown");
}

/// What a system says that has no descriptor left, for this process or for any.
pub(crate) fn shortages() -> Vec<io::Error> {
    [Errno::MFILE, Errno::NFILE].map(io::Error::from).into()
}

/// What a system says whose disk fails.
pub(crate) fn disk_fault() -> io::Error {
    Errno::IO.into()
}

/// What keeps this host from connecting to another: descriptors, buffers, an address, a way.
pub(crate) fn kept_from_connecting() -> Vec<io::Error> {
    [Errno::MFILE, Errno::NOBUFS, Errno::ADDRNOTAVAIL, Errno::NETUNREACH].map(io::Error::from).into()
}

/// What another host says that refuses a connection, or ends it.
pub(crate) fn refused_by_the_other() -> Vec<io::Error> {
    [Errno::CONNREFUSED, Errno::CONNRESET].map(io::Error::from).into()
}

/// Has `call`s of this thread fail, until it is dropped.
pub(crate) struct FaultyThread(Child);

impl FaultyThread {
    /// `fault` as strace injects it; `only` says which of the calls.
    pub(crate) fn begin(call: &str, fault: &str, only: &[&str]) -> Self {
        let thread = fs::read_link("/proc/thread-self").expect("this thread");
        let thread = thread.file_name().and_then(|name| name.to_str()).expect("its number");
        let mut strace = Command::new("strace")
            .args(["-qqq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &format!("inject={call}:{fault}")])
            .args(["-p", thread])
            .args(only)
            .spawn()
            .expect("install the package strace");
        let is_traced = || {
            let status = fs::read_to_string("/proc/thread-self/status").expect("status");
            !status.lines().any(|line| line == "TracerPid:\t0")
        };
        while !is_traced() {
            assert!(strace.try_wait().expect("strace").is_none(), "strace ended: run this test as root");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Self(strace)
    }
}

impl Drop for FaultyThread {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// `work`, with no sync of the directory having an effect.
pub(crate) fn without_syncs<T>(directory: &Path, work: impl FnOnce() -> T) -> T {
    let _faulty = FaultyThread::begin("fsync", "error=EIO", &["-P", directory.to_str().expect("UTF-8")]);
    work()
}

/// `work`, while the file cannot be replaced.
pub(crate) fn with_fixed<T>(path: &Path, work: impl FnOnce() -> T) -> T {
    let fixed = fs::File::open(path).expect("open");
    ioctl_setflags(&fixed, IFlags::IMMUTABLE).expect("run as root, on a file system with immutable files");
    let done = work();
    ioctl_setflags(&fixed, IFlags::empty()).expect("clear");
    done
}

/// `work`, while nothing can be written to the directory.
pub(crate) fn with_read_only<T>(directory: &Path, work: impl FnOnce() -> T) -> T {
    assert!(rustix::process::geteuid().is_root(), "this test mounts: run it as root, with CAP_SYS_ADMIN");
    let mount = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).arg(directory).status();
        assert!(status.expect("install the package mount").success(), "{program} {arguments:?}");
    };
    mount("mount", &["--bind", directory.to_str().expect("UTF-8")]);
    mount("mount", &["-o", "remount,bind,ro"]);
    let done = work();
    mount("umount", &["-l"]);
    done
}
