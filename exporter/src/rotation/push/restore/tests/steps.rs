//! What is done with a file by what lies there.

use super::*;

/// Holds A2, A9, A10: a key that somebody writes while the pair is swapped stays, and the certificate goes back.
#[test]
fn a_file_that_was_never_replaced_keeps_no_other_from_going_back() {
    let scene = Scene::new();
    scene.swap(0).expect("swapped");
    scene.edit(1, THEIR_KEY);
    assert_eq!(scene.swap(1), Err("changed_meanwhile"));
    assert_eq!(scene.contents(), ["new tls.crt", THEIR_KEY]);
    for _ in 0..2 {
        scene.restoration().restore().expect("restored");
        assert_eq!(scene.contents(), ["old tls.crt", THEIR_KEY]);
    }
}

/// Holds A10: what was put there after the swap is somebody's still, and is not overwritten.
#[test]
fn a_file_that_was_replaced_and_then_changed_is_left_as_it_is() {
    let scene = Scene::swapped();
    scene.edit(1, THEIR_KEY);
    assert_eq!(scene.restoration().restore().expect_err("theirs").reason(), "changed_since");
    assert_eq!(scene.contents(), ["new tls.crt", THEIR_KEY]);
}

/// Holds A2, A4: a file that was closed to others since comes back closed to them, without a byte written.
#[test]
fn what_goes_back_by_itself_is_no_more_open_than_what_lies_there() {
    let scene = Scene::swapped();
    let key = &scene.files[1];
    set_mode(&key.path, 0o600);
    let inode = platform::read_held(&key.staged, MAX_STORE_BYTES, Links::Refuse).expect("beside").identity.inode;
    scene.restoration().restore().expect("restored");
    assert_eq!((scene.contents(), scene.litter()), (vec!["old tls.crt".to_owned(), "old tls.key".to_owned()], 0));
    let modes = [0, 1].map(|n| mode(&scene.files[n].path));
    assert_eq!(modes, [0o640, 0o600]);
    let back = platform::read_held(&key.path, MAX_STORE_BYTES, Links::Refuse).expect("back").identity;
    assert_eq!(back.inode, inode, "it was written anew, which takes space");
}
