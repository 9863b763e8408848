//! What is remembered of the attempts, in the state directory: a program that is started again begins no client anew.

use std::io;
use std::path::{Path, PathBuf};

use super::machine::Repairs;
use crate::checksum;
use crate::platform::{self, FileError, FileLock, Links, WriteError};

/// As many clients as are remembered, each with a name of the longest kind.
const MAX_BYTES: u64 = 2 * 1024 * 1024;

/// The file of one agent.
#[derive(Clone, Debug)]
pub(super) struct RecordFile(PathBuf);

/// Why it says nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {why}", path.display())]
    NotARecord { path: PathBuf, why: String },
}

impl RecordFile {
    pub(super) const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The lock beside it, for whoever reads it and writes it; none while another program holds that. It blocks.
    ///
    /// # Errors
    /// When the lock cannot be made, in its directory or at all.
    pub(super) fn lock(&self) -> io::Result<Option<FileLock>> {
        if let Some(directory) = self.0.parent() {
            platform::create_private_directory(directory).map_err(io::Error::other)?;
        }
        // A name of an agent has no dot.
        platform::lock(&self.0.with_extension("lock"))
    }

    /// Nothing where there is no file. It blocks.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub(super) fn read(&self) -> Result<Repairs, RecordError> {
        let file = match platform::read_held(&self.0, MAX_BYTES, Links::OfAdministrators) {
            Err(FileError::NotFound { .. }) => return Ok(Repairs::default()),
            read => read?,
        };
        let no_record =
            |why: &dyn std::fmt::Display| RecordError::NotARecord { path: self.0.clone(), why: why.to_string() };
        let bytes = checksum::verified(&file.bytes).map_err(|error| no_record(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| no_record(&error))
    }

    /// Moves what is no record out of the way of the next one, over the one before it. It blocks.
    ///
    /// # Errors
    /// When it is still where it was.
    pub(super) fn set_aside(&self) -> io::Result<PathBuf> {
        let aside = self.0.with_extension("unreadable");
        std::fs::rename(&self.0, &aside).map(|()| aside)
    }

    /// Durable when it returns. It blocks.
    ///
    /// # Errors
    /// The old file is whole then.
    pub(super) fn write(&self, repairs: &Repairs) -> Result<(), WriteError> {
        if let Some(directory) = self.0.parent() {
            platform::create_private_directory(directory)?;
        }
        platform::replace(&self.0, &checksum::encode_for(&self.0, repairs)?, None).map(drop)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::AttemptEnd;
    use super::*;

    #[test]
    fn what_was_tried_outlives_the_program_and_a_file_that_was_damaged_is_told() {
        let directory = tempfile::tempdir().expect("directory");
        let file = RecordFile::at(directory.path().join("state/clients/apex-one.json"));
        assert_eq!(file.read().expect("no file yet"), Repairs::default());
        let (mut repairs, client) = (Repairs::default(), "pc-01".parse().expect("a host name"));
        repairs.begin(&client, "2026-03-01T12:00:00Z".parse().expect("a time"));
        file.write(&repairs).expect("written");
        assert_eq!(file.read().expect("read"), repairs);
        repairs.end(&client, AttemptEnd::Failed, "2026-03-01T12:00:05Z".parse().expect("a time"));
        file.write(&repairs).expect("written over");
        assert_eq!(file.read().expect("read"), repairs);
        let damaged = std::fs::read_to_string(file.path()).expect("text").replace("pc-01", "pc-02");
        std::fs::write(file.path(), damaged).expect("written");
        let error = file.read().expect_err("another's checksum").to_string();
        assert!(error.contains("checksum") && error.contains("apex-one.json"), "{error}");
    }
}
