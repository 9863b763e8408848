//! What is done with a name in a directory that is held open: each in one call, whatever else the name leads to by then.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, fsync, linkat, mkdirat, openat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

/// A directory that is held open.
pub(crate) type Directory = OwnedFd;

/// Readable and writable by us alone.
const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_DIRECTORY: u32 = 0o700;

/// A new file, private from its first byte.
pub(crate) fn create(directory: &Directory, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(directory, name, flags, Mode::from_raw_mode(PRIVATE_FILE))?.into())
}

/// By `pwrite`, which nothing else in the program calls: a trace or a fault can be aimed at it.
pub(crate) fn write_from_start(file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, 0)
}

/// Replaces what has the name `to`.
pub(crate) fn rename(directory: &Directory, from: &OsStr, to: &OsStr) -> io::Result<()> {
    // Kernels before 3.15 know no flags at all
    Ok(renameat(directory, from, directory, to)?)
}

/// Who has a file open is no obstacle to its rename.
pub(crate) use rename as rename_at_once;

/// Replaces nothing; see [`is_unsupported`].
pub(crate) fn rename_to_free(directory: &Directory, from: &OsStr, to: &OsStr) -> io::Result<()> {
    Ok(renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE)?)
}

/// See [`is_unsupported`].
pub(crate) fn exchange(directory: &Directory, one: &OsStr, other: &OsStr) -> io::Result<()> {
    Ok(renameat_with(directory, one, directory, other, RenameFlags::EXCHANGE)?)
}

/// A second name for a file; see [`has_no_links`].
pub(crate) fn link(directory: &Directory, name: &OsStr, second: &OsStr) -> io::Result<()> {
    Ok(linkat(directory, name, directory, second, AtFlags::empty())?)
}

pub(crate) fn unlink(directory: &Directory, name: &OsStr) -> io::Result<()> {
    Ok(unlinkat(directory, name, AtFlags::empty())?)
}

/// A directory that only we may enter.
pub(crate) fn make_directory(directory: &Directory, name: &OsStr) -> io::Result<()> {
    Ok(mkdirat(directory, name, Mode::from_raw_mode(PRIVATE_DIRECTORY))?)
}

/// The same for one that is renamed or removed by us alone, see [`lock`].
pub(crate) fn make_own_directory(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    make_directory(directory, name)?;
    let opened = open_own_directory(directory, name);
    opened.inspect_err(|_| _ = unlinkat(directory, name, AtFlags::REMOVEDIR))
}

/// What has this name, if that is a directory.
pub(crate) fn open_directory(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(directory, name, flags, Mode::empty())?)
}

/// The same for one that is renamed or removed by us alone: see [`lock`].
pub(crate) fn open_own_directory(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    open_directory(directory, name)
}

/// The same for one whose maker may be gone, or hold it still: see [`lock`].
pub(crate) fn open_left_directory(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    open_directory(directory, name)
}

/// Held as long as it is open: whoever sweeps leaves it alone. A file system without locks has no sweep either.
pub(crate) fn lock(directory: &Directory) -> bool {
    flock(directory, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Gives a directory that is held and has the name `from` a free one.
pub(crate) fn rename_directory(directory: &Directory, _: &Directory, from: &OsStr, to: &OsStr) -> io::Result<()> {
    match rename_to_free(directory, from, to) {
        // A plain rename of a directory replaces an empty directory at most
        Err(error) if is_unsupported(&error) => rename(directory, from, to),
        renamed => renamed,
    }
}

/// Removes an empty directory that is held and has this name.
pub(crate) fn remove_directory(directory: &Directory, _: &Directory, name: &OsStr) -> io::Result<()> {
    Ok(unlinkat(directory, name, AtFlags::REMOVEDIR)?)
}

/// Whether an error says that what was asked for is no directory, or a link.
pub(crate) fn is_no_directory(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOTDIR | Errno::LOOP))
}

/// At most so many of the names in a directory.
pub(crate) fn list(directory: &Directory, at_most: usize) -> io::Result<Vec<OsString>> {
    let name = |entry: rustix::fs::DirEntry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
    let entries = Dir::read_from(directory)?.map(|entry| Ok(name(entry?)));
    entries.filter(|entry| !entry.as_ref().is_ok_and(|name| name == "." || name == "..")).take(at_most).collect()
}

/// Device and number of what has this name; a link is not followed.
pub(crate) fn identity(directory: &Directory, name: &OsStr) -> io::Result<(u64, u64)> {
    let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((found.st_dev, found.st_ino))
}

/// The same of a directory that is held.
pub(crate) fn identity_of(directory: &Directory) -> io::Result<(u64, u64)> {
    let found = fstat(directory)?;
    Ok((found.st_dev, found.st_ino))
}

/// Makes durable which names there are.
pub(crate) fn sync(directory: &Directory) -> io::Result<()> {
    Ok(fsync(directory)?)
}

/// Whether an error says that this kernel or file system does no such rename.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
        || matches!(Errno::from_io_error(error), Some(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP))
}

/// Whether an error says that this file system gives a file no second name.
pub(crate) fn has_no_links(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP))
}
