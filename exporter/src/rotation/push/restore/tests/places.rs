//! Whether the files are where the rotation has replaced them.

use super::*;

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
    assert_eq!(scene.restoration().restore().expect_err("not there").reason(), "not_mounted");
    assert_eq!(fs::read_dir(scene.root.path()).expect("list").count(), 1, "the backup alone");
    mount(&mut scene.files, 1);
    scene.restoration().restore().expect("restored from the backup: it is where the files were");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
}

/// Holds A9: an administrator has moved the agent while its rotation was cut off, and told the exporter so.
#[test]
fn nothing_is_put_back_where_the_configuration_has_no_file_of_the_agent_any_more() {
    let mut scene = Scene::new();
    scene.swap(0).expect("swapped");
    scene.push.keystore = Keystore::PemPair { certificate: "/srv/tls.crt".into(), key: "/srv/tls.key".into() };
    assert_eq!(scene.restoration().restore().expect_err("moved").reason(), "not_configured");
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
    symlink(&agent, &link).expect("linked");
    scene.push.keystore = Keystore::PemPair { certificate: link.join("tls.crt"), key: link.join("tls.key") };

    fs::rename(&agent, &aside).and_then(|()| fs::create_dir(&agent)).expect("not mounted");
    for name in ["tls.crt", "tls.key"] {
        fs::write(agent.join(name), format!("old {name}")).expect("an older copy");
    }
    assert_eq!(scene.restoration().restore().expect_err("hidden").reason(), "not_mounted");
    fs::remove_dir_all(&agent).and_then(|()| fs::rename(&aside, &agent)).expect("mounted");
    assert_eq!(scene.contents(), ["new tls.crt", "old tls.key"]);
    scene.restoration().restore().expect("restored");
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
    assert_eq!(scene.restoration().restore().expect_err("not there").reason(), "not_mounted");
    assert_eq!(fs::read_dir(&mount_point).expect("list").count(), 0);
    assert_eq!(
        fs::read_to_string(&scene.files[0].path).expect("the other"),
        "new tls.crt",
        "it stays with the mounted one"
    );
    fs::remove_dir(&mount_point).and_then(|()| fs::rename(&aside, &mount_point)).expect("mounted");
    scene.restoration().restore().expect("restored");
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
    let error = scene.restoration().restore().expect_err("hidden");
    assert!(error.reason() == "not_mounted" && error.to_string().contains("unmount it"), "{error}");
    assert_eq!(fs::read_to_string(agent.join("tls.crt")).expect("it stays"), "theirs");
    assert_eq!(fs::read_dir(&agent).expect("list").count(), 1, "nothing of the new key");

    fs::remove_dir_all(&agent).and_then(|()| fs::rename(&aside, &agent)).expect("unmounted");
    scene.restoration().restore().expect("removed");
    assert_eq!(fs::read_dir(&agent).expect("list").count(), 0);
}

/// Holds A5: a directory that was copied file by file, without what waits beside, has one file of the rotation still.
#[test]
fn a_copy_of_a_split_set_is_made_whole() {
    let mut scene = Scene::new();
    scene.swap(0).expect("swapped");
    let (agent, copy) = (scene.root.path().join("agent"), scene.root.path().join("copy"));
    fs::create_dir(&agent).and_then(|()| fs::create_dir(&copy)).expect("directories");
    let directory = platform::directory_identity(&agent).expect("there");
    for file in &mut scene.files {
        let below = copy.join(file.path.file_name().expect("a name"));
        fs::rename(&file.path, &below).expect("copied");
        (file.path, file.directory) = (below, Some(directory));
        file.staged = copy.join(file.staged.file_name().expect("a name"));
        let old = file.old.as_mut().expect("old");
        old.beside = copy.join(old.beside.file_name().expect("a name"));
    }
    scene.push.keystore =
        Keystore::PemPair { certificate: scene.files[0].path.clone(), key: scene.files[1].path.clone() };
    assert_eq!(scene.contents(), ["new tls.crt", "old tls.key"]);
    scene.restoration().restore().expect("restored from the backup");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
}

/// Holds A13: what lies below a mount that is missing is not what an ordered rollback is for.
#[test]
fn a_rollback_is_not_made_ready_where_the_files_are_not_mounted() {
    let mut scene = Scene::swapped();
    let elsewhere = scene.root.path().join("backup");
    for n in 0..2 {
        scene.files[n].directory = Some(platform::directory_identity(&elsewhere).expect("there"));
        fs::write(&scene.files[n].path, ["old tls.crt", "old tls.key"][n]).expect("an older copy");
        fs::remove_file(&scene.files[n].staged).expect("removed");
    }
    assert_eq!(scene.restoration().make_ready().expect_err("not there").reason(), "not_mounted");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
}
