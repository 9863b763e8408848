//! What would be replaced, and whether it can be: asked before a certificate is issued and long before a service is
//! stopped.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::durable::temporary_beside;
use crate::file::{DirectoryIdentity, DirectoryOwner, Links, WriteError};
use crate::held::HeldFile;
use crate::system::{Attributes, HeldEntry, Metadata};

/// What lies at a path, and what a file in its place would get.
#[derive(Debug)]
pub struct Surveyed {
    pub directory: DirectoryIdentity,
    pub directory_owner: DirectoryOwner,
    /// None when there is no file.
    pub file: Option<HeldFile>,
    /// The file's; without one, private to the directory's owner: a service could not read a file of ours.
    pub attributes: Attributes,
}

/// Looks at the file at `path` and at all that would keep another from taking its place.
///
/// # Errors
/// See [`crate::FileError`] and [`WriteError`].
pub fn survey(path: &Path, limit: u64) -> Result<Surveyed, WriteError> {
    let place = HeldEntry::find(path, Links::Refuse)?;
    let opened = place.open_replaceable()?;
    place.check_name_beside()?;
    let (directory, directory_owner) = (place.directory_identity()?, place.directory_owner()?);
    let Some((file, metadata)) = opened else {
        return Ok(Surveyed { directory, directory_owner, file: None, attributes: place.attributes_of_a_new_file()? });
    };
    place.check_own(&metadata)?;
    let held = place.read(file, &metadata, limit)?;
    Ok(Surveyed { directory, directory_owner, attributes: held.attributes.clone(), file: Some(held) })
}

/// The same as far as only the taking of a place is asked for: whether another file can take that of the one at `path`, or
/// the name, where there is none.
///
/// # Errors
/// See [`crate::FileError`] and [`WriteError`].
pub fn check_replaceable(path: &Path) -> Result<(), WriteError> {
    HeldEntry::find(path, Links::Refuse)?.open_replaceable().map(|_| ())
}

impl HeldEntry {
    /// What is to take its place waits beside it, under a longer name.
    fn check_name_beside(&self) -> Result<(), WriteError> {
        let beside = temporary_beside(&self.path)?;
        let found = self.open_at(beside.file_name().unwrap_or_default());
        found.map(|_| ()).map_err(|error| self.failed("looking for a longer name beside it")(io::Error::other(error)))
    }

    /// What would be replaced; that nothing is there is no obstacle.
    fn open_replaceable(&self) -> Result<Option<(File, Metadata)>, WriteError> {
        self.check_directory()?;
        let opened = self.open_file()?;
        if let Some((file, metadata)) = &opened {
            self.check_file(file, metadata)?;
        }
        Ok(opened)
    }
}
