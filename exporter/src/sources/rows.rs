//! The rows of CSV that other programs have written.

use std::io::Read as _;

use csv::{ReaderBuilder, StringRecord};

/// No cell is as long. Where one is, a quotation mark has no second one, and all that follows it would be one cell.
const MAX_CELL: usize = 16 * 1024;
/// A row after the last one, which is none of them: where it does not come, the text ends within quotation marks.
const AFTER: &str = "\n\u{1}\n";

/// How a text is divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) separator: u8,
    /// Whether a quotation mark at the beginning of a cell has a second one, and what lies between is one cell. Where not, the marks around
    /// a cell are left out.
    pub(super) quoted: bool,
}

impl Default for Rows {
    fn default() -> Self {
        Self { separator: b',', quoted: true }
    }
}

impl Rows {
    /// By the separator that divides every row alike, where both occur; a tab, where both do: it is in a cell more rarely than a comma.
    /// None where neither does.
    pub(super) fn of(text: &str) -> Option<Self> {
        let by = |separator| Self { separator, ..Self::default() };
        let (tabs, commas) = (by(b'\t'), by(b','));
        match (text.contains('\t'), text.contains(',')) {
            (true, true) => [tabs, commas].into_iter().find(|rows| rows.divide_alike(text)),
            (true, false) => Some(tabs),
            (false, _) => Some(commas),
        }
    }

    /// Into as many cells, of which there are more than one.
    fn divide_alike(self, text: &str) -> bool {
        let (mut width, mut is_alike) = (None, true);
        let read = each(text, self, |cells| {
            if !is_blank(cells) {
                is_alike &= cells.len() > 1 && *width.get_or_insert(cells.len()) == cells.len();
            }
        });
        read.is_ok() && width.is_some() && is_alike
    }
}

/// The rows that stand within cells of another one, each with the cells behind its end, and how many are its own: a quotation mark at the
/// beginning of a cell has its second one in a later row.
pub(super) fn hidden<'c>(cells: &[&'c str], separator: u8) -> Vec<(usize, Vec<&'c str>)> {
    let mut hidden = Vec::new();
    for (at, cell) in cells.iter().enumerate().filter(|(_, cell)| cell.contains(['\n', '\r'])) {
        let lines = cell.split(['\n', '\r']).skip(1).filter(|line| !line.is_empty());
        hidden.extend(lines.map(|line| {
            let own: Vec<_> = line.split(char::from(separator)).collect();
            (own.len(), own)
        }));
        if let Some((_, last)) = hidden.last_mut() {
            last.extend(&cells[at + 1..]);
        }
    }
    hidden
}

/// Whether nothing stands in a row.
pub(super) fn is_blank(cells: &[&str]) -> bool {
    cells.iter().all(|cell| cell.trim().is_empty())
}

/// Whether the last quotation mark has a second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastCell {
    Closed,
    Open,
}

/// A cell that is longer than any is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endless;

/// Gives each row with its cells, in their order. Empty lines are none.
///
/// # Errors
/// [`Endless`]; the rows before it were given.
pub(super) fn each(text: &str, rows: Rows, mut take: impl FnMut(&[&str])) -> Result<LastCell, Endless> {
    let Rows { separator, quoted } = rows;
    let mut reader = ReaderBuilder::new();
    reader.has_headers(false).flexible(true).quoting(quoted).delimiter(separator);
    let mut reader = reader.from_reader(text.as_bytes().chain(AFTER.as_bytes()));
    let (mut row, mut last) = (StringRecord::new(), LastCell::Open);
    // From a text nothing but rows comes.
    while reader.read_record(&mut row).unwrap_or(false) {
        let cells: Vec<_> = row.iter().map(|cell| if quoted { cell } else { cell.trim().trim_matches('"') }).collect();
        if quoted && cells.iter().any(|cell| cell.len() > MAX_CELL) {
            return Err(Endless);
        }
        if cells == [AFTER.trim_matches('\n')] && reader.position().byte() >= text.len() as u64 {
            last = LastCell::Closed;
        } else {
            take(&cells);
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str, rows: Rows) -> (Vec<Vec<String>>, Result<LastCell, Endless>) {
        let mut taken = Vec::new();
        let last = each(text, rows, |cells| taken.push(cells.iter().map(|&cell| cell.to_owned()).collect()));
        (taken, last)
    }

    #[test]
    fn a_text_is_divided_whatever_its_line_ends_and_its_end_is_told() {
        for (text, last, expected) in [
            ("a,b\r\nc\n\nd\re", LastCell::Closed, &[&["a", "b"][..], &["c"], &["d"], &["e"]][..]),
            ("\"a,\"\"b\"\"\nc\",d\n", LastCell::Closed, &[&["a,\"b\"\nc", "d"]]),
            ("a b\"c,d", LastCell::Closed, &[&["a b\"c", "d"]]),
            ("", LastCell::Closed, &[]),
            ("\u{1}\na", LastCell::Closed, &[&["\u{1}"], &["a"]]),
        ] {
            let (taken, found) = rows(text, Rows::default());
            assert_eq!(
                (taken, found),
                (expected.iter().map(|row| row.iter().map(|&it| it.to_owned()).collect()).collect(), Ok(last)),
                "{text:?}"
            );
        }
        let (taken, last) = rows("a\n\"b\nc", Rows::default());
        assert_eq!((taken.len(), last), (2, Ok(LastCell::Open)));
        let (taken, last) = rows("a\n\"b\nc", Rows { quoted: false, ..Rows::default() });
        assert_eq!(
            (taken, last),
            (vec![vec!["a".to_owned()], vec!["b".to_owned()], vec!["c".to_owned()]], Ok(LastCell::Closed))
        );
        let (taken, _) = rows("a\tb,c", Rows { separator: b'\t', ..Rows::default() });
        assert_eq!(taken, [["a", "b,c"]]);
    }

    #[test]
    fn a_cell_without_an_end_is_told_before_it_takes_the_rest() {
        assert_eq!(rows(&format!("a\n\"{}", "b,\n".repeat(MAX_CELL)), Rows::default()).1, Err(Endless));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_to_be_divided(text in "[ab,\"\r\n\t\u{1}あ]{0,40}", quoted in any::<bool>()) {
            let (_, last) = rows(&text, Rows { quoted, ..Rows::default() });
            prop_assert!(last.is_ok() && (quoted || last == Ok(LastCell::Closed)));
        }
    }
}
