//! What keeps a file from being replaced, and what one gets in a place where there is none.

use std::fs::File;
use std::os::windows::io::AsHandle;
use std::path::Path;

use windows_sys::Wdk::Storage::FileSystem::{FILE_DIRECTORY_FILE, FILE_OPEN};
use windows_sys::Win32::Storage::FileSystem::{DELETE, FILE_ADD_FILE, FILE_ATTRIBUTE_READONLY};

use super::attributes::Attributes;
use super::held::{HeldEntry, access_of};
use super::names::{self, SHARED, wide};
use super::read::{Metadata, identity_of_directory};
use super::sys::{self, How};
use crate::file::{DirectoryIdentity, DirectoryOwner, WriteError};

impl HeldEntry {
    /// What a file here would get where there is none: private to the directory's owner, since a service could not read a file of
    /// ours.
    pub(crate) fn attributes_of_a_new_file(&self) -> Result<Attributes, WriteError> {
        let directory = access_of(&self.directory).map_err(self.failed("looking at its directory"))?;
        Ok(Attributes::private_to(&directory.owner))
    }

    pub(crate) fn directory_identity(&self) -> Result<DirectoryIdentity, WriteError> {
        let look = sys::look(self.directory.as_handle()).map_err(self.failed("looking at its directory"))?;
        Ok(identity_of_directory(&look))
    }

    pub(crate) fn directory_owner(&self) -> Result<DirectoryOwner, WriteError> {
        let directory = access_of(&self.directory).map_err(self.failed("looking at its directory"))?;
        Ok(DirectoryOwner(directory.owner))
    }

    /// Opened as for a new file, it says whether we may make one.
    pub(crate) fn check_directory(&self) -> Result<(), WriteError> {
        let parent = self.path.parent().map(Path::to_owned).unwrap_or_default();
        let how = How { access: FILE_ADD_FILE, share: SHARED, disposition: FILE_OPEN, options: FILE_DIRECTORY_FILE };
        match sys::open(Some(self.directory.as_handle()), &[], how, None) {
            Err(error) if !names::is_busy(&error) => {
                Err(WriteError::from_io(&parent, "asking whether we may write in it", error))
            }
            _ => Ok(()),
        }
    }

    /// A program that has it open and does not share its deletion is the agent, which is stopped before.
    pub(crate) fn check_file(&self, _: &File, Metadata(look): &Metadata) -> Result<(), WriteError> {
        if look.attributes & FILE_ATTRIBUTE_READONLY != 0 {
            return Err(WriteError::ReadOnlyFile { path: self.path.clone() });
        }
        let how = How { access: DELETE, share: SHARED, disposition: FILE_OPEN, options: 0 };
        let opened = wide(&self.name).and_then(|name| sys::open(Some(self.directory.as_handle()), &name, how, None));
        match opened {
            Err(error) if !names::is_busy(&error) => Err(self.failed("asking whether we may replace it")(error)),
            _ => Ok(()),
        }
    }
}
