//! A file that one process at a time holds.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Held until it is dropped, or its process ends.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Whoever may open it for reading may hold it.
const MODE: u32 = 0o600;

/// Takes the lock; none when another process holds it. Nobody but its owner may open the file.
///
/// # Errors
/// When the file cannot be made, opened or locked.
pub fn lock(path: &Path) -> io::Result<Option<FileLock>> {
    let open = |options: &mut OpenOptions| options.open(path);
    let file = match open(OpenOptions::new().write(true)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            open(OpenOptions::new().create(true).append(true).mode(MODE))
        }
        // Only over NFS does a lock take the right to write.
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => open(OpenOptions::new().read(true)),
        opened => opened,
    };
    let file = file?;
    if file.metadata()?.mode() & 0o077 != 0 {
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
/// its directory, for example. None where the system tells of none, as of other accounts' processes.
pub fn open_elsewhere(path: &Path) -> Option<u32> {
    let directory = fs::canonicalize(path.parent()?).ok()?;
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
    let mut ours = processes.filter(|(_, process)| named(process).as_ref() == Some(&own));
    ours.find_map(|(number, process)| open_files(&process).any(|fd| is_another(&fd)).then_some(number))
}

fn open_files(process: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(process.join("fd")).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

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
