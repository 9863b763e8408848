//! The few elements of a page that matter, found without building the page.
//!
//! Written by hand because a parser that repairs documents as browsers do holds the whole tree, and of a page only the
//! texts of some ids are wanted. It goes over the text once, keeps a bounded number of bounded texts, and cannot fail:
//! what is no HTML has no elements.

use std::collections::BTreeMap;

/// The product's pages have some hundred; a page of more is cut there.
const MAX_TAGS: usize = 20_000;
/// The status page has some fifteen values.
const MAX_VALUES: usize = 64;
/// "Runtime calibration in progress" is a long one.
const MAX_TEXT_BYTES: usize = 256;
/// Tokens are UUIDs or shorter.
const MAX_ATTRIBUTE_BYTES: usize = 1024;
const MAX_ATTRIBUTES: usize = 32;
/// The longest of the entities that are known, with its semicolon.
const MAX_ENTITY_BYTES: usize = 10;

/// What a page says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UiPage {
    /// Of `<html lang>`, the language alone: `ja`.
    pub(super) language: Option<String>,
    /// The texts of the elements whose id is `value_` and this.
    pub(super) values: BTreeMap<String, String>,
    pub(super) form_token: Option<String>,
    pub(super) form_token_id: Option<String>,
    /// What the button of the logon form says, in the page's language.
    pub(super) login_button: Option<String>,
    pub(super) asks_for_login: bool,
    /// Somebody else is logged on.
    pub(super) is_taken: bool,
}

/// A tag, without what is not looked at.
#[derive(Debug)]
struct Tag<'a> {
    name: &'a str,
    closes: bool,
    /// `<br/>`
    is_whole: bool,
    attributes: Vec<(&'a str, &'a str)>,
}

/// An element whose text is being read.
#[derive(Debug)]
struct Open<'a> {
    key: String,
    element: &'a str,
    /// How many elements of the same name are open in it.
    depth: usize,
    text: String,
}

impl UiPage {
    pub(super) fn scan(html: &str) -> Self {
        let mut page = Self::default();
        let mut open: Option<Open<'_>> = None;
        let mut rest = html;
        for _ in 0..MAX_TAGS {
            let (text, tag) = split_at_any(rest, |c| c == '<');
            if let Some(open) = &mut open {
                open.add(text);
            }
            let Some(behind) = tag.strip_prefix('<') else { break };
            rest = behind;
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
                continue;
            }
            let Some((tag, after)) = Tag::read(rest) else { continue };
            rest = after;
            if !tag.closes && !tag.is_whole && tag.is("script", "style") {
                rest = behind_raw_text(rest, tag.name);
                continue;
            }
            page.note(&tag);
            open = page.follow(open, &tag);
        }
        if let Some(open) = open {
            page.keep(open);
        }
        page
    }

    fn note(&mut self, tag: &Tag<'_>) {
        if tag.closes {
            return;
        }
        let (id, name) = (tag.attribute("id"), tag.attribute("name"));
        self.is_taken |= id == Some("alreadyLoggedOn");
        self.asks_for_login |= id == Some("loginForm") || name == Some("loginForm");
        if tag.is("html", "html") && self.language.is_none() {
            let language = tag.attribute("lang").and_then(|lang| lang.split(['-', '_']).next());
            self.language = language.filter(|lang| (2..=3).contains(&lang.len())).map(str::to_ascii_lowercase);
        }
        if tag.is("input", "button") {
            let value = || tag.attribute("value").filter(|value| value.len() <= MAX_ATTRIBUTE_BYTES).map(decode);
            let slot = match name {
                Some("formtoken") => &mut self.form_token,
                Some("formtokenid") => &mut self.form_token_id,
                Some("login") => &mut self.login_button,
                _ => return,
            };
            *slot = slot.take().or_else(value);
        }
    }

    /// Which element's text is read after this tag.
    fn follow<'a>(&mut self, open: Option<Open<'a>>, tag: &Tag<'a>) -> Option<Open<'a>> {
        let key = tag.attribute("id").filter(|_| !tag.closes).and_then(|id| id.strip_prefix("value_"));
        if let Some(key) = key.filter(|key| !key.is_empty() && key.len() <= MAX_TEXT_BYTES) {
            // The one before was never closed; browsers close it here as well, or soon.
            open.into_iter().for_each(|open| self.keep(open));
            let new = Open { key: key.to_owned(), element: tag.name, depth: 0, text: String::new() };
            return match tag.attribute("value") {
                Some(value) if tag.is("input", "meter") => {
                    self.keep(Open { text: cut(&decode(value)).to_owned(), ..new });
                    None
                }
                _ if tag.is_whole || tag.is("input", "input") => None,
                _ => Some(new),
            };
        }
        let mut open = open?;
        if !tag.is(open.element, open.element) || tag.is_whole {
            open.add(" ");
        } else if !tag.closes {
            open.depth += 1;
        } else if open.depth > 0 {
            open.depth -= 1;
        } else {
            self.keep(open);
            return None;
        }
        Some(open)
    }

    fn keep(&mut self, open: Open<'_>) {
        let text = decode(&open.text).split_whitespace().collect::<Vec<_>>().join(" ");
        if self.values.len() < MAX_VALUES && !text.is_empty() {
            self.values.entry(open.key).or_insert(text);
        }
    }
}

impl Open<'_> {
    fn add(&mut self, text: &str) {
        let room = MAX_TEXT_BYTES.saturating_sub(self.text.len());
        self.text.push_str(&text[..text.floor_char_boundary(room)]);
    }
}

impl<'a> Tag<'a> {
    /// Reads what stands behind a `<`, if that is a tag; and what follows it.
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let (closes, text) = text.strip_prefix('/').map_or((false, text), |text| (true, text));
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        let (name, mut rest) = split_at_any(text, |c| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
        let mut tag = Self { name, closes, is_whole: false, attributes: Vec::new() };
        loop {
            rest = rest.trim_ascii_start();
            if let Some(after) = rest.strip_prefix("/>") {
                return Some((Self { is_whole: true, ..tag }, after));
            }
            if let Some(after) = rest.strip_prefix('>') {
                return Some((tag, after));
            }
            if let Some(after) = rest.strip_prefix(['/', '=', '"', '\'']) {
                rest = after;
                continue;
            }
            if rest.is_empty() {
                return Some((tag, rest));
            }
            let (attribute, after) = split_at_any(rest, |c| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '='));
            let (value, after) = attribute_value(after);
            if tag.attributes.len() < MAX_ATTRIBUTES {
                tag.attributes.push((attribute, value));
            }
            rest = after;
        }
    }

    fn is(&self, one: &str, other: &str) -> bool {
        self.name.eq_ignore_ascii_case(one) || self.name.eq_ignore_ascii_case(other)
    }

    /// The first of that name, as written.
    fn attribute(&self, name: &str) -> Option<&'a str> {
        self.attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// The value behind an attribute's name, if there is one; and what follows.
fn attribute_value(text: &str) -> (&str, &str) {
    let Some(value) = text.trim_ascii_start().strip_prefix('=') else { return ("", text) };
    let value = value.trim_ascii_start();
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    split_at_any(value, |c| c.is_ascii_whitespace() || c == '>')
}

fn split_at_any(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

/// Past the end tag of a script or a style sheet: nothing in it is a tag.
fn behind_raw_text<'a>(text: &'a str, name: &str) -> &'a str {
    let ends = |at: &usize| {
        let behind = &text.as_bytes()[at + 2..];
        behind.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
    };
    text.match_indices("</").map(|(at, _)| at).find(ends).map_or("", |at| &text[at..])
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

/// The entities that numbers and status words are written with; any other stays as it is.
fn decode(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.bytes().take(MAX_ENTITY_BYTES).position(|byte| byte == b';');
        match end.and_then(|end| Some((entity(&rest[..end])?, end))) {
            Some((character, end)) => {
                decoded.push(character);
                rest = &rest[end + 1..];
            }
            None => decoded.push('&'),
        }
    }
    decoded.push_str(rest);
    decoded
}

fn entity(name: &str) -> Option<char> {
    let numbered = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    if let Some(number) = name.strip_prefix('#') {
        return match number.strip_prefix(['x', 'X']) {
            Some(hexadecimal) => numbered(hexadecimal, 16),
            None => numbered(number, 10),
        };
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "deg" => '°',
        "minus" => '−',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn values(html: &str) -> Vec<(String, String)> {
        UiPage::scan(html).values.into_iter().collect()
    }

    fn value(html: &str) -> Option<String> {
        UiPage::scan(html).values.remove("X")
    }

    #[test]
    fn the_logon_page_gives_its_form_and_its_language() {
        let page = UiPage::scan(
            "<!DOCTYPE html><HTML LANG='ja-JP'><form id=loginForm action=\"/j_security_check\">\
             <input type=hidden name=formtoken value=\"a&amp;b\"/><input name='formtokenid' value='/logon_formtoken'>\
             <input type=submit name=login value=\"ログオン\"></form>",
        );
        assert_eq!(page.language.as_deref(), Some("ja"));
        assert_eq!(page.form_token.as_deref(), Some("a&b"));
        assert_eq!(page.form_token_id.as_deref(), Some("/logon_formtoken"));
        assert_eq!(page.login_button.as_deref(), Some("ログオン"));
        assert!(page.asks_for_login && !page.is_taken);
        assert!(UiPage::scan("<p id='alreadyLoggedOn'>").is_taken);
        assert!(!UiPage::scan("alreadyLoggedOn <!-- <p id=alreadyLoggedOn> --> <p id=x>alreadyLoggedOn").is_taken);
    }

    #[test]
    fn a_value_is_the_text_of_its_element_however_it_is_written() {
        for html in [
            "<span class=\"value\" id=\"value_X\">54.0 V</span>",
            "<SPAN ID=value_X>54.0 V</SPAN>",
            "<div id='value_X'>\n  <div><b>54.0</b>&nbsp;<i>V</i></div>\n</div> 99",
            "<td id=value_X>54.0 V<td id=value_Y>1",
            "<input id=value_X value='54.0 V'>",
            "<script>'<b id=value_X>1</b>'</script><b id=value_X>54.0&#32;&#x56;</b>",
            "<b id=value_X a=\">\" />x<b id=value_X>54.0<br/>V</b>",
            "<b id=value_X>54.0 <!-- 99 -->V",
        ] {
            assert_eq!(value(html).as_deref(), Some("54.0 V"), "{html}");
        }
        assert_eq!(values("<b id=value_A>1</b><b id=value_A>2</b><b id=value_B></b><b id=value_>3</b>").len(), 1);
        assert_eq!(
            value("<b id=value_X>a & b &unknown; &#xFFFFFFFF; &</b>").as_deref(),
            Some("a & b &unknown; &#xFFFFFFFF; &")
        );
    }

    #[test]
    fn a_million_elements_cost_little_and_leave_little() {
        let started = Instant::now();
        let many: String = (0..1_000_000).map(|i| format!("<b id=value_{i}>1</b>")).collect();
        assert_eq!(UiPage::scan(&many).values.len(), MAX_VALUES);
        let attributes = format!("<b {}>", "a=1 ".repeat(1_000_000));
        for hostile in [
            attributes.as_str(),
            &"<".repeat(1_000_000),
            &"<!--".repeat(250_000),
            &"<script>".repeat(100_000),
            &"<script></".repeat(100_000),
            &"<a b='".repeat(100_000),
            &format!("<b id=value_X>{}", "&".repeat(1_000_000)),
            &format!("<b id=value_X>{}", "<b>".repeat(300_000)),
        ] {
            let page = UiPage::scan(hostile);
            assert!(page.values.values().all(|text| text.len() <= MAX_TEXT_BYTES));
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }

    proptest! {
        #[test]
        fn any_text_is_a_page_with_bounded_values(
            html in "([<>/='\"&;# -]|id|value_X|value_Y|html|lang|input|formtoken|script|[a-zé京\u{0}]){0,200}"
        ) {
            let page = UiPage::scan(&html);
            prop_assert!(page.values.len() <= MAX_VALUES);
            prop_assert!(page.values.values().all(|text| !text.is_empty() && text.len() <= 3 * MAX_TEXT_BYTES));
        }

        #[test]
        fn a_plain_text_in_a_value_comes_out_as_it_went_in(text in "[a-zA-Z0-9°%.,京]{1,60}") {
            prop_assert_eq!(value(&format!("<p><span id=\"value_X\"> {text}\n</span></p>")), Some(text));
        }
    }
}
