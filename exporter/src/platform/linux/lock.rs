//! A file that one process at a time holds.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;

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
