//! The only way a file is written: a new file beside it that is private from its first byte, synced, given the old
//! file's owner and permissions, renamed over it, and the directory synced. Before the last step nothing has changed;
//! after it a power cut changes nothing.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, OFlags, XattrFlags, fgetxattr, flistxattr, fsetxattr, fsync, openat, renameat, unlinkat,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::read::kind;
use crate::platform::WriteError;

/// Readable and writable by us alone.
const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_DIRECTORY: u32 = 0o700;
/// The kernel's own cap for a list of names, and for one value.
const MAX_XATTR_BYTES: usize = 64 * 1024;
/// Bytes; nobody meets or guesses such a name.
const TEMPORARY_RANDOM: usize = 8;
/// An agent's directory has under a hundred entries; a hostile one shall not keep us.
const MAX_SWEPT_ENTRIES: usize = 10_000;

/// Owner and permissions of a file, as a journal keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attributes {
    pub uid: u32,
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// Owner and permissions of the file that would be replaced at `path`; none when there is no file.
///
/// # Errors
/// A symbolic link, whatever it points to, and anything that is not a regular file with one name.
pub fn attributes(path: &Path) -> Result<Option<Attributes>, WriteError> {
    let place = Place::open(path)?;
    Ok(place.current()?.map(|file| Attributes::of(&file.metadata)))
}

/// Writes a file that does not exist yet, durably and private. When it fails nothing is left of it.
///
/// # Errors
/// See [`WriteError`]; an existing file is one.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let place = Place::open(path)?;
    place.create(&place.name, bytes)?;
    place.sync()
}

/// Puts `staged`, a file in the same directory written by [`write_new`], in the place of `path`, with the owner and
/// permissions of the file that is there, or else of `otherwise`, or else private to the directory's owner.
///
/// `sha256` is what must be in `staged`: its directory may belong to the service, and so to whoever took that over.
///
/// # Errors
/// See [`WriteError`]. After an error `path` may be old or new, but is whole.
pub fn promote(staged: &Path, path: &Path, sha256: &[u8; 32], otherwise: Option<Attributes>) -> Result<(), WriteError> {
    let place = Place::open(path)?;
    let name = staged.file_name().unwrap_or_default();
    place.take_over(name, sha256, otherwise)
}

/// Replaces `path`, or makes it, durably.
///
/// # Errors
/// See [`WriteError`].
pub fn replace(path: &Path, bytes: &[u8], otherwise: Option<Attributes>) -> Result<(), WriteError> {
    let place = Place::open(path)?;
    let beside = temporary_beside(path)?;
    let name = beside.file_name().unwrap_or_default().to_owned();
    place.create(&name, bytes)?;
    let replaced = place.take_over(&name, &Sha256::digest(bytes).into(), otherwise);
    if replaced.is_err() {
        // Gone already when it was the directory's sync that failed.
        let _ = unlinkat(&place.directory, name.as_os_str(), AtFlags::empty());
    }
    replaced
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

/// Removes what an interrupted write to `path` left beside it.
///
/// # Errors
/// See [`WriteError`].
pub fn sweep(path: &Path) -> Result<(), WriteError> {
    let directory = path.parent().unwrap_or(path);
    let prefix = temporary_prefix(path);
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(WriteError::from_io(path, "listing its directory", error)),
    };
    for entry in entries.take(MAX_SWEPT_ENTRIES).filter_map(Result::ok) {
        let name = entry.file_name();
        let ours = name
            .as_bytes()
            .strip_prefix(prefix.as_bytes())
            .is_some_and(|random| random.len() == 2 * TEMPORARY_RANDOM && random.iter().all(u8::is_ascii_hexdigit));
        if ours {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file durably; that there is none is fine.
///
/// # Errors
/// See [`WriteError`].
pub fn remove(path: &Path) -> Result<(), WriteError> {
    let place = match Place::open(path) {
        Err(WriteError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        place => place?,
    };
    match unlinkat(&place.directory, place.name.as_os_str(), AtFlags::empty()) {
        Ok(()) => place.sync(),
        Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(place.failed("removing it")(error.into())),
    }
}

/// Makes a directory that only we may enter, with its parents, or checks the one that is there.
///
/// # Errors
/// Also when somebody else owns it or may write in it.
pub fn create_private_directory(path: &Path) -> Result<(), WriteError> {
    let failed = |what| move |source| WriteError::from_io(path, what, source);
    DirBuilder::new().recursive(true).mode(PRIVATE_DIRECTORY).create(path).map_err(failed("making the directory"))?;
    let directory = open_directory(path)?;
    let metadata = File::from(directory).metadata().map_err(failed("looking at the directory"))?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        let source = io::Error::other("others own it or may write in it; make it ours alone (chmod 700)");
        return Err(WriteError::AccessNotKept { path: path.to_owned(), source });
    }
    // A new directory is durable once its parent is.
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => fsync(open_directory(parent)?).map_err(|e| failed("syncing the parent directory")(e.into())),
        None => Ok(()),
    }
}

/// A name in a directory that is held open: between two steps nobody can put another directory in its place.
struct Place {
    directory: OwnedFd,
    name: OsString,
    path: PathBuf,
}

struct Current {
    file: File,
    metadata: Metadata,
}

impl Place {
    fn open(path: &Path) -> Result<Self, WriteError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(WriteError::NotRegular { path: path.to_owned(), kind: "no file name" });
        };
        Ok(Self { directory: open_directory(parent)?, name: name.to_owned(), path: path.to_owned() })
    }

    /// The file that is there now, checked to be one that can be replaced.
    fn current(&self) -> Result<Option<Current>, WriteError> {
        // O_PATH would open without permissions, but gives nothing to read extended attributes from.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&self.directory, self.name.as_os_str(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(rustix::io::Errno::LOOP) => return Err(self.not_regular("a symbolic link")),
            Err(error) => return Err(self.failed("opening it")(error.into())),
        };
        let metadata = file.metadata().map_err(self.failed("looking at it"))?;
        if !metadata.is_file() {
            return Err(self.not_regular(kind(&metadata)));
        }
        if metadata.nlink() != 1 {
            return Err(WriteError::HardLinked { path: self.path.clone(), links: metadata.nlink() });
        }
        Ok(Some(Current { file, metadata }))
    }

    /// A new private file with these bytes, on the disk and read back.
    fn create(&self, name: &OsStr, bytes: &[u8]) -> Result<(), WriteError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directory, name, flags, Mode::from_raw_mode(PRIVATE_FILE))
            .map_err(|e| self.failed("making a new file")(e.into()))?;
        let written = self.fill(File::from(file), bytes);
        if written.is_err() {
            // After a failed sync the kernel may have dropped the pages: the file is not tried again but thrown away.
            let _ = unlinkat(&self.directory, name, AtFlags::empty());
        }
        written
    }

    fn fill(&self, mut file: File, bytes: &[u8]) -> Result<(), WriteError> {
        file.write_all(bytes).map_err(self.failed("writing"))?;
        file.sync_all().map_err(self.failed("syncing the file"))?;
        self.check(&mut file, &Sha256::digest(bytes).into())
    }

    fn check(&self, file: &mut File, sha256: &[u8; 32]) -> Result<(), WriteError> {
        file.rewind().map_err(self.failed("reading it back"))?;
        let mut digest = Sha256::new();
        let mut buffer = zeroize::Zeroizing::new([0; 8192]);
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

    fn take_over(&self, name: &OsStr, sha256: &[u8; 32], otherwise: Option<Attributes>) -> Result<(), WriteError> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let staged = openat(&self.directory, name, flags, Mode::empty())
            .map_err(|e| self.failed("opening the new file")(e.into()))?;
        let mut staged = File::from(staged);
        let metadata = staged.metadata().map_err(self.failed("looking at the new file"))?;
        let ours = metadata.is_file() && metadata.nlink() == 1 && metadata.uid() == rustix::process::geteuid().as_raw();
        if !ours {
            return Err(WriteError::Altered { path: self.path.clone() });
        }
        self.check(&mut staged, sha256)?;
        let access = match (self.current()?, otherwise) {
            (Some(current), _) => {
                self.copy_xattrs(&current.file, &staged)?;
                Attributes::of(&current.metadata)
            }
            (None, Some(attributes)) => attributes,
            (None, None) => self.private_to_directory_owner()?,
        };
        self.apply(access, &staged, &metadata)?;
        staged.sync_all().map_err(self.failed("syncing the file"))?;
        renameat(&self.directory, name, &self.directory, self.name.as_os_str())
            .map_err(|e| self.failed("renaming the new file over it")(e.into()))?;
        self.sync()
    }

    /// The owner first: changing it takes permission bits away.
    fn apply(&self, access: Attributes, staged: &File, now: &Metadata) -> Result<(), WriteError> {
        if (now.uid(), now.gid()) != (access.uid, access.gid) {
            fchown(staged, Some(access.uid), Some(access.gid)).map_err(self.not_kept())?;
        }
        staged.set_permissions(Permissions::from_mode(access.mode)).map_err(self.not_kept())
    }

    /// A service that runs as its directory's owner could not read a file of ours.
    fn private_to_directory_owner(&self) -> Result<Attributes, WriteError> {
        let directory =
            rustix::fs::fstat(&self.directory).map_err(|e| self.failed("looking at its directory")(e.into()))?;
        Ok(Attributes { uid: directory.st_uid, gid: directory.st_gid, mode: PRIVATE_FILE })
    }

    /// Access control lists and security labels are extended attributes.
    fn copy_xattrs(&self, from: &File, to: &File) -> Result<(), WriteError> {
        let mut names = vec![0; MAX_XATTR_BYTES];
        let length = match flistxattr(from, &mut names) {
            Ok(length) => length,
            Err(rustix::io::Errno::NOTSUP) => return Ok(()),
            Err(error) => return Err(self.not_kept()(error.into())),
        };
        let mut value = vec![0; MAX_XATTR_BYTES];
        let mut present = vec![0; MAX_XATTR_BYTES];
        for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
            let name = OsStr::from_bytes(name);
            let length = fgetxattr(from, name, &mut value).map_err(|e| self.not_kept()(e.into()))?;
            let same = fgetxattr(to, name, &mut present).is_ok_and(|n| present[..n] == value[..length]);
            if !same {
                fsetxattr(to, name, &value[..length], XattrFlags::empty()).map_err(|e| self.not_kept()(e.into()))?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), WriteError> {
        fsync(&self.directory).map_err(|e| self.failed("syncing the directory")(e.into()))
    }

    fn not_regular(&self, kind: &'static str) -> WriteError {
        WriteError::NotRegular { path: self.path.clone(), kind }
    }

    fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> WriteError {
        move |source| WriteError::from_io(&self.path, what, source)
    }

    fn not_kept(&self) -> impl Fn(io::Error) -> WriteError {
        |source| WriteError::AccessNotKept { path: self.path.clone(), source }
    }
}

impl Attributes {
    fn of(metadata: &Metadata) -> Self {
        Self { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() & 0o7777 }
    }
}

fn temporary_prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".kagiban-");
    prefix
}

fn open_directory(path: &Path) -> Result<OwnedFd, WriteError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|e| WriteError::from_io(path, "opening the directory", e.into()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("metadata").mode() & 0o7777
    }

    fn names(directory: &Path) -> Vec<OsString> {
        let mut names: Vec<_> = fs::read_dir(directory).expect("list").map(|e| e.expect("entry").file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_replaced_file_keeps_its_permissions_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("store");
        fs::write(&path, b"old").expect("write");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("chmod");
        replace(&path, b"new", None).expect("replace");
        assert_eq!(fs::read(&path).expect("read"), b"new");
        assert_eq!(mode(&path), 0o640);
        assert_eq!(names(directory.path()), ["store"]);
    }

    #[test]
    fn a_new_file_is_private_and_an_existing_one_is_not_written_over() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("stage");
        write_new(&path, b"key").expect("write");
        assert_eq!(mode(&path), 0o600);
        assert!(write_new(&path, b"other").is_err());
        assert_eq!(fs::read(&path).expect("read"), b"key");
    }

    #[test]
    fn a_link_or_a_directory_or_a_file_with_two_names_is_refused() {
        let directory = tempfile::tempdir().expect("directory");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("real"), b"old").expect("write");
        symlink(at("real"), at("link")).expect("symlink");
        symlink(at("nowhere"), at("dangling")).expect("symlink");
        fs::create_dir(at("folder")).expect("mkdir");
        for name in ["link", "dangling", "folder"] {
            assert_eq!(replace(&at(name), b"new", None).expect_err(name).reason(), "not_regular");
        }
        fs::hard_link(at("real"), at("twin")).expect("link");
        assert_eq!(replace(&at("real"), b"new", None).expect_err("two names").reason(), "hard_linked");
        assert_eq!(fs::read(at("real")).expect("read"), b"old");
        assert_eq!(names(directory.path()), ["dangling", "folder", "link", "real", "twin"]);
    }

    #[test]
    fn a_staged_file_that_somebody_changed_is_not_promoted() {
        let directory = tempfile::tempdir().expect("directory");
        let (stage, path) = (directory.path().join("stage"), directory.path().join("store"));
        fs::write(&path, b"old").expect("write");
        write_new(&stage, b"new").expect("write");
        let sha256 = Sha256::digest(b"new").into();
        fs::write(&stage, b"evil").expect("write");
        assert_eq!(promote(&stage, &path, &sha256, None).expect_err("altered").reason(), "altered");
        assert_eq!(fs::read(&path).expect("read"), b"old");
        fs::write(&stage, b"new").expect("write");
        promote(&stage, &path, &sha256, None).expect("promote");
        assert_eq!(fs::read(&path).expect("read"), b"new");
        assert_eq!(names(directory.path()), ["store"]);
    }

    #[test]
    fn what_an_interrupted_write_left_is_swept_and_nothing_else() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("store");
        for name in
            ["store", ".store.kagiban-notes", ".store.kagiban-0123456789abcdeg", ".other.kagiban-0123456789abcdef"]
        {
            fs::write(directory.path().join(name), b"keep").expect("write");
        }
        write_new(&temporary_beside(&path).expect("name"), b"key").expect("write");
        assert_eq!(names(directory.path()).len(), 5);
        sweep(&path).expect("sweep");
        assert_eq!(names(directory.path()).len(), 4);
    }

    #[test]
    fn removing_what_is_not_there_is_fine() {
        let directory = tempfile::tempdir().expect("directory");
        remove(&directory.path().join("a")).expect("no file");
        remove(&directory.path().join("b").join("a")).expect("no directory");
    }

    #[test]
    fn a_state_directory_that_others_may_write_in_is_refused() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("a").join("b");
        create_private_directory(&path).expect("new");
        assert_eq!(mode(&path), 0o700);
        create_private_directory(&path).expect("again");
        fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("chmod");
        assert!(create_private_directory(&path).is_err());
    }
}
