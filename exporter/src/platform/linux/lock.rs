//! A file that one process at a time holds.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::accounts::{ids, status_of};

/// Held until it is dropped, or its process ends.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Whoever may open it for reading may hold it.
const MODE: u32 = 0o600;

/// Takes the lock; none when another process holds it. Nobody but its owner may open the file. The last name of the path is not followed,
/// and nothing but a regular file is opened: the directory may be another account's than that of whoever calls.
///
/// # Errors
/// When the file cannot be made, opened or locked, or is none that a lock is.
pub fn lock(path: &Path) -> io::Result<Option<FileLock>> {
    let open = |options: &mut OpenOptions| {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed()).open(path)
    };
    let file = match open(OpenOptions::new().write(true)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            open(OpenOptions::new().create(true).append(true).mode(MODE))
        }
        // Only over NFS does a lock take the right to write.
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => open(OpenOptions::new().read(true)),
        opened => opened,
    };
    let file = file?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.nlink() > 1 {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no file of its own; remove it"));
    }
    if metadata.mode() & 0o077 != 0 {
        // An earlier version left it to the umask. What cannot be changed, as on a read-only file system, is as it was
        let _ = file.set_permissions(Permissions::from_mode(MODE));
    }
    match file.try_lock() {
        Ok(()) => Ok(Some(FileLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(source),
    }
}

/// The process of this program that has another file open than the one that has this name now: a file system was mounted over
/// its directory, for example. None where the system tells of none, as of other accounts' processes. Only root's processes count, this
/// account's, and those of whoever owns the directory: in a mount namespace of its own any account has a file of this name.
pub fn open_elsewhere(path: &Path) -> Option<u32> {
    let directory = fs::canonicalize(path.parent()?).ok()?;
    let owner = fs::metadata(&directory).ok()?.uid();
    let trusted = [0, rustix::process::geteuid().as_raw(), owner];
    let path = directory.join(path.file_name()?);
    let identity = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let now = identity(&path);
    let is_another = |fd: &Path| fs::read_link(fd).is_ok_and(|name| name == path) && identity(fd) != now;
    let named = |process: &Path| fs::read(process.join("comm")).ok();
    let own = named(Path::new("/proc/self"))?;
    let processes = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())));
    let counts = |process: &Path| account_of(process).is_some_and(|account| trusted.contains(&account));
    let mut ours = processes.filter(|(_, process)| named(process).as_ref() == Some(&own) && counts(process));
    ours.find_map(|(number, process)| open_files(&process).any(|fd| is_another(&fd)).then_some(number))
}

/// The effective account that it runs under, as this namespace of accounts counts. The owner of its directory in /proc is root when it
/// cannot be dumped.
fn account_of(process: &Path) -> Option<u32> {
    ids(&status_of(process)?, "Uid:").get(1).copied()
}

fn open_files(process: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(process.join("fd")).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Holds A1: the directory belongs to the account of the metrics unit, and root's commands look into it.
    #[test]
    fn a_link_or_a_pipe_in_the_place_of_the_file_is_neither_followed_nor_waited_for() {
        let directory = tempfile::tempdir().expect("directory");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("passwd"), "").expect("a file");
        fs::set_permissions(at("passwd"), Permissions::from_mode(0o644)).expect("its mode");
        symlink(at("passwd"), at("link")).expect("a link");
        symlink(at("missing"), at("dangling")).expect("a link");
        fs::hard_link(at("passwd"), at("hard")).expect("a second name");
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .expect("a pipe");
        for name in ["link", "dangling", "hard", "pipe"] {
            assert!(lock(&at(name)).is_err(), "{name}");
        }
        assert_eq!(fs::metadata(at("passwd")).expect("there").mode() & 0o777, 0o644);
        assert!(!at("missing").exists());
    }

    /// Holds A6: the owner of a process's directory in /proc says nothing of one that cannot be dumped.
    #[test]
    fn the_account_of_a_process_is_the_one_that_it_runs_under() {
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(account_of(Path::new("/proc/self")), Some(own));
        let mut other = std::process::Command::new("setpriv");
        other.args(["--reuid", "65534", "--clear-groups", "sleep", "60"]);
        let mut other = other.spawn().expect("these tests need the program setpriv and root");
        let process = PathBuf::from(format!("/proc/{}", other.id()));
        let began = std::time::Instant::now();
        while account_of(&process) != Some(65534) && began.elapsed().as_secs() < 30 {
            std::thread::yield_now();
        }
        let account = account_of(&process);
        other.kill().and_then(|()| other.wait()).expect("ended");
        assert_eq!(account, Some(65534));
    }

    /// Holds A6: whoever could open the file kept a restarted exporter from its journals for as long as they liked.
    #[test]
    fn nobody_else_may_open_the_file_and_one_that_an_earlier_version_left_open_is_closed() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("lock");
        let mode = || fs::metadata(&path).expect("the file").mode() & 0o777;
        drop(lock(&path).expect("a lock").expect("nobody holds it"));
        assert_eq!(mode(), MODE);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("its mode");
        let held = lock(&path).expect("a lock").expect("nobody holds it");
        assert_eq!(mode(), MODE);
        assert!(lock(&path).expect("asked").is_none());
        drop(held);
    }
}
