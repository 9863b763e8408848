//! Something that is wrong with an object, as the API server writes it.

use super::FieldError;

/// What is wrong, and whether the rules can still be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) error: FieldError,
    hides_rules: bool,
}

impl Violation {
    pub(super) fn new(path: &str, message: String) -> Self {
        Self { error: FieldError::new(path, message), hides_rules: false }
    }

    /// The API server asks no rule about an object that lacks something, has something of another type, or too much of it.
    pub(super) fn hiding(path: &str, message: String) -> Self {
        Self { hides_rules: true, ..Self::new(path, message) }
    }

    pub(super) const fn hides_rules(&self) -> bool {
        self.hides_rules
    }
}

pub(super) fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// As the API server quotes, which is written in Go.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

fn escaped(c: char) -> String {
    match c {
        '"' | '\\' => format!("\\{c}"),
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\u{0}'..='\u{1f}' | '\u{7f}' => format!("\\x{:02x}", u32::from(c)),
        // What can be seen is written as it is
        c if c == '\'' || c.escape_debug().count() == 1 => c.to_string(),
        c if u32::from(c) <= 0xffff => format!("\\u{:04x}", u32::from(c)),
        c => format!("\\U{:08x}", u32::from(c)),
    }
}
