//! The mails of a file: one, or a box of them (mbox).

use std::collections::VecDeque;

const MARK: &[u8] = b"From ";

/// Whether a file that begins so is a box.
pub(super) fn is_box(head: &[u8]) -> bool {
    head.starts_with(MARK)
}

/// The last mails of a box, at most `most`, in their order. Each begins after its line `From `, which follows an empty line; what stands
/// before the first is the rest of a mail. The last may be half written: it is read again when the file has changed.
pub(super) fn mails(text: &[u8], most: usize) -> Vec<&[u8]> {
    let (mut mails, mut begun) = (VecDeque::new(), None);
    let (mut at, mut is_after_empty) = (0, true);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        let line = &rest[..length];
        if is_after_empty && line.starts_with(MARK) {
            let before: Option<usize> = begun.replace(at + length);
            keep(&mut mails, before.and_then(|begun| text.get(begun..at)), most);
        }
        is_after_empty = line.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        at += length;
    }
    keep(&mut mails, begun.and_then(|begun| text.get(begun..)), most);
    mails.into()
}

fn keep<'a>(mails: &mut VecDeque<&'a [u8]>, mail: Option<&'a [u8]>, most: usize) {
    mails.extend(mail);
    if mails.len() > most {
        mails.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, most: usize) -> Vec<String> {
        mails(text.as_bytes(), most).into_iter().map(|mail| String::from_utf8_lossy(mail).into_owned()).collect()
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
    fn the_end_of_a_box_begins_with_its_first_mark() {
        let text = "rest of a mail\n\nFrom a@b Thu\nA: 1\n";
        assert_eq!(shown(text, 9), ["A: 1\n"]);
        assert_eq!(shown("From ", 9), [""]);
        assert!(shown("", 9).is_empty() && shown("no mark\n", 9).is_empty());
    }
}
