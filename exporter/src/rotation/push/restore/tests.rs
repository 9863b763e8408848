use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rustix::fs::{IFlags, ioctl_setflags};

use super::*;
use crate::rotation::agent::{Agent, Keystore};

/// A pair whose names say what they hold, swapped as the executor does it.
struct Scene {
    root: tempfile::TempDir,
    push: Push,
    files: Vec<FileSwap>,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("directory");
        let directory = root.path().display();
        let agent = format!(
            "{{name: web, product: tls-service, keystore: {{certificateFile: {directory}/tls.crt, keyFile: {directory}/tls.key}}, \
             endpoint: {{address: '127.0.0.1:9'}}, service: {{stop: [/bin/true], start: [/bin/true]}}}}"
        );
        let agent = Agent::resolve(&serde_yaml::from_str(&agent).expect("yaml")).expect("agent");
        let push = agent.push().expect("a push").clone();
        fs::create_dir(root.path().join("backup")).expect("mkdir");
        let files = [("tls.crt", Holds::Chain), ("tls.key", Holds::Key)]
            .map(|(name, holds)| Self::file(root.path(), name, holds))
            .to_vec();
        Self { root, push, files }
    }

    fn file(root: &Path, name: &str, holds: Holds) -> FileSwap {
        let path = root.join(name);
        let (old, new) = (format!("old {name}"), format!("new {name}"));
        let backup = root.join("backup").join(name);
        for old_at in [&path, &backup] {
            fs::write(old_at, &old).expect("write");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        let surveyed = platform::survey(&path, MAX_STORE_BYTES).expect("survey");
        let staged = platform::temporary_beside(&path).expect("name");
        platform::write_new(&staged, new.as_bytes(), Some(&surveyed.attributes)).expect("staged");
        let digest = Digest::of(old.as_bytes());
        let identity = surveyed.file.expect("a file").identity;
        let beside = platform::temporary_beside(&path).expect("name");
        let old = OldFile { digest, identity, beside, backup, backup_digest: digest };
        let (new, attributes) = (Digest::of(new.as_bytes()), surveyed.attributes);
        FileSwap { path, directory: None, staged, new, holds, attributes, old: Some(old), ready: None }
    }

    fn swap(&self, n: usize) -> Result<(), &'static str> {
        let file = &self.files[n];
        let (attributes, old) = (&file.attributes, file.old.as_ref());
        let swapped = platform::swap(&Swap {
            path: &file.path,
            staged: &file.staged,
            beside: None,
            sha256: file.new.as_bytes(),
            attributes,
            old: old.map(|old| SurveyedFile { identity: &old.identity, sha256: old.digest.as_bytes(), attributes }),
        });
        swapped.map_err(|error| error.reason())
    }

    /// `work`, with no sync of the scene's directory having an effect.
    fn without_syncs<T>(&self, work: impl FnOnce() -> T) -> T {
        let thread = fs::read_link("/proc/thread-self").expect("this thread");
        let thread = thread.file_name().and_then(|name| name.to_str()).expect("its number");
        let mut strace = Command::new("strace")
            .args(["-qqq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "-p", thread, "-P"])
            .arg(self.root.path())
            .spawn()
            .expect("install the package strace");
        let is_traced = || {
            let status = fs::read_to_string("/proc/thread-self/status").expect("status");
            !status.lines().any(|line| line == "TracerPid:\t0")
        };
        while !is_traced() {
            assert!(strace.try_wait().expect("strace").is_none(), "strace ended: run this test as root");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let done = work();
        strace.kill().and_then(|()| strace.wait()).expect("strace");
        done
    }

    fn way_back(&self) -> WayBack<'_> {
        WayBack { push: Some(&self.push), files: &self.files, new_leaf: None, copied: &[], new_password: None }
    }

    fn edit(&self, n: usize, contents: &str) {
        fs::write(&self.files[n].path, contents).expect("write");
    }

    fn contents(&self) -> Vec<String> {
        self.files.iter().map(|file| fs::read_to_string(&file.path).expect("read")).collect()
    }

    /// What lies beside the two files and the backup.
    fn litter(&self) -> usize {
        fs::read_dir(self.root.path()).expect("list").count() - 3
    }
}

const THEIR_KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

/// Holds A2, A9, A10: a key that somebody writes while the pair is swapped stays, and the certificate goes back.
#[test]
fn a_file_that_was_never_replaced_keeps_no_other_from_going_back() {
    let scene = Scene::new();
    scene.swap(0).expect("swapped");
    scene.edit(1, THEIR_KEY);
    assert_eq!(scene.swap(1), Err("changed_meanwhile"));
    assert_eq!(scene.contents(), ["new tls.crt", THEIR_KEY]);
    for _ in 0..2 {
        scene.way_back().restore().expect("restored");
        assert_eq!(scene.contents(), ["old tls.crt", THEIR_KEY]);
    }
}

/// Holds A5, A11: a file system that is not mounted yet. Its mount point gets no copy of a key, and the files come back later.
#[test]
fn nothing_is_put_back_where_the_files_of_the_rotation_are_not_mounted() {
    let mut scene = Scene::new();
    scene.swap(0).expect("swapped");
    for n in 0..2 {
        let (path, staged) = (&scene.files[n].path, &scene.files[n].staged);
        fs::remove_file(path).and_then(|()| fs::remove_file(staged)).expect("removed");
    }
    let mount = |files: &mut [FileSwap], by: u64| {
        files.iter_mut().filter_map(|file| file.old.as_mut()).for_each(|old| old.identity.device ^= by);
    };
    mount(&mut scene.files, 1);
    assert_eq!(scene.way_back().restore().expect_err("not there").reason(), "not_mounted");
    assert_eq!(fs::read_dir(scene.root.path()).expect("list").count(), 1, "the backup alone");
    mount(&mut scene.files, 1);
    scene.way_back().restore().expect("restored from the backup: it is where the files were");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
}

/// Holds A9: an administrator has moved the agent while its rotation was cut off, and told the exporter so.
#[test]
fn nothing_is_put_back_where_the_configuration_has_no_file_of_the_agent_any_more() {
    let mut scene = Scene::new();
    scene.swap(0).expect("swapped");
    scene.push.keystore = Keystore::PemPair { certificate: "/srv/tls.crt".into(), key: "/srv/tls.key".into() };
    assert_eq!(scene.way_back().restore().expect_err("moved").reason(), "not_configured");
    assert_eq!(scene.contents(), ["new tls.crt", "old tls.key"]);
}

/// Holds A5, A9: a mount point may have an older copy of the files below it, and a directory several names.
#[test]
fn a_directory_is_known_by_what_it_is_and_not_by_what_it_is_called_or_holds() {
    let mut scene = Scene::new();
    scene.swap(0).expect("swapped");
    let root = scene.root.path().to_owned();
    let (agent, aside, link) = (root.join("agent"), root.join("aside"), root.join("link"));
    fs::create_dir(&agent).expect("directory");
    let directory = platform::directory_identity(&agent).expect("there");
    for file in &mut scene.files {
        file.directory = Some(directory);
        for path in [&mut file.path, &mut file.staged] {
            let below = agent.join(path.file_name().expect("a name"));
            fs::rename(&*path, &below).expect("moved");
            *path = below;
        }
        let old = file.old.as_mut().expect("old");
        old.beside = agent.join(old.beside.file_name().expect("a name"));
    }
    std::os::unix::fs::symlink(&agent, &link).expect("linked");
    scene.push.keystore = Keystore::PemPair { certificate: link.join("tls.crt"), key: link.join("tls.key") };

    fs::rename(&agent, &aside).and_then(|()| fs::create_dir(&agent)).expect("not mounted");
    for name in ["tls.crt", "tls.key"] {
        fs::write(agent.join(name), format!("old {name}")).expect("an older copy");
    }
    assert_eq!(scene.way_back().restore().expect_err("hidden").reason(), "not_mounted");
    fs::remove_dir_all(&agent).and_then(|()| fs::rename(&aside, &agent)).expect("mounted");
    assert_eq!(scene.contents(), ["new tls.crt", "old tls.key"]);
    scene.way_back().restore().expect("restored");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
}

/// Holds A5: one file of the set lies below a bind mount, which has the number of the file system around it.
#[test]
fn nothing_is_put_back_where_one_file_of_the_set_is_not_mounted() {
    let mut scene = Scene::new();
    scene.swap(0).expect("swapped");
    let key = &mut scene.files[1];
    let (mount_point, aside) = (scene.root.path().join("secure"), scene.root.path().join("aside"));
    fs::create_dir(&mount_point).expect("directory");
    for path in [&mut key.path, &mut key.staged] {
        let below = mount_point.join(path.file_name().expect("a name"));
        fs::rename(&*path, &below).expect("moved");
        *path = below;
    }
    key.old.as_mut().expect("old").beside = mount_point.join("beside");
    key.directory = Some(platform::directory_identity(&mount_point).expect("there"));
    let [certificate, key] = [0, 1].map(|n| scene.files[n].path.clone());
    scene.push.keystore = Keystore::PemPair { certificate, key };
    fs::rename(&mount_point, &aside).and_then(|()| fs::create_dir(&mount_point)).expect("not mounted");
    assert_eq!(scene.way_back().restore().expect_err("not there").reason(), "not_mounted");
    assert_eq!(fs::read_dir(&mount_point).expect("list").count(), 0);
    assert_eq!(
        fs::read_to_string(&scene.files[0].path).expect("the other"),
        "new tls.crt",
        "it stays with the mounted one"
    );
    fs::remove_dir(&mount_point).and_then(|()| fs::rename(&aside, &mount_point)).expect("mounted");
    scene.way_back().restore().expect("restored");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
}

/// Holds A5: a mount that came over the first files of an agent gets nothing of them, and they are removed when it has gone.
#[test]
fn the_first_files_of_an_agent_are_removed_from_below_a_mount_that_came_late_once_it_has_gone() {
    let mut scene = Scene::new();
    let (agent, aside) = (scene.root.path().join("agent"), scene.root.path().join("aside"));
    fs::create_dir(&agent).expect("directory");
    for file in &mut scene.files {
        let below = agent.join(file.path.file_name().expect("a name"));
        let staged = platform::temporary_beside(&below).expect("name");
        fs::rename(&file.staged, &staged).and_then(|()| fs::remove_file(&file.path)).expect("moved");
        file.directory = Some(platform::directory_identity(&agent).expect("there"));
        (file.path, file.staged, file.old) = (below, staged, None);
    }
    scene.push.keystore =
        Keystore::PemPair { certificate: scene.files[0].path.clone(), key: scene.files[1].path.clone() };
    (0..2).for_each(|n| scene.swap(n).expect("swapped"));
    assert_eq!(scene.contents(), ["new tls.crt", "new tls.key"]);

    fs::rename(&agent, &aside).and_then(|()| fs::create_dir(&agent)).expect("mounted over");
    fs::write(agent.join("tls.crt"), "theirs").expect("what is mounted");
    let error = scene.way_back().restore().expect_err("hidden");
    assert!(error.reason() == "not_mounted" && error.to_string().contains("unmount it"), "{error}");
    assert_eq!(fs::read_to_string(agent.join("tls.crt")).expect("it stays"), "theirs");
    assert_eq!(fs::read_dir(&agent).expect("list").count(), 1, "nothing of the new key");

    fs::remove_dir_all(&agent).and_then(|()| fs::rename(&aside, &agent)).expect("unmounted");
    scene.way_back().restore().expect("removed");
    assert_eq!(fs::read_dir(&agent).expect("list").count(), 0);
}

/// Holds A10: what was put there after the swap is somebody's still, and is not overwritten.
#[test]
fn a_file_that_was_replaced_and_then_changed_is_left_as_it_is() {
    let scene = Scene::new();
    (0..2).for_each(|n| scene.swap(n).expect("swapped"));
    scene.edit(1, THEIR_KEY);
    assert_eq!(scene.way_back().restore().expect_err("theirs").reason(), "changed_since");
    assert_eq!(scene.contents(), ["new tls.crt", THEIR_KEY]);
}

/// Holds A10, A11: a write between the last look and the change of names is judged anew, on the way back too.
#[test]
fn what_is_written_in_the_last_moment_of_the_way_back_is_not_lost() {
    type Edit = fn(&Scene);
    let edits: [(Edit, &str); 2] = [
        (|scene| scene.edit(1, THEIR_KEY), THEIR_KEY),
        (
            |scene| {
                let theirs = scene.root.path().join("theirs");
                fs::write(&theirs, THEIR_KEY).expect("write");
                fs::rename(theirs, &scene.files[1].path).expect("rename");
            },
            THEIR_KEY,
        ),
    ];
    for (edit, expected) in edits {
        let scene = Scene::new();
        (0..2).for_each(|n| scene.swap(n).expect("swapped"));
        let way_back = scene.way_back();
        let (files, moves) = way_back.prepare().expect("prepared");
        edit(&scene);
        assert_eq!(
            carry_out(&files, &moves, platform::sync_directory_of).expect_err("changed").reason(),
            "changed_meanwhile"
        );
        assert_eq!(scene.contents(), ["new tls.crt", expected]);
    }
    let scene = Scene::new();
    (0..2).for_each(|n| scene.swap(n).expect("swapped"));
    scene.way_back().restore().expect("restored");
    assert_eq!((scene.contents(), scene.litter()), (vec!["old tls.crt".to_owned(), "old tls.key".to_owned()], 0));
}

/// Holds A11: nothing relies on the name of a file that takes another's place at once.
#[test]
fn old_files_that_must_be_written_anew_come_back_where_their_directory_cannot_be_synced() {
    let scene = Scene::new();
    (0..2).for_each(|n| scene.swap(n).expect("swapped"));
    scene.files.iter().for_each(|file| fs::remove_file(&file.staged).expect("the old file"));
    let ordered = scene.without_syncs(|| scene.way_back().make_ready().map_err(|error| error.reason()));
    assert_eq!(ordered.expect_err("the journal would tell of them"), "io");
    assert_eq!((scene.contents(), scene.litter()), (vec!["new tls.crt".to_owned(), "new tls.key".to_owned()], 0));

    let restored = scene.without_syncs(|| scene.way_back().restore().map_err(|error| error.reason()));
    assert_eq!(restored, Err("io"), "it is not known to be durable");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
    scene.way_back().restore().expect("durable now");
}

/// Holds A10: the same for a file that was not there before, and for one that is not there now.
#[test]
fn a_name_that_is_to_be_free_or_was_free_is_not_taken_from_who_has_it_in_the_last_moment() {
    let mut scene = Scene::new();
    scene.swap(0).expect("swapped");
    fs::remove_file(&scene.files[1].path).expect("remove");
    scene.files[1].old = None;
    scene.swap(1).expect("swapped");
    let way_back = scene.way_back();
    let (files, moves) = way_back.prepare().expect("prepared");
    scene.edit(1, THEIR_KEY);
    assert_eq!(
        carry_out(&files, &moves, platform::sync_directory_of).expect_err("changed").reason(),
        "changed_meanwhile"
    );
    assert_eq!(scene.contents(), ["new tls.crt", THEIR_KEY]);

    let scene = Scene::new();
    (0..2).for_each(|n| scene.swap(n).expect("swapped"));
    fs::remove_file(&scene.files[1].path).expect("remove");
    let way_back = scene.way_back();
    let (files, moves) = way_back.prepare().expect("prepared");
    scene.edit(1, THEIR_KEY);
    assert_eq!(
        carry_out(&files, &moves, platform::sync_directory_of).expect_err("changed").reason(),
        "changed_meanwhile"
    );
    assert_eq!(scene.contents(), ["new tls.crt", THEIR_KEY]);
}

/// Holds A9, A13: one file that cannot be replaced keeps the others where they are, and is found before anything is ordered.
#[test]
fn a_file_that_cannot_be_replaced_leaves_the_set_whole() {
    for n in [0, 1] {
        let scene = Scene::new();
        (0..2).for_each(|n| scene.swap(n).expect("swapped"));
        let fixed = fs::File::open(&scene.files[n].path).expect("open");
        ioctl_setflags(&fixed, IFlags::IMMUTABLE).expect("run as root, on a file system with immutable files");
        let ordered = scene.way_back().make_ready().map(|_| ()).map_err(|error| error.reason());
        let restored = scene.way_back().restore().map_err(|error| error.reason());
        let left = (scene.contents(), scene.litter());
        ioctl_setflags(&fixed, IFlags::empty()).expect("clear");
        assert_eq!((ordered, restored), (Err("immutable"), Err("immutable")), "{n}");
        assert_eq!(left, (vec!["new tls.crt".to_owned(), "new tls.key".to_owned()], 2), "{n}");
        scene.way_back().restore().expect("restored");
        assert_eq!((scene.contents(), scene.litter()), (vec!["old tls.crt".to_owned(), "old tls.key".to_owned()], 0));
    }
}

/// Holds A9: what is found only between two names is taken back, and goes back at the next attempt.
#[test]
fn a_file_that_cannot_follow_in_the_last_moment_takes_the_others_back_with_it() {
    let mut scene = Scene::new();
    (0..2).for_each(|n| scene.swap(n).expect("swapped"));
    let refused = |scene: &Scene| {
        let (files, moves) = scene.way_back().prepare().expect("prepared");
        let fixed = fs::File::open(&scene.files[1].path).expect("open");
        ioctl_setflags(&fixed, IFlags::IMMUTABLE).expect("run as root, on a file system with immutable files");
        let result = carry_out(&files, &moves, platform::sync_directory_of).map_err(|error| error.reason());
        ioctl_setflags(&fixed, IFlags::empty()).expect("clear");
        result
    };
    assert!(refused(&scene).is_err());
    assert_eq!((scene.contents(), scene.litter()), (vec!["new tls.crt".to_owned(), "new tls.key".to_owned()], 2));
    // The same for a name that is to be free, and for one that is free.
    let old = scene.files[0].old.take();
    assert!(refused(&scene).is_err());
    assert_eq!(scene.contents(), ["new tls.crt", "new tls.key"]);
    scene.files[0].old = old;
    fs::remove_file(&scene.files[0].path).expect("remove");
    assert!(refused(&scene).is_err());
    assert!(!scene.files[0].path.exists());
    scene.way_back().restore().expect("restored");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
}

/// Holds A9, A11: cut off between two names, and then one file cannot be replaced any more: the one that went back follows the
/// others forward.
#[test]
fn a_way_back_that_was_cut_off_and_cannot_go_on_ends_with_the_new_set() {
    let scene = Scene::new();
    (0..2).for_each(|n| scene.swap(n).expect("swapped"));
    let (files, moves) = scene.way_back().prepare().expect("prepared");
    moves[0].carry_out(&files[0]).expect("moved");
    assert_eq!(scene.contents(), ["old tls.crt", "new tls.key"]);
    let fixed = fs::File::open(&scene.files[1].path).expect("open");
    ioctl_setflags(&fixed, IFlags::IMMUTABLE).expect("run as root, on a file system with immutable files");
    let restored = scene.way_back().restore().map_err(|error| error.reason());
    let left = scene.contents();
    ioctl_setflags(&fixed, IFlags::empty()).expect("clear");
    assert_eq!((restored, left), (Err("immutable"), vec!["new tls.crt".to_owned(), "new tls.key".to_owned()]));
    scene.way_back().restore().expect("restored");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
}

/// Holds A2, A4: a file that was closed to others since comes back closed to them, without a byte written.
#[test]
fn what_goes_back_by_itself_is_no_more_open_than_what_lies_there() {
    let scene = Scene::new();
    (0..2).for_each(|n| scene.swap(n).expect("swapped"));
    let key = &scene.files[1];
    fs::set_permissions(&key.path, fs::Permissions::from_mode(0o600)).expect("chmod");
    let inode = platform::read_held(&key.staged, MAX_STORE_BYTES, Links::Refuse).expect("beside").identity.inode;
    scene.way_back().restore().expect("restored");
    assert_eq!((scene.contents(), scene.litter()), (vec!["old tls.crt".to_owned(), "old tls.key".to_owned()], 0));
    let modes = [0, 1].map(|n| fs::metadata(&scene.files[n].path).expect("there").permissions().mode() & 0o777);
    assert_eq!(modes, [0o640, 0o600]);
    let back = platform::read_held(&key.path, MAX_STORE_BYTES, Links::Refuse).expect("back").identity;
    assert_eq!(back.inode, inode, "it was written anew, which takes space");
}

/// Holds A7: a directory that cannot be synced leaves no pair half-way, and is synced when that is tried again.
#[test]
fn a_directory_that_cannot_be_synced_does_not_part_what_goes_back() {
    let scene = Scene::new();
    (0..2).for_each(|n| scene.swap(n).expect("swapped"));
    let fails = |path: &Path| Err(WriteError::from_io(path, "syncing the directory", std::io::Error::other("EIO")));
    for _ in 0..2 {
        let way_back = scene.way_back();
        let (files, moves) = way_back.prepare().expect("prepared");
        assert_eq!(carry_out(&files, &moves, fails).expect_err("not durable").reason(), "io");
        assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
    }
    scene.way_back().restore().expect("restored");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
}
