//! A file that holds one password, community or passphrase in its first line. Every secret file of the configuration and of
//! the command line is read here, by one rule.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::platform::{self, FileError, Links};

/// One line of text; a larger file is the wrong file.
const MAX_BYTES: u64 = 4 * 1024;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: not UTF-8; save the password file as UTF-8", path.display())]
    Encoding { path: PathBuf },
}

/// Reads the password: the first line without its line end, `\n` or `\r\n`. Spaces are part of it. Further lines are not, so
/// that a file may say below its password what it belongs to.
///
/// # Errors
/// When the file cannot be read, or is no text.
pub(crate) fn read(path: &Path) -> Result<SecretString, PasswordFileError> {
    let file = platform::read_regular(path, MAX_BYTES)?;
    first_line(&file.bytes).ok_or_else(|| PasswordFileError::Encoding { path: path.to_owned() })
}

/// The same for a file that may lie in an agent's directory: a symbolic link is followed only where an administrator put it.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_held(path: &Path) -> Result<SecretString, PasswordFileError> {
    let file = platform::read_held(path, MAX_BYTES, Links::OfAdministrators)?;
    first_line(&file.bytes).ok_or_else(|| PasswordFileError::Encoding { path: path.to_owned() })
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

fn first_line(bytes: &[u8]) -> Option<SecretString> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = Zeroizing::new(std::str::from_utf8(line).ok()?.to_owned());
    Some(SecretString::from(text.as_str()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    /// Holds A18: the password is the first line without its line end, wherever a password file is read.
    #[test]
    fn the_password_is_the_first_line_without_its_line_end() {
        let read = |bytes: &[u8]| first_line(bytes).map(|s| s.expose_secret().to_owned());
        assert_eq!(read(b"secret\n").as_deref(), Some("secret"));
        assert_eq!(read(b"secret\r\n").as_deref(), Some("secret"));
        assert_eq!(read(b" secret \n\n").as_deref(), Some(" secret "));
        assert_eq!(read(b"secret\r\nof the store\n").as_deref(), Some("secret"));
        assert_eq!(read(b"a\rb").as_deref(), Some("a\rb"), "a lone carriage return ends no line");
        assert_eq!(read(b"").as_deref(), Some(""));
        assert_eq!(read(b"\nsecret").as_deref(), Some(""));
        assert_eq!(read(b"\xff"), None);
    }
}
