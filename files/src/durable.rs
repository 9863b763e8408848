//! The only way a file is written: a new file beside it that is private from its first byte, given its owner and
//! permissions, synced and read back. It takes the other's name only then, and the directory is synced. Before the last
//! step nothing has changed; after it a power cut changes nothing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::file::{DirectoryOwner, FileError, Links, WriteError};
use crate::system::{self, Attributes, HeldEntry, names};

/// Bytes; nobody meets or guesses such a name.
const TEMPORARY_RANDOM: usize = 8;
/// Between the name of the file, with a dot before it, and these in hexadecimal digits.
const TEMPORARY_MARK: &str = ".kagiban-";
/// Bytes. Whoever has the directory may have made one of terabytes out of a file that was small when it was surveyed.
const MAX_COMPARED: u64 = 64 * 1024 * 1024;
/// An agent's directory has under a hundred entries; a hostile one shall not keep us.
const MAX_SWEPT_ENTRIES: usize = 10_000;

/// Writes a file that does not exist yet, durably, with these attributes or private to this program. When it fails
/// nothing is left of it.
///
/// # Errors
/// See [`WriteError`]; an existing file is one.
pub fn write_new(path: &Path, bytes: &[u8], attributes: Option<&Attributes>) -> Result<(), WriteError> {
    HeldEntry::find(path, Links::Refuse)?.write_new(bytes, &attributes.cloned().unwrap_or_else(Attributes::ours))
}

/// The same, but for its name, which is not durable before its directory is synced: for a file that takes another's place
/// before that.
///
/// # Errors
/// See [`WriteError`]; an existing file is one.
pub fn write_unsynced(path: &Path, bytes: &[u8], attributes: Option<&Attributes>) -> Result<(), WriteError> {
    let place = HeldEntry::find(path, Links::Refuse)?;
    place.create(&place.name, bytes, &attributes.cloned().unwrap_or_else(Attributes::ours))
}

/// Takes from a file the permission bits that `attributes` has not, durably. It takes no space.
///
/// # Errors
/// See [`WriteError`]; also when more than that would change.
pub fn narrow(path: &Path, attributes: &Attributes) -> Result<(), WriteError> {
    let place = HeldEntry::find(path, Links::Refuse)?;
    let opened = place.open_to_narrow()?;
    let (file, metadata) = opened.ok_or_else(|| FileError::NotFound { path: path.to_owned() })?;
    let found = Attributes::of(&file, &metadata).map_err(place.failed("looking at it"))?;
    if system::links(&metadata) != 1 || !found.narrows_to(attributes) {
        return Err(WriteError::Altered { path: path.to_owned() });
    }
    attributes.give_to(&file).map_err(place.not_kept())?;
    file.sync_all().map_err(place.failed("syncing the file"))
}

/// Replaces `path`, or makes it, durably, with these attributes or private to this program: nothing is taken over from
/// the file that is there.
///
/// # Errors
/// See [`WriteError`].
pub fn replace(path: &Path, bytes: &[u8], attributes: Option<&Attributes>) -> Result<(), WriteError> {
    HeldEntry::find(path, Links::Refuse)?.replace(bytes, &attributes.cloned().unwrap_or_else(Attributes::ours))
}

/// The same in a directory that belongs to `owner`: whoever owns the directory above could have put that of somebody else in its place. Of
/// administrators it may be another one: what is installed anew belongs to whoever has installed it.
///
/// # Errors
/// See [`WriteError`].
pub fn replace_in_directory_of(
    owner: &DirectoryOwner,
    path: &Path,
    bytes: &[u8],
    attributes: &Attributes,
) -> Result<(), WriteError> {
    let place = HeldEntry::find(path, Links::Refuse)?;
    let now = place.directory_owner()?;
    if !owner.may_be(&now, system::is_administrators) {
        return Err(WriteError::OtherOwner { path: path.to_owned(), then: owner.0.clone(), now: now.0 });
    }
    place.replace(bytes, attributes)
}

/// A new name in the directory of `path` for a file that is to become it; [`sweep`] knows such names again.
///
/// # Errors
/// Only without randomness.
pub fn temporary_beside(path: &Path) -> Result<PathBuf, WriteError> {
    let mut random = [0; TEMPORARY_RANDOM];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| WriteError::from_io(path, "drawing a random name", io::Error::other("no randomness")))?;
    let mut name = temporary_prefix(path);
    name.push(hex::encode(random));
    Ok(path.with_file_name(name))
}

/// Removes what interrupted writes to `path` left beside it. One that cannot be removed keeps no other; all that could not
/// be done is told.
pub fn sweep(path: &Path) -> Vec<WriteError> {
    match HeldEntry::find(path, Links::Refuse) {
        Err(FileError::NotFound { .. }) => Vec::new(),
        Err(error) => vec![error.into()],
        Ok(place) => place.sweep(),
    }
}

/// The same of every file of a directory to which nobody else writes.
pub fn sweep_directory(directory: &Path) -> Vec<WriteError> {
    match HeldEntry::find(&directory.join("any"), Links::Refuse) {
        Err(FileError::NotFound { .. }) => Vec::new(),
        Err(error) => vec![error.into()],
        Ok(place) => place.sweep_those(is_some_temporary),
    }
}

/// Whether an interrupted write to `path` left something beside it. What cannot be listed is nothing.
pub fn has_left_over(path: &Path) -> bool {
    let names = HeldEntry::find(path, Links::Refuse).map_err(WriteError::from).and_then(|place| place.temporaries());
    names.is_ok_and(|names| !names.is_empty())
}

/// Removes a file durably; that there is none is fine.
///
/// # Errors
/// See [`WriteError`].
pub fn remove(path: &Path) -> Result<(), WriteError> {
    let place = match HeldEntry::find(path, Links::Refuse) {
        Err(FileError::NotFound { .. }) => return Ok(()),
        place => place?,
    };
    match names::unlink(&place.directory, &place.name) {
        Ok(()) => place.sync(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(place.failed("removing it")(error)),
    }
}

/// Makes durable what names the directory of `path` holds: a rename that was found done may have been cut off before it
/// was synced.
///
/// # Errors
/// See [`WriteError`].
pub fn sync_directory_of(path: &Path) -> Result<(), WriteError> {
    HeldEntry::find(path, Links::Refuse)?.sync()
}

/// Makes durable what another program has written: the bytes of the file, and its name.
///
/// # Errors
/// See [`WriteError`]; that there is no file, or one with a second name, is one.
pub fn sync_file(path: &Path) -> Result<(), WriteError> {
    let place = HeldEntry::find(path, Links::Refuse)?;
    let (file, metadata) = place.open_to_sync()?.ok_or_else(|| FileError::NotFound { path: path.to_owned() })?;
    place.check_own(&metadata)?;
    file.sync_all().map_err(place.failed("syncing the file"))?;
    place.sync()
}

/// Whether `bytes` more can be written beside `path`.
///
/// # Errors
/// `TooLittleRoom` when not.
pub fn check_room(path: &Path, bytes: u64) -> Result<(), WriteError> {
    let place = HeldEntry::find(path, Links::Refuse)?;
    if !place.has_room(bytes).map_err(place.failed("asking for free space"))? {
        return Err(WriteError::TooLittleRoom { path: path.to_owned(), bytes });
    }
    Ok(())
}

impl HeldEntry {
    /// See [`sweep`].
    pub(crate) fn sweep(&self) -> Vec<WriteError> {
        self.sweep_those(|name| is_temporary(&self.path, name))
    }

    fn sweep_those(&self, is_left: impl Fn(&OsStr) -> bool) -> Vec<WriteError> {
        let names = match self.names_that(is_left) {
            Ok(names) => names,
            Err(error) => return vec![error],
        };
        let (mut failed, mut is_changed) = (Vec::new(), false);
        for name in names {
            match names::unlink(&self.directory, &name) {
                Ok(()) => is_changed = true,
                Err(error) => failed.push(self.failed("removing what was left beside it")(error)),
            }
        }
        if is_changed && let Err(error) = self.sync() {
            failed.push(error);
        }
        failed
    }

    /// What [`temporary_beside`] has named, among the first entries of the directory.
    pub(crate) fn temporaries(&self) -> Result<Vec<OsString>, WriteError> {
        self.names_that(|name| is_temporary(&self.path, name))
    }

    fn names_that(&self, holds: impl Fn(&OsStr) -> bool) -> Result<Vec<OsString>, WriteError> {
        let listed = names::list(&self.directory, MAX_SWEPT_ENTRIES).map_err(self.failed("listing its directory"))?;
        Ok(listed.into_iter().filter(|name| holds(name)).collect())
    }

    pub(crate) fn write_new(&self, bytes: &[u8], attributes: &Attributes) -> Result<(), WriteError> {
        self.create(&self.name, bytes, attributes)?;
        self.sync().inspect_err(|_| _ = names::unlink(&self.directory, &self.name))
    }

    pub(crate) fn replace(&self, bytes: &[u8], attributes: &Attributes) -> Result<(), WriteError> {
        self.is_replaceable()?;
        let beside = temporary_beside(&self.path)?;
        let name = beside.file_name().unwrap_or_default();
        self.create(name, bytes, attributes)?;
        self.rename_over_name(name).inspect_err(|_| _ = names::unlink(&self.directory, name))?;
        self.sync()
    }

    /// Whether there is a file. What must not be replaced is refused: a rename would not follow a link, and would break one file with two
    /// names.
    pub(crate) fn is_replaceable(&self) -> Result<bool, WriteError> {
        let Some((_, metadata)) = self.open_file()? else { return Ok(false) };
        self.check_own(&metadata)?;
        Ok(true)
    }

    pub(crate) fn rename_over_name(&self, from: &OsStr) -> Result<(), WriteError> {
        names::rename(&self.directory, from, &self.name).map_err(self.failed("renaming the new file over it"))
    }

    /// A new file with these bytes and attributes, on the disk and read back.
    pub(crate) fn create(&self, name: &OsStr, bytes: &[u8], attributes: &Attributes) -> Result<(), WriteError> {
        let file = names::create(&self.directory, name).map_err(self.failed("making a new file"))?;
        let written = self.fill(file, bytes, attributes);
        if written.is_err() {
            // After a failed sync the kernel may have dropped the pages: the file is not tried again but thrown away.
            let _ = names::unlink(&self.directory, name);
        }
        written
    }

    fn fill(&self, mut file: File, bytes: &[u8], attributes: &Attributes) -> Result<(), WriteError> {
        names::write_from_start(&file, bytes).map_err(self.failed("writing"))?;
        attributes.give_to(&file).map_err(self.not_kept())?;
        file.sync_all().map_err(self.failed("syncing the file"))?;
        self.check(&mut file, &Sha256::digest(bytes).into())
    }

    /// Whether the file has the bytes of this digest. What is larger than any file that is written here is not read to its end.
    pub(crate) fn check(&self, file: &mut File, sha256: &[u8; 32]) -> Result<(), WriteError> {
        file.rewind().map_err(self.failed("reading it back"))?;
        let mut digest = Sha256::new();
        let mut buffer = zeroize::Zeroizing::new([0; 8192]);
        let mut file = file.take(MAX_COMPARED);
        loop {
            match file.read(buffer.as_mut_slice()) {
                Ok(0) => break,
                Ok(n) => digest.update(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed("reading it back")(e)),
            }
        }
        let read: [u8; 32] = digest.finalize().into();
        if read == *sha256 { Ok(()) } else { Err(WriteError::Altered { path: self.path.clone() }) }
    }

    pub(crate) fn sync(&self) -> Result<(), WriteError> {
        names::sync(&self.directory).map_err(self.failed("syncing the directory"))
    }

    fn not_kept(&self) -> impl Fn(io::Error) -> WriteError {
        |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                WriteError::NoSpace { path: self.path.clone() }
            }
            _ => WriteError::AccessNotKept { path: self.path.clone(), source },
        }
    }
}

fn is_temporary(path: &Path, name: &OsStr) -> bool {
    let random = name.as_encoded_bytes().strip_prefix(temporary_prefix(path).as_encoded_bytes());
    random.is_some_and(|random| random.len() == 2 * TEMPORARY_RANDOM) && is_some_temporary(name)
}

/// Of whichever file.
fn is_some_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let parts = name.len().checked_sub(2 * TEMPORARY_RANDOM).and_then(|at| name.split_at_checked(at));
    parts.is_some_and(|(prefix, random)| {
        let file = prefix.strip_prefix(b".").and_then(|prefix| prefix.strip_suffix(TEMPORARY_MARK.as_bytes()));
        file.is_some_and(|file| !file.is_empty()) && random.iter().all(u8::is_ascii_hexdigit)
    })
}

fn temporary_prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(TEMPORARY_MARK);
    prefix
}
