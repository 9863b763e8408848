//! Text and tables as HTML.

use std::fmt::{self, Display, Write};

use crate::overview::Severity;

/// A page of thousands of rows helps nobody; the metrics have them all.
const MAX_ROWS: usize = 200;

/// Text from outside, in HTML.
pub(super) struct Escaped<'a>(pub(super) &'a str);

/// One cell of a table.
pub(super) struct Cell {
    severity: Severity,
    text: String,
}

impl Cell {
    pub(super) fn of(text: impl Display) -> Self {
        Self::marked(Severity::Fine, text)
    }

    pub(super) fn marked(severity: Severity, text: impl Display) -> Self {
        Self { severity, text: text.to_string() }
    }
}

/// Of our own style.
pub(super) const fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "bad",
        Severity::Warning => "soon",
        Severity::Fine => "",
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
    write!(out, "<table>\n<caption>{title} ({all})</caption>\n<thead><tr>")?;
    heads.iter().try_for_each(|head| write!(out, "<th scope=\"col\">{head}</th>"))?;
    out.write_str("</tr></thead>\n<tbody>\n")?;
    for row in rows.take(MAX_ROWS) {
        out.write_str("<tr>")?;
        for (index, (head, cell)) in heads.iter().zip(&row).enumerate() {
            let (class, text) = (class(cell.severity), Escaped(&cell.text));
            match (index, class) {
                (0, _) => write!(out, "<th scope=\"row\">{text}</th>")?,
                (_, "") => write!(out, "<td data-head=\"{head}\">{text}</td>")?,
                (_, class) => write!(out, "<td data-head=\"{head}\" class=\"{class}\">{text}</td>")?,
            }
        }
        out.write_str("</tr>\n")?;
    }
    out.write_str("</tbody></table>\n")?;
    if all > MAX_ROWS { writeln!(out, "<p>{} more are in the metrics.</p>", all - MAX_ROWS) } else { Ok(()) }
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
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
