//! Text that others wrote, as it goes into a log, an event, a status or a terminal: in one line, and not long.
//!
//! A refusal of the API server may have 64 KiB, and quote what anybody has put into a manifest.

use std::borrow::Cow;

pub(crate) use kagiban_html::is_seen;

/// Bytes of it that are told.
const MOST: usize = 800;
/// Of these, from the end: a refusal says first whom it is about, then quotes, and says last what is wrong.
const PART_OF_END: usize = 3;
/// Stands for what is left out.
const GAP: &str = " … ";

/// What is told of it.
pub fn told(text: &str) -> String {
    within(text, MOST)
}

/// The same, in at most so many bytes. Of what is longer, the beginning and the end are left.
pub(crate) fn within(text: &str, most: usize) -> String {
    in_one_line(&shortened(text, most))
}

/// The same, with what is not seen in it: for whoever shows that.
pub(crate) fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let room = most.saturating_sub(GAP.len());
    let end = room / PART_OF_END;
    let (head, tail) = (text.floor_char_boundary(room - end), text.ceil_char_boundary(text.len() - end));
    Cow::Owned(format!("{}{GAP}{}", &text[..head], &text[tail..]))
}

/// The same however long it is; no longer than the text.
pub(crate) fn in_one_line(text: &str) -> String {
    text.chars().map(|c| if is_seen(c) { c } else { ' ' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds B1.
    #[test]
    fn what_is_told_is_one_short_line_with_its_beginning_and_its_end() {
        assert_eq!(told("a\r\n::error::b\u{1b}[2J\u{202e}c\u{2028}"), "a  ::error::b [2J c ");
        for filling in ["x", "あ", "\n"] {
            let long = format!("who {} what", filling.repeat(64 << 10));
            for most in [100, MOST, 1000] {
                let short = within(&long, most);
                assert!(short.len() <= most && short.len() > most - 10, "{}", short.len());
                assert!(short.starts_with("who ") && short.ends_with(" what") && short.contains(GAP), "{short}");
                assert!(!short.contains(char::is_control));
            }
        }
        assert_eq!(within("short", 5), "short");
        assert_eq!(told("a\u{ad}\u{61c}\u{2066}\u{e0041}b日本語"), "a    b日本語");
    }
}
