//! Files that were written beside the ones they are to replace.

use std::path::{Path, PathBuf};

use super::error::RestoreError;
use crate::platform::{self, Attributes, FileError, HeldFile, Links};
use crate::rotation::digest::Digest;
use crate::rotation::journal::FileSwap;
use crate::rotation::push::survey::MAX_STORE_BYTES;

/// A file beside the one that it is to replace.
pub(super) struct ReplacementFile {
    pub(super) path: PathBuf,
    pub(super) attributes: Attributes,
    pub(super) contents: Digest,
    /// It was written just now.
    pub(super) is_new: bool,
}

pub(super) fn write_beside(file: &FileSwap, bytes: &[u8]) -> Result<ReplacementFile, RestoreError> {
    let path = platform::temporary_beside(&file.path)?;
    let attributes = file.attributes.clone();
    platform::write_unsynced(&path, bytes, Some(&attributes))?;
    Ok(ReplacementFile { path, attributes, contents: Digest::of(bytes), is_new: true })
}

/// A file beside its place with these contents, open to the same accounts, or to more until its permission bits are narrowed.
pub(super) fn replacement_at(path: &Path, contents: Digest, attributes: &Attributes) -> Option<ReplacementFile> {
    let held = platform::read_held(path, MAX_STORE_BYTES, Links::Refuse).ok()?;
    let is_it = Digest::of(&held.bytes) == contents && held.attributes.narrows_to(attributes);
    is_it.then(|| ReplacementFile { path: path.to_owned(), attributes: held.attributes, contents, is_new: false })
}

pub(super) fn present(file: &FileSwap) -> Result<Option<HeldFile>, FileError> {
    match platform::read_held(&file.path, MAX_STORE_BYTES, Links::Refuse) {
        Ok(present) => Ok(Some(present)),
        Err(FileError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn lies_at(path: &Path, digest: Digest) -> bool {
    platform::read_held(path, MAX_STORE_BYTES, Links::Refuse).is_ok_and(|held| Digest::of(&held.bytes) == digest)
}
