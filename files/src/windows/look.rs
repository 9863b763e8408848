//! What is asked about a path by its name alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::windows::io::AsHandle;
use std::path::Path;

use windows_sys::Wdk::Storage::FileSystem::FILE_OPEN;
use windows_sys::Win32::Storage::FileSystem::{FILE_ATTRIBUTE_REPARSE_POINT, FILE_READ_ATTRIBUTES, READ_CONTROL};

use super::access::Access;
use super::attributes::{as_written, own_account};
use super::held::{HeldEntry, access_of, walk_to_directory};
use super::names::{SHARED, wide};
use super::read::{Metadata, identity, identity_of_directory};
use super::sys::{self, How};
use crate::file::{DirectoryIdentity, FileError, FileIdentity, Links};

pub(crate) fn open_regular(path: &Path) -> Result<(File, Metadata), FileError> {
    let place = HeldEntry::find(path, Links::Refuse)?;
    place.open_at(&place.name)?.ok_or_else(|| FileError::NotFound { path: path.to_owned() })
}

pub(crate) fn open_listed(path: &Path) -> Result<(File, Metadata), FileError> {
    open_regular(path)
}

/// Which file a path leads to now, without reading it.
///
/// # Errors
/// See [`FileError`]; what is no regular file is refused.
pub fn identify(path: &Path) -> Result<FileIdentity, FileError> {
    let place = HeldEntry::find(path, Links::Refuse)?;
    // A program that has it open for itself alone is no obstacle to a look.
    let opened = place.open_as(&place.name, FILE_READ_ATTRIBUTES)?;
    let (_, metadata) = opened.ok_or_else(|| FileError::NotFound { path: path.to_owned() })?;
    Ok(identity(&metadata))
}

/// Which directory a path leads to now.
///
/// # Errors
/// See [`FileError`].
pub fn directory_identity(path: &Path) -> Result<DirectoryIdentity, FileError> {
    let look = walk_to_directory(path).and_then(|directory| sys::look(directory.as_handle()));
    Ok(identity_of_directory(&look.map_err(|error| FileError::from_io(path, error))?))
}

/// Whether a file's list lets somebody else read it than its owner, administrators and this program; a file that cannot be asked is
/// not accused.
pub fn is_readable_by_others(path: &Path) -> bool {
    let access = HeldEntry::find(path, Links::Refuse)
        .and_then(|place| place.open_as(&place.name, READ_CONTROL | FILE_READ_ATTRIBUTES));
    access.is_ok_and(|opened| {
        opened.is_some_and(|(file, _)| access_of(&file).is_ok_and(|it| it.is_readable_by_others(own_account())))
    })
}

/// Whether somebody else than an administrator may write what lies at a path; a link is not followed, and is not written to.
/// Administrators are SYSTEM, the group of that name, Windows itself and the account that this program runs under.
///
/// # Errors
/// See [`FileError`].
pub fn is_writable_by_others(path: &Path) -> Result<bool, FileError> {
    Ok(access_at(path)?.is_some_and(|access| access.is_writable_by_others(own_account())))
}

/// Whether an account may read what lies at a path: as its owner, or because its list lets the account, or one of its groups whose rights
/// it has (`true`). A link is not followed, and is nobody's. Accounts and groups are written as security identifiers.
///
/// # Errors
/// See [`FileError`].
pub fn may_read(path: &Path, account: &str, groups: &BTreeMap<String, bool>) -> Result<bool, FileError> {
    let Some(access) = access_at(path)? else { return Ok(false) };
    let written = |sid: &str| as_written(sid).map_err(|error| FileError::from_io(path, error));
    let groups = groups.iter().map(|(sid, has_rights)| Ok((written(sid)?, *has_rights)));
    Ok(access.lets_read(&written(account)?, &groups.collect::<Result<_, FileError>>()?))
}

/// None of a link.
fn access_at(path: &Path) -> Result<Option<Access>, FileError> {
    let failed = |error| FileError::from_io(path, error);
    let place = match HeldEntry::find(path, Links::Refuse) {
        // A drive, which has no name.
        Err(FileError::NotRegular { .. }) => {
            return access_of(&walk_to_directory(path).map_err(failed)?).map(Some).map_err(failed);
        }
        found => found?,
    };
    let how = How { access: READ_CONTROL | FILE_READ_ATTRIBUTES, share: SHARED, disposition: FILE_OPEN, options: 0 };
    let opened = wide(&place.name).and_then(|name| sys::open(Some(place.directory.as_handle()), &name, how, None));
    let opened = opened.map_err(failed)?;
    let is_link = sys::look(opened.as_handle()).map_err(failed)?.attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0;
    if is_link { Ok(None) } else { access_of(&opened).map(Some).map_err(failed) }
}
