//! A file that one process at a time holds.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Held until it is dropped, or its process ends.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Takes the lock; none when another process holds it.
///
/// # Errors
/// When the file cannot be made, opened or locked.
pub fn lock(path: &Path) -> io::Result<Option<FileLock>> {
    let open = |options: &mut OpenOptions| options.open(path);
    let file = match open(OpenOptions::new().write(true)) {
        Err(error) if error.kind() == ErrorKind::NotFound => open(OpenOptions::new().create(true).append(true)),
        // Only over NFS does a lock take the right to write.
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => open(OpenOptions::new().read(true)),
        opened => opened,
    };
    let file = file?;
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
