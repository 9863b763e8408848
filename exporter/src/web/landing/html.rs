//! Tables of a host's page.

use std::fmt::{self, Write};

use kagiban_html::Table;
pub(super) use kagiban_html::{Cell, Emphasis, Escaped};

use crate::overview::Severity;

/// A page of thousands of rows helps nobody; the metrics have them all.
const MAX_ROWS: usize = 200;

impl From<Severity> for Emphasis {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Critical => Self::Bad,
            Severity::Warning => Self::Soon,
            Severity::Fine => Self::Plain,
        }
    }
}

/// A table whose first column names its rows. Without rows there is none.
pub(super) fn table<const N: usize>(
    out: &mut String,
    title: &str,
    heads: [&str; N],
    rows: impl ExactSizeIterator<Item = [Cell; N]>,
) -> fmt::Result {
    let all = rows.len();
    if all == 0 {
        return Ok(());
    }
    let table = Table::begin(out, &format!("{title} ({all})"), &heads)?;
    rows.take(MAX_ROWS).try_for_each(|row| table.row(out, &row))?;
    table.end(out)?;
    if all > MAX_ROWS { writeln!(out, "<p>{} more are in the metrics.</p>", all - MAX_ROWS) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_thousands_of_rows_is_cut_and_says_so() {
        let mut out = String::new();
        table(&mut out, "Files", ["File"], (0..1000).map(|row| [Cell::of(row)])).expect("it is written");
        assert_eq!(out.matches("scope=\"row\"").count(), MAX_ROWS);
        assert!(out.contains("Files (1000)") && out.contains("800 more"));
    }
}
