//! Our own Markdown as HTML: code, and links to the documentation. It is no reader of Markdown from outside.

use std::fmt::{self, Write};

use kagiban_html::Escaped;

use crate::advice::DOCUMENTATION;

pub(super) fn rich(out: &mut String, mut text: &str) -> fmt::Result {
    while let Some(at) = text.find(['`', '[']) {
        let (before, rest) = text.split_at(at);
        write!(out, "{}", Escaped(before))?;
        let marked = match rest.strip_prefix('`') {
            Some(code) => code.split_once('`').map(|(code, after)| {
                write!(out, "<code>{}</code>", Escaped(code))?;
                Ok(after)
            }),
            None => link(rest).map(|(words, to, after)| {
                write!(out, "<a href=\"{}{}\">{}</a>", DOCUMENTATION, Escaped(to), Escaped(words))?;
                Ok(after)
            }),
        };
        match marked {
            Some(after) => text = after?,
            // It is the character itself
            None => {
                let (itself, after) = rest.split_at(1);
                out.write_str(itself)?;
                text = after;
            }
        }
    }
    write!(out, "{}", Escaped(text))
}

/// The words, where it leads, and what follows.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let (words, rest) = text.strip_prefix('[')?.split_once("](")?;
    let (to, after) = rest.split_once(')')?;
    Some((words, to, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_links_are_shown_and_all_else_is_text() {
        let said = |text| {
            let mut out = String::new();
            rich(&mut out, text).expect("a string");
            out
        };
        assert_eq!(
            said("see `a<b`, [the page](x.md#y) & more"),
            "see <code>a&lt;b</code>, <a href=\"https://kagiban.dev/docs/x.md#y\">the page</a> &amp; more"
        );
        assert_eq!(said("a ` and [b"), "a ` and [b");
    }
}
