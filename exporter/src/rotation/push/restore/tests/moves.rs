//! What happens between and after the changes of names.

use super::*;

/// Holds A10, A11: a write between the last look and the change of names is judged anew, in a rollback too.
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
        let scene = Scene::swapped();
        scene.refuses_to_restore_over(edit);
        assert_eq!(scene.contents(), ["new tls.crt", expected]);
    }
    let scene = Scene::swapped();
    scene.restoration().restore().expect("restored");
    assert_eq!((scene.contents(), scene.litter()), (vec!["old tls.crt".to_owned(), "old tls.key".to_owned()], 0));
}

/// Holds A11: nothing relies on the name of a file that takes another's place at once.
#[test]
fn old_files_that_must_be_written_anew_come_back_where_their_directory_cannot_be_synced() {
    let scene = Scene::swapped();
    scene.files.iter().for_each(|file| fs::remove_file(&file.staged).expect("the old file"));
    let ordered = without_syncs(scene.root.path(), || scene.restoration().make_ready().map_err(|error| error.reason()));
    assert_eq!(ordered.expect_err("the journal would tell of them"), "io");
    assert_eq!((scene.contents(), scene.litter()), (vec!["new tls.crt".to_owned(), "new tls.key".to_owned()], 0));

    let restored = without_syncs(scene.root.path(), || scene.restoration().restore().map_err(|error| error.reason()));
    assert_eq!(restored, Err("io"), "it is not known to be durable");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
    scene.restoration().restore().expect("durable now");
}

/// Holds A10: the same for a file that was not there before, and for one that is not there now.
#[test]
fn a_name_that_is_to_be_free_or_was_free_is_not_taken_from_who_has_it_in_the_last_moment() {
    let mut scene = Scene::new();
    scene.swap(0).expect("swapped");
    fs::remove_file(&scene.files[1].path).expect("remove");
    scene.files[1].old = None;
    scene.swap(1).expect("swapped");
    scene.refuses_to_restore_over(|scene| scene.edit(1, THEIR_KEY));
    assert_eq!(scene.contents(), ["new tls.crt", THEIR_KEY]);

    let scene = Scene::swapped();
    fs::remove_file(&scene.files[1].path).expect("remove");
    scene.refuses_to_restore_over(|scene| scene.edit(1, THEIR_KEY));
    assert_eq!(scene.contents(), ["new tls.crt", THEIR_KEY]);
}

/// Holds A9, A13: one file that cannot be replaced keeps the others where they are, and is found before anything is ordered.
#[test]
fn a_file_that_cannot_be_replaced_leaves_the_set_whole() {
    for n in [0, 1] {
        let scene = Scene::swapped();
        with_fixed(&scene.files[n].path, || {
            let ordered = scene.restoration().make_ready().map(|_| ()).map_err(|error| error.reason());
            let restored = scene.restoration().restore().map_err(|error| error.reason());
            assert_eq!((ordered, restored), (Err("immutable"), Err("immutable")), "{n}");
        });
        assert_eq!(
            (scene.contents(), scene.litter()),
            (vec!["new tls.crt".to_owned(), "new tls.key".to_owned()], 2),
            "{n}"
        );
        scene.restoration().restore().expect("restored");
        assert_eq!((scene.contents(), scene.litter()), (vec!["old tls.crt".to_owned(), "old tls.key".to_owned()], 0));
    }
}

/// Holds A9: what is found only between two names is taken back, and goes back at the next attempt.
#[test]
fn a_file_that_cannot_follow_in_the_last_moment_takes_the_others_back_with_it() {
    let mut scene = Scene::swapped();
    let refused = |scene: &Scene| {
        let (files, moves) = scene.restoration().prepare().expect("prepared");
        let carry_out = || carry_out(&files, &moves, platform::sync_directory_of).map_err(|error| error.reason());
        with_fixed(&scene.files[1].path, carry_out)
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
    scene.restoration().restore().expect("restored");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
}

/// Holds A9, A11: cut off between two names, and then one file cannot be replaced any more: the one that went back follows the
/// others forward.
#[test]
fn a_way_back_that_was_cut_off_and_cannot_go_on_ends_with_the_new_set() {
    let scene = Scene::swapped();
    let (files, moves) = scene.restoration().prepare().expect("prepared");
    moves[0].carry_out(&files[0]).expect("moved");
    assert_eq!(scene.contents(), ["old tls.crt", "new tls.key"]);
    let restored = with_fixed(&scene.files[1].path, || scene.restoration().restore().map_err(|error| error.reason()));
    assert_eq!(restored, Err("immutable"));
    assert_eq!(scene.contents(), ["new tls.crt", "new tls.key"]);
    scene.restoration().restore().expect("restored");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
}

/// Holds A7: a directory that cannot be synced leaves no pair half-way, and is synced when that is tried again.
#[test]
fn a_directory_that_cannot_be_synced_does_not_part_what_goes_back() {
    let scene = Scene::swapped();
    let fails = |path: &Path| Err(WriteError::from_io(path, "syncing the directory", std::io::Error::other("EIO")));
    for _ in 0..2 {
        let restoration = scene.restoration();
        let (files, moves) = restoration.prepare().expect("prepared");
        assert_eq!(carry_out(&files, &moves, fails).expect_err("not durable").reason(), "io");
        assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
    }
    scene.restoration().restore().expect("restored");
    assert_eq!(scene.contents(), ["old tls.crt", "old tls.key"]);
}
