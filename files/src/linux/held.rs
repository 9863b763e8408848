//! The way to a file of an agent, whose directory may belong to an attacker: it is walked and held, and the file is opened once
//! without following links, and judged by its descriptor.
//!
//! A symbolic link is followed on the way only where nobody but an administrator could have put it. Administrators are
//! root and the account that this program runs under.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, fstatvfs, openat, readlinkat, statat};
use rustix::io::Errno;

use super::names::Directory;
use super::read::kind;
use crate::file::{FileError, Links, WriteError};

/// The kernel's own limit.
const MAX_LINKS: usize = 40;
/// The group's and everybody's write bits. Where there is an access control list, the group's bits are its mask.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// A name in a directory that is held open: between two steps nobody can put another directory in its place.
#[derive(Debug)]
pub(crate) struct HeldEntry {
    pub(crate) directory: Directory,
    pub(crate) name: OsString,
    /// As it was given, for messages.
    pub(crate) path: PathBuf,
}

impl HeldEntry {
    pub(crate) fn find(path: &Path, links: Links) -> Result<Self, FileError> {
        if path.file_name().is_none() {
            return Err(FileError::NotRegular { path: path.to_owned(), kind: "no file name" });
        }
        let mut walk = Walk::begin(path)?;
        let mut name = walk.go_to_last()?;
        if links == Links::OfAdministrators {
            while let Some(link) = walk.link_at(&name)? {
                walk.follow(&name, &link)?;
                name = walk.go_to_last()?;
            }
        }
        Ok(Self { directory: walk.readable()?, name, path: path.to_owned() })
    }

    /// Opens the regular file of a name there. A FIFO or a device is not opened: to open one can already do something.
    pub(crate) fn open_at(&self, name: &OsStr) -> Result<Option<(File, Metadata)>, FileError> {
        self.open_as(name, OFlags::RDONLY)
    }

    pub(crate) fn open_to_append(&self) -> Result<Option<(File, Metadata)>, FileError> {
        self.open_as(&self.name, OFlags::WRONLY | OFlags::APPEND)
    }

    fn open_as(&self, name: &OsStr, access: OFlags) -> Result<Option<(File, Metadata)>, FileError> {
        let failed = |error: Errno| FileError::from_io(&self.path, error.into());
        let not_regular = |kind| FileError::NotRegular { path: self.path.clone(), kind };
        match statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {}
            Ok(stat) => return Err(not_regular(kind_of(FileType::from_raw_mode(stat.st_mode)))),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        // What the name leads to may have been swapped since, so the descriptor is asked again.
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(not_regular("a symbolic link")),
            Err(Errno::NXIO) => return Err(not_regular("a socket or a device")),
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(|error| FileError::from_io(&self.path, error))?;
        if !metadata.is_file() {
            return Err(not_regular(kind(&metadata)));
        }
        Ok(Some((file, metadata)))
    }

    /// Whoever owns a file changes its permissions by any descriptor.
    pub(crate) fn open_to_narrow(&self) -> Result<Option<(File, Metadata)>, FileError> {
        self.open_at(&self.name)
    }

    /// Any descriptor has the file's bytes synced, whoever wrote them.
    pub(crate) fn open_to_sync(&self) -> Result<Option<(File, Metadata)>, FileError> {
        self.open_at(&self.name)
    }

    /// Whoever may write in a directory may put a file of theirs under any of its names. The service that owns the
    /// directory is meant to; the other members of its group are not.
    pub(crate) fn check_owner(&self, _: &File, metadata: &Metadata) -> Result<(), FileError> {
        let directory = fstat(&self.directory).map_err(|error| FileError::from_io(&self.path, error.into()))?;
        let owner = metadata.uid();
        if is_administrator(owner) || owner == directory.st_uid || is_closed(&directory) {
            return Ok(());
        }
        Err(FileError::ForeignOwner { path: self.path.clone(), owner: owner.to_string() })
    }

    /// Why others than an administrator can change what the names in the directory lead to; none where they cannot.
    pub(crate) fn others_who_may_change_names(&self) -> Result<Option<String>, WriteError> {
        let directory = fstat(&self.directory).map_err(|e| self.failed("looking at the directory")(e.into()))?;
        Ok(match writers(&directory) {
            Writers::Administrators | Writers::EachTheirOwn => None,
            Writers::Owner(account) => Some(format!("belongs to the account {account}")),
            Writers::Others => Some("other accounts may write in it (chmod go-w takes that from them)".to_owned()),
        })
    }

    /// Whether `bytes` more can be written there.
    pub(crate) fn has_room(&self, bytes: u64) -> io::Result<bool> {
        let room = fstatvfs(&self.directory)?;
        let is_root = rustix::process::geteuid().is_root();
        let blocks = if is_root { room.f_bfree } else { room.f_bavail };
        Ok(blocks.saturating_mul(room.f_frsize) >= bytes)
    }

    pub(crate) fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> WriteError {
        move |source| WriteError::from_io(&self.path, what, source)
    }
}

/// A directory on the way, and what of the way is left.
struct Walk<'a> {
    path: &'a Path,
    at: OwnedFd,
    left: VecDeque<OsString>,
    links: usize,
}

impl<'a> Walk<'a> {
    fn begin(path: &'a Path) -> Result<Self, FileError> {
        Ok(Self { path, at: Self::start(path, path)?, left: names(path), links: 0 })
    }

    /// Where the way of a path, or of a link on it, starts.
    fn start(path: &Path, way: &Path) -> Result<OwnedFd, FileError> {
        let start = if way.is_absolute() { "/" } else { "." };
        let at = rustix::fs::open(start, Self::flags() | OFlags::DIRECTORY, Mode::empty());
        at.map_err(|error| FileError::from_io(path, error.into()))
    }

    fn flags() -> OFlags {
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC
    }

    /// Goes on until one name is left.
    fn go_to_last(&mut self) -> Result<OsString, FileError> {
        while let Some(name) = self.left.pop_front() {
            if self.left.is_empty() && name != ".." {
                return Ok(name);
            }
            match self.link_at(&name)? {
                Some(link) => self.follow(&name, &link)?,
                None => {
                    let next = openat(&self.at, name.as_os_str(), Self::flags() | OFlags::DIRECTORY, Mode::empty());
                    self.at = next.map_err(self.failed())?;
                }
            }
        }
        Err(FileError::NotRegular { path: self.path.to_owned(), kind: "a directory" })
    }

    fn link_at(&self, name: &OsStr) -> Result<Option<Stat>, FileError> {
        match statat(&self.at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => Ok(Some(stat)),
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed()(error)),
        }
    }

    fn follow(&mut self, name: &OsStr, link: &Stat) -> Result<(), FileError> {
        let directory = fstat(&self.at).map_err(self.failed())?;
        let is_theirs = match writers(&directory) {
            Writers::Administrators => true,
            Writers::EachTheirOwn => is_administrator(link.st_uid),
            Writers::Owner(_) | Writers::Others => false,
        };
        if !is_theirs {
            return Err(FileError::UntrustedLink { path: self.path.to_owned() });
        }
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(FileError::SymlinkLoop { path: self.path.to_owned() });
        }
        let target = readlinkat(&self.at, name, Vec::new()).map_err(self.failed())?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            self.at = Self::start(self.path, &target)?;
        }
        for name in names(&target).into_iter().rev() {
            self.left.push_front(name);
        }
        Ok(())
    }

    /// The directory where the walk ended, opened so that it can be synced.
    fn readable(&self) -> Result<OwnedFd, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.at, ".", flags, Mode::empty()).map_err(self.failed())
    }

    fn failed(&self) -> impl Fn(Errno) -> FileError {
        |error| match error {
            Errno::LOOP => FileError::SymlinkLoop { path: self.path.to_owned() },
            error => FileError::from_io(self.path, error.into()),
        }
    }
}

/// Whether a directory is ours, and nobody else may write in it.
pub(crate) fn is_private(directory: &Directory) -> io::Result<bool> {
    Ok(is_ours(directory)? && fstat(directory)?.st_mode & OTHERS_WRITE == 0)
}

/// What makes a directory that others have had a hand in ours alone.
pub(crate) fn made_private(_: &Path) -> String {
    "make it ours alone (chmod 700)".to_owned()
}

pub(crate) fn is_ours(directory: &Directory) -> io::Result<bool> {
    Ok(fstat(directory)?.st_uid == rustix::process::geteuid().as_raw())
}

/// A directory by itself, walked to like a file.
pub(crate) fn walk_to_directory(path: &Path) -> io::Result<OwnedFd> {
    let refused = |error: FileError| match error {
        FileError::Read { source, .. } => source,
        FileError::NotFound { .. } => Errno::NOENT.into(),
        FileError::PermissionDenied { .. } => Errno::ACCESS.into(),
        error => io::Error::other(error.to_string()),
    };
    let mut walk = Walk::begin(path).map_err(refused)?;
    // A name that is left to the end, so that all before it are walked.
    walk.left.push_back(OsString::from("."));
    walk.go_to_last().map_err(refused)?;
    walk.readable().map_err(refused)
}

fn names(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

fn is_administrator(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Whether only administrators may write in a directory.
fn is_closed(directory: &Stat) -> bool {
    writers(directory) == Writers::Administrators
}

/// Who may give the names in a directory to something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writers {
    Administrators,
    /// Others may add names, and change their own alone (the sticky bit, as of /tmp).
    EachTheirOwn,
    /// It belongs to this account, which is no administrator.
    Owner(u32),
    Others,
}

fn writers(directory: &Stat) -> Writers {
    if !is_administrator(directory.st_uid) {
        Writers::Owner(directory.st_uid)
    } else if directory.st_mode & OTHERS_WRITE == 0 {
        Writers::Administrators
    } else if directory.st_mode & STICKY != 0 {
        Writers::EachTheirOwn
    } else {
        Writers::Others
    }
}

const fn kind_of(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::Symlink => "a symbolic link",
        FileType::RegularFile | FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => "a device",
    }
}
