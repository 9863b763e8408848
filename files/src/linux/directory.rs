//! A directory of files that belong together, such as a key and its certificate: it appears under its name whole, or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Dir, FlockOperation, RenameFlags, flock, renameat, renameat_with};
use rustix::io::Errno;

use super::durable::{create_private_directory, sync_directory_of, temporaries_beside, temporary_beside, write_new};
use super::held::open_directory;
use crate::file::WriteError;

/// A directory that only we may enter, with files that only we may read, beside the place where it is to be. Until it is kept,
/// dropping it puts everything back as it was.
#[derive(Debug)]
pub struct StagedDirectory {
    path: PathBuf,
    /// Where the new directory lies before it is published, and afterwards what it has replaced.
    beside: PathBuf,
    names: Vec<&'static str>,
    state: Stage,
    /// The locks on the new directory and on the one that it replaces: while they are held, their holder lives.
    held: Vec<OwnedFd>,
}

/// `.` and `..`.
const OWN_ENTRIES: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Staged,
    /// Nothing was there before.
    Published,
    /// Another directory was there, which lies beside now.
    Exchanged,
    Kept,
}

impl StagedDirectory {
    /// Writes the files into a new directory beside `path`, durably. All that takes space is done then.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing is left then.
    pub fn write(path: &Path, files: &[(&'static str, &[u8])]) -> Result<Self, WriteError> {
        let beside = temporary_beside(path)?;
        let names: Vec<_> = files.iter().map(|(name, _)| *name).collect();
        sweep_directories(path, &names);
        create_private_directory(&beside)?;
        let held = vec![locked(&beside)?];
        let staged = Self { path: path.to_owned(), beside, names, state: Stage::Staged, held };
        files.iter().try_for_each(|(name, bytes)| write_new(&staged.beside.join(name), bytes, None))?;
        Ok(staged)
    }

    /// Gives the directory its name, which must be free.
    ///
    /// # Errors
    /// See [`WriteError`]; that something has that name is one.
    pub fn publish(&mut self) -> Result<(), WriteError> {
        match renameat_with(CWD, &self.beside, CWD, &self.path, RenameFlags::NOREPLACE) {
            // A plain rename of a directory replaces an empty directory at most
            Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => renameat(CWD, &self.beside, CWD, &self.path),
            renamed => renamed,
        }
        .map_err(|error| self.failed("giving the new directory its name", error))?;
        self.state = Stage::Published;
        sync_directory_of(&self.path)
    }

    /// Puts the directory in the place of the one that has its name.
    ///
    /// # Errors
    /// See [`WriteError`]. A directory that holds something else than what is replaced is refused, and so is a link: what it leads
    /// to is not this directory's to remove.
    pub fn replace(&mut self) -> Result<(), WriteError> {
        let refused = |why: String| {
            let source = io::Error::other(why);
            Err(WriteError::Io { path: self.path.clone(), what: "replacing the directory", source })
        };
        let found = fs::symlink_metadata(&self.path)
            .map_err(|source| WriteError::from_io(&self.path, "looking at the directory", source))?;
        if !found.is_dir() {
            return refused("it is no directory; name the path of one".to_owned());
        }
        if let Some(name) = self.foreign_name()? {
            return refused(format!("it holds {}, which would be lost; move that away", name.display()));
        }
        // From the exchange on it lies where whoever sweeps looks.
        self.held.push(locked(&self.path)?);
        match renameat_with(CWD, &self.beside, CWD, &self.path, RenameFlags::EXCHANGE) {
            Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => self.exchange_by_renames()?,
            exchanged => exchanged.map_err(|error| self.failed("exchanging the directories", error))?,
        }
        self.state = Stage::Exchanged;
        sync_directory_of(&self.path)
    }

    /// From here on it stays. What it has replaced is removed.
    ///
    /// # Errors
    /// When what was replaced cannot be removed; its path is told.
    pub fn keep(mut self) -> Result<(), WriteError> {
        let was = std::mem::replace(&mut self.state, Stage::Kept);
        if was == Stage::Exchanged { self.remove_beside() } else { Ok(()) }
    }

    /// What the present directory holds that the new one has no file for.
    fn foreign_name(&self) -> Result<Option<PathBuf>, WriteError> {
        let failed = |source| WriteError::from_io(&self.path, "listing the directory", source);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if !self.names.iter().any(|ours| name == *ours) {
                return Ok(Some(name.into()));
            }
        }
        Ok(None)
    }

    /// For kernels and file systems that cannot exchange names.
    fn exchange_by_renames(&self) -> Result<(), WriteError> {
        let aside = temporary_beside(&self.path)?;
        let rename = |from: &Path, to: &Path| fs::rename(from, to);
        let failed = |source| WriteError::from_io(&self.path, "exchanging the directories", source);
        rename(&self.path, &aside).map_err(failed)?;
        if let Err(error) = rename(&self.beside, &self.path) {
            rename(&aside, &self.path).map_err(failed)?;
            return Err(failed(error));
        }
        rename(&aside, &self.beside).map_err(failed)
    }

    fn put_back(&self) -> Result<(), WriteError> {
        match self.state {
            Stage::Kept => return Ok(()),
            Stage::Staged => {}
            Stage::Published => {
                fs::rename(&self.path, &self.beside)
                    .map_err(|source| WriteError::from_io(&self.path, "taking its name back", source))?;
            }
            Stage::Exchanged => match renameat_with(CWD, &self.beside, CWD, &self.path, RenameFlags::EXCHANGE) {
                Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => self.exchange_by_renames()?,
                exchanged => exchanged.map_err(|error| self.failed("exchanging the directories back", error))?,
            },
        }
        self.remove_beside()
    }

    fn remove_beside(&self) -> Result<(), WriteError> {
        let failed = |source| WriteError::from_io(&self.beside, "removing it", source);
        for name in &self.names {
            match fs::remove_file(self.beside.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                Ok(()) | Err(_) => {}
            }
        }
        fs::remove_dir(&self.beside).map_err(failed)?;
        sync_directory_of(&self.beside)
    }

    fn failed(&self, what: &'static str, error: Errno) -> WriteError {
        WriteError::from_io(&self.path, what, error.into())
    }
}

/// Opened, and locked: whoever sweeps leaves it alone. A file system without locks has no sweep either.
fn locked(directory: &Path) -> Result<OwnedFd, WriteError> {
    let opened = open_directory(directory).map_err(|e| WriteError::from_io(directory, "opening the directory", e))?;
    let _ = flock(&opened, FlockOperation::NonBlockingLockExclusive);
    Ok(opened)
}

/// Removes what a process that was killed has left beside `path`: private directories of a name that nobody else gives, whose maker
/// holds no lock on them any more. Only these files are removed, and a directory that holds others stays.
fn sweep_directories(path: &Path, names: &[&str]) {
    for left in temporaries_beside(path) {
        let Ok(directory) = open_directory(&left) else { continue };
        // Between the making of a directory and its lock it is empty, and to remove it would only fail its maker's write.
        let is_left = flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok();
        if is_left && Dir::read_from(&directory).is_ok_and(|entries| entries.flatten().count() > OWN_ENTRIES) {
            names.iter().for_each(|name| _ = fs::remove_file(left.join(name)));
            let _ = fs::remove_dir(&left);
        }
    }
}

impl Drop for StagedDirectory {
    fn drop(&mut self) {
        // The error that led here is the one that is told
        let _ = self.put_back();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Room(tempfile::TempDir);

    impl Room {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("directory"))
        }

        fn set(&self) -> PathBuf {
            self.0.path().join("set")
        }

        fn staged(&self, text: &str) -> StagedDirectory {
            StagedDirectory::write(&self.set(), &[("key", text.as_bytes()), ("certificate", text.as_bytes())])
                .expect("staged")
        }

        /// All that lies in the room, with what is in it.
        fn found(&self) -> Vec<String> {
            let mut found = Vec::new();
            for entry in fs::read_dir(self.0.path()).expect("list") {
                let path = entry.expect("entry").path();
                for file in fs::read_dir(&path).expect("list") {
                    let file = file.expect("entry").path();
                    let text = fs::read_to_string(&file).expect("text");
                    found.push(format!("{}={text}", file.strip_prefix(self.0.path()).expect("below").display()));
                }
            }
            found.sort();
            found
        }
    }

    fn set(text: &str) -> Vec<String> {
        vec![format!("set/certificate={text}"), format!("set/key={text}")]
    }

    #[test]
    fn it_appears_whole_and_private_and_leaves_nothing_beside_it() {
        let room = Room::new();
        let mut staged = room.staged("first");
        assert!(!room.set().exists());
        staged.publish().expect("published");
        staged.keep().expect("kept");
        assert_eq!(room.found(), set("first"));
        let mode = |path: PathBuf| fs::metadata(path).expect("metadata").permissions().mode() & 0o7777;
        assert_eq!((mode(room.set()), mode(room.set().join("key"))), (0o700, 0o600));
    }

    #[test]
    fn what_is_not_kept_leaves_everything_as_it_was() {
        let room = Room::new();
        drop(room.staged("first"));
        assert_eq!(room.found(), Vec::<String>::new());
        let mut staged = room.staged("first");
        staged.publish().expect("published");
        drop(staged);
        assert_eq!(room.found(), Vec::<String>::new(), "a published one too");
        let mut staged = room.staged("first");
        staged.publish().expect("published");
        staged.keep().expect("kept");
        let mut staged = room.staged("second");
        staged.replace().expect("replaced");
        assert_eq!(fs::read_to_string(room.set().join("key")).expect("text"), "second");
        drop(staged);
        assert_eq!(room.found(), set("first"), "and one that has replaced another");
    }

    #[test]
    fn a_name_that_is_taken_is_left_to_whoever_has_it() {
        let room = Room::new();
        fs::create_dir(room.set()).expect("a directory");
        fs::write(room.set().join("notes"), "theirs").expect("a file");
        let mut staged = room.staged("new");
        let error = staged.publish().expect_err("it is taken").to_string();
        assert!(error.contains("File exists"), "{error}");
        let error = staged.replace().expect_err("it would lose a file").to_string();
        assert!(error.contains("notes"), "{error}");
        drop(staged);
        assert_eq!(room.found(), ["set/notes=theirs"]);
    }

    #[test]
    fn what_a_link_leads_to_is_neither_replaced_nor_emptied() {
        let room = Room::new();
        let elsewhere = room.0.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("a directory");
        fs::write(elsewhere.join("key"), "theirs").expect("a file");
        std::os::unix::fs::symlink(&elsewhere, room.set()).expect("a link");
        let mut staged = room.staged("new");
        let error = staged.replace().expect_err("a link").to_string();
        assert!(error.contains("no directory"), "{error}");
        drop(staged);
        assert!(room.set().is_symlink());
        assert_eq!(fs::read_to_string(elsewhere.join("key")).expect("text"), "theirs");
    }

    #[test]
    fn without_an_exchange_of_names_the_directories_change_places_all_the_same() {
        let room = Room::new();
        let mut first = room.staged("first");
        first.publish().expect("published");
        first.keep().expect("kept");
        let mut second = room.staged("second");
        second.exchange_by_renames().expect("exchanged");
        second.state = Stage::Exchanged;
        assert_eq!(fs::read_to_string(second.beside.join("key")).expect("text"), "first");
        second.keep().expect("kept");
        assert_eq!(room.found(), set("second"));
    }

    /// A kill leaves what it has interrupted, and the next write to the same place removes it.
    #[test]
    fn what_a_killed_process_has_left_is_removed_by_the_next_write_and_what_others_write_now_is_not() {
        let room = Room::new();
        let killed = room.staged("killed");
        let left = killed.beside.clone();
        // As a kill does it: the lock goes, the files stay.
        flock(&killed.held[0], FlockOperation::Unlock).expect("unlocked");
        std::mem::forget(killed);
        assert!(left.join("key").exists());
        let first = room.staged("first");
        assert!(!left.exists(), "a directory with a key is left");
        let mut second = room.staged("second");
        assert!(first.beside.join("key").exists(), "its maker lives");
        second.publish().expect("published");
        second.keep().expect("kept");
        drop(first);
        assert_eq!(room.found(), set("second"));
        // What holds something else is nobody's to remove.
        let theirs = temporary_beside(&room.set()).expect("a name");
        fs::create_dir(&theirs).expect("a directory");
        fs::write(theirs.join("notes"), "theirs").expect("a file");
        drop(room.staged("third"));
        assert!(theirs.join("notes").exists());
    }

    #[test]
    fn what_cannot_be_written_whole_leaves_nothing() {
        let room = Room::new();
        let error =
            StagedDirectory::write(&room.set(), &[("key", b"k"), ("no/such", b"x")]).map(drop).expect_err("none");
        assert_eq!(error.reason(), "not_found", "{error}");
        assert_eq!((room.found(), fs::read_dir(room.0.path()).expect("list").count()), (Vec::new(), 0));
    }
}
