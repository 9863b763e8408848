//! One value of an INI file, read and set without touching any other byte.
//!
//! PowerChute's own file holds settings that nobody has documented, in whatever encoding its installer chose. So the
//! file stays bytes: line ends, comments, blank lines, a byte order mark and unknown sections come out as they went in.

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// Real files are under 20 KiB; past this it is some other file.
pub const MAX_INI_BYTES: usize = 1024 * 1024;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// An INI file's bytes; they may hold a password.
#[derive(Clone)]
pub struct Ini(Zeroizing<Vec<u8>>);

/// Why the file was not read or not changed. `reason()` is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IniError {
    #[error("the INI file has more than {MAX_INI_BYTES} bytes; is it the right file?")]
    TooLarge,
    #[error("the INI file is UTF-16 or binary, not text in one byte per character; save it as UTF-8")]
    NotText,
    #[error(
        "the password has a control character or a space at an end, which an INI value cannot hold; choose another"
    )]
    Unrepresentable,
    #[error("the password under this key is not UTF-8; save the INI file as UTF-8")]
    NotUtf8,
}

impl IniError {
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotText => "not_text",
            Self::Unrepresentable => "unrepresentable",
            Self::NotUtf8 => "not_utf8",
        }
    }
}

impl Ini {
    /// # Errors
    /// `TooLarge`, or `NotText` where a NUL byte says so.
    pub fn parse(bytes: &[u8]) -> Result<Self, IniError> {
        if bytes.len() > MAX_INI_BYTES {
            return Err(IniError::TooLarge);
        }
        if bytes.contains(&0) || bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
            return Err(IniError::NotText);
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first value of `key` in `section`, trimmed; none when either is missing. Names are compared exactly.
    ///
    /// # Errors
    /// `NotUtf8`.
    pub fn value(&self, section: &str, key: &str) -> Result<Option<SecretString>, IniError> {
        let Some(line) = self.assignments(section, key).next() else { return Ok(None) };
        Ok(Some(self.text(line)?).filter(|text| !text.is_empty()).map(SecretString::from))
    }

    /// Every value of `key` in `section`, in order; nobody has documented which of several an agent takes.
    ///
    /// # Errors
    /// `NotUtf8`.
    pub fn values(&self, section: &str, key: &str) -> Result<Vec<SecretString>, IniError> {
        let texts = self.assignments(section, key).map(|line| self.text(line));
        texts.filter(|text| *text != Ok("")).map(|text| text.map(SecretString::from)).collect()
    }

    fn text(&self, line: Assignment) -> Result<&str, IniError> {
        std::str::from_utf8(&self.0[line.value]).map_err(|_| IniError::NotUtf8)
    }

    /// The same file with `key` set: every assignment of it in `section` (so that no reader's choice among duplicates
    /// matters), or a new line at that section's head, or a new section at the end.
    ///
    /// # Errors
    /// `Unrepresentable`.
    pub fn with_value(&self, section: &str, key: &str, value: &SecretString) -> Result<Self, IniError> {
        let value = value.expose_secret();
        if value.is_empty() || value.trim() != value || value.chars().any(char::is_control) {
            return Err(IniError::Unrepresentable);
        }
        // Sized before it is filled: a growing Vec leaves copies of the password behind in freed memory.
        let assignments: Vec<_> = self.assignments(section, key).collect();
        let added = assignments.len().max(1) * value.len() + section.len() + key.len() + 16;
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.0.len() + added));
        let line_end: &[u8] = if self.0.windows(2).any(|w| w == b"\r\n") { b"\r\n" } else { b"\n" };

        if !assignments.is_empty() {
            let mut copied = 0;
            for line in assignments {
                bytes.extend_from_slice(&self.0[copied..line.value.start]);
                bytes.extend_from_slice(value.as_bytes());
                copied = line.value.end;
            }
            bytes.extend_from_slice(&self.0[copied..]);
            return Ok(Self(bytes));
        }
        let header = self.lines().find(|line| self.header(line) == Some(section.as_bytes()));
        let at = header.as_ref().map_or(self.0.len(), |line| line.end);
        let (before, after) = self.0.split_at(at);
        bytes.extend_from_slice(before);
        if before.last().is_some_and(|b| *b != b'\n') && before != BOM {
            bytes.extend_from_slice(line_end);
        }
        if header.is_none() {
            for part in [b"[", section.as_bytes(), b"]", line_end] {
                bytes.extend_from_slice(part);
            }
        }
        for part in [key.as_bytes(), b" = ", value.as_bytes(), line_end] {
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(after);
        Ok(Self(bytes))
    }

    fn assignments<'a>(&'a self, section: &'a str, key: &'a str) -> impl Iterator<Item = Assignment> + 'a {
        let mut inside = false;
        self.lines().filter_map(move |line| {
            if let Some(name) = self.header(&line) {
                inside = name == section.as_bytes();
                return None;
            }
            if !inside {
                return None;
            }
            let text = &self.0[line.start..line.end];
            let equals = text.iter().position(|b| *b == b'=')?;
            if text[..equals].trim_ascii() != key.as_bytes() {
                return None;
            }
            let after = &text[equals + 1..];
            let leading = after.len() - after.trim_ascii_start().len();
            let start = line.start + equals + 1 + leading.min(after.iter().take_while(|b| is_blank(**b)).count());
            Some(Assignment { value: start..start + self.0[start..line.end].trim_ascii_end().len() })
        })
    }

    /// The name in a line such as `[Name]`.
    fn header(&self, line: &Line) -> Option<&[u8]> {
        let text = self.0[line.start..line.end].trim_ascii();
        let text = if line.start == 0 { text.strip_prefix(BOM).unwrap_or(text) } else { text };
        Some(text.strip_prefix(b"[")?.strip_suffix(b"]")?.trim_ascii())
    }

    /// Lines with their line ends.
    fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        let mut start = 0;
        std::iter::from_fn(move || {
            let rest = self.0.get(start..).filter(|rest| !rest.is_empty())?;
            let length = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |n| n + 1);
            let line = Line { start, end: start + length };
            start = line.end;
            Some(line)
        })
    }
}

impl std::fmt::Debug for Ini {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ini({} bytes)", self.0.len())
    }
}

struct Line {
    start: usize,
    end: usize,
}

struct Assignment {
    value: std::ops::Range<usize>,
}

const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(text: &str, value: &str) -> String {
        let ini = Ini::parse(text.as_bytes()).expect("text");
        let ini = ini.with_value("Credentials", "KS_Access_Data", &value.into()).expect("representable");
        String::from_utf8(ini.bytes().to_vec()).expect("UTF-8")
    }

    fn value(text: &str) -> Option<String> {
        let ini = Ini::parse(text.as_bytes()).expect("text");
        ini.value("Credentials", "KS_Access_Data").expect("UTF-8").map(|v| v.expose_secret().to_owned())
    }

    #[test]
    fn only_the_value_changes_and_all_else_stays_as_it_was() {
        let before = "\u{feff}; made by setup\r\n[Other]\r\nKS_Access_Data = other\r\n\r\n[Credentials]\r\nuser=x\r\n\tKS_Access_Data =  old \r\n[End]\r\n";
        assert_eq!(set(before, "secret1"), before.replace("=  old", "=  secret1"));
    }

    #[test]
    fn a_missing_key_goes_to_the_head_of_its_section() {
        assert_eq!(
            set("[Credentials]\nuser=x\n[B]\n", "secret1"),
            "[Credentials]\nKS_Access_Data = secret1\nuser=x\n[B]\n"
        );
        assert_eq!(set("[Credentials]", "secret1"), "[Credentials]\nKS_Access_Data = secret1\n");
    }

    #[test]
    fn a_missing_section_is_appended() {
        assert_eq!(set("[A]\r\nx=1", "secret1"), "[A]\r\nx=1\r\n[Credentials]\r\nKS_Access_Data = secret1\r\n");
        assert_eq!(set("", "secret1"), "[Credentials]\nKS_Access_Data = secret1\n");
        assert_eq!(set("\u{feff}", "secret1"), "\u{feff}[Credentials]\nKS_Access_Data = secret1\n");
    }

    #[test]
    fn every_duplicate_is_set_so_that_no_readers_choice_matters() {
        let text = "[Credentials]\nKS_Access_Data=a\nKS_Access_Data=\n[B]\n[Credentials]\nKS_Access_Data=c";
        let told = Ini::parse(text.as_bytes()).expect("text").values("Credentials", "KS_Access_Data").expect("UTF-8");
        assert_eq!(told.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(set(text, "new"), text.replace("=a", "=new").replace("=\n", "=new\n").replace("=c", "=new"));
    }

    #[test]
    fn a_comment_or_another_section_is_no_value() {
        assert_eq!(value("[Credentials]\n;KS_Access_Data = a\n[B]\nKS_Access_Data = b\n"), None);
        assert_eq!(value("KS_Access_Data = a\n"), None);
        assert_eq!(value("[Credentials]\nKS_Access_Data =\n"), None);
        assert_eq!(value("[Credentials]\nKS_Access_Data = a = b \n"), Some("a = b".into()));
    }

    #[test]
    fn what_an_ini_cannot_hold_is_refused() {
        let ini = Ini::parse(b"[Credentials]\n").expect("text");
        for value in ["", " a", "a ", "a\nb", "a\rb", "a\0"] {
            let set = ini.with_value("Credentials", "KS_Access_Data", &value.into());
            assert_eq!(set.err(), Some(IniError::Unrepresentable), "{value:?}");
        }
        assert_eq!(Ini::parse(&vec![b'a'; MAX_INI_BYTES + 1]).err(), Some(IniError::TooLarge));
        assert_eq!(Ini::parse("[\0C\0]\0".as_bytes()).err(), Some(IniError::NotText));
    }

    #[test]
    fn a_password_is_never_printed() {
        let ini = Ini::parse(b"[Credentials]\nKS_Access_Data=canary").expect("text");
        assert!(!format!("{ini:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn what_was_set_is_read_back_and_set_again_changes_nothing(
            text in "(\u{feff})?([a-z=; \\[\\]]{0,12}|\\[Credentials\\]|KS_Access_Data ?= ?[a-z]{0,4}|\r?\n){0,24}",
            password in "[!-~]{1,20}",
        ) {
            let once = set(&text, &password);
            prop_assert_eq!(value(&once), Some(password.clone()));
            prop_assert_eq!(set(&once, &password), once);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(ini) = Ini::parse(&bytes) {
                let _ = ini.value("Credentials", "KS_Access_Data");
                let set = ini.with_value("Credentials", "KS_Access_Data", &"secret1".into()).expect("representable");
                let read = set.value("Credentials", "KS_Access_Data").expect("UTF-8").expect("set");
                prop_assert_eq!(read.expose_secret(), "secret1");
            }
        }
    }
}
