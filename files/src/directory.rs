//! A directory of files that belong together, such as a key and its certificate: it appears under its name whole, or not at all.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use crate::durable::temporary_beside;
use crate::file::WriteError;
use crate::system::names::{self, Directory};
use crate::system::{Attributes, HeldEntry, is_ours};

/// A directory that only we may enter, with files that only we may read, beside the place where it is to be. Until it is kept,
/// dropping it puts everything back as it was.
///
/// The directories are held open, and files are removed by what is held: whoever gives one of the names to something else has
/// nothing of that removed. Nobody but an administrator can.
#[derive(Debug)]
pub struct StagedDirectory {
    place: HeldEntry,
    /// The name of the new directory before it is published, and afterwards of what it has replaced.
    beside: OsString,
    directory: Directory,
    names: Vec<&'static str>,
    state: Stage,
}

/// A directory that is to be replaced holds a file or two.
const MAX_LISTED: usize = 1000;

#[derive(Debug)]
enum Stage {
    Staged,
    /// Nothing was there before.
    Published,
    /// Another directory was there, which lies beside now.
    Exchanged(Directory),
    Kept,
}

impl StagedDirectory {
    /// Writes the files into a new directory beside `path`, durably. All that takes space is done then. Where `path` has no
    /// directory, one is made.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing is left then. A directory in which others can change what a name leads to is refused.
    pub fn write(path: &Path, files: &[(&'static str, &[u8])]) -> Result<Self, WriteError> {
        let place = HeldEntry::guarded(path)?;
        let beside = temporary_beside(path)?.file_name().unwrap_or_default().to_owned();
        let named: Vec<_> = files.iter().map(|(name, _)| *name).collect();
        sweep(&place, &named);
        let directory = place.make_directory(&beside)?;
        names::lock(&directory);
        let staged = Self { place, beside, directory, names: named, state: Stage::Staged };
        files
            .iter()
            .try_for_each(|(name, bytes)| staged.file(name)?.create(OsStr::new(name), bytes, &Attributes::ours()))?;
        staged.sync(&staged.directory)?;
        staged.sync(&staged.place.directory)?;
        Ok(staged)
    }

    /// Gives the directory its name, which must be free.
    ///
    /// # Errors
    /// See [`WriteError`]; that something has that name is one.
    pub fn publish(&mut self) -> Result<(), WriteError> {
        self.rename(&self.directory, &self.beside, &self.place.name)
            .map_err(self.failed("giving the new directory its name"))?;
        self.state = Stage::Published;
        self.sync(&self.place.directory)
    }

    /// Puts the directory in the place of the one that has its name.
    ///
    /// # Errors
    /// See [`WriteError`]. A directory that holds something else than what is replaced is refused, and so is a link: what it leads
    /// to is not this directory's to remove.
    pub fn replace(&mut self) -> Result<(), WriteError> {
        let found = match names::open_own_directory(&self.place.directory, &self.place.name) {
            Err(error) if names::is_no_directory(&error) => {
                return Err(self.refused("it is no directory; name the path of one".to_owned()));
            }
            found => found.map_err(self.failed("looking at the directory"))?,
        };
        if let Some(name) = self.foreign_name(&found)? {
            return Err(self.refused(format!("it holds {}, which would be lost; move that away", name.display())));
        }
        // From the exchange on it lies where whoever sweeps looks.
        names::lock(&found);
        self.exchange(&self.directory, &found).map_err(self.failed("exchanging the directories"))?;
        self.state = Stage::Exchanged(found);
        self.sync(&self.place.directory)
    }

    /// From here on it stays. What it has replaced is removed.
    ///
    /// # Errors
    /// When what was replaced cannot be removed; its path is told.
    pub fn keep(mut self) -> Result<(), WriteError> {
        match std::mem::replace(&mut self.state, Stage::Kept) {
            Stage::Exchanged(replaced) => self.remove(&replaced),
            Stage::Staged | Stage::Published | Stage::Kept => Ok(()),
        }
    }

    /// What a directory holds that the new one has no file for.
    fn foreign_name(&self, directory: &Directory) -> Result<Option<OsString>, WriteError> {
        let found = names::list(directory, MAX_LISTED).map_err(self.failed("listing the directory"))?;
        Ok(found.into_iter().find(|name| self.names.iter().all(|ours| name != ours)))
    }

    /// Of the directory that lies beside, and of the one that has the name.
    fn exchange(&self, beside: &Directory, named: &Directory) -> io::Result<()> {
        match names::exchange(&self.place.directory, &self.beside, &self.place.name) {
            Err(error) if names::is_unsupported(&error) => self.exchange_by_renames(beside, named),
            exchanged => exchanged,
        }
    }

    /// For systems that cannot exchange names.
    fn exchange_by_renames(&self, beside: &Directory, named: &Directory) -> io::Result<()> {
        let mut aside = self.beside.clone();
        aside.push("-aside");
        let name = &self.place.name;
        self.rename(named, name, &aside)?;
        if let Err(error) = self.rename(beside, &self.beside, name) {
            self.rename(named, &aside, name)?;
            return Err(error);
        }
        self.rename(named, &aside, &self.beside)
    }

    fn put_back(&self) -> Result<(), WriteError> {
        let back = self.failed("taking its name back");
        let has_its_name = || has_name(&self.place, &self.place.name, &self.directory);
        match &self.state {
            Stage::Kept => return Ok(()),
            // Under its own name it would be seen with a part of its files
            Stage::Published if has_its_name() => {
                self.rename(&self.directory, &self.place.name, &self.beside).map_err(back)?;
            }
            Stage::Exchanged(replaced) if has_its_name() && has_name(&self.place, &self.beside, replaced) => {
                self.exchange(replaced, &self.directory).map_err(back)?;
            }
            // What has another name by now keeps it, and loses the files
            Stage::Staged | Stage::Published | Stage::Exchanged(_) => {}
        }
        self.remove(&self.directory)
    }

    /// Removes a directory that is held with its files, if it lies beside; if it does not, its files alone.
    fn remove(&self, directory: &Directory) -> Result<(), WriteError> {
        let path = self.place.path.with_file_name(&self.beside);
        let failed = |error| WriteError::from_io(&path, "removing it", error);
        for name in &self.names {
            match names::unlink(directory, OsStr::new(name)) {
                // Nothing has a name that no file can have
                Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename) => {
                    return Err(failed(error));
                }
                _ => {}
            }
        }
        if !has_name(&self.place, &self.beside, directory) {
            let source = io::Error::other("something else has its name by now, and is left as it is");
            return Err(WriteError::Io { path, what: "removing it", source });
        }
        names::remove_directory(&self.place.directory, directory, &self.beside).map_err(failed)?;
        self.sync(&self.place.directory)
    }

    /// A file of the new directory.
    fn file(&self, name: &str) -> Result<HeldEntry, WriteError> {
        let path = self.place.path.with_file_name(&self.beside).join(name);
        let directory =
            self.directory.try_clone().map_err(|e| WriteError::from_io(&path, "opening the directory", e))?;
        Ok(HeldEntry { directory, name: name.into(), path })
    }

    fn rename(&self, directory: &Directory, from: &OsStr, to: &OsStr) -> io::Result<()> {
        names::rename_directory(&self.place.directory, directory, from, to)
    }

    fn sync(&self, directory: &Directory) -> Result<(), WriteError> {
        names::sync(directory).map_err(self.failed("syncing the directory"))
    }

    fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> WriteError {
        self.place.failed(what)
    }

    fn refused(&self, why: String) -> WriteError {
        WriteError::Io { path: self.place.path.clone(), what: "replacing the directory", source: io::Error::other(why) }
    }
}

/// Whether a name beside that of `place` still leads to a directory that is held.
fn has_name(place: &HeldEntry, name: &OsStr, directory: &Directory) -> bool {
    let named = names::identity(&place.directory, name);
    named.is_ok_and(|named| names::identity_of(directory).is_ok_and(|held| named == held))
}

/// Removes what a process that was killed has left beside a place: private directories of ours of a name that nobody else gives, whose
/// maker holds no lock on them any more. Only these files are removed, and a directory that holds others stays.
fn sweep(place: &HeldEntry, files: &[&str]) {
    for left in place.temporaries().unwrap_or_default() {
        let Ok(directory) = names::open_left_directory(&place.directory, &left) else { continue };
        // Between the making of a directory and its lock it is empty, and to remove it would only fail its maker's write.
        let is_left = is_ours(&directory).unwrap_or(false) && names::lock(&directory);
        if is_left && names::list(&directory, 1).is_ok_and(|entries| !entries.is_empty()) {
            files.iter().for_each(|name| _ = names::unlink(&directory, OsStr::new(name)));
            if has_name(place, &left, &directory) {
                let _ = names::remove_directory(&place.directory, &directory, &left);
            }
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
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::tests::Sets;

    impl Sets {
        fn beside(&self, staged: &StagedDirectory) -> PathBuf {
            self.0.path().join(&staged.beside)
        }

        /// All that lies in the room, with what is in it.
        fn found(&self) -> Vec<String> {
            let mut found = Vec::new();
            for entry in fs::read_dir(self.0.path()).expect("list") {
                let path = entry.expect("entry").path();
                for file in fs::read_dir(&path).expect("list") {
                    let file = file.expect("entry").path();
                    let text = fs::read_to_string(&file).expect("text");
                    let below = file.strip_prefix(self.0.path()).expect("below").to_string_lossy().replace('\\', "/");
                    found.push(format!("{below}={text}"));
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
        let room = Sets::new();
        let mut staged = room.staged("first");
        assert!(!room.set().exists());
        staged.publish().expect("published");
        staged.keep().expect("kept");
        assert_eq!(room.found(), set("first"));
        let key = crate::read_held(&room.set().join("key"), 100, crate::Links::Refuse).expect("a key");
        assert!(key.attributes.is_same_access(&Attributes::ours()), "{:?}", key.attributes);
    }

    #[test]
    fn what_is_not_kept_leaves_everything_as_it_was() {
        let room = Sets::new();
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
        let room = Sets::new();
        fs::create_dir(room.set()).expect("a directory");
        fs::write(room.set().join("notes"), "theirs").expect("a file");
        let mut staged = room.staged("new");
        assert_eq!(staged.publish().expect_err("it is taken").reason(), "io");
        let error = staged.replace().expect_err("it would lose a file").to_string();
        assert!(error.contains("notes"), "{error}");
        drop(staged);
        assert_eq!(room.found(), ["set/notes=theirs"]);
    }

    #[test]
    fn without_an_exchange_of_names_the_directories_change_places_all_the_same() {
        let room = Sets::new();
        let mut first = room.staged("first");
        first.publish().expect("published");
        first.keep().expect("kept");
        let mut second = room.staged("second");
        let found = names::open_own_directory(&second.place.directory, &second.place.name).expect("a directory");
        second.exchange_by_renames(&second.directory, &found).expect("exchanged");
        second.state = Stage::Exchanged(found);
        assert_eq!(fs::read_to_string(room.beside(&second).join("key")).expect("text"), "first");
        second.keep().expect("kept");
        assert_eq!(room.found(), set("second"));
    }

    #[test]
    fn what_cannot_be_written_whole_leaves_nothing() {
        let room = Sets::new();
        let written = StagedDirectory::write(&room.set(), &[("key", b"k"), ("no/such", b"x")]);
        assert_eq!(written.map(drop).expect_err("none").reason(), "io");
        assert_eq!((room.found(), fs::read_dir(room.0.path()).expect("list").count()), (Vec::new(), 0));
    }

    /// A kill leaves what it has interrupted, and the next write to the same place removes it.
    #[test]
    fn what_a_killed_process_has_left_is_removed_by_the_next_write_and_what_others_write_now_is_not() {
        let room = Sets::new();
        let mut killed = room.staged("killed");
        let left = room.beside(&killed);
        // As a kill does it: what is open is closed, the files stay.
        killed.state = Stage::Kept;
        drop(killed);
        assert!(left.join("key").exists());
        let first = room.staged("first");
        assert!(!left.exists(), "a directory with a key is left");
        let mut second = room.staged("second");
        assert!(room.beside(&first).join("key").exists(), "its maker lives");
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
}
