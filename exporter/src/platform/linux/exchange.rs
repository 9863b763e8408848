//! A new file takes the place of another in one step, and the other stays beside it: going back is a rename, which needs
//! no space.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, linkat, openat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use super::attributes::Attributes;
use super::held::Place;
use crate::platform::WriteError;
use crate::platform::files::{FileIdentity, Links};

/// What takes whose place.
#[derive(Clone, Copy, Debug)]
pub struct Swap<'a> {
    pub path: &'a Path,
    /// A file in the same directory, written by [`super::write_new`]. Where the file system exchanges names, it is the
    /// old file afterwards.
    pub staged: &'a Path,
    /// Where the old file stays when names cannot be exchanged; none when it need not stay.
    pub beside: Option<&'a Path>,
    /// What must be in `staged`: its directory may belong to the service, and so to whoever took that over.
    pub sha256: &'a [u8; 32],
    /// Of the surveyed file, and of the new one.
    pub attributes: &'a Attributes,
    /// The surveyed file; none when there was none.
    pub old: Option<&'a FileIdentity>,
}

/// Carries a swap out, durably. What lies there must be what was surveyed: the same file, owner and permissions.
///
/// # Errors
/// See [`WriteError`]. After an error `path` may be old or new, but is whole.
pub fn swap(swap: &Swap<'_>) -> Result<(), WriteError> {
    let place = Place::find(swap.path, Links::Refuse)?;
    let staged = swap.staged.file_name().unwrap_or_default();
    place.check_staged(staged, swap)?;
    place.check_surveyed(swap)?;
    match swap.old {
        Some(old) => place.exchange(staged, old, swap.beside)?,
        None => place.take_free_name(staged)?,
    }
    place.sync()
}

/// Gives a file beside `path` its name, durably; what has the name now is gone then.
///
/// # Errors
/// See [`WriteError`]; also when another file than `identity` says lies there.
pub fn rename_over(from: &Path, identity: &FileIdentity, path: &Path) -> Result<(), WriteError> {
    let place = Place::find(path, Links::Refuse)?;
    let name = from.file_name().unwrap_or_default();
    if !place.is_at(name, identity) {
        return Err(WriteError::Altered { path: from.to_owned() });
    }
    renameat(&place.directory, name, &place.directory, place.name.as_os_str())
        .map_err(|e| place.failed("renaming the file beside it over it")(e.into()))?;
    place.sync()
}

/// Removes `beside` if it is a second name of the file at `path`: what an interrupted [`swap`] leaves where names cannot
/// be exchanged.
///
/// # Errors
/// See [`WriteError`].
pub fn unlink_second_name(beside: &Path, path: &Path) -> Result<(), WriteError> {
    let place = Place::find(path, Links::Refuse)?;
    let name = beside.file_name().unwrap_or_default();
    let at = |name: &OsStr| statat(&place.directory, name, AtFlags::SYMLINK_NOFOLLOW);
    let (Ok(one), Ok(other)) = (at(place.name.as_os_str()), at(name)) else { return Ok(()) };
    if (one.st_dev, one.st_ino) != (other.st_dev, other.st_ino) {
        return Ok(());
    }
    unlinkat(&place.directory, name, AtFlags::empty())
        .map_err(|e| place.failed("removing its second name")(e.into()))?;
    place.sync()
}

impl Place {
    fn check_staged(&self, name: &OsStr, swap: &Swap<'_>) -> Result<(), WriteError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let staged = openat(&self.directory, name, flags, Mode::empty())
            .map_err(|e| self.failed("opening the new file")(e.into()))?;
        let mut staged = File::from(staged);
        let metadata = staged.metadata().map_err(self.failed("looking at the new file"))?;
        let attributes = Attributes::of(&staged, &metadata).map_err(self.failed("looking at the new file"))?;
        if !metadata.is_file() || metadata.nlink() != 1 || !attributes.is_same_access(swap.attributes) {
            return Err(WriteError::Altered { path: swap.staged.to_owned() });
        }
        self.check(&mut staged, swap.sha256)
    }

    fn check_surveyed(&self, swap: &Swap<'_>) -> Result<(), WriteError> {
        let changed = || WriteError::Changed { path: self.path.clone() };
        match (self.open_file()?, swap.old) {
            (None, None) => Ok(()),
            (Some((file, metadata)), Some(old)) => {
                let attributes = Attributes::of(&file, &metadata).map_err(self.failed("looking at it"))?;
                let is_same = is_identity(old, metadata.dev(), metadata.ino())
                    && metadata.nlink() == 1
                    && attributes.is_same_access(swap.attributes);
                if is_same { Ok(()) } else { Err(changed()) }
            }
            (None, Some(_)) | (Some(_), None) => Err(changed()),
        }
    }

    fn exchange(&self, staged: &OsStr, old: &FileIdentity, beside: Option<&Path>) -> Result<(), WriteError> {
        match self.exchange_names(staged) {
            Ok(()) if self.is_at(staged, old) => Ok(()),
            // Somebody put another file there after it was looked at; they get it back.
            Ok(()) => {
                self.exchange_names(staged).map_err(|e| self.failed("exchanging the files back")(e.into()))?;
                Err(WriteError::Changed { path: self.path.clone() })
            }
            Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => self.link_and_rename(staged, beside),
            Err(error) => Err(self.failed("exchanging it with the new file")(error.into())),
        }
    }

    fn exchange_names(&self, staged: &OsStr) -> rustix::io::Result<()> {
        renameat_with(&self.directory, staged, &self.directory, self.name.as_os_str(), RenameFlags::EXCHANGE)
    }

    /// For kernels and file systems that cannot exchange names. A file system without links either has no old file
    /// beside the new one: the way back is the backup alone.
    fn link_and_rename(&self, staged: &OsStr, beside: Option<&Path>) -> Result<(), WriteError> {
        if let Some(beside) = beside.and_then(Path::file_name) {
            match linkat(&self.directory, self.name.as_os_str(), &self.directory, beside, AtFlags::empty()) {
                Ok(()) => self.sync()?,
                Err(Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP) => {}
                Err(error) => return Err(self.failed("linking the old file beside it")(error.into())),
            }
        }
        renameat(&self.directory, staged, &self.directory, self.name.as_os_str())
            .map_err(|e| self.failed("renaming the new file over it")(e.into()))
    }

    fn take_free_name(&self, staged: &OsStr) -> Result<(), WriteError> {
        let name = self.name.as_os_str();
        match renameat_with(&self.directory, staged, &self.directory, name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(WriteError::Changed { path: self.path.clone() }),
            Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => {
                renameat(&self.directory, staged, &self.directory, name)
                    .map_err(|e| self.failed("renaming the new file")(e.into()))
            }
            Err(error) => Err(self.failed("renaming the new file")(error.into())),
        }
    }

    fn is_at(&self, name: &OsStr, identity: &FileIdentity) -> bool {
        let found = statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|found| is_identity(identity, found.st_dev, found.st_ino))
    }
}

fn is_identity(identity: &FileIdentity, device: u64, inode: u64) -> bool {
    (identity.device, identity.inode) == (device, inode)
}
