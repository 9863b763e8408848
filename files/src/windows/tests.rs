//! Files under attack, and files that somebody else has open. What Wine cannot show is told in docs/windows.md: it keeps of an access
//! control list what the permission bits of the system below can say, and makes no links.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsHandle;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use windows_sys::Wdk::Storage::FileSystem::FILE_OPEN;
use windows_sys::Win32::Storage::FileSystem::{
    FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, READ_CONTROL, WRITE_DAC,
};

use super::sys::{self, Descriptor, How};
use super::{HeldEntry, is_private, names};
use crate::tests::{LIMIT, Room, held};
use crate::*;

/// As a program opens a file that lets others do only this meanwhile.
fn opened(path: &Path, share: u32) -> fs::File {
    OpenOptions::new().read(true).share_mode(share).open(path).expect("open")
}

fn is_ours(path: &Path) -> bool {
    held(path).expect("a file").attributes.is_same_access(&Attributes::ours())
}

/// A new file staged for the one at `path` as a rotation does it, and the swap of the two; where the old file is then.
fn swap_after(path: &Path, attack: impl FnOnce(&Path)) -> Result<PathBuf, WriteError> {
    let surveyed = survey(path, LIMIT)?;
    let (staged, beside) = (temporary_beside(path)?, temporary_beside(path)?);
    write_new(&staged, b"new", Some(&surveyed.attributes))?;
    attack(&staged);
    let (new, old_sha256) = (Sha256::digest(b"new").into(), Sha256::digest(b"old").into());
    let attributes = &surveyed.attributes;
    let old =
        surveyed.file.as_ref().map(|file| SurveyedFile { identity: &file.identity, sha256: &old_sha256, attributes });
    swap(&Swap { path, staged: &staged, beside: Some(&beside), sha256: &new, attributes, old }).map(|()| beside)
}

#[test]
fn what_is_read_is_of_one_handle() {
    let room = Room::new();
    let store = room.file("store", b"bytes");
    let read = held(&store).expect("a file");
    assert_eq!(read.bytes.as_slice(), b"bytes");
    assert_eq!(read.identity, identify(&store).expect("identified"));
    assert_eq!(read.identity, read_regular(&store, LIMIT).expect("read").identity);
    assert_eq!(read.identity.size, 5);
    let ends = read_ends(&store, 2, 2).expect("ends");
    assert_eq!((ends.head.as_slice(), ends.tail.as_slice(), ends.tail_at), (&b"by"[..], &b"es"[..], 3));
    let other = held(&room.file("other", b"bytes")).expect("a file");
    assert!(!other.identity.is_same_file(&read.identity));
    let age = i128::try_from(std::time::UNIX_EPOCH.elapsed().expect("a clock").as_nanos()).expect("fits")
        - read.identity.modified;
    assert!((0..600_000_000_000).contains(&age), "{age} ns ago");
}

#[test]
fn what_is_no_file_of_its_own_or_too_large_is_refused() {
    let room = Room::new();
    let store = room.file("store", b"bytes");
    fs::hard_link(&store, room.at("twin")).expect("link");
    assert_eq!(held(&store).expect_err("two names").reason(), "hard_linked");
    assert_eq!(survey(&store, LIMIT).expect_err("two names").reason(), "hard_linked");
    assert_eq!(replace(&store, b"new", None).expect_err("two names").reason(), "hard_linked");
    assert_eq!(*read_regular(&store, LIMIT).expect("only read").bytes, *b"bytes");
    fs::create_dir(room.at("folder")).expect("mkdir");
    let stream = room.at("twin:stream");
    for path in [room.at("folder"), room.at("CON"), room.at("nul.txt"), room.at("COM1"), stream, r"\\.\pipe\a".into()] {
        for read in [held(&path).map(drop), read_regular(&path, LIMIT).map(drop), identify(&path).map(drop)] {
            assert_eq!(read.expect_err("no file").reason(), "not_regular", "{}", path.display());
        }
        assert_eq!(replace(&path, b"new", None).expect_err("no file").reason(), "not_regular", "{}", path.display());
    }
    for name in ["nothing", "no/such"] {
        assert_eq!(held(&room.at(name)).expect_err("nothing").reason(), "not_found");
    }
    assert_eq!(read_regular(&store, 4).expect_err("large").reason(), "too_large");
}

/// Holds A1: Wine shows where another file system is mounted as what Windows calls a mount point, a kind of link.
#[test]
fn a_link_on_the_way_is_not_followed() {
    let through = Path::new(r"Z:\proc\version");
    assert!(through.exists(), "this test needs Wine, whose drive Z: is the root of the system below");
    for read in [held(through).map(drop), read_regular(through, LIMIT).map(drop), identify(through).map(drop)] {
        assert_eq!(read.expect_err("a link").reason(), "untrusted_link");
    }
    let error = write_new(Path::new(r"Z:\proc\a"), b"k", None).expect_err("a link").to_string();
    assert!(error.contains("proc on the way to it is a link"), "{error}");
}

/// Holds A1: what is judged is what is read, however often the name changes between two looks.
#[test]
fn a_name_that_changes_is_read_as_one_file_or_the_other() {
    let room = Room::new();
    let store = room.file("store", b"one");
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                replace(&store, b"another", None).expect("replaced");
                replace(&store, b"one", None).expect("replaced");
            }
        });
        for _ in 0..200 {
            match held(&store) {
                Ok(held) => {
                    assert!(matches!(held.bytes.as_slice(), b"one" | b"another"));
                    assert_eq!(held.identity.size, u64::try_from(held.bytes.len()).expect("fits"));
                }
                // Between two names, or open to be renamed.
                Err(error) => {
                    assert!(matches!(error.reason(), "not_found" | "read_failed" | "permission_denied"), "{error}");
                }
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_new_file_is_private_and_an_existing_one_is_not_written_over() {
    let room = Room::new();
    let path = room.at("stage");
    write_new(&path, b"key", None).expect("write");
    assert!(is_ours(&path));
    assert!(!is_readable_by_others(&path) && !is_writable_by_others(&path).expect("asked"));
    assert!(write_new(&path, b"other", None).is_err());
    assert_eq!(fs::read(&path).expect("read"), b"key");
    write_unsynced(&room.at("unsynced"), b"key", None).expect("write");
    assert!(is_ours(&room.at("unsynced")));
    sync_directory_of(&path).expect("synced");
}

#[test]
fn a_new_file_is_private_before_its_first_byte() {
    let room = Room::new();
    let place = HeldEntry::find(&room.at("new"), Links::Refuse).expect("a place");
    let file = names::create(&place.directory, &place.name).expect("made");
    let attributes = Attributes::of_handle(&file).expect("attributes");
    assert!(attributes.is_same_access(&Attributes::ours()), "{attributes:?}");
    assert!(!is_readable_by_others(&place.path));
    names::make_directory(&place.directory, OsStr::new("folder")).expect("made");
    assert!(is_private(&names::open_directory(&place.directory, OsStr::new("folder")).expect("open")).expect("asked"));
}

#[test]
fn a_replaced_file_is_private_to_this_program_and_nothing_else_is_left() {
    let room = Room::new();
    let path = room.file("journal", b"old");
    assert!(is_readable_by_others(&path), "as Wine makes it");
    replace(&path, b"new", None).expect("replace");
    assert_eq!(fs::read(&path).expect("read"), b"new");
    assert!(is_ours(&path) && !is_readable_by_others(&path));
    assert_eq!(room.names(), ["journal"]);
    replace(&room.at("made"), b"new", None).expect("made");
    assert_eq!(fs::read(room.at("made")).expect("read"), b"new");
}

/// Holds A2: what was surveyed is the new file's, whatever lies there.
#[test]
fn a_new_file_has_the_surveyed_access_before_it_takes_the_name() {
    let room = Room::new();
    let store = room.file("store", b"old");
    let surveyed = survey(&store, LIMIT).expect("survey");
    assert!(!surveyed.attributes.is_same_access(&Attributes::ours()), "others may read it");
    let beside = swap_after(&store, |staged| {
        assert!(held(staged).expect("staged").attributes.is_same_access(&surveyed.attributes));
    })
    .expect("swap");
    let new = held(&store).expect("new");
    assert_eq!((new.bytes.as_slice(), &new.attributes), (b"new".as_slice(), &surveyed.attributes));
    assert!(held(&beside).expect("the old file").identity.is_same_file(&surveyed.file.expect("a file").identity));
}

/// Holds A2: another file than was surveyed is not replaced, and the bytes of one that was written to are not lost.
#[test]
fn what_is_not_what_was_surveyed_is_not_replaced() {
    for attack in [
        (|path: &Path| {
            fs::write(path.with_file_name("theirs"), b"old").expect("write");
            fs::rename(path.with_file_name("theirs"), path).expect("rename");
        }) as fn(&Path),
        |path| fs::write(path, b"edited").expect("write"),
        |path| fs::hard_link(path, path.with_file_name("twin")).expect("link"),
        |path| fs::remove_file(path).expect("remove"),
    ] {
        let room = Room::new();
        let store = room.file("store", b"old");
        let refused = swap_after(&store, |_| attack(&store)).expect_err("changed");
        assert_eq!(refused.reason(), "changed_meanwhile");
        assert!(fs::read(&store).map_or(true, |bytes| bytes != b"new"));
    }
}

#[test]
fn a_staged_file_that_somebody_changed_is_not_swapped_in() {
    for attack in [(|staged: &Path| fs::write(staged, b"evil").expect("write")) as fn(&Path), |staged| {
        fs::hard_link(staged, staged.with_file_name("twin")).expect("link");
    }] {
        let room = Room::new();
        let store = room.file("store", b"old");
        assert_eq!(swap_after(&store, attack).expect_err("altered").reason(), "altered");
        assert_eq!(fs::read(&store).expect("read"), b"old");
    }
}

#[test]
fn where_nothing_was_nothing_is_replaced_and_the_file_is_the_directory_owners() {
    let room = Room::new();
    let store = room.at("store");
    let refused = swap_after(&store, |_| fs::write(&store, b"theirs").expect("write")).expect_err("taken");
    assert_eq!(refused.reason(), "changed_meanwhile");
    fs::remove_file(&store).expect("remove");
    swap_after(&store, |_| {}).expect("swap");
    assert!(is_ours(&store), "the directory is ours");
}

/// Only rights go, and only where the owner stays.
#[test]
fn a_file_is_narrowed_by_its_rights_alone() {
    let room = Room::new();
    let store = room.file("store", b"old");
    let wide = held(&store).expect("store").attributes;
    narrow(&store, &Attributes::ours()).expect("narrowed");
    assert!(is_ours(&store));
    assert_eq!(narrow(&store, &wide).expect_err("not narrower").reason(), "altered");
    assert!(is_ours(&store));
}

/// An agent that has its store open as Java does is not disturbed, and neither are we.
#[test]
fn a_file_that_others_share_is_read_and_replaced() {
    let room = Room::new();
    let store = room.file("store", b"old");
    let agent = opened(&store, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE);
    assert_eq!(held(&store).expect("shared").bytes.as_slice(), b"old");
    check_replaceable(&store).expect("replaceable");
    drop(agent);
    let alone = opened(&store, 0);
    assert_eq!(identify(&store).expect("a look").size, 3);
    check_replaceable(&store).expect_err("it cannot be read");
    drop(alone);
}

/// A virus scanner has a new file open for a moment.
#[test]
fn what_is_open_for_a_moment_is_waited_for() {
    let room = Room::new();
    let store = room.file("store", b"old");
    let scanner = opened(&store, FILE_SHARE_READ);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(400));
            drop(scanner);
        });
        let started = Instant::now();
        replace(&store, b"new", None).expect("replaced");
        assert!(started.elapsed() >= Duration::from_millis(300), "it was open");
    });
    assert_eq!((fs::read(&store).expect("read"), room.names()), (b"new".to_vec(), vec!["store".into()]));
}

#[test]
fn what_stays_open_is_told_apart_from_what_may_not_be_written_and_is_whole() {
    let room = Room::new();
    let store = room.file("store", b"old");
    let program = opened(&store, FILE_SHARE_READ);
    let started = Instant::now();
    assert_eq!(replace(&store, b"new", None).expect_err("open").reason(), "in_use");
    assert_eq!(remove(&store).expect_err("open").reason(), "in_use");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    drop(program);
    assert_eq!((fs::read(&store).expect("read"), room.names()), (b"old".to_vec(), vec!["store".into()]));
}

/// Holds A13.
#[test]
fn a_read_only_file_is_found_before_anything_is_written() {
    let room = Room::new();
    let store = room.file("store", b"old");
    let mut permissions = fs::metadata(&store).expect("metadata").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&store, permissions.clone()).expect("read-only");
    let error = survey(&store, LIMIT).expect_err("read-only");
    assert!(error.reason() == "immutable" && error.to_string().contains("attrib -r"), "{error}");
    #[expect(clippy::permissions_set_readonly_false, reason = "Windows has no bits that this opens too far")]
    permissions.set_readonly(false);
    fs::set_permissions(&store, permissions).expect("writable");
    assert!(survey(&store, LIMIT).is_ok());
}

#[test]
fn what_an_interrupted_write_left_is_swept_and_nothing_else() {
    let room = Room::new();
    let path = room.file("store", b"keep");
    for name in [".store.kagiban-notes", ".store.kagiban-0123456789abcdeg", ".other.kagiban-0123456789abcdef"] {
        room.file(name, b"keep");
    }
    for _ in 0..300 {
        room.file(temporary_beside(&path).expect("name").file_name().and_then(|it| it.to_str()).expect("text"), b"key");
    }
    fs::create_dir(temporary_beside(&path).expect("name")).expect("mkdir");
    assert_eq!(sweep(&path).len(), 1, "the directory in the way is told of");
    assert_eq!(room.names().len(), 5, "{:?}", room.names());
}

/// Whoever may write in the directory of what is written can give each name to something else between two steps.
#[test]
fn only_a_directory_in_which_nobody_else_changes_names_is_ours() {
    let room = Room::new();
    let path = room.at("a").join("b");
    create_private_directory(&path).expect("new");
    create_private_directory(&path).expect("again");
    check_private_directory(&path).expect("private");
    let theirs = room.at("theirs");
    fs::create_dir(&theirs).expect("made");
    let_everybody_write(&theirs);
    let told = create_private_directory(&theirs).expect_err("others may write in it").to_string();
    assert!(told.contains("(ren \"") && told.contains("\"theirs.theirs\")"), "{told}");
    write_new_guarded(&path.join("c").join("key"), b"k").expect("written");
    replace_guarded(&path.join("c").join("key"), b"l").expect("replaced");
    assert_eq!(fs::read(path.join("c").join("key")).expect("read"), b"l");
}

#[test]
fn a_file_has_one_destination_however_its_path_is_written() {
    let room = Room::new();
    let store = room.file("store.key", b"");
    fs::create_dir(room.at("folder")).expect("mkdir");
    let here = destination(&store).expect("a place");
    for path in [room.at("STORE.Key"), room.at("folder/../store.key"), fs::canonicalize(&store).expect("there")] {
        assert_eq!(destination(&path).expect("a place"), here, "{}", path.display());
    }
    assert_eq!(destination(&room.at("None")).expect("a place"), destination(&room.at("nonE")).expect("a place"));
    assert_ne!(destination(&room.at("other")).expect("a place"), here);
}

#[test]
fn a_directory_is_the_same_one_after_it_was_written_to() {
    let room = Room::new();
    let then = directory_identity(room.0.path()).expect("there");
    room.file("a", b"");
    let now = directory_identity(room.0.path()).expect("there");
    assert!(!now.is_another_than(&then), "{then:?} {now:?}");
    fs::create_dir(room.at("b")).expect("mkdir");
    assert!(directory_identity(&room.at("b")).expect("there").is_another_than(&then));
}

/// As Wine shows it: what the owner lets everybody do, and nothing of other accounts.
fn let_everybody_write(path: &Path) {
    let descriptor = Descriptor::of("O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;WD)").expect("a list");
    let name: Vec<u16> = std::path::absolute(path).expect("absolute").as_os_str().encode_wide().collect();
    let name = [r"\??\".encode_utf16().collect(), name].concat();
    let how = How { access: READ_CONTROL | WRITE_DAC, share: names::SHARED, disposition: FILE_OPEN, options: 0 };
    let opened = sys::open(None, &name, how, None).expect("it is there");
    sys::set_security(opened.as_handle(), &descriptor, false).expect("set");
}

/// Whoever may exchange a directory on the way has exchanged what lies below, and whoever may add names has put it there.
#[test]
fn what_lies_below_a_directory_that_others_may_change_is_exposed_with_what_is_to_be_done() {
    for (open, is_exposed) in [("a", true), ("a/b", true), ("a/b/file", true), ("a/beside", false)] {
        let room = Room::new();
        fs::create_dir_all(room.at("a/b")).expect("directories");
        fs::create_dir(room.at("a/beside")).expect("a directory");
        fs::write(room.at("a/b/file"), "what is to be done").expect("a file");
        let there = [room.at("a/b/file"), room.at("a/b/none"), room.at("a/b/c/none")];
        for path in &there {
            check_unexposed(path).expect("nobody else may");
        }
        let open = room.at(open);
        let_everybody_write(&open);
        for path in &there {
            let is_file = open.is_file();
            let is_another = is_file && *path != open;
            let told = check_unexposed(path).err();
            assert_eq!(told.is_some(), is_exposed && !is_another, "{}: {told:?}", path.display());
            let Some(told) = told else { continue };
            assert_eq!(told.reason(), "exposed");
            let (told, open) = (told.to_string(), open.display().to_string().replace('/', r"\"));
            assert!(told.starts_with(&format!("{open}: may be changed by Everyone, who could exchange ")), "{told}");
            let of_file = format!("takeown /f \"{open}\" /a, then icacls \"{open}\" /reset");
            assert!(told.contains(if is_file { &of_file } else { "below %ProgramFiles%" }), "{told}");
        }
    }
}

#[test]
fn what_cannot_be_looked_at_is_not_taken_for_safe() {
    for (path, reason) in [
        (r"Z:\proc\version", "untrusted_link"),
        (r"Q:\none\file", "not_found"),
        (r"C:\CON", "not_regular"),
        (r"\\.\pipe\a", "not_regular"),
    ] {
        assert_eq!(check_unexposed(Path::new(path)).expect_err(path).reason(), reason, "{path}");
    }
}

/// Its administrators are not those of this host, and it says of its files what it likes.
#[test]
fn what_another_machine_has_is_not_asked_about_and_not_taken_for_safe() {
    for path in [r"\\127.0.0.1\C$\a\b", "//127.0.0.1/C$/a/b", r"\\?\UNC\127.0.0.1\C$\a\b"] {
        let path = Path::new(path);
        for told in [check_unexposed(path).err(), check_way(path).err(), read_unexposed(path, 100).err()] {
            let told = told.expect("refused");
            assert_eq!(told.reason(), "exposed", "{told}");
            assert!(told.to_string().contains("on a volume of this host"), "{told}");
        }
    }
}

/// A handle from before the list was mended writes what administrators are read to have written.
#[test]
fn what_somebody_has_open_for_writing_is_not_read_as_an_administrators() {
    let room = Room::new();
    let path = room.at("config.yaml");
    fs::write(&path, "host: a").expect("a file");
    let read = || read_unexposed(&path, 100).map(|read| read.bytes.to_vec());
    assert_eq!(read().expect("nobody has it"), b"host: a");
    let looking = fs::File::open(&path).expect("it is there");
    assert_eq!(read().expect("one who reads is in nobody's way"), b"host: a");
    drop(looking);
    let writing = fs::File::options().append(true).open(&path).expect("it is there");
    let told = read().expect_err("somebody writes").to_string();
    assert!(told.contains("open for writing"), "{told}");
    let ends = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(writing);
    });
    assert_eq!(read().expect("it is waited for"), b"host: a");
    ends.join().expect("it has ended");
    assert!(matches!(read_unexposed(&room.at("none"), 100), Err(FileError::NotFound { .. })));
    assert!(matches!(read_unexposed(room.0.path(), 100), Err(FileError::NotRegular { .. })));
    let_everybody_write(&path);
    assert_eq!(read().expect_err("everybody may write it").reason(), "exposed");
}

#[test]
fn the_way_to_a_directory_of_ours_is_judged_and_it_may_be_to_come() {
    for (open, exposed) in [("a", [true, true, true]), ("a/b", [true, true, false]), ("a/b/state", [false; 3])] {
        let room = Room::new();
        fs::create_dir_all(room.at("a/b/state")).expect("directories");
        let there = [room.at("a/b/state"), room.at("a/b/none"), room.at("a/none/none")];
        for path in &there {
            check_way(path).expect("nobody else may");
        }
        let_everybody_write(&room.at(open));
        assert_eq!(there.map(|path| check_way(&path).is_err()), exposed, "{open}");
    }
}
