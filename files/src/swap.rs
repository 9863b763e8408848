//! A new file takes the place of another in one step, and the other stays beside it: a rollback is a rename, which needs
//! no space.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;

use crate::durable::temporary_beside;
use crate::file::{FileError, FileIdentity, Links, WriteError};
use crate::system::{self, Attributes, HeldEntry, Metadata, names};

/// What takes whose place.
#[derive(Clone, Copy, Debug)]
pub struct Swap<'a> {
    pub path: &'a Path,
    /// A file in the same directory, written by [`crate::write_new`]. Where the file system exchanges names, it is the
    /// old file afterwards.
    pub staged: &'a Path,
    /// Where the old file stays when names cannot be exchanged; none when it need not stay.
    pub beside: Option<&'a Path>,
    /// What must be in `staged`: its directory may belong to the service, and so to whoever took that over.
    pub sha256: &'a [u8; 32],
    /// Of the new file.
    pub attributes: &'a Attributes,
    /// The surveyed file; none when there was none.
    pub old: Option<SurveyedFile<'a>>,
}

/// Which file was surveyed, what was in it and who had access.
#[derive(Clone, Copy, Debug)]
pub struct SurveyedFile<'a> {
    pub identity: &'a FileIdentity,
    pub sha256: &'a [u8; 32],
    pub attributes: &'a Attributes,
}

/// Carries a swap out, durably. What lies there must be what was surveyed: the same file, with the same bytes, owner and
/// permissions, also after the names were exchanged. What somebody has written meanwhile gets its name back.
///
/// # Errors
/// See [`WriteError`]. After an error `path` may be old or new, but is whole.
pub fn swap(swap: &Swap<'_>) -> Result<(), WriteError> {
    change_names(swap)?.sync()
}

/// The same, but not durable before [`crate::sync_directory_of`]: for files that belong together, whose names all change
/// whether or not their directory can be synced.
///
/// # Errors
/// As [`swap`].
pub fn swap_names(swap: &Swap<'_>) -> Result<(), WriteError> {
    change_names(swap).map(|_| ())
}

fn change_names(swap: &Swap<'_>) -> Result<HeldEntry, WriteError> {
    let place = HeldEntry::find(swap.path, Links::Refuse)?;
    let staged = swap.staged.file_name().unwrap_or_default();
    place.check_staged(staged, swap)?;
    place.check_surveyed(swap)?;
    match swap.old {
        Some(_) => place.exchange(staged, swap)?,
        None => place.take_free_name(staged)?,
    }
    Ok(place)
}

/// Gives a file the name `aside` in its directory, which is durable after [`crate::sync_directory_of`]. What somebody has written to it meanwhile gets its name back.
///
/// # Errors
/// See [`WriteError`].
pub fn move_aside(path: &Path, aside: &Path, file: SurveyedFile<'_>) -> Result<(), WriteError> {
    let place = HeldEntry::find(path, Links::Refuse)?;
    let aside = aside.file_name().unwrap_or_default();
    match names::rename(&place.directory, &place.name, aside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(WriteError::Changed { path: path.to_owned() });
        }
        Err(error) => return Err(place.failed("renaming it")(error)),
    }
    if !place.is_surveyed_at(aside, Some(file)) {
        place.take_free_name(aside)?;
        return Err(WriteError::Changed { path: path.to_owned() });
    }
    Ok(())
}

/// Removes `beside` if it is a second name of the file at `path`: what an interrupted [`swap`] leaves where names cannot
/// be exchanged.
///
/// # Errors
/// See [`WriteError`].
pub fn unlink_second_name(beside: &Path, path: &Path) -> Result<(), WriteError> {
    let place = HeldEntry::find(path, Links::Refuse)?;
    let name = beside.file_name().unwrap_or_default();
    let at = |name: &OsStr| names::identity(&place.directory, name);
    let (Ok(one), Ok(other)) = (at(&place.name), at(name)) else { return Ok(()) };
    if one != other {
        return Ok(());
    }
    names::unlink(&place.directory, name).map_err(place.failed("removing its second name"))?;
    place.sync()
}

impl HeldEntry {
    /// Replaces a file durably, or leaves it as it was: it stays beside the new one until that is durable.
    pub(crate) fn replace_or_leave(&self, bytes: &[u8], attributes: &Attributes) -> Result<(), WriteError> {
        self.replace_synced(bytes, attributes, Self::exchange_names, Self::sync)
    }

    fn replace_synced(
        &self,
        bytes: &[u8],
        attributes: &Attributes,
        exchange: impl Fn(&Self, &OsStr) -> io::Result<()>,
        sync: impl Fn(&Self) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        if !self.is_replaceable()? {
            return self.write_new(bytes, attributes);
        }
        let new = self.name_beside()?;
        self.create(&new, bytes, attributes)?;
        let exchanged = match exchange(self, &new) {
            Ok(()) => Ok(new.clone()),
            Err(error) if names::is_unsupported(&error) => self.keep_beside_and_rename(&new),
            Err(error) => Err(self.failed("exchanging it with the new file")(error)),
        };
        let old = exchanged.inspect_err(|_| _ = names::unlink(&self.directory, &new))?;
        let removed = self.failed("removing what was replaced");
        let done = sync(self).and_then(|()| names::unlink(&self.directory, &old).map_err(removed));
        if done.is_err() {
            self.rename_over_name(&old)?;
        }
        // Of the new name that is done already; a second name of what is gone is swept
        let _ = self.sync();
        done
    }

    /// For kernels and file systems that cannot exchange names. The old file's name beside the new one; where there are no links
    /// either, nothing has the old name for a moment.
    fn keep_beside_and_rename(&self, new: &OsStr) -> Result<OsString, WriteError> {
        let old = self.name_beside()?;
        match names::link(&self.directory, &self.name, &old) {
            Err(error) if names::has_no_links(&error) => names::rename(&self.directory, &self.name, &old),
            linked => linked,
        }
        .map_err(self.failed("keeping the old file beside it"))?;
        self.rename_over_name(new).inspect_err(|_| {
            let _ = self.rename_over_name(&old);
            // Of two names of one file a rename takes none away
            let _ = names::unlink(&self.directory, &old);
        })?;
        Ok(old)
    }

    fn name_beside(&self) -> Result<OsString, WriteError> {
        Ok(temporary_beside(&self.path)?.file_name().unwrap_or_default().to_owned())
    }

    fn check_staged(&self, name: &OsStr, swap: &Swap<'_>) -> Result<(), WriteError> {
        let altered = || WriteError::Altered { path: swap.staged.to_owned() };
        let (mut staged, metadata) = match self.open_at(name) {
            Ok(Some(opened)) => opened,
            Ok(None) | Err(FileError::NotRegular { .. }) => return Err(altered()),
            Err(error) => return Err(error.into()),
        };
        let attributes = Attributes::of(&staged, &metadata).map_err(self.failed("looking at the new file"))?;
        if system::links(&metadata) != 1 || !attributes.is_same_access(swap.attributes) {
            return Err(altered());
        }
        self.check(&mut staged, swap.sha256)
    }

    fn check_surveyed(&self, swap: &Swap<'_>) -> Result<(), WriteError> {
        let changed = || WriteError::Changed { path: self.path.clone() };
        match (self.open_file()?, swap.old) {
            (None, None) => Ok(()),
            (Some((file, metadata)), Some(old)) => {
                if system::links(&metadata) == 1 && self.is_surveyed(file, &metadata, old)? {
                    return Ok(());
                }
                Err(changed())
            }
            (None, Some(_)) | (Some(_), None) => Err(changed()),
        }
    }

    /// An edit in place leaves the file the same, so its bytes are compared too.
    fn is_surveyed(&self, mut file: File, metadata: &Metadata, old: SurveyedFile<'_>) -> Result<bool, WriteError> {
        let found = Attributes::of(&file, metadata).map_err(self.failed("looking at it"))?;
        if !system::identity(metadata).is_same_file(old.identity) || !found.is_same_access(old.attributes) {
            return Ok(false);
        }
        match self.check(&mut file, old.sha256) {
            Err(WriteError::Altered { .. }) => Ok(false),
            checked => checked.map(|()| true),
        }
    }

    /// Whether the surveyed file has this name now, as it was surveyed. What cannot be read is not.
    fn is_surveyed_at(&self, name: &OsStr, old: Option<SurveyedFile<'_>>) -> bool {
        let Some(old) = old else { return false };
        let Ok(Some((file, metadata))) = self.open_at(name) else { return false };
        self.is_surveyed(file, &metadata, old).unwrap_or(false)
    }

    fn exchange(&self, staged: &OsStr, swap: &Swap<'_>) -> Result<(), WriteError> {
        match self.exchange_names(staged) {
            Ok(()) if self.is_surveyed_at(staged, swap.old) => Ok(()),
            // Somebody put another file there after it was looked at, or wrote to it; they get it back.
            Ok(()) => {
                self.exchange_names(staged).map_err(self.failed("exchanging the files back"))?;
                Err(WriteError::Changed { path: self.path.clone() })
            }
            Err(error) if names::is_unsupported(&error) => self.link_and_rename(staged, swap),
            Err(error) => Err(self.failed("exchanging it with the new file")(error)),
        }
    }

    fn exchange_names(&self, staged: &OsStr) -> io::Result<()> {
        names::exchange(&self.directory, staged, &self.name)
    }

    /// For kernels and file systems that cannot exchange names. A file system without links either has no old file
    /// beside the new one: only the backup can be restored, and what is written to the old file in the last moment is lost.
    fn link_and_rename(&self, staged: &OsStr, swap: &Swap<'_>) -> Result<(), WriteError> {
        let beside = match swap.beside.and_then(Path::file_name) {
            None => None,
            Some(beside) => match names::link(&self.directory, &self.name, beside) {
                Ok(()) => Some(beside),
                Err(error) if names::has_no_links(&error) => None,
                Err(error) => return Err(self.failed("linking the old file beside it")(error)),
            },
        };
        let Some(beside) = beside else { return self.rename_over_name(staged) };
        self.sync()?;
        let changed = || Err(WriteError::Changed { path: self.path.clone() });
        if !self.is_surveyed_at(beside, swap.old) {
            names::unlink(&self.directory, beside).map_err(self.failed("removing its second name"))?;
            return changed();
        }
        self.rename_over_name(staged)?;
        if self.is_surveyed_at(beside, swap.old) {
            return Ok(());
        }
        self.take_back(staged, beside)?;
        changed()
    }

    /// The old file was written to meanwhile. The new one gets its first name back, which tells that it was never in use.
    fn take_back(&self, staged: &OsStr, beside: &OsStr) -> Result<(), WriteError> {
        let linked = names::link(&self.directory, &self.name, staged);
        self.rename_over_name(beside)?;
        self.sync()?;
        linked.map_err(self.failed("linking the new file beside it"))
    }

    fn take_free_name(&self, staged: &OsStr) -> Result<(), WriteError> {
        match names::rename_to_free(&self.directory, staged, &self.name) {
            Err(error) if names::is_unsupported(&error) => self.link_to_free_name(staged),
            taken => self.taken(taken),
        }
    }

    /// A plain rename would replace what somebody has put there since.
    fn link_to_free_name(&self, staged: &OsStr) -> Result<(), WriteError> {
        self.taken(names::link(&self.directory, staged, &self.name))?;
        names::unlink(&self.directory, staged).map_err(self.failed("removing the new file's first name"))
    }

    fn taken(&self, taken: io::Result<()>) -> Result<(), WriteError> {
        match taken {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(WriteError::Changed { path: self.path.clone() })
            }
            taken => taken.map_err(self.failed("giving the new file its name")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::{survey, write_new};

    /// A store that was surveyed, and what is to take its place.
    struct Scene {
        directory: tempfile::TempDir,
        surveyed: crate::Surveyed,
    }

    impl Scene {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("directory");
            fs::write(directory.path().join("store"), b"old").expect("write");
            let surveyed = survey(&directory.path().join("store"), 1024).expect("survey");
            write_new(&directory.path().join("staged"), b"new", Some(&surveyed.attributes)).expect("write");
            Self { directory, surveyed }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.at(name)).ok()
        }

        /// A step of the swap, after whatever happens in its last moment.
        fn step(
            &self,
            meanwhile: impl FnOnce(),
            step: impl FnOnce(&HeldEntry, &Swap<'_>) -> Result<(), WriteError>,
        ) -> Result<(), &'static str> {
            let (path, staged, beside) = (self.at("store"), self.at("staged"), self.at("beside"));
            let held = self.surveyed.file.as_ref().expect("a file");
            let (new, old) = (Sha256::digest(b"new").into(), Sha256::digest(b"old").into());
            let attributes = &self.surveyed.attributes;
            let swap = Swap {
                path: &path,
                staged: &staged,
                beside: Some(&beside),
                sha256: &new,
                attributes,
                old: Some(SurveyedFile { identity: &held.identity, sha256: &old, attributes }),
            };
            let place = HeldEntry::find(&path, Links::Refuse).expect("a place");
            place.check_staged(staged.file_name().expect("a name"), &swap).expect("staged");
            place.check_surveyed(&swap).expect("surveyed");
            meanwhile();
            step(&place, &swap).map_err(|error| error.reason())
        }
    }

    type Attack = fn(&Path);

    /// What may happen between the last look and the exchange, and what is in the store then.
    const ATTACKS: [(Attack, &str); 2] = [
        (|store| fs::write(store, b"edited").expect("write"), "edited"),
        (
            |store| {
                fs::write(store.with_file_name("theirs"), b"theirs").expect("write");
                fs::rename(store.with_file_name("theirs"), store).expect("rename");
            },
            "theirs",
        ),
    ];

    /// Holds A2: an edit in the last moment is not lost.
    #[test]
    fn what_is_written_between_the_last_look_and_the_exchange_gets_its_name_back() {
        for (attack, expected) in ATTACKS {
            let scene = Scene::new();
            let store = scene.at("store");
            let swapped = scene.step(|| attack(&store), |place, swap| place.exchange(OsStr::new("staged"), swap));
            assert_eq!((swapped, scene.read("store").as_deref()), (Err("changed_meanwhile"), Some(expected)));
        }
        let scene = Scene::new();
        assert_eq!(scene.step(|| (), |place, swap| place.exchange(OsStr::new("staged"), swap)), Ok(()));
        // Under the other's name where names are exchanged, and under its second name elsewhere.
        let kept = scene.read("staged").or_else(|| scene.read("beside"));
        assert_eq!((scene.read("store").as_deref(), kept.as_deref()), (Some("new"), Some("old")));
    }

    /// Of what must not be lost, the old is there until the new is, whatever the disk says at the last step.
    #[test]
    fn a_file_is_replaced_durably_or_is_there_as_it_was() {
        type Exchange = fn(&HeldEntry, &OsStr) -> io::Result<()>;
        let exchanges: [Exchange; 2] = [HeldEntry::exchange_names, |_, _| Err(io::ErrorKind::Unsupported.into())];
        for exchange in exchanges {
            let scene = Scene::new();
            fs::remove_file(scene.at("staged")).expect("remove");
            let place = HeldEntry::find(&scene.at("store"), Links::Refuse).expect("a place");
            let replaced = |sync: fn(&HeldEntry) -> Result<(), WriteError>| {
                let done = place.replace_synced(b"new", &Attributes::ours(), exchange, sync);
                let lies: Vec<_> = fs::read_dir(scene.directory.path()).expect("list").collect();
                (done.is_ok(), scene.read("store"), lies.len())
            };
            let fails: fn(&HeldEntry) -> Result<(), WriteError> =
                |place| Err(place.failed("syncing")(io::Error::other("EIO")));
            assert_eq!(replaced(fails), (false, Some("old".to_owned()), 1));
            assert_eq!(replaced(HeldEntry::sync), (true, Some("new".to_owned()), 1));
            fs::remove_file(scene.at("store")).expect("remove");
            assert_eq!(replaced(HeldEntry::sync), (true, Some("new".to_owned()), 1), "and made where there is none");
        }
    }

    /// Holds A2, A11: the same where names cannot be exchanged.
    #[test]
    fn without_an_exchange_of_names_what_is_written_before_the_link_is_left_where_it_is() {
        for (attack, expected) in ATTACKS {
            let scene = Scene::new();
            let store = scene.at("store");
            let swapped =
                scene.step(|| attack(&store), |place, swap| place.link_and_rename(OsStr::new("staged"), swap));
            assert_eq!((swapped, scene.read("store").as_deref()), (Err("changed_meanwhile"), Some(expected)));
            assert_eq!(scene.read("beside"), None, "it has one name");
        }
        let scene = Scene::new();
        assert_eq!(scene.step(|| (), |place, swap| place.link_and_rename(OsStr::new("staged"), swap)), Ok(()));
        assert_eq!((scene.read("store").as_deref(), scene.read("beside").as_deref()), (Some("new"), Some("old")));
        // An edit that was seen only after the rename: the new file waits where it did before.
        let place = HeldEntry::find(&scene.at("store"), Links::Refuse).expect("a place");
        fs::write(scene.at("beside"), "edited").expect("write");
        place.take_back(OsStr::new("staged"), OsStr::new("beside")).expect("back");
        assert_eq!((scene.read("store").as_deref(), scene.read("staged").as_deref()), (Some("edited"), Some("new")));
        assert_eq!(scene.read("beside"), None);
    }

    /// Holds A10: a name that was free is not taken from whoever has it now.
    #[test]
    fn without_a_rename_that_replaces_nothing_a_free_name_is_taken_by_a_link() {
        let scene = Scene::new();
        let place = HeldEntry::find(&scene.at("store"), Links::Refuse).expect("a place");
        let taken = place.link_to_free_name(OsStr::new("staged")).map_err(|error| error.reason());
        assert_eq!((taken, scene.read("store").as_deref()), (Err("changed_meanwhile"), Some("old")));
        fs::remove_file(scene.at("store")).expect("remove");
        place.link_to_free_name(OsStr::new("staged")).expect("free");
        assert_eq!((scene.read("store").as_deref(), scene.read("staged")), (Some("new"), None));
    }
}
