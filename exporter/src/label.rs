//! A text from outside, made fit for a label value: bounded, printable, and still telling two texts apart.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// Prometheus itself takes longer values, its users' screens do not; paths of this length are still whole.
const LONGEST: usize = 512;
/// Enough of the digest that two cut texts of one host do not meet.
const MARK_BYTES: usize = 4;

/// Texts that are kept for [`Label::shared`]; they stay. A host has a handful of issuers.
const MOST_SHARED: usize = 256;

/// A label value: at most 512 bytes without control and direction characters. What was cut or replaced is marked with a digest of
/// the whole, so that two long texts with one beginning stay two.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Arc<str>);

impl Label {
    pub fn new(text: &str) -> Self {
        if text.len() <= LONGEST && !text.chars().any(is_deceptive) {
            return Self(text.into());
        }
        Self::marked(text, text.as_bytes())
    }

    /// The same, kept once for all who have it, as long as there is room: thousands of certificates share their issuer and
    /// their algorithms.
    pub fn shared(text: &str) -> Self {
        static SHARED: Mutex<BTreeSet<Label>> = Mutex::new(BTreeSet::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(label) = shared.get(text) {
            return label.clone();
        }
        let label = Self::new(text);
        // What was cut or replaced is not found by its text again.
        if shared.len() < MOST_SHARED && label.as_str() == text {
            shared.insert(label.clone());
        }
        label
    }

    /// A path that is not UTF-8 is shown as well as can be.
    pub fn from_path(path: &Path) -> Self {
        match path.to_string_lossy() {
            Cow::Borrowed(text) => Self::new(text),
            Cow::Owned(shown) => Self::marked(&shown, path.as_os_str().as_encoded_bytes()),
        }
    }

    fn marked(shown: &str, whole: &[u8]) -> Self {
        let mark = hex::encode(&Sha256::digest(whole)[..MARK_BYTES]);
        let end = shown.floor_char_boundary(LONGEST - mark.len() - 1);
        let printable = |c: char| if is_deceptive(c) { '\u{fffd}' } else { c };
        let kept: String = shown[..end].chars().map(printable).collect();
        // A replacement character is three bytes where a control character was one.
        let kept = &kept[..kept.floor_char_boundary(LONGEST - mark.len() - 1)];
        Self(format!("{kept}~{mark}").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters, and those that break the line or reorder the text around them: with either, a text can show
/// something else than it says.
pub fn is_deceptive(c: char) -> bool {
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || reorders
}

/// Two labels are ordered as their texts are.
impl Borrow<str> for Label {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_text_stays_as_it_is() {
        assert_eq!(Label::new("CN=ups-01, O=\"鍵番\"").as_str(), "CN=ups-01, O=\"鍵番\"");
    }

    #[test]
    fn a_shared_label_is_the_label_of_its_text() {
        for text in ["", "RSA", "RSA", "a\nb", &"x".repeat(900)] {
            assert_eq!(Label::shared(text), Label::new(text));
        }
        assert!(Arc::ptr_eq(&Label::shared("CN=Fleet CA").0, &Label::shared("CN=Fleet CA").0));
        (0..2 * MOST_SHARED)
            .for_each(|number| assert_eq!(Label::shared(&number.to_string()).as_str(), number.to_string()));
    }

    #[test]
    fn long_texts_with_one_beginning_stay_two() {
        let (a, b) = (format!("{}a", "é".repeat(400)), format!("{}b", "é".repeat(400)));
        let (a, b) = (Label::new(&a), Label::new(&b));
        assert!(a != b && a.as_str().len() <= LONGEST && b.as_str().len() <= LONGEST);
    }

    #[test]
    fn control_characters_do_not_come_through_however_many() {
        let label = Label::new(&"\u{1b}".repeat(LONGEST));
        assert!(label.as_str().len() <= LONGEST && !label.as_str().chars().any(char::is_control));
        assert_ne!(Label::new("a\nb"), Label::new("a\rb"));
        assert!(!Label::new("gro.elpmaxe\u{202e}").as_str().contains('\u{202e}'));
    }
}
