//! Text and tables as HTML.

use std::fmt::{self, Display, Write};

use jiff::Timestamp;

use super::Severity;

/// A page of thousands of rows helps nobody; the metrics have them all.
const MAX_ROWS: usize = 200;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Text from outside, in HTML.
pub(super) struct Escaped<'a>(pub(super) &'a str);

/// A time, to the minute.
pub(super) struct Moment(pub(super) Timestamp);

/// A span of seconds, in its two largest useful units.
pub(super) struct Span(pub(super) i64);

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
            let (class, text) = (cell.severity.class(), Escaped(&cell.text));
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

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%d %H:%M UTC"))
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.max(0) {
            seconds @ ..MINUTE => write!(f, "{seconds} s"),
            seconds @ ..HOUR => write!(f, "{} min", seconds / MINUTE),
            seconds if seconds < 2 * DAY => write!(f, "{} h {:02} min", seconds / HOUR, seconds % HOUR / MINUTE),
            seconds => write!(f, "{} days", seconds / DAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_said_as_a_person_would() {
        let said = |seconds| Span(seconds).to_string();
        assert_eq!([said(-5), said(59), said(600), said(3_900)], ["0 s", "59 s", "10 min", "1 h 05 min"]);
        assert_eq!([said(2 * DAY - 1), said(2 * DAY)], ["47 h 59 min", "2 days"]);
    }

    #[test]
    fn a_table_of_thousands_of_rows_is_cut_and_says_so() {
        let mut out = String::new();
        table(&mut out, "Files", ["File"], (0..1000).map(|row| [Cell::of(row)])).expect("it is written");
        assert_eq!(out.matches("scope=\"row\"").count(), MAX_ROWS);
        assert!(out.contains("Files (1000)") && out.contains("800 more"));
    }
}
