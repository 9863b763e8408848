//! A file that holds one password, community or passphrase in its first line. Every secret file of the configuration and of
//! the command line is read here, by one rule.

use std::path::{Path, PathBuf};

use kagiban_crds::MAX_PASSWORD_BYTES;
use secrecy::SecretString;

use crate::platform::{self, FileError, Links};

const MAX_BYTES: u64 = MAX_PASSWORD_BYTES as u64;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: not UTF-8; save the password file as UTF-8", path.display())]
    Encoding { path: PathBuf },
}

/// Reads the password: what it is in the file, [`kagiban_crds::password`] says.
///
/// # Errors
/// When the file cannot be read, or is no text.
pub(crate) fn read(path: &Path) -> Result<SecretString, PasswordFileError> {
    let file = platform::read_regular(path, MAX_BYTES)?;
    kagiban_crds::password(&file.bytes).ok_or_else(|| PasswordFileError::Encoding { path: path.to_owned() })
}

/// The same for a file that may lie in an agent's directory: a symbolic link is followed only where an administrator put it.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_held(path: &Path) -> Result<SecretString, PasswordFileError> {
    let file = platform::read_held(path, MAX_BYTES, Links::OfAdministrators)?;
    kagiban_crds::password(&file.bytes).ok_or_else(|| PasswordFileError::Encoding { path: path.to_owned() })
}

impl PasswordFileError {
    /// Stable, for metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::Encoding { .. } => "bad_encoding",
        }
    }
}
