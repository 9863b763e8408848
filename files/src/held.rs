//! Reading a file of an agent, whose directory may belong to an attacker: the way to its directory is walked and held,
//! the file is opened once without following links, and its kind, names, owner and size are judged on the descriptor that
//! its bytes are read from.

use std::fs::File;
use std::path::Path;

use zeroize::Zeroizing;

use crate::file::{FileError, FileIdentity, Links};
use crate::read::read_at_most;
use crate::system::{self, Attributes, HeldEntry, Metadata};

/// Reads a regular file of at most `limit` bytes with its attributes and its identity.
///
/// # Errors
/// See [`FileError`]. A file with a second name is refused: what is written to it would be written to the other too, and
/// whoever gave it the second name may have no right to read it. So is a file whose owner is neither an administrator
/// nor the owner of its directory, unless only administrators may write in that directory.
pub fn read_held(path: &Path, limit: u64, links: Links) -> Result<HeldFile, FileError> {
    let place = HeldEntry::find(path, links)?;
    let (file, metadata) = place.open_file()?.ok_or_else(|| FileError::NotFound { path: path.to_owned() })?;
    place.check_own(&metadata)?;
    place.read(file, &metadata, limit)
}

/// A regular file's bytes, who may do what with it, and which file it was: all of one descriptor.
pub struct HeldFile {
    /// May hold a private key.
    pub bytes: Zeroizing<Vec<u8>>,
    pub attributes: Attributes,
    pub identity: FileIdentity,
}

impl std::fmt::Debug for HeldFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldFile").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl HeldEntry {
    pub(crate) fn open_file(&self) -> Result<Option<(File, Metadata)>, FileError> {
        self.open_at(&self.name)
    }

    /// Whether a file has this name alone.
    pub(crate) fn check_own(&self, metadata: &Metadata) -> Result<(), FileError> {
        match system::links(metadata) {
            1 => Ok(()),
            links => Err(FileError::HardLinked { path: self.path.clone(), links }),
        }
    }

    pub(crate) fn read(&self, file: File, metadata: &Metadata, limit: u64) -> Result<HeldFile, FileError> {
        self.check_owner(&file, metadata)?;
        let attributes = Attributes::of(&file, metadata).map_err(|error| FileError::from_io(&self.path, error))?;
        let bytes = read_at_most(&self.path, file, metadata.len(), limit)?;
        Ok(HeldFile { bytes, attributes, identity: system::identity(metadata) })
    }
}
