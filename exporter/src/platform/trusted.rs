//! Files that decide what is done with this program's rights.

use std::path::Path;

use super::{FileError, system};

/// Whether administrators alone decide what lies there, where this program works for the system: as a service of Windows. Elsewhere it is
/// told of what is exposed, and refuses nothing.
///
/// # Errors
/// [`FileError::Exposed`], or that it cannot be looked at.
pub fn check_trusted(path: &Path) -> Result<(), FileError> {
    if system::refuses_exposed() { system::check_unexposed(path) } else { Ok(()) }
}
