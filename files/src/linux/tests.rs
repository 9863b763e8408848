//! Files under attack: what a directory's owner, a group's member or a second program may do between two steps.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{IFlags, XattrFlags, ioctl_setflags, setxattr};
use sha2::{Digest, Sha256};

use crate::tests::{LIMIT, Room, Sets, held};
use crate::*;

/// An account of a service, and another of its group.
const SERVICE: u32 = 65_534;
const MEMBER: u32 = 1234;
const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").mode() & 0o7777
}

fn be_root() {
    assert!(rustix::process::geteuid().is_root(), "this test gives files to other accounts: run it as root");
}

/// The bytes of an access control list that lets `user` read, whatever the mode says of the group.
fn list(user: u32, mask: u16) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    let none = u32::MAX;
    for (tag, permissions, id) in [(1u16, 6u16, none), (2, 6, user), (4, 0, none), (0x10, mask, none), (0x20, 0, none)]
    {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// A new file staged for the one at `path` as a rotation does it, and the swap of the two.
fn swap_after(path: &Path, attack: impl FnOnce(&Path)) -> Result<PathBuf, WriteError> {
    let surveyed = survey(path, LIMIT)?;
    let staged = temporary_beside(path)?;
    write_new(&staged, b"new", Some(&surveyed.attributes))?;
    attack(&staged);
    let identity = surveyed.file.as_ref().map(|file| file.identity);
    carry_out(path, &staged, &surveyed.attributes, identity.as_ref()).map(|()| staged)
}

fn carry_out(
    path: &Path,
    staged: &Path,
    attributes: &Attributes,
    old: Option<&FileIdentity>,
) -> Result<(), WriteError> {
    let (new, old_sha256) = (Sha256::digest(b"new").into(), Sha256::digest(b"old").into());
    let old = old.map(|identity| SurveyedFile { identity, sha256: &old_sha256, attributes });
    swap(&Swap { path, staged, beside: None, sha256: &new, attributes, old })
}

/// Holds A1: what is judged is what is read, however often the name changes between two looks.
#[test]
fn a_name_that_changes_between_a_file_and_a_link_never_gives_the_links_target() {
    let room = Room::new();
    let secret = room.file("secret", b"root's");
    fs::create_dir(room.at("agent")).expect("mkdir");
    let (store, spare) = (room.at("agent/tls.key"), room.at("agent/spare"));
    fs::write(&store, b"own").expect("write");
    let ended = AtomicBool::new(false);
    let (mut own, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                symlink(&secret, &spare).expect("symlink");
                fs::rename(&spare, &store).expect("rename");
                fs::write(&spare, b"own").expect("write");
                fs::rename(&spare, &store).expect("rename");
            }
        });
        for _ in 0..20_000 {
            match held(&store) {
                Ok(held) => {
                    assert_eq!(held.bytes.as_slice(), b"own");
                    own += 1;
                }
                Err(error) => {
                    assert!(matches!(error.reason(), "not_regular" | "hard_linked"), "{error}");
                    refused += 1;
                }
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert!(own > 0 && refused > 0, "the name was not caught both ways: {own} and {refused}");
}

/// Holds A1: the directory itself is not taken from whoever may put another in its place.
#[test]
fn a_link_on_the_way_is_followed_where_only_an_administrator_could_have_put_it() {
    be_root();
    let room = Room::new();
    fs::create_dir(room.at("real")).expect("mkdir");
    room.file("real/store", b"bytes");
    symlink("real", room.at("link")).expect("symlink");
    let through = room.at("link/store");
    assert_eq!(held(&through).expect("an administrator's link").bytes.as_slice(), b"bytes");
    // The same with the directory in an attacker's hands, as its owner or by its mode.
    chown(room.0.path(), Some(SERVICE), None).expect("chown");
    assert_eq!(held(&through).expect_err("theirs").reason(), "untrusted_link");
    assert_eq!(survey(&through, LIMIT).expect_err("theirs").reason(), "untrusted_link");
    chown(room.0.path(), Some(0), None).expect("chown");
    fs::set_permissions(room.0.path(), Permissions::from_mode(0o770)).expect("chmod");
    assert_eq!(held(&through).expect_err("its group's").reason(), "untrusted_link");
    fs::set_permissions(room.0.path(), Permissions::from_mode(0o1777)).expect("chmod");
    assert!(held(&through).is_ok(), "a link of ours in a directory like /tmp");
    rustix::fs::chownat(
        rustix::fs::CWD,
        room.at("link"),
        Some(rustix::fs::Uid::from_raw(SERVICE)),
        None,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .expect("chown");
    assert_eq!(held(&through).expect_err("their link").reason(), "untrusted_link");
    symlink("a-circle", room.at("a-circle")).expect("symlink");
    assert_eq!(held(&room.at("a-circle/store")).expect_err("a circle").reason(), "symlink_loop");
}

/// Holds A1: a password file may be an administrator's link, and not one of the agent's.
#[test]
fn the_last_name_may_be_a_link_only_where_it_is_allowed_and_only_an_administrators() {
    be_root();
    let room = Room::new();
    room.file("secret", b"first line");
    symlink("secret", room.at("password")).expect("symlink");
    let read = |links| read_held(&room.at("password"), LIMIT, links).map_err(|error| error.reason());
    assert_eq!(read(Links::OfAdministrators).expect("ours").bytes.as_slice(), b"first line");
    assert_eq!(read(Links::Refuse).expect_err("a link"), "not_regular");
    chown(room.0.path(), Some(SERVICE), None).expect("chown");
    assert_eq!(read(Links::OfAdministrators).expect_err("theirs"), "untrusted_link");
}

/// Holds A2: a member of the directory's group cannot have his own file taken for the service's.
#[test]
fn a_file_of_neither_an_administrator_nor_the_directorys_owner_is_refused_where_others_may_write() {
    be_root();
    let room = Room::new();
    let store = room.file("store", b"bytes");
    chown(&store, Some(MEMBER), None).expect("chown");
    assert!(held(&store).is_ok(), "an administrator put it there");
    chown(room.0.path(), Some(SERVICE), None).expect("chown");
    fs::set_permissions(room.0.path(), Permissions::from_mode(0o775)).expect("chmod");
    assert_eq!(held(&store).expect_err("a stranger's").reason(), "foreign_owner");
    for owner in [0, SERVICE] {
        chown(&store, Some(owner), None).expect("chown");
        assert!(held(&store).is_ok(), "{owner}");
    }
}

#[test]
fn what_is_no_file_of_its_own_or_too_large_is_refused_without_blocking() {
    let room = Room::new();
    let store = room.file("store", b"bytes");
    fs::hard_link(&store, room.at("twin")).expect("link");
    assert_eq!(held(&store).expect_err("two names").reason(), "hard_linked");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        room.at("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("mkfifo");
    fs::create_dir(room.at("folder")).expect("mkdir");
    for name in ["fifo", "folder"] {
        assert_eq!(held(&room.at(name)).expect_err(name).reason(), "not_regular");
    }
    assert_eq!(held(&room.at("nothing")).expect_err("nothing").reason(), "not_found");
    assert_eq!(held(&room.at("no/such")).expect_err("nothing").reason(), "not_found");
    assert_eq!(read_held(&room.file("large", b"large"), 4, Links::Refuse).expect_err("large").reason(), "too_large");
}

/// What a listing has shown may be something else by the time it is opened.
#[test]
fn a_listed_file_that_was_swapped_is_read_as_what_it_is_now() {
    let room = Room::new();
    let listed = room.file("listed", b"bytes");
    let read = |path: &Path| read_listed(path, LIMIT);
    assert_eq!(*read(&listed).expect("as listed").bytes, *b"bytes");
    symlink(&listed, room.at("link")).expect("link");
    assert_eq!(*read(&room.at("link")).expect("a link now").bytes, *b"bytes");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = room.at("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).expect("mkfifo");
    symlink(&fifo, room.at("to a fifo")).expect("link");
    symlink(room.at("loop"), room.at("loop")).expect("link");
    let reason = |name: &str| read(&room.at(name)).map(|_| ()).expect_err(name).reason();
    let refused = ["fifo", "to a fifo", "loop", "gone"].map(reason);
    assert_eq!(refused, ["not_regular", "not_regular", "symlink_loop", "not_found"]);
    assert_eq!(read_listed(&listed, 4).map(|_| ()).expect_err("five bytes").reason(), "too_large");
}

/// Holds A2: another file, owner or mode than was surveyed is not replaced, and gives the new one nothing of its own.
#[test]
fn what_is_not_what_was_surveyed_is_not_replaced() {
    be_root();
    for attack in [
        (|path: &Path| {
            fs::write(path.with_file_name("theirs"), b"old").expect("write");
            fs::rename(path.with_file_name("theirs"), path).expect("rename");
        }) as fn(&Path),
        |path| chown(path, Some(MEMBER), None).expect("chown"),
        |path| fs::set_permissions(path, Permissions::from_mode(0o666)).expect("chmod"),
        |path| setxattr(path, ACCESS, &list(MEMBER, 4), XattrFlags::empty()).expect("setxattr"),
        |path| fs::hard_link(path, path.with_file_name("twin")).expect("link"),
        |path| fs::remove_file(path).expect("remove"),
    ] {
        let room = Room::new();
        let store = room.file("store", b"old");
        fs::set_permissions(&store, Permissions::from_mode(0o640)).expect("chmod");
        let refused = swap_after(&store, |_| attack(&store)).expect_err("changed");
        assert_eq!(refused.reason(), "changed_meanwhile");
        assert!(fs::read(&store).map_or(true, |bytes| bytes == b"old"));
    }
}

/// Holds A2: what was surveyed is the new file's, whatever lies there.
#[test]
fn a_new_file_has_the_surveyed_owner_mode_and_list_before_it_takes_the_name() {
    be_root();
    let room = Room::new();
    let store = room.file("store", b"old");
    chown(&store, Some(SERVICE), Some(MEMBER)).expect("chown");
    fs::set_permissions(&store, Permissions::from_mode(0o640)).expect("chmod");
    setxattr(&store, ACCESS, &list(MEMBER, 4), XattrFlags::empty()).expect("setxattr");
    setxattr(&store, "user.note", b"kept", XattrFlags::empty()).expect("setxattr");
    let surveyed = survey(&store, LIMIT).expect("survey");
    let old = swap_after(&store, |staged| {
        assert!(held(staged).expect("staged").attributes.is_same_access(&surveyed.attributes));
    })
    .expect("swap");
    let new = held(&store).expect("new");
    assert_eq!((new.bytes.as_slice(), &new.attributes), (b"new".as_slice(), &surveyed.attributes));
    let beside = held(&old).expect("the old file");
    assert!(beside.identity.is_same_file(&surveyed.file.expect("a file").identity));
    // Back again, without a byte written.
    let (new_sha256, old_sha256) = (Sha256::digest(b"new").into(), Sha256::digest(b"old").into());
    let attributes = &surveyed.attributes;
    let replaced = SurveyedFile { identity: &new.identity, sha256: &new_sha256, attributes };
    let back = Swap { path: &store, staged: &old, beside: None, sha256: &old_sha256, attributes, old: Some(replaced) };
    swap(&back).expect("back");
    assert_eq!((fs::read(&store).expect("read"), fs::read(&old).expect("read")), (b"old".to_vec(), b"new".to_vec()));
}

/// Only permission bits go, and only where owner and list stay as they are.
#[test]
fn a_file_is_narrowed_by_its_permission_bits_alone() {
    let room = Room::new();
    let store = room.file("store", b"old");
    fs::set_permissions(&store, Permissions::from_mode(0o640)).expect("chmod");
    let found = held(&store).expect("store").attributes;
    let with = |change: fn(&mut Attributes)| {
        let mut attributes = found.clone();
        change(&mut attributes);
        attributes
    };
    narrow(&store, &with(|attributes| attributes.mode = 0o600)).expect("narrowed");
    assert_eq!(mode(&store), 0o600);
    for other in [with(|_| ()), with(|attributes| (attributes.uid, attributes.mode) = (MEMBER, 0o600))] {
        assert_eq!(narrow(&store, &other).expect_err("not narrower").reason(), "altered");
    }
    assert_eq!(mode(&store), 0o600);
}

/// Holds A4: the directory's default list opens no new file to an account that could not read the old one.
#[test]
fn a_new_file_inherits_nothing_from_its_directory() {
    let room = Room::new();
    let store = room.file("store", b"old");
    fs::set_permissions(&store, Permissions::from_mode(0o640)).expect("chmod");
    setxattr(room.0.path(), DEFAULT, &list(MEMBER, 7), XattrFlags::empty()).expect("setxattr");
    swap_after(&store, |_| {}).expect("swap");
    let mut value = [0; 256];
    let inherited = rustix::fs::getxattr(&store, ACCESS, &mut value[..]);
    assert_eq!(inherited, Err(rustix::io::Errno::NODATA), "the new file has a list");
    assert_eq!(mode(&store), 0o640);
    // A file of this program's own, such as a backup, neither.
    replace(&room.at("backup"), b"old", None).expect("replace");
    assert_eq!(rustix::fs::getxattr(room.at("backup"), ACCESS, &mut value[..]), Err(rustix::io::Errno::NODATA));
    assert_eq!(mode(&room.at("backup")), 0o600);
}

#[test]
fn a_staged_file_that_somebody_changed_is_not_swapped_in() {
    for attack in [
        (|staged: &Path| fs::write(staged, b"evil").expect("write")) as fn(&Path),
        |staged| fs::set_permissions(staged, Permissions::from_mode(0o644)).expect("chmod"),
        |staged| fs::hard_link(staged, staged.with_file_name("twin")).expect("link"),
    ] {
        let room = Room::new();
        let store = room.file("store", b"old");
        fs::set_permissions(&store, Permissions::from_mode(0o640)).expect("chmod");
        assert_eq!(swap_after(&store, attack).expect_err("altered").reason(), "altered");
        assert_eq!(fs::read(&store).expect("read"), b"old");
    }
}

#[test]
fn where_nothing_was_nothing_is_replaced_and_the_file_is_the_directory_owners() {
    be_root();
    let room = Room::new();
    chown(room.0.path(), Some(SERVICE), Some(SERVICE)).expect("chown");
    let store = room.at("store");
    let refused = swap_after(&store, |_| fs::write(&store, b"theirs").expect("write")).expect_err("taken");
    assert_eq!(refused.reason(), "changed_meanwhile");
    fs::remove_file(&store).expect("remove");
    swap_after(&store, |_| {}).expect("swap");
    let metadata = fs::metadata(&store).expect("metadata");
    assert_eq!((metadata.uid(), metadata.gid(), mode(&store)), (SERVICE, SERVICE, 0o600));
}

/// Holds A13: what cannot be replaced is refused by the survey.
#[test]
fn an_immutable_or_append_only_file_or_directory_is_found_before_anything_is_written() {
    be_root();
    let room = Room::new();
    let store = room.file("store", b"old");
    for path in [store.as_path(), room.0.path()] {
        for flag in [IFlags::IMMUTABLE, IFlags::APPEND] {
            let file = fs::File::open(path).expect("open");
            ioctl_setflags(&file, flag).expect("the temporary directory's file system must know immutable files");
            let surveyed = survey(&store, LIMIT);
            ioctl_setflags(&file, IFlags::empty()).expect("clear");
            assert_eq!(surveyed.expect_err("fixed").reason(), "immutable", "{}", path.display());
        }
    }
    assert!(survey(&store, LIMIT).is_ok());
}

/// Holds A13: what is to take its place waits beside it, under a longer name.
#[test]
fn a_name_beside_which_there_is_room_for_no_longer_one_is_found_before_anything_is_written() {
    let room = Room::new();
    for (length, is_taken) in [(200, true), (240, false)] {
        let store = room.file(&"s".repeat(length), b"old");
        assert_eq!(survey(&store, LIMIT).is_ok(), is_taken, "{length}");
    }
}

/// Holds A13: a bind-mounted file is refused by the survey.
#[test]
fn a_file_that_is_a_mount_of_its_own_is_found_before_anything_is_written() {
    be_root();
    let room = Room::new();
    let (store, other) = (room.file("store", b"old"), room.file("other", b"mounted"));
    let mount = |arguments: &[&Path]| {
        let flag = ["--bind"].iter().filter(|_| arguments.len() == 2);
        let program = if arguments.len() == 2 { "mount" } else { "umount" };
        let status = std::process::Command::new(program).args(flag).args(arguments).status();
        assert!(status.expect("mount must be installed").success(), "this test mounts: it needs CAP_SYS_ADMIN");
    };
    mount(&[&other, &store]);
    let surveyed = survey(&store, LIMIT);
    mount(&[&store]);
    assert_eq!(surveyed.expect_err("mounted").reason(), "mount_point");
    assert!(survey(&store, LIMIT).is_ok());
}

#[test]
fn a_replaced_file_is_private_to_this_program_and_nothing_else_is_left() {
    let room = Room::new();
    let path = room.file("journal", b"old");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("chmod");
    replace(&path, b"new", None).expect("replace");
    assert_eq!(fs::read(&path).expect("read"), b"new");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(room.names(), ["journal"]);
}

#[test]
fn a_new_file_is_private_and_an_existing_one_is_not_written_over() {
    let room = Room::new();
    let path = room.at("stage");
    write_new(&path, b"key", None).expect("write");
    assert_eq!(mode(&path), 0o600);
    assert!(write_new(&path, b"other", None).is_err());
    assert_eq!(fs::read(&path).expect("read"), b"key");
}

#[test]
fn a_link_or_a_directory_or_a_file_with_two_names_is_not_replaced() {
    let room = Room::new();
    room.file("real", b"old");
    symlink(room.at("real"), room.at("link")).expect("symlink");
    symlink(room.at("nowhere"), room.at("dangling")).expect("symlink");
    fs::create_dir(room.at("folder")).expect("mkdir");
    for name in ["link", "dangling", "folder"] {
        assert_eq!(replace(&room.at(name), b"new", None).expect_err(name).reason(), "not_regular");
    }
    fs::hard_link(room.at("real"), room.at("twin")).expect("link");
    assert_eq!(replace(&room.at("real"), b"new", None).expect_err("two names").reason(), "hard_linked");
    assert_eq!(fs::read(room.at("real")).expect("read"), b"old");
    assert_eq!(room.names(), ["dangling", "folder", "link", "real", "twin"]);
}

#[test]
fn what_an_interrupted_write_left_is_swept_and_nothing_else() {
    let room = Room::new();
    let path = room.file("store", b"keep");
    for name in [".store.kagiban-notes", ".store.kagiban-0123456789abcdeg", ".other.kagiban-0123456789abcdef"] {
        room.file(name, b"keep");
    }
    write_new(&temporary_beside(&path).expect("name"), b"key", None).expect("write");
    assert_eq!(room.names().len(), 5);
    assert!(sweep(&path).is_empty());
    assert_eq!(room.names().len(), 4);
}

/// Holds A2: a copy that was cut off may be one of a key, of a file that no journal names.
#[test]
fn of_a_directory_of_our_own_what_any_interrupted_write_left_is_swept() {
    let room = Room::new();
    let path = room.file("store", b"keep");
    for name in [".kagiban-0123456789abcdef", "other.kagiban-0123456789abcdef", ".other.kagiban-0123456789abcdeg"] {
        room.file(name, b"keep");
    }
    for name in ["store", "0-default.sh", "another"] {
        write_new(&temporary_beside(&path.with_file_name(name)).expect("name"), b"key", None).expect("write");
    }
    assert!(sweep_directory(path.parent().expect("a directory")).is_empty());
    assert_eq!(
        room.names(),
        [".kagiban-0123456789abcdef", ".other.kagiban-0123456789abcdeg", "other.kagiban-0123456789abcdef", "store"]
    );
    assert!(sweep_directory(&room.at("nowhere")).is_empty());
}

/// Holds A14: what cannot be removed keeps nothing else, a key among it, from being removed.
#[test]
fn a_sweep_goes_on_after_what_it_cannot_remove_and_tells_of_each() {
    let room = Room::new();
    let path = room.file("store", b"keep");
    for n in 0..8 {
        write_new(&temporary_beside(&path).expect("name"), b"key", None).expect("write");
        if n % 4 == 0 {
            fs::create_dir(temporary_beside(&path).expect("name")).expect("mkdir");
        }
    }
    assert_eq!(sweep(&path).len(), 2, "each directory in the way is told of");
    assert_eq!(room.names().len(), 3, "{:?}", room.names());
}

#[test]
fn a_state_directory_that_others_may_write_in_is_refused() {
    let room = Room::new();
    let path = room.at("a").join("b");
    create_private_directory(&path).expect("new");
    assert_eq!(mode(&path), 0o700);
    create_private_directory(&path).expect("again");
    fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("chmod");
    assert!(create_private_directory(&path).is_err());
}

/// Holds A5: a directory of an overlay's lower layer is made anew by the first write to it, and was taken for another one from then on.
#[test]
fn a_directory_of_an_overlay_stays_the_same_when_it_is_written_to() {
    be_root();
    let room = Room::new();
    let root = room.file("lower.mark", b"").parent().expect("a parent").to_owned();
    let at = |name: &str| root.join(name);
    // An overlay's upper layer cannot be on another overlay, as a container's file system is.
    fs::create_dir(at("layers")).expect("a directory");
    let run = |program: &str, arguments: &[&str]| {
        let status = std::process::Command::new(program).args(arguments).current_dir(&root).status();
        assert!(status.expect("mount must be installed").success(), "{program} {arguments:?}: it needs CAP_SYS_ADMIN");
    };
    run("mount", &["-t", "tmpfs", "tmpfs", "layers"]);
    for name in ["layers/lower/agent", "layers/upper", "layers/work", "merged"] {
        fs::create_dir_all(at(name)).expect("a directory");
    }
    run(
        "mount",
        &[
            "-t",
            "overlay",
            "-o",
            "lowerdir=layers/lower,upperdir=layers/upper,workdir=layers/work",
            "overlay",
            "merged",
        ],
    );
    let agent = at("merged/agent");
    let then = directory_identity(&agent);
    let written = fs::write(agent.join("key"), "");
    let now = directory_identity(&agent);
    run("umount", &["merged"]);
    run("umount", &["layers"]);
    written.expect("written");
    let (then, now) = (then.expect("there"), now.expect("there"));
    assert!(!now.is_another_than(&then), "{then:?} {now:?}");
}

/// Whoever owns the directory of what is written, or may write in it, can give each name to something else between two steps.
#[test]
fn nothing_is_written_for_a_person_where_another_account_can_change_names() {
    be_root();
    let room = Room::new();
    let own = room.at("own");
    fs::create_dir(&own).expect("a directory");
    let path = own.join("set");
    let written = || {
        let staged = StagedDirectory::write(&path, &[("key", b"k")]).map(drop).map_err(|error| error.to_string());
        let file = write_new_guarded(&path, b"k").map_err(|error| error.to_string());
        let replaced = replace_guarded(&path, b"k").map_err(|error| error.to_string());
        let below = write_new_guarded(&own.join("new/set"), b"k").map_err(|error| error.to_string());
        let _ = (remove(&path), fs::remove_dir_all(own.join("new")));
        [staged, file, replaced, below]
    };
    for (account, mode, why) in [
        (0, 0o700, None),
        (0, 0o755, None),
        (0, 0o1777, None),
        (0, 0o777, Some("chmod go-w")),
        (0, 0o775, Some("chmod go-w")),
        (SERVICE, 0o700, Some("account 65534")),
        (SERVICE, 0o1777, Some("account 65534")),
    ] {
        chown(&own, Some(account), None).expect("chown");
        fs::set_permissions(&own, Permissions::from_mode(mode)).expect("chmod");
        for result in written() {
            match (why, result) {
                (None, result) => assert_eq!(result, Ok(()), "{account} {mode:o}"),
                (Some(why), Err(error)) => assert!(error.contains(why) && error.contains("own: "), "{error}"),
                (Some(_), Ok(())) => panic!("{account} {mode:o}"),
            }
        }
        assert_eq!(fs::read_dir(&own).expect("list").count(), 0, "{account} {mode:o}");
    }
}

/// An absolute link starts at the root, from wherever the path starts that it stands on.
#[test]
fn a_relative_path_through_an_absolute_link_leads_where_the_link_does() {
    let room = Room::new();
    fs::create_dir(room.at("real")).expect("a directory");
    symlink(room.at("real"), room.at("link")).expect("a link");
    // From any working directory; the root is its own parent.
    let relative = Path::new(&"../".repeat(64)).join(room.at("link").strip_prefix("/").expect("absolute"));
    assert!(relative.is_relative());
    write_new(&relative.join("file"), b"f", None).expect("written");
    assert_eq!(fs::read(room.at("real/file")).expect("there"), b"f");
    drop(StagedDirectory::write(&relative.join("set"), &[("key", b"k")]).expect("staged"));
    create_private_directory(&relative.join("a/b")).expect("made");
    assert_eq!(mode(&room.at("real/a/b")), 0o700);
    let destinations = [relative.join("file"), room.at("real/file")].map(|path| destination(&path).expect("a place"));
    assert_eq!(destinations[0], destinations[1]);
}

impl Sets {
    /// What is staged, or was replaced.
    fn left_beside(&self) -> PathBuf {
        let names = fs::read_dir(self.0.path()).expect("list").map(|entry| entry.expect("entry").path());
        names.into_iter().find(|path| path.to_string_lossy().contains(".set.kagiban-")).expect("beside")
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
}

#[test]
fn a_staged_directory_and_its_files_are_private() {
    let room = Sets::new();
    let mut staged = room.staged("first");
    staged.publish().expect("published");
    staged.keep().expect("kept");
    assert_eq!((mode(&room.set()), mode(&room.set().join("key"))), (0o700, 0o600));
}

#[test]
fn what_a_link_leads_to_is_neither_replaced_nor_emptied() {
    let room = Sets::new();
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

/// Who gives a name to something else between two steps has files of that removed, and what was to be removed left.
#[test]
fn whatever_a_name_leads_to_by_now_only_what_was_made_or_replaced_here_is_removed() {
    for step in ["staged", "published", "exchanged", "kept"] {
        let room = Sets::new();
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
            [if step == "published" { room.set() } else { room.left_beside() }, room.0.path().join("stolen")];
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
    let room = Sets::new();
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

/// Whoever may rename a directory on the way has nothing written or renamed anywhere else by that. Windows does not rename one in which
/// a file is open.
#[test]
fn a_file_that_is_appended_to_stays_in_the_directory_that_it_was_found_in() {
    use std::io::Write as _;
    let room = Room::new();
    let (then, now) = (room.at("then"), room.at("now"));
    fs::create_dir(&then).expect("a directory");
    let found = AppendedFile::find(&then.join("log")).expect("found");
    found.open().expect("made").write_all(b"one").expect("written");
    fs::rename(&then, &now).expect("renamed");
    fs::create_dir(&then).expect("another");
    fs::write(then.join("log"), "theirs").expect("written");
    found.open().expect("it is there").write_all(b"two").expect("written");
    found.rename("", ".1").expect("renamed");
    assert!(found.has(".1").expect("looked for") && !found.has("").expect("looked for"));
    found.open().expect("made").write_all(b"three").expect("written");
    assert_eq!(fs::read_to_string(then.join("log")).expect("read"), "theirs");
    assert_eq!(fs::read_dir(&then).expect("there").count(), 1, "nothing was made or renamed there");
    assert_eq!(fs::read_to_string(now.join("log.1")).expect("read"), "onetwo");
    assert_eq!(fs::read_to_string(now.join("log")).expect("read"), "three");
}

#[test]
fn what_is_appended_to_is_a_file_of_its_own_and_no_link() {
    let room = Room::new();
    fs::write(room.at("theirs"), "theirs").expect("written");
    fs::hard_link(room.at("theirs"), room.at("second")).expect("linked");
    symlink(room.at("theirs"), room.at("link")).expect("linked");
    for (name, reason) in [("second", "hard_linked"), ("link", "not_regular"), (".", "not_regular")] {
        let opened = AppendedFile::find(&room.at(name)).map_err(WriteError::from).and_then(|found| found.open());
        assert_eq!(opened.map(drop).expect_err(name).reason(), reason, "{name}");
    }
}
