//! A file that holds one password.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::platform::{self, FileError};

/// One line; more is the wrong file.
const MAX_BYTES: u64 = 4 * 1024;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordFileError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: not UTF-8; save the password file as UTF-8", path.display())]
    Encoding { path: PathBuf },
}

/// Reads the password: the bytes without one trailing line end. What `echo` or an editor adds is not part of a password,
/// a space is.
///
/// # Errors
/// When the file cannot be read, or is no text.
pub(crate) fn read(path: &Path) -> Result<SecretString, PasswordFileError> {
    let file = platform::read_regular(path, MAX_BYTES)?;
    one_line(&file.bytes).ok_or_else(|| PasswordFileError::Encoding { path: path.to_owned() })
}

impl PasswordFileError {
    /// Stable, for metric labels.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::Encoding { .. } => "bad_encoding",
        }
    }
}

fn one_line(bytes: &[u8]) -> Option<SecretString> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = Zeroizing::new(std::str::from_utf8(line).ok()?.to_owned());
    Some(SecretString::from(text.as_str()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn one_line_end_is_not_part_of_the_password_and_everything_else_is() {
        let read = |bytes: &[u8]| one_line(bytes).map(|s| s.expose_secret().to_owned());
        assert_eq!(read(b"secret\n").as_deref(), Some("secret"));
        assert_eq!(read(b"secret\r\n").as_deref(), Some("secret"));
        assert_eq!(read(b" secret \n\n").as_deref(), Some(" secret \n"));
        assert_eq!(read(b"").as_deref(), Some(""));
        assert_eq!(read(b"\xff"), None);
    }
}
