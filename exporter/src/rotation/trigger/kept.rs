//! Files that a product's own renewal writes over: copied before its program is run, and put back after it.
//!
//! An installer brings its own command files and takes no notice of what somebody has changed in them. Whether it was run to its end or
//! not, whether the renewal was committed or taken back: the files are what they were.

use std::io;
use std::path::{Path, PathBuf};

use kagiban_crds::LeafSha256;
use kagiban_keystore::{Format, sniff};

use crate::platform::{self, WriteError};
use crate::rotation::agent::CERTIFICATE_FILE;
use crate::rotation::digest::Digest;
use crate::rotation::failure::RotationFailure;
use crate::rotation::journal::{KeptFile, Returns};
use crate::rotation::push::backup::{self, BackupError, Manifest};
use crate::rotation::push::survey::MAX_STORE_BYTES;
use crate::rotation::trigger::renewal::NOT_PUT_BACK;

/// A file's name that its copy has too, in bytes.
const LONGEST_SHOWN: usize = 100;

/// Why a file was not copied or not put back.
#[derive(Debug, thiserror::Error)]
enum KeptFileError {
    #[error("renew.keep: {0}")]
    Survey(WriteError),
    #[error("renew.keep: {}: there is no such file; correct its path, or take it out", path.display())]
    Missing { path: PathBuf },
    #[error("renew.keep: {}: an earlier copy cannot be removed: {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("renew.keep: {0}")]
    Backup(#[from] BackupError),
    #[error(
        "{}: {} is as the program has left it, because it cannot be put back: {source}; its copy is {}",
        setting(*returns),
        path.display(),
        copy.display()
    )]
    NotPutBack { returns: Returns, path: PathBuf, copy: PathBuf, source: Box<PutBackError> },
}

/// Why a file cannot be put back.
#[derive(Debug, thiserror::Error)]
enum PutBackError {
    #[error("{0}")]
    Place(#[from] WriteError),
    #[error("{0}")]
    Copy(#[from] BackupError),
}

/// What names such a file.
const fn setting(returns: Returns) -> &'static str {
    match returns {
        Returns::Always => "renew.keep",
        Returns::WhereDamaged => CERTIFICATE_FILE,
    }
}

impl From<KeptFileError> for RotationFailure {
    fn from(error: KeptFileError) -> Self {
        let reason = match &error {
            KeptFileError::Survey(source) => source.reason(),
            KeptFileError::Backup(source) => source.reason(),
            KeptFileError::Missing { .. } => "not_found",
            KeptFileError::Directory { .. } => "backup_exists",
            KeptFileError::NotPutBack { .. } => NOT_PUT_BACK,
        };
        Self::new(reason, error.to_string())
    }
}

/// Copies the files to `directory`, durably and private. Copies that no journal tells of may lie there: nothing was begun with them.
/// `store` is what the program renews, and nothing of the product brings back. It is copied where its key is in it: a certificate alone
/// would come back to another key.
///
/// # Errors
/// Why one cannot be copied, or could not be put back later; nothing was changed then.
pub(in crate::rotation) fn copy(
    directory: &Path,
    paths: &[PathBuf],
    store: Option<&Path>,
    previous: Option<LeafSha256>,
) -> Result<Vec<KeptFile>, RotationFailure> {
    copied(directory, paths, store, previous).map_err(RotationFailure::from)
}

fn copied(
    directory: &Path,
    paths: &[PathBuf],
    store: Option<&Path>,
    previous: Option<LeafSha256>,
) -> Result<Vec<KeptFile>, KeptFileError> {
    let (mut kept, mut contents) = (Vec::new(), Vec::new());
    let always = paths.iter().map(|path| (path.as_path(), Returns::Always));
    for (n, (path, returns)) in always.chain(store.map(|store| (store, Returns::WhereDamaged))).enumerate() {
        let surveyed = match (platform::survey(path, MAX_STORE_BYTES), returns) {
            (Ok(surveyed), _) => surveyed,
            (Err(source), Returns::Always) => return Err(KeptFileError::Survey(source)),
            // One behind a link, for example, is renewed all the same.
            (Err(error), Returns::WhereDamaged) => {
                tracing::warn!(%error, "the store is not copied, and does not come back where its renewal damages it");
                continue;
            }
        };
        let held = match (surveyed.file, returns) {
            (Some(held), Returns::Always) => held,
            (Some(held), Returns::WhereDamaged) if has_key(&held.bytes) => held,
            (_, Returns::WhereDamaged) => continue,
            // A name that is misspelt would be kept in silence, and its file lost.
            (None, Returns::Always) => return Err(KeptFileError::Missing { path: path.to_owned() }),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // What is copied beside it later has a longer name, and a name has an end.
        let name = if name.len() <= LONGEST_SHOWN { format!("{n}-{name}") } else { n.to_string() };
        let (copy, digest) = (directory.join(name), Digest::of(&held.bytes));
        let (attributes, directory_owner) = (surveyed.attributes, Some(surveyed.directory_owner));
        kept.push(KeptFile { path: path.to_owned(), copy, digest, attributes, directory_owner, returns });
        contents.push(held.bytes);
    }
    if kept.is_empty() {
        return Ok(kept);
    }
    let copies = kept.iter().zip(&contents).map(|(file, bytes)| (file.copy.as_path(), bytes.as_slice()));
    if directory.symlink_metadata().is_ok() {
        std::fs::remove_dir_all(directory)
            .map_err(|source| KeptFileError::Directory { path: directory.to_owned(), source })?;
    }
    // No file of these makes room for its copy when the journal is lost: a person may have changed it since.
    backup::write(directory, copies, &Manifest { previous, files: Vec::new() })?;
    Ok(kept)
}

/// Whether key and certificate are in one file.
fn has_key(store: &[u8]) -> bool {
    matches!(sniff(store), Some(Format::Jks | Format::Jceks))
}

/// Puts each file back that is not what it was. What lies there instead is copied beside the copy first. It can be done again.
///
/// Gives those that cannot be put back, with why.
pub(in crate::rotation) fn put_back<'k>(
    kept: impl IntoIterator<Item = &'k KeptFile>,
) -> Vec<(KeptFile, RotationFailure)> {
    kept.into_iter().filter_map(|file| Some((file.clone(), put_one_back(file).err()?.into()))).collect()
}

fn put_one_back(file: &KeptFile) -> Result<(), KeptFileError> {
    let put = || -> Result<(), PutBackError> {
        let present = platform::survey(&file.path, MAX_STORE_BYTES)?.file;
        if present
            .as_ref()
            .is_some_and(|present| Digest::of(&present.bytes) == file.digest && present.attributes == file.attributes)
        {
            return Ok(());
        }
        let bytes = backup::read_copy(&file.copy, file.digest)?;
        if let Some(present) = present.filter(|present| present.bytes != bytes) {
            backup::keep_changed(&file.copy, &present.bytes)?;
        }
        match &file.directory_owner {
            Some(owner) => Ok(platform::replace_in_directory_of(owner, &file.path, &bytes, &file.attributes)?),
            None => Ok(platform::replace(&file.path, &bytes, Some(&file.attributes))?),
        }
    };
    put().map_err(|source| {
        let (path, copy, source) = (file.path.clone(), file.copy.clone(), Box::new(source));
        KeptFileError::NotPutBack { returns: file.returns, path, copy, source }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The copy of `script` below `root`.
    fn kept(root: &Path) -> Vec<KeptFile> {
        fs::write(root.join("script"), "ours").expect("write");
        copy(&root.join("backups/1"), &[root.join("script")], None, None).expect("copied")
    }

    fn read(path: PathBuf) -> String {
        fs::read_to_string(path).expect("read")
    }

    #[test]
    fn what_a_program_writes_over_is_put_back_and_what_it_has_written_is_copied() {
        let root = tempfile::tempdir().expect("directory");
        let root = root.path();
        let kept = kept(root);
        let before = kept[0].attributes.clone();
        for by_the_program in ["default", "default", "another default"] {
            fs::write(root.join("script"), by_the_program).expect("write");
            assert_eq!(put_back(&kept), []);
            assert_eq!(read(root.join("script")), "ours");
        }
        fs::remove_file(root.join("script")).expect("removed");
        assert_eq!(put_back(&kept), [], "an uninstalled file comes back");
        let now = platform::survey(&root.join("script"), MAX_STORE_BYTES).expect("there");
        assert_eq!((read(root.join("script")), now.attributes), ("ours".into(), before));
        let copies = fs::read_dir(root.join("backups/1")).expect("list").map(|entry| entry.expect("entry").path());
        let changed = copies.filter(|path| path.to_string_lossy().contains("changed-")).map(read);
        let mut changed: Vec<_> = changed.collect();
        changed.sort();
        assert_eq!(changed, ["another default", "default"]);
    }

    #[test]
    fn one_with_the_longest_name_that_can_be_replaced_is_put_back() {
        let root = tempfile::tempdir().expect("directory");
        let path = root.path().join("n".repeat(210));
        fs::write(&path, "ours").expect("write");
        let kept = copy(&root.path().join("backups/1"), std::slice::from_ref(&path), None, None).expect("copied");
        fs::write(&path, "default").expect("write");
        assert_eq!(put_back(&kept), []);
        assert_eq!(read(path), "ours");
    }

    #[test]
    fn one_that_cannot_be_put_back_keeps_no_other_and_says_where_its_copy_is() {
        let root = tempfile::tempdir().expect("directory");
        let root = root.path();
        fs::create_dir(root.join("gone")).expect("mkdir");
        let paths = ["gone/first", "second"].map(|name| root.join(name));
        for path in &paths {
            fs::write(path, "ours").expect("write");
        }
        let kept = copy(&root.join("backups/1"), &paths, None, None).expect("copied");
        fs::remove_dir_all(root.join("gone")).expect("removed");
        fs::write(&paths[1], "default").expect("write");
        let left = put_back(&kept);
        let [(file, failure)] = left.as_slice() else { panic!("{left:?}") };
        assert_eq!(file, &kept[0], "its directory is gone");
        let is_told = [&kept[0].path, &kept[0].copy].map(|path| failure.message.contains(&path.display().to_string()));
        assert_eq!((failure.reason.as_ref(), is_told), ("not_put_back", [true; 2]), "{failure:?}");
        assert_eq!(read(paths[1].clone()), "ours");
        fs::write(&kept[1].copy, "altered").expect("write");
        fs::write(&paths[1], "default").expect("write");
        let left = put_back(&kept[1..]);
        assert!(
            left.iter().all(|(_, failure)| failure.message.contains("changed since it was made")) && left.len() == 1
        );
        assert_eq!(read(paths[1].clone()), "default", "nothing of unknown contents is put there");
    }

    /// Whoever owns the directory above could have put a directory of root's there.
    #[test]
    fn nothing_is_put_into_a_directory_of_another_owner_than_it_was_copied_from() {
        let root = tempfile::tempdir().expect("directory");
        let mut kept = kept(root.path());
        let script = root.path().join("script");
        fs::write(&script, "default").expect("write");
        let owner = kept[0].directory_owner.replace(serde_json::from_str("\"somebody else\"").expect("an owner"));
        let left = put_back(&kept);
        assert!(left.iter().all(|(_, failure)| failure.message.contains("its directory belongs to")), "{left:?}");
        assert_eq!((left.len(), read(script.clone()).as_str()), (1, "default"));
        kept[0].directory_owner = owner;
        assert_eq!(put_back(&kept), []);
        assert_eq!(read(script), "ours");
    }

    #[test]
    fn what_could_not_be_put_back_later_is_not_begun_with() {
        let root = tempfile::tempdir().expect("directory");
        let root = root.path();
        fs::create_dir(root.join("directory")).expect("mkdir");
        let large = fs::File::create(root.join("large")).expect("created");
        large.set_len(MAX_STORE_BYTES + 1).expect("as long");
        for name in ["directory", "large", "misspelt"] {
            let failure = copy(&root.join("backups/1"), &[root.join(name)], None, None).expect_err(name);
            assert!(failure.message.starts_with("renew.keep: "), "{failure:?}");
        }
        assert!(!root.join("backups").exists());
    }
}
