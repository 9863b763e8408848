//! Where a file lies, whatever path leads there.

use std::ffi::{OsStr, OsString};
use std::os::windows::io::AsHandle;
use std::path::Path;

use windows_sys::Win32::Storage::FileSystem::FILE_READ_ATTRIBUTES;

use super::held::HeldEntry;
use super::names;
use super::sys;
use crate::file::{FileError, Links};

/// A name in a directory, whether there is a file of that name or not. Two paths with one destination lead to one file: by a drive that
/// is mounted twice, by the short name that a file has beside its long one, or by another spelling.
///
/// A file with a second name (a hard link) has two: none of them is ever replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    volume: u64,
    number: u64,
    /// In capitals: Windows tells no file from another by them.
    name: OsString,
}

/// Where a path leads, by the rules by which a file is replaced: no link counts.
///
/// # Errors
/// See [`FileError`]; a directory that is not there is one.
pub fn destination(path: &Path) -> Result<Destination, FileError> {
    let failed = |error| FileError::from_io(path, error);
    let place = HeldEntry::find(path, Links::Refuse)?;
    let (volume, number) = names::identity_of(&place.directory).map_err(failed)?;
    let long = match place.open_as(&place.name, FILE_READ_ATTRIBUTES) {
        Ok(Some((file, _))) => {
            let whole = sys::final_path(file.as_handle()).map_err(failed)?;
            Path::new(&whole).file_name().map(OsStr::to_owned)
        }
        Ok(None) | Err(_) => None,
    };
    Ok(Destination { volume, number, name: in_capitals(&long.unwrap_or(place.name)) })
}

/// Letter by letter, as file systems do it: none becomes two.
fn in_capitals(name: &OsStr) -> OsString {
    let capital = |letter: char| match letter.to_uppercase().collect::<Vec<_>>()[..] {
        [capital] => capital,
        _ => letter,
    };
    name.to_string_lossy().chars().map(capital).collect::<String>().into()
}
