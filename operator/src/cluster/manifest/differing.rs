//! What two readers of YAML take differently. It is refused wherever it stands, with what to write instead: to imitate one reader
//! would only be right until the next version of another.

use saphyr_parser::Tag;

use super::shown;

/// The key that brings the members of another mapping.
pub(super) const MERGE: &str = "<<";
/// What `!!` stands for.
const CORE: &str = "tag:yaml.org,2002:";
/// Some take these for the end of a line, some for text, and the last for nothing at all.
const CHARACTERS: [char; 4] = ['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'];

/// Looks at the text before any parser does: what stands behind such a character may be a comment to one of them and not to
/// another, and directives take a parser a time that grows with their square.
///
/// # Errors
/// With the line, and what to write instead.
pub(super) fn in_text(text: &str) -> Result<(), String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (at, line) in text.split('\n').enumerate() {
        let wrong = |what: String| Err(format!("line {}: {what}", at + 1));
        if line.split('\r').any(|line| line.starts_with('%')) {
            return wrong(
                "it begins with %, as directives do, and none is read: leave it out, or indent it if it is text"
                    .to_owned(),
            );
        }
        if let Some(found) = line.chars().find(|c| CHARACTERS.contains(c)) {
            let code = u32::from(found);
            return wrong(format!(
                "the character U+{code:04X} is here, which ends a line for some readers of YAML and not for others: leave it out, or write \
                 it as \"\\u{code:04x}\" in double quotes"
            ));
        }
    }
    Ok(())
}

pub(super) fn tag(tag: &Tag) -> String {
    let Tag { handle, suffix } = tag;
    let written = if handle == CORE { format!("!!{suffix}") } else { format!("{handle}{suffix}") };
    format!(
        "the tag {} is here, of which readers of YAML make different values: leave it out, and put text in quotes",
        shown(&written)
    )
}

pub(super) fn merge_key() -> String {
    format!(
        "the merge key {MERGE} is here, and readers of YAML differ in whose member counts: write out what it brings"
    )
}

pub(super) fn structure() -> String {
    "two readers of YAML do not find the same values in it: write it with one member on each line, and its comments on lines of \
     their own"
        .to_owned()
}

/// Of what has `items` and is named as no list.
pub(super) fn list(kind: &str) -> String {
    format!(
        "it has items, which makes a list of it for kubectl, and is of the kind {:?}: name it List, or write each item as a document",
        shown(kind)
    )
}

pub(super) fn list_in_list(item: usize) -> String {
    format!("items[{item}] has items itself: write each of them as an item of the list, or as a document")
}
