//! What the password is in a file, or a Secret's value, that holds one: one rule for both sides.

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

/// A password, community or passphrase with what may stand below it; anything larger is the wrong file.
pub const MAX_PASSWORD_BYTES: usize = 4 * 1024;

/// The first line without its line end, `\n` or `\r\n`. Spaces are part of it. Further lines are not, so that a file may say
/// below its password what it belongs to.
///
/// `None` where that line is not UTF-8, or the whole is larger than [`MAX_PASSWORD_BYTES`].
pub fn password(bytes: &[u8]) -> Option<SecretString> {
    if bytes.len() > MAX_PASSWORD_BYTES {
        return None;
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = Zeroizing::new(std::str::from_utf8(line).ok()?.to_owned());
    Some(SecretString::from(text.as_str()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    /// Holds A18: the password is the first line without its line end, wherever one is read.
    #[test]
    fn the_password_is_the_first_line_without_its_line_end() {
        let read = |bytes: &[u8]| password(bytes).map(|s| s.expose_secret().to_owned());
        assert_eq!(read(b"secret\n").as_deref(), Some("secret"));
        assert_eq!(read(b"secret\r\n").as_deref(), Some("secret"));
        assert_eq!(read(b" secret \n\n").as_deref(), Some(" secret "));
        assert_eq!(read(b"secret\r\nof the store\n").as_deref(), Some("secret"));
        assert_eq!(read(b"a\rb").as_deref(), Some("a\rb"), "a lone carriage return ends no line");
        assert_eq!(read(b"").as_deref(), Some(""));
        assert_eq!(read(b"\nsecret").as_deref(), Some(""));
        assert_eq!(read(b"\xff"), None);
        assert_eq!(read(&[b'a'; MAX_PASSWORD_BYTES + 1]), None);
    }
}
