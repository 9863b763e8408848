//! The way to a file of an agent, whose directory may belong to an attacker: it is walked name by name, each opened in the directory
//! before it, which is held. No link (reparse point) is followed, and the file is opened once and judged by its handle.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsHandle, OwnedHandle};
use std::path::{Path, PathBuf};

use windows_sys::Wdk::Storage::FileSystem::{FILE_DIRECTORY_FILE, FILE_OPEN, FILE_WRITE_THROUGH};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_APPEND_DATA, FILE_ATTRIBUTE_REPARSE_POINT, FILE_READ_ATTRIBUTES, FILE_READ_DATA, READ_CONTROL, WRITE_DAC,
};

use super::access::{Access, Writers, is_administrator};
use super::attributes::{Attributes, own_account};
use super::names::{self, Directory, HELD_DIRECTORY, SHARED, wide};
use super::read::{Metadata, regular};
use super::sys::{self, How};
use super::way::Way;
use crate::file::{FileError, Links, WriteError};

/// A name in a directory that is held open: between two steps nobody can put another directory in its place.
#[derive(Debug)]
pub(crate) struct HeldEntry {
    pub(crate) directory: Directory,
    pub(crate) name: OsString,
    /// As it was given, for messages.
    pub(crate) path: PathBuf,
}

impl HeldEntry {
    /// A link is followed nowhere, whoever has put it there: [`Links`] says only what may be followed.
    pub(crate) fn find(path: &Path, _: Links) -> Result<Self, FileError> {
        let refused = |kind| FileError::NotRegular { path: path.to_owned(), kind };
        let mut way = Way::of(path).map_err(refused)?;
        let name = way.names.pop().ok_or_else(|| refused("no file name"))?;
        Ok(Self { directory: walk(path, &way)?, name, path: path.to_owned() })
    }

    /// Opens the regular file of a name there. To open a link or a directory for reading does nothing to them.
    pub(crate) fn open_at(&self, name: &OsStr) -> Result<Option<(File, Metadata)>, FileError> {
        self.open_as(name, FILE_READ_DATA | FILE_READ_ATTRIBUTES | READ_CONTROL)
    }

    /// A handle changes a list where it was opened for that, and is flushed where it was opened to write.
    pub(crate) fn open_to_narrow(&self) -> Result<Option<(File, Metadata)>, FileError> {
        self.open_as(&self.name, FILE_APPEND_DATA | FILE_READ_ATTRIBUTES | READ_CONTROL | WRITE_DAC)
    }

    /// What is written by such a handle is written at the end.
    pub(crate) fn open_to_append(&self) -> Result<Option<(File, Metadata)>, FileError> {
        self.open_as(&self.name, FILE_APPEND_DATA | FILE_READ_ATTRIBUTES | READ_CONTROL)
    }

    /// A handle is flushed where it was opened to write.
    pub(crate) fn open_to_sync(&self) -> Result<Option<(File, Metadata)>, FileError> {
        self.open_to_append()
    }

    pub(super) fn open_as(&self, name: &OsStr, access: u32) -> Result<Option<(File, Metadata)>, FileError> {
        let failed = |error| FileError::from_io(&self.path, error);
        let how = How { access, share: SHARED, disposition: FILE_OPEN, options: 0 };
        let opened = wide(name).and_then(|name| sys::open(Some(self.directory.as_handle()), &name, how, None));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let metadata = Metadata(sys::look(file.as_handle()).map_err(failed)?);
        regular(&self.path, &metadata)?;
        Ok(Some((file.into(), metadata)))
    }

    /// Whoever may write in a directory may put a file of theirs under any of its names. The service that owns the
    /// directory is meant to; other accounts are not.
    pub(crate) fn check_owner(&self, file: &File, _: &Metadata) -> Result<(), FileError> {
        let failed = |error| FileError::from_io(&self.path, error);
        let owner = access_of(file).map_err(failed)?.owner;
        let directory = access_of(&self.directory).map_err(failed)?;
        if is_meant(&owner, &directory, own_account()) {
            return Ok(());
        }
        Err(FileError::ForeignOwner { path: self.path.clone(), owner })
    }

    /// Why others than an administrator can change what the names in the directory lead to; none where they cannot.
    pub(crate) fn others_who_may_change_names(&self) -> Result<Option<String>, WriteError> {
        let directory = access_of(&self.directory).map_err(self.failed("looking at the directory"))?;
        Ok(match directory.writers(own_account()) {
            Writers::Administrators | Writers::EachTheirOwn => None,
            Writers::Owner(account) => Some(format!("belongs to the account {account}")),
            Writers::Others => Some("other accounts may change what lies in it".to_owned()),
        })
    }

    /// Whether `bytes` more can be written there.
    pub(crate) fn has_room(&self, bytes: u64) -> io::Result<bool> {
        Ok(sys::room(self.directory.as_handle())? >= bytes)
    }

    pub(crate) fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> WriteError {
        move |source| match source {
            source if names::is_busy(&source) => WriteError::InUse { path: self.path.clone() },
            source => WriteError::from_io(&self.path, what, source),
        }
    }
}

/// Whether a file of this owner is meant to lie in a directory. Where only administrators write they have given it to its owner, a
/// service that reads it there. In a directory that nobody else may read either, as our own are, no service reads anything: such a file
/// is of a person who was an administrator when it was made, and may change it without being one.
fn is_meant(owner: &str, directory: &Access, own: &str) -> bool {
    let is_given = || directory.writers(own) == Writers::Administrators && directory.is_readable_by_others(own);
    is_administrator(owner, own) || owner == directory.owner || is_given()
}

/// Whether a directory is ours, and nobody but administrators may write in it.
pub(crate) fn is_private(directory: &Directory) -> io::Result<bool> {
    Ok(is_ours(directory)? && access_of(directory)?.writers(own_account()) == Writers::Administrators)
}

/// Windows may give what an administrator makes to all of them.
pub(crate) fn is_ours(directory: &Directory) -> io::Result<bool> {
    Ok(is_administrator(&access_of(directory)?.owner, own_account()))
}

/// A directory by itself, walked to like a file.
pub(crate) fn walk_to_directory(path: &Path) -> io::Result<Directory> {
    let refused = |kind: &str| io::Error::other(format!("it is {kind}"));
    walk(path, &Way::of(path).map_err(refused)?).map_err(|error| match error {
        FileError::Read { source, .. } => source,
        FileError::NotFound { .. } => io::ErrorKind::NotFound.into(),
        FileError::PermissionDenied { .. } => io::ErrorKind::PermissionDenied.into(),
        error => io::Error::other(error.to_string()),
    })
}

pub(super) fn access_of(handle: &impl AsHandle) -> io::Result<Access> {
    Attributes::of_handle(handle)?.access()
}

fn walk(path: &Path, way: &Way) -> Result<Directory, FileError> {
    // What is only passed need not be open to us but for a look at what it is.
    walk_past(path, way, FILE_READ_ATTRIBUTES, HELD_DIRECTORY, |_| Ok(()))
}

/// Each directory on the way, from the volume on, is opened with the rights `passed`, the last of them with `last`, and given to `look`.
pub(super) fn walk_past(
    path: &Path,
    way: &Way,
    passed: u32,
    last: u32,
    mut look: impl FnMut(&Directory) -> Result<(), FileError>,
) -> Result<Directory, FileError> {
    let failed = |error| FileError::from_io(path, error);
    let how = |access| How {
        access,
        share: SHARED,
        disposition: FILE_OPEN,
        options: FILE_DIRECTORY_FILE | FILE_WRITE_THROUGH,
    };
    let passed = |left: &[OsString]| how(if left.is_empty() { last } else { passed });
    let root: Vec<u16> = way.root.encode_wide().collect();
    let mut at: OwnedHandle = sys::open(None, &root, passed(&way.names), None).map_err(failed)?;
    look(&at)?;
    for (index, name) in way.names.iter().enumerate() {
        let how = passed(&way.names[index + 1..]);
        at = wide(name).and_then(|name| sys::open(Some(at.as_handle()), &name, how, None)).map_err(failed)?;
        if sys::look(at.as_handle()).map_err(failed)?.attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
            return Err(FileError::LinkOnTheWay { path: path.to_owned(), name: name.clone() });
        }
        look(&at)?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_file_is_meant_to_lie_where_its_service_reads_it_and_not_in_a_directory_of_ours() {
        const SERVICE: &str = "S-1-5-80-1-2-3-4-5";
        for (directory, is_meant_there) in [
            ("O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)", true),
            ("O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", false),
            ("O:BAD:P(A;OICI;FA;;;BA)(A;OICI;FA;;;S-1-5-80-1-2-3-4-5)", false),
            ("O:S-1-5-80-1-2-3-4-5D:P(A;OICI;FA;;;BA)", true),
            ("O:BAD:P(A;OICI;FA;;;BA)(A;;0x1301ff;;;BU)", false),
        ] {
            let directory = Access::of(directory).expect("a list");
            assert_eq!(is_meant(SERVICE, &directory, "BA"), is_meant_there, "{directory:?}");
            assert!(is_meant("SY", &directory, "BA") && is_meant("BA", &directory, "BA"));
        }
    }
}
