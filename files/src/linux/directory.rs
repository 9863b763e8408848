//! A directory of files that belong together, such as a key and its certificate: it appears under its name whole, or not at all.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FlockOperation, RenameFlags, flock, fstat, fsync, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::attributes::Attributes;
use super::durable::temporary_beside;
use super::guarded::open_directory_at;
use super::held::HeldEntry;
use crate::file::WriteError;

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
    directory: OwnedFd,
    names: Vec<&'static str>,
    state: Stage,
}

/// `.` and `..`.
const OWN_ENTRIES: usize = 2;

#[derive(Debug)]
enum Stage {
    Staged,
    /// Nothing was there before.
    Published,
    /// Another directory was there, which lies beside now.
    Exchanged(OwnedFd),
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
        let names: Vec<_> = files.iter().map(|(name, _)| *name).collect();
        sweep(&place, &names);
        let directory = place.make_directory(&beside)?;
        lock(&directory);
        let staged = Self { place, beside, directory, names, state: Stage::Staged };
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
        match self.rename(&self.beside, &self.place.name, RenameFlags::NOREPLACE) {
            // A plain rename of a directory replaces an empty directory at most
            Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => {
                self.rename(&self.beside, &self.place.name, RenameFlags::empty())
            }
            renamed => renamed,
        }
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
        let found = match open_directory_at(&self.place.directory, &self.place.name) {
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(self.refused("it is no directory; name the path of one".to_owned()));
            }
            found => found.map_err(self.failed("looking at the directory"))?,
        };
        if let Some(name) = self.foreign_name(&found)? {
            return Err(self.refused(format!("it holds {}, which would be lost; move that away", name.display())));
        }
        // From the exchange on it lies where whoever sweeps looks.
        lock(&found);
        self.exchange().map_err(self.failed("exchanging the directories"))?;
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
    fn foreign_name(&self, directory: &OwnedFd) -> Result<Option<PathBuf>, WriteError> {
        let is_ours = |name: &CStr| {
            let name = name.to_bytes();
            matches!(name, b"." | b"..") || self.names.iter().any(|ours| ours.as_bytes() == name)
        };
        for entry in Dir::read_from(directory).map_err(self.failed("listing the directory"))? {
            let entry = entry.map_err(self.failed("listing the directory"))?;
            if !is_ours(entry.file_name()) {
                return Ok(Some(PathBuf::from(OsStr::from_bytes(entry.file_name().to_bytes()))));
            }
        }
        Ok(None)
    }

    fn exchange(&self) -> rustix::io::Result<()> {
        match self.rename(&self.beside, &self.place.name, RenameFlags::EXCHANGE) {
            Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => self.exchange_by_renames(),
            exchanged => exchanged,
        }
    }

    /// For kernels and file systems that cannot exchange names.
    fn exchange_by_renames(&self) -> rustix::io::Result<()> {
        let mut aside = self.beside.clone();
        aside.push("-aside");
        let (name, none) = (&self.place.name, RenameFlags::empty());
        self.rename(name, &aside, none)?;
        if let Err(error) = self.rename(&self.beside, name, none) {
            self.rename(&aside, name, none)?;
            return Err(error);
        }
        self.rename(&aside, &self.beside, none)
    }

    fn put_back(&self) -> Result<(), WriteError> {
        let back = self.failed("taking its name back");
        let has_its_name = || has_name(&self.place, &self.place.name, &self.directory);
        match &self.state {
            Stage::Kept => return Ok(()),
            // Under its own name it would be seen with a part of its files
            Stage::Published if has_its_name() => {
                self.rename(&self.place.name, &self.beside, RenameFlags::empty()).map_err(back)?;
            }
            Stage::Exchanged(replaced) if has_its_name() && has_name(&self.place, &self.beside, replaced) => {
                self.exchange().map_err(back)?;
            }
            // What has another name by now keeps it, and loses the files
            Stage::Staged | Stage::Published | Stage::Exchanged(_) => {}
        }
        self.remove(&self.directory)
    }

    /// Removes a directory that is held with its files, if it lies beside; if it does not, its files alone.
    fn remove(&self, directory: &OwnedFd) -> Result<(), WriteError> {
        let path = self.place.path.with_file_name(&self.beside);
        let failed = |error: Errno| WriteError::from_io(&path, "removing it", error.into());
        for name in &self.names {
            match unlinkat(directory, *name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if !has_name(&self.place, &self.beside, directory) {
            let source = io::Error::other("something else has its name by now, and is left as it is");
            return Err(WriteError::Io { path, what: "removing it", source });
        }
        unlinkat(&self.place.directory, &self.beside, AtFlags::REMOVEDIR).map_err(failed)?;
        self.sync(&self.place.directory)
    }

    /// A file of the new directory.
    fn file(&self, name: &str) -> Result<HeldEntry, WriteError> {
        let path = self.place.path.with_file_name(&self.beside).join(name);
        let directory =
            self.directory.try_clone().map_err(|e| WriteError::from_io(&path, "opening the directory", e))?;
        Ok(HeldEntry { directory, name: name.into(), path })
    }

    fn rename(&self, from: &OsStr, to: &OsStr, flags: RenameFlags) -> rustix::io::Result<()> {
        let directory = &self.place.directory;
        // Kernels before 3.15 know no flags at all
        if flags.is_empty() {
            renameat(directory, from, directory, to)
        } else {
            renameat_with(directory, from, directory, to, flags)
        }
    }

    fn sync(&self, directory: &OwnedFd) -> Result<(), WriteError> {
        fsync(directory).map_err(self.failed("syncing the directory"))
    }

    fn failed(&self, what: &'static str) -> impl Fn(Errno) -> WriteError {
        move |error| WriteError::from_io(&self.place.path, what, error.into())
    }

    fn refused(&self, why: String) -> WriteError {
        WriteError::Io { path: self.place.path.clone(), what: "replacing the directory", source: io::Error::other(why) }
    }
}

/// Whether a name beside that of `place` still leads to a directory that is held.
fn has_name(place: &HeldEntry, name: &OsStr, directory: &OwnedFd) -> bool {
    let named = statat(&place.directory, name, AtFlags::SYMLINK_NOFOLLOW);
    let held = fstat(directory);
    named.is_ok_and(|named| held.is_ok_and(|held| (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)))
}

/// Held as long as it is open: whoever sweeps leaves it alone. A file system without locks has no sweep either.
fn lock(directory: &OwnedFd) {
    let _ = flock(directory, FlockOperation::NonBlockingLockExclusive);
}

/// Removes what a process that was killed has left beside a place: private directories of ours of a name that nobody else gives, whose
/// maker holds no lock on them any more. Only these files are removed, and a directory that holds others stays.
fn sweep(place: &HeldEntry, names: &[&str]) {
    for left in place.temporaries().unwrap_or_default() {
        let Ok(directory) = open_directory_at(&place.directory, &left) else { continue };
        let is_ours = fstat(&directory).is_ok_and(|it| it.st_uid == rustix::process::geteuid().as_raw());
        // Between the making of a directory and its lock it is empty, and to remove it would only fail its maker's write.
        let is_left = is_ours && flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok();
        if is_left && Dir::read_from(&directory).is_ok_and(|entries| entries.flatten().count() > OWN_ENTRIES) {
            names.iter().for_each(|name| _ = unlinkat(&directory, *name, AtFlags::empty()));
            if has_name(place, &left, &directory) {
                let _ = unlinkat(&place.directory, &left, AtFlags::REMOVEDIR);
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
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    struct Room(tempfile::TempDir);

    impl Room {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("directory"))
        }

        fn set(&self) -> PathBuf {
            self.0.path().join("set")
        }

        fn beside(&self, staged: &StagedDirectory) -> PathBuf {
            self.0.path().join(&staged.beside)
        }

        /// A directory of somebody else with files of the same names.
        fn victim(&self) -> PathBuf {
            let victim = self.0.path().join("victim");
            fs::create_dir(&victim).expect("a directory");
            for name in ["key", "certificate"] {
                fs::write(victim.join(name), "theirs").expect("a file");
            }
            victim
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
        symlink(&elsewhere, room.set()).expect("a link");
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
        let found = open_directory_at(&second.place.directory, &second.place.name).expect("a directory");
        second.exchange_by_renames().expect("exchanged");
        second.state = Stage::Exchanged(found);
        assert_eq!(fs::read_to_string(room.beside(&second).join("key")).expect("text"), "first");
        second.keep().expect("kept");
        assert_eq!(room.found(), set("second"));
    }

    #[test]
    fn what_cannot_be_written_whole_leaves_nothing() {
        let room = Room::new();
        let error =
            StagedDirectory::write(&room.set(), &[("key", b"k"), ("no/such", b"x")]).map(drop).expect_err("none");
        assert!(error.to_string().contains("No such file"), "{error}");
        assert_eq!((room.found(), fs::read_dir(room.0.path()).expect("list").count()), (Vec::new(), 0));
    }
    /// A kill leaves what it has interrupted, and the next write to the same place removes it.
    #[test]
    fn what_a_killed_process_has_left_is_removed_by_the_next_write_and_what_others_write_now_is_not() {
        let room = Room::new();
        let killed = room.staged("killed");
        let left = room.beside(&killed);
        // As a kill does it: the lock goes, the files stay.
        flock(&killed.directory, FlockOperation::Unlock).expect("unlocked");
        std::mem::forget(killed);
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

    /// Who gives a name to something else between two steps has files of that removed, and what was to be removed left.
    #[test]
    fn whatever_a_name_leads_to_by_now_only_what_was_made_or_replaced_here_is_removed() {
        for step in ["staged", "published", "exchanged", "kept"] {
            let room = Room::new();
            let victim = room.victim();
            if matches!(step, "exchanged" | "kept") {
                let mut first = room.staged("first");
                first.publish().expect("published");
                first.keep().expect("kept");
            }
            let mut staged = room.staged("new");
            match step {
                "published" => staged.publish().expect("published"),
                "exchanged" | "kept" => staged.replace().expect("replaced"),
                _ => {}
            }
            let [swapped, stolen] =
                [if step == "published" { room.set() } else { room.beside(&staged) }, room.0.path().join("stolen")];
            fs::rename(&swapped, &stolen).expect("renamed");
            symlink(&victim, &swapped).expect("a link");
            if step == "kept" {
                let error = staged.keep().expect_err("it is not there").to_string();
                assert!(error.contains("something else has its name"), "{error}");
            } else {
                drop(staged);
            }
            for name in ["key", "certificate"] {
                assert_eq!(fs::read_to_string(victim.join(name)).expect(step), "theirs", "{step}");
            }
            assert!(swapped.is_symlink(), "{step}");
            // What replaced it stays in force where the old one cannot be put back.
            let left = if step == "exchanged" { 2 } else { 0 };
            assert_eq!(fs::read_dir(&stolen).expect("list").count(), left, "{step}");
        }
    }

    #[test]
    fn the_directory_that_it_goes_to_is_held_and_not_found_again_by_its_path() {
        let room = Room::new();
        let (own, away) = (room.0.path().join("own"), room.0.path().join("away"));
        fs::create_dir(&own).expect("a directory");
        let victim = room.victim();
        let mut staged = StagedDirectory::write(&own.join("set"), &[("key", b"k")]).expect("staged");
        fs::rename(&own, &away).expect("renamed");
        symlink(&victim, &own).expect("a link");
        staged.publish().expect("published");
        staged.keep().expect("kept");
        assert_eq!(fs::read_to_string(away.join("set/key")).expect("text"), "k");
        assert_eq!(fs::read_dir(&victim).expect("list").count(), 2);
    }
}
