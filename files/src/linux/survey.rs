//! What would be replaced, and whether it can be: asked before a certificate is issued and long before a service is
//! stopped.

use std::fs::{File, Metadata};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, IFlags, StatxAttributes, StatxFlags, accessat, ioctl_getflags, statx};

use super::attributes::Attributes;
use super::held::{HeldEntry, HeldFile};
use super::mounts;
use super::read::identity_of_directory;
use crate::file::{DirectoryIdentity, FileError, Links, WriteError};

/// What lies at a path, and what a file in its place would get.
#[derive(Debug)]
pub struct Surveyed {
    pub directory: DirectoryIdentity,
    /// None when there is no file.
    pub file: Option<HeldFile>,
    /// The file's; without one, private to the directory's owner: a service could not read a file of ours.
    pub attributes: Attributes,
}

/// Looks at the file at `path` and at all that would keep another from taking its place.
///
/// # Errors
/// See [`FileError`] and [`WriteError`].
pub fn survey(path: &Path, limit: u64) -> Result<Surveyed, WriteError> {
    let place = HeldEntry::find(path, Links::Refuse)?;
    let opened = place.open_replaceable()?;
    let looked = place.directory.try_clone().and_then(|directory| File::from(directory).metadata());
    let looked = looked.map_err(place.failed("looking at its directory"))?;
    let directory = identity_of_directory(&place.directory, &looked);
    let Some((file, metadata)) = opened else {
        // It may be there when the mount is, and a key that is written now would stay below.
        if let Some(mount) = path.parent().and_then(mounts::awaited) {
            return Err(WriteError::NotMounted { path: path.to_owned(), mount });
        }
        let attributes = Attributes::private_to(looked.uid(), looked.gid());
        return Ok(Surveyed { directory, file: None, attributes });
    };
    if metadata.nlink() != 1 {
        return Err(FileError::HardLinked { path: path.to_owned(), links: metadata.nlink() }.into());
    }
    let held = place.read(file, &metadata, limit)?;
    Ok(Surveyed { directory, attributes: held.attributes.clone(), file: Some(held) })
}

/// The same as far as only the taking of a place is asked for: whether another file can take that of the one at `path`, or
/// the name, where there is none.
///
/// # Errors
/// See [`FileError`] and [`WriteError`].
pub fn check_replaceable(path: &Path) -> Result<(), WriteError> {
    HeldEntry::find(path, Links::Refuse)?.open_replaceable().map(|_| ())
}

impl HeldEntry {
    fn open_replaceable(&self) -> Result<Option<(File, Metadata)>, WriteError> {
        self.check_directory()?;
        let opened = self.open_file()?;
        if let Some((file, _)) = &opened {
            self.check_file(file)?;
        }
        Ok(opened)
    }

    fn check_directory(&self) -> Result<(), WriteError> {
        let parent = || self.path.parent().map(Path::to_owned).unwrap_or_default();
        if Obstacles::of(&self.directory).is_fixed {
            return Err(WriteError::Immutable { path: parent() });
        }
        let may_write = accessat(&self.directory, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
        may_write.map_err(|error| WriteError::from_io(&parent(), "asking whether we may write in it", error.into()))
    }

    fn check_file(&self, file: &File) -> Result<(), WriteError> {
        let obstacles = Obstacles::of(file);
        if obstacles.is_fixed {
            return Err(WriteError::Immutable { path: self.path.clone() });
        }
        if obstacles.is_mount.unwrap_or_else(|| is_mounted(file)) {
            return Err(WriteError::MountPoint { path: self.path.clone() });
        }
        Ok(())
    }
}

/// What the kernel says of a file or a directory that keeps it from being replaced.
struct Obstacles {
    /// Immutable or append-only.
    is_fixed: bool,
    /// Whether it is where a file system begins; none where the kernel does not say, before Linux 5.8.
    is_mount: Option<bool>,
}

impl Obstacles {
    fn of(fd: impl AsFd) -> Self {
        let fixed = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
        match statx(fd.as_fd(), "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS) {
            Ok(found) => {
                let says_mount = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
                Self {
                    is_fixed: found.stx_attributes.intersects(fixed),
                    is_mount: says_mount.then(|| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
                }
            }
            // Before Linux 4.11. A file system without such flags has none set.
            Err(_) => {
                let flags = ioctl_getflags(fd).unwrap_or(IFlags::empty());
                Self { is_fixed: flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND), is_mount: None }
            }
        }
    }
}

/// By the list of mounts; where that cannot be read, the rename will say.
fn is_mounted(file: &File) -> bool {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    path.is_ok_and(|path| mounts::is_mounted(&path))
}
