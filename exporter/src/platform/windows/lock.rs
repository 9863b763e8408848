//! A file that one process at a time holds.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::windows::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use kagiban_files::{FileError, identify, write_new};
use winapi_util::{HandleRef, file};
use windows_sys::Win32::Storage::FileSystem::{FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_OPEN_REPARSE_POINT};

/// Held until it is dropped, or its process ends.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Takes the lock; none when another process holds it. Nobody but this account and administrators may open a file that is made here. No
/// link is followed, and nothing but a regular file with one name is opened.
///
/// # Errors
/// When the file cannot be made, opened or locked, or is none that a lock is.
pub fn lock(path: &Path) -> io::Result<Option<FileLock>> {
    let wrong = |error: String| io::Error::new(ErrorKind::InvalidInput, error);
    if matches!(identify(path), Err(FileError::NotFound { .. })) {
        // Another process may make it in this moment: then it is there, and looked at below.
        let made = write_new(path, &[], None);
        if matches!(identify(path), Err(FileError::NotFound { .. })) {
            made.map_err(|error| wrong(error.to_string()))?;
        }
    }
    identify(path).map_err(|error| wrong(error.to_string()))?;
    let file = OpenOptions::new().read(true).write(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(path)?;
    let names = file::information(HandleRef::from_file(&file))?.number_of_links();
    if file.metadata()?.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 || names > 1 {
        return Err(wrong("it is no file of its own; remove it".to_owned()));
    }
    match file.try_lock() {
        Ok(()) => Ok(Some(FileLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(source),
    }
}

/// The process of this program that has another file open than the one that has this name now: Windows does not tell, and lets nobody
/// rename a directory in which a file is open.
pub const fn open_elsewhere(_: &Path) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_holds_the_lock_and_nobody_else_may_read_its_file() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("lock");
        let held = lock(&path).expect("a lock").expect("nobody holds it");
        assert!(lock(&path).expect("asked").is_none());
        drop(held);
        drop(lock(&path).expect("a lock").expect("nobody holds it"));
        assert!(!kagiban_files::is_readable_by_others(&path));
    }

    /// Holds A1.
    #[test]
    fn what_is_no_file_of_its_own_is_not_locked() {
        let directory = tempfile::tempdir().expect("directory");
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("directory")).expect("a directory");
        std::fs::write(at("file"), "").expect("a file");
        std::fs::hard_link(at("file"), at("hard")).expect("a second name");
        for name in ["directory", "hard"] {
            assert!(lock(&at(name)).is_err(), "{name}");
        }
    }
}
