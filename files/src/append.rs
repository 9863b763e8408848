//! A file that is written to for long, at its end, and given another name when it is full: in a directory that is held open from the
//! beginning, so that nobody who moves a directory on the way to it has anything written or renamed elsewhere.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;

use crate::file::{FileError, Links, WriteError};
use crate::system::names;
use crate::system::{Attributes, HeldEntry};

/// Where such a file lies.
#[derive(Debug)]
pub struct AppendedFile(HeldEntry);

impl AppendedFile {
    /// # Errors
    /// When there is no such directory.
    pub fn find(path: &Path) -> Result<Self, FileError> {
        HeldEntry::find(path, Links::Refuse).map(Self)
    }

    /// To write at its end. One that is not there is made, private from the beginning.
    ///
    /// # Errors
    /// See [`WriteError`]; what is no regular file is refused.
    pub fn open(&self) -> Result<File, WriteError> {
        let opened = match self.0.open_to_append()? {
            None => {
                self.0.write_new(&[], &Attributes::ours())?;
                self.0.open_to_append()?
            }
            opened => opened,
        };
        let (file, metadata) = opened.ok_or_else(|| FileError::NotFound { path: self.0.path.clone() })?;
        self.0.check_own(&metadata)?;
        Ok(file)
    }

    /// What has its name followed by `suffix` has that followed by `to` from then on, and what had that is gone. It is not waited for a
    /// program that has one of them open.
    ///
    /// # Errors
    /// When it cannot be renamed; that nothing has the name is one.
    pub fn rename(&self, suffix: &str, to: &str) -> io::Result<()> {
        names::rename_at_once(&self.0.directory, &self.followed_by(suffix), &self.followed_by(to))
    }

    /// Whether something has its name followed by `suffix`.
    ///
    /// # Errors
    /// When that cannot be looked at.
    pub fn has(&self, suffix: &str) -> io::Result<bool> {
        match names::identity(&self.0.directory, &self.followed_by(suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            looked_at => looked_at.map(|_| true),
        }
    }

    fn followed_by(&self, suffix: &str) -> OsString {
        let mut name = self.0.name.clone();
        name.push(suffix);
        name
    }
}
