//! Text from outside, in HTML.

use std::fmt::{self, Display, Write};

use crate::is_seen;

/// As text, and within the quotes of an attribute. What is not seen, or turns the direction of the text around it, is written as
/// Rust writes it: a page shows what a text says, and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c if is_seen(c) => f.write_char(c),
            c => write!(f, "{}", c.escape_unicode()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_is_neither_markup_nor_invisible() {
        let said = |text| Escaped(text).to_string();
        assert_eq!(said("<b class='x'>\"&\""), "&lt;b class=&#39;x&#39;&gt;&quot;&amp;&quot;");
        assert_eq!(said("a\u{202e}b\n\u{0}\u{200b}\u{e0041}"), "a\\u{202e}b\\u{a}\\u{0}\\u{200b}\\u{e0041}");
        assert_eq!(said("CN=鍵番, é 🔑"), "CN=鍵番, é 🔑");
    }
}
