//! Copies of what a rotation replaces, kept until later rotations push them out.

use std::path::{Path, PathBuf};

use kagiban_crds::{AgentName, Generation, LeafSha256};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::staging::StagedFile;
use super::survey::MAX_STORE_BYTES;
use crate::checksum;
use crate::platform::{self, DirectoryIdentity, FileError, Links, WriteError};
use crate::rotation::digest::Digest;
use crate::rotation::journal::{FileSwap, OldFile};
use crate::rotation::state_directory::StateDirectory;

/// Names a backup's files, for when the journal is lost.
const MANIFEST: &str = "manifest.json";
/// A set of three files is under 4 KiB, and with the most extended attributes that are kept of each under 256 KiB.
const MAX_MANIFEST_BYTES: u64 = 1024 * 1024;

/// Of copies of what was overwritten in a rollback.
const CHANGED_PREFIX: &str = "changed-";
/// Of one file in one backup. A rotation is tried anew long before.
const MAX_CHANGED: usize = 8;

/// What a backup says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::rotation) struct Manifest {
    pub previous: Option<LeafSha256>,
    pub files: Vec<FileSwap>,
}

/// Why the old files could not be kept or read again.
#[derive(Debug, thiserror::Error)]
pub(in crate::rotation) enum BackupError {
    #[error("the backup: {0}")]
    Write(#[from] WriteError),
    #[error("the backup: {0}")]
    Read(#[from] FileError),
    #[error("{}: there is a backup of this generation already, and no backup is written over; open a new rotation", path.display())]
    Exists { path: PathBuf },
    #[error("{}: another directory has its name now, and the file waits in the one that was there", path.display())]
    OtherDirectory { path: PathBuf },
    #[error("{}: the backup was changed since it was made", path.display())]
    Altered { path: PathBuf },
    #[error(
        "{}: was changed {MAX_CHANGED} times since the rotation, and a copy is kept of each: it is not overwritten again; see who \
         writes it",
        path.display()
    )]
    ChangedAgain { path: PathBuf },
}

impl BackupError {
    pub(in crate::rotation) const fn reason(&self) -> &'static str {
        match self {
            Self::Write(error) => error.reason(),
            Self::Read(error) => error.reason(),
            Self::Exists { .. } => "backup_exists",
            Self::OtherDirectory { .. } => "not_mounted",
            Self::Altered { .. } => "backup_altered",
            Self::ChangedAgain { .. } => "changed_again",
        }
    }
}

/// Copies every old file, durably and private, and then says so in a manifest.
///
/// # Errors
/// See [`BackupError`].
pub(in crate::rotation) fn make(
    directory: &Path,
    previous: Option<LeafSha256>,
    files: &[StagedFile],
) -> Result<(), BackupError> {
    let copies =
        files.iter().filter_map(|file| Some((file.swap.old.as_ref()?.backup.as_path(), file.backup.as_ref()?)));
    let manifest = Manifest { previous, files: files.iter().map(|file| file.swap.clone()).collect() };
    write(directory, copies.map(|(path, bytes)| (path, bytes.as_slice())), &manifest)
}

/// Writes copies, each to its place in the directory, and then the manifest, which says that they are all there.
///
/// # Errors
/// See [`BackupError`].
pub(in crate::rotation) fn write<'a>(
    directory: &Path,
    copies: impl Iterator<Item = (&'a Path, &'a [u8])>,
    manifest: &Manifest,
) -> Result<(), BackupError> {
    if let Some(parent) = directory.parent() {
        platform::create_private_directory(parent)?;
    }
    if directory.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { path: directory.to_owned() });
    }
    platform::create_private_directory(directory)?;
    for (path, bytes) in copies {
        platform::replace(path, bytes, None)?;
    }
    let path = directory.join(MANIFEST);
    Ok(platform::replace(&path, &checksum::encode_for(&path, manifest)?, None)?)
}

/// The copy of an old file, as it was made.
///
/// # Errors
/// See [`BackupError`].
pub(in crate::rotation) fn read(old: &OldFile) -> Result<Zeroizing<Vec<u8>>, BackupError> {
    read_copy(&old.backup, old.backup_digest)
}

/// A copy, as it was made.
///
/// # Errors
/// See [`BackupError`].
pub(in crate::rotation) fn read_copy(path: &Path, digest: Digest) -> Result<Zeroizing<Vec<u8>>, BackupError> {
    let bytes = platform::read_held(path, MAX_STORE_BYTES, Links::Refuse)?.bytes;
    if Digest::of(&bytes) != digest {
        return Err(BackupError::Altered { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Copies a file that will be overwritten, and that is not what the rotation put there, beside its copy `backup`. Named by what it
/// holds: no copy replaces another.
///
/// # Errors
/// See [`BackupError`].
pub(in crate::rotation) fn keep_changed(backup: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let name = backup.file_name().unwrap_or_default().to_string_lossy();
    let path = backup.with_file_name(format!("{CHANGED_PREFIX}{}-{name}", Digest::of(bytes).short()));
    let is_copy = |entry: &std::fs::DirEntry| {
        let other = entry.file_name();
        let other = other.to_string_lossy();
        other.starts_with(CHANGED_PREFIX) && other.ends_with(&format!("-{name}")) && entry.path() != path
    };
    let directory = std::fs::read_dir(backup.parent().unwrap_or(Path::new("/")));
    if directory.into_iter().flatten().filter_map(Result::ok).filter(is_copy).count() >= MAX_CHANGED {
        return Err(BackupError::ChangedAgain { path: backup.to_owned() });
    }
    Ok(write_once(&path, bytes)?)
}

/// Removes what lies beside a file that was, or was to be, replaced. What is neither the old file nor the new one was written
/// in the moment of an exchange of names, and is copied beside the backup first. Says what could not be removed.
pub(in crate::rotation) fn discard(file: &FileSwap) -> Vec<BackupError> {
    beside(file).filter_map(|path| discard_one(file, path).err()).collect()
}

/// The same of a file that is known to have been replaced: where another directory has its name by now there is nothing of ours in it,
/// and the one that was there may come back with a key.
pub(in crate::rotation) fn discard_all(file: &FileSwap) -> Vec<BackupError> {
    let discarded = |path: &PathBuf| match is_absent(path) && is_directory_away(file) {
        true => Err(BackupError::OtherDirectory { path: path.clone() }),
        false => discard_one(file, path),
    };
    beside(file).filter_map(|path| discarded(path).err()).collect()
}

fn beside(file: &FileSwap) -> impl Iterator<Item = &PathBuf> {
    [Some(&file.staged), file.old.as_ref().map(|old| &old.beside)].into_iter().flatten()
}

fn discard_one(file: &FileSwap, path: &Path) -> Result<(), BackupError> {
    if let (Some(old), Ok(held)) = (&file.old, platform::read_held(path, MAX_STORE_BYTES, Links::Refuse))
        && !file.is_known(Digest::of(&held.bytes))
        // Before there is a backup no name is exchanged: a new file was cut off while it was written.
        && old.backup.symlink_metadata().is_ok()
    {
        keep_changed(&old.backup, &held.bytes)?;
    }
    Ok(platform::remove(path)?)
}

/// Whether its path leads to another directory now, or to none: a directory that is moved away for a moment comes back with what is in
/// it.
fn is_directory_away(file: &FileSwap) -> bool {
    directory_of(file).is_none_or(|now| is_another(file, now))
}

/// Whether its path leads to another directory now.
pub(super) fn is_directory_another(file: &FileSwap) -> bool {
    directory_of(file).is_some_and(|now| is_another(file, now))
}

/// The directory that its path leads to now.
fn directory_of(file: &FileSwap) -> Option<DirectoryIdentity> {
    platform::directory_identity(file.path.parent()?).ok()
}

fn is_another(file: &FileSwap, now: DirectoryIdentity) -> bool {
    match (file.directory, &file.old) {
        (Some(then), _) => now.is_another_than(&then),
        (None, Some(old)) => now.device != old.identity.device && is_absent(&file.path),
        (None, None) => false,
    }
}

pub(super) fn is_absent(path: &Path) -> bool {
    path.symlink_metadata().is_err()
}

/// Writes a copy, unless it is there already: on a full disk that is the difference.
///
/// # Errors
/// See [`WriteError`].
pub(in crate::rotation) fn write_once(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    match platform::read_held(path, MAX_STORE_BYTES, Links::Refuse) {
        Ok(there) if there.bytes.as_slice() == bytes => platform::sync_directory_of(path),
        Ok(_) | Err(_) => platform::replace(path, bytes, None),
    }
}

/// What there is to restore when no journal says so.
#[derive(Debug, Default)]
pub(in crate::rotation) struct Newest {
    /// The highest number that a backup has, finished or not; zero without any.
    pub generation: Generation,
    /// Of the newest backup that was finished: no file was replaced with one that was not.
    pub manifest: Option<Manifest>,
}

pub(in crate::rotation) fn newest(state_directory: &StateDirectory, agent: &AgentName) -> Newest {
    let mut generations = generations(state_directory, agent);
    generations.sort_unstable_by(|a, b| b.cmp(a));
    let manifest = generations.iter().find_map(|generation| {
        let path = state_directory.backup(agent, *generation).join(MANIFEST);
        let file = platform::read_held(&path, MAX_MANIFEST_BYTES, Links::Refuse).ok()?;
        serde_json::from_slice(&checksum::verified(&file.bytes).ok()?).ok()
    });
    Newest { generation: generations.first().copied().unwrap_or(Generation(0)), manifest }
}

/// Removes all backups but the newest `keep` that were finished: each holds an old private key. Those that were not
/// finished cannot be restored, and do not count; the newest of all stays for its number. What a rollback of `needed` would restore stays.
///
/// Says what could not be removed.
pub(in crate::rotation) fn prune(
    state_directory: &StateDirectory,
    agent: &AgentName,
    keep: usize,
    needed: &[FileSwap],
) -> Vec<String> {
    let mut generations = generations(state_directory, agent);
    generations.sort_unstable_by(|a, b| b.cmp(a));
    let newest = generations.first().copied();
    let (finished, unfinished): (Vec<_>, Vec<_>) = generations
        .into_iter()
        .partition(|generation| state_directory.backup(agent, *generation).join(MANIFEST).symlink_metadata().is_ok());
    let is_needed = |directory: &Path| {
        needed.iter().filter_map(|file| file.old.as_ref()).any(|old| old.backup.starts_with(directory))
    };
    let over = finished.into_iter().skip(keep).chain(unfinished).filter(|generation| Some(*generation) != newest);
    let over =
        over.map(|generation| state_directory.backup(agent, generation)).filter(|directory| !is_needed(directory));
    over.filter_map(|directory| {
        let error = std::fs::remove_dir_all(&directory).err()?;
        Some(format!("{}: {error}", directory.display()))
    })
    .collect()
}

fn generations(state_directory: &StateDirectory, agent: &AgentName) -> Vec<Generation> {
    let entries = std::fs::read_dir(state_directory.backups(agent)).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| Some(Generation(entry.file_name().to_str()?.parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(state_directory: &StateDirectory, agent: &AgentName, generation: u64) {
        unfinished(state_directory, agent, generation);
        let manifest = checksum::encode(&Manifest { previous: None, files: Vec::new() }).expect("json");
        std::fs::write(state_directory.backup(agent, Generation(generation)).join(MANIFEST), manifest).expect("write");
    }

    fn unfinished(state_directory: &StateDirectory, agent: &AgentName, generation: u64) {
        std::fs::create_dir_all(state_directory.backup(agent, Generation(generation))).expect("mkdir");
    }

    fn swap(directory: &Path) -> FileSwap {
        let store = directory.join("keystore");
        std::fs::write(&store, "now").expect("write");
        let surveyed = platform::survey(&store, MAX_STORE_BYTES).expect("survey");
        let digest = Digest::of(b"old");
        FileSwap {
            path: store,
            directory: None,
            staged: directory.join("staged"),
            new: Digest::of(b"new"),
            holds: crate::rotation::journal::FileRole::Key,
            attributes: surveyed.attributes,
            old: Some(OldFile {
                digest,
                identity: surveyed.file.expect("there").identity,
                beside: directory.join("beside"),
                backup: directory.join("0-keystore"),
                backup_digest: digest,
            }),
            ready: None,
        }
    }

    fn kept(state_directory: &StateDirectory, agent: &AgentName) -> Vec<u64> {
        let mut kept: Vec<_> = generations(state_directory, agent).into_iter().map(|generation| generation.0).collect();
        kept.sort_unstable();
        kept
    }

    /// Holds A9: backups that were never finished push out none that can be restored, and cannot be themselves.
    #[test]
    fn only_finished_backups_count_and_what_is_needed_stays() {
        let root = tempfile::tempdir().expect("directory");
        let (state_directory, agent) = (StateDirectory::at(root.path()), "agent".parse().expect("agent"));
        let numbers = |state_directory: &StateDirectory| kept(state_directory, &agent);
        for generation in [1, 2, 4] {
            finished(&state_directory, &agent, generation);
        }
        for generation in [3, 5, 6, 7] {
            unfinished(&state_directory, &agent, generation);
        }
        assert_eq!(newest(&state_directory, &agent).generation, Generation(7));
        assert!(newest(&state_directory, &agent).manifest.is_some(), "a lost journal finds its way back");
        let mut needed = swap(root.path());
        needed.old.as_mut().expect("old").backup = state_directory.backup(&agent, Generation(1)).join("0-keystore");
        assert!(prune(&state_directory, &agent, 1, &[needed]).is_empty());
        assert_eq!(numbers(&state_directory), [1, 4, 7]);
        assert!(prune(&state_directory, &agent, 1, &[]).is_empty());
        assert_eq!(numbers(&state_directory), [4, 7]);
    }

    /// Holds A9: one with a bit flipped would name another file.
    #[test]
    fn a_damaged_manifest_is_none() {
        let root = tempfile::tempdir().expect("directory");
        let (state_directory, agent) = (StateDirectory::at(root.path()), "agent".parse().expect("agent"));
        unfinished(&state_directory, &agent, 1);
        let path = state_directory.backup(&agent, Generation(1)).join(MANIFEST);
        let manifest = Manifest { previous: None, files: vec![swap(root.path())] };
        let written = String::from_utf8(checksum::encode(&manifest).expect("json")).expect("text");
        for (text, is_one) in [(written.clone(), true), (written.replace("0-keystore", "0-keystorf"), false)] {
            std::fs::write(&path, text).expect("write");
            assert_eq!(newest(&state_directory, &agent).manifest.is_some(), is_one);
        }
    }

    /// Holds A10, A11: a crash between the two exchanges of names leaves the last edit beside the file.
    #[test]
    fn an_edit_that_lies_beside_the_file_is_copied_before_it_is_removed() {
        let root = tempfile::tempdir().expect("directory");
        let file = swap(root.path());
        let copies = || {
            let entries = std::fs::read_dir(root.path()).expect("list").map(|entry| entry.expect("entry").path());
            let is_copy = |path: &PathBuf| path.to_string_lossy().contains(CHANGED_PREFIX);
            entries.filter(is_copy).map(|path| std::fs::read_to_string(path).expect("read")).collect::<Vec<_>>()
        };
        for (contents, kept) in [("half of the new", 0), ("old", 0), ("new", 0), ("edited", 1)] {
            if contents == "old" {
                std::fs::write(root.path().join("0-keystore"), "old").expect("write");
            }
            std::fs::write(&file.staged, contents).expect("write");
            assert!(discard_all(&file).is_empty());
            assert!(!file.staged.exists());
            assert_eq!(copies().len(), kept, "{contents}");
        }
        assert_eq!(copies(), ["edited"]);
    }

    /// Holds A9: what was overwritten in a rollback is copied each time, and no copy takes another's place.
    #[test]
    fn each_content_that_was_overwritten_keeps_a_copy_of_its_own() {
        let root = tempfile::tempdir().expect("directory");
        let old = swap(root.path()).old.expect("old");
        for n in 0..MAX_CHANGED {
            keep_changed(&old.backup, format!("content {n}").as_bytes()).expect("kept");
            keep_changed(&old.backup, b"content 0").expect("there already");
        }
        assert_eq!(keep_changed(&old.backup, b"one more").expect_err("too many").reason(), "changed_again");
        let copies = std::fs::read_dir(root.path()).expect("list").map(|entry| entry.expect("entry"));
        let copies = copies.filter(|entry| entry.file_name().to_string_lossy().starts_with(CHANGED_PREFIX));
        let mut contents: Vec<_> = copies.map(|copy| std::fs::read_to_string(copy.path()).expect("read")).collect();
        contents.sort();
        assert_eq!(contents, (0..MAX_CHANGED).map(|n| format!("content {n}")).collect::<Vec<_>>());
    }

    /// Holds A9: of all that lay there since a journal was lost the first copy is what it began with, and stays.
    #[test]
    fn the_first_copy_since_a_journal_was_lost_is_never_pushed_out() {
        use super::super::overwritten::keep;

        let root = tempfile::tempdir().expect("directory");
        let (state_directory, agent) = (StateDirectory::at(root.path()), "agent".parse().expect("agent"));
        let file = swap(root.path());
        let copy = |content: &str, before: &[Digest]| {
            std::fs::write(&file.path, content).expect("write");
            keep(&state_directory, &agent, std::slice::from_ref(&file), before)
        };
        let first = copy("what it began with", &[]).expect("kept");
        let again = copy("what it began with", &[]).expect("kept");
        assert_eq!((&again.directory, &again.digests), (&first.directory, &first.digests), "copied once");
        let mut before = first.digests;
        let refused = loop {
            match copy(&format!("content {}", before.len()), &before) {
                Ok(kept) => before.extend(kept.digests),
                Err(error) => break error,
            }
        };
        assert_eq!(refused.reason(), "changed_again");
        let content = std::fs::read_to_string(first.directory.join("0-keystore")).expect("still there");
        assert_eq!(content, "what it began with");
        // What is copied goes in no case, however old its number is.
        std::fs::create_dir(state_directory.kept(&agent).join("99-other")).expect("mkdir");
        let known = copy("what it began with", &[]).expect("kept");
        assert!(known.directory.exists() && known.directory == first.directory);
        // Lost anew: then the oldest go.
        for n in 0..before.len() {
            copy(&format!("later content {n}"), &[]).expect("kept");
        }
        assert!(!first.directory.exists());
    }
}
