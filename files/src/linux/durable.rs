//! The only way a file is written: a new file beside it that is private from its first byte, given its owner and
//! permissions, synced and read back. It takes the other's name only then, and the directory is synced. Before the last
//! step nothing has changed; after it a power cut changes nothing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstatvfs, fsync, openat, renameat, unlinkat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::attributes::Attributes;
use super::held::HeldEntry;
use crate::file::{FileError, Links, WriteError};

/// Readable and writable by us alone.
const PRIVATE_FILE: u32 = 0o600;
/// Bytes; nobody meets or guesses such a name.
const TEMPORARY_RANDOM: usize = 8;
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
    let (file, metadata) = place.open_file()?.ok_or_else(|| FileError::NotFound { path: path.to_owned() })?;
    let found = Attributes::of(&file, &metadata).map_err(place.failed("looking at it"))?;
    if metadata.nlink() != 1 || !found.narrows_to(attributes) {
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
    match unlinkat(&place.directory, place.name.as_os_str(), AtFlags::empty()) {
        Ok(()) => place.sync(),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(place.failed("removing it")(error.into())),
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

/// Whether `bytes` more can be written beside `path`.
///
/// # Errors
/// `TooLittleRoom` when not.
pub fn check_room(path: &Path, bytes: u64) -> Result<(), WriteError> {
    let place = HeldEntry::find(path, Links::Refuse)?;
    let room = fstatvfs(&place.directory).map_err(|e| place.failed("asking for free space")(e.into()))?;
    let is_root = rustix::process::geteuid().is_root();
    let blocks = if is_root { room.f_bfree } else { room.f_bavail };
    if blocks.saturating_mul(room.f_frsize) < bytes {
        return Err(WriteError::TooLittleRoom { path: path.to_owned(), bytes });
    }
    Ok(())
}

impl HeldEntry {
    /// See [`sweep`].
    pub(super) fn sweep(&self) -> Vec<WriteError> {
        let names = match self.temporaries() {
            Ok(names) => names,
            Err(error) => return vec![error],
        };
        let (mut failed, mut is_changed) = (Vec::new(), false);
        for name in names {
            match unlinkat(&self.directory, name, AtFlags::empty()) {
                Ok(()) => is_changed = true,
                Err(error) => failed.push(self.failed("removing what was left beside it")(error.into())),
            }
        }
        if is_changed && let Err(error) = self.sync() {
            failed.push(error);
        }
        failed
    }

    /// What [`temporary_beside`] has named, as far as it can be listed.
    pub(super) fn temporaries(&self) -> Result<Vec<OsString>, WriteError> {
        let entries = Dir::read_from(&self.directory).map_err(|e| self.failed("listing its directory")(e.into()))?;
        let entries = entries.take(MAX_SWEPT_ENTRIES).filter_map(Result::ok);
        let names = entries.filter(|entry| is_temporary(&self.path, entry.file_name().to_bytes()));
        Ok(names.map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned()).collect())
    }

    pub(super) fn write_new(&self, bytes: &[u8], attributes: &Attributes) -> Result<(), WriteError> {
        self.create(&self.name, bytes, attributes)?;
        self.sync().inspect_err(|_| _ = unlinkat(&self.directory, self.name.as_os_str(), AtFlags::empty()))
    }

    pub(super) fn replace(&self, bytes: &[u8], attributes: &Attributes) -> Result<(), WriteError> {
        self.is_replaceable()?;
        let beside = temporary_beside(&self.path)?;
        let name = beside.file_name().unwrap_or_default();
        self.create(name, bytes, attributes)?;
        let renamed = renameat(&self.directory, name, &self.directory, self.name.as_os_str())
            .map_err(|e| self.failed("renaming the new file over it")(e.into()));
        if renamed.is_err() {
            let _ = unlinkat(&self.directory, name, AtFlags::empty());
        }
        renamed?;
        self.sync()
    }

    /// Whether there is a file. What must not be replaced is refused: a rename would not follow a link, and would break one file with two
    /// names.
    pub(super) fn is_replaceable(&self) -> Result<bool, WriteError> {
        match self.open_file()? {
            Some((_, metadata)) if metadata.nlink() != 1 => {
                Err(FileError::HardLinked { path: self.path.clone(), links: metadata.nlink() }.into())
            }
            found => Ok(found.is_some()),
        }
    }

    /// A new file with these bytes and attributes, on the disk and read back.
    pub(super) fn create(&self, name: &OsStr, bytes: &[u8], attributes: &Attributes) -> Result<(), WriteError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directory, name, flags, Mode::from_raw_mode(PRIVATE_FILE))
            .map_err(|e| self.failed("making a new file")(e.into()))?;
        let written = self.fill(File::from(file), bytes, attributes);
        if written.is_err() {
            // After a failed sync the kernel may have dropped the pages: the file is not tried again but thrown away.
            let _ = unlinkat(&self.directory, name, AtFlags::empty());
        }
        written
    }

    fn fill(&self, mut file: File, bytes: &[u8], attributes: &Attributes) -> Result<(), WriteError> {
        // `pwrite`, which nothing else in the program calls: a trace or a fault can be aimed at it.
        file.write_all_at(bytes, 0).map_err(self.failed("writing"))?;
        attributes.give_to(&file).map_err(self.not_kept())?;
        file.sync_all().map_err(self.failed("syncing the file"))?;
        self.check(&mut file, &Sha256::digest(bytes).into())
    }

    /// Whether the file has the bytes of this digest. What is larger than any file that is written here is not read to its end.
    pub(super) fn check(&self, file: &mut File, sha256: &[u8; 32]) -> Result<(), WriteError> {
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

    pub(super) fn sync(&self) -> Result<(), WriteError> {
        fsync(&self.directory).map_err(|e| self.failed("syncing the directory")(e.into()))
    }

    pub(super) fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> WriteError {
        move |source| WriteError::from_io(&self.path, what, source)
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

fn is_temporary(path: &Path, name: &[u8]) -> bool {
    let random = name.strip_prefix(temporary_prefix(path).as_bytes());
    random.is_some_and(|random| random.len() == 2 * TEMPORARY_RANDOM && random.iter().all(u8::is_ascii_hexdigit))
}

fn temporary_prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".kagiban-");
    prefix
}
