//! What keeps a file from being replaced, and what one gets in a place where there is none.

use std::fs::{File, Metadata};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, IFlags, StatxAttributes, StatxFlags, accessat, ioctl_getflags, statx};

use super::attributes::Attributes;
use super::held::HeldEntry;
use super::mounts;
use super::read::identity_of_directory;
use crate::file::{DirectoryIdentity, DirectoryOwner, WriteError};

impl HeldEntry {
    /// What a file here would get where there is none: private to the directory's owner, since a service could not read a file of
    /// ours.
    pub(crate) fn attributes_of_a_new_file(&self) -> Result<Attributes, WriteError> {
        // It may be there when the mount is, and a key that is written now would stay below.
        if let Some(mount) = self.path.parent().and_then(mounts::awaited) {
            return Err(WriteError::NotMounted { path: self.path.clone(), mount });
        }
        let directory = self.looked_at_directory()?;
        Ok(Attributes::private_to(directory.uid(), directory.gid()))
    }

    pub(crate) fn directory_identity(&self) -> Result<DirectoryIdentity, WriteError> {
        Ok(identity_of_directory(&self.directory, &self.looked_at_directory()?))
    }

    pub(crate) fn directory_owner(&self) -> Result<DirectoryOwner, WriteError> {
        Ok(DirectoryOwner(self.looked_at_directory()?.uid().to_string()))
    }

    fn looked_at_directory(&self) -> Result<Metadata, WriteError> {
        let looked = self.directory.try_clone().and_then(|directory| File::from(directory).metadata());
        looked.map_err(self.failed("looking at its directory"))
    }

    pub(crate) fn check_directory(&self) -> Result<(), WriteError> {
        let parent = || self.path.parent().map(Path::to_owned).unwrap_or_default();
        if Obstacles::of(&self.directory).is_fixed {
            return Err(WriteError::Immutable { path: parent() });
        }
        let may_write = accessat(&self.directory, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
        may_write.map_err(|error| WriteError::from_io(&parent(), "asking whether we may write in it", error.into()))
    }

    pub(crate) fn check_file(&self, file: &File, _: &Metadata) -> Result<(), WriteError> {
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

/// Whether a directory of this owner is an administrator's, whoever runs this program. There is one.
pub(crate) fn is_administrators(owner: &str) -> bool {
    owner == "0"
}
