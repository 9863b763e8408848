//! The files below a directory, read where they may have changed since the last look.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kagiban_files::{FileError, FileIdentity, FileRead, identify, is_readable_by_others, read_listed};
use kagiban_service::{check_unexposed, read_unexposed};
use sha2::{Digest as _, Sha256};

use super::contents::{Contents, Problem};
use crate::cluster::manifest::MAX_MANIFEST_BYTES;

/// Of all files together.
const MOST_BYTES: usize = 2 * MAX_MANIFEST_BYTES;
const MOST_FILES: usize = 10_000;
/// Names in all directories, whatever they are.
const MOST_NAMES: usize = 200_000;
const DEEPEST: usize = 32;
/// A file that was written so short a time ago may be written once more without a difference in its times.
const SETTLED: Duration = Duration::from_secs(3);
/// All files are read again after so many looks: a network file system may tell old times.
const READ_AGAIN: u32 = 128;

/// Why nothing can be said of the directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    #[error("{path}: {1}", path = .0.display())]
    Io(PathBuf, io::Error),
    #[error(
        "there are more than {MOST_FILES} files of YAML, or {MOST_NAMES} names, below the directory: give one that has the manifests alone"
    )]
    TooMany,
    #[error("directories lie more than {DEEPEST} deep in each other")]
    TooDeep,
    #[error("the files have more than {} MiB together: give a directory that has the manifests alone", MOST_BYTES >> 20)]
    TooLarge,
    #[error(
        "the manifests are left as they were read before, since others could put some among them or take some away: {0}"
    )]
    Exposed(FileError),
}

/// Whose manifests are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManifestTrust {
    /// Whoever may write them may have this process do what they say.
    Anybody,
    /// This process acts as the system: a file that others may write is not taken, and nothing is while others may write to one of
    /// the directories.
    Administrators,
}

impl ManifestTrust {
    fn read(self, path: &Path, limit: u64) -> Result<FileRead, FileError> {
        match self {
            Self::Anybody => read_listed(path, limit),
            Self::Administrators => read_unexposed(path, limit),
        }
    }

    fn check_directory(self, directory: &Path) -> Result<(), FileError> {
        match self {
            Self::Anybody => Ok(()),
            Self::Administrators => check_unexposed(&directory.join("added.yaml")),
        }
    }
}

/// A file as it was read last.
#[derive(Debug)]
struct Known {
    identity: FileIdentity,
    settled: bool,
    digest: [u8; 32],
    contents: Arc<Contents>,
}

/// What the directory says now.
#[derive(Debug)]
pub(super) struct Look {
    /// Whether it says something else than at the last look.
    pub(super) changed: bool,
    /// By their paths below the directory.
    pub(super) files: BTreeMap<String, Arc<Contents>>,
    /// Of files that could not be read at all.
    pub(super) unread: Vec<Problem>,
    /// Links, which are not followed.
    pub(super) links: BTreeSet<String>,
    /// Files with Secrets in them that others may read.
    pub(super) open_secrets: BTreeSet<String>,
}

impl Look {
    /// What is wrong with files by themselves.
    pub(super) fn problems(&self) -> BTreeSet<Problem> {
        let of_contents = self.files.values().flat_map(|contents| &contents.problems);
        self.unread.iter().chain(of_contents).cloned().collect()
    }
}

#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    trust: ManifestTrust,
    known: BTreeMap<PathBuf, Known>,
    unread: Vec<Problem>,
    looks: u32,
}

impl Directory {
    pub(super) fn new(root: PathBuf, trust: ManifestTrust) -> Self {
        Self { root, trust, known: BTreeMap::new(), unread: Vec::new(), looks: 0 }
    }

    /// Looks at all of it. It blocks.
    ///
    /// # Errors
    /// When not all of it can be seen: nobody knows then what is gone.
    pub(super) fn look(&mut self) -> Result<Look, LookError> {
        let listing = Listing::of(&self.root, self.trust)?;
        let (mut known, mut unread, mut bytes, mut changed) = (BTreeMap::new(), Vec::new(), 0_usize, false);
        let again = self.looks.is_multiple_of(READ_AGAIN);
        for path in listing.files {
            let before = self.known.remove(&path);
            let fresh = match before {
                Some(before) if !again && before.settled && identify(&path).ok() == Some(before.identity) => before,
                before => match self.read(&path, before) {
                    Ok((now, is_other)) => {
                        changed |= is_other;
                        now
                    }
                    Err(problem) => {
                        unread.push(problem);
                        continue;
                    }
                },
            };
            bytes = bytes.saturating_add(usize::try_from(fresh.identity.size).unwrap_or(usize::MAX));
            if bytes > MOST_BYTES {
                return Err(LookError::TooLarge);
            }
            known.insert(path, fresh);
        }
        // What is left was there before
        changed |= !self.known.is_empty() || unread != self.unread || self.looks == 0;
        (self.known, self.unread, self.looks) = (known, unread, self.looks.wrapping_add(1).max(1));
        let with_secrets = self.known.iter().filter(|(_, known)| !known.contents.secrets.is_empty());
        let open_secrets = with_secrets.filter(|(path, _)| is_readable_by_others(path));
        Ok(Look {
            changed,
            open_secrets: open_secrets.map(|(path, _)| self.below(path)).collect(),
            files: self.known.iter().map(|(path, known)| (self.below(path), known.contents.clone())).collect(),
            unread: self.unread.clone(),
            links: listing.links.iter().map(|path| self.below(path)).collect(),
        })
    }

    /// A file, and whether it says something else than before.
    fn read(&self, path: &Path, before: Option<Known>) -> Result<(Known, bool), Problem> {
        let problem = |what: String| Problem { file: self.below(path), line: None, what };
        let limit = u64::try_from(MAX_MANIFEST_BYTES).unwrap_or(u64::MAX);
        let read = self.trust.read(path, limit).map_err(|error| problem(error.to_string()))?;
        let settled = is_settled(read.identity, SystemTime::now());
        let digest: [u8; 32] = Sha256::digest(&*read.bytes).into();
        if let Some(before) = before
            && before.digest == digest
        {
            return Ok((Known { identity: read.identity, settled, ..before }, false));
        }
        let file = self.below(path);
        let text = std::str::from_utf8(&read.bytes).map_err(|_| problem("it is no text in UTF-8".to_owned()))?;
        let contents = Arc::new(Contents::of(&file, text, &word(read.identity)));
        Ok((Known { identity: read.identity, settled, digest, contents }, true))
    }

    /// The text of a file, if it is the one that was read.
    pub(super) fn text(&self, file: &str) -> Option<String> {
        let path = self.root.join(file);
        let known = self.known.get(&path)?;
        let read = self.trust.read(&path, known.identity.size).ok()?;
        let is_same = <[u8; 32]>::from(Sha256::digest(&*read.bytes)) == known.digest;
        is_same.then(|| String::from_utf8_lossy(&read.bytes).into_owned())
    }

    /// Alike on every system.
    fn below(&self, path: &Path) -> String {
        let names = path.strip_prefix(&self.root).unwrap_or(path).iter();
        names.map(|name| name.to_string_lossy()).collect::<Vec<_>>().join("/")
    }
}

/// Another one whenever the file may be another. It says nothing of what is in it: a status may have it.
pub(in crate::cluster::standalone) fn word(identity: FileIdentity) -> String {
    let FileIdentity { device, inode, size, modified, changed } = identity;
    let digest = Sha256::digest(format!("{device}/{inode}/{size}/{modified}/{changed}"));
    format!("file-{}", hex::encode(&digest[..8]))
}

fn is_settled(identity: FileIdentity, now: SystemTime) -> bool {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let last = u128::try_from(identity.modified.max(identity.changed)).unwrap_or_default();
    now > last.saturating_add(SETTLED.as_nanos())
}

/// The names of files, before any is read.
#[derive(Default)]
struct Listing {
    files: Vec<PathBuf>,
    links: Vec<PathBuf>,
    names: usize,
}

impl Listing {
    fn of(root: &Path, trust: ManifestTrust) -> Result<Self, LookError> {
        let mut listing = Self::default();
        listing.add(root, trust, 0)?;
        listing.files.sort();
        Ok(listing)
    }

    fn add(&mut self, directory: &Path, trust: ManifestTrust, depth: usize) -> Result<(), LookError> {
        if depth > DEEPEST {
            return Err(LookError::TooDeep);
        }
        trust.check_directory(directory).map_err(LookError::Exposed)?;
        let failed = |error| LookError::Io(directory.to_owned(), error);
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            self.names += 1;
            // As `.git`
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let path = entry.path();
            let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                self.add(&path, trust, depth + 1)?;
            } else if kind.is_symlink() {
                self.links.push(path);
            } else if is_yaml && kind.is_file() {
                self.files.push(path);
            }
            if self.names > MOST_NAMES || self.files.len() > MOST_FILES {
                return Err(LookError::TooMany);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOURCE: &str = "apiVersion: kagiban.dev/v1alpha1\nkind: ManagedAgentCertificate\nmetadata: {name: a}\n";

    #[test]
    fn a_file_is_read_again_when_it_changes_and_one_that_cannot_be_read_is_named() {
        let root = tempfile::tempdir().expect("a directory");
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("deep/.git")).expect("directories");
        std::fs::write(at("deep/a.yaml"), RESOURCE).expect("a file");
        std::fs::write(at("deep/.git/b.yaml"), RESOURCE).expect("a file");
        std::fs::write(at("c.txt"), RESOURCE).expect("a file");
        let mut directory = Directory::new(root.path().to_owned(), ManifestTrust::Administrators);
        let look = directory.look().expect("it can be seen");
        assert!(look.changed);
        assert_eq!(look.files.keys().collect::<Vec<_>>(), ["deep/a.yaml"]);
        assert!(!directory.look().expect("it can be seen").changed);
        std::fs::write(at("deep/a.yaml"), "a: [").expect("a file");
        let look = directory.look().expect("it can be seen");
        assert!(look.changed && look.files["deep/a.yaml"].problems.len() == 1);
        assert!(directory.text("deep/a.yaml").is_some_and(|text| text == "a: ["));
        std::fs::write(at("deep/a.yaml"), [0xff]).expect("a file");
        let look = directory.look().expect("it can be seen");
        assert_eq!((look.changed, look.unread.len(), look.files.len()), (true, 1, 0));
        assert!(!directory.look().expect("it can be seen").changed, "told once");
        std::fs::remove_file(at("deep/a.yaml")).expect("it is there");
        assert!(directory.look().expect("it can be seen").changed);
        std::fs::remove_dir_all(root.path()).expect("it is there");
        assert!(directory.look().is_err());
    }
}
