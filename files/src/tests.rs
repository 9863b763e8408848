//! What holds on every system, and what the tests of each use.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::*;

pub(crate) const LIMIT: u64 = 1024;

pub(crate) struct Room(pub(crate) tempfile::TempDir);

impl Room {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("directory"))
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, bytes).expect("write");
        path
    }

    pub(crate) fn names(&self) -> Vec<OsString> {
        let entries = fs::read_dir(self.0.path()).expect("list");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("entry").file_name()).collect();
        names.sort();
        names
    }
}

pub(crate) fn held(path: &Path) -> Result<HeldFile, FileError> {
    read_held(path, LIMIT, Links::Refuse)
}

/// A room for directories that are staged under the name `set`.
pub(crate) struct Sets(pub(crate) tempfile::TempDir);

impl Sets {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("directory"))
    }

    pub(crate) fn set(&self) -> PathBuf {
        self.0.path().join("set")
    }

    pub(crate) fn staged(&self, text: &str) -> StagedDirectory {
        StagedDirectory::write(&self.set(), &[("key", text.as_bytes()), ("certificate", text.as_bytes())])
            .expect("staged")
    }
}

/// Holds A10: a file that is to go, and was written to in the last moment, is not lost.
#[test]
fn what_is_moved_aside_and_is_not_what_was_judged_gets_its_name_back() {
    let room = Room::new();
    let (store, aside) = (room.file("store", b"judged"), room.at("aside"));
    let judged = held(&store).expect("store");
    let sha256 = Sha256::digest(b"judged").into();
    let judged = SurveyedFile { identity: &judged.identity, sha256: &sha256, attributes: &judged.attributes };
    fs::write(&store, b"edited").expect("write");
    assert_eq!(move_aside(&store, &aside, judged).expect_err("changed").reason(), "changed_meanwhile");
    assert_eq!((room.names(), fs::read(&store).expect("read")), (vec!["store".into()], b"edited".to_vec()));
    fs::write(&store, b"judged").expect("write");
    move_aside(&store, &aside, judged).expect("moved");
    assert_eq!(room.names(), ["aside"]);
}

/// Holds A11: where names cannot be exchanged, a crash between the link and the rename leaves the file with two names.
#[test]
fn the_second_name_that_an_interrupted_swap_left_is_taken_away_and_no_other_file() {
    let room = Room::new();
    let (store, beside) = (room.file("store", b"old"), room.at("beside"));
    fs::hard_link(&store, &beside).expect("link");
    unlink_second_name(&beside, &store).expect("unlink");
    assert_eq!(room.names(), ["store"]);
    assert!(held(&store).is_ok());
    room.file("beside", b"old");
    unlink_second_name(&beside, &store).expect("another file");
    assert_eq!(room.names(), ["beside", "store"]);
    unlink_second_name(&room.at("nothing"), &store).expect("nothing there");
}

#[test]
fn removing_what_is_not_there_is_fine() {
    let room = Room::new();
    remove(&room.at("a")).expect("no file");
    remove(&room.at("b/a")).expect("no directory");
    let there = room.file("there", b"");
    remove(&there).expect("removed");
    assert_eq!(room.names(), Vec::<OsString>::new());
}

#[test]
fn room_is_missed_before_it_is_needed() {
    let room = Room::new();
    assert!(check_room(&room.at("a"), 1).is_ok());
    assert_eq!(check_room(&room.at("a"), u64::MAX).expect_err("full").reason(), "no_space");
}

#[test]
fn what_another_program_has_written_is_synced_where_it_is_a_file_of_one_name() {
    let room = Room::new();
    let path = room.file("backup.zip", b"zip");
    sync_file(&path).expect("synced");
    let missing = sync_file(&room.at("none"));
    assert!(matches!(missing, Err(WriteError::Refused(FileError::NotFound { .. }))), "{missing:?}");
    fs::hard_link(&path, room.at("second")).expect("linked");
    let second = sync_file(&path);
    assert!(matches!(second, Err(WriteError::Refused(FileError::HardLinked { .. }))), "{second:?}");
}
