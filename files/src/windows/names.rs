//! What is done with a name in a directory that is held open: each by the handle of what has the name, whatever else the name leads
//! to by then. Handles write through: a name that was given or taken is in the file system's journal when the call returns.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsHandle, OwnedHandle};
use std::time::{Duration, Instant};

use windows_sys::Wdk::Storage::FileSystem::{
    FILE_CREATE, FILE_DIRECTORY_FILE, FILE_NON_DIRECTORY_FILE, FILE_OPEN, FILE_WRITE_THROUGH,
};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_DIRECTORY, ERROR_INVALID_HANDLE, ERROR_LOCK_VIOLATION, ERROR_SHARING_VIOLATION,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_ADD_FILE, FILE_APPEND_DATA, FILE_ATTRIBUTE_REPARSE_POINT, FILE_LIST_DIRECTORY, FILE_READ_ATTRIBUTES,
    FILE_READ_DATA, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_TRAVERSE, FILE_WRITE_ATTRIBUTES,
    FILE_WRITE_DATA, READ_CONTROL, WRITE_DAC, WRITE_OWNER,
};

use super::attributes::Attributes;
use super::read::number_of;
use super::sys::{self, Descriptor, How};

/// A directory that is held open.
pub(crate) type Directory = OwnedHandle;

/// An agent and a virus scanner do what they do with a file that we have open.
pub(super) const SHARED: u32 = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
/// Of a directory in which names are looked up, listed and changed.
pub(super) const HELD_DIRECTORY: u32 = FILE_LIST_DIRECTORY | FILE_TRAVERSE | FILE_READ_ATTRIBUTES | READ_CONTROL;
const OWN_DIRECTORY: u32 = HELD_DIRECTORY | DELETE;

/// A virus scanner or an indexer has a new file open for a part of a second; a service that has just stopped, its files.
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A new file, private from its first byte.
pub(crate) fn create(directory: &Directory, name: &OsStr) -> io::Result<File> {
    let access = FILE_READ_DATA
        | FILE_WRITE_DATA
        | FILE_APPEND_DATA
        | FILE_READ_ATTRIBUTES
        | READ_CONTROL
        | WRITE_DAC
        | WRITE_OWNER;
    let how =
        How { access, share: SHARED, disposition: FILE_CREATE, options: FILE_NON_DIRECTORY_FILE | FILE_WRITE_THROUGH };
    let private = Descriptor::of(Attributes::ours().sddl())?;
    let name = wide(name)?;
    Ok(patiently(|| sys::open(Some(directory.as_handle()), &name, how, Some(&private)))?.into())
}

/// Into a new file, which is at its beginning.
pub(crate) fn write_from_start(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)
}

/// Replaces what has the name `to`.
pub(crate) fn rename(directory: &Directory, from: &OsStr, to: &OsStr) -> io::Result<()> {
    patiently(|| rename_at_once(directory, from, to))
}

/// The same, without patience with a program that has one of the two open.
pub(crate) fn rename_at_once(directory: &Directory, from: &OsStr, to: &OsStr) -> io::Result<()> {
    let from = open_to_move(directory, from)?;
    let renamed = sys::rename(from.as_handle(), directory.as_handle(), &wide(to)?, true);
    renamed.map_err(|error| busy_or(directory, to, error))
}

/// Replaces nothing.
pub(crate) fn rename_to_free(directory: &Directory, from: &OsStr, to: &OsStr) -> io::Result<()> {
    let to = wide(to)?;
    patiently(|| {
        let from = open_to_move(directory, from)?;
        sys::rename(from.as_handle(), directory.as_handle(), &to, false)
    })
}

/// Windows has no such call; see [`is_unsupported`].
pub(crate) fn exchange(_: &Directory, _: &OsStr, _: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A second name for a file; see [`has_no_links`].
pub(crate) fn link(directory: &Directory, name: &OsStr, second: &OsStr) -> io::Result<()> {
    let how = How {
        access: FILE_WRITE_ATTRIBUTES,
        share: SHARED,
        disposition: FILE_OPEN,
        options: FILE_NON_DIRECTORY_FILE | FILE_WRITE_THROUGH,
    };
    let (name, second) = (wide(name)?, wide(second)?);
    patiently(|| {
        let file = sys::open(Some(directory.as_handle()), &name, how, None)?;
        sys::link(file.as_handle(), directory.as_handle(), &second)
    })
}

pub(crate) fn unlink(directory: &Directory, name: &OsStr) -> io::Result<()> {
    patiently(|| {
        let file = open_to_move(directory, name)?;
        sys::delete(file.as_handle()).map_err(|error| busy_or(directory, name, error))
    })
}

/// A directory that only we and administrators may enter, and all that is made in it.
pub(crate) fn make_directory(directory: &Directory, name: &OsStr) -> io::Result<()> {
    make_directory_as(directory, name, FILE_READ_ATTRIBUTES, SHARED).map(drop)
}

/// The same for one that is renamed or removed by us alone: as long as it is open, nobody else can.
pub(crate) fn make_own_directory(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    make_directory_as(directory, name, OWN_DIRECTORY, FILE_SHARE_READ | FILE_SHARE_WRITE)
}

fn make_directory_as(directory: &Directory, name: &OsStr, access: u32, share: u32) -> io::Result<Directory> {
    let how = How { access, share, disposition: FILE_CREATE, options: FILE_DIRECTORY_FILE | FILE_WRITE_THROUGH };
    let private = Descriptor::of(&Attributes::of_our_directory())?;
    let name = wide(name)?;
    patiently(|| sys::open(Some(directory.as_handle()), &name, how, Some(&private)))
}

/// What has this name, if that is a directory and no link.
pub(crate) fn open_directory(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    open_directory_as(directory, name, HELD_DIRECTORY, SHARED)
}

/// The same for one that is renamed or removed by us alone: as long as it is open, nobody else can.
pub(crate) fn open_own_directory(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    patiently(|| open_left_directory(directory, name))
}

/// The same where nobody holds it: whoever does makes use of it still.
pub(crate) fn open_left_directory(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    open_directory_as(directory, name, OWN_DIRECTORY, FILE_SHARE_READ | FILE_SHARE_WRITE)
}

fn open_directory_as(directory: &Directory, name: &OsStr, access: u32, share: u32) -> io::Result<Directory> {
    let how = How { access, share, disposition: FILE_OPEN, options: FILE_DIRECTORY_FILE | FILE_WRITE_THROUGH };
    let found = sys::open(Some(directory.as_handle()), &wide(name)?, how, None)?;
    if sys::look(found.as_handle())?.attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        return Err(sys::error(ERROR_DIRECTORY));
    }
    Ok(found)
}

/// It is ours alone since it was opened.
pub(crate) fn lock(_: &Directory) -> bool {
    true
}

/// Gives a directory that is held a free name.
pub(crate) fn rename_directory(directory: &Directory, held: &Directory, _: &OsStr, to: &OsStr) -> io::Result<()> {
    let to = wide(to)?;
    patiently_though_denied(|| sys::rename(held.as_handle(), directory.as_handle(), &to, false))
}

/// Removes an empty directory that is held.
pub(crate) fn remove_directory(_: &Directory, held: &Directory, _: &OsStr) -> io::Result<()> {
    patiently(|| sys::delete(held.as_handle()))
}

/// Whether an error says that what was asked for is no directory, or a link.
pub(crate) fn is_no_directory(error: &io::Error) -> bool {
    sys::is(error, ERROR_DIRECTORY)
}

/// At most so many of the names in a directory.
pub(crate) fn list(directory: &Directory, at_most: usize) -> io::Result<Vec<OsString>> {
    sys::list(directory.as_handle(), at_most)
}

/// Volume and number of what has this name; a link is not followed.
pub(crate) fn identity(directory: &Directory, name: &OsStr) -> io::Result<(u64, u64)> {
    let how = How { access: FILE_READ_ATTRIBUTES, share: SHARED, disposition: FILE_OPEN, options: 0 };
    identity_of(&sys::open(Some(directory.as_handle()), &wide(name)?, how, None)?)
}

/// The same of a directory that is held.
pub(crate) fn identity_of(directory: &Directory) -> io::Result<(u64, u64)> {
    let look = sys::look(directory.as_handle())?;
    Ok((look.volume, number_of(look.id)))
}

/// Each change of a name was written through already. Windows promises nothing of a directory that is flushed, and some file systems
/// flush it.
pub(crate) fn sync(directory: &Directory) -> io::Result<()> {
    // Of the directory itself, which only a handle that may change it can have flushed.
    let how = How {
        access: FILE_ADD_FILE,
        share: SHARED,
        disposition: FILE_OPEN,
        options: FILE_DIRECTORY_FILE | FILE_WRITE_THROUGH,
    };
    let flushed = sys::open(Some(directory.as_handle()), &[], how, None).and_then(|it| sys::flush(it.as_handle()));
    match flushed {
        Err(error)
            if sys::is_unknown(&error)
                || sys::is(&error, ERROR_ACCESS_DENIED)
                || sys::is(&error, ERROR_INVALID_HANDLE)
                || sys::is(&error, ERROR_SHARING_VIOLATION) =>
        {
            Ok(())
        }
        flushed => flushed,
    }
}

/// Whether an error says that there is no such rename.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

/// Whether an error says that this file system gives a file no second name.
pub(crate) fn has_no_links(error: &io::Error) -> bool {
    sys::is_unknown(error)
}

/// Whether an error says that somebody else has it open.
pub(super) fn is_busy(error: &io::Error) -> bool {
    [ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION].iter().any(|code| sys::is(error, *code))
}

/// A file, or a link, that is to lose this name.
fn open_to_move(directory: &Directory, name: &OsStr) -> io::Result<OwnedHandle> {
    let how = How {
        access: DELETE | FILE_READ_ATTRIBUTES,
        share: SHARED,
        disposition: FILE_OPEN,
        options: FILE_NON_DIRECTORY_FILE | FILE_WRITE_THROUGH,
    };
    sys::open(Some(directory.as_handle()), &wide(name)?, how, None)
}

/// Windows denies access where somebody has open what would be replaced, as it does where we may not: what may be deleted is open.
fn busy_or(directory: &Directory, name: &OsStr, error: io::Error) -> io::Error {
    if !sys::is(&error, ERROR_ACCESS_DENIED) {
        return error;
    }
    match open_to_move(directory, name) {
        Ok(_) => sys::error(ERROR_SHARING_VIOLATION),
        Err(other) if is_busy(&other) => other,
        Err(_) => error,
    }
}

fn patiently<T>(attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    patiently_while(attempt, is_busy, PATIENCE)
}

/// A directory in which somebody has a file open is denied too.
fn patiently_though_denied<T>(attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    patiently_while(attempt, |error| is_busy(error) || sys::is(error, ERROR_ACCESS_DENIED), PATIENCE)
}

fn patiently_while<T>(
    mut attempt: impl FnMut() -> io::Result<T>,
    is_passing: impl Fn(&io::Error) -> bool,
    patience: Duration,
) -> io::Result<T> {
    let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        match attempt() {
            Err(error) if is_passing(&error) && started.elapsed() < patience => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            ended => return ended,
        }
    }
}

/// One name, and nothing that Windows takes for more: a stream of a file, a name below, the directory itself.
pub(super) fn wide(name: &OsStr) -> io::Result<Vec<u16>> {
    let units: Vec<u16> = name.encode_wide().collect();
    let is_special = |unit: &u16| [':', '\\', '/', '\0'].iter().any(|special| u32::from(*unit) == u32::from(*special));
    if units.is_empty() || name == "." || name == ".." || units.iter().any(is_special) {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    Ok(units)
}
