//! Where a file lies, whatever path leads there.

use std::ffi::OsString;
use std::path::Path;

use rustix::fs::fstat;

use super::held::HeldEntry;
use crate::file::{FileError, Links};

/// A name in a directory, whether there is a file of that name or not. Two paths with one destination lead to one file: by
/// links of an administrator, by a directory that is mounted twice, or by another spelling.
///
/// A file with a second name (a hard link, or a mount of its own) has two: none of them is ever replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    device: u64,
    inode: u64,
    name: OsString,
}

/// Where a path leads, by the rules by which a file is replaced: no link counts that an account could have put there.
///
/// # Errors
/// See [`FileError`]; a directory that is not there is one.
pub fn destination(path: &Path) -> Result<Destination, FileError> {
    let HeldEntry { directory, name, .. } = HeldEntry::find(path, Links::Refuse)?;
    let directory = fstat(&directory).map_err(|error| FileError::from_io(path, error.into()))?;
    Ok(Destination { device: directory.st_dev, inode: directory.st_ino, name })
}
