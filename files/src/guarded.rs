//! Directories in which nobody but an administrator can change what a name leads to: those of our own state, and those where a
//! person has files written. Each is walked to once, made and judged by its descriptor, and what is written there goes through it.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use crate::file::{FileError, Links, WriteError};
use crate::system::names::{self, Directory};
use crate::system::{Attributes, HeldEntry, is_private, made_private, walk_to_directory};

/// Makes a directory that only we may enter, with its parents, or checks the one that is there.
///
/// # Errors
/// Also when somebody else owns it or may write in it.
pub fn create_private_directory(path: &Path) -> Result<(), WriteError> {
    if path.file_name().is_none() {
        return check_private_directory(path);
    }
    let find = || HeldEntry::find(path, Links::OfAdministrators);
    let place = match find() {
        Err(error @ FileError::NotFound { .. }) => {
            // Each is durable before the next is made in it.
            create_private_directory(parent_of(path).ok_or(error)?)?;
            find()?
        }
        found => found?,
    };
    check_private(path, &place.make_or_open_directory()?)?;
    // A new directory is durable once its parent is. On a file system that takes nothing it is there since long.
    match names::sync(&place.directory) {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        synced => synced.map_err(place.failed("syncing the parent directory")),
    }
}

/// Whether a directory that is there is ours alone.
///
/// # Errors
/// When somebody else owns it or may write in it, or it cannot be looked at.
pub fn check_private_directory(path: &Path) -> Result<(), WriteError> {
    let directory = walk_to_directory(path).map_err(|e| WriteError::from_io(path, "opening the directory", e))?;
    check_private(path, &directory)
}

/// Writes a file that does not exist yet as [`write_new`](crate::write_new) does, private to this program, in a directory where
/// nobody but an administrator can change what a name leads to. Its directory is made where there is none.
///
/// # Errors
/// See [`WriteError`]; an existing file is one.
pub fn write_new_guarded(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    swept(path)?.write_new(bytes, &Attributes::ours())
}

/// The same over a file that is there or not. Until the new one is durable the old one stays beside it.
///
/// # Errors
/// See [`WriteError`]; what was there is there again then.
pub fn replace_guarded(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    swept(path)?.replace_or_leave(bytes, &Attributes::ours())
}

/// A guarded name, without what a killed process has left beside it: that may hold a key.
fn swept(path: &Path) -> Result<HeldEntry, WriteError> {
    let place = HeldEntry::guarded(path)?;
    let _ = place.sweep();
    Ok(place)
}

impl HeldEntry {
    /// Where `path` leads, if nobody but an administrator can change that. Directories on the way that are not there are made,
    /// private to us.
    pub(crate) fn guarded(path: &Path) -> Result<Self, WriteError> {
        let place = match Self::find(path, Links::Refuse) {
            Err(error @ FileError::NotFound { .. }) => {
                let (Some(parent), Some(name)) = (parent_of(path), path.file_name()) else { return Err(error.into()) };
                let parent = Self::guarded(parent)?;
                let directory = parent.make_or_open_directory()?;
                parent.sync()?;
                Self { directory, name: name.to_owned(), path: path.to_owned() }
            }
            found => found?,
        };
        let Some(why) = place.others_who_may_change_names()? else { return Ok(place) };
        let path = parent_of(path).unwrap_or_else(|| Path::new(".")).to_owned();
        Err(WriteError::Unguarded { path, why })
    }

    /// A directory beside this name that was not there, and that only we may enter. It is not durable before its parent is synced.
    pub(crate) fn make_directory(&self, name: &OsStr) -> Result<Directory, WriteError> {
        names::make_own_directory(&self.directory, name).map_err(self.failed("making the directory"))
    }

    fn make_or_open_directory(&self) -> Result<Directory, WriteError> {
        let open = || names::open_directory(&self.directory, &self.name);
        let opened = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match names::make_directory(&self.directory, &self.name) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(self.failed("making the directory")(error));
                    }
                    _ => open(),
                }
            }
            opened => opened,
        };
        opened.map_err(self.failed("opening the directory"))
    }
}

fn check_private(path: &Path, directory: &Directory) -> Result<(), WriteError> {
    if is_private(directory).map_err(|e| WriteError::from_io(path, "looking at the directory", e))? {
        return Ok(());
    }
    let source = io::Error::other(format!("others own it or may write in it; {}", made_private(path)));
    Err(WriteError::AccessNotKept { path: path.to_owned(), source })
}

fn parent_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}
