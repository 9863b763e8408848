//! Secrets, by name and one at a time: from manifests, or from files of their own that nobody else may read.
//!
//! `<directory>/<namespace>/<name>/<key>` is a value. What the Secret says of itself, for what and for which hosts it may be used,
//! stands beside its values in `.secret.yaml`: the manifest of a Secret without values.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kagiban_crds::SecretName;
use kagiban_files::{FileError, Links, read_held};
use kagiban_process::threads::POOL;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::manifests::{Key, claims_of, word};
use crate::cli::namespace;
use crate::cluster::error::CALL_DEADLINE;
use crate::cluster::{ClusterError, SecretClaims, SecretData};
use crate::mends::make_private;

/// What a Secret says of itself.
const CLAIMS: &str = ".secret.yaml";
/// Of one Secret; the API server takes no more.
const MOST_BYTES: u64 = 1 << 20;
const MOST_KEYS: usize = 64;
/// Secrets that are read from files at once. Each may have a mebibyte, and each takes a thread while a disk hangs.
const MAX_READS: usize = 8;

/// Those of the manifests, by their keys, each with the file that it is from.
type OfManifests = BTreeMap<Key, (String, SecretData)>;

pub(super) struct Secrets {
    of_manifests: Mutex<OfManifests>,
    directory: Option<PathBuf>,
    reads: Semaphore,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// Why there is none. Nothing of any value is in it.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("there is none")]
    NotThere,
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path}: {1}", path = .0.display())]
    Io(PathBuf, io::Error),
    #[error("{}: others than its owner may read or write it, so it is not used: {}", .0.display(), make_private())]
    Open(PathBuf),
    #[error("{path}: {1}", path = .0.display())]
    Wrong(PathBuf, String),
}

impl Secrets {
    pub(super) fn new(directory: Option<PathBuf>) -> Self {
        Self { of_manifests: Mutex::default(), directory, reads: Semaphore::new(MAX_READS) }
    }

    /// What the manifests say now. Of a file that is not taken as it stands, what it said before stays; and one whose values are as
    /// they were keeps the word for when they were written.
    pub(super) fn follow(&self, mut found: OfManifests, is_unclear: impl Fn(&str) -> bool) {
        let mut kept = self.of_manifests.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, (file, before)) in std::mem::take(&mut *kept) {
            match found.get_mut(&key) {
                Some((_, now)) => *now = now.clone().written_as(&before),
                None if is_unclear(&file) => drop(found.insert(key, (file, before))),
                None => {}
            }
        }
        *kept = found;
    }

    pub(super) async fn read(&self, within: &str, name: &str) -> Result<SecretData, ClusterError> {
        let (verb, resource) = ("get", "secrets");
        let unreadable = |message: String| ClusterError::Unreadable { verb, resource, message };
        // Both are names of directories
        let within = namespace(within).map_err(unreadable)?;
        let name: SecretName = name.parse().map_err(|error: kagiban_crds::WordError| unreadable(error.to_string()))?;
        let of_manifest = {
            let kept = self.of_manifests.lock().unwrap_or_else(PoisonError::into_inner);
            kept.get(&(within.clone(), name.to_string())).cloned()
        };
        let of_files = match &self.directory {
            Some(directory) => {
                let directory = directory.join(&within).join(name.as_str());
                let work = async {
                    let place = self.reads.acquire().await;
                    let found = POOL.start(move || of_files(&directory, &name)).await;
                    drop(place);
                    found
                };
                let read = timeout(CALL_DEADLINE, work).await.map_err(|_| ClusterError::Timeout { verb, resource })?;
                let lost = |error: kagiban_process::threads::Lost| error.to_string();
                read.map_err(|error| ClusterError::Transport { verb, resource, message: lost(error) })?
            }
            None => Err(ReadError::NotThere),
        };
        match (of_manifest, of_files) {
            (None, Ok(secret)) | (Some((_, secret)), Err(ReadError::NotThere)) => Ok(secret),
            (None, Err(ReadError::NotThere)) => Err(ClusterError::NotFound { verb, resource }),
            (Some((file, _)), _) => {
                Err(unreadable(format!("it stands in {file} and below --secrets too: leave one of them")))
            }
            (None, Err(error)) => Err(unreadable(error.to_string())),
        }
    }
}

fn of_files(directory: &Path, name: &SecretName) -> Result<SecretData, ReadError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::NotThere,
        _ => ReadError::Io(directory.to_owned(), error),
    };
    let wrong = |what: &str| ReadError::Wrong(directory.to_owned(), what.to_owned());
    let mut keys = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let key = entry.map_err(failed)?.file_name();
        let key = key.to_str().ok_or_else(|| wrong("the name of a value has letters, digits, '-', '_' and '.'"))?;
        if !key.starts_with('.') {
            let is_sound = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            keys.push(
                is_sound
                    .then(|| key.to_owned())
                    .ok_or_else(|| wrong("the name of a value has letters, digits, '-', '_' and '.'"))?,
            );
        }
        if keys.len() > MOST_KEYS {
            return Err(wrong("there are more than 64 values: a Secret of the operator has three"));
        }
    }
    keys.sort();
    let (mut values, mut left, mut identities) = (BTreeMap::new(), MOST_BYTES, Sha256::new());
    for key in keys {
        let (bytes, identity) = private(&directory.join(&key), left)?;
        left = left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        identities.update(format!("{key}={identity}\n"));
        values.insert(key, bytes);
    }
    let claims = match private(&directory.join(CLAIMS), MOST_BYTES) {
        Ok((text, _)) => {
            let wrong = |what: String| ReadError::Wrong(directory.join(CLAIMS), what);
            let text = std::str::from_utf8(&text).map_err(|_| wrong("it is no text in UTF-8".to_owned()))?;
            claims_of(name, text).map_err(wrong)?
        }
        // It may be used for nothing, which is told where it would be used
        Err(ReadError::File(FileError::NotFound { .. })) => {
            SecretClaims { name: name.to_string(), kind: "Opaque".to_owned(), ..SecretClaims::default() }
        }
        Err(error) => return Err(error),
    };
    let written = format!("files-{}", hex::encode(&identities.finalize()[..8]));
    Ok(SecretData::new(values, claims, written))
}

/// The bytes of a file that only its owner may read, and a word that is another one when it is another file.
fn private(path: &Path, most: u64) -> Result<(Vec<u8>, String), ReadError> {
    let held = read_held(path, most, Links::Refuse)?;
    if held.attributes.lets_others_in() {
        return Err(ReadError::Open(path.to_owned()));
    }
    Ok((held.bytes.to_vec(), word(held.identity)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(value: &str, written: &str) -> SecretData {
        let claims = SecretClaims { name: "a".to_owned(), ..SecretClaims::default() };
        SecretData::new([("password".to_owned(), value.as_bytes().to_vec())], claims, written.to_owned())
    }

    fn found(file: &str, secret: SecretData) -> OfManifests {
        [(("fleet".to_owned(), "a".to_owned()), (file.to_owned(), secret))].into()
    }

    #[tokio::test]
    async fn a_secret_stays_while_its_file_cannot_be_read_and_its_word_follows_its_values() {
        let secrets = Secrets::new(None);
        let written = async || secrets.read("fleet", "a").await.map(|secret| secret.written().to_owned());
        secrets.follow(found("a.yaml", secret("x", "1")), |_| false);
        secrets.follow(found("a.yaml", secret("x", "2")), |_| false);
        assert_eq!(written().await.ok().as_deref(), Some("1"));
        secrets.follow(OfManifests::new(), |file| file == "a.yaml");
        assert_eq!(written().await.ok().as_deref(), Some("1"));
        secrets.follow(found("a.yaml", secret("y", "3")), |_| false);
        assert_eq!(written().await.ok().as_deref(), Some("3"));
        secrets.follow(OfManifests::new(), |_| false);
        assert!(matches!(written().await, Err(ClusterError::NotFound { .. })));
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_is_no_name() {
        let secrets = Secrets::new(Some("/".into()));
        for (within, name) in [("..", "etc"), ("fleet", ".."), ("a/b", "c"), ("fleet", "../x"), ("", "a")] {
            let error = secrets.read(within, name).await.expect_err(name);
            assert!(matches!(error, ClusterError::Unreadable { .. }), "{error}");
        }
    }
}
