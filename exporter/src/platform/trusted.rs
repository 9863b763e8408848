//! Files that decide what is done with this program's rights. Where this program works for the system, as a service of Windows, they are
//! refused unless administrators alone decide what lies there. Elsewhere people are told what is exposed, and nothing is refused.

use std::path::Path;

use super::{FileError, FileRead, system};

/// Reads such a file of at most `limit` bytes: judged and read by one handle.
///
/// # Errors
/// [`FileError::Exposed`], and why it cannot be read.
pub fn read_trusted(path: &Path, limit: u64) -> Result<FileRead, FileError> {
    if system::refuses_exposed() { system::read_unexposed(path, limit) } else { super::read_regular(path, limit) }
}

/// Whether nobody but administrators may give the name of a directory above a path to another one.
///
/// # Errors
/// [`FileError::Exposed`], or that it cannot be looked at.
pub fn check_way(path: &Path) -> Result<(), FileError> {
    system::check_way(path)
}

/// Whether a directory of ours lies where only administrators can put another one in its place.
///
/// # Errors
/// [`FileError::Exposed`], or that it cannot be looked at.
pub fn check_trusted_way(path: &Path) -> Result<(), FileError> {
    if system::refuses_exposed() { check_way(path) } else { Ok(()) }
}
