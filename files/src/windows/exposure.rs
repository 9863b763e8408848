//! Whether only administrators decide what lies at a path: what tells a privileged program what to do has to be so, and each directory on
//! the way to it, since whoever may give the name of one to another has exchanged all that lies below.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::windows::io::AsHandle;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use windows_sys::Wdk::Storage::FileSystem::FILE_OPEN;
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT, FILE_READ_ATTRIBUTES, FILE_READ_DATA, FILE_SHARE_DELETE,
    FILE_SHARE_READ, READ_CONTROL,
};

use super::access::Access;
use super::attributes::own_account;
use super::held::{access_of, walk_past};
use super::names::{Directory, SHARED, is_busy, wide};
use super::read::{Metadata, regular};
use super::sys::{self, How};
use super::way::Way;
use crate::file::{Exposure, FileError};

const LOOK: u32 = FILE_READ_ATTRIBUTES | READ_CONTROL;

const OF_ANOTHER_MACHINE: &str = "lies on another machine, in the hands of its administrators";

/// So long a program may have a file open that is to be read: an editor that saves it, a scanner that looks at it.
const SETTLES: Duration = Duration::from_millis(700);
const PAUSE: Duration = Duration::from_millis(100);

/// Whether nobody but administrators may change what lies at a path, or put something there where nothing is. Administrators are SYSTEM,
/// the group of that name, Windows itself, and the account that this program runs under where it is none of them. The directory itself
/// lets nobody else add names: beside a program lie the libraries that it loads.
///
/// # Errors
/// [`FileError::Exposed`] with what is to be done, and whatever keeps one from being looked at. That nothing is there is none.
pub fn check_unexposed(path: &Path) -> Result<(), FileError> {
    open_unexposed(path, LOOK, SHARED).map(drop)
}

/// Opens a regular file for reading that nobody but administrators may change, as [`check_unexposed`] has it. Nobody else has it open for
/// writing for as long as it is open here: whoever had opened it before its list was mended could write to it still.
pub(crate) fn open_unexposed_alone(path: &Path) -> Result<(File, Metadata), FileError> {
    let until = Instant::now() + SETTLES;
    let opened = loop {
        match open_unexposed(path, LOOK | FILE_READ_DATA, FILE_SHARE_READ | FILE_SHARE_DELETE) {
            Err(FileError::Read { source, .. }) if is_busy(&source) && Instant::now() < until => sleep(PAUSE),
            Err(FileError::Read { source, path }) if is_busy(&source) => {
                let words =
                    "a program has it open for writing, or for itself alone; end that, or have it close the file";
                return Err(FileError::Read { path, source: io::Error::other(words) });
            }
            opened => break opened?,
        }
    };
    let (file, metadata) = opened.ok_or_else(|| FileError::NotFound { path: path.to_owned() })?;
    regular(path, &metadata)?;
    Ok((file, metadata))
}

/// Whether nobody but administrators may give the name of a directory above a path to another one. Directories that are not there yet
/// are nobody's.
///
/// # Errors
/// As [`check_unexposed`].
pub fn check_way(path: &Path) -> Result<(), FileError> {
    match walk_unexposed(path).map(|walked| walked.directory) {
        Ok(Err(FileError::NotFound { .. })) => Ok(()),
        Ok(walked) => walked.map(drop),
        Err(error) => Err(error),
    }
}

/// Directories on a way, as far as they are there and nobody can exchange them.
struct Walked {
    /// The last one, or why it is not reached.
    directory: Result<Directory, FileError>,
    /// Of the last one that is there.
    last: Option<(PathBuf, Access)>,
    name: Option<OsString>,
}

fn walk_unexposed(path: &Path) -> Result<Walked, FileError> {
    let refused = |kind| FileError::NotRegular { path: path.to_owned(), kind };
    let failed = |error| FileError::from_io(path, error);
    let mut way = Way::of(path).map_err(refused)?;
    let name = way.names.pop();
    let absolute = std::path::absolute(path).map_err(failed)?;
    let mut parts: Vec<_> = absolute.ancestors().map(Path::to_owned).collect();
    let mut last: Option<(PathBuf, Access)> = None;
    if way.is_on_a_server() {
        // Nobody asks it what it says of its files.
        let part = parts.pop().unwrap_or_default();
        return Err(Box::new(Exposure {
            path: path.to_owned(),
            part,
            why: OF_ANOTHER_MACHINE.to_owned(),
            fix: of_host(),
        })
        .into());
    }
    let directory = walk_past(path, &way, LOOK, LOOK, |directory| {
        let access = access_of(directory).map_err(failed)?;
        let part = parts.pop().unwrap_or_default();
        let exposed = |why, fix| Err(Box::new(Exposure { path: path.to_owned(), part: part.clone(), why, fix }).into());
        if last.is_none()
            && let Some(why) = no_volume_of_ours(directory).map_err(failed)?
        {
            return exposed(why.to_owned(), of_host());
        }
        if let Some(why) = access.exchangeable_by(last.is_none(), own_account()) {
            return exposed(why, of_directory(&part));
        }
        last = Some((part, access));
        Ok(())
    });
    Ok(Walked { directory, last, name })
}

/// Whose root tells nothing of who may exchange what lies below it: another machine says of its files what it likes, and what has a
/// letter of its own beside its path (`subst`) lies in directories that are not looked at.
fn no_volume_of_ours(root: &Directory) -> io::Result<Option<&'static str>> {
    if sys::is_remote(root.as_handle())? {
        return Ok(Some(OF_ANOTHER_MACHINE));
    }
    Ok(no_root(&sys::path_on_volume(root.as_handle())?))
}

fn no_root(path_on_volume: &OsStr) -> Option<&'static str> {
    (path_on_volume != r"\")
        .then_some("stands for a directory, in the hands of those who may change what lies above that")
}

/// None where nothing is there, and nobody but administrators may put something there.
fn open_unexposed(path: &Path, access: u32, share: u32) -> Result<Option<(File, Metadata)>, FileError> {
    let failed = |error| FileError::from_io(path, error);
    let Walked { directory, last, name } = walk_unexposed(path)?;
    let closed = |(part, access): (PathBuf, Access)| match access.writable_by(own_account()) {
        Some(why) => Err(Box::new(Exposure { path: path.to_owned(), fix: of_directory(&part), part, why }).into()),
        None => Ok(()),
    };
    let directory = match directory {
        // Who may add names in the last that is there decides what is to be found.
        Err(not_there @ FileError::NotFound { .. }) => return last.map_or(Err(not_there), closed).map(|()| None),
        walked => walked?,
    };
    last.map_or(Ok(()), closed)?;
    let Some(name) = name else { return Ok(None) };
    let how = How { access, share, disposition: FILE_OPEN, options: 0 };
    let opened = wide(&name).and_then(|name| sys::open(Some(directory.as_handle()), &name, how, None));
    let opened = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let look = sys::look(opened.as_handle()).map_err(failed)?;
    if look.attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        return Err(FileError::LinkOnTheWay { path: path.to_owned(), name });
    }
    let access = access_of(&opened).map_err(failed)?;
    let Some(why) = access.writable_by(own_account()) else { return Ok(Some((opened.into(), Metadata(look)))) };
    let absolute = std::path::absolute(path).map_err(failed)?;
    let fix =
        if look.attributes & FILE_ATTRIBUTE_DIRECTORY != 0 { of_directory(&absolute) } else { of_file(&absolute) };
    Err(Box::new(Exposure { path: path.to_owned(), part: absolute, why, fix }).into())
}

/// What gives us a directory of ours where others have had a hand in one. It is not mended: whoever has made what lies in it owns that, and a
/// command that goes through all of it goes where they lead it.
pub(crate) fn made_private(directory: &Path) -> String {
    let name = directory.file_name().unwrap_or_default().display();
    format!(
        "give it another name as an administrator (ren \"{}\" \"{name}.theirs\"): it is made anew, and what is surely yours can be copied \
         into that",
        directory.display()
    )
}

fn of_file(path: &Path) -> String {
    let shown = path.display();
    format!(
        "look what is in it, and run as an administrator: takeown /f \"{shown}\" /a, then icacls \"{shown}\" /reset"
    )
}

/// It is not mended either: what others have put into it stays theirs, such as a library beside a program.
fn of_directory(path: &Path) -> String {
    if path.file_name().is_none() {
        return of_volume();
    }
    "have it in a directory that an administrator makes below %ProgramFiles%, or in %ProgramData%\\kagiban".to_owned()
}

fn of_host() -> String {
    "name it by its path on a volume of this host".to_owned()
}

fn of_volume() -> String {
    "have it on a volume in whose root others may change only what they have made, as on drive C:".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wine knows no such letter.
    #[test]
    fn a_letter_that_stands_for_a_directory_is_no_volume() {
        assert_eq!(no_root(OsStr::new(r"\")), None);
        assert!(no_root(OsStr::new(r"\Users\Public")).is_some_and(|why| why.contains("above that")));
    }
}
