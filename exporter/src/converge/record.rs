//! What is remembered of the attempts, in the state directory: a program that is started again begins no client anew.

use std::io;
use std::path::{Path, PathBuf};

use super::machine::Repairs;
use crate::checksum;
use crate::platform::{self, FileError, Links, WriteError};

/// As many clients as are remembered, each with a name of the longest kind.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

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
    use super::super::client::ClientHost;
    use super::super::machine::{AttemptEnd, Listing, MOST_REMEMBERED};
    use super::*;

    #[test]
    fn as_many_clients_as_are_remembered_fit_each_with_a_name_of_the_longest_kind() {
        let directory = tempfile::tempdir().expect("directory");
        let file = RecordFile::at(directory.path().join("apex-one.json"));
        let at = |second: i64| jiff::Timestamp::new(1_772_366_400 + second, 123_456_789).expect("a time");
        let mut repairs = Repairs::default();
        repairs.note_leaf(Some(kagiban_crds::LeafSha256::new([7; 32])));
        for number in 0..MOST_REMEMBERED {
            let client: ClientHost = format!("{number:04}{}", "a".repeat(249)).parse().expect("a host name");
            repairs.begin(&client, at(0));
            repairs.end(&client, AttemptEnd::TimedOut, at(1));
        }
        for second in [2, 7200] {
            let nobody = Listing { begun: at(second), names: [].into(), is_complete: true };
            repairs.heed(&nobody, true, at(second));
        }
        file.write(&repairs).expect("written");
        assert_eq!(file.read().expect("read"), repairs);
    }

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
