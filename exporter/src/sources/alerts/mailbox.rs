//! The mails of a file: one, or a box of them (mbox).

use std::collections::VecDeque;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const MARK: &[u8] = b"From ";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One mail of a box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Boxed<'a> {
    pub(super) mail: &'a [u8],
    /// The rest of its line `From `: who has sent it, and when it came.
    mark: &'a [u8],
}

impl<'a> Boxed<'a> {
    pub(super) const fn single(mail: &'a [u8]) -> Self {
        Self { mail, mark: b"" }
    }

    /// When it came, as its line says: in UTC, by RFC 4155.
    pub(super) fn came_at(&self) -> Option<Timestamp> {
        let mark = std::str::from_utf8(self.mark).ok()?;
        let words: Vec<_> = mark.split_whitespace().collect();
        let [_, month, day, clock, year] = *words.last_chunk()?;
        let told = DateTime::strptime("%b %d %H:%M:%S %Y", format!("{month} {day} {clock} {year}")).ok()?;
        Some(told.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }
}

/// Whether a file that begins so is a box.
pub(super) fn is_box(head: &[u8]) -> bool {
    begun(head).starts_with(MARK)
}

/// Without what some programs put before the first line.
fn begun(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).trim_ascii_start()
}

/// The last mails of a box, at most `most`, in their order. Each begins after its line `From `, which follows an empty line; what stands
/// before the first is the rest of a mail. The last may be half written: it is read again when the file has changed.
pub(super) fn mails(text: &[u8], most: usize) -> Vec<Boxed<'_>> {
    let text = if is_box(text) { begun(text) } else { text };
    let (mut mails, mut begun) = (VecDeque::new(), None);
    let (mut at, mut is_after_empty) = (0, true);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        let line = &rest[..length];
        if is_after_empty && line.starts_with(MARK) {
            let before = begun.replace((at + length, &line[MARK.len()..]));
            keep(&mut mails, before.and_then(|begun| boxed(text, begun, at)), most);
        }
        is_after_empty = line.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        at += length;
    }
    keep(&mut mails, begun.and_then(|begun| boxed(text, begun, text.len())), most);
    mails.into()
}

fn boxed<'a>(text: &'a [u8], (begun, mark): (usize, &'a [u8]), end: usize) -> Option<Boxed<'a>> {
    Some(Boxed { mail: text.get(begun..end)?, mark })
}

fn keep<'a>(mails: &mut VecDeque<Boxed<'a>>, mail: Option<Boxed<'a>>, most: usize) {
    mails.extend(mail);
    if mails.len() > most {
        mails.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, most: usize) -> Vec<String> {
        mails(text.as_bytes(), most).into_iter().map(|it| String::from_utf8_lossy(it.mail).into_owned()).collect()
    }

    #[test]
    fn a_box_has_the_mails_between_its_marks() {
        let text = "From a@b Thu\nA: 1\n\nbody\n>From here\nFrom here on\n\nFrom c@d Fri\nA: 2\n\nbody\n";
        assert_eq!(shown(text, 9), ["A: 1\n\nbody\n>From here\nFrom here on\n\n", "A: 2\n\nbody\n"]);
        assert_eq!(shown(text, 1), ["A: 2\n\nbody\n"]);
        assert_eq!(shown(&text.replace('\n', "\r\n"), 9).len(), 2);
        assert!(is_box(text.as_bytes()) && !is_box(b"From: a@b\n") && !is_box(b""));
    }

    #[test]
    fn a_box_is_one_whatever_stands_before_its_first_mark() {
        let text = "From a@b Thu\nA: 1\n\nFrom c@d Fri\nA: 2\n";
        for before in ["\n", "\r\n\r\n", "\u{feff}", "\u{feff}\n"] {
            let text = format!("{before}{text}");
            assert!(is_box(text.as_bytes()), "{before:?}");
            assert_eq!(shown(&text, 9).len(), 2, "{before:?}");
        }
    }

    #[test]
    fn a_mail_of_a_box_tells_when_it_came() {
        let came = |mark: &str| {
            let text = format!("From {mark}\nA: 1\n");
            mails(text.as_bytes(), 9)[0].came_at().map(|at| at.to_string())
        };
        assert_eq!(came("a@b Tue Jun 13 00:08:07 2017").as_deref(), Some("2017-06-13T00:08:07Z"));
        assert_eq!(came("a@b Thu Jun  1 00:08:07 2017\r").as_deref(), Some("2017-06-01T00:08:07Z"));
        for none in ["", "a@b", "a@b Thu Jun 31 00:00:00 2017", "a b c d e f"] {
            assert_eq!(came(none), None, "{none}");
        }
    }

    #[test]
    fn the_end_of_a_box_begins_with_its_first_mark() {
        let text = "rest of a mail\n\nFrom a@b Thu\nA: 1\n";
        assert_eq!(shown(text, 9), ["A: 1\n"]);
        assert_eq!(shown("From ", 9), [""]);
        assert!(shown("", 9).is_empty() && shown("no mark\n", 9).is_empty());
    }
}
